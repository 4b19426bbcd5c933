"""What readers of the documents have, and what they find there to run."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from hub_server import variables
from PIL import Image

from stylegan.__main__ import main as draw
from train.__main__ import main as train

ROOT = Path(__file__).parents[1]
SHIPPED = ("app.py", "benchmarks", "checkpoints", "stylegan", "train")
SMALL = {  # start of a command -> flags added, so that it takes seconds
    "python -m train fit": "--kimg 0.016 --batch 4 --network.channel-max 16",
    "python -m train encoder": "--kimg 0.016",
    "python -m train publish": "--no-nearest",
    "python -m stylegan project": "--steps 2 --tune-steps 2",
}


def blocks(text: str) -> list[tuple[str, str]]:
    """(mark, content) of each fenced block."""
    return re.findall(r"^```(.*)\n((?:.*\n)*?)```$", text, re.MULTILINE)


def commands(content: str) -> list[str]:
    """Lines of shell, those that end in a backslash joined with the next, without comments."""
    lines = content.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def small(command: str) -> str:
    """The command with what makes it short."""
    extra = [flags for start, flags in SMALL.items() if command.startswith(start)]
    return " ".join([command, *extra])


def run(command: str) -> str:
    """As the shell would, but in this process where it is the program; what was said."""
    program, *words = shlex.split(command)
    if program != "python":
        return subprocess.run(
            command, shell=True, check=True, stdout=subprocess.PIPE, text=True
        ).stdout
    assert words[0] == "-m", command
    with redirect_stdout(io.StringIO()) as said:
        code = {"train": train, "stylegan": draw}[words[1]](words[2:])
    assert code == 0, f"{command}\n{said.getvalue()}"
    return said.getvalue()


def links(text: str) -> list[str]:
    """Where its links and pictures lie, without those on the web and the places within a page."""
    found = re.findall(r"\]\(([^)#\s]+)", text) + re.findall(r'src="([^"]+)"', text)
    return [link for link in found if "://" not in link]


def photo(i: int) -> Image.Image:
    """A picture of its own for each number, 80x96."""
    values = np.random.default_rng(i).integers(0, 256, (6, 5 + i % 3, 3), np.uint8)
    return Image.fromarray(values).resize((80, 96), Image.Resampling.BICUBIC)


def photos(folder: Path, count: int = 8, first: int = 0) -> None:
    """A folder of these."""
    folder.mkdir(parents=True)
    for i in range(first, first + count):
        photo(i).save(folder / f"{i}.jpg")


@pytest.fixture
def clone(hub, tmp_path, monkeypatch) -> Path:
    """The program, a folder of photos, `python` on the path, and a Hub here, whose user is ann."""
    for name, value in variables(hub, tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("stylegan.training.push.NICE", 0)  # tests do wait
    for name in SHIPPED:
        (tmp_path / name).symlink_to(ROOT / name)
    photos(tmp_path / "photos")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "bin" / "python").chmod(0o755)
    return tmp_path

"""docs/rented.md: the notebook's cells, run as two sessions, and the lines for Jobs."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from reading import ROOT, SHIPPED, blocks, commands, run, small

TEXT = (ROOT / "docs" / "rented.md").read_text(encoding="utf-8")
CELLS = json.loads((ROOT / "docs" / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]
JOBS = [line for mark, text in blocks(TEXT) if mark == "sh" for line in commands(text)]
HF = Path(sys.executable).parent / "hf"


def bring_project(place: Path) -> None:
    """The program, as git or a bucket would bring it."""
    place.mkdir()
    for name in (*SHIPPED, "requirements.txt"):
        (place / name).symlink_to(ROOT / name)


def shell(line: str) -> str:
    """Run a line on a machine where nothing is fetched; what it said."""
    words = shlex.split(line)
    if words[:2] == ["git", "clone"]:
        bring_project(Path(words[-1]))
    elif words[:2] == ["pip", "install"]:
        assert Path(words[-1]).is_file(), line
    elif words[0] == "cd":
        os.chdir(words[1])
    else:
        return run(small(line))
    return ""


def as_python(cell: str) -> str:
    """A cell without IPython: `!` runs a line of shell with {names} filled in, `%cd` goes there."""
    cell = re.sub(r"^(\s*)!(.*)$", r"\1said.append(shell(f'''\2'''))", cell, flags=re.MULTILINE)
    return re.sub(r"^(\s*)%cd (.*)$", r"\1os.chdir('\2')", cell, flags=re.MULTILINE)


def session(place: Path, monkeypatch, **settings) -> dict[str, object]:
    """Run all cells in an empty folder; the names that they leave."""
    place.mkdir()
    monkeypatch.chdir(place)
    names: dict[str, object] = {"shell": shell, "said": [], "os": os}
    for cell in CODE:
        exec(as_python(cell), names)
        names.update({name: value for name, value in settings.items() if name in names})
    assert settings.keys() <= names.keys()
    return names


def test_two_sessions_of_the_notebook(hub, clone, monkeypatch):
    settings = {"PICTURES": clone / "photos", "REPO": "ann/mine", "RESOLUTION": 16}
    first = session(clone / "first", monkeypatch, **settings)
    repo = hub.repos["model", "ann/mine"]
    pushed = json.loads(repo.head()["config.json"])["training"]
    assert repo.private and first["START"] == "" and len(repo.tags) == 1
    assert Path("picture.png").is_file()

    place = Path.cwd()
    exec(as_python(next(cell for cell in CODE if "git clone" in cell)), first)
    assert Path.cwd() == place and not Path("project").exists(), "the program is there already"
    again = next(cell for cell in CODE if "train fit" in cell)
    exec(as_python(again), first)
    assert "goes on in runs/mine at" in first["said"][-1], "the cell once more, in one session"

    second = session(clone / "second", monkeypatch, **settings)
    assert second["START"] == f"--resume-from ann/mine --p {pushed['augment_p']}"
    begun = json.loads(Path("runs/mine/config.json").read_text())["settings"]
    assert (begun["resume_from"], begun["p"]) == ("ann/mine", pushed["augment_p"])
    exec(as_python(again), second)
    assert "goes on in runs/mine at" in second["said"][-1], "as it was begun"
    assert json.loads(repo.head()["config.json"])["training"]["settings"]["resume_from"]


def test_the_last_cell_publishes_once_its_sign_is_gone(hub, clone, monkeypatch):
    line = CODE[-1].replace("# !", "!")
    assert line != CODE[-1]
    hub.add("ann/mine", ROOT / "tests/links/tiny-16", private=True)
    names = {"shell": shell, "said": [], "REPO": "ann/mine", "RUN": ROOT / "tests/links/tiny-16"}
    monkeypatch.chdir(clone)
    exec(as_python(line), names)
    assert not hub.repos["model", "ann/mine"].private
    assert ("space", "ann/mine") in hub.repos


@pytest.mark.parametrize("line", JOBS)
def test_hf_reads_the_line_for_jobs(line, clone):
    program, jobs, run, *rest = shlex.split(line)
    assert (program, jobs, run) == ("hf", "jobs", "run")
    done = subprocess.run(
        [HF, "jobs", "run", "--dry-run", *rest], cwd=clone, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "Job not submitted" in done.stdout + done.stderr


def test_what_the_jobs_run(hub, clone, monkeypatch):
    photos = clone / "photos"
    bring_project(clone / "project")
    monkeypatch.chdir(clone / "project")
    shell(f"python -m train prepare {photos} data/photos128.zip --resolution 16")
    for i, line in enumerate(JOBS):
        inside = shlex.split(line)[-1].replace("/project", str(clone / "project"))
        for part in inside.replace("/work", str(clone / f"work{i}")).split(" && "):
            shell(part)
    tags = hub.repos["model", "ann/photos-128"].tags
    assert len(JOBS) == 2 and len(tags) == 2, "two runs with other weights"

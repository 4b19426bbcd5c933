"""README's commands, run as they stand there on a handful of pictures drawn here.

A fenced block marked `sh` is run line by line, in order, in a folder that looks like a fresh clone
with a folder `photos/`; long work gets a small budget by the flags below. A block marked `python`
is run there too. A block marked `sh ci` is what .ci/run runs. A block marked `text` is not run.
"""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from reading import ROOT, blocks, commands, links, small

README = (ROOT / "README.md").read_text(encoding="utf-8")


def environment(clone: Path) -> dict[str, str]:
    return os.environ | {
        "PATH": f"{clone / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def run(command: str | list[str], clone: Path) -> None:
    done = subprocess.run(
        command,
        shell=isinstance(command, str),
        cwd=clone,
        env=environment(clone),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"


def serve(command: str, clone: Path) -> None:
    """A command that goes on until it is stopped: its page must come up."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = environment(clone) | {"STYLEGAN_HOST": "127.0.0.1", "STYLEGAN_PORT": str(port)}
    log = clone / "app.log"
    with log.open("w") as file:
        app = subprocess.Popen(
            shlex.split(command), cwd=clone, env=settings, stdout=file, stderr=file
        )
    try:
        deadline = time.monotonic() + 120
        while app.poll() is None and time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as page:
                    assert page.status == 200
                    return
            except OSError:
                time.sleep(0.2)
        raise AssertionError(f"{command}\n{log.read_text()}")
    finally:
        app.send_signal(signal.SIGKILL)
        app.wait()


def test_every_block_says_what_it_is():
    marks = [mark for mark, _ in blocks(README)]
    assert len(marks) == len(re.findall(r"^```", README, re.MULTILINE)) / 2
    assert set(marks) <= {"sh", "sh ci", "python", "text"}
    assert "sh" in marks


def test_commands(clone, hub):
    for mark, content in blocks(README):
        if mark == "python":
            run([sys.executable, "-c", content], clone)
        if mark == "sh":
            for command in commands(content):
                if command.startswith("python app.py"):
                    serve(command, clone)
                else:
                    run(small(command), clone)
    assert {kind for kind, _ in hub.repos} == {"model", "space"}
    assert not any(repo.private for (kind, _), repo in hub.repos.items() if kind == "model")


def test_ci_runs_the_two_lines():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    done = [line.strip() for line in script]
    lines = [x for mark, text in blocks(README) if mark == "sh ci" for x in commands(text)]
    assert len(lines) == 2
    for part in (part.strip() for line in lines for part in line.split("&&")):
        assert any(line == part or line.startswith(f"{part} >") for line in done), part


def test_links_lead_somewhere():
    for link in links(README):
        assert (ROOT / link).exists(), link

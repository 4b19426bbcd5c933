"""python app.py in a process of its own, for tests that need the real server."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TINY = Path(__file__).parent / "links/tiny-16"
START_SEC = 120


@dataclass
class Server:
    """Where it answers, its process, and what it has said so far."""

    url: str
    process: subprocess.Popen
    log: Path


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


@contextmanager
def running(
    folder: Path, *flags: str, app: Path = ROOT / "app.py", **variables: str
) -> Iterator[Server]:
    """An app, started with these flags and variables and its files under `folder`."""
    with serving(folder, [str(app), *flags], **variables) as server:
        yield server


@contextmanager
def serving(folder: Path, line: list[str], **variables: str) -> Iterator[Server]:
    """What `python LINE --port ...` serves, with its files under `folder`."""
    port = free_port()
    log = folder / "app.log"
    (folder / "tmp").mkdir()
    environment = os.environ | {"TMPDIR": str(folder / "tmp")} | variables
    command = [sys.executable, *line, "--port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=out)
    server = Server(f"http://127.0.0.1:{port}", process, log)
    try:
        _wait(server)
        yield server
    finally:
        process.terminate()
        process.wait(30)


def _wait(server: Server) -> None:
    until = time.monotonic() + START_SEC
    while time.monotonic() < until and server.process.poll() is None:
        if server.url in server.log.read_text():
            return
        time.sleep(0.1)
    raise RuntimeError(f"the app did not start: {server.log.read_text()}")

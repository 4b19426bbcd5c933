"""Snapshots on their way to the Hub beside a training, which they neither stall nor end."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

LOG = "push.log"
ON_ITS_WAY = ".push.json"  # model and process of the push that runs, also after this program
MOST_SEC = 3600.0  # for one push, which is ended then
NICE = 10  # priority: training comes first
QUIET = {  # what a push may not take from training
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "PYTHONUNBUFFERED": "1",
}


class Push:
    """What is done with snapshots beside a training; here nothing."""

    def __call__(self, model: Path) -> None:
        """Take a new model folder; returns at once."""

    def needs(self) -> set[Path]:
        """Model folders that may not go yet."""
        return set()


class Pusher(Push):
    """Hands snapshots to a command, one at a time, each in a process of its own.

    The process outlives this one, so that a training that is stopped does not tear a push. A
    snapshot that comes while another is on its way waits, and gives way to a newer one.
    """

    def __init__(
        self,
        command: Callable[[Path], list[str]],
        run: Path,
        every: int = 1,
        say: Callable[[str], None] = print,
    ) -> None:
        """`command` makes the line that sends a model folder; each `every`th snapshot is sent."""
        self.command, self.run, self.every, self.say = command, run, every, say
        self.sent: Path | None = None
        """The model that arrived last."""
        self._seen = 0
        self._next: Path | None = None
        self._now: Path | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def __call__(self, model: Path) -> None:
        """Take a new snapshot; returns at once."""
        self._seen += 1
        if self._seen % self.every == 0:
            self._take(model)

    def needs(self) -> set[Path]:
        """Models that wait or are on their way, even if an earlier call sent them off."""
        with self._lock:
            waiting = {model for model in (self._next, self._now) if model is not None}
        return waiting | on_its_way(self.run)

    def finish(self, best: Path, most_sec: float = MOST_SEC) -> bool:
        """Let the best model be the last one sent, and wait; whether it arrived."""
        self._join(most_sec)
        for _ in range(2):  # what failed gets one more chance
            if self.sent is None or self.sent.resolve() != best.resolve():
                self.say(f"sending {best.resolve().name} to the Hub; Ctrl-C leaves it to itself")
                self._take(best.resolve())
                self._join(most_sec)
        return self.sent is not None and self.sent.resolve() == best.resolve()

    def _take(self, model: Path) -> None:
        with self._lock:
            if self._next is not None:
                self.say(f"{self._next.name} is not sent to the Hub, {model.name} is newer")
            self._next = model
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()

    def _join(self, most_sec: float) -> None:
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(most_sec)

    def _work(self) -> None:
        while True:
            with self._lock:
                model, self._next = self._next, None
                self._now = model
                if model is None:
                    self._thread = None
                    return
            try:
                self._send(model)
            except Exception as error:
                self.say(f"{model.name} did not reach the Hub: {error}")

    def _send(self, model: Path) -> None:
        with (self.run / LOG).open("ab") as log:
            start = log.tell()
            process = subprocess.Popen(
                self.command(model),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | QUIET,
                start_new_session=True,
            )
        with suppress(psutil.Error, ValueError):  # it may be over, or priorities be others
            psutil.Process(process.pid).nice(NICE)
            born = psutil.Process(process.pid).create_time()
            note = {"model": model.name, "pid": process.pid, "born": born}
            (self.run / ON_ITS_WAY).write_text(json.dumps(note), encoding="utf-8")
        try:
            code = process.wait(MOST_SEC)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self.say(f"{model.name} did not reach the Hub in {MOST_SEC / 60:g} minutes")
            return
        said = _words(self.run / LOG, start)
        if code == 0:
            self.sent = model
            address = next((x for x in said if x.startswith("published:")), "")
            self.say(f"{model.name} is on the Hub: {address.removeprefix('published:').strip()}")
            return
        reason = said[-1].removeprefix("train: ") if said else f"exit code {code}"
        self.say(f"{model.name} did not reach the Hub: {reason} (more in {self.run / LOG})")


def on_its_way(run: Path) -> set[Path]:
    """The model that a process sends now, whoever started it."""
    try:
        note = json.loads((run / ON_ITS_WAY).read_text(encoding="utf-8"))
        born = psutil.Process(note["pid"]).create_time()
        return {run / "models" / note["model"]} if born == note["born"] else set()
    except (OSError, ValueError, KeyError, psutil.Error):
        return set()


def _words(log: Path, start: int) -> list[str]:
    """Lines that a push has written."""
    with log.open("rb") as file:
        file.seek(start)
        return file.read().decode("utf-8", "replace").splitlines()

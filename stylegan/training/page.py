"""The run's index.html, kept up to date while it is trained."""

from __future__ import annotations

import math
import time
from pathlib import Path

from stylegan import run_page
from stylegan.runs import PAGE, STATS, Stats, read_run

from .listeners import Line, Listener

MOST_SHARE = 0.02  # of the time may go into pages


class Page(Listener):
    """Writes the page with each snapshot, less often where that would take too long, and at the
    end."""

    def __init__(self) -> None:
        self._free_at = -math.inf

    def begins(self, folder: Path) -> None:
        self.folder = folder
        self.stats = Stats(folder / STATS)
        self._write(f"in training since {_now()}")

    def tick(self, line: Line, model: Path | None) -> None:
        if model is not None and time.monotonic() >= self._free_at:
            self._write(f"in training, as of {_now()}")

    def ends(self, how: str) -> None:
        self._write(f"{how} ({_now()})")

    def _write(self, state: str) -> None:
        began = time.monotonic()
        run = read_run(self.folder, self.stats)
        run_page.write_page(run, self.folder / PAGE, state)
        now = time.monotonic()
        self._free_at = now + (now - began) * (1 / MOST_SHARE - 1)


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M")

"""What hears of a run while it is trained, and can neither stall nor end it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from stylegan.pictures import brief

MOST_SEC = 120.0  # that the end of a run waits for them

Line = dict[str, Any]


class Listener:
    """Hears of one call of `fit`; here nothing comes of it."""

    def begins(self, folder: Path) -> None:
        """The run stands in its folder, and the first step is next."""

    def tick(self, line: Line, model: Path | None) -> None:
        """A line of stats.jsonl was written, and a model where there was a snapshot."""

    def ends(self, how: str) -> None:
        """All is saved; a sentence says how it ended."""


class Listeners:
    """Tells them all, each in a thread of its own; what fails in one is said once."""

    def __init__(self, listeners: Sequence[Listener], say: Callable[[str], None]) -> None:
        self._workers = [Worker(listener, say) for listener in listeners]

    def begins(self, folder: Path) -> None:
        for worker in self._workers:
            worker.tell(partial(worker.listener.begins, folder))

    def tick(self, line: Line, model: Path | None) -> None:
        for worker in self._workers:
            worker.tell(partial(worker.listener.tick, line, model))

    def ends(self, how: str) -> None:
        """The last that is told; waits for what is still on its way."""
        for worker in self._workers:
            worker.tell(partial(worker.listener.ends, how))
        until = time.monotonic() + MOST_SEC
        for worker in self._workers:
            worker.finish(max(until - time.monotonic(), 0.0))


class Worker:
    """A listener, and the thread in which it hears."""

    def __init__(self, listener: Listener, say: Callable[[str], None]) -> None:
        self.listener, self.say = listener, say
        self._name = type(listener).__name__.lower()
        self._said: set[str] = set()
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def tell(self, what: Callable[[], None]) -> None:
        """Returns at once."""
        self._work.put(what)

    def finish(self, most_sec: float) -> None:
        """Wait until it has heard everything."""
        self._work.put(None)
        self._thread.join(most_sec)
        if self._thread.is_alive():
            self.say(f"{self._name}: it is still busy and left behind")

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work()
            except Exception as error:
                words = f"{self._name}: {brief(error)}; training goes on"
                if words not in self._said:
                    self._said.add(words)
                    self.say(words)

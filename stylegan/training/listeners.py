"""What hears of a run while it is trained, and can neither stall nor end it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stylegan.pictures import brief

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
    """Tells them all; what fails in one of them is said once, and training goes on."""

    def __init__(self, listeners: Sequence[Listener], say: Callable[[str], None]) -> None:
        self.listeners, self.say = listeners, say
        self._said: set[str] = set()

    def begins(self, folder: Path) -> None:
        self._each(lambda listener: listener.begins(folder))

    def tick(self, line: Line, model: Path | None) -> None:
        self._each(lambda listener: listener.tick(line, model))

    def ends(self, how: str) -> None:
        self._each(lambda listener: listener.ends(how))

    def _each(self, tell: Callable[[Listener], None]) -> None:
        for listener in self.listeners:
            try:
                tell(listener)
            except Exception as error:
                words = f"{type(listener).__name__.lower()}: {brief(error)}; training goes on"
                if words not in self._said:
                    self._said.add(words)
                    self.say(words)

"""Work on many items kept as it is done, so that the next call goes on where this one was stopped.

A hidden folder beside the result holds `pack`, all results one after another, and `index`, a line
of JSON for each. A line counts only when it and what it speaks of are whole.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from stylegan.config import UserError

INDEX, PACK, LOCK = "index", "pack", "lock"


class JournalError(UserError):
    """Work that another process is doing."""


@contextmanager
def journal(result: Path, key: object) -> Iterator[Journal]:
    """The journal of a result; it is gone when the block ends well, or refuses what the person
    wants. Another key begins anew.
    """
    folder = result.with_name(f".{result.name}.work")
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise JournalError(f"another process is writing {result}") from None
    book, keep = Journal(folder, key), True
    try:
        yield book
        keep = False
    except UserError:
        keep = False
        raise
    finally:
        keep = keep and len(book) > 0
        book.close()
        lock.release()
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


class Journal:
    """Results by name: numbers and words in the index, bytes in the pack."""

    def __init__(self, folder: Path, key: object):
        self._index = _open(folder / INDEX)
        self._pack = _open(folder / PACK)
        self._places: dict[str, int] = {}  # name -> where its line begins
        self._end = 0  # of the pack
        head = _line({"key": key})
        if self._index.readline() == head:
            self._read_lines()
        else:
            self._index.seek(0)
            self._index.write(head)
        self._index.truncate()
        self._pack.truncate(self._end)

    def __len__(self) -> int:
        return len(self._places)

    def get(self, name: str) -> dict[str, Any] | None:
        """What was noted of a name, if anything was."""
        if name not in self._places:
            return None
        self._index.seek(self._places[name])
        return json.loads(self._index.readline())

    def read(self, note: dict[str, Any], which: int) -> bytes:
        """One of the byte strings that belong to a note."""
        start = note["at"] + sum(note["sizes"][:which])
        self._pack.seek(start)
        return self._pack.read(note["sizes"][which])

    def add(self, name: str, note: dict[str, Any], contents: Sequence[bytes] = ()) -> None:
        """Keep a result: the contents first, then the line that speaks of them."""
        sizes = [len(content) for content in contents]
        self._pack.seek(self._end)
        self._pack.writelines(contents)
        self._pack.flush()
        place = self._index.seek(0, os.SEEK_END)
        self._index.write(_line({**note, "name": name, "at": self._end, "sizes": sizes}))
        self._index.flush()
        self._places[name] = place
        self._end += sum(sizes)

    def close(self) -> None:
        self._index.close()
        self._pack.close()

    def _read_lines(self) -> None:
        """All whole lines about what the pack holds; the place after the last of them is kept."""
        there = self._pack.seek(0, os.SEEK_END)
        while True:
            place = self._index.tell()
            line = self._index.readline()
            try:
                note = json.loads(line)
                end = note["at"] + sum(note["sizes"])
            except (ValueError, KeyError, TypeError):
                break
            if not line.endswith(b"\n") or note["at"] != self._end or end > there:
                break
            self._places[note["name"]] = place
            self._end = end
        self._index.seek(place)


def _open(path: Path):
    path.touch()
    return path.open("r+b")


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"

"""Write beside, fsync, rename: a file or folder is either the old one or the new one, whole."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LEFTOVER_SEC = 600  # without a change, after which what a dead process left may go


@contextmanager
def replacing_file(path: str | Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes `path`'s place when the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield beside
        _fsync(beside)
        os.replace(beside, path)
        _fsync(path.parent)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Yield a fresh folder beside `path`; it takes `path`'s place when the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    beside, old = (path.with_name(f".{path.name}.{os.getpid()}.{x}") for x in ("tmp", "old"))
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        yield beside
        for folder, _, names in os.walk(beside):
            for name in names:
                _fsync(Path(folder, name))
            _fsync(Path(folder))
        if path.exists():  # a folder that is not empty cannot be renamed over
            os.replace(path, old)
        os.replace(beside, path)
        _fsync(path.parent)
    finally:
        if old.exists() and not path.exists():  # stopped between the two renames
            os.replace(old, path)
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _sweep(path: Path) -> None:
    """Remove what processes that were killed left beside the path."""
    name = re.compile(rf"\.{re.escape(path.name)}\.(\d+)\.tmp")
    for entry in os.scandir(path.parent):
        match = name.fullmatch(entry.name)
        try:
            if not match or _alive(int(match[1])):
                continue
            if time.time() - entry.stat(follow_symlinks=False).st_mtime < LEFTOVER_SEC:
                continue  # a process of another machine, on a disk that both use
        except OSError:
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            Path(entry.path).unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

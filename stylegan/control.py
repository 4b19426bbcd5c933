"""What a running training is asked for: control.json of its run folder, written by whoever watches.

{"snapshot": true} asks for a grid, metrics and a model now, {"stop": true} for the end after this
tick. The training takes out of the file what it is about to do; what is still in it can be
withdrawn.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from filelock import FileLock, Timeout

from stylegan.atomic import replacing_file
from stylegan.config import UserError

CONTROL, LOCK = "control.json", "control.lock"
MOST_BYTES = 4096
PATIENCE_SEC = 2.0  # for the other side, which needs a millisecond
POLL_SEC = 0.005


@dataclass(frozen=True)
class Requests:
    """What is asked for and has not been done."""

    snapshot: bool = False
    stop: bool = False


NAMES = tuple(field.name for field in fields(Requests))


class ControlError(UserError):
    """A control.json that says nothing that a training could do."""


def read(run: Path) -> Requests:
    """What is asked for; nothing where there is no file."""
    path = run / CONTROL
    try:
        if not stat.S_ISREG(path.lstat().st_mode):  # a pipe would never end
            raise ControlError(f"{CONTROL} is no ordinary file")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return Requests()
    except OSError as error:
        raise ControlError(f"{CONTROL} cannot be read: {error.strerror or error}") from None
    if len(content) > MOST_BYTES:
        raise ControlError(f"{CONTROL} has more than {MOST_BYTES} bytes")
    try:
        asked = json.loads(content)
    except (ValueError, RecursionError):
        raise ControlError(f"{CONTROL} is no JSON, or is not written yet") from None
    if not isinstance(asked, dict) or not all(type(x) is bool for x in asked.values()):
        form = " or ".join(f'{{"{name}": true}}' for name in NAMES)
        raise ControlError(f"{CONTROL} is not of the form {form}")
    if unknown := sorted(set(asked) - set(NAMES)):
        what = unknown[0] if unknown[0].isidentifier() else "something unknown"
        raise ControlError(f"{CONTROL} asks for {what[:40]}; known are: {', '.join(NAMES)}")
    return Requests(**asked)


def ask(run: Path, **changes: bool) -> Requests:
    """Add requests, or withdraw them; what is asked for then. Nonsense in the file is replaced."""
    try:
        with _alone(run):
            asked = replace(read_or_nothing(run), **changes)
            _write(run, asked)
    except Timeout:
        raise ControlError(f"{CONTROL} is being written by somebody else; ask again") from None
    except OSError as error:
        raise ControlError(f"{CONTROL} cannot be written: {error.strerror or error}") from None
    return asked


def take(run: Path, name: str) -> bool:
    """Take a request out of the file, so that it is done once; whether it was still there."""
    try:
        with _alone(run):
            asked = read_or_nothing(run)
            if there := getattr(asked, name):
                _write(run, replace(asked, **{name: False}))
    except OSError:  # and Timeout, which is one: it stays asked for
        return False
    return there


def _alone(run: Path) -> FileLock:
    return FileLock(run / LOCK, timeout=PATIENCE_SEC, poll_interval=POLL_SEC)


def read_or_nothing(run: Path) -> Requests:
    """What is asked for; nothing where that cannot be understood."""
    try:
        return read(run)
    except ControlError:
        return Requests()


def clear(run: Path) -> bool:
    """Forget all requests; whether there was anything."""
    try:
        (run / CONTROL).unlink()
    except FileNotFoundError:
        return False
    except OSError:  # a folder of that name, which is nobody's request
        return False
    return True


def _write(run: Path, asked: Requests) -> None:
    if asked == Requests():
        (run / CONTROL).unlink(missing_ok=True)
        return
    with replacing_file(run / CONTROL) as beside:
        wanted = {name: True for name, value in asdict(asked).items() if value}
        beside.write_text(json.dumps(wanted) + "\n", encoding="utf-8")


class Ear:
    """Listens to control.json: reads it when it changes; what it cannot make of it is said once."""

    def __init__(self, run: Path, say: Callable[[str], None]) -> None:
        self.run, self.say = run, say
        self._seen: tuple[int, ...] | None = None
        self._asked = Requests()

    def listen(self) -> Requests:
        """What is asked for now; costs one question to the file system."""
        try:
            found = os.lstat(self.run / CONTROL)
            seen = (found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode)
        except OSError:
            seen = None
        if seen == self._seen:
            return self._asked
        self._seen, self._asked = seen, Requests()
        if seen is not None:
            try:
                self._asked = read(self.run)
            except ControlError as error:
                self.say(f"{error}; it is ignored")
        return self._asked

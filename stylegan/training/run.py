"""A run folder: one process at a time, one set of settings, statistics that fit the saved state."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from stylegan.atomic import replacing_file
from stylegan.checkpoint import DISCRIMINATOR, GENERATOR
from stylegan.config import NOT_SETTINGS, TrainConfig, UserError
from stylegan.data import Pictures
from stylegan.metrics import SHEETS
from stylegan.runs import (
    ALERTS,
    ASKED,
    BEGUN_WITH,
    BEST,
    CONFIG,
    GRIDS,
    LOCK,
    METRICS_FILE,
    MODELS,
    PAGE,
    PREPARED,
    SAMPLES,
    STATS,
    TRACKED,
    flat,
    kimg_of,
)

FORMAT = 1
WRITTEN = {CONFIG, GENERATOR, DISCRIMINATOR, METRICS_FILE, SAMPLES, *SHEETS}  # of a model
PARTS = (
    *(CONFIG, PREPARED, STATS, ALERTS, BEST, BEGUN_WITH, PAGE, TRACKED),
    *(GRIDS, MODELS, "state-A", "state-B", "events"),
)
LOOK_SEC = 1.0  # who looks whether a run is trained may hold its lock for a moment


@contextmanager
def locked(run: Path, name: str = LOCK) -> Iterator[None]:
    """Keep every other process out of this run folder, or from what a lock of this name is for."""
    run.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run / name)
    try:
        lock.acquire(timeout=LOOK_SEC, poll_interval=LOOK_SEC / 20)
    except Timeout:
        raise UserError(f"{run} is being trained by another process") from None
    try:
        yield
    finally:
        lock.release()


def begin(run: Path, config: TrainConfig, pictures: Pictures, fresh: bool) -> None:
    """Note the settings in a new run, or check that an old one has the same."""
    if fresh:
        set_aside(run)
    for leftover in (*run.glob(".*.tmp"), *run.glob(".*.old")):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    now = describe(config, pictures)
    if (run / CONFIG).exists():
        if differing := _differences(_read(run / CONFIG), now):
            raise UserError(
                f"{run} was begun with other settings ({'; '.join(differing)}); "
                "name another --run, or begin again with --fresh"
            )
        return
    if pictures.note is not None:
        with replacing_file(run / PREPARED) as beside:
            beside.write_bytes(pictures.note)
    with replacing_file(run / CONFIG) as beside:
        beside.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")


def describe(config: TrainConfig, pictures: Pictures) -> dict[str, Any]:
    """Settings and data, as config.json holds them."""
    return {
        "format": FORMAT,
        "settings": dataclasses.asdict(config),
        "data": {
            "name": pictures.name,
            "fingerprint": pictures.fingerprint,
            "pictures": len(pictures.names),
        },
    }


def set_aside(run: Path) -> None:
    """Move what an earlier run left into a folder of its own inside the run; nothing is deleted."""
    found = [run / name for name in PARTS if os.path.lexists(run / name)]
    if not found:
        return
    count = 1
    while (old := run / f"before-{count}").exists():
        count += 1
    old.mkdir()
    for part in found:
        part.rename(old / part.name)


def cut(run: Path, name: str, size: int) -> None:
    """Take back lines written after the state that training goes on from."""
    path = run / name
    if path.exists() and path.stat().st_size > size:
        os.truncate(path, size)


def append(run: Path, name: str, line: dict[str, Any]) -> int:
    """Add one line of JSON to a file; its new length."""
    with (run / name).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
        return file.tell()


def note_beginning(run: Path, report: str) -> None:
    """Keep what was taken from the model that the run began with."""
    with replacing_file(run / BEGUN_WITH) as beside:
        beside.write_text(report, encoding="utf-8")


def point_best(run: Path, model: Path) -> None:
    """Let `best` stand for this model folder."""
    beside = run / f".{BEST}.tmp"
    beside.unlink(missing_ok=True)
    try:
        beside.symlink_to(model.relative_to(run), target_is_directory=True)
        os.replace(beside, run / BEST)
    except OSError:  # a file system, or Windows, without links
        shutil.copytree(model, run / BEST, dirs_exist_ok=True)


def prune(run: Path, keep: int, needed: Collection[Path]) -> None:
    """Remove models but the latest `keep`, the best, those needed or asked for, and those with more
    in them than a run writes."""
    own = (path for path in (run / MODELS).iterdir() if _is_own(path.name))
    models = sorted(own, key=lambda path: kimg_of(path.name))
    stay = {path.resolve() for path in (run / BEST, *models[-keep:], *needed)}
    for model in models:
        if model.resolve() not in stay and {path.name for path in model.iterdir()} <= WRITTEN:
            shutil.rmtree(model)


def _is_own(model: str) -> bool:
    """Whether a run made it by itself, by its name."""
    return kimg_of(model) is not None and not model.endswith(ASKED)


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        version = int(value["format"])
        found = (
            {name: dict(value[name]) for name in ("settings", "data")} if version <= FORMAT else {}
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged; begin again with --fresh") from error
    if version > FORMAT:
        raise UserError(f"{path} was made by a newer version")
    return found


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    defaults = flat(dataclasses.asdict(TrainConfig()))  # for settings that came later
    old, new = {**defaults, **flat(before["settings"])}, flat(now["settings"])
    out = [
        f"{name} was {old.get(name)!r}, now {new.get(name)!r}"
        for name in sorted(set(old) | set(new))
        if old.get(name) != new.get(name) and name not in NOT_SETTINGS
    ]
    if before["data"].get("fingerprint") != now["data"]["fingerprint"]:
        out.append(f"the pictures of {before['data'].get('name')} have changed")
    return out

"""Any folder or zip of pictures -> a zip of equal squares that `data` reads.

Beside the pictures and dataset.json the zip holds prepare.json: the settings, the file that each
picture came from, and every file left out with the reason. Equal input makes equal bytes.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import unicodedata
import warnings
import zipfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal, TypeVar

from tqdm import tqdm

from stylegan.atomic import replacing_file
from stylegan.config import MAX_RESOLUTION, MIN_RESOLUTION, UserError
from stylegan.labels import Label, read_labels
from stylegan.pictures import Fit, PictureError, open_picture, parse_color, square
from stylegan.sources import DataError, Files

T, R = TypeVar("T"), TypeVar("R")


class PrepareError(UserError):
    """Pictures or settings from which no data set can be made."""


@dataclass(frozen=True)
class PrepareConfig:
    """What `prepare` reads, writes and does."""

    src: Path
    """SRC: a folder, with all folders in it, or a zip of pictures."""
    dest: Path
    """DEST: the zip to write."""
    resolution: int = 64
    """Side of the squares in pixels, a power of two from 8 to 1024."""
    fit: Fit = "pad"
    """pad: the whole picture, edges filled with the background; crop: the middle square."""
    background: str = "white"
    """Colour behind transparent pictures and of padding: a name or #rrggbb."""
    channels: Literal[1, 3, 4] = 3
    """1 grey, 3 RGB, 4 RGB and transparency."""
    min_side: int | None = None
    """Leave out pictures whose shorter side has fewer pixels; by default half the resolution."""
    holdout: Path | None = None
    """Text file naming pictures, one a line, that go into a second zip and not into DEST."""
    holdout_dest: Path | None = None
    """The second zip; by default DEST's name with -holdout."""
    force: bool = False
    """Replace zips that exist."""

    def __post_init__(self) -> None:
        r = self.resolution
        if r & (r - 1) or not MIN_RESOLUTION <= r <= MAX_RESOLUTION:
            raise PrepareError(
                f"resolution {r} is not a power of two from {MIN_RESOLUTION} to {MAX_RESOLUTION}"
            )
        if self.min_side is not None and self.min_side < 1:
            raise PrepareError(f"min_side {self.min_side} is less than 1")
        if self.holdout_dest is not None and self.holdout is None:
            raise PrepareError("--holdout-dest needs --holdout, the file of names")
        parse_color(self.background)

    @property
    def smallest(self) -> int:
        """Fewest pixels of a shorter side."""
        return self.min_side if self.min_side is not None else max(1, self.resolution // 2)

    @property
    def second(self) -> Path | None:
        """Where the pictures held out go."""
        if self.holdout is None:
            return None
        return self.holdout_dest or self.dest.with_name(f"{self.dest.stem}-holdout.zip")


@dataclass
class Report:
    """What was done: the sources of both zips in order, and what was left out and why."""

    kept: list[str] = field(default_factory=list)
    held_out: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def summary(self, config: PrepareConfig) -> str:
        """For the person at the keyboard."""
        lines = [f"{len(self.kept)} pictures, {config.resolution} px, in {config.dest}"]
        if config.second:
            lines.append(f"{len(self.held_out)} pictures held out, in {config.second}")
        if self.skipped:
            lines.append(f"{len(self.skipped)} left out:")
            lines += [f"  {_shown(name)}: {reason}" for name, reason in self.skipped[:10]]
            if len(self.skipped) > 10:
                lines.append(f"  ... all of them: unzip -p {config.dest} prepare.json")
        return "\n".join(lines)


def prepare(config: PrepareConfig) -> Report:
    """Write the zip, or both; nothing is left half-written whatever happens."""
    _check_paths(config)
    report = Report()
    with ExitStack() as stack:
        files = stack.enter_context(closing(Files(config.src)))
        labels = read_labels(files)
        names = [n for n in files.names if n not in ("dataset.json", "prepare.json")]
        held_out = _read_holdout(config.holdout, names) if config.holdout else set()
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # decoders warn of what is listed anyhow
        zips = {False: _Zip(stack.enter_context(replacing_file(config.dest)), config)}
        if config.second:
            zips[True] = _Zip(stack.enter_context(replacing_file(config.second)), config)
        for target in zips.values():
            stack.enter_context(closing(target.zip))

        def make(name: str) -> bytes | str:
            """A PNG, or the reason why there is none."""
            if labels is not None and name not in labels:
                return "no label in dataset.json"
            try:
                return _to_png(files.read(name), config)
            except (PictureError, DataError) as error:
                return str(error)

        bar = tqdm(_parallel(make, names), total=len(names), unit=" pictures", disable=None)
        for name, result in zip(names, bar, strict=True):
            if isinstance(result, str):
                report.skipped.append((name, result))
                continue
            zips[name in held_out].add(name, result, labels[name] if labels else None)
            (report.held_out if name in held_out else report.kept).append(name)
        _check_something_left(config, report)
        for target in zips.values():
            target.finish(report)
    return report


def _check_paths(config: PrepareConfig) -> None:
    src = config.src.resolve()
    if not src.exists():
        raise PrepareError(f"{config.src} is not there")
    for dest in filter(None, (config.dest, config.second)):
        place = dest.resolve()
        if dest.suffix.lower() != ".zip":
            raise PrepareError(f"{dest} does not end in .zip")
        if place == src or (src.is_dir() and src in place.parents):
            raise PrepareError(f"{dest} lies inside the source {config.src}; write it elsewhere")
        if place.is_dir():
            raise PrepareError(f"{dest} is a folder")
        if place.exists() and not config.force:
            raise PrepareError(f"{dest} exists; add --force to replace it")
    if config.second and config.second.resolve() == config.dest.resolve():
        raise PrepareError(f"{config.dest} cannot hold both parts; give --holdout-dest")


def _read_holdout(path: Path, names: list[str]) -> set[str]:
    """The names that the file's lines mean: a path within the source, or a file name alone."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        raise PrepareError(f"{path} cannot be read as text") from None
    wanted = [line.strip() for line in lines]
    wanted = [line for line in wanted if line and not line.startswith("#")]
    if not wanted:
        raise PrepareError(f"{path} names no pictures")
    by_key: dict[str, list[str]] = {}
    for name in names:
        for key in {_key(name), _key(PurePosixPath(name).name)}:
            by_key.setdefault(key, []).append(name)
    if missing := [line for line in wanted if _key(line) not in by_key]:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise PrepareError(f"{path} names {', '.join(missing[:5])}{more}, not in the source")
    found = set()
    for line in wanted:
        match = by_key[_key(line)]
        exact = [name for name in match if _key(name) == _key(line)]
        if len(exact or match) > 1:
            raise PrepareError(f"{path}: {line} means {' or '.join(match[:3])}; write its path")
        found.update(exact or match)
    return found


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name)  # macOS writes the other form


def _to_png(data: bytes, config: PrepareConfig) -> bytes:
    image = open_picture(data)
    if min(image.size) < config.smallest:
        raise PictureError(f"{image.width} x {image.height} pixels, a side under {config.smallest}")
    color = parse_color(config.background)
    out = io.BytesIO()
    square(image, config.resolution, config.channels, config.fit, color).save(out, "PNG")
    return out.getvalue()


def _parallel(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Results in order, a few ahead, so that memory stays bounded."""
    workers = min(16, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(workers)
    ahead: deque = deque()
    try:
        for item in items:
            ahead.append(pool.submit(function, item))
            if len(ahead) > 4 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _check_something_left(config: PrepareConfig, report: Report) -> None:
    if report.kept and (report.held_out or not config.second):
        return
    if not report.kept and not report.held_out and not report.skipped:
        raise PrepareError(f"{config.src} holds no pictures")
    where = "to train on" if not report.kept else "in the holdout"
    reasons = Counter(reason for _, reason in report.skipped)
    why = ", ".join(f"{reason}: {count}" for reason, count in reasons.most_common(3))
    raise PrepareError(f"no picture is left {where} ({why or 'all are held out'})")


class _Zip:
    """A data set being written: numbered pictures, then dataset.json and prepare.json."""

    def __init__(self, path: Path, config: PrepareConfig):
        self.zip = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED)
        self.config = config
        self.sources: dict[str, str] = {}
        self.labels: list[tuple[str, Label]] = []

    def add(self, source: str, png: bytes, label: Label | None) -> None:
        number = len(self.sources)
        name = f"{number // 1000:05d}/img{number:08d}.png"
        self.sources[name] = source
        if label is not None:
            self.labels.append((name, label))
        self._write(name, png)

    def finish(self, report: Report) -> None:
        settings = dataclasses.asdict(self.config)
        for name in ("dest", "holdout", "holdout_dest", "force"):
            del settings[name]
        settings |= {"src": self.config.src.resolve().name, "min_side": self.config.smallest}
        note = {"settings": settings, "sources": self.sources, "skipped": report.skipped}
        self._write("dataset.json", _json({"labels": self.labels or None}))
        self._write("prepare.json", _json(note))

    def _write(self, name: str, data: bytes) -> None:
        info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))  # equal bytes at any time
        info.create_system, info.external_attr = 3, 0o644 << 16
        self.zip.writestr(info, data)


def _json(value: object) -> bytes:
    """Readable in any script; names that are no UTF-8 become the escapes that JSON has for them."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    return text.encode(errors="backslashreplace")


def _shown(name: str) -> str:
    """A name that may hold anything, made safe to print."""
    return name if name.isprintable() else ascii(name)

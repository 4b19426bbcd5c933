"""Pictures of any kind -> zips of equal squares that `data` reads, and a sheet of 64 of them.

Beside the pictures and dataset.json a zip holds prepare.json: the settings, the file that each
picture came from, every file left out with the reason, the classes, and a hash of the result. Equal
input and settings make equal bytes, however often the work was stopped between.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import PIL
from PIL import Image
from tqdm import tqdm

from stylegan.atomic import replacing_file
from stylegan.config import MAX_RESOLUTION, MIN_RESOLUTION, UserError
from stylegan.doctor import CRASHED, contents_or_reason, keep_first
from stylegan.duplicates import MIRRORED, RECOLOURED, SAME, find_pairs
from stylegan.enlarge import LANCZOS, NONE, check_upscale, find_model
from stylegan.extras import need
from stylegan.faces import face_detector
from stylegan.journal import Journal, journal
from stylegan.labels import Label, Labels, Names, find_labels, read_csv
from stylegan.measures import HASHES, THUMB
from stylegan.parallel import in_order
from stylegan.pictures import flatten, parse_color
from stylegan.sources import Files
from stylegan.squares import Cut, Squares, Way, make_squares

SHEET = 8  # pictures across and down the contact sheet
SHEET_CELL_PX = 128  # most
MEANS = {SAME: "the same picture as", MIRRORED: "mirrored:", RECOLOURED: "in other colours:"}


class PrepareError(UserError):
    """Pictures or settings from which no data set can be made."""


@dataclass(frozen=True)
class PrepareConfig:
    """What `prepare` reads, writes and does."""

    src: Path
    """SRC: a folder, a zip or tar of pictures; CIFAR-10 (binary) or MNIST."""
    dest: Path
    """DEST: the zip to write; a sheet of 64 pictures is written beside it, as DEST's name .png."""
    resolution: int = 64
    """Side of the squares in pixels, a power of two from 8 to 1024."""
    resolutions: tuple[int, ...] = ()
    """Several sides at once, in place of one: DEST's name with -64, -128 and so on."""
    fit: Way = "pad"
    """pad: the whole picture, edges filled with the background; crop: the middle square;
    crop-face: the square around the largest face."""
    background: str = "white"
    """Colour behind transparent pictures and of padding: a name or #rrggbb."""
    channels: Literal[1, 3, 4] = 3
    """1 grey, 3 RGB, 4 RGB and transparency."""
    min_side: int | None = None
    """Leave out pictures whose shorter side has fewer pixels; by default half the resolution."""
    max_aspect: float | None = None
    """Leave out pictures whose longer side is more than so many times the shorter."""
    upscale: str = LANCZOS
    """For pictures smaller than the squares: lanczos; none, which leaves them out; or a
    super-resolution model, FILE.safetensors or USER/NAME/FILE.safetensors@REVISION on the Hub."""
    dedupe: bool = False
    """Leave out pictures that are another one, rescaled, recompressed or slightly cropped."""
    dedupe_also: tuple[Literal["mirrored", "recoloured"], ...] = ()
    """Further kinds of repetition to leave out."""
    drop: Path | None = None
    """findings.csv of inspect: leave out the files whose column `drop` says yes."""
    labels: str = "auto"
    """auto (dataset.json, or the set's own), none, folders, FILE.csv or FILE.json."""
    label_column: str | None = None
    """Column of the CSV file that holds the labels."""
    split: float = 0.0
    """Share of the pictures, 0 to 0.5, that goes into a second zip; what repeats a picture in any
    way goes where that picture goes."""
    holdout: Path | None = None
    """Text file naming pictures, one a line, that go into a second zip and not into DEST."""
    holdout_dest: Path | None = None
    """The second zip; by default DEST's name with -holdout."""
    force: bool = False
    """Replace zips that exist."""
    workers: int | None = None
    """Processes that work; by default one for each processor."""

    def __post_init__(self) -> None:
        for r in self.sides:
            if r & (r - 1) or not MIN_RESOLUTION <= r <= MAX_RESOLUTION:
                raise PrepareError(
                    f"resolution {r} is not a power of two from {MIN_RESOLUTION} "
                    f"to {MAX_RESOLUTION}"
                )
        if len(set(self.sides)) < len(self.sides):
            raise PrepareError("resolutions names a side twice")
        if self.max_aspect is not None and not self.max_aspect >= 1:
            raise PrepareError(f"max_aspect {self.max_aspect} is less than 1")
        if not 0 <= self.split <= 0.5:
            raise PrepareError(f"split {self.split} is outside 0 to 0.5")
        if self.split and self.holdout is not None:
            raise PrepareError("--split and --holdout both choose the second zip; give one")
        if self.dedupe_also and not self.dedupe:
            raise PrepareError("--dedupe-also needs --dedupe")
        if self.workers is not None and self.workers < 1:
            raise PrepareError(f"workers {self.workers} is less than 1")
        check_upscale(self.upscale)
        if self.min_side is not None and self.min_side < 1:
            raise PrepareError(f"min_side {self.min_side} is less than 1")
        if self.holdout_dest is not None and self.holdout is None and not self.split:
            raise PrepareError("--holdout-dest needs --holdout, the file of names, or --split")
        parse_color(self.background)

    @property
    def sides(self) -> tuple[int, ...]:
        """Of the squares, smallest first."""
        return tuple(sorted(self.resolutions)) or (self.resolution,)

    @property
    def smallest(self) -> int:
        """Fewest pixels of a shorter side."""
        if self.min_side is not None:
            return self.min_side
        return self.sides[-1] if self.upscale == NONE else max(1, self.sides[-1] // 2)

    @property
    def second(self) -> Path | None:
        """Where the pictures held out go, before the side is put into the name."""
        if self.holdout is None and not self.split:
            return None
        return self.holdout_dest or self.dest.with_name(f"{self.dest.stem}-holdout.zip")

    @property
    def measured(self) -> bool:
        """Whether duplicates are looked for."""
        return self.dedupe or self.split > 0

    def places(self) -> dict[tuple[int, bool], Path]:
        """(side, held out) -> the zip that those pictures go into."""
        parts = {False: self.dest, True: self.second}
        several = len(self.sides) > 1
        return {
            (side, part): path.with_name(f"{path.stem}-{side}.zip") if several else path
            for part, path in parts.items()
            if path is not None
            for side in self.sides
        }


@dataclass
class Report:
    """What was done: the sources of both zips in order, and what was left out and why."""

    kept: list[str] = field(default_factory=list)
    held_out: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def summary(self, config: PrepareConfig) -> str:
        """For the person at the keyboard."""
        places = config.places()
        lines = []
        for (side, held), path in places.items():
            what = (
                f"{len(self.held_out)} pictures held out" if held else f"{len(self.kept)} pictures"
            )
            lines.append(f"{what}, {side} px, in {path}")
        first = next(iter(places.values()))
        lines.append(f"look at {first.with_suffix('.png')} before you train")
        if self.skipped:
            lines.append(f"{len(self.skipped)} left out:")
            lines += [f"  {_shown(name)}: {reason}" for name, reason in self.skipped[:10]]
            if len(self.skipped) > 10:
                lines.append(f"  ... all of them: unzip -p {first} prepare.json")
        return "\n".join(lines)


def prepare(config: PrepareConfig) -> Report:
    """Write the zips and their sheets; none is left half-written whatever happens."""
    _check_paths(config)
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # decoders warn of what is listed anyhow
        files = stack.enter_context(closing(Files(config.src)))
        names = files.pictures
        labels = find_labels(files, config.labels, config.label_column)
        dropped = _read_drop(config.drop, names) if config.drop else {}
        listed = _read_holdout(config.holdout, names) if config.holdout else set()
        cut = _cut(config)
        if config.measured:
            need("imagehash")
        if config.fit == "crop-face":
            face_detector()
        book = stack.enter_context(journal(config.dest, _key(config, cut)))
        reasons = {name: reason for name in names if (reason := _unwanted(name, labels, dropped))}
        _make_all(files, [name for name in names if name not in reasons], cut, config.workers, book)
        for name in names:
            if name not in reasons and "reason" in (note := book.get(name)):
                reasons[name] = note["reason"]
        alike = _find_alike(book, [n for n in names if n not in reasons]) if config.measured else {}
        for name, (kind, of) in alike.items():
            if config.dedupe and kind in (SAME, *config.dedupe_also):
                reasons[name] = f"{MEANS[kind]} {of}"
        left = [name for name in names if name not in reasons]
        held = _split(left, alike, config.split) if config.split else listed
        report = Report(
            [name for name in left if name not in held],
            [name for name in left if name in held],
            [(name, reasons[name]) for name in names if name in reasons],
        )
        _check_something_left(config, report)
        _write_all(config, report, labels, book)
    return report


def _cut(config: PrepareConfig) -> Cut:
    return Cut(
        config.sides,
        config.channels,
        config.fit,
        parse_color(config.background),
        config.smallest,
        config.max_aspect,
        find_model(config.upscale),
        config.measured,
    )


def _key(config: PrepareConfig, cut: Cut) -> object:
    """What must be as it was for squares made by an earlier call to be used."""
    return [
        str(config.src.resolve()),
        PIL.__version__,
        json.loads(json.dumps(dataclasses.asdict(cut))),
    ]


def _unwanted(name: str, labels: Labels | None, dropped: dict[str, str]) -> str | None:
    """Why a file need not even be read."""
    if name in dropped:
        return f"dropped as {dropped[name]}"
    if labels is None or name in labels.by_name:
        return None
    if name in labels.contradictions:
        return f"several labels in {labels.where}"
    return f"no label in {labels.where}"


def _make_all(files: Files, names: list[str], cut: Cut, workers: int | None, book: Journal) -> None:
    """Squares of all pictures into the journal, but for those that it holds already."""
    todo = []
    for name in names:
        note = book.get(name)
        if note is None or note["state"] != list(files.state(name)):
            todo.append(name)
    contents = (contents_or_reason(files, name) for name in todo)
    made = in_order(partial(make_squares, cut), contents, len(todo), workers, lambda: CRASHED)
    bar = tqdm(
        made, initial=len(names) - len(todo), total=len(names), unit=" pictures", disable=None
    )
    for name, result in zip(todo, bar, strict=True):
        note = {"state": files.state(name)}
        if isinstance(result, str):
            book.add(name, note | {"reason": result})
        else:
            book.add(name, *_noted(result, note))


def _noted(result: Squares, note: dict) -> tuple[dict, list[bytes]]:
    """A result as the journal keeps it: the PNGs, then the thumbnail if there is one."""
    contents = list(result.pngs)
    if result.measures:
        m = result.measures
        note |= {"size": [m.width, m.height], "hashes": m.hashes}
        contents.append(m.thumb)
    return note, contents


def _find_alike(book: Journal, names: list[str]) -> dict[str, tuple[str, str]]:
    """Picture -> how it repeats another, and which."""
    if len(names) < 2:
        return {}
    sizes, hashes = (
        np.empty((len(names), 2), np.int32),
        np.empty((len(names), len(HASHES)), np.uint64),
    )
    for i, name in enumerate(names):
        note = book.get(name)
        sizes[i], hashes[i] = note["size"], note["hashes"]

    def thumbs(indices: np.ndarray) -> np.ndarray:
        out = np.empty((len(indices), THUMB, THUMB, 3), np.uint8)
        for row, index in zip(out, indices, strict=True):
            note = book.get(names[index])
            content = book.read(note, len(note["sizes"]) - 1)
            row[:] = np.frombuffer(content, np.uint8).reshape(row.shape)
        return out

    pairs = find_pairs(hashes, thumbs, keep_first(sizes))
    return {names[pair.index]: (pair.kind, names[pair.of]) for pair in pairs}


def _split(names: list[str], alike: dict[str, tuple[str, str]], share: float) -> set[str]:
    """About that share of the names, chosen by their hashes; repetitions stay together."""
    groups: dict[str, list[str]] = {}
    for name in names:
        first = name
        while first in alike:
            first = alike[first][1]
        groups.setdefault(first, []).append(name)
    wanted, held = round(share * len(names)), set()
    for first in sorted(groups, key=lambda name: hashlib.sha256(_utf8(name)).digest()):
        if len(held) + len(groups[first]) <= wanted:
            held.update(groups[first])
    return held


def _write_all(config: PrepareConfig, report: Report, labels: Labels | None, book: Journal) -> None:
    """All zips and sheets; those of one call appear together."""
    with ExitStack() as stack:
        for (side, part), path in config.places().items():
            which = config.sides.index(side)
            names = report.held_out if part else report.kept
            beside = stack.enter_context(replacing_file(path))
            with closing(_Zip(beside)) as target:
                for name in names:
                    png = book.read(book.get(name), which)
                    target.add(name, png, labels.by_name[name] if labels else None)
                target.finish(_settings(config, side), report, labels)
            sheet = stack.enter_context(replacing_file(path.with_suffix(".png")))
            step = max(1, len(names) // SHEET**2)
            chosen = names[: step * SHEET**2 : step]
            pngs = (book.read(book.get(name), which) for name in chosen)
            contact_sheet(pngs, side).save(sheet, "PNG")


def contact_sheet(pngs: Iterator[bytes], side: int) -> Image.Image:
    """RGB: up to 64 pictures in rows of eight, transparency over white."""
    cell = min(side, SHEET_CELL_PX) if side >= SHEET_CELL_PX // 2 else 2 * side
    page = Image.new("RGB", (SHEET * cell, SHEET * cell), "white")
    for i, png in enumerate(pngs):
        with Image.open(io.BytesIO(png)) as image:
            picture = flatten(image).convert("RGB")
        if cell != side:
            picture = picture.resize((cell, cell), Image.Resampling.BICUBIC)
        page.paste(picture, (i % SHEET * cell, i // SHEET * cell))
    return page


def _settings(config: PrepareConfig, side: int) -> dict[str, object]:
    """What the result depends on, without places on this machine."""
    settings = dataclasses.asdict(config)
    for name in ("dest", "holdout", "holdout_dest", "force", "workers", "resolutions", "drop"):
        del settings[name]
    upscale = config.upscale if "/" not in config.upscale else config.upscale.lstrip("./")
    return settings | {
        "src": config.src.resolve().name,
        "resolution": side,
        "min_side": config.smallest,
        "upscale": Path(config.upscale).name if Path(config.upscale).is_file() else upscale,
        "labels": Path(config.labels).name,
    }


def _check_paths(config: PrepareConfig) -> None:
    src = config.src.resolve()
    if not src.exists():
        raise PrepareError(f"{config.src} is not there")
    for given in filter(None, (config.dest, config.second)):
        if given.suffix.lower() != ".zip":
            raise PrepareError(f"{given} does not end in .zip")
    places = list(config.places().values())
    for path in [x for dest in places for x in (dest, dest.with_suffix(".png"))]:
        place = path.resolve()
        if place == src or (src.is_dir() and src in place.parents):
            raise PrepareError(f"{path} lies inside the source {config.src}; write it elsewhere")
        if place.is_dir():
            raise PrepareError(f"{path} is a folder")
        if place.exists() and not config.force:
            raise PrepareError(f"{path} exists; add --force to replace it")
    if len({path.resolve() for path in places}) < len(places):
        raise PrepareError(f"{config.dest} cannot hold both parts; give --holdout-dest")


def _read_drop(path: Path, names: list[str]) -> dict[str, str]:
    """Picture -> what was found about it, of the rows that say drop, or of all where none can."""
    columns, rows = read_csv(path)
    if "file" not in columns:
        raise PrepareError(f"{path} has no column 'file'; inspect writes such a list")
    wanted = {
        row["file"]: row.get("finding") or "listed"
        for row in reversed(rows)
        if row["file"] and (row.get("drop") or "yes").strip().lower() in ("yes", "y", "true", "1")
    }
    known = Names(names)
    known.find_all(list(wanted), path)
    return {name: why for line, why in wanted.items() for name in known.find(line)}


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
    return Names(names).find_all(wanted, path)


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

    def __init__(self, path: Path):
        self.zip = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED)
        self.sources: dict[str, str] = {}
        self.labels: list[tuple[str, Label]] = []
        self.digest = hashlib.sha256()

    def add(self, source: str, png: bytes, label: Label | None) -> None:
        number = len(self.sources)
        name = f"{number // 1000:05d}/img{number:08d}.png"
        self.sources[name] = source
        if label is not None:
            self.labels.append((name, label))
        self._write(name, png)

    def finish(self, settings: dict[str, object], report: Report, labels: Labels | None) -> None:
        self._write("dataset.json", _json({"labels": self.labels or None}))
        note = {
            "settings": settings,
            "hash": self.digest.hexdigest(),
            "classes": labels.classes if labels else None,
            "sources": self.sources,
            "skipped": report.skipped,
        }
        self._write("prepare.json", _json(note))

    def close(self) -> None:
        self.zip.close()

    def _write(self, name: str, data: bytes) -> None:
        info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))  # equal bytes at any time
        info.create_system, info.external_attr = 3, 0o644 << 16
        self.zip.writestr(info, data)
        self.digest.update(_utf8(name) + b"\0" + data)


def _json(value: object) -> bytes:
    """Readable in any script; names that are no UTF-8 become the escapes that JSON has for them."""
    return _utf8(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def _utf8(text: str) -> bytes:
    return text.encode(errors="backslashreplace")


def _shown(name: str) -> str:
    """A name that may hold anything, made safe to print."""
    return name if name.isprintable() else ascii(name)

"""A run folder read from outside, while it is written or long after: settings, curves, grids."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylegan.config import UserError

CONFIG, STATS, LOCK, BEST = "config.json", "stats.jsonl", "lock", "best"
ALERTS = "alerts.jsonl"
GRIDS, MODELS, REALS = "grids", "models", "reals.png"
ASKED = "-asked"  # ends the names of snapshots that somebody asked for
SAMPLES, METRICS_FILE = "samples.png", "metrics.json"  # of a model
PAGE = "index.html"
TRACKED = "tracked.json"  # under which name a tracker has the run
PREPARED = "prepare.json"  # how the pictures were made, as the data set says
BEGUN_WITH = "resume-from.txt"  # what was taken from the model that the run began with

KIMG, NIMG, SECONDS = "Progress/kimg", "Progress/nimg", "Timing/total_sec"
METRIC = "Metrics/"  # what the names of metrics begin with

Line = dict[str, Any]
"""What a tick wrote: numbers by name, and {num, mean, std} of what was measured many times."""


@dataclass(frozen=True)
class Series:
    """One curve, a point a tick; nan where a tick has no such number, or one that is not finite."""

    name: str
    kimg: tuple[float, ...]
    hours: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.kimg)

    @property
    def last(self) -> float:
        """The newest value; nan if there is none."""
        return self.mean[-1] if self.mean else math.nan

    @property
    def points(self) -> list[Point]:
        """All values that are finite."""
        rows = zip(self.mean, self.kimg, self.hours, strict=True)
        return [Point(*row) for row in rows if not math.isnan(row[0])]


@dataclass(frozen=True)
class Point:
    """One value of a curve, and when it was reached."""

    value: float
    kimg: float
    hours: float


@dataclass(frozen=True)
class Grid:
    """Pictures of fixed seeds at one moment."""

    kimg: float
    path: Path


@dataclass(frozen=True)
class Snapshot:
    """A model of the run, with what was measured and noted of it."""

    kimg: float
    folder: Path
    records: tuple[Mapping[str, Any], ...]
    """Of metrics.json."""
    notes: Mapping[str, Any]
    """Under `training` in its config.json: hours, device, versions."""


@dataclass(frozen=True)
class Cost:
    """What a run has taken so far; nan or empty where it does not say."""

    kimg: float
    """Thousand images shown, without those of the model that it began with."""
    hours: float
    sec_per_kimg: float
    device: str
    program: str
    torch: str
    cpu_mem_gib: float
    gpu_mem_gib: float


@dataclass(frozen=True)
class Run:
    """A run folder at one moment."""

    folder: Path
    settings: Mapping[str, Any]
    """As config.json has them; empty where it cannot be read."""
    data: Mapping[str, Any]
    """name, fingerprint, pictures."""
    lines: tuple[Line, ...]
    """Ticks in order; none until the first one."""
    grids: tuple[Grid, ...]
    reals: Path | None
    """A grid of real pictures."""
    models: tuple[Snapshot, ...]
    best: Snapshot | None
    prepared: Mapping[str, Any]
    """prepare.json of the data; empty where there is none."""
    begun_with: str
    """What was taken from the model that it began with; empty for none."""

    @property
    def name(self) -> str:
        """The folder's own."""
        return self.folder.resolve().name

    @property
    def kimg(self) -> float:
        """Where it stands."""
        start = _number(self.settings.get("start_kimg"))
        return self.lines[-1][KIMG] if self.lines else (0.0 if math.isnan(start) else start)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all that can be drawn as a curve, in the order of appearance."""
        found = {k: None for line in self.lines for k, v in line.items() if _has_number(v)}
        return tuple(found)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of metrics, without `Metrics/`."""
        return tuple(x.removeprefix(METRIC) for x in self.names if x.startswith(METRIC))

    def series(self, name: str) -> Series:
        """A curve by name; empty if no tick has it."""
        lines = [line for line in self.lines if name in line]
        return Series(
            name,
            tuple(line[KIMG] for line in lines),
            tuple(_number(line.get(SECONDS)) / 3600 for line in lines),
            tuple(_mean(line[name]) for line in lines),
            tuple(_std(line[name]) for line in lines),
        )

    def metric(self, name: str) -> Series:
        """The curve of a metric, named without `Metrics/`."""
        return self.series(METRIC + name)

    def record(self, metric: str) -> Mapping[str, Any]:
        """The newest measurement of a metric in full; empty if no model has one."""
        for model in reversed(self.models):
            for record in model.records:
                if record.get("metric") == metric:
                    return record
        return {}

    def floor(self, metric: str) -> float:
        """What chance alone makes of two sets of real pictures; nan where it was not measured."""
        return _number(self.record(metric).get("floor"))

    def grid_at(self, kimg: float) -> Grid | None:
        """The grid closest to this moment."""
        return min(self.grids, key=lambda grid: abs(grid.kimg - kimg), default=None)

    @property
    def cost(self) -> Cost:
        """Hours, speed, machine."""
        start = _number(self.settings.get("start_kimg"))
        kimg = self.kimg - (0.0 if math.isnan(start) else start)
        last = self.lines[-1] if self.lines else {}
        hours = _number(last.get(SECONDS)) / 3600
        notes = self.models[-1].notes if self.models else {}
        words = (str(notes.get(name) or "") for name in ("device", "code", "torch"))
        memory = (self._most(f"Resources/{kind}_mem_gib") for kind in ("cpu", "gpu"))
        return Cost(kimg, hours, hours * 3600 / kimg if kimg else math.nan, *words, *memory)

    def _most(self, name: str) -> float:
        values = [x for x in self.series(name).mean if not math.isnan(x)]
        return max(values, default=math.nan)


class Stats:
    """The lines of a stats.jsonl, read as they are added; a file cut back is read again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[Line] = []
        self._end = 0  # of the last whole line
        self._last = b""  # that line, to see whether it still stands there

    def read(self) -> bool:
        """Take in what is new; whether anything is."""
        try:
            with self.path.open("rb") as file:
                return self._read(file)
        except OSError:
            gone = bool(self.lines)
            self._forget()
            return gone

    def _read(self, file: Any) -> bool:
        file.seek(self._end - len(self._last))
        cut = file.read(len(self._last)) != self._last
        if cut:
            self._forget()
            file.seek(0)
        whole, newline, _ = file.read().rpartition(b"\n")  # the rest is still being written
        if not newline:
            return cut
        rows = whole.split(b"\n")
        self._end += len(whole) + 1
        self._last = rows[-1] + b"\n"
        for line in filter(None, map(_parse, rows)):
            while self.lines and self.lines[-1][KIMG] >= line[KIMG]:
                self.lines.pop()  # taken back by a run that went on from before
            self.lines.append(line)
        return True

    def _forget(self) -> None:
        self.lines, self._end, self._last = [], 0, b""


def read_run(folder: str | Path, stats: Stats | None = None) -> Run:
    """Read a run folder; `stats` of an earlier reading spares reading all lines again."""
    folder = Path(folder)
    stats = stats or Stats(folder / STATS)
    stats.read()
    told = _json(folder / CONFIG)
    settings = _mapping(told.get("settings"))
    if not settings and not stats.lines:
        raise UserError(_no_run(folder))
    models = tuple(_models(folder / MODELS))
    best = (folder / BEST).resolve()
    return Run(
        folder=folder,
        settings=settings,
        data=_mapping(told.get("data")),
        lines=tuple(stats.lines),
        grids=tuple(_grids(folder / GRIDS)),
        reals=path if (path := folder / GRIDS / REALS).is_file() else None,
        models=models,
        best=next((m for m in models if m.folder.resolve() == best), None),
        prepared=_json(folder / PREPARED),
        begun_with=_text(folder / BEGUN_WITH),
    )


def read_events(folder: Path) -> list[Line]:
    """Alerts that began and ended, in order; none where there were none."""
    try:
        rows = (folder / ALERTS).read_bytes().split(b"\n")
    except OSError:
        return []
    return [event for event in map(_object, rows) if event and isinstance(event.get("alert"), str)]


def kimg_of(name: str) -> float | None:
    """Of a snapshot's model or grid by its name, as 000040 or 000040.512-asked."""
    found = re.fullmatch(rf"([0-9]+(?:\.[0-9]+)?)(?:{ASKED})?", name)
    return float(found[1]) if found else None


def noted_kimg(model: Path) -> float:
    """Of a model folder, as noted in it; nan where it is not."""
    return _number(_mapping(_json(model / CONFIG).get("training")).get("kimg"))


def is_run(folder: Path) -> bool:
    """Whether a run has been begun there."""
    return bool(_mapping(_json(folder / CONFIG).get("settings"))) or (folder / STATS).is_file()


def labels_of(runs: Sequence[Run]) -> list[str]:
    """Names that tell the runs apart."""
    return labels_of_folders([run.folder for run in runs])


def labels_of_folders(folders: Sequence[Path]) -> list[str]:
    """Names that tell the folders apart: their own, with as much before them as that takes."""
    paths = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, paths), default=0)):
        names = ["/".join(parts[-length:]) for parts in paths]
        if len(set(names)) == len(names):
            return names
    return ["/".join(parts).replace("//", "/") for parts in paths]


def flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by path, as network.channel_max."""
    out = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            out.update({f"{name}.{key}": v for key, v in value.items()})
        else:
            out[name] = value
    return out


def _no_run(folder: Path) -> str:
    """What is there instead."""
    if not folder.exists():
        return f"there is no folder {folder}"
    if not folder.is_dir():
        return f"{folder} is a file, not the folder of a run"
    if (run := folder.resolve().parent.parent) and is_run(run) and folder.resolve() != run:
        return f"{folder} is one model of a run; name the run, {run}"
    inside = sorted(path.name for path in folder.iterdir() if path.is_dir() and is_run(path))
    if inside:
        return f"{folder} is no run, but holds some: {', '.join(inside)}"
    return f"{folder} is no run: it has neither a {CONFIG} with settings nor a {STATS} with ticks"


def _grids(folder: Path) -> list[Grid]:
    named = [(kimg_of(path.stem), path) for path in sorted(folder.glob("*.png"))]
    grids = [Grid(kimg, path) for kimg, path in named if kimg is not None]
    return sorted(grids, key=lambda grid: grid.kimg)


def _models(folder: Path) -> Iterator[Snapshot]:
    for path in sorted(folder.glob("*")):
        if (named := kimg_of(path.name)) is not None and path.is_dir():
            notes = _mapping(_json(path / CONFIG).get("training"))
            kimg = _number(notes.get("kimg"))
            records = tuple(x for x in _list(path / METRICS_FILE) if isinstance(x, dict))
            yield Snapshot(named if math.isnan(kimg) else kimg, path, records, notes)


# What may be missing, damaged or of another kind


def _parse(row: bytes) -> Line | None:
    """A tick of stats.jsonl, with its kimg; none for what is no tick."""
    line = _object(row)
    if line is None:
        return None
    kimg = _number(line.get(KIMG))
    if math.isnan(kimg):
        kimg = _number(line.get(NIMG)) / 1000
    return None if math.isnan(kimg) else {**line, KIMG: kimg}


def _object(row: bytes) -> Line | None:
    try:
        line = json.loads(row)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) else None


def _mean(value: object) -> float:
    return _number(value.get("mean") if isinstance(value, dict) else value)


def _std(value: object) -> float:
    return _number(value.get("std")) if isinstance(value, dict) else math.nan


def _number(value: object) -> float:
    """A finite number, else nan."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value) if math.isfinite(value) else math.nan
    except OverflowError:
        return math.nan


def _has_number(value: object) -> bool:
    return not math.isnan(_mean(value))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _load(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _json(path: Path) -> Mapping[str, Any]:
    return _mapping(_load(path))


def _list(path: Path) -> list[Any]:
    found = _load(path)
    return found if isinstance(found, list) else []

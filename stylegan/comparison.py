"""Several runs beside each other: what their settings differ in, what they reached and when."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylegan.config import TrainConfig, UserError
from stylegan.metric_names import higher_is_better
from stylegan.runs import Point, Run, flat, labels_of, read_run

MISSING = "-"
MOST_WIDTH = 40  # letters of a setting in a terminal


OTHER_DATA = (
    "they learned from different pictures, or some with --mirror, so that their metrics cannot be "
    "compared"
)


@dataclass(frozen=True)
class Reached:
    """What one run reached by one metric."""

    run: str
    floor: float
    best: Point | None
    last: Point | None


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Read them, each once."""
    places = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if places.count(place) > 1:
            raise UserError(f"{folder} is named twice")
    return [read_run(folder) for folder in folders]


def differing(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Settings and data that are not the same in all runs: name -> a value for each."""
    defaults = flat(dataclasses.asdict(TrainConfig()))  # for settings that came later
    columns = [
        {
            **({**defaults, **flat(run.settings)} if run.settings else {}),
            "data.name": run.data.get("name"),
            "data.pictures": run.data.get("pictures"),
            "data.fingerprint": run.data.get("fingerprint"),
        }
        for run in runs
    ]
    names = dict.fromkeys(name for column in columns for name in column)
    rows = {name: [shown(column.get(name)) for column in columns] for name in names}
    return {name: row for name, row in rows.items() if len(set(row)) > 1}


def reached(runs: Sequence[Run]) -> dict[str, list[Reached]]:
    """Metric -> what each run reached, in the order of the runs."""
    metrics = dict.fromkeys(metric for run in runs for metric in run.metrics)
    labels = labels_of(runs)
    return {
        metric: [_reached(run, label, metric) for run, label in zip(runs, labels, strict=True)]
        for metric in metrics
    }


def winner(metric: str, found: Sequence[Reached]) -> Reached | None:
    """Who got furthest."""
    sign = _sign(metric)
    able = [row for row in found if row.best is not None]
    return min(able, key=lambda row: sign * row.best.value, default=None)


def _sign(metric: str) -> int:
    return -1 if higher_is_better(metric) else 1


def _reached(run: Run, label: str, metric: str) -> Reached:
    points = run.metric(metric).points
    best = min(points, key=lambda point: _sign(metric) * point.value, default=None)
    return Reached(label, run.floor(metric), best, points[-1] if points else None)


def same_data(runs: Sequence[Run]) -> bool:
    """Whether all learned from the same pictures, mirrored or not, as far as they say."""
    prints = {x for run in runs if (x := run.data.get("fingerprint")) is not None}
    mirrored = {run.settings.get("mirror", False) for run in runs if run.settings}
    return len(prints) <= 1 and len(mirrored) <= 1


def common_kimg(runs: Sequence[Run]) -> float:
    """The last moment that all of them have reached."""
    return min(run.kimg for run in runs)


def shown(value: Any) -> str:
    """A setting for people."""
    if value is None or value == "":
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def number(value: float, digits: int = 2) -> str:
    """A number for people, small ones with three digits that count; a dash for an unknown one."""
    if math.isnan(value):
        return MISSING
    return f"{value:.3g}" if 0 < abs(value) < 5 / 10**digits else f"{value:,.{digits}f}"


# For a terminal


def table(runs: Sequence[Run]) -> str:
    """Where the runs stand, what they reached by each metric, and how their settings differ."""
    labels = labels_of(runs)
    head = ["", "kimg", "hours", "sec/kimg"]
    rows = [
        [label, number(run.kimg, 1), number(run.cost.hours), number(run.cost.sec_per_kimg, 1)]
        for label, run in zip(labels, runs, strict=True)
    ]
    parts = [_aligned([head, *rows])]
    for metric, found in reached(runs).items():
        head = [metric, "best", "at kimg", "hours", "last", "floor"]
        parts.append(_aligned([head, *map(_cells, found)]))
    parts += [] if same_data(runs) else [OTHER_DATA]
    if len(runs) > 1:
        different = differing(runs)
        rows = [[name, *(_cut(x) for x in row)] for name, row in different.items()]
        parts.append(
            _aligned([["settings", *labels], *rows])
            if rows
            else "settings and data are the same in all of them"
        )
    return "\n\n".join(parts)


def _cells(found: Reached) -> list[str]:
    if found.best is None or found.last is None:
        return [found.run, *[MISSING] * 5]
    best, last = found.best, found.last
    when = [number(best.value), number(best.kimg, 1), number(best.hours)]
    return [found.run, *when, number(last.value), number(found.floor)]


def _cut(text: str) -> str:
    return text if len(text) <= MOST_WIDTH else f"...{text[3 - MOST_WIDTH :]}"


def _aligned(rows: list[list[str]]) -> str:
    """Names to the left, numbers to the right, all printable."""
    rows = [[x if x.isprintable() else ascii(x) for x in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)

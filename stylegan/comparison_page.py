"""Several runs on one page that opens offline: curves on one axis, settings, metrics, grids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stylegan import offline
from stylegan.atomic import replacing_file
from stylegan.comparison import (
    MISSING,
    OTHER_DATA,
    Reached,
    common_kimg,
    differing,
    number,
    reached,
    same_data,
    winner,
)
from stylegan.offline import text
from stylegan.runs import Grid, Run, labels_of

GRID_PX = 768  # largest side of a grid


def write_page(runs: Sequence[Run], path: Path) -> None:
    """Write the page."""
    content = page(runs)
    with replacing_file(path) as beside:
        beside.write_text(content, encoding="utf-8")


def page(runs: Sequence[Run]) -> str:
    """The whole page as text."""
    labels = labels_of(runs)
    body = [
        f"<h1>{text(', '.join(labels))}</h1>",
        f"<h2>Curves</h2>{offline.charts(runs)}",
        f"<h2>Metrics</h2>{_metrics(runs)}",
        f"<h2>Where they stand</h2>{_costs(runs)}",
        f"<h2>Settings that differ</h2>{_settings(runs)}",
        f"<h2>Pictures</h2>{_grids(runs)}",
    ]
    return offline.document(", ".join(labels), body)


def _metrics(runs: Sequence[Run]) -> str:
    found = reached(runs)
    if not found:
        return "<p class='soft'>No metric was measured in any of them.</p>"
    head = ["best", "at kimg", "after hours", "last", "at kimg", "floor"]
    parts = []
    for metric, rows in found.items():
        first = winner(metric, rows)
        cells = [[text(row.run), *_reached(row, row is first)] for row in rows]
        parts.append(offline.table([metric, *head], cells, numbers=True))
    if not same_data(runs):
        parts.append(f"<p class='soft'>Mind that {OTHER_DATA}.</p>")
    return "<p></p>".join(parts)


def _reached(row: Reached, first: bool) -> list[str]:
    if row.best is None or row.last is None:
        return ["not measured", *[MISSING] * 4, number(row.floor)]
    best = number(row.best.value)
    return [
        f"<span class='best'>{best}</span>" if first else best,
        *(number(row.best.kimg, 1), number(row.best.hours)),
        *(number(row.last.value), number(row.last.kimg, 1), number(row.floor)),
    ]


def _costs(runs: Sequence[Run]) -> str:
    rows = []
    for label, run in zip(labels_of(runs), runs, strict=True):
        cost = run.cost
        figures = (number(run.kimg, 1), number(cost.hours), number(cost.sec_per_kimg, 1))
        rows.append([text(label), *figures, text(cost.device or MISSING)])
    return offline.table(["run", "kimg", "hours", "sec/kimg", "device"], rows, numbers=True)


def _settings(runs: Sequence[Run]) -> str:
    rows = [[text(name), *map(text, row)] for name, row in differing(runs).items()]
    if not rows:
        return "<p>None: settings and data are the same in all of them.</p>"
    return offline.table(["", *labels_of(runs)], rows)


def _grids(runs: Sequence[Run]) -> str:
    """At the last moment that all have reached, and at the end of those that went further."""
    kimg = common_kimg(runs)
    shared, last = [], []
    for run in runs:
        shared.append(run.grid_at(kimg))
        last.append(run.grids[-1] if run.grids else None)
    rows = [(f"At about {number(kimg, 0)} kimg, which all have reached", shared)]
    rows += [("The last of each", last)] if last != shared else []
    return "".join(
        f"<h3>{title}</h3><div class='side'>{_row(runs, grids)}</div>" for title, grids in rows
    )


def _row(runs: Sequence[Run], grids: Sequence[Grid | None]) -> str:
    figures = []
    for label, grid in zip(labels_of(runs), grids, strict=True):
        caption = f"{label}, {grid.kimg:,.10g} kimg" if grid else f"{label}, no grid"
        image = offline.picture(grid.path if grid else None, caption, GRID_PX)
        figures.append(f"<figure>{image}<figcaption>{text(caption)}</figcaption></figure>")
    return "".join(figures)

"""Curves of runs over images seen or hours: panels for a page, or all of them on one sheet."""

from __future__ import annotations

import io
import math
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from stylegan.atomic import replacing_file
from stylegan.config import UserError
from stylegan.extras import need
from stylegan.runs import KIMG, METRIC, Run, labels_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Axis = Literal["kimg", "hours"]

COLOURS = (  # told apart by the colour-blind, too (Okabe and Ito 2008; yellow is too light)
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"),
)
DASHES = ("-", (0, (1, 1)), "-.")  # of the curves of a panel, where colours stand for runs
MARKS = ("", "o", "s", "^", "D")  # of runs beyond the colours
INK, SOFT, RULE = "#222222", "#6b6b6b", "#dddddd"
AIM = (0, (5, 3))  # dashes of what is aimed at

MOST_POINTS = 500  # of a curve; longer ones are drawn as means of neighbours
MOST_BANDS = 3  # runs whose deviations are drawn
LOG_SPAN = 20  # largest / smallest value from which a logarithmic axis is used
WIDTH_IN, HEIGHT_IN = 4.6, 2.9  # of a panel
MARGINS = {"left": 0.13, "right": 0.98, "bottom": 0.16, "top": 0.89}  # of a panel by itself
DPI = 110
NAME_LETTERS = 48  # of a run, on a sheet

_drawing = threading.Lock()  # the library's settings are one for all threads


@dataclass(frozen=True)
class Curve:
    """A name in stats.jsonl, and what a person calls it."""

    name: str
    label: str


@dataclass(frozen=True)
class Panel:
    """Curves that share an axis."""

    title: str
    curves: tuple[Curve, ...]
    may_be_log: bool = False

    @property
    def metric(self) -> str:
        """The metric that it shows; empty for none."""
        return self.title if self.curves[0].name == METRIC + self.title else ""


PANELS = (
    Panel("scores", (Curve("Loss/scores/real", "real"), Curve("Loss/scores/fake", "fake"))),
    Panel("r_t and p", (Curve("Loss/signs/real", "r_t"), Curve("Progress/augment_p", "p"))),
    Panel("losses", (Curve("Loss/G/loss", "G"), Curve("Loss/D/loss", "D"))),
    Panel(
        "penalties",
        (
            Curve("Loss/r1_penalty", "R1"),
            Curve("Loss/gradient_penalty", "gradient"),
            Curve("Loss/pl_penalty", "path length"),
        ),
        may_be_log=True,
    ),
    Panel(
        "validation",
        (
            Curve("Validation/scores/training", "training"),
            Curve("Validation/scores/held_out", "held out"),
            Curve("Validation/scores/generated", "generated"),
        ),
    ),
    Panel("r_v", (Curve("Validation/r_v", "r_v"),)),
    Panel("images a second", (Curve("Timing/img_per_sec", "images a second"),)),
    Panel("side, px", (Curve("Progress/side", "side, px"),), may_be_log=True),
)


def panels(runs: Sequence[Run]) -> list[Panel]:
    """What these runs have curves of: metrics first."""
    names = {name: None for run in runs for name in run.names}
    metrics = (x.removeprefix(METRIC) for x in names if x.startswith(METRIC))
    drawn = [Panel(x, (Curve(METRIC + x, x),), may_be_log=True) for x in metrics]
    for panel in PANELS:
        if curves := tuple(curve for curve in panel.curves if curve.name in names):
            drawn.append(Panel(panel.title, curves, panel.may_be_log))
    return drawn


def draw(runs: Sequence[Run], axis: Axis = "kimg", columns: int = 3) -> Figure:
    """All panels on one sheet; several runs are told apart by colour."""
    drawn = panels(runs)
    if not drawn:
        raise UserError("there is nothing to draw yet: the first numbers come with the first tick")
    columns = min(columns, len(drawn))
    rows = math.ceil(len(drawn) / columns)
    with _settings():
        figure = _figure(columns * WIDTH_IN, rows * HEIGHT_IN + 0.3)
        grid = list(figure.subplots(rows, columns, squeeze=False).flat)
        for panel, axes in zip(drawn, grid, strict=False):
            _draw_panel(axes, panel, runs, axis)
        for axes in grid[len(drawn) :]:
            axes.set_visible(False)
        _name_runs(figure, labels_of(runs))
    return figure


def draw_panel(panel: Panel, runs: Sequence[Run], axis: Axis = "kimg") -> Figure:
    """One panel, without the names of the runs."""
    with _settings():
        figure = _figure(WIDTH_IN, HEIGHT_IN, layout=None)
        figure.subplots_adjust(**MARGINS)
        _draw_panel(figure.subplots(), panel, runs, axis)
    return figure


def colour(which: int) -> str:
    """Of a run, or of a curve where there is one run."""
    return COLOURS[which % len(COLOURS)]


# Pictures of figures


def svg(figure: Figure) -> bytes:
    """An SVG; the same bytes for the same curves."""
    return _render(figure, "svg", metadata={"Date": None, "Creator": None})


def png(figure: Figure) -> bytes:
    """A PNG of at most 256 colours; the same bytes for the same curves."""
    drawn = io.BytesIO(_render(figure, "png", dpi=DPI, metadata={"Software": None}))
    out = io.BytesIO()
    flat = Image.open(drawn).convert("RGB")
    flat.quantize(256, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


def save(figure: Figure, path: str | Path) -> None:
    """Write a .png or .svg."""
    path = Path(path)
    kinds = {".png": png, ".svg": svg}
    if path.suffix.lower() not in kinds:
        raise UserError(f"{path} is neither a .png nor a .svg")
    content = kinds[path.suffix.lower()](figure)
    with replacing_file(path) as beside:
        beside.write_bytes(content)


def _render(figure: Figure, kind: str, **options) -> bytes:
    out = io.BytesIO()
    with _settings():
        figure.savefig(out, format=kind, **options)
    return out.getvalue()


@contextmanager
def _settings() -> Iterator[None]:
    """The library's settings while it draws, whatever the person has set for other drawings."""
    matplotlib = need("matplotlib")
    with _drawing, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(
                {
                    "svg.hashsalt": "stylegan",
                    "font.size": 9,
                    "text.parse_math": False,
                    **{f"axes.spines.{side}": False for side in ("top", "right")},
                    **{f"{x}.color": INK for x in ("text", "xtick", "ytick")},
                    **{"axes.edgecolor": SOFT, "axes.labelcolor": INK, "axes.titlesize": 10},
                }
            )
            yield


def _figure(width_in: float, height_in: float, layout: str | None = "constrained") -> Figure:
    size = (width_in, height_in)
    return need("matplotlib.figure").Figure(figsize=size, layout=layout, facecolor="white")


# One panel


def _draw_panel(axes: Axes, panel: Panel, runs: Sequence[Run], axis: Axis) -> None:
    seen: list[np.ndarray] = []
    for i, run in enumerate(runs):
        for j, curve in enumerate(panel.curves):
            x, mean, std = _points(run, curve.name, axis)
            if not len(x):
                continue
            seen.append(mean)
            dash = DASHES[j] if len(runs) > 1 else "-"
            tint = colour(i if len(runs) > 1 else j)
            mark = MARKS[i // len(COLOURS) % len(MARKS)] or _mark(panel, mean)
            label = curve.label if i == 0 or len(runs) > 1 else None
            axes.plot(x, mean, ls=dash, color=tint, lw=1.4, marker=mark, ms=3, label=label)
            if panel.title == "scores" and len(runs) <= MOST_BANDS:
                axes.fill_between(x, mean - std, mean + std, color=tint, alpha=0.13, lw=0)
    values = np.concatenate(seen) if seen else np.zeros(0)
    _rules(axes, panel, runs)
    if panel.may_be_log and _spans_decades(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, place: f"{value:g}")
    if panel.title == "r_t and p":
        axes.set_ylim(min(0.0, axes.get_ylim()[0]), max(1.0, axes.get_ylim()[1]))
    axes.set_xlim(*_range(runs, axis))
    _frame(axes, panel, len(runs), axis)


def _points(run: Run, name: str, axis: Axis) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, mean, std of a curve, thinned; a mean that is nan leaves a gap."""
    series = run.series(name)
    x = np.array(series.hours if axis == "hours" else series.kimg)
    rows = np.stack([x, np.array(series.mean), np.array(series.std)])  # [3, n]
    rows = rows[:, ~np.isnan(x)]
    step = math.ceil(rows.shape[1] / MOST_POINTS)
    if step > 1:
        starts = np.arange(0, rows.shape[1], step)
        counts = np.diff([*starts, rows.shape[1]])
        rows = np.add.reduceat(rows, starts, axis=1) / counts
    return rows[0], rows[1], rows[2]


def _range(runs: Sequence[Run], axis: Axis) -> tuple[float, float]:
    """From the first to the last tick of all runs, the same for every panel."""
    series = [run.series(KIMG) for run in runs]
    x = np.array([v for s in series for v in (s.hours if axis == "hours" else s.kimg)])
    x = x[~np.isnan(x)]
    low, high = (x.min(), x.max()) if len(x) else (0.0, 1.0)
    low = 0.0 if low < (high - low) / 2 else low
    room = 0.02 * (high - low) or 0.02 * high or 1.0
    return low - room, high + room


def _mark(panel: Panel, mean: np.ndarray) -> str:
    """Few points are shown as such."""
    return "o" if panel.metric or len(mean) < 3 else ""


def _rules(axes: Axes, panel: Panel, runs: Sequence[Run]) -> None:
    """Dashed lines at what chance alone makes of a metric, and at what ada aims at."""
    if panel.metric:
        floors = [run.floor(panel.metric) for run in runs]
        for floor in dict.fromkeys(x for x in floors if not math.isnan(x)):
            own = floors.count(floor) == 1 and len(runs) > 1
            tint = colour(floors.index(floor)) if own else SOFT
            axes.axhline(floor, color=tint, ls=AIM, lw=1, label="floor")
            axes.update_datalim([(0, floor)], updatex=False)
        axes.autoscale_view(scalex=False)
    if panel.title == "r_t and p":
        targets = {run.settings.get("target") for run in runs if run.settings.get("aug") == "ada"}
        if len(targets) == 1 and isinstance(target := targets.pop(), int | float):
            axes.axhline(target, color=SOFT, ls=AIM, lw=1, label="target")


def _spans_decades(values: np.ndarray) -> bool:
    values = values[~np.isnan(values)]
    return len(values) > 1 and values.min() > 0 and values.max() / values.min() > LOG_SPAN


def _frame(axes: Axes, panel: Panel, runs: int, axis: Axis) -> None:
    axes.set_title(panel.title, loc="left", color=INK)
    axes.set_xlabel(axis)
    axes.grid(color=RULE, lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(color=RULE)
    found = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    if set(found) <= {panel.title}:  # there is nothing to tell apart
        return
    legend = axes.legend(
        found.values(), found, frameon=False, ncols=len(found), loc="lower right",
        bbox_to_anchor=(1.0, 0.99), borderaxespad=0, handlelength=1.8, columnspacing=1.2,
    )  # fmt: skip
    for line in legend.get_lines() if runs > 1 else ():  # colours stand for runs
        line.set_color(SOFT)


def _name_runs(figure: Figure, labels: Sequence[str]) -> None:
    """Whose colour is which, above the panels; over one run only its name."""
    lines = need("matplotlib.lines")
    if len(labels) == 1:
        figure.suptitle(_shortened(labels[0]), x=0.01, ha="left", fontsize=11)
        return
    handles = [
        lines.Line2D([], [], color=colour(i), lw=2, marker=MARKS[i // len(COLOURS) % len(MARKS)])
        for i in range(len(labels))
    ]
    columns = min(len(labels), 3)
    numbers = [str(i) for i in range(len(labels))]
    legend = figure.legend(
        handles, numbers, loc="outside upper left", frameon=False, ncols=columns, fontsize=10
    )
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set_text(_shortened(label))


def _shortened(name: str) -> str:
    name = name if name.isprintable() else ascii(name)
    return name if len(name) <= NAME_LETTERS else f"...{name[3 - NAME_LETTERS :]}"

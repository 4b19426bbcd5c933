"""A run at a glance, while it is trained or long after: what a page that watches it shows.

All of it is read from the run folder's files, and all of it is JSON.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from stylegan import control
from stylegan.comparison import shown
from stylegan.config import UserError
from stylegan.curves import COLOURS, Panel, panels
from stylegan.extras import system
from stylegan.run_page import BUDGETS, thinned, usual_settings
from stylegan.runs import LOCK, STATS, Run, Series, Stats, flat, is_run, read_events, read_run

MOST_POINTS = 400  # of a curve; of a longer one every so manyth, as the mean of its neighbours
MOST_FRAMES = 240  # of a time-lapse
LATE_TICKS, LATE_SEC = 3, 60  # without a new line, after which it is said
FRESH_SEC = 0.5  # that a glance serves all who look

TRAINING, RESTING, DONE, EMPTY = "training", "resting", "done", "empty"

Glance = dict[str, Any]
"""Parts of a page by name: status, alerts, frames, curves, settings."""


class Watched:
    """A run folder that is looked at again and again, by anybody at once."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder, self.clock = folder, clock
        self._stats = Stats(folder / STATS)
        self._turn = threading.Lock()
        self._last: Glance = {}
        self._looked = -math.inf

    def look(self) -> Glance:
        """What there is to see now."""
        with self._turn:
            if time.monotonic() - self._looked > FRESH_SEC:
                self._last = self._look()
                self._looked = time.monotonic()
            return self._last

    def forget(self) -> None:
        """Look anew the next time."""
        with self._turn:
            self._looked = -math.inf

    def _look(self) -> Glance:
        try:
            run = read_run(self.folder, self._stats)
        except UserError:
            run = None
        return {
            "status": _status(self.folder, run, self.clock()),
            "alerts": alerts(self.folder),
            "frames": _frames(run) if run else {},
            "curves": curves(run) if run else {},
            "settings": settings(run) if run else {},
        }


def runs_in(folder: Path) -> list[Path]:
    """The folder itself if it is a run or to become one, else the runs in it, newest first."""
    if is_run(folder) or not folder.is_dir():
        return [folder]
    inside = [path for path in folder.iterdir() if path.is_dir() and is_run(path)]
    return sorted(inside, key=_changed, reverse=True) or [folder]


def _changed(folder: Path) -> float:
    """Seconds since 1970 of its newest tick, or of the folder before the first one."""
    for path in (folder / STATS, folder):
        try:
            return path.stat().st_mtime
        except OSError:
            continue
    return 0.0


# Whether it is trained now


def is_training(folder: Path) -> bool:
    """Whether a process holds the run's lock; looking keeps nobody out for long."""
    path, fcntl = folder / LOCK, system("fcntl")
    try:
        if fcntl is None:  # Windows
            FileLock(path).acquire(timeout=0).lock.release()
            return False
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: who looks disturbs no other
            return False
    except (BlockingIOError, Timeout):
        return True
    except OSError:  # there is no lock: nobody ever trained here
        return False


def _status(folder: Path, run: Run | None, now: float) -> Glance:
    """Where the run stands; the page itself counts the seconds since."""
    trained, pending = is_training(folder), control.read_or_nothing(folder)
    state: Glance = {"name": folder.resolve().name, "state": TRAINING if trained else EMPTY}
    state["asked"] = [name for name in control.NAMES if getattr(pending, name)]
    if run is None:
        return state
    last = run.lines[-1] if run.lines else {}
    left = _finite(last.get("Timing/left_sec"))
    if not trained:
        state["state"] = DONE if left == 0 else RESTING
    tick_sec = _finite(last.get("Timing/sec_per_tick"))
    return state | {
        "numbers": _numbers(run, last),
        "at": _changed(folder) if last else None,
        "tick_sec": tick_sec,
        "left_sec": left if trained else None,
        "late_sec": max(LATE_TICKS * tick_sec, LATE_SEC) if tick_sec else None,
    }


def _numbers(run: Run, last: Glance) -> list[tuple[str, str]]:
    """The newest values in words, by what they are called."""
    target = _finite(run.settings.get("kimg"))
    found = [("kimg", f"{run.kimg:,.1f}" + (f" of {target:,.10g}" if target else ""))]
    if last:
        found += [
            ("hours", _short(run.cost.hours)),
            ("images a second", _short(run.series("Timing/img_per_sec").last)),
            ("r_t", _short(run.series("Loss/signs/real").last)),
            ("p", _short(run.series("Progress/augment_p").last)),
        ]
    for metric in run.metrics:
        points = run.metric(metric).points
        if points:
            found.append((metric, f"{_short(points[-1].value)} at {points[-1].kimg:,.1f} kimg"))
    if run.best:
        found.append(("best model", f"{run.best.kimg:,.1f} kimg"))
    return [(name, value) for name, value in found if value]


def _short(x: float) -> str:
    return "" if math.isnan(x) else f"{x:,.3g}" if abs(x) < 1000 else f"{x:,.0f}"


def _finite(value: object) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and math.isfinite(value) else None


# Alerts, settings


def alerts(folder: Path) -> list[Glance]:
    """Those that stand first, then those that are over, the newest first."""
    told: list[Glance] = []
    standing: dict[str, Glance] = {}
    for event in read_events(folder):
        kind, kimg = event["alert"], _finite(event.get("kimg")) or 0.0
        if event.get("state") == "begins":
            words = {name: str(event.get(name, "")) for name in ("seen", "means", "advice")}
            standing[kind] = {"kind": kind, "from": kimg, "until": None, **words}
            told.append(standing[kind])
        elif kind in standing:
            standing.pop(kind)["until"] = kimg
    told.reverse()
    return sorted(told, key=lambda alert: alert["until"] is not None)


def settings(run: Run) -> Glance:
    """All settings, and which of them are not those of the preset."""
    here, usual = flat(run.settings), usual_settings(run.settings) if run.settings else None
    rows = []
    for name, value in here.items():
        own = usual is not None and name not in BUDGETS and value != usual.get(name)
        rows.append({"name": name, "value": shown(value), "usual": _usual(own, usual, name)})
    return {"rows": rows, "preset": str(run.settings.get("preset", "")), "data": _data(run)}


def _usual(own: bool, usual: Glance | None, name: str) -> str:
    return shown(usual.get(name)) if own and usual else ""


def _data(run: Run) -> str:
    count = run.data.get("pictures")
    return f"{shown(run.data['name'])}, {shown(count)} pictures" if "name" in run.data else ""


# Pictures


def _frames(run: Run) -> Glance:
    """Grids over time as (label, path, changed), that of the real pictures, a picture's side."""
    found = [(f"{grid.kimg:,.10g} kimg", grid.path) for grid in thinned(run.grids, MOST_FRAMES)]
    network = run.settings.get("network")
    return {
        "frames": [(label, str(path.absolute()), _stamp(path)) for label, path in found],
        "reals": run.reals and (str(run.reals.absolute()), _stamp(run.reals)),
        "side": network.get("resolution") if isinstance(network, dict) else None,
    }


def _stamp(path: Path) -> int:
    """Another number when the file is another one."""
    try:
        return path.stat().st_mtime_ns // 1_000_000
    except OSError:
        return 0


# Curves


def curves(run: Run) -> Glance:
    """Panels: {title, dots, log, rule, lines: [{label, colour, kimg, hours, mean, std}]}."""
    return {"panels": [_panel(run, panel) for panel in panels([run])]}


def _panel(run: Run, panel: Panel) -> Glance:
    lines = []
    for i, curve in enumerate(panel.curves):
        series = run.series(curve.name)
        points = {"kimg": series.kimg, "hours": series.hours, "mean": series.mean}
        if panel.title == "scores":
            points["std"] = series.std
        kept = _kept(series)
        thin = {name: [_mean(values[a:b]) for a, b in kept] for name, values in points.items()}
        lines.append({"label": curve.label, "colour": COLOURS[i % len(COLOURS)], **thin})
    return {
        "title": panel.title,
        "dots": bool(panel.metric),
        "log": panel.may_be_log,
        "rule": _rule(run, panel),
        "lines": lines,
    }


def _rule(run: Run, panel: Panel) -> Glance | None:
    """A height that means something: what chance alone makes of a metric, what ada aims at."""
    if panel.metric and not math.isnan(run.floor(panel.metric)):
        return {"label": "floor", "at": run.floor(panel.metric)}
    target = _finite(run.settings.get("target"))
    if panel.title == "r_t and p" and run.settings.get("aug") == "ada" and target is not None:
        return {"label": "target", "at": target}
    return None


def _kept(series: Series) -> list[tuple[int, int]]:
    """Places of neighbours that become one point; what was not measured is left out by them."""
    step = math.ceil(len(series) / MOST_POINTS) or 1
    return [(i, i + step) for i in range(0, len(series), step)]


def _mean(values: Sequence[float]) -> float | None:
    """Five digits are more than a screen shows; None where nothing is finite."""
    finite = [x for x in values if not math.isnan(x)]
    return float(f"{sum(finite) / len(finite):.5g}") if finite else None

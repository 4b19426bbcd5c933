"""A run on one page that opens offline: where it stands, grids, curves, settings, cost."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stylegan import offline
from stylegan.atomic import replacing_file
from stylegan.card import prepared_rows
from stylegan.comparison import MISSING, number, reached, shown
from stylegan.config import ConfigError, TrainConfig
from stylegan.offline import text
from stylegan.presets import preset
from stylegan.runs import STATS, Grid, Run, flat

GRID_PX, FRAME_PX = 1024, 512  # largest side of the newest grids, and of those of the time-lapse
MOST_FRAMES = 48
MOST_ROWS = 200  # snapshots in the table of metrics
BUDGETS = ("data", "preset", "device", "kimg", "minutes")  # that say nothing about a preset


def write_page(run: Run, path: Path, state: str = "") -> None:
    """Write the page; `state` is a sentence on how the run stands or ended."""
    content = page(run, state)
    with replacing_file(path) as beside:
        beside.write_text(content, encoding="utf-8")


def page(run: Run, state: str = "") -> str:
    """The whole page as text."""
    parts = {
        "": _head(run, state),
        "Pictures": _pictures(run),
        "Curves": offline.charts([run]),
        "Metrics": _metrics(run),
        "Over time": offline.time_lapse(
            [(f"{grid.kimg:,.10g} kimg", grid.path) for grid in thinned(run.grids)], FRAME_PX
        ),
        "Settings": _settings(run),
        "Data": _data(run),
        "Cost": _cost(run),
    }
    body = (f"<h2>{title}</h2>{part}" if title else part for title, part in parts.items())
    return offline.document(f"{run.name}: {number(run.kimg, 1)} kimg", body)


def thinned(grids: Sequence[Grid], most: int = MOST_FRAMES) -> list[Grid]:
    """At most so many of them, evenly, the first and the last among them."""
    if len(grids) <= most:
        return list(grids)
    places = {round(i * (len(grids) - 1) / (most - 1)) for i in range(most)}
    return [grids[i] for i in sorted(places)]


def _head(run: Run, state: str) -> str:
    cost = run.cost
    stands = f"{number(run.kimg, 1)} kimg"
    if not math.isnan(cost.hours):
        stands += f" in {number(cost.hours)} hours"
    stands += f" on {cost.device}" if cost.device else ""
    if state:
        told = state
    elif run.lines:
        written = time.localtime((run.folder / STATS).stat().st_mtime)
        told = f"last tick {time.strftime('%Y-%m-%d %H:%M', written)}"
    else:
        told = "no tick yet"
    best = f"; best model at {number(run.best.kimg, 1)} kimg" if run.best else ""
    return f"<h1>{text(run.name)}</h1><p>{text(stands)}{best}</p><p class='soft'>{text(told)}</p>"


def _pictures(run: Run) -> str:
    newest = run.grids[-1] if run.grids else None
    name = f"seeds 0, 1, ... at {newest.kimg:,.10g} kimg, psi 1" if newest else "generated"
    return (
        "<div class='side'>"
        f"{_figure(newest.path if newest else None, name)}{_figure(run.reals, 'real pictures')}"
        "</div>"
    )


def _figure(path: Path | None, caption: str) -> str:
    image = offline.picture(path, caption, GRID_PX)
    return f"<figure>{image}<figcaption>{text(caption)}</figcaption></figure>"


def _metrics(run: Run) -> str:
    found = reached([run])
    if not found:
        return "<p class='soft'>No metric was measured yet.</p>"
    series = {metric: run.metric(metric) for metric in found}
    moments: dict[float, dict[str, float]] = {}
    hours: dict[float, float] = {}
    for metric, curve in series.items():
        for point in curve.points:
            moments.setdefault(point.kimg, {})[metric] = point.value
            hours[point.kimg] = point.hours
    rows = [["floor", "", *(number(found[metric][0].floor) for metric in series)]]
    for kimg in sorted(moments, reverse=True)[:MOST_ROWS]:
        cells = (_value(found[metric][0], kimg, moments[kimg].get(metric)) for metric in series)
        rows.append([number(kimg, 1), number(hours[kimg]), *cells])
    note = (
        "The floor is the same measure between two halves of the real pictures: what chance alone "
        "makes of equal sets. The best value is set in bold."
    )
    table = offline.table(["kimg", "hours", *series], rows, numbers=True)
    return f"{table}<p class='soft'>{note}</p>"


def _value(found: Any, kimg: float, value: float | None) -> str:
    if value is None:
        return MISSING
    best = found.best is not None and found.best.kimg == kimg
    return f"<span class='best'>{number(value)}</span>" if best else number(value)


def _settings(run: Run) -> str:
    """What differs from the preset, then all."""
    if not run.settings:
        return "<p class='soft'>config.json cannot be read.</p>"
    settings = flat(run.settings)
    rows = [[text(name), text(shown(value))] for name, value in settings.items()]
    everything = f"<details><summary>all settings</summary>{offline.table([], rows)}</details>"
    name = run.settings.get("preset")
    usual = usual_settings(run.settings)
    if usual is None:
        return f"<p>There is no preset {text(shown(name))} to compare them with.</p>{everything}"
    different = [
        [text(key), text(shown(value)), text(shown(usual.get(key)))]
        for key, value in settings.items()
        if key not in BUDGETS and value != usual.get(key)
    ]
    if not different:
        return f"<p>Those of the preset {text(name)}.</p>{everything}"
    return offline.table(["setting", "here", f"preset {name}"], different) + everything


def usual_settings(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the preset alone says for such data, on one GPU; none where there is no such preset."""
    network = settings.get("network")
    if not isinstance(network, Mapping):
        return None
    size = [network.get(name, 0) for name in ("resolution", "channels", "c_dim")]
    try:
        usual: TrainConfig = preset(settings.get("preset", ""), *size)
    except (ConfigError, TypeError):
        return None
    return flat(dataclasses.asdict(usual))


def _data(run: Run) -> str:
    rows = [(name, shown(run.data[name])) for name in ("name", "pictures") if name in run.data]
    rows += [("fingerprint", shown(run.data["fingerprint"]))] if "fingerprint" in run.data else []
    rows += [(name.replace("`", ""), told) for name, told in prepared_rows(run.prepared)]
    if run.settings.get("resume_from"):
        rows.append(("began with the weights of", shown(run.settings["resume_from"])))
    table = offline.table([], [[text(name), text(value)] for name, value in rows])
    if run.begun_with:
        told = f"<pre>{text(run.begun_with)}</pre>"
        table += f"<details><summary>what was taken from that model</summary>{told}</details>"
    return table


def _cost(run: Run) -> str:
    cost = run.cost
    speed = run.series("Timing/img_per_sec").points
    rows = [
        ("images", number(cost.kimg * 1000, 0)),
        ("hours", number(cost.hours)),
        ("seconds per kimg", number(cost.sec_per_kimg)),
        ("images a second, last tick", number(speed[-1].value, 1) if speed else MISSING),
        ("memory, most", f"{number(cost.cpu_mem_gib)} GiB"),
        ("GPU memory, most", f"{number(cost.gpu_mem_gib)} GiB" if cost.gpu_mem_gib else MISSING),
        ("device", cost.device or MISSING),
        ("PyTorch", cost.torch or MISSING),
        ("program", cost.program or MISSING),
    ]
    return offline.table([], [[text(name), text(value)] for name, value in rows])

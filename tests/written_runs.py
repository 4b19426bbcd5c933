"""Run folders written by hand: any ticks, settings and pictures, without training."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

Line = dict[str, Any]

SETTINGS = {"preset": "tiny", "batch": 4, "aug": "ada", "target": 0.6, "network": {"c_dim": 0}}


def measured(mean: float | None, std: float = 0.5) -> Line:
    """What a tick says of something measured many times."""
    return {"num": 8, "mean": mean, "std": std}


def tick(kimg: float, swd: float | None = None, **more: Any) -> Line:
    """A line of stats.jsonl; `more` stands under its own names."""
    return {
        "Progress/nimg": int(kimg * 1000),
        "Progress/kimg": kimg,
        "Progress/augment_p": min(kimg / 100, 1.0),
        "Timing/total_sec": kimg * 36,
        "Timing/img_per_sec": 25.0,
        "Loss/scores/real": measured(2.0 + kimg),
        "Loss/scores/fake": measured(-2.0 - kimg),
        "Loss/signs/real": measured(0.5),
        "Loss/G/loss": measured(2.0),
        "Loss/D/loss": measured(0.5),
        "Loss/r1_penalty": measured(0.1),
        **({} if swd is None else {"Metrics/swd": swd}),
        **more,
    }


def write_run(
    folder: Path,
    lines: Iterable[Line] = (),
    settings: Mapping[str, Any] = SETTINGS,
    floor: float | None = None,
    grids: Iterable[int] = (),
) -> Path:
    """A run as `fit` leaves it: ticks, grids of a colour each, a model for each metric."""
    lines = list(lines)
    (folder / "grids").mkdir(parents=True, exist_ok=True)
    data = {"name": "discs", "fingerprint": "f" * 32, "pictures": 12}
    told = {"format": 1, "settings": settings, "data": data}
    (folder / "config.json").write_text(json.dumps(told))
    (folder / "stats.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for line in lines:
        if "Metrics/swd" in line:
            model = folder / "models" / f"{int(line['Progress/kimg']):06d}"
            model.mkdir(parents=True, exist_ok=True)
            record = {"metric": "swd", "value": line["Metrics/swd"], "floor": floor, "n": 6}
            (model / "metrics.json").write_text(json.dumps([record]))
            notes = {"kimg": line["Progress/kimg"], "device": "cpu (test)", "torch": "2"}
            (model / "config.json").write_text(json.dumps({"training": notes}))
    for kimg in grids:
        picture(folder / "grids" / f"{kimg:06d}.png", (kimg % 256, 90, 160))
    if grids:
        picture(folder / "grids" / "reals.png", (250, 200, 10))
    return folder


def picture(path: Path, colour: tuple[int, ...], side: int = 64) -> None:
    """A grid of one colour: grey, RGB or RGBA by its length."""
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[len(colour)]
    Image.new(mode, (side, side), colour if len(colour) > 1 else colour[0]).save(path)

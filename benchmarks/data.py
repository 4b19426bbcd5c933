"""Does decoding keep up with training? python -m benchmarks.data

Pictures are drawn for the purpose. "step" is three small convolutions forth and back at full size,
far less than a training step, so it asks for more pictures than training does; "waits" is the share
of its time that it spends waiting for them.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from stylegan.data import Pictures, batches

COLUMNS = {
    "resolution": "px",
    "open_s": "open s",
    "pil_img_s": "PIL loop",
    "uncached_img_s": "uncached",
    "cached_img_s": "cached",
    "step_img_s": "step",
    "uncached_over_pil": "uncached/PIL",
    "cached_over_pil": "cached/PIL",
    "step_waits_uncached": "step waits, uncached",
    "step_waits_cached": "step waits, cached",
}


def draw(path: Path, resolution: int, count: int) -> None:
    """Smooth blobs with a little noise, which compress about as well as photographs do."""
    random = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as file:
        for i in range(count):
            small = Image.fromarray(random.integers(0, 256, (8, 8, 3)).astype(np.uint8))
            smooth = np.asarray(small.resize((resolution, resolution), Image.Resampling.BICUBIC))
            noisy = smooth + random.normal(0, 4, smooth.shape)
            out = io.BytesIO()
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(out, "PNG")
            file.writestr(f"{i:08d}.png", out.getvalue())


def rate(work: Callable[[], int], seconds: float) -> float:
    """Pictures a second of `work`, which says how many it did."""
    work()
    start, done = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < seconds:
        done += work()
    return done / spent


def pil_loop(path: Path) -> Callable[[], int]:
    """The bare minimum: one thread decodes each picture of the zip into an array."""

    def work() -> int:
        with zipfile.ZipFile(path) as file:
            for name in file.namelist():
                np.asarray(Image.open(io.BytesIO(file.read(name))))
            return len(file.namelist())

    return work


def step() -> Callable[[torch.Tensor], int]:
    """Three 3x3 convolutions of 32 channels, forth and back."""
    layers = [torch.nn.Conv2d(i, 32, 3, padding=1) for i in (3, 32, 32)]
    net = torch.nn.Sequential(*layers)

    def work(images: torch.Tensor) -> int:
        net(images.float() / 127.5 - 1).square().mean().backward()
        return len(images)

    return work


def waiting(stream: Iterator, work: Callable[[torch.Tensor], int], seconds: float) -> float:
    """Share of the time in which `work` has no pictures."""
    start, waited = time.perf_counter(), 0.0
    while (spent := time.perf_counter() - start) < seconds:
        before = time.perf_counter()
        images, _ = next(stream)
        waited += time.perf_counter() - before
        work(images)
    return waited / spent


def measure(resolution: int, seconds: float) -> dict[str, float]:
    """One row of the table."""
    count = max(32, min(512, 2**22 // resolution**2))
    batch = max(1, min(16, 2**19 // resolution**2))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "set.zip"
        draw(path, resolution, count)
        start = time.perf_counter()
        held = Pictures(path)
        row = {"resolution": resolution, "open_s": time.perf_counter() - start}
        images, work = held.images(range(batch)), step()
        row["pil_img_s"] = rate(pil_loop(path), seconds)
        row["step_img_s"] = rate(lambda: work(images), seconds)
        for kind, cache_bytes in (("uncached", 0), ("cached", 1 << 30)):
            data = Pictures(path, cache_bytes=cache_bytes)
            if data.cached:
                data.images(range(count))
            with closing(batches(data, 0, 0, batch)) as stream:
                row[f"{kind}_img_s"] = rate(lambda s=stream: len(next(s)[0]), seconds)
                row[f"step_waits_{kind}"] = waiting(stream, work, seconds)
            row[f"{kind}_over_pil"] = row[f"{kind}_img_s"] / row["pil_img_s"]
    return {key: round(value, 4) for key, value in row.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resolutions", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--seconds", type=float, default=2.0, help="for each number")
    args = parser.parse_args()
    print(" | ".join(COLUMNS.values()))
    rows = []
    for resolution in args.resolutions:
        rows.append(measure(resolution, args.seconds))
        cells = (
            f"{rows[-1][key]:{len(title)}.{0 if key.endswith('img_s') else 2}f}"
            for key, title in COLUMNS.items()
        )
        print(" | ".join(cells))
    print(json.dumps({"benchmark": "data", "threads": torch.get_num_threads(), "rows": rows}))


if __name__ == "__main__":
    main()

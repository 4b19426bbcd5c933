"""Do pictures come fast enough, before and while training? python -m benchmarks.data

Pictures are drawn for the purpose. Three questions:

reader: "step" is three small convolutions forth and back at full size, far less than a training
step, so it asks for more pictures than training does; "waits" is the share of its time that it
spends waiting for them. At 64 px the reader is also compared with the steps of the fastest preset.

making: prepare and inspect against the bare cost of decoding the same files and resizing them to 64
px with Pillow in one process. "cost" is seconds of all processors a picture over those of the bare
loop, "cost_alone" the same with one process; "busy" is the share of the processors that was used.
All are of the last three quarters of the files, so that the start of the commands does not count.

memory: the most that the main process and the largest of its helpers took, for few and for many
pictures.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.train_step import BATCH, CYCLE, Step, noise_pictures
from stylegan.data import Pictures, batches
from stylegan.parallel import cores
from stylegan.presets import preset

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


def fastest_preset(device: str) -> float:
    """Pictures a second that the steps of preset tiny take at 64 px."""
    config = dataclasses.replace(preset("tiny", 64, 3, 0), batch=BATCH, device=device)
    with tempfile.TemporaryDirectory() as folder:
        step = Step(config, noise_pictures(Path(folder, "noise.zip")), torch.device(device))
        step.cycle(2)
        return BATCH * CYCLE / step.cycle()


QUIET = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
KINDS = {"photographs": ("JPEG", (1024, 768)), "icons": ("PNG", (128, 128))}


def draw_files(path: Path, kind: str, count: int) -> None:
    """A zip of files as people have them; no two pictures are alike."""
    form, (width, height) = KINDS[kind]
    random = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as file:
        for i in range(count):
            small = Image.fromarray(random.integers(0, 256, (9, 12, 3)).astype(np.uint8))
            image = small.resize((width, height), Image.Resampling.BICUBIC)
            if form == "JPEG":
                noise = Image.effect_noise((width, height), 12)
                image = Image.blend(image, noise.convert("RGB"), 0.2)
            out = io.BytesIO()
            image.save(out, form, **({"quality": 88} if form == "JPEG" else {}))
            file.writestr(f"{i:08d}.{form.lower()}", out.getvalue())


def bare(path: Path) -> None:
    """Decode and resize every file; nothing is kept."""
    with zipfile.ZipFile(path) as file:
        for name in file.namelist():
            image = Image.open(io.BytesIO(file.read(name))).convert("RGB")
            image.resize((64, 64), Image.Resampling.LANCZOS)


def spent(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of all processors, of the work and the processes that it starts."""
    before, start = os.times(), time.perf_counter()
    work()
    after, wall = os.times(), time.perf_counter() - start
    return wall, sum(after[:4]) - sum(before[:4])


def making(kind: str, count: int) -> list[dict]:
    """Rows for prepare and inspect."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "files.zip")
        draw_files(path, kind, count)
        some = Path(folder, "some.zip")
        draw_files(some, kind, count // 4)
        bare(some)
        least = spent(lambda: bare(path))[1] / count
        jobs = {
            "prepare": [str(Path(folder, "out.zip")), "--force"],
            "inspect": ["--report", str(Path(folder, "report.html"))],
        }
        for name, more in jobs.items():
            command = [sys.executable, "-m", "train", name]
            rest = count - count // 4
            alone, many = (
                [later - earlier for earlier, later in zip(*parts, strict=True)]
                for parts in (
                    [
                        spent(lambda c=[*command, str(x), *more, *w]: subprocess.run(c, **QUIET))
                        for x in (some, path)
                    ]
                    for w in (["--workers", "1"], [])
                )
            )
            rows.append(
                {
                    "job": name,
                    "files": kind,
                    "count": count,
                    "img_s": round(rest / many[0], 1),
                    "bare_img_s": round(1 / least, 1),
                    "cost_alone": round(alone[1] / rest / least, 2),
                    "cost": round(many[1] / rest / least, 2),
                    "busy": round(many[1] / many[0] / cores(), 2),
                }
            )
    return rows


MEMORY_JOB = """
import resource, sys
from pathlib import Path
from stylegan.doctor import InspectConfig, inspect
from stylegan.prepare import PrepareConfig, prepare
if __name__ == "__main__":
    src, dest = Path(sys.argv[1]), Path(sys.argv[2])
    if sys.argv[3] == "inspect":
        inspect(InspectConfig(src, resolution=16))
    else:
        prepare(PrepareConfig(src, dest, resolution=16))
    own, children = (resource.getrusage(x).ru_maxrss for x in
                     (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(own / 1024, children / 1024)
"""


def memory(counts: list[int]) -> list[dict]:
    """MB at most of the main process and of its largest helper."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "job.py")
        script.write_text(MEMORY_JOB)
        environment = os.environ | {"PYTHONPATH": os.getcwd()}
        for count in counts:
            path = Path(folder, f"{count}.zip")
            draw_small(path, count)
            for job in ("inspect", "prepare"):
                dest = Path(folder, f"{job}-{count}.zip")
                done = subprocess.run(
                    [sys.executable, str(script), str(path), str(dest), job],
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    check=True,
                )
                own, helper = map(float, done.stdout.split()[-2:])
                rows.append(
                    {"job": job, "count": count, "main_mb": round(own), "helper_mb": round(helper)}
                )
            path.unlink()
    return rows


def draw_small(path: Path, count: int) -> None:
    """Many pictures of 16 px, no two alike, without the cost of an encoder."""
    random = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as file:
        for i in range(count):
            values = random.integers(0, 256, (16, 16, 3), np.uint8)
            file.writestr(f"{i:08d}.ppm", b"P6 16 16 255\n" + values.tobytes())


def show(rows: list[dict]) -> None:
    """A table of rows that have the same columns."""
    print(" | ".join(rows[0]))
    for row in rows:
        print(" | ".join(f"{value!s:>{len(key)}}" for key, value in row.items()), flush=True)


PARTS = ("reader", "making", "memory")


def reader(resolutions: list[int], seconds: float) -> list[dict]:
    """The table of the reader."""
    print(" | ".join(COLUMNS.values()))
    rows = []
    for resolution in resolutions:
        rows.append(measure(resolution, seconds))
        cells = (
            f"{rows[-1][key]:{len(title)}.{0 if key.endswith('img_s') else 2}f}"
            for key, title in COLUMNS.items()
        )
        print(" | ".join(cells), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resolutions", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--seconds", type=float, default=2.0, help="for each number")
    parser.add_argument(
        "--count", type=int, default=500, help="photographs; five times as many icons"
    )
    parser.add_argument("--memory", type=int, nargs="+", default=[1000, 100_000])
    parser.add_argument("--device", default="cpu", help="that the steps of the preset run on")
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, default=list(PARTS), help="questions to ask"
    )
    args = parser.parse_args()
    out: dict = {"benchmark": "data", "threads": torch.get_num_threads(), "cores": cores()}
    if "reader" in args.only:
        out["rows"] = reader(args.resolutions, args.seconds)
        if 64 in args.resolutions:
            taken = fastest_preset(args.device)
            first = out["rows"][args.resolutions.index(64)]
            out["preset_img_s"] = round(taken, 1)
            out["reader_over_preset"] = round(first["uncached_img_s"] / taken, 1)
            print(
                f"preset tiny takes {taken:.0f} a second; uncached, the reader gives "
                f"{out['reader_over_preset']} times as many"
            )
    if "making" in args.only:
        out["making"] = [
            row
            for kind, n in (("photographs", 1), ("icons", 5))
            for row in making(kind, args.count * n)
        ]
        show(out["making"])
    if "memory" in args.only:
        out["memory"] = memory(args.memory)
        show(out["memory"])
    print(json.dumps(out))


if __name__ == "__main__":
    main()

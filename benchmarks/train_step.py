"""How much of the convolution rate does a training step reach? python -m benchmarks.train_step

The step is the real one, regularisers at their intervals and augmentation at p included. Its
convolutions and matrix products are counted; what they come to a second is compared with conv2d
alone, forth and back over the network's own 3x3 shapes, timed in turns with the step.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import statistics
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from stylegan.config import NetworkConfig, TrainConfig
from stylegan.data import Pictures
from stylegan.model import find_device
from stylegan.presets import preset
from stylegan.training.step import DTYPES, Chance, Trainer

SIZES = {"small": ("tiny", 4096, 128), "large": ("auto", 16384, 512)}
RESOLUTION, BATCH = 64, 16
CYCLE = 16  # steps after which every regulariser has had its turns


def noise_pictures(path: Path, count: int = 32) -> Pictures:
    """A zip of random pictures: a step costs the same whatever they show."""
    chance = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as file:
        for i in range(count):
            values = chance.integers(0, 256, (RESOLUTION, RESOLUTION, 3)).astype(np.uint8)
            out = io.BytesIO()
            Image.fromarray(values).save(out, "PNG")
            file.writestr(f"{i}.png", out.getvalue())
    return Pictures(path)


class Step:
    """Steps of one size, in cycles."""

    def __init__(self, config: TrainConfig, pictures: Pictures, device: torch.device) -> None:
        self.config, self.pictures, self.device = config, pictures, device
        self.trainer, self.nimg = Trainer(config, device), 0

    def cycle(self, steps: int = CYCLE) -> float:
        """Seconds of so many steps."""
        images = self.pictures.images(range(BATCH))
        labels = torch.zeros(BATCH, 0)
        _wait(self.device)
        start = time.perf_counter()
        for _ in range(steps):
            chance = Chance(self.config, self.pictures, self.nimg, self.device)
            self.trainer.step(images, labels, self.nimg, chance)
            self.nimg += BATCH
        _wait(self.device)
        return time.perf_counter() - start


class Convolutions:
    """conv2d alone: one 3x3 layer of each resolution from 8 on, forth and back, channels last."""

    def __init__(self, network: NetworkConfig, dtype: torch.dtype, device: torch.device) -> None:
        last = torch.channels_last
        self.device, self.layers, self.flops = device, [], 0
        for r in network.resolutions[1:]:
            c = network.channels_at(r)
            x = torch.randn(BATCH, c, r, r, dtype=dtype, device=device).to(memory_format=last)
            w = torch.randn(c, c, 3, 3, dtype=dtype, device=device).to(memory_format=last)
            self.layers.append((x.requires_grad_(), w.requires_grad_(), torch.randn_like(x)))
            self.flops += 3 * 2 * 9 * c * c * BATCH * r * r

    def run(self, times: int) -> float:
        """FLOP/s."""
        _wait(self.device)
        start = time.perf_counter()
        for _ in range(times):
            for x, w, grad in self.layers:
                torch.autograd.grad(F.conv2d(x, w, padding=1), (x, w), grad)
        _wait(self.device)
        return self.flops * times / (time.perf_counter() - start)


def measure(size: str, precision: str, device: torch.device, rounds: int) -> dict:
    """One row of the table."""
    name, base, most = SIZES[size]
    config = preset(name, RESOLUTION, 3, 0)
    network = dataclasses.replace(config.network, channel_base=base, channel_max=most)
    config = dataclasses.replace(
        config, batch=BATCH, p=0.2, precision=precision, network=network, device=str(device)
    )
    with tempfile.TemporaryDirectory() as folder:
        step = Step(config, noise_pictures(Path(folder, "noise.zip")), device)
        with FlopCounterMode(display=False) as counter:
            step.cycle()
        flops = counter.get_total_flops()
        alone = Convolutions(network, DTYPES[precision], device)
        alone.run(1)
        pairs = [(step.cycle(), alone.run(3)) for _ in range(rounds)]
    seconds = statistics.median(s for s, _ in pairs)
    return {
        "size": size,
        "channel_base": base,
        "channel_max": most,
        "precision": precision,
        "img_per_sec": BATCH * CYCLE / seconds,
        "gflop_per_img": flops / BATCH / CYCLE / 1e9,
        "step_gflops": flops / seconds / 1e9,
        "conv_gflops": statistics.median(rate for _, rate in pairs) / 1e9,
        "share": statistics.median(flops / s / rate for s, rate in pairs),
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--precisions", nargs="+", choices=DTYPES, default=["bfloat16"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    device, rows = find_device(args.device), []
    print(f"{RESOLUTION}x{RESOLUTION}, batch {BATCH}, {device}, {torch.get_num_threads()} threads")
    print("size   precision  img/s  GFLOP/img  step GFLOP/s  conv2d GFLOP/s  share")
    for size in args.sizes:
        for precision in args.precisions:
            row = measure(size, precision, device, args.rounds)
            rows.append(row)
            print(
                f"{size:6} {precision:9} {row['img_per_sec']:6.1f} {row['gflop_per_img']:10.1f}"
                f" {row['step_gflops']:13.0f} {row['conv_gflops']:15.0f} {row['share']:6.0%}"
            )
    print(json.dumps({"benchmark": "train_step", "device": str(device), "rows": rows}))


if __name__ == "__main__":
    main()

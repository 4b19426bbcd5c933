"""How long does a picture take? python -m benchmarks.generate

Drawn as the page draws it: ws through the synthesis network in float32, constant noise. Beside the
milliseconds stands the time of the network's convolutions and matrix products at conv2d's own rate.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from stylegan.config import NetworkConfig
from stylegan.model import find_device
from stylegan.networks.generator import Generator

SIZES = ((64, 4096, 128), (256, 16384, 512), (1024, 32768, 512))
BATCHES = (1, 8)


def seconds(work, device: torch.device, least: float) -> float:
    """Median time of one call, over at least three calls and `least` seconds."""
    work()
    times = []
    while len(times) < 3 or sum(times) < least:
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def conv_rate(device: torch.device, least: float) -> float:
    """FLOP/s of one large 3x3 convolution, channels last, float32."""
    x = torch.randn(8, 128, 64, 64, device=device).to(memory_format=torch.channels_last)
    w = torch.randn(128, 128, 3, 3, device=device).to(memory_format=torch.channels_last)
    return 2 * 9 * 128 * x.numel() / seconds(lambda: F.conv2d(x, w, padding=1), device, least)


@torch.no_grad()
def measure(size: tuple[int, int, int], batch: int, device: torch.device, least: float) -> dict:
    """One row of the table."""
    resolution, base, most = size
    config = NetworkConfig(resolution=resolution, channel_base=base, channel_max=most)
    synthesis = Generator(config).synthesis.to(device).eval()
    ws = torch.randn(batch, config.num_ws, config.w_dim, device=device)
    with FlopCounterMode(display=False) as counter:
        synthesis(ws)
    taken = seconds(lambda: synthesis(ws), device, least)
    ideal = counter.get_total_flops() / conv_rate(device, least / 4)
    return {
        "resolution": resolution,
        "channel_base": base,
        "channel_max": most,
        "batch": batch,
        "ms_per_picture": taken / batch * 1000,
        "ms_at_conv_rate": ideal / batch * 1000,
        "share": ideal / taken,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seconds", type=float, default=2.0, help="least time for each number")
    args = parser.parse_args()
    device, rows = find_device(args.device), []
    print(f"float32, {device}, {torch.get_num_threads()} threads")
    print("  size  channels  batch  ms/picture  at conv2d's rate  share")
    for size in SIZES:
        for batch in BATCHES:
            row = measure(size, batch, device, args.seconds)
            rows.append(row)
            print(
                f"{row['resolution']:6} {size[1]:6}/{size[2]:3} {batch:5}"
                f" {row['ms_per_picture']:11.1f} {row['ms_at_conv_rate']:17.1f} {row['share']:6.0%}"
            )
    print(json.dumps({"benchmark": "generate", "device": str(device), "rows": rows}))


if __name__ == "__main__":
    main()

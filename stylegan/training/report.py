"""What a tick says: its line of stats.jsonl, a sentence for people, TensorBoard, a bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch
from tqdm import tqdm

from stylegan import extras
from stylegan.config import TrainConfig, UserError

from .state import Progress
from .step import Trainer

Line = dict[str, Any]


def tick(trainer: Trainer, at: Progress, left_sec: float | None) -> Line:
    """One line of stats.jsonl; all processes of a run come here at once."""
    nimg, device = at.nimg - at.tick_start_nimg, trainer.device
    gpu = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return {
        "Progress/tick": at.tick,
        "Progress/nimg": at.nimg,
        "Progress/kimg": at.nimg / 1000,
        "Progress/augment_p": trainer.p,
        **({"Progress/side": trainer.side} if trainer.config.network.grows else {}),
        "Timing/total_sec": round(at.seconds, 3),
        "Timing/sec_per_tick": round(at.tick_seconds, 3),
        "Timing/sec_per_kimg": round(at.tick_seconds / nimg * 1000, 3),
        "Timing/img_per_sec": round(nimg / at.tick_seconds, 3),
        "Timing/left_sec": None if left_sec is None else round(left_sec),
        "Resources/cpu_mem_gib": round(psutil.Process().memory_info().rss / 2**30, 3),
        "Resources/gpu_mem_gib": round(gpu / 2**30, 3),
        **trainer.tally.finish(),
    }


def left_sec(config: TrainConfig, at: Progress, call_sec: float) -> float | None:
    """Time to the end at this tick's speed, by the budget that is used up first; None for none."""
    left = []
    if config.kimg is not None:
        speed_nimg = (at.nimg - at.tick_start_nimg) / at.tick_seconds
        left.append((config.kimg * 1000 - at.nimg) / speed_nimg)
    if config.minutes is not None:
        left.append(config.minutes * 60 - call_sec)
    return max(min(left), 0.0) if left else None


def sentence(line: Line) -> str:
    """What a person reads of it."""
    r_t, left = line["Loss/signs/real"]["mean"], line["Timing/left_sec"]
    parts = [
        f"tick {line['Progress/tick']:<4d} kimg {line['Progress/kimg']:<8.1f}",
        f"time {_clock(line['Timing/total_sec'])}",
        *([] if left is None else [f"left {_clock(left)}"]),
        f"sec/tick {line['Timing/sec_per_tick']:<7.1f}",
        f"sec/kimg {line['Timing/sec_per_kimg']:<7.2f}",
        f"img/s {line['Timing/img_per_sec']:<6.1f} cpu {line['Resources/cpu_mem_gib']:.1f} GiB",
        f"gpu {line['Resources/gpu_mem_gib']:.1f} GiB  p {line['Progress/augment_p']:.3f}",
        "r_t -" if r_t is None else f"r_t {r_t:.3f}",
    ]
    parts += [f"side {line['Progress/side']}"] if "Progress/side" in line else []
    parts += [f"{k.removeprefix('Metrics/')} {v:.4g}" for k, v in line.items() if "Metrics/" in k]
    r_v = line.get("Validation/r_v")
    parts += [] if r_v is None else [f"r_v {r_v:.2f}"]
    lost = sum(v["mean"] * v["num"] for k, v in line.items() if k.startswith("Guards/nonfinite/"))
    parts += [f"not finite: {lost:.0f} gradients"] if lost else []
    return "  ".join(parts)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def bar(config: TrainConfig, at: Progress, shown: bool) -> tqdm:
    """Progress within a tick; silent where nobody watches."""
    return tqdm(
        total=int(config.tick_kimg * 1000),
        initial=at.nimg - at.tick_start_nimg,
        unit="img",
        leave=False,
        disable=None if shown else True,
    )


@contextmanager
def board(
    folder: Path, at: Progress, say: Callable[[str], None]
) -> Iterator[Callable[[Line], None]]:
    """Write each tick for TensorBoard, where it is installed; what a state takes back is purged."""
    try:
        module = extras.need("torch.utils.tensorboard")
    except UserError as error:
        say(f"no TensorBoard events: {error}")
        yield lambda line: None
        return
    with module.SummaryWriter(folder / "events", purge_step=at.nimg + 1) as writer:

        def add(line: Line) -> None:
            for name, value in line.items():
                number = value["mean"] if isinstance(value, dict) else value
                if number is not None:
                    writer.add_scalar(name, number, line["Progress/nimg"])
            writer.flush()

        yield add

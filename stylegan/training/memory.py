"""How much memory a step takes, told before it starts; and what helps when there is too little."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch
from torch import nn

from stylegan.config import RunError, TrainConfig
from stylegan.networks.synthesis_v2 import block_dtype

from . import schedule
from .step import Trainer

FEATURE_MAPS = 25
"""So many times one map per channel and resolution stay in memory; 17 to 27 were measured."""
WORDS = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")


def sentence(trainer: Trainer) -> str:
    """What a step needs beside what is free, and the flag that helps where that is less."""
    free, needs = free_bytes(trainer.device), step_bytes(trainer)
    said = f"a step takes about {_gib(needs)}"
    if free is None:
        return said
    said += f" of {_gib(free)} free memory"
    if needs <= free:
        return said
    return f"{said}, which may be too little: {advice(trainer.config, trainer.group.size)}"


def advice(config: TrainConfig, processes: int = 1) -> str:
    """The flag that makes a step smaller; a run may go on with it."""
    smaller = smaller_micro_batch(config, processes)
    if smaller is None:
        return "smaller networks help (--network.channel-base), or pictures of a lower resolution"
    return f"--micro-batch {smaller} computes a batch in smaller parts, and changes nothing else"


def smaller_micro_batch(config: TrainConfig, processes: int = 1) -> int | None:
    """At most half of what is computed at once now, in whole mbstd groups; None if that is one."""
    batch = max(batch for _, batch in schedule.stages(config))
    group = min(config.network.mbstd_group, batch)
    now = min(config.micro_batch or batch, batch // processes)
    fitting = [n for n in range(group, now // 2 + 1, group) if batch % n == 0]
    return max(fitting, default=None)


@contextmanager
def shortage_in_words(trainer: Trainer) -> Iterator[None]:
    """Say what helps where memory runs out."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if not isinstance(error, MemoryError) and not any(x in str(error) for x in WORDS):
            raise
        raise RunError(
            f"there is not enough memory on {trainer.device} for a step of about "
            f"{_gib(step_bytes(trainer))}; {advice(trainer.config, trainer.group.size)}"
        ) from error


def free_bytes(device: torch.device) -> int | None:
    """Memory that can be had now; None where that is not known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available if device.type == "cpu" else None


def step_bytes(trainer: Trainer) -> int:
    """What a process needs for a step: weights with what Adam keeps, and what a phase keeps of its
    pictures for the way back."""
    config, network = trainer.config, trainer.config.network

    def kept(side: int, batch: int) -> int:
        n = min(config.micro_batch or batch, batch // trainer.group.size)
        maps = sum(
            network.channels_at(r) * r * r * block_dtype(network, r, trainer.dtype).itemsize
            for r in network.resolutions
            if r <= side
        )
        return FEATURE_MAPS * maps * n

    networks = ((6, trainer.generator), (5, trainer.discriminator))
    weights = sum(copies * _bytes(network) for copies, network in networks)
    return weights + max(kept(*stage) for stage in schedule.stages(config))


def _bytes(network: nn.Module) -> int:
    return sum(param.numel() * param.element_size() for param in network.parameters())


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"

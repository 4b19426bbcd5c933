"""Drawing on ZeroGPU, which lends a GPU for one call at a time, in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from stylegan.extras import need
from stylegan.model import Model, load, synthesize
from stylegan.networks.generator import Generator
from stylegan.networks.synthesis_v2 import Noise

VARIABLE = "SPACES_ZERO_GPU"
LEND_SEC = 20  # asked for a call; a batch takes less than one
Draw = Callable[[str, Tensor, int | Noise], np.ndarray]

_known: dict[str, Generator] = {}
"""Generators on the CPU, by id; the lent process starts as a copy of this one."""
_lent: dict[str, Generator] = {}
"""The same on the GPU, in the lent process alone."""


def is_here() -> bool:
    """Whether this is ZeroGPU."""
    return os.environ.get(VARIABLE, "").lower() in ("1", "t", "true")


def lender() -> Callable[[Model], None]:
    """What lets a model draw on lent GPUs. Latents are found on the CPU, only pictures cross."""
    draw = need("spaces").GPU(duration=LEND_SEC)(_draw)

    def lend(model: Model) -> None:
        _known[model.id] = model.generator
        model.synthesize = partial(draw, model.id)

    return lend


def _draw(id: str, ws: Tensor, noise: int | Noise) -> np.ndarray:
    """uint8 [N, H, W, C], in the process that has the GPU."""
    if id not in _lent:
        place = "cuda" if torch.cuda.is_available() else "cpu"
        generator = _known.get(id) or load(id).generator
        _lent[id] = generator.to(place)
    generator = _lent[id]
    return synthesize(generator.synthesis, ws.to(next(generator.parameters()).device), noise)

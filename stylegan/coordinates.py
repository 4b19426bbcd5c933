"""Coordinates of w in which every direction changes the picture about as much.

A few directions of w decide most of what is seen; along the plain coordinates a descent zigzags
between them. With J the derivative of features by w, the mean of JᵀJ over samples is the metric
that features induce on w (arXiv 1711.08014, section 2); in coordinates x = (metric)^1/2 (w - mean)
it is about the identity.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan import chance
from stylegan.features import Features
from stylegan.model import Model
from stylegan.networks.mapping import broadcast

PROBES, PROBE_SEED, PSI = 64, 0, 0.7
PROBE_PIXELS = 1 << 16  # drawn at once
FLOOR = 1e-3  # of the largest eigenvalue: what is added to all


@dataclass(frozen=True)
class Coordinates:
    """ws = mean + x metric^-1/2, for each row its own metric, or one for all of them."""

    mean: Tensor
    """[w_dim]"""
    axes: Tensor
    """[rows, n, w_dim]: the directions that matter, orthonormal."""
    narrow: Tensor
    """[rows, n]: by how much a step along them is shorter, as a factor above 0."""
    unit: Tensor
    """[rows, 1]: a step along all others."""

    def of(self, ws: Tensor) -> Tensor:
        """ws [1, rows, w_dim] -> x of this shape."""
        return self._scaled(ws - self.mean, 1 / self.narrow, 1 / self.unit)

    def ws(self, x: Tensor) -> Tensor:
        """x [1, rows, w_dim] -> ws of this shape; gradients flow through."""
        return self.mean + self._scaled(x, self.narrow, self.unit)

    def _scaled(self, x: Tensor, narrow: Tensor, unit: Tensor) -> Tensor:
        along = torch.einsum("brd,rnd->brn", x, self.axes) * (narrow - 1)
        return (x + torch.einsum("brn,rnd->brd", along, self.axes)) * unit


def measure(model: Model, look: Features, mean: Tensor, c: int, shared: bool) -> Coordinates:
    """Find the metric from some pictures near the mean; `shared` for one w of all rows.

    J is asked along random directions of the features: E[Jᵀv vᵀJ] = JᵀJ for normal v.
    """
    probes = torch.cat(list(_probes(model, look, mean, c))).cpu()  # MPS has no svd
    if shared:
        probes = probes.sum(dim=1, keepdim=True)
    _, sizes, axes = torch.linalg.svd(probes.transpose(0, 1) / math.sqrt(PROBES), False)
    values = sizes.square()
    floor = (FLOOR * values[:, :1]).clamp_min(torch.finfo(values.dtype).tiny)
    found = axes, (floor / (values + floor)).sqrt(), floor.rsqrt()
    return Coordinates(mean, *(x.to(mean.device) for x in found))


def _probes(model: Model, look: Features, mean: Tensor, c: int) -> Iterator[Tensor]:
    """Jᵀv at as many samples: [n, num_ws, w_dim] at a time."""
    most = min(16, max(1, PROBE_PIXELS // model.config.resolution**2))
    mapping, synthesis = model.generator.mapping, model.generator.synthesis
    for begin in range(0, PROBES, most):
        n = min(most, PROBES - begin)
        stream = chance.generator(PROBE_SEED, "coordinates", begin)
        z = torch.randn(n, model.config.z_dim, generator=stream).to(model.device)
        with torch.no_grad():
            w = mean.lerp(mapping(z, model.labels(c, n)), PSI)
        ws = broadcast(w, model.num_ws).clone().requires_grad_()
        seen = look(synthesis(ws))
        v = torch.randn(seen.shape, generator=stream).to(seen)
        yield torch.autograd.grad((seen * v).sum(), ws)[0]

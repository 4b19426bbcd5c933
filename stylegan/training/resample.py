"""Pictures through affine matrices, as arXiv 2006.06676 does it: mirrored beyond the border,
doubled by a wavelet filter, sampled bilinearly, halved by the mirror image of that filter.

All of it is linear in the picture, and each map is written down with its transpose.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from stylegan.training.wavelets import EDGE, downsampler, upsampler

Map = Callable[[Tensor], Tensor]


def linear(x: Tensor, there: Map, back: Map) -> Tensor:
    """there(x) of a linear map, differentiable any number of times; `back` is its transpose.

    No autocast reaches into the map, not even in a backward pass.
    """
    return _Linear.apply(x, there, back)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, there: Map, back: Map) -> Tensor:
        ctx.back_there = back, there
        with torch.autocast(x.device.type, enabled=False):
            return there(x)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        return _Linear.apply(grad, *ctx.back_there), None, None


def separable(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """rows @ x @ columns^T for each channel: x [N, C, H, W], matrices [N, H', H] and [N, W', W]."""
    n, c, h, w = x.shape
    x = (x.reshape(n, c * h, w) @ columns.mT).view(n, c, h, -1)
    return (x.mT.reshape(n, -1, h) @ rows.mT).view(n, c, x.shape[-1], -1).mT


def resample(x: Tensor, inverse: Tensor) -> Tensor:
    """Pictures [N, C, R, R] through matrices, output point -> input point. float64 [N, 3, 3], CPU.

    Points are in pixels from the centre, x to the right, y down.
    """
    identity = (inverse == torch.eye(3)).all(2).all(1)
    a, b, c, d = inverse[:, :2, :2].flatten(1).unbind(1)
    along_axes = ((b == 0) & (c == 0)) | ((a == 0) & (d == 0))
    kinds = ((_Straight, along_axes & ~identity), (_Turned, ~along_axes))
    maps = [
        (which.nonzero().flatten().to(x.device), kind(inverse[which], x))
        for kind, which in kinds
        if which.any()
    ]

    def there(x: Tensor) -> Tensor:
        out = x.clone()
        for index, part in maps:
            out[index] = part.there(x[index])
        return out

    def back(y: Tensor) -> Tensor:
        out = y.clone()
        for index, part in maps:
            out[index] = part.back(y[index])
        return out

    return linear(x, there, back)


def _positions(size: int) -> Tensor:
    """The samples that are to be halved, in pixels from the centre. float64 [2 * (R + EDGE)]"""
    return torch.arange(-EDGE, 2 * size + EDGE, dtype=torch.float64) / 2 - (size - 1) / 2


def _doubled(at: Tensor, size: int) -> Tensor:
    """Pixels from the centre -> index among the doubled samples of the mirrored row."""
    return 2 * (at + (size - 1) / 2 + size - 1)


class _Straight:
    """Matrices that keep axes as axes: the whole resampling is one matrix for each axis."""

    def __init__(self, inverse: Tensor, like: Tensor) -> None:
        swapped = inverse[:, 0, 0] == 0  # a quarter turn: the picture is transposed first
        rows = torch.where(swapped[:, None], inverse[:, 0, 1:], inverse[:, 1, 1:])
        columns = torch.where(swapped[:, None], inverse[:, 1, ::2], inverse[:, 0, ::2])
        self.swapped = swapped.reshape(-1, 1, 1, 1).to(like.device)
        self.rows, self.columns = _axis(rows, like), _axis(columns, like)

    def there(self, x: Tensor) -> Tensor:
        return separable(torch.where(self.swapped, x.mT, x), self.rows, self.columns)

    def back(self, y: Tensor) -> Tensor:
        x = separable(y, self.rows.mT, self.columns.mT)
        return torch.where(self.swapped, x.mT, x)


def _axis(line: Tensor, like: Tensor) -> Tensor:
    """Resampling of one axis where input = line[:, 0] * output + line[:, 1]. [N, R, R]"""
    size = like.shape[-1]
    at = _doubled(line[:, :1] * _positions(size) + line[:, 1:], size)
    below = at.floor()
    part = (at - below).to(like)[..., None]
    up = F.pad(upsampler(size, like.dtype, like.device).dense, (0, 0, 1, 1))  # 0 beyond the mirror
    below, last = below.long().to(like.device) + 1, len(up) - 1
    samples = torch.lerp(up[below.clamp(0, last)], up[(below + 1).clamp(0, last)], part)
    return downsampler(size, like.dtype, like.device).product(samples, range(size))


class _Turned:
    """Any matrices: bilinear sampling of the doubled pictures."""

    def __init__(self, inverse: Tensor, like: Tensor) -> None:
        size = like.shape[-1]
        self.up = upsampler(size, like.dtype, like.device)
        self.down = downsampler(size, like.dtype, like.device)
        self.size = range(size)
        self.columns, grid_x = _window(inverse[:, 0], len(self.up.dense), like)
        self.rows, grid_y = _window(inverse[:, 1], len(self.up.dense), like)
        self.grid = torch.stack([grid_x, grid_y], dim=3)

    def there(self, x: Tensor) -> Tensor:
        x = self.up.product(self.up.product(x.mT, self.columns).mT, self.rows)
        x = F.grid_sample(x, self.grid, align_corners=False)
        return self.down.product(self.down.product(x.mT, self.size).mT, self.size)

    def back(self, y: Tensor) -> Tensor:
        y = self.down.transposed_product(y, self.size)
        y = self.down.transposed_product(y.mT, self.size).mT.contiguous()
        like = y.new_zeros(()).expand(*y.shape[:2], len(self.rows), len(self.columns))
        spread = torch.ops.aten.grid_sampler_2d_backward
        y, _ = spread(y, like, self.grid, 0, 0, False, [True, False])  # bilinear, zeros outside
        y = self.up.transposed_product(y, self.rows)
        return self.up.transposed_product(y.mT, self.columns).mT


def _window(row: Tensor, count: int, like: Tensor) -> tuple[range, Tensor]:
    """One input coordinate, row [N, 3] times (x, y, 1): which of `count` doubled samples any
    picture needs, and the coordinate, -1 to 1 between the outer edges of these. [N, M, M]"""
    size = like.shape[-1]
    at = _positions(size)
    by_x, by_y = row[:, :1] * at * 2, _doubled(row[:, 1:2] * at + row[:, 2:], size)
    low = int((by_x.amin(1) + by_y.amin(1)).min().floor())
    high = int((by_x.amax(1) + by_y.amax(1)).max().floor()) + 2
    start = min(max(low, 0), count - 1)
    window = range(start, min(max(high, start + 1), count))
    by_x, by_y = by_x * 2 / len(window), (by_y - start + 0.5) * 2 / len(window) - 1
    return window, by_x.to(like)[:, None, :] + by_y.to(like)[:, :, None]

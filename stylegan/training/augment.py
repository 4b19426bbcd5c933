"""Adaptive discriminator augmentation (arXiv 2006.06676): the pipe of appendix B, the control of p.

    params = draw(PIPES["bgc"], p, pictures.shape, Draws(generator), strengths)
    pictures = apply(pictures, params)

Every stage is one function that draws for the whole batch, before anything touches a picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from stylegan.config import AugmentConfig
from stylegan.training.resample import linear, resample, separable
from stylegan.training.wavelets import BANDS, band_filters

# ---------------------------------------------------------------------------------------- chance


class Draws:
    """Where all chance comes from; a test hands in another one. All tensors are on the CPU."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def happens(self, p: float, *shape: int) -> Tensor:
        """True with probability p. bool"""
        return torch.rand(shape, generator=self.generator, dtype=torch.float64) < p

    def uniform(self, *shape: int) -> Tensor:
        """Between -1 and 1. float64"""
        return torch.rand(shape, generator=self.generator, dtype=torch.float64) * 2 - 1

    def normal(self, *shape: int) -> Tensor:
        """Of mean 0 and variance 1. float64"""
        return torch.randn(shape, generator=self.generator, dtype=torch.float64)

    def half_normal(self, *shape: int) -> Tensor:
        """Magnitude of a normal one. float64"""
        return self.normal(*shape).abs()

    def choice(self, count: int, *shape: int) -> Tensor:
        """One of 0 .. count - 1. int64"""
        return torch.randint(count, shape, generator=self.generator)

    def pictures(self, *shape: int) -> Tensor:
        """Normal noise by the pixel. float32"""
        return torch.randn(shape, generator=self.generator)


@dataclass(frozen=True)
class Batch:
    """What a stage knows: how many pictures, their side, p, the strengths, and chance."""

    n: int
    size: int
    p: float
    strengths: AugmentConfig
    draws: Draws

    def maybe(self, value: Tensor) -> Tensor:
        """Each picture's value [N] or [N, K] with probability p, else 0."""
        hit = self.draws.happens(self.p, self.n)
        return torch.where(hit.reshape(-1, *[1] * (value.ndim - 1)), value, 0)

    def factor(self, std: float) -> Tensor:
        """2 to the power of a normal number of this deviation, with probability p, else 1. [N]"""
        return torch.exp2(self.maybe(self.draws.normal(self.n)) * std)


# ------------------------------------------------------------------- geometry: inverse matrices
# Coordinates are pixels from the centre, x to the right, y down. Each stage returns the inverse
# of its step, float64 [N, 3, 3]: from where in its input a point of its output is taken.


def _matrices(*rows: Sequence[Tensor | float]) -> Tensor:
    """Numbers and tensors [N] as matrices, float64 [N, rows, columns]."""
    values = [torch.as_tensor(v, dtype=torch.float64) for row in rows for v in row]
    return torch.stack(torch.broadcast_tensors(*values), dim=-1).unflatten(-1, (len(rows), -1))


def xflip(batch: Batch) -> Tensor:
    """Mirror left and right, or not."""
    flip = batch.maybe(batch.draws.choice(2, batch.n))
    return _matrices((1 - 2 * flip, 0, 0), (0, 1, 0), (0, 0, 1))


def rotate90(batch: Batch) -> Tensor:
    """None to three quarter turns, in whole numbers, so that axes stay exactly axes."""
    quarters = batch.maybe(batch.draws.choice(4, batch.n))
    cos, sin = torch.tensor([1, 0, -1, 0])[quarters], torch.tensor([0, 1, 0, -1])[quarters]
    return _matrices((cos, -sin, 0), (sin, cos, 0), (0, 0, 1))


def xint(batch: Batch) -> Tensor:
    """Shift by whole pixels."""
    reach = batch.strengths.xint_max * batch.size
    x, y = (batch.maybe(batch.draws.uniform(batch.n, 2)) * reach).round().unbind(1)
    return _matrices((1, 0, -x), (0, 1, -y), (0, 0, 1))


def scale(batch: Batch) -> Tensor:
    """Zoom."""
    by = batch.factor(batch.strengths.scale_std)
    return _matrices((1 / by, 0, 0), (0, 1 / by, 0), (0, 0, 1))


def rotate(batch: Batch) -> Tensor:
    """Turn by any angle. One before and one after the stretch; together they happen with p."""
    each = 1 - math.sqrt(min(max(1 - batch.p, 0.0), 1.0))
    turn = batch.draws.uniform(batch.n) * (math.pi * batch.strengths.rotate_max)
    turn = torch.where(batch.draws.happens(each, batch.n), turn, 0)
    cos, sin = turn.cos(), turn.sin()
    return _matrices((cos, -sin, 0), (sin, cos, 0), (0, 0, 1))


def aniso(batch: Batch) -> Tensor:
    """Stretch x by what y is shrunk."""
    by = batch.factor(batch.strengths.aniso_std)
    return _matrices((1 / by, 0, 0), (0, by, 0), (0, 0, 1))


def xfrac(batch: Batch) -> Tensor:
    """Shift by fractions of a pixel."""
    reach = batch.strengths.xfrac_std * batch.size
    x, y = (batch.maybe(batch.draws.normal(batch.n, 2)) * reach).unbind(1)
    return _matrices((1, 0, -x), (0, 1, -y), (0, 0, 1))


# ------------------------------------------------------------------------- colour: matrices
# Each stage returns its step on (red, green, blue, 1), float64 [N, 4, 4].


def brightness(batch: Batch) -> Tensor:
    """Add to all channels."""
    by = batch.maybe(batch.draws.normal(batch.n)) * batch.strengths.brightness_std
    return _matrices((1, 0, 0, by), (0, 1, 0, by), (0, 0, 1, by), (0, 0, 0, 1))


def contrast(batch: Batch) -> Tensor:
    """Multiply all channels."""
    by = batch.factor(batch.strengths.contrast_std)
    return _matrices((by, 0, 0, 0), (0, by, 0, 0), (0, 0, by, 0), (0, 0, 0, 1))


def _around_grey(same: Tensor | float, following: Tensor | float, preceding: Tensor) -> Tensor:
    """Treat the colours alike: weights of a channel itself, of the next one, of the one before."""
    a, b, c = same, following, preceding
    return _matrices((a, b, c, 0), (c, a, b, 0), (b, c, a, 0), (0, 0, 0, 1))


def lumaflip(batch: Batch) -> Tensor:
    """Mirror light and dark, keeping the hue, or not."""
    off = -2 / 3 * batch.maybe(batch.draws.choice(2, batch.n))
    return _around_grey(1 + off, off, off)


def hue(batch: Batch) -> Tensor:
    """Turn the colours around the grey axis (Rodrigues' formula)."""
    turn = batch.maybe(batch.draws.uniform(batch.n)) * (math.pi * batch.strengths.hue_max)
    grey, swing = (1 - turn.cos()) / 3, turn.sin() / math.sqrt(3)
    return _around_grey(turn.cos() + grey, grey - swing, grey + swing)


def saturation(batch: Batch) -> Tensor:
    """Move the colours away from grey or towards it."""
    by = batch.factor(batch.strengths.saturation_std)
    off = (1 - by) / 3
    return _around_grey(by + off, off, off)


# ----------------------------------------------------------------------------- corruptions


def imgfilter(batch: Batch) -> Tensor:
    """Gain of each octave of frequencies, float64 [N, 4]; a 1/f picture keeps its power."""
    power = torch.tensor([10, 1, 1, 1], dtype=torch.float64) / 13
    gains = torch.ones(batch.n, BANDS, dtype=torch.float64)
    for band in range(BANDS):
        one = torch.ones_like(gains)
        one[:, band] = batch.factor(batch.strengths.filter_std)
        gains *= one / (power * one.square()).sum(1, keepdim=True).sqrt()
    return gains


def noise(batch: Batch) -> Tensor:
    """Standard deviation of the noise by the pixel, float64 [N]."""
    return batch.maybe(batch.draws.half_normal(batch.n)) * batch.strengths.noise_std


def cutout(batch: Batch) -> Tensor:
    """A square to blank: centre x, y and half side as shares of the side, float64 [N, 3]."""
    x, y = (batch.draws.uniform(batch.n, 2) / 2 + 0.5).unbind(1)
    half = batch.maybe(torch.tensor(batch.strengths.cutout_size / 2).double().expand(batch.n))
    return torch.stack([x, y, half], dim=1)


# ------------------------------------------------------------------------------------ the pipe

GEOMETRY = {f.__name__: f for f in (xflip, rotate90, xint, scale, rotate, aniso, xfrac)}
GEOMETRY["rotate_again"] = rotate
COLOUR = {f.__name__: f for f in (brightness, contrast, lumaflip, hue, saturation)}

_BLIT = ("xflip", "rotate90", "xint")
_GEOM = ("scale", "rotate", "aniso", "rotate_again", "xfrac")
_COLOR = tuple(COLOUR)
PIPES: dict[str, tuple[str, ...]] = {
    "blit": _BLIT,
    "geom": _GEOM,
    "color": _COLOR,
    "filter": ("imgfilter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
    "bg": _BLIT + _GEOM,
    "bgc": _BLIT + _GEOM + _COLOR,
    "bgcf": (*_BLIT, *_GEOM, *_COLOR, "imgfilter"),
    "bgcfn": (*_BLIT, *_GEOM, *_COLOR, "imgfilter", "noise"),
    "bgcfnc": (*_BLIT, *_GEOM, *_COLOR, "imgfilter", "noise", "cutout"),
}


@dataclass(frozen=True)
class Params:
    """What happens to each picture of a batch, on the CPU; None where nothing happens to any.

    Indexing with a slice or a tensor of indices gives the parameters of those pictures.
    """

    inverse: Tensor | None = None
    """Output point -> input point, pixels from the centre. float64 [N, 3, 3]"""
    colour: Tensor | None = None
    """On (red, green, blue, 1). float64 [N, 4, 4]"""
    gains: Tensor | None = None
    """Of the four octaves, lowest first. float64 [N, 4]"""
    noise: Tensor | None = None
    """To be added. float32 [N, C, H, W]"""
    square: Tensor | None = None
    """To be blanked: centre x, y, half side, in shares of the side. float64 [N, 3]"""

    def __getitem__(self, index: slice | Tensor) -> Params:
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        return Params(**{k: None if v is None else v[index] for k, v in parts.items()})


def draw(
    stages: Sequence[str], p: float, shape: Sequence[int], draws: Draws, strengths: AugmentConfig
) -> Params:
    """Decide what happens to a whole batch of pictures of this shape [N, C, H, W].

    Every stage draws whatever p is, so that equal chance and p give equal parameters.
    """
    n, channels, height, width = shape
    if height != width:
        raise ValueError(f"pictures of {height} x {width} are not square")
    batch = Batch(n, width, p, strengths, draws)
    inverse = torch.eye(3, dtype=torch.float64).repeat(n, 1, 1)
    colour = torch.eye(4, dtype=torch.float64).repeat(n, 1, 1)
    gains = sigma = square = None
    for stage in stages:
        if stage in GEOMETRY:
            inverse = inverse @ GEOMETRY[stage](batch)
        elif stage in COLOUR:
            colour = COLOUR[stage](batch) @ colour
        elif stage == "imgfilter":
            gains = imgfilter(batch)
        elif stage == "noise":
            sigma = noise(batch)
        elif stage == "cutout":
            square = cutout(batch)
        else:
            raise ValueError(f"unknown augmentation {stage!r}")
    grain = None
    if sigma is not None and (noisy := sigma.nonzero().flatten()).numel():
        drawn = draws.pictures(len(noisy), channels, height, width)
        grain = torch.zeros(tuple(shape))
        grain[noisy] = drawn * sigma[noisy].reshape(-1, 1, 1, 1).float()
    return Params(
        inverse=inverse if (inverse != torch.eye(3)).any() else None,
        colour=colour if (colour != torch.eye(4)).any() else None,
        gains=gains if gains is not None and (gains != 1).any() else None,
        noise=grain,
        square=square if square is not None and square[:, 2].any() else None,
    )


def apply(pictures: Tensor, params: Params) -> Tensor:
    """Augment pictures [N, C, R, R], C = 1 grey, 3 RGB or 4 RGBA, about -1 to 1, in float32.

    Differentiable in the pictures, as often as one likes.
    """
    x = pictures if pictures.dtype == torch.float64 else pictures.float()
    with torch.autocast(x.device.type, enabled=False):
        if params.inverse is not None:
            x = resample(x, params.inverse)
        if params.colour is not None:
            x = recolour(x, params.colour)
        if params.gains is not None:
            x = equalise(x, params.gains)
        if params.noise is not None:
            x = x + params.noise.to(x)
        if params.square is not None:
            x = blank(x, params.square)
    return x


# ---------------------------------------------------------------------- what is done to pictures


def recolour(x: Tensor, colour: Tensor) -> Tensor:
    """Colours by matrices [N, 4, 4]; grey by the mean of their rows; alpha stays.

    A picture with alpha that is recoloured is first laid over white.
    """
    if x.shape[1] == 1:
        row = colour[:, :3].mean(1).to(x)
        gain, offset = row[:, :3].sum(1), row[:, 3]
        return x * gain.reshape(-1, 1, 1, 1) + offset.reshape(-1, 1, 1, 1)
    rgb, alpha = x[:, :3], x[:, 3:]
    if alpha.shape[1]:
        opacity = (alpha + 1) / 2
        changed = (colour != torch.eye(4)).any(2).any(1).reshape(-1, 1, 1, 1).to(x.device)
        rgb = torch.where(changed, rgb * opacity + (1 - opacity), rgb)
    matrix, offset = colour.to(x)[:, :3, :].split([3, 1], dim=2)
    flat = linear(rgb.flatten(2), lambda x: matrix @ x, lambda y: matrix.mT @ y) + offset
    return torch.cat([flat.view_as(rgb), alpha], dim=1) if alpha.shape[1] else flat.view_as(rgb)


def equalise(x: Tensor, gains: Tensor) -> Tensor:
    """Amplify octaves of frequencies by gains [N, 4], along both axes."""
    bank = band_filters(x.shape[-1], x.dtype, x.device)
    f = torch.einsum("nb,bij->nij", gains.to(x), bank)
    return linear(x, lambda x: separable(x, f, f), lambda y: separable(y, f.mT, f.mT))


def blank(x: Tensor, square: Tensor) -> Tensor:
    """Set to 0 the pixels whose centre lies in a square [N, 3]: x, y, half side."""
    size = x.shape[-1]
    at = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    inside = (at - square[:, :2, None]).abs() < square[:, 2:, None]  # [N, 2, R]
    keep = ~(inside[:, 1, :, None] & inside[:, 0, None, :])
    return x * keep[:, None].to(x)


# ------------------------------------------------------------------------------ control of p


def adjust_p(
    p: float, sign_mean: float, batch: int, interval: int, target: float, kimg: float
) -> float:
    """p after `interval` iterations in which the mean of sign(D(real)) was `sign_mean`.

    p would go from 0 to 1 in `kimg` thousand images; it never falls below 0. Kept in float32.
    """
    step = np.sign(sign_mean - target) * (batch * interval) / (kimg * 1000)
    return float(max(np.float32(p) + np.float32(step), np.float32(0)))

"""Every schedule as a pure function of images seen, or of settings."""

from __future__ import annotations

import math
from typing import Any

from stylegan.config import TrainConfig, by_resolution
from stylegan.networks.growing import grown

EMA_MIN_NIMG = 1e-8


def ema_decay(nimg: int, batch: int, ema_kimg: float, ramp: float | None) -> float:
    """Share of the old average that stays after one step of `batch`, with `nimg` seen before it."""
    half_life_nimg = ema_kimg * 1000
    if ramp is not None:
        half_life_nimg = min(half_life_nimg, nimg * ramp)
    return 0.5 ** (batch / max(half_life_nimg, EMA_MIN_NIMG))


def lazy_adam(lr: float, betas: tuple[float, float], interval: int) -> tuple[float, tuple]:
    """Adam's settings when a regulariser runs every `interval`-th step (StyleGAN2, appendix B)."""
    c = interval / (interval + 1)
    return lr * c, (betas[0] ** c, betas[1] ** c)


# Growing (StyleGAN, appendix C, after Progressive GAN)


def lod(nimg: int, config: TrainConfig) -> float:
    """How much of the pictures is still left out after `nimg` images; 0 where nothing grows.

    Each resolution stands for `hold_kimg`, then the next fades in for `fade_kimg`.
    """
    if not config.network.grows:
        return 0.0
    growth = config.growth
    hold_nimg, fade_nimg = growth.hold_kimg * 1000, growth.fade_kimg * 1000
    phases, rest = divmod(nimg, hold_nimg + fade_nimg)
    faded = (rest - hold_nimg) / fade_nimg if rest > hold_nimg else 0
    return max(math.log2(config.network.resolution / growth.start) - phases - faded, 0.0)


def batch(nimg: int, config: TrainConfig) -> int:
    """Pictures of the step that begins at `nimg`."""
    return _by_side(nimg, config, "batches", int, config.batch)


def stages(config: TrainConfig) -> list[tuple[int, int]]:
    """Side and batch of every size that pictures have in turn."""
    sides = config.network.resolutions
    if not config.network.grows:
        return [(sides[-1], config.batch)]
    known = by_resolution("batches", config.growth.batches, int)
    return [(r, known.get(r, config.batch)) for r in sides if r >= config.growth.start]


def grown_kimg(config: TrainConfig) -> float:
    """Thousand images after which nothing grows any more."""
    growth, levels = config.growth, len(stages(config)) - 1
    return levels * (growth.hold_kimg + growth.fade_kimg)


def lr(nimg: int, config: TrainConfig) -> float:
    """Learning rate of the step that begins at `nimg`."""
    return _by_side(nimg, config, "lrs", float, config.lr)


def new_stage(before: int, after: int, config: TrainConfig) -> bool:
    """Whether a resolution began or ended to fade in between, on which Adam begins anew."""
    a, b = lod(before, config), lod(after, config)
    return (math.floor(a), math.ceil(a)) != (math.floor(b), math.ceil(b))


def _by_side(nimg: int, config: TrainConfig, name: str, kind: type, usual: float) -> Any:
    if not config.network.grows:
        return usual
    side, _ = grown(config.network.resolution, lod(nimg, config))
    return by_resolution(name, getattr(config.growth, name), kind).get(side, usual)

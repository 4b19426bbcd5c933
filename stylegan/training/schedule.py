"""Every schedule as a pure function of images seen, or of settings."""

from __future__ import annotations

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

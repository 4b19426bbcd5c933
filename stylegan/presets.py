"""The recipes of the papers by name: settings for data of a size and a number of GPUs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from stylegan.config import ConfigError, GrowthConfig, NetworkConfig, TrainConfig

CLAMP = 256.0  # for mixed precision (arXiv 2006.06676, appendix D)
KIMG = 25000.0
Values = dict[str, Any]


def _auto(resolution: int, gpus: int) -> Values:
    """The rules of `auto` (StyleGAN2-ADA's own): as resolution and number of GPUs ask."""
    batch = max(min(gpus * min(4096 // resolution, 32), 64), gpus)
    return {
        "batch": batch,
        "lr": 0.002 if resolution >= 1024 else 0.0025,
        "gamma": 0.0002 * resolution**2 / batch,
        "ema_kimg": batch * 10 / 32,
        "kimg": KIMG,
        "precision": "bfloat16",
        "network": {
            "mbstd_group": min(batch // gpus, 4),
            "channel_base": 32768 if resolution >= 512 else 16384,
            "mapping_layers": 2,
            "conv_clamp": CLAMP,
        },
    }


def _tiny(resolution: int, gpus: int) -> Values:
    """For two CPU cores at 64x64, or to see that all works."""
    batch = 16
    return {
        "batch": batch,
        "gamma": 0.0002 * resolution**2 / batch,
        "ema_kimg": batch * 10 / 32,
        "precision": "bfloat16",
        "network": {
            "z_dim": 128,
            "w_dim": 128,
            "channel_base": max(4096, resolution),
            "channel_max": 128,
            "mapping_layers": 2,
            "conv_clamp": CLAMP,
        },
    }


# fmt: off
FIXED = {  # StyleGAN2, configs E and F; StyleGAN2-ADA; DiffAugment's low shot
    # name        kimg  batch  mbstd channel_base  lr    gamma  ema_kimg ramp  mapping
    "e":         (25e3,    32,     4,   16384,  0.0020,  10.00,     10.0, None,    8),
    "f":         (25e3,    32,     4,   32768,  0.0020,  10.00,     10.0, None,    8),
    "stylegan2": (25e3,    32,     4,   32768,  0.0020,  10.00,     10.0, None,    8),
    "paper256":  (25e3,    64,     8,   16384,  0.0025,   1.00,     20.0, None,    8),
    "paper512":  (25e3,    64,     8,   32768,  0.0025,   0.50,     20.0, None,    8),
    "paper1024": (25e3,    32,     4,   32768,  0.0020,   2.00,     10.0, None,    8),
    "cifar":     (1e5,     64,    32,   32768,  0.0025,   0.01,    500.0, 0.05,    2),
    "low_shot":  (300.0,    8,     4,   32768,  0.0020,  10.00,     10.0, None,    2),
}
GROWING = {  # StyleGAN; StyleGAN2, table 1
    # name  style      intervals of G and D, 0 for no lazy regularisation; weight of path length
    "v1": ("adain",        0,  0,   0.0),
    "a":  ("adain",        0,  0,   0.0),
    "b":  ("demodulated",  0,  0,   0.0),
    "c":  ("demodulated",  4, 16,   0.0),
    "d":  ("demodulated",  4, 16,   2.0),
}
# fmt: on


def _fixed(name: str, resolution: int, gpus: int) -> Values:
    """A row of the table; the same at every resolution and number of GPUs."""
    kimg, batch, group, base, lr, gamma, ema_kimg, ramp, layers = FIXED[name]
    network = {
        "mbstd_group": group,
        "channel_base": base,
        "mapping_layers": layers,
        "conv_clamp": CLAMP,
    }
    values = {
        "kimg": kimg,
        "batch": batch,
        "lr": lr,
        "gamma": gamma,
        "ema_kimg": ema_kimg,
        "ema_ramp": ramp,
        "precision": "bfloat16",
    }
    if name == "cifar":
        values |= {"pl_weight": 0.0, "style_mixing": 0.0}
        network["d_architecture"] = "orig"
    if name == "low_shot":
        values["aug"] = "diffaugment"
    return {**values, "network": network}


def _growing(name: str, resolution: int, gpus: int) -> Values:
    """A row of the table, with the batches and learning rates of StyleGAN."""
    style, g_interval, d_interval, pl_weight = GROWING[name]
    batches = growing_batches(gpus)
    return {
        "kimg": KIMG,
        "batch": 4 * gpus,
        "lr": 0.001,
        "gamma": 10.0,
        "g_reg_interval": g_interval,
        "d_reg_interval": d_interval,
        "pl_weight": pl_weight,
        "ema_kimg": 10.0,
        "ema_ramp": None,
        "aug": "none",
        "growth": {
            "batches": ",".join(f"{side}:{batch}" for side, batch in batches.items()),
            "lrs": "128:0.0015,256:0.002,512:0.003,1024:0.003",
        },
        "network": {
            "style": style,
            "architecture": "growing",
            "d_architecture": "growing",
            "channel_base": max(16384, resolution),
        },
    }


def growing_batches(gpus: int) -> dict[int, int]:
    """Pictures of a step by resolution: those of one GPU, and more where each GPU has few."""
    one = {4: 128, 8: 128, 16: 128, 32: 64, 64: 32, 128: 16, 256: 8, 512: 4}
    most = {4: 512, 8: 256}
    return {side: max(min(128 * gpus, most.get(side, n)), n, 4 * gpus) for side, n in one.items()}


# The penalty of arXiv 1704.00028, algorithm 1, whose weight and interval are not R1's
WGAN_GP: Values = {"loss": "wgan-gp", "gamma": 10.0, "d_reg_interval": 0}


PRESETS: dict[str, Callable[[int, int], Values]] = {
    **{name: partial(_growing, name) for name in GROWING},
    **{name: partial(_fixed, name) for name in ("e", "f")},
    "auto": _auto,
    **{name: partial(_fixed, name) for name in FIXED if len(name) > 1},
    "tiny": _tiny,
}


def preset(
    name: str,
    resolution: int,
    channels: int,
    c_dim: int,
    gpus: int = 1,
    loss: str = TrainConfig.loss,
) -> TrainConfig:
    """Settings of a preset for data of this size; with wgan-gp, those that go with that loss."""
    if name not in PRESETS:
        raise ConfigError(f"there is no preset {name!r}; there are: {', '.join(PRESETS)}")
    values = PRESETS[name](resolution, gpus)
    if loss == WGAN_GP["loss"]:
        values |= WGAN_GP
        if values.get("aug", TrainConfig.aug) == "ada":  # reads signs of D, whose zero is free here
            values["aug"] = "none"
    network = NetworkConfig(
        resolution=resolution, channels=channels, c_dim=c_dim, **values.pop("network")
    )
    growth = GrowthConfig(**values.pop("growth", {}))
    return TrainConfig(preset=name, network=network, growth=growth, **values)

"""Settings as frozen dataclasses: the only home of a default, and the table of presets."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_type_hints

Architecture = Literal["skip", "resnet", "orig"]
Precision = Literal["float32", "bfloat16", "float16"]

MIN_RESOLUTION, MAX_RESOLUTION = 8, 1024


class UserError(ValueError):
    """Wrong usage or input; its text is one sentence for the person at the keyboard."""


class ConfigError(UserError):
    """A setting that cannot be used."""


class RunError(Exception):
    """Work that began and cannot go on; its text is one sentence for the person at the keyboard."""


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of a generator and its discriminator; all that is needed to build both."""

    resolution: int = 64
    """Side of the square picture, a power of two."""
    channels: int = 3
    """Picture channels: 1 grey, 3 RGB, 4 RGBA."""
    c_dim: int = 0
    """Length of the class label, 0 for none."""
    z_dim: int = 512
    """Length of the latent z."""
    w_dim: int = 512
    """Length of the intermediate latent w."""
    mapping_layers: int = 8
    """Depth of the mapping network of the generator."""
    channel_base: int = 32768
    """Feature maps at resolution r: min(channel_base / r, channel_max)."""
    channel_max: int = 512
    """Most feature maps in any layer."""
    architecture: Architecture = "skip"
    """How the generator's blocks reach the picture."""
    d_architecture: Architecture = "resnet"
    """How the picture reaches the discriminator's blocks."""
    mbstd_group: int = 4
    """Pictures in a group of the minibatch standard deviation."""
    conv_clamp: float | None = None
    """Largest magnitude of an activation, in any precision; none for no limit."""

    def __post_init__(self) -> None:
        _check_types(self)
        r = self.resolution
        if r & (r - 1) or not MIN_RESOLUTION <= r <= MAX_RESOLUTION:
            raise ConfigError(
                f"resolution {r} is not a power of two from {MIN_RESOLUTION} to {MAX_RESOLUTION}"
            )
        if self.channels not in (1, 3, 4):
            raise ConfigError(f"channels {self.channels} is not 1 (grey), 3 (RGB) or 4 (RGBA)")
        for name, low, high in (
            ("c_dim", 0, 100_000),
            ("z_dim", 1, 4096),
            ("w_dim", 1, 4096),
            ("mapping_layers", 1, 64),
            ("channel_base", r, 1 << 20),
            ("channel_max", 1, 4096),
            ("mbstd_group", 1, 4096),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"{name} {value} is outside {low} to {high}")
        if self.conv_clamp is not None and not self.conv_clamp > 0:
            raise ConfigError(f"conv_clamp {self.conv_clamp} is not a positive number")

    @property
    def num_ws(self) -> int:
        """Rows of ws: 2 log2(resolution) - 2."""
        return 2 * self.resolution.bit_length() - 4

    @property
    def resolutions(self) -> tuple[int, ...]:
        """4, 8, ..., resolution."""
        return tuple(4 << i for i in range(self.resolution.bit_length() - 2))

    def channels_at(self, resolution: int) -> int:
        """Feature maps at this resolution."""
        return min(self.channel_base // resolution, self.channel_max)


@dataclass(frozen=True)
class AugmentConfig:
    """Strengths of the discriminator's augmentations (arXiv 2006.06676, appendix B)."""

    xint_max: float = 0.125
    """Largest shift by whole pixels, as a share of the side."""
    scale_std: float = 0.2
    """Standard deviation of log2 of the zoom."""
    rotate_max: float = 1.0
    """Largest rotation, as a share of half a turn either way."""
    aniso_std: float = 0.2
    """Standard deviation of log2 of the stretch."""
    xfrac_std: float = 0.125
    """Standard deviation of the fractional shift, as a share of the side."""
    brightness_std: float = 0.2
    """Standard deviation of what is added to all channels."""
    contrast_std: float = 0.5
    """Standard deviation of log2 of the contrast."""
    hue_max: float = 1.0
    """Largest turn of the hue, as a share of half a turn either way."""
    saturation_std: float = 1.0
    """Standard deviation of log2 of the saturation."""
    filter_std: float = 1.0
    """Standard deviation of log2 of the gain of a frequency band."""
    noise_std: float = 0.1
    """Standard deviation of the noise's own standard deviation."""
    cutout_size: float = 0.5
    """Side of the blanked square, as a share of the picture's."""

    def __post_init__(self) -> None:
        _check_types(self)
        for f in dataclasses.fields(self):
            value, high = getattr(self, f.name), 4 if f.name.endswith("_std") else 1
            if not 0 <= value <= high:
                raise ConfigError(f"{f.name} {value} is outside 0 to {high}")


@dataclass(frozen=True)
class TrainConfig:
    """All that decides what a run becomes; a run is continued only with the same."""

    data: str = ""
    """Folder or zip of squares, as prepare writes it."""
    preset: str = "auto"
    """Where unset settings take their values from."""
    resume_from: str = ""
    """Model whose weights a new run begins with as far as they fit: a folder, a run, or
    user/name@revision of the Hub; random ones, if not given."""
    start_kimg: float = 0.0
    """Thousand images that the model begun with counts as having seen."""
    freeze_d: int = 0
    """First layers of the discriminator that keep the weights they began with."""
    freeze_mapping: bool = False
    """Keep the mapping network's weights that the run began with."""
    seed: int = 0
    """Start of all chance: weights, latents, noise, the order of the pictures, augmentation."""
    batch: int = 32
    """Pictures of one step."""
    micro_batch: int | None = None
    """Pictures computed at once, to save memory; decides nothing but speed. All, if not given."""
    lr: float = 0.0025
    """Learning rate of both networks."""
    gamma: float = 1.0
    """Weight of R1."""
    pl_weight: float = 2.0
    """Weight of the path length penalty, 0 for none."""
    pl_batch_shrink: int = 2
    """The path length penalty takes the batch divided by this."""
    style_mixing: float = 0.9
    """Share of fakes made from two latents."""
    g_reg_interval: int = 4
    """Steps from one path length penalty to the next."""
    d_reg_interval: int = 16
    """Steps from one R1 penalty to the next."""
    ema_kimg: float = 10.0
    """Half-life of the averaged generator, in thousand images."""
    ema_ramp: float | None = 0.05
    """The half-life is at most this share of the images seen; none for no limit."""
    mirror: bool = False
    """Show every picture flipped left to right as well."""
    aug: Literal["ada", "fixed", "none"] = "ada"
    """Augmentation with adaptive probability, with a fixed one, or none."""
    augpipe: str = "bgc"
    """Which augmentations: blit, geom, color, filter, noise, cutout, bg, bgc ... bgcfnc."""
    p: float = 0.0
    """Probability of each augmentation: where ada starts, or what is fixed."""
    target: float = 0.6
    """What ada holds the mean sign of D(real) at."""
    ada_kimg: float = 500.0
    """Thousand images in which ada moves p by 1."""
    ada_interval: int = 4
    """Steps from one adjustment of p to the next."""
    precision: Precision = "float32"
    """What the 4 highest resolutions compute in."""
    tick_kimg: float = 4.0
    """Thousand images from one line of progress to the next."""
    snap: int = 10
    """Ticks from one snapshot (grid, model, metrics) to the next."""
    metrics: str = "swd"
    """Metrics of each snapshot, separated by commas; the first decides which is best."""
    keep: int | None = None
    """Models that stay, the latest and the best one; all, if not given."""
    on_nan: Literal["stop", "rollback"] = "stop"
    """What to do when numbers are not finite: stop, or go on from the saved state by other
    draws."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps ...; auto takes a GPU where there is one."""
    kimg: float | None = None
    """Stop at this many thousand images in all; never, if not given."""
    minutes: float | None = None
    """Stop after so many minutes of this call."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        _check_types(self)
        for name, low, high in (
            ("seed", 0, 2**32 - 1),
            ("start_kimg", 0, 1e6),
            ("freeze_d", 0, 64),
            ("batch", 1, 65536),
            ("lr", 1e-12, 1),
            ("gamma", 0, 1e6),
            ("pl_weight", 0, 1e6),
            ("pl_batch_shrink", 1, 1024),
            ("style_mixing", 0, 1),
            ("g_reg_interval", 1, 1 << 20),
            ("d_reg_interval", 1, 1 << 20),
            ("ema_kimg", 0, 1e6),
            ("p", 0, 1e3),
            ("target", -1, 1),
            ("ada_kimg", 1e-3, 1e9),
            ("ada_interval", 1, 1 << 20),
            ("tick_kimg", 1e-3, 1e6),
            ("snap", 1, 1 << 20),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"{name} {value} is outside {low} to {high}")
        for name in ("ema_ramp", "kimg", "minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name} {value} is not a positive number")
        if self.keep is not None and self.keep < 1:
            raise ConfigError(f"keep {self.keep} is less than 1")
        for name in ("start_kimg", "freeze_d", "freeze_mapping"):
            if getattr(self, name) and not self.resume_from:
                raise ConfigError(f"{name} is for a run that begins with a model (resume_from)")
        self._check_batches()

    @property
    def metric_names(self) -> list[str]:
        """The metrics, one by one."""
        return [name.strip() for name in self.metrics.split(",") if name.strip()]

    def _check_batches(self) -> None:
        """Slices of a batch keep whole groups of the minibatch standard deviation."""
        group = min(self.network.mbstd_group, self.batch)
        if self.batch % group:
            raise ConfigError(f"batch {self.batch} is not a multiple of the mbstd group {group}")
        micro = self.micro_batch
        if micro is not None and (micro < 1 or self.batch % micro or micro % group):
            raise ConfigError(
                f"micro_batch {micro} does not cut the batch {self.batch} into equal parts of "
                f"whole mbstd groups of {group}"
            )


NOT_SETTINGS = (
    *("kimg", "minutes", "device", "snap", "metrics", "micro_batch", "data", "keep", "on_nan"),
)
"""Fields that a run may be continued with another value of; data is compared by its content."""


def _auto(resolution: int, gpus: int) -> dict[str, Any]:
    """The rules of `auto` (StyleGAN2-ADA's own): as resolution and number of GPUs ask."""
    batch = max(min(gpus * min(4096 // resolution, 32), 64), gpus)
    return {
        "batch": batch,
        "lr": 0.002 if resolution >= 1024 else 0.0025,
        "gamma": 0.0002 * resolution**2 / batch,
        "ema_kimg": batch * 10 / 32,
        "kimg": 25000.0,
        "precision": "bfloat16",
        "network": {
            "mbstd_group": min(batch // gpus, 4),
            "channel_base": 32768 if resolution >= 512 else 16384,
            "mapping_layers": 2,
            "conv_clamp": 256.0,
        },
    }


def _tiny(resolution: int, gpus: int) -> dict[str, Any]:
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
            "conv_clamp": 256.0,
        },
    }


PRESETS: dict[str, Callable[[int, int], dict[str, Any]]] = {"auto": _auto, "tiny": _tiny}


def preset(name: str, resolution: int, channels: int, c_dim: int, gpus: int = 1) -> TrainConfig:
    """Settings of a preset for data of this size."""
    if name not in PRESETS:
        raise ConfigError(f"there is no preset {name!r}; there are: {', '.join(PRESETS)}")
    values = PRESETS[name](resolution, gpus)
    network = NetworkConfig(
        resolution=resolution, channels=channels, c_dim=c_dim, **values.pop("network")
    )
    return TrainConfig(preset=name, network=network, **values)


def _check_types(config: Any) -> None:
    """Refuse values of the wrong type, which a config.json can hold."""
    hints = get_type_hints(type(config))
    for f in dataclasses.fields(config):
        value, hint = getattr(config, f.name), hints[f.name]
        choices = get_args(hint)
        if hint is int and (type(value) is not int):
            raise ConfigError(f"{f.name} {value!r} is not a whole number")
        if hint is float and (type(value) not in (int, float)):
            raise ConfigError(f"{f.name} {value!r} is not a number")
        if hint is bool and type(value) is not bool:
            raise ConfigError(f"{f.name} {value!r} is not true or false")
        if type(None) in choices and value is not None:
            kind = "number" if float in choices else "whole number"
            if type(value) is not int and not (float in choices and type(value) is float):
                raise ConfigError(f"{f.name} {value!r} is not a {kind}")
        if choices and all(isinstance(c, str) for c in choices) and value not in choices:
            raise ConfigError(f"{f.name} {value!r} is not one of {', '.join(choices)}")


def from_dict(cls: type, values: dict[str, Any]) -> Any:
    """Build a settings class from JSON values; unknown names are refused by name."""
    known = {f.name for f in dataclasses.fields(cls)}
    if unknown := sorted(set(values) - known):
        raise ConfigError(f"unknown setting {', '.join(unknown)} (made by a newer version?)")
    return cls(**values)

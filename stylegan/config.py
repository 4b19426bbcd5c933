"""Settings as frozen dataclasses: the only home of a default."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_type_hints

Style = Literal["demodulated", "adain", "adain-rosinality"]
Architecture = Literal["skip", "resnet", "orig", "growing"]
DArchitecture = Literal["skip", "resnet", "orig", "growing", "growing-plain"]
Precision = Literal["float32", "bfloat16", "float16"]

MIN_RESOLUTION, MAX_RESOLUTION = 8, 1024
V1_CUT = 8
MAX_BATCH = 65536
POLICY = ("color", "translation", "cutout")


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
    d_architecture: DArchitecture = "resnet"
    """How the picture reaches the discriminator's blocks."""
    style: Style = "demodulated"
    """How w acts on a layer: scaled and demodulated filters (StyleGAN2), or adaptive instance
    normalisation (StyleGAN), also in the order of the layers of rosinality's program."""
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
        if (self.architecture == "growing") != self.d_architecture.startswith("growing"):
            raise ConfigError(
                f"architecture {self.architecture} and d_architecture {self.d_architecture}: "
                "a growing generator needs a growing discriminator, and no other does"
            )
        if self.style != "demodulated" and self.architecture != "growing":
            raise ConfigError(f"style {self.style} needs architecture growing")

    @property
    def grows(self) -> bool:
        """Whether training begins with small pictures (StyleGAN, configs A to D)."""
        return self.architecture == "growing"

    @property
    def family(self) -> str:
        """The paper's name for such a network."""
        return "StyleGAN2" if self.style == "demodulated" else "StyleGAN"

    @property
    def usual_cut(self) -> int | None:
        """How many first rows are customarily truncated; none for all (StyleGAN, appendix B)."""
        return V1_CUT if self.style != "demodulated" and self.num_ws > V1_CUT else None

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
class GrowthConfig:
    """How pictures grow in training (StyleGAN, configs A to D); unread where they do not."""

    start: int = 8
    """Side of the first pictures."""
    hold_kimg: float = 600.0
    """Thousand images for each resolution on its own."""
    fade_kimg: float = 600.0
    """Thousand images in which the next resolution fades in."""
    batches: str = ""
    """Pictures of one step by resolution, as 8:128,64:32; --batch elsewhere."""
    lrs: str = ""
    """Learning rate by resolution, as 128:0.0015; --lr elsewhere."""

    def __post_init__(self) -> None:
        _check_types(self)
        if self.start & (self.start - 1) or not 4 <= self.start <= MAX_RESOLUTION:
            raise ConfigError(f"start {self.start} is not a power of two from 4 to 1024")
        for name, least in (("hold_kimg", 0), ("fade_kimg", 0)):
            if not least <= getattr(self, name) <= 1e6:
                raise ConfigError(f"{name} {getattr(self, name)} is outside {least} to 1e6")
        if not self.hold_kimg + self.fade_kimg > 0:
            raise ConfigError("hold_kimg and fade_kimg are both 0, so that nothing could grow")
        for resolution, batch in by_resolution("batches", self.batches, int).items():
            if not 1 <= batch <= MAX_BATCH:
                raise ConfigError(f"batches: {batch} at {resolution} is outside 1 to {MAX_BATCH}")
        for resolution, lr in by_resolution("lrs", self.lrs, float).items():
            if not 0 < lr <= 1:
                raise ConfigError(f"lrs: {lr} at {resolution} is outside 0 to 1")


def by_resolution(name: str, text: str, kind: type) -> dict[int, Any]:
    """The numbers of a setting such as 8:128,64:32."""
    try:
        pairs = [part.split(":") for part in text.split(",") if part.strip()]
        return {int(resolution): kind(value) for resolution, value in pairs}
    except ValueError:
        raise ConfigError(
            f"{name} {text!r} is not resolutions and numbers, such as 8:128,64:32"
        ) from None


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
    loss: Literal["logistic", "wgan-gp"] = "logistic"
    """Non-saturating logistic loss with R1, or Wasserstein distance with gradient penalty."""
    gamma: float = 1.0
    """Weight of R1, or of the gradient penalty."""
    drift: float = 0.001
    """Weight that holds the scores of reals near 0, with wgan-gp."""
    pl_weight: float = 2.0
    """Weight of the path length penalty, 0 for none."""
    pl_batch_shrink: int = 2
    """The path length penalty takes the batch divided by this."""
    style_mixing: float = 0.9
    """Share of fakes made from two latents."""
    g_reg_interval: int = 4
    """Steps from one path length penalty to the next, 0 for one within every step of G; its Adam
    is scaled by this with and without one."""
    d_reg_interval: int = 16
    """Steps from one penalty of D's gradient to the next, 0 for one within every step of D; its
    Adam is scaled by this with and without one."""
    ema_kimg: float = 10.0
    """Half-life of the averaged generator, in thousand images."""
    ema_ramp: float | None = 0.05
    """The half-life is at most this share of the images seen; none for no limit."""
    mirror: bool = False
    """Show every picture flipped left to right as well."""
    aug: Literal["ada", "fixed", "diffaugment", "none"] = "ada"
    """Augmentation with adaptive probability, with a fixed one, DiffAugment, or none."""
    augpipe: str = "bgc"
    """Which augmentations: blit, geom, color, filter, noise, cutout, bg, bgc ... bgcfnc."""
    policy: str = ",".join(POLICY)
    """What diffaugment does: color, translation, cutout, or some of them."""
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
    validation: str = ""
    """Pictures that are not learned from, as folder or zip; each snapshot tells what the
    discriminator makes of them."""
    detector: str = ""
    """A detector file (TorchScript) in place of the published ones, for metrics."""
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
    growth: GrowthConfig = field(default_factory=GrowthConfig)

    def __post_init__(self) -> None:
        _check_types(self)
        for name, low, high in (
            ("seed", 0, 2**32 - 1),
            ("start_kimg", 0, 1e6),
            ("freeze_d", 0, 64),
            ("batch", 1, MAX_BATCH),
            ("lr", 1e-12, 1),
            ("gamma", 0, 1e6),
            ("drift", 0, 1e6),
            ("pl_weight", 0, 1e6),
            ("pl_batch_shrink", 1, 1024),
            ("style_mixing", 0, 1),
            ("g_reg_interval", 0, 1 << 20),
            ("d_reg_interval", 0, 1 << 20),
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
        if self.aug == "fixed" and not self.p:
            raise ConfigError("aug fixed needs a p")
        if unknown := sorted(set(self.policy_names) - set(POLICY)):
            raise ConfigError(f"policy {unknown[0]!r} is not one of {', '.join(POLICY)}")
        if self.network.grows and self.growth.start > self.network.resolution:
            raise ConfigError(
                f"growth.start {self.growth.start} is above the resolution, which is "
                f"{self.network.resolution}"
            )
        if self.keep is not None and self.keep < 1:
            raise ConfigError(f"keep {self.keep} is less than 1")
        for name in ("start_kimg", "freeze_d", "freeze_mapping"):
            if getattr(self, name) and not self.resume_from:
                raise ConfigError(f"{name} is for a run that begins with a model (resume_from)")
        self._check_batches()

    @property
    def policy_names(self) -> list[str]:
        """The parts of the policy, one by one."""
        return [name.strip() for name in self.policy.split(",") if name.strip()]

    @property
    def metric_names(self) -> list[str]:
        """The metrics, one by one."""
        return [name.strip() for name in self.metrics.split(",") if name.strip()]

    def _check_batches(self) -> None:
        """Slices of a batch keep whole groups of the minibatch standard deviation."""
        group = min(self.network.mbstd_group, self.batch)
        if self.batch % group:
            raise ConfigError(f"batch {self.batch} is not a multiple of the mbstd group {group}")
        grown = by_resolution("batches", self.growth.batches, int) if self.network.grows else {}
        for resolution, batch in grown.items():
            its_group = min(self.network.mbstd_group, batch)
            if batch % its_group:
                raise ConfigError(
                    f"batches: {batch} at {resolution} is not a multiple of the mbstd group "
                    f"{its_group}"
                )
        micro = self.micro_batch
        parts_differ = not self.network.grows and micro and self.batch % micro
        if micro is not None and (micro < 1 or parts_differ or micro % group):
            raise ConfigError(
                f"micro_batch {micro} does not cut the batch {self.batch} into equal parts of "
                f"whole mbstd groups of {group}"
            )


NOT_SETTINGS = (
    *("kimg", "minutes", "device", "snap", "metrics", "detector", "micro_batch", "data"),
    *("validation", "keep", "on_nan"),
)
"""Fields that a run may be continued with another value of; data is compared by its content."""


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

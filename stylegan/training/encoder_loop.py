"""fit_encoder: an encoder for a model, from the model's own pictures, and real ones if given.

Every batch is drawn anew: latents, pictures, what is done to them. A part of them is moved,
recoloured and laid before other backgrounds, as real pictures are; these, and real ones, are to be
drawn as they are seen, whereas of the untouched ones the latent is known too. What is blurred or
noisy is to be drawn without that.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from stylegan import chance
from stylegan.checkpoint import (
    DISCRIMINATOR,
    ENCODER_STATE,
    load_discriminator,
    load_generator,
    revision,
    save_encoder,
)
from stylegan.config import AugmentConfig, Precision, UserError
from stylegan.data import Pictures, order
from stylegan.features import DiscFeatures, distance, pyramid
from stylegan.latents import MAX_SEED
from stylegan.model import find_device
from stylegan.networks.encoder import Encoder, EncoderConfig
from stylegan.networks.generator import Generator
from stylegan.networks.mapping import broadcast
from stylegan.tensors import (
    CheckpointError,
    load_strict,
    load_tensors,
    read_metadata,
    save_tensors,
)

from . import augment
from .loop import Outcome, signals
from .run import locked
from .state import load_moments, moments
from .step import fast_precision

LOCK = ".encoder-lock"
SAVE_MINUTES = 5.0
SAY_NIMG = 1000  # a line of progress after so many pictures
STATS_SAMPLES = 10_000  # of w, for its mean and deviation
ADAM_BETAS = (0.9, 0.99)

SEEN_STAGES = ("xint", "scale", "aniso", "xfrac", "brightness", "contrast", "hue", "saturation")
SPOILT_STAGES = ("imgfilter", "noise", "cutout")
STRENGTHS = AugmentConfig(
    xint_max=0.06,
    scale_std=0.1,
    aniso_std=0.05,
    xfrac_std=0.02,
    brightness_std=0.15,
    contrast_std=0.3,
    hue_max=0.3,
    saturation_std=0.5,
    filter_std=0.7,
    noise_std=0.1,
    cutout_size=0.25,
)


@dataclass(frozen=True)
class EncoderTrainConfig:
    """Settings of an encoder's training."""

    model: str
    """Model folder; encoder.safetensors is written into it."""
    data: str = ""
    """Real pictures to learn from as well, a folder or zip as prepare writes it; what the model was
    trained on serves. None are needed."""
    mirror: bool = False
    """Show those flipped left to right as well."""
    real: float = 0.5
    """Share of real pictures in a batch, where there are any."""
    kimg: float | None = None
    """Stop at this many thousand pictures in all; never, if not given."""
    minutes: float | None = None
    """Stop after so many minutes of this call."""
    batch: int = 8
    """Pictures of one step."""
    lr: float = 0.002
    """Learning rate; it falls with the square root of the pictures seen, from half_kimg on."""
    half_kimg: float = 20.0
    """Thousand pictures up to which the learning rate stays."""
    changed: float = 0.5
    """Share of the pictures that are moved, recoloured or laid before another background."""
    p: float = 0.4
    """Probability of each such change, and of each kind of damage."""
    mixing: float = 0.3
    """Share of latents whose rows come from two."""
    apart: float = 0.2
    """Share of latents whose rows come each from another."""
    latent_weight: float = 0.5
    """Weight of the squared error of latents, in deviations of w."""
    seed: int = 0
    """Start of all chance."""
    precision: Precision | None = None
    """What the highest resolutions compute in; what the device is fast in, if not given."""
    device: str = "auto"
    """cpu, cuda, cuda:1 ...; auto takes a GPU where there is one."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("batch", 1, 4096),
            ("lr", 1e-9, 1),
            ("half_kimg", 1e-3, 1e6),
            ("changed", 0, 1),
            ("p", 0, 1),
            ("mixing", 0, 1),
            ("apart", 0, 1),
            ("real", 0, 1),
            ("latent_weight", 0, 1e6),
            ("seed", 0, MAX_SEED),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(f"{name} {value} is outside {low} to {high}")
        for name in ("kimg", "minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"{name} {value} is not a positive number")


def fit_encoder(config: EncoderTrainConfig, say: Callable[[str], None] = tqdm.write) -> Outcome:
    """Train, going on from an earlier call's state; the encoder is written now and then."""
    folder, device = Path(config.model), find_device(config.device)
    trainer = EncoderTrainer(config, folder, device)
    with locked(folder, LOCK), signals() as stop:
        trainer.load()
        say(f"{'goes on' if trainer.nimg else 'begins'} at {trainer.nimg / 1000:.1f} kimg")
        began = saved = time.monotonic()
        outcome, losses = Outcome.DONE, []
        while not _spent(config, trainer.nimg, time.monotonic() - began):
            losses.append(trainer.step())
            if trainer.nimg % SAY_NIMG < config.batch:
                say(_line(trainer.nimg, time.monotonic() - began, losses))
                losses.clear()
            if time.monotonic() - saved > SAVE_MINUTES * 60:
                trainer.save()
                saved = time.monotonic()
            if stop.requested:
                outcome = Outcome.STOPPED
                break
        trainer.save()
    where = f"at {trainer.nimg / 1000:.1f} kimg"
    if outcome is Outcome.STOPPED:
        say(f"stopped {where}, all saved; the same line goes on from here")
    else:
        say(f"done {where}: {folder}")
    return outcome


class EncoderTrainer:
    """The encoder, what it learns from, and one step."""

    def __init__(self, config: EncoderTrainConfig, folder: Path, device: torch.device) -> None:
        self.config, self.folder, self.device = config, folder, device
        self.generator: Generator = load_generator(folder, device)
        self.dtype = getattr(torch, config.precision or fast_precision(device))
        if self.dtype == torch.float16:  # gradients of the pictures would need scaling
            self.dtype = torch.float32
        network = self.generator.config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(chance.seed_for(config.seed, "encoder-init", 0))
            self.encoder = Encoder(EncoderConfig.of(network))
        self.look: Callable[[Tensor], Tensor] = pyramid
        if (folder / DISCRIMINATOR).is_file():
            discriminator = load_discriminator(folder, device)
            self.look = DiscFeatures(discriminator, self.dtype)
            begin_like(self.encoder, discriminator)
        self.encoder.to(device).train()
        self.pictures = None
        if config.data:
            self.pictures = Pictures(config.data, mirror=config.mirror)
            theirs, ours = (
                (shape.resolution, shape.channels) for shape in (self.pictures, network)
            )
            if theirs != ours:
                raise UserError(
                    f"{config.data} has resolution and channels {theirs}, the model {ours}"
                )
        self._measure()
        self.adam = torch.optim.Adam(self.encoder.parameters(), lr=config.lr, betas=ADAM_BETAS)
        self.nimg = 0

    def step(self) -> tuple[float, float]:
        """One batch; returns the distance of the pictures and the error of the latents."""
        config = self.config
        with torch.no_grad():
            ws = self.latents()
            pictures = self.generator.synthesis(ws, dtype=self.dtype).clamp(-1, 1)
            known = torch.ones(len(pictures), device=self.device)
            for row, real in enumerate(self.reals()):
                pictures[row], known[row] = real, 0
            wanted, seen, same = self.changed(pictures)
            same, target = same * known, self.look(wanted)
        found = self.encoder(seen, self.dtype)
        drawn = self.generator.synthesis(found, dtype=self.dtype)
        gap = distance(self.look(drawn), target).mean()
        off = ((found - ws) / self.encoder.scale).square().mean(dim=(1, 2))
        off = (off * same).sum() / same.sum().clamp(min=1)
        loss = gap + config.latent_weight * off
        for group in self.adam.param_groups:
            group["lr"] = config.lr / math.sqrt(max(1.0, self.nimg / 1000 / config.half_kimg))
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        for p in self.encoder.parameters():
            if p.grad is not None:
                p.grad.nan_to_num_(0, 1e5, -1e5)
        self.adam.step()
        self.nimg += config.batch
        return gap.item(), off.item()

    # What it learns from

    def latents(self) -> Tensor:
        """ws [N, num_ws, w_dim] of random labels, some mixed of several, psi from 0.5 to 1."""
        n, num_ws = self.config.batch, self.generator.config.num_ws
        stream = self._stream("latents")
        one, two = (broadcast(self._w(n, stream), num_ws) for _ in range(2))
        each = self._w(n * num_ws, stream).reshape(n, num_ws, -1)
        cut = torch.randint(1, num_ws, [n, 1, 1], generator=stream)
        kind = torch.rand(n, 1, 1, generator=stream)
        mixed = (kind >= 1 - self.config.mixing) & (torch.arange(num_ws)[None, :, None] >= cut)
        ws = torch.where(mixed.to(self.device), two, one)
        ws = torch.where((kind < self.config.apart).to(self.device), each, ws)
        psi = (0.5 + 0.5 * torch.rand(n, 1, 1, generator=stream).sqrt()).to(self.device)
        return self.generator.mapping.w_avg.lerp(ws, psi)

    def reals(self) -> Tensor:
        """Real pictures of this batch in [-1, 1]: [M, C, R, R]; M is 0 where there are none."""
        count = round(self.config.real * self.config.batch) if self.pictures else 0
        if not count:
            return torch.empty(0, device=self.device)
        start = self.nimg // self.config.batch * count
        places = order(self.config.seed, len(self.pictures), start, count)
        return self.pictures.images(places).to(self.device).float() / 127.5 - 1

    def changed(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is to be drawn, what the encoder sees, and where latents stay true (1 or 0) [N]."""
        draws, n = augment.Draws(self._stream("changes")), len(pictures)
        touched = draws.happens(self.config.changed, n)
        shape = tuple(pictures.shape)
        moved = augment.apply(
            backdrop(pictures, draws, self.config.p),
            augment.draw(SEEN_STAGES, self.config.p, shape, draws, STRENGTHS),
        ).clamp(-1, 1)
        mask = touched.to(self.device).reshape(-1, 1, 1, 1)
        wanted = torch.where(mask, moved, pictures)
        spoilt = augment.draw(SPOILT_STAGES, self.config.p / 2, shape, draws, STRENGTHS)
        seen = augment.apply(wanted, spoilt).clamp(-1, 1)
        return wanted, seen, (~touched).float().to(self.device)

    def _w(self, n: int, stream: torch.Generator) -> Tensor:
        """Random w [N, w_dim] of random labels."""
        network = self.generator.config
        z = torch.randn(n, network.z_dim, generator=stream).to(self.device)
        c = None
        if network.c_dim:
            rows = torch.randint(network.c_dim, [n], generator=stream)
            c = torch.eye(network.c_dim)[rows].to(self.device)
        return self.generator.mapping(z, c)

    @torch.no_grad()
    def _measure(self) -> None:
        """Give the encoder the mean of w to begin at, and its deviation as unit."""
        stream = chance.generator(self.config.seed, "encoder-stats", 0)
        w = self._w(STATS_SAMPLES, stream)
        self.encoder.mean.copy_(w.mean(dim=0))
        self.encoder.scale.copy_(w.std(dim=0).clamp_min(1e-4))

    def _stream(self, name: str) -> torch.Generator:
        return chance.generator(self.config.seed, f"encoder-{name}", self.nimg)

    # On disk

    def save(self) -> None:
        """Write the encoder, and beside it what going on needs."""
        save_encoder(self.folder, self.encoder)
        weights = {f"encoder.{k}": v for k, v in self.encoder.state_dict().items()}
        adam = {f"adam.{k}": v for k, v in moments(self.adam, self.encoder).items()}
        notes = {"nimg": str(self.nimg), "generator": revision(self.folder)}
        save_tensors(self.folder / ENCODER_STATE, weights | adam, notes)

    def load(self) -> None:
        """Go on from a saved state, if there is one for this generator."""
        path = self.folder / ENCODER_STATE
        if not path.is_file():
            return
        notes = read_metadata(path)
        if notes.get("generator") != revision(self.folder):
            raise CheckpointError(f"{path} is of another generator; move it away to begin anew")
        tensors = load_tensors(path)
        weights, adam = (
            {k.removeprefix(part): v for k, v in tensors.items() if k.startswith(part)}
            for part in ("encoder.", "adam.")
        )
        load_strict(self.encoder, weights, str(path))
        load_moments(self.adam, self.encoder, adam)
        self.nimg = int(notes["nimg"])


def begin_like(encoder: Encoder, discriminator: torch.nn.Module) -> list[str]:
    """Copy what the discriminator has of the same name and shape; returns the names."""
    own, others = encoder.state_dict(), discriminator.state_dict()
    alike = [
        name
        for name, tensor in own.items()
        if name.startswith("b") and name in others and others[name].shape == tensor.shape
    ]
    for name in alike:
        own[name].copy_(others[name])
    return alike


def backdrop(pictures: Tensor, draws: augment.Draws, p: float) -> Tensor:
    """Lay a flat colour around an ellipse in the middle, with probability p; softly at its rim."""
    n, channels, side, _ = pictures.shape
    happens = draws.happens(p, n, 1, 1, 1)
    colour = draws.uniform(n, channels, 1, 1)
    radius = 0.85 + 0.2 * draws.uniform(n, 2, 1, 1)
    at = (torch.arange(side) + 0.5) / side * 2 - 1
    x, y = at[None, None, None, :] / radius[:, :1], at[None, None, :, None] / radius[:, 1:]
    outside = torch.sigmoid(12 * ((x.square() + y.square()).sqrt() - 1)) * happens
    return torch.lerp(pictures, colour.to(pictures), outside.to(pictures))


def _spent(config: EncoderTrainConfig, nimg: int, seconds: float) -> bool:
    return (config.kimg is not None and nimg >= config.kimg * 1000) or (
        config.minutes is not None and seconds >= config.minutes * 60
    )


def _line(nimg: int, seconds: float, losses: list[tuple[float, float]]) -> str:
    gap, off = (sum(values) / len(values) for values in zip(*losses, strict=True))
    return f"kimg {nimg / 1000:.1f}  {seconds / 60:.1f} min  distance {gap:.3f}  latent {off:.3f}"

"""A picture -> the latent that draws it: an encoder's guess refined step by step, then a tuning.

    projection = Projection(model, target(picture, model.config), ProjectConfig(space="w+"))
    for step in projection.run():  # stop whenever you like
        ...
    result = projection.result()  # the best so far: recipe, attachment, picture

Chance is a pure function of the settings' seed; same settings, same result. With method "paper" it
is the projector of StyleGAN2 (arXiv 1912.04958, appendix D) to the letter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from stylegan import features, pictures
from stylegan.attachment import Attachment, LowRank, shallow_copy
from stylegan.chance import generator as chance
from stylegan.config import NetworkConfig, UserError
from stylegan.coordinates import Coordinates, measure
from stylegan.descent import lbfgs
from stylegan.features import Features, distance
from stylegan.latents import MAX_SEED, z_from_seed
from stylegan.model import Model, exact
from stylegan.networks.generator import Generator
from stylegan.networks.mapping import broadcast
from stylegan.networks.ops import to_uint8
from stylegan.networks.synthesis_v2 import Synthesis
from stylegan.query import is_digits
from stylegan.recipe import Recipe, pack_latent

Randn = Callable[[str, int, Sequence[int]], Tensor]
"""Normal numbers of (stream, step, shape)."""

SPREAD_SAMPLES, SPREAD_SEED = 10_000, 123
_COORDINATES: WeakKeyDictionary[Generator, dict[tuple, Coordinates]] = WeakKeyDictionary()
MAX_STEPS = 100_000


@dataclass(frozen=True)
class ProjectConfig:
    """Settings of one projection."""

    space: Literal["w", "w+"] = "w+"
    """One w for all rows, or every row free."""
    method: Literal["default", "paper"] = "default"
    """Ours, or StyleGAN2's projector for comparison, which always optimises noise maps."""
    start: str = "auto"
    """encoder, mean, or a seed; auto is the encoder where the model has one, else the mean."""
    distance: str = "auto"
    """disc (the model's own discriminator), pixels, vgg, or the path of a detector file; auto is
    disc where the model's folder holds a discriminator, else pixels."""
    steps: int | None = None
    """Most steps for the latent; 200, or 1000 with method paper, if not given."""
    noise: bool = False
    """Optimise the noise maps as well, in as many steps; they then belong to the result."""
    tune: bool = False
    """Tune the generator's weights for this picture afterwards (arXiv 2106.05744)."""
    tune_steps: int = 200
    """Most steps of that."""
    c: int = 0
    """The class, where the model has classes."""
    seed: int = 0
    """Start of all chance."""
    every: int = 10
    """A picture is drawn every so many steps."""

    def __post_init__(self) -> None:
        for name, choices in (("space", ("w", "w+")), ("method", ("default", "paper"))):
            value = getattr(self, name)
            if value not in choices:
                raise UserError(f"{name} {value!r} is not one of {', '.join(choices)}")
        for name, low, high in (
            ("steps", 1, MAX_STEPS),
            ("tune_steps", 1, MAX_STEPS),
            ("c", 0, 99_999),
            ("seed", 0, MAX_SEED),
            ("every", 1, MAX_STEPS),
        ):
            value = getattr(self, name)
            if value is not None and not (type(value) is int and low <= value <= high):
                raise UserError(f"{name} {value} is not a whole number from {low} to {high}")
        if self.start not in ("auto", "encoder", "mean") and not _is_seed(self.start):
            raise UserError(f"start {self.start!r} is not encoder, mean or a seed")
        if self.method == "paper" and self.start not in ("auto", "mean"):
            raise UserError("method paper starts from the mean; leave start out")

    @property
    def most_steps(self) -> int:
        """Steps for the latent, and for the noise maps."""
        return self.steps or (1000 if self.method == "paper" else 200)


@dataclass(frozen=True)
class Step:
    """Where a projection stands."""

    stage: Literal["latent", "noise", "tune"]
    step: int
    """Steps done in this stage."""
    steps: int
    """Most steps of this stage; it ends sooner where nothing improves."""
    distance: float
    """Between the target and what is drawn now."""
    ws: Tensor
    """The latent now, float32 [1, num_ws, w_dim] on the CPU."""
    picture: np.ndarray | None
    """uint8 [H, W, C] now and then, and with the first and last step of a stage."""


@dataclass(frozen=True)
class Projected:
    """The result: a recipe, what it carries, and the picture that both draw."""

    recipe: Recipe
    attachment: Attachment | None
    picture: np.ndarray
    """uint8 [H, W, C]"""
    psnr: float
    """Of the picture against the target, in dB."""


def target(image: Image.Image, config: NetworkConfig, fit: pictures.Fit = "crop") -> Tensor:
    """A picture cropped to what the model draws: float32 [1, C, R, R] in [-1, 1]."""
    squared = pictures.square(image, config.resolution, config.channels, fit)
    return tensor_of(np.asarray(squared))


def usual_distance(model: Model) -> str:
    """disc, or pixels where the model has no discriminator."""
    return "disc" if model.has_discriminator else "pixels"


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two uint8 pictures, in dB; at most 99."""
    gap = np.square(a.astype(np.float64) - b).mean()
    return min(99.0, 10 * math.log10(255**2 / gap)) if gap else 99.0


# Schedules of the paper (appendix D), pure functions of t = step / steps


def ramp(t: float, up: float = 0.05, down: float = 0.25) -> float:
    """Share of the learning rate: linear up over the first part, cosine down over the last."""
    falling = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - t) / down))
    return falling * min(1.0, t / up)


def w_noise_scale(t: float, w_std: float, factor: float = 0.05, length: float = 0.75) -> float:
    """Deviation of what is added to w."""
    return w_std * factor * max(0.0, 1 - t / length) ** 2


def noise_penalty(maps: Sequence[Tensor]) -> Tensor:
    """How much neighbours in the maps [r, r] tell of each other, at every size down to 8."""
    total = torch.zeros([], device=maps[0].device)
    for noise in maps:
        x = noise[None, None]
        while True:
            for axis in (2, 3):
                total = total + (x * x.roll(1, axis)).mean().square()
            if x.shape[2] <= 8:
                break
            x = F.avg_pool2d(x, 2)
    return total


@torch.no_grad()
def normalise(maps: Sequence[Tensor]) -> None:
    """Bring each map to zero mean and unit mean square, in place."""
    for noise in maps:
        noise -= noise.mean()
        noise *= noise.square().mean().rsqrt()


@torch.no_grad()
def spread(model: Model, c: int = 0, samples: int = SPREAD_SAMPLES) -> tuple[Tensor, float]:
    """Mean of w [w_dim] over many samples, and the root mean square of |w - mean|."""
    mapping = model.generator.mapping
    z = np.random.RandomState(SPREAD_SEED).randn(samples, model.config.z_dim)
    z = torch.from_numpy(z.astype(np.float32)).to(model.device)
    w = mapping(z, model.labels(c, len(z)))
    mean = w.mean(dim=0)
    return mean, float((w - mean).square().sum(dim=1).mean().sqrt())


# The projection


class Projection:
    """One picture on its way into a model's latents. The model itself is never changed."""

    PAPER_LR = 0.1
    PENALTY = 1e5  # weight of the noise maps' regularity
    PATIENCE, LEAST_GAIN = 30, 0.01  # steps in which the distance falls by this share, or it ends

    NOISE_LR, NOISE_BETAS = 0.1, (0.9, 0.99)

    TUNE_LR = 2e-2  # of the low-rank factors; the paper's 3e-4 is for the weights themselves
    TUNE_BETAS = (0.9, 0.99)
    TUNE_RANK = 8
    TUNE_PIXELS = 10.0  # weight of the mean squared error beside the distance (eq. 1)
    LOCAL_WEIGHT, LOCAL_EVERY = 0.1, 4  # of what changes in a picture near the pivot (eq. 4)

    def __init__(
        self,
        model: Model,
        picture: Tensor,
        config: ProjectConfig,
        look: Features | None = None,
        randn: Randn | None = None,
    ) -> None:
        """`picture` comes from `target`; `look` and `randn` stand in for the settings' own."""
        side, channels = model.config.resolution, model.config.channels
        if tuple(picture.shape) != (1, channels, side, side):
            raise UserError(
                f"the picture is {list(picture.shape)}, not {[1, channels, side, side]}"
            )
        if config.c and config.c >= max(1, model.c_dim):
            raise UserError(f"class {config.c}: {model.name} has {model.c_dim} classes")
        self.model, self.config = model, config
        self.synthesis: Synthesis = model.generator.synthesis
        self.picture = picture.to(model.device)
        self.kind = None  # the name of the distance, where it has one
        if look is None:
            self.kind = usual_distance(model) if config.distance == "auto" else config.distance
            look = features.find(self.kind, lambda: model.discriminator, model.device)
        self.look = look
        self.randn = randn or self._randn
        with torch.no_grad():
            self.wanted = self.look(self.picture)
        self.ws: Tensor | None = None  # the best so far, [1, num_ws, w_dim]
        self.noise: list[Tensor] | None = None  # [r, r] each
        self.delta: dict[str, LowRank] = {}

    def run(self) -> Iterator[Step]:
        """Yield after every step. Leave it whenever you like: `result` has the best so far."""
        steps = self._steps()
        while True:
            with torch.enable_grad(), exact(self.model.device):
                step = next(steps, None)
            if step is None:
                return
            yield step

    def _steps(self) -> Iterator[Step]:
        if self.config.method == "paper":
            yield from self._paper()
        else:
            yield from self._latent()
            if self.config.noise:
                yield from self._maps()
        if self.config.tune:
            yield from self._tune()

    def result(self) -> Projected:
        """The recipe of the best so far, its latent rounded to half precision, and its picture."""
        if self.ws is None:
            raise UserError("the projection has not begun")
        ws = self.ws[0].cpu()
        same = bool((ws == ws[:1]).all())
        noise = self.noise or []
        attachment = Attachment(noise, self.delta) if noise or self.delta else None
        model = self.model.carrying(attachment) if attachment else self.model
        recipe = model.stamped(
            Recipe(
                w=pack_latent((ws[0] if same else ws).numpy()),
                c=self.config.c,
                t="project",
                x=attachment.key if attachment else None,
            )
        )
        drawn = model.render(recipe)
        return Projected(recipe, attachment, drawn, psnr(drawn, picture_of(self.picture)))

    # Steps of the latent

    def _paper(self) -> Iterator[Step]:
        """StyleGAN2's projector; in w+ the same with every row free."""
        config, steps = self.config, self.config.most_steps
        mean, w_std = spread(self.model, config.c)
        rows = 1 if config.space == "w" else self.model.num_ws
        w = mean.expand(1, rows, -1).clone().requires_grad_()
        maps = self._random_maps()
        adam = torch.optim.Adam([w, *maps], lr=self.PAPER_LR, betas=(0.9, 0.999))
        for step in range(steps):
            t = step / steps
            added = self.randn("w", step, w.shape) * w_noise_scale(t, w_std)
            ws = (w + added).expand(-1, self.model.num_ws, -1)
            drawn = self._draw(ws, maps)
            gap = distance(self.look(drawn), self.wanted).sum()
            self._step(adam, gap + self.PENALTY * noise_penalty(maps), self.PAPER_LR * ramp(t))
            self.ws = w.detach().expand(-1, self.model.num_ws, -1).clone()
            normalise(maps)
            self.noise = [m.detach().clone() for m in maps]
            yield self._report("latent", step + 1, steps, gap, drawn, self.ws, step + 1 == steps)

    def _latent(self) -> Iterator[Step]:
        """L-BFGS from a good start; the best is kept, and it ends when nothing improves."""
        config = self.config
        mean, _ = spread(self.model, config.c, samples=1000)
        start = self._start(mean)
        if config.space == "w":
            start = start.mean(dim=1, keepdim=True)
        self.noise = self._own_maps() if config.noise else None
        pace = _Pace(config.most_steps, self.PATIENCE, self.LEAST_GAIN, landing=False)
        now: tuple[Tensor, ...] = ()  # distance, picture and ws of the latest evaluation

        def at(ws: Tensor) -> Tensor:
            nonlocal now
            ws = ws.expand(-1, self.model.num_ws, -1)
            drawn = self._draw(ws, self.noise)
            gap = distance(self.look(drawn), self.wanted).sum()
            if pace.take(float(gap.detach())):
                self.ws = _halved(ws)
            now = gap, drawn, ws
            return gap

        def evaluate(x: Tensor) -> tuple[float, Tensor]:
            x = x.detach().requires_grad_()
            gap = at(place.ws(x))
            return float(gap.detach()), torch.autograd.grad(gap, x)[0]

        with torch.no_grad():
            at(start)
        yield self._report("latent", 0, pace.steps, *now, last=False)
        place = self._coordinates(mean)
        descent = lbfgs(evaluate, place.of(start))
        next(descent)  # the start again, now with its slope
        pace.step = 1
        for _ in descent:
            yield self._report("latent", pace.step, pace.steps, *now, last=pace.over)
            if pace.over:
                return
            pace.step += 1
        yield self._report("latent", pace.step - 1, pace.steps, *now, last=True)

    def _coordinates(self, mean: Tensor) -> Coordinates:
        """Those of the model, found once for each way to compare."""
        config = self.config
        shared = config.space == "w"
        key = (self.kind, config.c, shared)
        kept = _COORDINATES.setdefault(self.model.generator, {}) if self.kind else {}
        if key not in kept:
            kept[key] = measure(self.model, self.look, mean, config.c, shared)
        return kept[key]

    def _maps(self) -> Iterator[Step]:
        """Then the noise maps, by Adam, with the latent held still.

        They may tell of their neighbours as much as maps of chance do, and no more: otherwise they
        would draw the picture themselves.
        """
        maps = [m.clone().requires_grad_() for m in self.noise]
        usual = noise_penalty(self.noise)
        adam = torch.optim.Adam(maps, lr=self.NOISE_LR, betas=self.NOISE_BETAS)
        pace = _Pace(self.config.most_steps, self.PATIENCE, self.LEAST_GAIN)
        while True:
            drawn = self._draw(self.ws, maps)
            gap = distance(self.look(drawn), self.wanted).sum()
            loss = gap * (1 + F.relu(noise_penalty(maps) / usual - 1))
            if pace.take(float(loss.detach())):
                self.noise = [m.detach().clone() for m in maps]
            yield self._report("noise", pace.step, pace.steps, gap, drawn, self.ws, pace.over)
            if pace.over:
                return
            pace.step += 1
            self._step(adam, loss, self.NOISE_LR * ramp(pace.t))
            normalise(maps)

    def _start(self, mean: Tensor) -> Tensor:
        """Where the latent begins: [1, num_ws, w_dim]."""
        how = self.config.start
        if how == "auto":
            how = "encoder" if self.model.has_encoder else "mean"
        if how == "encoder":
            with torch.no_grad():
                return self.model.encoder(self.picture)
        if how != "mean":
            z = z_from_seed(int(how), self.model.config.z_dim).to(self.model.device)
            with torch.no_grad():
                mean = self.model.generator.mapping(z, self.model.labels(self.config.c, 1))[0]
        return broadcast(mean[None], self.model.num_ws)

    def _random_maps(self) -> list[Tensor]:
        sides = self.synthesis.noise_shapes
        return [self.randn("noise", i, (r, r)).requires_grad_() for i, r in enumerate(sides)]

    def _own_maps(self) -> list[Tensor]:
        """The model's constant maps, brought to zero mean and unit mean square."""
        maps = [m[0, 0].clone() for m in self.synthesis.noise_maps("const")]
        normalise(maps)
        return maps

    # Pivotal tuning (arXiv 2106.05744)

    def _tune(self) -> Iterator[Step]:
        """Change the filters, by factors of low rank, until the pivot draws the picture."""
        network, pivot, maps = shallow_copy(self.synthesis), _halved(self.ws), self.noise
        _, w_std = spread(self.model, self.config.c, samples=1000)
        factors = self._factors()
        trained = [f for pair in factors.values() for f in (pair.left, pair.right)]
        adam = torch.optim.Adam(trained, lr=self.TUNE_LR, betas=self.TUNE_BETAS)
        pace = _Pace(self.config.tune_steps, self.PATIENCE, self.LEAST_GAIN)
        while True:
            tuned = self._tuned(network, factors)
            drawn = self._draw(pivot, maps, tuned)
            gap = distance(self.look(drawn), self.wanted).sum()
            loss = gap + self.TUNE_PIXELS * (drawn - self.picture).square().mean()
            if pace.take(float(loss.detach())):
                self.delta = {
                    name: LowRank(pair.left.detach().clone(), pair.right.detach().clone())
                    for name, pair in factors.items()
                }
            yield self._report("tune", pace.step, pace.steps, gap, drawn, pivot, pace.over)
            if pace.over:
                return
            if pace.step % self.LOCAL_EVERY == 0:
                near = self._near(pivot, w_std, pace.step)
                with torch.no_grad():
                    before = self.synthesis(near)
                change = self._draw(near, None, tuned) - before
                loss = loss + self.LOCAL_WEIGHT * self.TUNE_PIXELS * change.square().mean()
            pace.step += 1
            self._step(adam, loss, self.TUNE_LR * ramp(pace.t))

    def _factors(self) -> dict[str, LowRank]:
        """Factors of every convolution's filters; the left ones begin at zero: no change yet."""
        found = {}
        for i, (name, weight) in enumerate(self.synthesis.named_parameters()):
            if weight.ndim != 4:
                continue
            rank = min(self.TUNE_RANK, len(weight))
            right = self.randn("factors", i, (rank, *weight.shape[1:])) / math.sqrt(rank)
            left = torch.zeros(len(weight), rank, device=weight.device)
            found[name] = LowRank(left.requires_grad_(), right.requires_grad_())
        return found

    def _tuned(self, network: Synthesis, factors: dict[str, LowRank]) -> Callable[..., Tensor]:
        """Draws with changed weights, in a copy of the network that nobody else draws with."""
        weights = {
            name: self.synthesis.get_parameter(name) + pair.full() for name, pair in factors.items()
        }
        return lambda *args: torch.func.functional_call(network, weights, args)

    def _near(self, pivot: Tensor, w_std: float, step: int) -> Tensor:
        """A step from the pivot towards some sample (eq. 3), as long as w's own deviation."""
        z = self.randn("near", step, (1, self.model.config.z_dim))
        with torch.no_grad():
            w = self.model.generator.mapping(z, self.model.labels(self.config.c, 1))
            way = w[:, None] - pivot
            return pivot + w_std * way / way.norm(dim=2, keepdim=True)

    # Parts of a step

    def _draw(
        self,
        ws: Tensor,
        maps: Sequence[Tensor] | None,
        network: Callable[..., Tensor] | None = None,
    ) -> Tensor:
        noise = "const" if maps is None else [m[None, None] for m in maps]
        return (network or self.synthesis)(ws, noise)

    @staticmethod
    def _step(adam: torch.optim.Adam, loss: Tensor, lr: float) -> None:
        for group in adam.param_groups:
            group["lr"] = lr
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()

    def _report(
        self,
        stage: str,
        step: int,
        steps: int,
        gap: Tensor,
        drawn: Tensor,
        ws: Tensor,
        last: bool,
    ) -> Step:
        shown = last or step <= 1 or step % self.config.every == 0
        return Step(
            stage,
            step,
            steps,
            float(gap.detach()),
            ws.detach().cpu().clone(),
            picture_of(drawn) if shown else None,
        )

    def _randn(self, stream: str, step: int, shape: Sequence[int]) -> Tensor:
        source = chance(self.config.seed, f"project-{stream}", step)
        return torch.randn(*shape, generator=source).to(self.model.device)


class _Pace:
    """How far a stage has come: to its last step, or to where nothing improves any more.

    Where it stands still the learning rate, if it is `landing` on one, is brought down at once, and
    after that it ends.
    """

    DOWN = 0.75  # from here on the learning rate falls

    def __init__(self, steps: int, patience: int, least_gain: float, landing: bool = True) -> None:
        self.step, self.steps, self.over = 0, steps, False
        self._all, self._patience, self._gain, self._landing = steps, patience, least_gain, landing
        self._best = self._mark = math.inf
        self._since = 0

    @property
    def t(self) -> float:
        """Place on the schedule, 0 to 1."""
        return (self.step + self._all - self.steps) / self._all

    def take(self, value: float) -> bool:
        """Note the loss before the next step; whether it is the best so far."""
        better = value < self._best
        self._best = min(value, self._best)
        if value < self._mark * (1 - self._gain):
            self._mark, self._since = value, self.step
        still = self.step - self._since >= self._patience
        if still and self._landing and self.t < self.DOWN:
            left = max(1, round((1 - self.DOWN) * self._all))
            self.steps, self._since = min(self.steps, self.step + left), self.step
        elif still:
            self.over = True
        self.over = self.over or self.step >= self.steps
        return better


def _halved(ws: Tensor) -> Tensor:
    """Rounded as a recipe holds it."""
    return ws.detach().half().float().clone()


def tensor_of(picture: np.ndarray) -> Tensor:
    """uint8 [H, W] or [H, W, C] as a batch of one: float32 [1, C, H, W] in [-1, 1]."""
    values = picture.reshape(*picture.shape[:2], -1).transpose(2, 0, 1).copy()
    return torch.from_numpy(values)[None].float() / 127.5 - 1


def picture_of(img: Tensor) -> np.ndarray:
    """The first picture of a batch, uint8 [H, W, C]."""
    return to_uint8(img.detach())[0].permute(1, 2, 0).contiguous().cpu().numpy()


def _is_seed(text: str) -> bool:
    return is_digits(text, 10) and int(text) <= MAX_SEED

"""Directions in w that change one thing: closed form, principal axes, and fits to two groups."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan import chance
from stylegan.config import UserError
from stylegan.model import Model
from stylegan.networks.layers import FullyConnected
from stylegan.networks.mapping import broadcast, truncate
from stylegan.recipe import Edit, Recipe, is_direction

STRENGTHS = (-3, -2, -1, 0, 1, 2, 3)  # of a strip, in standard deviations
SPREAD_LATENTS = 8192
LEAST_SHARE = 1e-6  # of the largest variance; w hardly moves along axes with less
PRIOR_DEVIATION = 3.0  # of a fit's log odds, before it has seen any picture
LEAST_LENGTH = 1e-6  # of coefficients that tell anything
LEAST_MARKS = 2
MAX_FOLDS = 20
NEWTON_STEPS = 30

Rows = tuple[int, int]


class DirectionError(UserError):
    """A direction that cannot be found or named so."""


def check_name(name: str) -> str:
    """A name that a link can carry."""
    if not is_direction(name):
        raise DirectionError(
            f"{name[:80]!r} is no name for a direction: up to 64 letters, digits, _ . -, the "
            "first a letter or digit"
        )
    return name


def strip(recipe: Recipe, direction: str, rows: Rows | None = None) -> list[Recipe]:
    """The recipe at each of STRENGTHS along a direction; its other edits stay."""
    others = tuple(edit for edit in recipe.e if edit.direction != direction)
    return [
        dataclasses.replace(recipe, e=(*others, Edit(direction, k, rows)) if k else others)
        for k in STRENGTHS
    ]


# How w spreads


@dataclass(frozen=True)
class Spread:
    """Mean of w [D], its principal axes [K, D], and its standard deviation along each [K].

    In units of the deviations along the axes w is white: its mean is 0, its covariance 1.
    """

    mean: Tensor
    axes: Tensor
    deviations: Tensor

    def white(self, w: Tensor) -> Tensor:
        """w [N, D] -> [N, K]."""
        return (w.double() - self.mean) @ self.axes.T / self.deviations

    def step(self, white: Tensor) -> Tensor:
        """A way in white coordinates [K] -> the same in w [D], one standard deviation long."""
        return self.scaled((white * self.deviations) @ self.axes)

    def scaled(self, way: Tensor) -> Tensor:
        """A way [D] of any length, made as long as the standard deviation of w along it."""
        way = way.double() / way.double().norm()
        return (way * (self.axes @ way * self.deviations).norm()).float()


def random_latents(
    model: Model, n: int, seed: int, stream: str = "directions/latents", psi: float = 1.0
) -> Tensor:
    """w float32 [n, w_dim] of random z, classes in turn, on the CPU."""
    mapping, config = model.generator.mapping, model.config
    draws = chance.numpy_generator(seed, stream, 0)
    z = torch.from_numpy(draws.standard_normal((n, config.z_dim))).float().to(model.device)
    c = None
    if config.c_dim:
        c = torch.eye(config.c_dim, device=model.device)[torch.arange(n) % config.c_dim]
    with torch.no_grad():
        w = broadcast(mapping(z, c), 1)
        return truncate(w, mapping.w_avg, psi)[:, 0].cpu()


def measure_spread(model: Model, seed: int = 0, n: int = SPREAD_LATENTS) -> Spread:
    """The spread of w over many random latents."""
    w = random_latents(model, n, seed, "directions/spread").double()
    mean = w.mean(dim=0)
    variances, axes = torch.linalg.eigh((w - mean).T @ (w - mean) / (n - 1))
    variances, axes = variances.flip(0), axes.T.flip(0)
    kept = variances > LEAST_SHARE * variances[0]
    return Spread(mean, _signed(axes[kept]), variances[kept].sqrt())


def _signed(ways: Tensor) -> Tensor:
    """Ways [N, D] with the largest number of each above 0, since their sign means nothing."""
    return ways * ways.gather(1, ways.abs().argmax(dim=1, keepdim=True)).sign()


# Without labels


def principal(spread: Spread, count: int) -> list[Tensor]:
    """Steps [w_dim] along the first principal axes of w (GANSpace, Härkönen et al. 2020)."""
    _check_count(count, len(spread.deviations))
    return [spread.scaled(axis) for axis in spread.axes[:count]]


def closed_form(model: Model, spread: Spread, count: int, rows: Rows | None = None) -> list[Tensor]:
    """Steps [w_dim] that change the styles of some rows most (SeFa, Shen & Zhou 2021, eq. 6).

    They are eigenvectors of A^T A, A being all weights from w to styles, the largest first.
    """
    layers = style_layers(model)
    first, last = rows or (0, len(layers) - 1)
    if not 0 <= first <= last < len(layers):
        raise DirectionError(f"rows {first}-{last}: {model.name} has rows 0 to {len(layers) - 1}")
    weights = [
        layer.weight * layer.weight_gain for row in layers[first : last + 1] for layer in row
    ]
    a = torch.cat(weights).detach().cpu().double()  # [styles, w_dim]
    _check_count(count, a.shape[1])
    ways = torch.linalg.eigh(a.T @ a).eigenvectors.T.flip(0)[:count]
    return [spread.scaled(way) for way in _signed(ways)]


def style_layers(model: Model) -> list[list[FullyConnected]]:
    """For each row of ws, the layers that make styles of it."""
    synthesis = model.generator.synthesis
    rows: list[list[FullyConnected]] = [[] for _ in range(model.num_ws)]
    row = 0
    for side in model.config.resolutions:
        block = getattr(synthesis, f"b{side}")
        for conv in (block.conv0, block.conv1) if hasattr(block, "conv0") else (block.conv1,):
            rows[row].append(conv.affine)
            row += 1
        drawn = not model.config.grows or side == model.config.resolution
        if drawn and hasattr(getattr(block, "torgb", None), "affine"):
            rows[row].append(block.torgb.affine)  # reads the row of the next block's first layer
    return rows


def _check_count(count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise DirectionError(f"{count} directions are asked for, but there are 1 to {most}")


# From two groups


@dataclass(frozen=True)
class Fit:
    """What tells two groups apart: a unit vector in white coordinates, and how well it does."""

    white: Tensor
    accuracy: float
    """Share of right answers on latents left out of the fit, both groups weighing alike."""
    has: int
    has_not: int


def fit_groups(
    spread: Spread, positives: Tensor, negatives: Tensor, rows: Rows | None = None
) -> Fit:
    """Tell pictures that have something from pictures that have not, by their latents.

    Both are w [N, w_dim] or ws [N, num_ws, w_dim], of which the mean over `rows` (all) is taken.
    Two of each are enough to begin with; the fewer, the nearer it is to the difference of means.
    """
    for group, word in ((positives, "with"), (negatives, "without")):
        if len(group) < LEAST_MARKS:
            raise DirectionError(
                f"pictures {word} it: {len(group)}; it takes at least {LEAST_MARKS} that have it "
                f"and {LEAST_MARKS} that have not"
            )
    w = torch.cat([_mean_row(positives, rows), _mean_row(negatives, rows)]).cpu()
    has = torch.cat([torch.ones(len(positives)), torch.zeros(len(negatives))])
    if bool((w == w[0]).all()):
        raise DirectionError("all marked pictures are the same; mark different ones")
    return fit(spread, w, has)


def fit(spread: Spread, w: Tensor, degree: Tensor) -> Fit:
    """Tell w [N, w_dim] that have something from those that have not; `degree` is 0 to 1 [N].

    A logistic regression in white coordinates, both sides weighing alike. The step of its
    coefficients is the most probable way to change their sum, other than the plane's normal in w.
    """
    x, degree = spread.white(w), degree.double().cpu()
    has = degree > 0.5
    if min(int(has.sum()), int((~has).sum())) < LEAST_MARKS:
        raise DirectionError(
            f"{int(has.sum())} of {len(has)} pictures have it; at least {LEAST_MARKS} must, and "
            f"{LEAST_MARKS} must not"
        )
    white, _ = _logistic(x, degree)
    if not float(white.norm()) > LEAST_LENGTH:
        raise DirectionError("the two groups do not differ")
    return Fit(white / white.norm(), _held_out(x, degree, has), int(has.sum()), int((~has).sum()))


def _mean_row(ws: Tensor, rows: Rows | None) -> Tensor:
    if ws.ndim == 2:
        return ws
    first, last = rows or (0, ws.shape[1] - 1)
    return ws[:, first : last + 1].mean(dim=1)


def _logistic(x: Tensor, degree: Tensor) -> tuple[Tensor, Tensor]:
    """Coefficients [K] and offset of a logistic regression of degrees 0 to 1, by Newton's method.

    The prior holds the log odds of a white x to PRIOR_DEVIATION, so it decides where N << K.
    """
    n, k = x.shape
    basis = torch.linalg.qr(x.T).Q  # [K, min(N, K)]; the answer lies in the span of x
    a = torch.cat([x @ basis, x.new_ones(n, 1)], dim=1)
    share = degree.mean()
    on, off = degree * 0.5 / share, (1 - degree) * 0.5 / (1 - share)
    weight = on + off
    prior = x.new_full((a.shape[1],), k / PRIOR_DEVIATION**2)
    prior[-1] = 1e-6  # keeps the offset finite
    b = x.new_zeros(a.shape[1])
    for _ in range(NEWTON_STEPS):
        p = torch.sigmoid(a @ b)
        slope = a.T @ (weight * p - on) + prior * b
        bend = (a * (weight * p * (1 - p))[:, None]).T @ a + prior.diag()
        change = torch.linalg.solve(bend, slope)
        b = b - change
        if float(change.norm()) < 1e-9 * (1 + float(b.norm())):
            break
    return basis @ b[:-1], b[-1]


def _held_out(x: Tensor, degree: Tensor, has: Tensor) -> float:
    """Balanced accuracy over folds: each holds out its share of both groups, or one of each."""
    folds = max(2, min(MAX_FOLDS if len(x) <= 1000 else 5, int(has.sum()), int((~has).sum())))
    fold = torch.empty(len(x), dtype=torch.long)
    for side in (has, ~has):
        fold[side] = torch.arange(int(side.sum())) % folds
    right = torch.empty(len(x), dtype=torch.bool)
    for i in range(folds):
        out = fold == i
        white, offset = _logistic(x[~out], degree[~out])
        right[out] = (x[out] @ white + offset > 0) == has[out]
    return float((right[has].double().mean() + right[~has].double().mean()) / 2)


def apart(fits: Mapping[str, Fit]) -> dict[str, Tensor]:
    """White ways [K] of fits that leave each other's sums as they are.

    The conditional manipulation of InterFaceGAN (Shen et al. 2020, section 3.2) in white
    coordinates; a way that nothing is left of by the others is refused.
    """
    ways = {}
    for name, own in fits.items():
        others = [other.white for key, other in fits.items() if key != name]
        way = own.white
        if others:
            basis = torch.linalg.qr(torch.stack(others).T).Q
            way = way - basis @ (basis.T @ way)
        if float(way.norm()) < 1e-3:
            raise DirectionError(
                f"{name} is the same as the other attributes together; leave one of them out"
            )
        ways[name] = way / way.norm()
    return ways

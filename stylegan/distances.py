"""Distances between sets of features, as the papers define them: pure functions.

Features are float32 [N, D], as arrays or as memory-mapped files: they are read in blocks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stylegan import chance

KID_SUBSETS, KID_SUBSET_SIZE = 100, 1000
KID_LEAST = 4
"""Pictures on each side without which nothing is known of the error."""
NEIGHBOURS = 3
IS_SPLITS = 10
PPL_KEPT = (1, 99)
"""Percentiles between which path lengths count."""

_ROWS_AT_ONCE = 4096

Features = np.ndarray


@dataclass(frozen=True)
class Moments:
    """Mean [D] and covariance [D, D] of features, float64; the covariance divided by N."""

    mean: np.ndarray
    cov: np.ndarray


def blocks(features: Features, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Features a few thousand rows at a time: all, or those of these numbers."""
    count = len(features) if rows is None else len(rows)
    for start in range(0, count, _ROWS_AT_ONCE):
        some = slice(start, start + _ROWS_AT_ONCE)
        yield np.asarray(features[some] if rows is None else features[rows[some]])


def moments(pieces: Iterable[np.ndarray]) -> Moments:
    """Of a stream of features [n, D]; holds two matrices, however long it is."""
    count, total, outer = 0, 0.0, 0.0
    for piece in pieces:
        x = piece.astype(np.float64)
        count += len(x)
        total = total + x.sum(0)
        outer = outer + x.T @ x
    mean = total / count
    return Moments(mean, outer / count - np.outer(mean, mean))


def fid(a: Moments, b: Moments) -> float:
    """Fréchet distance of two Gaussians: |mu|^2 + tr(S1 + S2 - 2 sqrt(S1 S2)) (arXiv 1706.08500).

    S1 S2 has the eigenvalues of the symmetric sqrt(S1) S2 sqrt(S1), which are real.
    """
    values, vectors = torch.linalg.eigh(torch.from_numpy(a.cov))
    root = (vectors * _known(values).sqrt()) @ vectors.T
    product = root @ torch.from_numpy(b.cov) @ root
    shared = float(_known(torch.linalg.eigvalsh(product)).sqrt().sum())
    apart = np.square(a.mean - b.mean).sum()
    return float(apart + np.trace(a.cov) + np.trace(b.cov) - 2 * shared)


def _known(values: Tensor) -> Tensor:
    """Eigenvalues without those that are rounding: with fewer pictures than features many are 0."""
    least = values.max() * len(values) * torch.finfo(values.dtype).eps
    return torch.where(values > least, values, 0)


def kid_subsets(
    real: int, fake: int, seed: int, most: int = KID_SUBSET_SIZE
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Numbers of the reals and fakes of each subset: as many on both sides, drawn by seed.

    Only one where it is all there is on both sides: every other would be the same.
    """
    draws = chance.numpy_generator(seed, "metric/kid", 0)
    size = min(real, fake, most)
    for _ in range(1 if real == fake == size else KID_SUBSETS):
        yield tuple(draws.choice(count, size, replace=False) for count in (real, fake))


def kid(
    real: Features,
    fake: Features,
    subsets: Iterable[tuple[np.ndarray, np.ndarray]],
    originals: int | None = None,
) -> tuple[float, float]:
    """Kernel distance (arXiv 1801.01401): the mean over subsets, and its standard error.

    The squared MMD without bias, by the kernel (x.y / D + 1)^3. It can fall below 0 by chance.

    The error is the standard deviation between independent sets as large as these two. Of the reals
    only `originals` are independent where the others are their mirror images. The mean of S subsets
    of s rows has the variance V(n, m) + (V(s, s) - V(n, m)) / S, since all are drawn from the same
    n reals and m fakes; V is `_variance`.
    """
    of_real, of_fake = _sides(real), _sides(fake)
    values, parts, size = [], [], 0
    for real_rows, fake_rows in subsets:
        value, variances = _mmd(of_real(real_rows), of_fake(fake_rows))
        values.append(value)
        parts.append(variances)
        size = max(size, len(real_rows), len(fake_rows))
    n, m = originals or len(real), len(fake)
    terms = np.mean(parts, axis=0).clip(0)  # none is negative, but estimates of 0 can be
    whole, subset = _variance(terms, n, m), _variance(terms, min(size, n), min(size, m))
    return float(np.mean(values)), float(np.sqrt(whole + (subset - whole) / len(values)))


@dataclass(frozen=True)
class _Side:
    """Features x [n, D] and what their kernel within tells, the diagonal left out."""

    x: Tensor
    sums: Tensor
    """Of each row, float64 [n]."""
    noise: float
    """Variance of what is left of the kernel of two once each one's own part is taken away."""


def _sides(features: Features) -> Callable[[np.ndarray], _Side]:
    """Of some rows; where these are all rows, they are looked at only once."""
    whole = functools.cache(lambda: _side(features[:]))
    return lambda rows: whole() if len(rows) == len(features) else _side(features[np.sort(rows)])


def _side(features: Features) -> _Side:
    """U-centring (Székely and Rizzo, arXiv 1310.2926) gives the noise without bias."""
    x = torch.from_numpy(np.array(features))
    n, kernel = len(x), _kernel(x, x).fill_diagonal_(0)
    sums = kernel.sum(1, dtype=torch.float64)
    apart = (kernel - sums.mean() / (n - 1)).fill_diagonal_(0)
    own = (sums - sums.mean()).square().sum() / (n - 2)
    left = apart.square().sum(dtype=torch.float64) - 2 * own
    return _Side(x, sums, float(left / (n * (n - 3))))


def _mmd(real: _Side, fake: _Side) -> tuple[float, np.ndarray]:
    """The squared MMD without bias, and estimates without bias of what `_variance` is made of."""
    n, m = len(real.x), len(fake.x)
    across = _kernel(real.x, fake.x)
    by_real, by_fake = (across.mean(i, dtype=torch.float64) for i in (1, 0))
    mean = by_real.mean()
    value = real.sums.mean() / (n - 1) + fake.sums.mean() / (m - 1) - 2 * mean
    apart = (across - mean).square().sum(dtype=torch.float64)
    own = m * (by_real - mean).square().sum() + n * (by_fake - mean).square().sum()
    noise = float((apart - own) / ((n - 1) * (m - 1)))
    first = [
        float((side.sums / (k - 2) - means).var()) - side.noise / (k - 2) - noise / other
        for side, means, k, other in ((real, by_real, n, m), (fake, by_fake, m, n))
    ]
    return float(value), np.array([*first, real.noise, fake.noise, noise])


def _variance(terms: np.ndarray, n: int, m: int) -> float:
    """Of the squared MMD of n and m samples: Hoeffding's decomposition of this U-statistic, whose
    terms are uncorrelated (Sutherland and Deka, arXiv 1906.02104).

    With k(x, x') = mean + a(x) + a(x') + g(x, x'), k(y, y') = mean + b(y) + b(y') + h(y, y') and
    k(x, y) = mean + c(x) + d(y) + e(x, y) the terms are the variances of a - c, b - d, g, h and e.
    """
    return float(terms @ [4 / n, 4 / m, 2 / (n * (n - 1)), 2 / (m * (m - 1)), 4 / (n * m)])


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def precision_recall(
    real: Features, fake: Features, k: int = NEIGHBOURS, device: torch.device | str = "cpu"
) -> tuple[float, float]:
    """Shares of the fakes near some real one, and of the reals near some fake one (1904.06991).

    Near is within the distance to the k-th neighbour of its own kind.
    """
    radii = [neighbour_distances(x, x, k + 1, device)[:, k] for x in (real, fake)]
    return _covered(fake, real, radii[0], device), _covered(real, fake, radii[1], device)


def neighbour_distances(
    of: Features, among: Features, count: int, device: torch.device | str = "cpu"
) -> np.ndarray:
    """The `count` least distances from each row of one set to the other: [N, count], ascending.

    Within one set the first is that to itself, 0.
    """
    found = []
    for rows in blocks(of):
        best, x = None, torch.from_numpy(np.array(rows)).to(device)
        for others in blocks(among):
            far = torch.cdist(x, torch.from_numpy(np.array(others)).to(device))
            far = far if best is None else torch.cat([best, far], dim=1)
            best = far.topk(min(count, far.shape[1]), largest=False).values
        found.append(best.cpu().numpy())
    return np.concatenate(found)


def _covered(
    points: Features, centres: Features, radii: np.ndarray, device: torch.device | str
) -> float:
    """Share of the points within the radius of some centre."""
    inside = 0
    for rows in blocks(points):
        x = torch.from_numpy(np.array(rows)).to(device)
        hit = torch.zeros(len(x), dtype=torch.bool, device=device)
        for i, others in enumerate(blocks(centres)):
            far = torch.cdist(x, torch.from_numpy(np.array(others)).to(device))
            some = radii[i * _ROWS_AT_ONCE : i * _ROWS_AT_ONCE + len(others)]
            hit |= (far <= torch.from_numpy(some).to(device)).any(1)
        inside += int(hit.sum())
    return inside / len(points)


def inception_score(probabilities: Features, splits: int = IS_SPLITS) -> tuple[float, float]:
    """exp(E KL(p(y|x) | p(y))) of class probabilities [N, K] (arXiv 1606.03498): its mean over
    parts of the pictures, and the standard deviation between them.
    """
    n, scores = len(probabilities), []
    for i in range(splits):
        p = np.asarray(probabilities[i * n // splits : (i + 1) * n // splits], np.float64)
        q = p.mean(0, keepdims=True)
        terms = np.where(
            p > 0, p * (np.log(np.maximum(p, 1e-300)) - np.log(np.maximum(q, 1e-300))), 0
        )
        scores.append(np.exp(terms.sum(1).mean()))
    return float(np.mean(scores)), float(np.std(scores))


def path_length(distances: np.ndarray) -> float:
    """The mean of distances [N] from the 1st to the 99th percentile (arXiv 1812.04948, 4.1)."""
    low = np.percentile(distances, PPL_KEPT[0], method="lower")
    high = np.percentile(distances, PPL_KEPT[1], method="higher")
    return float(distances[(distances >= low) & (distances <= high)].mean(dtype=np.float64))

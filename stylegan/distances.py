"""Distances between sets of features, as the papers define them: pure functions.

Features are float32 [N, D], as arrays or as memory-mapped files: they are read in blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stylegan import chance

KID_SUBSETS, KID_SUBSET_SIZE = 100, 1000
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
    """Numbers of the reals and fakes of each subset: as many on both sides, drawn by seed."""
    draws = chance.numpy_generator(seed, "metric/kid", 0)
    size = min(real, fake, most)
    for _ in range(KID_SUBSETS):
        yield tuple(draws.choice(count, size, replace=False) for count in (real, fake))


def kid(
    real: Features, fake: Features, subsets: Iterable[tuple[np.ndarray, np.ndarray]]
) -> tuple[float, float]:
    """Kernel distance (arXiv 1801.01401): the mean over subsets, and its standard error.

    The squared MMD without bias, by the kernel (x.y / D + 1)^3. It can fall below 0 by chance.
    """
    found = []
    for real_rows, fake_rows in subsets:
        x, y = (torch.from_numpy(np.array(f[r])) for f, r in ((fake, fake_rows), (real, real_rows)))
        n, d = x.shape
        within = sum(_kernel(z, z, d).fill_diagonal_(0).sum(dtype=torch.float64) for z in (x, y))
        across = _kernel(x, y, d).sum(dtype=torch.float64)
        found.append(float(within / (n * (n - 1)) - 2 * across / n**2))
    return float(np.mean(found)), float(np.std(found) / np.sqrt(len(found)))


def _kernel(x: Tensor, y: Tensor, d: int) -> Tensor:
    return (x @ y.T / d + 1) ** 3


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

"""Whether samples were learned by heart: the training pictures nearest to them."""

from __future__ import annotations

import numpy as np

from stylegan import stamp
from stylegan.data import Pictures

CHUNK_BYTES = 1 << 26  # of pictures held at once, as float64


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """RMSE in grey levels between two sets, uint8 [N, H, W, C] and [M, H, W, C] -> [N, M]."""
    a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (a, b))
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0) / a.shape[1])


def nearest(samples: np.ndarray, pictures: Pictures, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The `count` nearest pictures of each sample, mirrored ones included, and their distances.

    samples uint8 [N, H, W, C] -> uint8 [N, count, H, W, C] and float64 [N, count], nearest first.
    """
    originals = len(pictures) // (2 if pictures.mirror else 1)
    found = np.full((len(samples), 0), np.inf)
    shown = np.zeros((len(samples), 0, *samples.shape[1:]), np.uint8)
    chunk = max(1, CHUNK_BYTES // (8 * samples[0].size))
    for start in range(0, originals, chunk):
        rows = range(start, min(start + chunk, originals))
        reals = pictures.images(rows).permute(0, 2, 3, 1).numpy()
        for some in (reals, reals[:, :, ::-1]):
            far = np.concatenate([found, distances(samples, some)], axis=1)
            best = far.argsort(1, kind="stable")[:, :count]
            kept = found.shape[1]
            shown = np.stack(
                [
                    np.stack([old[i] if i < kept else some[i - kept] for i in order])
                    for old, order in zip(shown, best, strict=True)
                ]
            )
            found = np.take_along_axis(far, best, 1)
    return shown, found


def sheet(samples: np.ndarray, neighbours: np.ndarray, factor: int) -> np.ndarray:
    """A row for each sample: itself, then its neighbours; uint8 [H, W, C]."""
    rows = [[sample, *own] for sample, own in zip(samples, neighbours, strict=True)]
    columns = 1 + neighbours.shape[1]
    return stamp.enlarge(stamp.grid([p for row in rows for p in row], columns), factor)

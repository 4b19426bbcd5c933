"""Whether samples were learned by heart, and whether they are as unlike each other as the data.

Pictures are compared as thumbnails. A training picture that came back mirrored, shifted, cropped or
enlarged is found by laying the sample over it in many ways. Measured on replays of 64-pixel
portraits, pixels so laid tell copies from new pictures; a discriminator's features, which nothing
lays over, hardly do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from stylegan.distances import neighbour_distances
from stylegan.features import at_most, rgb
from stylegan.pictures import flatten
from stylegan.stamp import enlarge, grid

THUMB_PX = 32
COARSE_PX = 16
CANDIDATES = 20
"""Training pictures that look nearest at once, which samples are laid over."""
SCALES = (0.88, 0.94, 1.0, 1.06, 1.12, 1.18)
"""Of the sample: above 1 it is shrunk, as one that shows a part of a training picture must be."""
SHIFTS = (-0.12, -0.06, 0.0, 0.06, 0.12)
"""Of half a side."""
MARGIN = 1 / 8
"""Of a thumbnail's side: the border is left out, which a shift takes from beyond the edge."""
COPY = 0.5
"""Nearer than this share of the distance to other near pictures, a sample counts as a copy."""
COVERAGE_NEIGHBOURS = 5
SHOWN = 16
SHOWN_PX = 128
LABEL_PX = 18


@dataclass(frozen=True)
class Match:
    """The training picture nearest to each sample."""

    index: np.ndarray
    """Which one, [N]."""
    distance: np.ndarray
    """RMSE of the best fit, in grey levels, [N]."""
    ratio: np.ndarray
    """That by the mean of the next ones', [N]: far below 1 where one picture stands out."""

    @classmethod
    def of_rows(cls, rows: np.ndarray) -> Match:
        """From float64 [N, 3]."""
        return cls(rows[:, 0].astype(int), rows[:, 1], rows[:, 2])

    @property
    def copies(self) -> float:
        """Share of the samples that are much nearer to one picture than to others alike."""
        return float((self.ratio < COPY).mean())


def thumbs(images: Tensor, side: int = THUMB_PX) -> Tensor:
    """uint8 [N, C, R, R] -> uint8 [N, 3, s, s], s at most `side`."""
    img = at_most((rgb(images.float() / 127.5 - 1) + 1) * 127.5, side)
    return img.round().clamp(0, 255).to(torch.uint8)


def thumbs_of_rows(rows: np.ndarray) -> Tensor:
    """uint8 [N, 3 * s * s] -> [N, 3, s, s]"""
    side = math.isqrt(rows.shape[1] // 3)
    return torch.from_numpy(np.array(rows)).unflatten(1, (3, side, side))


class Originals:
    """Thumbnails that samples are held against, uint8 [M, 3, s, s], M from 3 on."""

    def __init__(self, thumbs: Tensor) -> None:
        self.thumbs, self._from_afar = thumbs, _coarse(thumbs)
        self._ways = _ways(thumbs.shape[-1])

    def match(self, samples: Tensor, not_itself: np.ndarray | None = None) -> Tensor:
        """The rows of a `Match` of samples, thumbnails uint8 [N, 3, s, s], float64 [N, 3].

        `not_itself` are their places among the originals, where they come from there.
        """
        places = [None] * len(samples) if not_itself is None else not_itself.tolist()
        rows = [self._match(*pair) for pair in zip(samples, places, strict=True)]
        return torch.tensor(rows, dtype=torch.float64)

    def _match(self, sample: Tensor, place: int | None) -> tuple[int, float, float]:
        both = _coarse(torch.stack([sample, sample.flip(2)]))
        far = torch.cdist(both, self._from_afar).amin(0)  # as it is or mirrored, [M]
        if place is not None:
            far[place] = torch.inf
        count = min(CANDIDATES, len(far) - (place is not None))
        near = far.topk(count, largest=False).indices
        fits, order = _laid_over(sample, self.thumbs[near], self._ways).double().sort()
        others = fits[1:].mean()
        ratio = fits[0] / others if others > 0 else 1.0  # all alike: none stands out
        return int(near[order[0]]), float(fits[0]), float(ratio)


def _coarse(images: Tensor) -> Tensor:
    """How thumbnails look from afar: float32 [N, F]."""
    parts = [at_most(part.float(), COARSE_PX).flatten(1) for part in images.split(4096)]
    return torch.cat(parts)


def _ways(side: int) -> Tensor:
    """Where each pixel is taken from, for every scale and shift: [V, s, s, 2]."""
    moves = [[[s, 0, x], [0, s, y]] for s in SCALES for x in SHIFTS for y in SHIFTS]
    return F.affine_grid(torch.tensor(moves), [len(moves), 3, side, side], align_corners=False)


def _laid_over(sample: Tensor, others: Tensor, ways: Tensor) -> Tensor:
    """Least RMSE of a sample [3, s, s] moved in some way, to each of [K, 3, s, s] or its mirror
    image; a change of the mean colour counts for nothing.
    """
    edge = round(sample.shape[-1] * MARGIN)
    middle = slice(edge, sample.shape[-1] - edge)
    moved = F.grid_sample(
        sample.float().expand(len(ways), -1, -1, -1),
        ways,
        padding_mode="reflection",
        align_corners=False,
    )
    both = torch.cat([others, others.flip(3)]).float()
    a, b = (_without_mean(x[:, :, middle, middle]).flatten(1) for x in (moved, both))
    far = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").amin(0)
    return far.view(2, len(others)).amin(0) / a.shape[1] ** 0.5


def _without_mean(x: Tensor) -> Tensor:
    return x - x.mean((2, 3), keepdim=True)


# Diversity


@dataclass(frozen=True)
class Spread:
    """How samples lie beside as many real pictures."""

    pairs: float
    """Mean distance of two samples, by that of two real pictures."""
    nearest: float
    """Mean distance of a sample to the nearest other one, by that of the real pictures."""
    covered: np.ndarray
    """Which real pictures have a sample nearer than their fifth neighbour, bool [M]."""

    @property
    def coverage(self) -> float:
        """Share of the real pictures that have (arXiv 2002.09797)."""
        return float(self.covered.mean())


def spread(samples: Tensor, reals: Tensor) -> Spread:
    """Of thumbnails [N, 3, s, s] on both sides."""
    a, b = (x.flatten(1).double().numpy() for x in (samples, reals))
    k = min(COVERAGE_NEIGHBOURS, len(b) - 1)
    within = neighbour_distances(b, b, k + 1)
    across = neighbour_distances(b, a, 1)[:, 0]
    return Spread(
        mean_distance_ratio(samples, reals),
        _share(neighbour_distances(a, a, 2)[:, 1].mean(), within[:, 1].mean()),
        across <= within[:, k],
    )


def mean_distance_ratio(samples: Tensor, reals: Tensor) -> float:
    """`Spread.pairs` alone."""
    return _share(mean_distance([samples]), mean_distance([reals]))


def mean_distance(groups: Sequence[Tensor]) -> float:
    """Of two thumbnails of one group, over all such pairs; 0 where there are none."""
    total, pairs = 0.0, 0
    for rows in (group.flatten(1).double() for group in groups):
        total += sum(float(torch.cdist(part, rows).sum()) for part in rows.split(1024))
        pairs += len(rows) * (len(rows) - 1)
    return total / pairs if pairs else 0.0


def _share(a: float, b: float) -> float:
    """a / b, where pictures that are all the same are as far apart as others that are."""
    return float(a / b) if b > 0 else float(a == b)


# The picture of the pairs


def draw_pairs(
    samples: Sequence[np.ndarray], originals: Sequence[np.ndarray], words: Sequence[str]
) -> np.ndarray:
    """Each sample at the left of its training picture, uint8 [R, R, C], words below: [H, W, 3]."""
    cells = []
    for sample, original, text in zip(samples, originals, words, strict=True):
        factor = max(1, SHOWN_PX // len(sample))
        pair = [_plain(enlarge(x, factor)) for x in (sample, original)]
        side = pair[0].height
        cell = Image.new("RGB", (2 * side + 8, side + LABEL_PX + 4), "white")
        cell.paste(pair[0], (0, 0))
        cell.paste(pair[1], (side, 0))
        pen = ImageDraw.Draw(cell)
        pen.text((side, side + 1), text, "black", ImageFont.load_default(LABEL_PX * 0.7), "ma")
        cells.append(np.asarray(cell))
    return grid(cells, min(4, len(cells)))


def _plain(picture: np.ndarray) -> Image.Image:
    return flatten(Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture))

"""Pictures that are the same as an earlier one, mirrored, or recoloured.

Perceptual hashes propose pairs; thumbnails laid over each other decide. A slight crop is undone by
finding the shift and stretch that bring one thumbnail onto the other (Lucas and Kanade 1981).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter
from scipy.stats import binom

from stylegan.measures import HASHES, THUMB

SAME, MIRRORED, RECOLOURED = "same", "mirrored", "recoloured"
CLASSES = (SAME, MIRRORED, RECOLOURED)  # a pair counts as the first that it fits

RADIUS = {SAME: 26, MIRRORED: 26, RECOLOURED: 14}  # differing bits of 64 for a pair to be looked at
CHANCE_PAIRS = 1e6  # of unlike pictures, at most, that are looked at
ROUGH = 0.4  # difference of two pictures of 8 x 8 px, over their contrast, for a second look
EDGES_ROUGHLY_ALIKE = 0.8  # the same for other colours: correlation of edges at 8 x 8 places
MEAN_OFF = 9.0  # mean difference of two that are the same, in grey levels
EQUAL_OFF, EDGE_OFF, EQUAL_SHARE = 10.0, 0.3, 0.003  # most at a place, more by slope; places beyond
MOST_OFF, FAR_SHARE = 26.0, 0.02  # the same for cropped ones, once laid over each other
NEARER, LEAST_KNOWN = 0.6, 0.7  # of the difference before; share of the places that overlap
HOPELESS, WORTH_TURNING = 40.0, 0.9  # mean difference before; what is left of it the first way
EDGES_ALIKE, COLORS_ALIKE = 0.9, 0.8  # of a picture in other colours
PAIRS_AT_ONCE = 256
COMPARISONS_AT_ONCE = 1 << 22  # of hashes
STEPS = 10  # of the search for shift and stretch
MOST_MOVE = np.array([0.16, 3.0], np.float32)  # stretch, a share; shift in px of the thumbnail
STIFF = 200.0  # squared grey levels with which a picture resists being moved

Thumbs = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Pair:
    """Picture `index` repeats picture `of`."""

    index: int
    of: int
    kind: str


@dataclass(frozen=True)
class _Glances:
    """What a first look at each of N pictures needs."""

    pictures: np.ndarray  # float16 [N, 8, 8, 3]
    contrast: np.ndarray  # float32 [N]
    edges: np.ndarray  # float16 [N, 64], of mean 0 and length 1


def find_pairs(hashes: np.ndarray, thumbs: Thumbs, rank: np.ndarray) -> list[Pair]:
    """Each picture that repeats a better-ranked one, with the best of those.

    hashes: uint64 [N, 3] as in measures.HASHES; thumbs: indices -> uint8 [n, THUMB, THUMB, 3];
    rank: 0 for the picture to keep, then upward. What repeats another is itself nothing that others
    repeat, so that no chain leads from one picture to a very different one.
    """
    order = np.argsort(rank)
    glances = _glances(thumbs, order)
    repeats = np.zeros(len(order), bool)
    pairs = []
    for kind in CLASSES:
        for near in _near(kind, hashes[order], glances, repeats):
            start = 0
            while start < len(near):
                part = near[start : start + PAIRS_AT_ONCE]
                start += len(part)
                part = part[~repeats[part].any(1)]
                good = part[_confirmed(kind, thumbs, order[part])] if len(part) else part
                for i, j in good.tolist():
                    if not repeats[i] and not repeats[j]:
                        repeats[j] = True
                        pairs.append(Pair(int(order[j]), int(order[i]), kind))
    return sorted(pairs, key=lambda pair: pair.index)


def _glances(thumbs: Thumbs, order: np.ndarray) -> _Glances:
    out = _Glances(
        np.empty((len(order), 8, 8, 3), np.float16),
        np.empty(len(order), np.float32),
        np.empty((len(order), 64), np.float16),
    )
    for start in range(0, len(order), 1024):
        here = slice(start, start + 1024)
        some = thumbs(order[here]).astype(np.float32)
        small = _eighth(some)
        out.pictures[here], out.contrast[here] = small, small.std((1, 2)).mean(1)
        edges = _eighth(_edges(_blur(some))[..., None]).reshape(-1, 64)
        edges -= edges.mean(1, keepdims=True)
        out.edges[here] = edges / np.maximum(1e-3, np.linalg.norm(edges, axis=1, keepdims=True))
    return out


def _eighth(pictures: np.ndarray) -> np.ndarray:
    """[n, THUMB, THUMB, C] -> [n, 8, 8, C]."""
    part = THUMB // 8
    return pictures.reshape(len(pictures), 8, part, 8, part, -1).mean((2, 4))


def _near(
    kind: str, hashes: np.ndarray, glances: _Glances, repeats: np.ndarray
) -> Iterator[np.ndarray]:
    """int64 [n, 2] pairs i < j that may be of the kind."""
    left, right = {
        SAME: ("plain", "plain"),
        MIRRORED: ("mirrored", "plain"),
        RECOLOURED: ("shape", "shape"),
    }[kind]
    a, b = hashes[:, HASHES.index(left)], hashes[:, HASHES.index(right)]
    rows = max(1, COMPARISONS_AT_ONCE // max(1, len(a)))
    radius = _radius(kind, len(a))
    for start in range(0, len(a), rows):
        stop = min(len(a), start + rows)
        bits = np.bitwise_count(a[start:stop, None] ^ b[None, start:])
        near = np.argwhere(bits <= radius) + start
        near = near[(near[:, 1] > near[:, 0]) & ~repeats[near].any(1)]
        parts = (near[at : at + 4096] for at in range(0, len(near), 4096))
        alike = [_roughly_alike(kind, glances, part) for part in parts]
        yield near[np.concatenate([np.zeros(0, bool), *alike])]


def _radius(kind: str, count: int) -> int:
    """Differing bits up to which pairs are looked at: fewer in large sets, where by chance alone
    more pairs are that near than can be looked at; some cropped ones are missed there.
    """
    share = CHANCE_PAIRS / max(1, count**2 / 2)
    return RADIUS[kind] if share >= 0.5 else min(RADIUS[kind], int(binom.ppf(share, 64, 0.5)))


def _roughly_alike(kind: str, glances: _Glances, pairs: np.ndarray) -> np.ndarray:
    """bool [n]: which pairs are worth a second look."""
    if kind == RECOLOURED:
        one, other = (glances.edges[pairs[:, i]].astype(np.float32) for i in (0, 1))
        return (one * other).sum(1) > EDGES_ROUGHLY_ALIKE
    one, other = (glances.pictures[pairs[:, i]].astype(np.float32) for i in (0, 1))
    if kind == MIRRORED:
        one = one[:, :, ::-1]
    contrast = glances.contrast[pairs].mean(1)
    return np.abs(one - other).mean((1, 2, 3)) < ROUGH * (4 + contrast)


def _confirmed(kind: str, thumbs: Thumbs, pairs: np.ndarray) -> np.ndarray:
    """bool [n]: which pairs of indices are of the kind."""
    one, other = (thumbs(pairs[:, i]).astype(np.float32) for i in (0, 1))
    if kind == RECOLOURED:
        return _recoloured(one, other)
    return _same(one[:, :, ::-1] if kind == MIRRORED else one, other)


def _same(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """bool [n]: equal as they lie, or alike once either is laid over the other.

    As they lie little may differ: a hand of a clock, a skin tone. What a shift and stretch brings
    much nearer has been cropped, and then edges no longer fall on the same places.
    """
    off = _off(one, other)
    before = off.mean((1, 2))
    allowed = EQUAL_OFF + EDGE_OFF * np.minimum(_steepness(one), _steepness(other))
    good = (before < MEAN_OFF) & ((off > allowed).mean((1, 2)) <= EQUAL_SHARE)
    hope = ~good & (before < HOPELESS)
    for a, b in ((one, other), (other, one)):  # the better-ranked one first: it shows more
        left = np.nonzero(hope)[0]
        if not len(left):
            break
        laid, inside = _lay_over(a[left], b[left])
        off = _off(laid, b[left])
        known = inside.sum((1, 2))
        mean = (off * inside).sum((1, 2)) / np.maximum(1, known)
        far = ((off > MOST_OFF) & inside).sum((1, 2))
        fits = (mean < MEAN_OFF) & (far <= FAR_SHARE * known) & (known > LEAST_KNOWN * THUMB**2)
        good[left] = fits & (mean < NEARER * before[left])
        hope[left] = ~good[left] & (mean < WORTH_TURNING * before[left])
    return good


def _off(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """float [n, S, S]: grey levels between blurred pictures, in the channel that differs most."""
    return np.abs(_blur(one) - _blur(other)).max(3)


def _steepness(pictures: np.ndarray) -> np.ndarray:
    """float [n, S, S]: the steepest slope at a place or beside it, in grey levels a px."""
    slope = np.abs(np.stack(np.gradient(_blur(pictures), axis=(1, 2)))).max((0, 4))
    return maximum_filter(slope, (1, 3, 3), mode="nearest")


def _recoloured(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """bool [n]: the same edges, and the colours of either follow from the other's."""
    a, b = _blur(one), _blur(other)
    edges = [x - x.mean((1, 2), keepdims=True) for x in (_edges(a), _edges(b))]
    both = (edges[0] * edges[1]).sum((1, 2))
    power = np.sqrt(np.square(edges[0]).sum((1, 2)) * np.square(edges[1]).sum((1, 2)))
    alike = both > EDGES_ALIKE * np.maximum(power, 1.0)
    for x, y in ((a, b), (b, a)):
        left = np.nonzero(alike)[0]  # few: the edges cost less than the colours
        if len(left):
            alike[left] = _explained(x[left], y[left]) > COLORS_ALIKE
    return alike


def _edges(pictures: np.ndarray) -> np.ndarray:
    """float [n, S, S]: the root of the largest step to a neighbour in any channel."""
    across = np.abs(np.diff(pictures, axis=2, append=pictures[:, :, -1:])).max(3)
    down = np.abs(np.diff(pictures, axis=1, append=pictures[:, -1:])).max(3)
    return np.sqrt(np.maximum(across, down))


def _explained(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """float [n]: share of the other's variance that an affine map of the one's colours gives."""
    x = one.reshape(len(one), -1, 3)
    x = np.concatenate([x, np.full_like(x[..., :1], 255)], 2)
    y = other.reshape(len(other), -1, 3)
    across = x.transpose(0, 2, 1)
    ridge = np.float32(10.0) * np.eye(4, dtype=np.float32)
    rest = y - x @ np.linalg.solve(across @ x + ridge, across @ y)
    return 1 - np.square(rest).sum((1, 2)) / (
        np.square(y - y.mean(1, keepdims=True)).sum((1, 2)) + 1
    )


def _lay_over(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`one` shifted and stretched onto `other` [n, S, S, 3], and where that is known [n, S, S].

    Place x of the result is place x (1 + stretch) + shift of `one`, x from the middle, both ways.
    """
    n, middle = len(one), (THUMB - 1) / 2
    places = np.arange(THUMB, dtype=np.float32) - np.float32(middle)
    move = np.zeros((n, 2, 2), np.float32)  # [n, (y, x), (stretch, shift)]
    smooth, target = _blur(one), _blur(other)
    slope_y, slope_x = np.gradient(smooth, axis=(1, 2))
    basis = np.stack([places, np.ones_like(places)], 1)  # [S, 2]
    for _ in range(STEPS):
        rows, cols = _hat(places, move[:, 0]), _hat(places, move[:, 1])
        inside = _inside(rows, cols)[..., None]
        error = (_sample(smooth, rows, cols) - target) * inside
        gy, gx = _sample(slope_y, rows, cols) * inside, _sample(slope_x, rows, cols) * inside
        # a place's derivative by (stretch, shift) is (x, 1)
        by_row = np.einsum("nyxc,nyxc->ny", gy, error), np.einsum("nyxc,nyxc->nx", gx, error)
        right = np.concatenate([by_row[0] @ basis, by_row[1] @ basis], 1)  # [n, 4]
        yy, xx = np.einsum("nyxc,nyxc->ny", gy, gy), np.einsum("nyxc,nyxc->nx", gx, gx)
        yx = np.einsum("nyxc,nyxc->nyx", gy, gx)
        left = np.empty((n, 4, 4), np.float32)
        left[:, :2, :2] = np.einsum("ny,yi,yj->nij", yy, basis, basis)
        left[:, 2:, 2:] = np.einsum("nx,xi,xj->nij", xx, basis, basis)
        left[:, :2, 2:] = np.einsum("nyx,yi,xj->nij", yx, basis, basis)
        left[:, 2:, :2] = left[:, :2, 2:].transpose(0, 2, 1)
        left += np.diag(np.float32([STIFF * middle**2, STIFF] * 2))
        step = np.linalg.solve(left, right[..., None])[..., 0].reshape(n, 2, 2)
        move = np.clip(move - step, -MOST_MOVE, MOST_MOVE)
    rows, cols = _hat(places, move[:, 0]), _hat(places, move[:, 1])
    return _sample(one, rows, cols), _inside(rows, cols) > 0.5


def _hat(places: np.ndarray, move: np.ndarray) -> np.ndarray:
    """float [n, S, S]: how much each place of a line takes from each old one, linearly."""
    middle = (THUMB - 1) / 2
    at = places[None] * (1 + move[:, :1]) + move[:, 1:] + np.float32(middle)
    return np.maximum(0, 1 - np.abs(at[:, :, None] - np.arange(THUMB, dtype=np.float32)))


def _sample(pictures: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    across = np.matmul(cols[:, None], pictures)  # [n, y, x, c]
    return np.matmul(rows, across.reshape(len(rows), THUMB, -1)).reshape(across.shape)


def _inside(rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Near 1 where a place comes from within the picture, 0 where from beyond its edge."""
    return rows.sum(2)[:, :, None] * cols.sum(2)[:, None, :]


def _blur(pictures: np.ndarray) -> np.ndarray:
    """Weights 1 2 1 both ways."""
    for axis in (1, 2):
        before = np.concatenate([pictures.take([0], axis), pictures], axis)
        after = np.concatenate([pictures, pictures.take([-1], axis)], axis)
        middle = (before + after) / 2
        cut = [slice(None)] * 4
        cut[axis] = slice(1, None)
        later = middle[tuple(cut)]
        cut[axis] = slice(None, -1)
        pictures = (middle[tuple(cut)] + later) / 2
    return pictures

"""From seeds to latents, and what is done to rows of ws before they are drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stylegan.config import UserError

MAX_SEED = 2**32 - 1  # what RandomState takes
MAX_SEEDS = 1_000_000


class SeedError(UserError):
    """A seed, or a list of seeds, that cannot be used."""


def z_from_seed(seed: int, z_dim: int) -> Tensor:
    """The z of a seed, float32 [1, z_dim]; the same on every machine."""
    _check_seed(seed)
    return torch.from_numpy(np.random.RandomState(seed).randn(1, z_dim).astype(np.float32))


def noise_maps(noise: int, sides: Sequence[int]) -> list[Tensor]:
    """One float32 map [1, 1, r, r] for each noise layer of side r, in drawing order."""
    _check_seed(noise)
    maps = (np.random.RandomState([noise, i]).randn(1, 1, r, r) for i, r in enumerate(sides))
    return [torch.from_numpy(values.astype(np.float32)) for values in maps]


def parse_seeds(text: str, most: int = MAX_SEEDS) -> list[int]:
    """Seeds out of "1-5,9,200", ranges inclusive, in the order given."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        low = _seed(first, part)
        high = _seed(last, part) if dash else low
        if high < low:
            raise SeedError(f'seeds "{_short(part)}" run backwards')
        if len(seeds) + high - low + 1 > most:
            raise SeedError(f"more than {most} seeds are asked for")
        seeds.extend(range(low, high + 1))
    return seeds


def mix_rows(ws: Tensor, source: Tensor, first: int, last: int) -> Tensor:
    """ws [N, num_ws, w_dim] with rows first to last, inclusive, from a `source` of that shape."""
    mixed = ws.clone()
    mixed[:, first : last + 1] = source[:, first : last + 1]
    return mixed


def shift(
    ws: Tensor, direction: Tensor, strength: float, rows: tuple[int, int] | None = None
) -> Tensor:
    """ws [N, num_ws, w_dim] moved by strength * direction, in all rows or in first to last.

    `direction`, [w_dim] or [num_ws, w_dim], is one standard deviation long.
    """
    first, last = rows or (0, ws.shape[1] - 1)
    step = (strength * direction).expand(ws.shape[1:])
    moved = ws.clone()
    moved[:, first : last + 1] += step[first : last + 1]
    return moved


# Between latents: any shapes [..., d] that agree; `t` runs from 0 to 1


def lerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """The straight line from a to b."""
    return (1 - t) * a + t * b


def slerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """The great circle from a to b in the last dimension, lengths going evenly (Shoemake 1985).

    Between opposite directions, where every great circle is as short, one of them is fixed by a.
    """
    kind, tiny = a.dtype, torch.finfo(torch.float64).tiny
    a, b = a.double(), b.double()
    length_a, length_b = (x.norm(dim=-1, keepdim=True) for x in (a, b))
    u, v = a / length_a.clamp_min(tiny), b / length_b.clamp_min(tiny)
    # the angle by its half's sine and cosine: exact where acos is not, next to 0 and to pi
    angle = 2 * torch.atan2((u - v).norm(dim=-1, keepdim=True), (u + v).norm(dim=-1, keepdim=True))
    across = v - (u * v).sum(-1, keepdim=True) * u
    across = torch.where(torch.sin(angle) > 1e-6, across, _perpendicular(u))
    across = across / across.norm(dim=-1, keepdim=True).clamp_min(tiny)
    on_circle = torch.cos(t * angle) * u + torch.sin(t * angle) * across
    curved = lerp(length_a, length_b, t) * on_circle
    straight = (length_a == 0) | (length_b == 0) | (angle < 1e-6)
    return torch.where(straight, lerp(a, b, t), curved).to(kind)


def catmull_rom(before: Tensor, a: Tensor, b: Tensor, after: Tensor, t: float) -> Tensor:
    """The cubic from a to b with slopes (b - before) / 2 and (after - a) / 2 (Catmull & Rom 1974).

    Pieces that follow each other thus join smoothly.
    """
    return a + t / 2 * (
        (b - before)
        + t * (2 * before - 5 * a + 4 * b - after)
        + t * t * (3 * (a - b) + after - before)
    )


def along(keys: Sequence[Tensor], position: float, curve: str, closed: bool) -> Tensor:
    """The point of a path through keys: key i at position i, to the last one, or round (closed).

    linear and slerp go from key to key and turn there; smooth takes each key in its stride.
    """
    count = len(keys)
    i = int(position)
    t = position - i
    if t == 0:
        return keys[i % count]

    def key(j: int) -> Tensor:
        if closed or 0 <= j < count:
            return keys[j % count]
        return 2 * keys[0] - keys[1] if j < 0 else 2 * keys[-1] - keys[-2]  # straight beyond ends

    if curve == "smooth":
        return catmull_rom(key(i - 1), key(i), key(i + 1), key(i + 2), t)
    return (slerp if curve == "slerp" else lerp)(key(i), key(i + 1), t)


def eased(t: float, ease: str) -> float:
    """Time 0 to 1 to way 0 to 1: "in" starts slowly, "out" ends slowly, "both", or "none"."""
    if ease == "in":
        return t * t
    if ease == "out":
        return t * (2 - t)
    return t * t * (3 - 2 * t) if ease == "both" else t


def _perpendicular(u: Tensor) -> Tensor:
    """Some direction at right angles to unit vectors u [..., d]."""
    axis = torch.zeros_like(u).scatter_(-1, u.abs().argmin(-1, keepdim=True), 1)
    return axis - (axis * u).sum(-1, keepdim=True) * u


def _check_seed(seed: int) -> None:
    if not 0 <= seed <= MAX_SEED:
        raise SeedError(f"seed {seed} is outside 0 to {MAX_SEED}")


def _seed(text: str, part: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10) or int(text) > MAX_SEED:
        raise SeedError(
            f'seeds "{_short(part)}" are not whole numbers from 0 to {MAX_SEED}, as in 1-5,9'
        )
    return int(text)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "..."

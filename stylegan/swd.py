"""Sliced Wasserstein distance of two sets of pictures: pure functions, deterministic by seed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F

from stylegan import chance
from stylegan.config import UserError

SWD_COARSEST_PX = 16
SWD_PATCH_PX = 7
SWD_PATCHES = 128
"""Patches taken from one picture at one level."""
SWD_PROJECTIONS = 512

_PICTURES_AT_ONCE = 64
_NUMBERS_AT_ONCE = 1 << 24
"""Largest array of projected patches, in float32 numbers (64 MiB)."""

Images = np.ndarray | torch.Tensor


def swd(a: Images, b: Images, seed: int = 0) -> dict[str, float]:
    """Sliced Wasserstein distance of two uint8 sets [N, C, H, W], times 1000: its mean and levels.

    Progressive GAN (Karras et al. 2018), section 5. Both sets have the same N, C (1, 3, or 4 seen
    over white) and power-of-two side. Keys: "mean", and each level's side in pixels, as "16".
    A channel's mean and contrast over the whole set are divided out, so a global tint is not seen.
    """
    rows = [swd_patches(x, seed).numpy() for x in (a, b)]
    if a.shape[2:] != b.shape[2:]:
        raise UserError(f"pictures of {_size(a)} and of {_size(b)} cannot be compared")
    return swd_of_patches(*rows, a.shape[-1], seed)


def swd_patches(images: Images, seed: int = 0, first: int = 0) -> torch.Tensor:
    """What `swd_of_patches` compares: a row for each picture of uint8 [N, C, H, W], float16 [N, D].

    `first` is the place of the first one in its set; how a set is cut makes no difference. A row
    takes 12.5 kB a channel at each level, whatever the pictures' size.
    """
    pieces = _checked(torch.as_tensor(images)).cpu().split(_PICTURES_AT_ONCE)
    starts = range(first, first + len(images), _PICTURES_AT_ONCE)
    rows = [
        # Half precision: 11 bits, below the 8 bits of a picture, at half the memory.
        torch.stack([_cut(x, seed, start).half() for x in _laplacian_pyramid(piece)], 1).flatten(1)
        for piece, start in zip(map(_over_white, pieces), starts, strict=True)
    ]
    return torch.cat(rows)


def swd_of_patches(a: np.ndarray, b: np.ndarray, side: int, seed: int = 0) -> dict[str, float]:
    """`swd` of two sets of pictures of this side, whose patches were taken with the same seed.

    [N, D] on both sides, which may lie on disk: a level is read in pieces.
    """
    sides = _sides(side)
    shape = (len(sides), SWD_PATCHES, -1, SWD_PATCH_PX, SWD_PATCH_PX)
    a, b = (x.reshape(len(x), *shape) for x in (a, b))
    if a.shape != b.shape:
        raise UserError(
            "the two sets of pictures differ: "
            + " and ".join(f"{len(x)} with {x.shape[3]} channels" for x in (a, b))
        )
    levels = {
        at: 1000 * _sliced(a[:, i], b[:, i], seed, at) for i, at in reversed(list(enumerate(sides)))
    }
    mean = sum(levels.values()) / len(levels)
    return {"mean": mean} | {str(at): value for at, value in levels.items()}


def _size(images: Images) -> str:
    return f"{images.shape[-1]}x{images.shape[-2]}"


def _checked(images: torch.Tensor) -> torch.Tensor:
    if images.ndim != 4 or images.dtype != torch.uint8 or images.shape[1] not in (1, 3, 4):
        raise UserError(
            f"expected uint8 pictures [N, 1, 3 or 4, H, W], got {images.dtype} {list(images.shape)}"
        )
    height, width = images.shape[2:]
    if height != width or width & (width - 1) or width < 8:
        raise UserError(f"pictures of {_size(images)} are not power-of-two squares from 8x8")
    if not len(images):
        raise UserError("there are no pictures to compare")
    return images


def _over_white(images: torch.Tensor) -> torch.Tensor:
    """float32, alpha blended away: [N, 4, H, W] -> [N, 3, H, W]; others as they are. 0..255."""
    images = images.float()
    if images.shape[1] != 4:
        return images
    alpha = images[:, 3:] / 255
    return images[:, :3] * alpha + 255 * (1 - alpha)


def _sides(side: int) -> list[int]:
    """Of the pyramid's levels."""
    return [side, *_sides(side // 2)] if side > SWD_COARSEST_PX else [side]


def _laplacian_pyramid(images: torch.Tensor) -> Iterator[torch.Tensor]:
    """Band-pass levels from the full size down; the last, 16 px or the picture, is low-pass."""
    while images.shape[-1] > SWD_COARSEST_PX:
        smaller = _blur(images)[:, :, ::2, ::2]
        apart = torch.zeros_like(images)
        apart[:, :, ::2, ::2] = 4 * smaller
        yield images - _blur(apart)
        images = smaller
    yield images


def _blur(images: torch.Tensor) -> torch.Tensor:
    """5x5 binomial filter, border reflected (the outermost pixel not repeated)."""
    row = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    planes = F.pad(images, (2, 2, 2, 2), mode="reflect").flatten(0, 1)[:, None]  # [N*C, 1, H, W]
    planes = F.conv2d(F.conv2d(planes, row.view(1, 1, 1, 5)), row.view(1, 1, 5, 1))
    return planes.view_as(images)


def _cut(level: torch.Tensor, seed: int, first: int) -> torch.Tensor:
    """Patches at random places of [N, C, H, W], the pictures from `first` on: [N, 128, C, 7, 7]."""
    draws = chance.numpy_generator(seed, f"swd/patches/{level.shape[-1]}", 0)
    draws.bit_generator.advance(first * SWD_PATCHES * 2)  # a step a number
    windows = level.unfold(2, SWD_PATCH_PX, 1).unfold(3, SWD_PATCH_PX, 1)  # [N, C, H-6, W-6, 7, 7]
    at = draws.random((len(level), SWD_PATCHES, 2)) * windows.shape[2]
    y, x = torch.from_numpy(at.astype(np.int64)).unbind(-1)
    return windows[torch.arange(len(level))[:, None], :, y, x]


def _sliced(a: np.ndarray, b: np.ndarray, seed: int, side: int) -> float:
    """Mean over directions of the 1-Wasserstein distance between normalised, projected patches.

    Those of one level, float16 [N, 128, C, 7, 7].
    """
    directions = chance.numpy_generator(seed, f"swd/projections/{side}", 0).standard_normal(
        (SWD_PROJECTIONS, a[0, 0].size)
    )
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    lines = torch.from_numpy(directions.astype(np.float32))  # [P, C * 7 * 7]
    prepared = [(patches, *_mean_and_std(patches)) for patches in (a, b)]
    count = len(a) * SWD_PATCHES
    total = 0.0
    for some in lines.split(max(1, _NUMBERS_AT_ONCE // count)):
        p, q = (_sorted_shadows(some, *x) for x in prepared)
        total += float(np.abs(np.subtract(p, q, out=p), out=p).sum(dtype=np.float64))
    return total / (SWD_PROJECTIONS * count)


def _in_pieces(patches: np.ndarray, pictures: int) -> Iterator[torch.Tensor]:
    """So many pictures' at a time, float32 [n * 128, C, 7, 7]."""
    for start in range(0, len(patches), pictures):
        piece = np.array(patches[start : start + pictures])
        yield torch.from_numpy(piece).flatten(0, 1).float()


def _mean_and_std(patches: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each channel over all patches, [C, 1, 1] float32; a flat channel gets std 1."""
    count = patches[:, :, 0].size
    mean = sum(x.double().sum((0, 2, 3)) for x in _in_pieces(patches, 512)) / count
    squares = sum(
        (x.double() - mean[:, None, None]).square().sum((0, 2, 3)) for x in _in_pieces(patches, 512)
    )
    std = (squares / count).sqrt()
    std[std == 0] = 1
    return mean.float()[:, None, None], std.float()[:, None, None]


def _sorted_shadows(
    lines: torch.Tensor, patches: np.ndarray, mean: torch.Tensor, std: torch.Tensor
) -> np.ndarray:
    """Normalised patches projected on each line, ascending: [lines, patches]."""
    shadows = torch.empty(len(lines), len(patches) * SWD_PATCHES)
    start = 0
    for piece in _in_pieces(patches, _PICTURES_AT_ONCE * 2):
        normalised = ((piece - mean) / std).flatten(1)
        torch.mm(lines, normalised.T, out=shadows[:, start : start + len(piece)])
        start += len(piece)
    result = shadows.numpy()
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # numpy sorts without the GIL
        list(pool.map(lambda rows: rows.sort(axis=1), np.array_split(result, len(result))))
    return result

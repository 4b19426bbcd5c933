"""Sliced Wasserstein distance of two sets of pictures: pure functions, deterministic by seed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
Patches = dict[int, torch.Tensor]
"""Resolution of a pyramid level -> its patches, [N * 128, C, 7, 7] float16, finest level first."""


def swd(a: Images, b: Images, seed: int = 0) -> dict[str, float]:
    """Sliced Wasserstein distance of two uint8 sets [N, C, H, W], times 1000: its mean and levels.

    Progressive GAN (Karras et al. 2018), section 5. Both sets have the same N, C (1, 3, or 4 seen
    over white) and power-of-two side. Keys: "mean", and each level's side in pixels, as "16".
    A channel's mean and contrast over the whole set are divided out, so a global tint is not seen.
    """
    return swd_of_patches(swd_patches([a], seed), swd_patches([b], seed), seed)


def swd_patches(batches: Iterable[Images], seed: int = 0) -> Patches:
    """The patches of a stream of uint8 pictures [N, C, H, W]: what `swd_of_patches` compares.

    Costs 12.5 kB a picture and channel at each level, whatever the pictures' size; how the stream
    is cut into batches makes no difference.
    """
    kept: dict[int, list[torch.Tensor]] = {}
    places: dict[int, np.random.Generator] = {}
    for images in _pieces(batches):
        for level in _laplacian_pyramid(images):
            side = level.shape[-1]
            if side not in places:
                places[side] = chance.numpy_generator(seed, f"swd/patches/{side}", 0)
            # Half precision: 11 bits, below the 8 bits of a picture, at half the memory.
            kept.setdefault(side, []).append(_cut(level, places[side]).half())
    if not kept:
        raise UserError("there are no pictures to compare")
    return {side: torch.cat(patches) for side, patches in kept.items()}


def swd_of_patches(a: Patches, b: Patches, seed: int = 0) -> dict[str, float]:
    """`swd` of two sets whose patches are already taken, with the same seed."""
    shapes = [{side: tuple(patches.shape) for side, patches in x.items()} for x in (a, b)]
    if shapes[0] != shapes[1]:
        raise UserError(
            "the two sets of pictures differ in number, size or channels: "
            + " and ".join(_described(x) for x in (a, b))
        )
    levels = {side: 1000 * _sliced(a[side], b[side], seed, side) for side in sorted(a)}
    mean = sum(levels.values()) / len(levels)
    return {"mean": mean} | {str(side): value for side, value in levels.items()}


def _described(patches: Patches) -> str:
    side = max(patches)
    count, channels = patches[side].shape[:2]
    return f"{count // SWD_PATCHES} of {side}x{side} with {channels} channels"


def _pieces(batches: Iterable[Images]) -> Iterator[torch.Tensor]:
    """Checked float32 pieces of a few pictures each, [n, 1 or 3, H, W], 0..255."""
    kind = None
    for batch in batches:
        images = torch.as_tensor(batch)
        if images.ndim != 4 or images.dtype != torch.uint8 or images.shape[1] not in (1, 3, 4):
            raise UserError(
                f"expected uint8 pictures [N, 1, 3 or 4, H, W], got {images.dtype} "
                f"{list(images.shape)}"
            )
        height, width = images.shape[2:]
        if height != width or width & (width - 1) or width < 8:
            raise UserError(f"pictures of {width}x{height} are not power-of-two squares from 8x8")
        kind = kind or images.shape[1:]
        if images.shape[1:] != kind:
            raise UserError("the pictures are not all of one size and number of channels")
        for piece in images.split(_PICTURES_AT_ONCE) if len(images) else ():
            yield _over_white(piece.cpu().float())


def _over_white(images: torch.Tensor) -> torch.Tensor:
    """Alpha blended away: [N, 4, H, W] -> [N, 3, H, W]; others as they are. 0..255."""
    if images.shape[1] != 4:
        return images
    alpha = images[:, 3:] / 255
    return images[:, :3] * alpha + 255 * (1 - alpha)


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


def _cut(level: torch.Tensor, places: np.random.Generator) -> torch.Tensor:
    """Patches at random places of [N, C, H, W]: [N * 128, C, 7, 7]."""
    windows = level.unfold(2, SWD_PATCH_PX, 1).unfold(3, SWD_PATCH_PX, 1)  # [N, C, H-6, W-6, 7, 7]
    at = places.random((len(level), SWD_PATCHES, 2)) * windows.shape[2]
    y, x = torch.from_numpy(at.astype(np.int64)).unbind(-1)
    return windows[torch.arange(len(level))[:, None], :, y, x].flatten(0, 1)


def _sliced(a: torch.Tensor, b: torch.Tensor, seed: int, side: int) -> float:
    """Mean over directions of the 1-Wasserstein distance between normalised, projected patches."""
    length = a[0].numel()
    directions = chance.numpy_generator(seed, f"swd/projections/{side}", 0).standard_normal(
        (SWD_PROJECTIONS, length)
    )
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    lines = torch.from_numpy(directions.astype(np.float32)).view(-1, *a.shape[1:])  # [P, C, 7, 7]
    prepared = [(patches, *_mean_and_std(patches)) for patches in (a, b)]
    total = 0.0
    for some in lines.split(max(1, _NUMBERS_AT_ONCE // len(a))):
        p, q = (_sorted_shadows(some, *x) for x in prepared)
        total += float(np.abs(np.subtract(p, q, out=p), out=p).sum(dtype=np.float64))
    return total / (SWD_PROJECTIONS * len(a))


def _mean_and_std(patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each channel over all patches, [C, 1, 1] float32; a flat channel gets std 1."""
    pieces = patches.split(1 << 16)
    count = patches[:, 0].numel()
    mean = sum(x.double().sum((0, 2, 3)) for x in pieces) / count
    variance = sum((x.double() - mean[:, None, None]).square().sum((0, 2, 3)) for x in pieces)
    std = (variance / count).sqrt()
    std[std == 0] = 1
    return mean.float()[:, None, None], std.float()[:, None, None]


def _sorted_shadows(
    lines: torch.Tensor, patches: torch.Tensor, mean: torch.Tensor, std: torch.Tensor
) -> np.ndarray:
    """Normalised patches projected on each line, ascending: [lines, patches]."""
    shadows = torch.empty(len(lines), len(patches))
    start = 0
    for piece in patches.split(1 << 14):
        normalised = ((piece.float() - mean) / std).flatten(1)
        torch.mm(lines.flatten(1), normalised.T, out=shadows[:, start : start + len(piece)])
        start += len(piece)
    result = shadows.numpy()
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # numpy sorts without the GIL
        list(pool.map(lambda rows: rows.sort(axis=1), np.array_split(result, len(result))))
    return result

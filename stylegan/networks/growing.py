"""Growing pictures (Progressive GAN, arXiv 1710.10196, section 2).

A level of detail `lod` tells how far they have grown: at 0 they are whole, at 1 the highest
resolution is left out, and between two whole numbers one resolution fades into the next.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

SMALLEST_PX = 4


def grown(resolution: int, lod: float) -> tuple[int, float]:
    """The side that pictures of this resolution have, and the share of the side below in it."""
    level = int(lod)
    side = resolution >> level
    if not (lod >= 0 and side >= SMALLEST_PX and (side > SMALLEST_PX or lod == level)):
        raise ValueError(f"a picture of {resolution} px has no level of detail {lod}")
    return side, lod - level


def enlarge(x: Tensor, times: int = 2) -> Tensor:
    """Each pixel as a square of pixels; [N, C, H, W]."""
    return x if times == 1 else F.interpolate(x, scale_factor=times, mode="nearest")


def shrink(x: Tensor, times: int = 2) -> Tensor:
    """Means of squares of pixels; [N, C, H, W]."""
    return x if times == 1 else F.avg_pool2d(x, times)


def faded(fine: Tensor, coarse: Tensor, share: float) -> Tensor:
    """Between two pictures or features of one size; the coarse one has this share."""
    return fine.lerp(coarse.to(fine.dtype), share)


def at_lod(img: Tensor, lod: float) -> Tensor:
    """Whole pictures [N, C, R, R] as pictures of a generator at this lod are, [N, C, r, r]."""
    side, share = grown(img.shape[-1], lod)
    img = shrink(img, img.shape[-1] // side)
    return faded(img, enlarge(shrink(img)), share) if share else img

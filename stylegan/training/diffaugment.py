"""Differentiable augmentation (DiffAugment, arXiv 2006.10738): colour, translation, cutout.

    params = draw(["color", "translation", "cutout"], pictures.shape, Draws(generator))
    pictures = apply(pictures, params)

Every picture is changed every time; strengths are those of the paper's appendix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from stylegan.training.augment import Draws

SHIFT = 0.125  # largest, as a share of the side
CUT = 0.5  # side of the square, as a share of the picture's


@dataclass(frozen=True)
class Params:
    """What happens to each picture of a batch, on the CPU; None where nothing happens to any.

    Indexing with a slice or a tensor of indices gives the parameters of those pictures.
    """

    colour: Tensor | None = None
    """Added brightness -0.5 to 0.5, saturation 0 to 2, contrast 0.5 to 1.5. float32 [N, 3]"""
    shift: Tensor | None = None
    """Whole pixels to the right and down. int64 [N, 2]"""
    square: Tensor | None = None
    """Left and upper pixel of what is blanked, beyond the rim as well. int64 [N, 2]"""

    def __getitem__(self, index: slice | Tensor) -> Params:
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        return Params(**{k: None if v is None else v[index] for k, v in parts.items()})


def draw(policy: Sequence[str], shape: Sequence[int], draws: Draws) -> Params:
    """Decide what happens to a whole batch of pictures of this shape [N, C, R, R]."""
    n, _, _, size = shape
    colour = shift = square = None
    if "color" in policy:
        spread, middle = torch.tensor([0.5, 1.0, 0.5]), torch.tensor([0.0, 1.0, 1.0])
        colour = middle + spread * draws.uniform(n, 3).float()
    if "translation" in policy:
        reach = int(size * SHIFT + 0.5)
        shift = draws.choice(2 * reach + 1, n, 2) - reach
    if "cutout" in policy:
        side = int(size * CUT + 0.5)
        square = draws.choice(size + 1 - side % 2, n, 2) - side // 2
    return Params(colour, shift, square)


def apply(pictures: Tensor, params: Params) -> Tensor:
    """Augment pictures [N, C, R, R], C = 1 grey, 3 RGB or 4 RGBA, about -1 to 1, in float32.

    Differentiable in the pictures, as often as one likes.
    """
    x = pictures if pictures.dtype == torch.float64 else pictures.float()
    if params.colour is not None:
        x = recoloured(x, params.colour.to(x))
    if params.shift is not None:
        x = shifted(x, params.shift.to(x.device))
    if params.square is not None:
        x = blanked(x, params.square.to(x.device))
    return x


def recoloured(x: Tensor, by: Tensor) -> Tensor:
    """Brightness, saturation and contrast of each picture changed by [N, 3]; alpha stays, and a
    picture that has it is first laid over white."""
    brightness, saturation, contrast = (part.reshape(-1, 1, 1, 1) for part in by.unbind(1))
    alpha = x[:, 3:]
    if alpha.shape[1]:
        opacity = (alpha + 1) / 2
        x = x[:, :3] * opacity + (1 - opacity)
    x = x + brightness
    grey = x.mean(dim=1, keepdim=True)
    x = grey + (x - grey) * saturation
    mean = x.mean(dim=[1, 2, 3], keepdim=True)
    return torch.cat([mean + (x - mean) * contrast, alpha], dim=1)


def shifted(x: Tensor, by: Tensor) -> Tensor:
    """Pictures moved by whole pixels [N, 2]; what comes in is 0."""
    return _taken(_taken(x, by[:, 0], 3), by[:, 1], 2)


def blanked(x: Tensor, corner: Tensor) -> Tensor:
    """A square at a corner [N, 2] set to 0."""
    size = x.shape[-1]
    at = torch.arange(size, device=x.device) - corner[:, :, None]  # [N, 2, R]
    inside = (at >= 0) & (at < int(size * CUT + 0.5))
    return x * ~(inside[:, 1, :, None] & inside[:, 0, None, :])[:, None]


def _taken(x: Tensor, by: Tensor, dim: int) -> Tensor:
    """Moved along one axis, by [N] pixels."""
    size = x.shape[dim]
    place = torch.arange(size, device=x.device) - by[:, None]  # [N, R]
    shape = [len(x), 1, 1, 1]
    shape[dim] = size
    there = ((place >= 0) & (place < size)).reshape(shape)
    index = place.clamp(0, size - 1).reshape(shape).expand_as(x)
    return x.gather(dim, index) * there

"""What a projection is asked to find: examples, the first guess at one, how near a picture is."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from stylegan import features
from stylegan.model import Model
from stylegan.projector import (
    ProjectConfig,
    Projection,
    picture_of,
    psnr,
    spread,
    tensor_of,
    usual_distance,
)
from stylegan.recipe import Recipe
from stylegan.tabs.easel import Easel, data_url

OWN_SEEDS, OWN_PSI = (11, 12), 0.7  # of the examples


@dataclass(frozen=True)
class Example:
    """A picture to try it with."""

    label: str
    picture: np.ndarray
    """uint8 [H, W, C]"""
    known: Recipe | None
    """What drew it, where nothing was changed in it."""


def examples(model: Model) -> list[Example]:
    """Pictures that any model can be asked for: two are its own, the others changed."""
    one, two = (Recipe(seed=seed, psi=OWN_PSI) for seed in OWN_SEEDS)
    first, second = model.draw([one, two])
    mixed = (first.astype(np.uint16) + second) // 2
    return [
        Example("its own", first, one),
        Example("another", second, two),
        Example("mirrored", first[:, ::-1].copy(), None),
        Example("recoloured", _recoloured(second), None),
        Example("two in one", mixed.astype(np.uint8), None),
    ]


def _recoloured(picture: np.ndarray) -> np.ndarray:
    """Red as green, green as blue; a grey picture as its negative."""
    if picture.shape[2] == 1:
        return 255 - picture
    return picture[:, :, [2, 0, 1, *range(3, picture.shape[2])]]


def first_guess(model: Model, target: torch.Tensor, c: int = 0) -> Recipe:
    """Where a search for this target begins."""
    projection = Projection(model, target, ProjectConfig(steps=1, c=c))
    with closing(projection.run()) as steps:
        next(steps)
    return projection.result().recipe


def closeness(recipe: Recipe, model: Model, easel: Easel, file: Path) -> str:
    """How near a picture is to its target, in one line."""
    target = easel.target(model.config)
    with Image.open(file) as image:
        drawn = np.asarray(image).reshape(*image.size[::-1], -1)
    near = psnr(drawn, picture_of(target))
    look = features.find(usual_distance(model), lambda: model.discriminator, model.device)
    with torch.no_grad():
        seen = [look(x.to(model.device)) for x in (tensor_of(drawn), target)]
    words = f"{near:.1f} dB · distance {float(features.distance(*seen)):.3f}"
    if easel.known is not None:
        apart = float((model.ws(recipe) - model.ws(easel.known)).square().sum(2).mean().sqrt())
        share = apart / spread(model, recipe.c, samples=1000)[1]
        words += f" · {share:.0%} of w's spread away from the true latent"
    return words + " (20 dB is alike, 30 dB hard to tell apart)"


def target_value(easel: Easel | None, model: Model) -> dict[str, Any]:
    """What is to be found, as the page's part takes it."""
    if easel is None:
        return {}
    picture, side = picture_of(easel.target(model.config)), model.config.resolution
    alt = f"What is to be found: {easel.said}"
    return {"src": data_url(picture), "alt": alt, "caption": "target", "side": side}

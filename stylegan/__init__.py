"""From a folder of pictures to a public, playable generator.

import stylegan
model = stylegan.load("checkpoints/portraits-64")
picture = model.render(stylegan.Recipe(seed=7, psi=0.7))  # uint8 [64, 64, 3]
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stylegan.config import UserError
    from stylegan.mix import Mix
    from stylegan.model import Model, load
    from stylegan.recipe import Recipe, RecipeError
    from stylegan.shelf import Shelf
    from stylegan.walk import Walk

__all__ = ["Mix", "Model", "Recipe", "RecipeError", "Shelf", "UserError", "Walk", "load"]

_HOMES = {  # loaded at first use (PEP 562), so that importing stylegan costs nothing
    "Mix": "stylegan.mix",
    "Model": "stylegan.model",
    "Recipe": "stylegan.recipe",
    "RecipeError": "stylegan.recipe",
    "Shelf": "stylegan.shelf",
    "UserError": "stylegan.config",
    "Walk": "stylegan.walk",
    "load": "stylegan.model",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

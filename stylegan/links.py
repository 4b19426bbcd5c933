"""Any link: a still picture, a walk, a table or a shelf, told apart by its names."""

from __future__ import annotations

from stylegan.mix import NAMES as MIX_NAMES
from stylegan.mix import Mix
from stylegan.query import raw_pairs
from stylegan.recipe import NAMES as RECIPE_NAMES
from stylegan.recipe import Recipe
from stylegan.shelf import NAMES as SHELF_NAMES
from stylegan.shelf import Shelf
from stylegan.walk import NAMES as WALK_NAMES
from stylegan.walk import Walk

_NAMES = RECIPE_NAMES | WALK_NAMES | MIX_NAMES | SHELF_NAMES


def read_link(text: str, strict: bool = False) -> Recipe | Walk | Mix | Shelf:
    """The value of a query string or a whole share link.

    t=walk is a walk, t=shelf a shelf. t=mix is a table, unless it has the names of a still: then
    it is one cell.
    """
    names = dict(raw_pairs(text))
    if names.get("t") == "walk":
        return Walk.from_query(text, strict)
    if names.get("t") == "shelf":
        return Shelf.from_query(text, strict)
    cell = names.keys() & {"seed", "w", "mix", "e", "n"}
    if names.get("t") == "mix" and (names.keys() & {"row", "col", "layers"} or not cell):
        return Mix.from_query(text, strict)
    return Recipe.from_query(text, strict)


def names_something(text: str) -> bool:
    """Whether a query string has any name of ours; pages are given names by others."""
    return any(key in _NAMES for key, _ in raw_pairs(text))

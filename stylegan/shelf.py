"""A shelf of pictures, as a value, and its text both ways."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from stylegan.query import (
    MAX_LINK_CHARS,
    MAX_QUERY_CHARS,
    RecipeError,
    check_choice,
    check_model,
    check_some,
    read_query,
    store,
    to_text,
)
from stylegan.recipe import Recipe

MAX_PICTURES = 192  # a link is read up to 200 names


@dataclass(frozen=True)
class Shelf:
    """Pictures kept together, in order. Each is exactly its recipe, with its own model."""

    pictures: tuple[Recipe, ...]
    """In a link `p`, repeatable: the text of each recipe, with ; in place of &."""

    def __post_init__(self) -> None:
        pictures = check_some("p", self.pictures, Recipe, MAX_PICTURES)
        if not pictures:
            raise RecipeError("the shelf is empty; p names a picture, as in p=seed=7;psi=0.7")
        for i, picture in enumerate(pictures, 1):
            if picture.n != 1:
                raise RecipeError(f"picture {i} of the shelf: n {picture.n}; a shelf takes n 1")
        store(self, pictures=pictures)
        if len(self.to_query()) > MAX_QUERY_CHARS:
            raise RecipeError("the latents of the shelf are too long together; take fewer pictures")

    @classmethod
    def from_query(cls, text: str, strict: bool = False) -> Shelf:
        """Read a query string, with or without its question mark, or a whole share link.

        Unknown names are refused where strict (a command line) and ignored where not (a page).
        """
        values: dict[str, Any] = {"p": []}
        for key, value in read_query(text, _READERS, ("p",), strict):
            values[key] = [*values["p"], value] if key == "p" else value
        check_choice("t", values.get("t"), ("shelf",))
        own = {"m": check_model(values["m"])} if "m" in values else {}
        pictures = []
        for i, inner in enumerate(values["p"], 1):
            try:
                picture = Recipe.from_query(inner.replace(";", "&"), strict)
            except RecipeError as error:
                raise RecipeError(f"picture {i} of the shelf: {error}") from None
            pictures.append(dataclasses.replace(picture, **own) if picture.m is None else picture)
        return cls(tuple(pictures))

    def to_query(self) -> str:
        """The one text of this shelf, without a question mark.

        A model that all pictures share is named once, before them.
        """
        common = self.m
        head = [("t", "shelf"), *([("m", common)] if common else [])]
        bare = [dataclasses.replace(p, m=None) if common else p for p in self.pictures]
        texts = [picture.to_query().replace("&", ";") for picture in bare]
        return "&".join([to_text(head), *(f"p={quote(text, safe=_PLAIN)}" for text in texts)])

    @property
    def m(self) -> str | None:
        """The model of all pictures; none where they differ."""
        models = {picture.m for picture in self.pictures}
        return models.pop() if len(models) == 1 else None

    @property
    def fits_link(self) -> bool:
        """Whether the text is short enough for an address (many latents are not)."""
        return len(self.to_query()) <= MAX_LINK_CHARS


_PLAIN = "@:/,=;"
_READERS: dict[str, Callable[[str], Any]] = {"t": str, "m": str, "p": str}
NAMES = frozenset(_READERS)
"""Names of a link that are read."""

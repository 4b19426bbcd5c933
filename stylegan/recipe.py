"""A recipe is all that makes a still picture, and its text is a link's query string, both ways."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stylegan.latents import MAX_SEED
from stylegan.query import (
    COMMON,
    MAX_LINK_CHARS,
    MAX_QUERY_CHARS,
    RecipeError,
    check_choice,
    check_common,
    check_number,
    check_rows,
    check_some,
    check_source,
    check_whole,
    pack_latent,
    plain,
    read_float,
    read_int,
    read_query,
    read_rows,
    read_source,
    shown,
    store,
    to_text,
    unpack_latent,
)

__all__ = [
    "MAX_LINK_CHARS",
    "MAX_QUERY_CHARS",
    "Edit",
    "Recipe",
    "RecipeError",
    "RowMix",
    "pack_latent",
    "unpack_latent",
]

TABS = ("seeds", "walk", "mix", "project", "edit")
MAX_STRENGTH = 100.0
MAX_PICTURES = 64
MAX_MIX = MAX_EDITS = 32

_DIRECTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def is_direction(name: object) -> bool:
    """Whether it can be a direction's name."""
    return isinstance(name, str) and _DIRECTION.fullmatch(name) is not None


@dataclass(frozen=True)
class RowMix:
    """Rows first to last, inclusive, of ws taken from another seed (int) or latent (text)."""

    source: int | str
    first: int
    last: int

    def __post_init__(self) -> None:
        rows = check_rows("mix", self.first, self.last)
        store(self, source=check_source("mix", self.source), **rows)

    def __str__(self) -> str:
        return f"{self.source}:{self.first}-{self.last}"


@dataclass(frozen=True)
class Edit:
    """A step along a named direction, in standard deviations, in all rows or in some."""

    direction: str
    strength: float
    rows: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not is_direction(self.direction):
            raise RecipeError(f"e {shown(self.direction)} is not a direction's name")
        strength = check_number("e", self.strength, -MAX_STRENGTH, MAX_STRENGTH)
        rows = self.rows
        if rows is not None:
            rows = tuple(check_rows("e", *rows).values())
        store(self, strength=strength, rows=rows)

    def __str__(self) -> str:
        rows = "" if self.rows is None else f":{self.rows[0]}-{self.rows[1]}"
        return f"{self.direction}:{plain(self.strength)}{rows}"


@dataclass(frozen=True)
class Recipe:
    """One still picture, or `n` of them with seeds counting up. Names are those of a link."""

    seed: int = 0
    """z = RandomState(seed).randn(1, z_dim)."""
    w: str | None = None
    """A latent in place of the seed, as `pack_latent` writes it; psi does not apply to it."""
    psi: float = 1.0
    """Truncation: 1 for none, 0 for the average picture."""
    cut: int | None = None
    """On how many first rows psi acts; none for all."""
    c: int = 0
    """The class, where the model has classes."""
    noise: int | str = "const"
    """const, none, or the number that noise maps are drawn from."""
    mix: tuple[RowMix, ...] = ()
    """Rows from other latents, in this order."""
    e: tuple[Edit, ...] = ()
    """Edits along the model's directions, in this order."""
    n: int = 1
    """How many pictures."""
    t: str = "seeds"
    """The tab that shows it."""
    m: str | None = None
    """The model as id@revision; none for whichever is loaded."""
    x: str | None = None
    """Hash of the noise maps or tuning that the picture's file carries, see attachment.py."""

    def __post_init__(self) -> None:
        seed = check_whole("seed", self.seed, 0, MAX_SEED)
        n = check_whole("n", self.n, 1, MAX_PICTURES)
        w = None if self.w is None else pack_latent(unpack_latent(self.w))
        if w is not None and seed:
            raise RecipeError("seed and w are both given; give one of them")
        if w is not None and n > 1:
            raise RecipeError(f"n {n} counts seeds up, and w has none; give n 1")
        if seed + n - 1 > MAX_SEED:
            raise RecipeError(f"seed {seed} with n {n} counts past {MAX_SEED}")
        store(
            self,
            t=check_choice("t", self.t, TABS),
            seed=seed,
            w=w,
            mix=check_some("mix", self.mix, RowMix, MAX_MIX),
            e=check_some("e", self.e, Edit, MAX_EDITS),
            n=n,
            **check_common(self),
        )

    @classmethod
    def from_query(cls, text: str, strict: bool = False) -> Recipe:
        """Read a query string, with or without its question mark, or a whole share link.

        Unknown names are refused where strict (a command line) and ignored where not (a page).
        """
        values: dict[str, Any] = {}
        for key, value in read_query(text, _READERS, _REPEATABLE, strict):
            values[key] = (*values.get(key, ()), value) if key in _REPEATABLE else value
        if "w" in values and "seed" in values:
            raise RecipeError("seed and w are both given; give one of them")
        return cls(**values)

    def to_query(self) -> str:
        """The one text of this recipe, without a question mark; defaults are left out."""
        pairs = []
        for key in _READERS:
            value = getattr(self, key)
            if key in _REPEATABLE:
                pairs += [(key, item) for item in value]
            elif value != _DEFAULTS[key]:
                pairs.append((key, value))
        return to_text(pairs)

    @property
    def fits_link(self) -> bool:
        """Whether a link says it all: short enough for an address, and with nothing beside it."""
        return self.x is None and len(self.to_query()) <= MAX_LINK_CHARS

    def singles(self) -> list[Recipe]:
        """The n recipes of one picture each."""
        return [dataclasses.replace(self, seed=self.seed + i, n=1) for i in range(self.n)]


# Reading text


def _read_mix(text: str) -> RowMix:
    source, colon, rows = text.partition(":")
    if not colon:
        raise RecipeError(f"mix {shown(text)} is not source:first-last, as in 9:0-3")
    return RowMix(read_source(source), *read_rows("mix", rows))


def _read_edit(text: str) -> Edit:
    direction, colon, rest = text.partition(":")
    if not colon:
        raise RecipeError(f"e {shown(text)} is not direction:strength, as in smile:1.5")
    strength, colon, rows = rest.partition(":")
    read = read_float("e", -MAX_STRENGTH, MAX_STRENGTH)
    return Edit(direction, read(strength), read_rows("e", rows) if colon else None)


_READERS: dict[str, Callable[[str], Any]] = {  # in the order of the canonical text
    "t": str,
    "m": str,
    "seed": read_int("seed", 0, MAX_SEED),
    "w": str,
    **COMMON,
    "mix": _read_mix,
    "e": _read_edit,
    "n": read_int("n", 1, MAX_PICTURES),
}
_REPEATABLE = ("mix", "e")
_DEFAULTS = {f.name: f.default for f in dataclasses.fields(Recipe)}
NAMES = frozenset(_READERS)
"""Names of a link that are read."""

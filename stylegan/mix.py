"""A table of mixed styles, as a value, and its text both ways."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from stylegan.config import NetworkConfig
from stylegan.query import (
    COMMON,
    MAX_LINK_CHARS,
    MAX_QUERY_CHARS,
    MAX_ROW,
    RecipeError,
    check_choice,
    check_common,
    check_rows,
    check_sources,
    check_whole,
    read_query,
    read_rows,
    read_sources,
    store,
    to_text,
)
from stylegan.recipe import Recipe, RowMix

MAX_SOURCES = 32  # in a row or column


@dataclass(frozen=True)
class Mix:
    """A cross table: each cell is its row's picture with some layers of its column's.

    Names are those of a link (StyleGAN, section 3.1, whose source A is a row, and B a column).
    """

    rows: tuple[int | str, ...] = (0, 1, 2)
    """Seeds and latents (`pack_latent`) at the left; in a link `row`, repeatable."""
    cols: tuple[int | str, ...] = (3, 4, 5)
    """Seeds and latents along the top; in a link `col`, repeatable."""
    layers: tuple[int, ...] = (0, 1, 2, 3)
    """Rows of ws that cells take from their column, in a link as in 0-3,6."""
    psi: float = 1.0
    """Truncation of seeds, as in a recipe."""
    cut: int | None = None
    """On how many first rows psi acts; none for all."""
    c: int = 0
    """The class, where the model has classes."""
    noise: int | str = "const"
    """const, none, or the number that noise maps are drawn from."""
    m: str | None = None
    """The model as id@revision; none for whichever is loaded."""
    x: str | None = None
    """Hash of the noise maps or tuning that all its pictures are drawn with, see attachment.py."""

    def __post_init__(self) -> None:
        rows = check_sources("row", self.rows, MAX_SOURCES)
        cols = check_sources("col", self.cols, MAX_SOURCES)
        if sum(len(source) for source in rows + cols if isinstance(source, str)) > _MOST_CHARS:
            raise RecipeError("the latents of the table are too long together; take fewer")
        layers = {check_whole("layers row", layer, 0, MAX_ROW) for layer in self.layers}
        if not layers:
            raise RecipeError("layers names no rows; give some, as in 0-3,6")
        layers = tuple(sorted(layers))
        store(self, rows=rows, cols=cols, layers=layers, **check_common(self))

    @classmethod
    def from_query(cls, text: str, strict: bool = False) -> Mix:
        """Read a query string, with or without its question mark, or a whole share link.

        Unknown names are refused where strict (a command line) and ignored where not (a page).
        """
        values: dict[str, Any] = {}
        for key, value in read_query(text, _READERS, _SOURCES, strict):
            name = _SOURCES.get(key, key)
            values[name] = (*values.get(name, ()), *value) if key in _SOURCES else value
        check_choice("t", values.pop("t", "mix"), ("mix",))
        return cls(**values)

    def to_query(self) -> str:
        """The one text of this table, without a question mark; defaults are left out."""
        texts: dict[str, Any] = {
            "m": self.m,
            "row": ",".join(map(str, self.rows)),
            "col": ",".join(map(str, self.cols)),
            "layers": layers_text(self.layers),
            **{key: getattr(self, key) for key in COMMON},
        }
        named = [(key, _SOURCES.get(key, key)) for key in texts]
        kept = [(k, texts[k]) for k, field in named if getattr(self, field) != _DEFAULTS[field]]
        return to_text([("t", "mix"), *kept])

    @property
    def fits_link(self) -> bool:
        """Whether a link says it all: short enough for an address, and with nothing beside it."""
        return self.x is None and len(self.to_query()) <= MAX_LINK_CHARS

    def cell(self, row: int, col: int) -> Recipe:
        """The recipe of the cell, counted from 0."""
        column = self.cols[col]
        mix = tuple(RowMix(column, first, last) for first, last in runs(self.layers))
        return dataclasses.replace(self.source(self.rows[row]), mix=mix, t="mix")

    def source(self, source: int | str) -> Recipe:
        """The recipe of a row's or column's own picture."""
        which = {"w": source} if isinstance(source, str) else {"seed": source}
        same = {name: getattr(self, name) for name in ("psi", "cut", "c", "noise", "m", "x")}
        return Recipe(**which, **same)

    @classmethod
    def around(cls, cell: Recipe) -> Mix | None:
        """The table of one row and one column whose cell has a recipe's picture, if there is one:
        all that is mixed in comes from one source, and nothing is edited."""
        sources = {mix.source for mix in cell.mix}
        if len(sources) != 1 or cell.e or cell.n != 1:
            return None
        layers = {row for mix in cell.mix for row in range(mix.first, mix.last + 1)}
        same = {name: getattr(cell, name) for name in ("psi", "cut", "c", "noise", "m")}
        own = cell.seed if cell.w is None else cell.w
        return cls((own,), tuple(sources), tuple(layers), **same)

    def recipes(self) -> dict[tuple[int | None, int | None], Recipe]:
        """All pictures by (row, col), line by line: (None, col) is a column's own, (row, None) a
        row's."""
        table: dict[tuple[int | None, int | None], Recipe] = {}
        for j, column in enumerate(self.cols):
            table[None, j] = self.source(column)
        for i, row in enumerate(self.rows):
            table[i, None] = self.source(row)
            for j in range(len(self.cols)):
                table[i, j] = self.cell(i, j)
        return table


def source_name(source: int | str) -> str:
    """A seed, or a latent by its first letters, as labels name it."""
    return f"seed {source}" if isinstance(source, int) else f"latent {source[:6]}"


# Layers


def bands(num_ws: int) -> dict[str, tuple[int, int]]:
    """First and last row of coarse, middle and fine styles in a model of any size.

    From 128x128 on as in StyleGAN, section 3.1: rows 0-3, 4-7 and the rest; thirds below that.
    """
    a, b = min(4, round(num_ws / 3)), min(8, round(2 * num_ws / 3))
    return {"coarse": (0, a - 1), "middle": (a, b - 1), "fine": (b, num_ws - 1)}


def layer_side(config: NetworkConfig, row: int) -> int:
    """Side in pixels of the layers that a row of ws acts on first."""
    first = row if config.style != "demodulated" else row + 1  # StyleGAN's 4x4 takes two rows
    return min(config.resolution, 4 << first // 2)


def runs(layers: Iterable[int]) -> list[tuple[int, int]]:
    """First and last of each run of rows that follow each other."""
    found: list[tuple[int, int]] = []
    for layer in layers:
        if found and found[-1][1] == layer - 1:
            found[-1] = (found[-1][0], layer)
        else:
            found.append((layer, layer))
    return found


def layers_text(layers: Iterable[int]) -> str:
    """Rows as text, as in 0-3,6."""
    return ",".join(f"{a}-{b}" if b > a else f"{a}" for a, b in runs(layers))


def sides_text(config: NetworkConfig, layers: Iterable[int]) -> str:
    """Sides in pixels of the layers that rows act on first, as in 4-16 px."""
    parts = [(layer_side(config, a), layer_side(config, b)) for a, b in runs(layers)]
    return ", ".join(f"{a}-{b}" if b > a else f"{a}" for a, b in parts) + " px"


def read_layers(text: str) -> tuple[int, ...]:
    """Rows out of "0-3,6"."""
    layers: list[int] = []
    for part in text.split(",", MAX_ROW + 1):
        first, last = read_rows("layers", part.strip())
        layers += range(first, check_rows("layers", first, last)["last"] + 1)
    return tuple(layers)


_MOST_CHARS = MAX_QUERY_CHARS // 2
_SOURCES = {"row": "rows", "col": "cols"}
_READERS: dict[str, Callable[[str], Any]] = {
    "t": str,
    "m": str,
    "row": lambda text: read_sources(text, MAX_SOURCES),
    "col": lambda text: read_sources(text, MAX_SOURCES),
    "layers": read_layers,
    **COMMON,
}
_DEFAULTS = {field.name: field.default for field in dataclasses.fields(Mix)}
NAMES = frozenset(_READERS)
"""Names of a link that are read."""

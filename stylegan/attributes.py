"""What is asked of pictures: attributes out of a table of real ones, and colours of regions."""

from __future__ import annotations

import csv
import io
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from stylegan.config import UserError
from stylegan.data import Pictures
from stylegan.pictures import parse_color
from stylegan.recipe import is_direction

MAX_TABLE_BYTES = 64 << 20

_ATTRIBUTE = re.compile(r"(?:([^=:~]*)=)?([^=:~]+)(?:([:~])(.*))?", re.DOTALL)
_COLOR = re.compile(r"([^=]*)=([^/@]+)/([^/@]+)@([^@]+)")
COLOR_ODDS = 4.0  # log odds of a region in the one colour; less this in the other
_RANGE = re.compile(r"(-?[0-9]+\.?[0-9]*)\.\.(-?[0-9]+\.?[0-9]*)")


class TableError(UserError):
    """A table, or an attribute of it, that cannot be used."""


# Attributes


@dataclass(frozen=True)
class Attribute:
    """What is asked of a table's row: its number in a column, or whether it has something."""

    name: str
    column: str
    kind: str = ""
    """"" for a number, ":" for a range or values, "~" for regular expressions."""
    has: str = ""
    """LOW..HIGH, values with | between, or an expression."""
    has_not: str = ""
    """Values or an expression; all others if empty."""

    @property
    def is_number(self) -> bool:
        """Whether it is a matter of more or less, not of yes or no."""
        return not self.kind or bool(_RANGE.fullmatch(self.has))

    def value(self, cell: str) -> float:
        """The number, or 1 for has and 0 for has not; NaN where the cell is none of these."""
        if not cell:
            return math.nan
        if not self.is_number:
            if self._matches(self.has, cell):
                return 1.0
            return 0.0 if not self.has_not or self._matches(self.has_not, cell) else math.nan
        try:
            number = float(cell)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise TableError(
                f"column {self.column} holds {cell[:40]!r}, which is no number; say which values "
                f"have it, as in NAME={self.column}:VALUE or NAME={self.column}:VALUE/OTHER"
            )
        low, high = map(float, _RANGE.fullmatch(self.has).groups()) if self.has else (number,) * 2
        return number if low <= number <= high else math.nan

    def _matches(self, rule: str, cell: str) -> bool:
        if self.kind == "~":
            return re.search(rule, cell) is not None
        return cell in rule.split("|")


def parse_attribute(text: str) -> Attribute:
    """An attribute out of [NAME=]COLUMN, and :LOW..HIGH, :VALUES[/VALUES] or ~REGEX[/REGEX]."""
    match = _ATTRIBUTE.fullmatch(text.strip())
    if not match:
        raise TableError(
            f"{text[:80]!r} is no attribute, such as COLUMN, NAME=COLUMN:VALUE/OTHER or "
            "NAME=COLUMN~EXPRESSION"
        )
    name, column, kind, rule = match.groups(default="")
    name, column = _checked_name(name or column), column.strip()
    if kind and not rule:
        raise TableError(f"{text[:80]!r} ends in {kind}; say what has it")
    has, slash, has_not = rule.partition("/")
    if slash and not (has and has_not):
        raise TableError(f"{text[:80]!r} has nothing on one side of its /")
    if kind == "~":
        for expression in (has, has_not):
            try:
                re.compile(expression)
            except re.error as error:
                raise TableError(f"{expression[:80]!r} is no regular expression: {error}") from None
    return Attribute(name, column, kind, has, has_not)


def _checked_name(name: str) -> str:
    if not is_direction(name.strip()):
        raise TableError(
            f"{name[:80]!r} is no name for a direction: up to 64 letters, digits, _ . -; put one "
            "and = before it"
        )
    return name.strip()


@dataclass(frozen=True)
class ColorBetween:
    """Which of two colours a region's mean is nearer to; needs no table and no network."""

    name: str
    has: tuple[int, int, int]
    has_not: tuple[int, int, int]
    box: tuple[float, float, float, float]
    """Left, top, right, bottom as shares of the side."""

    def scores(self, images: Tensor) -> Tensor:
        """float32 [N] of uint8 [N, C, R, R]: above 0 where it is nearer to `has`."""
        side = images.shape[-1]
        left, top, right, bottom = (round(side * share) for share in self.box)
        right, bottom = max(right, left + 1), max(bottom, top + 1)
        color = _on_white(images[:, :, top:bottom, left:right].float()).mean(dim=(2, 3))  # [N, 3]
        has, has_not = torch.tensor(self.has).float(), torch.tensor(self.has_not).float()
        between = (has - has_not) / (has - has_not).square().sum()
        return COLOR_ODDS * (2 * (color - has_not) @ between - 1)


def parse_color_between(text: str) -> ColorBetween:
    """A measure out of NAME=COLOUR/COLOUR@LEFT,TOP,RIGHT,BOTTOM."""
    match = _COLOR.fullmatch(text.strip())
    try:
        name, has, has_not, numbers = match.groups() if match else ("", "", "", "")
        box = tuple(float(number) for number in numbers.split(","))
        left, top, right, bottom = box
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise ValueError
    except ValueError:
        raise TableError(
            f"{text[:80]!r} is not NAME=COLOUR/OTHER@LEFT,TOP,RIGHT,BOTTOM with shares of the side "
            "from 0 to 1, as in sky=blue/grey@0,0,1,0.2"
        ) from None
    colors = parse_color(has), parse_color(has_not)
    if colors[0] == colors[1]:
        raise TableError(f"{text[:80]!r} names the same colour twice")
    return ColorBetween(_checked_name(name), *colors, box)


def _on_white(x: Tensor) -> Tensor:
    """Grey, RGB or RGBA [N, C, H, W] of 0 to 255 as RGB [N, 3, H, W], what is clear white."""
    if x.shape[1] == 4:
        alpha = x[:, 3:] / 255
        return x[:, :3] * alpha + 255 * (1 - alpha)
    return x.expand(-1, 3, -1, -1)


# Tables


@dataclass(frozen=True)
class Table:
    """Rows of text by file name: the first column."""

    path: Path
    columns: tuple[str, ...]
    rows: dict[str, dict[str, str]]

    def of(self, pictures: Pictures) -> list[dict[str, str] | None]:
        """The row of each picture, by its source's path or else by its file's name alone."""
        by_key: dict[str, dict[str, str]] = {_key(name): row for name, row in self.rows.items()}
        names = [_key(name) for name in pictures.names]
        bare = [PurePosixPath(name).name for name in names]
        found = [by_key.get(name) for name in names]
        for i, name in enumerate(bare):
            if found[i] is None and name in by_key:
                if bare.count(name) > 1:
                    raise TableError(
                        f"{self.path}: {name} means several pictures; write their paths in it"
                    )
                found[i] = by_key[name]
        if not any(found):
            raise TableError(
                f"{self.path} names none of the pictures of {pictures.files.path}, such as "
                f"{pictures.names[0]}"
            )
        return found


def read_table(path: str | Path) -> Table:
    """A CSV file: the first column holds file names, the first line the columns' names."""
    path = Path(path)
    if not path.is_file():
        raise TableError(f"there is no table {path}")
    if path.stat().st_size > MAX_TABLE_BYTES:
        raise TableError(f"{path} is larger than {MAX_TABLE_BYTES >> 20} MB")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise TableError(f"{path} is not text in UTF-8") from None
    head = text.partition("\n")[0]
    lines = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=head.count))
    try:
        columns, *rows = ([cell.strip() for cell in line] for line in lines if any(line))
    except (ValueError, csv.Error) as error:
        raise TableError(f"{path} is no CSV table: {error}") from None
    if len(columns) < 2 or len(set(columns)) < len(columns):
        raise TableError(f"{path}: its first line is not the names of two or more columns")
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        if len(row) != len(columns):
            raise TableError(f"{path}: {row[0][:80]!r} has {len(row)} cells, not {len(columns)}")
        if row[0] in found:
            raise TableError(f"{path}: {row[0][:80]!r} stands there twice")
        found[row[0]] = dict(zip(columns, row, strict=True))
    return Table(path, tuple(columns), found)


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name)  # macOS writes the other form


@dataclass(frozen=True)
class Labels:
    """What is known of pictures: values [N, A], NaN where unknown, and which belong together."""

    attributes: tuple[Attribute, ...]
    places: np.ndarray  # int64 [N], indices of the pictures
    values: np.ndarray  # float64 [N, A], from 0 (has not, or least) to 1 (has, or most)
    groups: np.ndarray  # int64 [N]

    @property
    def has(self) -> np.ndarray:
        """float64 [N, A]: 1 in the upper half, 0 in the lower, NaN where unknown."""
        return np.where(np.isnan(self.values), np.nan, self.values > 0.5)


def read_labels(
    pictures: Pictures, table: Table, attributes: Sequence[Attribute], group: str | None = None
) -> Labels:
    """The labels of all pictures that have a row; `group` names the column of what is alike."""
    names = [attribute.name for attribute in attributes]
    if len(set(names)) < len(names):
        raise TableError(f"{max(names, key=names.count)} is the name of two attributes")
    for column in [attribute.column for attribute in attributes] + ([group] if group else []):
        if column not in table.columns:
            raise TableError(f"{table.path} has no column {column}: {', '.join(table.columns)}")
    rows = {place: row for place, row in enumerate(table.of(pictures)) if row is not None}
    values = [[a.value(row[a.column]) for a in attributes] for row in rows.values()]
    keys = [(row[group] if group else "") or place for place, row in rows.items()]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    labels = Labels(
        tuple(attributes),
        np.array(list(rows), np.int64),
        _from_0_to_1(np.array(values, np.float64)),
        np.array([numbers[key] for key in keys], np.int64),
    )
    _check_both_sides(labels, table)
    return labels


def _from_0_to_1(values: np.ndarray) -> np.ndarray:
    """Numbers of each column between their least and greatest; has and has not stay 1 and 0."""
    known = ~np.isnan(values)
    low = np.where(known, values, np.inf).min(axis=0, initial=np.inf)
    high = np.where(known, values, -np.inf).max(axis=0, initial=-np.inf)
    spread = np.where(high > low, high - low, 1)
    return np.where(known, (values - np.where(high > low, low, 0)) / spread, np.nan)


def _check_both_sides(labels: Labels, table: Table) -> None:
    for attribute, has in zip(labels.attributes, labels.has.T, strict=True):
        for side, word in ((has == 1, "have it"), (has == 0, "have it not")):
            count = len(set(labels.groups[side]))
            if count < 2:
                raise TableError(
                    f"{attribute.name}: {side.sum()} of the {len(has)} pictures with a row in "
                    f"{table.path} {word}, in {count} groups; at least 2 groups must"
                )

"""What Recipe, Walk and Mix share: reading the text of a link, checking values, writing them."""

from __future__ import annotations

import base64
import binascii
import math
import operator
import re
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote

import numpy as np

from stylegan.config import MAX_RESOLUTION, UserError
from stylegan.latents import MAX_SEED, SeedError, parse_seeds

MAX_ROW = 2 * MAX_RESOLUTION.bit_length() - 5  # last row of ws of the largest network
MAX_CUT = MAX_ROW + 1
MAX_CLASS = 99_999
MAX_PSI = 5.0
MAX_MODEL_CHARS = 200
MIN_LATENT = 8  # values; shorter texts could be read as seeds
MAX_LATENT = (MAX_ROW + 1) * 4096
MAX_QUERY_CHARS = 1 << 20
MAX_LINK_CHARS = 6144  # what travels safely in an address
HASH_DIGITS = 16  # of what travels beside a recipe

_LONGEST_RANGE = 2 * len(str(MAX_SEED)) + 1

_HASH = re.compile(rf"[0-9a-f]{{{HASH_DIGITS}}}")
_LATENT = re.compile(r"[A-Za-z0-9_-]+")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")

Readers = Mapping[str, Callable[[str], Any]]


class RecipeError(UserError):
    """A recipe that cannot be read or drawn; its text names the value and what is allowed."""


# Latents as text


def pack_latent(values: np.ndarray) -> str:
    """w or w+ of any shape as text: half precision, little endian, base64url without padding."""
    with np.errstate(over="ignore"):
        half = np.asarray(values, dtype=np.float32).ravel().astype("<f2")
    if not MIN_LATENT <= half.size <= MAX_LATENT:
        raise RecipeError(f"w holds {half.size} numbers, not {MIN_LATENT} to {MAX_LATENT}")
    if not np.isfinite(half).all():
        raise RecipeError("w holds numbers that half precision cannot carry")
    return base64.urlsafe_b64encode(half.tobytes()).decode().rstrip("=")


def unpack_latent(text: str) -> np.ndarray:
    """The float32 numbers [n] of a packed latent; n is w_dim or num_ws * w_dim."""
    bare = text.rstrip("=") if isinstance(text, str) else ""
    try:
        if not _LATENT.fullmatch(bare):
            raise ValueError
        values = np.frombuffer(base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4)), "<f2")
    except (binascii.Error, ValueError):
        raise RecipeError(f"w {shown(text)} is not a latent in base64url") from None
    return values.astype(np.float32)


# Reading text


def read_query(
    text: str, readers: Readers, repeatable: Container[str], strict: bool
) -> list[tuple[str, Any]]:
    """Names and values of a query string, with or without its question mark, or of a whole link.

    Unknown names are refused where strict (a command line) and ignored where not (a page).
    """
    if len(text) > MAX_QUERY_CHARS:
        raise RecipeError(f"the recipe is longer than {MAX_QUERY_CHARS} characters")
    found: list[tuple[str, Any]] = []
    seen = set()
    for key, value in raw_pairs(text):
        read = readers.get(key)
        if read is None:
            if strict:
                known = ", ".join(readers)
                raise RecipeError(f"unknown name {shown(key)} in the recipe (known: {known})")
            continue
        if key in seen and key not in repeatable:
            raise RecipeError(f"{key} is given twice")
        seen.add(key)
        found.append((key, read(value)))
    return found


def raw_pairs(text: str) -> list[tuple[str, str]]:
    """Names and texts of a query string or a whole link, as they stand there."""
    address, mark, query = text.strip().partition("#")[0].partition("?")
    if not mark:
        query = "" if "://" in address else address
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=200)
    except ValueError:
        raise RecipeError("the recipe has more than 200 parts") from None
    return [(key.strip(), value.strip()) for key, value in pairs]


def read_int(key: str, low: int, high: int) -> Callable[[str], int]:
    """A reader of whole numbers; the text says what is allowed when it cannot be read."""

    def read(text: str) -> int:
        if not is_digits(text):
            raise RecipeError(f"{key} {shown(text)} is not a whole number from {low} to {high}")
        return int(text)

    return read


def read_float(key: str, low: float, high: float) -> Callable[[str], float]:
    """A reader of numbers."""

    def read(text: str) -> float:
        if not _FLOAT.fullmatch(text):
            raise RecipeError(f"{key} {shown(text)} is not a number from {low:g} to {high:g}")
        return float(text)

    return read


def read_noise(text: str) -> int | str:
    """const, none or a number; `check_noise` refuses the rest."""
    return int(text) if is_digits(text) else text


def read_source(text: str) -> int | str:
    """A seed, or the text of a latent, told apart by their lengths."""
    return int(text) if is_digits(text, 10) else text


def read_seeds(text: str, most: int) -> tuple[int, ...]:
    """Seeds of "1-5,9,200"; what is wrong is a RecipeError."""
    try:
        return tuple(parse_seeds(text, most))
    except SeedError as error:
        raise RecipeError(str(error)) from None


def read_sources(text: str, most: int) -> tuple[int | str, ...]:
    """Seeds and latents with commas between, as in "1-5,9,<latent>"."""
    sources: tuple[int | str, ...] = ()
    for part in text.split(","):
        part = part.strip()
        # the text of a latent is longer than that of any range of seeds
        sources += (part,) if len(part) > _LONGEST_RANGE else read_seeds(part, most)
        if len(sources) > most:
            raise RecipeError(f"more than {most} seeds and latents are asked for")
    return sources


def read_rows(key: str, text: str) -> tuple[int, int]:
    """First and last row of "0-3", or of "3" alone."""
    match = re.fullmatch(r"([0-9]{1,3})(?:-([0-9]{1,3}))?", text)
    if not match:
        raise RecipeError(f"{key}: {shown(text)} are not rows first-last, as in 0-3")
    return int(match[1]), int(match[2] or match[1])


def is_digits(text: str, most: int = 20) -> bool:
    """Whether it is a plain number of at most so many digits."""
    return text.isascii() and text.isdigit() and len(text) <= most


# The readers of names that mean the same everywhere
COMMON: Readers = {
    "psi": read_float("psi", -MAX_PSI, MAX_PSI),
    "cut": read_int("cut", 0, MAX_CUT),
    "c": read_int("c", 0, MAX_CLASS),
    "noise": read_noise,
    "x": str,
}


# Checking values


def check_common(value: Any) -> dict[str, Any]:
    """The checked psi, cut, c, noise, m and x of a recipe, walk or table."""
    return {
        "psi": check_number("psi", value.psi, -MAX_PSI, MAX_PSI),
        "cut": None if value.cut is None else check_whole("cut", value.cut, 0, MAX_CUT),
        "c": check_whole("c", value.c, 0, MAX_CLASS),
        "noise": check_noise(value.noise),
        "m": None if value.m is None else check_model(value.m),
        "x": None if value.x is None else check_attachment("x", value.x),
    }


def check_whole(key: str, value: Any, low: int, high: int) -> int:
    """A whole number in a range, as an int."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or not low <= number <= high:
        raise RecipeError(f"{key} {shown(value)} is not a whole number from {low} to {high}")
    return number


def check_flag(key: str, value: Any) -> bool:
    """True or False, also as 1 or 0."""
    return bool(check_whole(key, value + 0 if isinstance(value, bool) else value, 0, 1))


def check_number(key: str, value: Any, low: float, high: float) -> float:
    """A number in a range, as a float."""
    try:
        number = math.nan if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not low <= number <= high:
        raise RecipeError(f"{key} {shown(value)} is not a number from {low:g} to {high:g}")
    return number + 0.0  # -0 becomes 0


def check_source(key: str, value: Any) -> int | str:
    """A seed, or a latent in its one text."""
    if isinstance(value, str):
        return pack_latent(unpack_latent(value))
    return check_whole(key, value, 0, MAX_SEED)


def check_sources(key: str, values: Iterable[Any], most: int) -> tuple[int | str, ...]:
    """One to `most` seeds or latents."""
    sources = tuple(check_source(key, value) for value in values)
    if not 1 <= len(sources) <= most:
        raise RecipeError(f"{key}: {len(sources)} seeds or latents, not 1 to {most}")
    return sources


def check_rows(key: str, first: Any, last: Any) -> dict[str, int]:
    """A range of rows of ws that exists in the largest network."""
    first, last = (check_whole(f"{key} row", row, 0, MAX_ROW) for row in (first, last))
    if last < first:
        raise RecipeError(f"{key} rows {first}-{last} run backwards")
    return {"first": first, "last": last}


def check_noise(value: Any) -> int | str:
    """const, none, or the number that maps are drawn from."""
    if isinstance(value, str) and value in ("const", "none"):
        return value
    try:
        return check_whole("noise", value, 0, MAX_SEED)
    except RecipeError as error:
        raise RecipeError(f"{error}, const or none") from None


def check_choice(key: str, value: Any, choices: tuple[str, ...]) -> str:
    """One of these words."""
    if not isinstance(value, str) or value not in choices:
        raise RecipeError(f"{key} {shown(value)} is not one of {', '.join(choices)}")
    return value


def check_some(key: str, values: Iterable[Any], kind: type, most: int) -> tuple:
    """At most so many values of this class."""
    values = tuple(values)
    if len(values) > most:
        raise RecipeError(f"{key} is given {len(values)} times, more than {most}")
    if not all(isinstance(value, kind) for value in values):
        raise RecipeError(f"{key} holds something other than {kind.__name__}")
    return values


def check_model(value: Any) -> str:
    """A model's name, perhaps with its revision."""
    plain = isinstance(value, str) and value.isprintable() and value == value.strip()
    if not plain or not 1 <= len(value) <= MAX_MODEL_CHARS:
        raise RecipeError(f"m {shown(value)} is not a model's name of 1 to 200 characters")
    return value


def check_attachment(key: str, value: Any) -> str:
    """The hash of what a picture's file carries."""
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise RecipeError(f"{key} {shown(value)} is not a hash of {HASH_DIGITS} hex digits")
    return value


def store(instance: Any, **values: Any) -> None:
    """Store checked values in a frozen dataclass."""
    for name, value in values.items():
        object.__setattr__(instance, name, value)


# Writing


def to_text(pairs: Iterable[tuple[str, Any]]) -> str:
    """The query string of names and values."""
    return "&".join(f"{key}={quote(plain(value), safe='@:/,')}" for key, value in pairs)


def plain(value: Any) -> str:
    """Shortest text that reads back as the same value."""
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() else repr(value)
    return str(value)


def shown(value: Any) -> str:
    """A value as an error names it: one short line."""
    text = str(value)[:200]
    text = "".join(ch if ch.isprintable() else "?" for ch in text)
    return f'"{text[:40]}..."' if len(text) > 40 else f'"{text}"'

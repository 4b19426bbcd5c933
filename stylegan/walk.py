"""A walk from picture to picture, as a value, and its text both ways."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stylegan.latents import eased
from stylegan.query import (
    COMMON,
    MAX_LINK_CHARS,
    MAX_QUERY_CHARS,
    RecipeError,
    check_choice,
    check_common,
    check_flag,
    check_sources,
    check_whole,
    is_digits,
    read_int,
    read_query,
    read_seeds,
    shown,
    store,
    to_text,
)
from stylegan.recipe import Recipe

CURVES = ("linear", "slerp", "smooth")
SPACES = ("w", "z")
EASES = ("none", "in", "out", "both")
MAX_KEYFRAMES = 128
MAX_FRAMES = 3600  # from one keyframe to the next
MAX_TOTAL = 100_000
MAX_FPS = 120
MAX_GRID = 16  # walks side by side


@dataclass(frozen=True)
class Walk:
    """A clip that passes through its keyframes, in order. Names are those of a link.

    With a grid the keyframes are shared out evenly, in order, among walks seen side by side. Where
    the last keyframe of each walk is its first again, the walk is closed as with `loop`.
    """

    keyframes: tuple[int | str, ...] = (0, 1, 2)
    """Seeds and latents (`pack_latent`); in a link `seed` and `w`, each repeatable."""
    frames: int = 60
    """Frames from each keyframe to the next."""
    fps: int = 30
    """Frames in a second."""
    loop: bool = False
    """Whether to go on from the last keyframe to the first."""
    space: str = "w"
    """What is interpolated: w (truncated first), or z, which latents do not have."""
    curve: str = "smooth"
    """linear, slerp (great circles; in w around its mean), or smooth (Catmull-Rom)."""
    ease: str = "none"
    """Pace between keyframes: even, slow "in" the beginning, "out" at the end, or "both"."""
    grid: tuple[int, int] = (1, 1)
    """Columns and rows of walks side by side."""
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
        store(
            self,
            keyframes=check_sources("keyframes", self.keyframes, MAX_KEYFRAMES),
            frames=check_whole("frames", self.frames, 1, MAX_FRAMES),
            fps=check_whole("fps", self.fps, 1, MAX_FPS),
            loop=check_flag("loop", self.loop),
            space=check_choice("space", self.space, SPACES),
            curve=check_choice("curve", self.curve, CURVES),
            ease=check_choice("ease", self.ease, EASES),
            grid=_checked_grid(self.grid),
            **check_common(self),
        )
        if len(self.keyframes) % self.places:
            raise RecipeError(
                f"grid {_grid_text(self.grid)}: {len(self.keyframes)} keyframes cannot be shared "
                f"out evenly among {self.places} walks"
            )
        if self.space == "z" and any(isinstance(key, str) for key in self.keyframes):
            raise RecipeError("space z takes seeds alone: a latent has no z")
        if self.total > MAX_TOTAL:
            raise RecipeError(f"the walk has {self.total} frames, more than {MAX_TOTAL}")
        if sum(len(key) for key in self.keyframes if isinstance(key, str)) > MAX_QUERY_CHARS // 2:
            raise RecipeError("the latents of the walk are too long together; take fewer")

    @classmethod
    def from_query(cls, text: str, strict: bool = False) -> Walk:
        """Read a query string, with or without its question mark, or a whole share link.

        Unknown names are refused where strict (a command line) and ignored where not (a page).
        """
        values: dict[str, Any] = {}
        keyframes: tuple[int | str, ...] = ()
        for key, value in read_query(text, _READERS, _KEYFRAMES, strict):
            if key in _KEYFRAMES:
                keyframes += value
            else:
                values[key] = value
        check_choice("t", values.pop("t", "walk"), ("walk",))
        return cls(**values, **({"keyframes": keyframes} if keyframes else {}))

    def to_query(self) -> str:
        """The one text of this walk, without a question mark; defaults are left out."""
        pairs: list[tuple[str, Any]] = [("t", "walk")]
        for field in _DEFAULTS:
            value = getattr(self, field)
            if value == _DEFAULTS[field]:
                continue
            if field == "keyframes":
                pairs += keyframe_pairs(value)
            elif field == "grid":
                pairs.append((field, _grid_text(value)))
            else:
                pairs.append((field, int(value) if field == "loop" else value))
        return to_text(pairs)

    @property
    def fits_link(self) -> bool:
        """Whether a link says it all: short enough for an address, and with nothing beside it."""
        return self.x is None and len(self.to_query()) <= MAX_LINK_CHARS

    # Time and place

    @property
    def places(self) -> int:
        """How many walks are seen side by side."""
        return self.grid[0] * self.grid[1]

    @property
    def closed(self) -> bool:
        """Whether it ends where it began; the first frame is then not drawn again at the end."""
        return self.loop or self._returns

    @property
    def tracks(self) -> list[tuple[int | str, ...]]:
        """The keyframes of each walk of the grid, row by row, without a last that is the first."""
        return [part[:-1] if self._returns else part for part in self._parts]

    @property
    def segments(self) -> int:
        """Ways from keyframe to keyframe."""
        return len(self.tracks[0]) - (not self.closed)

    @property
    def total(self) -> int:
        """All frames."""
        return self.segments * self.frames + (not self.closed)

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return self.total / self.fps

    def position(self, index: int) -> float:
        """Where frame `index` stands: keyframe i of its track at i, easing included."""
        check_whole("frame", index, 0, self.total - 1)
        segment, step = divmod(index, self.frames)
        return segment + eased(step / self.frames, self.ease)

    def spread(self, count: int) -> list[int]:
        """At most `count` frames, evenly over the whole walk, as a film strip shows them."""
        count = min(count, self.total)
        if self.closed:
            return [i * self.total // count for i in range(count)]
        return [round(i * (self.total - 1) / max(1, count - 1)) for i in range(count)]

    def still(self, keyframe: int | str) -> Recipe:
        """The picture of a seed or latent, drawn as this walk draws it."""
        source = {"w": keyframe} if isinstance(keyframe, str) else {"seed": keyframe}
        same = {name: getattr(self, name) for name in ("psi", "cut", "c", "noise", "m", "x")}
        return Recipe(**source, **same)

    @property
    def _parts(self) -> list[tuple[int | str, ...]]:
        length = len(self.keyframes) // self.places
        return [self.keyframes[i * length : (i + 1) * length] for i in range(self.places)]

    @property
    def _returns(self) -> bool:
        return all(len(part) > 1 and part[0] == part[-1] for part in self._parts)


def keyframe_pairs(keyframes: tuple[int | str, ...]) -> list[tuple[str, str]]:
    """Seeds that follow each other in one `seed`, each latent in its own `w`."""
    pairs: list[tuple[str, str]] = []
    for key in keyframes:
        if isinstance(key, str):
            pairs.append(("w", key))
        elif pairs and pairs[-1][0] == "seed":
            pairs[-1] = ("seed", f"{pairs[-1][1]},{key}")
        else:
            pairs.append(("seed", str(key)))
    return pairs


def _checked_grid(grid: Any) -> tuple[int, int]:
    try:
        columns, rows = grid
    except (TypeError, ValueError):
        raise RecipeError(f"grid {shown(grid)} is not columns and rows, as in 3x2") from None
    columns, rows = (check_whole("grid side", side, 1, MAX_GRID) for side in (columns, rows))
    if columns * rows > MAX_GRID:
        raise RecipeError(f"grid {columns}x{rows} has more than {MAX_GRID} places")
    return columns, rows


def _grid_text(grid: tuple[int, int]) -> str:
    return f"{grid[0]}x{grid[1]}"


def _read_grid(text: str) -> tuple[int, ...]:
    sides = text.split("x")
    if len(sides) != 2 or not all(is_digits(side, 3) for side in sides):
        raise RecipeError(f"grid {shown(text)} is not columns x rows, as in 3x2")
    return tuple(int(side) for side in sides)


_KEYFRAMES = ("seed", "w")
_READERS: dict[str, Callable[[str], Any]] = {
    "t": str,
    "m": str,
    "seed": lambda text: read_seeds(text, MAX_KEYFRAMES),
    "w": lambda text: (text,),
    **COMMON,
    "frames": read_int("frames", 1, MAX_FRAMES),
    "fps": read_int("fps", 1, MAX_FPS),
    "loop": read_int("loop", 0, 1),
    "space": str,
    "curve": str,
    "ease": str,
    "grid": _read_grid,
}
_ORDER = ("m", "keyframes", *COMMON, "frames", "fps", "loop", "space", "curve", "ease", "grid")
_FIELDS = {field.name: field.default for field in dataclasses.fields(Walk)}
_DEFAULTS = {name: _FIELDS[name] for name in _ORDER}  # in the order of the canonical text
NAMES = frozenset(_READERS)
"""Names of a link that are read."""

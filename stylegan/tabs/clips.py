"""Walks as files: a frame, a film strip, a clip within the limit of whoever runs the page."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from stylegan.config import UserError
from stylegan.model import Model
from stylegan.stamp import clip_comment, enlarge, film_strip, png_bytes, strip_length
from stylegan.tabs.session import Session, carried, in_turn, place, plain_name
from stylegan.video import clip_kind, write_clip
from stylegan.walk import Walk

KINDS = {"MP4": ".mp4", "WebM": ".webm", "GIF": ".gif"}
COUNTED_PIXELS = 1 << 18  # of 512 x 512; a larger frame counts for as many of these
STEP_SEC = 0.25  # between two words on how far a clip is
NAMED = 6  # keyframes in the name of a file


def most_frames(session: Session, model: Model, walk: Walk) -> int:
    """How many frames of this size a clip may have; large models and grids take longer."""
    pixels = walk.places * model.config.resolution**2
    return max(1, session.max_frames * COUNTED_PIXELS // max(pixels, COUNTED_PIXELS))


def check_length(session: Session, model: Model, walk: Walk) -> None:
    """Refuse in words a clip that is longer than this page makes."""
    most = most_frames(session, model, walk)
    if walk.total > most:
        large = f" of {_size(model, walk)}" if most < session.max_frames else ""
        raise UserError(
            f"the walk has {walk.total} frames, and clips{large} have at most {most} here: "
            "take fewer keyframes, or less time from one to the next"
        )


def find_clip(session: Session, model: Model, walk: Walk, kind: str) -> Path | None:
    """The clip of a walk, where it was made before; `kind` is a suffix such as .mp4."""
    return session.files.get(_place(model, walk, clip_kind(f"clip{kind}")))


def make_clip(session: Session, model: Model, walk: Walk, kind: str) -> Iterator[int]:
    """Make what `find_clip` finds; yields how many frames are done. Close it to stop: no file is
    left. Errors are UserErrors."""
    place = _place(model, walk, clip_kind(f"clip{kind}"))
    check_length(session, model, walk)
    frames = model.walk(walk, batch=in_turn(model))
    comment = clip_comment(model.stamped(walk).to_query())
    with (
        session.files.filling(place) as path,
        closing(write_clip(path, frames, walk.fps, comment)) as work,
    ):
        yield from work


def strip_file(session: Session, model: Model, walk: Walk) -> Path:
    """A PNG with some frames beside each other, from which the walk can be opened again."""
    place = _place(model, walk, ".png", "strip")
    if found := session.files.get(place):
        return found
    shown = walk.spread(strip_length(walk.grid[0] * model.config.resolution))
    strip = film_strip(list(model.walk(walk, shown, in_turn(model))))
    return session.files.put(place, _png(model, walk, strip))


def frame_file(session: Session, model: Model, walk: Walk, index: int, factor: int = 1) -> Path:
    """A PNG of all walks of a grid at one frame, from which the walk can be opened again."""
    place = _place(model, walk, ".png", f"frame{index}", *([f"{factor}x"] if factor > 1 else []))
    if found := session.files.get(place):
        return found
    (frame,) = model.walk(walk, [index], in_turn(model))
    return session.files.put(place, _png(model, walk, enlarge(frame, factor)))


def _png(model: Model, walk: Walk, picture: np.ndarray) -> bytes:
    return png_bytes(picture, model.stamped(walk).to_query(), attachment=carried(model, walk))


def short_name(keyframe: int | str) -> str:
    """A seed as it is; a latent by a few letters that stay the same."""
    if isinstance(keyframe, int):
        return str(keyframe)
    return f"latent-{hashlib.sha256(keyframe.encode()).hexdigest()[:6]}"


def _place(model: Model, walk: Walk, suffix: str, *what: str) -> str:
    keyframes = [short_name(keyframe) for keyframe in walk.keyframes[:NAMED]]
    more = len(walk.keyframes) - len(keyframes)
    name = plain_name(
        model.name, "walk", *keyframes, *([f"and{more}"] if more else []), f"psi{walk.psi:g}", *what
    )
    return place((model.stamped(walk).to_query(), suffix, what), name + suffix)


def _size(model: Model, walk: Walk) -> str:
    columns, rows = (side * model.config.resolution for side in walk.grid)
    return f"{columns} x {rows} pixels"


def now_and_then(work: Iterator[int]) -> Iterator[int]:
    """Some of the numbers, a moment apart."""
    told_at = time.monotonic()
    for done in work:
        if time.monotonic() - told_at > STEP_SEC:
            yield done
            told_at = time.monotonic()

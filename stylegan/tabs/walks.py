"""Walks as the Interpolation tab shows and reads them: examples, keyframes as text, values."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from stylegan.model import Model
from stylegan.query import RecipeError, check_number, check_whole, read_sources, shown
from stylegan.tabs.clips import short_name
from stylegan.tabs.parts import file_value
from stylegan.tabs.tab import fitting_cut
from stylegan.walk import MAX_FRAMES, MAX_KEYFRAMES, Walk

SURE_SEC = 1  # of drawing, before the time left is told
ALL = -1  # all walks of a grid, in place of the number of one


def examples(model: Model) -> dict[str, Walk]:
    """Walks to begin with, by what to call them; any model can draw them."""
    walks = {
        "Five seeds and back": Walk((200, 1000, 2500, 4000, 200)),
        "To and fro, gently": Walk((7, 8), loop=True, ease="both", psi=0.7),
        "Straight through z": Walk(range(1, 7), space="z", curve="linear", frames=45),
        "Four walks side by side": Walk(range(21, 33), loop=True, grid=(2, 2), frames=45),
    }
    if model.c_dim > 1:
        walks[f"Class {model.c_dim - 1}"] = Walk((1, 2, 3), loop=True, c=model.c_dim - 1)
    cut = model.config.usual_cut
    return {words: dataclasses.replace(walk, cut=cut) for words, walk in walks.items()}


def read_keyframes(text: Any, latents: Mapping[str, str]) -> tuple[int | str, ...]:
    """Seeds as in 200,1000 or 1-5, latents, and short names of those in `latents`.

    A comma or dash at the end stands for what is still to be typed.
    """
    if not isinstance(text, str):
        raise RecipeError("keyframes are seeds, such as 200,1000,2500 or 1-5")
    found: tuple[int | str, ...] = ()
    for word in re.split(r"[\s,;]+", text.strip(" \n,;-")):
        if word in latents:
            found += (latents[word],)
        elif word.startswith("latent-"):
            raise RecipeError(f"{shown(word)} is not known here: send its picture here again")
        else:
            found += read_sources(word, MAX_KEYFRAMES)
        if len(found) > MAX_KEYFRAMES:
            raise RecipeError(f"a walk has at most {MAX_KEYFRAMES} keyframes")
    return found


# Values of the page's parts


def timeline_value(walk: Walk, at: int) -> dict[str, Any]:
    """A walk and the frame that is shown."""
    marks = [i * walk.frames for i in range(walk.segments + 1)]
    return {"total": walk.total, "fps": walk.fps, "at": at, "marks": marks, "closed": walk.closed}


def making_value(done: int, total: int, seconds: float) -> dict[str, Any]:
    """How far a clip is, after so many seconds."""
    words = f"{done} of {total} frames"
    if seconds > SURE_SEC and done:
        words += f", about {_lasting(seconds / done * (total - done))} left"
    return {"state": "making", "done": done, "total": total, "words": words}


def _lasting(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 100 else f"{round(seconds / 60)} min"


def made_value(file: Path, walk: Walk, count: int) -> dict[str, Any]:
    """A clip that is made; `count` tells it from the one before."""
    size = file.stat().st_size
    said = f"{walk.total} frames, {walk.seconds:.4g} s, {_bytes(size)}"
    return {
        "state": "done",
        "file": file_value(file),
        "name": file.name,
        "video": file.suffix != ".gif",
        "alt": f"Clip of a walk through {len(walk.keyframes)} keyframes: {said}",
        "words": said,
        "count": count,
    }


def places_value(walk: Walk, place: int) -> Any:
    """The choice of one walk of a grid."""
    choices = [("side by side", ALL), *((f"walk {i + 1}", i) for i in range(walk.places))]
    grid = walk.places > 1
    return gr.Dropdown(choices=choices, value=place if grid else ALL, visible=grid)


def space_value(walk: Walk, *value: str) -> Any:
    """The choice of w or z, which latents do not leave."""
    latents = any(isinstance(keyframe, str) for keyframe in walk.keyframes)
    further = {"value": value[0]} if value else {}
    return gr.Radio(interactive=not latents, info=space_info(latents), **further)


def space_info(latents: bool) -> str:
    """What is said beside that choice."""
    if latents:
        return "latents are points of w, and have no z: the walk stays in w"
    return "what is mixed on the way: w is the gentler one, z the number that a seed stands for"


def frames_between(per: Any, unit: Any, fps: int) -> int:
    """Frames from each keyframe to the next."""
    if unit != "seconds":
        return check_whole("frames", per, 1, MAX_FRAMES)
    seconds = check_number("seconds", per, 0, MAX_FRAMES / fps)
    return max(1, round(seconds * fps))


def serial_of(keyframes: Any) -> int:
    """The number of an order of thumbnails that a visitor made."""
    serial = keyframes.get("serial") if isinstance(keyframes, dict) else None
    return serial if isinstance(serial, int) else 0


def text_of_order(keyframes: dict[str, Any]) -> str:
    """The text of thumbnails in the order that a visitor made."""
    cells = keyframes.get("cells")
    cells = cells if isinstance(cells, list) else []
    return ",".join(str(cell.get("label")) for cell in cells if isinstance(cell, dict))


def text_of(keyframes: Sequence[int | str]) -> str:
    """As `read_keyframes` reads them."""
    return ",".join(map(short_name, keyframes))


def named(keyframe: int | str) -> str:
    """One keyframe in words."""
    return f"seed {keyframe}" if isinstance(keyframe, int) else short_name(keyframe)


def said_of_frame(walk: Walk, at: int, place: int) -> str:
    """Where a frame is, in few words."""
    if place == ALL:
        return f"{walk.places} walks"
    track, position = walk.tracks[place], walk.position(at)
    i = int(position)
    start, end = track[i % len(track)], track[(i + 1) % len(track)]
    if position == i:
        return named(start)
    return f"{named(start)} → {named(end)} · {position - i:.0%}"


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{max(1, round(size / 1e3))} kB"


def adapted(walk: Walk, model: Model) -> Walk:
    """What another model can take of a walk: latents, rows and classes are its own."""
    seeds = tuple(key for key in walk.keyframes if isinstance(key, int)) or Walk().keyframes
    return dataclasses.replace(
        walk,
        keyframes=seeds,
        grid=walk.grid if len(seeds) % walk.places == 0 else (1, 1),
        c=walk.c if walk.c < max(model.c_dim, 1) else 0,
        cut=fitting_cut(walk.cut, model),
        x=None,
    )

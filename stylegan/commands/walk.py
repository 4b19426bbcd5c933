"""python -m stylegan walk: a clip from picture to picture."""

from __future__ import annotations

import argparse
import dataclasses
from contextlib import closing
from pathlib import Path

from tqdm import tqdm

from stylegan.commands.parts import (
    DONE,
    SHARED,
    add_common,
    add_values,
    flags_of,
    is_png,
    load_model,
    note_model,
    query_of,
    with_flags,
    without,
)
from stylegan.config import UserError
from stylegan.query import check_number, read_float, read_sources
from stylegan.stamp import STRIP_FRAMES, clip_comment, film_strip, strip_length, write_png
from stylegan.video import clip_kind, write_clip
from stylegan.walk import MAX_KEYFRAMES, Walk, keyframe_pairs

MAX_SECONDS = 3600
VALUES = {
    "frames": "frames from each keyframe to the next (60)",
    "fps": "frames in a second (30)",
    "space": "w or z: what is interpolated (w)",
    "curve": "linear, slerp or smooth (smooth)",
    "ease": "none, in, out or both: slow at the beginning, at the end of each way (none)",
    "grid": "such as 3x2: walks side by side, the keyframes shared out among them (1x1)",
}


def add(commands: argparse._SubParsersAction) -> None:
    """Its place on the command line."""
    command = commands.add_parser(
        "walk", help="a clip from picture to picture", description=walk.__doc__
    )
    command.set_defaults(run=walk)
    command.add_argument(
        "walk",
        nargs="?",
        default="",
        help='a walk such as "t=walk&seed=1-5", a whole share link, or a clip that carries one',
    )
    command.add_argument("-o", "--out", required=True, metavar="PATH", help="a .mp4, .webm or .gif")
    command.add_argument("--seeds", metavar="LIST", help="keyframes, such as 200,1000,2500 or 1-5")
    command.add_argument("--loop", action="store_true", help="go on from the last to the first")
    command.add_argument(
        "--seconds", metavar="T", help="in place of --frames: from each keyframe to the next"
    )
    add_values(command, VALUES | SHARED)
    command.add_argument(
        "--enlarge", type=int, metavar="K", help="each pixel K x K (small frames to about 512)"
    )
    command.add_argument(
        "--strip", metavar="PATH", help=f"a .png with {STRIP_FRAMES} frames beside each other"
    )
    add_common(command)


def walk(options: argparse.Namespace) -> int:
    """Draw a clip that passes through its keyframes; its recipe is inside."""
    value = read_walk(options)
    out = Path(options.out)
    clip_kind(out)
    if out.is_dir():
        raise UserError(f"{out} is a folder; give -o another name")
    if options.strip is not None and not is_png(Path(options.strip)):
        raise UserError(f"--strip takes a .png, not {options.strip}")
    model = load_model(options)
    frames = model.walk(value)
    note_model(value.m, model)
    query = model.stamped(value).to_query()
    work = write_clip(out, frames, value.fps, clip_comment(query), options.enlarge)
    with closing(work), tqdm(total=value.total, unit="frame") as bar:
        for _ in work:
            bar.update()
    if options.strip is not None:
        count = strip_length(value.grid[0] * model.config.resolution)
        shown = list(model.walk(value, value.spread(count)))
        write_png(options.strip, film_strip(shown, options.enlarge), query)
    print(f"{out}: {query}")
    return DONE


def read_walk(options: argparse.Namespace) -> Walk:
    """The walk that was typed, flags before what a link or file says."""
    query = query_of(options.walk, "t=walk&seed=1-5")
    given = flags_of(options, VALUES | SHARED)
    if options.loop:
        given.append(("loop", "1"))
    if options.seeds is not None:
        query = without(query, ("seed", "w"))
        given += keyframe_pairs(read_sources(options.seeds, MAX_KEYFRAMES))
    value = Walk.from_query(with_flags(query, given), strict=True)
    if options.seconds is None:
        return value
    if options.frames is not None:
        raise UserError("--seconds stands in place of --frames; give one of them")
    seconds = read_float("--seconds", 0, MAX_SECONDS)(options.seconds)
    check_number("--seconds", seconds, 0, MAX_SECONDS)
    return dataclasses.replace(value, frames=max(1, round(seconds * value.fps)))

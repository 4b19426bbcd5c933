"""python -m stylegan edit: pictures moved along a model's directions."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

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
)
from stylegan.config import UserError
from stylegan.directions import STRENGTHS, strip
from stylegan.model import Model
from stylegan.query import read_float, read_rows
from stylegan.recipe import MAX_STRENGTH, Edit, Recipe
from stylegan.sheet import CELL_PX, draw_strips
from stylegan.stamp import enlarge, grid, write_png


def add(commands: argparse._SubParsersAction) -> None:
    """Its place on the command line."""
    command = commands.add_parser(
        "edit", help="move a picture along directions", description=edit.__doc__
    )
    command.set_defaults(run=edit)
    command.add_argument(
        "recipe",
        nargs="?",
        default="",
        help='a recipe such as "seed=7&psi=0.7", a whole share link, or a PNG that carries one',
    )
    command.add_argument("-o", "--out", metavar="PATH", help="a .png")
    command.add_argument(
        "--direction",
        metavar="NAME",
        action=_Start,
        dest="edits",
        default=[],
        help="of the model; repeatable, each with a strength of its own after it",
    )
    command.add_argument(
        "--strength",
        metavar="S",
        action=_Continue,
        dest="edits",
        help="of the direction before it, in standard deviations, such as 2 or -1.5",
    )
    command.add_argument(
        "--rows",
        metavar="ROWS",
        action=_Continue,
        dest="edits",
        help="of ws that the direction before it moves, such as 0-3 (those it is meant for)",
    )
    add_values(command, SHARED)
    command.add_argument(
        "--strip",
        action="store_true",
        help=f"draw each direction from {STRENGTHS[0]} to +{STRENGTHS[-1]}, labelled",
    )
    command.add_argument("--list", action="store_true", help="tell the model's directions")
    command.add_argument(
        "--enlarge", type=int, metavar="K", help="each pixel K x K (1; small strips to about 128)"
    )
    add_common(command)


class _Start(argparse.Action):
    """Begins an edit, which the flags after it complete."""

    def __call__(self, parser: Any, options: Any, text: Any, flag: Any = None) -> None:
        options.edits = [*options.edits, {"direction": text}]


class _Continue(argparse.Action):
    """Completes the edit that was begun last."""

    def __call__(self, parser: Any, options: Any, text: Any, flag: Any = None) -> None:
        name = str(flag).lstrip("-")
        if not options.edits or name in options.edits[-1]:
            raise UserError(f"{flag} {text}: put --direction NAME before each {flag}")
        options.edits = [*options.edits[:-1], options.edits[-1] | {name: text}]


def edit(options: argparse.Namespace) -> int:
    """Draw a picture moved along directions, or strips of it; the recipe is inside."""
    if options.list:
        return _list(load_model(options))
    if options.out is None:
        raise UserError("name a .png with -o, or --list the directions")
    query = with_flags(query_of(options.recipe, "seed=7"), flags_of(options, SHARED))
    recipe = dataclasses.replace(Recipe.from_query(query, strict=True), t="edit")
    out = Path(options.out)
    if not is_png(out):
        raise UserError(f"an edit is one file; name a .png with -o, not {out}")
    names = [typed["direction"] for typed in options.edits] or [e.direction for e in recipe.e]
    if not names:
        raise UserError("name a --direction, or --list those that the model has")
    missing = [typed["direction"] for typed in options.edits if "strength" not in typed]
    if missing and not options.strip:
        raise UserError(f"give --direction {missing[0]} a --strength, such as 2")
    model = load_model(options)
    recipe = _edited(recipe, options.edits, model)
    note_model(recipe.m, model)
    if options.strip:
        picture = _strips(model, recipe, dict.fromkeys(names), options)
    else:
        picture = enlarge(grid(model.render_many(recipe)), options.enlarge or 1)
    text = model.stamped(recipe).to_query()
    write_png(out, picture, text)
    print(f"{out}: {text}")
    return DONE


def _edited(recipe: Recipe, typed: Sequence[dict[str, str]], model: Model) -> Recipe:
    """The recipe with the edits that were typed in place of its own of the same directions."""
    strength = read_float("--strength", -MAX_STRENGTH, MAX_STRENGTH)
    edits = [
        Edit(each["direction"], strength(each.get("strength", "0")), _rows(each, model))
        for each in typed
    ]
    named = {each.direction for each in edits}
    kept = [each for each in recipe.e if each.direction not in named]
    checked = dataclasses.replace(recipe, e=(*kept, *edits))
    model.check(checked)
    return dataclasses.replace(recipe, e=tuple(each for each in checked.e if each.strength))


def _rows(typed: dict[str, str], model: Model) -> tuple[int, int] | None:
    """Those that were typed, else those that the direction is meant for."""
    if "rows" in typed:
        return read_rows("--rows", typed["rows"])
    note = model.direction_notes.get(typed["direction"])
    return note.rows if note else None


def _strips(
    model: Model, recipe: Recipe, names: Sequence[str], options: argparse.Namespace
) -> np.ndarray:
    """A strip for each direction, and each of n pictures, from the least strength to the most."""
    rows = {each["direction"]: _rows(each, model) for each in options.edits}
    rows = {each.direction: each.rows for each in recipe.e} | rows
    strips = []
    for name in names:
        label = model.direction_notes[name].label or name
        for single in recipe.singles():
            more = f", seed {single.seed}" if recipe.n > 1 else ""
            pictures = list(model.draw(strip(single, name, rows[name])))
            strips.append((f"{label}{more}", [pictures]))
    heads = [f"{strength:+d}" if strength else "0" for strength in STRENGTHS]
    factor = options.enlarge
    if factor is None:
        factor = max(1, CELL_PX // model.config.resolution)
    return draw_strips(strips, heads, factor)


def _list(model: Model) -> int:
    """Name, label, rows, accuracy and method of each direction."""
    lines = [("name", "label", "rows", "right", "how it was found")]
    for name, note in model.direction_notes.items():
        rows = "all" if note.rows is None else f"{note.rows[0]}-{note.rows[1]}"
        right = "" if note.accuracy is None else f"{note.accuracy:.2f}"
        lines.append((name, note.label, rows, right, note.method))
    if len(lines) == 1:
        print(f"{model.name} has no directions; python -m train directions finds some")
        return DONE
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)]
        print("  ".join(cells).rstrip())
    return DONE

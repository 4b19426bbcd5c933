"""python -m stylegan render: pictures of recipes."""

from __future__ import annotations

import argparse
import csv
import dataclasses
from pathlib import Path

from tqdm import tqdm

from stylegan.atomic import replacing_file
from stylegan.commands.parts import (
    DONE,
    STOPPED,
    add_common,
    attached,
    attachment_of,
    is_png,
    load_model,
    note_model,
    query_of,
    say,
)
from stylegan.config import UserError
from stylegan.latents import parse_seeds
from stylegan.model import Model
from stylegan.query import raw_pairs
from stylegan.recipe import Recipe
from stylegan.shelf import Shelf
from stylegan.stamp import StampError, enlarge, grid, png_size, read_png, write_png

RECIPES_FILE = "recipes.csv"


def add(commands: argparse._SubParsersAction) -> None:
    """Its place on the command line."""
    command = commands.add_parser(
        "render", help="draw the picture of a recipe, or of many seeds", description=render.__doc__
    )
    command.set_defaults(run=render)
    command.add_argument(
        "recipe",
        nargs="?",
        default="",
        help='a recipe such as "seed=7&psi=0.7", a whole share link, of a shelf too, '
        "or a file that carries one",
    )
    command.add_argument(
        "-o",
        "--out",
        required=True,
        metavar="PATH",
        help="a .png (a grid where the recipe has n > 1), or a folder for one file a picture",
    )
    command.add_argument(
        "--seeds",
        metavar="LIST",
        help="such as 0-9999 or 1-5,9: one picture each, and recipes.csv; a stopped run goes on",
    )
    command.add_argument(
        "--enlarge", type=int, default=1, metavar="K", help="make each pixel a crisp K x K square"
    )
    add_common(command)


def render(options: argparse.Namespace) -> int:
    """Draw one recipe, or one for each of many seeds."""
    query = query_of(options.recipe, "seed=7")
    if dict(raw_pairs(query)).get("t") == "shelf":
        return _render_shelf(Shelf.from_query(query, strict=True), options)
    recipe = Recipe.from_query(query, strict=True)
    recipes = recipe.singles()
    if options.seeds is not None:
        if recipe.w is not None or recipe.seed or recipe.n > 1:
            raise UserError(
                "--seeds stands in place of seed, w and n; leave them out of the recipe"
            )
        seeds = dict.fromkeys(parse_seeds(options.seeds))
        recipes = [dataclasses.replace(recipe, seed=seed) for seed in seeds]
    out = Path(options.out)
    one_file = is_png(out)
    if one_file and options.seeds is not None:
        raise UserError(f"--seeds writes many files; name a folder with -o, not {out}")
    if not one_file and recipe.w is not None:
        raise UserError(f"a recipe with w is one file; name a .png with -o, not {out}")
    model = attached(load_model(options), options.recipe)
    model.check(recipe)
    note_model(recipe.m, model)
    if not one_file:
        files = {f"seed{each.seed:05d}.png": each for each in recipes}
        return _fill(out, model, files, options.enlarge)
    query = model.stamped(recipe).to_query()
    sheet = enlarge(grid(model.render_many(recipe)), options.enlarge)
    write_png(out, sheet, query, attachment_of(options.recipe))
    print(f"{out}: {query}")
    return DONE


def _render_shelf(shelf: Shelf, options: argparse.Namespace) -> int:
    """Draw each picture of a shelf, in order."""
    out = Path(options.out)
    if options.seeds is not None:
        raise UserError("a shelf names its own pictures; leave --seeds out")
    if is_png(out):
        raise UserError(f"a shelf is many files; name a folder with -o, not {out}")
    model = load_model(options)
    for picture in shelf.pictures:
        model.check(picture)
    for wanted in dict.fromkeys(picture.m for picture in shelf.pictures):
        note_model(wanted, model)
    files = {f"{i:03d}.png": picture for i, picture in enumerate(shelf.pictures, 1)}
    return _fill(out, model, files, options.enlarge)


def _fill(folder: Path, model: Model, named: dict[str, Recipe], factor: int) -> int:
    """One PNG per recipe; what an earlier run has drawn is left as it is."""
    files = {folder / name: each for name, each in named.items()}
    queries = {path: model.stamped(each).to_query() for path, each in files.items()}
    side = model.config.resolution * factor
    todo = [path for path, query in queries.items() if not _is_drawn(path, query, side)]
    bar = tqdm(total=len(files), initial=len(files) - len(todo), unit="picture")
    try:
        with bar:
            pictures = model.draw([files[path] for path in todo])
            for path, picture in zip(todo, pictures, strict=True):
                write_png(path, enlarge(picture, factor), queries[path])
                bar.update()
    except KeyboardInterrupt:
        return say(f"stopped at {bar.n} of {bar.total}; the same line goes on", STOPPED)
    finally:
        if folder.is_dir():
            _write_recipes(folder)
    print(f"{folder}: {len(files)} pictures and {RECIPES_FILE}")
    return DONE


def _is_drawn(path: Path, query: str, side: int) -> bool:
    try:
        return path.is_file() and read_png(path) == query and png_size(path) == (side, side)
    except StampError:
        return False


def _write_recipes(folder: Path) -> None:
    """The recipes of all PNG files in the folder, as the files themselves tell."""
    with (
        replacing_file(folder / RECIPES_FILE) as beside,
        beside.open("w", newline="", encoding="utf-8") as file,
    ):
        table = csv.writer(file)
        table.writerow(["file", "recipe"])
        for path in sorted(folder.glob("*.png"), key=lambda path: (len(path.name), path.name)):
            try:
                query = read_png(path)
            except StampError:
                continue
            if query is not None:
                table.writerow([path.name, query])

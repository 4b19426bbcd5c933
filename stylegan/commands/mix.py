"""python -m stylegan mix: a table of mixed styles."""

from __future__ import annotations

import argparse
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
)
from stylegan.config import UserError
from stylegan.mix import Mix, bands
from stylegan.sheet import cell_factor, draw_sheet
from stylegan.stamp import write_png

SOURCES = {
    "rows": "seeds at the left, such as 1,2,3 or 1-5",
    "cols": "seeds along the top, whose layers the cells take",
}
KEYS = {"rows": "row", "cols": "col"}


def add(commands: argparse._SubParsersAction) -> None:
    """Its place on the command line."""
    command = commands.add_parser("mix", help="a table of mixed styles", description=mix.__doc__)
    command.set_defaults(run=mix)
    command.add_argument(
        "mix",
        nargs="?",
        default="",
        help='a table such as "t=mix&row=1-3&col=4-6", a whole share link, or a PNG with one',
    )
    command.add_argument("-o", "--out", required=True, metavar="PATH", help="a .png")
    add_values(command, SOURCES)
    command.add_argument(
        "--layers", metavar="ROWS", help="coarse, middle, fine, or rows such as 0-3,6 (0-3)"
    )
    add_values(command, SHARED)
    command.add_argument(
        "--enlarge", type=int, metavar="K", help="each pixel K x K (small cells to about 128)"
    )
    add_common(command)


def mix(options: argparse.Namespace) -> int:
    """Draw each row's picture with layers of each column's, as a table with labels."""
    named = options.layers in ("coarse", "middle", "fine")
    given = [(KEYS.get(name, name), text) for name, text in flags_of(options, SOURCES | SHARED)]
    given += [("layers", options.layers)] if options.layers and not named else []
    query = with_flags(query_of(options.mix, "t=mix&row=1-3&col=4-6"), given)
    Mix.from_query(query, strict=True)
    out = Path(options.out)
    if not is_png(out):
        raise UserError(f"a table is one file; name a .png with -o, not {out}")
    model = load_model(options)
    if named:
        first, last = bands(model.num_ws)[options.layers]
        query = with_flags(query, [("layers", f"{first}-{last}")])
    value = Mix.from_query(query, strict=True)
    factor = cell_factor(model.config, value, options.enlarge)
    pictures = model.table(value)
    note_model(value.m, model)
    bar = tqdm(pictures, total=len(value.recipes()), unit="picture")
    text = model.stamped(value).to_query()
    write_png(out, draw_sheet(value, bar, model.config, factor), text)
    print(f"{out}: {text}")
    return DONE

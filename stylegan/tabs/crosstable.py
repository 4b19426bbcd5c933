"""The cross table of the Mixing tab: its parts on the page, its limits, its file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from stylegan.config import NetworkConfig, UserError
from stylegan.mix import Mix, bands, layer_side, layers_text, sides_text, source_name
from stylegan.model import Model
from stylegan.sheet import Place, cell_factor, draw_sheet
from stylegan.stamp import png_bytes
from stylegan.tabs.parts import CRISP_BELOW_PX, file_value, part
from stylegan.tabs.session import Session, carried, place, plain_name

MAX_TABLE_PIXELS = 1 << 25  # of all its pictures: 32 of 1024x1024, and any table of 128x128


# Files and limits


def table_file(session: Session, model: Model, mix: Mix) -> Path:
    """The PNG file of a table with labels, its recipe inside, as the command line draws it."""
    check_table(mix, model)
    mix = model.stamped(mix)
    factor = cell_factor(model.config, mix)
    query = mix.to_query()
    size = f"{len(mix.rows)}x{len(mix.cols)}"
    name = plain_name(model.name, "mix", size, f"layers{layers_text(mix.layers)}") + ".png"
    kept = place((query, factor, "table"), name)
    if found := session.files.get(kept):
        return found
    recipes = mix.recipes()
    drawn = (path for batch in session.draw(model, list(recipes.values())) for path in batch)
    pictures = zip(recipes, map(_opened, drawn), strict=True)
    sheet = draw_sheet(mix, pictures, model.config, factor)
    return session.files.put(kept, png_bytes(sheet, query, attachment=carried(model, mix)))


def check_table(mix: Mix, model: Model) -> None:
    """Refuse in words a table that this model or this page cannot draw; nothing is drawn."""
    most = MAX_TABLE_PIXELS // model.config.resolution**2
    if table_pixels(mix, model) > MAX_TABLE_PIXELS:
        raise UserError(
            f"a table of {len(mix.rows)} x {len(mix.cols)} pictures of {model.config.resolution} "
            f"pixels is too large for this page, which draws {most} of them at most, "
            "those along the edges counted in"
        )
    for one in (*mix.rows, *mix.cols):
        model.check(mix.source(one))
    model.check(mix.cell(0, 0))


def fitting(mix: Mix, model: Model) -> tuple[Mix, list[str]]:
    """As much of a table as this page draws, and what to say of the rest."""
    asked = mix
    while table_pixels(mix, model) > MAX_TABLE_PIXELS:
        longer = "rows" if len(mix.rows) > len(mix.cols) else "cols"
        mix = dataclasses.replace(mix, **{longer: getattr(mix, longer)[:-1]})
    if mix is asked:
        return mix, []
    rows, cols = len(mix.rows), len(mix.cols)
    return mix, [
        f"A table of {len(asked.rows)} x {len(asked.cols)} pictures of {model.config.resolution} "
        f"pixels is too large for this page: here are its first {rows} rows and {cols} columns."
    ]


def table_pixels(mix: Mix, model: Model) -> int:
    """How much there is to draw."""
    rows, cols = len(mix.rows), len(mix.cols)
    return (rows * cols + rows + cols) * model.config.resolution**2


def _opened(path: Path) -> np.ndarray:
    """uint8 [H, W, C] of one of our own files."""
    with Image.open(path) as image:
        pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


# Tables that suit a model


def usual_table(model: Model) -> Mix:
    """As large as is quick to draw, with the coarse layers of its columns."""
    count = _count(model)
    return _table(model, range(count), range(count, 2 * count), "coarse")


def _crossed(model: Model) -> Mix:
    seeds = range(_count(model) + 1)
    return _table(model, seeds, seeds, "middle")


def _coloured(model: Model) -> Mix:
    return _table(model, [7], range(20, 20 + 2 * _count(model)), "fine")


def _posed(model: Model) -> Mix:
    return _table(model, range(30, 30 + 2 * _count(model)), [3], "coarse")


EXAMPLES: dict[str, Callable[[Model], Mix]] = {
    "Everyone with everyone": _crossed,
    "One picture, many colours": _coloured,
    "One composition for all": _posed,
}


def _table(model: Model, rows: Iterable[int], cols: Iterable[int], band: str) -> Mix:
    layers = _band_rows(model.config, band)
    return Mix(tuple(rows), tuple(cols), layers, cut=model.config.usual_cut)


def _count(model: Model) -> int:
    """How many rows, and columns, are quick to draw."""
    side = model.config.resolution
    return 4 if side <= 128 else 3 if side <= 512 else 2


def _band_rows(config: NetworkConfig, name: str) -> tuple[int, ...]:
    first, last = bands(config.num_ws)[name]
    return tuple(range(first, last + 1))


def matching_layers(
    layers: Sequence[int], before: NetworkConfig, config: NetworkConfig
) -> tuple[int, ...]:
    """Rows of another network that do what these do: its band of that name, or those of the same
    sides."""
    for name in bands(before.num_ws):
        if tuple(layers) == _band_rows(before, name):
            return _band_rows(config, name)
    sides = {layer_side(before, layer) for layer in layers}
    rows = tuple(row for row in range(config.num_ws) if layer_side(config, row) in sides)
    return rows or _band_rows(config, "fine")


# Parts of the page (mixing.js)


def layers_part() -> gr.HTML:
    """Which rows of ws come from the columns; its `input` event follows each change."""
    template = (
        '<fieldset class="sg-layers"><legend>Layers taken from the columns</legend>'
        '<div class="sg-bands" role="group" aria-label="Bands of layers"></div>'
        '<p class="sg-layers-said" role="status"></p>'
        '<div class="sg-span"><input type="range" aria-label="First row">'
        '<input type="range" aria-label="Last row"></div>'
        '<div class="sg-ticks" role="group" aria-label="Single rows"></div></fieldset>'
    )
    return part(template, "layers(element, props, trigger, watch)", {})


def layers_value(layers: Iterable[int], config: NetworkConfig) -> dict[str, Any]:
    """What `layers_part` shows, and sends back with other `layers`."""
    return {
        "layers": list(layers),
        "sides": [layer_side(config, row) for row in range(config.num_ws)],
        "bands": [
            {"name": name, "rows": rows, "sides": sides_text(config, _band_rows(config, name))}
            for name, rows in bands(config.num_ws).items()
        ],
    }


def table_part() -> gr.HTML:
    """The cross table; its `select` event moves a row or column, or takes it away."""
    template = (
        '<div class="sg-cross" tabindex="-1"><table role="grid" aria-label="Table of mixed styles">'
        "</table></div>"
        '<div class="sg-edge-tools" role="toolbar" aria-label="The chosen row or column">'
        '<span></span><button type="button"></button><button type="button"></button>'
        '<button type="button">Remove</button></div>'
        '<p class="sg-status" role="status"></p>'
    )
    return part(template, "crossTable(element, props, trigger, watch)", {})


def table_value(
    mix: Mix, model: Model, files: dict[Place, Path], status: str = ""
) -> dict[str, Any]:
    """What `table_part` shows: a place for each picture, empty while it has no file yet."""

    def cell(row: int | None, col: int | None) -> dict[str, Any]:
        path = files.get((row, col))
        return {"file": file_value(path)} if path else {}

    rows, cols = range(len(mix.rows)), range(len(mix.cols))
    return {
        "rows": [{**cell(i, None), "label": source_name(mix.rows[i])} for i in rows],
        "cols": [{**cell(None, j), "label": source_name(mix.cols[j])} for j in cols],
        "cells": [[cell(i, j) for j in cols] for i in rows],
        "layers": rows_text(mix.layers),
        "sides": sides_text(model.config, mix.layers),
        "status": status,
        "crisp": model.config.resolution < CRISP_BELOW_PX,
    }


def rows_text(layers: Sequence[int]) -> str:
    """Rows of ws in words, as in "rows 0-3"."""
    return f"row{'s' if len(layers) > 1 else ''} {layers_text(layers)}"


def choice_part() -> gr.HTML:
    """Which picture of the table is large, {at: [row, column]}; shows nothing itself."""
    return part("<span hidden></span>", "choice(props, trigger, watch)", {})


def choice_value(at: Place) -> dict[str, Any]:
    return {"at": list(at)}

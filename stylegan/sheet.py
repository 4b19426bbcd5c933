"""Labelled pictures of many: a table of mixed styles, and strips from less to more."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stylegan.config import NetworkConfig
from stylegan.mix import Mix, layers_text, sides_text, source_name
from stylegan.pictures import flatten
from stylegan.stamp import MAX_SIDE_PX, StampError, enlarge

CELL_PX = 128  # small cells are enlarged to about this side
MAX_LABEL_PX = 32
LEAST_LABEL_PX = 18  # of strips, however small their pictures
INK, PAPER = (30, 30, 30), (255, 255, 255)

Place = tuple[int | None, int | None]


def cell_factor(config: NetworkConfig, mix: Mix, factor: int | None = None) -> int:
    """How many times the cells of a table are enlarged."""
    side = config.resolution
    factor = max(1, CELL_PX // side) if factor is None else factor
    most = (MAX_SIDE_PX - 2 * MAX_LABEL_PX) // (side * (1 + max(len(mix.rows), len(mix.cols))))
    if most < 1:
        rows, cols = len(mix.rows), len(mix.cols)
        raise StampError(
            f"a table of {rows} x {cols} pictures of {side} pixels does not fit one file"
        )
    if not 1 <= factor <= most:
        raise StampError(f"cells of {side} pixels are enlarged by 1 to {most}, not {factor}")
    return factor


def draw_sheet(
    mix: Mix, pictures: Iterable[tuple[Place, np.ndarray]], config: NetworkConfig, factor: int
) -> np.ndarray:
    """uint8 [H, W, 3]: rows' own pictures at the left, columns' along the top, labels beside.

    `pictures` are uint8 [R, R, C] by place, as `Model.table` draws them; transparency lies over
    white.
    """
    side = config.resolution * factor
    label = _label_px(side)

    def start(at: int | None) -> int:
        """Where a row or column begins; a small gap divides own pictures from cells."""
        return label if at is None else label + label // 3 + (1 + at) * side

    sheet = Image.new("RGB", (start(len(mix.cols)), start(len(mix.rows))), PAPER)
    for (row, col), picture in pictures:
        sheet.paste(_rgb(enlarge(picture, factor)), (start(col), start(row)))
    for j, source in enumerate(mix.cols):
        sheet.paste(_text(source_name(source), side, label), (start(j), 0))
    for i, source in enumerate(mix.rows):
        sheet.paste(_text(source_name(source), side, label).rotate(90, expand=True), (0, start(i)))
    line = min(label, side // 3)
    corner = (f"layers {layers_text(mix.layers)}", "of the columns", sides_text(config, mix.layers))
    for i, words in enumerate(corner):
        top = label + (side - 3 * line) // 2 + i * line
        sheet.paste(_text(words, side, line), (label, top))
    return np.asarray(sheet)


def draw_strips(
    strips: Sequence[tuple[str, Sequence[Sequence[np.ndarray]]]], heads: Sequence[str], factor: int
) -> np.ndarray:
    """uint8 [H, W, 3]: strips below each other, the name of each at its left, heads along the top.

    A strip is some blocks, side by side, of as many pictures uint8 [R, R, C] as there are heads.
    """
    if factor < 1:
        raise StampError(f"pictures are enlarged by 1 or more, not {factor}")
    names, blocks = [name for name, _ in strips], len(strips[0][1])
    side = len(strips[0][1][0][0]) * factor
    label = max(LEAST_LABEL_PX, _label_px(side))
    font = ImageFont.load_default(label * 0.7)
    left = label + math.ceil(max(font.getlength(name) for name in names))
    gap = side // 4
    block = len(heads) * side + gap
    height, width = label + len(strips) * side, left + blocks * block - gap
    if max(height, width) > MAX_SIDE_PX:
        raise StampError(
            f"strips of {width} x {height} pixels do not fit one file of at most {MAX_SIDE_PX}; "
            "enlarge less, or draw fewer"
        )
    sheet = Image.new("RGB", (width, height), PAPER)
    for i in range(blocks):
        for j, head in enumerate(heads):
            sheet.paste(_text(head, side, label), (left + i * block + j * side, 0))
    for row, (name, parts) in enumerate(strips):
        top = label + row * side
        sheet.paste(_text(name, left, label), (0, top + (side - label) // 2))
        for i, pictures in enumerate(parts):
            for j, picture in enumerate(pictures):
                sheet.paste(_rgb(enlarge(picture, factor)), (left + i * block + j * side, top))
    return np.asarray(sheet)


def _label_px(side: int) -> int:
    """Height of a line of text."""
    return max(12, min(MAX_LABEL_PX, side // 6))


def _text(words: str, width: int, height: int) -> Image.Image:
    """A line of text in the middle of a strip, as large as fits."""
    strip = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(strip)
    size = height * 0.7
    font = ImageFont.load_default(size)
    wide = pen.textlength(words, font)
    if wide > width - 2:
        font = ImageFont.load_default(max(4, size * (width - 2) / wide))
    pen.text((width / 2, height / 2), words, INK, font, anchor="mm")
    return strip


def _rgb(picture: np.ndarray) -> Image.Image:
    return flatten(Image.fromarray(picture.squeeze(-1) if picture.shape[2] == 1 else picture))

"""One file -> the PNGs of its squares, and its measures: what the processes of `prepare` do."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from stylegan.enlarge import LANCZOS, enlarger
from stylegan.faces import crop_face
from stylegan.measures import MEASURED_PX, Look, Measures, measure_image
from stylegan.pictures import Fit, PictureError, open_picture, open_reduced, square

Way = Literal["pad", "crop", "crop-face"]

KEPT = 2  # times the side of a square: from so many pixels it is as good as from more


@dataclass(frozen=True)
class Cut:
    """How a picture becomes squares."""

    resolutions: tuple[int, ...]
    channels: int
    fit: Way
    background: tuple[int, int, int]
    min_side: int
    max_aspect: float | None
    upscale: str
    measured: bool
    """Whether the measures are taken, which tell duplicates."""


@dataclass(frozen=True)
class Squares:
    """Of one picture: a PNG for each resolution."""

    pngs: tuple[bytes, ...]
    measures: Measures | None


def make_squares(cut: Cut, content: bytes | str) -> Squares | str:
    """Squares of a file's content, or the reason why there are none."""
    if isinstance(content, str):
        return content
    try:
        if cut.fit == "crop-face":
            image = open_picture(content)
            size = image.size
        else:
            longer = MEASURED_PX if cut.measured else 0
            image, size = open_reduced(content, KEPT * max(cut.resolutions), longer)
        _check(size, cut)
        measures = measure_image(image, Look(cut.background), size) if cut.measured else None
        if cut.fit == "crop-face":
            image = crop_face(image)
            _check(image.size, cut, "the face's square is ")
        return Squares(tuple(_png(image, side, cut) for side in cut.resolutions), measures)
    except PictureError as error:
        return str(error)


def _check(size: tuple[int, int], cut: Cut, what: str = "") -> None:
    width, height = size
    if min(size) < cut.min_side:
        raise PictureError(f"{what}{width} x {height} pixels, a side under {cut.min_side}")
    aspect = max(size) / min(size)
    if cut.max_aspect is not None and aspect > cut.max_aspect:
        raise PictureError(f"{width} x {height} pixels, an aspect over {cut.max_aspect:g}")


def _png(image: Image.Image, side: int, cut: Cut) -> bytes:
    if cut.upscale != LANCZOS and min(image.size) < side:
        image = enlarger(cut.upscale)(image)
    fit: Fit = "pad" if cut.fit == "pad" else "crop"
    out = io.BytesIO()
    square(image, side, cut.channels, fit, cut.background).save(out, "PNG")
    return out.getvalue()

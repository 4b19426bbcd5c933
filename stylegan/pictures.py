"""One picture: open it safely, whatever its kind, and bring it to a square of exact size.

Transparency is laid over the background before resizing: Lanczos is linear, so this equals resizing
premultiplied colours and composing afterwards, with one rounding less and no dark fringes. Pictures
that keep their alpha (channels = 4) are resized premultiplied, which Pillow does by itself.
"""

from __future__ import annotations

import io
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

from stylegan.config import UserError

Fit = Literal["pad", "crop"]
Source = str | os.PathLike | bytes | BinaryIO

MAX_PIXELS = 80_000_000  # 320 MB decoded as RGBA
MAX_BYTES = 256 << 20  # of one file
# Pillow's readers that run no other program and know their own kind from its first bytes.
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF", "PPM", "ICO", "AVIF", "JPEG2000")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


class PictureError(UserError):
    """A picture that cannot be used; its text is the reason, to stand alone or after a name."""


def parse_color(text: str) -> tuple[int, int, int]:
    """A colour's name, #hex or rgb() as 8-bit RGB."""
    try:
        return ImageColor.getrgb(text)[:3]
    except ValueError:
        raise PictureError(
            f"{text!r} is not a colour; use a name such as white, or #rrggbb"
        ) from None


def open_picture(source: Source, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """First frame, upright, 8 bits a channel: mode RGBA where it has transparency, else RGB."""
    return _open(source, max_pixels, None)[0]


def open_reduced(
    source: Source, shorter: int, longer: int = 0
) -> tuple[Image.Image, tuple[int, int]]:
    """The same for who shrinks it anyway, and the size that it really has.

    A JPEG is decoded at a half, a quarter or an eighth, at several times the speed, where its
    shorter and longer side are then still of so many pixels.
    """
    return _open(source, MAX_PIXELS, (shorter, longer))


def _open(
    source: Source, max_pixels: int, least: tuple[int, int] | None
) -> tuple[Image.Image, tuple[int, int]]:
    try:
        file = io.BytesIO(_read(source))
        Image.init()
        with Image.open(file, formats=[f for f in FORMATS if f in Image.OPEN]) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise PictureError(f"{width} x {height} pixels, more than {max_pixels:,} in all")
            if least is not None:
                scale = max(least[0] / min(width, height), least[1] / max(width, height))
                image.draft(None, (math.ceil(width * scale), math.ceil(height * scale)))
            image.load()
            lying, upright = image.size, _upright(image)
            size = (width, height) if upright.size == lying else (height, width)
            return _to_rgb(upright), size
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError("not a picture of a known kind") from None
    except Image.DecompressionBombError:
        raise PictureError(f"more than {max_pixels:,} pixels") from None
    except MemoryError:
        raise PictureError("too large for the memory there is") from None
    except Exception as error:  # decoders raise anything on damaged files
        raise PictureError(f"damaged or unreadable ({brief(error)})") from None


def square(
    image: Image.Image,
    resolution: int,
    channels: int = 3,
    fit: Fit = "pad",
    background: tuple[int, int, int] = (255, 255, 255),
) -> Image.Image:
    """An RGB or RGBA picture as a square of side `resolution`, mode L, RGB or RGBA.

    pad shows the whole picture and fills the rest with the background, transparent if channels = 4;
    crop fills the square and cuts off the ends of the longer side, equally.
    """
    if channels == 4:
        image, fill = image.convert("RGBA"), (0, 0, 0, 0)
    else:
        image, fill = flatten(image, background), background
    width, height = image.size
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2  # whole pixels: no needless blur
        box = (left, top, left + side, top + side)
        image = image.resize((resolution, resolution), Image.Resampling.LANCZOS, box=box)
    else:
        scale = resolution / max(width, height)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = image.resize(size, Image.Resampling.LANCZOS)
        image = Image.new(small.mode, (resolution, resolution), fill)
        image.paste(small, ((resolution - size[0]) // 2, (resolution - size[1]) // 2))
    if channels == 4:
        return _clear_hidden(image)
    return image.convert(MODES[channels])


@dataclass(frozen=True)
class Frame:
    """A square of a picture, in its pixels; it may reach beyond the edges."""

    left: float
    top: float
    side: float


def framed(
    image: Image.Image,
    resolution: int,
    channels: int,
    frame: Frame,
    background: tuple[int, int, int] = (255, 255, 255),
) -> Image.Image:
    """What a frame shows of an RGB or RGBA picture, as `square` makes it; the background lies
    beyond the edges."""
    if channels == 4:
        image, fill = image.convert("RGBA"), (0, 0, 0, 0)
    else:
        image, fill = flatten(image, background), background
    start = np.array([frame.left, frame.top])
    low = np.maximum(start, 0)
    high = np.minimum(start + frame.side, image.size)
    if not (frame.side > 0 and (low < high).all()):
        raise PictureError("the frame lies beside the picture")
    scale = resolution / frame.side
    place = np.rint((low - start) * scale).astype(int)
    size = np.maximum(1, np.rint((high - start) * scale).astype(int) - place)
    part = image.resize(tuple(size), Image.Resampling.LANCZOS, box=(*low, *high))
    whole = Image.new(part.mode, (resolution, resolution), fill)
    whole.paste(part, tuple(place))
    return _clear_hidden(whole) if channels == 4 else whole.convert(MODES[channels])


def flatten(image: Image.Image, background: tuple[int, int, int] = (255, 255, 255)) -> Image.Image:
    """RGBA over the background as RGB; RGB as it is."""
    if image.mode != "RGBA":
        return image
    below = Image.new("RGBA", image.size, background)
    return Image.alpha_composite(below, image).convert("RGB")


def brief(error: Exception) -> str:
    """What another library's error says, in one short line."""
    text = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    return text.splitlines()[0][:100]


def _read(source: Source) -> bytes:
    if isinstance(source, bytes):
        data = source
    elif isinstance(source, (str, os.PathLike)):
        with Path(source).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    else:
        data = source.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise PictureError(f"a file of more than {MAX_BYTES >> 20} MB")
    if not data:
        raise PictureError("an empty file")
    return data


def _upright(image: Image.Image) -> Image.Image:
    """Turned as EXIF says; damaged EXIF data are no reason to lose a picture."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_8_bit(image)
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Grey of 16 bits, 32 bits holding 16, or float 0..1, scaled (Pillow's convert would clip)."""
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if image.mode == "F":
        if not (low >= 0 and high <= 1):
            raise PictureError("floating-point values outside 0 to 1")
        values = values * 255.0
    else:
        if low < 0 or high > 65535:
            raise PictureError("values of more than 16 bits")
        values = values / 257.0  # 65535 = 255 * 257
    return Image.fromarray(np.rint(values).astype(np.uint8))


def _clear_hidden(image: Image.Image) -> Image.Image:
    """Colours that nobody can see, made black so that they are the same everywhere."""
    values = np.array(image)
    values[values[..., 3] == 0] = 0
    return Image.fromarray(values)

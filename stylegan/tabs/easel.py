"""A visitor's own picture: kept in memory for as long as the visit, and never on a disk."""

from __future__ import annotations

import base64
import dataclasses
import io
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from stylegan.config import NetworkConfig, UserError
from stylegan.latent_files import SUFFIXES
from stylegan.pictures import (
    FORMATS,
    Fit,
    Frame,
    PictureError,
    framed,
    open_picture,
    parse_color,
    square,
)
from stylegan.projector import tensor_of
from stylegan.recipe import Recipe

LONGEST_PX = 2048  # of a kept picture; larger ones are shrunk
MOST_PIXELS = 80_000_000  # of one that is brought
SHOWN_PX = 640  # of what the page moves about in its frame
LOSSLESS_PX = 256  # larger ones are sent to the page with losses
FRAME_PX = 256  # of the frames of a journey
MOST_KEPT_BYTES = 256 << 20  # of all visitors; who has not come back for longest goes
FITS: tuple[Fit, ...] = ("crop", "pad")
MOST_ZOOM, LEAST_ZOOM = 16, 0.5  # of the shorter side, and of the longer one
WHITE = "#ffffff"


@dataclass(frozen=True, eq=False)
class Easel:
    """What a visitor works on."""

    image: Image.Image
    """RGB or RGBA, upright."""
    said: str
    """What to call it."""
    fit: Fit | Frame = "crop"
    background: str = WHITE
    """Behind what is transparent, and beyond the edges."""
    known: Recipe | None = None
    """What drew it, where it is a picture of the model's own."""
    journey: tuple[np.ndarray, ...] = ()
    """Frames of the latest projection, uint8 [H, W, C]."""

    @property
    def is_clear(self) -> bool:
        """Whether something of it is transparent."""
        return self.image.mode == "RGBA"

    def target(self, config: NetworkConfig) -> Tensor:
        """What is to be found: float32 [1, C, R, R] in [-1, 1]."""
        side, channels, behind = config.resolution, config.channels, parse_color(self.background)
        if isinstance(self.fit, Frame):
            cut = framed(self.image, side, channels, self.fit, behind)
        else:
            cut = square(self.image, side, channels, self.fit, behind)
        return tensor_of(np.asarray(cut))

    @property
    def size_bytes(self) -> int:
        """Of what it keeps in memory."""
        pixels = len(self.image.getbands()) * self.image.width * self.image.height
        return pixels + sum(frame.nbytes for frame in self.journey)


def brought(path: str | Path, said: str) -> Easel:
    """The picture of a file, whatever its kind, shrunk if it is large. Errors are UserErrors."""
    image = open_picture(path, MOST_PIXELS)
    if max(image.size) > LONGEST_PX:
        image.thumbnail((LONGEST_PX, LONGEST_PX), Image.Resampling.LANCZOS)
    if image.mode == "RGBA" and image.getextrema()[3] == (255, 255):
        image = image.convert("RGB")
    return Easel(image, said)


def is_picture(path: str | Path) -> bool:
    """Whether a file can be opened as a picture or holds a latent; nothing is decoded."""
    if Path(path).suffix.lower() in SUFFIXES:
        return True
    try:
        with Image.open(path, formats=[f for f in FORMATS if f in Image.OPEN]):
            return True
    except Image.DecompressionBombError:
        return True
    except Exception:  # decoders raise anything on damaged files
        return False


class Easels:
    """Easels by visitor. What is kept is bounded for all of them together."""

    def __init__(self, most_bytes: int = MOST_KEPT_BYTES) -> None:
        self.most_bytes = most_bytes
        self._kept: OrderedDict[str | None, Easel] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, visitor: str | None) -> Easel | None:
        """What this visitor works on."""
        with self._lock:
            if visitor in self._kept:
                self._kept.move_to_end(visitor)
            return self._kept.get(visitor)

    def put(self, visitor: str | None, easel: Easel) -> Easel:
        """Keep it in place of the one before."""
        with self._lock:
            self._kept[visitor] = easel
            self._kept.move_to_end(visitor)
            while len(self._kept) > 1 and self._bytes() > self.most_bytes:
                self._kept.popitem(last=False)
        return easel

    def drop(self, visitor: str | None) -> None:
        """Forget all of a visitor."""
        with self._lock:
            self._kept.pop(visitor, None)

    def _bytes(self) -> int:
        return sum(easel.size_bytes for easel in self._kept.values())


# What the page shows of it, and what it sends back


def stage_value(easel: Easel | None, words: str = "") -> dict[str, Any]:
    """The picture under its frame; `frame` is left, top and side in pixels of `size`."""
    if easel is None:
        return {"words": words}
    shown = easel.image.copy()
    shown.thumbnail((SHOWN_PX, SHOWN_PX), Image.Resampling.LANCZOS)
    frame = easel.fit if isinstance(easel.fit, Frame) else None
    return {
        "src": data_url(np.asarray(shown)),
        "size": list(easel.image.size),
        "fit": "own" if frame else easel.fit,
        "frame": [frame.left, frame.top, frame.side] if frame else None,
        "background": easel.background,
        "clear": easel.is_clear,
        "said": easel.said,
        "zoom": [LEAST_ZOOM, MOST_ZOOM],
        "words": words,
    }


def moved(easel: Easel, sent: Any) -> Easel:
    """The easel with the frame and background that a page sends, which can be anything."""
    if not isinstance(sent, dict):
        raise UserError("the page did not say what of the picture is meant; bring it again")
    fit, background = sent.get("fit"), sent.get("background")
    if fit not in FITS:
        fit = _frame(sent.get("frame"), easel.image)
    if not isinstance(background, str) or len(background) > 40:
        raise PictureError("the background is no colour")
    parse_color(background)
    return dataclasses.replace(easel, fit=fit, background=background)


def _frame(sent: Any, image: Image.Image) -> Frame:
    """A frame whose middle lies in the picture."""
    numbers = sent if isinstance(sent, list) else []
    if len(numbers) != 3 or not all(isinstance(n, (int, float)) and abs(n) < 1e6 for n in numbers):
        raise UserError("the page did not say what of the picture is meant; bring it again")
    (width, height), (left, top, side) = image.size, map(float, numbers)
    most, least = max(width, height) / LEAST_ZOOM, max(1.0, min(width, height) / MOST_ZOOM)
    fitting = min(max(side, least), most)
    x = min(max(left + side / 2, 0.0), float(width))
    y = min(max(top + side / 2, 0.0), float(height))
    return Frame(x - fitting / 2, y - fitting / 2, fitting)


def small(picture: np.ndarray, most: int = FRAME_PX) -> np.ndarray:
    """uint8 [H, W, C], shrunk to a side of at most so many pixels."""
    if max(picture.shape[:2]) <= most:
        return picture
    flat = picture[:, :, 0] if picture.shape[2] == 1 else picture
    image = Image.fromarray(flat)
    image.thumbnail((most, most), Image.Resampling.LANCZOS)
    return np.asarray(image).reshape(*image.size[::-1], -1)


def data_url(picture: np.ndarray) -> str:
    """A picture, uint8 [H, W] or [H, W, C], as the text of an address: no file is made."""
    flat = picture[:, :, 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture
    lossless = max(flat.shape[:2]) <= LOSSLESS_PX
    data = io.BytesIO()
    Image.fromarray(flat).save(data, "PNG" if lossless else "WEBP", quality=85)
    return address_of(data.getvalue(), f"image/{'png' if lossless else 'webp'}")


def address_of(data: bytes, kind: str) -> str:
    """Data as the text of an address."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def journey_frames(frames: Iterable[np.ndarray], goal: np.ndarray) -> list[np.ndarray]:
    """Each frame of a journey with its target beside it."""
    goal = small(goal)
    return [np.concatenate([goal, frame], axis=1) for frame in frames]

"""What one picture tells by itself: its sizes, statistics, hashes and a thumbnail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from stylegan.extras import need
from stylegan.pictures import PictureError, flatten, open_reduced

THUMB = 32  # side of the thumbnail, whatever the picture's aspect
DETAIL = 256  # longest side at which statistics are taken
MEASURED_PX = 2 * DETAIL  # longest side from which larger pictures are measured no better
HASHES = ("plain", "mirrored", "shape")
STATISTICS = ("brightness", "contrast", "saturation", "detail", "cover")


@dataclass(frozen=True)
class Look:
    """What the hidden part of a picture is taken for."""

    background: tuple[int, int, int] = (255, 255, 255)


@dataclass(frozen=True)
class Measures:
    """Of one picture, laid over the background where it is transparent."""

    width: int
    height: int
    transparent: float
    """Share of the pixels that are not opaque."""
    color: float
    """The 99th percentile of the difference of a pixel's channels, 0 in a grey picture, to 255."""
    statistics: tuple[float, ...]
    """STATISTICS: mean and standard deviation of the luma (0 to 255), mean difference of the
    channels, detail, and the share of pixels unlike the corners."""
    sharp: float
    """Variance of the Laplacian over the mean square of the slope: 2 at hard edges, near 0 in a
    blur, whether there are many edges or few."""
    hashes: tuple[int, ...]
    """HASHES, 64 bits each: of the picture, of its mirror image, and of its edges in any colour."""
    thumb: bytes
    """RGB, THUMB x THUMB, without regard to the aspect."""


def measure(data: bytes, look: Look) -> Measures | str:
    """Measures of a file's content, or the reason why there are none."""
    try:
        image, size = open_reduced(data, 1, MEASURED_PX)
    except PictureError as error:
        return str(error)
    return measure_image(image, look, size)


def measure_image(image: Image.Image, look: Look, size: tuple[int, int]) -> Measures:
    """Measures of an RGB or RGBA picture, which may be a reduced one of this size."""
    transparent = 0.0
    small = _at_most(image, DETAIL)
    if image.mode == "RGBA":
        hidden = image.getchannel("A").histogram()
        transparent = sum(hidden[:255]) / (image.width * image.height)
        small = flatten(small, look.background)
    thumb = small.resize((THUMB, THUMB), Image.Resampling.HAMMING)
    grey = small.convert("L")
    luma = np.asarray(grey, np.float32)
    sharp, detail = _detail(luma)
    colors = np.asarray(thumb)
    spread = np.ptp(colors.astype(np.int16), axis=2)
    corners = np.asarray(colors[[0, 0, -1, -1], [0, -1, 0, -1]], np.int16).mean(0)
    cover = float((np.abs(colors - corners).max(2) > 16).mean())
    statistics = (
        float(luma.mean()),
        float(luma.std()),
        float(spread.mean()),
        detail,
        cover,
    )
    return Measures(
        *size,
        transparent,
        float(np.percentile(spread, 99)),
        statistics,
        sharp,
        _hashes(thumb),
        colors.tobytes(),
    )


def _at_most(image: Image.Image, side: int) -> Image.Image:
    if max(image.size) <= side:
        return image
    scale = side / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.HAMMING, reducing_gap=2.0)


def _detail(luma: np.ndarray) -> tuple[float, float]:
    """Variance of the Laplacian over the mean square slope, and the mean step sideways."""
    if min(luma.shape) < 3:
        return 2.0, 0.0
    across, down = np.diff(luma, axis=1), np.diff(luma, axis=0)
    laplacian = np.diff(across, axis=1)[1:-1] + np.diff(down, axis=0)[:, 1:-1]
    slope = float(np.square(across).mean() + np.square(down).mean())
    detail = max(0.0, float(laplacian.var()) - 20 / 12)  # less what rounding to 8 bits adds:
    return detail / max(slope - 4 / 12, 1.0), float(np.abs(across).mean())  # 1 / 12 a pixel


def _hashes(thumb: Image.Image) -> tuple[int, ...]:
    """Perceptual hashes of 64 bits; pHash is from Zauner 2010, as the ImageHash library has it."""
    phash = need("imagehash").phash
    grey = thumb.convert("L")
    edges = _edges(np.asarray(thumb, np.float32))
    mirrored = grey.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return tuple(_bits(phash(picture).hash) for picture in (grey, mirrored, edges))


def _edges(colors: np.ndarray) -> Image.Image:
    """How much each place differs from its right and lower neighbours, in whichever channel."""
    across = np.abs(np.diff(colors, axis=1, append=colors[:, -1:])).max(2)
    down = np.abs(np.diff(colors, axis=0, append=colors[-1:])).max(2)
    strength = np.sqrt(np.maximum(across, down))  # weak edges count nearly as strong ones
    return Image.fromarray((strength * 16).clip(0, 255).astype(np.uint8))


def _bits(hash_: np.ndarray) -> int:
    return int.from_bytes(np.packbits(hash_).tobytes(), "big")

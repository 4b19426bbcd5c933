"""Files that carry their recipe as text, and small steps from pictures to such a file."""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from stylegan.atomic import replacing_file
from stylegan.config import UserError
from stylegan.containers import ZIP_HEAD, first_member, is_clip, read_comment
from stylegan.query import MAX_QUERY_CHARS

KEY = "stylegan-recipe"
PAGE = "stylegan-page"
ATTACHED = b"sgAT"  # ancillary, private, and not to be copied when pixels are changed (PNG, 5.4)
IN_ZIP = f"{KEY}.txt"  # what a zip begins with
SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_SIDE_PX = 16384
STRIP_FRAMES = 10
STRIP_PX = 128  # small frames of a film strip are enlarged to about this height
MAX_CHUNKS = 1 << 20
MAX_TEXT_BYTES = MAX_QUERY_CHARS + 1024
MAX_ATTACHMENT_BYTES = 16 << 20

Source = str | Path | bytes | BinaryIO


class StampError(UserError):
    """A picture file that cannot be read or made."""


# Pictures


def enlarge(picture: np.ndarray, factor: int) -> np.ndarray:
    """uint8 [H, W, C] with every pixel made a crisp square of `factor` pixels."""
    side = max(picture.shape[:2])
    if not 1 <= factor <= MAX_SIDE_PX // side:
        raise StampError(
            f"a picture of {side} pixels is enlarged by 1 to {MAX_SIDE_PX // side}, not {factor}"
        )
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def grid(pictures: Sequence[np.ndarray], columns: int | None = None) -> np.ndarray:
    """Pictures [H, W, C] of one size side by side, row by row, about square unless told.

    Places left over in the last row are white.
    """
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    height, width, channels = pictures[0].shape
    sheet = np.full((rows, columns, height, width, channels), 255, np.uint8)
    for i, picture in enumerate(pictures):
        sheet[divmod(i, columns)] = picture
    return sheet.swapaxes(1, 2).reshape(rows * height, columns * width, channels)


def strip_length(width: int) -> int:
    """How many frames of this width in pixels a film strip shows at most."""
    return max(1, min(STRIP_FRAMES, MAX_SIDE_PX // width))


def film_strip(frames: Sequence[np.ndarray], factor: int | None = None) -> np.ndarray:
    """Frames [H, W, C] in a row; small ones are enlarged to about 128 pixels unless told."""
    height, width = frames[0].shape[:2]
    usual = max(1, min(STRIP_PX // height, MAX_SIDE_PX // (width * len(frames))))
    return enlarge(grid(frames, len(frames)), usual if factor is None else factor)


def contact_sheet(pictures: Sequence[np.ndarray], side: int) -> np.ndarray:
    """Pictures uint8 [S, S, C] of any sizes and kinds in a grid, each brought to `side` pixels."""
    mode = "RGBA" if any(picture.shape[2] == 4 for picture in pictures) else "RGB"
    tiles = []
    for picture in pictures:
        image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
        way = Image.Resampling.BOX if picture.shape[0] > side else Image.Resampling.NEAREST
        tiles.append(np.asarray(image.convert(mode).resize((side, side), way)))
    return grid(tiles)


# Writing


def png_bytes(
    picture: np.ndarray, query: str, page: str | None = None, attachment: bytes | None = None
) -> bytes:
    """A PNG of uint8 [H, W] or [H, W, C], C = 1 grey, 3 RGB or 4 RGBA, with its recipe's text.

    `page` is the text of the page that it was saved from, which may show more pictures;
    `attachment` the blob of an `Attachment` that the recipe names.
    """
    info = PngInfo()
    info.add_text(KEY, query)
    if page is not None:
        info.add_text(PAGE, page)
    info.add_text("Software", "stylegan")
    if attachment is not None:
        info.add(ATTACHED, attachment)
    flat = picture[:, :, 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture
    data = io.BytesIO()
    Image.fromarray(flat).save(data, "PNG", pnginfo=info)
    return data.getvalue()


def write_png(
    target: str | Path | BinaryIO,
    picture: np.ndarray,
    query: str,
    attachment: bytes | None = None,
) -> None:
    """Write `png_bytes` to a binary file, or to a path, where it appears whole or not at all."""
    data = png_bytes(picture, query, attachment=attachment)
    if not isinstance(target, (str, Path)):
        target.write(data)
        return
    with replacing_file(target) as beside:
        beside.write_bytes(data)


def write_zip(target: str | Path, files: Iterable[tuple[str, bytes]], query: str) -> None:
    """A zip of named files that begins with the text of all of them, whole or not at all.

    The same files give the same bytes.
    """
    with replacing_file(target) as beside, zipfile.ZipFile(beside, "w") as archive:
        archive.writestr(_entry(IN_ZIP), query)
        for name, data in files:
            archive.writestr(_entry(name), data)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)  # PNG files are packed already
    entry.external_attr = 0o644 << 16
    return entry


# Reading: chunk by chunk, so that no pixel of a foreign file is ever decoded


def read_png(source: Source, key: str = KEY) -> str | None:
    """The recipe's text in a PNG, or that of its page (PAGE); None where it carries none."""
    for kind, data in _chunks(source, (b"tEXt", b"zTXt", b"iTXt")):
        found, _, rest = data.partition(b"\0")
        if found == key.encode():
            return _text(kind, rest)
    return None


def read_attachment(source: Source) -> bytes | None:
    """The blob that a PNG carries beside its recipe, None where there is none."""
    for _, data in _chunks(source, (ATTACHED,), MAX_ATTACHMENT_BYTES):
        return data
    return None


def clip_comment(query: str) -> str:
    """The comment of a clip that carries this recipe."""
    return f"{KEY}:{query}"


def read_recipe(source: Source) -> str | None:
    """The recipe's text in a PNG, a clip (MP4, WebM, GIF) or a zip; None where it carries none."""
    if isinstance(source, bytes):
        source = io.BytesIO(source)
    if isinstance(source, (str, Path)):
        with _opened(source) as file:
            return read_recipe(file)
    head = source.read(12)
    source.seek(0)
    if head[:4] == ZIP_HEAD:
        return first_member(source, IN_ZIP)
    if not is_clip(head):
        return read_png(source)
    mark, _, query = (read_comment(source) or "").partition(":")
    return query if mark == KEY else None


def png_size(source: Source) -> tuple[int, int]:
    """Width and height of a PNG in pixels."""
    for _, data in _chunks(source, (b"IHDR",)):
        if len(data) == 13:
            return struct.unpack(">II", data[:8])
    raise StampError("the PNG is damaged: it has no header")


@contextmanager
def _opened(path: str | Path) -> Iterator[BinaryIO]:
    """A file to read; its name stands in what goes wrong."""
    try:
        with open(path, "rb") as file:
            yield file
    except StampError as error:
        raise StampError(f"{path}: {error}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StampError(f"{path} cannot be read: {reason}") from error


def _chunks(
    source: Source, kinds: tuple[bytes, ...], most: int = MAX_TEXT_BYTES
) -> Iterator[tuple[bytes, bytes]]:
    """Kind and data of the chunks of these kinds (PNG specification, section 5.3)."""
    if isinstance(source, bytes):
        source = io.BytesIO(source)
    if isinstance(source, (str, Path)):
        with _opened(source) as file:
            yield from _chunks(file, kinds, most)
        return
    if source.read(8) != SIGNATURE:
        raise StampError("this is not a PNG file")
    for _ in range(MAX_CHUNKS):
        head = source.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            return
        size, kind = struct.unpack(">I4s", head)
        if kind not in kinds or size > most:
            source.seek(size + 4, io.SEEK_CUR)
            continue
        data, check = source.read(size), source.read(4)
        if len(data) < size or check != struct.pack(">I", zlib.crc32(kind + data)):
            raise StampError("the PNG is damaged")
        yield kind, data


def _text(kind: bytes, rest: bytes) -> str:
    """The text after a chunk's keyword (PNG specification, section 11.3.3)."""
    try:
        if kind == b"tEXt":
            return rest.decode("latin-1")
        if kind == b"zTXt":
            return _inflate(rest[1:]).decode("latin-1")
        packed, rest = rest[:1], rest[2:]
        _, _, text = rest.split(b"\0", 2)  # language, translated keyword
        return (_inflate(text) if packed == b"\1" else text).decode()
    except (ValueError, zlib.error) as error:
        raise StampError("the recipe in the PNG is damaged") from error


def _inflate(data: bytes) -> bytes:
    inflate = zlib.decompressobj()
    text = inflate.decompress(data, MAX_TEXT_BYTES)
    if not inflate.eof:
        raise ValueError("too long, or cut off")
    return text

"""The comment inside an MP4, WebM or GIF file, found without decoding any of its pictures, and the
text file that a zip begins with.

Only sizes and names are read, one bounded step after another; what is damaged has no comment.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MAX_COMMENT_BYTES = (1 << 20) + 1024
MAX_STEPS = 1 << 17

EBML_HEAD = b"\x1a\x45\xdf\xa3"
ZIP_HEAD = b"PK\x03\x04"
_SEGMENT, _TAGS, _TAG, _SIMPLE_TAG = 0x18538067, 0x1254C367, 0x7373, 0x67C8
_TAG_NAME, _TAG_STRING = 0x45A3, 0x4487

_Part = tuple[int | bytes, int, int]  # name, first byte, byte after the last


def is_clip(head: bytes) -> bool:
    """Whether a file that begins with these 12 bytes is of a kind that is read here."""
    return head[4:8] == b"ftyp" or head[:4] == EBML_HEAD or head[:3] == b"GIF"


def read_comment(source: str | Path | bytes | BinaryIO) -> str | None:
    """The comment in a file; None where it has none, is damaged, or is of another kind."""
    if isinstance(source, (str, Path)):
        with open(source, "rb") as file:
            return read_comment(file)
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    end = file.seek(0, io.SEEK_END)
    head = _read(file, 0, 12)
    try:
        if head[4:8] == b"ftyp":
            data = _mp4_comment(file, end)
        elif head[:4] == EBML_HEAD:
            data = _webm_comment(file, end)
        elif head[:3] == b"GIF":
            data = _gif_comment(file)
        else:
            return None
        return None if data is None else data.decode()
    except (ValueError, struct.error, IndexError):
        return None


def first_member(file: BinaryIO, name: str) -> str | None:
    """The text that a zip begins with, stored as it is under this name; None where there is none.

    What else is in the zip, and its table of contents, is left alone (APPNOTE.TXT, 4.3.7).
    """
    head = _read(file, 0, 30)
    if len(head) < 30 or head[:4] != ZIP_HEAD:
        return None
    flags, method, size, packed, chars, further = struct.unpack("<6xHH8xIIHH", head[:30])
    stored = method == 0 and not flags & 0x09 and size == packed <= MAX_COMMENT_BYTES
    if not stored or file.read(chars) != name.encode():
        return None
    data = _read(file, 30 + chars + further, size)
    try:
        return data.decode() if len(data) == size else None
    except ValueError:
        return None


def _read(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)


def _content(file: BinaryIO, part: _Part) -> bytes:
    _, start, end = part
    if not 0 <= end - start <= MAX_COMMENT_BYTES:
        raise ValueError("too long, or shorter than nothing")
    return _read(file, start, end - start)


# MP4: boxes of a size and a name (ISO/IEC 14496-12, 4.2), moov/udta/meta/ilst/(c)cmt/data


def _mp4_comment(file: BinaryIO, end: int) -> bytes | None:
    part: _Part | None = (b"", 0, end)
    for name in (b"moov", b"udta", b"meta", b"ilst", b"\xa9cmt", b"data"):
        start = part[1] + 4 * (part[0] == b"meta")  # version and flags
        part = next((box for box in _boxes(file, start, part[2]) if box[0] == name), None)
        if part is None:
            return None
    return _content(file, (b"", part[1] + 8, part[2]))  # after type and locale


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[_Part]:
    for _ in range(MAX_STEPS):
        if start + 8 > end:
            return
        head = _read(file, start, 16)
        size, name = struct.unpack(">I4s", head[:8])
        begin = start + 8
        if size == 1:
            size, begin = struct.unpack(">Q", head[8:16])[0], start + 16
        elif size == 0:  # to the end of the file
            size = end - start
        if start + size > end or start + size < begin:
            return
        yield name, begin, start + size
        start += size


# WebM: elements of an id and a size (RFC 8794), Segment/Tags/Tag/SimpleTag (RFC 9559)


def _webm_comment(file: BinaryIO, end: int) -> bytes | None:
    steps = iter(range(MAX_STEPS))  # over all levels together
    path = (_SEGMENT, _TAGS, _TAG, _SIMPLE_TAG)
    for tag in _below(file, (0, 0, end), path, steps):
        name, text = (
            next(_below(file, tag, (wanted,), steps), None) for wanted in (_TAG_NAME, _TAG_STRING)
        )
        if name and text and _content(file, name).upper() == b"COMMENT":
            return _content(file, text)
    return None


def _below(
    file: BinaryIO, part: _Part, path: tuple[int, ...], steps: Iterator[int]
) -> Iterator[_Part]:
    if not path:
        yield part
        return
    for inner in _elements(file, part[1], part[2], path[0], steps):
        yield from _below(file, inner, path[1:], steps)


def _elements(
    file: BinaryIO, start: int, end: int, wanted: int, steps: Iterator[int]
) -> Iterator[_Part]:
    while start < end and next(steps, None) is not None:
        head = _read(file, start, 12)
        width = 9 - head[0].bit_length()
        name = int.from_bytes(head[:width], "big")
        long = 9 - head[width].bit_length()
        size = int.from_bytes(head[width : width + long], "big") - (1 << 7 * long)
        if width > 4 or long > 8:
            return
        start += width + long
        last = size == (1 << 7 * long) - 1  # of unknown size, as live streams have
        after = end if last else start + size
        if after > end:
            return
        if name == wanted:
            yield name, start, after
        start = after


# GIF: blocks, each a chain of at most 255 bytes at a time (GIF89a, 15 to 27)


def with_gif_comment(head: bytes, text: str) -> bytes:
    """The beginning of a GIF (13 bytes and the palette, at least) with a comment in it."""
    data, start = text.encode(), _gif_start(head)
    parts = [data[i : i + 255] for i in range(0, len(data), 255)]
    block = b"\x21\xfe" + b"".join(bytes([len(part)]) + part for part in parts) + b"\0"
    return head[:start] + block + head[start:]


def _gif_comment(file: BinaryIO) -> bytes | None:
    """That of a comment before the first picture."""
    file.seek(_gif_start(_read(file, 0, 13)))
    for _ in range(MAX_STEPS):
        kind = file.read(2)
        if kind[:1] != b"\x21":
            return None
        data = _chain(file)
        if kind == b"\x21\xfe":
            return data
    return None


def _gif_start(head: bytes) -> int:
    """Where the blocks begin: after the header and the palette that its flags announce."""
    return 13 + (3 << (head[10] & 7) + 1 if head[10] & 0x80 else 0)


def _chain(file: BinaryIO) -> bytes:
    data = bytearray()
    while len(data) <= MAX_COMMENT_BYTES:
        size = file.read(1)[0]
        if size == 0:
            return bytes(data)
        part = file.read(size)
        if len(part) < size:
            raise ValueError("cut off")
        data += part
    raise ValueError("too long")

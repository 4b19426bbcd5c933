import io
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stylegan.containers import (
    MAX_COMMENT_BYTES,
    MAX_STEPS,
    first_member,
    is_clip,
    read_comment,
    with_gif_comment,
)
from stylegan.video import write_clip

TEXT = "t=walk&m=größe@1&seed=1,2;#\\x=%20"
KINDS = ["mp4", "webm", "gif"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A clip of each kind with TEXT in it."""
    folder = tmp_path_factory.mktemp("clips")
    frames = np.random.RandomState(0).randint(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    for kind in KINDS:
        list(write_clip(folder / f"a.{kind}", frames, 5, TEXT, enlarge=1))
    return {kind: (folder / f"a.{kind}") for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_comments_come_back(clips, kind):
    data = clips[kind].read_bytes()
    assert is_clip(data[:12])
    assert read_comment(clips[kind]) == read_comment(str(clips[kind])) == TEXT
    assert read_comment(data) == read_comment(io.BytesIO(data)) == TEXT


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_comment_and_none(tmp_path, kind):
    path, frame = tmp_path / f"a.{kind}", np.zeros((16, 16, 1), np.uint8)
    text = "t=walk" + "&w=abc" * 150_000
    list(write_clip(path, [frame], 5, text, enlarge=1))
    assert read_comment(path) == text
    list(write_clip(path, [frame], 5, enlarge=1))
    assert not read_comment(path)


def test_other_files_have_none():
    for data in (b"", b"GIF", b"\x89PNG\r\n\x1a\n", b"hello" * 100, bytes(1000)):
        assert read_comment(data) is None
    assert not is_clip(b"") and not is_clip(b"\x89PNG\r\n\x1a\n")


def zipped(name, text, pack=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", pack) as archive:
        archive.writestr(name, text)
        archive.writestr("b.txt", b"more")
    return file


def test_the_text_that_a_zip_begins_with():
    assert first_member(zipped("a.txt", TEXT), "a.txt") == TEXT
    assert first_member(zipped("a.txt", ""), "a.txt") == ""
    assert first_member(zipped("c.txt", TEXT), "a.txt") is None
    assert first_member(zipped("a.txt", TEXT * 99, zipfile.ZIP_DEFLATED), "a.txt") is None
    assert first_member(zipped("a.txt", b"\xff\xfe"), "a.txt") is None
    assert first_member(zipped("a.txt", bytes(MAX_COMMENT_BYTES + 1)), "a.txt") is None


@settings(deadline=None)
@given(st.integers(0, 120), st.binary(max_size=40))
def test_a_damaged_zip(cut, junk):
    data = zipped("a.txt", TEXT).getvalue()
    found = first_member(io.BytesIO(data[:cut] + junk), "a.txt")
    assert found is None or isinstance(found, str)
    assert first_member(io.BytesIO(junk), "a.txt") is None


def test_a_gif_by_another_program():
    file = io.BytesIO()
    image = Image.fromarray(np.eye(9, dtype=np.uint8) * 255)
    image.save(file, "GIF", comment=b"made elsewhere")
    assert read_comment(file.getvalue()) == "made elsewhere"
    plain = io.BytesIO()
    image.save(plain, "GIF", save_all=True, append_images=[image.rotate(90)], loop=0)
    stamped = with_gif_comment(plain.getvalue(), TEXT)
    assert read_comment(plain.getvalue()) is None and read_comment(stamped) == TEXT
    with Image.open(io.BytesIO(stamped)) as again:
        assert again.n_frames == 2 and np.array_equal(again.convert("L"), image)


def box(name, data):
    return struct.pack(">I4s", len(data) + 8, name) + data


def mp4(comment_box):
    meta = box(b"meta", bytes(4) + box(b"ilst", box(b"\xa9cmt", comment_box)))
    return box(b"ftyp", b"isom" * 3) + box(b"moov", box(b"udta", meta))


def test_mp4_boxes_that_lie():
    assert read_comment(mp4(box(b"data", bytes(8) + b"hi"))) == "hi"
    for data in (
        mp4(box(b"data", b"")),
        mp4(b""),
        mp4(struct.pack(">I4s", 0xFFFFFFFF, b"data")),
        mp4(struct.pack(">I4sQ", 1, b"data", 2**64 - 1)),
        mp4(struct.pack(">I4s", 4, b"data") * 3),
        mp4(box(b"data", bytes(8) + b"\xff\xfe")),
        mp4(box(b"data", bytes(8 + MAX_COMMENT_BYTES + 1))),
    ):
        assert read_comment(data) is None


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_damaged_files_are_read_or_have_none(clips, kind, data):
    whole = clips[kind].read_bytes()
    at = data.draw(st.integers(0, len(whole)))
    junk = data.draw(st.binary(max_size=20))
    cut = data.draw(st.integers(at, len(whole)))
    found = read_comment(whole[:at] + junk + whole[at + len(junk) : cut])
    assert found is None or isinstance(found, str)


@pytest.mark.parametrize(
    "data",
    [
        b"GIF89a" + bytes(7) + b"\x21\x00\x00" * 3_000_000,
        b"\x1a\x45\xdf\xa3\x80" + b"\x18\x53\x80\x67\x80" * 2_000_000,
        b"\x1a\x45\xdf\xa3\x80" + b"\x18\x53\x80\x67\x01" + b"\xff" * 7 + b"\xec\x80" * 4_000_000,
        box(b"ftyp", b"isom" * 3) + box(b"free", b"") * 1_000_000,
    ],
)
def test_endless_files_end(data):
    class Counting(io.BytesIO):
        reads = 0

        def read(self, size=-1):
            self.reads += 1
            return super().read(size)

    file = Counting(data)
    assert read_comment(file) is None
    assert file.reads < 4 * MAX_STEPS  # however long the file

import io
import os
import struct
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from stylegan import stamp
from stylegan.recipe import Recipe, pack_latent
from stylegan.stamp import (
    StampError,
    clip_comment,
    enlarge,
    film_strip,
    grid,
    png_bytes,
    png_size,
    read_png,
    read_recipe,
    strip_length,
    write_png,
    write_zip,
)
from stylegan.video import write_clip

QUERY = "m=portraits-64@ab12cd34ef&seed=7&psi=0.7"


def picture(*shape, seed=0):
    return np.random.RandomState(seed).randint(0, 256, shape, dtype=np.uint8)


def png(*chunks):
    """A file of these (kind, data) chunks."""
    parts = [stamp.SIGNATURE]
    for kind, data in chunks:
        parts += [struct.pack(">I", len(data)), kind, data]
        parts.append(struct.pack(">I", zlib.crc32(kind + data)))
    return b"".join(parts)


@pytest.mark.parametrize(
    ("shape", "mode"),
    [((5, 4), "L"), ((5, 4, 1), "L"), ((5, 4, 3), "RGB"), ((5, 4, 4), "RGBA")],
)
def test_pixels_and_recipe_come_back(tmp_path, shape, mode):
    pixels = picture(*shape)
    write_png(tmp_path / "a.png", pixels, QUERY)
    assert read_png(tmp_path / "a.png") == read_png(str(tmp_path / "a.png")) == QUERY
    assert png_size(tmp_path / "a.png") == (4, 5)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == mode and image.text["Software"] == "stylegan"
        assert np.array_equal(
            np.asarray(image), pixels.reshape(shape[:2] + shape[2:][-1:]).squeeze()
        )
    assert os.listdir(tmp_path) == ["a.png"]


def test_every_kind_of_source_and_target():
    file = io.BytesIO()
    write_png(file, picture(4, 4, 3), QUERY)
    assert file.getvalue() == png_bytes(picture(4, 4, 3), QUERY)
    file.seek(0)
    assert read_png(file) == read_png(file.getvalue()) == QUERY


def test_a_long_latent_travels():
    recipe = Recipe(w=pack_latent(picture(18, 512)), m="a@b")
    assert Recipe.from_query(read_png(png_bytes(picture(4, 4), recipe.to_query()))) == recipe


def test_a_failed_write_leaves_the_old_file(tmp_path):
    write_png(tmp_path / "a.png", picture(4, 4, 3), QUERY)
    with pytest.raises(TypeError):  # five channels
        write_png(tmp_path / "a.png", picture(4, 4, 5), "seed=1")
    assert read_png(tmp_path / "a.png") == QUERY
    assert os.listdir(tmp_path) == ["a.png"]


@pytest.mark.parametrize("kind", ["itxt", "ztxt", "packed itxt", "after the pixels"])
def test_the_text_is_found_where_other_programs_move_it(kind):
    info = PngInfo()
    if kind == "ztxt":
        info.add_text(stamp.KEY, QUERY, zip=True)
    elif kind.endswith("itxt"):
        info.add_itxt(stamp.KEY, QUERY, zip=kind.startswith("packed"))
    file = io.BytesIO()
    Image.fromarray(picture(4, 4, 3)).save(file, "PNG", pnginfo=info)
    data = file.getvalue()
    if kind.startswith("after"):
        text = png((b"tEXt", stamp.KEY.encode() + b"\0" + QUERY.encode()))[8:]
        data = data[:-12] + text + data[-12:]
    assert read_png(data) == QUERY


def test_foreign_pngs_carry_none(tmp_path):
    Image.fromarray(picture(4, 4)).save(tmp_path / "a.png")
    assert read_png(tmp_path / "a.png") is None
    other = png((b"tEXt", b"Comment\0seed=7"), (b"IEND", b""))
    assert read_png(other) is None


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG", b"\xff\xd8\xff" * 9])
def test_other_files_are_refused(tmp_path, data):
    (tmp_path / "a.png").write_bytes(data)
    for source, words in ((data, "^this is not a PNG"), (tmp_path / "a.png", "a.png: .*not a PNG")):
        with pytest.raises(StampError, match=words):
            read_png(source)
        with pytest.raises(StampError, match=words):
            png_size(source)


def test_paths_that_cannot_be_read(tmp_path):
    for path in (tmp_path, tmp_path / "absent.png", "a\0b"):
        with pytest.raises(StampError, match="cannot be read"):
            read_png(path)


def test_damage_is_told():
    data = bytearray(png_bytes(picture(4, 4), QUERY))
    data[data.index(b"seed=7")] ^= 1
    with pytest.raises(StampError, match="damaged"):
        read_png(bytes(data))
    with pytest.raises(StampError, match="no header"):
        png_size(png((b"IHDR", b"short")))
    for text in (
        b"\1\0",
        b"\1\0\0\0notzlib",
        b"\0\0\0\0\xff",
        b"\1\0\0\0" + zlib.compress(b"a")[:-2],
    ):
        with pytest.raises(StampError, match="damaged"):
            read_png(png((b"iTXt", stamp.KEY.encode() + b"\0" + text)))


def test_large_texts_are_not_read():
    key = stamp.KEY.encode() + b"\0"
    bomb = zlib.compress(bytes(100 << 20))  # 100 KB that would be 100 MB
    with pytest.raises(StampError, match="damaged"):
        read_png(png((b"zTXt", key + b"\0" + bomb)))
    assert read_png(png((b"tEXt", key + b"a" * stamp.MAX_TEXT_BYTES))) is None
    claims = stamp.SIGNATURE + struct.pack(">I4s", 0xFFFFFFFF, b"tEXt") + key
    assert read_png(claims) is None


@settings(deadline=None)
@given(st.binary(max_size=300), st.booleans(), st.data())
@example(stamp.SIGNATURE, False, None)
def test_garbage_is_read_or_refused_in_words(junk, damaged, data):
    if data and damaged:
        whole = png_bytes(picture(4, 4), QUERY)
        at = data.draw(st.integers(0, len(whole)))
        junk = whole[:at] + junk + whole[at + len(junk) :]
    elif data:
        kind = data.draw(st.sampled_from([b"tEXt", b"zTXt", b"iTXt", b"IHDR", b"\0\0\0\0"]))
        junk = png((kind, stamp.KEY.encode() + b"\0" + junk))
    for read, kinds in ((read_png, (str, type(None))), (png_size, tuple)):
        try:
            assert isinstance(read(junk), kinds)
        except StampError as error:
            assert str(error).isprintable()


def test_enlarge_makes_squares():
    pixels = picture(2, 3, 3)
    large = enlarge(pixels, 4)
    assert large.shape == (8, 12, 3) and np.array_equal(large[::4, 3::4], pixels)
    assert (large[:4, :4] == pixels[0, 0]).all()
    assert np.array_equal(enlarge(pixels, 1), pixels)
    for factor in (0, -1, 9999):
        with pytest.raises(StampError, match=f"1 to 5461, not {factor}"):
            enlarge(pixels, factor)


def test_grid_reads_by_rows():
    pictures = [np.full((2, 3, 1), i, np.uint8) for i in range(5)]
    sheet = grid(pictures)
    assert sheet.shape == (4, 9, 1)
    assert sheet[::2, ::3, 0].tolist() == [[0, 1, 2], [3, 4, 255]]
    assert grid(pictures, columns=5).shape == (2, 15, 1)
    assert np.array_equal(grid(pictures[:1]), pictures[0])


@pytest.mark.parametrize(
    ("height", "width", "count", "strip"),
    [
        (64, 64, 10, (128, 1280)),
        (16, 48, 10, (128, 3840)),
        (64, 1024, 10, (64, 10240)),
        (1024, 4096, 4, (1024, 16384)),
        (256, 16384, 1, (256, 16384)),
    ],
)
def test_a_film_strip_of_any_frames_is_a_picture_that_can_be_written(height, width, count, strip):
    assert strip_length(width) == count
    frames = [picture(height, width, 1)] * count
    assert film_strip(frames).shape[:2] == strip
    assert film_strip(frames, 1).shape[:2] == (height, width * count)


@pytest.mark.parametrize("kind", ["mp4", "webm", "gif"])
def test_clips_carry_their_recipe(tmp_path, kind):
    path, frames = tmp_path / f"a.{kind}", [picture(16, 16, 3)] * 2
    list(write_clip(path, frames, 5, clip_comment(QUERY), enlarge=1))
    data = path.read_bytes()
    assert read_recipe(path) == read_recipe(str(path)) == read_recipe(data) == QUERY
    list(write_clip(path, frames, 5, "made elsewhere: seed=7", enlarge=1))
    assert read_recipe(path) is None
    assert read_recipe(data[:100]) is None


def test_a_zip_carries_the_text_of_all_its_files(tmp_path):
    files = {f"{i}.png": png_bytes(picture(4, 4, 3), f"seed={i}") for i in range(3)}
    write_zip(tmp_path / "a.zip", files.items(), QUERY)
    write_zip(tmp_path / "b.zip", files.items(), QUERY)
    data = (tmp_path / "a.zip").read_bytes()
    assert read_recipe(tmp_path / "a.zip") == read_recipe(data) == QUERY
    assert data == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["stylegan-recipe.txt", *files]
        assert all(entry.external_attr >> 16 == 0o644 for entry in archive.infolist())
        assert {name: archive.read(name) for name in files} == files

    def given_up():
        yield "0.png", b""
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_zip(tmp_path / "a.zip", given_up(), "seed=1")
    assert (tmp_path / "a.zip").read_bytes() == data


def test_recipes_of_png_files_and_of_none(tmp_path):
    write_png(tmp_path / "a.png", picture(4, 4, 3), QUERY)
    assert read_recipe(tmp_path / "a.png") == QUERY
    (tmp_path / "b.mp4").write_bytes(b"hello")
    with pytest.raises(StampError, match=r"b\.mp4: this is not a PNG"):
        read_recipe(tmp_path / "b.mp4")
    with pytest.raises(StampError, match=r"absent\.mp4 cannot be read"):
        read_recipe(tmp_path / "absent.mp4")

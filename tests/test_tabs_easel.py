import base64
import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from stylegan.config import NetworkConfig, UserError
from stylegan.pictures import Frame, square
from stylegan.tabs import easel as module
from stylegan.tabs.easel import Easel, Easels, brought, data_url, is_picture, moved, small

NETWORK = NetworkConfig(resolution=16)
CLEAR = NetworkConfig(resolution=16, channels=4)


def picture(width=40, height=24, bands=3):
    values = np.random.RandomState(0).randint(0, 256, (height, width, bands), np.uint8)
    return Image.fromarray(values)


def pixels(easel, config=NETWORK):
    target = easel.target(config)
    assert target.shape == (1, config.channels, 16, 16)
    return ((target[0].permute(1, 2, 0) + 1) * 127.5).round().numpy().astype(np.uint8)


# What is brought


@pytest.mark.parametrize(
    ("image", "kind", "size", "mode"),
    [
        (Image.new("RGB", (1, 1)), "PNG", (1, 1), "RGB"),
        (Image.new("CMYK", (9, 5)), "JPEG", (9, 5), "RGB"),
        (Image.fromarray(np.full((5, 7), 65535, np.uint16)), "PNG", (7, 5), "RGB"),
        (Image.new("P", (5, 5)), "GIF", (5, 5), "RGB"),
        (Image.new("RGBA", (5, 5), (1, 2, 3, 255)), "PNG", (5, 5), "RGB"),
        (Image.new("RGBA", (5, 5), (1, 2, 3, 9)), "PNG", (5, 5), "RGBA"),
        (Image.new("L", (5000, 10)), "PNG", (2048, 4), "RGB"),
    ],
)
def test_pictures_of_every_kind_are_brought(tmp_path, image, kind, size, mode):
    image.save(tmp_path / "a", kind)
    found = brought(tmp_path / "a", "it").image
    assert (found.size, found.mode) == (size, mode)
    assert is_picture(tmp_path / "a")


def test_a_turned_photo_stands_upright(tmp_path):
    image = Image.new("RGB", (40, 20))
    exif = image.getexif()
    exif[0x0112] = 6  # a quarter turn
    image.save(tmp_path / "a.jpg", exif=exif)
    assert brought(tmp_path / "a.jpg", "it").image.size == (20, 40)


def test_of_an_animation_the_first_picture_is_taken(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    assert brought(tmp_path / "a.webp", "it").image.getpixel((0, 0)) == (255, 0, 0)


def test_what_cannot_be_brought_is_said_in_words(tmp_path):
    Image.new("1", (20_000, 10_000)).save(tmp_path / "huge.png")
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").write_bytes(b"")
    for name, words in (
        ("huge.png", "more than 80,000,000"),
        ("text.png", "not a picture of a known kind"),
        ("empty.png", "an empty file"),
    ):
        with pytest.raises(UserError, match=words):
            brought(tmp_path / name, "it")
    assert not is_picture(tmp_path / "text.png") and is_picture(tmp_path / "huge.png")


# The frame


def test_the_usual_frames_are_those_of_prepare():
    image = picture()
    for fit in ("crop", "pad"):
        expected = np.asarray(square(image, 16, 3, fit))
        assert np.array_equal(pixels(Easel(image, "it", fit=fit)), expected)


def test_a_frame_of_ones_own():
    image = picture()
    own = Easel(image, "it", fit=Frame(8, 0, 24))
    assert np.array_equal(pixels(own), np.asarray(square(image, 16, 3, "crop")))
    corner = pixels(dataclasses.replace(own, fit=Frame(0, 0, 16)))
    assert np.array_equal(corner, np.asarray(image)[:16, :16])
    beyond = pixels(Easel(image, "it", fit=Frame(-8, -8, 16), background="#00ff00"))
    assert (beyond[:8] == (0, 255, 0)).all() and (beyond[:, :8] == (0, 255, 0)).all()
    assert np.array_equal(beyond[8:, 8:], np.asarray(image)[:8, :8])


def test_what_is_clear_shows_the_background_or_stays_clear():
    image = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (4, 4, 12, 12))
    easel = Easel(image, "it", background="lime")
    opaque, clear = pixels(easel), pixels(easel, CLEAR)
    assert tuple(opaque[0, 0]) == (0, 255, 0) and tuple(opaque[8, 8]) == (0, 0, 255)
    assert tuple(clear[0, 0]) == (0, 0, 0, 0) and tuple(clear[8, 8]) == (0, 0, 255, 255)
    framed = pixels(dataclasses.replace(easel, fit=Frame(-8, 0, 16)), CLEAR)
    assert (framed[:, :12] == 0).all() and tuple(framed[8, 14]) == (0, 0, 255, 255)


def test_the_page_moves_the_frame():
    easel = Easel(picture(), "it")
    found = moved(easel, {"fit": "own", "frame": [1, 2.5, 10], "background": "#102030"})
    assert (found.fit, found.background) == (Frame(1, 2.5, 10), "#102030")
    assert moved(easel, {"fit": "pad", "background": "#ffffff"}).fit == "pad"
    far = moved(easel, {"fit": "own", "frame": [900, -9e5, 1e5], "background": "white"})
    assert far.fit.side == 80, "twice the longer side at most"
    assert (far.fit.left + 40, far.fit.top + 40) == (40, 0), "its middle stays in the picture"
    pixels(far)


@pytest.mark.parametrize(
    "sent",
    [
        None,
        {"fit": "own", "frame": [1, 2], "background": "#ffffff"},
        {"fit": "own", "frame": [1, 2, float("nan")], "background": "#ffffff"},
        {"fit": "own", "frame": ["1", 2, 3], "background": "#ffffff"},
        {"fit": "crop", "background": "url(x)"},
        {"fit": "crop", "background": None},
        {"fit": {}, "frame": {}},
    ],
)
def test_what_a_page_sends_can_be_anything(sent):
    with pytest.raises(UserError):
        moved(Easel(picture(), "it"), sent)


def test_the_stage_shows_a_small_copy():
    value = module.stage_value(Easel(picture(1300, 700, 4), "it", fit=Frame(1, 2, 3)))
    assert value["size"] == [1300, 700] and value["clear"]
    assert (value["fit"], value["frame"]) == ("own", [1, 2, 3])
    assert value["src"].startswith("data:image/webp;base64,")
    assert module.stage_value(None) == {"words": ""}


# Keeping


def test_pictures_are_each_visitor_s_own_and_bounded():
    easels = Easels(most_bytes=3 * 10 * 10 * 2)
    for name in ("ann", "bob"):
        easels.put(name, Easel(picture(10, 10), name))
    assert easels.get("ann").said == "ann" and easels.get("eve") is None
    easels.put("eve", Easel(picture(10, 10), "eve"))
    assert easels.get("bob") is None, "who has not come back for longest"
    easels.drop("ann")
    assert easels.get("ann") is None and easels.get("eve").said == "eve"
    easels.put("eve", Easel(picture(100, 100), "large"))
    assert easels.get("eve").said == "large", "the newest is kept at any size"


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_pictures_as_text_and_frames(bands):
    large = np.random.RandomState(0).randint(0, 256, (300, 600, bands), np.uint8)
    assert small(large).shape == (128, 256, bands)
    assert small(large[:9, :9]) is not None and small(large[:9, :9]).shape == (9, 9, bands)
    url = data_url(large[:16, :16])
    kind, data = url.split(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert np.array_equal(np.asarray(image).reshape(16, 16, bands), large[:16, :16])
    frames = module.journey_frames([small(large[:16, :16])], large[:16, :16])
    assert frames[0].shape == (16, 32, bands)

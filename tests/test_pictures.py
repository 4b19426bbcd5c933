import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from stylegan.pictures import (
    PictureError,
    flatten,
    open_picture,
    open_reduced,
    parse_color,
    square,
)
from tests.drawing import drawing

pytestmark = pytest.mark.filterwarnings("ignore::Warning:PIL")  # decoders grumble first


def encode(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def solid(mode: str, color, size=(6, 4)) -> Image.Image:
    return Image.new(mode, size, color)


def gradient(size: int = 16) -> Image.Image:
    x, y = np.meshgrid(np.linspace(0, 255, size), np.linspace(0, 255, size))
    return Image.fromarray(np.stack([x, y, 255 - x], -1).astype(np.uint8))


def noise(size: int) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (size, size, 3))
    return Image.fromarray(values.astype(np.uint8))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, color_type: int, rows: bytes, extra: bytes = b""):
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + data + chunk(b"IEND", b"")


class TestKinds:
    @pytest.mark.parametrize(
        "data, expected",
        [
            (encode(solid("1", 1)), (255, 255, 255)),
            (encode(solid("L", 77)), (77, 77, 77)),
            (encode(solid("RGB", (10, 20, 30))), (10, 20, 30)),
            (encode(solid("LA", (77, 128))), (77, 77, 77, 128)),
            (encode(solid("RGBA", (10, 20, 30, 0))), (10, 20, 30, 0)),
            (encode(solid("RGB", (10, 20, 30)).quantize(4)), (10, 20, 30)),
            (encode(solid("L", 9), transparency=9), (9, 9, 9, 0)),
            (encode(solid("RGB", (1, 2, 3)), transparency=(1, 2, 3)), (1, 2, 3, 0)),
            (encode(solid("RGB", (10, 20, 30)), "BMP"), (10, 20, 30)),
            (encode(solid("RGB", (10, 20, 30)), "TIFF"), (10, 20, 30)),
            (encode(solid("RGB", (10, 20, 30)), "WEBP", lossless=True), (10, 20, 30)),
            (encode(solid("RGBA", (9, 8, 7, 99)), "WEBP", lossless=True), (9, 8, 7, 99)),
            (encode(solid("L", 50), "PPM"), (50, 50, 50)),
            (encode(solid("CMYK", (0, 255, 255, 0)), "TIFF"), (255, 0, 0)),
        ],
    )
    def test_color_of_every_kind(self, data, expected):
        image = open_picture(data)
        assert image.size == (6, 4)
        assert image.mode == ("RGBA" if len(expected) == 4 else "RGB")
        assert image.getpixel((3, 2)) == expected

    def test_palette_with_transparency(self):
        image = Image.new("P", (4, 4), 1)
        image.putpalette([255, 0, 0, 0, 0, 255])
        image.putpixel((0, 0), 0)
        opened = open_picture(encode(image, transparency=bytes([40, 200])))
        assert opened.getpixel((0, 0)) == (255, 0, 0, 40)
        assert opened.getpixel((1, 1)) == (0, 0, 255, 200)

    def test_cmyk_jpeg_is_not_inverted(self):
        red = open_picture(encode(solid("CMYK", (0, 255, 255, 0), (16, 16)), "JPEG"))
        r, g, b = red.getpixel((8, 8))
        assert r > 200
        assert max(g, b) < 60

    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    def test_16_bit_grey_is_scaled_not_clipped(self, kind):
        values = np.array([[0, 257, 32768, 65535]], np.uint16)
        image = open_picture(encode(Image.fromarray(values), kind))
        assert image.mode == "RGB"
        assert np.asarray(image)[0, :, 0].tolist() == [0, 1, 128, 255]

    def test_16_bit_rgb(self):
        pixels = struct.pack(">3H", 65535, 32896, 0)
        image = open_picture(png(1, 1, 16, 2, b"\0" + pixels))
        assert image.getpixel((0, 0)) == (255, 128, 0)

    def test_16_bit_grey_and_alpha(self):
        image = open_picture(png(1, 1, 16, 4, b"\0" + struct.pack(">2H", 32896, 65535)))
        assert image.getpixel((0, 0))[:3] == (128, 128, 128)

    def test_32_bit_grey_of_16_bits(self):
        values = np.array([[0, 65535]], np.int32)
        image = open_picture(encode(Image.fromarray(values), "TIFF"))
        assert np.asarray(image)[0, :, 0].tolist() == [0, 255]

    def test_float_grey(self):
        values = np.array([[0, 0.5, 1]], np.float32)
        image = open_picture(encode(Image.fromarray(values), "TIFF"))
        assert np.asarray(image)[0, :, 0].tolist() == [0, 128, 255]

    @pytest.mark.parametrize("values", [[[0, 1 << 20]], [[-1, 5]]])
    def test_more_than_16_bits_is_refused(self, values):
        data = encode(Image.fromarray(np.array(values, np.int32)), "TIFF")
        with pytest.raises(PictureError, match="16 bits"):
            open_picture(data)

    @pytest.mark.parametrize("values", [[[0, 2.5]], [[float("nan"), 0]]])
    def test_float_out_of_range_is_refused(self, values):
        data = encode(Image.fromarray(np.array(values, np.float32)), "TIFF")
        with pytest.raises(PictureError, match="floating-point"):
            open_picture(data)

    @pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
    def test_first_frame_of_an_animation(self, kind):
        frames = [solid("RGB", (200, 0, 0), (16, 16)), solid("RGB", (0, 0, 200), (16, 16))]
        data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
        r, _, b = flatten(open_picture(data)).getpixel((8, 8))
        assert r > 150 > 50 > b

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_orientation(self, orientation):
        upright = Image.new("RGB", (4, 2))
        upright.putpixel((0, 0), (255, 0, 0))
        undo = {
            2: Image.Transpose.FLIP_LEFT_RIGHT,
            3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_90,
            7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_270,
        }
        stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
        exif = Image.Exif()
        exif[0x0112] = orientation
        assert open_picture(encode(stored, exif=exif)).tobytes() == upright.tobytes()

    def test_damaged_exif_does_not_lose_the_picture(self):
        data = encode(gradient(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff garbage")
        assert open_picture(data).size == (16, 16)

    def test_path_and_file_object(self, tmp_path):
        data = encode(gradient())
        path = tmp_path / "a.png"
        path.write_bytes(data)
        expected = gradient().tobytes()
        for source in (path, str(path), io.BytesIO(data), data):
            assert open_picture(source).tobytes() == expected


class TestRefused:
    @pytest.mark.parametrize(
        "data, reason",
        [
            (b"", "empty file"),
            (b"hello", "not a picture"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
            (encode(noise(64))[:-200], "truncated"),
            (encode(noise(64), "JPEG")[:-200], "truncated"),
            (b"\x89PNG\r\n\x1a\n", "picture|damaged"),
        ],
    )
    def test_bad_bytes(self, data, reason):
        with pytest.raises(PictureError, match=reason):
            open_picture(data)

    def test_missing_path(self, tmp_path):
        with pytest.raises(PictureError, match="No such file"):
            open_picture(tmp_path / "none.png")

    @pytest.mark.parametrize("side", [10_000, 60_000])
    def test_decompression_bomb(self, side):
        data = png(side, side, 1, 0, bytes(100))
        with pytest.raises(PictureError, match="pixels"):
            open_picture(data)

    def test_own_limit_is_checked_before_decoding(self):
        data = png(64, 64, 8, 0, b"no pixels at all")
        with pytest.raises(PictureError, match="64 x 64 pixels, more than 1,000"):
            open_picture(data, max_pixels=1000)

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
    def test_any_damage_is_one_kind_of_error(self, kind):
        data = encode(gradient(32), kind)
        random = np.random.default_rng(0)
        for _ in range(60):
            damaged = bytearray(data)
            for place in random.integers(0, len(data), 4):
                damaged[place] = random.integers(256)
            try:
                image = open_picture(bytes(damaged), max_pixels=10_000)
            except PictureError as error:
                assert "\n" not in str(error)
            else:
                assert image.mode in ("RGB", "RGBA")


class TestSquare:
    @pytest.mark.parametrize("fit", ["pad", "crop"])
    @pytest.mark.parametrize("size", [(1, 1), (7, 16), (16, 7), (33, 32), (500, 1), (1, 500)])
    @pytest.mark.parametrize("channels, mode", [(1, "L"), (3, "RGB"), (4, "RGBA")])
    def test_size_and_mode(self, size, fit, channels, mode):
        for source in ("RGB", "RGBA"):
            image = square(Image.new(source, size), 16, channels, fit)
            assert (image.size, image.mode) == ((16, 16), mode)

    def test_exact_size_is_left_alone(self):
        for fit in ("pad", "crop"):
            assert square(gradient(), 16, 3, fit).tobytes() == gradient().tobytes()

    def test_pad_keeps_all_and_fills_with_background(self):
        image = np.asarray(square(solid("RGB", "red", (32, 16)), 16, background=(0, 0, 255)))
        assert (image[4:12] == (255, 0, 0)).all()
        assert (image[:4] == (0, 0, 255)).all()
        assert (image[12:] == (0, 0, 255)).all()

    def test_crop_takes_the_middle(self):
        wide = np.zeros((16, 48, 3), np.uint8)
        wide[:, 16:32] = (0, 255, 0)
        assert (np.asarray(square(Image.fromarray(wide), 16, fit="crop")) == (0, 255, 0)).all()

    def test_transparent_pixels_show_the_background(self):
        image = square(solid("RGBA", (9, 9, 9, 0), (8, 8)), 8, background=(255, 128, 0))
        assert image.getpixel((4, 4)) == (255, 128, 0)

    def test_half_transparent(self):
        image = square(solid("RGBA", (0, 0, 0, 51), (8, 8)), 8)
        assert image.getpixel((4, 4)) == (204, 204, 204)

    @pytest.mark.parametrize("channels", [3, 4])
    def test_no_fringe_of_hidden_colors(self, channels):
        """A red disc whose transparent surroundings are stored as black."""
        y, x = np.mgrid[:64, :64] - 31.5
        values = np.zeros((64, 64, 4), np.uint8)
        values[x**2 + y**2 < 24**2] = (255, 0, 0, 255)
        small = square(Image.fromarray(values), 16, channels, background=(255, 0, 0))
        seen = np.asarray(flatten(small, (255, 0, 0))).astype(int)
        assert np.abs(seen - (255, 0, 0)).max() <= 3

    def test_composing_agrees_with_premultiplied_resizing(self):
        random = np.random.default_rng(1)
        values = random.integers(70, 180, (64, 64, 4)).astype(np.uint8)  # nothing to clip
        values[..., 3] = random.integers(0, 256, (64, 64))
        ours = np.asarray(square(Image.fromarray(values), 16, background=(128, 128, 128)))
        alpha = values[..., 3:] / 255
        composed = values[..., :3] * alpha + 128 * (1 - alpha)
        planes = [
            Image.fromarray(composed[..., i].astype(np.float32)).resize((16, 16), 1)
            for i in range(3)
        ]
        exact = np.stack([np.asarray(plane) for plane in planes], -1)
        assert np.abs(ours - exact).max() < 1.5

    def test_hidden_colors_are_cleared(self):
        image = square(solid("RGBA", (9, 9, 9, 0), (8, 8)), 8, channels=4)
        assert not np.asarray(image).any()

    def test_grey_keeps_grey(self):
        assert square(open_picture(encode(solid("L", 77))), 8, 1, "crop").getpixel((2, 2)) == 77


def test_colors():
    assert parse_color("white") == (255, 255, 255)
    assert parse_color("#0080ff") == (0, 128, 255)
    assert parse_color("#0080ff80") == (0, 128, 255)
    with pytest.raises(PictureError, match="'whit' is not a colour"):
        parse_color("whit")


def test_reduced_pictures_keep_their_size_and_their_squares():
    image = drawing(0, 512).resize((512, 400))
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    for options, size in (({}, (512, 400)), ({"exif": exif}, (400, 512))):
        data = encode(image, "JPEG", quality=92, **options)
        small, real = open_reduced(data, 64)
        assert real == size and small.size == tuple(side // 4 for side in size)
        assert open_reduced(data, 64, 256)[0].size == tuple(side // 2 for side in size)
        assert open_reduced(data, 1000)[0].size == size
        whole, reduced = (np.asarray(square(x, 32), int) for x in (open_picture(data), small))
        assert np.abs(whole - reduced).mean() < 1 and np.abs(whole - reduced).max() < 16
    png = encode(image, "PNG")
    assert np.array_equal(open_reduced(png, 8)[0], open_picture(png))

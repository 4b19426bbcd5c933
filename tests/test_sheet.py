import numpy as np
import pytest

from stylegan.config import NetworkConfig
from stylegan.mix import Mix
from stylegan.query import pack_latent
from stylegan.sheet import cell_factor, draw_sheet, draw_strips
from stylegan.stamp import StampError

LATENT = pack_latent(np.linspace(-1, 1, 16))
MIX = Mix((1, LATENT), (4, 4294967295, 6), (0, 1, 4))


def flat(mix, channels, side):
    """Each place in its own grey."""
    for i, place in enumerate(mix.recipes()):
        yield place, np.full((side, side, channels), 10 + 15 * i, np.uint8)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("side", "factor"), [(16, 8), (64, 1), (8, 1)])
def test_every_picture_stands_in_its_row_and_column(channels, side, factor):
    config = NetworkConfig(resolution=side, channels=channels)
    sheet = draw_sheet(MIX, flat(MIX, channels, side), config, factor)
    cell = side * factor
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
    y0, x0 = sheet.shape[0] - 2 * cell, sheet.shape[1] - 3 * cell  # where the cells begin
    shown = dict(flat(MIX, channels, side))
    for (row, col), picture in shown.items():
        y = y0 + row * cell if row is not None else None
        x = x0 + col * cell if col is not None else None
        gap = min(y0 - cell, x0 - cell)
        label = next(i for i in range(gap + 1) if i + i // 3 == gap)
        y, x = (label if at is None else at for at in (y, x))
        found = sheet[y : y + cell, x : x + cell].astype(int)
        value = int(picture[0, 0, 0])
        if channels == 4:
            value = 255 - (255 - value) * value / 255
        assert np.abs(found - value).max() <= 1
    for strip in (sheet[: y0 - cell, x0:], sheet[y0:, : x0 - cell]):
        assert strip.max() == 255 and (strip < 120).any()  # words on paper


def test_sizes():
    config = NetworkConfig(resolution=64)
    assert cell_factor(config, MIX) == 2 and cell_factor(config, MIX, 5) == 5
    assert cell_factor(NetworkConfig(resolution=512), MIX) == 1
    for factor in (0, 1000):
        with pytest.raises(StampError, match=f"cells of 64 pixels .* not {factor}"):
            cell_factor(config, MIX, factor)
    with pytest.raises(StampError, match="32 x 32 pictures of 1024 pixels does not fit"):
        cell_factor(NetworkConfig(resolution=1024), Mix(range(32), range(32)))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_strips_stand_below_each_other_and_blocks_beside(channels):
    def block(start):
        return [np.full((16, 16, channels), start + 20 * i, np.uint8) for i in range(3)]

    strips = [("a long name", [block(100), block(110)]), ("b", [block(120), block(130)])]
    sheet = draw_strips(strips, ["-1", "0", "+1"], 2)
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
    top, left = sheet.shape[0] - 2 * 32, sheet.shape[1] - (6 * 32 + 8)
    for row, (_, blocks) in enumerate(strips):
        for i, pictures in enumerate(blocks):
            for j, picture in enumerate(pictures):
                y, x = top + row * 32, left + i * (3 * 32 + 8) + j * 32
                value = int(picture[0, 0, 0])
                if channels == 4:
                    value = 255 - (255 - value) * value / 255
                assert np.abs(sheet[y : y + 32, x : x + 32].astype(int) - value).max() <= 1
    assert (sheet[:top, left:] < 120).any() and (sheet[top:, :left] < 120).any()
    for factor, words in ((0, "enlarged by 1 or more"), (999, "do not fit one file")):
        with pytest.raises(StampError, match=words):
            draw_strips(strips, ["-1", "0", "+1"], factor)

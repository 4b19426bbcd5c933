"""Copies are found however they come back, new pictures are none; collapse is seen."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage

from stylegan.memorisation import (
    COPY,
    Match,
    Originals,
    draw_pairs,
    mean_distance_ratio,
    spread,
    thumbs,
)


def scenes(n, seed=0, side=32):
    """Pictures of smooth colours with some grain, uint8 [n, 3, side, side], each its own."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(n, 3, side, side)), (0, 0, 3, 3), mode="wrap")
    grain = rng.normal(size=smooth.shape)
    return torch.from_numpy(np.clip(128 + 500 * smooth + 5 * grain, 0, 255).astype(np.uint8))


def match(samples, originals, not_itself=None):
    return Match.of_rows(Originals(originals).match(samples, not_itself).numpy())


def zoomed(images, factor):
    """The middle, enlarged."""
    side = images.shape[-1]
    edge = round(side * (1 - 1 / factor) / 2)
    middle = images[:, :, edge : side - edge, edge : side - edge].float()
    grown = F.interpolate(middle, size=[side, side], mode="bilinear", antialias=True)
    return grown.to(torch.uint8)


REPLAYS = {
    "as it is": lambda x: x,
    "mirrored": lambda x: x.flip(3),
    "shifted": lambda x: torch.roll(x, (1, 2), (2, 3)),
    "enlarged": lambda x: zoomed(x, 1.14),
    "mirrored, shifted, enlarged": lambda x: torch.roll(zoomed(x, 1.07), (-1, 1), (2, 3)).flip(3),
    "brighter": lambda x: (x.float() * 0.9 + 25).to(torch.uint8),
    "noisy": lambda x: (x.float() + 10 * torch.randn(x.shape)).clamp(0, 255).to(torch.uint8),
}


@pytest.mark.parametrize("how", REPLAYS)
def test_a_replayed_picture_is_found(how):
    torch.manual_seed(0)
    originals = scenes(60)
    found = match(REPLAYS[how](originals[5:15]), originals)
    assert found.index.tolist() == list(range(5, 15))
    assert found.copies == 1 and found.ratio.max() < COPY


def test_new_pictures_are_no_copies():
    found = match(scenes(20, seed=1), scenes(60))
    assert found.copies == 0 and found.ratio.min() > 0.7


def test_a_picture_is_not_its_own_copy_but_its_twin_s():
    originals = scenes(30)
    twins = torch.cat([originals, originals[:3].flip(3)])
    places = np.arange(10)
    found = match(twins[places], twins, places)
    assert (found.ratio < COPY).tolist() == [True] * 3 + [False] * 7
    assert found.index[:3].tolist() == [30, 31, 32]


def test_where_all_are_alike_none_stands_out():
    same = scenes(1).expand(5, -1, -1, -1)
    assert match(same[:2], same).copies == 0


def test_small_and_few_pictures():
    originals = scenes(3, side=8)
    assert match(originals[:1], originals).index.tolist() == [0]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_thumbs(channels):
    big = torch.full([2, channels, 64, 64], 77, dtype=torch.uint8)
    found = thumbs(big)
    assert found.shape == (2, 3, 32, 32) and found.dtype == torch.uint8
    grey = round(77 * 77 / 255 + 255 - 77) if channels == 4 else 77
    assert (found == grey).all()
    assert thumbs(big[:, :, :16, :16]).shape[2] == 16


def test_spread_of_the_same_kind():
    found = spread(scenes(100, seed=1), scenes(100, seed=2))
    assert found.pairs == pytest.approx(1, abs=0.1) and found.nearest == pytest.approx(1, abs=0.1)
    assert found.coverage > 0.8


def test_spread_sees_collapse():
    reals = scenes(50, seed=2)
    one = scenes(1).expand(50, -1, -1, -1)
    found = spread(one, reals)
    assert found.pairs == found.nearest == 0 and found.coverage < 0.3
    few = scenes(5, seed=1).repeat(10, 1, 1, 1)
    found = spread(few, reals)
    assert found.pairs > 0.7 and found.nearest == 0, "five pictures again and again"


def test_distances_of_pairs_leave_each_picture_itself_out():
    a, b = torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    a[1], b[1] = 10, 20
    assert mean_distance_ratio(a, b) == pytest.approx(0.5)
    assert mean_distance_ratio(b, a[:1].repeat(2, 1, 1, 1)) == 0


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_picture_of_pairs(channels):
    samples = [np.full((16, 16, channels), i, np.uint8) for i in (0, 100, 200, 50, 60)]
    sheet = draw_pairs(samples, samples[::-1], [f"distance {i}" for i in range(5)])
    assert sheet.dtype == np.uint8 and sheet.shape == (2 * (128 + 22), 4 * (256 + 8), 3)
    assert (sheet[130:145, :256] < 128).any(), "there are words below the pictures"

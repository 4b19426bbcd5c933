"""SWD against a slow independent copy, and what theory says it must and must not see."""

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from stylegan import chance
from stylegan import swd as module
from stylegan.config import UserError
from stylegan.swd import swd, swd_of_patches, swd_patches


def blobs(n: int, side: int, seed: int, channels: int = 3) -> np.ndarray:
    """Smooth random pictures with some grain, uint8 [n, channels, side, side]."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(n, channels, side, side)), (0, 0, 3, 3))
    grain = rng.normal(size=smooth.shape)
    return np.clip(128 + 400 * smooth + 8 * grain, 0, 255).astype(np.uint8)


def blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(images.astype(float), (0, 0, sigma, sigma)).astype(np.uint8)


def slow_pyramid(image: np.ndarray) -> list[np.ndarray]:
    """One plane, float64 [H, W], the finest level first, by scipy's own 2-D convolution."""
    row = np.array([1, 4, 6, 4, 1]) / 16
    kernel = np.outer(row, row)
    levels = []
    while len(image) > 16:
        small = ndimage.convolve(image, kernel, mode="mirror")[::2, ::2]
        apart = np.zeros_like(image)
        apart[::2, ::2] = small
        levels.append(image - ndimage.convolve(apart, 4 * kernel, mode="mirror"))
        image = small
    return [*levels, image]


def slow_swd(a: np.ndarray, b: np.ndarray, seed: int) -> dict[str, float]:
    """The same distance by loops in float64, with scipy's Wasserstein distance."""
    pyramids = [[[slow_pyramid(c.astype(float)) for c in x] for x in images] for images in (a, b)]
    result = {}
    for level in range(len(pyramids[0][0][0])):
        side = len(pyramids[0][0][0][level])
        u = chance.numpy_generator(seed, f"swd/patches/{side}", 0).random((len(a), 128, 2))
        patches = []
        for pyramid in pyramids:
            found = [
                [plane[level][y : y + 7, x : x + 7] for plane in planes]
                for planes, places in zip(pyramid, u, strict=True)
                for y, x in (places * (side - 6)).astype(int)
            ]
            found = np.array(found)  # [N * 128, C, 7, 7]
            for c in range(found.shape[1]):
                found[:, c] = (found[:, c] - found[:, c].mean()) / found[:, c].std()
            patches.append(found.reshape(len(found), -1))
        rng = chance.numpy_generator(seed, f"swd/projections/{side}", 0)
        lines = rng.standard_normal((512, patches[0].shape[1]))
        lines /= np.sqrt((lines**2).sum(1, keepdims=True))
        far = [stats.wasserstein_distance(patches[0] @ v, patches[1] @ v) for v in lines]
        result[str(side)] = 1000 * np.mean(far)
    return {"mean": np.mean(list(result.values()))} | result


@pytest.mark.parametrize(("side", "channels"), [(32, 3), (16, 1), (8, 3)])
def test_agrees_with_slow_copy(side, channels):
    a, b = blobs(4, side, 1, channels), blurred(blobs(4, side, 2, channels), 0.7)
    fast, slow = swd(a, b, seed=5), slow_swd(a, b, seed=5)
    assert fast.keys() == slow.keys()
    for key, value in slow.items():
        assert fast[key] == pytest.approx(value, rel=1e-3), key  # patches are kept in float16


def test_levels_by_size():
    assert list(swd(blobs(2, 64, 0), blobs(2, 64, 1))) == ["mean", "16", "32", "64"]
    assert list(swd(blobs(2, 16, 0), blobs(2, 16, 1))) == ["mean", "16"]
    assert list(swd(blobs(2, 8, 0), blobs(2, 8, 1))) == ["mean", "8"]


def test_same_pictures_are_at_zero_and_order_does_not_matter():
    a, b = blobs(6, 32, 0), blobs(6, 32, 1)
    assert set(swd(a, a).values()) == {0.0}
    assert swd(a, b) == swd(b, a)
    assert all(value > 0 for value in swd(a, b).values())


def test_deterministic_by_seed():
    a, b = blobs(6, 32, 0), blobs(6, 32, 1)
    assert swd(a, b, 3) == swd(a, b, 3)
    assert swd(a, b, 3) != swd(a, b, 4)
    assert swd(a, b, 3)["mean"] == pytest.approx(swd(a, b, 4)["mean"], rel=0.2)


def test_more_pictures_of_one_kind_come_closer():
    few, many = (swd(blobs(n, 16, 0), blobs(n, 16, 1))["mean"] for n in (8, 128))
    assert many < few / 2  # the floor falls with the root of the number of pictures


def test_blur_shows_at_the_finest_level():
    a, b = blobs(48, 32, 0), blobs(48, 32, 1)
    floor, seen = swd(a, b), swd(a, blurred(b, 1.0))
    assert seen["32"] > 3 * floor["32"]
    assert seen["16"] < 2 * floor["16"]


def test_missing_variety_shows_at_the_coarsest_level():
    a, b = blobs(48, 32, 0), blobs(48, 32, 1)
    assert swd(a, np.repeat(b[:1], 48, axis=0))["16"] > 3 * swd(a, b)["16"]


def test_tint_and_contrast_are_divided_out():
    a, b = blobs(16, 32, 0) // 2, blobs(16, 32, 1) // 2  # no value clips below
    tinted = b + np.array([100, 40, 0], np.uint8)[:, None, None]
    for key, value in swd(a, b).items():
        assert swd(a, tinted)[key] == pytest.approx(value, rel=0.01)
        assert swd(a, 2 * b)[key] == pytest.approx(value, rel=0.01)


def test_alpha_is_seen_over_white():
    rgb, alpha = blobs(5, 16, 0), blobs(5, 16, 1, channels=1)
    alpha[:, :, :8] = 0
    share = alpha / 255
    white = rgb * share + 255 * (1 - share)
    other = blobs(5, 16, 2)
    seen = swd(np.concatenate([rgb, alpha], 1), other)["mean"]
    assert seen == pytest.approx(swd(np.rint(white).astype(np.uint8), other)["mean"], rel=0.01)
    hidden = rgb.copy()
    hidden[:, :, :8] = 7  # under full transparency
    assert swd(np.concatenate([hidden, alpha], 1), other)["mean"] == seen


def test_batches_make_no_difference(monkeypatch):
    a, b = (torch.from_numpy(blobs(10, 32, i)) for i in (0, 1))
    whole = swd(a, b)
    monkeypatch.setattr(module, "_PICTURES_AT_ONCE", 3)
    parts = [(a[:4], a[4:]), (b[:1], b[1:])]
    rows = [torch.cat([swd_patches(x), swd_patches(y, first=len(x))]) for x, y in parts]
    assert swd_of_patches(*(x.numpy() for x in rows), 32) == whole
    monkeypatch.setattr(module, "_NUMBERS_AT_ONCE", 100_000)
    assert swd(a, b)["mean"] == pytest.approx(whole["mean"], rel=1e-5)


def test_flat_pictures_give_numbers():
    flat, a = np.full((4, 3, 32, 32), 200, np.uint8), blobs(4, 32, 0)
    assert set(swd(flat, flat).values()) == {0.0}
    assert all(np.isfinite(value) and value > 0 for value in swd(flat, a).values())


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (blobs(4, 32, 0), blobs(5, 32, 0), "4 with 3 channels and 5 with 3 channels"),
        (blobs(4, 32, 0), blobs(4, 16, 0), "of 32x32 and of 16x16"),
        (blobs(4, 16, 0), blobs(4, 16, 0, channels=1), "4 with 1 channels"),
        (blobs(4, 16, 0).astype(float), blobs(4, 16, 0), "expected uint8"),
        (blobs(4, 16, 0)[0], blobs(4, 16, 0), "expected uint8"),
        (blobs(4, 16, 0)[:, :2], blobs(4, 16, 0), "expected uint8"),
        (blobs(4, 16, 0)[..., :8], blobs(4, 16, 0), "8x16"),
        (blobs(4, 12, 0), blobs(4, 12, 0), "12x12"),
        (blobs(0, 16, 0), blobs(0, 16, 0), "no pictures"),
    ],
)
def test_refuses(a, b, words):
    with pytest.raises(UserError, match=words):
        swd(a, b)

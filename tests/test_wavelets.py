from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from stylegan.training.wavelets import (
    EDGE,
    band_filters,
    downsampler,
    filter_bank,
    reflected,
    resampling_filter,
    upsampler,
)

CPU = torch.device("cpu")


def test_filters_equal_recorded_numbers():
    golden = load_file(Path(__file__).parent / "golden" / "aug_blit_32.safetensors")
    assert np.abs(resampling_filter() - golden["out.Hz_geom"].numpy()).max() < 1e-7
    assert np.abs(filter_bank() - golden["out.Hz_fbank"].numpy()).max() < 1e-7


@pytest.mark.parametrize("size", [1, 2, 5, 16])
def test_reflection_is_numpys_however_far(size):
    margin = 40
    index = reflected(np.arange(-margin, size + margin), size)
    assert np.array_equal(index, np.pad(np.arange(size), margin, mode="reflect"))


@pytest.mark.parametrize("size", [8, 64])
def test_halving_undoes_doubling(size):
    up, down = (f(size, torch.float64, CPU).dense for f in (upsampler, downsampler))
    first = 2 * (size - 1) - EDGE  # the doubled samples of the picture itself, with their edge
    middle = up[first : first + 2 * (size + EDGE)]
    assert torch.allclose(down @ middle, torch.eye(size, dtype=torch.float64), atol=1e-9)


@pytest.mark.parametrize("size", [8, 32])
def test_bands_sum_to_the_picture(size):
    total = band_filters(size, torch.float64, CPU).sum(0)
    assert torch.allclose(total, torch.eye(size, dtype=torch.float64), atol=1e-9)


def test_blockwise_products_equal_dense_ones():
    up = upsampler(256, torch.float64, CPU)  # needs several blocks
    rows = range(100, 1401)
    x, y = torch.randn(2, 256, 3).double(), torch.randn(2, len(rows), 3).double()
    part = up.dense[rows.start : rows.stop]
    assert torch.allclose(up.product(x, rows), part @ x)
    assert torch.allclose(up.transposed_product(y, rows), part.mT @ y)

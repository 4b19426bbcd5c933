"""DiffAugment: each part by hand, its chance, and its derivatives."""

import pytest
import torch

from stylegan.training.augment import Draws
from stylegan.training.diffaugment import Params, apply, draw

POLICY = ["color", "translation", "cutout"]


def draws(seed=0):
    return Draws(torch.Generator().manual_seed(seed))


def picture(channels=3, n=2, size=8):
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_colour_is_brightness_then_saturation_then_contrast():
    x = picture()
    by = torch.tensor([[0.3, 1.7, 0.6], [-0.5, 0.0, 1.5]])
    found = apply(x, Params(colour=by))
    for one, other, (brightness, saturation, contrast) in zip(x, found, by, strict=True):
        y = one + brightness
        grey = (y[0] + y[1] + y[2]) / 3
        y = (y - grey) * saturation + grey
        mean = y.sum() / y.numel()
        assert torch.allclose(other, (y - mean) * contrast + mean, atol=1e-6)
    same = torch.tensor([[0.0, 1.0, 1.0]])
    assert torch.allclose(apply(x, Params(colour=same.repeat(2, 1))), x, atol=1e-6)


def test_translation_brings_in_zeros():
    x = picture(n=3)
    moved = apply(x, Params(shift=torch.tensor([[1, 0], [0, -2], [-1, 1]])))
    assert torch.equal(moved[0, :, :, 1:], x[0, :, :, :-1]) and not moved[0, :, :, 0].any()
    assert torch.equal(moved[1, :, :-2], x[1, :, 2:]) and not moved[1, :, -2:].any()
    assert torch.equal(moved[2, :, 1:, :-1], x[2, :, :-1, 1:])
    assert not moved[2, :, 0].any() and not moved[2, :, :, -1].any()


def test_cutout_blanks_a_square_that_may_hang_over_the_rim():
    x = picture(n=3) + 5
    cut = apply(x, Params(square=torch.tensor([[2, 1], [-2, 0], [6, 6]])))
    blank = [(cut[i] == 0).all(0) for i in range(3)]
    assert [int(b.sum()) for b in blank] == [16, 8, 4]
    assert blank[0][1:5, 2:6].all() and blank[1][:4, :2].all() and blank[2][6:, 6:].all()
    assert torch.equal(cut[0][:, 5:], x[0][:, 5:])


def test_chance_has_the_published_bounds():
    params = draw(POLICY, (4000, 3, 32, 32), draws())
    low, high = params.colour.min(0).values, params.colour.max(0).values
    assert torch.allclose(low, torch.tensor([-0.5, 0.0, 0.5]), atol=0.01)
    assert torch.allclose(high, torch.tensor([0.5, 2.0, 1.5]), atol=0.01)
    assert params.shift.min(0).values.tolist() == [-4, -4]
    assert params.shift.max(0).values.tolist() == [4, 4]
    assert params.square.min(0).values.tolist() == [-8, -8]
    assert params.square.max(0).values.tolist() == [24, 24]  # the centre at most on the rim
    for values in (*params.colour.T, *params.shift.T, *params.square.T):
        middle = (values.max() + values.min()) / 2
        assert abs(values.float().mean() - middle) < 0.05 * (values.max() - values.min())


def test_a_slice_is_the_whole_s_and_equal_chance_is_equal():
    one, other = (draw(POLICY, (6, 3, 16, 16), draws(3)) for _ in range(2))
    x = picture(n=6, size=16)
    assert torch.equal(apply(x, one), apply(x, other))
    rows = torch.tensor([4, 1])
    assert torch.equal(apply(x[rows], one[rows]), apply(x, one)[rows])
    assert torch.equal(apply(x, draw([], (6, 3, 16, 16), draws())), x)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [4, 8, 32])
def test_sizes_and_channels(channels, size):
    x = picture(channels, size=size)
    y = apply(x, draw(POLICY, x.shape, draws()))
    assert y.shape == x.shape and y.dtype == torch.float32
    assert not torch.equal(x, y)


def test_alpha_moves_and_is_not_recoloured():
    x = picture(4)
    assert torch.equal(apply(x, Params(colour=torch.ones(2, 3)))[:, 3], x[:, 3])
    clear = torch.full([1, 4, 8, 8], -1.0)  # black, but nothing of it is seen: white
    seen = apply(clear, Params(colour=torch.tensor([[-0.25, 1.0, 1.0]])))
    assert torch.allclose(seen[:, :3], torch.tensor(0.75))


def test_it_can_be_differentiated_twice():
    x = picture(size=8).double().requires_grad_()
    params = draw(POLICY, x.shape, draws())
    assert torch.autograd.gradcheck(lambda x: apply(x, params), x)
    assert torch.autograd.gradgradcheck(lambda x: apply(x, params).square(), x)

import math

import pytest
import torch

from stylegan.training.resample import linear, resample


def smooth_picture(size: int) -> torch.Tensor:
    at = torch.linspace(-1, 1, size, dtype=torch.float64)
    x, y = at[None, :], at[:, None]
    return (torch.exp(-6 * ((x - 0.2) ** 2 + 2 * (y + 0.3) ** 2)) - 0.3 * x)[None, None]


def matrix(*rows: tuple[float, float, float]) -> torch.Tensor:
    return torch.tensor([*rows, (0, 0, 1)], dtype=torch.float64)[None]


EXACT = {
    "left": (matrix((1, 0, 3), (0, 1, 0)), lambda x: x[..., 3:], (slice(None), slice(0, -3))),
    "mirror": (matrix((-1, 0, 0), (0, 1, 0)), lambda x: x.flip(-1), (slice(None), slice(None))),
    "half turn": (matrix((-1, 0, 0), (0, -1, 0)), lambda x: x.flip(-1, -2), (slice(None),) * 2),
    "quarter": (matrix((0, 1, 0), (-1, 0, 0)), lambda x: x.rot90(1, (-1, -2)), (slice(None),) * 2),
}


@pytest.mark.parametrize("name", EXACT)
def test_whole_steps_move_pixels(name):
    inverse, moved, where = EXACT[name]
    x = smooth_picture(32)
    assert torch.allclose(resample(x, inverse)[(..., *where)], moved(x), atol=0.04)


def test_the_two_ways_agree():
    """A turn too small to see goes the general way; without it each axis is a matrix."""
    x = torch.randn(1, 3, 16, 16, dtype=torch.float64)
    straight = matrix((1.3, 0, 2.4), (0, -0.7, -5.1))
    turned = straight.clone()
    turned[0, 0, 1] = turned[0, 1, 0] = 1e-13
    assert torch.allclose(resample(x, straight), resample(x, turned), atol=1e-9)
    quarter = matrix((0, 1.3, 2.4), (-0.7, 0, -5.1))
    turned = quarter.clone()
    turned[0, 0, 0] = turned[0, 1, 1] = 1e-13
    assert torch.allclose(resample(x, quarter), resample(x, turned), atol=1e-9)


def test_turning_back_restores_the_middle():
    x, angle = smooth_picture(64), 0.7
    c, s = math.cos(angle), math.sin(angle)
    there, back = matrix((c, -s, 0), (s, c, 0)), matrix((c, s, 0), (-s, c, 0))
    again = resample(resample(x, there), back)
    middle = (..., slice(16, 48), slice(16, 48))
    assert torch.allclose(again[middle], x[middle], atol=0.01)


def test_a_picture_does_not_depend_on_its_neighbours():
    x = torch.randn(4, 1, 16, 16, dtype=torch.float64)
    inverse = torch.cat(
        [
            matrix((1, 0, 0), (0, 1, 0)),
            matrix((0.8, 0.6, 9), (-0.6, 0.8, 0)),
            matrix((0, 2, 1), (-1, 0, 0)),
            matrix((0.3, 0.1, -2), (0.1, 0.3, 3)),
        ]
    )
    whole = resample(x, inverse)
    assert torch.equal(whole[0], x[0])
    for i in range(4):
        alone = resample(x[i : i + 1], inverse[i : i + 1])
        assert torch.allclose(whole[i : i + 1], alone, atol=1e-9)


def test_the_gradient_is_the_transpose():
    x, y = torch.randn(2, 3, 16, 16).double().requires_grad_(), torch.randn(2, 3, 16, 16).double()
    inverse = torch.cat([matrix((0.8, 0.6, 1), (-0.6, 0.8, 0)), matrix((0.7, 0, 1), (0, 1.5, 0))])
    out = resample(x, inverse)
    (grad,) = torch.autograd.grad(out, x, y)
    assert torch.isclose((out * y).sum(), (grad * x).sum())


def test_linear_is_differentiable_thrice():
    x = torch.randn(3, dtype=torch.float64, requires_grad=True)
    a = torch.randn(3, 3, dtype=torch.float64)
    grad = linear(x, lambda x: a @ x, lambda y: a.mT @ y).pow(3).sum()
    want = (a @ x).pow(3).sum()
    for _ in range(3):
        (grad,) = torch.autograd.grad(grad.sum(), x, create_graph=True)
        (want,) = torch.autograd.grad(want.sum(), x, create_graph=True)
        assert torch.allclose(grad, want)

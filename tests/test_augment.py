import json
import math
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from stylegan.config import AugmentConfig
from stylegan.training.augment import PIPES, Draws, Params, adjust_p, apply, draw, recolour

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tensors this small are fastest on one, above all beside other work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class FixedDraws(Draws):
    """Everything happens, and every draw is the one number d (the golden vectors' rule)."""

    def __init__(self, d: float, pictures: Tensor | None = None) -> None:
        self.d, self.stored = torch.tensor(d, dtype=torch.float64), pictures

    def happens(self, p, *shape):
        return torch.ones(shape, dtype=torch.bool)

    def uniform(self, *shape):
        return (self.d * 2 - 1).expand(shape)

    def normal(self, *shape):
        return torch.erfinv(self.d * 2 - 1).expand(shape)

    def half_normal(self, *shape):
        return torch.erfinv(self.d).expand(shape)

    def choice(self, count, *shape):
        return (self.d * count).floor().long().expand(shape)

    def pictures(self, *shape):
        return self.stored


def golden_cases() -> list:
    cases = []
    for path in sorted(GOLDEN.glob("aug_*.safetensors")):
        with safe_open(path, "pt") as f:
            config = json.loads(f.metadata()["config"])
        cases += [
            pytest.param(path, c, id=f"{path.stem}-{c['name']}") for c in config.get("cases", ())
        ]
    return cases


def drawn(pipe: str, p: float, shape: tuple[int, ...], seed: int = 0) -> Params:
    draws = Draws(torch.Generator().manual_seed(seed))
    return draw(PIPES[pipe], p, shape, draws, AugmentConfig())


@pytest.mark.parametrize(("path", "case"), golden_cases())
def test_stages_equal_recorded_numbers(path, case):
    stored = load_file(path)
    stages = [s for s in PIPES["bgcfnc"] if s in case["kwargs"]]  # the second rotation is 0
    x = stored["in.images"].requires_grad_()
    d = FixedDraws(case["debug_percentile"], stored.get("in.noise"))
    y = apply(x, draw(stages, 1.0, x.shape, d, AugmentConfig()))
    want = stored[f"out.{case['name']}"]
    assert (y - want).abs().max() < 3e-5 * want.abs().max()
    if (grad := stored.get(f"out.{case['name']}.grad_images")) is not None:
        (got,) = torch.autograd.grad(y.square().sum() / 2, x)
        assert (got - grad).abs().max() < 3e-5 * grad.abs().max()


STATS = json.loads((GOLDEN / "aug_stats.json").read_text())
STATS_CASES = [
    pytest.param(name, case, id=f"{name}-{case['p']}")
    for name, cases in (STATS["single"] | {"bgc": STATS["presets"]["bgc"]}).items()
    for case in cases
    if case["p"] == 0.8 or (case["p"] == 0.3 and name in ("bgc", "rotate"))
]


@pytest.mark.parametrize(("name", "case"), STATS_CASES)
def test_chance_equals_recorded_distribution(name, case):
    stages = {"rotate": ("rotate", "rotate_again"), "bgc": PIPES["bgc"]}.get(name, (name,))
    images = load_file(GOLDEN / "aug_stats_images.safetensors")["in.images"]
    x = images.repeat(16, 1, 1, 1)
    draws = Draws(torch.Generator().manual_seed(1))
    config = AugmentConfig()
    y = torch.stack([apply(x, draw(stages, case["p"], x.shape, draws, config)) for _ in range(64)])
    change = (y - x).abs()
    got = {
        "pixel_mean": y.double().mean(),
        "pixel_std": y.double().std(),
        "frac_unchanged": (change.flatten(2).amax(2) < 1e-3).double().mean(),
        "mean_abs_change": change.double().mean(),
    }
    for name, value in got.items():  # hue keeps the first two, up to rounding
        allowed = 4 * math.sqrt(2) * case[f"{name}_se"] + 1e-6
        assert abs(value - case[name]) < allowed, name


@pytest.mark.parametrize("pipe", PIPES)
def test_every_pipe_changes_and_differentiates_twice(pipe):
    x = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    params = drawn(pipe, 0.9, x.shape)
    assert not torch.equal(apply(x, params), x)
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: apply(x, params), x, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x: apply(x, params), x, fast_mode=True)


def test_pipe_names():
    stages = {"xflip", "rotate90", "xint", "scale", "rotate", "aniso", "rotate_again", "xfrac"}
    assert set(PIPES["bg"]) == stages
    assert PIPES["bgc"] == PIPES["bg"] + PIPES["color"]
    assert PIPES["bgcfnc"] == PIPES["bgc"] + PIPES["filter"] + PIPES["noise"] + PIPES["cutout"]
    assert " ".join(PIPES) == "blit geom color filter noise cutout bg bgc bgcf bgcfn bgcfnc"


def test_nothing_happens_at_p_0():
    x = torch.randn(4, 3, 16, 16)
    params = drawn("bgcfnc", 0.0, x.shape)
    assert params == Params()
    assert torch.equal(apply(x, params), x)


def test_equal_chance_draws_equal_parameters_and_a_slice_is_the_whole():
    x = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    params, again = (drawn("bgcfnc", 0.6, x.shape, seed=5) for _ in range(2))
    for f in fields(Params):
        assert torch.equal(getattr(params, f.name), getattr(again, f.name))
    whole = apply(x, params)
    parts = [apply(x[i : i + 2], params[i : i + 2]) for i in range(0, 8, 2)]
    assert torch.allclose(torch.cat(parts), whole, atol=1e-4)
    some = torch.tensor([6, 1, 4])
    assert torch.allclose(apply(x[some], params[some]), whole[some], atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [8, 16, 64])
def test_sizes_and_channels(size, channels):
    x = torch.rand(8, channels, size, size) * 2 - 1
    y = apply(x, drawn("bgcfnc", 0.8, x.shape))
    assert y.shape == x.shape
    assert y.dtype == torch.float32
    assert y.isfinite().all()


def test_far_outside_is_black_not_an_error():
    x = torch.ones(2, 1, 8, 8)
    far = torch.eye(3, dtype=torch.float64).repeat(2, 1, 1)
    far[:, 0, 2] = 1000
    far[1, 0, 1] = 0.5  # no longer along the axes
    assert torch.equal(apply(x, Params(inverse=far)), torch.zeros_like(x))


def test_float32_whatever_the_caller_computes_in():
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    params = drawn("bgcfnc", 0.9, x.shape)

    def value_and_grad(x):
        x = x.detach().requires_grad_()
        y = apply(x, params)
        return y.detach(), *torch.autograd.grad(y.square().sum(), x)

    want, want_grad = value_and_grad(x.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got, grad = value_and_grad(x.float())
        assert torch.equal(apply(x, params), want)
    assert got.dtype == torch.float32
    assert torch.equal(got, want)
    assert torch.allclose(grad, want_grad, rtol=1e-5, atol=1e-5)


def test_alpha_moves_with_the_picture_and_keeps_its_values():
    x = torch.rand(4, 4, 16, 16) * 2 - 1
    moved = drawn("bg", 1.0, x.shape)
    alpha = apply(x[:, 3:], moved)
    assert torch.allclose(apply(x, moved)[:, 3:], alpha, atol=1e-5)
    tinted = drawn("color", 1.0, x.shape)
    assert torch.equal(apply(x, tinted)[:, 3:], x[:, 3:])
    x[:, 3] = 1  # opaque: as without alpha
    assert torch.allclose(apply(x, tinted)[:, :3], apply(x[:, :3], tinted), atol=1e-6)
    x[:, 3] = -1  # see-through: as white
    white = apply(torch.ones(4, 3, 16, 16), tinted)
    assert torch.allclose(apply(x, tinted)[:, :3], white, atol=1e-6)


def test_grey_is_recoloured_like_equal_channels():
    params = drawn("color", 1.0, (4, 3, 8, 8))
    x = torch.rand(4, 1, 8, 8)
    rgb = recolour(x.repeat(1, 3, 1, 1), params.colour)
    assert torch.allclose(recolour(x, params.colour), rgb.mean(1, keepdim=True), atol=1e-5)


def test_strengths_are_used():
    weak = AugmentConfig(**{f.name: 0.0 for f in fields(AugmentConfig)})
    stages = [s for s in PIPES["bgcfnc"] if s not in ("xflip", "rotate90", "lumaflip")]
    draws = Draws(torch.Generator().manual_seed(0))
    assert draw(stages, 1.0, (4, 3, 16, 16), draws, weak) == Params()


def test_wrong_use_is_named():
    draws = Draws(torch.Generator())
    with pytest.raises(ValueError, match="8 x 16 are not square"):
        draw(PIPES["bgc"], 0.5, (2, 3, 8, 16), draws, AugmentConfig())
    with pytest.raises(ValueError, match="'blur'"):
        draw(["blur"], 0.5, (2, 3, 8, 8), draws, AugmentConfig())


def test_p_follows_recorded_trajectories():
    for case in json.loads((GOLDEN / "sched_nv_curves.json").read_text())["ada_p"]["cases"]:
        p = case["p0"]
        for sign, want in zip(case["signs"], case["p"], strict=True):
            p = adjust_p(
                p, sign, case["batch_size"], case["ada_interval"], case["target"], case["ada_kimg"]
            )
            assert p == want

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from stylegan import chance
from stylegan.config import NetworkConfig
from stylegan.directions import (
    DirectionError,
    Fit,
    Spread,
    apart,
    check_name,
    closed_form,
    fit,
    fit_groups,
    measure_spread,
    principal,
    random_latents,
    style_layers,
)
from stylegan.model import Model, load
from stylegan.networks.generator import Generator

TINY = Path(__file__).parent / "links/tiny-16"


@pytest.fixture(scope="module")
def model():
    return load(TINY)


def fresh(**settings):
    """A model with random weights."""
    sizes = {"resolution": 16, "z_dim": 8, "w_dim": 8, "mapping_layers": 1}
    config = NetworkConfig(**{**sizes, "channel_base": 64, "channel_max": 8, **settings})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Model("fresh", "0" * 10, Generator(config).eval().requires_grad_(False))


def planted(deviations, turn=0):
    """A spread of known deviations along known axes, and n draws of w from it."""
    k = len(deviations)
    axes = torch.linalg.qr(torch.from_numpy(np.random.RandomState(turn).randn(k, k))).Q
    return Spread(torch.arange(k).double(), axes, torch.tensor(deviations).double())


def draws(spread, n, seed=0):
    """w float32 [n, D]."""
    white = torch.from_numpy(np.random.RandomState(seed).randn(n, len(spread.deviations)))
    return ((white * spread.deviations) @ spread.axes + spread.mean).float()


def cosine(a, b):
    a, b = a.double().flatten(), b.double().flatten()
    return float(a @ b / (a.norm() * b.norm()))


# How w spreads


def test_spread_is_that_of_the_models_latents(model):
    spread = measure_spread(model, n=4000)
    w = random_latents(model, 4000, 9).double()
    white = spread.white(w)
    assert torch.allclose(spread.mean, w.mean(dim=0), atol=0.1)
    assert white.mean(dim=0).abs().max() < 0.1
    assert (torch.cov(white.T) - torch.eye(white.shape[1])).abs().max() < 0.15
    assert torch.allclose(spread.axes @ spread.axes.T, torch.eye(len(spread.axes)).double())
    assert (spread.deviations.diff() <= 0).all()
    again = measure_spread(model, n=4000)
    assert torch.equal(spread.axes, again.axes) and torch.equal(spread.mean, again.mean)
    assert not torch.equal(spread.mean, measure_spread(model, seed=1, n=4000).mean)


def test_every_class_is_in_the_spread(model):
    w = random_latents(model, 6, 0)
    rng = chance.numpy_generator(0, "directions/latents", 0)
    z = torch.from_numpy(rng.standard_normal((6, 16))).float()
    for i in range(6):
        c = torch.eye(3)[i % 3][None]
        assert torch.allclose(w[i], model.generator.mapping(z[i][None], c)[0], atol=1e-6)
    mean = model.generator.mapping.w_avg
    pulled = random_latents(model, 6, 0, psi=0.5)
    assert torch.allclose(pulled, mean + 0.5 * (w - mean), atol=1e-6)


def test_axes_along_which_w_never_moves_are_left_out():
    model = fresh(w_dim=8, z_dim=8)
    layer = model.generator.mapping.fc0
    layer.weight[5:] = 0
    layer.bias[5:] = 0
    spread = measure_spread(model, n=500)
    assert spread.axes.shape == (5, 8)
    assert spread.axes[:, 5:].abs().max() < 1e-6


def test_a_step_is_one_deviation_of_w_along_it():
    spread = planted([3.0, 1.0, 0.5, 0.1])
    w = draws(spread, 20000).double()
    for way in torch.eye(4).double():
        for step in (spread.step(way), spread.scaled(way + 0.3)):
            unit = step.double() / step.norm()
            assert float(step.norm()) == pytest.approx(float((w @ unit).std()), rel=0.03)
    assert cosine(spread.step(torch.tensor([0, 1.0, 0, 0])), spread.axes[1]) > 0.9999


# Without labels


def test_principal_axes_find_the_planted_variance():
    """A mapping of one linear layer without a kink stretches one way most."""
    model = fresh(z_dim=8, w_dim=8)
    layer, generator = model.generator.mapping.fc0, torch.Generator().manual_seed(1)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=generator)).Q
    stretch = torch.tensor([5.0, 3.0, 1, 1, 1, 1, 1, 1])
    layer.weight.copy_((turn * stretch) / layer.weight_gain)
    layer.bias.fill_(1000 / layer.bias_gain)  # keeps clear of the leaky ReLU's kink
    steps = principal(measure_spread(model, n=20000), 3)
    for i in (0, 1):
        assert abs(cosine(steps[i], turn[:, i])) > 0.99
        assert float(steps[i].norm()) == pytest.approx(math.sqrt(2) * float(stretch[i]), rel=0.05)
    with pytest.raises(DirectionError, match="9 directions are asked for, but there are 1 to 8"):
        principal(measure_spread(model, n=500), 9)


@pytest.mark.parametrize("rows", [None, (0, 0), (2, 5), (5, 5)])
def test_closed_form_equals_a_decomposition_by_hand(model, rows):
    g = model.generator.synthesis
    by_row = [
        [g.b4.conv1],
        [g.b4.torgb, g.b8.conv0],
        [g.b8.conv1],
        [g.b8.torgb, g.b16.conv0],
        [g.b16.conv1],
        [g.b16.torgb],
    ]
    first, last = rows or (0, 5)
    layers = [layer.affine for row in by_row[first : last + 1] for layer in row]
    a = np.concatenate([layer.weight.detach().numpy() * layer.weight_gain for layer in layers])
    right = np.linalg.svd(a.astype(np.float64))[2]
    spread = measure_spread(model, n=2000)
    steps = closed_form(model, spread, 3, rows)
    for i, step in enumerate(steps):
        assert abs(cosine(step, torch.from_numpy(right[i].copy()))) > 0.9999
        assert torch.allclose(step, spread.scaled(step), atol=1e-5)
        assert step[step.abs().argmax()] > 0
    with pytest.raises(DirectionError, match="rows 0-6: tiny-16 has rows 0 to 5"):
        closed_form(model, spread, 1, (0, 6))


@pytest.mark.parametrize("architecture", ["skip", "resnet"])
def test_style_layers_are_all_and_those_that_read_the_row(architecture):
    model = fresh(architecture=architecture)
    rows = style_layers(model)
    assert len(rows) == model.num_ws == 6
    affines = [
        m for name, m in model.generator.synthesis.named_modules() if name.endswith("affine")
    ]
    assert sorted(map(id, affines)) == sorted(id(layer) for row in rows for layer in row)
    for i, row in enumerate(rows):
        read = []
        hooks = [
            layer.register_forward_pre_hook(lambda layer, x, read=read: read.append((id(layer), x)))
            for layer in affines
        ]
        ws = torch.zeros(1, 6, 8)
        ws[:, i] = 1
        model.generator.synthesis(ws)
        for hook in hooks:
            hook.remove()
        assert {key for key, (x,) in read if bool((x == 1).all())} == {id(x) for x in row}


# From two groups


def test_a_fit_finds_the_planted_way():
    spread = planted([2.0, 1.5, 1.0, 0.8, 0.6, 0.4, 0.3, 0.2])
    truth = torch.from_numpy(np.random.RandomState(5).randn(8))
    truth = truth / truth.norm()
    w = draws(spread, 3000)
    score = spread.white(w) @ truth
    found = fit(spread, w, (score > 0.8).double())
    assert cosine(found.white, truth) > 0.98
    assert found.accuracy > 0.95 and found.has + found.has_not == 3000
    assert 0.15 < found.has / 3000 < 0.28
    soft = fit(spread, w, torch.sigmoid(3 * score))
    assert cosine(soft.white, truth) > 0.99
    step = spread.step(found.white)
    moved = spread.white(w + step) - spread.white(w)
    assert float((moved @ truth).mean()) > 0.9, "one deviation of w moves the truth by about one"


def test_the_step_is_likelier_than_the_normal():
    """Of all steps that change the answer as much, that of the fit is the shortest in white."""
    spread = planted([2.0, 0.1])
    w = draws(spread, 4000)
    truth = torch.tensor([1.0, 1.0]).double() / math.sqrt(2)
    found = fit(spread, w, (spread.white(w) @ truth > 0).double())
    step = spread.step(found.white).double()
    normal = (truth / spread.deviations) @ spread.axes
    assert abs(cosine(step, normal)) < 0.3
    white = (step @ spread.axes.T) / spread.deviations
    assert cosine(white, truth) > 0.99


def test_noise_has_no_accuracy():
    spread = planted([1.0] * 16)
    coin = torch.from_numpy(np.random.RandomState(2).rand(600) > 0.5).double()
    assert 0.4 < fit(spread, draws(spread, 600), coin).accuracy < 0.6


def test_a_rare_group_weighs_as_much_as_the_rest():
    spread = planted([1.0, 0.7, 0.5, 0.3])
    w = draws(spread, 4000)
    has = spread.white(w)[:, 2] > 2.0
    assert 60 < int(has.sum()) < 120
    found = fit(spread, w, has.double())
    assert found.accuracy > 0.9 and found.white[2] > 0.95


@pytest.mark.parametrize("count", [2, 3, 10])
def test_few_marks_lean_on_the_difference_of_means(count):
    spread = planted(list(np.linspace(2, 0.2, 64)))
    w = draws(spread, 400)
    score = spread.white(w)[:, 0]
    yes, no = w[score > 1][:count], w[score < -1][:count]
    found = fit_groups(spread, yes, no)
    means = spread.white(yes).mean(dim=0) - spread.white(no).mean(dim=0)
    assert cosine(found.white, means) > 0.95
    assert float(found.white.norm()) == pytest.approx(1)
    assert (found.has, found.has_not) == (count, count) and 0 <= found.accuracy <= 1


def test_groups_of_ws_and_of_some_rows():
    spread = planted([1.0, 0.8, 0.6, 0.4])
    w = draws(spread, 40)
    yes, no = w[:20], w[20:]
    plain = fit_groups(spread, yes, no)
    same = fit_groups(spread, yes[:, None].expand(-1, 6, -1), no[:, None].expand(-1, 6, -1))
    assert torch.allclose(plain.white, same.white)
    ws = torch.randn(20, 6, 4, generator=torch.Generator().manual_seed(0))
    ws[:, 1:3] = yes[:, None]
    some = fit_groups(spread, ws, no, rows=(1, 2))
    assert torch.allclose(plain.white, some.white)


def test_nothing_to_fit_is_said_in_words():
    spread = planted([1.0, 0.8, 0.6, 0.4])
    w = draws(spread, 8)
    for yes, no, words in (
        (w[:1], w[1:], "pictures with it: 1; it takes at least 2 that have it and 2 that have not"),
        (w, w[:0], "pictures without it: 0"),
        (w[:1].expand(3, -1), w[:1].expand(3, -1), "all marked pictures are the same"),
        (w[:4], w[:4], "the two groups do not differ"),
    ):
        with pytest.raises(DirectionError, match=words):
            fit_groups(spread, yes, no)
    with pytest.raises(DirectionError, match="1 of 8 pictures have it; at least 2 must"):
        fit(spread, w, torch.eye(8)[0])


def test_ways_apart_leave_each_other_alone():
    spread = planted([2.0, 1.5, 1.0, 0.8, 0.6])
    a = torch.tensor([1.0, 0, 0, 0, 0]).double()
    b = torch.tensor([0.8, 0.6, 0, 0, 0]).double()
    c = torch.tensor([0, 0, 0.6, 0.8, 0]).double()
    fits = {name: Fit(way, 1, 9, 9) for name, way in (("a", a), ("b", b), ("c", c))}
    ways = apart(fits)
    for name, way in ways.items():
        assert float(way.norm()) == pytest.approx(1)
        for other, own in fits.items():
            if other != name:
                assert float(way @ own.white) == pytest.approx(0, abs=1e-9)
        step = spread.step(way).double() @ spread.axes.T / spread.deviations
        assert float(step @ fits[name].white) > 0
    assert torch.allclose(ways["c"], c)
    assert torch.equal(apart({"a": fits["a"]})["a"], a)
    with pytest.raises(DirectionError, match="is the same as the other attributes together"):
        apart({"a": fits["a"], "again": dataclasses.replace(fits["a"])})


@pytest.mark.parametrize("name", ["", "a b", "_x", "ä", "a" * 65, "a:1"])
def test_names_that_no_link_can_carry(name):
    with pytest.raises(DirectionError, match="no name for a direction"):
        check_name(name)
    assert check_name("skin-tone_2.b") == "skin-tone_2.b"

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden_io import GOLDEN, Golden, assert_close
from PIL import Image

from stylegan import projector
from stylegan.checkpoint import DISCRIMINATOR
from stylegan.config import NetworkConfig, UserError
from stylegan.model import Model
from stylegan.networks.discriminators import Discriminator
from stylegan.networks.generator import Generator
from stylegan.projector import ProjectConfig, Projection, noise_penalty, psnr, ramp, target

NETWORK = NetworkConfig(
    resolution=16, z_dim=16, w_dim=16, mapping_layers=2, channel_base=128, channel_max=12
)


@pytest.fixture(scope="module")
def model():
    return tiny(NETWORK)


def tiny(config):
    """A model of random weights whose noise is seen, with a discriminator."""
    torch.manual_seed(5)
    generator = Generator(config)
    for name, p in generator.named_parameters():
        if name.endswith("noise_strength"):
            p.data.fill_(0.1)
        if name.endswith("torgb.weight"):
            p.data *= 0.2  # few values beyond [-1, 1]
    with torch.no_grad():
        z = torch.randn(1000, config.z_dim)
        c = torch.eye(config.c_dim)[torch.arange(1000) % config.c_dim] if config.c_dim else None
        generator.mapping.w_avg.copy_(generator.mapping(z, c).mean(0))
    model = Model("tiny", "0123456789", generator.eval().requires_grad_(False))
    model._others[DISCRIMINATOR] = Discriminator(config).eval().requires_grad_(False)
    return model


def sample(model, seed=3, c=0):
    """One of the model's own pictures as a target."""
    z = torch.from_numpy(np.random.RandomState(seed).randn(1, model.config.z_dim)).float()
    with torch.no_grad():
        w = model.generator.mapping(z, model.labels(c, 1))
        return model.generator.synthesis(w[:, None].expand(-1, model.num_ws, -1)).clamp(-1, 1)


# The paper's projector


def test_the_paper_s_projector_is_the_recorded_one():
    golden = Golden("proj_16")
    settings = golden.config["G_kwargs"]
    config = NetworkConfig(
        resolution=16,
        z_dim=24,
        w_dim=24,
        mapping_layers=settings["mapping_kwargs"]["num_layers"],
        **settings["synthesis_kwargs"],
    )
    generator = Generator(config)
    own = generator.state_dict()
    generator.load_state_dict({k: v for k, v in golden.params().items() if k in own})
    model = Model("golden", "0", generator.eval().requires_grad_(False))
    layers = ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1"]

    def randn(stream, step, shape):
        if stream == "w":
            return golden["in.w_noise"][step].reshape(shape)
        return golden[f"in.noise_init.{layers[step]}.noise_const"].clone()

    def look(img):
        return F.avg_pool2d((img + 1) * 127.5, 2).flatten(1) / 50

    mean, w_std = projector.spread(model)
    assert_close(mean, golden["out.w_avg"].flatten())
    assert_close(torch.tensor(w_std), golden["out.w_std"])
    start = [randn("noise", i, ()) for i in range(5)]
    assert_close(noise_penalty(start), golden["out.noise_reg_at_init_unweighted"])

    picture = golden["in.target_uint8_as_float"][None] / 127.5 - 1
    steps = ProjectConfig(space="w", method="paper", steps=golden.config["num_steps"])
    projection = Projection(model, picture, steps, look, randn)
    done = list(projection.run())
    assert_close(torch.cat([step.ws for step in done]), golden["out.w_out"])
    for layer, noise in zip(layers, projection.noise, strict=True):
        assert_close(noise, golden[f"out.noise_final.{layer}.noise_const"])
    first = done[0].distance + 1e5 * golden["out.noise_reg_at_init_unweighted"]
    assert_close(first, golden["out.loss_per_step"][0])


@pytest.mark.parametrize("case", [0, 1])
def test_schedules_are_the_recorded_ones(case):
    curve = json.loads((GOLDEN / "sched_nv_curves.json").read_text())["projector"][case]
    steps = curve["num_steps"]
    lr = [0.1 * ramp(i / steps) for i in range(steps)]
    scale = [projector.w_noise_scale(i / steps, curve["w_std"]) for i in range(steps)]
    names = [name for name in curve if isinstance(curve[name], list) and name != "lr"]
    assert len(names) == 1
    np.testing.assert_allclose(lr, curve["lr"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(scale, curve[names[0]], rtol=0, atol=1e-10)


# Ours


@pytest.mark.parametrize("space", ["w", "w+"])
def test_own_pictures_are_found_again(model, space):
    projection = Projection(model, sample(model), ProjectConfig(space=space, steps=150))
    steps = list(projection.run())
    assert steps[0].step == 0 and [s.step for s in steps] == list(range(len(steps)))
    assert min(s.distance for s in steps) < 0.15 * steps[0].distance
    result = projection.result()
    assert result.psnr > psnr(steps[0].picture, result.picture) and result.psnr > 20
    rows = model.ws(result.recipe)[0]
    assert bool((rows == rows[:1]).all()) == (space == "w")
    assert np.array_equal(model.render(result.recipe), result.picture)
    assert result.attachment is None and result.recipe.x is None
    assert result.recipe.t == "project" and result.recipe.m == model.id


def test_same_seed_same_result(model):
    config = ProjectConfig(steps=6, noise=True, tune=True, tune_steps=6)
    first, second = (Projection(model, sample(model), config) for _ in range(2))
    a, b = list(first.run()), list(second.run())
    assert [s.distance for s in a] == [s.distance for s in b]
    assert first.result().recipe == second.result().recipe


def test_it_stops_when_nothing_improves(model):
    flat = lambda img: img.flatten(1) * 0  # noqa: E731
    steps = list(Projection(model, sample(model), ProjectConfig(), look=flat).run())
    assert {step.step for step in steps} == {0} and steps[-1].picture is not None
    steps = list(Projection(model, sample(model), ProjectConfig(noise=True), look=flat).run())
    maps = [step for step in steps if step.stage == "noise"]
    assert Projection.PATIENCE < len(maps) - 1 <= Projection.PATIENCE * 3 < 200
    assert maps[-1].picture is not None


def test_it_can_be_stopped_and_keeps_the_best(model):
    projection = Projection(model, sample(model), ProjectConfig(steps=100))
    with pytest.raises(UserError, match="not begun"):
        projection.result()
    seen = []
    for step in projection.run():
        seen.append(step)
        if step.step == 20:
            break
    best = min(seen, key=lambda step: step.distance)
    found = model.ws(projection.result().recipe)
    torch.testing.assert_close(found, best.ws, atol=1e-2, rtol=1e-3)


def test_where_it_starts(model):
    def first(start):
        config = ProjectConfig(start=start, steps=1)
        return next(iter(Projection(model, sample(model), config).run())).ws

    mean, _ = projector.spread(model, samples=1000)
    torch.testing.assert_close(first("mean")[0, 0], mean)
    torch.testing.assert_close(first("auto"), first("mean"))
    z = torch.from_numpy(np.random.RandomState(9).randn(1, 16)).float()
    torch.testing.assert_close(first("9")[0, :1], model.generator.mapping(z))
    with pytest.raises(UserError, match="has no encoder; train one"):
        first("encoder")


def test_noise_maps_belong_to_the_result(model):
    picture = sample(model, 8)
    noisy = Projection(model, picture, ProjectConfig(steps=40, noise=True))
    steps = list(noisy.run())
    result = noisy.result()
    of_maps = [s.distance for s in steps if s.stage == "noise"]
    assert of_maps[0] == pytest.approx(min(s.distance for s in steps if s.stage == "latent"), 0.05)
    assert min(of_maps) < 0.7 * of_maps[0]
    before = [m[0, 0].clone() for m in model.generator.synthesis.noise_maps("const")]
    projector.normalise(before)
    assert noise_penalty(noisy.noise) < 1.5 * noise_penalty(before)
    assert [len(m) for m in noisy.noise] == model.generator.synthesis.noise_shapes
    assert result.recipe.x == result.attachment.key and not result.recipe.fits_link
    with pytest.raises(UserError, match="open the PNG"):
        model.render(result.recipe)
    drawn = model.carrying(result.attachment).render(result.recipe)
    assert np.array_equal(drawn, result.picture)
    for noise in noisy.noise:
        assert abs(noise.mean()) < 1e-5 and abs(noise.square().mean() - 1) < 1e-4


def test_noise_penalty_by_hand():
    stripes = torch.ones(8, 8)
    stripes[:, ::2] = -1
    assert noise_penalty([stripes]) == 2  # -1 across, 1 along
    assert noise_penalty([stripes.repeat(2, 2)]) == 2  # and nothing left at half the size
    assert noise_penalty([torch.randn(64, 64, generator=torch.manual_seed(0))]) < 0.05


def test_tuning_comes_closer_and_changes_no_shared_weight(model):
    picture = target(Image.radial_gradient("L").resize((16, 16)), NETWORK)
    before = {k: v.clone() for k, v in model.generator.state_dict().items()}
    projection = Projection(
        model, picture, ProjectConfig(steps=30, tune=True, tune_steps=120), None
    )
    steps = list(projection.run())
    latent = [s for s in steps if s.stage == "latent"]
    tuned = [s for s in steps if s.stage == "tune"]
    assert tuned[0].distance == pytest.approx(min(s.distance for s in latent), rel=0.05)
    result = projection.result()
    assert result.psnr > psnr(tuned[0].picture, projector.picture_of(picture)) + 3
    for name, tensor in model.generator.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert 0 < len(result.attachment.blob) < 2 * sum(t.numel() for t in before.values())
    drawn = model.carrying(result.attachment).render(result.recipe)
    assert np.array_equal(drawn, result.picture)


def test_grey_transparent_and_labelled_models():
    for changes in ({"channels": 1}, {"channels": 4}, {"c_dim": 3}):
        other = tiny(NetworkConfig(**{**NETWORK.__dict__, **changes}))
        c = 2 if other.c_dim else 0
        config = ProjectConfig(steps=5, c=c, tune=True, tune_steps=3)
        projection = Projection(other, sample(other, c=c), config)
        list(projection.run())
        assert projection.result().picture.shape == (16, 16, other.config.channels)
        assert projection.result().recipe.c == c


def test_targets_are_what_prepare_makes():
    image = Image.new("RGBA", (40, 20), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (10, 0, 30, 20))
    opaque = target(image, NETWORK)
    assert opaque.shape == (1, 3, 16, 16)
    assert opaque[0, :, 8, 8].tolist() == [-1, -1, 1]
    alpha = target(image, NetworkConfig(**{**NETWORK.__dict__, "channels": 4}), "pad")
    assert alpha[0, 3, 0, 0] == -1 and alpha[0, :, 8, 8].tolist() == [-1, -1, 1, 1]
    assert np.array_equal(projector.picture_of(opaque)[8, 8], [0, 0, 255])


def test_settings_that_cannot_be_used_are_named(model):
    for changes, words in (
        ({"space": "z"}, "space 'z' is not one of w, w+"),
        ({"steps": 0}, "steps 0 is not"),
        ({"start": "-1"}, "start '-1' is not encoder"),
        ({"method": "paper", "start": "7"}, "starts from the mean"),
    ):
        with pytest.raises(UserError, match=words.replace("+", r"\+")):
            ProjectConfig(**changes)
    with pytest.raises(UserError, match="class 1: tiny has 0 classes"):
        Projection(model, sample(model), ProjectConfig(c=1))
    with pytest.raises(UserError, match="the picture is"):
        Projection(model, torch.zeros(1, 3, 8, 8), ProjectConfig())


def test_psnr():
    a = np.zeros((4, 4, 3), np.uint8)
    assert psnr(a, a) == 99
    assert psnr(a, a + 255) == 0
    assert psnr(a, a + 10) == pytest.approx(20 * math.log10(25.5))


def test_without_a_discriminator_pixels_are_compared(model):
    alone = Model("alone", "0123456789", model.generator)
    assert projector.usual_distance(model) == "disc"
    assert projector.usual_distance(alone) == "pixels"
    projection = Projection(alone, sample(alone), ProjectConfig(steps=30))
    steps = list(projection.run())
    assert steps[-1].distance < 0.5 * steps[0].distance

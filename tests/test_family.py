"""Every member of the family does all that a model is asked for."""

import dataclasses

import numpy as np
import pytest
import torch
from family import GROWING, MEMBERS, V1, model, networks
from PIL import Image

import stylegan
from stylegan.checkpoint import save_encoder, save_model
from stylegan.directions import closed_form, measure_spread, style_layers
from stylegan.features import DiscFeatures
from stylegan.mix import Mix, layer_side
from stylegan.networks.growing import shrink
from stylegan.projector import ProjectConfig, Projection, target
from stylegan.recipe import Edit, Recipe, RowMix
from stylegan.tabs.crosstable import EXAMPLES as tables
from stylegan.tabs.crosstable import usual_table
from stylegan.tabs.link import welcome
from stylegan.tabs.tab import fitting_cut
from stylegan.tabs.walks import examples as walks
from stylegan.tensors import CheckpointError
from stylegan.training.encoder_loop import EncoderTrainConfig, EncoderTrainer
from stylegan.walk import Walk


@pytest.fixture(scope="module", params=MEMBERS)
def config(request):
    return MEMBERS[request.param]


@pytest.fixture(scope="module")
def tiny(config):
    return model(config)


def differs(a, b) -> bool:
    return int(np.abs(a.astype(int) - b).max()) > 1


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_saved_and_loaded_it_draws_the_same(config, channels, tmp_path):
    config = dataclasses.replace(config, channels=channels, c_dim=3)
    generator, discriminator = networks(config)
    save_model(tmp_path / "m", config, {}, generator, discriminator)
    loaded = stylegan.load(tmp_path / "m")
    assert loaded.config == config
    recipes = Recipe(seed=1, n=2, psi=0.7, cut=4, c=2, noise=5).singles()
    before = list(stylegan.Model("m", "0" * 10, generator).draw(recipes))
    for one, other in zip(before, loaded.draw(recipes), strict=True):
        assert one.shape == (16, 16, channels)
        assert np.array_equal(one, other)
    img = torch.randn(2, channels, 16, 16)
    labels = torch.eye(3)[:2]
    assert torch.equal(loaded.discriminator(img, labels), discriminator(img, labels))


def test_truncation_mixing_noise_classes_and_walks(config, tiny):
    plain = tiny.render(Recipe(seed=1))
    average = tiny.render(Recipe(seed=1, psi=0))
    assert differs(plain, average)
    assert not differs(average, tiny.render(Recipe(seed=2, psi=0)))
    some = tiny.render(Recipe(seed=1, psi=0, cut=4))
    assert differs(some, average)
    assert differs(some, plain)
    last = tiny.num_ws - 1
    for rows in ((0, 0), (1, 1), (last, last)):  # every row acts
        mixed = tiny.render(Recipe(seed=1, mix=(RowMix(2, *rows),)))
        assert differs(mixed, plain)
    every = tiny.render(Recipe(seed=1, mix=(RowMix(2, 0, last),)))
    assert not differs(every, tiny.render(Recipe(seed=2)))
    noises = [tiny.render(Recipe(seed=1, noise=noise)) for noise in ("none", 1, 2)]
    assert differs(noises[0], plain)
    assert differs(noises[1], noises[2])
    table = dict(tiny.table(Mix((1,), (2,), (0, 1))))
    assert len(table) == 3  # a row, a column and their cell
    walk = Walk((1, 2), frames=3)
    assert not differs(next(tiny.walk(walk)), plain)
    own = model(dataclasses.replace(config, c_dim=2))
    assert differs(own.render(Recipe(seed=1)), own.render(Recipe(seed=1, c=1)))


def test_rows_act_where_they_are_said_to(config, tiny):
    """A row's own style reaches only layers of its side and larger ones."""
    synthesis, seen = tiny.generator.synthesis, {}

    def note(block, _, out):
        seen[block.resolution] = out[0] if isinstance(out, tuple) else out

    blocks = [getattr(synthesis, f"b{side}") for side in config.resolutions]
    hooks = [block.register_forward_hook(note) for block in blocks]
    for row in range(tiny.num_ws):
        ws = tiny.ws(Recipe(seed=1)).repeat(2, 1, 1)
        ws[1, row] += 1
        synthesis(ws)
        touched = [side for side, x in seen.items() if not torch.allclose(*x, atol=1e-5)]
        # of the last row of StyleGAN2 only the picture's own layer is left
        assert (touched or [config.resolution])[0] == layer_side(config, row)
    for hook in hooks:
        hook.remove()


def test_every_row_has_layers_that_make_styles_of_it(tiny):
    layers = style_layers(tiny)
    assert all(layers)
    spread = measure_spread(tiny, n=200)
    step = closed_form(tiny, spread, 1)[0]
    tiny.directions["most"] = step.to(torch.float32)
    recipe = Recipe(seed=1, e=(Edit("most", 3.0),))
    assert differs(tiny.render(recipe), tiny.render(Recipe(seed=1)))


def test_a_picture_is_found_and_carried(tiny):
    image = Image.fromarray(tiny.render(Recipe(seed=3)))
    config = ProjectConfig(steps=3, noise=True, tune=True, tune_steps=2, distance="disc")
    projection = Projection(tiny, target(image, tiny.config), config)
    steps = list(projection.run())
    assert {step.stage for step in steps} >= {"tune"}
    assert steps[-1].distance < steps[0].distance
    found = projection.result()
    drawn = tiny.carrying(found.attachment).render(found.recipe)
    assert not differs(drawn, found.picture)
    assert differs(drawn, tiny.render(dataclasses.replace(found.recipe, x=None)))


def test_an_encoder_fits(config, tiny, tmp_path):
    generator, discriminator = networks(config)
    save_model(tmp_path / "m", config, {}, generator, discriminator)
    training = EncoderTrainConfig(model=str(tmp_path / "m"), batch=4, precision="float32")
    trainer = EncoderTrainer(training, tmp_path / "m", torch.device("cpu"))
    gaps = [trainer.step()[0] for _ in range(3)]
    assert all(np.isfinite(gaps))
    save_encoder(tmp_path / "m", trainer.encoder)
    ws = stylegan.load(tmp_path / "m").encoder(torch.zeros(1, 3, 16, 16))
    assert ws.shape == (1, config.num_ws, config.w_dim)


def test_another_member_s_weights_are_refused(config, tmp_path):
    generator, _ = networks(config)
    other = V1 if config.style == "demodulated" else GROWING
    save_model(tmp_path / "m", other, {}, generator)
    with pytest.raises(CheckpointError, match="does not fit its network"):
        stylegan.load(tmp_path / "m")


@pytest.mark.parametrize("config", [V1, GROWING])
def test_a_model_whose_growth_was_interrupted_draws_as_far_as_it_has_grown(config, tmp_path):
    generator, discriminator = networks(config)
    for network in (generator.synthesis, discriminator):
        network.lod.fill_(1)
    save_model(tmp_path / "m", config, {}, generator, discriminator)
    loaded = stylegan.load(tmp_path / "m")
    picture = loaded.render(Recipe(seed=1))
    assert picture.shape == (16, 16, 3)
    squares = picture.reshape(8, 2, 8, 2, 3)
    assert (squares == squares[:, :1, :, :1]).all()
    img = torch.randn(2, 3, 16, 16)
    assert torch.equal(loaded.discriminator(img), loaded.discriminator(shrink(img)))
    features = DiscFeatures(loaded.discriminator)
    assert features(img).shape == features(img + 1).shape


def test_v1_is_truncated_in_its_first_8_rows_unless_told_otherwise():
    v1 = model(dataclasses.replace(V1, resolution=64))
    v2 = model(dataclasses.replace(GROWING, resolution=64))
    for tiny, cut in ((v1, 8), (v2, None)):
        begin = [welcome(tiny), usual_table(tiny), *walks(tiny).values()]
        begin += [example(tiny) for example in tables.values()]
        assert {value.cut for value in begin} == {cut}
    assert [fitting_cut(cut, v1) for cut in (None, 3, 40)] == [8, 3, 8]
    assert [fitting_cut(cut, v2) for cut in (None, 3, 40)] == [None, 3, None]

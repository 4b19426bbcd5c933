import io

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from stylegan import attachment, stamp
from stylegan.attachment import (
    Attached,
    Attachment,
    AttachmentError,
    LowRank,
    shallow_copy,
)
from stylegan.config import NetworkConfig
from stylegan.mix import Mix
from stylegan.model import Model
from stylegan.networks.generator import Generator
from stylegan.recipe import Recipe, RecipeError
from stylegan.stamp import png_bytes, read_attachment, read_png
from stylegan.walk import Walk

NETWORK = NetworkConfig(
    resolution=16, z_dim=16, w_dim=16, mapping_layers=1, channel_base=128, channel_max=8
)
WEIGHT = "b8.conv0.weight"


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(5)
    generator = Generator(NETWORK).eval().requires_grad_(False)
    for name, p in generator.named_parameters():
        if name.endswith("noise_strength"):
            p.data.fill_(0.3)
    return Model("tiny", "0", generator)


def noise(sides=(4, 8, 8, 16, 16)):
    chance = torch.manual_seed(1)
    return [torch.randn(r, r, generator=chance) for r in sides]


def delta(model):
    shape = model.generator.synthesis.get_parameter(WEIGHT).shape
    return {WEIGHT: LowRank(torch.ones(shape[0], 2), torch.randn(2, *shape[1:]))}


def test_it_comes_back_from_a_png_as_it_was(model):
    low = delta(model)[WEIGHT]
    first = Attachment(noise(), {WEIGHT: low, "b16.torgb.bias": torch.ones(3)})
    file = png_bytes(np.zeros((4, 4, 3), np.uint8), "seed=7", attachment=first.blob)
    again = Attachment.from_bytes(read_attachment(file))
    assert again.key == first.key and len(first.key) == 16 and read_png(file) == "seed=7"
    for a, b in zip(again.noise, noise(), strict=True):
        assert torch.equal(a[0, 0], b.half().float())
    change = again.delta[WEIGHT]
    by_hand = torch.einsum("ok,kihw->oihw", low.left, low.right.half().float())
    torch.testing.assert_close(change, by_hand)
    assert again.delta["b16.torgb.bias"].tolist() == [1, 1, 1]
    with Image.open(io.BytesIO(file)) as image:
        image.load()


def test_pictures_without_one_and_other_people_s_chunks(monkeypatch):
    plain = png_bytes(np.zeros((4, 4, 3), np.uint8), "seed=7")
    assert read_attachment(plain) is None
    big = png_bytes(np.zeros((4, 4, 3), np.uint8), "seed=7", attachment=bytes(100))
    monkeypatch.setattr(stamp, "MAX_ATTACHMENT_BYTES", 99)
    assert read_attachment(big) is None


def test_drawing_with_it_changes_no_shared_weight(model):
    shared = {k: v.clone() for k, v in model.generator.state_dict().items()}
    recipe = Recipe(seed=3)
    plain = model.render(recipe)
    attachment = Attachment(noise(), {WEIGHT: delta(model)[WEIGHT]})
    carrying = model.carrying(attachment)
    named = Recipe(seed=3, x=attachment.key)
    assert not np.array_equal(carrying.render(named), plain)
    assert np.array_equal(carrying.render(recipe), plain)
    mixed = list(carrying.draw([recipe, named, recipe]))
    assert np.array_equal(mixed[1], carrying.render(named)) and np.array_equal(mixed[2], plain)
    for name, tensor in model.generator.state_dict().items():
        assert torch.equal(tensor, shared[name])
    with pytest.raises(RecipeError, match=rf"x {attachment.key}: .* open the PNG"):
        model.render(named)


def test_its_noise_stands_in_place_of_the_constant_one_alone(model):
    attachment = Attachment(noise())
    carrying = model.carrying(attachment)
    for asked in ("none", 5):
        plain = model.render(Recipe(noise=asked))
        assert np.array_equal(carrying.render(Recipe(noise=asked, x=attachment.key)), plain)


def test_walks_and_tables_are_drawn_with_it(model):
    attachment = Attachment((), {WEIGHT: delta(model)[WEIGHT]})
    carrying, x = model.carrying(attachment), attachment.key
    walk = Walk((1, 2), frames=2, x=x)
    assert Walk.from_query(walk.to_query(), strict=True) == walk and not walk.fits_link
    frames = list(carrying.walk(walk))
    assert np.array_equal(frames[0], carrying.render(Recipe(seed=1, x=x)))
    assert not np.array_equal(frames[1], next(model.walk(Walk((1, 2), frames=2), [1])))
    table = Mix((1,), (2,), x=x)
    assert Mix.from_query(table.to_query(), strict=True) == table and not table.fits_link
    assert all(recipe.x == x for recipe in table.recipes().values())


def test_a_recipe_names_it():
    recipe = Recipe(seed=7, x="0123456789abcdef")
    assert recipe.to_query() == "seed=7&x=0123456789abcdef"
    assert Recipe.from_query(recipe.to_query(), strict=True) == recipe and not recipe.fits_link
    for bad in ("", "0123", "0123456789ABCDEF", "../../../../../etc", "0" * 17):
        with pytest.raises(RecipeError, match="is not a hash of 16 hex digits"):
            Recipe(x=bad)


def test_what_fits_another_model_is_refused(model):
    shape = model.generator.synthesis.get_parameter(WEIGHT).shape
    left, right = torch.ones(shape[0], 2), torch.ones(2, *shape[1:])
    for other in (
        Attachment(noise()[:-1]),
        Attachment([m[:4] for m in noise()]),
        Attachment((), {"b8.conv0.nothing": torch.ones(3)}),
        Attachment((), {"b16.torgb.bias": torch.ones(4)}),
        Attachment((), {WEIGHT: LowRank(left[1:], right)}),
        Attachment((), {WEIGHT: LowRank(left, right[:1])}),
        Attachment((), {WEIGHT: LowRank(left[:, :0], right[:, :1])}),
    ):
        with pytest.raises(AttachmentError, match="fit another model"):
            model.carrying(other)


def test_half_a_pair_is_refused(model):
    blob = save({f"left.{WEIGHT}": torch.ones(8, 2).half()})
    with pytest.raises(AttachmentError, match="fit another model"):
        model.carrying(Attachment.from_bytes(blob))


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        (b"", "damaged"),
        (b"\xff" * 64, "damaged"),
        (save({"noise.0": torch.ones(4, 4)}), "neither noise nor a tuning"),
        (save({"other": torch.ones(4).half()}), "neither noise nor a tuning"),
        (save({"noise.x": torch.ones(4, 4).half()}), "neither noise nor a tuning"),
        (save({"noise.0": torch.full((4, 4), torch.nan).half()}), "not finite"),
        (bytes((16 << 20) + 1), "more than 16 MB"),
    ],
)
def test_damaged_and_hostile_blobs_are_refused(blob, words):
    with pytest.raises(AttachmentError, match=words):
        Attachment.from_bytes(blob)


def test_numbers_beyond_half_precision_are_refused():
    with pytest.raises(AttachmentError, match="half precision cannot carry"):
        Attachment([torch.full((4, 4), 1e6)])


def test_a_shallow_copy_shares_its_tensors(model):
    copy = shallow_copy(model.generator.synthesis)
    assert copy is not model.generator.synthesis
    for a, b in zip(copy.parameters(), model.generator.synthesis.parameters(), strict=True):
        assert a is b


# What a page holds of other people's


def test_what_is_attached_for_a_while_is_bounded(model):
    one, two = Attachment(noise()), Attachment([m * 2 for m in noise()])
    held = Attached(model.generator.synthesis, most_bytes=len(one.blob) + len(two.blob) - 1)
    held.add(one)
    held.add(one)
    assert held.get(one.key) is one and held.get(None) is None
    held.add(two)
    assert held.get(one.key) is None and held.get(two.key) is two
    with pytest.raises(AttachmentError, match=f"x {one.key}: .* open the PNG"):
        held.network(one.key)
    large = Attached(model.generator.synthesis, most_bytes=1)
    large.add(one)
    assert large.get(one.key) is one, "the newest is held at any size"


def test_few_tuned_networks_are_at_hand_and_others_are_built_again(model, monkeypatch):
    monkeypatch.setattr(attachment, "MOST_BUILT", 1)
    held = Attached(model.generator.synthesis)
    several = [Attachment((), {WEIGHT: low}) for low in (delta(model)[WEIGHT] for _ in range(2))]
    for one in several:
        held.add(one)
    first = held.network(several[0].key)[1]
    assert held.network(several[0].key)[1] is first
    held.network(several[1].key)
    again = held.network(several[0].key)[1]
    assert again is not first
    assert torch.equal(again.get_parameter(WEIGHT), first.get_parameter(WEIGHT))


def test_a_model_is_attached_to_or_left_as_it_is(model):
    one = Attachment(noise())
    recipe = Recipe(seed=3, x=one.key)
    with pytest.raises(RecipeError, match="open the PNG"):
        model.check(recipe)
    carrying = model.carrying(one)
    with pytest.raises(RecipeError, match="open the PNG"):
        model.check(recipe)
    model.attach(one)
    assert model.attachment(one.key) is one
    assert np.array_equal(model.render(recipe), carrying.render(recipe))

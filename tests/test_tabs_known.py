import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from stylegan.config import NetworkConfig
from stylegan.direction_files import DirectionNote
from stylegan.directions import closed_form, measure_spread, principal
from stylegan.latents import shift
from stylegan.model import Model, load
from stylegan.networks.generator import Generator
from stylegan.recipe import Edit, Recipe, RowMix
from stylegan.tabs.known import MOST_FOUND, Found, Known, edited

TINY = Path(__file__).parent / "links/tiny-16"


@pytest.fixture(scope="module")
def found():
    return Found()


@pytest.fixture(scope="module")
def model():
    return load(TINY)


def with_notes(model, called, **notes):
    """The same network, with a direction of one kind or another for each note."""
    steps = {name: torch.eye(16)[i] for i, name in enumerate(notes)}
    return Model(called, "0" * 10, model.generator, None, steps, notes)


def test_a_model_has_its_own_directions_and_those_found_in_it(found, model):
    known = found.known(model)
    kinds = {name: (direction.kind, direction.linked) for name, direction in known.items()}
    assert kinds.pop("shape") == kinds.pop("warmth") == ("named", True)
    assert list(kinds) == [
        f"{how}-{i}" for how in ("closed-form", "pca") for i in range(1, MOST_FOUND + 1)
    ]
    assert set(kinds.values()) == {("found", False)}
    assert list(known)[:2] == ["shape", "warmth"], "the named ones stand first"
    spread = measure_spread(model)
    steps = [*closed_form(model, spread, MOST_FOUND), *principal(spread, MOST_FOUND)]
    for direction, step in zip(list(known.values())[2:], steps, strict=True):
        assert torch.equal(direction.step, step)
    assert found.known(model)["pca-1"] is known["pca-1"], "it is found once"


def test_a_small_w_has_fewer_axes(found):
    config = NetworkConfig(
        resolution=8, z_dim=4, w_dim=4, mapping_layers=1, channel_base=64, channel_max=8
    )
    small = Model("small", "0" * 10, Generator(config).eval().requires_grad_(False))
    assert len(found.known(small)) == 2 * 4


def test_a_file_that_holds_found_ones_is_not_added_to(found, model):
    notes = {"axis-1": DirectionNote(method="PCA"), "hat": DirectionNote(method="own marks")}
    noted = with_notes(model, "explored", **notes)
    known = found.known(noted)
    assert {name: direction.kind for name, direction in known.items()} == {
        "hat": "named",
        "axis-1": "found",
    }
    assert next(iter(known)) == "hat" and all(direction.linked for direction in known.values())


def test_what_a_visitor_made_stands_first_and_belongs_to_one_model(found, model):
    mine = Known("smile", torch.ones(16), DirectionNote(), "own", model.id)
    assert list(found.known(model, [mine]))[:2] == ["smile", "shape"]
    other = dataclasses.replace(mine, m="other@0000000000")
    assert "smile" not in found.known(model, [other])


def test_what_the_page_tells_of_a_direction(found, model):
    noted = with_notes(
        model,
        "fitted",
        hat=DirectionNote("a hat", "fitted to hat=clothes~hat", 0.875, (0, 3), {"hat": 1.0}),
        long_hair=DirectionNote(
            "long hair", "fitted", 0.8, moves={"long_hair": 0.4, "hat": -0.3, "age": 0.1, "x": 0.2}
        ),
        plain=DirectionNote(method="3 seeds with it, 4 without"),
    )
    listed = {name: direction.listed() for name, direction in found.known(noted).items()}
    assert listed["hat"] == {
        "direction": "hat",
        "label": "a hat",
        "note": "88% told right",
        "method": "fitted to hat=clothes~hat",
        "rows": (0, 3),
        "kind": "named",
        "m": noted.id,
        "linked": True,
    }
    assert listed["long_hair"]["note"] == "80% told right · moves too: a hat −, x +"
    assert listed["plain"]["label"] == "plain"
    assert listed["plain"]["note"] == "3 seeds with it, 4 without"
    assert listed["pca-1"]["note"] == "PCA"


def test_edits_that_a_link_can_name_stay_edits(found, model):
    start = Recipe(seed=3, psi=0.7, c=1, noise=5, t="edit", mix=(RowMix(4, 0, 1),))
    edits = (Edit("warmth", 1.5), Edit("shape", -1, (0, 2)))
    plain, moved = edited(model, start, [(), edits], found.known(model))
    assert plain == model.stamped(start)
    assert moved == model.stamped(dataclasses.replace(start, e=edits))


def test_the_other_edits_are_in_the_latent(found, model):
    known = found.known(model)
    start = Recipe(seed=3, psi=0.7, c=1, noise=5, t="edit", mix=(RowMix(4, 0, 1),))
    edits = (Edit("pca-1", 2, (1, 3)), Edit("warmth", 1.5), Edit("closed-form-2", -1))
    (moved,) = edited(model, start, [edits], known)
    assert (moved.e, moved.mix, moved.seed, moved.noise) == ((edits[1],), (), 0, 5)
    assert (moved.t, moved.m) == ("edit", model.id)
    ws = model.ws(start)
    ws = shift(ws, known["pca-1"].step, 2, (1, 3))
    ws = shift(ws, model.directions["warmth"], 1.5)
    ws = shift(ws, known["closed-form-2"].step, -1)
    assert torch.allclose(model.ws(moved), ws, atol=2e-3), "but for half precision"
    assert not np.array_equal(model.render(moved), model.render(start))

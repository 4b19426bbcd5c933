import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from training_data import NETWORK, write_pictures

from stylegan import finding, judges
from stylegan.config import UserError
from stylegan.data import Pictures
from stylegan.directions import DirectionError, closed_form, measure_spread, principal
from stylegan.finding import FindConfig, find
from stylegan.latents import shift
from stylegan.mix import bands
from stylegan.model import Model, load
from stylegan.networks.generator import Generator
from stylegan.recipe import Edit, Recipe

TINY = Path(__file__).parent / "links/tiny-16"
RED = "red=#a5e0c0/#3ce0c0@0,0,1,1"  # about the mean colour of what the tiny model draws
GREEN = "green=#71f4c0/#71ccc0@0,0,1,1"


@pytest.fixture(scope="module")
def model():
    return load(TINY)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(judges, "EPOCHS", 6)
    monkeypatch.setattr(finding, "MOVED", 12)


def config(**changes):
    return FindConfig(**{"model": str(TINY), "num": 300, "device": "cpu", **changes})


def lightness(model, recipe):
    return float(model.render(recipe).mean())


def test_steps_without_labels(model):
    found = find(model, config(closed_form=2, pca=3, seed=4))
    spread = measure_spread(model, 4)
    names = ["closed-form-1", "closed-form-2", "pca-1", "pca-2", "pca-3"]
    assert list(found.steps) == list(found.notes) == names
    expected = [*closed_form(model, spread, 2), *principal(spread, 3)]
    assert all(map(torch.equal, found.steps.values(), expected))
    assert found.notes["closed-form-1"].method == "closed form"
    assert found.notes["pca-3"].method == "PCA" and found.notes["pca-3"].rows is None
    some = find(model, config(closed_form=1, rows="2-3", name="coarse"))
    expected = closed_form(model, measure_spread(model), 1, (2, 3))
    assert torch.equal(some.steps["coarse-1"], expected[0])
    note = some.notes["coarse-1"]
    assert note.rows == (2, 3) and note.method == "closed form of rows 2-3"


def test_a_direction_from_seeds(model):
    values = {seed: lightness(model, Recipe(seed=seed)) for seed in range(60)}
    order = sorted(values, key=values.get)
    dark, light = (",".join(map(str, some)) for some in (order[:15], order[-15:]))
    found = find(model, config(positive=light, negative=dark, name="light-er"))
    assert list(found.steps) == ["light-er"] and found.steps["light-er"].shape == (16,)
    note = found.notes["light-er"]
    assert note.label == "light er" and note.accuracy == found.fits["light-er"].accuracy > 0.6
    assert note.method == "15 seeds with it, 15 without"
    shown = Model("m", "r", model.generator, directions=found.steps)
    moved = [
        lightness(shown, Recipe(seed=seed, e=[Edit("light-er", 2)])) - values[seed]
        for seed in range(20)
    ]
    assert np.mean(moved) > 5


def test_colours_that_are_asked_for_are_found_and_what_they_move(model):
    found = find(model, config(colors=(RED, GREEN)))
    assert list(found.steps) == list(found.fits) == ["red", "green"]
    shown = Model("m", "r", model.generator, directions=found.steps)
    for channel, (name, fit) in enumerate(found.fits.items()):
        note = found.notes[name]
        assert fit.accuracy > 0.65 and note.accuracy == fit.accuracy
        assert fit.has + fit.has_not == 300
        assert note.method == f"fitted to {(RED, GREEN)[channel]}"
        other = {"red": "green", "green": "red"}[name]
        assert note.moves[name] > 0.3 and abs(note.moves[other]) < note.moves[name]
        more, less = (
            np.mean(
                [
                    shown.render(Recipe(seed=seed, e=[Edit(name, k, note.rows)]))[..., channel]
                    for seed in range(12)
                ]
            )
            for k in (2, -2)
        )
        assert more > less + 10


def test_apart_they_move_each_other_less(model):
    leaks = []
    for together in (True, False):
        notes = find(model, config(colors=(RED, GREEN), apart=not together)).notes
        leaks.append(abs(notes["red"].moves["green"]) + abs(notes["green"].moves["red"]))
    assert leaks[1] < 0.7 * leaks[0]


def test_some_are_only_kept_apart_from_and_measured(model):
    both = find(model, config(colors=(RED, GREEN)))
    one = find(model, config(colors=(RED, GREEN), only=("green",)))
    assert list(one.steps) == list(one.notes) == ["green"] and set(one.fits) == {"red", "green"}
    assert torch.equal(one.steps["green"], both.steps["green"])
    assert one.notes["green"] == both.notes["green"]


def test_moves_are_the_mean_change_of_each_score(model):
    """Measured once more by hand, on scores that are means of channels."""

    class Means:
        names = ("red", "green")

        def scores(self, images):
            return images.double().mean(dim=(2, 3))[:, :2]

    deviations = torch.tensor([10.0, 20.0]).double()
    gauge = finding._Gauge(model, Means(), deviations, config(psi=0.8))
    step, rows = torch.linspace(-0.3, 0.4, 16), (1, 3)
    found = gauge.moves(step, rows)
    scores = []
    for k in (2, -2):
        x = model.generator.synthesis(shift(gauge.ws, step, k, rows))
        pictures = (x * 127.5 + 128).clamp(0, 255).to(torch.uint8).double()
        scores.append(pictures.mean(dim=(2, 3))[:, :2].mean(dim=0))
    assert torch.allclose(found, (scores[0] - scores[1]) / 4 / deviations, atol=0.02)
    assert found.abs().max() > 0.05


def test_the_fewest_rows_that_do_it_are_taken(model, monkeypatch):
    coarse, middle, fine = bands(6).values()
    does = {None: 1.0, coarse: 0.1, middle: 0.5, fine: 0.2, (0, 3): 0.7, (2, 5): 0.9}
    monkeypatch.setattr(finding._Gauge, "__init__", lambda self: None)
    monkeypatch.setattr(
        finding._Gauge, "moves", lambda self, step, rows: torch.tensor([0.0, does[rows]])
    )
    gauge = finding._Gauge()
    gauge.model = model
    assert gauge.narrowest(None, 1) == (2, 5)
    does[middle] = 0.81
    assert gauge.narrowest(None, 1) == middle
    does.update({middle: 0.5, (2, 5): 0.5})
    assert gauge.narrowest(None, 1) is None
    does[None] = -0.5
    assert gauge.narrowest(None, 1) is None


@pytest.fixture
def fresh():
    """A model like the tiny data."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Model("fresh", "0" * 10, Generator(NETWORK).eval().requires_grad_(False))


def labelled(tmp_path):
    """A zip of discs and a table that knows how light each is."""
    data = write_pictures(tmp_path / "data.zip", 36)
    light = Pictures(data).images(range(36)).double().mean(dim=(1, 2, 3))
    lines = ["file,light,shade,who"]
    for i, value in enumerate(light.tolist()):
        shade = "bright" if value > light.median() else "dim"
        lines.append(f"img{i:08d}.png,{value},{shade},{i // 2}")
    (tmp_path / "table.csv").write_text("\n".join(lines))
    return {"data": str(data), "table": str(tmp_path / "table.csv"), "group": "who"}


def test_attributes_of_a_table(tmp_path, fresh):
    asked = labelled(tmp_path) | {"attributes": ("light", "dim=shade:dim")}
    stages = []
    found = find(
        fresh, config(**asked, apart=False, rows="0-3"), lambda what, *_: stages.append(what)
    )
    assert list(dict.fromkeys(stages)) == ["learning", "labelling", "measuring"]
    assert set(found.seen) == {"light", "dim"} and found.seen["dim"].groups > 2
    for name in found.steps:
        note = found.notes[name]
        assert note.rows == (0, 3) and set(note.moves) == {"light", "dim"}
        assert note.method.startswith("fitted to ")
    assert set(found.steps) | set(found.missing) == {"light", "dim"}
    again = find(fresh, config(**asked, apart=False, rows="0-3"))
    assert again.notes == found.notes
    assert all(torch.equal(again.steps[name], step) for name, step in found.steps.items())


def test_what_the_generator_never_draws_is_left_out_and_told(model):
    found = find(model, config(colors=(RED, "blue=#0000ff/#fffffe@0,0,1,1"), closed_form=1))
    assert list(found.steps) == ["closed-form-1", "red"]
    assert "at least 2 must" in found.missing["blue"]
    assert set(found.notes["closed-form-1"].moves) == {"red", "blue"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "nothing is asked for: give --closed-form N"),
        ({"closed_form": -1}, "closed_form -1 is outside 0 to 4096"),
        ({"closed_form": 17}, "17 directions are asked for, but there are 1 to 16"),
        ({"closed_form": 1, "rows": "0-6"}, "rows 0-6: tiny-16 has rows 0 to 5"),
        ({"pca": 1, "rows": "x"}, '--rows: "x" are not rows first-last'),
        ({"pca": 1, "rows": "3-1"}, "rows 3-1 run backwards"),
        ({"pca": 1, "num": 3}, "num 3 is outside 100"),
        ({"positive": "1-3"}, "--positive and --negative go together"),
        ({"positive": "1-3", "negative": "5-8"}, "say with --name what"),
        ({"positive": "1-3", "negative": "5-8", "name": "a b"}, "is no name for a direction"),
        ({"positive": "1", "negative": "5-8", "name": "a"}, "pictures with it: 1"),
        ({"positive": "1-5", "negative": "5-8", "name": "a"}, "seed 5 is among --positive and"),
        ({"positive": "x", "negative": "5-8", "name": "a"}, 'seeds "x" are not whole numbers'),
        ({"pca": 1, "closed_form": 1, "name": "a"}, "--name is for one of"),
        ({"colors": (RED,), "name": "a"}, "--name is for one of"),
        ({"attributes": ("a",)}, "--data, --table and --attributes go together"),
        ({"data": "x.zip", "table": "x.csv"}, "--data, --table and --attributes go together"),
        ({"pca": 1, "group": "who"}, "--group is a column of --table"),
        ({"colors": (RED,), "only": ("blue",)}, "--only blue: no attribute .* has that name"),
        ({"colors": (RED, RED)}, "red is the name of two directions"),
        (
            {"colors": (RED,), "positive": "1-3", "negative": "5-8", "name": "red"},
            "red is the name of two directions",
        ),
        (
            {"colors": (RED, RED.replace("red", "again"))},
            "is the same as the other attributes together",
        ),
    ],
)
def test_wrong_settings_are_named(model, changes, words):
    with pytest.raises(UserError, match=words):
        find(model, config(**changes))


def test_data_of_another_size_is_refused(tmp_path, model, fresh):
    asked = labelled(tmp_path) | {"attributes": ("light",)}
    other = dataclasses.replace(NETWORK, resolution=32)
    bigger = Model("big", "0" * 10, Generator(other))
    with pytest.raises(UserError, match="the model draws 32x32 pictures"):
        find(bigger, config(**asked))
    with pytest.raises(DirectionError, match="light is the name of two directions"):
        find(fresh, config(**asked | {"colors": ("light=white/black@0,0,1,1",)}))

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from stylegan.checkpoint import save_model
from stylegan.config import NetworkConfig, UserError
from stylegan.mix import Mix, bands
from stylegan.networks.generator import Generator
from stylegan.query import RecipeError, pack_latent
from stylegan.sheet import cell_factor, draw_sheet
from stylegan.stamp import read_png
from stylegan.tabs.crosstable import (
    EXAMPLES,
    check_table,
    fitting,
    layers_value,
    matching_layers,
    table_file,
    table_value,
    usual_table,
)
from stylegan.tabs.session import Session

TINY = Path(__file__).parent / "links/tiny-16"
LATENT = pack_latent(np.linspace(-1, 1, 16))
SIDES = (8, 16, 32, 64, 128, 256, 512, 1024)


def sized(side, c_dim=0):
    """A model of this size that draws nothing."""
    config = NetworkConfig(resolution=side, c_dim=c_dim)
    return SimpleNamespace(config=config, num_ws=config.num_ws, check=lambda recipe: None)


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """Models of 16x16 RGB and 8x8 grey."""
    folder = tmp_path_factory.mktemp("models")
    sizes = {"z_dim": 16, "w_dim": 16, "mapping_layers": 1, "channel_base": 64, "channel_max": 8}
    config = NetworkConfig(resolution=8, channels=1, **sizes)
    save_model(folder / "grey-8", config, {}, Generator(config))
    shutil.copytree(TINY, folder / "tiny-16")
    return Session([folder / "tiny-16", folder / "grey-8"], folder / "files", "cpu")


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


@pytest.mark.parametrize("at", [0, 1])
def test_the_file_is_the_sheet_with_its_recipe(session, at):
    model = list(session.models.values())[at]
    mix = Mix((1, LATENT, 3), (4, 5), (0, 3), psi=0.7)
    path = table_file(session, model, mix)
    assert read_png(path) == model.stamped(mix).to_query()
    assert path.name == f"{model.name}-mix-3x2-layers0_3.png"
    factor = cell_factor(model.config, mix)
    assert factor == 128 // model.config.resolution
    assert np.abs(pixels(path) - draw_sheet(mix, model.table(mix), model.config, factor)).max() <= 1


def test_the_file_is_drawn_once(session, monkeypatch):
    mix = Mix((11, 12), (13,), (1,))
    path = table_file(session, session.first, mix)
    monkeypatch.setattr(session, "draw", None)
    assert table_file(session, session.first, mix) == path


@pytest.mark.parametrize(
    ("mix", "words"),
    [
        (Mix((1,), (2,), (4, 9)), "rows 9-9: tiny-16 has rows 0 to 5"),
        (Mix((1,), (pack_latent(np.arange(8)),), (0,)), "w holds 8 numbers"),
        (Mix((pack_latent(np.arange(8)), 1), (2,), (0,)), "w holds 8 numbers"),
        (Mix((1,), (2,), (0,), c=3), "classes 0 to 2"),
    ],
)
def test_what_a_model_has_not_is_told(session, mix, words):
    for refused in (check_table, lambda mix, model: table_file(session, model, mix)):
        with pytest.raises(RecipeError, match=words):
            refused(mix, session.first)


def test_a_table_that_is_too_large_is_told_and_cut():
    model = sized(1024)
    large = Mix(tuple(range(10)), tuple(range(4)), (0,))
    with pytest.raises(UserError, match=r"10 x 4 pictures of 1024 pixels .* draws 32 of them"):
        check_table(large, model)
    cut, said = fitting(large, model)
    check_table(cut, model)
    assert (cut.rows, cut.cols) == (large.rows[:5], large.cols[:4])
    assert "first 5 rows and 4 columns" in said[0]
    assert fitting(cut, model) == (cut, [])
    largest = Mix(tuple(range(32)), tuple(range(32)), (0,))
    assert fitting(largest, sized(128)) == (largest, [])


@pytest.mark.parametrize("side", SIDES)
def test_every_size_of_model_has_tables_and_layers_of_its_own(side):
    model = sized(side)
    for mix in (usual_table(model), *(example(model) for example in EXAMPLES.values())):
        check_table(mix, model)
        assert mix.layers[0] >= 0 and mix.layers[-1] < model.num_ws
        assert len(mix.layers) < model.num_ws, "cells differ from their columns"
    shown = layers_value([0], model.config)
    assert len(shown["sides"]) == model.num_ws == 2 * side.bit_length() - 4
    assert [band["name"] for band in shown["bands"]] == ["coarse", "middle", "fine"]
    assert shown["sides"][0] == 4 and shown["sides"][-1] == side
    assert shown["bands"][0]["rows"][0] == 0
    assert shown["bands"][-1]["sides"].endswith(f"{side} px")


def test_bands_say_their_sides():
    shown = layers_value([0], NetworkConfig(resolution=64))["bands"]
    assert [band["sides"] for band in shown] == ["4-8 px", "16-32 px", "64 px"]


@pytest.mark.parametrize("before", SIDES)
@pytest.mark.parametrize("after", (8, 64, 1024))
def test_layers_of_another_model_do_the_same(before, after):
    old, new = NetworkConfig(resolution=before), NetworkConfig(resolution=after)
    for name, (first, last) in bands(old.num_ws).items():
        a, b = bands(new.num_ws)[name]
        assert matching_layers(range(first, last + 1), old, new) == tuple(range(a, b + 1))
    for layer in range(old.num_ws):
        rows = matching_layers([layer], old, new)
        assert rows and rows[-1] < new.num_ws


def test_layers_in_between_are_matched_by_size():
    old, new = NetworkConfig(resolution=64), NetworkConfig(resolution=256)
    assert matching_layers([0, 3, 4], old, new) == (0, 3, 4)
    assert matching_layers([4, 9], old, new) == (3, 4, 7, 8)
    small = NetworkConfig(resolution=8)
    assert matching_layers([7], NetworkConfig(resolution=1024), small) == (3,), "finest there is"


def test_a_table_has_a_place_for_each_picture(session):
    mix = Mix((1, LATENT), (4, 5, 6), (0, 3))
    shown = table_value(mix, session.first, {(None, 1): Path("x.png"), (1, 2): Path("y.png")}, "2")
    assert [row["label"] for row in shown["rows"]] == ["seed 1", f"latent {LATENT[:6]}"]
    assert [bool(col.get("file")) for col in shown["cols"]] == [False, True, False]
    drawn = [[bool(cell) for cell in row] for row in shown["cells"]]
    assert drawn == [[False, False, False], [False, False, True]]
    assert (shown["layers"], shown["sides"], shown["status"]) == ("rows 0,3", "4, 16 px", "2")
    assert shown["crisp"]

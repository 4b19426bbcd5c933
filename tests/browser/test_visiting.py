"""A page whose model is on the Hub: links carry the commit, and old ones draw what they drew."""

import numpy as np
import pytest
from hub_server import variables
from test_tabs_visiting import another

import stylegan
from stylegan.recipe import Recipe
from stylegan.stamp import read_png
from tests.app_server import TINY, running
from tests.browser.steps import MODEL, fill, full_address, pixels, said, shown, shows


@pytest.fixture
def commits(hub, tmp_path):
    """An old commit, which draws as MODEL does, and a new one of other weights."""
    return hub.add("ann/tiny", TINY), another(hub, tmp_path)


@pytest.fixture
def server(hub, commits, tmp_path):
    """The app, with the newest commit of the model."""
    settings = variables(hub, tmp_path / "home") | {"STYLEGAN_MODEL": "ann/tiny"}
    with running(tmp_path, **settings) as server:
        yield server


def draws(page, model, recipe):
    """The large picture is this model's."""
    assert np.abs(pixels(shown(page)) - model.render(recipe)).max() <= 1


def test_links_carry_the_commit_and_old_ones_draw_the_old_picture(visit, hub, commits, tmp_path):
    old, new = commits
    newest = stylegan.load(tmp_path / "another")
    assert (
        np.abs(newest.render(Recipe(seed=7)).astype(int) - MODEL.render(Recipe(seed=7))).max() > 9
    )
    page = visit("/?seed=7")
    assert f"m=ann/tiny@{new}&" in full_address(page)
    draws(page, newest, Recipe(seed=7))
    page = visit(f"/?m=ann/tiny@{old}&seed=7")
    draws(page, MODEL, Recipe(seed=7))
    assert page.url.endswith(f"/?m=ann/tiny@{old}&seed=7") and not said(page)
    fill(page, "#sg-seed input[type=number]", "8", f"?m=ann/tiny@{old}&seed=8")
    shows(page, lambda: read_png(shown(page)), f"m=ann/tiny@{old}&seed=8")
    draws(page, MODEL, Recipe(seed=8))

    hub.repos["model", "ann/tiny"].tags["v1"] = old
    page = visit("/?m=ann/tiny@v1&seed=7")
    assert read_png(shown(page)) == f"m=ann/tiny@{old}&seed=7", "a tag becomes its commit"
    draws(page, MODEL, Recipe(seed=7))

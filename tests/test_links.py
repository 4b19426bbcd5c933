"""Old links keep their pictures. Files under tests/links/ are only ever added to, never redrawn."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylegan.links import read_link
from stylegan.mix import Mix
from stylegan.model import load
from stylegan.query import RecipeError
from stylegan.recipe import Recipe
from stylegan.shelf import Shelf
from stylegan.stamp import grid, read_png
from stylegan.walk import Walk

LINKS = Path(__file__).parent / "links"
AGES = json.loads((LINKS / "links.json").read_text())  # still pictures
SHEETS = json.loads((LINKS / "sheets.json").read_text())  # walks, tables and shelves


@pytest.fixture(scope="module")
def model():
    return load(LINKS / "tiny-16")


def test_the_generator_is_the_frozen_one(model):
    assert model.id == "tiny-16@d21a3e589d"


@pytest.mark.parametrize("entry", AGES, ids=[entry["picture"] for entry in AGES])
def test_a_link_gives_its_picture_back(model, entry):
    recipe = Recipe.from_query(entry["link"], strict=True)
    with Image.open(LINKS / entry["picture"]) as image:
        expected = np.asarray(image)
    drawn = model.render(recipe)
    assert drawn.shape == expected.shape
    assert np.abs(drawn.astype(int) - expected).max() <= 1
    assert recipe.m == model.id
    assert entry["link"].endswith("?" + recipe.to_query())
    assert Recipe.from_query(read_png(LINKS / entry["picture"])) == recipe


@pytest.mark.parametrize("entry", SHEETS, ids=[entry["picture"] for entry in SHEETS])
def test_a_link_gives_its_walk_table_or_shelf_back(model, entry):
    """A walk's frames stand below each other, other pictures beside each other."""
    value = read_link(entry["link"], strict=True)
    if isinstance(value, Walk):
        drawn = grid(list(model.walk(value)), 1)
    else:
        shelf = isinstance(value, Shelf)
        every = [model.render(picture) for picture in value.pictures] if shelf else []
        pictures = every or [picture for _, picture in model.table(value)]
        drawn = grid(pictures, len(pictures))
    with Image.open(LINKS / entry["picture"]) as image:
        expected = np.asarray(image)
    assert drawn.shape == expected.shape
    assert np.abs(drawn.astype(int) - expected).max() <= 1
    assert value.m == model.id and entry["link"].endswith("?" + value.to_query())
    assert read_link(read_png(LINKS / entry["picture"])) == value


@pytest.mark.parametrize("entry", AGES, ids=[entry["picture"] for entry in AGES])
def test_still_pictures_are_told_from_walks_and_tables(entry):
    assert read_link(entry["link"]) == Recipe.from_query(entry["link"])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", Recipe()),
        ("seed=7", Recipe(seed=7)),
        ("https://example.org/?t=walk", Walk()),
        ("t=walk&seed=7&utm_source=x", Walk((7,))),
        ("t=mix", Mix()),
        ("t=mix&psi=0.5", Mix(psi=0.5)),
        ("t=mix&row=1&col=2", Mix((1,), (2,))),
        ("t=mix&seed=1", Recipe(seed=1, t="mix")),
        (Mix().cell(0, 0).to_query(), Mix().cell(0, 0)),
        (Mix().source(0).to_query(), Mix().source(0)),
        ("t=shelf&p=seed=7&p=", Shelf((Recipe(seed=7), Recipe()))),
    ],
)
def test_any_link_is_told_by_its_names(text, value):
    assert read_link(text) == value
    assert read_link(value.to_query(), strict=True) == value


@pytest.mark.parametrize("text", ["t=walk&row=1", "t=mix&row=1&seed=2", "row=1", "t=home"])
def test_names_that_do_not_go_together(text):
    with pytest.raises(RecipeError):
        read_link(text, strict=True)


def test_the_pictures_differ(model):
    pictures = [model.render(Recipe.from_query(entry["link"])) for entry in AGES]
    for i, one in enumerate(pictures):
        for other in pictures[:i]:
            assert np.abs(one.astype(int) - other).mean() > 2

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylegan.latents import MAX_SEED
from stylegan.query import MAX_LINK_CHARS, RecipeError, pack_latent
from stylegan.recipe import Edit, Recipe, RowMix
from stylegan.shelf import MAX_PICTURES, Shelf

LATENT = pack_latent(np.linspace(-1, 1, 8))
LONG = pack_latent(np.arange(4096) / 4096)

models = st.none() | st.sampled_from(["a@1", "größe & co@1", "x;y=z%3B@2"])
pictures = st.builds(
    Recipe,
    seed=st.integers(0, MAX_SEED),
    psi=st.floats(-5, 5),
    cut=st.none() | st.integers(0, 18),
    c=st.integers(0, 99_999),
    noise=st.sampled_from(["const", "none"]) | st.integers(0, MAX_SEED),
    mix=st.lists(st.builds(RowMix, st.just(LATENT), st.just(1), st.integers(1, 5)), max_size=2),
    e=st.lists(st.builds(Edit, st.just("smile"), st.floats(-3, 3)), max_size=2),
    t=st.sampled_from(["seeds", "mix", "edit"]),
    m=models,
) | st.builds(Recipe, w=st.just(LATENT), m=models)
shelves = st.builds(Shelf, st.lists(pictures, min_size=1, max_size=6))


def refusal(text, strict=True):
    with pytest.raises(RecipeError) as error:
        Shelf.from_query(text, strict)
    sentence = str(error.value)
    assert sentence.isprintable() and len(sentence) < 300
    return sentence


@settings(deadline=None)
@given(shelves)
def test_text_and_back(shelf):
    text = shelf.to_query()
    assert text.isascii() and " " not in text and "#" not in text
    again = Shelf.from_query(text, strict=True)
    assert again == shelf and again.to_query() == text and hash(again) == hash(shelf)
    assert Shelf.from_query(f"https://example.org/a/b?{text}#top", strict=True) == shelf
    assert Shelf.from_query(f"?__theme=dark&{text}&utm_source=x") == shelf


def test_the_text_can_be_read_and_typed():
    shelf = Shelf((Recipe(m="a@1"), Recipe(seed=7, psi=0.7, e=[Edit("smile", 1)], m="a@1")))
    assert shelf.to_query() == "t=shelf&m=a@1&p=&p=seed=7;psi=0.7;e=smile:1"
    assert shelf.m == "a@1"
    assert Shelf.from_query("t=shelf&p=seed%3D7%26psi%3D.7").pictures == (Recipe(seed=7, psi=0.7),)


def test_pictures_of_several_models_name_their_own():
    shelf = Shelf((Recipe(seed=1, m="a@1"), Recipe(seed=2, m="b@2"), Recipe(seed=3)))
    assert shelf.m is None
    assert shelf.to_query() == "t=shelf&p=m=a@1;seed=1&p=m=b@2;seed=2&p=seed=3"
    typed = Shelf.from_query("t=shelf&m=a@1&p=seed=1&p=m=b@2;seed=2", strict=True)
    assert [picture.m for picture in typed.pictures] == ["a@1", "b@2"]


def test_a_full_shelf_of_seeds_fits_a_link_and_latents_do_not():
    many = [Recipe(seed=i, psi=0.7, m="portraits-64@ab12cd34ef") for i in range(MAX_PICTURES)]
    shelf = Shelf(tuple(many))
    assert shelf.fits_link
    assert Shelf.from_query(f"?utm_source=a&utm_medium=b&{shelf.to_query()}") == shelf
    latents = Shelf((Recipe(w=LONG),))
    assert not latents.fits_link and len(latents.to_query()) > MAX_LINK_CHARS
    assert Shelf.from_query(latents.to_query()) == latents


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("t=shelf", "the shelf is empty"),
        ("p=seed=7", "t"),
        ("t=walk&p=seed=7", "shelf"),
        ("t=shelf&p=seed=1&p=seed=x", "picture 2 of the shelf: seed"),
        ("t=shelf&p=seed=1;n=4", "picture 1 of the shelf: n 4"),
        ("t=shelf&p=seed=1;size=4", "picture 1 of the shelf: unknown name"),
        ("t=shelf&p=t=shelf;p=seed=1", "picture 1 of the shelf: "),
        ("t=shelf&m=%00&p=seed=1", "m"),
        ("t=shelf&m=a&m=b&p=seed=1", "m is given twice"),
        ("t=shelf&seed=1&p=seed=1", "unknown name"),
        ("t=shelf" + "&p=seed=1" * 193, "p is given 193 times"),
        ("t=shelf" + "&p=seed=1" * 201, "more than 200 parts"),
    ],
)
def test_what_cannot_be_read_is_told(text, words):
    assert words in refusal(text)


def test_what_is_too_much():
    with pytest.raises(RecipeError, match="too long together"):
        Shelf(tuple(Recipe(w=LONG, noise=i) for i in range(100)))
    with pytest.raises(RecipeError, match="other than Recipe"):
        Shelf(("seed=1",))


def test_it_is_a_value():
    shelf = Shelf([Recipe(seed=1)])
    assert shelf.pictures == (Recipe(seed=1),)
    with pytest.raises(dataclasses.FrozenInstanceError):
        shelf.pictures = ()

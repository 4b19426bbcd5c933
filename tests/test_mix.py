import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylegan.config import NetworkConfig
from stylegan.latents import MAX_SEED
from stylegan.mix import (
    Mix,
    bands,
    layer_side,
    layers_text,
    read_layers,
    runs,
    sides_text,
    source_name,
)
from stylegan.query import RecipeError, pack_latent
from stylegan.recipe import Edit, Recipe, RowMix

LATENT = pack_latent(np.linspace(-1, 1, 8))

seeds = st.integers(0, MAX_SEED)
latents = st.lists(st.floats(-60000, 60000, width=16), min_size=8, max_size=40).map(pack_latent)
sources = st.lists(seeds | latents, min_size=1, max_size=6)
mixes = st.builds(
    Mix,
    rows=sources,
    cols=sources,
    layers=st.sets(st.integers(0, 17), min_size=1),
    psi=st.floats(-5, 5),
    cut=st.none() | st.integers(0, 18),
    c=st.integers(0, 99_999),
    noise=st.sampled_from(["const", "none"]) | seeds,
    m=st.none() | st.just("größe & co@1"),
)


def refusal(text, strict=True):
    with pytest.raises(RecipeError) as error:
        Mix.from_query(text, strict)
    sentence = str(error.value)
    assert sentence.isprintable() and len(sentence) < 300
    return sentence


@settings(deadline=None)
@given(mixes)
def test_text_and_back(mix):
    text = mix.to_query()
    assert text.isascii() and " " not in text and "#" not in text
    again = Mix.from_query(text, strict=True)
    assert again == mix and again.to_query() == text and hash(again) == hash(mix)
    assert Mix.from_query(f"https://example.org/a/b?{text}#top", strict=True) == mix
    assert Mix.from_query(f"?__theme=dark&{text}&utm_source=x") == mix


@settings(deadline=None)
@given(st.text(alphabet="0123456789aceilmnoprstuwxy=&:-,.%+?"), st.booleans())
def test_any_text_is_read_or_refused_in_words(text, strict):
    try:
        mix = Mix.from_query(text, strict)
    except RecipeError as error:
        assert str(error).isprintable() and len(str(error)) < 300
    else:
        assert Mix.from_query(mix.to_query(), strict=True) == mix


def test_defaults_are_those_of_the_published_table():
    empty = Mix.from_query("t=mix", strict=True)
    assert empty == Mix() == Mix.from_query("") and empty.to_query() == "t=mix"
    assert dataclasses.asdict(empty) == {
        "rows": (0, 1, 2),
        "cols": (3, 4, 5),
        "layers": (0, 1, 2, 3),
        "psi": 1.0,
        "cut": None,
        "c": 0,
        "noise": "const",
        "m": None,
        "x": None,
    }


def test_the_text_is_short_and_in_one_order():
    text = f"t=mix&m=a/b@c&row=1,2,{LATENT}&col=4,5&layers=0-1,4&psi=0.7&cut=2&c=1&noise=none"
    mix = Mix.from_query(text, strict=True)
    assert mix.rows == (1, 2, LATENT) and mix.layers == (0, 1, 4) and mix.to_query() == text
    assert Mix.from_query(f"row=1-2&row={LATENT}").rows == mix.rows
    assert Mix(layers=[4, 1, 0, 1]) == Mix(layers=(0, 1, 4))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("row=1,x", 'seeds "x" are not whole numbers'),
        ("row=1-33", "more than 32 seeds"),
        ("col=1-20&col=1-20", "col: 40 seeds or latents, not 1 to 32"),
        ("layers=", 'layers: "" are not rows first-last, as in 0-3'),
        ("layers=coarse", 'layers: "coarse" are not rows first-last, as in 0-3'),
        ("layers=3-1", "layers rows 3-1 run backwards"),
        ("layers=18", 'layers row "18" is not a whole number from 0 to 17'),
        ("psi=x", 'psi "x" is not a number from -5 to 5'),
        ("t=walk", 't "walk" is not one of mix'),
        ("psi=1&psi=1", "psi is given twice"),
    ],
)
def test_bad_values_are_named_with_what_is_allowed(text, words):
    assert words in refusal(text)
    assert words in refusal(text, strict=False)
    assert 'unknown name "seed"' in refusal("seed=1")


@pytest.mark.parametrize(
    "fields",
    [
        {"rows": ()},
        {"cols": [1.5]},
        {"layers": ()},
        {"layers": [True]},
        {"layers": [18]},
        {"rows": [pack_latent(np.ones(18 * 512))] * 30},
    ],
)
def test_bad_python_values_are_refused(fields):
    with pytest.raises(RecipeError):
        Mix(**fields)


def test_cells_are_recipes():
    mix = Mix((1, LATENT), (4, 5, 6), (0, 1, 4), psi=0.5, cut=2, c=1, noise=3, m="a@b")
    same = {"psi": 0.5, "cut": 2, "c": 1, "noise": 3, "m": "a@b"}
    expected = Recipe(seed=1, mix=[RowMix(6, 0, 1), RowMix(6, 4, 4)], t="mix", **same)
    assert mix.cell(0, 2) == expected
    assert mix.cell(1, 0).w == LATENT
    table = mix.recipes()
    assert len(table) == 2 * 3 + 2 + 3 and table[0, 2] == expected
    assert table[None, 1] == Recipe(seed=5, **same) and table[1, None] == Recipe(w=LATENT, **same)


@pytest.mark.parametrize("resolution", [8, 16, 32, 64, 128, 256, 512, 1024])
def test_bands_follow_each_other_and_fill_every_model(resolution):
    config = NetworkConfig(resolution=resolution)
    coarse, middle, fine = bands(config.num_ws).values()
    assert coarse[0] == 0 and fine[1] == config.num_ws - 1
    for (first, last), (following, _) in ((coarse, middle), (middle, fine)):
        assert first <= last and following == last + 1
    assert fine[0] <= fine[1]
    assert layer_side(config, 0) == 4 and layer_side(config, config.num_ws - 1) == resolution


def test_bands_of_the_paper():
    assert bands(18) == {"coarse": (0, 3), "middle": (4, 7), "fine": (8, 17)}
    assert bands(10) == {"coarse": (0, 2), "middle": (3, 6), "fine": (7, 9)}
    config = NetworkConfig(resolution=64)
    assert [layer_side(config, row) for row in range(10)] == [4, 8, 8, 16, 16, 32, 32, 64, 64, 64]


def test_layers_as_text():
    assert runs([0, 1, 2, 5, 7, 8]) == [(0, 2), (5, 5), (7, 8)]
    assert layers_text([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"
    assert read_layers("0-2, 5,7-8") == (0, 1, 2, 5, 7, 8)


@settings(deadline=None)
@given(mixes)
def test_the_table_around_a_cell_has_that_cell(mix):
    cell = mix.cell(0, 0)
    around = Mix.around(cell)
    assert around == dataclasses.replace(mix, rows=mix.rows[:1], cols=mix.cols[:1])
    assert around.cell(0, 0) == cell


def test_pictures_of_no_table():
    assert Mix.around(Recipe(seed=1)) is None
    assert Mix.around(Recipe(seed=1, mix=[RowMix(2, 0, 1), RowMix(3, 2, 3)])) is None
    assert Mix.around(Recipe(seed=1, mix=[RowMix(2, 0, 1)], n=2)) is None
    assert Mix.around(Recipe(seed=1, mix=[RowMix(2, 0, 1)], e=[Edit("warmth", 1)])) is None
    assert Mix.around(Recipe(seed=1, mix=[RowMix(2, 0, 1), RowMix(2, 1, 4)])).layers == tuple(
        range(5)
    )


def test_words_for_labels():
    config = NetworkConfig(resolution=64)
    assert sides_text(config, (0, 1, 2, 3)) == "4-16 px"
    assert sides_text(config, (0, 8, 9)) == "4, 64 px"
    assert source_name(7) == "seed 7" and source_name(LATENT) == f"latent {LATENT[:6]}"

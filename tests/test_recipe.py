import dataclasses

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stylegan.latents import MAX_SEED
from stylegan.recipe import (
    MAX_LINK_CHARS,
    MAX_QUERY_CHARS,
    Edit,
    Recipe,
    RecipeError,
    RowMix,
    pack_latent,
    unpack_latent,
)

LATENT = pack_latent(np.linspace(-1, 1, 8))

seeds = st.integers(0, MAX_SEED)
rows = st.tuples(st.integers(0, 17), st.integers(0, 17)).map(lambda pair: tuple(sorted(pair)))
latents = st.lists(st.floats(-60000, 60000, width=16), min_size=8, max_size=40).map(pack_latent)
mixes = st.builds(lambda source, pair: RowMix(source, *pair), seeds | latents, rows)
edits = st.builds(
    Edit,
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True),
    st.floats(-100, 100),
    st.none() | rows,
)
names = st.text(st.characters(blacklist_categories=["C", "Z"]), min_size=1, max_size=40)


@st.composite
def recipes(draw):
    fields = {
        "psi": draw(st.floats(-5, 5)),
        "cut": draw(st.none() | st.integers(0, 18)),
        "c": draw(st.integers(0, 99_999)),
        "noise": draw(st.sampled_from(["const", "none"]) | seeds),
        "mix": tuple(draw(st.lists(mixes, max_size=3))),
        "e": tuple(draw(st.lists(edits, max_size=3))),
        "t": draw(st.sampled_from(["seeds", "walk", "mix", "project", "edit"])),
        "m": draw(st.none() | names),
    }
    if draw(st.booleans()):
        return Recipe(w=draw(latents), **fields)
    n = draw(st.integers(1, 64))
    return Recipe(seed=draw(st.integers(0, MAX_SEED - n + 1)), n=n, **fields)


def refusal(text, strict=True):
    with pytest.raises(RecipeError) as error:
        Recipe.from_query(text, strict)
    sentence = str(error.value)
    assert sentence.isprintable() and len(sentence) < 300
    return sentence


@settings(deadline=None)
@given(recipes())
def test_text_and_back(recipe):
    text = recipe.to_query()
    assert text.isascii() and " " not in text and "#" not in text
    again = Recipe.from_query(text, strict=True)
    assert again == recipe and again.to_query() == text and hash(again) == hash(recipe)
    assert Recipe.from_query(f"https://example.org/a/b?{text}#top", strict=True) == recipe
    assert Recipe.from_query(f"?__theme=dark&{text}&utm_source=x") == recipe


@settings(deadline=None)
@given(st.text() | st.text(alphabet="0123456789abcdefmnpsiwtu=&:-,.%+#?/@_"), st.booleans())
@example("seed=" + "9" * 5000, True)
@example("m=%ed%b0%80", False)
@example("m=\udc80", True)
@example("http://[::?seed=1", True)
def test_any_text_is_read_or_refused_in_words(text, strict):
    try:
        recipe = Recipe.from_query(text, strict)
    except RecipeError as error:
        assert str(error).isprintable() and len(str(error)) < 300
    else:
        assert Recipe.from_query(recipe.to_query(), strict=True) == recipe


@settings(deadline=None)
@given(
    st.sampled_from(["t", "m", "seed", "w", "psi", "cut", "c", "noise", "mix", "e", "n"]), st.text()
)
def test_any_value_is_read_or_refused_in_words(key, value):
    try:
        Recipe.from_query(f"{key}={value}", strict=True)
    except RecipeError as error:
        assert str(error).isprintable() and len(str(error)) < 300


def test_defaults_are_those_of_the_published_table():
    empty = Recipe.from_query("", strict=True)
    assert empty == Recipe() and empty.to_query() == ""
    assert dataclasses.asdict(empty) == {
        "seed": 0,
        "w": None,
        "psi": 1.0,
        "cut": None,
        "c": 0,
        "noise": "const",
        "mix": (),
        "e": (),
        "n": 1,
        "t": "seeds",
        "m": None,
        "x": None,
    }


def test_the_text_is_short_and_in_one_order():
    text = "m=portraits-64@ab12cd34ef&seed=7&psi=0.7"
    assert Recipe.from_query("psi=.70&seed=007&m=portraits-64%40ab12cd34ef").to_query() == text
    everything = (
        "t=mix&m=a/b@c&seed=1&psi=-0.5&cut=3&c=2&noise=4"
        f"&mix=5:0-3&mix={LATENT}:4-5&e=smile:1.5&e=age:-2:0-3&n=9"
    )
    assert Recipe.from_query(everything, strict=True).to_query() == everything
    assert Recipe(psi=-0.0).to_query() == "psi=0"
    assert Recipe(psi=2).to_query() == "psi=2"
    assert Recipe(m="größe & co").to_query() == "m=gr%C3%B6%C3%9Fe%20%26%20co"


def test_one_row_may_be_written_alone():
    assert Recipe.from_query("mix=9:3").mix == (RowMix(9, 3, 3),)


def test_python_values_are_normalised():
    recipe = Recipe(seed=np.int64(7), psi=np.float32(0.5), mix=[RowMix(1, 0, 2)], e=[])
    assert recipe == Recipe(seed=7, psi=0.5, mix=(RowMix(1, 0, 2),))
    assert type(recipe.seed) is int and type(recipe.psi) is float
    assert Recipe(psi=1) == Recipe()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed=-1", 'seed "-1" is not a whole number from 0 to 4294967295'),
        ("seed=4294967296", 'seed "4294967296" is not a whole number from 0 to 4294967295'),
        ("seed=1.5", 'seed "1.5"'),
        ("seed=", 'seed ""'),
        ("seed=1_0", 'seed "1_0"'),
        ("seed=%D9%A3", 'seed "٣"'),
        ("psi=5.1", 'psi "5.1" is not a number from -5 to 5'),
        ("psi=nan", 'psi "nan"'),
        ("psi=1e999", "psi"),
        ("cut=19", 'cut "19" is not a whole number from 0 to 18'),
        ("c=100000", "from 0 to 99999"),
        ("n=0", 'n "0" is not a whole number from 1 to 64'),
        ("n=65", 'n "65"'),
        ("seed=4294967295&n=2", "seed 4294967295 with n 2 counts past 4294967295"),
        (
            "noise=random",
            'noise "random" is not a whole number from 0 to 4294967295, const or none',
        ),
        ("noise=4294967296", "const or none"),
        ("t=home", 't "home" is not one of seeds, walk, mix, project, edit'),
        ("m=", 'm ""'),
        ("m=" + "a" * 201, "m "),
        ("m=a%0Ab", 'm "a?b"'),
        ("mix=3", 'mix "3" is not source:first-last, as in 9:0-3'),
        ("mix=3:5-2", "mix rows 5-2 run backwards"),
        ("mix=3:0-18", 'mix row "18" is not a whole number from 0 to 17'),
        ("mix=3:", "mix"),
        ("mix=99999999999:0-1", "w "),
        ("e=smile", 'e "smile" is not direction:strength, as in smile:1.5'),
        ("e=smile:x", 'e "x" is not a number from -100 to 100'),
        ("e=sm/ile:1", 'e "sm/ile" is not a direction\'s name'),
        ("e=smile:1:2-a", "rows"),
        ("w=abc", "w"),
        ("w=@@@@", 'w "@@@@" is not a latent in base64url'),
        ("w=AAAA", "w"),
        (f"w={LATENT}&seed=0", "seed and w are both given"),
        (f"w={LATENT}&n=2", "n 2 counts seeds up"),
        ("seed=1&seed=2", "seed is given twice"),
        ("&".join(["mix=1:0-1"] * 33), "mix is given 33 times, more than 32"),
        ("a=1&" * 201, "more than 200 parts"),
        ("x" * (MAX_QUERY_CHARS + 1), "longer than"),
    ],
)
def test_bad_values_are_named_with_what_is_allowed(text, words):
    assert words in refusal(text)
    assert words in refusal(text, strict=False)


def test_unknown_names():
    assert Recipe.from_query("fbclid=1&seed=7&__theme=dark") == Recipe(seed=7)
    assert Recipe.from_query("hello") == Recipe()
    text = refusal("sed=7")
    assert 'unknown name "sed"' in text and "seed, w, psi" in text
    assert "<" not in refusal("psi=" + "x" * 100 + "<script>")


def test_an_address_without_a_query_is_the_default():
    assert Recipe.from_query("https://example.org/", strict=True) == Recipe()
    assert Recipe.from_query("https://example.org/#seed=3", strict=True) == Recipe()


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": 7.5},
        {"seed": True},
        {"seed": "7"},
        {"psi": float("nan")},
        {"psi": "1"},
        {"psi": None},
        {"noise": 1.5},
        {"mix": [3]},
        {"w": 5},
        {"w": LATENT, "seed": 1},
        {"m": 3},
        {"m": " padded "},
    ],
)
def test_bad_python_values_are_refused(fields):
    with pytest.raises(RecipeError):
        Recipe(**fields)


def test_latents_are_rounded_to_half_and_come_back():
    values = np.random.RandomState(0).randn(3, 16)
    back = unpack_latent(pack_latent(values))
    assert back.dtype == np.float32
    assert np.array_equal(back, values.astype(np.float16).astype(np.float32).ravel())
    assert pack_latent(back) == pack_latent(values)
    # half precision, little endian, base64url without padding, for ever
    assert pack_latent([1, -2, 0.5, 0, 3, 0, 0, 65504]) == "ADwAwAA4AAAAQgAAAAD_ew"
    padded = Recipe.from_query("w=ADwAwAA4AAAAQgAAAAD_ew==")
    assert padded.to_query() == "w=ADwAwAA4AAAAQgAAAAD_ew"


@pytest.mark.parametrize("values", [[1] * 7, [1] * 7 + [np.nan], [1] * 7 + [70000], []])
def test_latents_that_cannot_be_carried(values):
    with pytest.raises(RecipeError, match="w holds"):
        pack_latent(values)


def test_what_fits_a_link():
    short = Recipe(w=pack_latent(np.zeros(4 * 512)), m="portraits-64@ab12cd34ef")
    long = Recipe(w=pack_latent(np.zeros(18 * 512)))
    assert short.fits_link and not long.fits_link
    assert len(short.to_query()) < MAX_LINK_CHARS
    assert Recipe.from_query(long.to_query(), strict=True) == long


def test_singles_count_seeds_up():
    recipe = Recipe(seed=5, n=3, psi=0.5)
    assert recipe.singles() == [Recipe(seed=seed, psi=0.5) for seed in (5, 6, 7)]
    only = Recipe(w=LATENT)
    assert only.singles() == [only]

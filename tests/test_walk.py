import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylegan.latents import MAX_SEED
from stylegan.query import RecipeError, pack_latent
from stylegan.recipe import Recipe
from stylegan.walk import MAX_TOTAL, Walk

LATENT = pack_latent(np.linspace(-1, 1, 8))

seeds = st.integers(0, MAX_SEED)
latents = st.lists(st.floats(-60000, 60000, width=16), min_size=8, max_size=40).map(pack_latent)
names = st.text(st.characters(blacklist_categories=["C", "Z"]), min_size=1, max_size=40)


@st.composite
def walks(draw):
    space = draw(st.sampled_from(["w", "z"]))
    columns, rows = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    keyframe = seeds if space == "z" else seeds | latents
    each = draw(st.integers(1, 4)) * columns * rows
    return Walk(
        keyframes=draw(st.lists(keyframe, min_size=each, max_size=each)),
        frames=draw(st.integers(1, 100)),
        fps=draw(st.integers(1, 120)),
        loop=draw(st.booleans()),
        space=space,
        curve=draw(st.sampled_from(["linear", "slerp", "smooth"])),
        ease=draw(st.sampled_from(["none", "in", "out", "both"])),
        grid=(columns, rows),
        psi=draw(st.floats(-5, 5)),
        cut=draw(st.none() | st.integers(0, 18)),
        c=draw(st.integers(0, 99_999)),
        noise=draw(st.sampled_from(["const", "none"]) | seeds),
        m=draw(st.none() | names),
    )


def refusal(text, strict=True):
    with pytest.raises(RecipeError) as error:
        Walk.from_query(text, strict)
    sentence = str(error.value)
    assert sentence.isprintable() and len(sentence) < 300
    return sentence


@settings(deadline=None)
@given(walks())
def test_text_and_back(walk):
    text = walk.to_query()
    assert text.isascii() and " " not in text and "#" not in text
    again = Walk.from_query(text, strict=True)
    assert again == walk and again.to_query() == text and hash(again) == hash(walk)
    assert Walk.from_query(f"https://example.org/a/b?{text}#top", strict=True) == walk
    assert Walk.from_query(f"?__theme=dark&{text}&utm_source=x") == walk


@settings(deadline=None)
@given(st.text(alphabet="0123456789abcdefgilmoprstuvwxz=&:-,.%+?"), st.booleans())
def test_any_text_is_read_or_refused_in_words(text, strict):
    try:
        walk = Walk.from_query(text, strict)
    except RecipeError as error:
        assert str(error).isprintable() and len(str(error)) < 300
    else:
        assert Walk.from_query(walk.to_query(), strict=True) == walk


def test_defaults_are_those_of_the_published_table():
    empty = Walk.from_query("t=walk", strict=True)
    assert empty == Walk() == Walk.from_query("") and empty.to_query() == "t=walk"
    assert dataclasses.asdict(empty) == {
        "keyframes": (0, 1, 2),
        "frames": 60,
        "fps": 30,
        "loop": False,
        "space": "w",
        "curve": "smooth",
        "ease": "none",
        "grid": (1, 1),
        "psi": 1.0,
        "cut": None,
        "c": 0,
        "noise": "const",
        "m": None,
        "x": None,
    }


def test_the_text_is_short_and_in_one_order():
    text = "t=walk&m=a/b@c&seed=200,1000,2500,4000,200&psi=0.7"
    assert Walk.from_query("psi=.70&m=a/b%40c&seed=200,1000&seed=2500,4000,0200").to_query() == text
    everything = (
        f"t=walk&m=a/b@c&seed=1,2&w={LATENT}&seed=1&psi=-0.5&cut=3&c=2&noise=4"
        "&frames=24&fps=25&loop=1&space=w&curve=slerp&ease=both&grid=2x1"
    )
    walk = Walk.from_query(everything, strict=True)
    assert walk.keyframes == (1, 2, LATENT, 1)
    assert walk.to_query() == everything.replace("&space=w", "")
    assert Walk.from_query("seed=1-5,9").keyframes == (1, 2, 3, 4, 5, 9)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed=1,-2", "are not whole numbers from 0 to 4294967295"),
        ("seed=1-200", "more than 128 seeds"),
        ("seed=1-100&seed=1-100", "keyframes: 200 seeds or latents, not 1 to 128"),
        ("w=abc", "w"),
        ("frames=0", 'frames "0" is not a whole number from 1 to 3600'),
        ("frames=1.5", 'frames "1.5" is not a whole number from 1 to 3600'),
        ("fps=121", 'fps "121" is not a whole number from 1 to 120'),
        ("loop=yes", 'loop "yes" is not a whole number from 0 to 1'),
        ("space=x", 'space "x" is not one of w, z'),
        ("curve=round", 'curve "round" is not one of linear, slerp, smooth'),
        ("ease=fast", 'ease "fast" is not one of none, in, out, both'),
        ("grid=3", 'grid "3" is not columns x rows, as in 3x2'),
        ("grid=0x1", 'grid side "0" is not a whole number from 1 to 16'),
        ("grid=8x3", "grid 8x3 has more than 16 places"),
        ("seed=1-5&grid=2x1", "grid 2x1: 5 keyframes cannot be shared out evenly among 2 walks"),
        (f"space=z&seed=1&w={LATENT}", "space z takes seeds alone"),
        ("seed=1-128&frames=3600", f"the walk has 457201 frames, more than {MAX_TOTAL}"),
        ("psi=9.5", 'psi "9.5" is not a number from -5 to 5'),
        ("noise=random", "const or none"),
        ("t=seeds", 't "seeds" is not one of walk'),
        ("frames=1&frames=2", "frames is given twice"),
    ],
)
def test_bad_values_are_named_with_what_is_allowed(text, words):
    assert words in refusal(text)
    assert words in refusal(text, strict=False)


@pytest.mark.parametrize(
    "fields",
    [
        {"keyframes": ()},
        {"keyframes": (1.5,)},
        {"keyframes": [LATENT, "x"]},
        {"frames": True},
        {"loop": "1"},
        {"loop": 2},
        {"curve": None},
        {"grid": 2},
        {"grid": (1, 2, 3)},
        {"keyframes": [pack_latent(np.ones(18 * 512))] * 30},
    ],
)
def test_bad_python_values_are_refused(fields):
    with pytest.raises(RecipeError):
        Walk(**fields)


def test_unknown_names():
    assert Walk.from_query("fbclid=1&seed=7,8&__theme=dark") == Walk((7, 8))
    assert 'unknown name "speed"' in refusal("speed=7")


@pytest.mark.parametrize(
    ("fields", "closed", "segments", "total"),
    [
        ({"keyframes": (1, 2, 3)}, False, 2, 21),
        ({"keyframes": (1, 2, 3), "loop": True}, True, 3, 30),
        ({"keyframes": (1, 2, 3, 1)}, True, 3, 30),
        ({"keyframes": (1, 2, 3, 1), "loop": True}, True, 3, 30),
        ({"keyframes": (1,)}, False, 0, 1),
        ({"keyframes": (1,), "loop": True}, True, 1, 10),
        ({"keyframes": (1, 1)}, True, 1, 10),
        ({"keyframes": (1, 2, 1, 3, 4, 3), "grid": (1, 2)}, True, 2, 20),
        ({"keyframes": (1, 2, 1, 3, 4, 5), "grid": (1, 2)}, False, 2, 21),
    ],
)
def test_how_long_it_is(fields, closed, segments, total):
    walk = Walk(**fields, frames=10, fps=5)
    assert (walk.closed, walk.segments, walk.total) == (closed, segments, total)
    assert walk.seconds == total / 5
    positions = [walk.position(i) for i in range(total)]
    assert positions[0] == 0 and np.all(np.diff(positions) > 0)
    assert positions[-1] == pytest.approx(segments - (0.1 if closed else 0))
    with pytest.raises(RecipeError, match=f"from 0 to {total - 1}"):
        walk.position(total)


def test_easing_stops_at_keyframes():
    walk = Walk((1, 2, 3), frames=10, ease="both")
    assert [walk.position(i) for i in (0, 10, 20)] == [0, 1, 2]
    assert walk.position(11) < 1.05 and walk.position(19) > 1.95


def test_tracks_share_out_keyframes():
    walk = Walk((1, 2, 3, 4, LATENT, 6), grid=(3, 1))
    assert walk.tracks == [(1, 2), (3, 4), (LATENT, 6)]
    assert Walk((1, 2, 1, 3, 4, 3), grid=(2, 1)).tracks == [(1, 2), (3, 4)]


def test_stills_are_drawn_as_the_walk_draws_them():
    walk = Walk((1, LATENT), psi=0.5, cut=2, c=1, noise=3, m="a@b")
    assert walk.still(1) == Recipe(seed=1, psi=0.5, cut=2, c=1, noise=3, m="a@b")
    assert walk.still(LATENT) == Recipe(w=LATENT, psi=0.5, cut=2, c=1, noise=3, m="a@b")


def test_what_fits_a_link():
    assert Walk(range(100)).fits_link
    assert not Walk([pack_latent(np.zeros(512))] * 6).fits_link

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylegan.config import NetworkConfig
from stylegan.recipe import MAX_SEED, Edit, Recipe, RowMix, pack_latent
from stylegan.stamp import read_png
from stylegan.tabs import seeds as module
from stylegan.tabs.link import Opened
from stylegan.tabs.parts import notes_part
from stylegan.tabs.seeds import STRIP, SeedsTab
from stylegan.tabs.session import Session

TINY = Path(__file__).parent / "links/tiny-16"
ANN, BOB = SimpleNamespace(session_hash="ann"), SimpleNamespace(session_hash="bob")


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(TINY, folder / "other")
    session = Session([TINY, folder / "other"], folder / "files", "cpu")
    with gr.Blocks(analytics_enabled=False):
        return SeedsTab(session, notes_part(), gr.Dropdown(session.choices))


def value(update):
    """The value that an output sets, whichever way it is written."""
    return update.value if isinstance(update, gr.components.Component) else update


def controls(tab, outputs, before=None):
    """What the page would send after these outputs."""
    sent = dict(before or dict.fromkeys(tab.inputs))
    sent.update({part: value(update) for part, update in outputs.items() if part in tab.inputs})
    return sent


def control(tab, name):
    return getattr(tab.look, name, None) or getattr(tab, name)


def opened(tab, recipe, visitor=ANN):
    return tab.open(Opened(recipe, tab.session.first, []), visitor)


def last(updates):
    """What is on the page when a drawing has ended."""
    *_, end = updates
    return end


def picked(index):
    return SimpleNamespace(_data={"index": index})


recipes = st.builds(
    Recipe,
    seed=st.integers(0, MAX_SEED - 64),
    psi=st.floats(-5, 5),
    cut=st.none() | st.integers(0, 5),
    c=st.integers(0, 2),
    noise=st.sampled_from(["const", "none"]) | st.integers(0, MAX_SEED),
    n=st.integers(1, 64),
    mix=st.lists(st.builds(RowMix, st.integers(0, 9), st.just(1), st.integers(1, 5)), max_size=2),
    e=st.lists(st.builds(Edit, st.just("warmth"), st.floats(-3, 3)), max_size=2),
)


@pytest.mark.parametrize("words", module.EXAMPLES)
def test_examples_set_every_control(tab, words):
    outputs = tab._example(words)({tab.model: tab.session.first.id, tab.look.c: 2}, ANN)
    assert set(outputs) == set(tab.outputs)
    recipe, rows = outputs[tab.view].recipe, tab.session.first.num_ws
    assert recipe.c == 2
    for name, wanted in module.EXAMPLES[words](rows).items():
        assert getattr(recipe, name) == wanted or name == "seed"
    again = tab._changed(controls(tab, outputs), ANN)
    assert again[tab.view].recipe == recipe


@settings(deadline=None, max_examples=40)
@given(recipe=recipes)
def test_every_recipe_goes_into_the_controls_and_comes_back(tab, recipe):
    outputs = opened(tab, recipe)
    stamped = tab.session.first.stamped(recipe)
    assert outputs[tab.view].recipe == stamped
    assert outputs[tab.share.link] == {"query": stamped.to_query(), "m": stamped.m}
    assert set(outputs) == {*tab.shown, *tab.controls}
    again = tab._changed(controls(tab, outputs), ANN)
    assert again[tab.view].recipe == stamped
    assert again[tab.picture] == outputs[tab.picture]
    assert set(again) <= set(tab.shown)


def test_a_latent_stays_until_a_seed_is_given(tab):
    latent = Recipe(w=pack_latent(np.arange(16) / 8))
    outputs = opened(tab, latent)
    sent = controls(tab, outputs)
    assert sent[tab.seed] is None
    changed = tab._changed({**sent, tab.n: 9}, ANN)
    assert changed[tab.view].recipe == tab.session.first.stamped(latent)
    end = last(tab._fill(changed[tab.view], ANN))
    assert end[tab.strip]["cells"] == [] and end[tab.grid]["cells"] == []
    seeded = tab._changed({**sent, tab.seed: 4, tab.n: 9}, ANN)
    assert (seeded[tab.view].recipe.w, seeded[tab.view].recipe.seed) == (None, 4)


def test_the_picture_is_a_png_with_its_recipe(tab):
    outputs = opened(tab, Recipe(seed=7, psi=0.5, n=4))
    cell = outputs[tab.picture]["cell"]
    assert "m=tiny-16@" in read_png(cell["file"]["path"])
    assert read_png(cell["file"]["path"]).endswith("seed=7&psi=0.5")
    assert "seed 7" in cell["alt"] and "seed 7" in outputs[tab.picture]["caption"]


def test_a_grid_counts_up_and_a_strip_shows_every_truncation(tab):
    view = opened(tab, Recipe(seed=7, psi=0.5, n=4))[tab.view]
    end = last(tab._fill(view, ANN))
    assert [cell["label"] for cell in end[tab.grid]["cells"]] == ["7", "8", "9", "10"]
    assert end[tab.grid]["current"] == 0
    texts = [read_png(cell["file"]["path"]) for cell in end[tab.grid]["cells"]]
    assert [Recipe.from_query(text).seed for text in texts] == [7, 8, 9, 10]
    texts = [read_png(cell["file"]["path"]) for cell in end[tab.strip]["cells"]]
    assert [Recipe.from_query(text).psi for text in texts] == list(STRIP)
    assert STRIP[0] == -0.5 and STRIP[-1] == 1.5
    assert end[tab.strip]["current"] == STRIP.index(0.5)


def test_one_picture_has_no_grid(tab):
    end = last(tab._fill(opened(tab, Recipe(seed=7))[tab.view], ANN))
    assert end[tab.grid]["cells"] == []
    assert len(end[tab.strip]["cells"]) == len(STRIP)


def test_choosing_a_picture_leaves_the_others_where_they_are(tab):
    sent = controls(tab, opened(tab, Recipe(seed=20, n=9)))
    chosen = tab._picked(sent, picked(5), ANN)
    assert chosen[tab.seed] == 25
    view = chosen[tab.view]
    assert (view.recipe.seed, view.first) == (25, 20)
    assert view.grid == dataclasses.replace(view.recipe, seed=20)
    assert chosen[tab.share.link]["query"].endswith("seed=25&n=9")
    end = last(tab._fill(view, ANN))
    assert end[tab.grid]["current"] == 5
    assert end[tab.grid]["cells"][0]["label"] == "20"
    far = tab._changed({**controls(tab, chosen, sent), tab.seed: 29}, ANN)
    assert far[tab.view].first == 29


def test_choosing_a_truncation(tab):
    sent = controls(tab, opened(tab, Recipe(seed=20, n=9)))
    chosen = tab._picked_psi(sent, picked(0), ANN)
    assert chosen[tab.look.psi] == -0.5
    assert chosen[tab.view].recipe.psi == -0.5


@pytest.mark.parametrize("index", [-1, 9, 1 << 40, "0", None, 1.5, [0]])
def test_choosing_what_is_not_there_does_nothing(tab, index):
    sent = controls(tab, opened(tab, Recipe(seed=20, n=9)))
    assert tab._picked(sent, picked(index), ANN) == gr.skip()
    assert tab._picked_psi(sent, picked(index), ANN) == gr.skip()
    assert tab._picked(sent, SimpleNamespace(_data=None), ANN) == gr.skip()


def test_dice(tab):
    sent = controls(tab, opened(tab, Recipe(seed=20, psi=0.3, n=9)))
    rolled = tab._rolled(sent, ANN)
    recipe = rolled[tab.view].recipe
    assert rolled[tab.seed] == recipe.seed == rolled[tab.view].first
    assert (recipe.psi, recipe.n) == (0.3, 9)


@pytest.mark.parametrize(
    ("box", "typed", "said"),
    [
        ("seed", -1, "seed"),
        ("seed", 1.5, "seed"),
        ("seed", MAX_SEED, "counts past"),
        ("n", 65, "from 1 to 64"),
        ("psi", "x", "psi"),
        ("cut", "5", "cut"),
        ("c", 3, "classes"),
        ("noise", "loud", "const or none"),
    ],
)
def test_a_wrong_value_is_told_and_nothing_else_changes(tab, box, typed, said):
    sent = controls(tab, opened(tab, Recipe(seed=20, n=9)))
    outputs = tab._changed({**sent, control(tab, box): typed}, ANN)
    assert list(outputs) == [tab.notes]
    assert said in outputs[tab.notes][0]


@pytest.mark.parametrize("box", ["seed", "n", "psi", "cut", "c", "noise_seed"])
def test_an_emptied_box_waits(tab, box):
    sent = controls(tab, opened(tab, Recipe(seed=20, n=9)))
    assert tab._changed({**sent, control(tab, box): None}, ANN) == gr.skip()


def test_another_model_takes_what_it_can(tab):
    recipe = Recipe(seed=20, psi=0.4, c=2, n=9, mix=[RowMix(1, 0, 0)], e=[Edit("warmth", 1)])
    other = list(tab.session.models.values())[1]
    view = opened(tab, recipe)[tab.view]
    outputs = tab.open(Opened(tab.adapted(view.value, other), other, []), ANN)
    assert outputs[tab.view].recipe == other.stamped(Recipe(seed=20, psi=0.4, c=2, n=9))
    assert outputs[tab.model] == other.id
    assert tab.share.factor in outputs


def test_a_page_that_has_not_heard_of_the_other_model_yet(tab):
    """The controls that it sends still count rows of the model before."""
    sent = controls(tab, opened(tab, Recipe(seed=20, n=2)))
    rows = tab.session.first.num_ws
    larger = SimpleNamespace(
        id="larger@0", num_ws=rows + 4, c_dim=0, config=NetworkConfig(resolution=64)
    )
    tab.session.named["larger@0"] = larger
    try:
        recipe, model = tab._read({**sent, tab.model: "larger@0"})
        assert (recipe.cut, model) == (None, larger)
        recipe, _ = tab._read({**sent, tab.model: "larger@0", tab.look.cut: 3})
        assert recipe.cut == 3
        sent[tab.share.link] = {"query": "", "m": "larger@0"}
        recipe, _ = tab._read({**sent, tab.model: "larger@0", tab.look.cut: rows})
        assert recipe.cut == rows, "this one has"
    finally:
        del tab.session.named["larger@0"]


def test_visitors_do_not_see_each_other(tab):
    ann = controls(tab, opened(tab, Recipe(seed=1), ANN))
    opened(tab, Recipe(seed=2), BOB)
    assert tab._changed({**ann, tab.look.psi: 0.5}, ANN)[tab.view].recipe.seed == 1


def test_a_page_older_than_the_server_still_works(tab):
    sent = controls(tab, opened(tab, Recipe(seed=1, n=3)))
    outputs = tab._changed({**sent, tab.view: None}, ANN)
    assert outputs[tab.view].recipe.seed == 1


def test_a_slow_drawing_shows_what_it_has_and_gives_way_to_a_newer_one(tab, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_SEC", -1)
    monkeypatch.setattr("stylegan.tabs.session.STEP_PIXELS", 16 * 16)
    view = opened(tab, Recipe(seed=900, n=9))[tab.view]
    drawing = tab._fill(view, ANN)
    first = next(drawing)
    assert first[tab.grid]["status"] == "1 of 18"
    assert [bool(cell.get("file")) for cell in first[tab.strip]["cells"]] == [True] + [False] * 8
    opened(tab, Recipe(seed=1), BOB)
    assert next(drawing)[tab.grid]["status"] == "2 of 18", "another visitor is no reason to stop"
    opened(tab, Recipe(seed=1), ANN)
    rest = list(drawing)
    assert rest == [{tab.grid: gr.skip(), tab.strip: gr.skip()}]


def test_a_stale_drawing_stops_after_a_step(tab, monkeypatch):
    monkeypatch.setattr("stylegan.tabs.session.STEP_PIXELS", 2 * 16 * 16)
    view = opened(tab, Recipe(seed=910, n=9))[tab.view]
    drawn, draw = [], tab.session.draw

    def counted(*args):
        for batch in draw(*args):
            drawn.extend(batch)
            yield batch

    monkeypatch.setattr(tab.session, "draw", counted)
    opened(tab, Recipe(seed=2), ANN)
    assert list(tab._fill(view, ANN)) == [{tab.grid: gr.skip(), tab.strip: gr.skip()}]
    assert len(drawn) == 2


def test_an_error_while_drawing_is_told(tab, monkeypatch):
    view = opened(tab, Recipe(seed=950, n=9))[tab.view]

    def full(*_):
        raise MemoryError

    monkeypatch.setattr(tab.session, "draw", full)
    assert "memory" in last(tab._fill(view, ANN))[tab.grid]["status"]


def test_saving(tab):
    sent = controls(tab, opened(tab, Recipe(seed=20, n=9)))
    view = tab._picked(sent, picked(5), ANN)[tab.view]
    one = tab.share._save(view.one, view.recipe, 4)
    assert one["name"] == "tiny-16-seed25-psi1-4x.png"
    assert Recipe.from_query(read_png(one["file"]["path"])) == view.one
    whole = tab.share._save(view.grid, view.grid, 4)
    assert whole["name"] == "tiny-16-seed20-28-psi1-4x.png"
    assert Recipe.from_query(read_png(whole["file"]["path"])) == view.grid
    assert whole["count"] != one["count"], "each click saves"
    large = tab.share._save(view.grid, view.grid, 1 << 20)
    assert large["name"].endswith("-85x.png"), "as large as is allowed"

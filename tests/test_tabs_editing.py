import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
import torch
from gradio_client import Client
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stylegan import __main__ as program
from stylegan.checkpoint import save_model
from stylegan.config import NetworkConfig
from stylegan.direction_files import DirectionNote, save_directions
from stylegan.directions import STRENGTHS
from stylegan.model import load
from stylegan.networks.generator import Generator
from stylegan.recipe import MAX_SEED, Edit, Recipe, RowMix, pack_latent
from stylegan.stamp import read_png
from stylegan.tabs import editing
from stylegan.tabs.editing import EditingTab, Marked
from stylegan.tabs.known import Known
from stylegan.tabs.link import Opened, open_file
from stylegan.tabs.parts import notes_part
from stylegan.tabs.session import Session
from tests.app_server import running

TINY = Path(__file__).parent / "links/tiny-16"
ANN, BOB = SimpleNamespace(session_hash="ann"), SimpleNamespace(session_hash="bob")
LATENT = pack_latent(np.linspace(-1, 1, 16))
EDITED = Recipe(seed=5, psi=0.7, t="edit", e=(Edit("warmth", 1.5), Edit("shape", -2, (0, 2))))


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    """On a model of 16x16 RGB with three classes and two directions; another is 8x8 grey, without
    classes, and without directions in its file."""
    folder = tmp_path_factory.mktemp("models")
    sizes = {"z_dim": 16, "w_dim": 16, "mapping_layers": 1, "channel_base": 64, "channel_max": 8}
    config = NetworkConfig(resolution=8, channels=1, **sizes)
    save_model(folder / "grey-8", config, {}, Generator(config))
    session = Session([TINY, folder / "grey-8"], folder / "files", "cpu")
    with gr.Blocks(analytics_enabled=False):
        model = gr.Dropdown(session.choices, value=session.first.id)
        return EditingTab(session, notes_part(), model)


@pytest.fixture
def model(tab):
    return tab.session.first


@pytest.fixture
def grey(tab):
    return list(tab.session.models.values())[1]


def value(update):
    """The value that an output sets, whichever way it is written."""
    return update.value if isinstance(update, gr.components.Component) else update


def sent(tab, outputs, before=None, **changes):
    """What the page would send after these outputs, with changes by the names of controls."""
    values = dict(before or {**dict.fromkeys(tab.inputs), tab.marking.own: ()})
    values.update({part: value(update) for part, update in outputs.items() if part in tab.inputs})
    return values | {getattr(tab, name): changed for name, changed in changes.items()}


def moved(values, tab, *edits, chosen=None):
    """The sliders as a visitor leaves them, each (direction, strength) and perhaps rows."""
    edits = [
        {"direction": name, "strength": strength, "rows": rows[0] if rows else None}
        for name, strength, *rows in edits
    ]
    sliders = {**values[tab.sliders], "edits": edits}
    return {**values, tab.sliders: sliders | ({"chosen": chosen} if chosen else {})}


def opened(tab, recipe=EDITED, visitor=ANN, model=None):
    return tab.open(Opened(recipe, model or tab.session.first, []), visitor)


def last(updates):
    *_, end = updates
    return end


def event(**data):
    return SimpleNamespace(_data=data)


recipes = st.builds(
    Recipe,
    seed=st.integers(0, MAX_SEED - 64),
    psi=st.floats(-5, 5),
    cut=st.none() | st.integers(0, 5),
    c=st.integers(0, 2),
    noise=st.sampled_from(["const", "none"]) | st.integers(0, MAX_SEED),
    mix=st.lists(st.builds(RowMix, st.integers(0, 9), st.just(1), st.integers(1, 5)), max_size=2),
    e=st.lists(
        st.builds(
            Edit,
            st.sampled_from(["warmth", "shape"]),
            st.floats(-9, 9).filter(bool),
            st.none() | st.tuples(st.integers(0, 2), st.integers(2, 5)),
        ),
        max_size=3,
    ),
)


# Recipes and controls


@settings(deadline=None, max_examples=40)
@given(recipe=recipes)
def test_every_recipe_goes_into_the_controls_and_comes_back(tab, recipe):
    outputs = opened(tab, recipe)
    stamped = tab.session.first.stamped(dataclasses.replace(recipe, t="edit"))
    assert outputs[tab.view].recipe == stamped
    assert outputs[tab.share.link]["query"] == outputs[tab.picture]["query"] == stamped.to_query()
    assert set(outputs) == set(tab.outputs) - {tab.marking.arrived}
    again = tab._changed(sent(tab, outputs), ANN)
    assert again[tab.view].recipe == stamped
    assert again[tab.picture] == outputs[tab.picture]
    assert again[tab.strip] == outputs[tab.strip]
    assert set(again) <= set(tab.shown), "a slider that moves is not moved back"


def test_the_sliders_are_told_all_that_they_show(tab, model):
    sliders = opened(tab)[tab.sliders]
    assert sliders["model"] == model.id and sliders["sides"] == [4, 8, 8, 16, 16, 16]
    assert [item["direction"] for item in sliders["items"]][:3] == [
        "shape",
        "warmth",
        "closed-form-1",
    ]
    assert sliders["edits"] == [
        {"direction": "warmth", "strength": 1.5, "rows": None},
        {"direction": "shape", "strength": -2.0, "rows": (0, 2)},
    ]
    assert sliders["chosen"] == "warmth"
    plain = opened(tab, Recipe(seed=1))[tab.sliders]
    assert (plain["edits"], plain["chosen"]) == ([], "shape")
    nothing = opened(tab, Recipe(seed=1, e=(Edit("warmth", 0),)))
    assert nothing[tab.view].recipe.e == (), "a slider at 0 is no edit"


def test_moving_sliders(tab, model):
    values = moved(sent(tab, opened(tab)), tab, ("shape", 1.25, [2, 3]), ("warmth", 0))
    recipe = tab._changed(values, ANN)[tab.view].recipe
    assert recipe == model.stamped(dataclasses.replace(EDITED, e=(Edit("shape", 1.25, (2, 3)),)))
    back = tab._changed(moved(values, tab), ANN)
    assert back[tab.view].recipe.e == () and back[tab.original] == {}
    assert tab._changed({**values, tab.seed: 9}, ANN)[tab.view].recipe.seed == 9


def test_the_picture_and_the_one_before_its_edits(tab, model):
    outputs = opened(tab)
    path = outputs[tab.picture]["cell"]["file"]["path"]
    assert read_png(path) == model.stamped(EDITED).to_query()
    assert outputs[tab.picture]["caption"] == "seed 5 · ψ 0.7 · warmth +1.5 · shape -2"
    assert "warmth +1.5" in outputs[tab.picture]["cell"]["alt"]
    before = outputs[tab.original]
    start = model.stamped(dataclasses.replace(EDITED, e=()))
    assert read_png(before["cell"]["file"]["path"]) == start.to_query()
    assert before["caption"] == "before: seed 5 · ψ 0.7"


def test_a_saved_picture_brings_back_every_control(tab):
    view = opened(tab)[tab.view]
    saved = tab.share._save(view.recipe, view.recipe, 2)
    again = open_file(saved["file"]["path"], tab.session)
    assert again.tab == "edit"
    outputs = tab.open(again, BOB)
    assert outputs[tab.view] == view and outputs[tab.sliders] == opened(tab)[tab.sliders]


def test_a_direction_that_no_link_can_name_is_in_the_latent(tab, model):
    values = moved(sent(tab, opened(tab)), tab, ("pca-1", 2), ("warmth", 1.5), chosen="pca-1")
    outputs = tab._changed(values, ANN)
    view = outputs[tab.view]
    assert view.recipe.w is not None and view.recipe.e == (Edit("warmth", 1.5),)
    assert view.start == model.stamped(dataclasses.replace(EDITED, e=()))
    assert outputs[tab.picture]["caption"] == "seed 5 · ψ 0.7 · pca-1 +2 · warmth +1.5"
    elsewhere = opened(tab, Recipe.from_query(outputs[tab.share.link]["query"]), BOB)
    assert elsewhere[tab.picture]["cell"]["file"] == outputs[tab.picture]["cell"]["file"]
    assert elsewhere[tab.seed] is None, "the picture is the same, the controls are its latent's"
    less = tab._changed(moved(values, tab, ("warmth", 1.5)), ANN)[tab.view]
    assert less.recipe == model.stamped(dataclasses.replace(EDITED, e=(Edit("warmth", 1.5),)))


def test_a_direction_of_the_visitors_own(tab, model):
    own = (Known("smile", torch.linspace(-1, 1, 16), DirectionNote("a smile"), "own", model.id),)
    values = moved(sent(tab, opened(tab)), tab, ("smile", 1), chosen="smile")
    values[tab.marking.own] = own
    outputs = tab._changed(values, ANN)
    assert outputs[tab.view].edits == (Edit("smile", 1),)
    assert outputs[tab.strip].label == "a smile"
    values[tab.marking.own] = ()
    gone = tab._changed(values, ANN)
    assert gone[tab.view].edits == (), "a page may not know yet that it is removed"
    assert gone[tab.strip].recipes == ()


def test_a_latent_stays_until_a_seed_is_given(tab, model):
    latent = Recipe(w=LATENT, t="edit", e=(Edit("warmth", 1),))
    values = sent(tab, opened(tab, latent))
    assert values[tab.seed] is None
    assert tab._changed(values, ANN)[tab.view].recipe == model.stamped(latent)
    seeded = tab._changed({**values, tab.seed: 4}, ANN)[tab.view].recipe
    assert (seeded.w, seeded.seed, seeded.e) == (None, 4, latent.e)


@pytest.mark.parametrize(
    ("name", "wrong", "says"),
    [
        ("seed", -1, "seed"),
        ("seed", 1.5, "seed"),
        ("psi", "x", "psi"),
        ("c", 3, "classes 0 to 2"),
        ("sliders", 7, "something other than edits"),
        ("sliders", {"edits": 7}, "something other than edits"),
        ("sliders", {"edits": [7]}, "something other than edits"),
        ("sliders", {"edits": [{"direction": "warmth"}]}, "something other than edits"),
        ("sliders", {"edits": [{"direction": "<b>", "strength": 1, "rows": None}]}, "name"),
        ("sliders", {"edits": [{"direction": "warmth", "strength": 1e3, "rows": None}]}, "-100"),
        ("sliders", {"edits": [{"direction": "warmth", "strength": 1, "rows": [0, 6]}]}, "rows"),
        ("sliders", {"edits": [{"direction": "warmth", "strength": 1, "rows": [1]}]}, "other than"),
        ("sliders", {"edits": [{"direction": "warmth", "strength": 1, "rows": None}] * 33}, "33"),
    ],
)
def test_a_wrong_value_is_told_and_nothing_else_changes(tab, name, wrong, says):
    outputs = tab._changed(sent(tab, opened(tab), **{name: wrong}), ANN)
    assert list(outputs) == [tab.notes]
    assert outputs[tab.notes][0].startswith("This cannot be drawn") and says in str(outputs)


@pytest.mark.parametrize("name", ["seed", "psi", "c"])
def test_an_emptied_box_waits(tab, name):
    assert tab._changed(sent(tab, opened(tab), **{name: None}), ANN) == gr.skip()


def test_dice(tab):
    rolled = tab._rolled(sent(tab, opened(tab)), ANN)
    recipe = rolled[tab.view].recipe
    assert rolled[tab.seed] == recipe.seed and (recipe.psi, recipe.e) == (0.7, EDITED.e)


def test_visitors_do_not_see_each_other(tab):
    ann = sent(tab, opened(tab, Recipe(seed=1), ANN))
    opened(tab, Recipe(seed=2), BOB)
    assert tab._changed({**ann, tab.psi: 0.5}, ANN)[tab.view].recipe.seed == 1


def test_a_page_older_than_the_server_still_works(tab):
    values = sent(tab, opened(tab))
    outputs = tab._changed({**values, tab.view: None, tab.strip: None}, ANN)
    assert outputs[tab.view].recipe.e == EDITED.e
    assert tab._changed({**values, tab.view: None, tab.sliders: None}, ANN)[tab.view].edits == ()


# The strip, and the examples


def test_a_strip_moves_the_chosen_direction_alone(tab, model):
    strip = opened(tab)[tab.strip]
    start = dataclasses.replace(model.stamped(EDITED), e=())
    for strength, recipe in zip(STRENGTHS, strip.recipes, strict=True):
        first = (Edit("warmth", strength),) if strength else ()
        assert recipe == dataclasses.replace(start, e=(*first, EDITED.e[1]))
    end = last(tab._fill(strip, ANN))
    shown = end[tab.strengths]
    assert [cell["label"] for cell in shown["cells"]] == ["-3", "-2", "-1", "0", "+1", "+2", "+3"]
    assert [read_png(cell["file"]["path"]) for cell in shown["cells"]] == [
        recipe.to_query() for recipe in strip.recipes
    ]
    assert shown["strengths"] == list(STRENGTHS) and shown["direction"] == "warmth"
    values = sent(tab, opened(tab))
    same = tab._changed(moved(values, tab, ("warmth", 3), ("shape", -2, [0, 2])), ANN)
    assert same[tab.strip] == strip, "its own strength changes nothing"
    other = tab._changed(moved(values, tab, ("warmth", 3), chosen="shape"), ANN)[tab.strip]
    assert [recipe.e[-1:] for recipe in other.recipes][:2] == [
        (Edit("shape", -3),),
        (Edit("shape", -2),),
    ]


def test_a_strip_keeps_to_the_layers_that_a_direction_is_meant_for(tmp_path):
    folder = tmp_path / "noted"
    shutil.copytree(TINY, folder)
    steps = {"hat": torch.linspace(-1, 1, 16)}
    save_directions(folder / "directions.safetensors", steps, {"hat": DirectionNote(rows=(2, 4))})
    session = Session([folder], tmp_path / "files", "cpu")
    with gr.Blocks(analytics_enabled=False):
        tab = EditingTab(session, notes_part(), gr.Dropdown(session.choices))
    outputs = opened(tab, Recipe(seed=1))
    assert outputs[tab.strip].recipes[0].e == (Edit("hat", -3, (2, 4)),)
    assert outputs[tab.sliders]["items"][0]["rows"] == (2, 4)
    start, edit = tab._examples(session.first)[0]
    assert edit == Edit("hat", 2.5, (2, 4)) and start.e == ()


def test_examples_are_of_the_models_own_directions(tab, model, grey):
    for own in (model, grey):
        outputs = opened(tab, Recipe(seed=8, psi=0.3), model=own)
        examples = last(tab._fill(outputs[tab.strip], ANN))[tab.examples]
        names = list(tab.found.known(own))[:4]
        assert [cell["label"] for cell in examples["cells"]] == [
            f"{name} {strength}"
            for name, strength in zip(names, ("+2.5", "-2.5", "+2.5", "-2.5"), strict=True)
        ]
        values = sent(tab, outputs)
        for i, cell in enumerate(examples["cells"]):
            picked = tab._picked(values, event(index=i), ANN)
            assert picked[tab.picture]["query"] == read_png(cell["file"]["path"])
            assert picked[tab.sliders]["chosen"] == names[i]
            assert picked[tab.sliders]["edits"][0]["direction"] == names[i]
            assert picked[tab.psi].value == 1


@pytest.mark.parametrize("index", [-1, 4, "0", None, 1.5, [0]])
def test_choosing_what_is_not_there_does_nothing(tab, index):
    values = sent(tab, opened(tab))
    assert tab._picked(values, event(index=index), ANN) == gr.skip()
    assert tab._picked(values, SimpleNamespace(_data=None), ANN) == gr.skip()


def test_a_slow_strip_shows_what_it_has_and_gives_way_to_a_newer_one(tab, monkeypatch):
    monkeypatch.setattr(editing, "PATIENCE_SEC", -1)
    monkeypatch.setattr("stylegan.tabs.session.STEP_PIXELS", 16 * 16)
    outputs = opened(tab, dataclasses.replace(EDITED, seed=901))
    drawing = tab._fill(outputs[tab.strip], ANN)
    first = next(drawing)[tab.strengths]
    assert [bool(cell.get("file")) for cell in first["cells"]] == [True] + [False] * 6
    opened(tab, visitor=BOB)
    values = sent(tab, outputs)
    tab._changed(moved(values, tab, ("warmth", 0.5), ("shape", -2, [0, 2])), ANN)
    filled = next(drawing)[tab.strengths]["cells"]
    assert filled[1].get("file"), "neither is a reason to stop"
    tab._changed({**values, tab.seed: 902}, ANN)
    assert list(drawing) == [{tab.strengths: gr.skip(), tab.examples: gr.skip()}]
    assert list(tab._fill(None, ANN)) == [{tab.strengths: gr.skip(), tab.examples: gr.skip()}]


def test_a_visitor_who_leaves_stops_what_is_drawn(tab, monkeypatch):
    monkeypatch.setattr(editing, "PATIENCE_SEC", -1)
    monkeypatch.setattr("stylegan.tabs.session.STEP_PIXELS", 16 * 16)
    drawing = tab._fill(opened(tab, dataclasses.replace(EDITED, seed=903))[tab.strip], ANN)
    next(drawing)
    tab.session.turns.take("ann/edit")  # as the page does
    assert list(drawing) == [{tab.strengths: gr.skip(), tab.examples: gr.skip()}]


def test_an_error_while_drawing_is_told(tab, monkeypatch):
    strip = opened(tab)[tab.strip]

    def full(*_):
        raise MemoryError

    monkeypatch.setattr(tab.session, "draw", full)
    assert "memory" in last(tab._fill(strip, ANN))[tab.strengths]["status"]


# Models and other tabs


def test_another_model_takes_what_it_can(tab, model, grey):
    recipe = Recipe(seed=5, psi=0.4, cut=5, c=2, mix=(RowMix(1, 0, 0),), e=EDITED.e, t="edit")
    values = sent(tab, opened(tab, recipe))
    view = tab._changed(moved(values, tab, ("pca-1", 2), ("warmth", 1)), ANN)[tab.view]
    assert view.recipe.w is not None
    adapted = tab.adapted(view.value, grey)
    assert adapted == dataclasses.replace(recipe, cut=None, c=0, mix=(), e=(), m=model.id)
    outputs = tab.open(Opened(adapted, grey, []), ANN)
    assert outputs[tab.view].recipe == grey.stamped(Recipe(seed=5, psi=0.4, t="edit"))
    assert outputs[tab.model] == grey.id and tab.share.factor in outputs
    assert not outputs[tab.c].visible
    with Image.open(outputs[tab.picture]["cell"]["file"]["path"]) as image:
        assert image.mode == "L" and image.size == (8, 8)
    back = tab.adapted(dataclasses.replace(EDITED, e=(Edit("warmth", 1, (4, 9)),)), model)
    assert back.e == (Edit("warmth", 1, (4, 5)),), "in those of its rows that there are"


def test_a_page_that_has_not_heard_of_the_other_model_yet(tab, grey):
    """The controls that it sends are still those of the model before."""
    recipe = Recipe(seed=5, c=2, cut=5, e=EDITED.e, t="edit")
    values = sent(tab, opened(tab, recipe), model=grey.id)
    changed = tab._changed({**values, tab.psi: 0.5}, ANN)[tab.view].recipe
    assert changed == grey.stamped(Recipe(seed=5, psi=0.5, t="edit"))


def test_a_model_without_directions_of_its_own_can_be_edited(tab, grey):
    outputs = opened(tab, Recipe(seed=3), model=grey)
    assert {item["kind"] for item in outputs[tab.sliders]["items"]} == {"found"}
    values = moved(sent(tab, outputs), tab, ("closed-form-1", 2), chosen="closed-form-1")
    recipe = tab._changed(values, ANN)[tab.view].recipe
    assert recipe.w is not None
    assert not np.array_equal(grey.render(recipe), grey.render(Recipe(seed=3)))


def test_a_picture_that_is_sent_here_is_opened(tab, model):
    picture = Recipe(seed=9, psi=0.5, c=1, n=1, e=(Edit("shape", 1),), m=model.id)
    taken = tab.take(opened(tab)[tab.view], [picture], "edit", model)
    assert taken == dataclasses.replace(picture, t="edit")
    assert opened(tab, taken)[tab.sliders]["edits"][0]["direction"] == "shape"


def test_pictures_to_mark_leave_what_is_shown_alone(tab, model):
    view = opened(tab)[tab.view]
    pictures = [Recipe(seed=9, psi=0.5, t="mix"), Recipe(w=LATENT)]
    taken = tab.take(view, pictures, "has_not", model)
    outputs = opened(tab, taken)
    assert set(outputs) == {tab.marking.arrived, tab.notes}
    marks = outputs[tab.marking.arrived].marks
    assert marks == (
        (model.stamped(Recipe(seed=9, psi=0.5)), -1),
        (model.stamped(Recipe(w=LATENT)), -1),
    )
    again = opened(tab, tab.take(view, pictures, "has_not", model))
    assert again[tab.marking.arrived] != outputs[tab.marking.arrived], "it is another time"


def test_pictures_to_mark_before_anything_was_shown(tab, model):
    picture = Recipe(seed=9, psi=0.5)
    taken = tab.take(None, [picture], "has", model)
    assert isinstance(taken, Marked) and taken.marks == ((model.stamped(picture), 1),)
    outputs = opened(tab, taken)
    assert set(outputs) == set(tab.outputs)
    assert outputs[tab.view].recipe == model.stamped(dataclasses.replace(picture, t="edit"))
    assert type(outputs[tab.view].recipe) is Recipe


def test_pictures_to_mark_of_another_model(tab, model, grey):
    view = opened(tab)[tab.view]
    taken = tab.take(view, [Recipe(seed=9)], "has", grey)
    outputs = opened(tab, taken, model=grey)
    assert outputs[tab.view].recipe == grey.stamped(Recipe(seed=5, psi=0.7, t="edit"))
    assert outputs[tab.marking.arrived].marks == ((grey.stamped(Recipe(seed=9)), 1),)


# The API


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("app")
    shutil.copytree(TINY, folder / "tiny-16")
    directions = folder / "tiny-16/directions.safetensors"
    model = load(TINY)
    save_directions(directions, model.directions, {"warmth": DirectionNote(rows=(1, 3))})
    with running(folder, "--model", str(folder / "tiny-16")) as server:
        yield Client(server.url, verbose=False, download_files=str(folder)), folder / "tiny-16"


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


@pytest.mark.parametrize(
    ("given", "flags", "says"),
    [
        (("seed=7&psi=0.7", "shape", -1.5), ["shape", "--strength", "-1.5"], "e=shape:-1.5"),
        (("seed=7", "warmth", 2), ["warmth", "--strength", "2"], "e=warmth:2:1-3"),
        (("seed=7", "warmth", 2, "0-5"), ["warmth", "--strength", "2", "--rows", "0-5"], ":0-5"),
        (("seed=7&e=shape:1&e=warmth:9", "warmth", 2, "1"),
         ["warmth", "--strength", "2", "--rows", "1"], "e=shape:1&e=warmth:2:1-1"),
        (("t=edit&seed=7&e=warmth:1", "warmth", 0), ["warmth", "--strength", "0"], "seed=7"),
    ],
)  # fmt: skip
def test_programs_get_the_picture_of_the_command_line(client, tmp_path, given, flags, says):
    app, folder = client
    found = app.predict(*given, api_name="/edit")
    out = tmp_path / "out.png"
    line = ["edit", given[0], "--direction", *flags, "--model", str(folder), "-o", str(out)]
    assert program.main(line) == 0
    assert read_png(found) == read_png(out)
    assert read_png(found).startswith("t=edit&m=tiny-16@") and read_png(found).endswith(says)
    assert np.abs(pixels(found) - pixels(out)).max() <= 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("speed=3", "warmth", 1), 'unknown name "speed"'),
        (("seed=3", "smile", 1), r"no direction smile \(directions: shape, warmth\)"),
        (("seed=3", "smile", 0), "no direction smile"),
        (("seed=3", "", 1), "is not a direction's name"),
        (("seed=3", "warmth", 101), "from -100 to 100"),
        (("seed=3", "warmth", 1, "0-9"), "rows 0-9: tiny-16 has rows 0 to 5"),
        (("seed=3", "warmth", 1, "many"), "are not rows first-last"),
    ],
)
def test_programs_are_told_what_is_wrong(client, given, words):
    with pytest.raises(Exception, match=words) as error:
        client[0].predict(*given, api_name="/edit")
    assert "Traceback" not in str(error.value)


def test_the_api_is_described(client):
    described = client[0].view_api(return_format="dict", print_info=False)["named_endpoints"]
    found = described["/edit"]
    parameters = {one["parameter_name"]: one["python_type"]["type"] for one in found["parameters"]}
    assert parameters == {"query": "str", "direction": "str", "strength": "float", "rows": "str"}
    assert [one["parameter_has_default"] for one in found["parameters"]] == [
        False, False, False, True,
    ]  # fmt: skip
    assert "moved along one of its model's directions" in found["description"]
    assert [one["component"] for one in found["returns"]] == ["Image"]

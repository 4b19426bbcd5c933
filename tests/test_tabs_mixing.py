import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from gradio_client import Client
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stylegan import __main__ as program
from stylegan.checkpoint import save_model
from stylegan.config import NetworkConfig
from stylegan.mix import Mix
from stylegan.networks.generator import Generator
from stylegan.query import MAX_SEED, RecipeError, pack_latent
from stylegan.recipe import Edit, Recipe, RowMix
from stylegan.stamp import read_png
from stylegan.tabs import crosstable, mixing
from stylegan.tabs.crosstable import EXAMPLES
from stylegan.tabs.link import Opened, open_address
from stylegan.tabs.mixing import MixingTab
from stylegan.tabs.parts import notes_part
from stylegan.tabs.session import Session
from tests.app_server import running

TINY = Path(__file__).parent / "links/tiny-16"
ANN, BOB = SimpleNamespace(session_hash="ann"), SimpleNamespace(session_hash="bob")
LATENT, OTHER = (pack_latent(np.linspace(-1, end, 16)) for end in (1, 2))
PLUS = pack_latent(np.tile(np.linspace(-1, 1, 16), 6))  # begins as LATENT does
TABLE = Mix((1, 2), (3, 4, 5), (2, 3))


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    """On a model of 16x16 RGB with three classes; another is 8x8 grey without any."""
    folder = tmp_path_factory.mktemp("models")
    sizes = {"z_dim": 16, "w_dim": 16, "mapping_layers": 1, "channel_base": 64, "channel_max": 8}
    config = NetworkConfig(resolution=8, channels=1, **sizes)
    save_model(folder / "grey-8", config, {}, Generator(config))
    shutil.copytree(TINY, folder / "tiny-16")
    session = Session([folder / "tiny-16", folder / "grey-8"], folder / "files", "cpu")
    with gr.Blocks(analytics_enabled=False):
        model = gr.Dropdown(session.choices, value=session.first.id)
        return MixingTab(session, notes_part(), model)


@pytest.fixture
def grey(tab):
    return list(tab.session.models.values())[1]


def value(update):
    """The value that an output sets, whichever way it is written."""
    return update.value if isinstance(update, gr.components.Component) else update


def sent(tab, outputs, before=None, **changes):
    """What the page would send after these outputs, with changes by the names of controls."""
    values = dict(before or dict.fromkeys(tab.inputs))
    values.update({part: value(update) for part, update in outputs.items() if part in tab.inputs})
    for name, changed in changes.items():
        part = getattr(tab, name, None) or getattr(tab.look, name)
        values[part] = changed
    return values


def opened(tab, table=TABLE, visitor=ANN, **more):
    return tab.open(Opened(table, tab.session.first, [], **more), visitor)


def last(updates):
    *_, end = updates
    return end


def event(**data):
    return SimpleNamespace(_data=data)


sources = st.lists(st.integers(0, MAX_SEED) | st.sampled_from([LATENT, PLUS, OTHER]), min_size=1)
tables = st.builds(
    Mix,
    rows=sources.map(lambda found: found[:4]),
    cols=sources.map(lambda found: found[:4]),
    layers=st.sets(st.integers(0, 5), min_size=1),
    psi=st.floats(-5, 5),
    cut=st.none() | st.integers(0, 5),
    c=st.integers(0, 2),
    noise=st.sampled_from(["const", "none"]) | st.integers(0, MAX_SEED),
)


# Values and controls


@settings(deadline=None, max_examples=40)
@given(table=tables)
def test_every_table_goes_into_the_controls_and_comes_back(tab, table):
    outputs = opened(tab, table)
    stamped = tab.session.first.stamped(table)
    assert outputs[tab.view].value == stamped
    assert set(outputs) == set(tab.outputs)
    assert tab._changed(sent(tab, outputs), ANN) == {tab.notes: []}, "nothing has changed"
    again = tab._changed(sent(tab, outputs, choice={"at": [0, None]}), ANN)
    assert again[tab.view].mix == stamped
    assert again[tab.wanted][0] == stamped
    assert set(again) <= set(tab.shown)


def test_a_table_is_linked_and_so_is_its_large_picture(tab):
    outputs = opened(tab)
    stamped = tab.session.first.stamped(TABLE)
    assert outputs[tab.link]["query"] == stamped.to_query()
    one = stamped.cell(0, 0)
    assert outputs[tab.share.link]["query"] == outputs[tab.picture]["query"] == one.to_query()
    again = open_address(outputs[tab.share.link]["query"], tab.session)
    assert again.tab == "mix"
    alone = tab.open(again, ANN)
    assert alone[tab.view].one == one
    assert alone[tab.view].mix == dataclasses.replace(stamped, rows=(1,), cols=(3,))


def test_the_large_picture_is_a_png_of_its_recipe_in_its_table(tab):
    outputs = opened(tab)
    path = outputs[tab.picture]["cell"]["file"]["path"]
    stamped = tab.session.first.stamped(TABLE)
    assert Recipe.from_query(read_png(path)) == stamped.cell(0, 0)
    assert read_png(path, "stylegan-page") == stamped.to_query()
    with Image.open(path) as image:
        found = np.asarray(image).astype(int)
    assert np.abs(found - tab.session.first.render(stamped.cell(0, 0))).max() <= 1


@pytest.mark.parametrize(
    ("table", "at", "words"),
    [
        (TABLE, [1, 2], "seed 2, rows 2-3 of seed 5 · ψ 1"),
        (TABLE, [1, None], "seed 2 · ψ 1"),
        (TABLE, [None, 0], "seed 3 · ψ 1"),
        (Mix((1,), (LATENT,), (0,), psi=0.5, c=2), [0, 0], None),
        (Mix((OTHER,), (LATENT,), (0, 5)), [0, 0], None),
    ],
)
def test_captions(tab, table, at, words):
    values = sent(tab, opened(tab, table), choice={"at": at})
    found = tab._chosen(values)[tab.picture]
    if words is None:
        name, other = f"latent {LATENT[:6]}", f"latent {OTHER[:6]}"
        words = f"seed 1, row 0 of {name} · ψ 0.5 · class 2"
        words = f"{other}, rows 0,5 of {name}" if table.rows == (OTHER,) else words
    assert found["caption"] == words
    assert words in found["cell"]["alt"] and "tiny-16" in found["cell"]["alt"]


@pytest.mark.parametrize(
    ("table", "said"),
    [(Recipe(seed=1), "no cell"), (Recipe(seed=1, mix=[RowMix(2, 0, 0), RowMix(3, 1, 1)]), "no")],
)
def test_pictures_of_no_table(tab, table, said):
    with pytest.raises(RecipeError, match=said):
        opened(tab, table)


# Playing


def test_choosing_a_picture_leaves_the_table_alone(tab):
    values = sent(tab, opened(tab), choice={"at": [1, 2]})
    chosen = tab._chosen(values)
    stamped = tab.session.first.stamped(TABLE)
    assert chosen[tab.view].one == stamped.cell(1, 2)
    assert set(chosen) <= set(tab.large) and tab.wanted not in chosen
    edge = tab._chosen({**values, tab.choice: {"at": [None, 1]}})
    assert edge[tab.view].one == stamped.source(4)


@pytest.mark.parametrize(
    "choice",
    [None, {}, {"at": None}, {"at": [0]}, {"at": [0, 9]}, {"at": [-1, 0]}, {"at": [None, None]},
     {"at": [0.5, 0]}, {"at": [True, 0]}, {"at": "00"}, [0, 0], {"at": [0, 0, 0]}],
)  # fmt: skip
def test_choosing_what_is_not_there(tab, choice):
    values = sent(tab, opened(tab), choice=choice)
    assert tab._chosen(values) == gr.skip()
    changed = tab._changed({**values, tab.rows: "7-9"}, ANN)
    assert changed[tab.view].at == (0, 0) and changed[tab.choice] == {"at": [0, 0]}


def test_a_smaller_table_keeps_what_is_large_where_it_can(tab):
    values = sent(tab, opened(tab), choice={"at": [1, 2]})
    same = tab._changed({**values, tab.rows: "8,9,10"}, ANN)
    assert same[tab.view].at == (1, 2) and tab.choice not in same
    fewer = tab._changed({**values, tab.cols: "8"}, ANN)
    assert fewer[tab.view].at == (0, 0) and fewer[tab.choice] == {"at": [0, 0]}


def test_typing(tab):
    values = sent(tab, opened(tab))
    for half in ("", "1,", "1-", "x", "5-3", "1-99"):
        assert tab._typed({**values, tab.rows: half}, ANN) == gr.skip(), "it may become something"
        told = tab._changed({**values, tab.rows: half}, ANN)
        assert list(told) == [tab.notes] and told[tab.notes][0].startswith("This cannot be drawn")
    typed = tab._typed({**values, tab.rows: " 7 , 10-12", tab.cols: "9"}, ANN)
    assert (typed[tab.view].mix.rows, typed[tab.view].mix.cols) == ((7, 10, 11, 12), (9,))
    assert tab.rows not in typed, "what is typed stays as it is"


def test_latents_stay_while_the_text_is_edited(tab):
    outputs = opened(tab, Mix((1, LATENT), (PLUS, 3), (0,)))
    values = sent(tab, outputs)
    name = f"w:{LATENT[:6]}"
    assert (values[tab.rows], values[tab.cols]) == (f"1,{name}", f"{name}~2,3")
    moved = tab._typed({**values, tab.rows: f"{name}~2,5,{name},{name}"}, ANN)
    assert moved[tab.view].mix.rows == (PLUS, 5, LATENT, LATENT)
    values = sent(tab, moved, values, rows="5", cols="6")
    gone = tab._typed(values, ANN)
    assert gone[tab.view].mix.rows == (5,)
    values = sent(tab, gone, values, rows=f"5,{name}~2")
    assert tab._typed(values, ANN)[tab.view].mix.rows == (5, PLUS), "it was here before"
    unknown = tab._changed({**values, tab.view: None}, ANN)
    assert "no latent" in unknown[tab.notes][0]


@pytest.mark.parametrize("layers", [[0], [2, 3, 5], [5, 4, 3, 2, 1, 0]])
def test_layers(tab, layers):
    values = sent(tab, opened(tab))
    shown = tab._changed({**values, tab.layers: {**values[tab.layers], "layers": layers}}, ANN)
    assert shown[tab.view].mix.layers == tuple(sorted(layers))
    assert tab.layers not in shown, "a slider that moves is not moved back"


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("layers", {"layers": []}, "layers names no rows"),
        ("layers", {"layers": [6]}, "rows 0 to 5"),
        ("layers", {"layers": ["0"]}, "layers row"),
        ("layers", None, "layers names no rows"),
        ("layers", "0", "layers names no rows"),
        ("psi", "x", "psi"),
        ("psi", 7, "from -5 to 5"),
        ("cut", "5", "cut"),
        ("c", 3, "classes 0 to 2"),
        ("noise", "loud", "const or none"),
        ("rows", 5.5, "seeds"),
        ("rows", None, "seeds"),
    ],
)
def test_a_wrong_value_is_told_and_nothing_else_changes(tab, name, wrong, said):
    outputs = tab._changed(sent(tab, opened(tab), **{name: wrong}), ANN)
    assert list(outputs) == [tab.notes]
    assert said in outputs[tab.notes][0]


@pytest.mark.parametrize("name", ["psi", "cut", "c", "noise_seed"])
def test_an_emptied_box_waits(tab, name):
    assert tab._changed(sent(tab, opened(tab), **{name: None}), ANN) == gr.skip()


def test_other_rows_and_columns(tab):
    outputs = opened(tab, Mix((1, LATENT, 3), (4, 5), (0,)))
    rolled = tab._rolled("rows", sent(tab, outputs, rows="half a th"), ANN)
    mix = rolled[tab.view].mix
    assert mix.rows[1] == LATENT and mix.cols == (4, 5)
    assert len({*mix.rows, 1, 3}) == 5, "other seeds, none twice"
    assert rolled[tab.rows] == f"{mix.rows[0]},w:{LATENT[:6]},{mix.rows[2]}"
    cols = tab._rolled("cols", sent(tab, outputs), ANN)[tab.view].mix
    assert cols.rows == (1, LATENT, 3) and len(set(cols.cols) - {4, 5}) == 2


def test_swapping(tab):
    outputs = tab._swapped(sent(tab, opened(tab), choice={"at": [1, 2]}), ANN)
    view = outputs[tab.view]
    assert (view.mix.rows, view.mix.cols, view.at) == ((3, 4, 5), (1, 2), (2, 1))
    assert outputs[tab.rows] == "3-5" and outputs[tab.choice] == {"at": [2, 1]}


@pytest.mark.parametrize(
    ("data", "rows", "cols", "at"),
    [
        ({"axis": "cols", "index": 0, "to": 2}, (1, 2), (4, 5, 3), (None, 2)),
        ({"axis": "cols", "index": 2, "to": 0}, (1, 2), (5, 3, 4), (None, 0)),
        ({"axis": "rows", "index": 0, "to": 1}, (2, 1), (3, 4, 5), (1, None)),
        ({"axis": "rows", "index": 1, "to": None}, (1,), (3, 4, 5), (0, None)),
        ({"axis": "cols", "index": 0, "to": None}, (1, 2), (4, 5), (None, 0)),
    ],
)
def test_moving_and_taking_away(tab, data, rows, cols, at):
    outputs = tab._moved(sent(tab, opened(tab)), event(**data), ANN)
    view = outputs[tab.view]
    assert (view.mix.rows, view.mix.cols, view.at) == (rows, cols, at)
    assert outputs[tab.choice] == {"at": list(at)}


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"axis": "layers", "index": 0, "to": 0},
        {"axis": "rows", "index": 2, "to": 0},
        {"axis": "rows", "index": 0, "to": -1},
        {"axis": "rows", "index": 0, "to": 2},
        {"axis": "rows", "index": "0", "to": None},
        {"axis": "rows", "index": True, "to": None},
        {"axis": ["rows"], "index": 0, "to": None},
    ],
)
def test_moving_what_is_not_there_does_nothing(tab, data):
    values = sent(tab, opened(tab))
    assert tab._moved(values, event(**data), ANN) == gr.skip()
    assert tab._moved(values, SimpleNamespace(_data=None), ANN) == gr.skip()


def test_the_last_row_stays(tab):
    values = sent(tab, opened(tab, Mix((1,), (2,), (0,))))
    told = tab._moved(values, event(axis="rows", index=0, to=None), ANN)
    assert list(told) == [tab.notes] and "0 seeds or latents" in told[tab.notes][0]


@pytest.mark.parametrize("words", EXAMPLES)
def test_examples_keep_how_it_is_drawn(tab, words):
    outputs = opened(tab, dataclasses.replace(TABLE, psi=0.4, c=1))
    mix = tab._tried(words, sent(tab, outputs), ANN)[tab.view].mix
    own = EXAMPLES[words](tab.session.first)
    assert mix == tab.session.first.stamped(dataclasses.replace(own, psi=0.4, c=1))


# Models and other tabs


def test_another_model_takes_what_it_can(tab, grey):
    table = Mix((1, LATENT), (OTHER,), (2, 3), psi=0.4, cut=5, c=2, noise=3)
    value = opened(tab, table)[tab.view].value
    adapted = tab.adapted(value, grey)
    assert adapted.rows == (1,) and adapted.cols == tab.welcome(grey).cols
    assert (adapted.psi, adapted.cut, adapted.c, adapted.noise) == (0.4, None, 0, 3)
    assert adapted.layers == (1, 2), "its own middle"
    outputs = tab.open(Opened(adapted, grey, []), ANN)
    assert outputs[tab.model] == grey.id and tab.share.factor in outputs
    assert len(outputs[tab.layers]["sides"]) == grey.num_ws == 4
    end = last(tab._fill(outputs[tab.wanted], ANN))
    with Image.open(end["cells"][0][0]["file"]["path"]) as image:
        assert image.mode == "L" and image.size == (8, 8)


def test_a_page_that_has_not_heard_of_the_other_model_yet(tab, grey):
    """The controls that it sends still count rows of the model before."""
    values = sent(tab, opened(tab, dataclasses.replace(TABLE, layers=(4, 5))), model=grey.id)
    changed = tab._changed({**values, tab.look.psi: 0.5}, ANN)[tab.view].mix
    assert (changed.m, changed.psi, changed.layers, changed.cut) == (grey.id, 0.5, (3,), None)
    rolled = tab._rolled("rows", values, ANN)[tab.view].mix
    assert (rolled.m, rolled.layers, rolled.cols) == (grey.id, (3,), (3, 4, 5))


def test_a_page_older_than_the_server_still_works(tab):
    values = sent(tab, opened(tab))
    outputs = tab._changed({**values, tab.view: None, tab.cols: "9"}, ANN)
    assert outputs[tab.view].mix.cols == (9,)
    assert tab._rolled("rows", {**values, tab.view: None}, ANN)[tab.view].mix.cols == (3, 4, 5)
    assert tab._chosen({**values, tab.view: None}) == gr.skip()


def test_taking_pictures_of_other_tabs(tab):
    model = tab.session.first
    view = opened(tab)[tab.view]
    same, bolder = Recipe(seed=9), Recipe(seed=9, psi=1.5)
    latent, edited = Recipe(w=LATENT), Recipe(seed=9, e=[Edit("warmth", 1)])
    taken = tab.take(view, [same, bolder, latent, edited], "cols", model)
    assert taken.rows == (1, 2) and taken.cols[:4] == (3, 4, 5, 9) and taken.cols[5] == LATENT
    for source, picture in ((taken.cols[4], bolder), (taken.cols[6], edited)):
        drawn = model.render(taken.source(source)).astype(int)
        assert np.abs(drawn - model.render(picture)).max() <= 2, "half precision"
    rows = tab.take(view, [same], "rows", model)
    assert rows.rows == (1, 2, 9) and rows.cols == (3, 4, 5)
    outputs = opened(tab, taken)
    assert outputs[tab.cols].startswith("3-5,9,w:")


def test_pictures_sent_before_there_is_a_table(tab):
    model = tab.session.first
    pictures = [Recipe(seed=9, psi=0.5, c=1), Recipe(seed=12, psi=0.5, c=1)]
    taken = tab.take(None, pictures, "rows", model)
    assert taken == dataclasses.replace(tab.welcome(model), rows=(9, 12), psi=0.5, c=1)


def test_pictures_sent_to_a_table_of_another_model(tab, grey):
    view = opened(tab, dataclasses.replace(TABLE, c=2))[tab.view]
    taken = tab.take(view, [Recipe(seed=9)], "rows", grey)
    assert (taken.rows, taken.c, taken.layers) == ((1, 2, 9), 0, (1, 2))


def test_too_many_pictures_are_told(tab):
    view = opened(tab)[tab.view]
    with pytest.raises(RecipeError, match="not 1 to 32"):
        tab.take(view, [Recipe(seed=i) for i in range(31)], "rows", tab.session.first)


def test_a_saved_cell_opens_its_table_at_that_cell(tab):
    stamped = tab.session.first.stamped(TABLE)
    for at in ((1, 2), (None, 1), (1, None)):
        outputs = opened(tab, stamped, one=stamped.recipes()[at])
        assert outputs[tab.view].at == at and outputs[tab.choice] == {"at": list(at)}
    assert opened(tab, stamped, one=Recipe(seed=99))[tab.view].at == (0, 0)


def test_a_table_too_large_for_the_page(tab, monkeypatch):
    monkeypatch.setattr(crosstable, "MAX_TABLE_PIXELS", 11 * 16 * 16)
    outputs = opened(tab, Mix((1, 2, 3), (4, 5, 6), (0,)))
    mix = outputs[tab.view].mix
    assert (mix.rows, mix.cols) == ((1, 2, 3), (4, 5))
    assert "first 3 rows and 2 columns" in outputs[tab.notes][0]
    told = tab._changed(sent(tab, outputs, cols="4-6"), ANN)
    assert list(told) == [tab.notes] and "3 x 3 pictures of 16 pixels is too large" in str(told)


# Drawing


def test_the_table_fills_with_its_pictures(tab):
    wanted = opened(tab)[tab.wanted]
    end = last(tab._fill(wanted, ANN))
    stamped = tab.session.first.stamped(TABLE)
    for i, row in enumerate(end["cells"]):
        for j, cell in enumerate(row):
            assert Recipe.from_query(read_png(cell["file"]["path"])) == stamped.cell(i, j)
    assert [Recipe.from_query(read_png(row["file"]["path"])).seed for row in end["rows"]] == [1, 2]
    assert [col["label"] for col in end["cols"]] == ["seed 3", "seed 4", "seed 5"]
    assert end["status"] == ""
    assert last(tab._fill(None, ANN)) == gr.skip()


def test_a_slow_table_shows_what_it_has_and_gives_way_to_a_newer_one(tab, monkeypatch):
    monkeypatch.setattr(mixing, "PATIENCE_SEC", -1)
    monkeypatch.setattr("stylegan.tabs.session.STEP_PIXELS", 16 * 16)
    wanted = opened(tab, Mix((901, 902), (903,), (0,)))[tab.wanted]
    drawing = tab._fill(wanted, ANN)
    first = next(drawing)
    assert first["status"] == "1 of 5"
    assert first["cols"][0]["file"] and not first["cells"][0][0]
    opened(tab, visitor=BOB)
    tab.session.turns.take("ann")  # drawn for this visitor in another tab
    assert next(drawing)["status"] == "2 of 5", "neither is a reason to stop"
    values = sent(tab, opened(tab), choice={"at": [1, 1]})
    assert list(drawing) == [gr.skip()]
    drawing = tab._fill(values[tab.view] and opened(tab)[tab.wanted], ANN)
    next(drawing)
    tab._chosen(values)
    assert last(drawing)["status"] == "", "a picture of the same table is large meanwhile"


def test_an_error_while_drawing_is_told(tab, monkeypatch):
    wanted = opened(tab)[tab.wanted]

    def full(*_):
        raise MemoryError

    monkeypatch.setattr(tab.session, "draw", full)
    assert "memory" in last(tab._fill(wanted, ANN))["status"]


def test_saving(tab):
    view = opened(tab)[tab.view]
    whole = tab._save_table(view)
    assert whole["name"] == "tiny-16-mix-2x3-layers2-3.png"
    assert Mix.from_query(read_png(whole["file"]["path"])) == view.mix
    assert tab._save_table(view)["count"] != whole["count"], "each click saves"
    one = tab.share._save(view.one, view.mix, 4)
    assert Recipe.from_query(read_png(one["file"]["path"])) == view.one
    assert tab._save_table(None) == gr.skip()


def test_saving_what_cannot_be_drawn_is_told(tab):
    view = opened(tab)[tab.view]
    broken = dataclasses.replace(view, mix=dataclasses.replace(view.mix, layers=(9,)))
    with pytest.raises(gr.Error, match="rows 9-9"):
        tab._save_table(broken)


# The API


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("app")
    with running(folder, "--model", str(TINY)) as server:
        yield Client(server.url, verbose=False, download_files=str(folder))


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


@pytest.mark.parametrize(
    "query", ["t=mix&row=1-2&col=4&layers=1-2,5&psi=0.7&c=2", "?row=3&col=" + LATENT]
)
def test_programs_get_the_table_of_the_command_line(client, tmp_path, query):
    found = client.predict(query, api_name="/mix")
    out = tmp_path / "out.png"
    assert program.main(["mix", query, "--model", str(TINY), "-o", str(out)]) == 0
    assert read_png(found) == read_png(out)
    assert np.abs(pixels(found) - pixels(out)).max() <= 1


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("speed=3", 'unknown name "speed"'),
        ("row=1-99", "more than 32"),
        ("layers=0-9", "rows 0-9: tiny-16 has rows 0 to 5"),
        ("t=walk", "is not one of mix"),
    ],
)
def test_programs_are_told_what_is_wrong(client, query, words):
    with pytest.raises(Exception, match=words) as error:
        client.predict(query, api_name="/mix")
    assert "Traceback" not in str(error.value)


def test_the_api_is_described(client):
    described = client.view_api(return_format="dict", print_info=False)["named_endpoints"]["/mix"]
    (query,) = described["parameters"]
    assert (query["parameter_name"], query["type"]) == ("query", {"type": "string"})
    assert "each row's picture with some layers of each column's" in described["description"]
    assert [found["component"] for found in described["returns"]] == ["Image"]

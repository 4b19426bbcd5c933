import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import stylegan
from stylegan.config import NetworkConfig
from stylegan.query import pack_latent
from stylegan.recipe import MAX_SEED, Edit, Recipe, RecipeError, RowMix
from stylegan.stamp import read_png, read_recipe
from stylegan.tabs import clips, interpolation
from stylegan.tabs.clips import short_name
from stylegan.tabs.interpolation import InterpolationTab
from stylegan.tabs.link import Opened
from stylegan.tabs.parts import notes_part
from stylegan.tabs.session import Session
from stylegan.tabs.walks import ALL, examples, making_value, read_keyframes
from stylegan.walk import CURVES, EASES, Walk
from tests.app_server import ROOT, running

TINY = Path(__file__).parent / "links/tiny-16"
ANN, BOB = SimpleNamespace(session_hash="ann"), SimpleNamespace(session_hash="bob")
LATENTS = [pack_latent(np.linspace(-1, i, 16)) for i in range(3)]
WIDE = pack_latent(np.linspace(-1, 1, 96))


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(TINY, folder / "other")
    session = Session([TINY, folder / "other"], folder / "files", "cpu", max_frames=200)
    with gr.Blocks(analytics_enabled=False):
        return InterpolationTab(session, notes_part(), gr.Dropdown(["a"], value="a"))


def value(update):
    """The value that an output sets, whichever way it is written."""
    return update.value if isinstance(update, gr.components.Component) else update


def controls(tab, outputs, before=None):
    """What the page would send after these outputs."""
    sent = dict(before or dict.fromkeys(tab.inputs))
    for part, update in outputs.items():
        new = value(update)
        keeps = isinstance(update, gr.components.Component) and new is None
        if part in tab.inputs and not keeps:
            sent[part] = new
    return sent


def control(tab, name):
    return getattr(tab.look, name, None) or getattr(tab, name)


def opened(tab, walk, visitor=ANN):
    return tab.open(Opened(walk, tab.session.first, []), visitor)


def last(updates):
    """What is on the page when a drawing has ended."""
    *_, end = updates
    return end


def moved(sent, tab, labels, serial=1):
    """The page after its thumbnails were put in this order."""
    order = {"cells": [{"label": label} for label in labels], "serial": serial}
    return {**sent, tab.keyframes: order}


def looking(sent, tab, at, place=None):
    return {**sent, tab.timeline: {"at": at}, tab.place: place}


keyframes = st.lists(
    st.integers(0, MAX_SEED) | st.sampled_from([*LATENTS, WIDE]), min_size=1, max_size=3
)
walks = st.builds(
    lambda keys, columns, **values: Walk(keyframes=keys * columns, grid=(columns, 1), **values),
    keys=keyframes,
    columns=st.integers(1, 2),
    frames=st.integers(1, 3600),
    fps=st.integers(1, 120),
    loop=st.booleans(),
    curve=st.sampled_from(CURVES),
    ease=st.sampled_from(EASES),
    psi=st.floats(-5, 5),
    cut=st.none() | st.integers(0, 5),
    c=st.integers(0, 2),
    noise=st.sampled_from(["const", "none"]) | st.integers(0, MAX_SEED),
)


@settings(deadline=None, max_examples=40)
@given(walk=walks)
def test_every_walk_goes_into_the_controls_and_comes_back(tab, walk):
    outputs = opened(tab, walk)
    stamped = tab.session.first.stamped(walk)
    assert outputs[tab.view].value == stamped
    assert outputs[tab.link] == {"query": stamped.to_query(), "m": stamped.m}
    assert set(outputs) == set(tab.outputs)
    again = tab._changed(controls(tab, outputs), ANN)
    assert again[tab.view].value == stamped
    assert again[tab.picture] == outputs[tab.picture]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("200,1000,2500,4000,200", (200, 1000, 2500, 4000, 200)),
        ("1-5", (1, 2, 3, 4, 5)),
        (" 7 8;9\n10, ", (7, 8, 9, 10)),
        ("1,2,", (1, 2)),
        ("1,2-", (1, 2)),
        (f"5,{LATENTS[0]}", (5, LATENTS[0])),
        (f"{short_name(LATENTS[1])},5", (LATENTS[1], 5)),
    ],
)
def test_typed_keyframes(typed, found):
    names = {short_name(latent): latent for latent in LATENTS}
    assert read_keyframes(typed, names) == found


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("1,x", 'seeds "x" are not whole numbers'),
        ("5-1", "run backwards"),
        ("1-9999", "more than 128 seeds"),
        (",".join("9" * 129), "at most 128 keyframes"),
        ("latent-000000", '"latent-000000" is not known here'),
        (",", "seeds"),
        (7, "keyframes are seeds"),
    ],
)
def test_keyframes_that_cannot_be_read(typed, words):
    with pytest.raises(RecipeError, match=words):
        read_keyframes(typed, {})


def test_seconds_and_frames(tab):
    sent = controls(tab, opened(tab, Walk((1, 2), frames=45)))
    assert (sent[tab.unit], sent[tab.per]) == ("seconds", 1.5)
    faster = tab._changed({**sent, tab.fps: 60}, ANN)
    assert faster[tab.view].walk.frames == 90, "a second and a half, still"
    counted = {**sent, tab.unit: "frames", tab.per: 45}
    assert tab._changed({**counted, tab.fps: 60}, ANN)[tab.view].walk.frames == 45
    odd = controls(tab, opened(tab, Walk((1, 2), frames=7, fps=30)))
    assert (odd[tab.unit], odd[tab.per]) == ("frames", 7)


@pytest.mark.parametrize(
    ("box", "typed", "said"),
    [
        ("text", "1,x", "seeds"),
        ("per", 121, 'seconds "121" is not a number from 0 to 120'),
        ("per", "x", "seconds"),
        ("fps", 0, "from 1 to 120"),
        ("psi", 6, "from -5 to 5"),
        ("columns", 2, "3 keyframes cannot be shared out evenly among 2 walks"),
        ("rows", 17, "from 1 to 16"),
        ("curve", "round", "linear, slerp, smooth"),
        ("ease", None, "none, in, out, both"),
        ("space", "y", "w, z"),
        ("loop", "yes", "loop"),
        ("c", 3, "classes 0 to 2"),
        ("noise", "loud", "const or none"),
    ],
)
def test_a_wrong_value_is_told_and_nothing_else_changes(tab, box, typed, said):
    sent = controls(tab, opened(tab, Walk((1, 2, 3))))
    outputs = tab._changed({**sent, control(tab, box): typed}, ANN)
    assert list(outputs) == [tab.notes]
    assert said in outputs[tab.notes][0]


@pytest.mark.parametrize(
    "box", ["text", "per", "fps", "psi", "cut", "c", "noise_seed", "columns", "rows"]
)
def test_an_emptied_box_waits(tab, box):
    sent = controls(tab, opened(tab, Walk((1, 2, 3))))
    assert tab._changed({**sent, control(tab, box): None}, ANN) == gr.skip()


def test_latents_forbid_z_and_it_says_why(tab):
    seeds = opened(tab, Walk((1, 2), space="z"))
    assert seeds[tab.space].interactive and seeds[tab.space].value == "z"
    latents = opened(tab, Walk((1, LATENTS[0])))
    assert not latents[tab.space].interactive and "no z" in latents[tab.space].info
    sent = {**controls(tab, seeds), tab.text: f"1,{LATENTS[0]}"}
    assert "a latent has no z" in tab._changed(sent, ANN)[tab.notes][0]


# Thumbnails


def test_thumbnails_and_film(tab):
    walk = Walk((5, LATENTS[0], 9, 5), frames=6)
    view = opened(tab, walk)[tab.view]
    end = last(tab._fill({tab.view: view, tab.place: ALL}, ANN))
    cells = end[tab.keyframes]["cells"]
    assert [cell["label"] for cell in cells] == ["5", short_name(LATENTS[0]), "9", "5"]
    assert [cell["at"] for cell in cells] == [0, 6, 12, 0], "a closed walk ends where it began"
    texts = [read_png(cell["file"]["path"]) for cell in cells]
    assert texts == [view.walk.still(key).to_query() for key in walk.keyframes]
    assert all("Keyframe" in cell["alt"] for cell in cells)
    film = [read_png(cell["file"]["path"]) for cell in end[tab.film]["cells"]]
    model = tab.session.first
    expected = [model.frame_recipe(view.walk, i).to_query() for i in walk.spread(10)]
    assert film == expected


def test_thumbnails_in_another_order(tab):
    sent = controls(tab, opened(tab, Walk((5, LATENTS[0], 9))))
    name = short_name(LATENTS[0])
    outputs = tab._changed(moved(sent, tab, ["9", "9", name, "5"]), ANN)
    assert outputs[tab.view].walk.keyframes == (9, 9, LATENTS[0], 5)
    assert outputs[tab.text] == f"9,9,{name},5"
    again = controls(tab, outputs, moved(sent, tab, ["9", "9", name, "5"]))
    typed = tab._changed({**again, tab.text: "1,2"}, ANN)
    assert typed[tab.view].walk.keyframes == (1, 2), "what is typed after that counts"
    back = tab._changed({**controls(tab, typed, again), tab.text: f"3,{name}"}, ANN)
    assert back[tab.view].walk.keyframes == (3, LATENTS[0]), "its name is still known"


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["1", "2", "3", "4", "5"], "shared out evenly"),
        (["x"], "seeds"),
        ([], "seeds"),
        (["latent-123456"] * 4, "not known"),
        ([None] * 4, "seeds"),
    ],
)
def test_an_order_that_cannot_be_is_taken_back(tab, labels, words):
    sent = controls(tab, opened(tab, Walk((1, 2, 3, 4), grid=(2, 1))))
    outputs = tab._changed(moved(sent, tab, labels, 7), ANN)
    assert words in outputs[tab.notes][0]
    shown = outputs[tab.keyframes]
    assert [cell["label"] for cell in shown["cells"]] == ["1", "2", "3", "4"]
    assert (shown["serial"], shown["each"]) == (7, 2)
    after = controls(tab, outputs, sent)
    assert tab._changed({**after, tab.text: "5-8"}, ANN)[tab.view].walk.keyframes == (5, 6, 7, 8)


@pytest.mark.parametrize("sent", [None, 7, {"serial": 3}, {"serial": "9", "cells": 3}])
def test_thumbnails_that_no_page_sends(tab, sent):
    page = {**controls(tab, opened(tab, Walk((1, 2)))), tab.keyframes: sent}
    outputs = tab._changed(page, ANN)
    assert tab.notes in outputs
    if tab.view in outputs:
        assert outputs[tab.view].walk.keyframes == (1, 2)


def test_a_slow_drawing_shows_what_it_has_and_gives_way_to_a_newer_one(tab, monkeypatch):
    monkeypatch.setattr(interpolation, "PATIENCE_SEC", -1)
    monkeypatch.setattr("stylegan.tabs.session.STEP_PIXELS", 16 * 16)
    view = opened(tab, Walk((901, 902, 903)))[tab.view]
    drawing = tab._fill({tab.view: view, tab.place: ALL}, ANN)
    first = next(drawing)
    assert first[tab.keyframes]["status"] == "1 of 13 pictures"
    assert [bool(cell.get("file")) for cell in first[tab.keyframes]["cells"]] == [
        True,
        False,
        False,
    ]
    opened(tab, Walk((1, 2)), BOB)
    tab.session.turns.take(ANN.session_hash)
    assert next(drawing)[tab.keyframes]["status"] == "2 of 13 pictures", "another tab is no reason"
    opened(tab, Walk((1, 2)), ANN)
    assert list(drawing) == [{tab.keyframes: gr.skip(), tab.film: gr.skip()}]


def test_a_stale_drawing_stops_after_a_step(tab, monkeypatch):
    monkeypatch.setattr("stylegan.tabs.session.STEP_PIXELS", 2 * 16 * 16)
    view = opened(tab, Walk((911, 912, 913)))[tab.view]
    drawn, draw = [], tab.session.draw

    def counted(*args):
        for batch in draw(*args):
            drawn.extend(batch)
            yield batch

    monkeypatch.setattr(tab.session, "draw", counted)
    opened(tab, Walk((1, 2)), ANN)
    assert list(tab._fill({tab.view: view, tab.place: ALL}, ANN)) == [
        {tab.keyframes: gr.skip(), tab.film: gr.skip()}
    ]
    assert len(drawn) == 2


# The timeline


def test_every_frame_is_a_still_of_its_own(tab):
    walk = Walk((5, 9, 7), frames=10, psi=0.5)
    sent = controls(tab, opened(tab, walk))
    model = tab.session.first
    for at, said in ((0, "seed 5"), (3, "seed 5 → seed 9 · 30%"), (20, "seed 7")):
        picture = tab._scrubbed(looking(sent, tab, at))[tab.picture]
        recipe = Recipe.from_query(picture["query"])
        assert recipe == model.frame_recipe(model.stamped(walk), at)
        with Image.open(picture["cell"]["file"]["path"]) as image:
            found = np.asarray(image).astype(int)
        assert np.abs(found - model.frame(walk, at)).max() <= 1
        assert picture["caption"] == said
        assert f"Frame {at + 1} of 21" in picture["cell"]["alt"]


@pytest.mark.parametrize("at", [-1, 21, 1 << 70, "3", None, 1.5])
def test_frames_that_there_are_not(tab, at):
    sent = controls(tab, opened(tab, Walk((5, 9, 7), frames=10)))
    picture = tab._scrubbed(looking(sent, tab, at))[tab.picture]
    assert picture["caption"] in ("seed 5", "seed 7")


def test_where_one_looks_stays_when_the_walk_changes(tab):
    sent = looking(controls(tab, opened(tab, Walk((5, 9, 7), frames=10, fps=10))), tab, 13)
    assert tab._changed({**sent, tab.look.psi: 0.3}, ANN)[tab.timeline]["at"] == 13
    assert tab._changed({**sent, tab.text: "5,9"}, ANN)[tab.timeline]["at"] == 10, "the last"


def test_a_grid_side_by_side_and_one_of_its_walks(tab):
    walk = Walk(range(1, 7), frames=10, grid=(2, 1))
    outputs = opened(tab, walk)
    assert outputs[tab.place].visible
    sent = controls(tab, outputs)
    whole = tab._scrubbed(looking(sent, tab, 4, ALL))[tab.picture]
    assert whole["query"] == "" and whole["caption"] == "2 walks"
    assert read_png(whole["cell"]["file"]["path"]) == outputs[tab.view].walk.to_query()
    one = tab._scrubbed(looking(sent, tab, 10, 1))[tab.picture]
    assert Recipe.from_query(one["query"]).seed == 5
    assert tab._scrubbed(looking(sent, tab, 10, 9))[tab.picture]["query"] == "", "no such walk"
    view = tab._changed(looking(sent, tab, 4, 1), ANN)
    assert view[tab.place].value == 1
    end = last(tab._fill({tab.view: view[tab.view], tab.place: 1}, ANN))
    assert Recipe.from_query(read_png(end[tab.film]["cells"][0]["file"]["path"])).seed == 4
    assert end[tab.keyframes]["each"] == 3


def test_one_keyframe_is_a_picture_to_begin_with(tab):
    outputs = opened(tab, Walk((5,)))
    assert "add another" in outputs[tab.summary]
    assert outputs[tab.timeline]["total"] == 1
    assert outputs[tab.picture]["caption"] == "seed 5"


def test_saving_a_frame_and_a_strip(tab):
    sent = looking(controls(tab, opened(tab, Walk((5, 9), frames=10))), tab, 3)
    frame = tab._save_frame(sent)[tab.saver]
    with Image.open(frame["file"]["path"]) as image:
        assert image.size == (512, 512)
    assert read_png(frame["file"]["path"]) == tab._scrubbed(sent)[tab.picture]["query"]
    strip = tab._save_strip(sent)[tab.saver]
    assert read_png(strip["file"]["path"]) == sent[tab.view].walk.to_query()
    assert strip["count"] != frame["count"]
    grid = controls(tab, opened(tab, Walk((5, 9, 6, 7), frames=10, grid=(2, 1))))
    assert tab._save_frame(looking(grid, tab, 3, ALL))[tab.saver]["name"].endswith("frame3-16x.png")
    assert tab._save_strip({tab.view: None}) == gr.skip()


# Clips


def made(tab, sent, kind="MP4"):
    return [update[tab.maker] for update in tab._make({**sent, tab.kind: kind})]


@pytest.mark.parametrize("kind", ["MP4", "WebM", "GIF"])
def test_a_clip_comes_with_its_progress_and_then_from_its_file(tab, monkeypatch, kind):
    monkeypatch.setattr(clips, "STEP_SEC", -1)
    sent = controls(tab, opened(tab, Walk((5, 9), frames=12)))
    first, *steps, end = made(tab, sent, kind)
    assert (first["state"], first["done"], first["total"]) == ("making", 0, 13)
    assert [step["done"] for step in steps] == list(range(1, 14))
    assert end["state"] == "done" and end["video"] == (kind != "GIF")
    assert read_recipe(end["file"]["path"]) == sent[tab.view].walk.to_query()
    (again,) = made(tab, sent, kind)
    assert again["file"] == end["file"] and again["count"] != end["count"]


def test_the_time_left_is_told_once_it_is_known():
    assert making_value(10, 100, 0.5)["words"] == "10 of 100 frames"
    assert making_value(10, 100, 2)["words"] == "10 of 100 frames, about 18 s left"
    assert making_value(10, 1000, 5)["words"] == "10 of 1000 frames, about 8 min left"


def test_a_clip_that_is_left_is_not_kept(tab):
    before = set(tab.session.files.folder.rglob("*.mp4"))
    sent = controls(tab, opened(tab, Walk(range(20, 29), frames=20)))
    work = tab._make({**sent, tab.kind: "MP4"})
    next(work)
    work.close()
    assert set(tab.session.files.folder.rglob("*.mp4")) == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"per": 30}, "the walk has 901 frames, and clips have at most 200 here"),
        ({"text": "x"}, "seeds"),
        ({"text": ""}, "seeds"),
        ({"psi": None}, "psi"),
        ({"cut": "all"}, "cut"),
        ({"kind": "AVI"}, "choose one of MP4, WebM, GIF"),
    ],
)
def test_a_clip_that_cannot_be_made_says_why(tab, change, words):
    sent = {**controls(tab, opened(tab, Walk((5, 9), frames=12))), tab.kind: "MP4"}
    sent.update({control(tab, name): typed for name, typed in change.items()})
    (said,) = [update[tab.maker] for update in tab._make(sent)]
    assert said["state"] == "failed" and words in said["words"]


def test_the_summary_says_how_long_it_is_and_how_long_it_may_be(tab):
    short = opened(tab, Walk((1, 2, 3), frames=30))[tab.summary]
    assert short == "2 ways of 30 frames: 61 frames, 2.033 s at 30 frames a second."
    long = opened(tab, Walk((1, 2, 3), frames=300))[tab.summary]
    assert "601 frames" in long and long.endswith("A clip has at most 200 frames here.")


# Other tabs, models and visitors


def test_pictures_of_other_tabs_are_appended(tab):
    model = tab.session.first
    view = opened(tab, Walk((1, 2), psi=0.5, space="z"))[tab.view]
    mixed = Recipe(seed=4, psi=0.5, mix=[RowMix(9, 0, 2)], e=[Edit("warmth", 1)])
    pictures = [Recipe(seed=7, psi=0.5), Recipe(w=LATENTS[0]), Recipe(seed=8, psi=0.9), mixed]
    walk = tab.take(view, pictures, "keyframes", model)
    assert walk.keyframes[:4] == (1, 2, 7, LATENTS[0])
    assert walk.space == "w", "latents have no z"
    for key, picture in zip(walk.keyframes[2:], pictures, strict=True):
        assert np.abs(model.render(walk.still(key)).astype(int) - model.render(picture)).max() <= 2
    assert tab.take(view, pictures[:1], "keyframes", model).space == "z"


def test_pictures_of_other_tabs_begin_a_walk(tab):
    walk = tab.take(None, [Recipe(seed=7, psi=0.4, c=2)], "keyframes", tab.session.first)
    assert walk == Walk((7,), psi=0.4, c=2)
    grid = opened(tab, Walk((1, 2, 3, 4), grid=(2, 1)))[tab.view]
    pictures = [Recipe(seed=7), Recipe(seed=8)]
    assert tab.take(grid, pictures, "keyframes", tab.session.first).grid == (2, 1)
    assert tab.take(grid, pictures[:1], "keyframes", tab.session.first).grid == (1, 1)


def test_another_model_takes_what_it_can(tab):
    other = list(tab.session.models.values())[1]
    walk = Walk((1, LATENTS[0], 3, 4), grid=(2, 2), c=2, cut=3)
    assert tab.adapted(walk, other) == Walk((1, 3, 4), c=2, cut=3)
    assert tab.adapted(Walk((LATENTS[0],)), other).keyframes == Walk().keyframes
    plain = SimpleNamespace(num_ws=2, c_dim=0, config=NetworkConfig())
    assert tab.adapted(walk, plain) == Walk((1, 3, 4))


def test_visitors_do_not_see_each_other(tab):
    ann = controls(tab, opened(tab, Walk((1, 2)), ANN))
    opened(tab, Walk((3, 4)), BOB)
    assert tab._changed({**ann, tab.look.psi: 0.5}, ANN)[tab.view].walk.keyframes == (1, 2)


def test_a_page_older_than_the_server_still_works(tab):
    sent = moved(controls(tab, opened(tab, Walk((1, 2)))), tab, ["5", "6"], 9)
    outputs = tab._changed({**sent, tab.view: None}, ANN)
    assert outputs[tab.view].walk.keyframes == (1, 2)
    assert tab._scrubbed({**sent, tab.view: None}) == gr.skip()


def test_examples_are_drawn_by_any_model(tab):
    model = tab.session.first
    walks = examples(model)
    assert len(tab.examples) == len(walks)
    assert next(iter(walks.values())) == tab.welcome(model)
    for i, walk in enumerate(walks.values()):
        outputs = tab._example(i)({tab.model: model.id}, ANN)
        assert outputs[tab.view].walk == model.stamped(walk)
    plain = SimpleNamespace(c_dim=0, config=NetworkConfig())
    assert all(walk.c == 0 for walk in examples(plain).values())


# The HTTP API, beside the command


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("app")
    with running(folder, "--model", str(TINY)) as server:
        yield Client(server.url, download_files=folder / "client", verbose=False)


def frames_of(path):
    """The frames of a GIF whose pixels are squares of 32."""
    with Image.open(path) as image:
        for i in range(image.n_frames):
            image.seek(i)
            yield np.asarray(image.convert("RGB")).astype(int)[16::32, 16::32]


def test_the_api_is_documented(client):
    info = client.view_api(return_format="dict", print_info=False)
    query, format = info["named_endpoints"]["/interpolate"]["parameters"]
    assert (query["parameter_name"], query["type"]) == ("query", {"type": "string"})
    assert format["type"]["enum"] == ["mp4", "webm", "gif", "png"]
    assert format["parameter_default"] == "mp4"


@pytest.mark.parametrize("format", ["mp4", "webm", "gif", "png"])
def test_the_api_gives_what_the_command_writes(client, tmp_path, format):
    query = "t=walk&seed=200,1000,200&psi=0.7&c=1&frames=6&ease=both"
    path = Path(client.predict(query, format, api_name="/interpolate"))
    out, strip = tmp_path / "out.gif", tmp_path / "strip.png"
    line = [sys.executable, "-m", "stylegan", "walk", query, "--model", str(TINY), "--device"]
    line += ["cpu", "-o", str(out), "--strip", str(strip)]
    subprocess.run(line, cwd=ROOT, check=True, capture_output=True)
    model = stylegan.load(TINY)
    assert path.suffix == f".{format}"
    assert read_recipe(path) == read_recipe(out) == f"t=walk&m={model.id}&{query[7:]}"
    if format == "gif":
        pairs = list(zip(frames_of(path), frames_of(out), strict=True))
        assert len(pairs) == 12 and all(np.abs(a - b).max() <= 1 for a, b in pairs)
    if format == "png":
        with Image.open(path) as a, Image.open(strip) as b:
            assert np.abs(np.asarray(a).astype(int) - np.asarray(b)).max() <= 1


@pytest.mark.parametrize(
    ("query", "format", "words"),
    [
        ("t=walk&seed=1,x", "mp4", 'seeds "x" are not whole numbers'),
        ("t=walk&seed=1,2&speed=3", "mp4", 'unknown name "speed"'),
        ("t=walk&seed=1,2&frames=3600", "mp4", "the walk has 3601 frames"),
        ("t=seeds&seed=1", "mp4", 't "seeds" is not one of walk'),
        ("t=walk&c=3", "gif", "classes 0 to 2"),
        ("t=walk&seed=1,2", "avi", 'format "avi" is not one of mp4, webm, gif, png'),
    ],
)
def test_errors_over_the_api_are_sentences(client, query, format, words):
    with pytest.raises(AppError) as error:
        client.predict(query, format, api_name="/interpolate")
    assert words in str(error.value) and "Traceback" not in str(error.value)

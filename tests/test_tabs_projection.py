import base64
import dataclasses
import io
import shutil
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

import stylegan
from stylegan.attachment import Attachment
from stylegan.checkpoint import save_encoder, save_model
from stylegan.config import NetworkConfig, UserError
from stylegan.latent_files import read_latent
from stylegan.model import load
from stylegan.networks.discriminators import Discriminator
from stylegan.networks.encoder import Encoder, EncoderConfig
from stylegan.networks.generator import Generator
from stylegan.projector import psnr
from stylegan.recipe import Recipe, pack_latent
from stylegan.stamp import read_attachment, read_png, read_recipe
from stylegan.tabs import projection as module
from stylegan.tabs.interpolation import InterpolationTab
from stylegan.tabs.interpolation import View as WalkView
from stylegan.tabs.link import Opened, open_file, open_text
from stylegan.tabs.mixing import MixingTab
from stylegan.tabs.parts import notes_part
from stylegan.tabs.projection import ProjectionTab
from stylegan.tabs.session import Session
from stylegan.tabs.target import examples
from stylegan.walk import Walk
from tests.app_server import TINY, running

ANN, BOB = SimpleNamespace(session_hash="ann"), SimpleNamespace(session_hash="bob")
NETWORK = NetworkConfig(
    resolution=16, z_dim=16, w_dim=16, mapping_layers=1, channel_base=128, channel_max=8
)


@pytest.fixture
def session(tmp_path):
    shutil.copytree(TINY, tmp_path / "other")
    return Session([TINY, tmp_path / "other"], tmp_path / "files", "cpu")


@pytest.fixture
def tab(session):
    return built(session)


def built(session, kind=ProjectionTab):
    with gr.Blocks(analytics_enabled=False):
        return kind(session, notes_part(), gr.Dropdown(session.choices))


@pytest.fixture
def photo(tmp_path):
    values = np.random.RandomState(0).randint(0, 256, (6, 10, 4), np.uint8)
    Image.fromarray(values).resize((40, 24)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def value(update):
    """The value that an output sets, whichever way it is written."""
    return update.value if isinstance(update, gr.components.Component) else update


def controls(tab, view, **changes):
    """What the page sends with a search."""
    sent = {part: getattr(part, "value", None) for part in tab.inputs}
    sent |= {tab.view: view, tab.steps: 10, tab.c: 0, tab.start: "mean"}
    return sent | {getattr(tab, name): changed for name, changed in changes.items()}


def opened(tab, recipe=None, visitor=ANN):
    model = tab.session.first
    return tab.open(Opened(recipe or tab.welcome(model), model, []), visitor)


def brought(tab, photo, visitor=ANN):
    """Outputs of a copy of the file, as a page sends it."""
    sent = photo.with_name(f"sent-{photo.name}")
    shutil.copyfile(photo, sent)
    view = opened(tab, visitor=visitor)[tab.view]
    outputs = tab._brought(str(sent), view, visitor)
    assert not sent.exists()
    return outputs


def found(tab, view, visitor=ANN, **changes):
    """What is on the page when a search has ended."""
    shown = {}
    for updates in tab._find(controls(tab, view, **changes), visitor):
        shown.update(updates if tab.search in updates else {})
    return shown


def file_of(value):
    return Path(value["cell"]["file"]["path"])


def pixels(source):
    with Image.open(source) as image:
        return np.asarray(image)


# A picture is brought


def test_a_picture_is_shown_with_a_first_guess_and_stays_on_no_disk(tab, photo):
    outputs = brought(tab, photo)
    assert set(outputs) == set(tab.outputs)
    assert outputs[tab.notes] == []
    assert outputs[tab.stage]["size"] == [40, 24] and outputs[tab.stage]["clear"]
    recipe = outputs[tab.view].recipe
    assert recipe.t == "project" and recipe.w and recipe.m == tab.session.first.id
    assert outputs[tab.share.link] == {"query": recipe.to_query(), "m": recipe.m}
    assert "dB" in outputs[tab.closeness]
    kept = [path for path in tab.session.files.folder.rglob("*") if path.is_file()]
    assert kept and all(read_png(path) for path in kept), "only what was drawn"


@pytest.mark.parametrize(
    ("data", "words"), [(b"hello", "not a picture of a known kind"), (b"", "an empty file")]
)
def test_what_is_no_picture_is_said_and_nothing_changes(tab, tmp_path, data, words):
    (tmp_path / "a.png").write_bytes(data)
    outputs = brought(tab, tmp_path / "a.png")
    assert set(outputs) == {tab.notes}
    assert words in outputs[tab.notes][0]
    assert tab.easels.get("ann") is None


def test_the_frame_changes_what_is_to_be_found(tab, photo):
    before = brought(tab, photo)
    sent = {**before[tab.stage], "fit": "pad", "background": "#0000ff"}
    values = {tab.view: before[tab.view], tab.stage: sent, tab.c: 2}
    after = tab._moved(values, ANN)
    assert tab.stage not in after, "what the visitor holds is left alone"
    assert after[tab.target]["src"] != before[tab.target]["src"]
    assert after[tab.view].recipe.c == 2
    data = base64.b64decode(after[tab.target]["src"].partition(",")[2])
    assert tuple(pixels(io.BytesIO(data))[0, 0]) == (0, 0, 255)
    assert tab._moved({**values, tab.stage: "x"}, ANN).keys() == {tab.notes}
    assert "bring a picture first" in tab._moved(values, BOB)[tab.notes][0]


def test_visitors_see_nothing_of_each_other_and_leave_nothing(tab, photo):
    brought(tab, photo)
    other = opened(tab, visitor=BOB)
    assert other[tab.stage] == {"words": ""} and other[tab.target] == {}
    for forget in tab.session.leaving:
        forget("ann")
    assert opened(tab)[tab.stage] == {"words": ""}


def test_latents_of_other_programs_are_drawn(tab, tmp_path):
    model = tab.session.first
    w = model.ws(Recipe(seed=4))[0].half().float()
    np.savez(tmp_path / "projected_w.npz", w=w[None].numpy())
    outputs = brought(tab, tmp_path / "projected_w.npz")
    drawn = pixels(file_of(outputs[tab.picture]))
    assert np.abs(drawn.astype(int) - model.render(Recipe(seed=4))).max() <= 1
    np.savez(tmp_path / "projected_w.npz", w=np.ones((1, 18, 512), np.float32))
    assert "takes 16" in brought(tab, tmp_path / "projected_w.npz")[tab.notes][0]


def test_a_picture_that_was_drawn_here_is_taken_with_a_word(tab):
    file = tab.session.picture(tab.session.first, Recipe(seed=3))
    assert "comes back exactly" in brought(tab, file)[tab.notes][0]


# The search


def test_a_search_comes_closer_and_its_link_brings_the_result_back(tab, photo):
    view = brought(tab, photo)[tab.view]
    goal = tab.easels.get("ann").target(tab.session.first.config)
    shown = found(tab, view, steps=60)
    assert shown[tab.search]["state"] == "done" and len(shown[tab.search]["curve"]) > 10
    recipe = shown[tab.view].recipe
    assert recipe.w != view.recipe.w and recipe.fits_link
    goal = ((goal[0].permute(1, 2, 0) + 1) * 127.5).round().numpy()
    first, last = (tab.session.first.render(r) for r in (view.recipe, recipe))
    assert psnr(last, goal) > psnr(first, goal) + 1
    again = open_text(f"https://example.org/?{recipe.to_query()}", tab.session)
    assert again.tab == "project" and again.value == recipe
    outputs = opened(tab, again.value)
    assert outputs[tab.view].recipe == recipe
    assert file_of(outputs[tab.picture]) == file_of(shown[tab.picture])


def test_w_has_one_latent_for_all_rows(tab, photo):
    view = brought(tab, photo)[tab.view]
    recipe = found(tab, view, space="w")[tab.view].recipe
    assert len(np.unique(tab.session.first.ws(recipe)[0].numpy(), axis=0)) == 1


@pytest.mark.parametrize("changes", [{"tune": True}, {"noise": True}, {"method": "paper"}])
def test_what_fits_no_link_travels_in_the_png(tab, photo, changes, monkeypatch, tmp_path):
    monkeypatch.setattr(module.ProjectConfig, "tune_steps", 5)
    view = brought(tab, photo)[tab.view]
    shown = found(tab, view, **changes)
    recipe, file = shown[tab.view].recipe, file_of(shown[tab.picture])
    assert recipe.x and shown[tab.share.link]["query"] == ""
    assert shown[tab.share.link]["why"] == "The PNG carries all"
    assert Attachment.from_bytes(read_attachment(file)).key == recipe.x
    elsewhere = Session([TINY], tmp_path / "elsewhere", "cpu")
    with pytest.raises(UserError, match="open the PNG"):
        open_text(recipe.to_query(), elsewhere)
    again = open_file(file, elsewhere)
    assert again.value == recipe
    assert np.array_equal(elsewhere.first.render(recipe), pixels(file))
    large = tab.session.picture(tab.session.first, recipe, 4)
    assert read_attachment(large) == read_attachment(file)


def test_other_tabs_draw_with_what_it_carries(tab, photo):
    model = tab.session.first
    view = brought(tab, photo)[tab.view]
    recipe = found(tab, view, noise=True)[tab.view].recipe
    walks, tables = built(tab.session, InterpolationTab), built(tab.session, MixingTab)
    walk = walks.take(None, [recipe], "keyframes", model)
    assert (walk.keyframes, walk.x) == ((recipe.w,), recipe.x)
    walk = walks.take(WalkView(Walk((1, 2)), 0), [recipe], "keyframes", model)
    assert (walk.keyframes, walk.x) == ((1, 2, recipe.w), recipe.x)
    frame = model.frame_recipe(model.stamped(walk), walk.total - 1)
    assert np.array_equal(model.render(frame), model.render(recipe))
    assert walks.adapted(walk, model).x is None
    mix = tables.take(None, [recipe], "rows", model)
    assert mix.x == recipe.x and recipe.w in mix.rows
    other = dataclasses.replace(recipe, x="0" * 16)
    with pytest.raises(UserError, match="several tunings"):
        walks.take(WalkView(walk, 0), [other], "keyframes", model)


@pytest.mark.parametrize(("kind", "how"), [(InterpolationTab, "keyframes"), (MixingTab, "rows")])
def test_a_changed_control_keeps_what_the_picture_carries(tab, photo, kind, how):
    model = tab.session.first
    recipe = found(tab, brought(tab, photo)[tab.view], noise=True)[tab.view].recipe
    other = built(tab.session, kind)
    outputs = opened(other, other.take(None, [recipe], how, model))
    sent = dict.fromkeys(other.inputs)
    sent |= {part: value(update) for part, update in outputs.items() if part in other.inputs}
    before = sent[other.view].value
    after = other._changed({**sent, other.look.psi: 0.3}, ANN)[other.view].value
    assert (before.psi, after.psi) == (1, 0.3) and before.x == after.x == recipe.x


def test_it_can_be_stopped_and_keeps_the_best(tab, photo):
    view = brought(tab, photo)[tab.view]
    steps = tab._find(controls(tab, view, steps=1000), ANN)
    assert next(steps)[tab.search]["state"] == "running"
    tab._stop(ANN)
    *_, end = steps
    assert end[tab.search] == {**end[tab.search], "state": "done"}
    assert end[tab.search]["words"] == "Stopped, with the best so far."
    tab._stop(ANN)
    assert found(tab, view)[tab.search]["words"] == "", "an old stop stops nothing"


def test_what_was_there_comes_back_when_a_search_is_cancelled(tab, photo):
    before = brought(tab, photo)
    steps = tab._find(controls(tab, before[tab.view], steps=1000), ANN)
    next(steps)
    outputs = tab._cancelled({tab.view: before[tab.view], tab.search: {"ticket": 5}}, ANN)
    assert outputs[tab.search] == {"state": "idle", "words": "Cancelled."}
    assert outputs[tab.picture] == before[tab.picture]
    assert all(tab.view not in updates for updates in steps)
    for sent, begins in (({"ticket": 5}, False), ({"ticket": 6}, True), ({"ticket": "x"}, True)):
        assert bool(found(tab, before[tab.view], search=sent)) == begins, "gradio begins it late"


def test_a_search_gives_way_to_another_picture_and_to_leaving(tab, photo):
    view = brought(tab, photo)[tab.view]
    steps = tab._find(controls(tab, view, steps=1000), ANN)
    next(steps)
    brought(tab, photo, BOB)
    assert tab.search in next(steps), "of others it takes no notice"
    brought(tab, photo)
    assert all(tab.view not in updates for updates in steps)


def test_without_a_picture_there_is_nothing_to_find(tab):
    shown = found(tab, opened(tab)[tab.view])
    assert shown[tab.search]["state"] == "failed"
    assert "bring a picture first" in shown[tab.search]["words"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"space": "z"}, "space 'z' is not one of w, w+"),
        ({"steps": None}, "a number was left out"),
        ({"steps": 10**6}, "from 10 to 1000"),
        ({"start": "seed", "seed": -1}, 'seed "-1" is not a whole number'),
        ({"start": "encoder"}, "has no encoder"),
        ({"look": "/etc/passwd"}, "compared by auto, disc, pixels"),
        ({"look": "disc"}, "has no discriminator"),
        ({"c": 3}, 'c "3" is not a whole number from 0 to 2'),
    ],
)
def test_controls_that_cannot_be_used_are_said_in_words(tab, photo, changes, words):
    view = brought(tab, photo)[tab.view]
    shown = found(tab, view, **changes)
    assert shown[tab.search]["state"] == "failed" and words in shown[tab.search]["words"]


def test_it_begins_where_it_is_told_to(tab, photo, monkeypatch):
    begun = []
    whole = module.Search.__init__

    def spy(self, model, target, config, *rest):
        begun.append(config.start)
        whole(self, model, target, config, *rest)

    monkeypatch.setattr(module.Search, "__init__", spy)
    view = brought(tab, photo)[tab.view]
    found(tab, view, start="seed", seed=7)
    found(tab, view, start="seed", seed=7, method="paper")
    assert begun == ["7", "mean"]
    assert module._usual_steps("paper") == 1000 and module._usual_steps("default") == 200


def test_another_model_is_asked_for_the_same_picture(tab, photo):
    brought(tab, photo)
    other = list(tab.session.models.values())[1]
    outputs = tab.open(Opened(tab.welcome(other), other, []), ANN)
    assert outputs[tab.view].recipe.m == other.id and outputs[tab.view].recipe.w
    assert outputs[tab.stage]["size"] == [40, 24]
    latent = Recipe(w=pack_latent(np.ones(16)), x="0" * 16)
    assert tab.adapted(latent, other) == tab.welcome(other)


# With an encoder and a discriminator, and models of every kind


def model_folder(folder, **changes):
    network = dataclasses.replace(NETWORK, **changes)
    torch.manual_seed(5)
    save_model(folder, network, {}, Generator(network), Discriminator(network))
    encoder = Encoder(EncoderConfig.of(network))
    torch.nn.init.normal_(encoder.out.weight, std=0.1)
    save_encoder(folder, encoder)
    return folder


def test_the_encoder_answers_at_once(tmp_path, photo):
    folder = model_folder(tmp_path / "model")
    tab = built(Session([folder], tmp_path / "files", "cpu"))
    outputs = brought(tab, photo)
    assert "encoder's guess" in outputs[tab.search]["words"]
    assert value(outputs[tab.start]) == "encoder"
    model = tab.session.first
    with torch.no_grad():
        ws = model.encoder(tab.easels.get("ann").target(model.config))
    torch.testing.assert_close(model.ws(outputs[tab.view].recipe), ws, atol=5e-3, rtol=1e-3)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_examples_are_run_on_a_click_by_any_model(tmp_path, channels):
    folder = model_folder(tmp_path / "model", channels=channels)
    tab = built(Session([folder], tmp_path / "files", "cpu"))
    view = opened(tab)[tab.view]
    cells = tab._fill(view)["cells"]
    assert len(cells) == 5 and all(cell["alt"] for cell in cells)
    for i in range(len(cells)):
        event = SimpleNamespace(_data={"index": i})
        outputs = tab._picked({tab.view: view}, event, ANN)
        assert outputs[tab.notes] == []
        known = "away from the true latent" in outputs[tab.closeness]
        assert known == (i < 2)
    shown = found(tab, outputs[tab.view])
    assert shown[tab.search]["state"] == "done"
    for data in ({"index": 99}, {"index": "x"}, None):
        event = SimpleNamespace(_data=data)
        assert tab._picked({tab.view: view}, event, ANN) == gr.skip()


def test_own_pictures_are_found_with_their_latent(tab):
    view = opened(tab)[tab.view]
    outputs = tab._picked({tab.view: view}, SimpleNamespace(_data={"index": 0}), ANN)

    def apart(outputs):
        return int(outputs[tab.closeness].partition("% of w's spread")[0].rpartition(" ")[2])

    shown = found(tab, outputs[tab.view], space="w", steps=200)
    assert apart(shown) < 0.5 * apart(outputs)
    assert examples(tab.session.first)[0].known == Recipe(seed=11, psi=0.7)


# Files


def test_what_is_saved_carries_the_latent(tab, photo, tmp_path):
    view = brought(tab, photo)[tab.view]
    values = {tab.view: found(tab, view)[tab.view]}
    recipe, model = values[tab.view].recipe, tab.session.first
    saved = {}
    for make in (tab._pair_file, tab._latent_file, tab._npz_file, tab._journey_file):
        sent = tab._saves(make)(values, ANN)
        saved[sent["name"]] = tmp_path / sent["name"]
        data = base64.b64decode(sent["file"]["url"].partition(",")[2])
        saved[sent["name"]].write_bytes(data)
    pair, latent, npz, clip = saved.values()
    assert list(saved) == [
        "tiny-16-pair.png",
        "tiny-16-latent.safetensors",
        "projected_w.npz",
        "tiny-16-journey.mp4",
    ]
    assert pixels(pair).shape == (256, 512, 3) and read_png(pair) == recipe.to_query()
    assert torch.equal(read_latent(latent), model.ws(recipe)[0])
    assert torch.equal(read_latent(npz), model.ws(recipe)[0])
    assert read_recipe(clip) == recipe.to_query()


def test_files_that_cannot_be_made_are_said_in_words(tab, photo):
    view = brought(tab, photo)[tab.view]
    for make, visitor, words in (
        (tab._journey_file, ANN, "there is no journey yet"),
        (tab._pair_file, BOB, "bring a picture first"),
    ):
        with pytest.raises(gr.Error, match=words):
            tab._saves(make)({tab.view: view}, visitor)
    assert tab._saves(tab._npz_file)({tab.view: None}, ANN) == gr.skip()


# The HTTP API


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("app")
    with running(folder, "--model", str(TINY)) as server:
        yield Client(server.url, download_files=folder / "client", verbose=False)


def test_the_api_streams_and_gives_the_recipe(client, photo):
    job = client.submit("c=2", handle_file(photo), "w", 10, api_name="/project")
    file, told = job.result()
    assert len(job.outputs()) > 1 and told["done"]
    assert job.outputs()[0][1]["step"] == 0
    recipe = Recipe.from_query(told["query"])
    assert read_png(file) == told["query"] and recipe.c == 2
    model = stylegan.load(TINY)
    assert np.abs(pixels(file).astype(int) - model.render(recipe)).max() <= 1


def test_over_the_api_a_tuning_is_in_the_file(client, photo):
    file, told = client.predict("", handle_file(photo), "w+", 10, True, True, api_name="/project")
    attachment = Attachment.from_bytes(read_attachment(file))
    model = load(TINY).carrying(attachment)
    drawn = model.render(Recipe.from_query(told["query"]))
    assert np.abs(pixels(file).astype(int) - drawn).max() <= 1


def test_the_api_is_documented(client):
    info = client.view_api(return_format="dict", print_info=False)
    parameters = info["named_endpoints"]["/project"]["parameters"]
    names = [parameter["parameter_name"] for parameter in parameters]
    assert names[:4] == ["query", "picture", "space", "steps"]
    assert parameters[2]["type"]["enum"] == ["w+", "w"]


@pytest.mark.parametrize(
    ("query", "changes", "words"),
    [
        ("c=3", {}, "class 3"),
        ("spede=1", {}, 'unknown name "spede"'),
        ("", {"steps": 5}, 'steps "5" is not a whole number from 10 to 1000'),
        ("", {"distance": "/etc/passwd"}, "compared by auto"),
        ("", {"data": b"text"}, "not a picture of a known kind"),
    ],
)
def test_errors_over_the_api_are_sentences(client, photo, query, changes, words):
    if data := changes.pop("data", None):
        photo.write_bytes(data)
    with pytest.raises(AppError) as error:
        client.predict(query, handle_file(photo), api_name="/project", **changes)
    assert words in str(error.value) and "Traceback" not in str(error.value)

"""From a run to the Hub and back, by the real client, to the small Hub of hub_server."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import yaml
from drawing import drawing, encoded, folder
from hub_server import variables
from PIL import Image
from training_data import NETWORK, tiny, write_pictures

import stylegan
from stylegan import publish as module
from stylegan import release, repository
from stylegan.card import Answers, is_edited
from stylegan.checkpoint import ENCODER_STATE, save_model
from stylegan.config import UserError
from stylegan.networks.synthesis_v2 import Generator
from stylegan.prepare import PrepareConfig, prepare
from stylegan.publish import publish
from stylegan.recipe import Recipe
from stylegan.release import PublishConfig, saved_answers
from stylegan.training.loop import fit
from stylegan.version import VERSION
from train.__main__ import main

ROOT = Path(__file__).parents[1]
TINY = Path(__file__).parent / "links/tiny-16"
ANSWERS = Answers("cc0-1.0", "Tests, and nothing else.", "drawn by a program", "cc0-1.0")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(repository, "RETRY_SEC", (0, 0))


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run of two snapshots with a measurement, and its pictures."""
    place = tmp_path_factory.mktemp("trained")
    data = write_pictures(place / "discs.zip", n=12)
    config = tiny(data, kimg=0.04, snap=2, metrics="swd", mirror=True)
    fit(config, place / "run", say=lambda text: None)
    return place / "run"


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run", symlinks=True)
    return tmp_path / "run"


def call(source, repo="ann/discs", **changes):
    """Publish; what was said on the way, and what came of it."""
    told = []
    done = publish(PublishConfig(source, repo, **changes), told.append)
    return "\n".join(told), done


def card(files):
    """The metadata and the text of a README.md."""
    _, head, text = files["README.md"].decode().split("---\n", 2)
    return yaml.safe_load(head), text


def test_a_run_becomes_one_private_tagged_commit_that_draws_the_same(hub, run):
    said, done = call(run, answers=ANSWERS)
    repo = hub.repos["model", "ann/discs"]
    best = (run / "best").resolve()
    assert repo.private and len(repo.files) == 2, "the first commit is the Hub's own"
    assert done.commit == repo.branches["main"] == repo.tags[f"kimg-{best.name}"]
    assert done.url == f"{hub.url}/ann/discs/tree/{done.commit}" and not done.space
    names = {*release.model_folder(run).iterdir()}
    assert {path.name for path in names} <= set(repo.head())
    model = stylegan.load(done.id)
    assert np.array_equal(model.render(Recipe(seed=9)), stylegan.load(best).render(Recipe(seed=9)))
    assert model.content == stylegan.load(best).revision, "the weights are the very same"
    assert "nearest.png shows 32 of the training pictures" in said
    for _, path, headers in hub.requests:
        if "ann/discs" in path:
            assert f"stylegan/{VERSION}" in headers["user-agent"], path


def test_the_card_tells_what_the_run_knows_and_makes_nothing_up(hub, run):
    call(run, answers=ANSWERS)
    files = hub.repos["model", "ann/discs"].head()
    told, text = card(files)
    record = json.loads(files["metrics.json"])[0]
    training = json.loads(files["config.json"])["training"]
    assert told["library_name"] == "stylegan"
    assert told["pipeline_tag"] == "unconditional-image-generation"
    assert told["license"] == "cc0-1.0" and "datasets" not in told
    (result,) = told["model-index"][0]["results"]
    (metric,) = result["metrics"]
    assert metric["type"] == "swd" and metric["value"] == round(record["value"], 4)
    assert metric["args"] == {"n": 6, "seed": 0, "floor": round(record["floor"], 4)}
    assert result["dataset"]["args"] == {"fingerprint": training["data"]["fingerprint"]}
    best = (run / "best").resolve().name
    for part in (
        f'stylegan.load("ann/discs@kimg-{best}")',
        "Tests, and nothing else.",
        "drawn by a program",
        f"| swd | {record['value']:.2f} | {record['floor']:.2f} | 6 | 0 | discs |",
        f"trained on 12 pictures of discs for {training['kimg']:g} thousand images",
        "nearest among 12 training pictures",
        f"| hours | {training['hours']} |",
        "| batch | 4 |",
        f"published by | stylegan {VERSION}",
    ):
        assert part in text, part
    assert not is_edited(files["README.md"].decode())


def test_the_card_tells_what_prepare_did_wherever_the_pictures_are(hub, tmp_path):
    files = {f"secret-{i}.png": drawing(i, 16) for i in range(8)}
    files |= {"again.png": files["secret-0.png"], "small.png": drawing(9, 4), "junk.png": b"junk"}
    files["thin.png"] = encoded(Image.new("RGB", (16, 100)))
    src = folder(tmp_path / "src", files)
    data = tmp_path / "discs.zip"
    settings = {"resolution": 16, "fit": "crop", "max_aspect": 2.0, "dedupe": True}
    prepare(PrepareConfig(src, data, **settings))
    fit(tiny(data, kimg=0.02, snap=1), tmp_path / "run", say=lambda text: None)
    data.rename(tmp_path / "gone.zip")
    call(tmp_path / "run")
    model = (tmp_path / "run" / "best").resolve()
    call(model, "ann/pushed")
    for repo in ("ann/discs", "ann/pushed"):
        text = card(hub.repos["model", repo].head())[1]
        told = "resolution 16, fit crop, background white, channels 3, min_side 8, max_aspect 2.0"
        assert f"| Made square by `prepare` | {told}, upscale lanczos, dedupe True |" in text
        left = re.search(r"\| Left out by `prepare` \| 4: (.*) \|", text)[1].split("; ")
        assert sorted(left) == [
            *("1 × a side under 8", "1 × an aspect over 2", "1 × not a picture of a known kind"),
            "1 × the same picture as another",
        ]
        assert "secret" not in text and "| Pictures | 8, of discs |" in text


def test_a_note_of_prepare_that_cannot_be_read_is_left_out(run):
    for note in (b"junk", b"[]", b'{"settings": 3, "skipped": [1, []], "classes": 2}'):
        (run / "prepare.json").write_bytes(note)
        out = run.parent / f"out-{len(note)}"
        call(run, build=out, nearest=False)
        assert "Made square" not in (out / "model" / "README.md").read_text()


def test_what_nobody_said_is_said_to_be_missing(hub, run):
    call(run, nearest=False)
    told, text = card(hub.repos["model", "ann/discs"].head())
    assert "license" not in told
    assert "| Source | Not stated. |" in text and "| Licence | Not stated. |" in text
    assert "## What it is for\n\nNot stated." in text
    assert "was not looked at" in text
    assert "nearest.png" not in hub.repos["model", "ann/discs"].head()


def test_nothing_of_this_machine_goes_out(hub, run, trained):
    call(run)
    for name, data in hub.repos["model", "ann/discs"].head().items():
        assert str(trained.parent).encode() not in data, name
    settings = json.loads(hub.repos["model", "ann/discs"].head()["config.json"])
    assert settings["training"]["settings"]["data"] == "discs.zip"


def test_pictures_of_the_card(hub, run):
    call(run)
    files = hub.repos["model", "ann/discs"].head()
    for name, size in {
        "samples.png": (128, 128),
        "samples-psi-0.7.png": (128, 128),
        "nearest.png": (5 * 64, 8 * 64),
    }.items():
        with Image.open(BytesIO(files[name])) as image:
            assert image.size == size, name


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (4, "RGBA")])
def test_grey_and_transparent_models(hub, tmp_path, channels, mode):
    config = dataclasses.replace(NETWORK, channels=channels, c_dim=2)
    save_model(tmp_path / "m", config, {}, Generator(config))
    call(tmp_path / "m")
    files = hub.repos["model", "ann/discs"].head()
    with Image.open(BytesIO(files["samples.png"])) as image:
        assert image.mode == mode
    text = card(files)[1]
    assert "Grey pictures" in text or "Pictures with transparency" in text
    assert "in 2 classes" in text and "classes in turn" in text


def test_large_pictures_are_few_in_a_grid(tmp_path):
    config = dataclasses.replace(NETWORK, resolution=256, channel_base=256, channel_max=4)
    save_model(tmp_path / "m", config, {}, Generator(config))
    Image.new("RGB", (2048, 2048)).save(tmp_path / "m" / "samples.png")
    _, done = call(tmp_path / "m", build=tmp_path / "out")
    assert done is None
    with Image.open(tmp_path / "out" / "model" / "samples.png") as image:
        assert image.size == (1024, 1024)
    assert "Seeds 0-15" in (tmp_path / "out" / "model" / "README.md").read_text()


def test_a_second_time_is_another_commit_and_what_has_gone_goes(hub, run):
    _, first = call(run)
    (run / "best" / "notes.txt").write_text("mine")
    (run / "best" / "discriminator.safetensors").unlink()
    hub.repos["model", "ann/discs"].commit(
        "main", {**hub.repos["model", "ann/discs"].head(), "mine.png": b"x"}, "by hand"
    )
    uploads = len(hub.asked("PUT", "."))
    _, second = call(run)
    files = hub.repos["model", "ann/discs"].head()
    assert second.commit != first.commit
    assert "notes.txt" in files and "mine.png" in files
    assert "discriminator.safetensors" not in files
    assert hub.repos["model", "ann/discs"].tags == {first.tag: second.commit}, "the same weights"
    assert len(hub.asked("PUT", ".")) == uploads, "what lies there is not sent again"


def test_a_tag_never_means_other_weights(hub, run, tmp_path):
    _, first = call(run)
    shutil.copytree(TINY, tmp_path / "other")
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    config["training"]["kimg"] = 0.5
    (tmp_path / "other" / "config.json").write_text(json.dumps(config))
    _, second = call(tmp_path / "other")
    repo = hub.repos["model", "ann/discs"]
    assert repo.tags == {"kimg-000000": first.commit, "kimg-000000-2": second.commit}
    assert b'"ann/discs@kimg-000000-2"' in repo.head()["README.md"]
    with pytest.raises(UserError, match="the tag kimg-000000 of ann/discs has other weights"):
        call(tmp_path / "other", tag="kimg-000000")


def test_the_same_again_is_no_commit(hub, run):
    _, first = call(run)
    commits = len(hub.repos["model", "ann/discs"].files)
    _, again = call(run)
    assert again == first and len(hub.repos["model", "ann/discs"].files) == commits


def test_a_card_edited_on_the_hub_is_kept(hub, run):
    call(run)
    repo = hub.repos["model", "ann/discs"]
    mine = repo.head()["README.md"].replace(b"cannot do", b"can not do")
    repo.commit("main", {**repo.head(), "README.md": mine}, "by hand")
    (run / "best" / "notes.txt").write_text("mine")
    said, _ = call(run)
    assert repo.head()["README.md"] == mine and "notes.txt" in repo.head()
    assert "edited on the Hub, and is kept" in said
    call(run, new_card=True)
    assert repo.head()["README.md"] != mine


def test_a_card_of_the_folder_is_taken_as_it_is(hub, tmp_path):
    shutil.copytree(TINY, tmp_path / "m")
    (tmp_path / "m" / "README.md").write_text("---\nlicense: mit\n---\nMine.\n")
    said, done = call(tmp_path / "m")
    assert hub.repos["model", "ann/discs"].head()["README.md"] == b"---\nlicense: mit\n---\nMine.\n"
    assert "the folder's own" in said and done.tag == ""


def test_a_model_folder_without_a_run(hub, tmp_path):
    shutil.copytree(TINY, tmp_path / "m")
    (tmp_path / "m" / "model.pkl").write_text("x")
    (tmp_path / "m" / ".DS_Store").write_text("x")
    (tmp_path / "m" / ENCODER_STATE).write_bytes(b"x")
    said, done = call(tmp_path / "m", tag="v1")
    repo = hub.repos["model", "ann/discs"]
    assert "left out: model.pkl" in said
    assert not {"model.pkl", ".DS_Store", "card.json", ENCODER_STATE} & set(repo.head())
    assert repo.tags == {"v1": done.commit}
    assert "It was not measured." in card(repo.head())[1]
    assert "directions.safetensors" in repo.head()


def test_public_and_branches(hub, run):
    with pytest.raises(UserError, match="--license and --intended-use"):
        call(run, public=True)
    assert not hub.repos
    call(run, revision="small", answers=ANSWERS)
    repo = hub.repos["model", "ann/discs"]
    assert repo.private and set(repo.branches) == {"main", "small"}
    assert "generator.safetensors" not in repo.head()
    assert "generator.safetensors" in repo.head("small")
    said, _ = call(run, public=True, answers=ANSWERS)
    assert not repo.private and "everybody may see it now" in said
    said, _ = call(run)
    assert not repo.private and "is public, and stays so" in said


def test_a_name_without_a_user_is_ones_own(hub, run):
    _, done = call(run, "discs")
    assert done.repo == "ann/discs" and ("model", "ann/discs") in hub.repos


@pytest.mark.parametrize("name", ["ann/discs@main", "ann/b/c", "ann/..", "änn", "a b"])
def test_names_that_are_none(hub, run, name):
    with pytest.raises(UserError, match="is not a name on the Hub"):
        call(run, name)
    assert not hub.requests


# What goes wrong


@pytest.mark.parametrize(
    ("token", "repo", "words"),
    [
        (None, "ann/discs", "log in with `hf auth login`, or set HF_TOKEN"),
        ("hf_nobody", "ann/discs", "does not know your token"),
        ("hf_ann_reads", "ann/discs", "your token may not do this to ann/discs"),
        ("hf_ann", "bob/discs", "your token may not do this to bob/discs"),
    ],
)
def test_who_may_not(hub, run, monkeypatch, token, repo, words):
    monkeypatch.delenv("HF_TOKEN")
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(UserError, match=words):
        call(run, repo)


def test_a_connection_cut_in_the_middle_of_an_upload(hub, run):
    hub.cut("PUT", ".", times=3)
    hub.fail("POST", "/commit/", 500)
    _, done = call(run)
    assert hub.repos["model", "ann/discs"].branches["main"] == done.commit
    sent = hub.asked("PUT", ".")
    assert len(sent) >= 3 + len(set(sent)), "those that were cut came again"
    assert len(hub.asked("POST", "/commit/")) == 2


@pytest.mark.parametrize(
    ("method", "pattern", "status", "words"),
    [
        ("POST", "/commit/", 500, "trouble of its own with ann/discs .500."),
        ("POST", "/commit/", 429, "takes no more from you for now"),
        ("POST", "/commit/", 409, "changed by someone else meanwhile"),
        ("POST", "/commit/", 412, "changed by someone else meanwhile"),
        ("POST", "/commit/", 403, "may not do this to ann/discs"),
        ("POST", "/api/repos/create", 402, "asks for a subscription or credits"),
        ("PUT", ".", 400, "refused ann/discs .400."),
        ("POST", "/objects/batch", 500, "trouble of its own"),
    ],
)
def test_refusals_are_told_in_words(hub, run, method, pattern, status, words):
    hub.fail(method, pattern, status, times=99)
    with pytest.raises(UserError, match=words):
        call(run)


def test_what_someone_else_did_meanwhile_is_kept(hub, run):
    call(run)
    repo = hub.repos["model", "ann/discs"]
    (run / "best" / "notes.txt").write_text("mine")
    commit = module.commit

    def late(*args):
        info = args[1].model_info

        def stale(*names, **more):
            found = info(*names, **more)
            args[1].model_info = info
            repo.commit("main", {**repo.head(), "theirs.txt": b"x"}, "meanwhile")
            return found

        args[1].model_info = stale
        module.commit = commit
        return commit(*args)

    module.commit = late
    try:
        said, _ = call(run)
    finally:
        module.commit = commit
    assert {"theirs.txt", "notes.txt"} <= set(repo.head())
    assert "someone else meanwhile" in said and "trying again" in said


def test_a_licence_that_the_hub_does_not_know(hub, run):
    with pytest.raises(UserError, match=r"license.*mine.*is not known"):
        call(run, answers=Answers(license="mine"))


def test_a_run_without_a_model_and_a_folder_that_is_none(hub, tmp_path):
    (tmp_path / "models").mkdir()
    with pytest.raises(UserError, match="has no model yet; the first comes with"):
        call(tmp_path)
    with pytest.raises(UserError, match="no model folder"):
        call(tmp_path / "gone")


def test_broken_weights_are_not_published(hub, tmp_path):
    shutil.copytree(TINY, tmp_path / "m")
    weights = tmp_path / "m" / "generator.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(UserError, match="damaged"):
        call(tmp_path / "m")
    assert not hub.repos


def test_what_comes_back_otherwise_is_told(hub, run, monkeypatch):
    other = repository.load(TINY)
    monkeypatch.setattr(repository, "load", lambda *args, **more: other)
    with pytest.raises(UserError, match="does not draw what was published"):
        call(run)


# The command


def command(*words):
    return main(["publish", *map(str, words)])


def test_the_command_asks_once(hub, run, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    questions = []
    replies = iter(["cc0-1.0", "Tests.", "", "mine"])

    def reply(question):
        questions.append(question)
        return next(replies)

    monkeypatch.setattr("builtins.input", reply)
    assert command(run, "ann/discs") == 0
    assert len(questions) == 4
    assert saved_answers(run) == Answers("cc0-1.0", "Tests.", "", "mine")
    assert command(run, "ann/discs", "--data-source", "a program") == 0
    assert len(questions) == 4
    assert saved_answers(run).data_source == "a program"
    text = hub.repos["model", "ann/discs"].head()["README.md"].decode()
    assert "| Source | a program |" in text and "Tests." in text
    out = capsys.readouterr().out
    commit = hub.repos["model", "ann/discs"].branches["main"]
    assert f"published: {hub.url}/ann/discs/tree/{commit}" in out
    assert f'stylegan.load("ann/discs@{commit}")' in out


def test_the_command_without_a_terminal(hub, run, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("it asked"))
    assert command(run, "ann/discs") == 0
    assert command(run, "bob/discs") == 2
    assert "train: your token may not" in capsys.readouterr().err


def test_a_second_process_fetches_draws_and_compares(hub, run, tmp_path):
    _, done = call(run)
    settings = variables(hub, tmp_path / "home")
    out = tmp_path / "out.png"
    words = ["render", "seed=3", "--model", done.id, "-o", str(out), "--device", "cpu"]
    done_by = subprocess.run(
        [sys.executable, "-m", "stylegan", *words],
        cwd=ROOT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
    )
    assert done_by.returncode == 0, done_by.stderr
    with Image.open(out) as image:
        expected = stylegan.load((run / "best").resolve()).render(Recipe(seed=3))
        assert np.array_equal(np.asarray(image), expected)
        assert image.info["stylegan-recipe"] == f"m={done.id}&seed=3"


def test_built_without_a_network(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    said, done = call(run, build=tmp_path / "out", answers=dataclasses.replace(ANSWERS))
    assert done is None and "files" in said
    assert stylegan.load(tmp_path / "out" / "model").render(Recipe()).shape == (16, 16, 3)
    with pytest.raises(UserError, match="exists; name another"):
        call(run, build=tmp_path / "out")

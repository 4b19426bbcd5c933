"""From a run to the Hub and back, by the real client, to the small Hub of hub_server."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
from hub_server import variables
from PIL import Image
from publishing import ANSWERS, call

import stylegan
from stylegan import release
from stylegan.card import Answers
from stylegan.config import UserError
from stylegan.recipe import Recipe
from stylegan.release import saved_answers
from stylegan.version import VERSION
from tests.app_server import ROOT
from train.__main__ import main


@pytest.fixture
def run(trained_run):
    return trained_run


def test_a_run_becomes_one_private_tagged_commit_that_draws_the_same(hub, run):
    said, done = call(run, answers=ANSWERS)
    repo = hub.repos["model", "ann/discs"]
    best = (run / "best").resolve()
    assert repo.private and len(repo.files) == 2, "the first commit is the Hub's own"
    assert done.commit == repo.branches["main"] == repo.tags["kimg-000000"]
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


def test_a_licence_that_the_hub_does_not_know(hub, run):
    with pytest.raises(UserError, match=r"license.*mine.*is not known"):
        call(run, answers=Answers(license="mine"))


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

"""Commits and tags on the Hub, and what comes between."""

import json
import shutil

import pytest
from publishing import call

from stylegan import publish as module
from stylegan import repository
from stylegan.config import UserError
from tests.app_server import TINY


@pytest.fixture
def run(trained_run):
    return trained_run


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


def test_a_connection_cut_in_the_middle_of_an_upload(hub, run):
    hub.cut("PUT", ".", times=3)
    hub.fail("POST", "/commit/", 500)
    _, done = call(run)
    assert hub.repos["model", "ann/discs"].branches["main"] == done.commit
    sent = hub.asked("PUT", ".")
    assert len(sent) >= 3 + len(set(sent)), "those that were cut came again"
    assert len(hub.asked("POST", "/commit/")) == 2


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


def test_what_comes_back_otherwise_is_told(hub, run, monkeypatch):
    other = repository.load(TINY)
    monkeypatch.setattr(repository, "load", lambda *args, **more: other)
    with pytest.raises(UserError, match="does not draw what was published"):
        call(run)

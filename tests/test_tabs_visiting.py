"""What links may open in the page: the operator's models, any revision of those, and no others."""

import shutil
import threading

import pytest
from gradio_client import Client
from hub_server import variables
from PIL import Image

import stylegan
from stylegan.recipe import Recipe
from stylegan.tabs import visiting
from stylegan.tabs.link import open_text
from stylegan.tabs.parts import model_value
from stylegan.tabs.session import Session
from stylegan.tensors import save_tensors
from tests.app_server import TINY, running


@pytest.fixture
def session(hub, tmp_path):
    hub.add("ann/tiny", TINY)
    return Session(["ann/tiny"], tmp_path / "files", "cpu")


def another(hub, tmp_path, repo="ann/tiny"):
    """A second commit, whose pictures differ."""
    shutil.copytree(TINY, tmp_path / "another", dirs_exist_ok=True)
    model = stylegan.load(TINY)
    state = {k: v * 1.5 if "const" in k else v for k, v in model.generator.state_dict().items()}
    save_tensors(tmp_path / "another" / "generator.safetensors", state)
    return hub.add(repo, tmp_path / "another")


def test_links_carry_the_commit(session, hub):
    sha = hub.repos["model", "ann/tiny"].branches["main"]
    assert list(session.models) == [f"ann/tiny@{sha}"]
    assert session.choices == [("ann/tiny", f"ann/tiny@{sha}")]
    assert session.pick("ann/tiny") == (session.first, "")
    query = session.first.stamped(Recipe(seed=3)).to_query()
    assert query == f"m=ann/tiny@{sha}&seed=3"
    assert open_text(f"https://example.org/?{query}", session).model is session.first


def test_any_revision_of_a_named_repository_counts_as_named(session, hub, tmp_path):
    commit = another(hub, tmp_path)
    opened = open_text(f"m=ann/tiny@{commit}&seed=3", session)
    assert (opened.model.id, opened.notes) == (f"ann/tiny@{commit}", [])
    assert session.pick(f"ann/tiny@{commit}")[0] is opened.model, "it is kept"
    assert session.first.revision != commit, "bare addresses show what the operator named"
    tag = hub.repos["model", "ann/tiny"].tags
    tag["kimg-000001"] = commit
    assert session.pick("ann/tiny@kimg-000001")[0].revision == commit
    box = model_value(session, opened.model)
    assert box.visible and box.value == opened.model.id
    assert [id for _, id in box.choices] == [session.first.id, opened.model.id]
    assert box.choices[1][0] == f"ann/tiny@{commit[:10]}"


def test_other_repositories_are_not_even_asked_for(session, hub, tmp_path):
    hub.add("bob/tiny", TINY)
    asked = len(hub.requests)
    model, note = session.pick("bob/other@main")
    assert model is session.first and "bob/other@main, which is not here:" in note
    assert len(hub.requests) == asked


def test_unless_the_operator_allows_any(hub, tmp_path):
    hub.add("bob/tiny", TINY)
    commit = another(hub, tmp_path, "bob/tiny")
    session = Session([TINY], tmp_path / "files", "cpu", any_model=True)
    model, note = session.pick("bob/tiny")
    assert (model.id, note) == (f"bob/tiny@{commit}", "")
    asked = len(hub.requests)
    assert session.pick("bob/tiny")[0] is model
    assert len(hub.requests) == asked


def test_what_cannot_be_opened_is_told_and_not_asked_for_again_and_again(session, hub):
    for _ in range(3):
        model, note = session.pick("ann/tiny@gone")
        assert model is session.first
        assert "ann/tiny@gone, which is not here (there is no ann/tiny@gone on " in note
        assert f"drawn with ann/tiny@{session.first.revision[:10]} instead" in note
    assert len(hub.asked("HEAD", "resolve/gone/")) == 1


def test_links_from_before_it_was_published_show_the_same_picture(session):
    local = stylegan.load(TINY)
    assert session.pick(local.id) == (session.first, "")
    assert session.pick("tiny-16@0123456789")[1]


def test_a_large_model_is_not_waited_for_long(session, hub, tmp_path, monkeypatch):
    commit, go = another(hub, tmp_path), threading.Event()
    load = visiting.load

    def slow(*args, **more):
        go.wait(60)
        return load(*args, **more)

    monkeypatch.setattr(visiting, "load", slow)
    monkeypatch.setattr(visiting, "PATIENCE_SEC", 0.01)
    model, note = session.pick(f"ann/tiny@{commit}")
    assert model is session.first and "still being fetched" in note
    go.set()
    monkeypatch.setattr(visiting, "PATIENCE_SEC", 60)
    assert session.pick(f"ann/tiny@{commit}")[0].revision == commit


def test_few_are_kept(session, hub, tmp_path, monkeypatch):
    monkeypatch.setattr(visiting, "MAX_KEPT", 1)
    first = another(hub, tmp_path)
    (tmp_path / "another" / "metrics.json").write_text("[]")
    second = hub.add("ann/tiny", tmp_path / "another")
    for commit in (first, second, first):
        model, note = session.pick(f"ann/tiny@{commit}")
        assert (model.revision, note) == (commit, "")
        assert list(session.visiting.opened) == [model.id]


def test_a_page_of_a_private_model_draws_another_revision_from_a_link(hub, tmp_path):
    hub.add("ann/tiny", TINY, private=True)
    commit = another(hub, tmp_path)
    settings = variables(hub, tmp_path / "home") | {"STYLEGAN_MODEL": "ann/tiny@main"}
    with running(tmp_path, **settings) as server:
        assert f"ann/tiny@{commit}" in server.log.read_text()
        client = Client(server.url, download_files=tmp_path / "client", verbose=False)
        first = next(iter(hub.repos["model", "ann/tiny"].files))
        path = client.predict(f"m=ann/tiny@{first}&seed=1", api_name="/seeds")
        with Image.open(path) as image:
            assert image.info["stylegan-recipe"] == f"m=ann/tiny@{first}&seed=1"

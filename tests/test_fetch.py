"""Models of the Hub, by the real client, from the small Hub of hub_server; files by URL."""

import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest
import torch
from hub_server import variables

import stylegan
from stylegan.checkpoint import (
    DISCRIMINATOR,
    ENCODER,
    find_model,
    load_generator,
    read_config,
    save_encoder,
    save_model,
)
from stylegan.config import UserError
from stylegan.fetch import FetchError, HubId, Snapshot, cache_folder, fetch_file
from stylegan.networks.discriminators import Discriminator
from stylegan.networks.encoder import Encoder, EncoderConfig
from stylegan.recipe import Recipe
from stylegan.version import VERSION

ROOT = Path(__file__).parents[1]
TINY = Path(__file__).parent / "links/tiny-16"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
DATA = b"weights" * 1000
SHA = hashlib.sha256(DATA).hexdigest()


def offline(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.mark.parametrize(
    ("text", "repo", "revision"),
    [
        ("ann/faces", "ann/faces", None),
        ("ann/faces@main", "ann/faces", "main"),
        (f"a.n-n/_f.a-ces@{COMMIT}", "a.n-n/_f.a-ces", COMMIT),
        ("ann/faces@refs/pr/1", "ann/faces", "refs/pr/1"),
    ],
)
def test_names_of_the_hub(text, repo, revision):
    found = HubId.parse(text)
    assert (found.repo, found.revision, str(found)) == (repo, revision, text)
    assert found.pinned == (revision == COMMIT)


@pytest.mark.parametrize(
    "text",
    [
        *("", "faces", "/ann/faces", "./ann", "../faces", "ann/faces/x", "ann/..", "ann/fa ces"),
        *("ann/faces@", "ann/faces@../x", "ann/faces@a b", "ann\\faces", "ann/fa--ces", "änn/x"),
        "ann/" + "x" * 97,
    ],
)
def test_other_texts_are_none(text):
    assert HubId.parse(text) is None


def test_a_model_is_fetched_drawn_and_pinned(hub):
    commit = hub.add("ann/tiny", TINY)
    model = stylegan.load("ann/tiny")
    assert model.id == f"ann/tiny@{commit}"
    local = stylegan.load(TINY)
    assert (model.content, sorted(model.directions)) == (local.revision, sorted(local.directions))
    assert np.array_equal(model.render(Recipe(seed=0, c=1)), local.render(Recipe(seed=0, c=1)))
    assert stylegan.load(model.id).id == model.id
    assert stylegan.load(f"ann/tiny@{commit[:8]}").id == model.id


def test_a_pinned_model_is_asked_for_once(hub):
    commit = hub.add("ann/tiny", TINY, without=("directions.safetensors",))
    stylegan.load(f"ann/tiny@{commit}")
    asked = len(hub.requests)
    assert asked
    assert not stylegan.load(f"ann/tiny@{commit}").directions
    assert len(hub.requests) == asked, "not even for what it has not"


def test_the_program_tells_its_name_and_no_token_leaves_the_hub(hub):
    hub.add("ann/tiny", TINY, private=True)
    stylegan.load("ann/tiny")
    for _, path, headers in hub.requests:
        if "resolve" in path:
            assert f"stylegan/{VERSION}" in headers["user-agent"]
            assert headers["authorization"] == "Bearer hf_ann"
        else:
            assert "authorization" not in headers
    assert hub.asked("GET", r"^/[0-9a-f]{64}$")


def test_nothing_but_safetensors_and_json_is_asked_for(hub, tmp_path):
    shutil.copytree(TINY, tmp_path / "m")
    for name in ("model.pkl", "config.py", "README.md", "pytorch_model.bin"):
        (tmp_path / "m" / name).write_text("boom")
    hub.add("ann/tiny", tmp_path / "m")
    stylegan.load("ann/tiny")
    asked = {Path(path).name for path in hub.asked("GET", "resolve") + hub.asked("HEAD", "resolve")}
    assert asked == {"config.json", "generator.safetensors", "directions.safetensors"}
    with pytest.raises(UserError, match="neither safetensors nor JSON"):
        Snapshot(HubId("ann/tiny")).get("model.pkl", 100)


def test_a_revision_is_a_branch_a_tag_or_a_commit(hub, tmp_path):
    first = hub.add("ann/tiny", TINY)
    hub.repos["model", "ann/tiny"].tags["kimg-000001"] = first
    shutil.copytree(TINY, tmp_path / "m")
    (tmp_path / "m" / "metrics.json").write_text("[]")
    second = hub.add("ann/tiny", tmp_path / "m")
    assert stylegan.load("ann/tiny").revision == second
    assert stylegan.load("ann/tiny@kimg-000001").revision == first
    assert stylegan.load("ann/tiny@main").revision == second
    with pytest.raises(UserError, match="no such revision"):
        stylegan.load("ann/tiny@gone")


def test_offline_what_is_cached_is_drawn_and_the_rest_told(hub, monkeypatch):
    commit = hub.add("ann/tiny", TINY)
    stylegan.load("ann/tiny")
    offline(monkeypatch)
    asked = len(hub.requests)
    for revision in ("", "@main", f"@{commit}"):
        assert stylegan.load(f"ann/tiny{revision}").revision == commit
    assert len(hub.requests) == asked
    for text in ("ann/other", f"ann/tiny@{COMMIT}", "ann/tiny@v2"):
        with pytest.raises(UserError, match="HF_HUB_OFFLINE"):
            stylegan.load(text)


def test_when_the_hub_is_down_the_cached_one_is_drawn(hub):
    commit = hub.add("ann/tiny", TINY)
    stylegan.load("ann/tiny")
    hub.fail("HEAD", ".", 503, times=99)
    assert stylegan.load("ann/tiny").revision == commit
    with pytest.raises(UserError, match=r"trouble of its own with ann/other .503.*later"):
        stylegan.load("ann/other")


def test_a_download_that_breaks_off_is_taken_up_again(hub):
    hub.add("ann/tiny", TINY)
    hub.cut("GET", "^/[0-9a-f]{64}$")
    hub.fail("GET", "^/[0-9a-f]{64}$", 500)
    assert stylegan.load("ann/tiny").render(Recipe()).std() > 0


@pytest.mark.parametrize(
    ("token", "text", "words"),
    [
        ("hf_ann", "ann/gone", "there is no ann/gone on 127.0.0.1:[0-9]+ that you may see; nor is"),
        (None, "ann/gone", r"you may see; if it is private, log in with `hf auth login`.*; nor is"),
        ("hf_bob", "ann/hidden", "there is no ann/hidden on .* that you may see; nor is"),
        (None, "ann/hidden", "if it is private, log in .*, or set HF_TOKEN"),
        ("hf_nobody", "ann/hidden", "does not know your token: log in"),
    ],
)
def test_what_may_not_be_seen(hub, monkeypatch, token, text, words):
    hub.add("ann/hidden", TINY, private=True)
    monkeypatch.delenv("HF_TOKEN")
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(UserError, match=words):
        stylegan.load(text)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (403, "your token may not do this to ann/tiny"),
        (429, "takes no more from you for now"),
        (500, "has trouble of its own with ann/tiny .500."),
    ],
)
def test_refusals_are_told_in_words(hub, status, words):
    hub.add("ann/tiny", TINY)
    hub.fail("HEAD", "resolve", status, times=99)
    with pytest.raises(UserError, match=words):
        stylegan.load("ann/tiny")


def test_no_hub_at_all(hub, monkeypatch):
    nowhere = "http://127.0.0.1:9"
    template = huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(hub.url, nowhere)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", nowhere)
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    waits = []
    quick = SimpleNamespace(sleep=waits.append)
    monkeypatch.setattr(huggingface_hub.utils._http, "time", quick)
    for text in ("ann/tiny", f"ann/tiny@{COMMIT}"):
        with pytest.raises(UserError, match=r"127.0.0.1:9 cannot be reached for ann/tiny"):
            stylegan.load(text)
    assert not waits, "a misspelt folder is told at once"


def test_what_is_no_model_of_ours(hub, tmp_path):
    hub.add("ann/tiny", TINY, without=("config.json",))
    with pytest.raises(UserError, match=r"ann/tiny is not a model of ours: it has no config.json"):
        stylegan.load("ann/tiny")
    commit = hub.add("ann/bare", TINY, without=("generator.safetensors",))
    with pytest.raises(UserError, match=f"ann/bare@{commit} has no generator.safetensors"):
        stylegan.load("ann/bare")


def test_a_bad_config_is_refused_before_the_weights_come(hub, tmp_path):
    shutil.copytree(TINY, tmp_path / "m")
    config = json.loads((TINY / "config.json").read_text())
    config["network"]["resolution"] = 1 << 20
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    hub.add("ann/huge", tmp_path / "m")
    with pytest.raises(UserError, match="resolution 1048576"):
        stylegan.load("ann/huge")
    assert not hub.asked("HEAD", "generator") and not hub.asked("GET", "generator")


def test_a_file_larger_than_its_network_is_refused_before_it_comes(hub, tmp_path):
    shutil.copytree(TINY, tmp_path / "m")
    (tmp_path / "m" / "generator.safetensors").write_bytes(bytes(2 << 20))
    hub.add("ann/fat", tmp_path / "m")
    with pytest.raises(UserError, match=r"generator.safetensors of ann/fat has 2097152 bytes"):
        stylegan.load("ann/fat")
    (tmp_path / "m" / "config.json").write_bytes(b" " * (2 << 20))
    hub.add("ann/fatter", tmp_path / "m")
    with pytest.raises(UserError, match=r"config.json of ann/fatter has 2097152 bytes"):
        stylegan.load("ann/fatter")
    hub.add("ann/tiny", TINY)
    with pytest.raises(UserError, match="no more than 1000 are expected"):
        stylegan.load("ann/tiny", most_bytes=1000)
    assert not hub.asked("GET", "^/[0-9a-f]{64}$")


def test_weights_that_do_not_fit_are_refused(hub, tmp_path):
    shutil.copytree(TINY, tmp_path / "m")
    weights = (TINY / "generator.safetensors").read_bytes()
    (tmp_path / "m" / "generator.safetensors").write_bytes(weights[:-400])
    hub.add("ann/short", tmp_path / "m")
    with pytest.raises(UserError, match="damaged or no safetensors"):
        stylegan.load("ann/short")


def test_a_discriminator_comes_where_it_is_needed(hub):
    hub.add("ann/tiny", TINY)
    with pytest.raises(UserError, match=r"has no discriminator.safetensors"):
        find_model("ann/tiny", (DISCRIMINATOR,))


def test_further_networks_come_when_they_are_asked_for(hub, tmp_path):
    config, _ = read_config(TINY)
    discriminator, encoder = Discriminator(config), Encoder(EncoderConfig.of(config))
    save_model(tmp_path / "m", config, {}, load_generator(TINY), discriminator)
    save_encoder(tmp_path / "m", encoder)
    hub.add("ann/whole", tmp_path / "m")
    model = stylegan.load("ann/whole")
    assert not hub.asked("HEAD", f"{DISCRIMINATOR}|{ENCODER}")
    assert model.has_discriminator and model.has_encoder
    picture = torch.rand(1, config.channels, 16, 16)
    c = torch.eye(config.c_dim)[:1]
    expected = discriminator.eval()(picture, c)
    torch.testing.assert_close(model.discriminator(picture, c), expected)
    assert model.encoder(picture).shape == (1, config.num_ws, config.w_dim)
    hub.add("ann/tiny", TINY)
    bare = stylegan.load("ann/tiny")
    assert not bare.has_discriminator and not bare.has_encoder
    with pytest.raises(UserError, match="ann/tiny has no discriminator"):
        _ = bare.discriminator


def test_further_networks_of_a_hub_that_is_down_are_none(hub, tmp_path):
    config, _ = read_config(TINY)
    save_model(tmp_path / "m", config, {}, load_generator(TINY), Discriminator(config))
    hub.add("ann/whole", tmp_path / "m")
    model = stylegan.load("ann/whole")
    hub.fail("HEAD", ".", 503, times=99)
    assert not model.has_discriminator
    hub.faults.clear()
    assert model.has_discriminator


def test_folders_come_first_and_may_be_held_to_a_revision(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(TINY, tmp_path / "ann" / "tiny")
    model = stylegan.load("ann/tiny")
    assert (model.name, len(model.revision)) == ("tiny", 10)
    assert stylegan.load(f"ann/tiny@{model.revision}").id == model.id
    with pytest.raises(UserError, match=f"ann/tiny is at revision {model.revision}, not 0000000"):
        stylegan.load("ann/tiny@0000000")
    assert not hub.requests
    with pytest.raises(UserError, match="no model folder"):
        stylegan.load(Path("ann/other"))
    assert not hub.requests


def test_another_process_with_an_empty_cache_draws_the_same(hub, tmp_path):
    hub.add("ann/tiny", TINY, private=True)
    code = (
        "import stylegan, hashlib; m = stylegan.load('ann/tiny');"
        "p = m.render(stylegan.Recipe(seed=3)).tobytes();"
        "print(m.id, hashlib.sha256(p).hexdigest())"
    )
    home = variables(hub, tmp_path / "home")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **home},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    id, digest = done.stdout.split()
    here = stylegan.load(id).render(Recipe(seed=3))
    assert digest == hashlib.sha256(here.tobytes()).hexdigest()
    assert list((tmp_path / "home" / "hub").rglob("generator.safetensors"))


# Files by URL


@contextmanager
def server(data=DATA, told=None):
    """A local server of one file; yields its URL and the list of requests."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            if self.path != "/file":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(told or len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{httpd.server_port}/file", asked
        finally:
            httpd.shutdown()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_file_is_fetched_once_and_its_hash_kept(cache):
    said = []
    with server() as (url, asked):
        path = fetch_file(url, "a.bin", say=said.append)
        assert path == cache / "a.bin" and path.read_bytes() == DATA
        assert (cache / "a.bin.sha256").read_text() == f"{SHA}\n"
    assert fetch_file(url, "a.bin", say=said.append) == path  # the server is gone
    assert asked == ["/file"] and said == [f"fetching {url} to {path}, once"]


def test_a_file_that_changed_is_refused(cache):
    with server() as (url, _):
        path = fetch_file(url, "a.bin")
    path.write_bytes(b"other")
    with pytest.raises(FetchError, match=r"not what it was .*delete it"):
        fetch_file(url, "a.bin")
    path.unlink()
    with server(b"other") as (url, _), pytest.raises(FetchError, match="not what it was"):
        fetch_file(url, "a.bin")


def test_a_known_hash_is_compared_before_the_file_takes_its_place(cache):
    with server() as (url, _):
        assert fetch_file(url, "good", sha256=SHA).is_file()
        with pytest.raises(FetchError, match="is not the file it was"):
            fetch_file(url, "bad", sha256="0" * 64)
    assert not (cache / "bad").exists()


def test_offline_and_broken_downloads_say_where_to_put_the_file(cache):
    with server() as (url, _):
        pass
    with pytest.raises(FetchError, match=rf"cannot be fetched .*save it as {cache}/a.bin"):
        fetch_file(url, "a.bin")
    with server() as (url, _), pytest.raises(FetchError, match="Not Found"):
        fetch_file(f"{url}s", "a.bin")
    with server(told=len(DATA) + 1) as (url, _), pytest.raises(FetchError, match=r"broke off|read"):
        fetch_file(url, "a.bin")
    assert not list(cache.glob("*"))


def test_the_cache_folder_is_the_users(monkeypatch, tmp_path):
    monkeypatch.delenv("STYLEGAN_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "stylegan"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "stylegan"

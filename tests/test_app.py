import json
import os
import shutil
import socket
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image

import app
import stylegan
from stylegan.stamp import grid, read_png, read_recipe
from tests.app_server import TINY, running

USER, PASSWORD = "ann", "s:ecret"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    """What stands in the environment of whoever runs the tests is not asked for."""
    for name in list(os.environ):
        if name.startswith(("STYLEGAN_", "GRADIO_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Behind a login that comes from a variable, as the longest clip does."""
    folder = tmp_path_factory.mktemp("app")
    variables = {"STYLEGAN_AUTH": f"{USER}:{PASSWORD}", "STYLEGAN_MAX_FRAMES": "20"}
    with running(folder, "--model", str(TINY), **variables) as server:
        yield server


@pytest.fixture(scope="module")
def client(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("client")
    return Client(server.url, auth=(USER, PASSWORD), download_files=folder, verbose=False)


# Wrong usage


def said(capsys, *flags):
    """Exit code, and the one line on stderr."""
    code = app.main(flags)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1 and err.startswith("app: "), err
    return code, err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--port", "0"], "from 1 to 65535"),
        (["--port", "70000"], "from 1 to 65535"),
        (["--port", "http"], "from 1 to 65535"),
        (["--auth", "ann"], "USER:PASS"),
        (["--max-frames", "0"], "from 1 to 100000"),
        (["--max-frames", "many"], "from 1 to 100000"),
        (["--auth", ":x"], "USER:PASS"),
        (["--host", "203.0.113.1"], "cannot listen on 203.0.113.1"),
        (["--model", "gone"], "no model folder gone"),
        (["--model", __file__], "is a file"),
        (["--model", str(TINY), "--device", "abacus"], "device abacus"),
        (["--sahre"], "unrecognized"),
        (["stray"], "unrecognized"),
    ],
)
def test_wrong_flags(capsys, flags, words):
    code, err = said(capsys, *flags)
    assert code == 2
    assert words in err


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("STYLEGAN_PORT", "http", "from 1 to 65535"),
        ("STYLEGAN_AUTH", "ann", "USER:PASS"),
        ("STYLEGAN_MAX_FRAMES", "-1", "from 1 to 100000"),
        ("STYLEGAN_SHARE", "maybe", "STYLEGAN_SHARE"),
        ("STYLEGAN_MCP", "2", "STYLEGAN_MCP"),
        ("STYLEGAN_MODEL", "gone,too", "no model folder gone"),
        ("STYLEGAN_HOST", "203.0.113.1", "203.0.113.1"),
        ("GRADIO_SERVER_NAME", "203.0.113.1", "203.0.113.1"),
    ],
)
def test_wrong_variables(capsys, monkeypatch, name, text, words):
    monkeypatch.setenv(name, text)
    code, err = said(capsys)
    assert code == 2
    assert words in err


def test_flags_win_over_variables(capsys, monkeypatch):
    monkeypatch.setenv("STYLEGAN_MODEL", "gone")
    monkeypatch.setenv("GRADIO_SERVER_NAME", "203.0.113.1")
    assert "gone2" in said(capsys, "--host", "127.0.0.1", "--model", "gone2")[1]


def test_a_port_that_is_taken(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, err = said(capsys, "--port", str(port), "--model", str(TINY))
    assert code == 2
    assert f"port {port} is taken" in err


def test_no_model_at_all(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(app, "CHECKPOINTS", tmp_path)
    code, err = said(capsys)
    assert code == 2
    assert "--model" in err and str(tmp_path) in err


def test_every_model_of_the_folder_is_found(monkeypatch, tmp_path):
    for name in ("b", "a"):
        shutil.copytree(TINY, tmp_path / name)
    (tmp_path / "notes").mkdir()
    monkeypatch.setattr(app, "CHECKPOINTS", tmp_path)
    assert app.find_models() == [tmp_path / "a", tmp_path / "b"]


def test_a_broken_model(capsys, tmp_path):
    shutil.copytree(TINY, tmp_path / "broken")
    weights = tmp_path / "broken" / "generator.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    code, err = said(capsys, "--model", str(tmp_path / "broken"))
    assert code == 2
    assert "generator.safetensors" in err


def test_mcp_without_its_package(capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mcp", None)
    code, err = said(capsys, "--mcp", "--model", str(TINY))
    assert code == 2
    assert "gradio[mcp]" in err


# The server


def get(url):
    with urllib.request.urlopen(url) as response:
        return response.read(), response.headers


def test_it_says_where_it_is_and_with_what(server):
    assert server.log.read_text() == f"{stylegan.load(TINY).id} at {server.url}/\n"


def test_health_needs_no_login(server):
    assert get(server.url + "/healthz")[0] == b"ok"


def test_every_answer_has_the_headers(server):
    for path in ("/", "/healthz", "/theme.css"):
        headers = get(server.url + path)[1]
        assert headers["X-Content-Type-Options"] == "nosniff"
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'self' https://huggingface.co" in policy


@pytest.mark.parametrize("path", ["/config", "/gradio_api/info"])
def test_the_rest_needs_one(server, path):
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(server.url + path)
    assert refused.value.code == 401
    refused.value.close()


def test_no_history_and_no_monitoring(client):
    assert client.config["run_history"] is False
    assert client.config["footer_links"] == []
    assert client.config["analytics_enabled"] is False


# The HTTP API


def pixels(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image).astype(int)


def test_endpoints_documented(client):
    info = client.view_api(return_format="dict", print_info=False)
    assert {"/seeds", "/interpolate", "/mix", "/edit"} <= set(info["named_endpoints"])
    assert info["unnamed_endpoints"] == {}
    (query,) = info["named_endpoints"]["/seeds"]["parameters"]
    assert (query["parameter_name"], query["type"]) == ("query", {"type": "string"})
    assert "picture of a recipe" in json.dumps(info)


def test_a_picture_over_the_api(client):
    model = stylegan.load(TINY)
    path = client.predict("seed=7&psi=0.5&c=1", api_name="/seeds")
    recipe = stylegan.Recipe(seed=7, psi=0.5, c=1)
    assert np.abs(pixels(path) - model.render(recipe)).max() <= 1
    assert read_png(path) == model.stamped(recipe).to_query()


def test_a_grid_over_the_api(client):
    path = client.predict(query="https://example.org/?seed=7&n=5", api_name="/seeds")
    expected = grid(stylegan.load(TINY).render_many(stylegan.Recipe(seed=7, n=5)))
    assert np.abs(pixels(path) - expected).max() <= 1


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("psi=abc", 'psi "abc" is not a number from -5 to 5.'),
        ("seed=1&sed=2", 'unknown name "sed"'),
        ("n=65", "from 1 to 64."),
        ("c=3", "classes 0 to 2."),
        ("x" * 2_000_000, "longer than"),
    ],
)
def test_errors_over_the_api_are_sentences(client, server, query, words):
    with pytest.raises(AppError) as error:
        client.predict(query, api_name="/seeds")
    assert words in str(error.value)
    assert len(str(error.value)) < 300
    assert "Traceback" not in str(error.value)
    assert "Traceback" not in server.log.read_text()


def test_no_clip_is_longer_than_the_operator_allows(client):
    with pytest.raises(AppError, match="the walk has 21 frames, and clips have at most 20 here"):
        client.predict("t=walk&seed=1,2&frames=20", "gif", api_name="/interpolate")
    path = client.predict("t=walk&seed=1,2&frames=19", "gif", api_name="/interpolate")
    assert read_recipe(path).endswith("seed=1,2&frames=19")


def test_another_model_is_drawn_with_what_there_is(client):
    path = client.predict("m=gone@0000000000&seed=3", api_name="/seeds")
    assert read_png(path).startswith("m=tiny-16@")


def test_stopped_it_leaves_nothing_behind(tmp_path):
    with running(tmp_path, STYLEGAN_MODEL=str(TINY)) as server:
        client = Client(server.url, download_files=tmp_path / "client", verbose=False)
        client.predict("seed=1", api_name="/seeds")
        assert list((tmp_path / "tmp").glob("stylegan-*/*/*.png"))
    assert server.process.returncode == 0
    assert not list((tmp_path / "tmp").glob("stylegan-*"))
    assert not [path for path in (tmp_path / "tmp").rglob("*") if path.is_file()]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app.log", "client", "tmp"]


def test_the_shipped_models_draw():
    for folder in Path(app.CHECKPOINTS).glob("*/config.json"):
        picture = stylegan.load(folder.parent).render(stylegan.Recipe())
        assert picture.std() > 10, "a picture, not a plain area"

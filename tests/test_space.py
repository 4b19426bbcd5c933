"""The Space of a model: its folder, what the Hub is told, and the page that it becomes."""

import shutil
import sys
from io import BytesIO
from types import ModuleType

import gradio
import numpy as np
import pytest
import torch
import yaml
from gradio_client import Client
from hub_server import variables
from PIL import Image

import stylegan
from stylegan.attachment import Attachment
from stylegan.card import Answers
from stylegan.config import NetworkConfig, UserError
from stylegan.model import Model
from stylegan.networks.generator import Generator
from stylegan.publish import publish
from stylegan.recipe import Recipe
from stylegan.release import PublishConfig
from stylegan.space import SpaceConfig, build_space, requirements, thumbnail
from stylegan.tabs import zerogpu
from stylegan.tabs.session import Session
from tests.app_server import ROOT, TINY, running
from train.__main__ import main

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OPEN = Answers("cc0-1.0", "Tests.")


@pytest.fixture
def model():
    return stylegan.load(TINY)


def head(files):
    """The metadata of a README.md."""
    return yaml.safe_load(files["README.md"].decode().split("---\n")[1])


def write(files, folder):
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(TINY, tmp_path / "m")
    return tmp_path / "m"


def call(source, **changes):
    told = []
    changes = {"space": "ann/play", **changes}
    token = changes.pop("token", "")
    done = publish(PublishConfig(source, "ann/tiny", **changes), told.append, token)
    return "\n".join(told), done


# The folder


def test_the_folder_draws_and_does_not_train(model):
    files = build_space(SpaceConfig(f"ann/tiny@{COMMIT}", "Tiny"), model)
    assert {"app.py", "README.md", "requirements.txt", "LICENSE", "thumbnail.png"} <= set(files)
    assert {"stylegan/model.py", "stylegan/tabs/page.css", "stylegan/tabs/page.js"} <= set(files)
    assert not [name for name in files if "training" in name or "importers" in name]
    assert not [name for name in files if name.endswith((".pyc", ".safetensors"))]


def test_what_the_hub_is_told(model):
    config = SpaceConfig(
        f"ann/tiny@{COMMIT}", 'Tiny "16"', "gpu", preload=("config.json", "generator.safetensors")
    )
    told = head(build_space(config, model))
    assert told["title"] == 'Tiny "16"' and told["sdk"] == "gradio"
    assert told["sdk_version"] == gradio.__version__
    assert told["app_file"] == "app.py" and told["suggested_hardware"] == "t4-small"
    assert told["python_version"] == ".".join(map(str, sys.version_info[:2]))
    assert told["models"] == ["ann/tiny"]
    assert told["preload_from_hub"] == [f"ann/tiny config.json,generator.safetensors {COMMIT}"]
    assert len(told["short_description"]) <= 60


@pytest.mark.parametrize(
    ("hardware", "torch", "first"),
    [
        ("cpu", "", ["--extra-index-url https://download.pytorch.org/whl/cpu", "torch==V+cpu"]),
        ("gpu", "", ["torch==V"]),
        ("zerogpu", "", ["torch==V", "spaces"]),
        ("zerogpu", "2.9.1", ["torch==2.9.1", "spaces"]),
        ("cpu", "2.9.1", [..., "torch==2.9.1+cpu"]),
    ],
)
def test_requirements_by_hardware(hardware, torch, first):
    lines = requirements(hardware, torch).splitlines()
    ours = (ROOT / "requirements.txt").read_text()
    version = next(x for x in ours.splitlines() if x.startswith("torch==")).partition("==")[2]
    for found, wanted in zip(lines, first, strict=False):
        assert wanted is ... or found == wanted.replace("V", version)
    names = [line.split(">")[0].split("=")[0] for line in lines[len(first) :]]
    assert {"numpy", "pillow", "safetensors", "huggingface_hub", "imageio-ffmpeg"} <= set(names)
    assert not {"torch", "gradio", "tyro", "tensorboard", "psutil", "ImageHash"} & set(names)


def test_the_thumbnail_shows_samples_in_the_shape_of_a_link(model):
    with Image.open(BytesIO(thumbnail(model))) as image:
        assert image.mode == "RGB" and image.size == (8 * 144, 4 * 144)
        cell = np.asarray(image.crop((0, 0, 144, 144)))[::9, ::9]
    assert np.array_equal(cell, model.render(Recipe(seed=0, psi=0.7)))


@pytest.mark.parametrize(("channels", "side"), [(1, 16), (4, 256)])
def test_thumbnails_of_other_models(channels, side):
    config = NetworkConfig(
        *(side, channels), z_dim=8, w_dim=8, mapping_layers=1, channel_base=256, channel_max=4
    )
    with Image.open(BytesIO(thumbnail(Model("m", "0", Generator(config).eval())))) as image:
        assert image.mode == "RGB" and image.width == 2 * image.height
        assert 1000 <= image.width <= 1200


# Sending it


def test_a_public_model_and_its_space(hub, folder):
    said, done = call(folder, public=True, answers=OPEN, title="Tiny pictures")
    space = hub.repos["space", "ann/play"]
    assert (space.private, space.sdk) == (False, "gradio")
    assert space.variables == {"STYLEGAN_MODEL": done.id} and not space.secrets
    told = head(space.head())
    assert told["title"] == "Tiny pictures" and told["license"] == "apache-2.0"
    assert told["thumbnail"] == f"{hub.url}/spaces/ann/play/resolve/main/thumbnail.png"
    listed = "config.json,generator.safetensors,directions.safetensors"
    assert told["preload_from_hub"] == [f"ann/tiny {listed} {done.commit}"]
    assert done.space_url == f"{hub.url}/spaces/ann/play" and "hardware" not in said
    card = hub.repos["model", "ann/tiny"].head()["README.md"].decode()
    assert f"Play with it: [ann/play]({done.space_url})" in card


def test_a_private_model_has_a_private_space_with_a_secret(hub, folder):
    said, _ = call(folder, hardware="gpu")
    space = hub.repos["space", "ann/play"]
    assert space.private and not space.secrets
    assert "put a token that may read it as the secret HF_TOKEN" in said
    assert "choose its hardware at" in said
    assert "preload_from_hub" not in head(space.head())
    said, _ = call(folder, token="hf_ann_reads")
    assert space.secrets == {"HF_TOKEN": "hf_ann_reads"} and "secret" not in said
    assert b"hf_ann" not in b"".join(space.head().values())


def test_updated_it_loses_what_it_needs_no_more_and_keeps_the_rest(hub, folder):
    _, first = call(folder, hardware="zerogpu")
    space = hub.repos["space", "ann/play"]
    assert head(space.head())["app_file"] == "start.py"
    assert space.head()["start.py"].index(b"import spaces") < space.head()["start.py"].index(b"app")
    more = {**space.head(), "stylegan/old.py": b"x", "mine.txt": b"x"}
    space.commit("main", more, "by hand")
    (folder / "notes.txt").write_text("another commit")
    _, second = call(folder)
    files = space.head()
    assert "mine.txt" in files and not {"stylegan/old.py", "start.py"} & set(files)
    assert space.variables == {"STYLEGAN_MODEL": second.id} and second.id != first.id


@pytest.mark.parametrize(
    ("method", "pattern", "status", "words"),
    [
        ("POST", "/spaces/ann/play/commit", 500, "trouble of its own with the Space ann/play"),
        ("POST", "/spaces/ann/play/variables", 403, "may not do this to the Space ann/play"),
        ("POST", "/repos/create", 402, "asks for a subscription or credits"),
    ],
)
def test_refusals_are_told_in_words(hub, folder, method, pattern, status, words):
    call(folder, space="")
    hub.fail(method, pattern, status, times=99)
    with pytest.raises(UserError, match=words):
        call(folder)


def test_the_command_builds_it_without_a_network(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    out = tmp_path / "out"
    words = ["publish", folder, "ann/tiny", "--space", "ann/play", "--build", out]
    assert main([str(word) for word in words]) == 0
    assert (out / "space" / "app.py").is_file() and (out / "model" / "config.json").is_file()
    assert main(["publish", str(folder), "ann/tiny", "--space", "a b", "--build", "x"]) == 2
    assert "is not a name on the Hub" in capsys.readouterr().err


# As the Space runs it


LENDING = """
import pickle
from multiprocessing import get_context


def GPU(duration):
    def lent(task):
        def call(*args):
            print("lent", args[0], flush=True)
            queue = get_context("fork").SimpleQueue()
            target = lambda: queue.put(task(*pickle.loads(pickle.dumps(args))))
            process = get_context("fork").Process(target=target)
            process.start()
            result = queue.get()
            process.join()
            return result

        return call

    return lent
"""
"""What the package of ZeroGPU does of its decorator: calls cross to a forked process."""


@pytest.mark.parametrize("hardware", ["cpu", "zerogpu"])
def test_its_page_draws_a_private_model(hub, folder, tmp_path, hardware):
    _, done = call(folder, token="hf_ann_reads", hardware=hardware)
    space = hub.repos["space", "ann/play"]
    place = write(space.head(), tmp_path / "space")
    if hardware == "zerogpu":
        (place / "spaces.py").write_text(LENDING)
    told = variables(hub, tmp_path / "home", None) | space.variables | space.secrets
    told |= {"GRADIO_SERVER_NAME": "127.0.0.1", "PYTHONPATH": ""}
    told |= {"SPACES_ZERO_GPU": "true"} if hardware == "zerogpu" else {}
    (tmp_path / "files").mkdir()
    app = place / head(space.head())["app_file"]
    with running(tmp_path / "files", app=app, **told) as server:
        assert server.log.read_text().startswith(f"{done.id} at ")
        client = Client(server.url, download_files=tmp_path / "client", verbose=False)
        path = client.predict("seed=7", api_name="/seeds")
        with Image.open(path) as image:
            assert image.info["stylegan-recipe"] == f"m={done.id}&seed=7"
            expected = stylegan.load(TINY).render(Recipe(seed=7)).astype(int)
            assert np.abs(np.asarray(image).astype(int) - expected).max() <= 1
        assert (f"lent {done.id}" in server.log.read_text()) == (hardware == "zerogpu")


# ZeroGPU


def test_pictures_are_drawn_where_the_gpu_is_lent(tmp_path, monkeypatch, model):
    spaces = ModuleType("spaces")
    exec(LENDING, spaces.__dict__)
    monkeypatch.setitem(sys.modules, "spaces", spaces)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    assert zerogpu.is_here()
    session = Session([TINY], tmp_path, "cpu", prepare=zerogpu.lender())
    lending = session.first
    for recipe in (Recipe(seed=3, c=1, psi=0.5), Recipe(seed=4, noise=5)):
        assert np.array_equal(lending.render(recipe), model.render(recipe))
    maps = [torch.randn(r, r) for r in model.generator.synthesis.noise_shapes]
    name = "b4.conv1.bias"
    tuning = {name: torch.ones_like(model.generator.synthesis.get_parameter(name))}
    for attachment in (Attachment(maps), Attachment(maps, tuning)):
        recipe = Recipe(seed=3, x=attachment.key)
        lent, here = (m.carrying(attachment).render(recipe) for m in (lending, model))
        assert np.array_equal(lent, here) and not np.array_equal(here, model.render(Recipe(seed=3)))
    assert not zerogpu._lent, "nothing of it stays in this process"


def test_elsewhere_nothing_is_borrowed(monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    assert not zerogpu.is_here()
    monkeypatch.setenv("SPACES_ZERO_GPU", "0")
    assert not zerogpu.is_here()

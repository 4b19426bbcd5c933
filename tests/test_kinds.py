"""Pictures of every kind the whole way: prepare, fit, a page's PNG, a clip, a measure."""

import io
import json
from itertools import pairwise

import numpy as np
import pytest
from drawing import drawing, encoded
from PIL import Image

import stylegan
from stylegan.__main__ import main as draw
from stylegan.data import Pictures
from stylegan.recipe import Recipe
from stylegan.stamp import read_recipe
from stylegan.tabs.session import Session
from train.__main__ import main as train

CLASSES = ("birds", "cats", "dogs")
NETWORK = [
    *("--network.channel-base", "64", "--network.channel-max", "8"),
    *("--network.z-dim", "8", "--network.w-dim", "8"),
]
FIT = [
    *("--batch", "4", "--tick-kimg", "0.02", "--device", "cpu", "--precision", "float32"),
    *("--kimg", "0.04", "--metrics", "swd", "--preset"),
]
MEMBERS = {
    "tiny": [],
    "v1": ["--growth.hold-kimg", "0.01", "--growth.fade-kimg", "0.01", "--growth.batches", "8:8"],
}
KINDS = [(1, "L"), (3, "RGB"), (4, "RGBA")]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Twelve drawings, transparent around a disc, in a folder for each class."""
    root = tmp_path_factory.mktemp("photos")
    for i in range(12):
        path = root / CLASSES[i % 3] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(drawing(i, 32, "RGBA")))
    return root


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind[1])
def prepared(request, photos, tmp_path_factory):
    channels, mode = request.param
    zipped = tmp_path_factory.mktemp("data") / "drawings.zip"
    words = ["--resolution", "16", "--labels", "folders", "--channels", str(channels)]
    assert train(["prepare", str(photos), str(zipped), *words]) == 0
    return zipped, channels, mode


@pytest.fixture(scope="module", params=MEMBERS)
def model(request, prepared, tmp_path_factory):
    zipped, channels, mode = prepared
    run = tmp_path_factory.mktemp("run")
    words = ["fit", "--data", str(zipped), "--run", str(run), *FIT, request.param]
    assert train([*words, *NETWORK, *MEMBERS[request.param]]) == 0
    return run / "best", channels, mode


def test_what_is_prepared_keeps_its_kind_and_classes(prepared):
    zipped, channels, mode = prepared
    pictures = Pictures(zipped)
    assert (pictures.channels, pictures.c_dim, len(pictures)) == (channels, 3, 12)
    images = pictures.images(range(12))
    if mode == "RGBA":  # what was clear is clear, and only that
        assert (images[:, 3, 0, 0] == 0).all() and (images[:, 3, 8, 8] == 255).all()
    else:
        assert (images[:, :, 0, 0] == 255).all()  # over white
    if mode == "L":
        values = np.asarray(drawing(0, 32, "RGBA").convert("RGB").convert("L"))
        assert abs(float(images[0, 0, 6:10, 6:10].float().mean()) - values[12:20, 12:20].mean()) < 9


def test_the_page_s_png_and_the_command_s_are_of_that_kind(model, tmp_path):
    folder, channels, mode = model
    session = Session([folder], tmp_path / "files", "cpu")
    recipe = Recipe(seed=1, c=2, psi=0.7)
    path = session.picture(session.first, recipe)
    with Image.open(path) as image:
        assert image.mode == mode
        on_page = np.asarray(image)
    drawn = session.first.render(recipe)
    assert drawn.shape == (16, 16, channels)
    assert np.array_equal(on_page.reshape(16, 16, -1), drawn)
    assert read_recipe(path).endswith("seed=1&psi=0.7&c=2")
    several = session.picture(session.first, Recipe(seed=1, n=4), factor=2)
    with Image.open(several) as image:
        assert image.size == (64, 64)
        assert image.mode == mode
    out = tmp_path / "out.png"
    words = ["render", "seed=1&psi=0.7&c=2", "--model", str(folder), "--device", "cpu"]
    assert draw([*words, "-o", str(out)]) == 0
    with Image.open(out) as image:
        assert image.mode == mode and np.array_equal(np.asarray(image), on_page)


def test_each_class_is_drawn_and_others_are_refused(model):
    folder, _, _ = model
    found = stylegan.load(folder)
    assert found.c_dim == 3
    pictures = [found.render(Recipe(seed=1, c=c)).astype(int) for c in range(3)]
    assert all(np.abs(a - b).max() > 1 for a, b in pairwise(pictures))
    with pytest.raises(stylegan.config.UserError, match="classes 0 to 2"):
        found.render(Recipe(seed=1, c=3))


def test_grids_and_numbers_of_the_run(model):
    folder, _, mode = model
    numbers = json.loads((folder / "metrics.json").read_text())
    assert np.isfinite(numbers[0]["value"]) and numbers[0]["metric"] == "swd"
    for name in ("grids/reals.png", "grids/000000.png"):
        with Image.open(folder.parent / name) as image:
            assert image.mode == mode
    samples = Image.open(io.BytesIO((folder / "samples.png").read_bytes()))
    assert samples.size == (128, 128)


def test_labels_may_go_unused(prepared, tmp_path):
    zipped, _, _ = prepared
    words = ["fit", "--data", str(zipped), "--run", str(tmp_path / "run"), *FIT, "tiny", *NETWORK]
    assert train([*words, "--network.c-dim", "0", "--kimg", "0.008"]) == 0
    model = stylegan.load(tmp_path / "run" / "best")
    assert model.c_dim == 0
    assert not hasattr(model.generator.mapping, "embed")

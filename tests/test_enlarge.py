import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from drawing import drawing, encoded, folder

from stylegan import enlarge
from stylegan.config import UserError
from stylegan.data import Pictures
from stylegan.enlarge import check_upscale, enlarger, find_model
from stylegan.prepare import PrepareConfig, prepare


class Doubled:
    """A model that repeats each pixel and turns red up, as the library hands it out."""

    input_channels = output_channels = 3

    def eval(self):
        return self

    def __call__(self, picture: torch.Tensor) -> torch.Tensor:
        picture = picture.repeat_interleave(2, 2).repeat_interleave(2, 3)
        picture[:, 0] = 1.5  # beyond what a picture can hold
        return picture


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A file that the library, stood in for here, takes for a model."""

    class ModelLoader:
        def __init__(self, device):
            assert device == "cpu"

        def load_from_file(self, path):
            if not path.endswith("good.safetensors"):
                raise ValueError("not a model")
            return Doubled()

    monkeypatch.setitem(sys.modules, "spandrel", SimpleNamespace(ModelLoader=ModelLoader))
    enlarger.cache_clear()
    path = tmp_path / "good.safetensors"
    path.write_bytes(b"x")
    yield str(path)
    enlarger.cache_clear()


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_by_the_model_transparency_by_itself(model, mode):
    image = drawing(0, 20, mode)
    larger = enlarger(model)(image)
    assert (larger.mode, larger.size) == (mode, (40, 40))
    values = np.asarray(larger)
    assert (values[..., 0] == 255).all()
    if mode == "RGBA":
        assert values[0, 0, 3] == 0 and values[20, 20, 3] == 255


def test_only_pictures_that_are_too_small(model, tmp_path):
    src = folder(tmp_path / "src", {"a.png": drawing(0, 20), "b.png": drawing(0, 32)})
    prepare(PrepareConfig(src, tmp_path / "out.zip", resolution=32, upscale=model))
    small, large = Pictures(tmp_path / "out.zip").images([0, 1])[:, 0]
    assert (small == 255).all()
    assert (large != 255).any()


def test_files_that_are_no_models(model, tmp_path):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"x")
    src = folder(tmp_path / "src", {"a.png": encoded(drawing(0, 20))})
    with pytest.raises(UserError, match="no super-resolution model"):
        prepare(PrepareConfig(src, tmp_path / "out.zip", resolution=32, upscale=str(bad)))


@pytest.mark.parametrize("upscale", ["bicubic", "model.pth", "user/name/model.ckpt@main"])
def test_neither_a_way_nor_a_model(upscale):
    with pytest.raises(UserError, match="is none of lanczos, none"):
        check_upscale(upscale)


def test_models_of_the_hub(monkeypatch):
    asked = []

    def download(repo, name, revision):
        asked.append((repo, name, revision))
        if repo == "user/gone":
            raise OSError("404\nmore")
        return "/cache/x4.safetensors"

    hub = SimpleNamespace(hf_hub_download=download)
    monkeypatch.setattr(enlarge, "need", lambda name: hub)
    assert find_model("user/name/sub/x4.safetensors@v1") == "/cache/x4.safetensors"
    assert asked == [("user/name", "sub/x4.safetensors", "v1")]
    with pytest.raises(UserError, match="cannot be fetched: 404"):
        find_model("user/gone/x4.safetensors")
    with pytest.raises(UserError, match="is not there"):
        find_model("./nowhere/in/here.safetensors")

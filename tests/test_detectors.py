"""Detector files: fetched once, checked, called as their authors expect; discriminators."""

import pickle

import pytest
import torch
from detector_files import VGG, Inception, write
from test_features import discriminator
from test_fetch import server

from stylegan import detectors
from stylegan.config import UserError
from stylegan.detectors import DiscDetector, Published, ScriptDetector, locate, network_hash
from stylegan.fetch import FetchError, file_hash


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def inception(tmp_path):
    return write(tmp_path / "inception-2015-12-05.pt", Inception)


def images(channels=3, n=3, side=16):
    draws = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (n, channels, side, side), generator=draws, dtype=torch.uint8)


def test_the_published_files_are_where_they_were_published():
    site = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/"
    assert detectors.INCEPTION.url == f"{site}inception-2015-12-05.pt"
    assert detectors.VGG16.url == f"{site}vgg16.pt"


def test_a_published_file_is_fetched_once_and_compared_from_then_on(inception, cache, monkeypatch):
    said = []
    with server(inception.read_bytes()) as (url, asked):
        monkeypatch.setattr(Published, "url", url)
        path = locate(detectors.INCEPTION, "", said.append)
        assert locate(detectors.INCEPTION, "", said.append) == path
    assert len(asked) == len(said) == 1 and path.parent == cache
    assert locate(detectors.INCEPTION, "") == path  # the server is gone
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(FetchError, match=r"not what it was .*delete it"):
        locate(detectors.INCEPTION, "")


def test_without_network_it_is_said_where_to_put_the_file(cache, monkeypatch):
    with server() as (url, _):
        monkeypatch.setattr(Published, "url", url)
    with pytest.raises(FetchError, match=rf"cannot be fetched .*save it as {cache}/vgg16.pt"):
        locate(detectors.VGG16, "")


def test_one_s_own_file_takes_its_place(inception, tmp_path):
    assert locate(detectors.INCEPTION, str(inception)) == inception
    with pytest.raises(UserError, match="there is no detector file"):
        locate(detectors.INCEPTION, str(tmp_path / "nowhere.pt"))


def test_it_is_called_as_published_ones_are(inception):
    detector = ScriptDetector(inception)
    assert detector.name == "inception-2015-12-05" and detector.hash == file_hash(inception)
    assert detector.lasting and not detector.published
    network = Inception()
    x = images()
    assert torch.equal(detector.features(x), network(x, return_features=True).detach())
    probabilities = detector.probabilities(x)
    assert torch.equal(probabilities, network(x, no_output_bias=True).detach())
    assert probabilities[:, 0].max() < 0.99  # what the last layer's bias would make of them


def test_grey_is_made_rgb_and_rgba_lies_over_white(inception):
    detector = ScriptDetector(inception)
    grey = images(1)
    assert torch.equal(detector.features(grey), detector.features(grey.repeat(1, 3, 1, 1)))
    clear = images(4)
    clear[:, 3] = 0
    white = torch.full_like(clear[:, :3], 255)
    assert torch.equal(detector.features(clear), detector.features(white))
    clear[:, 3] = 255
    assert torch.equal(detector.features(clear), detector.features(clear[:, :3]))


def test_perception_is_that_of_projection(tmp_path):
    detector = ScriptDetector(write(tmp_path / "vgg16.pt", VGG))
    img = torch.full([1, 3, 512, 512], 1.0)
    assert detector.perceptual(img).shape == (1, 3 * 256 * 256)
    assert (detector.perceptual(img) == 1).all()


def test_pickles_and_other_files_are_refused(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("boom").touch, ())

    for name in ("weights.pth", "weights.pt"):
        (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UserError, match="is a pickle by its name, which is never opened"):
        ScriptDetector(tmp_path / "weights.pth")
    with pytest.raises(UserError, match="is no detector file in TorchScript"):
        ScriptDetector(tmp_path / "weights.pt")
    torch.save({"a": Bomb()}, tmp_path / "zipped.pt")
    with pytest.raises(UserError, match="is no detector file in TorchScript"):
        ScriptDetector(tmp_path / "zipped.pt")
    assert not (tmp_path / "boom").exists()
    torch.jit.script(torch.nn.ReLU()).save(str(tmp_path / "relu.pt"))
    with pytest.raises(UserError, match="cannot be used as a detector"):
        ScriptDetector(tmp_path / "relu.pt").features(images())


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_discriminator_is_a_detector(channels):
    network = discriminator(channels=channels)
    detector = DiscDetector(network)
    x = images(channels)
    found = detector.features(x)
    assert found.shape[0] == 3 and torch.isfinite(found).all()
    assert torch.allclose(found[:1], detector.features(x[:1]), atol=1e-5)
    assert not (detector.published or detector.lasting)
    with pytest.raises(UserError, match="knows no classes"):
        detector.probabilities(x)
    before = detector.hash
    next(network.parameters()).data.add_(1)
    assert network_hash(network) != before

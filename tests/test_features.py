import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from test_fetch import server

from stylegan import features
from stylegan.config import NetworkConfig, UserError
from stylegan.features import VGG16, Detector, DiscFeatures, at_most, distance, find, pyramid, rgb
from stylegan.networks.discriminators import Discriminator


def pictures(n=2, channels=3, side=16, seed=0):
    return torch.rand(n, channels, side, side, generator=torch.manual_seed(seed)) * 2 - 1


def discriminator(**changes):
    torch.manual_seed(1)
    settings = {"resolution": 16, "channel_base": 128, "channel_max": 16, "w_dim": 16, "z_dim": 16}
    return Discriminator(NetworkConfig(**settings | changes)).requires_grad_(False)


def nobody():
    raise AssertionError("the discriminator is not needed")


def test_pyramid_is_the_mean_over_sizes_of_mean_squared_differences():
    a, b = pictures(seed=1), pictures(seed=2)
    gaps = [(a - b).square().mean((1, 2, 3)), F.avg_pool2d(a - b, 2).square().mean((1, 2, 3))]
    torch.testing.assert_close(distance(pyramid(a), pyramid(b)), sum(gaps) / 2)


@pytest.mark.parametrize("architecture", ["resnet", "skip", "orig"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_disc_tells_pictures_apart_and_has_gradients(architecture, channels):
    look = DiscFeatures(discriminator(d_architecture=architecture, channels=channels))
    a = pictures(channels=channels)
    near, far = a + 0.01, pictures(channels=channels, seed=5)
    found = look(a)
    assert distance(found, found).max() == 0
    assert (distance(look(near), found) < distance(look(far), found) / 10).all()
    a.requires_grad_()
    distance(look(a), look(far)).sum().backward()
    assert a.grad.abs().min(0).values.max() > 0 and torch.isfinite(a.grad).all()


def test_disc_needs_no_label():
    look = DiscFeatures(discriminator(c_dim=3))
    assert look(pictures()).shape[0] == 2


def test_disc_is_more_than_pixels():
    look = DiscFeatures(discriminator())
    a, b = pictures(seed=1), pictures(seed=2)
    pixels = distance(pyramid(a), pyramid(b)) * DiscFeatures.PIXELS
    assert (distance(look(a), look(b)) > pixels * 1.01).all()


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A file of made-up weights with the classifier that the published one has as well."""
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(3)
    network = VGG16()
    save_file(network.state_dict() | {"head.fc.weight": torch.zeros(2, 2)}, tmp_path / "vgg")
    return network, (tmp_path / "vgg").read_bytes()


def test_vgg_is_fetched_once(weights, monkeypatch):
    network, data = weights
    with server(data) as (url, asked):
        monkeypatch.setattr(features, "VGG16_URL", url)
        first = find("vgg", nobody)
    second = find("vgg", nobody)  # from the cache
    x = pictures(1)
    assert len(asked) == 1 and torch.equal(first(x), second(x))
    torch.testing.assert_close(first(x), network(x).detach())
    a, b = pictures(1, side=64, seed=1), pictures(1, side=64, seed=2)
    assert distance(first(a), first(b)) > 100 * distance(first(a), first(a + 1e-3))


def test_vgg_taps_the_last_activation_of_each_stage(weights):
    network, _ = weights
    assert network.taps == [3, 8, 15, 22, 29]
    assert [n for n in network.state_dict() if n.endswith("weight")][-1] == "features.28.weight"


def test_vgg_offline_says_so(weights, monkeypatch):
    with server() as (url, _):
        monkeypatch.setattr(features, "VGG16_URL", url)
    with pytest.raises(UserError, match=r"cannot be fetched .* save it as"):
        find("vgg", nobody)


def test_vgg_refuses_other_files(weights, monkeypatch):
    with server(b"nonsense") as (url, _):
        monkeypatch.setattr(features, "VGG16_URL", url)
        with pytest.raises(UserError, match=r"damaged .* delete it"):
            find("vgg", nobody)


class Script(torch.nn.Module):
    def forward(self, x: torch.Tensor, resize_images: bool = True, return_lpips: bool = False):
        assert not resize_images and return_lpips
        return x.mean(1)


def test_a_detector_file_sees_rgb_of_0_to_255_and_at_most_256_px(tmp_path):
    path = str(tmp_path / "d.pt")
    torch.jit.script(Script()).save(path)
    look = find(path, nobody)
    grey = torch.full([1, 1, 512, 512], 1.0)
    assert look(grey).shape == (1, 256 * 256) and (look(grey) == 255).all()


def test_what_is_no_distance_is_refused(tmp_path):
    (tmp_path / "text.pt").write_text("nothing")
    with pytest.raises(UserError, match="no detector file"):
        Detector(tmp_path / "text.pt")
    with pytest.raises(UserError, match="give disc, pixels, vgg or a detector file"):
        find("lpips", nobody)
    torch.jit.script(torch.nn.ReLU()).save(str(tmp_path / "relu.pt"))
    with pytest.raises(UserError, match="cannot be used as a distance"):
        Detector(tmp_path / "relu.pt")(pictures())


def test_transparent_is_white():
    img = torch.tensor([-1.0, 0.0, 1.0, -1.0])[None, :, None, None]
    assert rgb(img).flatten().tolist() == [1, 1, 1]
    assert rgb(-img).flatten().tolist() == [1, 0, -1]
    assert at_most(pictures(side=512), 256).shape[-1] == 256


def test_pixels_need_no_network():
    a, b = torch.zeros(1, 3, 16, 16), torch.full((1, 3, 16, 16), 0.5)
    look = find("pixels", nobody)
    torch.testing.assert_close(distance(look(a), look(b)), torch.tensor([0.25]))

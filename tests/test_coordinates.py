import torch

from stylegan import coordinates
from stylegan.checkpoint import DISCRIMINATOR
from stylegan.config import NetworkConfig
from stylegan.coordinates import measure
from stylegan.features import DiscFeatures
from stylegan.model import Model
from stylegan.networks.discriminators import Discriminator
from stylegan.networks.generator import Generator
from stylegan.networks.synthesis_v2 import Synthesis
from stylegan.projector import ProjectConfig, Projection

NETWORK = NetworkConfig(
    resolution=16, z_dim=16, w_dim=16, mapping_layers=2, channel_base=128, channel_max=12
)


def tiny(**changes):
    torch.manual_seed(5)
    network = NetworkConfig(**{**NETWORK.__dict__, **changes})
    model = Model("tiny", "0123456789", Generator(network).eval().requires_grad_(False))
    model._others[DISCRIMINATOR] = Discriminator(network).eval().requires_grad_(False)
    return model


def test_there_and_back():
    model, mean = tiny(), torch.randn(16)
    look = DiscFeatures(model.discriminator)
    for shared, rows in ((True, 1), (False, model.num_ws)):
        place = measure(model, look, mean, 0, shared)
        ws = torch.randn(1, rows, 16)
        torch.testing.assert_close(place.ws(place.of(ws)), ws, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(place.ws(torch.zeros(1, rows, 16))[0, 0], mean)


def test_what_features_stretch_is_evened_out(monkeypatch):
    """With features linear in ws the metric is known: its stretch goes, down to the floor."""
    monkeypatch.setattr(coordinates, "PROBES", 4000)
    model = tiny()
    turned = torch.linalg.qr(torch.randn(16, 16))[0]
    stretch = torch.diag(torch.logspace(0, -1, 16)) @ turned
    monkeypatch.setattr(Synthesis, "forward", lambda self, ws: ws)
    look = lambda ws: ws[:, 1] @ stretch.T  # noqa: E731
    place = measure(model, look, torch.zeros(16), 0, True)
    steps = torch.cat([place.ws(x[None, None]) for x in torch.eye(16)])[:, 0] @ stretch.T
    lengths = torch.linalg.svdvals(steps)
    assert lengths.max() / lengths.min() < 1.3, "10 before"


def test_same_model_same_coordinates_and_classes_differ():
    model = tiny(c_dim=3)
    look, mean = DiscFeatures(model.discriminator), torch.zeros(16)
    one, two, other = (measure(model, look, mean, c, True) for c in (0, 0, 1))
    assert torch.equal(one.axes, two.axes) and not torch.equal(one.narrow, other.narrow)


def test_a_model_is_measured_once(monkeypatch):
    model, calls = tiny(), []

    def counted(*args):
        calls.append(args)
        return measure(*args)

    monkeypatch.setattr("stylegan.projector.measure", counted)
    picture = torch.zeros(1, 3, 16, 16)
    for space, most in (("w+", 1), ("w+", 1), ("w", 2), ("w", 2)):
        list(Projection(model, picture, ProjectConfig(space=space, steps=3)).run())
        assert len(calls) == most
    list(Projection(model, picture, ProjectConfig(steps=3), look=lambda x: x.flatten(1)).run())
    assert len(calls) == 3

import signal
import threading

import numpy as np
import pytest
import torch

from stylegan import model as models
from stylegan.checkpoint import ENCODER, ENCODER_STATE, load_encoder, save_model
from stylegan.config import NetworkConfig, UserError
from stylegan.data import Pictures
from stylegan.networks.discriminators import Discriminator
from stylegan.networks.encoder import Encoder, EncoderConfig
from stylegan.networks.generator import Generator
from stylegan.projector import ProjectConfig, Projection
from stylegan.tensors import load_tensors
from stylegan.training.augment import Draws
from stylegan.training.encoder_loop import (
    EncoderTrainConfig,
    EncoderTrainer,
    backdrop,
    begin_like,
    fit_encoder,
)
from stylegan.training.loop import Outcome
from tests.training_data import write_pictures

NETWORK = NetworkConfig(
    resolution=16, z_dim=16, w_dim=16, mapping_layers=1, channel_base=128, channel_max=8
)
CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "model", NETWORK)


def write(folder, config, seed=5):
    torch.manual_seed(seed)
    save_model(folder, config, {}, Generator(config), Discriminator(config))
    return folder


def settings(folder, **changes):
    return EncoderTrainConfig(str(folder), device="cpu", precision="float32", **changes)


def fit(folder, **changes):
    said = []
    outcome = fit_encoder(settings(folder, **changes), said.append)
    return outcome, said


def test_it_learns_the_model_s_own_pictures(folder):
    config = settings(folder, changed=0.0, p=0.0, batch=8)
    trainer = EncoderTrainer(config, folder, CPU)
    losses = [trainer.step() for _ in range(60)]
    first, last = np.mean(losses[:5], 0), np.mean(losses[-5:], 0)
    assert last[0] < 0.8 * first[0]


def test_it_begins_at_the_mean_and_like_the_discriminator(folder):
    trainer = EncoderTrainer(settings(folder), folder, CPU)
    found = trainer.encoder(torch.rand(2, 3, 16, 16))
    torch.testing.assert_close(found, trainer.encoder.mean.expand(2, NETWORK.num_ws, 16))
    names = begin_like(trainer.encoder, trainer.look.discriminator)
    assert {"b16.fromrgb.weight", "b16.conv0.weight", "b8.conv1.bias"} <= set(names)


def test_stopped_and_going_on_is_the_same_as_one_call(folder, tmp_path):
    other = write(tmp_path / "other", NETWORK)
    assert fit(folder, kimg=0.032)[0] is Outcome.DONE
    fit(other, kimg=0.016)
    outcome, said = fit(other, kimg=0.032)
    assert outcome is Outcome.DONE and said[0] == "goes on at 0.0 kimg"
    one, two = load_tensors(folder / ENCODER_STATE), load_tensors(other / ENCODER_STATE)
    assert one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def test_ctrl_c_saves(folder, monkeypatch):
    steps = []

    def step(trainer):
        steps.append(trainer.nimg)
        trainer.nimg += 8
        if len(steps) == 3:
            signal.raise_signal(signal.SIGINT)
        return 1.0, 1.0

    assert threading.current_thread() is threading.main_thread()
    monkeypatch.setattr(EncoderTrainer, "step", step)
    outcome, said = fit(folder, kimg=1)
    assert outcome is Outcome.STOPPED and len(steps) == 3
    assert "the same line goes on" in said[-1]
    assert (folder / ENCODER).is_file() and (folder / ENCODER_STATE).is_file()


def test_the_model_has_its_encoder_and_projection_starts_there(folder):
    assert not models.load(folder).has_encoder
    fit(folder, kimg=0.04)
    model = models.load(folder)
    revision = model.revision
    picture = torch.rand(1, 3, 16, 16) * 2 - 1
    expected = load_encoder(folder)(picture)
    step = next(iter(Projection(model, picture, ProjectConfig()).run()))
    torch.testing.assert_close(step.ws, expected)
    mean = model.encoder.mean
    assert not torch.allclose(expected, mean.expand_as(expected))
    assert model.encoder is model.encoder and revision == models.load(folder).revision


def test_an_encoder_of_another_generator_is_refused(folder, tmp_path):
    fit(folder, kimg=0.008)
    other = write(tmp_path / "other", NETWORK, seed=6)
    for name in (ENCODER, ENCODER_STATE):
        (other / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(UserError, match="trained for another generator"):
        _ = models.load(other).encoder
    with pytest.raises(UserError, match="of another generator; move it away"):
        fit(other, kimg=0.008)
    (folder / ENCODER).write_bytes((folder / "generator.safetensors").read_bytes())
    with pytest.raises(UserError, match="tells nothing of its settings"):
        _ = models.load(folder).encoder


@pytest.mark.parametrize("changes", [{"channels": 1}, {"channels": 4}, {"c_dim": 3}])
def test_other_kinds_of_models(tmp_path, changes):
    config = NetworkConfig(**{**NETWORK.__dict__, **changes})
    folder = write(tmp_path / "m", config)
    (folder / "discriminator.safetensors").unlink()
    fit(folder, kimg=0.016, p=1.0, changed=1.0)
    found = models.load(folder).encoder(torch.zeros(1, config.channels, 16, 16))
    assert found.shape == (1, config.num_ws, 16) and torch.isfinite(found).all()


def test_changes_leave_untouched_pictures_and_their_latents_alone(folder):
    trainer = EncoderTrainer(settings(folder, changed=0.5, p=1.0, batch=32), folder, CPU)
    pictures = torch.rand(32, 3, 16, 16) * 2 - 1
    wanted, seen, same = trainer.changed(pictures)
    kept = (wanted == pictures).flatten(1).all(1)
    assert torch.equal(kept, same.bool()) and 4 < kept.sum() < 28
    assert not torch.equal(seen, wanted) and seen.abs().max() <= 1
    again = trainer.changed(pictures)
    assert torch.equal(again[1], seen)


def test_backdrop_is_around_not_in_the_middle():
    pictures = torch.zeros(4, 3, 32, 32)
    out = backdrop(pictures, Draws(torch.manual_seed(0)), 1.0)
    assert out[:, :, 16, 16].abs().max() < 1e-3 and (out[:, :, 0, 0].abs() > 0.01).all()
    assert torch.equal(backdrop(pictures, Draws(torch.manual_seed(0)), 0.0), pictures)


def test_latents_are_mixed_and_truncated(folder):
    def rows(**changes):
        """How many different rows each latent has."""
        ws = EncoderTrainer(settings(folder, batch=64, **changes), folder, CPU).latents()
        assert ws.shape == (64, NETWORK.num_ws, 16)
        return {len(w.unique(dim=0)) for w in ws}

    assert rows(mixing=0.0, apart=0.0) == {1}
    assert rows(mixing=1.0, apart=0.0) == {2}
    assert rows(mixing=0.0, apart=1.0) == {NETWORK.num_ws}
    assert rows(mixing=0.4, apart=0.3) == {1, 2, NETWORK.num_ws}


def test_it_learns_from_real_pictures_too(folder, tmp_path):
    real = write_pictures(tmp_path / "real.zip", 9)
    images = Pictures(real).images(range(9)).numpy()
    config = settings(folder, data=str(real), real=0.25, batch=8)
    trainer, seen = EncoderTrainer(config, folder, CPU), []
    for _ in range(9):
        reals = trainer.reals()
        assert reals.shape == (2, 3, 16, 16) and trainer.step() > (0, 0)
        seen += [((x + 1) * 127.5).round().byte().numpy() for x in reals]
    counts = [sum(bool((x == image).all()) for x in seen) for image in images]
    assert counts == [2] * 9, "each once an epoch"
    alone = EncoderTrainer(settings(folder, data=config.data, real=0.0), folder, CPU)
    assert len(alone.reals()) == 0 and alone.step()[1] > 0
    only = EncoderTrainer(settings(folder, data=config.data, real=1.0), folder, CPU)
    assert only.step()[1] == 0, "the latents of real pictures are not known"
    large = write_pictures(tmp_path / "large.zip", 2, side=32)
    with pytest.raises(UserError, match=r"\(32, 3\), the model \(16, 3\)"):
        EncoderTrainer(settings(folder, data=str(large)), folder, CPU)


def test_large_pictures_are_shrunk():
    config = EncoderConfig.of(NetworkConfig(resolution=512, channel_base=1024, channel_max=4))
    assert config.resolution == 256 and config.num_ws == 16
    small = EncoderConfig(8, 3, 4, 8, 32, 4, hidden=8)
    encoder = Encoder(small)
    torch.nn.init.normal_(encoder.out.weight)
    big = torch.rand(1, 3, 32, 32)
    shrunk = torch.nn.functional.avg_pool2d(big, 4)
    torch.testing.assert_close(encoder(big), encoder(shrunk))


def test_settings_are_checked(tmp_path):
    for changes, words in (({"batch": 0}, "batch 0"), ({"minutes": -1.0}, "minutes -1.0")):
        with pytest.raises(UserError, match=words):
            settings("x", **changes)
    with pytest.raises(UserError, match="there is no model folder"):
        fit(tmp_path / "none", kimg=1)

"""Training that grows: StyleGAN and configs B to D, with both objectives."""

import dataclasses
import json
import math
import os
import signal
import threading
from functools import partial

import numpy as np
import pytest
import torch
from family import GROWING, V1, networks
from PIL import Image
from test_distributed import Meeting, Thread
from test_loop import assert_same_run, quiet
from training_data import TINY, write_pictures

from stylegan.checkpoint import save_model
from stylegan.config import ConfigError, GrowthConfig
from stylegan.data import Pictures, batches
from stylegan.distributed import ALONE
from stylegan.model import load
from stylegan.networks.growing import at_lod, enlarge
from stylegan.presets import preset
from stylegan.recipe import Recipe
from stylegan.training import loop, losses, memory, schedule
from stylegan.training.loop import Outcome, fit
from stylegan.training.step import Chance, Trainer
from train.__main__ import main

GROWTH = GrowthConfig(start=4, hold_kimg=0.016, fade_kimg=0.024, batches="4:8,8:4", lrs="16:0.004")
SMALL = dataclasses.replace(
    TINY,
    network=dataclasses.replace(V1, mbstd_group=2),
    growth=GROWTH,
    batch=4,
    lr=0.001,
    gamma=1.0,
    pl_weight=0.0,
    g_reg_interval=0,
    d_reg_interval=0,
    aug="none",
    p=0.0,
)
WGAN = dataclasses.replace(SMALL, loss="wgan-gp", gamma=10.0)
D = dataclasses.replace(
    SMALL, network=GROWING, pl_weight=2.0, d_reg_interval=2, g_reg_interval=2, aug="ada", p=0.5
)
C = dataclasses.replace(D, pl_weight=0.0)
RECIPES = {"v1": SMALL, "v1-wgan": WGAN, "c": C, "d": D}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data") / "discs.zip")


@pytest.fixture(scope="module")
def pictures(data):
    return Pictures(data)


@pytest.fixture(params=RECIPES)
def config(request, data):
    return dataclasses.replace(RECIPES[request.param], data=str(data))


def steps(config, pictures, nimg_end, nimg=0, trainer=None):
    """Train up to so many images; what each step was."""
    trainer, seen = trainer or Trainer(config), []
    reals = batches(pictures, config.seed, nimg, lambda at: schedule.batch(at, config))
    while nimg < nimg_end:
        trainer.step(*next(reals), nimg, Chance(config, pictures, nimg, trainer.device))
        lod = float(trainer.generator.synthesis.lod)
        seen.append((nimg, trainer.side, trainer.batch, lod))
        nimg += trainer.batch
    reals.close()
    return trainer, seen


def test_sides_batches_rates_and_adam_follow_the_schedule(config, pictures):
    trainer = Trainer(config)
    reals = batches(pictures, 0, 0, lambda at: schedule.batch(at, config))
    nimg, sides, begun = 0, [], 0
    while nimg < 84:
        images, labels = next(reals)
        trainer.step(images, labels, nimg, Chance(config, pictures, nimg, trainer.device))
        assert len(images) == trainer.batch == (8 if trainer.side == 4 else 4)
        sides.append(trainer.side)
        rate = 0.004 if trainer.side == 16 else 0.001
        for adam, interval in (
            (trainer.adam_g, config.g_reg_interval),
            (trainer.adam_d, config.d_reg_interval),
        ):
            c = interval / (interval + 1) if interval else 1
            assert adam.param_groups[0]["lr"] == pytest.approx(rate * c)
        for network in (trainer.generator.synthesis, trainer.averaged.synthesis):
            assert float(network.lod) == pytest.approx(schedule.lod(nimg, config))
        assert trainer.discriminator.lod == trainer.generator.synthesis.lod
        ends = schedule.new_stage(nimg, nimg + trainer.batch, config)
        assert ends == (not trainer.adam_d.state) == (not trainer.adam_g.state)
        begun += ends
        nimg += trainer.batch
    reals.close()
    assert sorted(set(sides)) == [4, 8, 16]
    assert sides == sorted(sides)
    assert begun == 4  # two fades, each with a beginning and an end


def test_a_regulariser_without_an_interval_shares_the_step(config, pictures):
    growth = dataclasses.replace(GROWTH, hold_kimg=1.0)
    trainer, seen = steps(dataclasses.replace(config, growth=growth), pictures, 40)
    for adam, interval, weight in (
        (trainer.adam_g, config.g_reg_interval, config.pl_weight),
        (trainer.adam_d, config.d_reg_interval, config.gamma),
    ):
        further = math.ceil(len(seen) / interval) if interval and weight else 0
        assert {int(s["step"]) for s in adam.state.values()} == {len(seen) + further}


def test_layers_join_in_one_after_another(config, pictures):
    trainer, before = Trainer(config), Trainer(config)
    moved = {}
    for end, side in ((16, 4), (40, 8), (80, 16)):
        trainer, _ = steps(config, pictures, end)
        moved[side] = {
            r: any(
                not torch.equal(a, b)
                for a, b in zip(
                    getattr(trainer.generator.synthesis, f"b{r}").parameters(),
                    getattr(before.generator.synthesis, f"b{r}").parameters(),
                    strict=True,
                )
            )
            for r in (4, 8, 16)
        }
        assert trainer.averaged.synthesis.lod == trainer.generator.synthesis.lod
    assert moved == {
        4: {4: True, 8: False, 16: False},
        8: {4: True, 8: True, 16: False},
        16: {4: True, 8: True, 16: True},
    }


def test_the_split_into_micro_batches_changes_nothing(config, pictures):
    config = dataclasses.replace(config, growth=dataclasses.replace(GROWTH, batches="4:8,8:8"))
    whole, _ = steps(config, pictures, 24)
    split, _ = steps(dataclasses.replace(config, micro_batch=2), pictures, 24)
    assert_same_weights(whole, split, atol=2e-4)


def test_reals_fade_with_the_fakes(config, pictures):
    trainer, seen = Trainer(config), []
    images = pictures.images(range(4))
    nimg = 28  # 12 of 24 into the first fade
    trainer.discriminator.register_forward_hook(lambda m, x, y: seen.append(x[0].detach()))
    trainer.step(images, torch.zeros(4, 0), nimg, Chance(config, pictures, nimg, trainer.device))
    assert {x.shape[-1] for x in seen} == {8}
    if config.aug == "none":
        real = at_lod(images.float() / 127.5 - 1, 1.5)
        half = enlarge(torch.nn.functional.avg_pool2d(real, 2))
        assert any(torch.allclose(x, real, atol=1e-6) for x in seen if len(x) == 4)
        assert (real - half).abs().mean() > 0


def test_wasserstein_losses_and_penalty_are_those_of_the_paper(pictures):
    trainer, config = Trainer(WGAN), WGAN
    draws = Chance(config, pictures, 0, trainer.device)
    reals = at_lod(pictures.images(range(8)).float() / 127.5 - 1, 2)
    trainer._grow(torch.zeros(8, 3, 16, 16), 0)
    d = trainer.discriminator.requires_grad_(True)
    trainer._discriminator_main(reals, None, draws)
    trainer._discriminator_penalty(reals, None, draws)
    found = [p.grad.clone() if p.grad is not None else None for p in d.parameters()]
    d.zero_grad()

    def fakes(phase):
        z, _, noise, crossover = trainer._fakes_of(phase, 8, draws)
        with torch.no_grad():
            return trainer._fake(z, None, noise, crossover, torch.arange(8), None)[0]

    logits = d(reals)
    loss = d(fakes("Dmain")).mean() - logits.mean() + 0.001 * logits.square().mean()
    share = draws.shares("Dr1", 8)
    between = (fakes("Dr1") * (1 - share) + reals * share).requires_grad_()
    (slope,) = torch.autograd.grad(d(between).sum(), between, create_graph=True)
    norm = (slope.square().sum(dim=[1, 2, 3]) * (4 / 16) ** 2).sqrt()  # of the whole picture
    (loss + 10 * (norm - 1).square().mean()).backward()
    for ours, p in zip(found, d.parameters(), strict=True):
        assert (ours is None) == (p.grad is None)
        assert ours is None or torch.allclose(ours, p.grad, atol=1e-5, rtol=1e-4)
    tally = trainer.tally.finish()
    assert tally["Loss/gradient_penalty"]["mean"] == pytest.approx(
        (norm - 1).square().mean().item(), rel=1e-4
    )


def test_small_pictures_weigh_in_r1_as_their_enlargements_do(pictures):
    trainer = Trainer(SMALL)
    reals = at_lod(pictures.images(range(8)).float() / 127.5 - 1, 2)
    trainer._grow(torch.zeros(8, 3, 16, 16), 0)
    trainer.discriminator.requires_grad_(True)
    trainer._discriminator_penalty(reals, None, Chance(SMALL, pictures, 0, trainer.device))
    whole = enlarge(reals, 4).requires_grad_()
    penalty = losses.r1_penalty(trainer.discriminator(whole), whole)
    tally = trainer.tally.finish()["Loss/r1_penalty"]
    assert tally["mean"] == pytest.approx(penalty.mean().item(), rel=1e-4)


def test_memory_is_told_for_the_stage_that_needs_most():
    def trainer(batches_):
        growth = dataclasses.replace(GROWTH, batches=batches_)
        return Trainer(dataclasses.replace(SMALL, growth=growth))

    def maps(side):
        return sum(r * r * SMALL.network.channels_at(r) for r in (4, 8, 16) if r <= side)

    small, large = trainer("4:8,8:4"), trainer("4:8,8:64")
    further = memory.step_bytes(large) - memory.step_bytes(small)
    assert further == memory.FEATURE_MAPS * 4 * (maps(8) * 64 - maps(16) * 4)
    assert memory.smaller_micro_batch(large.config) == 32
    dataclasses.replace(large.config, micro_batch=32)  # need not cut every batch
    with pytest.raises(ConfigError, match="whole mbstd groups"):
        dataclasses.replace(large.config, micro_batch=3)


def test_the_first_grid_is_of_the_first_size(data, tmp_path):
    config = dataclasses.replace(SMALL, data=str(data), kimg=0.008)
    fit(config, tmp_path / "run", say=quiet)
    with Image.open(tmp_path / "run" / "grids" / "000000.png") as image:
        values = np.asarray(image.convert("RGB"))
    squares = values.reshape(32, 4, 32, 4, 3)
    assert (squares == squares[:, :1, :, :1]).all()


def test_mixing_knows_only_rows_that_are_in_use(pictures):
    for nimg, rows in ((0, 2), (20, 4), (200, 6)):
        crossovers = Chance(SMALL, pictures, nimg, torch.device("cpu")).crossovers("Gmain", 500)
        mixed = crossovers[crossovers < SMALL.network.num_ws]
        assert set(mixed.tolist()) == set(range(1, rows))


@pytest.mark.parametrize("name", RECIPES)
def test_stopped_at_every_step_of_a_fade_it_ends_in_the_same_bits(
    name, data, tmp_path, monkeypatch
):
    config = dataclasses.replace(RECIPES[name], data=str(data), kimg=0.064, tick_kimg=0.02)
    assert fit(config, tmp_path / "whole", say=quiet) is Outcome.DONE
    step, count = loop.Trainer.step, 0

    def interrupted(self, *args):
        nonlocal count
        step(self, *args)
        count += 1
        if count % 2 == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop.Trainer, "step", interrupted)
    outcomes = []
    while not outcomes or outcomes[-1] is Outcome.STOPPED:
        outcomes.append(fit(config, tmp_path / "parts", say=quiet))
    assert outcomes.count(Outcome.STOPPED) > 3
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("RGBA", 4)])
def test_grey_transparent_and_labelled_pictures_grow_too(mode, channels, tmp_path):
    data = write_pictures(tmp_path / "d.zip", labels=[i % 3 for i in range(12)], mode=mode)
    network = dataclasses.replace(V1, channels=channels, c_dim=3, mbstd_group=2)
    config = dataclasses.replace(WGAN, network=network, data=str(data), kimg=0.06, aug="ada")
    fit(config, tmp_path / "run", say=quiet)
    model = load(tmp_path / "run" / "best")
    picture = model.render(Recipe(seed=1, c=2, psi=0.7))
    assert picture.shape == (16, 16, channels)
    before = Trainer(config)
    assert not torch.equal(model.generator.mapping.embed, before.generator.mapping.embed)
    assert model.discriminator.b4.out.weight.shape[0] == 3


def test_the_preset_trains(data, tmp_path):
    config = preset("v1", 16, 3, 0)
    network = dataclasses.replace(config.network, channel_base=64, channel_max=8, z_dim=8, w_dim=8)
    config = dataclasses.replace(
        config, network=network, data=str(data), kimg=0.256, tick_kimg=0.128, metrics=""
    )
    said = []
    fit(config, tmp_path / "run", say=said.append)
    assert any("side 8" in line for line in said)
    model = load(tmp_path / "run" / "best")
    assert model.generator.synthesis.lod == 1
    assert model.render(Recipe(seed=1)).shape == (16, 16, 3)


def test_a_grown_model_of_the_same_size_does_not_grow_again(data, tmp_path, capsys):
    network = dataclasses.replace(V1, mbstd_group=2)
    save_model(tmp_path / "m", network, {}, *networks(network))
    large = write_pictures(tmp_path / "large.zip", side=32)
    schedule = ["--growth.hold-kimg", "0.5", "--growth.fade-kimg", "0.5", "--growth.batches", "8:4"]

    def settings(pictures, *more):
        words = ["fit", "--data", str(pictures), "--preset", "v1", "--resume-from"]
        assert main([*words, str(tmp_path / "m"), *schedule, *more]) == 0
        return json.JSONDecoder().raw_decode(capsys.readouterr().out)[0]

    assert settings(data, "--dry-run")["start_kimg"] == 1
    assert settings(data, "--dry-run")["network"]["style"] == "adain"
    assert settings(data, "--dry-run", "--start-kimg", "0.2")["start_kimg"] == 0.2
    assert settings(large, "--dry-run")["start_kimg"] == 0
    more = ["--kimg", "1.008", "--run", str(tmp_path / "run"), "--metrics", "", "--device", "cpu"]
    settings(data, *more)
    assert load(tmp_path / "run" / "best").generator.synthesis.lod == 0


@pytest.mark.parametrize("name", RECIPES)
def test_shared_steps_are_the_same_steps(name, pictures):
    """Two threads in place of two processes, from one size of batch into another."""
    config = dataclasses.replace(
        RECIPES[name], growth=dataclasses.replace(GROWTH, batches="4:8,8:4", hold_kimg=0.008)
    )
    meeting = Meeting(2)
    alone, *both = (Trainer(config, "cpu", g) for g in (ALONE, *threads(2, meeting)))

    def work(trainer):
        nimg, batch = 0, partial(schedule.batch, config=config)
        reals = batches(pictures, config.seed, 0, batch, rows=trainer.share_of)
        while nimg < 24:
            trainer.step(*next(reals), nimg, Chance(config, pictures, nimg, trainer.device))
            nimg += trainer.batch
        reals.close()
        trainer.settle()

    running = [threading.Thread(target=work, args=[trainer]) for trainer in (alone, *both)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert alone.side == 8
    assert_same_weights(*both, atol=0)
    assert_same_weights(alone, both[0], atol=4e-4)
    assert both[0].p == alone.p
    assert both[0].tally.finish().keys() == alone.tally.finish().keys()


def threads(size, meeting):
    return [Thread(i, size, None, meeting) for i in range(size)]


def assert_same_weights(one, other, atol):
    """Adam begins with steps by the sign alone: where a gradient is nearly 0, rounding decides."""
    off = []
    for name in ("generator", "discriminator"):
        ours, theirs = getattr(one, name).state_dict(), getattr(other, name).state_dict()
        off += [((value - theirs[key]).abs() > atol).flatten() for key, value in ours.items()]
    assert torch.cat(off).float().mean() <= (0.003 if atol else 0)

"""Schedules against recorded curves."""

import dataclasses
import json

import pytest
from golden_io import GOLDEN

from stylegan.config import GrowthConfig, NetworkConfig, TrainConfig
from stylegan.networks.growing import grown
from stylegan.presets import preset
from stylegan.training import schedule
from stylegan.training.schedule import ema_decay, lazy_adam

CURVES = json.loads((GOLDEN / "sched_nv_curves.json").read_text())


@pytest.mark.parametrize("case", CURVES["ema_beta"]["cases"])
def test_ema(case):
    for nimg, beta in zip(CURVES["ema_beta"]["cur_nimg"], case["beta"], strict=True):
        found = ema_decay(nimg, case["batch_size"], case["ema_kimg"], case["ema_rampup"])
        assert found == pytest.approx(beta, rel=1e-12)


def test_the_first_step_copies():
    assert ema_decay(0, 16, 10, 0.05) == 0


@pytest.mark.parametrize("case", CURVES["lazy_reg"])
def test_lazy_regularisation(case):
    lr, betas = lazy_adam(case["lr_in"], tuple(case["betas_in"]), case["reg_interval"])
    assert lr == pytest.approx(case["lr"], rel=1e-12)
    assert betas == pytest.approx(case["betas"], rel=1e-12)


# Growing

GROWTH = json.loads((GOLDEN / "sg1_schedule.json").read_text())
DEFAULTS = GrowthConfig(start=4)


def growing(table: str) -> TrainConfig:
    """Our settings for a recorded table."""
    settings, _, resolution = table.rpartition("_res")
    if settings == "function_defaults":
        network = NetworkConfig(
            resolution=int(resolution), architecture="growing", d_architecture="growing"
        )
        return TrainConfig(network=network, growth=DEFAULTS, batch=16, lr=0.001)
    gpus = GROWTH["presets"][settings]["num_gpus"]
    return preset("v1", int(resolution), 3, 0, gpus)


@pytest.mark.parametrize("table", GROWTH["tables"])
def test_growth_against_the_original(table):
    config = growing(table)
    for row in GROWTH["tables"][table]:
        kimg, lod, side, batch, lr_g, lr_d, _ = row  # ticks are this program's own
        nimg = kimg * 1000
        assert schedule.lod(nimg, config) == pytest.approx(lod, abs=1e-8)
        assert grown(config.network.resolution, schedule.lod(nimg, config))[0] == side
        assert schedule.batch(nimg, config) == batch
        assert schedule.lr(nimg, config) == lr_g == lr_d


@pytest.mark.parametrize("gpus", [1, 8])
def test_batches_and_rates_of_every_resolution(gpus):
    recorded = GROWTH["presets"][f"train_py_sgan_{gpus}gpu"]["sched"]
    config = preset("v1", 1024, 3, 0, gpus)
    assert config.growth.start == recorded["lod_initial_resolution"]
    for i, side in enumerate((8, 16, 32, 64, 128, 256, 512, 1024)):
        nimg = i * 1_200_000
        assert grown(1024, schedule.lod(nimg, config)) == (side, 0)
        usual = recorded["minibatch_base"]
        assert schedule.batch(nimg, config) == recorded["minibatch_dict"].get(str(side), usual)
        assert schedule.lr(nimg, config) == recorded["G_lrate_dict"].get(str(side), 0.001)
    assert schedule.lod(10**9, config) == 0
    facts = GROWTH["facts"]
    assert (config.kimg, config.gamma) == (facts["total_kimg_train_py"], facts["r1_gamma"])
    assert config.ema_kimg == facts["G_smoothing_kimg"]


@pytest.mark.parametrize("case", GROWTH["rosinality_sg1"]["cases"], ids=lambda c: c["max_size"])
def test_growth_of_rosinality_is_the_same_after_its_longer_beginning(case):
    """Its first resolution stands twice as long, and each phase ends with a whole batch."""
    config = preset("v1", case["max_size"], 3, 0)
    assert config.growth.start == case["init_size"]
    assert config.growth.fade_kimg * 1000 == case["phase"]
    top = case["max_size"].bit_length() - 3
    late = [row for row in case["rows"] if row[1] >= case["phase"]]
    for _, nimg, step, alpha, _ in late:
        lod = schedule.lod(nimg - case["phase"], config)
        assert lod == pytest.approx(top - step + 1 - alpha, abs=2e-3)
    assert {row[2] for row in late} == set(range(1, top + 1))


def test_adam_begins_anew_when_a_fade_begins_or_ends():
    config = preset("v1", 32, 3, 0)
    new = [
        nimg
        for nimg in range(0, 4_000_000, 20_000)
        if schedule.new_stage(nimg, nimg + 20_000, config)
    ]
    assert new == [600_000, 1_180_000, 1_800_000, 2_380_000]
    assert not any(schedule.new_stage(n, n + 64, config) for n in (0, 700_000, 3_000_000))


def test_growth_without_a_fade_or_without_a_stop():
    growth = GrowthConfig(start=4, hold_kimg=1, fade_kimg=0)
    config = dataclasses.replace(preset("v1", 16, 3, 0), growth=growth)
    lods = [schedule.lod(nimg, config) for nimg in (0, 999, 1000, 2500, 9000)]
    assert lods == [2, 2, 1, 0, 0]
    growth = GrowthConfig(start=4, hold_kimg=0, fade_kimg=1)
    config = dataclasses.replace(config, growth=growth)
    lods = [schedule.lod(nimg, config) for nimg in (0, 250, 1000, 1500, 9000)]
    assert lods == [2, 1.75, 1, 0.5, 0]


def test_what_does_not_grow_is_whole_from_the_start():
    config = preset("auto", 64, 3, 0)
    assert schedule.lod(0, config) == 0
    assert schedule.batch(0, config) == config.batch
    assert schedule.lr(0, config) == config.lr
    assert not schedule.new_stage(0, 10**6, config)

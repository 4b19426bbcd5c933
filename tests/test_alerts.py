"""Alerts: told from histories, and provoked on real runs, each of which takes seconds."""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_loop import final_state
from test_loop import lines as lines_of
from training_data import tiny, write_pictures

from stylegan.config import TrainConfig
from stylegan.data import Pictures
from stylegan.runs import ALERTS, read_events
from stylegan.training import alerts, loop
from stylegan.training.loop import Outcome, fit

HEALTHY = Path(__file__).parent / "golden/portraits-64-stats.jsonl"
"""Ticks of a sound run of 180 kimg, and how much the pictures of its grids differ."""
CONFIG = TrainConfig()


def quiet(line):
    pass


def healthy():
    return [json.loads(line) for line in HEALTHY.read_text().splitlines()]


def ticks(**columns):
    """Lines from columns of equal length; a name's __ stands for a slash."""
    rows = zip(*columns.values(), strict=True)
    names = [name.replace("__", "/") for name in columns]
    return [
        {"Progress/kimg": 10.0 * i, **dict(zip(names, row, strict=True))}
        for i, row in enumerate(rows, 1)
    ]


def number(mean, num=4):
    return {"num": num, "mean": mean, "std": 0.0}


def story(history, config=CONFIG):
    """What is told on the way through a history: (tick, +kind or -kind)."""
    standing, told = [], []
    for i in range(len(history)):
        begun, ended = alerts.changes(history[: i + 1], config, standing)
        told += [(i, f"+{alert.kind}") for alert in begun] + [(i, f"-{kind}") for kind in ended]
        standing = [k for k in standing if k not in ended] + [alert.kind for alert in begun]
    return told


# A sound run


def test_a_healthy_run_raises_none():
    assert len(healthy()) == 45
    assert story(healthy()) == []


def test_a_run_that_forgets_everything_again():
    swd = [line["Metrics/swd"] for line in healthy() if "Metrics/swd" in line]
    assert story(ticks(Metrics__swd=[*swd, *reversed(swd)])) == [(13, "+plateau")]


# Overfitting


def rising(ps, r_ts):
    return ticks(Progress__augment_p=ps, Loss__signs__real=[number(x) for x in r_ts])


def test_overfitting_needs_a_high_p_that_rises_and_a_high_r_t():
    ps = [0.78, 0.81, 0.84, 0.87, 0.90]
    (alert,), _ = alerts.changes(rising(ps, [0.75] * 5), CONFIG, [])
    assert alert.kind == "overfitting"
    assert "p is 0.90" in alert.seen and "0.75" in alert.seen and "0.6" in alert.seen
    assert "--mirror" in alert.advice and "--aug ada" not in alert.advice
    assert story(rising(ps[:4], [0.75] * 4)) == []
    assert story(rising([p - 0.2 for p in ps], [0.75] * 5)) == []
    assert story(rising(ps, [0.75, 0.75, 0.62, 0.75, 0.75])) == []
    assert story(rising([0.9, 0.91, 0.90, 0.91, 0.92], [0.75] * 5)) == []
    assert story(rising(ps, [None] * 5)) == []


def test_overfitting_begins_once_and_ends_once():
    ps = [0.7 + 0.02 * i for i in range(12)] + [0.93, 0.92, 0.91, 0.90, 0.89]
    assert story(rising(ps, [0.8] * len(ps))) == [(6, "+overfitting"), (15, "-overfitting")]


def test_overfitting_without_an_adaptive_p():
    config = TrainConfig(aug="none")
    (alert,), _ = alerts.changes(rising([0.0] * 5, [0.97, 0.98, 0.98, 0.99, 0.99]), config, [])
    assert alert.kind == "overfitting" and "--aug ada" in alert.advice
    assert story(rising([0.0] * 5, [0.99, 0.98, 0.98, 0.97, 0.96]), config) == []
    assert story(rising([0.0] * 5, [0.9] * 5), config) == []
    near = [0.96, 0.96, 0.97, 0.98, 0.97, 0.94, 0.97, 0.94, 0.95, 0.89, 0.87, 0.86, 0.8]
    told = [(4, "+overfitting"), (12, "-overfitting")]  # once, though it sways around 0.95
    assert story(rising([0.0] * len(near), near), config) == told


@pytest.mark.parametrize("aug", ["ada", "fixed", "diffaugment", "none"])
def test_signs_of_a_critic_tell_nothing(aug):
    """Its zero is free; where held-out pictures stand between the others is not."""
    config = TrainConfig(loss="wgan-gp", aug=aug, p=0.1)
    assert story(rising([0.78, 0.81, 0.84, 0.87, 0.90], [0.99] * 5), config) == []
    (alert,), _ = alerts.changes(held_out(0.6, 0.7, 0.8), config, [])
    assert alert.kind == "overfitting" and "--aug ada" not in alert.advice
    assert ("--aug diffaugment" in alert.advice) == (aug != "diffaugment")


def test_overfitting_of_a_real_run(tmp_path):
    """Four pictures, and a p that begins high and moves fast."""
    data, said = write_pictures(tmp_path / "four.zip", n=4), []
    config = tiny(data, kimg=0.04, tick_kimg=0.008, p=0.8, ada_kimg=0.5, target=-0.5, pl_weight=0.0)
    fit(config, tmp_path / "run", say=said.append)
    (line,) = [line for line in said if line.startswith("alert")]
    assert line.startswith("alert, overfitting: p is 0.") and "by heart" in line
    (event,) = read_events(tmp_path / "run")
    assert event["state"] == "begins" and event["tick"] == 5 and event["seen"] in line


def held_out(*r_vs):
    return ticks(Validation__r_v=r_vs)


def test_overfitting_told_by_held_out_pictures():
    seen = held_out(0.1, 0.6, 0.4, 0.55, 0.7, 0.6, 0.45, 0.38, 0.3, 0.35)
    assert story(seen) == [(5, "+overfitting"), (9, "-overfitting")]
    (alert,), _ = alerts.changes(seen[:6], CONFIG, [])
    assert "r_v is 0.60" in alert.seen and "leak" not in alert.means
    assert story(held_out(0.6, None, 0.7, None)) == []
    assert story(held_out(0.6, None, 0.7, None, 0.8)) == [(4, "+overfitting")]


def test_overfitting_of_a_real_run_told_by_held_out_pictures(tmp_path):
    """Those held out are nothing like the pictures of training."""
    data, said = write_pictures(tmp_path / "four.zip", n=4), []
    others = write_pictures(tmp_path / "others.zip", n=4, ground=0)
    config = tiny(data, kimg=0.1, snap=1, validation=str(others), pl_weight=0.0)
    fit(config, tmp_path / "run", say=said.append)
    assert [line for line in said if line.startswith("alert, overfitting: r_v is ")]


# Collapse


def diverse(*values):
    return ticks(Samples__diversity=values)


@pytest.mark.parametrize(
    "values",
    [
        (0.92, 0.88, 0.89, 0.92, 0.93),
        (1.19, 0.51, 0.27, 0.48, 0.32, 0.47),  # a young run on flags
        (0.9, 0.1, 0.9),
        (0.05, 0.08, 0.1, 0.13, 0.18, 0.3),  # one blur at first
    ],
)
def test_pictures_that_differ(values):
    assert story(diverse(*values)) == []


def test_collapse_begins_and_ends():
    assert story(diverse(0.9, 0.15, 0.05, 0.02, 0.3, 0.1)) == [(2, "+collapse"), (4, "-collapse")]
    (alert,), _ = alerts.changes(diverse(0.9, 0.15, 0.05), CONFIG, [])
    assert "0.05 times" in alert.seen and "after 0.90" in alert.seen
    for loss, aug in (("logistic", "ada"), ("wgan-gp", "diffaugment")):
        bare = TrainConfig(loss=loss, aug="none")
        (advised,), _ = alerts.changes(diverse(0.9, 0.15, 0.05), bare, [])
        assert f", --aug {aug}" in advised.advice
    assert "--gamma than 1" in alert.advice


def test_advice_about_classes_is_for_those_who_begin_with_them():
    network = dataclasses.replace(CONFIG.network, c_dim=6)
    for config, advised in (
        (CONFIG, False),
        (dataclasses.replace(CONFIG, network=network), True),
        (dataclasses.replace(CONFIG, network=network, resume_from="checkpoints/one"), False),
    ):
        (alert,), _ = alerts.changes(diverse(0.9, 0.15, 0.05), config, [])
        assert ("--network.c-dim 0" in alert.advice) == advised


def test_pictures_that_never_begin_to_differ():
    assert story(diverse(*[0.05] * 12)) == [(9, "+collapse")]


def test_collapse_of_a_real_run(tmp_path, monkeypatch):
    """From 40 images on, the mapping network says the same w for every z."""
    step = loop.Trainer.step

    def collapsing(self, images, labels, nimg, chance):
        step(self, images, labels, nimg, chance)
        if nimg >= 40:
            for param in self.averaged.mapping.parameters():
                param.data.zero_()

    monkeypatch.setattr(loop.Trainer, "step", collapsing)
    data, said = write_pictures(tmp_path / "discs.zip"), []
    fit(tiny(data, kimg=0.1, snap=1), tmp_path / "run", say=said.append)
    (line,) = [line for line in said if line.startswith("alert")]
    assert "collapse: the pictures of the grid differ 0.00 times as much" in line
    lines = [json.loads(x) for x in (tmp_path / "run" / "stats.jsonl").read_text().splitlines()]
    found = [line["Samples/diversity"] for line in lines]
    assert min(found[:2]) > 0.3 and max(found[2:]) < 1e-6


def test_classes_do_not_hide_a_collapse(tmp_path, monkeypatch):
    """A picture for each class, and always the same one."""
    step = loop.Trainer.step

    def collapsing(self, images, labels, nimg, chance):
        step(self, images, labels, nimg, chance)
        z_dim = self.config.network.z_dim
        for name, param in self.averaged.mapping.named_parameters():
            if name == "fc0.weight" or param.shape[1:] == (2 * z_dim,):
                param.data[:, :z_dim] = 0  # z is no longer looked at, the label is

    monkeypatch.setattr(loop.Trainer, "step", collapsing)
    data = write_pictures(tmp_path / "discs.zip", labels=[i % 2 for i in range(12)])
    config = tiny(data, kimg=0.02, snap=1)
    config = dataclasses.replace(config, network=dataclasses.replace(config.network, c_dim=2))
    fit(config, tmp_path / "run", say=quiet)
    (line,) = (tmp_path / "run" / "stats.jsonl").read_text().splitlines()
    assert json.loads(line)["Samples/diversity"] < 1e-6


# Divergence


def test_losses_that_run_away_and_calm_down():
    losses = [1.0, 1.2, 25.0, 30.0, 2.0, 1.5, 1.4, 1.3]
    history = ticks(Loss__D__loss=[number(x) for x in losses])
    assert story(history) == [(2, "+divergence"), (6, "-divergence")]
    (alert,), _ = alerts.changes(history[:3], CONFIG, [])
    assert alert.seen == "the loss of D is 25, beyond 20"
    assert "--on-nan rollback" in alert.advice and "--lr than 0.0025" in alert.advice
    assert "--precision" not in alert.advice


def test_losses_that_are_not_finite():
    assert story(ticks(Loss__G__loss=[number(1.0), number(None)])) == [(1, "+divergence")]


def test_wasserstein_losses_have_their_own_scale():
    config = TrainConfig(loss="wgan-gp")
    steady = ticks(Loss__D__loss=[number(x) for x in (-40, -60, -50, -45, -70, -55)])
    assert story(steady, config) == []
    wild = [*steady, {"Loss/D/loss": number(-4000.0)}]
    assert story(wild, config) == [(6, "+divergence")]


def test_numbers_that_are_not_finite_in_two_ticks():
    config = TrainConfig(precision="float16")
    once = ticks(Guards__nonfinite__Gmain=[number(0.0), number(1.5), number(0.0)])
    assert story(once, config) == []
    twice = [*once[:2], *once[1:], *once[::2]]
    assert story(twice, config) == [(2, "+divergence"), (5, "-divergence")]
    (alert,), _ = alerts.changes(twice[:3], config, [])
    assert alert.seen.startswith("6 numbers") and "--precision float32" in alert.advice


def test_divergence_of_a_real_run(tmp_path):
    data, said = write_pictures(tmp_path / "discs.zip"), []
    config = tiny(data, kimg=0.04, lr=1.0, gamma=0.0, aug="none", p=0.0)
    fit(config, tmp_path / "run", say=said.append)
    (line,) = [line for line in said if line.startswith("alert")]
    assert line.startswith("alert, divergence: the loss of ")


# Plateau


def test_a_plateau_is_told_by_the_noise_of_the_metric():
    noise = [0.3, -0.4, 0.1, 0.5, -0.2, -0.5, 0.4, 0.2, -0.1, -0.3]
    falling = [20 - 0.5 * i + x for i, x in enumerate(noise)]
    flat = [20 - 0.02 * i + x for i, x in enumerate(noise)]
    assert story(ticks(Metrics__swd=falling)) == []
    assert story(ticks(Metrics__swd=flat)) == [(9, "+plateau")]
    assert story(ticks(Metrics__swd=flat), TrainConfig(metrics="")) == []
    more = [*flat, *[x - 6 for x in falling]]
    assert [kind for _, kind in story(ticks(Metrics__swd=more))] == ["+plateau", "-plateau"]


def test_ticks_without_a_snapshot_say_nothing():
    lines = ticks(Metrics__swd=[20.0] * 10)
    history = [x for line in lines for x in ({}, line, {})]
    assert story(history) == [(28, "+plateau")]


def test_snapshots_that_are_too_near_tell_no_plateau():
    near = [{**x, "Progress/kimg": x["Progress/kimg"] / 2} for x in ticks(Metrics__swd=[20.0] * 13)]
    assert story(near) == []


def test_plateau_of_a_real_run(tmp_path, monkeypatch):
    """Steps so small that nothing is learned."""
    monkeypatch.setattr(alerts, "PLATEAU_KIMG", 0.03)
    data, said = write_pictures(tmp_path / "discs.zip"), []
    config = tiny(data, kimg=0.04, tick_kimg=0.004, snap=1, metrics="swd", lr=1e-12)
    fit(config, tmp_path / "run", say=said.append)
    (line,) = [line for line in said if line.startswith("alert")]
    assert line.startswith("alert, plateau: swd was ")


def test_a_metric_that_is_better_when_higher():
    rising = [5.0 + 0.5 * i for i in range(10)]
    assert story(ticks(Metrics__is50k=rising), TrainConfig(metrics="is50k")) == []
    falling = ticks(Metrics__is50k=rising[::-1])
    assert story(falling, TrainConfig(metrics="is50k")) == [(9, "+plateau")]


def test_a_metric_of_two_numbers_goes_by_the_first():
    falling = [0.9 - 0.05 * i for i in range(10)]
    both = {"Metrics__pr5k3_full_precision": falling, "Metrics__pr5k3_full_recall": falling[::-1]}
    assert story(ticks(**both), TrainConfig(metrics="pr5k3_full")) == [(9, "+plateau")]


# Memorisation


def test_copies_of_training_pictures():
    history = ticks(Metrics__memorisation=[0.0, 0.08, 0.15, 0.08, 0.02])
    assert story(history) == [(2, "+memorisation"), (4, "-memorisation")]
    (alert,), _ = alerts.changes(history[:3], CONFIG, [])
    assert alert.seen.startswith("15% of the samples") and "inspect" in alert.advice


def test_memorisation_of_a_real_run(tmp_path):
    """Four pictures, which a small network knows by heart after 600 looks."""
    data, said = write_pictures(tmp_path / "four.zip", n=4), []
    config = tiny(data, kimg=0.6, tick_kimg=0.2, snap=1, metrics="memorisation", lr=0.005)
    config = dataclasses.replace(
        config,
        **{"aug": "none", "p": 0.0, "ema_kimg": 0.05, "style_mixing": 0.0, "pl_weight": 0.0},
        network=dataclasses.replace(config.network, channel_base=256, channel_max=32),
    )
    fit(config, tmp_path / "run", say=said.append)
    lines = [json.loads(x) for x in (tmp_path / "run" / "stats.jsonl").read_text().splitlines()]
    found = [line["Metrics/memorisation"] for line in lines]
    tick = next(i for i, value in enumerate(found, 1) if value > alerts.MEMORISED)
    assert tick > 1, "it is learned, not there from the beginning"
    (line,) = [line for line in said if line.startswith("alert, memo")]
    assert line.startswith(f"alert, memorisation: {found[tick - 1]:.0%} of the samples are copies")
    (event,) = [x for x in read_events(tmp_path / "run") if x["alert"] == "memorisation"]
    assert (event["state"], event["tick"]) == ("begins", tick)

    model = tmp_path / "run" / "models" / "000000.600"
    (record,) = json.loads((model / "metrics.json").read_text())
    assert (record["value"], record["n"], record["among"]) == (found[-1], 200, 4)
    sheet = np.asarray(Image.open(model / "memorisation.png")).astype(float)
    shown = Pictures(data).images(range(4)).permute(0, 2, 3, 1).numpy()
    originals = shown.repeat(8, 1).repeat(8, 2)
    for y, x in itertools.product(range(0, 600, 150), range(0, 1056, 264)):
        sample, other = sheet[y : y + 128, x : x + 128], sheet[y : y + 128, x + 128 : x + 256]
        far = [np.square(sample - original).mean() for original in originals]
        assert np.array_equal(other, originals[np.argmin(far)]), "each beside what it is a copy of"


# Starving


def test_waiting_for_pictures():
    shares = [0.9, 0.2, 0.4, 0.5, 0.6, 0.3, 0.2, 0.1, 0.1]
    history = ticks(
        Timing__data_sec=[number(x) for x in shares], Timing__step_sec=[number(1.0) for _ in shares]
    )
    assert story(history) == [(4, "+starving"), (8, "-starving")]


def test_starving_of_a_real_run(tmp_path, monkeypatch):
    """Pictures that take twice as long as the step before them."""
    batches = loop.data.batches

    def slow(*args, **kwargs):
        for batch in batches(*args, **kwargs):
            given = time.monotonic()
            yield batch
            time.sleep(2 * (time.monotonic() - given))

    monkeypatch.setattr(loop.data, "batches", slow)
    data, said = write_pictures(tmp_path / "discs.zip"), []
    fit(tiny(data, kimg=0.024, tick_kimg=0.008), tmp_path / "run", say=said.append)
    (line,) = [line for line in said if line.startswith("alert")]
    assert line.startswith("alert, starving: ") and "waiting for pictures" in line


# Said once, also by a run that is stopped and goes on


def test_said_once_and_written_once(tmp_path, monkeypatch):
    data, whole, parts = write_pictures(tmp_path / "discs.zip"), tmp_path / "whole", []
    changes = {"tick_kimg": 0.008, "lr": 1.0, "gamma": 0.0, "aug": "none", "p": 0.0}
    fit(tiny(data, kimg=0.04, **changes), whole, say=quiet)
    monkeypatch.setattr(loop, "SAVE_MINUTES", 0)
    for kimg in (0.008, 0.02, 0.028, 0.04):
        assert fit(tiny(data, kimg=kimg, **changes), tmp_path / "cut", say=parts.append) is (
            Outcome.DONE
        )
    one, other = final_state(whole), final_state(tmp_path / "cut")
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert lines_of(whole) == lines_of(tmp_path / "cut")
    grids = {path.name: path.read_bytes() for path in (whole / "grids").iterdir()}
    assert grids == {x: (tmp_path / "cut" / "grids" / x).read_bytes() for x in grids}
    assert (whole / ALERTS).read_bytes() == (tmp_path / "cut" / ALERTS).read_bytes()
    assert sum(line.startswith("alert, divergence") for line in parts) == 1


def test_what_was_told_after_the_saved_state_is_told_again(tmp_path, monkeypatch):
    data, folder = write_pictures(tmp_path / "discs.zip"), tmp_path / "run"
    changes = {"tick_kimg": 0.008, "lr": 1.0, "gamma": 0.0, "aug": "none", "p": 0.0}
    step, said = loop.Trainer.step, []

    def dying(self, images, labels, nimg, chance):
        if nimg >= 12:
            raise KeyboardInterrupt
        step(self, images, labels, nimg, chance)

    monkeypatch.setattr(loop.Trainer, "step", dying)
    with pytest.raises(KeyboardInterrupt):
        fit(tiny(data, kimg=0.024, **changes), folder, say=said.append)
    assert [event["tick"] for event in read_events(folder)] == [1]
    monkeypatch.setattr(loop.Trainer, "step", step)
    fit(tiny(data, kimg=0.024, **changes), folder, say=said.append)
    assert sum(line.startswith("alert, divergence") for line in said) == 2
    assert [event["tick"] for event in read_events(folder)] == [1]
    fit(tiny(data, kimg=0.024, **changes), folder, fresh=True, say=quiet)
    assert read_events(folder / "before-1") and len(read_events(folder)) == 1


def test_standing_alerts_are_read_off_the_file():
    events = [
        {"alert": kind, "state": state}
        for kind, state in (
            ("collapse", "begins"),
            ("plateau", "begins"),
            ("collapse", "ends"),
            ("odd", "ends"),
        )
    ]
    assert alerts.standing(events) == ["plateau"]
    assert alerts.standing([]) == []

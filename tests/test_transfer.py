"""Starting from another model: what is copied, what begins anew, what stays, and what is said."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import torch
from training_data import NETWORK, tiny, write_pictures

from stylegan.checkpoint import load_discriminator, load_generator, save_model
from stylegan.config import ConfigError, UserError
from stylegan.data import Pictures, batches
from stylegan.tensors import CheckpointError, load_tensors
from stylegan.training import run, transfer
from stylegan.training.loop import Outcome, fit
from stylegan.training.step import Chance, Trainer
from train.__main__ import main


def quiet(line):
    pass


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data") / "discs.zip")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A model at 16 px, RGB, whose weights nobody else has."""
    trainer = Trainer(tiny("none", seed=99))
    folder = tmp_path_factory.mktemp("models") / "source"
    samples = {"samples.png": b""}
    save_model(folder, NETWORK, {}, trainer.averaged, trainer.discriminator, samples)
    return folder


def begun(source, **changes):
    """A trainer that began with the source, and what is told of it."""
    trainer = Trainer(tiny("none", resume_from=str(source), **changes))
    return trainer, trainer.start_from(str(source))


def outcomes(report, outcome):
    return {f"{row.network} {row.name}" for row in report.rows if row.outcome == outcome}


def test_an_equal_model_is_copied_whole(source):
    trainer, report = begun(source)
    averaged, discriminator = load_generator(source), load_discriminator(source)
    for ours, theirs in (
        (trainer.generator, averaged),
        (trainer.averaged, averaged),
        (trainer.discriminator, discriminator),
    ):
        assert all(map(torch.equal, ours.state_dict().values(), theirs.state_dict().values()))
    assert len(outcomes(report, "copied")) == len(report.rows) and not report.anew
    assert "16x16 RGB -> 16x16 RGB" in report.summary() and "anew" not in report.summary()


@pytest.mark.parametrize("side", [8, 32])
def test_another_resolution_takes_the_blocks_that_match(source, side):
    network = dataclasses.replace(NETWORK, resolution=side)
    trainer, report = begun(source, network=network)
    fresh = {name.split(".")[0] for name in report.anew if name.startswith("discriminator")}
    if side == 32:
        assert any(name.startswith("generator synthesis.b32.") for name in report.anew)
        assert fresh == {"discriminator b32"}
        assert outcomes(report, "skipped") == {
            f"discriminator b16.fromrgb.{part}" for part in ("weight", "bias")
        }
    else:
        assert set(report.anew) == {f"discriminator b8.fromrgb.{x}" for x in ("weight", "bias")}
        skipped = outcomes(report, "skipped")
        assert "generator synthesis.b16.conv0.weight" in skipped
        assert "discriminator b16.conv0.weight" in skipped
    assert not outcomes(report, "mismatched")
    theirs = load_tensors(source / "generator.safetensors")
    ours = trainer.generator.state_dict()
    assert torch.equal(ours["synthesis.b8.conv1.weight"], theirs["synthesis.b8.conv1.weight"])
    assert "begin anew: " in report.summary()


def test_other_channels_and_classes(source):
    network = dataclasses.replace(NETWORK, channels=1, c_dim=3)
    _, report = begun(source, network=network)
    mismatched = outcomes(report, "mismatched")
    assert "generator synthesis.b16.torgb.weight" in mismatched
    assert "discriminator b16.fromrgb.weight" in mismatched
    assert "generator mapping.fc0.weight" in mismatched
    assert "generator mapping.embed.weight" in outcomes(report, "missing")
    assert "generator synthesis.b16.conv1.weight" in outcomes(report, "copied")
    assert "16x16 RGB -> 16x16 grey, 3 classes" in report.summary()


def test_the_table_is_said_and_kept(source, data, tmp_path):
    folder, said = tmp_path / "run", []
    fit(tiny(data, kimg=0.004, resume_from=str(source)), folder, say=said.append)
    kept = (folder / run.BEGUN_WITH).read_text()
    assert said[0] in kept and said[0].startswith("began with source@")
    assert "copied      generator synthesis.b16.conv1.weight: 4x4x3x3 -> 4x4x3x3" in kept
    fit(tiny(data, kimg=0.004), folder, fresh=True, say=quiet)
    assert not (folder / run.BEGUN_WITH).exists()
    assert (folder / "before-1" / run.BEGUN_WITH).exists()


def test_what_a_run_began_with_is_not_needed_again(source, data, tmp_path):
    folder, lent = tmp_path / "run", tmp_path / "lent"
    shutil.copytree(source, lent)
    fit(tiny(data, kimg=0.04, resume_from=str(lent)), folder, say=quiet)
    shutil.rmtree(lent)
    said = []
    fit(tiny(data, kimg=0.06, resume_from=str(lent)), folder, say=said.append)
    assert "goes on" in said[0]


def test_a_model_that_a_run_cannot_begin_with_leaves_no_run(source, data, tmp_path):
    folder, lent = tmp_path / "run", tmp_path / "lent"
    shutil.copytree(source, lent)
    other = dataclasses.replace(NETWORK, w_dim=9, z_dim=9, channel_max=3, channel_base=48)
    with pytest.raises(CheckpointError, match=r"nothing of its \w+ fits"):
        fit(tiny(data, network=other, resume_from=str(lent)), folder, say=quiet)
    (lent / "discriminator.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"discriminator.safetensors does not exist"):
        fit(tiny(data, resume_from=str(lent)), folder, say=quiet)
    with pytest.raises(CheckpointError, match="nowhere"):
        fit(tiny(data, resume_from=str(tmp_path / "nowhere")), folder, say=quiet)
    assert fit(tiny(data, kimg=0.02), folder, say=quiet) is Outcome.DONE


def test_weights_that_are_no_numbers_are_refused(source):
    generator = Trainer(tiny("none")).generator
    tensors = load_tensors(source / "generator.safetensors")
    tensors["mapping.fc0.bias"][0] = torch.nan
    with pytest.raises(CheckpointError, match=r"generator mapping.fc0.bias .* not finite"):
        transfer.copy_fitting("generator", generator, tensors)


def test_start_kimg_counts_as_seen(source, data, tmp_path):
    folder = tmp_path / "run"
    config = tiny(data, kimg=0.044, resume_from=str(source), start_kimg=0.02)
    fit(config, folder, say=quiet)
    first = json.loads((folder / run.STATS).read_text().splitlines()[0])
    assert first["Progress/nimg"] == 40 and first["Progress/tick"] == 1
    with pytest.raises(ConfigError, match="start_kimg is for a run that begins with a model"):
        tiny(data, start_kimg=1.0)


def changed(trainer, pictures, steps=3):
    """Names of the parameters that training moved."""
    networks = {"generator": trainer.generator, "discriminator": trainer.discriminator}
    before = {
        f"{kind} {name}": param.clone()
        for kind, network in networks.items()
        for name, param in network.named_parameters()
    }
    config = trainer.config
    reals = batches(pictures, config.seed, 0, config.batch)
    for k in range(steps):
        nimg = k * config.batch
        trainer.step(*next(reals), nimg, Chance(config, pictures, nimg, trainer.device))
    reals.close()
    return {
        f"{kind} {name}"
        for kind, network in networks.items()
        for name, param in network.named_parameters()
        if not torch.equal(param, before[f"{kind} {name}"])
    }


def test_freeze_d_keeps_the_first_layers(source, data):
    trainer, _ = begun(source, freeze_d=2)
    still = set(trainer._frozen)
    layers = ("b16.fromrgb", "b16.conv0")
    assert still == {f"discriminator {x}.{y}" for x in layers for y in ("weight", "bias")}
    moved = changed(trainer, Pictures(data))
    assert not moved & still
    assert "discriminator b16.conv1.weight" in moved and "generator mapping.fc0.weight" in moved


def test_a_frozen_mapping_and_path_lengths(source, data):
    trainer, _ = begun(source, freeze_mapping=True)
    moved = changed(trainer, Pictures(data))
    assert not any(name.startswith("generator mapping") for name in moved)
    assert "generator synthesis.b4.conv1.affine.weight" in moved
    assert trainer.pl_mean.item() > 0


def test_a_frozen_run_goes_on(source, data, tmp_path):
    config = tiny(data, resume_from=str(source), freeze_d=3, freeze_mapping=True)
    for kimg in (0.02, 0.04):
        config = dataclasses.replace(config, kimg=kimg)
        assert fit(config, tmp_path / "run", say=quiet) is Outcome.DONE
    tensors = load_tensors(tmp_path / "run" / "best" / "discriminator.safetensors")
    theirs = load_tensors(source / "discriminator.safetensors")
    assert torch.equal(tensors["b16.conv1.weight"], theirs["b16.conv1.weight"])
    assert not torch.equal(tensors["b16.skip.weight"], theirs["b16.skip.weight"])


def test_freezing_that_makes_no_sense(source):
    with pytest.raises(ConfigError, match="freeze_d is for a run that begins with a model"):
        tiny("none", freeze_d=1)
    with pytest.raises(UserError, match="freeze_d 8 is more than the 7 layers"):
        begun(source, freeze_d=8)
    with pytest.raises(UserError, match=r"b32.fromrgb.weight would keep the random weights"):
        begun(source, freeze_d=1, network=dataclasses.replace(NETWORK, resolution=32))


# The command


def fit_line(data, source, *more):
    line = ["fit", "--data", str(data), "--preset", "tiny", "--batch", "4", "--device", "cpu"]
    return main([*line, "--precision", "float32", "--resume-from", str(source), *more])


def printed(capsys):
    return json.JSONDecoder().raw_decode(capsys.readouterr().out)[0]


def test_the_architecture_is_the_source_s_unless_set(source, data, capsys):
    assert fit_line(data, source, "--dry-run") == 0
    found = printed(capsys)
    network = found["network"]
    assert {k: network[k] for k in ("z_dim", "channel_base", "channel_max", "mapping_layers")} == {
        "z_dim": 8,
        "channel_base": 64,
        "channel_max": 8,
        "mapping_layers": 2,
    }
    assert network["mbstd_group"] == 4 and network["conv_clamp"] is None
    assert (found["ada_kimg"], found["ema_ramp"]) == (100, None)
    flags = ("--network.mapping-layers", "3", "--ada-kimg", "250", "--dry-run")
    assert fit_line(data, source, *flags) == 0
    found = printed(capsys)
    assert (found["network"]["mapping_layers"], found["ada_kimg"]) == (3, 250)


def test_two_phases(source, data, tmp_path, capsys):
    one, two = (str(tmp_path / name) for name in ("phase-1", "phase-2"))
    recipe = ("--freeze-d", "2", "--augpipe", "bgcfnc", "--gamma", "16", "--mirror")
    assert fit_line(data, source, *recipe, "--run", one, "--kimg", "0.008") == 0
    assert fit_line(data, one, "--run", two, "--kimg", "0.004") == 0
    assert "began with 000000.008@" in capsys.readouterr().out
    shutil.rmtree(one)  # the same line goes on without it
    assert fit_line(data, one, "--run", two, "--kimg", "0.008") == 0
    assert "goes on in" in capsys.readouterr().out


def test_a_small_model_grows(source, tmp_path, capsys):
    large = write_pictures(tmp_path / "large.zip", side=32)
    assert fit_line(large, source, "--run", str(tmp_path / "run"), "--kimg", "0.004") == 0
    assert "16x16 RGB -> 32x32 RGB" in capsys.readouterr().out

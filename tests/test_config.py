"""Settings: presets against recorded tables, and values refused in words."""

import dataclasses
import json

import pytest
from golden_io import GOLDEN

from stylegan.config import (
    PRESETS,
    AugmentConfig,
    ConfigError,
    NetworkConfig,
    TrainConfig,
    from_dict,
    preset,
)
from stylegan.networks.synthesis_v2 import block_dtype
from stylegan.training.step import DTYPES

TABLE = json.loads((GOLDEN / "sched_nv_cfg.json").read_text())
ROWS = [dict(zip(TABLE["columns"], row, strict=True)) for row in TABLE["rows"]]


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS if row["cfg"] == "auto"],
    ids=lambda row: f"{row['res']}-{row['gpus']}",
)
def test_auto_against_the_recorded_table(row):
    config = preset("auto", row["res"], 3, 0, row["gpus"])
    network = config.network
    ours = {
        "batch_size": config.batch,
        "mbstd_group_size": network.mbstd_group,
        "channel_base": network.channel_base,
        "channel_max": network.channel_max,
        "map_layers": network.mapping_layers,
        "lr": config.lr,
        "pl_weight": config.pl_weight,
        "style_mixing_prob": config.style_mixing,
        "ema_kimg": config.ema_kimg,
        "ema_rampup": config.ema_ramp,
        "total_kimg": config.kimg,
        "conv_clamp": network.conv_clamp,
        "D_architecture": network.d_architecture,
        "ada_target": config.target,
        "ada_kimg": config.ada_kimg,
        "augment_p": config.p,
        "G_reg_interval": config.g_reg_interval,
        "D_reg_interval": config.d_reg_interval,
        "num_ws": network.num_ws,
        "G_channels": {str(r): network.channels_at(r) for r in network.resolutions},
    }
    assert ours == {name: row[name] for name in ours}
    assert config.gamma == pytest.approx(row["r1_gamma"], rel=1e-12)
    reduced = [
        r
        for r in network.resolutions
        if block_dtype(network, r, DTYPES[config.precision]) is not DTYPES["float32"]
    ]
    assert min(reduced) == row["fp16_resolution"]
    assert (network.z_dim, network.w_dim) == (512, 512)


def test_tiny_is_small_at_any_size():
    config = preset("tiny", 64, 3, 0)
    network = config.network
    assert (network.z_dim, network.channel_base, network.channel_max) == (128, 4096, 128)
    assert (config.batch, network.mbstd_group, network.mapping_layers) == (16, 4, 2)
    assert config.gamma == pytest.approx(0.0002 * 64**2 / 16)
    for resolution in (8, 1024):
        assert preset("tiny", resolution, 1, 5).network.resolution == resolution


def test_an_unknown_preset():
    with pytest.raises(ConfigError, match="there is no preset 'huge'; there are: auto, tiny"):
        preset("huge", 64, 3, 0)
    assert set(PRESETS) == {"auto", "tiny"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"resolution": 48}, "resolution 48 is not a power of two"),
        ({"resolution": 2**30}, "resolution 1073741824 is not a power of two from 8 to 1024"),
        ({"resolution": 64.0}, "resolution 64.0 is not a whole number"),
        ({"resolution": True}, "resolution True is not a whole number"),
        ({"channels": 2}, "channels 2 is not 1 "),
        ({"z_dim": 0}, "z_dim 0 is outside"),
        ({"channel_max": 10**9}, "channel_max 1000000000 is outside"),
        ({"channel_base": 32}, "channel_base 32 is outside 64"),
        ({"architecture": "dense"}, "architecture 'dense' is not one of skip, resnet, orig"),
        ({"conv_clamp": -1}, "conv_clamp -1 is not a positive"),
        ({"conv_clamp": "256"}, "conv_clamp '256' is not a number"),
    ],
)
def test_networks_that_cannot_be(changes, reason):
    with pytest.raises(ConfigError, match=reason):
        NetworkConfig(**changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"batch": 0}, "batch 0 is outside"),
        ({"batch": 30}, "batch 30 is not a multiple of the mbstd group 4"),
        ({"micro_batch": 6}, "micro_batch 6 does not cut the batch 32"),
        ({"micro_batch": 2}, "whole mbstd groups of 4"),
        ({"micro_batch": 8.0}, "micro_batch 8.0 is not a whole number"),
        ({"kimg": 0}, "kimg 0 is not a positive number"),
        ({"minutes": float("nan")}, "minutes nan is not a positive number"),
        ({"lr": float("nan")}, "lr nan is outside"),
        ({"seed": -1}, "seed -1 is outside 0 to 4294967295"),
        ({"seed": 2**32}, "seed 4294967296 is outside"),
        ({"aug": "some"}, "aug 'some' is not one of ada, fixed, none"),
        ({"precision": "int8"}, "precision 'int8' is not one of float32, bfloat16, float16"),
        ({"mirror": 1}, "mirror 1 is not true or false"),
    ],
)
def test_trainings_that_cannot_be(changes, reason):
    with pytest.raises(ConfigError, match=reason):
        TrainConfig(**changes)


def test_settings_from_json():
    config = NetworkConfig(resolution=32, conv_clamp=256)
    assert from_dict(NetworkConfig, dataclasses.asdict(config)) == config
    with pytest.raises(ConfigError, match="unknown setting depth"):
        from_dict(NetworkConfig, {"depth": 3})


def test_rows_and_channels():
    config = NetworkConfig(resolution=1024, channel_base=32768)
    assert config.num_ws == 18
    assert config.resolutions == (4, 8, 16, 32, 64, 128, 256, 512, 1024)
    assert [config.channels_at(r) for r in (4, 64, 128, 1024)] == [512, 512, 256, 32]


def test_strengths_that_cannot_be():
    with pytest.raises(ConfigError, match="xint_max -1 is outside 0 to 1"):
        AugmentConfig(xint_max=-1)

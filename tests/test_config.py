"""Settings: values refused in words."""

import dataclasses

import pytest

from stylegan.config import (
    AugmentConfig,
    ConfigError,
    GrowthConfig,
    NetworkConfig,
    TrainConfig,
    from_dict,
)

V1 = NetworkConfig(resolution=16, style="adain", architecture="growing", d_architecture="growing")


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
        ({"architecture": "growing"}, "a growing generator needs a growing discriminator"),
        ({"d_architecture": "growing-plain"}, "a growing generator needs a growing discr"),
        ({"style": "adain"}, "style adain needs architecture growing"),
        ({"style": "adein"}, "style 'adein' is not one of demodulated, adain, adain-rosinality"),
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
        ({"aug": "some"}, "aug 'some' is not one of ada, fixed, diffaugment, none"),
        ({"aug": "fixed"}, "aug fixed needs a p"),
        ({"policy": "color,cut"}, "policy 'cut' is not one of color, translation, cutout"),
        ({"loss": "hinge"}, "loss 'hinge' is not one of logistic, wgan-gp"),
        ({"drift": -1}, "drift -1 is outside 0"),
        ({"network": V1, "growth": GrowthConfig(start=32)}, "start 32 is above the resolution"),
        ({"network": V1, "growth": GrowthConfig(batches="8:6")}, "batches: 6 at 8 is not a mult"),
        (
            {"network": V1, "batch": 2, "growth": GrowthConfig(batches="8:6")},
            "batches: 6 at 8 is not a multiple of the mbstd group 4",
        ),
        ({"precision": "int8"}, "precision 'int8' is not one of float32, bfloat16, float16"),
        ({"mirror": 1}, "mirror 1 is not true or false"),
    ],
)
def test_trainings_that_cannot_be(changes, reason):
    with pytest.raises(ConfigError, match=reason):
        TrainConfig(**changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"start": 12}, "start 12 is not a power of two from 4"),
        ({"start": 2}, "start 2 is not a power of two from 4"),
        ({"hold_kimg": -1}, "hold_kimg -1 is outside 0"),
        ({"hold_kimg": 0, "fade_kimg": 0}, "both 0, so that nothing could grow"),
        ({"batches": "8=128"}, "batches '8=128' is not resolutions and numbers, such as 8:128"),
        ({"batches": "8:0"}, "batches: 0 at 8 is outside 1"),
        ({"lrs": "8:2"}, "lrs: 2.0 at 8 is outside 0 to 1"),
        ({"lrs": "8:nan"}, "lrs: nan at 8 is outside"),
    ],
)
def test_growth_that_cannot_be(changes, reason):
    with pytest.raises(ConfigError, match=reason):
        GrowthConfig(**changes)


def test_how_many_rows_are_usually_truncated():
    assert V1.usual_cut is None
    assert dataclasses.replace(V1, resolution=64).usual_cut == 8
    assert NetworkConfig(resolution=64).usual_cut is None


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

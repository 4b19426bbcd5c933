"""Flags that nothing would read are named; values that no one gave are not."""

import dataclasses

import pytest

from stylegan.config import AugmentConfig, GrowthConfig, UserError
from stylegan.presets import PRESETS, preset
from stylegan.training.given import check

TINY = preset("tiny", 16, 3, 0)
PIPE, ADA = "--aug ada or fixed", "--aug ada"


@pytest.mark.parametrize(
    ("changes", "flags", "purpose"),
    [
        ({"aug": "none", "p": 0.2}, "--p does", PIPE),
        ({"aug": "diffaugment", "p": 0.2}, "--p does", PIPE),
        ({"aug": "diffaugment", "augpipe": "bgcf"}, "--augpipe does", PIPE),
        ({"aug": "none", "augpipe": "blit", "p": 0.1}, "--augpipe, --p do", PIPE),
        ({"aug": "none", "augment": AugmentConfig(hue_max=0)}, "--augment.hue-max does", PIPE),
        (
            {"augment": AugmentConfig(noise_std=1)},
            "--augment.noise-std does",
            "--augpipe noise, bgcfn,",
        ),
        ({"augment": AugmentConfig(filter_std=2)}, "--augment.filter-std does", "--augpipe filter"),
        ({"aug": "fixed", "p": 0.2, "target": 0.5}, "--target does", ADA),
        ({"aug": "diffaugment", "ada_kimg": 100}, "--ada-kimg does", ADA),
        ({"aug": "none", "ada_interval": 8}, "--ada-interval does", ADA),
        ({"policy": "color"}, "--policy does", "--aug diffaugment"),
        ({"drift": 0.1}, "--drift does", "--loss wgan-gp"),
        ({"pl_weight": 0.0, "pl_batch_shrink": 4}, "--pl-batch-shrink does", "--pl-weight"),
        ({"growth": GrowthConfig(hold_kimg=4)}, "--growth.hold-kimg does", "grow"),
    ],
)
def test_flags_given_in_vain(changes, flags, purpose):
    with pytest.raises(UserError) as caught:
        check(dataclasses.replace(TINY, **changes), TINY)
    assert str(caught.value).startswith(flags) and purpose in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aug": "none", "pl_weight": 0.0},
        {"p": 0.2, "augpipe": "bgcfnc", "target": 0.5, "ada_kimg": 100},
        {"aug": "fixed", "p": 0.2, "augpipe": "noise", "augment": AugmentConfig(noise_std=1)},
        {"aug": "diffaugment", "policy": "color"},
        {"loss": "wgan-gp", "aug": "none", "drift": 0.1},
        {"augpipe": "no such pipe", "augment": AugmentConfig(noise_std=1)},  # named elsewhere
    ],
)
def test_flags_that_are_read(changes):
    check(dataclasses.replace(TINY, **changes), TINY)


@pytest.mark.parametrize("aug", ["ada", "diffaugment", "none"])
@pytest.mark.parametrize("name", PRESETS)
def test_no_preset_gives_in_vain(name, aug):
    for loss in ("logistic", "wgan-gp"):
        usual = preset(name, 16, 3, 0, loss=loss)
        check(usual, usual)
        usual = dataclasses.replace(usual, ada_kimg=100, p=0.1)  # as for starting from a model
        check(dataclasses.replace(usual, aug=aug, loss="logistic"), usual)


def test_ada_needs_scores_whose_sign_says_something():
    config = dataclasses.replace(TINY, loss="wgan-gp")
    with pytest.raises(UserError, match=r"--aug ada .* --loss wgan-gp.*--aug diffaugment"):
        check(config, TINY)
    for aug in ("fixed", "diffaugment", "none"):
        check(dataclasses.replace(config, aug=aug, p=0.2 if aug == "fixed" else 0), TINY)

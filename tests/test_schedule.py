"""Schedules against recorded curves."""

import json

import pytest
from golden_io import GOLDEN

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

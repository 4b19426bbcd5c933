"""Counts, means and deviations, and going on in the middle of a tick."""

import json
import math

import pytest
import torch

from stylegan.training.stats import Tally


def test_mean_and_deviation():
    tally, values = Tally(), torch.randn(3, 100) * 5 + 2
    for part in values:
        tally.add("score", part)
    tally.add("other", 4.0)
    out = tally.finish()
    assert out["score"]["num"] == 300
    assert out["score"]["mean"] == pytest.approx(values.mean().item(), rel=1e-6)
    assert out["score"]["std"] == pytest.approx(values.std(correction=0).item(), rel=1e-6)
    assert out["other"] == {"num": 1, "mean": 4.0, "std": 0.0}
    assert tally.finish() == {}


def test_an_interrupted_tick_goes_on_to_the_bit():
    whole, first, second = Tally(), Tally(), Tally()
    values = torch.randn(10, 7)
    for part in values[:4]:
        whole.add("x", part)
        first.add("x", part)
    saved = json.loads(json.dumps({k: v.tolist() for k, v in first.sums().items()}))
    second.restore({k: torch.tensor(v, dtype=torch.float64) for k, v in saved.items()})
    for part in values[4:]:
        whole.add("x", part)
        second.add("x", part)
    assert whole.finish() == second.finish()


def test_no_bare_nan_reaches_json():
    tally = Tally()
    tally.add("x", torch.tensor([1.0, math.nan]))
    tally.add("y", torch.tensor([1.0, math.inf]))
    out = tally.finish()
    assert out["x"] == {"num": 2, "mean": None, "std": None}
    assert out["y"]["mean"] is None

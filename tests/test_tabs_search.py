from pathlib import Path

import pytest
from PIL import Image

from stylegan.model import load
from stylegan.projector import ProjectConfig, psnr
from stylegan.tabs import search as module
from stylegan.tabs.easel import Easel
from stylegan.tabs.search import Search, lasting
from stylegan.tabs.target import examples

TINY = Path(__file__).parent / "links/tiny-16"


@pytest.fixture(scope="module")
def model():
    return load(TINY)


@pytest.fixture(scope="module")
def target(model):
    return Easel(Image.fromarray(examples(model)[2].picture), "it").target(model.config)


def test_the_first_and_the_last_step_are_always_shown(model, target, monkeypatch):
    monkeypatch.setattr(module, "STEP_SEC", 1e9)
    config = ProjectConfig(steps=12, tune=True, tune_steps=5, every=2)
    search = Search(model, target, config)
    steps = list(search.run())
    assert [(s.stage, s.step) for s in steps] == [("latent", 0), ("tune", 5)]
    assert search.ended == ""
    value = search.value(steps[-1])
    assert value["words"] == "Tuning: step 5 of at most 5" and value["share"] == 1
    assert [at for at, _ in value["curve"]] == [*range(13), *range(12, 18)]
    result = search.result()
    assert psnr(search.frames[-1], result.picture) > psnr(search.frames[0], result.picture)


def test_time_that_is_up_keeps_the_best_so_far(model, target):
    search = Search(model, target, ProjectConfig(steps=1000), most_sec=0)
    (step,) = search.run()
    assert step.step == 0 and "with the best so far" in search.ended
    assert search.result().recipe.w


def test_it_tells_how_far_it_is(model, target, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    search = Search(model, target, ProjectConfig(steps=40, tune=True, tune_steps=60))
    for step in search.run():
        now[0] += 1
        if step.step == 10:
            break
    value = search.value(step)
    assert value["words"] == "Latent: step 10 of at most 40, about 99 s left"
    assert value["share"] == 0.1
    assert lasting(0.2) == "1 s" and lasting(120) == "2 min"


def test_curves_and_journeys_are_thinned_out(model, target, monkeypatch):
    monkeypatch.setattr(module, "MOST_POINTS", 8)
    monkeypatch.setattr(module, "MOST_FRAMES", 4)
    search = Search(model, target, ProjectConfig(steps=33, every=1))
    steps = list(search.run())
    curve = search.curve()
    assert len(curve) <= 9 and curve[0][0] == 0 and curve[-1][0] == steps[-1].step
    assert 4 <= len(search.frames) <= 6

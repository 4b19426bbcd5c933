"""D's scores of pictures that it does not learn from."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from training_data import NETWORK, tiny, write_pictures

from stylegan.config import GrowthConfig, UserError
from stylegan.data import Pictures
from stylegan.networks.ops import to_uint8
from stylegan.tensors import load_tensors
from stylegan.training import validation
from stylegan.training.loop import fit
from stylegan.training.step import Trainer

NAMES = [f"Validation/scores/{kind}" for kind in ("training", "generated", "held_out")]


@pytest.fixture
def data(tmp_path):
    return write_pictures(tmp_path / "discs.zip", 12)


@pytest.fixture
def others(tmp_path):
    return write_pictures(tmp_path / "others.zip", 7, seed=1)


def lines(run):
    return [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]


def scored(config, data):
    """One line of scores of a trainer that has not learned anything yet."""
    pictures = Pictures(data)
    return validation.scores(Trainer(config), pictures, validation.held_out(config, pictures))


def test_scores_stand_in_the_lines_of_snapshots_and_change_nothing_else(data, others, tmp_path):
    with_it, without = tmp_path / "with", tmp_path / "without"
    fit(tiny(data, kimg=0.08, validation=str(others)), with_it, say=str)
    fit(tiny(data, kimg=0.08), without, say=str)
    told = [line for line in lines(with_it) if "Validation/r_v" in line]
    assert [line["Progress/tick"] for line in told] == [2, 4]
    assert all(line[name]["num"] == 6 for line in told for name in NAMES)  # whole mbstd groups
    assert not any("Validation/r_v" in line for line in lines(without))
    a, b = (load_tensors(run / "best" / "generator.safetensors") for run in (with_it, without))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_may_go_on_with_other_held_out_pictures(data, others, tmp_path):
    fit(tiny(data, kimg=0.04), tmp_path / "run", say=str)
    fit(tiny(data, kimg=0.08, validation=str(others)), tmp_path / "run", say=str)
    assert ["Validation/r_v" in line for line in lines(tmp_path / "run")] == [False] * 3 + [True]


def test_r_v_is_0_where_held_out_pictures_score_as_training_pictures_and_1_where_as_fakes(
    data, others
):
    config = tiny(data, validation=str(others))
    pictures, held = Pictures(data), Pictures(others)
    trainer = Trainer(config)
    known = {picture.numpy().tobytes() for picture in pictures.images(range(12))}
    unknown = {picture.numpy().tobytes() for picture in held.images(range(7))}

    def scores_of(bias):
        def scores(images, labels, real=True):
            of = [x.numpy().tobytes() for x in images]
            return torch.tensor([2.0 * (x in known) + bias * (x in unknown) - 1 for x in of])

        return scores

    for bias, r_v in ((2.0, 0.0), (1.0, 0.5), (0.0, 1.0)):
        trainer.scores = scores_of(bias)
        assert validation.scores(trainer, pictures, held)["Validation/r_v"] == pytest.approx(r_v)


def test_without_augmentation_few_pictures_are_learned_by_heart(tmp_path):
    data = write_pictures(tmp_path / "few.zip", 8)
    others = write_pictures(tmp_path / "others.zip", 64, seed=1)
    config = tiny(data, aug="none", kimg=0.5, snap=25, validation=str(others))
    fit(config, tmp_path / "run", say=str)
    line = lines(tmp_path / "run")[-1]
    assert line["Validation/r_v"] > 0.2
    assert line[NAMES[0]]["mean"] > line[NAMES[2]]["mean"] > line[NAMES[1]]["mean"]


def test_the_same_model_gets_the_same_scores_twice(data, others):
    config = tiny(data, validation=str(others))
    assert scored(config, data) == scored(config, data)


def test_growing_pictures_are_scored_at_their_size(data, others):
    network = dataclasses.replace(NETWORK, architecture="growing", d_architecture="growing")
    growth = GrowthConfig(start=8, hold_kimg=1, fade_kimg=1)
    config = tiny(data, network=network, growth=growth, aug="none", validation=str(others))
    line = scored(config, data)
    assert all(line[name]["num"] == 6 for name in NAMES)


def test_generated_pictures_are_faded_once(data):
    network = dataclasses.replace(NETWORK, architecture="growing", d_architecture="growing")
    growth = GrowthConfig(start=8, hold_kimg=1, fade_kimg=1)
    trainer = Trainer(tiny(data, network=network, growth=growth, aug="none"))
    trainer._set_lod(0.5)
    ws = torch.randn(4, network.num_ws, network.w_dim)
    none = torch.zeros(4, 0)
    drawn, whole = (trainer.generator.synthesis(ws, "none", whole=w) for w in (False, True))
    scored = trainer.scores(to_uint8(whole), none, real=False)
    as_in_training = trainer.discriminator(to_uint8(drawn).float() / 127.5 - 1, None, trainer.dtype)
    torch.testing.assert_close(scored, as_in_training)
    assert not torch.allclose(trainer.scores(to_uint8(whole), none), scored)


def test_classes_of_held_out_pictures_may_lack_the_last_ones(tmp_path):
    data = write_pictures(tmp_path / "classes.zip", labels=[i % 3 for i in range(12)])
    held = write_pictures(tmp_path / "held.zip", 4, labels=[0, 1, 0, 1], seed=1)
    config = tiny(data, network=dataclasses.replace(NETWORK, c_dim=3), validation=str(held))
    assert scored(config, data)[NAMES[2]]["num"] == 4


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ({"side": 32}, r"\(32, 3, 0\).*\(16, 3, 0\)"),
        ({"mode": "L"}, r"\(16, 1, 0\)"),
        ({}, "holds the pictures to learn from"),
    ],
)
def test_other_kinds_of_pictures_and_the_same_ones_are_refused(kind, says, data, tmp_path):
    path = write_pictures(tmp_path / "held.zip", 12, **kind)
    with pytest.raises(UserError, match=says):
        fit(tiny(data, validation=str(path)), tmp_path / "run", say=str)
    assert not (tmp_path / "run").exists()


def test_classes_that_the_model_does_not_know_are_refused(tmp_path):
    data = write_pictures(tmp_path / "classes.zip", labels=[i % 2 for i in range(12)])
    held = write_pictures(tmp_path / "held.zip", 4, labels=[0, 1, 2, 3], seed=1)
    config = tiny(data, network=dataclasses.replace(NETWORK, c_dim=2), validation=str(held))
    with pytest.raises(UserError, match="classes"):
        validation.held_out(config, Pictures(data))

"""Numbers that are not finite: counted, named, and the run stopped or taken back."""

from __future__ import annotations

import json

import pytest
import torch
from training_data import tiny, write_pictures

from stylegan.chance import seed_after
from stylegan.config import RunError
from stylegan.data import Pictures
from stylegan.training import guards, loop, run, state
from stylegan.training.guards import Guard, Trouble
from stylegan.training.loop import Outcome, fit
from stylegan.training.stats import Tally
from stylegan.training.step import Chance, Trainer
from train.__main__ import main

FINE, LOST = torch.zeros(5), torch.tensor([0, 0, 0, torch.nan, torch.inf])
LAYOUT = [("generator a", 3), ("generator b", 2)]
ZERO = torch.zeros([])


def quiet(line):
    pass


def steps(guard, *gradients, loss=ZERO):
    for row in gradients:
        guard.see("Gmain", row, loss, LAYOUT)
        guard.see("Dmain", FINE, ZERO, [("discriminator c", 5)])
        guard.end_step()


@pytest.fixture
def guard():
    return Guard(torch.device("cpu"), Tally())


def test_counted_before_they_are_replaced(guard):
    steps(guard, FINE, LOST)
    guard.check()
    found = guard.tally.finish()
    assert found["Guards/nonfinite/Gmain"]["mean"] * 2 == 2
    assert found["Guards/nonfinite/Dmain"]["mean"] == 0


def test_three_steps_running_name_the_tensor(guard):
    steps(guard, LOST, LOST, FINE, LOST, LOST)
    guard.check()
    steps(guard, LOST)
    with pytest.raises(Trouble, match=r"3 steps running .* the gradient of generator b in Gmain"):
        guard.check()


def test_a_streak_goes_on_over_a_saved_state(guard):
    steps(guard, LOST, LOST)
    other = Guard(torch.device("cpu"), Tally())
    other.restore(guard.streak)
    steps(other, LOST)
    with pytest.raises(Trouble, match="3 steps running"):
        other.check()


def test_a_loss_is_named(guard):
    steps(guard, FINE, loss=torch.tensor(torch.inf))
    steps(guard, FINE)
    with pytest.raises(Trouble, match=r"the loss of Gmain is not finite$"):
        guard.check()


# Whole runs


@pytest.fixture
def data(tmp_path):
    return write_pictures(tmp_path / "discs.zip")


def poison(monkeypatch, nimg, seeds):
    """From this place on the discriminator's scores are no numbers, by draws of these seeds."""
    step, logits = loop.Trainer.step, loop.Trainer._logits
    bad = [False]

    def stepped(self, images, labels, seen, chance):
        bad[0] = seen >= nimg and chance.config.seed in seeds
        return step(self, images, labels, seen, chance)

    def scored(self, *args):
        return logits(self, *args) * (torch.nan if bad[0] else 1)

    monkeypatch.setattr(loop.Trainer, "step", stepped)
    monkeypatch.setattr(loop.Trainer, "_logits", scored)


def test_stop_leaves_the_last_good_state(data, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    fit(tiny(data, kimg=0.02), folder, say=quiet)
    poison(monkeypatch, 28, {0})
    with pytest.raises(
        RunError,
        match=r"the loss of Gmain is not finite, .* gradient of generator .*; .* saved at 0.0 kimg",
    ):
        fit(tiny(data, kimg=0.06), folder, say=quiet)
    newest = max(state._saved(folder), key=lambda x: state._age(x[1]))[1]
    assert newest["progress"]["nimg"] == 20
    monkeypatch.undo()
    assert fit(tiny(data, kimg=0.06), folder, say=quiet) is Outcome.DONE


def test_rollback_goes_on_by_other_draws(data, tmp_path, monkeypatch):
    folder, said = tmp_path / "run", []
    poison(monkeypatch, 28, {0, seed_after(0, 1)})
    config = tiny(data, kimg=0.06, on_nan="rollback")
    assert fit(config, folder, say=said.append) is Outcome.DONE
    assert [line for line in said if "by other draws, 2 of 3 times" in line]
    numbers = [json.loads(line) for line in (folder / run.STATS).read_text().splitlines()]
    assert [x["Progress/nimg"] for x in numbers] == [20, 40, 60]
    newest = max(state._saved(folder), key=lambda x: state._age(x[1]))[1]
    assert newest["progress"]["retries"] == 2


def test_rollback_forgets_the_signs_of_the_steps_it_takes_back(data, tmp_path, monkeypatch):
    """Where p is adjusted long after: signs of scores that were no numbers would make it none."""
    folder = tmp_path / "run"
    poison(monkeypatch, 28, {0})
    config = tiny(data, kimg=0.06, on_nan="rollback", ada_interval=4)
    assert fit(config, folder, say=quiet) is Outcome.DONE
    newest = max(state._saved(folder), key=lambda x: state._age(x[1]))[1]
    assert newest["progress"]["retries"] == 1 and 0 <= newest["p"] <= 1


def test_rollback_to_the_beginning_forgets_all_moments(data, tmp_path):
    config, pictures = tiny(data), Pictures(data)
    trainer = Trainer(config)
    state.save(tmp_path, trainer, state.Progress())
    chance = Chance(config, pictures, 0, trainer.device)
    trainer.step(pictures.images(range(4)), pictures.labels(range(4)), 0, chance)
    assert trainer.adam_g.state and trainer.adam_d.state and trainer.signs()[1]
    state.load_latest(tmp_path, trainer)
    assert not trainer.adam_g.state and not trainer.adam_d.state
    assert trainer.signs() == (0.0, 0)


def test_three_rollbacks_at_most(data, tmp_path, monkeypatch, capsys):
    seeds = {seed_after(0, i) for i in range(4)}
    assert len(seeds) == 1 + guards.MOST_RETRIES
    poison(monkeypatch, 8, seeds)
    folder = tmp_path / "run"
    line = ["fit", "--data", str(data), "--preset", "tiny", "--batch", "4", "--device", "cpu"]
    line += ["--precision", "float32", "--kimg", "0.02", "--on-nan", "rollback"]
    assert main([*line, "--run", str(folder)]) == 1
    printed = capsys.readouterr()
    assert "3 of 3 times" in printed.out
    assert "after 3 rollbacks, too" in printed.err and printed.err.count("\n") == 1


def test_seeds_after_a_rollback():
    assert seed_after(7, 0) == 7
    later = [seed_after(7, i) for i in range(4)]
    assert len(set(later)) == 4 and all(0 <= seed < 2**32 for seed in later)

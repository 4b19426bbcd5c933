"""Whole runs: killed and resumed to the bit, stopped politely, refused in words."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from training_data import NETWORK, measured, tiny, write_pictures

from stylegan.atomic import replacing_folder
from stylegan.checkpoint import read_config
from stylegan.config import UserError
from stylegan.data import Pictures
from stylegan.detectors import Published
from stylegan.tensors import load_tensors
from stylegan.training import loop, run, snapshot, state
from stylegan.training.loop import Outcome, fit

KIMG = 0.2
RUNNER = """
import os, signal, sys
from training_data import tiny
from stylegan.training import loop, state
data, folder, kill_at = sys.argv[1], sys.argv[2], int(sys.argv[3])
loop.SAVE_MINUTES = 0
calls, save_tensors, step = 0, state.save_tensors, loop.Trainer.step

def dying(counted, at):
    def call(*args, **kwargs):
        global calls
        calls += 1
        if calls == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return counted(*args, **kwargs)
    return call

if kill_at > 0:
    state.save_tensors = dying(save_tensors, kill_at)
if kill_at < 0:
    loop.Trainer.step = dying(step, -kill_at)
loop.fit(tiny(data, kimg=0.2), folder)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data") / "discs.zip")


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    assert fit(tiny(data, kimg=KIMG), folder, say=quiet) is Outcome.DONE
    return folder


def quiet(line):
    pass


def lines(folder, without=("Timing/", "Resources/")):
    found = [json.loads(line) for line in (folder / run.STATS).read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.startswith(without)} for line in found]


def final_state(folder):
    """Every tensor of the newest state."""
    newest = max(state._saved(folder), key=lambda x: x[1]["progress"]["nimg"])[0]
    return {
        f"{part.stem}.{name}": tensor
        for part in newest.glob("*.safetensors")
        for name, tensor in load_tensors(part).items()
    }


def assert_same_run(a, b):
    left, right = final_state(a), final_state(b)
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert lines(a) == lines(b)
    grids = sorted(p.name for p in (a / "grids").iterdir())
    assert grids == sorted(p.name for p in (b / "grids").iterdir())
    assert all((a / "grids" / g).read_bytes() == (b / "grids" / g).read_bytes() for g in grids)


def run_and_die(data, folder, kill_at):
    """Start or go on in another process; kill_at > 0: in that write of a tensor file; < 0: step."""
    here = Path(__file__).parent
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)])}
    command = [sys.executable, "-c", RUNNER, str(data), str(folder), str(kill_at)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300).returncode


def test_killed_anywhere_it_ends_in_the_same_bits(data, undisturbed, tmp_path):
    """SIGKILL in mid tick, in the middle of writing a state, then left alone."""
    folder = tmp_path / "killed"
    assert run_and_die(data, folder, -14) == -signal.SIGKILL
    assert run_and_die(data, folder, 13) == -signal.SIGKILL
    assert run_and_die(data, folder, 0) == 0
    assert_same_run(undisturbed, folder)


def test_stopped_and_continued_many_times(data, undisturbed, tmp_path, monkeypatch):
    folder, outcomes = tmp_path / "stopped", []
    step, count = loop.Trainer.step, 0

    def interrupted(self, *args):
        nonlocal count
        step(self, *args)
        count += 1
        if count % 7 == 0:
            os.kill(os.getpid(), signal.SIGTERM if count % 2 else signal.SIGINT)

    monkeypatch.setattr(loop.Trainer, "step", interrupted)
    said = []
    while not outcomes or outcomes[-1] is Outcome.STOPPED:
        outcomes.append(fit(tiny(data, kimg=KIMG), folder, say=said.append))
    assert outcomes == [Outcome.STOPPED] * 7 + [Outcome.DONE]
    assert any("the same line goes on from here" in line for line in said)
    assert_same_run(undisturbed, folder)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_finished_run_is_left_as_it_is(data, undisturbed):
    before = final_state(undisturbed)
    assert fit(tiny(data, kimg=KIMG), undisturbed, say=quiet) is Outcome.DONE
    after = final_state(undisturbed)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_larger_budget_goes_on(data, tmp_path):
    folder = tmp_path / "run"
    fit(tiny(data, kimg=0.04), folder, say=quiet)
    said = []
    fit(tiny(data, kimg=0.08), folder, say=said.append)
    assert "goes on" in said[0]
    assert lines(folder)[-1]["Progress/nimg"] == 80


def test_what_a_run_leaves(undisturbed, data):
    config, training = read_config(undisturbed / "best")
    assert config == NETWORK
    assert training["settings"]["batch"] == 4
    assert training["data"]["fingerprint"] == Pictures(data).fingerprint
    grids = sorted(p.name for p in (undisturbed / "grids").iterdir())
    moments = [f"000000.{n:03d}.png" for n in range(40, 201, 40)]
    assert grids == [*moments, "000000.png", "reals.png"]
    assert (undisturbed / "models" / "000000.080" / "samples.png").exists()
    assert list((undisturbed / "events").iterdir())
    line = lines(undisturbed, without=())[-1]
    for name in ("fake", "real"):
        assert {"num", "mean", "std"} == set(line[f"Loss/scores/{name}"])
        assert -1 <= line[f"Loss/signs/{name}"]["mean"] <= 1
    for name in ("G/loss", "D/loss", "r1_penalty", "pl_penalty"):
        assert line[f"Loss/{name}"]["num"] > 0
    assert {"Timing/sec_per_kimg", "Resources/cpu_mem_gib", "Progress/augment_p"} <= set(line)


def test_two_states_are_kept(undisturbed):
    assert all((undisturbed / name / state.STATE).exists() for name in state.FOLDERS)


def test_a_damaged_state_falls_back_to_the_other(data, undisturbed, tmp_path):
    folder = tmp_path / "run"
    fit(tiny(data, kimg=0.08), folder, say=quiet)
    saved = sorted(state._saved(folder), key=lambda x: x[1]["progress"]["nimg"])
    assert len(saved) == 2
    broken = saved[-1][0] / "generator.safetensors"
    broken.write_bytes(broken.read_bytes()[:100])
    fit(tiny(data, kimg=KIMG), folder, say=quiet)
    assert_same_run(undisturbed, folder)


def test_a_full_disk_loses_nothing(data, undisturbed, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    save, count = state.save_tensors, 0

    def full(*args):
        nonlocal count
        count += 1
        if count == 8:
            raise OSError(28, "No space left on device")
        save(*args)

    monkeypatch.setattr(state, "save_tensors", full)
    with pytest.raises(OSError, match="No space left"):
        fit(tiny(data, kimg=KIMG), folder, say=quiet)
    assert not list(folder.glob(".*"))
    monkeypatch.setattr(state, "save_tensors", save)
    fit(tiny(data, kimg=KIMG), folder, say=quiet)
    assert_same_run(undisturbed, folder)


def test_other_settings_are_refused_by_name(data, tmp_path):
    folder = tmp_path / "run"
    fit(tiny(data, kimg=0.02), folder, say=quiet)
    with pytest.raises(UserError, match=r"gamma was 0.05, now 3.0.*--fresh"):
        fit(tiny(data, gamma=3.0, kimg=0.02), folder, say=quiet)
    network = dataclasses.replace(NETWORK, channel_max=4)
    with pytest.raises(UserError, match=r"network.channel_max was 8, now 4"):
        fit(tiny(data, network=network, kimg=0.02), folder, say=quiet)


def test_other_pictures_are_refused_and_moved_ones_are_not(data, tmp_path):
    folder = tmp_path / "run"
    fit(tiny(data, kimg=0.02), folder, say=quiet)
    moved = tmp_path / "moved.zip"
    moved.write_bytes(data.read_bytes())
    assert fit(tiny(moved, kimg=0.04), folder, say=quiet) is Outcome.DONE
    other = write_pictures(tmp_path / "other.zip", n=13)
    with pytest.raises(UserError, match="the pictures of discs have changed"):
        fit(tiny(other, kimg=0.06), folder, say=quiet)


def test_fresh_sets_the_old_run_aside(data, tmp_path):
    folder = tmp_path / "run"
    fit(tiny(data, kimg=0.04), folder, say=quiet)
    fit(tiny(data, gamma=3.0, kimg=0.02), folder, fresh=True, say=quiet)
    assert len(lines(folder)) == 1
    assert len(lines(folder / "before-1")) == 2


def test_one_process_at_a_time(data, tmp_path):
    folder = tmp_path / "run"
    with run.locked(folder), pytest.raises(UserError, match="by another process"):
        fit(tiny(data, kimg=0.02), folder, say=quiet)


def test_settings_from_before_a_setting_existed(data, tmp_path):
    folder = tmp_path / "run"
    fit(tiny(data, kimg=0.02), folder, say=quiet)
    path = folder / run.CONFIG
    noted = json.loads(path.read_text())
    del noted["settings"]["ema_ramp"]
    path.write_text(json.dumps(noted))
    assert fit(tiny(data, kimg=0.04), folder, say=quiet) is Outcome.DONE


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 99}', '{"format": 1}'])
def test_a_damaged_or_newer_config_is_refused(data, tmp_path, text):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / run.CONFIG).write_text(text)
    with pytest.raises(UserError, match=r"config.json (is damaged|was made by a newer)"):
        fit(tiny(data, kimg=0.02), folder, say=quiet)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"augpipe": "everything"}, "there is no augpipe 'everything'"),
        ({"metrics": "beauty"}, "there is no metric 'beauty'"),
        ({"precision": "float16"}, "float16 is for GPUs"),
        ({"device": "abacus"}, "abacus"),
        ({"network": dataclasses.replace(NETWORK, resolution=32)}, "32"),
    ],
)
def test_settings_that_do_not_fit(data, tmp_path, changes, reason):
    folder = tmp_path / "run"
    with pytest.raises(UserError, match=reason):
        fit(tiny(data, kimg=0.02, **changes), folder, say=quiet)
    assert not folder.exists()


def test_minutes_end_a_call(data, tmp_path):
    assert fit(tiny(data, minutes=1e-6), tmp_path / "run", say=quiet) is Outcome.DONE


def test_the_best_model_by_the_first_metric(data, tmp_path):
    folder = tmp_path / "run"
    fit(tiny(data, kimg=0.04, metrics="swd"), folder, say=quiet)
    records = json.loads((folder / "best" / "metrics.json").read_text())
    assert records[0]["metric"] == "swd" and records[0]["n"] == 6
    assert lines(folder)[-1]["Metrics/swd"] == pytest.approx(records[0]["value"])


def test_the_best_model_at_the_end_is_remembered(data, tmp_path, monkeypatch):
    """The last snapshot lies outside of the ticks' own."""
    folder, values = tmp_path / "run", iter([2.0, 1.0, 1.5])
    monkeypatch.setattr(snapshot, "measure", lambda *args, **_: measured("swd", next(values)))
    for kimg, best in ((0.04, "000000.040"), (0.06, "000000.060"), (0.08, "000000.060")):
        fit(tiny(data, kimg=kimg, metrics="swd"), folder, say=quiet)
        assert (folder / "best").resolve().name == best


def test_higher_can_be_better(data, tmp_path, monkeypatch):
    folder, values = tmp_path / "run", iter([0.2, 0.4, 0.3])
    monkeypatch.setattr(
        snapshot, "measure", lambda *args, **_: measured("diversity", next(values), "higher")
    )
    for kimg, best in ((0.04, "000000.040"), (0.06, "000000.060"), (0.08, "000000.060")):
        fit(tiny(data, kimg=kimg, metrics="diversity"), folder, say=quiet)
        assert (folder / "best").resolve().name == best


def test_another_metric_begins_its_own_comparison(data, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    for kimg, metric, value in ((0.04, "swd", 1.0), (0.06, "fid5k_disc", 9.0)):
        monkeypatch.setattr(
            snapshot, "measure", lambda *args, m=metric, v=value, **_: measured(m, v)
        )
        fit(tiny(data, kimg=kimg, metrics=metric), folder, say=quiet)
    assert (folder / "best").resolve().name == "000000.060"


def test_metrics_that_need_no_download_go_on_without_network(data, tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Published, "url", "http://127.0.0.1:9/none")
    folder, said = tmp_path / "run", []
    names = "fid10_full,fid10_disc,kid10_full,diversity,memorisation,swd"
    assert fit(tiny(data, kimg=0.08, metrics=names), folder, say=said.append) is Outcome.DONE
    found = [line for line in lines(folder) if any("Metrics/" in key for key in line)]
    assert len(found) == 2
    for line in found:
        names = [key.removeprefix("Metrics/") for key in line if key.startswith("Metrics/")]
        assert names == ["fid10_disc", "diversity", "memorisation", "swd"]
    assert sum("goes on without fid10_full, kid10_full: " in words for words in said) == 1
    assert (folder / "best" / "memorisation.png").is_file()


def test_a_metric_that_fails_does_not_end_the_run(data, tmp_path, monkeypatch):
    def full(*args, **_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(snapshot, "measure", full)
    folder, said = tmp_path / "run", []
    assert fit(tiny(data, kimg=0.04, metrics="swd"), folder, say=said.append) is Outcome.DONE
    assert any("no metrics of this snapshot" in x and "No space left" in x for x in said)
    assert (folder / "best" / "generator.safetensors").is_file()


def test_trained_from_a_thread(data, tmp_path):
    """Signals belong to the main thread; elsewhere training just runs."""
    outcomes = []
    thread = threading.Thread(
        target=lambda: outcomes.append(fit(tiny(data, kimg=0.02), tmp_path / "run", say=quiet))
    )
    thread.start()
    thread.join()
    assert outcomes == [Outcome.DONE]


def test_a_folder_that_died_while_being_replaced_is_swept(data, tmp_path):
    folder = tmp_path / "run"
    fit(tiny(data, kimg=0.04), folder, say=quiet)
    with pytest.raises(SystemExit), replacing_folder(folder / "state-A"):
        raise SystemExit
    (folder / ".state-A.123.tmp").mkdir()
    (folder / ".stats.123.tmp").write_text("")
    fit(tiny(data, kimg=0.06), folder, say=quiet)
    assert not list(folder.glob(".*"))

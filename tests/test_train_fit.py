"""python -m train fit as people type it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from training_data import write_pictures

from train.__main__ import main

pytestmark = pytest.mark.usefixtures("quick_curves")
ROOT = Path(__file__).parent.parent
SMALL = [
    *("--batch", "4", "--tick-kimg", "0.02", "--device", "cpu", "--precision", "float32"),
    *("--network.channel-base", "64", "--network.channel-max", "8"),
    *("--network.z-dim", "8", "--network.w-dim", "8"),
]


@pytest.fixture
def data(tmp_path):
    return write_pictures(tmp_path / "discs.zip")


def fit(data, *more):
    return main(["fit", "--data", str(data), "--preset", "tiny", *SMALL, *more])


def settings(printed):
    """The JSON that a call prints first."""
    return json.JSONDecoder().raw_decode(printed)[0]


def test_a_dry_run_resolves_the_preset_for_the_data_and_writes_nothing(
    data, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "--data", str(data), "--dry-run"]) == 0
    printed = capsys.readouterr().out
    found = settings(printed)
    assert found["network"]["resolution"] == 16
    assert found["batch"] == 32 and found["kimg"] == 25000
    assert "would train in runs/discs-auto" in printed
    assert not (tmp_path / "runs").exists()


def test_a_flag_beats_the_preset_and_leaves_the_rest(data, capsys):
    assert fit(data, "--gamma", "7", "--mirror", "--augment.scale-std", "0.1", "--dry-run") == 0
    found = settings(capsys.readouterr().out)
    assert (found["gamma"], found["mirror"], found["augment"]["scale_std"]) == (7, True, 0.1)
    assert found["network"]["mapping_layers"] == 2


def test_the_loss_brings_its_penalty_which_flags_beat(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def resolved(*flags):
        assert fit(data, *flags, "--dry-run") == 0
        found = settings(capsys.readouterr().out)
        return [found[name] for name in ("loss", "gamma", "d_reg_interval", "aug")]

    assert resolved() == ["logistic", pytest.approx(0.0002 * 16**2 / 16), 16, "ada"]
    assert resolved("--loss", "wgan-gp") == ["wgan-gp", 10, 0, "none"]
    assert resolved("--loss=wgan-gp", "--gamma", "2") == ["wgan-gp", 2, 0, "none"]
    told = ("--d-reg-interval", "4", "--aug", "diffaugment")
    assert resolved("--loss", "wgan-gp", *told) == ["wgan-gp", 10, 4, "diffaugment"]
    assert fit(data, "--loss", "wgan-gp", "--kimg", "0.02") == 0
    assert fit(data, "--loss", "wgan-gp", "--kimg", "0.04") == 0
    assert "goes on in runs/discs-tiny at 0.0 kimg" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        fit(data, "--loss", "hinge")
    assert "'hinge' for argument '--loss'" in capsys.readouterr().err


def test_flags_that_would_do_nothing_begin_no_run(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for flags in (
        ["--aug", "none", "--p", "0.2"],
        ["--growth.hold-kimg", "4", "--dry-run"],
        ["--loss", "wgan-gp", "--p", "0.2"],
        ["--loss", "wgan-gp", "--aug", "ada"],
        ["--push-every", "2"],
    ):
        assert fit(data, "--kimg", "0.02", *flags) == 2
        said = capsys.readouterr().err
        assert flags[-2 if flags[-1] != "--dry-run" else 0] in said and said.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_run_with_such_flags_goes_on(data, tmp_path, monkeypatch, capsys):
    """Begun before they were refused."""
    monkeypatch.chdir(tmp_path)
    line = ["--aug", "none", "--p", "0.2"]
    with monkeypatch.context() as patch:
        patch.setattr("stylegan.training.given.check", lambda *_: None)
        assert fit(data, *line, "--kimg", "0.02") == 0
    assert fit(data, *line, "--kimg", "0.04") == 0
    assert "goes on in runs/discs-tiny at 0.0 kimg" in capsys.readouterr().out
    assert fit(data, *line, "--kimg", "0.04", "--fresh") == 2
    assert not (tmp_path / "runs/discs-tiny/before-1").exists()


def test_train_resume_refuse(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert fit(data, "--kimg", "0.02") == 0
    run = tmp_path / "runs" / "discs-tiny"
    assert json.loads((run / "config.json").read_text())["settings"]["batch"] == 4
    assert fit(data, "--kimg", "0.04") == 0
    assert "goes on in runs/discs-tiny at 0.0 kimg" in capsys.readouterr().out
    assert fit(data, "--kimg", "0.06", "--gamma", "3") == 2
    said = capsys.readouterr().err
    assert "gamma was" in said and said.count("\n") == 1
    assert fit(data, "--kimg", "0.02", "--gamma", "3", "--fresh") == 0
    assert (run / "before-1" / "config.json").exists()


def test_the_run_has_a_page_and_a_tracker_where_one_is_asked_for(
    data, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert fit(data, "--kimg", "0.02", "--project", "mine") == 2
    assert "--track trackio" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "trackio", None)
    assert fit(data, "--kimg", "0.02", "--track", "trackio") == 2
    assert "pip install trackio" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    opened = []
    silent = SimpleNamespace(log=lambda *x, **y: None, log_artifact=lambda *x, **y: None)
    silent.finish, silent.add_dir = lambda: None, lambda folder: None
    tracker = SimpleNamespace(init=lambda **told: opened.append(told) or silent)
    tracker.Artifact = lambda *x, **y: silent
    monkeypatch.setitem(sys.modules, "trackio", tracker)
    assert fit(data, "--kimg", "0.02", "--track", "trackio", "--track-space", "ann/board") == 0
    assert (opened[0]["project"], opened[0]["space_id"]) == ("discs", "ann/board")
    page = (tmp_path / "runs" / "discs-tiny" / "index.html").read_text()
    assert "done at 0.0 kimg" in page and "trackio:" not in capsys.readouterr().out


def test_classes_and_grey(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    labels = [i % 3 for i in range(12)]
    data = write_pictures(tmp_path / "classes.zip", labels=labels)
    assert fit(data, "--kimg", "0.008", "--run", "with-classes") == 0
    made = json.loads((tmp_path / "with-classes" / "best" / "config.json").read_text())
    assert made["network"]["c_dim"] == 3


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "is not there"),
        (lambda path: path.mkdir(), "holds no pictures"),
        (lambda path: path.write_text("no zip"), "neither a folder nor a zip"),
        (lambda path: (path.mkdir(), _picture(path / "a.png", 16, 16)), "one picture only"),
        (
            lambda path: (
                path.mkdir(),
                _picture(path / "a.png", 16, 16),
                _picture(path / "b.png", 16, 12),
            ),
            "not square",
        ),
        (
            lambda path: (
                path.mkdir(),
                _picture(path / "a.png", 16, 16),
                _picture(path / "b.png", 32, 32),
            ),
            "where the first is",
        ),
        (
            lambda path: (
                path.mkdir(),
                _picture(path / "a.png", 16, 16),
                _picture(path / "b.png", 16, 16),
                (path / "dataset.json").write_text('{"labels": [["a.png", 0]]}'),
            ),
            "has no label in dataset.json",
        ),
    ],
)
def test_data_that_cannot_be_trained_on(tmp_path, monkeypatch, capsys, make, reason):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    make(data)
    assert fit(data, "--kimg", "0.02") == 2
    said = capsys.readouterr().err
    assert reason in said and said.count("\n") == 1 and "Traceback" not in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("flags", [["--seed", "-1"], ["--batch", "6"], ["--preset", "huge"]])
def test_bad_values_are_one_sentence_and_exit_code_2(data, capsys, flags):
    assert main(["fit", "--data", str(data), *flags, "--dry-run"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("train: ") and said.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_hand(data, tmp_path, number):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "train", "fit", "--data", str(data), "--preset", "tiny"]
    command += [*SMALL, "--run", str(run)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("tick 2"):
            os.kill(process.pid, number)
            break
    rest = process.stdout.read()
    assert process.wait(timeout=60) == 75
    assert "all saved; the same line goes on from here" in rest
    assert (run / "state-A" / "state.json").exists()


def _picture(path, width, height):
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(path)

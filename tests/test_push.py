"""Snapshots sent beside a training: in the background, one at a time, and whatever happens."""

import json
import os
import sys
import time

import pytest
from hub_server import variables
from training_data import write_pictures

import stylegan
from stylegan.training.push import LOG, Pusher
from tests.test_train_fit import SMALL
from train.__main__ import main


def line(code):
    """A command that runs a program on the model folder's path, sys.argv[1]."""
    return lambda model: [sys.executable, "-S", "-c", f"import sys, time, os\n{code}", str(model)]


@pytest.fixture
def models(tmp_path):
    """Folders 000001, 000002 ... of a run."""
    for i in range(1, 5):
        (tmp_path / "models" / f"{i:06d}").mkdir(parents=True)
    return sorted((tmp_path / "models").iterdir())


def pusher(tmp_path, code, every=1):
    told = []
    return Pusher(line(code), tmp_path, every, told.append), told


OK = "print('published: at home')"


def test_each_nth_is_sent_and_told(tmp_path, models):
    send, told = pusher(tmp_path, OK, every=2)
    for model in models:
        send(model)
        send._join(60)
    assert told == ["000002 is on the Hub: at home", "000004 is on the Hub: at home"]
    assert send.finish(models[3]) and len(told) == 2, "it is there already"


def test_training_does_not_wait_and_the_newest_goes_next(tmp_path, models):
    go = tmp_path / "go"
    code = f"while not os.path.exists({str(go)!r}): time.sleep(0.02)\n{OK}"
    send, told = pusher(tmp_path, code)
    for model in models:
        send(model)  # returns, or this test never ends
        while send._next is not None and model is models[0]:
            time.sleep(0.01)
    assert told == [f"00000{i} is not sent to the Hub, 00000{i + 1} is newer" for i in (2, 3)]
    go.touch()
    send._join(60)
    assert told[2:] == ["000001 is on the Hub: at home", "000004 is on the Hub: at home"]


def test_the_best_is_sent_last(tmp_path, models):
    send, told = pusher(tmp_path, OK)
    for model in models:
        send(model)
        send._join(60)
    assert send.finish(models[1])
    assert send.sent == models[1] and told[-1] == "000002 is on the Hub: at home"


def test_what_fails_is_told_and_tried_once_more(tmp_path, models):
    send, told = pusher(tmp_path, "sys.exit('train: the Hub is closed')")
    send(models[0])
    assert not send.finish(models[0])
    failures = [text for text in told if "did not reach" in text]
    log = tmp_path / LOG
    assert failures == [
        f"000001 did not reach the Hub: the Hub is closed (more in {log})" for _ in range(3)
    ]


def test_a_command_that_is_not_there_and_one_that_dies(tmp_path, models):
    told = []
    send = Pusher(lambda model: ["/gone"], tmp_path, 1, told.append)
    send(models[0])
    send._join(60)
    assert "000001 did not reach the Hub: [Errno 2]" in told[0]
    send, told = pusher(tmp_path, "os.kill(os.getpid(), 9)")
    send(models[0])
    send._join(60)
    assert "000001 did not reach the Hub: exit code -9" in told[0]


def test_a_push_that_hangs_is_ended(tmp_path, models, monkeypatch):
    monkeypatch.setattr("stylegan.training.push.MOST_SEC", 0.2)
    send, told = pusher(tmp_path, "time.sleep(600)")
    send(models[0])
    send._join(60)
    assert told == ["000001 did not reach the Hub in 0.00333333 minutes"]


def test_it_takes_nothing_from_training(tmp_path, models):
    code = (
        "print('published:', os.nice(0) >= 10 or time.sleep(1) or os.nice(0), os.getsid(0),"
        "os.environ['CUDA_VISIBLE_DEVICES'], os.environ['OMP_NUM_THREADS'], sys.stdin.read())"
    )
    send, told = pusher(tmp_path, code)
    send(models[0])
    send._join(60)
    nice, session, threads = told[0].split(": ")[1].split()
    assert nice in ("True", "10") and int(session) != os.getsid(0) and threads == "1"


# fit


@pytest.fixture
def data(tmp_path):
    return write_pictures(tmp_path / "discs.zip")


def fit(data, *more):
    words = ["fit", "--data", str(data), "--preset", "tiny", *SMALL, "--metrics", "", *more]
    return main([*words, "--run", str(data.parent / "run")])


def test_fit_pushes_its_snapshots(hub, data, tmp_path, monkeypatch, capsys):
    for name, value in variables(hub, tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("stylegan.training.push.NICE", 0)  # the test does wait
    pushed = ["--push-to-hub", "ann/discs", "--license", "cc0-1.0", "--snap", "1"]
    assert fit(data, *pushed, "--kimg", "0.02") == 0
    repo = hub.repos["model", "ann/discs"]
    commit = repo.branches["main"]
    out = capsys.readouterr().out
    assert f"000000.020 is on the Hub: {hub.url}/ann/discs/tree/{commit}" in out
    assert repo.private and repo.tags == {"kimg-000000": commit}
    assert b"license: cc0-1.0" in repo.head()["README.md"]
    assert json.loads(repo.head()["config.json"])["training"]["code"].startswith("stylegan ")
    assert stylegan.load("ann/discs").revision == commit


def test_fit_trains_on_when_the_hub_does_not_answer(hub, data, monkeypatch, capsys):
    hub.fail(".*", ".", 500, times=999)
    for method in ("GET", "POST"):
        hub.fail(method, ".", 500, times=999)
    monkeypatch.setattr(Pusher, "finish", lambda self, best: self._join(0))
    assert fit(data, "--push-to-hub", "ann/discs", "--kimg", "0.02") == 0
    assert "training begins all the same" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("token", "flags", "words"),
    [
        ("hf_nobody", ["--push-to-hub", "ann/discs"], "does not know your token"),
        ("hf_ann_reads", ["--push-to-hub", "ann/discs"], "your token may not do this"),
        ("hf_ann", ["--push-to-hub", "bob/discs"], "your token may not do this"),
        ("hf_ann", ["--push-to-hub", "discs"], "such as ann/discs"),
        ("hf_ann", ["--push-to-hub", "ann/discs@x"], "is not a name on the Hub"),
        ("hf_ann", ["--push-to-hub", "ann/discs", "--push-every", "0"], "less than 1"),
        ("hf_ann", ["--license", "mit"], "needs --push-to-hub"),
    ],
)
def test_what_would_fail_hours_later_is_refused_at_once(
    hub, data, monkeypatch, capsys, token, flags, words
):
    monkeypatch.setenv("HF_TOKEN", token)
    assert fit(data, *flags) == 2
    assert words in capsys.readouterr().err
    assert not (data.parent / "run" / "models").exists()

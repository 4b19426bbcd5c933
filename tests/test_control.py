"""control.json: what a training is asked for while it runs, done once, whatever is in the file."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time

import pytest
import torch
from test_distributed import Meeting, Thread
from test_loop import assert_same_run, lines
from training_data import tiny, write_pictures

from stylegan import control
from stylegan.control import CONTROL, ControlError, Ear, Requests
from stylegan.training import loop
from stylegan.training.loop import Outcome, fit


def quiet(line):
    pass


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data") / "discs.zip")


# The file


def test_asked_withdrawn_and_taken(tmp_path):
    assert control.read(tmp_path) == Requests()
    control.ask(tmp_path, stop=True)
    assert control.ask(tmp_path, snapshot=True) == Requests(snapshot=True, stop=True)
    assert json.loads((tmp_path / CONTROL).read_text()) == {"snapshot": True, "stop": True}
    assert control.take(tmp_path, "snapshot") and not control.take(tmp_path, "snapshot")
    assert control.read(tmp_path) == Requests(stop=True)
    control.ask(tmp_path, stop=False)
    assert not (tmp_path / CONTROL).exists() and not control.take(tmp_path, "stop")


HOSTILE = {
    "half": b'{"snapshot": tr',
    "empty": b"",
    "list": b"[true]",
    "number": b'{"stop": 1}',
    "null": b'{"stop": null}',
    "word": b'{"stop": "true"}',
    "unknown": b'{"stop": true, "delete": true}',
    "markup": b'{"<script>": true}',
    "deep": b"[" * 3000,
    "long": b'{"stop": true}' + b" " * 5000,
    "binary": b"\xff\xfe\x00",
    "huge number": b"9" * 4000,
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_nonsense_is_refused_in_words_and_replaced(tmp_path, content):
    (tmp_path / CONTROL).write_bytes(content)
    with pytest.raises(ControlError, match=r"control\.json (is|has|asks)") as caught:
        control.read(tmp_path)
    assert "\n" not in str(caught.value) and "<" not in str(caught.value)
    assert not control.take(tmp_path, "stop")
    assert control.ask(tmp_path, stop=True) == control.read(tmp_path) == Requests(stop=True)


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / CONTROL)
    with pytest.raises(ControlError, match="no ordinary file"):
        control.read(tmp_path)
    assert control.clear(tmp_path)
    (tmp_path / CONTROL).mkdir()
    with pytest.raises(ControlError, match="no ordinary file"):
        control.read(tmp_path)
    assert not control.clear(tmp_path)
    (tmp_path / CONTROL).rmdir()
    (tmp_path / CONTROL).symlink_to("/etc/hostname")
    with pytest.raises(ControlError, match="no ordinary file"):
        control.read(tmp_path)


def test_an_ear_says_each_nonsense_once(tmp_path):
    said = []
    ear = Ear(tmp_path, said.append)
    assert ear.listen() == Requests() and said == []
    (tmp_path / CONTROL).write_bytes(b'{"snap')
    for _ in range(3):
        assert ear.listen() == Requests()
    (line,) = said
    assert line.endswith("is ignored")
    (tmp_path / CONTROL).write_bytes(b'{"snapshot": true}')
    assert ear.listen() == Requests(snapshot=True) and len(said) == 1
    control.take(tmp_path, "snapshot")
    assert ear.listen() == Requests()


def test_many_who_ask_at_once_lose_nothing(tmp_path):
    """Ten ask to stop while requests for snapshots come and are taken."""
    done = threading.Event()

    def take():
        while not done.is_set():
            control.ask(tmp_path, snapshot=True)
            control.take(tmp_path, "snapshot")
            time.sleep(0.005)

    taker = threading.Thread(target=take)
    taker.start()
    try:
        for _ in range(10):
            control.ask(tmp_path, stop=True)
            assert control.take(tmp_path, "stop")
    finally:
        done.set()
        taker.join()


# Runs that are asked


def asking(monkeypatch, asks):
    """Do something before the step that begins at so many images."""
    step = loop.Trainer.step

    def asked(self, images, labels, nimg, chance):
        if self.group.is_first and nimg in asks:
            asks.pop(nimg)()
        step(self, images, labels, nimg, chance)

    monkeypatch.setattr(loop.Trainer, "step", asked)


def test_a_snapshot_now_and_the_end_after_this_tick(data, tmp_path, monkeypatch):
    folder, said = tmp_path / "run", []
    asks = {
        24: lambda: control.ask(folder, snapshot=True),
        32: lambda: control.ask(folder, stop=True),
    }
    asking(monkeypatch, asks)
    config = tiny(data, kimg=0.06, snap=100, keep=1)
    assert fit(config, folder, say=said.append) is Outcome.STOPPED
    assert [path.name for path in (folder / "models").iterdir()] == ["000000.028-asked"]
    assert (folder / "grids" / "000000.028-asked.png").exists() and not (folder / "best").exists()
    assert [line["Progress/nimg"] for line in lines(folder)] == [20, 40]
    assert not (folder / CONTROL).exists()
    assert sum("snapshot at 0.0 kimg, as asked" in line for line in said) == 1
    assert any("stops at the end of this tick, as asked" in line for line in said)
    assert fit(config, folder, say=said.append) is Outcome.DONE
    names = sorted(path.name for path in (folder / "models").iterdir())
    assert names == ["000000.028-asked", "000000.060"]  # that one stays, whatever --keep says
    assert (folder / "best").resolve().name == "000000.060"

    calm = tmp_path / "calm"
    assert fit(config, calm, say=quiet) is Outcome.DONE
    shutil.rmtree(folder / "models" / "000000.028-asked")
    (folder / "grids" / "000000.028-asked.png").unlink()
    assert_same_run(calm, folder)


def test_a_stop_that_is_withdrawn_and_one_from_before(data, tmp_path, monkeypatch):
    folder, said = tmp_path / "run", []
    folder.mkdir()
    control.ask(folder, stop=True, snapshot=True)
    asks = {
        4: lambda: control.ask(folder, stop=True),
        12: lambda: control.ask(folder, stop=False),
        36: lambda: control.ask(folder, stop=True),  # in the tick that uses up the budget
    }
    asking(monkeypatch, asks)
    assert fit(tiny(data, kimg=0.04), folder, say=said.append) is Outcome.STOPPED
    assert said[0] == "control.json is from before this call; it is dropped"
    assert [line["Progress/nimg"] for line in lines(folder)] == [20, 40]
    assert sum("as asked" in line for line in said) == 1
    assert fit(tiny(data, kimg=0.04), folder, say=said.append) is Outcome.DONE
    assert sum("dropped" in line for line in said) == 1


def test_nonsense_does_not_disturb_a_run(data, tmp_path, monkeypatch):
    folder, said = tmp_path / "run", []
    asks = {
        0: lambda: (folder / CONTROL).write_bytes(b'{"stop": tru'),
        12: lambda: (folder / CONTROL).write_bytes(b'{"stop": "now"}'),
        20: lambda: ((folder / CONTROL).unlink(), (folder / CONTROL).mkdir()),
    }
    asking(monkeypatch, asks)
    assert fit(tiny(data, kimg=0.04), folder, say=said.append) is Outcome.DONE
    assert len(lines(folder)) == 2
    assert sum("it is ignored" in line for line in said) == 3


class Peer(Thread):
    """Its networks are those of the others from the beginning."""

    def share_(self, tensors):
        pass


def test_several_processes_are_asked_together(data, tmp_path, monkeypatch):
    """Two threads in place of two processes: only the first one reads the file."""
    folder, meeting, outcomes = tmp_path / "run", Meeting(2), {}
    asks = {8: lambda: control.ask(folder, snapshot=True, stop=True)}
    asking(monkeypatch, asks)

    def process(rank):
        group = Peer(rank, 2, meeting=meeting)
        config = tiny(data, kimg=0.08)
        pictures = loop.data.Pictures(data)
        training = loop.Training(config, folder, pictures, torch.device("cpu"), group)
        training.say = quiet
        training.begin(fresh=False)
        outcomes[rank] = training.train(loop.Stop())
        training.end(outcomes[rank])

    threads = [threading.Thread(target=process, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == {0: Outcome.STOPPED, 1: Outcome.STOPPED}
    assert [line["Progress/nimg"] for line in lines(folder)] == [20]
    assert not (folder / CONTROL).exists()

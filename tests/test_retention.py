"""Models that stay when there are many: the latest, the best, what a push needs, what grew."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import psutil
import pytest
from training_data import measured, tiny, write_pictures

from stylegan.config import ConfigError
from stylegan.training import run, snapshot, state
from stylegan.training.loop import fit
from stylegan.training.push import ON_ITS_WAY, Push, Pusher, on_its_way


def quiet(line):
    pass


@pytest.fixture
def models(tmp_path):
    """Folders 000001 to 000006 with what a run writes."""
    for i in range(1, 7):
        folder = tmp_path / "models" / f"{i:06d}"
        folder.mkdir(parents=True)
        for name in run.WRITTEN:
            (folder / name).write_text("")
    return sorted((tmp_path / "models").iterdir())


def left(tmp_path):
    return [round(float(path.name), 3) for path in sorted((tmp_path / "models").iterdir())]


def test_the_latest_and_the_best_stay(tmp_path, models):
    run.point_best(tmp_path, models[1])
    run.prune(tmp_path, 2, ())
    assert left(tmp_path) == [2, 5, 6]
    assert (tmp_path / "best" / "config.json").exists()
    run.prune(tmp_path, 9, ())
    assert left(tmp_path) == [2, 5, 6]


def test_names_of_models_of_one_thousand_images(tmp_path):
    """The first one has the short name, the others and those asked for tell the moment."""

    def model(nimg, asked=False):
        at = state.Progress(nimg=nimg)
        folder = snapshot.model_folder(tmp_path, at, asked)
        assert snapshot.model_folder(tmp_path, at, asked) == folder
        folder.mkdir(parents=True, exist_ok=True)
        noted = json.dumps({"training": {"kimg": nimg / 1000}})
        (folder / "config.json").write_text(noted)
        return folder.name

    assert [model(n) for n in (500, 40_064, 40_512, 40_064)] == [
        "000000.500", "000040", "000040.512", "000040",
    ]  # fmt: skip
    assert model(40_064, asked=True) == "000040.064-asked"
    run.prune(tmp_path, 1, ())
    assert {x.name for x in (tmp_path / "models").iterdir()} == {"000040.512", "000040.064-asked"}


def test_what_a_push_needs_and_what_a_person_added_stay(tmp_path, models):
    (models[2] / "encoder.safetensors").write_text("")
    (tmp_path / "models" / "mine").mkdir()
    run.prune(tmp_path, 1, {models[0]})
    names = {path.name for path in (tmp_path / "models").iterdir()}
    assert names == {"000001", "000003", "000006", "mine"}


def test_a_push_names_what_waits_and_what_is_on_its_way(tmp_path, models):
    go = tmp_path / "go"
    code = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)"
    push = Pusher(lambda model: [sys.executable, "-S", "-c", code], tmp_path, say=quiet)
    push(models[0])
    while not (tmp_path / ON_ITS_WAY).exists() or push._next is not None:
        pass
    push(models[1])
    assert push.needs() == {models[0], models[1]}
    assert on_its_way(tmp_path) == {models[0]}  # as a later call would see it
    go.touch()
    push._join(60)
    assert push.needs() == set()


def test_a_process_that_has_another_s_number_is_none(tmp_path):
    me = psutil.Process(os.getpid())
    note = {"model": "000001", "pid": me.pid, "born": me.create_time()}
    (tmp_path / ON_ITS_WAY).write_text(json.dumps(note))
    assert on_its_way(tmp_path) == {tmp_path / "models" / "000001"}
    (tmp_path / ON_ITS_WAY).write_text(json.dumps({**note, "born": 0.0}))
    assert on_its_way(tmp_path) == set()
    over = subprocess.Popen([sys.executable, "-S", "-c", ""])
    over.wait()
    (tmp_path / ON_ITS_WAY).write_text(json.dumps({**note, "pid": over.pid}))
    assert on_its_way(tmp_path) == set()


def test_a_run_keeps_so_many(tmp_path, monkeypatch):
    values = iter([3.0, 1.0, 2.0, 2.0, 2.0])
    monkeypatch.setattr(snapshot, "measure", lambda *args, **_: measured("swd", next(values)))
    data = write_pictures(tmp_path / "discs.zip")
    config = tiny(data, kimg=0.2, metrics="swd", keep=2)

    class Slow(Push):
        def needs(self):
            return {tmp_path / "run" / "models" / "000000.120"}

    fit(config, tmp_path / "run", say=quiet, push=Slow())
    assert left(tmp_path / "run") == [0.08, 0.12, 0.16, 0.2]
    assert (tmp_path / "run" / "best").resolve().name == "000000.080"
    with pytest.raises(ConfigError, match="keep 0 is less than 1"):
        tiny(data, keep=0)

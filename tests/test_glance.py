"""What a page that watches a run shows, from the files of its folder alone."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image

from stylegan import control, glance
from stylegan.glance import Watched, is_training, runs_in
from stylegan.runs import ALERTS, CONFIG, GRIDS, LOCK, STATS

HEALTHY = Path(__file__).parent / "golden/portraits-64-stats.jsonl"


@pytest.fixture
def run(tmp_path):
    """A run of 45 ticks, with grids and an alert that is over and one that is not."""
    folder = tmp_path / "some-run"
    (folder / GRIDS).mkdir(parents=True)
    shutil.copy(HEALTHY, folder / STATS)
    settings = {"preset": "tiny", "aug": "ada", "target": 0.6, "gamma": 7.0, "kimg": 500.0}
    settings["network"] = {"resolution": 64, "channels": 3, "c_dim": 0}
    data = {"name": "faces", "pictures": 828, "fingerprint": "ab"}
    (folder / CONFIG).write_text(json.dumps({"settings": settings, "data": data}))
    for kimg in (0, 20, 40):
        Image.new("RGB", (16, 16), (kimg, 0, 0)).save(folder / GRIDS / f"{kimg:06d}.png")
    Image.new("RGB", (16, 16)).save(folder / GRIDS / "reals.png")
    told = {"seen": "s", "means": "m", "advice": "a"}
    events = [
        {"kimg": 8.0, "alert": "starving", "state": "begins", **told},
        {"kimg": 20.0, "alert": "plateau", "state": "begins", **told},
        {"kimg": 24.0, "alert": "starving", "state": "ends"},
        {"kimg": 28.0, "alert": "collapse", "state": "begins", **told},
    ]
    (folder / ALERTS).write_text("".join(json.dumps(event) + "\n" for event in events))
    return folder


def test_all_of_it_is_json(run):
    seen = Watched(run).look()
    assert set(seen) == {"status", "alerts", "frames", "curves", "settings"}
    assert json.loads(json.dumps(seen, allow_nan=False))["status"]["name"] == "some-run"


def test_status(run):
    status = Watched(run).look()["status"]
    assert status["state"] == glance.RESTING and status["asked"] == []
    numbers = dict(status["numbers"])
    assert numbers["kimg"] == "180.0 of 500" and numbers["p"] == "0.368"
    assert numbers["swd"] == "21.5 at 180.0 kimg" and numbers["hours"] == "2.69"
    assert status["at"] == (run / STATS).stat().st_mtime
    assert status["late_sec"] == pytest.approx(3 * status["tick_sec"])


def test_a_run_whose_budget_is_used_up(run):
    line = json.loads((run / STATS).read_text().splitlines()[-1])
    with (run / STATS).open("a") as file:
        file.write(json.dumps({**line, "Progress/kimg": 184.0, "Timing/left_sec": 0}) + "\n")
    assert Watched(run).look()["status"]["state"] == glance.DONE


def test_the_lock_tells_whether_it_is_trained(run):
    assert not is_training(run)
    lock = FileLock(run / LOCK)
    with lock:
        assert is_training(run) and is_training(run)
        status = Watched(run).look()["status"]
        assert status["state"] == glance.TRAINING
    assert not is_training(run)


def test_looking_leaves_the_folder_as_it_is(run):
    FileLock(run / LOCK).acquire().lock.release()
    before = {path: path.stat().st_mtime_ns for path in [run, *run.rglob("*")]}
    is_training(run)
    Watched(run).look()
    assert {path: path.stat().st_mtime_ns for path in [run, *run.rglob("*")]} == before


def test_what_is_asked_for_is_seen_by_all(run):
    control.ask(run, stop=True)
    assert Watched(run).look()["status"]["asked"] == ["stop"]
    (run / control.CONTROL).write_text("{")
    assert Watched(run).look()["status"]["asked"] == []


def test_alerts_stand_first(run):
    alerts = glance.alerts(run)
    assert [(a["kind"], a["from"], a["until"]) for a in alerts] == [
        ("collapse", 28.0, None),
        ("plateau", 20.0, None),
        ("starving", 8.0, 24.0),
    ]
    assert alerts[0]["seen"] == "s" and alerts[0]["advice"] == "a"


def test_alerts_that_make_no_sense(run):
    (run / ALERTS).write_text('{"alert": 3}\nnonsense\n[]\n{"alert": "x", "state": "ends"}\n')
    assert glance.alerts(run) == []


def test_frames_change_when_a_file_does(run):
    frames = Watched(run).look()["frames"]
    assert [frame[0] for frame in frames["frames"]] == ["0 kimg", "20 kimg", "40 kimg"]
    assert frames["reals"][0].endswith("reals.png") and frames["side"] == 64
    os.utime(run / GRIDS / "000040.png", (1, 1))
    after = Watched(run).look()["frames"]
    assert after["frames"][:2] == frames["frames"][:2]
    assert after["frames"][2] != frames["frames"][2]


def test_curves(run):
    panels = {panel["title"]: panel for panel in Watched(run).look()["curves"]["panels"]}
    assert {"swd", "scores", "r_t and p", "losses", "penalties", "images a second"} <= set(panels)
    (swd,) = panels["swd"]["lines"]
    assert len(swd["mean"]) == len(swd["kimg"]) == 9 and swd["mean"][0] == 28.992
    assert panels["r_t and p"]["rule"] == {"label": "target", "at": 0.6}
    assert panels["swd"]["rule"] is None and panels["swd"]["dots"]
    real, fake = panels["scores"]["lines"]
    assert len(real["std"]) == 45 and real["colour"] != fake["colour"]


def test_long_curves_are_thinned(run, monkeypatch):
    monkeypatch.setattr(glance, "MOST_POINTS", 10)
    panels = {panel["title"]: panel for panel in Watched(run).look()["curves"]["panels"]}
    real = panels["scores"]["lines"][0]
    assert len(real["mean"]) == len(real["kimg"]) == 9
    assert real["kimg"][0] == pytest.approx((4 + 8 + 12 + 16 + 20) / 5)


def test_settings_other_than_the_preset(run):
    settings = Watched(run).look()["settings"]
    rows = {row["name"]: row for row in settings["rows"]}
    assert rows["gamma"]["value"] == "7" and rows["gamma"]["usual"]
    assert rows["target"]["usual"] == "" and rows["kimg"]["usual"] == ""
    assert settings["preset"] == "tiny" and "828" in settings["data"]


def test_a_run_that_is_not_begun_then_begins(tmp_path, run):
    watched = Watched(tmp_path / "new")
    assert watched.look()["status"] == {"name": "new", "state": glance.EMPTY, "asked": []}
    assert watched.look()["curves"] == {}
    run.rename(tmp_path / "new")
    watched.forget()
    assert dict(watched.look()["status"]["numbers"])["kimg"].startswith("180.0")


def test_a_run_that_is_resumed_from_before(run):
    watched = Watched(run)
    watched.look()
    lines = (run / STATS).read_text().splitlines(keepends=True)
    (run / STATS).write_text("".join(lines[:10]))
    watched.forget()
    assert dict(watched.look()["status"]["numbers"])["kimg"].startswith("40.0")


@pytest.mark.parametrize("network", [None, [], "x", {"resolution": "y"}])
def test_a_config_that_makes_no_sense(run, network):
    (run / CONFIG).write_text(json.dumps({"settings": {"preset": 3, "network": network}}))
    seen = Watched(run).look()
    assert seen["curves"]["panels"] and seen["settings"]["rows"]


def test_runs_in_a_folder_newest_first(run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    (tmp_path / "no-run").mkdir()
    os.utime(run / STATS, (1000, 1000))
    assert runs_in(tmp_path) == [other, run]
    assert runs_in(run) == [run]
    assert runs_in(tmp_path / "nothing") == [tmp_path / "nothing"]
    assert runs_in(tmp_path / "no-run") == [tmp_path / "no-run"]

"""Run folders as they are met: growing, cut back, old, incomplete, damaged, or no run at all."""

import json
import math

import pytest
from training_data import tiny, write_pictures

from stylegan.config import UserError
from stylegan.runs import Stats, flat, is_run, labels_of, read_run
from stylegan.training.loop import fit


def tick(kimg, **more):
    """A line of stats.jsonl as an early version wrote it."""
    line = {"Progress/kimg": kimg, "Timing/total_sec": kimg * 36, **more}
    return json.dumps(line) + "\n"


def real(mean, std=0.5):
    return {"Loss/scores/real": {"num": 8, "mean": mean, "std": std}}


@pytest.fixture
def folder(tmp_path):
    """An unfinished run without models."""
    run = tmp_path / "a run"
    (run / "grids").mkdir(parents=True)
    settings = {"preset": "tiny", "batch": 4, "network": {"resolution": 16}}
    told = {"format": 1, "settings": settings, "data": {"name": "discs", "pictures": 12}}
    (run / "config.json").write_text(json.dumps(told))
    (run / "stats.jsonl").write_text(tick(1.0, **real(2.0)) + tick(2.0, **real(3.0)))
    for name in ("000000.png", "000002.png", "reals.png", "mine.png", ".000002.png.7.tmp"):
        (run / "grids" / name).touch()
    return run


def test_a_run_that_fit_wrote(tmp_path):
    config = tiny(
        write_pictures(tmp_path / "discs.zip"), kimg=0.08, metrics="swd", precision="float32"
    )
    fit(config, tmp_path / "run", say=lambda text: None)
    run = read_run(tmp_path / "run")
    assert run.name == "run" and run.settings["preset"] == "tiny"
    assert run.data["name"] == "discs" and run.data["pictures"] == 12
    assert [line["Progress/tick"] for line in run.lines] == [1, 2, 3, 4]
    assert run.kimg == pytest.approx(0.08)
    assert run.reals.name == "reals.png" and [grid.kimg for grid in run.grids] == [0, 0.04, 0.08]
    assert run.best in run.models and run.best.kimg in (0.04, 0.08)
    swd, floor = run.metric("swd"), run.floor("swd")
    assert run.metrics == ("swd",) and len(swd) == 2
    assert swd.last == run.record("swd")["value"] and floor > 0
    signs = run.series("Loss/signs/real")
    assert signs.kimg == pytest.approx((0.02, 0.04, 0.06, 0.08))
    assert all(-1 <= x <= 1 for x in signs.mean) and all(x >= 0 for x in signs.std)
    cost = run.cost
    assert cost.kimg == pytest.approx(0.08) and "cpu" in cost.device and cost.cpu_mem_gib > 0
    assert cost.sec_per_kimg == pytest.approx(cost.hours * 3600 / 0.08)
    assert run.begun_with == "" and run.prepared == {}


def test_half_a_line_waits_until_it_is_whole(folder):
    stats = Stats(folder / "stats.jsonl")
    assert stats.read() and len(stats.lines) == 2
    assert not stats.read()
    line = tick(3.0, **real(4.0))
    with stats.path.open("a") as file:
        file.write(line[:20])
        file.flush()
        assert not stats.read() and len(stats.lines) == 2
        file.write(line[20:])
    assert stats.read() and len(stats.lines) == 3
    assert read_run(folder, stats).series("Loss/scores/real").mean == (2.0, 3.0, 4.0)


def test_a_file_cut_back_and_grown_again_is_read_anew(folder):
    stats = Stats(folder / "stats.jsonl")
    stats.read()
    stats.path.write_text(tick(1.0, **real(2.0)))
    assert stats.read() and len(stats.lines) == 1
    stats.path.write_text(tick(1.0, **real(2.0)) + tick(2.0, **real(9.0)) + tick(3.0, **real(9.5)))
    assert stats.read()
    assert read_run(folder, stats).series("Loss/scores/real").mean == (2.0, 9.0, 9.5)
    before = stats.path.read_text()  # as long as before, with another last line
    stats.path.write_text(before.replace("9.5", "7.5"))
    assert stats.read() and read_run(folder, stats).series("Loss/scores/real").last == 7.5
    stats.path.unlink()
    assert stats.read() and stats.lines == []
    assert not stats.read()


def test_what_was_trained_again_takes_the_place_of_what_was_before(folder):
    with (folder / "stats.jsonl").open("a") as file:
        file.write(tick(1.5, **real(8.0)) + tick(3.0, **real(9.0)))
    scores = read_run(folder).series("Loss/scores/real")
    assert scores.kimg == (1.0, 1.5, 3.0) and scores.mean == (2.0, 8.0, 9.0)


def test_what_is_no_tick_is_passed_over(folder):
    with (folder / "stats.jsonl").open("ab") as file:
        file.write(b'[1, 2]\n\xff\xfe\n\n{"Progress/kimg": "many"}\n{"other": 1}\n' + b"[" * 9999)
        file.write(b'\n{"Progress/nimg": 4000, "Loss/scores/real": {"mean": null}}\n')
    run = read_run(folder)
    scores = run.series("Loss/scores/real")
    assert scores.kimg == (1.0, 2.0, 4.0) and run.kimg == 4.0
    assert scores.mean[:2] == (2.0, 3.0) and math.isnan(scores.last)
    assert math.isnan(scores.hours[2]) and scores.hours[:2] == (0.01, 0.02)
    assert len(run.series("Loss/r1_penalty")) == 0 and math.isnan(run.series("no").last)


def test_a_run_that_has_just_begun(folder):
    (folder / "stats.jsonl").unlink()
    run = read_run(folder)
    assert run.lines == () and run.kimg == 0 and run.names == ()
    assert [grid.kimg for grid in run.grids] == [0, 2] and run.grid_at(1.4).kimg == 2
    assert run.models == () and run.best is None
    assert math.isnan(run.cost.hours) and run.cost.device == ""
    assert math.isnan(run.floor("swd"))


def test_a_run_without_readable_settings_still_has_curves(folder):
    (folder / "config.json").write_text("{")
    run = read_run(folder)
    assert run.settings == {} and run.data == {} and len(run.lines) == 2


def test_files_of_a_model_may_be_damaged_or_missing(folder):
    for name, metrics in (("000001", '[{"metric": "swd", "floor": 2}, 7]'), ("000002", "{")):
        model = folder / "models" / name
        model.mkdir(parents=True)
        (model / "metrics.json").write_text(metrics)
    (folder / "models" / "notes.txt").touch()
    (folder / "best").symlink_to("models/000001", target_is_directory=True)
    run = read_run(folder)
    assert [model.kimg for model in run.models] == [1, 2] and run.models[1].records == ()
    assert run.best == run.models[0] and run.floor("swd") == 2
    (folder / "best").unlink()
    assert read_run(folder).best is None


def test_images_of_a_model_begun_with_cost_nothing(folder):
    told = json.loads((folder / "config.json").read_text())
    told["settings"]["start_kimg"] = 0.5
    (folder / "config.json").write_text(json.dumps(told))
    assert read_run(folder).cost.kimg == 1.5
    (folder / "stats.jsonl").unlink()
    assert read_run(folder).kimg == 0.5


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("not there", "there is no folder"),
        ("a run/stats.jsonl", "is a file, not the folder of a run"),
        ("a run/models/000002", "is one model of a run; name the run"),
        ("a run/best", "is one model of a run; name the run"),
        ("", "is no run, but holds some: a run"),
        ("a run/grids", "is no run: it has neither"),
    ],
)
def test_folders_that_are_no_run_say_what_they_are(folder, place, reason):
    (folder / "models" / "000002").mkdir(parents=True)
    (folder / "best").symlink_to("models/000002", target_is_directory=True)
    with pytest.raises(UserError, match=reason):
        read_run(folder.parent / place)


def test_is_run(folder):
    assert is_run(folder) and not is_run(folder.parent)


def test_names_that_tell_runs_apart(tmp_path):
    folders = [tmp_path / name for name in ("a/x", "b/x", "b/y")]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "stats.jsonl").write_text(tick(1.0))
    runs = [read_run(folder) for folder in folders]
    assert labels_of(runs[1:]) == ["x", "y"]
    assert labels_of(runs) == ["a/x", "b/x", "b/y"]
    assert labels_of(runs[:1]) == ["x"] and labels_of([]) == []


def test_settings_by_path():
    assert flat({"a": 1, "network": {"b": 2}}) == {"a": 1, "network.b": 2}

"""What runs differ in and what they reached, from any ticks."""

import pytest
from written_runs import SETTINGS, tick, write_run

from stylegan.comparison import (
    common_kimg,
    differing,
    number,
    reached,
    read_runs,
    same_data,
    table,
    winner,
)
from stylegan.config import UserError
from stylegan.runs import read_run


def run(folder, values=(), name="run", **more):
    lines = [tick(k, swd=value) for k, value in enumerate(values, 1)]
    return read_run(write_run(folder / name, lines, **more))


def test_settings_that_differ_by_path(tmp_path):
    one = run(tmp_path, [3], "a", settings={**SETTINGS, "mirror": True, "lr": 0.002})
    two = run(
        tmp_path,
        [3],
        "b",
        settings={**SETTINGS, "mirror": False, "network": {"c_dim": 3}, "lr": 2e-3},
    )
    assert differing([one, two]) == {"mirror": ["yes", "no"], "network.c_dim": ["0", "3"]}
    assert differing([one]) == {}


def test_what_an_older_version_did_not_know_is_the_default(tmp_path):
    old, new = (
        run(tmp_path, [3], "old"),
        run(tmp_path, [3], "new", settings={**SETTINGS, "loss": "logistic", "freeze_d": 2}),
    )
    assert differing([old, new]) == {"freeze_d": ["0", "2"]}


def test_other_data_is_a_difference_and_said(tmp_path):
    one, two = run(tmp_path, [3], "a"), run(tmp_path, [3], "b")
    assert same_data([one, two]) and "different pictures" not in table([one, two])
    config = two.folder / "config.json"
    config.write_text(config.read_text().replace("f" * 32, "e" * 32))
    two = read_run(two.folder)
    assert not same_data([one, two]) and list(differing([one, two])) == ["data.fingerprint"]
    assert "different pictures, or some with --mirror, so that" in table([one, two])
    three = run(tmp_path, [3], "c", settings={**SETTINGS, "mirror": True})
    assert not same_data([one, three])


def test_best_and_last_with_their_moments(tmp_path):
    (found,) = reached([run(tmp_path, [5, 3, 4], floor=2.5)])["swd"]
    assert (found.best.value, found.best.kimg) == (3, 2)
    assert found.best.hours == pytest.approx(0.02)
    assert (found.last.value, found.last.kimg, found.floor) == (4, 3, 2.5)


def test_of_some_metrics_the_highest_is_best(tmp_path):
    folders = [
        write_run(
            tmp_path / name, [tick(k, **{"Metrics/is50k": v}) for k, v in enumerate(values, 1)]
        )
        for name, values in (("a", (5.0, 9.0, 7.0)), ("b", (8.0, 2.0)))
    ]
    found = reached(read_runs(folders))["is50k"]
    assert [row.best.value for row in found] == [9, 8]
    assert winner("is50k", found).run == "a"


def test_runs_of_different_metrics(tmp_path):
    one, none = run(tmp_path, [5, 3], "a"), run(tmp_path, [None], "b")
    rows = reached([one, none])["swd"]
    assert rows[1].best is None and rows[1].last is None
    assert winner("swd", rows) is rows[0]
    said = table([one, none]).splitlines()
    assert said[-3].split() == ["b", "-", "-", "-", "-", "-"]
    assert said[-1] == "settings and data are the same in all of them"


def test_the_table_for_a_terminal(tmp_path):
    one = run(tmp_path, [5, 3], "a\x1b[31m", floor=1.5, settings={**SETTINGS, "batch": 8})
    two = run(tmp_path, [6], "b")
    said = table([one, two])
    assert "\x1b" not in said and r"\x1b[31m" in said
    assert [line.split() for line in said.splitlines() if line.startswith("b")] == [
        ["b", "1.0", "0.01", "36.0"],
        ["b", "6.00", "1.0", "0.01", "6.00", "-"],
        ["batch", "8", "4"],
    ]
    assert "settings" not in table([two])


def test_runs_that_have_just_begun(tmp_path):
    said = table([run(tmp_path, [], "a"), run(tmp_path, [1], "b")])
    assert "nan" not in said and said.splitlines()[1].split() == ["a", "0.0", "-", "-"]


def test_the_last_moment_of_all(tmp_path):
    assert common_kimg([run(tmp_path, [1, 1, 1], "a"), run(tmp_path, [1, 1], "b")]) == 2


def test_a_run_named_twice(tmp_path):
    place = write_run(tmp_path / "a", [tick(1)])
    with pytest.raises(UserError, match="is named twice"):
        read_runs([place, tmp_path / "a" / ".." / "a"])


def test_numbers_for_people():
    assert [number(x) for x in (float("nan"), 12345.678, 0.0, -3.0)] == [
        "-",
        "12,345.68",
        "0.00",
        "-3.00",
    ]
    assert [number(0.0041234), number(0.02, 1), number(12.25, 0)] == ["0.00412", "0.02", "12"]

"""python -m train compare as people type it."""

import pytest
from PIL import Image
from written_runs import SETTINGS, tick, write_run

from train.__main__ import main


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, batch in (("one", 4), ("two", 8)):
        lines = [tick(k, swd=10.0 / k) for k in (1, 2)]
        settings = {**SETTINGS, "batch": batch}
        write_run(tmp_path / "runs" / name, lines, settings, floor=2.0, grids=(0, 1, 2))
    return tmp_path / "runs"


def test_a_page_and_a_table(runs, capsys):
    assert main(["compare", "runs/one", "runs/two"]) == 0
    said = capsys.readouterr().out
    assert "batch" in said and said.endswith("\nwritten: compare.html\n")
    page = (runs.parent / "compare.html").read_text()
    assert page.count("<img ") == 2 * 6 + 2  # panels over kimg and hours, a grid of each


def test_curves_alone(runs, capsys):
    line = ["compare", "runs/one", "runs/two", "--report", "a/b.html", "--png", "c/curves.png"]
    assert main([*line, "--axis", "hours"]) == 0
    assert Image.open(runs.parent / "c" / "curves.png").width > 1000
    assert (runs.parent / "a" / "b.html").exists()
    assert "written: c/curves.png" in capsys.readouterr().out


def test_of_one_run_its_own_page(runs, capsys):
    assert main(["compare", "runs/one"]) == 0
    assert (runs / "one" / "index.html").exists()
    assert "written: runs/one/index.html" in capsys.readouterr().out
    assert main(["compare", "runs/one", "--report", "mine.html"]) == 0
    assert (runs.parent / "mine.html").exists()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ([], "name a run, or several"),
        (["runs"], "is no run, but holds some: one, two"),
        (["runs/three"], "there is no folder runs/three"),
        (["runs/one", "runs/one"], "runs/one is named twice"),
        (["runs/one", "--report", "page.txt"], "page.txt does not end in .html"),
        (["runs/one", "--png", "page.jpg"], "page.jpg is neither a .png nor a .svg"),
        (["runs/one", "--report", "folder.html"], "folder.html is a folder"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(runs, capsys, line, reason):
    (runs.parent / "folder.html").mkdir()
    assert main(["compare", *line]) == 2
    said = capsys.readouterr().err
    assert reason in said and said.count("\n") == 1
    assert not (runs.parent / "compare.html").exists()

"""The page on which a run is watched: what it answers, and what it writes."""

from __future__ import annotations

import inspect
import json
import socket

import gradio as gr
import pytest
from filelock import FileLock
from written_runs import tick, write_run

from stylegan import control
from stylegan.control import CONTROL, Requests
from stylegan.runs import LOCK
from stylegan.tabs import watch
from stylegan.tabs.watch import WatchPage
from train.__main__ import main


@pytest.fixture
def folder(tmp_path):
    return write_run(tmp_path / "run", [tick(4.0), tick(8.0, swd=9.0)], grids=(0, 8))


@pytest.fixture
def page(folder):
    page = WatchPage(folder)
    page.build()
    return page


@pytest.fixture
def trained(folder):
    """Somebody trains it."""
    lock = FileLock(folder / LOCK)
    with lock:
        yield folder


def touched(page, outputs):
    """Names of the parts that are set anew."""
    return {name for name, part in page.parts.items() if part in outputs}


def looked(page, seen, name="run"):
    page.watched[name].forget()
    outputs = page._look(name, seen)
    new = outputs[page.seen]
    return outputs, seen if isinstance(new, dict) and "__type__" in new else new


def test_only_what_changes_is_sent(page, folder):
    outputs, seen = looked(page, {})
    assert touched(page, outputs) == set(page.parts)
    outputs, seen = looked(page, seen)
    assert touched(page, outputs) == set()
    write_run(folder, [tick(4.0), tick(8.0, swd=9.0), tick(12.0)])
    outputs, seen = looked(page, seen)
    assert touched(page, outputs) == {"status", "curves"}
    with FileLock(folder / LOCK):
        outputs, _ = looked(page, seen)
    assert touched(page, outputs) == {"status"}


def test_pictures_are_served_from_the_folder_itself(page, folder):
    outputs, _ = looked(page, {})
    value = outputs[page.parts["frames"]]
    assert [frame["label"] for frame in value["frames"]] == ["0 kimg", "8 kimg"]
    assert value["frames"][1]["file"]["path"] == str(folder / "grids" / "000008.png")
    assert gr.utils.is_static_file(value["reals"]["file"]["path"])
    assert not gr.utils.is_static_file(str(folder / "config.json"))


def test_buttons_write_requests_and_take_them_back(page, trained):
    ask = page._ask("snapshot")("run", {})
    assert control.read(trained) == Requests(snapshot=True)
    assert ask[page.snapshot].interactive is False
    ask = page._ask("stop")("run", {})
    assert control.read(trained) == Requests(snapshot=True, stop=True)
    assert ask[page.stop].value == "Do not stop"
    page._ask("stop")("run", {})
    assert control.read(trained) == Requests(snapshot=True)
    other = WatchPage(trained)
    other.build()
    assert other._look("run", {})[other.parts["status"]]["asked"] == ["snapshot"]


def test_nobody_is_asked_where_nobody_trains(page, folder):
    outputs = page._ask("stop")("run", {})
    assert "not being trained" in outputs[page.notes][0]
    assert not (folder / CONTROL).exists()
    assert outputs[page.stop].interactive is False


def test_what_cannot_be_asked_is_said(page, trained):
    (trained / CONTROL).mkdir()
    (trained / CONTROL / "x").mkdir()
    outputs = page._ask("snapshot")("run", {})
    assert "control.json cannot be written" in outputs[page.notes][0]


def test_a_run_that_is_not_there_yet(tmp_path):
    page = WatchPage(tmp_path / "new")
    page.build()
    outputs, seen = looked(page, {}, "new")
    assert outputs[page.parts["status"]]["state"] == "empty"
    write_run(tmp_path / "new", [tick(4.0)], grids=(0,))
    outputs, _ = looked(page, seen, "new")
    assert touched(page, outputs) == {"status", "frames", "curves", "settings"}


def test_a_folder_of_runs(folder, tmp_path):
    write_run(tmp_path / "other", [tick(2.0)])
    page = WatchPage(tmp_path)
    page.build()
    assert set(page.watched) == {"run", "other"}
    write_run(tmp_path / "third", [tick(1.0)])
    outputs = page._load()
    assert outputs[page.run].value == "third"
    assert page._chosen("other")[page.parts["status"]]["name"] == "other"
    assert "reload" in page._chosen("nonsense")[page.notes][0]


def test_nothing_of_it_is_public(page):
    assert all(fn.api_visibility == "private" for fn in WatchPage(page.folder).build().fns.values())


def test_the_page_only_reads(page, folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    looked(page, {})
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ([], "run"),
        (["{file}"], "is a file"),
        (["{run}", "--port", "0"], "port 0 is not"),
        (["{run}", "--port", "{taken}"], "is taken"),
        (["{run}", "--host", "not.an.address.invalid"], "cannot listen"),
    ],
)
def test_wrong_lines(folder, capsys, line, reason):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        places = {"file": folder / "config.json", "run": folder, "taken": taken.getsockname()[1]}
        words = [word.format(**places) for word in line]
        try:
            code = main(["watch", *words])
        except SystemExit as stop:
            code = stop.code
    assert code == 2 and reason in capsys.readouterr().err


def test_this_machine_alone_unless_told():
    assert 'host: str = "127.0.0.1"' in inspect.getsource(__import__("train.watch").watch)
    assert set(watch.FILES) == {"page", "watch"}


def test_values_are_json(page):
    outputs, seen = looked(page, {})
    json.dumps([outputs[part] for part in page.parts.values()], allow_nan=False)
    assert set(seen) == set(page.parts)

"""A run watched in a real browser, while somebody else trains it."""

from __future__ import annotations

import io
import json

import pytest
from filelock import FileLock
from PIL import Image

from stylegan import control
from stylegan.control import Requests
from stylegan.runs import ALERTS, LOCK, STATS
from tests.app_server import ROOT, serving
from tests.browser.steps import shown, shows, until_read
from tests.written_runs import picture, tick, write_run

STATE = ".sg-state b"
IMAGE = ".sg-lapse img"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def server(runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("watch")
    line = ["-m", "train", "watch", str(runs / "run")]
    with serving(folder, line, PYTHONPATH=str(ROOT)) as server:
        yield server


@pytest.fixture
def run(runs):
    """A run of three ticks and two grids; the module's tests go on with it."""
    lines = [tick(4.0), tick(8.0, swd=9.0), tick(12.0)]
    return write_run(runs / "run", lines, grids=(0, 8))


def add(run, line):
    with (run / STATS).open("a") as file:
        file.write(json.dumps(line) + "\n")


def text(page, selector):
    return page.inner_text(selector)


def colour(page):
    """Of the grid in sight; none before there is one."""
    if page.get_attribute(IMAGE, "src") is None:
        return None
    with Image.open(io.BytesIO(shown(page, IMAGE))) as image:
        return image.getpixel((0, 0))


def test_before_it_is_begun_and_while_it_is_trained(visit, runs):
    page = visit(wait=False)
    shows(page, lambda: text(page, STATE), "Not begun")
    assert page.locator("#sg-snapshot").is_disabled()
    run = write_run(runs / "run", [tick(4.0)], grids=(0,))
    shows(page, lambda: text(page, STATE), "Not training")
    shows(page, lambda: colour(page), (0, 90, 160))
    assert text(page, "h1") == "run"
    with FileLock(run / LOCK):
        shows(page, lambda: text(page, STATE), "Training")
        add(run, tick(8.0, swd=9.0))
        picture(run / "grids/000008.png", (8, 90, 160))
        shows(page, lambda: colour(page), (8, 90, 160))  # the newest one, by itself
        shows(page, lambda: page.title(), "run, 8.0 kimg")
        until_read(page, lambda: page.locator(".sg-charts figure").count(), lambda n: n >= 5)
    shows(page, lambda: text(page, STATE), "Not training")


def test_asked_in_one_browser_and_seen_in_another(visit, run):
    with FileLock(run / LOCK):
        page, other = visit(wait=False), visit(wait=False, viewport={"width": 390, "height": 800})
        shows(page, lambda: text(page, STATE), "Training")
        page.click("#sg-snapshot")
        shows(other, lambda: text(other, ".sg-state span"), "asked for a snapshot")
        other.click("#sg-stop")
        shows(
            page,
            lambda: text(page, ".sg-state span"),
            "asked for a snapshot and to stop after this tick",
        )
        assert control.read(run) == Requests(snapshot=True, stop=True)
        assert control.take(run, "snapshot")
        shows(page, lambda: text(page, "#sg-snapshot"), "Snapshot now")
        page.get_by_role("button", name="Do not stop").click()
        shows(other, lambda: text(other, "#sg-stop"), "Stop after this tick")
        assert control.read(run) == Requests()
        wide = other.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1]
    shows(page, lambda: page.locator("#sg-stop").is_disabled(), True)


def test_time_is_scrubbed_and_played(visit, run):
    page = visit(wait=False)
    shows(page, lambda: colour(page), (8, 90, 160))
    slider = page.get_by_label("Moment")
    slider.focus()
    page.keyboard.press("Home")
    shows(page, lambda: colour(page), (0, 90, 160))
    assert text(page, ".sg-lapse figcaption") == "0 kimg"
    page.get_by_role("button", name="Real pictures").click()
    shows(page, lambda: colour(page), (250, 200, 10))
    page.get_by_role("button", name="Play").click()
    shows(page, lambda: colour(page), (8, 90, 160))
    shows(page, lambda: page.locator(".sg-play button").first.inner_text(), "Play")


def test_a_picture_that_is_drawn_anew_is_shown_anew(visit, run):
    page = visit(wait=False)
    shows(page, lambda: colour(page), (8, 90, 160))
    picture(run / "grids/000008.png", (99, 90, 160))
    shows(page, lambda: colour(page), (99, 90, 160))


def test_alerts_come_and_go_as_text(visit, run):
    page = visit(wait=False)
    shows(page, lambda: text(page, STATE), "Not training")
    told = {"seen": "p is <b>0.9</b>", "means": "it knows them", "advice": "--mirror"}
    begins = {"kimg": 8.0, "alert": "overfitting", "state": "begins", **told}
    (run / ALERTS).write_text(json.dumps(begins) + "\n")
    words = until_read(page, lambda: text(page, ".sg-alerts"), bool, "an alert")
    assert "since 8 kimg: p is <b>0.9</b>." in words and "--mirror" in words
    with (run / ALERTS).open("a") as file:
        file.write(json.dumps({"kimg": 12.0, "alert": "overfitting", "state": "ends"}) + "\n")
    shows(page, lambda: page.locator("summary").all_inner_texts(), ["1 earlier alert"])
    (run / ALERTS).unlink()


def test_curves_say_their_values_under_the_pointer(visit, run):
    page = visit(wait=False)
    figure = page.locator(".sg-charts figure", has_text="scores")
    figure.locator("path.curve").first.wait_for(state="attached")
    shows(page, lambda: figure.locator("output").all_inner_texts(), ["14", "-14"])
    box = figure.locator("svg").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    shows(page, lambda: figure.locator("output").all_inner_texts(), ["10", "-10"])
    assert figure.locator("small").inner_text() == "at 8 kimg"
    page.get_by_role("button", name="hours").click()
    shows(page, lambda: figure.locator("output").all_inner_texts(), ["14", "-14"])


def test_settings(visit, run):
    page = visit(wait=False)
    page.get_by_role("button", name="Settings").click()
    shows(page, lambda: page.locator(".sg-settings th").first.is_visible(), True)
    assert "target" in text(page, ".sg-settings") and "discs, 12 pictures" in text(
        page, ".sg-settings"
    )

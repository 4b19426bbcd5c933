"""Those that hear of a training: what they are told, and that they cannot end it."""

import sys
import threading
from types import SimpleNamespace

import pytest
from training_data import tiny, write_pictures

from stylegan.config import RunError, UserError
from stylegan.training import page, report
from stylegan.training.listeners import Listener
from stylegan.training.loop import Outcome, fit
from stylegan.training.page import Page
from stylegan.training.tracking import Trackio


class Heard(Listener):
    def __init__(self):
        self.told = []

    def begins(self, folder):
        assert (folder / "config.json").exists()
        self.told.append("begins")

    def tick(self, line, model):
        self.told.append((line["Progress/tick"], model and (model / "config.json").exists()))

    def ends(self, how):
        self.told.append(how)


class Broken(Listener):
    def begins(self, folder):
        raise OSError(28, "No space left on device")

    def tick(self, line, model):
        raise ValueError("lines\nof words")

    def ends(self, how):
        raise KeyError("gone")


@pytest.fixture
def data(tmp_path):
    return write_pictures(tmp_path / "discs.zip")


@pytest.fixture
def train(data, tmp_path):
    def call(kimg, *listeners, **more):
        said = []
        config = tiny(data, kimg=kimg, **more)
        outcome = fit(config, tmp_path / "run", say=said.append, listeners=listeners)
        return outcome, said

    return call


def test_they_are_told_of_ticks_snapshots_and_the_end(train):
    heard = Heard()
    assert train(0.06, heard)[0] is Outcome.DONE
    assert heard.told[:-1] == ["begins", (1, None), (2, True), (3, None)]
    assert heard.told[-1] == "done at 0.1 kimg, its budget is used up"


def test_a_failure_is_said_once_and_training_goes_on(train):
    heard = Heard()
    outcome, said = train(0.06, Broken(), heard)
    assert outcome is Outcome.DONE and len(heard.told) == 5
    broken = [words for words in said if words.startswith("broken:")]
    assert broken == [  # three ticks, one word
        "broken: No space left on device; training goes on",
        "broken: lines; training goes on",
        "broken: 'gone'; training goes on",
    ]


def test_a_run_that_fails_is_told_as_such(train, monkeypatch):
    heard = Heard()

    def fails(line):
        raise RunError("numbers are not finite")

    monkeypatch.setattr(report, "sentence", fails)
    with pytest.raises(RunError):
        train(0.06, heard)
    assert heard.told == ["begins", "failed: numbers are not finite"]


# The page


def test_the_page_tells_how_it_ended(train, tmp_path):
    train(0.04, Page())
    text = (tmp_path / "run" / "index.html").read_text()
    assert "done at 0.0 kimg, its budget is used up" in text and "<td>40" in text
    assert text.count("data:image/svg+xml") == 10  # five panels over kimg and hours


def test_pages_take_no_more_than_their_share(train, monkeypatch):
    written = []
    monkeypatch.setattr(page.run_page, "write_page", lambda run, path, state: written.append(state))
    clock = SimpleNamespace(now=0.0)

    def monotonic():
        clock.now += 1.0  # a page takes a second
        return clock.now

    monkeypatch.setattr(page, "time", SimpleNamespace(monotonic=monotonic, strftime=lambda x: ""))
    train(0.06, Page(), snap=1)
    assert len(written) == 2 and "since" in written[0] and "done" in written[1]
    written.clear()
    monkeypatch.setattr(page, "MOST_SHARE", 1.0)
    train(0.12, Page(), snap=1)
    assert len(written) == 5


# The tracker


class Tracker:
    """Takes the place of the library; knows its runs by name, as that does."""

    def __init__(self):
        self.runs, self.artifacts, self.finished, self.opened = {}, [], 0, []

    def init(self, **told):
        self.opened.append(told)
        self.steps = self.runs.setdefault(told["name"], {})
        return self

    def log(self, numbers, step):
        assert step not in self.steps
        self.steps[step] = numbers

    def Image(self, image, caption):
        return image.size, caption

    def Artifact(self, name, kind, description, metadata):
        return SimpleNamespace(
            name=name, kind=kind, metadata=metadata, add_dir=self.artifacts.append
        )

    def log_artifact(self, artifact, aliases):
        assert artifact.kind == "model" and aliases == ["best"]

    def finish(self):
        self.finished += 1


@pytest.fixture
def tracker(monkeypatch):
    tracker = Tracker()
    monkeypatch.setitem(sys.modules, "trackio", tracker)
    return tracker


def test_the_tracker_gets_settings_scalars_grids_and_the_best_model(train, tracker, tmp_path):
    train(0.06, Trackio("discs", "ann/board"))
    (told,) = tracker.opened
    assert (told["project"], told["space_id"], told["resume"]) == ("discs", "ann/board", "allow")
    assert told["name"].startswith("run-") and told["config"]["network.z_dim"] == 8
    assert told["config"]["data.pictures"] == 12
    (steps,) = tracker.runs.values()
    assert list(steps) == [20, 40, 60]
    assert steps[20]["Progress/kimg"] == 0.02 and -1 <= steps[20]["Loss/signs/real"] <= 1
    assert steps[40]["grid"] == ((128, 128), "0.04 kimg") and "grid" not in steps[60]
    assert tracker.artifacts == [(tmp_path / "run" / "best").resolve()] and tracker.finished == 1


def test_a_resumed_run_goes_on_in_the_tracker(train, tracker):
    train(0.04, Trackio("discs"))
    train(0.08, Trackio("discs"))
    (steps,) = tracker.runs.values()
    assert list(steps) == [20, 40, 60, 80]


def test_a_run_begun_again_is_another_one(train, tracker, data, tmp_path, monkeypatch):
    train(0.04, Trackio("discs"))
    monkeypatch.setattr("time.strftime", lambda form: "later")
    config, folder = tiny(data, kimg=0.02), tmp_path / "run"
    fit(config, folder, True, lambda text: None, listeners=[Trackio("discs")])
    assert [list(steps) for steps in tracker.runs.values()] == [[20, 40], [20]]
    assert (folder / "before-1" / "tracked.json").exists()


def test_what_is_trained_again_is_not_told_again(train, tracker, tmp_path):
    listener = Trackio("discs")
    train(0.04, listener)
    again = Trackio("discs")
    again.begins(tmp_path / "run")
    again.tick({"Progress/nimg": 40}, None)
    again.tick({"Progress/nimg": 60, "Progress/kimg": 0.06, "Timing/left_sec": None}, None)
    again.ends("stopped")
    (steps,) = tracker.runs.values()
    assert list(steps) == [20, 40, 60] and "Timing/left_sec" not in steps[60]


@pytest.mark.parametrize("part", ["init", "log", "log_artifact"])
def test_a_tracker_that_fails_costs_nothing(train, tracker, monkeypatch, part):
    def fails(*args, **options):
        raise ConnectionError("the network is gone\nand more")

    monkeypatch.setattr(tracker, part, fails)
    outcome, said = train(0.06, Trackio("discs"))
    assert outcome is Outcome.DONE
    told = [words for words in said if words.startswith("trackio:")]
    assert told == ["trackio: the network is gone; training goes on"]


def test_one_that_hangs_is_left_behind(train, monkeypatch):
    monkeypatch.setattr("stylegan.training.listeners.MOST_SEC", 0.1)
    forever = threading.Event()
    monkeypatch.setattr(Heard, "begins", lambda self, folder: forever.wait())
    outcome, said = train(0.06, Heard())
    forever.set()
    assert outcome is Outcome.DONE and said[-1] == "heard: it is still busy and left behind"


def test_without_the_tracker_the_line_that_brings_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(UserError, match="trackio is not installed: pip install trackio"):
        Trackio("discs")

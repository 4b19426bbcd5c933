"""A page on which a run is watched while it is trained; it asks for two things and changes nothing.

All it knows is in the run folder's files, and all it says goes there, into control.json.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from stylegan import control
from stylegan.config import UserError
from stylegan.glance import TRAINING, Glance, Watched, is_training, runs_in
from stylegan.runs import GRIDS, labels_of_folders
from stylegan.tabs.dress import dress
from stylegan.tabs.parts import file_value, notes_part, part
from stylegan.tabs.server import check_address, launch, own_folder, until_stopped
from stylegan.tabs.tab import Updates

LOOK_SEC = 2.0  # from one look at the folder to the next
FILES = ("page", "watch")
STATUS = (
    '<div class="sg-run sg-heading"><h1></h1>'
    '<p class="sg-state" role="status"><b></b> <span></span></p>'
    '<p class="sg-since"></p><dl></dl></div>'
)
ALERTS = '<div class="sg-alerts" role="status"></div>'
LAPSE = (
    '<figure class="sg-lapse"><img alt=""><figcaption></figcaption></figure>'
    '<input type="range" min="0" max="0" value="0" aria-label="Moment">'
    '<div class="sg-play"><button type="button">Play</button>'
    '<button type="button" aria-pressed="false">Real pictures</button><output></output></div>'
)
CURVES = (
    '<div class="sg-axis" role="group" aria-label="Curves over">'
    '<button type="button" aria-pressed="true">kimg</button>'
    '<button type="button" aria-pressed="false">hours</button></div>'
    '<div class="sg-charts"></div>'
)
SETTINGS = '<div class="sg-settings"></div>'


def serve(folder: Path, host: str, port: int | None, say: Callable[[str], None] = print) -> None:
    """Show the run, or the runs in a folder of them, until stopped."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, not the folder of a run")
    check_address(host, port)
    with own_folder():
        page = WatchPage(folder).build()
        launch(page, host, port, **dress(FILES))
        if not folder.exists():
            say(f"{folder} is not there yet; the page shows it as soon as it is begun")
        say(f"{folder} at {page.local_url}")
        until_stopped(page)


class WatchPage:
    """Files of runs -> what is seen; two buttons -> control.json."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.watched: dict[str, Watched] = {}
        self.find()

    def find(self) -> list[str]:
        """Names of the runs that there are now, newest first; their grids may be fetched then."""
        folders = runs_in(self.folder)
        names = labels_of_folders(folders)
        for name, folder in zip(names, folders, strict=True):
            if name not in self.watched:
                self.watched[name] = Watched(folder)
                gr.set_static_paths(folder / GRIDS)  # served as they are, and nothing else is
        return names

    def build(self) -> gr.Blocks:
        """The page, to be launched in the dress of FILES."""
        page = gr.Blocks(title="Watching a run", analytics_enabled=False)
        with page:
            names = list(self.watched)
            self.run = gr.Dropdown(
                names,
                value=names[0],
                label="Run",
                visible=len(names) > 1,
                elem_id="sg-which",
            )
            self.seen = gr.State({})
            self.notes = notes_part()
            self.parts = {"status": part(STATUS, "status(element, props, watch)", {})}
            with gr.Row(elem_classes="sg-asks"):
                self.snapshot = gr.Button("Snapshot now", size="md", elem_id="sg-snapshot")
                self.stop = gr.Button("Stop after this tick", size="md", elem_id="sg-stop")
            self.parts["alerts"] = part(ALERTS, "alerts(element, props, watch)", [])
            with gr.Row(elem_classes="sg-tab sg-watch"):
                with gr.Column(scale=5, min_width=320):
                    self.parts["frames"] = part(LAPSE, "lapse(element, props, watch)", {})
                with gr.Column(scale=6, min_width=320):
                    self.parts["curves"] = part(CURVES, "charts(element, props, watch)", {})
            with gr.Accordion("Settings", open=False):
                self.parts["settings"] = part(SETTINGS, "settings(element, props, watch)", {})
            self._connect(page)
        return page

    def _connect(self, page: gr.Blocks) -> None:
        quiet = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
        shown = [self.seen, self.notes, self.snapshot, self.stop, *self.parts.values()]
        page.load(self._load, None, [self.run, *shown], **quiet)
        self.run.input(self._chosen, self.run, shown, **quiet)
        timer = gr.Timer(LOOK_SEC)
        timer.tick(self._look, [self.run, self.seen], shown, **quiet)
        for button, name in ((self.snapshot, "snapshot"), (self.stop, "stop")):
            button.click(self._ask(name), [self.run, self.seen], shown, **quiet)

    # What visitors do

    def _load(self) -> Updates:
        names = self.find()
        run = gr.Dropdown(choices=names, value=names[0], visible=len(names) > 1)
        return {self.run: run, **self._look(names[0], {})}

    def _chosen(self, name: str) -> Updates:
        return {self.notes: [], **self._look(name, {})}

    def _look(self, name: str, seen: dict[str, str]) -> Updates:
        """Outputs for the parts that are not as they were seen; nothing else is touched."""
        watched = self.watched.get(name)
        if watched is None:
            return {self.notes: ["This run is not here any more; reload the page"]}
        glance = watched.look()
        marks = {id: json.dumps([name, value]) for id, value in glance.items()}
        changed = [id for id, mark in marks.items() if seen.get(id) != mark]
        outputs: Updates = {self.parts[id]: _value(id, glance[id]) for id in changed}
        if "status" in changed:
            outputs |= self._buttons(glance["status"])
        return {**outputs, self.seen: marks} if changed else {self.seen: gr.skip()}

    def _ask(self, name: str) -> Callable[[str, dict[str, str]], Updates]:
        def ask(run: str, seen: dict[str, str]) -> Updates:
            watched = self.watched.get(run)
            if watched is None:
                return self._look(run, seen)
            try:
                notes = _asked(watched.folder, name)
            except UserError as error:
                notes = [str(error)]
            watched.forget()
            return {self.notes: notes, **self._look(run, seen)}

        return ask

    def _buttons(self, status: Glance) -> Updates:
        trained, asked = status["state"] == TRAINING, status["asked"]
        snapshot = "Snapshot asked for ..." if "snapshot" in asked else "Snapshot now"
        stop = "Do not stop" if "stop" in asked else "Stop after this tick"
        return {
            self.snapshot: gr.Button(snapshot, interactive=trained and "snapshot" not in asked),
            self.stop: gr.Button(stop, interactive=trained),
        }


def _asked(folder: Path, name: str) -> list[str]:
    """Write a request, or take one back; what there is to say about it."""
    if not is_training(folder):
        return ["Nothing was asked for: this run is not being trained now"]
    wanted = name == "snapshot" or not getattr(control.read_or_nothing(folder), name)
    control.ask(folder, **{name: wanted})
    return []


def _value(id: str, value: Any) -> Any:
    """A part of a glance as its component takes it."""
    if id == "status":
        return {**value, "now": time.time()}
    if id == "frames":
        frames: Sequence[tuple[str, str, int]] = value.get("frames", ())
        reals = value.get("reals")
        return {
            "frames": [
                {"label": label, "file": file_value(Path(path)), "stamp": stamp}
                for label, path, stamp in frames
                if stamp
            ],
            "reals": reals and {"file": file_value(Path(reals[0])), "stamp": reals[1]},
            "side": value.get("side"),
        }
    return value

"""The page: a heading, the tabs, and how links and files reach them."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import gradio as gr

from stylegan.config import UserError
from stylegan.model import Model
from stylegan.shelf import Shelf
from stylegan.stamp import StampError
from stylegan.tabs.api import add_endpoints
from stylegan.tabs.desk import Desk, read_asked, usable
from stylegan.tabs.dress import dress
from stylegan.tabs.easel import is_picture
from stylegan.tabs.editing import EditingTab
from stylegan.tabs.interpolation import InterpolationTab
from stylegan.tabs.link import Opened, open_address, open_file, open_text
from stylegan.tabs.mixing import MixingTab
from stylegan.tabs.parts import notes_part
from stylegan.tabs.projection import ProjectionTab
from stylegan.tabs.seeds import SeedsTab
from stylegan.tabs.session import Session, in_words
from stylegan.tabs.tab import Tab, Updates, View

TITLE = "StyleGAN playground"
OPENER = "sg-open"
MAX_UPLOAD = "256mb"
MAX_WAITING = 256
DELETE_SEC = (60, 3600)  # how often, and how old
OTHER_PAGES = {"watch"}


TABS: dict[str, tuple[str, Callable[..., Tab]]] = {  # id in links -> label, class
    "seeds": ("Seeds", SeedsTab),
    "walk": ("Interpolation", InterpolationTab),
    "mix": ("Mixing", MixingTab),
    "edit": ("Editing", EditingTab),
    "project": ("Projection", ProjectionTab),
}
SENDS = {  # how pictures are taken -> the tab that takes them
    "seeds": "seeds",
    "keyframes": "walk",
    "rows": "mix",
    "cols": "mix",
    "edit": "edit",
    "has": "edit",
    "has_not": "edit",
}


def build(session: Session) -> gr.Blocks:
    """The page of a session, to be launched with `appearance()`.

    GRADIO_TEMP_DIR is the folder of the session's files by then: gradio serves that one whole.
    """
    page = gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=DELETE_SEC)
    with page:
        gr.HTML(_heading(session), apply_default_css=False)
        choices = session.choices
        model = gr.Dropdown(
            choices,
            value=session.first.id,
            label="Model",
            visible=len(choices) > 1,
            elem_id="sg-model",
        )
        notes = notes_part()
        with gr.Tabs() as strip:
            tabs, places = {}, {}
            for id, (label, build_tab) in TABS.items():
                with gr.Tab(label, id=id) as places[id]:
                    tabs[id] = build_tab(session, notes, model)
        with gr.Row(elem_id=OPENER):
            opener = gr.UploadButton("Open a file saved here", size="sm", variant="secondary")
            gr.HTML("<p>or drop it anywhere on this page</p>", apply_default_css=False)
        desk = Desk(session, {how: id for how, id in SENDS.items() if id in TABS})
        _Page(session, tabs, strip, model, notes, desk).connect(page, places, opener)
        add_endpoints(session)
    page.queue(max_size=MAX_WAITING)
    return page


def appearance() -> dict[str, Any]:
    """What `launch` takes for the looks of the page."""
    return dress(_files(), f"stylegan.dropping({OPENER!r});")


def _files() -> set[str]:
    """Names of all style sheets and scripts but those of other pages."""
    here = Path(__file__).parent
    return {path.stem for path in (*here.glob("*.js"), *here.glob("*.css"))} - OTHER_PAGES


def _heading(session: Session) -> str:
    model, side = session.first, session.first.config.resolution
    who = f"<strong>{html.escape(model.name)}</strong>, a neural network,"
    if len(session.named) > 1:
        who = "a neural network"
    what = f"of {side} × {side} pixels " if len(session.named) == 1 else ""
    return (
        f"<header class='sg-heading'><h1>{TITLE}</h1><p>Nobody painted these: {who} draws each "
        f"picture {what}out of nothing but a number, its seed. "
        "Every picture is a link, and the link brings it back.</p></header>"
    )


class _Page:
    """Which tab is shown, and what reaches it from outside: links, files, other tabs."""

    def __init__(
        self,
        session: Session,
        tabs: dict[str, Tab],
        strip: gr.Tabs,
        model: gr.Dropdown,
        notes: gr.HTML,
        desk: Desk,
    ) -> None:
        self.session, self.tabs, self.strip = session, tabs, strip
        self.model, self.notes, self.desk = model, notes, desk
        self.current = gr.State(next(iter(tabs)))
        self.finder = tabs.get(ProjectionTab.id)

    def connect(self, page: gr.Blocks, places: dict[str, gr.Tab], opener: gr.UploadButton) -> None:
        quiet = {
            "api_visibility": "private",
            "show_progress": "hidden",
            "concurrency_id": "show",
        }
        search = gr.Textbox(visible=False)
        every = [self.strip, self.current, self.desk.shared]
        every += _once(part for tab in self.tabs.values() for part in tab.outputs)
        page.load(self._load, search, every, js="() => window.location.search", **quiet)
        opener.upload(self._upload, [opener, self.model], every, **quiet)
        views = {self.model, self.current, *(tab.view for tab in self.tabs.values())}
        self.model.input(self._changed_model, views, every, **quiet)
        self.desk.part.select(self._asked, views, every, trigger_mode="always_last", **quiet)
        for id, place in places.items():
            tab = self.tabs[id]
            outputs = [self.current, *tab.outputs]
            place.select(self._selected(tab), [self.model, tab.view], outputs, **quiet)
            place.select(None, js="() => stylegan.turned()", api_visibility="private")
        page.unload(self._leave)

    # What visitors do

    def _load(self, search: str, request: gr.Request) -> Updates:
        return self._open(open_address(search, self.session), request)

    def _upload(self, path: str, model_id: str, request: gr.Request) -> Updates:
        try:
            try:
                opened = open_file(path, self.session)
            except StampError:  # it was not drawn here: the latent that draws it can be found
                if not self.finder or not is_picture(path):
                    raise
                model, _ = self.session.pick(model_id)
                return self._shown(self.finder, self.finder.take_file(path, model, request))
            if isinstance(opened.value, Shelf):  # what is shown stays
                return {**self.desk.shown(opened), self.notes: opened.notes}
            return self._open(opened, request)
        except Exception as error:
            return {self.notes: [f"This file cannot be opened: {in_words(error)}"]}
        finally:
            Path(path).unlink(missing_ok=True)

    def _selected(self, tab: Tab) -> Callable[..., Updates]:
        """A tab is shown as it was left, unless it never was, or another model was chosen."""

        def select(model_id: str, view: View | None, request: gr.Request) -> Updates:
            here = {self.current: tab.id}
            model, _ = self.session.pick(model_id)
            if view is not None and view.value.m == model.id:
                return {**here, self.notes: []}
            return {**here, **self._moved(tab, view, model, request)}

        return select

    def _changed_model(self, values: Updates, request: gr.Request) -> Updates:
        tab = self.tabs[values[self.current]]
        model, _ = self.session.pick(values[self.model])
        return self._moved(tab, values[tab.view], model, request)

    def _moved(self, tab: Tab, view: View | None, model: Model, request: gr.Request) -> Updates:
        """Outputs that show what a model can take of a view."""
        try:
            value = tab.welcome(model) if view is None else tab.adapted(view.value, model)
            return tab.open(Opened(value, model, []), request)
        except Exception as error:
            return {self.notes: [f"This cannot be drawn: {in_words(error)}"]}

    def _asked(self, values: Updates, event: gr.EventData, request: gr.Request) -> Updates:
        """Pictures of the desk are opened, or sent to a tab."""
        try:
            asked = read_asked(event._data)
            if asked.action == "open":
                return self._open(open_text(asked.queries[0], self.session), request)
            tab = self.tabs.get(SENDS.get(asked.action))
            if tab is None:
                raise UserError("this page asks for a tab that is not here; reload it")
            shown, _ = self.session.pick(values[self.model])
            found = usable(asked.queries, self.session, shown)
            value = tab.take(values[tab.view], found.pictures, asked.action, found.model)
            return self._show(tab, Opened(value, found.model, found.notes), request)
        except Exception as error:
            return {self.notes: [f"This cannot be done: {in_words(error)}"]}

    def _leave(self, request: gr.Request) -> None:
        self.desk.leave(request)
        visitor = request.session_hash
        for drawing in (visitor, *(f"{visitor}/{id}" for id in self.tabs)):
            self.session.turns.take(drawing)  # what is still drawn for this visitor stops
        for forget in self.session.leaving:
            forget(visitor)

    def _open(self, opened: Opened, request: gr.Request) -> Updates:
        """Outputs that show what was opened in the tab that it belongs to; of a shelf, its first
        picture."""
        if isinstance(opened.value, Shelf):
            one = dataclasses.replace(opened, value=opened.one, one=None)
            return {**self._open(one, request), **self.desk.shown(opened)}
        return self._show(self.tabs.get(opened.tab, self.tabs["seeds"]), opened, request)

    def _show(self, tab: Tab, opened: Opened, request: gr.Request) -> Updates:
        return self._shown(tab, tab.open(opened, request))

    def _shown(self, tab: Tab, outputs: Updates) -> Updates:
        """These outputs, with their tab in sight."""
        return {**outputs, self.strip: gr.Tabs(selected=tab.id), self.current: tab.id}


def _once(parts: Iterable[gr.components.Component]) -> list[gr.components.Component]:
    """Without repeats, in order."""
    return list({id(part): part for part in parts}.values())

"""The Mixing tab: a cross table of seeds or pictures, whose cells mix the layers of two."""

from __future__ import annotations

import dataclasses
import functools
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from stylegan.config import UserError
from stylegan.mix import MAX_SOURCES, Mix, source_name
from stylegan.model import Model
from stylegan.recipe import Recipe, RecipeError
from stylegan.sheet import Place
from stylegan.tabs.crosstable import (
    EXAMPLES,
    check_table,
    choice_part,
    choice_value,
    fitting,
    layers_part,
    layers_value,
    matching_layers,
    rows_text,
    table_file,
    table_part,
    table_pixels,
    table_value,
    usual_table,
)
from stylegan.tabs.link import LONG_PIXELS, Opened, ShareRow, Value, link_value
from stylegan.tabs.look import Look
from stylegan.tabs.parts import link_part, model_value, picture_part, picture_value, saver_value
from stylegan.tabs.seeds import DICE
from stylegan.tabs.session import Session, in_words
from stylegan.tabs.sources import learned, read_typed, to_typed
from stylegan.tabs.tab import Updates, drawn_like, fitting_cut, source

MOST_KNOWN = 4 * MAX_SOURCES  # latents that a visitor can type by name
PATIENCE_SEC = 0.4  # a table that takes longer shows what it has
CORNER = (0, 0)  # the cell that is large before one is chosen
AXES = ("rows", "cols")


@dataclass(frozen=True)
class View:
    """What one visitor sees: a table, which of its pictures is large, latents with a name."""

    mix: Mix
    at: Place
    known: tuple[str, ...]

    @property
    def value(self) -> Mix:
        """What the link brings back."""
        return self.mix

    @property
    def one(self) -> Recipe:
        """The large picture."""
        row, col = self.at
        if row is None:
            return self.mix.source(self.mix.cols[col])
        return self.mix.source(self.mix.rows[row]) if col is None else self.mix.cell(row, col)


def _told(act: Callable[..., Updates]) -> Callable[..., Updates]:
    """What goes wrong in an act of a visitor becomes a note in words, and nothing else changes."""

    @functools.wraps(act)
    def tell(self: MixingTab, *values: Any) -> Updates:
        try:
            return act(self, *values)
        except Exception as error:
            return {self.notes: [f"This cannot be drawn: {in_words(error)}"]}

    return tell


def _about(act: Callable[..., Updates], what: str) -> Callable[..., Updates]:
    """An act of which `what` is known beforehand; gradio reads the types off its arguments."""

    def follow(values: Updates, request: gr.Request) -> Updates:
        return act(what, values, request)

    return follow


class MixingTab:
    """Controls <-> Mix. A tab of the page, built where it is created."""

    id = "mix"

    def __init__(self, session: Session, notes: gr.HTML, model: gr.Dropdown) -> None:
        self.session, self.notes, self.model = session, notes, model
        self.view, self.wanted = gr.State(), gr.State()
        with gr.Row(elem_classes="sg-examples"):
            self.examples = [gr.Button(words, size="sm") for words in EXAMPLES]
        with gr.Row(elem_classes="sg-tab sg-mix"):
            with gr.Column(scale=4, min_width=320):
                self.picture = picture_part()
                self.share = ShareRow(
                    session, self.view, lambda view: (view.one, view.mix), follows=False
                )
                self.layers = layers_part()
                self.look = Look("sg-mix")
                self.look.build_further()
            with gr.Column(scale=6, min_width=320):
                self._build_sources()
                self.table, self.choice = table_part(), choice_part()
                with gr.Row(elem_classes="sg-share sg-table-share"):
                    self.link = link_part("Copy table link")
                    self.save = gr.Button("Download table", size="md")
        own = [self.rows, self.cols, self.layers, self.choice, self.model]
        self.inputs = {*own, *self.look.boxes, self.view, self.share.link}
        self.large = [self.view, self.picture, self.notes, *self.share.outputs]
        self.shown = [*self.large, self.wanted, self.link, self.choice]
        self.controls = [self.rows, self.cols, self.layers, self.model, *self.look.outputs]
        self.outputs = [*self.shown, *self.controls]
        self._connect()

    # The page

    def _build_sources(self) -> None:
        kinds = (("rows", "Rows", "keep all but"), ("cols", "Columns", "give"))
        self.dice = {}
        for axis, label, what in kinds:
            with gr.Row(elem_classes="sg-seed sg-sources"):
                box = gr.Textbox(
                    label=label,
                    info=f"seeds such as 1-5,9; they {what} the layers chosen",
                    elem_id=f"sg-mix-{axis}",
                    max_lines=1,
                )
                name = "rows" if axis == "rows" else "columns"
                self.dice[axis] = gr.Button(f"⚄ Other {name}", size="md", elem_id=f"sg-dice-{axis}")
            setattr(self, axis, box)
        self.swap = gr.Button(
            "⇄ Swap rows and columns", size="sm", elem_id="sg-mix-swap", elem_classes="sg-swap"
        )

    def _connect(self) -> None:
        quiet = {
            "trigger_mode": "always_last",
            "show_progress": "hidden",
            "preprocess": False,  # values are checked by Mix, in words
            "api_visibility": "private",
            "concurrency_id": "show",
            "concurrency_limit": 1,  # one after the other, so that the last one wins
        }
        sources = [self.rows, self.cols]
        gr.on([box.input for box in sources], self._typed, self.inputs, self.shown, **quiet)
        done = [event for box in sources for event in (box.submit, box.blur)]
        done += [box.input for box in (self.layers, *self.look.boxes)]
        gr.on(done, self._changed, self.inputs, self.shown, **quiet)
        self.look.connect(**quiet)
        self.choice.input(self._chosen, self.inputs, self.large, **quiet)
        for axis, button in self.dice.items():
            button.click(_about(self._rolled, axis), self.inputs, self.outputs, **quiet)
        for words, button in zip(EXAMPLES, self.examples, strict=True):
            button.click(_about(self._tried, words), self.inputs, self.outputs, **quiet)
        self.swap.click(self._swapped, self.inputs, self.outputs, **quiet)
        every = {**quiet, "trigger_mode": "multiple"}  # each step of a picture counts
        self.table.select(self._moved, self.inputs, self.outputs, **every)
        quiet.update(concurrency_id="table", concurrency_limit=1)
        self.save.click(self._save_table, self.view, self.share.saver, **quiet)
        quiet.update(concurrency_id="fill", concurrency_limit=2)
        self.wanted.change(self._fill, self.wanted, self.table, **quiet)

    # What the page asks of a tab

    def welcome(self, model: Model) -> Mix:
        """A table as large as is quick to draw, with the coarse layers of its columns."""
        return usual_table(model)

    def open(self, opened: Opened, request: gr.Request) -> Updates:
        """Outputs that show a table, or the one that a cell's recipe is from, and its controls."""
        value = opened.value
        mix = value if isinstance(value, Mix) else Mix.around(value)
        if mix is None:
            raise RecipeError("this picture is no cell of a table")
        mix, said = fitting(mix, opened.model)
        at = _place_of(opened.one, mix)
        return self._set(mix, opened.model, None, at, request, [*opened.notes, *said])

    def adapted(self, value: Value, model: Model) -> Mix:
        """What another model can take of a table: its seeds, and layers of the same kind."""
        before, _ = self.session.pick(value.m)
        usual = self.welcome(model)
        return dataclasses.replace(
            value,
            rows=_seeds(value.rows) or usual.rows,
            cols=_seeds(value.cols) or usual.cols,
            layers=matching_layers(value.layers, before.config, model.config),
            c=value.c if value.c < max(model.c_dim, 1) else 0,
            cut=fitting_cut(value.cut, model),
            x=None,
        )

    def take(self, view: View | None, pictures: Sequence[Recipe], how: str, model: Model) -> Mix:
        """The table with pictures added to its `rows` or `cols`.

        Those who have not made one yet get one with these pictures alone there, and drawn alike.
        """
        if view is None:
            same = {key: getattr(pictures[0], key) for key in ("psi", "cut", "c", "noise")}
            mix, before = dataclasses.replace(self.welcome(model), **same), ()
        else:
            mix = view.mix if view.mix.m == model.id else self.adapted(view.mix, model)
            before = getattr(mix, how)
        added = (source(picture, mix, model) for picture in pictures)
        return dataclasses.replace(drawn_like(mix, pictures), **{how: (*before, *added)})

    # What visitors do

    def _typed(self, values: Updates, request: gr.Request) -> Updates:
        """While rows and columns are typed, what cannot be read yet waits."""
        try:
            self._sources(values)
        except UserError:
            return gr.skip()
        return self._changed(values, request)

    @_told
    def _changed(self, values: Updates, request: gr.Request) -> Updates:
        if self.look.is_emptied(values):
            return gr.skip()
        view, at = values[self.view], _chosen_place(values[self.choice])
        mix, model = self._read(values)
        if view is not None and (view.mix, view.at) == (model.stamped(mix), at):
            return {self.notes: []}
        kept = at if _is_place(at, mix) else CORNER
        shown = self._show(mix, model, view, kept, request)
        return shown if kept == at else {**shown, self.choice: choice_value(kept)}

    @_told
    def _chosen(self, values: Updates) -> Updates:
        """A picture of the table is to be large; the table stays as it is."""
        view, at = values[self.view], _chosen_place(values[self.choice])
        if view is None or not _is_place(at, view.mix):
            return gr.skip()
        model, _ = self.session.pick(view.mix.m)
        return self._large(dataclasses.replace(view, at=at), model)

    @_told
    def _rolled(self, axis: str, values: Updates, request: gr.Request) -> Updates:
        """Other seeds in the rows or columns; the latents there stay."""
        mix, model, view = self._current(values)
        seeds = iter(random.sample(range(DICE), MAX_SOURCES))
        rolled = tuple(s if isinstance(s, str) else next(seeds) for s in getattr(mix, axis))
        mix = dataclasses.replace(mix, **{axis: rolled})
        return self._set(mix, model, view, self._at(values, mix), request)

    @_told
    def _swapped(self, values: Updates, request: gr.Request) -> Updates:
        mix, model, view = self._current(values)
        col, row = self._at(values, mix)
        mix = dataclasses.replace(mix, rows=mix.cols, cols=mix.rows)
        return self._set(mix, model, view, (row, col), request)

    @_told
    def _tried(self, words: str, values: Updates, request: gr.Request) -> Updates:
        """An example, drawn as the controls say."""
        mix, model, view = self._current(values)
        own = EXAMPLES[words](model)
        mix = dataclasses.replace(mix, rows=own.rows, cols=own.cols, layers=own.layers)
        return self._set(mix, model, view, CORNER, request)

    @_told
    def _moved(self, values: Updates, event: gr.EventData, request: gr.Request) -> Updates:
        """A row or column goes to another place, or away."""
        mix, model, view = self._current(values)
        axis, index, to = _step(event, mix)
        if axis is None:
            return gr.skip()
        sources = list(getattr(mix, axis))
        moved = sources.pop(index)
        if to is not None:
            sources.insert(to, moved)
        mix = dataclasses.replace(mix, **{axis: tuple(sources)})
        end = min(index, len(sources) - 1) if to is None else to
        at = (end, None) if axis == "rows" else (None, end)
        return self._set(mix, model, view, at, request)

    def _save_table(self, view: View | None) -> Any:
        if view is None:
            return gr.skip()
        try:
            model, _ = self.session.pick(view.mix.m)
            if table_pixels(view.mix, model) > LONG_PIXELS:
                gr.Info("Drawing the table; the file comes when it is done.")
            file = table_file(self.session, model, view.mix)
            return saver_value(file, self.session.turns.take(None))
        except Exception as error:
            raise gr.Error(in_words(error), print_exception=False) from None

    # Controls <-> Mix

    def _current(self, values: Updates) -> tuple[Mix, Model, View | None]:
        """The table in sight, whatever half of a new one is being typed."""
        view = values[self.view]
        model, _ = self.session.pick(values[self.model])
        if view is None:
            return *self._read(values), view
        return (view.mix if view.mix.m == model.id else self.adapted(view.mix, model)), model, view

    def _at(self, values: Updates, mix: Mix) -> Place:
        at = _chosen_place(values[self.choice])
        return at if _is_place(at, mix) else CORNER

    def _sources(self, values: Updates) -> dict[str, tuple[int | str, ...]]:
        view = values[self.view]
        known = view.known if view else ()
        return {
            axis: read_typed(str(values[getattr(self, axis)]), known, MAX_SOURCES) for axis in AXES
        }

    def _read(self, values: Updates) -> tuple[Mix, Model]:
        """The table that the controls stand for, and the model that draws it."""
        # A page sends its controls as they were: it may not have heard of another model yet.
        model, _ = self.session.pick(values[self.model])
        before, _ = self.session.pick(self.share.model_of(values[self.share.link]))
        mix = Mix(
            **self._sources(values),
            layers=_list_of(values[self.layers], "layers"),
            **self.look.read(values, before),
            m=before.id,
            x=values[self.view].mix.x if values[self.view] else None,
        )
        return (mix if model is before else self.adapted(mix, model)), model

    def _set(
        self,
        mix: Mix,
        model: Model,
        view: View | None,
        at: Place,
        request: gr.Request,
        notes: list[str] | None = None,
    ) -> Updates:
        """Outputs that show a table and set every control to it."""
        shown = self._show(mix, model, view, at, request, notes)
        return {**shown, **self._set_controls(shown[self.view], model)}

    def _set_controls(self, view: View, model: Model) -> Updates:
        mix = view.mix
        return {
            self.model: model_value(self.session, model),
            self.rows: to_typed(mix.rows, view.known),
            self.cols: to_typed(mix.cols, view.known),
            self.layers: layers_value(mix.layers, model.config),
            **self.look.set(mix, model),
            self.choice: choice_value(view.at),
        }

    # Drawing

    def _show(
        self,
        mix: Mix,
        model: Model,
        view: View | None,
        at: Place,
        request: gr.Request,
        notes: list[str] | None = None,
    ) -> Updates:
        """Outputs with the large picture; the table follows by itself (_fill)."""
        check_table(mix, model)
        mix = model.stamped(mix)
        known = learned(view.known if view else (), (*mix.rows, *mix.cols), MOST_KNOWN)
        turn = self.session.turns.take(self._visitor(request))
        return {
            **self._large(View(mix, at, known), model, view is None or view.mix.m != mix.m),
            self.notes: notes or [],
            self.wanted: (mix, turn),
            self.link: link_value(mix),
        }

    def _large(self, view: View, model: Model, new_model: bool = False) -> Updates:
        file = self.session.picture(model, view.one, page=view.mix)
        said = _said(view)
        picture = picture_value(
            file,
            f"Picture drawn by {model.name}: {said}",
            said,
            model.config.resolution,
            view.one.to_query(),
        )
        return {
            self.view: view,
            self.picture: picture,
            self.notes: [],
            **self.share.update(view.one, model, new_model),
        }

    def _visitor(self, request: gr.Request) -> str:
        """Whose table a newer one replaces; what is drawn in other tabs does not."""
        return f"{request.session_hash}/{self.id}"

    def _fill(self, wanted: tuple[Mix, int] | None, request: gr.Request) -> Iterator[Updates]:
        """The pictures of a table; drawn slowly, it shows what it has, or gives way."""
        if wanted is None:
            yield gr.skip()
            return
        (mix, turn), visitor = wanted, self._visitor(request)
        model, _ = self.session.pick(mix.m)
        recipes = mix.recipes()
        files: list[Path] = []
        shown_at = time.monotonic()

        def filled(status: str = "") -> dict[str, Any]:
            return table_value(mix, model, dict(zip(recipes, files, strict=False)), status)

        try:
            for batch in self.session.draw(model, list(recipes.values())):
                files += batch
                if len(files) == len(recipes):
                    break
                if not self.session.turns.is_newest(visitor, turn):
                    yield gr.skip()
                    return
                if time.monotonic() - shown_at > PATIENCE_SEC:
                    yield filled(f"{len(files)} of {len(recipes)}")
                    shown_at = time.monotonic()
            yield filled()
        except Exception as error:
            yield filled(in_words(error))


def _seeds(sources: Iterable[int | str]) -> tuple[int, ...]:
    """Those that every model has."""
    return tuple(source for source in sources if isinstance(source, int))


# Places of a table: (row, column), counted from 0, None along an edge


def _is_place(at: Place | None, mix: Mix) -> bool:
    if at is None or at == (None, None):
        return False
    ends = len(mix.rows), len(mix.cols)
    return all(i is None or 0 <= i < end for i, end in zip(at, ends, strict=True))


def _place_of(one: Recipe | None, mix: Mix) -> Place:
    """Where a table has a picture; the first cell where it has not."""
    if one is None:
        return CORNER
    return next((at for at, recipe in mix.recipes().items() if recipe == one), CORNER)


def _chosen_place(value: Any) -> Place | None:
    """What the page says is chosen; it can be anything."""
    at = _list_of(value, "at")
    fine = len(at) == 2 and all(i is None or type(i) is int for i in at)
    return at if fine else None


def _step(event: gr.EventData, mix: Mix) -> tuple[str | None, int, int | None]:
    """Which row or column goes where, None for away; no axis where that cannot be."""
    data = event._data if isinstance(event._data, dict) else {}
    axis, index, to = data.get("axis"), data.get("index"), data.get("to")
    fine = axis in AXES and type(index) is int and (to is None or type(to) is int)
    if fine:
        count = len(getattr(mix, axis))
        if 0 <= index < count and (to is None or 0 <= to < count):
            return axis, index, to
    return None, 0, None


def _list_of(value: Any, key: str) -> tuple[Any, ...]:
    found = value.get(key) if isinstance(value, dict) else None
    return tuple(found) if isinstance(found, list) else ()


def _said(view: View) -> str:
    """The large picture in few words, as in "seed 1, rows 0-3 of seed 4"."""
    mix, (row, col) = view.mix, view.at
    sources = [mix.rows[row]] if row is not None else []
    sources += [mix.cols[col]] if col is not None else []
    words = source_name(sources[0])
    if len(sources) == 2:
        words += f", {rows_text(mix.layers)} of {source_name(sources[1])}"
    parts = [words]
    parts += [f"ψ {mix.psi:g}"] if any(isinstance(s, int) for s in sources) else []
    parts += [f"class {mix.c}"] if mix.c else []
    return " · ".join(parts)

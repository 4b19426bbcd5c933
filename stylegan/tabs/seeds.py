"""The Seeds tab: pictures by number, one of them large, and how strongly they are truncated."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from stylegan.model import Model
from stylegan.recipe import MAX_PICTURES, Recipe
from stylegan.tabs.link import Opened, ShareRow, Value, welcome
from stylegan.tabs.look import LOW_PSI, Look
from stylegan.tabs.parts import cells_part, cells_value, model_value, picture_part, picture_value
from stylegan.tabs.session import Session, in_words
from stylegan.tabs.tab import Updates, fitting_cut, said

STRIP = tuple(LOW_PSI + i * 0.25 for i in range(9))
DICE = 1_000_000  # seeds that can be read out to somebody
EXAMPLES: dict[str, Callable[[int], dict[str, Any]]] = {  # words -> settings, given num_ws
    "Anybody, at random": lambda rows: {"seed": random.randrange(DICE)},
    "The average picture": lambda rows: {"psi": 0.0, "n": 1},
    "A calm crowd": lambda rows: {"psi": 0.5},
    "A bold crowd": lambda rows: {"psi": 1.3},
    "One shape, many colours": lambda rows: {"psi": 0.0, "cut": rows // 2},
}
PATIENCE_SEC = 0.4  # a drawing that takes longer shows what it has


@dataclass(frozen=True)
class View:
    """What one visitor sees: the recipe of the large picture, and the first seed of the grid."""

    recipe: Recipe
    first: int
    turn: int

    @property
    def value(self) -> Recipe:
        """What the link brings back."""
        return self.recipe

    @property
    def one(self) -> Recipe:
        """The large picture."""
        return dataclasses.replace(self.recipe, n=1)

    @property
    def grid(self) -> Recipe:
        """All that the grid shows; the large picture may stand anywhere in it."""
        return dataclasses.replace(self.recipe, seed=self.first)


class SeedsTab:
    """Controls <-> Recipe. A tab of the page, built where it is created."""

    id = "seeds"

    def __init__(self, session: Session, notes: gr.HTML, model: gr.Dropdown) -> None:
        self.session, self.notes, self.model = session, notes, model
        self.view = gr.State()
        with gr.Row(elem_classes="sg-examples"):
            self.examples = [gr.Button(words, size="sm") for words in EXAMPLES]
        with gr.Row(elem_classes="sg-tab"):
            with gr.Column(scale=4, min_width=320):
                self.picture = picture_part()
                self._build_main_controls()
                self.share = ShareRow(session, self.view, lambda view: (view.one, view.recipe))
                self.look.build_further()
            with gr.Column(scale=6, min_width=320):
                self._build_grid()
                self.share.saves(self.save_grid, lambda view: (view.grid, view.grid))
        boxes = [self.model, self.seed, self.n, *self.look.boxes]
        self.inputs = {*boxes, self.view, self.share.link}
        self.shown = [self.view, self.picture, self.notes, *self.share.outputs]
        self.controls = [*boxes, self.look.further]
        self.outputs = [*self.shown, *self.controls]
        self._connect()

    # The page

    def _build_main_controls(self) -> None:
        with gr.Row(elem_classes="sg-seed"):
            self.seed = gr.Number(0, label="Seed", precision=0, elem_id="sg-seed")
            self.dice = gr.Button("⚄ Another seed", variant="primary", size="md", elem_id="sg-dice")
        self.look = Look("sg")
        self.strip = cells_part("The same seed at other truncations", in_one_row=True)

    def _build_grid(self) -> None:
        with gr.Row(elem_classes="sg-many"):
            self.n = gr.Slider(
                1, MAX_PICTURES, value=16, step=1, label="How many", elem_id="sg-n", buttons=[]
            )
            self.save_grid = gr.Button("Download all", size="md")
        self.grid = cells_part("Pictures to choose from")

    def _connect(self) -> None:
        quiet = {
            "trigger_mode": "always_last",
            "show_progress": "hidden",
            "preprocess": False,  # values are checked by Recipe, in words
            "api_visibility": "private",
            "concurrency_id": "show",
            "concurrency_limit": 1,  # one after the other, so that the last one wins
        }
        moved = [self.seed, self.n, *self.look.boxes]
        gr.on([part.input for part in moved], self._changed, self.inputs, self.shown, **quiet)
        self.look.connect(**quiet)
        self.dice.click(self._rolled, self.inputs, self.outputs, **quiet)
        for words, button in zip(EXAMPLES, self.examples, strict=True):
            button.click(self._example(words), {self.model, self.look.c}, self.outputs, **quiet)
        self.grid.select(self._picked, self.inputs, self.outputs, **quiet)
        self.strip.select(self._picked_psi, self.inputs, self.outputs, **quiet)
        quiet.update(concurrency_id="fill", concurrency_limit=2)
        self.view.change(self._fill, self.view, [self.grid, self.strip], **quiet)

    # What the page asks of a tab

    def welcome(self, model: Model) -> Recipe:
        """The default picture among others."""
        return welcome(model)

    def open(self, opened: Opened, request: gr.Request) -> Updates:
        """Outputs that show a recipe of any tab, and set every control to it."""
        recipe = dataclasses.replace(opened.value, t="seeds")
        outputs = self._show(recipe, opened.model, None, request, opened.notes)
        return {**outputs, **self._set_controls(recipe, opened.model)}

    def adapted(self, value: Value, model: Model) -> Recipe:
        """What another model can take of a recipe: latents, rows and directions are its own."""
        return _adapted(value, model)

    def take(self, view: View | None, pictures: Sequence[Recipe], how: str, model: Model) -> Recipe:
        """The picture, large."""
        return pictures[0]

    # What visitors do

    def _changed(self, values: Updates, request: gr.Request) -> Updates:
        return self._try(values, request)

    def _rolled(self, values: Updates, request: gr.Request) -> Updates:
        return self._try({**values, self.seed: random.randrange(DICE)}, request, self.seed)

    def _picked(self, values: Updates, event: gr.EventData, request: gr.Request) -> Updates:
        view, index = values[self.view], _index(event)
        if view is None or not 0 <= index < view.recipe.n:
            return gr.skip()
        return self._try({**values, self.seed: view.first + index}, request, self.seed)

    def _picked_psi(self, values: Updates, event: gr.EventData, request: gr.Request) -> Updates:
        index = _index(event)
        if not 0 <= index < len(STRIP):
            return gr.skip()
        return self._try({**values, self.look.psi: STRIP[index]}, request, self.look.psi)

    def _example(self, words: str) -> Callable[[Updates, gr.Request], Updates]:
        def show(values: Updates, request: gr.Request) -> Updates:
            model, _ = self.session.pick(values[self.model])
            settings = EXAMPLES[words](model.num_ws)
            recipe = dataclasses.replace(welcome(model), c=values[self.look.c], **settings)
            return self.open(Opened(_adapted(recipe, model), model, []), request)

        return show

    # Controls <-> Recipe

    def _try(self, values: Updates, request: gr.Request, *set_too: gr.Number) -> Updates:
        """Outputs for new values of the controls, or only a note on what is wrong with them."""
        if values[self.n] is None or self.look.is_emptied(values):
            return gr.skip()  # emptied, to be typed into
        view = values[self.view]
        if values[self.seed] is None and (view is None or view.recipe.w is None):
            return gr.skip()
        try:
            recipe, model = self._read(values)
            shown = self._show(recipe, model, view, request)
            return {**shown, **{part: values[part] for part in set_too}}
        except Exception as error:
            return {self.notes: [f"This cannot be drawn: {in_words(error)}"]}

    def _read(self, values: Updates) -> tuple[Recipe, Model]:
        """The recipe that the controls stand for, with what it has that no control shows."""
        view, seed = values[self.view], values[self.seed]
        old = view.recipe if view else Recipe()
        w = old.w if seed is None else None
        # A page sends its controls as they were: it may not have heard of another model yet.
        model, _ = self.session.pick(values[self.model])
        before, _ = self.session.pick(self.share.model_of(values[self.share.link]))
        recipe = Recipe(
            seed=0 if w else seed,
            w=w,
            **self.look.read(values, before),
            mix=old.mix,
            e=old.e,
            n=1 if w else values[self.n],
            x=old.x if w else None,
        )
        return (recipe if model is before else _adapted(recipe, model)), model

    def _set_controls(self, recipe: Recipe, model: Model) -> Updates:
        return {
            self.model: model_value(self.session, model),
            self.seed: recipe.seed if recipe.w is None else None,
            self.n: recipe.n,
            **self.look.set(recipe, model),
        }

    # Drawing

    def _show(
        self,
        recipe: Recipe,
        model: Model,
        view: View | None,
        request: gr.Request,
        notes: list[str] | None = None,
    ) -> Updates:
        """Outputs with the large picture; the grid and the strip follow by themselves (_fill)."""
        model.check(recipe)
        recipe, first = model.stamped(recipe), recipe.seed
        if view is not None and view.first <= recipe.seed < view.first + recipe.n:
            first = view.first  # a picture of the grid was chosen: the others stay
        new = View(recipe, first, self.session.turns.take(request.session_hash))
        file, words = self.session.picture(model, new.one, page=recipe), said(recipe)
        return {
            self.view: new,
            self.picture: picture_value(
                file,
                f"Picture drawn by {model.name}: {words}",
                words,
                model.config.resolution,
                new.one.to_query(),
            ),
            self.notes: notes or [],
            **self.share.update(recipe, model, view is None or view.recipe.m != recipe.m),
        }

    def _fill(self, view: View | None, request: gr.Request) -> Iterator[Updates]:
        """The strip and the grid of a view; drawn slowly, it shows what it has, or gives way."""
        nothing = {
            self.grid: gr.skip(),
            self.strip: gr.skip(),
        }  # ending without a word empties both
        if view is None:
            yield nothing
            return
        model, _ = self.session.pick(view.recipe.m)
        strip = [dataclasses.replace(view.one, psi=psi) for psi in STRIP if view.recipe.w is None]
        recipes = [*strip, *(view.grid.singles() if view.recipe.n > 1 else [])]
        files: list[Path] = []
        shown_at = time.monotonic()
        try:
            for batch in self.session.draw(model, recipes):
                files += batch
                if len(files) == len(recipes):
                    break
                if not self.session.turns.is_newest(request.session_hash, view.turn):
                    yield nothing
                    return
                if time.monotonic() - shown_at > PATIENCE_SEC:
                    yield self._filled(view, files, len(strip), f"{len(files)} of {len(recipes)}")
                    shown_at = time.monotonic()
            yield self._filled(view, files, len(strip))
        except Exception as error:
            yield self._filled(view, files, len(strip), in_words(error))

    def _filled(self, view: View, files: list[Path], strip: int, status: str = "") -> Updates:
        recipe, first, n = view.recipe, view.first, view.recipe.n
        model, _ = self.session.pick(recipe.m)
        side_px = model.config.resolution
        cells = n if n > 1 else 0
        padded = [*files, *[None] * (strip + cells - len(files))]
        return {
            self.strip: cells_value(
                padded[:strip],
                [f"{psi:g}" for psi in STRIP[:strip]],
                ["The same at ψ"] * strip,
                STRIP.index(recipe.psi) if recipe.psi in STRIP else -1,
                side_px,
            ),
            self.grid: cells_value(
                padded[strip:],
                [str(first + i) for i in range(cells)],
                ["Seed"] * cells,
                recipe.seed - first,
                side_px,
                status,
            ),
        }


def _adapted(recipe: Recipe, model: Model) -> Recipe:
    return dataclasses.replace(
        recipe,
        c=recipe.c if recipe.c < max(model.c_dim, 1) else 0,
        cut=fitting_cut(recipe.cut, model),
        w=None,
        mix=(),
        e=(),
        x=None,
    )


def _index(event: gr.EventData) -> int:
    """Which picture was chosen; what comes from a page can be anything."""
    index = event._data.get("index") if isinstance(event._data, dict) else None
    return index if isinstance(index, int) else -1

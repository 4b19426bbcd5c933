"""The Editing tab: one picture, moved along the model's directions and the visitor's own."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from stylegan.directions import STRENGTHS
from stylegan.mix import layer_side
from stylegan.model import Model
from stylegan.recipe import Edit, Recipe, RecipeError
from stylegan.tabs.known import Found, Known, edited
from stylegan.tabs.link import Opened, ShareRow, Value
from stylegan.tabs.look import Look
from stylegan.tabs.marking import Arrived, Marking
from stylegan.tabs.parts import (
    CRISP_BELOW_PX,
    cells_part,
    cells_value,
    file_value,
    model_value,
    part,
    picture_part,
    picture_value,
)
from stylegan.tabs.seeds import DICE
from stylegan.tabs.session import Session, in_words
from stylegan.tabs.tab import Updates, fitting_cut, said

EXAMPLES = ((1, 2.5), (2, -2.5), (3, 2.5), (4, -2.5))  # seed and strength, a direction each
PATIENCE_SEC = 0.4
MARKS = {"has": 1, "has_not": -1}  # how pictures are taken -> their mark


@dataclass(frozen=True)
class View:
    """What one visitor sees: a picture before its edits, the edits, and both as one recipe."""

    start: Recipe
    edits: tuple[Edit, ...]
    """Also along directions that the model lacks."""
    recipe: Recipe

    @property
    def value(self) -> Recipe:
        """What another model can take something of; this one draws `recipe`, as links do."""
        return dataclasses.replace(self.start, e=self.edits)


@dataclass(frozen=True)
class Strip:
    """The picture at STRENGTHS of one direction, with its other edits as they are."""

    m: str
    direction: str
    label: str
    recipes: tuple[Recipe, ...]


@dataclass(frozen=True)
class Marked(Recipe):
    """What the tab shows, with pictures of other tabs that are to be marked."""

    marks: tuple[tuple[Recipe, int], ...] = ()
    already: bool = False
    """Whether the tab shows the recipe, so that all its controls can stay as they are."""


class EditingTab:
    """Controls <-> Recipe. A tab of the page, built where it is created."""

    id = "edit"

    def __init__(self, session: Session, notes: gr.HTML, model: gr.Dropdown) -> None:
        self.session, self.notes, self.model = session, notes, model
        self.found = Found()
        self.view, self.strip = gr.State(), gr.State()
        with gr.Row(elem_classes="sg-tab", elem_id="sg-edit"):
            with gr.Column(scale=4, min_width=320):
                with gr.Row(elem_classes="sg-compare"):
                    self.picture = picture_part()
                    self.original = _original_part()
                self._build_start()
                self.share = ShareRow(session, self.view, lambda view: (view.recipe, view.recipe))
                gr.HTML("<h3 class='sg-h'>Examples</h3>", apply_default_css=False)
                self.examples = cells_part("Examples: other pictures, edited", in_one_row=True)
            with gr.Column(scale=6, min_width=320):
                self.strengths = _strengths_part()
                self.sliders = _sliders_part()
                self.marking = Marking(session, self.found, model, self.view)
        boxes = [self.model, self.seed, self.psi, self.c, self.sliders]
        self.inputs = {*boxes, self.view, self.strip, self.share.link, self.marking.own}
        self.shown = [self.view, self.strip, self.picture, self.original, self.notes]
        self.shown += self.share.outputs
        self.outputs = [*self.shown, *boxes, *self.marking.outputs]
        self._connect()

    # The page

    def _build_start(self) -> None:
        with gr.Row(elem_classes="sg-seed"):
            self.seed = gr.Number(0, label="Seed", precision=0, elem_id="sg-edit-seed")
            self.dice = gr.Button(
                "⚄ Another seed", variant="primary", size="md", elem_id="sg-edit-dice"
            )
        self.look = Look("sg-edit")
        self.psi, self.c = self.look.psi, self.look.c

    def _connect(self) -> None:
        quiet = {
            "trigger_mode": "always_last",
            "show_progress": "hidden",
            "preprocess": False,  # values are checked by Recipe and Edit, in words
            "api_visibility": "private",
            "concurrency_id": "show",
            "concurrency_limit": 1,  # one after the other, so that the last one wins
        }
        moved = [self.sliders, self.seed, self.psi, self.c]
        gr.on([part.input for part in moved], self._changed, self.inputs, self.shown, **quiet)
        self.dice.click(self._rolled, self.inputs, [*self.shown, self.seed], **quiet)
        quiet.update(trigger_mode="multiple")  # each click brings its own index
        self.examples.select(self._picked, self.inputs, self.outputs, **quiet)
        quiet.update(concurrency_id="fill", concurrency_limit=2, trigger_mode="always_last")
        self.strip.change(self._fill, self.strip, [self.strengths, self.examples], **quiet)
        self.marking.connect(self.sliders.delete)

    # What the page asks of a tab

    def welcome(self, model: Model) -> Recipe:
        """A picture with no edits: the sliders ask to be moved."""
        return Recipe(t="edit", cut=model.config.usual_cut)

    def open(self, opened: Opened, request: gr.Request) -> Updates:
        """Outputs that show a recipe of any tab, and set every control to it."""
        value, model = opened.value, opened.model
        if isinstance(value, Marked):
            arrived = Arrived(value.marks, self.session.turns.take(None))
            outputs = {self.marking.arrived: arrived, self.notes: opened.notes}
            if value.already:
                return outputs
            return {**self._open(_bare(value), model, request, opened.notes), **outputs}
        return self._open(value, model, request, opened.notes)

    def adapted(self, value: Value, model: Model) -> Recipe:
        """What another model can take of a recipe: edits by the same name, where it has them."""
        return dataclasses.replace(
            value,
            c=value.c if value.c < max(model.c_dim, 1) else 0,
            cut=fitting_cut(value.cut, model),
            w=None,
            mix=(),
            e=_kept(value.e, model),
            x=None,
        )

    def take(self, view: View | None, pictures: Sequence[Recipe], how: str, model: Model) -> Recipe:
        """The picture with its edits on the sliders; or what is shown, and pictures to mark."""
        if how not in MARKS:
            return dataclasses.replace(pictures[0], t="edit", n=1)
        marks = tuple(
            (model.stamped(dataclasses.replace(picture, t="seeds", n=1)), MARKS[how])
            for picture in pictures
        )
        already = view is not None and view.value.m == model.id
        shown = dataclasses.replace(pictures[0], t="edit", n=1) if view is None else view.value
        if not already and view is not None:
            shown = self.adapted(shown, model)
        return Marked(**_fields(shown), marks=marks, already=already)

    # What visitors do

    def _changed(self, values: Updates, request: gr.Request) -> Updates:
        return self._try(values, request)

    def _rolled(self, values: Updates, request: gr.Request) -> Updates:
        seed = random.randrange(DICE)
        return {**self._try({**values, self.seed: seed}, request), self.seed: seed}

    def _picked(self, values: Updates, event: gr.EventData, request: gr.Request) -> Updates:
        model, _ = self.session.pick(values[self.model])
        index = event._data.get("index") if isinstance(event._data, dict) else None
        examples = self._examples(model)
        if not isinstance(index, int) or not 0 <= index < len(examples):
            return gr.skip()
        start, edit = examples[index]
        try:
            outputs = self._show(start, (edit,), model, (), edit.direction, request)
        except Exception as error:
            return {self.notes: [f"This cannot be drawn: {in_words(error)}"]}
        return {**outputs, **self._set_controls(start, (edit,), model)}

    # Controls <-> Recipe

    def _try(self, values: Updates, request: gr.Request) -> Updates:
        """Outputs for new values of the controls, or only a note on what is wrong with them."""
        view = values[self.view]
        if values[self.psi] is None or values[self.c] is None:
            return gr.skip()  # emptied, to be typed into
        if values[self.seed] is None and (view is None or view.start.w is None):
            return gr.skip()
        try:
            model, _ = self.session.pick(values[self.model])
            own = values[self.marking.own]
            start, edits = self._read(values, model)
            chosen = _chosen(values[self.sliders])
            shown = (view, values[self.strip])
            return self._show(start, edits, model, own, chosen, request, shown)
        except Exception as error:
            return {self.notes: [f"This cannot be drawn: {in_words(error)}"]}

    def _read(self, values: Updates, model: Model) -> tuple[Recipe, tuple[Edit, ...]]:
        """The picture that the controls stand for, with what it has that no control shows."""
        view, seed = values[self.view], values[self.seed]
        old = view.start if view else self.welcome(model)
        w = old.w if seed is None else None
        start = dataclasses.replace(
            old,
            seed=0 if w else seed,
            w=w,
            psi=values[self.psi],
            c=values[self.c],
            x=old.x if w else None,
        )
        known = self.found.known(model, values[self.marking.own])
        edits = tuple(
            edit for edit in _edits(values[self.sliders]) if edit.direction in known
        )  # a page sends its controls as they were, also those of what was removed since
        before, _ = self.session.pick(self.share.model_of(values[self.share.link]))
        if model is not before:
            return self.adapted(start, model), _kept(edits, model)
        return start, edits

    def _set_controls(self, start: Recipe, edits: Sequence[Edit], model: Model) -> Updates:
        known = self.found.known(model)
        return {
            self.model: model_value(self.session, model),
            self.seed: start.seed if start.w is None else None,
            **self.look.set_main(start, model),
            self.sliders: {
                "model": model.id,
                "sides": [layer_side(model.config, row) for row in range(model.num_ws)],
                "items": [direction.listed() for direction in known.values()],
                "edits": [
                    {"direction": e.direction, "strength": e.strength, "rows": e.rows}
                    for e in edits
                ],
                "chosen": edits[0].direction if edits else next(iter(known), None),
            },
        }

    # Drawing

    def _open(self, recipe: Recipe, model: Model, request: gr.Request, notes: list[str]) -> Updates:
        recipe = dataclasses.replace(recipe, t="edit", n=1)
        start = dataclasses.replace(recipe, e=())
        edits = tuple(edit for edit in recipe.e if edit.strength)
        controls = self._set_controls(start, edits, model)
        chosen = controls[self.sliders]["chosen"]
        return {**self._show(start, edits, model, (), chosen, request, notes=notes), **controls}

    def _show(
        self,
        start: Recipe,
        edits: tuple[Edit, ...],
        model: Model,
        own: tuple[Known, ...],
        chosen: str | None,
        request: gr.Request,
        before: tuple[View | None, Strip | None] = (None, None),
        notes: list[str] | None = None,
    ) -> Updates:
        """Outputs with the large picture; the strip follows by itself (_fill)."""
        start = model.stamped(start)
        known = self.found.known(model, own)
        variants = [edits, *_at_strengths(edits, known.get(chosen))]
        recipe, *others = edited(model, start, variants, known)
        label = known[chosen].label if chosen in known else ""
        strip = Strip(model.id, chosen or "", label, tuple(others))
        if strip != before[1]:
            self.session.turns.take(_strip_of(request))  # one that is being drawn gives way
        words = _said(start, edits)
        original = {}
        if edits:
            original = _original_value(self.session.picture(model, start), start, model)
        return {
            self.view: View(start, edits, recipe),
            self.strip: strip,
            self.picture: picture_value(
                self.session.picture(model, recipe),
                f"Picture drawn by {model.name}: {words}",
                words,
                model.config.resolution,
                recipe.to_query(),
            ),
            self.original: original,
            self.notes: notes or [],
            **self.share.update(recipe, model, before[0] is None or before[0].recipe.m != recipe.m),
        }

    def _examples(self, model: Model) -> list[tuple[Recipe, Edit]]:
        """Pictures with one edit each, of whatever directions there are."""
        known = self.found.known(model).values()
        return [
            (Recipe(seed=seed, t="edit"), Edit(direction.name, strength, direction.note.rows))
            for direction, (seed, strength) in zip(known, EXAMPLES, strict=False)
        ]

    def _fill(self, strip: Strip | None, request: gr.Request) -> Iterator[Updates]:
        """Pictures at each strength, and the examples; slow ones give way to newer requests."""
        nothing = {self.strengths: gr.skip(), self.examples: gr.skip()}
        if strip is None:
            yield nothing
            return
        turn = self.session.turns.take(_strip_of(request))
        model, _ = self.session.pick(strip.m)
        known = self.found.known(model)
        examples = self._examples(model)
        wanted = [*strip.recipes]
        for start, edit in examples:
            wanted += edited(model, start, [[edit]], known)
        files: list[Path | None] = []
        shown_at = time.monotonic()
        try:
            for batch in self.session.draw(model, wanted):
                files += batch
                if time.monotonic() - shown_at > PATIENCE_SEC and len(files) < len(wanted):
                    if not self.session.turns.is_newest(_strip_of(request), turn):
                        yield nothing
                        return
                    yield self._filled(strip, model, examples, files)
                    shown_at = time.monotonic()
            yield self._filled(strip, model, examples, files)
        except Exception as error:
            yield self._filled(strip, model, examples, files, in_words(error))

    def _filled(
        self,
        strip: Strip,
        model: Model,
        examples: list[tuple[Recipe, Edit]],
        files: Sequence[Path | None],
        status: str = "",
    ) -> Updates:
        count, side_px = len(strip.recipes), model.config.resolution
        files = [*files, *[None] * (count + len(examples) - len(files))]
        strengths = STRENGTHS[:count]
        labels = [f"{edit.direction} {edit.strength:+g}" for _, edit in examples]
        return {
            self.strengths: {
                **cells_value(
                    files[:count],
                    [f"{strength:+g}" if strength else "0" for strength in strengths],
                    [f"{strip.label} {strength:+g}" for strength in strengths],
                    -1,
                    side_px,
                    status,
                ),
                "m": strip.m,
                "direction": strip.direction,
                "label": strip.label,
                "strengths": list(strengths),
            },
            self.examples: {
                **cells_value(files[count:], labels, labels, -1, side_px),
                "m": strip.m,
            },
        }


# Parts of the page

_LINE = """
<template id="sg-direction"><div class="sg-direction">
  <div class="sg-head">
    <button type="button" class="sg-pick"></button>
    <input type="number" class="sg-strength" step="0.1"><span>σ</span>
    <button type="button" class="sg-reset sg-icon" title="Back to 0">↺</button>
    <button type="button" class="sg-rename sg-icon" title="Rename, for you alone">✎</button>
    <button type="button" class="sg-remove sg-icon" title="Remove">✕</button>
  </div>
  <input type="range" class="sg-range" step="0.1">
  <p class="sg-note"></p>
  <details class="sg-extent"><summary class="sg-extent-said"></summary>
    <label>from <input type="range" class="sg-from" min="0" step="1"><span></span></label>
    <label>to <input type="range" class="sg-to" min="0" step="1"><span></span></label>
  </details>
</div></template>
"""


def _sliders_part() -> gr.HTML:
    """Sliders of directions: {model, sides, items, edits, chosen}, of which the page sends all."""
    template = (
        f"{_LINE}<div class='sg-bar'><h3 class='sg-h'>Directions</h3>"
        "<button type='button' class='sg-reset-all'>Reset all</button></div>"
        "<p class='sg-hint'>1 σ is a usual step for this model; beyond 3 its pictures come apart. "
        "Early layers hold pose and shape, late ones colour and texture.</p>"
        "<div class='sg-named'></div>"
        "<details class='sg-found'><summary></summary>"
        "<p class='sg-hint'>The ways in which this model's pictures differ most, found without "
        "anyone saying what they show. Try one, and name it if it does one thing.</p>"
        "<div class='sg-named'></div></details>"
        "<p class='sg-hint sg-unlinked' role='status'></p>"
        "<p class='sg-hint sg-none sg-off'>This model has no directions yet.</p>"
    )
    return part(template, "directions(element, props, trigger, watch)", {})


def _strengths_part() -> gr.HTML:
    """Pictures at some strengths of one direction; one that is chosen sets the slider."""
    template = (
        '<h3 class="sg-h sg-title"></h3><div class="sg-cells row-only" role="group"></div>'
        '<p class="sg-status" role="status"></p>'
    )
    return part(template, "strengths(element, props, watch)", {})


def _original_part() -> gr.HTML:
    """The picture before its edits, over the other one while a button is held."""
    template = (
        '<figure class="sg-original"><img alt=""><figcaption></figcaption></figure>'
        '<button type="button" class="sg-hold" aria-pressed="false" '
        'title="Hold to see the picture before its edits">◐ Hold to compare</button>'
    )
    return part(template, "original(element, props, watch)", {})


def _original_value(file: Path, start: Recipe, model: Model) -> dict[str, Any]:
    words = f"before: {said(start)}"
    cell = {"file": file_value(file), "alt": f"The picture {words}"}
    return {"cell": cell, "caption": words, "crisp": model.config.resolution < CRISP_BELOW_PX}


# What a page sends; it can be anything


def _edits(sent: Any) -> tuple[Edit, ...]:
    """The edits of the sliders, but for those at 0. Errors are RecipeErrors."""
    try:
        edits = [
            Edit(edit["direction"], edit["strength"], edit["rows"] and tuple(edit["rows"]))
            for edit in (sent or {}).get("edits", ())
        ]
    except (AttributeError, KeyError, TypeError):
        raise RecipeError("the sliders hold something other than edits") from None
    return tuple(edit for edit in edits if edit.strength)


def _chosen(sent: Any) -> str | None:
    chosen = sent.get("chosen") if isinstance(sent, dict) else None
    return chosen if isinstance(chosen, str) else None


# Edits


def _kept(edits: Sequence[Edit], model: Model) -> tuple[Edit, ...]:
    """Edits that a model can make, in those of their rows that it has."""
    kept = []
    for edit in edits:
        if edit.direction in model.directions and (edit.rows or (0, 0))[0] < model.num_ws:
            rows = edit.rows and (edit.rows[0], min(edit.rows[1], model.num_ws - 1))
            kept.append(dataclasses.replace(edit, rows=rows))
    return tuple(kept)


def _at_strengths(edits: tuple[Edit, ...], chosen: Known | None) -> list[tuple[Edit, ...]]:
    """The edits with the chosen direction's first one at each of STRENGTHS."""
    if chosen is None:
        return []
    names = [edit.direction for edit in edits]
    if chosen.name not in names:
        edits = (*edits, Edit(chosen.name, 0, chosen.note.rows))
        names.append(chosen.name)
    i = names.index(chosen.name)
    return [
        (*edits[:i], *_nonzero(dataclasses.replace(edits[i], strength=strength)), *edits[i + 1 :])
        for strength in STRENGTHS
    ]


def _strip_of(request: gr.Request) -> str:
    """Whose strip takes turns: moving its own slider does not change it."""
    return f"{request.session_hash}/edit"


def _nonzero(edit: Edit) -> tuple[Edit, ...]:
    return (edit,) if edit.strength else ()


def _said(start: Recipe, edits: Sequence[Edit]) -> str:
    """One picture in few words."""
    return said(dataclasses.replace(start, e=tuple(edits)))


def _fields(recipe: Recipe) -> dict[str, Any]:
    return {field.name: getattr(recipe, field.name) for field in dataclasses.fields(Recipe)}


def _bare(recipe: Recipe) -> Recipe:
    return Recipe(**_fields(recipe))

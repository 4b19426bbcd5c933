"""Marks on pictures, "has it" or "has it not", and the directions that a visitor makes of them."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from torch import Tensor

from stylegan.direction_files import DIRECTIONS, DirectionNote, save_directions
from stylegan.directions import LEAST_MARKS, DirectionError, Fit, check_name, fit_groups
from stylegan.model import Model
from stylegan.recipe import Recipe, RecipeError
from stylegan.tabs.known import Found, Known
from stylegan.tabs.parts import CRISP_BELOW_PX, file_value, part, saver_part, saver_value
from stylegan.tabs.seeds import DICE
from stylegan.tabs.session import Session, in_words, place
from stylegan.tabs.tab import Updates

NEW_PICTURES = 24
MAX_PICTURES = 200
MAX_OWN = 20
TRUSTED_MARKS = 5  # of each, before anything is said of how well they are told apart
LEAST_PSI = 0.5  # with less, pictures are too much alike to mark
METHOD = "own marks"

Marks = list[tuple[Recipe, int]]
"""Pictures, each with 1 for has it, -1 for has it not, 0 for neither."""


@dataclass(frozen=True)
class Arrived:
    """Pictures sent by another tab, with their marks, and a number that is another each time."""

    marks: tuple[tuple[Recipe, int], ...]
    turn: int


class Marking:
    """A fold of the Editing tab: a grid of pictures to mark, and what is made of the marks."""

    def __init__(self, session: Session, found: Found, model: gr.Dropdown, view: gr.State) -> None:
        self.session, self.found, self.model, self.view = session, found, model, view
        self.own = gr.State(())
        """Known directions of this visitor, of any model."""
        self.arrived = gr.State()
        """Pictures of other tabs with their marks, to be put among the others."""
        with gr.Accordion("Make a direction of your own", open=False) as self.fold:
            gr.HTML(
                "<p class='sg-hint'>Think of something that some of these pictures have and others "
                "have not. Mark a few of both, and a direction is fitted that tells them "
                "apart. Keys: arrows, + has it, - has it not, 0 neither.</p>",
                apply_default_css=False,
            )
            self.marks = _marks_part()
            self.more = gr.Button("More pictures", size="md")
            with gr.Row(elem_classes="sg-many"):
                self.name = gr.Textbox(
                    label="Name of the direction",
                    placeholder="big-smile",
                    max_lines=1,
                    elem_id="sg-own-name",
                )
                self.make = gr.Button("Make it", variant="primary", size="md")
            self.said = said_part()
            self.save = gr.Button("Download directions.safetensors", size="md", visible=False)
        self.mine = part("<span hidden></span>", "mine(element, props, watch)", {})
        self.saver = saver_part()
        self.outputs = [self.arrived]

    def connect(self, removing: Callable[..., Any]) -> None:
        """Listen to everything; `removing` is the event of the sliders that brings a name."""
        quiet = {
            "show_progress": "hidden",
            "preprocess": False,
            "api_visibility": "private",
            "concurrency_id": "fill",
            "concurrency_limit": 2,
        }
        asked = [self.marks, self.model, self.view]
        self.fold.expand(self._first, asked, self.marks, **quiet)
        self.more.click(self._more, asked, self.marks, trigger_mode="once", **quiet)
        self.arrived.change(self._arrive, [self.arrived, *asked], [self.marks, self.fold], **quiet)
        made = [self.own, self.mine, self.said, self.save]
        wanted = [self.marks, self.name, self.model, self.own]
        gr.on([self.make.click, self.name.submit], self._make, wanted, made, **quiet)
        removing(self._remove, [self.model, self.own], made, trigger_mode="multiple", **quiet)
        self.save.click(self._save, [self.model, self.own], [self.saver, self.said], **quiet)

    # Pictures to mark

    def _first(self, sent: Any, model_id: str, view: Any) -> Iterator[Any]:
        model, _ = self.session.pick(model_id)
        if any(picture.m == model.id for picture, _ in self._read(sent)):
            yield gr.skip()
            return
        yield from self._more(sent, model_id, view)

    def _more(self, sent: Any, model_id: str, view: Any) -> Iterator[Any]:
        """Marked pictures stay, the others make room for new ones."""
        model, _ = self.session.pick(model_id)
        kept = [picture for picture, mark in self._read(sent) if mark][-MAX_PICTURES:]
        yield from self._shown(kept + _new(model, view), {})

    def _arrive(self, arrived: Any, sent: Any, model_id: str, view: Any) -> Iterator[Updates]:
        """Pictures of other tabs stand first, and there are some to compare them with."""
        if not arrived:
            yield {self.marks: gr.skip(), self.fold: gr.skip()}
            return
        model, _ = self.session.pick(model_id)
        marks = dict(arrived.marks)
        others = [picture for picture, _ in self._read(sent) if picture not in marks]
        if not any(picture.m == model.id for picture in others):
            others += _new(model, view)
        for value in self._shown([*marks, *others][:MAX_PICTURES], marks):
            yield {self.marks: value, self.fold: gr.Accordion(open=True)}

    def _read(self, sent: Any) -> Marks:
        """The marks of a page, of pictures that can be drawn here."""
        return [(picture, mark) for picture, mark in read_marks(sent) if self._draws(picture)]

    def _draws(self, picture: Recipe) -> bool:
        try:
            if picture.m is None:
                return False
            model, note = self.session.pick(picture.m)
            model.check(picture)
        except RecipeError:
            return False
        return not note

    def _shown(self, pictures: Sequence[Recipe], marks: dict[Recipe, int]) -> Iterator[Any]:
        """Values of the grid as its pictures are drawn. Marks made in the page stay there."""
        files: dict[Recipe, Path] = {}
        try:
            for id in dict.fromkeys(picture.m for picture in pictures):
                model, _ = self.session.pick(id)
                own = [picture for picture in pictures if picture.m == id]
                done = 0
                for batch in self.session.draw(model, own):
                    files.update(zip(own[done:], batch, strict=False))
                    done += len(batch)
                    yield self._value(pictures, files, marks)
        except Exception as error:
            yield {**self._value(pictures, files, marks), "status": in_words(error)}

    def _value(
        self, pictures: Sequence[Recipe], files: dict[Recipe, Path], marks: dict[Recipe, int]
    ) -> dict[str, Any]:
        cells = []
        for picture in pictures:
            model, _ = self.session.pick(picture.m)
            what = "a picture sent here" if picture.w is not None else f"seed {picture.seed}"
            cell = {"query": picture.to_query(), "m": picture.m, "label": what, "alt": what}
            cell["crisp"] = model.config.resolution < CRISP_BELOW_PX
            if picture in files:
                cell["file"] = file_value(files[picture])
            if picture in marks:
                cell["mark"] = marks[picture]
            cells.append(cell)
        return {"cells": cells, "needed": LEAST_MARKS}

    # Directions

    def _make(self, sent: Any, name: Any, model_id: str, own: tuple[Known, ...]) -> Updates:
        try:
            model, _ = self.session.pick(model_id)
            label = " ".join(str(name or "").split())
            name = self._free_name(label, model, own)
            made, said = self._fitted(self._read(sent), name, label, model)
        except Exception as error:
            return {self.said: f"Nothing was made: {in_words(error)}"}
        own = (*(known for known in own if (known.name, known.m) != (name, model.id)), made)
        return self._listed(own, model, name, said)

    def _free_name(self, label: str, model: Model, own: tuple[Known, ...]) -> str:
        """A name by the rules of links; one of the visitor's own is made anew."""
        name = label.replace(" ", "-")
        if not name:
            raise DirectionError("give the direction a name first")
        if check_name(name) in self.found.known(model):
            raise DirectionError(f"{model.name} has a direction {name}; choose another name")
        if len(own) >= MAX_OWN and name not in [known.name for known in own]:
            raise DirectionError(f"{MAX_OWN} directions are kept here; remove one first")
        return name

    def _fitted(self, marks: Marks, name: str, label: str, model: Model) -> tuple[Known, str]:
        has, has_not = (
            [picture for picture, mark in marks if mark == sign and picture.m == model.id]
            for sign in (1, -1)
        )
        missing = [
            f"{LEAST_MARKS - len(side)} more that {word}"
            for side, word in ((has, "have it"), (has_not, "have it not"))
            if len(side) < LEAST_MARKS
        ]
        if missing:
            raise DirectionError(f"mark {' and '.join(missing)}")
        spread = self.found.spread(model)
        fit = fit_groups(spread, _ws(model, has), _ws(model, has_not))
        trusted = min(fit.has, fit.has_not) >= TRUSTED_MARKS
        note = DirectionNote(
            label="" if label == name else label,
            method=METHOD,
            accuracy=fit.accuracy if trusted else None,
        )
        return Known(name, spread.step(fit.white), note, "own", model.id), _told(
            label, fit, trusted
        )

    def _remove(self, model_id: str, own: tuple[Known, ...], event: gr.EventData) -> Updates:
        name = event._data.get("name") if isinstance(event._data, dict) else None
        model, _ = self.session.pick(model_id)
        kept = tuple(known for known in own if (known.name, known.m) != (name, model.id))
        return self._listed(kept, model, None, "")

    def _listed(
        self, own: tuple[Known, ...], model: Model, chosen: str | None, said: str
    ) -> Updates:
        return {
            self.own: own,
            self.mine: {"own": [known.listed() for known in own], "chosen": chosen},
            self.said: said,
            self.save: gr.Button(visible=any(known.m == model.id for known in own)),
        }

    def _save(self, model_id: str, own: tuple[Known, ...]) -> Updates:
        """A file that `python -m train directions` takes in."""
        model, _ = self.session.pick(model_id)
        steps = {known.name: known.step for known in own if known.m == model.id}
        notes = {known.name: known.note for known in own if known.m == model.id}
        if not steps:
            return {self.said: f"You have made no direction for {model.name} yet."}
        key = [(name, step.numpy().tobytes(), notes[name]) for name, step in steps.items()]
        where = place((model.id, key), DIRECTIONS)
        file = self.session.files.get(where)
        if file is None:
            with self.session.files.filling(where) as file:
                save_directions(file, steps, notes)
        return {self.saver: saver_value(file, self.session.turns.take(None))}


def _marks_part() -> gr.HTML:
    template = (
        '<div class="sg-marking"><div class="sg-cells" role="group" '
        'aria-label="Pictures to mark: + has it, - has it not"></div>'
        '<p class="sg-status"><span class="sg-marked" role="status"></span> '
        '<button type="button" class="sg-clear">Clear marks</button></p></div>'
    )
    return part(template, "marks(element, props, watch)", {})


def said_part() -> gr.HTML:
    """A line of text."""
    return part('<p class="sg-status" role="status"></p>', "said(element, props, watch)", "")


def read_marks(sent: Any) -> Marks:
    """What a page sends; it can be anything, so files are not taken from it, only recipes."""
    cells = sent.get("cells") if isinstance(sent, dict) else None
    marks: Marks = []
    for cell in cells[: 2 * MAX_PICTURES] if isinstance(cells, list) else []:
        try:
            picture = dataclasses.replace(Recipe.from_query(cell["query"]), n=1)
        except (RecipeError, KeyError, TypeError, AttributeError):
            continue
        mark = cell.get("mark")
        marks.append((picture, mark if mark in (1, -1) else 0))
    return marks


def _new(model: Model, view: Any) -> list[Recipe]:
    """Random pictures, as much truncated as the one that is shown, and of its class."""
    start = view.start if view else Recipe()
    psi, c = max(LEAST_PSI, start.psi), start.c if start.c < model.c_dim else 0
    return [
        model.stamped(Recipe(seed=seed, psi=psi, c=c))
        for seed in random.sample(range(DICE), NEW_PICTURES)
    ]


def _ws(model: Model, pictures: Sequence[Recipe]) -> Tensor:
    return torch.cat([model.ws(picture).cpu() for picture in pictures])


def _told(label: str, fit: Fit, trusted: bool) -> str:
    made = f"{label} is a slider now, made of {fit.has} pictures with it, {fit.has_not} without."
    if not trusted:
        return f"{made} With {TRUSTED_MARKS} or more of each you are told how good it is."
    return f"{made} It is right about {fit.accuracy:.0%} of pictures left out; 50% is chance."

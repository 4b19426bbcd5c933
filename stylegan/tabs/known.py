"""The directions that can be moved along in a model: its own, those found in it, a visitor's."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from stylegan.direction_files import DirectionNote
from stylegan.directions import Spread, closed_form, measure_spread, principal
from stylegan.latents import shift
from stylegan.model import Model
from stylegan.recipe import Edit, Recipe
from stylegan.tabs.tab import latent_of

MOST_FOUND = 6  # of each kind
ALSO_MOVED = 0.5  # as much as what a direction is named for: worth telling
MOST_TOLD = 2


@dataclass(frozen=True, eq=False)
class Known:
    """A direction, one standard deviation long, as the page lists it."""

    name: str
    step: Tensor
    """[w_dim] or [num_ws, w_dim]."""
    note: DirectionNote
    kind: str
    """named, found (without labels), or own: made by the visitor."""
    m: str
    """Id of the model that it belongs to."""
    linked: bool = False
    """Whether links can name it: it is in the model's file."""
    also: tuple[str, ...] = ()
    """What else it moves about as much, in words."""

    @property
    def label(self) -> str:
        """Its name for people."""
        return self.note.label or self.name

    def listed(self) -> dict[str, Any]:
        """What the page's sliders show of it."""
        told = []
        if self.note.accuracy is not None:
            told.append(f"{self.note.accuracy:.0%} told right")
        elif self.note.method:
            told.append(self.note.method)
        if self.also:
            told.append(f"moves too: {', '.join(self.also)}")
        return {
            "direction": self.name,
            "label": self.label,
            "note": " · ".join(told),
            "method": self.note.method,
            "rows": self.note.rows,
            "kind": self.kind,
            "m": self.m,
            "linked": self.linked,
        }


class Found:
    """What is measured in models when it is first asked for: how w spreads, and directions that
    no file holds."""

    def __init__(self) -> None:
        self._spreads: dict[str, Spread] = {}
        self._directions: dict[str, dict[str, Known]] = {}
        self._lock = threading.RLock()

    def spread(self, model: Model) -> Spread:
        """How w spreads in a model."""
        with self._lock:
            if model.id not in self._spreads:
                self._spreads[model.id] = measure_spread(model)
            return self._spreads[model.id]

    def directions(self, model: Model) -> dict[str, Known]:
        """Directions found without labels, for models whose file has none of these."""
        with self._lock:
            if model.id not in self._directions:
                self._directions[model.id] = self._find(model)
            return self._directions[model.id]

    def known(self, model: Model, own: Iterable[Known] = ()) -> dict[str, Known]:
        """All directions of a model by name: the visitor's own, the named ones, the found ones."""
        listed = [direction for direction in own if direction.m == model.id]
        listed += sorted(_filed(model), key=lambda direction: direction.kind == "found")
        return {direction.name: direction for direction in listed} | {
            name: direction
            for name, direction in self.directions(model).items()
            if name not in model.directions
        }

    def _find(self, model: Model) -> dict[str, Known]:
        if any(direction.kind == "found" for direction in _filed(model)):
            return {}
        spread = self.spread(model)
        count = min(MOST_FOUND, len(spread.deviations))
        found = {}
        for method, steps in (
            ("closed form", closed_form(model, spread, count)),
            ("PCA", principal(spread, count)),
        ):
            for i, step in enumerate(steps, 1):
                name = f"{method.replace(' ', '-').lower()}-{i}"
                note = DirectionNote(method=method)
                found[name] = Known(name, step, note, "found", model.id)
        return found


def _filed(model: Model) -> list[Known]:
    """The directions of a model's own file."""
    filed = []
    for name, step in model.directions.items():
        note = model.direction_notes[name]
        kind = "found" if is_found(note) else "named"
        filed.append(Known(name, step, note, kind, model.id, True, _also(name, model)))
    return filed


def _also(name: str, model: Model) -> tuple[str, ...]:
    """The other attributes that a direction moves at least ALSO_MOVED times as much as its own."""
    notes = model.direction_notes
    moves = dict(notes[name].moves)
    own = abs(moves.pop(name, 0.0))
    strong = [other for other, by in moves.items() if own and abs(by) >= ALSO_MOVED * own]
    strong.sort(key=lambda other: -abs(moves[other]))
    labels = {other: note.label or other for other, note in notes.items()}
    return tuple(
        f"{labels.get(other, other)} {'+' if moves[other] > 0 else '−'}"
        for other in strong[:MOST_TOLD]
    )


def is_found(note: DirectionNote) -> bool:
    """Whether a direction was found without labels, so that its name says nothing."""
    return note.method.startswith(("closed form", "PCA"))


# Moving


def edited(
    model: Model, start: Recipe, variants: Sequence[Sequence[Edit]], known: dict[str, Known]
) -> list[Recipe]:
    """The recipe of a picture with each of some lists of edits.

    Along the model's directions they stay edits. The others, which no link can name, are carried
    by the latent.
    """
    recipes = []
    ws = None
    for edits in variants:
        named = tuple(edit for edit in edits if edit.direction in model.directions)
        others = [edit for edit in edits if edit.direction not in model.directions]
        recipe = model.stamped(dataclasses.replace(start, e=named))
        if others:
            ws = model.ws(start).cpu() if ws is None else ws
            moved = ws
            for edit in others:
                moved = shift(moved, known[edit.direction].step, edit.strength, edit.rows)
            recipe = Recipe(w=latent_of(moved), noise=start.noise, e=named, t=start.t, m=recipe.m)
        recipes.append(recipe)
    return recipes

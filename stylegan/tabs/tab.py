"""What the page asks of every tab."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import gradio as gr
from torch import Tensor

from stylegan.config import UserError
from stylegan.mix import Mix
from stylegan.model import Model
from stylegan.query import pack_latent
from stylegan.recipe import Recipe
from stylegan.tabs.link import Opened, Value
from stylegan.walk import Walk

Updates = dict[Any, Any]  # outputs by component
Drawn = TypeVar("Drawn", Walk, Mix)


class View(Protocol):
    """What one visitor sees in a tab."""

    @property
    def value(self) -> Value:
        """The recipe, walk or table, stamped with its model."""


class Tab(Protocol):
    """Controls <-> a value. Built inside a gr.Tab of the page."""

    id: str
    """Its name in links."""
    view: gr.State
    """A View, or None before the tab was first shown."""
    outputs: list[gr.components.Component]
    """All that `open` may return; the page's notes and model box are among them."""

    def welcome(self, model: Model) -> Value:
        """What it shows to those who bring nothing."""

    def open(self, opened: Opened, request: gr.Request) -> Updates:
        """Show a value, and set every control to it; errors are UserErrors."""

    def adapted(self, value: Value, model: Model) -> Value:
        """What another model can take of a value."""

    def take(self, view: View | None, pictures: Sequence[Recipe], how: str, model: Model) -> Value:
        """The value with pictures of other tabs added; `how` is one of the page's SENDS."""


def fitting_cut(cut: int | None, model: Model) -> int | None:
    """What another model can take of a cut; its usual one where there is none."""
    return cut if cut is not None and cut < model.num_ws else model.config.usual_cut


def said(recipe: Recipe) -> str:
    """The recipe of one picture in few words."""
    parts = ["a latent" if recipe.w is not None else f"seed {recipe.seed}"]
    parts += [f"ψ {recipe.psi:g}"] if recipe.w is None else []
    parts += [f"class {recipe.c}"] if recipe.c else []
    parts += [f"rows {mix.first}-{mix.last} mixed in" for mix in recipe.mix]
    parts += [f"{edit.direction} {edit.strength:+g}" for edit in recipe.e]
    return " · ".join(parts)


def source(picture: Recipe, target: Value, model: Model) -> int | str:
    """A picture as a keyframe, row or column: its seed where `target` draws that alike, or else
    the latent that it is drawn from, mixed and edited."""
    alike = all(getattr(picture, key) == getattr(target, key) for key in ("psi", "cut", "c"))
    if picture.w is None and alike and not picture.mix and not picture.e:
        return picture.seed
    if picture.w is not None and not picture.mix and not picture.e:
        return picture.w
    return latent_of(model.ws(picture))


def drawn_like(value: Drawn, pictures: Sequence[Recipe]) -> Drawn:
    """A walk or table, drawn with the noise maps or tuning that pictures to be added bring."""
    found = {picture.x for picture in (value, *pictures)} - {None}
    if len(found) > 1:
        raise UserError("these pictures carry several tunings, and all here is drawn with one")
    return dataclasses.replace(value, x=next(iter(found), None))


def latent_of(ws: Tensor) -> str:
    """ws [1, num_ws, w_dim] as the text of a latent; w alone where all rows are the same."""
    rows = ws[0].cpu()
    return pack_latent((rows[0] if bool((rows == rows[:1]).all()) else rows).numpy())

"""Links and files in, recipes, walks and tables out; the row by which a tab shares its picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from stylegan.attachment import Attachment
from stylegan.config import UserError
from stylegan.links import names_something, read_link
from stylegan.mix import Mix
from stylegan.model import Model
from stylegan.recipe import Recipe, RecipeError
from stylegan.shelf import Shelf
from stylegan.stamp import PAGE, SIGNATURE, StampError, read_attachment, read_png, read_recipe
from stylegan.tabs.parts import link_part, saver_part, saver_value
from stylegan.tabs.session import Session, in_words
from stylegan.walk import Walk

FACTORS = (1, 2, 4, 8, 16)  # enlargements offered
MAX_OFFERED_PX = 1024
USUAL_PX = 512
LONG_PIXELS = 1 << 19  # drawing more than this takes seconds on a CPU

Value = Recipe | Walk | Mix
Drawn = Callable[[Any], tuple[Recipe, Recipe | Mix]]  # view -> the recipe to draw, the page's own


@dataclass(frozen=True)
class Opened:
    """What a visitor opened, with the model that will draw it, and what to say of it."""

    value: Value | Shelf
    model: Model
    notes: list[str]
    one: Recipe | None = None
    """The picture of the value that stands out: of a table, the cell that was saved; of a shelf,
    the first that can be drawn here."""

    @property
    def tab(self) -> str:
        """Id of the tab that shows it, by the names of links."""
        if isinstance(self.value, Walk):
            return "walk"
        if isinstance(self.value, Mix):
            return "mix"
        if isinstance(self.value, Shelf):
            return "shelf"  # of the desk
        if self.value.t == "mix" and Mix.around(self.value) is None:
            return "seeds"  # mixed of more than a table has
        return self.value.t


def welcome(model: Model) -> Recipe:
    """What a bare address shows: the default picture among a grid as large as is quick to draw."""
    side = model.config.resolution
    return Recipe(n=16 if side <= 128 else 4 if side <= 512 else 1, cut=model.config.usual_cut)


def open_address(search: str, session: Session) -> Opened:
    """What the part of an address after its path names; the default where it names nothing."""
    try:
        if not names_something(search):
            return Opened(welcome(session.first), session.first, [])
        return open_text(search, session)
    except UserError as error:
        return Opened(
            welcome(session.first),
            session.first,
            [f"This link does not work: {error}.", "Here is the default instead."],
        )


def open_text(text: str, session: Session) -> Opened:
    """The value of a query string or a whole link. Errors are UserErrors."""
    value = read_link(text)
    if isinstance(value, Shelf):
        return _open_shelf(value, session)
    model, note = session.pick(value.m)
    try:
        _checked(value, model)
    except RecipeError as error:
        if note:  # the model that is missing may well have had this
            error = RecipeError(f"it was made with {value.m}, which is not here, and {error}")
        raise error from None
    return Opened(value, model, [note] if note else [])


def open_file(path: str | Path, session: Session) -> Opened:
    """What a PNG or a clip carries, with the page it was saved from, where both agree.

    Nothing of the file but its text is decoded. Errors are UserErrors.
    """
    text = read_recipe(path)
    if text is None:
        raise StampError("this file carries no recipe, so it was not drawn here")
    if blob := carried_by(path):
        session.pick(read_link(text).m)[0].attach(Attachment.from_bytes(blob))
    opened = open_text(text, session)
    page = read_png(path, PAGE) if isinstance(opened.value, Recipe) else None
    if page is None:
        return opened
    view, one = read_link(page), opened.value
    if isinstance(view, Recipe) and dataclasses.replace(view, n=one.n) == one:
        return dataclasses.replace(opened, value=view)
    if isinstance(view, Mix) and one in view.recipes().values():
        return dataclasses.replace(opened, value=_checked(view, opened.model), one=one)
    return opened


def carried_by(path: str | Path) -> bytes | None:
    """The noise maps or tuning in a PNG; other files have none."""
    with Path(path).open("rb") as file:
        if file.read(len(SIGNATURE)) != SIGNATURE:
            return None
    return read_attachment(path)


def _open_shelf(shelf: Shelf, session: Session) -> Opened:
    """A shelf, some of whose pictures may be of models that are not here."""
    refused, drawable, notes = "", [], []
    for picture in shelf.pictures:
        model, note = session.pick(picture.m)
        notes += [note] if note and note not in notes else []
        try:
            model.check(picture)
            drawable.append((picture, model))
        except RecipeError as error:
            refused = refused or str(error)
    if not drawable:
        raise RecipeError(f"no picture of this shelf can be drawn here: {refused}")
    if missing := len(shelf.pictures) - len(drawable):
        notes.append(f"{missing} of {len(shelf.pictures)} cannot be drawn here: {refused}.")
    one, model = drawable[0]
    return Opened(shelf, model, notes, one)


def _checked(value: Value, model: Model) -> Value:
    for still in stills(value):
        model.check(still)
    return value


def stills(value: Value) -> list[Recipe]:
    """The pictures that a value is made of, for `Model.check`."""
    if isinstance(value, Walk):
        return [value.still(keyframe) for keyframe in value.keyframes]
    return list(value.recipes().values()) if isinstance(value, Mix) else [value]


def link_value(value: Value) -> dict[str, Any]:
    """What `link_part` shows of a value that is stamped with its model; one too long for a link
    has its text for going back to it."""
    text = value.to_query()
    if value.fits_link:
        return {"query": text, "m": value.m}
    why = {} if value.x is None else {"why": "The PNG carries all"}
    return {"query": "", "text": text, "m": value.m, **why}


class ShareRow:
    """Copy link, choose a size, download: one row below a tab's picture.

    The tab returns `update(...)` among its outputs; the address of the page follows.
    """

    def __init__(
        self, session: Session, view: gr.State, drawn: Drawn, follows: bool = True
    ) -> None:
        """`view` is what the tab keeps for a visitor, and `drawn` finds the picture in it.

        Without `follows` the page's address is another one: the picture is a part of the page.
        """
        self.session, self.view = session, view
        with gr.Row(elem_classes="sg-share"):
            self.link = link_part(follows=follows)
            download = gr.Button("Download", size="md")
            self.factor = gr.Dropdown(
                [("1x", 1)], value=1, label="Size", show_label=False, container=False
            )
        self.saver = saver_part()
        self.outputs = [self.link, self.factor]
        self.saves(download, drawn)

    def saves(self, button: gr.Button, drawn: Drawn) -> None:
        """Let a button save a picture, or a grid, of the view."""

        def save(view: Any, factor: Any) -> Any:
            if view is None:
                return gr.skip()
            try:
                return self._save(*drawn(view), factor if factor in FACTORS else 1)
            except Exception as error:
                raise gr.Error(in_words(error), print_exception=False) from None

        button.click(
            save,
            [self.view, self.factor],
            self.saver,
            preprocess=False,
            api_visibility="private",
            show_progress="hidden",
            concurrency_id="save",
        )

    def update(self, value: Value, model: Model, new_model: bool) -> dict[Any, Any]:
        """Outputs by component; `value`, stamped with its model, is what the link carries."""
        outputs: dict[Any, Any] = {self.link: link_value(value)}
        if new_model:
            outputs[self.factor] = _sizes(model.config.resolution)
        return outputs

    @staticmethod
    def model_of(link: Any) -> str | None:
        """The model that a page shows, by the value of `link` that it sends along."""
        m = link.get("m") if isinstance(link, dict) else None
        return m if isinstance(m, str) else None

    def _save(self, recipe: Recipe, page: Recipe | Mix, factor: int) -> dict[str, Any]:
        model, _ = self.session.pick(recipe.m)
        factor = min(factor, self.session.largest(model, recipe.n))
        if recipe.n * model.config.resolution**2 > LONG_PIXELS:
            gr.Info(f"Drawing {recipe.n} pictures; the file comes when they are done.")
        file = self.session.picture(model, recipe, factor, page)
        return saver_value(file, self.session.turns.take(None))


def _sizes(side_px: int) -> Any:
    """The choice of sizes of a model's pictures."""
    factors = [k for k in FACTORS if k == 1 or side_px * k <= MAX_OFFERED_PX]
    choices = [(f"{side_px * k} px", k) for k in factors]
    return gr.Dropdown(choices=choices, value=usual_factor(side_px))


def usual_factor(side_px: int) -> int:
    """By how much a picture is enlarged in a file, unless something else is chosen."""
    return max(k for k in FACTORS if k == 1 or side_px * k <= USUAL_PX)

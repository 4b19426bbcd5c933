"""The desk at the foot of the page: pictures that a visitor keeps, and all that was shown before.

What lies on it is kept by the visitor's browser alone (desk.js). The server draws for it, and
forgets.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from stylegan.config import UserError
from stylegan.model import Model
from stylegan.query import MAX_LINK_CHARS, MAX_QUERY_CHARS, RecipeError
from stylegan.recipe import Recipe
from stylegan.shelf import MAX_PICTURES, Shelf
from stylegan.stamp import contact_sheet, png_bytes, write_zip
from stylegan.tabs.link import Opened, usual_factor
from stylegan.tabs.parts import file_value, part, saver_value
from stylegan.tabs.session import Session, Turns, file_name, in_words, place
from stylegan.tabs.tab import Updates, said

HISTORY = 50  # pictures that can be gone back to
MAX_FILE_PIXELS = 1 << 25  # drawn for one file: 32 pictures of 1024x1024
MAX_ASKED_CHARS = 2 * MAX_QUERY_CHARS
TILE_PX = 256  # of a sheet
PATIENCE_SEC = 0.4  # small pictures that take longer arrive some at a time
HIDDEN = "<span hidden></span>"

WORDS = {  # how pictures are taken -> what a menu says
    "seeds": "Seeds",
    "keyframes": "Keyframes of a walk",
    "rows": "Rows of a table",
    "cols": "Columns of a table",
    "edit": "Edit",
    "has": "Mark: has it",
    "has_not": "Mark: has it not",
}


@dataclass(frozen=True)
class Asked:
    """What a page asks of the server, checked in form alone."""

    action: str
    queries: tuple[str, ...]


@dataclass(frozen=True)
class Usable:
    """Pictures that one model draws, and what to say of the others."""

    model: Model
    pictures: tuple[Recipe, ...]
    notes: list[str]


class Desk:
    """The shelf, the history, and files of many pictures. Its `part` asks, the page answers."""

    def __init__(self, session: Session, sends: Mapping[str, str]) -> None:
        """`sends` are the ways that this page's tabs take pictures, with the tab's id."""
        self.session, self.drawings = session, Turns()
        value = {
            "sends": [
                {"how": how, "tab": tab, "words": WORDS.get(how, how)} for how, tab in sends.items()
            ],
            "most": MAX_PICTURES,
            "history": HISTORY,
            "link_chars": MAX_LINK_CHARS,
        }
        self.part = part("<div></div>", "desk(element, props, trigger)", value, "sg-desk")
        self.shared = part(HIDDEN, "shared(element, props, watch)", {})
        self.small = part(HIDDEN, "small(element, props, trigger, watch)", {})
        self.files = part(HIDDEN, "files(element, props, trigger, watch)", {})
        quiet = {
            "api_visibility": "private",
            "show_progress": "hidden",
            "trigger_mode": "multiple",
            "concurrency_limit": 2,
        }
        self.small.select(self._small, None, self.small, concurrency_id="fill", **quiet)
        self.files.select(self._file, None, self.files, concurrency_id="files", **quiet)
        self.files.stop(self.leave, None, None, concurrency_id="stop", **quiet)

    def shown(self, opened: Opened) -> Updates:
        """Outputs that lay somebody's shelf on the desk, beside the visitor's own."""
        pictures = [
            picture if picture.m else self.session.first.stamped(picture)
            for picture in opened.value.pictures
        ]
        cells = [{"query": picture.to_query(), "label": said(picture)} for picture in pictures]
        return {self.shared: {"cells": cells, "count": self.session.turns.take(None)}}

    def leave(self, request: gr.Request) -> None:
        """Give up the file that is being made for this visitor."""
        self.drawings.take(request.session_hash)

    # Small pictures of recipes

    def _small(self, event: gr.EventData) -> Iterator[dict[str, Any]]:
        """Files of the pictures that a page has recipes of and no thumbnails, as they are drawn."""
        asked = read_asked(event._data)
        drawable = [found for query in asked.queries if (found := self._drawable(query))]
        files: list[Path] = []
        texts: list[str] = []
        shown_at = time.monotonic()
        for model in dict.fromkeys(model for _, _, model in drawable):
            own = [(query, picture) for query, picture, wanted in drawable if wanted is model]
            texts += [query for query, _ in own]
            for batch in self.session.draw(model, [picture for _, picture in own]):
                files += batch
                if time.monotonic() - shown_at > PATIENCE_SEC:
                    yield _small_value(texts, files)
                    shown_at = time.monotonic()
        yield {**_small_value(texts, files), "asked": list(asked.queries)}

    def _drawable(self, query: str) -> tuple[str, Recipe, Model] | None:
        try:
            picture = read_picture(query)
            model, _ = self.session.pick(picture.m)
            model.check(picture)
        except UserError:
            return None
        return query, picture, model

    # Files of many pictures

    def _file(self, event: gr.EventData, request: gr.Request) -> Iterator[dict[str, Any]]:
        """A zip, a zip of enlarged pictures, or a sheet of all, with how far it has come."""
        turn = self.drawings.take(request.session_hash)
        try:
            asked = read_asked(event._data)
            shelf = Shelf(tuple(read_picture(query) for query in asked.queries))
            make = {"zip": self._zip, "large": self._large_zip, "sheet": self._sheet}
            if asked.action not in make:
                raise UserError("this page asks for something that is not made here; reload it")
            for step in make[asked.action](shelf):
                if not self.drawings.is_newest(request.session_hash, turn):
                    yield {"said": "Stopped."}
                    return
                yield step
        except Exception as error:
            yield {"said": f"No file was made: {in_words(error)}"}

    def _zip(self, shelf: Shelf, enlarged: bool = False) -> Iterator[dict[str, Any]]:
        def named(i: int, picture: Recipe, model: Model) -> tuple[str, Path]:
            factor = usual_factor(model.config.resolution) if enlarged else 1
            name = f"{i:03d}-{file_name(model, picture, factor)}"
            return name, self.session.picture(model, picture, factor)

        found, notes = self._all_drawable(shelf)
        for i, (picture, model) in enumerate(found, 1):
            named(i, picture, model)
            yield {"said": f"Drawing: {i} of {len(found)}", "going": True}
        text = _text(found)
        where = place((text, "large" if enlarged else "zip"), "pictures.zip")
        file = self.session.files.get(where)
        if file is None:
            files = (named(i, *one) for i, one in enumerate(found, 1))
            with self.session.files.filling(where) as file:
                write_zip(file, ((name, path.read_bytes()) for name, path in files), text)
        yield self._saved(file, notes)

    def _large_zip(self, shelf: Shelf) -> Iterator[dict[str, Any]]:
        return self._zip(shelf, enlarged=True)

    def _sheet(self, shelf: Shelf) -> Iterator[dict[str, Any]]:
        found, notes = self._all_drawable(shelf)
        tiles = []
        for i, (picture, model) in enumerate(found, 1):
            with Image.open(self.session.picture(model, picture)) as image:
                tiles.append(np.atleast_3d(np.asarray(image)))
            yield {"said": f"Drawing: {i} of {len(found)}", "going": True}
        sheet, text = contact_sheet(tiles, TILE_PX), _text(found)
        where = place((text, "sheet"), "shelf.png")
        yield self._saved(self.session.files.put(where, png_bytes(sheet, text)), notes)

    def _all_drawable(self, shelf: Shelf) -> tuple[list[tuple[Recipe, Model]], list[str]]:
        """The pictures that can be drawn here, as many as are drawn for one file, with a note."""
        drawable = [self._drawable(picture.to_query()) for picture in shelf.pictures]
        found = [one[1:] for one in drawable if one]
        if not found:
            raise UserError("none of these pictures can be drawn with the models that are here")
        sides = [model.config.resolution for _, model in found]
        if sum(side * side for side in sides) > MAX_FILE_PIXELS:
            side = max(sides)
            raise UserError(
                f"a file is made of up to {max(1, MAX_FILE_PIXELS // side**2)} pictures of "
                f"{side} × {side} pixels; select fewer"
            )
        missing = len(drawable) - len(found)
        return found, [f"without {missing} that cannot be drawn here"] if missing else []

    def _saved(self, file: Path, notes: list[str]) -> dict[str, Any]:
        said = ", ".join(["Saved", *notes]) + "."
        return {**saver_value(file, self.session.turns.take(None)), "said": said}


def read_asked(data: Any) -> Asked:
    """What an event of the page brings, which can be anything."""
    action, queries = (data.get("action"), data.get("queries")) if _is_form(data) else ("", [])
    if not queries:
        raise UserError("the page did not say which pictures")
    if len(queries) > MAX_PICTURES:
        raise UserError(f"{len(queries)} pictures are too many; select up to {MAX_PICTURES}")
    if sum(map(len, queries)) > MAX_ASKED_CHARS:
        raise UserError("the latents of these pictures are too long together; select fewer")
    return Asked(action, tuple(queries))


def _is_form(data: Any) -> bool:
    if not isinstance(data, dict) or not isinstance(data.get("action"), str):
        return False
    queries = data.get("queries")
    return isinstance(queries, list) and all(isinstance(query, str) for query in queries)


def read_picture(query: str) -> Recipe:
    """One picture, by its recipe's text."""
    picture = Recipe.from_query(query)
    if picture.n != 1:
        raise RecipeError(f"n {picture.n}: one picture is taken at a time")
    return picture


def usable(queries: Sequence[str], session: Session, shown: Model) -> Usable:
    """Those of some pictures that one model draws: the one that is shown, or if none of them is
    its own, that of the first."""
    read = [(picture, *session.pick(picture.m)) for picture in map(read_picture, queries)]
    models = [model for _, model, _ in read]
    model = shown if shown in models else models[0]
    notes = list(dict.fromkeys(note for _, own, note in read if note and own is model))
    if model is not shown:
        notes.append(f"{model.name} drew this, so it is shown instead of {shown.name}.")
    pictures, refused = [], ""
    for picture, own, _ in read:
        if own is not model:
            continue
        try:
            model.check(picture)
            pictures.append(picture)
        except RecipeError as error:
            refused = refused or str(error)
    if not pictures:
        raise RecipeError(refused)
    if refused:
        count = models.count(model) - len(pictures)
        notes.append(f"Left out: {count} of {len(read)}, as {refused}.")
    if others := len(read) - models.count(model):
        notes.append(f"Left out: {others} of {len(read)}, which {model.name} did not draw.")
    return Usable(model, tuple(pictures), notes)


def _text(found: Sequence[tuple[Recipe, Model]]) -> str:
    """What a file of pictures carries: the models are those that drew them."""
    return Shelf(tuple(model.stamped(picture) for picture, model in found)).to_query()


def _small_value(texts: Sequence[str], files: Sequence[Path]) -> dict[str, Any]:
    drawn = zip(texts, files, strict=False)
    return {"cells": [{"query": text, "file": file_value(file)} for text, file in drawn]}

"""What programs may ask of the page, over HTTP and, with --mcp, as tools: each tab's pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import gradio as gr

from stylegan.config import UserError
from stylegan.mix import Mix
from stylegan.model import Model
from stylegan.projector import ProjectConfig
from stylegan.query import check_choice, check_whole, raw_pairs, read_rows
from stylegan.recipe import Edit, Recipe
from stylegan.tabs.clips import KINDS, find_clip, make_clip, now_and_then, strip_file
from stylegan.tabs.crosstable import table_file
from stylegan.tabs.easel import brought
from stylegan.tabs.search import (
    LEAST_STEPS,
    MOST_SEC,
    MOST_STEPS,
    Search,
    allowed_look,
)
from stylegan.tabs.session import Session, in_words
from stylegan.walk import Walk

FORMATS = (*(kind.removeprefix(".") for kind in KINDS.values()), "png")


def add_endpoints(session: Session) -> None:
    """/seeds, /interpolate, /mix, /edit and /project, on the page that is being built."""
    api = Endpoints(session)
    query = _text("query")
    picture, table = _picture("picture"), _picture("table")
    _offer(api.seeds, [query], picture, concurrency_limit=2)
    _offer(
        api.interpolate,
        [query, gr.Dropdown(list(FORMATS), value="mp4", label="format", visible=False)],
        gr.File(label="clip", visible=False),
        preprocess=False,
        concurrency_id="clip",
    )
    _offer(api.mix, [query], table, concurrency_id="table")
    edit = [_text("direction"), gr.Number(label="strength", visible=False), _text("rows", "")]
    _offer(api.edit, [query, *edit], picture, concurrency_limit=2)
    project = [
        gr.File(label="picture", type="filepath", visible=False),
        gr.Dropdown(["w+", "w"], value="w+", label="space", visible=False),
        gr.Number(200, label="steps", precision=0, visible=False),
        gr.Checkbox(label="tune", visible=False),
        gr.Checkbox(label="noise", visible=False),
        gr.Dropdown(["default", "paper"], value="default", label="method", visible=False),
        _text("distance", "auto"),
    ]
    found = [gr.File(label="found", visible=False), gr.JSON(label="told", visible=False)]
    _offer(api.project, [query, *project], found, concurrency_id="project")


def _text(label: str, value: str | None = None) -> gr.Textbox:
    return gr.Textbox(value, label=label, visible=False)


def _picture(label: str) -> gr.Image:
    return gr.Image(label=label, type="filepath", format="png", visible=False)


def _offer(
    fn: Callable[..., Any], inputs: list, outputs: Any, concurrency_limit: int = 1, **how: Any
) -> None:
    how |= {"api_name": fn.__name__, "concurrency_limit": concurrency_limit}
    gr.Button(visible=False).click(fn, inputs, outputs, **how)


@contextmanager
def _in_plain_words() -> Iterator[None]:
    """What goes wrong, as programs are told of it."""
    try:
        yield
    except Exception as error:
        raise gr.Error(in_words(error), print_exception=False) from None


class Endpoints:
    """Their names, arguments and words are what gradio tells programs of them."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def seeds(self, query: str) -> str:
        """Draw the picture of a recipe, or a grid of pictures where its n is above 1.

        Args:
            query: A recipe as a query string, such as "seed=7&psi=0.7&n=9", or a whole share link.

        Returns:
            A PNG file with the recipe inside.
        """
        with _in_plain_words():
            recipe = Recipe.from_query(query, strict=True)
            model = self._model(recipe.m)
            return str(self.session.picture(model, recipe))

    def interpolate(self, query: str, format: str = "mp4") -> Iterator[Any]:
        """Draw the clip of a walk from picture to picture, or its film strip.

        Args:
            query: A link to a walk or its query, as "t=walk&seed=200,1000,200&frames=60".
            format: mp4, webm or gif for the clip; png for its film strip.

        Returns:
            A file with the walk's recipe inside.
        """
        with _in_plain_words():
            walk = Walk.from_query(query, strict=True)
            check_choice("format", format, FORMATS)
            model = self._model(walk.m)
            if format == "png":
                yield str(strip_file(self.session, model, walk))
                return
            kind = f".{format}"
            if find_clip(self.session, model, walk, kind) is None:
                with closing(make_clip(self.session, model, walk, kind)) as work:
                    for _ in now_and_then(work):
                        yield gr.skip()  # so that it stops where nobody waits any more
            yield str(find_clip(self.session, model, walk, kind))

    def mix(self, query: str) -> str:
        """Draw a table of mixed styles: each row's picture with some layers of each column's.

        Args:
            query: A link to a table or its query, as "t=mix&row=1-3&col=4-6&layers=0-3".

        Returns:
            A PNG file with labels, and with the table's recipe inside.
        """
        with _in_plain_words():
            value = Mix.from_query(query, strict=True)
            model = self._model(value.m)
            return str(table_file(self.session, model, value))

    def edit(self, query: str, direction: str, strength: float, rows: str = "") -> str:
        """Draw a picture moved along one of its model's directions.

        Args:
            query: A recipe as a query string, such as "seed=7&psi=0.7", or a whole share link.
            direction: The direction's name, one of those that the model's file holds.
            strength: How far, in standard deviations, from -100 to 100.
            rows: First and last layer to move, such as "0-3"; if empty, those it is meant for.

        Returns:
            A PNG file with the recipe inside.
        """
        with _in_plain_words():
            recipe = Recipe.from_query(query, strict=True)
            model = self._model(recipe.m)
            known = model.direction_notes.get(direction)
            usual = known.rows if known else None
            chosen = read_rows("rows", rows.strip()) if rows.strip() else usual
            edit = Edit(direction, strength, chosen)
            model.check(dataclasses.replace(recipe, e=(edit,)))
            others = tuple(other for other in recipe.e if other.direction != direction)
            edits = (*others, edit) if strength else others
            return str(self.session.picture(model, dataclasses.replace(recipe, e=edits, t="edit")))

    def project(
        self,
        query: str,
        picture: str,
        space: str = "w+",
        steps: int = 200,
        tune: bool = False,
        noise: bool = False,
        method: str = "default",
        distance: str = "auto",
    ) -> Iterator[Any]:
        """Find the latent that draws a picture. Streams what is found so far, and how far it is.

        Args:
            query: A recipe, whose model m, class c and seed it begins at; or nothing.
            picture: The picture to be found. It becomes a square, cut at its longer ends.
            space: w+ (every row of its own: closer) or w (one latent for all rows).
            steps: Steps at most, 10 to 1000; it ends sooner where nothing improves any more.
            tune: Whether the generator is tuned to the picture, which travels in the PNG.
            noise: Whether noise maps are found, too. They travel in the PNG.
            method: default, or paper for the projector of StyleGAN2.
            distance: What it compares by: auto, disc (the discriminator), pixels or fetched vgg.

        Returns:
            A PNG file with the recipe inside; and how far it is: stage, step, steps, distance, and
            at the end done, psnr in dB, and query, the recipe of the result.
        """
        with _in_plain_words():
            recipe = Recipe.from_query(query, strict=True)
            model = self._model(recipe.m)
            seeded = any(key == "seed" for key, _ in raw_pairs(query))
            config = ProjectConfig(
                space=space,
                method=method,
                start=str(recipe.seed) if seeded else "auto",
                distance=allowed_look(distance),
                steps=check_whole("steps", steps, LEAST_STEPS, MOST_STEPS),
                tune=tune is True,
                noise=noise is True,
                c=recipe.c,
            )
            if not picture:
                raise UserError("no picture is given")
            easel = brought(picture, "the picture")
            search = Search(model, easel.target(model.config), config, MOST_SEC)
            for step in search.run():
                told = {key: getattr(step, key) for key in ("stage", "step", "steps", "distance")}
                yield gr.skip(), told
            result = search.result()
            if result.attachment is not None:
                model.attach(result.attachment)
            told |= {"done": True, "psnr": round(result.psnr, 2)}
            told["query"] = result.recipe.to_query()
            yield str(self.session.picture(model, result.recipe)), told

    def _model(self, id: str | None) -> Model:
        model, note = self.session.pick(id)
        if note:
            gr.Warning(note)
        return model

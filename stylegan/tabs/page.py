"""The page: a heading, the tabs, and how links and files reach them."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import gradio as gr

from stylegan.recipe import Recipe
from stylegan.tabs.link import open_address, open_png
from stylegan.tabs.parts import notes_part
from stylegan.tabs.seeds import SeedsTab, Updates
from stylegan.tabs.session import Session, in_words

TITLE = "StyleGAN playground"
OPENER = "sg-open"
MAX_UPLOAD = "256mb"
MAX_WAITING = 256
DELETE_SEC = (60, 3600)  # how often, and how old
FONTS = ("ui-sans-serif", "system-ui", "sans-serif")  # the visitor's own: nothing is fetched
MONO_FONTS = ("ui-monospace", "Consolas", "monospace")


def build(session: Session) -> gr.Blocks:
    """The page of a session, to be launched with `appearance()`.

    GRADIO_TEMP_DIR is the folder of the session's files by then: gradio serves that one whole.
    """
    page = gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=DELETE_SEC)
    with page:
        gr.HTML(_heading(session), apply_default_css=False)
        notes = notes_part()
        with gr.Tabs(), gr.Tab("Seeds", id="seeds"):
            seeds = SeedsTab(session, notes)
        with gr.Row(elem_id=OPENER):
            opener = gr.UploadButton("Open a PNG saved here", size="sm", variant="secondary")
            gr.HTML("<p>or drop it anywhere on this page</p>", apply_default_css=False)
        _connect(page, session, seeds, opener, notes)
        _add_endpoint(session)
    page.queue(max_size=MAX_WAITING)
    return page


def appearance() -> dict[str, Any]:
    """What `launch` takes for the looks of the page."""
    here = Path(__file__).parent
    script = (here / "page.js").read_text(encoding="utf-8")
    theme = gr.themes.Base(
        primary_hue="indigo", neutral_hue="slate", font=list(FONTS), font_mono=list(MONO_FONTS)
    ).set(  # readable: at least 4.5 to 1 against the background
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
    )
    return {
        "theme": theme,
        "css": (here / "page.css").read_text(encoding="utf-8"),
        "head": f"<script>{script}\nstylegan.dropping({OPENER!r});</script>",
        "footer_links": [],
    }


def _heading(session: Session) -> str:
    model, side = session.first, session.first.config.resolution
    who = f"<strong>{html.escape(model.name)}</strong>, a neural network,"
    if len(session.models) > 1:
        who = "a neural network"
    what = f"of {side} × {side} pixels " if len(session.models) == 1 else ""
    return (
        f"<header class='sg-heading'><h1>{TITLE}</h1><p>Nobody painted these: {who} draws each "
        f"picture {what}out of nothing but a number, its seed. "
        "Every picture is a link, and the link brings it back.</p></header>"
    )


def _connect(
    page: gr.Blocks,
    session: Session,
    seeds: SeedsTab,
    opener: gr.UploadButton,
    notes: gr.HTML,
) -> None:
    def load(search: str, request: gr.Request) -> Updates:
        return seeds.open(open_address(search, session), request)

    def upload(path: str, request: gr.Request) -> Updates:
        try:
            return seeds.open(open_png(path, session), request)
        except Exception as error:
            return {notes: [f"This file cannot be opened: {in_words(error)}"]}
        finally:
            Path(path).unlink(missing_ok=True)

    def leave(request: gr.Request) -> None:
        session.turns.take(request.session_hash)  # what is still drawn for this visitor stops

    search = gr.Textbox(visible=False)
    outputs = [*seeds.shown, *seeds.controls]
    quiet = {
        "api_visibility": "private",
        "show_progress": "hidden",
        "concurrency_id": "show",
    }
    page.load(load, search, outputs, js="() => window.location.search", **quiet)
    opener.upload(upload, opener, outputs, **quiet)
    page.unload(leave)


def _add_endpoint(session: Session) -> None:
    def seeds(query: str) -> str:
        """Draw the picture of a recipe, or a grid of pictures where its n is above 1.

        Args:
            query: A recipe as a query string, such as "seed=7&psi=0.7&n=9", or a whole share link.

        Returns:
            A PNG file with the recipe inside.
        """
        try:
            recipe = Recipe.from_query(query, strict=True)
            model, note = session.pick(recipe.m)
            if note:
                gr.Warning(note)
            return str(session.picture(model, recipe))
        except Exception as error:
            raise gr.Error(in_words(error), print_exception=False) from None

    query = gr.Textbox(label="query", visible=False)
    picture = gr.Image(label="picture", type="filepath", format="png", visible=False)
    button = gr.Button(visible=False)
    button.click(seeds, query, picture, api_name="seeds", concurrency_limit=2)

"""Pieces of a page that gradio lacks: crisp pictures, pictures to choose from, notes, saving.

Each is a gr.HTML whose template is fixed and whose value reaches the page as data (page.js sets
text and attributes), because gradio evaluates a template's own text as code.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData

from stylegan.model import Model
from stylegan.tabs.session import Session

CRISP_BELOW_PX = 512  # smaller pictures are shown enlarged: squares, not blur


def picture_part() -> gr.HTML:
    """One large picture with a caption, and what can be done with it below."""
    template = (
        '<figure class="sg-picture"><img alt=""><figcaption></figcaption></figure>'
        '<div class="sg-acts"></div>'
    )
    return part(template, "picture(element, props, watch)", {})


def picture_value(
    file: Path, alt: str, caption: str, side_px: int, query: str = ""
) -> dict[str, Any]:
    """What `picture_part` shows; `alt` describes it to those who do not see it.

    `query` is the text of its recipe, by which it is kept and sent to other tabs.
    """
    return {
        "cell": _cell(file, alt),
        "caption": caption,
        "crisp": side_px < CRISP_BELOW_PX,
        "query": query,
    }


def cells_part(label: str, in_one_row: bool = False) -> gr.HTML:
    """Pictures as buttons, in a square or in one row; its `select` event brings `index`."""
    kind = "sg-cells row-only" if in_one_row else "sg-cells"
    template = (
        f'<div class="{kind}" role="group" aria-label="{label}"></div>'
        '<p class="sg-status" role="status"></p>'
    )
    return part(template, "cells(element, props, trigger, watch)", {})


def cells_value(
    files: Sequence[Path | None],
    labels: Sequence[str],
    alts: Sequence[str],
    current: int,
    side_px: int,
    status: str = "",
) -> dict[str, Any]:
    """What `cells_part` shows: a place for each picture, empty while it has no file yet."""
    cells = [
        {**(_cell(file, alt) if file else {}), "label": label}
        for file, alt, label in zip(files, alts, labels, strict=True)
    ]
    return {"cells": cells, "current": current, "status": status, "crisp": side_px < CRISP_BELOW_PX}


def notes_part() -> gr.HTML:
    """Sentences that are read out when they change; its value is a list of them."""
    return part('<ul class="sg-notes" role="status"></ul>', "notes(element, props, watch)", [])


def model_value(session: Session, model: Model) -> Any:
    """What shows a model in the page's box; one that a link has brought is added to its choices."""
    if model.id in session.named:
        return model.id
    choices = session.labels({**session.named, model.id: model})
    return gr.Dropdown(choices=choices, value=model.id, visible=True)


def link_part(words: str = "Copy link", follows: bool = True) -> gr.HTML:
    """Copies the link of {query: text}; the page's address follows it, if it `follows`."""
    template = (
        f'<span class="sg-link"><button type="button">{words}</button>'
        '<output aria-live="polite"></output></span>'
    )
    return part(template, f"link(element, props, watch, {str(follows).lower()})", {})


def saver_part() -> gr.HTML:
    """Saves a file on the visitor's disk when its value changes; shows nothing."""
    return part("<span hidden></span>", "saver(element, props, watch)", {})


def saver_value(file: Path, count: int) -> dict[str, Any]:
    """A file, and a number that is another one at each click."""
    return {"file": file_value(file), "name": file.name, "count": count}


def part(template: str, call: str, value: Any, elem_id: str | None = None) -> gr.HTML:
    """A component of this template, run by the function `stylegan.call` of the page's scripts."""
    return gr.HTML(
        value=value,
        html_template=template,
        js_on_load=f"stylegan.{call};",
        apply_default_css=False,
        elem_id=elem_id,
    )


def _cell(file: Path, alt: str) -> dict[str, Any]:
    return {"file": file_value(file), "alt": alt}


def file_value(path: Path) -> dict[str, Any]:
    """A file as data of a component, to be fetched by its url."""
    return FileData(path=str(path)).model_dump()

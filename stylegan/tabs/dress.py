"""How our pages look: theme, style sheets and scripts, for `launch`."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import gradio as gr

FONTS = ("ui-sans-serif", "system-ui", "sans-serif")  # the visitor's own: nothing is fetched
MONO_FONTS = ("ui-monospace", "Consolas", "monospace")
FIRST = "page"  # of the files: what all pages need


def dress(names: Collection[str], start: str = "") -> dict[str, Any]:
    """What `launch` takes for a page that uses the files of these names, without their endings.

    `start` is a line of script that follows them.
    """
    script, css = (_joined(names, ending) for ending in (".js", ".css"))
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
        "css": css,
        "head": f"<script>{script}\n{start}</script>",
        "footer_links": [],
    }


def _joined(names: Collection[str], ending: str) -> str:
    """Files one after the other: page.* first, and parts (desk-shelf.js) before the whole
    (desk.js), which uses them."""
    here = Path(__file__).parent
    ordered = sorted(names, key=lambda name: (name != FIRST, f"{name}{ending}"))  # "-" < "."
    paths = (here / f"{name}{ending}" for name in ordered)
    return "\n".join(path.read_text(encoding="utf-8") for path in paths if path.exists())

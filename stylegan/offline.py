"""Parts of pages that are one file and open without a network: text, tables, pictures, curves."""

from __future__ import annotations

import base64
import hashlib
import html
import io
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from PIL import Image

from stylegan import curves
from stylegan.config import UserError
from stylegan.pictures import PictureError, flatten, open_picture
from stylegan.runs import Run, labels_of

QUALITY = 80  # of a WebP

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #0072b2; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 90rem;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p { margin: .3rem 0; } .soft, figcaption { opacity: .75; }
figure { margin: 0; min-width: 0; } figcaption { font-size: .85rem; overflow-wrap: anywhere; }
figure img { width: 100%; height: auto; display: block; border-radius: 6px;
  image-rendering: pixelated; }
.side { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(16rem, 32rem)); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
td, th { text-align: left; vertical-align: top; padding: .2rem 1.2rem .2rem 0;
  border-bottom: 1px solid var(--line); }
td { overflow-wrap: break-word; max-width: 40rem; } td:first-child { min-width: 6rem; }
th { font-weight: 600; white-space: nowrap; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.best { font-weight: 700; }
summary { cursor: pointer; } details { margin: .8rem 0; }
pre { overflow-x: auto; font-size: .8rem; }
.swatch { display: inline-block; width: 1.1rem; height: .3rem; border-radius: 2px;
  margin-right: .4rem; vertical-align: .2rem; }
.key span { margin-right: 1.2rem; overflow-wrap: anywhere; }
.pick { position: absolute; opacity: 0; }
.pick + label { display: inline-block; border: 1px solid var(--line); border-radius: 6px;
  padding: .15rem .8rem; margin: 0 .3rem .6rem 0; cursor: pointer; }
.pick:checked + label { background: var(--accent); border-color: var(--accent); color: #fff; }
.pick:focus-visible + label { outline: 2px solid var(--accent); outline-offset: 2px; }
.panels { display: none; gap: .8rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
.panels img { width: 100%; height: auto; display: block; background: #fff; border-radius: 6px;
  border: 1px solid var(--line); }
#by-kimg:checked ~ .kimg, #by-hours:checked ~ .hours { display: grid; }
.lapse { max-width: 40rem; } .lapse img { width: 100%; height: auto; display: block;
  border-radius: 6px; image-rendering: pixelated; }
.lapse img[hidden] { display: none; }
.lapse-bar { display: flex; gap: .8rem; align-items: center; margin-top: .5rem; }
.lapse-bar[hidden] { display: none; }
.lapse-bar button { font: inherit; min-width: 4.5rem; padding: .3rem .8rem; border-radius: 6px;
  border: 1px solid var(--line); background: var(--soft); color: inherit; cursor: pointer; }
.lapse-bar input { flex: 1; min-width: 0; accent-color: var(--accent); height: 2rem; }
.lapse-bar output { min-width: 6rem; text-align: right; font-variant-numeric: tabular-nums; }
"""

SCRIPT = """
for (const lapse of document.querySelectorAll('.lapse')) {
  const frames = [...lapse.querySelectorAll('img')];
  const bar = lapse.querySelector('.lapse-bar');
  const [play, range, now] = ['button', 'input', 'output'].map(x => bar.querySelector(x));
  let timer = 0;
  const show = () => {
    frames.forEach((frame, i) => { frame.hidden = i !== +range.value; });
    now.textContent = frames[range.value].alt;
    range.setAttribute('aria-valuetext', now.textContent);
  };
  const stop = () => { clearInterval(timer); timer = 0; play.textContent = 'Play'; };
  const step = () => {
    if (+range.value === +range.max) return stop();
    range.value = +range.value + 1;
    show();
  };
  play.onclick = () => {
    if (timer) return stop();
    if (+range.value === +range.max) { range.value = 0; show(); }
    play.textContent = 'Pause';
    timer = setInterval(step, 250);
  };
  range.oninput = () => { stop(); show(); };
  bar.hidden = false;
  show();
}
"""


def document(title: str, body: Iterable[str]) -> str:
    """A whole page; it loads nothing, and runs no script but its own."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    allowed = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f'<meta http-equiv="Content-Security-Policy" content="{allowed}">'
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{text(title)}</title><style>{STYLE}</style></head>"
        f"<body>{''.join(body)}<script>{SCRIPT}</script></body></html>\n"
    )


def text(value: object) -> str:
    """Anything, made safe to show."""
    words = str(value)
    printable = all(x.isprintable() or x == "\n" for x in words)
    return html.escape(words if printable else ascii(words))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: bool = False) -> str:
    """Rows of cells that are HTML already; all but the first column are numbers, or none is."""
    kind = " class='n'" if numbers else ""

    def row(cells: Sequence[str], tag: str) -> str:
        first, *rest = cells
        return f"<tr><{tag}>{first}{''.join(f'<{tag}{kind}>{cell}' for cell in rest)}"

    heads = row([text(x) for x in head], "th") if head else ""
    body = "".join(row(cells, "td") for cells in rows)
    return f"<div class='wide'><table>{heads}{body}</table></div>"


# Pictures


def picture(path: Path | None, alt: str, side: int) -> str:
    """An img with the picture in it, no larger than `side`; words for what cannot be read."""
    data = None if path is None else small(path, side)
    if data is None:
        return f"<p class='soft'>{text(alt)}: there is no picture</p>"
    return _image(data, "webp", alt)


def small(path: Path, side: int) -> bytes | None:
    """The picture as a WebP of at most this side; none where it cannot be read."""
    try:
        state = path.stat()
        return _small(path, side, state.st_mtime_ns, state.st_size)
    except (OSError, PictureError):
        return None


@lru_cache(maxsize=512)  # a page is written again at each snapshot, with one picture more
def _small(path: Path, side: int, changed: int, size: int) -> bytes:
    image = open_picture(path)
    image.thumbnail((side, side), Image.Resampling.HAMMING, reducing_gap=2.0)
    out = io.BytesIO()
    flatten(image).save(out, "WEBP", quality=QUALITY)
    return out.getvalue()


def _image(data: bytes, kind: str, alt: str) -> str:
    coded = base64.b64encode(data).decode()
    return f"<img alt='{text(alt)}' src='data:image/{kind};base64,{coded}'>"


# Curves


def charts(runs: Sequence[Run]) -> str:
    """Panels over kimg and over hours, and what the colours mean; words where none can be drawn."""
    try:
        panels = curves.panels(runs)
        drawn = {
            axis: "".join(_chart(panel, runs, axis) for panel in panels)
            for axis in ("kimg", "hours")
        }
    except UserError as error:
        return f"<p class='soft'>No curves: {text(error)}</p>"
    if not panels:
        return "<p class='soft'>No curves yet: the first numbers come with the first tick.</p>"
    return (
        f"<div>{key(labels_of(runs)) if len(runs) > 1 else ''}"
        "<input class='pick' type='radio' name='axis' id='by-kimg' checked>"
        "<label for='by-kimg'>by kimg</label>"
        "<input class='pick' type='radio' name='axis' id='by-hours'>"
        "<label for='by-hours'>by hours</label>"
        + "".join(f"<div class='panels {axis}'>{images}</div>" for axis, images in drawn.items())
        + "</div>"
    )


def _chart(panel: curves.Panel, runs: Sequence[Run], axis: curves.Axis) -> str:
    figure = curves.draw_panel(panel, runs, axis)
    return _image(curves.svg(figure), "svg+xml", f"{panel.title} over {axis}")


def key(labels: Sequence[str]) -> str:
    """Whose colour is which."""
    spans = (
        f"<span><i class='swatch' style='background:{curves.colour(i)}'></i>{text(label)}</span>"
        for i, label in enumerate(labels)
    )
    return f"<p class='key'>{''.join(spans)}</p>"


# Grids over time


def time_lapse(frames: Sequence[tuple[str, Path]], side: int) -> str:
    """Pictures by what they are called, to step through by slider, keys and button."""
    images = [
        _image(data, "webp", name)
        for name, path in frames
        if (data := small(path, side)) is not None
    ]
    if not images:
        return "<p class='soft'>There are no grids yet.</p>"
    hidden = [image.replace("<img ", "<img hidden ", 1) for image in images[:-1]]
    most = len(images) - 1
    return (
        f"<div class='lapse'>{''.join(hidden)}{images[-1]}"
        "<div class='lapse-bar' hidden><button type='button'>Play</button>"
        f"<input type='range' min='0' max='{most}' value='{most}' aria-label='moment'>"
        "<output></output></div></div>"
    )

"""The report as one page that opens offline: numbers, advice, and thumbnails by finding."""

from __future__ import annotations

import base64
import html
import io
import itertools
from contextlib import closing
from pathlib import Path

from PIL import Image, ImageDraw

from stylegan.atomic import replacing_file
from stylegan.doctor import FINDINGS, Diagnosis, Finding
from stylegan.pictures import PictureError, flatten, open_picture
from stylegan.sources import DataError, Files

SIDE = 96  # px of a thumbnail
MOST_SHOWN = 60  # files of a finding
CHECKS = ((236, 236, 236), (255, 255, 255))  # behind what is transparent
CHECK_PX = 8

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --bad: #c0392b; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 74rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .2rem; }
p.soft, figcaption { opacity: .75; }
table { border-collapse: collapse; margin: 1rem 0; }
td, th { text-align: left; padding: .2rem 1rem .2rem 0; border-bottom: 1px solid var(--line); }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
.drop { color: var(--bad); font-size: .85em; white-space: nowrap; }
ul.advice { padding-left: 1.2rem; } ul.advice li { margin: .3rem 0; }
.shown { display: flex; flex-wrap: wrap; gap: .8rem; margin-top: .6rem; }
figure { margin: 0; width: 7.6rem; } figure.pair { width: 13.8rem; }
figure div { display: flex; gap: .4rem; background: var(--soft); padding: .3rem; border-radius: 6px;
  min-height: 96px; align-items: center; justify-content: center; }
figcaption { font-size: .75rem; line-height: 1.3; overflow-wrap: anywhere; margin-top: .2rem; }
.bar { background: #4a7dbd; height: .8rem; border-radius: 3px; }
td.w { width: 22rem; }
"""


def write_page(path: Path, diagnosis: Diagnosis, src: Path) -> None:
    """Write the page; thumbnails are read from the source again, only those that are shown."""
    with closing(Files(src)) as files:
        text = page(diagnosis, files)
    with replacing_file(path) as beside:
        beside.write_bytes(text.encode("utf-8", "replace"))


def page(diagnosis: Diagnosis, files: Files) -> str:
    """The whole page as text."""
    name = files.path.resolve().name
    groups = itertools.groupby(diagnosis.findings, key=lambda finding: finding.finding)
    sections = [_section(kind, list(found), diagnosis.drops[kind], files) for kind, found in groups]
    advice = "".join(f"<li>{html.escape(line)}</li>" for line in diagnosis.advice)
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'>"
        f"<title>{_text(name)}: findings</title><style>{STYLE}</style>"
        f"<h1>{_text(name)}</h1>"
        f"<p class='soft'>{diagnosis.count:,} files, judged for {diagnosis.resolution} px; "
        f"{diagnosis.remaining:,} remain when what is marked is left out.</p>"
        f"<h2>Advice</h2><ul class='advice'>{advice}</ul>"
        f"<h2>Findings</h2>{_counts(diagnosis)}"
        f"<h2>Sizes</h2>{_sizes(diagnosis)}{''.join(sections)}</html>"
    )


def _counts(diagnosis: Diagnosis) -> str:
    counts = diagnosis.counts
    if not counts:
        return "<p>Nothing is wrong with them.</p>"
    rows = [
        f"<tr><td><a href='#{kind}'>{kind}</a><td class='n'>{counts[kind]:,}"
        f"<td>{html.escape(text)}<td>{_drop_mark(diagnosis.drops[kind])}"
        for kind, text in FINDINGS.items()
        if counts[kind]
    ]
    return f"<table><tr><th>finding<th>files<th>what it means<th>{''.join(rows)}</table>"


def _sizes(diagnosis: Diagnosis) -> str:
    most = max(1, *(count for _, count in diagnosis.sizes))
    rows = [
        f"<tr><td>{side} px<td class='n'>{count:,}"
        f"<td class='w'><div class='bar' style='width:{100 * count / most:.0f}%'></div>"
        for side, count in diagnosis.sizes
    ]
    return f"<table><tr><th>shorter side of at least<th>pictures<th>{''.join(rows)}</table>"


def _section(kind: str, found: list[Finding], drops: int, files: Files) -> str:
    shown = found[:MOST_SHOWN]
    cut = len(found) > len(shown)
    more = f", the first {len(shown)} shown; all are in findings.csv" if cut else ""
    figures = "".join(_figure(finding, files) for finding in shown)
    return (
        f"<h2 id='{kind}'>{kind} {_drop_mark(drops)}</h2>"
        f"<p class='soft'>{html.escape(FINDINGS[kind])}: {len(found):,}{more}</p>"
        f"<div class='shown'>{figures}</div>"
    )


def _figure(finding: Finding, files: Files) -> str:
    names = [name for name in (finding.file, finding.of) if name]
    pictures = "".join(_thumbnail(files, name) for name in names)
    lines = [_text(finding.file)]
    if finding.of:
        lines.append(f"repeats {_text(finding.of)}")
    if finding.width:
        lines.append(f"{finding.width} x {finding.height}")
    lines += [_text(x) for x in (finding.value, finding.note) if x]
    kind = " class='pair'" if finding.of else ""
    words = "<br>".join(lines)
    return f"<figure{kind}><div>{pictures}</div><figcaption>{words}</figcaption></figure>"


def _thumbnail(files: Files, name: str) -> str:
    """An img element with the picture in it; a dash for what cannot be read."""
    try:
        image = open_picture(files.read(name))
    except (DataError, PictureError):
        return "&mdash;"
    image.thumbnail((SIDE, SIDE), Image.Resampling.HAMMING, reducing_gap=2.0)
    out = io.BytesIO()
    _over_checks(image).save(out, "JPEG", quality=82)
    data = base64.b64encode(out.getvalue()).decode()
    return f"<img alt='' src='data:image/jpeg;base64,{data}'>"


def _over_checks(image: Image.Image) -> Image.Image:
    """Transparent parts show a pattern of squares, so that they are not taken for white."""
    if image.mode != "RGBA":
        return flatten(image)
    below = Image.new("RGBA", image.size, CHECKS[0])
    pen = ImageDraw.Draw(below)
    for y in range(0, image.height, CHECK_PX):
        for x in range(y // CHECK_PX % 2 * CHECK_PX, image.width, 2 * CHECK_PX):
            pen.rectangle((x, y, x + CHECK_PX - 1, y + CHECK_PX - 1), CHECKS[1])
    return Image.alpha_composite(below, image).convert("RGB")


def _drop_mark(drops: int) -> str:
    return f"<span class='drop'>{drops:,} left out by --drop</span>" if drops else ""


def _text(text: str) -> str:
    """A name that may hold anything, made safe to show."""
    return html.escape(text if text.isprintable() else ascii(text))

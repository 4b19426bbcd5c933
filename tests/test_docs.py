"""The documents: their links, and the worked examples, run line by line on pictures drawn here."""

import re
import shutil
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from reading import ROOT, blocks, commands, links, photo, photos, run, small
from test_faces import face

DOCS = sorted((ROOT / "docs").glob("*.md"))
WORKED = (ROOT / "docs" / "worked.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.*)\n((?:(?!## ).*\n)*)", WORKED, re.MULTILINE))
SITE, MANY = "https://example.org", "0-999"


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.stem)
def test_links_lead_somewhere(path):
    for link in links(path.read_text(encoding="utf-8")):
        assert (path.parent / link).exists(), link


@pytest.mark.parametrize("path", [ROOT / "README.md", *DOCS], ids=lambda path: path.stem)
def test_links_to_headings(path):
    text = path.read_text(encoding="utf-8")
    for link, place in re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", text):
        headings = re.findall(r"^#+ (.*)$", (path.parent / (link or path.name)).read_text(), re.M)
        slugs = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings]
        assert place in slugs, (link, place)


def crests(site: Path) -> None:
    """A page that leads to pages with a crest each."""
    (site / "clubs").mkdir(parents=True)
    rows = ""
    for i in range(40):
        (site / "clubs" / f"{i}.html").write_text(f'<p class="infobox"><img src="{i}.png"></p>')
        photo(i).save(site / "clubs" / f"{i}.png")
        rows += f'<tr><td><a href="/clubs/{i}.html">club {i}</a></td></tr>'
    (site / "clubs" / "index.html").write_text(f"<table>{rows}</table>")


@contextmanager
def serving(folder: Path):
    """A web site of these files."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def pictures(clone: Path) -> None:
    """What the examples start from."""
    photos(clone / "bark")
    photos(clone / "animals" / "cats", first=10)
    photos(clone / "animals" / "dogs", first=20)
    (clone / "people").mkdir()
    for i in range(8):
        image = face(120 + 4 * i, (400, 300), 120 + 8 * i, 100)
        image.save(clone / "people" / f"{i}.png")
    face(120, (400, 300), 140, 90).save(clone / "me.jpg")


@pytest.mark.parametrize("title", SECTIONS)
def test_worked(title, clone, hub, monkeypatch):
    monkeypatch.chdir(clone)
    monkeypatch.setattr("stylegan.collect._sleep", lambda sec: None)
    pictures(clone)
    crests(clone / "site")
    if "bob/flowers-64" in SECTIONS[title]:
        run("python -m train prepare photos data/theirs.zip --resolution 64 --fit crop")
        run(small("python -m train fit --data data/theirs.zip --preset tiny --run runs/theirs"))
        hub.add("bob/flowers-64", clone / "runs/theirs/best")
    marks = [mark for mark, _ in blocks(SECTIONS[title])]
    assert marks and set(marks) == {"sh"}
    said = []
    with serving(clone / "site") as url:
        for _, content in blocks(SECTIONS[title]):
            for command in commands(content):
                if command.startswith("tar -xf"):
                    elsewhere(clone, monkeypatch)
                said.append(run(small(command.replace(SITE, url).replace(MANY, "0-9"))))
    if "tar -xf" in SECTIONS[title]:
        assert any("goes on in runs/photos64-tiny at" in text for text in said)


def elsewhere(clone: Path, monkeypatch) -> None:
    """The other machine, with what was brought there."""
    (clone / "elsewhere").mkdir()
    shutil.move(clone / "moved.tar", clone / "elsewhere")
    monkeypatch.chdir(clone / "elsewhere")

"""The pictures of pages that README and docs/ show: each tab with the model that ships, and watch.

SCREENSHOTS=docs RUN=runs/NAME python -m pytest tests/browser/test_screenshots.py

puts them where they belong; the run is what watch shows.
"""

import os
from pathlib import Path

import pytest
from PIL import Image

from tests.app_server import ROOT, running, serving
from tests.browser.steps import until_read
from tests.written_runs import tick, write_run

WIDTH_PX = 1200
MOST_BYTES = 300_000
TABS = {  # file -> link, what is chosen there
    "seeds": ("/?n=16", ".sg-cells:not(.row-only) button:nth-child(6)"),
    "interpolation": ("/?t=walk&seed=200,1000,2500,4000,200", "#sg-keys li:nth-child(3) button"),
    "mixing": ("/?t=mix&row=0-3&col=4-7", ".sg-cross tr:nth-child(3) > :nth-child(4) button"),
    "editing": ("/?t=edit", "#sg-edit [aria-label^=Examples] button:first-child"),
    "projection": ("/?t=project", "#sg-easel ~ * [aria-label=Examples] button:nth-child(4)"),
}
LOADING = """() => [...document.querySelectorAll('main img[src]')].filter(
    (image) => image.checkVisibility() && !(image.complete && image.naturalWidth)
).length + [...document.querySelectorAll('.sg-status')].filter(
    (status) => / of \\d/.test(status.textContent)
).length"""


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shipped")
    with running(folder, "--model", str(ROOT / "checkpoints/portraits-64")) as server:
        yield server


@pytest.fixture
def page(chromium):
    context = chromium.new_context(viewport={"width": WIDTH_PX, "height": 900})
    context.set_default_timeout(60_000)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("name", TABS)
def test_a_tab_looks_as_the_documents_show_it(page, shipped, tmp_path, name):
    link, chosen = TABS[name]
    page.goto(shipped.url + link)
    page.locator(chosen).locator("img[src]").wait_for()
    before = page.get_attribute(".sg-picture img:visible", "src")
    page.click(chosen)
    until_read(page, lambda: page.get_attribute(".sg-picture img:visible", "src"), before.__ne__)
    if name == "projection":
        page.get_by_role("button", name="Find its latent").click()
        page.locator("#sg-search [data-state=done]").wait_for()
    taken(page, tmp_path, name)


def test_watch_looks_as_the_documents_show_it(page, tmp_path):
    if "RUN" in os.environ:
        run = ROOT / os.environ["RUN"]
    else:
        run = write_run(tmp_path / "run", [tick(4.0), tick(8.0, swd=9.0)], grids=(0, 4, 8))
    with serving(tmp_path, ["-m", "train", "watch", str(run)], PYTHONPATH=str(ROOT)) as server:
        page.goto(server.url)
        page.locator(".sg-charts figure").first.wait_for()
        taken(page, tmp_path, "watch")


def taken(page, folder: Path, name: str) -> None:
    """The whole page, in 256 colours, in a window that is as high: the desk stays at its foot."""
    path = (ROOT / os.environ["SCREENSHOTS"] if "SCREENSHOTS" in os.environ else folder) / name
    path = path.with_suffix(".png")
    page.mouse.move(0, 0)
    until_read(page, lambda: page.evaluate(LOADING), lambda count: count == 0)
    height = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": WIDTH_PX, "height": height})
    page.screenshot(path=path)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    assert small.width == WIDTH_PX and small.height > WIDTH_PX // 2
    assert path.stat().st_size < MOST_BYTES

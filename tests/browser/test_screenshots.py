"""The pictures of the page that README and docs/ show: each tab with the model that ships.

SCREENSHOTS=docs python -m pytest tests/browser/test_screenshots.py     puts them where they belong
"""

import os
from pathlib import Path

import pytest
from PIL import Image

from tests.app_server import ROOT, running
from tests.browser.steps import until_read

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


@pytest.mark.parametrize("name", TABS)
def test_a_tab_looks_as_the_documents_show_it(chromium, shipped, tmp_path, name):
    folder = ROOT / os.environ["SCREENSHOTS"] if "SCREENSHOTS" in os.environ else tmp_path
    link, chosen = TABS[name]
    context = chromium.new_context(viewport={"width": WIDTH_PX, "height": 900})
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto(shipped.url + link)
    page.locator(chosen).locator("img[src]").wait_for()
    before = page.get_attribute(".sg-picture img:visible", "src")
    page.click(chosen)
    until_read(page, lambda: page.get_attribute(".sg-picture img:visible", "src"), before.__ne__)
    if name == "projection":
        page.get_by_role("button", name="Find its latent").click()
        page.locator("#sg-search [data-state=done]").wait_for()
    page.mouse.move(0, 0)
    until_read(page, lambda: page.evaluate(LOADING), lambda count: count == 0)
    taken(page, folder / f"{name}.png")
    context.close()
    with Image.open(folder / f"{name}.png") as image:
        assert image.width == WIDTH_PX and image.height > WIDTH_PX // 2
    assert (folder / f"{name}.png").stat().st_size < MOST_BYTES


def taken(page, path: Path) -> None:
    """The whole page, in 256 colours, in a window that is as high: the desk stays at its foot."""
    height = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": WIDTH_PX, "height": height})
    page.screenshot(path=path)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, optimize=True)

"""The Mixing tab as visitors meet it."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from stylegan.mix import Mix
from stylegan.recipe import Recipe
from stylegan.stamp import PAGE, read_png, read_recipe
from stylegan.tabs.crosstable import EXAMPLES, usual_table
from tests.app_server import TINY
from tests.browser.steps import (
    CAPTION,
    MODEL,
    PICTURE,
    address_of,
    drop,
    fill,
    full_address,
    pixels,
    said,
    saved,
    shown,
    shows,
    unfold,
    until,
)

TABLE = ".sg-cross table"
ROWS, COLS = "#sg-mix-rows input", "#sg-mix-cols input"
LINK = "row=1,2&col=6,7,8&layers=2-3"
BAND = ".sg-bands button"


def table(page) -> Mix:
    """What the address says; it names the model with its revision."""
    found = Mix.from_query(full_address(page))
    assert found.m == MODEL.id
    return found


def cell(row: int | None, col: int | None) -> str:
    """The button of a place of the table; None along an edge."""
    row, col = ((0 if i is None else i + 1) + 1 for i in (row, col))
    return f"{TABLE} tr:nth-child({row}) > :nth-child({col}) button"


def filled(page, mix: Mix) -> None:
    """Wait until the table has as many pictures, all loaded."""
    count = len(mix.rows) * len(mix.cols) + len(mix.rows) + len(mix.cols)
    page.wait_for_function(
        """([table, count]) => {
            const all = [...document.querySelectorAll(`${table} img`)];
            all.forEach((image) => (image.loading = 'eager'));
            return all.length == count && all.every((i) => i.complete && i.naturalWidth);
        }""",
        arg=[TABLE, count],
    )


def opened(visit, path: str = f"/?t=mix&{LINK}", **settings):
    page = visit(path, wait=False, **settings)
    filled(page, Mix.from_query(path))
    return page


def edges(page) -> tuple[list[str], list[str]]:
    """The words along the left edge and the top edge."""
    rows = page.locator(f"{TABLE} tr:not(:first-child) > th span").all_inner_texts()
    return rows, page.locator(f"{TABLE} tr:first-child > th span").all_inner_texts()


def drawn(page, mix: Mix, at: tuple) -> None:
    """Wait until a place of the table shows its own picture."""
    expected = MODEL.render(mix.recipes()[at])
    image = f"{cell(*at)} img"
    shows(page, lambda: bool(np.abs(pixels(shown(page, image)) - expected).max() <= 1), True)


def large(page, recipe: Recipe) -> None:
    """Wait until the large picture is of a recipe."""
    query = MODEL.stamped(recipe).to_query()
    shows(page, lambda: read_png_of(page), query)


def read_png_of(page) -> str | None:
    return read_png(shown(page, PICTURE))


# Opening


def test_the_first_visit_and_the_examples(visit):
    page = visit("/")
    page.get_by_role("tab", name="Mixing").click()
    usual = MODEL.stamped(usual_table(MODEL))
    address_of(page, "?" + usual.to_query())
    filled(page, usual)
    for at in ((0, 0), (3, 3), (None, 1), (2, None)):
        drawn(page, usual, at)
    assert edges(page) == ([f"seed {i}" for i in range(4)], [f"seed {i}" for i in range(4, 8)])
    large(page, usual.cell(0, 0))
    for name, example in EXAMPLES.items():
        page.get_by_role("button", name=name, exact=True).click()
        mix = MODEL.stamped(example(MODEL))
        address_of(page, "?" + mix.to_query())
    filled(page, mix)
    drawn(page, mix, (7, 0))


def test_a_link_sets_every_control(visit):
    text = f"t=mix&m={MODEL.id}&{LINK}&psi=0.5&cut=4&c=2&noise=3"
    page = opened(visit, "/?" + text)
    boxes = {ROWS: "1,2", COLS: "6-8", "#sg-mix-psi input[type=number]": "0.5"}
    boxes |= {"#sg-mix-cut input[type=number]": "4", "#sg-mix-c input[type=number]": "2"}
    boxes["#sg-mix-noise-seed input"] = "3"
    shows(page, lambda: {box: page.input_value(box) for box in boxes}, boxes)
    assert page.inner_text(f"{BAND}[aria-pressed=true]").startswith("Middle")
    assert page.inner_text(".sg-layers-said") == "rows 2-3: 8-16 px"
    mix = table(page)
    assert mix == Mix((1, 2), (6, 7, 8), (2, 3), psi=0.5, cut=4, c=2, noise=3, m=MODEL.id)
    for at in ((1, 2), (0, None), (None, 0)):
        drawn(page, mix, at)
    assert page.url.endswith("?" + text)


def test_a_bad_table_is_told(visit):
    page = visit("/?t=mix&row=1&layers=9-12")
    assert "This link does not work" in said(page) and "rows" in said(page)


# Playing


def test_layers_by_band_by_span_and_by_tick(visit):
    page = opened(visit)
    page.locator(BAND, has_text="fine").click()
    address_of(page, "layers=4-5")
    page.locator(BAND, has_text="coarse").click()
    address_of(page, "row=1,2&col=6,7,8&layers=0-1")
    page.focus(".sg-span input[aria-label='Last row']")
    page.keyboard.press("ArrowRight")
    address_of(page, "layers=0-2")
    page.focus(".sg-span input[aria-label='First row']")
    page.keyboard.press("ArrowRight")
    address_of(page, "layers=1-2")
    page.get_by_label("row 5, 16 px").check()
    address_of(page, "layers=1-2,5")
    assert page.inner_text(".sg-layers-said") == "rows 1-2, 5: 8, 16 px"
    mix = table(page)
    drawn(page, mix, (1, 1))
    large(page, mix.cell(0, 0))
    for row in (1, 2, 5):
        page.locator(".sg-ticks input").nth(row).uncheck()
    page.wait_for_selector(".sg-notes")
    assert "layers names no rows" in said(page)
    page.locator(BAND, has_text="middle").click()
    page.wait_for_selector(".sg-notes", state="hidden")
    address_of(page, "layers=2-3")


def test_rows_and_columns_by_hand(visit):
    page = opened(visit)
    fill(page, ROWS, "7, 9", f"row=7,9&{LINK.partition('&')[2]}")
    psi = "#sg-mix-psi input[type=number]"
    fill(page, psi, "0.5", "layers=2-3&psi=0.5")
    unfold(page, "#sg-mix-cut input[type=number]")
    fill(page, "#sg-mix-cut input[type=number]", "4", "psi=0.5&cut=4")
    page.click("#sg-dice-cols")
    page.wait_for_function("!location.search.includes('col=6,7,8')")
    page.click("#sg-mix-swap")
    shows(page, lambda: page.input_value(COLS), "7,9")
    page.wait_for_function("location.search.includes('col=7,9')")
    mix = table(page)
    assert mix.cols == (7, 9) and len(mix.rows) == 3 and (mix.psi, mix.cut) == (0.5, 4)
    filled(page, mix)
    drawn(page, mix, (2, 1))
    page.fill(ROWS, "5-1")
    page.keyboard.press("Enter")
    page.wait_for_selector(".sg-notes")
    assert table(page) == mix, "the table stays"
    until(page, lambda: page.fill(ROWS, "5"), "!document.querySelector('.sg-notes').offsetParent")
    shows(page, lambda: edges(page), (["seed 5"], ["seed 7", "seed 9"]))


def test_pictures_along_the_edges_move_and_go(visit):
    page = opened(visit)
    rest = "&layers=2-3"
    page.locator(f"{TABLE} tr:first-child > th:nth-child(2)").drag_to(
        page.locator(f"{TABLE} tr:first-child > th:nth-child(4)")
    )
    address_of(page, f"row=1,2&col=7,8,6{rest}")
    page.click(cell(1, None))
    large(page, Recipe(seed=2))
    page.get_by_role("button", name="Up", exact=True).click()
    address_of(page, f"row=2,1&col=7,8,6{rest}")
    page.focus(cell(None, 0))
    page.keyboard.press("Shift+ArrowRight")
    address_of(page, f"row=2,1&col=8,7,6{rest}")
    page.click(cell(None, 2))
    page.locator(".sg-edge-tools").get_by_role("button", name="Remove").click()
    address_of(page, f"row=2,1&col=8,7{rest}")
    filled(page, table(page))
    shows(page, lambda: edges(page), (["seed 2", "seed 1"], ["seed 8", "seed 7"]))
    drawn(page, table(page), (1, 0))


def test_a_cell_becomes_large_by_click_and_by_keyboard(visit):
    page = opened(visit)
    mix = table(page)
    page.click(cell(1, 2))
    large(page, mix.cell(1, 2))
    assert page.inner_text(CAPTION) == "seed 2, rows 2-3 of seed 8 · ψ 1"
    assert page.get_attribute(cell(1, 2), "aria-pressed") == "true"
    page.focus(cell(1, 2))
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    large(page, mix.cell(0, 1))
    assert table(page) == mix
    page.locator(BAND, has_text="fine").click()
    address_of(page, "layers=4-5")
    large(page, table(page).cell(0, 1))


def test_a_large_cell_is_sent_on_and_comes_back(visit):
    page = opened(visit)
    mix = table(page)
    page.click(cell(1, 2))
    large(page, mix.cell(1, 2))
    page.locator(".sg-acts").get_by_role("button", name="Use in").locator("visible=true").click()
    page.get_by_role("menuitem", name="Columns of a table").click()
    page.wait_for_function("location.search.includes('col=6,7,8,')")
    sent = table(page)
    assert isinstance(sent.cols[3], str), "a latent"
    filled(page, sent)
    place = (None, 3)
    found, expected = pixels(shown(page, f"{cell(*place)} img")), MODEL.render(mix.cell(1, 2))
    assert np.abs(found - expected).max() <= 2, "latents are in half precision"
    page.locator(".sg-acts").get_by_role("button", name="Use in").locator("visible=true").click()
    page.get_by_role("menuitem", name="Keyframes of a walk").click()
    page.wait_for_function("location.search.includes('t=walk')")
    page.wait_for_selector("#sg-keys img[src]")


def test_a_phone(visit):
    page = opened(visit, viewport={"width": 390, "height": 844}, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.tap(cell(1, 2))
    large(page, table(page).cell(1, 2))
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('main button, main input')].filter((e) =>
            e.checkVisibility() && !(e.ariaLabel || e.innerText || e.labels?.length)
        ).map((e) => e.outerHTML.slice(0, 200))"""
    )
    assert nameless == []


# Files and links


def test_a_table_is_saved_and_dropped_elsewhere(visit, tmp_path):
    page = opened(visit, f"/?t=mix&m={MODEL.id}&{LINK}&psi=0.5&c=1")
    path = saved(page, "Download table", tmp_path)
    assert read_recipe(path) == full_address(page).partition("?")[2]
    with Image.open(path) as image:
        assert image.width > 4 * 16 and image.height > 3 * 16
    elsewhere = visit("/")
    drop(elsewhere, path.name, path.read_bytes())
    address_of(elsewhere, full_address(page).partition("?")[2])
    filled(elsewhere, table(page))
    assert (elsewhere.input_value(ROWS), elsewhere.input_value(COLS)) == ("1,2", "6-8")


def test_a_saved_cell_opens_its_table_at_that_cell(visit, tmp_path):
    page = opened(visit, permissions=["clipboard-read", "clipboard-write"])
    mix = table(page)
    page.click(cell(1, 0))
    large(page, mix.cell(1, 0))
    path = saved(page, "Download", tmp_path)
    assert read_png(path) == mix.cell(1, 0).to_query()
    assert read_png(path, PAGE) == mix.to_query()
    page.get_by_role("button", name="Copy link", exact=True).locator("visible=true").click()
    page.wait_for_selector("text=Copied")
    link = page.evaluate("navigator.clipboard.readText()")
    assert Recipe.from_query(link) == mix.cell(1, 0)
    address = full_address(page).partition("?")[2]
    page.get_by_role("button", name="Copy table link").click()
    text = "text => navigator.clipboard.readText().then((found) => found.endsWith(text))"
    page.wait_for_function(text, arg=address)

    elsewhere = visit("/")
    drop(elsewhere, path.name, path.read_bytes())
    address_of(elsewhere, address)
    large(elsewhere, mix.cell(1, 0))
    elsewhere.goto(link)
    large(elsewhere, mix.cell(1, 0))
    around = Mix.around(mix.cell(1, 0))
    address_of(elsewhere, dataclasses.replace(around, m=MODEL.id).to_query())


LINKS = [
    entry["link"].partition("?")[2]
    for name in ("links.json", "sheets.json")
    for entry in json.loads((TINY.parent / name).read_text())
    if entry["link"].partition("?")[2].startswith("t=mix")
]


@pytest.mark.parametrize("old", LINKS, ids=range(len(LINKS)))
def test_old_tables_open(visit, old):
    page = visit("/?" + old, wait=False)
    page.wait_for_selector(PICTURE)
    page.wait_for_function("location.search != ''")
    assert page.locator(".sg-notes").is_hidden()
    if "row=" in old:
        assert page.url.endswith(old)
        filled(page, Mix.from_query(old))
        drawn(page, Mix.from_query(old), (1, 1))

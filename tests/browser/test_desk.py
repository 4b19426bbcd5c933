"""The desk at the foot of the page: what is kept, what was shown before, what is sent on."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np

from stylegan.mix import Mix
from stylegan.recipe import Recipe
from stylegan.shelf import Shelf
from stylegan.stamp import read_png, read_recipe
from stylegan.walk import Walk
from tests.app_server import TINY
from tests.browser.steps import (
    ADDRESS_ENDS,
    CAPTION,
    MODEL,
    PICTURE,
    address_of,
    drop,
    fill,
    pixels,
    shown,
    shows,
    until,
)

ITEMS = ".sg-thumbs:visible li"
KEEP = ".sg-acts button[aria-pressed]:visible"


def drawer(page, words: str):
    """The button of the desk that unfolds a list."""
    return page.locator(".sg-desk-head button", has_text=words)


def unfold(page, words: str = "Shelf") -> None:
    drawer(page, words).first.click()
    page.locator(".sg-desk-panel:visible").wait_for()


def items(page) -> list[str]:
    """What lies in the list that is unfolded, in words."""
    return [item.get_attribute("aria-label") for item in page.locator(ITEMS).all()]


def desk(page, name: str) -> None:
    """Click a button of the part that is unfolded."""
    page.locator(".sg-desk-tools:visible button", has_text=name).first.click()


def choose(page, menu: str, entry: str, place: str = ".sg-desk-tools:visible") -> None:
    """Open a menu and choose; one that has just closed takes the click as part of closing it."""
    opened = ".sg-menu:popover-open"
    button = page.locator(f"{place} button[aria-haspopup]", has_text=menu).first
    until(
        page,
        lambda: page.locator(opened).count() or button.click(),
        f"document.querySelector('{opened}') != null",
    )
    page.get_by_role("menuitem", name=entry, exact=True).click()


def line(page, text: str) -> None:
    """Wait until the desk says so."""
    words = "text => document.querySelector('.sg-desk-line').textContent.includes(text)"
    page.wait_for_function(words, arg=text)


def keep(page, *seeds: int) -> None:
    """Keep pictures of the Seeds tab."""
    for seed in seeds:
        if f"seed={seed}&" not in page.url:
            fill(page, "#sg-seed input", str(seed), f"seed={seed}&n=2")
        shows(page, lambda seed=seed: page.inner_text(CAPTION), f"seed {seed} · ψ 1")
        page.click(KEEP)
        shows(page, lambda: page.inner_text(KEEP).endswith("Kept"), True)


def kept(visit, *seeds: int, **settings):
    """A page with pictures on its shelf, which is unfolded."""
    page = visit(f"/?seed={seeds[0]}&n=2", **settings)
    keep(page, *seeds)
    unfold(page)
    shows(page, lambda: items(page), words(*seeds))
    return page


def words(*seeds: int) -> list[str]:
    return [f"seed {seed} · ψ 1" for seed in seeds]


def copied(page) -> str:
    return page.evaluate("navigator.clipboard.readText()")


def made(page, entry: str, folder: Path) -> Path:
    """A file of the pictures on the desk."""
    with page.expect_download() as download:
        choose(page, "Share", entry)
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


# Keeping


def test_pictures_are_kept_by_click_and_by_key_in_this_browser_alone(visit):
    page = visit("/?seed=20&n=2")
    keep(page, 20)
    line(page, "Kept: 1 on the shelf.")
    fill(page, "#sg-seed input", "30", "seed=30&n=2")
    page.focus("#sg-dice")
    page.keyboard.press("k")
    line(page, "Kept: 2 on the shelf.")
    unfold(page)
    shows(page, lambda: items(page), words(20, 30))
    page.wait_for_function(
        "[...document.querySelectorAll('.sg-thumbs img')].filter(i => i.naturalWidth).length > 1"
    )
    page.keyboard.press("Escape")
    page.reload()
    page.wait_for_selector(PICTURE)
    unfold(page)
    shows(page, lambda: items(page), words(20, 30))
    assert page.locator(KEEP).get_attribute("aria-pressed") == "true", "seed 30 is in sight"
    other = visit("/?seed=20&n=2")
    unfold(other)
    assert items(other) == [] and "Nothing is kept yet" in other.inner_text(".sg-desk")
    assert other.locator(KEEP).get_attribute("aria-pressed") == "false"


def test_the_shelf_is_put_in_order_and_cleared(visit):
    page = kept(visit, 20, 30, 40)
    page.locator(ITEMS).nth(0).drag_to(
        page.locator(ITEMS).nth(2), target_position={"x": 60, "y": 30}
    )
    shows(page, lambda: items(page), words(30, 40, 20))
    page.locator(ITEMS).nth(2).click()
    desk(page, "◂")
    shows(page, lambda: items(page), words(30, 20, 40))
    page.locator(ITEMS).nth(1).focus()
    page.keyboard.press("Alt+ArrowLeft")
    shows(page, lambda: items(page), words(20, 30, 40))
    page.keyboard.press("Delete")
    shows(page, lambda: items(page), words(30, 40))
    page.get_by_role("button", name="Put back").click()
    shows(page, lambda: items(page), words(20, 30, 40))
    page.locator(ITEMS).nth(1).dblclick()
    address_of(page, "&seed=30")
    shows(page, lambda: page.inner_text(CAPTION), "seed 30 · ψ 1")


# Sending


def test_pictures_of_the_shelf_become_keyframes_rows_and_columns(visit):
    page = kept(visit, 20, 30, 40)
    choose(page, "Use in", "Keyframes of a walk")
    address_of(page, "seed=20,30,40")
    assert Walk.from_query(page.url) == MODEL.stamped(Walk((20, 30, 40)))
    page.wait_for_function("document.querySelectorAll('#sg-keys img[src]').length == 3")
    page.locator(ITEMS).nth(0).click()
    page.locator(ITEMS).nth(2).click()
    choose(page, "Use in", "Rows of a table")
    page.wait_for_function("location.search.includes('row=20,40&')")
    choose(page, "Use in", "Columns of a table")
    page.wait_for_function("/col=[^&]*,20,40&/.test(location.search)")
    assert Mix.from_query(page.url).rows == (20, 40)
    page.get_by_role("tab", name="Seeds").click()
    page.wait_for_function("!location.search.includes('t=mix')")
    choose(page, "Use in", "Keyframes of a walk", ".sg-acts:visible")
    address_of(page, "seed=20,30,40,40")


# Handing on


def test_one_link_to_all_opens_elsewhere(visit):
    page = kept(visit, 20, 30, permissions=["clipboard-read", "clipboard-write"])
    choose(page, "Share", "Copy one link to all")
    line(page, "Copied one link to 2 pictures.")
    link = copied(page)
    expected = Shelf((Recipe(seed=20), Recipe(seed=30)))
    assert Shelf.from_query(link) == Shelf(tuple(map(MODEL.stamped, expected.pictures)))
    choose(page, "Share", "Copy links, one a line")
    line(page, "Copied 2 links.")
    assert [Recipe.from_query(one).seed for one in copied(page).splitlines()] == [20, 30]

    other = visit("/" + link[link.index("?") :], wait=False)
    shows(other, lambda: items(other), words(20, 30))
    shows(other, lambda: other.inner_text(CAPTION), "seed 20 · ψ 1")
    other.locator(ITEMS).nth(1).click()
    desk(other, "Keep")
    line(other, "Kept: 1 on the shelf.")
    desk(other, "Close")
    assert not drawer(other, "Shared shelf").is_visible()
    unfold(other)
    shows(other, lambda: items(other), words(30))


def test_a_zip_and_a_sheet_are_dropped_elsewhere(visit, tmp_path):
    page = kept(visit, 20, 30)
    found = made(page, "Save a zip, pixels as drawn", tmp_path)
    with zipfile.ZipFile(found) as archive:
        names = [name for name in archive.namelist() if name.endswith(".png")]
        files = [archive.read(name) for name in names]
    assert [Recipe.from_query(read_png(io.BytesIO(data))).seed for data in files] == [20, 30]
    for data, seed in zip(files, (20, 30), strict=True):
        assert np.abs(pixels(data) - MODEL.render(Recipe(seed=seed))).max() <= 1
    sheet = made(page, "Save a sheet that opens here", tmp_path)
    assert Shelf.from_query(read_recipe(sheet)).pictures[1].seed == 30

    for path in (found, sheet):
        other = visit("/")
        drop(other, path.name, path.read_bytes())
        shows(other, lambda other=other: items(other), words(20, 30))
        assert other.inner_text(CAPTION) == "seed 0 · ψ 1", "what is shown stays"


# Undo and history


def test_undo_redo_and_history(visit):
    page = visit("/?seed=20&n=2")
    fill(page, "#sg-seed input", "21", "seed=21&n=2")
    third = ".sg-cells.row-only button:nth-child(3)"
    until(page, lambda: page.click(third), ADDRESS_ENDS, "seed=21&psi=0&n=2")
    page.get_by_role("tab", name="Mixing").click()
    page.wait_for_function("location.search.includes('t=mix')")
    table = page.url
    unfold(page, "History")
    page.wait_for_function("document.querySelectorAll('.sg-thumbs li').length > 3")
    page.keyboard.press("Control+z")
    address_of(page, "seed=21&psi=0&n=2")
    assert page.get_by_role("tab", name="Seeds").get_attribute("aria-selected") == "true"
    page.get_by_role("button", name="Undo").click()
    address_of(page, "seed=21&n=2")
    shows(page, lambda: page.input_value("#sg-psi input[type=number]"), "1")
    page.keyboard.press("Control+Shift+z")
    address_of(page, "seed=21&psi=0&n=2")
    page.get_by_role("button", name="Redo").click()
    page.wait_for_url(table)
    page.locator(ITEMS).nth(0).click()
    address_of(page, "seed=20&n=2")
    shows(page, lambda: page.inner_text(CAPTION), "seed 20 · ψ 1")
    expected = MODEL.render(Recipe(seed=20))
    assert np.abs(pixels(shown(page)) - expected).max() <= 1
    page.reload()
    page.wait_for_selector(PICTURE)
    page.wait_for_function("document.querySelectorAll('.sg-thumbs li').length > 3")
    desk_forget(page)


def desk_forget(page) -> None:
    if not page.locator(".sg-desk-panel:visible").count():
        unfold(page, "History")
    desk(page, "Forget")
    shows(page, lambda: len(items(page)), 1)


def test_a_drag_is_one_step_of_the_history(visit):
    page = visit("/?seed=20&n=2")
    page.evaluate(
        """async () => {
            const slider = document.querySelector('#sg-psi input[type=range]');
            for (let i = 0; i <= 40; i++) {
                slider.value = 1 - i / 100;
                slider.dispatchEvent(new Event('input', { bubbles: true }));
                await new Promise(requestAnimationFrame);
            }
        }"""
    )
    address_of(page, "psi=0.6&n=2")
    shows(page, lambda: page.inner_text(CAPTION), "seed 20 · ψ 0.6")
    page.keyboard.press("Control+z")
    address_of(page, "seed=20&n=2")


# Files and links of every age


def old(name: str) -> list[tuple[str, Path]]:
    """Queries, with a picture that carries each."""
    entries = json.loads((TINY.parent / name).read_text())
    return [(one["link"].partition("?")[2], TINY.parent / one["picture"]) for one in entries]


def test_old_pictures_open(visit):
    page = visit("/")
    for query, path in old("links.json"):
        drop(page, path.name, path.read_bytes())
        parts = [part for part in query.split("&") if not part.startswith("t=")]
        page.wait_for_function(
            "parts => parts.every((part) => location.search.includes(part))", arg=parts
        )
        assert page.locator(".sg-notes").is_hidden()


def test_an_old_shelf_lies_on_the_desk(visit):
    ((link, _),) = (one for one in old("sheets.json") if one[0].startswith("t=shelf"))
    page = visit("/?" + link, wait=False)
    shows(page, lambda: len(items(page)), 4)
    assert items(page)[0] == "seed 7 · ψ 0.7"
    drawn = "[...document.querySelectorAll('.sg-thumbs img')].filter((i) => i.naturalWidth)"
    page.wait_for_function(f"{drawn}.length >= 4")
    assert page.inner_text(CAPTION) == "seed 7 · ψ 0.7"

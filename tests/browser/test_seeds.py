"""The Seeds tab as visitors meet it."""

import subprocess
import sys

import numpy as np
import pytest

from stylegan.recipe import Recipe, RowMix, pack_latent
from stylegan.stamp import grid, png_bytes, read_png
from tests.app_server import ROOT, TINY
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

GRID = ".sg-cells:not(.row-only)"
STRIP = ".sg-cells.row-only"
FULL = "psi=0.3&cut=4&c=2&noise=11&n=4"  # a value for every control


def recipe(page) -> Recipe:
    """What the address says; it names the model with its revision."""
    found = Recipe.from_query(full_address(page))
    assert found.m is not None
    return found


def controls(page) -> dict[str, str]:
    """What the boxes of the page show."""
    boxes = {"seed": "#sg-seed", "psi": "#sg-psi", "cut": "#sg-cut", "c": "#sg-c", "n": "#sg-n"}
    values = {name: page.input_value(f"{box} input[type=number]") for name, box in boxes.items()}
    return {**values, "noise": page.input_value("#sg-noise-seed input")}


# Opening


def test_the_first_visit(visit):
    page = visit("/?utm_source=mail")
    assert page.locator(f"{GRID} img").count() == 16
    assert page.locator(f"{STRIP} img").count() == 9
    assert page.inner_text(CAPTION) == "seed 0 · ψ 1"
    address_of(page, "&n=16")
    assert recipe(page) == MODEL.stamped(Recipe(n=16))
    assert page.title() == "StyleGAN playground"
    size = page.locator(PICTURE).bounding_box()
    assert size["width"] == size["height"] > 300
    assert page.evaluate(
        "getComputedStyle(document.querySelector('.sg-picture img')).imageRendering"
    ) == ("pixelated")


def test_a_link_shows_the_pixels_that_the_command_writes(visit, tmp_path):
    link = "/?m=" + MODEL.id + "&seed=7&psi=0.6&c=1&noise=3"
    page = visit(link)
    line = [sys.executable, "-m", "stylegan", "render", "https://example.org" + link]
    out = tmp_path / "out.png"
    subprocess.run([*line, "--model", str(TINY), "-o", str(out)], cwd=ROOT, check=True)
    data = shown(page)
    assert np.abs(pixels(data) - pixels(out.read_bytes())).max() <= 1
    assert read_png(data) == read_png(out)
    assert page.url.endswith(link), "the address of a link is the link"


def test_every_picture_is_of_its_recipe(visit):
    page = visit("/?seed=3&psi=0.6&n=4")
    for i in range(4):
        data = shown(page, f"{GRID} button:nth-child({i + 1}) img")
        expected = MODEL.render(Recipe(seed=3 + i, psi=0.6))
        assert np.abs(pixels(data) - expected).max() <= 1
    data = shown(page, f"{STRIP} button:nth-child(1) img")
    assert np.abs(pixels(data) - MODEL.render(Recipe(seed=3, psi=-0.5))).max() <= 1


def test_opening_a_link_sets_every_control(visit):
    page = visit(f"/?m={MODEL.id}&seed=7&{FULL}")
    expected = {"seed": "7", "psi": "0.3", "cut": "4", "c": "2", "n": "4", "noise": "11"}
    shows(page, lambda: controls(page), expected)
    assert page.locator("#sg-noise-seed input").is_visible(), "what is set is open to see"
    page.wait_for_timeout(600)
    assert page.url.endswith(f"/?m={MODEL.id}&seed=7&{FULL}")


def test_values_between_and_beyond_the_steps_stay(visit):
    page = visit("/?seed=7&psi=2.345678&n=4")
    address_of(page, "psi=2.345678&n=4")
    page.click("#sg-dice")
    page.wait_for_function("location.search.includes('seed=7&') == false")
    assert recipe(page).psi == 2.345678


def test_a_bad_link_says_what_is_wrong_and_shows_the_default(visit):
    page = visit("/?psi=<img src=x onerror=alert(1)>&seed=5")
    assert "This link does not work" in said(page)
    assert "<img" in said(page), "as text"
    assert page.locator(".sg-notes img").count() == 0
    assert page.inner_text(CAPTION) == "seed 0 · ψ 1"
    page.click("#sg-dice")
    page.wait_for_selector(".sg-notes", state="hidden")


def test_another_revision_is_told(visit):
    page = visit("/?m=tiny-16@0000000000&seed=5&n=2")
    assert "tiny-16@0000000000" in said(page) and MODEL.id in said(page)
    address_of(page, f"m={MODEL.id}&seed=5&n=2")
    assert recipe(page).m == MODEL.id


# Playing


def test_choosing_a_picture_and_copying_its_link(visit):
    page = visit("/?seed=20&n=9", permissions=["clipboard-read", "clipboard-write"])
    page.click(f"{GRID} button:nth-child(6)")
    address_of(page, "seed=25&n=9")
    assert page.inner_text(CAPTION) == "seed 25 · ψ 1"
    assert page.input_value("#sg-seed input") == "25"
    assert page.inner_text(f"{GRID} button[aria-pressed=true]") == "25"
    assert page.inner_text(f"{GRID} button:nth-child(1)") == "20", "the others stay"
    page.get_by_role("button", name="Copy link").click()
    page.wait_for_selector("text=Copied")
    assert page.evaluate("navigator.clipboard.readText()") == full_address(page)


def test_the_controls_move_the_picture_and_the_address(visit):
    page = visit("/?seed=20&n=2")
    fill(page, "#sg-seed input", "31", "seed=31&n=2")
    page.click(f"{STRIP} button:nth-child(3)")
    address_of(page, "seed=31&psi=0&n=2")
    unfold(page, "#sg-cut input[type=number]")
    fill(page, "#sg-cut input[type=number]", "2", "seed=31&psi=0&cut=2&n=2")
    page.get_by_label("none").check()
    address_of(page, "seed=31&psi=0&cut=2&noise=none&n=2")
    box = "#sg-c input[type=number]"
    fill(page, box, "1", "seed=31&psi=0&cut=2&c=1&noise=none&n=2")
    shows(page, lambda: page.inner_text(CAPTION), "seed 31 · ψ 0 · class 1")
    expected = MODEL.render(Recipe(seed=31, psi=0, cut=2, c=1, noise="none"))
    assert np.abs(pixels(shown(page)) - expected).max() <= 1


def test_a_wrong_seed_is_told_and_put_right(visit):
    page = visit("/?seed=20&n=2")
    told = "document.querySelector('.sg-notes').checkVisibility()"
    until(page, lambda: page.fill("#sg-seed input", "-5"), told)
    assert 'seed "-5" is not a whole number' in said(page)
    assert page.inner_text(CAPTION) == "seed 20 · ψ 1"
    until(page, lambda: page.fill("#sg-seed input", "5"), f"!{told}")
    shows(page, lambda: page.inner_text(CAPTION), "seed 5 · ψ 1")


def test_dragging_ends_at_the_last_value_and_nothing_piles_up(visit):
    page = visit("/?seed=20&n=16")
    asked = []
    page.on("request", lambda r: asked.append(r.url) if "/queue/join" in r.url else None)
    page.evaluate(
        """async () => {
            const slider = document.querySelector('#sg-psi input[type=range]');
            for (let i = 0; i <= 200; i++) {
                slider.value = 1 - i / 100;
                slider.dispatchEvent(new Event('input', { bubbles: true }));
                if (i % 4 == 0) await new Promise(requestAnimationFrame);
            }
            slider.value = 0.37;
            slider.dispatchEvent(new Event('input', { bubbles: true }));
        }"""
    )
    address_of(page, "psi=0.37&n=16")
    shows(page, lambda: page.inner_text(CAPTION), "seed 20 · ψ 0.37")
    assert len(asked) < 150, "202 values were passed"
    assert np.abs(pixels(shown(page)) - MODEL.render(Recipe(seed=20, psi=0.37))).max() <= 1


def test_one_and_many(visit):
    page = visit("/?seed=20&n=2")
    many = f"n => document.querySelectorAll('{GRID} img[src]').length == n"
    until(page, lambda: page.fill("#sg-n input[type=number]", "1"), many, 0)
    assert not page.get_by_role("button", name="Download all").is_visible()
    until(page, lambda: page.fill("#sg-n input[type=number]", "64"), many, 64)
    address_of(page, "seed=20&n=64")


def test_another_model(visit):
    page = visit(f"/?m={MODEL.id}&seed=20&c=2&n=2")
    page.click("#sg-model input")
    page.get_by_role("option", name="grey-32").click()
    page.wait_for_function("location.search.includes('m=grey-32@')")
    assert page.url.endswith("&seed=20&n=2"), "it has no classes"
    page.wait_for_selector("#sg-c", state="hidden")
    assert pixels(shown(page)).shape == (32, 32)


def test_the_keyboard_alone(visit):
    page = visit("/?seed=20&n=9")
    page.focus(f"{GRID} button")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    address_of(page, "seed=24&n=9")
    page.focus("#sg-psi input[type=range]")
    page.keyboard.press("ArrowLeft")
    address_of(page, "seed=24&psi=0.99&n=9")
    page.focus("#sg-seed input")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "sg-dice"
    page.keyboard.press("Enter")
    page.wait_for_function("!location.search.includes('seed=24&')")


def test_everything_has_a_name(visit):
    page = visit("/?seed=20&n=4")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('main button, main input, main img')].filter((e) =>
            e.checkVisibility() && !(e.ariaLabel || e.alt || e.innerText || e.labels?.length)
        ).map((e) => e.outerHTML.slice(0, 200))"""
    )
    assert nameless == []


def test_two_visitors_at_once(visit):
    ann, bob = visit("/?seed=20&n=4"), visit("/?seed=500&n=4")
    fill(ann, "#sg-seed input", "21", "seed=21&n=4")
    fill(bob, "#sg-seed input", "501", "seed=501&n=4")
    ann.click(f"{STRIP} button:nth-child(1)")
    bob.click(f"{STRIP} button:nth-child(2)")
    address_of(ann, "seed=21&psi=-0.5&n=4")
    address_of(bob, "seed=501&psi=-0.25&n=4")
    for page, own in ((ann, Recipe(seed=21, psi=-0.5)), (bob, Recipe(seed=501, psi=-0.25))):
        shows(page, lambda page=page: page.inner_text(CAPTION), f"seed {own.seed} · ψ {own.psi:g}")
        assert np.abs(pixels(shown(page)) - MODEL.render(own)).max() <= 1


# Saving and opening files


def test_a_saved_picture_dropped_elsewhere_restores_every_control(visit, tmp_path):
    page = visit(f"/?m={MODEL.id}&seed=7&{FULL}")
    before, address = controls(page), page.url
    path = saved(page, "Download", tmp_path)
    assert path.name == "tiny-16-seed7-psi0.3-16x.png"
    expected = MODEL.render(Recipe(seed=7, psi=0.3, cut=4, c=2, noise=11))
    crisp = pixels(path.read_bytes())
    assert crisp.shape == (256, 256, 3)
    assert np.abs(crisp[::16, ::16] - expected).max() <= 1
    assert np.array_equal(crisp, crisp[::16, ::16].repeat(16, 0).repeat(16, 1))

    elsewhere = visit("/")
    drop(elsewhere, path.name, path.read_bytes())
    address_of(elsewhere, f"seed=7&{FULL}")
    assert elsewhere.url == address
    shows(elsewhere, lambda: controls(elsewhere), before)


def test_a_picture_at_its_own_size(visit, tmp_path):
    page = visit("/?seed=7&n=2")
    page.get_by_label("Size").click()
    page.get_by_role("option", name="16 px", exact=True).click()
    path = saved(page, "Download", tmp_path)
    assert np.abs(pixels(path.read_bytes()) - MODEL.render(Recipe(seed=7))).max() <= 1
    assert read_png(path) == MODEL.stamped(Recipe(seed=7)).to_query()


def test_the_whole_grid_and_the_button_that_opens_files(visit, tmp_path):
    page = visit("/?seed=20&n=4")
    page.click(f"{GRID} button:nth-child(3)")
    address_of(page, "seed=22&n=4")
    path = saved(page, "Download all", tmp_path)
    whole = pixels(path.read_bytes())
    side = whole.shape[0] // 32
    expected = grid(MODEL.render_many(Recipe(seed=20, n=4)))
    assert np.abs(whole[::side, ::side] - expected).max() <= 1
    page.set_input_files("#sg-open input[type=file]", path)
    address_of(page, "seed=20&n=4")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("notes.txt", b"hello", "this is not a PNG file"),
        ("cut.png", b"\x89PNG\r\n\x1a\n\0\0", "carries no recipe"),
    ],
)
def test_a_file_that_cannot_be_opened(visit, name, data, words):
    page = visit("/?seed=20&n=2")
    drop(page, name, data)
    page.wait_for_selector(".sg-notes")
    assert "This file cannot be opened" in said(page) and words in said(page)
    assert recipe(page) == MODEL.stamped(Recipe(seed=20, n=2))


def test_a_recipe_too_long_for_a_link(visit, tmp_path):
    page = visit("/?seed=20&n=2")
    latent = pack_latent(np.arange(96) / 96)
    long = MODEL.stamped(Recipe(seed=5, mix=[RowMix(latent, 0, 1)] * 32))
    assert not long.fits_link
    drop(page, "long.png", png_bytes(MODEL.render(long), long.to_query()))
    page.wait_for_selector("text=Too long for a link")
    page.wait_for_function("location.search == ''")
    assert page.get_by_role("button", name="Too long").is_disabled()
    path = saved(page, "Download", tmp_path)
    assert read_png(path) == long.to_query(), "the file carries it all"
    page.click(f"{STRIP} button:nth-child(1)")
    many = f"document.querySelectorAll('{GRID} img[src]').length == 2"
    until(page, lambda: page.fill("#sg-n input[type=number]", "2"), many)


# Screens and frames


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone(visit, scheme):
    size = {"width": 390, "height": 844}
    page = visit("/?n=64", viewport=size, color_scheme=scheme, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator(PICTURE).bounding_box()["width"] > 300
    assert page.locator("#sg-dice").bounding_box()["y"] < 844, "within the first screen"
    wide = page.evaluate(
        """() => [...document.querySelectorAll('main *')].filter((e) =>
            e.checkVisibility() && !e.closest('[aria-hidden=true]') &&
            e.getBoundingClientRect().right > 391
        ).map((e) => e.outerHTML.slice(0, 100))"""
    )
    assert wide == []


def test_the_frame_of_a_space_is_told(chromium, server):
    """Hugging Face shows a Space in a frame and puts its query into its own address."""
    context = chromium.new_context()
    page = context.new_page()
    outer = (
        "<script>told = []; addEventListener('message', (e) => told.push(e.data))</script>"
        f"<iframe src='{server.url}/?seed=7&n=2' width=1200 height=900></iframe>"
    )
    page.route(
        "https://huggingface.co/**",
        lambda route: route.fulfill(body=outer, content_type="text/html"),
    )
    page.goto("https://huggingface.co/spaces/somebody/something")
    page.wait_for_function("told.some((data) => data.queryString?.endsWith('&seed=7&n=2'))")
    query = page.evaluate("told.findLast((data) => data.queryString).queryString")
    assert query == MODEL.stamped(Recipe(seed=7, n=2)).to_query()
    context.close()

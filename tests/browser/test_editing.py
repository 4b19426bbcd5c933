"""The Editing tab as visitors meet it."""

import json

import numpy as np
import pytest

from stylegan.direction_files import load_directions
from stylegan.recipe import Edit, Recipe
from stylegan.stamp import read_png
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
    until_read,
)

TAB = "#sg-edit"
TITLE = f"{TAB} .sg-title"
STRIP = f"{TITLE} ~ .sg-cells button"
EXAMPLES = f"{TAB} [aria-label^=Examples] button"
MARK = f"{TAB} .sg-mark"
SEED, PSI = "#sg-edit-seed input", "#sg-edit-psi input[type=number]"
NAME = "#sg-own-name input, #sg-own-name textarea"
FOLD = "Make a direction of your own"
LINK = "seed=5&psi=0.7&e=warmth:1.5&e=shape:-2:0-2"


def slider(direction: str, part: str = ".sg-strength") -> str:
    return f'{TAB} .sg-direction[data-direction="{direction}"] {part}'


def recipe(page) -> Recipe:
    """What the address says; it names the model with its revision."""
    found = Recipe.from_query(full_address(page))
    assert found.m == MODEL.id and found.t == "edit"
    return found


def opened(visit, path: str = f"/?t=edit&{LINK}", strip: int = 7, **settings):
    """A page with its picture, the strip and the examples."""
    page = visit(path, wait=False, **settings)
    page.wait_for_selector(PICTURE)
    loaded(page, f"{STRIP} img", strip)
    loaded(page, f"{EXAMPLES} img", 4)
    return page


def loaded(page, images: str, count: int) -> None:
    page.wait_for_function(
        """([images, count]) => {
            const all = [...document.querySelectorAll(images)];
            return all.length == count && all.every((i) => i.complete && i.naturalWidth);
        }""",
        arg=[images, count],
    )


def drawn(page, expected: Recipe, selector: str = PICTURE) -> None:
    """Wait until a picture is that of a recipe."""
    picture = MODEL.render(expected).astype(int)
    shows(page, lambda: bool(np.abs(pixels(shown(page, selector)) - picture).max() <= 1), True)


def mark(page, i: int, sign: str) -> None:
    page.locator(MARK).nth(i).get_by_text(sign, exact=True).click()


def marking(page) -> None:
    """Open the fold and wait for pictures to mark."""
    unfold(page, f"{MARK}:nth-child(24) button:first-of-type", FOLD)
    loaded(page, f"{MARK} img", 24)


# Opening


def test_the_first_visit_and_the_examples(visit):
    page = visit("/")
    page.get_by_role("tab", name="Editing").click()
    address_of(page, f"?t=edit&m={MODEL.id}")
    loaded(page, f"{STRIP} img", 7)
    loaded(page, f"{EXAMPLES} img", 4)
    assert page.inner_text(TITLE) == "shape, from -3 to +3 σ"
    words = ["shape +2.5", "warmth -2.5", "closed-form-1 +2.5", "closed-form-2 -2.5"]
    assert page.locator(EXAMPLES).all_inner_texts() == words
    page.locator(EXAMPLES).nth(1).click()
    address_of(page, "seed=2&e=warmth:-2.5")
    drawn(page, Recipe(seed=2, e=(Edit("warmth", -2.5),)))
    shows(page, lambda: page.input_value(slider("warmth")), "-2.5")
    page.wait_for_function(f"document.querySelector('{TITLE}').textContent.startsWith('warmth')")
    page.locator(EXAMPLES).nth(2).click()
    page.wait_for_function("location.search.includes('w=')")
    assert page.input_value(slider("closed-form-1")) == "2.5"
    assert page.locator(f"{TAB} .sg-found").get_attribute("open") is not None, "it is in sight"


def test_a_link_sets_every_control(visit):
    text = f"t=edit&m={MODEL.id}&seed=5&psi=0.7&cut=4&c=2&noise=3&e=warmth:1.5&e=shape:-2:0-2"
    page = opened(visit, "/?" + text)
    boxes = {SEED: "5", PSI: "0.7", "#sg-edit-c input[type=number]": "2"}
    boxes |= {slider("warmth"): "1.5", slider("shape"): "-2", slider("pca-1"): "0"}
    boxes |= {slider("shape", ".sg-from"): "0", slider("shape", ".sg-to"): "2"}
    shows(page, lambda: {box: page.input_value(box) for box in boxes}, boxes)
    assert page.inner_text(slider("shape", ".sg-extent-said")) == "layers 0 to 2 of 5, 4 to 8 px"
    assert page.inner_text(slider("warmth", ".sg-extent-said")) == "all layers"
    assert page.inner_text(CAPTION) == "seed 5 · ψ 0.7 · class 2 · warmth +1.5 · shape -2"
    assert page.url.endswith("?" + text)
    drawn(page, Recipe.from_query(text))
    for i, strength in enumerate((-3, -2, -1, 0, 1, 2, 3)):
        e = (Edit("warmth", strength), Edit("shape", -2, (0, 2)))
        single = Recipe(seed=5, psi=0.7, cut=4, c=2, noise=3, e=e)
        drawn(page, single, f"{STRIP}:nth-child({i + 1}) img")


def test_a_bad_link_is_told(visit):
    page = visit("/?t=edit&e=smile:1")
    assert "This link does not work" in said(page)
    assert "no direction smile (directions: shape, warmth)" in said(page)


OLD = [
    entry["link"].partition("?")[2]
    for entry in json.loads((TINY.parent / "links.json").read_text())
    if "t=edit" in entry["link"]
]


@pytest.mark.parametrize("old", OLD)
def test_old_edits_open(visit, old):
    page = opened(visit, "/?" + old)
    assert page.locator(".sg-notes").is_hidden()
    assert page.url.endswith(old)
    drawn(page, Recipe.from_query(old))


# Playing


def test_sliders_boxes_and_layers(visit):
    page = opened(visit, "/?t=edit&seed=5")
    page.focus(slider("warmth", ".sg-range"))
    page.keyboard.press("ArrowRight")
    address_of(page, "seed=5&e=warmth:0.1")
    page.wait_for_function(f"document.querySelector('{TITLE}').textContent.startsWith('warmth')")
    fill(page, slider("shape"), "-7.25", "e=warmth:0.1&e=shape:-7.25")
    assert page.get_attribute(slider("shape", ".sg-range"), "min") == "-8", "it reaches so far"
    page.click(slider("shape", ".sg-extent summary"))
    page.focus(slider("shape", ".sg-from"))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    address_of(page, "e=shape:-7.25:2-5")
    drawn(page, recipe(page))
    page.focus(slider("shape", ".sg-to"))
    page.keyboard.press("Home")
    address_of(page, "e=shape:-7.25:0-0")
    assert page.inner_text(slider("shape", ".sg-extent-said")) == "layers 0 to 0 of 5, 4 px"
    page.click(slider("warmth", ".sg-reset"))
    address_of(page, "seed=5&e=shape:-7.25:0-0")
    wrong = "document.querySelector('.sg-notes li')"
    until(page, lambda: page.fill(slider("shape"), "1000"), wrong)
    assert "from -100 to 100" in said(page)
    assert recipe(page).e[0].strength == -7.25
    fill(page, slider("shape"), "1", "e=shape:1:0-0")
    page.wait_for_selector(".sg-notes", state="hidden")
    page.get_by_role("button", name="Reset all").click()
    address_of(page, "seed=5")
    drawn(page, Recipe(seed=5))


def test_the_strip_moves_the_slider_and_seeds_keep_it(visit):
    page = opened(visit)
    page.click(f"{STRIP}:nth-child(2)")
    address_of(page, "e=warmth:-2&e=shape:-2:0-2")
    assert page.input_value(slider("warmth")) == "-2"
    assert page.inner_text(f"{STRIP}[aria-pressed=true]") == "-2"
    page.click(slider("shape", ".sg-pick"))
    page.wait_for_function(f"document.querySelector('{TITLE}').textContent.startsWith('shape')")
    shows(page, lambda: page.inner_text(f"{STRIP}[aria-pressed=true]"), "-2")
    page.click(f"{STRIP}:nth-child(6)")
    address_of(page, "e=warmth:-2&e=shape:2:0-2")
    page.click(f"{STRIP}:nth-child(4)")
    address_of(page, "seed=5&psi=0.7&e=warmth:-2")
    fill(page, SEED, "31", "seed=31&psi=0.7&e=warmth:-2")
    fill(page, PSI, "0.5", "seed=31&psi=0.5&e=warmth:-2")
    page.click("#sg-edit-dice")
    page.wait_for_function("!location.search.includes('seed=31&')")
    assert recipe(page).e == (Edit("warmth", -2),)
    drawn(page, recipe(page))


def test_dragging_ends_at_the_last_value(visit):
    page = opened(visit, "/?t=edit&seed=20")
    asked = []
    page.on("request", lambda r: asked.append(r.url) if "/queue/join" in r.url else None)
    page.evaluate(
        """async (slider) => {
            const range = document.querySelector(slider);
            for (let i = 0; i <= 200; i++) {
                range.value = -3 + i / 40;
                range.dispatchEvent(new Event('input', { bubbles: true }));
                if (i % 4 == 0) await new Promise(requestAnimationFrame);
            }
            range.value = 1.7;
            range.dispatchEvent(new Event('input', { bubbles: true }));
        }""",
        slider("warmth", ".sg-range"),
    )
    address_of(page, "seed=20&e=warmth:1.7")
    drawn(page, Recipe(seed=20, e=(Edit("warmth", 1.7),)))
    assert len(asked) < 150, "202 values were passed"


def test_comparing_with_the_picture_before_its_edits(visit):
    page = opened(visit, "/?t=edit&seed=5")
    hold = page.locator(f"{TAB} .sg-hold")
    assert hold.is_hidden(), "there is nothing to compare with"
    fill(page, slider("warmth"), "3", "e=warmth:3")
    original = page.locator(f"{TAB} .sg-original")
    hold.wait_for()
    assert original.is_hidden()
    hold.focus()
    page.keyboard.down("Enter")
    original.wait_for()
    drawn(page, Recipe(seed=5), f"{TAB} .sg-original img")
    assert original.inner_text() == "before: seed 5 · ψ 1"
    page.keyboard.up("Enter")
    original.wait_for(state="hidden")
    hold.hover()
    page.mouse.down()
    original.wait_for()
    page.mouse.up()
    original.wait_for(state="hidden")


def test_a_name_of_ones_own_shows_everywhere_and_stays(visit):
    page = opened(visit)
    page.get_by_label("Rename warmth").click()
    page.keyboard.type("<b>Sun</b>")
    page.keyboard.press("Enter")
    shows(page, lambda: page.inner_text(CAPTION), "seed 5 · ψ 0.7 · <b>Sun</b> +1.5 · shape -2")
    assert page.inner_text(slider("warmth", ".sg-pick")) == "<b>Sun</b>"
    assert page.inner_text(TITLE).startswith("<b>Sun</b>, from -3")
    assert page.url.endswith(LINK), "links stay as they are"
    page.get_by_label("Rename <b>Sun</b>").click()
    page.keyboard.press("Escape")
    assert page.inner_text(slider("warmth", ".sg-pick")) == "<b>Sun</b>"

    other = page.context.new_page()
    other.goto(page.url)
    other.wait_for_selector(slider("warmth"))
    shows(other, lambda: other.inner_text(CAPTION), "seed 5 · ψ 0.7 · <b>Sun</b> +1.5 · shape -2")
    other.get_by_label("Rename <b>Sun</b>").click()
    other.keyboard.press("Delete")
    other.keyboard.press("Enter")
    plain = "seed 5 · ψ 0.7 · warmth +1.5 · shape -2"
    shows(other, lambda: other.inner_text(CAPTION), plain)
    shows(page, lambda: page.inner_text(CAPTION), plain)


def test_a_found_direction_is_explored_and_named(visit):
    page = opened(visit, "/?t=edit&seed=5&e=warmth:1")
    explore = page.locator(f"{TAB} .sg-found > summary")
    assert explore.inner_text() == "Explore: 12 more without names"
    explore.click()
    until(page, lambda: page.fill(slider("pca-2"), "2"), "location.search.includes('w=')")
    found = recipe(page)
    assert found.e == (Edit("warmth", 1),) and found.w is not None
    drawn(page, found)
    assert page.inner_text(CAPTION) == "seed 5 · ψ 1 · warmth +1 · pca-2 +2"
    assert "A link keeps the picture, but not pca-2" in page.inner_text(f"{TAB} .sg-unlinked")
    page.get_by_label("Rename pca-2").click()
    page.keyboard.type("Tilt")
    page.keyboard.press("Enter")
    shows(page, explore.inner_text, "Explore: 11 more without names")
    shows(page, lambda: page.inner_text(CAPTION), "seed 5 · ψ 1 · warmth +1 · Tilt +2")
    elsewhere = opened(visit, "/" + page.url[page.url.index("?") :])
    drawn(elsewhere, found)
    page.click(slider("pca-2", ".sg-reset"))
    address_of(page, "seed=5&e=warmth:1")
    assert page.inner_text(f"{TAB} .sg-unlinked") == ""


# Marks


def test_marks_make_a_direction(visit, tmp_path):
    page = opened(visit, "/?t=edit&seed=5")
    marking(page)
    mark(page, 0, "✓")
    assert page.inner_text(f"{TAB} .sg-marked").startswith("1 marked ✓ has it, 0 marked ✗")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("-")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("+")
    page.keyboard.press("0")
    page.get_by_role("button", name="Make it").click()
    page.get_by_text("Nothing was made: give the direction a name first.").wait_for()
    page.fill(NAME, "big smile")
    page.get_by_role("button", name="Make it").click()
    page.get_by_text(
        "Nothing was made: mark 1 more that have it and 1 more that have it not."
    ).wait_for()
    page.locator(f"{MARK} img").nth(3).click()
    page.locator(f"{MARK} img").nth(4).click()
    page.locator(f"{MARK} img").nth(4).click()
    words = "2 marked ✓ has it, 2 marked ✗ has it not: enough to begin with"
    assert page.inner_text(f"{TAB} .sg-marked") == words
    page.get_by_role("button", name="Make it").click()
    page.wait_for_selector(slider("big-smile"))
    shows(page, lambda: page.inner_text(TITLE), "big smile, from -3 to +3 σ")
    page.click(f"{STRIP}:nth-child(7)")
    page.wait_for_function("location.search.includes('w=')")
    shows(page, lambda: page.inner_text(CAPTION), "seed 5 · ψ 1 · big smile +3")
    drawn(page, recipe(page))

    path = saved(page, "Download directions.safetensors", tmp_path)
    steps, notes = load_directions(path, MODEL.config)
    assert list(steps) == ["big-smile"] and notes["big-smile"].label == "big smile"

    marked = page.locator(f"{MARK}.has, {MARK}.has-not").count()
    page.get_by_role("button", name="More pictures").click()
    loaded(page, f"{MARK} img", marked + 24)
    assert page.inner_text(f"{TAB} .sg-marked") == words, "marked pictures stay"
    page.get_by_role("button", name="Clear marks").click()
    assert page.inner_text(f"{TAB} .sg-marked").startswith("0 marked ✓ has it, 0 marked ✗")

    page.get_by_label("Remove big smile").click()
    page.wait_for_selector(slider("big-smile"), state="detached")
    address_of(page, "seed=5")


def test_pictures_of_other_tabs_are_marked_and_edited(visit):
    page = visit("/?seed=20&psi=0.5&n=4")

    def use(how: str) -> None:
        acts = page.locator(".sg-acts").locator("visible=true")
        acts.get_by_role("button", name="Use in").click()
        page.get_by_role("menuitem", name=how, exact=True).click()

    use("Mark: has it not")
    address_of(page, f"?t=edit&m={MODEL.id}&seed=20&psi=0.5")
    loaded(page, f"{MARK} img", 25)
    first = page.locator(MARK).first
    assert "has-not" in first.get_attribute("class")
    drawn(page, Recipe(seed=20, psi=0.5), f"{MARK}:first-child img")
    fill(page, slider("warmth"), "1", "seed=20&psi=0.5&e=warmth:1")

    page.get_by_role("tab", name="Seeds").click()
    page.locator("#sg-dice").wait_for()
    page.locator(".sg-cells:not(.row-only) button:visible").nth(2).click()
    address_of(page, "seed=22&psi=0.5&n=4")
    use("Mark: has it")
    shows(page, lambda: page.locator(f"{MARK}.has").count(), 1)
    words = page.inner_text(f"{TAB} .sg-marked")
    assert words.startswith("1 marked ✓ has it, 1 marked ✗ has it not")
    address_of(page, "seed=20&psi=0.5&e=warmth:1")

    page.get_by_role("tab", name="Seeds").click()
    page.locator("#sg-dice").wait_for()
    address_of(page, "seed=22&psi=0.5&n=4")
    use("Edit")
    address_of(page, f"?t=edit&m={MODEL.id}&seed=22&psi=0.5")
    shows(page, lambda: page.input_value(slider("warmth")), "0")
    assert page.locator(f"{MARK}.has").count() == 1


# Files, models, screens


def test_a_saved_picture_dropped_elsewhere_brings_back_the_sliders(visit, tmp_path):
    page = opened(visit)
    address = full_address(page)
    path = saved(page, "Download", tmp_path)
    assert read_png(path) == address.partition("?")[2]
    elsewhere = visit("/")
    drop(elsewhere, path.name, path.read_bytes())
    address_of(elsewhere, LINK)
    assert elsewhere.url == address
    boxes = {slider("warmth"): "1.5", slider("shape"): "-2", slider("shape", ".sg-to"): "2"}
    shows(elsewhere, lambda: {box: elsewhere.input_value(box) for box in boxes}, boxes)


def test_a_grey_model_without_directions_or_classes(visit):
    page = opened(visit, "/?t=edit&seed=5&c=2&e=warmth:1")
    page.click("#sg-model input")
    page.get_by_role("option", name="grey-32").click()
    page.wait_for_function("location.search.includes('m=grey-32@')")
    assert page.url.endswith("&seed=5")
    shows(page, lambda: page.locator(slider("warmth")).count(), 0)
    assert page.locator("#sg-edit-c").is_hidden()
    loaded(page, f"{STRIP} img", 7)
    before = pixels(shown(page))
    assert before.shape == (32, 32)
    page.locator(f"{TAB} .sg-found > summary").click()
    until(page, lambda: page.fill(slider("closed-form-1"), "3"), "location.search.includes('w=')")
    until_read(page, lambda: pixels(shown(page)), lambda now: (now != before).any(), "changed")


def test_two_visitors_at_once(visit):
    ann, bob = opened(visit, "/?t=edit&seed=20"), opened(visit, "/?t=edit&seed=500")
    fill(ann, slider("warmth"), "2", "seed=20&e=warmth:2")
    fill(bob, slider("shape"), "-2", "seed=500&e=shape:-2")
    drawn(ann, Recipe(seed=20, e=(Edit("warmth", 2),)))
    drawn(bob, Recipe(seed=500, e=(Edit("shape", -2),)))


def test_a_phone_and_the_names_of_all_that_is_there(visit):
    size = {"width": 390, "height": 844}
    page = opened(visit, viewport=size, color_scheme="dark", has_touch=True)
    marking(page)
    page.locator(f"{TAB} .sg-found > summary").click()
    page.locator(slider("warmth", ".sg-extent summary")).click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    wide = page.evaluate(
        """() => [...document.querySelectorAll('main *')].filter((e) =>
            e.checkVisibility() && !e.closest('[aria-hidden=true]') &&
            e.getBoundingClientRect().right > 391
        ).map((e) => e.outerHTML.slice(0, 100))"""
    )
    assert wide == []
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('main button, main input, main img')].filter((e) =>
            e.checkVisibility() && !(e.ariaLabel || e.alt || e.innerText || e.labels?.length)
        ).map((e) => e.outerHTML.slice(0, 200))"""
    )
    assert nameless == []
    page.tap(f"{STRIP}:nth-child(7)")
    address_of(page, "e=warmth:3&e=shape:-2:0-2")

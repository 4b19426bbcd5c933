"""The Interpolation tab as visitors meet it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylegan.recipe import Recipe
from stylegan.stamp import read_recipe
from stylegan.tabs.interpolation import examples
from stylegan.walk import Walk
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

KEYS = "#sg-keys li"
TEXT = "#sg-keyframes textarea"
RANGE = "#sg-at input[type=range]"
WALK = "/?t=walk&seed=5-7&frames=8&fps=10"
FRAMES = 14_400  # of the longest clip that the server of these tests makes
LONG = f"/?t=walk&seed=1-64&frames={FRAMES // 4}&grid=4x4&loop=1"  # nobody here waits so long
PER = "#sg-per input"


def walk(page) -> Walk:
    """What the address says; it names the model with its revision."""
    found = Walk.from_query(full_address(page))
    assert found.m == MODEL.id
    return found


def drawn(page) -> None:
    """Wait for the frame, the thumbnails and the film, and that all are there to be used."""
    page.wait_for_function(
        """() => {
            const found = (selector) => [...document.querySelectorAll(selector)];
            const loaded = (i) => i.complete && i.naturalWidth;
            const [keys, film] = [found('#sg-keys img'), found('.sg-film img')];
            const all = [...found('.sg-picture img'), ...keys, ...film];
            return keys.length && film.length > 1
                && all.filter((image) => image.offsetParent).every(loaded);
        }"""
    )


def opened(visit, path: str = WALK, **settings):
    page = visit(path, wait=False, **settings)
    drawn(page)
    return page


def labels(page) -> list[str]:
    """The keyframes in the order of their thumbnails."""
    return page.locator(f"{KEYS} button > span").all_inner_texts()


def same(data: bytes, expected: np.ndarray) -> bool:
    return bool(np.abs(pixels(data) - expected).max() <= 1)


def frame(page, value: Walk, at: int) -> None:
    """Wait until the large picture is this frame of a walk."""
    recipe = MODEL.frame_recipe(value, at)
    shows(page, lambda: same(shown(page), MODEL.render(recipe)), True)


def make(page, kind: str) -> None:
    page.locator("#sg-kind").get_by_label(kind).check()
    page.get_by_role("button", name="Make the clip").click()


def told(page, text: str) -> None:
    """Wait until the maker of clips says so."""
    page.wait_for_function(
        "text => document.querySelector('#sg-make .sg-status').textContent.includes(text)", arg=text
    )


# Opening


def test_the_first_visit_and_the_examples(visit):
    page = visit("/")
    page.get_by_role("tab", name="Interpolation").click()
    every = examples(MODEL)
    address_of(page, "&seed=200,1000,2500,4000,200")
    drawn(page)
    assert labels(page) == ["200", "1000", "2500", "4000", "200"]
    assert "4 ways of 60 frames: 240 frames, 8 s" in page.inner_text(".sg-said >> visible=true")
    frame(page, every["Five seeds and back"], 0)
    for name, value in [*list(every.items())[1:], next(iter(every.items()))]:
        page.get_by_role("button", name=name, exact=True).click()
        address_of(page, "?" + MODEL.stamped(value).to_query())
    frame(page, every["Five seeds and back"], 0)


def test_a_link_sets_every_control_and_shows_its_frames(visit):
    text = "seed=5-8&frames=7&fps=12&loop=1&space=z&curve=slerp&ease=in&grid=2x1"
    page = opened(visit, f"/?t=walk&m={MODEL.id}&{text}&psi=0.5&cut=4&c=1&noise=7")
    value = walk(page)
    boxes = {TEXT: "5,6,7,8", PER: "7", "#sg-fps input": "12"}
    boxes |= {"#sg-walk-psi input[type=number]": "0.5", "#sg-walk-c input[type=number]": "1"}
    boxes |= {"#sg-walk-cut input[type=number]": "4", "#sg-columns input[type=number]": "2"}
    boxes |= {"#sg-rows input[type=number]": "1", "#sg-walk-noise-seed input": "7"}
    shows(page, lambda: {box: page.input_value(box) for box in boxes}, boxes)
    for box, choice in {
        **{"#sg-unit": "frames", "#sg-curve": "great circles", "#sg-ease": "slow start"},
        **{"#sg-space": "z", "#sg-walk-noise": "from a number"},
    }.items():
        assert page.locator(box).get_by_label(choice, exact=True).is_checked()
    assert page.locator("#sg-loop input").is_checked()
    both = np.concatenate(
        [MODEL.render(MODEL.frame_recipe(value, 0, place)) for place in (0, 1)], axis=1
    )
    assert same(shown(page), both)
    assert page.locator(CAPTION).inner_text() == "2 walks"
    page.click("#sg-place input")
    page.get_by_role("option", name="walk 2").click()
    shows(page, lambda: page.inner_text(CAPTION), "seed 7")
    assert same(shown(page), MODEL.render(Recipe(seed=7, psi=0.5, cut=4, c=1, noise=7)))


def test_a_walk_with_a_bad_part_is_told(visit):
    page = visit("/?t=walk&seed=1,2&frames=fast")
    assert "This link does not work" in said(page) and '"fast"' in said(page)


# Playing


def test_keyframes_times_and_ways_by_hand(visit):
    page = opened(visit)
    fill(page, TEXT, "1-3, 10", "seed=1,2,3,10&frames=8&fps=10")  # pasted
    shows(page, lambda: labels(page), ["1", "2", "3", "10"])
    page.focus(TEXT)
    page.keyboard.press("Control+End")
    page.keyboard.press("Backspace")
    address_of(page, "seed=1,2,3,1&frames=8&fps=10")
    page.keyboard.type("2,10")
    address_of(page, "seed=1,2,3,12,10&frames=8&fps=10")
    fill(page, TEXT, "1,2,3,10", "seed=1,2,3,10&frames=8&fps=10")
    fill(page, PER, "1.2", "frames=12&fps=10")
    page.locator("#sg-unit").get_by_label("frames").check()
    shows(page, lambda: page.input_value(PER), "12")
    fill(page, PER, "6", "frames=6&fps=10")
    page.locator("#sg-loop input").check()
    address_of(page, "&loop=1")
    page.locator("#sg-curve").get_by_label("straight").check()
    page.locator("#sg-space").get_by_label("z", exact=True).check()
    page.locator("#sg-ease").get_by_label("both").check()
    address_of(page, "&space=z&curve=linear&ease=both")
    psi = "#sg-walk-psi input[type=number]"
    fill(page, psi, "0.6", "&psi=0.6&frames=6&fps=10&loop=1&space=z&curve=linear&ease=both")
    unfold(page, "#sg-columns input[type=number]")
    fill(page, "#sg-columns input[type=number]", "2", "&ease=both&grid=2x1")
    value = Walk((1, 2, 3, 10), 6, 10, True, "z", "linear", "both", (2, 1), 0.6, m=MODEL.id)
    assert walk(page) == value
    until(page, lambda: page.fill(TEXT, "1-3"), "document.querySelector('.sg-notes').offsetParent")
    assert "3 keyframes cannot be shared out evenly among 2 walks" in said(page)
    assert walk(page) == value
    fill(page, TEXT, "4,5", "seed=4,5&psi=0.6&frames=" + page.url.partition("&frames=")[2])
    page.wait_for_selector(".sg-notes", state="hidden")


def test_keyframes_change_places(visit):
    page = opened(visit)
    shows(page, lambda: labels(page), ["5", "6", "7"])
    page.locator(f"{KEYS}:nth-child(1)").drag_to(page.locator(f"{KEYS}:nth-child(3)"))
    address_of(page, "seed=6,7,5&frames=8&fps=10")
    shows(page, lambda: page.input_value(TEXT), "6,7,5")
    page.click(f"{KEYS}:nth-child(2) button")
    page.get_by_role("button", name="Earlier").click()
    address_of(page, "seed=7,6,5&frames=8&fps=10")
    page.get_by_role("button", name="Duplicate").click()
    address_of(page, "seed=7,7,6,5&frames=8&fps=10")
    page.get_by_role("button", name="Remove").and_(page.locator("#sg-keys button")).click()
    address_of(page, "seed=7,6,5&frames=8&fps=10")
    page.focus(f"{KEYS}:nth-child(1) button")
    page.keyboard.press("Shift+ArrowRight")
    address_of(page, "seed=6,7,5&frames=8&fps=10")
    page.keyboard.press("Delete")
    address_of(page, "seed=6,5&frames=8&fps=10")
    page.get_by_role("button", name="Add another").click()
    page.wait_for_function("!location.search.includes('seed=6,5&')")
    fresh = walk(page).keyframes
    assert fresh[:2] == (6, 5) and labels(page) == [str(key) for key in fresh]
    page.wait_for_function("document.querySelectorAll('#sg-keys img[src]').length == 3")
    frame(page, walk(page), int(page.input_value(RANGE)))


def test_the_timeline_shows_the_frame_under_the_hand(visit):
    page = opened(visit, "/?t=walk&seed=5-7&frames=60&fps=10")
    value, asked = walk(page), []
    page.on("request", lambda r: asked.append(r.url) if "/queue/join" in r.url else None)
    page.focus(RANGE)
    page.keyboard.press("ArrowRight")
    shows(page, lambda: page.inner_text(CAPTION), "seed 5 → seed 6 · 2%")
    frame(page, value, 1)
    page.evaluate(
        """async (range) => {
            const input = document.querySelector(range);
            for (let i = 1; i <= 97; i++) {
                input.value = i;
                input.dispatchEvent(new Event('input', { bubbles: true }));
                if (i % 4 == 0) await new Promise(requestAnimationFrame);
            }
        }""",
        RANGE,
    )
    shows(page, lambda: page.inner_text(CAPTION), "seed 6 → seed 7 · 62%")
    frame(page, value, 97)
    assert page.inner_text("#sg-at output") == "0:09.70 of 0:12.10 · frame 98 of 121"
    assert len(asked) < 70, "98 frames were passed"
    page.keyboard.press("End")
    shows(page, lambda: page.inner_text(CAPTION), "seed 7")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(f"![0, 120].includes(Number(document.querySelector('{RANGE}').value))")
    page.get_by_role("button", name="Pause").click()
    at = int(page.input_value(RANGE))
    frame(page, value, at)


def test_a_phone(visit):
    page = opened(visit, viewport={"width": 390, "height": 844}, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator(PICTURE).bounding_box()["width"] > 300
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('main button, main input, main img')].filter((e) =>
            e.checkVisibility() && !e.closest('[aria-hidden=true]')
            && !(e.ariaLabel || e.alt || e.innerText || e.labels?.length)
        ).map((e) => e.outerHTML.slice(0, 200))"""
    )
    assert nameless == []


# Files


@pytest.mark.parametrize("kind", ["MP4", "GIF"])
def test_a_clip_is_made_and_dropped_elsewhere_restores_its_walk(visit, tmp_path, kind):
    page = opened(visit, f"/?t=walk&m={MODEL.id}&seed=5-6&frames=5&fps=10&psi=0.7&c=1")
    make(page, kind)
    path = clip(page, tmp_path)
    assert path.suffix == f".{kind.lower()}"
    assert page.inner_text("#sg-make figcaption").startswith("6 frames, 0.6 s, ")
    assert read_recipe(path) == walk(page).to_query()
    if kind == "GIF":
        with Image.open(path) as image:
            assert image.n_frames == 6 and image.size == (512, 512)
    else:
        ready = "document.querySelector('#sg-make video').readyState > 1"
        page.wait_for_function(ready)

    elsewhere = visit("/")
    drop(elsewhere, path.name, path.read_bytes())
    address_of(elsewhere, full_address(page).split("?")[1])
    drawn(elsewhere)
    assert elsewhere.input_value(TEXT) == "5,6"
    assert elsewhere.get_by_role("tab", name="Interpolation").get_attribute("aria-selected")


def clip(page, folder: Path) -> Path:
    """The clip that was made, saved."""
    anchor = page.locator("#sg-make figure a")
    anchor.wait_for()
    with page.expect_download() as download:
        anchor.click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_a_frame_and_a_strip_are_saved(visit, tmp_path):
    page = opened(visit)
    page.focus(RANGE)
    page.keyboard.press("End")
    shows(page, lambda: page.inner_text(CAPTION), "seed 7")
    one = saved(page, "Save frame", tmp_path)
    assert read_recipe(one) == MODEL.stamped(Recipe(seed=7)).to_query()
    strip = saved(page, "Save strip", tmp_path)
    assert read_recipe(strip) == walk(page).to_query()
    with Image.open(strip) as image:
        assert image.height < image.width


def files_under(server) -> set[str]:
    """The clips that the server keeps, also those that are being made."""
    folder = server.log.parent / "tmp"
    return {path.name for path in folder.rglob("*") if path.suffix in (".mp4", ".webm", ".tmp")}


def test_a_clip_is_cancelled_and_leaves_nothing(visit, server):
    before = files_under(server)
    page = opened(visit, LONG.replace("1-64", "31-94"))
    make(page, "WebM")
    told(page, f" of {FRAMES} frames")
    page.get_by_role("button", name="Cancel", exact=True).click()
    told(page, "Cancelled; nothing was kept.")
    page.locator("#sg-unit").get_by_label("frames").check()
    fill(page, PER, "2", "frames=2&loop=1&grid=4x4")
    make(page, "WebM")
    page.locator("#sg-make figure a").wait_for()
    assert page.inner_text("#sg-make figcaption").startswith("8 frames")
    left = {name for name in files_under(server) - before if "31-32-33" in name}
    assert len(left) == 1, "the short one alone"


def test_a_clip_that_is_too_long_is_refused_in_words(visit):
    page = opened(visit, f"/?t=walk&seed=1-5&frames={FRAMES // 4}&loop=1")
    assert f"A clip has at most {FRAMES} frames here" in page.inner_text(".sg-said >> visible=true")
    make(page, "MP4")
    told(page, f"the walk has {FRAMES // 4 * 5} frames, and clips have at most {FRAMES} here")


# Several visitors


def test_a_long_clip_lets_others_play_and_tells_their_place(visit, tmp_path):
    ann, bob = opened(visit, LONG), visit("/?seed=20&n=4")
    make(ann, "MP4")
    told(ann, f" of {FRAMES} frames")
    fill(bob, "#sg-seed input", "21", "seed=21&n=4")
    assert same(shown(bob), MODEL.render(Recipe(seed=21)))
    bob.get_by_role("tab", name="Interpolation").click()
    drawn(bob)
    fill(bob, TEXT, "3,4", "seed=3,4")
    bob.locator("#sg-unit").get_by_label("frames").check()
    fill(bob, PER, "4", "seed=3,4&frames=4")
    make(bob, "GIF")
    told(bob, "Waiting: number 1 of 1 in the queue")
    assert ann.locator("#sg-make progress").is_visible(), "hers goes on"
    assert walk(ann) == MODEL.stamped(Walk.from_query(LONG))
    ann.get_by_role("button", name="Cancel", exact=True).click()
    path = clip(bob, tmp_path)
    assert read_recipe(path) == replace(walk(bob), keyframes=(3, 4)).to_query()


def test_old_walks_open(visit):
    links = json.loads((TINY.parent / "sheets.json").read_text())
    (old,) = (entry for entry in links if "t=walk" in entry["link"])
    page = opened(visit, "/?" + old["link"].partition("?")[2])
    assert page.url.endswith(old["link"].partition("?")[2])
    assert page.locator(".sg-notes").is_hidden()

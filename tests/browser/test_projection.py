"""The Projection tab as visitors meet it."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylegan.recipe import Recipe
from stylegan.stamp import read_attachment, read_png, read_recipe
from tests.app_server import TINY
from tests.browser.steps import (
    MODEL,
    PICTURE,
    address_of,
    drop,
    pixels,
    said,
    saved,
    shown,
    shows,
    unfold,
    until,
)

STAGE, STATUS = "#sg-easel .sg-stage", "#sg-search .sg-status"
TARGET = ".sg-target img"
EXAMPLES = "#sg-easel ~ * [aria-label=Examples] button"


def photo(colour="teal", size=(40, 24)) -> bytes:
    """A picture that nobody drew here."""
    image = Image.new("RGB", size, colour)
    image.paste((250, 220, 180), (size[0] // 3, 4, size[0] // 2, 20))
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def opened(visit, path: str = "/?t=project", **settings):
    page = visit(path, wait=False, **settings)
    page.locator(STAGE).wait_for()
    page.wait_for_function("() => document.querySelector('.sg-picture img')?.naturalWidth")
    page.wait_for_function(
        "all => [...document.querySelectorAll(all)].filter((i) => i.naturalWidth).length == 5",
        arg=f"{EXAMPLES} img",
    )
    return page


def choose(page, data: bytes, name: str = "photo.png") -> None:
    with page.expect_file_chooser() as chooser:
        page.locator(".sg-bringing button").first.click()
    chooser.value.set_files({"name": name, "mimeType": "image/png", "buffer": data})


def here(page) -> None:
    """Wait until a picture is on the stage, with its target beside the first guess."""
    page.locator(f"{STAGE}.sg-full").wait_for()
    page.wait_for_function("img => document.querySelector(img).naturalWidth", arg=TARGET)
    page.wait_for_function("() => /w=/.test(location.search) && /dB/.test(document.body.innerText)")


def state(page, wanted: str) -> None:
    page.locator(f"#sg-search [data-state={wanted}]").wait_for()


def press(page, words: str) -> None:
    page.get_by_role("button", name=words, exact=True).locator("visible=true").click()


def pushed(page, words: str) -> None:
    """Press a button of a page that is drawn all the time, beside others that are."""
    button = page.get_by_role("button", name=words, exact=True).locator("visible=true")
    button.dispatch_event("click")


def find(page) -> Recipe:
    """Search to the end; what the address says then."""
    before = page.url
    press(page, "Find its latent")
    state(page, "done")
    page.wait_for_function("before => location.href != before", arg=before)
    return Recipe.from_query(page.url)


def further(page) -> None:
    unfold(page, "#sg-method")


def set_paper(page) -> None:
    """A search that takes all of its thousand steps."""
    further(page)
    method = page.locator("#sg-method")
    until(
        page,
        lambda: method.get_by_label("the paper's").check(),
        "() => document.querySelector('#sg-steps input[type=number]').value == '1000'",
    )


def goal(page) -> np.ndarray:
    """The pixels of the target."""
    url = page.get_attribute(TARGET, "src")
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
        return np.asarray(image).astype(int)


def test_a_picture_becomes_a_link_and_a_file(visit, tmp_path):
    page = opened(visit)
    choose(page, photo())
    here(page)
    guess = Recipe.from_query(page.url)
    assert page.inner_text(STATUS).startswith("The average, to begin with")
    found = find(page)
    assert found.m == MODEL.id and found.t == "project" and found.w != guess.w
    drawn, wanted = pixels(shown(page)), goal(page)
    assert np.abs(drawn - MODEL.render(found)).max() <= 1
    first = MODEL.render(guess).astype(int)
    assert np.square(drawn - wanted).mean() < np.square(first - wanted).mean()
    assert page.locator(".sg-curve svg").get_attribute("aria-label").startswith("Distance by")
    file = saved(page, "Download", tmp_path)
    assert Recipe.from_query(read_png(file)) == found
    with Image.open(saved(page, "Side by side", tmp_path)) as image:
        assert image.size == (512, 256)
    assert saved(page, ".npz", tmp_path).name == "projected_w.npz"
    assert read_recipe(saved(page, "Journey", tmp_path)) == read_png(file)

    other = visit(page.url[page.url.index("/?") :], wait=False)
    other.wait_for_function("() => document.querySelector('.sg-picture img')?.naturalWidth")
    assert np.abs(pixels(shown(other)) - drawn).max() <= 1
    assert other.locator(".sg-target.sg-none").count() == 1, "nobody else sees the photo"
    drop(other, "again.png", file.read_bytes())
    address_of(other, page.url.partition("?")[2])


def test_it_goes_on_to_other_tabs(visit):
    page = opened(visit)
    page.locator(EXAMPLES).nth(2).click()
    here(page)
    found = find(page)
    page.locator(".sg-acts button", has_text="Use in").locator("visible=true").click()
    page.get_by_role("menuitem", name="Keyframes of a walk").click()
    page.wait_for_function(
        "w => location.search.includes('t=walk') && location.search.includes(w)", arg=found.w
    )


def test_pictures_are_dropped_pasted_and_taken(visit):
    page = opened(visit, permissions=["camera"])
    assert page.evaluate("document.body.classList.contains('sg-drop')") is False
    for event, colour in (("drop", "navy"), ("paste", "maroon")):
        transfer = page.evaluate_handle(
            """(text) => {
                const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
                const transfer = new DataTransfer();
                transfer.items.add(new File([bytes], 'a.png', {type: 'image/png'}));
                return transfer;
            }""",
            base64.b64encode(photo(colour)).decode(),
        )
        if event == "drop":
            page.dispatch_event(STAGE, "dragover", {"dataTransfer": transfer})
            page.dispatch_event(STAGE, "drop", {"dataTransfer": transfer})
        else:
            page.evaluate(
                "data => window.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data}))",
                transfer,
            )
        here(page)
        expected = Image.new("RGB", (1, 1), colour).getpixel((0, 0))
        page.wait_for_function(
            """([img, expected]) => {
                const image = document.querySelector(img);
                const canvas = document.createElement('canvas');
                canvas.width = canvas.height = 16;
                canvas.getContext('2d').drawImage(image, 0, 0);
                const seen = canvas.getContext('2d').getImageData(15, 15, 1, 1).data;
                return expected.every((value, i) => Math.abs(value - seen[i]) < 9);
            }""",
            arg=[TARGET, list(expected)],
        )
    before = page.get_attribute(TARGET, "src")
    press(page, "Camera")
    page.locator(f"{STAGE} video:not(.sg-off)").wait_for()
    press(page, "Take it")
    page.wait_for_function(
        "([img, src]) => document.querySelector(img).getAttribute('src') != src",
        arg=[TARGET, before],
    )
    here(page)
    assert page.locator(f"{STAGE} video.sg-off").count() == 1


def test_the_frame_is_moved_by_hand_by_keys_and_by_buttons(visit):
    page = opened(visit)
    choose(page, photo())
    here(page)
    changed = "([img, src]) => document.querySelector(img).getAttribute('src') != src"

    def after(act):
        before = page.get_attribute(TARGET, "src")
        act()
        page.wait_for_function(changed, arg=[TARGET, before])

    def drag():
        box = page.locator(STAGE).bounding_box()
        page.mouse.move(box["x"] + 200, box["y"] + 200)
        page.mouse.down()
        page.mouse.move(box["x"] + 100, box["y"] + 200, steps=4)
        page.mouse.up()

    after(lambda: press(page, "Show it whole"))
    assert (goal(page)[0] == 255).all(), "white above and below"
    after(lambda: page.fill("#sg-easel input[type=color]", "#00ff00"))
    assert (goal(page)[0] == (0, 255, 0)).all()
    after(lambda: press(page, "Fill the square"))
    after(drag)
    page.locator(STAGE).focus()
    after(lambda: page.keyboard.press("ArrowRight"))
    after(lambda: page.keyboard.press("+"))
    after(lambda: page.fill("#sg-easel input[type=range]", "5"))
    here(page)


def test_noise_maps_travel_in_the_png_alone(visit, tmp_path):
    page = opened(visit)
    choose(page, photo())
    here(page)
    further(page)
    for box, wanted in (("#sg-find-noise input", None), ("#sg-steps input[type=number]", "10")):
        part = page.locator(box)
        act = part.check if wanted is None else lambda part=part: part.fill("10")
        sees = "([box, wanted]) => { const part = document.querySelector(box);"
        sees += " return wanted === null ? part.checked : part.value === wanted; }"
        until(page, act, sees, [box, wanted])
    press(page, "Find its latent")
    state(page, "done")
    page.get_by_role("button", name="The PNG carries all").wait_for()
    file = saved(page, "Download", tmp_path)
    assert read_attachment(file)
    drawn = pixels(shown(page))
    other = opened(visit)
    drop(other, "noisy.png", file.read_bytes())
    other.get_by_role("button", name="The PNG carries all").wait_for()
    assert np.abs(pixels(shown(other)) - drawn).max() <= 1


def test_two_visitors(visit):
    ann, bob = (opened(visit, "/?t=project&m=grey-32") for _ in range(2))
    for page in (ann, bob):
        choose(page, photo())
        here(page)
        set_paper(page)
    before, guess = bob.url, bob.get_attribute(PICTURE, "src")
    pushed(ann, "Find its latent")
    state(ann, "running")
    pushed(bob, "Find its latent")
    bob.wait_for_function(
        "said => /Waiting: number 1 of 1/.test(document.querySelector(said).innerText)", arg=STATUS
    )
    eve = visit("/?seed=4&n=4")
    state(ann, "running")  # and she was served meanwhile
    assert np.abs(pixels(shown(eve)) - MODEL.render(Recipe(seed=4))).max() <= 1
    pushed(bob, "Cancel")
    state(bob, "idle")
    pushed(bob, "Find its latent")
    state(bob, "waiting")
    pushed(ann, "Stop and keep")
    state(ann, "done")
    assert ann.inner_text(STATUS) == "Stopped, with the best so far."
    state(bob, "running")
    pushed(bob, "Cancel")
    state(bob, "idle")
    shows(bob, lambda: (bob.inner_text(STATUS), bob.url), ("Cancelled.", before))
    shows(bob, lambda: bob.get_attribute(PICTURE, "src"), guess)
    pushed(bob, "Find its latent")
    state(bob, "running")
    pushed(bob, "Stop and keep")
    state(bob, "done")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.png", b"hello", "not a picture of a known kind"),
        ("a.png", photo()[:60], "damaged or unreadable"),
        ("a.npz", b"PK", "is damaged"),
    ],
)
def test_what_is_no_picture_is_said_in_words(visit, name, data, words):
    page = opened(visit)
    choose(page, data, name)
    page.wait_for_function(
        "words => document.querySelector('.sg-notes').innerText.includes(words)", arg=words
    )
    choose(page, photo())
    here(page)
    assert said(page) == ""


def test_a_photo_dropped_anywhere_is_a_picture_to_be_found(visit):
    page = visit("/")
    drop(page, "photo.png", photo())
    here(page)
    assert page.get_by_role("tab", name="Projection").get_attribute("aria-selected") == "true"


def test_another_model_is_asked_for_the_same_picture(visit):
    page = opened(visit)
    choose(page, photo())
    here(page)
    page.locator("#sg-model input").click()
    page.get_by_role("option", name="grey-32").click()
    page.wait_for_function("() => location.search.includes('m=grey-32')")
    page.wait_for_function("img => document.querySelector(img).naturalWidth == 32", arg=TARGET)
    assert Recipe.from_query(find(page).to_query()).w


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(visit, scheme):
    settings = {"viewport": {"width": 390, "height": 844}, "color_scheme": scheme}
    page = opened(visit, **settings)
    choose(page, photo())
    here(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    boxes = [page.locator(part).bounding_box() for part in (TARGET, PICTURE)]
    assert boxes[0]["y"] == boxes[1]["y"] and boxes[0]["width"] == boxes[1]["width"] > 150


def test_no_upload_is_left_on_the_disk(visit, server):
    page = opened(visit)
    choose(page, photo())
    here(page)
    find(page)
    data = [path.read_bytes() for path in Path(server.log.parent).rglob("*") if path.is_file()]
    assert data and photo() not in data
    assert TINY.is_dir()

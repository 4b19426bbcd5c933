"""What visitors do on the page, and what they see: steps that several walks through it share.

Nothing here waits for a time: each step waits until the page says that it has come to pass.
"""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, TimeoutError

import stylegan
from tests.app_server import TINY

MODEL = stylegan.load(TINY)
PICTURE = ".sg-picture img:visible"
CAPTION = ".sg-picture figcaption:visible"
AGAIN_MS = 5000  # without an effect, after which a visitor would try once more
TIMES = 12


def until(page: Page, act: Callable[[], Any], condition: str, arg: Any = None) -> None:
    """Act until a condition of the page holds, as people do.

    gradio sets a control once more in the frame after it appears, so that what is typed in just
    that frame is gone; only a program is as quick.
    """
    for _ in range(TIMES):
        act()
        try:
            page.wait_for_function(condition, arg=arg, timeout=AGAIN_MS)
            return
        except TimeoutError:
            pass
    raise AssertionError(f"{condition} does not hold for {arg} at {page.url}")


def fill(page: Page, box: str, value: str, address: str) -> None:
    """Type into a box of the page until the address ends so."""
    until(page, lambda: page.fill(box, value), ADDRESS_ENDS, address)


ADDRESS_ENDS = "text => location.search.endsWith(text)"


def address_of(page: Page, text: str) -> None:
    """Wait until the address ends so."""
    page.wait_for_function(ADDRESS_ENDS, arg=text)


def full_address(page: Page) -> str:
    """The whole address, once the page has named its model in it."""
    page.wait_for_function("location.search.includes('m=')")
    return page.url


def unfold(page: Page, box: str, words: str = "Finer controls") -> None:
    """Open the accordion in which a box is, and wait until it is there to be used."""
    if not page.locator(box).is_visible():
        page.get_by_role("button", name=words).locator("visible=true").click()
    page.locator(box).wait_for()
    frames = "() => new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f)))"
    page.evaluate(frames)


def shows(page: Page, read: Callable[[], Any], expected: Any) -> None:
    """Wait until what is read off the page is this."""
    until_read(page, read, lambda found: found == expected, expected)


def until_read(
    page: Page, read: Callable[[], Any], holds: Callable[[Any], bool], words: Any = ""
) -> Any:
    """Read something off the page, frame after frame, until it is as it should be."""
    ends = page.evaluate("performance.now()") + TIMES * AGAIN_MS
    while not holds(found := read()):
        now = page.evaluate("() => new Promise(requestAnimationFrame)")
        assert now < ends, f"{found} is not {words}"
    return found


def pixels(data: bytes) -> np.ndarray:
    """A PNG file as whole numbers [H, W, C]."""
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "PNG"
        return np.asarray(image).astype(int)


def shown(page: Page, selector: str = PICTURE) -> bytes:
    """The file behind a picture of the page."""
    return page.request.get(page.get_attribute(selector, "src")).body()


def said(page: Page) -> str:
    """The notes on top of the page."""
    return page.inner_text(".sg-notes")


def saved(page: Page, button: str, folder: Path) -> Path:
    """The file that a button saves."""
    with page.expect_download() as download:
        page.get_by_role("button", name=button, exact=True).locator("visible=true").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def drop(page: Page, name: str, data: bytes) -> None:
    """Let go of a file over the page."""
    transfer = page.evaluate_handle(
        """([name, text]) => {
            const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name));
            return transfer;
        }""",
        [name, base64.b64encode(data).decode()],
    )
    for event in ("dragover", "drop"):
        page.dispatch_event("body", event, {"dataTransfer": transfer})

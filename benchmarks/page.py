"""From letting go of a control to the new picture in a real browser: python -m benchmarks.page

Each round lets go of a slider of each tab at another value and waits until the browser has decoded
the new picture; `drag` passes 12 other values on the way there, one a frame. Beside it, in the same
run, what the model alone takes to draw such a picture. `photo` is from choosing a file on the
Projection tab to the first picture of it, which is the encoder's guess.
Needs Chromium and playwright (requirements-dev.txt).
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

import stylegan

ROOT = Path(__file__).resolve().parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CONTROLS = {  # what is done -> link, slider, its first value, from each value to the next
    "seeds": ("?seed=7", "#sg-psi input[type=range]", 0.3, 0.02),
    "drag": ("?seed=9", "#sg-psi input[type=range]", -0.36, 0.13),
    "walk": ("?t=walk&seed=1-5", "#sg-at input[type=range]", 31, 3),
    "mix": ("?t=mix&row=1-4&col=5-8&layers=0-3", "#sg-mix-psi input[type=range]", 0.3, 0.02),
    "edit": ("?t=edit&seed=7", "#sg-edit .sg-direction .sg-range", 0.3, 0.1),
    "photo": ("?t=project", ".sg-bringing button", 0, 0),
}
PASSED = {"drag": 12}  # values on the way, each 0.01 further
REST_MS = 1000  # without another picture: strips, grids and tables follow within
CHANGED = """async ([box, values, rest]) => {
    const image = [...document.querySelectorAll('.sg-picture img')].find((i) => i.offsetParent);
    const input = document.querySelector(box);
    const move = (value) => {
        input.value = value;
        input.dispatchEvent(new Event('input', { bubbles: true }));
    };
    for (const value of values.slice(0, -1)) {
        move(value);
        await new Promise(requestAnimationFrame);
    }
    let last = 0; // when the picture changed last
    const seen = new MutationObserver(() => image.decode().then(() => (last = performance.now())));
    seen.observe(image, { attributes: true, attributeFilter: ['src'] });
    const start = performance.now();
    move(values.at(-1));
    input.dispatchEvent(new Event('pointerup', { bubbles: true }));
    input.dispatchEvent(new Event('change', { bubbles: true }));
    while (!last || performance.now() - last < rest) await new Promise((f) => setTimeout(f, 10));
    seen.disconnect();
    return last - start;
}"""

NEXT_PICTURE = """() => {
    window.drawn = 0;
    const image = [...document.querySelectorAll('.sg-picture img')].find((i) => i.offsetParent);
    const seen = new MutationObserver(() => {
        seen.disconnect();
        image.decode().then(() => (window.drawn = Date.now()));
    });
    seen.observe(image, { attributes: true, attributeFilter: ['src'] });
}"""
PHOTO_PX = 1024


def photo(seed: int) -> bytes:
    """A PNG file of many colours."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8))
    data = io.BytesIO()
    small.resize((PHOTO_PX, PHOTO_PX), Image.Resampling.BICUBIC).save(data, "PNG")
    return data.getvalue()


def photo_ms(page: Page, rounds: int) -> list[float]:
    """Milliseconds from each file that is chosen to the first picture of it."""
    times = []
    for seed in range(rounds + 1):
        file = {"name": "photo.png", "mimeType": "image/png", "buffer": photo(seed)}
        page.evaluate(NEXT_PICTURE)
        with page.expect_file_chooser() as chooser:
            page.locator(".sg-bringing button").first.click()
        start = time.time()
        chooser.value.set_files(file)
        page.wait_for_function("window.drawn")
        times.append(page.evaluate("window.drawn") - start * 1000)
        page.wait_for_timeout(REST_MS)
    return times[1:]


def drawing_ms(model: stylegan.Model, rounds: int) -> float:
    """Milliseconds that one picture takes by itself."""
    times = []
    for seed in range(rounds):
        start = time.perf_counter()
        model.render(stylegan.Recipe(seed=seed))
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def change_ms(page: Page, name: str, rounds: int) -> list[float]:
    """Milliseconds from each letting go of a slider to the last picture that follows."""
    _, box, first, step = CONTROLS[name]
    passed, times = PASSED.get(name, 0), []
    for i in range(rounds + 1):
        end = first + i * step  # never drawn before
        values = [f"{end - k * 0.01:g}" for k in range(passed, -1, -1)]
        times.append(page.evaluate(CHANGED, [box, values, REST_MS]))
    return times[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="checkpoints/portraits-64", help="model folder")
    parser.add_argument("--rounds", type=int, default=10, help="of each, 14 at most")
    args = parser.parse_args()
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if chromium is None:
        raise SystemExit("page: there is no Chromium; name one in CHROMIUM")
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    command = [sys.executable, "app.py", "--port", str(port), "--host", "127.0.0.1"]
    command += ["--model", str(Path(args.model).resolve())]
    alone = drawing_ms(stylegan.load(args.model), args.rounds)
    middle = {"draw_ms": round(alone, 1)}
    print(f"{'':8} | median ms | worst ms | / drawing alone ({alone:.1f} ms)")
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as app:
        try:
            app.stdout.readline()
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=chromium, args=["--no-sandbox"]
                )
                for tab, (link, box, *_) in CONTROLS.items():
                    page = browser.new_page()
                    page.goto(f"http://127.0.0.1:{port}/{link}")
                    page.locator(".sg-picture img[src]").locator("visible=true").wait_for()
                    page.locator(box).first.wait_for()
                    page.wait_for_timeout(3 * REST_MS)
                    if tab == "photo":
                        times = photo_ms(page, args.rounds)
                    else:
                        times = change_ms(page, tab, args.rounds)
                    page.close()
                    median = statistics.median(times)
                    print(f"{tab:8} | {median:9.0f} | {max(times):8.0f} | {median / alone:.1f}")
                    middle[f"{tab}_ms"] = round(median, 1)
                    middle[f"{tab}_over_draw"] = round(median / alone, 2)
        finally:
            app.terminate()
    print(json.dumps({"benchmark": "page", "cores": os.cpu_count(), **middle}))


if __name__ == "__main__":
    main()

"""From letting go of a control to the new picture in a real browser: python -m benchmarks.page

Each round types another value into a control of each tab and waits until the browser has decoded
the new picture. Beside it, in the same run, what the model alone takes to draw such a picture.
Needs Chromium and playwright (requirements-dev.txt).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

import stylegan

ROOT = Path(__file__).resolve().parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CONTROLS = {  # tab -> link, box of numbers, its values in turn
    "seeds": ("?seed=7", "#sg-psi input[type=number]", ("0.3", "0.9")),
}
CHANGED = """([box, value]) => new Promise((resolve) => {
    const image = [...document.querySelectorAll('.sg-picture img')].find((i) => i.offsetParent);
    const before = image.src;
    const input = document.querySelector(box);
    const start = performance.now();
    (function look() {
        if (image.src === before || !image.complete) return setTimeout(look, 1);
        image.decode().then(() => resolve(performance.now() - start));
    })();
    input.value = value;
    input.dispatchEvent(new Event('input', { bubbles: true }));
    input.dispatchEvent(new Event('pointerup', { bubbles: true }));
    input.dispatchEvent(new Event('change', { bubbles: true }));
})"""


def drawing_ms(model: stylegan.Model, rounds: int) -> float:
    """Milliseconds that one picture takes by itself."""
    times = []
    for seed in range(rounds):
        start = time.perf_counter()
        model.render(stylegan.Recipe(seed=seed))
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def change_ms(page: Page, box: str, values: tuple[str, ...], rounds: int) -> list[float]:
    """Milliseconds from each change of a control to its picture."""
    times = []
    for i in range(rounds + 1):
        value = f"{float(values[i % len(values)]) + i / 100:g}"  # never drawn before
        times.append(page.evaluate(CHANGED, [box, value]))
        page.wait_for_timeout(500)  # strips and grids follow
    return times[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="checkpoints/portraits-64", help="model folder")
    parser.add_argument("--rounds", type=int, default=10)
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
                for tab, (link, box, values) in CONTROLS.items():
                    page = browser.new_page()
                    page.goto(f"http://127.0.0.1:{port}/{link}")
                    page.locator(".sg-picture img[src]").locator("visible=true").wait_for()
                    page.wait_for_timeout(2000)
                    times = change_ms(page, box, values, args.rounds)
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

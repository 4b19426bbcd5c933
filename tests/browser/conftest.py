"""A real Chromium on the real app. Without one, these tests are skipped and say why."""

import os
import shutil
from pathlib import Path

import pytest

from stylegan.checkpoint import save_model
from stylegan.config import NetworkConfig
from stylegan.networks.generator import Generator
from tests.app_server import TINY, running

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The app with two models: one of 16x16 RGB with three classes, one of 32x32 grey."""
    folder = tmp_path_factory.mktemp("app")
    config = NetworkConfig(
        resolution=32,
        channels=1,
        z_dim=16,
        w_dim=16,
        mapping_layers=1,
        channel_base=256,
        channel_max=16,
    )
    save_model(folder / "grey-32", config, {}, Generator(config))
    models = ("--model", str(TINY), "--model", str(folder / "grey-32"))
    with running(folder, *models, "--max-frames", "14400") as server:
        yield server


@pytest.fixture(scope="session")
def chromium():
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("there is no Chromium; name one in CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-features=LocalNetworkAccessChecks"]
        flags.append("--use-fake-device-for-media-stream")  # a camera
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, server):
    """Open an address of the app: visit(path, **settings of the browser) -> page.

    At the end: nothing but the app was asked for anything, and no page complained.
    """
    contexts, asked, complaints = [], [], []

    def open_page(path: str = "/", wait: bool = True, **settings):
        settings = {"viewport": {"width": 1280, "height": 800}, **settings}
        context = chromium.new_context(**settings)
        contexts.append(context)
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.goto(server.url + path)
        if wait:
            drawn(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [url for url in asked if not url.startswith((server.url, "data:", "blob:"))] == []
    assert complaints == []
    assert "Traceback" not in server.log.read_text()


def drawn(page) -> None:
    """Wait for the large picture in sight, and for all that are beside it."""
    page.wait_for_function(
        """() => {
            const all = [...document.querySelectorAll('.sg-picture img, .sg-cells img')];
            const images = all.filter((image) => image.checkVisibility());
            return images.length > 9 && images.every(image => image.complete && image.naturalWidth);
        }"""
    )


def pytest_collection_modifyitems(items):
    """A walk that fails is walked twice more; pytest counts it as rerun, so that it can be seen.

    On a busy machine a click can fall on what the page is just replacing.
    """
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=2))

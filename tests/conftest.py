"""One thread a test process: small tensors gain nothing from more, and waiting threads spin."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is first imported, here or below

import pytest
from hub_fixtures import hub  # noqa: F401
from publishing import trained, trained_run  # noqa: F401
from reading import clone  # noqa: F401

from stylegan import offline


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """What metrics keep of tiny pictures is not for the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STYLEGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def quick_curves(monkeypatch):
    """Pages without real curves, which take a second; they are drawn in their own tests."""
    monkeypatch.setattr(offline.curves, "draw_panel", lambda panel, runs, axis: axis)
    monkeypatch.setattr(offline.curves, "svg", lambda axis: f"<svg>{axis}</svg>".encode())

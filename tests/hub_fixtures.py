"""The small Hub as a fixture: the client of this process talks to it, with an empty cache."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hub_server import serving


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A Hub without repositories; the user is ann."""
    import huggingface_hub.utils._http  # here, since few tests need it
    from huggingface_hub import constants

    with serving() as server:
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        for name, value in {
            "ENDPOINT": server.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": template,
            "HF_HUB_CACHE": str(tmp_path / "cache"),
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_OFFLINE": False,
            "HF_TOKEN_PATH": str(tmp_path / "token"),
        }.items():
            assert hasattr(constants, name)
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setenv("HF_TOKEN", "hf_ann")
        quick = SimpleNamespace(sleep=lambda seconds: None)
        monkeypatch.setattr(huggingface_hub.utils._http, "time", quick)  # waits between retries
        for module in ("fetch", "repository"):
            monkeypatch.setattr(f"stylegan.{module}.RETRY_SEC", (0, 0))
        huggingface_hub.utils.disable_progress_bars()
        yield server
    huggingface_hub.utils._http.close_session()

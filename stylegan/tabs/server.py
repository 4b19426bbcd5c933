"""What a web server of ours is beside gradio: its address and folder, /healthz, headers."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stylegan.config import UserError

POLICY = "; ".join(  # all from here; inline and eval are how gradio starts its page and templates
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self' https://huggingface.co",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}


class AddHeaders:
    """Middleware that sets HEADERS on every HTTP response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, send_more if scope["type"] == "http" else send)


async def healthz(request: Request) -> PlainTextResponse:
    """Says that the app is up; needs no login."""
    return PlainTextResponse("ok")


def app_kwargs() -> dict[str, Any]:
    """What `launch` hands to the web server."""
    return {
        "middleware": [Middleware(AddHeaders)],
        "routes": [Route("/healthz", healthz)],
    }


def launch(page: gr.Blocks, host: str | None, port: int | None, **more: Any) -> None:
    """Serve a page without what gradio adds of its own; `more` is for its launch, too."""
    page.launch(
        server_name=host,
        server_port=port,
        app_kwargs=app_kwargs(),
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        quiet=True,
        prevent_thread_lock=True,
        **more,
    )
    page.share = False  # or gradio sends its front end from elsewhere, which our policy refuses


def until_stopped(page: gr.Blocks) -> None:
    """Serve until Ctrl-C."""
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        page.close(verbose=False)


# The address and the folder


def check_address(host: str | None, port: int | None) -> None:
    """Refuse a port that is taken, or an address that is not this machine's, before all else."""
    name = host or os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1"
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            name.strip("[]"), port or 0, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"port {port} is taken; choose another with --port") from None
        where = f"{name}:{port}" if port else name
        raise UserError(f"cannot listen on {where}: {error.strerror or error}") from None


@contextmanager
def own_folder() -> Iterator[Path]:
    """A fresh folder for all files that gradio may serve, because it serves that one whole."""
    before = os.environ.get("GRADIO_TEMP_DIR")
    with tempfile.TemporaryDirectory(prefix="stylegan-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            yield Path(folder)
        finally:
            del os.environ["GRADIO_TEMP_DIR"]
            if before is not None:
                os.environ["GRADIO_TEMP_DIR"] = before

"""Watch a run in the browser, while it is trained or after."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tyro

from stylegan.config import UserError
from stylegan.tabs.watch import serve

HELP = """python -m train watch runs/photos64-tiny

python -m train watch runs --port 8000

Curves, the grids over time, settings and alerts, as they come; and two buttons, by which the run is
asked for a snapshot, or to stop after this tick. A folder of runs lets you choose."""


@dataclass(frozen=True)
class WatchConfig:
    """What is shown, and where."""

    run: tyro.conf.Positional[Path]
    """Folder of a run, also of one that is not begun yet, or of several."""
    host: str = "127.0.0.1"
    """Address to listen on; this machine alone, if not given. 0.0.0.0 lets everybody in the
    network look and press the buttons."""
    port: int | None = None
    """The first free one from 7860 on, if not given."""


def main(argv: list[str]) -> int:
    """Parse, then serve until stopped."""
    config = tyro.cli(WatchConfig, args=argv, prog="python -m train watch", description=HELP)
    if config.port is not None and not 1 <= config.port <= 65535:
        raise UserError(f"port {config.port} is not a whole number from 1 to 65535")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    serve(config.run, config.host, config.port, partial(print, flush=True))
    return 0

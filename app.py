"""The playground in a browser: python app.py, then open the address that it prints.

python app.py
python app.py --model ann/portraits-64 --model runs/mine/best --port 8000
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import torch

from stylegan.config import UserError
from stylegan.extras import need
from stylegan.tabs import zerogpu
from stylegan.tabs.page import MAX_UPLOAD, appearance, build
from stylegan.tabs.server import check_address, launch, own_folder, until_stopped
from stylegan.tabs.session import MAX_FRAMES, Session
from stylegan.walk import MAX_TOTAL

CHECKPOINTS = Path(__file__).resolve().parent / "checkpoints"
WRONG, FAILED, DONE = 2, 1, 0
YES, NO = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until stopped; what went wrong is one sentence on stderr. Returns the exit code."""
    try:
        return serve(_parser().parse_args(argv))
    except UserError as error:
        print(f"app: {error}", file=sys.stderr)
        return WRONG
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        print(f"app: {error.strerror or error}{where}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return DONE


def serve(options: argparse.Namespace) -> int:
    """Load the models, build the page, serve it."""
    if options.mcp:
        need("mcp")
    check_address(options.host, options.port)
    folders = options.model or _named_models() or find_models()
    with own_folder() as files:
        device, prepare = options.device, {}
        if zerogpu.is_here():
            device, prepare = "cpu", {"prepare": zerogpu.lender()}
        session = Session(
            folders, files, device, options.max_frames, options.allow_any_model, **prepare
        )
        page = build(session)
        # The web server keeps a core: drawing threads that wait for each other take ten times as
        # long when something else is running.
        torch.set_num_threads(max(1, torch.get_num_threads() - 1))
        launch(
            page,
            options.host,
            options.port,
            auth=options.auth,
            share=options.share,
            mcp_server=options.mcp,
            max_file_size=MAX_UPLOAD,
            **appearance(),
        )
        print(f"{', '.join(session.named)} at {page.share_url or page.local_url}", flush=True)
        until_stopped(page)
    return DONE


def find_models() -> list[Path]:
    """Every model folder under checkpoints/, by name."""
    found = sorted(path.parent for path in CHECKPOINTS.glob("*/config.json"))
    if not found:
        raise UserError(f"there is no model under {CHECKPOINTS}; name a model folder with --model")
    return found


# The command line


class _Parser(argparse.ArgumentParser):
    """A wrong line is a UserError."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        "python app.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Each option is also a variable: --port 8000 is STYLEGAN_PORT=8000.",
    )
    parser.add_argument(
        "--model",
        action="append",
        metavar="MODEL",
        help="a model folder, or user/name@revision of the Hub; repeat it for more (all under "
        "checkpoints/; variable: with commas)",
    )
    parser.add_argument(
        "--host",
        default=_variable("host"),
        help="address to listen on (GRADIO_SERVER_NAME, else 127.0.0.1: this machine alone)",
    )
    parser.add_argument(
        "--port", type=_port, default=_variable("port"), help="(the first free one from 7860 on)"
    )
    parser.add_argument(
        "--device",
        default=_variable("device", "auto"),
        help="cpu, cuda, cuda:1 ...; auto takes a GPU where there is one",
    )
    parser.add_argument(
        "--auth",
        type=_auth,
        default=_variable("auth"),
        metavar="USER:PASS",
        help="ask visitors for this name and password",
    )
    parser.add_argument(
        "--max-frames",
        type=_frames,
        default=_variable("max_frames", str(MAX_FRAMES)),
        metavar="N",
        help=f"frames of the longest clip ({MAX_FRAMES}: a minute at 30 a second)",
    )
    for name, text in (
        ("allow-any-model", "links open any model of the Hub, not only revisions of those given"),
        ("share", "make a public address that lasts a week, through gradio.live"),
        ("mcp", "serve the HTTP API as MCP tools, too; needs gradio[mcp]"),
    ):
        parser.add_argument(
            f"--{name}",
            action="store_true",
            default=_truth(_variable_name(name), _variable(name, "")),
            help=text,
        )
    return parser


def _named_models() -> list[str]:
    return [name for name in _variable("model", "").split(",") if name]


def _variable(name: str, default: str | None = None) -> str | None:
    return os.environ.get(_variable_name(name), default)


def _variable_name(option: str) -> str:
    return "STYLEGAN_" + option.upper().replace("-", "_")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number from 1 to 65535")
    return int(text)


def _frames(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 7 and 1 <= int(text) <= MAX_TOTAL):
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is not a whole number from 1 to {MAX_TOTAL}"
        )
    return int(text)


def _auth(text: str) -> tuple[str, str]:
    user, _, password = text.partition(":")
    if not user or not password:
        raise argparse.ArgumentTypeError("a name, a colon and a password are needed: USER:PASS")
    return user, password


def _truth(name: str, text: str) -> bool:
    if text.lower() not in YES + NO:
        raise UserError(f"{name} is {text[:40]!r}; write 1 or 0")
    return text.lower() in YES


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())

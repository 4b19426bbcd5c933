"""python -m stylegan: the playground without a browser."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

import torch

from stylegan.commands import edit, mix, project, render, walk
from stylegan.commands.parts import FAILED, WRONG, Parser, say
from stylegan.config import UserError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; what went wrong is one sentence on stderr. Returns the exit code."""
    try:
        parser = _parser()
        options = parser.parse_args(argv)
        if options.run is None:
            parser.print_help(sys.stderr)
            return WRONG
        return options.run(options)
    except UserError as error:
        return say(str(error), WRONG)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return say(f"{error.strerror or error}{where}", FAILED)
    except (MemoryError, torch.OutOfMemoryError):
        return say("out of memory", FAILED)
    except KeyboardInterrupt:
        return say("stopped", FAILED)


def _parser() -> Parser:
    parser = Parser("python -m stylegan", description="The playground without a browser.")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(metavar="COMMAND")
    for command in (render, walk, mix, edit, project):
        command.add(commands)
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())

"""python -m train COMMAND: the way from pictures to a generator, one command a step.

python -m train prepare photos/ data/photos64.zip --resolution 64
python -m train fit --data data/photos64.zip --preset tiny
"""

from __future__ import annotations

import difflib
import importlib
import sys

from stylegan.config import RunError, UserError

COMMANDS = {  # name -> (module, one line)
    "collect": ("train.collect", "pictures from a page, a list of addresses or a data set"),
    "inspect": ("train.doctor", "what is wrong with these pictures, and which: a page to look at"),
    "prepare": ("train.prepare", "pictures of any kind -> squares of one size in a zip"),
    "fit": ("train.fit", "train a generator on them; started again, it goes on where it stopped"),
    "encoder": ("train.encoder", "train a model's encoder, which finds a picture's latent at once"),
    "evaluate": ("train.evaluate", "measure how close a generator's pictures come to real ones"),
    "watch": ("train.watch", "watch a run in the browser: curves, pictures, alerts, two buttons"),
    "compare": (
        "train.compare",
        "curves, metrics and settings of runs beside each other: a page",
    ),
    "directions": ("train.directions", "find directions to edit a generator's pictures along"),
    "publish": ("train.publish", "put a model on the Hub, with its card, and a Space to play in"),
}


EXAMPLES = """\
  python -m train prepare photos/ data/photos64.zip --resolution 64
  python -m train fit --data data/photos64.zip --preset tiny
"""


def main(argv: list[str]) -> int:
    """Run the command named first; what the person did wrong ends in one sentence, exit code 2."""
    argv = argv[1:] if argv[:1] == ["--"] else argv  # torchrun hands it on, or not
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if argv else 2
    name, *rest = argv
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(COMMANDS)}"
        return _fail(f"there is no command {name!r}; {hint}", 2)
    try:
        return importlib.import_module(COMMANDS[name][0]).main(rest)
    except UserError as error:
        return _fail(str(error), 2)
    except RunError as error:
        return _fail(str(error), 1)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return _fail(f"{error.strerror or error}{where}", 1)
    except KeyboardInterrupt:
        return _fail("stopped", 130)


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join([EXAMPLES, "commands (each has --help):", *lines])


def _fail(reason: str, code: int) -> int:
    print(f"train: {reason}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What the commands share: options, the model, files that carry a recipe, words on stderr."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from stylegan.attachment import Attachment
from stylegan.config import UserError
from stylegan.model import Model, load
from stylegan.query import raw_pairs, to_text
from stylegan.stamp import SIGNATURE, StampError, read_attachment, read_recipe

DEFAULT_MODEL = Path(__file__).resolve().parents[2] / "checkpoints" / "portraits-64"
OTHER_PICTURES = {".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"}
DONE, FAILED, WRONG, STOPPED = 0, 1, 2, 75

EXAMPLES = {  # command -> two lines to paste
    "": """\
python -m stylegan render "seed=7&psi=0.7" -o out.png
python -m stylegan walk --seeds 200,1000,2500,4000,200 --frames 60 -o walk.mp4
""",
    "render": """\
python -m stylegan render "seed=7&psi=0.7" -o out.png
python -m stylegan render "psi=0.7" --seeds 0-99 -o pictures/
""",
    "walk": """\
python -m stylegan walk --seeds 200,1000,2500,4000,200 --frames 60 -o walk.mp4
python -m stylegan walk "t=walk&seed=1-6&grid=2x1&loop=1" --psi 0.7 -o walk.webm
""",
    "mix": """\
python -m stylegan mix --rows 1,2,3 --cols 4,5,6 --layers 0-3 -o mix.png
python -m stylegan mix --rows 1-4 --cols 11-15 --layers coarse --psi 0.7 -o mix.png
""",
    "edit": """\
python -m stylegan edit "seed=7&psi=0.7" --direction NAME --strength 2 -o out.png
python -m stylegan edit --list
""",
    "project": """\
python -m stylegan project photo.png -o out/
python -m stylegan project photo.png --space w+ --tune --video out/journey.mp4 -o out/
""",
}


class Parser(argparse.ArgumentParser):
    """Opens its help with commands to paste; a wrong line is a UserError."""

    def format_help(self) -> str:
        command = self.prog.removeprefix("python -m stylegan").strip()
        return f"{EXAMPLES[command]}\n{super().format_help()}"

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def add_common(command: argparse.ArgumentParser) -> None:
    """The options of every command that draws."""
    command.add_argument(
        "--model",
        metavar="MODEL",
        help="a model folder, or user/name@revision of the Hub (checkpoints/portraits-64)",
    )
    command.add_argument(
        "--device",
        default="auto",
        help="cpu, cuda, cuda:1 ...; auto is a GPU where there is one",
    )


def load_model(options: argparse.Namespace) -> Model:
    """The model that --model and --device name."""
    if options.model is None and not DEFAULT_MODEL.is_dir():
        raise UserError(f"name a model with --model; there is no {DEFAULT_MODEL}")
    return load(options.model or DEFAULT_MODEL, options.device)


def query_of(text: str, example: str) -> str:
    """The query string of what was typed: itself, a whole link, or a file that carries one."""
    if os.path.isfile(text):
        query = read_recipe(text)
        if query is None:
            raise StampError(f"{text} carries no recipe")
        return query
    if text and not any(mark in text for mark in ("=", "?", "://")):
        raise UserError(
            f"{text[:200]!r} is neither a recipe, such as {example}, nor a PNG file or clip"
        )
    return text


def attached(model: Model, text: str) -> Model:
    """The model with the noise and tuning that a typed PNG carries, if it is one that does."""
    blob = attachment_of(text)
    return model if blob is None else model.carrying(Attachment.from_bytes(blob))


def attachment_of(text: str) -> bytes | None:
    """What a typed PNG carries beside its recipe."""
    if not os.path.isfile(text):
        return None
    with open(text, "rb") as file:
        if file.read(len(SIGNATURE)) != SIGNATURE:
            return None
    return read_attachment(text)


SHARED = {  # names that mean the same in every recipe
    "psi": "truncation: 1 for none, 0 for the average picture",
    "cut": "on how many first rows psi acts (all)",
    "c": "the class, where the model has classes",
    "noise": "const, none, or a number that noise is drawn from",
}


def add_values(command: argparse.ArgumentParser, values: dict[str, str]) -> None:
    """A flag for each name of a recipe, with its help; what is given goes before the recipe."""
    for name, text in values.items():
        command.add_argument(f"--{name}", metavar=name.upper(), help=text)


def flags_of(options: argparse.Namespace, names: Iterable[str]) -> list[tuple[str, str]]:
    """Names and values of the flags that were typed."""
    typed = [(name, getattr(options, name)) for name in names]
    return [(name, value) for name, value in typed if value is not None]


def with_flags(query: str, given: list[tuple[str, str]]) -> str:
    """A query string with these names and values in place of its own."""
    return to_text([*raw_pairs(without(query, [name for name, _ in given])), *given])


def without(query: str, names: Iterable[str]) -> str:
    """A query string without these names."""
    names = set(names)
    return to_text((name, value) for name, value in raw_pairs(query) if name not in names)


def is_png(out: Path) -> bool:
    """Whether -o names one PNG; otherwise it is a folder."""
    suffix = out.suffix.lower()
    if suffix in OTHER_PICTURES:
        raise UserError(f"pictures are written as PNG, with their recipe inside; not as {out.name}")
    if out.is_dir() and suffix == ".png":
        raise UserError(f"{out} is a folder; give -o another name")
    if out.is_file() and suffix != ".png":
        raise UserError(f"{out} is a file; -o takes a .png or a folder")
    return suffix == ".png"


def note_model(wanted: str | None, model: Model) -> None:
    """Say so where a recipe is of another model than the one that draws it."""
    if wanted not in (None, model.id):
        say(f"note: the recipe is of {wanted}; drawn with {model.id}")


def say(text: str, code: int = DONE) -> int:
    """One line on stderr; returns the exit code."""
    print(f"stylegan: {text}", file=sys.stderr)
    return code

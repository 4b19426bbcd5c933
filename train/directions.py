"""Directions to edit pictures along, found for a model and kept in its folder."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from torch import Tensor
from tqdm import tqdm

from stylegan.atomic import replacing_file
from stylegan.direction_files import DIRECTIONS, DirectionNote, load_directions, save_directions
from stylegan.directions import STRENGTHS, DirectionError, check_name, strip
from stylegan.finding import FindConfig, Found, find
from stylegan.model import Model, load
from stylegan.recipe import Recipe
from stylegan.sheet import draw_strips
from stylegan.stamp import png_bytes

HELP = """python -m train directions --model runs/photos64-tiny/best --closed-form 6 --pca 6

python -m train directions --model M --positive 3,8,20 --negative 1,2,5-7 --name smile

python -m train directions --model M --data data/photos64.zip --table photos.csv --group person
  --attributes age smile=mood:happy "hat=clothes~hat|cap" --colors "sky=blue/grey@0,0,1,0.2"

Directions go into the model folder beside those that are there; one of the same name is replaced.
directions.png shows each, from -3 to +3 standard deviations, to be judged by looking."""

SEEDS = 3  # of each direction in directions.png: 0, 1 and 2
MOST_DRAWN = 64  # directions of many; pictures of this side in pixels at most
MOST_SIDE_PX = 128
WEAK = 0.15  # deviations of its own attribute that a direction moves, or fewer

Directions = dict[str, tuple[Tensor, DirectionNote]]


@dataclass(frozen=True)
class Call:
    """What is looked for, and what is done to the file."""

    find: Annotated[FindConfig, tyro.conf.arg(name="")]
    add: str | None = None
    """Take in all directions of another file, such as one saved from the page."""
    remove: tuple[str, ...] = ()
    """Directions to leave out."""
    rename: tuple[str, str] | None = None
    """OLD NEW: links that name OLD no longer find it."""
    label: tuple[str, str] | None = None
    """NAME TEXT: what people read; links stay as they are."""
    out: Path | None = None
    """File to write; directions.safetensors of the model folder if not given."""

    @property
    def changes(self) -> bool:
        """Whether the file is changed by something other than what is found."""
        return bool(self.add or self.remove or self.rename or self.label)


def main(argv: list[str]) -> int:
    """Parse, find, say what was found, keep it."""
    call = tyro.cli(
        Call,
        args=argv,
        prog="python -m train directions",
        description=HELP,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    model = load(call.find.model, call.find.device)
    if call.out is None and not Path(call.find.model).is_dir():
        raise DirectionError("a model of the Hub is not written to; name a file with --out")
    path = call.out or Path(call.find.model) / DIRECTIONS
    kept = _kept(path, model)
    if call.find.asks or not call.changes:
        found = _find(model, call.find)
        print(report(found))
        _take(kept, found.steps, found.notes)
    if call.add:
        _take(kept, *load_directions(call.add, model.config))
    _change(kept, call, path)
    print(_write(path, model, kept, call.find.psi))
    return 0


def _kept(path: Path, model: Model) -> Directions:
    """What the file holds already."""
    if not path.is_file():
        return {}
    steps, notes = load_directions(path, model.config)
    return {name: (steps[name], notes[name]) for name in steps}


def _parts(kept: Directions) -> tuple[dict[str, Tensor], dict[str, DirectionNote]]:
    steps = {name: step for name, (step, _) in kept.items()}
    return steps, {name: note for name, (_, note) in kept.items()}


def _take(kept: Directions, steps: dict[str, Tensor], notes: dict[str, DirectionNote]) -> None:
    """Those of the same name are replaced where they stand."""
    for name, step in steps.items():
        kept[check_name(name)] = (step, notes[name])


def _change(kept: Directions, call: Call, path: Path) -> None:
    """Remove, rename, label."""

    def there(name: str) -> str:
        if name not in kept:
            known = ", ".join(kept) or "none"
            raise DirectionError(f"{path} has no direction {name} (directions: {known})")
        return name

    for name in call.remove:
        del kept[there(name)]
    if call.rename:
        old, new = there(call.rename[0]), check_name(call.rename[1])
        if new in kept and new != old:
            raise DirectionError(f"{path} has a direction {new} already; remove that first")
        renamed = {new if name == old else name: value for name, value in kept.items()}
        kept.clear()
        kept.update(renamed)
    if call.label:
        name, text = there(call.label[0]), call.label[1].strip()
        step, note = kept[name]
        kept[name] = (step, dataclasses.replace(note, label=text))


def _find(model: Model, config: FindConfig) -> Found:
    """Find, with a bar for each stage."""
    with ExitStack() as stack:
        bars: dict[str, tqdm] = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in bars:
                bar = tqdm(desc=what, total=total, disable=None, leave=False)
                bars[what] = stack.enter_context(bar)
            bars[what].update(done - bars[what].n)

        return find(model, config, progress)


def _write(path: Path, model: Model, kept: Directions, psi: float) -> str:
    """The file and its picture, which is drawn before either is replaced; says what was written."""
    picture = path.with_suffix(".png")
    shown = dict(list(kept.items())[:MOST_DRAWN])
    drawn = draw(model, shown, psi) if shown else b""
    save_directions(path, *_parts(kept))
    written = f"{len(kept)} {'direction' if len(kept) == 1 else 'directions'} in {path}"
    if not shown:
        picture.unlink(missing_ok=True)
        return written
    with replacing_file(picture) as beside:
        beside.write_bytes(drawn)
    some = f"the first {len(shown)} " if len(shown) < len(kept) else ""
    return f"{written}, {some}drawn in {picture}"


# For people


def report(found: Found) -> str:
    """How well attributes are seen and told apart, and what each direction moves."""
    parts = []
    if found.seen:
        rows = [
            [name, f"{seen.accuracy:.2f}", f"{seen.has} in {seen.groups} groups", f"{seen.has_not}"]
            for name, seen in found.seen.items()
        ]
        parts += [
            "Seen in real pictures of groups left out of the learning:",
            _table(["", "right", "have it", "have not"], rows),
        ]
    if found.fits:
        rows = [
            [name, f"{fit.accuracy:.2f}", str(fit.has), str(fit.has_not), _rows(found, name)]
            for name, fit in found.fits.items()
        ]
        parts += [
            "Told apart in w, on latents left out of the fit:",
            _table(["", "right", "have it", "have not", "rows"], rows),
        ]
    moves = {name: note.moves for name, note in found.notes.items() if note.moves}
    if moves:
        names = list(next(iter(moves.values())))
        rows = [[name, *(f"{move[key]:+.2f}" for key in names)] for name, move in moves.items()]
        parts += [
            "What a strength of 1 moves (down: directions, across: attributes), in standard "
            "deviations of what is seen in generated pictures:",
            _table(["", *names], rows),
        ]
    parts += [
        f"{name} moves its own attribute by {move[name]:+.2f} only: look whether it is of use. "
        "Another attribute that goes along with it may be asked for beside it; leave that out."
        for name, move in moves.items()
        if move.get(name, 1.0) < WEAK
    ]
    parts += [f"No direction {name}: {reason}" for name, reason in found.missing.items()]
    return "\n".join(parts)


def _table(head: list[str], rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = []
    for first, *rest in [head, *rows]:
        cells = [f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([f"  {first:<{widths[0]}}", *cells]).rstrip())
    return "\n".join(lines) + "\n"


def _rows(found: Found, name: str) -> str:
    note = found.notes.get(name)
    if note is None:
        return "-"
    return "all" if note.rows is None else f"{note.rows[0]}-{note.rows[1]}"


def draw(model: Model, kept: Directions, psi: float) -> bytes:
    """A PNG with some seeds of each direction, from the least strength to the greatest."""
    steps, notes = _parts(kept)
    steps = {name: step.to(model.device) for name, step in steps.items()}
    shown = Model(model.name, model.revision, model.generator, directions=steps)
    strips = []
    bar = tqdm(notes.items(), desc="drawing", disable=None, leave=False)
    for name, note in bar:
        rows = [strip(Recipe(seed=seed, psi=psi), name, note.rows) for seed in range(SEEDS)]
        recipes = [recipe for row in rows for recipe in row]
        pictures = [_smaller(picture) for picture in shown.draw(recipes)]
        width = len(STRENGTHS)
        strips.append((note.label or name, [pictures[i * width :][:width] for i in range(SEEDS)]))
    heads = [f"{strength:+d}" if strength else "0" for strength in STRENGTHS]
    query = model.stamped(Recipe(psi=psi, n=SEEDS)).to_query()
    return png_bytes(draw_strips(strips, heads, 1), query)


def _smaller(picture: np.ndarray) -> np.ndarray:
    """uint8 [R, R, C] averaged down to MOST_SIDE_PX, where it is larger."""
    side, _, channels = picture.shape
    block = max(1, side // MOST_SIDE_PX)
    blocks = picture.reshape(side // block, block, side // block, block, channels)
    return blocks.mean(axis=(1, 3)).round().astype(np.uint8)

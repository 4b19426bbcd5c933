"""The pictures of docs/terms.md:

    python -m docs.terms --data data/portraits64-holdout.zip --grids runs/portraits-64/grids

Without --data those of projection and augmentation stay as they are, without --grids that of kimg.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import stylegan
from stylegan import chance
from stylegan.config import AugmentConfig
from stylegan.data import Pictures
from stylegan.model import Model
from stylegan.networks.generator import Generator
from stylegan.networks.ops import to_uint8
from stylegan.projector import ProjectConfig, Projection, target
from stylegan.recipe import Edit, Recipe
from stylegan.sheet import draw_strips
from stylegan.training.augment import PIPES, Draws, apply, draw

HERE = Path(__file__).parent
PSIS = (-0.7, -0.3, 0, 0.3, 0.5, 0.7, 0.85, 1, 1.3)
SEEDS = (2, 8, 20, 25)
LEARNING = (1, 9, 12, 15, 21, 25)
EDIT, STRENGTH = "yellow", 2.0
PROJECTED = (22, 31, 44)
AUGMENTED = 9
PROBABILITIES = (0, 0.1, 0.3, 0.8)
Strip = tuple[str, Sequence[Sequence[np.ndarray]]]


def save(name: str, strips: Sequence[Strip], heads: Sequence[str]) -> None:
    """A PNG of 256 colours beside this file."""
    image = Image.fromarray(draw_strips(strips, heads, factor=1)).quantize(dither=0)
    image.save(HERE / f"terms-{name}.png", optimize=True)


def truncation(model: Model) -> None:
    """The same seeds from psi -0.7 to 1.3."""
    strips = [
        (f"seed {seed} ", [[model.render(Recipe(seed=seed, psi=psi)) for psi in PSIS]])
        for seed in SEEDS
    ]
    save("psi", strips, [f"psi {psi:g}" for psi in PSIS])


def spaces(model: Model, pictures: Pictures) -> None:
    """Pictures that the model never saw, found in W and in W+, and both then edited."""
    strips = []
    for index in PROJECTED:
        photo = Image.fromarray(pictures.images([index])[0].permute(1, 2, 0).numpy())
        wanted, found = target(photo, model.config), []
        for space in ("w", "w+"):
            projection = Projection(model, wanted, ProjectConfig(space=space))
            for _ in projection.run():
                pass
            result = projection.result()
            recipe = result.recipe
            print(f"picture {index} in {space}: {result.psnr:.1f} dB")
            edited = dataclasses.replace(recipe, e=(Edit(EDIT, STRENGTH),))
            found.append((model.render(recipe), model.render(edited)))
        (w, w_edited), (plus, plus_edited) = found
        strips.append(("", [[np.asarray(photo), w, plus, w_edited, plus_edited]]))
    save("w", strips, ["the picture", "in W", "in W+", "W, edited", "W+, edited"])


def learning(model: Model, grids: Path, begun_kimg: int) -> None:
    """Some seeds of every grid of a run, after those of a generator that has learned nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        new = Model("new", "0" * 10, Generator(model.config).eval())
    side, columns = model.config.resolution, {"0": list(new.draw(recipes(LEARNING)))}
    for path in sorted(grids.glob("[0-9]*.png")):
        sheet = np.asarray(Image.open(path))
        rows, cols = (length // side for length in sheet.shape[:2])
        cells = sheet.reshape(rows, side, cols, side, -1).swapaxes(1, 2).reshape(-1, side, side, 3)
        columns[f"{begun_kimg + int(path.stem)}"] = list(cells[list(LEARNING)])
    strips = [
        (f"seed {seed} ", [[column[i] for column in columns.values()]])
        for i, seed in enumerate(LEARNING)
    ]
    save("kimg", strips, [f"{kimg} kimg" for kimg in columns])


def recipes(seeds: Sequence[int]) -> list[Recipe]:
    """Those of seeds at psi 1."""
    return [Recipe(seed=seed) for seed in seeds]


def augmentation(pictures: Pictures) -> None:
    """What the discriminator is shown of the same pictures, as p rises."""
    step = len(pictures) // AUGMENTED
    shown = pictures.images([i * step for i in range(AUGMENTED)]).float() / 127.5 - 1
    strips = []
    for p in PROBABILITIES:
        draws = Draws(chance.generator(0, "terms", 0))
        changed = apply(shown, draw(PIPES["bgc"], p, shown.shape, draws, AugmentConfig()))
        strips.append((f"p = {p:g} ", [list(to_uint8(changed).permute(0, 2, 3, 1).numpy())]))
    save("ada", strips, [""] * AUGMENTED)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="checkpoints/portraits-64")
    parser.add_argument("--data", help="pictures as prepare writes them")
    parser.add_argument("--grids", type=Path, help="the folder grids of the model's run")
    parser.add_argument("--begun-kimg", type=int, default=120, help="what that run began with")
    args = parser.parse_args()
    model = stylegan.load(args.model, device="cpu")
    truncation(model)
    if args.data:
        pictures = Pictures(args.data)
        augmentation(pictures)
        spaces(model, pictures)
    if args.grids:
        learning(model, args.grids, args.begun_kimg)


if __name__ == "__main__":
    main()

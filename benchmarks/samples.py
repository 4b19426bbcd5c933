"""Do samples vary, and are they new? python -m benchmarks.samples --model M --data D -o FOLDER

Draws seeds 0-63 at psi 1 and 0.7, sets the nearest training pictures (mirrored ones included)
beside eight samples, and compares the mean distance from each of 64 samples to the nearest other
one with that among 64 real pictures. Distances are RMSE in grey levels.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

import stylegan
from stylegan import stamp
from stylegan.chance import numpy_generator
from stylegan.data import Pictures
from stylegan.model import Model
from stylegan.nearest import distances, nearest, sheet

COUNT, SHOWN, NEIGHBOURS, DRAWS = 64, 8, 4, 20


def nearest_pairs(pictures: np.ndarray) -> float:
    """Mean distance from each picture to the nearest other one."""
    found = distances(pictures, pictures)
    np.fill_diagonal(found, np.inf)
    return float(found.min(1).mean())


def draw(model: Model, psi: float) -> np.ndarray:
    """Seeds 0 to 63, uint8 [64, H, W, C]."""
    return np.stack(model.render_many(stylegan.Recipe(seed=0, n=COUNT, psi=psi)))


def save(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("-o", "--output", required=True, type=Path)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)

    model = stylegan.load(args.model)
    pictures = Pictures(args.data)
    reals = pictures.images(range(len(pictures))).permute(0, 2, 3, 1).numpy()
    fakes = {psi: draw(model, psi) for psi in (1.0, 0.7)}
    for psi, drawn in fakes.items():
        save(args.output / f"seeds-0-63-psi-{psi:g}.png", stamp.grid(list(drawn)))
    shown, found = nearest(fakes[1.0][:SHOWN], pictures, NEIGHBOURS)
    save(args.output / "nearest.png", sheet(fakes[1.0][:SHOWN], shown, factor=2))

    chance = numpy_generator(0, "samples", 0)
    picked = [chance.choice(len(reals), COUNT, replace=False) for _ in range(DRAWS)]
    among_reals = float(np.mean([nearest_pairs(reals[rows]) for rows in picked]))
    result = {
        "benchmark": "samples",
        "model": model.id,
        "nearest_pair_reals": among_reals,
        "nearest_real_of_samples": found[:, 0].tolist(),
        **{f"nearest_pair_psi_{psi:g}": nearest_pairs(d) for psi, d in fakes.items()},
    }
    result |= {f"ratio_psi_{p:g}": result[f"nearest_pair_psi_{p:g}"] / among_reals for p in fakes}
    print(f"nearest other picture, mean over {COUNT}: reals {among_reals:.1f} ({DRAWS} draws)")
    for psi in fakes:
        print(
            f"  psi {psi:g}: {result[f'nearest_pair_psi_{psi:g}']:.1f}, "
            f"{result[f'ratio_psi_{psi:g}']:.2f} of the reals'"
        )
    print("nearest training picture of seeds 0-7:", " ".join(f"{d:.1f}" for d in found[:, 0]))
    print(json.dumps(result))


if __name__ == "__main__":
    main()

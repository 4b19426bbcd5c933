"""What is ADA for? python -m benchmarks.overfitting DATA.zip --run runs/overfitting --minutes 20

Trains twice on a few pictures drawn from DATA, with adaptive augmentation and without, both at once
and for the same minutes. The pictures that were not drawn are held out: at each snapshot the
discriminator scores some of them beside the training pictures and fresh fakes. All other flags are
handed to fit, those about ADA for the run that has it. Called again, the runs go on for so many
minutes more.

Columns: thousand images seen; D's mean scores of training, held-out and generated pictures; r_v (0:
held-out ones score as training ones, 1: as fakes); p; SWD of the averaged generator's pictures, to
the held-out ones, as it is then. curves.json in the run folder has them all.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from stylegan.checkpoint import load_generator
from stylegan.data import Pictures
from stylegan.evaluate import measure

KINDS = ("ada", "none")
OF_ADA = ("ada-kimg", "ada-interval", "target", "augpipe")  # flags that would do nothing without it
SCORES = ("training", "held_out", "generated")


def draw(data: str, count: int, few: Path, others: Path) -> None:
    """Two zips: `count` of the pictures, and the rest; labels are left out."""
    pictures = Pictures(data)
    chosen = np.random.default_rng(0).permutation(len(pictures))
    for path, indices in ((few, chosen[:count]), (others, chosen[count:])):
        with zipfile.ZipFile(path, "w") as file:
            for i in sorted(indices.tolist()):
                pixels = pictures.images([i])[0].permute(1, 2, 0).numpy()
                png = io.BytesIO()
                Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(png, "PNG")
                file.writestr(f"{i:08d}.png", png.getvalue())


def train(run: Path, kind: str, minutes: float, flags: list[str]) -> subprocess.Popen:
    """Start or go on with one of the two runs."""
    command = [sys.executable, "-m", "train", "fit", "--data", str(run / "few.zip")]
    command += ["--validation", str(run / "others.zip"), "--aug", kind, "--metrics", ""]
    command += ["--run", str(run / kind), "--minutes", str(minutes), *flags]
    with (run / f"{kind}.log").open("a") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def rows(run: Path, kind: str, others: Pictures) -> list[dict]:
    """What each snapshot of a run told, and how near its pictures come to those held out."""
    lines = [json.loads(x) for x in (run / kind / "stats.jsonl").read_text().splitlines()]
    out = []
    for line in tqdm([x for x in lines if "Validation/r_v" in x], desc=kind):
        model = run / kind / "models" / f"{line['Progress/nimg'] // 1000:06d}"
        swd = measure(load_generator(model, "cpu"), others).records["swd"]
        out.append(
            {"aug": kind, "kimg": line["Progress/kimg"]}
            | {name: line[f"Validation/scores/{name}"]["mean"] for name in SCORES}
            | {"r_v": line["Validation/r_v"], "p": line["Progress/augment_p"]}
            | {"swd": swd["value"], "swd_floor": swd["floor"]}
        )
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--run", required=True, type=Path)
    parser.add_argument("--minutes", type=float, default=20.0)
    for name in OF_ADA:
        parser.add_argument(f"--{name}")
    args, flags = parser.parse_known_args()
    told = {name: getattr(args, name.replace("-", "_")) for name in OF_ADA}
    own = {"ada": [x for name in told if told[name] for x in (f"--{name}", told[name])], "none": []}
    args.run.mkdir(parents=True, exist_ok=True)
    few, others = args.run / "few.zip", args.run / "others.zip"
    if not others.exists():
        draw(args.data, args.pictures, few, others)
    started = [train(args.run, kind, args.minutes, [*flags, *own[kind]]) for kind in KINDS]
    codes = [process.wait() for process in started]
    if any(codes):
        sys.exit(f"a run has failed: see the logs in {args.run}")

    held = Pictures(others)
    found = [row for kind in KINDS for row in rows(args.run, kind, held)]
    print("aug     kimg  training  held-out  generated   r_v     p    SWD (floor)")
    for x in found:
        scores = "  ".join(f"{x[name]:8.2f}" for name in SCORES)
        print(
            f"{x['aug']:5} {x['kimg']:6.1f}  {scores}  {x['r_v'] or 0:5.2f} {x['p']:5.2f}  "
            f"{x['swd']:5.1f} ({x['swd_floor']:.1f})"
        )
    result = {"benchmark": "overfitting", "pictures": args.pictures, "rows": found}
    (args.run / "curves.json").write_text(json.dumps(result) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()

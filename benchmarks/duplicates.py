"""Are planted duplicates found, and nothing else? python -m benchmarks.duplicates PICTURES.zip ...

Copies of some pictures are planted among the others: rescaled, recompressed, slightly cropped,
mirrored, recoloured. "recall" is the share of the planted copies that are found in their own class,
with their own original (or another picture that is the same as it); "precision" is the share of the
findings about planted files that are so. What is found among the originals themselves is counted
apart, since nobody knows the truth about them; --sheet draws those pairs to be read by eye.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from stylegan.doctor import InspectConfig, inspect
from stylegan.duplicates import SAME
from stylegan.pictures import PictureError, flatten, open_picture, square
from stylegan.sources import Files

KINDS = {  # how a copy is made -> the class that it belongs to
    "rescaled": "same",
    "recompressed": "same",
    "cropped": "same",
    "mirrored": "mirrored",
    "recoloured": "recoloured",
}
JUDGED = ("same", "mirrored")  # what has other colours among the originals nobody knows
ASYMMETRY = 12.0  # mean grey levels by which a picture must differ from its mirror image
COLORFUL = 12.0  # mean grey levels by which new colours must differ
MOST_CROP = 0.05  # of a side, at each of its ends


def spoil(image: Image.Image, kind: str, random: np.random.Generator) -> tuple[Image.Image, str]:
    """A copy of a picture, and the format to write it in."""
    if kind == "rescaled":
        factor = random.uniform(0.4, 0.9)
        size = [max(16, round(side * factor)) for side in image.size]
        return image.resize(size, Image.Resampling.BICUBIC), "PNG"
    if kind == "recompressed":
        return flatten(image), "JPEG"
    if kind == "cropped":
        left, top, right, bottom = random.uniform(0.0, MOST_CROP, 4) * (image.size * 2)
        return image.crop((left, top, image.width - right, image.height - bottom)), "PNG"
    if kind == "mirrored":
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "PNG"
    return recolour(image, random), "PNG"


def recolour(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Other hues, the same drawing."""
    hue, saturation, value = flatten(image).convert("HSV").split()
    shift = int(random.integers(60, 196))
    hue = hue.point([(x + shift) % 256 for x in range(256)])
    turned = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
    if image.mode == "RGBA":
        turned.putalpha(image.getchannel("A"))
    return turned


def suits(image: Image.Image, kind: str, random: np.random.Generator) -> bool:
    """A picture whose mirror image is itself, or that has no colour, can prove nothing."""
    here = np.asarray(square(image, 32), np.int16)
    if np.abs(here - here[0, 0]).mean() < 4:
        return False
    if kind == "mirrored":
        return np.abs(here - here[:, ::-1]).mean() > ASYMMETRY
    if kind == "recoloured":
        there = np.asarray(square(recolour(image, random), 32), np.int16)
        return np.abs(here - there).mean() > COLORFUL
    return True


def plant(source: Path, target: Path, each: int, seed: int) -> dict[str, tuple[str, str]]:
    """Write all pictures and the copies into a zip; copy -> (original, kind)."""
    random = np.random.default_rng(seed)
    files, planted = Files(source), {}
    with zipfile.ZipFile(target, "w") as out:
        for name in files.pictures:
            out.writestr(name, files.read(name))
        free = list(random.permutation(files.pictures))
        for kind in KINDS:
            left = each
            while left and free:
                original = str(free.pop())
                try:
                    image = open_picture(files.read(original))
                except PictureError:
                    continue
                if not suits(image, kind, random):
                    continue
                copy, form = spoil(image, kind, random)
                data = io.BytesIO()
                quality = {"quality": int(random.integers(30, 80))} if form == "JPEG" else {}
                copy.save(data, form, **quality)
                name = f"planted/{kind}-{left:04d}.{form.lower()}"
                out.writestr(name, data.getvalue())
                planted[name] = original, kind
                left -= 1
    return planted


def judge(planted: dict[str, tuple[str, str]], found: list[tuple[str, str, str]]) -> dict:
    """Counts by class; `found` are (picture, its class, the picture it repeats)."""
    same: dict[str, str] = {}

    def root(name: str) -> str:
        while name in same:
            name = same[name]
        return name

    for name, kind, other in found:
        if kind == SAME and name not in planted and other not in planted:
            same[name] = other
    own = {name: planted[name][0] if name in planted else name for name, _, _ in found}
    own |= {other: planted[other][0] if other in planted else other for _, _, other in found}
    hits, all_found, hit, natural, wrong = Counter(), Counter(), set(), [], []
    twins = {frozenset((name, other)) for name, kind, other in found if kind == "mirrored"}
    for name, kind, other in found:
        copies = [x for x in (name, other) if x in planted]
        if not copies:
            natural.append((name, kind, other))
            continue
        if kind == SAME and frozenset((own[name], own[other])) in twins:
            planted = {x: y for x, y in planted.items() if x not in copies}
            continue  # the mirror image was there before it was planted
        all_found[kind] += 1
        belongs = [KINDS[planted[x][1]] for x in copies]
        right = kind in belongs and (kind not in JUDGED or root(own[name]) == root(own[other]))
        if right:
            hits[kind] += 1
            hit.update(x for x in copies if KINDS[planted[x][1]] == kind)
        else:
            wrong.append((name, kind, other))
    kinds = Counter(planted[x][1] for x in hit if x in planted)
    rows = {}
    for kind in dict.fromkeys(KINDS.values()):
        number = sum(KINDS[x] == kind for _, x in planted.values())
        found_here = sum(kinds[x] for x in KINDS if KINDS[x] == kind)
        rows[kind] = {
            "planted": number,
            "recall": round(found_here / max(1, number), 4),
            "precision": round(hits[kind] / max(1, all_found[kind]), 4) if kind in JUDGED else None,
            "among_originals": sum(k == kind for _, k, _ in natural),
        }
    by_kind = {x: f"{kinds[x]}/{sum(k == x for _, k in planted.values())}" for x in KINDS}
    return {"classes": rows, "by_kind": by_kind, "natural": natural, "wrong": wrong}


def sheet(source: Path, pairs: list[tuple[str, str, str]], path: Path) -> None:
    """Pairs side by side with their class, to be read by eye."""
    files, side, across = Files(source), 72, 8
    rows = -(-len(pairs) // across)
    page = Image.new("RGB", (across * (2 * side + 12), max(1, rows) * (side + 16)), "white")
    pen = ImageDraw.Draw(page)
    for i, (name, kind, other) in enumerate(pairs):
        left, top = i % across * (2 * side + 12), i // across * (side + 16)
        for j, one in enumerate((name, other)):
            page.paste(square(open_picture(files.read(one)), side), (left + j * side, top))
        pen.text((left, top + side), kind, "black")
    page.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path, nargs="+", help="folders or zips of pictures")
    parser.add_argument("--each", type=int, default=50, help="copies of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheet", type=Path, help="folder for pictures of what was found")
    args = parser.parse_args()
    results = {}
    print("source | class | planted | recall | precision | found among the originals")
    for source in args.sources:
        with tempfile.TemporaryDirectory() as folder:
            mixed = Path(folder) / f"{source.stem}.zip"
            planted = plant(source, mixed, args.each, args.seed)
            findings = inspect(InspectConfig(mixed, report=None)).findings
            found = [(f.file, f.finding, f.of) for f in findings if f.finding in KINDS.values()]
            result = judge(planted, found)
            if args.sheet:
                args.sheet.mkdir(parents=True, exist_ok=True)
                for what in ("natural", "wrong"):
                    sheet(mixed, result[what][:400], args.sheet / f"{source.stem}-{what}.png")
        for kind, row in result["classes"].items():
            print(source.stem, "|", kind, "|", " | ".join(map(str, row.values())))
        print(source.stem, "|", result["by_kind"])
        results[source.stem] = result["classes"]
    print(json.dumps({"benchmark": "duplicates", "each": args.each, "sources": results}))


if __name__ == "__main__":
    main()

"""Pictures drawn for tests: coloured shapes that differ from each other, and files of all kinds."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def drawing(seed: int, side: int = 96, mode: str = "RGB") -> Image.Image:
    """Ten shapes on a ground of one colour; transparent around a disc in mode RGBA."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (side, side), tuple(random.integers(120, 256, 3).tolist()))
    pen = ImageDraw.Draw(image)
    for i in range(10):
        x, y = random.uniform(0.05, 0.75, 2) * side
        w, h = random.uniform(0.08, 0.4, 2) * side
        color = tuple(random.integers(0, 256, 3).tolist())
        (pen.ellipse if i % 2 else pen.rectangle)((x, y, x + w, y + h), color)
    if mode == "RGBA":
        mask = Image.new("L", (side, side))
        ImageDraw.Draw(mask).ellipse((4, 4, side - 4, side - 4), 255)
        image.putalpha(mask)
    return image


def encoded(image: Image.Image, form: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def folder(root: Path, files: dict[str, bytes | Image.Image]) -> Path:
    """Files written below a folder; pictures as PNG."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else encoded(content))
    return root

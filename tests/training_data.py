"""A tiny data set and tiny settings, so that whole runs take a second."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from stylegan.config import NetworkConfig, TrainConfig
from stylegan.evaluate import Measured

NETWORK = NetworkConfig(
    resolution=16,
    z_dim=8,
    w_dim=8,
    mapping_layers=2,
    channel_base=64,
    channel_max=8,
    mbstd_group=2,
)
TINY = TrainConfig(
    preset="tiny",
    batch=4,
    gamma=0.05,
    p=0.5,
    tick_kimg=0.02,
    snap=2,
    g_reg_interval=2,
    d_reg_interval=3,
    ada_interval=2,
    metrics="",
    device="cpu",
    network=NETWORK,
)


def write_pictures(
    path: Path,
    n: int = 12,
    side: int = 16,
    labels: list | None = None,
    mode: str = "RGB",
    seed: int = 0,
    ground: int = 255,
) -> Path:
    """A zip of n pictures, each a disc of its own colour and place; on nothing in mode RGBA."""
    chance = np.random.RandomState(seed)
    y, x = np.mgrid[:side, :side]
    with zipfile.ZipFile(path, "w") as archive:
        names = [f"00000/img{i:08d}.png" for i in range(n)]
        for name in names:
            cx, cy = chance.randint(side // 4, side * 3 // 4, 2)
            disc = (x - cx) ** 2 + (y - cy) ** 2 < (side // 4) ** 2
            picture = np.where(disc[:, :, None], chance.randint(0, 255, 3), ground).astype(np.uint8)
            file = BytesIO()
            image = Image.fromarray(picture).convert(mode)
            if mode == "RGBA":
                image.putalpha(Image.fromarray(np.uint8(disc * 255)))
            image.save(file, "PNG")
            archive.writestr(name, file.getvalue())
        pairs = None if labels is None else [list(pair) for pair in zip(names, labels, strict=True)]
        archive.writestr("dataset.json", json.dumps({"labels": pairs}))
    return path


def measured(metric: str, value: float, better: str = "lower") -> Measured:
    """What a snapshot is told of one metric."""
    return Measured({metric: {"metric": metric, "value": value, "better": better}})


def tiny(data: Path, **changes) -> TrainConfig:
    """The tiny settings for this data."""
    return dataclasses.replace(TINY, data=str(data), **changes)

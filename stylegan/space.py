"""The Space of a model: the folder that the Hub makes a page of."""

from __future__ import annotations

import importlib.metadata
import io
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from stylegan import stamp
from stylegan.config import UserError
from stylegan.model import Model
from stylegan.pictures import flatten
from stylegan.recipe import Recipe
from stylegan.version import ROOT

Hardware = Literal["cpu", "gpu", "zerogpu"]

SUGGESTED = {"cpu": "cpu-basic", "gpu": "t4-small", "zerogpu": "zero-a10g"}
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
LEFT_OUT = ("training", "importers", "exporters", "__pycache__")  # not needed to draw a picture
NOT_INSTALLED = (  # named here, or for training and for what comes before it
    *("torch", "gradio", "tyro", "tensorboard", "psutil"),
    *("filelock", "ImageHash", "httpx", "beautifulsoup4"),
)
SOURCES = (".py", ".css", ".js")
THUMBNAIL = "thumbnail.png"
COLUMNS, ROWS, CELL_PX = 8, 4, 150  # of the thumbnail, about the shape that links are shown in
ENTRY = {"cpu": "app.py", "gpu": "app.py", "zerogpu": "start.py"}
START = '''\
"""The page on ZeroGPU, whose package comes before all others."""

import runpy

import spaces  # noqa: F401

runpy.run_module("app", run_name="__main__")
'''


@dataclass(frozen=True)
class SpaceConfig:
    """A page for a model."""

    model: str
    """user/name@commit on the Hub."""
    title: str
    hardware: Hardware = "cpu"
    torch: str = ""
    """Version of PyTorch; the one in requirements.txt, if empty."""
    preload: tuple[str, ...] = ()
    """Files of the model that the Space has before it starts; a private model's come later."""
    thumbnail_url: str = ""


def build_space(config: SpaceConfig, model: Model) -> dict[str, bytes]:
    """The files of the Space, by name."""
    files = {"app.py": _read(ROOT / "app.py"), "LICENSE": _read(ROOT / "LICENSE")}
    package = ROOT / "stylegan"
    for path in sorted(package.rglob("*")):
        inside = path.relative_to(package)
        if path.suffix in SOURCES and not set(inside.parts) & set(LEFT_OUT):
            files[f"stylegan/{inside.as_posix()}"] = path.read_bytes()
    if config.hardware == "zerogpu":
        files[ENTRY["zerogpu"]] = START.encode()
    files["README.md"] = space_card(config).encode()
    files["requirements.txt"] = requirements(config.hardware, config.torch).encode()
    files[THUMBNAIL] = thumbnail(model)
    return files


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise UserError(f"a Space is made from a clone of the project: there is no {path}")
    return path.read_bytes()


def requirements(hardware: Hardware, torch: str = "") -> str:
    """What the Space installs beside gradio, which its README names."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    lines = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    pins = {line.partition("==")[0]: line.partition("==")[2] for line in lines}
    version = torch or pins["torch"]
    wanted = [f"torch=={version}"]
    if hardware == "cpu":  # the wheel of PyPI brings gigabytes for GPUs
        wanted = [f"--extra-index-url {CPU_WHEELS}", f"torch=={version.partition('+')[0]}+cpu"]
    elif hardware == "zerogpu":
        wanted.append("spaces")
    wanted += [line for line in lines if not line.startswith(NOT_INSTALLED)]
    return "\n".join(wanted) + "\n"


def space_card(config: SpaceConfig) -> str:
    """README.md of the Space, by which the Hub knows how to run it."""
    repo, _, commit = config.model.partition("@")
    told = [
        f"title: {_quoted(config.title)}",
        "sdk: gradio",
        f"sdk_version: {importlib.metadata.version('gradio')}",
        f'python_version: "{".".join(platform.python_version_tuple()[:2])}"',
        f"app_file: {ENTRY[config.hardware]}",
        "short_description: Pictures that never existed, each one a link",
        f"suggested_hardware: {SUGGESTED[config.hardware]}",
        "colorFrom: indigo",
        "colorTo: gray",
        f"models: [{repo}]",
        "tags: [stylegan, image-generation]",
        "license: apache-2.0",  # the page's own, as LICENSE says; the model has another
    ]
    if config.thumbnail_url:
        told.append(f"thumbnail: {config.thumbnail_url}")
    if config.preload:
        told.append(f'preload_from_hub: ["{repo} {",".join(config.preload)} {commit}"]')
    lines = ["---", *told, "---", "", f"# {config.title}", ""]
    lines += [
        f"A page to play with the generator [{repo}](/{repo}): seeds, truncation, walks, mixing, "
        "editing. Every picture is a link that brings it back.",
        "",
        f"The variable `STYLEGAN_MODEL` names the model, here `{config.model}`; more models are "
        "divided by commas. Links may name any revision of these, and nothing else.",
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def thumbnail(model: Model) -> bytes:
    """A PNG of samples in the shape that passed-on links show, transparency over white."""
    count, classes = COLUMNS * ROWS, model.c_dim or 1
    recipes = [Recipe(seed=i, psi=0.7, c=i % classes) for i in range(count)]
    side = model.config.resolution
    if side > CELL_PX:
        cells = [_shrunk(picture) for picture in model.draw(recipes)]
    else:
        cells = [stamp.enlarge(picture, CELL_PX // side) for picture in model.draw(recipes)]
    file = io.BytesIO()
    _image(stamp.grid(cells, COLUMNS)).save(file, "PNG")
    return file.getvalue()


def _shrunk(picture: np.ndarray) -> np.ndarray:
    image = _image(picture).resize((CELL_PX, CELL_PX), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _image(pixels: np.ndarray) -> Image.Image:
    """RGB of uint8 [H, W, C]."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    return flatten(image).convert("RGB")

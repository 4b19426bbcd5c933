"""What of a run, or a model folder, is published: its files, and the answers of a person."""

from __future__ import annotations

import dataclasses
import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stylegan import stamp
from stylegan.atomic import replacing_file
from stylegan.card import Answers, Facts, is_edited, public_notes, write_card
from stylegan.checkpoint import (
    CONFIG,
    DISCRIMINATOR,
    ENCODER_STATE,
    GENERATOR,
    load_discriminator,
    read_config,
)
from stylegan.config import UserError
from stylegan.data import DataError, Pictures
from stylegan.evaluate import METRICS_FILE, read_records
from stylegan.metrics import SHEETS
from stylegan.model import Model, load
from stylegan.nearest import nearest, sheet
from stylegan.recipe import Recipe
from stylegan.space import Hardware
from stylegan.version import code_commit

README, ANSWERS = "README.md", "card.json"
PREPARED = "prepare.json"  # in a run, how its pictures were made
SAMPLES, CALM, NEAREST = "samples.png", "samples-psi-0.7.png", "nearest.png"
PUBLISHED = (".safetensors", ".json", ".png", ".txt", ".md", ".csv")
GRID_PIXELS = 1 << 20  # in a grid of samples: 64 of up to 128x128, 16 of 256x256
MOST_SAMPLES = 64
SHOWN, NEIGHBOURS = 8, 4
MOST_COMPARED = 20_000  # training pictures that samples are compared with
NEAREST_PX = 64  # smaller pictures are enlarged to about this side

Say = Callable[[str], None]


@dataclass(frozen=True)
class PublishConfig:
    """What is published, where, and who may see it."""

    source: Path
    """RUN_OR_DIR: a run, whose best model is taken, or a model folder."""
    repo: str
    """USER/NAME on the Hub."""
    public: bool = False
    """Let all see it. Otherwise a new repository is private, and an old one stays as it is."""
    revision: str = ""
    """Branch that gets the commit, made if there is none; main, if not given."""
    tag: str | None = None
    """Name of this commit that stays; kimg-NNNNNN by default, "" for none."""
    space: str = ""
    """USER/NAME of the Space that plays with it, made or updated."""
    hardware: Hardware = "cpu"
    """What the Space runs on, which decides what it installs: cpu, gpu or zerogpu."""
    torch: str = ""
    """Version of PyTorch in the Space; that of requirements.txt, if not given."""
    title: str = ""
    """Heading of the Space; NAME, if not given."""
    data: str = ""
    """Where the training pictures lie now; where the run had them, if not given."""
    nearest: bool = True
    """Show the training pictures nearest to some samples, where the pictures are at hand."""
    new_card: bool = False
    """Write the card anew, even where a person edited it."""
    build: Path | None = None
    """Folder to write all into instead of sending it."""
    answers: Answers = field(default_factory=Answers)


# What there is to publish


def model_folder(source: Path) -> Path:
    """The model of a run that is best so far, or the model folder itself."""
    if (source / GENERATOR).is_file():
        return source
    if (source / "best" / GENERATOR).is_file():
        return (source / "best").resolve()
    if (source / "models").is_dir() or (source / "stats.jsonl").is_file():
        raise UserError(f"{source} has no model yet; the first comes with the first snapshot")
    read_config(source)  # says what is wrong with it
    raise UserError(f"{source} has no {GENERATOR}")


def run_folder(source: Path) -> Path:
    """The run that a model belongs to, or the run or model folder itself."""
    folder = source.resolve()
    return folder.parents[1] if folder.parent.name == "models" else source


def answers_file(source: Path) -> Path:
    """Where the answers for a run, or a model folder, are kept; its models share those of a run."""
    return (source if (source / ANSWERS).is_file() else run_folder(source)) / ANSWERS


def saved_answers(source: Path) -> Answers:
    """What a person said of this run or folder before."""
    path = answers_file(source)
    if not path.is_file():
        return Answers()
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        known = {f.name for f in dataclasses.fields(Answers)}
        return Answers(**{key: str(value) for key, value in told.items() if key in known})
    except (ValueError, AttributeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def save_answers(source: Path, answers: Answers) -> None:
    """Keep what a person said for the next time."""
    with replacing_file(answers_file(source)) as beside:
        text = json.dumps(dataclasses.asdict(answers), indent=2) + "\n"
        beside.write_text(text, encoding="utf-8")


def given(config: PublishConfig) -> Answers:
    """The flags' answers, and before them, those kept from before."""
    kept = dataclasses.asdict(saved_answers(config.source))
    flags = {k: v for k, v in dataclasses.asdict(config.answers).items() if v}
    return Answers(**{**kept, **flags})


def tag_of(config: PublishConfig, training: Mapping[str, Any]) -> str:
    """The name that the commit is to have."""
    if config.tag is not None:
        return config.tag
    return f"kimg-{int(training['kimg']):06d}" if "kimg" in training else ""


# The files


def build_model(config: PublishConfig, say: Say = print) -> tuple[Model, dict[str, bytes | Path]]:
    """The model, and the files of its repository by name; all is checked before a word goes out."""
    folder = model_folder(config.source)
    model = load(folder)
    network, training = read_config(folder)
    files: dict[str, bytes | Path] = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        name = inside.as_posix()
        hidden = name in (ANSWERS, ENCODER_STATE) or any(x[0] == "." for x in inside.parts)
        if not path.is_file() or hidden:
            continue
        if name in SHEETS:
            say(f"left out: {name}, which shows training pictures")
        elif path.suffix in PUBLISHED:
            files[name] = path
        else:
            say(f"left out: {name}, which is no part of a model")
    weights = {"generator": _values(model.generator)}
    if DISCRIMINATOR in files:
        weights["discriminator"] = _values(load_discriminator(folder))
    settings = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    settings["training"] = public_notes(training)
    files[CONFIG] = (json.dumps(settings, indent=2) + "\n").encode()
    count = _samples(model, files)
    pictures = _pictures(config, training, say)
    far, compared = _nearest(model, pictures, files) if config.nearest else ([], 0)
    if far:
        say(f"{NEAREST} shows {SHOWN * NEIGHBOURS} of the training pictures; --no-nearest does not")
    if config.new_card or README not in files or not _is_persons(files[README]):
        facts = Facts(
            name=config.repo,
            revision=tag_of(config, training) or config.revision,
            network=network,
            training=settings["training"],
            weights=weights,
            files={name: _bytes(data) for name, data in files.items() if name != README},
            records=read_records(folder / METRICS_FILE),
            prepared=_prepared(config.source, pictures),
            nearest=far,
            compared=compared,
            samples=count,
            code=code_commit(),
            space=config.space,
            answers=given(config),
        )
        files[README] = write_card(facts).encode()
    else:
        say(f"the card is the folder's own {README}; --new-card writes another")
    return model, files


def _values(network: Any) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _bytes(data: bytes | Path) -> int:
    return len(data) if isinstance(data, bytes) else data.stat().st_size


def _is_persons(card: bytes | Path) -> bool:
    text = card if isinstance(card, bytes) else card.read_bytes()
    return is_edited(text.decode("utf-8", "replace"))


def _samples(model: Model, files: dict[str, bytes | Path]) -> int:
    """Add the grids of samples; returns how many pictures they have."""
    side = model.config.resolution
    count = min(MOST_SAMPLES, max(1, math.isqrt(GRID_PIXELS // side**2)) ** 2)
    if SAMPLES not in files or not _is_grid(files[SAMPLES], side, count):
        files[SAMPLES] = _grid(model, 1.0, count)
    files[CALM] = _grid(model, 0.7, count)
    return count


def _is_grid(data: bytes | Path, side: int, count: int) -> bool:
    """Whether it is the snapshot's own grid, not a picture of that name."""
    with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as image:
        return image.size == (side * math.isqrt(count),) * 2


def _grid(model: Model, psi: float, count: int) -> bytes:
    classes = model.c_dim or 1
    recipes = [Recipe(seed=i, psi=psi, c=i % classes) for i in range(count)]
    return _png(stamp.grid(list(model.draw(recipes))))


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return file.getvalue()


def _pictures(config: PublishConfig, training: Mapping[str, Any], say: Say) -> Pictures | None:
    """The pictures that the model learned from, if they are at hand and still the same."""
    settings, data = training.get("settings") or {}, training.get("data") or {}
    place = config.data or settings.get("data", "")
    if not place or (not config.data and not Path(place).exists()):
        return None
    try:
        pictures = Pictures(place, mirror=bool(settings.get("mirror")))
    except DataError as error:
        if config.data:
            raise
        say(f"the pictures cannot be looked at: {error}")
        return None
    if pictures.fingerprint != data.get("fingerprint"):
        if config.data:
            raise UserError(f"{place} holds other pictures than the model learned from")
        say(f"{place} holds other pictures now; the card tells nothing of them")
        return None
    return pictures


def _prepared(source: Path, pictures: Pictures | None) -> dict[str, Any] | None:
    """What prepare noted of the pictures: the run's copy, else the one among the pictures."""
    path = run_folder(source) / PREPARED
    try:
        note = path.read_bytes() if path.is_file() else pictures and pictures.note
        told = json.loads(note) if note else None
    except (OSError, DataError, ValueError):
        return None
    return told if isinstance(told, dict) else None


def _nearest(
    model: Model, pictures: Pictures | None, files: dict[str, bytes | Path]
) -> tuple[list[float], int]:
    """Add the picture of neighbours; returns the distances, and among how many they are least."""
    if NEAREST in files or pictures is None:
        return [], 0
    classes, originals = model.c_dim or 1, len(pictures.names)
    if originals > MOST_COMPARED:
        return [], 0
    samples = np.stack(list(model.draw([Recipe(seed=i, c=i % classes) for i in range(SHOWN)])))
    shown, far = nearest(samples, pictures, min(NEIGHBOURS, originals))
    factor = max(1, NEAREST_PX // model.config.resolution)
    files[NEAREST] = _png(sheet(samples, shown, factor))
    return far[:, 0].tolist(), originals

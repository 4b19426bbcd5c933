"""What a run shows of itself: grids of fixed seeds, model folders, their metrics, the best one."""

from __future__ import annotations

import dataclasses
import io
import math
import platform
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from stylegan import data, stamp
from stylegan.atomic import replacing_file
from stylegan.checkpoint import save_model
from stylegan.config import TrainConfig, UserError
from stylegan.evaluate import Measured, as_json, measure
from stylegan.memorisation import mean_distance, thumbs
from stylegan.model import Model
from stylegan.recipe import Recipe
from stylegan.runs import ASKED, GRIDS, METRICS_FILE, MODELS, REALS, SAMPLES, noted_kimg
from stylegan.version import VERSION, code_commit

from . import alerts, run
from .state import Progress
from .step import Trainer

GRID_PICTURES = 64
EVALUATION_BATCH = 32
DIVERSITY_PX = 16


def model_folder(folder: Path, at: Progress, asked: bool = False) -> Path:
    """Where the model of this moment lies: 000040, or 000040.512 where that name is not free, or
    000040.512-asked. The name 000000 is that of the beginning.
    """
    exact = folder / MODELS / f"{at.nimg / 1000:010.3f}"
    if asked:
        return exact.with_name(exact.name + ASKED)
    plain = exact.with_name(f"{at.nimg // 1000:06d}")
    free = not plain.exists() or noted_kimg(plain) == at.nimg / 1000
    return plain if free and at.nimg >= 1000 else exact


def first_grids(folder: Path, trainer: Trainer, pictures: data.Pictures) -> None:
    """What is to be learned, and where it starts."""
    reals = _reals(pictures, trainer.config.seed)
    _write(folder / GRIDS / REALS, _png(reals))
    _write(folder / GRIDS / "000000.png", _png(_fakes(trainer)))


def write(
    folder: Path,
    config: TrainConfig,
    trainer: Trainer,
    pictures: data.Pictures,
    at: Progress,
    names: Sequence[str],
    say: Callable[[str], None],
    asked: bool = False,
) -> dict[str, float]:
    """Grid, these metrics and a model folder; gives the numbers for the tick's line. One that was
    asked for is not the best.
    """
    model = model_folder(folder, at, asked)
    fakes = _fakes(trainer)
    grid = _png(fakes)
    _write(folder / GRIDS / f"{model.name}.png", grid)
    extra = {SAMPLES: grid}
    found = _measured(config, trainer, pictures, names, say)
    if found.records:
        extra[METRICS_FILE] = as_json(list(found.records.values())).encode()
        extra |= found.files()
    notes = {
        "kimg": at.nimg / 1000,
        "hours": round(at.seconds / 3600, 3),
        "settings": dataclasses.asdict(config),
        "data": run.describe(config, pictures)["data"],
        "augment_p": trainer.p,
        "device": _device_name(trainer.device),
        "torch": torch.__version__,
        "code": _program(),
    }
    save_model(model, config.network, notes, trainer.averaged, trainer.discriminator, extra)
    if not asked and _is_best(at, found, bool(names)):
        run.point_best(folder, model)
    told = {f"Metrics/{name}": record["value"] for name, record in found.records.items()}
    return {alerts.DIVERSITY: _diversity(fakes, trainer, pictures), **told}


def _measured(
    config: TrainConfig,
    trainer: Trainer,
    pictures: data.Pictures,
    names: Sequence[str],
    say: Callable[[str], None],
) -> Measured:
    """The metrics; what hinders them is said, and no reason to end the run."""
    try:
        return measure(
            trainer.averaged,
            pictures,
            names,
            batch=EVALUATION_BATCH,
            discriminator=lambda: trainer.discriminator,
            detector=config.detector,
            say=say,
        )
    except (UserError, OSError) as error:
        say(f"no metrics of this snapshot: {error}")
        return Measured()


def _is_best(at: Progress, found: Measured, wanted: bool) -> bool:
    """Whether the first metric was never better; without metrics the latest is the best."""
    first = next(iter(found.records.values()), None)
    score = math.inf if wanted else -at.nimg
    if first is not None:
        score = first["value"] if first["better"] == "lower" else -first["value"]
        if at.best_by and at.best_by != first["metric"]:
            at.best = math.inf  # numbers of another kind
        at.best_by = first["metric"]
    if score > at.best:
        return False
    at.best = score
    return True


def _diversity(fakes: Sequence[np.ndarray], trainer: Trainer, pictures: data.Pictures) -> float:
    """How much the pictures of a grid differ from each other, real ones being 1."""
    config = trainer.config
    reals = _reals(pictures, config.seed)
    labels = pictures.labels(_places(pictures, config.seed))
    uses = config.network.c_dim and config.network.c_dim == labels.shape[1]
    theirs = labels.argmax(1).tolist() if uses else [0] * len(reals)
    spread = mean_distance(_by_class(reals, theirs))
    ours = _by_class(fakes, _classes(trainer, len(fakes)))
    return mean_distance(ours) / spread if spread else 1.0


def _by_class(pictures: Sequence[np.ndarray], classes: Sequence[int]) -> list[torch.Tensor]:
    """Thumbnails of pictures uint8 [R, R, C]; all together, where no class has several.

    They are made small: it is what they show that counts, not their noise.
    """
    small = thumbs(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2), DIVERSITY_PX)
    of = torch.tensor(classes)
    groups = [small[of == c] for c in of.unique()]
    return groups if max(map(len, groups)) > 1 else [small]


def _classes(trainer: Trainer, count: int) -> list[int]:
    """Of the pictures that are drawn: all in turn."""
    return [i % (trainer.config.network.c_dim or 1) for i in range(count)]


def _places(pictures: data.Pictures, seed: int) -> list[int]:
    """Of the real pictures that a run shows; the same ones at all times."""
    count = min(GRID_PICTURES, len(pictures))
    return data.order(seed, len(pictures), 0, count).tolist()


@lru_cache(maxsize=1)
def _reals(pictures: data.Pictures, seed: int) -> np.ndarray:
    """uint8 [N, R, R, C]"""
    return pictures.images(_places(pictures, seed)).permute(0, 2, 3, 1).numpy()


def _fakes(trainer: Trainer) -> list[np.ndarray]:
    """Seeds 0, 1, ... of the averaged generator at psi 1, classes in turn."""
    recipes = [Recipe(seed=i, c=c) for i, c in enumerate(_classes(trainer, GRID_PICTURES))]
    return list(Model("run", "0" * 10, trainer.averaged).draw(recipes))


def _png(pictures: Sequence[np.ndarray]) -> bytes:
    sheet = stamp.grid(pictures)
    file = io.BytesIO()
    Image.fromarray(sheet[:, :, 0] if sheet.shape[2] == 1 else sheet).save(file, "PNG")
    return file.getvalue()


def _write(path: Path, content: bytes) -> None:
    with replacing_file(path) as beside:
        beside.write_bytes(content)


@cache
def _program() -> str:
    """What trains: this program's version, and its commit."""
    commit = code_commit()
    return f"stylegan {VERSION}" + (f", commit {commit}" if commit else "")


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.machine()}, {torch.get_num_threads()} threads)"

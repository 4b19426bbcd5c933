"""How close a generator comes to its data: the stream of pictures and the metrics by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan import chance
from stylegan.atomic import replacing_file
from stylegan.checkpoint import find_model, load_generator
from stylegan.config import NetworkConfig, UserError
from stylegan.data import Pictures
from stylegan.distances import swd_of_patches, swd_patches
from stylegan.latents import MAX_SEED
from stylegan.model import find_device
from stylegan.networks.generator import Generator
from stylegan.networks.mapping import broadcast
from stylegan.networks.ops import to_uint8
from stylegan.runs import METRICS_FILE

SWD_MOST_PICTURES = 8192

Progress = Callable[[int, int], None]
"""Called with the number of pictures generated so far, and of all to come."""
Record = dict[str, Any]
"""One measurement as JSON: metric, value, floor, n, seed, and what else the metric tells."""


@dataclass(frozen=True)
class EvaluateConfig:
    """Settings of one evaluation."""

    model: str
    """Model folder, or user/name@revision of the Hub."""
    data: str
    """Folder or zip of the real pictures, as prepare writes them."""
    metrics: str = "swd"
    """Names of metrics, separated by commas."""
    num: int | None = None
    """Pictures on each side; the metric's own number if not given."""
    seed: int = 0
    """Decides which real pictures, latents, labels and noise are taken."""
    batch: int = 16
    """Pictures generated at once."""
    device: str = "auto"
    """cpu, cuda, cuda:1 ...; auto takes a GPU where there is one."""
    save: bool = True
    """Write the numbers into metrics.json of the model folder."""


@dataclass(frozen=True)
class Comparison:
    """What a metric is given: a generator, the real pictures, and how to draw from both."""

    generator: Generator
    pictures: Pictures
    num: int | None
    seed: int
    batch: int
    progress: Progress | None


# The two streams of pictures


def generated(comparison: Comparison, n: int) -> Iterator[Tensor]:
    """Pictures 0 to n - 1 of the generator in batches, uint8 [N, C, R, R]: psi 1, random noise.

    Labels are those of random real pictures. Picture i follows from (seed, i) alone, however the
    row is cut into batches.
    """
    for start in range(0, n, comparison.batch):
        rows = range(start, min(start + comparison.batch, n))
        yield _draw(comparison, rows)
        if comparison.progress:
            comparison.progress(rows.stop, n)


@torch.no_grad()
def _draw(comparison: Comparison, rows: range) -> Tensor:
    network, config = comparison.generator, comparison.generator.config
    device = next(network.parameters()).device
    zs, places, maps = [], [], []
    for i in rows:
        draws = chance.generator(comparison.seed, "metric/picture", i)
        zs.append(torch.randn(1, config.z_dim, generator=draws))
        places.append(int(torch.randint(len(comparison.pictures), [], generator=draws)))
        sides = network.synthesis.noise_shapes
        maps.append([torch.randn(1, 1, r, r, generator=draws) for r in sides])
    c = comparison.pictures.labels(places).to(device) if config.c_dim else None
    ws = broadcast(network.mapping(torch.cat(zs).to(device), c), config.num_ws)
    noise = [torch.cat(layer).to(device) for layer in zip(*maps, strict=True)]
    return to_uint8(network.synthesis(ws, noise)).cpu()


def real_halves(pictures: Pictures, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of two sets of n pictures that share none; with mirror, half of each is flipped."""
    originals = _originals(pictures)
    draws = chance.numpy_generator(seed, "metric/reals", 0)
    order = draws.permutation(originals)
    if pictures.mirror:
        order = order + originals * draws.integers(0, 2, originals)
    return order[:n], order[n : 2 * n]


def _originals(pictures: Pictures) -> int:
    """Pictures in the file; a picture and its mirror image count as one."""
    return len(pictures) // 2 if pictures.mirror else len(pictures)


def _real(pictures: Pictures, indices: np.ndarray, batch: int = 64) -> Iterator[Tensor]:
    for start in range(0, len(indices), batch):
        yield pictures.images(indices[start : start + batch])


# The metrics


def measure_swd(comparison: Comparison) -> Record:
    """Sliced Wasserstein distance to a random half of the reals, and that of the other half."""
    pictures, seed = comparison.pictures, comparison.seed
    half = _originals(pictures) // 2
    n = min(half, SWD_MOST_PICTURES) if comparison.num is None else comparison.num
    if n > half:
        raise UserError(
            f"{n} pictures are asked for, but half of {pictures.name}, which swd compares with the "
            f"other half, is {half}"
        )
    reals = swd_patches(_real(pictures, real_halves(pictures, n, seed)[0]), seed)
    found = swd_of_patches(reals, swd_patches(generated(comparison, n), seed), seed)
    floor = _swd_floor(pictures, n, seed)
    return {
        "value": found.pop("mean"),
        "floor": floor["mean"],
        "levels": found,
        "floor_levels": {side: floor[side] for side in found},
        "n": n,
    }


@lru_cache(maxsize=4)  # a training run asks again at every snapshot
def _swd_floor(pictures: Pictures, n: int, seed: int) -> dict[str, float]:
    """The distance between two halves of the reals: what chance alone makes of equal sets."""
    a, b = (swd_patches(_real(pictures, x), seed) for x in real_halves(pictures, n, seed))
    return swd_of_patches(a, b, seed)


METRICS: dict[str, Callable[[Comparison], Record]] = {
    "swd": measure_swd,
}


def measure(
    generator: Generator,
    pictures: Pictures,
    names: Sequence[str] = ("swd",),
    num: int | None = None,
    seed: int = 0,
    batch: int = 16,
    progress: Progress | None = None,
) -> dict[str, Record]:
    """Each named metric of a generator, on the device it is on, against the pictures."""
    check_names(names)
    check_fit(generator.config, pictures)
    if not 0 <= seed <= MAX_SEED:
        raise UserError(f"seed {seed} is outside 0 to {MAX_SEED}")
    if batch < 1 or (num is not None and num < 1):
        raise UserError(f"{'batch' if batch < 1 else 'num'} is not 1 or more")
    comparison = Comparison(generator, pictures, num, seed, batch, progress)
    about = {"seed": seed, "data": pictures.name, "fingerprint": pictures.fingerprint}
    return {name: {"metric": name, **METRICS[name](comparison), **about} for name in names}


def check_names(names: Sequence[str]) -> None:
    """Refuse a metric that is not there."""
    if unknown := [name for name in names if name not in METRICS]:
        raise UserError(f"there is no metric {unknown[0]!r}; there are: {', '.join(METRICS)}")


def check_fit(config: NetworkConfig, pictures: Pictures) -> None:
    """Refuse data of another size or kind than the generator draws."""
    ours = (config.resolution, config.channels)
    if ours != (pictures.resolution, pictures.channels):
        raise UserError(
            f"the model draws {ours[0]}x{ours[0]} pictures with {_channels(ours[1])}, but "
            f"{pictures.name} holds {pictures.resolution}x{pictures.resolution} with "
            f"{_channels(pictures.channels)}"
        )
    if config.c_dim not in (0, pictures.c_dim):
        raise UserError(
            f"the model needs labels of length {config.c_dim}, but those of {pictures.name} have "
            f"length {pictures.c_dim}"
        )


def _channels(count: int) -> str:
    return "1 channel" if count == 1 else f"{count} channels"


# A model folder and its metrics.json


def evaluate(config: EvaluateConfig, progress: Progress | None = None) -> dict[str, Record]:
    """Measure a model folder; keeping the numbers is `save_records`."""
    names = [name.strip() for name in config.metrics.split(",") if name.strip()]
    if not names:
        raise UserError(f"no metric is named; there are: {', '.join(METRICS)}")
    check_names(names)
    generator = load_generator(find_model(config.model).folder, find_device(config.device))
    pictures = Pictures(config.data)
    return measure(generator, pictures, names, config.num, config.seed, config.batch, progress)


def save_records(folder: str | Path, records: Sequence[Record]) -> None:
    """Add measurements to metrics.json; a new one takes the place of its like."""
    path = Path(folder) / METRICS_FILE
    new = {_key(record): record for record in records}
    kept = [record for record in read_records(path) if _key(record) not in new]
    with replacing_file(path) as beside:
        beside.write_text(as_json([*kept, *new.values()]), encoding="utf-8")


def as_json(records: Sequence[Record]) -> str:
    """The text of a metrics.json."""
    return json.dumps(list(records), indent=2, allow_nan=False) + "\n"


def _key(record: Record) -> tuple:
    """What makes two measurements the same one, taken again."""
    return tuple(record.get(name) for name in ("metric", "fingerprint", "n", "seed"))


def read_records(path: Path) -> list[Record]:
    """The measurements of a metrics.json, none where there is no file."""
    if not path.exists():
        return []
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        records = None
    if not isinstance(records, list) or not all(isinstance(x, dict) for x in records):
        raise UserError(f"{path} is not a list of measurements; move it away or use --no-save")
    return records

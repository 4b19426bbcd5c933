"""How close a generator comes to its data: metrics by name, and the file they are kept in."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from stylegan import detectors
from stylegan.atomic import replacing_file
from stylegan.checkpoint import DISCRIMINATOR, find_model, load_discriminator, load_generator
from stylegan.config import NetworkConfig, UserError
from stylegan.data import Pictures
from stylegan.distributed import ALONE, Group, joined
from stylegan.fetch import FetchError
from stylegan.latents import MAX_SEED
from stylegan.metric_names import KNOWN, higher_is_better, parse, parse_all
from stylegan.metrics import FAMILIES, Record
from stylegan.model import find_device
from stylegan.networks.discriminators import AnyDiscriminator
from stylegan.networks.generator import Generator
from stylegan.runs import METRICS_FILE
from stylegan.sampling import Comparison, Progress
from stylegan.streams import Streams, published_for

Say = Callable[[str], None]


@dataclass(frozen=True)
class EvaluateConfig:
    """Settings of one evaluation."""

    model: str
    """Model folder, or user/name@revision of the Hub."""
    data: str
    """Folder or zip of the real pictures, as prepare writes them."""
    metrics: str = "swd"
    """Names of metrics, separated by commas: fid50k_full, kid5k_disc, swd ..."""
    detector: str = ""
    """A detector file (TorchScript) in place of the published ones."""
    mirror: bool = False
    """The model was trained with pictures flipped as well; count these as real."""
    num: int | None = None
    """Pictures, for metrics whose names tell no number; the metric's own number if not given."""
    seed: int = 0
    """Decides which real pictures, latents, labels and noise are taken."""
    batch: int = 16
    """Pictures generated at once."""
    device: str = "auto"
    """cpu, cuda, cuda:1 ...; auto takes a GPU where there is one."""
    save: bool = True
    """Write the numbers into metrics.json of the model folder."""


@dataclass(frozen=True)
class Measured:
    """What was found."""

    records: dict[str, Record] = field(default_factory=dict)
    """By metric; a metric can make several."""
    sheets: dict[str, np.ndarray] = field(default_factory=dict)
    """Pictures to look at by metric, uint8 [H, W, 3]."""

    def files(self) -> dict[str, bytes]:
        """The pictures as PNG, by file name."""
        return {f"{name}.png": _png(sheet) for name, sheet in self.sheets.items()}


def measure(
    generator: Generator,
    pictures: Pictures,
    names: Sequence[str] = ("swd",),
    num: int | None = None,
    seed: int = 0,
    batch: int = 16,
    progress: Progress | None = None,
    discriminator: Callable[[], AnyDiscriminator] | None = None,
    detector: str = "",
    group: Group = ALONE,
    say: Say = lambda words: None,
    each: Callable[[Measured], None] = lambda one: None,
) -> Measured:
    """Each named metric of a generator, on the device it is on, against the pictures.

    Of several processes each draws its share, and the first one has what was found. `each` is told
    of a metric as soon as it is known.
    """
    metrics = parse_all(names)
    check_fit(generator.config, pictures)
    if not 0 <= seed <= MAX_SEED:
        raise UserError(f"seed {seed} is outside 0 to {MAX_SEED}")
    if batch < 1 or (num is not None and num < 1):
        raise UserError(f"{'batch' if batch < 1 else 'num'} is not 1 or more")
    if num is not None and metrics and all(metric.n for metric in metrics):
        raise UserError(f"num is told by the name {metrics[0].name}; leave it out")
    comparison = Comparison(
        generator, pictures, num, seed, batch, progress, discriminator, detector, group, say
    )
    about = {"seed": seed, "data": pictures.name, "fingerprint": pictures.fingerprint}
    about |= {"mirror": True} if pictures.mirror else {}
    found = Measured()
    with Streams(comparison) as streams:
        for metric in metrics:  # before anything is drawn
            if metric.needs_file or metric.disc:
                streams.detector(metric)
        for metric in metrics:
            finish = FAMILIES[metric.family](streams, metric)
            if not group.is_first:
                continue
            one = Measured()
            for record in finish():
                sheet = record.pop("picture", None)
                if sheet is not None:
                    one.sheets[record["metric"]] = sheet
                better = "higher" if higher_is_better(record["metric"]) else "lower"
                one.records[record["metric"]] = _finite(record) | {"better": better} | about
            each(one)
            found.records.update(one.records)
            found.sheets.update(one.sheets)
    return found


def _finite(record: Record) -> Record:
    numbers = [x for x in record.values() if isinstance(x, float)]
    if not all(map(math.isfinite, numbers)):
        raise UserError(f"{record['metric']} is not finite: the features hold no numbers")
    return record


def available(names: Sequence[str], detector: str, say: Say) -> list[str]:
    """The metrics that can be measured here; it is said why others cannot, once for each file."""
    left, lost = [], {}
    for metric in parse_all(names):
        which = published_for(metric)
        if metric.needs_file and which not in lost:
            try:
                detectors.locate(which, detector, say)
            except FetchError as error:
                lost[which] = str(error)
                without = ", ".join(
                    x.name for x in parse_all(names) if x.needs_file and published_for(x) == which
                )
                say(f"goes on without {without}: {error}")
        if not (metric.needs_file and which in lost):
            left.append(metric.name)
    return left


def check_names(names: Sequence[str]) -> None:
    """Refuse a metric that is not there."""
    for name in names:
        parse(name)


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


def evaluate(
    config: EvaluateConfig,
    progress: Progress | None = None,
    say: Say = lambda words: None,
    each: Callable[[Measured], None] = lambda one: None,
) -> Measured:
    """Measure a model folder; keeping the numbers is `save`, for `each` or for all.

    Started by torchrun, several processes measure together, and the first one has what was found.
    """
    names = [name.strip() for name in config.metrics.split(",") if name.strip()]
    if not names:
        raise UserError(f"no metric is named; there are: {KNOWN}")
    check_names(names)
    with joined(find_device(config.device)) as (group, device):
        place = find_model(config.model)
        pictures = Pictures(config.data, mirror=config.mirror)

        def discriminator() -> AnyDiscriminator:
            if place.get(DISCRIMINATOR) is None:
                raise UserError(f"{config.model} has no {DISCRIMINATOR}, by which _disc sees")
            return load_discriminator(place.folder, device)

        return measure(
            load_generator(place.folder, device),
            pictures,
            names,
            config.num,
            config.seed,
            config.batch,
            progress,
            discriminator,
            config.detector,
            group,
            say if group.is_first else lambda words: None,
            each,
        )


def save(folder: str | Path, found: Measured) -> None:
    """Keep numbers and pictures in a model folder."""
    save_records(folder, list(found.records.values()))
    for name, content in found.files().items():
        with replacing_file(Path(folder) / name) as beside:
            beside.write_bytes(content)


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


KEY = ("metric", "fingerprint", "n", "seed", "mirror", "detector_hash")


def _key(record: Record) -> tuple:
    """What makes two measurements the same one, taken again."""
    return tuple(record.get(name) for name in KEY)


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


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()

"""Networks on disk: a model folder of config.json and safetensors, written whole, read strictly."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stylegan.atomic import replacing_file, replacing_folder
from stylegan.config import ConfigError, NetworkConfig, UserError, from_dict
from stylegan.fetch import HubError, HubId, Snapshot
from stylegan.networks.discriminators import AnyDiscriminator, discriminator_of
from stylegan.networks.encoder import Encoder, EncoderConfig
from stylegan.networks.generator import Generator

FORMAT = 1
CONFIG, GENERATOR, DISCRIMINATOR, ENCODER, DIRECTIONS = (
    "config.json",
    "generator.safetensors",
    "discriminator.safetensors",
    "encoder.safetensors",
    "directions.safetensors",
)

ENCODER_STATE = "encoder-state.safetensors"  # with which its training goes on; no part of a model
PICKLES = {".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".model", ".bin", ".npz", ".h5"}
MAX_CONFIG_BYTES = 1 << 20
MAX_DIRECTIONS_BYTES = 64 << 20
HEADER_BYTES = 1 << 20  # names and shapes in a file of weights
VALUE_BYTES = 8  # of the widest numbers that `load_strict` takes
CONTENT_DIGITS = 10
SHAPE_SETTINGS = (  # what decides the shapes of the tensors; later settings may be absent
    "resolution",
    "channels",
    "c_dim",
    "z_dim",
    "w_dim",
    "mapping_layers",
    "channel_base",
    "channel_max",
    "architecture",
)


class CheckpointError(UserError):
    """A model file or folder that cannot be used."""


# Tensors


def save_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file; `path` is either the old file or the whole new one."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing_file(path) as beside:
        beside.touch()
        mode = beside.stat().st_mode  # the user's own; the writer below would leave 0600
        try:
            save_file(plain, beside, metadata)
        except SafetensorError as error:
            raise OSError(f"cannot write {path}: {error}") from error
        beside.chmod(mode)


def load_tensors(path: str | Path, device: str | torch.device = "cpu") -> dict[str, Tensor]:
    """Read every tensor of a safetensors file."""
    path = _weights(path)
    try:
        return load_file(path, device=str(device))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or no safetensors file: {error}") from error


def tensor_shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes out of a safetensors file's header; no tensor is read."""
    path = _weights(path)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or no safetensors file: {error}") from error


def read_metadata(path: str | Path) -> dict[str, str]:
    """The texts in a safetensors file's header."""
    path = _weights(path)
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or no safetensors file: {error}") from error


def load_strict(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Copy `tensors` into the module's own; names, shapes and kinds agree and all is finite."""
    own = module.state_dict()
    _compare(_shapes(own), _shapes(tensors), where)
    for name, tensor in tensors.items():
        if tensor.dtype != own[name].dtype and not (
            tensor.is_floating_point() and own[name].is_floating_point()
        ):
            raise CheckpointError(f"{where}: {name} holds {tensor.dtype}, not {own[name].dtype}")
        if not math.isfinite(tensor.sum(dtype=torch.float64)):
            raise CheckpointError(f"{where}: {name} holds numbers that are not finite")
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _compare(
    ours: Mapping[str, tuple[int, ...]], theirs: Mapping[str, tuple[int, ...]], where: str
) -> None:
    missing = [name for name in ours if name not in theirs]
    unexpected = [name for name in theirs if name not in ours]
    mismatched = [
        f"{name} {list(theirs[name])} instead of {list(shape)}"
        for name, shape in ours.items()
        if name in theirs and theirs[name] != shape
    ]
    found = (("missing", missing), ("unexpected", unexpected), ("mismatched", mismatched))
    if differences := [f"{what} {_shortened(names)}" for what, names in found if names]:
        raise CheckpointError(f"{where} does not fit its network: {'; '.join(differences)}")


def _shortened(names: list[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _weights(path: str | Path) -> Path:
    """The path, if it can be a safetensors file."""
    path = Path(path)
    if path.suffix.lower() in PICKLES:
        raise CheckpointError(
            f"{path} is not safetensors; turn it into a model folder first: "
            f"python -m train import {path} DEST_DIR"
        )
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist")
    return path


# Directions


@dataclass(frozen=True)
class DirectionNote:
    """What is told of a direction beside its numbers."""

    label: str = ""
    """Its name for people; the plain name if empty."""
    method: str = ""
    """How it was found."""
    accuracy: float | None = None
    """Share of right answers on latents that a fit had not seen, both sides weighing alike."""
    rows: tuple[int, int] | None = None
    """First and last row of ws that it is meant for; all if none."""
    moves: dict[str, float] = field(default_factory=dict)
    """By how many of its standard deviations each attribute's score rises with a strength of 1."""

    def to_json(self) -> dict[str, Any]:
        """Without what was left at its default."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if value not in ("", None, {})}

    @classmethod
    def from_json(cls, values: Any, num_ws: int) -> DirectionNote:
        """Check what a file tells; ValueError where it is none of ours."""
        note = cls(**{**values, "rows": tuple(values["rows"]) if "rows" in values else None})
        numbers = [*note.moves.values(), *([] if note.accuracy is None else [note.accuracy])]
        if not (isinstance(note.label, str) and isinstance(note.method, str)):
            raise ValueError("a text is none")
        if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
            raise ValueError("a number is none")
        if note.rows is not None:
            first, last = note.rows
            if not (type(first) is type(last) is int and 0 <= first <= last < num_ws):
                raise ValueError(f"there are no rows {first} to {last}")
        return note


def save_directions(
    path: str | Path, steps: Mapping[str, Tensor], notes: Mapping[str, DirectionNote]
) -> None:
    """Write a directions.safetensors; the notes, in order, are JSON in its metadata."""
    told = {name: notes.get(name, DirectionNote()).to_json() for name in steps}
    save_tensors(path, steps, {"directions": json.dumps(told, allow_nan=False)})


def load_directions(
    path: str | Path, config: NetworkConfig
) -> tuple[dict[str, Tensor], dict[str, DirectionNote]]:
    """Steps float32 [w_dim] or [num_ws, w_dim] by name, and a note for each, in the file's order.

    A file without notes is in the order of the names.
    """
    steps = load_tensors(path)
    for name, step in steps.items():
        shapes = ((config.w_dim,), (config.num_ws, config.w_dim))
        if tuple(step.shape) not in shapes or not torch.isfinite(step).all():
            raise CheckpointError(
                f"{path}: {name} is not {config.w_dim}, or {config.num_ws} x {config.w_dim}, "
                "finite numbers"
            )
    with safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get("directions")
    try:
        told = json.loads(text) if text is not None else {name: {} for name in sorted(steps)}
        notes = {
            name: DirectionNote.from_json(values, config.num_ws) for name, values in told.items()
        }
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} has notes that cannot be read: {error}") from error
    if notes.keys() != steps.keys():
        raise CheckpointError(f"{path}: its notes name other directions than it holds")
    return {name: steps[name].float() for name in notes}, notes


# Model folders


@dataclass(frozen=True)
class Place:
    """Where a model folder lies, and how links name it."""

    folder: Path
    name: str
    """The folder's own, or user/name on the Hub."""
    revision: str
    """The commit on the Hub; else as `content`."""
    content: str
    """The revision of the weights alone, the same in any folder."""
    snapshot: Snapshot | None = None
    """Where further files come from, for a folder of the Hub."""
    most_bytes: int | None = None
    """Larger files of the Hub are refused."""

    def get(self, name: str) -> Path | None:
        """Where a further file is; one of the Hub comes now. None where it cannot be had."""
        if self.snapshot is None:
            path = self.folder / name
            return path if path.is_file() else None
        config, _ = read_config(self.folder)
        try:
            return _get(self.snapshot, name, config, self.most_bytes)
        except HubError:
            return None


def find_model(
    path_or_id: str | Path,
    further: Collection[str] = (DIRECTIONS,),
    cache: str | Path | None = None,
    most_bytes: int | None = None,
) -> Place:
    """A model folder here, or else user/name@revision of the Hub, fetched unless it is cached.

    Of the Hub's folder come config.json, the generator, and those of `further` that it has. A file
    larger than its network needs, or than `most_bytes`, is refused before it comes.
    """
    name, _, wanted = str(path_or_id).rpartition("@")
    folder = Path(path_or_id)
    hub = HubId.parse(str(path_or_id))
    if not folder.exists() and name and Path(name).is_dir():
        folder = Path(name)
    elif hub and isinstance(path_or_id, str) and not folder.exists():
        try:
            return _fetched(Snapshot(hub, cache), further, most_bytes)
        except HubError as error:
            if hub.revision:
                raise
            raise type(error)(f"{error}; nor is there such a folder here") from error
    else:
        wanted = ""
    read_config(folder)
    found = revision(folder)
    if not found.startswith(wanted):
        raise CheckpointError(f"{folder} is at revision {found}, not {wanted}")
    return Place(folder, folder.resolve().name, found, found)


def _fetched(snapshot: Snapshot, further: Collection[str], most_bytes: int | None) -> Place:
    """The files of a commit, the small one that tells how large the others are first."""
    path = snapshot.get(CONFIG, MAX_CONFIG_BYTES)
    if path is None:
        raise CheckpointError(f"{snapshot.wanted} is not a model of ours: it has no {CONFIG}")
    config, _ = read_config(path.parent)
    for name in (GENERATOR, *further):
        found = _get(snapshot, name, config, most_bytes)
        if found is None and name != DIRECTIONS:
            raise CheckpointError(f"{snapshot.id} has no {name}")
    hub, folder = snapshot.id, path.parent
    return Place(folder, hub.repo, hub.revision, revision(folder), snapshot, most_bytes)


def _get(
    snapshot: Snapshot, name: str, config: NetworkConfig, most_bytes: int | None
) -> Path | None:
    most = MAX_DIRECTIONS_BYTES if name == DIRECTIONS else most_weights_bytes(config)
    return snapshot.get(name, min(most, most_bytes or most))


def save_model(
    folder: str | Path,
    config: NetworkConfig,
    training: dict[str, Any],
    generator: nn.Module,
    discriminator: nn.Module | None = None,
    extra: Mapping[str, bytes] | None = None,
) -> None:
    """Write a model folder in one piece. It replaces a model folder of that name, with all in it.

    `training` is any JSON about how it was trained; `extra` maps further file names, such as
    samples.png, to their bytes. A folder that holds something else is refused.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / CONFIG).is_file() and any(_listing(folder)):
        raise CheckpointError(f"{folder} exists and is not a model folder; name another one")
    settings = {
        "format": FORMAT,
        "network": dataclasses.asdict(config),
        "training": training,
    }
    text = json.dumps(settings, indent=2, allow_nan=False) + "\n"
    with replacing_folder(folder) as beside:
        (beside / CONFIG).write_text(text, encoding="utf-8")
        save_tensors(beside / GENERATOR, generator.state_dict())
        if discriminator is not None:
            save_tensors(beside / DISCRIMINATOR, discriminator.state_dict())
        for name, data in (extra or {}).items():
            (beside / name).parent.mkdir(parents=True, exist_ok=True)
            (beside / name).write_bytes(data)


def read_config(folder: str | Path) -> tuple[NetworkConfig, dict[str, Any]]:
    """Check config.json and return its network settings and its training notes."""
    path = _folder(folder) / CONFIG
    settings = _read_json(path)
    version = settings.get("format")
    if type(version) is not int or version < 1:
        raise CheckpointError(f'{path} has no "format" number')
    if version > FORMAT:
        raise CheckpointError(
            f"{path} was made by a newer version (format {version}, this one reads up to {FORMAT})"
        )
    if unknown := sorted(set(settings) - {"format", "network", "training"}):
        raise CheckpointError(f"{path} has an unknown key: {_shortened(unknown)}")
    for key in ("network", "training"):
        if not isinstance(settings.get(key), dict):
            raise CheckpointError(f'{path} has no "{key}" object')
    network = settings["network"]
    if missing := [name for name in SHAPE_SETTINGS if name not in network]:
        raise CheckpointError(f"{path}: network lacks {_shortened(missing)}")
    try:
        return from_dict(NetworkConfig, network), settings["training"]
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error


def load_generator(folder: str | Path, device: str | torch.device = "cpu") -> Generator:
    """The generator of a model folder, in eval mode and without gradients."""
    return _load_network(Generator, folder, GENERATOR, device)


def load_discriminator(folder: str | Path, device: str | torch.device = "cpu") -> AnyDiscriminator:
    """The discriminator of a model folder, in eval mode and without gradients."""
    return _load_network(discriminator_of, folder, DISCRIMINATOR, device)


def save_encoder(folder: str | Path, encoder: Encoder) -> None:
    """Write encoder.safetensors into a model folder, with its settings and the generator's hash."""
    settings = {
        "format": FORMAT,
        "network": dataclasses.asdict(encoder.config),
        "generator": revision(folder),
    }
    tensors = {name: tensor.half() for name, tensor in encoder.state_dict().items()}
    metadata = {"settings": json.dumps(settings, allow_nan=False)}
    save_tensors(Path(folder) / ENCODER, tensors, metadata)


def load_encoder(folder: str | Path, device: str | torch.device = "cpu") -> Encoder:
    """The encoder of a model folder, in eval mode and without gradients."""
    path = _folder(folder) / ENCODER
    shapes = tensor_shapes(path)
    try:
        settings = json.loads(read_metadata(path).get("settings", ""))
        config = from_dict(EncoderConfig, settings["network"])
        made_for = settings["generator"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path} tells nothing of its settings") from error
    if made_for != revision(folder):
        raise CheckpointError(
            f"{path} was trained for another generator ({made_for}); train it again: "
            f"python -m train encoder --model {folder}"
        )
    with torch.device("meta"):
        _compare(_shapes(Encoder(config).state_dict()), shapes, str(path))
    with torch.random.fork_rng(devices=[]):  # first weights are drawn, and then overwritten
        encoder = Encoder(config)
    load_strict(encoder, load_tensors(path), str(path))
    return encoder.to(device).eval().requires_grad_(False)


def revision(folder: str | Path) -> str:
    """First 10 hex digits of the sha256 of generator.safetensors."""
    data = _weights(_folder(folder) / GENERATOR).read_bytes()
    return hashlib.sha256(data).hexdigest()[:CONTENT_DIGITS]


def _load_network(
    build: Callable[[NetworkConfig], nn.Module],
    folder: str | Path,
    name: str,
    device: str | torch.device,
) -> nn.Module:
    path = _folder(folder) / name
    config, _ = read_config(folder)
    shapes = tensor_shapes(path)
    if sum(map(math.prod, shapes.values())) < _least_weights(build, config):
        with torch.device("meta"):  # says what differs and allocates nothing, but is slow to load
            _compare(_shapes(build(config).state_dict()), shapes, str(path))
    with torch.random.fork_rng(devices=[]):  # first weights are drawn, and then overwritten
        module = build(config)
    load_strict(module, load_tensors(path), str(path))
    return module.to(device).eval().requires_grad_(False)


def _least_weights(build: Callable[[NetworkConfig], nn.Module], config: NetworkConfig) -> int:
    """Numbers that such a network holds at least: one 3x3 convolution a block, and the mapping."""
    mapping = (config.mapping_layers - 1) * config.w_dim**2 if build is Generator else 0
    return mapping + sum(9 * config.channels_at(r) ** 2 for r in config.resolutions)


def most_weights_bytes(config: NetworkConfig) -> int:
    """No file of such a generator or discriminator is larger, nor is it many times smaller; an
    encoder is smaller."""
    widest = {r: config.channels_at(max(4, r // 2)) for r in config.resolutions}
    blocks = sum(
        20 * c * c + 4 * c * (config.w_dim + config.channels + 2) + 2 * r * r
        for r, c in widest.items()
    )
    last = 26 * (config.channels_at(4) + 1) ** 2
    side = max(config.z_dim, config.w_dim, widest[4]) + 1
    mapping = (max(config.mapping_layers, 8) + 2) * side**2 + config.c_dim * side
    return VALUE_BYTES * (blocks + last + mapping) + HEADER_BYTES


def _folder(folder: str | Path) -> Path:
    folder = Path(folder)
    if folder.suffix.lower() in PICKLES and not folder.is_dir():
        _weights(folder)
    if folder.is_file():
        raise CheckpointError(f"{folder} is a file; give the model folder that holds it")
    if not folder.is_dir():
        raise CheckpointError(f"there is no model folder {folder}")
    return folder


def _listing(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else [folder]


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{path.parent} is not a model folder: it has no {path.name}")
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise CheckpointError(f"{path} is larger than {MAX_CONFIG_BYTES >> 20} MB")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    return value

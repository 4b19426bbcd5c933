"""Networks on disk: a model folder of config.json and safetensors, written whole, read strictly."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stylegan.atomic import replacing_folder
from stylegan.config import ConfigError, NetworkConfig, from_dict
from stylegan.direction_files import DIRECTIONS, MAX_DIRECTIONS_BYTES
from stylegan.fetch import HubError, HubId, Snapshot
from stylegan.networks.discriminators import AnyDiscriminator, discriminator_of
from stylegan.networks.encoder import Encoder, EncoderConfig
from stylegan.networks.generator import Generator
from stylegan.tensors import (
    HEADER_BYTES,
    PICKLES,
    VALUE_BYTES,
    CheckpointError,
    compare_shapes,
    load_strict,
    load_tensors,
    read_metadata,
    save_tensors,
    shapes_of,
    shortened,
    tensor_shapes,
    weights_file,
)

FORMAT = 1
CONFIG, GENERATOR, DISCRIMINATOR, ENCODER = (
    "config.json",
    "generator.safetensors",
    "discriminator.safetensors",
    "encoder.safetensors",
)
ENCODER_STATE = "encoder-state.safetensors"  # with which its training goes on; no part of a model
MAX_CONFIG_BYTES = 1 << 20
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
    if {"settings", "data"} <= set(settings):
        raise CheckpointError(f"{folder} is a run, not a model; its best one is {folder}/best")
    if unknown := sorted(set(settings) - {"format", "network", "training"}):
        raise CheckpointError(f"{path} has an unknown key: {shortened(unknown)}")
    for key in ("network", "training"):
        if not isinstance(settings.get(key), dict):
            raise CheckpointError(f'{path} has no "{key}" object')
    network = settings["network"]
    if missing := [name for name in SHAPE_SETTINGS if name not in network]:
        raise CheckpointError(f"{path}: network lacks {shortened(missing)}")
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
        compare_shapes(shapes_of(Encoder(config).state_dict()), shapes, str(path))
    with torch.random.fork_rng(devices=[]):  # first weights are drawn, and then overwritten
        encoder = Encoder(config)
    load_strict(encoder, load_tensors(path), str(path))
    return encoder.to(device).eval().requires_grad_(False)


def revision(folder: str | Path) -> str:
    """First 10 hex digits of the sha256 of generator.safetensors."""
    data = weights_file(_folder(folder) / GENERATOR).read_bytes()
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
            compare_shapes(shapes_of(build(config).state_dict()), shapes, str(path))
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
        weights_file(folder)
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

"""Starting from another model: what fits by name and shape is copied, the rest begins anew."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from stylegan.checkpoint import DISCRIMINATOR, GENERATOR, find_model, read_config
from stylegan.config import NetworkConfig, TrainConfig, UserError, from_dict
from stylegan.networks.discriminators import AnyDiscriminator
from stylegan.networks.generator import Generator
from stylegan.release import model_folder
from stylegan.tensors import CheckpointError, load_tensors

from .schedule import grown_kimg

ADA_KIMG = 100.0  # p moves five times as fast as in a run from nothing (arXiv 2006.06676, app. C)
OF_THE_DATA = ("resolution", "channels", "c_dim")
OF_THE_BATCH = ("mbstd_group",)
OUTCOMES = ("copied", "skipped", "missing", "mismatched")

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """What became of one tensor."""

    network: str
    name: str
    theirs: Shape | None
    ours: Shape | None

    @property
    def full_name(self) -> str:
        """Network and tensor."""
        return f"{self.network} {self.name}"

    @property
    def outcome(self) -> str:
        """copied; skipped: only the source has it; missing: only we have it; mismatched."""
        if self.ours is None:
            return "skipped"
        if self.theirs is None:
            return "missing"
        return "copied" if self.ours == self.theirs else "mismatched"

    @property
    def block(self) -> str:
        """Network and block that it is part of."""
        parts = self.name.split(".")
        return " ".join([self.network, *(parts[1:2] if parts[0] == "synthesis" else parts[:1])])

    def __str__(self) -> str:
        theirs, ours = ("-" if x is None else "x".join(map(str, x)) or "1" for x in self.shapes)
        return f"{self.outcome:<10}  {self.full_name}: {theirs} -> {ours}"

    @property
    def shapes(self) -> tuple[Shape | None, Shape | None]:
        """Of the source, and of ours."""
        return self.theirs, self.ours


@dataclass(frozen=True)
class Report:
    """What a run took from the model that it began with."""

    source: str
    """Name and revision of the model."""
    was: NetworkConfig
    now: NetworkConfig
    rows: list[Row]

    @property
    def anew(self) -> list[str]:
        """Tensors that the source could not give: network and name."""
        return [row.full_name for row in self.rows if row.outcome in OUTCOMES[2:]]

    def summary(self) -> str:
        """A table by blocks, and the names of what begins anew."""
        blocks: dict[str, Counter] = {}
        for row in self.rows:
            blocks.setdefault(row.block, Counter())[row.outcome] += 1
        width = max(map(len, blocks))
        lines = [f"began with {self.source}: {_kind(self.was)} -> {_kind(self.now)}"]
        lines.append(f"{'tensors':<{width}}" + "".join(f"{name:>12}" for name in OUTCOMES))
        for block, counts in blocks.items():
            cells = "".join(f"{counts[name] or '-':>12}" for name in OUTCOMES)
            lines.append(f"{block:<{width}}{cells}")
        new = [block for block, counts in blocks.items() if counts["missing"]]
        whole = [block for block in new if not blocks[block]["copied"]]
        inside = {row.full_name for row in self.rows if row.block in whole}
        single = [name for name in self.anew if name not in inside]
        if self.anew:
            lines.append("begin anew: " + ", ".join([*whole, *single]))
        return "\n".join(lines)

    def __str__(self) -> str:
        return "\n".join([self.summary(), "", *map(str, self.rows)]) + "\n"


def _kind(network: NetworkConfig) -> str:
    side = network.resolution
    colours = {1: "grey", 3: "RGB", 4: "RGBA"}[network.channels]
    classes = f", {network.c_dim} classes" if network.c_dim else ""
    return f"{side}x{side} {colours}{classes}"


# Settings


def like(config: TrainConfig, source: NetworkConfig) -> TrainConfig:
    """Settings for beginning with a model: its architecture, p quick to move, no EMA ramp.

    The size, channels and classes stay those of the data, groups those of the batch.
    """
    own = (*OF_THE_DATA, *OF_THE_BATCH)
    names = [f.name for f in dataclasses.fields(NetworkConfig) if f.name not in own]
    network = {name: getattr(source, name) for name in names}
    return dataclasses.replace(
        config,
        network=dataclasses.replace(config.network, **network),
        ada_kimg=ADA_KIMG,
        ema_ramp=None,
    )


def after_growth(config: TrainConfig, source: NetworkConfig) -> TrainConfig:
    """The same, with all growth behind it where the source has this size already."""
    if not (config.network.grows and source.resolution == config.network.resolution):
        return config
    return dataclasses.replace(config, start_kimg=grown_kimg(config))


def source_network(model: str, run_config: Path | None = None) -> NetworkConfig:
    """The source's network; that which a run noted, if it began with this model already."""
    try:
        if run_config is None:
            raise ValueError("a new run")
        settings = json.loads(run_config.read_text(encoding="utf-8"))["settings"]
        if settings["resume_from"] != model:
            raise ValueError("another model")
        return from_dict(NetworkConfig, settings["network"])
    except (OSError, ValueError, KeyError, TypeError):
        return read_config(find_model(_folder(model)).folder)[0]


def _folder(model: str) -> str:
    """A run folder stands for its best model."""
    folder = Path(model)
    return str(model_folder(folder)) if (folder / "models").is_dir() else model


# Weights


def start_from(
    model: str, generator: Generator, averaged: Generator, discriminator: AnyDiscriminator
) -> Report:
    """Copy into the networks what fits of a model: a folder, a run, or one of the Hub.

    Both generators begin with its averaged one. Raises CheckpointError where it has no
    discriminator, nothing fits, or a number is not finite.
    """
    place = find_model(_folder(model), (DISCRIMINATOR,))
    was, _ = read_config(place.folder)
    found = [
        ("generator", GENERATOR, (generator, averaged)),
        ("discriminator", DISCRIMINATOR, (discriminator,)),
    ]
    rows: list[Row] = []
    for name, file, networks in found:
        tensors = load_tensors(place.folder / file)
        for network in networks:
            of_one = copy_fitting(name, network, tensors)
        if not any(row.outcome == "copied" and row.name.endswith("weight") for row in of_one):
            raise CheckpointError(f"{model}: nothing of its {name} fits the network of this run")
        rows += of_one
    return Report(f"{place.name}@{place.revision}", was, generator.config, rows)


def copy_fitting(kind: str, network: nn.Module, tensors: Mapping[str, Tensor]) -> list[Row]:
    """Copy each tensor that has its like in the network; a row for all that either has.

    How far it has grown (lod) is no weight, and a matter of this run's own schedule.
    """
    own = network.state_dict()
    names = [*own, *(name for name in tensors if name not in own)]
    names = [name for name in names if name.rpartition(".")[2] != "lod"]
    rows = [
        Row(
            kind,
            name,
            tuple(tensors[name].shape) if name in tensors else None,
            tuple(own[name].shape) if name in own else None,
        )
        for name in names
    ]
    copied = [row.name for row in rows if row.outcome == "copied"]
    for name in copied:
        if not math.isfinite(tensors[name].sum(dtype=torch.float64)):
            raise CheckpointError(f"the source's {kind} {name} holds numbers that are not finite")
    with torch.no_grad():
        for name in copied:
            own[name].copy_(tensors[name])
    return rows


# What stays as it is


def first_layers(discriminator: AnyDiscriminator) -> list[nn.Module]:
    """Layers above 4x4 in the order in which a picture meets them: fromrgb, conv0, conv1, skip."""
    sides = reversed(discriminator.config.resolutions[1:])
    blocks = [getattr(discriminator, f"b{side}") for side in sides]
    layers = [layer for block in blocks for layer in block.children()]
    return [layer for layer in layers if next(layer.parameters(), None) is not None]


def frozen(
    config: TrainConfig, generator: Generator, discriminator: AnyDiscriminator
) -> dict[str, nn.Parameter]:
    """Parameters that are not trained, by network and name; Freeze-D is arXiv 2002.10964."""
    layers = first_layers(discriminator)
    if config.freeze_d > len(layers):
        raise UserError(
            f"freeze_d {config.freeze_d} is more than the {len(layers)} layers that the "
            "discriminator has above 4x4"
        )
    still = {id(param) for layer in layers[: config.freeze_d] for param in layer.parameters()}
    if config.freeze_mapping:
        still |= set(map(id, generator.mapping.parameters()))
    both = (("generator", generator), ("discriminator", discriminator))
    return {
        f"{kind} {name}": param
        for kind, network in both
        for name, param in network.named_parameters()
        if id(param) in still
    }

"""All that resuming needs, saved beside a running training and loaded exactly.

Two folders take turns, so that whatever happens while one is written the other is whole. Tensors
are safetensors, one file per part; the rest is state.json, written last.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stylegan.atomic import replacing_folder
from stylegan.config import TrainConfig
from stylegan.tensors import CheckpointError, load_strict, load_tensors, save_tensors

from .step import Trainer

FORMAT = 1
FOLDERS = ("state-A", "state-B")
NETWORKS = ("generator", "averaged", "discriminator")
ADAMS = {"adam_g": "generator", "adam_d": "discriminator"}
STATE = "state.json"


@dataclass
class Progress:
    """Where a run stands; grows with every step and is saved with it."""

    nimg: int = 0
    """Images seen."""
    tick: int = 0
    """Ticks finished."""
    tick_start_nimg: int = 0
    """Images seen when this tick began."""
    seconds: float = 0.0
    """Time spent training in all calls."""
    tick_seconds: float = 0.0
    """Of that, in this tick."""
    best: float = math.inf
    """Best value of the first metric so far, negative where higher is better."""
    best_by: str = ""
    """Which metric that was."""
    stats_bytes: int = 0
    """Length of stats.jsonl when this was saved."""
    alerts_bytes: int = 0
    """That of alerts.jsonl."""
    retries: int = 0
    """How often the run went back to a saved state; part of every draw."""

    @classmethod
    def beginning(cls, config: TrainConfig) -> Progress:
        """Of a new run; with a model to begin with, that many images seen already."""
        nimg = round(config.start_kimg * 1000)
        return cls(nimg=nimg, tick_start_nimg=nimg)


def save(run: Path, trainer: Trainer, progress: Progress) -> Path:
    """Write the state that is older into a fresh folder, whole or not at all."""
    target = run / _older(run)
    with replacing_folder(target) as beside:
        for name in NETWORKS:
            save_tensors(beside / f"{name}.safetensors", getattr(trainer, name).state_dict())
        for name, network in ADAMS.items():
            tensors = moments(getattr(trainer, name), getattr(trainer, network))
            save_tensors(beside / f"{name}.safetensors", tensors)
        (beside / STATE).write_text(json.dumps(_numbers(trainer, progress)), encoding="utf-8")
    return target


def load_latest(run: Path, trainer: Trainer) -> Progress | None:
    """Copy the newest whole state into the trainer; none where there is no state yet."""
    folders = sorted(_saved(run), key=lambda x: _age(x[1]), reverse=True)
    failure = None
    for folder, numbers in folders:
        try:
            _load(folder, numbers, trainer)
        except CheckpointError as error:  # damaged: the other one is older but whole
            failure = failure or error
            continue
        return Progress(**numbers["progress"])
    if failure:
        raise failure
    return None


def exists(run: Path) -> bool:
    """Whether there is a state to go on from."""
    return bool(_saved(run))


def _load(folder: Path, numbers: dict[str, Any], trainer: Trainer) -> None:
    parts = {n: load_tensors(folder / f"{n}.safetensors") for n in (*NETWORKS, *ADAMS)}
    for name in NETWORKS:
        load_strict(getattr(trainer, name), parts[name], f"{folder}/{name}.safetensors")
    for name, network in ADAMS.items():
        load_moments(getattr(trainer, name), getattr(trainer, network), parts[name])
    trainer.iteration = numbers["iteration"]
    trainer.p = numbers["p"]
    trainer.restore_signs(numbers["sign_sum"], numbers["sign_count"])
    trainer.pl_mean.fill_(numbers["pl_mean"])
    trainer.guard.restore(numbers.get("streak", 0))
    sums = numbers["tally"].items()
    trainer.tally.restore({k: torch.tensor(v, dtype=torch.float64) for k, v in sums})


def _numbers(trainer: Trainer, progress: Progress) -> dict[str, Any]:
    """What is no tensor; JSON keeps every bit of a float."""
    sign_sum, sign_count = trainer.signs()
    return {
        "format": FORMAT,
        "progress": dataclasses.asdict(progress),
        "iteration": trainer.iteration,
        "p": trainer.p,
        "sign_sum": sign_sum,
        "sign_count": sign_count,
        "pl_mean": trainer.pl_mean.item(),
        "streak": trainer.guard.streak,
        "tally": {name: sums.tolist() for name, sums in trainer.tally.sums().items()},
    }


def moments(adam: torch.optim.Adam, network: nn.Module) -> dict[str, Tensor]:
    """Adam's state by parameter name; empty before the first step."""
    return {
        f"{name}.{key}": value
        for name, param in network.named_parameters()
        for key, value in adam.state[param].items()
    }


def load_moments(adam: torch.optim.Adam, network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Copy into fresh tensors laid out like the parameters, as Adam itself makes them."""
    adam.state.clear()
    for name, param in network.named_parameters():
        state = {}
        for key in ("exp_avg", "exp_avg_sq"):
            if (value := tensors.get(f"{name}.{key}")) is not None:
                state[key] = torch.empty_like(param).copy_(value)
        if state:
            place = param.device if adam.defaults["fused"] else "cpu"
            state["step"] = tensors[f"{name}.step"].to(place, copy=True)
            adam.state[param] = state


def _saved(run: Path) -> list[tuple[Path, dict[str, Any]]]:
    """State folders whose state.json can be read."""
    found = []
    for folder in (run / name for name in FOLDERS):
        try:
            numbers = json.loads((folder / STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if numbers.get("format") != FORMAT:
            raise CheckpointError(f"{folder} was made by another version; this one cannot go on")
        found.append((folder, numbers))
    return found


def _older(run: Path) -> str:
    saved = {folder.name: _age(numbers) for folder, numbers in _saved(run)}
    return min(FOLDERS, key=lambda name: saved.get(name, (-1, -1)))


def _age(numbers: dict[str, Any]) -> tuple[int, int]:
    """The newer of two states is the larger: a run that went back has tried more often."""
    progress = numbers["progress"]
    return progress.get("retries", 0), progress["nimg"]

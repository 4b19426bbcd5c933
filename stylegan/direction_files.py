"""Directions on disk: the steps in w of a model folder, and what is told of each."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from stylegan.config import NetworkConfig
from stylegan.tensors import CheckpointError, load_tensors, save_tensors

DIRECTIONS = "directions.safetensors"
MAX_DIRECTIONS_BYTES = 64 << 20


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

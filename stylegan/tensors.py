"""Tensors on disk: safetensors, written whole and read strictly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stylegan.atomic import replacing_file
from stylegan.config import UserError

PICKLES = {".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".model", ".bin", ".npz", ".h5"}
VALUE_BYTES = 8  # of the widest numbers that `load_strict` takes
HEADER_BYTES = 1 << 20  # names and shapes in a file of weights


class CheckpointError(UserError):
    """A model file or folder that cannot be used."""


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


def load_tensors(path: str | Path) -> dict[str, Tensor]:
    """Read every tensor of a safetensors file, to the CPU."""
    path = weights_file(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or no safetensors file: {error}") from error


def tensor_shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes out of a safetensors file's header; no tensor is read."""
    path = weights_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or no safetensors file: {error}") from error


def read_metadata(path: str | Path) -> dict[str, str]:
    """The texts in a safetensors file's header."""
    path = weights_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or no safetensors file: {error}") from error


def load_strict(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Copy `tensors` into the module's own; names, shapes and kinds agree and all is finite."""
    own = module.state_dict()
    compare_shapes(shapes_of(own), shapes_of(tensors), where)
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


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def compare_shapes(
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
    if differences := [f"{what} {shortened(names)}" for what, names in found if names]:
        raise CheckpointError(f"{where} does not fit its network: {'; '.join(differences)}")


def shortened(names: list[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def weights_file(path: str | Path) -> Path:
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

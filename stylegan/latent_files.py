"""Latents as files: our own safetensors, and projected_w.npz as the field's tools write it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stylegan.atomic import replacing_file
from stylegan.config import UserError
from stylegan.query import MAX_LATENT
from stylegan.tensors import load_tensors, save_tensors

KEY = "w"
SUFFIXES = (".npz", ".safetensors")
MAX_BYTES = 8 * MAX_LATENT + 4096  # of one latent in double precision, with its header


class LatentError(UserError):
    """A latent's file that cannot be used."""


def read_latent(path: str | Path) -> Tensor:
    """The w [1, w_dim] or w+ [num_ws, w_dim] of a .npz or .safetensors file, float32.

    Nothing in it is executed: arrays of objects are refused.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise LatentError(f"latents are read from {' and '.join(SUFFIXES)}, not from {path.name}")
    if not path.is_file():
        raise LatentError(f"{path} does not exist")
    values = _read_npz(path) if path.suffix.lower() == ".npz" else _read_safetensors(path)
    if values.ndim == 3 and len(values) != 1:
        raise LatentError(f"{path} holds {len(values)} latents; give a file of one")
    if values.ndim not in (1, 2, 3) or not 0 < values.numel() <= MAX_LATENT:
        raise LatentError(f"{path}: an array of shape {list(values.shape)} is no latent")
    if not torch.isfinite(values).all():
        raise LatentError(f"{path} holds numbers that are not finite")
    return values.reshape(-1, values.shape[-1])


def write_latent(path: str | Path, w: Tensor, recipe: str) -> None:
    """Write w [rows, w_dim] as safetensors, with the text of its recipe."""
    save_tensors(path, {KEY: w}, {"stylegan-recipe": recipe})


def write_npz(path: str | Path, ws: Tensor) -> None:
    """Write ws [num_ws, w_dim] as the field's tools do: w, float32 [1, num_ws, w_dim]."""
    with replacing_file(path) as beside, beside.open("wb") as file:
        np.savez(file, **{KEY: ws[None].float().cpu().numpy()})


def _read_npz(path: Path) -> Tensor:
    try:
        with zipfile.ZipFile(path) as files:
            sizes = {entry.filename: entry.file_size for entry in files.infolist()}
        if f"{KEY}.npy" not in sizes:
            raise LatentError(f'{path} has no array "{KEY}"')
        if sizes[f"{KEY}.npy"] > MAX_BYTES:
            raise LatentError(f"{path} holds more than one latent's numbers")
        with np.load(path, allow_pickle=False) as arrays:
            values = arrays[KEY]
        return torch.from_numpy(np.asarray(values, np.float32))
    except LatentError:
        raise
    except Exception as error:  # zip and array readers raise anything on damaged files
        raise LatentError(f"{path} is damaged or no .npz file of numbers") from error


def _read_safetensors(path: Path) -> Tensor:
    if path.stat().st_size > MAX_BYTES + (1 << 20):
        raise LatentError(f"{path} holds more than one latent's numbers")
    tensors = load_tensors(path)
    if KEY not in tensors:
        raise LatentError(f'{path} has no tensor "{KEY}"')
    return tensors[KEY].float()

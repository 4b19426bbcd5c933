"""Every draw is a pure function of (run seed, stream, images seen): no generator is saved."""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def seed_for(seed: int, stream: str, nimg: int) -> int:
    """63 bits out of the triple; the same on every machine and in every version."""
    text = f"{seed}/{stream}/{nimg}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def seed_after(seed: int, retries: int) -> int:
    """The run's seed once it had to go back so often; 32 bits."""
    return seed_for(seed, "retry", retries) % 2**32 if retries else seed


def generator(
    seed: int, stream: str, nimg: int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """A torch generator; one on the CPU gives the same draws whatever the networks run on."""
    return torch.Generator(device).manual_seed(seed_for(seed, stream, nimg))


def numpy_generator(seed: int, stream: str, nimg: int) -> np.random.Generator:
    """The like for numpy."""
    return np.random.Generator(np.random.PCG64(seed_for(seed, stream, nimg)))

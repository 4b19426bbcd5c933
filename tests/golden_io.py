"""Recorded outputs of reference programs: numbers, settings, and the comparison at a tolerance."""

import json
from pathlib import Path

import torch
from safetensors import safe_open

GOLDEN = Path(__file__).parent / "golden"


class Golden:
    """One recorded file: `.config`, tensors by name, `.params(prefix)` as a state dict."""

    def __init__(self, name: str) -> None:
        with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
            self.meta = file.metadata()
            self.tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
        self.config = json.loads(self.meta["config"])

    def __getitem__(self, key: str) -> torch.Tensor:
        return self.tensors[key]

    def __contains__(self, key: str) -> bool:
        return key in self.tensors

    def get(self, key: str) -> torch.Tensor | None:
        return self.tensors.get(key)

    def params(self, prefix: str = "") -> dict[str, torch.Tensor]:
        start = f"param.{prefix}"
        return {k[len(start) :]: v for k, v in self.tensors.items() if k.startswith(start)}


def assert_close(actual: torch.Tensor, expected: torch.Tensor, tol: float = 3e-5) -> None:
    """|actual - expected| <= tol * max|expected|, entry by entry."""
    assert actual.shape == expected.shape
    error = (actual.double() - expected.double()).abs().max().item()
    bound = tol * expected.abs().max().item()
    assert error <= bound, f"differs by {error:.3g}, allowed {bound:.3g}"

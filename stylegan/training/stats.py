"""Numbers of a tick: count, mean and deviation of everything that was reported."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stylegan.distributed import ALONE, Group


class Tally:
    """Count, sum and sum of squares by name, in float64; values wait on their device until read.

    Of several processes each adds its own values, equally often; reading is done by all at once,
    and gives the sums over all of them.
    """

    def __init__(self, group: Group = ALONE) -> None:
        self.group = group
        self._sums: dict[str, Tensor] = {}
        self._waiting: dict[str, list[Tensor]] = {}

    def add(self, name: str, values: Tensor | float) -> None:
        """Report values of any shape."""
        values = torch.as_tensor(values).detach().flatten()
        self._waiting.setdefault(name, []).append(values)

    def sums(self) -> dict[str, Tensor]:
        """Name -> [count, sum, sum of squares]; what a saved state holds."""
        entries = [(name, v) for name in sorted(self._waiting) for v in self._waiting[name]]
        if not entries:  # in all processes alike
            return self._sums
        new = torch.zeros(len(entries), 3, dtype=torch.float64)
        for row, (_, values) in zip(new, entries, strict=True):
            v = values.cpu().double()
            row[:] = torch.stack([torch.tensor(float(v.numel())), v.sum(), v.square().sum()])
        for row, (name, _) in zip(self.group.sum_(new), entries, strict=True):
            self._sums.setdefault(name, torch.zeros(3, dtype=torch.float64)).add_(row)
        self._waiting.clear()
        return self._sums

    def restore(self, sums: dict[str, Tensor]) -> None:
        """Go on from `sums()` of an interrupted tick."""
        self._waiting.clear()
        self._sums = {name: s.clone() for name, s in sums.items()}

    def finish(self) -> dict[str, dict[str, float | None]]:
        """Name -> {num, mean, std} for a line of JSON, and begin anew; None where not finite."""
        out = {name: _summary(*sums.tolist()) for name, sums in self.sums().items()}
        self._sums = {}
        return out


def _summary(num: float, total: float, squares: float) -> dict[str, float | None]:
    mean = total / num
    std = math.sqrt(max(squares / num - mean**2, 0)) if math.isfinite(mean) else math.nan
    return {"num": int(num), "mean": _finite(mean), "std": _finite(std)}


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None

"""Numbers that are not finite are counted, and noticed before they do harm."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .stats import Tally

STREAK = 3  # steps running with gradients that are not finite
MOST_RETRIES = 3
PHASE_STRIDE = 1 << 40  # a place: phase times this, plus the index in its gradients
NOWHERE = -1

Layout = Sequence[tuple[str, int]]
"""Name and size of each tensor, in the order in which they stand in a row."""


class Trouble(Exception):
    """Numbers are not finite; the text says which."""


class Guard:
    """Counts what is not finite on the device, without waiting for it; `check` waits."""

    def __init__(self, device: torch.device, tally: Tally, counts: bool = True) -> None:
        """Only a process that `counts` reports: all processes of a run see the same numbers."""
        self.device, self.tally, self.counts = device, tally, counts
        self._layouts: dict[str, Layout] = {}
        self.restore(0)

    def restore(self, streak: int) -> None:
        """Forget all but how many steps running had gradients that were not finite."""
        self._streak, self._longest = self._number(streak), self._number(streak)
        self._gradient, self._loss = self._number(NOWHERE), self._number(NOWHERE)
        self._bad = torch.zeros([], dtype=torch.bool, device=self.device)

    @property
    def streak(self) -> int:
        """Steps running, up to now, with gradients that were not finite."""
        return int(self._streak.item())

    def see(self, phase: str, gradients: Tensor, loss: Tensor, layout: Layout) -> None:
        """Look at a phase's gradients in a row [P], and its loss []."""
        self._layouts.setdefault(phase, layout)
        place = list(self._layouts).index(phase)
        bad = gradients - gradients != 0  # what isfinite says, several times as fast
        count = bad.count_nonzero()
        self.tally.add(f"Guards/nonfinite/{phase}", count.reshape(1)[: int(self.counts)])
        first = place * PHASE_STRIDE + bad.view(torch.uint8).argmax()
        begins = (self._streak == 0) | (self._gradient == NOWHERE)
        new = (count > 0) & ~self._bad & begins
        self._gradient = torch.where(new, first, self._gradient)
        self._bad = self._bad | (count > 0)
        lost = ~loss.isfinite() & (self._loss == NOWHERE)
        self._loss = torch.where(lost, self._number(place), self._loss)

    def end_step(self) -> None:
        """All phases of a step have been seen."""
        self._streak = torch.where(self._bad, self._streak + 1, 0)
        self._longest = torch.maximum(self._longest, self._streak)
        self._bad = torch.zeros_like(self._bad)

    def check(self) -> None:
        """Raise Trouble if a loss was not finite, or gradients for too many steps running."""
        longest, gradient, loss = torch.stack(
            [self._longest, self._gradient, self._loss]
        ).tolist()  # the one wait
        if loss != NOWHERE:
            seen = "" if gradient == NOWHERE else f", first seen in {self._name(gradient)}"
            raise Trouble(f"the loss of {list(self._layouts)[loss]} is not finite{seen}")
        if longest >= STREAK:
            raise Trouble(
                f"for {STREAK} steps running gradients were not finite, first seen in "
                f"{self._name(gradient)}"
            )

    def _name(self, place: int) -> str:
        phase = list(self._layouts)[place // PHASE_STRIDE]
        index = place % PHASE_STRIDE
        for name, size in self._layouts[phase]:
            if index < size:
                return f"the gradient of {name} in {phase}"
            index -= size
        raise IndexError(place)

    def _number(self, value: int) -> Tensor:
        return torch.tensor(value, dtype=torch.int64, device=self.device)

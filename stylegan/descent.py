"""L-BFGS as a generator, so that one can watch it, and stop it, between two evaluations."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

HISTORY = 20  # steps that the curvature is known from
ENOUGH = 1e-4  # share of the promised descent that a step must keep (Armijo)
SHORTEST = 1e-9  # step, as a share of the direction, at which a search gives up
CURVED = 1e-10  # least curvature along a step that is remembered, as a share of |y|²


def lbfgs(evaluate: Callable[[Tensor], tuple[float, Tensor]], x: Tensor) -> Iterator[None]:
    """Minimise from x on, yielding after each evaluation; ends where no step leads further down.

    `evaluate` gives value and gradient at a point. Nocedal and Wright, Numerical Optimization
    (2006), algorithms 7.4 and 7.5, with a backtracking search in place of Wolfe's conditions.
    """
    value, slope = evaluate(x)
    yield
    steps: deque[tuple[Tensor, Tensor]] = deque(maxlen=HISTORY)
    while bool(slope.any()):
        direction = -_product(steps, slope)
        promised = float((slope * direction).sum())
        length = 1.0 if steps else min(1.0, 1 / float(slope.norm()))
        while True:
            there = x + length * direction
            found, slope_there = evaluate(there)
            yield
            if found <= value + ENOUGH * length * promised:
                break
            # To the minimum of the parabola through both values and the slope, within bounds
            least = -length * promised / 2 / (found - value - length * promised)
            length *= min(0.5, max(0.1, least))
            if not length > SHORTEST:
                return
        step, change = there - x, slope_there - slope
        if float((step * change).sum()) > CURVED * float(change.square().sum()):
            steps.append((step, change))
        x, value, slope = there, found, slope_there


def _product(steps: deque[tuple[Tensor, Tensor]], slope: Tensor) -> Tensor:
    """The inverse Hessian, as far as steps and changes of slope tell, times the slope."""
    q, shares = slope, []
    for s, y in reversed(steps):
        shares.append((s * q).sum() / (s * y).sum())
        q = q - shares[-1] * y
    if steps:
        s, y = steps[-1]
        q = q * ((s * y).sum() / y.square().sum())
    for (s, y), share in zip(steps, reversed(shares), strict=True):
        q = q + (share - (y * q).sum() / (s * y).sum()) * s
    return torch.nan_to_num(q)

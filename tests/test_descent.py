import math

import pytest
import torch
from scipy.optimize import minimize, rosen, rosen_der

from stylegan.descent import lbfgs


def descend(value, x, most):
    """Values after each evaluation, and the best point."""
    seen = []

    def evaluate(at):
        at = at.detach().requires_grad_()
        found = value(at)
        seen.append((float(found.detach()), at.detach()))
        return seen[-1][0], torch.autograd.grad(found, at)[0]

    for _ in lbfgs(evaluate, x):
        if len(seen) == most:
            break
    return [v for v, _ in seen], min(seen, key=lambda pair: pair[0])[1]


def test_a_long_valley_is_gone_through_as_fast_as_by_scipy():
    def valley(x):
        return (100 * (x[1:] - x[:-1].square()).square() + (1 - x[:-1]).square()).sum()

    start = torch.zeros(8, dtype=torch.float64)
    values, best = descend(valley, start, 200)
    torch.testing.assert_close(best, torch.ones(8, dtype=torch.float64), atol=1e-5, rtol=0)
    theirs = minimize(rosen, start.numpy(), jac=rosen_der, method="L-BFGS-B", tol=1e-14)
    ours = next(i for i, v in enumerate(values) if v < 1e-10)
    assert ours < 2 * theirs.nfev


def test_every_evaluation_is_seen_and_it_ends_at_the_bottom():
    values, best = descend(lambda x: (x - 3).square().sum(), torch.zeros(2, 5), 1000)
    assert values[0] == 90 and values[-1] < 1e-9 and len(values) < 20
    torch.testing.assert_close(best, torch.full((2, 5), 3.0))
    flat, _ = descend(lambda x: (x * 0).sum(), torch.ones(3), 1000)
    assert flat == [0.0]


@pytest.mark.parametrize("cliff", [math.inf, math.nan])
def test_it_turns_back_from_where_nothing_is_defined(cliff):
    def value(x):
        return x.sum() * cliff if x.abs().max() > 1.5 else (x - 1).square().sum()

    values, best = descend(value, torch.full((3,), -1.4), 200)
    torch.testing.assert_close(best, torch.ones(3), atol=1e-3, rtol=0)
    assert len(values) < 200

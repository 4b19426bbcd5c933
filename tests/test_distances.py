"""Distances of features against recorded numbers, scipy, plain loops, and what theory says."""

import numpy as np
import pytest
import torch
from golden_io import Golden, assert_close
from scipy import linalg, stats

from stylegan import distances
from stylegan.distances import (
    Moments,
    blocks,
    fid,
    inception_score,
    kid,
    kid_subsets,
    moments,
    neighbour_distances,
    path_length,
    precision_recall,
)
from stylegan.latents import slerp

GOLDEN = Golden("metric_features")
REAL, FAKE, PROBS = (
    GOLDEN[f"in.{name}"].numpy() for name in ("real_features", "fake_features", "probs")
)


@pytest.fixture(params=[7, 4096])
def rows_at_once(request, monkeypatch):
    monkeypatch.setattr(distances, "_ROWS_AT_ONCE", request.param)


def expected(name: str) -> np.ndarray:
    return GOLDEN[f"out.{name}"].numpy()


def test_moments_and_fid_are_the_recorded_ones(rows_at_once):
    real, fake = (moments(blocks(x)) for x in (REAL, FAKE))
    for found, name in ((real, "real"), (fake, "fake")):
        assert np.allclose(found.mean, expected(f"mean_{name}"), rtol=0, atol=1e-12)
        assert np.allclose(found.cov, expected(f"cov_{name}"), rtol=0, atol=1e-12)
    assert fid(real, fake) == pytest.approx(float(expected("fid")), rel=1e-10)


def test_rows_can_be_chosen(rows_at_once):
    chosen = np.array([5, 3, 200, 8] * 5)
    found, plain = moments(blocks(REAL, chosen)), moments([REAL[chosen]])
    assert np.allclose(found.mean, plain.mean) and np.allclose(found.cov, plain.cov)


@pytest.mark.parametrize("n", [200, 20], ids=["more pictures than features", "fewer"])
def test_fid_is_that_of_scipys_root(n):
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(2, 32, 32))
    a, b = (moments([rng.normal(size=(n, 32)) @ m + i]) for i, m in enumerate(mixed))
    root = linalg.sqrtm(a.cov @ b.cov).real
    slow = np.square(a.mean - b.mean).sum() + np.trace(a.cov + b.cov - 2 * root)
    # scipy's own root of a singular product is good to some 1e-7
    assert fid(a, b) == pytest.approx(slow, rel=1e-10 if n > 32 else 1e-5)
    assert fid(a, b) == pytest.approx(fid(b, a), rel=1e-9)
    assert fid(a, a) == pytest.approx(0, abs=1e-6)


def test_fid_of_known_gaussians():
    """Samples of two Gaussians, time and again: their mean meets theory within its error.

    Of two samples the covariances are estimates, and the distance is larger than that of the
    Gaussians; for n >> D the excess falls as 1 / n, and two sizes tell what it is at none.
    """
    rng = np.random.default_rng(1)
    d, n, times = 4, 2000, 60
    scales = np.linspace(0.5, 2, d)
    true = Moments(np.zeros(d), np.eye(d)), Moments(np.full(d, 0.3), np.diag(scales**2))
    analytic = d * 0.3**2 + np.square(scales - 1).sum()
    assert fid(*true) == pytest.approx(analytic, rel=1e-12)

    def once() -> tuple[float, float]:
        a, b = rng.normal(size=(n, d)), 0.3 + rng.normal(size=(n, d)) * scales
        whole = fid(moments([a]), moments([b]))
        halves = [fid(moments([a[i]]), moments([b[i]])) for i in (slice(n // 2), slice(n // 2, n))]
        return whole, 2 * whole - np.mean(halves)

    plain, extrapolated = np.array([once() for _ in range(times)]).T
    error = extrapolated.std(ddof=1) / np.sqrt(times)
    assert abs(extrapolated.mean() - analytic) < 3 * error
    assert error < 0.02 * analytic
    assert plain.mean() > extrapolated.mean()


def test_kid_is_the_recorded_one():
    config = GOLDEN.config["kid"]
    stored = zip(expected("kid0_real_idx"), expected("kid0_fake_idx"), strict=True)
    assert kid(REAL, FAKE, stored)[0] == pytest.approx(float(expected("kid0")), rel=3e-6)
    for which in (1, 2):
        draws = np.random.RandomState(config[which]["seed"])
        size = min(len(REAL), len(FAKE), config[which]["max_subset_size"])

        def pick(count, draws=draws, size=size):
            return draws.choice(count, size, replace=False)

        fakes_first = ((pick(len(FAKE)), pick(len(REAL))) for _ in range(100))
        subsets = ((real, fake) for fake, real in fakes_first)
        found = kid(REAL, FAKE, subsets)[0]
        assert found == pytest.approx(float(expected(f"kid{which}")), rel=3e-6)


def test_kid_has_no_bias_and_says_how_noisy_it_is():
    rng = np.random.default_rng(2)
    sets = [rng.normal(size=(2, 120, 8)).astype(np.float32) for _ in range(30)]
    found = [kid(a, b, kid_subsets(120, 120, 0))[0] for a, b in sets]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))
    value, error = kid(REAL, FAKE, kid_subsets(300, 280, 0, most=100))
    assert abs(value - float(expected("kid2"))) < 5 * error
    assert value == kid(REAL, FAKE, kid_subsets(300, 280, 0, most=100))[0]
    assert value != kid(REAL, FAKE, kid_subsets(300, 280, 1, most=100))[0]


@pytest.mark.parametrize("shift", [0, 0.3], ids=["alike", "apart"])
@pytest.mark.parametrize(
    ("real", "fake", "most", "times"),
    [(300, 300, 1000, 60), (300, 3000, 1000, 15), (1200, 1500, 100, 20), (4, 4, 1000, 500)],
    ids=["whole sets", "all reals", "parts of both", "fewest"],
)
def test_the_error_of_kid_is_the_spread_between_independent_sets(real, fake, most, times, shift):
    rng = np.random.default_rng(5)
    pairs = ((rng.normal(size=(n, 8)) for n in (real, fake)) for _ in range(times))
    found = [
        kid(np.float32(a), np.float32(b + shift), kid_subsets(real, fake, 0, most))
        for a, b in pairs
    ]
    values, errors = np.array(found).T
    assert 1 / 1.5 < np.sqrt(np.square(errors).mean()) / values.std(ddof=1) < 1.5


def test_mirror_images_do_not_make_kid_surer():
    """Here of pictures that look the same mirrored, where they tell nothing new at all."""
    rng, found = np.random.default_rng(6), []
    everything = [(np.arange(300), np.arange(900))]
    for _ in range(60):
        a, fakes = rng.normal(size=(150, 8)), np.float32(0.3 + rng.normal(size=(900, 8)))
        reals = np.float32([*a, *a])
        taken_for_new = kid(reals, fakes, everything)[1]
        found.append([*kid(reals, fakes, everything, originals=150), taken_for_new])
    values, errors, too_small = np.array(found).T
    spread = values.std(ddof=1)
    assert 1 / 1.3 < errors.mean() / spread < 1.3 and too_small.mean() < 0.85 * spread


def test_kid_of_what_does_not_vary_has_no_error():
    same = np.ones((10, 8), np.float32)
    assert kid(same, same, kid_subsets(10, 10, 0)) == (0, 0)
    value, error = kid(
        np.float32(np.random.default_rng(0).normal(size=(20, 8))), same, kid_subsets(20, 10, 0)
    )
    assert value > 0 and error > 0


def test_kid_subsets_are_as_many_on_both_sides():
    subsets = list(kid_subsets(50, 30, 0, most=40))
    assert len(subsets) == 100
    for real, fake in subsets:
        assert len(set(real)) == len(set(fake)) == 30 and max(real) < 50


def test_whole_sets_are_looked_at_once(monkeypatch):
    looked, side = [], distances._side
    monkeypatch.setattr(distances, "_side", lambda x: looked.append(len(x)) or side(x))
    assert len(list(kid_subsets(30, 30, 0))) == 1 and len(list(kid_subsets(30, 30, 0, 20))) == 100
    kid(REAL, FAKE[:30], kid_subsets(len(REAL), 30, 0))
    assert len(looked) == 101  # parts of the reals, and the fakes
    every = [(REAL[np.random.default_rng(i).permutation(30)], FAKE[:30]) for i in range(3)]
    found = [kid(a, b, kid_subsets(30, 30, i)) for i, (a, b) in enumerate(every)]
    assert np.allclose(found, found[0], rtol=1e-4), "neither order nor seed tells"


def test_precision_and_recall_are_the_recorded_ones(rows_at_once):
    assert np.allclose(precision_recall(REAL, FAKE), expected("pr_k3_float32"), atol=1e-7)
    for x, name in ((REAL, "real"), (FAKE, "fake")):
        radius = torch.from_numpy(neighbour_distances(x, x, 4)[:, 3])
        assert_close(radius, GOLDEN[f"out.pr_k3_radius_{name}"])


def test_precision_and_recall_see_what_they_are_for():
    rng = np.random.default_rng(3)
    wide = rng.normal(size=(400, 4)).astype(np.float32)
    narrow, far = wide[:200] * 0.1, wide[:200] + 100
    high, low = precision_recall(wide, narrow)
    assert high > 0.95 and low < 0.2
    assert precision_recall(wide, far) == (0, 0)
    assert min(precision_recall(wide[:200], wide[200:])) > 0.6


def test_inception_score_is_the_recorded_one():
    for splits in (1, 10):
        found = np.array(inception_score(PROBS, splits))
        assert np.allclose(found, expected(f"is_splits{splits}"), rtol=3e-6, atol=1e-9)
    assert inception_score(np.eye(10, dtype=np.float32).repeat(5, 0), 1)[0] == pytest.approx(10)


def test_path_length_leaves_the_ends_out():
    lengths = np.random.default_rng(4).exponential(size=1000).astype(np.float32)
    inner = np.sort(lengths)[9:991]  # positions 9.99 and 989.01 among 0 .. 999, rounded outwards
    assert path_length(lengths) == pytest.approx(inner.mean(), rel=1e-6)
    assert path_length(np.float32([3.0])) == 3
    trimmed = stats.trim_mean(lengths, 0.01)
    assert path_length(lengths) == pytest.approx(trimmed, rel=2e-2)


def test_paths_through_z_are_the_recorded_ones():
    """The reference brings the points to length 1, which the mapping does as well."""
    a, b = (torch.from_numpy(x[:4]) for x in (REAL, FAKE))
    unit = [x / x.norm(dim=-1, keepdim=True) for x in (a, b)]
    assert_close(slerp(*unit, 0.3), GOLDEN["out.ppl_slerp_first4_t0.3"])

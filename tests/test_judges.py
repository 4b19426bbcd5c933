import numpy as np
import pytest
import torch
from training_data import write_pictures

from stylegan import judges
from stylegan.attributes import Labels, TableError, parse_attribute
from stylegan.data import Pictures
from stylegan.judges import AttributeNetwork, learn

N, GROUPS = 72, 24


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(judges, "EPOCHS", 12)


def labelled(tmp_path, *columns, groups=None):
    """Pictures of discs, and values of them that the columns say."""
    pictures = Pictures(write_pictures(tmp_path / "data.zip", N))
    attributes = tuple(parse_attribute(f"a{i}=column{i}") for i in range(len(columns)))
    groups = np.arange(N) % GROUPS if groups is None else groups
    values = np.stack([column(pictures) for column in columns], axis=1)
    return pictures, Labels(attributes, np.arange(N), values, groups)


def redness(pictures):
    """Of each picture: mean red less mean green."""
    images = pictures.images(range(N)).double()
    return (images[:, 0] - images[:, 1]).mean(dim=(1, 2)).numpy()


def red(pictures):
    return (redness(pictures) > np.median(redness(pictures))).astype(float)


def coin(pictures):
    return (np.random.RandomState(3).rand(N) > 0.5).astype(float)


def from_0_to_1(pictures):
    ranks = redness(pictures).argsort().argsort()
    return ranks / (N - 1)


def test_what_can_be_seen_is_learned_and_what_cannot_is_not(tmp_path):
    pictures, labels = labelled(tmp_path, red, coin, from_0_to_1)
    told = []
    found, seen = learn(pictures, labels, folds=3, progress=lambda *steps: told.append(steps))
    assert seen["a0"].accuracy > 0.85 and seen["a2"].accuracy > 0.85
    assert seen["a1"].accuracy < 0.7, "a coin cannot be seen in pictures left out"
    assert (seen["a0"].has, seen["a0"].has_not) == (N / 2, N / 2)
    assert len(found.networks) == 3 and told[-1][0] == told[-1][1]
    assert [done for done, _ in told] == list(range(1, told[-1][1] + 1))
    scores = found.scores(pictures.images(range(N)))
    assert scores.shape == (N, 3) and scores.dtype == torch.float32
    assert ((scores[:, 0] > 0).numpy() == red(pictures)).mean() > 0.9
    assert np.corrcoef(scores[:, 2], redness(pictures))[0, 1] > 0.7


def test_it_is_the_same_each_time_and_touches_no_chance(tmp_path, monkeypatch):
    monkeypatch.setattr(judges, "EPOCHS", 2)
    pictures, labels = labelled(tmp_path, red)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    images = pictures.images(range(8))
    one, two, other = (learn(pictures, labels, 2, seed)[0].scores(images) for seed in (5, 5, 6))
    assert torch.equal(one, two) and not torch.equal(one, other)
    assert torch.equal(before, torch.get_rng_state())


def test_unknown_values_teach_nothing(tmp_path, monkeypatch):
    """Wrong answers where the weight is 0 change nothing."""
    monkeypatch.setattr(judges, "EPOCHS", 2)
    pictures, labels = labelled(tmp_path, red)
    labels.values[::5] = np.nan
    targets, weights = judges._targets(labels.values)
    assert (weights[::5] == 0).all() and (weights[1::5] > 0).all()
    has = targets[:, 0] == 1
    assert float(weights[has].sum()) == pytest.approx(float(weights[~has].sum()), rel=1e-5)
    _, seen = learn(pictures, labels, folds=2)
    assert seen["a0"].has + seen["a0"].has_not == np.isfinite(labels.values).sum()


def test_a_group_is_never_on_both_sides(tmp_path):
    """With groups that tell the answer, and pictures that do not, nothing is learned."""
    groups = np.arange(N) // 2

    def by_group(pictures):
        return np.random.RandomState(1).permutation(N // 2).repeat(2) % 2.0

    _, labels = labelled(tmp_path, by_group, red, groups=groups)
    for folds in (2, 3, 5):
        fold = judges._folds(labels, folds, 0)
        assert set(fold) == set(range(folds))
        assert all(len(set(fold[groups == group])) == 1 for group in range(N // 2))
        for k in range(folds):
            share = labels.values[fold == k, 0].mean()
            assert 0.25 < share < 0.75, "each fold has its part of both sides"
    with pytest.raises(TableError, match="36 groups of pictures cannot be cut into 40 folds"):
        judges._folds(labels, 40, 0)


@pytest.mark.parametrize(("side", "channels"), [(8, 1), (16, 3), (32, 4)])
def test_pictures_of_any_size_and_kind(side, channels):
    network = AttributeNetwork(side, channels, 3).eval()
    assert network(torch.zeros(2, channels, side, side)).shape == (2, 3)
    images = torch.randint(0, 256, (2, channels, 4 * side, 4 * side), dtype=torch.uint8)
    seen = judges._look(images)
    assert seen.shape == (2, channels, 32, 32)
    assert seen.min() >= -1 and seen.max() <= 1


def test_augmentation_keeps_the_shape_and_follows_its_draws():
    x = torch.rand(4, 3, 16, 16) * 2 - 1
    one, two = (judges._augment(x, torch.Generator().manual_seed(3)) for _ in range(2))
    assert one.shape == x.shape and torch.equal(one, two)
    assert not torch.equal(one, judges._augment(x, torch.Generator().manual_seed(4)))
    tiny = judges._augment(torch.zeros(1, 1, 8, 8), torch.Generator().manual_seed(0))
    assert tiny.shape == (1, 1, 8, 8)

import numpy as np
import pytest
from drawing import drawing, encoded

from stylegan.duplicates import RADIUS, SAME, Pair, _radius, find_pairs
from stylegan.measures import THUMB, Look, measure


def pairs_of(pictures: list) -> list[Pair]:
    """Pairs found among pictures, the earlier the better ranked."""
    found = [measure(encoded(picture), Look()) for picture in pictures]
    thumbs = np.stack([np.frombuffer(m.thumb, np.uint8) for m in found])
    thumbs = thumbs.reshape(-1, THUMB, THUMB, 3)
    hashes = np.array([m.hashes for m in found], np.uint64)
    return find_pairs(hashes, lambda i: thumbs[i], np.arange(len(found)))


@pytest.mark.parametrize("seed", range(8))
def test_crops_at_every_edge_and_of_any_two(seed):
    random = np.random.default_rng(seed)
    picture = drawing(seed, 128)
    left, top, right, bottom = random.uniform(0, 5, 4)
    cropped = picture.crop((left, top, 128 - right, 128 - bottom))
    assert pairs_of([picture, cropped]) == [Pair(1, 0, SAME)]


def test_a_small_part_that_differs_makes_another_picture():
    one = drawing(0, 128)
    other = one.copy()
    other.paste((255, 0, 0), (40, 40, 52, 52))
    assert SAME not in [pair.kind for pair in pairs_of([one, other])]


def test_a_slight_shade_that_differs_makes_another_picture():
    one = drawing(0, 128)
    other = one.copy()
    other.paste(tuple(x - 30 for x in one.getpixel((2, 2))), (0, 0, 30, 30))
    assert SAME not in [pair.kind for pair in pairs_of([one, other])]


def test_no_chain_leads_far():
    """Each crop is the same as the one before, the last is not the first."""
    picture = drawing(3, 256)
    crops = [picture.crop((0, 0, 256 - 22 * i, 256 - 22 * i)) for i in range(7)]
    found = {pair.index: pair.of for pair in pairs_of(crops)}
    assert found[1] == 0
    assert not set(found.values()) & set(found)
    assert found.get(6) != 0


def test_large_sets_are_looked_at_less_widely():
    radii = [_radius(SAME, n) for n in (100, 3000, 20_000, 100_000, 1_000_000)]
    assert radii[:2] == [RADIUS[SAME]] * 2
    assert radii == sorted(radii, reverse=True)
    assert 12 <= radii[-1] < radii[-2] < radii[-3] < RADIUS[SAME]


def test_none_and_one():
    assert pairs_of([drawing(0)]) == []

import numpy as np
import pytest
import torch

from stylegan.latents import (
    MAX_SEED,
    SeedError,
    along,
    catmull_rom,
    eased,
    lerp,
    mix_rows,
    noise_maps,
    parse_seeds,
    shift,
    slerp,
)
from stylegan.latents import z_from_seed as z_of


def test_z_is_numpys_legacy_stream():
    z = z_of(7, 5)
    expected = np.random.RandomState(7).randn(1, 5)
    assert z.dtype == torch.float32 and z.shape == (1, 5)
    assert np.array_equal(z.numpy(), expected.astype(np.float32))
    # the first draws of RandomState(0), known to the whole field
    assert z_of(0, 3)[0].tolist() == pytest.approx([1.7640524, 0.4001572, 0.9787380], abs=1e-7)


def test_first_numbers_of_a_longer_z_are_those_of_a_shorter():
    assert torch.equal(z_of(MAX_SEED, 16)[:, :8], z_of(MAX_SEED, 8))


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1])
def test_seed_out_of_range(seed):
    with pytest.raises(SeedError, match="outside 0 to 4294967295"):
        z_of(seed, 4)
    with pytest.raises(SeedError, match="outside"):
        noise_maps(seed, [4])


def test_noise_maps_follow_noise_and_layer():
    maps = noise_maps(3, [4, 8, 8])
    assert [tuple(m.shape) for m in maps] == [(1, 1, 4, 4), (1, 1, 8, 8), (1, 1, 8, 8)]
    expected = np.random.RandomState([3, 2]).randn(8, 8).astype(np.float32)
    assert np.array_equal(maps[2][0, 0].numpy(), expected)
    assert not torch.equal(maps[1], maps[2])
    assert not torch.equal(maps[0], noise_maps(4, [4])[0])


def test_parse_seeds():
    assert parse_seeds("1-5,9,200") == [1, 2, 3, 4, 5, 9, 200]
    assert parse_seeds(" 7 , 3 - 4 ") == [7, 3, 4]
    assert parse_seeds("4294967295") == [MAX_SEED]


@pytest.mark.parametrize(
    "text", ["", "a", "1,", "-1", "1-", "5-3", "1.5", "4294967296", "1_0", "٣", "9" * 5000, "1-2-3"]
)
def test_parse_seeds_refuses(text):
    with pytest.raises(SeedError) as error:
        parse_seeds(text)
    assert len(str(error.value)) < 150


def test_parse_seeds_limit_is_found_before_anything_is_built():
    with pytest.raises(SeedError, match="more than 1000000 seeds"):
        parse_seeds("0-4294967295")
    with pytest.raises(SeedError, match="more than 3 seeds"):
        parse_seeds("1-2,5-6", most=3)


def test_mix_rows_is_inclusive_and_leaves_its_input():
    ws, source = torch.zeros(2, 6, 4), torch.ones(2, 6, 4)
    mixed = mix_rows(ws, source, 1, 3)
    assert mixed[:, :, 0].tolist() == [[0, 1, 1, 1, 0, 0]] * 2
    assert ws.abs().sum() == 0


def test_shift_moves_all_rows_or_some():
    ws, direction = torch.zeros(1, 4, 2), torch.tensor([1.0, -2.0])
    assert torch.equal(shift(ws, direction, 0.5), torch.tensor([0.5, -1.0]).expand(1, 4, 2))
    assert shift(ws, direction, 2, rows=(3, 3))[0, :, 0].tolist() == [0, 0, 0, 2]
    by_row = torch.arange(4.0)[:, None].expand(4, 2)
    assert shift(ws, by_row, 1, rows=(1, 2))[0, :, 1].tolist() == [0, 1, 2, 0]
    assert ws.abs().sum() == 0


def points(count, *shape, seed=0):
    return list(torch.from_numpy(np.random.RandomState(seed).randn(count, *shape)))


def test_lerp_is_straight():
    a, b = points(2, 3, 4)
    assert torch.equal(lerp(a, b, 0), a) and torch.equal(lerp(a, b, 1), b)
    assert torch.allclose(lerp(a, b, 0.25), a + (b - a) / 4)


@pytest.mark.parametrize("t", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_slerp_is_the_textbook_formula_on_the_sphere(t):
    a, b = (x / x.norm() for x in points(2, 8))
    angle = torch.acos(a @ b)
    expected = (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)
    assert torch.allclose(slerp(a, b, t), expected, atol=1e-12)
    assert slerp(a, b, t).norm() == pytest.approx(1, abs=1e-12)


def test_slerp_works_row_by_row_and_changes_length_evenly():
    a, b = points(2, 6, 16)
    middle = slerp(a, b, 0.3)
    for row in range(6):
        assert torch.allclose(middle[row], slerp(a[row], b[row], 0.3))
        length = 0.7 * a[row].norm() + 0.3 * b[row].norm()
        assert middle[row].norm() == pytest.approx(length)
    assert slerp(a.float(), b.float(), 0.3).dtype == torch.float32


@pytest.mark.parametrize("gap", [0, 1e-12, 1e-9, 1e-7, 1e-5, 1e-3])
@pytest.mark.parametrize("sign", [1, -1])
def test_slerp_of_nearly_parallel_and_opposite_directions(gap, sign):
    a, off = points(2, 8)
    a = a / a.norm()
    off = off - (off @ a) * a
    b = sign * a + gap * off / off.norm()
    b = b / b.norm()
    path = torch.stack([slerp(a, b, t) for t in np.linspace(0, 1, 101)])
    assert torch.isfinite(path).all()
    assert torch.allclose(path.norm(dim=-1), torch.ones(101, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(path[0], a, atol=1e-9) and torch.allclose(path[-1], b, atol=2e-6)
    steps = (path[1:] - path[:-1]).norm(dim=-1)  # as long as each other: no jump
    assert steps.max() - steps.min() < 1e-5
    assert steps.sum() == pytest.approx(0 if sign == 1 else np.pi, abs=2e-3)


def test_slerp_from_nothing_is_straight():
    (a,) = points(1, 8)
    assert torch.allclose(slerp(torch.zeros_like(a), a, 0.25), a / 4)
    assert torch.equal(slerp(a * 0, a * 0, 0.5), a * 0)


def test_catmull_rom_is_straight_through_points_in_a_row():
    a, step = points(2, 4)
    keys = [a + i * step for i in range(4)]
    assert torch.allclose(catmull_rom(*keys, 0.3), a + 1.3 * step)


@pytest.mark.parametrize("curve", ["linear", "slerp", "smooth"])
@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_path_passes_through_its_keys_without_a_jump(curve, closed, count):
    keys = points(count, 6)
    segments = count if closed else count - 1
    for i in range(segments + 1):
        key = keys[i % count]
        assert torch.equal(along(keys, i, curve, closed), key)
        for side in (-1e-7, 1e-7):
            if closed or 0 <= i + side <= segments:
                near = along(keys, (i + side) % segments, curve, closed)
                assert torch.allclose(near, key, atol=1e-5)


@pytest.mark.parametrize("closed", [True, False])
def test_the_smooth_curve_has_no_corners(closed):
    keys, h = points(5, 6), 1e-6
    for i in range(5) if closed else range(1, 4):
        before = along(keys, i, "smooth", closed) - along(keys, (i - h) % 5, "smooth", closed)
        after = along(keys, i + h, "smooth", closed) - along(keys, i, "smooth", closed)
        assert torch.allclose(before / h, after / h, atol=1e-4)
        straight = along(keys, i + h, "linear", closed) - along(keys, i, "linear", closed)
        assert not torch.allclose(before / h, straight / h, atol=1e-2)


def test_a_closed_path_of_two_keys_goes_there_and_back():
    a, b = points(2, 6)
    assert torch.allclose(along([a, b], 0.5, "smooth", True), (a + b) / 2)
    assert torch.allclose(along([a, b], 1.25, "linear", True), lerp(b, a, 0.25))


@pytest.mark.parametrize("ease", ["none", "in", "out", "both"])
def test_easing_rises_from_0_to_1(ease):
    way = [eased(t, ease) for t in np.linspace(0, 1, 101)]
    assert way[0] == 0 and way[-1] == 1 and np.all(np.diff(way) > 0)
    starts_slowly, ends_slowly = way[1] < 0.001, way[-2] > 0.999
    assert (starts_slowly, ends_slowly) == (ease in ("in", "both"), ease in ("out", "both"))

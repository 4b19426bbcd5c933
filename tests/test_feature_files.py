"""Rows that grow on disk: whole, cut short, damaged, and asked for by two at once."""

import threading

import numpy as np
import pytest

from stylegan.feature_files import FeatureFile, keep, opened, place_of, recall

ROWS = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def filled(place):
    file = FeatureFile(place)
    for start in (0, 4, 8):
        file.add(ROWS[start : start + 4])
    file.close()
    return file


def test_rows_come_back(tmp_path):
    filled(tmp_path / "a")
    file = FeatureFile(tmp_path / "a")
    assert file.count == 10 and np.array_equal(file.rows(), ROWS)
    assert np.array_equal(file.rows(3), ROWS[:3])
    file.delete()
    assert not list(tmp_path.glob("a.*"))


@pytest.mark.parametrize(
    ("suffix", "damage", "left"),
    [
        (".rows", lambda data: data[:-5], 8),
        (".rows", lambda data: b"", 0),
        (".rows", lambda data: data[:50] + bytes([data[50] ^ 1]) + data[51:], 4),
        (".rows", lambda data: data + b"more", 10),
        (".index", lambda data: data[:-3], 8),
        (".index", lambda data: data.replace(b"[4, 3,", b"[4, 2,", 1), 0),
        (".index", lambda data: data.replace(b"float32", b"float16", 1), 0),
        (".index", lambda data: data.replace(b"float32", b"object", 1), 0),
        (".index", lambda data: b"nonsense\n" + data, 0),
        (".index", lambda data: data + b'{"a": 1}\n', 10),
    ],
)
def test_what_is_damaged_is_cut_off_and_written_again(tmp_path, suffix, damage, left):
    filled(tmp_path / "a")
    path = tmp_path / f"a{suffix}"
    path.write_bytes(damage(path.read_bytes()))
    file = FeatureFile(tmp_path / "a")
    assert file.count == left and np.array_equal(file.rows() if left else ROWS[:0], ROWS[:left])
    for start in range(left, 10, 4):
        file.add(ROWS[start : start + 4])
    file.close()
    assert np.array_equal(FeatureFile(tmp_path / "a").rows(), ROWS)


def test_what_may_not_last_goes_when_all_went_well(cache):
    with opened(["lasting"], True, print) as file:
        file.add(ROWS)
    with opened(["lasting"], True, print) as file:
        assert file.count == 10
    with pytest.raises(KeyboardInterrupt), opened(["passing"], False, print) as file:
        file.add(ROWS[:4])
        raise KeyboardInterrupt
    with opened(["passing"], False, print) as file:
        assert file.count == 4
    with opened(["passing"], False, print) as file:
        assert file.count == 0


@pytest.mark.parametrize("kind", [np.uint8, np.float16, np.float64])
def test_rows_of_any_kind(tmp_path, kind):
    rows = (100 * abs(ROWS)).astype(kind)
    for start in (0, 6):
        file = FeatureFile(tmp_path / "a")
        assert file.count == start
        file.add(rows[start : start + 6])
        file.close()
    found = FeatureFile(tmp_path / "a").rows()
    assert found.dtype == kind and np.array_equal(found, rows)
    assert (tmp_path / "a.rows").stat().st_size == rows.nbytes


def test_two_do_not_write_at_once():
    told, inside, done = [], threading.Event(), []

    def other():
        inside.wait(10)
        with opened(["both"], True, lambda: told.append(1)) as file:
            done.append(file.count)

    thread = threading.Thread(target=other)
    with opened(["both"], True, lambda: None) as file:
        thread.start()
        inside.set()
        file.add(ROWS)
        while not told:  # until the other one has said that it waits
            thread.join(0.01)
        assert not done
    thread.join(10)
    assert done == [10]


def test_arrays_are_kept_by_key_and_damaged_ones_are_not_there():
    arrays = {"mean": ROWS[0].astype(np.float64), "fid": np.array(3.5)}
    assert recall(["a"]) is None
    keep(["a"], arrays)
    found = recall(["a"])
    assert found.keys() == arrays.keys() and found["fid"] == 3.5
    assert np.array_equal(found["mean"], arrays["mean"])
    assert recall(["b"]) is None
    path = place_of(["a"]).with_suffix(".safetensors")
    whole = path.read_bytes()
    place = whole.rindex(arrays["mean"].tobytes())
    for damaged in (whole[:-3], b"", whole[: place + 7] + b"\1" + whole[place + 8 :]):
        path.write_bytes(damaged)
        assert recall(["a"]) is None

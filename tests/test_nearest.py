import numpy as np
import pytest
from training_data import write_pictures

from stylegan import nearest as module
from stylegan.data import Pictures
from stylegan.nearest import distances, nearest, sheet


@pytest.fixture
def data(tmp_path):
    return write_pictures(tmp_path / "discs.zip", n=12)


def reals(pictures):
    return pictures.images(range(12)).permute(0, 2, 3, 1).numpy()


def test_distances_are_rmse_in_grey_levels():
    a, b = np.zeros((2, 4, 4, 3), np.uint8), np.full((1, 4, 4, 3), 7, np.uint8)
    assert distances(a, b).tolist() == [[7], [7]]


@pytest.mark.parametrize("chunk", [1, 5 * 8 * 16 * 16 * 3, 1 << 26])
def test_the_nearest_come_first_however_they_are_read(data, monkeypatch, chunk):
    monkeypatch.setattr(module, "CHUNK_BYTES", chunk)
    pictures = Pictures(data, mirror=True)
    samples = np.random.RandomState(0).randint(0, 256, (3, 16, 16, 3)).astype(np.uint8)
    shown, far = nearest(samples, pictures, 4)
    every = np.concatenate([reals(pictures), reals(pictures)[:, :, ::-1]])
    expected = np.sort(distances(samples, every), axis=1)[:, :4]
    assert np.allclose(far, expected)
    again = [distances(samples[i : i + 1], shown[i])[0] for i in range(3)]
    assert np.allclose(again, far), "the pictures are those of the distances"


def test_a_picture_learned_by_heart_is_found_also_when_mirrored(data):
    pictures = Pictures(data)
    samples = np.stack([reals(pictures)[5], reals(pictures)[7][:, ::-1]])
    shown, far = nearest(samples, pictures, 1)
    assert far.max() < 1e-3
    assert np.array_equal(shown[:, 0], samples)
    assert sheet(samples, shown, 2).shape == (2 * 2 * 16, 2 * 2 * 16, 3)

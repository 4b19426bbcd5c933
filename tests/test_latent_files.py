import numpy as np
import pytest
import torch

from stylegan.latent_files import LatentError, read_latent, write_latent, write_npz

WS = torch.arange(96.0).reshape(6, 16)


def test_both_kinds_come_back(tmp_path):
    write_npz(tmp_path / "projected_w.npz", WS)
    write_latent(tmp_path / "a.safetensors", WS, "seed=7")
    for name in ("projected_w.npz", "a.safetensors"):
        assert torch.equal(read_latent(tmp_path / name), WS)
    with np.load(tmp_path / "projected_w.npz", allow_pickle=False) as arrays:
        assert arrays["w"].shape == (1, 6, 16) and arrays["w"].dtype == np.float32


@pytest.mark.parametrize("shape", [(16,), (1, 16), (1, 1, 16)])
def test_a_single_w_is_one_row(tmp_path, shape):
    np.savez(tmp_path / "a.npz", w=np.ones(shape))
    assert read_latent(tmp_path / "a.npz").shape == (1, 16)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.ones(16)}, 'no array "w"'),
        ({"w": np.array([{}], dtype=object)}, "damaged or no .npz file of numbers"),
        ({"w": np.ones((2, 6, 16))}, "holds 2 latents"),
        ({"w": np.full(16, np.nan)}, "not finite"),
        ({"w": np.ones((1, 1, 1, 16))}, "is no latent"),
        ({"w": np.zeros(10_000_000)}, "more than one latent's numbers"),
        ({"w": np.array(["a"])}, "no .npz file of numbers"),
    ],
)
def test_what_is_no_latent_is_refused(tmp_path, arrays, words):
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    with pytest.raises(LatentError, match=words):
        read_latent(tmp_path / "a.npz")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"text")
    for name, words in (
        ("a.npz", "damaged"),
        ("b.npz", "does not exist"),
        ("w.pkl", "read from .npz and .safetensors"),
    ):
        with pytest.raises(LatentError, match=words):
            read_latent(tmp_path / name)

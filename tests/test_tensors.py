import os

import torch
from test_checkpoint import refusal

from stylegan.tensors import load_strict, load_tensors, save_tensors


def test_load_strict_copies_into_what_is_there():
    module = torch.nn.Linear(2, 3)
    weight = module.weight
    where = weight.data_ptr()
    new = {"weight": torch.ones(3, 2, dtype=torch.float16), "bias": torch.zeros(3)}
    load_strict(module, new, "here")
    assert module.weight is weight and weight.data_ptr() == where
    assert weight.sum() == 6 and weight.dtype == torch.float32


def test_load_strict_changes_nothing_when_it_refuses():
    module = torch.nn.Linear(2, 3)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    for weight, words in (
        (torch.full((3, 2), torch.nan), "weight holds numbers that are not finite"),
        (torch.ones(3, 2, dtype=torch.int64), "weight holds torch.int64"),
        (torch.ones(2, 3), r"weight [2, 3] instead of [3, 2]"),
    ):
        text = refusal(load_strict, module, {"bias": torch.ones(3), "weight": weight}, "here")
        assert words in text and "here" in text
    assert all(torch.equal(module.state_dict()[name], value) for name, value in before.items())


def test_tensors_round_trip(tmp_path):
    tensors = {"a": torch.arange(6).reshape(2, 3).t(), "b": torch.zeros(()), "": torch.ones(1)}
    save_tensors(tmp_path / "x.safetensors", tensors, {"key": "value"})
    loaded = load_tensors(tmp_path / "x.safetensors")
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], value) for name, value in tensors.items())
    assert os.listdir(tmp_path) == ["x.safetensors"]
    assert "does not exist" in refusal(load_tensors, tmp_path / "y.safetensors")

"""Memory: told before the start, and in words when it runs out."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from training_data import NETWORK, tiny, write_pictures

from stylegan.config import RunError
from stylegan.distributed import Group
from stylegan.training import loop, memory
from stylegan.training.loop import fit
from stylegan.training.step import Trainer


def bytes_of(group=None, **changes):
    return memory.step_bytes(Trainer(tiny("none", **changes), "cpu", group or Group()))


def test_a_step_takes_less_in_parts_and_shared():
    whole = bytes_of(batch=16)
    assert whole > bytes_of(batch=16, micro_batch=8) > bytes_of(batch=16, micro_batch=2)
    assert bytes_of(Group(0, 2), batch=16) == bytes_of(batch=16, micro_batch=8)
    assert bytes_of(batch=16, precision="bfloat16") < whole
    assert bytes_of(batch=16, network=dataclasses.replace(NETWORK, resolution=32)) > whole


def test_it_is_told_before_the_start(tmp_path):
    said = []
    data = write_pictures(tmp_path / "discs.zip")
    fit(tiny(data, kimg=0.004), tmp_path / "run", say=said.append)
    assert "a step takes about 0.0 GiB of " in said[0] and "free memory" in said[0]
    assert "too little" not in said[0]


def test_what_helps_is_named(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1)
    sentence = memory.sentence(Trainer(tiny("none", batch=12)))
    assert "may be too little: --micro-batch 6 computes a batch in smaller parts" in sentence
    assert memory.smaller_micro_batch(tiny("none", batch=12, micro_batch=6)) == 2
    assert memory.smaller_micro_batch(tiny("none", batch=16), 4) == 2
    smallest = tiny("none", batch=4, micro_batch=2)
    assert memory.smaller_micro_batch(smallest) is None
    assert "--network.channel-base" in memory.advice(smallest)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
        MemoryError(),
    ],
)
def test_too_little_memory_in_words(tmp_path, monkeypatch, error):
    def step(*args):
        raise error

    data = write_pictures(tmp_path / "discs.zip")
    monkeypatch.setattr(loop.Trainer, "step", step)
    with pytest.raises(RunError, match=r"not enough memory on cpu .* --micro-batch 2 computes"):
        fit(tiny(data, kimg=0.02), tmp_path / "run", say=lambda line: None)


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes"), memory.shortage_in_words(None):
        raise RuntimeError("shapes differ")

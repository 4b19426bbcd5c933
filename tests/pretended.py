"""A GPU that is not there: tensors that lie on the CPU and say that they are on it.

What real ones refuse is refused: operations on tensors of two devices, numpy() of what is not on
the CPU, a generator of another device, on mps what it has not. Kernels, their precision and their
speed remain unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

aten = torch.ops.aten
WIDE = (torch.float64, torch.complex128)  # unknown to mps
NOT_ON_MPS = ("aten._linalg_svd", "aten._linalg_eigh")  # native_functions.yaml of PyTorch 2.13
INDEXED = ("aten.index", "aten.index_put", "aten.index_put_", "aten._index_put_impl_")


@contextmanager
def pretended(name: str) -> Iterator[torch.device]:
    """The device of this name, with an index: cuda:0, mps:0; for this thread, in the block."""
    device = torch.device(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "_lazy_init", lambda: None)
        patch.setattr(torch.cuda, "is_available", lambda: device.type == "cuda")
        for told, value in (
            ("mem_get_info", (1 << 34, 1 << 34)),
            ("max_memory_allocated", 1 << 30),
            ("get_device_name", "a GPU"),
            ("get_rng_state", torch.get_rng_state()),
            ("set_rng_state", None),
        ):
            patch.setattr(torch.cuda, told, lambda *_, value=value: value)
        patch.setattr(torch, "Generator", Generator)
        for maker in ("rand", "randn", "randint", "randperm"):
            patch.setattr(torch, maker, _drawn(getattr(torch, maker)))
        for maker in ("tensor", "as_tensor"):
            patch.setattr(torch, maker, _made(getattr(torch, maker)))
        with _Mode(device):
            yield device


class There(Tensor):
    """A tensor that says it is on the device; `held` is what it holds."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor, device: torch.device) -> There:
        self = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device="meta",  # PyTorch without CUDA knows its autograd
        )
        self.held, self.on = held, device
        return self

    @property
    def device(self) -> torch.device:
        return self.on

    def tolist(self) -> list:
        return self.cpu().tolist()

    def numpy(self, **how: Any) -> Any:
        raise TypeError(f"can't convert {self.on} device type tensor to numpy")

    __array__ = numpy

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{func} where the device is not pretended any more")


class Generator(torch.Generator):
    """On the CPU, and says that it is on another device."""

    def __new__(cls, device: torch.device | str = "cpu") -> Generator:
        self = super().__new__(cls, "cpu")
        self.on = torch.device(device)
        return self

    def __init__(self, device: torch.device | str = "cpu") -> None:
        pass

    @property
    def device(self) -> torch.device:
        return self.on


class _Mode(TorchDispatchMode):
    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.on = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        there = [x for x in tensors if isinstance(x, There)]
        here = [x for x in tensors if not isinstance(x, There)]
        if there and here and not _may_mix(func, args, here):
            raise RuntimeError(f"{func}: tensors on {self.on} and on cpu")
        onto = bool(there)
        if (device := kwargs.get("device")) is not None:
            onto, kwargs["device"] = torch.device(device).type != "cpu", torch.device("cpu")
        if onto and self.on.type == "mps" and str(func.overloadpacket) in NOT_ON_MPS:
            raise NotImplementedError(f"{func} is not there for MPS")
        held = {id(x.held): x for x in there}
        out = _computed(func, *tree_map_only(There, lambda x: x.held, (args, kwargs)))
        if func is aten.copy_.default:
            return args[0]
        if not onto:
            return out
        if self.on.type == "mps" and any(
            x.dtype in WIDE for x in tree_leaves(out) if isinstance(x, Tensor)
        ):
            raise TypeError(f"{func}: MPS has no numbers of 64 bits")
        return tree_map_only(
            Tensor, lambda x: held[id(x)] if id(x) in held else There(x, self.on), out
        )


def _may_mix(func: Any, args: Any, here: list[Tensor]) -> bool:
    """Copies; indices on the CPU into what is on the device; single numbers on the CPU."""
    if func is aten.copy_.default:
        return True
    if str(func.overloadpacket) in INDEXED and isinstance(args[0], There):
        return all(isinstance(x, There) or not x.ndim for x in args[2:3])
    single = torch.Tag.pointwise in func.tags or func is aten.fill_.Tensor
    return single and not any(x.ndim for x in here)


def _computed(func: Any, args: Any, kwargs: Any) -> Any:
    """Convolutions of half precision in float32, since CPUs do not have all of these."""
    kinds = [x.dtype for x in tree_leaves(args) if isinstance(x, Tensor)]
    half = next((kind for kind in kinds if kind in (torch.float16, torch.bfloat16)), None)
    if half is None or "convolution" not in str(func):
        return func(*args, **kwargs)
    out = func(*tree_map_only(Tensor, Tensor.float, args), **kwargs)
    return tree_map_only(Tensor, lambda x: x.to(half), out)


def _drawn(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def draw(*args: Any, generator: Any = None, device: Any = None, **how: Any) -> Tensor:
        if generator is not None and generator.device.type != torch.device(device or "cpu").type:
            raise RuntimeError(f"a generator on {generator.device} for a tensor on {device}")
        return make(*args, generator=generator, device=device, **how)

    return draw


def _made(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Made on the CPU, then moved: PyTorch moves these where no mode sees it."""

    def made(data: Any, *args: Any, device: Any = None, **how: Any) -> Tensor:
        out = data if isinstance(data, There) else make(data, *args, **how)
        return out if device is None else out.to(device)

    return made

"""Several processes that train as one, on one machine or many; one process is a group of one."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from stylegan.config import RunError, UserError

NCCL_SEC = 600  # for one sum over GPUs; a process that is gone is noticed before
LOST_CODE = 75  # exit code where a run goes on from its saved state
MEET = timedelta(minutes=10)  # for all processes to start
WAIT = timedelta(days=7)  # gloo notices a process that ends; the others may take their time


class PeerLost(Exception):
    """Another process of the group has ended."""


@dataclass(frozen=True)
class Group:
    """The processes of a run, and which of them this is; the first one writes."""

    rank: int = 0
    size: int = 1
    control: dist.ProcessGroup | None = None
    """For tensors on the CPU."""

    @property
    def is_first(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def sum_(self, tensor: Tensor) -> Tensor:
        """Replace a tensor, of one shape in all processes, by their sum; the same bits in all."""
        if self.size > 1:
            with _peers():
                dist.all_reduce(tensor, group=self._for(tensor))
        return tensor

    def any(self, *flags: bool) -> list[bool]:
        """Which of the flags are set in any process."""
        if self.size == 1:
            return list(flags)
        counts = torch.tensor(flags, dtype=torch.int32)
        return [count > 0 for count in self.sum_(counts).tolist()]

    def wait(self) -> None:
        """Until all have come here."""
        self.any(False)

    def share_(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by those of the first process."""
        if self.size > 1:
            with _peers():
                for tensor in tensors:
                    dist.broadcast(tensor, src=0, group=self._for(tensor))

    def first(self, act: Callable[[], object]) -> None:
        """Let the first process do something; what fails there fails everywhere."""
        failure = None
        if self.is_first:
            try:
                act()
            except Exception as error:
                failure = error
        (failed,) = self.any(failure is not None)
        if failure is not None:
            raise failure
        if failed:
            raise RunError("the first process of the group could not go on; it says why")

    def _for(self, tensor: Tensor) -> dist.ProcessGroup | None:
        return self.control if tensor.device.type == "cpu" else None


ALONE = Group()


def world() -> tuple[int, int]:
    """Rank and number of processes, as torchrun puts them into the environment."""
    try:
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    except KeyError:
        return 0, 1
    except ValueError as error:
        raise UserError("RANK and WORLD_SIZE are set, but are no whole numbers") from error
    return rank, size


def own_device(device: torch.device) -> torch.device:
    """Of a machine's GPUs the one that is this process's, where no other is named."""
    rank, size = world()
    if size == 1 or device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", rank)))


@contextmanager
def joined(device: torch.device) -> Iterator[tuple[Group, torch.device]]:
    """The group that this process was started in, and its own device of that kind."""
    rank, size = world()
    if size == 1:
        yield ALONE, device
        return
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"several processes train on cpu or cuda, not on {device.type}")
    here = int(os.environ.get("LOCAL_WORLD_SIZE", size))
    own, device = own_device(torch.device(device.type)), own_device(device)
    if here > 1 and device != own:
        raise UserError(
            f"{device} is one GPU for {here} processes; give cuda, and each takes its own"
        )
    backend, timeout = "gloo", WAIT
    if device.type == "cuda":
        torch.cuda.set_device(device)
        backend, timeout = "nccl", timedelta(seconds=NCCL_SEC)
    try:
        store = dist.PrefixStore(_life(), _store())
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timeout)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"the {size} processes of the run cannot meet: {reason}") from error
    watch = Watch(store.clone(), rank, size)
    control = dist.new_group(backend="gloo", timeout=WAIT)  # here all have given their first sign
    watch.start()
    try:
        yield Group(rank, size, control), device
    finally:
        watch.over.set()
    dist.destroy_process_group()  # after a failure this would wait for those that are gone


class Watch(threading.Thread):
    """Ends this process when another one gives no sign of life.

    gloo notices at once when a process ends, but not when a machine is gone; a GPU would wait for
    its part of a sum without end.
    """

    def __init__(
        self,
        store: dist.Store,
        rank: int,
        size: int,
        every_sec: float = 5.0,
        most_sec: float = 40.0,
        leave: Callable[[], object] = lambda: _leave(),
    ) -> None:
        super().__init__(name="watch", daemon=True)
        self.store, self.every_sec, self.leave = store, every_sec, leave
        self.most = round(most_sec / every_sec)
        self.keys = [f"alive/{i}" for i in range(size)]
        self.rank, self.signs = rank, 0
        self.over = threading.Event()
        self._sign()

    def run(self) -> None:
        """Give a sign and look for those of the others, until it is over or one is missing."""
        seen: list[bytes] = []
        silent = [0] * len(self.keys)
        while not self.over.wait(self.every_sec):
            try:
                self._sign()
                now = self.store.multi_get(self.keys)
            except RuntimeError:  # the store is gone, and with it what the processes began with
                now = seen
            same = [a == b for a, b in zip(seen, now, strict=True)] if seen else [False] * len(now)
            silent = [n + 1 if s else 0 for n, s in zip(silent, same, strict=True)]
            seen = now
            if max(silent, default=0) >= self.most and not self.over.is_set():
                self.leave()
                return

    def _sign(self) -> None:
        self.signs += 1
        self.store.set(self.keys[self.rank], str(self.signs))


def _leave() -> None:
    print(
        "train: another process of this run gives no sign of life; the same line goes on from the "
        "saved state",
        file=sys.stderr,
        flush=True,
    )
    os._exit(LOST_CODE)


def _store() -> dist.Store:
    """What the processes tell each other their addresses by."""
    return next(dist.rendezvous("env://", timeout=MEET))[0]


def _life() -> str:
    """How often torchrun has started the processes: its store still holds earlier addresses."""
    return f"life {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"


@contextmanager
def _peers() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise PeerLost("another process of this run has ended") from error

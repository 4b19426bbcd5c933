"""The same work on many items in processes of its own, in order, with bounded memory.

A process that dies (a decoder that crashes, memory that runs out) takes its item along, not the
whole work.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

T, R = TypeVar("T"), TypeVar("R")

CHUNK = 8  # items that go to a process at once
FEW = 64  # items for which no process is started


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(
    function: Callable[[T], R],
    items: Iterable[T],
    count: int,
    workers: int | None = None,
    lost: Callable[[], R] | None = None,
) -> Iterator[R]:
    """Results in the order of the `count` items, which are taken a few ahead.

    `function` and the items are sent to processes that import the function's module and no more.
    For an item whose process died the result is `lost()`; without it the error goes on.
    """
    workers = workers or cores()
    if workers == 1 or count <= FEW:
        yield from map(function, items)
        return
    source = iter(items)
    chunks = iter(lambda: list(itertools.islice(source, CHUNK)), [])
    pool = _pool(workers)
    ahead: deque[tuple[list[T], Future]] = deque()
    try:
        for chunk in itertools.islice(chunks, 3 * workers):
            ahead.append((chunk, pool.submit(_each, function, chunk)))
        while ahead:
            chunk, future = ahead.popleft()
            try:
                results = future.result()
            except BrokenProcessPool:
                if lost is None:
                    raise
                pool.shutdown(wait=False, cancel_futures=True)
                results = _one_by_one(function, chunk, lost)
                pool = _pool(workers)
                again = [chunk for chunk, _ in ahead]
                ahead = deque((c, pool.submit(_each, function, c)) for c in again)
            for chunk in itertools.islice(chunks, 1):
                ahead.append((chunk, pool.submit(_each, function, chunk)))
            yield from results
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _one_by_one(function: Callable[[T], R], chunk: list[T], lost: Callable[[], R]) -> list[R]:
    """Each item in a process that may die alone."""
    results = []
    pool = _pool(1)
    for item in chunk:
        try:
            results += pool.submit(_each, function, [item]).result()
        except BrokenProcessPool:
            results.append(lost())
            pool.shutdown(wait=False)
            pool = _pool(1)
    pool.shutdown()
    return results


def _pool(workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")  # fork copies locks that threads may hold
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_start)


def _start() -> None:
    """The parent answers Ctrl-C; decoders warn of what is reported anyhow."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed tells nobody, and its processes would wait for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _each(function: Callable[[T], R], chunk: list[T]) -> list[R]:
    return [function(item) for item in chunk]

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stylegan.parallel import FEW, in_order

MANY = FEW + 40


def double(item: int) -> int:
    return 2 * item


def deadly(item: int) -> int:
    if item in (5, FEW + 9):
        os._exit(1)  # as a decoder that crashes does
    return item


def test_in_order_and_only_a_few_ahead():
    taken = []

    def items() -> Iterator[int]:
        for i in range(MANY):
            taken.append(i)
            yield i

    results = in_order(double, items(), MANY, workers=2)
    assert next(results) == 0
    assert len(taken) < MANY
    assert list(results) == [2 * i for i in range(1, MANY)]


def test_a_process_that_dies_loses_its_item_only():
    results = list(in_order(deadly, range(MANY), MANY, 2, lambda: -1))
    assert [i for i, result in enumerate(results) if result == -1] == [5, FEW + 9]
    assert [r for r in results if r != -1] == [i for i in range(MANY) if i not in (5, FEW + 9)]


def test_errors_go_on():
    with pytest.raises(TypeError):
        list(in_order(double, [None] * MANY, MANY, 2))


def test_few_items_start_no_process():
    assert list(in_order(lambda x: x, range(FEW), FEW, 2)) == list(range(FEW))


def test_no_process_outlives_a_killed_parent():
    code = (
        "import sys, time\n"
        "from stylegan.parallel import in_order\n"
        "if __name__ == '__main__':\n"
        "    results = in_order(abs, iter(range(1000)), 1000, 2)\n"
        "    print(next(results), flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]
    ) as parent:
        assert parent.stdout.readline() == b"0\n"
        children = psutil.Process(parent.pid).children()
        assert len(children) >= 2
        parent.kill()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive

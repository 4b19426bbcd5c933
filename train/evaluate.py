"""How close a generator's pictures come to real ones, beside the floor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tyro
from tqdm import tqdm

from stylegan.evaluate import METRICS_FILE, EvaluateConfig, Record, evaluate, save_records

HELP = """python -m train evaluate --model checkpoints/portraits-64 --data data/portraits64.zip

python -m train evaluate --model runs/portraits64-tiny/best --data data/portraits64.zip --seed 1

The numbers are also kept in metrics.json of the model folder."""


def main(argv: list[str]) -> int:
    """Parse, measure, say what was found."""
    config = tyro.cli(
        EvaluateConfig,
        args=argv,
        prog="python -m train evaluate",
        description=HELP,
    )
    with tqdm(unit=" pictures", disable=None, leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        records = evaluate(config, progress)
    for record in records.values():
        print(table(record))
    if config.save and not Path(config.model).is_dir():
        print("not kept: the model is the Hub's, not a folder here")
    elif config.save:
        save_records(config.model, list(records.values()))
        print(f"written to {Path(config.model) / METRICS_FILE}")
    return 0


def table(record: Record) -> str:
    """A measurement for people: its value and floor, and each level where there are several."""
    head = ["", "value", *(f"{side} px" for side in record["levels"])]
    rows = [
        [record["metric"], record["value"], *record["levels"].values()],
        ["floor", record["floor"], *record["floor_levels"].values()],
    ]
    note = (
        f"on {record['n']} pictures a side of {record['data']}, seed {record['seed']}; "
        "the floor is two halves of the real pictures, lower is better"
    )
    return "\n".join([_line(head), *map(_line, rows), note])


def _line(cells: Sequence[str | float]) -> str:
    first, *rest = cells
    return f"{first:<10}" + "".join(
        f"{cell:>10}" if isinstance(cell, str) else f"{cell:>10.2f}" for cell in rest
    )

"""How close a generator's pictures come to real ones, beside the floor."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import tyro
from tqdm import tqdm

from stylegan.config import RunError
from stylegan.distributed import LOST_CODE, PeerLost, world
from stylegan.evaluate import METRICS_FILE, EvaluateConfig, Measured, evaluate, save
from stylegan.metrics import Record

HELP = """python -m train evaluate --model checkpoints/portraits-64 --data data/portraits64.zip

python -m train evaluate --model runs/portraits64-tiny/best --data data/portraits64.zip
--metrics fid5k_full,kid5k_disc,memorisation,diversity

Metrics: fid50k_full, kid50k_full, pr50k3_full (or another number, as fid5k_full), is50k, ppl2_wend,
ppl_wfull, ppl_zend, ppl_zfull, swd, memorisation, diversity; fid5k_disc and the like look through
the model's own discriminator and need no download.

The numbers are also kept in metrics.json of the model folder. What was interrupted goes on with the
same line; `torchrun -m train -- evaluate` shares the work."""


def main(argv: list[str]) -> int:
    """Parse, measure, say what was found."""
    config = tyro.cli(
        EvaluateConfig,
        args=argv,
        prog="python -m train evaluate",
        description=HELP,
    )
    rank, size = world()
    first = rank == 0
    if size == 1:  # torchrun ends its processes in its own way
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tqdm(unit=" pictures", disable=None if first else True, leave=False) as bar:

        def progress(what: str, done: int, total: int) -> None:
            bar.set_description(what, refresh=False)
            bar.total = total
            bar.update(done - bar.n)

        try:
            found = evaluate(config, progress, tqdm.write, partial(_tell, config))
        except PeerLost as error:
            print(f"train: {error}; the same line goes on", file=sys.stderr, flush=True)
            os._exit(LOST_CODE)  # an ordinary exit would wait for those that are gone
        except KeyboardInterrupt:
            raise RunError("stopped; the same line goes on from here") from None
    if first and config.save:
        print(_where(Path(config.model), found))
    return 0


def _tell(config: EvaluateConfig, one: Measured) -> None:
    """A metric at once: what comes after it may take hours."""
    for record in one.records.values():
        tqdm.write(table(record))
    if config.save and Path(config.model).is_dir():
        save(config.model, one)
    sys.stdout.flush()


def _where(folder: Path, found: Measured) -> str:
    """Of the numbers and pictures that are kept."""
    if not folder.is_dir():
        return "not kept: the model is the Hub's, not a folder here"
    pictures = [f"to look at: {folder / name}" for name in found.files()]
    return "\n".join([f"written to {folder / METRICS_FILE}", *pictures])


def table(record: Record) -> str:
    """A measurement for people: its value and floor, each level where there are several, and what
    else it tells.
    """
    levels, floors = record.get("levels", {}), record.get("floor_levels", {})
    rows = [["", "value", *(f"{side} px" for side in levels)]]
    rows.append([record["metric"], record["value"], *levels.values()])
    if (beside := record.get("value_at_floor_n")) is not None:
        rows.append([f"  of {record['floor_n']}", beside])
    if record["floor"] is not None:
        n = record.get("floor_n")
        rows.append([f"floor of {n}" if n else "floor", record["floor"], *floors.values()])
    rows += [
        [name.replace("_", " "), record[name]] for name in _FURTHER if record.get(name) is not None
    ]
    return "\n".join([*map(_line, rows), *_classes(record), _note(record)])


_FURTHER = (
    *("error", "error_at_floor_n", "floor_error", "std"),
    *("distance", "distance_of_data", "ratio", "ratio_of_data"),
    *("nearest", "coverage", "coverage_at_floor_n", "coverage_floor"),
)


def _classes(record: Record) -> list[str]:
    """A line for each class."""
    return [
        f"  class {name}: "
        + ", ".join(f"{key} {value:.4g}" for key, value in found.items() if value is not None)
        for name, found in record.get("classes", {}).items()
    ]


def _note(record: Record) -> str:
    n = f"on {record['n']} pictures"
    n += " a side of" if "levels" in record else " beside"
    parts = [f"{n} {record['data']}, seed {record['seed']}"]
    if "detector" in record:
        papers = "" if record["comparable_with_papers"] else ", not comparable with papers"
        parts.append(f"by {record['detector']}{papers}")
    floor = "" if record["floor"] is None else "the floor is what real pictures get; "
    return f"{', '.join(parts)}; {floor}{record['better']} is better"


def _line(cells: Sequence[str | float]) -> str:
    first, *rest = cells
    return f"{first:<28}" + "".join(
        f"{cell:>10}" if isinstance(cell, str) else f"{cell:>10.4g}" for cell in rest
    )

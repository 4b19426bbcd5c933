"""Curves, settings, metrics and pictures of several runs beside each other; of one, its page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from stylegan import comparison_page, curves, run_page
from stylegan.comparison import read_runs, table
from stylegan.config import UserError
from stylegan.runs import PAGE

HELP = """python -m train compare runs/portraits-64 runs/flags-transfer

python -m train compare runs/* --report all.html --png curves.png

Writes a page to look at; it can be opened and sent without a network. Of one run it writes
RUN/index.html, as fit does."""
REPORT = Path("compare.html")


@dataclass(frozen=True)
class Call:
    """What to compare, and where to."""

    runs: tuple[Path, ...]
    """Run folders; they may be training."""
    report: Path | None = None
    """The page; compare.html, or RUN/index.html where there is one run, if not given."""
    png: Path | None = None
    """Also the curves alone, as .png or .svg."""
    axis: curves.Axis = "kimg"
    """What they are drawn over there; the page has both."""


def main(argv: list[str]) -> int:
    """Parse, read, say what was found, write the page."""
    call = tyro.cli(
        Call,
        args=argv,
        prog="python -m train compare",
        description=HELP,
        config=(tyro.conf.PositionalRequiredArgs,),
    )
    _check(call)
    runs = read_runs(call.runs)
    print(table(runs))
    if call.png is not None:
        curves.save(curves.draw(runs, call.axis), call.png)
        print(f"\nwritten: {call.png}")
    if len(runs) == 1:
        report = call.report or runs[0].folder / PAGE
        run_page.write_page(runs[0], report)
    else:
        report = call.report or REPORT
        comparison_page.write_page(runs, report)
    print(f"\nwritten: {report}")
    return 0


def _check(call: Call) -> None:
    """What can be told before anything is read."""
    if not call.runs:
        raise UserError("name a run, or several")
    if call.report is not None and call.report.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"{call.report} does not end in .html")
    if call.png is not None and call.png.suffix.lower() not in (".png", ".svg"):
        raise UserError(f"{call.png} is neither a .png nor a .svg")
    for path in (call.report, call.png):
        if path is not None and path.is_dir():
            raise UserError(f"{path} is a folder")

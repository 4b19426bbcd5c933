"""What is wrong with these pictures, and which; the command is `inspect`."""

from __future__ import annotations

import tyro
from tqdm import tqdm

from stylegan.doctor import InspectConfig, InspectError, inspect, table, write_findings
from stylegan.findings_page import write_page

HELP = """python -m train inspect photos/

python -m train inspect icons.zip --report icons.html --resolution 128 --background black

Writes a page to look at, and findings.csv beside it, which prepare --drop reads."""


def main(argv: list[str]) -> int:
    """Parse, inspect, say what was found."""
    config = tyro.cli(
        InspectConfig,
        args=argv,
        prog="python -m train inspect",
        description=HELP,
        config=(tyro.conf.PositionalRequiredArgs, tyro.conf.FlagCreatePairsOff),
    )
    if config.report is not None:
        if config.report.suffix.lower() not in (".html", ".htm"):
            raise InspectError(f"{config.report} does not end in .html")
        if config.report.is_dir():
            raise InspectError(f"{config.report} is a folder")
    with tqdm(unit=" pictures", disable=None, leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        diagnosis = inspect(config, progress)
    print(table(diagnosis))
    if config.report is not None:
        write_page(config.report, diagnosis, config.src)
        rows = config.report.with_name("findings.csv")
        write_findings(rows, diagnosis)
        print(f"\nwritten: {config.report} to look at, {rows} for prepare --drop")
    return 0

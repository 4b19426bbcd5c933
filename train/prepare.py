"""Pictures of any kind -> a zip of equal squares, ready for fit."""

from __future__ import annotations

import tyro

from stylegan.prepare import PrepareConfig, prepare

HELP = """python -m train prepare photos/ data/photos64.zip --resolution 64 --fit crop

python -m train prepare icons.zip data/icons.zip --drop findings.csv --labels folders --split 0.1

Files that cannot be used are left out and listed with the reason; the same line started again goes
on where it was stopped."""


def main(argv: list[str]) -> int:
    """Parse, prepare, say what was done."""
    config = tyro.cli(
        PrepareConfig,
        args=argv,
        prog="python -m train prepare",
        description=HELP,
        config=(tyro.conf.PositionalRequiredArgs, tyro.conf.FlagCreatePairsOff),
    )
    print(prepare(config).summary(config))
    return 0

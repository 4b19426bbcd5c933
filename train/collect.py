"""Pictures from a page, a list of addresses or a data set on the Hub, with their sources."""

from __future__ import annotations

import tyro

from stylegan.collect import CollectConfig, collect

HELP = """python -m train collect addresses.txt photos/

python -m train collect https://example.org/clubs crests/ --links 'table a' --image '.infobox img'

One request at a time; robots.txt is obeyed. The same line again goes on where it stopped."""


def main(argv: list[str]) -> int:
    """Parse, collect, say what was done."""
    config = tyro.cli(
        CollectConfig,
        args=argv,
        prog="python -m train collect",
        description=HELP,
        config=(tyro.conf.PositionalRequiredArgs, tyro.conf.FlagCreatePairsOff),
    )
    print(collect(config, print).summary(config))
    return 0

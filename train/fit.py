"""Train a generator; started again with the same line, it goes on where it stopped."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from stylegan.config import TrainConfig, preset
from stylegan.data import Pictures
from stylegan.model import find_device
from stylegan.training.loop import fit
from stylegan.training.step import fast_precision

HELP = """python -m train fit --data data/photos64.zip --preset tiny --minutes 60

python -m train fit --data data/photos256.zip --preset auto --mirror --kimg 1000

Unset flags take the preset's values, shown below once --data is given. The same line started again
goes on from the saved state."""


@dataclass(frozen=True)
class First:
    """What the other flags' defaults depend on."""

    data: str
    preset: str = "auto"
    device: str = "auto"


@dataclass(frozen=True)
class Call:
    """Settings, and how this call treats the run."""

    config: Annotated[TrainConfig, tyro.conf.arg(name="")]
    run: str | None = None
    """Run folder; runs/DATA-PRESET if not given."""
    fresh: bool = False
    """Set an earlier run in that folder aside and begin again."""
    dry_run: bool = False
    """Print the settings and stop."""


def main(argv: list[str]) -> int:
    """Parse, print the settings, train; 0 when the budget is used up, 75 when stopped."""
    call = _parse(argv)
    config = call.config
    folder = Path(call.run or f"runs/{Path(config.data).resolve().stem}-{config.preset}")
    print(json.dumps(dataclasses.asdict(config), indent=2))
    if call.dry_run:
        print(f"would train in {folder}")
        return 0
    return fit(config, folder, fresh=call.fresh).value


def _parse(argv: list[str]) -> Call:
    """Flags over preset; the preset is resolved for the size of the data."""
    if {"-h", "--help"} & set(argv):
        default = preset("auto", 64, 3, 0)
    else:
        first, _ = tyro.cli(First, args=argv, prog="python -m train fit", return_unknown_args=True)
        pictures = Pictures(first.data)
        default = preset(first.preset, pictures.resolution, pictures.channels, pictures.c_dim)
        default = dataclasses.replace(default, data=first.data)
        if default.precision != "float32":
            fast = fast_precision(find_device(first.device))
            default = dataclasses.replace(default, precision=fast)
    return tyro.cli(
        Call,
        args=argv,
        default=Call(default),
        prog="python -m train fit",
        description=HELP,
        config=(tyro.conf.FlagCreatePairsOff,),
    )

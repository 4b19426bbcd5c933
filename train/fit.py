"""Train a generator; started again with the same line, it goes on where it stopped."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tqdm import tqdm

from stylegan.card import Answers
from stylegan.config import TrainConfig, UserError
from stylegan.data import Pictures
from stylegan.distributed import LOST_CODE, PeerLost, world
from stylegan.model import find_device
from stylegan.presets import preset
from stylegan.publish import check_access
from stylegan.release import save_answers
from stylegan.training import given
from stylegan.training.listeners import Listener
from stylegan.training.loop import Outcome, fit
from stylegan.training.page import Page
from stylegan.training.push import Pusher
from stylegan.training.run import BEST, CONFIG
from stylegan.training.step import fast_precision
from stylegan.training.tracking import Trackio
from stylegan.training.transfer import after_growth, like, source_network
from stylegan.version import ROOT

HELP = """python -m train fit --data data/photos64.zip --preset tiny --minutes 60

python -m train fit --data data/photos256.zip --preset auto --mirror --kimg 1000

Unset flags take the preset's values, shown below once --data is given. The same line started again
goes on from the saved state."""


@dataclass(frozen=True)
class First:
    """What the other flags' defaults depend on."""

    data: str
    preset: str = "auto"
    loss: str = TrainConfig.loss
    device: str = "auto"
    resume_from: str = ""
    run: str | None = None
    fresh: bool = False


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
    push_to_hub: str = ""
    """USER/NAME on the Hub, private if it is new, that snapshots are sent to in the background."""
    push_every: int = 1
    """Snapshots from one that is sent to the next."""
    track: Literal["none", "trackio"] = "none"
    """Tell scalars, grids, settings and the best model to a tracker as well."""
    project: str = ""
    """The tracker's project; the name of the data, if not given."""
    track_space: str = ""
    """Space on the Hub, USER/NAME, that trackio sends it all to; else it stays here."""
    answers: Annotated[Answers, tyro.conf.arg(name="")] = field(default_factory=Answers)


def main(argv: list[str]) -> int:
    """Parse, print the settings, train; 0 when the budget is used up, 75 when stopped."""
    call, usual = _parse(argv)
    if call.push_every < 1:
        raise UserError(f"push_every {call.push_every} is less than 1")
    if (call.project or call.track_space) and call.track == "none":
        raise UserError("--project and --track-space are for a tracker: --track trackio")
    if call.push_every != Call.push_every and not call.push_to_hub:
        raise UserError("--push-every is for snapshots that are sent: --push-to-hub USER/NAME")
    if call.answers != Answers() and not call.push_to_hub:
        raise UserError("what is told for the card needs --push-to-hub USER/NAME")
    config = call.config
    folder = _run_folder(call.run, config)
    if call.fresh or not (folder / CONFIG).exists():  # a run goes on with what it has
        given.check(config, usual)
    rank, _ = world()
    if rank == 0:
        print(json.dumps(dataclasses.asdict(config), indent=2))
    if call.dry_run:
        print(f"would train in {folder}")
        return 0
    try:
        if call.push_to_hub and rank == 0:
            return _fit_and_push(call, folder)
        return fit(config, folder, fresh=call.fresh, listeners=_listeners(call)).value
    except PeerLost as error:
        print(f"train: {error}", file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(LOST_CODE)  # an ordinary exit would wait for those that are gone


def _fit_and_push(call: Call, folder: Path) -> int:
    """Train, with snapshots sent to the Hub on the way; whether they arrive decides nothing."""
    check_access(call.push_to_hub, tqdm.write)
    if call.answers != Answers():
        save_answers(folder, call.answers)
    pusher = Pusher(partial(_line, call.push_to_hub), folder, call.push_every, tqdm.write)
    listeners = _listeners(call)
    outcome = fit(call.config, folder, fresh=call.fresh, push=pusher, listeners=listeners)
    if outcome is Outcome.DONE:
        pusher.finish(folder / BEST)
    return outcome.value


def _listeners(call: Call) -> list[Listener]:
    """The run's page, and the tracker that is asked for."""
    found: list[Listener] = [Page()]
    if call.track == "trackio":
        project = call.project or Path(call.config.data).resolve().stem
        found.append(Trackio(project, call.track_space))
    return found


def _line(repo: str, model: Path) -> list[str]:
    """The command that sends a model."""
    begin = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from train.__main__ import main; "
    words = ["publish", str(model), repo]
    return [sys.executable, "-c", f"{begin}sys.exit(main(sys.argv[1:]))", *words]


def _run_folder(named: str | None, config: TrainConfig) -> Path:
    return Path(named or f"runs/{Path(config.data).resolve().stem}-{config.preset}")


def _parse(argv: list[str]) -> tuple[Call, TrainConfig]:
    """Flags over preset, and what they stand over; the preset is resolved for the data's size."""
    source = None
    if {"-h", "--help"} & set(argv):
        default = preset("auto", 64, 3, 0)
    else:
        first, _ = tyro.cli(
            First,
            args=argv,
            prog="python -m train fit",
            return_unknown_args=True,
            config=(tyro.conf.FlagCreatePairsOff,),
        )
        pictures = Pictures(first.data)
        size = (pictures.resolution, pictures.channels, pictures.c_dim)
        default = preset(first.preset, *size, gpus=world()[1], loss=first.loss)
        default = dataclasses.replace(default, data=first.data)
        if default.precision != "float32":
            fast = fast_precision(find_device(first.device))
            default = dataclasses.replace(default, precision=fast)
        if first.resume_from:
            noted = None if first.fresh else _run_folder(first.run, default) / CONFIG
            source = source_network(first.resume_from, noted)
            default = like(default, source)
    call = tyro.cli(
        Call,
        args=argv,
        default=Call(default),
        prog="python -m train fit",
        description=HELP,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    told = any(arg.partition("=")[0].replace("_", "-") == "--start-kimg" for arg in argv)
    if source is None or told:
        return call, default
    return dataclasses.replace(call, config=after_growth(call.config, source)), default

"""fit: from settings and a run folder to a trained generator, in as many calls as it takes."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import psutil
import torch
from tqdm import tqdm

from stylegan import data, extras
from stylegan.config import TrainConfig, UserError
from stylegan.evaluate import check_names
from stylegan.model import find_device

from . import augment, run, snapshot, state
from .step import Chance, Trainer

SAVE_MINUTES = 5.0
"""Time between two saved states, at the ends of ticks."""


class Outcome(Enum):
    """How a call of `fit` ended."""

    DONE = 0
    """The budget is used up."""
    STOPPED = 75
    """Interrupted, with a saved state to go on from."""


class _Stop:
    """Set by Ctrl-C or SIGTERM; the loop looks at it after each step."""

    requested = False


def fit(
    config: TrainConfig,
    folder: str | Path,
    fresh: bool = False,
    say: Callable[[str], None] = tqdm.write,
    push: Callable[[Path], None] = lambda model: None,
) -> Outcome:
    """Train in the run folder, going on from what is there; `fresh` sets that aside.

    `push` is handed each snapshot's model folder, and returns at once.

    The result is a function of the settings and the data alone, however often it was interrupted.
    """
    # Settings, pictures, a folder of one's own
    folder, device = Path(folder), find_device(config.device)
    pictures = data.Pictures(config.data, mirror=config.mirror)
    _check(config, pictures, device)
    with run.locked(folder), signals() as stop:
        # Networks, and where they stood
        trainer = Trainer(config, device)
        begun_with = None
        if config.resume_from and (fresh or not state.exists(folder)):
            begun_with = trainer.start_from(config.resume_from)
        run.begin(folder, config, pictures, fresh)
        at = state.load_latest(folder, trainer)
        if at is None:
            at = state.Progress.beginning(config)
            if begun_with is not None:
                say(begun_with.summary())
                run.note_beginning(folder, str(begun_with))
            snapshot.first_grids(folder, trainer, pictures)
            say(f"begins in {folder}, {_sizes(trainer)}")
        else:
            say(f"goes on in {folder} at {at.nimg / 1000:.1f} kimg, {_sizes(trainer)}")
        run.cut_stats(folder, at.stats_bytes)

        # Steps
        began = saved = now = time.monotonic()
        outcome = Outcome.DONE
        reals = data.batches(pictures, config.seed, at.nimg, config.batch)
        with closing(reals), _board(folder, at, say) as board, _bar(config, at) as bar:
            while not _spent(config, at.nimg, now - began):
                images, labels = next(reals)
                trainer.step(images, labels, at.nimg, Chance(config, pictures, at.nimg, device))
                at.nimg += config.batch
                bar.update(config.batch)
                before, now = now, time.monotonic()
                at.seconds += now - before
                at.tick_seconds += now - before

                # A tick: statistics, now and then a snapshot, and the state
                if at.nimg >= at.tick_start_nimg + config.tick_kimg * 1000:
                    at.tick += 1
                    bar.clear()
                    line = _tick(config, trainer, at, device)
                    if at.tick % config.snap == 0:
                        line.update(snapshot.write(folder, config, trainer, pictures, at))
                        push(snapshot.model_folder(folder, at))
                    at.stats_bytes = run.append_stats(folder, line)
                    board(line)
                    say(_tick_line(line))
                    at.tick_start_nimg, at.tick_seconds = at.nimg, 0.0
                    bar.reset()
                    now = time.monotonic()
                    if at.tick % config.snap == 0 or now - saved > SAVE_MINUTES * 60:
                        state.save(folder, trainer, at)
                        saved = now = time.monotonic()
                if stop.requested:
                    outcome = Outcome.STOPPED
                    break

        # The end: everything is on disk before a word is said
        if outcome is Outcome.DONE and not snapshot.model_folder(folder, at).exists():
            snapshot.write(folder, config, trainer, pictures, at)
            push(snapshot.model_folder(folder, at))
        state.save(folder, trainer, at)
        if outcome is Outcome.DONE:
            say(f"done at {at.nimg / 1000:.1f} kimg: {snapshot.model_folder(folder, at)}")
        else:
            say(f"stopped at {at.nimg / 1000:.1f} kimg, all saved; the same line goes on from here")
        return outcome


def _check(config: TrainConfig, pictures: data.Pictures, device: torch.device) -> None:
    """What settings alone cannot tell, before anything is written."""
    network = config.network
    ours = (network.resolution, network.channels, network.c_dim)
    theirs = (pictures.resolution, pictures.channels, pictures.c_dim)
    if ours != theirs:
        raise UserError(
            f"{config.data} has resolution, channels and classes {theirs}, the network {ours}"
        )
    if config.augpipe not in augment.PIPES:
        raise UserError(
            f"there is no augpipe {config.augpipe!r}; there are: {', '.join(augment.PIPES)}"
        )
    check_names(config.metric_names)
    if config.precision == "float16" and device.type == "cpu":
        raise UserError("float16 is for GPUs; on a CPU use bfloat16 or float32")


def _sizes(trainer: Trainer) -> str:
    g, d = (
        sum(p.numel() for p in network.parameters()) / 1e6
        for network in (trainer.generator, trainer.discriminator)
    )
    return f"generator {g:.2f} M parameters, discriminator {d:.2f} M, on {trainer.device}"


def _spent(config: TrainConfig, nimg: int, seconds: float) -> bool:
    return (config.kimg is not None and nimg >= config.kimg * 1000) or (
        config.minutes is not None and seconds >= config.minutes * 60
    )


@contextmanager
def signals() -> Iterator[_Stop]:
    """Let Ctrl-C and SIGTERM end the step, not the process; a second one ends it at once."""
    stop = _Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def request(number: int, frame: object) -> None:
        stop.requested = True
        signal.signal(number, before[number])

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, request) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _bar(config: TrainConfig, at: state.Progress) -> tqdm:
    """Progress within a tick; silent where nobody watches."""
    return tqdm(
        total=int(config.tick_kimg * 1000),
        initial=at.nimg - at.tick_start_nimg,
        unit="img",
        leave=False,
        disable=None,
    )


@contextmanager
def _board(
    folder: Path, at: state.Progress, say: Callable[[str], None]
) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Write each tick for TensorBoard, where it is installed; what a state takes back is purged."""
    try:
        module = extras.need("torch.utils.tensorboard")
    except UserError as error:
        say(f"no TensorBoard events: {error}")
        yield lambda line: None
        return
    with module.SummaryWriter(folder / "events", purge_step=at.nimg + 1) as writer:

        def add(line: dict[str, Any]) -> None:
            for name, value in line.items():
                number = value["mean"] if isinstance(value, dict) else value
                if number is not None:
                    writer.add_scalar(name, number, line["Progress/nimg"])
            writer.flush()

        yield add


# Ticks


def _tick(
    config: TrainConfig, trainer: Trainer, at: state.Progress, device: torch.device
) -> dict[str, Any]:
    """One line of stats.jsonl."""
    nimg = at.nimg - at.tick_start_nimg
    gpu = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return {
        "Progress/tick": at.tick,
        "Progress/nimg": at.nimg,
        "Progress/kimg": at.nimg / 1000,
        "Progress/augment_p": trainer.p,
        "Timing/total_sec": round(at.seconds, 3),
        "Timing/sec_per_tick": round(at.tick_seconds, 3),
        "Timing/sec_per_kimg": round(at.tick_seconds / nimg * 1000, 3),
        "Timing/img_per_sec": round(nimg / at.tick_seconds, 3),
        "Resources/cpu_mem_gib": round(psutil.Process().memory_info().rss / 2**30, 3),
        "Resources/gpu_mem_gib": round(gpu / 2**30, 3),
        **trainer.tally.finish(),
    }


def _tick_line(line: dict[str, Any]) -> str:
    """What a person reads of it."""
    minutes, seconds = divmod(int(line["Timing/total_sec"]), 60)
    r_t = line["Loss/signs/real"]["mean"]
    parts = [
        f"tick {line['Progress/tick']:<4d} kimg {line['Progress/kimg']:<8.1f}",
        f"time {minutes // 60}:{minutes % 60:02d}:{seconds:02d}",
        f"sec/tick {line['Timing/sec_per_tick']:<7.1f}",
        f"sec/kimg {line['Timing/sec_per_kimg']:<7.2f}",
        f"img/s {line['Timing/img_per_sec']:<6.1f} cpu {line['Resources/cpu_mem_gib']:.1f} GiB",
        f"gpu {line['Resources/gpu_mem_gib']:.1f} GiB  p {line['Progress/augment_p']:.3f}",
        "r_t -" if r_t is None else f"r_t {r_t:.3f}",
    ]
    parts += [f"{k.removeprefix('Metrics/')} {v:.2f}" for k, v in line.items() if "Metrics/" in k]
    return "  ".join(parts)

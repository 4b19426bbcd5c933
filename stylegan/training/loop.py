"""fit: from settings and a run folder to a trained generator, in as many calls as it takes."""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from enum import Enum
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from stylegan import control, data, runs
from stylegan.chance import seed_after
from stylegan.config import RunError, TrainConfig, UserError
from stylegan.distributed import Group, PeerLost, joined
from stylegan.evaluate import available, check_names
from stylegan.model import find_device

from . import alerts, augment, memory, report, run, schedule, snapshot, state, validation
from .guards import MOST_RETRIES, Trouble
from .listeners import Listener, Listeners
from .push import Push
from .step import Chance, Trainer

SAVE_MINUTES = 5.0
"""Time between two saved states, at the ends of ticks."""


class Outcome(Enum):
    """How a call of `fit` ended."""

    DONE = 0
    """The budget is used up."""
    STOPPED = 75
    """Interrupted, with a saved state to go on from."""


class Stop:
    """Set by Ctrl-C or SIGTERM; the loop looks at it after each step."""

    requested = False


def fit(
    config: TrainConfig,
    folder: str | Path,
    fresh: bool = False,
    say: Callable[[str], None] = tqdm.write,
    push: Push | None = None,
    listeners: Sequence[Listener] = (),
) -> Outcome:
    """Train in the run folder, going on from what is there; `fresh` sets that aside.

    Started by torchrun, it is one of several processes that train as one. Raises PeerLost where
    another one has ended, RunError where the run cannot go on.

    The result is a function of the settings and the data alone, however often it was interrupted.
    """
    with joined(find_device(config.device)) as (group, device):
        pictures = data.Pictures(config.data, mirror=config.mirror)
        _check(config, pictures, device, group)
        held = validation.held_out(config, pictures)
        with ExitStack() as open_until_the_end:
            lock = run.locked(Path(folder))
            group.first(lambda: open_until_the_end.enter_context(lock))
            if group.is_first:
                open_until_the_end.enter_context(_asked_of(Path(folder), say))
            stop = open_until_the_end.enter_context(signals())
            training = Training(config, Path(folder), pictures, device, group)
            training.say = say if group.is_first else _silently
            training.push = push or Push()
            training.held = held
            training.hear = Listeners(listeners if group.is_first else (), training.say)
            try:
                training.begin(fresh)
                training.hear.begins(training.folder)
                outcome = training.train(stop)
                training.end(outcome)
            except PeerLost as error:
                raise PeerLost(
                    f"{error}; it is saved at {training.saved_nimg / 1000:.1f} kimg, and the same "
                    "line goes on from there"
                ) from error
            except RunError as error:
                training.hear.ends(f"failed: {error}")
                raise
            return outcome


class Training:
    """A run while it is trained."""

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        pictures: data.Pictures,
        device: torch.device,
        group: Group,
    ) -> None:
        self.config, self.folder, self.pictures = config, folder, pictures
        self.device, self.group = device, group
        self.say: Callable[[str], None] = tqdm.write
        self.push = Push()
        self.held: data.Pictures | None = None
        self.hear = Listeners((), self.say)
        self.metrics = config.metric_names
        self.trainer = Trainer(config, device, group)
        self.ear = control.Ear(folder, lambda words: self.say(words)) if group.is_first else None
        self.history: list[report.Line] = []
        self.at = state.Progress.beginning(config)
        self.began = self.saved = time.monotonic()
        self.saved_nimg = self.snapped_nimg = self.at.nimg

    # Networks, and where they stood

    def begin(self, fresh: bool) -> None:
        """Load the latest state, or begin the run; it is saved before the first step."""
        config, folder, trainer = self.config, self.folder, self.trainer
        begun_with = None
        if config.resume_from and (fresh or not state.exists(folder)):
            begun_with = trainer.start_from(config.resume_from)
        self.group.first(lambda: run.begin(folder, config, self.pictures, fresh))
        self.group.first(self._find_metrics)
        sizes = f"{_sizes(trainer)}; {memory.sentence(trainer)}"
        if self._load():
            self.say(f"goes on in {folder} at {self.at.nimg / 1000:.1f} kimg, {sizes}")
            return
        if begun_with is not None:
            self.say(begun_with.summary())
            self.group.first(lambda: run.note_beginning(folder, str(begun_with)))
        self.group.first(lambda: snapshot.first_grids(folder, trainer, self.pictures))
        self.say(f"begins in {folder}, {sizes}")
        self._save()

    def _find_metrics(self) -> None:
        self.metrics = available(self.config.metric_names, self.config.detector, self.say)

    def _load(self) -> bool:
        """Go on from the latest state, if there is one."""
        at = state.load_latest(self.folder, self.trainer)
        nimg = torch.tensor([-1 if at is None else at.nimg])
        if self.group.sum_(nimg.clone()).item() != nimg.item() * self.group.size:
            raise RunError(f"the processes of the run do not all see the same folder {self.folder}")
        self.group.share_(self.trainer.weights())
        self.at = at or self.at
        self.saved_nimg = self.at.nimg
        return at is not None

    # Steps

    def train(self, stop: Stop) -> Outcome:
        """Until the budget is used up or someone stops it, over any number of rollbacks."""
        outcome = None
        while outcome is None:
            self.group.first(self._take_back)
            try:
                outcome = self._steps(stop)
            except Trouble as trouble:
                self._roll_back(trouble)
        return outcome

    def _take_back(self) -> None:
        """Forget what was written after the state that training goes on from."""
        run.cut(self.folder, run.STATS, self.at.stats_bytes)
        run.cut(self.folder, run.ALERTS, self.at.alerts_bytes)
        before = runs.Stats(self.folder / run.STATS)
        before.read()
        self.history = before.lines

    def _steps(self, stop: Stop) -> Outcome:
        config, at, trainer, group = self.config, self.at, self.trainer, self.group
        drawn = dataclasses.replace(config, seed=seed_after(config.seed, at.retries))
        batch = partial(schedule.batch, config=config)
        rows = trainer.share_of
        reals = data.batches(self.pictures, drawn.seed, at.nimg, batch, rows=rows)
        board = report.board(self.folder, at, self.say)
        with (
            closing(reals),
            board if group.is_first else nullcontext(_silently) as write,
            report.bar(config, at, group.is_first) as bar,
            memory.shortage_in_words(trainer),
        ):
            now, ended, stopped = time.monotonic(), self._spent(), False
            while not ended:
                asked_for = time.monotonic()
                images, labels = next(reals)
                trainer.tally.add(alerts.WAITED, time.monotonic() - asked_for)
                chance = Chance(drawn, self.pictures, at.nimg, self.device)
                trainer.step(images, labels, at.nimg, chance)
                at.nimg += trainer.batch
                bar.update(trainer.batch)
                before, now = now, time.monotonic()
                at.seconds += now - before
                at.tick_seconds += now - before
                trainer.tally.add(alerts.STEPPED, now - before)

                # Where all processes agree what comes next
                ended, stopped, asked = group.any(
                    self._spent(), stop.requested, self._requests().snapshot
                )
                ticks = at.nimg >= at.tick_start_nimg + config.tick_kimg * 1000
                saves = ticks or ended or stopped or asked
                if saves or self.device.type == "cpu":  # a GPU is not asked at every step: it
                    trainer.guard.check()  # would have to wait
                if ticks:
                    bar.clear()
                    self._tick(write)
                    bar.reset()
                    stopped = group.any(stopped or self._asked_to_stop())[0]
                if asked:
                    bar.clear()
                    self._snapshot_as_asked()
                if ticks or asked:
                    now = time.monotonic()
                if stopped:
                    return Outcome.STOPPED
        return Outcome.DONE

    def _spent(self) -> bool:
        config, seconds = self.config, time.monotonic() - self.began
        return (config.kimg is not None and self.at.nimg >= config.kimg * 1000) or (
            config.minutes is not None and seconds >= config.minutes * 60
        )

    # A tick: statistics, now and then a snapshot, and the state

    def _tick(self, write: Callable[[report.Line], None]) -> None:
        at = self.at
        at.tick += 1
        left = report.left_sec(self.config, at, time.monotonic() - self.began)
        line = report.tick(self.trainer, at, left)
        snaps = at.tick % self.config.snap == 0

        def note() -> None:
            if snaps:
                line.update(self._snapshot())
            at.stats_bytes = run.append(self.folder, run.STATS, line)
            self.history.append(line)
            write(line)
            self.say(report.sentence(line))
            self._alert()
            self.hear.tick(line, snapshot.model_folder(self.folder, at) if snaps else None)

        self.group.first(note)
        at.tick_start_nimg, at.tick_seconds = at.nimg, 0.0
        late = self.group.is_first and time.monotonic() - self.saved > SAVE_MINUTES * 60
        if self.group.any(snaps or late)[0]:
            self._save()

    def _alert(self) -> None:
        """Note and say which alerts begin and end with the last tick."""
        standing = alerts.standing(runs.read_events(self.folder))
        begun, ended = alerts.changes(self.history, self.config, standing)
        moment = {k: self.history[-1][f"Progress/{k}"] for k in ("tick", "nimg", "kimg")}
        events = [{"state": alerts.BEGINS, **alert.event()} for alert in begun]
        events += [{"state": alerts.ENDS, "alert": kind} for kind in ended]
        for event in events:
            self.at.alerts_bytes = run.append(self.folder, run.ALERTS, {**moment, **event})
        for words in (f"alert, {alert}" for alert in begun):
            self.say(words)
        for kind in ended:
            self.say(f"the alert of {kind} is over")

    def _snapshot(self, asked: bool = False) -> report.Line:
        """Grid, metrics and model; gives the numbers for the tick's line."""
        self.snapped_nimg = self.at.nimg
        found = snapshot.write(
            *(self.folder, self.config, self.trainer, self.pictures, self.at),
            *(self.metrics, self.say, asked),
        )
        if self.held is not None:
            found |= validation.scores(self.trainer, self.pictures, self.held)
        self.push(snapshot.model_folder(self.folder, self.at, asked))
        if self.config.keep is not None:
            run.prune(self.folder, self.config.keep, self.push.needs())
        return found

    def _save(self) -> None:
        self.trainer.settle()
        self.group.first(lambda: state.save(self.folder, self.trainer, self.at))
        self.saved, self.saved_nimg = time.monotonic(), self.at.nimg

    # What is asked of it from outside, by control.json

    def _requests(self) -> control.Requests:
        return self.ear.listen() if self.ear else control.Requests()

    def _asked_to_stop(self) -> bool:
        if not self._requests().stop or not control.take(self.folder, "stop"):
            return False
        self.say("stops at the end of this tick, as asked")
        return True

    def _snapshot_as_asked(self) -> None:
        """A snapshot outside of the ticks' own, whose numbers are in its metrics.json alone."""

        def write() -> None:
            if control.take(self.folder, "snapshot") and self.snapped_nimg != self.at.nimg:
                self._snapshot(asked=True)
                model = snapshot.model_folder(self.folder, self.at, asked=True)
                self.say(f"snapshot at {self.at.nimg / 1000:.1f} kimg, as asked: {model}")

        self.group.first(write)
        self._save()

    # Numbers that are not finite: back to the saved state, and on by other draws

    def _roll_back(self, trouble: Trouble) -> None:
        found = f"at {self.at.nimg / 1000:.1f} kimg {trouble}"
        retries = self.at.retries + 1
        if self.config.on_nan == "stop" or retries > MOST_RETRIES:
            advice = (
                "--on-nan rollback goes on from there by other draws"
                if self.config.on_nan == "stop"
                else f"it did so after {MOST_RETRIES} rollbacks, too: a lower --lr may help"
            )
            raise RunError(
                f"{found}; the run is saved at {self.saved_nimg / 1000:.1f} kimg; {advice}"
            )
        self._load()
        self.at.retries = retries
        self.say(
            f"{found}; back to {self.at.nimg / 1000:.1f} kimg and on by other draws, "
            f"{retries} of {MOST_RETRIES} times"
        )
        self._save()

    # The end: everything is on disk before a word is said

    def end(self, outcome: Outcome) -> None:
        """Write the last model and the state."""
        model = snapshot.model_folder(self.folder, self.at)
        if outcome is Outcome.DONE:
            self.group.first(lambda: None if model.exists() else self._snapshot())
        self._save()
        kimg = f"{self.at.nimg / 1000:.1f} kimg"
        if outcome is Outcome.DONE:
            self.say(f"done at {kimg}: {model}")
            self.hear.ends(f"done at {kimg}, its budget is used up")
        else:
            self.say(f"stopped at {kimg}, all saved; the same line goes on from here")
            self.hear.ends(f"stopped at {kimg}; the same line goes on from there")


def _check(
    config: TrainConfig, pictures: data.Pictures, device: torch.device, group: Group
) -> None:
    """What settings alone cannot tell, before anything is written."""
    network = config.network
    ours = (network.resolution, network.channels, network.c_dim)
    theirs = (pictures.resolution, pictures.channels, pictures.c_dim)
    if ours not in (theirs, (*theirs[:2], 0)):  # labels may go unused
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
    for _, batch in schedule.stages(config):
        mbstd = min(network.mbstd_group, batch)
        if batch // mbstd % group.size:
            raise UserError(
                f"a batch of {batch} in mbstd groups of {mbstd} cannot be shared equally by "
                f"{group.size} processes"
            )


def _sizes(trainer: Trainer) -> str:
    g, d = (
        sum(p.numel() for p in network.parameters()) / 1e6
        for network in (trainer.generator, trainer.discriminator)
    )
    where = f"{trainer.group.size} x {trainer.device.type}" if trainer.group.size > 1 else None
    return f"generator {g:.2f} M parameters, discriminator {d:.2f} M, on {where or trainer.device}"


@contextmanager
def _asked_of(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Requests are for the call in which they are made: none from before it, and none after."""
    if control.clear(folder):
        say(f"{control.CONTROL} is from before this call; it is dropped")
    try:
        yield
    finally:
        control.clear(folder)


def _silently(something: object) -> None:
    """Where only the first process speaks."""


@contextmanager
def signals() -> Iterator[Stop]:
    """Let Ctrl-C and SIGTERM end the step, not the process; a second one ends it at once."""
    stop = Stop()
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

"""What a run should tell its owner: pure functions from its ticks and settings to alerts."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from stylegan.config import TrainConfig
from stylegan.metric_names import higher_is_better
from stylegan.runs import KIMG, METRIC

Line = dict[str, Any]
"""One line of stats.jsonl."""

BEGINS, ENDS = "begins", "ends"

OVERFITTING_TICKS = 5
LEAKING_P = 0.8  # from here on augmentations leak into what is drawn (arXiv 2006.06676, 2.2)
R_T_MARGIN = 0.05  # ADA at rest stays this near: within 0.04 in 20 ticks of portraits-64
SURE_R_T = 0.95  # where no p answers it: 39 of 40 training pictures are known as such
HALF_R_V, LESS_R_V = 0.5, 0.4  # begins and ends; 0.5: held out is as near to fake as to training
R_V_SNAPSHOTS = 3

COLLAPSED = (
    0.2  # pictures differ this much as real ones do; sound runs stay above 0.27, see the tests
)
FALLEN = 0.5  # of the most that an earlier snapshot had
COLLAPSED_SNAPSHOTS = 2
NEVER_SNAPSHOTS = 10  # that may pass before pictures differ: young runs draw one blur for a while

RUNAWAY_LOSS = 20.0  # a logistic loss of x is a score x on the wrong side: odds of e^20 to 1
RUNAWAY_TIMES = 20.0  # of its own median, for Wasserstein losses, whose scale is free
RUNAWAY_TICKS = 4  # that such a median needs
NONFINITE_TICKS = 2  # one tick of them comes and goes, in float16 above all
CALM_TICKS = 3  # after which a divergence is over

MEMORISED = 0.1  # share of samples that are copies; sets without twins measure about 0
RELEARNED = 0.05  # where the alert ends

PLATEAU_SNAPSHOTS = 10
PLATEAU_KIMG = 50.0  # that they span at least: chance hides the progress of less
PLATEAU_NOISE = 2.0  # standard errors that count as a change

STARVED_SHARE, FED_SHARE = 0.3, 0.15  # of the time of a step, where the alert begins and ends
STARVED_TICKS = 3  # the first one decodes what later ones find in memory

R_T, P, R_V = "Loss/signs/real", "Progress/augment_p", "Validation/r_v"
LOSSES = ("Loss/D/loss", "Loss/G/loss")
NONFINITE = "Guards/nonfinite/"
DIVERSITY = "Samples/diversity"
MEMORISATION = "Metrics/memorisation"
WAITED, STEPPED = "Timing/data_sec", "Timing/step_sec"


@dataclass(frozen=True)
class Alert:
    """Something that the owner of a run should know."""

    kind: str
    seen: str
    """With numbers."""
    means: str
    """Usually."""
    advice: str
    """Which flag to try."""

    def event(self) -> Line:
        """For a line of alerts.jsonl."""
        return {"alert": self.kind, "seen": self.seen, "means": self.means, "advice": self.advice}

    def __str__(self) -> str:
        return f"{self.kind}: {self.seen}. It usually means that {self.means}. Try: {self.advice}."


History = Sequence[Line]
Check = Callable[[History, TrainConfig, bool], "Alert | None"]
"""An alert that holds after the last tick; it is told whether it held before."""


# The discriminator knows the pictures by heart


def overfitting(history: History, config: TrainConfig, on: bool) -> Alert | None:
    """Held-out pictures score as fakes do; r_t stays high while p, above 0.8, keeps rising; or
    where no p answers it, r_t is near 1. A critic's r_t tells nothing, since its zero is free.
    """
    by_r_t = _leaking if config.aug == "ada" else _sure
    seen = _told_apart(history, on)
    if not seen and config.loss == "logistic":
        seen = by_r_t(history, config, on)
    if not seen:
        return None
    leaks = config.aug == "ada" and history[-1].get(P, 0.0) > LEAKING_P
    more = f"; augmentation no longer helps, and above {LEAKING_P:g} it begins to leak"
    return Alert(
        "overfitting",
        seen,
        f"the discriminator knows the training pictures by heart{more if leaks else ''}",
        ("the model in best, from before it got worse" if config.metrics else "an earlier model")
        + "; a new run with more pictures, "
        + ("" if config.mirror else "--mirror if left and right do not matter, ")
        + ("" if config.aug == _remedy(config) else f"--aug {_remedy(config)}, ")
        + f"a higher --gamma than {config.gamma:g}, or --resume-from a model of others",
    )


def _remedy(config: TrainConfig) -> str:
    """The augmentation against few pictures; ADA goes by r_t."""
    return "ada" if config.loss == "logistic" else "diffaugment"


def _told_apart(history: History, on: bool) -> str:
    """Known where there are held-out pictures (--validation)."""
    last = _series(history, R_V)[-R_V_SNAPSHOTS:]
    if len(last) < R_V_SNAPSHOTS or (max(last) <= LESS_R_V if on else min(last) <= HALF_R_V):
        return ""
    return (
        f"r_v is {last[-1]:.2f} after {R_V_SNAPSHOTS} snapshots beyond {HALF_R_V:g}: the "
        "discriminator scores held-out pictures more like generated ones than like those it "
        "trains on"
    )


def _leaking(history: History, config: TrainConfig, on: bool) -> str:
    lines = history[-OVERFITTING_TICKS:]
    r_ts, ps = [mean(line, R_T) for line in lines], [line.get(P, 0.0) for line in lines]
    if len(lines) < OVERFITTING_TICKS or None in r_ts or ps[-1] <= LEAKING_P:
        return ""
    usual = statistics.fmean(r_ts)
    rises = ps[-1] > ps[0] if on else all(a < b for a, b in pairwise(ps))
    if not rises or (usual if on else min(r_ts)) <= config.target + R_T_MARGIN:
        return ""
    return (
        f"p is {ps[-1]:.2f} and rose in {OVERFITTING_TICKS} ticks running, while r_t stays at "
        f"{usual:.2f}, above the target of {config.target:g}"
    )


def _sure(history: History, config: TrainConfig, on: bool) -> str:
    r_ts = [mean(line, R_T) for line in history[-OVERFITTING_TICKS:]]
    if len(r_ts) < OVERFITTING_TICKS or None in r_ts:
        return ""
    usual = statistics.fmean(r_ts)
    if usual <= SURE_R_T - R_T_MARGIN if on else min(r_ts) <= SURE_R_T or r_ts[-1] < r_ts[0]:
        return ""
    return f"r_t is {usual:.2f} over {OVERFITTING_TICKS} ticks, and does not fall"


# All pictures become one


def collapse(history: History, config: TrainConfig, on: bool) -> Alert | None:
    """Pictures of fixed seeds differ far less than real ones, and less than they did."""
    found = _series(history, DIVERSITY)
    if not found:
        return None
    needed = 1 if on else COLLAPSED_SNAPSHOTS
    last, most = found[-needed:], max(found)
    low = len(last) == needed and max(last) < COLLAPSED
    fell = low and max(last) < FALLEN * most
    never = low and len(found) >= NEVER_SNAPSHOTS and max(found[-NEVER_SNAPSHOTS:]) < COLLAPSED
    if not (fell or never):
        return None
    before = f", after {most:.2f} before" if fell else f" in {NEVER_SNAPSHOTS} snapshots running"
    return Alert(
        "collapse",
        f"the pictures of the grid differ {found[-1]:.2f} times as much as real ones do{before}",
        "the generator draws a few pictures again and again (mode collapse)",
        f"a higher --gamma than {config.gamma:g}, a lower --lr than {config.lr:g}, a larger "
        f"--batch than {config.batch}"
        + (f", --aug {_remedy(config)}" if config.aug == "none" else "")
        + _without_classes_first(config)
        + "; all of it needs a new run, which may begin with an earlier model (--resume-from)",
    )


def _without_classes_first(config: TrainConfig) -> str:
    """Few pictures collapse by their labels (arXiv 2201.06578), which come second then."""
    if not config.network.c_dim or config.resume_from:
        return ""
    return ", with classes only after a run without them (--network.c-dim 0)"


# Numbers run away


def divergence(history: History, config: TrainConfig, on: bool) -> Alert | None:
    """Losses run away, or numbers are not finite."""
    if on:
        recent = range(max(len(history) - CALM_TICKS, 0), len(history))
        seen = next(filter(None, (_runs_away(history[: i + 1], config, 1) for i in recent)), None)
    else:
        seen = _runs_away(history, config, NONFINITE_TICKS)
    if seen is None:
        return None
    precision = "" if config.precision == "float32" else ", --precision float32"
    return Alert(
        "divergence",
        seen,
        "one of the networks has outrun the other, and steps have become too large",
        f"a lower --lr than {config.lr:g} or a higher --gamma than {config.gamma:g}{precision}, in "
        "a new run that may begin with an earlier model (--resume-from); --on-nan rollback lets "
        "this one go back by itself",
    )


def _runs_away(history: History, config: TrainConfig, ticks: int) -> str | None:
    for name in LOSSES:
        if not history or name not in history[-1]:
            continue
        value, words = mean(history[-1], name), f"the loss of {name.split('/')[1]}"
        if value is None:
            return f"{words} is not finite"
        limit = RUNAWAY_LOSS
        if config.loss == "wgan-gp":
            before = [abs(x) for x in _series(history[:-1], name)]
            if len(before) < RUNAWAY_TICKS:
                continue
            limit = max(limit, RUNAWAY_TIMES * statistics.median(before))
        if abs(value) > limit:
            return f"{words} is {value:.3g}, beyond {limit:.3g}"
    counts = [_nonfinite(line) for line in history[-ticks:]]
    if len(counts) == ticks and all(counts):
        last = f" in {ticks} ticks running" if ticks > 1 else ""
        return f"{counts[-1]} numbers of the gradients were not finite{last}"
    return None


def _nonfinite(line: Line) -> int:
    found = (v for k, v in line.items() if k.startswith(NONFINITE))
    return round(sum((v["mean"] or 0) * v["num"] for v in found))


# It no longer gets better


def plateau(history: History, config: TrainConfig, on: bool) -> Alert | None:
    """The first metric has not improved by more than its own noise."""
    if not config.metric_names:
        return None
    told = (key.removeprefix(METRIC) for line in history for key in line if METRIC in key)
    name = next((key for key in told if key.startswith(config.metric_names[0])), "")
    lines = [x for x in history if mean(x, METRIC + name) is not None][-PLATEAU_SNAPSHOTS:]
    if len(lines) < PLATEAU_SNAPSHOTS or lines[-1][KIMG] - lines[0][KIMG] < PLATEAU_KIMG:
        return None
    found = _series(lines, METRIC + name)
    half = PLATEAU_SNAPSHOTS // 2
    before, after = statistics.fmean(found[:half]), statistics.fmean(found[half:])
    gain = after - before if higher_is_better(name) else before - after
    noise = _noise(found) * (2 / half) ** 0.5  # of the difference of two means
    if gain > PLATEAU_NOISE * noise:
        return None
    return Alert(
        "plateau",
        f"{name} was {before:.4g} on average over {half} snapshots and is {after:.4g} over the "
        f"{half} since, which is no gain beyond its noise of {noise:.2g}",
        "the run has given what these settings give",
        "to stop here and keep best; or a new run that begins with it (--resume-from) with a "
        f"lower --lr than {config.lr:g}, another --gamma than {config.gamma:g}, or more pictures",
    )


def _noise(values: Sequence[float]) -> float:
    """Standard deviation of one value, from successive differences, which a trend moves little
    (von Neumann et al., 1941)."""
    return statistics.fmean((b - a) ** 2 / 2 for a, b in pairwise(values)) ** 0.5


# It draws what it was shown


def memorisation(history: History, config: TrainConfig, on: bool) -> Alert | None:
    """Many samples are copies of training pictures; known where that metric is measured."""
    found = _series(history, MEMORISATION)
    if not found or found[-1] <= (RELEARNED if on else MEMORISED):
        return None
    return Alert(
        "memorisation",
        f"{found[-1]:.0%} of the samples are copies of training pictures",
        "there are too few pictures for so long a training, or many of them are nearly the same",
        "memorisation.png of the model shows the pairs; an earlier model; python -m train inspect "
        "to find duplicates; a new run with more pictures"
        + ("" if config.mirror else ", --mirror if left and right do not matter")
        + f", or a smaller network than --network.channel-base {config.network.channel_base}",
    )


# Waiting for pictures


def starving(history: History, config: TrainConfig, on: bool) -> Alert | None:
    """A large share of the time of steps goes into waiting for data."""
    shares = [share for line in history[-STARVED_TICKS:] if (share := _waiting(line)) is not None]
    if len(shares) < STARVED_TICKS:
        return None
    if statistics.fmean(shares) < FED_SHARE if on else min(shares) < STARVED_SHARE:
        return None
    return Alert(
        "starving",
        f"{statistics.fmean(shares):.0%} of the time of {STARVED_TICKS} ticks was spent waiting "
        "for pictures",
        "they are read and decoded more slowly than they are learned from",
        "the zip on a disk of this machine; pictures prepared no larger than the network "
        "(prepare --resolution); more CPU cores",
    )


def _waiting(line: Line) -> float | None:
    waited, stepped = mean(line, WAITED), mean(line, STEPPED)
    return waited / stepped if stepped and waited is not None else None


# All of them

CHECKS: dict[str, Check] = {
    "overfitting": overfitting,
    "collapse": collapse,
    "divergence": divergence,
    "plateau": plateau,
    "memorisation": memorisation,
    "starving": starving,
}


def changes(
    history: History, config: TrainConfig, standing: Collection[str]
) -> tuple[list[Alert], list[str]]:
    """After the last tick: alerts that begin, and kinds of those standing that end."""
    found = {kind: check(history, config, kind in standing) for kind, check in CHECKS.items()}
    begun = [alert for kind, alert in found.items() if alert and kind not in standing]
    return begun, [kind for kind in standing if found.get(kind) is None]


def standing(events: Iterable[Line]) -> list[str]:
    """Kinds of alerts that have begun and not ended, from the lines of alerts.jsonl."""
    kinds: dict[str, None] = {}
    for event in events:
        if event.get("state") == BEGINS:
            kinds[event.get("alert", "")] = None
        else:
            kinds.pop(event.get("alert"), None)
    return list(kinds)


def mean(line: Line, name: str) -> float | None:
    """What a tick measured on average; None where it did not, or not in finite numbers."""
    value = line.get(name)
    return value["mean"] if isinstance(value, dict) else value


def _series(history: History, name: str) -> list[float]:
    return [value for line in history if (value := mean(line, name)) is not None]

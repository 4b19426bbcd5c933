"""A projection under way, for those who watch: its pace, its curve, the frames of its journey."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor

from stylegan import features
from stylegan.config import UserError
from stylegan.model import Model
from stylegan.projector import ProjectConfig, Projected, Projection, Step
from stylegan.tabs.easel import small
from stylegan.tabs.session import MAX_VISITORS

LEAST_STEPS, MOST_STEPS = 10, 1000  # that visitors may ask for
STEP_SEC = 0.25  # between two looks at it
SURE_SEC = 1.0  # of work, before the time left is told
MOST_SEC = 300  # others wait; what was found by then is the result
MOST_FRAMES = 120
MOST_POINTS = 160  # of the curve
STAGES = {"latent": "latent", "noise": "noise maps", "tune": "tuning"}


class Search:
    """One projection of `target`, as `projector.target` makes it."""

    def __init__(
        self, model: Model, target: Tensor, config: ProjectConfig, most_sec: float = MOST_SEC
    ) -> None:
        self.projection = Projection(model, target, config)
        self.config, self.most_sec = config, most_sec
        self.frames: list[np.ndarray] = []
        self.points: list[tuple[int, float]] = []
        self.picture: np.ndarray | None = None
        self.ended = ""  # why it ended before its time
        self._began = time.monotonic()
        self._stages = stages(config)
        self._total = sum(self._stages.values())
        self._before = 0  # steps of the stages that are over

    def run(self) -> Iterator[Step]:
        """Go through all steps, yielding the first, the last, and now and then one between."""
        shown_at, last = -math.inf, None
        for step in self.projection.run():
            if last is not None and step.stage != last.stage:
                self._before += last.step
            self._note(step)
            last, now = step, time.monotonic()
            if now - self._began > self.most_sec:
                minutes = round(self.most_sec / 60)
                self.ended = f"It ended after {minutes} minutes, with the best so far."
                break
            if now - shown_at > STEP_SEC:
                yield step
                shown_at = now
        if last is not None:
            yield last

    def result(self) -> Projected:
        """The best so far."""
        return self.projection.result()

    def value(self, step: Step) -> dict[str, Any]:
        """What the page shows of it."""
        seconds, done = time.monotonic() - self._began, self._before + step.step
        names = list(self._stages)
        later = sum(self._stages[name] for name in names[names.index(step.stage) + 1 :])
        left = step.steps - step.step + later
        words = f"{STAGES[step.stage].capitalize()}: step {step.step} of at most {step.steps}"
        if seconds > SURE_SEC and done and left:
            words += f", about {lasting(seconds / done * left)} left"
        return {
            "state": "running",
            "share": done / max(1, done + left),
            "words": words,
            "curve": self.curve(),
        }

    def curve(self) -> list[tuple[int, float]]:
        """Step and distance, thinned out."""
        stride = math.ceil(len(self.points) / MOST_POINTS) or 1
        return [*self.points[:-1][::stride], *self.points[-1:]]

    def _note(self, step: Step) -> None:
        at = self._before + step.step
        self.points.append((at, round(step.distance, 6)))
        if step.picture is None:
            return
        self.picture = step.picture
        if at >= len(self.frames) * self._total / MOST_FRAMES or step.step == step.steps:
            self.frames.append(small(step.picture))


def stages(config: ProjectConfig) -> dict[str, int]:
    """Most steps of each stage, in their order."""
    found = {"latent": config.most_steps}
    if config.noise and config.method != "paper":
        found["noise"] = config.most_steps
    if config.tune:
        found["tune"] = config.tune_steps
    return found


class Withdrawn:
    """Searches that were cancelled while they waited: gradio begins them all the same.

    A page numbers its searches upwards; what it sends can be anything.
    """

    def __init__(self) -> None:
        self._newest: OrderedDict[str | None, float] = OrderedDict()

    def add(self, visitor: str | None, sent: Any) -> None:
        """Withdraw a visitor's search of this number, and those before it."""
        self._newest[visitor] = max(ticket_of(sent), self._newest.pop(visitor, 0))
        while len(self._newest) > MAX_VISITORS:
            self._newest.popitem(last=False)

    def holds(self, visitor: str | None, sent: Any) -> bool:
        """Whether it was withdrawn."""
        return 0 < ticket_of(sent) <= self._newest.get(visitor, 0)


def ticket_of(sent: Any) -> float:
    """The number of a search in what a page sends, 0 where there is none."""
    ticket = sent.get("ticket") if isinstance(sent, dict) else None
    return ticket if isinstance(ticket, (int, float)) else 0


def lasting(seconds: float) -> str:
    """A time in few words."""
    return f"{max(1, round(seconds))} s" if seconds < 100 else f"{round(seconds / 60)} min"


def allowed_look(name: Any) -> str:
    """The name of a distance that visitors may choose: no file of this machine."""
    allowed = ["auto", "disc", "pixels", *(["vgg"] if features.has_vgg16() else [])]
    if name not in allowed:
        raise UserError(f"pictures are compared by {', '.join(allowed)} here")
    return name

"""Flags as they were given: refused where nothing would read them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from stylegan.config import AugmentConfig, TrainConfig, UserError
from stylegan.runs import flat

from .augment import PIPES

Rule = tuple[tuple[str, ...], Callable[[TrainConfig], object], str]
"""Settings, or groups that end in a dot; whether they are read; what they are for."""

RULES: tuple[Rule, ...] = (
    (("p", "augpipe", "augment."), lambda c: c.aug in ("ada", "fixed"), "--aug ada or fixed"),
    (("target", "ada_kimg", "ada_interval"), lambda c: c.aug == "ada", "--aug ada"),
    (("policy",), lambda c: c.aug == "diffaugment", "--aug diffaugment"),
    (("drift",), lambda c: c.loss == "wgan-gp", "--loss wgan-gp"),
    (("pl_batch_shrink",), lambda c: c.pl_weight, "a --pl-weight above 0"),
    (("growth.",), lambda c: c.network.grows, "pictures that grow, as with --preset v1"),
)


def _strength(name: str) -> Rule:
    """That of a stage, which not every pipe has."""
    stage = {"filter_std": "imgfilter"}.get(name, name.rpartition("_")[0])
    pipes = [pipe for pipe in PIPES if stage in PIPES[pipe]]
    purpose = f"--augpipe {', '.join(pipes)}"
    return (f"augment.{name}",), lambda c: c.augpipe in pipes or c.augpipe not in PIPES, purpose


STRENGTHS = tuple(_strength(f.name) for f in dataclasses.fields(AugmentConfig))


def check(config: TrainConfig, usual: TrainConfig) -> None:
    """Refuse settings other than the usual ones of this call that would do nothing, and ADA where
    it has nothing to go by."""
    if config.aug == "ada" and config.loss == "wgan-gp":
        raise UserError(
            "--aug ada goes by the sign of D's scores, which says nothing with --loss wgan-gp, "
            "whose scores have no zero of their own; take --aug diffaugment, fixed or none"
        )
    here, before = flat(dataclasses.asdict(config)), flat(dataclasses.asdict(usual))
    changed = [name for name in here if here[name] != before[name]]
    for settings, is_read, purpose in (*RULES, *STRENGTHS):
        vain = [x for x in changed if x in settings or f"{x.partition('.')[0]}." in settings]
        if vain and not is_read(config):
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in vain)
            verb = "does" if len(vain) == 1 else "do"
            raise UserError(f"{flags} {verb} nothing with these settings, only with {purpose}")

"""Directions found for a model in every way there is, and what each of them moves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from stylegan.attributes import (
    ColorBetween,
    parse_attribute,
    parse_color_between,
    read_labels,
    read_table,
)
from stylegan.data import Pictures
from stylegan.direction_files import DirectionNote
from stylegan.directions import (
    DirectionError,
    Fit,
    Rows,
    Spread,
    apart,
    check_name,
    closed_form,
    fit,
    fit_groups,
    measure_spread,
    principal,
    random_latents,
)
from stylegan.evaluate import check_fit
from stylegan.judges import Judges, Seen, learn
from stylegan.latents import parse_seeds, shift
from stylegan.mix import bands
from stylegan.model import Model
from stylegan.networks.mapping import broadcast
from stylegan.networks.ops import to_uint8
from stylegan.query import check_rows, read_rows
from stylegan.recipe import Recipe

MOVED = 32  # latents on which it is measured what a direction moves,
MOVE = 2.0  # by so many standard deviations both ways
KEPT_EFFECT = 0.8  # of what a direction does in all rows must be left in fewer
MAX_SEEDS = 1000

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class FindConfig:
    """What is looked for, and how."""

    model: str
    """Model folder."""
    closed_form: int = 0
    """So many directions that change the styles most, without any labels."""
    pca: int = 0
    """So many principal axes of w."""
    positive: str = ""
    """Seeds of pictures that have something, such as 1-20,33."""
    negative: str = ""
    """Seeds of pictures that have it not."""
    name: str = ""
    """The direction that these seeds make; or what closed-form or PCA directions are called."""
    data: str = ""
    """Folder or zip of real pictures, as prepare writes it."""
    table: str = ""
    """CSV file about them: file names in the first column, names of columns in the first line."""
    attributes: tuple[str, ...] = ()
    """Of the table: COLUMN (numbers), or NAME=COLUMN with :LOW..HIGH, :VALUE|VALUE/OTHER|OTHER or
    ~EXPRESSION/OTHER; without OTHER it is against all the rest."""
    group: str = ""
    """Column of what is alike, such as one person's pictures; judged on groups never seen."""
    colors: tuple[str, ...] = ()
    """NAME=COLOUR/OTHER@LEFT,TOP,RIGHT,BOTTOM: a region, in shares of the side, from one colour to
    another; needs no table."""
    apart: bool = True
    """Make each attribute's direction leave the others as they are."""
    only: tuple[str, ...] = ()
    """Attributes and colours to make directions of, all if not given; the others are left as they
    are, and measured."""
    rows: str = ""
    """Rows of ws such as 0-3 that directions are meant for; by itself the fewest that do it."""
    num: int = 2000
    """Generated pictures that are labelled."""
    psi: float = 0.7
    """Truncation of these."""
    folds: int = 3
    """Parts of the real pictures, each held out once."""
    seed: int = 0
    """Decides all chance."""
    device: str = "auto"
    """cpu, cuda, cuda:1 ...; auto takes a GPU where there is one."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("closed_form", 0, 4096),
            ("pca", 0, 4096),
            ("num", 100, 1_000_000),
            ("psi", 0.1, 1.5),
            ("folds", 2, 20),
            ("seed", 0, 2**32 - 1),
        ):
            if not low <= getattr(self, name) <= high:
                raise DirectionError(f"{name} {getattr(self, name)} is outside {low} to {high}")
        if bool(self.positive) != bool(self.negative):
            raise DirectionError("--positive and --negative go together: seeds with and without it")
        if self.positive and not self.name:
            raise DirectionError("say with --name what --positive have and --negative have not")
        if self.name:
            check_name(self.name)
        if self.name and bool(self.positive) + bool(self.closed_form) + bool(self.pca) != 1:
            raise DirectionError("--name is for one of --positive, --closed-form and --pca")
        if bool(self.attributes) != bool(self.table) or bool(self.table) != bool(self.data):
            raise DirectionError("--data, --table and --attributes go together")
        if self.group and not self.table:
            raise DirectionError("--group is a column of --table")

    @property
    def asks(self) -> bool:
        """Whether anything is looked for."""
        return bool(self.closed_form or self.pca or self.positive or self.attributes or self.colors)


@dataclass(frozen=True)
class Found:
    """Directions by name in the order of the settings, and how they came about."""

    steps: dict[str, Tensor] = field(default_factory=dict)
    """Each [w_dim], one standard deviation of w long."""
    notes: dict[str, DirectionNote] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)
    """How well attributes are seen in real pictures."""
    fits: dict[str, Fit] = field(default_factory=dict)
    """How well they, and groups of seeds, are told apart in w."""
    missing: dict[str, str] = field(default_factory=dict)
    """Attributes that no direction was found for, with the reason."""


def find(model: Model, config: FindConfig, progress: Progress | None = None) -> Found:
    """All that the settings ask for."""
    if not config.asks:
        raise DirectionError(
            "nothing is asked for: give --closed-form N, --pca N, --positive and --negative seeds, "
            "--data with --table and --attributes, or --colors"
        )
    rows = _rows(config.rows, model)
    found, say = Found(), progress or (lambda what, done, total: None)
    eyes = _open_eyes(model, config, found, say)  # settings that do not fit end here
    spread = measure_spread(model, config.seed)
    if config.closed_form:
        steps = closed_form(model, spread, config.closed_form, rows)
        method = f"closed form of rows {rows[0]}-{rows[1]}" if rows else "closed form"
        note = DirectionNote(method=method, rows=rows)
        _add_numbered(found, config.name or "closed-form", steps, note)
    if config.pca:
        steps = principal(spread, config.pca)
        _add_numbered(found, config.name or "pca", steps, DirectionNote(method="PCA", rows=rows))
    if config.positive:
        _add_group(found, model, spread, config, rows)
    if eyes.names:
        _add_attributes(found, model, spread, eyes, config, rows, say)
    return found


def _rows(text: str, model: Model) -> Rows | None:
    if not text:
        return None
    first, last = check_rows("--rows", *read_rows("--rows", text)).values()
    if last >= model.num_ws:
        raise DirectionError(f"rows {text}: {model.name} has rows 0 to {model.num_ws - 1}")
    return first, last


# Without labels, and from seeds


def _add_numbered(found: Found, name: str, steps: Sequence[Tensor], note: DirectionNote) -> None:
    for i, step in enumerate(steps, 1):
        found.steps[check_name(f"{name}-{i}")] = step
        found.notes[f"{name}-{i}"] = note


def _add_group(
    found: Found, model: Model, spread: Spread, config: FindConfig, rows: Rows | None
) -> None:
    seeds = [parse_seeds(text, MAX_SEEDS) for text in (config.positive, config.negative)]
    if both := set(seeds[0]) & set(seeds[1]):
        raise DirectionError(f"seed {min(both)} is among --positive and among --negative")
    yes, no = (torch.cat([model.ws(Recipe(seed=seed)) for seed in some]) for some in seeds)
    told = fit_groups(spread, yes, no)
    method = f"{told.has} seeds with it, {told.has_not} without"
    found.fits[config.name] = told
    found.steps[config.name] = spread.step(told.white)
    found.notes[config.name] = DirectionNote(_label(config.name), method, told.accuracy, rows)


def _label(name: str) -> str:
    """A name as words, where it has marks between them."""
    label = name.replace("_", " ").replace("-", " ")
    return "" if label == name else label


# From attributes


@dataclass(frozen=True)
class Eyes:
    """What judges pictures: networks taught with a table, and measures of colour."""

    judges: Judges | None
    attributes: tuple[str, ...]
    colors: tuple[ColorBetween, ...]
    texts: tuple[str, ...]
    """How each was asked for."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of what is scored, in order."""
        return (*self.attributes, *(color.name for color in self.colors))

    def scores(self, images: Tensor) -> Tensor:
        """float64 [N, A] of uint8 [N, C, R, R]: log odds of having each."""
        parts = [self.judges.scores(images)] if self.judges else []
        parts += [color.scores(images)[:, None] for color in self.colors]
        return torch.cat(parts, dim=1).double()


def _open_eyes(model: Model, config: FindConfig, found: Found, say: Progress) -> Eyes:
    attributes = [parse_attribute(text) for text in config.attributes]
    colors = tuple(parse_color_between(text) for text in config.colors)
    names = [one.name for one in (*attributes, *colors)]
    names += [config.name] if config.positive else []
    if len(set(names)) < len(names):
        raise DirectionError(f"{max(names, key=names.count)} is the name of two directions")
    for name in config.only:
        if name not in names:
            asked = ", ".join(names) or "none"
            raise DirectionError(f"--only {name}: no attribute or colour has that name ({asked})")
    judges = None
    if attributes:
        pictures = Pictures(config.data)
        check_fit(model.config, pictures)
        labels = read_labels(pictures, read_table(config.table), attributes, config.group or None)
        judges, seen = learn(
            pictures,
            labels,
            config.folds,
            config.seed,
            model.device,
            lambda done, total: say("learning", done, total),
        )
        found.seen.update(seen)
    texts = (*config.attributes, *config.colors)
    return Eyes(judges, tuple(one.name for one in attributes), colors, texts)


def _add_attributes(
    found: Found,
    model: Model,
    spread: Spread,
    eyes: Eyes,
    config: FindConfig,
    rows: Rows | None,
    say: Progress,
) -> None:
    w = random_latents(model, config.num, config.seed, psi=config.psi)
    ws = broadcast(w, model.num_ws)
    scores = _scores(model, eyes, ws, lambda done: say("labelling", done, len(ws)))
    texts = dict(zip(eyes.names, eyes.texts, strict=True))
    fits: dict[str, Fit] = {}
    for name, column in zip(eyes.names, scores.T, strict=True):
        try:
            fits[name] = fit(spread, w, torch.sigmoid(column))
        except DirectionError as error:
            found.missing[name] = str(error)
    found.fits.update(fits)
    ways = apart(fits) if config.apart else {name: told.white for name, told in fits.items()}
    for name, way in ways.items():
        if config.only and name not in config.only:
            continue
        found.steps[name] = spread.step(way)
        method = f"fitted to {texts[name]}"
        found.notes[name] = DirectionNote(_label(name), method, fits[name].accuracy, rows)
    gauge = _Gauge(model, eyes, scores.std(dim=0), config)
    total = len(found.steps)
    for i, (name, step) in enumerate(found.steps.items()):
        say("measuring", i, total)
        note = found.notes[name]
        chosen = note.rows
        if name in fits and chosen is None:
            chosen = gauge.narrowest(step, eyes.names.index(name))
        moves = gauge.moves(step, chosen)
        found.notes[name] = dataclasses.replace(
            note,
            rows=chosen,
            moves={key: round(float(x), 3) for key, x in zip(eyes.names, moves, strict=True)},
        )
    say("measuring", total, total)


def _scores(
    model: Model, eyes: Eyes, ws: Tensor, progress: Callable[[int], None] | None = None
) -> Tensor:
    """float64 [N, A] of the pictures of ws [N, num_ws, w_dim], drawn batch by batch."""
    found = []
    for part in ws.split(model.batch):
        with torch.no_grad():
            images = to_uint8(model.generator.synthesis(part.to(model.device))).cpu()
        found.append(eyes.scores(images))
        if progress:
            progress(sum(map(len, found)))
    return torch.cat(found)


class _Gauge:
    """Measures on some latents by how much a step moves the scores, in their deviations."""

    def __init__(self, model: Model, eyes: Eyes, deviations: Tensor, config: FindConfig) -> None:
        self.model, self.eyes, self.deviations = model, eyes, deviations
        w = random_latents(model, MOVED, config.seed, "directions/moves", config.psi)
        self.ws = broadcast(w, model.num_ws)

    def moves(self, step: Tensor, rows: Rows | None) -> Tensor:
        """Mean change of each score [A] for a strength of 1."""
        both = torch.cat([shift(self.ws, step, k, rows) for k in (MOVE, -MOVE)])
        more, less = _scores(self.model, self.eyes, both).chunk(2)
        return (more - less).mean(dim=0) / (2 * MOVE) / self.deviations.clamp_min(1e-9)

    def narrowest(self, step: Tensor, own: int) -> Rows | None:
        """The fewest rows, coarse, middle, fine or two of these, that still move its own score."""
        coarse, middle, fine = bands(self.model.num_ws).values()
        choices = [coarse, middle, fine, (coarse[0], middle[1]), (middle[0], fine[1])]
        enough = KEPT_EFFECT * float(self.moves(step, None)[own])
        if enough <= 0:
            return None
        for rows in sorted(choices, key=lambda rows: rows[1] - rows[0]):
            if float(self.moves(step, rows)[own]) >= enough:
                return rows
        return None

"""The metrics: what each draws and looks at, and the record it makes of that.

Each function streams in all processes, and gives what the first one then computes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan import memorisation
from stylegan.config import UserError
from stylegan.detectors import Detector
from stylegan.distances import (
    KID_LEAST,
    Features,
    blocks,
    fid,
    inception_score,
    kid,
    kid_subsets,
    moments,
    path_length,
    precision_recall,
)
from stylegan.metric_names import Metric
from stylegan.sampling import Comparison, count_originals, draw, labels_of, real_halves
from stylegan.streams import Arrays, Streams
from stylegan.swd import swd_of_patches, swd_patches

SWD_MOST_PICTURES = 8192
PR_MOST_REALS = 200_000
IS_MOST_REALS = 50_000
PPL_PAIRS = 50_000
DIVERSITY_SAMPLES = 500
MEMORISATION_SAMPLES = 200
MOST_THUMBS = 50_000
"""Training pictures that samples are held against; more are drawn from by seed."""

SHEETS = ("memorisation.png",)
"""Pictures that metrics leave in a model folder."""

Record = dict[str, Any]
"""One measurement as JSON: metric, value, floor, n, seed, and what else the metric tells."""
Finish = Callable[[], list[Record]]
"""What is left to compute once everything was streamed."""


def fid_of(streams: Streams, metric: Metric) -> Finish:
    """Fréchet distance of all real pictures and n generated ones."""
    detector = streams.detector(metric)
    whole = streams.real_moments(detector)
    a, b = streams.halves(metric.n)
    half = streams.real_moments(detector, a)
    floor = streams.of_reals(
        detector,
        ["fid floor", len(a), streams.comparison.seed],
        lambda x: {"fid": np.array(fid(moments(blocks(x, a)), moments(blocks(x, b))))},
    )
    fakes = streams.fakes(detector, metric.n)

    def finish() -> list[Record]:
        at_floor = {
            "floor": float(floor["fid"]),
            "floor_n": len(a),
            "value_at_floor_n": fid(half, moments(blocks(fakes[: len(a)]))),
        }
        value = fid(whole, moments(blocks(fakes)))
        return [_record(metric, detector, value, metric.n, **at_floor)]

    return finish


def kid_of(streams: Streams, metric: Metric) -> Finish:
    """Kernel distance, which has no bias: its floor is 0 and what chance makes of that."""
    detector, comparison = streams.detector(metric), streams.comparison
    a, b = streams.halves(metric.n)
    if len(a) < KID_LEAST:
        raise UserError(
            f"{metric.name} needs {2 * KID_LEAST} real pictures and {KID_LEAST} generated ones"
        )
    reals, fakes = streams.reals(detector), streams.fakes(detector, metric.n)

    def between(x: Features, y: Features, originals: int | None = None) -> tuple[float, float]:
        return kid(x, y, kid_subsets(len(x), len(y), comparison.seed), originals)

    def finish() -> list[Record]:
        value, error = between(reals, fakes, count_originals(comparison.pictures))
        floor, floor_error = between(reals[a], reals[b])
        beside, error_beside = between(reals[a], fakes[: len(a)])
        more = {"error": error, "floor": floor, "floor_error": floor_error, "floor_n": len(a)}
        more |= {"value_at_floor_n": beside, "error_at_floor_n": error_beside}
        return [_record(metric, detector, value, metric.n, **more)]

    return finish


def precision_recall_of(streams: Streams, metric: Metric) -> Finish:
    """Precision and recall, a record each; their floor is what real pictures reach."""
    detector, device = streams.detector(metric), streams.comparison.device
    a, b = streams.halves(metric.n, PR_MOST_REALS)
    if min(len(a), metric.n) <= metric.k:
        raise UserError(f"{metric.name} needs more than {2 * metric.k} real pictures")
    fakes = streams.fakes(detector, metric.n)
    reals = streams.reals(detector, most=PR_MOST_REALS)
    floor = streams.of_reals(
        detector,
        ["pr floor", metric.k, len(a), streams.comparison.seed],
        lambda x: {"pr": np.array(precision_recall(x[a], x[b], metric.k, device))},
        PR_MOST_REALS,
    )

    def finish() -> list[Record]:
        values = precision_recall(reals, fakes, metric.k, device)
        beside = precision_recall(reals[a], fakes[: len(a)], metric.k, device)
        return [
            _record(metric, detector, value, metric.n, name=f"{metric.name}_{kind}")
            | {"floor": float(least), "floor_n": len(a), "value_at_floor_n": other}
            for kind, value, least, other in zip(
                ("precision", "recall"), values, floor["pr"], beside, strict=True
            )
        ]

    return finish


def inception_score_of(streams: Streams, metric: Metric) -> Finish:
    """Inception score; its floor is that of the real pictures."""
    detector = streams.detector(metric)
    fakes = streams.fakes(detector, metric.n, "probabilities")
    most = min(metric.n, IS_MOST_REALS)
    reals = streams.reals(detector, "probabilities", most)

    def finish() -> list[Record]:
        value, deviation = inception_score(fakes)
        floor = {"floor": inception_score(reals)[0], "floor_n": len(reals)}
        return [_record(metric, detector, value, metric.n, std=deviation, **floor)]

    if len(streams.chosen(most)) < 10 or metric.n < 10:
        raise UserError(f"{metric.name} needs 10 pictures on each side at least")
    return finish


def path_length_of(streams: Streams, metric: Metric) -> Finish:
    """Perceptual path length: nothing of the real pictures is asked."""
    detector, n = streams.detector(metric), streams.comparison.num or PPL_PAIRS
    lengths = streams.paths(detector, metric, n)
    return lambda: [_record(metric, detector, path_length(lengths), n, floor=None)]


def swd_of(streams: Streams, metric: Metric) -> Finish:
    """Sliced Wasserstein distance to a random half of the reals, and that of the other half."""
    comparison = streams.comparison
    pictures, seed = comparison.pictures, comparison.seed
    half = count_originals(pictures) // 2
    n = min(half, SWD_MOST_PICTURES) if comparison.num is None else comparison.num
    if n > half:
        raise UserError(
            f"{n} pictures are asked for, but half of {pictures.name}, which swd compares with the "
            f"other half, is {half}"
        )

    def look(images: Tensor, first: int) -> Tensor:
        return swd_patches(images, seed, first)

    a, b = real_halves(pictures, n, seed)
    side = pictures.resolution
    fakes = streams.generated(["patches"], n, look)
    reals = streams.real(["patches", seed], a, look, lasting=False)

    def between_halves() -> Arrays | None:
        with Streams(comparison) as own:  # their patches go before the floor is kept
            others = own.real(["patches", seed], b, look, lasting=False)
            if reals is None:
                return None
            found = swd_of_patches(reals, others, side, seed)
        return {level: np.array(value) for level, value in found.items()}

    floor = streams.once(["swd floor", n, seed], between_halves)

    def finish() -> list[Record]:
        found = swd_of_patches(reals, fakes, side, seed)
        return [
            {
                "metric": metric.name,
                "value": found.pop("mean"),
                "floor": float(floor["mean"]),
                "levels": found,
                "floor_levels": {level: float(floor[level]) for level in found},
                "n": n,
            }
        ]

    return finish


def memorisation_of(streams: Streams, metric: Metric) -> Finish:
    """Share of samples that are copies of training pictures, with a picture of the likeliest.

    Its floor is that of training pictures against each other: how many have a twin.
    """
    comparison = streams.comparison
    pictures, n = comparison.pictures, comparison.num or MEMORISATION_SAMPLES
    count = count_originals(pictures)
    if count < 4:
        raise UserError(f"memorisation needs 4 real pictures at least, not {len(pictures)}")
    samples = streams.generated(["thumbs"], n, _thumbs)
    order = real_halves(pictures, count, comparison.seed)[0] % count
    rows = np.sort(order[:MOST_THUMBS])
    originals = streams.real(["thumbs"], rows, _thumbs)

    def finish() -> list[Record]:
        against = memorisation.Originals(memorisation.thumbs_of_rows(originals))
        found = _matched(streams, ["matches"], against, memorisation.thumbs_of_rows(samples))
        places = np.flatnonzero(np.isin(rows, order[:n]))
        some = against.thumbs[places]
        twins = _matched(streams, ["twins", n, comparison.seed], against, some, places)
        return [
            {
                "metric": metric.name,
                "value": found.copies,
                "floor": twins.copies,
                "floor_n": len(twins.index),
                "n": n,
                "among": len(rows),
                "distance": float(found.distance.mean()),
                "distance_of_data": float(twins.distance.mean()),
                "ratio": float(np.median(found.ratio)),
                "ratio_of_data": float(np.median(twins.ratio)),
                "picture": _pairs(comparison, found, rows),
            }
        ]

    return finish


def _matched(
    streams: Streams,
    name: list[Any],
    against: memorisation.Originals,
    samples: Tensor,
    places: np.ndarray | None = None,
) -> memorisation.Match:
    """Samples, or originals of these places: they are the same for every generator."""

    def make(rows: range) -> Tensor:
        at = slice(rows.start, rows.stop)
        return against.match(samples[at], None if places is None else places[at])

    lasting = places is not None
    return memorisation.Match.of_rows(streams.derived(name, "matched", len(samples), make, lasting))


def _pairs(comparison: Comparison, found: memorisation.Match, rows: np.ndarray) -> np.ndarray:
    """The samples most like training pictures beside these, the likeliest first."""
    order = found.ratio.argsort(kind="stable")[: memorisation.SHOWN]
    samples = torch.cat([draw(comparison, range(i, i + 1)) for i in order.tolist()])
    originals = comparison.pictures.images(rows[found.index[order]])
    words = [
        f"distance {found.distance[i]:.0f}, {found.ratio[i]:.2f} of the next ones'" for i in order
    ]
    both = (x.permute(0, 2, 3, 1).numpy() for x in (samples, originals))
    return memorisation.draw_pairs(*both, words)


def diversity_of(streams: Streams, metric: Metric) -> Finish:
    """Mean distance of two samples by that of two real pictures; 0 where all are the same one."""
    comparison = streams.comparison
    pictures = comparison.pictures
    n = min(comparison.num or DIVERSITY_SAMPLES, count_originals(pictures))
    if n < 3:
        raise UserError(f"diversity needs 3 samples and real pictures at least, not {n}")
    rows = real_halves(pictures, n, comparison.seed)[0]
    sides = streams.generated(["thumbs"], n, _thumbs), streams.real(["thumbs"], rows, _thumbs)

    def finish() -> list[Record]:
        samples, reals = map(memorisation.thumbs_of_rows, sides)
        found = memorisation.spread(samples, reals)
        half = n // 2
        more = {}
        if half > 2:  # the second half of the reals in place of samples
            halves = memorisation.spread(reals[half : 2 * half], reals[:half])
            more = {"floor": halves.pairs, "floor_n": half, "coverage_floor": halves.coverage}
        return [
            {
                "metric": metric.name,
                "value": found.pairs,
                "floor": None,
                "n": n,
                "nearest": found.nearest,
                "coverage": found.coverage,
                "coverage_at_floor_n": memorisation.spread(samples[:half], reals[:half]).coverage
                if more
                else None,
                **more,
                **_by_class(comparison, samples, reals, rows, found.covered),
            }
        ]

    return finish


def _by_class(
    comparison: Comparison, samples: Tensor, reals: Tensor, rows: np.ndarray, covered: np.ndarray
) -> Record:
    """For a model with classes: of each class, coverage and diversity within it."""
    if not comparison.generator.config.c_dim:
        return {}
    theirs = comparison.pictures.labels(rows)
    if not (theirs.sum(1) == 1).all() or not ((theirs == 0) | (theirs == 1)).all():
        return {}  # labels that are no classes
    ours, theirs = labels_of(comparison, len(samples)).argmax(1), theirs.argmax(1)
    classes = {}
    for c in theirs.unique().tolist():
        mine, their = samples[ours == c], reals[theirs == c]
        of_class = {"coverage": float(covered[(theirs == c).numpy()].mean()), "n": len(mine)}
        if len(mine) > 1 and len(their) > 1:
            of_class["diversity"] = memorisation.mean_distance_ratio(mine, their)
        classes[str(c)] = of_class
    return {"classes": classes}


FAMILIES: dict[str, Callable[[Streams, Metric], Finish]] = {
    "fid": fid_of,
    "kid": kid_of,
    "pr": precision_recall_of,
    "is": inception_score_of,
    "ppl": path_length_of,
    "swd": swd_of,
    "memorisation": memorisation_of,
    "diversity": diversity_of,
}


def _record(
    metric: Metric,
    detector: Detector,
    value: float,
    n: int,
    name: str | None = None,
    **more: Any,
) -> Record:
    return {
        "metric": name or metric.name,
        "value": value,
        **more,
        "n": n,
        "detector": detector.name,
        "detector_hash": detector.hash,
        "comparable_with_papers": detector.published,
    }


def _thumbs(images: Tensor, _: int) -> Tensor:
    return memorisation.thumbs(images).flatten(1)

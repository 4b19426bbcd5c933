"""The pictures that metrics look at, generated and real, and their features, kept while they grow.

Batches are shared out among processes and put together again in their order, so that the first
process has the same bits however many there are. What was seen in a picture is a row on disk:
memory stays flat, and what was interrupted goes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan import chance, detectors, feature_files
from stylegan.config import UserError
from stylegan.detectors import Detector, DiscDetector, ScriptDetector
from stylegan.distances import Moments, blocks, moments
from stylegan.distributed import ALONE, Group
from stylegan.metric_names import Metric
from stylegan.model import exact
from stylegan.sampling import Comparison, count_originals, draw, path_lengths, real_halves

FORMAT = 1
"""Of what is kept; another number begins anew."""
REALS_AT_ONCE = 64
DERIVED_AT_ONCE = 16

Arrays = dict[str, np.ndarray]
Look = Callable[[Tensor, int], Tensor]
"""What is seen in pictures uint8 [N, C, R, R], the first of which has this place: [N, D]."""


class Streams:
    """Rows of both sides as metrics ask for them, each made once; the first process has them.

    As a context: when it ends well, what only this generator could use again is removed.
    """

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison
        self._passing: dict[str, feature_files.FeatureFile | None] = {}  # open until the end
        self._lasting: dict[str, np.ndarray | None] = {}  # whole; others may read them, too
        self._detectors: dict[bool | str, Detector] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Streams:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)

    def detector(self, metric: Metric) -> Detector:
        """What the metric looks through."""
        which: bool | str = True if metric.disc else published_for(metric).file
        if which not in self._detectors:
            self._detectors[which] = self._find(metric)
        return self._detectors[which]

    def _find(self, metric: Metric) -> Detector:
        comparison = self.comparison
        if metric.disc:
            if comparison.discriminator is None:
                raise UserError(f"{metric.name} needs the model's discriminator, which is not here")
            return DiscDetector(comparison.discriminator())
        which, own = published_for(metric), comparison.detector
        comparison.group.first(lambda: detectors.locate(which, own, comparison.say))
        path = detectors.locate(which, own)
        return _script(str(path), str(comparison.device), not own)

    def generated(self, name: list[Any], n: int, look: Look) -> np.ndarray | None:
        """What is seen in the generated pictures 0 to n - 1, a row each; first process only."""

        def make(rows: range) -> Tensor:
            images = draw(self.comparison, rows)
            with exact(self.comparison.device):
                return look(images, rows.start)

        return self._of_generator(name, "generated", n, make)

    def real(
        self, name: list[Any], chosen: np.ndarray, look: Look, lasting: bool = True
    ) -> np.ndarray | None:
        """What is seen in these real pictures, a row each; first process only.

        What is `lasting` is kept, also for other generators.
        """

        def make(rows: range) -> Tensor:
            images = self.comparison.pictures.images(chosen[rows.start : rows.stop])
            with exact(self.comparison.device):
                return look(images, rows.start)

        key = [*self._data_key(lasting), *name, _digest(chosen)]
        return self._collect(key, "real", len(chosen), make, REALS_AT_ONCE, lasting)

    def derived(
        self,
        name: list[Any],
        what: str,
        n: int,
        make: Callable[[range], Tensor],
        lasting: bool = False,
    ) -> np.ndarray:
        """Rows that the first process makes by itself; `lasting` where of real pictures alone."""
        key = [*self._data_key(lasting), *name]
        return self._collect(key, what, n, make, DERIVED_AT_ONCE, lasting, ALONE)

    def fakes(self, detector: Detector, n: int, kind: str = "features") -> np.ndarray | None:
        """Features, or probabilities, of the generated pictures 0 to n - 1; first process only."""
        return self.generated([detector.hash, kind], n, _through(detector, kind))

    def paths(self, detector: Detector, metric: Metric, n: int) -> np.ndarray | None:
        """Path lengths of n pairs; first process only."""

        def make(rows: range) -> Tensor:
            return path_lengths(self.comparison, detector, metric, rows)

        name = [detector.hash, "ppl", metric.space, metric.full]
        found = self._of_generator(name, "pairs", n, make)
        return None if found is None else found[:, 0]

    def reals(
        self, detector: Detector, kind: str = "features", most: int | None = None
    ) -> np.ndarray | None:
        """Features of all real pictures, or of `most` drawn from them; first process only."""
        name, look = [*self._through_key(detector), kind], _through(detector, kind)
        return self.real(name, self.chosen(most), look, detector.lasting)

    def chosen(self, most: int | None = None) -> np.ndarray:
        """Which real pictures stand in the rows of `reals`."""
        count = len(self.comparison.pictures)
        if most is None or count <= most:
            return np.arange(count)
        draws = chance.numpy_generator(self.comparison.seed, "metric/chosen", 0)
        return np.sort(draws.permutation(count)[:most])

    def halves(self, n: int, most: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Rows of `reals` that are two sets of at most n pictures which share none."""
        pictures, seed = self.comparison.pictures, self.comparison.seed
        a, b = real_halves(pictures, count_originals(pictures) // 2, seed)
        row_of = np.full(len(pictures), -1)
        chosen = self.chosen(most)
        row_of[chosen] = np.arange(len(chosen))
        rows = [row_of[x][row_of[x] >= 0] for x in (a, b)]
        n = min(n, *map(len, rows))
        return rows[0][:n], rows[1][:n]

    def real_moments(self, detector: Detector, rows: np.ndarray | None = None) -> Moments | None:
        """Of all real pictures, or of some rows of them; first process only."""
        name = ["moments", None if rows is None else [len(rows), self.comparison.seed]]

        def compute(features: np.ndarray) -> Arrays:
            found = moments(blocks(features, rows))
            return {"mean": found.mean, "cov": found.cov}

        found = self.of_reals(detector, name, compute)
        return None if found is None else Moments(found["mean"], found["cov"])

    def of_reals(
        self,
        detector: Detector,
        name: list[Any],
        compute: Callable[[np.ndarray], Arrays],
        most: int | None = None,
    ) -> Arrays | None:
        """What follows from the real pictures' features alone; first process only."""

        def make() -> Arrays | None:
            features = self.reals(detector, most=most)
            return None if features is None else compute(features)

        return self.once([*self._through_key(detector), *name], make, detector.lasting)

    def once(
        self, name: list[Any], make: Callable[[], Arrays | None], lasting: bool = True
    ) -> Arrays | None:
        """What follows from real pictures alone, computed once for all time; first process only."""
        group, key = self.comparison.group, [*self._data_key(lasting), *name]
        known = feature_files.recall(key) if group.is_first and lasting else None
        if group.any(known is not None)[0]:
            return known
        known = make()
        if known is not None and lasting:
            feature_files.keep(key, known)
        return known

    def _through_key(self, detector: Detector) -> list[Any]:
        return [detector.hash, self.comparison.device.type]

    def _data_key(self, lasting: bool) -> list[Any]:
        """What decides a real picture; what passes belongs to this generator besides."""
        pictures = self.comparison.pictures
        key = [FORMAT, "real", pictures.fingerprint, pictures.mirror]
        return key if lasting else [*key, *self._generator_key]

    @cached_property
    def _generator_key(self) -> list[Any]:
        """What decides a generated picture to the last bit."""
        comparison = self.comparison
        pictures = comparison.pictures
        labels = [pictures.fingerprint, pictures.mirror] if comparison.generator.config.c_dim else 0
        how = [comparison.seed, comparison.batch, comparison.device.type, labels]
        return [FORMAT, "generated", detectors.network_hash(comparison.generator), *how]

    def _of_generator(
        self, name: list[Any], what: str, n: int, make: Callable[[range], Tensor]
    ) -> np.ndarray | None:
        batch = self.comparison.batch
        whole = -(-n // batch) * batch  # only such batches, so that more of them can follow
        rows = self._collect([*self._generator_key, *name], what, whole, make, batch)
        return None if rows is None else rows[:n]

    def _collect(
        self,
        key: list[Any],
        what: str,
        n: int,
        make: Callable[[range], Tensor],
        batch: int,
        lasting: bool = False,
        group: Group | None = None,
    ) -> np.ndarray | None:
        """Rows 0 to n - 1 of what `make` makes, from where they were left; first process only."""
        group, name = group or self.comparison.group, repr(key)
        if name in self._lasting:
            return self._lasting[name]
        with ExitStack() as here:
            file = self._passing.get(name)
            if group.is_first and file is None:
                file = (here if lasting else self._stack).enter_context(
                    feature_files.opened(key, lasting, self._wait)
                )
            if not lasting:
                self._passing[name] = file
            done = int(group.sum_(torch.tensor([file.count if file else 0])))
            for piece in self._shared(group, what, range(done, n), batch, make):
                if not piece.isfinite().all():
                    raise UserError("what is measured is not finite: the features hold no numbers")
                if file:
                    file.add(piece.numpy())
            rows = file.rows(n) if file else None
        if lasting:
            self._lasting[name] = rows
        return rows

    def _shared(
        self,
        group: Group,
        what: str,
        rows: range,
        batch: int,
        make: Callable[[range], Tensor],
    ) -> Iterator[Tensor]:
        """make(rows) [n, ...] of all these rows, batch by batch, in every process."""
        like = make(range(1)) if group.size > 1 else None
        for at in range(rows.start, rows.stop, batch * group.size):
            end = min(at + batch * group.size, rows.stop)
            mine = range(min(at + group.rank * batch, end), min(at + (group.rank + 1) * batch, end))
            if like is None:
                made = make(mine)
            else:
                made = like.new_zeros([end - at, *like.shape[1:]])
                if mine:
                    made[mine.start - at : mine.stop - at] = make(mine)
                group.sum_(made)  # all other entries are 0: what one process made, bit by bit
            yield from made.split(batch)
            if self.comparison.progress:
                self.comparison.progress(what, end, rows.stop)

    def _wait(self) -> None:
        self.comparison.say("another process measures the same; waiting for it")


def published_for(metric: Metric) -> detectors.Published:
    """The file that papers took for such a metric."""
    return detectors.VGG16 if metric.family in ("pr", "ppl") else detectors.INCEPTION


def _through(detector: Detector, kind: str) -> Look:
    return lambda images, _: getattr(detector, kind)(images)


def _digest(places: np.ndarray) -> str:
    return hashlib.blake2b(np.asarray(places, "<i8").tobytes(), digest_size=16).hexdigest()


@lru_cache(maxsize=2)  # a training run asks again at every snapshot
def _script(path: str, device: str, published: bool) -> ScriptDetector:
    return ScriptDetector(path, device, published)

"""The pictures that metrics look at, generated and real, and their features, kept while they grow.

Batches are shared out among processes and put together again in their order, so that the first
process has the same bits however many there are. Features lie on disk: memory stays flat, and what
was interrupted goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan import chance, detectors, feature_files
from stylegan.config import UserError
from stylegan.data import Pictures
from stylegan.detectors import Detector, DiscDetector, ScriptDetector
from stylegan.distances import Moments, blocks, moments
from stylegan.distributed import ALONE, Group
from stylegan.latents import lerp, slerp
from stylegan.metric_names import Metric
from stylegan.model import exact
from stylegan.networks.discriminators import AnyDiscriminator
from stylegan.networks.generator import Generator
from stylegan.networks.mapping import broadcast
from stylegan.networks.ops import to_uint8

FORMAT = 1
"""Of what is kept; another number begins anew."""
REALS_AT_ONCE = 64
PPL_EPSILON = 1e-4

Progress = Callable[[str, int, int], None]
"""Called with what is being drawn or read, how many are done, and of how many."""
Arrays = dict[str, np.ndarray]


def _silently(words: str) -> None:
    """Where nobody listens."""


@dataclass(frozen=True)
class Comparison:
    """What a metric is given: a generator, the real pictures, and how to draw from both."""

    generator: Generator
    pictures: Pictures
    num: int | None
    """Pictures, for metrics whose names tell no number."""
    seed: int
    batch: int
    progress: Progress | None = None
    discriminator: Callable[[], AnyDiscriminator] | None = None
    """The model's own, where a metric asks for it."""
    detector: str = ""
    """A detector file in place of the published ones."""
    group: Group = ALONE
    say: Callable[[str], None] = _silently

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.generator.parameters()).device


# The two streams of pictures


def generated(comparison: Comparison, n: int) -> Iterator[Tensor]:
    """Pictures 0 to n - 1 of the generator in batches, uint8 [N, C, R, R]: psi 1, random noise.

    Labels are those of random real pictures. Picture i follows from (seed, i) alone, however the
    row is cut into batches. Every process gets all of them.
    """
    return _shared(comparison, "generated", 0, n, comparison.batch, lambda x: draw(comparison, x))


@torch.no_grad()
def draw(comparison: Comparison, rows: range) -> Tensor:
    """The generated pictures of these numbers, uint8 [N, C, R, R] on the CPU."""
    network, config = comparison.generator, comparison.generator.config
    zs, places, maps = [], [], []
    for i in rows:
        draws = chance.generator(comparison.seed, "metric/picture", i)
        zs.append(torch.randn(1, config.z_dim, generator=draws))
        places.append(int(torch.randint(len(comparison.pictures), [], generator=draws)))
        maps.append(noise_maps(network, draws))
    with exact(comparison.device):
        c = _labels(comparison, places)
        ws = broadcast(network.mapping(torch.cat(zs).to(comparison.device), c), config.num_ws)
        return to_uint8(network.synthesis(ws, stacked(maps, comparison.device))).cpu()


def labels_of(comparison: Comparison, n: int) -> Tensor:
    """Labels of the generated pictures 0 to n - 1, [n, c_dim]."""
    places = []
    for i in range(n):
        draws = chance.generator(comparison.seed, "metric/picture", i)
        torch.randn(1, comparison.generator.config.z_dim, generator=draws)
        places.append(int(torch.randint(len(comparison.pictures), [], generator=draws)))
    return comparison.pictures.labels(places)


def real_halves(pictures: Pictures, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of two sets of n pictures that share none; with mirror, half of each is flipped."""
    originals = count_originals(pictures)
    draws = chance.numpy_generator(seed, "metric/reals", 0)
    order = draws.permutation(originals)
    if pictures.mirror:
        order = order + originals * draws.integers(0, 2, originals)
    return order[:n], order[n : 2 * n]


def count_originals(pictures: Pictures) -> int:
    """Pictures in the file; a picture and its mirror image count as one."""
    return len(pictures) // 2 if pictures.mirror else len(pictures)


def real(pictures: Pictures, indices: np.ndarray, batch: int = REALS_AT_ONCE) -> Iterator[Tensor]:
    """The pictures of these numbers, in batches."""
    for start in range(0, len(indices), batch):
        yield pictures.images(indices[start : start + batch])


def _shared(
    comparison: Comparison,
    what: str,
    start: int,
    stop: int,
    batch: int,
    make: Callable[[range], Tensor],
) -> Iterator[Tensor]:
    """make(rows) [n, ...] for all rows from start to stop, batch by batch, in every process."""
    group = comparison.group
    like = make(range(1)) if group.size > 1 else None
    for at in range(start, stop, batch * group.size):
        end = min(at + batch * group.size, stop)
        mine = range(min(at + group.rank * batch, end), min(at + (group.rank + 1) * batch, end))
        if like is None:
            made = make(mine)
        else:
            made = like.new_zeros([end - at, *like.shape[1:]])
            if mine:
                made[mine.start - at : mine.stop - at] = make(mine)
            group.sum_(made)  # all other entries are 0: what one process made, bit by bit
        yield from made.split(batch)
        if comparison.progress:
            comparison.progress(what, end, stop)


def noise_maps(network: Generator, draws: torch.Generator) -> list[Tensor]:
    """Random noise for one picture, a map [1, 1, r, r] for each layer."""
    return [torch.randn(1, 1, r, r, generator=draws) for r in network.synthesis.noise_shapes]


def stacked(maps: list[list[Tensor]], device: torch.device) -> list[Tensor]:
    """The maps of several pictures, [N, 1, r, r] for each layer."""
    return [torch.cat(layer).to(device) for layer in zip(*maps, strict=True)]


def _labels(comparison: Comparison, places: list[int]) -> Tensor | None:
    if not comparison.generator.config.c_dim:
        return None
    return comparison.pictures.labels(places).to(comparison.device)


# Features


class Streams:
    """Features of both sides as metrics ask for them, each made once; the first process has them.

    As a context: when it ends well, what only this generator could use again is removed.
    """

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison
        self._open: dict[str, feature_files.FeatureFile | None] = {}
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

    def fakes(self, detector: Detector, n: int, kind: str = "features") -> np.ndarray | None:
        """Features, or probabilities, of the generated pictures 0 to n - 1; first process only."""
        comparison = self.comparison

        def make(rows: range) -> Tensor:
            return getattr(detector, kind)(draw(comparison, rows))

        key = [*self._generator_key(), detector.hash, kind]
        return self._collect(key, False, "generated", n, make)

    def paths(self, detector: Detector, metric: Metric, n: int) -> np.ndarray | None:
        """Path lengths of n pairs; first process only."""

        def make(rows: range) -> Tensor:
            return _path_lengths(self.comparison, detector, metric, rows)

        key = [*self._generator_key(), detector.hash, "ppl", metric.space, metric.full]
        found = self._collect(key, False, "pairs", n, make)
        return None if found is None else found[:, 0]

    def reals(
        self, detector: Detector, kind: str = "features", most: int | None = None
    ) -> np.ndarray | None:
        """Features of all real pictures, or of `most` drawn from them; first process only."""
        pictures, batch = self.comparison.pictures, REALS_AT_ONCE
        chosen = self.chosen(most)

        def make(rows: range) -> Tensor:
            with exact(self.comparison.device):
                return getattr(detector, kind)(pictures.images(chosen[rows.start : rows.stop]))

        key = [*self.data_key(detector), kind, len(chosen)]
        if len(chosen) < len(pictures):
            key.append(self.comparison.seed)
        return self._collect(key, detector.lasting, "real", len(chosen), make, batch)

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
        name: list,
        compute: Callable[[np.ndarray], Arrays],
        most: int | None = None,
    ) -> Arrays | None:
        """What follows from the real pictures' features alone: computed once for all time."""
        group = self.comparison.group
        key = [*self.data_key(detector), *name]
        known = feature_files.recall(key) if group.is_first and detector.lasting else None
        if group.any(known is not None)[0]:
            return known
        features = self.reals(detector, most=most)
        if features is None:
            return None
        known = compute(features)
        if detector.lasting:
            feature_files.keep(key, known)
        return known

    def data_key(self, detector: Detector) -> list[Any]:
        """What decides the features of a real picture."""
        pictures = self.comparison.pictures
        where = self.comparison.device.type
        return [FORMAT, "real", pictures.fingerprint, pictures.mirror, detector.hash, where]

    def _generator_key(self) -> list[Any]:
        """What decides a generated picture to the last bit."""
        comparison = self.comparison
        pictures = comparison.pictures
        labels = [pictures.fingerprint, pictures.mirror] if comparison.generator.config.c_dim else 0
        how = [comparison.seed, comparison.batch, comparison.device.type, labels]
        return [FORMAT, "generated", detectors.network_hash(comparison.generator), *how]

    def _collect(
        self,
        key: list[Any],
        lasting: bool,
        what: str,
        n: int,
        make: Callable[[range], Tensor],
        batch: int | None = None,
    ) -> np.ndarray | None:
        """Rows 0 to n - 1 of what `make` makes, from where they were left; first process only."""
        group, name = self.comparison.group, repr(key)
        stop = n
        if batch is None:  # whole batches only, so that more of them can follow
            batch = self.comparison.batch
            stop = -(-n // batch) * batch
        if group.is_first and name not in self._open:
            self._open[name] = self._stack.enter_context(
                feature_files.opened(key, lasting, self._wait)
            )
        file = self._open.get(name)
        done = int(group.sum_(torch.tensor([file.count if file else 0])))
        for piece in _shared(self.comparison, what, done, stop, batch, make):
            if not piece.isfinite().all():
                raise UserError("what is measured is not finite: the features hold no numbers")
            if file:
                file.add(piece.numpy())
        return file.rows(n) if file else None

    def _wait(self) -> None:
        self.comparison.say("another process measures the same; waiting for it")


def published_for(metric: Metric) -> detectors.Published:
    """The file that papers took for such a metric."""
    return detectors.VGG16 if metric.family in ("pr", "ppl") else detectors.INCEPTION


@lru_cache(maxsize=2)  # a training run asks again at every snapshot
def _script(path: str, device: str, published: bool) -> ScriptDetector:
    return ScriptDetector(path, device, published)


@torch.no_grad()
def _path_lengths(
    comparison: Comparison, detector: Detector, metric: Metric, rows: range
) -> Tensor:
    """Perceptual distance of two pictures a step apart, by the step squared: [n, 1] on the CPU.

    (arXiv 1812.04948, section 4.1.) Both have the same label and noise, and are not cropped.
    """
    network, config, device = comparison.generator, comparison.generator.config, comparison.device
    zs, ts, places, maps = [], [], [], []
    for i in rows:
        draws = chance.generator(comparison.seed, "metric/path", i)
        zs.append(torch.randn(1, 2, config.z_dim, generator=draws))
        ts.append(torch.rand(1, 1, generator=draws) if metric.full else torch.zeros(1, 1))
        places.append(int(torch.randint(len(comparison.pictures), [], generator=draws)))
        maps.append(noise_maps(network, draws))
    a, b = torch.cat(zs).unbind(1)
    t = torch.cat(ts)
    with exact(device):
        c = _labels(comparison, places)
        if metric.space == "w":
            a, b = (network.mapping(z.to(device), c) for z in (a, b))
            ends = [lerp(a, b, x.to(device)) for x in (t, t + PPL_EPSILON)]
        else:
            ends = [network.mapping(slerp(a, b, x).to(device), c) for x in (t, t + PPL_EPSILON)]
        noise = stacked(maps, device)
        seen = [
            detector.perceptual(network.synthesis(broadcast(w, config.num_ws), noise)) for w in ends
        ]
        far = (seen[0] - seen[1]).cpu().double().square().sum(1, keepdim=True)
    return (far / PPL_EPSILON**2).float()

"""What metrics draw, by seed and number: generated pictures and paths, and which real pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stylegan import chance
from stylegan.data import Pictures
from stylegan.detectors import Detector
from stylegan.distributed import ALONE, Group
from stylegan.latents import lerp, slerp
from stylegan.metric_names import Metric
from stylegan.model import exact
from stylegan.networks.discriminators import AnyDiscriminator
from stylegan.networks.generator import Generator
from stylegan.networks.mapping import broadcast
from stylegan.networks.ops import to_uint8

PPL_EPSILON = 1e-4

Progress = Callable[[str, int, int], None]
"""Called with what is being drawn or read, how many are done, and of how many."""


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


# Generated pictures and real ones


@torch.no_grad()
def draw(comparison: Comparison, rows: range) -> Tensor:
    """The generated pictures of these numbers, uint8 [N, C, R, R] on the CPU: psi 1, random noise.

    Labels are those of random real pictures. Picture i follows from (seed, i), but for a last bit
    that the size of the batch decides.
    """
    network, config = comparison.generator, comparison.generator.config
    zs, places, maps = [], [], []
    for i in rows:
        z, place, draws = _begin(comparison, i)
        zs.append(z)
        places.append(place)
        maps.append(noise_maps(network, draws))
    with exact(comparison.device):
        c = _labels(comparison, places)
        ws = broadcast(network.mapping(torch.cat(zs).to(comparison.device), c), config.num_ws)
        return to_uint8(network.synthesis(ws, stacked(maps, comparison.device))).cpu()


def labels_of(comparison: Comparison, n: int) -> Tensor:
    """Labels of the generated pictures 0 to n - 1, [n, c_dim]."""
    return comparison.pictures.labels([_begin(comparison, i)[1] for i in range(n)])


def _begin(comparison: Comparison, i: int) -> tuple[Tensor, int, torch.Generator]:
    """z [1, z_dim] of a picture, the real one whose label it has, and what draws its noise."""
    draws = chance.generator(comparison.seed, "metric/picture", i)
    z = torch.randn(1, comparison.generator.config.z_dim, generator=draws)
    return z, int(torch.randint(len(comparison.pictures), [], generator=draws)), draws


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


# Paths


@torch.no_grad()
def path_lengths(comparison: Comparison, detector: Detector, metric: Metric, rows: range) -> Tensor:
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

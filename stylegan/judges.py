"""Small networks that learn attributes from labelled pictures, and then see them in any picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan import chance
from stylegan.attributes import Labels, TableError
from stylegan.data import Pictures

SIDE_PX = 32  # what the networks look at; larger pictures are averaged down to it
LEAST_PX = 4  # side at which their features are read out
WIDTHS = (24, 48, 64)  # features from layer to layer
EPOCHS = 40
MAX_STEPS = 4000  # for each network, where there are many pictures
BATCH = 32
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.02
DROPOUT = 0.3
SHIFT_PX = 2  # augmentation: by so many of the pixels looked at,
NOISE_STD = 0.1  # and of the range [-1, 1], so that a generator's flaws count for little
LIGHT_STD = 0.05
LOOK_AT = 256  # pictures judged at once

Progress = Callable[[int, int], None]
"""Called with the steps done so far, and all there are."""


class AttributeNetwork(nn.Module):
    """Pictures [N, C, r, r] in [-1, 1] -> scores [N, A], above 0 where there is the attribute."""

    def __init__(self, side: int, channels: int, outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in WIDTHS:
            if side <= LEAST_PX:
                break
            kernel = 5 if not layers else 3
            layers += [
                nn.Conv2d(channels, width, kernel, stride=2, padding=kernel // 2, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            channels, side = width, side // 2
        self.features = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(DROPOUT))
        self.readout = nn.Linear(channels * side**2, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.features(x))


@dataclass(frozen=True)
class Seen:
    """How well an attribute is seen in pictures that the network had not learned from."""

    accuracy: float
    """Mean of the shares of right answers where it is there and where it is not."""
    has: int
    has_not: int
    groups: int
    """Groups of pictures that have it."""


class Judges:
    """Networks, each taught without one part of the pictures; together they judge any other."""

    def __init__(self, networks: Sequence[AttributeNetwork]) -> None:
        self.networks = networks

    @torch.no_grad()
    def scores(self, images: Tensor) -> Tensor:
        """float32 [N, A] of uint8 [N, C, R, R]: above 0 where there is the attribute."""
        device = self.networks[0].readout.weight.device
        x = _look(images.to(device))
        return torch.stack([net.eval()(x) for net in self.networks]).mean(dim=0).cpu()


def learn(
    pictures: Pictures,
    labels: Labels,
    folds: int = 3,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> tuple[Judges, dict[str, Seen]]:
    """Teach a network for each fold of the groups, and test each on the fold it has not seen."""
    places = labels.places
    chunks = [places[i : i + LOOK_AT] for i in range(0, len(places), LOOK_AT)]
    images = torch.cat([_look(pictures.images(chunk)) for chunk in chunks])
    fold = _folds(labels, folds, seed)
    networks, scores = [], np.zeros_like(labels.values)
    for k in range(folds):
        out = fold == k
        network = _network(images, labels.values.shape[1], seed, k).to(device)
        taught = images[torch.from_numpy(~out)]
        for step, total in _teach(network, taught, labels.values[~out], seed, k):
            if progress:
                progress(k * total + step, folds * total)
        with torch.no_grad():
            held_out = images[torch.from_numpy(out)].split(LOOK_AT)
            scores[out] = torch.cat([network.eval()(x.to(device)).cpu() for x in held_out])
        networks.append(network)
    seen = {
        attribute.name: _seen(has, score, labels.groups)
        for attribute, has, score in zip(labels.attributes, labels.has.T, scores.T, strict=True)
    }
    return Judges(networks), seen


def _look(images: Tensor) -> Tensor:
    """uint8 [N, C, R, R] as the networks see it: float32 in [-1, 1], at most SIDE_PX wide."""
    return F.avg_pool2d(images.float() / 127.5 - 1, max(1, images.shape[-1] // SIDE_PX))


def _folds(labels: Labels, folds: int, seed: int) -> np.ndarray:
    """int [N]: the fold that each picture is held out in; like groups are dealt out evenly."""
    count = int(labels.groups.max()) + 1
    if count < folds:
        raise TableError(f"{count} groups of pictures cannot be cut into {folds} folds")
    has = np.nan_to_num(labels.has, nan=0.5)
    sums = np.zeros((count, has.shape[1]))
    np.add.at(sums, labels.groups, has)
    means = sums / np.bincount(labels.groups, minlength=count)[:, None]
    rare_first = np.argsort(np.abs(has.mean(axis=0) - 0.5), kind="stable")  # lexsort: last leads
    ties = chance.numpy_generator(seed, "attributes/folds", 0).random(count)
    order = np.lexsort([ties, *means[:, rare_first].T])
    fold = np.empty(count, np.int64)
    fold[order] = np.arange(count) % folds
    return fold[labels.groups]


def _network(images: Tensor, outputs: int, seed: int, fold: int) -> AttributeNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(chance.seed_for(seed, "attributes/weights", fold))
        return AttributeNetwork(images.shape[-1], images.shape[1], outputs)


def _teach(
    network: AttributeNetwork, images: Tensor, values: np.ndarray, seed: int, fold: int
) -> Iterator[tuple[int, int]]:
    """Adam with a rate that rises and falls; yields the steps done, and all of them."""
    device = network.readout.weight.device
    targets, weights = _targets(values)
    batches = math.ceil(len(images) / BATCH)
    steps = min(EPOCHS * batches, MAX_STEPS)
    adam = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    rate = torch.optim.lr_scheduler.OneCycleLR(adam, LEARNING_RATE, total_steps=steps)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(chance.seed_for(seed, "attributes/steps", fold))  # of dropout
        draws = chance.generator(seed, "attributes/draws", fold)
        order: list[Tensor] = []
        for step in range(steps):
            if not order:
                order += torch.randperm(len(images), generator=draws).tensor_split(batches)
            places = order.pop()
            x = _augment(images[places], draws).to(device)
            loss = F.binary_cross_entropy_with_logits(
                network.train()(x), targets[places].to(device), weights[places].to(device)
            )
            adam.zero_grad(set_to_none=True)
            loss.backward()
            adam.step()
            rate.step()
            yield step + 1, steps


def _targets(values: np.ndarray) -> tuple[Tensor, Tensor]:
    """Targets and weights float32 [N, A]: both sides of each weigh alike, what is unknown 0."""
    known = ~np.isnan(values)
    targets = np.nan_to_num(values)
    share = (targets.sum(axis=0) / known.sum(axis=0).clip(1)).clip(1e-3, 1 - 1e-3)
    weights = (targets * 0.5 / share + (1 - targets) * 0.5 / (1 - share)) * known
    return torch.from_numpy(targets).float(), torch.from_numpy(weights).float()


def _augment(x: Tensor, draws: torch.Generator) -> Tensor:
    """Shift by a few pixels, change the light, add noise."""
    shift = min(SHIFT_PX, x.shape[-1] // 8)
    side = x.shape[-1]
    padded = F.pad(x, [shift] * 4, mode="replicate")
    corner = torch.randint(0, 2 * shift + 1, (len(x), 2), generator=draws).tolist()
    x = torch.stack(
        [p[:, i : i + side, j : j + side] for p, (i, j) in zip(padded, corner, strict=True)]
    )
    light = torch.randn(len(x), 1, 1, 1, generator=draws) * LIGHT_STD
    noise = torch.rand(len(x), 1, 1, 1, generator=draws) * NOISE_STD
    return x + light + noise * torch.randn(x.shape, generator=draws)


def _seen(has: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> Seen:
    yes, no = has == 1, has == 0
    accuracy = ((scores[yes] > 0).mean() + (scores[no] <= 0).mean()) / 2
    return Seen(float(accuracy), int(yes.sum()), int(no.sum()), len(set(groups[yes])))

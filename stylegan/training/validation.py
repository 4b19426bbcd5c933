"""What D makes of pictures that it does not learn from: where their scores leave those of the
training pictures, D learns by heart (ADA, arXiv 2006.06676, figure 1).

All three kinds are scored as they are, not augmented, equally many of each.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan import chance, data
from stylegan.config import TrainConfig, UserError
from stylegan.networks.mapping import broadcast
from stylegan.networks.ops import to_uint8
from stylegan.sampling import noise_maps, stacked

from .stats import Tally
from .step import Trainer

MOST_PICTURES = 1000
STREAM = "validation"


def held_out(config: TrainConfig, pictures: data.Pictures) -> data.Pictures | None:
    """The pictures to validate with, refused where they are of another kind or learned from."""
    if not config.validation:
        return None
    held, labels = data.Pictures(config.validation), config.network.c_dim
    theirs = (held.resolution, held.channels, held.c_dim)
    ours = (pictures.resolution, pictures.channels, pictures.c_dim)
    if theirs[:2] != ours[:2] or (labels and not 0 < held.c_dim <= labels):
        raise UserError(
            f"{config.validation} has resolution, channels and classes {theirs}, the pictures to "
            f"learn from {ours}"
        )
    if held.fingerprint == pictures.fingerprint:
        raise UserError(f"{config.validation} holds the pictures to learn from; give others")
    return held


def scores(
    trainer: Trainer, pictures: data.Pictures, held: data.Pictures
) -> dict[str, dict[str, float | None]]:
    """D's scores of training, held-out and generated pictures for a line of statistics, and r_v
    (ADA, equation 1): 0 where training and held-out score alike, 1 where held-out scores as fakes.
    """
    originals = len(pictures.names)
    n = min(len(held), originals, MOST_PICTURES)
    group = min(trainer.config.network.mbstd_group, n)
    n -= n % group
    shown = data.order(trainer.config.seed, originals, 0, n)
    tally = Tally()
    batch = max(trainer.batch // group, 1) * group
    for rows in torch.arange(n).split(batch):
        places = shown[rows.numpy()].tolist()
        labels = pictures.labels(places)
        real = trainer.scores(pictures.images(places), labels)
        tally.add("Validation/scores/training", real)
        fakes = _fakes(trainer, rows.tolist(), labels)
        tally.add("Validation/scores/generated", trainer.scores(fakes, labels, real=False))
        places = rows.tolist()
        labels = F.pad(held.labels(places), (0, labels.shape[1] - held.c_dim))  # last ones unseen
        found = trainer.scores(held.images(places), labels)
        tally.add("Validation/scores/held_out", found)
    line = tally.finish()
    training, fake, validation = (
        line[f"Validation/scores/{kind}"]["mean"] for kind in ("training", "generated", "held_out")
    )
    known = None not in (training, fake, validation) and training != fake
    r_v = (training - validation) / (training - fake) if known else None
    return {**line, "Validation/r_v": r_v}


@torch.no_grad()
def _fakes(trainer: Trainer, rows: list[int], labels: Tensor) -> Tensor:
    """uint8 pictures [n, C, R, R] of the generator that D plays against, not the averaged one."""
    network, device = trainer.generator, trainer.device
    draws = [chance.generator(trainer.config.seed, STREAM, i) for i in rows]
    z = torch.stack([torch.randn(network.config.z_dim, generator=draw) for draw in draws])
    c = labels.to(device) if network.config.c_dim else None
    ws = broadcast(network.mapping(z.to(device), c), network.config.num_ws)
    noise = stacked([noise_maps(network, draw) for draw in draws], device)
    return to_uint8(network.synthesis(ws, noise)).cpu()

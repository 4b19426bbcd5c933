"""Objectives as pure functions of tensors; one value per picture, the mean is left."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

PL_DECAY = 0.01


def logistic_generator(fake_logits: Tensor) -> Tensor:
    """Non-saturating loss (StyleGAN, appendix C): softplus(-D(fake)); [N, 1]."""
    return F.softplus(-fake_logits)


def logistic_fake(fake_logits: Tensor) -> Tensor:
    """The discriminator's loss on fakes: softplus(D(fake)); [N, 1]."""
    return F.softplus(fake_logits)


def logistic_real(real_logits: Tensor) -> Tensor:
    """The discriminator's loss on reals: softplus(-D(real)); [N, 1]."""
    return F.softplus(-real_logits)


def r1_penalty(real_logits: Tensor, real_img: Tensor) -> Tensor:
    """Squared gradient of D at the reals (Mescheder et al., arXiv 1801.04406, eq. 9); [N]."""
    (grad,) = torch.autograd.grad(real_logits.sum(), real_img, create_graph=True)
    return grad.square().sum(dim=[1, 2, 3])


# Path length


def path_lengths(img: Tensor, ws: Tensor, noise: Tensor) -> Tensor:
    """|J_w^T y| (StyleGAN2, eq. 4), mean square over the rows of ws; y = noise / sqrt(H W); [N].

    `noise` is N(0, 1) of img's shape [N, C, H, W]; ws [N, num_ws, w_dim].
    """
    y = noise / math.sqrt(img.shape[2] * img.shape[3])
    (grad,) = torch.autograd.grad((img * y).sum(), ws, create_graph=True)
    return grad.square().sum(dim=2).mean(dim=1).sqrt()


def path_penalty(lengths: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Penalty [N] on lengths [N] away from their running mean [], and that mean, moved first.

    The gradient flows through the mean's share of this batch; store the mean detached.
    """
    mean = mean.lerp(lengths.mean(), PL_DECAY)
    return (lengths - mean).square(), mean


# Wasserstein GAN with a gradient penalty (Gulrajani et al., arXiv 1704.00028)


def wasserstein_generator(fake_logits: Tensor) -> Tensor:
    """-D(fake); [N, 1]."""
    return -fake_logits


def wasserstein_fake(fake_logits: Tensor) -> Tensor:
    """The discriminator's loss on fakes: D(fake); [N, 1]."""
    return fake_logits


def wasserstein_real(real_logits: Tensor, drift: float) -> Tensor:
    """The discriminator's loss on reals: -D(real), held near 0 (Progressive GAN, A.1); [N, 1]."""
    return drift * real_logits.square() - real_logits


@dataclass(frozen=True)
class Objective:
    """What both networks minimise, as functions of logits; the penalties come beside it."""

    generator: Callable[[Tensor], Tensor]
    fake: Callable[[Tensor], Tensor]
    real: Callable[[Tensor], Tensor]

    @classmethod
    def of(cls, loss: str, drift: float) -> Objective:
        """By its name in the settings."""
        if loss == "logistic":
            return cls(logistic_generator, logistic_fake, logistic_real)
        return cls(wasserstein_generator, wasserstein_fake, partial(wasserstein_real, drift=drift))


def between(fake: Tensor, real: Tensor, share: Tensor) -> Tensor:
    """Pictures on the way from fakes to reals [N, C, H, W]; share [N, 1, 1, 1] is that of reals."""
    return fake.lerp(real, share).detach().requires_grad_()


def gradient_penalty(logits: Tensor, img: Tensor, share: float = 1) -> Tensor:
    """(|gradient of D| - 1)^2; [N]. `share` is `whole_share`, for pictures that are still small."""
    squares = r1_penalty(logits, img) * share
    return (squares.sqrt() - 1).square()


def whole_share(side: int, resolution: int) -> float:
    """Squared gradients of a small picture times this are those of its enlargement, which the
    original program penalises."""
    return (side / resolution) ** 2

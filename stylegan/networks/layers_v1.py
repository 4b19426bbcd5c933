"""Layers of StyleGAN (arXiv 1812.04948) and Progressive GAN (1710.10196).

The gain of sqrt(2) lies in the weights, not behind the leaky ReLU, and biases are not scaled.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import ops
from .growing import enlarge, shrink

BLUR_TAPS = (1, 2, 1)
FUSED_FROM = 128  # from this side on, resampling is one with the convolution


def lrelu(x: Tensor, clamp: float | None = None) -> Tensor:
    """Leaky ReLU without a gain, and the optional limit."""
    x = F.leaky_relu(x, ops.LRELU_SLOPE)
    return x if clamp is None else F.hardtanh(x, -clamp, clamp)


def conv_gain(in_channels: int, kernel_size: int, activated: bool = True) -> float:
    """What a stored weight is used times."""
    return (ops.LRELU_GAIN if activated else 1) / math.sqrt(in_channels * kernel_size**2)


class FullyConnected(nn.Module):
    """Linear layer, optionally with the leaky ReLU; [N, in] -> [N, out]."""

    def __init__(
        self, in_features: int, out_features: int, activate: bool = False, lr_mul: float = 1
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_mul)
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.activate = activate
        self.weight_gain = lr_mul * conv_gain(in_features, 1, activate)
        self.bias_gain = lr_mul

    def forward(self, x: Tensor) -> Tensor:
        x = torch.addmm(self.bias * self.bias_gain, x, (self.weight * self.weight_gain).t())
        return lrelu(x) if self.activate else x


class Conv(nn.Module):
    """Convolution, optionally halving the side after a blur, bias, leaky ReLU unless `activate` is
    off; [N, I, H, W] -> [N, O, H', W']."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        activate: bool = True,
        down: bool = False,
        fused: bool = False,
        gain_activated: bool | None = None,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        activated = activate if gain_activated is None else gain_activated
        self.weight_gain = conv_gain(in_channels, kernel_size, activated)
        self.padding, self.activate, self.clamp = kernel_size // 2, activate, clamp
        self.down, self.fused = down, fused
        if down:
            self.register_buffer("blur_filter", ops.setup_filter(BLUR_TAPS), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        w = (self.weight * self.weight_gain).to(x.dtype)
        if self.down:
            x = conv_down(ops.filter2d(x, self.blur_filter), w, self.fused)
        else:
            x = F.conv2d(x, w, padding=self.padding)
        x = x + self.bias.to(x.dtype)[:, None, None]
        if self.activate:
            return lrelu(x, self.clamp)
        return x if self.clamp is None else F.hardtanh(x, -self.clamp, self.clamp)


def conv_up(x: Tensor, w: Tensor, fused: bool) -> Tensor:
    """Double the side and correlate with w [O, I, 3, 3].

    Fused it is the original's transposed convolution, which acts as if w were mirrored.
    """
    if fused:
        return F.conv_transpose2d(x, spread(w).transpose(0, 1), stride=2, padding=1)
    return F.conv2d(enlarge(x), w, padding=1)


def conv_down(x: Tensor, w: Tensor, fused: bool) -> Tensor:
    """Correlate with w [O, I, 3, 3] and halve the side."""
    if fused:
        return F.conv2d(x, spread(w) / 4, stride=2, padding=1)
    return shrink(F.conv2d(x, w, padding=1))


def spread(w: Tensor) -> Tensor:
    """The sum of a kernel at four neighbouring places: [O, I, 3, 3] -> [O, I, 4, 4]."""
    w = F.pad(w, [1, 1, 1, 1])
    return w[..., 1:, 1:] + w[..., :-1, 1:] + w[..., 1:, :-1] + w[..., :-1, :-1]

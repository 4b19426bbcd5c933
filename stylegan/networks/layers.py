"""Layers with equalised learning rate (Progressive GAN, section 4.1), minibatch deviation."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from . import ops

FIR_TAPS = (1, 3, 3, 1)  # StyleGAN2, appendix B


def normalize_latent(x: Tensor) -> Tensor:
    """Scale each row of x [N, D] to unit mean square."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class FullyConnected(nn.Module):
    """Linear layer, optionally with the leaky ReLU; [N, in] -> [N, out]."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        activate: bool = False,
        lr_mul: float = 1,
        bias_init: float = 0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_mul)
        self.bias = nn.Parameter(torch.full([out_features], float(bias_init)))
        self.activate = activate
        self.weight_gain = lr_mul / math.sqrt(in_features)
        self.bias_gain = lr_mul

    def forward(self, x: Tensor) -> Tensor:
        w = (self.weight * self.weight_gain).to(x.dtype)
        b = (self.bias * self.bias_gain).to(x.dtype)
        if not self.activate:
            return torch.addmm(b, x, w.t())
        return ops.biased_lrelu(x @ w.t(), b)


class Conv(nn.Module):
    """Convolution, optionally resampling by 2 and activated; [N, I, H, W] -> [N, O, H', W']."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        bias: bool = True,
        activate: bool = True,
        up: int = 1,
        down: int = 1,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.register_buffer("resample_filter", ops.setup_filter(FIR_TAPS), persistent=False)
        self.weight_gain = 1 / math.sqrt(in_channels * kernel_size**2)
        self.padding = kernel_size // 2
        self.activate = activate
        self.up, self.down, self.clamp = up, down, clamp

    def forward(self, x: Tensor, gain: float = 1) -> Tensor:
        w = (self.weight * self.weight_gain).to(x.dtype)
        f = self.resample_filter
        x = ops.conv2d_resample(x, w, f, up=self.up, down=self.down, padding=self.padding)
        clamp = None if self.clamp is None else self.clamp * gain
        if self.activate:
            return ops.biased_lrelu(x, self.bias, gain=ops.LRELU_GAIN * gain, clamp=clamp)
        return ops.biased_linear(x, self.bias, gain=gain, clamp=clamp)


class MinibatchStd(nn.Module):
    """Append the mean deviation over groups as one channel (Progressive GAN, section 3).

    Of a batch of N, pictures n, n + N/group, n + 2 N/group, ... form a group.
    """

    def __init__(self, group: int) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        group = min(self.group, n)
        y = x.reshape(group, n // group, -1)  # [G, N/G, CHW]
        y = (y - y.mean(dim=0)).square().mean(dim=0)
        y = (y + 1e-8).sqrt().mean(dim=1)  # [N/G]
        y = y.repeat(group).reshape(n, 1, 1, 1).expand(n, 1, h, w)
        return torch.cat([x, y], dim=1)

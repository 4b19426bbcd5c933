"""The demodulated generator: StyleGAN2, configs B to D growing, E and F not (arXiv 1912.04958)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ..config import NetworkConfig
from . import ops
from .growing import enlarge, faded, grown
from .layers import FIR_TAPS, Conv, FullyConnected

Noise = Literal["const", "none"] | Sequence[Tensor]
REDUCED_BLOCKS = 4  # mixed precision: so many of the highest resolutions, never below 8


def block_dtype(config: NetworkConfig, resolution: int, dtype: torch.dtype) -> torch.dtype:
    """What a block computes in when the networks run in `dtype`."""
    reduced = max(config.resolution >> (REDUCED_BLOCKS - 1), 8)
    return dtype if resolution >= reduced else torch.float32


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU; x [N, I, H, W], w [N, w_dim]."""

    def __init__(
        self, config: NetworkConfig, in_channels: int, out_channels: int, resolution: int, up: int
    ) -> None:
        super().__init__()
        self.affine = FullyConnected(config.w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("resample_filter", ops.setup_filter(FIR_TAPS), persistent=False)
        self.up, self.clamp = up, config.conv_clamp

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None, gain: float = 1) -> Tensor:
        """`noise` is a map [N or 1, 1, r, r]; none leaves it out."""
        s = self.affine(w)
        x, d = ops.modulated_conv2d(
            x,
            self.weight,
            s,
            self.resample_filter,
            up=self.up,
            padding=1,
            flip_weight=self.up > 1,  # stored weights are those of the transposed convolution
        )
        return ops.biased_lrelu(
            x,
            self.bias,
            gain=ops.LRELU_GAIN * gain,
            clamp=None if self.clamp is None else self.clamp * gain,
            scale=d,
            noise=None if noise is None else noise * self.noise_strength,
        )


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to the picture, without demodulation."""

    def __init__(self, config: NetworkConfig, in_channels: int) -> None:
        super().__init__()
        self.affine = FullyConnected(config.w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(config.channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(config.channels))
        self.style_gain = 1 / math.sqrt(in_channels)
        self.clamp = config.conv_clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        s = self.affine(w) * self.style_gain
        x, _ = ops.modulated_conv2d(x, self.weight, s, demodulate=False)
        return ops.biased_linear(x, self.bias, clamp=self.clamp).float()


class Block(nn.Module):
    """The layers of one resolution; block 4 starts from the learned constant."""

    def __init__(self, config: NetworkConfig, resolution: int) -> None:
        super().__init__()
        self.config, self.resolution = config, resolution
        channels = config.channels_at(resolution)
        if resolution == 4:
            self.const = nn.Parameter(torch.randn(channels, 4, 4))
        else:
            before = config.channels_at(resolution // 2)
            self.conv0 = StyledConv(config, before, channels, resolution, up=2)
            if config.architecture == "resnet":
                self.skip = Conv(before, channels, 1, bias=False, activate=False, up=2)
                self.skip.clamp = config.conv_clamp
        self.conv1 = StyledConv(config, channels, channels, resolution, up=1)
        every = config.architecture in ("skip", "growing")
        self.has_torgb = every or resolution == config.resolution
        if self.has_torgb:
            self.torgb = ToRGB(config, channels)
        self.register_buffer("resample_filter", ops.setup_filter(FIR_TAPS), persistent=False)

    def forward(
        self,
        x: Tensor | None,
        img: Tensor | None,
        ws: Sequence[Tensor],
        noise: Sequence[Tensor | None],
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor | None]:
        """`ws` and `noise` iterate over what this block's layers take, torgb's row last."""
        rows, maps = iter(ws), iter(noise)
        dtype = block_dtype(self.config, self.resolution, dtype)
        if x is None:
            x = self.const.to(dtype).expand(ws[0].shape[0], -1, -1, -1)
            x = x.contiguous(memory_format=torch.channels_last)
            x = self.conv1(x, next(rows), next(maps))
        else:
            x = x.to(dtype)
            if self.config.architecture == "resnet":
                y = self.skip(x, gain=math.sqrt(0.5))
                x = self.conv0(x, next(rows), next(maps))
                x = y + self.conv1(x, next(rows), next(maps), gain=math.sqrt(0.5))
            else:
                x = self.conv0(x, next(rows), next(maps))
                x = self.conv1(x, next(rows), next(maps))
        if img is not None:
            img = ops.upsample2d(img, self.resample_filter)
        if self.has_torgb:
            y = self.torgb(x, next(rows))
            img = y if img is None else img + y
        return x, img


class Synthesis(nn.Module):
    """ws [N, num_ws, w_dim] -> picture [N, C, R, R] float32, about [-1, 1]."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        for r in config.resolutions:
            setattr(self, f"b{r}", Block(config, r))
        if config.grows:
            self.register_buffer("lod", torch.zeros([]))  # of its training, for drawing

    @property
    def noise_shapes(self) -> list[int]:
        """Side of each layer's noise map, in drawing order."""
        return [4] + [r for r in self.config.resolutions[1:] for _ in range(2)]

    def forward(
        self,
        ws: Tensor,
        noise: Noise = "const",
        dtype: torch.dtype = torch.float32,
        lod: float | None = None,
        whole: bool = True,
    ) -> Tensor:
        """Draw; `noise` is "const" (stored), "none", or one map [N or 1, 1, r, r] per layer.

        Where pictures grow, `lod` stands in place of the network's own; they are enlarged to their
        whole size, or left as small as they are, [N, C, r, r].
        """
        grows, resolution = self.config.grows, self.config.resolution
        lod = float(self.lod) if grows and lod is None else lod or 0
        side, share = grown(resolution, lod)
        x = img = below = None
        ws, maps = ws.float().unbind(dim=1), self.noise_maps(noise, side)
        for r in (r for r in self.config.resolutions if r <= side):
            row, layer = (0, 0) if r == 4 else (2 * r.bit_length() - 7, 2 * r.bit_length() - 7)
            count = 1 if r == 4 else 2
            below, img = img, None if grows else img
            x, img = getattr(self, f"b{r}")(
                x, img, ws[row : row + count + 1], maps[layer : layer + count], dtype
            )
        if share:
            img = faded(img, enlarge(below), share)
        return enlarge(img, resolution // side) if whole else img

    def noise_maps(self, noise: Noise, side: int | None = None) -> Sequence[Tensor | None]:
        """What each layer is given, in drawing order; those above `side` may be left out."""
        if isinstance(noise, str):
            if noise not in ("const", "none"):
                raise ValueError(f"noise {noise!r} is not const, none or a list of maps")
            layers = [m for m in self.modules() if isinstance(m, StyledConv)]
            return [m.noise_const[None, None] if noise == "const" else None for m in layers]
        needed = [r for r in self.noise_shapes if r <= (side or self.config.resolution)]
        if len(noise) not in (len(needed), len(self.noise_shapes)):
            raise ValueError(f"{len(noise)} noise maps for {len(self.noise_shapes)} layers")
        return noise

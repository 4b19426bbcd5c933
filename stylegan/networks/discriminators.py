"""Picture -> realness: StyleGAN2's residual, skip and plain discriminators (arXiv 1912.04958)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..config import NetworkConfig
from . import ops
from .discriminator_v1 import GrowingDiscriminator
from .layers import FIR_TAPS, Conv, FullyConnected, MinibatchStd
from .mapping import Mapping
from .synthesis_v2 import block_dtype

LABEL_MAPPING_LAYERS = 8


class Block(nn.Module):
    """The layers of one resolution, ending at half of it."""

    def __init__(self, config: NetworkConfig, resolution: int) -> None:
        super().__init__()
        self.config, self.resolution = config, resolution
        channels, after = config.channels_at(resolution), config.channels_at(resolution // 2)
        clamp = config.conv_clamp
        if config.d_architecture == "skip" or resolution == config.resolution:
            self.fromrgb = Conv(config.channels, channels, 1, clamp=clamp)
        self.conv0 = Conv(channels, channels, 3, clamp=clamp)
        self.conv1 = Conv(channels, after, 3, down=2, clamp=clamp)
        if config.d_architecture == "resnet":
            self.skip = Conv(channels, after, 1, bias=False, activate=False, down=2, clamp=clamp)
        self.register_buffer("resample_filter", ops.setup_filter(FIR_TAPS), persistent=False)

    def forward(
        self, x: Tensor | None, img: Tensor | None, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor | None]:
        dtype = block_dtype(self.config, self.resolution, dtype)
        x = None if x is None else x.to(dtype)
        if x is None or self.config.d_architecture == "skip":
            y = self.fromrgb(img.to(dtype))
            x = y if x is None else x + y
            skip = self.config.d_architecture == "skip"
            img = ops.downsample2d(img, self.resample_filter) if skip else None
        if self.config.d_architecture == "resnet":
            y = self.skip(x, gain=math.sqrt(0.5))
            x = y + self.conv1(self.conv0(x), gain=math.sqrt(0.5))
        else:
            x = self.conv1(self.conv0(x))
        return x, img


class Epilogue(nn.Module):
    """Features at 4x4 -> [N, 1], or [N, width] to be compared with the label."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        channels, clamp = config.channels_at(4), config.conv_clamp
        if config.d_architecture == "skip":
            self.fromrgb = Conv(config.channels, channels, 1, clamp=clamp)
        self.mbstd = MinibatchStd(config.mbstd_group)
        self.conv = Conv(channels + 1, channels, 3, clamp=clamp)
        self.fc = FullyConnected(channels * 16, channels, activate=True)
        self.out = FullyConnected(channels, channels if config.c_dim else 1)

    def forward(self, x: Tensor, img: Tensor | None) -> Tensor:
        x = x.float()
        if img is not None:
            x = x + self.fromrgb(img)
        x = self.conv(self.mbstd(x))
        return self.out(self.fc(x.flatten(1)))


class Discriminator(nn.Module):
    """img [N, C, R, R] in [-1, 1], label c [N, c_dim] -> logits [N, 1]."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        for r in reversed(config.resolutions[1:]):
            setattr(self, f"b{r}", Block(config, r))
        self.b4 = Epilogue(config)
        width = config.channels_at(4)
        if config.c_dim:
            self.mapping = Mapping(0, config.c_dim, width, LABEL_MAPPING_LAYERS, track=False)

    def forward(
        self, img: Tensor, c: Tensor | None = None, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        *_, (x, img) = self.blocks(img, dtype)
        x = self.b4(x, img)
        if self.config.c_dim:
            y = self.mapping(None, c)
            x = (x * y).sum(dim=1, keepdim=True) / math.sqrt(y.shape[1])
        return x

    def blocks(
        self, img: Tensor, dtype: torch.dtype = torch.float32
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Features after each block, and what of the picture the next one takes."""
        x: Tensor | None = None
        rest: Tensor | None = img.float().contiguous(memory_format=torch.channels_last)
        for r in reversed(self.config.resolutions[1:]):
            x, rest = getattr(self, f"b{r}")(x, rest, dtype)
            yield x, rest


AnyDiscriminator = Discriminator | GrowingDiscriminator


def discriminator_of(config: NetworkConfig) -> AnyDiscriminator:
    """The discriminator of any member of the family."""
    return (GrowingDiscriminator if config.grows else Discriminator)(config)

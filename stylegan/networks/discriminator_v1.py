"""The growing discriminator of StyleGAN, configs A to D (arXiv 1812.04948, 1710.10196)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..config import NetworkConfig
from .growing import faded, grown, shrink
from .layers import MinibatchStd
from .layers_v1 import FUSED_FROM, Conv, FullyConnected
from .synthesis_v2 import block_dtype


def from_rgb(config: NetworkConfig, resolution: int) -> Conv:
    """1x1 convolution of the picture; some models of rosinality's have it without activation."""
    return Conv(
        config.channels,
        config.channels_at(resolution),
        1,
        activate=config.d_architecture != "growing-plain",
        gain_activated=True,
        clamp=config.conv_clamp,
    )


class Block(nn.Module):
    """The layers of one resolution, ending at half of it."""

    def __init__(self, config: NetworkConfig, resolution: int) -> None:
        super().__init__()
        self.config, self.resolution = config, resolution
        channels, after = config.channels_at(resolution), config.channels_at(resolution // 2)
        fused, clamp = resolution >= FUSED_FROM, config.conv_clamp
        self.fromrgb = from_rgb(config, resolution)
        between = after if config.style == "adain-rosinality" else channels
        self.conv0 = Conv(channels, between, 3, clamp=clamp)
        self.conv1 = Conv(between, after, 3, down=True, fused=fused, clamp=clamp)

    def forward(self, x: Tensor | None, img: Tensor | None, dtype: torch.dtype) -> tuple:
        """Features, from the picture where there are none yet; the picture is then used up."""
        dtype = block_dtype(self.config, self.resolution, dtype)
        x = self.fromrgb(img.to(dtype)) if x is None else x.to(dtype)
        return self.conv1(self.conv0(x)), None


class Epilogue(nn.Module):
    """Features at 4x4 -> [N, 1], or a score for each class [N, c_dim]."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        channels = config.channels_at(4)
        self.fromrgb = from_rgb(config, 4)
        self.mbstd = MinibatchStd(config.mbstd_group)
        self.conv = Conv(channels + 1, channels, 3, clamp=config.conv_clamp)
        self.fc = FullyConnected(channels * 16, channels, activate=True)
        self.out = FullyConnected(channels, max(config.c_dim, 1))

    def forward(self, x: Tensor | None, img: Tensor | None) -> Tensor:
        x = self.fromrgb(img) if x is None else x.float()
        return self.out(self.fc(self.conv(self.mbstd(x)).flatten(1)))


class GrowingDiscriminator(nn.Module):
    """img [N, C, R, R], or [N, C, r, r] as it has grown, label c [N, c_dim] -> logits [N, 1]."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        for r in reversed(config.resolutions[1:]):
            setattr(self, f"b{r}", Block(config, r))
        self.b4 = Epilogue(config)
        self.register_buffer("lod", torch.zeros([]))  # of its training

    def forward(
        self,
        img: Tensor,
        c: Tensor | None = None,
        dtype: torch.dtype = torch.float32,
        lod: float | None = None,
    ) -> Tensor:
        """Scores at a `lod`, or else the network's own."""
        seen = [x for x, _ in self.blocks(img, dtype, lod)]
        x = self.b4(seen[-1] if seen else None, self.small(img, lod)[0])
        return (x * c).sum(dim=1, keepdim=True) if self.config.c_dim else x

    def blocks(
        self, img: Tensor, dtype: torch.dtype = torch.float32, lod: float | None = None
    ) -> Iterator[tuple[Tensor, None]]:
        """Features after each block; nothing of the picture is left for the next one."""
        img, side, share = self.small(img, lod)
        x = None
        for r in (r for r in reversed(self.config.resolutions[1:]) if r <= side):
            x, _ = getattr(self, f"b{r}")(x, img, dtype)
            if r == side and share:
                below = getattr(self, f"b{r // 2}").fromrgb
                x = faded(x, below(shrink(img).to(x.dtype)), share)
            yield x, None

    def small(self, img: Tensor, lod: float | None) -> tuple[Tensor, int, float]:
        """The picture as far as it has grown, its side, and the share of the side below."""
        side, share = grown(self.config.resolution, float(self.lod) if lod is None else lod)
        img = img.float().contiguous(memory_format=torch.channels_last)
        return shrink(img, img.shape[-1] // side), side, share

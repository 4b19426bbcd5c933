"""Picture -> w+: the offset of each row from the mean of w."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import ConfigError, NetworkConfig
from .discriminators import Block
from .layers import Conv, FullyConnected

MOST_PX = 256
HEAD_PX = 4  # features of every size are brought to this one for the head
HEAD_SIZES = 3  # so many of the lowest resolutions speak to the head


@dataclass(frozen=True)
class EncoderConfig:
    """Shape of an encoder; all that is needed to build it."""

    resolution: int
    """Side of the picture it looks at; larger ones are shrunk first."""
    channels: int
    """Picture channels: 1 grey, 3 RGB, 4 RGBA."""
    num_ws: int
    """Rows of w+."""
    w_dim: int
    """Length of each row."""
    channel_base: int
    """Feature maps at resolution r: min(channel_base / r, channel_max)."""
    channel_max: int
    """Most feature maps in any layer."""
    hidden: int = 512
    """Width of the head."""

    def __post_init__(self) -> None:
        for name, low, high in (("num_ws", 2, 64), ("w_dim", 1, 4096), ("hidden", 1, 4096)):
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ConfigError(f"{name} {value!r} is not a whole number from {low} to {high}")
        self.trunk()  # checks the rest

    @classmethod
    def of(cls, model: NetworkConfig) -> EncoderConfig:
        """An encoder like the model's discriminator, whose blocks can then begin it."""
        return cls(
            min(model.resolution, MOST_PX),
            model.channels,
            model.num_ws,
            model.w_dim,
            model.channel_base,
            model.channel_max,
            hidden=min(512, 2 * model.w_dim),
        )

    def trunk(self) -> NetworkConfig:
        """The discriminator whose blocks look at the picture."""
        return NetworkConfig(
            self.resolution,
            self.channels,
            channel_base=self.channel_base,
            channel_max=self.channel_max,
        )


class Encoder(nn.Module):
    """img [N, C, R, R] in [-1, 1] -> ws [N, num_ws, w_dim]; residual blocks, then a shared head.

    `mean` and `scale` [w_dim] are those of w, so that the head begins at the mean.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        trunk = config.trunk()
        sizes = trunk.resolutions
        for r in sizes[1:]:
            setattr(self, f"b{r}", Block(trunk, r))
        self.heard = sizes[:-1][:HEAD_SIZES]  # resolutions whose features the head is given
        channels = sum(trunk.channels_at(r) for r in self.heard)
        width = trunk.channels_at(HEAD_PX)
        self.join = Conv(channels, width, 3)
        self.fc = FullyConnected(width * HEAD_PX**2, config.hidden, activate=True)
        self.out = FullyConnected(config.hidden, config.num_ws * config.w_dim)
        nn.init.zeros_(self.out.weight)
        self.register_buffer("mean", torch.zeros(config.w_dim))
        self.register_buffer("scale", torch.ones(config.w_dim))

    def forward(self, img: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """`dtype` is what the highest resolutions compute in."""
        side = self.config.resolution
        if img.shape[-1] > side:
            img = F.interpolate(img, size=[side, side], mode="area")
        x, rest = None, img.float().contiguous(memory_format=torch.channels_last)
        heard = []
        for r in reversed(self.config.trunk().resolutions[1:]):
            x, rest = getattr(self, f"b{r}")(x, rest, dtype)
            if r // 2 in self.heard:
                heard.append(F.adaptive_avg_pool2d(x.float(), HEAD_PX))
        y = self.fc(self.join(torch.cat(heard, dim=1)).flatten(1))
        offset = self.out(y).reshape(len(img), self.config.num_ws, self.config.w_dim)
        return self.mean + self.scale * offset

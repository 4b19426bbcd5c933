"""StyleGAN's generator, config A: AdaIN, noise per channel, growing (arXiv 1812.04948)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import NetworkConfig
from . import ops
from .growing import enlarge, faded, grown
from .layers import normalize_latent
from .layers_v1 import BLUR_TAPS, FUSED_FROM, Conv, FullyConnected, conv_gain, conv_up, lrelu
from .mapping import LR_MUL, moved_mean
from .synthesis_v2 import Noise, block_dtype

NORM_EPS, ROSINALITY_EPS = 1e-8, 1e-5


class Mapping(nn.Module):
    """z [N, z_dim] and label c [N, c_dim] -> w [N, w_dim]; layers between are `hidden` wide, or as
    w is."""

    def __init__(
        self, z_dim: int, c_dim: int, w_dim: int, layers: int, hidden: int | None = None
    ) -> None:
        super().__init__()
        self.c_dim, self.layers = c_dim, layers
        if c_dim:
            self.embed = nn.Parameter(torch.randn(c_dim, z_dim))
        inner = [hidden or w_dim] * (layers - 1)
        sizes = [z_dim * (2 if c_dim else 1), *inner, w_dim]
        for i in range(layers):
            layer = FullyConnected(sizes[i], sizes[i + 1], activate=True, lr_mul=LR_MUL)
            setattr(self, f"fc{i}", layer)
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        x = z.float()
        if self.c_dim:
            if c is None:
                raise ValueError("this model has classes: a label is needed")
            x = torch.cat([x, c.float() @ self.embed], dim=1)
        x = normalize_latent(x)
        for i in range(self.layers):
            x = getattr(self, f"fc{i}")(x)
        return x

    @torch.no_grad()
    def track(self, w: Tensor) -> None:
        """Move the running mean towards the mean of w [N, w_dim]."""
        self.w_avg.copy_(moved_mean(self.w_avg, w))


def adain(x: Tensor, style: Tensor, eps: float) -> Tensor:
    """Every map's own mean and deviation replaced (eq. 1); x [N, C, H, W], style [N, 2 C]."""
    gamma, beta = style[:, :, None, None].chunk(2, dim=1)
    variance, mean = torch.var_mean(x.float(), dim=[2, 3], correction=0, keepdim=True)
    return torch.addcmul(beta, (x - mean) * (variance + eps).rsqrt(), 1 + gamma).to(x.dtype)


class Styled(nn.Module):
    """Noise, bias, leaky ReLU, AdaIN; x [N, C, r, r], w [N, w_dim].

    `rosinality` draws as models of github.com/rosinality/style-based-gan-pytorch do: their bias
    comes before the blur, the constant has none, a resolution's two layers share one noise map.
    """

    def __init__(self, config: NetworkConfig, resolution: int, bias: bool, noise: bool) -> None:
        super().__init__()
        channels = config.channels_at(resolution)
        self.rosinality, self.clamp = config.style == "adain-rosinality", config.conv_clamp
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None
        self.noise_strength = nn.Parameter(torch.zeros(channels))
        self.affine = FullyConnected(config.w_dim, 2 * channels)
        if noise:
            self.register_buffer("noise_const", torch.randn(resolution, resolution))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """`noise` is a map [N or 1, 1, r, r]; none leaves it out."""
        if noise is not None:
            x = x + (noise * self.noise_strength[:, None, None]).to(x.dtype)
        if not self.rosinality:
            x = self.biased(x)
        eps = ROSINALITY_EPS if self.rosinality else NORM_EPS
        return adain(lrelu(x, self.clamp), self.affine(w), eps)

    def biased(self, x: Tensor) -> Tensor:
        """x with the bias."""
        return x + self.bias.to(x.dtype)[:, None, None]


class StyledConv(Styled):
    """A convolution, with `up` to twice the side and blurred, before what `Styled` does."""

    def __init__(
        self, config: NetworkConfig, in_channels: int, resolution: int, up: bool, noise: bool
    ) -> None:
        super().__init__(config, resolution, bias=True, noise=noise)
        channels = config.channels_at(resolution)
        self.weight = nn.Parameter(torch.randn(channels, in_channels, 3, 3))
        self.weight_gain = conv_gain(in_channels, 3)
        self.up, self.fused = up, resolution >= FUSED_FROM
        if up:
            self.register_buffer("blur_filter", ops.setup_filter(BLUR_TAPS), persistent=False)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """`noise` is a map [N or 1, 1, r, r]; none leaves it out."""
        weight = (self.weight * self.weight_gain).to(x.dtype)
        x = conv_up(x, weight, self.fused) if self.up else F.conv2d(x, weight, padding=1)
        if self.rosinality:
            x = self.biased(x)
        if self.up:
            x = ops.filter2d(x, self.blur_filter)
        return super().forward(x, w, noise)


class Block(nn.Module):
    """The layers of one resolution; in block 4 the constant stands for the first convolution."""

    def __init__(self, config: NetworkConfig, resolution: int) -> None:
        super().__init__()
        self.config, self.resolution = config, resolution
        self.shared = config.style == "adain-rosinality"
        channels = config.channels_at(resolution)
        if resolution == 4:
            self.const = nn.Parameter(torch.ones(channels, 4, 4))
            self.conv0 = Styled(config, 4, bias=not self.shared, noise=True)
        else:
            before = config.channels_at(resolution // 2)
            self.conv0 = StyledConv(config, before, resolution, up=True, noise=True)
        self.conv1 = StyledConv(config, channels, resolution, up=False, noise=not self.shared)
        self.torgb = Conv(channels, config.channels, 1, activate=False, clamp=config.conv_clamp)

    def forward(
        self,
        x: Tensor | None,
        ws: Sequence[Tensor],
        noise: Sequence[Tensor | None],
        dtype: torch.dtype,
    ) -> Tensor:
        """`ws` are two rows; `noise` one map a layer."""
        dtype = block_dtype(self.config, self.resolution, dtype)
        if x is None:
            x = self.const.expand(ws[0].shape[0], -1, -1, -1)
            x = x.contiguous(memory_format=torch.channels_last)
        x = self.conv0(x.to(dtype), ws[0], noise[0])
        return self.conv1(x, ws[1], noise[1])


class Synthesis(nn.Module):
    """ws [N, num_ws, w_dim] -> picture [N, C, R, R] float32, about [-1, 1]."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        for r in config.resolutions:
            setattr(self, f"b{r}", Block(config, r))
        self.register_buffer("lod", torch.zeros([]))  # of its training, for drawing

    @property
    def noise_shapes(self) -> list[int]:
        """Side of each noise map, in drawing order."""
        shared = self.config.style == "adain-rosinality"
        return [r for r in self.config.resolutions for _ in range(1 if shared else 2)]

    def forward(
        self,
        ws: Tensor,
        noise: Noise = "const",
        dtype: torch.dtype = torch.float32,
        lod: float | None = None,
        whole: bool = True,
    ) -> Tensor:
        """Draw; `noise` is "const" (stored), "none", or one map [N or 1, 1, r, r] each.

        At a `lod`, or else the network's own, the picture is enlarged to its whole size, or left as
        small as it is, [N, C, r, r].
        """
        side, share = grown(self.config.resolution, float(self.lod) if lod is None else lod)
        rows, maps = ws.float().unbind(dim=1), self._every(self.noise_maps(noise, side))
        x = below = None
        for i, r in enumerate(r for r in self.config.resolutions if r <= side):
            below, two = x, slice(2 * i, 2 * i + 2)
            x = getattr(self, f"b{r}")(x, rows[two], maps[two], dtype)
        img = getattr(self, f"b{side}").torgb(x).float()
        if share:
            coarse = getattr(self, f"b{side // 2}").torgb(below).float()
            img = faded(img, enlarge(coarse), share)
        return enlarge(img, self.config.resolution // side) if whole else img

    def noise_maps(self, noise: Noise, side: int | None = None) -> Sequence[Tensor | None]:
        """What is given to the layers, in drawing order; that above `side` may be left out."""
        if isinstance(noise, str):
            if noise not in ("const", "none"):
                raise ValueError(f"noise {noise!r} is not const, none or a list of maps")
            layers = [m for m in self.modules() if hasattr(m, "noise_const")]
            return [m.noise_const[None, None] if noise == "const" else None for m in layers]
        needed = [r for r in self.noise_shapes if r <= (side or self.config.resolution)]
        if len(noise) not in (len(needed), len(self.noise_shapes)):
            raise ValueError(f"{len(noise)} noise maps for {len(self.noise_shapes)} layers")
        return noise

    def _every(self, maps: Sequence[Tensor | None]) -> list[Tensor | None]:
        """One map a layer; what two layers share comes twice."""
        shared = self.config.style == "adain-rosinality"
        return [m for m in maps for _ in range(2 if shared else 1)]

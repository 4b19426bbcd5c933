"""Perceptual distances: pictures -> vectors whose squared distance says how unlike they look.

Every kind is called with pictures [N, C, R, R] of about [-1, 1], C = 1 grey, 3 RGB or 4 RGBA, and
returns float32 [N, F]; gradients flow through it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from stylegan.config import UserError
from stylegan.fetch import cache_folder, fetch_file
from stylegan.networks.discriminators import AnyDiscriminator
from stylegan.tensors import load_strict

Features = Callable[[Tensor], Tensor]

MOST_PX = 256  # larger pictures are shrunk first (StyleGAN2, appendix D)
VGG16_URL = "https://huggingface.co/timm/vgg16.tv_in1k/resolve/main/model.safetensors"
VGG16_FILE = "vgg16.tv_in1k.safetensors"


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Squared distance of features [N, F] and [N or 1, F]: [N]."""
    return (a - b).square().sum(dim=1)


def find(
    name: str,
    discriminator: Callable[[], AnyDiscriminator],
    device: torch.device | str = "cpu",
    say: Callable[[str], None] | None = None,
) -> Features:
    """The distance of this name: disc, pixels, vgg, or the path of a TorchScript detector file.

    `discriminator` is asked for the model's own only where it is needed.
    """
    if name == "pixels":
        return pyramid
    if name == "disc":
        return DiscFeatures(discriminator())
    if name == "vgg":
        return load_vgg16(device, say)
    if not Path(name).is_file():
        raise UserError(f"there is no distance {name!r}; give disc, pixels, vgg or a detector file")
    return Detector(name, device)


def has_vgg16() -> bool:
    """Whether its weights were fetched before."""
    return (cache_folder() / VGG16_FILE).is_file()


# Pixels, and the model's own discriminator


def pyramid(img: Tensor, least: int = 8) -> Tensor:
    """Pixels at the full size, at half of it, ... down to `least`: squared distance is the mean
    over sizes of the mean squared difference. [N, C, R, R] -> [N, F]"""
    sizes = [img]
    while sizes[-1].shape[-1] >= 2 * least:
        sizes.append(F.avg_pool2d(sizes[-1], 2))
    return torch.cat([_share(x, len(sizes) * x[0].numel()) for x in sizes], dim=1)


class DiscFeatures:
    """What the discriminator sees after each of its blocks, and pixels at several sizes.

    Features are scaled to unit length at every place, as in LPIPS (arXiv 1801.03924, eq. 1).
    """

    PIXELS = 5.0  # weight of the pixels, so that both parts are of one order

    def __init__(self, discriminator: AnyDiscriminator, dtype: torch.dtype = torch.float32) -> None:
        """`dtype` is what the highest resolutions compute in."""
        self.discriminator, self.dtype = discriminator, dtype

    def __call__(self, img: Tensor) -> Tensor:
        taps = [_unit(x) for x in self.blocks(img)]
        seen = [_share(x, len(taps) * x.shape[2] * x.shape[3]) for x in taps]
        return torch.cat([*seen, pyramid(img) * math.sqrt(self.PIXELS)], dim=1)

    def blocks(self, img: Tensor) -> list[Tensor]:
        """What each block gives, float32 [N, C, r, r]."""
        return [x.float() for x, _ in self.discriminator.blocks(img, self.dtype)]


# VGG16


class VGG16(nn.Module):
    """The convolutions of VGG16 (arXiv 1409.1556, column D), tapped before each pooling.

    Parameters are named as in torchvision: features.N.weight, features.N.bias.
    """

    STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
    MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, RGB in [0, 1]
    LEAST_PX = 32  # so that the last stage has 2 x 2 places

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self.taps, before = [], 3
        for stage in self.STAGES:
            for channels in stage:
                layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU()]
                before = channels
            self.taps.append(len(layers) - 1)
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers[:-1])
        self.register_buffer("mean", torch.tensor(self.MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(self.STD)[:, None, None], persistent=False)

    def forward(self, img: Tensor) -> Tensor:
        x = at_most(rgb(img), MOST_PX)
        if x.shape[-1] < self.LEAST_PX:
            x = F.interpolate(x, size=[self.LEAST_PX] * 2, mode="bilinear", antialias=True)
        x = ((x + 1) / 2 - self.mean) / self.std
        taps = []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self.taps:
                taps.append(_unit(x))
        return torch.cat([_share(x, len(taps) * x.shape[2] * x.shape[3]) for x in taps], dim=1)


def load_vgg16(
    device: torch.device | str = "cpu",
    say: Callable[[str], None] | None = None,
    url: str | None = None,
) -> VGG16:
    """VGG16 with its ImageNet weights, fetched once."""
    path = fetch_file(url or VGG16_URL, VGG16_FILE, say=say)
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith("features.")]  # noqa: SIM118
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged ({error}); delete it and it is fetched again") from None
    with torch.random.fork_rng(devices=[]):  # first weights are drawn, and then overwritten
        network = VGG16()
    load_strict(network, tensors, str(path))
    return network.to(device).eval().requires_grad_(False)


# Detector files


class Detector:
    """A TorchScript file that is called with RGB of 0 to 255 and returns LPIPS-weighted features.

    Only computations can stand in such a file. It is called as the published vgg16.pt expects.
    """

    def __init__(self, path: str | Path, device: torch.device | str = "cpu") -> None:
        self.path = path
        try:
            self.network = torch.jit.load(str(path), map_location=device).eval()
        except (RuntimeError, ValueError, OSError) as error:
            raise UserError(f"{path} is no detector file in TorchScript") from error

    def __call__(self, img: Tensor) -> Tensor:
        x = at_most((rgb(img) + 1) * 127.5, MOST_PX)
        try:
            out = self.network(x, resize_images=False, return_lpips=True)
        except RuntimeError as error:
            reason = str(error).strip().rpartition("\n")[2][:200]
            raise UserError(f"{self.path} cannot be used as a distance: {reason}") from error
        return out.flatten(1).float()


# Pictures


def rgb(img: Tensor) -> Tensor:
    """Grey three times, RGBA over white: [N, 3, R, R]."""
    if img.shape[1] == 1:
        return img.expand(-1, 3, -1, -1)
    if img.shape[1] == 4:
        alpha = (img[:, 3:] + 1) / 2
        return img[:, :3] * alpha + (1 - alpha)
    return img


def at_most(img: Tensor, most: int) -> Tensor:
    """Shrunk by averaging to a side of `most` pixels."""
    if img.shape[-1] <= most:
        return img
    return F.interpolate(img, size=[most, most], mode="area")


def _unit(x: Tensor) -> Tensor:
    return x * (x.square().sum(dim=1, keepdim=True) + 1e-8).rsqrt()


def _share(x: Tensor, count: int) -> Tensor:
    """Flattened, and scaled so that a sum of squares becomes a mean over `count`."""
    return x.flatten(1) / math.sqrt(count)

"""What turns pictures into the features that metrics compare.

The papers' detectors and one's own are TorchScript files, which hold computations and no code of
Python; the model's own discriminator is another, comparable with nothing but itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from stylegan import features
from stylegan.config import UserError
from stylegan.features import DiscFeatures, rgb
from stylegan.fetch import fetch_file, file_hash
from stylegan.networks.discriminators import AnyDiscriminator

SITE = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Published:
    """A detector file that papers used."""

    file: str

    @property
    def url(self) -> str:
        """Where it is fetched from, once."""
        return f"{SITE}/{self.file}"


INCEPTION = Published("inception-2015-12-05.pt")
"""Inception-v3 with TensorFlow's weights of that day: features [2048], probabilities [1008]."""
VGG16 = Published("vgg16.pt")
"""Features [4096], and LPIPS-weighted ones of every stage."""


class Detector(Protocol):
    """Pictures uint8 [N, C, R, R], C = 1 grey, 3 RGB or 4 RGBA -> vectors float32 [N, F]."""

    name: str
    hash: str
    """Hex digits that stand for its computation."""
    published: bool
    """Whether its numbers can be compared with those of papers."""
    lasting: bool
    """Whether the same one will be met again."""

    def features(self, images: Tensor) -> Tensor:
        """What Fréchet and kernel distances, precision and recall compare."""

    def probabilities(self, images: Tensor) -> Tensor:
        """Of classes, for the inception score."""

    def perceptual(self, img: Tensor) -> Tensor:
        """Of float pictures of about [-1, 1]: squared distance is how unlike they look."""


class ScriptDetector:
    """A TorchScript file with the calling convention of the published ones."""

    lasting = True

    def __init__(
        self, path: str | Path, device: torch.device | str = "cpu", published: bool = False
    ) -> None:
        self.path, self.name, self.published = Path(path), Path(path).stem, published
        if not self.path.is_file():
            raise UserError(f"there is no detector file {path}")
        if self.path.suffix.lower() in (".pth", ".pkl", ".pickle"):
            raise UserError(
                f"{path} is a pickle by its name, which is never opened; a detector file is "
                "TorchScript, as torch.jit.save writes it"
            )
        self.hash = file_hash(self.path)
        self._look = features.Detector(self.path, device)
        self._device = device
        self._takes = {x.name for x in self._look.network.forward.schema.arguments}

    def features(self, images: Tensor) -> Tensor:
        """uint8 [N, C, R, R] -> float32 [N, F] on the CPU."""
        return self._call(images, return_features=True)

    def probabilities(self, images: Tensor) -> Tensor:
        """uint8 [N, C, R, R] -> float32 [N, classes] on the CPU."""
        # The score was defined on a network whose last layer's bias was left out
        bias = {"no_output_bias": True} if "no_output_bias" in self._takes else {}
        return self._call(images, **bias)

    def perceptual(self, img: Tensor) -> Tensor:
        """Float [N, C, R, R] -> float32 [N, F] on its device, of at most 256 x 256 pixels."""
        return self._look(img)

    @torch.no_grad()
    def _call(self, images: Tensor, **how: bool) -> Tensor:
        try:
            out = self._look.network(_rgb_bytes(images).to(self._device), **how)
        except RuntimeError as error:
            reason = str(error).strip().rpartition("\n")[2][:200]
            raise UserError(f"{self.path} cannot be used as a detector: {reason}") from error
        out = out.flatten(1).float().cpu()
        if len(out) != len(images):
            raise UserError(
                f"{self.path} cannot be used as a detector: of {len(images)} pictures it makes "
                f"{len(out)} rows"
            )
        return out


class DiscDetector:
    """What a model's discriminator sees: its name stands beside every number made of it."""

    name, published, lasting = "discriminator", False, False

    def __init__(self, discriminator: AnyDiscriminator) -> None:
        self.hash = network_hash(discriminator)
        self._device = next(discriminator.parameters()).device
        self._look = DiscFeatures(discriminator)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Means over places of what each block gives: uint8 [N, C, R, R] -> float32 [N, F]."""
        img = images.to(self._device).float() / 127.5 - 1
        return torch.cat([x.mean((2, 3)) for x in self._look.blocks(img)], dim=1).cpu()

    def probabilities(self, images: Tensor) -> Tensor:
        """It tells no classes apart."""
        raise UserError("a discriminator knows no classes; is50k needs the published detector")

    def perceptual(self, img: Tensor) -> Tensor:
        """As in projection."""
        return self._look(img)


def locate(which: Published, own: str, say: Say | None = None) -> Path:
    """The file of a published detector, fetched once, or the person's own in its place."""
    if own:
        if not Path(own).is_file():
            raise UserError(f"there is no detector file {own}")
        return Path(own)
    return fetch_file(which.url, which.file, say=say)


def network_hash(network: nn.Module) -> str:
    """Hex digits of a network's settings and weights."""
    digest = hashlib.blake2b(repr(network.config).encode(), digest_size=16)
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _rgb_bytes(images: Tensor) -> Tensor:
    """Grey three times, RGBA over white: uint8 [N, 3, R, R]."""
    if images.shape[1] != 4:
        return rgb(images)
    return ((rgb(images.float() / 127.5 - 1) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)

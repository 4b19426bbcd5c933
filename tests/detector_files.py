"""Tiny TorchScript files that are called as the published detectors are."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor


class Inception(torch.nn.Module):
    """Features [N, 12] and probabilities of 4 classes; counts in `bias` how it was called."""

    def __init__(self) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(12, 3 * 16, generator=draws) / 20)

    def forward(
        self, x: Tensor, return_features: bool = False, no_output_bias: bool = False
    ) -> Tensor:
        assert x.dtype == torch.uint8 and x.shape[1] == 3
        small = F.adaptive_avg_pool2d(x.float() / 64, [4, 4]).flatten(1)
        features = torch.tanh(small @ self.weight.t())
        if return_features:
            return features
        logits = features[:, :4] * 3
        return torch.softmax(logits if no_output_bias else logits + 100 * torch.eye(4)[0], dim=1)


class VGG(torch.nn.Module):
    """Features [N, 12], and pixels as what perception sees."""

    def __init__(self) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(1)
        self.weight = torch.nn.Parameter(torch.randn(12, 3 * 16, generator=draws) / 20)

    def forward(
        self,
        x: Tensor,
        resize_images: bool = True,
        return_features: bool = False,
        return_lpips: bool = False,
    ) -> Tensor:
        if return_lpips:
            assert not resize_images
            return x.flatten(1) / 255
        assert x.dtype == torch.uint8 and return_features
        return F.adaptive_avg_pool2d(x.float() / 64, [4, 4]).flatten(1) @ self.weight.t()


def write(path: Path, kind: type[torch.nn.Module]) -> Path:
    """The file of such a detector."""
    torch.jit.script(kind()).save(str(path))
    return path

"""z (and a label) -> w; the running mean of w; truncation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .layers import FullyConnected, normalize_latent

W_AVG_DECAY = 0.995
LR_MUL = 0.01


class Mapping(nn.Module):
    """Fully connected layers from z [N, z_dim] and label c [N, c_dim] to w [N, w_dim].

    With z_dim 0 it maps the label alone, as the discriminator needs it.
    """

    def __init__(self, z_dim: int, c_dim: int, w_dim: int, layers: int, track: bool = True) -> None:
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim, self.layers = z_dim, c_dim, w_dim, layers
        if c_dim:
            self.embed = FullyConnected(c_dim, w_dim)
        sizes = [z_dim + (w_dim if c_dim else 0)] + [w_dim] * layers
        for i in range(layers):
            layer = FullyConnected(sizes[i], sizes[i + 1], activate=True, lr_mul=LR_MUL)
            setattr(self, f"fc{i}", layer)
        if track:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor | None, c: Tensor | None = None) -> Tensor:
        parts = []
        if self.z_dim:
            parts.append(normalize_latent(z.float()))
        if self.c_dim:
            if c is None:
                raise ValueError("this model has classes: a label is needed")
            parts.append(normalize_latent(self.embed(c.float())))
        x = torch.cat(parts, dim=1)
        for i in range(self.layers):
            x = getattr(self, f"fc{i}")(x)
        return x

    @torch.no_grad()
    def track(self, w: Tensor) -> None:
        """Move the running mean towards the mean of w [N, w_dim]."""
        self.w_avg.copy_(moved_mean(self.w_avg, w))


def moved_mean(w_avg: Tensor, w: Tensor) -> Tensor:
    """The running mean [w_dim] after a batch of w [N, w_dim]."""
    return w.detach().mean(dim=0).lerp(w_avg, W_AVG_DECAY)


def broadcast(w: Tensor, num_ws: int) -> Tensor:
    """The same w [N, w_dim] for every layer: [N, num_ws, w_dim]."""
    return w[:, None].expand(-1, num_ws, -1)


def truncate(ws: Tensor, w_avg: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
    """Pull the first `cutoff` rows (all, if none) of ws towards the mean (StyleGAN, appendix B)."""
    if psi == 1:
        return ws
    pulled = w_avg.lerp(ws[:, :cutoff], psi)
    return pulled if cutoff is None else torch.cat([pulled, ws[:, cutoff:]], dim=1)

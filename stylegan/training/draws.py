"""All chance of a training step: what is drawn from (run seed, stream name, images seen)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stylegan import chance
from stylegan.config import TrainConfig
from stylegan.data import Pictures
from stylegan.networks.synthesis_v2 import Noise

from . import augment, diffaugment, schedule

Params = augment.Params | diffaugment.Params


class Chance:
    """All draws of the step that begins at `nimg`, for the whole batch; a test hands in another."""

    def __init__(
        self, config: TrainConfig, pictures: Pictures, nimg: int, device: torch.device
    ) -> None:
        self.config, self.pictures, self.nimg, self.device = config, pictures, nimg, device

    def _stream(self, name: str, device: torch.device | str = "cpu") -> torch.Generator:
        return chance.generator(self.config.seed, name, self.nimg, device)

    def latents(self, phase: str, n: int) -> Tensor:
        """z [n, z_dim]."""
        z_dim = self.config.network.z_dim
        return torch.randn(n, z_dim, generator=self._stream(f"{phase}.z")).to(self.device)

    def labels(self, phase: str, n: int) -> Tensor | None:
        """Labels of random pictures [n, c_dim]; none where there are no classes."""
        if not self.config.network.c_dim:
            return None
        rows = torch.randint(len(self.pictures), [n], generator=self._stream(f"{phase}.c"))
        return self.pictures.labels(rows.tolist()).to(self.device)

    def crossovers(self, phase: str, n: int) -> Tensor | None:
        """From which row of ws on the second latent rules [n]; num_ws where it never does."""
        stream, num_ws = self._stream(f"{phase}.crossover"), self.config.network.num_ws
        if not self.config.style_mixing:
            return None
        left_out = 2 * int(schedule.lod(self.nimg, self.config))  # rows of sides not yet reached
        rows = torch.randint(1, num_ws - left_out, [n], generator=stream)
        mixed = torch.rand(n, generator=stream) < self.config.style_mixing
        return torch.where(mixed, rows, num_ws).to(self.device)

    def noise(self, phase: str, n: int, shapes: Sequence[int]) -> Noise:
        """One map [n, 1, r, r] per layer."""
        stream = self._stream(f"{phase}.noise", self.device)
        return [torch.randn(n, 1, r, r, generator=stream, device=self.device) for r in shapes]

    def path_noise(self, shape: Sequence[int]) -> Tensor:
        """N(0, 1) of a picture batch's shape."""
        stream = self._stream("path", self.device)
        return torch.randn(*shape, generator=stream, device=self.device)

    def shares(self, phase: str, n: int) -> Tensor:
        """Where between a fake and a real picture the gradient is taken [n, 1, 1, 1]."""
        shares = torch.rand(n, 1, 1, 1, generator=self._stream(f"{phase}.share"))
        return shares.to(self.device)

    def augmentation(self, phase: str, shape: Sequence[int], p: float) -> Params | None:
        """What happens to a batch of pictures of this shape; none if nothing does."""
        if self.config.aug == "none":
            return None
        draws = augment.Draws(self._stream(f"{phase}.augment"))
        if self.config.aug == "diffaugment":
            return diffaugment.draw(self.config.policy_names, shape, draws)
        stages = augment.PIPES[self.config.augpipe]
        return augment.draw(stages, p, shape, draws, self.config.augment)

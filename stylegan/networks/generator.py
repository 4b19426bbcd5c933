"""The generator of any member of the family."""

from __future__ import annotations

from torch import nn

from ..config import NetworkConfig
from . import synthesis_v1, synthesis_v2
from .mapping import Mapping


class Generator(nn.Module):
    """Mapping and synthesis; call them apart to truncate, mix or edit between them."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        v1 = config.style != "demodulated"
        mapping = synthesis_v1.Mapping if v1 else Mapping
        self.mapping = mapping(config.z_dim, config.c_dim, config.w_dim, config.mapping_layers)
        self.synthesis = (synthesis_v1 if v1 else synthesis_v2).Synthesis(config)

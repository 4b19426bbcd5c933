"""A tiny model of each member of the family, with noise that is seen."""

from __future__ import annotations

import dataclasses

import torch

from stylegan.checkpoint import DISCRIMINATOR
from stylegan.config import NetworkConfig
from stylegan.model import Model
from stylegan.networks.discriminators import discriminator_of
from stylegan.networks.generator import Generator

V2 = NetworkConfig(
    resolution=16,
    z_dim=8,
    w_dim=8,
    mapping_layers=2,
    channel_base=64,
    channel_max=8,
    mbstd_group=2,
)
GROWING = dataclasses.replace(V2, architecture="growing", d_architecture="growing")
V1 = dataclasses.replace(GROWING, style="adain")
ROSINALITY = dataclasses.replace(GROWING, style="adain-rosinality", d_architecture="growing-plain")
MEMBERS = {"v2": V2, "growing": GROWING, "v1": V1, "rosinality": ROSINALITY}


def networks(config: NetworkConfig, seed: int = 0) -> tuple[Generator, torch.nn.Module]:
    """A generator and a discriminator of random weights, biases and noise included."""
    torch.manual_seed(seed)
    generator, discriminator = Generator(config), discriminator_of(config)
    for network in (generator, discriminator):
        for name, p in network.named_parameters():
            if name.endswith(("noise_strength", "bias")) and "affine" not in name:
                p.data.normal_(std=0.1)
        network.eval().requires_grad_(False)
    with torch.no_grad():
        z = torch.randn(256, config.z_dim)
        c = torch.eye(config.c_dim)[torch.arange(256) % config.c_dim] if config.c_dim else None
        generator.mapping.w_avg.copy_(generator.mapping(z, c).mean(0))
    return generator, discriminator


def model(config: NetworkConfig, seed: int = 0) -> Model:
    """The same as a model with its discriminator."""
    generator, discriminator = networks(config, seed)
    found = Model("tiny", "0123456789", generator)
    found._others[DISCRIMINATOR] = discriminator
    return found

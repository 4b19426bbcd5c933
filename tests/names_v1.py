"""StyleGAN networks of other programs under our names: the original's, and rosinality's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from golden_io import Golden
from torch import Tensor

from stylegan.config import NetworkConfig
from stylegan.networks.discriminator_v1 import GrowingDiscriminator
from stylegan.networks.generator import Generator
from stylegan.networks.synthesis_v1 import Mapping

GROWING = {"architecture": "growing", "d_architecture": "growing"}


# The original's: TensorFlow variables, kernels [kh, kw, in, out], dense layers [in, out]


def official_config(kwargs: dict, **changes) -> NetworkConfig:
    """The settings recorded for a network of the original."""
    return NetworkConfig(
        resolution=kwargs["resolution"],
        channels=kwargs["num_channels"],
        z_dim=kwargs.get("latent_size", 512),
        w_dim=kwargs.get("dlatent_size", 512),
        mapping_layers=kwargs.get("mapping_layers", 8),
        channel_base=2 * kwargs["fmap_base"],
        channel_max=kwargs["fmap_max"],
        style="adain",
        **GROWING,
        **changes,
    )


def turned(value: Tensor) -> Tensor:
    """A TensorFlow weight as one of PyTorch's."""
    return value.permute(3, 2, 0, 1) if value.ndim == 4 else value.t() if value.ndim == 2 else value


def official_generator(golden: Golden) -> Generator:
    """The recorded generator."""
    kwargs = golden.config["G_kwargs"]
    config = official_config(kwargs)
    generator = Generator(config)
    generator.mapping = Mapping(
        config.z_dim, 0, config.w_dim, config.mapping_layers, kwargs["mapping_fmaps"]
    )
    generator.load_state_dict(official_generator_state(golden.params(), config.resolution))
    for layer in generator.modules():
        if kwargs["fused_scale"] is True and hasattr(layer, "fused"):
            layer.fused = True
    return generator


def official_generator_state(params: dict[str, Tensor], resolution: int) -> dict[str, Tensor]:
    """State of our generator; nothing is left over but copies of lod."""
    state = {"mapping.w_avg": params.pop("G/dlatent_avg")}
    params.pop("G/lod")
    state["synthesis.lod"] = params.pop("G_synthesis/lod")
    names = {"Const": "conv0", "Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1"}
    for name, value in params.items():
        network, *path = name.split("/")
        if network == "G_mapping":
            layer, kind = path
            ours = f"mapping.fc{layer.removeprefix('Dense')}.{kind}"
        elif path[0].startswith("ToRGB"):
            side = resolution >> int(path[0].removeprefix("ToRGB_lod"))
            ours = f"synthesis.b{side}.torgb.{path[1]}"
        elif path[0].startswith("noise"):
            row = int(path[0].removeprefix("noise"))
            ours = f"synthesis.b{4 << row // 2}.conv{row % 2}.noise_const"
            value = value[0, 0]
        else:
            block = f"synthesis.b{path[0].partition('x')[0]}"
            layer = names[path[1]]
            if path[2] == "const":
                ours, value = f"{block}.const", value[0]
            elif path[2] == "Noise":
                ours = f"{block}.{layer}.noise_strength"
            elif path[2] == "StyleMod":
                ours = f"{block}.{layer}.affine.{path[3]}"
            else:
                ours = f"{block}.{layer}.{path[2]}"
        state[ours] = value if "noise_const" in ours or "const" in ours else turned(value)
    return state


def official_discriminator(golden: Golden) -> GrowingDiscriminator:
    """The recorded discriminator."""
    kwargs = golden.config["D_kwargs"]
    config = official_config(kwargs)
    discriminator = GrowingDiscriminator(config)
    state = official_discriminator_state(golden.params("D/"), config.resolution)
    discriminator.load_state_dict(state)
    for layer in discriminator.modules():
        if kwargs["fused_scale"] is True and hasattr(layer, "fused"):
            layer.fused = True
    return discriminator


def official_discriminator_state(params: dict[str, Tensor], resolution: int) -> dict[str, Tensor]:
    """State of our discriminator; nothing is left over."""
    names = {"Conv0": "conv0", "Conv1_down": "conv1", "Conv": "conv", "Dense0": "fc"}
    names["Dense1"] = "out"
    state = {}
    for name, value in params.items():
        path = name.split("/")
        if name == "lod":
            ours = "lod"
        elif path[0].startswith("FromRGB"):
            side = resolution >> int(path[0].removeprefix("FromRGB_lod"))
            ours = f"b{side}.fromrgb.{path[1]}"
        else:
            ours = f"b{path[0].partition('x')[0]}.{names[path[1]]}.{path[2]}"
        state[ours] = turned(value)
    return state


# rosinality's style-based-gan-pytorch: every layer scaled by sqrt(2 / inputs)


@dataclass(frozen=True)
class RosinalityConfig(NetworkConfig):
    """With the small tables of channels that the records were made with."""

    def channels_at(self, resolution: int) -> int:
        return {64: 10, 128: 8}.get(resolution, 12)


def rosinality_config(golden: Golden) -> NetworkConfig:
    """The settings of a recorded network."""
    plain = not golden.config.get("from_rgb_activate", True)
    return RosinalityConfig(
        resolution=4 << golden.config["max_step"],
        z_dim=golden.config["code_dim"],
        w_dim=golden.config["code_dim"],
        mapping_layers=golden.config["n_mlp"],
        mbstd_group=4096,  # over the whole batch
        style="adain-rosinality",
        architecture="growing",
        d_architecture="growing-plain" if plain else "growing",
    )


def rosinality_generator(golden: Golden) -> Generator:
    """The recorded generator; it has no noise of its own."""
    config = rosinality_config(golden)
    generator = Generator(config)
    state = {k: v for k, v in generator.state_dict().items() if "noise_const" in k or "lod" in k}
    state["mapping.w_avg"] = golden["in.mean_style"][0]
    root = math.sqrt(2)
    for name, value in golden.params().items():
        path = name.split(".")
        kind = path[-1].removesuffix("_orig")
        if path[0] == "style":
            state[f"mapping.fc{(int(path[1]) - 1) // 2}.{kind}"] = value * 100
        elif path[1] == "to_rgb":
            gain = root if kind == "weight" else 1
            state[f"synthesis.b{4 << int(path[2])}.torgb.{kind}"] = value * gain
        elif not name.endswith(("weight_flip", "conv1.2.weight", "conv1.1.weight")):
            ours, value = _rosinality_layer(path[3:], kind, value)
            state[f"synthesis.b{4 << int(path[2])}.{ours}"] = value
    generator.load_state_dict(state)
    return generator


def _rosinality_layer(path: list[str], kind: str, value: Tensor) -> tuple[str, Tensor]:
    layer = path[0]
    number = int(layer[-1]) - 1
    if layer.startswith("adain"):
        if kind == "weight":
            return f"conv{number}.affine.weight", value * math.sqrt(2)
        ones = torch.ones(len(value) // 2)
        return f"conv{number}.affine.bias", value - torch.cat([ones, 0 * ones])
    if layer.startswith("noise"):
        return f"conv{number}.noise_strength", value.flatten() * math.sqrt(2 / value.shape[1])
    if kind == "input":
        return "const", value[0]
    if path[:2] == ["conv1", "0"] and kind == "weight":  # fused: [in, out, 3, 3], averaged
        return "conv0.weight", value.transpose(0, 1) / 4
    return f"conv{number}.{kind}", value


def rosinality_discriminator(golden: Golden) -> GrowingDiscriminator:
    """The recorded discriminator."""
    config = rosinality_config(golden)
    discriminator = GrowingDiscriminator(config)
    state = {"lod": torch.zeros([])}
    for name, value in golden.params().items():
        path = name.split(".")
        kind = path[-1].removesuffix("_orig")
        if path[0] == "linear":
            state[f"b4.out.{kind}"] = value * (math.sqrt(2) if kind == "weight" else 1)
            continue
        side = 4 << (8 - int(path[1]))
        if path[0] == "from_rgb":
            state[f"b{side}.fromrgb.{kind}"] = value
        elif side == 4:
            layer = {"conv1": "conv", "conv2": "fc"}[path[2]]
            flat = layer == "fc" and kind == "weight"
            state[f"b4.{layer}.{kind}"] = value.flatten(1) if flat else value
        elif not name.endswith(("conv2.0.weight", "weight_flip")):
            state[f"b{side}.conv{int(path[2][-1]) - 1}.{kind}"] = value
    discriminator.load_state_dict(state)
    return discriminator


def rosinality_lod(golden: Golden, case: dict) -> float:
    """The level of detail of a step and the share `alpha` of its new resolution."""
    level = golden.config["max_step"] - case["step"]
    fading = 0 <= case["alpha"] < 1 and case["step"] > 0
    return level + (1 - case["alpha"] if fading else 0)

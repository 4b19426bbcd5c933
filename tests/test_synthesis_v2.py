"""The generator against recorded pictures, gradients and training-mode behaviour."""

import dataclasses

import pytest
import torch
from golden_io import Golden, assert_close

from stylegan.config import NetworkConfig
from stylegan.networks.generator import Generator
from stylegan.networks.mapping import broadcast, truncate

NAMES = ["a_32_skip", "b_16_cond3_map8", "c_16_orig", "d_16_resnet", "e_16_gray"]


def network_config(g: dict, **changes) -> NetworkConfig:
    """The settings recorded for a reference generator, in our names."""
    return NetworkConfig(
        resolution=g["img_resolution"],
        channels=g["img_channels"],
        c_dim=g["c_dim"],
        z_dim=g["z_dim"],
        w_dim=g["w_dim"],
        mapping_layers=g["mapping_kwargs"]["num_layers"],
        **g["synthesis_kwargs"],
        **changes,
    )


def without_filters(state: dict) -> dict:
    """The FIR filters are constants here and no part of a state."""
    return {k: v for k, v in state.items() if not k.endswith("resample_filter")}


def load(name: str) -> tuple[Golden, Generator]:
    golden = Golden(f"nv_g_{name}")
    generator = Generator(network_config(golden.config["G_kwargs"]))
    generator.load_state_dict(without_filters(golden.params()), strict=True)
    return golden, generator


@pytest.mark.parametrize("name", NAMES)
def test_pictures(name):
    golden, g = load(name)
    c = golden.get("in.c")
    ws = broadcast(g.mapping(golden["in.z"], c), g.config.num_ws)
    assert_close(ws, golden["out.ws"])
    assert_close(g.synthesis(ws, noise="none"), golden["out.img_none"])
    assert_close(g.synthesis(ws), golden["out.img_const"])
    assert_close(g.synthesis(ws), golden["out.img_const_trainmode"])
    for case in golden.config["psi_list"]:
        psi, cutoff = case["psi"], case.get("cutoff")
        suffix = f"psi{psi}" + (f"_cut{cutoff}" if cutoff else "")
        pulled = truncate(ws, g.mapping.w_avg, psi, cutoff)
        assert_close(pulled, golden[f"out.ws_{suffix}"])
        assert_close(g.synthesis(pulled), golden[f"out.img_const_{suffix}"])
    for noise in ("none", "const"):
        img = g.synthesis(golden["in.ws_plus"], noise=noise)
        assert_close(img, golden[f"out.img_wplus_{noise}"])


@pytest.mark.parametrize("name", [n for n in NAMES if "grad" in Golden(f"nv_g_{n}").config])
def test_gradient_with_respect_to_ws(name):
    golden, g = load(name)
    ws = golden["in.ws_plus"].clone().requires_grad_()
    (g.synthesis(ws) * golden["in.probe"]).sum().backward()
    assert_close(ws.grad, golden["out.grad_ws_plus"])


@pytest.mark.parametrize("name", [n for n in NAMES if "blocks" in Golden(f"nv_g_{n}").config])
def test_every_block(name):
    golden, g = load(name)
    seen = {}
    for r in g.config.resolutions:
        block = getattr(g.synthesis, f"b{r}")
        block.register_forward_hook(lambda m, i, out, r=r: seen.update({r: out}))
    g.synthesis(golden["in.ws_plus"])
    for r, (x, img) in seen.items():
        assert_close(x, golden[f"out.block_b{r}_x"])
        if f"out.block_b{r}_img" in golden:
            assert_close(img, golden[f"out.block_b{r}_img"])


@pytest.mark.parametrize("name", NAMES)
def test_running_mean_of_w(name):
    golden, g = load(name)
    g.mapping.track(g.mapping(golden["in.z"], golden.get("in.c")))
    assert_close(g.mapping.w_avg, golden["out.w_avg_after_one_training_call"])


def test_noise_maps_by_hand_equal_the_stored_ones():
    golden, g = load("a_32_skip")
    blocks = [getattr(g.synthesis, f"b{r}") for r in g.config.resolutions]
    layers = [layer for b in blocks for layer in (getattr(b, "conv0", None), b.conv1) if layer]
    maps = [layer.noise_const[None, None] for layer in layers]
    assert [m.shape[-1] for m in maps] == g.synthesis.noise_shapes
    img = g.synthesis(golden["in.ws_plus"], noise=maps)
    assert torch.equal(img, g.synthesis(golden["in.ws_plus"]))
    with pytest.raises(ValueError, match="3 noise maps for 7 layers"):
        g.synthesis(golden["in.ws_plus"], noise=maps[:3])


def test_bfloat16_is_close_to_float32():
    golden, g = load("a_32_skip")
    full = g.synthesis(golden["in.ws_plus"])
    half = g.synthesis(golden["in.ws_plus"], dtype=torch.bfloat16)
    assert half.dtype == torch.float32
    assert not torch.equal(half, full)
    assert (half - full).abs().mean() < 0.02 * full.abs().mean()


@pytest.mark.parametrize("resolution", [8, 128])
@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_shape_draws(resolution, architecture, channels):
    config = NetworkConfig(
        resolution=resolution,
        channels=channels,
        architecture=architecture,
        c_dim=2,
        z_dim=4,
        w_dim=8,
        channel_base=256,
        channel_max=8,
        conv_clamp=256,
    )
    g = Generator(config)
    ws = broadcast(g.mapping(torch.randn(2, 4), torch.eye(2)), config.num_ws)
    assert ws.shape == (2, config.num_ws, 8)
    assert g.synthesis(ws).shape == (2, channels, resolution, resolution)


def test_clamp_limits_every_activation():
    golden = Golden("nv_g_a_32_skip")
    config = network_config(golden.config["G_kwargs"], conv_clamp=0.5)
    g = Generator(config)
    g.load_state_dict(without_filters(golden.params()))
    largest = []
    for block in (g.synthesis.b4, g.synthesis.b32):
        block.conv1.register_forward_hook(lambda m, i, out: largest.append(out.abs().max()))
    img = g.synthesis(golden["in.ws_plus"])
    assert max(largest) == 0.5
    assert img.abs().max() < 0.5 * 4 * 4  # four clamped pictures, each spread by the FIR filter


def test_growing_draws_as_the_plain_generator_of_each_size_does():
    """Configs B to D: without a fade, only the highest resolution reached speaks."""
    torch.manual_seed(0)
    config = NetworkConfig(
        resolution=16, z_dim=4, w_dim=8, channel_base=256, channel_max=8, mapping_layers=2
    )
    growing = Generator(
        dataclasses.replace(config, architecture="growing", d_architecture="growing")
    )
    for name, value in growing.named_parameters():
        if name.endswith("noise_strength"):
            value.data.normal_()
    state = growing.state_dict()
    ws, pictures = torch.randn(2, config.num_ws, 8), {}
    for lod, side in ((0, 16), (1, 8)):
        plain = Generator(dataclasses.replace(config, resolution=side, architecture="orig"))
        plain.load_state_dict({name: state[name] for name in plain.state_dict()})
        pictures[lod] = growing.synthesis(ws, lod=lod)
        assert torch.equal(
            growing.synthesis(ws, lod=lod, whole=False),
            plain.synthesis(ws[:, : plain.config.num_ws]),
        )
    fading = growing.synthesis(ws, lod=0.75)
    assert torch.allclose(fading, pictures[0] * 0.25 + pictures[1] * 0.75, atol=1e-5)
    growing.synthesis.lod.fill_(0.75)
    assert torch.equal(growing.synthesis(ws), fading)

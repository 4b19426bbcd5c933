"""StyleGAN's generator against recorded pictures of the original and of rosinality's program."""

import dataclasses
import json

import pytest
import torch
from golden_io import GOLDEN, Golden, assert_close
from names_v1 import (
    GROWING,
    official_discriminator_state,
    official_generator,
    official_generator_state,
    rosinality_generator,
    rosinality_lod,
)

from stylegan.config import NetworkConfig
from stylegan.networks.discriminator_v1 import GrowingDiscriminator
from stylegan.networks.generator import Generator
from stylegan.networks.growing import enlarge, shrink
from stylegan.networks.mapping import broadcast, truncate

TOL = 1e-4  # instance norm, see the record's table
SMALL = NetworkConfig(
    resolution=16,
    z_dim=8,
    w_dim=8,
    mapping_layers=2,
    channel_base=64,
    channel_max=8,
    style="adain",
    **GROWING,
)


@pytest.mark.parametrize("name", ["sg1tf_g_32", "sg1tf_g_16_fused"])
def test_pictures_of_the_original(name):
    golden = Golden(name)
    g = official_generator(golden)
    w = g.mapping(golden["in.latents"])
    assert_close(w, golden["out.dlatents"])
    for lod in golden.config["lods"]:
        img = g.synthesis(golden["in.dlatents_plus"], lod=lod)
        assert_close(img, golden[f"out.images_dlatents_plus_lod{lod}"], TOL)
    for psi, cut in golden.config["psi"]:
        ws = truncate(broadcast(w, g.config.num_ws), g.mapping.w_avg, psi, cut)
        assert_close(g.synthesis(ws), golden[f"out.images_psi{psi}_cut{cut}"], TOL)


@pytest.mark.parametrize("case", Golden("ros1_g_steps").config["cases"], ids=lambda c: c["name"])
def test_pictures_of_rosinality(case):
    golden = Golden("ros1_g_steps")
    g = rosinality_generator(golden)
    mean = g.mapping(golden["in.z_for_mean"]).mean(0, keepdim=True)
    assert_close(mean, golden["out.mean_style_of_z_for_mean"])
    img = rosinality_picture(golden, g, case)
    expected = golden[f"out.{case['name']}"]  # enlarged where the new resolution has no share yet
    assert_close(enlarge(img, expected.shape[-1] // img.shape[-1]), expected, TOL)


def test_fused_pictures_of_rosinality():
    golden = Golden("ros1_g_fused128")
    g = rosinality_generator(golden)
    for case in golden.config["cases"]:
        img, name = rosinality_picture(golden, g, case), f"out.{case['name']}"
        name = name if f"{name}_sum" in golden else "out.step5_alpha1_psi0.7_mix2-4"
        crop = case["crop"]
        assert_close(img[:, :, :crop, :crop], golden[f"{name}_top_left{crop}"], TOL)
        assert_close(img[:, :, ::4, ::4], golden[f"{name}_every4th"], TOL)
        total = golden[f"{name}_sum"]
        assert (img.double().sum() - total).abs() < 1e-4 * img.abs().sum()


def rosinality_picture(golden: Golden, g: Generator, case: dict) -> torch.Tensor:
    """A recorded case: two styles over ranges of blocks, truncation of all rows."""
    one, two = g.mapping(golden["in.z"]), g.mapping(golden["in.z2"])
    assert_close(one, golden["out.style"])
    num_ws = g.config.num_ws
    block = torch.arange(num_ws) // 2
    second = torch.zeros(num_ws, dtype=torch.bool)
    if "mixing_range" in case:
        first, last = case["mixing_range"]
        second = (block >= first) & (block <= last)
    elif "inject" in case:
        second = block > case["inject"]
    ws = torch.where(second[:, None], broadcast(two, num_ws), broadcast(one, num_ws))
    ws = truncate(ws, g.mapping.w_avg, case.get("psi", 1))
    noise = [golden[f"in.noise_{i}"] for i in range(len(g.config.resolutions))]
    return g.synthesis(ws, noise, lod=rosinality_lod(golden, case), whole=False)


def test_names_and_shapes_of_the_original_at_64():
    tables = json.loads((GOLDEN / "sg1_tf_variables_64.json").read_text())
    table = tables["G_style_64"]
    params = {
        f"{network}/{name}": torch.zeros(shape)
        for network, rows in table.items()
        for name, shape, *_ in rows
    }
    config = dataclasses.replace(
        SMALL, resolution=64, z_dim=512, w_dim=512, mapping_layers=8, channel_base=16384
    )
    config = dataclasses.replace(config, channel_max=512)
    with torch.device("meta"):
        ours = Generator(config).state_dict()
    theirs = official_generator_state(params, 64)
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}
    params = {name: torch.zeros(shape) for name, shape, *_ in tables["D_basic_64"]["D"]}
    with torch.device("meta"):
        ours = GrowingDiscriminator(config).state_dict()
    theirs = official_discriminator_state(params, 64)
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


def test_first_weights():
    torch.manual_seed(0)
    state = Generator(SMALL).state_dict()
    for name, value in state.items():
        if name.endswith(("bias", "noise_strength", "w_avg", "lod")):
            assert not value.any(), name
        elif name.endswith(".const"):
            assert (value == 1).all()
        elif name.startswith("mapping."):
            assert 60 < value.std() < 140, name
        else:
            assert 0.7 < value.std() < 1.3, name


def test_every_level_of_detail():
    torch.manual_seed(0)
    g = Generator(SMALL)
    ws = torch.randn(2, SMALL.num_ws, 8)
    whole = {lod: g.synthesis(ws, lod=lod) for lod in (0, 0.25, 1, 2)}
    for lod, side in ((0, 16), (0.25, 16), (1, 8), (2, 4)):
        small = g.synthesis(ws, lod=lod, whole=False)
        assert small.shape == (2, 3, side, side)
        assert torch.equal(enlarge(small, 16 // side), whole[lod])
        assert torch.allclose(shrink(whole[lod], 16 // side), small, atol=1e-6)
    assert torch.allclose(whole[0.25], whole[0] * 0.75 + whole[1] * 0.25, atol=1e-5)
    g.synthesis.lod.fill_(1)
    assert torch.equal(g.synthesis(ws), whole[1])
    for lod in (-0.5, 2.5, 3):
        with pytest.raises(ValueError, match="no level of detail"):
            g.synthesis(ws, lod=lod)


@pytest.mark.parametrize("style", ["adain", "adain-rosinality"])
def test_noise_maps_by_hand_equal_the_stored_ones(style):
    g = Generator(dataclasses.replace(SMALL, style=style))
    for name, value in g.named_parameters():
        if name.endswith("noise_strength"):
            value.data.normal_()
    ws = torch.randn(1, SMALL.num_ws, 8)
    maps = g.synthesis.noise_maps("const")
    assert [m.shape[-1] for m in maps] == g.synthesis.noise_shapes
    img = g.synthesis(ws, maps)
    assert torch.equal(img, g.synthesis(ws))
    assert not torch.equal(img, g.synthesis(ws, "none"))
    with pytest.raises(ValueError, match=f"1 noise maps for {len(maps)} layers"):
        g.synthesis(ws, maps[:1])


def test_a_label_turns_w():
    g = Generator(dataclasses.replace(SMALL, c_dim=3))
    z = torch.randn(1, 8).expand(3, 8)
    w = g.mapping(z, torch.eye(3))
    assert g.mapping.embed.shape == (3, 8)
    assert (w[0] - w[1]).abs().max() > 1e-3
    seen = []
    g.mapping.fc0.register_forward_hook(lambda m, x, y: seen.append(x[0]))
    g.mapping(z, torch.eye(3))
    together = torch.cat([z, g.mapping.embed], dim=1)  # normalised as one
    expected = together / (together.square().mean(1, keepdim=True) + 1e-8).sqrt()
    assert torch.allclose(seen[0], expected)
    with pytest.raises(ValueError, match="a label is needed"):
        g.mapping(z)


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_transparent_pictures(channels):
    g = Generator(dataclasses.replace(SMALL, channels=channels, conv_clamp=2.0))
    ws = torch.randn(2, SMALL.num_ws, 8)
    assert g.synthesis(ws, lod=0.5).shape == (2, channels, 16, 16)


def test_bfloat16_is_close_to_float32():
    torch.manual_seed(0)
    g = Generator(SMALL)
    ws = torch.randn(2, SMALL.num_ws, 8)
    full, half = g.synthesis(ws), g.synthesis(ws, dtype=torch.bfloat16)
    assert half.dtype == torch.float32
    assert not torch.equal(half, full)
    assert (half - full).abs().mean() < 0.02 * full.abs().mean()

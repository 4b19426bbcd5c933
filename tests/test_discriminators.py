"""The discriminator against recorded logits, features and gradients."""

import json

import pytest
import torch
import torch.nn.functional as F
from golden_io import Golden, assert_close
from test_synthesis_v2 import without_filters

from stylegan.config import NetworkConfig
from stylegan.networks.discriminators import Discriminator

NAMES = ["a_32_resnet", "b_16_cond3", "c_16_orig", "d_16_skip"]


def discriminator_config(d: dict) -> NetworkConfig:
    """The settings recorded for a reference discriminator, in our names."""
    return NetworkConfig(
        resolution=d["img_resolution"],
        channels=d["img_channels"],
        c_dim=d["c_dim"],
        channel_base=d["channel_base"],
        channel_max=d["channel_max"],
        d_architecture=d.get("architecture", "resnet"),
        mbstd_group=d["epilogue_kwargs"]["mbstd_group_size"],
    )


def load(name: str) -> tuple[Golden, Discriminator]:
    golden = Golden(f"nv_d_{name}")
    discriminator = Discriminator(discriminator_config(golden.config["D_kwargs"]))
    discriminator.load_state_dict(without_filters(golden.params()), strict=True)
    return golden, discriminator


@pytest.mark.parametrize("name", NAMES)
def test_logits_and_gradients(name):
    golden, d = load(name)
    img = golden["in.img"].clone().requires_grad_()
    logits = d(img, golden.get("in.c"))
    assert_close(logits, golden["out.logits"])
    (grad,) = torch.autograd.grad(logits.sum(), img, create_graph=True)
    assert_close(grad, golden["out.grad_img"])
    penalty = grad.square().sum([1, 2, 3])
    assert_close(penalty, golden["out.r1_penalty"])
    for loss, key in ((F.softplus(logits).mean(), "softplus"), (penalty.mean(), "r1")):
        d.zero_grad()
        loss.backward(retain_graph=True)
        params = dict(d.named_parameters())
        norms = [
            torch.zeros([]) if params[n].grad is None else params[n].grad.norm()
            for n in json.loads(golden.meta["gradnorm_names"])
        ]
        assert_close(torch.stack(norms), golden[f"out.gradnorm_{key}"])


@pytest.mark.parametrize("name", [n for n in NAMES if "blocks" in Golden(f"nv_d_{n}").config])
def test_every_block(name):
    golden, d = load(name)
    seen = {}
    for r in d.config.resolutions[1:]:
        block = getattr(d, f"b{r}")
        block.register_forward_hook(lambda m, i, out, r=r: seen.update({r: out}))
    d.b4.mbstd.register_forward_hook(lambda m, i, out: seen.update(mbstd=out))
    d(golden["in.img"])
    assert_close(seen.pop("mbstd")[:, -1:], golden["out.mbstd_channel"])
    for r, (x, img) in seen.items():
        assert_close(x[:2], golden[f"out.block_b{r}_x_first2"])
        if f"out.block_b{r}_img_first2" in golden:
            assert_close(img[:2], golden[f"out.block_b{r}_img_first2"])


def test_bfloat16_is_close_to_float32():
    golden, d = load("a_32_resnet")
    full, half = d(golden["in.img"]), d(golden["in.img"], dtype=torch.bfloat16)
    assert half.dtype == torch.float32
    assert not torch.equal(half, full)
    assert (half - full).abs().max() < 0.05 * full.abs().max()


def test_an_incomplete_group_is_refused():
    _, d = load("a_32_resnet")
    with pytest.raises(RuntimeError):
        d(torch.zeros(6, 3, 32, 32))

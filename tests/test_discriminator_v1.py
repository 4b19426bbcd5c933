"""The growing discriminator against recorded scores, penalties and gradients."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from golden_io import Golden, assert_close
from names_v1 import official_discriminator, rosinality_discriminator, rosinality_lod
from test_synthesis_v1 import SMALL

from stylegan.networks.discriminator_v1 import GrowingDiscriminator
from stylegan.networks.discriminators import Discriminator, discriminator_of
from stylegan.networks.growing import at_lod, enlarge, shrink
from stylegan.training import losses


@pytest.mark.parametrize("name", ["sg1tf_d_32", "sg1tf_d_16_fused"])
def test_scores_of_the_original(name):
    golden = Golden(name)
    d = official_discriminator(golden)
    for lod in golden.config["lods"]:
        img = golden["in.images"].clone().requires_grad_()
        scores = d(img, lod=lod)
        assert_close(scores, golden[f"out.scores_lod{lod}"])
        assert_close(losses.r1_penalty(scores, img), golden[f"out.r1_penalty_lod{lod}"])
        if lod == 0:
            (grad,) = torch.autograd.grad(d(img).sum(), img)
            assert_close(grad, golden["out.grad_images_lod0"])


def test_small_pictures_have_the_penalty_of_whole_ones_times_their_share():
    golden = Golden("sg1tf_d_32")
    d = official_discriminator(golden)
    for lod in golden.config["lods"]:
        side = 32 >> int(lod)
        img = shrink(golden["in.images"], 32 // side).requires_grad_()
        scores = d(img, lod=lod)
        assert_close(scores, golden[f"out.scores_lod{lod}"])
        penalty = losses.r1_penalty(scores, img) * losses.whole_share(side, 32)
        assert_close(penalty, golden[f"out.r1_penalty_lod{lod}"])


NAMES = ["ros1_d_steps", "ros1_d_fused128", "ros1_d_plainrgb"]
CASES = [(name, case) for name in NAMES for case in Golden(name).config["cases"]]


@pytest.mark.parametrize(("name", "case"), CASES, ids=lambda x: x if type(x) is str else x["name"])
def test_scores_and_losses_of_rosinality(name, case):
    golden = Golden(name)
    d = rosinality_discriminator(golden)
    lod, step, out = rosinality_lod(golden, case), case["step"], f"out.{case['name']}"
    real = enlarge(golden[f"in.real_step{step}"], golden.config.get("real_upscale", 1))
    real = real.requires_grad_()
    logits = d(real, lod=lod)
    assert_close(logits, golden[f"{out}.logits"])
    norms = losses.r1_penalty(logits, real)
    assert_close(norms, golden[f"{out}.r1_norm2_per_sample"])
    assert_close(10 / 2 * norms.mean(), golden[f"{out}.r1_value"])
    assert_close(losses.logistic_real(logits).mean(), golden[f"{out}.real_softplus"])
    wgan = -losses.wasserstein_real(logits, 0.001).mean()
    assert (wgan - golden[f"{out}.real_wgan_with_drift"]).abs() < 1e-5
    if f"{out}.gp_value" not in golden:
        return
    fake = golden[f"in.fake_step{step}"]
    assert_close(d(fake, lod=lod), golden[f"{out}.fake_logits"])
    between = losses.between(fake, real.detach(), golden["in.eps"])
    penalty = losses.gradient_penalty(d(between, lod=lod), between)
    expected = (golden[f"{out}.gp_norms"] - 1).square()
    assert (penalty - expected).abs().max() < 3e-5 * golden[f"{out}.gp_norms"].max()
    assert_close(10 * penalty.mean(), golden[f"{out}.gp_value"])
    (10 * penalty.mean()).backward()
    # the other program stores the last weight divided by sqrt(2)
    norm = d.b4.out.weight.grad.norm() * 2**0.5
    assert_close(norm, golden[f"{out}.gp_gradnorm_linear_weight"])


@pytest.mark.parametrize("lod", Golden("sg1tf_process_reals").config["lods"])
def test_reals_fade_like_fakes(lod):
    golden = Golden("sg1tf_process_reals")
    whole = golden["in.images_uint8_as_float"] / 127.5 - 1
    img = at_lod(whole, lod)
    assert img.shape[-1] == 16 >> int(lod)
    assert_close(enlarge(img, 16 // img.shape[-1]), golden[f"out.reals_lod{lod}"])


def test_a_score_for_each_class():
    torch.manual_seed(0)
    d = GrowingDiscriminator(dataclasses.replace(SMALL, c_dim=3))
    img = torch.randn(4, 3, 16, 16)
    each = torch.cat([d(img, F.one_hot(torch.full([4], c), 3).float()) for c in range(3)], dim=1)
    labels = torch.tensor([2, 0, 1, 1])
    scores = d(img, F.one_hot(labels, 3).float())
    assert torch.equal(scores[:, 0], each[torch.arange(4), labels])
    assert each.std(dim=1).min() > 0


def test_each_family_has_its_own():
    assert isinstance(discriminator_of(SMALL), GrowingDiscriminator)
    plain = dataclasses.replace(
        SMALL, style="demodulated", architecture="skip", d_architecture="resnet"
    )
    assert isinstance(discriminator_of(plain), Discriminator)

"""Each phase's loss and gradients against a recorded reference."""

import json

import pytest
import torch
from golden_io import Golden, assert_close
from test_discriminators import discriminator_config
from test_synthesis_v2 import network_config, without_filters

from stylegan.networks.discriminators import Discriminator
from stylegan.networks.generator import Generator
from stylegan.networks.mapping import broadcast
from stylegan.training import losses


@pytest.fixture
def recorded():
    golden = Golden("nv_loss_32")
    g = Generator(network_config(golden.config["G_kwargs"]))
    d = Discriminator(discriminator_config(golden.config["D_kwargs"]))
    g.load_state_dict(without_filters(golden.params("G.")))
    d.load_state_dict(without_filters(golden.params("D.")))
    return golden, g, d


def check_gradients(golden, network, loss, names, key):
    network.zero_grad()
    loss.mean().backward()
    params = dict(network.named_parameters())
    grads = [params[name].grad for name in json.loads(golden.meta[names])]
    norms = [torch.zeros([]) if grad is None else grad.norm() for grad in grads]
    assert_close(torch.stack(norms), golden[key])


def draw(g, z):
    ws = broadcast(g.mapping(z), g.config.num_ws)
    return g.synthesis(ws), ws


def test_generator_main(recorded):
    golden, g, d = recorded
    img, ws = draw(g, golden["in.gen_z"])
    logits = d(img)
    loss = losses.logistic_generator(logits)
    assert_close(logits, golden["out.gen_logits"])
    assert_close(loss, golden["out.loss_Gmain"])
    check_gradients(golden, g, loss, "gradnorm_names_G", "out.Gmain.gradnorm")
    g.mapping.track(ws[:, 0])
    assert_close(g.mapping.w_avg, golden["out.w_avg_after_Gmain"])


def test_path_length(recorded):
    golden, g, _ = recorded
    n = len(golden["in.gen_z"]) // golden.config["pl_batch_shrink"]
    img, ws = draw(g, golden["in.gen_z"][:n])
    lengths = losses.path_lengths(img, ws, golden["in.pl_noise"])
    assert_close(lengths, golden["out.pl_lengths"])
    start = torch.tensor(golden.config["pl_mean_start"])
    penalty, mean = losses.path_penalty(lengths, start)
    assert_close(penalty, golden["out.pl_penalty"])
    assert_close(mean, golden["out.pl_mean_new"])
    loss = penalty * golden.config["pl_weight"]
    assert_close(loss, golden["out.loss_Gpl"])
    check_gradients(golden, g, loss, "gradnorm_names_G", "out.Greg.gradnorm")


def test_discriminator_main(recorded):
    golden, g, d = recorded
    with torch.no_grad():
        img, _ = draw(g, golden["in.gen_z"])
    fake = losses.logistic_fake(d(img))
    real_logits = d(golden["in.real_img"])
    real = losses.logistic_real(real_logits)
    assert_close(real_logits, golden["out.real_logits"])
    assert_close(fake, golden["out.loss_Dgen"])
    assert_close(real, golden["out.loss_Dreal"])
    check_gradients(golden, d, fake + real, "gradnorm_names_D", "out.Dmain.gradnorm")


def test_r1(recorded):
    golden, _, d = recorded
    img = golden["in.real_img"].clone().requires_grad_()
    penalty = losses.r1_penalty(d(img), img)
    assert_close(penalty, golden["out.r1_penalty"])
    loss = penalty * (golden.config["r1_gamma"] / 2)
    assert_close(loss, golden["out.loss_Dr1"])
    check_gradients(golden, d, loss, "gradnorm_names_D", "out.Dreg.gradnorm")

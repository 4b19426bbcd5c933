"""Whole training steps against a recorded reference, and what may not change a step."""

import dataclasses
import json

import pytest
import torch
from golden_io import GOLDEN, Golden, assert_close
from test_discriminators import discriminator_config
from test_synthesis_v2 import network_config, without_filters
from training_data import NETWORK, TINY, write_pictures

from stylegan.config import TrainConfig
from stylegan.data import Pictures, batches
from stylegan.networks.mapping import broadcast, truncate
from stylegan.training.step import Chance, Trainer, fast_precision

CURVES = json.loads((GOLDEN / "sched_nv_curves.json").read_text())
PHASES = {"Gmain": 0, "Gpath": 1, "Dmain": 2}


class Recorded:
    """The draws of a recorded run, in place of chance."""

    def __init__(self, golden: Golden, iteration: int) -> None:
        self.golden, self.iteration = golden, iteration

    def latents(self, phase, n):
        return self.golden["in.gen_z"][self.iteration, PHASES[phase], :n]

    def labels(self, phase, n):
        return None

    def crossovers(self, phase, n):
        return None

    def noise(self, phase, n, shapes):
        return "const"

    def path_noise(self, shape):
        return self.golden["in.pl_noise"][self.iteration]

    def augmentation(self, phase, shape, p):
        return None


def norms(network, names):
    params = dict(network.named_parameters())
    return torch.stack([params[name].detach().norm() for name in names])


@pytest.mark.parametrize("case", CURVES["lazy_reg"][:4], ids=lambda case: str(case["reg_interval"]))
@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_adam_goes_by_the_interval_whatever_the_weight(case, weight):
    """The recorded program knows no weight there: cifar has an interval, and no path length."""
    interval = case["reg_interval"]
    trainer = Trainer(
        dataclasses.replace(
            TINY,
            **{"lr": case["lr_in"], "pl_weight": weight, "gamma": weight},
            **{"g_reg_interval": interval, "d_reg_interval": interval},
        )
    )
    for adam in (trainer.adam_g, trainer.adam_d):
        assert adam.param_groups[0]["lr"] == pytest.approx(case["lr"], rel=1e-12)
        assert adam.param_groups[0]["betas"] == pytest.approx(case["betas"], rel=1e-12)


def test_five_recorded_steps():
    golden = Golden("nv_train_5it")
    c = golden.config
    names_g, names_d = (json.loads(golden.meta[f"param_norm_names_{n}"]) for n in "GD")
    d = discriminator_config(c["D_kwargs"])
    config = TrainConfig(
        batch=c["batch"],
        lr=c["lr"],
        gamma=c["r1_gamma"],
        pl_weight=c["pl_weight"],
        pl_batch_shrink=c["pl_batch_shrink"],
        ema_kimg=c["ema_kimg"],
        ema_ramp=c["ema_rampup"],
        aug="none",
        network=network_config(c["G_kwargs"], mbstd_group=d.mbstd_group),
    )
    trainer = Trainer(config)
    trainer.generator.load_state_dict(without_filters(golden.params("G.")))
    trainer.averaged.load_state_dict(without_filters(golden.params("G.")))
    trainer.discriminator.load_state_dict(without_filters(golden.params("D.")))
    scores: dict[str, list] = {"real": [], "fake": []}
    trainer.discriminator.register_forward_hook(lambda m, i, out: scores["fake"].append(out))
    for k in range(c["iterations"]):
        # uint8 pictures come in; these are recorded as floats
        reals = (golden["in.real_img"][k] + 1) * 127.5
        scores["fake"].clear()
        trainer.step(reals, torch.zeros(c["batch"], 0), k * c["batch"], Recorded(golden, k))
        fake_g, fake_d, real = (s.flatten() for s in scores["fake"][:3])
        assert_close(fake_g, golden["out.scores_fake_G"][k])
        assert_close(fake_d, golden["out.scores_fake_D"][k])
        assert_close(real, golden["out.scores_real"][k])
        assert_close(trainer.pl_mean, golden["out.pl_mean"][k])
        assert_close(trainer.generator.mapping.w_avg, golden["out.w_avg"][k])
        assert_close(norms(trainer.generator, names_g), golden["out.G_param_norms"][k])
        assert_close(norms(trainer.discriminator, names_d), golden["out.D_param_norms"][k])
    assert_close(norms(trainer.averaged, names_g), golden["out.final_Gema_param_norms"])
    z = golden["in.gen_z"][0, 0]
    for network, key in ((trainer.generator, "G"), (trainer.averaged, "Gema")):
        ws = broadcast(network.mapping(z), config.network.num_ws)
        assert_close(network.synthesis(ws), golden[f"out.final_{key}_image"])
    pulled = truncate(ws, network.mapping.w_avg, 0.5)
    assert_close(network.synthesis(pulled), golden["out.final_Gema_image_psi0.5"])
    logits = trainer.discriminator(golden["in.real_img"][-1])
    assert_close(logits, golden["out.final_D_logits_on_last_reals"])


def trained(config, pictures, steps=7):
    trainer = Trainer(config)
    reals = batches(pictures, config.seed, 0, config.batch)
    for k in range(steps):
        nimg = k * config.batch
        trainer.step(*next(reals), nimg, Chance(config, pictures, nimg, trainer.device))
    reals.close()
    return trainer


def weights(trainer):
    networks = (trainer.generator, trainer.discriminator, trainer.averaged)
    return torch.cat([v.flatten() for n in networks for v in n.state_dict().values()])


@pytest.fixture
def pictures(tmp_path):
    return Pictures(write_pictures(tmp_path / "data.zip"))


@pytest.fixture
def classes(tmp_path):
    return Pictures(write_pictures(tmp_path / "classes.zip", labels=[i % 3 for i in range(12)]))


def test_the_split_into_micro_batches_changes_nothing(pictures):
    config = dataclasses.replace(TINY, batch=8, precision="float32")
    whole = trained(config, pictures, steps=3)
    split = trained(dataclasses.replace(config, micro_batch=2), pictures, steps=3)
    assert torch.allclose(weights(whole), weights(split), atol=2e-4)
    assert not torch.equal(weights(whole), weights(Trainer(config)))
    assert whole.pl_mean.item() == pytest.approx(split.pl_mean.item(), rel=1e-4)


def test_micro_batches_keep_groups_whole():
    config = dataclasses.replace(TINY, batch=8, micro_batch=4)
    parts = Trainer(config)._parts(8)
    assert [sorted(part.tolist()) for part in parts] == [[0, 1, 4, 5], [2, 3, 6, 7]]


def test_classes_reach_both_networks(classes):
    config = dataclasses.replace(TINY, network=dataclasses.replace(NETWORK, c_dim=3))
    trainer = trained(config, classes, steps=2)
    before = Trainer(config)
    for network in ("generator", "discriminator"):
        now, then = (getattr(t, network).mapping.embed.weight for t in (trainer, before))
        assert not torch.equal(now, then)


def test_bfloat16_takes_nearly_the_same_first_step(pictures):
    """Adam's first step is the sign of the gradient: most signs agree."""
    network = dataclasses.replace(NETWORK, conv_clamp=256)
    steps = {}
    for precision in ("float32", "bfloat16"):
        config = dataclasses.replace(TINY, precision=precision, network=network, pl_weight=0)
        start, end = Trainer(config), trained(config, pictures, steps=1)
        steps[precision] = (weights(end) - weights(start)).sign(), end.tally.finish()
    agree = (steps["float32"][0] == steps["bfloat16"][0]).float().mean()
    assert agree > 0.95
    for name in ("Loss/G/loss", "Loss/D/loss", "Loss/r1_penalty"):
        full, half = (steps[p][1][name]["mean"] for p in ("float32", "bfloat16"))
        assert half == pytest.approx(full, rel=0.05)


@pytest.mark.parametrize("aug", ["ada", "fixed", "none"])
def test_p_moves_only_when_it_adapts(pictures, aug):
    trainer = trained(dataclasses.replace(TINY, aug=aug, ada_kimg=1.0), pictures)
    assert trainer.p == {"none": 0.0, "fixed": 0.5}.get(aug, trainer.p)
    assert (trainer.p != 0.5) == (aug != "fixed")


@pytest.mark.parametrize(("memory", "p"), [(4, "rises"), (None, "falls")])
def test_p_rises_on_a_discriminator_that_overfits_and_falls_on_one_that_does_not(
    pictures, memory, p
):
    """Reals are the generator's own pictures: the same 4 again and again, or always new ones."""
    network = dataclasses.replace(NETWORK, resolution=8, channel_base=256, channel_max=16)
    config = dataclasses.replace(
        TINY, batch=8, lr=0.01, gamma=0.0, pl_weight=0.0, style_mixing=0.0, network=network
    )
    config = dataclasses.replace(config, p=0.2, ada_interval=4, ada_kimg=1.6, augpipe="bg")
    trainer = Trainer(config)
    trainer.adam_g.param_groups[0]["lr"] = 0.0
    generator = trainer.generator

    def drawn(seed, n):
        z = torch.randn(n, network.z_dim, generator=torch.Generator().manual_seed(seed))
        return (generator.synthesis(broadcast(generator.mapping(z), network.num_ws)) + 1) * 127.5

    kept = drawn(0, memory) if memory else None
    for step in range(64):
        images = drawn(step, 8) if kept is None else kept.repeat(8 // memory, 1, 1, 1)
        nimg = step * 8
        trainer.step(
            images, torch.zeros(8, 0), nimg, Chance(config, pictures, nimg, trainer.device)
        )
    r_t = trainer.tally.finish()["Loss/signs/real"]["mean"]
    assert (r_t > config.target, trainer.p > 0.25) == (memory is not None,) * 2
    assert p == "rises" or trainer.p < 0.05


@pytest.mark.parametrize("policy", ["color,translation,cutout", "color", "translation", ""])
def test_diffaugment_in_place_of_ada(pictures, policy):
    config = dataclasses.replace(TINY, aug="diffaugment", policy=policy)
    draws = Chance(config, pictures, 0, torch.device("cpu")).augmentation("Dr1", (4, 3, 16, 16), 0)
    assert (draws.colour is not None, draws.shift is not None) == (
        "color" in policy,
        "translation" in policy,
    )
    trainer = trained(config, pictures, steps=3)
    split = trained(dataclasses.replace(config, micro_batch=2), pictures, steps=3)
    assert trainer.p == 0.5, "ada alone moves it"
    assert torch.allclose(weights(trainer), weights(split), atol=2e-4)
    other = trained(dataclasses.replace(config, aug="none"), pictures, steps=3)
    assert torch.equal(weights(trainer), weights(other)) == (policy == "")


def test_gradients_that_are_no_numbers_do_not_spread(pictures):
    trainer = Trainer(TINY)
    with torch.no_grad():
        trainer.discriminator.b4.out.weight.fill_(float("inf"))
    reals = pictures.images(range(4))
    trainer.step(reals, torch.zeros(4, 0), 0, Chance(TINY, pictures, 0, trainer.device))
    assert all(p.isfinite().all() for p in trainer.generator.parameters())


def test_chance_depends_on_the_place_alone(pictures):
    a, b, c = (Chance(TINY, pictures, nimg, torch.device("cpu")) for nimg in (8, 8, 12))
    assert torch.equal(a.latents("Gmain", 4), b.latents("Gmain", 4))
    assert not torch.equal(a.latents("Gmain", 4), a.latents("Dmain", 4))
    assert not torch.equal(a.latents("Gmain", 4), c.latents("Gmain", 4))
    crossovers = a.crossovers("Gmain", 1000)
    num_ws = NETWORK.num_ws
    assert crossovers.min() >= 1 and crossovers.max() == num_ws
    unmixed = (crossovers == num_ws).float().mean().item()
    assert unmixed == pytest.approx(0.1, abs=0.05)


@pytest.mark.parametrize(
    ("able", "precision"), [({"avx512_bf16": True}, "bfloat16"), ({"avx2": True}, "float32")]
)
def test_reduced_precision_only_where_the_processor_has_it(monkeypatch, able, precision):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    assert fast_precision(torch.device("cpu")) == precision
    assert fast_precision(torch.device("mps")) == "float32"

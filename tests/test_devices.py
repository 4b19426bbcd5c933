"""Everything on a GPU that is pretended: no tensor meets one of another device."""

import dataclasses
from pathlib import Path

import pytest
import torch
from pretended import pretended
from test_growth import WGAN
from test_growth import D as GROWING_D
from training_data import NETWORK, TINY, write_pictures

from stylegan import finding, judges
from stylegan.checkpoint import load_discriminator, load_generator, save_model
from stylegan.config import RunError, UserError
from stylegan.data import Pictures
from stylegan.distributed import joined
from stylegan.evaluate import measure
from stylegan.finding import FindConfig, find
from stylegan.model import exact, find_device, load
from stylegan.networks.discriminators import Discriminator
from stylegan.networks.generator import Generator
from stylegan.projector import ProjectConfig, Projection
from stylegan.recipe import Edit, Recipe, RowMix
from stylegan.training import memory, report, schedule, snapshot, state, validation
from stylegan.training.encoder_loop import EncoderTrainConfig, EncoderTrainer
from stylegan.training.step import Chance, Trainer, fast_precision
from stylegan.walk import Walk

WITH_DIRECTIONS = Path(__file__).parent / "links/tiny-16"
GPU = torch.device("cuda")
ALL = {"aug": "fixed", "augpipe": "bgcfnc", "p": 0.9}
CLAMPED = dataclasses.replace(NETWORK, conv_clamp=256.0)
STEPS = {  # changes of the tiny settings, and the pictures' mode
    "ada": (ALL | {"aug": "ada", "ada_interval": 1}, "RGB"),
    "resnet-rgba": (
        ALL | {"network": dataclasses.replace(NETWORK, channels=4, architecture="resnet")},
        "RGBA",
    ),
    "classes": (
        {"network": dataclasses.replace(NETWORK, c_dim=2), "style_mixing": 0.9, "micro_batch": 2},
        "RGB",
    ),
    "v1-wgan": (vars(WGAN), "RGB"),
    "d": (vars(GROWING_D), "RGB"),
    "bfloat16": ({"precision": "bfloat16", "network": CLAMPED, "aug": "diffaugment"}, "RGB"),
    "float16": (
        {"precision": "float16", "network": CLAMPED, "gamma": 0.0, "pl_weight": 0.0},
        "RGB",
    ),
}


@pytest.fixture(params=["cuda:0", "mps:0"])
def device(request):
    with pretended(request.param) as device:
        yield device


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(5)
    save_model(tmp_path / "model", NETWORK, {}, Generator(NETWORK), Discriminator(NETWORK))
    return tmp_path / "model"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("kind", STEPS)
def test_training_and_what_a_run_shows_and_saves(device, kind, tmp_path):
    changes, mode = STEPS[kind]
    data = write_pictures(tmp_path / "a.zip", labels=[i % 2 for i in range(12)], mode=mode)
    config = dataclasses.replace(TINY, **changes | {"data": str(data)})
    pictures, trainer = Pictures(data), Trainer(config, device)
    before = [x.cpu() for x in trainer.weights()]
    nimg = 28  # where pictures grow, one size fades into the next
    rows = trainer.share_of(schedule.batch(nimg, config))
    chance = Chance(config, pictures, nimg, device)
    trainer.step(pictures.images(rows), pictures.labels(rows), nimg, chance)
    trainer.settle()
    trainer.guard.check()
    assert all(x.device == device for x in trainer.weights())
    assert not all(map(torch.equal, before, (x.cpu() for x in trainer.weights())))
    scores = validation.scores(trainer, pictures, pictures)
    assert scores["Validation/scores/training"]["num"] == 12
    assert len(snapshot._fakes(trainer)) == snapshot.GRID_PICTURES
    at = state.Progress(nimg=config.batch, tick_seconds=1.0)
    state.save(tmp_path, trainer, at)
    again = Trainer(config, device)
    assert state.load_latest(tmp_path, again) == at
    assert all(x.device == device for x in again.weights())
    assert {x.device for adam in again.adam_d.state.values() for x in adam.values()} == {device}
    assert report.tick(trainer, at, None)["Progress/nimg"] == config.batch


def test_drawing(device):
    model = load(WITH_DIRECTIONS, device)
    (name, *_) = model.directions
    edited = Recipe(seed=1, noise=3, psi=0.5, e=(Edit(name, 2.0, (0, 2)),), mix=(RowMix(2, 1, 2),))
    alone = model.render(edited)
    for space, curve in (("w", "slerp"), ("z", "smooth")):
        assert len(list(model.walk(Walk((1, 2), frames=3, space=space, curve=curve)))) == 4
    assert (alone == load(WITH_DIRECTIONS).render(edited)).all()


@pytest.mark.parametrize(
    "config",
    [
        ProjectConfig(steps=3, noise=True, tune=True, tune_steps=2),
        ProjectConfig(steps=2, method="paper", space="w", distance="pixels"),
    ],
)
def test_projection(device, folder, config):
    model = load(folder, device)
    projection = Projection(model, torch.rand(1, 3, 16, 16) * 2 - 1, config)
    assert all(step.ws.device.type == "cpu" for step in projection.run())
    result = projection.result()
    drawn = model.carrying(result.attachment).render(result.recipe)
    assert (drawn == result.picture).all()


def test_an_encoder_learns_goes_on_and_is_asked(device, folder, tmp_path):
    data = write_pictures(tmp_path / "a.zip")
    config = EncoderTrainConfig(str(folder), str(data), batch=4, p=0.9, precision="bfloat16")
    trainer = EncoderTrainer(config, folder, device)
    trainer.step()
    trainer.save()
    again = EncoderTrainer(config, folder, device)
    again.load()
    assert again.nimg == 4
    steps = [state["step"] for state in again.adam.state.values()]
    assert steps and {x.device.type for x in steps} == {"cpu"}  # as Adam has it from the beginning
    again.step()
    model = load(folder, device)
    projection = Projection(model, torch.rand(1, 3, 16, 16), ProjectConfig(steps=1))
    assert len(list(projection.run())) > 1


def test_metrics(device, folder, tmp_path):
    pictures = Pictures(write_pictures(tmp_path / "a.zip"))
    names = ["fid8_disc", "kid8_disc", "pr83_disc", "swd", "memorisation", "diversity"]
    found = measure(
        load_generator(folder, device),
        pictures,
        [*names, "ppl2_wend_disc", "ppl_zfull_disc"],
        num=4,
        batch=4,
        discriminator=lambda: load_discriminator(folder, device),
    )
    assert len(found.records) == 9


def test_directions(device, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(judges, "EPOCHS", 2)
    monkeypatch.setattr(finding, "MOVED", 4)
    data = write_pictures(tmp_path / "a.zip", 24)
    lines = (f"img{i:08d}.png,{i % 2}" for i in range(24))
    (tmp_path / "table.csv").write_text("\n".join(["file,odd", *lines]))
    config = FindConfig(
        str(folder),
        closed_form=1,
        pca=1,
        data=str(data),
        table=str(tmp_path / "table.csv"),
        attributes=("odd=odd:1",),
        colors=("dark=#808080/#000000@0,0,1,1",),
        folds=2,
        num=100,
    )
    found = find(load(folder, device), config)
    assert {"closed-form-1", "pca-1"} <= set(found.steps)
    assert set(found.steps) | set(found.missing) >= {"odd", "dark"}
    find(load(folder, device), FindConfig(str(folder), positive="1-3", negative="4-6", name="x"))


# What is only so on GPUs


def flags():
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    return cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32


def test_who_draws_exactly_is_not_disturbed_by_another_who_ends():
    before = flags()
    first, second = exact(GPU), exact(GPU)
    first.__enter__()
    second.__enter__()
    assert flags() == (True, False, False)
    first.__exit__(None, None, None)
    assert flags() == (True, False, False)
    second.__exit__(None, None, None)
    assert flags() == before
    with pytest.raises(ValueError, match="out"), exact(GPU):
        raise ValueError("out")
    assert flags() == before


def torchrun(monkeypatch, rank, size=2):
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, str(rank))
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, str(size))


def test_of_several_processes_each_tries_its_own_gpu(monkeypatch):
    with pretended("cuda:1"):
        torchrun(monkeypatch, rank=1)
        assert find_device("cuda") == find_device("auto") == torch.device("cuda:1")
        assert find_device("cuda:0") == torch.device("cuda:0")
        monkeypatch.delenv("WORLD_SIZE")
        monkeypatch.delenv("RANK")
        assert find_device("auto") == torch.device("cuda")


@pytest.mark.parametrize(
    ("name", "words"),
    [("cuda:0", "one GPU for 2 processes; give cuda"), ("mps", "on cpu or cuda, not on mps")],
)
def test_several_processes_do_not_share_a_gpu(monkeypatch, name, words):
    torchrun(monkeypatch, rank=1)
    with pytest.raises(UserError, match=words), joined(torch.device(name)):
        pass


def test_a_gpu_that_cannot_compute_is_told_in_words(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(UserError, match="device cuda cannot be used here"):
        find_device("auto")
    with pytest.raises(UserError, match="device meta cannot be used here"):
        find_device("meta")


@pytest.mark.parametrize(("major", "name"), [(6, "float32"), (7, "float16"), (9, "bfloat16")])
def test_half_precision_where_a_gpu_has_units_for_it(monkeypatch, major, name):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (major, 0))
    assert fast_precision(GPU) == name


@pytest.mark.parametrize(
    "words",
    ["CUDA out of memory. Tried to allocate", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when"],
)
def test_memory_that_runs_out_has_its_advice(words):
    trainer = Trainer(TINY)
    with pytest.raises(RunError, match="--micro-batch"), memory.shortage_in_words(trainer):
        raise RuntimeError(words)

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan import __main__ as program
from stylegan.attachment import Attachment
from stylegan.checkpoint import save_model
from stylegan.config import NetworkConfig
from stylegan.latent_files import read_latent
from stylegan.model import load
from stylegan.networks.discriminators import Discriminator
from stylegan.networks.generator import Generator
from stylegan.projector import Projection
from stylegan.recipe import Recipe
from stylegan.stamp import read_attachment, read_png, read_recipe
from stylegan.tensors import load_tensors

NETWORK = NetworkConfig(
    resolution=16, z_dim=16, w_dim=16, mapping_layers=1, channel_base=128, channel_max=8
)
FILES = ["latent.safetensors", "projected.png", "projected_w.npz", "side-by-side.png"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project") / "model"
    torch.manual_seed(5)
    save_model(folder, NETWORK, {}, Generator(NETWORK), Discriminator(NETWORK))
    return folder


@pytest.fixture
def run(folder):
    def run(*line):
        line = ["project", *map(str, line), "--model", str(folder), "--device", "cpu"]
        return program.main(line)

    return run


@pytest.fixture
def photo(tmp_path):
    values = np.random.RandomState(0).randint(0, 256, (24, 40, 4), np.uint8)
    Image.fromarray(values).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_photo_becomes_a_recipe_with_all_it_carries(run, folder, photo, tmp_path, capsys):
    out = tmp_path / "new/out"
    assert run(photo, "-o", out, "--steps", 5, "--noise", "--tune", "--tune-steps", 3) == 0
    assert sorted(path.name for path in out.iterdir()) == FILES
    query = read_png(out / "projected.png")
    assert f"{out / 'projected.png'}: " in capsys.readouterr().out
    recipe = Recipe.from_query(query, strict=True)
    attachment = Attachment.from_bytes(read_attachment(out / "projected.png"))
    assert recipe.x == attachment.key and recipe.t == "project"
    model = load(folder).carrying(attachment)
    assert np.array_equal(pixels(out / "projected.png"), model.render(recipe))
    ws = model.ws(recipe)[0]
    assert torch.equal(read_latent(out / "projected_w.npz"), ws)
    assert torch.equal(load_tensors(out / "latent.safetensors")["w"], ws)
    assert pixels(out / "side-by-side.png").shape == (256, 512, 3)

    line = ["render", str(out / "projected.png"), "-o", str(tmp_path / "again.png")]
    assert program.main([*line, "--model", str(folder), "--device", "cpu"]) == 0
    assert np.array_equal(pixels(tmp_path / "again.png"), pixels(out / "projected.png"))
    assert read_attachment(tmp_path / "again.png") == attachment.blob


def test_without_noise_and_tuning_a_link_says_it_all(run, photo, tmp_path):
    assert run(photo, "-o", tmp_path, "--steps", 2, "--space", "w", "--start", 7) == 0
    assert read_attachment(tmp_path / "projected.png") is None
    assert Recipe.from_query(read_png(tmp_path / "projected.png")).fits_link


def test_the_paper_s_projector(run, photo, tmp_path):
    assert run(photo, "-o", tmp_path, "--steps", 3, "--space", "w", "--method", "paper") == 0
    assert read_attachment(tmp_path / "projected.png") is not None


def test_a_video_of_the_journey(run, photo, tmp_path):
    clip = tmp_path / "journey.mp4"
    assert run(photo, "-o", tmp_path, "--steps", 4, "--video", clip) == 0
    assert read_recipe(clip) == read_png(tmp_path / "projected.png")


def test_the_field_s_latents_are_drawn(run, folder, tmp_path):
    model = load(folder)
    w = model.ws(Recipe(seed=4))[0, 0].half().float()
    np.savez(tmp_path / "projected_w.npz", w=w.expand(1, model.num_ws, -1).numpy())
    assert run(tmp_path / "projected_w.npz", "-o", tmp_path / "out") == 0
    drawn = model.render(Recipe.from_query(read_png(tmp_path / "out/projected.png")))
    assert np.array_equal(pixels(tmp_path / "out/projected.png"), drawn)
    assert torch.equal(read_latent(tmp_path / "out/projected_w.npz")[0], w)
    np.savez(tmp_path / "projected_w.npz", w=np.ones((1, 18, 512), np.float32))
    assert run(tmp_path / "projected_w.npz", "-o", tmp_path / "out") == 2


def test_ctrl_c_keeps_the_best_so_far(run, photo, tmp_path, monkeypatch, capsys):
    whole = Projection.run

    def interrupted(self):
        for step in whole(self):
            yield step
            if step.step == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(Projection, "run", interrupted)
    assert run(photo, "-o", tmp_path / "out", "--steps", 50) == 0
    assert "kept the best so far" in capsys.readouterr().err
    assert (tmp_path / "out/projected.png").is_file()


BAD = {"text.png": b"hello", "empty.png": b""}


@pytest.mark.parametrize(
    ("name", "words"),
    [("text.png", "not a picture"), ("empty.png", "empty file"), ("none.png", "No such file")],
)
def test_what_is_no_picture_is_named(run, tmp_path, capsys, name, words):
    if name in BAD:
        (tmp_path / name).write_bytes(BAD[name])
    assert run(tmp_path / name, "-o", tmp_path / "out") in (1, 2)
    error = capsys.readouterr().err.strip()
    assert words in error and name in error and len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("mode", "size", "kind"),
    [
        ("L", (1, 1), "png"),
        ("CMYK", (9, 5), "jpeg"),
        ("I;16", (20, 20), "png"),
        ("P", (5, 5), "gif"),
    ],
)
def test_odd_pictures_are_handled(run, tmp_path, mode, size, kind):
    path = tmp_path / f"odd.{kind}"
    Image.new(mode, size).save(path)
    assert run(path, "-o", tmp_path / "out", "--steps", 1) == 0


def test_a_huge_picture_is_refused_before_it_is_decoded(run, tmp_path, capsys):
    Image.new("1", (20_000, 10_000)).save(tmp_path / "huge.png")
    assert run(tmp_path / "huge.png", "-o", tmp_path / "out") == 2
    assert "more than 80,000,000" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["--steps", "0"], "steps 0 is not"),
        (["--steps", "x"], "--steps 'x' is not a whole number"),
        (["--start", "there"], "not encoder, mean or a seed"),
        (["--start", "encoder"], "has no encoder; train one"),
        (["--distance", "lpips"], "give disc, pixels, vgg or a detector file"),
        (["--video", "a.avi"], "clips are written as"),
        (["--c", "1"], "has 0 classes"),
        (["--space", "z"], "invalid choice"),
    ],
)
def test_wrong_lines_end_in_one_sentence(run, photo, tmp_path, capsys, line, words):
    assert run(photo, "-o", tmp_path / "out", *line) == 2
    assert words in capsys.readouterr().err
    assert not Path(tmp_path / "out").exists()

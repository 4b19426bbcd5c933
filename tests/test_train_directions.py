import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from training_data import NETWORK, write_pictures

from stylegan import finding, judges
from stylegan.attributes import TableError
from stylegan.checkpoint import save_model
from stylegan.config import UserError
from stylegan.data import Pictures
from stylegan.direction_files import DirectionNote, load_directions, save_directions
from stylegan.directions import DirectionError, Fit, closed_form, measure_spread
from stylegan.finding import Found
from stylegan.model import load
from stylegan.networks.generator import Generator
from stylegan.recipe import Edit, Recipe
from stylegan.stamp import read_png
from train.__main__ import main as train
from train.directions import main, report

RED = "red=#a0ffff/#70ffff@0,0,1,1"


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(judges, "EPOCHS", 6)
    monkeypatch.setattr(finding, "MOVED", 8)


@pytest.fixture
def folder(tmp_path):
    """A model folder of the tiny network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_model(tmp_path / "model", NETWORK, {}, Generator(NETWORK))
    return tmp_path / "model"


def run(folder, *line):
    return main(["--model", str(folder), "--device", "cpu", "--num", "200", *map(str, line)])


def directions(folder):
    return load_directions(folder / "directions.safetensors", NETWORK)


def test_they_are_kept_in_the_model_and_drawn(folder, capsys):
    assert run(folder, "--closed-form", 2, "--pca", "1", "--seed", 3) == 0
    assert f"3 directions in {folder}/directions.safetensors, drawn in" in capsys.readouterr().out
    model = load(folder)
    assert list(model.directions) == ["closed-form-1", "closed-form-2", "pca-1"]
    expected = closed_form(model, measure_spread(model, 3), 2)
    assert torch.equal(model.directions["closed-form-2"], expected[1])
    with Image.open(folder / "directions.png") as image:
        drawn = np.asarray(image).astype(int)
    assert drawn.shape[0] == 18 + 3 * 16
    last = model.render(Recipe(seed=2, psi=0.7, e=[Edit("pca-1", 3)]))
    assert np.abs(drawn[-16:, -16:] - last).max() <= 1
    middle = model.render(Recipe(seed=0, psi=0.7))
    left = drawn.shape[1] - 3 * 7 * 16 - 2 * 4
    for row in range(3):
        cell = drawn[18 + 16 * row :][:16, left + 3 * 16 :][:, :16]
        assert np.abs(cell - middle).max() <= 1
    assert read_png(folder / "directions.png") == f"m={model.id}&psi=0.7&n=3"


def test_a_second_run_adds_and_replaces(folder):
    assert run(folder, "--pca", 2) == 0
    before, _ = directions(folder)
    assert run(folder, "--closed-form", 1, "--pca", 1, "--seed", 5) == 0
    after, notes = directions(folder)
    assert list(after) == ["pca-1", "pca-2", "closed-form-1"]
    assert not torch.equal(after["pca-1"], before["pca-1"])
    assert torch.equal(after["pca-2"], before["pca-2"])
    assert notes["closed-form-1"].method == "closed form"
    files = [(folder / name).read_bytes() for name in ("directions.safetensors", "directions.png")]
    assert run(folder, "--closed-form", 1, "--pca", 1, "--seed", 5) == 0
    again = [(folder / name).read_bytes() for name in ("directions.safetensors", "directions.png")]
    assert files == again


def test_groups_of_seeds(folder, capsys):
    line = ["--positive", "1-9", "--negative", "20-28,40", "--name", "smile", "--rows", "0-3"]
    assert run(folder, *line) == 0
    told = capsys.readouterr().out
    assert "Told apart in w" in told and "smile" in told
    steps, notes = directions(folder)
    assert steps["smile"].shape == (8,)
    assert notes["smile"].method == "9 seeds with it, 10 without" and notes["smile"].rows == (0, 3)


def test_a_table_of_pictures(folder, tmp_path, capsys):
    data = write_pictures(tmp_path / "data.zip", 36)
    light = Pictures(data).images(range(36)).double().mean(dim=(1, 2, 3))
    rows = [
        f"img{i:08d}.png,{value},{'bright' if value > light.median() else 'dim'},{i // 2}"
        for i, value in enumerate(light.tolist())
    ]
    (tmp_path / "t.csv").write_text("\n".join(["file,light,shade,who", *rows]))
    table = ["--data", data, "--table", tmp_path / "t.csv", "--group", "who"]
    line = [*table, "--attributes", "light", "dim=shade:dim/bright", "--no-apart"]
    assert run(folder, *line) == 0
    told = capsys.readouterr().out
    for words in ("Seen in real pictures", "in 1", "light", "dim", "What a strength of 1 moves"):
        assert words in told
    with pytest.raises(TableError, match="shade holds"):
        run(folder, *table, "--attributes", "shade")
    with pytest.raises(TableError, match="has no column hat"):
        run(folder, *table, "--attributes", "hat")


def test_remove_rename_label_and_add(folder, tmp_path, capsys):
    steps = {"smile": torch.ones(8), "age": torch.zeros(6, 8) + 2}
    save_directions(tmp_path / "mine.safetensors", steps, {"smile": DirectionNote("a smile")})
    assert run(folder, "--pca", 2) == 0
    assert run(folder, "--add", tmp_path / "mine.safetensors") == 0
    assert set(directions(folder)[0]) == {"pca-1", "pca-2", "age", "smile"}
    assert run(folder, "--remove", "pca-2", "age", "--rename", "pca-1", "size") == 0
    found, notes = directions(folder)
    assert list(found) == ["size", "smile"] and torch.equal(found["smile"], steps["smile"])
    assert run(folder, "--label", "size", " How tall ") == 0
    found, notes = directions(folder)
    assert notes["size"] == DirectionNote("How tall", "PCA")
    assert notes["smile"].label == "a smile"
    assert run(folder, "--remove", "size", "smile") == 0
    assert directions(folder) == ({}, {})
    assert "0 directions in" in capsys.readouterr().out
    assert not (folder / "directions.png").exists()


def test_a_stop_leaves_the_old_file_whole(folder, monkeypatch, capsys):
    run(folder, "--pca", 2)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def stop(*_):
        raise KeyboardInterrupt

    for place in ("stylegan.model.Model.draw", "stylegan.finding.principal"):
        with monkeypatch.context() as patched:
            patched.setattr(place, stop)
            assert train(["directions", "--model", str(folder), "--pca", "1", "--seed", "5"]) == 130
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert "train: stopped" in capsys.readouterr().err


def test_many_directions_are_drawn_in_part_and_large_pictures_small(folder, capsys, monkeypatch):
    monkeypatch.setattr("train.directions.MOST_DRAWN", 2)
    monkeypatch.setattr("train.directions.MOST_SIDE_PX", 8)
    assert run(folder, "--pca", 3) == 0
    assert "3 directions in" in (told := capsys.readouterr().out)
    assert "the first 2 drawn in" in told
    with Image.open(folder / "directions.png") as image:
        drawn = np.asarray(image).astype(int)
    assert drawn.shape[0] == 18 + 2 * 8
    last = load(folder).render(Recipe(seed=2, psi=0.7, e=[Edit("pca-2", 3)])).astype(float)
    last = last.reshape(8, 2, 8, 2, 3).mean(axis=(1, 3))
    assert np.abs(drawn[-8:, -8:] - last).max() <= 1


def test_a_direction_that_hardly_moves_its_own_attribute_is_told():
    fits = {name: Fit(torch.ones(1), 0.7, 60, 40) for name in ("hat", "hair")}
    notes = {"hat": DirectionNote(moves={"hat": 0.04, "hair": 0.3})}
    told = report(Found(notes=notes, fits=fits, missing={"nose": "none has it"}))
    assert "hat moves its own attribute by +0.04 only" in told and "hair moves" not in told
    assert "No direction nose: none has it" in told
    assert re.search("hair +0.70 +60 +40 +-\n", told), "told apart, though no direction was made"


def test_another_file_is_written_and_read(folder, tmp_path):
    out = tmp_path / "other/mine.safetensors"
    assert run(folder, "--pca", 1, "--out", out) == 0
    assert run(folder, "--rename", "pca-1", "size", "--out", out) == 0
    assert list(load_directions(out, NETWORK)[0]) == ["size"]
    assert out.with_suffix(".png").is_file()
    assert not (folder / "directions.safetensors").exists()


def test_wrong_lines_change_nothing(folder):
    run(folder, "--pca", 2)
    before = (folder / "directions.safetensors").read_bytes()
    for line, words in (
        ([], "nothing is asked for: give --closed-form N"),
        (["--remove", "nose"], "has no direction nose \\(directions: pca-1, pca-2\\)"),
        (["--rename", "nose", "x"], "has no direction nose"),
        (["--rename", "pca-1", "a b"], "no name for a direction"),
        (["--rename", "pca-1", "pca-2"], "has a direction pca-2 already; remove that first"),
        (["--label", "nose", "x"], "has no direction nose"),
        (["--pca", "9"], "9 directions are asked for, but there are 1 to 8"),
        (["--pca", "1", "--rows", "0-9"], "has rows 0 to 5"),
        (["--colors", "blue"], "is not NAME=COLOUR"),
    ):
        with pytest.raises(UserError, match=words):
            run(folder, *line)
    with pytest.raises(DirectionError):
        run(folder, "--positive", "1-3")
    with pytest.raises(SystemExit):
        run(folder, "--speed", "3")
    assert (folder / "directions.safetensors").read_bytes() == before
    with pytest.raises(UserError, match="there is no model folder"):
        run(Path("absent"), "--pca", 1)


def test_a_model_of_the_hub_is_not_written_to(hub, folder, tmp_path):
    hub.add("ann/tiny", folder)
    with pytest.raises(UserError, match="is not written to; name a file with --out"):
        run("ann/tiny", "--closed-form", 2)
    out = tmp_path / "found.safetensors"
    assert run("ann/tiny", "--closed-form", 2, "--out", out) == 0 and out.is_file()

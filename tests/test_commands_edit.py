import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan import __main__ as program
from stylegan.direction_files import DirectionNote, save_directions
from stylegan.model import load
from stylegan.recipe import Edit, Recipe
from stylegan.sheet import draw_strips
from stylegan.stamp import enlarge, grid, read_png

TINY = Path(__file__).resolve().parents[1] / "tests/links/tiny-16"
ID = load(TINY).id


def run(*line, model=TINY):
    return program.main(["edit", *map(str, line), "--model", str(model), "--device", "cpu"])


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture
def noted(tmp_path):
    """The tiny model with other directions, which have notes."""
    folder = tmp_path / "tiny-16"
    folder.mkdir()
    for name in ("config.json", "generator.safetensors"):
        (folder / name).symlink_to(TINY / name)
    steps = {"smile": torch.linspace(-1, 1, 16), "age": torch.linspace(1, 0, 96).reshape(6, 16)}
    notes = {"smile": DirectionNote("a smile", "fitted to mood", 0.912, (2, 3))}
    save_directions(folder / "directions.safetensors", steps, notes)
    return folder


def test_one_direction(tmp_path, capsys):
    out = tmp_path / "new/out.png"
    assert run("seed=7&psi=0.7", "--direction", "warmth", "--strength", "2", "-o", out) == 0
    text = f"t=edit&m={ID}&seed=7&psi=0.7&e=warmth:2"
    assert capsys.readouterr().out == f"{out}: {text}\n"
    assert read_png(out) == text and os.listdir(out.parent) == ["out.png"]
    expected = load(TINY).render(Recipe(seed=7, psi=0.7, e=[Edit("warmth", 2)]))
    assert np.array_equal(pixels(out), expected)
    assert not np.array_equal(expected, load(TINY).render(Recipe(seed=7, psi=0.7)))


def test_several_directions_with_rows(tmp_path):
    line = ["--direction", "warmth", "--strength", "-1.5", "--rows", "0-3"]
    line += ["--direction", "shape", "--rows", "2", "--strength", "3", "--c", "1", "--psi", "0.5"]
    assert run("seed=7&psi=0.7", *line, "-o", tmp_path / "a.png") == 0
    text = f"t=edit&m={ID}&seed=7&psi=0.5&c=1&e=warmth:-1.5:0-3&e=shape:3:2-2"
    assert read_png(tmp_path / "a.png") == text


def test_a_link_and_a_png_go_on_from_where_they_are(tmp_path, capsys):
    link = f"https://example.org/?m={ID}&seed=4&e=warmth:1&e=shape:1:0-2#top"
    assert run(link, "--direction", "warmth", "--strength", "2", "-o", tmp_path / "a.png") == 0
    assert read_png(tmp_path / "a.png") == f"t=edit&m={ID}&seed=4&e=shape:1:0-2&e=warmth:2"
    assert run(tmp_path / "a.png", "-o", tmp_path / "b.png") == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    away = ["--direction", "shape", "--strength", "0"]
    assert run(tmp_path / "a.png", *away, "-o", tmp_path / "c.png") == 0
    assert read_png(tmp_path / "c.png") == f"t=edit&m={ID}&seed=4&e=warmth:2"
    assert capsys.readouterr().err == ""


def test_rows_of_the_note_are_written_out(tmp_path, noted):
    out = tmp_path / "a.png"
    assert run("seed=1", "--direction", "smile", "--strength", "2", "-o", out, model=noted) == 0
    assert read_png(out) == f"t=edit&m={ID}&seed=1&e=smile:2:2-3"
    line = ["--direction", "smile", "--strength", "2", "--rows", "0-5"]
    assert run("seed=1", *line, "-o", out, model=noted) == 0
    assert read_png(out) == f"t=edit&m={ID}&seed=1&e=smile:2:0-5"
    line = ["--direction", "age", "--strength", "2"]
    assert run("seed=1", *line, "-o", out, model=noted) == 0
    assert read_png(out) == f"t=edit&m={ID}&seed=1&e=age:2"


def test_n_pictures_are_a_grid(tmp_path):
    line = ["--direction", "shape", "--strength", "1", "--enlarge", "2"]
    assert run("seed=4&n=3", *line, "-o", tmp_path / "a.png") == 0
    recipe = Recipe(seed=4, n=3, e=[Edit("shape", 1)])
    expected = enlarge(grid(load(TINY).render_many(recipe)), 2)
    assert np.array_equal(pixels(tmp_path / "a.png"), expected)


def test_a_strip_of_each_direction(tmp_path, noted):
    line = ["--direction", "smile", "--direction", "age", "--strength", "1", "--strip"]
    assert run("seed=4", *line, "-o", tmp_path / "a.png", model=noted) == 0
    assert read_png(tmp_path / "a.png") == f"t=edit&m={ID}&seed=4&e=age:1"
    model = load(noted)
    heads = ["-3", "-2", "-1", "0", "+1", "+2", "+3"]
    rows = [
        [Recipe(seed=4, e=[Edit("age", 1), Edit("smile", k, (2, 3))]) for k in range(-3, 4)],
        [Recipe(seed=4, e=[Edit("age", k)]) for k in range(-3, 4)],
    ]
    strips = [
        (name, [list(model.draw(row))]) for name, row in zip(("a smile", "age"), rows, strict=True)
    ]
    found = pixels(tmp_path / "a.png")
    assert np.abs(found.astype(int) - draw_strips(strips, heads, 8)).max() <= 1
    assert found.shape[0] > 2 * 128 and found.shape[1] > 7 * 128
    assert run(tmp_path / "a.png", "--strip", "-o", tmp_path / "b.png", model=noted) == 0
    again = pixels(tmp_path / "b.png")
    assert np.array_equal(again[-128:, -896:], found[-128:, -896:])


def test_a_strip_of_each_picture(tmp_path):
    line = ["--direction", "shape", "--strip", "--enlarge", "1"]
    assert run("seed=4&n=3", *line, "-o", tmp_path / "a.png") == 0
    found = pixels(tmp_path / "a.png")
    assert found.shape[0] == 18 + 3 * 16
    third = load(TINY).render(Recipe(seed=6, e=[Edit("shape", 3)]))
    assert np.abs(found[-16:, -16:].astype(int) - third).max() <= 1


def test_list(noted, capsys):
    assert run("--list", model=noted) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["smile", "a", "smile", "2-3", "0.91", "fitted", "to", "mood"],
        ["age", "all"],
    ]
    (noted / "directions.safetensors").unlink()
    assert run("--list", model=noted) == 0
    assert "tiny-16 has no directions" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ([], "name a --direction, or --list those that the model has"),
        (["--direction", "warmth"], "give --direction warmth a --strength, such as 2"),
        (["--strength", "2"], "--strength 2: put --direction NAME before each --strength"),
        (["--rows", "2", "--direction", "warmth"], "--rows 2: put --direction NAME before"),
        (
            ["--direction", "warmth", "--strength", "1", "--strength", "2"],
            "--strength 2: put --direction NAME before each --strength",
        ),
        (["--direction", "nose", "--strength", "1"], "no direction nose (directions: shape, warm"),
        (["--direction", "nose", "--strip"], "no direction nose"),
        (["--direction", "a/b", "--strength", "1"], "is not a direction's name"),
        (["--direction", "warmth", "--strength", "much"], '--strength "much" is not a number'),
        (["--direction", "warmth", "--strength", "101"], "is not a number from -100 to 100"),
        (["--direction", "warmth", "--strength", "1", "--rows", "x"], '"x" are not rows'),
        (["--direction", "warmth", "--strength", "1", "--rows", "0-6"], "has rows 0 to 5"),
        (["--direction", "warmth", "--strip", "--rows", "0-6"], "has rows 0 to 5"),
        (["--direction", "warmth", "--strength", "1", "--c", "3"], "has classes 0 to 2"),
        (["--direction", "warmth", "--strip", "--enlarge", "0"], "enlarged by 1 or more, not 0"),
        (["--direction", "warmth", "--strip", "--enlarge", "999"], "do not fit one file"),
        (["seed=1&speed=3", "--direction", "warmth", "--strength", "1"], 'unknown name "speed"'),
        (["absent.png", "--direction", "warmth", "--strength", "1"], "neither a recipe"),
        (["--speed", "1"], "--speed"),
    ],
)
def test_wrong_lines_end_in_one_sentence(tmp_path, capsys, line, words):
    assert run(*line, "-o", tmp_path / "a.png") == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("stylegan: ") and err.count("\n") == 1 and words in err
    assert os.listdir(tmp_path) == []


def test_outputs_that_cannot_be(tmp_path, capsys):
    line = ["--direction", "warmth", "--strength", "1"]
    assert run(*line) == 2
    assert "name a .png with -o" in capsys.readouterr().err
    assert run(*line, "-o", tmp_path / "a.jpg") == 2
    assert "written as PNG" in capsys.readouterr().err
    assert run(*line, "-o", tmp_path) == 2
    assert "an edit is one file; name a .png" in capsys.readouterr().err

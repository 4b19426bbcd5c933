import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylegan import __main__ as program
from stylegan.commands import parts
from stylegan.links import read_link
from stylegan.model import Model, load
from stylegan.recipe import Recipe, pack_latent
from stylegan.stamp import enlarge, grid, png_bytes, read_png, write_zip

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "tests/links/tiny-16"
ID = load(TINY).id


def run(*line):
    return program.main(["render", *map(str, line), "--model", str(TINY), "--device", "cpu"])


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def refusal(capsys, *line, code=2):
    """The sentence on stderr of a line that fails."""
    assert run(*line) == code
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("stylegan: ") and err.count("\n") == 1
    return err


def test_one_picture(tmp_path, capsys):
    assert run("seed=7&psi=0.7", "-o", tmp_path / "new/out.png") == 0
    text = f"m={ID}&seed=7&psi=0.7"
    assert capsys.readouterr().out == f"{tmp_path}/new/out.png: {text}\n"
    assert read_png(tmp_path / "new/out.png") == text
    expected = load(TINY).render(Recipe(seed=7, psi=0.7))
    assert np.array_equal(pixels(tmp_path / "new/out.png"), expected)
    assert os.listdir(tmp_path / "new") == ["out.png"]


def test_a_link_and_a_png_give_the_same_picture(tmp_path, capsys):
    link = f"https://example.org/x/?m={ID}&seed=7&c=1&noise=3#top"
    assert run(link, "-o", tmp_path / "a.png") == 0
    assert run(tmp_path / "a.png", "-o", tmp_path / "b.png") == 0
    assert capsys.readouterr().err == ""
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_no_recipe_is_seed_0(tmp_path):
    assert run("-o", tmp_path / "a.png") == 0
    assert np.array_equal(pixels(tmp_path / "a.png"), load(TINY).render(Recipe()))


def test_enlarged_and_grid(tmp_path):
    assert run("seed=4&n=5&psi=0.5", "-o", tmp_path / "a.png", "--enlarge", "3") == 0
    model = load(TINY)
    expected = enlarge(grid(model.render_many(Recipe(seed=4, n=5, psi=0.5))), 3)
    assert expected.shape == (96, 144, 3)
    assert np.array_equal(pixels(tmp_path / "a.png"), expected)
    assert read_png(tmp_path / "a.png") == f"m={ID}&seed=4&psi=0.5&n=5"


def test_a_latent(tmp_path):
    query = f"w={pack_latent(np.linspace(-1, 1, 16))}"
    assert run(query, "-o", tmp_path / "a.png") == 0
    assert read_png(tmp_path / "a.png") == f"m={ID}&{query}"


def test_many_seeds_with_their_recipes(tmp_path, capsys):
    assert run("psi=0.7", "--seeds", "1-3,20,1", "-o", tmp_path / "p") == 0
    assert capsys.readouterr().out == f"{tmp_path}/p: 4 pictures and recipes.csv\n"
    with (tmp_path / "p/recipes.csv").open() as file:
        rows = list(csv.reader(file))
    names = [f"seed{seed:05d}.png" for seed in (1, 2, 3, 20)]
    texts = [f"m={ID}&seed={seed}&psi=0.7" for seed in (1, 2, 3, 20)]
    assert rows == [["file", "recipe"], *map(list, zip(names, texts, strict=True))]
    assert sorted(os.listdir(tmp_path / "p")) == ["recipes.csv", *names]
    model = load(TINY)
    for name, text in zip(names, texts, strict=True):
        assert read_png(tmp_path / "p" / name) == text
        alone = model.render(Recipe.from_query(text)).astype(int)
        assert np.abs(alone - pixels(tmp_path / "p" / name)).max() <= 1


def test_n_pictures_into_a_folder(tmp_path):
    assert run("seed=8&n=3", "-o", tmp_path) == 0
    assert sorted(os.listdir(tmp_path)) == [
        "recipes.csv",
        "seed00008.png",
        "seed00009.png",
        "seed00010.png",
    ]
    assert read_png(tmp_path / "seed00010.png") == f"m={ID}&seed=10"


SHELF = f"t=shelf&m={ID}&p=seed=7;psi=0.5&p=seed=3;mix=9:0-1&p=t=edit;seed=7;e=warmth:2"


def test_a_shelf_into_a_folder(tmp_path, capsys):
    assert run(f"https://example.org/?{SHELF}", "-o", tmp_path / "p") == 0
    out, err = capsys.readouterr()
    assert out == f"{tmp_path}/p: 3 pictures and recipes.csv\n" and "note" not in err
    model = load(TINY)
    for i, recipe in enumerate(read_link(SHELF).pictures, 1):
        assert read_png(tmp_path / f"p/00{i}.png") == recipe.to_query()
        drawn = pixels(tmp_path / f"p/00{i}.png").astype(int)
        assert np.abs(drawn - model.render(recipe)).max() <= 1
    write_zip(tmp_path / "a.zip", [], SHELF)
    assert run(tmp_path / "a.zip", "-o", tmp_path / "q") == 0
    assert (tmp_path / "q/002.png").read_bytes() == (tmp_path / "p/002.png").read_bytes()
    capsys.readouterr()
    assert run("t=shelf&p=m=other@1;seed=1", "-o", tmp_path / "r") == 0
    assert "note: the recipe is of other@1" in capsys.readouterr().err
    assert "many files" in refusal(capsys, SHELF, "-o", tmp_path / "a.png")
    assert "leave --seeds out" in refusal(capsys, SHELF, "-o", tmp_path, "--seeds", "1")
    assert "picture 1 of the shelf" in refusal(capsys, "t=shelf&p=seed=x", "-o", tmp_path)
    assert "classes" in refusal(capsys, "t=shelf&p=c=9", "-o", tmp_path)


def test_a_second_run_draws_only_what_is_missing_or_other(tmp_path, monkeypatch):
    drawn = []
    draw = Model.draw

    def spy(model, recipes):
        drawn.append([recipe.seed for recipe in recipes])
        return draw(model, recipes)

    monkeypatch.setattr(Model, "draw", spy)
    assert run("--seeds", "0-5", "-o", tmp_path) == 0
    (tmp_path / "seed00001.png").unlink()
    (tmp_path / "seed00002.png").write_bytes(b"cut off")
    (tmp_path / "seed00003.png").write_bytes(
        png_bytes(np.zeros((4, 4), np.uint8), f"m={ID}&seed=3")
    )
    (tmp_path / "seed00004.png").write_bytes(png_bytes(np.zeros((16, 16), np.uint8), "seed=4"))
    (tmp_path / "mine.png").write_bytes(b"not a picture")
    assert run("--seeds", "0-7", "-o", tmp_path) == 0
    assert drawn == [[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 6, 7]]
    assert (tmp_path / "recipes.csv").read_text().count("\n") == 9
    assert run("--seeds", "0-7", "-o", tmp_path, "--enlarge", "2") == 0
    assert drawn[2] == list(range(8))


def test_ctrl_c_keeps_what_is_drawn_and_goes_on(tmp_path, monkeypatch, capsys):
    draw = Model.draw

    def stopped(model, recipes):
        for i, picture in enumerate(draw(model, recipes)):
            if i == 3:
                raise KeyboardInterrupt
            yield picture

    monkeypatch.setattr(Model, "draw", stopped)
    assert run("--seeds", "0-9", "-o", tmp_path) == 75
    assert capsys.readouterr().err.endswith("stopped at 3 of 10; the same line goes on\n")
    assert (tmp_path / "recipes.csv").read_text().count("\n") == 4
    assert len(os.listdir(tmp_path)) == 4
    monkeypatch.undo()
    assert run("--seeds", "0-9", "-o", tmp_path) == 0
    assert (tmp_path / "recipes.csv").read_text().count("\n") == 11


def test_another_models_recipe_is_drawn_with_a_note(tmp_path, capsys):
    assert run("m=other@1234567890&seed=7", "-o", tmp_path / "a.png") == 0
    err = capsys.readouterr().err
    assert err == f"stylegan: note: the recipe is of other@1234567890; drawn with {ID}\n"
    assert read_png(tmp_path / "a.png") == f"m={ID}&seed=7"
    assert run("m=tiny-16@0000000000&seed=7", "-o", tmp_path / "a.png") == 0
    assert "note: the recipe is of tiny-16@0000000000" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["seed=4294967296"], "seed"),
        (["sed=7"], 'unknown name "sed"'),
        (["https://example.org/?seed=7&utm_source=x"], 'unknown name "utm_source"'),
        (["portrait"], "neither a recipe, such as seed=7, nor a PNG"),
        (["absent.png"], "neither a recipe, such as seed=7, nor a PNG"),
        (["c=9"], "c 9: tiny-16 has classes 0 to 2"),
        (["e=smile:1"], "no direction smile"),
        (["seed=7", "--seeds", "1-3"], "--seeds stands in place of"),
        (["--seeds", "1-3"], "--seeds writes many files"),
        (["--seeds", "3-1"], "run backwards"),
        (["--enlarge", "two"], "invalid int value"),
        (["--enlarge", "0"], "enlarged by 1 to 1024, not 0"),
        (["--enlarge", "5000"], "enlarged by 1 to 1024, not 5000"),
        (["--device", "toaster"], "there is no device toaster"),
        (["--psi", "1"], "--psi"),
    ],
)
def test_wrong_lines_end_in_one_sentence(tmp_path, capsys, line, words):
    out = tmp_path / "out.png"
    if line[-1] == "toaster":
        code = program.main(["render", "-o", str(out), "--model", str(TINY), *line])
    else:
        code = run(*line, "-o", out)
    err = capsys.readouterr().err
    assert code == 2 and words in err and err.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_outputs_that_cannot_be(tmp_path, capsys):
    assert "written as PNG" in refusal(capsys, "seed=1", "-o", tmp_path / "a.jpg")
    (tmp_path / "plain").write_text("mine")
    assert "is a file" in refusal(capsys, "seed=1", "-o", tmp_path / "plain")
    assert (tmp_path / "plain").read_text() == "mine"
    (tmp_path / "folder.png").mkdir()
    assert "is a folder" in refusal(capsys, "seed=1", "-o", tmp_path / "folder.png")
    query = f"w={pack_latent(np.zeros(16))}"
    assert "name a .png" in refusal(capsys, query, "-o", tmp_path / "many")
    below = tmp_path / "plain/a.png"
    assert "plain" in refusal(capsys, "seed=1", "-o", below, code=1)


def test_a_png_without_a_recipe_and_other_files(tmp_path, capsys):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"\xff\xd8\xff")
    out = tmp_path / "out.png"
    assert "a.png carries no recipe" in refusal(capsys, tmp_path / "a.png", "-o", out)
    assert "b.png: this is not a PNG" in refusal(capsys, tmp_path / "b.png", "-o", out)


def test_models_that_cannot_be(tmp_path, capsys, monkeypatch):
    line = ["render", "seed=1", "-o", str(tmp_path / "a.png")]
    assert program.main([*line, "--model", str(tmp_path)]) == 2
    assert "it has no config.json" in capsys.readouterr().err
    monkeypatch.setattr(parts, "DEFAULT_MODEL", tmp_path / "absent")
    assert program.main(line) == 2
    assert "name a model with --model" in capsys.readouterr().err
    monkeypatch.setattr(parts, "DEFAULT_MODEL", TINY)
    assert program.main(line) == 0
    assert parts.DEFAULT_MODEL == TINY


@pytest.mark.parametrize("command", ["", "render", "walk", "mix"])
def test_help_opens_with_two_lines_to_paste(capsys, command):
    with pytest.raises(SystemExit) as end:
        program.main([*command.split(), "--help"])
    assert end.value.code == 0
    for line in capsys.readouterr().out.splitlines()[:2]:
        assert line.startswith(f"python -m stylegan {command}")


def test_no_command_shows_the_help(capsys):
    assert program.main([]) == 2
    assert capsys.readouterr().err.startswith("python -m stylegan render ")


def test_as_a_process_stopped_by_ctrl_c(tmp_path):
    line = [sys.executable, "-m", "stylegan", "render", "--seeds", "0-99999", "-o", str(tmp_path)]
    with subprocess.Popen(
        [*line, "--model", str(TINY)], cwd=ROOT, stderr=subprocess.PIPE
    ) as process:
        process.stderr.read(1)  # the progress bar: it draws
        while not list(tmp_path.glob("*.png")) and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        err = process.stderr.read().decode()
    assert process.returncode == 75, err
    assert "Traceback" not in err and "the same line goes on" in err
    assert [p.name for p in tmp_path.iterdir() if ".tmp" in p.name] == []
    assert (
        len((tmp_path / "recipes.csv").read_text().splitlines())
        == len(list(tmp_path.glob("*.png"))) + 1
    )

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylegan import __main__ as program
from stylegan.mix import Mix
from stylegan.model import load
from stylegan.query import pack_latent
from stylegan.sheet import draw_sheet
from stylegan.stamp import read_png

TINY = Path(__file__).resolve().parents[1] / "tests/links/tiny-16"
ID = load(TINY).id
LATENT = pack_latent(np.linspace(-1, 1, 16))


def run(*line):
    return program.main(["mix", *map(str, line), "--model", str(TINY), "--device", "cpu"])


def test_a_table_with_its_recipe(tmp_path, capsys):
    out = tmp_path / "new/mix.png"
    line = ["--rows", "1,2,3", "--cols", f"4,{LATENT}", "--layers", "0-1,4", "--psi", "0.7"]
    assert run(*line, "-o", out) == 0
    text = f"t=mix&m={ID}&row=1,2,3&col=4,{LATENT}&layers=0-1,4&psi=0.7"
    assert capsys.readouterr().out == f"{out}: {text}\n"
    assert read_png(out) == text and os.listdir(out.parent) == ["mix.png"]
    model, mix = load(TINY), Mix((1, 2, 3), (4, LATENT), (0, 1, 4), psi=0.7)
    with Image.open(out) as image:
        found = np.asarray(image)
    assert np.array_equal(found, draw_sheet(mix, model.table(mix), model.config, 8))
    cell = found[-2 * 128 : -128, -128:][4::8, 4::8].astype(int)
    assert np.abs(cell - model.render(mix.cell(1, 1))).max() <= 1


def test_a_link_and_a_png_give_the_same_table(tmp_path, capsys):
    text = f"t=mix&m={ID}&row=1,2&col=3&layers=2-5"
    for source in (text, f"https://example.org/x/?{text}#top", tmp_path / "0.png"):
        assert run(source, "-o", tmp_path / "0.png", "--enlarge", 1) == 0
        assert read_png(tmp_path / "0.png") == text
    assert "note" not in capsys.readouterr().err
    assert run(tmp_path / "0.png", "--cols", "7-8", "-o", tmp_path / "1.png") == 0
    assert read_png(tmp_path / "1.png") == f"t=mix&m={ID}&row=1,2&col=7,8&layers=2-5"


@pytest.mark.parametrize(("name", "rows"), [("coarse", "0-1"), ("middle", "2-3"), ("fine", "4-5")])
def test_layers_by_name(tmp_path, name, rows):
    assert run("--layers", name, "-o", tmp_path / "a.png", "--enlarge", 1) == 0
    assert read_png(tmp_path / "a.png") == f"t=mix&m={ID}&layers={rows}"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["--rows", "1,x"], 'seeds "x" are not whole numbers'),
        (["--layers", "rough"], 'layers: "rough" are not rows first-last, as in 0-3'),
        (["--layers", "0-6"], "rows 0-6: tiny-16 has rows 0 to 5"),
        (["--layers", "fine", "--c", "3"], "c 3: tiny-16 has classes 0 to 2"),
        (["--psi", "much"], 'psi "much" is not a number from -5 to 5'),
        (["row=1&speed=3"], 'unknown name "speed"'),
        (["t=walk"], 't "walk" is not one of mix'),
        (["absent.png"], "neither a recipe, such as t=mix&row=1-3&col=4-6, nor a PNG"),
        (["--enlarge", "0"], "cells of 16 pixels are enlarged by 1 to 255, not 0"),
        (["--speed", "1"], "--speed"),
    ],
)
def test_wrong_lines_end_in_one_sentence(tmp_path, capsys, line, words):
    assert run(*line, "-o", tmp_path / "a.png") == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("stylegan: ") and err.count("\n") == 1 and words in err
    assert os.listdir(tmp_path) == []


def test_outputs_that_cannot_be(tmp_path, capsys):
    assert run("-o", tmp_path / "a.jpg") == 2
    assert "written as PNG" in capsys.readouterr().err
    assert run("-o", tmp_path / "folder") == 2
    assert "a table is one file; name a .png" in capsys.readouterr().err

"""docs/terms.py draws the pictures of docs/terms.md."""

import re
import sys

import pytest
from PIL import Image
from reading import ROOT
from training_data import write_pictures

import stylegan
from docs import terms
from stylegan import stamp
from stylegan.recipe import Recipe
from tests.app_server import TINY

TEXT = (ROOT / "docs" / "terms.md").read_text(encoding="utf-8")


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """The pictures of the tiny model, drawn into a folder of their own."""
    model = stylegan.load(TINY)
    data = write_pictures(tmp_path / "discs.zip", n=12)
    (tmp_path / "grids").mkdir()
    cells = [model.render(Recipe(seed=i)) for i in range(64)]
    for kimg in ("000000", "000020"):
        Image.fromarray(stamp.grid(cells)).save(tmp_path / "grids" / f"{kimg}.png")
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(terms, "HERE", tmp_path / "out")
    monkeypatch.setattr(terms, "PROJECTED", (3,))
    monkeypatch.setattr(terms, "EDIT", next(iter(model.directions)))
    flags = ["--model", str(TINY), "--data", str(data), "--grids", str(tmp_path / "grids")]
    monkeypatch.setattr(sys, "argv", ["docs.terms", *flags])
    terms.main()
    return tmp_path / "out"


def test_every_picture_is_drawn_and_columns_are_those_of_the_grids(drawn):
    shown = set(re.findall(r"\]\((terms-\w+\.png)\)", TEXT))
    assert {path.name for path in drawn.iterdir()} == shown and len(shown) == 4
    with Image.open(drawn / "terms-kimg.png") as image:
        picture = image.convert("RGB")
        side, left, top = 16, image.width - 16, image.height - 16
        last = picture.crop((left, top, image.width, image.height))
        before = picture.crop((left - side, top, left, image.height))
        new = picture.crop((left - 2 * side, top, left - side, image.height))
    assert last.tobytes() == before.tobytes(), "both grids hold the same"
    assert new.tobytes() != last.tobytes(), "what has learned nothing draws something else"

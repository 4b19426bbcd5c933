"""The page of a run: one file, safe whatever the names are, whatever is missing."""

import base64
import io
import json
import re
from itertools import pairwise

import pytest
from PIL import Image
from written_runs import SETTINGS, picture, tick, write_run

from stylegan import offline, run_page
from stylegan.runs import read_run

EVIL = "<script>alert(1)</script>' onload='x"


@pytest.fixture
def folder(tmp_path):
    lines = [tick(k, swd=value) for k, value in ((1, 9.0), (2, 5.0), (3, 7.0))]
    return write_run(tmp_path / "run", lines, floor=4.0, grids=(0, 1, 2, 3))


@pytest.fixture(autouse=True)
def quick_curves(monkeypatch):
    """They are drawn in their own tests."""
    monkeypatch.setattr(offline.curves, "draw_panel", lambda panel, runs, axis: axis)
    monkeypatch.setattr(offline.curves, "svg", lambda axis: f"<svg>{axis}</svg>".encode())


def page(folder, state=""):
    return run_page.page(read_run(folder), state)


def images(text):
    """Kind and content of the pictures in it."""
    found = re.findall(r"src='data:image/([a-z+]+);base64,([^']+)'", text)
    return [(kind, base64.b64decode(data)) for kind, data in found]


def opened(data):
    return Image.open(io.BytesIO(data)).convert("RGB")


def rows(text, title):
    """Cells of the table under a heading, without their marks."""
    section = text.split(f"<h2>{title}</h2>")[1].split("</table>")[0]
    return [
        [re.sub("<[^>]+>", "", cell) for cell in re.split("<t[dh][^>]*>", row)[1:]]
        for row in section.split("<tr>")[1:]
    ]


def test_it_is_one_file_that_loads_nothing(folder):
    text = page(folder)
    assert "default-src 'none'" in text and text.count("<script>") == 1
    outside = re.findall(r"(?:src|href)=['\"]?(?!['\"]?data:)[^ >]*|url\(|@import|https?://", text)
    assert outside == []


def test_what_it_shows(folder):
    text = page(folder, "done at 3.0 kimg")
    assert "<h1>run</h1>" in text and "3.0 kimg in 0.03 hours on cpu (test)" in text
    assert "done at 3.0 kimg" in text
    kinds = [kind for kind, _ in images(text)]
    assert kinds == ["webp"] * 2 + ["svg+xml"] * 12 + ["webp"] * 4
    assert rows(text, "Metrics") == [
        ["kimg", "hours", "swd"],
        ["floor", "", "4.00"],
        ["3.0", "0.03", "7.00"],
        ["2.0", "0.02", "5.00"],
        ["1.0", "0.01", "9.00"],
    ]
    assert "<span class='best'>5.00</span>" in text
    assert ["images", "3,000"] in rows(text, "Cost")
    assert ["seconds per kimg", "36.00"] in rows(text, "Cost")
    assert ["pictures", "12"] in rows(text, "Data")


def test_the_time_lapse_holds_the_grids_in_order(folder):
    section = page(folder).split("<h2>Over time</h2>")[1].split("<h2>")[0]
    names = re.findall("<img (hidden )?alt='([^']+)'", section)
    hidden = "hidden "
    assert names == [(hidden, "0 kimg"), (hidden, "1 kimg"), (hidden, "2 kimg"), ("", "3 kimg")]
    red = [
        Image.open(io.BytesIO(data)).convert("RGB").getpixel((9, 9))[0]
        for _, data in images(section)
    ]
    assert red == pytest.approx([0, 1, 2, 3], abs=2)
    assert "max='3' value='3'" in section


def test_many_grids_are_thinned_and_large_ones_made_small(folder):
    for kimg in range(4, 200):
        picture(folder / "grids" / f"{kimg:06d}.png", (1, 2, 3), side=8)
    picture(folder / "grids" / "000200.png", (1, 2, 3), side=1500)
    grids = read_run(folder).grids
    kept = run_page.thinned(grids)
    assert len(kept) == run_page.MOST_FRAMES and kept[0] == grids[0] and kept[-1] == grids[-1]
    gaps = {b.kimg - a.kimg for a, b in pairwise(kept)}
    assert gaps <= {4, 5}
    sizes = [
        Image.open(io.BytesIO(data)).width for kind, data in images(page(folder)) if kind == "webp"
    ]
    assert sizes[0] == run_page.GRID_PX and sizes[-1] == run_page.FRAME_PX


@pytest.mark.parametrize("colour", [(7,), (1, 2, 3), (1, 2, 3, 0)])
def test_grids_of_any_kind(folder, colour):
    picture(folder / "grids" / "000003.png", colour)
    newest = opened(images(page(folder))[0][1]).getpixel((5, 5))
    expected = {1: (7, 7, 7), 3: (1, 2, 3), 4: (255, 255, 255)}[len(colour)]
    assert newest == pytest.approx(expected, abs=3)


def test_settings_are_told_by_how_they_differ_from_the_preset(tmp_path):
    network = {"resolution": 16, "channels": 3, "c_dim": 0, "z_dim": 128, "channel_base": 77}
    settings = {"preset": "tiny", "batch": 4, "mirror": False, "kimg": 9.0, "network": network}
    text = page(write_run(tmp_path / "run", [tick(1)], settings))
    told, everything = text.split("<h2>Settings</h2>")[1].split("<details>")[:2]
    assert rows(f"<h2>x</h2>{told}", "x")[:2] == [
        ["setting", "here", "preset tiny"],
        ["batch", "4", "16"],
    ]
    assert "network.channel_base" in told and "4096" in told
    assert "mirror" not in told and "z_dim" not in told and "kimg" not in told
    assert "mirror" in everything and "network.z_dim" in everything


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({**SETTINGS, "preset": "no such"}, "There is no preset no such to compare them with"),
        ({"batch": 4}, "There is no preset - to compare them with"),
        ({"preset": ["tiny"], "network": {"resolution": "64"}}, "There is no preset"),
        (
            {"preset": "tiny", "network": {"resolution": 64, "channels": 3}},
            "Those of the preset tiny",
        ),
    ],
)
def test_settings_without_a_preset_to_compare(tmp_path, settings, said):
    assert said in page(write_run(tmp_path / "run", [tick(1)], settings))


def test_names_and_words_are_only_text(tmp_path):
    settings = {**SETTINGS, "resume_from": EVIL, "preset": EVIL, EVIL: EVIL}
    folder = write_run(tmp_path / "<i>run' x=", [tick(1, **{f"Metrics/{EVIL}": 3.0})], settings)
    (folder / "resume-from.txt").write_text(f"took\n{EVIL}\x1b[31m")
    note = {"settings": {"fit": EVIL}, "classes": [EVIL], "skipped": [[EVIL, EVIL]]}
    (folder / "prepare.json").write_text(json.dumps(note))
    text = page(folder, EVIL)
    assert text.count("<script>") == 1 and "onload='" not in text and "\x1b" not in text
    assert "<i>run" not in text and "&lt;i&gt;run&#x27; x=" in text
    tags = set(re.findall("<([a-z0-9]+)", re.sub("<(style|script)>.*?</", "", text, flags=re.S)))
    known = "html head meta title body h1 h2 p div figure figcaption img table tr th td span pre"
    assert tags <= {*known.split(), *["input", "label", "button", "output", "details", "summary"]}


def test_what_is_missing_is_said(tmp_path):
    text = page(write_run(tmp_path / "run"))
    for words in (
        "no tick yet",
        "generated: there is no picture",
        "real pictures: there is no picture",
        "No curves yet",
        "No metric was measured yet",
        "There are no grids yet",
    ):
        assert words in text
    assert "nan" not in re.sub("<style>.*</style>", "", text)


def test_a_grid_that_cannot_be_read_leaves_the_page_whole(folder):
    (folder / "grids" / "000003.png").write_bytes(b"no picture")
    text = page(folder)
    assert "seeds 0, 1, ... at 3 kimg, psi 1: there is no picture" in text
    assert "max='2' value='2'" in text


def test_a_page_takes_the_place_of_the_one_before(folder):
    path = folder / "index.html"
    for state in ("in its youth", "of age"):
        run_page.write_page(read_run(folder), path, state)
    assert "of age" in path.read_text() and "in its youth" not in path.read_text()

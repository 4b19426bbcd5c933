import json
import struct
import zlib
from pathlib import Path

import pytest

from stylegan.config import NetworkConfig, UserError
from stylegan.mix import Mix
from stylegan.recipe import Edit, Recipe, RowMix
from stylegan.stamp import write_png
from stylegan.tabs.link import open_address, open_file, welcome
from stylegan.tabs.session import Session
from stylegan.walk import Walk

LINKS = Path(__file__).parent / "links"


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return Session([LINKS / "tiny-16"], tmp_path_factory.mktemp("files"), "cpu")


@pytest.mark.parametrize("search", ["", "?", "?utm_source=mail&__theme=dark&fbclid=1", "#top"])
def test_a_bare_address_shows_the_default_picture_among_others(session, search):
    opened = open_address(search, session)
    assert opened.value == Recipe(n=16) == welcome(session.first)
    assert opened.model is session.first
    assert opened.notes == []


@pytest.mark.parametrize(
    ("search", "recipe"),
    [
        ("?seed=7&psi=0.7", Recipe(seed=7, psi=0.7)),
        ("?seed=0", Recipe()),
        ("?n=4&utm_source=mail", Recipe(n=4)),
        (
            "?seed=1&mix=9:0-1&e=warmth:1.5",
            Recipe(seed=1, mix=[RowMix(9, 0, 1)], e=[Edit("warmth", 1.5)]),
        ),
        ("https://example.org/app/?seed=3#x", Recipe(seed=3)),
    ],
)
def test_a_link_is_its_recipe(session, search, recipe):
    opened = open_address(search, session)
    assert opened.value == recipe
    assert opened.notes == []


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ("?psi=abc", 'psi "abc" is not a number'),
        ("?seed=-1", "seed"),
        ("?seed=4294967296", "4294967295"),
        ("?n=65", "from 1 to 64"),
        ("?c=9", "classes 0 to 2"),
        ("?seed=1&seed=2", "given twice"),
        ("?w=%00%ff", "w"),
        ("?e=nose:2", "no direction nose"),
        ("?mix=1:0-15", "rows 0 to 5"),
        ("?t=nonsense", "t"),
        ("?m=" + "x" * 300, "m"),
        ("?psi=" + "9" * 2_000_000, "longer than"),
        ("?" + "seed=1&" * 500, "parts"),
    ],
)
def test_a_bad_link_is_told_and_the_default_shown(session, search, said):
    opened = open_address(search, session)
    assert opened.value == welcome(session.first)
    assert len(opened.notes) == 2
    assert said in opened.notes[0]
    assert len(opened.notes[0]) < 300
    assert "default" in opened.notes[1]


def test_unknown_names_are_never_echoed(session):
    opened = open_address("?<script>evil</script>=evil&psi=abc", session)
    assert not any("evil" in note for note in opened.notes)


def test_another_revision_is_told_and_drawn_with_what_there_is(session):
    for name in ("tiny-16@0000000000", "gone@0000000000"):
        opened = open_address(f"?m={name}&seed=5", session)
        assert opened.value.seed == 5
        assert opened.model is session.first
        assert len(opened.notes) == 1
        assert name in opened.notes[0] and session.first.id in opened.notes[0]


def test_a_missing_model_and_what_only_it_has_are_told_together(session):
    opened = open_address("?m=gone@0000000000&c=77", session)
    assert opened.value == welcome(session.first)
    assert "gone@0000000000" in opened.notes[0] and "c 77" in opened.notes[0]


def test_each_kind_of_link_belongs_to_its_tab(session):
    tabs = {
        "?seed=5": "seeds",
        "?t=edit&seed=5&e=warmth:1": "edit",
        "?t=walk": "walk",
        "?t=walk&seed=1-3&frames=5": "walk",
        "?t=mix&row=1,2&col=3": "mix",
        "?t=mix&seed=1&mix=3:0-1": "mix",
        "?t=mix&seed=1&mix=3:0-1&mix=4:2-3": "seeds",
        "?t=mix&seed=1&mix=3:0-1&e=warmth:1": "seeds",
    }
    for search, tab in tabs.items():
        opened = open_address(search, session)
        assert (opened.tab, opened.notes) == (tab, [])
    assert open_address("?t=walk&seed=1-3&frames=5", session).value == Walk((1, 2, 3), frames=5)
    assert open_address("?t=mix&row=1,2&col=3", session).value == Mix((1, 2), (3,))


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ("?t=walk&seed=1-3&c=9", "classes 0 to 2"),
        ("?t=mix&row=1&col=2&layers=4-9", "rows 4-9"),
        ("?t=mix&row=1&col=AAAAAAAAAAAAAAAAAAAAAA", "w holds 8 numbers"),
        ("?t=walk&frames=0", "frames"),
    ],
)
def test_a_walk_or_table_that_the_model_cannot_draw(session, search, said):
    opened = open_address(search, session)
    assert opened.value == welcome(session.first)
    assert said in opened.notes[0]


def test_larger_models_begin_with_fewer_pictures(session, monkeypatch):
    for side, n in ((64, 16), (256, 4), (1024, 1)):
        config = NetworkConfig(resolution=side)
        assert welcome(type("Model", (), {"config": config})).n == n


# PNG files


def stamped(path, session, recipe, page=None):
    file = session.picture(session.first, recipe, page=page)
    path.write_bytes(file.read_bytes())
    return path


def test_a_saved_picture_brings_its_page_back(session, tmp_path):
    page = session.first.stamped(Recipe(seed=4, psi=0.3, noise=6, n=9))
    path = stamped(tmp_path / "a.png", session, Recipe(seed=4, psi=0.3, noise=6), page)
    assert open_file(path, session).value == page


def test_a_saved_cell_brings_its_table_back(session, tmp_path):
    table = session.first.stamped(Mix((1, 2), (3, 4), (0, 1, 4), psi=0.3))
    for one in (table.cell(1, 0), table.source(4)):
        opened = open_file(stamped(tmp_path / "a.png", session, one, table), session)
        assert (opened.value, opened.one, opened.tab) == (table, one, "mix")
    other = stamped(tmp_path / "b.png", session, table.source(9), table)
    assert open_file(other, session).value == table.source(9), "it is not in that table"


def test_a_page_of_another_picture_is_not_believed(session, tmp_path):
    recipe = session.first.stamped(Recipe(seed=4))
    path = stamped(tmp_path / "a.png", session, recipe, page=Recipe(seed=5, n=9))
    assert open_file(path, session).value == recipe


@pytest.mark.parametrize("aged", json.loads((LINKS / "links.json").read_text()))
def test_links_and_files_of_every_age_open(session, aged):
    linked = open_address(aged["link"], session)
    dropped = open_file(LINKS / aged["picture"], session)
    assert linked == dropped
    assert linked.model is session.first
    assert linked.notes == []


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def hostile(text=b"seed=1", side=20_000):
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"tEXt", b"stylegan-recipe\0" + text)
        + chunk(b"IEND", b"")
    )


def test_no_pixel_of_a_file_is_decoded(session, tmp_path):
    (tmp_path / "huge.png").write_bytes(hostile())
    assert open_file(tmp_path / "huge.png", session).value == Recipe(seed=1)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a PNG"),
        (b"GIF89a...", "carries no recipe"),
        (b"\x89PNG\r\n\x1a\n", "carries no recipe"),
        (hostile()[:60], "damaged|no recipe"),
        (hostile(b"psi=abc"), "psi"),
        (hostile(b"seed=1&c=9"), "classes"),
        (hostile(b"x" * 2_000_000), "damaged|no recipe|longer"),
    ],
)
def test_other_files_are_refused_in_words(session, tmp_path, data, said):
    (tmp_path / "file.png").write_bytes(data)
    with pytest.raises(UserError, match=said):
        open_file(tmp_path / "file.png", session)


def test_a_png_from_elsewhere(session, tmp_path):
    write_png(tmp_path / "a.png", session.first.render(Recipe()), "m=gone@0000000000&seed=5")
    opened = open_file(tmp_path / "a.png", session)
    assert opened.value.seed == 5
    assert "gone@0000000000" in opened.notes[0]

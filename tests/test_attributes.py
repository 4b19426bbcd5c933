import math

import numpy as np
import pytest
import torch
from training_data import write_pictures

from stylegan.attributes import (
    TableError,
    parse_attribute,
    parse_color_between,
    read_labels,
    read_table,
)
from stylegan.data import Pictures
from stylegan.pictures import PictureError


@pytest.fixture
def pictures(tmp_path):
    """Twelve pictures, 00000/img00000000.png and so on."""
    return Pictures(write_pictures(tmp_path / "data.zip"))


def table(tmp_path, lines, encoding="utf-8"):
    path = tmp_path / "table.csv"
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


def names(n):
    return [f"img{i:08d}.png" for i in range(n)]


# Attributes


@pytest.mark.parametrize(
    ("text", "cells", "values"),
    [
        ("age", ["3", "-1.5", "", "1e2"], [3, -1.5, None, 100]),
        ("old=age:20..40.5", ["19", "20", "40.5", "41", ""], [None, 20, 40.5, None, None]),
        ("age:-3..-1", ["-4", "-2", "0"], [None, -2, None]),
        ("woman=sex:woman/man", ["woman", "man", "person", "wo"], [1, 0, None, None]),
        ("a=sex:woman|girl", ["woman", "girl", "man", ""], [1, 1, 0, None]),
        ("a=sex:woman|girl/man|boy", ["girl", "boy", "baby"], [1, 0, None]),
        ("hat=clothes~hat|^cap", ["red hat", "cap", "no cap", ""], [1, 1, 0, None]),
        ("hat=my clothes~hat/^(coat|scarf)$", ["hat", "coat", "coats"], [1, 0, None]),
        ("a=b~^[a-c]:=~x", ["a:=~x", "d"], [1, 0]),
    ],
)
def test_what_an_attribute_says_of_a_cell(text, cells, values):
    attribute = parse_attribute(text)
    for cell, value in zip(cells, values, strict=True):
        found = attribute.value(cell)
        assert math.isnan(found) if value is None else found == value, cell


def test_names_and_columns():
    for text, name, column in (
        ("age", "age", "age"),
        (" old = how old ", "old", "how old"),
        ("age:1..2", "age", "age"),
        ("a.b-c_d=x~y", "a.b-c_d", "x"),
    ):
        attribute = parse_attribute(text)
        assert (attribute.name, attribute.column) == (name, column)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no attribute, such as COLUMN"),
        ("a=", "is no attribute"),
        ("how old", "'how old' is no name for a direction"),
        ("a=b:", "ends in :; say what has it"),
        ("a=b~", "ends in ~"),
        ("a=b:/c", "has nothing on one side of its /"),
        ("a=b~c/", "has nothing on one side of its /"),
        ("a=b~(", "'\\(' is no regular expression"),
        ("a=b~x/(", "'\\(' is no regular expression"),
    ],
)
def test_bad_attributes_are_named(text, words):
    with pytest.raises(TableError, match=words):
        parse_attribute(text)


def test_words_where_numbers_should_be_say_what_to_do():
    with pytest.raises(TableError, match=r"sex holds 'woman'.* NAME=sex:VALUE/OTHER"):
        parse_attribute("sex").value("woman")
    with pytest.raises(TableError, match="age holds 'nan', which is no number"):
        parse_attribute("age").value("nan")


# Colours


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_colour_of_a_region(channels):
    images = torch.full((3, channels, 16, 16), 255, dtype=torch.uint8)
    images[1, :3, 12:, 4:12] = 0
    images[2, :3, 12:, 4:12] = 127
    measure = parse_color_between("dark=black/white@0.25,0.75,0.75,1")
    assert measure.name == "dark"
    found = measure.scores(images)
    assert found.tolist() == pytest.approx([-4, 4, 0], abs=0.1)
    above = parse_color_between("dark=black/white@0,0,1,0.5")
    assert above.scores(images).tolist() == pytest.approx([-4] * 3)


def test_clear_parts_count_as_white():
    images = torch.zeros(2, 4, 8, 8, dtype=torch.uint8)
    images[1, 3] = 255
    measure = parse_color_between("dark=black/white@0,0,1,1")
    assert measure.scores(images).tolist() == pytest.approx([-4, 4])


def test_a_region_of_less_than_a_pixel_is_one():
    images = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    images[0, 0, 4, 4] = 255
    measure = parse_color_between("red=#ff0000/#000@0.5,0.5,0.51,0.51")
    assert measure.scores(images).tolist() == pytest.approx([4])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sky=blue", "is not NAME=COLOUR/OTHER@LEFT,TOP,RIGHT,BOTTOM"),
        ("sky=blue/grey@0,0,1", "is not NAME="),
        ("sky=blue/grey@0,0,1,x", "is not NAME="),
        ("sky=blue/grey@0,0,1,1.5", "is not NAME="),
        ("sky=blue/grey@0.5,0,0.5,1", "is not NAME="),
        ("sky=blue/grey@nan,0,1,1", "is not NAME="),
        ("=blue/grey@0,0,1,1", "is no name for a direction"),
        ("sky=blue/#00f@0,0,1,1", "names the same colour twice"),
    ],
)
def test_bad_colours_are_named(text, words):
    with pytest.raises(TableError, match=words):
        parse_color_between(text)
    with pytest.raises(PictureError, match="'bluu' is not a colour"):
        parse_color_between("sky=bluu/grey@0,0,1,1")


# Tables


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_table_is_read(tmp_path, mark, encoding):
    lines = [mark.join(cells) for cells in (["file", "size"], ["ä.png", " 2 "], ["b", '"x"'])]
    found = read_table(table(tmp_path, [*lines, ""], encoding))
    assert found.columns == ("file", "size")
    assert found.rows == {"ä.png": {"file": "ä.png", "size": "2"}, "b": {"file": "b", "size": "x"}}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([""], "is no CSV table"),
        (["file"], "is not the names of two or more columns"),
        (["file,a,a", "x,1,2"], "is not the names of two or more columns"),
        (["file,a", "x"], "'x' has 1 cells, not 2"),
        (["file,a", "x,1", "x,2"], "'x' stands there twice"),
    ],
)
def test_bad_tables_are_refused(tmp_path, lines, words):
    with pytest.raises(TableError, match=words):
        read_table(table(tmp_path, lines))
    with pytest.raises(TableError, match="there is no table"):
        read_table(tmp_path / "absent.csv")
    with pytest.raises(TableError, match="is not text in UTF-8"):
        read_table(table(tmp_path, ["file,ä"], "latin-1"))


def test_rows_find_their_pictures_by_path_or_name(tmp_path, pictures):
    lines = ["file,a", *(f"{name},{i}" for i, name in enumerate(names(11)))]
    lines[3] = "00000/img00000002.png,2"
    found = read_table(table(tmp_path, lines)).of(pictures)
    assert [row and row["a"] for row in found] == [*map(str, range(11)), None]
    with pytest.raises(
        TableError, match=r"names none of the pictures of .*data\.zip, such as 00000"
    ):
        read_table(table(tmp_path, ["file,a", "x.png,1"])).of(pictures)


def test_a_name_of_two_pictures_is_refused(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(Pictures, "names", [f"{i // 6}/{i % 6}.png" for i in range(12)])
    with pytest.raises(TableError, match=r"1.png means several pictures; write their paths"):
        read_table(table(tmp_path, ["file,a", "1.png,1"])).of(pictures)
    by_path = read_table(table(tmp_path, ["file,a", "0/1.png,1", "1/1.png,2"])).of(pictures)
    assert [row["a"] for row in by_path if row] == ["1", "2"]


def test_labels_and_groups(tmp_path, pictures):
    rows = [f"{name},{i},{'x' if i % 2 else 'y'},{i // 4}" for i, name in enumerate(names(10))]
    rows[3] = rows[3].replace(",x,", ",,")
    rows[8] = rows[8][:-1]
    found = read_labels(
        pictures,
        read_table(table(tmp_path, ["file,age,mood,who", *rows])),
        [parse_attribute(text) for text in ("age", "x=mood:x")],
        "who",
    )
    assert found.places.tolist() == list(range(10))
    assert np.allclose(found.values[:, 0], np.arange(10) / 9)
    assert found.has[:, 0].tolist() == [0.0] * 5 + [1.0] * 5
    assert np.isnan(found.values[3, 1]) and found.values[:3, 1].tolist() == [0, 1, 0]
    groups = found.groups.tolist()
    assert groups[:4] == [0] * 4 and groups[4:8] == [1] * 4
    assert groups[8] not in groups[:8] and groups[9] not in groups[:9]


@pytest.mark.parametrize(
    ("attributes", "group", "words"),
    [
        (["age", "age=mood:x"], None, "age is the name of two attributes"),
        (["size"], None, "has no column size: file, age, mood, who"),
        (["age"], "size", "has no column size"),
        (["x=mood:z"], None, "x: 0 of the 12 pictures with a row in .* have it, in 0 groups"),
        (["x=mood:x"], "who", "have it, in 1 groups; at least 2"),
        (["x=mood:x|y"], None, "x: 0 of the 12 .* have it not"),
        (["same=who"], None, "same: 0 of the 12 .* have it not"),
    ],
)
def test_labels_that_teach_nothing_are_refused(tmp_path, pictures, attributes, group, words):
    rows = [f"{name},{i},{'x' if i < 6 else 'y'},7" for i, name in enumerate(names(12))]
    whole = read_table(table(tmp_path, ["file,age,mood,who", *rows]))
    with pytest.raises(TableError, match=words):
        read_labels(pictures, whole, [parse_attribute(text) for text in attributes], group)

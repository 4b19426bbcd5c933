import dataclasses
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
import torch

from stylegan.checkpoint import save_model
from stylegan.config import NetworkConfig
from stylegan.direction_files import load_directions
from stylegan.networks.generator import Generator
from stylegan.recipe import Edit, Recipe
from stylegan.stamp import read_png
from stylegan.tabs.known import Found
from stylegan.tabs.marking import (
    LEAST_PSI,
    MAX_OWN,
    MAX_PICTURES,
    NEW_PICTURES,
    TRUSTED_MARKS,
    Arrived,
    Marking,
    read_marks,
)
from stylegan.tabs.session import Session

TINY = Path(__file__).parent / "links/tiny-16"


@pytest.fixture(scope="module")
def marking(tmp_path_factory):
    """Of a session with a model of three classes, and a grey one without directions."""
    folder = tmp_path_factory.mktemp("models")
    sizes = {"z_dim": 16, "w_dim": 16, "mapping_layers": 1, "channel_base": 64, "channel_max": 8}
    config = NetworkConfig(resolution=8, channels=1, **sizes)
    save_model(folder / "grey-8", config, {}, Generator(config))
    session = Session([TINY, folder / "grey-8"], folder / "files", "cpu")
    with gr.Blocks(analytics_enabled=False):
        return Marking(session, Found(), gr.Dropdown(session.choices), gr.State())


@pytest.fixture
def model(marking):
    return marking.session.first


@pytest.fixture
def grey(marking):
    return list(marking.session.models.values())[1]


def last(updates):
    *_, end = updates
    return end


def sent(pictures):
    """What the page sends for pictures with marks."""
    return {"cells": [{"query": p.to_query(), "mark": mark} for p, mark in pictures.items()]}


def sorted_by(model, step, count=12, **more):
    """Pictures marked by which way they lie along a step."""
    pictures = [model.stamped(Recipe(seed=seed, **more)) for seed in range(4 * count)]
    pictures.sort(key=lambda picture: float(model.ws(picture)[0, 0] @ step))
    return dict.fromkeys(pictures[-count:], 1) | dict.fromkeys(pictures[:count], -1)


def made(marking, model, marks, name="big smile", own=()):
    return marking._make(sent(marks), name, model.id, own)


def event(**data):
    return SimpleNamespace(_data=data)


# Pictures to mark


def test_the_first_pictures_are_random_ones_like_the_one_that_is_shown(marking, model):
    view = SimpleNamespace(start=Recipe(psi=0.7, c=2))
    cells = last(marking._first(None, model.id, view))["cells"]
    pictures = [Recipe.from_query(cell["query"]) for cell in cells]
    assert len({picture.seed for picture in pictures}) == NEW_PICTURES
    assert {(picture.psi, picture.c, picture.m) for picture in pictures} == {(0.7, 2, model.id)}
    assert [read_png(cell["file"]["path"]) for cell in cells] == [cell["query"] for cell in cells]
    assert last(marking._first({"cells": cells}, model.id, view)) == gr.skip(), "they stay"


def test_pictures_too_much_alike_are_not_offered(marking, grey):
    view = SimpleNamespace(start=Recipe(psi=0, c=2))
    cells = last(marking._first(None, grey.id, view))["cells"]
    assert Recipe.from_query(cells[0]["query"]).psi == LEAST_PSI
    assert Recipe.from_query(cells[0]["query"]).c == 0, "it has no classes"


def test_more_pictures_take_the_places_of_those_without_a_mark(marking, model):
    seeds = [model.stamped(Recipe(seed=seed)) for seed in (5, 6, 7)]
    marks = dict(zip(seeds, (1, 0, -1), strict=True))
    cells = last(marking._more(sent(marks), model.id, None))["cells"]
    queries = [cell["query"] for cell in cells]
    assert queries[:2] == [seeds[0].to_query(), seeds[2].to_query()]
    assert len(cells) == 2 + NEW_PICTURES and seeds[1].to_query() not in queries


def test_pictures_of_other_tabs_come_first_with_their_marks(marking, model):
    here = {model.stamped(Recipe(seed=seed)): 0 for seed in (5, 6)}
    other = model.stamped(Recipe(seed=7, e=(Edit("warmth", 1),)))
    arrived = Arrived(((other, -1), (model.stamped(Recipe(seed=5)), 1)), 1)
    outputs = last(marking._arrive(arrived, sent(here), model.id, None))
    cells = outputs[marking.marks]["cells"]
    assert [(cell["query"].partition("seed=")[2], cell.get("mark")) for cell in cells] == [
        ("7&e=warmth:1", -1),
        ("5", 1),
        ("6", None),
    ]
    assert outputs[marking.fold].open, "they are in sight"


def test_a_picture_that_comes_alone_has_others_beside_it(marking, model, grey):
    arrived = Arrived(((model.stamped(Recipe(seed=7)), 1),), 2)
    of_grey = {grey.stamped(Recipe(seed=1)): 0}
    cells = last(marking._arrive(arrived, sent(of_grey), model.id, None))[marking.marks]["cells"]
    assert [cell["m"] for cell in cells].count(model.id) == 1 + NEW_PICTURES
    assert [cell["m"] for cell in cells].count(grey.id) == 1
    none = last(marking._arrive(None, None, model.id, None))
    assert none == {marking.marks: gr.skip(), marking.fold: gr.skip()}


def test_an_error_while_drawing_is_told(marking, model, monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(marking.session, "draw", full)
    assert "memory" in last(marking._more(None, model.id, None))["status"]


@pytest.mark.parametrize(
    "page",
    [
        None,
        "cells",
        {"cells": 3},
        {"cells": [None, 3, {}, {"query": None}, {"query": 7}, {"query": "seed=x"}]},
    ],
)
def test_what_a_page_sends_can_be_anything(page):
    assert read_marks(page) == []


def test_marks_are_read_as_far_as_they_go(marking, model):
    query = model.stamped(Recipe(seed=1, n=4)).to_query()
    page = {"cells": [{"query": query, "mark": mark} for mark in (1, -1, 0, "1", None, [1], 7)]}
    assert [mark for _, mark in read_marks(page)] == [1, -1, 0, 0, 0, 0, 0]
    assert read_marks(page)[0][0].n == 1
    many = {"cells": [{"query": f"seed={i}"} for i in range(9 * MAX_PICTURES)]}
    assert len(read_marks(many)) == 2 * MAX_PICTURES
    strange = ["seed=1&m=gone@0000000000", "seed=1", model.stamped(Recipe(c=2)).to_query()]
    strange.append(model.stamped(Recipe(e=(Edit("gone", 1),))).to_query())
    found = marking._read({"cells": [{"query": query} for query in strange]})
    assert [picture.c for picture, _ in found] == [2], "the others cannot be drawn here"


# Directions


def test_marks_make_the_direction_that_tells_them_apart(marking, model):
    step = torch.eye(16)[3]
    outputs = made(marking, model, sorted_by(model, step, count=24))
    (own,) = outputs[marking.own]
    assert (own.name, own.label, own.kind, own.m) == ("big-smile", "big smile", "own", model.id)
    spread = marking.found.spread(model)
    turned = spread.white(own.step[None] + spread.mean)[0]
    wanted = (step.double() @ spread.axes.T) * spread.deviations
    cosine = torch.nn.functional.cosine_similarity(turned, wanted, dim=0)
    assert cosine > 0.7
    assert own.note.accuracy > 0.75
    told = outputs[marking.said]
    assert "big smile is a slider now, made of 24 pictures with it, 24 without" in told
    assert f"right about {own.note.accuracy:.0%}" in told
    value = outputs[marking.mine]
    assert value["chosen"] == "big-smile"
    assert [item["direction"] for item in value["own"]] == ["big-smile"]
    assert outputs[marking.save].visible


def test_a_few_marks_make_one_too_but_no_promise(marking, grey):
    marks = sorted_by(grey, torch.eye(16)[0], count=TRUSTED_MARKS - 1)
    outputs = made(marking, grey, marks, "wide")
    assert outputs[marking.own][0].note.accuracy is None
    assert f"With {TRUSTED_MARKS} or more of each you are told" in outputs[marking.said]


def test_made_again_it_is_replaced(marking, model):
    marks = sorted_by(model, torch.eye(16)[3], count=4)
    first = made(marking, model, marks)[marking.own]
    turned = {picture: -mark for picture, mark in marks.items()}
    (again,) = made(marking, model, turned, own=first)[marking.own]
    assert torch.allclose(again.step, -first[0].step, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "give the direction a name first"),
        ("  ", "give the direction a name first"),
        (None, "give the direction a name first"),
        ("warmth", "tiny-16 has a direction warmth; choose another name"),
        ("pca-1", "tiny-16 has a direction pca-1"),
        ("<b>", "is no name for a direction"),
        ("x" * 65, "is no name for a direction"),
    ],
)
def test_a_name_that_cannot_be(marking, model, name, says):
    outputs = made(marking, model, sorted_by(model, torch.eye(16)[3], count=3), name)
    assert list(outputs) == [marking.said]
    assert outputs[marking.said].startswith("Nothing was made: ") and says in outputs[marking.said]


def test_too_few_marks_are_told_with_how_many_are_missing(marking, model, grey):
    marks = {model.stamped(Recipe(seed=1)): 1}
    marks |= {grey.stamped(Recipe(seed=seed)): -1 for seed in range(5)}
    said = made(marking, model, marks)[marking.said]
    assert said.endswith("mark 1 more that have it and 2 more that have it not."), "of this model"
    alike = {model.stamped(Recipe(seed=seed, psi=0)): (-1) ** seed for seed in range(8)}
    assert "the same" in made(marking, model, alike)[marking.said]


def test_no_more_than_can_be_kept(marking, model):
    marks = sorted_by(model, torch.eye(16)[3], count=3)
    (one,) = made(marking, model, marks)[marking.own]
    own = tuple(dataclasses.replace(one, name=f"n-{i}") for i in range(MAX_OWN))
    assert "remove one first" in made(marking, model, marks, own=own)[marking.said]
    assert len(made(marking, model, marks, "n-3", own)[marking.own]) == MAX_OWN, "made anew"


def test_removing(marking, model, grey):
    marks = sorted_by(model, torch.eye(16)[3], count=3)
    own = made(marking, model, marks)[marking.own]
    for data in ({"name": "other"}, {}, {"name": 7}):
        assert marking._remove(model.id, own, event(**data))[marking.own] == own
    assert marking._remove(grey.id, own, event(name="big-smile"))[marking.own] == own
    outputs = marking._remove(model.id, own, event(name="big-smile"))
    assert outputs[marking.own] == () and not outputs[marking.save].visible
    assert outputs[marking.mine] == {"own": [], "chosen": None}


def test_saved_directions_are_a_file_of_this_models(marking, model, grey):
    marks = sorted_by(model, torch.eye(16)[3])
    own = made(marking, model, marks)[marking.own]
    outputs = marking._save(model.id, own)
    saved = outputs[marking.saver]
    assert saved["name"] == "directions.safetensors"
    steps, notes = load_directions(saved["file"]["path"], model.config)
    assert list(steps) == ["big-smile"] and torch.equal(steps["big-smile"], own[0].step)
    assert notes["big-smile"] == own[0].note
    assert "no direction for grey-8" in marking._save(grey.id, own)[marking.said]

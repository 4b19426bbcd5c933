import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylegan.config import UserError
from stylegan.model import Model, load
from stylegan.recipe import Recipe, RecipeError
from stylegan.stamp import PAGE, enlarge, grid, read_png
from stylegan.tabs.session import Files, Session, Turns, file_name, in_words

TINY = Path(__file__).parent / "links/tiny-16"


@pytest.fixture
def session(tmp_path):
    return Session([TINY], tmp_path / "files", "cpu")


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_models_by_name_revision_and_neither(session, tmp_path):
    model = session.first
    assert session.pick(None) == (model, "")
    assert session.pick(model.id) == (model, "")
    assert session.pick("tiny-16") == (model, "")
    for wanted in ("tiny-16@0123456789", "gone@0123456789", "gone"):
        found, note = session.pick(wanted)
        assert found is model
        assert wanted in note and model.id in note


def test_a_second_model_is_found_by_its_name(tmp_path):
    shutil.copytree(TINY, tmp_path / "other")
    session = Session([TINY, tmp_path / "other"], tmp_path / "files", "cpu")
    other = session.models["other@" + session.first.revision]
    assert session.pick("other@gone")[0] is other
    assert session.choices == [("tiny-16", session.first.id), ("other", other.id)]
    both = Session([TINY, tmp_path / "other", TINY], tmp_path / "files", "cpu")
    assert len(both.models) == 2


def test_no_model_and_a_broken_model_are_refused(tmp_path):
    with pytest.raises(UserError, match="no model"):
        Session([], tmp_path)
    with pytest.raises(UserError, match="no model folder"):
        Session([tmp_path / "gone"], tmp_path)


def test_a_picture_is_what_the_model_draws_with_its_recipe_inside(session):
    model = session.first
    recipe = Recipe(seed=7, psi=0.5, c=1)
    path = session.picture(model, recipe)
    assert np.array_equal(pixels(path), model.render(recipe))
    assert read_png(path) == model.stamped(recipe).to_query()
    assert read_png(path, PAGE) is None
    assert path.name == "tiny-16-seed7-psi0.5.png"


def test_enlarged_with_crisp_pixels(session):
    recipe = Recipe(seed=7)
    path = session.picture(session.first, recipe, 4)
    assert np.array_equal(pixels(path), enlarge(session.first.render(recipe), 4))
    assert path.name == "tiny-16-seed7-psi1-4x.png"
    with pytest.raises(UserError, match="1 to 256 here, not 257"):
        session.picture(session.first, recipe, 257)


def test_several_are_a_grid(session):
    recipe = Recipe(seed=3, n=5)
    path = session.picture(session.first, recipe, 2)
    assert np.array_equal(pixels(path), enlarge(grid(session.first.render_many(recipe)), 2))
    assert path.name == "tiny-16-seed3-7-psi1-2x.png"
    assert session.largest(session.first, 64) == 4096 // (8 * 16)


def test_a_picture_carries_the_page_that_it_leaves(session):
    page = Recipe(seed=7, n=9)
    path = session.picture(session.first, Recipe(seed=7), page=page)
    assert read_png(path) == session.first.stamped(Recipe(seed=7)).to_query()
    assert read_png(path, PAGE) == session.first.stamped(page).to_query()


def test_pictures_come_in_order_and_are_drawn_once(session, monkeypatch):
    recipes = Recipe(seed=1, n=20).singles()
    drawn = []
    draw = Model.draw

    def counted(model, recipes):
        drawn.extend(recipes)
        return draw(model, recipes)

    monkeypatch.setattr(Model, "draw", counted)
    paths = [path for batch in session.draw(session.first, recipes) for path in batch]
    assert [read_png(path) for path in paths] == [
        session.first.stamped(recipe).to_query() for recipe in recipes
    ]
    assert drawn == recipes
    again = [path for batch in session.draw(session.first, recipes[5:7]) for path in batch]
    assert again == paths[5:7]
    assert drawn == recipes
    paths[6].unlink()  # gradio deletes files by their age
    next(session.draw(session.first, recipes[5:7]))
    assert drawn == [*recipes, recipes[6]]
    assert paths[6].is_file()


def test_all_recipes_are_checked_before_the_first_is_drawn(session):
    with pytest.raises(RecipeError, match="class"):
        next(session.draw(session.first, [Recipe(), Recipe(c=9)]))
    assert not list(session.files.folder.iterdir())


def test_large_pictures_are_drawn_few_at_a_time(session, monkeypatch):
    monkeypatch.setattr("stylegan.tabs.session.STEP_PIXELS", 2 * 16 * 16)
    batches = list(session.draw(session.first, Recipe(n=5).singles()))
    assert [len(batch) for batch in batches] == [2, 2, 1]


def test_files_stay_below_their_limits(tmp_path):
    files = Files(tmp_path, most_bytes=100)
    a, b, c = (files.put(f"{name}/x.png", bytes(40)) for name in "abc")
    assert not a.parent.exists() and b.is_file() and c.is_file()
    assert files.get("a/x.png") is None
    assert files.get("b/x.png") == b
    files.put("d/x.png", bytes(40))
    assert b.is_file() and not c.exists(), "the one asked for longest ago goes"
    files.put("e/x.png", bytes(1000))
    assert [path.name for path in tmp_path.iterdir()] == ["e"]
    few = Files(tmp_path / "few", most=2)
    for i in range(5):
        few.put(f"{i}/x.png", b"x")
    assert sorted(path.name for path in few.folder.iterdir()) == ["3", "4"]


def test_a_file_written_by_others_is_kept_when_it_is_whole(tmp_path):
    files = Files(tmp_path, most_bytes=100)
    old = files.put("old/x.png", bytes(40))
    with files.filling("clip/x.mp4") as path:
        assert files.get("clip/x.mp4") is None
        path.write_bytes(bytes(90))
    assert files.get("clip/x.mp4") == path and not old.exists(), "its size counts"
    for error in (KeyboardInterrupt, GeneratorExit):
        with pytest.raises(error), files.filling("given-up/x.mp4"):
            raise error
    assert [path.name for path in tmp_path.iterdir()] == ["clip"]


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    files = Files(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError) as error:
        files.put("a/x.png", b"x")
    assert not list((tmp_path / "a").iterdir())
    assert in_words(error.value) == "the picture could not be stored (No space left on device)."


def test_turns_are_each_visitors_own():
    turns = Turns()
    first, other = turns.take("ann"), turns.take("bob")
    assert turns.is_newest("ann", first) and turns.is_newest("bob", other)
    second = turns.take("ann")
    assert not turns.is_newest("ann", first) and turns.is_newest("ann", second)
    assert turns.is_newest("bob", other)
    assert turns.is_newest(None, turns.take(None)), "callers of the API have no turns"


def test_errors_in_words():
    assert in_words(UserError("psi 9 is too much")) == "psi 9 is too much."
    assert "memory" in in_words(MemoryError())
    with pytest.raises(KeyError):
        in_words(KeyError("a fault of ours"))


def test_file_names_are_plain(session):
    model = load(TINY)
    model.name = "../../a b&c"
    assert file_name(model, Recipe(seed=1)) == "_.._a_b_c-seed1-psi1.png"

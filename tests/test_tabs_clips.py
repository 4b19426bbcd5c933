from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from stylegan.config import UserError
from stylegan.query import pack_latent
from stylegan.recipe import RecipeError
from stylegan.stamp import enlarge, read_png, read_recipe
from stylegan.tabs.clips import (
    check_length,
    find_clip,
    frame_file,
    make_clip,
    most_frames,
    short_name,
    strip_file,
)
from stylegan.tabs.session import Session
from stylegan.walk import Walk

TINY = Path(__file__).parent / "links/tiny-16"
WALK = Walk((1, 2, 1), frames=4)


@pytest.fixture
def session(tmp_path):
    return Session([TINY], tmp_path / "files", "cpu", max_frames=100)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def _encoders(session) -> list[str]:
    """Processes that write into the folder of files."""
    lines = [" ".join(each.info["cmdline"] or []) for each in psutil.process_iter(["cmdline"])]
    return [line for line in lines if str(session.files.folder) in line]


@pytest.mark.parametrize("kind", [".mp4", ".webm", ".gif"])
def test_a_clip_is_made_once_and_carries_its_recipe(session, kind):
    model = session.first
    assert find_clip(session, model, WALK, kind) is None
    assert list(make_clip(session, model, WALK, kind)) == list(range(1, 9))
    path = find_clip(session, model, WALK, kind)
    assert path.name == f"tiny-16-walk-1-2-1-psi1{kind}"
    assert read_recipe(path) == model.stamped(WALK).to_query()
    assert session.files.get(f"{path.parent.name}/{path.name}") == path, "it is counted"
    assert find_clip(session, model, Walk((1, 2, 1), frames=5), kind) is None


def test_a_clip_that_is_given_up_leaves_nothing(session):
    work = make_clip(session, session.first, Walk(range(30), frames=3), ".mp4")
    assert [next(work) for _ in range(20)][-1] == 20
    assert _encoders(session)
    work.close()
    assert not list(session.files.folder.iterdir())
    assert not _encoders(session)
    assert list(make_clip(session, session.first, WALK, ".mp4"))[-1] == WALK.total


def test_the_longest_clip_is_counted_in_frames_and_by_their_size(session):
    model = session.first
    assert most_frames(session, model, Walk()) == 100
    assert most_frames(session, model, Walk(range(16), grid=(16, 1))) == 100, "still small"
    check_length(session, model, Walk((1, 2), frames=99))
    with pytest.raises(UserError, match="the walk has 101 frames, and clips have at most 100 here"):
        check_length(session, model, Walk((1, 2), frames=100))
    with pytest.raises(UserError, match="101 frames"):
        next(make_clip(session, model, Walk((1, 2), frames=100), ".mp4"))
    assert not list(session.files.folder.iterdir())


@pytest.mark.parametrize(
    ("side", "grid", "most"), [(512, (1, 1), 100), (1024, (1, 1), 25), (1024, (3, 2), 4)]
)
def test_large_frames_count_for_more(session, monkeypatch, side, grid, most):
    monkeypatch.setattr("stylegan.tabs.clips.COUNTED_PIXELS", (1 << 18) * 16 * 16 // side**2)
    walk = Walk(range(12), frames=100, grid=grid)  # as if the 16 pixels were so many
    assert most_frames(session, session.first, walk) == most
    with pytest.raises(UserError, match=f"at most {most} here"):
        check_length(session, session.first, walk)
    if most < 100:
        with pytest.raises(UserError, match=f"clips of {16 * grid[0]} x {16 * grid[1]} pixels"):
            check_length(session, session.first, walk)


def test_what_the_model_cannot_draw_is_said_before_anything_is_written(session):
    with pytest.raises(RecipeError, match="classes 0 to 2"):
        next(make_clip(session, session.first, Walk(c=3, frames=2), ".mp4"))
    assert not list(session.files.folder.iterdir())


def test_a_film_strip_and_a_frame_of_a_grid(session):
    model, walk = session.first, Walk(range(1, 7), frames=5, grid=(2, 1))
    strip = strip_file(session, model, walk)
    assert read_png(strip) == model.stamped(walk).to_query()
    assert pixels(strip).shape == (128, 128 * 20, 3), "ten of the frames, each of two pictures"
    assert np.abs(pixels(strip)[::8, -256::8] - model.frame(walk, 10)).max() <= 1
    frame = frame_file(session, model, walk, 7, 2)
    expected = enlarge(model.frame(walk, 7), 2).astype(int)
    assert np.abs(pixels(frame) - expected).max() <= 1
    assert read_png(frame) == model.stamped(walk).to_query()
    assert strip_file(session, model, walk) == strip
    assert frame_file(session, model, walk, 7, 2) == frame
    assert frame_file(session, model, walk, 8, 2) != frame


def test_short_names(session):
    one, other = (pack_latent(np.full(16, value)) for value in (0.25, 0.5))
    assert short_name(7) == "7"
    assert short_name(one) == short_name(one) != short_name(other)
    assert len(short_name(one)) == len("latent-123456")
    path = strip_file(session, session.first, Walk((1, one, *range(9)), frames=1))
    assert path.name == f"tiny-16-walk-1-{short_name(one)}-0-1-2-3-and5-psi1-strip.png"

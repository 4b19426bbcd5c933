"""What is drawn is what the ticks say, the same bytes each time, and readable for any run."""

import io
import math
import sys
import warnings

import numpy as np
import pytest
from PIL import Image
from written_runs import SETTINGS, measured, tick, write_run

from stylegan import curves, extras
from stylegan.config import UserError
from stylegan.runs import read_run

GROWS = [tick(k, swd=40 - k, **{"Progress/side": 8 * k}) for k in (1, 2, 3)]


@pytest.fixture
def run(tmp_path):
    return read_run(write_run(tmp_path / "run", GROWS, floor=9.0))


def another(tmp_path, name="other", lines=GROWS, **more):
    return read_run(write_run(tmp_path / name, lines, **more))


def panel(runs, title):
    return next(panel for panel in curves.panels(runs) if panel.title == title)


def axes(runs, title, axis="kimg"):
    return curves.draw_panel(panel(runs, title), runs, axis).axes[0]


def drawn(found, label):
    """x and y of the lines of this label."""
    return [list(map(list, x.get_data())) for x in found.lines if x.get_label() == label]


def legend(found):
    return [text.get_text() for text in found.get_legend().get_texts()]


def test_panels_are_those_that_have_numbers(tmp_path, run):
    titles = [panel.title for panel in curves.panels([run])]
    first = ["swd", "scores", "r_t and p", "losses", "penalties", "images a second"]
    assert titles == [*first, "side, px"]
    assert [curve.label for curve in panel([run], "penalties").curves] == ["R1"]
    lines = [tick(1, **{"Loss/gradient_penalty": measured(1.0), "Loss/scores/real": None})]
    other = another(tmp_path, lines=lines)
    assert [curve.label for curve in panel([other], "scores").curves] == ["fake"]
    both = panel([run, other], "penalties")
    assert [curve.label for curve in both.curves] == ["R1", "gradient"]


def test_curves_over_kimg_and_over_hours(run):
    (real,) = drawn(axes([run], "scores"), "real")
    assert real == [[1, 2, 3], [3, 4, 5]]
    (x, y) = drawn(axes([run], "scores", "hours"), "real")[0]
    assert x == pytest.approx([0.01, 0.02, 0.03]) and y == [3, 4, 5]
    assert axes([run], "scores", "hours").get_xlabel() == "hours"


def test_all_panels_have_the_same_range(tmp_path, run):
    longer = another(tmp_path, lines=[tick(k) for k in range(1, 11)])
    ranges = {axes.get_xlim() for axes in curves.draw([run, longer]).axes if axes.get_visible()}
    assert len(ranges) == 1
    low, high = ranges.pop()
    assert low <= 0 and high >= 10


def test_deviations_are_a_band_around_the_scores(run):
    (band, _) = axes([run], "scores").collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.min() == pytest.approx(2.5) and heights.max() == pytest.approx(5.5)
    assert not axes([run], "losses").collections


def test_a_floor_is_a_dashed_line_once_for_all_who_share_it(tmp_path, run):
    same, other = another(tmp_path, floor=9.0), another(tmp_path, "third", floor=5.0)
    for runs, heights in (([run], [9]), ([run, same], [9]), ([run, same, other], [9, 5])):
        floors = [x for x in axes(runs, "swd").lines if x.get_label() == "floor"]
        assert [x.get_ydata()[0] for x in floors] == heights
        assert all(x.is_dashed() for x in floors)
    assert floors[0].get_color() == curves.SOFT and floors[1].get_color() == curves.colour(2)
    low, _ = axes([run, same, other], "swd").get_ylim()
    assert low < 5


def test_the_target_is_drawn_where_ada_has_one(tmp_path, run):
    assert legend(axes([run], "r_t and p")) == ["r_t", "p", "target"]
    fixed = another(tmp_path, settings={**SETTINGS, "aug": "fixed"})
    assert legend(axes([fixed], "r_t and p")) == ["r_t", "p"]


def test_one_run_has_a_colour_for_each_curve_and_several_have_their_own(tmp_path, run):
    def looks(runs):
        found = axes(runs, "losses").lines
        return [(x.get_color(), x.is_dashed()) for x in found]

    a, b = curves.colour(0), curves.colour(1)
    assert looks([run]) == [(a, False), (b, False)]
    assert looks([run, another(tmp_path)]) == [(a, False), (a, True), (b, False), (b, True)]


def test_more_runs_than_colours_are_still_told_apart(tmp_path):
    runs = [another(tmp_path, f"run-{i}") for i in range(9)]
    found = axes(runs, "images a second").lines
    assert len({(x.get_color(), x.get_marker()) for x in found}) == 9


def test_a_gap_stays_a_gap(tmp_path):
    lines = [tick(k, **{"Loss/G/loss": measured(None if k == 2 else 1.0)}) for k in (1, 2, 3)]
    (x, y) = drawn(axes([another(tmp_path, lines=lines)], "losses"), "G")[0]
    assert x == [1, 2, 3] and y[0] == y[2] == 1 and math.isnan(y[1])


@pytest.mark.parametrize(
    ("values", "scale"), [((0.1, 5), "log"), ((0.1, 1), "linear"), ((0.0, 5), "linear")]
)
def test_values_over_decades_take_a_logarithmic_axis(tmp_path, values, scale):
    lines = [tick(i + 1, **{"Loss/r1_penalty": measured(x)}) for i, x in enumerate(values)]
    assert axes([another(tmp_path, lines=lines)], "penalties").get_yscale() == scale


def test_long_curves_are_thinned_to_means(tmp_path):
    lines = [tick(k, **{"Loss/G/loss": measured(k % 2)}) for k in range(1, 2001)]
    (x, y) = drawn(axes([another(tmp_path, lines=lines)], "losses"), "G")[0]
    assert len(x) == 500 and x[0] == 2.5 and np.allclose(y, 0.5)


def test_the_same_curves_give_the_same_bytes(run):
    for render in (curves.svg, curves.png):
        assert render(curves.draw([run])) == render(curves.draw([run]))
    text = curves.svg(curves.draw([run])).decode()
    assert "<dc:date>" not in text and "<svg" in text
    picture = Image.open(io.BytesIO(curves.png(curves.draw([run]))))
    assert picture.width > 1000 and picture.getpixel((0, 0))[:3] == (255, 255, 255)


def test_other_drawings_of_the_process_are_left_alone(run):
    import_before = "matplotlib.pyplot" in sys.modules
    matplotlib = extras.need("matplotlib")
    with matplotlib.rc_context({"font.size": 33, "text.usetex": True}):
        curves.png(curves.draw([run]))
        assert matplotlib.rcParams["font.size"] == 33
    assert ("matplotlib.pyplot" in sys.modules) == import_before


@pytest.mark.parametrize("name", ["$x^", "_hidden", "运行", "a" * 200, "<b>&amp;", "line\nbreak"])
def test_names_of_any_kind_are_shown(tmp_path, run, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = curves.draw([run, another(tmp_path, name)])
        assert b"<svg" in curves.svg(figure)
        curves.png(figure)
    (_, shown) = figure.legends[0].get_texts()
    assert shown.get_text() and len(shown.get_text()) <= 48 and "\n" not in shown.get_text()


def test_save_by_suffix(tmp_path, run):
    curves.save(curves.draw([run]), tmp_path / "new" / "curves.png")
    curves.save(curves.draw([run]), tmp_path / "curves.SVG")
    assert Image.open(tmp_path / "new" / "curves.png").format == "PNG"
    assert b"<svg" in (tmp_path / "curves.SVG").read_bytes()
    with pytest.raises(UserError, match=r"neither a \.png nor a \.svg"):
        curves.save(curves.draw([run]), tmp_path / "curves.jpeg")


def test_nothing_to_draw_yet(tmp_path):
    with pytest.raises(UserError, match="nothing to draw yet"):
        curves.draw([another(tmp_path, lines=[])])


def test_one_tick_is_a_point(tmp_path):
    found = axes([another(tmp_path, lines=[tick(1)])], "losses")
    assert {line.get_marker() for line in found.lines} == {"o"}


def test_without_matplotlib_the_line_that_brings_it_is_named(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match="matplotlib is not installed: pip install matplotlib"):
        curves.draw([run])

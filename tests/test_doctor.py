import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from drawing import drawing, encoded, folder
from PIL import Image, ImageFilter, ImageOps

from stylegan.config import UserError
from stylegan.doctor import FINDINGS, Diagnosis, InspectConfig, InspectError, inspect
from stylegan.findings_page import MOST_SHOWN
from train.__main__ import main


def found(diagnosis: Diagnosis) -> dict[str, list[tuple[str, str]]]:
    """Finding -> (file, the other file)."""
    out = defaultdict(list)
    for finding in diagnosis.findings:
        out[finding.finding].append((finding.file, finding.of))
    return out


def look(src: Path, **options) -> Diagnosis:
    return inspect(InspectConfig(src, **options))


@pytest.fixture(scope="module")
def sick(tmp_path_factory) -> Path:
    """Twelve sound pictures, and one of each ailment."""
    sound = [drawing(i) for i in range(12)]
    hue = np.asarray(sound[4])[:, :, [2, 0, 1]]
    return folder(
        tmp_path_factory.mktemp("sick"),
        {f"{i:02}.png": picture for i, picture in enumerate(sound)}
        | {
            "again/smaller.png": sound[0].resize((70, 70), Image.Resampling.BICUBIC),
            "again/worse.jpg": encoded(sound[1], "JPEG", quality=40),
            "again/cropped.png": sound[2].crop((3, 1, 94, 95)),
            "turned.png": sound[3].transpose(Image.Transpose.FLIP_LEFT_RIGHT),
            "blue.png": Image.fromarray(hue),
            "blank.png": Image.new("RGB", (96, 96), (250, 248, 250)),
            "empty.png": b"",
            "notes.txt": b"hello",
            "long.png": drawing(20).resize((290, 96)),
            "grey.png": drawing(21).convert("L"),
            "soft.png": drawing(22).resize((6, 6)).resize((96, 96), Image.Resampling.BICUBIC),
            "hole.png": drawing(23, mode="RGBA"),
            "tiny.png": drawing(24, 40),
        },
    )


@pytest.fixture(scope="module")
def diagnosis(sick) -> Diagnosis:
    return look(sick, resolution=64)


def calm(random: np.random.Generator) -> Image.Image:
    """A picture of 64 px without much in it."""
    small = Image.fromarray(random.integers(100, 130, (8, 8, 3)).astype(np.uint8))
    return small.resize((64, 64), Image.Resampling.BICUBIC)


class TestFindings:
    def test_duplicates_in_three_classes(self, diagnosis):
        pairs = found(diagnosis)
        assert pairs["same"] == [
            ("again/smaller.png", "00.png"),
            ("again/worse.jpg", "01.png"),
            ("again/cropped.png", "02.png"),
        ]
        assert pairs["mirrored"] == [("turned.png", "03.png")]
        assert pairs["recoloured"] == [("blue.png", "04.png")]

    @pytest.mark.parametrize(
        "finding, files",
        [
            ("unreadable", ["empty.png", "notes.txt"]),
            ("tiny", ["tiny.png"]),
            ("blank", ["blank.png"]),
            ("aspect", ["long.png"]),
            ("grey", ["grey.png"]),
            ("blurred", ["soft.png"]),
            ("transparent", ["hole.png"]),
        ],
    )
    def test_of_one_file(self, diagnosis, finding, files):
        assert [file for file, _ in found(diagnosis)[finding]] == files

    def test_what_remains(self, diagnosis):
        assert diagnosis.count == 25
        assert diagnosis.remaining == 25 - 3 - 2 - 1

    def test_the_largest_is_kept(self, tmp_path):
        big = drawing(0, 128)
        src = folder(tmp_path, {"a.png": big.resize((80, 80)), "b.png": big, "c.png": drawing(1)})
        assert found(look(src))["same"] == [("a.png", "b.png")]

    def test_outliers(self, tmp_path):
        random = np.random.default_rng(0)
        files = {f"{i}.png": calm(random) for i in range(40)}
        loud = Image.fromarray(random.integers(0, 256, (64, 64, 3)).astype(np.uint8))
        src = folder(tmp_path, files | {"loud.png": loud})
        outliers = [f for f in look(src).findings if f.finding == "outlier"]
        assert [f.file for f in outliers] == ["loud.png"]
        assert "than the rest" in outliers[0].note

    def test_a_second_kind_is_no_outlier(self, tmp_path):
        random = np.random.default_rng(0)
        files = {f"{i}.png": calm(random) for i in range(60)}
        framed = [f"{i}.png" for i in range(0, 60, 4)]
        for name in framed:
            files[name] = ImageOps.expand(files[name].resize((24, 24)), 20, "white")
        found = look(folder(tmp_path, files)).findings
        assert not {f.file for f in found if f.finding == "outlier"} & set(framed)

    def test_labels_that_contradict(self, tmp_path):
        src = folder(
            tmp_path / "src",
            {"a.png": drawing(0), "b.png": encoded(drawing(0), "JPEG"), "c.png": drawing(1)},
        )
        rows = tmp_path / "labels.csv"
        rows.write_text("file;label\na.png;cat\nb.png;dog\nc.png;cat\nc.png;dog\n")
        notes = {
            f.file: f.note
            for f in look(src, labels=str(rows)).findings
            if f.finding == "contradiction"
        }
        assert notes == {
            "b.png": "dog, but the same picture is cat",
            "c.png": "labels.csv gives it cat and dog",
        }

    def test_many_equal_pictures_are_soon_told(self, tmp_path):
        copies = {f"{i:03}.png": drawing(0, 32) for i in range(60)}
        pairs = found(look(folder(tmp_path, copies)))["same"]
        assert pairs == [(f"{i:03}.png", "000.png") for i in range(1, 60)]

    def test_processes_find_the_same(self, tmp_path):
        files = {f"{i:03}.png": drawing(i % 60, 32) for i in range(80)} | {"x.png": b"x"}
        src = folder(tmp_path, files)
        assert look(src, workers=2).findings == look(src, workers=1).findings


class TestAdvice:
    def test_resolution_that_most_reach(self, tmp_path):
        sizes = {f"{i}.png": drawing(i, 130) for i in range(10)} | {"small.png": drawing(11, 90)}
        result = look(folder(tmp_path, sizes))
        assert result.resolution == 128
        assert [f.file for f in result.findings if f.finding == "tiny"] == ["small.png"]

    def test_mirror_only_where_sides_do_not_differ(self, tmp_path):
        random = np.random.default_rng(0)
        either, left = {}, {}
        for i in range(60):
            picture = random.integers(0, 60, (32, 32, 3)).astype(np.uint8)
            side = slice(16) if random.integers(2) else slice(16, 32)
            for files, where in ((either, side), (left, slice(16))):
                lit = picture.copy()
                lit[:, where] += 150
                files[f"{i:02}.png"] = Image.fromarray(lit)
        free, bound = (look(folder(tmp_path / x, f)) for x, f in (("a", either), ("b", left)))
        assert any(line.startswith("--mirror doubles") for line in free.advice)
        assert any(line.startswith("Leave --mirror off") for line in bound.advice)

    def test_grey_sets(self, tmp_path):
        src = folder(tmp_path, {f"{i}.png": drawing(i, 32).convert("L") for i in range(4)})
        result = look(src)
        assert any("--channels 1" in line for line in result.advice)
        assert not found(result)["grey"]

    def test_few_pictures(self, diagnosis):
        assert any("very few" in line for line in diagnosis.advice)


class TestCommand:
    def test_page_and_rows(self, sick, tmp_path, capsys):
        page = tmp_path / "deep" / "report.html"
        assert main(["inspect", str(sick), "--report", str(page), "--resolution", "64"]) == 0
        said = capsys.readouterr().out
        assert "same" in said and "left out" in said and "findings.csv" in said
        text = page.read_text(encoding="utf-8")
        assert "src='http" not in text and "<script" not in text
        assert text.count("<img") == 2 * 5 + 6
        rows = list(csv.DictReader((page.parent / "findings.csv").open(encoding="utf-8")))
        dropped = {row["file"] for row in rows if row["drop"] == "yes"}
        assert "again/smaller.png" in dropped
        assert not dropped & {"turned.png", "tiny.png"}  # 40 of 64 px: enlarged
        assert {row["finding"] for row in rows} <= set(FINDINGS)

    def test_names_are_no_markup(self, tmp_path):
        src = folder(tmp_path / "src", {"<b>&.png": b"x", "a.png": drawing(0)})
        assert main(["inspect", str(src), "--report", str(tmp_path / "r.html")]) == 0
        text = (tmp_path / "r.html").read_text(encoding="utf-8")
        assert "&lt;b&gt;&amp;.png" in text and "<b>" not in text

    def test_only_so_many_are_shown(self, tmp_path):
        src = folder(tmp_path / "src", {f"{i:03}.txt": b"x" for i in range(MOST_SHOWN + 4)})
        assert main(["inspect", str(src), "--report", str(tmp_path / "r.html")]) == 0
        text = (tmp_path / "r.html").read_text(encoding="utf-8")
        assert text.count("<figure") == MOST_SHOWN
        assert "No picture can be read." in text

    @pytest.mark.parametrize(
        "more, said",
        [
            (["--report", "report.txt"], "does not end in .html"),
            (["--labels", "nowhere.csv"], "cannot be read"),
            (["--labels", "folders"], "no two folders"),
        ],
    )
    def test_refused(self, tmp_path, capsys, more, said):
        src = folder(tmp_path / "src", {"a.png": drawing(0)})
        assert main(["inspect", str(src), *more]) == 2
        assert said in capsys.readouterr().err

    @pytest.mark.parametrize(
        "options, said",
        [
            ({"resolution": 100}, "not a power of two"),
            ({"background": "whit"}, "not a colour"),
            ({"workers": 0}, "less than 1"),
        ],
    )
    def test_settings(self, options, said):
        with pytest.raises(UserError, match=said):
            InspectConfig(Path("a"), **options)

    def test_nothing_there(self, tmp_path):
        with pytest.raises(InspectError, match="holds no pictures"):
            look(folder(tmp_path, {".DS_Store": b"x"}))


def test_blur_is_judged_at_the_size_that_matters(tmp_path):
    """A photograph that is soft at full size is sharp when it is made small."""
    large = drawing(0, 1500).filter(ImageFilter.GaussianBlur(2))
    assert not found(look(folder(tmp_path, {"a.png": large, "b.png": drawing(1)})))["blurred"]

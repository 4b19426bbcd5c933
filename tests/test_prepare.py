import errno
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from drawing import drawing, encoded
from PIL import Image

from stylegan.config import UserError
from stylegan.data import Pictures
from stylegan.journal import journal
from stylegan.prepare import PrepareConfig, PrepareError, prepare
from stylegan.squares import make_squares
from train.__main__ import main


def picture(seed: int = 0, size=(20, 16)) -> bytes:
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(values).save(out, "PNG")
    return out.getvalue()


def folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def run(src: Path, dest: Path, **options):
    config = PrepareConfig(src, dest, **({"resolution": 16} | options))
    return prepare(config)


def note(dest: Path) -> dict:
    with zipfile.ZipFile(dest) as file:
        return json.loads(file.read("prepare.json"))


def left_in(place: Path) -> list[str]:
    return sorted(p.name for p in place.iterdir())


class TestFormat:
    def test_members(self, tmp_path):
        src = folder(tmp_path / "src", {"b.png": picture(1), "a/x.png": picture(2)})
        run(src, tmp_path / "out.zip")
        with zipfile.ZipFile(tmp_path / "out.zip") as file:
            assert file.namelist() == [
                "00000/img00000000.png",
                "00000/img00000001.png",
                "dataset.json",
                "prepare.json",
            ]
            assert {i.compress_type for i in file.infolist()} == {zipfile.ZIP_STORED}
            assert json.loads(file.read("dataset.json")) == {"labels": None}
            with Image.open(file.open("00000/img00000000.png")) as image:
                assert (image.format, image.mode, image.size) == ("PNG", "RGB", (16, 16))
        assert note(tmp_path / "out.zip")["sources"] == {
            "00000/img00000000.png": "a/x.png",
            "00000/img00000001.png": "b.png",
        }

    def test_equal_bytes_from_folder_and_zip_at_any_time(self, tmp_path):
        files = {f"{i}.png": picture(i) for i in range(20)}
        src = folder(tmp_path / "src", files)
        run(src, tmp_path / "a.zip")
        for i, name in enumerate(files):
            os.utime(src / name, (i, i))
        run(src, tmp_path / "b.zip")
        (tmp_path / "zipped").mkdir()
        run(zip_of(tmp_path / "zipped" / "src", dict(reversed(files.items()))), tmp_path / "c.zip")
        a, b, c = (Path(tmp_path, f"{x}.zip").read_bytes() for x in "abc")
        assert a == b == c

    def test_settings_are_noted_without_places(self, tmp_path):
        src = folder(tmp_path / "src", {"a.png": picture(), "b.png": picture(1)})
        run(src, tmp_path / "out.zip", fit="crop")
        settings = note(tmp_path / "out.zip")["settings"]
        assert settings == {
            "src": "src",
            "resolution": 16,
            "fit": "crop",
            "background": "white",
            "channels": 3,
            "min_side": 8,
            "max_aspect": None,
            "upscale": "lanczos",
            "dedupe": False,
            "dedupe_also": [],
            "labels": "auto",
            "label_column": None,
            "split": 0.0,
        }

    @pytest.mark.parametrize("channels", [1, 3, 4])
    def test_channels(self, tmp_path, channels):
        src = folder(tmp_path / "src", {"a.png": picture(), "b.png": picture(1)})
        run(src, tmp_path / "out.zip", channels=channels)
        assert Pictures(tmp_path / "out.zip").channels == channels

    def test_background(self, tmp_path):
        src = folder(tmp_path / "src", {"a.png": picture(size=(32, 16)), "b.png": picture(1)})
        run(src, tmp_path / "out.zip", background="#102030")
        assert Pictures(tmp_path / "out.zip").images([0])[0, :, 0, 0].tolist() == [16, 32, 48]

    def test_data_reads_the_sources(self, tmp_path):
        src = folder(tmp_path / "src", {"a/x.png": picture(), "b/x.png": picture(1)})
        run(src, tmp_path / "out.zip")
        assert Pictures(tmp_path / "out.zip").names == ["a/x.png", "b/x.png"]

    def test_labels_follow_their_pictures(self, tmp_path):
        labels = {"labels": [["a.png", 2], ["b.png", 0], ["bad.png", 1], ["c.png", 1]]}
        src = folder(
            tmp_path / "src",
            {f"{x}.png": picture(i) for i, x in enumerate("abc")}
            | {"bad.png": b"", "none.png": picture(9), "dataset.json": json.dumps(labels).encode()},
        )
        report = run(src, tmp_path / "out.zip")
        assert report.skipped == [
            ("bad.png", "an empty file"),
            ("none.png", "no label in dataset.json"),
        ]
        assert Pictures(tmp_path / "out.zip").labels(range(3)).argmax(1).tolist() == [2, 0, 1]

    def test_prepared_again_is_the_same(self, tmp_path):
        src = folder(
            tmp_path / "src", {"a.png": picture(size=(16, 16)), "b.png": picture(1, (16, 16))}
        )
        run(src, tmp_path / "one.zip")
        run(tmp_path / "one.zip", tmp_path / "two.zip")
        one, two = (Pictures(tmp_path / f"{x}.zip") for x in ("one", "two"))
        assert one.fingerprint == two.fingerprint


class TestLeftOut:
    def test_each_with_its_reason_and_junk_in_silence(self, tmp_path):
        inner = zip_of(tmp_path / "inner.zip", {"x.png": picture()}).read_bytes()
        src = folder(
            tmp_path / "src",
            {
                "good.png": picture(),
                "nested/deep/good.png": picture(1),
                "cut.png": picture()[:-300],
                "empty.png": b"",
                "notes.txt": b"hello",
                "tiny.png": picture(size=(7, 20)),
                "more.zip": inner,
                ".DS_Store": b"x",
                "Thumbs.db": b"x",
                "nested/._good.png": b"x",
                "__MACOSX/good.png": picture(),
            },
        )
        report = run(src, tmp_path / "out.zip")
        assert report.kept == ["good.png", "nested/deep/good.png"]
        reasons = dict(report.skipped)
        assert sorted(reasons) == ["cut.png", "empty.png", "more.zip", "notes.txt", "tiny.png"]
        assert "truncated" in reasons["cut.png"]
        assert reasons["tiny.png"] == "7 x 20 pixels, a side under 8"
        assert reasons["notes.txt"] == "not a picture of a known kind"
        assert note(tmp_path / "out.zip")["skipped"] == [list(pair) for pair in report.skipped]

    def test_min_side(self, tmp_path):
        src = folder(
            tmp_path / "src", {"a.png": picture(size=(4, 4)), "b.png": picture(size=(3, 9))}
        )
        assert run(src, tmp_path / "out.zip", min_side=4).kept == ["a.png"]

    def test_links_and_pipes(self, tmp_path):
        src = folder(tmp_path / "src", {"a.png": picture()})
        outside = folder(tmp_path / "outside", {"b.png": picture()})
        (src / "b.png").symlink_to(outside / "b.png")
        (src / "broken.png").symlink_to(tmp_path / "nowhere")
        (src / "loop").symlink_to(src)
        os.mkfifo(src / "pipe.png")
        report = run(src, tmp_path / "out.zip")
        assert report.kept == ["a.png", "b.png"]
        assert [name for name, _ in report.skipped] == ["broken.png", "loop", "pipe.png"]

    def test_names_that_no_terminal_should_see(self, tmp_path):
        src = folder(tmp_path / "src", {"a.png": picture()})
        for name in (b"caf\xe9.png", b"red\x1b[31m.png", "bild-絵.png".encode()):
            Path(os.fsdecode(os.path.join(os.fsencode(src), name))).write_bytes(b"no")
        config = PrepareConfig(src, tmp_path / "out.zip", resolution=16)
        text = prepare(config).summary(config)
        text.encode()
        assert "\x1b" not in text
        assert "bild-絵.png: not a picture" in text
        assert len(note(tmp_path / "out.zip")["skipped"]) == 3

    def test_encrypted_and_damaged_members(self, tmp_path):
        path = zip_of(tmp_path / "src.zip", {"a.png": picture(), "b.png": picture(1)})
        zip_of(path, {"a.png": picture(), "b.png": picture(1), "c.png": picture(2)})
        data = bytearray(path.read_bytes())
        second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
        data[second + 8] |= 1  # b.png: encrypted, in the central directory
        start = data.index(b"c.png") + 5
        data[start : start + 40] = bytes(40)
        path.write_bytes(data)
        report = run(path, tmp_path / "out.zip")
        assert report.kept == ["a.png"]
        assert dict(report.skipped)["b.png"] == "encrypted"
        assert "damaged" in dict(report.skipped)["c.png"]

    def test_paths_out_of_the_zip_are_only_names(self, tmp_path):
        src = zip_of(tmp_path / "src.zip", {"../../evil.png": picture(), "/abs.png": picture(1)})
        dest = tmp_path / "deep" / "er" / "out.zip"
        assert run(src, dest).kept == ["../../evil.png", "/abs.png"]
        assert left_in(tmp_path) == ["deep", "src.zip"]
        assert left_in(dest.parent) == ["out.png", "out.zip"]

    def test_a_member_that_swells_is_not_read_whole(self, tmp_path, monkeypatch):
        monkeypatch.setattr("stylegan.sources.MAX_BYTES", 1 << 16)
        src = zip_of(tmp_path / "src.zip", {"a.png": picture(), "bomb.png": bytes(1 << 20)})
        report = run(src, tmp_path / "out.zip")
        assert [name for name, _ in report.skipped] == ["bomb.png"]

    def test_summary_lists_ten_and_says_where_the_rest_is(self, tmp_path):
        src = folder(tmp_path / "src", {f"{i:02}.txt": b"x" for i in range(15)})
        folder(src, {"a.png": picture()})
        config = PrepareConfig(src, tmp_path / "out.zip", resolution=16)
        text = prepare(config).summary(config)
        assert "15 left out" in text
        assert text.count("not a picture") == 10
        assert "prepare.json" in text


class TestHoldout:
    def names(self, tmp_path, text: str) -> Path:
        path = tmp_path / "names.txt"
        path.write_text(text, encoding="utf-8")
        return path

    def source(self, tmp_path) -> Path:
        files = {"x/one.png": picture(1), "y/one.png": picture(2), "y/two.png": picture(3)}
        return folder(tmp_path / "src", files | {"z/three.png": picture(4)})

    def test_two_zips_part_the_pictures(self, tmp_path):
        names = self.names(tmp_path, "\ufeff# a comment\n\n  two.png \r\n x/one.png\n")
        report = run(self.source(tmp_path), tmp_path / "out.zip", holdout=names)
        assert report.kept == ["y/one.png", "z/three.png"]
        assert report.held_out == ["x/one.png", "y/two.png"]
        assert Pictures(tmp_path / "out.zip").names == report.kept
        assert Pictures(tmp_path / "out-holdout.zip").names == report.held_out

    def test_own_place(self, tmp_path):
        names = self.names(tmp_path, "two.png")
        dest = tmp_path / "elsewhere" / "kept-back.zip"
        run(self.source(tmp_path), tmp_path / "out.zip", holdout=names, holdout_dest=dest)
        assert dest.exists()
        assert not (tmp_path / "out-holdout.zip").exists()

    @pytest.mark.parametrize(
        "text, reason",
        [
            ("one.png", "x/one.png or y/one.png; write its path"),
            ("two.png\nfour.png\nfive.png", "names four.png, five.png, not in"),
            ("# nothing\n\n", "names no pictures"),
            ("\n".join(f"{i}.png" for i in range(9)), "and 4 more"),
            ("x/one.png\ny/one.png\ntwo.png\nthree.png", "no picture is left to train on"),
        ],
    )
    def test_refused(self, tmp_path, text, reason):
        src = self.source(tmp_path)
        before = left_in(tmp_path)
        names = self.names(tmp_path, text)
        with pytest.raises(UserError, match=reason):
            run(src, tmp_path / "out.zip", holdout=names)
        assert left_in(tmp_path) == sorted([*before, "names.txt"])

    def test_unreadable_list(self, tmp_path):
        with pytest.raises(PrepareError, match="cannot be read as text"):
            run(self.source(tmp_path), tmp_path / "out.zip", holdout=tmp_path / "none.txt")

    def test_composed_and_decomposed_names_are_one(self, tmp_path):
        src = folder(tmp_path / "src", {"cafe\u0301.png": picture(), "b.png": picture(1)})
        names = self.names(tmp_path, "caf\u00e9.png")
        assert run(src, tmp_path / "out.zip", holdout=names).held_out == ["cafe\u0301.png"]


class TestRefused:
    def refuses(self, capsys, *argv: str | Path) -> str:
        assert main(["prepare", *map(str, argv)]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1
        return said.err

    def test_places(self, tmp_path, capsys):
        src = folder(tmp_path / "src", {"a.png": picture()})
        (tmp_path / "is.zip").mkdir()
        dest = tmp_path / "out.zip"
        assert "is not there" in self.refuses(capsys, tmp_path / "none", dest)
        assert "does not end in .zip" in self.refuses(capsys, src, tmp_path / "out")
        assert "inside the source" in self.refuses(capsys, src, src / "deep" / "out.zip")
        assert "is a folder" in self.refuses(capsys, src, tmp_path / "is.zip")
        assert "neither a folder nor a zip" in self.refuses(capsys, src / "a.png", dest)
        zipped = zip_of(tmp_path / "src.zip", {"a.png": picture()})
        assert "inside the source" in self.refuses(capsys, zipped, zipped, "--force")
        names = tmp_path / "names.txt"
        both = "--holdout", names, "--holdout-dest", dest
        assert "cannot hold both" in self.refuses(capsys, src, dest, *both)
        assert left_in(tmp_path) == ["is.zip", "src", "src.zip"]

    def test_nothing_left(self, tmp_path, capsys):
        empty = tmp_path / "empty"
        empty.mkdir()
        assert "holds no pictures" in self.refuses(capsys, empty, tmp_path / "out.zip")
        src = folder(tmp_path / "src", {"a.png": b"x", "b.png": b"y"})
        said = self.refuses(capsys, src, tmp_path / "out.zip")
        assert "no picture is left to train on (not a picture of a known kind: 2" in said
        assert left_in(tmp_path) == ["empty", "src"]

    def test_labels_that_are_none(self, tmp_path, capsys):
        src = folder(tmp_path / "src", {"a.png": picture(), "dataset.json": b"[1]"})
        assert "dataset.json is not" in self.refuses(capsys, src, tmp_path / "out.zip")

    def test_existing_dest_needs_force(self, tmp_path, capsys):
        src = folder(tmp_path / "src", {"a.png": picture(), "b.png": picture(1)})
        dest = tmp_path / "out.zip"
        dest.write_bytes(b"precious")
        assert "add --force" in self.refuses(capsys, src, dest)
        assert dest.read_bytes() == b"precious"
        assert main(["prepare", str(src), str(dest), "--force", "--resolution", "16"]) == 0
        assert len(Pictures(dest)) == 2

    @pytest.mark.parametrize(
        "options, reason",
        [
            ({"resolution": 48}, "resolution 48 is not a power of two"),
            ({"resolution": 4}, "resolution 4"),
            ({"resolution": 2048}, "resolution 2048"),
            ({"resolution": 0}, "resolution 0"),
            ({"min_side": 0}, "min_side"),
            ({"background": "whit"}, "not a colour"),
            ({"holdout_dest": Path("x.zip")}, "needs --holdout"),
            ({"resolutions": (32, 48)}, "resolution 48"),
            ({"resolutions": (32, 32)}, "twice"),
            ({"max_aspect": 0.5}, "less than 1"),
            ({"split": 0.6}, "outside 0 to 0.5"),
            ({"split": 0.1, "holdout": Path("x.txt")}, "give one"),
            ({"dedupe_also": ("mirrored",)}, "needs --dedupe"),
            ({"upscale": "model.pth"}, "is none of lanczos"),
            ({"workers": 0}, "less than 1"),
        ],
    )
    def test_settings(self, options, reason):
        with pytest.raises(ValueError, match=reason):
            PrepareConfig(Path("a"), Path("b.zip"), **options)

    def test_unknown_flag(self, tmp_path, capsys):
        with pytest.raises(SystemExit) as stop:
            main(["prepare", "a", "b.zip", "--resolutin", "64"])
        assert stop.value.code == 2
        assert "--resolutin" in capsys.readouterr().err


class TestLeavingOut:
    def test_dedupe_keeps_the_largest(self, tmp_path):
        big = drawing(0, 96)
        files = {
            "a.png": encoded(big.resize((64, 64))),
            "b.png": encoded(big),
            "c.png": encoded(drawing(1)),
            "d.png": encoded(drawing(1).transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        }
        src = folder(tmp_path / "src", files)
        report = run(src, tmp_path / "one.zip", dedupe=True)
        assert report.kept == ["b.png", "c.png", "d.png"]
        assert report.skipped == [("a.png", "the same picture as b.png")]
        report = run(src, tmp_path / "two.zip", dedupe=True, dedupe_also=("mirrored",))
        assert report.kept == ["b.png", "c.png"]
        assert dict(report.skipped)["d.png"] == "mirrored: c.png"

    def test_max_aspect_and_no_upscaling(self, tmp_path):
        files = {
            "a.png": picture(size=(16, 33)),
            "b.png": picture(1),
            "c.png": picture(2, (15, 15)),
        }
        src = folder(tmp_path / "src", files)
        report = run(src, tmp_path / "out.zip", max_aspect=2.0, upscale="none")
        assert report.skipped == [
            ("a.png", "16 x 33 pixels, an aspect over 2"),
            ("c.png", "15 x 15 pixels, a side under 16"),
        ]

    def test_what_inspect_found(self, tmp_path, capsys):
        files = {f"{i}.png": encoded(drawing(i)) for i in range(3)} | {"bad.png": b"x"}
        src = folder(tmp_path / "src", files | {"again.jpg": encoded(drawing(0), "JPEG")})
        assert main(["inspect", str(src), "--report", str(tmp_path / "r.html")]) == 0
        found = tmp_path / "findings.csv"
        report = run(src, tmp_path / "out.zip", drop=found)
        assert report.kept == ["0.png", "1.png", "2.png"]
        assert dict(report.skipped) == {
            "again.jpg": "dropped as same",
            "bad.png": "dropped as unreadable",
        }
        found.write_text("file\n1.png\nnone.png\n")
        with pytest.raises(UserError, match=r"names none.png, not in the source"):
            run(src, tmp_path / "two.zip", drop=found)

    def test_crop_face_without_faces(self, tmp_path):
        src = folder(tmp_path / "src", {"a.png": encoded(drawing(0))})
        with pytest.raises(PrepareError, match="no face found: 1"):
            run(src, tmp_path / "out.zip", fit="crop-face")


class TestSplit:
    def test_a_share_is_held_out_and_repetitions_stay_together(self, tmp_path):
        files = {}
        for i in range(20):
            files[f"{i:02}/plain.png"] = encoded(drawing(i, 64))
            mirrored = drawing(i, 64).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            files[f"{i:02}/turned.png"] = encoded(mirrored)
        src = folder(tmp_path / "src", files)
        report = run(src, tmp_path / "out.zip", split=0.2)
        assert (len(report.kept), len(report.held_out)) == (32, 8)
        here, there = ({n.split("/")[0] for n in x} for x in (report.kept, report.held_out))
        assert not here & there
        assert Pictures(tmp_path / "out-holdout.zip").names == report.held_out
        assert run(src, tmp_path / "again.zip", split=0.2).held_out == report.held_out


class TestLabels:
    def test_of_folders(self, tmp_path):
        files = {"cats/a.png": picture(), "dogs/b.png": picture(1), "c.png": picture(2)}
        report = run(folder(tmp_path / "src", files), tmp_path / "out.zip", labels="folders")
        assert report.skipped == [("c.png", "no label in its folder")]
        assert note(tmp_path / "out.zip")["classes"] == ["cats", "dogs"]
        assert Pictures(tmp_path / "out.zip").labels([0, 1]).argmax(1).tolist() == [0, 1]

    def test_of_a_column(self, tmp_path):
        src = folder(tmp_path / "src", {"x/a.png": picture(), "b.png": picture(1)})
        rows = tmp_path / "rows.csv"
        rows.write_text("filename,age,kind\na.png,10,old\nb.png,9,new\n")
        labels = {"labels": str(rows), "label_column": "age"}
        run(src, tmp_path / "out.zip", **labels)
        assert note(tmp_path / "out.zip")["classes"] == ["9", "10"]
        assert Pictures(tmp_path / "out.zip").labels([0, 1]).argmax(1).tolist() == [0, 1]
        with pytest.raises(UserError, match="say which column"):
            run(src, tmp_path / "two.zip", labels=str(rows))
        with pytest.raises(UserError, match="no column 'sex'; it has filename, age, kind"):
            run(src, tmp_path / "two.zip", labels=str(rows), label_column="sex")

    def test_names_of_classes_survive_a_second_time(self, tmp_path):
        files = {"cats/a.png": picture(), "dogs/b.png": picture(1)}
        run(folder(tmp_path / "src", files), tmp_path / "one.zip", labels="folders")
        run(tmp_path / "one.zip", tmp_path / "two.zip")
        assert note(tmp_path / "two.zip")["classes"] == ["cats", "dogs"]


class TestSeveralSizes:
    def test_each_is_what_it_would_be_alone(self, tmp_path):
        src = folder(tmp_path / "src", {f"{i}.png": picture(i, (40, 36)) for i in range(3)})
        report = run(src, tmp_path / "all.zip", resolutions=(32, 16))
        assert left_in(tmp_path) == ["all-16.png", "all-16.zip", "all-32.png", "all-32.zip", "src"]
        run(src, tmp_path / "one.zip", min_side=16)
        assert Pictures(tmp_path / "all-16.zip").fingerprint == (
            Pictures(tmp_path / "one.zip").fingerprint
        )
        assert "all-32.zip" in report.summary(
            PrepareConfig(src, tmp_path / "all.zip", resolutions=(32, 16))
        )


class TestSheet:
    def test_sixty_four_of_all(self, tmp_path):
        files = {f"{i:03}.png": encoded(Image.new("L", (16, 16), i)) for i in range(130)}
        run(folder(tmp_path / "src", files), tmp_path / "out.zip", workers=2)
        with Image.open(tmp_path / "out.png") as sheet:
            assert (sheet.mode, sheet.size) == ("RGB", (256, 256))
            assert [sheet.getpixel((32 * i + 9, 9))[0] for i in range(8)] == list(range(0, 16, 2))
            assert sheet.getpixel((250, 250))[0] == 126

    def test_a_picture_of_ones_own_is_not_replaced(self, tmp_path, capsys):
        src = folder(tmp_path / "src", {"a.png": picture()})
        folder(tmp_path, {"out.png": b"precious"})
        assert main(["prepare", str(src), str(tmp_path / "out.zip")]) == 2
        assert "out.png exists; add --force" in capsys.readouterr().err


class TestResumed:
    def test_after_a_stop_the_bytes_are_the_same(self, tmp_path, monkeypatch):
        src = folder(tmp_path / "src", {f"{i}.png": encoded(drawing(i, 32)) for i in range(9)})
        options = {"dedupe": True, "resolutions": (16, 32)}
        run(src, tmp_path / "whole.zip", **options)
        made = []

        def stopped(cut, content):
            made.append(content)
            if len(made) == 5:
                raise KeyboardInterrupt
            return make_squares(cut, content)

        monkeypatch.setattr("stylegan.prepare.make_squares", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(src, tmp_path / "part.zip", **options)
        pack = tmp_path / ".part.zip.work" / "pack"
        pack.write_bytes(pack.read_bytes()[:-7])  # killed while writing
        (src / "1.png").write_bytes(encoded(drawing(1, 32), optimize=True))  # another file now
        made.clear()
        monkeypatch.setattr(
            "stylegan.prepare.make_squares", lambda *x: (made.append(x), make_squares(*x))[1]
        )
        run(src, tmp_path / "part.zip", **options)
        assert len(made) == 9 - 4 + 1 + 1  # the rest, the one cut short, the changed one
        for side in (16, 32):
            whole, part = (tmp_path / f"{x}-{side}.zip" for x in ("whole", "part"))
            assert whole.read_bytes() == part.read_bytes()
        assert not (tmp_path / ".part.zip.work").exists()

    def test_other_settings_begin_anew(self, tmp_path):
        with pytest.raises(OSError), journal(tmp_path / "x.zip", "a") as book:
            book.add("n", {}, [b"data"])
            raise OSError
        with pytest.raises(OSError), journal(tmp_path / "x.zip", "a") as book:
            assert book.read(book.get("n"), 0) == b"data"
            raise OSError
        with journal(tmp_path / "x.zip", "b") as book:
            assert book.get("n") is None
        assert left_in(tmp_path) == []

    def test_two_at_once(self, tmp_path):
        src = folder(tmp_path / "src", {"a.png": picture(), "b.png": picture(1)})
        with journal(tmp_path / "out.zip", "a"), pytest.raises(UserError, match="another process"):
            run(src, tmp_path / "out.zip")


class TestStopped:
    """Whatever stops it, what was there stays as it was."""

    @pytest.mark.parametrize(
        "error, code, said",
        [
            (OSError(errno.ENOSPC, "No space left on device"), 1, "No space left on device"),
            (KeyboardInterrupt(), 130, "stopped"),
        ],
    )
    def test_nothing_is_half_written(self, tmp_path, monkeypatch, capsys, error, code, said):
        src = folder(tmp_path / "src", {f"{i}.png": picture(i) for i in range(9)})
        names = tmp_path / "names.txt"
        names.write_text("8.png")
        dest = tmp_path / "out.zip"
        dest.write_bytes(b"precious")
        real, count = zipfile.ZipFile.writestr, []

        def full(*args, **kwargs):
            count.append(1)
            if len(count) > 5:
                raise error
            return real(*args, **kwargs)

        monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
        argv = [src, dest, "--force", "--holdout", names, "--resolution", "16"]
        assert main(["prepare", *map(str, argv)]) == code
        assert capsys.readouterr().err == f"train: {said}\n"
        assert left_in(tmp_path) == [".out.zip.work", "names.txt", "out.zip", "src"]
        assert dest.read_bytes() == b"precious"
        monkeypatch.undo()
        monkeypatch.setattr("stylegan.squares.square", None)  # nothing is made a second time
        assert main(["prepare", *map(str, argv)]) == 0
        made = ["names.txt", "out-holdout.png", "out-holdout.zip", "out.png", "out.zip", "src"]
        assert left_in(tmp_path) == made


def test_summary_is_printed(tmp_path, capsys):
    src = folder(tmp_path / "src", {"a.png": picture(), "b.png": picture(1), "c.png": b"x"})
    assert main(["prepare", str(src), str(tmp_path / "out.zip"), "--resolution", "16"]) == 0
    assert capsys.readouterr().out == (
        f"2 pictures, 16 px, in {tmp_path}/out.zip\n"
        f"look at {tmp_path}/out.png before you train\n"
        "1 left out:\n"
        "  c.png: not a picture of a known kind\n"
    )

import io
import itertools
import json
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stylegan.data import DataError, Pictures, batches, order


def values(seed: int, size: int = 8, channels: int = 3) -> np.ndarray:
    """uint8 [H, W, C], or [H, W] for grey"""
    shape = (size, size, channels) if channels > 1 else (size, size)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def encode(array: np.ndarray, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, kind, **options)
    return out.getvalue()


def pictures(count: int, **options) -> dict[str, bytes]:
    return {f"00000/img{i:08d}.png": encode(values(i, **options)) for i in range(count)}


def make(place: Path, files: dict[str, bytes], labels: object = None) -> Path:
    """A folder, or a zip if the place's name says so; `labels` become dataset.json."""
    if labels is not None:
        files = {**files, "dataset.json": json.dumps({"labels": labels}).encode()}
    if place.suffix == ".zip":
        with zipfile.ZipFile(place, "w") as file:
            for name, data in files.items():
                file.writestr(name, data)
    else:
        for name, data in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(data)
    return place


@pytest.fixture(params=["set", "set.zip"])
def place(request, tmp_path) -> Path:
    return tmp_path / request.param


class TestPictures:
    @pytest.mark.parametrize("channels", [1, 3, 4])
    def test_reads_what_was_written(self, place, channels):
        data = Pictures(make(place, pictures(5, channels=channels)))
        assert (len(data), data.resolution, data.channels, data.c_dim) == (5, 8, channels, 0)
        assert data.name == "set"
        images = data.images([3, 0, 3])
        assert (images.shape, images.dtype) == ((3, channels, 8, 8), torch.uint8)
        for image, i in zip(images, (3, 0, 3), strict=True):
            expected = values(i, channels=channels).reshape(8, 8, channels)
            assert np.array_equal(image.permute(1, 2, 0), expected)
        assert data.labels([0, 4]).shape == (2, 0)

    def test_plain_pictures_of_other_kinds(self, place):
        files = {"b.BMP": encode(values(1), "BMP"), "deep/a.webp": encode(values(2), "WEBP")}
        data = Pictures(make(place, files | {"notes.txt": b"x", "._b.png": b"x"}))
        assert data.names == ["b.BMP", "deep/a.webp"]
        assert np.array_equal(data.images([0])[0].permute(1, 2, 0), values(1))

    def test_exif_orientation_of_plain_pictures(self, place):
        exif = Image.Exif()
        exif[0x0112] = 3
        turned = encode(values(0), "TIFF", exif=exif)
        data = Pictures(make(place, {"a.tif": turned, "b.tif": turned}))
        assert np.array_equal(data.images([0])[0].permute(1, 2, 0), values(0)[::-1, ::-1])

    def test_mirror(self, place):
        path = make(place, pictures(4), labels=None)
        data, plain = Pictures(path, mirror=True), Pictures(path)
        assert (len(data), len(plain), len(data.names)) == (8, 4, 4)
        assert torch.equal(data.images([2]), plain.images([2]))
        assert torch.equal(data.images([6]), plain.images([2]).flip(3))

    @pytest.mark.parametrize("index", [-1, 4, 400])
    def test_index_out_of_range(self, place, index):
        data = Pictures(make(place, pictures(4)))
        with pytest.raises(IndexError):
            data.images([0, index])

    def test_cached_or_not_is_equal(self, place):
        path = make(place, pictures(6))
        kept, fresh = Pictures(path, mirror=True), Pictures(path, mirror=True, cache_bytes=100)
        assert kept.cached
        assert not fresh.cached
        for _ in range(2):
            assert torch.equal(kept.images(range(12)), fresh.images(range(12)))

    def test_caller_may_write_into_what_it_got(self, place):
        data = Pictures(make(place, pictures(3)))
        first = data.images([1])
        kept = first.clone()
        first.zero_()
        assert torch.equal(data.images([1]), kept)


class TestLabels:
    def test_classes_become_one_hot(self, place):
        files = pictures(4)
        labels = [[name, n] for name, n in zip(files, (2, 0, 3, 0), strict=True)]
        data = Pictures(make(place, files, labels[::-1]), mirror=True)
        assert data.c_dim == 4
        expected = torch.tensor([[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
        assert torch.equal(data.labels([0, 1, 6]), expected)
        assert data.labels([]).shape == (0, 4)

    def test_lists_are_used_as_they_are(self, place):
        files = pictures(2)
        labels = [[name, [i, -0.5, 2e3]] for i, name in enumerate(files)]
        data = Pictures(make(place, files, labels))
        assert data.c_dim == 3
        assert data.labels([1]).tolist() == [[1, -0.5, 2000]]
        assert data.labels([1]).dtype == torch.float32

    @pytest.mark.parametrize("labels", ['{"labels": null}', '{"labels": []}'])
    def test_none(self, place, labels):
        assert Pictures(make(place, {**pictures(2), "dataset.json": labels.encode()})).c_dim == 0

    @pytest.mark.parametrize(
        "text",
        [
            "not json",
            "[]",
            "{}",
            '{"labels": 5}',
            '{"labels": [1, 2]}',
            '{"labels": [["a"]]}',
            '{"labels": [[["a"], 1]]}',
            "[" * 100_000,
        ],
    )
    def test_no_dataset_json(self, place, text):
        with pytest.raises(DataError, match=r'dataset.json is not \{"labels"'):
            Pictures(make(place, {**pictures(2), "dataset.json": text.encode()}))

    @pytest.mark.parametrize(
        "label",
        [
            *("1.5", "-1", "true", "null", "{}", '"3"', "1" * 40),
            *("[]", "[null]", '["x"]', "[[1]]", "[NaN]", "[1e999]", "[" + "9" * 400 + "]"),
        ],
    )
    def test_no_label(self, place, label):
        files = pictures(2)
        a, b = files
        text = f'{{"labels": [["{a}", {label}], ["{b}", {label}]]}}'
        with pytest.raises(DataError, match=r"00\.png' is no class number"):
            Pictures(make(place, {**files, "dataset.json": text.encode()}))

    @pytest.mark.parametrize(
        "labels, reason",
        [
            ([1], "img00000001.png: has no label in dataset.json"),
            ([1, 2, 3], "extra.png: has a label in dataset.json but is not there"),
            ([[1, 2], [1]], "different lengths"),
            ([1, [1]], "different lengths"),
        ],
    )
    def test_labels_that_do_not_fit(self, place, labels, reason):
        files = pictures(2)
        pairs = [list(pair) for pair in zip([*files, "extra.png"], labels, strict=False)]
        with pytest.raises(DataError, match=reason):
            Pictures(make(place, files, pairs))


class TestRefused:
    def says(self, path: Path) -> str:
        with pytest.raises(DataError) as info:
            Pictures(path)
        text = str(info.value)
        assert str(path) in text
        assert "\n" not in text
        return text

    def test_places(self, tmp_path):
        assert "is not there" in self.says(tmp_path / "none")
        (tmp_path / "empty").mkdir()
        assert "holds no pictures" in self.says(tmp_path / "empty")
        assert "holds no pictures" in self.says(make(tmp_path / "e.zip", {"notes.txt": b"x"}))
        (tmp_path / "a.png").write_bytes(encode(values(0)))
        assert "neither a folder nor a zip" in self.says(tmp_path / "a.png")
        whole = make(tmp_path / "w.zip", pictures(9)).read_bytes()
        (tmp_path / "cut.zip").write_bytes(whole[:-100])
        assert "damaged" in self.says(tmp_path / "cut.zip")

    def test_one_picture(self, place):
        assert "one picture only" in self.says(make(place, pictures(1)))

    @pytest.mark.parametrize(
        "second, reason",
        [
            (np.zeros((8, 9, 3), np.uint8), "not square (9 x 8)"),
            (np.zeros((12, 12, 3), np.uint8), "its side of 12 px is no power of two"),
            (np.zeros((4, 4, 3), np.uint8), "its side of 4 px is no power of two from 8 to 1024"),
            (np.zeros((16, 16, 3), np.uint8), "16 px RGB, where the first is 8 px RGB"),
            (np.zeros((8, 8), np.uint8), "8 px L, where the first is 8 px RGB"),
            (np.zeros((8, 8, 2), np.uint8), "of mode LA"),
            (np.zeros((8, 8), np.uint16), "of mode I"),
        ],
    )
    def test_pictures_that_need_preparing(self, place, second, reason):
        said = self.says(make(place, {"a.png": encode(values(0)), "b.png": encode(second)}))
        assert f"b.png: {reason}" in said
        assert said.endswith("run python -m train prepare on it")

    def test_palette(self, place):
        out = io.BytesIO()
        Image.new("P", (8, 8)).save(out, "PNG")
        assert "mode P" in self.says(make(place, {"a.png": out.getvalue(), "b.png": b""}))

    @pytest.mark.parametrize("damaged", [b"", b"hello", encode(values(0))[:20]])
    def test_no_picture_in_a_picture_file(self, place, damaged):
        said = self.says(make(place, {"a.png": encode(values(0)), "b.png": damaged}))
        assert "b.png: not a picture" in said

    def test_damage_is_named_when_met(self, place):
        whole = encode(values(1, 32))
        files = {"a.png": encode(values(0, 32)), "b.png": whole[:-2000]}
        data = Pictures(make(place, files))
        assert data.images([0]).shape == (1, 3, 32, 32)
        with pytest.raises(DataError, match=r"b.png: damaged or unreadable .*; run python -m"):
            data.images([1])

    def test_a_picture_that_went_away(self, tmp_path):
        path = make(tmp_path / "set", {"a.png": encode(values(0)), "b.png": encode(values(1))})
        data = Pictures(path)
        (path / "b.png").unlink()
        with pytest.raises(DataError, match=r"b.png: not a file"):
            data.images([1])


class TestFingerprint:
    def test_folder_and_zip_agree_wherever_they_lie(self, tmp_path):
        files = pictures(4)
        paths = [make(tmp_path / x, files) for x in ("a", "b.zip")]
        paths.append(make(tmp_path / "c.zip", dict(reversed(files.items()))))
        assert len({Pictures(path).fingerprint for path in paths}) == 1

    def test_changes_with_pictures_and_labels(self, tmp_path):
        files = pictures(3)
        a, b, c = files
        other = {**files, c: encode(values(9))}
        labels = [[[a, 0], [b, 1], [c, 1]], [[a, 1], [b, 0], [c, 1]]]
        sets = [(files, None), (other, None), (pictures(4), None)]
        sets += [(files, x) for x in labels]
        made = [make(tmp_path / f"{i}.zip", *x) for i, x in enumerate(sets)]
        prints = [Pictures(path).fingerprint for path in made]
        assert len(set(prints)) == 5
        assert all(len(x) == 32 and int(x, 16) >= 0 for x in prints)


class TestOrder:
    @given(st.integers(0, 2**32 - 1), st.integers(2, 50), st.integers(0, 500), st.integers(0, 200))
    def test_any_window_of_one_endless_row(self, seed, n, start, count):
        row = order(seed, n, 0, start + count)
        assert np.array_equal(order(seed, n, start, count), row[start:])

    def test_every_epoch_has_every_picture_once(self):
        epochs = order(5, 30, 0, 90).reshape(3, 30)
        assert (np.sort(epochs) == np.arange(30)).all()
        assert not np.array_equal(epochs[0], epochs[1])
        assert not np.array_equal(epochs[0], np.arange(30))

    def test_depends_on_the_seed(self):
        assert not np.array_equal(order(0, 30, 0, 30), order(1, 30, 0, 30))

    def test_is_the_recorded_one(self):
        """Resuming a saved run needs it to stay for ever."""
        assert order(0, 7, 0, 14).tolist() == [3, 0, 6, 1, 2, 4, 5, 6, 2, 4, 0, 1, 3, 5]


class TestBatches:
    def take(self, data: Pictures, count: int, start: int = 0, **options) -> list:
        stream = batches(data, 3, start, 4, **options)
        taken = list(itertools.islice(stream, count))
        stream.close()
        return taken

    @pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
    @pytest.mark.parametrize("workers", [None, 1, 5])
    def test_in_order_whatever_the_threads(self, place, cache_bytes, workers):
        files = pictures(7)
        path = make(place, files, [[name, i] for i, name in enumerate(files)])
        data = Pictures(path, cache_bytes=cache_bytes)
        for i, (images, labels) in enumerate(self.take(data, 9, workers=workers)):
            here = order(3, 7, 4 * i, 4)
            assert torch.equal(images, data.images(here))
            assert torch.equal(labels, data.labels(here))

    def test_starts_anywhere(self, place):
        data = Pictures(make(place, pictures(7)), mirror=True)
        whole = torch.cat([images for images, _ in self.take(data, 6)])
        later = torch.cat([images for images, _ in self.take(data, 4, start=8)])
        assert torch.equal(whole[8:], later)

    def test_batch_larger_than_the_set(self, place):
        data = Pictures(make(place, pictures(3)))
        assert self.take(data, 2)[1][0].shape == (4, 3, 8, 8)

    def test_errors_reach_the_consumer(self, place):
        files = {f"{i}.png": encode(values(i, 32)) for i in range(6)}
        files["4.png"] = files["4.png"][:-2000]
        stream = batches(Pictures(make(place, files)), 0, 0, 2)
        with pytest.raises(DataError, match=r"4.png"):
            list(itertools.islice(stream, 3))
        assert not threads()

    def test_closing_ends_the_threads(self, place):
        stream = batches(Pictures(make(place, pictures(5)), cache_bytes=0), 0, 0, 4, workers=3)
        next(stream)
        assert threads()
        stream.close()
        assert not threads()


def threads() -> list:
    return [t for t in threading.enumerate() if t.name.startswith("pictures")]

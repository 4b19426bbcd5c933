import gzip
import io
import json
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from drawing import drawing, encoded, folder
from PIL import Image

from stylegan.data import Pictures
from stylegan.labels import find_labels
from stylegan.prepare import PrepareConfig, prepare
from stylegan.sources import CIFAR_RECORD, DataError, Files


def tar_of(path: Path, files: dict[str, bytes], mode: str = "w", links=()) -> Path:
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, target in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return path


def cifar(labels: list[int], seed: int = 0) -> tuple[bytes, np.ndarray]:
    """A batch in CIFAR-10's binary form, and its pictures [N, 32, 32, 3]."""
    pictures = np.random.default_rng(seed).integers(0, 256, (len(labels), 32, 32, 3), np.uint8)
    planes = pictures.transpose(0, 3, 1, 2).reshape(len(labels), -1)
    head = np.array(labels, np.uint8)[:, None]
    return np.concatenate([head, planes], 1).tobytes(), pictures


def mnist(count: int) -> tuple[bytes, bytes, np.ndarray]:
    """Files of pictures and of labels in MNIST's form, and the pictures [N, 28, 28]."""
    pictures = np.random.default_rng(1).integers(0, 256, (count, 28, 28), np.uint8)
    images = struct.pack(">4I", 0x803, count, 28, 28) + pictures.tobytes()
    labels = struct.pack(">2I", 0x801, count) + bytes(i % 10 for i in range(count))
    return images, labels, pictures


def opened(files: Files, name: str) -> np.ndarray:
    with Image.open(files.open(name)) as image:
        return np.asarray(image)


class TestTar:
    @pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
    def test_members(self, tmp_path, ending):
        mode = "w:" + (ending.partition(".")[2])
        members = {"./b/x.png": b"one", "a.png": b"two", "._a.png": b"junk", "../../evil": b"three"}
        links = [("link.png", "/etc/passwd")]
        files = Files(tar_of(tmp_path / f"set.{ending}", members, mode, links))
        assert files.names == ["../../evil", "a.png", "b/x.png"]
        assert [files.read(name) for name in files.names] == [b"three", b"two", b"one"]
        assert files.size_and_crc("a.png")[0] == 3
        files.close()

    def test_the_same_as_its_folder(self, tmp_path):
        members = {f"{i}.png": encoded(drawing(i, 32)) for i in range(4)}
        (tmp_path / "x").mkdir()
        tar = tar_of(tmp_path / "x" / "src", dict(reversed(members.items())), "w:gz")
        folder(tmp_path / "src", members)
        for src, dest in ((tmp_path / "src", "a.zip"), (tar, "b.zip")):
            prepare(PrepareConfig(src, tmp_path / dest, resolution=16))
        assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()

    def test_cut_short(self, tmp_path):
        path = tar_of(tmp_path / "a.tar", {"a.png": b"x" * 5000, "b.png": b"y"})
        path.write_bytes(path.read_bytes()[:3000])
        with pytest.raises(DataError):
            Files(path).read("a.png")
        packed = tar_of(tmp_path / "a.tar.gz", {"a.png": bytes(range(256)) * 99}, "w:gz")
        packed.write_bytes(packed.read_bytes()[:-40])
        with pytest.raises(DataError, match="damaged"):
            Files(packed)


class TestCifar:
    def test_pictures_and_labels(self, tmp_path):
        one, pictures = cifar([3, 1, 3])
        two, _ = cifar([0, 2], 1)
        names = b"plane\ncar\nbird\ncat\n"
        place = "cifar-10-batches-bin"
        path = tar_of(
            tmp_path / "cifar.tar.gz",
            {
                f"{place}/data_batch_1.bin": one,
                f"{place}/test_batch.bin": two,
                f"{place}/batches.meta.txt": names,
                f"{place}/readme.html": b"hello",
            },
            "w:gz",
        )
        files = Files(path)
        first = f"{place}/data_batch_1.bin/00001.ppm"
        assert np.array_equal(opened(files, first), pictures[1])
        labels = find_labels(files)
        assert labels.shown(first) == "car"
        report = prepare(PrepareConfig(path, tmp_path / "out.zip", resolution=32))
        assert len(report.kept) == 5
        assert Pictures(tmp_path / "out.zip").labels(range(5)).argmax(1).tolist() == [3, 1, 3, 0, 2]

    def test_never_its_pickles(self, tmp_path):
        src = folder(tmp_path, {"cifar-10-batches-py/data_batch_1": b"\x80\x04."})
        with pytest.raises(DataError, match="pickles, which can run code"):
            Files(src)

    def test_not_whole(self, tmp_path):
        src = folder(tmp_path, {"data_batch_1.bin": bytes(CIFAR_RECORD + 1)})
        with pytest.raises(DataError, match="no whole CIFAR-10 batch"):
            Files(src)


class TestMnist:
    @pytest.mark.parametrize("packed", [True, False])
    def test_pictures_and_labels(self, tmp_path, packed):
        images, labels, pictures = mnist(12)
        pack, ending = (gzip.compress, ".gz") if packed else (bytes, "")
        src = folder(
            tmp_path / "src",
            {
                f"train-images-idx3-ubyte{ending}": pack(images),
                f"train-labels-idx1-ubyte{ending}": pack(labels),
            },
        )
        files = Files(src)
        assert len(files.pictures) == 12
        assert np.array_equal(opened(files, files.pictures[11]), pictures[11])
        assert find_labels(files).by_name[files.pictures[11]] == 1
        one = Files(src / f"train-images-idx3-ubyte{ending}")
        assert one.labels == files.labels

    def test_labels_that_do_not_fit(self, tmp_path):
        images, labels, _ = mnist(3)
        src = folder(
            tmp_path,
            {"train-images-idx3-ubyte": images, "train-labels-idx1-ubyte": labels + b"x"},
        )
        with pytest.raises(DataError, match="does not fit"):
            Files(src)
        (tmp_path / "train-images-idx3-ubyte").write_bytes(images[:-1])
        with pytest.raises(DataError, match="cut short"):
            Files(src)


def test_zips_made_elsewhere(tmp_path):
    """NVIDIA's form: dataset.json beside folders of numbered PNGs, whatever else lies there."""
    names = [f"00000/img{i:08d}.png" for i in range(3)]
    labels = json.dumps({"labels": [[names[0], 1], [names[1], 0]]}).encode()
    pictures = {name: drawing(i, 16) for i, name in enumerate(names)}
    src = folder(tmp_path / "src", pictures | {"dataset.json": labels})
    report = prepare(PrepareConfig(src, tmp_path / "out.zip", resolution=16))
    assert report.skipped == [("00000/img00000002.png", "no label in dataset.json")]
    assert Pictures(tmp_path / "out.zip").labels([0, 1]).argmax(1).tolist() == [1, 0]

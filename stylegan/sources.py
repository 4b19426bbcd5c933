"""A folder, zip or tar, and the usual sets inside one, as names and bytes.

CIFAR-10 is read from its binary version only: the other version is a pickle, which can run code.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import struct
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from stylegan.config import UserError
from stylegan.pictures import MAX_BYTES, brief

NOTES = ("dataset.json", "prepare.json")  # beside the pictures of a prepared set
MAX_RECORDS_BYTES = 1 << 30  # of one file of many pictures, unpacked
CIFAR_SIDE = 32
CIFAR_RECORD = 1 + 3 * CIFAR_SIDE**2  # the class, then red, green and blue
CIFAR_FILE = re.compile(r"(data_batch_\d|test_batch)\.bin$")
CIFAR_PICKLE = re.compile(r"(^|/)cifar-10-batches-py/")
MNIST_FILE = re.compile(r"images[-.]idx3-ubyte(\.gz)?$")


class DataError(UserError):
    """Pictures that cannot be trained on."""


class _Shelf(Protocol):
    """Files by name."""

    names: list[str]

    def open(self, name: str) -> BinaryIO: ...

    def size_and_crc(self, name: str) -> tuple[int, int] | None:
        """Of the content, where the shelf knows them without reading it."""

    def state(self, name: str) -> tuple[int, int]:
        """Two numbers that change with the content, found without reading it."""

    def close(self) -> None: ...


class Files:
    """A folder, zip or tar as names and bytes; names are relative, with slashes, sorted.

    A file of CIFAR-10 or MNIST stands for its pictures, named FILE/00000.ppm and so on; `labels`
    and `classes` are what such a set says of them.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self._shelf = _open_shelf(self.path)
        try:
            self.names = sorted(name for name in self._shelf.names if not _is_junk(name))
            self.labels: dict[str, int] | None = None
            self.classes: list[str] | None = None
            self._records: dict[str, _Records] = {}
            self._find_records()
        except BaseException:
            self.close()
            raise

    @property
    def pictures(self) -> list[str]:
        """Every name but those of prepare's own notes."""
        return [name for name in self.names if name not in NOTES]

    def open(self, name: str) -> BinaryIO:
        """One file, to be read from its start; many threads may do so at once."""
        file, _, index = name.rpartition("/")
        if file in self._records:
            return io.BytesIO(self._records[file].picture(int(index.partition(".")[0])))
        try:
            return self._shelf.open(name)
        except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
            raise DataError(f"damaged or unreadable ({brief(error)})") from None

    def read(self, name: str) -> bytes:
        """A whole file; a zip's member is checked against its CRC."""
        return self._read(name, MAX_BYTES)

    def size_and_crc(self, name: str) -> tuple[int, int]:
        """Bytes and CRC-32 of the content, from a zip's directory or out of the file itself."""
        if name.rpartition("/")[0] not in self._records:
            known = self._shelf.size_and_crc(name)
            if known:
                return known
        data = self.read(name)
        return len(data), zlib.crc32(data)

    def state(self, name: str) -> tuple[int, int]:
        """Two numbers that change when the file is changed, without reading it."""
        file = name.rpartition("/")[0]
        return self._shelf.state(file if file in self._records else name)

    def close(self) -> None:
        self._shelf.close()

    def _read(self, name: str, limit: int) -> bytes:
        with self.open(name) as file:
            try:
                data = file.read(limit + 1)
            except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
                raise DataError(f"damaged or unreadable ({brief(error)})") from None
        if len(data) > limit:
            raise DataError(f"a file of more than {limit >> 20} MB")
        return data

    def _find_records(self) -> None:
        """Put the pictures of CIFAR-10 and MNIST files in the place of those files."""
        if any(CIFAR_PICKLE.search(name) for name in self.names):
            raise DataError(
                f"{self.path} is CIFAR-10 as Python pickles, which can run code; "
                "take its binary version, cifar-10-binary.tar.gz"
            )
        for name in list(self.names):
            if CIFAR_FILE.search(name):
                records = self._cifar(name)
            elif MNIST_FILE.search(name):
                records = self._mnist(name)
            else:
                continue
            self._records[name] = records
            self.names.remove(name)
            own = [f"{name}/{i:05d}.{records.kind}" for i in range(records.count)]
            self.names += own
            if records.labels:
                self.labels = (self.labels or {}) | dict(zip(own, records.labels, strict=True))
        if self._records:
            beside = [n for n in self.names if re.search(r"labels[-.]idx1-ubyte|batches\.meta", n)]
            for name in beside:
                if name.endswith("batches.meta.txt"):
                    self.classes = self._read(name, 1 << 16).decode("utf-8", "replace").split()
                self.names.remove(name)
            self.names.sort()

    def _cifar(self, name: str) -> _Records:
        def read() -> bytes:
            data = self._unpacked(name)
            if not data or len(data) % CIFAR_RECORD:
                raise DataError(f"{self.path}: {name} is no whole CIFAR-10 batch")
            return data

        data = read()
        count = len(data) // CIFAR_RECORD
        return _Records("ppm", count, list(data[::CIFAR_RECORD]), read, _cifar_picture)

    def _mnist(self, name: str) -> _Records:
        def read() -> bytes:
            data = self._unpacked(name)
            if len(data) < 16 or struct.unpack(">I", data[:4])[0] != 0x803:
                raise DataError(f"{self.path}: {name} is no file of pictures in MNIST's form")
            count, height, width = struct.unpack(">3I", data[4:16])
            if len(data) != 16 + count * height * width:
                raise DataError(f"{self.path}: {name} is cut short")
            return data

        count = struct.unpack(">I", read()[4:8])[0]
        beside = re.sub(r"images([-.])idx3", r"labels\1idx1", name)
        labels = None
        if beside in self.names:
            data = self._unpacked(beside)
            if len(data) != 8 + count or struct.unpack(">I", data[:4])[0] != 0x801:
                raise DataError(f"{self.path}: {beside} does not fit {name}")
            labels = list(data[8:])
        return _Records("pgm", count, labels, read, _mnist_picture)

    def _unpacked(self, name: str) -> bytes:
        """A file of many pictures, out of its gzip if it is in one."""
        data = self._read(name, MAX_RECORDS_BYTES)
        if not name.endswith(".gz"):
            return data
        try:
            with gzip.open(io.BytesIO(data)) as file:
                data = file.read(MAX_RECORDS_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{self.path}: {name} is damaged ({brief(error)})") from None
        if len(data) > MAX_RECORDS_BYTES:
            raise DataError(f"{self.path}: {name} unpacks to more than 1 GB")
        return data


class _Records:
    """A file of many pictures; the one read last is kept, since they are read in order."""

    _last: tuple[_Records, bytes] | None = None
    _lock = threading.Lock()

    def __init__(self, kind: str, count: int, labels: list[int] | None, read, cut):
        self.kind, self.count, self.labels = kind, count, labels
        self._read_all, self._cut = read, cut

    def picture(self, index: int) -> bytes:
        """One picture as a PPM or PGM file."""
        with _Records._lock:
            if _Records._last is None or _Records._last[0] is not self:
                _Records._last = self, self._read_all()
            return self._cut(_Records._last[1], index)


def _cifar_picture(data: bytes, index: int) -> bytes:
    planes = data[index * CIFAR_RECORD + 1 : (index + 1) * CIFAR_RECORD]
    pixels = bytearray(len(planes))
    for channel in range(3):
        pixels[channel::3] = planes[channel * CIFAR_SIDE**2 : (channel + 1) * CIFAR_SIDE**2]
    return b"P6 %d %d 255\n" % (CIFAR_SIDE, CIFAR_SIDE) + pixels


def _mnist_picture(data: bytes, index: int) -> bytes:
    height, width = struct.unpack(">2I", data[8:16])
    start = 16 + index * height * width
    return b"P5 %d %d 255\n" % (width, height) + data[start : start + height * width]


def _open_shelf(path: Path) -> _Shelf:
    if path.is_dir():
        return _Folder(path)
    if not path.exists():
        raise DataError(f"{path} is not there")
    try:
        if zipfile.is_zipfile(path):
            return _Zip(path)
        if tarfile.is_tarfile(path):
            return _Tar(path)
        if CIFAR_FILE.search(path.name) or MNIST_FILE.search(path.name):
            return _Folder(path.parent, only=path.name)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, OSError, ValueError):
        pass
    raise DataError(
        f"{path} is neither a folder nor a zip or tar of pictures, or it is damaged"
    ) from None


class _Folder:
    """Every file in a folder and the folders in it."""

    def __init__(self, path: Path, only: str | None = None):
        self.path = path
        labels = re.sub(r"images([-.])idx3", r"labels\1idx1", only) if only else None
        self.names = list(_walk(path)) if only is None else [only]
        if labels and labels != only and (path / labels).is_file():
            self.names.append(labels)

    def open(self, name: str) -> BinaryIO:
        path = self.path / name
        if not path.is_file():  # reading a pipe would wait for ever
            raise DataError("not a file, or a link that is not followed")
        return path.open("rb")

    def size_and_crc(self, name: str) -> None:
        return None

    def state(self, name: str) -> tuple[int, int]:
        try:
            stat = (self.path / name).stat()
        except OSError:
            return 0, 0
        return stat.st_size, stat.st_mtime_ns

    def close(self) -> None:
        pass


class _Zip:
    """The members of a zip."""

    def __init__(self, path: Path):
        self._zip = zipfile.ZipFile(path)
        self.names = list({i.filename for i in self._zip.infolist() if not i.is_dir()})

    def open(self, name: str) -> BinaryIO:
        info = self._zip.getinfo(name)
        if info.flag_bits & 1:
            raise DataError("encrypted")
        return self._zip.open(info)

    def size_and_crc(self, name: str) -> tuple[int, int]:
        info = self._zip.getinfo(name)
        return info.file_size, info.CRC

    state = size_and_crc

    def close(self) -> None:
        self._zip.close()


class _Tar:
    """The plain files of a tar; a compressed one is unpacked into a hidden file while it is used.

    Members are read where they lie, never written out, so that their names cannot lead anywhere.
    """

    def __init__(self, path: Path):
        self._changed = path.stat().st_mtime_ns
        self._file = _plain(path)
        self._lock = threading.Lock()
        self._places: dict[str, tuple[int, int]] = {}
        try:
            with tarfile.open(fileobj=self._file, mode="r:") as tar:
                for member in tar:
                    tar.members = []  # else it keeps all it has seen
                    if member.isreg() and not member.issparse():
                        name = member.name.removeprefix("./")
                        self._places[name] = member.offset_data, member.size
        except BaseException:
            self._file.close()
            raise
        self.names = list(self._places)

    def open(self, name: str) -> BinaryIO:
        start, size = self._places[name]
        with self._lock:
            self._file.seek(start)
            data = self._file.read(min(size, MAX_RECORDS_BYTES + 1))
        if len(data) < size <= MAX_RECORDS_BYTES:
            raise DataError("cut short")
        return io.BytesIO(data)

    def size_and_crc(self, name: str) -> None:
        return None

    def state(self, name: str) -> tuple[int, int]:
        return self._places[name][1], self._changed

    def close(self) -> None:
        self._file.close()


def _plain(path: Path) -> BinaryIO:
    """A tar's bytes without the compression."""
    with tarfile.open(path) as tar:
        if not isinstance(tar.fileobj, io.BufferedReader):
            file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the tar
            try:
                tar.fileobj.seek(0)
                shutil.copyfileobj(tar.fileobj, file, 1 << 20)
                file.seek(0)
            except BaseException:
                file.close()
                raise
            return file
    return path.open("rb")


def _walk(folder: Path) -> Iterator[str]:
    """Files, and links to folders, which are not followed."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: {error.strerror}")

    for place, folders, names in os.walk(folder, onerror=refuse):
        links = [name for name in folders if Path(place, name).is_symlink()]
        for name in names + links:
            yield Path(place, name).relative_to(folder).as_posix()


def _is_junk(name: str) -> bool:
    """What macOS and Windows leave in folders and zips."""
    path = PurePosixPath(name)
    return (
        "__MACOSX" in path.parts
        or path.name.startswith("._")
        or path.name.lower() in (".ds_store", "thumbs.db", "desktop.ini")
    )

"""Rows of numbers that grow on disk, so that long measurements go on where they were stopped.

Of each piece of rows the index notes their number, length, kind and checksum: what a power cut or a
bad disk left is found when the file is opened, and counts only up to there.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from safetensors.numpy import load_file, save_file

from stylegan.atomic import replacing_file
from stylegan.fetch import cache_folder

FOLDER = "metrics"
KEY_DIGITS = 32
KINDS = ("uint8", "float16", "float32", "float64")


class FeatureFile:
    """[N, D] of one of the kinds in NAME.rows, and NAME.index that tells which of it is whole."""

    def __init__(self, place: Path) -> None:
        """Open what there is; rows that are not what they were are cut off."""
        self.place = place
        place.parent.mkdir(parents=True, exist_ok=True)
        self._rows, self._index = (_open(place.with_suffix(x)) for x in (".rows", ".index"))
        self.count, self._like = 0, (0, "")
        self._keep_whole()

    def add(self, rows: np.ndarray) -> None:
        """Append rows [n, D]: the numbers first, then the line that speaks of them."""
        data, like = rows.tobytes(), (rows.shape[1], rows.dtype.name)
        self._rows.write(data)
        self._rows.flush()
        self._index.write(_line(len(rows), *like, data))
        self._index.flush()
        self.count, self._like = self.count + len(rows), like

    def rows(self, count: int | None = None) -> np.ndarray:
        """The first so many rows, read from disk as they are asked for."""
        dim, kind = self._like
        shape = (self.count if count is None else count, dim)
        return np.memmap(self._rows.name, kind, "r", shape=shape)

    def close(self) -> None:
        self._rows.close()
        self._index.close()

    def delete(self) -> None:
        """Remove both files."""
        self.close()
        for file in (self._rows, self._index):
            Path(file.name).unlink(missing_ok=True)

    def _keep_whole(self) -> None:
        """Both files up to the last line that tells the truth."""
        data_end = index_end = 0
        for line in self._index:
            try:
                count, dim, kind, _ = json.loads(line)
                data = self._rows.read(count * dim * np.dtype(KINDS[KINDS.index(kind)]).itemsize)
            except (ValueError, TypeError):
                break
            if line != _line(count, dim, kind, data) or self._like not in ((0, ""), (dim, kind)):
                break
            self.count, self._like = self.count + count, (dim, kind)
            data_end, index_end = data_end + len(data), index_end + len(line)
        for file, end in ((self._rows, data_end), (self._index, index_end)):
            file.seek(end)
            file.truncate()


@contextmanager
def opened(key: object, lasting: bool, wait: Callable[[], None]) -> Iterator[FeatureFile]:
    """The rows that belong to a key, for this process alone; `wait` is told if another has them.

    Rows that are not `lasting` go when the block ends well.
    """
    place = place_of(key)
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        wait()
        lock.acquire()
    try:
        file = FeatureFile(place)
        try:
            yield file
            if not lasting:
                file.delete()
        finally:
            file.close()
    finally:
        lock.release()


def recall(key: object) -> dict[str, np.ndarray] | None:
    """The arrays kept for a key; none where there are none, or not what they were."""
    try:
        found = load_file(place_of(key).with_suffix(".safetensors"))
        checksum = found.pop("checksum")
    except Exception:  # a damaged file can fail in any way
        return None
    return found if checksum.tobytes() == _checksum(found) else None


def keep(key: object, arrays: dict[str, np.ndarray]) -> None:
    """Keep arrays that were long in the making."""
    noted = {**arrays, "checksum": np.frombuffer(_checksum(arrays), np.uint8)}
    with replacing_file(place_of(key).with_suffix(".safetensors")) as beside:
        save_file(noted, beside)


def place_of(key: object) -> Path:
    """Where what belongs to a key lies in the cache folder, without an ending."""
    text = json.dumps(key, sort_keys=True)
    return cache_folder() / FOLDER / hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


def _checksum(arrays: dict[str, np.ndarray]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for name, array in sorted(arrays.items()):
        digest.update(repr((name, array.shape, array.dtype)).encode() + array.tobytes())
    return digest.digest()


def _open(path: Path):
    path.touch()
    return path.open("r+b")


def _line(count: int, dim: int, kind: str, data: bytes) -> bytes:
    return json.dumps([count, dim, kind, zlib.crc32(data)]).encode() + b"\n"

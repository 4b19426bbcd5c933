"""A folder or zip of equal squares as uint8 tensors and labels, in a shuffled endless order."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, lru_cache
from itertools import islice

import numpy as np
import torch
from PIL import Image, ImageOps

from stylegan.chance import numpy_generator
from stylegan.config import MAX_RESOLUTION, MIN_RESOLUTION
from stylegan.labels import read_labels
from stylegan.pictures import brief
from stylegan.sources import DataError, Files

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}
CACHE_BYTES = 1 << 30
REMEDY = "run python -m train prepare on it"


class Pictures:
    """Square pictures of one size and kind, read from a folder or zip and kept if they fit in RAM.

    With mirror, picture n + i is picture i flipped left to right.
    """

    def __init__(
        self, path: str | os.PathLike, mirror: bool = False, cache_bytes: int = CACHE_BYTES
    ):
        self.files = Files(path)
        self.mirror = mirror
        self._names = [n for n in self.files.names if n.lower().endswith(EXTENSIONS)]
        if not self._names:
            raise DataError(f"{path} holds no pictures; give it a folder or zip of pictures")
        if len(self._names) == 1:
            raise DataError(f"{path} holds one picture only; training needs many")
        self.resolution, self.channels = self._check_headers()
        self._labels = self._read_labels()
        shape = (len(self._names), self.channels, self.resolution, self.resolution)
        self.cached = math.prod(shape) <= cache_bytes
        self._cache = np.empty(shape, np.uint8) if self.cached else None  # filled when first read
        self._known = np.zeros(len(self._names), bool)

    def __len__(self) -> int:
        return len(self._names) * (2 if self.mirror else 1)

    @property
    def name(self) -> str:
        """The folder's or zip's name without its ending."""
        return self.files.path.resolve().stem

    @property
    def c_dim(self) -> int:
        """Length of a label, 0 where there are none."""
        if self._labels is None:
            return 0
        return self._labels.shape[1] if self._labels.ndim == 2 else int(self._labels.max()) + 1

    @cached_property
    def note(self) -> bytes | None:
        """prepare.json: how the pictures were made, if prepare made them."""
        return self.files.read("prepare.json") if "prepare.json" in self.files.names else None

    @cached_property
    def names(self) -> list[str]:
        """Where each picture came from, as prepare noted it, else its own name; not mirrored."""
        try:
            sources = json.loads(self.note or b"{}")["sources"]
            return [str(sources[name]) for name in self._names]
        except (KeyError, TypeError, ValueError):
            return list(self._names)

    @cached_property
    def fingerprint(self) -> str:
        """Hex digits that change with any picture or label, but not with the file's place."""
        digest = hashlib.blake2b(digest_size=16)
        for name in self._names:
            digest.update(repr((name, *self.files.size_and_crc(name))).encode())
        if self._labels is not None:
            digest.update(self._labels.tobytes())
        return digest.hexdigest()

    def images(self, indices: Sequence[int]) -> torch.Tensor:
        """uint8 [N, C, H, W], RGB order."""
        out = np.empty((len(indices), self.channels, self.resolution, self.resolution), np.uint8)
        for row, index, place in zip(out, indices, self._places(indices), strict=True):
            values = self._image(place)
            row[:] = values[:, :, ::-1] if index != place else values
        return torch.from_numpy(out)

    def labels(self, indices: Sequence[int]) -> torch.Tensor:
        """float32 [N, c_dim]; class numbers become one-hot."""
        out = np.zeros((len(indices), self.c_dim), np.float32)
        if self._labels is not None:
            here = self._labels[self._places(indices)]
            if here.ndim == 1:
                out[np.arange(len(out)), here] = 1
            else:
                out[:] = here
        return torch.from_numpy(out)

    def _places(self, indices: Sequence[int]) -> np.ndarray:
        """Mirrored pictures count as the pictures they mirror."""
        indices = np.asarray(indices, np.int64)
        if indices.size and not 0 <= indices.min() <= indices.max() < len(self):
            raise IndexError(f"picture {indices.max()} of {len(self)}")
        return indices % len(self._names)

    def _image(self, index: int) -> np.ndarray:
        if self._cache is None:
            return self._decode(index)
        if not self._known[index]:
            self._cache[index] = self._decode(index)
            self._known[index] = True
        return self._cache[index]

    def _decode(self, index: int) -> np.ndarray:
        """uint8 [C, H, W]"""
        name = self._names[index]
        try:
            with Image.open(io.BytesIO(self.files.read(name))) as image:
                upright = image if image.format == "PNG" else ImageOps.exif_transpose(image)
                values = np.asarray(upright).reshape(self.resolution, self.resolution, -1)
            return values.transpose(2, 0, 1)
        except DataError as error:
            raise self._error(name, str(error)) from None
        except Exception as error:  # decoders raise anything on damaged files
            raise self._error(name, f"damaged or unreadable ({brief(error)})") from None

    def _header(self, name: str) -> tuple[int, int, str]:
        """Width, height and mode, reading no further than needed."""
        try:
            with self.files.open(name) as file, Image.open(file) as image:
                return (*image.size, image.mode)
        except DataError as error:
            raise self._error(name, str(error)) from None
        except Exception:
            raise self._error(name, "not a picture") from None

    def _error(self, name: str, reason: str) -> DataError:
        return DataError(f"{self.files.path}: {name}: {reason}; {REMEDY}")

    def _check_headers(self) -> tuple[int, int]:
        """Side and channels that all pictures share."""
        first = None
        for name in self._names:
            width, height, mode = self._header(name)
            if width != height:
                raise self._error(name, f"not square ({width} x {height})")
            if width & (width - 1) or not MIN_RESOLUTION <= width <= MAX_RESOLUTION:
                sides = f"from {MIN_RESOLUTION} to {MAX_RESOLUTION}"
                raise self._error(name, f"its side of {width} px is no power of two {sides}")
            if mode not in CHANNELS:
                raise self._error(name, f"of mode {mode}, neither grey, RGB nor RGBA of 8 bits")
            first = first or (width, mode)
            if (width, mode) != first:
                raise self._error(
                    name, f"{width} px {mode}, where the first is {first[0]} px {first[1]}"
                )
        return first[0], CHANNELS[first[1]]

    def _read_labels(self) -> np.ndarray | None:
        """int64 [n] class numbers, or float32 [n, c_dim]."""
        labels = read_labels(self.files)
        if labels is None:
            return None
        if missing := [name for name in self._names if name not in labels]:
            raise self._error(missing[0], "has no label in dataset.json")
        if unknown := sorted(set(labels) - set(self._names)):
            raise self._error(unknown[0], "has a label in dataset.json but is not there")
        values = [labels[name] for name in self._names]
        return np.asarray(values, np.int64 if isinstance(values[0], int) else np.float32)


def order(seed: int, n: int, start: int, count: int) -> np.ndarray:
    """Which of n pictures stand at places start .. start + count of the endless shuffled row.

    A pure function: place i is entry i % n of the permutation of epoch i // n.
    """
    places = np.arange(start, start + count)
    out = np.empty(count, np.int64)
    for epoch in range(start // n, (start + count - 1) // n + 1):
        here = places // n == epoch
        out[here] = _permutation(seed, n, epoch)[places[here] % n]
    return out


@lru_cache(maxsize=4)
def _permutation(seed: int, n: int, epoch: int) -> np.ndarray:
    return numpy_generator(seed, "order", epoch * n).permutation(n)


def batches(
    pictures: Pictures,
    seed: int,
    start: int,
    batch: int | Callable[[int], int],
    workers: int | None = None,
    rows: np.ndarray | Callable[[int], np.ndarray] | None = None,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless (images uint8 [N, C, H, W], labels float32 [N, c_dim]) from image number `start` on.

    `batch` is how many, or a function of the image number at which a batch begins; `rows` are those
    of each batch that are wanted, or a function of how many it has; all, if not given. Batches are
    decoded ahead in threads; closing the generator ends them.
    """
    workers = workers or (1 if pictures.cached else min(8, os.cpu_count() or 1))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="pictures")

    def load(place: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        indices = order(seed, len(pictures), place, count)
        if rows is not None:
            indices = indices[rows(count) if callable(rows) else rows]
        return pictures.images(indices), pictures.labels(indices)

    def loads() -> Iterator[Future]:
        place = start
        while True:
            count = batch(place) if callable(batch) else batch
            yield pool.submit(load, place, count)
            place += count

    try:
        loading = loads()
        ahead = deque(islice(loading, workers + 2))
        while True:
            ready = ahead.popleft().result()
            ahead.append(next(loading))
            yield ready
    finally:
        pool.shutdown(wait=True, cancel_futures=True)

"""What every tab draws with: the models, the folder of picture files, errors put in words."""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import re
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

import torch

from stylegan.config import UserError
from stylegan.mix import Mix
from stylegan.model import Model, load
from stylegan.recipe import Recipe
from stylegan.stamp import enlarge, grid, png_bytes

MAX_FOLDER_BYTES = 512 << 20
MAX_FILES = 20_000
MAX_SAVED_PX = 4096  # side of an enlarged picture or grid
MAX_VISITORS = 10_000
MAX_FRAMES = 1800  # of a clip, unless the operator says otherwise: a minute at 30 a second
STEP_PIXELS = 1 << 14  # drawn before another request gets a turn: 4 of 64x64, 1 of 128x128


class Session:
    """Models by id and their drawings as PNG files. Visitors share it, and see nothing of each
    other: where a file lies follows from the recipe that it holds."""

    def __init__(
        self,
        folders: Sequence[str | Path],
        files: str | Path,
        device: str = "auto",
        max_frames: int = MAX_FRAMES,
    ) -> None:
        """Open the model folders; `files` is an empty folder that the pictures go to, and no clip
        has more frames than `max_frames`."""
        loaded = [load(folder, device) for folder in folders]
        if not loaded:
            raise UserError("no model is given")
        self.models = {model.id: model for model in loaded}
        self.files = Files(files)
        self.max_frames = max_frames
        self.turns = Turns()

    @property
    def first(self) -> Model:
        """The model of links that name none."""
        return next(iter(self.models.values()))

    @property
    def choices(self) -> list[tuple[str, str]]:
        """(label, id) of each model; the revision is shown where the name alone is not enough."""
        names = [model.name for model in self.models.values()]
        return [
            (model.name if names.count(model.name) == 1 else id, id)
            for id, model in self.models.items()
        ]

    def pick(self, wanted: str | None) -> tuple[Model, str]:
        """The model that a recipe names, or the nearest there is and a sentence about that."""
        if wanted is None or wanted in self.models:
            return self.models.get(wanted, self.first), ""
        name = wanted.rpartition("@")[0] or wanted
        alike = [model for model in self.models.values() if model.name == name]
        model = alike[0] if alike else self.first
        if wanted == name and alike:
            return model, ""
        return model, (
            f"This was made with {wanted}, which is not here: "
            f"drawn with {model.id} instead, it may look different."
        )

    def draw(self, model: Model, recipes: Sequence[Recipe]) -> Iterator[list[Path]]:
        """PNG files of recipes (n = 1), each with its recipe inside, batch by batch in order."""
        for recipe in recipes:
            model.check(recipe)
        for batch in _in_turns(model, recipes):
            places = [self._place(model, recipe) for recipe in batch]
            found = [self.files.get(place) for place in places]
            drawn = model.draw([r for r, path in zip(batch, found, strict=True) if path is None])
            yield [
                path or self.files.put(place, png_bytes(next(drawn), _query(model, recipe)))
                for place, path, recipe in zip(places, found, batch, strict=True)
            ]

    def picture(
        self, model: Model, recipe: Recipe, factor: int = 1, page: Recipe | Mix | None = None
    ) -> Path:
        """The PNG file of a recipe, a grid where n > 1, with each pixel a square of `factor`.

        A single picture is drawn alone, so that it has the same bits each time. `page` is the
        recipe, or the table, of the page that it leaves.
        """
        around = None if page is None else _query(model, page)
        place = self._place(model, recipe, factor, "alone", around)
        if found := self.files.get(place):
            return found
        most = self.largest(model, recipe.n)
        if not 1 <= factor <= most:
            what = "a picture is" if recipe.n == 1 else f"{recipe.n} pictures are"
            raise UserError(f"{what} enlarged by 1 to {most} here, not {factor}")
        turns = _in_turns(model, recipe.singles())
        sheet = grid([drawn for batch in turns for drawn in model.draw(batch)])
        return self.files.put(
            place, png_bytes(enlarge(sheet, factor), _query(model, recipe), around)
        )

    def largest(self, model: Model, n: int) -> int:
        """By how much n pictures of a model can be enlarged at most."""
        columns = math.ceil(math.sqrt(n))
        return max(1, MAX_SAVED_PX // (model.config.resolution * columns))

    @staticmethod
    def _place(model: Model, recipe: Recipe, factor: int = 1, *further: str | None) -> str:
        """Where a file is kept: a hash of all that is in it, and a name to save it by."""
        return place((_query(model, recipe), factor, further), file_name(model, recipe, factor))


class Files:
    """Files in one folder that stays below a size: what was asked for longest ago goes."""

    def __init__(
        self, folder: str | Path, most_bytes: int = MAX_FOLDER_BYTES, most: int = MAX_FILES
    ) -> None:
        self.folder, self.most_bytes, self.most = Path(folder), most_bytes, most
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sizes: OrderedDict[Path, int] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, place: str) -> Path | None:
        """The file kept at `place`, folder/name, its age set back to nothing."""
        path = self.folder / place
        with self._lock:
            try:
                os.utime(path)  # gradio deletes by age
                self._sizes.move_to_end(path)
            except (OSError, KeyError):
                return None
        return path

    def put(self, place: str, data: bytes) -> Path:
        """Keep `data` at `place`; the file appears whole."""
        path = self.folder / place
        path.parent.mkdir(exist_ok=True)
        beside = path.with_name(f"{threading.get_ident()}.tmp")
        try:
            beside.write_bytes(data)
            os.replace(beside, path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise
        self._count(path, len(data))
        return path

    @contextmanager
    def filling(self, place: str) -> Iterator[Path]:
        """The path of `place`, for a file too large to hold that others write there whole.

        It is kept when the block ends well; what fails or is given up leaves nothing.
        """
        path = self.folder / place
        path.parent.mkdir(exist_ok=True)
        try:
            yield path
            self._count(path, path.stat().st_size)
        finally:
            with suppress(OSError):  # there is something in it
                path.parent.rmdir()

    def _count(self, path: Path, size: int) -> None:
        """Take a file in, and let others go where it makes them too many."""
        with self._lock:
            self._bytes += size - self._sizes.pop(path, 0)
            self._sizes[path] = size
            while len(self._sizes) > 1 and (
                self._bytes > self.most_bytes or len(self._sizes) > self.most
            ):
                oldest, size = self._sizes.popitem(last=False)
                self._bytes -= size
                shutil.rmtree(oldest.parent, ignore_errors=True)


class Turns:
    """Which of a visitor's requests is the newest, so that older ones can stop by themselves."""

    def __init__(self) -> None:
        self._newest: OrderedDict[str, int] = OrderedDict()
        self._count = itertools.count(1)
        self._lock = threading.Lock()

    def take(self, visitor: str | None) -> int:
        """A number for a new request, larger than all before it."""
        with self._lock:
            turn = next(self._count)
            if visitor is not None:
                self._newest[visitor] = turn
                self._newest.move_to_end(visitor)
                while len(self._newest) > MAX_VISITORS:
                    self._newest.popitem(last=False)
            return turn

    def is_newest(self, visitor: str | None, turn: int) -> bool:
        """Whether this visitor has asked for nothing since."""
        return self._newest.get(visitor, turn) <= turn


def in_words(error: Exception) -> str:
    """What to tell the visitor, as one sentence; a fault of ours is raised again."""
    if isinstance(error, UserError):
        return str(error).rstrip(".") + "."
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return "there is not enough memory for this, ask for fewer pictures."
    if isinstance(error, OSError):
        return f"the picture could not be stored ({error.strerror or type(error).__name__})."
    raise error


def _in_turns(model: Model, recipes: Sequence[Recipe]) -> Iterator[list[Recipe]]:
    """So many at once that other visitors do not wait long for the model."""
    todo, step = iter(recipes), in_turn(model)
    while batch := list(islice(todo, step)):
        yield batch


def in_turn(model: Model) -> int:
    """How many pictures are drawn for one visitor before another gets a turn."""
    return max(1, min(model.batch, STEP_PIXELS // model.config.resolution**2))


def place(key: tuple, name: str) -> str:
    """Where `Files` keeps a file: a hash of all that is in it, and the name to save it by."""
    return f"{hashlib.sha256(repr(key).encode()).hexdigest()[:24]}/{name}"


def plain_name(*parts: str) -> str:
    """Parts of a file's name, without what some system would refuse."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(parts)).lstrip(".")


def file_name(model: Model, recipe: Recipe, factor: int = 1) -> str:
    """A name that tells people which picture it is."""
    seed = "latent" if recipe.w is not None else f"seed{recipe.seed}"
    last = f"-{recipe.seed + recipe.n - 1}" if recipe.n > 1 else ""
    parts = [model.name, seed + last, f"psi{recipe.psi:g}", *([f"{factor}x"] if factor > 1 else [])]
    return plain_name(*parts) + ".png"


def _query(model: Model, recipe: Recipe | Mix) -> str:
    return model.stamped(recipe).to_query()

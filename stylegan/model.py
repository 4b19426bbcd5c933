"""A model that draws recipes: z -> w -> truncate -> mix -> edits -> picture."""

from __future__ import annotations

import copy
import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import lru_cache, partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from stylegan.attachment import Attached, Attachment, elsewhere
from stylegan.checkpoint import (
    DISCRIMINATOR,
    ENCODER,
    Place,
    find_model,
    load_discriminator,
    load_encoder,
    load_generator,
    read_config,
)
from stylegan.config import NetworkConfig, UserError
from stylegan.direction_files import DIRECTIONS, DirectionNote, load_directions
from stylegan.distributed import own_device
from stylegan.latents import along, mix_rows, noise_maps, shift, z_from_seed
from stylegan.mix import Mix
from stylegan.networks.discriminators import AnyDiscriminator
from stylegan.networks.encoder import Encoder
from stylegan.networks.generator import Generator
from stylegan.networks.mapping import broadcast, truncate
from stylegan.networks.ops import to_uint8
from stylegan.networks.synthesis_v2 import Noise, Synthesis
from stylegan.recipe import Recipe, RecipeError, pack_latent, unpack_latent
from stylegan.stamp import grid
from stylegan.walk import Walk

MAX_BATCH = 16
KEPT_WALKS = 4
Stamped = TypeVar("Stamped", Recipe, Walk, Mix)

BATCH_PIXELS = 1 << 20  # pixels drawn at once: 16 pictures of 256x256, one of 1024x1024


class Model:
    """A generator with its name and revision. Threads may share it: they draw in turn."""

    def __init__(
        self,
        name: str,
        revision: str,
        generator: Generator,
        training: dict[str, Any] | None = None,
        directions: dict[str, Tensor] | None = None,
        direction_notes: dict[str, DirectionNote] | None = None,
        place: Place | None = None,
    ) -> None:
        """`directions` maps names to steps [w_dim] or [num_ws, w_dim] one deviation long; `place`
        is where further networks are read from when they are asked for."""
        self.name, self.revision, self.place = name, revision, place
        self.training = training or {}
        self.directions = directions or {}
        notes = direction_notes or {}
        self.direction_notes = {name: notes.get(name, DirectionNote()) for name in self.directions}
        self.generator = generator
        self.synthesize: Callable[..., np.ndarray] = partial(synthesize, generator.synthesis)
        """Pictures of ws; may be replaced by what computes the same elsewhere."""
        self._lock = threading.Lock()
        self._others: dict[str, AnyDiscriminator | Encoder] = {}
        self._attached = Attached(generator.synthesis)
        self._tracks = lru_cache(KEPT_WALKS)(self._find_tracks)  # asked for frame by frame

    @property
    def id(self) -> str:
        """name@revision, as links carry it."""
        return f"{self.name}@{self.revision}"

    @property
    def content(self) -> str:
        """The revision that its weights have in any folder."""
        return self.place.content if self.place else self.revision

    @property
    def config(self) -> NetworkConfig:
        """Shape of the network."""
        return self.generator.config

    @property
    def c_dim(self) -> int:
        """Number of classes, 0 for none."""
        return self.config.c_dim

    @property
    def num_ws(self) -> int:
        """Rows of ws."""
        return self.config.num_ws

    @property
    def device(self) -> torch.device:
        """Where it draws."""
        return self.generator.mapping.w_avg.device

    @property
    def batch(self) -> int:
        """Pictures drawn at once."""
        return max(1, min(MAX_BATCH, BATCH_PIXELS // self.config.resolution**2))

    @property
    def discriminator(self) -> AnyDiscriminator:
        """The folder's own, read when it is first asked for."""
        return self._other(DISCRIMINATOR, load_discriminator)

    @property
    def has_discriminator(self) -> bool:
        """Whether the folder holds a discriminator, or one was given."""
        return DISCRIMINATOR in self._others or self._has(DISCRIMINATOR)

    @property
    def has_encoder(self) -> bool:
        """Whether the folder holds an encoder."""
        return ENCODER in self._others or self._has(ENCODER)

    @property
    def encoder(self) -> Encoder:
        """Pictures [N, C, R, R] in [-1, 1] -> ws, read when it is first asked for."""
        if not self.has_encoder:
            local = self.place is not None and self.place.snapshot is None
            raise UserError(
                f"{self.name} has no encoder; train one: "
                f"python -m train encoder --model {self.place.folder if local else 'MODEL_FOLDER'}"
            )
        return self._other(ENCODER, load_encoder)

    def _has(self, name: str) -> bool:
        return self.place is not None and self.place.get(name) is not None

    def _other(self, name: str, load: Callable[..., Any]) -> Any:
        if name not in self._others and not self._has(name):
            raise UserError(f"{self.name} has no {name}")
        with self._lock:
            if name not in self._others:
                self._others[name] = load(self.place.folder, self.device)
            return self._others[name]

    def carrying(self, attachment: Attachment) -> Model:
        """This model, drawing recipes that name the attachment as well; no weight is copied."""
        model = copy.copy(self)
        model._attached = self._attached.copy()
        model._tracks = lru_cache(KEPT_WALKS)(model._find_tracks)
        model.attach(attachment)
        return model

    def attach(self, attachment: Attachment) -> None:
        """From now on, until others need the room, draw recipes that name the attachment."""
        self._attached.add(attachment)

    def attachment(self, x: str | None) -> Attachment | None:
        """What a recipe's x names, if it is here."""
        return self._attached.get(x)

    def labels(self, c: int, n: int) -> Tensor | None:
        """Class c as one-hot labels [n, c_dim], none where the model has no classes."""
        if not self.c_dim:
            return None
        labels = torch.zeros(n, self.c_dim, device=self.device)
        labels[:, c] = 1
        return labels

    def stamped(self, recipe: Stamped) -> Stamped:
        """The same with this model's id, as every link and file of ours carries it."""
        return dataclasses.replace(recipe, m=self.id)

    def check(self, recipe: Recipe) -> None:
        """Refuse in words a recipe that asks for what this model has not; nothing is drawn."""
        if recipe.c and recipe.c >= self.c_dim:
            has = f"classes 0 to {self.c_dim - 1}" if self.c_dim else "no classes"
            raise RecipeError(f"c {recipe.c}: {self.name} has {has}")
        if recipe.x is not None and self._attached.get(recipe.x) is None:
            raise RecipeError(elsewhere(recipe.x))
        latents = [recipe.w, *(mix.source for mix in recipe.mix)]
        for latent in latents:
            if isinstance(latent, str):
                self._unpacked(latent)
        ranges = [(mix.first, mix.last) for mix in recipe.mix]
        for edit in recipe.e:
            ranges += [edit.rows] if edit.rows else []
            if edit.direction not in self.directions:
                known = ", ".join(sorted(self.directions)) or "none"
                raise RecipeError(
                    f"{self.name} has no direction {edit.direction} (directions: {known})"
                )
        for first, last in ranges:
            if last >= self.num_ws:
                raise RecipeError(
                    f"rows {first}-{last}: {self.name} has rows 0 to {self.num_ws - 1}"
                )

    def ws(self, recipe: Recipe) -> Tensor:
        """What the recipe's first picture is drawn from: float32 [1, num_ws, w_dim]."""
        self.check(recipe)
        with torch.no_grad(), exact(self.device):
            return self._ws(recipe)

    def render(self, recipe: Recipe) -> np.ndarray:
        """The picture of a recipe with n = 1: uint8 [H, W, C], C = 1 grey, 3 RGB or 4 RGBA.

        Drawn alone: the same bits each time by the same build on the same machine.
        """
        if recipe.n != 1:
            raise RecipeError(f"n {recipe.n}: render draws one picture, render_many draws n")
        return next(self.draw([recipe]))

    def render_many(self, recipe: Recipe) -> list[np.ndarray]:
        """The n pictures of a recipe, drawn in batches: within one grey level of those alone."""
        return list(self.draw(recipe.singles()))

    def draw(self, recipes: Sequence[Recipe]) -> Iterator[np.ndarray]:
        """The picture of each recipe (n = 1), uint8 [H, W, C], batch by batch.

        All recipes are checked before the first picture is drawn.
        """
        for recipe in recipes:
            self.check(recipe)
        return self._draw(recipes, self.batch)

    def walk(
        self, walk: Walk, indices: Iterable[int] | None = None, batch: int | None = None
    ) -> Iterator[np.ndarray]:
        """The frames of a walk, uint8 [rows * H, columns * W, C], drawn batch by batch.

        All of them, or those of `indices`; no more than a batch is held at once, of at most `batch`
        pictures where others wait for the model.
        """
        tracks = self._tracks(walk)
        indices = range(walk.total) if indices is None else indices
        return self._frames(tracks, walk, indices, min(batch or self.batch, self.batch))

    def frame(self, walk: Walk, index: int) -> np.ndarray:
        """One frame of a walk, within one grey level of that in the clip."""
        return next(self.walk(walk, [index]))

    def frame_recipe(self, walk: Walk, index: int, place: int = 0) -> Recipe:
        """The recipe of a frame's picture; `place` counts the walks of a grid row by row."""
        return self._tracks(walk)[place].recipe(walk.position(index))

    def table(self, mix: Mix) -> Iterator[tuple[tuple[int | None, int | None], np.ndarray]]:
        """The pictures of a table with their places, as `Mix.recipes` counts them, in order."""
        recipes = mix.recipes()
        return zip(recipes, self.draw(list(recipes.values())), strict=True)

    def _find_tracks(self, walk: Walk) -> list[_Track]:
        for keyframe in walk.keyframes:
            self.check(walk.still(keyframe))
        with torch.no_grad(), exact(self.device):
            return [_Track(self, walk, keyframes) for keyframes in walk.tracks]

    def _frames(
        self, tracks: Sequence[_Track], walk: Walk, indices: Iterable[int], batch: int
    ) -> Iterator[np.ndarray]:
        recipes = (track.recipe(walk.position(i)) for i in indices for track in tracks)
        pictures = self._draw(recipes, batch)
        while places := list(islice(pictures, len(tracks))):
            yield grid(places, walk.grid[0])

    def _draw(self, recipes: Iterable[Recipe], most: int) -> Iterator[np.ndarray]:
        for (noise, x), alike in groupby(recipes, key=lambda recipe: (recipe.noise, recipe.x)):
            while batch := list(islice(alike, most)):
                yield from self._batch(batch, noise, x)

    def _batch(self, recipes: Sequence[Recipe], noise: int | str, x: str | None) -> np.ndarray:
        own, synthesis = self._attached.network(x) if x else ([], self.generator.synthesis)
        tuned = synthesis is not self.generator.synthesis
        draw = partial(synthesize, synthesis) if tuned else self.synthesize
        with self._lock, torch.no_grad(), exact(self.device):
            ws = torch.cat([self._ws(recipe) for recipe in recipes])
            return draw(ws, own if own and noise == "const" else noise)

    def _ws(self, recipe: Recipe) -> Tensor:
        ws = self._source(recipe.seed if recipe.w is None else recipe.w, recipe)
        for mix in recipe.mix:
            ws = mix_rows(ws, self._source(mix.source, recipe), mix.first, mix.last)
        for edit in recipe.e:
            ws = shift(ws, self.directions[edit.direction], edit.strength, edit.rows)
        return ws

    def _source(self, source: int | str, recipe: Recipe) -> Tensor:
        """ws [1, num_ws, w_dim] of a seed, truncated, or of a latent, as it is."""
        if isinstance(source, str):
            return self._unpacked(source).to(self.device)
        z = z_from_seed(source, self.config.z_dim)
        return self._mapped(z, recipe)

    def _mapped(self, z: Tensor, recipe: Recipe) -> Tensor:
        """ws [1, num_ws, w_dim] of z [1, z_dim], truncated."""
        mapping = self.generator.mapping
        w = mapping(z.to(self.device), self.labels(recipe.c, 1))
        ws = broadcast(w, self.num_ws)
        return truncate(ws, mapping.w_avg, recipe.psi, recipe.cut)

    def _unpacked(self, latent: str) -> Tensor:
        values = torch.from_numpy(unpack_latent(latent))
        w_dim = self.config.w_dim
        if len(values) not in (w_dim, self.num_ws * w_dim):
            raise RecipeError(
                f"w holds {len(values)} numbers; {self.name} takes {w_dim}, "
                f"or {self.num_ws} x {w_dim}"
            )
        return values.reshape(1, -1, w_dim).expand(1, self.num_ws, w_dim)


class _Track:
    """One walk of a grid on one model: its keyframes as points, and the recipe at any position.

    Points are float64 on the CPU, so that the same frame has the same latent however it is asked
    for: z [1, z_dim], or ws [1, num_ws, w_dim] less the mean of w, about which slerp turns.
    """

    def __init__(self, model: Model, walk: Walk, keyframes: Sequence[int | str]) -> None:
        self.model, self.walk, self.keyframes = model, walk, keyframes
        self.mean = model.generator.mapping.w_avg.cpu().double()
        self.points = [self._point(keyframe) for keyframe in keyframes]

    def recipe(self, position: float) -> Recipe:
        """A keyframe's own recipe, or that of the latent on the way."""
        i = int(position)
        if position == i:
            return self.walk.still(self.keyframes[i % len(self.keyframes)])
        point = along(self.points, position, self.walk.curve, self.walk.closed)
        first = self.walk.still(self.keyframes[0])
        if self.walk.space == "z":
            with torch.no_grad(), exact(self.model.device):
                ws = self.model._mapped(point.float(), first).cpu()
        else:
            ws = (point + self.mean).float()
        same = bool((ws == ws[:, :1]).all())
        latent = pack_latent((ws[0, 0] if same else ws[0]).numpy())
        return dataclasses.replace(first, seed=0, w=latent)

    def _point(self, keyframe: int | str) -> Tensor:
        if self.walk.space == "z":
            return z_from_seed(keyframe, self.model.config.z_dim).double()
        ws = self.model._source(keyframe, self.walk.still(keyframe))
        return ws.cpu().double() - self.mean


def load(
    path_or_id: str | Path,
    device: str | torch.device = "cpu",
    cache: str | Path | None = None,
    most_bytes: int | None = None,
) -> Model:
    """Open a model for drawing: a folder, or user/name@revision of the Hub.

    `device` is cpu, cuda, cuda:1 ..., or auto. What the Hub has is fetched once and kept in the
    user's cache, or in the folder `cache`; files above `most_bytes` are refused.
    """
    place = find_device(device)
    found = find_model(path_or_id, cache=cache, most_bytes=most_bytes)
    folder = found.folder
    generator = load_generator(folder, place)
    _, training = read_config(folder)
    steps, notes = {}, {}
    if (folder / DIRECTIONS).is_file():
        steps, notes = load_directions(folder / DIRECTIONS, generator.config)
    steps = {name: step.to(place) for name, step in steps.items()}
    return Model(found.name, found.revision, generator, training, steps, notes, found)


@torch.no_grad()
def synthesize(synthesis: Synthesis, ws: Tensor, noise: int | Noise) -> np.ndarray:
    """uint8 [N, H, W, C] of ws [N, num_ws, w_dim], on the device that network and ws are on."""
    if isinstance(noise, int):
        noise = noise_maps(noise, synthesis.noise_shapes)
    if not isinstance(noise, str):
        noise = [m.to(ws.device) for m in noise]
    with exact(ws.device):
        x = to_uint8(synthesis(ws, noise))  # [N, C, H, W]
    return x.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def find_device(name: str | torch.device = "auto") -> torch.device:
    """The device of this name, once it is known to work; auto is the GPU where CUDA has one.

    Of several processes on a machine each is given a GPU of its own, unless one is named.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = own_device(torch.device(name))
    except RuntimeError as error:
        raise UserError(
            f"there is no device {name}: give cpu, cuda, cuda:1, mps or auto"
        ) from error
    try:
        torch.zeros(1, device=device).tolist()  # meta makes numbers, but has none
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"device {name} cannot be used here: {reason}") from error
    return device


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Full float32 and the same algorithms every time, so that devices agree on a recipe."""
    with _EXACTLY if device.type == "cuda" else nullcontext():
        yield


class _Exactly:
    """Flags that all threads of the process share: the first that needs them sets them, and the
    last that does puts back what was before."""

    def __init__(self) -> None:
        self._lock, self._users, self._flags = threading.Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._users:
                matmul = torch.backends.cuda.matmul
                self._flags.callback(setattr, matmul, "allow_tf32", matmul.allow_tf32)
                matmul.allow_tf32 = False
                cudnn = torch.backends.cudnn.flags(
                    enabled=True, benchmark=False, deterministic=True, allow_tf32=False
                )
                self._flags.enter_context(cudnn)
            self._users += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._flags.close()


_EXACTLY = _Exactly()

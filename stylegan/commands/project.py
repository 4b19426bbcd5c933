"""python -m stylegan project: the latent that draws a picture of your own."""

from __future__ import annotations

import argparse
import dataclasses
import math
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from stylegan.commands.parts import DONE, add_common, load_model, say
from stylegan.config import UserError
from stylegan.latent_files import SUFFIXES, read_latent, write_latent, write_npz
from stylegan.model import Model
from stylegan.pictures import PictureError, open_picture
from stylegan.projector import ProjectConfig, Projected, Projection, picture_of, target
from stylegan.query import is_digits
from stylegan.recipe import Recipe, pack_latent
from stylegan.stamp import clip_comment, enlarge, write_png
from stylegan.video import clip_kind, write_clip

PICTURE, PAIR, LATENT, NPZ = (
    "projected.png",
    "side-by-side.png",
    "latent.safetensors",
    "projected_w.npz",
)
PAIR_PX = 256  # small pictures are enlarged to about this side
FPS, MOST_FRAMES, MOST_FRAME_BYTES = 30, 240, 256 << 20
DEFAULTS = {field.name: field.default for field in dataclasses.fields(ProjectConfig)}


def add(commands: argparse._SubParsersAction) -> None:
    """Its place on the command line."""
    command = commands.add_parser(
        "project", help="the latent that draws a picture of your own", description=project.__doc__
    )
    command.set_defaults(run=project)
    command.add_argument(
        "photo", help="a picture; or a latent to draw: projected_w.npz, latent.safetensors"
    )
    command.add_argument(
        "-o", "--out", required=True, metavar="DIR", help=f"folder for {PICTURE}, {LATENT} ..."
    )
    command.add_argument("--space", choices=("w", "w+"), default=DEFAULTS["space"])
    command.add_argument(
        "--method",
        choices=("default", "paper"),
        default=DEFAULTS["method"],
        help="paper is StyleGAN2's own projector, for comparison",
    )
    command.add_argument(
        "--start",
        default=DEFAULTS["start"],
        metavar="WHERE",
        help="encoder, mean or a seed (the encoder where there is one)",
    )
    command.add_argument(
        "--distance",
        default=DEFAULTS["distance"],
        help="disc, pixels, vgg or a detector file: what is compared "
        "(disc; pixels where the model has no discriminator)",
    )
    command.add_argument("--steps", metavar="N", help="most steps (200; with method paper 1000)")
    command.add_argument("--noise", action="store_true", help="optimise the noise maps as well")
    command.add_argument(
        "--tune", action="store_true", help="tune the generator for this picture afterwards"
    )
    command.add_argument("--tune-steps", metavar="N", default=str(DEFAULTS["tune_steps"]))
    command.add_argument("--seed", metavar="N", default=str(DEFAULTS["seed"]))
    command.add_argument("--c", metavar="C", default=str(DEFAULTS["c"]), help="the class")
    command.add_argument(
        "--fit", choices=("crop", "pad"), default="crop", help="how the picture becomes a square"
    )
    command.add_argument(
        "--video", metavar="PATH", help="a .mp4, .webm or .gif of the journey, beside the target"
    )
    add_common(command)


def project(options: argparse.Namespace) -> int:
    """Find the latent that draws a picture; Ctrl-C keeps the best so far."""
    out, photo = Path(options.out), Path(options.photo)
    config = read_config(options)
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; -o takes a folder")
    if options.video is not None:
        clip_kind(options.video)
    if photo.suffix.lower() in SUFFIXES:
        return _draw_latent(options, read_latent(photo), out)
    try:
        image = open_picture(photo)
    except PictureError as error:
        raise UserError(f"{photo}: {error}") from error
    model = load_model(options)
    wanted = target(image, model.config, options.fit)
    frames: list[np.ndarray] | None = None
    if options.video is not None:
        frames, config = [], dataclasses.replace(config, every=_stride(config, wanted))
    projection = Projection(model, wanted, config)
    stopped = _run(projection, frames)
    result = projection.result()
    query = result.recipe.to_query()
    _write(out, model, result, picture_of(wanted))
    if frames:
        goal = picture_of(wanted)
        pairs = (np.concatenate([goal, frame], axis=1) for frame in frames)
        with closing(write_clip(options.video, pairs, FPS, clip_comment(query))) as work:
            for _ in work:
                pass
    if stopped:
        say("stopped; kept the best so far")
    print(f"{out / PICTURE}: {result.psnr:.1f} dB, {query}")
    return DONE


def read_config(options: argparse.Namespace) -> ProjectConfig:
    """The settings that were typed."""
    whole = {name: getattr(options, name) for name in ("steps", "tune_steps", "seed", "c")}
    for name, text in whole.items():
        if text is not None and not is_digits(text, 10):
            flag = name.replace("_", "-")
            raise UserError(f"--{flag} {text[:40]!r} is not a whole number")
    return ProjectConfig(
        space=options.space,
        method=options.method,
        start=options.start,
        distance=options.distance,
        noise=options.noise,
        tune=options.tune,
        **{name: None if text is None else int(text) for name, text in whole.items()},
    )


def _run(projection: Projection, frames: list[np.ndarray] | None) -> bool:
    """Go through the steps; whether Ctrl-C ended it after the first one."""
    try:
        with tqdm(unit="step") as bar:
            for step in projection.run():
                bar.total, bar.n = step.steps, step.step
                bar.set_description(step.stage, refresh=False)
                bar.set_postfix(distance=f"{step.distance:.4f}")
                if frames is not None and step.picture is not None:
                    frames.append(step.picture)
    except KeyboardInterrupt:
        if projection.ws is None:
            raise
        return True
    return False


def _stride(config: ProjectConfig, wanted: torch.Tensor) -> int:
    """Steps from frame to frame of a video that is neither long nor large."""
    steps = config.most_steps + (config.tune_steps if config.tune else 0)
    most = max(1, min(MOST_FRAMES, MOST_FRAME_BYTES // wanted.numel()))
    return math.ceil(steps / most)


def _draw_latent(options: argparse.Namespace, w: torch.Tensor, out: Path) -> int:
    """The picture of a latent's file, with its recipe inside."""
    if options.video is not None:
        raise UserError("a latent is drawn at once, without a journey; leave --video out")
    model = load_model(options)
    same = bool((w == w[:1]).all())
    recipe = model.stamped(Recipe(w=pack_latent((w[:1] if same else w).numpy()), t="project"))
    picture = model.render(recipe)
    _write_latent(out, model, recipe)
    write_png(out / PICTURE, picture, recipe.to_query())
    print(f"{out / PICTURE}: {recipe.to_query()}")
    return DONE


def _write(out: Path, model: Model, result: Projected, goal: np.ndarray) -> None:
    """The picture with all it carries, its latent, and the target beside it."""
    query, attachment = result.recipe.to_query(), result.attachment
    drawn_by = model.carrying(attachment) if attachment else model
    write_png(out / PICTURE, result.picture, query, attachment.blob if attachment else None)
    pair = np.concatenate([goal, result.picture], axis=1)
    factor = max(1, PAIR_PX // len(goal))
    write_png(out / PAIR, enlarge(pair, factor), query)
    _write_latent(out, drawn_by, result.recipe)


def _write_latent(out: Path, model: Model, recipe: Recipe) -> None:
    ws = model.ws(recipe)[0].cpu()
    write_latent(out / LATENT, ws, recipe.to_query())
    write_npz(out / NPZ, ws)

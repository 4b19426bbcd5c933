"""The Projection tab: the latent that draws a picture of one's own."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from stylegan import features
from stylegan.config import UserError
from stylegan.latent_files import SUFFIXES, read_latent, write_latent, write_npz
from stylegan.model import Model
from stylegan.projector import (
    ProjectConfig,
    picture_of,
)
from stylegan.query import MAX_SEED, check_whole, pack_latent
from stylegan.recipe import Recipe
from stylegan.stamp import clip_comment, enlarge, png_bytes, read_recipe
from stylegan.tabs.easel import (
    Easel,
    Easels,
    address_of,
    brought,
    data_url,
    journey_frames,
    moved,
    small,
    stage_value,
)
from stylegan.tabs.link import Opened, ShareRow, Value, usual_factor
from stylegan.tabs.parts import cells_part, model_value, part, picture_part, picture_value
from stylegan.tabs.search import (
    LEAST_STEPS,
    MOST_STEPS,
    Search,
    Withdrawn,
    allowed_look,
)
from stylegan.tabs.session import Session, Turns, carried, in_words, plain_name
from stylegan.tabs.tab import Updates, said
from stylegan.tabs.target import Example, closeness, examples, first_guess, target_value
from stylegan.video import write_clip

EXAMPLE_PX = 128
FPS = 20  # of a journey
BRING = "sg-bring"
BRING_FIRST = "bring a picture first: choose a file, drop one, paste one, or take an example"
File = tuple[str, bytes]  # name, content
STARTS = {"encoder": "the encoder's guess", "mean": "the average", "seed": "a seed"}


@dataclass(frozen=True)
class View:
    """What one visitor sees."""

    recipe: Recipe

    @property
    def value(self) -> Recipe:
        """What the link brings back."""
        return self.recipe


class ProjectionTab:
    """A picture -> a Recipe. A tab of the page, built where it is created."""

    id = "project"

    def __init__(self, session: Session, notes: gr.HTML, model: gr.Dropdown) -> None:
        self.session, self.notes, self.model = session, notes, model
        self.easels, self.stops, self.withdrawn = Easels(), Turns(), Withdrawn()
        session.leaving.append(self.easels.drop)
        self._examples: dict[str, list[Example]] = {}
        self.view = gr.State()
        with gr.Row(elem_classes="sg-tab"):
            with gr.Column(scale=4, min_width=320):
                self._build_easel()
            with gr.Column(scale=6, min_width=320):
                self._build_pair()
                self._build_search()
                self._build_files()
        self.inputs = {self.view, self.space, self.tune, self.method, self.start, self.seed}
        self.inputs |= {self.steps, self.look, self.noise, self.c, self.model, self.search}
        self.shown = [self.view, self.stage, self.target, self.picture, self.closeness]
        self.shown += [self.notes, self.search, *self.share.outputs]
        self.outputs = [*self.shown, self.model, self.c, self.start]
        self._connect()

    # The page

    def _build_easel(self) -> None:
        self.stage = part(
            '<div class="sg-stage" tabindex="0" role="group"><div class="sg-invite">'
            "<p><strong>Drop a picture here</strong>, or paste one</p><div></div></div>"
            '<img alt=""><video class="sg-off" muted playsinline></video></div>'
            '<div class="sg-frame sg-off"><label>Zoom <input type="range"></label>'
            "<label>Behind it <input type=color></label></div>"
            '<div class="sg-do sg-bringing"></div><p class="sg-status" role="status"></p>',
            f"easel(element, props, trigger, watch, {BRING!r})",
            {},
            elem_id="sg-easel",
        )
        with gr.Row(elem_id=BRING):  # what easel() hands files to
            self.bring = gr.UploadButton("Choose a picture")
        gr.HTML(
            '<p class="sg-hint">Your picture stays in the memory of this visit: it is not stored, '
            "and gone when you leave.</p><p class='sg-said'>Or take one of these, made by the "
            "model itself:</p>",
            apply_default_css=False,
        )
        self.examples = cells_part("Examples", in_one_row=True)

    def _build_pair(self) -> None:
        with gr.Row(elem_classes="sg-pair"):
            self.target = part(
                '<figure class="sg-target"><img alt=""><figcaption></figcaption></figure>',
                "target(element, props, watch)",
                {},
            )
            self.picture = picture_part()
        self.closeness = part('<p class="sg-said"></p>', "words(element, props, watch)", "")

    def _build_search(self) -> None:
        self.search = part(
            '<div class="sg-maker"><div class="sg-do">'
            '<button type="button" class="sg-main">Find its latent</button>'
            '<button type="button" class="sg-off">Stop and keep</button>'
            '<button type="button" class="sg-off">Cancel</button></div>'
            '<progress class="sg-off" max="1" aria-label="How far the search is"></progress>'
            '<p class="sg-status" role="status"></p>'
            '<figure class="sg-curve sg-off"><svg viewBox="0 0 320 80" role="img" '
            'preserveAspectRatio="none"><polyline></polyline></svg>'
            "<figcaption></figcaption></figure></div>",
            "search(element, props, trigger, watch)",
            {},
            elem_id="sg-search",
        )
        self.space = gr.Radio(
            [("every row its own (w+)", "w+"), ("one for all rows (w)", "w")],
            value="w+",
            label="Latent",
            info="w+ comes closer to the picture; w stays among what the model draws by itself, "
            "and is easier to edit",
            elem_id="sg-space-of-search",
        )
        self.tune = gr.Checkbox(
            label="Tune the generator to it afterwards",
            info="closest of all; the change is small, is yours alone, and travels in the PNG",
            elem_id="sg-tune",
        )
        self.c = gr.Slider(
            0, 1, step=1, label="Class", visible=False, elem_id="sg-project-c", buttons=[]
        )
        with gr.Accordion("Finer controls", open=False, elem_classes="sg-further"):
            self._build_further_controls()

    def _build_further_controls(self) -> None:
        self.method = gr.Radio(
            [("ours", "default"), ("the paper's", "paper")],
            value="default",
            label="Method",
            info="the paper's is the projector of StyleGAN2, for comparison: it begins at the "
            "average, takes 1000 steps, and optimises noise maps as well",
            elem_id="sg-method",
        )
        self.start = gr.Radio(
            [(words, how) for how, words in STARTS.items()],
            value="mean",
            label="Begin at",
            elem_id="sg-start",
        )
        self.seed = gr.Number(
            0, label="Seed to begin at", precision=0, visible=False, elem_id="sg-start-seed"
        )
        self.steps = gr.Slider(
            LEAST_STEPS,
            MOST_STEPS,
            value=ProjectConfig().most_steps,
            step=10,
            label="Steps at most",
            info="it ends sooner where nothing improves any more",
            elem_id="sg-steps",
            buttons=[],
        )
        eyes = [("the model's own eye", "auto"), ("pixels alone", "pixels")]
        if features.has_vgg16():
            eyes.append(("VGG16", "vgg"))
        self.look = gr.Radio(
            eyes,
            value="auto",
            label="Compared by",
            info="the own eye is the network that judged the model's pictures while it was trained",
            elem_id="sg-look",
        )
        self.noise = gr.Checkbox(
            label="Find noise maps, too",
            info="fine texture; they travel in the PNG",
            elem_id="sg-find-noise",
        )

    def _build_files(self) -> None:
        self.share = ShareRow(self.session, self.view, lambda view: (view.recipe, view.recipe))
        with gr.Row(elem_classes="sg-share sg-fourths"):
            self.save_pair = gr.Button("Side by side", size="md")
            self.save_latent = gr.Button("Latent", size="md")
            self.save_npz = gr.Button(".npz", size="md")
            self.save_journey = gr.Button("Journey", size="md")
        gr.HTML(
            '<p class="sg-hint">Download is the picture, which carries its latent and can be '
            "opened here again; side by side it has yours beside it. The latent is saved as "
            ".safetensors, or as .npz for other programs; the journey is a clip of the search.</p>",
            apply_default_css=False,
        )

    def _connect(self) -> None:
        quiet = {
            "show_progress": "hidden",
            "api_visibility": "private",
            "concurrency_id": "guess",
            "concurrency_limit": 1,
        }
        self.bring.upload(self._brought, [self.bring, self.view], self.outputs, **quiet)
        quiet.update(preprocess=False, trigger_mode="always_last")
        kept = {self.view, self.stage, self.c}
        changed = [self.stage.input, self.c.input]
        gr.on(changed, self._moved, kept, self.shown, **quiet)
        self.examples.select(self._picked, {self.view}, self.outputs, **quiet)
        self.method.input(_usual_steps, self.method, self.steps, **quiet)
        self.start.input(_needs_seed, self.start, self.seed, **quiet)
        quiet.update(concurrency_id="fill", concurrency_limit=2)
        self.view.change(self._fill, self.view, self.examples, **quiet)
        quiet.update(concurrency_id="stop")
        self.search.stop(self._stop, None, None, **quiet)
        quiet.update(concurrency_id="save", concurrency_limit=1, trigger_mode="once")
        for button, file in (
            (self.save_pair, self._pair_file),
            (self.save_latent, self._latent_file),
            (self.save_npz, self._npz_file),
            (self.save_journey, self._journey_file),
        ):
            button.click(self._saves(file), {self.view}, self.share.saver, **quiet)
        quiet.update(concurrency_id="project", show_progress="minimal")
        found = self.search.submit(self._find, self.inputs, self.shown, **quiet)
        quiet.update(concurrency_id="stop", concurrency_limit=2, show_progress="hidden")
        left = {self.view, self.search}
        self.search.clear(self._cancelled, left, self.shown, cancels=[found], **quiet)

    # What the page asks of a tab

    def welcome(self, model: Model) -> Recipe:
        """The average picture, where a search begins without an encoder."""
        return Recipe(psi=0, t="project")

    def open(self, opened: Opened, request: gr.Request) -> Updates:
        """Outputs that show a recipe of any tab; a picture that is here stays for comparison."""
        recipe = dataclasses.replace(opened.value, t="project", n=1)
        self._give_way(request)
        easel = self.easels.get(request.session_hash)
        if easel is not None and recipe == self.welcome(opened.model):
            return self._take(easel, opened.model, 0, request, opened.notes)
        shown = self._show(recipe, opened.model, easel, opened.notes)
        return {**shown, **self._set_controls(recipe, opened.model)}

    def adapted(self, value: Value, model: Model) -> Recipe:
        """What another model can take of a recipe: its seed, where it has one."""
        if value.w is not None:
            return self.welcome(model)
        c = value.c if value.c < max(model.c_dim, 1) else 0
        return dataclasses.replace(value, c=c, cut=None, mix=(), e=(), x=None)

    def take(self, view: View | None, pictures: Sequence[Recipe], how: str, model: Model) -> Recipe:
        """The picture, as a result to compare with."""
        return dataclasses.replace(pictures[0], t="project")

    def take_file(self, path: str | Path, model: Model, request: gr.Request) -> Updates:
        """Outputs that show a picture to be found, or a file's latent. Errors are UserErrors."""
        if Path(path).suffix.lower() in SUFFIXES:
            w = read_latent(path)
            same = bool((w == w[:1]).all())
            recipe = Recipe(w=pack_latent((w[:1] if same else w).numpy()), t="project")
            return self.open(Opened(recipe, model, []), request)
        easel = brought(path, "your picture")
        notes = []
        if _carries_recipe(path):
            notes.append(
                "This picture was drawn here and carries its recipe: drop it beside this tab's "
                "frame, or open it below, and it comes back exactly."
            )
        return self._take(easel, model, 0, request, notes)

    # What visitors do

    def _brought(self, path: str, view: View | None, request: gr.Request) -> Updates:
        try:
            model, _ = self.session.pick(view.recipe.m if view else None)
            return self.take_file(path, model, request)
        except Exception as error:
            return {self.notes: [f"This picture cannot be used: {in_words(error)}"]}
        finally:
            Path(path).unlink(missing_ok=True)

    def _moved(self, values: Updates, request: gr.Request) -> Updates:
        """Another frame, background or class: what is to be found has changed."""
        view, easel = values[self.view], self.easels.get(request.session_hash)
        if view is None or values[self.c] is None:
            return gr.skip()
        try:
            model, _ = self.session.pick(view.recipe.m)
            if easel is None:
                raise UserError(BRING_FIRST)
            easel = moved(easel, values[self.stage])
            if easel.fit not in ("crop", "pad"):
                easel = dataclasses.replace(easel, known=None)
            c = check_whole("c", values[self.c], 0, max(0, model.c_dim - 1))
            outputs = self._take(easel, model, c, request, [])
            return self._without_fixed({part: outputs[part] for part in self.shown})
        except Exception as error:
            return {self.notes: [f"This cannot be used: {in_words(error)}"]}

    def _picked(self, values: Updates, event: gr.EventData, request: gr.Request) -> Updates:
        index = event._data.get("index") if isinstance(event._data, dict) else None
        view = values[self.view]
        model, _ = self.session.pick(view.recipe.m if view else None)
        examples = self.examples_of(model)
        if not isinstance(index, int) or not 0 <= index < len(examples):
            return gr.skip()
        try:
            example = examples[index]
            image = Image.fromarray(np.squeeze(example.picture))
            image = image.convert("RGBA" if example.picture.shape[2] == 4 else "RGB")
            easel = Easel(image, f"example: {example.label}", known=example.known)
            return self._take(easel, model, 0, request, [])
        except Exception as error:
            return {self.notes: [f"This cannot be drawn: {in_words(error)}"]}

    def _find(self, values: Updates, request: gr.Request) -> Iterator[Updates]:
        """How far the search is, and then what it found; closed by gradio where it is cancelled."""
        visitor, easel = request.session_hash, self.easels.get(request.session_hash)
        if self.withdrawn.holds(visitor, values[self.search]):
            yield gr.skip()
            return
        stop, turn = self.stops.take(visitor), self._give_way(request)
        try:
            if easel is None:
                raise UserError(BRING_FIRST)
            model, config = self._read(values)
            search = Search(model, easel.target(model.config), config)
            for step in search.run():
                if not self.session.turns.is_newest(_work(request), turn):
                    yield gr.skip()  # another picture was brought meanwhile
                    return
                yield {self.search: search.value(step), self.picture: _live(search, model)}
                if not self.stops.is_newest(visitor, stop):
                    search.ended = "Stopped, with the best so far."
                    break
            result = search.result()
            if result.attachment is not None:
                model.attach(result.attachment)
            easel = dataclasses.replace(easel, journey=tuple(search.frames))
            self.easels.put(visitor, easel)
            done = {"state": "done", "words": search.ended, "curve": search.curve()}
            shown = self._show(result.recipe, model, easel, [], done)
            yield self._without_fixed(shown)
        except Exception as error:
            words = f"Nothing was found: {in_words(error)}"
            yield {self.search: {"state": "failed", "words": words}}

    def _stop(self, request: gr.Request) -> None:
        self.stops.take(request.session_hash)

    def _cancelled(self, values: Updates, request: gr.Request) -> Updates:
        """Outputs that show what was there before the search."""
        self._give_way(request)
        self.withdrawn.add(request.session_hash, values[self.search])
        view, idle = values[self.view], {"state": "idle", "words": "Cancelled."}
        if view is None:
            return {self.search: idle}
        try:
            model, _ = self.session.pick(view.recipe.m)
            easel = self.easels.get(request.session_hash)
            return self._without_fixed(self._show(view.recipe, model, easel, [], idle))
        except Exception as error:
            return {self.search: {"state": "failed", "words": in_words(error)}}

    # Controls -> settings

    def _read(self, values: Updates) -> tuple[Model, ProjectConfig]:
        """The model and the settings that the controls stand for."""
        view = values[self.view]
        model, _ = self.session.pick(view.recipe.m if view else values[self.model])
        paper, start = values[self.method] == "paper", values[self.start]
        if start == "seed":
            start = str(check_whole("seed", values[self.seed], 0, MAX_SEED))
        allowed_look(values[self.look])
        if values[self.steps] is None or values[self.c] is None:
            raise UserError("a number was left out; fill in the empty box")
        config = ProjectConfig(
            space=values[self.space],
            method=values[self.method],
            start="mean" if paper else start,
            distance=values[self.look],
            steps=check_whole("steps", values[self.steps], LEAST_STEPS, MOST_STEPS),
            noise=bool(values[self.noise]),
            tune=bool(values[self.tune]),
            c=check_whole("c", values[self.c], 0, max(0, model.c_dim - 1)),
        )
        return model, dataclasses.replace(config, every=_stride(config))

    def _set_controls(self, recipe: Recipe, model: Model) -> Updates:
        starts = [(words, how) for how, words in STARTS.items()]
        usual = "encoder" if model.has_encoder else "mean"
        return {
            self.model: model_value(self.session, model),
            self.c: gr.Slider(
                maximum=max(1, model.c_dim - 1), value=recipe.c, visible=model.c_dim > 1
            ),
            self.start: gr.Radio(choices=starts if model.has_encoder else starts[1:], value=usual),
        }

    # Drawing

    def _give_way(self, request: gr.Request) -> int:
        """The newest work of a visitor's; an older search of theirs ends."""
        return self.session.turns.take(_work(request))

    def _take(
        self, easel: Easel, model: Model, c: int, request: gr.Request, notes: list[str]
    ) -> Updates:
        """Outputs that show a new target, and the first guess at it."""
        self._give_way(request)
        self.easels.put(request.session_hash, easel)
        recipe = first_guess(model, easel.target(model.config), c)
        guess = "The encoder's guess" if model.has_encoder else "The average, to begin with"
        words = f"{guess}: the search comes closer."
        shown = self._show(recipe, model, easel, notes, {"state": "idle", "words": words})
        return {**shown, **self._set_controls(recipe, model)}

    def _without_fixed(self, outputs: Updates) -> Updates:
        """Outputs that leave alone what a visitor may hold just now."""
        fixed = (self.stage, self.share.factor)
        return {part: update for part, update in outputs.items() if part not in fixed}

    def _show(
        self,
        recipe: Recipe,
        model: Model,
        easel: Easel | None,
        notes: list[str],
        search: dict[str, Any] | None = None,
    ) -> Updates:
        """Outputs with a recipe's picture beside what it is to be like."""
        model.check(recipe)
        recipe = model.stamped(recipe)
        file, words = self.session.picture(model, recipe), said(recipe)
        return {
            self.view: View(recipe),
            self.stage: stage_value(easel),
            self.target: target_value(easel, model),
            self.picture: picture_value(
                file,
                f"Picture drawn by {model.name}: {words}",
                words,
                model.config.resolution,
                recipe.to_query(),
            ),
            self.closeness: closeness(recipe, model, easel, file) if easel else "",
            self.notes: notes,
            self.search: search or {"state": "idle"},
            **self.share.update(recipe, model, True),
        }

    def _fill(self, view: View | None) -> dict[str, Any]:
        """The examples of the model in view."""
        if view is None:
            return {}
        model, _ = self.session.pick(view.recipe.m)
        cells = [
            {
                "file": {"url": data_url(small(example.picture, EXAMPLE_PX))},
                "alt": f"Example: {example.label}",
                "label": example.label,
            }
            for example in self.examples_of(model)
        ]
        return {"cells": cells, "current": -1, "crisp": True}

    def examples_of(self, model: Model) -> list[Example]:
        """Drawn when they are first asked for."""
        if model.id not in self._examples:
            self._examples[model.id] = examples(model)
        return self._examples[model.id]

    # Files

    def _saves(self, data: Callable[[Recipe, Model, Easel | None], File]) -> Callable[..., Any]:
        """Saves what may hold the visitor's picture: sent as data, it lies in no folder."""

        def save(values: Updates, request: gr.Request) -> Any:
            view = values[self.view]
            if view is None:
                return gr.skip()
            try:
                model, _ = self.session.pick(view.recipe.m)
                easel = self.easels.get(request.session_hash)
                name, blob = data(view.recipe, model, easel)
                file = {"url": address_of(blob, "application/octet-stream")}
                count = self.session.turns.take(None)
                return {"file": file, "name": name, "count": count}
            except Exception as error:
                raise gr.Error(in_words(error), print_exception=False) from None

        return save

    def _pair_file(self, recipe: Recipe, model: Model, easel: Easel | None) -> File:
        """The target and the picture beside each other, with the recipe inside."""
        goal = picture_of(_own(easel).target(model.config))
        pair = np.concatenate([goal, model.render(recipe)], axis=1)
        large = enlarge(pair, usual_factor(model.config.resolution))
        data = png_bytes(large, recipe.to_query(), attachment=carried(model, recipe))
        return plain_name(model.name, "pair") + ".png", data

    def _latent_file(self, recipe: Recipe, model: Model, easel: Easel | None) -> File:
        def write(path: Path) -> None:
            write_latent(path, model.ws(recipe)[0].cpu(), recipe.to_query())

        return plain_name(model.name, "latent") + ".safetensors", _written(".safetensors", write)

    def _npz_file(self, recipe: Recipe, model: Model, easel: Easel | None) -> File:
        def write(path: Path) -> None:
            write_npz(path, model.ws(recipe)[0].cpu())

        return "projected_w.npz", _written(".npz", write)

    def _journey_file(self, recipe: Recipe, model: Model, easel: Easel | None) -> File:
        """A clip of the latest search, its target beside it."""
        easel = _own(easel)
        if not easel.journey:
            raise UserError("there is no journey yet: find a latent first")
        goal = picture_of(easel.target(model.config))
        frames = journey_frames(easel.journey, goal)
        frames += [frames[-1]] * FPS  # a second to look at it

        def write(path: Path) -> None:
            comment = clip_comment(recipe.to_query())
            with closing(write_clip(path, iter(frames), FPS, comment)) as work:
                for _ in work:
                    pass

        return plain_name(model.name, "journey") + ".mp4", _written(".mp4", write)


def _written(suffix: str, write: Callable[[Path], None]) -> bytes:
    """What is written to a file that is gone again."""
    with tempfile.TemporaryDirectory(prefix="stylegan-save-") as folder:
        path = Path(folder) / f"file{suffix}"
        write(path)
        return path.read_bytes()


def _live(search: Search, model: Model) -> dict[str, Any]:
    """The large picture while it is searched for; nothing can be done with it yet."""
    cell = {"file": {"url": data_url(search.picture)}, "alt": "What is found so far"}
    side = model.config.resolution
    return {"cell": cell, "caption": "so far", "crisp": side < 512, "query": ""}


def _carries_recipe(path: str | Path) -> bool:
    try:
        return read_recipe(path) is not None
    except UserError:
        return False


def _own(easel: Easel | None) -> Easel:
    if easel is None:
        raise UserError(BRING_FIRST)
    return easel


def _work(request: gr.Request) -> str:
    """Whose searches give way to newer ones; page.py ends them by this name, too."""
    return f"{request.session_hash}/{ProjectionTab.id}"


def _usual_steps(method: str) -> int:
    """How many steps a method usually takes."""
    return ProjectConfig(method="paper" if method == "paper" else "default").most_steps


def _needs_seed(start: str) -> Any:
    return gr.Number(visible=start == "seed")


def _stride(config: ProjectConfig) -> int:
    """Steps from picture to picture; drawing one of them costs next to nothing."""
    return max(1, config.most_steps // 100)

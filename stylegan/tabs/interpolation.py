"""The Interpolation tab: a walk from picture to picture, moved through by hand, saved as a clip."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from stylegan.config import UserError
from stylegan.model import Model
from stylegan.query import RecipeError, check_choice, check_number, check_whole, read_sources, shown
from stylegan.recipe import Recipe
from stylegan.stamp import STRIP_FRAMES
from stylegan.tabs.clips import (
    KINDS,
    check_length,
    find_clip,
    frame_file,
    make_clip,
    most_frames,
    short_name,
    strip_file,
)
from stylegan.tabs.link import LONG_PIXELS, USUAL_PX, Opened, link_value
from stylegan.tabs.look import PSI_INFO, Look
from stylegan.tabs.parts import (
    cells_value,
    file_value,
    link_part,
    model_value,
    part,
    picture_part,
    picture_value,
    saver_part,
    saver_value,
)
from stylegan.tabs.seeds import PATIENCE_SEC
from stylegan.tabs.session import Session, in_words
from stylegan.tabs.tab import Updates, drawn_like, fitting_cut, source
from stylegan.walk import MAX_FPS, MAX_FRAMES, MAX_GRID, MAX_KEYFRAMES, Walk

STEP_SEC = 0.25  # between two words on how far a clip is
SURE_SEC = 1  # of drawing, before the time left is told
ALL = -1  # all walks of a grid, in place of the number of one


@dataclass(frozen=True)
class View:
    """What one visitor sees: a walk, and what is needed to read what the page sends next."""

    walk: Walk
    turn: int
    serial: int = 0
    """Of the newest order of thumbnails that it knows."""
    latents: tuple[str, ...] = ()
    """All that were keyframes here; their short names can be typed."""

    @property
    def value(self) -> Walk:
        """What the link brings back."""
        return self.walk


class InterpolationTab:
    """Controls <-> Walk. A tab of the page, built where it is created."""

    id = "walk"

    def __init__(self, session: Session, notes: gr.HTML, model: gr.Dropdown) -> None:
        self.session, self.notes, self.model = session, notes, model
        self.view = gr.State()
        self._build_examples()
        with gr.Row(elem_classes="sg-tab"):
            with gr.Column(scale=4, min_width=320):
                self._build_timeline()
                self._build_share_row()
                self._build_maker()
            with gr.Column(scale=6, min_width=320, elem_classes="sg-ways"):
                self._build_keyframes()
                self._build_times()
                self._build_ways()
                self._build_further_controls()
        boxes = [self.model, self.text, self.per, self.unit, self.fps, self.loop, *self.look.boxes]
        boxes += [self.curve, self.ease, self.space, self.columns, self.rows]
        self.inputs = {*boxes, self.view, self.link, self.timeline, self.keyframes, self.place}
        self.shown = [self.view, self.picture, self.notes, self.link, self.timeline, self.summary]
        self.shown += [self.place, self.space]
        self.controls = [*boxes, self.keyframes, self.look.further, self.maker, *self.examples]
        self.outputs = list(dict.fromkeys([*self.shown, *self.controls]))
        self._connect()

    # The page

    def _build_examples(self) -> None:
        with gr.Row(elem_classes="sg-examples"):
            names = max((examples(model) for model in self.session.named.values()), key=len)
            self.examples = [gr.Button(name, size="sm") for name in names]

    def _build_timeline(self) -> None:
        self.picture = picture_part()
        self.timeline = part(
            '<div class="sg-timeline"><div class="sg-film" aria-hidden="true"></div>'
            '<input type="range" min="0" value="0" aria-label="Frame">'
            '<div class="sg-marks" aria-hidden="true"></div></div>'
            '<div class="sg-play"><button type="button">Play</button><output></output></div>',
            "timeline(element, props, trigger, watch)",
            {},
            elem_id="sg-at",
        )
        self.film = part("<span hidden></span>", "film(element, props, watch)", {})
        self.place = gr.Dropdown(
            [("side by side", ALL)], value=ALL, label="Shown", visible=False, elem_id="sg-place"
        )

    def _build_share_row(self) -> None:
        with gr.Row(elem_classes="sg-share sg-thirds"):
            self.link = link_part()
            self.save_frame = gr.Button("Save frame", size="md")
            self.save_strip = gr.Button("Save strip", size="md")
        self.saver = saver_part()

    def _build_maker(self) -> None:
        with gr.Column(elem_classes="sg-clip"):
            self.kind = gr.Radio(
                list(KINDS),
                value=next(iter(KINDS)),
                label="Clip",
                info="MP4 plays everywhere, WebM is smaller, GIF loops where videos do not play",
                elem_id="sg-kind",
            )
            self.maker = part(
                '<div class="sg-maker"><div class="sg-do">'
                '<button type="button" class="sg-main">Make the clip</button>'
                '<button type="button" class="sg-off">Cancel</button></div>'
                '<progress class="sg-off" max="1" aria-label="Frames drawn"></progress>'
                '<p class="sg-status" role="status"></p>'
                '<figure class="sg-off"><video controls loop muted playsinline></video><img alt="">'
                "<figcaption></figcaption><a>Download</a></figure></div>",
                "maker(element, props, trigger, watch)",
                {},
                elem_id="sg-make",
            )

    def _build_keyframes(self) -> None:
        self.text = gr.Textbox(
            label="Keyframes",
            info="seeds that the walk passes through, such as 200,1000,2500,4000,200 or 1-5",
            elem_id="sg-keyframes",
            max_lines=4,
        )
        tools = ("← Earlier", "Later →", "Duplicate", "Remove", "⚄ Add another")
        self.keyframes = part(
            '<ol class="sg-keys" aria-label="Keyframes in order"></ol><div class="sg-tools">'
            + "".join(f'<button type="button">{tool}</button>' for tool in tools)
            + '</div><p class="sg-status" role="status"></p>'
            '<p class="sg-hint">Drag a picture, or choose one and use the buttons; '
            "on a keyboard Shift and an arrow moves it, Delete removes it.</p>",
            "keyframes(element, props, trigger, watch)",
            {},
            elem_id="sg-keys",
        )

    def _build_times(self) -> None:
        with gr.Row(elem_classes="sg-times"):
            self.per = gr.Number(2, label="Each way takes", elem_id="sg-per", minimum=0)
            self.unit = gr.Radio(
                ["seconds", "frames"], value="seconds", label="Counted in", elem_id="sg-unit"
            )
            self.fps = gr.Number(
                30, label="Frames a second", precision=0, elem_id="sg-fps", minimum=1
            )
            self.loop = gr.Checkbox(
                label="Loop", info="on to the first after the last", elem_id="sg-loop"
            )
        self.summary = part('<p class="sg-said"></p>', "words(element, props, watch)", "")

    def _build_ways(self) -> None:
        self.look = Look("sg-walk", f"{PSI_INFO}. Latents stay as they are")
        self.curve = gr.Radio(
            [("straight", "linear"), ("great circles", "slerp"), ("smooth", "smooth")],
            value="smooth",
            label="Way",
            info="straight ways and great circles turn at each keyframe, smooth ones swing through",
            elem_id="sg-curve",
        )
        self.ease = gr.Radio(
            [("even", "none"), ("slow start", "in"), ("slow end", "out"), ("both", "both")],
            value="none",
            label="Pace from each keyframe to the next",
            elem_id="sg-ease",
        )
        self.space = gr.Radio(
            ["w", "z"], value="w", label="Space", info=_space_info(False), elem_id="sg-space"
        )

    def _build_further_controls(self) -> None:
        self.look.build_further()
        with self.look.further, gr.Row():
            self.columns = gr.Slider(
                1,
                MAX_GRID,
                value=1,
                step=1,
                label="Walks side by side",
                info="the keyframes are shared out among the walks, in order",
                elem_id="sg-columns",
                buttons=[],
            )
            self.rows = gr.Slider(
                1,
                MAX_GRID,
                value=1,
                step=1,
                label="Walks below each other",
                info=f"{MAX_GRID} walks at most",
                elem_id="sg-rows",
                buttons=[],
            )

    def _connect(self) -> None:
        quiet = {
            "trigger_mode": "always_last",
            "show_progress": "hidden",
            "preprocess": False,  # values are checked by Walk, in words
            "api_visibility": "private",
            "concurrency_id": "show",
            "concurrency_limit": 1,  # one after the other, so that the last one wins
        }
        moved = [self.text, self.per, self.fps, self.loop, self.curve, self.ease, self.space]
        moved += [self.columns, self.rows, self.keyframes, *self.look.boxes]
        outputs = [*self.shown, self.keyframes, self.text]
        gr.on([part.input for part in moved], self._changed, self.inputs, outputs, **quiet)
        at = {self.view, self.timeline, self.place}
        scrubbed = [self.timeline.input, self.place.input]
        gr.on(scrubbed, self._scrubbed, at, [self.picture, self.notes], **quiet)
        self.unit.input(
            None,
            [self.unit, self.per, self.fps],
            self.per,
            js="stylegan.counted",
            api_visibility="private",
        )
        self.look.connect(**quiet)
        for i, example in enumerate(self.examples):
            example.click(self._example(i), {self.model}, self.outputs, **quiet)
        quiet.update(concurrency_id="fill", concurrency_limit=2)
        filled = [self.view.change, self.place.input]
        gr.on(filled, self._fill, {self.view, self.place}, [self.keyframes, self.film], **quiet)
        quiet.update(concurrency_id="save", concurrency_limit=1, trigger_mode="once")
        self.save_frame.click(self._save_frame, at, self.saver, **quiet)
        self.save_strip.click(self._save_strip, {self.view}, self.saver, **quiet)
        quiet.update(concurrency_id="clip", show_progress="minimal")
        made = self.maker.submit(self._make, {*self.inputs, self.kind}, self.maker, **quiet)
        self.maker.stop(None, cancels=[made], api_visibility="private")

    # What the page asks of a tab

    def welcome(self, model: Model) -> Walk:
        """The first of the examples."""
        return next(iter(examples(model).values()))

    def open(self, opened: Opened, request: gr.Request) -> Updates:
        """Outputs that show a walk from its beginning, and set every control to it."""
        shown = self._show(opened.value, opened.model, None, {}, request, opened.notes)
        thumbnails = {self.keyframes: self._keyframes(shown[self.view], [])}
        return {**shown, **thumbnails, **self._set_controls(opened.value, opened.model)}

    def adapted(self, value: Walk, model: Model) -> Walk:
        """What another model can take of a walk: latents, rows and classes are its own."""
        return _adapted(value, model)

    def take(self, view: View | None, pictures: Sequence[Recipe], how: str, model: Model) -> Walk:
        """The walk with pictures as its last keyframes, or a walk of them alone."""
        if view is None:
            same = {key: getattr(pictures[0], key) for key in ("psi", "cut", "c", "noise")}
            walk, keyframes = Walk(**same), ()
        else:
            walk, keyframes = view.walk, view.walk.keyframes
        keyframes += tuple(source(picture, walk, model) for picture in pictures)
        latents = any(isinstance(keyframe, str) for keyframe in keyframes)
        return dataclasses.replace(
            drawn_like(walk, pictures),
            keyframes=keyframes,
            space="w" if latents else walk.space,
            grid=walk.grid if len(keyframes) % walk.places == 0 else (1, 1),
        )

    # What visitors do

    def _changed(self, values: Updates, request: gr.Request) -> Updates:
        """Outputs for new values of the controls, or only a note on what is wrong with them."""
        boxes = (self.per, self.fps, self.columns, self.rows)
        view, serial = values[self.view], _serial(values[self.keyframes])
        arranged = view is not None and serial > view.serial
        emptied = any(values[box] is None for box in boxes) or self.look.is_emptied(values)
        if emptied or not (arranged or values[self.text]):
            return gr.skip()  # to be typed into
        try:
            walk, model = self._read(values)
            shown = self._show(walk, model, view, values, request)
        except Exception as error:
            said = {self.notes: [f"This cannot be drawn: {in_words(error)}"]}
            if not arranged:
                return said
            view = dataclasses.replace(view, serial=serial)
            return {**said, self.view: view, self.keyframes: self._keyframes(view, [])}
        return {**shown, self.text: _text(walk.keyframes)} if arranged else shown

    def _scrubbed(self, values: Updates) -> Updates:
        view = values[self.view]
        if view is None:
            return gr.skip()
        try:
            model, _ = self.session.pick(view.walk.m)
            at, place = self._where(values, view.walk)
            return {self.picture: self._picture(view.walk, model, at, place)}
        except Exception as error:
            return {self.notes: [f"This cannot be drawn: {in_words(error)}"]}

    def _example(self, index: int) -> Any:
        def show(values: Updates, request: gr.Request) -> Updates:
            model, _ = self.session.pick(values[self.model])
            walks = list(examples(model).values())
            return self.open(Opened(walks[min(index, len(walks) - 1)], model, []), request)

        return show

    # Controls <-> Walk

    def _read(self, values: Updates) -> tuple[Walk, Model]:
        """The walk that the controls stand for."""
        # A page sends its controls as they were: it may not have heard of another model yet.
        model, _ = self.session.pick(values[self.model])
        link = values[self.link]
        before, _ = self.session.pick(link.get("m") if isinstance(link, dict) else None)
        fps = check_whole("fps", values[self.fps], 1, MAX_FPS)
        walk = Walk(
            keyframes=self._read_keyframes(values, values[self.view]),
            frames=_frames(values[self.per], values[self.unit], fps),
            fps=fps,
            loop=values[self.loop],
            space=values[self.space],
            curve=values[self.curve],
            ease=values[self.ease],
            grid=(values[self.columns], values[self.rows]),
            **self.look.read(values, before),
        )
        view = values[self.view]
        if view is not None and any(isinstance(keyframe, str) for keyframe in walk.keyframes):
            walk = dataclasses.replace(walk, x=view.walk.x)
        return (walk if model is before else _adapted(walk, model)), model

    def _read_keyframes(self, values: Updates, view: View | None) -> tuple[int | str, ...]:
        """Those of the thumbnails where they were moved after the text was typed."""
        text, latents = values[self.text], {}
        if view is not None:
            latents = {short_name(latent): latent for latent in view.latents}
            if _serial(values[self.keyframes]) > view.serial:
                text = _tokens(values[self.keyframes])
        return read_keyframes(text, latents)

    def _set_controls(self, walk: Walk, model: Model) -> Updates:
        names = [*examples(model), *[""] * len(self.examples)]
        look = self.look.set(walk, model)
        if walk.grid != (1, 1):
            look[self.look.further] = gr.Accordion(open=True)
        seconds = round(walk.frames / walk.fps, 2)
        whole = round(seconds * walk.fps, 6) == walk.frames
        return {
            self.model: model_value(self.session, model),
            self.text: _text(walk.keyframes),
            self.unit: "seconds" if whole else "frames",
            self.per: seconds if whole else walk.frames,
            self.fps: walk.fps,
            self.loop: walk.loop,
            self.curve: walk.curve,
            self.ease: walk.ease,
            self.space: _space(walk, walk.space),
            self.columns: walk.grid[0],
            self.rows: walk.grid[1],
            **look,
            self.maker: {"state": "idle"},
            **{
                button: gr.Button(name, visible=bool(name))
                for button, name in zip(self.examples, names, strict=False)
            },
        }

    # Drawing

    def _show(
        self,
        walk: Walk,
        model: Model,
        view: View | None,
        values: Updates,
        request: gr.Request,
        notes: list[str] | None = None,
    ) -> Updates:
        """Outputs with the frame under the timeline; thumbnails and film follow (_fill)."""
        walk = model.stamped(walk)
        at, place = self._where(values, walk)
        picture = self._picture(walk, model, at, place)
        turn = self.session.turns.take(_visitor(request))
        latents = [key for key in walk.keyframes if isinstance(key, str)]
        known = dict.fromkeys([*latents, *(view.latents if view else ())])
        serial = max(view.serial if view else 0, _serial(values.get(self.keyframes)))
        return {
            self.view: View(walk, turn, serial, tuple(known)[:MAX_KEYFRAMES]),
            self.picture: picture,
            self.notes: notes or [],
            self.link: link_value(walk),
            self.timeline: _timeline(walk, at),
            self.summary: self._summary(walk, model),
            self.place: _places(walk, place),
            self.space: _space(walk),
        }

    def _where(self, values: Updates, walk: Walk) -> tuple[int, int]:
        """Frame and place that are looked at; what comes from a page can be anything."""
        timeline, place = values.get(self.timeline), values.get(self.place)
        at = timeline.get("at") if isinstance(timeline, dict) else 0
        at = min(max(at, 0), walk.total - 1) if isinstance(at, int) else 0
        if walk.places == 1:
            return at, 0
        return at, place if isinstance(place, int) and ALL <= place < walk.places else ALL

    def _picture(self, walk: Walk, model: Model, at: int, place: int) -> dict[str, Any]:
        """The frame of one walk, as a still that can be kept, or of all walks of a grid."""
        side_px, said = model.config.resolution, _said(walk, at, place)
        alt = f"Frame {at + 1} of {walk.total} drawn by {model.name}: {said}"
        if place == ALL:
            file = frame_file(self.session, model, walk, at)
            return picture_value(file, alt, said, side_px * max(walk.grid))
        recipe = model.frame_recipe(walk, at, place)
        file = self.session.picture(model, recipe)
        return picture_value(file, alt, said, side_px, recipe.to_query())

    def _summary(self, walk: Walk, model: Model) -> str:
        if not walk.segments:
            return "One picture: add another to walk to."
        ways = f"{walk.segments} ways" if walk.segments > 1 else "1 way"
        said = (
            f"{ways} of {walk.frames} frames: {walk.total} frames, "
            f"{walk.seconds:.4g} s at {walk.fps} frames a second."
        )
        most = most_frames(self.session, model, walk)
        return said if walk.total <= most else f"{said} A clip has at most {most} frames here."

    def _fill(self, values: Updates, request: gr.Request) -> Iterator[Updates]:
        """Thumbnails and film of a view; drawn slowly, they show what there is, or give way."""
        view = values[self.view]
        nothing = {self.keyframes: gr.skip(), self.film: gr.skip()}
        if view is None:
            yield nothing
            return
        walk, files = view.walk, []
        try:
            model, _ = self.session.pick(walk.m)
            _, place = self._where(values, walk)
            recipes = [walk.still(keyframe) for keyframe in walk.keyframes]
            recipes += [
                model.frame_recipe(walk, i, max(place, 0)) for i in walk.spread(STRIP_FRAMES)
            ]
            shown_at = time.monotonic()
            for batch in self.session.draw(model, recipes):
                files += batch
                if len(files) == len(recipes):
                    break
                if not self.session.turns.is_newest(_visitor(request), view.turn):
                    yield nothing
                    return
                if time.monotonic() - shown_at > PATIENCE_SEC:
                    status = f"{len(files)} of {len(recipes)} pictures"
                    yield self._filled(view, files, status)
                    shown_at = time.monotonic()
            yield self._filled(view, files)
        except Exception as error:
            yield self._filled(view, files, in_words(error))

    def _filled(self, view: View, files: list[Path], status: str = "") -> Updates:
        model, _ = self.session.pick(view.walk.m)
        frames, keys = view.walk.spread(STRIP_FRAMES), len(view.walk.keyframes)
        padded = [*files[keys:], *[None] * (len(frames) - len(files[keys:]))]
        labels = [f"Frame {i + 1}" for i in frames]
        return {
            self.keyframes: self._keyframes(view, files, status),
            self.film: cells_value(padded, labels, labels, -1, model.config.resolution),
        }

    def _keyframes(self, view: View, files: list[Path], status: str = "") -> dict[str, Any]:
        """What the thumbnails show: pictures with their text, and the frame where they are."""
        walk = view.walk
        model, _ = self.session.pick(walk.m)
        names = [short_name(keyframe) for keyframe in walk.keyframes]
        each = len(names) // walk.places
        padded = [*files[: len(names)], *[None] * (len(names) - len(files))]
        alts = [f"Keyframe {i + 1}: {_named(k)}" for i, k in enumerate(walk.keyframes)]
        value = cells_value(padded, names, alts, -1, model.config.resolution, status)
        for i, cell in enumerate(value["cells"]):
            cell["at"] = i % each * walk.frames % max(1, walk.total)
        return {**value, "each": each, "most": MAX_KEYFRAMES, "serial": view.serial or None}

    # Files

    def _save_frame(self, values: Updates) -> Any:
        def save(walk: Walk, model: Model) -> Path:
            at, place = self._where(values, walk)
            side_px = model.config.resolution
            if place == ALL:
                factor = max(1, USUAL_PX // (side_px * max(walk.grid)))
                return frame_file(self.session, model, walk, at, factor)
            recipe = model.frame_recipe(walk, at, place)
            return self.session.picture(model, recipe, max(1, USUAL_PX // side_px))

        return self._saved(values[self.view], save)

    def _save_strip(self, values: Updates) -> Any:
        def save(walk: Walk, model: Model) -> Path:
            if STRIP_FRAMES * walk.places * model.config.resolution**2 > LONG_PIXELS:
                gr.Info("Drawing the film strip; the file comes when it is done.")
            return strip_file(self.session, model, walk)

        return self._saved(values[self.view], save)

    def _saved(self, view: View | None, save: Any) -> Any:
        if view is None:
            return gr.skip()
        try:
            model, _ = self.session.pick(view.walk.m)
            file = save(view.walk, model)
            return {self.saver: saver_value(file, self.session.turns.take(None))}
        except Exception as error:
            raise gr.Error(in_words(error), print_exception=False) from None

    def _make(self, values: Updates) -> Iterator[Updates]:
        """How far the clip is, and then the clip; closed by gradio where the visitor is gone."""
        try:
            walk, model = self._read(values)
            kind = KINDS.get(values[self.kind])
            if kind is None:
                raise UserError(f"choose one of {', '.join(KINDS)}")
            if find_clip(self.session, model, walk, kind) is None:
                check_length(self.session, model, walk)
                yield {self.maker: _making(0, walk.total, 0)}
                started = time.monotonic()
                with closing(make_clip(self.session, model, walk, kind)) as work:
                    for done in _now_and_then(work):
                        seconds = time.monotonic() - started
                        yield {self.maker: _making(done, walk.total, seconds)}
            file = find_clip(self.session, model, walk, kind)
            yield {self.maker: _made(file, walk, self.session.turns.take(None))}
        except Exception as error:
            yield {self.maker: {"state": "failed", "words": f"No clip: {in_words(error)}"}}


def examples(model: Model) -> dict[str, Walk]:
    """Walks to begin with, by what to call them; any model can draw them."""
    walks = {
        "Five seeds and back": Walk((200, 1000, 2500, 4000, 200)),
        "To and fro, gently": Walk((7, 8), loop=True, ease="both", psi=0.7),
        "Straight through z": Walk(range(1, 7), space="z", curve="linear", frames=45),
        "Four walks side by side": Walk(range(21, 33), loop=True, grid=(2, 2), frames=45),
    }
    if model.c_dim > 1:
        walks[f"Class {model.c_dim - 1}"] = Walk((1, 2, 3), loop=True, c=model.c_dim - 1)
    cut = model.config.usual_cut
    return {words: dataclasses.replace(walk, cut=cut) for words, walk in walks.items()}


def read_keyframes(text: Any, latents: Mapping[str, str]) -> tuple[int | str, ...]:
    """Seeds as in 200,1000 or 1-5, latents, and short names of those in `latents`.

    A comma or dash at the end stands for what is still to be typed.
    """
    if not isinstance(text, str):
        raise RecipeError("keyframes are seeds, such as 200,1000,2500 or 1-5")
    found: tuple[int | str, ...] = ()
    for word in re.split(r"[\s,;]+", text.strip(" \n,;-")):
        if word in latents:
            found += (latents[word],)
        elif word.startswith("latent-"):
            raise RecipeError(f"{shown(word)} is not known here: send its picture here again")
        else:
            found += read_sources(word, MAX_KEYFRAMES)
        if len(found) > MAX_KEYFRAMES:
            raise RecipeError(f"a walk has at most {MAX_KEYFRAMES} keyframes")
    return found


def add_endpoint(session: Session) -> None:
    """The walk over HTTP, as /interpolate."""

    def interpolate(query: str, format: str = "mp4") -> Iterator[Any]:
        """Draw the clip of a walk from picture to picture, or its film strip.

        Args:
            query: A link to a walk or its query, as "t=walk&seed=200,1000,200&frames=60".
            format: mp4, webm or gif for the clip; png for its film strip.

        Returns:
            A file with the walk's recipe inside.
        """
        try:
            walk = Walk.from_query(query, strict=True)
            check_choice("format", format, formats)
            model, note = session.pick(walk.m)
            if note:
                gr.Warning(note)
            if format == "png":
                yield str(strip_file(session, model, walk))
                return
            kind = f".{format}"
            if find_clip(session, model, walk, kind) is None:
                with closing(make_clip(session, model, walk, kind)) as work:
                    for _ in _now_and_then(work):
                        yield gr.skip()  # so that it stops where nobody waits any more
            yield str(find_clip(session, model, walk, kind))
        except Exception as error:
            raise gr.Error(in_words(error), print_exception=False) from None

    query = gr.Textbox(label="query", visible=False)
    formats = (*(kind.removeprefix(".") for kind in KINDS.values()), "png")
    format = gr.Dropdown(list(formats), value="mp4", label="format", visible=False)
    file = gr.File(label="clip", visible=False)
    gr.Button(visible=False).click(
        interpolate,
        [query, format],
        file,
        api_name="interpolate",
        preprocess=False,
        concurrency_id="clip",
        concurrency_limit=1,
    )


def _now_and_then(work: Iterator[int]) -> Iterator[int]:
    """Some of the numbers, a moment apart."""
    told_at = time.monotonic()
    for done in work:
        if time.monotonic() - told_at > STEP_SEC:
            yield done
            told_at = time.monotonic()


# Values of the page's parts


def _timeline(walk: Walk, at: int) -> dict[str, Any]:
    marks = [i * walk.frames for i in range(walk.segments + 1)]
    return {"total": walk.total, "fps": walk.fps, "at": at, "marks": marks, "closed": walk.closed}


def _making(done: int, total: int, seconds: float) -> dict[str, Any]:
    words = f"{done} of {total} frames"
    if seconds > SURE_SEC and done:
        words += f", about {_lasting(seconds / done * (total - done))} left"
    return {"state": "making", "done": done, "total": total, "words": words}


def _lasting(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 100 else f"{round(seconds / 60)} min"


def _made(file: Path, walk: Walk, count: int) -> dict[str, Any]:
    size = file.stat().st_size
    said = f"{walk.total} frames, {walk.seconds:.4g} s, {_bytes(size)}"
    return {
        "state": "done",
        "file": file_value(file),
        "name": file.name,
        "video": file.suffix != ".gif",
        "alt": f"Clip of a walk through {len(walk.keyframes)} keyframes: {said}",
        "words": said,
        "count": count,
    }


def _places(walk: Walk, place: int) -> Any:
    choices = [("side by side", ALL), *((f"walk {i + 1}", i) for i in range(walk.places))]
    grid = walk.places > 1
    return gr.Dropdown(choices=choices, value=place if grid else ALL, visible=grid)


def _space(walk: Walk, *value: str) -> Any:
    latents = any(isinstance(keyframe, str) for keyframe in walk.keyframes)
    further = {"value": value[0]} if value else {}
    return gr.Radio(interactive=not latents, info=_space_info(latents), **further)


def _space_info(latents: bool) -> str:
    if latents:
        return "latents are points of w, and have no z: the walk stays in w"
    return "what is mixed on the way: w is the gentler one, z the number that a seed stands for"


def _frames(per: Any, unit: Any, fps: int) -> int:
    """Frames from each keyframe to the next."""
    if unit != "seconds":
        return check_whole("frames", per, 1, MAX_FRAMES)
    seconds = check_number("seconds", per, 0, MAX_FRAMES / fps)
    return max(1, round(seconds * fps))


def _serial(keyframes: Any) -> int:
    """The number of an order of thumbnails that a visitor made."""
    serial = keyframes.get("serial") if isinstance(keyframes, dict) else None
    return serial if isinstance(serial, int) else 0


def _tokens(keyframes: dict[str, Any]) -> str:
    """The text of thumbnails in the order that a visitor made."""
    cells = keyframes.get("cells")
    cells = cells if isinstance(cells, list) else []
    return ",".join(str(cell.get("label")) for cell in cells if isinstance(cell, dict))


def _text(keyframes: Sequence[int | str]) -> str:
    return ",".join(map(short_name, keyframes))


def _named(keyframe: int | str) -> str:
    return f"seed {keyframe}" if isinstance(keyframe, int) else short_name(keyframe)


def _said(walk: Walk, at: int, place: int) -> str:
    """Where a frame is, in few words."""
    if place == ALL:
        return f"{walk.places} walks"
    track, position = walk.tracks[place], walk.position(at)
    i = int(position)
    start, end = track[i % len(track)], track[(i + 1) % len(track)]
    if position == i:
        return _named(start)
    return f"{_named(start)} → {_named(end)} · {position - i:.0%}"


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{max(1, round(size / 1e3))} kB"


def _visitor(request: gr.Request) -> str | None:
    """Whose requests give way to newer ones: this tab's, whatever goes on in the others."""
    hash = request.session_hash
    return None if hash is None else f"{hash} walk"


def _adapted(walk: Walk, model: Model) -> Walk:
    seeds = tuple(key for key in walk.keyframes if isinstance(key, int)) or Walk().keyframes
    return dataclasses.replace(
        walk,
        keyframes=seeds,
        grid=walk.grid if len(seeds) % walk.places == 0 else (1, 1),
        c=walk.c if walk.c < max(model.c_dim, 1) else 0,
        cut=fitting_cut(walk.cut, model),
        x=None,
    )

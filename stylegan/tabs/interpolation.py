"""The Interpolation tab: a walk from picture to picture, moved through by hand, saved as a clip."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from stylegan.config import UserError
from stylegan.model import Model
from stylegan.query import check_whole
from stylegan.recipe import Recipe
from stylegan.stamp import STRIP_FRAMES
from stylegan.tabs.clips import (
    KINDS,
    check_length,
    find_clip,
    frame_file,
    make_clip,
    most_frames,
    now_and_then,
    short_name,
    strip_file,
)
from stylegan.tabs.link import LONG_PIXELS, USUAL_PX, Opened, link_value
from stylegan.tabs.look import PSI_INFO, Look
from stylegan.tabs.parts import (
    cells_value,
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
from stylegan.tabs.tab import Updates, drawn_like, source
from stylegan.tabs.walks import (
    ALL,
    adapted,
    examples,
    frames_between,
    made_value,
    making_value,
    named,
    places_value,
    read_keyframes,
    said_of_frame,
    serial_of,
    space_info,
    space_value,
    text_of,
    text_of_order,
    timeline_value,
)
from stylegan.walk import MAX_FPS, MAX_GRID, MAX_KEYFRAMES, Walk


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
            ["w", "z"], value="w", label="Space", info=space_info(False), elem_id="sg-space"
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
        """What another model can take of a walk."""
        return adapted(value, model)

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
        view, serial = values[self.view], serial_of(values[self.keyframes])
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
        return {**shown, self.text: text_of(walk.keyframes)} if arranged else shown

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
            frames=frames_between(values[self.per], values[self.unit], fps),
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
        return (walk if model is before else adapted(walk, model)), model

    def _read_keyframes(self, values: Updates, view: View | None) -> tuple[int | str, ...]:
        """Those of the thumbnails where they were moved after the text was typed."""
        text, latents = values[self.text], {}
        if view is not None:
            latents = {short_name(latent): latent for latent in view.latents}
            if serial_of(values[self.keyframes]) > view.serial:
                text = text_of_order(values[self.keyframes])
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
            self.text: text_of(walk.keyframes),
            self.unit: "seconds" if whole else "frames",
            self.per: seconds if whole else walk.frames,
            self.fps: walk.fps,
            self.loop: walk.loop,
            self.curve: walk.curve,
            self.ease: walk.ease,
            self.space: space_value(walk, walk.space),
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
        serial = max(view.serial if view else 0, serial_of(values.get(self.keyframes)))
        return {
            self.view: View(walk, turn, serial, tuple(known)[:MAX_KEYFRAMES]),
            self.picture: picture,
            self.notes: notes or [],
            self.link: link_value(walk),
            self.timeline: timeline_value(walk, at),
            self.summary: self._summary(walk, model),
            self.place: places_value(walk, place),
            self.space: space_value(walk),
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
        side_px, said = model.config.resolution, said_of_frame(walk, at, place)
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
        alts = [f"Keyframe {i + 1}: {named(k)}" for i, k in enumerate(walk.keyframes)]
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
                yield {self.maker: making_value(0, walk.total, 0)}
                started = time.monotonic()
                with closing(make_clip(self.session, model, walk, kind)) as work:
                    for done in now_and_then(work):
                        seconds = time.monotonic() - started
                        yield {self.maker: making_value(done, walk.total, seconds)}
            file = find_clip(self.session, model, walk, kind)
            yield {self.maker: made_value(file, walk, self.session.turns.take(None))}
        except Exception as error:
            yield {self.maker: {"state": "failed", "words": f"No clip: {in_words(error)}"}}


def _visitor(request: gr.Request) -> str | None:
    """Whose requests give way to newer ones: this tab's, whatever goes on in the others."""
    hash = request.session_hash
    return None if hash is None else f"{hash} walk"

"""A run told to trackio: its settings, scalars, grids, and its best model at the end.

All of it happens in a thread of its own, so that a network that is slow or gone costs no step.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from stylegan.atomic import replacing_file
from stylegan.extras import need
from stylegan.pictures import brief, flatten, open_picture
from stylegan.runs import BEST, GRIDS, NIMG, TRACKED, flat, read_run

from .listeners import Line, Listener

GRID_PX = 1024  # largest side of a grid that is sent
MOST_SEC = 120.0  # that the end of a run waits for what is still on its way


class Trackio(Listener):
    """Continues the tracker's run that the folder notes, or begins one."""

    def __init__(self, project: str, space: str = "", say: Callable[[str], None] = print) -> None:
        """`space` is the Hub's USER/NAME to send it to; without one it stays on this machine."""
        self.module = need("trackio")
        self.project, self.space, self.say = project, space, say
        self._work: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._last_nimg = -1

    def begins(self, folder: Path) -> None:
        self.folder = folder
        self._thread.start()
        self._work.put(self._open)

    def tick(self, line: Line, model: Path | None) -> None:
        self._work.put(lambda: self._log(line, model))

    def ends(self, how: str) -> None:
        self._work.put(lambda: self._close(how))
        self._work.put(None)
        self._thread.join(MOST_SEC)
        if self._thread.is_alive():
            self.say(f"trackio: not all of it arrived in {MOST_SEC:.0f} seconds")

    def _run(self) -> None:
        """Work until the end; after a failure there is nothing more to do."""
        try:
            while (work := self._work.get()) is not None:
                work()
        except Exception as error:
            self.say(f"trackio: {brief(error)}; training goes on without it")

    def _open(self) -> None:
        run = read_run(self.folder)
        note = _noted(self.folder / TRACKED, self.project, self.space)
        if note is None:
            note = {
                "project": self.project,
                "space": self.space,
                "name": f"{run.name}-{time.strftime('%Y%m%d-%H%M%S')}",
            }
            _write(self.folder / TRACKED, note)
        self._last_nimg = note.get("nimg", -1)
        self.note = note
        self.tracked = self.module.init(
            project=self.project,
            name=note["name"],
            space_id=self.space or None,
            config={**flat(run.settings), **{f"data.{k}": v for k, v in run.data.items()}},
            resume="allow",
            embed=False,
            auto_log_cpu=False,
            auto_log_gpu=False,
        )

    def _log(self, line: Line, model: Path | None) -> None:
        """Scalars, and the grid of a snapshot; what is trained again is not sent again."""
        nimg = line[NIMG]
        if nimg <= self._last_nimg:
            return
        numbers = scalars(line)
        if model is not None:
            grid = _grid(self.folder / GRIDS / f"{model.name}.png")
            numbers["grid"] = self.module.Image(grid, caption=f"{int(model.name)} kimg")
        self.tracked.log(numbers, step=nimg)
        self._last_nimg = nimg
        self.note = {**self.note, "nimg": nimg}
        _write(self.folder / TRACKED, self.note)

    def _close(self, how: str) -> None:
        best = (self.folder / BEST).resolve()
        if best.is_dir():
            artifact = self.module.Artifact(
                f"{self.note['name']}-model",
                "model",
                description=how,
                metadata={"kimg": int(best.name)} if best.name.isdigit() else {},
            )
            artifact.add_dir(best)
            self.tracked.log_artifact(artifact, aliases=["best"])
        self.tracked.finish()


def scalars(line: Line) -> dict[str, float]:
    """The numbers of a tick, means of what was measured many times."""
    pairs = ((k, v["mean"] if isinstance(v, dict) else v) for k, v in line.items())
    return {name: value for name, value in pairs if value is not None}


def _grid(path: Path) -> Image.Image:
    image = open_picture(path)
    image.thumbnail((GRID_PX, GRID_PX), Image.Resampling.HAMMING)
    return flatten(image)


def _noted(path: Path, project: str, space: str) -> dict[str, Any] | None:
    """The tracker's run that an earlier call began in the same place."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        same = (note["project"], note["space"]) == (project, space) and note["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return note if same else None


def _write(path: Path, note: dict[str, Any]) -> None:
    with replacing_file(path) as beside:
        beside.write_text(json.dumps(note), encoding="utf-8")

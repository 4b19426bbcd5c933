"""A run told to trackio: its settings, scalars, grids, and its best model at the end."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from PIL import Image

from stylegan.atomic import replacing_file
from stylegan.extras import need
from stylegan.pictures import flatten, open_picture
from stylegan.runs import BEST, GRIDS, KIMG, NIMG, TRACKED, flat, noted_kimg, read_run

from .listeners import Line, Listener

GRID_PX = 1024  # largest side of a grid that is sent


class Trackio(Listener):
    """Continues the tracker's run that the folder notes, or begins one."""

    def __init__(self, project: str, space: str = "") -> None:
        """`space` is the Hub's USER/NAME to send it to; without one it stays on this machine."""
        self.module = need("trackio")
        self.project, self.space = project, space
        self.tracked: Any = None

    def begins(self, folder: Path) -> None:
        self.folder = folder
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

    def tick(self, line: Line, model: Path | None) -> None:
        """Scalars, and the grid of a snapshot; what is trained again is not sent again."""
        nimg = line[NIMG]
        if self.tracked is None or nimg <= self._last_nimg:
            return
        numbers = scalars(line)
        if model is not None:
            grid = _grid(self.folder / GRIDS / f"{model.name}.png")
            numbers["grid"] = self.module.Image(grid, caption=f"{line[KIMG]:,.10g} kimg")
        self.tracked.log(numbers, step=nimg)
        self._last_nimg = nimg
        self.note = {**self.note, "nimg": nimg}
        _write(self.folder / TRACKED, self.note)

    def ends(self, how: str) -> None:
        if self.tracked is None:  # it could not be begun
            return
        best = (self.folder / BEST).resolve()
        if best.is_dir():
            artifact = self.module.Artifact(
                f"{self.note['name']}-model",
                "model",
                description=how,
                metadata={"kimg": noted_kimg(best)},
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

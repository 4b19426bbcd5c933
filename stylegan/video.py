"""An iterator of frames into an MP4, WebM or GIF file, by the ffmpeg that imageio-ffmpeg brings."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stylegan.atomic import replacing_file
from stylegan.config import UserError
from stylegan.containers import MAX_COMMENT_BYTES, with_gif_comment
from stylegan.extras import need

USUAL_PX = 512  # small frames are enlarged to about this side
MAX_SIDE_PX = 8192
GIF_HEAD_BYTES = 13 + 3 * 256

_YUV = (
    "scale={size}:flags=neighbor:out_color_matrix=bt709:out_range=tv,format={pixels},"
    "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
)
_PALETTES = (  # one for each frame: nothing waits for the last one
    "scale={size}:flags=neighbor,split[a][b];"
    "[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1:dither=sierra2_4a"
)
_KINDS = {  # suffix -> filter, and what the encoder is told
    ".mp4": (_YUV, "-c:v libx264 -preset veryfast -crf 16 -movflags +faststart -f mp4"),
    ".webm": (
        _YUV,
        "-c:v libvpx-vp9 -crf 20 -b:v 0 -deadline good -cpu-used 5 -row-mt 1 -auto-alt-ref 0 "
        "-f webm",
    ),
    ".gif": (_PALETTES, "-loop 0 -f gif"),
}


class VideoError(UserError):
    """A clip that cannot be written."""


def clip_kind(path: str | Path) -> str:
    """The suffix that decides how a clip is written, or a sentence about those there are."""
    suffix = Path(path).suffix.lower()
    if suffix not in _KINDS:
        raise VideoError(f"clips are written as {', '.join(_KINDS)}; not as {Path(path).name}")
    return suffix


def write_clip(
    path: str | Path,
    frames: Iterable[np.ndarray],
    fps: int,
    comment: str = "",
    enlarge: int | None = None,
) -> Iterator[int]:
    """Encode frames as they come; yields how many are done. Close it to stop: no file is left.

    Frames are uint8 [H, W, C], C = 1 grey, 3 RGB or 4 RGBA, of one size. Each pixel becomes a crisp
    square of `enlarge` pixels; small frames are enlarged to about 512 unless told, and always so
    that sides are even. Transparency is kept in WebM and laid over white elsewhere. The file
    appears whole, with its comment, when the last number has been taken.
    """
    kind = clip_kind(path)
    if len(comment.encode()) > MAX_COMMENT_BYTES:
        raise VideoError(f"a comment of more than {MAX_COMMENT_BYTES} bytes")
    ffmpeg = need("imageio_ffmpeg").get_ffmpeg_exe()
    return _encode(Path(path), kind, ffmpeg, iter(frames), fps, comment, enlarge)


def clip_factor(height: int, width: int, enlarge: int | None = None) -> int:
    """How many times frames of this size are enlarged."""
    factor = max(1, USUAL_PX // max(height, width)) if enlarge is None else enlarge
    if factor % 2 and (height % 2 or width % 2):
        factor += 1
    most = MAX_SIDE_PX // max(height, width)
    if not most:
        raise VideoError(
            f"frames of {width} x {height} pixels: a clip has at most {MAX_SIDE_PX} a side"
        )
    if not 1 <= factor <= most:
        raise VideoError(f"frames of {width} x {height} are enlarged by 1 to {most}, not {factor}")
    return factor


def _encode(
    path: Path,
    kind: str,
    ffmpeg: str,
    frames: Iterator[np.ndarray],
    fps: int,
    comment: str,
    enlarge: int | None,
) -> Iterator[int]:
    first = next(frames, None)
    if first is None:
        raise VideoError("a clip needs a frame")
    keeps_alpha = kind == ".webm" and first.shape[2] == 4
    height, width = first.shape[:2]
    factor = clip_factor(height, width, enlarge)
    chain, told = _KINDS[kind]
    size = f"{width * factor}:{height * factor}"
    line = [ffmpeg, "-nostdin", "-hide_banner", "-loglevel", "error", "-y"]
    line += ["-f", "rawvideo", "-pixel_format", "rgba" if keeps_alpha else "rgb24"]
    line += ["-video_size", f"{width}x{height}", "-framerate", str(fps), "-i", "pipe:0"]
    chain = chain.format(size=size, pixels="yuva420p" if keeps_alpha else "yuv420p")
    with replacing_file(path) as beside, tempfile.TemporaryDirectory() as folder:
        notes = Path(folder, "notes")  # a file, since a command line holds much less
        notes.write_text(f";FFMETADATA1\ncomment={_escaped(comment)}\n", encoding="utf-8")
        line += ["-f", "ffmetadata", "-i", str(notes), "-map", "0:v", "-map_metadata", "1"]
        line += ["-vf", chain, *told.split()]
        with _running([*line, str(beside.absolute())], Path(folder, "log")) as pipe:
            for done, frame in enumerate(itertools.chain([first], frames), 1):
                if frame.shape != first.shape:
                    raise VideoError(f"frame {done} has another size than the first")
                pipe.write(_pixels(frame, keeps_alpha))
                yield done
        if kind == ".gif" and comment:
            _comment_gif(beside, comment, Path(folder, "gif"))


@contextmanager
def _running(line: list[str], log: Path) -> Iterator[BinaryIO]:
    """A process to write to; when the block ends it has ended well, or it is killed."""
    with log.open("wb") as errors:
        process = subprocess.Popen(
            line,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,  # Ctrl-C is for us alone
        )
    try:
        try:
            yield process.stdin
            process.stdin.close()
        except BrokenPipeError:  # it says why in its log
            process.wait()
        if process.wait():
            said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise OSError(f"ffmpeg stopped: {said[0][:200] if said else process.returncode}")
    finally:
        process.kill()
        process.wait()
        with suppress(BrokenPipeError):
            process.stdin.close()


def _pixels(frame: np.ndarray, keeps_alpha: bool) -> bytes:
    """uint8 [H, W, C] as RGBA where it is kept, else as RGB."""
    if frame.shape[2] == 1:
        frame = frame.repeat(3, axis=2)
    elif frame.shape[2] == 4 and not keeps_alpha:
        alpha = frame[:, :, 3:].astype(np.uint16)
        over_white = (frame[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255
        frame = over_white.astype(np.uint8)
    return frame.tobytes()


def _escaped(text: str) -> str:
    """Text as a value of an ffmetadata file."""
    return "".join(f"\\{ch}" if ch in "=;#\\\n" else ch for ch in text)


def _comment_gif(path: Path, comment: str, copy: Path) -> None:
    """ffmpeg writes no comment into a GIF: put it before the first block."""
    with path.open("rb") as old, copy.open("wb") as new:
        new.write(with_gif_comment(old.read(GIF_HEAD_BYTES), comment))
        shutil.copyfileobj(old, new)
    shutil.move(copy, path)

import os
import subprocess
import sys
import time

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from stylegan import extras, video
from stylegan.config import UserError
from stylegan.containers import read_comment
from stylegan.video import VideoError, clip_factor, clip_kind, write_clip

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def ramp(count, height=16, width=24, channels=3):
    """Frames of flat squares whose colours move on."""
    y, x = np.mgrid[:height, :width] // 8 * 60
    for i in range(count):
        planes = [x + 5 * i, y + 40, np.full_like(x, 200 - 5 * i), np.full_like(x, 255)]
        planes = [x + 5 * i] if channels == 1 else planes[:channels]
        yield np.stack(planes, axis=-1).astype(np.uint8)


def decode(path, pixels="rgb24", *told):
    """All frames [N, H, W, C], and the size of one, as ffmpeg reads them."""
    reader = imageio_ffmpeg.read_frames(
        str(path),
        pix_fmt=pixels,
        bits_per_pixel=32 if pixels == "rgba" else 24,
        input_params=list(told),
    )
    meta = next(reader)
    width, height = meta["size"]
    frames = [np.frombuffer(frame, np.uint8).reshape(height, width, -1) for frame in reader]
    return np.stack(frames), meta


@pytest.mark.parametrize("kind", ["mp4", "webm", "gif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_frames_come_back_in_order_enlarged_and_crisp(tmp_path, kind, channels):
    path = tmp_path / f"new/a.{kind}"
    frames = list(ramp(12, channels=channels))
    assert list(write_clip(path, iter(frames), 10, "seed=1,2", enlarge=4)) == list(range(1, 13))
    found, meta = decode(path)
    assert found.shape == (12, 64, 96, 3)
    assert meta["fps"] == pytest.approx(10, abs=0.1)
    expected = np.stack(frames).repeat(4, axis=1).repeat(4, axis=2).astype(int)
    assert np.abs(found - expected).mean() < 3  # chroma, palettes and loss, but no other frame
    edge = np.abs(np.diff(found[0, 8, :, 0].astype(int)))
    assert edge[31] > 45 and edge[:28].max() < 12  # one step from square to square, no blur
    assert os.listdir(tmp_path / "new") == [f"a.{kind}"]
    assert read_comment(path) == "seed=1,2"


def test_transparency_lies_over_white_or_is_kept(tmp_path):
    frame = np.zeros((16, 16, 4), np.uint8)
    frame[:, 8:] = (200, 0, 0, 255)
    for kind in ("mp4", "gif"):
        list(write_clip(tmp_path / f"a.{kind}", [frame] * 2, 5, enlarge=4))
        found, _ = decode(tmp_path / f"a.{kind}")
        assert found[0, 30, 8].min() > 250 and abs(int(found[0, 30, 56, 0]) - 200) < 6
    list(write_clip(tmp_path / "a.webm", [frame] * 2, 5, enlarge=4))
    found, _ = decode(tmp_path / "a.webm", "rgba", "-c:v", "libvpx-vp9")
    assert found[0, 30, 8, 3] < 5 and found[0, 30, 56, 3] > 250


def test_a_gif_loops_for_ever(tmp_path):
    list(write_clip(tmp_path / "a.gif", ramp(3), 10))
    with Image.open(tmp_path / "a.gif") as image:
        assert image.info["loop"] == 0 and image.n_frames == 3


@pytest.mark.parametrize(
    ("size", "enlarge", "factor"),
    [
        ((64, 64), None, 8),
        ((128, 192), None, 2),
        ((1024, 1024), None, 1),
        ((600, 600), None, 1),
        ((5, 4), None, 102),
        ((601, 600), None, 2),
        ((5, 5), 3, 4),
        ((4, 6), 3, 3),
    ],
)
def test_sizes_are_sensible_and_even(size, enlarge, factor):
    assert clip_factor(*size, enlarge) == factor
    assert not any(side * factor % 2 for side in size)


def test_what_cannot_be_written(tmp_path, monkeypatch):
    for name in ("a.avi", "a", "a.png"):
        with pytest.raises(VideoError, match=r"written as \.mp4, \.webm, \.gif; not as a"):
            clip_kind(tmp_path / name)
    assert clip_kind("A.MP4") == ".mp4"
    with pytest.raises(VideoError, match="needs a frame"):
        next(write_clip(tmp_path / "a.mp4", [], 5))
    with pytest.raises(VideoError, match="enlarged by 1 to 512, not 0"):
        next(write_clip(tmp_path / "a.mp4", ramp(1, 16, 16), 5, enlarge=0))
    with pytest.raises(VideoError, match="9000 x 20 pixels: a clip has at most 8192 a side"):
        clip_factor(20, 9000)
    with pytest.raises(VideoError, match="frame 2 has another size"):
        list(write_clip(tmp_path / "a.mp4", [*ramp(1), *ramp(1, 32)], 5))
    with pytest.raises(VideoError, match="a comment of more than"):
        write_clip(tmp_path / "a.mp4", ramp(1), 5, "a" * (2 << 20))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(UserError, match="pip install imageio-ffmpeg"):
        write_clip(tmp_path / "a.mp4", ramp(1), 5)
    assert os.listdir(tmp_path) == [] and "imageio_ffmpeg" in extras.PACKAGES


def children():
    return subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "comm="], capture_output=True, text=True
    ).stdout


def test_stopped_by_closing_it_leaves_the_old_file_and_no_process(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    taken = []

    def endless():
        for frame in ramp(10**9):
            taken.append(1)
            yield frame

    work = write_clip(path, endless(), 30)
    assert [next(work) for _ in range(5)] == [1, 2, 3, 4, 5]
    assert len(taken) == 5  # no frame is taken before it is its turn
    assert "ffmpeg" in children()
    work.close()
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.mp4"]
    assert "ffmpeg" not in children()


def test_an_error_while_drawing_leaves_nothing(tmp_path):
    def broken():
        yield from ramp(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(write_clip(tmp_path / "a.webm", broken(), 5))
    assert os.listdir(tmp_path) == [] and "ffmpeg" not in children()


def test_an_encoder_that_fails_says_why(tmp_path, monkeypatch):
    chain, told = video._KINDS[".mp4"]
    monkeypatch.setitem(video._KINDS, ".mp4", (chain, told.replace("libx264", "libabsent")))
    with pytest.raises(OSError, match=r"ffmpeg stopped: .*libabsent"):
        for _ in write_clip(tmp_path / "a.mp4", ramp(10**9, 256, 256), 5):
            time.sleep(0)
    assert os.listdir(tmp_path) == []


def test_frames_reach_the_disk_while_others_still_come(tmp_path):
    """So memory does not grow with length."""
    sizes = []
    for _ in write_clip(tmp_path / "a.gif", ramp(200, 64, 64), 30, enlarge=4):
        sizes.append(sum(path.stat().st_size for path in tmp_path.iterdir()))
    assert len(sizes) == 200 and 0 < sizes[120] < sizes[-1]

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from stylegan import __main__ as program
from stylegan.model import Model, load
from stylegan.query import pack_latent
from stylegan.stamp import read_png, read_recipe
from stylegan.walk import Walk

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "tests/links/tiny-16"
ID = load(TINY).id
LATENT = pack_latent(np.linspace(-1, 1, 16))


def run(*line):
    return program.main(["walk", *map(str, line), "--model", str(TINY), "--device", "cpu"])


def decode(path):
    reader = imageio_ffmpeg.read_frames(str(path))
    width, height = next(reader)["size"]
    return np.stack([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader])


@pytest.mark.parametrize("kind", ["mp4", "webm", "gif"])
def test_a_clip_shows_the_frames_of_its_recipe(tmp_path, capsys, kind):
    out = tmp_path / f"new/walk.{kind}"
    assert run("--seeds", "200,1000,200", "--frames", 6, "--psi", "0.7", "-o", out) == 0
    text = f"t=walk&m={ID}&seed=200,1000,200&psi=0.7&frames=6"
    assert capsys.readouterr().out == f"{out}: {text}\n"
    assert read_recipe(out) == text and os.listdir(tmp_path / "new") == [out.name]
    found = decode(out)
    assert found.shape == (12, 512, 512, 3)
    expected = np.stack(list(load(TINY).walk(Walk((200, 1000, 200), frames=6, psi=0.7))))
    gap = np.abs(found[:, 16::32, 16::32].astype(int) - expected)
    other = np.abs(found[:, 16::32, 16::32].astype(int) - np.roll(expected, 3, axis=0))
    assert gap.mean() < 8 and gap.mean() < other.mean() / 2


def test_a_query_a_link_and_a_clip_give_the_same_walk(tmp_path, capsys):
    text = f"t=walk&m={ID}&seed=1,2&w={LATENT}&frames=3&curve=linear&grid=3x1"
    for source in (text, f"https://example.org/x/?{text}#top", tmp_path / "0.mp4"):
        assert run(source, "-o", tmp_path / "0.mp4", "--enlarge", 1) == 0
        assert read_recipe(tmp_path / "0.mp4") == text
        assert decode(tmp_path / "0.mp4").shape == (1, 16, 48, 3)
    assert "note" not in capsys.readouterr().err


def test_flags_go_before_what_a_recipe_says(tmp_path):
    out = tmp_path / "a.gif"
    line = ["t=walk&seed=1,2&frames=9&psi=0.5&c=1", "--seeds", f"3-4,{LATENT}", "--frames", "2"]
    line += ["--loop", "--curve", "slerp", "--ease", "both", "--noise", "3", "--fps", "10"]
    assert run(*line, "--enlarge", 1, "-o", out) == 0
    assert read_recipe(out) == (
        f"t=walk&m={ID}&seed=3,4&w={LATENT}&psi=0.5&c=1&noise=3"
        "&frames=2&fps=10&loop=1&curve=slerp&ease=both"
    )
    assert run("--seeds", "1,2", "--seconds", "0.5", "--fps", 12, "-o", out, "--enlarge", 1) == 0
    assert read_recipe(out) == f"t=walk&m={ID}&seed=1,2&frames=6&fps=12"


def test_a_film_strip(tmp_path):
    line = ["--seeds", "1,2,3", "--frames", 8, "-o", tmp_path / "a.gif", "--enlarge", 1]
    assert run(*line, "--strip", tmp_path / "strip.png") == 0
    with Image.open(tmp_path / "strip.png") as image:
        strip = np.asarray(image).astype(int)
    assert strip.shape == (16, 160, 3)
    model, walk = load(TINY), Walk((1, 2, 3), frames=8)
    for i, frame in ((0, 0), (9, 16)):
        assert np.abs(strip[:, 16 * i : 16 * i + 16] - model.frame(walk, frame)).max() <= 1
    assert read_png(tmp_path / "strip.png") == f"t=walk&m={ID}&seed=1,2,3&frames=8"


def test_another_models_walk_is_drawn_with_a_note(tmp_path, capsys):
    assert run("m=other@1&seed=1,2&frames=1", "-o", tmp_path / "a.gif", "--enlarge", 1) == 0
    assert f"note: the recipe is of other@1; drawn with {ID}\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["--seeds", "1,x"], 'seeds "x" are not whole numbers'),
        (["--seeds", "1-9999"], "more than 128 seeds"),
        (["--frames", "0"], 'frames "0" is not a whole number from 1 to 3600'),
        (["--frames", "few"], 'frames "few" is not a whole number from 1 to 3600'),
        (["--psi", "much"], 'psi "much" is not a number from -5 to 5'),
        (["--curve", "round"], 'curve "round" is not one of linear, slerp, smooth'),
        (["--grid", "2x2"], "3 keyframes cannot be shared out evenly among 4"),
        (["--c", "3"], "c 3: tiny-16 has classes 0 to 2"),
        (["--seconds", "1", "--frames", "3"], "--seconds stands in place of --frames"),
        (["--seconds", "-1"], '--seconds "-1.0" is not a number from 0 to 3600'),
        (["--seconds", "3600"], "frames"),
        (["seed=1,2&speed=3"], 'unknown name "speed"'),
        (["t=seeds&seed=1"], 't "seeds" is not one of walk'),
        (["absent.mp4"], "neither a recipe, such as t=walk&seed=1-5, nor a PNG file or clip"),
        (["--enlarge", "0"], "enlarged by 1 to 512, not 0"),
        (["--strip", "strip.jpg"], "pictures are written as PNG"),
        (["--strip", "strip"], "--strip takes a .png, not strip"),
        (["--device", "toaster"], "there is no device toaster"),
        (["--speed", "1"], "--speed"),
    ],
)
def test_wrong_lines_end_in_one_sentence(tmp_path, capsys, line, words):
    out = ["walk", *line, "-o", str(tmp_path / "a.mp4"), "--model", str(TINY)]
    assert program.main(out) == 2
    out, err = capsys.readouterr()
    last = err.replace("\r", "\n").strip().splitlines()[-1]
    assert out == "" and last.startswith("stylegan: ") and words in last
    assert os.listdir(tmp_path) == []


def test_outputs_and_sources_that_cannot_be(tmp_path, capsys):
    def refusal(*line):
        assert run(*line) == 2
        return capsys.readouterr().err

    (tmp_path / "folder.mp4").mkdir()
    assert "is a folder" in refusal("-o", tmp_path / "folder.mp4")
    assert "clips are written as .mp4, .webm, .gif; not as a.avi" in refusal("-o", "a.avi")
    (tmp_path / "b.mp4").write_bytes(b"\0\0\0\x0cftypisom")
    assert "b.mp4 carries no recipe" in refusal(tmp_path / "b.mp4", "-o", tmp_path / "a.mp4")


def test_ctrl_c_leaves_no_file(tmp_path, monkeypatch, capsys):
    batch, count = Model._batch, []

    def stopped(model, recipes, *rest):
        count.append(1)
        if len(count) == 3:
            raise KeyboardInterrupt
        return batch(model, recipes, *rest)

    monkeypatch.setattr(Model, "_batch", stopped)
    assert run("--seeds", "1-5", "-o", tmp_path / "a.mp4") == 1
    assert capsys.readouterr().err.endswith("stylegan: stopped\n")
    assert os.listdir(tmp_path) == []


def test_as_a_process_stopped_by_ctrl_c(tmp_path):
    line = [sys.executable, "-m", "stylegan", "walk", "--seeds", "0-99", "--frames", "900"]
    line += ["-o", str(tmp_path / "a.mp4"), "--model", str(TINY)]
    with subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE) as process:
        process.stderr.read(1)  # the progress bar: it draws
        while not list(tmp_path.iterdir()) and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        err = process.stderr.read().decode()
    assert process.returncode == 1, err
    assert "Traceback" not in err and err.endswith("stylegan: stopped\n")
    assert list(tmp_path.iterdir()) == []

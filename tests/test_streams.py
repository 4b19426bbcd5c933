"""Features of both sides: made once, kept by content, gone on with, shared out among processes."""

import contextlib
import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from detector_files import VGG, Inception, write
from test_evaluate import SMALL, a_generator, a_zip, stream
from test_features import discriminator

from stylegan import sampling
from stylegan import streams as module
from stylegan.checkpoint import save_model
from stylegan.data import Pictures
from stylegan.detectors import ScriptDetector
from stylegan.evaluate import measure
from stylegan.feature_files import FOLDER
from stylegan.metric_names import parse
from stylegan.networks.discriminators import Discriminator
from stylegan.networks.mapping import broadcast
from stylegan.sampling import Comparison, draw
from stylegan.streams import Streams
from train.__main__ import main

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    module._script.cache_clear()
    return tmp_path / "cache" / FOLDER


@pytest.fixture
def data(tmp_path):
    return a_zip(tmp_path / "discs.zip")


@pytest.fixture
def inception(tmp_path):
    return str(write(tmp_path / "own.pt", Inception))


def compared(data, detector="", mirror=False, **changes):
    settings = {"num": None, "seed": 0, "batch": 4} | changes
    return Comparison(a_generator(), Pictures(data, mirror=mirror), detector=detector, **settings)


@pytest.fixture
def looked(monkeypatch):
    """How many pictures the detector has looked at."""
    count, features = [0], ScriptDetector.features

    def counting(self, images):
        count[0] += len(images)
        return features(self, images)

    monkeypatch.setattr(ScriptDetector, "features", counting)
    return count


FID = parse("fid10_full")


def test_features_are_those_of_the_pictures(data, inception):
    comparison = compared(data, inception)
    detector = ScriptDetector(inception)
    with Streams(comparison) as streams:
        reals = np.array(streams.reals(streams.detector(FID)))
        fakes = np.array(streams.fakes(streams.detector(FID), 10))
    assert np.array_equal(reals, detector.features(comparison.pictures.images(range(12))))
    expected = [detector.features(x) for x in stream(comparison, 12).split(4)]
    assert np.array_equal(fakes, torch.cat(expected)[:10])


def test_mirrored_pictures_are_real_too(data, inception):
    comparison = compared(data, inception, mirror=True)
    with Streams(comparison) as streams:
        reals = np.array(streams.reals(streams.detector(FID)))
        halves = streams.halves(100)
    expected = ScriptDetector(inception).features(comparison.pictures.images(range(24)))
    assert np.array_equal(reals, expected)
    assert sorted(np.concatenate(halves) % 12) == list(range(12))


def test_of_too_many_some_are_drawn(data, inception):
    comparison = compared(data, inception, mirror=True)
    with Streams(comparison) as streams:
        reals = np.array(streams.reals(streams.detector(FID), most=7))
        chosen, (a, b) = streams.chosen(7), streams.halves(100, 7)
    expected = ScriptDetector(inception).features(comparison.pictures.images(chosen))
    assert len(set(chosen)) == 7 and np.array_equal(reals, expected)
    assert not set(chosen[a] % 12) & set(chosen[b] % 12) and len(a) == len(b) > 0


def test_the_data_s_are_kept_by_content_and_the_generator_s_go(
    data, inception, looked, tmp_path, cache
):
    def once(path):
        found = measure(
            a_generator(), Pictures(path), ["fid10_full", "kid10_full"], detector=inception
        )
        return [x["value"] for x in found.records.values()]

    first = once(data)
    assert looked[0] == 12 + 16
    assert once(data) == first and looked[0] == 12 + 16 + 16
    elsewhere = shutil.copy(data, tmp_path / "elsewhere.zip")
    assert once(elsewhere) == first and looked[0] == 12 + 16 + 16 + 16
    other = a_zip(tmp_path / "other.zip", count=11)
    assert once(other) != first and looked[0] == 60 + 11 + 16
    assert len(list(cache.glob("*.rows"))) == 2  # of both data sets


def test_a_damaged_cache_is_made_again(data, inception, looked, cache):
    names = ["fid10_full", "kid10_full"]
    first = measure(a_generator(), Pictures(data), names, detector=inception).records
    looked[0] = 0
    for path in [*cache.glob("*.rows"), *cache.glob("*.safetensors")]:
        content = bytearray(path.read_bytes())
        content[-7] ^= 255
        path.write_bytes(content)
    assert measure(a_generator(), Pictures(data), names, detector=inception).records == first
    assert looked[0] == 12 + 16


LASTING = {"fid30_full": 1, "ppl2_wend": 0, "swd": 0, "memorisation": 2, "swd,diversity": 1}
"""Of these metrics, how many files of rows speak of real pictures alone."""


@pytest.mark.parametrize("names", LASTING)
def test_what_was_interrupted_goes_on_to_the_same_number(tmp_path, data, names, monkeypatch):
    """Stopped after each batch, and started again."""
    detector = str(write(tmp_path / "own.pt", VGG if "ppl" in names else Inception))
    settings = {"num": None if "fid" in names else 6, "batch": 4, "detector": detector}
    monkeypatch.setattr(module, "REALS_AT_ONCE", 5)
    monkeypatch.setattr(module, "DERIVED_AT_ONCE", 5)

    def run(cache, progress):
        monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / cache))
        asked = a_generator(), Pictures(data), names.split(",")
        return measure(*asked, progress=progress, **settings)

    def stopping(*step):
        made.append(step)
        raise KeyboardInterrupt

    steps, made, found = [], [], None
    whole = run("whole", lambda *step: steps.append(step))
    while found is None and len(made) <= len(steps):
        with contextlib.suppress(KeyboardInterrupt):
            found = run("parts", stopping)
    assert made == steps and len({(what, total) for what, _, total in steps}) < len(steps)
    assert found.records == whole.records
    assert all(np.array_equal(found.sheets[x], sheet) for x, sheet in whole.sheets.items())
    left = [len(list((tmp_path / x / FOLDER).glob("*.rows"))) for x in ("whole", "parts")]
    assert left == [LASTING[names]] * 2, "the generator's own are gone"


def test_what_two_metrics_look_at_is_drawn_once(data):
    steps = []
    names = ["memorisation", "diversity"]

    def once():
        steps.clear()
        measure(
            a_generator(), Pictures(data), names, 6, batch=4, progress=lambda *x: steps.append(x)
        )

    once()
    drawn = [("generated", 4, 8), ("generated", 8, 8)]
    assert steps == [*drawn, ("real", 12, 12), *[("matched", 6, 6)] * 2, ("real", 6, 6)]
    once()
    assert steps == [*drawn, ("matched", 6, 6)], "what is known of the real ones is kept"


@pytest.mark.parametrize("name", ["ppl2_wend", "ppl_wfull", "ppl_zend", "ppl_zfull"])
@pytest.mark.parametrize("classes", [0, 3])
def test_path_lengths_are_those_of_a_slow_copy(tmp_path, name, classes):
    """By central differences of a wider step, picture for picture."""
    data = a_zip(tmp_path / "some.zip", labels=[2, 0, 1] if classes else None)
    network = a_generator(dataclasses.replace(SMALL, c_dim=classes))
    comparison = dataclasses.replace(compared(data), generator=network)
    detector = ScriptDetector(write(tmp_path / "vgg.pt", VGG))
    metric = parse(name)
    found = sampling.path_lengths(comparison, detector, metric, range(3, 9))[:, 0]
    slow = []
    for i in range(3, 9):
        draws = sampling.chance.generator(0, "metric/path", i)
        a, b = torch.randn(1, 2, 8, generator=draws).unbind(1)
        t = torch.rand(1, 1, generator=draws) if metric.full else torch.zeros(1, 1)
        place = int(torch.randint(12, [], generator=draws))
        noise = sampling.noise_maps(network, draws)
        c = comparison.pictures.labels([place]) if classes else None

        def picture(at, a=a, b=b, c=c, noise=noise):
            if metric.space == "w":
                w = torch.lerp(network.mapping(a, c), network.mapping(b, c), at)
            else:  # the mapping brings z to length 1
                one, other = (x / x.norm() for x in (a, b))
                angle = torch.acos((one * other).sum())
                z = torch.sin((1 - at) * angle) * one + torch.sin(at * angle) * other
                w = network.mapping(z, c)
            return network.synthesis(broadcast(w, network.config.num_ws), noise) / 2

        step = 2e-3  # wide enough for float32, narrow enough for the kinks of leaky ReLUs
        ends = [picture(t + step), picture(t - step)]
        slow.append(float((ends[0] - ends[1]).square().sum() / (2 * step) ** 2))
    assert np.allclose(found, slow, rtol=0.1)
    assert len(set(found.tolist())) == 6


def test_draws_do_not_depend_on_what_else_is_drawn(data):
    comparison = compared(data)
    alone = torch.cat([draw(comparison, range(i, i + 1)) for i in range(3)])
    assert (alone.int() - draw(comparison, range(3)).int()).abs().max() <= 1


def test_a_discriminator_s_features_are_not_kept(data, cache):
    network = discriminator()
    found = measure(
        a_generator(), Pictures(data), ["fid10_disc"], discriminator=lambda: network
    ).records["fid10_disc"]
    assert found["detector"] == "discriminator" and not found["comparable_with_papers"]
    assert not list(cache.glob("*.rows")) and not list(cache.glob("*.safetensors"))


# Real processes

RUNNER = """
import json, sys
from test_evaluate import a_generator
from test_features import discriminator
from stylegan.data import Pictures
from stylegan.distributed import joined
from stylegan.evaluate import measure
import torch
data, detector, *names = sys.argv[1:]
with joined(torch.device("cpu")) as (group, _):
    found = measure(
        a_generator(), Pictures(data), names, num=6, batch=4, detector=detector, group=group,
        discriminator=discriminator,
    )
    print(json.dumps(found.records))
"""
NAMES = ["fid10_full", "kid9_full", "pr93_full", "is30", "ppl2_wend", "swd"]
NAMES += ["memorisation", "diversity", "fid10_disc"]


COMMAND = "import sys; from train.__main__ import main; sys.exit(main(sys.argv[1:]))"


def several(size, code, arguments, folder):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = str(s.getsockname()[1])
    path = os.pathsep.join([str(HERE), str(HERE.parent)])
    meet = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(size)}
    meet |= {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "STYLEGAN_CACHE": str(folder)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            env=os.environ | meet | {"RANK": str(i)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(size)
    ]
    said = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * size
    return said


def test_several_processes_give_the_number_of_one(data, tmp_path):
    detector = write(tmp_path / "both.pt", TwoInOne)
    arguments = [data, detector, *NAMES]
    (alone,) = several(1, RUNNER, arguments, tmp_path / "one")
    first, second = several(2, RUNNER, arguments, tmp_path / "two")
    assert json.loads(first) == json.loads(alone) and len(json.loads(alone)) == len(NAMES) + 1
    assert json.loads(second) == {}


def test_the_command_as_two_processes(data, tmp_path):
    """The first one speaks and writes."""
    save_model(tmp_path / "model", SMALL, {}, a_generator(), Discriminator(SMALL))
    arguments = ["evaluate", "--model", tmp_path / "model", "--data", data, "--device", "cpu"]
    arguments += ["--metrics", "fid20_disc,diversity", "--batch", "4"]
    first, second = several(2, COMMAND, arguments, tmp_path / "two")
    assert second == "" and "fid20_disc" in first and "not comparable with papers" in first
    records = json.loads((tmp_path / "model" / "metrics.json").read_text())
    assert [x["metric"] for x in records] == ["fid20_disc", "diversity"]


def test_an_interrupted_command_says_that_it_goes_on(data, tmp_path, capsys, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    save_model(tmp_path / "model", SMALL, {}, a_generator())
    monkeypatch.setattr("train.evaluate.evaluate", stop)
    assert main(["evaluate", "--model", str(tmp_path / "model"), "--data", str(data)]) == 1
    assert "stopped; the same line goes on from here" in capsys.readouterr().err


class TwoInOne(torch.nn.Module):
    """What both published files can do."""

    def forward(
        self,
        x: torch.Tensor,
        resize_images: bool = True,
        return_features: bool = False,
        return_lpips: bool = False,
    ) -> torch.Tensor:
        small = torch.nn.functional.adaptive_avg_pool2d(x.float() / 64, [2, 2]).flatten(1)
        if return_features or return_lpips:
            return small
        return torch.softmax(small, dim=1)

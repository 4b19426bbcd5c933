"""The stream of generated pictures, the metrics by name, metrics.json and the command."""

import dataclasses
import io
import json
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from written_runs import write_run

from stylegan import evaluate as module
from stylegan import metrics
from stylegan.checkpoint import save_model
from stylegan.config import NetworkConfig, UserError
from stylegan.data import Pictures
from stylegan.evaluate import measure, save_records
from stylegan.networks.generator import Generator
from stylegan.sampling import Comparison, draw, real_halves
from stylegan.swd import swd
from train.__main__ import main

SMALL = NetworkConfig(
    resolution=16, z_dim=8, w_dim=8, mapping_layers=1, channel_base=128, channel_max=8
)


def a_generator(config: NetworkConfig = SMALL, noise: float = 0.3) -> Generator:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = Generator(config).eval().requires_grad_(False)
    for name, parameter in network.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(noise)
    return network


def a_zip(path, count=12, side=16, mode="RGB", labels=None):
    """Coloured discs on grey, drawn here; picture i is the only one with its corner pixel."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] / side
    with zipfile.ZipFile(path, "w") as file:
        for i in range(count):
            cy, cx, r = rng.uniform(0.2, 0.8, 3)
            disc = (y - cy) ** 2 + (x - cx) ** 2 < (r / 3) ** 2
            values = np.where(disc[..., None], rng.integers(0, 256, 3), 128).astype(np.uint8)
            values[0, 0] = i
            buffer = io.BytesIO()
            Image.fromarray(values).convert(mode).save(buffer, "PNG")
            file.writestr(f"00000/img{i:08d}.png", buffer.getvalue())
        if labels:
            pairs = [[f"00000/img{i:08d}.png", labels[i % len(labels)]] for i in range(count)]
            file.writestr("dataset.json", json.dumps({"labels": pairs}))
    return path


@pytest.fixture
def data(tmp_path):
    return a_zip(tmp_path / "discs.zip")


@pytest.fixture
def model(tmp_path):
    save_model(tmp_path / "model", SMALL, {}, a_generator())
    return tmp_path / "model"


def stream(comparison, n):
    """The generated pictures 0 to n - 1, in whole batches as metrics draw them."""
    starts = range(0, n, comparison.batch)
    return torch.cat([draw(comparison, range(i, i + comparison.batch)) for i in starts])[:n]


def test_a_generated_picture_follows_from_seed_and_place_alone(data):
    comparison = Comparison(a_generator(), Pictures(data), None, 3, 4, None)
    images = stream(comparison, 6)
    assert images.shape == (6, 3, 16, 16)
    assert images.dtype == torch.uint8
    other_batch = stream(dataclasses.replace(comparison, batch=1), 6)
    assert (images.int() - other_batch.int()).abs().max() <= 1
    assert torch.equal(stream(comparison, 6)[:4], images[:4])
    assert not torch.equal(stream(dataclasses.replace(comparison, seed=4), 6), images)
    assert len(images.unique(dim=0)) == 6


def test_noise_is_random_and_the_global_generator_untouched(data):
    pictures = Pictures(data)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    loud, still = (
        stream(Comparison(a_generator(noise=x), pictures, None, 0, 4, None), 4) for x in (2.0, 0.0)
    )
    assert torch.equal(torch.get_rng_state(), state)
    network = a_generator(noise=2.0)
    for layer in network.modules():  # were the stored maps used, silence here would be seen
        if hasattr(layer, "noise_const"):
            layer.noise_const.zero_()
    assert torch.equal(stream(Comparison(network, pictures, None, 0, 4, None), 4), loud)
    assert not torch.equal(loud, still)


def test_labels_are_those_of_the_data(tmp_path, monkeypatch):
    pictures = Pictures(a_zip(tmp_path / "two.zip", labels=[2, 0]))
    network = a_generator(dataclasses.replace(SMALL, c_dim=3))
    seen = []
    mapping = network.mapping.forward
    monkeypatch.setattr(network.mapping, "forward", lambda z, c: seen.append(c) or mapping(z, c))
    stream(Comparison(network, pictures, None, 0, 8, None), 64)
    labels = torch.cat(seen)
    assert labels.shape == (64, 3)
    counts = labels.sum(0)
    assert counts[1] == 0
    assert counts[0] > 16
    assert counts[2] > 16


def test_halves_share_no_picture(data):
    pictures = Pictures(data)
    a, b = real_halves(pictures, 6, seed=0)
    assert sorted([*a, *b]) == list(range(12))
    assert list(real_halves(pictures, 6, seed=1)[0]) != list(a)
    assert list(real_halves(pictures, 2, seed=0)[0]) == list(a[:2])


def test_halves_of_mirrored_data_hold_a_picture_or_its_mirror_image(data):
    a, b = real_halves(Pictures(data, mirror=True), 6, seed=0)
    both = np.concatenate([a, b])
    assert sorted(both % 12) == list(range(12))
    assert 0 < (both >= 12).sum() < 12


def test_measure_is_swd_to_a_half_with_the_floor_beside_it(data):
    network, pictures = a_generator(), Pictures(data)
    steps = []
    record = measure(network, pictures, seed=5, batch=4, progress=lambda *x: steps.append(x))
    record = record.records["swd"]
    a, b = (pictures.images(x) for x in real_halves(pictures, 6, 5))
    fakes = stream(Comparison(network, pictures, None, 5, 4, None), 6)
    assert record["value"] == swd(a, fakes, 5)["mean"]
    assert record["floor"] == swd(a, b, 5)["mean"]
    assert record["levels"] == {"16": swd(a, fakes, 5)["16"]}
    assert record["floor_levels"] == {"16": swd(a, b, 5)["16"]}
    assert (record["metric"], record["n"], record["seed"], record["data"]) == ("swd", 6, 5, "discs")
    assert record["fingerprint"] == pictures.fingerprint
    assert steps == [("generated", 4, 8), ("generated", 8, 8), ("real", 6, 6), ("real", 6, 6)]


def test_the_number_of_pictures(data, monkeypatch):
    pictures = Pictures(data)
    assert measure(a_generator(), pictures, num=2).records["swd"]["n"] == 2
    monkeypatch.setattr(metrics, "SWD_MOST_PICTURES", 3)
    assert measure(a_generator(), pictures).records["swd"]["n"] == 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"names": ["swd", "fidd"]}, "no metric 'fidd'; there are: fid50k_full"),
        ({"num": 7}, "half of discs.* is 6"),
        ({"num": 0}, "num is not 1 or more"),
        ({"batch": 0}, "batch is not 1 or more"),
        ({"seed": -1}, "seed -1 is outside"),
        ({"seed": 2**32}, "outside 0 to 4294967295"),
    ],
)
def test_measure_refuses(data, settings, words):
    with pytest.raises(UserError, match=words):
        measure(a_generator(), Pictures(data), **settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"resolution": 32}, "draws 32x32 pictures with 3 channels, but discs holds 16x16"),
        ({"channels": 1}, "with 1 channel, but discs holds 16x16 with 3 channels"),
        ({"c_dim": 2}, "labels of length 2, but those of discs have length 0"),
    ],
)
def test_measure_refuses_data_of_another_kind(data, settings, words):
    network = a_generator(dataclasses.replace(SMALL, **settings))
    with pytest.raises(UserError, match=words):
        measure(network, Pictures(data))


def test_a_model_without_classes_takes_labelled_data(tmp_path):
    pictures = Pictures(a_zip(tmp_path / "two.zip", labels=[2, 0]))
    assert measure(a_generator(), pictures).records["swd"]["value"] > 0


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGBA", 4)])
def test_grey_and_transparent_pictures(tmp_path, mode, channels):
    pictures = Pictures(a_zip(tmp_path / "other.zip", mode=mode))
    network = a_generator(dataclasses.replace(SMALL, channels=channels))
    assert measure(network, pictures).records["swd"]["value"] > 0


def test_records_take_the_place_of_their_like_only(tmp_path):
    def record(**changes):
        return {"metric": "swd", "fingerprint": "aa", "n": 6, "seed": 0, "value": 1.0} | changes

    save_records(tmp_path, [record()])
    save_records(tmp_path, [record(seed=1), record(fingerprint="bb")])
    save_records(tmp_path, [record(value=2.0)])
    kept = json.loads((tmp_path / "metrics.json").read_text())
    assert kept == [record(seed=1), record(fingerprint="bb"), record(value=2.0)]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


@pytest.mark.parametrize("text", ["{", "{}", "[1]", "[" * 100_000, "\udcff"])
def test_a_damaged_metrics_file_is_left_alone(tmp_path, text):
    damaged = text.encode("utf-8", "surrogateescape")
    (tmp_path / "metrics.json").write_bytes(damaged)
    with pytest.raises(UserError, match="not a list of measurements"):
        save_records(tmp_path, [{"metric": "swd"}])
    assert (tmp_path / "metrics.json").read_bytes() == damaged


def test_command(data, model, capsys):
    arguments = ["evaluate", "--model", str(model), "--data", str(data), "--device", "cpu"]
    assert main(arguments) == 0
    first = capsys.readouterr().out
    (record,) = json.loads((model / "metrics.json").read_text())
    assert f"{record['value']:.4g}" in first
    assert f"{record['floor']:.4g}" in first
    assert "on 6 pictures a side of discs, seed 0" in first
    assert "metrics.json" in first
    assert main([*arguments, "--seed", "1", "--num", "3", "--metrics", "swd,"]) == 0
    seeds = [(r["seed"], r["n"]) for r in json.loads((model / "metrics.json").read_text())]
    assert seeds == [(0, 6), (1, 3)]


def test_command_can_leave_the_folder_alone(data, model, capsys):
    assert main(["evaluate", "--model", str(model), "--data", str(data), "--no-save"]) == 0
    assert "metrics.json" not in capsys.readouterr().out
    assert not (model / "metrics.json").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"--metrics": "swd,fid"}, "no metric 'fid'; there are: fid50k_full"),
        ({"--metrics": ","}, "no metric is named; there are: fid50k_full"),
        ({"--device": "toaster"}, "no device toaster"),
        ({"--model": "nowhere"}, "nowhere"),
        ({"--model": "a-run"}, "a-run is a run, not a model; its best one is a-run/best"),
        ({"--data": "nowhere.zip"}, "nowhere.zip"),
        ({"--num": "400"}, "400 pictures are asked for"),
    ],
)
def test_command_says_in_one_sentence_what_is_wrong(
    data, model, tmp_path, monkeypatch, capsys, changes, words
):
    write_run(tmp_path / "a-run")
    monkeypatch.chdir(tmp_path)
    flags = {"--model": str(model), "--data": str(data), "--device": "cpu"} | changes
    assert main(["evaluate", *(x for pair in flags.items() for x in pair)]) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert out == ""
    assert not (model / "metrics.json").exists()


def test_command_tells_and_keeps_a_metric_as_soon_as_it_is_known(data, model, capsys, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setitem(module.FAMILIES, "diversity", stopped)
    line = ["evaluate", "--model", str(model), "--data", str(data), "--num", "6"]
    assert main([*line, "--metrics", "swd,diversity"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith(" ") and "swd " in out and "the same line goes on" in err
    (record,) = json.loads((model / "metrics.json").read_text())
    assert record["metric"] == "swd"


def test_command_shows_the_numbers_before_a_full_disk(data, model, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    assert main(["evaluate", "--model", str(model), "--data", str(data)]) == 0
    before = (model / "metrics.json").read_text()
    monkeypatch.setattr(module.Path, "write_text", full)
    assert main(["evaluate", "--model", str(model), "--data", str(data), "--seed", "1"]) == 1
    out, err = capsys.readouterr()
    assert "seed 1" in out
    assert "No space left" in err
    assert (model / "metrics.json").read_text() == before

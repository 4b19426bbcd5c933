"""What each metric makes of known pictures, and that its record tells all that it takes."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from detector_files import VGG, Inception, write
from test_evaluate import SMALL, a_generator, a_zip, stream
from test_features import discriminator
from test_streams import TwoInOne

from stylegan import evaluate as evaluating
from stylegan import metrics, streams
from stylegan.config import UserError
from stylegan.data import Pictures
from stylegan.detectors import Published, ScriptDetector
from stylegan.distances import fid, inception_score, kid, kid_subsets, moments, precision_recall
from stylegan.evaluate import available, measure, save
from stylegan.sampling import Comparison, real_halves
from train.evaluate import table


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    streams._script.cache_clear()


@pytest.fixture
def data(tmp_path):
    return a_zip(tmp_path / "discs.zip", count=24)


@pytest.fixture
def own(tmp_path):
    return str(write(tmp_path / "own.pt", TwoInOne))


def both_sides(data, own, n):
    detector, pictures = ScriptDetector(own), Pictures(data)
    images = stream(Comparison(a_generator(), pictures, None, 0, 16), n)
    fakes = torch.cat([detector.features(x) for x in images.split(16)]).numpy()
    reals = detector.features(pictures.images(range(len(pictures)))).numpy()
    return reals, fakes, real_halves(pictures, len(pictures) // 2, 0)


def test_fid_is_that_of_all_reals_with_the_floor_of_two_halves(data, own):
    record = measure(a_generator(), Pictures(data), ["fid40_full"], detector=own).records
    reals, fakes, (a, b) = both_sides(data, own, 40)
    record = record["fid40_full"]
    assert record["value"] == pytest.approx(fid(moments([reals]), moments([fakes])), rel=1e-6)
    assert record["floor"] == pytest.approx(fid(moments([reals[a]]), moments([reals[b]])), rel=1e-6)
    beside = fid(moments([reals[a]]), moments([fakes[:12]]))
    assert record["value_at_floor_n"] == pytest.approx(beside, rel=1e-6)
    assert (record["n"], record["floor_n"], record["seed"]) == (40, 12, 0)
    assert record["detector"] == "own" and not record["comparable_with_papers"]
    assert record["detector_hash"] == ScriptDetector(own).hash and record["better"] == "lower"


def test_fewer_fakes_than_reals(data, own):
    record = measure(a_generator(), Pictures(data), ["fid6_full"], detector=own).records
    assert (record["fid6_full"]["n"], record["fid6_full"]["floor_n"]) == (6, 6)


def test_kid_precision_recall_and_inception_score(data, own):
    names = ["kid40_full", "pr403_full", "is40"]
    found = measure(a_generator(), Pictures(data), names, detector=own).records
    reals, fakes, (a, b) = both_sides(data, own, 40)
    assert list(found) == ["kid40_full", "pr403_full_precision", "pr403_full_recall", "is40"]
    value, error = kid(reals, fakes, kid_subsets(24, 40, 0))
    assert found["kid40_full"]["value"] == pytest.approx(value, rel=1e-5)
    assert found["kid40_full"]["error"] == pytest.approx(error, rel=1e-3)
    some, fewer = kid_subsets(12, 12, 0), kid_subsets(12, 12, 0)
    floor, beside = kid(reals[a], reals[b], some), kid(reals[a], fakes[:12], fewer)
    names = ("floor", "floor_error"), ("value_at_floor_n", "error_at_floor_n")
    for pair, both in zip(names, (floor, beside), strict=True):
        assert [found["kid40_full"][x] for x in pair] == pytest.approx(both, rel=1e-3)
        assert f"{both[1]:.4g}" in table(found["kid40_full"])
    expected, floor = precision_recall(reals, fakes), precision_recall(reals[a], reals[b])
    for i, kind in enumerate(("precision", "recall")):
        record = found[f"pr403_full_{kind}"]
        assert (record["value"], record["floor"]) == (expected[i], floor[i])
        assert record["better"] == "higher"
    probabilities = np.exp(fakes) / np.exp(fakes).sum(1, keepdims=True)
    expected = inception_score(probabilities)
    assert found["is40"]["value"] == pytest.approx(expected[0], rel=1e-4)
    assert found["is40"]["std"] == pytest.approx(expected[1], rel=1e-3)
    assert found["is40"]["floor_n"] == 24


def test_kid_counts_pictures_not_their_mirror_images(data, own):
    pictures = Pictures(data, mirror=True)
    found = measure(a_generator(), pictures, ["kid40_full"], detector=own).records["kid40_full"]
    detector = ScriptDetector(own)
    reals = detector.features(pictures.images(range(48))).numpy()
    images = stream(Comparison(a_generator(), pictures, None, 0, 16), 40)
    fakes = torch.cat([detector.features(x) for x in images.split(16)]).numpy()
    error = kid(reals, fakes, kid_subsets(48, 40, 0), originals=24)[1]
    assert found["error"] == pytest.approx(error, rel=1e-4)
    assert error > 1.002 * kid(reals, fakes, kid_subsets(48, 40, 0))[1]


@pytest.mark.parametrize(("count", "name"), [(7, "kid40_full"), (24, "kid3_full")])
def test_kid_of_too_few_pictures_says_so(tmp_path, own, count, name):
    few = Pictures(a_zip(tmp_path / "few.zip", count=count))
    with pytest.raises(UserError, match=f"{name} needs 8 real pictures and 4 generated ones"):
        measure(a_generator(), few, [name], detector=own)


def test_the_published_files_are_told_from_others(data, tmp_path, monkeypatch):
    for which, kind in ((streams.detectors.INCEPTION, Inception), (streams.detectors.VGG16, VGG)):
        (tmp_path / "cache").mkdir(exist_ok=True)
        write(tmp_path / "cache" / which.file, kind)
    names = ["fid20_full", "is20", "pr203_full", "ppl2_wend"]
    found = measure(a_generator(), Pictures(data), names, num=20).records
    assert all(record["comparable_with_papers"] for record in found.values())
    by = {name: record["detector"] for name, record in found.items()}
    assert by["fid20_full"] == by["is20"] == "inception-2015-12-05"
    assert by["pr203_full_recall"] == by["ppl2_wend"] == "vgg16"
    assert found["ppl2_wend"]["floor"] is None and found["ppl2_wend"]["n"] == 20
    assert found["ppl2_wend"]["value"] > 0
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGBA", 4), ("RGB", 3)])
def test_any_kind_of_pictures_with_classes(tmp_path, own, mode, channels):
    pictures = Pictures(a_zip(tmp_path / "some.zip", mode=mode, labels=[0, 2, 1]), mirror=True)
    network = a_generator(dataclasses.replace(SMALL, channels=channels, c_dim=3))
    other = discriminator(channels=channels, c_dim=3)
    names = ["fid10_full", "ppl_zfull", "fid10_disc", "ppl2_wend_disc", "swd"]
    names += ["memorisation", "diversity"]
    settings = {"num": 6, "detector": own, "discriminator": lambda: other}
    first = measure(network, pictures, names, **settings)
    assert list(first.records) == names and all(r["mirror"] for r in first.records.values())
    again = measure(network, pictures, names, **settings)
    assert again.records == first.records, "the same model gives the same number twice"
    other_seed = measure(network, pictures, names, seed=1, **settings)
    assert all(other_seed.records[x]["value"] != first.records[x]["value"] for x in names[:5])
    json.dumps(first.records, allow_nan=False)


class Replay(torch.nn.Module):
    """A synthesis that gives pictures that are there already, in place of its own."""

    def __init__(self, network, images):
        super().__init__()
        self.shapes, self.images = network.synthesis.noise_shapes, images

    @property
    def noise_shapes(self):
        return self.shapes

    def forward(self, ws, noise):
        picked = (ws[:, 0].double().sum(1) * 1e6).long() % len(self.images)
        return (self.images[picked].float() - 127.5) / 127.5


def replaying(images):
    network = a_generator()
    network.synthesis = Replay(network, images)
    return network


def test_a_generator_that_replays_the_training_pictures(tmp_path):
    pictures = Pictures(a_zip(tmp_path / "many.zip", count=60))
    images = torch.roll(pictures.images(range(60)).flip(3), 1, 3)
    found = measure(replaying(images), pictures, ["memorisation", "diversity"], num=30)
    record = found.records["memorisation"]
    assert record["value"] > 0.8 > 0.2 > record["floor"]
    assert record["distance"] < record["distance_of_data"] / 2
    assert found.records["diversity"]["value"] == pytest.approx(1, abs=0.15)
    assert found.sheets["memorisation"].shape[2] == 3


def test_a_generator_of_its_own_pictures_has_learned_nothing_by_heart(tmp_path):
    pictures = Pictures(a_zip(tmp_path / "many.zip", count=60))
    record = measure(a_generator(), pictures, ["memorisation"], num=30).records["memorisation"]
    assert record["value"] == 0


def test_a_generator_that_collapsed(tmp_path):
    pictures = Pictures(a_zip(tmp_path / "many.zip", count=60))
    one = torch.full((1, 3, 16, 16), 90, dtype=torch.uint8)
    record = measure(replaying(one), pictures, ["diversity"]).records["diversity"]
    assert record["value"] == record["nearest"] == 0
    assert record["coverage"] < record["coverage_floor"] / 2
    assert record["floor"] == pytest.approx(1, abs=0.2) and record["n"] == 60


def test_diversity_of_classes(tmp_path):
    """Class 1 collapsed to one picture; class 0 did not."""
    pictures = Pictures(a_zip(tmp_path / "two.zip", count=60, labels=[0, 1]))
    network = a_generator(dataclasses.replace(SMALL, c_dim=2))
    images = pictures.images(range(0, 60, 2))
    network.synthesis = Replay(network, images)
    mapping = network.mapping.forward

    def collapsed(z, c):
        w = mapping(z, c)
        return torch.where(c[:, 1:] > 0, torch.zeros_like(w), w)

    network.mapping.forward = collapsed
    classes = measure(network, pictures, ["diversity"]).records["diversity"]["classes"]
    assert classes["1"]["diversity"] == 0 < 0.7 < classes["0"]["diversity"]
    assert classes["1"]["coverage"] <= classes["0"]["coverage"]
    assert classes["0"]["n"] + classes["1"]["n"] == 60


@pytest.mark.parametrize(
    ("names", "settings", "words"),
    [
        (["fid10_disc"], {}, "needs the model's discriminator"),
        (["fid10_full"], {"num": 5}, "num is told by the name fid10_full"),
        (["fid10_full"], {"detector": "nowhere.pt"}, "there is no detector file nowhere.pt"),
        (["pr23_full"], {"detector": "own"}, "needs more than 6 real pictures"),
        (["is5"], {"detector": "own"}, "needs 10 pictures"),
    ],
)
def test_what_cannot_be_measured_is_said(data, own, names, settings, words):
    settings = {k: own if v == "own" else v for k, v in settings.items()}
    with pytest.raises(UserError, match=words):
        measure(a_generator(), Pictures(data), names, **settings)


def test_few_pictures_are_refused_in_words(tmp_path):
    pictures = Pictures(a_zip(tmp_path / "two.zip", count=2))
    for name in ("memorisation", "diversity"):
        with pytest.raises(UserError, match="real pictures at least, not 2"):
            measure(a_generator(), pictures, [name])


def test_features_that_are_no_numbers(data, tmp_path):
    class Broken(TwoInOne):
        def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
            return x.float().mean((2, 3)) * float("nan")

    path = write(tmp_path / "broken.pt", Broken)
    with pytest.raises(UserError, match=r"not finite|no numbers"):
        measure(a_generator(), Pictures(data), ["kid10_full"], detector=str(path))
    with pytest.raises(UserError, match=r"not finite|no numbers"):
        measure(a_generator(), Pictures(data), ["fid10_full"], detector=str(path))


def test_what_can_be_measured_here(tmp_path, monkeypatch, own):
    said = []
    monkeypatch.setattr(Published, "url", "http://127.0.0.1:9/none")
    names = ["fid50k_full", "swd", "kid5k_full", "pr50k3_full", "fid5k_disc", "memorisation"]
    assert available(names, "", said.append) == ["swd", "fid5k_disc", "memorisation"]
    gone = [words for words in said if words.startswith("goes on without")]
    assert len(gone) == 2
    assert gone[0].startswith("goes on without fid50k_full, kid5k_full: ")
    assert "save it as" in gone[0] and gone[1].startswith("goes on without pr50k3_full")
    assert available(names, own, said.append) == names
    with pytest.raises(UserError, match="there is no detector file"):
        available(names, "nowhere.pt", said.append)


def test_every_record_can_be_shown(tmp_path, own):
    """Also those without a floor, and of very few pictures."""
    pictures = Pictures(a_zip(tmp_path / "few.zip", count=6, labels=[0, 1]))
    network = a_generator(dataclasses.replace(SMALL, c_dim=2))
    names = ["ppl2_wend", "diversity", "memorisation", "swd", "fid10_full"]
    found = measure(network, pictures, names, num=3, detector=own).records
    shown = {name: table(record) for name, record in found.items()}
    assert "floor" not in shown["ppl2_wend"] and "  class 0: coverage" in shown["diversity"]
    assert "floor of 3" in shown["fid10_full"] and "16 px" in shown["swd"]


def test_numbers_and_pictures_in_a_model_folder(tmp_path, data):
    found = measure(a_generator(), Pictures(data), ["memorisation", "swd"], num=6)
    save(tmp_path, found)
    assert sorted(x.name for x in tmp_path.iterdir() if x.suffix in (".json", ".png")) == [
        *metrics.SHEETS,
        "metrics.json",
    ]
    save(tmp_path, measure(a_generator(), Pictures(data), ["memorisation", "swd"], num=6))
    assert len(evaluating.read_records(tmp_path / "metrics.json")) == 2

"""The files of a model on the Hub, its card above all."""

import dataclasses
import json
import re
import shutil
from io import BytesIO

import pytest
from drawing import drawing, encoded, folder
from PIL import Image
from publishing import ANSWERS, call, card
from training_data import NETWORK, tiny

from stylegan.card import is_edited
from stylegan.checkpoint import ENCODER_STATE, save_model
from stylegan.config import UserError
from stylegan.networks.generator import Generator
from stylegan.prepare import PrepareConfig, prepare
from stylegan.training.loop import fit
from stylegan.version import VERSION
from tests.app_server import TINY


@pytest.fixture
def run(trained_run):
    return trained_run


def test_the_card_tells_what_the_run_knows_and_makes_nothing_up(hub, run):
    call(run, answers=ANSWERS)
    files = hub.repos["model", "ann/discs"].head()
    told, text = card(files)
    record = json.loads(files["metrics.json"])[0]
    training = json.loads(files["config.json"])["training"]
    assert told["library_name"] == "stylegan"
    assert told["pipeline_tag"] == "unconditional-image-generation"
    assert told["license"] == "cc0-1.0" and "datasets" not in told
    (result,) = told["model-index"][0]["results"]
    (metric,) = result["metrics"]
    assert metric["type"] == "swd" and metric["value"] == round(record["value"], 4)
    assert metric["args"] == {"n": 6, "seed": 0, "floor": round(record["floor"], 4)}
    assert result["dataset"]["args"] == {"fingerprint": training["data"]["fingerprint"]}
    for part in (
        'stylegan.load("ann/discs@kimg-000000")',
        "Tests, and nothing else.",
        "drawn by a program",
        f"| swd | {record['value']:.4g} | {record['floor']:.4g} | 6 | 0 | lower | pixels | discs |",
        f"trained on 12 pictures of discs for {training['kimg']:g} thousand images",
        "nearest among 12 training pictures",
        f"| hours | {training['hours']} |",
        "| batch | 4 |",
        f"published by | stylegan {VERSION}",
    ):
        assert part in text, part
    assert not is_edited(files["README.md"].decode())


def test_the_card_tells_what_prepare_did_wherever_the_pictures_are(hub, tmp_path):
    files = {f"secret-{i}.png": drawing(i, 16) for i in range(8)}
    files |= {"again.png": files["secret-0.png"], "small.png": drawing(9, 4), "junk.png": b"junk"}
    files["thin.png"] = encoded(Image.new("RGB", (16, 100)))
    src = folder(tmp_path / "src", files)
    data = tmp_path / "discs.zip"
    settings = {"resolution": 16, "fit": "crop", "max_aspect": 2.0, "dedupe": True}
    prepare(PrepareConfig(src, data, **settings))
    fit(tiny(data, kimg=0.02, snap=1), tmp_path / "run", say=lambda text: None)
    data.rename(tmp_path / "gone.zip")
    call(tmp_path / "run")
    model = (tmp_path / "run" / "best").resolve()
    call(model, "ann/pushed")
    for repo in ("ann/discs", "ann/pushed"):
        text = card(hub.repos["model", repo].head())[1]
        told = "resolution 16, fit crop, background white, channels 3, min_side 8, max_aspect 2.0"
        assert f"| Made square by `prepare` | {told}, upscale lanczos, dedupe True |" in text
        left = re.search(r"\| Left out by `prepare` \| 4: (.*) \|", text)[1].split("; ")
        assert sorted(left) == [
            *("1 × a side under 8", "1 × an aspect over 2", "1 × not a picture of a known kind"),
            "1 × the same picture as another",
        ]
        assert "secret" not in text and "| Pictures | 8, of discs |" in text


def test_a_note_of_prepare_that_cannot_be_read_is_left_out(run):
    for note in (b"junk", b"[]", b'{"settings": 3, "skipped": [1, []], "classes": 2}'):
        (run / "prepare.json").write_bytes(note)
        out = run.parent / f"out-{len(note)}"
        call(run, build=out, nearest=False)
        assert "Made square" not in (out / "model" / "README.md").read_text()


def test_what_nobody_said_is_said_to_be_missing(hub, run):
    call(run, nearest=False)
    told, text = card(hub.repos["model", "ann/discs"].head())
    assert "license" not in told
    assert "| Source | Not stated. |" in text and "| Licence | Not stated. |" in text
    assert "## What it is for\n\nNot stated." in text
    assert "was not looked at" in text
    assert "nearest.png" not in hub.repos["model", "ann/discs"].head()


def test_nothing_of_this_machine_goes_out(hub, run, trained):
    call(run)
    for name, data in hub.repos["model", "ann/discs"].head().items():
        assert str(trained.parent).encode() not in data, name
    settings = json.loads(hub.repos["model", "ann/discs"].head()["config.json"])
    assert settings["training"]["settings"]["data"] == "discs.zip"


def test_pictures_of_the_card(hub, run):
    call(run)
    files = hub.repos["model", "ann/discs"].head()
    for name, size in {
        "samples.png": (128, 128),
        "samples-psi-0.7.png": (128, 128),
        "nearest.png": (5 * 64, 8 * 64),
    }.items():
        with Image.open(BytesIO(files[name])) as image:
            assert image.size == size, name


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (4, "RGBA")])
def test_grey_and_transparent_models(hub, tmp_path, channels, mode):
    config = dataclasses.replace(NETWORK, channels=channels, c_dim=2)
    save_model(tmp_path / "m", config, {}, Generator(config))
    call(tmp_path / "m")
    files = hub.repos["model", "ann/discs"].head()
    with Image.open(BytesIO(files["samples.png"])) as image:
        assert image.mode == mode
    text = card(files)[1]
    assert "Grey pictures" in text or "Pictures with transparency" in text
    assert "in 2 classes" in text and "classes in turn" in text


def test_the_card_of_a_stylegan_that_was_trained_with_diffaugment(hub, tmp_path):
    growing = {"architecture": "growing", "d_architecture": "growing", "style": "adain"}
    config = dataclasses.replace(NETWORK, resolution=64, **growing)
    training = {"settings": {"aug": "diffaugment"}}
    save_model(tmp_path / "m", config, training, Generator(config))
    call(tmp_path / "m")
    told, text = card(hub.repos["model", "ann/discs"].head())
    assert told["tags"][0] == "stylegan"
    assert "by a StyleGAN of" in text
    assert "stylegan.Recipe(seed=7, psi=0.7, cut=8)" in text
    assert "augmented by DiffAugment" in text


def test_large_pictures_are_few_in_a_grid(tmp_path):
    config = dataclasses.replace(NETWORK, resolution=256, channel_base=256, channel_max=4)
    save_model(tmp_path / "m", config, {}, Generator(config))
    Image.new("RGB", (2048, 2048)).save(tmp_path / "m" / "samples.png")
    _, done = call(tmp_path / "m", build=tmp_path / "out")
    assert done is None
    with Image.open(tmp_path / "out" / "model" / "samples.png") as image:
        assert image.size == (1024, 1024)
    assert "Seeds 0-15" in (tmp_path / "out" / "model" / "README.md").read_text()


def test_a_card_of_the_folder_is_taken_as_it_is(hub, tmp_path):
    shutil.copytree(TINY, tmp_path / "m")
    (tmp_path / "m" / "README.md").write_text("---\nlicense: mit\n---\nMine.\n")
    said, done = call(tmp_path / "m")
    assert hub.repos["model", "ann/discs"].head()["README.md"] == b"---\nlicense: mit\n---\nMine.\n"
    assert "the folder's own" in said and done.tag == ""


def test_a_model_folder_without_a_run(hub, tmp_path):
    shutil.copytree(TINY, tmp_path / "m")
    (tmp_path / "m" / "model.pkl").write_text("x")
    (tmp_path / "m" / ".DS_Store").write_text("x")
    (tmp_path / "m" / ENCODER_STATE).write_bytes(b"x")
    said, done = call(tmp_path / "m", tag="v1")
    repo = hub.repos["model", "ann/discs"]
    assert "left out: model.pkl" in said
    assert not {"model.pkl", ".DS_Store", "card.json", ENCODER_STATE} & set(repo.head())
    assert repo.tags == {"v1": done.commit}
    assert "It was not measured." in card(repo.head())[1]
    assert "directions.safetensors" in repo.head()


def test_a_run_without_a_model_and_a_folder_that_is_none(hub, tmp_path):
    (tmp_path / "models").mkdir()
    with pytest.raises(UserError, match="has no model yet; the first comes with"):
        call(tmp_path)
    with pytest.raises(UserError, match="no model folder"):
        call(tmp_path / "gone")


def test_broken_weights_are_not_published(hub, tmp_path):
    shutil.copytree(TINY, tmp_path / "m")
    weights = tmp_path / "m" / "generator.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(UserError, match="damaged"):
        call(tmp_path / "m")
    assert not hub.repos

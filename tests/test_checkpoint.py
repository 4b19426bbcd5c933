import json
import os
import resource
import stat

import pytest
import torch
from safetensors.torch import save_file

from stylegan import checkpoint
from stylegan.checkpoint import (
    load_discriminator,
    load_generator,
    most_weights_bytes,
    read_config,
    revision,
    save_model,
)
from stylegan.config import NetworkConfig
from stylegan.networks.discriminators import Discriminator
from stylegan.networks.generator import Generator
from stylegan.tensors import (
    HEADER_BYTES,
    CheckpointError,
    load_tensors,
    save_tensors,
)

CONFIG = NetworkConfig(
    resolution=16, z_dim=8, w_dim=8, mapping_layers=2, channel_base=64, channel_max=8
)


@pytest.fixture
def folder(tmp_path):
    save_model(tmp_path / "m", CONFIG, {"kimg": 3}, Generator(CONFIG), Discriminator(CONFIG))
    return tmp_path / "m"


def edit(folder, **changes):
    settings = json.loads((folder / "config.json").read_text())
    settings["network"].update(changes.pop("network", {}))
    settings.update(changes)
    (folder / "config.json").write_text(json.dumps(settings))


def refusal(call, *args):
    """The sentence that a call ends in."""
    with pytest.raises(CheckpointError) as error:
        call(*args)
    text = str(error.value)
    assert "\n" not in text and len(text) < 700
    return text


def test_round_trip(tmp_path):
    torch.manual_seed(0)
    g, d = Generator(CONFIG), Discriminator(CONFIG)
    g.mapping.w_avg.normal_()
    save_model(tmp_path / "m", CONFIG, {"kimg": 3, "who": ["é"]}, g, d, {"samples.png": b"png"})
    assert read_config(tmp_path / "m") == (CONFIG, {"kimg": 3, "who": ["é"]})
    assert (tmp_path / "m/samples.png").read_bytes() == b"png"
    before = torch.get_rng_state()
    loaded = load_generator(tmp_path / "m"), load_discriminator(str(tmp_path / "m"))
    assert torch.equal(before, torch.get_rng_state())
    for ours, theirs in zip((g, d), loaded, strict=True):
        assert not theirs.training and not any(p.requires_grad for p in theirs.parameters())
        own = theirs.state_dict()
        assert all(torch.equal(own[name], value) for name, value in ours.state_dict().items())
    ws = torch.randn(1, CONFIG.num_ws, 8)
    assert torch.equal(loaded[0].synthesis(ws), g.synthesis(ws))


def test_same_weights_same_bytes_and_revision(tmp_path):
    g = Generator(CONFIG)
    for name in ("a", "b"):
        save_model(tmp_path / name, CONFIG, {"name": name}, g)
    assert revision(tmp_path / "a") == revision(tmp_path / "b")
    assert len(revision(tmp_path / "a")) == 10
    with torch.no_grad():
        g.mapping.w_avg += 1
    save_model(tmp_path / "b", CONFIG, {}, g)
    assert revision(tmp_path / "a") != revision(tmp_path / "b")


def test_files_are_readable_by_others_as_the_umask_says(folder):
    (folder / "plain").write_text("")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert len(modes) == 1


def test_saving_again_replaces_the_whole_folder(folder):
    (folder / "directions.safetensors").write_bytes(b"of the old generator")
    save_model(folder, CONFIG, {"kimg": 4}, Generator(CONFIG))
    assert sorted(os.listdir(folder)) == ["config.json", "generator.safetensors"]
    assert os.listdir(folder.parent) == ["m"]


def test_a_folder_of_something_else_is_not_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"dear")
    assert "not a model folder" in refusal(
        save_model, tmp_path / "photos", CONFIG, {}, Generator(CONFIG)
    )
    assert (tmp_path / "photos/a.jpg").read_bytes() == b"dear"
    assert "not a model folder" in refusal(
        save_model, tmp_path / "photos/a.jpg", CONFIG, {}, Generator(CONFIG)
    )


def test_disk_full_while_saving_keeps_the_old_model(folder):
    old = {path.name: path.read_bytes() for path in folder.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))  # config.json fits, weights do not
    try:
        with pytest.raises(OSError, match="cannot write"):
            save_model(folder, CONFIG, {}, Generator(CONFIG))
        with pytest.raises(OSError, match="cannot write"):
            save_tensors(folder / "generator.safetensors", {"a": torch.zeros(9999)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == old
    assert os.listdir(folder.parent) == ["m"]


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ({"resolution": 1 << 30}, "resolution 1073741824 is not a power of two from 8 to 1024"),
        ({"resolution": "16"}, "resolution '16' is not a whole number"),
        ({"z_dim": 8.0}, "z_dim 8.0"),
        ({"w_dim": None}, "w_dim None"),
        ({"channel_max": True}, "channel_max True"),
        ({"architecture": "gothic"}, "architecture 'gothic' is not one of skip, resnet, orig"),
        ({"conv_clamp": float("nan")}, "conv_clamp nan"),
        ({"wings": 2}, "unknown setting wings"),
    ],
)
def test_bad_network_settings_are_named(folder, network, words):
    edit(folder, network=network)
    text = refusal(load_generator, folder)
    assert words in text and str(folder / "config.json") in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 2}, "made by a newer version (format 2, this one reads up to 1)"),
        ({"format": None}, 'no "format" number'),
        ({"format": True}, 'no "format" number'),
        ({"format": 0}, 'no "format" number'),
        ({"training": []}, 'no "training" object'),
        ({"extra": 1, "more": 2}, "unknown key: extra, more"),
    ],
)
def test_bad_top_level_keys_are_named(folder, changes, words):
    edit(folder, **changes)
    assert words in refusal(read_config, folder)


def test_missing_keys_are_named(folder):
    settings = json.loads((folder / "config.json").read_text())
    del settings["network"]["channels"], settings["network"]["z_dim"]
    (folder / "config.json").write_text(json.dumps(settings))
    assert "network lacks channels, z_dim" in refusal(read_config, folder)
    del settings["network"]
    (folder / "config.json").write_text(json.dumps(settings))
    assert 'no "network" object' in refusal(read_config, folder)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 200_000, b'{"format": ' + b"9" * 5000 + b"}"]
)
def test_broken_config(folder, text):
    (folder / "config.json").write_bytes(text)
    assert "config.json" in refusal(read_config, folder)


def test_huge_config(folder):
    (folder / "config.json").write_bytes(b" " * (checkpoint.MAX_CONFIG_BYTES + 1))
    assert "larger than 1 MB" in refusal(read_config, folder)


def test_folder_that_is_none(folder, tmp_path):
    assert "there is no model folder" in refusal(load_generator, tmp_path / "absent")
    assert "it has no config.json" in refusal(load_generator, tmp_path)
    weights = folder / "generator.safetensors"
    assert "give the model folder that holds it" in refusal(load_generator, weights)
    weights.unlink()
    assert "generator.safetensors does not exist" in refusal(load_generator, folder)


@pytest.mark.parametrize("name", ["network.pkl", "model.pt", "a.PTH"])
@pytest.mark.parametrize("exists", [True, False])
def test_pickles_are_sent_to_the_importer(tmp_path, name, exists):
    if exists:
        (tmp_path / name).write_bytes(b"cos\nsystem\n(S'exit'\ntR.")
    for call in (load_generator, load_tensors, revision):
        assert "python -m train import" in refusal(call, tmp_path / name)


def test_damaged_weights(folder):
    path = folder / "generator.safetensors"
    whole = path.read_bytes()
    for data in (b"", b"junk", whole[:100], whole[:-1], b"\xff" * 64, whole + b"tail"):
        path.write_bytes(data)
        assert "damaged" in refusal(load_generator, folder)
        assert "damaged" in refusal(load_tensors, path)


def test_differences_are_named(folder):
    path = folder / "generator.safetensors"
    tensors = load_tensors(path)
    tensors["mapping.fc0.weight"] = torch.zeros(8, 9)
    tensors["surprise"] = torch.zeros(1)
    del tensors["synthesis.b4.const"]
    save_file(tensors, path)
    text = refusal(load_generator, folder)
    assert "missing synthesis.b4.const" in text
    assert "unexpected surprise" in text
    assert "mismatched mapping.fc0.weight [8, 9] instead of [8, 8]" in text


def test_a_long_list_of_differences_is_shortened(folder):
    save_file({"a": torch.zeros(1)}, folder / "generator.safetensors")
    assert " more; unexpected a" in refusal(load_generator, folder)


def test_a_large_network_is_compared_before_it_is_built(folder, monkeypatch):
    network = {"resolution": 1024, "channel_base": 1 << 20, "channel_max": 4096, "w_dim": 4096}
    edit(folder, network=network)  # would take 20 GB

    def build(module, config):
        assert torch.empty(0).is_meta, "a network was allocated before it was compared"
        return original(module, config)

    original = Generator.__init__
    monkeypatch.setattr(Generator, "__init__", build)
    assert "mismatched" in refusal(load_generator, folder)


@pytest.mark.parametrize(
    "settings",
    [
        {"resolution": 16, "channel_base": 128, "channel_max": 12, "z_dim": 16, "c_dim": 3},
        {"resolution": 32, "channel_base": 1024, "channel_max": 64, "mapping_layers": 2},
        {"resolution": 8, "w_dim": 8, "z_dim": 4, "channel_max": 8, "mapping_layers": 1},
        {"resolution": 16, "w_dim": 8, "z_dim": 4, "channel_max": 8, "c_dim": 500, "channels": 4},
        {"resolution": 16, "architecture": "resnet", "d_architecture": "skip", "channel_max": 32},
        {"resolution": 16, "architecture": "orig", "d_architecture": "orig", "channel_max": 32},
    ],
)
def test_no_file_of_weights_is_larger_than_foretold(settings):
    config = NetworkConfig(**settings)
    for cls in (Generator, Discriminator):
        values = sum(tensor.numel() for tensor in cls(config).state_dict().values())
        assert 4 * values < most_weights_bytes(config) - HEADER_BYTES

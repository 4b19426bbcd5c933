import pytest
import torch
from safetensors.torch import save_file
from test_checkpoint import CONFIG, refusal

from stylegan.direction_files import DirectionNote, load_directions, save_directions


def test_directions_keep_their_order_and_notes(tmp_path):
    steps = {"smile": torch.ones(8), "age": torch.zeros(6, 8), "Hat.2": torch.arange(8.0)}
    notes = {
        "smile": DirectionNote("a smile", "labels", 0.9, (2, 3), {"age": -0.1, "größe": 1.0}),
        "Hat.2": DirectionNote(rows=(0, 5)),
    }
    path = tmp_path / "directions.safetensors"
    save_directions(path, steps, notes)
    found, told = load_directions(path, CONFIG)
    assert list(found) == list(told) == ["smile", "age", "Hat.2"]
    assert all(torch.equal(found[name], step) for name, step in steps.items())
    assert told == {**notes, "age": DirectionNote()}
    save_directions(path, {}, notes)
    assert load_directions(path, CONFIG) == ({}, {})


def test_directions_without_notes_are_as_before(tmp_path):
    save_file({"b": torch.ones(8), "a": torch.ones(8)}, tmp_path / "x.safetensors")
    found, told = load_directions(tmp_path / "x.safetensors", CONFIG)
    assert list(found) == ["a", "b"] and told == {"a": DirectionNote(), "b": DirectionNote()}


@pytest.mark.parametrize(
    ("notes", "words"),
    [
        ("{", "notes that cannot be read"),
        ("[]", "notes that cannot be read"),
        ('{"smile": 3}', "notes that cannot be read"),
        ('{"smile": {"mood": 1}}', "mood"),
        ('{"smile": {"rows": [2]}}', "notes that cannot be read"),
        ('{"smile": {"rows": [3, 2]}}', "there are no rows 3 to 2"),
        ('{"smile": {"rows": [0, 6]}}', "there are no rows 0 to 6"),
        ('{"smile": {"label": 1}}', "a text is none"),
        ('{"smile": {"accuracy": "high"}}', "a number is none"),
        ('{"smile": {"accuracy": NaN}}', "a number is none"),
        ('{"smile": {"moves": {"a": null}}}', "a number is none"),
        ('{"smile": {"moves": []}}', "notes that cannot be read"),
        ("{}", "its notes name other directions than it holds"),
        ('{"smile": {}, "age": {}}', "its notes name other directions than it holds"),
    ],
)
def test_bad_notes_are_refused(tmp_path, notes, words):
    path = tmp_path / "directions.safetensors"
    save_file({"smile": torch.ones(8)}, path, {"directions": notes})
    assert words in refusal(load_directions, path, CONFIG)

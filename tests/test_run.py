import json

from drawing import drawing, encoded, folder

from stylegan.data import Pictures
from stylegan.prepare import PrepareConfig, prepare
from stylegan.presets import preset
from stylegan.training import run


def test_a_run_keeps_how_its_pictures_were_made(tmp_path):
    src = folder(tmp_path / "src", {f"{i}.png": drawing(i, 16) for i in range(3)})
    prepare(PrepareConfig(src, tmp_path / "out.zip", resolution=16))
    place = tmp_path / "run"
    place.mkdir()
    config = preset("tiny", 16, 3, 0)
    run.begin(place, config, Pictures(tmp_path / "out.zip"), fresh=False)
    note = json.loads((place / "prepare.json").read_text())
    assert list(note["sources"].values()) == ["0.png", "1.png", "2.png"]
    plain = folder(tmp_path / "plain", {f"{i}.png": encoded(drawing(i, 16)) for i in range(3)})
    run.begin(place, config, Pictures(plain), fresh=True)
    assert not (place / "prepare.json").exists()

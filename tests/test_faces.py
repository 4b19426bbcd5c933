import numpy as np
import pytest
from drawing import drawing, encoded, folder
from PIL import Image, ImageDraw, ImageFilter

from stylegan import faces
from stylegan.config import UserError
from stylegan.faces import crop_face
from stylegan.pictures import PictureError
from stylegan.prepare import PrepareConfig, prepare


def face(side: int, size: tuple[int, int], left: int, top: int) -> Image.Image:
    """A grey sketch of a face, which the detector takes for one."""
    image = Image.new("L", size, 90)
    pen, scale = ImageDraw.Draw(image), side / 200
    for box, grey in (
        ((20, 0, 180, 200), 200),
        ((20, -30, 180, 50), 50),
        ((48, 70, 90, 95), 70),
        ((110, 70, 152, 95), 70),
        ((60, 76, 80, 92), 20),
        ((120, 76, 140, 92), 20),
        ((42, 60, 92, 68), 60),
        ((108, 60, 158, 68), 60),
        ((88, 90, 112, 130), 225),
        ((85, 122, 115, 136), 150),
        ((70, 148, 130, 168), 90),
    ):
        x0, y0, x1, y1 = (x * scale for x in box)
        pen.ellipse((left + x0, top + y0, left + x1, top + y1), grey)
    return image.filter(ImageFilter.GaussianBlur(3 * scale)).convert("RGB")


@pytest.mark.parametrize(
    "side, size, left, top", [(120, (400, 300), 250, 150), (160, (300, 620), 70, 300)]
)
def test_the_square_around_the_face(side, size, left, top):
    image = face(side, size, left, top)
    marked = image.copy()
    marked.putpixel((left + side // 2, top + side // 2), (255, 0, 0))
    cut = crop_face(image)
    assert cut.width == cut.height
    assert 1.6 * side < cut.width < 2.4 * side
    # the middle of the face lies in the middle of the square, unless the picture ends before
    there = np.argwhere(np.asarray(crop_face(marked))[..., 0].astype(int) == 255)
    y, x = there[0] / cut.width
    assert 0.3 < y < 0.75 and 0.3 < x < 0.85


def test_large_pictures_are_cut_at_full_size():
    image = face(120, (400, 300), 100, 90).resize((2000, 1500), Image.Resampling.BICUBIC)
    assert 5 * 1.6 * 120 < crop_face(image).width <= 1500


def test_no_face():
    with pytest.raises(PictureError, match="no face found"):
        crop_face(drawing(0))


def test_prepare_keeps_pictures_with_faces(tmp_path):
    src = folder(
        tmp_path / "src",
        {"face.png": face(120, (400, 300), 150, 90), "none.png": encoded(drawing(0))},
    )
    report = prepare(PrepareConfig(src, tmp_path / "out.zip", fit="crop-face"))
    assert report.kept == ["face.png"]
    assert report.skipped == [("none.png", "no face found")]


def test_detectors_that_are_gone_are_named(monkeypatch):
    faces.face_detector.cache_clear()
    monkeypatch.setattr(faces, "need", lambda name: object())
    with pytest.raises(UserError, match="opencv-python-headless<5"):
        faces.face_detector()

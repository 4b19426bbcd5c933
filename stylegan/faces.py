"""The square around the largest face of a picture, by the detector that OpenCV brings along."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stylegan.config import UserError
from stylegan.extras import need
from stylegan.pictures import PictureError, flatten

DETECTOR = "haarcascade_frontalface_default.xml"  # Viola and Jones 2001
MARGIN = 1.9  # side of the square over the side of the face found
RAISED = 0.05  # of that side: hair needs more room than the neck
LOOKED_AT = 640  # longest side at which faces are looked for, px
LEAST_FACE = 0.08  # of that picture's shorter side


def crop_face(image: Image.Image) -> Image.Image:
    """The square around the largest face, as far as the picture goes."""
    scale = min(1.0, LOOKED_AT / max(image.size))
    small = flatten(image).convert("L")
    small = small.resize([max(1, round(x * scale)) for x in image.size], Image.Resampling.BILINEAR)
    least = max(20, round(LEAST_FACE * min(small.size)))
    found = face_detector().detectMultiScale(np.asarray(small), 1.1, 5, minSize=(least, least))
    if not len(found):
        raise PictureError("no face found")
    x, y, w, h = max(found.tolist(), key=lambda box: (box[2] * box[3], box))
    side = min(MARGIN * max(w, h) / scale, *image.size)
    left = (x + w / 2) / scale - side / 2
    top = (y + h / 2) / scale - side * (0.5 + RAISED)
    left, top = (
        round(min(max(0.0, start), most - side))
        for start, most in zip((left, top), image.size, strict=True)
    )
    side = round(side)
    return image.crop((left, top, left + side, top + side))


@lru_cache(maxsize=1)
def face_detector() -> Any:
    """OpenCV's detector, or what to install."""
    cv2 = need("cv2")
    if not hasattr(cv2, "CascadeClassifier"):
        raise UserError(
            "OpenCV brings no detector from version 5 on: pip install 'opencv-python-headless<5'"
        )
    detector = cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / DETECTOR))
    cv2.setNumThreads(1)
    return detector

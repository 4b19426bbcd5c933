"""Pictures smaller than their square: a super-resolution model, out of a file or from the Hub."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from stylegan.config import UserError
from stylegan.extras import need
from stylegan.pictures import flatten

LANCZOS, NONE = "lanczos", "none"
SUFFIX = ".safetensors"


class EnlargeError(UserError):
    """A super-resolution model that cannot be used."""


def check_upscale(upscale: str) -> None:
    """Refuse what is neither a way nor a model; weights with code in them are no model here."""
    if upscale not in (LANCZOS, NONE) and not upscale.partition("@")[0].endswith(SUFFIX):
        raise EnlargeError(
            f"upscale {upscale!r} is none of {LANCZOS}, {NONE}, FILE{SUFFIX} and "
            f"USER/NAME/FILE{SUFFIX}@REVISION"
        )


def find_model(upscale: str) -> str:
    """The same way, with a model of the Hub brought into the cache and named by its file."""
    if upscale in (LANCZOS, NONE) or Path(upscale).is_file():
        return upscale
    path, _, revision = upscale.partition("@")
    parts = path.split("/")
    if len(parts) < 3 or path.startswith(("/", ".")):
        raise EnlargeError(f"{upscale} is not there")
    hub = need("huggingface_hub")
    try:
        name = "/".join(parts[2:])
        return hub.hf_hub_download("/".join(parts[:2]), name, revision=revision or None)
    except (OSError, ValueError) as error:
        raise EnlargeError(f"{upscale} cannot be fetched: {str(error).splitlines()[0]}") from None


@lru_cache(maxsize=1)
def enlarger(path: str) -> Callable[[Image.Image], Image.Image]:
    """What makes an RGB or RGBA picture as many times larger as the model in the file does."""
    spandrel, torch = need("spandrel"), need("torch")
    try:
        model = spandrel.ModelLoader(device="cpu").load_from_file(path)
    except Exception as error:  # whatever the file's names lead it to
        kind = type(error).__name__
        raise EnlargeError(f"{path} is no super-resolution model ({kind})") from None
    if model.input_channels != 3 or model.output_channels != 3:
        raise EnlargeError(f"{path} is no model from RGB to RGB")
    model.eval()

    def enlarge(image: Image.Image) -> Image.Image:
        values = np.asarray(flatten(image), np.float32) / 255
        with torch.inference_mode():
            out = model(torch.from_numpy(values.transpose(2, 0, 1)[None]))[0]  # [3, H, W]
        pixels = (out.clamp(0, 1) * 255).round().byte().numpy().transpose(1, 2, 0)
        larger = Image.fromarray(pixels)
        if image.mode == "RGBA":
            alpha = image.getchannel("A").resize(larger.size, Image.Resampling.LANCZOS)
            larger.putalpha(alpha)
        return larger

    return enlarge

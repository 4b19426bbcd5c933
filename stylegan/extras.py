"""Optional dependencies: imported when used, or named with the pip line that brings them."""

from __future__ import annotations

import importlib
from types import ModuleType

from stylegan.config import UserError

PACKAGES = {
    "bs4": "beautifulsoup4",
    "cv2": "'opencv-python-headless<5'",
    "datasets": "datasets",
    "httpx": "httpx",
    "huggingface_hub": "huggingface_hub",
    "huggingface_hub.errors": "huggingface_hub",
    "imagehash": "ImageHash",
    "matplotlib": "matplotlib",
    "matplotlib.figure": "matplotlib",
    "matplotlib.lines": "matplotlib",
    "matplotlib.ticker": "matplotlib",
    "spandrel": "spandrel",
    "torch": "torch",
    "imageio_ffmpeg": "imageio-ffmpeg",
    "mcp": "'gradio[mcp]'",
    "spaces": "spaces",
    "torch.utils.tensorboard": "tensorboard",
    "trackio": "trackio",
}


def need(module: str) -> ModuleType:
    """Import an optional dependency, or say how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = PACKAGES[module]
        raise UserError(f"{package} is not installed: pip install {package}") from error


def system(module: str) -> ModuleType | None:
    """A module of Python's own that some operating systems lack; None there."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None

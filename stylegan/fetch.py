"""Files by URL: fetched once into a cache folder, with their hash kept."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from stylegan.atomic import replacing_file
from stylegan.config import UserError

TIMEOUT_SEC = 30
BLOCK_BYTES = 1 << 20
MAX_BYTES = 4 << 30


class FetchError(UserError):
    """A file that cannot be fetched; its text says where to put one by hand."""


def cache_folder() -> Path:
    """Where fetched files lie: STYLEGAN_CACHE, or stylegan in the user's own cache folder."""
    if own := os.environ.get("STYLEGAN_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stylegan"


def fetch_file(
    url: str, name: str, sha256: str | None = None, say: Callable[[str], None] | None = None
) -> Path:
    """The file of this URL, kept as `name` in the cache folder.

    A hash that is not known beforehand is written down at the first fetch, and compared from then
    on. `say` is told when a download begins.
    """
    path = cache_folder() / name
    noted = path.with_name(f"{name}.sha256")
    if not path.is_file():
        if say:
            say(f"fetching {url} to {path}, once")
        _download(url, path, sha256)
    found = _hash(path)
    known = sha256 or (noted.read_text(encoding="ascii").strip() if noted.is_file() else found)
    if found != known:
        raise FetchError(
            f"{path} is damaged or not what it was (sha256 {found[:8]}, not {known[:8]}); "
            "delete it and it is fetched again"
        )
    if not noted.is_file():
        with replacing_file(noted) as beside:
            beside.write_text(f"{found}\n", encoding="ascii")
    return path


def _download(url: str, path: Path, sha256: str | None) -> None:
    """Write the file beside its place, and move it there once it is whole."""
    by_hand = f"download it elsewhere and save it as {path}"
    try:
        with (
            urllib.request.urlopen(url, timeout=TIMEOUT_SEC) as answer,
            replacing_file(path) as beside,
        ):
            told = answer.headers.get("Content-Length")
            done, digest = 0, hashlib.sha256()
            with beside.open("wb") as file:
                while block := answer.read(BLOCK_BYTES):
                    done += len(block)
                    if done > MAX_BYTES:
                        raise FetchError(f"{url} is larger than {MAX_BYTES >> 30} GB")
                    file.write(block)
                    digest.update(block)
            if told is not None and done != int(told):
                raise FetchError(f"{url} broke off after {done} of {told} bytes; try again")
            if sha256 and digest.hexdigest() != sha256:
                raise FetchError(f"{url} is not the file it was; {by_hand}")
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise FetchError(f"{url} cannot be fetched ({reason}); {by_hand}") from error


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()

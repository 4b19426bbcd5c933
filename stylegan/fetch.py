"""What is fetched once and kept: models of the Hub as local folders, and files by URL.

Of the Hub come user/name@revision, pinned to a commit. Only safetensors and JSON are ever asked
for, and each file's size is checked before it comes. HF_ENDPOINT, HF_HOME, HF_TOKEN and
HF_HUB_OFFLINE mean what they mean elsewhere.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from stylegan.atomic import replacing_file
from stylegan.config import UserError
from stylegan.extras import need
from stylegan.version import VERSION

LIBRARY = "stylegan"
SUFFIXES = (".safetensors", ".json")
MAX_SAID = 300  # characters of what the Hub says
TOKEN_PAGE = "/settings/tokens"
RETRY_SEC = (1.0, 4.0)  # the client itself tries again before and between

_ID = re.compile(
    r"(?P<repo>[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9_][A-Za-z0-9._-]{0,95})"
    r"(?:@(?P<revision>[A-Za-z0-9_][A-Za-z0-9._/-]{0,127}))?"
)
_COMMIT = re.compile("[0-9a-f]{40}")


class HubError(UserError):
    """What the Hub refused, or why it was not reached."""


class BusyError(HubError):
    """A fault that may pass: the same again, later, can work."""


class OfflineError(HubError):
    """The person asked that the network be left alone."""


@dataclass(frozen=True)
class HubId:
    """A repository of the Hub, perhaps at a revision: a branch, a tag or a commit."""

    repo: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> HubId | None:
        """What user/name or user/name@revision stands for; none for any other text."""
        match = _ID.fullmatch(text)
        if not match or any(bad in text for bad in ("..", "--", "//")) or text.endswith("/"):
            return None
        return cls(match["repo"], match["revision"])

    @property
    def pinned(self) -> bool:
        """Whether the revision is a whole commit, which stands for the same files for ever."""
        return self.revision is not None and bool(_COMMIT.fullmatch(self.revision))

    def __str__(self) -> str:
        return f"{self.repo}@{self.revision}" if self.revision else self.repo


class Snapshot:
    """The files of one commit, fetched as they are asked for."""

    def __init__(self, wanted: HubId, cache: str | Path | None = None) -> None:
        """`cache` stands in place of the user's own."""
        self.wanted, self.cache = wanted, cache
        self.commit = wanted.revision if wanted.pinned else None
        self._reached = False

    @property
    def id(self) -> HubId:
        """The repository at the commit that its files came from."""
        return HubId(self.wanted.repo, self.commit)

    def get(self, name: str, most_bytes: int) -> Path | None:
        """Where a file lies, fetched unless it is cached; none where the commit has no such file.

        All files are of one commit: that of the first. Errors are HubErrors.
        """
        if not name.endswith(SUFFIXES):
            raise HubError(f"{name} is neither safetensors nor JSON; it is not fetched")
        hub, errors = need("huggingface_hub"), need("huggingface_hub.errors")
        if self.commit and (found := self._cached(hub, name)) is not None:
            return found[0]
        with in_words(str(self.id if self.commit else self.wanted)):
            try:
                if not self._reached and (path := self._reach(hub, name)):
                    return path
                size = self._download(hub, name, dry_run=True).file_size
                if size is None or size > most_bytes:
                    raise HubError(
                        f"{name} of {self.wanted} has {size} bytes, and no more than {most_bytes} "
                        "are expected; it is not fetched"
                    )
            except errors.LocalEntryNotFoundError:  # also an EntryNotFoundError
                raise
            except errors.EntryNotFoundError:
                return None
        path = self._persistently(hub, name)
        commit = path.parents[name.count("/")].name  # the cache has a folder for each
        if commit != (self.commit or commit):
            raise BusyError(f"{self.wanted.repo} changed while it was fetched; try again")
        self.commit = commit
        return path

    def _reach(self, hub: ModuleType, name: str) -> Path | None:
        """Ask once, without the client's long patience, whether the Hub is there.

        Where it is not, the file is what the cache has of the last time.
        """
        revision = self.commit or self.wanted.revision
        url = hub.hf_hub_url(self.wanted.repo, name, revision=revision)
        try:
            hub.get_hf_file_metadata(url, library_name=LIBRARY, library_version=VERSION)
        except Exception as error:
            if not isinstance(_explain(error, name), BusyError | OfflineError):
                raise
            try:
                path = Path(self._download(hub, name, local_files_only=True))
            except need("huggingface_hub.errors").LocalEntryNotFoundError:
                raise error from None
            self.commit = path.parents[name.count("/")].name
            return path
        self._reached = True
        return None

    def _cached(self, hub: ModuleType, name: str) -> tuple[Path | None] | None:
        """Where the cache has the file, or (None,) where it knows that there is none."""
        found = hub.try_to_load_from_cache(
            self.wanted.repo, name, cache_dir=self.cache, revision=self.commit
        )
        if found is None:
            return None
        return (Path(found) if isinstance(found, str) else None,)

    def _persistently(self, hub: ModuleType, name: str) -> Path:
        """The file, asked for again where the line broke."""
        waits = iter(RETRY_SEC)
        while True:
            try:
                with in_words(str(self.id if self.commit else self.wanted)):
                    return Path(self._download(hub, name))
            except BusyError:
                if (wait := next(waits, None)) is None:
                    raise
                time.sleep(wait)

    def _download(self, hub: ModuleType, name: str, **how: bool) -> Any:
        return hub.hf_hub_download(
            self.wanted.repo,
            name,
            revision=self.commit or self.wanted.revision,
            library_name=LIBRARY,
            library_version=VERSION,
            cache_dir=self.cache,
            **how,
        )


# Errors in words


def host() -> str:
    """The Hub's name, as HF_ENDPOINT says."""
    address = urlsplit(need("huggingface_hub").constants.ENDPOINT)
    return address.netloc or address.path


@contextmanager
def in_words(what: str) -> Iterator[None]:
    """Errors of the client as HubErrors: one sentence, and what to do."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        found = _explain(error, what)
        if found is None:
            raise
        raise found from error


def _explain(error: BaseException, what: str) -> HubError | None:
    """What an error of the client means for the person; none for an error of ours."""
    hub, errors = need("huggingface_hub"), need("huggingface_hub.errors")
    where = host()
    if isinstance(error, errors.OfflineModeIsEnabled):
        return OfflineError(f"{what} is not in the cache, and HF_HUB_OFFLINE forbids to fetch it")
    if isinstance(error, errors.LocalTokenNotFoundError):
        return HubError(_login(where))
    if isinstance(error, errors.GatedRepoError):
        return HubError(f"{what} is shown to those whom its owner lets in: ask at its page")
    if isinstance(error, errors.RevisionNotFoundError):
        return HubError(f"there is no {what} on {where}: the repository has no such revision")
    if isinstance(error, errors.RepositoryNotFoundError):
        hint = "" if hub.get_token() else f"; if it is private, {_login(where)}"
        return HubError(f"there is no {what} on {where} that you may see{hint}")
    if isinstance(error, errors.HfHubHTTPError):
        return _explain_status(error, what, where)
    if type(error) is ValueError and "README.md" in str(error):  # how the client tells it
        return HubError(_one_line(error))
    if isinstance(error, errors.HFValidationError):
        return HubError(str(error).partition(":")[0])
    if _is_network(error):
        return BusyError(f"{where} cannot be reached for {what}: {_first_line(error)}")
    cause = error.__cause__
    if cause is not None and (found := _explain(cause, what)):
        return found
    if isinstance(error, errors.LocalEntryNotFoundError):
        return BusyError(f"{what} is not in the cache, and {where} cannot be reached")
    return None


def _explain_status(error: Any, what: str, where: str) -> HubError:
    """An answer that is an error."""
    status = error.response.status_code
    said = error.response.headers.get("X-Error-Message") or _one_line(error)
    if status == 401:
        if need("huggingface_hub").get_token():
            return HubError(f"{where} does not know your token: {_login(where)}")
        return HubError(_login(where))
    if status == 402:
        return HubError(f"{where} asks for a subscription or credits for {what}: {said}")
    if status == 403:
        return HubError(
            f"your token may not do this to {what}: make one with write access at "
            f"{where}{TOKEN_PAGE} ({said})"
        )
    if status in (409, 412):
        return BusyError(f"{what} was changed by someone else meanwhile; start again ({said})")
    if status == 429:
        wait = error.response.headers.get("Retry-After")
        return BusyError(
            f"{where} takes no more from you for now; "
            + (f"try again in {wait} seconds" if wait else "try again later")
        )
    if status >= 500:
        return BusyError(f"{where} has trouble of its own with {what} ({status}); try again later")
    return HubError(f"{where} refused {what} ({status}): {said}")


def _login(where: str) -> str:
    return (
        f"log in with `hf auth login`, or set HF_TOKEN to a token from {where}{TOKEN_PAGE} "
        "with write access"
    )


def _is_network(error: BaseException) -> bool:
    """Whether it is an error of the line; the client's HTTP library is its own affair."""
    libraries = ("httpx", "httpx2", "httpcore", "httpcore2")
    return isinstance(error, (ConnectionError, TimeoutError)) or any(
        cls.__module__.partition(".")[0] in libraries for cls in type(error).__mro__
    )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:MAX_SAID]


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


# Files by URL

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
    found = file_hash(path)
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


def file_hash(path: Path) -> str:
    """The sha256 of a file's content, in hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()

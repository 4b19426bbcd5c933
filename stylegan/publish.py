"""A run, or a model folder, on the Hub: card, one commit, a tag, fetched back; and its Space."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from stylegan.checkpoint import CONFIG, GENERATOR
from stylegan.config import UserError
from stylegan.direction_files import DIRECTIONS
from stylegan.extras import need
from stylegan.fetch import LIBRARY, BusyError, HubId, in_words
from stylegan.model import Model
from stylegan.release import PublishConfig, Say, build_model, given
from stylegan.repository import add_tag, commit, compare, free_tag, make_repo, persistently, send
from stylegan.space import ENTRY, THUMBNAIL, SpaceConfig, build_space
from stylegan.version import VERSION

TOKEN_SECRET = "HF_TOKEN"
MODEL_VARIABLE = "STYLEGAN_MODEL"


@dataclass(frozen=True)
class Published:
    """Where it is now."""

    repo: str
    commit: str
    url: str
    tag: str
    space: str
    space_url: str

    @property
    def id(self) -> str:
        """What `load` takes, for ever the same model."""
        return f"{self.repo}@{self.commit}"


def publish(config: PublishConfig, say: Say = print, space_token: str = "") -> Published | None:
    """Build all, send it as one commit, tag it, fetch it back and compare; then its Space.

    None where it is only built. Errors are UserErrors; what may pass is tried again first.
    """
    _check_names(config)
    if config.build:
        _write(config, config.build, say)
        return None
    hub = need("huggingface_hub")
    api = hub.HfApi(library_name=LIBRARY, library_version=VERSION)
    with in_words(config.repo):
        user = api.whoami()["name"]
    if "/" not in config.repo:
        config = dataclasses.replace(config, repo=f"{user}/{config.repo}")
    if config.space and "/" not in config.space:
        config = dataclasses.replace(config, space=f"{user}/{config.space}")
    answers = given(config)
    if config.public and not (answers.license and answers.intended_use):
        raise UserError(
            "what everybody may see needs --license and --intended-use: under what "
            "terms it may be used, and what for"
        )
    config = dataclasses.replace(config, tag=free_tag(api, config))
    model, files = build_model(config, say)
    branch = config.revision or "main"
    make_repo(api, config, say)
    sha = persistently(lambda: commit(hub, api, config, files, branch, say), say)
    persistently(lambda: add_tag(api, config, sha), say)
    persistently(lambda: compare(config.repo, sha, model), say)
    url = f"{api.endpoint}/{config.repo}"
    done = Published(config.repo, sha, f"{url}/tree/{sha}", config.tag, "", "")
    if not config.space:
        return done
    page = persistently(lambda: _send_space(hub, api, config, done, model, space_token, say), say)
    return dataclasses.replace(done, space=config.space, space_url=page)


def check_access(repo: str, say: Say = print) -> None:
    """Make sure that a training can push later: who this is, and that the repository is there.

    What may pass is only told; what will not is raised.
    """
    config = PublishConfig(Path(), repo)
    _check_names(config)
    if "/" not in repo:
        raise UserError(f"name a repository with its user, such as ann/{repo}")
    api = need("huggingface_hub").HfApi(library_name=LIBRARY, library_version=VERSION)
    try:
        with in_words(repo):
            api.whoami()
        make_repo(api, config, say)
    except BusyError as error:
        say(f"{error}; training begins all the same")


def _check_names(config: PublishConfig) -> None:
    for name in filter(None, (config.repo, config.space)):
        found = HubId.parse(name if "/" in name else f"me/{name}")
        if found is None or found.revision:
            raise UserError(f"{name!r} is not a name on the Hub, such as ann/portraits-64")


def _write(config: PublishConfig, folder: Path, say: Say) -> None:
    """All that would be sent, into folders of their own."""
    model, files = build_model(config, say)
    parts: dict[str, Mapping[str, bytes | Path]] = {"model": files}
    if config.space:
        wanted = _space_config(config, f"{config.repo}@{'0' * 40}", "", files)
        parts["space"] = build_space(wanted, model)
    for part, content in parts.items():
        if (folder / part).exists():
            raise UserError(f"{folder / part} exists; name another folder with --build")
        for name, data in content.items():
            path = folder / part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data if isinstance(data, bytes) else data.read_bytes())
        say(f"{folder / part}: {len(content)} files")


# The Space


def _space_config(
    config: PublishConfig, id: str, thumbnail_url: str, preload: Collection[str]
) -> SpaceConfig:
    return SpaceConfig(
        model=id,
        title=config.title or config.repo.rpartition("/")[2],
        hardware=config.hardware,
        torch=config.torch,
        preload=tuple(name for name in (CONFIG, GENERATOR, DIRECTIONS) if name in preload),
        thumbnail_url=thumbnail_url,
    )


def _send_space(
    hub: ModuleType,
    api: Any,
    config: PublishConfig,
    done: Published,
    model: Model,
    token: str,
    say: Say,
) -> str:
    """Make or update the Space, with the variable that names the model; returns its address."""
    url = f"{api.endpoint}/spaces/{config.space}"
    with in_words(f"the Space {config.space}"):
        there = api.model_info(done.repo, revision=done.commit)
        private = bool(there.private)
        names = () if private else {sibling.rfilename for sibling in there.siblings}
        files = build_space(
            _space_config(config, done.id, f"{url}/resolve/main/{THUMBNAIL}", names), model
        )
        api.create_repo(
            config.space, repo_type="space", space_sdk="gradio", private=private, exist_ok=True
        )
        if private and token:
            api.add_space_secret(config.space, TOKEN_SECRET, token)
        api.add_space_variable(config.space, MODEL_VARIABLE, done.id)
        head = api.space_info(config.space)
        old = {
            sibling.rfilename
            for sibling in head.siblings
            if sibling.rfilename.startswith("stylegan/")
            or sibling.rfilename in (*ENTRY.values(), "requirements.txt")
        }
        send(hub, api, config.space, "space", files, old - set(files), head.sha, f"Plays {done.id}")
    if private and not token:
        say(
            f"{done.repo} is private: put a token that may read it as the secret {TOKEN_SECRET} "
            f"at {url}/settings, or the Space cannot start"
        )
    if config.hardware != "cpu":
        say(f"choose its hardware at {url}/settings: it has the free one until then")
    return url

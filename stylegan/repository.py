"""A model's repository on the Hub: one commit, its tag, and a look at what has arrived."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from stylegan.card import is_edited
from stylegan.checkpoint import (
    CONFIG,
    CONTENT_DIGITS,
    DISCRIMINATOR,
    ENCODER,
    GENERATOR,
    read_config,
    revision,
)
from stylegan.config import UserError
from stylegan.direction_files import DIRECTIONS
from stylegan.evaluate import METRICS_FILE
from stylegan.fetch import BusyError, HubError, in_words
from stylegan.model import Model, load
from stylegan.recipe import Recipe
from stylegan.release import NEAREST, README, PublishConfig, Say, model_folder, tag_of

OURS = (  # files that go from the Hub when the folder has them no more
    *(DISCRIMINATOR, DIRECTIONS, ENCODER, METRICS_FILE, NEAREST, "holdout.txt"),
)
RETRY_SEC = (5.0, 30.0, 120.0)


def persistently(step: Callable[[], Any], say: Say) -> Any:
    """A step, taken again where it failed for a reason that may pass.

    Large files that have arrived are not sent again.
    """
    waits = iter(RETRY_SEC)
    while True:
        try:
            return step()
        except BusyError as error:
            if (wait := next(waits, None)) is None:
                raise
            say(f"{error}; trying again in {wait:g} s")
            time.sleep(wait)


def make_repo(api: Any, config: PublishConfig, say: Say) -> None:
    """The repository, and the branch, private unless it is to be public."""
    with in_words(config.repo):
        api.create_repo(config.repo, private=not config.public, exist_ok=True)
        if config.revision and config.revision != "main":
            api.create_branch(config.repo, branch=config.revision, exist_ok=True)
        private = bool(api.model_info(config.repo).private)
        if private and config.public:
            api.update_repo_settings(config.repo, private=False)
            say(f"{config.repo} was private, everybody may see it now")
        elif not private and not config.public:
            say(f"{config.repo} is public, and stays so")


def commit(
    hub: ModuleType,
    api: Any,
    config: PublishConfig,
    files: Mapping[str, bytes | Path],
    branch: str,
    say: Say,
) -> str:
    """One commit of all files; those alike are left out by the client, and none is sent twice."""
    with in_words(config.repo):
        head = api.model_info(config.repo, revision=branch)
        files = dict(files)
        there = {sibling.rfilename for sibling in head.siblings}
        if README in there and not config.new_card and _is_edited_there(hub, config, head.sha):
            del files[README]
            say("the card was edited on the Hub, and is kept; --new-card writes another")
        training = json.loads(_content(files[CONFIG]))["training"]
        kimg = f" at {training['kimg']:g} kimg" if "kimg" in training else ""
        gone = there & set(OURS) - set(files)
        return send(hub, api, config.repo, "model", files, gone, head.sha, f"Model{kimg}", branch)


def _content(data: bytes | Path) -> bytes:
    return data if isinstance(data, bytes) else data.read_bytes()


def _is_edited_there(hub: ModuleType, config: PublishConfig, commit: str) -> bool:
    with tempfile.TemporaryDirectory() as cache:
        path = hub.hf_hub_download(config.repo, README, revision=commit, cache_dir=cache)
        return is_edited(Path(path).read_text(encoding="utf-8"))


def send(
    hub: ModuleType,
    api: Any,
    repo: str,
    kind: str,
    files: Mapping[str, bytes | Path],
    gone: Collection[str],
    head: str,
    message: str,
    branch: str = "main",
) -> str:
    """One commit on top of `head`; the same one again is no commit."""
    operations: list[Any] = [hub.CommitOperationAdd(name, data) for name, data in files.items()]
    operations += [hub.CommitOperationDelete(name) for name in sorted(gone)]
    return api.create_commit(
        repo,
        operations,
        commit_message=message,
        repo_type=kind,
        revision=branch,
        parent_commit=head,
    ).oid


def free_tag(api: Any, config: PublishConfig) -> str:
    """A name for the commit that no commit with other weights has."""
    folder = model_folder(config.source)
    content, (_, training) = revision(folder), read_config(folder)
    tag = tag_of(config, training)
    if not tag:
        return ""
    tags = _tags(api, config.repo)
    for name in (tag, *(f"{tag}-{i}" for i in range(2, len(tags) + 2))):
        if name not in tags or _content_at(api, config.repo, tags[name]) == content:
            return name
        if config.tag:
            raise UserError(f"the tag {tag} of {config.repo} has other weights; choose another")
    raise AssertionError


def _tags(api: Any, repo: str) -> dict[str, str]:
    """Commits by tag; none where there is no repository yet."""
    with in_words(repo):
        if not api.repo_exists(repo):
            return {}
        return {ref.name: ref.target_commit for ref in api.list_repo_refs(repo).tags}


def _content_at(api: Any, repo: str, commit: str) -> str:
    """What `revision` says of a commit's weights."""
    with in_words(repo):
        found = api.model_info(repo, revision=commit, files_metadata=True).siblings
    hashes = [file.lfs.sha256 for file in found if file.rfilename == GENERATOR and file.lfs]
    return hashes[0][:CONTENT_DIGITS] if hashes else ""


def add_tag(api: Any, config: PublishConfig, commit: str) -> None:
    """Give the commit its name; an earlier commit of the same weights passes it on."""
    if not config.tag:
        return
    there = _tags(api, config.repo).get(config.tag)
    with in_words(config.repo):
        if there not in (None, commit):
            api.delete_tag(config.repo, tag=config.tag)
        api.create_tag(config.repo, tag=config.tag, revision=commit, exist_ok=True)


def compare(repo: str, commit: str, model: Model) -> None:
    """Fetch the commit as anybody would, into an empty cache, and draw seed 0 with both."""
    with tempfile.TemporaryDirectory() as cache:
        again = load(f"{repo}@{commit}", cache=cache)
        same = np.array_equal(model.render(Recipe()), again.render(Recipe()))
    if not same:
        raise HubError(f"{repo}@{commit} does not draw what was published")

"""A run, or a model folder, on the Hub: card, one commit, a tag, fetched back; and its Space."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from stylegan import stamp
from stylegan.atomic import replacing_file
from stylegan.card import Answers, Facts, is_edited, public_notes, write_card
from stylegan.checkpoint import (
    CONFIG,
    CONTENT_DIGITS,
    DIRECTIONS,
    DISCRIMINATOR,
    ENCODER,
    ENCODER_STATE,
    GENERATOR,
    load_discriminator,
    read_config,
    revision,
)
from stylegan.config import UserError
from stylegan.data import DataError, Pictures
from stylegan.evaluate import METRICS_FILE, read_records
from stylegan.extras import need
from stylegan.fetch import LIBRARY, BusyError, HubError, HubId, in_words
from stylegan.model import Model, load
from stylegan.nearest import nearest, sheet
from stylegan.recipe import Recipe
from stylegan.space import ENTRY, THUMBNAIL, Hardware, SpaceConfig, build_space
from stylegan.version import VERSION, code_commit

README, ANSWERS = "README.md", "card.json"
SAMPLES, CALM, NEAREST = "samples.png", "samples-psi-0.7.png", "nearest.png"
PUBLISHED = (".safetensors", ".json", ".png", ".txt", ".md", ".csv")
OURS = (  # files that go from the Hub when the folder has them no more
    *(DISCRIMINATOR, DIRECTIONS, ENCODER, METRICS_FILE, NEAREST, "holdout.txt"),
)
GRID_PIXELS = 1 << 20  # in a grid of samples: 64 of up to 128x128, 16 of 256x256
MOST_SAMPLES = 64
SHOWN, NEIGHBOURS = 8, 4
MOST_COMPARED = 20_000  # training pictures that samples are compared with
NEAREST_PX = 64  # smaller pictures are enlarged to about this side
RETRY_SEC = (5.0, 30.0, 120.0)
TOKEN_SECRET = "HF_TOKEN"
MODEL_VARIABLE = "STYLEGAN_MODEL"

Say = Callable[[str], None]


@dataclass(frozen=True)
class PublishConfig:
    """What is published, where, and who may see it."""

    source: Path
    """RUN_OR_DIR: a run, whose best model is taken, or a model folder."""
    repo: str
    """USER/NAME on the Hub."""
    public: bool = False
    """Let all see it. Otherwise a new repository is private, and an old one stays as it is."""
    revision: str = ""
    """Branch that gets the commit, made if there is none; main, if not given."""
    tag: str | None = None
    """Name of this commit that stays; kimg-NNNNNN by default, "" for none."""
    space: str = ""
    """USER/NAME of the Space that plays with it, made or updated."""
    hardware: Hardware = "cpu"
    """What the Space runs on, which decides what it installs: cpu, gpu or zerogpu."""
    torch: str = ""
    """Version of PyTorch in the Space; that of requirements.txt, if not given."""
    title: str = ""
    """Heading of the Space; NAME, if not given."""
    data: str = ""
    """Where the training pictures lie now; where the run had them, if not given."""
    nearest: bool = True
    """Show the training pictures nearest to some samples, where the pictures are at hand."""
    new_card: bool = False
    """Write the card anew, even where a person edited it."""
    build: Path | None = None
    """Folder to write all into instead of sending it."""
    answers: Answers = field(default_factory=Answers)


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


# What there is to publish


def model_folder(source: Path) -> Path:
    """The model of a run that is best so far, or the model folder itself."""
    if (source / GENERATOR).is_file():
        return source
    if (source / "best" / GENERATOR).is_file():
        return (source / "best").resolve()
    if (source / "models").is_dir() or (source / "stats.jsonl").is_file():
        raise UserError(f"{source} has no model yet; the first comes with the first snapshot")
    read_config(source)  # says what is wrong with it
    raise UserError(f"{source} has no {GENERATOR}")


def answers_file(source: Path) -> Path:
    """Where the answers for a run, or a model folder, are kept; its models share those of a run."""
    run = source.resolve().parents[1] if source.resolve().parent.name == "models" else source
    return (source if (source / ANSWERS).is_file() else run) / ANSWERS


def saved_answers(source: Path) -> Answers:
    """What a person said of this run or folder before."""
    path = answers_file(source)
    if not path.is_file():
        return Answers()
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        known = {f.name for f in dataclasses.fields(Answers)}
        return Answers(**{key: str(value) for key, value in told.items() if key in known})
    except (ValueError, AttributeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def save_answers(source: Path, answers: Answers) -> None:
    """Keep what a person said for the next time."""
    with replacing_file(answers_file(source)) as beside:
        text = json.dumps(dataclasses.asdict(answers), indent=2) + "\n"
        beside.write_text(text, encoding="utf-8")


def given(config: PublishConfig) -> Answers:
    """The flags' answers, and before them, those kept from before."""
    kept = dataclasses.asdict(saved_answers(config.source))
    flags = {k: v for k, v in dataclasses.asdict(config.answers).items() if v}
    return Answers(**{**kept, **flags})


# The files


def build_model(config: PublishConfig, say: Say = print) -> tuple[Model, dict[str, bytes | Path]]:
    """The model, and the files of its repository by name; all is checked before a word goes out."""
    folder = model_folder(config.source)
    model = load(folder)
    network, training = read_config(folder)
    files: dict[str, bytes | Path] = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        name = inside.as_posix()
        hidden = name in (ANSWERS, ENCODER_STATE) or any(x[0] == "." for x in inside.parts)
        if not path.is_file() or hidden:
            continue
        if path.suffix in PUBLISHED:
            files[name] = path
        else:
            say(f"left out: {name}, which is no part of a model")
    weights = {"generator": _values(model.generator)}
    if DISCRIMINATOR in files:
        weights["discriminator"] = _values(load_discriminator(folder))
    settings = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    settings["training"] = public_notes(training)
    files[CONFIG] = (json.dumps(settings, indent=2) + "\n").encode()
    count = _samples(model, files)
    pictures = _pictures(config, training, say)
    far, compared = _nearest(model, pictures, files) if config.nearest else ([], 0)
    if far:
        say(f"{NEAREST} shows {SHOWN * NEIGHBOURS} of the training pictures; --no-nearest does not")
    if config.new_card or README not in files or not _is_persons(files[README]):
        facts = Facts(
            name=config.repo,
            revision=_tag(config, training) or config.revision,
            network=network,
            training=settings["training"],
            weights=weights,
            files={name: _bytes(data) for name, data in files.items() if name != README},
            records=read_records(folder / METRICS_FILE),
            prepared=_prepared(pictures),
            nearest=far,
            compared=compared,
            samples=count,
            code=code_commit(),
            space=config.space,
            answers=given(config),
        )
        files[README] = write_card(facts).encode()
    else:
        say(f"the card is the folder's own {README}; --new-card writes another")
    return model, files


def _values(network: Any) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _bytes(data: bytes | Path) -> int:
    return len(data) if isinstance(data, bytes) else data.stat().st_size


def _is_persons(card: bytes | Path) -> bool:
    text = card if isinstance(card, bytes) else card.read_bytes()
    return is_edited(text.decode("utf-8", "replace"))


def _samples(model: Model, files: dict[str, bytes | Path]) -> int:
    """Add the grids of samples; returns how many pictures they have."""
    side = model.config.resolution
    count = min(MOST_SAMPLES, max(1, math.isqrt(GRID_PIXELS // side**2)) ** 2)
    if SAMPLES not in files or not _is_grid(files[SAMPLES], side, count):
        files[SAMPLES] = _grid(model, 1.0, count)
    files[CALM] = _grid(model, 0.7, count)
    return count


def _is_grid(data: bytes | Path, side: int, count: int) -> bool:
    """Whether it is the snapshot's own grid, not a picture of that name."""
    with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as image:
        return image.size == (side * math.isqrt(count),) * 2


def _grid(model: Model, psi: float, count: int) -> bytes:
    classes = model.c_dim or 1
    recipes = [Recipe(seed=i, psi=psi, c=i % classes) for i in range(count)]
    return _png(stamp.grid(list(model.draw(recipes))))


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return file.getvalue()


def _pictures(config: PublishConfig, training: Mapping[str, Any], say: Say) -> Pictures | None:
    """The pictures that the model learned from, if they are at hand and still the same."""
    settings, data = training.get("settings") or {}, training.get("data") or {}
    place = config.data or settings.get("data", "")
    if not place or (not config.data and not Path(place).exists()):
        return None
    try:
        pictures = Pictures(place, mirror=bool(settings.get("mirror")))
    except DataError as error:
        if config.data:
            raise
        say(f"the pictures cannot be looked at: {error}")
        return None
    if pictures.fingerprint != data.get("fingerprint"):
        if config.data:
            raise UserError(f"{place} holds other pictures than the model learned from")
        say(f"{place} holds other pictures now; the card tells nothing of them")
        return None
    return pictures


def _prepared(pictures: Pictures | None) -> dict[str, Any] | None:
    """What prepare noted in their zip."""
    try:
        return json.loads(pictures.files.read("prepare.json")) if pictures else None
    except (KeyError, DataError, ValueError):
        return None


def _nearest(
    model: Model, pictures: Pictures | None, files: dict[str, bytes | Path]
) -> tuple[list[float], int]:
    """Add the picture of neighbours; returns the distances, and among how many they are least."""
    if NEAREST in files or pictures is None:
        return [], 0
    classes, originals = model.c_dim or 1, len(pictures.names)
    if originals > MOST_COMPARED:
        return [], 0
    samples = np.stack(list(model.draw([Recipe(seed=i, c=i % classes) for i in range(SHOWN)])))
    shown, far = nearest(samples, pictures, min(NEIGHBOURS, originals))
    factor = max(1, NEAREST_PX // model.config.resolution)
    files[NEAREST] = _png(sheet(samples, shown, factor))
    return far[:, 0].tolist(), originals


# Sending


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
    config = dataclasses.replace(config, tag=_free_tag(api, config))
    model, files = build_model(config, say)
    branch = config.revision or "main"
    _make_repo(api, config, say)
    commit = _persistently(lambda: _commit(hub, api, config, files, branch, say), say)
    _persistently(lambda: _add_tag(api, config, commit), say)
    _persistently(lambda: _compare(config.repo, commit, model), say)
    url = f"{api.endpoint}/{config.repo}"
    done = Published(config.repo, commit, f"{url}/tree/{commit}", config.tag, "", "")
    if not config.space:
        return done
    page = _persistently(lambda: _send_space(hub, api, config, done, model, space_token, say), say)
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
        _make_repo(api, config, say)
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


def _persistently(step: Callable[[], Any], say: Say) -> Any:
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


def _make_repo(api: Any, config: PublishConfig, say: Say) -> None:
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


def _commit(
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
        return _send(hub, api, config.repo, "model", files, gone, head.sha, f"Model{kimg}", branch)


def _content(data: bytes | Path) -> bytes:
    return data if isinstance(data, bytes) else data.read_bytes()


def _is_edited_there(hub: ModuleType, config: PublishConfig, commit: str) -> bool:
    with tempfile.TemporaryDirectory() as cache:
        path = hub.hf_hub_download(config.repo, README, revision=commit, cache_dir=cache)
        return is_edited(Path(path).read_text(encoding="utf-8"))


def _send(
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


def _tag(config: PublishConfig, training: Mapping[str, Any]) -> str:
    if config.tag is not None:
        return config.tag
    return f"kimg-{int(training['kimg']):06d}" if "kimg" in training else ""


def _free_tag(api: Any, config: PublishConfig) -> str:
    """A name for the commit that no commit with other weights has."""
    folder = model_folder(config.source)
    content, (_, training) = revision(folder), read_config(folder)
    tag = _tag(config, training)
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


def _add_tag(api: Any, config: PublishConfig, commit: str) -> None:
    """Give the commit its name; an earlier commit of the same weights passes it on."""
    if not config.tag:
        return
    there = _tags(api, config.repo).get(config.tag)
    with in_words(config.repo):
        if there not in (None, commit):
            api.delete_tag(config.repo, tag=config.tag)
        api.create_tag(config.repo, tag=config.tag, revision=commit, exist_ok=True)


def _compare(repo: str, commit: str, model: Model) -> None:
    """Fetch the commit as anybody would, into an empty cache, and draw seed 0 with both."""
    with tempfile.TemporaryDirectory() as cache:
        again = load(f"{repo}@{commit}", cache=cache)
        same = np.array_equal(model.render(Recipe()), again.render(Recipe()))
    if not same:
        raise HubError(f"{repo}@{commit} does not draw what was published")


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
        _send(
            hub, api, config.space, "space", files, old - set(files), head.sha, f"Plays {done.id}"
        )
    if private and not token:
        say(
            f"{done.repo} is private: put a token that may read it as the secret {TOKEN_SECRET} "
            f"at {url}/settings, or the Space cannot start"
        )
    if config.hardware != "cpu":
        say(f"choose its hardware at {url}/settings: it has the free one until then")
    return url

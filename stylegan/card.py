"""The card of a model: README.md from what its folder and its run tell, and nothing else."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from stylegan.config import NetworkConfig
from stylegan.extras import need
from stylegan.fetch import LIBRARY
from stylegan.prepare import MEANS
from stylegan.version import VERSION

TASK = "unconditional-image-generation"
UNSAID = "Not stated."
KEY_SETTINGS = ("preset", "batch", "gamma", "lr", "mirror", "aug", "augpipe", "precision", "seed")

PREPARED_SETTINGS = (  # of prepare's, told where they were set
    *("resolution", "fit", "background", "channels", "min_side", "max_aspect", "upscale"),
    *("dedupe", "dedupe_also", "split", "labels"),
)
UNSET = (None, False, "", 0, [], "auto", "none")
MOST_CLASSES = MOST_KINDS = 12  # that are named

_OWN = re.compile(r"^.*\d+ x \d+ pixels, | \(.*\)$")  # what is one picture's own in a reason
_MARK = re.compile(r"\n<!-- written by stylegan, to be edited freely: ([0-9a-f]{16}) -->\n\Z")


@dataclass(frozen=True)
class Answers:
    """What only a person can tell; what is left out is left out of the card, or said to be."""

    license: str = ""
    """Licence of the model, by the Hub's names: apache-2.0, cc-by-4.0, other ..."""
    intended_use: str = ""
    """What the model is meant for, and what not."""
    data_source: str = ""
    """Where the pictures come from and who made them."""
    data_license: str = ""
    """Under what terms the pictures are."""
    dataset: str = ""
    """The pictures' repository on the Hub, where they have one."""


@dataclass(frozen=True)
class Facts:
    """All that a card is made of."""

    name: str
    """user/name on the Hub."""
    revision: str
    """A tag or branch that will hold the model; empty for the main branch."""
    network: NetworkConfig
    training: Mapping[str, Any]
    """The notes of config.json."""
    weights: Mapping[str, int]
    """Numbers in each network, by its name."""
    files: Mapping[str, int]
    """Bytes of each file, by its name."""
    records: Sequence[Mapping[str, Any]] = ()
    """The measurements of metrics.json."""
    prepared: Mapping[str, Any] | None = None
    """What prepare noted in the pictures' zip."""
    nearest: Sequence[float] = ()
    """Distances from the first samples to their nearest training pictures, in grey levels."""
    compared: int = 0
    """With how many pictures these were compared."""
    samples: int = 64
    """Pictures in samples.png."""
    code: str | None = None
    """Commit of this program."""
    space: str = ""
    """The Space that plays with it."""
    answers: Answers = field(default_factory=Answers)


def write_card(facts: Facts) -> str:
    """The whole card; it ends in a mark by which `is_edited` knows whether a person changed it."""
    body = "\n".join(
        [
            f"---\n{_metadata(facts)}---\n",
            f"# {facts.name.rpartition('/')[2]}\n",
            _summary(facts),
            *_samples(facts),
            *_use(facts),
            *_data(facts),
            *_quality(facts),
            *_limits(facts),
            *_making(facts),
        ]
    )
    return f"{body}\n<!-- written by stylegan, to be edited freely: {_digest(body)} -->\n"


def is_edited(card: str) -> bool:
    """Whether a person wrote a card, or changed one of ours; such a card is kept."""
    mark = _MARK.search(card)
    return mark is None or mark[1] != _digest(card[: mark.start()])


def _digest(body: str) -> str:
    return hashlib.sha256(body.strip().encode()).hexdigest()[:16]


# Parts


def _metadata(facts: Facts) -> str:
    hub = need("huggingface_hub")
    told = hub.ModelCardData(
        library_name=LIBRARY,
        pipeline_tag=TASK,
        tags=[facts.network.family.lower(), "gan", "image-generation"],
        license=facts.answers.license or None,
        datasets=[facts.answers.dataset] if facts.answers.dataset else None,
        model_name=facts.name.rpartition("/")[2],
        eval_results=[_result(hub, record) for record in facts.records] or None,
    )
    return told.to_yaml() + "\n"


def _result(hub: Any, record: Mapping[str, Any]) -> Any:
    metric, n, seed = record["metric"], record["n"], record["seed"]
    return hub.EvalResult(
        task_type=TASK,
        dataset_type=str(record["data"]),
        dataset_name=str(record["data"]),
        dataset_args={"fingerprint": record["fingerprint"]},
        metric_type=metric,
        metric_name=f"{metric} (n = {n}, seed {seed})",
        metric_value=round(record["value"], 4),
        metric_args={"n": n, "seed": seed, **_further(record)},
    )


def _further(record: Mapping[str, Any]) -> dict[str, Any]:
    """The floor of a measurement and by which detector it was made, as far as it has them."""
    numbers = ("floor", "floor_n", "value_at_floor_n")
    told = {key: round(record[key], 4) for key in numbers if record.get(key) is not None}
    return told | {key: record[key] for key in ("detector", "detector_hash") if key in record}


def _summary(facts: Facts) -> str:
    network, training = facts.network, facts.training
    side = network.resolution
    kind = {1: "Grey pictures", 3: "Pictures", 4: "Pictures with transparency"}[network.channels]
    classes = f", in {network.c_dim} classes" if network.c_dim else ""
    sizes = " and ".join(f"{n / 1e6:.2f} M ({name})" for name, n in facts.weights.items())
    text = f"{kind} of {side}x{side} pixels{classes}, by a {network.family} of {sizes} parameters"
    data = training.get("data", {})
    if "pictures" in data and "kimg" in training:
        text += (
            f", trained on {data['pictures']} pictures of {data['name']} "
            f"for {training['kimg']:g} thousand images"
        )
    return f"{text}.\n"


def _samples(facts: Facts) -> list[str]:
    last = facts.samples - 1
    classes = ", classes in turn" if facts.network.c_dim else ""
    return [
        f"![Seeds 0 to {last} at psi 1](samples.png)\n",
        f"*Seeds 0-{last}{classes}, none picked out, psi 1, constant noise.*\n",
        f"![Seeds 0 to {last} at psi 0.7](samples-psi-0.7.png)\n",
        "*The same at psi 0.7.*\n",
    ]


def _use(facts: Facts) -> list[str]:
    name = facts.name + (f"@{facts.revision}" if facts.revision else "")
    shape = f"[{facts.network.resolution}, {facts.network.resolution}, {facts.network.channels}]"
    cut = f", cut={facts.network.usual_cut}" if facts.network.usual_cut else ""
    lines = [
        "```python\nimport stylegan\n",
        f'model = stylegan.load("{name}")',
        f"picture = model.render(stylegan.Recipe(seed=7, psi=0.7{cut}))  # uint8 {shape}\n```\n",
    ]
    if facts.space:
        page = f"{need('huggingface_hub').constants.ENDPOINT}/spaces/{facts.space}"
        lines.append(f"Play with it: [{facts.space}]({page})\n")
    return [*lines, "## What it is for\n", f"{facts.answers.intended_use or UNSAID}\n"]


def _data(facts: Facts) -> list[str]:
    data, answers = facts.training.get("data", {}), facts.answers
    rows = [
        ("Source", answers.data_source or UNSAID),
        ("Licence", answers.data_license or UNSAID),
    ]
    if "pictures" in data:
        rows.append(("Pictures", f"{data['pictures']}, of {data['name']}"))
        rows.append(("Fingerprint", f"`{data['fingerprint']}`"))
    return [
        "## The pictures it learned from\n",
        *_table([*rows, *prepared_rows(facts.prepared or {})]),
    ]


def prepared_rows(note: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What prepare did, as far as its note can be read; files that it left out stay unnamed."""
    settings, skipped, classes = (note.get(key) for key in ("settings", "skipped", "classes"))
    rows = []
    if isinstance(settings, dict):
        told = [(key, settings.get(key)) for key in PREPARED_SETTINGS]
        text = ", ".join(f"{key} {_plain(value)}" for key, value in told if value not in UNSET)
        rows.append(("Made square by `prepare`", text))
    if isinstance(classes, list):
        rows.append(("Classes", ", ".join(map(str, classes[:MOST_CLASSES]))))
    if isinstance(skipped, list):
        pairs = [entry for entry in skipped if isinstance(entry, list) and len(entry) == 2]
        kinds = Counter(_kind(str(reason)) for _, reason in pairs)
        reasons = "; ".join(f"{count} × {kind}" for kind, count in kinds.most_common(MOST_KINDS))
        rows.append(("Left out by `prepare`", f"{len(pairs)}: {reasons}" if pairs else "none"))
    return rows


def _plain(value: Any) -> str:
    return " and ".join(map(str, value)) if isinstance(value, list) else str(value)


def _kind(reason: str) -> str:
    """A reason of prepare's without what differs from picture to picture, names above all."""
    for meaning in MEANS.values():
        if reason.startswith(f"{meaning} "):
            return f"another, {meaning[:-1]}" if meaning[-1] == ":" else f"{meaning} another"
    return _OWN.sub("", reason)


def _quality(facts: Facts) -> list[str]:
    if not facts.records:
        return ["## How good it is\n", "It was not measured.\n", *_memory(facts)]
    head = "| metric | value | floor | n | seed | better | by | pictures |\n" + "|---" * 8 + "|"
    rows = [
        f"| {r['metric']} | {r['value']:.4g} | {_floor(r)} | {r['n']} | {r['seed']} "
        f"| {r.get('better', 'lower')} | {_seen_by(r)} | {_cell(str(r['data']))} |"
        for r in facts.records
    ]
    note = (
        "The floor is the same measure of real pictures: for distances, between two halves of "
        "them. Pictures were drawn at psi 1 with random noise. `metrics.json` has it in full.\n"
    )
    return ["## How good it is\n", head, *rows, "", note, *_memory(facts)]


def _floor(record: Mapping[str, Any]) -> str:
    """What real pictures get, at their own number beside the generated ones at that number."""
    if record.get("floor") is None:
        return "-"
    text = f"{record['floor']:.4g}"
    if (beside := record.get("value_at_floor_n")) is not None:
        text += f" at n = {record['floor_n']}, where the value is {beside:.4g}"
    return text


def _seen_by(record: Mapping[str, Any]) -> str:
    if "detector" not in record:
        return "pixels"
    papers = "" if record.get("comparable_with_papers") else " (not comparable with papers)"
    return f"{_cell(str(record['detector']))}{papers}"


def _memory(facts: Facts) -> list[str]:
    """The nearest training pictures, where they are shown."""
    if "nearest.png" not in facts.files:
        return ["Whether training pictures come back was not looked at.\n"]
    text = "*Samples at psi 1 (left column), each with the training pictures nearest to it."
    if facts.nearest:
        far = ", ".join(f"{value:.0f}" for value in facts.nearest)
        text = (
            f"*Seeds 0-{len(facts.nearest) - 1} at psi 1 (left column), each with its nearest "
            f"among {facts.compared} training pictures, mirrored ones included. Distances (RMSE in "
            f"grey levels): {far}."
        )
    return ["![Samples and the training pictures nearest to them](nearest.png)\n", f"{text}*\n"]


def _limits(facts: Facts) -> list[str]:
    side, p = facts.network.resolution, facts.training.get("augment_p")
    lines = [
        f"It draws what it learned from, at {side}x{side} pixels, and nothing else. What those "
        "pictures have much or little of, its own have too."
    ]
    lines += [
        f"By {r['metric']} its pictures are {_times(r):.1f} times as far from the real ones as two "
        "halves of the real ones are from each other."
        for r in facts.records
        if r["metric"].startswith(("swd", "fid")) and r["floor"]
    ]
    lines += [
        f"Of {r['n']} samples {r['value']:.0%} are much nearer to one training picture than to "
        f"others alike; of the training pictures themselves {r['floor']:.0%} are."
        for r in facts.records
        if r["metric"] == "memorisation"
    ]
    how = f"at p = {p:.2f}" if p else ""
    if facts.training.get("settings", {}).get("aug") == "diffaugment":
        how = "by DiffAugment"
    if how:
        lines.append(f"It was trained with pictures augmented {how}; traces of that can show.")
    return ["## What it cannot do\n", " ".join(lines) + "\n"]


def _times(record: Mapping[str, Any]) -> float:
    """A distance by that of as many real pictures."""
    return record.get("value_at_floor_n", record["value"]) / record["floor"]


def _making(facts: Facts) -> list[str]:
    training = facts.training
    settings = training.get("settings", {})
    rows = [(key, f"{settings[key]}") for key in KEY_SETTINGS if key in settings]
    if settings.get("resume_from"):
        rows.append(("began with the weights of", settings["resume_from"]))
    for key, label in (
        ("kimg", "thousand images"),
        ("hours", "hours"),
        ("device", "hardware"),
        ("torch", "PyTorch"),
        ("code", "trained by"),
        ("note", "note"),
    ):
        if key in training:
            rows.append((label, str(training[key])))
    code = f", commit `{facts.code}`" if facts.code else ""
    rows.append(("published by", f"{LIBRARY} {VERSION}{code}"))
    files = [f"`{name}` {_size(count)}" for name, count in sorted(facts.files.items())]
    return [
        "## How it was made\n",
        *_table(rows),
        f"Files: {', '.join(files)}. All settings are in `config.json`.\n",
    ]


def _table(rows: Sequence[tuple[str, str]]) -> list[str]:
    return ["| | |\n|---|---|", *(f"| {key} | {_cell(value)} |" for key, value in rows), ""]


def _cell(text: str) -> str:
    """Text that stays in its cell."""
    return " ".join(text.split()).replace("|", "\\|")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def public_notes(training: Mapping[str, Any]) -> dict[str, Any]:
    """The notes of config.json without where files lay on this machine."""
    told = dict(training)
    if isinstance(told.get("settings"), dict):
        settings = dict(told["settings"])
        for key in ("data", "resume_from"):
            if isinstance(path := settings.get(key), str) and path:
                settings[key] = plain_place(path)
        told["settings"] = settings
    return told


def plain_place(path: str) -> str:
    """A path within the folder that training ran in, or the name alone of what lay elsewhere."""
    elsewhere = PurePath(path).is_absolute() or path.startswith(("..", "~"))
    return PurePath(path).name if elsewhere else path

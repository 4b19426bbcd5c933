"""What is wrong with these pictures, and which: everything is read once, and judged together.

A finding about a file has a name, a value, and says whether prepare should leave the file out. The
limits are those of pictures of any kind; a set of icons and a set of photographs share them.
"""

from __future__ import annotations

import csv
import io
import itertools
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from stylegan.atomic import replacing_file
from stylegan.config import MAX_RESOLUTION, MIN_RESOLUTION, UserError
from stylegan.duplicates import MIRRORED, RECOLOURED, SAME, Pair, find_pairs
from stylegan.extras import need
from stylegan.labels import Labels, find_labels
from stylegan.measures import HASHES, STATISTICS, THUMB, Look, Measures, measure
from stylegan.parallel import in_order
from stylegan.pictures import parse_color
from stylegan.sources import DataError, Files

MOST_ASPECT = 2.0  # longer side over shorter
SHARP = 0.15  # Laplacian's variance over the slope's, under which a picture is blurred
FLAT = 4.0  # standard deviation of the luma, in grey levels, of a near-constant picture
GREY = 10.0  # difference of channels, in grey levels, that a grey picture stays under
TRANSPARENT = 0.001  # share of pixels
ENOUGH = 0.9  # share of the pictures that should reach the resolution
FAR = 6.0  # robust standard deviations of an outlier
FEWEST_FOR_OUTLIERS = 30
MOST_OUTLIERS = 0.1  # share of the pictures; more are another kind, in this statistic
SIDES_DIFFER = 0.04  # share of left-right differences that all pictures have in common
CRASHED = "the reader crashed on it"

FINDINGS = {  # name -> what it means; in the order of the report
    "unreadable": "cannot be read",
    "tiny": "a side is shorter than the resolution",
    "blank": "of nearly one colour all over",
    "same": "the same picture again, perhaps rescaled, recompressed or slightly cropped",
    "mirrored": "another picture, mirrored",
    "recoloured": "another picture in other colours",
    "contradiction": "labels that contradict each other",
    "aspect": f"more than {MOST_ASPECT:g} times as long as wide, or the other way",
    "blurred": "without fine detail for its size",
    "outlier": "unlike the other pictures in a simple statistic",
    "grey": "grey among pictures in colour",
    "transparent": "partly transparent: the background shows through",
}
DROPPED = (
    "unreadable",
    "tiny",
    "blank",
    "same",
)  # what prepare leaves out unless the list is edited
COLUMNS = ("file", "finding", "drop", "of", "value", "width", "height", "note")


class InspectError(UserError):
    """Pictures or settings that cannot be inspected."""


@dataclass(frozen=True)
class InspectConfig:
    """What `inspect` reads, judges and writes."""

    src: Path
    """SRC: a folder, with all folders in it, or a zip or tar of pictures."""
    report: Path | None = Path("report.html")
    """The page to write; findings.csv is written beside it."""
    resolution: int | None = None
    """Side at which is to be trained; by default the largest that most pictures reach."""
    background: str = "white"
    """Colour behind transparent pictures: a name or #rrggbb."""
    labels: str = "auto"
    """auto (dataset.json, or the set's own), none, folders, FILE.csv or FILE.json."""
    label_column: str | None = None
    """Column of the CSV file that holds the labels."""
    workers: int | None = None
    """Processes that read; by default one for each processor."""

    def __post_init__(self) -> None:
        r = self.resolution
        if r is not None and (r & (r - 1) or not MIN_RESOLUTION <= r <= MAX_RESOLUTION):
            raise InspectError(
                f"resolution {r} is not a power of two from {MIN_RESOLUTION} to {MAX_RESOLUTION}"
            )
        if self.workers is not None and self.workers < 1:
            raise InspectError(f"workers {self.workers} is less than 1")
        parse_color(self.background)


@dataclass(frozen=True)
class Finding:
    """Something about one file."""

    file: str
    finding: str
    of: str = ""
    """The other file, where it is about two."""
    value: str = ""
    width: int = 0
    height: int = 0
    note: str = ""
    drop: bool = False
    """Whether prepare --drop leaves the file out, unless the list is edited."""


@dataclass
class Survey:
    """Numbers of all readable pictures, in rows, and the thumbnails in a file of their own."""

    names: list[str] = field(default_factory=list)
    sizes: np.ndarray | None = None
    """int32 [N, 2] width, height"""
    hashes: np.ndarray | None = None
    """uint64 [N, 3]"""
    numbers: np.ndarray | None = None
    """float32 [N, 3 + len(STATISTICS)]: transparent, color, sharp, then the statistics"""
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    thumbs: Callable[[np.ndarray], np.ndarray] | None = None
    """indices -> uint8 [n, THUMB, THUMB, 3]"""
    bias: float = 0.0
    """Share of the differences between left and right that all pictures have in common."""

    def __len__(self) -> int:
        return len(self.names)

    def column(self, name: str) -> np.ndarray:
        """float32 [N]"""
        return self.numbers[:, ("transparent", "color", "sharp", *STATISTICS).index(name)]


@dataclass(frozen=True)
class Diagnosis:
    """All that was found, and what to do about it."""

    count: int
    findings: list[Finding]
    resolution: int
    remaining: int
    """Pictures left when the findings marked drop are left out."""
    bias: float
    advice: list[str]
    sizes: list[tuple[int, int]]
    """Side at least so many pixels -> how many pictures."""

    @property
    def counts(self) -> Counter[str]:
        """How many files each finding is about."""
        return Counter(finding.finding for finding in self.findings)

    @property
    def drops(self) -> Counter[str]:
        """How many of them prepare --drop leaves out."""
        return Counter(finding.finding for finding in self.findings if finding.drop)


def survey(
    files: Files,
    names: Sequence[str],
    look: Look,
    folder: Path,
    workers: int | None = None,
    progress: Callable[[], object] = lambda: None,
) -> Survey:
    """Measure every picture in processes of its own; thumbnails go into a file in the folder."""
    need("imagehash")
    out = Survey()
    sizes, hashes, numbers = [], [], []
    place = folder / "thumbs"
    tilt, tilts = np.zeros((THUMB, THUMB, 3)), 0.0
    with warnings.catch_warnings(), place.open("wb") as thumbs:
        warnings.simplefilter("ignore")  # decoders warn of what is listed anyhow
        found = measured(files, names, look, workers)
        for name, result in zip(names, found, strict=True):
            progress()
            if isinstance(result, str):
                out.unreadable.append((name, result))
                continue
            out.names.append(name)
            sizes.append((result.width, result.height))
            hashes.append(result.hashes)
            numbers.append((result.transparent, result.color, result.sharp, *result.statistics))
            thumbs.write(result.thumb)
            half = _half(result.thumb)
            tilt += half
            tilts += float(np.square(half).sum())
    out.sizes = np.array(sizes, np.int32).reshape(-1, 2)
    out.hashes = np.array(hashes, np.uint64).reshape(-1, len(HASHES))
    out.numbers = np.array(numbers, np.float32).reshape(-1, 3 + len(STATISTICS))
    out.thumbs = partial(read_thumbs, place)
    if tilts:
        n = len(out)
        common = float(np.square(tilt / n).sum()) / (tilts / n)
        out.bias = max(0.0, common - 1 / n)  # chance alone gives 1 / n
    return out


def measured(
    files: Files, names: Sequence[str], look: Look, workers: int | None
) -> Iterator[Measures | str]:
    """Measures of each picture or why there are none, in order."""
    contents = (contents_or_reason(files, name) for name in names)
    work = partial(_measure, look)
    return in_order(work, contents, len(names), workers, lambda: CRASHED)


def contents_or_reason(files: Files, name: str) -> bytes | str:
    """A file's bytes, or why they cannot be read."""
    try:
        return files.read(name)
    except DataError as error:
        return str(error)


def read_thumbs(place: Path, indices: np.ndarray) -> np.ndarray:
    """uint8 [n, THUMB, THUMB, 3] out of the file that `survey` wrote."""
    pages = np.memmap(place, np.uint8, "r").reshape(-1, THUMB, THUMB, 3)
    return pages[indices]


def _measure(look: Look, content: bytes | str) -> Measures | str:
    return content if isinstance(content, str) else measure(content, look)


def _half(thumb: bytes) -> np.ndarray:
    """What changes when a thumbnail is mirrored, float [S, S, 3]."""
    picture = np.frombuffer(thumb, np.uint8).reshape(THUMB, THUMB, 3).astype(np.float32)
    return (picture - picture[:, ::-1]) / 2


def inspect(
    config: InspectConfig, progress: Callable[[int, int], object] = lambda done, total: None
) -> Diagnosis:
    """Read everything once and judge it."""
    with closing(Files(config.src)) as files, tempfile.TemporaryDirectory() as folder:
        names = files.pictures
        if not names:
            raise InspectError(f"{config.src} holds no pictures")
        labels = find_labels(files, config.labels, config.label_column)
        look = Look(parse_color(config.background))
        done = itertools.count(1)
        found = survey(
            files,
            names,
            look,
            Path(folder),
            config.workers,
            lambda: progress(next(done), len(names)),
        )
        return diagnose(found, labels, config.resolution)


def diagnose(found: Survey, labels: Labels | None, resolution: int | None = None) -> Diagnosis:
    """Findings about each picture and all together."""
    resolution = resolution or best_resolution(found.sizes)
    pairs = (
        find_pairs(found.hashes, found.thumbs, keep_first(found.sizes)) if len(found) > 1 else []
    )
    findings = [
        Finding(name, "unreadable", note=reason, drop=True) for name, reason in found.unreadable
    ]
    findings += _about_one(found, resolution)
    findings += _about_two(found, pairs)
    findings += _contradictions(found, labels, pairs)
    order = list(FINDINGS)
    findings.sort(key=lambda f: (order.index(f.finding), f.of or f.file, f.file))
    dropped = {finding.file for finding in findings if finding.drop}
    remaining = len(found) + len(found.unreadable) - len(dropped)
    sides = found.sizes.min(1) if len(found) else np.zeros(0)
    return Diagnosis(
        len(found) + len(found.unreadable),
        findings,
        resolution,
        remaining,
        found.bias,
        advise(found, findings, resolution, remaining, labels),
        [(2**i, int((sides >= 2**i).sum())) for i in range(3, 11)],
    )


def keep_first(sizes: np.ndarray) -> np.ndarray:
    """Rank of each picture, 0 for the one to keep rather than any that repeat it: the largest."""
    pixels = sizes.astype(np.int64).prod(1)
    rank = np.empty(len(sizes), np.int64)
    rank[np.argsort(-pixels, kind="stable")] = np.arange(len(sizes))
    return rank


def best_resolution(sizes: np.ndarray) -> int:
    """The largest power of two that most pictures' shorter sides reach."""
    best = MIN_RESOLUTION
    while best < MAX_RESOLUTION and len(sizes) and (sizes.min(1) >= 2 * best).mean() >= ENOUGH:
        best *= 2
    return best


def _about_one(found: Survey, resolution: int) -> Iterator[Finding]:
    column = found.column
    in_color = (column("color") >= GREY).mean() > 0.5 if len(found) else False
    outliers = _outliers(found)
    for i, name in enumerate(found.names):
        width, height = map(int, found.sizes[i])
        make = partial(Finding, name, width=width, height=height)
        if min(width, height) < resolution:
            few = min(width, height) < resolution / 2  # prepare enlarges the others
            yield make("tiny", value=str(min(width, height)), drop=few)
        aspect = max(width, height) / min(width, height)
        if aspect > MOST_ASPECT:
            yield make("aspect", value=f"{aspect:.2f}")
        if column("transparent")[i] > TRANSPARENT:
            yield make("transparent", value=f"{column('transparent')[i]:.3f}")
        blank = column("contrast")[i] < FLAT and column("color")[i] < 2 * GREY
        if blank:
            yield make("blank", value=f"{column('contrast')[i]:.1f}", drop=True)
            continue
        if in_color and column("color")[i] < GREY:
            yield make("grey", value=f"{column('color')[i]:.0f}")
        if column("sharp")[i] < SHARP:
            yield make("blurred", value=f"{column('sharp')[i]:.4f}")
        if i in outliers:
            yield make("outlier", value=f"{outliers[i][1]:.1f}", note=outliers[i][0])


def _outliers(found: Survey) -> dict[int, tuple[str, float]]:
    """Picture -> the statistic in which it stands furthest apart, and how many deviations."""
    if len(found) < FEWEST_FOR_OUTLIERS:
        return {}
    values = np.stack([found.column(name) for name in STATISTICS], 1).astype(np.float64)
    middle = np.median(values, 0)
    spread = 1.4826 * np.median(np.abs(values - middle), 0)  # equals sigma where normal
    least = np.maximum(0.02 * np.ptp(values, 0), 1e-6)
    scores = (values - middle) / np.maximum(spread, least)
    scores[:, (np.abs(scores) > FAR).mean(0) > MOST_OUTLIERS] = 0
    worst = np.abs(scores).argmax(1)
    far = np.nonzero(np.abs(scores).max(1) > FAR)[0]
    return {
        int(i): (
            f"{'more' if scores[i, worst[i]] > 0 else 'less'} {STATISTICS[worst[i]]} than the rest",
            float(abs(scores[i, worst[i]])),
        )
        for i in far
    }


def _about_two(found: Survey, pairs: list[Pair]) -> Iterator[Finding]:
    for pair in pairs:
        width, height = map(int, found.sizes[pair.index])
        name, of = found.names[pair.index], found.names[pair.of]
        drop = pair.kind == SAME
        yield Finding(name, pair.kind, of=of, width=width, height=height, drop=drop)


def _contradictions(found: Survey, labels: Labels | None, pairs: list[Pair]) -> Iterator[Finding]:
    """Files with several labels, and equal pictures with different ones."""
    if labels is None:
        return
    size = dict(zip(found.names, found.sizes.tolist(), strict=True))
    for name, texts in labels.contradictions.items():
        if name in size:
            note = f"{labels.where} gives it {' and '.join(texts)}"
            yield Finding(name, "contradiction", "", "", *size[name], note)
    for pair in pairs:
        name, of = found.names[pair.index], found.names[pair.of]
        both = labels.shown(name), labels.shown(of)
        if pair.kind == SAME and None not in both and both[0] != both[1]:
            note = f"{both[0]}, but the same picture is {both[1]}"
            yield Finding(name, "contradiction", of, "", *size[name], note)


def advise(
    found: Survey,
    findings: list[Finding],
    resolution: int,
    remaining: int,
    labels: Labels | None,
) -> list[str]:
    """What to do, in sentences."""
    counts = Counter(finding.finding for finding in findings)
    advice = [_resolution_advice(found, resolution), _mirror_advice(found, counts)]
    advice.append(_count_advice(remaining, len(found) + len(found.unreadable)))
    if counts[RECOLOURED]:
        advice.append(
            f"Recoloured pictures ({counts[RECOLOURED]}) are kept, "
            "since colours may be what you want. "
            "prepare --dedupe --dedupe-also recoloured leaves them out."
        )
    if counts["transparent"]:
        advice.append(
            f"{counts['transparent']} pictures are partly transparent: choose what lies behind "
            "them with --background, or keep the transparency with --channels 4."
        )
    if len(found) and not (found.column("color") >= GREY).any():
        advice.append("All pictures are grey: prepare with --channels 1.")
    if counts["aspect"]:
        advice.append(
            f"{counts['aspect']} long or tall: --fit pad keeps them whole with "
            "borders, --fit crop cuts their ends off, --max-aspect 2 leaves them out."
        )
    if counts["contradiction"]:
        advice.append("Settle the labels that contradict each other before training with classes.")
    if labels is not None:
        missing = sum(name not in labels.by_name for name in found.names)
        if missing:
            advice.append(f"{missing} pictures have no label; with labels they are left out.")
    return advice


def _resolution_advice(found: Survey, resolution: int) -> str:
    if not len(found):
        return "No picture can be read."
    sides = found.sizes.min(1)
    here = float((sides >= resolution).mean())
    text = f"Resolution {resolution}: {here:.0%} of the pictures are at least that large"
    if resolution < MAX_RESOLUTION:
        text += f", {float((sides >= 2 * resolution).mean()):.0%} reach {2 * resolution}"
    if resolution > 64:
        text += ". Begin smaller if you have no GPU: 64 is trained in hours on two cores"
    return f"{text}."


def _mirror_advice(found: Survey, counts: Counter[str]) -> str:
    if found.bias > SIDES_DIFFER:
        return (
            f"Leave --mirror off: left and right differ in the same way in most pictures "
            f"({found.bias:.0%} of the difference is common to all)."
        )
    text = "--mirror doubles the pictures: left and right do not differ in any common way"
    if counts[MIRRORED]:
        text += f" ({counts[MIRRORED]} pictures are there mirrored already)"
    return f"{text}. Leave it off all the same if there is writing in them."


def _count_advice(remaining: int, count: int) -> str:
    """Bounds after Karras et al. 2020 (ADA), who compare 1 to 140 thousand pictures."""
    left = f"{remaining} of {count} pictures remain"
    if not remaining:
        return f"{left}: there is nothing to train on."
    passes = max(1, round(1e6 / remaining))
    times = f"1000 kimg show each of them {passes:,} times"
    if remaining < 500:
        return (
            f"{left}, very few: {times}, and the discriminator will know them by heart. Begin "
            "with a model trained on similar pictures (--resume-from), and keep --aug ada."
        )
    if remaining < 5000:
        return f"{left}, few: {times}. Keep --aug ada: it is made for this, and p will rise."
    if remaining < 50_000:
        return f"{left}: {times}. Keep --aug ada; it will find a moderate p."
    return f"{left}: {times}. Augmentation matters little with so many; --aug ada stays low."


def table(diagnosis: Diagnosis) -> str:
    """For the person at the keyboard."""
    counts, drops = diagnosis.counts, diagnosis.drops
    width = max(map(len, FINDINGS))
    lines = [f"{diagnosis.count} files, judged for {diagnosis.resolution} px", ""]
    if counts:
        lines.append(f"{'finding':<{width}} {'files':>7} {'left out':>9}")
    lines += [
        f"{name:<{width}} {counts[name]:>7} {drops[name] or '-':>9}  {text}"
        for name, text in FINDINGS.items()
        if counts[name]
    ]
    if not counts:
        lines.append("nothing is wrong with them")
    lines += ["", *diagnosis.advice]
    return "\n".join(lines)


def write_findings(path: Path, diagnosis: Diagnosis) -> None:
    """findings.csv: edit its column `drop`, and give it to prepare --drop."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for f in diagnosis.findings:
        drop = "yes" if f.drop else "no"
        writer.writerow((f.file, f.finding, drop, f.of, f.value, f.width, f.height, f.note))
    with replacing_file(path) as beside:
        beside.write_bytes(text.getvalue().encode("utf-8", "backslashreplace"))

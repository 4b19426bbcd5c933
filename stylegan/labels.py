"""What each picture shows: from dataset.json, a CSV file, the folders, or the set itself."""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from stylegan.sources import DataError, Files

Label = int | list[float]

MAX_CLASSES = 100_000
MAX_LABEL = 1e30  # of an entry of a list; keeps out infinity and NaN
FILE_COLUMNS = ("file", "filename", "file_name", "path", "image", "picture", "name")
LABEL_COLUMNS = ("label", "class", "category")


@dataclass(frozen=True)
class Labels:
    """Of those pictures that have one."""

    by_name: dict[str, Label] = field(default_factory=dict)
    classes: list[str] | None = None
    """Names of the classes by number, where they have names."""
    contradictions: dict[str, list[str]] = field(default_factory=dict)
    """Pictures to which the source gives several labels; they are not in by_name."""
    where: str = "the labels"

    def shown(self, name: str) -> str | None:
        """A picture's label for people; None for one without, or with numbers that name nothing."""
        label = self.by_name.get(name)
        if not isinstance(label, int):
            return None
        return self.classes[label] if self.classes else str(label)


class Names:
    """Which picture a line of a list means: its path within the source, or its file name alone."""

    def __init__(self, names: Iterable[str]):
        self._by_key: dict[str, list[str]] = {}
        for name in names:
            for key in {_key(name), _key(PurePosixPath(name).name)}:
                self._by_key.setdefault(key, []).append(name)

    def find(self, line: str) -> list[str]:
        """The pictures that it may mean; a path means itself alone."""
        match = self._by_key.get(_key(line), [])
        exact = [name for name in match if _key(name) == _key(line)]
        return exact or match

    def find_all(self, lines: Sequence[str], where: str | Path) -> set[str]:
        """The pictures that all lines mean; refuses lines that mean none or several."""
        if missing := [line for line in lines if not self.find(line)]:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise DataError(f"{where} names {', '.join(missing[:5])}{more}, not in the source")
        found = set()
        for line in lines:
            match = self.find(line)
            if len(match) > 1:
                raise DataError(f"{where}: {line} means {' or '.join(match[:3])}; write its path")
            found.update(match)
        return found


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name)  # macOS writes the other form


def find_labels(files: Files, choice: str = "auto", column: str | None = None) -> Labels | None:
    """Labels by auto, none, folders, or the path of a CSV file or dataset.json, or None."""
    if column is not None and not choice.lower().endswith(".csv"):
        raise DataError("a label column needs a CSV file of labels")
    if choice == "none":
        return None
    if choice == "folders":
        return _from_folders(files)
    if choice.lower().endswith(".csv"):
        return _from_csv(Path(choice), column, files)
    if choice.lower().endswith(".json"):
        return _from_json(Path(choice), files)
    if choice != "auto":
        raise DataError(f"labels {choice!r} is none of auto, none, folders, FILE.csv and FILE.json")
    by_name = read_labels(files)
    if by_name is not None:
        return Labels(by_name, _own_classes(files), where="dataset.json")
    return Labels(dict(files.labels), files.classes) if files.labels else None


def read_labels(files: Files) -> dict[str, Label] | None:
    """Name -> label out of dataset.json: all class numbers, or all lists of one length."""
    if "dataset.json" not in files.names:
        return None
    return _checked(files.read("dataset.json"), files.path / "dataset.json")


def _checked(data: bytes, place: Path) -> dict[str, Label] | None:
    try:
        labels = json.loads(data)["labels"]
        found = dict(labels or [])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise DataError(
            f'{place} is not {{"labels": [["name.png", 0], ...]}} or {{"labels": null}}'
        ) from None
    for name, label in found.items():
        if not (_is_class(label) or _is_vector(label)):
            raise DataError(f"{place}: the label of {name!r} is no class number or list of numbers")
    if len({len(label) if isinstance(label, list) else 0 for label in found.values()}) > 1:
        raise DataError(f"{place} mixes labels of different lengths")
    return found or None


def _is_class(label: object) -> bool:
    return type(label) is int and 0 <= label < MAX_CLASSES


def _is_vector(label: object) -> bool:
    if not isinstance(label, list) or not 0 < len(label) <= MAX_CLASSES:
        return False
    return all(type(x) in (int, float) and abs(x) < MAX_LABEL for x in label)


def _own_classes(files: Files) -> list[str] | None:
    """Names of the classes, as prepare noted them."""
    try:
        classes = json.loads(files.read("prepare.json"))["classes"]
    except (DataError, KeyError, TypeError, ValueError):
        return None
    good = isinstance(classes, list) and all(isinstance(x, str) for x in classes)
    return classes if good else None


def _from_folders(files: Files) -> Labels:
    """The folder that a picture lies in, from the source's top, is its class."""
    texts = {name: PurePosixPath(name).parent.as_posix() for name in files.pictures}
    texts = {name: text for name, text in texts.items() if text != "."}
    if len(set(texts.values())) < 2:
        raise DataError(f"{files.path} has no two folders of pictures to take labels from")
    return _numbered({name: [text] for name, text in texts.items()}, "its folder")


def _from_json(path: Path, files: Files) -> Labels:
    """A file in the form of dataset.json, which lies anywhere."""
    try:
        found = _checked(path.read_bytes(), path)
    except OSError:
        raise DataError(f"{path} cannot be read") from None
    if found is None:
        raise DataError(f"{path} holds no labels")
    names = Names(files.pictures)
    by_name = {}
    for line, label in found.items():
        for name in names.find(line):
            by_name[name] = label
    if not by_name:
        raise DataError(f"{path} names no picture of {files.path}")
    return Labels(by_name, where=path.name)


def _from_csv(path: Path, column: str | None, files: Files) -> Labels:
    """Rows with a file's name and its class, below a line that names the columns."""
    rows, file_column, label_column = _rows(path, column)
    names = Names(files.pictures)
    texts: dict[str, list[str]] = {}
    for row in rows:
        label = (row.get(label_column) or "").strip()
        if not label:
            continue
        for name in names.find((row.get(file_column) or "").strip()):
            if label not in texts.setdefault(name, []):
                texts[name].append(label)
    if not texts:
        raise DataError(
            f"{path}: its column {file_column!r} names no picture of {files.path}, "
            f"or {label_column!r} is empty"
        )
    return _numbered(texts, path.name)


def _rows(path: Path, column: str | None) -> tuple[list[dict[str, str]], str, str]:
    """All rows, and which columns hold the files' names and the labels."""
    columns, rows = read_csv(path)
    by_name = {name.lower(): name for name in columns}
    file_column = next((by_name[x] for x in FILE_COLUMNS if x in by_name), columns[0])
    if column is not None:
        if column not in columns:
            raise DataError(f"{path} has no column {column!r}; it has {', '.join(columns)}")
        return rows, file_column, column
    named = [by_name[x] for x in LABEL_COLUMNS if x in by_name]
    others = named or [x for x in columns if x != file_column]
    if not named and len(others) != 1:
        raise DataError(f"say which column of {path} holds the labels: {', '.join(others)}")
    return rows, file_column, others[0]


def read_csv(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Column names and rows of a text table, whether commas, semicolons or tabs divide them."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            mark = max(",;\t", key=first.count)
            reader = csv.DictReader(file, delimiter=mark)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error):
        raise DataError(f"{path} cannot be read as a table of text") from None
    if not reader.fieldnames:
        raise DataError(f"{path} is empty; its first line should name the columns")
    return [str(name) for name in reader.fieldnames], rows


def _numbered(texts: dict[str, list[str]], where: str) -> Labels:
    """Class numbers for names of classes, in the order of numbers or of the alphabet."""
    classes = sorted({text for found in texts.values() for text in found}, key=_number_first)
    if len(classes) > MAX_CLASSES:
        raise DataError(f"{len(classes)} classes, more than {MAX_CLASSES:,}")
    number = {text: i for i, text in enumerate(classes)}
    return Labels(
        {name: number[found[0]] for name, found in texts.items() if len(found) == 1},
        classes,
        {name: found for name, found in texts.items() if len(found) > 1},
        where,
    )


def _number_first(text: str) -> tuple[int, int, str]:
    return (0, int(text), text) if text.isascii() and text.isdigit() else (1, 0, text)

"""Text datasets by name.

============ ==================================================================================================
docstrings   the first paragraph of 5,000 docstrings in five libraries that come with sweep: which one wrote it?
table        your own: a .csv or .jsonl file with a column of texts and one of labels, or a folder of such files
============ ==================================================================================================

Nothing is downloaded. Splits don't depend on a trial's seed.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from sweep.errors import TrainingError
from sweep.training.data import lookup
from sweep.training.data.images import SPLIT_SEED, SPLITS, TensorPair, hold_out

LIBRARIES = {"networkx": "networkx", "numpy": "numpy", "pandas": "pandas", "scipy": "scipy", "sklearn": "scikit-learn"}
"""The classes of `docstrings`, as they are imported, with the packages' names."""
EACH = 1000
"""Texts of a class in `docstrings`."""
FEWEST_WORDS = 5
VAL_SHARE = 10
"""One in this many texts is held out as val where there is no such file, and as many as test."""


class TextPair(NamedTuple):
    """The texts of a split, and their labels (N,) int64 in [0, number of classes)."""

    texts: tuple[str, ...]
    labels: torch.Tensor


@dataclass(frozen=True)
class TextData:
    """A text dataset.

    Attributes:
        name: as in `TEXTS`.
        train: the texts to learn from.
        val: the texts that trials are compared on.
        test: texts that no search has seen, or None.
        classes: a name for each label.
        options: what the loader was given, JSON values.
    """

    name: str
    train: TextPair
    val: TextPair
    test: TextPair | None
    classes: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all texts, labels and class names: equal exactly when trials saw the same data."""
        digest = hashlib.sha256()
        pairs = [(pair.texts, pair.labels.tolist()) if pair else None for pair in (self.train, self.val, self.test)]
        digest.update(json.dumps([self.classes, pairs]).encode())
        return digest.hexdigest()

    @property
    def description(self) -> dict[str, Any]:
        """What a checkpoint's manifest says about its data: enough to load it again."""
        return {"name": self.name, "options": dict(self.options), "fingerprint": self.fingerprint}


def load(name: str, **options: Any) -> TextData:
    """A text dataset by name; a process reads it once.

    Args:
        name: one of `TEXTS`.
        options: those of the loader of that name; None means its default.

    Raises:
        TrainingError: an unknown name or option, or a file that isn't as expected; it says how it should be.
    """
    options, known = lookup.check(name, TEXTS, options)
    if "file" not in options:
        if "file" in known:
            raise TrainingError(f"data: {name} needs file, e.g. file: reviews.csv.")
        return _load(name, (), ())
    path = Path(options["file"]).expanduser().absolute()
    options["file"] = str(path)
    return _load(name, tuple(sorted(options.items())), tuple(_stamps(path)))


def _stamps(path: Path) -> Iterator[tuple[str, int, int]]:
    for each in sorted(path.iterdir()) if path.is_dir() else [path]:
        if each.exists():
            facts = each.stat()
            yield str(each), facts.st_size, facts.st_mtime_ns


@lru_cache(maxsize=2)
def _load(name: str, options: tuple[tuple[str, Any], ...], _stamps: tuple[Any, ...]) -> TextData:
    return TEXTS[name](**dict(options))


def docstrings() -> TextData:
    """Up to 1,000 docstrings of each of networkx, numpy, pandas, scipy and scikit-learn, their first paragraphs.

    The libraries aren't imported, their own names are left out of the texts, and what two of them have in common too.
    With other versions of them it is another dataset, and has another fingerprint.
    """
    found = {package: list(dict.fromkeys(_paragraphs(package))) for package in LIBRARIES}
    counts = Counter(text for texts in found.values() for text in texts)
    texts, labels = [], []
    for label, package in enumerate(LIBRARIES):
        own = sorted(text for text in found[package] if counts[text] == 1)
        random.Random(SPLIT_SEED).shuffle(own)  # noqa: S311 - a choice that is always the same
        texts += own[:EACH]
        labels += [label] * len(own[:EACH])
    return _split("docstrings", texts, labels, tuple(LIBRARIES.values()), {})


# A line that ends in a colon, then a text: what follows def and class. A parser is ten times slower.
_DOCSTRING = re.compile(r':\n[ \t]+[rR]?"""\s*([A-Z][^"]*?)(?:\n[ \t]*\n|""")')
_NAMES = re.compile(r"\b(?:networkx|numpy|pandas|scipy|scikit-learn|sklearn|nx|np|pd)\b\.?", re.IGNORECASE)


def _paragraphs(package: str) -> Iterator[str]:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise TrainingError(f"data: docstrings needs {LIBRARIES[package]}, which isn't installed.")
    root = Path(found.origin).parent
    for file in sorted(root.rglob("*.py")):
        if "tests" in file.relative_to(root).parts:
            continue
        for match in _DOCSTRING.finditer(file.read_text(encoding="utf-8", errors="replace")):
            text = " ".join(_NAMES.sub("", match[1]).split())
            if len(text.split()) >= FEWEST_WORDS:
                yield text


def table(*, file: str, text: str = "text", label: str = "label") -> TextData:
    """Texts and labels from a file, or from a folder with train.csv, val.csv and perhaps test.csv (or .jsonl).

    A single file's texts are split: a tenth of each class becomes val, a tenth test. Labels may be any values; they
    become classes in sorted order.

    Args:
        file: .csv with a header, or .jsonl with an object a line; UTF-8. Or the folder.
        text: name of the column with texts.
        label: name of the column with labels.

    Raises:
        TrainingError: no such file or column, a row that lacks one, or splits of different classes.
    """
    path = Path(file).expanduser()
    options = {"file": file, "text": text, "label": label}
    if not path.is_dir():
        texts, names = _read(path, text, label)
        classes = tuple(sorted(set(names)))
        return _split("table", texts, [classes.index(name) for name in names], classes, options)
    files = {split: each for split in SPLITS for each in sorted(path.glob(f"{split}.*")) if each.suffix in _READERS}
    if not {"train", "val"} <= files.keys():
        raise TrainingError(f"data: {path} lacks train.csv or val.csv (or .jsonl). Put them there, or name one file.")
    rows = {split: _read(each, text, label) for split, each in files.items()}
    classes = tuple(sorted(set(rows["train"][1])))
    for split, (_, names) in rows.items():
        if odd := sorted(set(names) - set(classes)):
            raise TrainingError(f"data: {files[split]} has classes that train lacks: {', '.join(odd[:5])}.")
    pairs = {
        split: TextPair(tuple(texts), torch.tensor([classes.index(name) for name in names]))
        for split, (texts, names) in rows.items()
    }
    return TextData("table", pairs["train"], pairs["val"], pairs.get("test"), classes, options)


def _csv(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        for row in reader:
            yield reader.line_num, row


def _jsonl(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with file.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError(f"line {number} is no object")
                yield number, row


_READERS = {".csv": _csv, ".jsonl": _jsonl}


def _read(file: Path, text: str, label: str) -> tuple[list[str], list[str]]:
    if file.suffix not in _READERS:
        raise TrainingError(f"data: {file} is no .csv or .jsonl file.")
    texts, names = [], []
    try:
        for number, row in _READERS[file.suffix](file):
            for column in (text, label):
                if row.get(column) is None:
                    has = ", ".join(str(key) for key in row if key is not None)
                    raise TrainingError(
                        f"data: {file}:{number} has no {column!r}; it has {has}. Name the columns with text and label."
                    )
            texts.append(str(row[text]))
            names.append(str(row[label]))
    except FileNotFoundError as error:
        raise TrainingError(
            f"data: there is no file {file}. Set file to a .csv or .jsonl file, or a folder."
        ) from error
    except (OSError, ValueError, csv.Error) as error:  # UnicodeDecodeError and JSONDecodeError among them
        raise TrainingError(f"data: {file} can't be read: {error}") from error
    if not texts:
        raise TrainingError(f"data: {file} has no rows.")
    return texts, names


def _split(
    name: str, texts: Sequence[str], labels: Sequence[int], classes: tuple[str, ...], options: Mapping[str, Any]
) -> TextData:
    """A dataset whose splits are drawn here, each class by its share."""
    everything = TensorPair(torch.arange(len(texts)), torch.tensor(labels))
    count = max(len(classes), len(texts) // VAL_SHARE)
    rest, test = hold_out(everything, count, name)
    train, val = hold_out(rest, count, name)

    def chosen(part: TensorPair) -> TextPair:
        return TextPair(tuple(texts[int(index)] for index in part.images), part.labels)

    return TextData(name, chosen(train), chosen(val), chosen(test), classes, options)


TEXTS: dict[str, Callable[..., TextData]] = {"docstrings": docstrings, "table": table}

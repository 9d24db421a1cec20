"""The tasks known by name: which files they have, and where the parts of an example stand in each.

A table: `datasets` reads the files. The first layout of a task is that of google-research/bert (2020; imdb by
bert_attn_viz, 2019), else GLUE's or BERT-LRP's (Wu and Ong 2020); where a folder has not that one's file, the other
layouts are tried. BERT-LRP's labels are kept: 0 is negative; in sst3 1 is positive and 2 neutral, in semeval it is the
other way round. BERT-LRP has dev files of SST only; `scripts/prepare_sentiment.py` writes the others.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Literal

Split = Literal["train", "dev", "test"]


@dataclasses.dataclass(frozen=True)
class Columns:
    """One file of a task, and where the parts of an example stand in its rows.

    The columns are either all names, found in the header of a file that pandas or csv wrote, or all positions in raw
    lines, where quotes are text: 0 is the first cell, -1 the last.

    Attributes:
      file: path below the data folder.
      text_b: None where an example is one text.
      label: None where the examples are unlabelled.
      guid: None numbers the rows; the first of the file, header or not, is 0.
      guid_prefix: what guids begin with; None: train, dev or test.
      has_header: whether the first raw line is no example.
      separator: what separates the cells of a raw line, and how often; -1 = wherever it stands.
      language: what the first cell of a raw line must be for the line to count; None: every line does.
      label_values: what the file writes -> label; None: it writes the labels.
      label_ranges: a value of the file -> the closed range of numbers, 0 to 1, that stand for it; a number between
        the ranges is no example.
      width: how many cells the first raw line must have, where that alone tells this layout from another.
    """

    file: str
    text_a: str | int
    text_b: str | int | None = None
    label: str | int | None = None
    guid: str | int | None = None
    guid_prefix: str | None = None
    has_header: bool = True
    separator: tuple[str, int] = ("\t", -1)
    language: str | None = None
    label_values: Mapping[str, str] | None = None
    label_ranges: Mapping[str, tuple[float, float]] | None = None
    width: int | None = None

    def fits(self, folder: pathlib.Path) -> bool:
        """Return whether a folder has this file, as wide as it must be."""
        path = folder / self.file
        if self.width is None or not path.is_file():
            return path.is_file()
        with path.open("rb") as content:
            return content.readline().count(self.separator[0].encode()) == self.width - 1

    def is_example(self, row: Mapping[str | int, str]) -> bool:
        """Return whether a row counts: it is in the language, and no number between the ranges."""
        if self.language is not None and row[0] != self.language:
            return False
        return self.label_ranges is None or self.written_label(row) is not None

    def written_label(self, row: Mapping[str | int, str]) -> str | None:
        """Return the value that stands for the label, a key of `label_values`; None where there is none."""
        value = None if self.label is None else row[self.label]
        if value is None or self.label_ranges is None:
            return value
        try:
            number = float(value)
        except ValueError:
            return value
        if not 0 <= number <= 1:
            return value
        ranges = self.label_ranges.items()
        return next((key for key, (low, high) in ranges if low <= number <= high), None)


@dataclasses.dataclass(frozen=True)
class Task:
    """A row of the table.

    Attributes:
      labels: names of the classes, in class order.
      test: None where the task has no such file.
      layouts: the same task as others lay it out.
    """

    labels: tuple[str, ...]
    train: Columns
    dev: Columns
    test: Columns | None = None
    layouts: tuple["Task", ...] = ()

    def columns(self, split: Split, folder: pathlib.Path) -> Columns | None:
        """Return the first layout of a split that fits a folder; this row's where none does."""
        found = [
            {"train": t.train, "dev": t.dev, "test": t.test}[split] for t in (self, *self.layouts)
        ]
        return next((columns for columns in found if columns and columns.fits(folder)), found[0])


_BINARY, _TERNARY, _FIVE = ("0", "1"), ("0", "1", "2"), ("0", "1", "2", "3", "4")
_ENTAILMENT = ("contradiction", "entailment", "neutral")


def xnli(language: str) -> Task:
    """Return XNLI in one language: training on MultiNLI translated into it, no test file."""
    spelled = {label: label for label in _ENTAILMENT} | {"contradictory": "contradiction"}
    train = f"multinli/multinli.train.{language}.tsv"
    return Task(
        _ENTAILMENT,
        Columns(train, text_a=0, text_b=1, label=2, label_values=spelled),
        Columns("xnli.dev.tsv", text_a=6, text_b=7, label=1, language=language),
    )


def _from_1(labels: tuple[str, ...]) -> Columns:
    """Return columns whose file counts the labels from 1."""
    values = {str(number): label for number, label in enumerate(labels, start=1)}
    return dataclasses.replace(_TEXT, label_values=values)


def _alike(
    labels: tuple[str, ...], file: str, columns: Columns, layouts: tuple[Task, ...] = ()
) -> Task:
    """Return a task whose files differ in name only; `{}` in `file` stands for train, dev and test."""
    train, dev, test = (
        dataclasses.replace(columns, file=file.format(split)) for split in ("train", "dev", "test")
    )
    return Task(labels, train, dev, test, layouts)


_TEXT = Columns("", text_a="text", label="label")
_STSA = Columns("", text_a=1, label=0, has_header=False, separator=(" ", 1))
_FLOATS = dataclasses.replace(
    _TEXT,
    label_values={"0 to 0.2": "0", "0.8 to 1": "1", "0.4 to 0.6": "2"},
    label_ranges={"0 to 0.2": (0.0, 0.2), "0.8 to 1": (0.8, 1.0), "0.4 to 0.6": (0.4, 0.6)},
)
_PAIRS = Columns("dev.tsv", text_a=0, text_b=1, label=2, width=3)
_BERT_LRP_PAIRS = Task(_BINARY, dataclasses.replace(_PAIRS, file="train.tsv"), _PAIRS, _PAIRS)
_ENTAILED = {"entailment": "0", "not_entailment": "1"}  # as Hugging Face numbers them
_TENARY = _alike(_TERNARY, "sst-tenary-{}.tsv", _TEXT)  # BERT-LRP's spelling

TASKS = {
    "imdb": Task(
        _BINARY,
        Columns("train.tsv", text_a="text", label="label", guid="id"),
        Columns("dev.tsv", text_a="text", label="label", guid="id"),
        Columns("test.tsv", text_a="text", label="label", guid="id"),
        layouts=(_alike(_BINARY, "{}_IMDb.csv", _TEXT),),
    ),
    "cola": Task(
        _BINARY,
        Columns("train.tsv", text_a=3, label=1, has_header=False),
        Columns("dev.tsv", text_a=3, label=1, has_header=False),
        Columns("test.tsv", text_a=1),
    ),
    "mrpc": Task(
        _BINARY,
        Columns("train.tsv", text_a=3, text_b=4, label=0, width=5),
        Columns("dev.tsv", text_a=3, text_b=4, label=0, width=5),
        Columns("test.tsv", text_a=3, text_b=4),
        layouts=(_BERT_LRP_PAIRS,),
    ),
    "qnli": Task(
        _BINARY,
        Columns("train.tsv", text_a=1, text_b=2, label=3, guid=0, label_values=_ENTAILED, width=4),
        Columns("dev.tsv", text_a=1, text_b=2, label=3, guid=0, label_values=_ENTAILED, width=4),
        Columns("test.tsv", text_a=1, text_b=2, guid=0),
        layouts=(_BERT_LRP_PAIRS,),
    ),
    "mnli": Task(
        _ENTAILMENT,
        Columns("train.tsv", text_a=8, text_b=9, label=-1, guid=0),
        Columns("dev_matched.tsv", text_a=8, text_b=9, label=-1, guid=0, guid_prefix="dev_matched"),
        Columns("test_matched.tsv", text_a=8, text_b=9, guid=0),
    ),
    "xnli": xnli("zh"),
    "sst2": Task(
        _BINARY,
        Columns("train.tsv", text_a=0, label=1),
        Columns("dev.tsv", text_a=0, label=1),
        Columns("test.tsv", text_a=1, guid=0),
        layouts=(_alike(_BINARY, "stsa.binary.{}", _STSA),),
    ),
    "sst3": dataclasses.replace(
        _TENARY,
        layouts=(
            dataclasses.replace(_TENARY, test=_TENARY.dev),  # BERT-LRP tests on it
            _alike(_TERNARY, "{}_SST.csv", _FLOATS),
        ),
    ),
    "sst5": _alike(_FIVE, "stsa.fine.{}", _STSA),
    "semeval": _alike(_TERNARY, "{}_SemEval.csv", _TEXT),
    "yelp2": _alike(_BINARY, "{}_Yelp2.csv", _from_1(_BINARY)),
    "yelp5": _alike(_FIVE, "{}_Yelp5.csv", _from_1(_FIVE)),
}
"""Task name -> its files and labels."""

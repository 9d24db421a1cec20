"""The tasks known by name: which files they have, and where the parts of an example stand in each.

A table and no code: `datasets` reads the files. Layouts are those that google-research/bert reads (2020, imdb by
bert_attn_viz, 2019); sst2 is GLUE's, sst5 is BERT-LRP's (Wu and Ong 2020).
"""

import dataclasses
from collections.abc import Mapping


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


@dataclasses.dataclass(frozen=True)
class Task:
    """A row of the table.

    Attributes:
      labels: names of the classes, in class order.
      test: None where the task has no such file.
    """

    labels: tuple[str, ...]
    train: Columns
    dev: Columns
    test: Columns | None = None


_BINARY = ("0", "1")
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


TASKS = {
    "imdb": Task(
        _BINARY,
        Columns("train.tsv", text_a="text", label="label", guid="id"),
        Columns("dev.tsv", text_a="text", label="label", guid="id"),
        Columns("test.tsv", text_a="text", label="label", guid="id"),
    ),
    "cola": Task(
        _BINARY,
        Columns("train.tsv", text_a=3, label=1, has_header=False),
        Columns("dev.tsv", text_a=3, label=1, has_header=False),
        Columns("test.tsv", text_a=1),
    ),
    "mrpc": Task(
        _BINARY,
        Columns("train.tsv", text_a=3, text_b=4, label=0),
        Columns("dev.tsv", text_a=3, text_b=4, label=0),
        Columns("test.tsv", text_a=3, text_b=4),
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
    ),
    "sst5": Task(
        ("0", "1", "2", "3", "4"),
        Columns("stsa.fine.train", text_a=1, label=0, has_header=False, separator=(" ", 1)),
        Columns("stsa.fine.dev", text_a=1, label=0, has_header=False, separator=(" ", 1)),
        Columns("stsa.fine.test", text_a=1, label=0, has_header=False, separator=(" ", 1)),
    ),
}
"""Task name -> its files and labels."""

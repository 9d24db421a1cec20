"""Files of labelled texts to examples: a table of tasks, and the class that users subclass for their own.

Errors name file, line and reason. Leaves to others: pieces (`tokenization`), integers (`features`).
"""

import csv
import dataclasses
import difflib
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Literal

from bert import config

Split = Literal["train", "dev", "test"]


@dataclasses.dataclass(frozen=True)
class InputExample:
    """One text or pair of texts, as google-research/bert names it.

    Attributes:
      guid: identifier, unique in its file.
      text_a: the text, or the first of a pair.
      text_b: the second of a pair.
      label: name of the class; None for unlabelled examples.
    """

    guid: str
    text_a: str
    text_b: str | None = None
    label: str | None = None


class PaddingInputExample:
    """Fills the last batch of an evaluation on a TPU; left out of every metric."""


class DataProcessor:
    """Reads the examples of a task; subclass it for your own files.

    A subclass gives `get_labels` and the `get_*_examples` of the splits it has; `--processor package.module:Class`
    then trains and predicts with it.
    """

    def get_train_examples(self, data_dir: str) -> list[InputExample]:
        """Return the training examples."""
        raise NotImplementedError(f"{type(self).__name__} must define get_train_examples to train")

    def get_dev_examples(self, data_dir: str) -> list[InputExample]:
        """Return the examples to evaluate on."""
        raise NotImplementedError(f"{type(self).__name__} must define get_dev_examples to evaluate")

    def get_test_examples(self, data_dir: str) -> list[InputExample]:
        """Return the examples to predict."""
        raise NotImplementedError(f"{type(self).__name__} must define get_test_examples to predict")

    def get_labels(self) -> list[str]:
        """Return the names of the classes; their order is the order of the class indices."""
        raise NotImplementedError(f"{type(self).__name__} must define get_labels")

    @classmethod
    def _read_tsv(
        cls, input_file: str | os.PathLike[str], quotechar: str | None = None
    ) -> list[list[str]]:
        """Read a tab-separated file into rows of cells; `quotechar` None leaves quotes as they are."""
        return [cells for _, cells in read_rows(input_file, quotechar)]


def read_rows(
    path: str | os.PathLike[str], quotechar: str | None = None
) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of each row of a tab-separated UTF-8 file; blank lines and a BOM are skipped.

    Args:
      quotechar: `"` undoes the quoting of pandas and the csv module, so that cells may hold tabs, newlines and
        quotes; None reads every character as it stands.

    Raises:
      FileNotFoundError: the file is not there.
      ValueError: not UTF-8, or a quote that never closes; the message names file and line.
    """
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(
            f"{path} must be a tab-separated file, but there is none; check --data_dir"
        )
    line = 1
    limit = csv.field_size_limit(sys.maxsize)  # the csv module's own is 131,072 characters
    with open(path, encoding="utf-8-sig", newline="") as file:
        if quotechar is None:
            reader = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        else:
            reader = csv.reader(file, delimiter="\t", quotechar=quotechar, strict=True)
        try:
            for cells in reader:
                if cells:
                    yield line, cells
                line = reader.line_num + 1
        except csv.Error as error:
            raise ValueError(
                f"{path}:{line}: must be a row whose cells, where they begin with a quote, end with one and double "
                f"those inside; got a row the csv reader refuses ({error}); write the file with pandas or csv"
            ) from None
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path}:{line}: must be UTF-8 text from here on, got byte {error.object[error.start]:#04x}; convert "
                "the file"
            ) from None
        finally:
            csv.field_size_limit(limit)


@dataclasses.dataclass(frozen=True)
class Columns:
    """Layout of a task's files: where each cell of an example stands.

    Attributes:
      labels: names of the classes, in class order.
      text_a, text_b, label, guid: column names, found in the header.
      quotechar: `"` for files written by pandas or csv, None for raw ones.
    """

    labels: tuple[str, ...]
    text_a: str
    label: str
    guid: str
    text_b: str | None = None
    quotechar: str | None = '"'

    def read(self, path: str | os.PathLike[str], split: Split) -> Iterator[InputExample]:
        """Yield the examples of one file.

        Raises:
          ValueError: a missing column, a short row, or an unknown label; the message names file and line.
        """
        rows = read_rows(path, self.quotechar)
        header_line, header = next(rows, (1, []))
        wanted = [self.guid, self.label, self.text_a] + ([self.text_b] if self.text_b else [])
        missing = [name for name in wanted if name not in header]
        if missing:
            raise ValueError(
                f"{path}:{header_line}: the first row must be a header with the columns {', '.join(wanted)}; "
                f"{', '.join(missing)} not found in {header!r}"
            )
        for line, cells in rows:
            if len(cells) != len(header):
                raise ValueError(
                    f"{path}:{line}: a row must have {len(header)} tab-separated cells ({', '.join(header)}), got "
                    f"{len(cells)}; tabs and newlines inside a text need the text in double quotes"
                )
            yield self._example(f"{path}:{line}", dict(zip(header, cells, strict=True)), split)

    def _example(self, where: str, row: dict[str, str], split: Split) -> InputExample:
        if row[self.label] not in self.labels:
            legal = ", ".join(repr(label) for label in self.labels)
            raise ValueError(
                f"{where}: label must be one of {legal}; got {row[self.label]!r}; correct the row"
            )
        return InputExample(
            guid=f"{split}-{row[self.guid]}",
            text_a=row[self.text_a],
            text_b=row[self.text_b] if self.text_b else None,
            label=row[self.label],
        )


class ColumnProcessor(DataProcessor):
    """Reads train.tsv, dev.tsv and test.tsv by a row of the task table."""

    columns: Columns

    def get_train_examples(self, data_dir: str) -> list[InputExample]:
        """Return the examples of train.tsv."""
        return self._read(data_dir, "train")

    def get_dev_examples(self, data_dir: str) -> list[InputExample]:
        """Return the examples of dev.tsv."""
        return self._read(data_dir, "dev")

    def get_test_examples(self, data_dir: str) -> list[InputExample]:
        """Return the examples of test.tsv, with their real labels."""
        return self._read(data_dir, "test")

    def get_labels(self) -> list[str]:
        """Return the names of the classes in class order."""
        return list(self.columns.labels)

    def _read(self, data_dir: str, split: Split) -> list[InputExample]:
        path = pathlib.Path(data_dir) / f"{split}.tsv"
        examples = list(self.columns.read(path, split))
        if not examples:
            raise ValueError(f"{path} must hold at least one example below its header, got none")
        return examples


class ImdbProcessor(ColumnProcessor):
    """IMDb reviews: header `id label text`, label 1 = positive; `scripts/prepare_imdb.py` writes the files."""

    columns = Columns(labels=("0", "1"), guid="id", label="label", text_a="text")


TASKS: dict[str, type[DataProcessor]] = {"imdb": ImdbProcessor}
"""Task name -> processor."""


def find_processor(task_name: str | None, processor: str | None = None) -> DataProcessor:
    """Return the processor of a task, or an instance of the class `processor` names as package.module:Class.

    Raises:
      ValueError: the task is unknown, or `processor` names no DataProcessor.
    """
    if processor is not None:
        return _import_processor(processor)
    name = (task_name or "").lower()
    if name not in TASKS:
        near = difflib.get_close_matches(name, TASKS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "use --processor for a class of your own"
        legal = ", ".join(sorted(TASKS))
        raise ValueError(f"task_name must be one of {legal}; got {task_name!r}; {hint}")
    return TASKS[name]()


def _import_processor(path: str) -> DataProcessor:
    found = config.import_object(path, "processor")
    if not (isinstance(found, type) and issubclass(found, DataProcessor)):
        raise ValueError(
            f"processor must be a subclass of bert.datasets.DataProcessor, got {path!r}"
        )
    return found()

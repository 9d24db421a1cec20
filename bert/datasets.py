"""Files to examples: of the known tasks, of the user's own, and the class that users subclass for the rest.

Errors name file, line and reason. Leaves to others: rows (`tables`), layouts (`tasks`), integers (`features`).
"""

import dataclasses
import difflib
import functools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from bert import config
from bert import files as files_lib
from bert import options as options_lib
from bert import tables
from bert import tasks

Split = tasks.Split

MAX_LABELS = 1000  # a column with more different values is hardly one of labels


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
    def _read_tsv(cls, input_file: files_lib.Path, quotechar: str | None = None) -> list[list[str]]:
        """Read a tab-separated file into rows of cells; `quotechar` None leaves quotes as they are."""
        return [cells for _, cells in tables.read_rows(input_file, quotechar)]


class SplitProcessor(DataProcessor):
    """A processor that reads every split in the same way."""

    def stream(self, data_dir: files_lib.Path, split: Split) -> Iterator[InputExample]:
        """Yield the examples of a split as they are read."""
        raise NotImplementedError

    def read(self, data_dir: files_lib.Path, split: Split) -> list[InputExample]:
        """Return the examples of a split."""
        return list(self.stream(data_dir, split))

    def get_train_examples(self, data_dir: str) -> list[InputExample]:
        """Return the training examples."""
        return self.read(data_dir, "train")

    def get_dev_examples(self, data_dir: str) -> list[InputExample]:
        """Return the examples to evaluate on."""
        return self.read(data_dir, "dev")

    def get_test_examples(self, data_dir: str) -> list[InputExample]:
        """Return the examples to predict, with labels where the file has them."""
        return self.read(data_dir, "test")


class TaskProcessor(SplitProcessor):
    """Reads the files of a known task."""

    def __init__(self, task: tasks.Task) -> None:
        self.task = task

    def get_labels(self) -> list[str]:
        """Return the names of the classes in class order."""
        return list(self.task.labels)

    def stream(self, data_dir: files_lib.Path, split: Split) -> Iterator[InputExample]:
        """Yield the examples of a split as they are read.

        Raises:
          FileNotFoundError: the file is not there.
          NotImplementedError: the task has no such file.
          ValueError: a row or label that the task cannot have; the message names file and line.
        """
        columns = self.task.columns(split, pathlib.Path(data_dir))
        if columns is None:
            raise NotImplementedError(
                f"the task must have a {split} file, but google-research/bert names none; give a file of your own "
                f"with --{split}_file"
            )
        path = pathlib.Path(data_dir) / columns.file
        return _at_least_one(path, _task_examples(path, columns, split, self.task.labels))


def _task_examples(
    path: pathlib.Path, columns: tasks.Columns, split: Split, labels: Iterable[str]
) -> Iterator[InputExample]:
    label_values = columns.label_values or {label: label for label in labels}
    for number, (line, row) in enumerate(_task_rows(path, columns), int(columns.has_header)):
        if not columns.is_example(row):
            continue
        value = columns.written_label(row)
        name = number if columns.guid is None else row[columns.guid]
        yield InputExample(
            guid=f"{columns.guid_prefix or split}-{name}",
            text_a=row[columns.text_a],
            text_b=None if columns.text_b is None else row[columns.text_b],
            label=None if value is None else _label_of(value, label_values, f"{path}:{line}"),
        )


def _task_rows(path: pathlib.Path, columns: tasks.Columns) -> Iterator[tuple[int, tables.Row]]:
    used = (columns.guid, columns.label, columns.text_a, columns.text_b)
    if names := [column for column in used if isinstance(column, str)]:
        return tables.read_table(path, dict.fromkeys(names, ""))
    positions = [column for column in used if isinstance(column, int)]
    return tables.read_positions(
        path, positions, has_header=columns.has_header, separator=columns.separator
    )


def _label_of(
    value: str, label_values: Mapping[str, str], where: str, advice: str = "correct the row"
) -> str:
    if value not in label_values:
        legal = ", ".join(repr(value) for value in label_values)
        raise ValueError(f"{where}: label must be one of {legal}; got {value!r:.80}; {advice}")
    return label_values[value]


def _at_least_one(path: files_lib.Path, found: Iterator[InputExample]) -> Iterator[InputExample]:
    first = next(found, None)
    if first is None:
        raise ValueError(f"{path} must hold at least one example, got none; check the file")
    yield first
    yield from found


def test_examples(processor: DataProcessor, data_dir: str) -> Callable[[], Iterable[InputExample]]:
    """Return what gives the test examples, anew at each call: read again where the processor can stream them."""
    if isinstance(processor, SplitProcessor):
        return functools.partial(processor.stream, data_dir, "test")
    examples = processor.get_test_examples(data_dir)
    return lambda: examples


class ImdbProcessor(TaskProcessor):
    """IMDb reviews: header `id label text`, label 1 = positive; `scripts/prepare_imdb.py` writes the files."""

    def __init__(self) -> None:
        super().__init__(tasks.TASKS["imdb"])


class ColaProcessor(TaskProcessor):
    """CoLA of GLUE: label 1 = an acceptable sentence."""

    def __init__(self) -> None:
        super().__init__(tasks.TASKS["cola"])


class MrpcProcessor(TaskProcessor):
    """MRPC of GLUE: label 1 = two sentences that mean the same."""

    def __init__(self) -> None:
        super().__init__(tasks.TASKS["mrpc"])


class MnliProcessor(TaskProcessor):
    """MultiNLI of GLUE, with its matched dev and test files."""

    def __init__(self) -> None:
        super().__init__(tasks.TASKS["mnli"])


class XnliProcessor(TaskProcessor):
    """XNLI in one language, Chinese unless said otherwise."""

    def __init__(self, language: str = "zh") -> None:
        super().__init__(tasks.xnli(language))


@dataclasses.dataclass(frozen=True)
class FileProcessor(SplitProcessor):
    """Reads the user's own files, `options.train_file` and so on, by the names of their columns.

    A guid is the row's cell `guid` or `id`, else split and line number. A test file may lack the label column or
    leave cells of it empty: those examples are unlabelled.

    Attributes:
      labels: a trained model's, in class order; () where there is none.
    """

    options: options_lib.DataConfig
    labels: Sequence[str] = ()

    def get_labels(self) -> list[str]:
        """Return the names of the classes in class order.

        They come from `label_map`, else from the training file, else from `labels`. The order is that of `labels` if
        it holds the same ones; else numeric for integers; else that of the map or, from the training file, Unicode's.

        Raises:
          FileNotFoundError: the training file is not there.
          ValueError: fewer than 2 labels, or a training file that says none.
        """
        found = list(dict.fromkeys(self._label_values.values()))
        if len(found) < 2:
            raise ValueError(
                f"there must be at least 2 labels to tell apart, got {found}; give them with --train_file and "
                "--label_column, with --label_map, or with a trained model's --output_dir"
            )
        if set(found) == set(self.labels):
            return list(self.labels)
        if all(label.removeprefix("-").isdecimal() for label in found):
            return sorted(found, key=lambda label: (int(label), label))
        return found if self.options.label_map is not None else sorted(found)

    def stream(self, data_dir: files_lib.Path, split: Split) -> Iterator[InputExample]:
        """Yield the examples of a split's file as they are read; `data_dir` is not looked at.

        Raises:
          FileNotFoundError: the file is not there.
          ValueError: no such file is given, a missing column, or an unknown label; the message names file and line.
        """
        path: str | None = getattr(self.options, f"{split}_file")
        if path is None:
            raise ValueError(
                f"{split}_file must be given to read the {split} set, got none; add --{split}_file"
            )
        return _at_least_one(path, self.examples(path, split, self.options.label_column))

    def examples(self, path: str, split: Split, label_column: str | None) -> Iterator[InputExample]:
        """Yield a file's examples as they are read, so that memory does not grow with it; None: without labels."""
        options = self.options
        required = {options.text_column: "--text_column"}
        if options.text_b_column is not None:
            required[options.text_b_column] = "--text_b_column"
        if label_column is not None and split != "test":
            required[label_column] = "--label_column"
        advice = "correct the row, or give the value a label with --label_map"
        for line, row in tables.read_table(path, required):
            value = "" if label_column is None else row.get(label_column, "")
            label = None
            if value or label_column in required:
                label = _label_of(value, self._label_values, f"{path}:{line}", advice)
            yield InputExample(
                guid=row.get("guid") or row.get("id") or f"{split}-{line}",
                text_a=row[options.text_column],
                text_b=None if options.text_b_column is None else row[options.text_b_column],
                label=label,
            )

    @functools.cached_property
    def _label_values(self) -> dict[str, str]:
        """What the label column writes -> label."""
        if self.options.label_map is not None:
            return config.parse_label_map(self.options.label_map)
        path, column = self.options.train_file, self.options.label_column
        values = self.labels if path is None else _distinct(path, column)
        return {value: value for value in values}


def _distinct(path: str, label_column: str) -> set[str]:
    values = set()
    for line, row in tables.read_table(path, {label_column: "--label_column"}):
        values.add(row[label_column])
        if not row[label_column]:
            raise ValueError(f"{path}:{line}: label must not be empty; label or remove the row")
        if len(values) > MAX_LABELS:
            raise ValueError(
                f"{path}:{line}: the label column must hold at most {MAX_LABELS} different labels, got more in "
                f"{label_column!r}; is this the label column? name yours with --label_column"
            )
    return values


def find_processor(
    options: options_lib.DataConfig, known_labels: Sequence[str] = ()
) -> DataProcessor:
    """Return what reads the examples: the user's class, else the user's files, else a task's.

    Args:
      known_labels: a trained model's, in class order; the user's files may not tell them.

    Raises:
      ValueError: the task is unknown, or `processor` names no DataProcessor.
    """
    if options.processor is not None:
        return _import_processor(options.processor)
    if options.train_file or options.dev_file or options.test_file:
        return FileProcessor(options, known_labels)
    name = (options.task_name or "").lower()
    if name not in tasks.TASKS:
        near = difflib.get_close_matches(name, tasks.TASKS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "give files of your own with --train_file"
        legal = ", ".join(sorted(tasks.TASKS))
        raise ValueError(f"task_name must be one of {legal}; got {options.task_name!r}; {hint}")
    return TaskProcessor(tasks.TASKS[name])


def _import_processor(path: str) -> DataProcessor:
    found = config.import_object(path, "processor")
    if not (isinstance(found, type) and issubclass(found, DataProcessor)):
        raise ValueError(
            f"processor must be a subclass of bert.datasets.DataProcessor, got {path!r}"
        )
    return found()

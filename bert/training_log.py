"""The log of a training: a table for people and pandas, and what an interrupted run goes on from.

Tab-separated, with a header; a row every few steps with the loss, and one an evaluation with the dev set's figures.
Leaves to others: when to write one (`training`).
"""

import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bert import files

FILE = "log.txt"  # BERT-LRP's name for it
_MEASURES = ("loss", "accuracy", "f1")
_LAST = {"validation": "eval_results.txt", "test": "test_eval_results.txt"}


class Row(NamedTuple):
    """One line; None is an empty cell.

    Attributes:
      step: training steps done.
      epoch: passes over the training set done.
      loss: of the step's batch.
      learning_rate: of the step.
      dev_accuracy, dev_f1, dev_loss: of an evaluation on the dev set after the step.
    """

    step: int
    epoch: float
    loss: float | None = None
    learning_rate: float | None = None
    dev_accuracy: float | None = None
    dev_f1: float | None = None
    dev_loss: float | None = None


def read(model_dir: files.Path) -> list[Row]:
    """Return the rows of a folder's log; none where it has no log.

    Raises:
      ValueError: the file is no log of this form.
    """
    path = pathlib.Path(model_dir) / FILE
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")  # what is no UTF-8 is no number
    whole = text[: text.rfind("\n") + 1]  # a run that was killed may have left half a line
    lines = [line.split("\t") for line in whole.splitlines()]
    if not lines or tuple(lines[0]) != Row._fields:
        raise ValueError(f"{path}:1: must be {' '.join(Row._fields)}; correct the line")
    return [_row(f"{path}:{number}", cells) for number, cells in enumerate(lines[1:], start=2)]


def _row(where: str, cells: Sequence[str]) -> Row:
    try:
        step, epoch, *figures = cells
        numbers = [float(cell) if cell else None for cell in figures]
        if len(cells) == len(Row._fields):
            return Row(int(step), float(epoch), *numbers)
    except ValueError:
        pass
    raise ValueError(
        f"{where}: must hold {len(Row._fields)} numbers, got {list(cells)!r}; correct the line"
    )


def start(model_dir: files.Path, done: int) -> list[Row]:
    """Begin or go on with a folder's log: rows after step `done` go, for they will come again; the others return."""
    rows = [row for row in read(model_dir) if row.step <= done]
    lines = ["\t".join(Row._fields) + "\n", *map(_line, rows)]
    files.write_text(pathlib.Path(model_dir) / FILE, "".join(lines))
    return rows


def append(model_dir: files.Path, row: Row) -> None:
    """Write one row."""
    path = pathlib.Path(model_dir) / FILE
    with files.naming(path), open(path, "a", encoding="utf-8", newline="") as file:
        file.write(_line(row))


def as_logged(row: Row) -> Row:
    """Return a row as it will be read again: with six digits, so that what is best does not change by that."""
    return _row(FILE, _line(row).rstrip("\n").split("\t"))


def _line(row: Row) -> str:
    cells = ["" if value is None else f"{value:.6g}" for value in row[1:]]
    return "\t".join([str(row.step), *cells]) + "\n"


def best(rows: Iterable[Row], metric: str) -> tuple[int | None, int]:
    """Return the step of the best evaluation, and how many came after it; the first of equals is the best.

    Args:
      metric: accuracy, f1 or loss; of a loss the smallest is the best.
    """
    sign = -1.0 if metric == "loss" else 1.0
    values = [(row.step, getattr(row, f"dev_{metric}")) for row in rows]
    evaluations = [(step, sign * value) for step, value in values if value is not None]
    if not evaluations:
        return None, 0
    index = max(range(len(evaluations)), key=lambda i: evaluations[i][1])
    return evaluations[index][0], len(evaluations) - 1 - index


def curves(model_dir: files.Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Return (step, value) of what a folder tells of its training, by measure and data set, steps in order.

    `train` is the loss of logged batches; `validation` the evaluations on the dev set; of `test`, and of a dev set that
    was read at the end only, there is the last evaluation.

    Raises:
      ValueError: a file is not of its form.
    """
    found: dict[str, dict[str, dict[int, float]]] = {
        measure: {name: {} for name in ("train", *_LAST)} for measure in _MEASURES
    }
    for name, file in _LAST.items():
        step, results = _results(pathlib.Path(model_dir) / file)
        for measure in _MEASURES:
            if (value := results.get(f"eval_{measure}")) is not None:
                found[measure][name][step] = value
    for row in read(model_dir):  # last, so that an evaluation in both counts once
        if row.loss is not None:
            found["loss"]["train"][row.step] = row.loss
        for measure in _MEASURES:
            if (value := getattr(row, f"dev_{measure}")) is not None:
                found[measure]["validation"][row.step] = value
    return {
        measure: {name: sorted(points.items()) for name, points in of_sets.items()}
        for measure, of_sets in found.items()
    }


def _results(path: pathlib.Path) -> tuple[int, dict[str, float]]:
    """Return the step of an evaluation and its figures by name; 0 and none where there was no evaluation."""
    if not path.is_file():
        return 0, {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        found = {name: float(value) for name, value in (line.split(" = ") for line in lines)}
        return int(found["global_step"]), found
    except (KeyError, OverflowError, ValueError):  # no step; an endless one; no number, no text
        raise ValueError(
            f"{path}: must hold lines as eval_accuracy = 0.9 and global_step = 100; evaluate again"
        ) from None


def losses_by_rate(rows: Iterable[Row]) -> list[tuple[float, float]]:
    """Return (learning rate, loss) of every logged training step, in order."""
    pairs = ((row.learning_rate, row.loss) for row in rows)
    return [(rate, loss) for rate, loss in pairs if rate is not None and loss is not None]

"""Rows in, records out: one warm model, asked for some hundred texts at a time; a text that it refuses is a fault.

Leaves to others: rows (`bulk_rows`), files (`bulk_shards`), the records themselves (`explainer`).
"""

import dataclasses
import itertools
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from bert import model_folder
from explain import bulk_rows
from explain import explainer as explainer_lib
from explain import explanation
from explain import methods as methods_lib
from explain import model
from explain import targets

_TEXTS_AT_ONCE = 256  # enough that texts of like length share batches
_CHARACTERS_AT_ONCE = 2**22  # so that memory is bounded however long the texts are


class Question(NamedTuple):
    """What is asked about every text; see `model.load_explainer`.

    Attributes:
      methods: none: probabilities alone.
    """

    model_dir: str
    methods: tuple[str, ...] = ()
    target: str = "predicted"
    long_text: explainer_lib.LongText = "cut"


class Prediction(NamedTuple):
    """What the model answers to one text; the fields are those of an `explanation.Explanation`.

    Attributes:
      probabilities: float32[c].
    """

    guid: str
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    predicted: str
    gold: str | None


Record: TypeAlias = explanation.Explanation | Prediction
Answer: TypeAlias = Sequence[Record] | bulk_rows.Fault


def check(question: Question, *, has_labels: bool) -> model_folder.Parts:
    """Refuse what no text could be asked, before anything heavy; return the model's parts.

    Raises:
      FileNotFoundError: the folder holds no trained classifier.
      ValueError: an unknown method or target, or one that needs true labels where there are none.
    """
    parts = model_folder.load(question.model_dir)
    methods_lib.bind(question.methods)
    some_class = -2 if has_labels else None  # neither a class nor -1, the predicted one
    targets.Targets(parts.labels).pairs(question.target, some_class, -1)
    return parts


class Answers:
    """A warm model; whoever asks from several threads takes turns."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._explainer = model.load_explainer(
            question.model_dir, question.methods, long_text=question.long_text
        )
        self._targets = targets.Targets(self._explainer.labels)
        self._turn = threading.Lock()

    def of(self, found: Iterable[bulk_rows.Row | bulk_rows.Fault]) -> Iterator[list[Answer]]:
        """Yield the records of each row, or why there are none, in the order of the rows and some hundred at a time."""
        for batch in _batches(map(self._with_known_label, found)):
            answers = iter(self._ask([item for item in batch if isinstance(item, bulk_rows.Row)]))
            yield [item if isinstance(item, bulk_rows.Fault) else next(answers) for item in batch]

    def _with_known_label(
        self, item: bulk_rows.Row | bulk_rows.Fault
    ) -> bulk_rows.Row | bulk_rows.Fault:
        if isinstance(item, bulk_rows.Row) and item.label is not None:
            try:
                self._targets.class_of(item.label)
            except ValueError as error:
                return bulk_rows.Fault(item.line, str(error))
        return item

    def _ask(self, rows: Sequence[bulk_rows.Row]) -> list[Answer]:
        """Answer rows together or, where one of them is refused, each alone."""
        if not rows:
            return []
        try:
            with self._turn:
                return [
                    *(self._explained(rows) if self._question.methods else self._predicted(rows))
                ]
        except ValueError as error:
            if len(rows) == 1:
                return [bulk_rows.Fault(rows[0].line, str(error))]
        return [answer for row in rows for answer in self._ask([row])]

    def _explained(
        self, rows: Sequence[bulk_rows.Row]
    ) -> Iterator[Sequence[explanation.Explanation]]:
        texts, labels = [row.text for row in rows], [row.label for row in rows]
        records = self._explainer(texts, self._question.target, labels=labels)
        of_texts = itertools.groupby(records, key=lambda record: record.guid)
        for row, (_, of_text) in zip(rows, of_texts, strict=True):
            yield [dataclasses.replace(record, guid=row.guid) for record in of_text]

    def _predicted(self, rows: Sequence[bulk_rows.Row]) -> Iterator[Sequence[Prediction]]:
        labels = tuple(self._explainer.labels)
        golds = self._targets.gold([row.label for row in rows], len(rows))
        found = self._explainer.probabilities([row.text for row in rows])
        for row, gold, probabilities in zip(rows, golds, found, strict=True):
            texts = (row.text,) if isinstance(row.text, str) else row.text
            predicted = labels[int(np.argmax(probabilities))]
            told = None if gold is None else labels[gold]
            yield [Prediction(row.guid, texts, labels, probabilities, predicted, told)]


def _batches(
    found: Iterable[bulk_rows.Row | bulk_rows.Fault],
) -> Iterator[list[bulk_rows.Row | bulk_rows.Fault]]:
    batch: list[bulk_rows.Row | bulk_rows.Fault] = []
    characters = 0
    for item in found:
        batch.append(item)
        if isinstance(item, bulk_rows.Row):
            characters += sum(map(len, (item.text,) if isinstance(item.text, str) else item.text))
        if len(batch) == _TEXTS_AT_ONCE or characters > _CHARACTERS_AT_ONCE:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch

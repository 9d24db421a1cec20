"""Texts of any number of data files, in parts that workers read apart; a bad row is a fault and ends nothing.

Only the columns that are used have to be in order. Leaves to others: how files are laid out (`bulk_records`), what is
made of the rows (`bulk_shards`).
"""

import collections
import gzip
import itertools
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from explain import bulk_records
from explain import explainer

TEXT_COLUMNS = ("text", "sentence", "review")
ALL = -1
"""The records of a part that is a whole file: of packed ones and TFRecords, where no row is found by its bytes."""

_GUIDS = ("guid", "id")
_BROKEN_GZIP = (gzip.BadGzipFile, EOFError, zlib.error)


class Columns(NamedTuple):
    """Which columns are read.

    Attributes:
      text: names of the text's column; the first that a file, or a row of JSON lines, has.
      text_b: of the second text, for pairs; TFRecords have it under that name, where it is not said.
      label: of the true label; a row whose cell is empty or missing has none.
    """

    text: tuple[str, ...] = TEXT_COLUMNS
    text_b: str | None = None
    label: str | None = None


class Part(NamedTuple):
    """Some of a file's rows, one after the other.

    Attributes:
      offset: bytes before the first of them.
      line: number of its first line; of TFRecords, which have no lines, its own.
      records: how many, blank lines and bad rows included, or `ALL`.
    """

    path: str
    offset: int
    line: int
    records: int


class Row(NamedTuple):
    """A text or pair to be explained."""

    line: int
    guid: str
    text: explainer.Text
    label: str | None = None


class Fault(NamedTuple):
    """A row that cannot be explained."""

    line: int
    reason: str


def check(path: str, columns: Columns) -> None:
    """Refuse a file of which no row could be read.

    Raises:
      OSError: it is not there, or cannot be opened.
      ValueError: another suffix; a header that repeats or lacks a column, or is none; packed, but no gzip file.
    """
    suffix = bulk_records.suffix_of(path)
    if suffix not in bulk_records.SUFFIXES:
        raise ValueError(
            f"{path} must end in one of {', '.join(bulk_records.SUFFIXES)}, or in one of these and .gz, got "
            f"{suffix!r}; rename or convert the file"
        )
    try:
        with bulk_records.opened(path) as file:
            start = bulk_records.start_of(file, suffix)
    except _BROKEN_GZIP as error:
        raise ValueError(f"{path}:1: must be a whole gzip file, got {error}") from None
    if start.reason:
        raise ValueError(f"{path}:{start.line}: {start.reason}")
    if suffix not in bulk_records.SEPARATORS:
        return
    counts = collections.Counter(start.header)
    if repeated := [name for name, count in counts.items() if count > 1]:
        raise ValueError(
            f"{path}:1: the first row must name every column once, got {repeated[0]!r:.80} more than once; rename or "
            "remove one"
        )
    options = {columns.text: "--text_column"}
    options |= {(columns.text_b,): "--text_b_column"} if columns.text_b else {}
    options |= {(columns.label,): "--labels"} if columns.label else {}
    for names, option in options.items():
        if counts.keys().isdisjoint(names):
            raise ValueError(f"{path}:1: {_lacks(names, counts)}; name yours with {option}")


def parts(path: str, records: int) -> Iterator[Part]:
    """Yield the parts of a file, of so many records each; the last may have fewer."""
    suffix = bulk_records.suffix_of(path)
    if bulk_records.is_packed(path) or suffix in bulk_records.TFRECORDS:
        yield Part(path, 0, 1, ALL)
        return
    with bulk_records.opened(path) as file:
        start = bulk_records.start_of(file, suffix)
        places = ((found.line, found.size) for found in bulk_records.read(file, suffix, start))
        offset = start.offset
        while part := list(itertools.islice(places, records)):
            yield Part(path, offset, part[0][0], len(part))
            offset += sum(size for _, size in part)


def read(part: Part, columns: Columns) -> Iterator[Row | Fault]:
    """Yield the rows of a part, each in its place; blank lines are left out."""
    is_tfrecord = bulk_records.suffix_of(part.path) in bulk_records.TFRECORDS
    found = bulk_records.read_tfrecords(part.path) if is_tfrecord else _table(part)
    for record in found:
        if record.cells is None:
            if record.reason:
                yield Fault(record.line, record.reason)
            continue
        asked = columns
        if is_tfrecord and columns.text_b is None and "text_b" in record.cells:
            asked = columns._replace(text_b="text_b")
        try:
            yield _row(record.line, record.cells, part.path, asked)
        except ValueError as error:
            yield Fault(record.line, str(error))


def _table(part: Part) -> Iterator[bulk_records.Record]:
    suffix = bulk_records.suffix_of(part.path)
    with bulk_records.opened(part.path) as file:
        start = bulk_records.start_of(file, suffix)
        count = None
        if part.records != ALL:
            count, start = part.records, start._replace(offset=part.offset, line=part.line)
        line = start.line
        try:
            for record in itertools.islice(bulk_records.read(file, suffix, start), count):
                yield record
                line = record.line + 1
        except _BROKEN_GZIP as error:
            reason = f"must go on as a whole gzip file, got {error}; copy the file again"
            yield bulk_records.Record(line, 0, None, reason)


def _row(line: int, cells: Mapping[str, object], path: str, columns: Columns) -> Row:
    text = _first(cells, columns.text)
    pair = None if columns.text_b is None else _first(cells, (columns.text_b,))
    labels = [columns.label] if columns.label and cells.get(columns.label) else []
    guids = [name for name in _GUIDS if cells.get(name)]
    return Row(
        line,
        _first(cells, guids) if guids else f"{path}:{line}",
        text if pair is None else (text, pair),
        _first(cells, labels) if labels else None,
    )


def _first(cells: Mapping[str, object], names: Iterable[str]) -> str:
    for name in names:
        if name in cells:
            return bulk_records.text_of(cells, name)
    raise ValueError(_lacks(names, cells))


def _lacks(names: Iterable[str], found: Collection[str]) -> str:
    wanted = " or ".join(map(repr, names))
    told = ", ".join(map(repr, found)) or "none"
    return f"must have a column named {wanted}, found {told:.200}"

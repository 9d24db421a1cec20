"""Records of data files as they stand, each with its place: separated rows, JSON lines, TFRecords.

Separated files with a header and JSON lines mean what they mean to `bert.tables`, but a record that is wrong says why
and the next one follows. Each kind may be packed as .gz. Leaves to others: what the cells mean (`bulk_rows`).
"""

import collections
import csv
import gzip
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeAlias

import tensorflow as tf
from google.protobuf import message

from bert import tables

File: TypeAlias = gzip.GzipFile | io.BufferedReader
SEPARATORS = {".tsv": "\t", ".csv": ","}
TFRECORDS = (".tfrecord", ".tfrecords", ".tf_record")
SUFFIXES = (*SEPARATORS, ".jsonl", *TFRECORDS)

_TFRECORD_FRAME = 16  # bytes of length and checksums around each record
_LONGEST_QUOTED = 2**24  # bytes of one row; a quote that is open for longer never closes
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Record(NamedTuple):
    """A row as it stands.

    Attributes:
      line: its first line; of TFRecords, which have no lines, its own number.
      size: its bytes in the file.
      cells: by name; None where there is a `reason` for having none, or of a blank line.
    """

    line: int
    size: int
    cells: Mapping[str, object] | None
    reason: str = ""


class Start(NamedTuple):
    """Where the rows of a file begin, and the names of its columns where it has a header."""

    offset: int
    line: int
    header: list[str]
    reason: str = ""


def suffix_of(path: str) -> str:
    """Return what a file's name ends in, less .gz."""
    return os.path.splitext(path.lower().removesuffix(".gz"))[1]


def is_packed(path: str) -> bool:
    """Tell whether a file is gzip's, by its name."""
    return path.lower().endswith(".gz")


def opened(path: str) -> File:
    """Open a file for its bytes, unpacked."""
    return gzip.open(path) if is_packed(path) else open(path, "rb")


def start_of(file: File, suffix: str) -> Start:
    """Find where the rows of an opened file begin."""
    offset = len(_BYTE_ORDER_MARK) if file.read(3) == _BYTE_ORDER_MARK else 0
    file.seek(offset)
    if suffix not in SEPARATORS:
        return Start(offset, 1, [])
    line = 1
    for cells, size, lines, reason in _quoted(file, SEPARATORS[suffix]):
        if reason:
            return Start(offset, line, [], reason)
        if cells:
            try:
                names = [decoded(cell.encode("latin-1"), "the header") for cell in cells]
            except ValueError as error:
                return Start(offset, line, [], str(error))
            return Start(offset + size, line + lines, names)
        offset, line = offset + size, line + lines
    return Start(offset, line, [], "the first row must name the columns, got an empty file")


def read(file: File, suffix: str, start: Start) -> Iterator[Record]:
    """Yield the records of an opened file from a start on, blank lines too."""
    file.seek(start.offset)
    if suffix not in SEPARATORS:
        for number, raw in enumerate(file, start.line):
            yield _json_record(number, raw)
        return
    line, header = start.line, start.header
    for cells, size, lines, reason in _quoted(file, SEPARATORS[suffix]):
        if cells and len(cells) != len(header):
            names = ", ".join(map(repr, header))
            reason = (
                f"must have {len(header)} cells ({names:.200}), got {len(cells)}; tabs, commas and newlines inside a "
                "text need the text in double quotes"
            )
        if reason or not cells:
            yield Record(line, size, None, reason)
        else:
            values = (cell.encode("latin-1") for cell in cells)
            yield Record(line, size, dict(zip(header, values, strict=True)))
        line += lines


def read_tfrecords(path: str) -> Iterator[Record]:
    """Yield the features of `tf.train.Example`s that hold one value of bytes or one integer."""
    number, size = 0, 0
    try:
        records = tf.data.TFRecordDataset(path, "GZIP" if is_packed(path) else "")
        for raw in records.as_numpy_iterator():
            number, size = number + 1, size + len(raw) + _TFRECORD_FRAME
            yield _example(number, raw)
        # TensorFlow takes a file that breaks off in the first bytes of a record for one that ends there
        is_whole = is_packed(path) or size == os.path.getsize(path)
    except tf.errors.DataLossError:
        is_whole = False
    if not is_whole:
        reason = "must be a whole TFRecord, got a broken one, and none after it can be found; copy the file again"
        yield Record(number + 1, 0, None, reason)


def text_of(cells: Mapping[str, object], name: str) -> str:
    """Return what a cell says.

    Raises:
      ValueError: it is no text, number or truth value, or not in UTF-8.
    """
    value = cells[name]
    if isinstance(value, bytes):
        return decoded(value, f"{name!r:.80}")
    return tables.json_text(name, value)


def decoded(raw: bytes, what: str) -> str:
    """Return the text of UTF-8 bytes.

    Raises:
      ValueError: they are not UTF-8.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{what} must be UTF-8 text, got byte {raw[error.start]:#04x}") from None


class _Lines:
    """Lines for a csv reader, a character a byte; those after a bad row's first are read again, as rows of their own.

    What csv looks for is ASCII, so that bytes of any encoding, or of none, come through it as they were.
    """

    def __init__(self, file: File) -> None:
        self._file = file
        self._waiting: collections.deque[bytes] = collections.deque()
        self._taken: list[bytes] = []
        self._size = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._size > _LONGEST_QUOTED:
            raise StopIteration
        line = self._waiting.popleft() if self._waiting else self._file.readline()
        if not line:
            raise StopIteration
        self._taken.append(line)
        self._size += len(line)
        return line.decode("latin-1")

    def forget(self) -> tuple[int, int]:
        """Begin another row; return the bytes and lines of the last."""
        told = self._size, len(self._taken)
        self._taken, self._size = [], 0
        return told

    def put_back(self) -> None:
        """Keep only the first line of the row."""
        self._waiting.extendleft(reversed(self._taken[1:]))
        del self._taken[1:]
        self._size = sum(map(len, self._taken))


def _quoted(file: File, separator: str) -> Iterator[tuple[list[str], int, int, str]]:
    """Yield the cells of each row, its bytes, its lines, and what the csv reader has against it."""
    lines = _Lines(file)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        cells, reason = [], ""
        # A setting of the whole process, 131,072 characters at first: raised for this row only.
        limit = csv.field_size_limit(sys.maxsize)
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            lines.put_back()
            reason = (
                "must be a row whose cells, where they begin with a quote, end with one and double those inside; got a "
                f"row the csv reader refuses ({error})"
            )
        finally:
            csv.field_size_limit(limit)
        yield cells, *lines.forget(), reason


def _json_record(line: int, raw: bytes) -> Record:
    try:
        text = decoded(raw, "the line").removesuffix("\n").removesuffix("\r")
        if not text:
            return Record(line, len(raw), None)
        found = json.loads(text, object_pairs_hook=_once, parse_int=str, parse_float=str)
    except (ValueError, RecursionError) as error:
        told = f"must be one JSON object whose keys differ, got a line the JSON reader refuses ({error!s:.200})"
        return Record(line, len(raw), None, told)
    if not isinstance(found, dict):
        told = f'must be a JSON object such as {{"text": "..."}}, got {text!r:.40}'
        return Record(line, len(raw), None, told)
    return Record(line, len(raw), found)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((repeated, _),) = collections.Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{repeated!r:.80} more than once")
    return found


def _example(number: int, raw: bytes) -> Record:
    try:
        features = tf.train.Example.FromString(raw).features.feature
    except message.DecodeError:
        return Record(number, len(raw), None, "must be a tf.train.Example, got other bytes")
    cells = {}
    for name, feature in features.items():
        values = [*feature.bytes_list.value, *map(str, feature.int64_list.value)]
        if len(values) == 1:
            cells[name] = values[0]
    return Record(number, len(raw), cells)

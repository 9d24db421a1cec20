"""Records of data files as they stand, each with its place: separated rows, JSON lines, TFRecords.

Separated files with a header and JSON lines mean what they mean to `bert.tables`, but a record that is wrong, or longer
than a row may be there, says why and the next one follows. Each kind may be packed as .gz. Leaves to others: what the
cells mean (`bulk_rows`).
"""

import collections
import csv
import gzip
import io
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
_SKIPPED_AT_ONCE = 2**20  # bytes of a line that is too long
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
        for number, found in enumerate(iter(lambda: _next_line(file), _END), start.line):
            yield _json_record(number, found)
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


class _Line(NamedTuple):
    """A line, and its bytes in the file; `raw` is empty where they are more than a row may have."""

    raw: bytes
    size: int


_END = _Line(b"", 0)


def _next_line(file: File) -> _Line:
    raw = file.readline(tables.LONGEST_ROW + 1)
    size = len(raw)
    if size <= tables.LONGEST_ROW:
        return _Line(raw, size)
    while raw and not raw.endswith(b"\n"):
        raw = file.readline(_SKIPPED_AT_ONCE)
        size += len(raw)
    return _Line(b"", size)


def _too_long(size: int) -> str:
    """Say what is wrong with a row of so many bytes; nothing where it is not too long."""
    most = tables.LONGEST_ROW
    return f"must have at most {most:,} bytes, got {size:,}; shorten it" if size > most else ""


class _Lines:
    """Lines for a csv reader, a character a byte; those after a bad row's first are read again, as rows of their own.

    What csv looks for is ASCII, so that bytes of any encoding, or of none, come through it as they were.
    """

    def __init__(self, file: File) -> None:
        self._file = file
        self._waiting: collections.deque[_Line] = collections.deque()
        self._taken: list[_Line] = []
        self.size = 0  # bytes of the row so far

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.size > tables.LONGEST_ROW:  # a quote that is open for longer never closes
            raise StopIteration
        line = self._waiting.popleft() if self._waiting else _next_line(self._file)
        if line == _END:
            raise StopIteration
        self._taken.append(line)
        self.size += line.size
        return line.raw.decode("latin-1")

    def forget(self) -> tuple[int, int]:
        """Begin another row; return the bytes and lines of the last."""
        told = self.size, len(self._taken)
        self._taken, self.size = [], 0
        return told

    def put_back(self) -> None:
        """Keep only the first line of the row."""
        self._waiting.extendleft(reversed(self._taken[1:]))
        del self._taken[1:]
        self.size = sum(line.size for line in self._taken)


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
        if too_long := _too_long(lines.size):  # to the csv reader it may be a sound one
            cells, reason = [], too_long
        yield cells, *lines.forget(), reason


def _json_record(number: int, line: _Line) -> Record:
    if too_long := _too_long(line.size):
        return Record(number, line.size, None, too_long)
    try:
        text = decoded(line.raw, "the line").removesuffix("\n").removesuffix("\r")
        return Record(number, line.size, tables.json_object(text) if text else None)
    except ValueError as error:
        return Record(number, line.size, None, str(error))


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

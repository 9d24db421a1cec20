"""Rows of data files: tab- or comma-separated, JSON lines, raw lines; plain or gzipped.

Rows are streamed and none may be longer than `LONGEST_ROW`, so memory does not grow with the file, nor with what it
unpacks to, and every error names file and line. Leaves to others: what the cells mean (`datasets`).
"""

import collections
import csv
import difflib
import functools
import gzip
import itertools
import json
import os
import pathlib
import re
import sys
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping

from bert import files

Column = str | int
"""A name in the header or, in raw lines, a position: 0 is the first cell, -1 the last."""
Row = dict[Column, str]

LONGEST_ROW = 2**25
"""Bytes of a line, and characters of a quoted row: a text of 10 MB, also where JSON escapes its letters."""

_KINDS = {".tsv": "tab-separated", ".csv": "comma-separated", ".jsonl": "JSON lines"}
_SEPARATORS = {".tsv": "\t", ".csv": ","}
_MOST_NAMES = 20  # that a message lists
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")  # JSON can spell it, UTF-8 cannot


def read_lines(path: files.Path, *, of_any_length: bool = False) -> Iterator[tuple[int, str]]:
    """Yield (line number, text) of each line of a UTF-8 file; empty lines, line ends and a BOM are left out.

    Args:
      of_any_length: read lines longer than `LONGEST_ROW` too, which the project's own files of arrays may have.

    Raises:
      FileNotFoundError: the file is not there.
      ValueError: not UTF-8, too long a line, or named .gz and no whole gzip file; the message names file and line.
    """
    for number, line in enumerate(_lines(path, None if of_any_length else LONGEST_ROW), start=1):
        if text := line.removesuffix("\n").removesuffix("\r"):
            yield number, text


def read_rows(
    path: files.Path, quotechar: str | None = None, separator: str = "\t"
) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of each row of a UTF-8 file; blank lines and a BOM are skipped.

    Args:
      quotechar: `"` undoes the quoting of pandas and the csv module, so that cells may hold separators, newlines and
        quotes; None reads every character as it stands.

    Raises:
      FileNotFoundError: the file is not there.
      ValueError: as `read_lines`, too long a row, or a quote that never closes.
    """
    if quotechar is None:
        for number, text in read_lines(path):
            yield number, text.split(separator)
        return
    line, taken = 1, 0

    def lines_of_rows() -> Iterator[str]:
        nonlocal taken
        for text in _lines(path, LONGEST_ROW):
            taken += len(text)
            if taken > LONGEST_ROW:
                raise ValueError(
                    f"{path}:{line}: a row must have at most {LONGEST_ROW:,} characters, got more; close its quotes or "
                    "shorten it"
                )
            yield text

    reader = csv.reader(lines_of_rows(), delimiter=separator, quotechar=quotechar, strict=True)
    while True:
        line, taken = reader.line_num + 1, 0
        # A setting of the whole process, 131,072 characters at first: raised for this row only.
        limit = csv.field_size_limit(sys.maxsize)
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ValueError(
                f"{path}:{line}: must be a row whose cells, where they begin with a quote, end with one and double "
                f"those inside; got a row the csv reader refuses ({error}); write the file with pandas or csv and "
                "quoting=csv.QUOTE_ALL"
            ) from None
        finally:
            csv.field_size_limit(limit)
        if cells:
            yield line, cells


def read_table(path: files.Path, required: Mapping[str, str]) -> Iterator[tuple[int, Row]]:
    """Yield (line number, column name -> cell) of each row of a .tsv, .csv or .jsonl file, each also .gz.

    Separated files begin with a header and are quoted as pandas and csv do. A JSON line is an object of texts,
    numbers (kept as they are spelled) and `true` or `false`; a key that is null is left out of its row.

    Args:
      required: names of the columns that every row must have; each with the option that takes another name, "" where
        there is none.

    Raises:
      FileNotFoundError: the file is not there.
      ValueError: another suffix, a missing or repeated column, a short or long row, or as `read_rows`.
    """
    suffix = _suffix(path)
    if suffix not in _KINDS:
        raise ValueError(
            f"{path} must end in one of {', '.join(_KINDS)}, or in one of these and .gz, got {suffix!r}; rename or "
            "convert the file"
        )
    return _json_rows(path, required) if suffix == ".jsonl" else _separated_rows(path, required)


def column_names(path: files.Path) -> list[str]:
    """Return the names of the columns that `read_table` finds; none in a file without a row.

    A key of JSON lines counts wherever it first stands, and when its value is null.

    Raises:
      FileNotFoundError, ValueError: as `read_table`.
    """
    _, first = next(read_table(path, {}), (0, {}))
    if _suffix(path) != ".jsonl":
        return [str(name) for name in first]
    return list(dict.fromkeys(name for _, found in _json_objects(path) for name in found))


def read_positions(
    path: files.Path,
    required: Iterable[int],
    *,
    has_header: bool,
    separator: tuple[str, int] = ("\t", -1),
) -> Iterator[tuple[int, Row]]:
    """Yield (line number, position -> cell) of each raw line; quotes are text, and a header is left out.

    Args:
      required: positions that the lines must have.
      separator: the text and how often it separates, -1 = wherever it stands, as `str.split` takes them.

    Raises:
      FileNotFoundError: the file is not there.
      ValueError: too few cells, not as many as the first line has, or as `read_lines`.
    """
    needed = max(position + 1 if position >= 0 else -position for position in required)
    width = 0
    for line, text in read_lines(path):
        cells = text.split(*separator)
        expected = width or max(needed, len(cells))
        if len(cells) != expected:
            raise ValueError(
                f"{path}:{line}: a row must have {expected} cells separated by {separator[0]!r}, got {len(cells)}; "
                "give every row of the file as many, and no separator inside a text"
            )
        if width or not has_header:
            yield line, dict(zip(range(-expected, expected), cells * 2, strict=True))
        width = expected


def _lines(path: files.Path, longest: int | None) -> Iterator[str]:
    """Yield the lines of a file as they stand, split at line feeds only; each of at most so many bytes."""
    if not pathlib.Path(path).is_file():
        kind = _KINDS.get(_suffix(path), "text")
        raise FileNotFoundError(f"{path} must be a {kind} file, but there is none; check the path")
    is_packed = os.fspath(path).lower().endswith(".gz")
    number = 0
    try:
        with gzip.open(path) if is_packed else open(path, "rb") as file:
            read = functools.partial(file.readline, -1 if longest is None else longest + 1)
            for number, line in enumerate(iter(read, b""), start=1):
                if longest is not None and len(line) > longest:
                    raise ValueError(
                        f"{path}:{number}: a line must have at most {longest:,} bytes, got more; shorten or remove it"
                    )
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}:{number}: must be UTF-8 text, got byte {error.object[error.start]:#04x}; convert the file"
        ) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path}:{number + 1}: must be a whole gzip file, got {error}; copy it again, or rename it if it is not "
            "packed"
        ) from None


def _separated_rows(path: files.Path, required: Mapping[str, str]) -> Iterator[tuple[int, Row]]:
    suffix = _suffix(path)
    rows = read_rows(path, '"', _SEPARATORS[suffix])
    header_line, header = next(rows, (1, []))
    if repeated := sorted(_repeated(header)):
        raise ValueError(
            f"{path}:{header_line}: the first row must name every column once, got {_quoted(repeated)} more than "
            "once; rename or remove one"
        )
    _require(f"{path}:{header_line}: the first row", required, header)
    for line, cells in rows:
        if len(cells) != len(header):
            raise ValueError(
                f"{path}:{line}: a row must have {len(header)} {_KINDS[suffix]} cells ({_quoted(header)}), got "
                f"{len(cells)}; tabs, commas and newlines inside a text need the text in double quotes"
            )
        yield line, dict(zip(header, cells, strict=True))


def _json_rows(path: files.Path, required: Mapping[str, str]) -> Iterator[tuple[int, Row]]:
    for line, found in _json_objects(path):
        where = f"{path}:{line}"
        _require(f"{where}: the row", required, found)
        row: Row = {
            name: _json_cell(where, name, value)
            for name, value in found.items()
            if value is not None or name in required
        }
        yield line, row


def _json_objects(path: files.Path) -> Iterator[tuple[int, dict[str, object]]]:
    for line, text in read_lines(path):
        try:
            found = json_object(text)
        except ValueError as error:
            raise ValueError(f"{path}:{line}: {error}") from None
        yield line, found


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        repeated, *_ = _repeated(name for name, _ in pairs)
        raise ValueError(f"{repeated!r:.80} more than once")
    return found


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in collections.Counter(names).items() if count > 1]


def json_object(text: str) -> dict[str, object]:
    """Return what a line of JSON says; numbers come as the text that they were written in.

    Raises:
      ValueError: it is no JSON object, or names a key twice.
    """
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_int=str, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"must be one JSON object whose keys differ, got a line the JSON reader refuses ({error!s:.200}); write "
            "one object a line"
        ) from None
    if not isinstance(found, dict):
        raise ValueError(f'must be a JSON object such as {{"text": "..."}}, got {text!r:.40}')
    return found


def json_text(name: str, value: object) -> str:
    """Return what a JSON value says; numbers come as the text that they were written in.

    Raises:
      ValueError: it is no text, number or truth value, or holds half a character.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and not _HALF_CHARACTER.search(value):
        return value
    raise ValueError(
        f"{name!r:.80} must be text of whole characters, a number, true or false, got {json.dumps(value):.60}; correct "
        "or remove it"
    )


def _json_cell(where: str, name: str, value: object) -> str:
    try:
        return json_text(name, value)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _require(where: str, required: Mapping[str, str], found: Collection[str]) -> None:
    missing = [name for name in required if name not in found]
    if not missing:
        return
    spelled = {name.lower(): name for name in found}
    advice = ""
    for name in missing:
        near = difflib.get_close_matches(name.lower(), spelled, n=1)
        hints = [f"did you mean {spelled[near[0]]!r}?"] if near else []
        hints += [f"name yours with {required[name]}"] if required[name] else []
        advice += f"; {' '.join(hints)}" if hints else ""
    raise ValueError(
        f"{where} must have the column {_quoted(missing)}; found {_quoted(found) or 'none'}{advice}"
    )


def _quoted(names: Collection[str]) -> str:
    shown = [f"{name!r:.80}" for name in itertools.islice(names, _MOST_NAMES)]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _suffix(path: files.Path) -> str:
    return os.path.splitext(os.fspath(path).lower().removesuffix(".gz"))[1]

"""`explain.bulk_rows`, `explain.bulk_records`: every row of a file in its place, and every bad one told by its own."""

import csv
import gzip
import io
import json
import re
import tracemalloc

import hypothesis
import pytest
import tensorflow as tf
from hypothesis import strategies

from bert import tables
from explain import bulk_records
from explain import bulk_rows

SEPARATORS = (
    "\u2028 \u2029 \x85 \x0b \x0c \x1c"  # line ends to str.splitlines, characters to a file
)
CSV = (
    b"\xef\xbb\xbfid,text\n"  # line 1
    b'a,"two\nlines, and ""quotes"""\n'  # 2 and 3
    b"\n"
    b"b,\xff\n"  # 5
    b"c\n"
    b'd,"open\n'  # 7: and closed in line 10, before an x
    b"e,fine\n"
    b"f,g,h\n"
    b'i,"x"y\n' + f'j,"{SEPARATORS}"\n'.encode() + b',"no id\r\n'  # 10  # 12: never closed
    b"k,last"
)
CSV_ROWS = [
    (2, "a", 'two\nlines, and "quotes"'),
    (5, "'text' must be UTF-8 text, got byte 0xff"),
    (6, r"must have 2 cells \('id', 'text'\), got 1; .* double quotes"),
    (7, "csv reader refuses"),
    (8, "e", "fine"),
    (9, "must have 2 cells .* got 3"),
    (10, "csv reader refuses"),
    (11, "j", SEPARATORS),
    (12, r"csv reader refuses \(unexpected end of data\)"),
    (13, "k", "last"),
]
JSON_LINES = (
    '{"text": "a' + SEPARATORS[0] + 'b", "id": 12}\n'
    "\n"
    '{"sentence": 3.10, "guid": "own", "id": "other", "more": [1]}\r\n'
    "{}\n"
    '{"text": null}\n'
    "[1]\n"
    '{"text": "x", "text": "y"}\n'
    '{"text": "x\n'
    '{"text": "\\ud800"}\n'
    '{"text": ["x"]}\n'
    '{"text": true}'
)
JSON_ROWS = [
    (1, "12", "a\u2028b"),
    (3, "own", "3.10"),
    (4, "must have a column named 'text' or 'sentence' or 'review', found none"),
    (5, "'text' must be text of whole characters, .*got null"),
    (6, "must be a JSON object"),
    (7, "'text' more than once"),
    (8, "Unterminated string"),
    (9, "whole characters"),
    (10, "'text' must be text"),
    (11, None, "true"),
]


def write(folder, name, data):
    path = folder / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return str(path)


def read(path, records=2, columns=bulk_rows.Columns()):  # noqa: B008
    return [row for part in bulk_rows.parts(path, records) for row in bulk_rows.read(part, columns)]


def check(found, expected, path):
    assert [row.line for row in found] == [line for line, *_ in expected]
    for row, (line, *told) in zip(found, expected, strict=True):
        if len(told) == 1:
            assert re.search(told[0], row.reason), (line, row)
        else:
            assert row[1:3] == (told[0] or f"{path}:{line}", told[1])


@pytest.mark.parametrize("records", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.csv", CSV, CSV_ROWS),
        ("a.csv.gz", CSV, CSV_ROWS),
        ("a.TSV", CSV.replace(b",", b"\t"), None),
        ("a.jsonl", JSON_LINES.encode(), JSON_ROWS),
        ("a.jsonl.gz", JSON_LINES.encode(), JSON_ROWS),
    ],
)
def test_every_row_and_every_fault_is_found_by_its_line_however_the_file_is_cut(
    tmp_path, name, data, expected, records
):
    path = write(tmp_path, name, data)
    parts = list(bulk_rows.parts(path, records))
    found = read(path, records)
    if expected is None:
        assert [row.line for row in found] == [line for line, *_ in CSV_ROWS]
        assert found[0].text == 'two\nlines\t and "quotes"'
    else:
        check(found, expected, path)
    if name.endswith(".gz"):
        assert parts == [bulk_rows.Part(path, 0, 1, bulk_rows.ALL)]
    else:
        assert {part.records for part in parts[:-1]} <= {records}
        assert sum(part.records for part in parts) == len(found) + 1  # the blank line


CELLS = strategies.text(
    strategies.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=9
)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
    rows=strategies.lists(strategies.tuples(CELLS, CELLS), min_size=1, max_size=7),
    separator=strategies.sampled_from([",", "\t"]),
    records=strategies.integers(1, 4),
)
def test_a_file_without_fault_is_read_as_everywhere_else(
    tmp_path_factory, rows, separator, records
):
    path = tmp_path_factory.mktemp("rows") / ("a.csv" if separator == "," else "a.tsv")
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=separator).writerows([("text", "more"), *rows])
    columns = bulk_rows.Columns(text_b="more")
    expected = [
        (line, (row["text"], row["more"])) for line, row in tables.read_table(path, {"text": ""})
    ]
    assert [(row.line, row.text) for row in read(str(path), records, columns)] == expected


class CountedLines(io.BytesIO):
    lines = 0

    def readline(self, *size):
        self.lines += 1
        return super().readline(*size)


def test_a_quote_that_never_closes_costs_its_row_and_no_more_memory_than_a_row_may_have(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(tables, "LONGEST_ROW", 40)
    rows = [b'"open\n', *(b"row %d\n" % number for number in range(30)), b'"z"\n']
    found = read(write(tmp_path, "a.csv", b"text\n" + b"".join(rows)), 7)
    assert [row.line for row in found] == list(range(2, 34))
    assert [row.line for row in found if isinstance(row, bulk_rows.Fault)] == [2]
    assert found[-1].text == "z"
    file = CountedLines(b'"open\n' + b"row\n" * 99)
    next(bulk_records.read(file, ".csv", bulk_records.Start(0, 1, ["text"])))
    assert file.lines < 20  # 41 bytes


LONG_ROWS = (
    b"a\n"
    + b"x" * 40  # 41 bytes with its end, one too many
    + b'\n"'
    + b"x" * 50
    + b'"\nb\n"'
    + b"p" * 28  # two lines of 30 and 12 bytes, closed well
    + b"\n"
    + b"q" * 10
    + b'"\n"'
    + b"r" * 30  # two lines of 32 and 8 bytes, which is just short enough
    + b'\nsssss"\n\n'
    + b"y" * 99
)
LONG_JSON = b'{"text": "a"}\n' + b"z" * 99 + b'\n{"text": "' + b"b" * 27 + b'"}\n' + b"z" * 41


@pytest.mark.parametrize("records", [1, 2, 100])
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_a_row_that_is_too_long_costs_no_other(tmp_path, monkeypatch, records, packed):
    monkeypatch.setattr(tables, "LONGEST_ROW", 40)
    found = read(write(tmp_path, f"a.csv{packed}", b"text\n" + LONG_ROWS), records)
    told = {row.line: getattr(row, "text", None) or row.reason for row in found}
    bound = "must have at most 40 bytes, got "
    assert told == {
        2: "a",
        3: f"{bound}41; shorten it",
        4: f"{bound}53; shorten it",
        5: "b",
        6: f"{bound}42; shorten it",
        8: "r" * 30 + "\nsssss",
        11: f"{bound}99; shorten it",
    }
    found = read(write(tmp_path, f"a.jsonl{packed}", LONG_JSON), records)
    told = [(row.line, getattr(row, "text", None) or row.reason) for row in found]
    assert told == [
        (1, "a"),
        (2, f"{bound}100; shorten it"),
        (3, "b" * 27),
        (4, f"{bound}41; shorten it"),
    ]


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.gz"])
def test_a_line_of_two_hundred_megabytes_is_skipped_and_never_in_memory(tmp_path, name):
    rows = [b'{"text": "a"}\n', b'{"text": "b"}\n'] if "json" in name else [b"text\na\n", b"b\n"]
    path = tmp_path / name
    with gzip.open(path, "wb", 1) as file:
        file.write(rows[0])
        for _ in range(200):
            file.write(bytes(2**20))
        file.write(b"\n" + rows[1])
    tracemalloc.start()
    first, fault, last = read(str(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (first.text, last.text, last.line) == ("a", "b", fault.line + 1)
    assert fault.reason == "must have at most 33,554,432 bytes, got 209,715,201; shorten it"
    assert peak < 3 * tables.LONGEST_ROW


def test_pairs_and_labels_come_from_the_columns_that_are_named(tmp_path):
    path = write(tmp_path, "a.tsv", b"id\tone\ttwo\tstars\n7\tx\ty\tgood\n\tv\tw\t\n")
    columns = bulk_rows.Columns(("one",), "two", "stars")
    assert read(path, 9, columns) == [
        bulk_rows.Row(2, "7", ("x", "y"), "good"),
        bulk_rows.Row(3, f"{path}:3", ("v", "w"), None),
    ]
    lines = [{"one": "x"}, {"one": "x", "two": "y", "stars": None}]
    path = write(tmp_path, "a.jsonl", "\n".join(map(json.dumps, lines)).encode())
    lacking, pair = read(path, 9, columns)
    assert lacking.reason == "must have a column named 'two', found 'one'"
    assert (pair.text, pair.label) == (("x", "y"), None)


def example(**values):
    features = {}
    for name, value in values.items():
        if isinstance(value, int):
            features[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        else:
            kept = [value] if isinstance(value, bytes) else value
            features[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=kept))
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


@pytest.mark.parametrize("name", ["a.tfrecord", "a.tf_record.gz"])
def test_tfrecords_hold_examples_and_what_is_none_is_a_fault_of_its_own(tmp_path, name):
    path = str(tmp_path / name)
    records = [
        example(text="snö".encode(), id=b"first", label=b"good"),
        example(text=b"one", text_b=b"two", label=1),
        example(sentences=b"x"),
        example(text=b"\xff"),
        b"no example",
        example(text=[b"two", b"values"]),
        example(text=b"last"),
    ]
    packing = "GZIP" if name.endswith(".gz") else ""
    with tf.io.TFRecordWriter(path, packing) as writer:
        for record in records:
            writer.write(record)
    found = read(path, 2, bulk_rows.Columns(label="label"))
    assert found[:2] == [
        bulk_rows.Row(1, "first", "snö", "good"),
        bulk_rows.Row(2, f"{path}:2", ("one", "two"), "1"),
    ]
    told = ["column named 'text'", "'text' must be UTF-8", "tf.train.Example", "column named 'te"]
    for fault, line, part in zip(found[2:6], (3, 4, 5, 6), told, strict=True):
        assert fault.line == line
        assert part in fault.reason
    assert found[6:] == [bulk_rows.Row(7, f"{path}:7", "last", None)]


@pytest.mark.parametrize("kept", [1, 11, 12, 30])
def test_the_records_before_a_break_are_read_and_the_break_is_told(tmp_path, kept):
    path = tmp_path / "a.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for _ in range(3):
            writer.write(example(text=b"fine"))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3 + kept])
    one, two, fault = read(str(path))
    assert (one.text, two.text, fault.line) == ("fine", "fine", 3)
    assert fault.reason.startswith("must be a whole TFRecord")


def test_the_lines_before_the_break_of_a_packed_file_are_read_and_the_break_is_told(tmp_path):
    packed = write(tmp_path, "a.jsonl.gz", b'{"text": "x"}\n' * 50_000)
    with open(packed, "rb") as file:
        data = file.read()
    with open(packed, "wb") as file:
        file.write(data[: len(data) // 2])
    *rows, fault = read(packed)
    assert {row.text for row in rows} == {"x"}
    assert fault.line == len(rows) + 1
    assert fault.reason.startswith("must go on as a whole gzip file")


@pytest.mark.parametrize(
    ("name", "data", "columns", "expected"),
    [
        ("a.txt", b"text\n", bulk_rows.Columns(), r"a\.txt must end in one of \.tsv, .*'\.txt'"),
        ("a.csv", b"", bulk_rows.Columns(), r"a\.csv:1: the first row must name the columns"),
        ("a.csv", b"id,texts\n", bulk_rows.Columns(), r"a\.csv:1: .*'text' or .*--text_column"),
        ("a.csv", b"text\n", bulk_rows.Columns(text_b="b"), r"named 'b', .*--text_b_column"),
        ("a.csv", b"text\n", bulk_rows.Columns(label="l"), r"named 'l', .*--labels"),
        ("a.tsv", b"text\ttext\n", bulk_rows.Columns(), r"a\.tsv:1: .*'text' more than once"),
        ("a.tsv", b"\xff\ttext\n", bulk_rows.Columns(), r"a\.tsv:1: the header must be UTF-8"),
        ("a.csv", b'"id"x,text\n', bulk_rows.Columns(), r"a\.csv:1: .*csv reader refuses"),
    ],
)
def test_a_file_of_which_no_row_could_be_read_is_refused(tmp_path, name, data, columns, expected):
    with pytest.raises(ValueError, match=expected):
        bulk_rows.check(write(tmp_path, name, data), columns)


def test_a_file_that_is_not_there_or_not_packed_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.jsonl"):
        bulk_rows.check(str(tmp_path / "gone.jsonl"), bulk_rows.Columns())
    (tmp_path / "a.csv.gz").write_bytes(b"text\nx\n")
    with pytest.raises(ValueError, match=r"a\.csv\.gz:1: must be a whole gzip file"):
        bulk_rows.check(str(tmp_path / "a.csv.gz"), bulk_rows.Columns())

import csv
import gzip
import json

import hypothesis
import pandas as pd
import pytest
from hypothesis import strategies

from bert import tables


def write(folder, name, text):
    path = folder / name
    content = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def table(path, **required):
    return list(tables.read_table(path, required))


def test_raw_lines_end_at_line_feeds_only_and_keep_every_other_character(tmp_path):
    path = write(tmp_path, "a.txt", "\ufeffone \u2028two\r\n\n  \nthree\rfour\r\r\n\x0clast")
    assert list(tables.read_lines(path)) == [
        (1, "one \u2028two"),
        (3, "  "),
        (4, "three\rfour\r"),
        (5, "\x0clast"),
    ]


def test_raw_cells_keep_their_quotes_and_quoted_cells_lose_them(tmp_path):
    path = write(tmp_path, "a.tsv", 'a\t"b"\n\n\'c\td\n\t\n')
    assert list(tables.read_rows(path)) == [(1, ["a", '"b"']), (3, ["'c", "d"]), (4, ["", ""])]
    assert list(tables.read_rows(path, '"')) == [(1, ["a", "b"]), (3, ["'c", "d"]), (4, ["", ""])]


def test_a_quoted_cell_may_hold_lines_and_the_next_row_has_its_own_line_number(tmp_path):
    path = write(tmp_path, "a.csv", 'x,"two\n\nlines\r\nand ""more"""\r\ny,z\n')
    assert list(tables.read_rows(path, '"', ",")) == [
        (1, ["x", 'two\n\nlines\r\nand "more"']),
        (5, ["y", "z"]),
    ]


def test_positions_count_from_both_ends(tmp_path):
    path = write(tmp_path, "a.tsv", 'h\ti\tj\na\t"b\tc\n')
    ((line, row),) = tables.read_positions(path, [1], has_header=True)
    assert line == 2
    assert [row[0], row[1], row[2]] == [row[-3], row[-2], row[-1]] == ["a", '"b', "c"]


def test_a_separator_may_separate_once(tmp_path):
    path = write(tmp_path, "stsa.fine.dev", "3 it 's a fine film .\n0 no\n")
    rows = tables.read_positions(path, [0, 1], has_header=False, separator=(" ", 1))
    assert [(line, row[0], row[1]) for line, row in rows] == [
        (1, "3", "it 's a fine film ."),
        (2, "0", "no"),
    ]


@pytest.mark.parametrize(
    ("text", "positions", "message"),
    [
        ("h\ti\n", [2], r"a.tsv:1: a row must have 3 cells separated by '\\t', got 2; give every"),
        ("h\n", [-2], r"a.tsv:1: a row must have 2 cells separated by '\\t', got 1"),
        ("h\ti\n\na\tb\tc\n", [0, 1], r"a.tsv:3: a row must have 2 cells .*, got 3"),
        ("h\ti\na\tb\na\n", [0], r"a.tsv:3: a row must have 2 cells .*, got 1"),
    ],
)
def test_a_raw_row_of_another_width_is_named(tmp_path, text, positions, message):
    path = write(tmp_path, "a.tsv", text)
    with pytest.raises(ValueError, match=message):
        list(tables.read_positions(path, positions, has_header=True))


ROWS = [{"label": "1", "text": 'A, "fine"\tfilm.'}, {"label": "0", "text": "Dull\nand \u2028 é"}]
SPELLED = {
    ".tsv": 'label\ttext\n1\t"A, ""fine""\tfilm."\n\n0\t"Dull\nand \u2028 é"\n',
    ".csv": 'label,text\r\n1,"A, ""fine""\tfilm."\r\n0,"Dull\nand \u2028 é"\r\n',
    ".jsonl": '{"label": 1, "text": "A, \\"fine\\"\\tfilm."}\n\n'
    '{"text": "Dull\\nand \\u2028 é", "label": "0", "note": null}\n',
}


@pytest.mark.parametrize("packed", ["", ".gz", ".GZ"])
@pytest.mark.parametrize("suffix", SPELLED)
def test_every_format_gives_the_same_rows(tmp_path, suffix, packed):
    path = tmp_path / f"a{suffix.upper() if packed else suffix}{packed}"
    content = ("\ufeff" + SPELLED[suffix]).encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    assert [row for _, row in table(path, text="", label="")] == ROWS


def test_lines_are_counted_in_the_file_not_in_the_rows(tmp_path):
    lines = {suffix: [] for suffix in SPELLED}
    for suffix, text in SPELLED.items():
        lines[suffix] = [line for line, _ in table(write(tmp_path, f"a{suffix}", text))]
    assert lines == {".tsv": [2, 4], ".csv": [2, 3], ".jsonl": [1, 3]}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".jsonl.gz"])
def test_the_names_of_the_columns_are_those_of_the_header_or_of_any_json_row(tmp_path, suffix):
    text = '{"a": 1, "b": null}\n{"c": "", "a": 2}\n' if "json" in suffix else "a,b,c\n1,,\n"
    assert tables.column_names(write(tmp_path, f"a{suffix}", text)) == ["a", "b", "c"]
    empty = "a,b,c\n" if suffix == ".csv" else ""
    assert tables.column_names(write(tmp_path, f"b{suffix}", empty)) == []


def test_numbers_in_json_stay_as_they_are_spelled(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"a": 1.50, "b": 1e2, "c": -0, "d": true, "e": false}\n')
    assert table(path) == [(1, {"a": "1.50", "b": "1e2", "c": "-0", "d": "true", "e": "false"})]


def test_a_file_is_read_row_by_row(tmp_path):
    for suffix, text in {".csv": "text\nfirst\n{}", ".jsonl": '{{"text": "first"}}\n{}'}.items():
        path = write(tmp_path, f"a{suffix}.gz", text.format('"'))
        rows = tables.read_table(path, {"text": ""})
        assert next(rows)[1] == {"text": "first"}  # what comes later has not been looked at
        with pytest.raises(ValueError, match=r"a\.\w+\.gz:[23]: "):
            next(rows)


def test_two_files_with_long_cells_may_be_read_in_turns(tmp_path):
    long = "word " * 40_000  # beyond the csv module's own limit of 131,072 characters
    path = write(tmp_path, "a.csv", f"text\n{long}\n{long}\n")
    csv.field_size_limit(131_072)
    first, second = tables.read_table(path, {}), tables.read_table(path, {})
    next(first)
    next(second)
    assert csv.field_size_limit() == 131_072
    assert [line for line, _ in [*first, *second]] == [3, 3]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "text\n", r"a.txt must end in one of .tsv, .csv, .jsonl, .*, got '.txt'; rename"),
        ("a.gz", "text\n", r"a.gz must end in one of .tsv, .csv, .jsonl, .*, got ''"),
        (
            "a.csv",
            "Text,label\nx,1\n",
            r"a.csv:1: the first row must have the column 'text'; found 'Text', 'label'; did you mean 'Text'\? "
            r"name yours with --text_column$",
        ),
        (
            "a.csv",
            "",
            r"a.csv:1: the first row must have the column 'text'; found none; name yours",
        ),
        ("a.tsv", "x,y\n", r"a.tsv:1: .*'text'; found 'x,y'; name yours with --text_column$"),
        (
            "a.csv",
            "text,n,text\n",
            r"a.csv:1: .* must name every column once, got 'text' more than once",
        ),
        (
            "a.csv",
            "text,n\na,1\nb\n",
            r"a.csv:3: a row must have 2 comma-separated cells \('text', 'n'\), got 1",
        ),
        (
            "a.tsv",
            "text\na\tb\n",
            r"a.tsv:2: a row must have 1 tab-separated cells \('text'\), got 2; tabs",
        ),
        (
            "a.csv",
            'text\nok\n"never\nclosed\n',
            r"a.csv:3: must be a row whose cells, where they begin",
        ),
        ("a.csv", 'text\n"closed" early\n', r"a.csv:2: must be a row .* quoting=csv.QUOTE_ALL$"),
        ("a.csv", "text\nbare\rreturn\n", r"a.csv:2: must be a row whose cells"),
        (
            "a.jsonl",
            '{"text": "a"}\n{"txt": "b"}\n',
            r"a.jsonl:2: the row .*; did you mean 'txt'\?",
        ),
        (
            "a.jsonl",
            '{"text": "a"\n',
            r"a.jsonl:1: must be one JSON object whose keys differ, .*Expecting",
        ),
        ("a.jsonl", '{"text": "a", "text": ""}', r"a.jsonl:1: .*\('text' more than once\)"),
        (
            "a.jsonl",
            '\n["text"]\n',
            r"a.jsonl:2: must be a JSON object such as .*, got '\[\"text\"\]'",
        ),
        ("a.jsonl", "[" * 100_000, r"a.jsonl:1: must be one JSON object"),
        ("a.jsonl", '{"text": null}\n', r"a.jsonl:1: 'text' must be text .*, got null; correct"),
        ("a.jsonl", '{"text": "", "x": ["a"]}', r"a.jsonl:1: 'x' must be text .*, got \[\"a\"\]"),
        ("a.jsonl", '{"text": NaN}\n', r"a.jsonl:1: 'text' must be text .*, got NaN"),
        (
            "a.jsonl",
            '{"text": "\\ud83d"}\n',
            r"a.jsonl:1: .* whole characters, .*, got \"\\ud83d\"",
        ),
        ("a.csv", "text\ncafé\n".encode("latin-1"), r"a.csv:2: must be UTF-8 text, got byte 0xe9"),
        (
            "a.csv",
            "text\n".encode("utf-16"),
            r"a.csv:1: must be UTF-8 text, got byte 0xff; convert",
        ),
        ("a.csv", gzip.compress(b"text\n", mtime=0), r"a.csv:1: must be UTF-8 text, got byte 0x8b"),
    ],
)
def test_a_bad_file_is_named_with_line_and_reason(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message) as caught:
        list(tables.read_table(path, {"text": "--text_column"}))
    assert "\n" not in str(caught.value)


def test_a_gzip_file_must_be_one_and_whole(tmp_path):
    lines = "".join(f"{number**9}\n" for number in range(50_000))
    for content, message in (
        (b"text\n1\n", r"a.csv.gz:1: must be a whole gzip file, got Not a gzipped file"),
        (gzip.compress(f"text\n{lines}".encode())[:-9], r"a.csv.gz:\d{4,}: must be a whole gzip"),
        (gzip.compress(b"text\n1\n")[:10] + b"\xff" * 9, r"a.csv.gz:1: must be a whole gzip file"),
    ):
        path = tmp_path / "a.csv.gz"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            table(path)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.tsv", "tab-separated"), ("a.csv.gz", "comma-separated"), ("a.jsonl", "JSON lines")],
)
def test_a_missing_file_is_named_with_what_it_should_be(tmp_path, name, kind):
    with pytest.raises(FileNotFoundError, match=f"{name} must be a {kind} file, but there is none"):
        table(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="stsa must be a text file, but there is none"):
        list(tables.read_lines(tmp_path / "stsa"))


texts = strategies.text(
    strategies.one_of(
        strategies.sampled_from('",\t\n\r\\ \u2028\u2029\x85\x0b\x0c\x1c\ufeff'),
        strategies.characters(exclude_categories=["Cs"]),
    )
)


@hypothesis.settings(deadline=None)
@hypothesis.given(strategies.lists(texts, min_size=1, max_size=3), strategies.sampled_from("\t,"))
def test_any_texts_survive_a_round_trip_through_pandas(tmp_path_factory, cells, separator):
    path = tmp_path_factory.mktemp("round") / {"\t": "a.tsv", ",": "a.csv"}[separator]
    frame = pd.DataFrame({"text": cells, "id": range(len(cells))})
    frame.to_csv(path, sep=separator, index=False, quoting=csv.QUOTE_ALL)
    rows = [row for _, row in table(path)]
    assert rows == [{"text": cell, "id": str(number)} for number, cell in enumerate(cells)]


@hypothesis.settings(deadline=None)
@hypothesis.given(texts, texts, strategies.booleans())
def test_any_texts_survive_a_round_trip_through_json(tmp_path_factory, name, text, ascii_only):
    path = tmp_path_factory.mktemp("round") / "a.jsonl"
    line = json.dumps({name: text}, ensure_ascii=ascii_only)
    path.write_text(f"{line}\n{line}\n", encoding="utf-8", newline="")
    assert table(path) == [(1, {name: text}), (2, {name: text})]

"""Lines and rows that do not end: no file, packed or plain, may fill the memory with one of them."""

import gzip
import json
import tracemalloc

import pytest

from bert import tables

ZEROS = 200 * 2**20  # unpacked; packed they are 0.2 MB, and as a hole in a file nothing
FORMATS = {
    "a.jsonl": lambda path: tables.read_table(path, {"text": ""}),
    "a.csv": lambda path: tables.read_table(path, {"text": ""}),
    "a.tsv": lambda path: tables.read_positions(path, [0], has_header=True),
    "a.txt": tables.read_lines,
}


def write_bomb(path, head):
    if path.suffix == ".gz":
        with gzip.open(path, "wb", 1) as file:
            file.write(head)
            for _ in range(ZEROS // 2**20):
                file.write(bytes(2**20))
    else:
        with open(path, "wb") as file:
            file.write(head)
            file.truncate(len(head) + ZEROS)


@pytest.fixture
def peak():
    """Return a function that tells the most memory that Python has taken since the test began, in bytes."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("name", FORMATS)
def test_a_line_of_two_hundred_megabytes_is_refused_before_it_fills_the_memory(
    name, packed, tmp_path, peak
):
    path = tmp_path / f"{name}{packed}"
    write_bomb(path, b'{"text": "x"}\n' if "json" in name else b"text\nx\n")
    told = rf"{name}{packed}:\d: a line must have at most 33,554,432 bytes, got more; shorten or"
    with pytest.raises(ValueError, match=told) as caught:
        list(FORMATS[name](path))
    assert "\n" not in str(caught.value)
    assert peak() < 3 * tables.LONGEST_ROW < ZEROS


@pytest.mark.parametrize("packed", ["", ".gz"])
def test_a_row_of_many_quoted_lines_is_refused_before_it_fills_the_memory(
    packed, tmp_path, peak, monkeypatch
):
    monkeypatch.setattr(tables, "LONGEST_ROW", 2**16)
    path = tmp_path / f"a.csv{packed}"
    with (gzip.open if packed else open)(path, "wb") as file:
        file.write(b'text\nfine\n"never closed\n')
        for _ in range(2**10):
            file.write(b"x" * 2**13 + b"\n")  # 8 MB
    rows = tables.read_table(path, {})
    assert next(rows) == (2, {"text": "fine"})
    told = r":3: a row must have at most 65,536 characters, got more; close its quotes or shorten"
    with pytest.raises(ValueError, match=told) as caught:
        next(rows)
    assert "\n" not in str(caught.value)
    assert peak() < 2**20


def test_a_line_may_be_as_long_as_the_bound_and_a_row_too(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "LONGEST_ROW", 8)
    path = tmp_path / "a.csv"
    path.write_bytes(b'1234567\n"56\n90"\n12345678')
    assert list(tables.read_lines(path))[-1] == (4, "12345678")
    assert [cells for _, cells in tables.read_rows(path, '"', ",")] == [
        ["1234567"],
        ["56\n90"],
        ["12345678"],
    ]
    for content, line, kind in (
        ("1\n12345678\n", 2, "line"),
        ("1\n123456789", 2, "line"),
        ('1\n"56\n901"\n', 2, "row"),
        ("1\n12345é78", 2, "line"),
    ):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(ValueError, match=rf"a\.csv:{line}: a {kind} must have at most 8 "):
            list(tables.read_rows(path, '"', ","))


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_text_of_ten_megabytes_is_read(suffix, packed, tmp_path):
    text = "é" * 5_000_000
    path = tmp_path / f"a{suffix}{packed}"
    with gzip.open(path, "wb", 1) if packed else open(path, "wb") as file:
        escaped = json.dumps({"text": text})  # 30 MB
        file.write((escaped if suffix == ".jsonl" else f'text\n"{text}"\n').encode())
    ((_, row),) = tables.read_table(path, {"text": ""})
    assert row["text"] == text


def test_the_projects_own_lines_of_arrays_may_be_longer(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "LONGEST_ROW", 8)
    path = tmp_path / "records.jsonl"
    path.write_text("[0.25, 0.75]\n")
    assert list(tables.read_lines(path, of_any_length=True)) == [(1, "[0.25, 0.75]")]

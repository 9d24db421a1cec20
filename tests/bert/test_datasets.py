import csv

import hypothesis
import pandas as pd
import pytest
from hypothesis import strategies

from bert import datasets

HEADER = "id\tlabel\ttext\n"


def write(folder, text, split="train"):
    path = folder / f"{split}.tsv"
    path.write_bytes(text.encode())
    return path


def test_imdb_rows_become_examples_and_the_header_does_not(tmp_path):
    for split in ("train", "dev", "test"):
        write(tmp_path, f"{HEADER}7\t1\tA fine film.\n8\t0\tA dull one.\n9\t1\tLovely\n", split)
    processor = datasets.ImdbProcessor()
    assert processor.get_labels() == ["0", "1"]
    assert processor.get_train_examples(tmp_path)[0] == datasets.InputExample(
        "train-7", "A fine film.", None, "1"
    )
    assert [e.guid for e in processor.get_test_examples(tmp_path)] == ["test-7", "test-8", "test-9"]
    assert [e.label for e in processor.get_test_examples(tmp_path)] == ["1", "0", "1"]
    assert len(processor.get_dev_examples(tmp_path)) == 3


# pandas itself loses a bare carriage return: it neither quotes it nor reads it back
pandas_safe_texts = strategies.text(
    strategies.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1
)


@hypothesis.settings(deadline=None)
@hypothesis.given(pandas_safe_texts)
def test_any_text_survives_a_round_trip_through_pandas(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("round")
    table = pd.DataFrame([["1", "0", text]], columns=["id", "label", "text"])
    table.to_csv(folder / "train.tsv", sep="\t", index=False, lineterminator="\n")
    (example,) = datasets.ImdbProcessor().get_train_examples(folder)
    assert example.text_a == text


def test_quotes_inside_a_text_are_read_as_written(tmp_path):
    write(tmp_path, f'{HEADER}1\t1\t"He said ""wow"""\n2\t0\tShe said "no" twice\n')
    examples = datasets.ImdbProcessor().get_train_examples(tmp_path)
    assert [e.text_a for e in examples] == ['He said "wow"', 'She said "no" twice']


def test_a_bom_crlf_blank_lines_and_another_column_order_are_read_right(tmp_path):
    write(tmp_path, "\ufefftext\tid\tlabel\r\nfine\t1\t1\r\n\r\ndull\t2\t0\r\n\r\n")
    examples = datasets.ImdbProcessor().get_train_examples(tmp_path)
    assert [(e.guid, e.text_a, e.label) for e in examples] == [
        ("train-1", "fine", "1"),
        ("train-2", "dull", "0"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            f"{HEADER}1\t1\tok\n2\tpos\tok\n",
            r"train.tsv:3: label must be one of '0', '1'; got 'pos'; correct the row$",
        ),
        (
            f"{HEADER}1\t1\tok\n\n2\t1\n",
            r"train.tsv:4: a row must have 3 tab-separated cells .*, got 2",
        ),
        (f"{HEADER}1\t1\ta\ttab\n", r"train.tsv:2: .* got 4; tabs, commas and newlines inside"),
        (
            "1\t1.0\tno header\n",
            r"train.tsv:1: the first row must have the column 'id', 'label', 'text'; found '1', '1.0', 'no header'$",
        ),
        (
            f'{HEADER}1\t1\tok\n2\t1\t"never closed\n3\t0\tx\n',
            r"train.tsv:3: must be a row whose cells",
        ),
        (f'{HEADER}1\t1\t"closed" too early\n', r"train.tsv:2: must be a row whose cells"),
        (f'{HEADER}1\t1\t"two\nlines"\n2\tx\tok\n', r"train.tsv:4: label must be"),
        (HEADER, r"train.tsv must hold at least one example"),
        ("", r"train.tsv:1: the first row must have the column 'id', 'label', 'text'; found none$"),
    ],
)
def test_a_bad_file_is_named_with_line_and_reason(tmp_path, content, message):
    write(tmp_path, content)
    with pytest.raises(ValueError, match=message):
        datasets.ImdbProcessor().get_train_examples(tmp_path)


def test_a_file_in_another_encoding_is_named_with_its_first_bad_byte(tmp_path):
    (tmp_path / "train.tsv").write_bytes(HEADER.encode() + "1\t1\tcafé\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"train.tsv:.*must be UTF-8 .*0xe9"):
        datasets.ImdbProcessor().get_train_examples(tmp_path)


def test_a_missing_file_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"dev.tsv must be a tab-separated file"):
        datasets.ImdbProcessor().get_dev_examples(tmp_path)


def test_read_tsv_leaves_quotes_alone_as_the_ancestor_does(tmp_path):
    path = write(tmp_path, 'a\t"b"\n\'c\td\n')
    assert datasets.DataProcessor._read_tsv(path) == [["a", '"b"'], ["'c", "d"]]
    assert datasets.DataProcessor._read_tsv(path, quotechar='"') == [["a", "b"], ["'c", "d"]]


def test_the_csv_module_and_the_reader_agree_on_long_fields(tmp_path):
    long = "word " * 40_000  # beyond the csv module's own limit of 131,072 characters
    with open(tmp_path / "train.tsv", "w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([["id", "label", "text"], ["1", "1", long]])
    before = csv.field_size_limit()
    assert datasets.ImdbProcessor().get_train_examples(tmp_path)[0].text_a == long
    assert csv.field_size_limit() == before

"""Neutral words stand in for HateXplain's, which no test shows."""

import gzip
import json

import pytest

from explain import rationale_files
from scripts import prepare_hatexplain

ROWS = [
    {
        "id": "1_gab",
        "label": "normal",
        "tokens": ["a", "quiet", "mill"],
        "rationale_union": [0, 0, 0],
    },
    {"id": "2_gab", "label": "offensive", "tokens": ["old", "gate"], "rationale_union": [0, 1]},
]


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    for split, rows in (("train", ROWS), ("val", ROWS[1:])):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    return folder


def test_each_split_becomes_a_table_and_rationales_and_only_counts_are_shown(
    source, tmp_path, capsys
):
    out = tmp_path / "out"
    assert prepare_hatexplain.main([f"--input={source}", f"--output_dir={out}"]) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "dev.tsv",
        "dev_rationales.jsonl",
        "train.tsv",
        "train_rationales.jsonl",
    ]
    expected = "id\ttext\tlabel\n1_gab\ta quiet mill\tnormal\n2_gab\told gate\toffensive\n"
    assert (out / "train.tsv").read_text() == expected
    for split, name in (("train", "train"), ("val", "dev")):
        found = rationale_files.read_rationales(out / f"{name}_rationales.jsonl")
        assert found == rationale_files.read_hatexplain(source)[split]
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        f"{out}/train.tsv and {out}/train_rationales.jsonl: 2 documents, 1 with marked tokens: "
        "1.0 or 50.0% of their tokens on average",
        f"{out}/dev.tsv and {out}/dev_rationales.jsonl: 1 documents, 1 with marked tokens: "
        "1.0 or 50.0% of their tokens on average",
    ]
    assert shown.err == ""


def test_a_broken_line_is_one_line_without_the_text_and_nothing_is_written(
    source, tmp_path, capsys
):
    text = json.dumps(ROWS[0]) + "\n" + '{"id": "2_gab", "tokens": ["old", "gate"], \n'
    (source / "val.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    out = tmp_path / "out"
    assert prepare_hatexplain.main([f"--input={source}", f"--output_dir={out}"]) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith(
        f"prepare_hatexplain.py: {source}/val.jsonl.gz:2: must be a JSON object, got "
    )
    assert shown.err.count("\n") == 1
    assert shown.out == ""
    assert "gate" not in shown.err
    assert not out.exists()


def test_the_number_of_annotators_is_handed_on(source, tmp_path, capsys):
    arguments = [f"--input={source}", f"--output_dir={tmp_path / 'out'}", "--min_annotators=2"]
    assert prepare_hatexplain.main(arguments) == 1
    assert "train.jsonl.gz:1: rationales must be a list, got nothing" in capsys.readouterr().err

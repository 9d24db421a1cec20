"""Data sets with human rationales come in whole, and what is wrong with them is said in one line without their text."""

import gzip
import json
import re
import tarfile

import pytest

from bert import datasets
from bert import options
from explain import rationale_files
from explain import rationales

MILL = rationales.Rationale(
    "mill", ("The", "river", "runs", "past", "it"), (False, True, True, False, True), "still"
)
GATE = rationales.Rationale("gate", ('an "old"', "gate\tand", "électric"), (False,) * 3, "moving")


def evidence(docid, start, end):
    return {"docid": docid, "start_token": start, "end_token": end, "text": "left as it is"}


def annotation(guid, label, *groups):
    return {"annotation_id": guid, "classification": label, "evidences": list(groups), "query": ""}


def write_lines(path, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


@pytest.fixture
def movies(tmp_path):
    """An ERASER folder of two splits, with a document of several lines and spaces."""
    folder = tmp_path / "movies"
    (folder / "docs").mkdir(parents=True)
    (folder / "docs" / "mill.txt").write_text(" The  river runs\n\npast a quiet mill \n")
    (folder / "docs" / "gate.txt").write_text("old gate\nby the wall\n")
    (folder / "docs" / "unused.txt").write_text("nobody names this")
    mill = annotation(
        "mill.txt",
        "POS",
        [evidence("mill.txt", 1, 3), evidence("mill.txt", 2, 4)],
        [evidence("mill.txt", 6, 7)],
    )
    write_lines(folder / "train.jsonl", [mill, annotation("gate.txt", "NEG")])
    write_lines(folder / "val.jsonl", [annotation("1", "NEG", [evidence("gate.txt", 0, 1)])])
    return folder


@pytest.fixture
def owners(tmp_path):
    """HateXplain as its owners publish it, of neutral words."""
    posts = {
        "a_gab": {
            "post_id": "a_gab",
            "annotators": [{"label": "offensive"}, {"label": "normal"}, {"label": "offensive"}],
            "rationales": [[1, 1, 0, 0], [0, 1, 0, 1]],
            "post_tokens": ["the", "river", "runs", "past"],
        },
        "b_gab": {
            "annotators": [{"label": "normal"}] * 3,
            "rationales": [],
            "post_tokens": ["a", "quiet", "mill"],
        },
        "c_gab": {
            "annotators": [{"label": "hatespeech"}, {"label": "hatespeech"}, {"label": "normal"}],
            "rationales": [[1, 0], [1, 0], [1, 1]],
            "post_tokens": ["old", "gate"],
        },
        "undecided": {
            "annotators": [{"label": "normal"}, {"label": "offensive"}, {"label": "hatespeech"}],
            "rationales": [],
            "post_tokens": ["no", "majority"],
        },
    }
    folder = tmp_path / "Data"
    folder.mkdir()
    (folder / "dataset.json").write_text(json.dumps(posts))
    divisions = {"train": ["b_gab", "a_gab"], "val": ["c_gab"], "test": []}
    (folder / "post_id_divisions.json").write_text(json.dumps(divisions))
    return folder


def change(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def marked(rationale):
    return [token for token, mark in zip(rationale.tokens, rationale.mask, strict=True) if mark]


def test_eraser_offsets_count_what_stands_between_white_space(movies):
    splits = rationale_files.read_eraser(movies)
    assert list(splits) == ["train", "val"]
    mill, gate = splits["train"]
    assert mill.guid == "mill.txt"
    assert mill.text == "The river runs past a quiet mill"
    assert mill.label == "POS"
    assert marked(mill) == ["river", "runs", "past", "mill"]
    assert gate == ("gate.txt", ("old", "gate", "by", "the", "wall"), (False,) * 5, "NEG")
    (val,) = splits["val"]
    assert (val.guid, marked(val)) == ("1", ["old"])


@pytest.mark.parametrize("top", ["movies", "data/movies", "."])
def test_an_eraser_archive_is_its_folder(movies, tmp_path, top):
    archive = tmp_path / "movies.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(movies, top)
    assert rationale_files.read_eraser(archive) == rationale_files.read_eraser(movies)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"end_token": 7', '"end_token": 8', r"train.jsonl:1: .*within the 7 tokens .*got 6 to 8"),
        ('"start_token": 6', '"start_token": 7', r"train.jsonl:1: .*got 7 to 7"),
        ('"start_token": 1', '"start_token": -1', r"train.jsonl:1: .*got -1 to 3"),
        ('"start_token": 1', '"start_token": "1"', r":1: start_token must be an integer, got str"),
        (
            '"docid": "mill.txt"',
            '"docid": "gate.txt"',
            r":1: .*one document .*got gate.txt, mill.txt",
        ),
        (
            '"gate.txt"',
            '"wall.txt"',
            r"train.jsonl:2: .*one document that is in docs/, got wall.txt",
        ),
        (
            '"classification": "NEG"',
            '"class": 1',
            r":2: classification must be a string, got nothing",
        ),
        ('"evidences": [[', '"evidences": [3, [', r":1: evidences must be a list, got int"),
        ('"evidences": [[', '"evidences": [[3, ', r":1: evidences must be a JSON object, got int"),
        (
            '{"annotation_id": "gate',
            '{annotation_id": "gate',
            r":2: must be a JSON object, got Expec",
        ),
        (
            '{"annotation_id": "mill',
            '[], {"annotation_id": "mill',
            r":1: must be a JSON object, got",
        ),
    ],
)
def test_a_broken_annotation_is_named_by_file_and_line(movies, old, new, message):
    change(movies / "train.jsonl", old, new)
    with pytest.raises(ValueError, match=message) as caught:
        rationale_files.read_eraser(movies)
    assert str(caught.value).startswith(f"{movies}/train.jsonl:")


def test_a_document_that_is_not_utf_8_is_named(movies):
    (movies / "docs" / "mill.txt").write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match=r"train.jsonl:1: docs/mill.txt: must be UTF-8 text"):
        rationale_files.read_eraser(movies)


def test_an_archive_that_was_cut_short_is_told(movies, tmp_path):
    archive = tmp_path / "movies.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(movies, "movies")
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"movies.tar.gz must be a whole tar archive, got"):
        rationale_files.read_eraser(archive)
    archive.write_text("no archive")
    with pytest.raises(ValueError, match=r"movies.tar.gz must be a whole tar archive, got"):
        rationale_files.read_eraser(archive)


def test_hatexplain_of_its_owners_takes_majority_and_union(owners):
    splits = rationale_files.read_hatexplain(owners)
    assert {split: len(found) for split, found in splits.items()} == {
        "train": 2,
        "val": 1,
        "test": 0,
    }
    normal, offensive = splits["train"]
    assert normal == ("b_gab", ("a", "quiet", "mill"), (False,) * 3, "normal")
    assert (offensive.guid, offensive.label) == ("a_gab", "offensive")
    assert marked(offensive) == ["the", "river", "past"]


@pytest.mark.parametrize(
    ("count", "train", "val"),
    [(1, ["the", "river", "past"], ["old", "gate"]), (2, ["river"], ["old"]), (3, [], ["old"])],
)
def test_a_token_counts_from_so_many_annotators_on(owners, count, train, val):
    splits = rationale_files.read_hatexplain(owners, count)
    assert marked(splits["train"][1]) == train
    assert marked(splits["val"][0]) == val
    assert splits["train"][0].mask == (False,) * 3


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz"])
def test_hatexplain_as_lines_takes_the_union_or_the_annotators_own_marks(tmp_path, ending):
    row = {
        "id": "a_gab",
        "label": "offensive",
        "tokens": ["the", "river", "runs"],
        "rationale_union": [1, 1, 0],
        "rationales": [[1, 1, 0], [0, 1, 0]],
    }
    normal = {
        "id": "b",
        "label": "normal",
        "tokens": ["a"],
        "rationale_union": [0],
        "rationales": [],
    }
    write_lines(tmp_path / f"val{ending}", [row, normal])
    (found, other) = rationale_files.read_hatexplain(tmp_path)["val"]
    assert found == ("a_gab", ("the", "river", "runs"), (True, True, False), "offensive")
    assert other.mask == (False,)
    (found, other) = rationale_files.read_hatexplain(tmp_path, 2)["val"]
    assert found.mask == (False, True, False)
    assert other.mask == (False,)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "dataset.json",
            '"a_gab": {',
            '"x_gab": {',
            r"post a_gab: it must be a JSON object, got nothing",
        ),
        (
            "dataset.json",
            "[0, 1, 0, 1]",
            "[0, 1, 0]",
            r"a_gab: .*one mark a token, got \[4, 3\] for 4",
        ),
        (
            "dataset.json",
            "[0, 1, 0, 1]",
            "[0, 1, 0, 2]",
            r"a_gab: rationales must hold 0 and 1 only",
        ),
        ("dataset.json", '"river"', "7", r"a_gab: tokens must be strings with one mark each"),
        (
            "dataset.json",
            '["the", "river", "runs", "past"]',
            '"the river"',
            r"a_gab: tokens must be a list",
        ),
        (
            "post_id_divisions.json",
            "a_gab",
            "undecided",
            r"post undecided: most annotators must agree",
        ),
        (
            "post_id_divisions.json",
            '"val"',
            '"dev"',
            r"divisions.json: val must be a list, got nothing",
        ),
    ],
)
def test_a_broken_post_is_named_and_never_shown(owners, file, old, new, message):
    change(owners / file, old, new)
    with pytest.raises(ValueError, match=message) as caught:
        rationale_files.read_hatexplain(owners)
    assert not re.search(r"\b(river|runs|past)\b", str(caught.value))


def test_half_of_the_annotators_are_no_majority(owners):
    change(owners / "dataset.json", '{"label": "offensive"}, {"label": "normal"}, ', "")
    change(
        owners / "dataset.json",
        '[{"label": "offensive"}]',
        '[{"label": "offensive"}, {"label": "normal"}]',
    )
    with pytest.raises(ValueError, match=r"post a_gab: most annotators must agree on a label"):
        rationale_files.read_hatexplain(owners)


def test_fewer_than_one_annotator_is_refused(owners):
    with pytest.raises(ValueError, match=r"min_annotators must be at least 1, got 0"):
        rationale_files.read_hatexplain(owners, 0)


@pytest.mark.parametrize("read", [rationale_files.read_eraser, rationale_files.read_hatexplain])
def test_a_place_without_the_data_set_says_what_it_must_hold(tmp_path, read):
    with pytest.raises(
        FileNotFoundError, match=r"must hold .*train.jsonl, val.jsonl or test.jsonl"
    ):
        read(tmp_path)


def test_a_split_is_written_for_training_and_for_scoring_in_the_same_order(tmp_path):
    table, lines = rationale_files.write_split(tmp_path / "out", "val", [MILL, GATE])
    assert (table.name, lines.name) == ("dev.tsv", "dev_rationales.jsonl")
    assert rationale_files.read_rationales(lines) == (MILL, GATE)
    first = json.loads(lines.read_text(encoding="utf-8").splitlines()[0])
    assert first == {
        "id": "mill",
        "label": "still",
        "tokens": ["The", "river", "runs", "past", "it"],
        "mask": [0, 1, 1, 0, 1],
    }
    config = options.DataConfig(train_file=str(table), dev_file=str(table))
    examples = datasets.FileProcessor(config).get_dev_examples("")
    assert [(e.guid, e.text_a, e.label) for e in examples] == [
        ("mill", "The river runs past it", "still"),
        ("gate", 'an "old" gate\tand électric', "moving"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"mask": [0, 1,', '"mask": [', r"lines.jsonl:1: tokens .*got 5 tokens and 3 marks"),
        ('"mask": [0,', '"mask": ["river",', r"lines.jsonl:1: mask must hold 0 and 1 only"),
        ('"id": "mill"', '"id": 3', r"lines.jsonl:1: id must be a string, got int"),
        ('"mask"', '"marks"', r"lines.jsonl:1: mask must be a list, got nothing"),
    ],
)
def test_a_broken_line_of_our_own_is_named_and_never_shown(tmp_path, old, new, message):
    _, written = rationale_files.write_split(tmp_path, "train", [MILL])
    lines = written.rename(tmp_path / "lines.jsonl")
    change(lines, old, new)
    with pytest.raises(ValueError, match=message) as caught:
        rationale_files.read_rationales(lines)
    assert not re.search(r"\b(river|runs|past)\b", str(caught.value))

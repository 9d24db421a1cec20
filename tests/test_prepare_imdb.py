import gzip
import json
import tarfile

import pytest

from bert import datasets
from scripts import prepare_imdb

TEXTS = [
    'He said "wow"',
    "one\ttab",
    "two\nlines",
    "cr\rhere",
    '"',
    " spaces ",
    "naïve café",
    "<br /><br />",
]


@pytest.fixture
def acl_imdb(tmp_path):
    """A tree like aclImdb's, 4 positive and 4 negative reviews a split, and one that must not be read."""
    root = tmp_path / "aclImdb"
    for split in ("train", "test"):
        for index, text in enumerate(TEXTS):
            folder = root / split / ("pos" if index % 2 else "neg")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{index}_7.txt").write_bytes(f"{split} {text}".encode())
        (root / split / "unsup").mkdir()
        (root / split / "unsup" / "0_0.txt").write_text("not labelled")
    return root


def read(folder, split):
    return datasets.ImdbProcessor().read(folder, split)


def test_a_folder_becomes_tables_that_keep_every_byte(acl_imdb, tmp_path):
    out = tmp_path / "out"
    assert prepare_imdb.main([f"--input={acl_imdb}", f"--output_dir={out}"]) == 0
    for split in ("train", "test"):
        assert (out / f"{split}.tsv").read_bytes().startswith(b"id\tlabel\ttext\n")
        examples = read(out, split)
        assert {e.text_a for e in examples} == {f"{split} {text}" for text in TEXTS}
        assert [e.label for e in examples] == ["1"] * 4 + [
            "0"
        ] * 4  # sorted, as the owners publish it
        assert examples[0].guid == f"{split}-1_7"
    assert not (out / "dev.tsv").exists()  # a tenth of 8 reviews is less than one of either label


def test_the_archive_gives_the_same_tables_as_the_folder(acl_imdb, tmp_path):
    archive = tmp_path / "aclImdb_v1.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(acl_imdb, "aclImdb")
    for name, source in (("a", acl_imdb), ("b", archive)):
        assert prepare_imdb.main([f"--input={source}", f"--output_dir={tmp_path / name}"]) == 0
    for split in ("train", "test"):
        assert read(tmp_path / "a", split) == read(tmp_path / "b", split)


def test_dev_comes_out_of_train_balanced_and_seeded(acl_imdb, tmp_path):
    def make(name, seed):
        out = tmp_path / name
        arguments = [
            f"--input={acl_imdb}",
            f"--output_dir={out}",
            "--dev_fraction=0.5",
            f"--seed={seed}",
        ]
        assert prepare_imdb.main(arguments) == 0
        return {split: [e.text_a for e in read(out, split)] for split in ("train", "dev", "test")}

    first = make("a", 1)
    assert len(first["train"]) == len(first["dev"]) == 4
    assert not set(first["train"]) & set(first["dev"])
    assert sorted(e.label for e in read(tmp_path / "a", "dev")) == ["0", "0", "1", "1"]
    assert first == make("b", 1)
    assert any(first["dev"] != make(f"c{seed}", seed)["dev"] for seed in (2, 3, 4))


def test_json_lines_are_read_and_a_sample_is_balanced(tmp_path):
    for split in ("train", "test"):
        with gzip.open(tmp_path / f"{split}_5k.jsonl.gz", "wt") as file:
            for index in range(20):
                row = {"id": f"{split}{index}", "label": int(index >= 10), "text": f"text {index}"}
                file.write(json.dumps(row) + "\n")
    out = tmp_path / "out"
    arguments = [
        f"--input={tmp_path}",
        f"--output_dir={out}",
        "--max_examples=8",
        "--dev_fraction=0.25",
    ]
    assert prepare_imdb.main(arguments) == 0
    counts = {split: [e.label for e in read(out, split)] for split in ("train", "dev", "test")}
    assert counts == {
        "train": ["0"] * 3 + ["1"] * 3,
        "dev": ["0", "1"],
        "test": ["0"] * 4 + ["1"] * 4,
    }


def test_a_source_without_reviews_gets_one_line_and_writes_nothing(tmp_path, capsys):
    assert prepare_imdb.main([f"--input={tmp_path}", f"--output_dir={tmp_path / 'out'}"]) == 1
    message = capsys.readouterr().err
    assert message.startswith("prepare_imdb.py: ")
    assert f"{tmp_path} must hold train reviews" in message
    assert not (tmp_path / "out").exists()


def test_a_broken_line_is_named(tmp_path, capsys):
    (tmp_path / "train.jsonl").write_text('{"label": 1, "text": "ok"}\n{"label": 1}\n')
    assert prepare_imdb.main([f"--input={tmp_path}", f"--output_dir={tmp_path / 'out'}"]) == 1
    assert "train.jsonl:2: must be a JSON object with label and text" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    ['{"label": "bad", "text": "x"}', '{"label": 1, "text": null}', '{"label": 2, "text": "x"}'],
)
def test_a_wrong_label_or_text_is_named(tmp_path, capsys, line):
    (tmp_path / "train.jsonl").write_text(line + "\n")
    assert prepare_imdb.main([f"--input={tmp_path}", f"--output_dir={tmp_path / 'out'}"]) == 1
    assert (
        "train.jsonl:1: label must be 0, 1, 'neg' or 'pos' and text a string"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("name", ["aclImdb_v1.tar.gz", "train.jsonl.gz"])
def test_a_file_that_was_cut_short_is_told_in_one_line(acl_imdb, tmp_path, capsys, name):
    folder = tmp_path / "cut"
    folder.mkdir()
    whole = tmp_path / name
    if name.endswith(".tar.gz"):
        with tarfile.open(whole, "w:gz") as tar:
            tar.add(acl_imdb, "aclImdb")
        source = folder / name
    else:
        whole.write_bytes(gzip.compress(b'{"label": 1, "text": "fine"}\n' * 50))
        source = folder
    (folder / name).write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert prepare_imdb.main([f"--input={source}", f"--output_dir={tmp_path / 'out'}"]) == 1
    told = capsys.readouterr().err
    assert f"{source} must be a whole archive, got" in told or (
        f"{folder / name}:1: must be a whole gzip file, got" in told and source == folder
    )


@pytest.mark.parametrize("count", [2, 3, 5, 7])
def test_a_sample_has_as_many_rows_as_asked_for(acl_imdb, tmp_path, count):
    out = tmp_path / "out"
    arguments = [
        f"--input={acl_imdb}",
        f"--output_dir={out}",
        f"--max_examples={count}",
        "--dev_fraction=0",
    ]
    assert prepare_imdb.main(arguments) == 0
    assert len(read(out, "train")) == len(read(out, "test")) == count


def test_an_older_dev_file_does_not_stay_beside_a_train_file_that_holds_its_rows(
    acl_imdb, tmp_path
):
    out = tmp_path / "out"
    for fraction in ("0.5", "0"):
        assert (
            prepare_imdb.main(
                [f"--input={acl_imdb}", f"--output_dir={out}", f"--dev_fraction={fraction}"]
            )
            == 0
        )
    assert not (out / "dev.tsv").exists()
    assert len(read(out, "train")) == 8


def test_a_sample_of_less_than_two_is_wrong_usage(acl_imdb, tmp_path):
    with pytest.raises(SystemExit) as caught:
        prepare_imdb.main([f"--input={acl_imdb}", f"--output_dir={tmp_path}", "--max_examples=0"])
    assert caught.value.code == 2

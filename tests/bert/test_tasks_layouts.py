"""The tasks of BERT-LRP (Wu and Ong 2020) in its layouts and in those of their owners: which file, which label."""

import os
import pathlib
import shutil

import pytest

from bert import datasets
from bert import options as options_lib
from bert import tasks

Example = datasets.InputExample
DATA = os.environ.get("BERT_DATA_DIR")
GLUE_QNLI = (
    "index\tquestion\tsentence\tlabel\n"
    '0\tWhat was "it"?\tIt was "that.\tentailment\n'
    "7\tWho came?\tNobody knew.\tnot_entailment\n"
)
GLUE_MRPC = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t5\t6\tA dog .\tOne dog .\n"
PAIRS = 'text_a\ttext_b\tlabel\nWhat is it?\tA "dog.\t1\nWho?\tA cat.\t0\n'


def find(name):
    return datasets.find_processor(options_lib.DataConfig(task_name=name))


def write(folder, files):
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8", newline="")


def parts(examples):
    return [(example.text_a, example.label) for example in examples]


@pytest.mark.parametrize(
    ("name", "labels", "written", "expected"),
    [
        ("IMDb", ["0", "1"], [0, 1], ["0", "1"]),
        ("SemEval", ["0", "1", "2"], [0, 2, 1], ["0", "2", "1"]),
        ("Yelp2", ["0", "1"], [2, 1], ["1", "0"]),
        ("Yelp5", ["0", "1", "2", "3", "4"], [5, 1, 3], ["4", "0", "2"]),
    ],
)
def test_bert_lrps_comma_separated_files(tmp_path, name, labels, written, expected):
    texts = ['He said, "no".', "two\nlines", " plain"]
    cells = ['"He said, ""no""."', '"two\nlines"', " plain"]
    rows = [f"{cell},{label}\n" for cell, label in zip(cells, written, strict=False)]
    write(
        tmp_path,
        {
            f"train_{name}.csv": "text,label\n" + "".join(rows),
            f"test_{name}.csv": "text,label\n" + "".join(rows[1:]),
        },
    )
    processor = find(name)
    assert processor.get_labels() == labels
    train = processor.get_train_examples(tmp_path)
    assert parts(train) == list(zip(texts, expected, strict=False))
    assert [example.guid for example in train][:2] == ["train-1", "train-2"]
    test = processor.get_test_examples(tmp_path)
    assert parts(test) == list(zip(texts, expected, strict=False))[1:]


@pytest.mark.parametrize(("name", "wrong"), [("Yelp2", "3"), ("Yelp2", "0"), ("Yelp5", "0")])
def test_yelp_labels_count_from_1(tmp_path, name, wrong):
    write(tmp_path, {f"train_{name}.csv": f"text,label\nfine,1\ndull,{wrong}\n"})
    with pytest.raises(ValueError, match=rf"csv:3: label must be one of '1', .*; got '{wrong}'"):
        find(name).get_train_examples(tmp_path)


def test_sst3_of_three_classes_is_tested_on_its_dev_file_unless_it_has_a_test_file(tmp_path):
    dev = 'text\tlabel\n"A ""so-so"" film"\t2\nGood\t1\n'
    write(
        tmp_path,
        {"sst-tenary-train.tsv": "text\tlabel\nBad\t0\n", "sst-tenary-dev.tsv": dev},
    )
    processor = find("SST3")
    assert processor.get_labels() == ["0", "1", "2"]
    assert parts(processor.get_train_examples(tmp_path)) == [("Bad", "0")]
    assert parts(processor.get_dev_examples(tmp_path)) == [('A "so-so" film', "2"), ("Good", "1")]
    test = processor.get_test_examples(tmp_path)
    assert test[0] == Example("test-1", 'A "so-so" film', None, "2")
    write(tmp_path, {"sst-tenary-test.tsv": "text\tlabel\nFine\t1\n"})
    assert parts(processor.get_test_examples(tmp_path)) == [("Fine", "1")]


def test_sst3_of_numbers_has_thresholds_and_leaves_out_what_lies_between(tmp_path):
    numbers = ["0", "0.2", "0.20001", "0.39999", "0.4", "0.5", "0.6", "0.60001", "0.8", "1.0"]
    rows = "".join(f"{number} is it,{number}\n" for number in numbers)
    write(tmp_path, {f"{split}_SST.csv": "text,label\n" + rows for split in ("train", "dev")})
    write(tmp_path, {"test_SST.csv": "text,label\nfine,.95\n"})
    train = find("SST3").get_train_examples(tmp_path)
    labels = ["0", "0", "2", "2", "2", "1", "1"]
    kept = ["0", "0.2", "0.4", "0.5", "0.6", "0.8", "1.0"]
    assert parts(train) == [(f"{n} is it", label) for n, label in zip(kept, labels, strict=True)]
    # numbered as the lines of the file, so that a row is found again
    assert [example.guid for example in train][1:3] == ["train-2", "train-5"]
    assert parts(find("SST3").get_dev_examples(tmp_path)) == parts(train)
    assert parts(find("SST3").get_test_examples(tmp_path)) == [("fine", "1")]


@pytest.mark.parametrize("wrong", ["good", "1.01", "-0.1", "nan", ""])
def test_what_is_no_sentiment_from_0_to_1_is_refused(tmp_path, wrong):
    write(tmp_path, {"train_SST.csv": f"text,label\nfine,0.9\ndull,{wrong}\n"})
    with pytest.raises(ValueError, match=r"csv:3: label must be one of '0 to 0\.2', .*; got"):
        find("SST3").get_train_examples(tmp_path)


def test_sst2_as_lines_of_label_and_text(tmp_path):
    for split in ("train", "dev", "test"):
        write(tmp_path, {f"stsa.binary.{split}": f'1 a "gem of a {split}\n0 too bad .\n'})
    processor = find("sst2")
    assert processor.get_train_examples(tmp_path) == [
        Example("train-0", 'a "gem of a train', None, "1"),
        Example("train-1", "too bad .", None, "0"),
    ]
    assert parts(processor.get_dev_examples(tmp_path))[0] == ('a "gem of a dev', "1")
    assert parts(processor.get_test_examples(tmp_path))[0] == ('a "gem of a test', "1")


def test_qnli_as_glue_lays_it_out(tmp_path):
    test = "index\tquestion\tsentence\n3\tWhere?\tThere."
    write(tmp_path, {"train.tsv": GLUE_QNLI, "dev.tsv": GLUE_QNLI, "test.tsv": test})
    processor = find("QNLI")
    assert processor.get_labels() == ["0", "1"]
    assert processor.get_train_examples(tmp_path) == [
        Example("train-0", 'What was "it"?', 'It was "that.', "0"),
        Example("train-7", "Who came?", "Nobody knew.", "1"),
    ]
    assert processor.get_dev_examples(tmp_path)[1].guid == "dev-7"
    assert processor.get_test_examples(tmp_path) == [Example("test-3", "Where?", "There.")]


@pytest.mark.parametrize("name", ["QNLI", "MRPC"])
def test_bert_lrps_pairs_have_three_columns_and_are_tested_on_the_dev_file(tmp_path, name):
    write(tmp_path, {"train.tsv": PAIRS, "dev.tsv": PAIRS.replace("cat", "cow")})
    processor = find(name)
    assert processor.get_labels() == ["0", "1"]
    assert processor.get_train_examples(tmp_path) == [
        Example("train-1", "What is it?", 'A "dog.', "1"),
        Example("train-2", "Who?", "A cat.", "0"),
    ]
    assert processor.get_dev_examples(tmp_path)[1] == Example("dev-2", "Who?", "A cow.", "0")
    assert processor.get_test_examples(tmp_path)[1] == Example("test-2", "Who?", "A cow.", "0")


@pytest.mark.parametrize(("name", "content"), [("qnli", GLUE_QNLI), ("mrpc", GLUE_MRPC)])
def test_glues_dev_file_is_no_test_file(tmp_path, name, content):
    write(tmp_path, {"train.tsv": content, "dev.tsv": content})
    with pytest.raises(FileNotFoundError, match=r"test\.tsv must be a tab-separated file"):
        find(name).get_test_examples(tmp_path)


def test_the_first_layout_is_read_where_a_folder_has_two_and_named_where_it_has_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"train\.tsv must be a tab-separated file"):
        find("imdb").get_train_examples(tmp_path)
    write(tmp_path, {"train_IMDb.csv": "text,label\nsecond,1\n"})
    assert parts(find("imdb").get_train_examples(tmp_path)) == [("second", "1")]
    write(tmp_path, {"train.tsv": "id\tlabel\ttext\n4\t0\tfirst\n"})
    assert parts(find("imdb").get_train_examples(tmp_path)) == [("first", "0")]


def test_all_tasks_of_bert_lrp_are_known_by_its_names():
    names = ["IMDb", "SemEval", "SST2", "SST3", "SST5", "Yelp5", "Yelp2", "QNLI", "MRPC"]
    assert all(name.lower() in tasks.TASKS for name in names)


@pytest.mark.skipif(DATA is None, reason="needs SST-2 as GLUE publishes it: set $BERT_DATA_DIR")
def test_the_development_set_of_sst2(tmp_path):
    shutil.copy(pathlib.Path(DATA) / "sst" / "sst2_dev.tsv", tmp_path / "dev.tsv")
    dev = find("sst2").get_dev_examples(tmp_path)
    assert [sum(example.label == label for example in dev) for label in "01"] == [428, 444]
    assert dev[0] == Example("dev-1", "it 's a charming and often affecting journey . ", None, "1")

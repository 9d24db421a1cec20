import os
import pathlib

import pytest

from bert import datasets
from bert import options as options_lib
from scripts import prepare_sentiment

DATA = os.environ.get("BERT_DATA_DIR")
TREES = (
    r"(4 (4 A) (4 (2 gem) (3 \/)))",
    "(0 (1 Dull) (2 -LRB-))",
    "(2 (2 So) (2 so))",
    "(1 (2 gem) (0 dud))",
    "(3 (2 quite) (3 good))",
)
FLAT = ("4 A gem /", "0 Dull (", "2 So so", "1 gem dud", "3 quite good")
FAST = [f"__label__{int(line[0]) + 1}\t{line[2:]}" for line in FLAT]
REVIEWS = ('"5","Go ""there"".\\nNow, \\""please\\""."', '"1","Do not."', '"3","C:\\dir"')


def write(path, lines):
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def examples(task, folder, split):
    processor = datasets.find_processor(options_lib.DataConfig(task_name=task))
    found = getattr(processor, f"get_{split}_examples")(str(folder))
    return [(example.text_a, example.label) for example in found]


def run(task, folder, *arguments):
    return prepare_sentiment.main(
        [f"--task={task}", f"--output_dir={folder}", *map(str, arguments)]
    )


@pytest.mark.parametrize("lines", [TREES, FLAT, FAST], ids=["trees", "stsa", "fasttext"])
@pytest.mark.parametrize(
    ("task", "labels"),
    [("sst5", "40213"), ("sst3", "10201"), ("sst2", "10 01")],
)
def test_sst_becomes_the_same_files_from_any_layout(tmp_path, lines, task, labels):
    source = write(tmp_path / "source.txt", lines)
    assert run(task, tmp_path, "--train", source, "--dev", source, "--test", source) == 0
    texts = ["A gem /", "Dull (", "So so", "gem dud", "quite good"]
    expected = [pair for pair in zip(texts, labels, strict=True) if pair[1] != " "]
    for split in ("train", "dev", "test"):
        assert examples(task, tmp_path, split) == expected


def test_a_sentence_that_comes_twice_stays_twice(tmp_path):
    source = write(tmp_path / "trees.txt", [*TREES[:2], TREES[0]])
    assert run("sst5", tmp_path, "--dev", source) == 0
    assert [text for text, _ in examples("sst5", tmp_path, "dev")] == [
        "A gem /",
        "Dull (",
        "A gem /",
    ]


def test_phrases_of_the_training_trees_are_taken_once_each(tmp_path):
    source = write(tmp_path / "trees.txt", TREES)
    assert run("sst5", tmp_path, "--train", source, "--dev", source, "--phrases") == 0
    assert examples("sst5", tmp_path, "train") == [
        ("A gem /", "4"),
        ("A", "4"),
        ("gem /", "4"),
        ("gem", "2"),
        ("/", "3"),
        ("Dull (", "0"),
        ("Dull", "1"),
        ("(", "2"),
        ("So so", "2"),
        ("So", "2"),
        ("so", "2"),
        ("gem dud", "1"),
        ("dud", "0"),
        ("quite good", "3"),
        ("quite", "2"),
        ("good", "3"),
    ]
    assert len(examples("sst5", tmp_path, "dev")) == 5
    assert run("sst2", tmp_path, "--train", source, "--phrases", "--dev_fraction=0") == 0
    binary = examples("sst2", tmp_path, "train")
    assert len(binary) == 10
    assert dict(binary)["gem /"] == "1"


def test_yelp_reviews_keep_quotes_and_newlines_and_lose_their_escapes(tmp_path):
    source = write(tmp_path / "train.csv", REVIEWS)
    assert run("yelp5", tmp_path, "--train", source, "--dev", source, "--test", source) == 0
    expected = [('Go "there".\nNow, "please".', "4"), ("Do not.", "0"), ("C:\\dir", "2")]
    for split in ("train", "dev", "test"):
        assert examples("yelp5", tmp_path, split) == expected
    binary = write(tmp_path / "binary.csv", ('"2","Go."', '"1","No."'))
    assert run("yelp2", tmp_path, "--test", binary) == 0
    assert examples("yelp2", tmp_path, "test") == [("Go.", "1"), ("No.", "0")]


def test_tweets_of_several_years_become_one_file(tmp_path):
    first = write(
        tmp_path / "2013.txt", ('1\tpositive\tIt\\u2019s "on"', "2\tneutral\tRT\\ud83d x")
    )
    second = write(tmp_path / "2016.txt", ("3\tnegative\tno \u2013 it's off\t",))
    assert run("semeval", tmp_path, "--train", first, second, "--test", second) == 0
    assert run("semeval", tmp_path, "--train", first, second, "--dev_fraction=0") == 0
    assert examples("semeval", tmp_path, "train") == [
        ('It\u2019s "on"', "2"),
        ("RT\\ud83d x", "1"),
        ("no \u2013 it's off", "0"),
    ]
    assert examples("semeval", tmp_path, "test") == [("no \u2013 it's off", "0")]


def test_dev_is_held_out_of_train_where_there_is_none_and_a_sample_is_balanced(tmp_path):
    lines = [f"{index % 5} text {index}" for index in range(100)]
    source = write(tmp_path / "train.txt", lines)
    assert run("sst5", tmp_path, "--train", source, "--dev_fraction=0.2") == 0
    train, dev = (examples("sst5", tmp_path, split) for split in ("train", "dev"))
    assert sorted(label for _, label in dev) == sorted("01234" * 4)
    assert len(train) == 80
    assert {text for text, _ in train + dev} == {f"text {index}" for index in range(100)}
    arguments = ("--train", source, "--max_examples=25", "--dev_fraction=0")
    assert run("sst5", tmp_path, *arguments) == 0
    assert sorted(label for _, label in examples("sst5", tmp_path, "train")) == sorted("01234" * 5)
    assert not (tmp_path / "stsa.fine.dev").exists()  # it held what is in the training set now
    sample = (tmp_path / "stsa.fine.train").read_bytes()
    assert run("sst5", tmp_path, *arguments) == 0
    assert (tmp_path / "stsa.fine.train").read_bytes() == sample
    assert run("sst5", tmp_path, *arguments, "--seed=7") == 0
    assert (tmp_path / "stsa.fine.train").read_bytes() != sample


@pytest.mark.parametrize(
    ("task", "lines", "message"),
    [
        ("sst5", ("3 fine", "5 fine"), "source.txt:2: must be `3 text` (0 to 4)"),
        ("sst5", ("(3 fine)", "3 fine"), "source.txt:2: a tree must be nodes"),
        ("sst5", ("__label__0\tdull",), "source.txt:1: must be `3 text`"),
        ("sst2", ("2 so so",), "source.txt must hold texts, got none"),
        ("yelp2", ('"3","fine"',), 'source.txt:1: must be "label","text" with a label of 1, 2;'),
        ("yelp5", ('"0","fine"',), "with a label of 1, 2, 3, 4, 5; got ['0', 'fine']"),
        ("yelp5", ('"1","fine","x"',), 'source.txt:1: must be "label","text"'),
        ("semeval", ("1\tgood\tfine",), "with a label of negative, neutral, positive; got"),
        ("semeval", ("1\tneutral\tfine\tx",), "source.txt:1: must be id<TAB>label<TAB>text"),
        ("semeval", ("1\tneutral",), "source.txt:1: must be id<TAB>label<TAB>text"),
        ("semeval", (), "source.txt must hold texts, got none"),
    ],
)
def test_a_line_of_another_layout_is_named_and_nothing_is_written(
    tmp_path, capsys, task, lines, message
):
    source = write(tmp_path / "source.txt", lines)
    good = write(tmp_path / "good.txt", ("3 good",))
    train = good if task.startswith("sst") else source
    out = tmp_path / "out"
    assert run(task, out, "--train", train, "--test", source) == 1
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_missing_file_is_told_in_one_line(tmp_path, capsys):
    assert run("sst5", tmp_path, "--train", tmp_path / "none.txt") == 1
    error = capsys.readouterr().err
    assert error.startswith("prepare_sentiment.py: ")
    assert "none.txt" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "at least one of --train, --dev and --test must name a file"),
        (["--train=a", "--dev_fraction=1"], "--dev_fraction must be at least 0 and below 1"),
        (["--train=a", "--max_examples=1"], "--max_examples must be at least 2"),
        (["--train=a", "--phrases"], "--phrases needs --dev or --dev_fraction 0"),
        (["--task=yelp5", "--dev=a", "--phrases"], "--phrases needs trees"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit, match=r"^2$"):
        run("sst5", tmp_path, *arguments)
    assert message in capsys.readouterr().err


@pytest.mark.skipif(DATA is None, reason="needs the sentences and trees of SST: set $BERT_DATA_DIR")
def test_the_real_trees_and_sentences_of_sst_agree(tmp_path):
    sst = pathlib.Path(DATA) / "sst"
    trees, sentences = tmp_path / "trees", tmp_path / "sentences"
    assert run("sst5", trees, "--dev", sst / "sst_trees_dev.txt.gz") == 0
    train_and_dev = ("--train", sst / "sst5_train.txt", "--dev", sst / "sst5_dev.txt")
    assert run("sst5", sentences, *train_and_dev) == 0
    dev = examples("sst5", sentences, "dev")
    assert examples("sst5", trees, "dev") == dev
    counts = [sum(label == wanted for _, label in dev) for wanted in "01234"]
    assert counts == [139, 289, 229, 279, 165]
    train = examples("sst5", sentences, "train")
    # 1092 2218 1624 2322 1288 as published
    assert [sum(label == wanted for _, label in train) for wanted in "01234"] == [
        1092,
        2218,
        1624,
        2322,
        1288,
    ]
    assert run("sst2", sentences, *train_and_dev) == 0
    published = (sst / "sst2_dev.tsv").read_text(encoding="utf-8").splitlines()[1:]
    binary = {(text.lower(), label) for text, label in examples("sst2", sentences, "dev")}
    assert {tuple(line.replace(" \t", "\t").split("\t")) for line in published} == binary
    assert run("sst3", sentences, *train_and_dev) == 0
    three = [label for _, label in examples("sst3", sentences, "dev")]
    assert [three.count(label) for label in "012"] == [139 + 289, 279 + 165, 229]

"""Files and classes of the user's own: formats, columns, labels, and what is said of a wrong one."""

import csv
import gzip
import json

import pytest

from bert import datasets
from bert import options as options_lib

REVIEWS = [("fine", "pos", "r1"), ('so, "dull"\tand\nlong', "neg", "r2"), ("", "pos", "r3")]
EXPECTED = [
    datasets.InputExample("r1", "fine", None, "pos"),
    datasets.InputExample("r2", 'so, "dull"\tand\nlong', None, "neg"),
    datasets.InputExample("r3", "", None, "pos"),
]


def save(path, rows, columns):
    """Write rows as the suffix of the path says."""
    packed = path.suffix == ".gz"
    with (gzip.open if packed else open)(path, "wt", encoding="utf-8", newline="") as file:
        if ".jsonl" in path.name:
            file.writelines(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows)
        else:
            delimiter = "\t" if ".tsv" in path.name else ","
            csv.writer(file, delimiter=delimiter).writerows([columns, *rows])
    return str(path)


def own(**options):
    return datasets.find_processor(options_lib.DataConfig(**options))


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".jsonl", ".tsv.gz", ".csv.gz", ".jsonl.gz"])
def test_own_files_of_every_format_give_the_same_examples(tmp_path, suffix):
    path = save(tmp_path / f"a{suffix}", REVIEWS, ("text", "label", "id"))
    processor = own(train_file=path, dev_file=path, test_file=path)
    assert processor.get_labels() == ["neg", "pos"]
    assert processor.get_train_examples("ignored") == EXPECTED
    assert processor.get_dev_examples("ignored") == EXPECTED
    assert processor.get_test_examples("ignored") == EXPECTED


def test_own_files_may_name_their_columns_and_hold_pairs(tmp_path):
    rows = [
        ("x", "to", "bug", "from", ""),
        ("x", "b", "idea", "a", "g"),
        ("x", "d", "bug", "c", ""),
    ]
    path = save(tmp_path / "a.csv", rows, ("note", "reply", "kind", "mail", "guid"))
    columns = {"text_column": "mail", "text_b_column": "reply", "label_column": "kind"}
    processor = own(train_file=path, **columns)
    assert processor.get_train_examples("") == [
        datasets.InputExample("train-2", "from", "to", "bug"),
        datasets.InputExample("g", "a", "b", "idea"),
        datasets.InputExample("train-4", "c", "d", "bug"),
    ]


def test_relative_names_are_not_looked_for_in_the_data_folder(tmp_path, monkeypatch):
    save(tmp_path / "a.csv", REVIEWS, ("text", "label", "id"))
    monkeypatch.chdir(tmp_path)
    assert own(train_file="a.csv").get_train_examples("elsewhere") == EXPECTED


def test_a_test_file_may_be_unlabelled_as_a_whole_or_in_part(tmp_path):
    path = save(tmp_path / "a.csv", [("so",), ("fine",)], ("text",))
    assert own(test_file=path).get_test_examples("") == [
        datasets.InputExample("test-2", "so", None, None),
        datasets.InputExample("test-3", "fine", None, None),
    ]
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "label": null}\n{"text": "b"}\n{"text": "c", "label": 0}\n')
    processor = own(test_file=str(path), label_map="0=no,1=yes")
    assert [example.label for example in processor.get_test_examples("")] == [None, None, "no"]


def test_without_a_label_column_no_cell_is_taken_for_a_label(tmp_path):
    path = save(tmp_path / "a.csv", [("1", "so"), ("superb", "fine")], ("", "text"))
    processor = datasets.FileProcessor(options_lib.DataConfig(label_column=""), ["0", "1"])
    found = list(processor.examples(path, "test", None))
    assert [(example.text_a, example.label) for example in found] == [("so", None), ("fine", None)]


@pytest.mark.parametrize(
    ("values", "label_map", "known", "expected"),
    [
        (["b", "a", "B", "é"], None, (), ["B", "a", "b", "é"]),
        (["10", "9", "-1", "09"], None, (), ["-1", "09", "9", "10"]),
        (["10", "9", "x"], None, (), ["10", "9", "x"]),
        (["pos", "neg"], "pos=good,neg=bad", (), ["good", "bad"]),
        (["pos", "neg"], "pos=1, neg=0, mixed = 0", (), ["0", "1"]),
        (["0", "1"], "0=negative,1=positive", (), ["negative", "positive"]),
        (["b", "a"], None, ("b", "a"), ["b", "a"]),
        (["1", "0"], "1=yes,0=no", ("no", "yes"), ["no", "yes"]),
        (["b", "a"], None, ("c", "b", "a"), ["a", "b"]),
        (None, None, ("c", "b", "a"), ["c", "b", "a"]),
        (None, "x=b,y=a", (), ["b", "a"]),
    ],
)
def test_labels_come_from_the_map_or_the_training_file_or_the_trained_model(
    tmp_path, values, label_map, known, expected
):
    options = {"test_file": "not read", "label_map": label_map}
    if values is not None:
        rows = [("text", value) for value in values]
        options["train_file"] = save(tmp_path / "a.tsv", rows, ("text", "label"))
    processor = datasets.find_processor(options_lib.DataConfig(**options), known)
    assert processor.get_labels() == expected


def test_a_label_map_translates_every_split(tmp_path):
    path = save(tmp_path / "a.csv", [("a", "pos"), ("b", "neg"), ("c", "ok")], ("text", "label"))
    processor = own(train_file=path, test_file=path, label_map="neg=0,pos=1,ok=1")
    assert [example.label for example in processor.get_train_examples("")] == ["1", "0", "1"]
    assert [example.label for example in processor.get_test_examples("")] == ["1", "0", "1"]


@pytest.mark.parametrize(
    ("label_map", "message"),
    [
        ("pos", r"label_map must be value=label pairs .*, such as pos=1,neg=0; got 'pos' in 'pos'"),
        ("", r"got '' in ''"),
        ("pos=1,", r"got '' in 'pos=1,'"),
        ("pos=,neg=0", r"got 'pos=' in"),
        ("=1,neg=0", r"got '=1' in"),
        ("a=b=c,neg=0", r"got 'a=b=c' in"),
        (
            "pos=1,neg=0,pos=0",
            r"label_map must name each value once, got 'pos' twice in 'pos=1,neg",
        ),
        (
            "pos=1,neg=1",
            r"there must be at least 2 labels to tell apart, got \['1'\]; .*--label_map",
        ),
    ],
)
def test_a_bad_label_map_is_refused(label_map, message):
    with pytest.raises(ValueError, match=message):
        own(dev_file="not read", label_map=label_map).get_labels()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            "text,label\na,1\nb,\n",
            r"a.csv:3: label must not be empty; label or remove the row",
        ),
        (
            "a.csv",
            "text,Label\na,1\n",
            r"a.csv:1: .*'label'; .*; did you mean 'Label'\? name yours with --label_column",
        ),
        (
            "a.csv",
            "text,label\na,1\nb,1\n",
            r"at least 2 labels to tell apart, got \['1'\]; give them",
        ),
        (
            "a.jsonl",
            '{"text": "a", "label": 1}\n{"text": "b"}\n',
            r"a.jsonl:2: the row must have the column 'label'; found 'text'",
        ),
        (
            "a.csv",
            "text,label\n" + "".join(f"{i},{i}\n" for i in range(1001)),
            r"a.csv:1002: the label column must hold at most 1000 .*, got more in 'label'; is this",
        ),
        ("a.txt", "text,label\n", r"a.txt must end in one of .tsv, .csv, .jsonl"),
    ],
)
def test_a_training_file_without_usable_labels_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        own(train_file=str(tmp_path / name)).get_labels()


@pytest.mark.parametrize(
    ("split", "content", "message"),
    [
        (
            "dev",
            "text,label\na,1\n\nb,2\n",
            r"a.csv:4: label must be one of '0', '1'; got '2'; correct the row, .* --label_map$",
        ),
        ("dev", "text,label\na,\n", r"a.csv:2: label must be one of '0', '1'; got ''"),
        ("test", "text,label\na,\nb,no\n", r"a.csv:3: label must be one of '0', '1'; got 'no'"),
        (
            "dev",
            "text\na\n",
            r"a.csv:1: .* the column 'label'; found 'text'; name yours with --label_column",
        ),
        (
            "test",
            "review,label\na,0\n",
            r"a.csv:1: .*'text'; found 'review', 'label'; name yours with --text_column$",
        ),
        ("test", "text\n", r"a.csv must hold at least one example, got none"),
        (
            "train",
            "",
            r"train_file must be given to read the train set, got none; add --train_file",
        ),
    ],
)
def test_a_bad_row_of_an_own_file_is_named(tmp_path, split, content, message):
    path = tmp_path / "a.csv"
    path.write_text(content)
    options = options_lib.DataConfig(dev_file=str(path), test_file=str(path))
    processor = datasets.find_processor(options, ["0", "1"])
    with pytest.raises(ValueError, match=message):
        getattr(processor, f"get_{split}_examples")("")


def test_unknown_labels_and_a_missing_second_text_are_refused(tmp_path):
    path = save(tmp_path / "a.csv", [("a", "1")], ("text", "label"))
    with pytest.raises(ValueError, match=r"at least 2 labels to tell apart, got \[\]; give them"):
        own(dev_file=path).get_labels()
    with pytest.raises(
        ValueError, match=r"a.csv:1: .* 'reply'; found .*; name yours with --text_b"
    ):
        own(test_file=path, text_b_column="reply").get_test_examples("")


class YesNo(datasets.DataProcessor):
    def get_labels(self):
        return ["no", "yes"]


def test_a_users_class_goes_before_their_files_and_these_before_a_task():
    found = own(task_name="imdb", train_file="a.csv", processor=f"{__name__}:YesNo")
    assert found.get_labels() == ["no", "yes"]
    assert isinstance(own(task_name="imdb", dev_file="a.csv"), datasets.FileProcessor)
    assert own(task_name="IMDb").get_labels() == ["0", "1"]


@pytest.mark.parametrize(
    ("task", "processor", "message"),
    [
        (
            "imbd",
            None,
            r"task_name must be one of cola, imdb, .*; got 'imbd'; did you mean 'imdb'\?",
        ),
        ("squad", None, r"got 'squad'; give files of your own with --train_file"),
        (None, "no.such:Thing", r"must be importable as package.module:name, got 'no.such:Thing'"),
        (None, "csv", r"must be importable as package.module:name"),
        (None, ".here:Thing", r"must be importable as package.module:name, got '.here:Thing'"),
        (None, "csv:reader", r"must be a subclass of bert.datasets.DataProcessor"),
    ],
)
def test_a_wrong_task_or_processor_says_what_is_legal(task, processor, message):
    with pytest.raises(ValueError, match=message):
        own(task_name=task, processor=processor)


def test_a_processor_without_a_split_says_what_to_define():
    with pytest.raises(NotImplementedError, match="YesNo must define get_dev_examples to evaluate"):
        YesNo().get_dev_examples("")

"""The known tasks, read from files laid out as their owners lay them out."""

import pytest

from bert import datasets
from bert import options as options_lib
from bert import tasks

Example = datasets.InputExample
ENTAILMENT = ["contradiction", "entailment", "neutral"]


def write(folder, files):
    for name, rows in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        lines = rows if isinstance(rows, str) else "".join("\t".join(row) + "\n" for row in rows)
        path.write_text(lines, encoding="utf-8", newline="")


def find(name):
    return datasets.find_processor(options_lib.DataConfig(task_name=name))


def test_imdb(tmp_path):
    rows = (
        'id\tlabel\ttext\n7\t1\t"He said ""wow"""\n8\t0\tA dull one.\n9\t0\t"two\nlines"\n10\t1\t\n'
    )
    write(tmp_path, {f"{split}.tsv": rows for split in ("train", "dev", "test")})
    processor = find("IMDb")
    assert processor.get_labels() == ["0", "1"]
    assert processor.get_train_examples(tmp_path) == [
        Example("train-7", 'He said "wow"', None, "1"),
        Example("train-8", "A dull one.", None, "0"),
        Example("train-9", "two\nlines", None, "0"),
        Example("train-10", "", None, "1"),
    ]
    assert processor.get_dev_examples(tmp_path)[1] == Example("dev-8", "A dull one.", None, "0")
    assert processor.get_test_examples(tmp_path)[3] == Example("test-10", "", None, "1")


def test_cola(tmp_path):
    rows = [
        ["gj04", "1", "", 'They said "drink the pub dry'],
        ["gj04", "0", "*", "They drank the pub."],
        ["bc01", "1", "", "The weights made the rope stretch over the pulley."],
        ["bc01", "0", "??", "He let the cats which were whining out."],
    ]
    test = [["index", "sentence"], ["0", "Bill whistled past the house."], ["1", '"I'], ["2", "x"]]
    write(tmp_path, {"train.tsv": rows, "dev.tsv": rows[1:], "test.tsv": test})
    processor = find("CoLA")
    assert processor.get_labels() == ["0", "1"]
    assert processor.get_train_examples(tmp_path) == [
        Example("train-0", 'They said "drink the pub dry', None, "1"),
        Example("train-1", "They drank the pub.", None, "0"),
        Example("train-2", "The weights made the rope stretch over the pulley.", None, "1"),
        Example("train-3", "He let the cats which were whining out.", None, "0"),
    ]
    assert processor.get_dev_examples(tmp_path)[0].guid == "dev-0"
    assert processor.get_test_examples(tmp_path) == [
        Example("test-1", "Bill whistled past the house."),
        Example("test-2", '"I'),
        Example("test-3", "x"),
    ]


def test_mrpc(tmp_path):
    rows = [
        ["\ufeffQuality", "#1 ID", "#2 ID", "#1 String", "#2 String"],
        ["1", "702876", "702977", '"Amrozi accused his brother .', "He accused him ."],
        ["0", "2108705", "2108831", "Yucaipa owned Dominick 's .", "Yucaipa bought Dominick 's ."],
        ["1", "1330381", "1330521", "They had published an advertisement .", "On June 10 , an ad"],
        ["0", "3344667", "3344648", "Tab shares jumped 20 cents .", '"Tab" shares jumped .'],
    ]
    test = [["index", *rows[0][1:]], *([str(i), *row[1:]] for i, row in enumerate(rows[1:]))]
    write(tmp_path, {"train.tsv": rows, "dev.tsv": rows[:2], "test.tsv": test})
    processor = find("mrpc")
    assert processor.get_labels() == ["0", "1"]
    assert processor.get_train_examples(tmp_path) == [
        Example("train-1", '"Amrozi accused his brother .', "He accused him .", "1"),
        Example("train-2", "Yucaipa owned Dominick 's .", "Yucaipa bought Dominick 's .", "0"),
        Example("train-3", "They had published an advertisement .", "On June 10 , an ad", "1"),
        Example("train-4", "Tab shares jumped 20 cents .", '"Tab" shares jumped .', "0"),
    ]
    assert [example.guid for example in processor.get_dev_examples(tmp_path)] == ["dev-1"]
    assert processor.get_test_examples(tmp_path)[3] == Example(
        "test-4", "Tab shares jumped 20 cents .", '"Tab" shares jumped .', None
    )


MNLI = ["index", "promptID", "pairID", "genre", *"abcd", "sentence1", "sentence2"]


def mnli_row(index, first, second, *labels):
    return [index, *"abcdefg", first, second, *labels]


def test_mnli(tmp_path):
    train = [
        [*MNLI, "label1", "gold_label"],
        mnli_row("0", "Conceptually cream skimming", "Product are", "neutral", "neutral"),
        mnli_row("1", "you know", "You lose", "entailment", "entailment"),
        mnli_row("11", '"One of', "A member", "entailment", "contradiction"),
        mnli_row("3", "How do you know?", "This information", "neutral", "entailment"),
    ]
    dev = [[*MNLI, *"12345", "gold_label"], mnli_row("6", "a", "b", *[""] * 5, "neutral")]
    write(
        tmp_path,
        {
            "train.tsv": train,
            "dev_matched.tsv": dev,
            "test_matched.tsv": [MNLI, mnli_row("5", "c", "d")],
        },
    )
    processor = find("MNLI")
    assert processor.get_labels() == ENTAILMENT
    assert processor.get_train_examples(tmp_path) == [
        Example("train-0", "Conceptually cream skimming", "Product are", "neutral"),
        Example("train-1", "you know", "You lose", "entailment"),
        Example("train-11", '"One of', "A member", "contradiction"),
        Example("train-3", "How do you know?", "This information", "entailment"),
    ]
    assert processor.get_dev_examples(tmp_path) == [Example("dev_matched-6", "a", "b", "neutral")]
    assert processor.get_test_examples(tmp_path) == [Example("test-5", "c", "d", None)]


XNLI_DEV = [
    ["language", "gold_label", *"abcd", "sentence1", "sentence2", "promptID"],
    ["ar", "neutral", *"abcd", "arabic 1", "arabic 2", "1"],
    ["zh", "contradiction", *"abcd", "他说,妈妈,我回来了。", '"他" 没说', "1"],
    ["de", "contradiction", *"abcd", "Und er hat gesagt", "Er sagte nichts", "1"],
    ["zh", "entailment", *"abcd", "三", "四", "2"],
]


def test_xnli(tmp_path):
    train = [
        ["premise", "hypo", "label"],
        ["从 概念 上 看", "产品 和 地理", "neutral"],
        ["一", "二", "contradictory"],
        ["三", "四", "entailment"],
        ["五", '"六', "contradiction"],
    ]
    write(tmp_path, {"multinli/multinli.train.zh.tsv": train, "xnli.dev.tsv": XNLI_DEV})
    processor = find("xnli")
    assert processor.get_labels() == ENTAILMENT
    assert processor.get_train_examples(tmp_path) == [
        Example("train-1", "从 概念 上 看", "产品 和 地理", "neutral"),
        Example("train-2", "一", "二", "contradiction"),
        Example("train-3", "三", "四", "entailment"),
        Example("train-4", "五", '"六', "contradiction"),
    ]
    assert processor.get_dev_examples(tmp_path) == [
        Example("dev-2", "他说,妈妈,我回来了。", '"他" 没说', "contradiction"),
        Example("dev-4", "三", "四", "entailment"),
    ]
    with pytest.raises(NotImplementedError, match=r"must have a test file, .* with --test_file"):
        processor.get_test_examples(tmp_path)


def test_xnli_in_another_language(tmp_path):
    train = [["premise", "hypo", "label"], ["Und", "Er", "contradictory"]]
    write(tmp_path, {"multinli/multinli.train.de.tsv": train, "xnli.dev.tsv": XNLI_DEV})
    processor = datasets.XnliProcessor("de")
    assert processor.get_train_examples(tmp_path) == [
        Example("train-1", "Und", "Er", "contradiction")
    ]
    assert [example.guid for example in processor.get_dev_examples(tmp_path)] == ["dev-3"]
    with pytest.raises(ValueError, match=r"xnli.dev.tsv must hold at least one example, got none"):
        datasets.XnliProcessor("fr").get_dev_examples(tmp_path)


def test_sst2(tmp_path):
    rows = "sentence\tlabel\nhide new secretions \t0\na \"gem \t1\n` why '\t1\nno\t0\n"
    write(
        tmp_path,
        {
            "train.tsv": rows,
            "dev.tsv": rows,
            "test.tsv": 'index\tsentence\n0\tuneasy mishmash\n1\t"x\n',
        },
    )
    processor = find("SST2")
    assert processor.get_labels() == ["0", "1"]
    assert processor.get_train_examples(tmp_path) == [
        Example("train-1", "hide new secretions ", None, "0"),
        Example("train-2", 'a "gem ', None, "1"),
        Example("train-3", "` why '", None, "1"),
        Example("train-4", "no", None, "0"),
    ]
    assert processor.get_dev_examples(tmp_path)[3] == Example("dev-4", "no", None, "0")
    assert processor.get_test_examples(tmp_path) == [
        Example("test-0", "uneasy mishmash"),
        Example("test-1", '"x'),
    ]


def test_sst5(tmp_path):
    lines = "4 a stirring , funny re-imagining\n1 too bad .\n0 ` eh . '\n3 9\\/11 \"a\n"
    write(
        tmp_path,
        {
            "stsa.fine.train": lines,
            "stsa.fine.dev": "2 um , no. \n",
            "stsa.fine.test": "3 a fun ride .\n",
        },
    )
    processor = find("SST5")
    assert processor.get_labels() == ["0", "1", "2", "3", "4"]
    assert processor.get_train_examples(tmp_path) == [
        Example("train-0", "a stirring , funny re-imagining", None, "4"),
        Example("train-1", "too bad .", None, "1"),
        Example("train-2", "` eh . '", None, "0"),
        Example("train-3", '9\\/11 "a', None, "3"),
    ]
    assert processor.get_dev_examples(tmp_path) == [Example("dev-0", "um , no. ", None, "2")]
    assert processor.get_test_examples(tmp_path) == [Example("test-0", "a fun ride .", None, "3")]


@pytest.mark.parametrize(
    ("task", "content", "message"),
    [
        (
            "cola",
            "a\t1\t\tok\nb\t2\t\tok\n",
            r"train.tsv:2: label must be one of '0', '1'; got '2'",
        ),
        ("cola", "a\t1\tok\n", r"train.tsv:1: a row must have 4 cells .*, got 3"),
        ("cola", "a\t1\t\tok\nb\t0\t\ttab\tin text\n", r"train.tsv:2: a row must have 4 cells"),
        ("mrpc", "Quality\ta\tb\tc\td\n", r"train.tsv must hold at least one example, got none"),
        ("mrpc", "", r"train.tsv must hold at least one example, got none"),
        ("mnli", "index\tlabel\n", r"train.tsv:1: a row must have 10 cells .*, got 2"),
        ("sst2", "sentence\tlabel\nfine\t-1\n", r"train.tsv:2: label must be .*; got '-1'"),
        (
            "sst5",
            "3 fine\n5 fine\n",
            r"stsa.fine.train:2: label must be one of '0', .*'4'; got '5'",
        ),
        ("sst5", "\n3\n", r"stsa.fine.train:2: a row must have 2 cells separated by ' ', got 1"),
    ],
)
def test_a_bad_file_is_named_with_line_and_reason(tmp_path, task, content, message):
    write(tmp_path, {tasks.TASKS[task].train.file: content})
    with pytest.raises(ValueError, match=message):
        find(task).get_train_examples(tmp_path)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("cola", datasets.ColaProcessor),
        ("imdb", datasets.ImdbProcessor),
        ("mnli", datasets.MnliProcessor),
        ("mrpc", datasets.MrpcProcessor),
        ("xnli", datasets.XnliProcessor),
    ],
)
def test_the_ancestors_classes_are_those_tasks(name, made):
    assert issubclass(made, datasets.DataProcessor)
    assert made().task == tasks.TASKS[name]

"""`scripts/explain_file.py`: every text of a file, its page and its accuracy."""

import re

import numpy as np
import pytest
import yaml

from explain import explanation
from explain import model
from scripts import explain_file
from tests.explain import classifier_folder

ROWS = [
    ("row-7", "the film was fine.", "good"),
    ("row-8", 'it was "so, so"\nfine', "so-so"),
    ("row-9", "i was dull", "bad"),
    ("row-10", "", "bad"),
    ("row-11", "dullness!", "good"),
]
FOUR = ("gradient_sensitivity", "gradient_x_input", "cp_lrp", "lat")


@pytest.fixture(scope="module")
def trained(tiny_release, tmp_path_factory):
    return classifier_folder.make(tmp_path_factory.mktemp("trained"), tiny_release)


def csv_file(folder, rows=ROWS, header="id,sentence,stars"):
    lines = [f'{guid},"{text.replace(chr(34), chr(34) * 2)}",{label}' for guid, text, label in rows]
    path = folder / "texts.csv"
    path.write_text("\n".join([header, *lines]) + "\n", newline="")
    return path


@pytest.fixture
def command(trained, tmp_path):
    """Return a function that runs the script on a file and returns its status."""

    def run(path, *more):
        out = tmp_path / "explained"
        return explain_file.cli_main(
            [f"--model_dir={trained}", f"--input_file={path}", f"--output_dir={out}", *more]
        )

    return run


def test_every_text_is_explained_by_every_method_as_the_explainer_does(
    command, trained, tmp_path, capsys
):
    status = command(csv_file(tmp_path), f"--method={','.join(FOUR)}", "--labels=stars")
    assert status == 0
    records = explanation.load_jsonl(tmp_path / "explained" / "explanations.jsonl")
    assert [(r.guid, r.method) for r in records] == [
        (guid, method) for guid, _, _ in ROWS for method in FOUR
    ]
    assert [(r.text, r.gold) for r in records[::4]] == [(text, label) for _, text, label in ROWS]
    explainer = model.load_explainer(trained, FOUR)
    for found, expected in zip(records, explainer([text for _, text, _ in ROWS]), strict=True):
        assert found.predicted == expected.predicted
        # 1e-5: another batch, another order of sums
        np.testing.assert_allclose(found.token_scores, expected.token_scores, rtol=1e-4, atol=1e-5)
    right = sum(r.predicted == r.gold for r in records[::4])
    told = capsys.readouterr().out.splitlines()
    assert told == [
        f"{tmp_path}/explained/explanations.jsonl: 20 explanations of 5 texts",
        f"{tmp_path}/explained/report.html: the first 5",
        f"accuracy: {right / 5:.4f} ({right} of 5)",
    ]


def test_the_texts_come_in_chunks_and_none_is_lost_or_named_after_another(
    command, tmp_path, monkeypatch
):
    monkeypatch.setattr(explain_file, "TEXTS_AT_ONCE", 2)
    assert command(csv_file(tmp_path), "--method=rollout,random", "--labels=stars") == 0
    records = explanation.load_jsonl(tmp_path / "explained" / "explanations.jsonl")
    assert [(r.guid, r.text, r.gold) for r in records[::2]] == ROWS


def test_the_file_is_read_as_it_is_explained(trained, monkeypatch):
    monkeypatch.setattr(explain_file, "TEXTS_AT_ONCE", 2)
    taken = []

    def examples():
        for number in range(6):
            taken.append(number)
            yield explain_file.datasets.InputExample(f"g{number}", "so fine")

    explainer = model.load_explainer(trained, ("random",))
    found = explain_file.explained(explainer, examples(), "predicted")
    assert next(found)[0].guid == "g0"
    assert taken == [0, 1]


def test_the_page_holds_the_first_texts_only_and_none_when_none_is_wanted(
    command, tmp_path, capsys
):
    assert command(csv_file(tmp_path), "--method=random", "--report_examples=2") == 0
    page = (tmp_path / "explained" / "report.html").read_text()
    assert ["row-7" in page, "row-8" in page, "row-9" in page] == [True, True, False]
    assert "report.html: the first 2\n" in capsys.readouterr().out
    (tmp_path / "explained" / "report.html").unlink()
    assert command(csv_file(tmp_path), "--method=random", "--report_examples=0") == 0
    assert not (tmp_path / "explained" / "report.html").exists()
    assert "accuracy" not in capsys.readouterr().out


def test_only_the_first_examples_are_read_when_so_asked(command, tmp_path):
    rows = [*ROWS[:2], ("x", "fine", "terrible")]  # no label of the model's, but behind the limit
    path = csv_file(tmp_path, rows)
    assert command(path, "--method=random", "--labels=stars", "--max_examples=2") == 0
    assert len(explanation.load_jsonl(tmp_path / "explained" / "explanations.jsonl")) == 2


def test_every_target_and_the_gold_label_can_be_explained(command, tmp_path):
    path = csv_file(tmp_path)
    assert command(path, "--method=occlusion", "--labels=stars", "--target=gold") == 0
    records = explanation.load_jsonl(tmp_path / "explained" / "explanations.jsonl")
    assert [record.target for record in records] == [label for _, _, label in ROWS]
    assert command(path, "--method=occlusion,random", "--target=all", "--max_examples=2") == 0
    records = explanation.load_jsonl(tmp_path / "explained" / "explanations.jsonl")
    assert [(r.guid, r.target) for r in records] == [
        (guid, target) for guid in ("row-7", "row-8") for target in ("bad", "good", "so-so", "")
    ]


def test_pairs_json_lines_and_long_texts_are_read(command, tmp_path):
    path = tmp_path / "pairs.jsonl"
    long = "so very fine " * 9
    path.write_text(
        f'{{"one": "it was fine", "two": "{long}"}}\n{{"one": "dull", "two": "a film"}}\n'
    )
    columns = ["--text_column=one", "--text_b_column=two", "--method=gradient_x_input"]
    assert command(path, *columns, "--long_text=window") == 0
    first, second = explanation.load_jsonl(tmp_path / "explained" / "explanations.jsonl")
    assert first.texts == ("it was fine", long)
    assert first.truncated == (0, 0)
    assert first.checks["windows"] > 1
    assert second.texts == ("dull", "a film")


def test_the_config_of_a_training_is_enough(trained, tmp_path, capsys):
    values = {
        "model": "minilm-l6",
        "data_path": "gone.csv",
        "output_dir": str(trained),
        "batch_size": 8,
        "num_epochs": 1,
        "attention_layers": [],
        "text_column": "sentence",
        "label_map": "worst=bad,best=good,middling=so-so",
        "method": "rollout",
        "method_options": {"random": {"seed": 3}},
        "word_scores": "mean",
        "long_text": "window",
    }
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(values))
    path = csv_file(tmp_path, [("a", "so fine", "best"), ("b", "so dull", "worst")])
    arguments = [f"--config={config}", f"--input_file={path}", "--labels=stars"]
    assert explain_file.cli_main(arguments) == 0
    records = explanation.load_jsonl(trained / "explanations" / "explanations.jsonl")
    assert [(r.gold, r.method) for r in records] == [("good", "rollout"), ("bad", "rollout")]
    assert explain_file.cli_main([*arguments, "--method=random"]) == 0
    (drawn, _) = explanation.load_jsonl(trained / "explanations" / "explanations.jsonl")
    assert drawn.settings["options"] == {"seed": 3}
    settings = records[0].settings
    assert (settings["word_scores"], settings["long_text"]) == ("mean", "window")


@pytest.mark.parametrize(
    ("rows", "header", "more", "expected"),
    [
        (
            [*ROWS, ("c", "x", "superb")],
            "id,sentence,stars",
            ["--labels=stars"],
            r"csv:8: label must be one of",
        ),
        (
            ROWS,
            "id,comment,stars",
            [],
            r"csv:1: must have a column named 'text' or .*--text_column",
        ),
        (ROWS, "id,text,stars", ["--text_column=texts"], r"named 'texts', found .*--text_column"),
        (
            ROWS,
            "id,text,stars",
            ["--labels=label"],
            r"csv:1: must have a column named 'label'.*--labels",
        ),
        (ROWS, "id,text,stars", ["--labels="], r"csv:1: must have a column named '', found"),
        (ROWS, "id,text", [], r"csv:2: a row must have 2 comma-separated cells"),
        ([], "id,text,stars", [], r"must hold a header and at least one row"),
        (ROWS, "id,text,stars", ["--target=superb"], r"a class must be one of"),
    ],
)
def test_what_is_wrong_with_the_file_is_told_and_nothing_is_written(
    command, tmp_path, caplog, rows, header, more, expected
):
    assert command(csv_file(tmp_path, rows, header), *more) == 1
    (record,) = [r for r in caplog.records if r.levelname == "ERROR"]
    assert record.getMessage().startswith("explain_file.py: ")
    assert re.search(expected, record.getMessage())
    assert not [*(tmp_path / "explained").glob("*")]


@pytest.mark.parametrize("index", ["0", "good"])
def test_the_nameless_index_column_of_pandas_is_no_label(command, tmp_path, capsys, index):
    path = tmp_path / "pandas.csv"
    path.write_text(f",text\n{index},fine\n7,dull\n")
    assert command(path, "--method=random") == 0
    assert "accuracy" not in capsys.readouterr().out
    records = explanation.load_jsonl(tmp_path / "explained" / "explanations.jsonl")
    assert [(record.text, record.gold) for record in records] == [("fine", None), ("dull", None)]


@pytest.mark.parametrize("first", ['"label": null, "text": "fine"', '"text": "fine"'])
def test_json_lines_may_begin_with_an_unlabelled_row(command, tmp_path, capsys, first):
    path = tmp_path / "texts.jsonl"
    path.write_text(f'{{{first}}}\n{{"text": "dull", "label": "bad"}}\n')
    assert command(path, "--method=random", "--labels=label") == 0
    records = explanation.load_jsonl(tmp_path / "explained" / "explanations.jsonl")
    assert [record.gold for record in records] == [None, "bad"]
    assert " of 1)" in capsys.readouterr().out


def test_a_misspelt_method_is_wrong_usage(command, tmp_path, caplog):
    assert command(csv_file(tmp_path), "--method=occlusoin") == 2
    assert told(caplog).endswith("got 'occlusoin'; did you mean 'occlusion'?")
    assert not [*(tmp_path / "explained").glob("*")]


@pytest.fixture
def no_model(monkeypatch):
    """Fail where the model is loaded."""

    def load(*arguments, **settings):
        raise AssertionError("loaded")

    monkeypatch.setattr(explain_file.model, "load_explainer", load)


def told(caplog):
    (record,) = [r for r in caplog.records if r.levelname == "ERROR"]
    return record.getMessage()


def test_a_bad_row_is_told_before_the_model_is_loaded(command, tmp_path, no_model):
    rows = [*ROWS, ("c", "x", "superb")]
    assert command(csv_file(tmp_path, rows), "--labels=stars") == 1


@pytest.mark.parametrize("target", ["gold", "gold-bad", "bad-gold"])
def test_a_text_without_the_true_label_that_the_target_needs_is_named_before_anything_heavy(
    command, tmp_path, no_model, caplog, target
):
    path = csv_file(tmp_path, [*ROWS, ("row-12", "so fine", "")])
    assert command(path, "--labels=stars", f"--target={target}") == 1
    assert told(caplog).startswith(
        f"explain_file.py: row-12: must have a true label for the target {target!r}, got none; "
    )


def test_a_pair_that_no_window_holds_is_named_before_anything_heavy(
    command, tmp_path, no_model, caplog
):
    long = "so very fine " * 9
    path = tmp_path / "pairs.jsonl"
    path.write_text(
        f'{{"text": "dull", "more": "{long}"}}\n{{"text": "{long}", "more": "{long}"}}\n'
    )
    assert command(path, "--text_b_column=more", "--long_text=window") == 1
    assert told(caplog).startswith(
        "explain_file.py: test-2: the shorter text of a pair must fit half of max_seq_length="
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--input_file=a.csv", "--output_dir=o"],
        ["--model_dir=m", "--input_file=a.csv"],
        ["--model_dir=m", "--input_file=a.csv", "--output_dir=o", "--max_examples=0"],
        ["--model_dir=m", "--input_file=a.csv", "--output_dir=o", "--report_examples=-1"],
        ["--model_dir=m", "--input_file=a.csv", "--output_dir=o", "--long_text=windows"],
    ],
)
def test_wrong_usage_ends_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        explain_file.cli_main(arguments)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err

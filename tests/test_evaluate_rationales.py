"""The command that measures explanations, on texts that people marked."""

import json

import numpy as np
import pytest

from tests import evaluating

METHODS = evaluating.METHODS
folder, evaluate = evaluating.folder, evaluating.evaluate


def test_an_id_that_erasers_files_cannot_have_is_refused_before_anything_is_measured(
    evaluate, tmp_path
):
    marked = tmp_path / "dev.jsonl"
    row = {"id": "a/b", "tokens": ["the", "film"], "mask": [0, 1], "label": "good"}
    marked.write_text(json.dumps(row) + "\n")
    status, _, log = evaluate(data=("--rationales", str(marked)))
    assert status == 1
    assert "guid must be a file name to be a docid, got 'a/b'" in log
    assert not (tmp_path / "out").exists()


def test_texts_that_people_marked_are_measured_against_their_marks(evaluate, tmp_path):
    marked = tmp_path / "dev.jsonl"
    rows = [
        {"id": "a", "tokens": ["the", "film"], "mask": [0, 1], "label": "good"},
        {"id": "b", "tokens": ["it", "was", "dull"], "mask": [0, 0, 1], "label": "bad"},
    ]
    marked.write_text("".join(json.dumps(row) + "\n" for row in rows))
    status, _, log = evaluate("--protocols", "deletion", data=("--rationales", str(marked)))
    assert status == 0, log
    results = json.loads((tmp_path / "out" / "e.json").read_text())
    assert results["settings"]["rationale"] == "1 tokens"
    own = ("--protocols", "deletion", "--top_k", "2", "--output", str(tmp_path / "two" / "e.json"))
    assert evaluate(*own, data=("--rationales", str(marked)))[0] == 0
    stated = json.loads((tmp_path / "two" / "e.json").read_text())["settings"]
    assert stated["rationale"] == "2 tokens"
    folder = tmp_path / "out" / "e_eraser"
    lines = (folder / "attention_last.jsonl").read_text().splitlines()
    (first,) = (line for line in lines if '"annotation_id": "a"' in line)
    assert (folder / "docs" / "b").read_text() == "it was dull\n"
    (folder / "other.jsonl").write_text("of another method")
    assert evaluate("--protocols", "deletion", data=("--rationales", str(marked)))[0] == 0
    left = {path.name for path in folder.glob("*.jsonl")}
    assert left == {"test.jsonl", "gradient_x_input.jsonl", "attention_last.jsonl"}
    assert "words" not in results
    prediction = json.loads(first)
    assert prediction["annotation_id"] == "a"
    assert len(prediction["rationales"][0]["soft_rationale_predictions"]) == 2
    metrics = {row["metric"] for row in results["rows"] if row["protocol"] == "rationales"}
    assert {"auprc", "token_f1", "iou_f1", "eraser_iou_f1", "average_precision"} <= metrics


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", ": must hold a line a text, got none; check the file"),
        (
            '{"id": "a", "tokens": ["the"], "mask": [1], "label": "good"}\n'
            '{"id": "b", "tokens": ["film"], "mask": [1], "label": "great"}\n',
            ":2: label must be one of 'bad', 'good', 'so-so'; got 'great'; correct the row",
        ),
    ],
)
def test_marked_texts_that_cannot_be_measured_are_refused_before_any_is(
    evaluate, tmp_path, content, said
):
    marked = tmp_path / "dev.jsonl"
    marked.write_text(content)
    status, _, log = evaluate(data=("--rationales", str(marked)))
    assert status == 1
    assert f"{marked}{said}" in log
    assert not (tmp_path / "out").exists()


def test_erasers_files_hold_what_the_model_answers_without_the_rationale(evaluate, tmp_path):
    marked = tmp_path / "dev.jsonl"
    rows = [
        {"id": "a", "tokens": ["the", "film", "fine"], "mask": [0, 1, 1], "label": "good"},
        {"id": "b", "tokens": ["it", "was", "dull"], "mask": [0, 0, 1], "label": "bad"},
        {"id": "unread", "tokens": ["\u200b"], "mask": [1], "label": "bad"},  # no word to BERT
    ]
    marked.write_text("".join(json.dumps(row) + "\n" for row in rows))
    protocols = "eraser_comprehensiveness,eraser_sufficiency"
    status, _, log = evaluate("--protocols", protocols, data=("--rationales", str(marked)))
    assert status == 0, log
    results = json.loads((tmp_path / "out" / "e.json").read_text())
    value = {(row["method"], row["protocol"], row["metric"]): row for row in results["rows"]}
    for method in METHODS.split(","):
        lines = (tmp_path / "out" / "e_eraser" / f"{method}.jsonl").read_text().splitlines()
        told = {found["annotation_id"]: found for found in map(json.loads, lines)}
        assert told.keys() == {"a", "b", "unread"}

        def falls(found, name):
            """As ERASER's scorer takes them: of the hard rationale, and of each bin."""
            predicted = found["classification"]
            full = found["classification_scores"][predicted]
            parts = [found, *found["thresholded_scores"]]
            return [full - part[f"{name}_classification_scores"][predicted] for part in parts]

        for name in ("comprehensiveness", "sufficiency"):
            hard, *bins = np.mean([falls(told[guid], name) for guid in "ab"], axis=0)
            row = value[method, "hard_rationale", name]
            assert row["n"] == 2
            assert row["settings"] == {"removal": "delete", "hard_rationale": "1.33333 tokens"}
            assert row["value"] == pytest.approx(hard, abs=1e-6)
            aopc = value[method, f"eraser_{name}", "aopc"]["value"]
            assert aopc == pytest.approx(np.mean(bins), abs=1e-6)
            assert falls(told["unread"], name) == [0] * 6
        shares = [step["threshold"] for step in told["a"]["thresholded_scores"]]
        assert shares == [0.01, 0.05, 0.1, 0.2, 0.5]
    assert "probabilities" not in {row["metric"] for row in results["curves"]}
    assert "## hard_rationale" in (tmp_path / "out" / "e.md").read_text()

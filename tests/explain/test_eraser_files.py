"""ERASER's scorer reads what is written here: its figures for these very records are the golden of `rationales`."""

import json
import pathlib

import numpy as np
import pytest

from explain import eraser_files
from explain import faithfulness
from explain import rationale_files
from explain import rationales
from tests.explain import planted_words

GOLDEN = pathlib.Path(__file__).parent.parent / "goldens" / "eraser_scorer.json"
MILL = rationales.Rationale(
    "mill", ("The", "river", "runs", "past", "it"), (False, True, True, False, True), "still"
)
GATE = rationales.Rationale("gate.txt", ("old", "gate"), (False, False), "moving")
FULL, WITHOUT, ONLY, LESS = (
    {"still": share, "moving": 1 - share} for share in (0.75, 0.25, 0.625, 0.5)
)


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_data_set_is_read_back_as_it_was(tmp_path):
    eraser_files.write_data(tmp_path, "val", [MILL, GATE])
    assert rationale_files.read_eraser(tmp_path) == {"val": (MILL, GATE)}
    first, second = read(tmp_path / "val.jsonl")
    assert [
        (piece["docid"], piece["start_token"], piece["end_token"], piece["text"])
        for group in first["evidences"]
        for piece in group
    ] == [("mill", 1, 3, "river runs"), ("mill", 4, 5, "it")]
    assert second["evidences"] == []
    assert set(first) == {"annotation_id", "classification", "evidences", "query", "query_type"}


@pytest.mark.parametrize("guid", ["", "..", "a/b", "a\\b"])
def test_a_guid_that_is_no_file_name_is_refused_and_nothing_written(tmp_path, guid):
    with pytest.raises(ValueError, match=r"guid must be a file name to be a docid, got '"):
        eraser_files.write_data(tmp_path / "out", "val", [MILL, MILL._replace(guid=guid)])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("token", ["", "quiet mill", "\u00a0"])
def test_tokens_that_the_scorer_would_count_otherwise_are_refused(tmp_path, token):
    with pytest.raises(ValueError, match=r"^gate.txt: tokens must be free of white space"):
        eraser_files.write_data(
            tmp_path / "out", "val", [MILL, GATE._replace(tokens=("old", token))]
        )
    assert not (tmp_path / "out").exists()


def test_a_result_has_the_scorers_keys(tmp_path):
    scores = np.array([0.5, -1.0, 2.0])
    thresholds = (eraser_files.Threshold(0.5, LESS, ONLY),)
    predictions = [
        eraser_files.Prediction("bare", scores, ()),
        eraser_files.Prediction(
            "mill", scores, ((0, 1), (2, 3)), eraser_files.Answers("still", FULL, WITHOUT, ONLY)
        ),
        eraser_files.Prediction(
            "gate",
            scores,
            ((0, 3),),
            eraser_files.Answers("still", FULL, WITHOUT, ONLY, thresholds),
        ),
    ]
    eraser_files.write_predictions(tmp_path / "results.jsonl", predictions)
    bare, mill, gate = read(tmp_path / "results.jsonl")
    soft = {"soft_rationale_predictions": [0.5, -1.0, 2.0]}
    assert bare == {
        "annotation_id": "bare",
        "rationales": [{"docid": "bare", "hard_rationale_predictions": [], **soft}],
    }
    answers = {
        "classification": "still",
        "classification_scores": FULL,
        "comprehensiveness_classification_scores": WITHOUT,
        "sufficiency_classification_scores": ONLY,
    }
    hard = [{"start_token": 0, "end_token": 1}, {"start_token": 2, "end_token": 3}]
    assert mill == {
        "annotation_id": "mill",
        "rationales": [{"docid": "mill", "hard_rationale_predictions": hard, **soft}],
        **answers,
    }
    assert gate["thresholded_scores"] == [
        {
            "threshold": 0.5,
            "comprehensiveness_classification_scores": LESS,
            "sufficiency_classification_scores": ONLY,
        }
    ]
    assert {key: gate[key] for key in answers} == answers


@pytest.mark.parametrize("lowest", [-3.0, 4.0])
def test_unread_tokens_get_a_finite_score_below_all_others(tmp_path, lowest):
    scores = np.array([5.0, -np.inf, lowest])
    eraser_files.write_predictions(tmp_path / "r", [eraser_files.Prediction("mill", scores, ())])
    (written,) = read(tmp_path / "r")
    soft = written["rationales"][0]["soft_rationale_predictions"]
    assert soft[0::2] == [5.0, lowest]
    assert np.isfinite(soft[1])
    assert soft[1] < lowest


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_refused(tmp_path, wrong):
    prediction = eraser_files.Prediction("mill", np.array([0.0, wrong]), ())
    with pytest.raises(ValueError, match=r"^mill: scores must be finite, or -inf"):
        eraser_files.write_predictions(tmp_path / "r", [prediction])
    assert not (tmp_path / "r").exists()


def test_comprehensiveness_and_sufficiency_are_those_of_erasers_scorer_point_by_point():
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    figures = golden["figures"]["tokens"]["classification_scores"]
    bins = [f"at_{percent}" for percent in faithfulness.ERASER_BINS]
    assert figures["aopc_thresholds"] == [percent / 100 for percent in faithfulness.ERASER_BINS]
    for place, name, removed in ((1, "comprehensiveness", "without"), (2, "sufficiency", "only")):
        found, hard = [], []
        for row in golden["documents"]:
            told = row["answers"]
            shares = [step[place][told["predicted"]] for step in told["thresholds"]]
            steps = answers_of(told["full"][told["predicted"]], shares)
            found.append(faithfulness.PROTOCOLS[f"eraser_{name}"].score(steps))
            rest = told[removed][told["predicted"]]
            hard.append(answers_of(told["full"][told["predicted"]], [rest]).drops)
        points = [[metrics[bin] for bin in bins] for metrics in found]
        np.testing.assert_allclose(np.mean(points, axis=0), figures[f"{name}_aopc_points"])
        aopc = np.mean([metrics["aopc"] for metrics in found])
        assert aopc == pytest.approx(figures[f"{name}_aopc"])
        paper = np.mean([metrics["aopc_paper"] for metrics in found])
        assert paper == pytest.approx(figures[f"{name}_aopc"] * 5 / 6)  # the empty set counts
        assert np.mean(hard) == pytest.approx(figures[name])


def answers_of(full, shares):
    """What a model says that gives class 0 such a share of the probability: to the full text, and to its parts."""
    logits = [[np.log(share), np.log(1 - share)] for share in (full, *shares)]
    case = faithfulness.Case(planted_words.units_of([7]), {}, 0, None, np.array(logits[0]))
    removed = [frozenset({0})] * len(shares)
    return faithfulness.Answers(case, np.zeros(1, np.float32), removed, np.array(logits[1:]))

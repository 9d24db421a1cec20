"""Reports of a classifier equal scikit-learn's; two sides are compared as BERT-LRP's notebook does."""

import numpy as np
import pytest
import sklearn.metrics

from explain import accuracy
from explain import statistics

LABELS = ("worst", "bad", "so-so", "good", "best")
SIDES = {"negative": [0, 1], "positive": [3, 4]}


@pytest.fixture
def predictions():
    """Probabilities of 60 texts over the five classes of SST-5, and their classes."""
    rng = np.random.default_rng(11)
    gold = rng.integers(0, 5, 60)
    probabilities = rng.dirichlet(np.ones(5), 60) + 0.4 * np.eye(5)[gold]
    return (probabilities / 1.4).astype(np.float32), gold


def test_the_report_is_that_of_scikit_learn_with_the_labels_as_names(predictions):
    probabilities, gold = predictions
    predicted = np.argmax(probabilities, axis=1)
    report = accuracy.classification_report(gold, predicted, LABELS)
    expected = sklearn.metrics.classification_report(
        gold, predicted, target_names=LABELS, output_dict=True
    )
    assert report == expected
    assert set(report) == {*LABELS, "accuracy", "macro avg", "weighted avg"}


def test_a_report_is_worked_out_by_hand():
    report = accuracy.classification_report(
        np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), ("n", "p")
    )
    assert report["n"] == {"precision": 1.0, "recall": 2 / 3, "f1-score": 0.8, "support": 3}
    assert report["p"] == {"precision": 0.5, "recall": 1.0, "f1-score": 2 / 3, "support": 1}
    assert report["accuracy"] == 0.75


def test_a_class_that_never_comes_counts_as_zero():
    report = accuracy.classification_report(np.array([0, 1]), np.array([0, 1]), ("n", "p", "o"))
    assert report["o"] == {"precision": 0.0, "recall": 0.0, "f1-score": 0.0, "support": 0}
    assert report["macro avg"]["f1-score"] == pytest.approx(2 / 3)


def test_the_two_way_report_leaves_out_the_neutral_class_as_scikit_learn_does(predictions):
    probabilities, gold = predictions
    kept = gold != 2
    sums = np.stack([probabilities[:, :2].sum(1), probabilities[:, 3:].sum(1)], 1)[kept]
    expected = sklearn.metrics.classification_report(
        gold[kept] > 2, sums.argmax(1), target_names=["negative", "positive"], output_dict=True
    )
    report = accuracy.two_way_report(probabilities, gold, SIDES)
    assert report == expected
    assert report["weighted avg"]["support"] == np.sum(kept) < 60


def test_a_text_held_neutral_goes_to_the_side_it_leans_to():
    # neutral wins each; the first leans to positive though no class of it beats the largest negative one
    probabilities = np.array([[0.25, 0.0, 0.45, 0.15, 0.15], [0.3, 0.0, 0.5, 0.2, 0.0]])
    report = accuracy.two_way_report(probabilities, np.array([4, 1]), SIDES)
    assert report["accuracy"] == 1.0


def test_one_class_a_side_is_the_report_of_bert_lrp(predictions):
    probabilities, gold = predictions
    kept = gold < 2  # theirs: negative 0, positive 1, neutral 2; the argmax of the first two
    expected = sklearn.metrics.classification_report(
        gold[kept], probabilities[kept, :2].argmax(1), target_names=["n", "p"], output_dict=True
    )
    assert accuracy.two_way_report(probabilities, gold, {"n": [0], "p": [1]}) == expected


@pytest.mark.parametrize(
    "sides", [{"n": [0]}, {"n": [0], "o": [1], "p": [2]}, {"n": [0, 1], "p": [1]}]
)
def test_sides_that_are_not_two_or_share_a_class_are_refused(predictions, sides):
    with pytest.raises(ValueError, match="sides must be two groups of classes that share none"):
        accuracy.two_way_report(*predictions, sides)


def test_a_two_way_report_of_neutral_examples_only_is_refused(predictions):
    probabilities, _ = predictions
    with pytest.raises(ValueError, match=r"must be of a class of the sides .* got none in 60"):
        accuracy.two_way_report(probabilities, np.full(60, 2), SIDES)


def test_reliability_is_worked_out_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.85, 0.15], [0.6, 0.4], [1.0, 0.0]])
    low, high = accuracy.reliability(probabilities, np.array([0, 0, 0, 1, 0]), bins=4)
    assert low[:2] == pytest.approx((0.6, 0.0))  # 0.5 to 0.75
    assert low.examples == 1
    assert high[:2] == pytest.approx(((0.9 + 0.8 + 0.85 + 1.0) / 4, 3 / 4))
    assert high.examples == 4
    # Wilson: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), z = 1.959964
    assert (high.low, high.high) == pytest.approx((0.300642, 0.954413), abs=1e-5)


def test_a_confidence_on_the_border_lies_in_the_bin_below():
    rows = accuracy.reliability(np.array([[0.75, 0.25], [0.76, 0.24]]), np.zeros(2, int), bins=4)
    assert [row.confidence for row in rows] == [0.75, 0.76]


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_the_bins_give_the_expected_calibration_error(predictions, bins):
    rows = accuracy.reliability(*predictions, bins=bins)
    gaps = [row.examples * abs(row.accuracy - row.confidence) for row in rows]
    assert sum(row.examples for row in rows) == 60
    expected = statistics.expected_calibration_error(*predictions, bins=bins)
    assert sum(gaps) / 60 == pytest.approx(expected, abs=1e-12)

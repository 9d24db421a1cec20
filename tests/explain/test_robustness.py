"""Simplicity, steadiness and specificity of an explanation, by hand."""

import numpy as np
import pytest
from scipy import stats

from explain import robustness


def test_complexity_is_the_entropy_of_the_shares_in_nats():
    scores = np.array([-0.2, 0.1, 0.0, 0.5])
    expected = -(0.25 * np.log(0.25) + 0.125 * np.log(0.125) + 0.625 * np.log(0.625))
    assert robustness.complexity(scores) == pytest.approx(expected)
    assert robustness.complexity(scores) == pytest.approx(stats.entropy(np.abs(scores)))
    assert robustness.complexity(np.array([0.0, -3.0, 0.0])) == 0
    assert robustness.complexity(np.full(7, -2.0)) == pytest.approx(np.log(7))


def test_sparseness_is_the_gini_index():
    scores = np.array([0.5, -0.1, 0.2])
    differences = np.abs(np.subtract.outer(np.abs(scores), np.abs(scores)))
    expected = np.sum(differences) / (2 * 3 * np.sum(np.abs(scores)))  # mean difference, halved
    assert robustness.sparseness(scores) == pytest.approx(expected)
    assert robustness.sparseness(np.array([0.0, 4.0, 0.0, 0.0])) == pytest.approx(3 / 4)
    assert robustness.sparseness(np.array([2.0, -2.0, 2.0])) == pytest.approx(0)


@pytest.mark.parametrize("scores", [np.zeros(4, np.float32), np.zeros(0, np.float32)])
def test_scores_of_0_have_no_shares(scores):
    assert np.isnan(robustness.complexity(scores))
    assert np.isnan(robustness.sparseness(scores))
    assert robustness.effective_complexity(scores) == 0


def test_effective_complexity_counts_the_words_that_matter_of_either_sign():
    scores = np.array([-8.0, 0.9, 0.7, 1e-9, 0.0])
    assert robustness.effective_complexity(scores) == 3
    assert robustness.effective_complexity(scores, epsilon=0.1) == 2
    assert robustness.effective_complexity(1000 * scores, epsilon=0.1) == 2


@pytest.mark.parametrize(
    "measure", [robustness.complexity, robustness.sparseness, robustness.effective_complexity]
)
def test_simplicity_knows_no_scale_sign_or_order(measure):
    scores = np.random.default_rng(1).normal(size=13)
    assert measure(-2.5 * scores[::-1]) == pytest.approx(measure(scores))


def test_max_sensitivity_is_the_largest_change_over_the_size():
    scores = np.array([3.0, 0.0, -4.0])  # of norm 5
    perturbed = np.array([[3.0, 1.0, -4.0], [0.0, 0.0, -8.0]])  # changes of norm 1 and 5
    assert robustness.max_sensitivity(scores, perturbed) == pytest.approx(1.0)
    assert robustness.max_sensitivity(scores, perturbed[:1]) == pytest.approx(0.2)
    assert robustness.max_sensitivity(np.zeros(3), perturbed[:1]) == pytest.approx(np.sqrt(26))

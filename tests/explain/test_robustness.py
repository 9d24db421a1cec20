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


def test_relative_input_stability_by_hand():
    scores, inputs = np.array([2.0, -1.0]), np.array([[1.0, 2.0], [4.0, 0.5]])
    perturbed = np.array([[2.2, -1.0], [8.0, 8.0], [2.0, -1.5]])
    moved = np.array([[[1.1, 2.0], [4.0, 0.5]], [[1.1, 2.0], [4.0, 0.5]], [[1.0, 2.0], [4.0, 0.7]]])
    keeps = np.array([True, False, True])
    # 0.1 / 0.1 and 0.5 / 0.4: the second perturbation changed the answer
    found = robustness.relative_input_stability(scores, perturbed, inputs, moved, keeps)
    assert found == pytest.approx(1.25)
    none = np.zeros(3, bool)
    assert np.isnan(robustness.relative_input_stability(scores, perturbed, inputs, moved, none))


def test_relative_input_stability_survives_zeros():
    scores, inputs = np.array([0.0, 1.0]), np.array([1.0, 0.0])
    moved = np.array([[1e-3, 1.0]])
    same = robustness.relative_input_stability(
        scores, moved, inputs, inputs[np.newaxis], np.array([True]), epsilon=1e-2
    )
    assert same == pytest.approx((1e-3 / 1e-2) / 1e-2)


def test_randomised_layers_are_held_against_the_trained_explanation_by_rank():
    scores = np.array([0.4, 0.1, 0.3, 0.2])
    stages = [100 * scores**3, -scores, np.zeros(4), np.array([0.1, 0.2, 0.4, 0.3])]
    found = robustness.randomisation_correlation(scores, stages)
    # ranks 4 1 3 2 against 1 2 4 3: differences 3 1 1 1, so 1 - 6 * 12 / (4 * 15)
    np.testing.assert_allclose(found, [1, -1, np.nan, -0.2], atol=1e-12)


def test_a_random_logit_tells_methods_that_know_the_class_from_those_that_do_not():
    scores = np.array([0.3, -0.2, 0.9])
    assert robustness.random_logit(np.stack([scores, -scores]), 0) == pytest.approx(-1)
    assert robustness.random_logit(np.stack([scores, scores]), 1) == pytest.approx(1)
    three = np.stack([-scores, scores, 2 * scores])
    assert robustness.random_logit(three, 0) == pytest.approx(-1)
    assert robustness.random_logit(three, 1) == pytest.approx(0)  # mean of -1 and 1

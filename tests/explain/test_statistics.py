"""Intervals, paired differences, correlations and calibration against scipy, scikit-learn and cases by hand."""

import numpy as np
import pytest
from scipy import stats

from explain import statistics

VALUES = np.random.default_rng(3).normal(0.3, 0.8, 61)


def test_an_interval_agrees_with_scipys_percentile_bootstrap():
    ours = statistics.bootstrap_mean(VALUES, seed=5)
    theirs = stats.bootstrap(
        (VALUES,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(8)
    )
    assert ours.mean == pytest.approx(np.mean(VALUES), abs=1e-12)
    width = ours.high - ours.low
    # 2,000 resamples place an end within some 5 % of the width
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.05 * width)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.05 * width)


def test_the_interval_of_a_yes_or_no_figure_is_the_binomials():
    values = np.repeat([1.0, 0.0], [30, 70])
    found = statistics.bootstrap_mean(values, seed=1)
    assert found.low == pytest.approx(stats.binom.ppf(0.025, 100, 0.3) / 100, abs=0.011)
    assert found.high == pytest.approx(stats.binom.ppf(0.975, 100, 0.3) / 100, abs=0.011)


def test_an_interval_is_a_function_of_its_seed():
    assert statistics.bootstrap_mean(VALUES, 7) == statistics.bootstrap_mean(VALUES, 7)
    assert statistics.bootstrap_mean(VALUES, 7) != statistics.bootstrap_mean(VALUES, 8)


def test_many_values_are_resampled_in_groups_and_in_full(monkeypatch):
    monkeypatch.setattr(statistics, "_DRAWS_AT_ONCE", 61 * 300)  # 2,000 is no multiple of 300
    means = statistics._resampled_means(VALUES, 2)
    assert means.shape == (statistics.RESAMPLES,)
    assert np.std(means) == pytest.approx(np.std(VALUES) / np.sqrt(61), rel=0.1)


def test_numbers_that_a_metric_does_not_have_are_left_out_and_counted():
    found = statistics.bootstrap_mean([0.5, np.nan, 0.5], 0)
    assert found == statistics.Interval(0.5, 0.5, 0.5, 2)
    nothing = statistics.bootstrap_mean([np.nan], 0)
    assert nothing.n == 0
    assert np.isnan(nothing[:3]).all()


def test_a_paired_difference_is_of_the_same_texts():
    a, b = np.array([0.9, np.nan, 0.4, 0.6]), np.array([0.5, 0.1, np.nan, 0.4])
    found = statistics.paired_difference(a, b, 0)
    assert found.n == 2
    assert found.difference == pytest.approx((0.4 + 0.2) / 2)
    assert (found.low, found.high) == pytest.approx((0.2, 0.4))  # the two differences
    with pytest.raises(ValueError, match=r"of the same texts, got 4 and 1 of them"):
        statistics.paired_difference(a, b[:1], 0)


def test_a_paired_differences_interval_is_that_of_the_differences():
    other = VALUES[::-1]
    found = statistics.paired_difference(VALUES, other, 4)
    assert found[:3] == pytest.approx(statistics.bootstrap_mean(VALUES - other, 4)[:3], abs=1e-12)


def test_the_p_value_is_small_where_the_interval_leaves_out_0_and_near_the_t_tests():
    rng = np.random.default_rng(0)
    for shift in (0.0, 0.1, 0.2, 0.25, 0.3, 0.5):
        a = rng.normal(shift, 1, 200)
        found = statistics.paired_difference(a, np.zeros(200), 3)
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0), shift
        # 2,000 resamples of a share near a half have a standard error of 0.022, doubled by the two sides
        assert found.p == pytest.approx(stats.ttest_1samp(a, 0).pvalue, abs=0.07)
        mirrored = statistics.paired_difference(np.zeros(200), a, 3)
        assert mirrored.p == found.p


def test_the_p_value_is_1_without_a_difference_and_never_0():
    same = statistics.paired_difference([0.25] * 5, [0.25] * 5, 0)
    assert same.p == 1.0
    apart = statistics.paired_difference([0.75] * 15, [0.25] * 15, 0)
    assert apart.p == pytest.approx(2 / 2001)
    few = statistics.paired_difference([0.75] * 5, [0.25] * 5, 0)
    assert few.p == 2 / 2**5  # one of 32 ways to give five differences a sign, and its mirror image
    nothing = statistics.paired_difference([np.nan], [1.0], 0)
    assert np.isnan(nothing.p)


def test_texts_that_do_not_differ_are_no_evidence_of_a_difference():
    sparse = statistics.paired_difference([0.75] * 5 + [0.25] * 95, [0.25] * 100, 0)
    assert sparse.n == 100
    assert sparse.p == 2 / 2**5
    combined = statistics.paired_difference_of_means(
        [[0.75] * 5 + [0.25] * 95], [[0.25] * 100], lambda mean: mean, 0
    )
    assert combined == pytest.approx(sparse)


def test_a_difference_of_what_means_amount_to_is_of_the_same_texts():
    def product(a, b):
        return a * b

    a, b, c, d = np.random.default_rng(5).random((4, 40))
    found = statistics.paired_difference_of_means([a, b], [c, d], product, 3)
    assert found.difference == pytest.approx(np.mean(a) * np.mean(b) - np.mean(c) * np.mean(d))
    assert found.n == 40
    theirs = stats.bootstrap(
        (a, b, c, d),
        lambda a, b, c, d, axis: a.mean(axis) * b.mean(axis) - c.mean(axis) * d.mean(axis),
        n_resamples=20_000,
        method="percentile",
        paired=True,
        rng=np.random.default_rng(8),
    )
    width = found.high - found.low
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.05 * width)
    assert found.high == pytest.approx(theirs.confidence_interval.high, abs=0.05 * width)
    alone = statistics.paired_difference_of_means([a], [c], lambda mean: mean, 3)
    assert alone == pytest.approx(statistics.paired_difference(a, c, 3))
    a[3] = np.nan
    assert statistics.paired_difference_of_means([a, b], [c, d], product, 3).n == 39
    nothing = statistics.paired_difference_of_means([[np.nan]], [[1.0]], lambda mean: mean, 3)
    assert nothing.n == 0
    assert np.isnan(nothing.p)


def test_the_calibration_error_by_hand():
    probabilities = np.array(
        [[0.95, 0.05], [0.9, 0.1], [0.08, 0.92], [0.55, 0.45], [0.4, 0.6], [0.5, 0.5]], np.float32
    )
    gold = np.array([0, 1, 1, 0, 0, 0])
    # Bins of 0.5: (0.5, 1] has confidences .95 .9 .92 .55 .6 (3.92) with 3 right; (0, 0.5] has .5, right.
    expected = (abs(3 - 3.92) + abs(1 - 0.5)) / 6
    found = statistics.expected_calibration_error(probabilities, gold, bins=2)
    assert found == pytest.approx(expected, abs=1e-6)
    # Bins of 0.25: 2 of .95 .9 .92 are right, 1 of .55 .6, and .5 is.
    expected = (abs(2 - 2.77) + abs(1 - 1.15) + abs(1 - 0.5)) / 6
    found = statistics.expected_calibration_error(probabilities, gold, bins=4)
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_confidence_that_float32_puts_above_1_is_in_the_last_bin():
    above = np.nextafter(np.float32(1), np.float32(2))
    probabilities = np.array([[above, 0.0], [0.01, 0.99]])
    found = statistics.expected_calibration_error(probabilities, np.array([1, 1]))
    assert found == pytest.approx(abs(1 - 1.99) / 2, abs=1e-6)


def test_without_texts_there_is_no_calibration():
    assert np.isnan(statistics.expected_calibration_error(np.zeros((0, 2)), np.zeros(0, int)))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (statistics.pearson, stats.pearsonr),
        (statistics.spearman, stats.spearmanr),
        (statistics.kendall_tau_b, stats.kendalltau),
    ],
)
def test_correlations_are_scipys_and_nan_where_there_is_nothing_to_correlate(ours, theirs):
    a, b = np.round(VALUES[:23], 1), np.round(VALUES[30:53] + VALUES[:23], 1)  # with ties
    assert ours(a, b) == theirs(a, b).statistic
    assert ours(a, -a) == pytest.approx(-1)
    for constant in (np.zeros(23), np.full(23, 0.1) + np.arange(23) * 1e-18, np.full(23, 1e9)):
        assert np.isnan(ours(a, constant))
        assert np.isnan(ours(constant, a))
    assert np.isnan(ours([1.0], [2.0]))
    assert np.isnan(ours([], []))


def test_tau_b_by_hand():
    # pairs: 01 concordant, 02 concordant, 12 tied in b: (2 - 0) / sqrt(3 * 2)
    assert statistics.kendall_tau_b([1, 2, 3], [1, 4, 4]) == pytest.approx(2 / np.sqrt(6))


def test_many_comparisons_need_smaller_p_values_by_holms_steps():
    assert statistics.holm([0.01, 0.04, np.nan, 0.03, 0.005]) == pytest.approx(
        [0.03, 0.06, np.nan, 0.06, 0.02], nan_ok=True
    )
    assert statistics.holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert statistics.holm([0.6, 0.7]) == [1.0, 1.0]

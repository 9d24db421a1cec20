"""What a handful of numbers allows to be said: intervals, differences of methods, correlations, calibration."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

Numbers = npt.NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 2000  # the ends of a 95 % interval then rest on 50 resamples each
_DRAWS_AT_ONCE = 1_000_000  # keeps 25,000 texts within some 20 MB


class Interval(NamedTuple):
    """A mean and its bootstrap interval; NaN where no number came.

    Attributes:
      n: how many numbers it is of.
    """

    mean: float
    low: float
    high: float
    n: int


class Difference(NamedTuple):
    """How far the mean of one method lies above that of another, on the same texts.

    Attributes:
      p: two-sided; see `paired_difference`.
      n: how many texts both have a number for.
    """

    difference: float
    low: float
    high: float
    p: float
    n: int


def bootstrap_mean(values: npt.ArrayLike, seed: int) -> Interval:
    """Return a mean with its 95 % percentile bootstrap interval over texts.

    A text for which a metric says nothing is NaN: it is left out, and `n` tells.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
    """
    numbers = np.asarray(values, np.float64)
    numbers = numbers[~np.isnan(numbers)]
    if not numbers.size:
        return Interval(np.nan, np.nan, np.nan, 0)
    low, high = _percentiles(_resampled_means(numbers, seed))
    return Interval(float(np.mean(numbers)), low, high, len(numbers))


def bootstrap_of_means(
    columns: Sequence[npt.ArrayLike], combine: Callable[..., Numbers], seed: int
) -> Interval:
    """Return what several means over the same texts amount to, such as the F1 of two, with its interval.

    Args:
      columns: one number a text each; a text for which one says nothing (NaN) is left out.
      combine: from a float64[k] of each column's means to float64[k].
    """
    rows = np.stack([np.asarray(column, np.float64) for column in columns])
    rows = rows[:, ~np.isnan(rows).any(axis=0)]
    if not rows.size:
        return Interval(np.nan, np.nan, np.nan, 0)
    # by one seed the columns are drawn from alike
    low, high = _percentiles(combine(*(_resampled_means(row, seed) for row in rows)))
    (mean,) = combine(*np.mean(rows, axis=1, keepdims=True))
    return Interval(float(mean), low, high, rows.shape[1])


def paired_difference(a: npt.ArrayLike, b: npt.ArrayLike, seed: int) -> Difference:
    """Return mean(a - b) over texts, its 95 % percentile bootstrap interval, and whether it may be 0.

    The p-value inverts the interval: it is the smallest level at which 0 lies outside, twice the share of resampled
    means on the side of 0 that fewer reach, 0 itself counting for both. One is added to both counts (Davison and
    Hinkley 1997), so that p is never 0, and it is never below 2 ** (1 - d), d the number of texts in which a and b
    differ: what changing the signs of so few differences could reach. A text that either has NaN for is left out, and
    `n` tells.

    Args:
      a: one number a text.
      b: of the same texts in the same order.

    Raises:
      ValueError: there are not as many of both.

    Source: Efron and Tibshirani 1993, chapter 15 (tests by confidence intervals).
    """
    left, right = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if left.shape != right.shape:
        raise ValueError(
            f"paired numbers must be of the same texts, got {len(left)} and {len(right)} of them"
        )
    differences = left - right
    differences = differences[~np.isnan(differences)]
    if not differences.size:
        return Difference(np.nan, np.nan, np.nan, np.nan, 0)
    means, differ = _resampled_means(differences, seed), np.count_nonzero(differences)
    return _difference(float(np.mean(differences)), means, differ, len(differences))


def paired_difference_of_means(
    a: Sequence[npt.ArrayLike],
    b: Sequence[npt.ArrayLike],
    combine: Callable[..., Numbers],
    seed: int,
) -> Difference:
    """Return how far what several means amount to lies above the same of others; see `paired_difference`.

    Args:
      a: as the columns of `bootstrap_of_means`.
      b: of the same texts in the same order.
    """
    rows = np.stack([np.asarray(column, np.float64) for column in (*a, *b)])
    rows = rows[:, ~np.isnan(rows).any(axis=0)]
    if not rows.size:
        return Difference(np.nan, np.nan, np.nan, np.nan, 0)
    resampled = [_resampled_means(row, seed) for row in rows]
    means = combine(*resampled[: len(a)]) - combine(*resampled[len(a) :])
    ours, theirs = rows[: len(a)], rows[len(a) :]
    (one,), (other,) = (combine(*np.mean(side, axis=1, keepdims=True)) for side in (ours, theirs))
    differ = np.count_nonzero((ours != theirs).any(axis=0))
    return _difference(float(one - other), means, differ, rows.shape[1])


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values that hold for all of so many comparisons together; NaN counts as no comparison.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]

    Source: Holm 1979, A Simple Sequentially Rejective Multiple Test Procedure.
    """
    adjusted, largest = [float("nan")] * len(p_values), 0.0
    known = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - rank)))
        adjusted[place] = largest
    return adjusted


def expected_calibration_error(
    probabilities: npt.NDArray[np.float32], gold: npt.NDArray[np.int64], bins: int = 15
) -> float:
    """Return how far confidence lies from accuracy: mean over texts of |accuracy - mean confidence| of their bin.

    Confidence is the probability of the predicted class; bins are of equal width, open below and closed above. NaN
    where there is no text.

    Args:
      probabilities: f[n, c].
      gold: i[n], the true classes.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, equation 3.
    """
    if not len(gold):
        return np.nan
    confidence = np.max(probabilities, axis=1).astype(np.float64)
    is_right = np.argmax(probabilities, axis=1) == gold
    # a sum of float32 probabilities may come out just above 1
    places = np.minimum(np.ceil(confidence * bins).astype(np.int64) - 1, bins - 1)
    surplus = np.bincount(places, is_right - confidence, minlength=bins)
    return float(np.sum(np.abs(surplus)) / len(gold))


def pearson(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Return Pearson's r; NaN where either is constant."""
    return float(stats.pearsonr(a, b).statistic) if _vary(a, b) else np.nan


def spearman(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Return Spearman's rho, ties by mean rank; NaN where either is constant."""
    return float(stats.spearmanr(a, b).statistic) if _vary(a, b) else np.nan


def kendall_tau_b(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Return Kendall's tau-b, which makes up for ties; NaN where either is constant."""
    return float(stats.kendalltau(a, b, variant="b").statistic) if _vary(a, b) else np.nan


def _vary(*rows: npt.ArrayLike) -> bool:
    """Tell whether each row differs by more than the rounding of float64."""
    arrays = [np.asarray(row, np.float64) for row in rows]
    return all(
        row.size > 0 and float(np.ptp(row)) > 1e-12 * float(np.max(np.abs(row))) for row in arrays
    )


def _resampled_means(values: Numbers, seed: int) -> Numbers:
    draw = np.random.default_rng(seed)
    group = max(1, _DRAWS_AT_ONCE // len(values))
    sizes = [min(group, RESAMPLES - start) for start in range(0, RESAMPLES, group)]
    return np.concatenate(
        [np.mean(values[draw.integers(len(values), size=(size, len(values)))], 1) for size in sizes]
    )


def _difference(found: float, means: Numbers, differ: int, count: int) -> Difference:
    beyond = min(np.count_nonzero(means <= 0), np.count_nonzero(means >= 0))
    p = max(2 * (beyond + 1) / (RESAMPLES + 1), 2.0 ** (1 - differ))
    return Difference(found, *_percentiles(means), min(1.0, p), count)


def _percentiles(means: Numbers) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)

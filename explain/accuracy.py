"""How right a classifier is on a data set, and whether its confidence can be believed; numbers only."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import scipy.stats
import sklearn.metrics

Report: TypeAlias = dict[str, dict[str, float] | float]  # as scikit-learn returns it


class ReliabilityBin(NamedTuple):
    """The predictions whose confidence lies in one bin.

    Attributes:
      confidence: mean probability of the predicted class.
      accuracy: share of right predictions.
      low: end of Wilson's interval of 95 % for the accuracy, as `high`.
    """

    confidence: float
    accuracy: float
    low: float
    high: float
    examples: int


def classification_report(
    gold: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], labels: Sequence[str]
) -> Report:
    """Return precision, recall, F1 and support by label, accuracy, and both averages.

    A class that is never predicted or never present counts as 0.

    Args:
      gold: integer[n], indices of `labels`, as `predicted`.
      labels: names of the classes in class order.

    Source: scikit-learn, classification_report.
    """
    report = sklearn.metrics.classification_report(
        gold,
        predicted,
        labels=range(len(labels)),
        target_names=labels,
        output_dict=True,
        zero_division=0,
    )
    return cast(Report, report)


def two_way_report(
    probabilities: npt.NDArray[np.float32],
    gold: npt.NDArray[np.int64],
    sides: Mapping[str, Sequence[int]],
) -> Report:
    """Return the report of two sides, such as {"negative": [0, 1], "positive": [3, 4]} of SST-5.

    Examples of no side (the neutral class) are left out, and the answer is the side with the higher sum of
    probabilities, the first of equals: a model that says neutral is asked which way it leans.

    Args:
      probabilities: float[n, c].
      gold: integer[n].
      sides: name: indices of its classes.

    Raises:
      ValueError: there are not two sides, they share a class, or no example is of either.

    Source: Wu and Ong 2021, evaluation_metrics.ipynb (one class a side).
    """
    classes = [index for side in sides.values() for index in side]
    if len(sides) != 2 or len(set(classes)) != len(classes):
        raise ValueError(
            f"sides must be two groups of classes that share none, got {dict(sides)}; name the classes of each side "
            "once"
        )
    is_polar = np.isin(gold, classes)
    if not np.any(is_polar):
        raise ValueError(
            f"examples must be of a class of the sides {dict(sides)}, got none in {len(gold)}; give the indices of the "
            "data's classes"
        )
    sums = np.stack([probabilities[:, list(side)].sum(axis=1) for side in sides.values()], axis=1)
    gold_side = np.isin(gold, list(sides.values())[1]).astype(np.int64)
    return classification_report(
        gold_side[is_polar], np.argmax(sums[is_polar], axis=1), tuple(sides)
    )


def reliability(
    probabilities: npt.NDArray[np.float32], gold: npt.NDArray[np.int64], bins: int = 15
) -> tuple[ReliabilityBin, ...]:
    """Return accuracy against confidence in bins of equal width, from the least confident; empty bins are left out.

    Args:
      probabilities: float[n, c].
      gold: integer[n].

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, section 2.
    """
    confidence = np.max(probabilities, axis=1).astype(np.float64)
    is_right = np.argmax(probabilities, axis=1) == gold
    # a bin holds its upper end, as in the paper: 1.0 is in the last
    places = np.minimum(np.ceil(confidence * bins) - 1, bins - 1)
    rows = []
    for place in np.unique(places):
        inside = places == place
        right, examples = int(np.sum(is_right[inside])), int(np.sum(inside))
        interval = scipy.stats.binomtest(right, examples).proportion_ci(method="wilson")
        rows.append(
            ReliabilityBin(
                confidence=float(np.mean(confidence[inside])),
                accuracy=right / examples,
                low=float(interval.low),
                high=float(interval.high),
                examples=examples,
            )
        )
    return tuple(rows)

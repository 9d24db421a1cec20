"""What an explanation's own numbers tell, without asking the model again: how simple, how steady, how specific it is.

Leaves to others: making the explanations of perturbed texts, randomised models and other classes.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from explain import statistics

Scores = npt.NDArray[np.float32]


def complexity(scores: Scores) -> float:
    """Return the entropy, in nats, of |score| / sum |score|: 0 for one word alone, log(w) for w alike.

    NaN where every score is 0.

    Source: Bhatt et al. 2020, Evaluating and Aggregating Feature-based Model Explanations; as Quantus.
    """
    sizes = np.abs(np.asarray(scores, np.float64))
    if not np.any(sizes):
        return np.nan
    shares = sizes[sizes > 0] / np.sum(sizes)
    return float(-np.sum(shares * np.log(shares)))


def sparseness(scores: Scores) -> float:
    """Return the Gini index of |score|: 0 for all alike, 1 - 1/w for one of w words alone.

    NaN where every score is 0 (Quantus: 0, by adding 1e-7 to each).

    Source: Chalasani et al. 2020, Concise Explanations of Neural Networks using Adversarial Training; as Quantus.
    """
    sizes = np.sort(np.abs(np.asarray(scores, np.float64)))
    if not np.any(sizes):
        return np.nan
    count = len(sizes)
    weights = 2 * np.arange(1, count + 1) - count - 1
    return float(np.sum(weights * sizes) / (count * np.sum(sizes)))


def effective_complexity(scores: Scores, epsilon: float = 1e-5) -> int:
    """Return how many words have a |score| above `epsilon` times the largest.

    Quantus counts scores above epsilon, of scores that its default divides by the largest |score|, so that negative
    ones count for nothing there unless absolute values are asked for.

    Source: Nguyen and Martinez 2020, On quantitative aspects of model interpretability.
    """
    sizes = np.abs(scores)
    return int(np.count_nonzero(sizes > epsilon * np.max(sizes, initial=0)))


def max_sensitivity(scores: Scores, perturbed: Scores) -> float:
    """Return the largest change under perturbation, relative to the explanation: max ||a' - a|| / ||a||.

    Not relative where every score is 0, as in Captum.

    Args:
      perturbed: f[d, w], explanations of nearby inputs, of at least one.

    Source: Yeh et al. 2019, On the (In)fidelity and Sensitivity of Explanations; Captum's `sensitivity_max`.
    """
    size = float(np.linalg.norm(scores)) or 1.0
    return float(np.max(np.linalg.norm(perturbed - scores, axis=1))) / size


def relative_input_stability(
    scores: Scores,
    perturbed: Scores,
    inputs: Scores,
    perturbed_inputs: Scores,
    keeps_answer: npt.NDArray[np.bool_],
    *,
    epsilon: float = 1e-6,
) -> float:
    """Return max ||(a' - a) / a|| / max(||(x' - x) / x||, epsilon) over perturbations that keep the model's answer.

    `epsilon` also stands in for a divisor of 0, as in Quantus, so a score of 0 that moves weighs heavily. NaN where
    no perturbation keeps the answer.

    Args:
      perturbed: f[d, w].
      inputs: f[...], what was perturbed, such as word embeddings.
      perturbed_inputs: f[d, ...].
      keeps_answer: bool[d].

    Source: Agarwal et al. 2022, Rethinking Stability for Attribution-based Explanations.
    """
    if not np.any(keeps_answer):
        return np.nan
    moved = _relative_change(scores, perturbed[keeps_answer], epsilon)
    by = _relative_change(inputs, perturbed_inputs[keeps_answer], epsilon)
    return float(np.max(moved / np.maximum(by, epsilon)))


def randomisation_correlation(scores: Scores, randomised: Iterable[Scores]) -> list[float]:
    """Return Spearman's rho of an explanation with those of models whose layers were drawn anew, stage by stage.

    An explanation of what the model has learnt falls towards 0; rollout changes only as the attention does.

    Args:
      randomised: f[w] each, commonly from the top layer randomised to all of them.

    Source: Adebayo et al. 2018, Sanity Checks for Saliency Maps.
    """
    return [statistics.spearman(scores, other) for other in randomised]


def random_logit(scores: Scores, target: int) -> float:
    """Return the mean Spearman's rho of a class's explanation with those of the other classes.

    1 for a method that knows no class (rollout, LAT); -1 for two classes whose scores are each other's negative.
    NaN where some explanation is constant.

    Args:
      scores: f[c, w], an explanation a class.

    Source: Sixt et al. 2020, When Explanations Lie, which draws one other class and takes SSIM.
    """
    others = np.delete(scores, target, axis=0)
    return float(np.mean([statistics.spearman(scores[target], other) for other in others]))


def _relative_change(values: Scores, changed: Scores, epsilon: float) -> Scores:
    """Return f[d]: the norm of the change, each entry relative to its value."""
    divisor = np.where(values == 0, epsilon, values).astype(np.float64)
    relative = (changed - values) / divisor
    change: Scores = np.linalg.norm(relative.reshape(len(changed), -1), axis=1)
    return change

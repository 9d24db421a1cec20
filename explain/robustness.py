"""What an explanation's own numbers tell, without asking the model again: how simple it is, and how steady.

Leaves to others: making the explanations of perturbed inputs (`evaluation`).
"""

import numpy as np
import numpy.typing as npt

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

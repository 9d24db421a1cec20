"""How far a model's answers in bfloat16 are from those of the same model in float32.

Leaves to others: the answers (`benchmark_ours`, `benchmark_peers`).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Answers: TypeAlias = Sequence[Sequence[Any]]
"""Of each text, its probabilities f[c] and its attention row f[t]."""
_AT_ONCE = 512  # texts


class Difference(NamedTuple):
    """How two answers to one text differ.

    Attributes:
      probability: the largest difference of one.
      is_same: whether the likeliest class is the same.
      cosine: of the two attention rows.
    """

    probability: float
    is_same: bool
    cosine: float


def measure(ask: Callable[[Sequence[str], str], Answers], texts: Sequence[str]) -> dict[str, float]:
    """Ask for every text in both precisions and return what the differences come to.

    Args:
      ask: (texts, precision) -> answers.
    """
    found: list[Difference] = []
    for start in range(0, len(texts), _AT_ONCE):
        part = texts[start : start + _AT_ONCE]
        found.extend(differences(ask(part, "float32"), ask(part, "bfloat16")))
    cosines = [item.cosine for item in found]
    return {
        "largest": max(item.probability for item in found),
        "same": float(np.mean([item.is_same for item in found])),
        "mean_cosine": float(np.mean(cosines)),
        "smallest_cosine": min(cosines),
    }


def differences(first: Answers, second: Answers) -> Iterator[Difference]:
    """Compare answers text by text."""
    for one, other in zip(first, second, strict=True):
        p, q = (np.asarray(answer[0], np.float64) for answer in (one, other))
        a, b = (np.asarray(answer[1], np.float64) for answer in (one, other))
        cosine = float(a @ b / np.sqrt((a @ a) * (b @ b)))
        yield Difference(float(np.abs(p - q).max()), bool(p.argmax() == q.argmax()), cosine)

"""The record that pictures are made from: one text, the model's answer, and what each word counted for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from bert import datasets
from bert import tokenization
from explain import words as words_lib

if (
    TYPE_CHECKING
):  # the type alone: a record must not cost the seconds that TensorFlow takes to import
    from bert import features


Check: TypeAlias = bool | int | float | str
Setting: TypeAlias = "bool | int | float | str | Sequence[Setting] | Mapping[str, Setting] | None"


@dataclasses.dataclass(frozen=True, eq=False)  # arrays have no one truth to compare records by
class Explanation:
    """One explained prediction.

    Attributes:
      guid: identifier of the example in its file.
      texts: the raw text, or both of a pair.
      words: words as typed, with their character spans.
      scores: float32[w], aligned to `words`.
      tokens: pieces as the model read them, special tokens included.
      token_scores: float32[t], aligned to `tokens`; for attention they sum to 1.
      labels: names of the classes in class order.
      probabilities: float32[c].
      predicted: name of the class with the highest probability.
      gold: name of the true class; None where the example has no label.
      method: what the scores are, such as `integrated_gradients`.
      signed: whether negative scores speak against the target; False for attention.
      truncated: tokens of each text that the model did not read.
      target: name of the explained class, or `a-b` for its lead over another; "" where the method knows no class.
      attention: what an attention processor made of this text, padding left out.
      layer_scores: float32[l + 1, t], relevance of each token where it enters layer 0 and after every layer.
      completeness_gap: sum of the token scores less the score's rise from the baseline; None where the method has none.
      checks: what was measured about this explanation, such as `score`, `steps`, `ledger_error`.
      settings: how it was made: model, checkpoint, options of the method, versions of the libraries.
    """

    guid: str
    texts: tuple[str, ...]
    words: tuple[words_lib.Word, ...]
    scores: npt.NDArray[np.float32]
    tokens: tuple[str, ...]
    token_scores: npt.NDArray[np.float32]
    labels: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    predicted: str
    gold: str | None
    method: str
    signed: bool = False
    truncated: tuple[int, int] = (0, 0)
    target: str = ""
    attention: npt.NDArray[np.float32] | None = None
    layer_scores: npt.NDArray[np.float32] | None = None
    completeness_gap: float | None = None
    checks: Mapping[str, Check] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, Setting] = dataclasses.field(default_factory=dict)

    @property
    def text(self) -> str | tuple[str, ...]:
        """The text as it was given: one, or a pair."""
        return self.texts[0] if len(self.texts) == 1 else self.texts

    @property
    def confidence(self) -> float:
        """Probability of the predicted class."""
        return float(np.max(self.probabilities))

    @property
    def special_share(self) -> float:
        """Share of the absolute token scores that lies on special tokens, which no word shows."""
        sizes = np.abs(self.token_scores)
        total = float(np.sum(sizes))
        is_special = [tokenization.is_special(token) for token in self.tokens]
        return float(np.sum(sizes[is_special])) / total if total else 0.0


def from_prediction(
    example: datasets.InputExample,
    encoding: features.Encoding,
    token_scores: npt.NDArray[np.float32],
    probabilities: npt.NDArray[np.float32],
    *,
    labels: Sequence[str],
    method: str,
) -> Explanation:
    """Join an example, its tokens and what the model predicted for it.

    Args:
      token_scores: float32[t] or longer; the scores of padding are left out.
      probabilities: float32[c].
      labels: names of the classes in class order.

    Raises:
      ValueError: `token_scores` is not one score a token, or `labels` not one name a probability.
    """
    if np.ndim(token_scores) != 1:
        raise ValueError(
            f"token_scores must be one score a token to colour words with, got shape {np.shape(token_scores)}; use a "
            "processor that reduces layers and heads, such as average_last_layer_by_head"
        )
    if len(labels) != len(probabilities):
        raise ValueError(
            f"labels must name each class, got {len(labels)} names for {len(probabilities)} probabilities; give the "
            "labels that the model was trained with"
        )
    texts = (example.text_a,) if example.text_b is None else (example.text_a, example.text_b)
    words, scores = words_lib.to_words(texts, encoding.tokens, token_scores)
    return Explanation(
        guid=example.guid,
        texts=texts,
        words=words,
        scores=scores,
        tokens=tuple(token.text for token in encoding.tokens),
        token_scores=np.asarray(token_scores[: len(encoding.tokens)], np.float32),
        labels=tuple(labels),
        probabilities=np.asarray(probabilities, np.float32),
        predicted=labels[int(np.argmax(probabilities))],
        gold=example.label,
        method=method,
        truncated=encoding.truncated,
    )

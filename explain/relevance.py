"""Layer-wise relevance propagation: the score shared out backwards, layer by layer, to the tokens.

The rules are gradients with some factors held constant (see `bert.taps`), so that one backward pass computes them.

**Patents.** Layer-wise relevance propagation is covered by patents of its inventors, who allow personal and scientific
use; ask them before other use. No method of this module is ever a default.

Leaves to others: the forward pass with taps (`classifier.forward(..., with_taps=True)`), words (`words`).

Sources: Bach et al. 2015 (LRP); Ali et al. 2022 (CP-LRP); Achtibat et al. 2024 (AttnLRP).
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from bert import classifier
from bert import shapes
from bert import taps as taps_lib


class Relevance(NamedTuple):
    """What reached the tokens, and where the rest of the score went.

    Attributes:
      token_scores: relevance at what enters layer 0, summed over the width; signed, in units of the score.
      biases: relevance of all constants: biases, betas.
      softmax: relevance that the softmax's rule keeps; 0 for CP-LRP.
      score: what was shared out; token scores, biases and softmax sum to it.
    """

    token_scores: shapes.TokenScores
    biases: shapes.PerExample
    softmax: shapes.PerExample
    score: shapes.PerExample

    @property
    def ledger_error(self) -> shapes.PerExample:
        """Return what is missing from the ledger, relative to the score's size or 1."""
        parts = tf.reduce_sum(self.token_scores, axis=1) + self.biases + self.softmax
        return tf.abs(parts - self.score) / tf.maximum(tf.abs(self.score), 1.0)


def cp_lrp(outputs: classifier.BertOutputs, score: shapes.PerExample) -> Relevance:
    """Share the score out with attention, LayerNorm's scale and the activations' gates held constant.

    Without biases the token scores sum to the score. Source: Ali et al. 2022, section 3.2; with the gates it is
    DecompX (Modarressi et al. 2023) without its bias term.
    """
    taps = _taps(outputs)
    stops = [*outputs.attention_probs, *taps.inv_std, *taps.gates]
    return _propagate(outputs, score, stops, is_softmax_open=False)


def attn_lrp(outputs: classifier.BertOutputs, score: shapes.PerExample) -> Relevance:
    """Share the score out through the softmax too; a product's factors get half each.

    Source: Achtibat et al. 2024, equations 12 to 15.
    """
    taps = _taps(outputs)
    stops = [*taps.halves, *taps.inv_std, *taps.gates]
    return _propagate(outputs, score, stops, is_softmax_open=True)


def _taps(outputs: classifier.BertOutputs) -> taps_lib.Taps:
    if outputs.taps is None:
        raise ValueError(
            "relevance needs a forward pass with taps; call forward(..., with_taps=True)"
        )
    return outputs.taps


def _propagate(
    outputs: classifier.BertOutputs,
    score: shapes.PerExample,
    stops: Sequence[tf.Tensor],
    *,
    is_softmax_open: bool,
) -> Relevance:
    taps = _taps(outputs)
    inner = [*outputs.attention_probs, *taps.scores] if is_softmax_open else []
    wanted = [outputs.embedding_output, *(y for y, _ in taps.biased), *inner]
    gradients = tf.gradients(score, wanted, stop_gradients=list(stops))
    entered, *rest = gradients
    of_biases = [
        tf.reduce_sum(gradient * constant, axis=list(range(1, gradient.shape.rank)))
        for gradient, (_, constant) in zip(rest, taps.biased, strict=False)
        if gradient is not None
    ]
    softmax = tf.zeros_like(score)
    if is_softmax_open:
        count = len(outputs.attention_probs)
        after, before = rest[-2 * count : -count], rest[-count:]
        softmax = tf.add_n(
            [
                tf.einsum("bhqk,bhqk->b", a, probs) - tf.einsum("bhqk,bhqk->b", b, scores)
                for a, probs, b, scores in zip(
                    after, outputs.attention_probs, before, taps.scores, strict=True
                )
            ]
        )
    token_scores = tf.einsum("btd,btd->bt", entered, outputs.embedding_output)
    return Relevance(token_scores, tf.add_n(of_biases), softmax, score)

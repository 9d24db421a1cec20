"""Gradient attributions: what a small change of each token's embedding does to the explained score.

Every method is a function of one forward pass and a score f[b], a sum over which separates the examples of a batch.
Leaves to others: propagation rules (`relevance`), attention alone (`attention`), words (`words`), pictures
(`highlight`, `plots`).

Sources: Simonyan et al. 2014 (sensitivity); Shrikumar et al. 2017 (gradient x input); Sundararajan et al. 2017
(integrated gradients); Smilkov et al. 2017 (SmoothGrad); Chefer et al. ICCV 2021 (attention x gradient).
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

from bert import classifier
from bert import features as features_lib
from bert import shapes

ScoreKind = Literal["logit", "log_probability", "probability"]
_SCORES: dict[ScoreKind, Callable[[shapes.Logits], tf.Tensor]] = {
    "logit": tf.identity,
    "log_probability": tf.nn.log_softmax,
    "probability": tf.nn.softmax,
}
ScoreFn = Callable[[shapes.Logits], shapes.PerExample]


def score_of(
    kind: ScoreKind, target: shapes.Labels, contrast: shapes.Labels | None = None
) -> ScoreFn:
    """Return what is explained, as a function of the logits: the target class, or its lead over another.

    Args:
      target: class of each example.
      contrast: class whose score is taken off; the difference of two logits is what a softmax decides by.
    """

    def score(logits: shapes.Logits) -> shapes.PerExample:
        values = _SCORES[kind](logits)
        picked = tf.gather(values, target, batch_dims=1)
        return picked if contrast is None else picked - tf.gather(values, contrast, batch_dims=1)

    return score


def gradient_sensitivity(
    outputs: classifier.BertOutputs, score: shapes.PerExample
) -> shapes.TokenScores:
    """Return how much the score can change per unit of change of a token's embedding: the gradient's L2 norm.

    Never negative. Source: Simonyan et al. 2014, section 3.
    """
    return tf.norm(_gradient(outputs, score), axis=-1)


def gradient_sensitivity_squared(
    outputs: classifier.BertOutputs, score: shapes.PerExample
) -> shapes.TokenScores:
    """Return the squared norm of the gradient at what enters layer 0, as BERT-LRP defines sensitivity.

    Source: Wu and Ong 2021; frankaging/BERT-LRP 85b30a7.
    """
    (gradient,) = tf.gradients(score, outputs.embedding_output)
    return tf.reduce_sum(tf.square(gradient), axis=-1)


def gradient_x_input(
    outputs: classifier.BertOutputs, score: shapes.PerExample
) -> shapes.TokenScores:
    """Return the signed first-order share of each token: the gradient times the word embedding, summed.

    Exact for a linear model; in general it sums to nothing in particular. Taken at the word embeddings: at the sum
    before LayerNorm it is zero for every token, because LayerNorm ignores the scale of its input.

    Source: Shrikumar et al. 2017, section 2.
    """
    return tf.einsum("btd,btd->bt", _gradient(outputs, score), outputs.word_embeddings)


def gradient_x_input_squared(
    outputs: classifier.BertOutputs, score: shapes.PerExample
) -> shapes.TokenScores:
    """Return the squared norm of gradient times input at what enters layer 0: BERT-LRP's variant, without a sign.

    Source: Wu and Ong 2021; frankaging/BERT-LRP 85b30a7.
    """
    (gradient,) = tf.gradients(score, outputs.embedding_output)
    return tf.reduce_sum(tf.square(gradient * outputs.embedding_output), axis=-1)


def chefer(outputs: classifier.BertOutputs, score: shapes.PerExample) -> shapes.TokenScores:
    """Return the attention that raises the score, carried from layer to layer to [CLS].

    Never negative, and of no fixed sum: compare tokens of one text only. Source: Chefer et al., ICCV 2021, rules 5 to
    7, self-attention alone.
    """
    gradients = tf.gradients(score, list(outputs.attention_probs))
    size = tf.shape(outputs.word_embeddings)
    identity = tf.eye(size[1], batch_shape=size[:1], dtype=score.dtype)
    carried = identity
    for gradient, probs in zip(gradients, outputs.attention_probs, strict=True):
        raising = tf.reduce_mean(tf.nn.relu(gradient * probs), axis=1)
        carried += tf.einsum("bqk,bkt->bqt", raising, carried)
    return (carried - identity)[:, 0]


class Integrated(NamedTuple):
    """Integrated gradients, and how far they are from complete.

    Attributes:
      token_scores: they sum to the score's rise from the baseline, but for `gap`.
      gap: sum of the scores less that rise.
      rise: score at the input less score at the baseline.
    """

    token_scores: shapes.TokenScores
    gap: shapes.PerExample
    rise: shapes.PerExample


def integrated_gradients(
    outputs: classifier.BertOutputs,
    features: features_lib.Features,
    score: ScoreFn,
    baseline: shapes.Embeddings,
    *,
    steps: int = 32,
    steps_at_once: int = 8,
) -> Integrated:
    """Return the gradient's mean along the straight line from a baseline, times the way gone.

    Args:
      baseline: word embeddings to start from, of the tokens' shape; it attends as real tokens do.
      steps: Gauss-Legendre nodes; exact for a gradient that is a polynomial of degree 2 * steps - 1 along the way.
      steps_at_once: nodes in one forward and backward pass; memory grows with it, time falls.

    Source: Sundararajan et al. 2017, equation 1.
    """
    nodes, node_weights = np.polynomial.legendre.leggauss(steps)
    # the nodes lie in [-1, 1], the way in [0, 1]; fill the last group with nodes of no weight
    padding = -steps % steps_at_once
    alphas = np.pad((nodes + 1.0) / 2.0, (0, padding)).reshape(-1, steps_at_once)
    shares = np.pad(node_weights / 2.0, (0, padding)).reshape(-1, steps_at_once)
    end = outputs.word_embeddings
    way = end - baseline
    repeated = features_lib.Features(*(_repeat(x, steps_at_once) for x in features))

    def add_group(index: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        alpha, share = (tf.gather(tf.constant(x, end.dtype), index) for x in (alphas, shares))
        points = baseline + tf.einsum("s,btd->sbtd", alpha, way)
        flat = tf.reshape(points, tf.concat([[-1], tf.shape(end)[1:]], axis=0))
        logits = outputs.rerun(flat, repeated, "word").logits
        (gradient,) = tf.gradients(_for_each_step(score, logits, steps_at_once), flat)
        by_step = tf.reshape(gradient, tf.shape(points))
        return index + 1, total + tf.einsum("s,sbtd->btd", share, by_step)

    _, mean_gradient = tf.while_loop(
        lambda index, _: index < len(alphas),
        add_group,
        (tf.constant(0), tf.zeros_like(end)),
        parallel_iterations=1,
    )
    token_scores = tf.einsum("btd,btd->bt", mean_gradient, way)
    at_baseline = score(outputs.rerun(baseline, features, "word").logits)
    rise = score(outputs.logits) - at_baseline
    return Integrated(token_scores, tf.reduce_sum(token_scores, axis=1) - rise, rise)


def _repeat(values: tf.Tensor | None, times: int) -> tf.Tensor | None:
    if values is None:
        return None
    return tf.tile(values, tf.concat([[times], tf.ones_like(tf.shape(values)[1:])], axis=0))


def _for_each_step(score: ScoreFn, logits: shapes.Logits, steps: int) -> tf.Tensor:
    by_step = tf.reshape(logits, [steps, -1, logits.shape[-1]])
    return tf.stack([score(row) for row in tf.unstack(by_step)])


def _gradient(outputs: classifier.BertOutputs, score: shapes.PerExample) -> shapes.Embeddings:
    (gradient,) = tf.gradients(score, outputs.word_embeddings)
    return gradient

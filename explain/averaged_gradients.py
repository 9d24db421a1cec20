"""Gradients averaged over many inputs: along a path from a baseline, or around the text itself.

The inputs go through the network in groups inside the graph, so that memory does not grow with their number.

Sources: Sundararajan et al. 2017 (integrated gradients); Smilkov et al. 2017 (SmoothGrad).
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from bert import classifier
from bert import features as features_lib
from bert import shapes
from explain import attribution

_Array = npt.NDArray[np.float64]
Baseline = Literal["pad", "mask", "mean", "zero"]
_SMALLEST_GAP = 1e-3  # of a score near 0, a share of it is no tolerance
_HALF_SMALLEST_GAP = 2e-2  # more steps do not mend what bfloat16 rounds away


class Path(NamedTuple):
    """A straight line of embeddings from a baseline to the text's own.

    Attributes:
      start: the baseline; it attends as real tokens do.
      end: the text's own embeddings.
      at: where they enter the network.
    """

    start: shapes.Hidden
    end: shapes.Hidden
    at: classifier.Point


def path_from(
    baseline: Baseline,
    outputs: classifier.BertOutputs,
    features: features_lib.Features,
    special: features_lib.SpecialIds,
) -> Path:
    """Return the way from a baseline that keeps [CLS], [SEP], positions and segments.

    Args:
      baseline: what stands for every other token: the embedding of [PAD] or [MASK], the mean of the vocabulary's, or
        zero at what enters layer 0 (before its LayerNorm a zero input says nothing: LayerNorm ignores the scale).
    """
    ordinary = attribution.is_ordinary(features, special)[..., tf.newaxis]
    if baseline == "zero":
        end = outputs.embedding_output
        return Path(tf.where(ordinary, tf.zeros_like(end), end), end, "post_layernorm")
    end, table = outputs.word_embeddings, outputs.word_table
    if baseline == "mean":
        row = tf.reduce_mean(table, axis=0)
    else:
        row = tf.gather(table, special.pad if baseline == "pad" else special.known_mask())
    return Path(tf.where(ordinary, row, end), end, "word")


class Integrated(NamedTuple):
    """Integrated gradients, and how far they are from complete.

    Attributes:
      token_scores: they sum to `rise`, but for `gap`.
      gap: sum of the scores less `rise`.
      rise: score at the input less score at the baseline.
      steps: nodes that were taken.
      allowed: largest gap that counts as complete.
    """

    token_scores: shapes.TokenScores
    gap: shapes.PerExample
    rise: shapes.PerExample
    steps: shapes.Labels
    allowed: shapes.PerExample


def integrated_gradients(
    outputs: classifier.BertOutputs,
    features: features_lib.Features,
    score_fn: attribution.ScoreFn,
    path: Path,
    *,
    steps: int,
    max_steps: int,
    tolerance: float,
    tokens_at_once: int,
) -> Integrated:
    """Return the gradient's mean along the path, times the way gone.

    An example whose gap is more than `tolerance` of its rise (and than 1e-3, or 0.02 where the encoder computes in
    bfloat16) is computed anew with twice the steps, up to `max_steps`; the others are left alone.

    Args:
      steps: Gauss-Legendre nodes; exact for a gradient that is a polynomial of degree 2 * steps - 1 along the way.
      max_steps: steps are doubled while they stay within it, so that 100 ends at 64 when it began at 16.
      tokens_at_once: most tokens in one forward and backward pass, but at least one node of every example; memory
        grows with it.

    Source: Sundararajan et al. 2017, equation 1.
    """
    levels = [steps]
    while levels[-1] * 2 <= max_steps:
        levels.append(levels[-1] * 2)
    nodes, shares = (np.concatenate(part) for part in zip(*map(_quadrature, levels), strict=True))
    rise = score_fn(outputs.logits, features) - score_fn(
        outputs.rerun(path.start, features, path.at).logits, features
    )
    dtype = rise.dtype
    allowed = tf.maximum(tolerance * tf.abs(rise), _smallest_gap(outputs))

    def is_open(gap: shapes.PerExample) -> tf.Tensor:
        return (tf.abs(gap) > allowed) | tf.math.is_nan(gap)

    def refine(level: tf.Tensor, found: Integrated) -> tuple[tf.Tensor, Integrated]:
        rows = tf.where(is_open(found.gap))[:, 0]
        start, end = tf.gather(path.start, rows), tf.gather(path.end, rows)
        count = tf.gather(tf.constant(levels, tf.int32), level)
        last = tf.gather(tf.constant(np.cumsum(levels), tf.int32), level)

        def at(index: tf.Tensor) -> tf.Tensor:
            alpha = tf.gather(tf.constant(nodes, dtype), index)
            return start + tf.einsum("s,btd->sbtd", alpha, end - start)

        mean = mean_gradient(
            outputs,
            features.map(lambda values: tf.gather(values, rows)),
            score_fn,
            path.at,
            at,
            shares=tf.constant(shares, dtype),
            span=(last - count, last),
            tokens_at_once=tokens_at_once,
        )
        scores = tf.einsum("btd,btd->bt", mean, end - start)
        gap = tf.reduce_sum(scores, axis=1) - tf.gather(rise, rows)
        taken = tf.fill(tf.shape(rows), count)
        at_rows = rows[:, tf.newaxis]
        return level + 1, Integrated(
            tf.tensor_scatter_nd_update(found.token_scores, at_rows, scores),
            tf.tensor_scatter_nd_update(found.gap, at_rows, gap),
            found.rise,
            tf.tensor_scatter_nd_update(found.steps, at_rows, taken),
            found.allowed,
        )

    unknown = Integrated(
        tf.zeros_like(path.end[..., 0]),
        tf.fill(tf.shape(rise), tf.constant(np.nan, dtype)),
        rise,
        tf.zeros_like(rise, tf.int32),
        allowed,
    )
    found: Integrated = tf.while_loop(
        lambda level, found: (level < len(levels)) & tf.reduce_any(is_open(found.gap)),
        refine,
        (tf.constant(0), unknown),
        parallel_iterations=1,
    )[1]
    return found


def _smallest_gap(outputs: classifier.BertOutputs) -> float:
    is_half = any(probs.dtype == tf.bfloat16 for probs in outputs.attention_probs)
    return _HALF_SMALLEST_GAP if is_half else _SMALLEST_GAP


def _quadrature(count: int) -> tuple[_Array, _Array]:
    nodes, shares = np.polynomial.legendre.leggauss(count)
    return (nodes + 1.0) / 2.0, shares / 2.0  # from [-1, 1] to [0, 1]


def smoothgrad(
    outputs: classifier.BertOutputs,
    features: features_lib.Features,
    score_fn: attribution.ScoreFn,
    *,
    samples: int,
    noise_level: float,
    seed: int,
    tokens_at_once: int,
) -> shapes.TokenScores:
    """Return the L2 norm of the mean gradient at noisy copies of the word embeddings.

    Args:
      noise_level: standard deviation of the noise, as a share of that of the text's own embeddings (the paper: of
        their range, which a few large values decide).
      seed: the noise of a place is a function of (seed, sample, place), the same for every text.

    Source: Smilkov et al. 2017, section 2.
    """
    words = outputs.word_embeddings
    mask = tf.cast(features.input_mask, words.dtype)[..., tf.newaxis]
    count = tf.reduce_sum(mask, axis=[1, 2], keepdims=True) * words.shape[-1]
    mean = tf.reduce_sum(words * mask, axis=[1, 2], keepdims=True) / count
    variance = tf.reduce_sum(tf.square(words - mean) * mask, axis=[1, 2], keepdims=True) / count
    sigma = noise_level * tf.sqrt(variance)

    def noise(sample: tf.Tensor) -> tf.Tensor:
        return tf.random.stateless_normal(
            tf.shape(words)[1:], tf.stack([seed, sample]), dtype=words.dtype
        )

    def at(index: tf.Tensor) -> tf.Tensor:
        drawn = tf.map_fn(noise, index, fn_output_signature=words.dtype)
        return words + tf.einsum("std,bij->sbtd", drawn, sigma)

    shares = tf.constant([1.0 / samples] * samples, words.dtype)
    whole = (tf.constant(0), tf.constant(samples))
    mean_of_gradient = mean_gradient(
        outputs,
        features,
        score_fn,
        "word",
        at,
        shares=shares,
        span=whole,
        tokens_at_once=tokens_at_once,
    )
    return tf.norm(mean_of_gradient, axis=-1)


def mean_gradient(
    outputs: classifier.BertOutputs,
    features: features_lib.Features,
    score_fn: attribution.ScoreFn,
    point: classifier.Point,
    at: Callable[[tf.Tensor], tf.Tensor],
    *,
    shares: tf.Tensor,
    span: tuple[tf.Tensor, tf.Tensor],
    tokens_at_once: int,
) -> shapes.Hidden:
    """Return the weighted sum of the score's gradients at many embeddings, a few at a time.

    Args:
      at: indices i[s] -> embeddings f[s, b, t, d].
      shares: weight of each index.
      span: first index and the one after the last.
    """
    first, last = span
    rows, width = tf.shape(features.input_ids)[0], tf.shape(features.input_ids)[1]
    group = tf.maximum(1, tokens_at_once // tf.maximum(1, rows * width))

    def add_group(index: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        taken = tf.range(index, tf.minimum(index + group, last))
        points = at(taken)
        count = tf.size(taken)
        flat = tf.reshape(points, tf.concat([[count * rows], tf.shape(points)[2:]], axis=0))
        flat = tf.ensure_shape(flat, [None, None, outputs.word_embeddings.shape[-1]])
        repeated = features.map(
            lambda values: tf.tile(
                values, tf.concat([[count], tf.ones_like(tf.shape(values)[1:])], axis=0)
            )
        )
        logits = outputs.rerun(flat, repeated, point).logits
        (gradient,) = tf.gradients(score_fn(logits, repeated), flat)
        by_index = tf.reshape(gradient, tf.shape(points))
        return index + count, total + tf.einsum("s,sbtd->btd", tf.gather(shares, taken), by_index)

    nothing = tf.zeros([rows, width, outputs.word_embeddings.shape[-1]], shares.dtype)
    _, total = tf.while_loop(
        lambda index, _: index < last,
        add_group,
        (first, nothing),
        parallel_iterations=1,
    )
    return total

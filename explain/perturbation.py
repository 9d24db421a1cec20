"""Explanations that ask nothing of the inside of a model: leave a token out, or rank at random.

Leaves to others: which score is explained (`attribution.score`), the tokens' names (`features.SpecialIds`).

Source: Li et al. 2016, Understanding Neural Networks through Representation Erasure (occlusion).
"""

from typing import Literal

import tensorflow as tf

from bert import classifier
from bert import features as features_lib
from bert import shapes
from explain import attribution

Replacement = Literal["mask", "pad", "delete"]


def occlusion(
    outputs: classifier.BertOutputs,
    features: features_lib.Features,
    score_fn: attribution.ScoreFn,
    special: features_lib.SpecialIds,
    *,
    replacement: Replacement,
    tokens_at_once: int,
) -> shapes.TokenScores:
    """Return how much the score falls without each token, one at a time; 0 for special tokens.

    Costs a forward pass a token.

    Args:
      replacement: "mask" puts [MASK] in its place; "pad" puts [PAD] there, which no token attends to; "delete" closes
        the gap, so that all later tokens move one position forward.
    """
    rows, width = tf.shape(features.input_ids)[0], tf.shape(features.input_ids)[1]
    group = tf.maximum(1, tokens_at_once // tf.maximum(1, rows * width))
    last = tf.reduce_max(tf.reduce_sum(features.input_mask, axis=1))  # all that follows is padding
    whole = score_fn(outputs.logits, features)

    def add_group(place: tf.Tensor, drops: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        places = tf.range(place, tf.minimum(place + group, last))
        count = tf.size(places)
        repeated = features.map(lambda values: tf.repeat(values[tf.newaxis], count, axis=0))
        without = _without(repeated, places, replacement, special)
        flat = without.map(
            lambda values: tf.reshape(values, tf.concat([[-1], tf.shape(values)[2:]], axis=0))
        )
        embeddings = tf.gather(outputs.word_table, flat.input_ids)
        logits = outputs.rerun(embeddings, flat, "word").logits
        scores = tf.reshape(score_fn(logits, flat), [count, rows])
        return place + count, tf.concat([drops, tf.transpose(whole - scores)], axis=1)

    nothing = tf.zeros_like(outputs.word_embeddings[:, :0, 0])
    _, drops = tf.while_loop(
        lambda place, _: place < last,
        add_group,
        (tf.constant(0), nothing),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, None])),
        parallel_iterations=1,
    )
    drops = tf.pad(drops, [[0, 0], [0, width - last]])
    return tf.where(attribution.is_ordinary(features, special), drops, tf.zeros_like(drops))


def _without(
    features: features_lib.Features,
    places: tf.Tensor,
    replacement: Replacement,
    special: features_lib.SpecialIds,
) -> features_lib.Features:
    """Return copies s of a batch, i[s, b, t], each without the token at its place."""
    width = tf.shape(features.input_ids)[2]
    if replacement == "delete":
        order = tf.range(width)[tf.newaxis]
        # every token from the place on is the next one; what comes after the last is padding
        source = order + tf.cast(order >= places[:, tf.newaxis], tf.int32)
        kept = tf.minimum(source, width - 1)

        def close(values: tf.Tensor) -> tf.Tensor:
            return (
                tf.gather(values, kept, axis=2, batch_dims=1) if values.shape.rank == 3 else values
            )

        shifted = features.map(close)
        is_inside = tf.cast(source < width, tf.int32)[:, tf.newaxis]
        return shifted._replace(input_mask=shifted.input_mask * is_inside)
    here = tf.one_hot(places, width, dtype=tf.int32)[:, tf.newaxis]
    by = special.pad if replacement == "pad" else special.known_mask()
    ids = features.input_ids * (1 - here) + by * here
    mask = features.input_mask * (1 - here) if replacement == "pad" else features.input_mask
    return features._replace(input_ids=ids, input_mask=mask)


def random(
    outputs: classifier.BertOutputs, features: features_lib.Features, *, seed: int
) -> shapes.TokenScores:
    """Return scores drawn evenly from [0, 1), a function of the seed and the text alone: the floor for every method.

    0 on padding.
    """
    ids = tf.cast(features.input_ids, tf.int64) + 1
    places = tf.range(1, tf.shape(ids)[1] + 1, dtype=tf.int64)
    real = tf.cast(features.input_mask, tf.int64)
    keys = tf.reduce_sum(ids * (places * places + 7) * real, axis=1)  # tells texts apart, no more
    dtype = outputs.logits.dtype

    def draw(key: tf.Tensor) -> tf.Tensor:
        return tf.random.stateless_uniform(
            tf.shape(places), tf.stack([tf.constant(seed, tf.int64), key]), dtype=dtype
        )

    drawn = tf.map_fn(draw, keys, fn_output_signature=dtype)
    return drawn * tf.cast(features.input_mask, dtype)

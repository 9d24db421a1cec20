"""A network that is a plain sum of token weights: every method that claims to be complete must give those weights."""

import numpy as np
import pytest
import tensorflow as tf

from bert import classifier
from explain import methods
from tests.explain import tiny_model

TABLE = np.array([[0.0], [0.0], [0.0], [0.0], [0.0], [1.5], [-2.0], [0.25], [3.0], [-0.5]])
"""Each word's weight is its embedding; the special tokens', [PAD]'s and [MASK]'s are 0."""
IDS = np.array([[2, 5, 6, 7, 3, 0], [2, 8, 9, 9, 5, 3]], np.int32)
WEIGHTS = TABLE[IDS, 0]


def planted(features) -> classifier.BertOutputs:
    """Class 1 is the sum of the weights of the tokens that are read, plus 7; class 0 is 0."""

    def rerun(embeddings, batch, at="word"):
        del at
        weights = embeddings[..., 0] * tf.cast(batch.input_mask, embeddings.dtype)
        total = tf.reduce_sum(weights, axis=1) + 7.0
        logits = tf.stack([tf.zeros_like(total), total], axis=1)
        table = tf.constant(TABLE)
        return classifier.BertOutputs(
            embeddings,
            embeddings,
            (embeddings,),
            (),
            embeddings,
            embeddings,
            logits,
            logits,
            table,
            rerun,
        )

    return rerun(tf.gather(tf.constant(TABLE), features.input_ids), features)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("gradient_x_input", {}),
        *[
            ("integrated_gradients", {"baseline": name, "steps": 1})
            for name in ("pad", "mask", "zero")
        ],
        *[("occlusion", {"replacement": name}) for name in ("mask", "pad", "delete")],
    ],
)
def test_a_sum_of_token_weights_is_explained_by_those_weights(method, options):
    (bound,) = methods.bind([method], {method: options})

    @tf.function(autograph=False)
    def run():
        batch = tiny_model.batch(IDS, (IDS > 0).astype(np.int32), np.zeros_like(IDS))
        batch = batch._replace(target=tf.constant([1, 1]), contrast=tf.constant([-1, -1]))
        question = methods.Question(planted(batch), batch, "logit", tiny_model.SPECIAL)
        return bound.answer(question)

    answer = run()
    np.testing.assert_allclose(answer.token_scores, WEIGHTS, rtol=1e-12)
    if method == "integrated_gradients":
        np.testing.assert_allclose(answer.checks["completeness_gap"], 0.0, atol=1e-12)
        np.testing.assert_allclose(answer.checks["baseline_score"], 7.0, rtol=1e-12)

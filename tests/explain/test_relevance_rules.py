"""Each rule of relevance propagation by hand: dense layers alone, then networks of one operation."""

import functools
import math

import numpy as np
import pytest
import tensorflow as tf

from bert import classifier
from bert import encoder
from bert import layers
from bert import taps as taps_lib
from explain import relevance

FROZEN = [relevance.cp_lrp, relevance.epsilon_lrp, relevance.alpha_beta_lrp]
ALL = [*FROZEN, relevance.attn_lrp]
LAST = 2.5e-6  # what LRP-epsilon keeps at the last layer of a score of 0.4 or more


def dense_layer(x, kernel, bias) -> taps_lib.Dense:
    x, kernel, bias = (np.array(value, np.float64) for value in (x, kernel, bias))
    return taps_lib.Dense(*map(tf.constant, (x, kernel, bias, x @ kernel + bias)))


def shared(rule, dense, at_y):
    """Return the relevance at x, of the biases and damped, of relevance at y."""
    passed = rule(dense, tf.constant(at_y, tf.float64) / dense.y)
    return (dense.x * passed.gradient).numpy(), passed.biases.numpy(), passed.damped.numpy()


BACH = dense_layer([[1, 1]], [[1], [-1]], [-1])  # z = (1, -1), y = -1


def test_epsilon_zero_shares_by_z_over_y_and_the_bias_takes_part():
    rule = functools.partial(relevance.epsilon_rule, epsilon=0.0)
    at_x, biases, damped = shared(rule, BACH, [[3.0]])
    np.testing.assert_allclose(at_x, [[-3.0, 3.0]], rtol=1e-15)  # z / y = (-1, 1)
    assert (biases, damped) == (3.0, 0.0)


def test_the_stabiliser_carries_the_sign_of_y_and_keeps_its_share():
    rule = functools.partial(relevance.epsilon_rule, epsilon=0.5)
    at_x, biases, damped = shared(rule, BACH, [[3.0]])  # z / (y - 0.5) = (-2/3, 2/3)
    np.testing.assert_allclose(at_x, [[-2.0, 2.0]], rtol=1e-15)
    np.testing.assert_allclose([biases[0], damped[0]], [2.0, 1.0], rtol=1e-15)


def test_epsilon_at_an_output_of_zero_is_finite():
    dense = dense_layer([[1, 1]], [[1], [-1]], [0])
    for epsilon in (0.0, 0.5):
        passed = relevance.epsilon_rule(dense, tf.constant([[2.0]], tf.float64), epsilon=epsilon)
        kept = 2.0 if epsilon == 0.0 else 0.0
        np.testing.assert_array_equal(passed.gradient, [[kept, -kept]])


@pytest.mark.parametrize(
    ("alpha", "beta", "expected"),
    [(2.0, 1.0, [6.0, -3.0]), (1.0, 0.0, [3.0, 0.0]), (1.5, 0.5, [4.5, -1.5])],
)
def test_alpha_beta_shares_the_two_signs_apart_and_the_bias_takes_none(alpha, beta, expected):
    rule = functools.partial(relevance.alpha_beta_rule, alpha=alpha, beta=beta)
    at_x, biases, damped = shared(rule, BACH, [[3.0]])
    np.testing.assert_allclose(at_x, [expected], rtol=1e-15)
    assert (biases, damped) == (0.0, 0.0)


def test_alpha_beta_splits_by_the_sign_of_the_product_not_of_the_weight():
    # z = [[2, -6], [-3, -1], [-1, 4]] for x = (-1, 1, 2); sums: up (2, 4), down (-4, -7)
    dense = dense_layer([[-1, 1, 2]], [[-2, 6], [-3, -1], [-0.5, 2]], [0.25, -0.5])
    rule = functools.partial(relevance.alpha_beta_rule, alpha=2.0, beta=1.0)
    at_x, *_ = shared(rule, dense, [[2.0, 7.0]])
    expected = [4 * 2 / 2 - 7 * 6 / 7, -2 * 3 / 4 - 7 * 1 / 7, -2 * 1 / 4 + 14 * 4 / 4]
    np.testing.assert_allclose(at_x, [expected], rtol=1e-14)
    np.testing.assert_allclose(at_x.sum(), 9.0, rtol=1e-14)


def test_alpha_beta_gives_all_to_the_sign_that_there_is():
    # outputs with z > 0 alone, z < 0 alone, and nothing but a bias
    dense = dense_layer([[1, 3]], [[1, -1, 0], [1, -1, 0]], [0.1, 0.1, 0.1])
    rule = functools.partial(relevance.alpha_beta_rule, alpha=2.0, beta=1.0)
    at_x, biases, _ = shared(rule, dense, [[4.0, 8.0, 5.0]])
    np.testing.assert_allclose(at_x, [[1 + 2, 3 + 6]], rtol=1e-14)
    np.testing.assert_allclose(biases, [5.0], rtol=1e-14)


def test_the_weight_sign_rule_of_bert_lrp_by_hand():
    x, kernel, bias = [[1, -2, 3]], [[1, -1], [0, 1], [-0.5, 1.5]], [1, -1]
    at_y = tf.constant([[2.0, 6.0]], tf.float64)
    at_x = relevance.weight_sign_rule(dense_layer(x, kernel, bias), at_y)
    # z+ = (1 + 1, -2 + 4.5), z- = (-1.5, -1 - 1): by the weight's sign, the bias with its own
    raw = np.array([0.5 * 2 / 2 + 0.5 * 6 / 2, 0.5 * 6 * -2 / 2.5, 0.5 * 2 + 0.5 * 6 * 4.5 / 2.5])
    sizes = np.abs(raw)  # 2, 2.4, 6.4
    np.testing.assert_allclose(at_x, [sizes * 8 / sizes.sum()], rtol=1e-6)  # 1e-7: stabiliser


def test_the_weight_sign_rule_gives_one_sign_and_the_sum_to_each_example_alone():
    rng = np.random.default_rng(4)
    dense = dense_layer(rng.normal(size=(2, 5, 3)), rng.normal(size=(3, 4)), rng.normal(size=4))
    at_y = rng.normal(size=(2, 5, 4)) + np.array([1.0, -1.0])[:, None, None]
    at_x = relevance.weight_sign_rule(dense, tf.constant(at_y)).numpy()
    np.testing.assert_allclose(at_x.sum(axis=(1, 2)), at_y.sum(axis=(1, 2)), rtol=1e-6)
    assert (at_x[0] > 0).all()
    assert (at_x[1] < 0).all()


def explain_one(rule, entered, build):
    """Apply a rule to a network of one operation, without encoder layers.

    Args:
      build: (what enters, taps) -> (score f[b], attention_probs).
    """

    @tf.function(autograph=False)
    def run():
        taps = taps_lib.Taps()
        x = tf.constant(entered, tf.float64)
        score, probs = build(x, taps)
        # the last layer, of one class
        kernel, bias = tf.ones([1, 1], x.dtype), tf.zeros([1], x.dtype)
        logits = score[:, tf.newaxis] @ kernel + bias
        taps.dense.append(taps_lib.Dense(score[:, tf.newaxis], kernel, bias, logits))
        outputs = classifier.BertOutputs(
            x, x, (), probs, x, x, x, logits, x, rerun=lambda *_: outputs, taps=taps
        )
        return rule(outputs, logits[:, 0])

    found = tf.nest.map_structure(lambda tensor: tensor.numpy(), run())
    total = found.token_scores.sum(axis=1) + found.biases + found.softmax + found.damped
    np.testing.assert_allclose(total, found.score, rtol=1e-12, atol=1e-15)
    return found


@pytest.mark.parametrize("rule", ALL)
def test_layer_norm_is_linear_but_for_its_beta(rule):
    def build(x, taps):
        gamma, beta = (tf.constant(value, x.dtype) for value in ([2.0, 3.0], [0.5, 0.0]))
        y = layers.normalise(x, gamma, beta, 0.0, taps)
        return tf.reduce_sum(y, axis=[1, 2]), ()

    found = explain_one(rule, [[[1.0, 3.0]]], build)  # mean 2, deviation 1, y = (-2 + 0.5, 3)
    # gradient (2, 3) less its mean 2.5, times x
    np.testing.assert_allclose(found.token_scores, [[-0.5 * 1 + 0.5 * 3]], rtol=LAST)
    np.testing.assert_allclose(found.biases, [0.5], rtol=LAST)


@pytest.mark.parametrize("rule", ALL)
@pytest.mark.parametrize(
    ("activation", "function"),
    [(layers.gelu, lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2)))), (tf.tanh, math.tanh)],
)
def test_an_activation_hands_relevance_on_unchanged(rule, activation, function):
    def build(x, taps):
        return tf.reduce_sum(layers.activate(activation, x, taps), axis=[1, 2]), ()

    found = explain_one(rule, [[[-0.5], [0.0], [2.0]]], build)
    np.testing.assert_allclose(
        found.token_scores, [[function(-0.5), 0.0, function(2.0)]], rtol=LAST
    )


@pytest.mark.parametrize("rule", ALL)
def test_a_residual_is_shared_in_proportion_to_its_two_parts(rule):
    def build(x, taps):
        del taps
        return 3.0 * tf.reduce_sum(x[:, 0] + x[:, 1], axis=-1), ()  # R = 12

    found = explain_one(rule, [[[5.0], [-1.0]]], build)
    np.testing.assert_allclose(found.token_scores, [[12 * 5 / 4, 12 * -1 / 4]], rtol=LAST)


SCORES = np.array([[0.3, -1.2, 0.9], [2.0, 0.1, -0.4]])
PROBS = np.exp(SCORES) / np.exp(SCORES).sum(axis=1, keepdims=True)
VALUES = np.array([2.0, -1.0, 4.0])
HEAVY = np.array([10.0, 5.0])  # how much each context counts
AT_VALUES = VALUES * (PROBS.T @ HEAVY)  # sum over q of A_qk V_k R_q / O_q, with R_q = HEAVY_q O_q


def through_softmax(at_probs):
    """AttnLRP, proposition 3.1: x_i (R_i - s_i sum of R)."""
    return SCORES * (at_probs - PROBS * at_probs.sum(axis=1, keepdims=True))


def attend_and_mix(x, taps):
    """The first three tokens are the values, the other six the scores of two queries."""
    scores = tf.reshape(x[:, 3:], [1, 1, 2, 3])
    taps.scores.append(scores)
    probs = tf.nn.softmax(scores)
    context = taps.halve(encoder.mix(probs, x[:, :3, tf.newaxis]))
    return tf.einsum("bqhe,q->b", context, tf.constant(HEAVY)), (probs,)


MIXED = np.concatenate([VALUES, SCORES.ravel()])[None, :, None]


@pytest.mark.parametrize("rule", FROZEN)
def test_with_attention_frozen_the_values_get_all_of_the_context(rule):
    found = explain_one(rule, MIXED, attend_and_mix)
    np.testing.assert_allclose(found.token_scores[0, :3], AT_VALUES, rtol=LAST)
    np.testing.assert_array_equal(found.token_scores[0, 3:], 0.0)


def test_attn_lrp_gives_values_and_attention_half_each_and_goes_on_through_the_softmax():
    found = explain_one(relevance.attn_lrp, MIXED, attend_and_mix)
    at_probs = 0.5 * HEAVY[:, None] * PROBS * VALUES  # the other half, to A_qk
    at_scores = through_softmax(at_probs)
    np.testing.assert_allclose(found.token_scores[0, :3], 0.5 * AT_VALUES, rtol=1e-12)
    np.testing.assert_allclose(found.token_scores[0, 3:], at_scores.ravel(), rtol=1e-12)
    np.testing.assert_allclose(found.softmax, [at_probs.sum() - at_scores.sum()], rtol=1e-12)


def test_attn_lrp_gives_query_and_key_half_each_of_the_scores():
    query, key = np.array([1.0, -2.0]), np.array([0.5, 3.0, -1.0])
    weight = np.array([[1.0, 2.0, -3.0], [0.5, -1.0, 4.0]])

    def build(x, taps):
        probs = encoder.attend(x[:, :2, tf.newaxis], x[:, 2:, tf.newaxis], 0.0, taps)
        return tf.einsum("bhqk,qk->b", probs, tf.constant(weight)), (probs,)

    found = explain_one(relevance.attn_lrp, np.r_[query, key][None, :, None], build)
    scores = np.outer(query, key)
    probs = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    at_probs = probs * weight
    at_scores = scores * (at_probs - probs * at_probs.sum(axis=1, keepdims=True))
    expected = 0.5 * np.r_[at_scores.sum(axis=1), at_scores.sum(axis=0)]
    np.testing.assert_allclose(found.token_scores, [expected], rtol=1e-12)
    assert np.abs(expected).min() > 1e-3

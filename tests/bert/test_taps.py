import math

import numpy as np
import pytest
import tensorflow as tf

from bert import taps as taps_lib

SMALL_AND_LARGE = [-3.0, -0.5, -9.9e-4, -1e-4, 1e-8, 1e-4, 5e-4, 9.9e-4, 1.1e-3, 0.5, 2.0]


@pytest.mark.parametrize("x", SMALL_AND_LARGE)
def test_the_gate_of_tanh_is_tanh_over_x(x):
    gate = taps_lib.tanh_gate(tf.constant(x, tf.float64))
    np.testing.assert_allclose(gate, math.tanh(x) / x, rtol=1e-12)


@pytest.mark.parametrize("x", SMALL_AND_LARGE)
def test_the_gate_of_gelu_is_the_normal_distribution_function(x):
    gate = taps_lib.gelu_gate(tf.constant(x, tf.float64))
    np.testing.assert_allclose(gate, 0.5 * (1.0 + math.erf(x / math.sqrt(2.0))), rtol=1e-12)


@pytest.mark.parametrize("x", SMALL_AND_LARGE)
def test_the_gate_of_gelu_tanh_is_gelu_tanh_over_x(x):
    gate = taps_lib.gelu_tanh_gate(tf.constant(x, tf.float64))
    activated = 0.5 * x * (1.0 + math.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))
    np.testing.assert_allclose(gate, activated / x, rtol=1e-12)


@pytest.mark.parametrize(
    ("gate", "limit"),
    [
        (taps_lib.tanh_gate, 1.0),
        (taps_lib.gelu_gate, 0.5),
        (taps_lib.gelu_tanh_gate, 0.5),
        (taps_lib.relu_gate, 0.0),
    ],
)
def test_a_gate_at_zero_is_its_limit(gate, limit):
    assert gate(tf.constant(0.0, tf.float64)).numpy() == limit


def test_the_gate_of_relu_opens_above_zero():
    np.testing.assert_array_equal(taps_lib.relu_gate(tf.constant([-1.0, 0.0, 2.0])), [0, 0, 1])


def test_a_gated_value_is_the_value_times_the_gate_that_was_kept():
    taps = taps_lib.Taps()
    x = tf.constant([-2.0, 0.0, 0.7], tf.float64)
    np.testing.assert_allclose(taps.gated(x, taps_lib.tanh_gate), np.tanh(x), rtol=1e-12)
    (gate,) = taps.gates
    np.testing.assert_array_equal(gate, taps_lib.tanh_gate(x))


def test_a_halved_product_is_the_same_to_the_bit_and_one_half_can_be_stopped():
    @tf.function(autograph=False)
    def run(a, b):
        taps = taps_lib.Taps()
        halved = taps.halve(a * b)
        whole = tf.gradients(halved, [a, b])
        return halved, whole, tf.gradients(halved, [a, b], stop_gradients=taps.halves)

    rng = np.random.default_rng(3)
    a, b = rng.normal(0, 1e3, (2, 257)).astype(np.float32)
    halved, whole, stopped = run(tf.constant(a), tf.constant(b))
    np.testing.assert_array_equal(halved, a * b)
    np.testing.assert_array_equal(whole, [b, a])
    np.testing.assert_array_equal(stopped, [b / 2, a / 2])


def test_the_parts_are_the_layers_and_then_the_head():
    taps = taps_lib.Taps(dense=list(range(15)), biased=list(range(5)))
    first, second, head = taps.parts(2)
    assert first == ([0, 1, 2, 3, 4, 5], [0, 1])
    assert second == ([6, 7, 8, 9, 10, 11], [2, 3])
    assert head == ([12, 13, 14], [4])
    assert taps.parts(0) == [(list(range(15)), list(range(5)))]

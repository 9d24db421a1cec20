import time

import numpy as np
import pytest
import tensorflow as tf

from bert import optimization


def in_session(build):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        return build(session)


def test_the_schedule_follows_the_release_formula_at_every_corner():
    # 100 steps, 10 of warm-up, peak 0.5: half way up 0.25; after the warm-up the line 0.5 * (1 - step / 100)
    expected = {0: 0.0, 5: 0.25, 10: 0.45, 50: 0.25, 100: 0.0, 120: 0.0}
    for step, rate in expected.items():
        got = optimization.warmup_then_linear_decay(tf.constant(step), 0.5, 100, 10)
        np.testing.assert_allclose(got, rate, atol=1e-7)


def test_without_warm_up_the_first_step_has_the_full_rate():
    rate = optimization.warmup_then_linear_decay(tf.constant(0), 0.5, 100, 0)
    np.testing.assert_allclose(rate, 0.5)


def test_one_step_equals_the_formula_without_bias_correction_and_spares_bias_and_layer_norm():
    start = {"a/kernel": 3.0, "a/bias": 3.0, "a/LayerNorm/gamma": 3.0}
    gradient = 2.0
    m, v = 0.1 * gradient, 0.001 * gradient**2
    plain = 3.0 - 0.5 * m / (np.sqrt(v) + 1e-6)
    decayed = plain - 0.5 * 0.01 * 3.0

    def build(session):
        variables = [
            tf.compat.v1.get_variable(name, initializer=tf.constant(value))
            for name, value in start.items()
        ]
        optimizer = optimization.AdamWeightDecayOptimizer(
            0.5, 0.01, exclude_from_weight_decay=["LayerNorm", "layer_norm", "bias"]
        )
        train = optimizer.apply_gradients([(tf.constant(gradient), x) for x in variables])
        slots = {x.op.name for x in tf.compat.v1.global_variables()}
        session.run(tf.compat.v1.global_variables_initializer())
        session.run(train)
        return session.run(variables), slots

    values, slots = in_session(build)
    # TensorFlow's kernel takes 1 - 0.999 in float32: v is 1.3e-5 and a step 6e-6 of itself from the formula's
    np.testing.assert_allclose(values, [decayed, plain, plain], rtol=1e-5)
    assert slots >= {"a/kernel", "a/kernel/adam_m", "a/kernel/adam_v"}


def test_rows_that_a_step_does_not_read_go_on_by_their_moments_as_in_the_dense_formula():
    table = np.array([[1.0, -2.0], [3.0, 0.5], [-1.0, 2.0]], np.float32)
    steps = [np.array([[0.3, 0.1], [0.0, 0.0], [-0.2, 0.4]], np.float32)]
    steps += [np.array([[0.0, 0.0], [0.5, -0.1], [0.1, 0.2]], np.float32), np.zeros((3, 2))]

    def build(session):
        variable = tf.compat.v1.get_variable("table", initializer=table)
        gradient = tf.compat.v1.placeholder(tf.float32, [2, 2])
        rows = tf.compat.v1.placeholder(tf.int32, [2])
        optimizer = optimization.AdamWeightDecayOptimizer(0.5, 0.01)
        slices = tf.IndexedSlices(gradient, rows, tf.constant([3, 2]))
        train = optimizer.apply_gradients([(slices, variable)])
        session.run(tf.compat.v1.global_variables_initializer())
        for step, read in zip(steps, ([0, 2], [1, 2], [0, 1]), strict=True):
            session.run(train, {gradient: step[read], rows: read})
        slots = {x.op.name: x for x in tf.compat.v1.global_variables()}
        return session.run([slots["table"], slots["table/adam_m"], slots["table/adam_v"]])

    value, m, v = table.astype(np.float64), np.zeros((3, 2)), np.zeros((3, 2))
    for step in steps:  # google-research/bert's apply_gradients, line by line
        m = 0.9 * m + 0.1 * step
        v = 0.999 * v + 0.001 * step**2
        value = value - 0.5 * (m / (np.sqrt(v) + 1e-6) + 0.01 * value)
    # v: 1 - 0.999 in float32, as TensorFlow's kernel takes it, is 1.3e-5 of itself from 0.001
    for found, expected in zip(in_session(build), (value, m, v), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=4e-5)  # steps of up to 3


def test_a_word_read_twice_enters_the_norm_with_the_sum_of_its_gradients():
    def build(session):
        table = tf.compat.v1.get_variable("table", initializer=[[1.0], [2.0], [3.0]])
        rows = tf.gather(table, [0, 1, 0])
        loss = tf.reduce_sum(rows * [[10.0], [40.0], [20.0]])  # gradient 30, 40, 0: a norm of 50
        train = optimization.create_optimizer(loss, 0.1, 10, 0)
        session.run(tf.compat.v1.global_variables_initializer())
        session.run(train)
        (moments,) = (x for x in tf.compat.v1.global_variables() if x.op.name == "table/adam_m")
        return session.run(moments)

    np.testing.assert_allclose(in_session(build), [[0.06], [0.08], [0.0]], rtol=1e-6)


def test_nothing_is_decayed_before_the_step_has_read_it():
    def build(session):
        variable = tf.compat.v1.get_variable("x", initializer=tf.constant(3.0))
        late = tf.numpy_function(lambda: time.sleep(0.2), [], [])
        with tf.control_dependencies([late]):
            gradient = 2.0 * variable.read_value()
        train = optimization.AdamWeightDecayOptimizer(0.5, 0.1).apply_gradients(
            [(gradient, variable)]
        )
        session.run(tf.compat.v1.global_variables_initializer())
        session.run(train)
        return session.run([x for x in tf.compat.v1.global_variables() if "adam_m" in x.name])

    np.testing.assert_allclose(in_session(build), [0.1 * 6.0], rtol=1e-6)  # decayed: 0.1 * 5.7


def test_it_minimises_the_quadratic_of_the_release_test():
    def build(session):
        w = tf.compat.v1.get_variable("w", initializer=tf.constant([0.1, -0.2, -0.1]))
        loss = tf.reduce_mean(tf.square(tf.constant([0.4, 0.2, -0.5]) - w))
        gradients = tf.gradients(loss, [w])
        optimizer = optimization.AdamWeightDecayOptimizer(learning_rate=0.2)
        train = optimizer.apply_gradients(zip(gradients, [w], strict=True))
        session.run(tf.compat.v1.global_variables_initializer())
        for _ in range(100):
            session.run(train)
        return session.run(w)

    np.testing.assert_allclose(in_session(build), [0.4, 0.2, -0.5], atol=1e-2)


@pytest.mark.parametrize("norm", [10.0, 0.5])
def test_gradients_are_clipped_to_a_global_norm_of_one(norm):
    def run(session):
        # two variables whose gradients together have the norm; after a step Adam's m is 0.1 * gradient
        a, b = (tf.compat.v1.get_variable(name, initializer=tf.constant(0.0)) for name in "ab")
        train = optimization.create_optimizer(norm * (0.6 * a + 0.8 * b), 0.1, 10, 0)
        session.run(tf.compat.v1.global_variables_initializer())
        session.run(train)
        slots = {x.op.name: x for x in tf.compat.v1.global_variables()}
        step = session.run(tf.compat.v1.train.get_global_step())
        return session.run([slots["a/adam_m"], slots["b/adam_m"]]), step

    moments, step = in_session(run)
    applied = min(norm, 1.0)
    np.testing.assert_allclose(moments, [0.06 * applied, 0.08 * applied], rtol=1e-5)
    assert step == 1


def test_a_range_test_goes_from_zero_to_the_highest_rate_in_equal_steps():
    rates = [optimization.lr_range_test(tf.constant(step), 0.5, 6, 3).numpy() for step in range(6)]
    np.testing.assert_allclose(rates, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5], atol=1e-7)


def test_one_cycle_equals_pytorch():
    # torch 2.13, OneCycleLR(max_lr=0.2, total_steps=20, pct_start=0.3), get_last_lr() of every step
    expected = [
        *(0.008, 0.0263343685, 0.0743343685, 0.133665631, 0.181665631, 0.2, 0.197492801),
        *(0.190096926, 0.178183236, 0.162349131, 0.1433886, 0.122252404, 0.1000004, 0.0777483956),
        *(0.0566121996, 0.0376516692, 0.0218175645, 0.0099038736, 0.00250799875, 8e-07),
    ]
    rates = [optimization.one_cycle(tf.constant(step), 0.2, 20, 6).numpy() for step in range(20)]
    np.testing.assert_allclose(rates, expected, atol=2e-8)
    np.testing.assert_allclose(optimization.one_cycle(tf.constant(0), 0.2, 20, 0), 0.2)


def test_schedules_of_one_or_two_steps_have_a_rate_and_the_cycle_ends_at_its_lowest():
    assert optimization.lr_range_test(tf.constant(0), 0.5, 1, 0).numpy() == 0.0
    np.testing.assert_allclose(optimization.one_cycle(tf.constant(0), 0.2, 1, 0), 0.2)
    np.testing.assert_allclose(optimization.one_cycle(tf.constant(1), 0.2, 2, 2), 0.2)
    # beyond the last step, where a cosine would rise again
    np.testing.assert_allclose(optimization.one_cycle(tf.constant(30), 0.2, 20, 6), 8e-7, rtol=1e-5)


def test_training_decays_all_but_biases_and_layer_norms():
    names = ["kernel", "bias", "LayerNorm/gamma", "layer_norm/gamma", "table"]

    def build(session):
        variables = [
            tf.compat.v1.get_variable(name, initializer=tf.constant(3.0)) for name in names
        ]
        train = optimization.create_optimizer(0.0 * tf.add_n(variables), 0.1, 10, 0)
        session.run(tf.compat.v1.global_variables_initializer())
        session.run(train)
        return session.run(variables)

    # no gradient: a rate of 0.1 times the release's decay of 0.01 is all that moves
    decayed = 3.0 - 0.1 * 0.01 * 3.0
    expected = [decayed, 3.0, 3.0, 3.0, decayed]
    np.testing.assert_allclose(in_session(build), expected, rtol=1e-6)


def test_the_training_operation_shows_its_warmed_up_rate_to_hooks_and_to_tensorboard():
    def build(session):
        x = tf.compat.v1.get_variable("x", initializer=tf.constant(2.0))
        train = optimization.create_optimizer(3.0 * x, 0.5, 100, 10)
        assert tf.compat.v1.trainable_variables() == [x]  # and none of the optimiser's slots
        (rate,) = tf.compat.v1.get_collection(optimization.LEARNING_RATE)
        session.run(tf.compat.v1.global_variables_initializer())
        found = []
        for _ in range(3):
            summary = tf.compat.v1.Summary.FromString(session.run(tf.compat.v1.summary.merge_all()))
            found += [(value.tag, value.simple_value) for value in summary.value]
            found.append(session.run([rate, x]))
            session.run(train)
        return found

    found = in_session(build)
    tags, rates = zip(*found[::2], strict=True)
    assert set(tags) == {"learning_rate"}
    np.testing.assert_allclose(rates, [0.0, 0.05, 0.1])  # a tenth of the peak a step
    np.testing.assert_allclose([rate for rate, _ in found[1::2]], rates)
    values = [x for _, x in found[1::2]]
    assert values[0] == values[1] > values[2]  # the first step has a rate of 0


def test_on_a_tpu_the_gradients_of_all_cores_are_added_up():
    def kinds(session, use_tpu):
        x = tf.compat.v1.get_variable("x", initializer=tf.constant(2.0))
        optimization.create_optimizer(3.0 * x, 0.5, 100, 10, use_tpu)
        return {operation.type for operation in session.graph.get_operations()}

    assert "CrossReplicaSum" in in_session(lambda session: kinds(session, True))
    assert "CrossReplicaSum" not in in_session(lambda session: kinds(session, False))


def test_a_variable_that_the_loss_does_not_know_is_left_alone():
    def build(session):
        known, other = (
            tf.compat.v1.get_variable(name, initializer=tf.constant(3.0)) for name in "ab"
        )
        optimizer = optimization.AdamWeightDecayOptimizer(0.5, 0.01)
        gradients = tf.gradients(2.0 * known, [known, other])
        train = optimizer.apply_gradients(zip(gradients, [known, other], strict=True))
        _, (gradient, none) = optimization.mean_over_parts(lambda _: 2.0 * known, 3, [known, other])
        session.run(tf.compat.v1.global_variables_initializer())
        found = session.run([gradient, none])
        session.run(train)
        return found, session.run([known, other])

    gradients, (known, other) = in_session(build)
    assert gradients == [2.0, 0.0]
    assert other == 3.0 != known


def test_the_parts_of_a_batch_have_the_loss_and_gradient_of_the_whole():
    ids = np.array([[0, 1], [1, 2], [2, 2], [0, 0], [1, 1], [2, 0]])

    def build(session):
        table = tf.compat.v1.get_variable("table", initializer=[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])

        def loss_of(rows):
            return tf.reduce_mean(tf.reduce_sum(tf.sin(tf.gather(table, rows)), axis=(1, 2)))

        whole = loss_of(tf.constant(ids))
        parts = optimization.mean_over_parts(
            lambda index: loss_of(tf.constant(ids)[index * 2 : (index + 1) * 2]), 3, [table]
        )
        gradient = tf.convert_to_tensor(tf.gradients(whole, [table])[0])
        session.run(tf.compat.v1.global_variables_initializer())
        return session.run([(whole, [gradient]), parts])

    (whole, gradient), (loss, gradient_of_parts) = in_session(build)
    np.testing.assert_allclose(loss, whole, rtol=1e-6)
    np.testing.assert_allclose(gradient_of_parts, gradient, rtol=1e-6, atol=1e-7)
    # by hand: row 0 is read 4 times in 6 examples, and the derivative of sin is cos
    np.testing.assert_allclose(gradient[0][0], 4 / 6 * np.cos([1.0, 2.0]), rtol=1e-5)

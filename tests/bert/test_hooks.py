import numpy as np
import tensorflow as tf

from bert import hooks
from bert import metrics
from bert import optimization


def counted_training(every, steps, start=0):
    """Run a graph in which `weight` is the step; return the looks and by how much the graph grew."""
    looks = []
    with tf.Graph().as_default() as graph:
        step = tf.compat.v1.train.get_or_create_global_step()
        weight = tf.compat.v1.get_variable("weight", initializer=float(start))
        tf.compat.v1.get_variable("weight/adam_m", initializer=0.0)
        starts = step.assign(start)
        train = tf.group(step.assign_add(1), weight.assign_add(1.0))
        hook = hooks.WeightsHook(["weight"], every, lambda n, found: looks.append((n, found)))
        initialise = tf.compat.v1.global_variables_initializer()
        size = len(graph.get_operations())
        session = tf.compat.v1.Session()
        session.run(initialise)
        session.run(starts)
        hook.begin()
        hook.after_create_session(session, None)
        context = tf.compat.v1.train.SessionRunContext(None, session)
        for _ in range(steps):
            session.run(train)
            hook.after_run(context, None)
        grown = len(graph.get_operations()) - size
    return looks, grown


def test_the_weights_are_seen_at_the_start_and_after_every_so_many_steps():
    looks, _ = counted_training(every=3, steps=7)
    assert [(step, [*found]) for step, found in looks] == [(n, ["weight"]) for n in (0, 3, 6)]
    assert [float(found["weight"]) for _, found in looks] == [0.0, 3.0, 6.0]
    assert all(np.asarray(found["weight"]).dtype == np.float32 for _, found in looks)


def test_a_training_that_goes_on_is_looked_at_at_the_same_steps():
    looks, _ = counted_training(every=3, steps=4, start=5)
    assert [(step, float(found["weight"])) for step, found in looks] == [(6, 6.0), (9, 9.0)]


def test_the_graph_is_not_added_to():
    _, grown = counted_training(every=1, steps=2)
    assert grown == 0


def test_a_run_of_many_steps_counts_as_many():
    seen = []
    hook = hooks.StepHook(lambda step, loss, rate: seen.append(step), 10, steps_a_run=5)
    for _ in range(3):
        hook.after_run(None, tf.compat.v1.train.SessionRunValues([[], []], None, None))
    assert seen == [15, 20, 25]


def test_a_hook_reports_the_last_loss_and_rate_of_the_graph_and_nan_where_there_is_none():
    seen = []

    def run(*losses):
        with tf.Graph().as_default():
            for name in (tf.compat.v1.GraphKeys.LOSSES, optimization.LEARNING_RATE):
                for value in losses:
                    tf.compat.v1.add_to_collection(name, tf.constant(value + len(name)))
            hook = hooks.StepHook(lambda *found: seen.append(found), start_step=4)
            nothing = tf.no_op()
            with tf.compat.v1.train.SingularMonitoredSession([hook]) as session:
                session.run(nothing)

    run(7.0, 2.0)  # the newest is the loss of this step
    run()
    assert seen[0] == (5, 2.0 + len("losses"), 2.0 + len("learning_rate"))
    assert seen[1][0] == 5
    assert np.isnan(seen[1][1:]).all()


def test_an_evaluations_confusion_matrix_is_kept_with_true_classes_as_rows():
    hook = hooks.ConfusionHook()
    with tf.Graph().as_default():
        logits = tf.constant([[9.0, 0, 0], [9, 0, 0], [0, 0, 9], [0, 9, 0]])
        found = metrics.evaluation_metrics(logits, tf.constant([0, 1, 1, 1]), None)
        updates = [update for _, update in found.values()]
        with tf.compat.v1.train.SingularMonitoredSession([hook]) as session:
            session.run(updates)
    assert hook.counts.tolist() == [[1, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert hook.counts.dtype == np.int64

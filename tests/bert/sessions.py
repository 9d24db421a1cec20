"""A TF1 session around a test, and what one asks of its graph."""

import pytest
import tensorflow as tf

FLOAT32 = 2e-5  # a dozen float32 roundings through three layers of values around 1


@pytest.fixture
def session():
    with tf.Graph().as_default(), tf.compat.v1.Session() as opened:
        yield opened


def run(session, tensors, feed_dict=None):
    session.run(tf.compat.v1.global_variables_initializer())
    return session.run(tensors, feed_dict)


def load(session, variables):
    for variable in tf.compat.v1.trainable_variables():
        variable.load(variables[variable.op.name], session)


def trainable_names():
    return [variable.op.name for variable in tf.compat.v1.trainable_variables()]


def gathers(session):
    """Tell whether a word is looked up by its number, not by a one-hot product."""
    return any("Gather" in op.type for op in session.graph.get_operations())

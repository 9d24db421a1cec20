"""Failures that a user can cause, each in one line.

A command catches `USERS_FAULTS` and lets everything else, a fault of ours, through with its traceback.
"""

import tensorflow as tf

_NanLoss = tf.compat.v1.train.NanLossDuringTrainingError
USERS_FAULTS = (ValueError, TypeError, NotImplementedError, OSError, tf.errors.OpError, _NanLoss)


def one_line(error: BaseException) -> str:
    """Return what the user must know of a failure."""
    if isinstance(error, _NanLoss):
        return "training must keep a finite loss, got NaN; lower --learning_rate (--max_learning_rate in a range test)"
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return "memory ran out; lower the batch sizes, or raise --gradient_accumulation_steps"
    lines = [line for line in str(error).split("\n") if line.strip()] or [type(error).__name__]
    if isinstance(error, ValueError):
        return str(error)
    # TensorFlow says "Graph execution error:" first, and what it was after the name of the node
    after = [lines[i + 1] for i, line in enumerate(lines[:-1]) if line.startswith("Node:")]
    return (after or lines)[0]

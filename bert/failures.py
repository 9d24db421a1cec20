"""Failures that a user can cause, each in one line.

A command catches `USERS_FAULTS` and lets everything else, a fault of ours, through with its traceback.
"""

import errno
import logging
import os
import sys
from collections.abc import Callable

import tensorflow as tf

_log = logging.getLogger(__name__)
_FULL = tuple(map(os.strerror, (errno.ENOSPC, errno.EDQUOT)))
_NanLoss = tf.compat.v1.train.NanLossDuringTrainingError
USERS_FAULTS = (ValueError, TypeError, NotImplementedError, OSError, tf.errors.OpError, _NanLoss)


def one_line(error: BaseException) -> str:
    """Return what the user must know of a failure."""
    if isinstance(error, _NanLoss):
        return "training must keep a finite loss, got NaN; lower --learning_rate (--max_learning_rate in a range test)"
    is_full = any(reason in str(error) for reason in _FULL)
    if isinstance(error, tf.errors.ResourceExhaustedError) and not is_full:
        return "memory ran out; lower the batch sizes, or raise --gradient_accumulation_steps"
    lines = [line for line in str(error).split("\n") if line.strip()] or [type(error).__name__]
    if isinstance(error, ValueError):
        return str(error)
    # TensorFlow says "Graph execution error:" first, and what it was after the name of the node, or before it
    after = [lines[i + 1] for i, line in enumerate(lines[:-1]) if line.startswith("Node:")]
    before = [lines[i - 1] for i, line in enumerate(lines) if "[[{{node " in line]
    told = (after or before or lines)[0]
    if isinstance(error, tf.errors.DataLossError):
        return (
            f"{told}; a file is damaged: start again, which writes TFRecords anew; or copy the checkpoint again, or "
            "write an older one's name into the file 'checkpoint' beside it"
        )
    return f"{told}; free some space, and start again" if is_full else told


def exit_status(
    program: str, main: Callable[[], object], usage_faults: tuple[type[Exception], ...] = ()
) -> int:
    """Run a command and return its status; the log, a failure's line included, goes to stderr.

    Args:
      usage_faults: what the command line or a config can have wrong, told as it stands.

    Returns:
      0 success, 1 a failure told in one line, 2 wrong usage, 130 stopped by the user.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    tf.get_logger().setLevel(logging.ERROR)  # Estimator's own lines drown ours
    tf.get_logger().propagate = False
    try:
        main()
    except KeyboardInterrupt:
        _log.error("%s: stopped", program)
        return 130
    except usage_faults as error:
        _log.error("%s", error)
        return 2
    except USERS_FAULTS as error:
        _log.error("%s: %s", program, one_line(error))
        return 1
    return 0

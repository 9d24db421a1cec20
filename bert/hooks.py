"""What looks on while a session runs."""

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from bert import optimization


class StepHook(tf.compat.v1.train.SessionRunHook):
    """Calls back after every run of a session with (steps done in all, loss, learning rate)."""

    def __init__(
        self,
        report: Callable[[int, float, float], object],
        start_step: int = 0,
        steps_a_run: int = 1,
    ) -> None:
        """Keep the callback; where the graph has no loss or rate (evaluation, a TPU) it gets NaN."""
        self._report = report
        self._step = start_step
        self._steps_a_run = steps_a_run
        self._wanted: list[list[tf.Tensor]] = []

    def begin(self) -> None:
        """Find loss and learning rate in the graph's collections."""
        names = (tf.compat.v1.GraphKeys.LOSSES, optimization.LEARNING_RATE)
        self._wanted = [tf.compat.v1.get_collection(name)[-1:] for name in names]

    def before_run(self, run_context: Any) -> Any:
        """Ask for them beside whatever the step computes."""
        del run_context
        return tf.compat.v1.train.SessionRunArgs(self._wanted)

    def after_run(self, run_context: Any, run_values: Any) -> None:
        """Report one run."""
        del run_context
        self._step += self._steps_a_run
        loss, rate = (float(found[0]) if found else math.nan for found in run_values.results)
        self._report(self._step, loss, rate)

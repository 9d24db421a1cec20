"""What looks on while a session runs."""

import math
import os
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from bert import checkpoints
from bert import metrics
from bert import optimization

Weights: TypeAlias = Mapping[str, npt.NDArray[np.float32]]


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


class CheckpointHook(tf.compat.v1.train.CheckpointSaverHook):
    """Saves checkpoints once the hooks before it in the list have seen the step, and none that is there already.

    An Estimator that is given none makes its own. That one saves before any other hook sees the step, so that a process
    killed in between goes on from a step that its log lacks; and it begins by saving what it has just restored, in
    place, so that one killed in the middle leaves no whole checkpoint.
    """

    def __init__(self, model_dir: str, save_steps: int) -> None:
        """Save in `model_dir` every so many steps, at the start where nothing is there, and at the end."""
        super().__init__(model_dir, save_steps=save_steps)
        self._model_dir = model_dir

    def _save(self, session: Any, step: int) -> bool:
        if checkpoints.latest_step(self._model_dir) == step:
            return False
        return bool(super()._save(session, step))


class OneSession(tf.compat.v1.train.SessionRunHook):
    """Ends a training whose session is lost, which TensorFlow would begin anew with data of long ago."""

    _has_begun = False

    def after_create_session(self, session: Any, coord: Any) -> None:
        """Let one session pass.

        Raises:
          ConnectionError: it is the second.
        """
        del session, coord
        if self._has_begun:
            raise ConnectionError(
                "a process of the cluster is gone; start all of them again, and training goes on from the last "
                "checkpoint"
            )
        self._has_begun = True


class ConfusionHook(tf.compat.v1.train.SessionRunHook):
    """Keeps an evaluation's confusion matrix, of which the Estimator returns but numbers.

    Attributes:
      counts: int64[c, c], rows the true class, columns the predicted one; set when the evaluation ends.
    """

    counts: npt.NDArray[np.int64]

    def begin(self) -> None:
        """Find the matrix in the graph's collections."""
        (self._matrix,) = tf.compat.v1.get_collection(metrics.CONFUSION)

    def end(self, session: Any) -> None:
        """Read it."""
        self.counts = session.run(self._matrix).astype(np.int64)


class WeightsHook(tf.compat.v1.train.SessionRunHook):
    """Hands over the weights where a training starts and after every so many steps.

    The weights are read between two steps and the graph is not added to: the training stays what it is, bit for bit.
    """

    def __init__(
        self, names: Collection[str], every: int, look: Callable[[int, Weights], object]
    ) -> None:
        """Keep the callback, called with (steps done in all, the variables of these names) at multiples of `every`."""
        self._names = names
        self._every = every
        self._look = look
        self._variables: dict[str, tf.Variable] = {}

    def begin(self) -> None:
        """Find the variables in the graph."""
        found = {variable.op.name: variable for variable in tf.compat.v1.global_variables()}
        self._variables = {name: found[name] for name in self._names}
        self._global_step = tf.compat.v1.train.get_global_step()

    def after_create_session(self, session: Any, coord: Any) -> None:
        """Look at the weights that the training starts from."""
        del coord
        self._step = int(session.run(self._global_step))
        self._look_at(session)

    def after_run(self, run_context: Any, run_values: Any) -> None:
        """Look at the weights of one step in so many."""
        del run_values
        self._step += 1
        self._look_at(run_context.session)

    def _look_at(self, session: Any) -> None:
        if self._step % self._every == 0:
            self._look(self._step, session.run(self._variables))


def summarise(model_dir: str | os.PathLike[str], step: int, loss: float, rate: float) -> None:
    """Give TensorBoard a step's loss and rate; the Estimator's own summaries come every so many steps."""
    values = {"loss": loss, optimization.LEARNING_RATE: rate}
    summary = tf.compat.v1.Summary(
        value=[tf.compat.v1.Summary.Value(tag=t, simple_value=v) for t, v in values.items()]
    )
    tf.compat.v1.summary.FileWriterCache.get(str(model_dir)).add_summary(summary, step)

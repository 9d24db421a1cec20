"""AdamW and the learning-rate schedules.

Departures from Adam that the release makes and we keep: decoupled weight decay, no bias correction, gradients
clipped to a global norm of 1. Source: google-research/bert, optimization.py; Loshchilov and Hutter 2019.
"""

import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import tensorflow as tf

from bert import shapes

LEARNING_RATE = (
    "learning_rate"  # the graph's collection that holds the rate, and the summary's name
)
_NOT_DECAYED = ("LayerNorm", "layer_norm", "bias")
_CLIP_NORM = 1.0


def warmup_then_linear_decay(
    step: shapes.Step, init_lr: float, num_train_steps: int, num_warmup_steps: int
) -> shapes.Scalar:
    """Return the learning rate of a step.

    It rises linearly from 0 over the warm-up, then follows the line from `init_lr` at step 0 to 0 at the last step;
    the release draws that line from step 0, so the rate drops a little where the warm-up ends.
    """
    now = tf.cast(step, tf.float32)
    decayed = init_lr * (1.0 - tf.minimum(now, num_train_steps) / num_train_steps)
    if num_warmup_steps == 0:
        return decayed
    return tf.where(now < num_warmup_steps, init_lr * now / num_warmup_steps, decayed)


def lr_range_test(
    step: shapes.Step, max_lr: float, num_train_steps: int, num_warmup_steps: int
) -> shapes.Scalar:
    """Return a rate that grows by the same amount each step, from 0 at the first to `max_lr` at the last.

    The loss against it shows the largest rate that still trains. Source: Smith 2017, section 3.3.
    """
    del num_warmup_steps
    return max_lr * tf.cast(step, tf.float32) / max(1, num_train_steps - 1)


def one_cycle(
    step: shapes.Step, max_lr: float, num_train_steps: int, num_warmup_steps: int
) -> shapes.Scalar:
    """Return the rate of one cycle: along a cosine from 1/25 of `max_lr` up to it, then down to 1/250,000 of it.

    The last warm-up step has `max_lr`. Source: Smith and Topin 2018, with the shape and the constants of PyTorch's
    OneCycleLR; momentum stays as it is.
    """
    now, peak = tf.cast(step, tf.float32), max(0, num_warmup_steps - 1)
    lowest, last = max_lr / 25.0, max_lr / 25.0 / 1e4
    falling = _cosine((now - peak) / max(1, num_train_steps - 1 - peak), max_lr, last)
    if peak == 0:
        return falling
    return tf.where(now <= peak, _cosine(now / peak, lowest, max_lr), falling)


def _cosine(position: shapes.Scalar, start: float, end: float) -> shapes.Scalar:
    """Go from `start` at position 0 to `end` at 1, and stay there."""
    return end + (start - end) / 2.0 * (1.0 + tf.cos(math.pi * tf.minimum(position, 1.0)))


SCHEDULES: dict[str, Callable[[shapes.Step, float, int, int], shapes.Scalar]] = {
    "default": warmup_then_linear_decay,
    "lr_range_test": lr_range_test,
    "one_cycle": one_cycle,
}
"""Name -> rate of (step, peak rate, training steps, warm-up steps)."""


class AdamWeightDecayOptimizer(tf.compat.v1.train.Optimizer):
    """Adam with decoupled weight decay; its slots are `<variable>/adam_m` and `<variable>/adam_v`.

    As in the release, `apply_gradients` leaves the global step to the caller.
    """

    def __init__(
        self,
        learning_rate: shapes.Scalar | float,
        weight_decay_rate: float = 0.0,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        exclude_from_weight_decay: Sequence[str] | None = None,
        name: str = "AdamWeightDecayOptimizer",
    ) -> None:
        """Keep the settings; `exclude_from_weight_decay` holds regular expressions of variable names."""
        super().__init__(False, name)
        self.learning_rate = learning_rate
        self.weight_decay_rate = weight_decay_rate
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.exclude_from_weight_decay = tuple(exclude_from_weight_decay or ())

    def apply_gradients(
        self, grads_and_vars: Any, global_step: Any = None, name: str | None = None
    ) -> tf.Operation:
        """Update every variable that has a gradient.

        Raises:
          ValueError: one is no resource variable.
        """
        del global_step
        updates = [
            self._update(gradient, variable)
            for gradient, variable in grads_and_vars
            if gradient is not None
        ]
        return tf.group(*updates, name=name)

    def decays(self, variable_name: str) -> bool:
        """Tell whether a variable is subject to weight decay."""
        return self.weight_decay_rate > 0 and not any(
            re.search(pattern, variable_name) for pattern in self.exclude_from_weight_decay
        )

    def _update(self, gradient: tf.Tensor, variable: tf.Variable) -> tf.Operation:
        name = variable.name.removesuffix(":0")  # not op.name, which differs between replicas
        if not hasattr(variable, "handle"):
            raise ValueError(
                f"{name} must be a resource variable, got {type(variable).__name__}; call "
                "tf.compat.v1.enable_resource_variables() before the graph is built"
            )
        m, v = (
            tf.compat.v1.get_variable(
                f"{name}/{slot}",
                shape=variable.shape,
                dtype=tf.float32,
                trainable=False,
                initializer=tf.compat.v1.zeros_initializer(),
            )
            for slot in ("adam_m", "adam_v")
        )
        rate = tf.cast(self.learning_rate, tf.float32)
        gradient, order = tf.convert_to_tensor(gradient), []
        if self.decays(name):
            with tf.control_dependencies([gradient]):  # the step has read the variable by then
                order = [variable.assign_sub(rate * self.weight_decay_rate * variable)]
        with tf.control_dependencies(order):  # decoupled: it decays the value before the step
            return tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=m.handle,
                v=v.handle,
                beta1_power=0.0,  # that is: no bias correction
                beta2_power=0.0,
                lr=rate,
                beta1=self.beta_1,
                beta2=self.beta_2,
                epsilon=self.epsilon,
                grad=gradient,
            )


def create_optimizer(
    loss: shapes.Scalar,
    init_lr: float,
    num_train_steps: int,
    num_warmup_steps: int,
    use_tpu: bool = False,
) -> tf.Operation:
    """Return the operation that trains all trainable variables by one step and counts it.

    Source: google-research/bert, optimization.create_optimizer.
    """
    step = tf.compat.v1.train.get_or_create_global_step()
    learning_rate = warmup_then_linear_decay(step, init_lr, num_train_steps, num_warmup_steps)
    variables = tf.compat.v1.trainable_variables()
    return train_step(tf.gradients(loss, variables), variables, learning_rate, use_tpu=use_tpu)


def train_step(
    gradients: Sequence[tf.Tensor | None],
    variables: Sequence[tf.Variable],
    learning_rate: shapes.Scalar,
    *,
    use_tpu: bool = False,
) -> tf.Operation:
    """Return the operation that clips the gradients, updates the variables and counts the step."""
    tf.compat.v1.add_to_collection(LEARNING_RATE, learning_rate)
    optimizer: Any = AdamWeightDecayOptimizer(
        learning_rate, weight_decay_rate=0.01, exclude_from_weight_decay=_NOT_DECAYED
    )
    if use_tpu:
        optimizer = tf.compat.v1.tpu.CrossShardOptimizer(optimizer)
    else:  # a TPU's graph cannot write summaries
        tf.compat.v1.summary.scalar(LEARNING_RATE, learning_rate)
    # a TPU has no tables with rows left out, nor shapes that its input decides
    summed = [
        tf.convert_to_tensor(gradient) if use_tpu else _sum_repeated_rows(gradient)
        for gradient in gradients
    ]
    clipped, _ = tf.clip_by_global_norm(summed, clip_norm=_CLIP_NORM)
    train_op = optimizer.apply_gradients(zip(clipped, variables, strict=True))
    with tf.control_dependencies([train_op]):
        return tf.compat.v1.assign_add(tf.compat.v1.train.get_or_create_global_step(), 1)


def _sum_repeated_rows(gradient: Any) -> Any:
    """Return a table's gradient with one row for each word of the batch, so that its norm is that of the whole table's.

    The release takes the norm of the rows as they come, one for each token.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, place = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, place, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


def check_slots(checkpoint: str, variables: Iterable[str]) -> None:
    """Refuse a checkpoint that lacks what the optimiser remembers of variables to train.

    Raises:
      ValueError: it does; the message says how that comes.
    """
    found = {name for name, _ in tf.train.list_variables(checkpoint)}
    if any(f"{name}/adam_m" not in found for name in variables):
        raise ValueError(
            f"{checkpoint} must hold the optimiser's slots of every variable to go on, but was trained with "
            "--freeze_encoder or stripped; give --freeze_encoder as before, or train on in another --output_dir with "
            f"--model={os.path.dirname(checkpoint)}"
        )


def mean_over_parts(
    loss_of_part: Callable[[tf.Tensor | int], shapes.Scalar],
    parts: int,
    variables: Sequence[tf.Variable],
) -> tuple[shapes.Scalar, list[tf.Tensor | None]]:
    """Return the mean loss of a batch's parts and its gradients, computed one part after the other.

    Memory for activations is that of one part, which is what accumulating gradients is for.

    Args:
      loss_of_part: mean loss of the part of that index, int32[].
      parts: number of equally large parts.
    """
    if parts == 1:
        loss = loss_of_part(0)
        return loss, tf.gradients(loss, variables)

    def add_part(
        index: tf.Tensor, loss_sum: tf.Tensor, gradient_sums: list[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        loss = loss_of_part(index)
        gradients = tf.gradients(
            loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return (
            index + 1,
            loss_sum + loss,
            [a + b for a, b in zip(gradient_sums, gradients, strict=True)],
        )

    start = (tf.constant(0), tf.constant(0.0), [tf.zeros(v.shape) for v in variables])
    _, loss_sum, gradient_sums = tf.while_loop(
        lambda index, *_: index < parts, add_part, start, parallel_iterations=1
    )
    return loss_sum / parts, [gradient / parts for gradient in gradient_sums]

"""Training on several devices or in several processes: which they are, and what is each one's share of a batch.

All hold the same weights. Each computes its share of every batch; the gradients are summed over all of them before they
are clipped and applied, so that the step is that of one device with the whole batch. Leaves to others: the step
(`estimator`), the records (`input_fn`), what a process writes (`training`, `worker`).

Source: Goyal et al. 2017, Accurate, Large Minibatch SGD, section 3.
"""

import contextlib
import dataclasses
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import pydantic
import tensorflow as tf

from bert import shapes

_VARIABLE = "TF_CONFIG"
_FORM = (
    '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}, with a "chief" in the '
    "cluster or without"
)


@dataclasses.dataclass(frozen=True)
class Process:
    """One process of a cluster.

    Attributes:
      name: as TF_CONFIG calls it, such as worker 1.
      index: its place among all, the chief's being 0.
      count: processes in all.
    """

    name: str
    index: int
    count: int

    @property
    def is_chief(self) -> bool:
        """Whether it is the one that writes, evaluates and predicts."""
        return self.index == 0


class _Cluster(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")

    chief: list[str] = pydantic.Field([], max_length=1)
    worker: list[str] = []


class _Task(pydantic.BaseModel):
    type: Literal["chief", "worker"]
    index: int


class _TfConfig(pydantic.BaseModel):
    cluster: _Cluster
    task: _Task


def process_of(text: str | None) -> Process:
    """Read what TF_CONFIG says of this process; without a chief the first worker is it.

    Raises:
      ValueError: nothing, or no cluster of workers that this process belongs to; the message names what is wrong.
    """
    if not text:
        raise ValueError(
            f"--distribution=multi_worker needs {_VARIABLE} in the environment of every process, as {_FORM}"
        )
    try:
        found = _TfConfig.model_validate_json(text)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(
            f"{_VARIABLE} must be as {_FORM}; got {place + ': ' if place else ''}{first['msg']}"
        ) from None
    addresses = found.cluster.chief + found.cluster.worker
    tasks = [("chief", 0) for _ in found.cluster.chief]
    tasks += [("worker", index) for index in range(len(found.cluster.worker))]
    task = (found.task.type, found.task.index)
    if task not in tasks:
        known = ", ".join(f"{kind} {index}" for kind, index in tasks) or "none"
        raise ValueError(
            f"{_VARIABLE}'s task must be one of its cluster, which are {known}, got {task[0]} {task[1]}"
        )
    if len(set(addresses)) < len(addresses):
        raise ValueError(
            f"{_VARIABLE} must give every process an address of its own, got {', '.join(addresses)}"
        )
    return Process(f"{task[0]} {task[1]}", tasks.index(task), len(tasks))


@dataclasses.dataclass(frozen=True)
class Distribution:
    """What a training is spread over.

    Attributes:
      replicas: of the model, in all processes; each computes an equal share of every batch.
      device: kind of device that a replica runs on.
      process: this one of several; None where there is one process.
    """

    replicas: int = 1
    device: Literal["CPU", "GPU"] = "CPU"
    process: Process | None = None

    @property
    def is_chief(self) -> bool:
        """Whether this process writes, evaluates and predicts."""
        return self.process is None or self.process.is_chief

    def check_batch(self, batch_size: int, parts: int = 1) -> None:
        """Refuse a batch that does not divide into equal shares, each of so many equal parts.

        Raises:
          ValueError: it does not.
        """
        if batch_size % (self.replicas * parts):
            times = f" times --gradient_accumulation_steps={parts}" if parts > 1 else ""
            raise ValueError(
                f"--train_batch_size is the batch of all {self.replicas} replicas together and must be a multiple of "
                f"{self.replicas}{times}, got {batch_size}"
            )

    def strategy(self) -> tf.distribute.Strategy:
        """Return TensorFlow's strategy, for a graph."""
        with out_of_eager_mode():
            if self.process:
                return tf.distribute.MultiWorkerMirroredStrategy()
            devices = [f"/{self.device}:{index}" for index in range(self.replicas)]
            on_cpu = self.device == "CPU"
            return tf.distribute.MirroredStrategy(
                devices, tf.distribute.ReductionToOneDevice() if on_cpu else None
            )

    def settings(self, session: tf.compat.v1.ConfigProto) -> dict[str, Any]:
        """Return what an Estimator's settings must say, and have its session see the devices."""
        if self == ONE_DEVICE:
            return {}
        session.allow_soft_placement = True  # what a replica does on the host stands under its GPU
        if not self.process:
            if self.device == "CPU":
                session.device_count["CPU"] = self.replicas  # or else the first step never ends
            return {"train_distribute": self.strategy()}
        # TensorFlow would have every process save; a hook in the chief does
        return {"train_distribute": self.strategy(), "save_checkpoints_steps": None}


ONE_DEVICE = Distribution()


def find(kind: str | None, num_replicas: int = 0) -> Distribution:
    """Return what `--distribution` and `--num_replicas` ask for.

    Raises:
      ValueError: there are no such devices, or TF_CONFIG is missing or wrong.
    """
    if kind is None:
        return ONE_DEVICE
    gpus = len(tf.config.list_physical_devices("GPU"))
    device: Literal["CPU", "GPU"] = "GPU" if gpus else "CPU"
    if kind == "multi_worker":
        process = process_of(os.environ.get(_VARIABLE))
        return Distribution(process.count * max(1, gpus), device, process)
    if not (gpus or num_replicas):
        raise ValueError(
            "--distribution=mirrored found no GPU; give --num_replicas to train on so many logical CPUs"
        )
    if gpus and num_replicas > gpus:
        raise ValueError(f"--num_replicas must be at most the {gpus} GPUs, got {num_replicas}")
    return Distribution(num_replicas or gpus, device)


@contextlib.contextmanager
def tf_config_for(distribution: Distribution) -> Iterator[None]:
    """Hide TF_CONFIG from an Estimator's settings where it is to run in this process alone."""
    hidden = None if distribution.process else os.environ.pop(_VARIABLE, None)
    try:
        yield
    finally:
        if hidden is not None:
            os.environ[_VARIABLE] = hidden


@contextlib.contextmanager
def out_of_eager_mode() -> Iterator[None]:
    """Keep a cluster's strategy from a server of eager mode's, and to itself what TensorFlow warns itself of."""
    with tf.Graph().as_default(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "To make it possible to preserve tf.data options")
        yield


@dataclasses.dataclass(frozen=True)
class Share:
    """Which of a batch's `replicas` equal parts are a process's: `count` of them, from `first` on."""

    replicas: int
    first: int
    count: int


def share_of(context: tf.distribute.InputContext) -> Share:
    """Return the share of one of the processes."""
    count = context.num_replicas_in_sync // context.num_input_pipelines
    return Share(context.num_replicas_in_sync, context.input_pipeline_id * count, count)


def split(batches: tf.data.Dataset, share: Share) -> tf.data.Dataset:
    """Cut every batch of records s[b] into its replicas' equal parts, in order, and keep those of a share.

    The parts of all shares together are the batch: at each step the replicas read what one device would.
    """

    def parts(batch: tf.Tensor) -> tf.data.Dataset:
        of_replicas = tf.reshape(batch, [share.replicas, -1])
        return tf.data.Dataset.from_tensor_slices(
            of_replicas[share.first : share.first + share.count]
        )

    return batches.flat_map(parts)


def moment(step: shapes.Step) -> shapes.Step:
    """Return a number that no other step and no other replica has; with one replica the step itself."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return step
    replica = tf.cast(context.replica_id_in_sync_group, step.dtype)
    return step * context.num_replicas_in_sync + replica


def is_first_replica() -> bool:
    """Tell whether a graph's part is that of the first replica, which speaks for all."""
    context = tf.distribute.get_replica_context()
    return bool(tf.get_static_value(context.replica_id_in_sync_group) == 0)


def sum_over_replicas(
    loss: shapes.Scalar, gradients: Sequence[tf.Tensor | None], count: shapes.Scalar
) -> tuple[shapes.Scalar, list[tf.Tensor | None]]:
    """Return a replica's part of the whole batch's mean loss, and the gradients of that mean, the same in all replicas.

    Tables' gradients become dense: replicas look up other rows, and the optimiser makes them dense in the end.

    Args:
      loss: mean over the real examples of this replica.
      gradients: of `loss`; None for variables that it does not depend on.
      count: real examples of this replica.
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return loss, list(gradients)
    own = [count * tf.convert_to_tensor(value) for value in gradients if value is not None]
    whole, *summed = context.merge_call(_sum, args=(count, *own))
    means = iter([tf.math.divide_no_nan(value, whole) for value in summed])
    part = tf.math.divide_no_nan(count * loss, whole)
    return part, [None if value is None else next(means) for value in gradients]


def _sum(strategy: tf.distribute.Strategy, *values: tf.Tensor) -> list[tf.Tensor]:
    pairs = [(value, value) for value in values]  # of what, and where the sum goes
    return list(strategy.extended.batch_reduce_to(tf.distribute.ReduceOp.SUM, pairs))

"""The Estimator: the project's only `model_fn`, and what builds an Estimator or a TPUEstimator around it.

Everything that knows `tf.estimator` is here. Leaves to others: the network (`classifier`), batches (`input_fn`), the
course of a training (`training`).
"""

import dataclasses
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from bert import checkpoints
from bert import classifier
from bert import config as config_lib
from bert import distribution as distribution_lib
from bert import features as features_lib
from bert import hooks as hooks_lib
from bert import input_fn as input_fn_lib
from bert import layers
from bert import metrics
from bert import model_folder
from bert import optimization
from bert import shapes
from bert import weights

_log = logging.getLogger(__name__)

ModelFn = Callable[..., tf.estimator.EstimatorSpec]
_tpu = tf.compat.v1.estimator.tpu


@dataclasses.dataclass(frozen=True)
class Model:
    """What the graph is made of.

    Attributes:
      pooling: name of the head, as `classifier.find_head` takes it.
      init_checkpoint: TF1 checkpoint of release names to start from; None starts from random weights.
      keeps_classifier: False starts the output layer anew, whatever the checkpoint holds of it.
      use_one_hot_embeddings: look words up by a one-hot product, which TPUs prefer.
      with_taps: predict by the graph that relevance methods need.
    """

    config: config_lib.BertConfig
    num_labels: int
    pooling: str = "default"
    init_checkpoint: str | None = None
    keeps_classifier: bool = True
    use_one_hot_embeddings: bool = False
    with_taps: bool = False


def model_of(
    parts: model_folder.Parts, model_dir: str | os.PathLike[str], *, to_train: bool = False
) -> Model:
    """Return the model of a classifier's parts; the folder's own checkpoint, where it has one, is all it starts from.

    Raises:
      ValueError: there is nothing to evaluate or predict with, or the folder's checkpoint is another model's.
    """
    newest = checkpoints.newest(model_dir)
    start = None if newest else parts.init_checkpoint
    if not to_train:
        parts.checkpoint_in(model_dir)
    if newest:
        wanted = classifier.variable_shapes(parts.config, len(parts.labels), parts.record.pooling)
        checkpoints.compare(newest, wanted, wanted)
    return Model(
        parts.config, len(parts.labels), parts.record.pooling, start, parts.keeps_classifier
    )


@dataclasses.dataclass(frozen=True)
class Training:
    """How the weights are trained.

    Attributes:
      learning_rate: the schedule's highest.
      schedule: name of a schedule of `optimization.SCHEDULES`.
      seed: keys dropout together with the step.
      class_weights: factor of an example's loss by its class; None weighs all alike.
      gradient_accumulation_steps: parts in which a batch is computed, one after the other.
      freeze_encoder: train the head and the output layer only.
      precision: of the encoder's layers and their activations; variables, their updates, LayerNorm's statistics,
        the head and the loss stay float32.
    """

    learning_rate: float
    num_train_steps: int
    num_warmup_steps: int
    schedule: str = "default"
    seed: int = 0
    class_weights: tuple[float, ...] | None = None
    gradient_accumulation_steps: int = 1
    freeze_encoder: bool = False
    precision: str = "float32"


@dataclasses.dataclass(frozen=True)
class Tpu:
    """Where the TPU is and what it is given at once; `use_tpu` False runs the same TPUEstimator on the CPU or GPU."""

    name: str | None = None
    zone: str | None = None
    project: str | None = None
    master: str | None = None
    num_cores: int = 8
    iterations_per_loop: int = 1000
    train_batch_size: int = 32
    eval_batch_size: int = 8
    use_tpu: bool = True


def build_model_fn(
    model: Model,
    training: Training | None = None,
    extras: tuple[classifier.PredictExtra, ...] = (),
    tpu: Tpu | None = None,
) -> ModelFn:
    """Return the `model_fn` for TRAIN, EVAL and PREDICT.

    Args:
      training: needed for TRAIN only.
      extras: run in PREDICT only; their tensors join `probabilities` and `pred_class`.
      tpu: given, the specs are a TPUEstimator's.
    """
    on_tpu = tpu is not None and tpu.use_tpu

    def model_fn(
        features: Mapping[str, tf.Tensor],
        labels: None,
        mode: str,
        params: Mapping[str, Any],
        config: tf.estimator.RunConfig | None = None,
    ) -> tf.estimator.EstimatorSpec:
        del labels, params
        batch = features_lib.Features.from_dict(features)
        is_training = mode == tf.estimator.ModeKeys.TRAIN
        frozen = is_training and training is not None and training.freeze_encoder
        is_restored = config is not None and checkpoints.newest(config.model_dir)
        needs_all = not (is_training or is_restored)
        variables, scaffold_fn = _create_variables(model, frozen, needs_all, on_tpu)
        if is_training:
            if training is None:
                raise ValueError("training must have its settings; pass a Training")
            loss, train_op = _train_step(model, training, variables, batch, on_tpu)
            spec = _tpu.TPUEstimatorSpec(
                mode, loss=loss, train_op=train_op, scaffold_fn=scaffold_fn
            )
        elif mode == tf.estimator.ModeKeys.EVAL:
            logits = _forward(model, variables, batch).logits
            real = metrics.real_examples(batch.label_ids, batch.is_real_example)
            spec = _tpu.TPUEstimatorSpec(
                mode,
                loss=metrics.mean_loss(logits, batch.label_ids, batch.is_real_example),
                eval_metrics=(metrics.evaluation_metrics, [logits, batch.label_ids, real]),
                scaffold_fn=scaffold_fn,
            )
        else:
            outputs = _forward(model, variables, batch, with_taps=model.with_taps)
            predictions = classifier.predictions(outputs, batch, extras)
            spec = _tpu.TPUEstimatorSpec(mode, predictions=predictions, scaffold_fn=scaffold_fn)
        return spec if tpu is not None else spec.as_estimator_spec()

    return model_fn


def _forward(
    model: Model,
    variables: shapes.Variables,
    batch: features_lib.Features,
    dropout: shapes.Dropout = layers.keep_all,
    *,
    with_taps: bool = False,
) -> classifier.BertOutputs:
    return classifier.forward(
        variables,
        model.config,
        batch,
        pooling=model.pooling,
        dropout=dropout,
        one_hot=model.use_one_hot_embeddings,
        with_taps=with_taps,
    )


def _create_variables(
    model: Model, frozen: bool, needs_all: bool, on_tpu: bool
) -> tuple[dict[str, tf.Tensor], Callable[[], tf.compat.v1.train.Scaffold] | None]:
    """Return the graph's variables, and for a TPU the function that makes them start from the checkpoint."""
    wanted = classifier.variable_shapes(model.config, model.num_labels, model.pooling)
    of_encoder = weights.encoder_shapes(model.config)
    of_head = {name: shape for name, shape in wanted.items() if name not in of_encoder}
    spread = model.config.initializer_range
    variables = weights.create(of_encoder, spread, trainable=not frozen)
    variables |= weights.create(of_head, spread)
    if not model.init_checkpoint:
        return variables, None
    if not model.keeps_classifier:
        wanted = {name: wanted[name] for name in wanted if name not in classifier.OUTPUT_LAYER}
    report = checkpoints.compare(model.init_checkpoint, wanted, of_encoder)
    if not model.keeps_classifier:
        report = dataclasses.replace(report, missing=(*report.missing, *classifier.OUTPUT_LAYER))
    if report.missing and needs_all:
        raise ValueError(
            f"{model.init_checkpoint} must hold a fine-tuned classifier to evaluate or predict with, but lacks "
            f"{', '.join(report.missing)}; train first"
        )
    for line in report.lines() if distribution_lib.is_first_replica() else ():
        _log.info(line)

    def start_from_checkpoint() -> tf.compat.v1.train.Scaffold:
        assignment = {name: name for name in report.initialised}
        tf.compat.v1.train.init_from_checkpoint(model.init_checkpoint, assignment)
        return tf.compat.v1.train.Scaffold()

    if on_tpu:
        return variables, start_from_checkpoint
    start_from_checkpoint()
    return variables, None


def _train_step(
    model: Model,
    training: Training,
    variables: shapes.Variables,
    batch: features_lib.Features,
    on_tpu: bool,
) -> tuple[shapes.Scalar, tf.Operation]:
    step = tf.compat.v1.train.get_or_create_global_step()
    moment = distribution_lib.moment(tf.convert_to_tensor(step))
    parts = training.gradient_accumulation_steps

    def loss_of_part(index: tf.Tensor | int) -> shapes.Scalar:
        part = features_lib.part_of(batch, index, parts)
        key = moment * parts + tf.cast(index, moment.dtype)
        dropout = layers.stateless_dropout(training.seed, key)
        read = weights.in_precision(variables, training.precision)
        logits = _forward(model, read, part, dropout).logits
        return metrics.mean_loss(
            logits, part.label_ids, part.is_real_example, training.class_weights
        )

    trained = tf.compat.v1.trainable_variables()
    loss, gradients = optimization.mean_over_parts(loss_of_part, parts, trained)
    real = metrics.real_examples(batch.label_ids, batch.is_real_example)
    count = tf.reduce_sum(tf.cast(real, tf.float32))
    loss, gradients = distribution_lib.sum_over_replicas(loss, gradients, count)
    learning_rate = optimization.SCHEDULES[training.schedule](
        step, training.learning_rate, training.num_train_steps, training.num_warmup_steps
    )
    return loss, optimization.train_step(gradients, trained, learning_rate, use_tpu=on_tpu)


def build_estimator(
    model_dir: str | os.PathLike[str],
    model: Model,
    training: Training | None = None,
    extras: tuple[classifier.PredictExtra, ...] = (),
    *,
    predict_batch_size: int = 8,
    save_checkpoints_steps: int = 1000,
    log_every_steps: int = 100,
    tpu: Tpu | None = None,
    xla: bool = False,
    distribution: distribution_lib.Distribution = distribution_lib.ONE_DEVICE,
) -> tf.estimator.Estimator:
    """Return the Estimator of a model folder; its `train` takes any input function and hooks of your own.

    Args:
      predict_batch_size: goes to input functions as `params["batch_size"]`, in every phase; a TPUEstimator has the
        sizes of `tpu` in training and evaluation.
      tpu: given, a TPUEstimator is built from the same `model_fn`.
      xla: have XLA compile what it can of the graph on a GPU; on a CPU it does so only where
        TF_XLA_FLAGS=--tf_xla_cpu_global_jit says so, too.
      distribution: what training is spread over; evaluation and prediction run on one device.
    """
    session = tf.compat.v1.ConfigProto()
    session.gpu_options.allow_growth = True
    if xla:
        optimizer_options = session.graph_options.optimizer_options
        optimizer_options.global_jit_level = tf.compat.v1.OptimizerOptions.ON_1
    settings = {
        "model_dir": str(model_dir),
        "tf_random_seed": training.seed if training else 0,
        "save_checkpoints_steps": save_checkpoints_steps,
        "save_summary_steps": min(log_every_steps, save_checkpoints_steps),
        "log_step_count_steps": log_every_steps,
        "session_config": session,
    }
    model_fn = build_model_fn(model, training, extras, tpu)
    if tpu is None:
        settings |= distribution.settings(session)
        with distribution_lib.tf_config_for(distribution):
            config = tf.estimator.RunConfig(**settings)
        return tf.estimator.Estimator(
            model_fn, config=config, params={"batch_size": predict_batch_size}
        )
    return _tpu.TPUEstimator(
        model_fn=model_fn,
        config=_tpu_run_config(tpu, settings),
        use_tpu=tpu.use_tpu,
        train_batch_size=tpu.train_batch_size,
        eval_batch_size=tpu.eval_batch_size,
        predict_batch_size=predict_batch_size,
    )


def train(
    estimator: tf.estimator.Estimator,
    input_fn: input_fn_lib.InputFn,
    max_steps: int,
    hooks: Sequence[tf.compat.v1.train.SessionRunHook],
    distribution: distribution_lib.Distribution = distribution_lib.ONE_DEVICE,
) -> None:
    """Train up to a step on what the Estimator was built for; a cluster's processes do not evaluate on the way.

    Raises:
      ConnectionError: another process of the cluster ended.
    """
    with distribution_lib.out_of_eager_mode():
        process = distribution.process
        if process is None:
            estimator.train(input_fn, max_steps=max_steps, hooks=list(hooks))
            return
        _log.info("  %s, one of %d; the first step waits for them all", process.name, process.count)
        spec = tf.estimator.TrainSpec(input_fn, max_steps, [*hooks, hooks_lib.OneSession()])
        tf.estimator.train_and_evaluate(estimator, spec, tf.estimator.EvalSpec(input_fn))


def _tpu_run_config(tpu: Tpu, settings: dict[str, Any]) -> Any:
    cluster = None
    if tpu.use_tpu and tpu.name:
        cluster = tf.distribute.cluster_resolver.TPUClusterResolver(
            tpu.name, zone=tpu.zone, project=tpu.project
        )
    return _tpu.RunConfig(
        cluster=cluster,
        master=tpu.master,
        tpu_config=_tpu.TPUConfig(
            iterations_per_loop=tpu.iterations_per_loop,
            num_shards=tpu.num_cores,
            per_host_input_for_training=_tpu.InputPipelineConfig.PER_HOST_V2,
        ),
        **settings,
    )

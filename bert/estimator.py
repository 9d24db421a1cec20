"""The Estimator: the project's only `model_fn`, and what builds, trains, evaluates and predicts with it.

Everything that knows `tf.estimator` is here. Leaves to others: the network (`classifier`), batches (`input_fn`).
"""

import dataclasses
import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from bert import checkpoints
from bert import classifier
from bert import config as config_lib
from bert import datasets
from bert import encoder
from bert import features as features_lib
from bert import files
from bert import input_fn as input_fn_lib
from bert import metrics
from bert import model_folder
from bert import optimization
from bert import options as options_lib
from bert import shapes
from bert import tokenization
from bert import weights

_log = logging.getLogger(__name__)

ModelFn = Callable[..., tf.estimator.EstimatorSpec]


@dataclasses.dataclass(frozen=True)
class Model:
    """What the graph is made of.

    Attributes:
      init_checkpoint: TF1 checkpoint of release names to start from; None starts from random weights.
      use_one_hot_embeddings: look words up by a one-hot product, which TPUs prefer.
    """

    config: config_lib.BertConfig
    num_labels: int
    pooling: config_lib.Pooling = "default"
    init_checkpoint: str | None = None
    use_one_hot_embeddings: bool = False


def model_of(parts: model_folder.Parts, output_dir: files.Path, *, to_train: bool = False) -> Model:
    """Return the model of a classifier's parts; the folder's own checkpoint, where it has one, is all it starts from.

    Raises:
      ValueError: there is nothing to evaluate or predict with.
    """
    started = checkpoints.latest_step(output_dir) is not None
    start = None if started else parts.init_checkpoint
    if not (to_train or started or start):
        raise ValueError(
            f"{output_dir} must hold a trained model, got none; add --do_train or give --init_checkpoint"
        )
    return Model(parts.config, len(parts.labels), parts.record.pooling, start)


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How the weights are trained; `seed` keys dropout together with the step."""

    learning_rate: float
    num_train_steps: int
    num_warmup_steps: int
    seed: int = 0


def model_fn_builder(
    model: Model,
    schedule: Schedule | None = None,
    extras: tuple[classifier.PredictExtra, ...] = (),
    use_tpu: bool = False,
) -> ModelFn:
    """Return the Estimator's `model_fn` for TRAIN, EVAL and PREDICT.

    Args:
      schedule: needed for TRAIN only.
      extras: run in PREDICT only; their tensors join `probabilities` and `pred_class`.
    """

    def model_fn(
        features: Mapping[str, tf.Tensor], labels: None, mode: str, params: Mapping[str, Any]
    ) -> tf.estimator.EstimatorSpec:
        del labels, params
        batch = features_lib.Features.from_dict(features)
        is_training = mode == tf.estimator.ModeKeys.TRAIN
        variables = _create_variables(model, is_training)
        step = tf.compat.v1.train.get_or_create_global_step()
        seed = schedule.seed if schedule else 0
        outputs = classifier.forward(
            variables,
            model.config,
            batch,
            pooling=model.pooling,
            dropout=encoder.stateless_dropout(seed, step) if is_training else encoder.keep_all,
            one_hot=model.use_one_hot_embeddings,
        )
        if mode == tf.estimator.ModeKeys.PREDICT:
            predictions = _predictions(outputs, batch, extras)
            return tf.estimator.EstimatorSpec(mode, predictions=predictions)
        loss = _mean_loss(outputs.logits, batch)
        if not is_training:
            metric_ops = metrics.evaluation_metrics(
                outputs.logits, batch.label_ids, batch.is_real_example
            )
            return tf.estimator.EstimatorSpec(mode, loss=loss, eval_metric_ops=metric_ops)
        if schedule is None:
            raise ValueError("training must have a schedule; pass one to model_fn_builder")
        train_op = optimization.create_optimizer(
            loss,
            schedule.learning_rate,
            schedule.num_train_steps,
            schedule.num_warmup_steps,
            use_tpu,
        )
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

    return model_fn


def _create_variables(model: Model, is_training: bool) -> dict[str, tf.Tensor]:
    wanted = classifier.variable_shapes(model.config, model.num_labels, model.pooling)
    variables = weights.create(wanted, model.config.initializer_range)
    if model.init_checkpoint:
        encoder = weights.encoder_shapes(model.config)
        report = checkpoints.compare(model.init_checkpoint, wanted, encoder)
        if report.missing and not is_training:
            raise ValueError(
                f"{model.init_checkpoint} must hold a fine-tuned classifier to evaluate or predict with, but lacks "
                f"{', '.join(report.missing)}; train first"
            )
        for line in report.lines():
            _log.info(line)
        tf.compat.v1.train.init_from_checkpoint(
            model.init_checkpoint, {name: name for name in report.initialised}
        )
    return variables


def _mean_loss(logits: shapes.Logits, batch: features_lib.Features) -> shapes.Scalar:
    losses = metrics.example_losses(logits, batch.label_ids)
    if batch.is_real_example is None:
        return tf.reduce_mean(losses)
    real = tf.cast(batch.is_real_example, losses.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(losses * real), tf.reduce_sum(real))


def _predictions(
    outputs: classifier.BertOutputs,
    batch: features_lib.Features,
    extras: tuple[classifier.PredictExtra, ...],
) -> dict[str, tf.Tensor]:
    predictions = {
        "probabilities": tf.nn.softmax(outputs.logits),
        "pred_class": tf.argmax(outputs.logits, axis=-1),
    }
    for extra in extras:
        for name, value in extra(outputs, batch).items():
            if name in predictions:
                raise ValueError(
                    f"every prediction needs a name of its own, got {name!r} twice; rename it"
                )
            predictions[name] = value
    return predictions


def build_estimator(
    model_dir: str | os.PathLike[str],
    model: Model,
    schedule: Schedule | None = None,
    extras: tuple[classifier.PredictExtra, ...] = (),
    *,
    predict_batch_size: int = 8,
    save_checkpoints_steps: int = 1000,
    log_every_steps: int = 100,
) -> tf.estimator.Estimator:
    """Return the Estimator of a model folder.

    Args:
      predict_batch_size: goes to input functions as `params["batch_size"]`.
    """
    session = tf.compat.v1.ConfigProto()
    session.gpu_options.allow_growth = True
    run_config = tf.estimator.RunConfig(
        model_dir=str(model_dir),
        tf_random_seed=schedule.seed if schedule else 0,
        save_checkpoints_steps=save_checkpoints_steps,
        save_summary_steps=min(log_every_steps, save_checkpoints_steps),
        log_step_count_steps=log_every_steps,
        session_config=session,
    )
    return tf.estimator.Estimator(
        model_fn_builder(model, schedule, extras),
        config=run_config,
        params={"batch_size": predict_batch_size},
    )


class StepHook(tf.estimator.SessionRunHook):
    """Calls back after every step of a session with (steps done in all, loss); for entry points' progress."""

    def __init__(self, report: Callable[[int, float], object], start_step: int = 0) -> None:
        """Keep the callback; in evaluation, whose graph has no single loss, it gets NaN."""
        self._report = report
        self._step = start_step
        self._losses: list[tf.Tensor] = []

    def begin(self) -> None:
        """Find the loss, which the Estimator puts into the graph's collection when it trains."""
        self._losses = tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.LOSSES)

    def before_run(self, run_context: Any) -> Any:
        """Ask for the loss beside whatever the step computes."""
        del run_context
        return tf.estimator.SessionRunArgs(self._losses)

    def after_run(self, run_context: Any, run_values: Any) -> None:
        """Report one step."""
        del run_context
        self._step += 1
        self._report(self._step, float(run_values.results[-1]) if run_values.results else math.nan)


def train(
    parts: model_folder.Parts,
    tokenizer: tokenization.FullTokenizer,
    examples: Sequence[datasets.InputExample],
    options: options_lib.RunConfig,
    steps: int,
    report: Callable[[int, float], object],
) -> None:
    """Train up to `steps`, from the folder's newest checkpoint where it has one; the folder is then whole.

    Args:
      report: called after every step with (steps done, loss).
    """
    folder = str(options.output_dir)
    done = checkpoints.latest_step(folder) or 0
    input_fn = input_fn_lib.from_examples(
        examples,
        parts.labels,
        parts.record.max_seq_length,
        tokenizer,
        os.path.join(folder, "train.tf_record"),
        batch_size=options.train_batch_size,
        seed=options.seed,
        start_step=done,
    )
    parts.save(folder)
    estimator = build_estimator(
        folder,
        model_of(parts, folder, to_train=True),
        Schedule(
            options.learning_rate, steps, int(steps * options.warmup_proportion), options.seed
        ),
        save_checkpoints_steps=options.save_checkpoints_steps,
        log_every_steps=max(1, min(100, steps // 20)),
    )
    estimator.train(input_fn, max_steps=steps, hooks=[StepHook(report, done)])

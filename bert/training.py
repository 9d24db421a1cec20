"""The course of a training: how far it goes, evaluations on the way, the best model, early stopping, the log.

Leaves to others: one step (`estimator`), batches (`input_fn`), what the command prints. The test set is not known here.
"""

import collections
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from bert import checkpoints
from bert import datasets
from bert import estimator as estimator_lib
from bert import features as features_lib
from bert import input_fn as input_fn_lib
from bert import model_folder
from bert import optimization
from bert import options as options_lib
from bert import tokenization
from bert import training_log

Examples = Sequence[datasets.InputExample]


class Plan(NamedTuple):
    """How far a training is and how far it goes.

    Attributes:
      done: steps of the checkpoint that is gone on from; 0 at the start.
      steps: steps in all.
      best_step: step of the best evaluation so far.
      has_stopped: an earlier run stopped early, for want of a better evaluation.
    """

    done: int
    steps: int
    best_step: int | None
    has_stopped: bool


def plan(options: options_lib.RunConfig, example_count: int) -> Plan:
    """Return what there is to train in the output folder.

    Raises:
      ValueError: the folder holds a best model, but these options would leave it behind.
    """
    folder = pathlib.Path(str(options.output_dir))
    done = checkpoints.latest_step(folder) or 0
    steps = max(1, int(example_count / options.train_batch_size * options.num_train_epochs))
    if not options.eval_every_steps and model_folder.best_folder(folder) != folder and done < steps:
        raise ValueError(
            f"{folder} holds the best model of a training with --eval_every_steps, which going on without it would "
            "leave behind; give --eval_every_steps again or use another --output_dir"
        )
    rows = [row for row in training_log.read(folder) if row.step <= done]
    best_step, since = training_log.best(rows, options.best_metric)
    patience = options.early_stopping_patience
    return Plan(done, steps, best_step, bool(patience) and since >= patience)


def class_weights(
    text: str | None, labels: Sequence[str], examples: Examples
) -> tuple[float, ...] | None:
    """Return the loss's factors in class order.

    Args:
      text: "balanced" gives n / (classes * count), as scikit-learn does; else `label=factor,...`, 1 where left out.

    Raises:
      ValueError: an unknown label or a factor that is no positive number; or "balanced" without examples of a label.
    """
    if text is None:
        return None
    if text == "balanced":
        counts = collections.Counter(example.label for example in examples)
        absent = [label for label in labels if not counts[label]]
        if absent:
            raise ValueError(
                f"class_weights balanced needs training examples of every label, got none of {', '.join(absent)}; "
                "give the factors yourself, as label=factor"
            )
        return tuple(len(examples) / (len(labels) * counts[label]) for label in labels)
    given = {}
    for part in text.split(","):
        label, _, number = part.rpartition("=")
        try:
            given[label.strip()] = float(number)
        except ValueError:
            given[label.strip()] = math.nan
    wrong = [
        label for label, factor in given.items() if label not in labels or not 0 < factor < math.inf
    ]
    if wrong:
        raise ValueError(
            f"class_weights must be balanced or label=factor,... with labels of {', '.join(labels)} and positive "
            f"factors, got {text!r}"
        )
    return tuple(given.get(label, 1.0) for label in labels)


def train(
    parts: model_folder.Parts,
    tokenizer: tokenization.FullTokenizer,
    examples: Examples,
    dev_examples: Examples,
    options: options_lib.RunConfig,
    report: Callable[[int, float], object],
    hooks: Sequence[tf.compat.v1.train.SessionRunHook] = (),
) -> Plan:
    """Train as far as the plan says, from the folder's newest checkpoint where it has one; the folder is then whole.

    Args:
      dev_examples: evaluated every `eval_every_steps`; not read where that is 0.
      report: called after every step with (steps done, loss).
      hooks: of your own, run beside this project's.

    Returns:
      The plan as it stands at the end.
    """
    folder = pathlib.Path(str(options.output_dir))
    now = plan(options, len(examples))
    factors = class_weights(options.class_weights, parts.labels, examples)
    records = {"train": examples} | ({"dev": dev_examples} if options.eval_every_steps else {})
    for name, content in records.items():
        features_lib.file_based_convert_examples_to_features(
            content,
            parts.labels,
            parts.record.max_seq_length,
            tokenizer,
            folder / f"{name}.tf_record",
            parts.record.truncation,
        )
    parts.save(folder)
    rows = training_log.start(folder, now.done)
    settings = training_of(options, now.steps, factors)
    interval = log_interval(options, now.steps)

    def on_step(step: int, loss: float, rate: float) -> None:
        report(step, loss)
        if step % interval == 0 or step == now.steps:
            epoch = step * options.train_batch_size / len(examples)
            training_log.append(folder, training_log.Row(step, epoch, loss, rate))

    every = options.eval_every_steps or now.steps
    was_evaluated = any(row.step == now.done and row.dev_loss is not None for row in rows)
    if options.eval_every_steps and now.done and now.done % every == 0 and not was_evaluated:
        _evaluate(parts, options, now.done, len(examples))  # the run before ended in between
        now = plan(options, len(examples))
    while now.done < now.steps and not now.has_stopped:
        target = min(now.steps, (now.done // every + 1) * every)
        _train_to(target, now.done, parts, options, settings, [StepHook(on_step, now.done), *hooks])
        if options.eval_every_steps:
            _evaluate(parts, options, target, len(examples))
        now = plan(options, len(examples))
    return now


def training_of(
    options: options_lib.RunConfig, steps: int, factors: tuple[float, ...] | None = None
) -> estimator_lib.Training:
    """Return how the weights are trained, from a run's options."""
    is_range_test = options.learning_rate_schedule == "lr_range_test"
    return estimator_lib.Training(
        options.max_learning_rate if is_range_test else options.learning_rate,
        steps,
        int(steps * options.warmup_proportion),
        options.learning_rate_schedule,
        options.seed,
        factors,
        options.gradient_accumulation_steps,
        options.freeze_encoder,
    )


def tpu_of(options: options_lib.RunConfig) -> estimator_lib.Tpu | None:
    """Return where the run's TPU is; None without --use_tpu."""
    if not options.use_tpu:
        return None
    return estimator_lib.Tpu(
        options.tpu_name,
        options.tpu_zone,
        options.gcp_project,
        options.master,
        options.num_tpu_cores,
        options.iterations_per_loop,
    )


def log_interval(options: options_lib.RunConfig, steps: int) -> int:
    """Return after how many steps the log gets a row: every step of a range test, else about twenty rows a training."""
    if options.learning_rate_schedule == "lr_range_test":
        return 1
    return max(1, min(100, steps // 20))


def _train_to(
    target: int,
    done: int,
    parts: model_folder.Parts,
    options: options_lib.RunConfig,
    settings: estimator_lib.Training,
    hooks: Sequence[tf.compat.v1.train.SessionRunHook],
) -> None:
    folder = pathlib.Path(str(options.output_dir))
    tpu = tpu_of(options)
    input_fn = input_fn_lib.file_based_input_fn_builder(
        folder / "train.tf_record",
        parts.record.max_seq_length,
        is_training=True,
        drop_remainder=True,
        batch_size=None if tpu else options.train_batch_size,
        seed=options.seed,
        skip_examples=done * options.train_batch_size,
    )
    estimator = estimator_lib.build_estimator(
        folder,
        estimator_lib.model_of(parts, folder, to_train=True),
        settings,
        train_batch_size=options.train_batch_size,
        save_checkpoints_steps=options.save_checkpoints_steps,
        log_every_steps=log_interval(options, settings.num_train_steps),
        tpu=tpu,
    )
    estimator.train(input_fn, max_steps=target, hooks=list(hooks))


def _evaluate(
    parts: model_folder.Parts, options: options_lib.RunConfig, step: int, example_count: int
) -> None:
    """Evaluate the newest checkpoint on the dev set, log it, and keep it where it is the best so far."""
    folder = pathlib.Path(str(options.output_dir))
    input_fn = input_fn_lib.file_based_input_fn_builder(
        folder / "dev.tf_record",
        parts.record.max_seq_length,
        is_training=False,
        drop_remainder=False,
        batch_size=options.eval_batch_size,
    )
    estimator = estimator_lib.build_estimator(folder, estimator_lib.model_of(parts, folder))
    found: Mapping[str, Any] = estimator.evaluate(input_fn, name="dev")
    figures = {f"dev_{name}": float(found[f"eval_{name}"]) for name in ("accuracy", "f1", "loss")}
    epoch = step * options.train_batch_size / example_count
    training_log.append(folder, training_log.Row(step, epoch, **figures))
    best_step, _ = training_log.best(training_log.read(folder), options.best_metric)
    if best_step == step:
        newest = str(tf.train.latest_checkpoint(str(folder)))
        model_folder.save_for_inference(parts, newest, folder / model_folder.BEST)


class StepHook(tf.compat.v1.train.SessionRunHook):
    """Calls back after every step of a session with (steps done in all, loss, learning rate)."""

    def __init__(self, report: Callable[[int, float, float], object], start_step: int = 0) -> None:
        """Keep the callback; where the graph has no loss or rate (evaluation, a TPU) it gets NaN."""
        self._report = report
        self._step = start_step
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
        """Report one step."""
        del run_context
        self._step += 1
        loss, rate = (float(found[0]) if found else math.nan for found in run_values.results)
        self._report(self._step, loss, rate)

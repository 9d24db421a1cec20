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
from bert import distribution as distribution_lib
from bert import estimator as estimator_lib
from bert import features as features_lib
from bert import files
from bert import hooks as hooks_lib
from bert import input_fn as input_fn_lib
from bert import model_folder
from bert import optimization
from bert import options as options_lib
from bert import tokenization
from bert import training_log
from bert import weights

Examples = Sequence[datasets.InputExample]


class Plan(NamedTuple):
    """How far a training is and how far it goes.

    Attributes:
      done: steps of the checkpoint that is gone on from; 0 at the start.
      steps: steps in all.
      best_step: step of the best evaluation so far.
      has_stopped: an earlier run stopped early, for want of a better evaluation.
      lacks_evaluation: the run before ended between a checkpoint and its evaluation.
    """

    done: int
    steps: int
    best_step: int | None
    has_stopped: bool
    lacks_evaluation: bool = False

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing left to do."""
        return (self.has_stopped or self.done >= self.steps) and not self.lacks_evaluation

    @property
    def state(self) -> str:
        """How far it is, for a log."""
        return f"{'stopped early at' if self.has_stopped else 'holds'} step {self.done}"


def plan(options: options_lib.RunConfig, example_count: int) -> Plan:
    """Return what there is to train in the output folder.

    Raises:
      ValueError: the folder was trained in a way that these options cannot go on with; the message names it.
    """
    folder = pathlib.Path(str(options.output_dir))
    done = checkpoints.latest_step(folder) or 0
    steps = max(1, int(example_count / options.train_batch_size * options.num_train_epochs))
    rows = [row for row in training_log.read(folder) if row.step <= done]
    best_step, since = training_log.best(rows, options.best_metric)
    every = options.eval_every_steps
    is_due = bool(every) and done > 0 and (done % every == 0 or done == steps)
    lacks_evaluation = is_due and not any(r.step == done and r.dev_loss is not None for r in rows)
    if rows and done < steps:
        _check_batches(folder, options, rows[-1], example_count)
    kept = checkpoints.latest_step(folder / model_folder.BEST)
    if kept is not None and not every and done < steps:
        raise ValueError(
            f"{folder} holds the best model of a training with --eval_every_steps, which going on without it would "
            "leave behind; give --eval_every_steps again or use another --output_dir"
        )
    expected = (best_step, done) if lacks_evaluation else (best_step,)
    if kept is not None and every and kept not in expected:
        raise ValueError(
            f"{folder / model_folder.BEST} must hold the best model of {training_log.FILE}, which is that of step "
            f"{best_step} by --best_metric={options.best_metric}, but holds step {kept}; give the --best_metric it was "
            "chosen by, or use another --output_dir"
        )
    patience = options.early_stopping_patience
    return Plan(done, steps, best_step, bool(patience) and since >= patience, lacks_evaluation)


def _check_batches(
    folder: pathlib.Path,
    options: options_lib.RunConfig,
    last: training_log.Row,
    example_count: int,
) -> None:
    """Refuse to go on with other batches or data: which examples were seen follows from the steps done."""
    seen, now = last.epoch, last.step * options.train_batch_size / example_count
    if abs(seen - now) > 1e-4 * now:  # the log has six digits
        raise ValueError(
            f"{folder} was trained for {seen:g} epochs in {last.step} steps, which would be {now:g} with "
            f"--train_batch_size={options.train_batch_size} and {example_count} examples; go on as it was trained, or "
            f"train on in another --output_dir with --model={folder}"
        )


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
    pairs = [part.rpartition("=") for part in text.split(",")]
    given = {label.strip(): _number(number) for label, _, number in pairs}
    wrong = [
        label for label, factor in given.items() if label not in labels or not 0 < factor < math.inf
    ]
    if wrong or len(given) < len(pairs):
        raise ValueError(
            f"class_weights must be balanced or label=factor,... with labels of {', '.join(labels)} and positive "
            f"factors, got {text!r}"
        )
    return tuple(given.get(label, 1.0) for label in labels)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


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

    Raises:
      ValueError: another process trains in the folder.
    """
    folder = pathlib.Path(str(options.output_dir))
    factors = class_weights(options.class_weights, parts.labels, examples)
    with files.claimed(folder):
        checkpoints.remove_halves(folder)
        now = plan(options, len(examples))
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
        training_log.start(folder, now.done)
        settings = training_of(options, now.steps, factors)
        interval = log_interval(options, now.steps)

        def on_step(step: int, loss: float, rate: float) -> None:
            report(step, loss)
            if step % interval == 0 or step == now.steps:
                epoch = step * options.train_batch_size / len(examples)
                training_log.append(folder, training_log.Row(step, epoch, loss, rate))
            if step == now.steps:
                hooks_lib.summarise(folder, step, loss, rate)

        every = options.eval_every_steps or now.steps
        if now.lacks_evaluation:
            _evaluate(parts, options, now.done, len(examples))
            now = plan(options, len(examples))
        while not now.is_finished:
            target = min(now.steps, (now.done // every + 1) * every)
            looking_on = [_hook(on_step, now, options), *hooks]
            train_to(folder, target, now.done, parts, options, settings, looking_on)
            if options.eval_every_steps:
                _evaluate(parts, options, target, len(examples))
            now = plan(options, len(examples))
    return now


def _hook(
    report: Callable[[int, float, float], object], now: Plan, options: options_lib.RunConfig
) -> hooks_lib.StepHook:
    return hooks_lib.StepHook(
        report, now.done, options.iterations_per_loop if options.use_tpu else 1
    )


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
        options.precision,
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
        options.train_batch_size,
        options.eval_batch_size,
    )


def log_interval(options: options_lib.RunConfig, steps: int) -> int:
    """Return after how many steps the log gets a row: every step of a range test, else about twenty rows a training."""
    if options.learning_rate_schedule == "lr_range_test":
        return 1
    return max(1, min(100, steps // 20))


def distribution_of(options: options_lib.RunConfig) -> distribution_lib.Distribution:
    """Return what the run's training is spread over.

    Raises:
      ValueError: there is no such thing here, or the batch does not divide into its shares.
    """
    found = distribution_lib.find(options.distribution, options.num_replicas)
    found.check_batch(options.train_batch_size, options.gradient_accumulation_steps)
    return found


def train_to(
    folder: pathlib.Path,
    target: int,
    done: int,
    parts: model_folder.Parts,
    options: options_lib.RunConfig,
    settings: estimator_lib.Training,
    hooks: Sequence[tf.compat.v1.train.SessionRunHook],
) -> None:
    """Train from the newest checkpoint of a folder up to a step, on the examples of its `train.tf_record`."""
    tpu, spread = tpu_of(options), distribution_of(options)
    if done:
        _check_slots(folder, parts, settings)
    input_fn = input_fn_lib.file_based_input_fn_builder(
        folder / "train.tf_record",
        parts.record.max_seq_length,
        is_training=True,
        drop_remainder=True,
        batch_size=None if tpu else options.train_batch_size,
        seed=options.seed,
        skip_examples=done * options.train_batch_size,
        pads_to_longest=not options.use_tpu,
        bucket_by_length=options.bucket_by_length,
    )
    estimator = estimator_lib.build_estimator(
        folder,
        estimator_lib.model_of(parts, folder, to_train=True),
        settings,
        save_checkpoints_steps=options.save_checkpoints_steps,
        log_every_steps=log_interval(options, settings.num_train_steps),
        tpu=tpu,
        xla=options.xla,
        distribution=spread,
    )
    # who is not the chief needs one to begin with: without it a lost session waits for the others again, for ever
    every = options.save_checkpoints_steps if spread.is_chief else target
    savers = [] if tpu else [hooks_lib.CheckpointHook(str(folder), every)]
    estimator_lib.train(estimator, input_fn, target, [*hooks, *savers], spread)


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
        pads_to_longest=True,
    )
    estimator = estimator_lib.build_estimator(folder, estimator_lib.model_of(parts, folder))
    found: Mapping[str, Any] = estimator.evaluate(input_fn, name="dev")
    figures = {f"dev_{name}": float(found[f"eval_{name}"]) for name in ("accuracy", "f1", "loss")}
    epoch = step * options.train_batch_size / example_count
    row = training_log.as_logged(training_log.Row(step, epoch, **figures))
    best_step, _ = training_log.best([*training_log.read(folder), row], options.best_metric)
    if best_step == step:  # kept before it is logged: an evaluation that is not logged comes again
        newest = checkpoints.newest(folder)
        assert newest, "the training has just saved it"
        model_folder.save_for_inference(parts, newest, folder / model_folder.BEST)
    training_log.append(folder, row)


def _check_slots(
    folder: pathlib.Path, parts: model_folder.Parts, settings: estimator_lib.Training
) -> None:
    newest = checkpoints.newest(folder)
    assert newest, "some steps are done"
    trained = set(checkpoints.checkpoint_shapes(newest))
    if settings.freeze_encoder:
        trained -= set(weights.encoder_shapes(parts.config))
    optimization.check_slots(newest, trained)

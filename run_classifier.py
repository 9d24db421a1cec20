"""Fine-tune BERT on a classification task, evaluate it, predict, and show what it attended to.

The command line of google-research/bert's run_classifier: the same flags, names and defaults, and a few more.
Importing this module has no effect; it re-exports the names that code written against the ancestor uses.
"""

import os

if __name__ == "__main__":  # before TensorFlow is imported: its start-up notes drown our lines
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # or it takes the whole GPU

import collections
import dataclasses
import itertools
import logging
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import tensorflow as tf
import tqdm
from absl import flags

from bert import ancestor
from bert import checkpoints
from bert import classifier
from bert import datasets
from bert import estimator as estimator_lib
from bert import failures
from bert import features as features_lib
from bert import files
from bert import frozen
from bert import hooks
from bert import input_fn as input_fn_lib
from bert import model_folder
from bert import options as options_lib
from bert import tokenization
from bert import training
from bert import training_log
from bert import worker
from explain import attention
from explain import explanation
from explain import gallery
from explain import highlight
from explain import model as model_lib
from explain import plots

# The ancestor's names.
DataProcessor = datasets.DataProcessor
ColaProcessor = datasets.ColaProcessor
ImdbProcessor = datasets.ImdbProcessor
MnliProcessor = datasets.MnliProcessor
MrpcProcessor = datasets.MrpcProcessor
XnliProcessor = datasets.XnliProcessor
InputExample = datasets.InputExample
PaddingInputExample = datasets.PaddingInputExample
InputFeatures = features_lib.InputFeatures
convert_single_example = features_lib.convert_single_example
convert_examples_to_features = features_lib.convert_examples_to_features
file_based_convert_examples_to_features = features_lib.file_based_convert_examples_to_features
file_based_input_fn_builder = input_fn_lib.file_based_input_fn_builder
input_fn_builder = input_fn_lib.input_fn_builder
model_fn_builder = ancestor.model_fn_builder
create_model = ancestor.create_model

_log = logging.getLogger("run_classifier")


class Run(NamedTuple):
    """Everything that training, evaluation and prediction share."""

    options: options_lib.RunConfig
    processor: datasets.DataProcessor
    parts: model_folder.Parts
    tokenizer: tokenization.FullTokenizer

    @property
    def output_dir(self) -> pathlib.Path:
        """Folder of the training and of the results."""
        return pathlib.Path(str(self.options.output_dir))

    @property
    def folder(self) -> pathlib.Path:
        """Folder of the model to evaluate and predict with: the best on the dev set, or else the last."""
        return model_folder.best_folder(self.output_dir)


def define_flags(flag_values: flags.FlagValues) -> None:
    """Define one flag an option in `flag_values`; name, default and help come from `options_lib.RunConfig`."""
    defines: dict[object, Callable[..., object]] = {
        bool: flags.DEFINE_bool,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
    }
    for name, field in options_lib.RunConfig.model_fields.items():
        define = defines.get(field.annotation, flags.DEFINE_string)
        define(name, field.default, field.description or "", flag_values=flag_values)


def parse_options(arguments: Sequence[str]) -> options_lib.RunConfig:
    """Turn a command line, without the program's name, into validated options.

    Raises:
      ValueError: every problem of the options, in one message.
      flags.Error: an unknown flag or a value of the wrong type.
    """
    flag_values = flags.FlagValues()
    define_flags(flag_values)
    try:
        rest = flag_values(["run_classifier.py", *arguments])[1:]
    except flags.UnrecognizedFlagError as error:
        if error.flagname in options_lib.REPLACED:
            hint = options_lib.REPLACED[error.flagname]
            raise ValueError(f"--{error.flagname} of BERT-LRP is not taken: {hint}") from None
        raise
    if rest:
        raise ValueError(f"options must begin with --, got {' '.join(rest)!r}")
    given = {name: flag_values[name].value for name in flag_values if flag_values[name].present}
    return options_lib.RunConfig.parse(given)


def main(options: options_lib.RunConfig) -> None:
    """Train, evaluate and predict as the options say.

    Raises:
      ValueError, OSError: bad options, data or weights; the message says what to do.
    """
    attention.find_processor(options.attn_processor_fn)  # before the training, not after it
    is_chief = training.distribution_of(options).is_chief
    sources = model_folder.gather(options)
    processor = datasets.find_processor(options, sources.labels)
    parts = model_folder.resolve(options, sources, processor.get_labels())
    run = Run(options, processor, parts, parts.tokenizer())
    reads_dev = options.do_eval or options.eval_every_steps
    dev = processor.get_dev_examples(str(options.data_dir)) if reads_dev else []
    if options.do_train:
        train(run, dev, is_chief)
    if not is_chief:
        return
    if options.do_eval:
        evaluate(run, "eval", dev)
    if options.do_predict:
        predict(run)
    if options.eval_test:
        evaluate(run, "test_eval", processor.get_test_examples(str(options.data_dir)))


def train(run: Run, dev: Sequence[InputExample], is_chief: bool = True) -> None:
    """Fine-tune on the training set; the chief's folder then holds checkpoint, vocabulary, config, labels and log."""
    options = run.options
    examples = run.processor.get_train_examples(str(options.data_dir))
    plan = training.plan(options, len(examples))
    _announce("training", len(examples))
    counts = collections.Counter(example.label for example in examples)
    _log.info("  labels: %s", ", ".join(f"{name} {counts[name]}" for name in run.parts.labels))
    if plan.is_finished:
        told = "  not needed, of %d steps: %s %s; give another --output_dir to train anew"
        _log.info(told, plan.steps, run.output_dir, plan.state)
        return
    if plan.done:
        told = "  going on from step %d in %s; --init_checkpoint and --model are not read again"
        _log.info(told, plan.done, run.output_dir)
    with _bar("fine-tuning", plan.steps, "step", plan.done) as bar:

        def report(step: int, loss: float) -> None:
            state = f"{step * options.train_batch_size} examples, loss {loss:.4f}"
            bar.set_postfix_str(state, refresh=False)
            bar.update()
            if bar.disable and step % max(1, plan.steps // 20) == 0:
                _log.info("  step %d of %d, %s", step, plan.steps, state)

        teach = training.train if is_chief else worker.assist
        try:
            plan = teach(run.parts, run.tokenizer, examples, dev, options, report)
        finally:  # even if it diverged
            points = training_log.losses_by_rate(training_log.read(run.output_dir))
            if points and is_chief and options.learning_rate_schedule == "lr_range_test":
                figure = plots.learning_rate_range(points)
                gallery.save_figure(figure, run.output_dir / "lr_range_test.png")
    if plan.has_stopped:
        _log.info("  stopped early at step %d", plan.done)
    if plan.best_step is not None:
        _log.info("  the best on the dev set is step %d, kept in %s", plan.best_step, run.folder)


def evaluate(run: Run, name: str, examples: Sequence[InputExample]) -> None:
    """Evaluate the model and write `<name>_results.txt`."""
    batch_size = run.options.eval_batch_size
    unlabelled = [example.guid for example in examples if example.label is None]
    if unlabelled:
        raise ValueError(f"examples to evaluate on must have labels, got none for {unlabelled[0]}")
    _announce("evaluation", len(examples), run.folder)
    batches = -(-len(examples) // batch_size)
    with _bar("evaluating", batches, "batch") as bar:
        hook = hooks.StepHook(lambda step, loss, rate: bar.update())
        inputs, title = _inputs(run, examples, name, batch_size), None if name == "eval" else name
        results = _estimator(run).evaluate(inputs, batches, [hook], name=title)
    lines = [f"{key} = {value}\n" for key, value in sorted(results.items())]
    files.write_text(run.output_dir / f"{name}_results.txt", "".join(lines))
    _log.info("***** Eval results *****\n%s", "".join(f"  {line}" for line in lines).rstrip())


def predict(run: Run) -> None:
    """Predict the test set into test_results.tsv; with a processor also report.html and attention.png."""
    options = run.options
    examples = datasets.test_examples(run.processor, str(options.data_dir))
    count = sum(1 for _ in examples())  # what is wrong with a file is told before the model is read
    config, method = run.parts.record, str(options.attn_processor_fn)
    _announce("prediction", count, run.folder)
    processor = attention.find_processor(options.attn_processor_fn)
    extras = () if processor is None else (model_lib.attention_extra(processor),)
    ask, shown = _predictor(run), list[tuple[InputExample, explanation.Explanation]]()
    with (
        files.draft(run.output_dir / "test_results.tsv") as path,
        open(path, "w", encoding="utf-8") as results,
        _bar("predicting", count, "example") as bar,
    ):
        if options.results_header:
            results.write("\t".join(["guid", *config.labels, "pred_label", "pred_class"]) + "\n")
        for example, prediction in zip(examples(), ask(examples(), *extras), strict=True):
            results.write("\t".join(_result(run, example, prediction)) + "\n")
            if processor is not None and len(shown) < options.report_examples:
                encoding = run.parts.encode(run.tokenizer, example)
                record = model_lib.explain_prediction(example, encoding, prediction, config, method)
                shown.append((example, record))
            bar.update(1)
    if shown:
        _write_pictures(run, ask, shown)
    _log.info("  results are in %s", run.output_dir)


def _announce(phase: str, count: int, weights_of: pathlib.Path | None = None) -> None:
    if not count:
        raise ValueError(f"{phase} must have at least one example, got none; check the data")
    _log.info("***** Running %s *****", phase)
    _log.info("  %d examples", count)
    if weights_of and (newest := checkpoints.newest(weights_of)):
        _log.info("  weights: %s", newest)


def _inputs(
    run: Run, examples: Sequence[InputExample], name: str, batch_size: int
) -> input_fn_lib.InputFn:
    return input_fn_lib.from_examples(
        examples,
        run.parts.labels,
        run.parts.record.max_seq_length,
        run.tokenizer,
        run.output_dir / f"{name}.tf_record",
        batch_size=batch_size,
        truncation=run.parts.record.truncation,
        for_tpu=run.options.use_tpu,
    )


def _estimator(run: Run, *extras: classifier.PredictExtra) -> tf.estimator.Estimator:
    model, tpu = estimator_lib.model_of(run.parts, run.folder), training.tpu_of(run.options)
    size = run.options.predict_batch_size
    return estimator_lib.build_estimator(
        run.folder, model, extras=extras, predict_batch_size=size, tpu=tpu
    )


def _predictor(run: Run) -> Callable[..., Iterator[frozen.Prediction]]:
    """Return what yields the model's answers to examples, with extras: a frozen graph, or on a TPU the Estimator."""
    options, parts = run.options, run.parts
    if not options.use_tpu:
        parts = dataclasses.replace(parts, init_checkpoint=parts.checkpoint_in(run.folder))
        engine = "xla" if options.xla else options.engine
        model = frozen.FrozenModel(parts, options.precision, engine)
        return lambda found, *extras: model.predict(parts.encodings(run.tokenizer, found), extras)

    def ask(
        found: Iterable[InputExample], *extras: classifier.PredictExtra
    ) -> Iterator[frozen.Prediction]:
        # an unlabelled example needs some class in its record
        filled = [dataclasses.replace(e, label=e.label or parts.labels[0]) for e in found]
        inputs = _inputs(run, filled, "predict", options.predict_batch_size)
        return itertools.islice(_estimator(run, *extras).predict(inputs), len(filled))

    return ask


def _result(run: Run, example: InputExample, prediction: frozen.Prediction) -> list[str]:
    cells = [str(probability) for probability in prediction["probabilities"]]
    predicted = int(prediction["pred_class"])
    if run.options.results_header:
        cells = [example.guid, *cells, run.parts.labels[predicted]]
    return [*cells, str(predicted)]


def _write_pictures(
    run: Run,
    ask: Callable[..., Iterator[frozen.Prediction]],
    shown: Sequence[tuple[InputExample, explanation.Explanation]],
) -> None:
    records = [record for _, record in shown]
    title = f"What BERT attended to: {run.options.task_name or run.options.processor or run.options.test_file}"
    files.write_text(run.output_dir / "report.html", highlight.report(records, title))
    example, record = min(shown, key=lambda pair: (not pair[1].words, len(pair[1].tokens)))
    extra = model_lib.attention_extra(attention.average_last_layer_matrix)
    (prediction,) = ask([example], extra)
    told = f"predicted {record.predicted} ({record.confidence:.2f})"
    title = f"{record.guid}: last layer, mean over heads; {told}"
    figure = plots.attention_heatmap(prediction["attention"], record.tokens, title)
    gallery.save_figure(figure, run.output_dir / "attention.png")


def _bar(label: str, total: int, unit: str, initial: int = 0) -> "tqdm.tqdm[None]":
    return tqdm.tqdm(desc=label, total=total, unit=unit, initial=initial, disable=None)


def cli_main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 success, 1 a failure told in one line, 2 wrong usage."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    # Estimator's own lines drown ours, and would come twice
    tf.get_logger().setLevel(logging.ERROR)
    tf.get_logger().propagate = False
    arguments = sys.argv[1:] if arguments is None else arguments
    if {"-h", "-help", "--help"} & set(arguments):
        flag_values = flags.FlagValues()
        define_flags(flag_values)
        sys.stdout.write(f"{__doc__}\nFlags:\n{flag_values.get_help()}\n")
        return 0
    if os.getcwd() not in sys.path:  # where --processor's own module usually is
        sys.path.insert(0, os.getcwd())
    try:
        options = parse_options(arguments)
    except (flags.Error, ValueError) as error:
        _log.error("run_classifier.py: %s", error)
        return 2
    faults = (*failures.USERS_FAULTS, *([RuntimeError] if options.use_tpu else []))  # no TPU found
    try:
        main(options)
    except KeyboardInterrupt:
        step = checkpoints.latest_step(str(options.output_dir)) or 0
        _log.error("run_classifier.py: stopped; the same command goes on from step %d", step)
        return 130
    except faults as error:
        if options.debug:
            raise
        _log.error("run_classifier.py: %s", failures.one_line(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(cli_main())

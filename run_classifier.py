"""Fine-tune BERT on a classification task, evaluate it, predict, and show what it attended to.

The command line of google-research/bert's run_classifier: the same flags, names and defaults, and a few more.
Importing this module has no effect; it re-exports the names that code written against the ancestor uses.
"""

import os

if __name__ == "__main__":  # before TensorFlow is imported: its start-up notes drown our lines
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import dataclasses
import logging
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tqdm
from absl import flags

from bert import checkpoints
from bert import classifier
from bert import config as config_lib
from bert import datasets
from bert import encoder
from bert import estimator as estimator_lib
from bert import features as features_lib
from bert import files
from bert import input_fn as input_fn_lib
from bert import metrics
from bert import model_folder
from bert import options as options_lib
from bert import tokenization
from bert import weights
from explain import attention
from explain import explanation
from explain import highlight
from explain import model as model_lib
from explain import plots

# The ancestor's names.
DataProcessor = datasets.DataProcessor
ImdbProcessor = datasets.ImdbProcessor
InputExample = datasets.InputExample
PaddingInputExample = datasets.PaddingInputExample
InputFeatures = features_lib.InputFeatures
convert_single_example = features_lib.convert_single_example
file_based_convert_examples_to_features = features_lib.file_based_convert_examples_to_features
file_based_input_fn_builder = input_fn_lib.file_based_input_fn_builder
input_fn_builder = input_fn_lib.input_fn_builder

_log = logging.getLogger("run_classifier")


class Run(NamedTuple):
    """Everything that training, evaluation and prediction share."""

    options: options_lib.RunConfig
    processor: datasets.DataProcessor
    parts: model_folder.Parts
    tokenizer: tokenization.FullTokenizer

    @property
    def output_dir(self) -> pathlib.Path:
        """Folder of the trained model and its results."""
        return pathlib.Path(str(self.options.output_dir))


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
    rest = flag_values(["run_classifier.py", *arguments])[1:]
    if rest:
        raise ValueError(f"options must begin with --, got {' '.join(rest)!r}")
    given = {name: flag_values[name].value for name in flag_values if flag_values[name].present}
    return options_lib.RunConfig.parse(given)


def model_fn_builder(
    bert_config: config_lib.BertConfig,
    num_labels: int,
    init_checkpoint: str | None,
    learning_rate: float,
    num_train_steps: int,
    num_warmup_steps: int,
    use_tpu: bool,
    use_one_hot_embeddings: bool,
) -> estimator_lib.ModelFn:
    """Return the Estimator's `model_fn` under the ancestor's signature."""
    model = estimator_lib.Model(
        bert_config,
        num_labels,
        init_checkpoint=init_checkpoint,
        use_one_hot_embeddings=use_one_hot_embeddings,
    )
    schedule = estimator_lib.Schedule(learning_rate, num_train_steps or 1, num_warmup_steps or 0)
    return estimator_lib.model_fn_builder(model, schedule, use_tpu=use_tpu)


def create_model(
    bert_config: config_lib.BertConfig,
    is_training: bool,
    input_ids: tf.Tensor,
    input_mask: tf.Tensor,
    segment_ids: tf.Tensor,
    labels: tf.Tensor,
    num_labels: int,
    use_one_hot_embeddings: bool,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, list[dict[str, tf.Tensor]]]:
    """Build the classifier in the current TF1 graph, under the ancestor's signature.

    Returns:
      Mean loss, losses, logits, probabilities, and each layer's attention, `[{"layer_0": f[b, h, q, k]}, ...]`.
    """
    variables = weights.create(
        classifier.variable_shapes(bert_config, num_labels), bert_config.initializer_range
    )
    step = tf.compat.v1.train.get_or_create_global_step()
    outputs = classifier.forward(
        variables,
        bert_config,
        features_lib.Features(input_ids, input_mask, segment_ids),
        dropout=encoder.stateless_dropout(0, step) if is_training else encoder.keep_all,
        one_hot=use_one_hot_embeddings,
    )
    losses = metrics.example_losses(outputs.logits, labels)
    layers = model_lib.layer_dicts(outputs.attention_probs)
    return tf.reduce_mean(losses), losses, outputs.logits, tf.nn.softmax(outputs.logits), layers


def main(options: options_lib.RunConfig) -> None:
    """Train, evaluate and predict as the options say.

    Raises:
      ValueError, OSError: bad options, data or weights; the message says what to do.
    """
    attention.find_processor(options.attn_processor_fn)  # before the training, not after it
    processor = datasets.find_processor(options.task_name, options.processor)
    parts = model_folder.resolve(options, processor.get_labels())
    run = Run(options, processor, parts, parts.tokenizer())
    if options.do_train:
        train(run)
    if options.do_eval:
        evaluate(run)
    if options.do_predict:
        predict(run)


def train(run: Run) -> None:
    """Fine-tune on the training set; the folder then holds checkpoint, vocabulary, config and labels."""
    options = run.options
    examples = run.processor.get_train_examples(str(options.data_dir))
    steps = max(1, int(len(examples) / options.train_batch_size * options.num_train_epochs))
    done = checkpoints.latest_step(run.output_dir) or 0
    _announce("training", examples, options.train_batch_size)
    if done >= steps:
        _log.info("  not needed: %s holds step %d; use another to train anew", run.output_dir, done)
        return
    if done:
        _log.info("  going on from step %d in %s", done, run.output_dir)
    with _bar("fine-tuning", steps, "step", done) as bar:

        def report(step: int, loss: float) -> None:
            state = f"{step * options.train_batch_size} examples, loss {loss:.4f}"
            bar.set_postfix_str(state, refresh=False)
            bar.update()
            if bar.disable and step % max(1, steps // 20) == 0:
                _log.info("  step %d of %d, %s", step, steps, state)

        estimator_lib.train(run.parts, run.tokenizer, examples, options, steps, report)


def evaluate(run: Run) -> None:
    """Evaluate the newest checkpoint on the dev set and write eval_results.txt."""
    options = run.options
    examples = run.processor.get_dev_examples(str(options.data_dir))
    _announce("evaluation", examples, options.eval_batch_size)
    input_fn = _inputs(run, examples, "eval", options.eval_batch_size)
    estimator = _estimator(run)
    batches = -(-len(examples) // options.eval_batch_size)
    with _bar("evaluating", batches, "batch") as bar:
        hook = estimator_lib.StepHook(lambda step, loss: bar.update())
        results = estimator.evaluate(input_fn, hooks=[hook])
    lines = [f"{name} = {value}\n" for name, value in sorted(results.items())]
    files.write_text(run.output_dir / "eval_results.txt", "".join(lines))
    _log.info("***** Eval results *****\n%s", "".join(f"  {line}" for line in lines).rstrip())


def predict(run: Run) -> None:
    """Predict the test set into test_results.tsv; with a processor also report.html and attention.png."""
    options = run.options
    examples = run.processor.get_test_examples(str(options.data_dir))
    filler = run.parts.labels[0]  # an unlabelled example needs some class in its record
    filled = [e if e.label is not None else dataclasses.replace(e, label=filler) for e in examples]
    _announce("prediction", examples, options.predict_batch_size)
    input_fn = _inputs(run, filled, "predict", options.predict_batch_size)
    processor = attention.find_processor(options.attn_processor_fn)
    extras = () if processor is None else (model_lib.attention_extra(processor),)
    estimator = _estimator(run, *extras)
    length = run.parts.record.max_seq_length
    records: list[explanation.Explanation] = []
    with (
        files.draft(run.output_dir / "test_results.tsv") as path,
        open(path, "w", encoding="utf-8") as results,
        _bar("predicting", len(examples), "example") as bar,
    ):
        if options.results_header:
            results.write("\t".join(["guid", *run.parts.labels, "pred_label", "pred_class"]) + "\n")
        predictions = estimator.predict(input_fn, yield_single_examples=True)
        for example, prediction in zip(examples, predictions, strict=True):
            results.write("\t".join(_result(run, example, prediction)) + "\n")
            if processor is not None and len(records) < options.report_examples:
                encoding = features_lib.encode_example(run.tokenizer, example, length)
                method = str(options.attn_processor_fn)
                records.append(
                    model_lib.explain_prediction(
                        example, encoding, prediction, run.parts.labels, method
                    )
                )
            bar.update(1)
    if records:
        _write_pictures(run, examples, records)
    _log.info("  results are in %s", run.output_dir)


def _announce(phase: str, examples: Sequence[InputExample], batch_size: int) -> None:
    _log.info("***** Running %s *****", phase)
    _log.info("  %d examples, batches of %d", len(examples), batch_size)


def _inputs(
    run: Run, examples: Sequence[InputExample], name: str, batch_size: int
) -> input_fn_lib.InputFn:
    length, record_file = run.parts.record.max_seq_length, run.output_dir / f"{name}.tf_record"
    return input_fn_lib.from_examples(
        examples, run.parts.labels, length, run.tokenizer, record_file, batch_size=batch_size
    )


def _estimator(run: Run, *extras: classifier.PredictExtra) -> tf.estimator.Estimator:
    model = estimator_lib.model_of(run.parts, run.output_dir)
    return estimator_lib.build_estimator(run.output_dir, model, extras=extras)


def _result(
    run: Run, example: InputExample, prediction: dict[str, npt.NDArray[np.float32]]
) -> list[str]:
    cells = [str(probability) for probability in prediction["probabilities"]]
    predicted = int(prediction["pred_class"])
    if run.options.results_header:
        cells = [example.guid, *cells, run.parts.labels[predicted]]
    return [*cells, str(predicted)]


def _write_pictures(
    run: Run, examples: Sequence[InputExample], records: Sequence[explanation.Explanation]
) -> None:
    title = f"What BERT attended to: {run.options.task_name or run.options.processor}"
    files.write_text(run.output_dir / "report.html", highlight.report(records, title))
    chosen = min(range(len(records)), key=lambda index: len(records[index].tokens))
    length = run.parts.record.max_seq_length
    encoding = features_lib.encode_example(run.tokenizer, examples[chosen], length)
    padded = [features_lib.pad_encoding(encoding, length)]
    input_fn = input_fn_builder(padded, length, is_training=False, drop_remainder=False)
    extra = model_lib.attention_extra(attention.average_last_layer_matrix)
    estimator = estimator_lib.build_estimator(
        run.output_dir, estimator_lib.model_of(run.parts, run.output_dir), extras=(extra,)
    )
    (prediction,) = estimator.predict(input_fn)
    record = records[chosen]
    figure = plots.attention_heatmap(
        prediction["attention"],
        record.tokens,
        f"{record.guid}: last layer, mean over heads; predicted {record.predicted} ({record.confidence:.2f})",
    )
    with files.draft(run.output_dir / "attention.png") as path:
        figure.savefig(path, format="png", dpi=120)


def _bar(label: str, total: int, unit: str, initial: int = 0) -> "tqdm.tqdm[None]":
    return tqdm.tqdm(
        desc=label, total=total, unit=unit, initial=initial, disable=None, file=sys.stderr
    )


_NanLoss = tf.compat.v1.train.NanLossDuringTrainingError
_USERS_FAULTS = (ValueError, TypeError, NotImplementedError, OSError, tf.errors.OpError, _NanLoss)


def cli_main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 success, 1 a failure told in one line, 2 wrong usage."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    tf.get_logger().setLevel(
        logging.ERROR
    )  # Estimator's own lines drown ours, and would come twice
    tf.get_logger().propagate = False
    arguments = sys.argv[1:] if arguments is None else arguments
    if {"-h", "-help", "--help"} & set(arguments):
        sys.stdout.write(_help())
        return 0
    if os.getcwd() not in sys.path:  # where --processor's own module usually is
        sys.path.insert(0, os.getcwd())
    try:
        options = parse_options(arguments)
    except (flags.Error, ValueError) as error:
        _log.error("run_classifier.py: %s", error)
        return 2
    try:
        main(options)
    except _USERS_FAULTS as error:
        _log.error("run_classifier.py: %s", _one_line(error))
        return 1
    return 0


def _help() -> str:
    flag_values = flags.FlagValues()
    define_flags(flag_values)
    return f"{__doc__}\nFlags:\n{flag_values.get_help()}\n"


def _one_line(error: BaseException) -> str:
    if isinstance(error, _NanLoss):
        return "training must keep a finite loss, got NaN; lower --learning_rate"
    return str(error) if isinstance(error, ValueError) else str(error).split("\n")[0]


if __name__ == "__main__":
    sys.exit(cli_main())

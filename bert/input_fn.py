"""TFRecord files to `tf.data` batches: shuffle over the whole set before repeating, seeded, resumable."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from bert import config as config_lib
from bert import datasets
from bert import features as features_lib
from bert import files
from bert import tokenization

InputFn = Callable[[Mapping[str, Any]], tf.data.Dataset]


def file_based_input_fn_builder(
    input_file: str | os.PathLike[str],
    seq_length: int,
    is_training: bool,
    drop_remainder: bool,
    *,
    batch_size: int | None = None,
    seed: int = 0,
    skip_examples: int = 0,
) -> InputFn:
    """Return an Estimator `input_fn(params)` over a TFRecord file.

    Training shuffles the whole file (not a buffer of it: label-sorted files train properly), anew in every epoch, and
    never ends; the order is a function of `seed` alone, so that `skip_examples` continues an interrupted run
    where it stood.

    Args:
      batch_size: examples in a batch; None takes `params["batch_size"]`, as google-research/bert does.
      skip_examples: training examples to leave out at the start, those that the resumed checkpoint has seen.

    Source: google-research/bert, run_classifier.file_based_input_fn_builder, which shuffles 100 at a time after
    repeating.
    """
    spec = features_lib.feature_spec(seq_length)

    def parse(record: tf.Tensor) -> dict[str, tf.Tensor]:
        example = tf.io.parse_single_example(record, spec)
        return {name: tf.cast(value, tf.int32) for name, value in example.items()}

    def input_fn(params: Mapping[str, Any]) -> tf.data.Dataset:
        size = batch_size if batch_size is not None else params["batch_size"]
        records = tf.data.TFRecordDataset(str(input_file))
        if is_training:
            count = features_lib.count_records(input_file)
            records = _shuffled_epochs(records, count, seed).skip(skip_examples)
        examples = records.map(parse, num_parallel_calls=tf.data.AUTOTUNE)
        return examples.batch(size, drop_remainder=drop_remainder).prefetch(tf.data.AUTOTUNE)

    return input_fn


def from_examples(
    examples: Sequence[datasets.InputExample],
    label_list: Sequence[str],
    seq_length: int,
    tokenizer: tokenization.FullTokenizer,
    record_file: files.Path,
    *,
    batch_size: int,
    truncation: config_lib.Truncation = "head",
    for_tpu: bool = False,
) -> InputFn:
    """Write examples to a TFRecord file and return an `input_fn` that reads it once, in order.

    Args:
      for_tpu: fill the last batch with padding examples, and let the TPUEstimator share a batch out among its cores.
    """
    padding = [datasets.PaddingInputExample()] * (-len(examples) % batch_size if for_tpu else 0)
    features_lib.file_based_convert_examples_to_features(
        [*examples, *padding], label_list, seq_length, tokenizer, record_file, truncation
    )
    return file_based_input_fn_builder(
        record_file, seq_length, False, for_tpu, batch_size=None if for_tpu else batch_size
    )


def input_fn_builder(
    features: Sequence[features_lib.InputFeatures],
    seq_length: int,
    is_training: bool,
    drop_remainder: bool,
    *,
    seed: int = 0,
) -> InputFn:
    """Return an Estimator `input_fn(params)` over padded examples in memory, for a few texts.

    Source: google-research/bert, run_classifier.input_fn_builder.
    """
    columns = features_lib.columns(features, seq_length)

    def input_fn(params: Mapping[str, Any]) -> tf.data.Dataset:
        examples = tf.data.Dataset.from_tensor_slices(columns)
        if is_training:
            examples = _shuffled_epochs(examples, len(features), seed)
        return examples.batch(params["batch_size"], drop_remainder=drop_remainder)

    return input_fn


def _shuffled_epochs(examples: tf.data.Dataset, count: int, seed: int) -> tf.data.Dataset:
    return examples.shuffle(count, seed=seed, reshuffle_each_iteration=True).repeat()

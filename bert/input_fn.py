"""TFRecord files to `tf.data` batches: shuffle over the whole set before repeating, seeded, resumable."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from bert import config as config_lib
from bert import datasets
from bert import distribution
from bert import features as features_lib
from bert import files
from bert import tokenization

InputFn = Callable[[Mapping[str, Any]], tf.data.Dataset]
_Indices = npt.NDArray[np.int64]

_POOL_BATCHES = 64  # sorted by length at once: enough that a batch's lengths differ little
_WIDTH_STEP = 8  # widths are its multiples, so that there are few of them and vectors fill


def file_based_input_fn_builder(
    input_file: str | os.PathLike[str],
    seq_length: int,
    is_training: bool,
    drop_remainder: bool,
    *,
    batch_size: int | None = None,
    seed: int = 0,
    skip_examples: int = 0,
    pads_to_longest: bool = False,
    bucket_by_length: bool = False,
) -> InputFn:
    """Return an Estimator `input_fn(params)` over a TFRecord file.

    Training shuffles the whole file (not a buffer of it: label-sorted files train properly), anew in every epoch, and
    never ends; the order is a function of `seed` alone, so that `skip_examples` continues an interrupted run
    where it stood.

    Under a tf.distribute strategy the batch is that of all replicas together: each reads its share of it, so that a
    step reads what it does on one device.

    Args:
      batch_size: examples in a batch; None takes `params["batch_size"]`, as google-research/bert does.
      skip_examples: training examples to leave out at the start, those that the resumed checkpoint has seen.
      pads_to_longest: give batches the width of their longest example, rounded up to a multiple of 8. Not for TPUs,
        which need one shape.
      bucket_by_length: in training, put examples of like length together (see `epoch_order`), in whole batches.

    Source: google-research/bert, run_classifier.file_based_input_fn_builder, which shuffles 100 at a time after
    repeating.
    """
    spec = features_lib.feature_spec(seq_length)

    def parse(records: tf.Tensor) -> dict[str, tf.Tensor]:
        columns = tf.io.parse_example(records, spec)
        batch = {name: tf.cast(values, tf.int32) for name, values in columns.items()}
        return _trim(batch, seq_length) if pads_to_longest else batch

    def input_fn(
        params: Mapping[str, Any], input_context: tf.distribute.InputContext | None = None
    ) -> tf.data.Dataset:
        size = batch_size if batch_size is not None else params["batch_size"]
        if is_training and bucket_by_length:
            batches = _batches_of_like_length(input_file, size, seed, skip_examples)
        else:
            records = tf.data.TFRecordDataset(str(input_file))
            if is_training:
                count = features_lib.count_records(input_file)
                records = _shuffled_epochs(records, count, seed).skip(skip_examples)
            batches = records.batch(size, drop_remainder=drop_remainder)
        if input_context:
            batches = distribution.split(batches, distribution.share_of(input_context))
        return batches.map(parse, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    return input_fn


def epoch_order(
    lengths: npt.NDArray[np.integer[Any]], batch_size: int, seed: int, epoch: int
) -> _Indices:
    """Return in which order an epoch takes its examples, each once, so that a batch's are of like length.

    The epoch is shuffled, pools of 64 batches are sorted by length and cut into batches, and the batches of all pools
    are shuffled. Epochs follow each other without a gap: the examples that fill up the last batch of the epoch before,
    and those that begin the first batch of the next, are of any length. Which examples meet in a batch thus depends on
    their lengths; how often each is seen does not.

    Source: Khomenko et al. 2016, Accelerating recurrent neural network training using sequence bucketing.
    """
    count, rng = len(lengths), np.random.default_rng((seed, epoch))
    order = rng.permutation(count)
    start = min(count, -epoch * count % batch_size)
    end = count - (count - start) % batch_size
    pools = np.split(
        order[start:end], range(batch_size * _POOL_BATCHES, end - start, batch_size * _POOL_BATCHES)
    )
    by_length = [pool[np.argsort(lengths[pool], kind="stable")] for pool in pools]
    batches = rng.permutation(np.concatenate(by_length).reshape(-1, batch_size))
    return np.concatenate([order[:start], batches.ravel(), order[end:]])


def _batches_of_like_length(
    input_file: str | os.PathLike[str], batch_size: int, seed: int, skip_examples: int
) -> tf.data.Dataset:
    """Return endless batches of serialised examples; all of the file is held in memory, as a shuffle of it would."""
    records = np.array(list(tf.compat.v1.io.tf_record_iterator(str(input_file))), object)
    lengths = np.array([_length(record) for record in records])

    def batches() -> Iterator[npt.NDArray[np.object_]]:
        epoch, seen = divmod(skip_examples, len(records))
        ahead = epoch_order(lengths, batch_size, seed, epoch)[seen:]
        while True:
            while len(ahead) < batch_size:
                epoch += 1
                ahead = np.append(ahead, epoch_order(lengths, batch_size, seed, epoch))
            yield records[ahead[:batch_size]]
            ahead = ahead[batch_size:]

    return tf.data.Dataset.from_generator(
        batches, output_signature=tf.TensorSpec([batch_size], tf.string)
    )


def _length(record: bytes) -> int:
    """Return how many tokens of a serialised example are real."""
    example = tf.train.Example.FromString(record)
    return sum(example.features.feature["input_mask"].int64_list.value)


def _trim(batch: Mapping[str, tf.Tensor], seq_length: int) -> dict[str, tf.Tensor]:
    """Cut off the columns that are padding in every row, but for those up to the next multiple of `_WIDTH_STEP`."""
    longest = tf.reduce_max(batch["input_mask"] * tf.range(1, seq_length + 1))
    # may be beyond seq_length, where the slice ends
    width = tf.maximum(-(-longest // _WIDTH_STEP), 1) * _WIDTH_STEP
    return {
        name: values[:, :width] if values.shape.rank == 2 else values
        for name, values in batch.items()
    }


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
        record_file,
        seq_length,
        False,
        for_tpu,
        batch_size=None if for_tpu else batch_size,
        pads_to_longest=not for_tpu,
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

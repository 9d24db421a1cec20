"""Texts to the integers that BERT reads, and their TFRecord form.

The one place that knows [CLS] A [SEP] B [SEP], padding and the names of the features.
Leaves to others: pieces and spans (`tokenization`), what of them fits (`truncation`), batches (`input_fn`).
"""

import functools
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from bert import config as config_lib
from bert import datasets
from bert import files
from bert import shapes
from bert import tokenization
from bert import truncation as truncation_lib


class Features(NamedTuple):
    """One batch as the model sees it; the fields but the last two are the names in TFRecords and Estimator features.

    Attributes:
      input_mask: 1 = real token, 0 = padding.
      segment_ids: 0 for the first text and its marks, 1 for the second.
      label_ids: class index; None when predicting without labels.
      is_real_example: 0 for the padding examples that fill a last batch; None means all are real.
      target: class to explain; -1, or None for all, means the predicted one.
      contrast: class whose score is taken off that of `target`; -1, or None for all, means none.
    """

    input_ids: shapes.TokenIds
    input_mask: shapes.TokenMask
    segment_ids: shapes.TokenIds
    label_ids: shapes.Labels | None = None
    is_real_example: shapes.Labels | None = None
    target: shapes.Labels | None = None
    contrast: shapes.Labels | None = None

    @classmethod
    def from_dict(cls, features: Mapping[str, tf.Tensor]) -> "Features":
        """Pick the model's features out of an Estimator's dict; other keys are left alone."""
        return cls(**{name: features[name] for name in cls._fields if name in features})

    def map(self, change: Callable[[tf.Tensor], tf.Tensor]) -> "Features":
        """Return the same features, each tensor that is there changed."""
        return Features(*(None if values is None else change(values) for values in self))


_IN_RECORDS = ("input_ids", "input_mask", "segment_ids", "label_ids", "is_real_example")


def part_of(batch: Features, index: tf.Tensor | int, parts: int) -> Features:
    """Return one of `parts` equally large parts of a batch.

    Raises:
      ValueError, tf.errors.InvalidArgumentError: the batch's size is no multiple of `parts`, so that examples would be
        lost; at once where the size is known, else in the step.
    """
    if parts == 1:
        return batch
    whole = tf.shape(batch.input_ids)[0]
    message = f"a batch must have a multiple of gradient_accumulation_steps={parts} examples"
    with tf.control_dependencies([tf.debugging.assert_equal(whole % parts, 0, message)]):
        size = whole // parts

    return batch.map(lambda values: values[index * size : (index + 1) * size])


class SpecialIds(NamedTuple):
    """Where the special tokens stand in a vocabulary; `mask` is None where it has no [MASK]."""

    pad: int
    cls: int
    sep: int
    mask: int | None

    @classmethod
    def of(cls, vocab: Mapping[str, int]) -> "SpecialIds":
        """Look them up in a vocabulary, token to identifier."""
        pad, first, end = (
            vocab[token] for token in (tokenization.PAD, tokenization.CLS, tokenization.SEP)
        )
        return cls(pad, first, end, vocab.get(tokenization.MASK))

    def known_mask(self) -> int:
        """Return the identifier of [MASK].

        Raises:
          ValueError: the vocabulary has none.
        """
        if self.mask is None:
            raise ValueError(
                "the vocabulary must hold [MASK] to put it in a token's place; choose 'pad' instead"
            )
        return self.mask


class Encoding(NamedTuple):
    """One example as tokens and integers, not padded.

    Attributes:
      tokens: pieces with their character spans; [CLS] and [SEP] included.
      input_ids: vocabulary line of each token.
      segment_ids: 0 or 1 of each token.
      truncated: tokens of text_a and text_b that did not fit and were cut.
    """

    tokens: Sequence[tokenization.Token]
    input_ids: tuple[int, ...]
    segment_ids: tuple[int, ...]
    truncated: tuple[int, int] = (0, 0)


def feature_spec(max_seq_length: int) -> dict[str, tf.io.FixedLenFeature]:
    """Return how a TFRecord of examples padded to `max_seq_length` is parsed."""
    per_token = tf.io.FixedLenFeature([max_seq_length], tf.int64)
    per_example = tf.io.FixedLenFeature([], tf.int64)
    token_fields = ("input_ids", "input_mask", "segment_ids")
    return {name: per_token if name in token_fields else per_example for name in _IN_RECORDS}


def encode(
    tokenizer: tokenization.FullTokenizer,
    text_a: str,
    text_b: str | None,
    max_seq_length: int,
    truncation: config_lib.Truncation = "head",
) -> Encoding:
    """Turn one text, or a pair, into [CLS] A [SEP] or [CLS] A [SEP] B [SEP] of at most `max_seq_length` tokens."""
    return encode_batch(tokenizer, [(text_a, text_b)], max_seq_length, truncation)[0]


def encode_batch(
    tokenizer: tokenization.FullTokenizer,
    pairs: Iterable[tuple[str, str | None]],
    max_seq_length: int,
    truncation: config_lib.Truncation = "head",
) -> list[Encoding]:
    """Do for each text, or pair, what `encode` does for one, in less time."""
    texts = [[text for text in pair if text is not None] for pair in pairs]
    found = iter(tokenizer.find_pieces(itertools.chain.from_iterable(texts)))
    of_pairs = (list(itertools.islice(found, len(pair))) for pair in texts)
    return [_frame(tokenizer, pieces, max_seq_length, truncation) for pieces in of_pairs]


def _frame(
    tokenizer: tokenization.FullTokenizer,
    sentences: Sequence[tokenization.Pieces],
    max_seq_length: int,
    truncation: config_lib.Truncation,
) -> Encoding:
    """Cut one text or two to what fits, and set the special tokens around them."""
    lengths = [len(pieces.ids) for pieces in sentences]
    room = max_seq_length - 1 - len(sentences)
    kept = truncation_lib.kept_lengths(lengths[0], sum(lengths[1:]), room)
    both = zip(sentences, kept, strict=False)  # a single text has no second length
    read = [truncation_lib.kept_pieces(*of_text, truncation) for of_text in both]
    special = SpecialIds.of(tokenizer.vocab)
    input_ids, segment_ids = [special.cls], [0]
    for sentence, pieces in enumerate(read):
        input_ids += [*pieces.ids.tolist(), special.sep]
        segment_ids += [sentence] * (len(pieces.ids) + 1)
    return Encoding(
        tokens=tokenization.Tokens(len(input_ids), functools.partial(_tokens, tokenizer, read)),
        input_ids=tuple(input_ids),
        segment_ids=tuple(segment_ids),
        truncated=(lengths[0] - kept[0], sum(lengths[1:]) - kept[1]),
    )


def _tokens(
    tokenizer: tokenization.FullTokenizer, sentences: Iterable[tokenization.Pieces]
) -> Iterator[tokenization.Token]:
    yield tokenization.Token(tokenization.CLS, 0, 0, 0, is_special=True)
    for sentence, pieces in enumerate(sentences):
        yield from tokenizer.to_tokens(pieces, sentence)
        end = int(pieces.ends[-1]) if len(pieces.ends) else 0
        yield tokenization.Token(tokenization.SEP, end, end, sentence, is_special=True)


def encode_example(
    tokenizer: tokenization.FullTokenizer,
    example: datasets.InputExample,
    max_seq_length: int,
    truncation: config_lib.Truncation = "head",
) -> Encoding:
    """Encode an example's text or pair of texts."""
    return encode(tokenizer, example.text_a, example.text_b, max_seq_length, truncation)


def label_index(example: datasets.InputExample, label_list: Sequence[str]) -> int:
    """Return the class of an example's label.

    Raises:
      ValueError: the label is not one of `label_list`; the message names the example.
    """
    if example.label not in label_list:
        legal = ", ".join(repr(label) for label in label_list)
        raise ValueError(
            f"label of example {example.guid!r} must be one of {legal}; got {example.label!r}; correct the row "
            "or the processor's get_labels"
        )
    return label_list.index(example.label)


class InputFeatures(NamedTuple):
    """One padded example under google-research/bert's names; every list is `max_seq_length` long."""

    input_ids: list[int]
    input_mask: list[int]
    segment_ids: list[int]
    label_id: int
    is_real_example: bool = True


def pad_encoding(encoding: Encoding, max_seq_length: int, label_id: int = 0) -> InputFeatures:
    """Append zeros, the identifier of [PAD] and the mask of padding, up to `max_seq_length`."""
    zeros = [0] * (max_seq_length - len(encoding.input_ids))
    return InputFeatures(
        input_ids=[*encoding.input_ids, *zeros],
        input_mask=[1] * len(encoding.input_ids) + zeros,
        segment_ids=[*encoding.segment_ids, *zeros],
        label_id=label_id,
    )


def convert_single_example(
    ex_index: int,
    example: datasets.InputExample | datasets.PaddingInputExample,
    label_list: Sequence[str],
    max_seq_length: int,
    tokenizer: tokenization.FullTokenizer,
    truncation: config_lib.Truncation = "head",
) -> InputFeatures:
    """Encode and pad one example; a `PaddingInputExample` becomes zeros marked as not real.

    Source: google-research/bert, run_classifier.convert_single_example; `ex_index` keeps its place.
    """
    del ex_index
    if isinstance(example, datasets.PaddingInputExample):
        zeros = [0] * max_seq_length
        return InputFeatures(zeros, zeros, zeros, 0, is_real_example=False)
    label = label_index(example, label_list)
    encoding = encode_example(tokenizer, example, max_seq_length, truncation)
    return pad_encoding(encoding, max_seq_length, label)


def convert_examples_to_features(
    examples: Iterable[datasets.InputExample | datasets.PaddingInputExample],
    label_list: Sequence[str],
    max_seq_length: int,
    tokenizer: tokenization.FullTokenizer,
) -> list[InputFeatures]:
    """Encode and pad examples in memory.

    Source: google-research/bert, run_classifier.convert_examples_to_features.
    """
    return [
        convert_single_example(index, example, label_list, max_seq_length, tokenizer)
        for index, example in enumerate(examples)
    ]


def columns(
    examples: Sequence[InputFeatures], max_seq_length: int
) -> dict[str, npt.NDArray[np.int32]]:
    """Return padded examples as one array a feature: int32[n, t], and int32[n] for what an example has once.

    Raises:
      ValueError: there are no examples, or they were padded to another length.
    """
    if not examples or len(examples[0].input_ids) != max_seq_length:
        got = f"{len(examples[0].input_ids)}" if examples else "no examples"
        raise ValueError(f"examples must be padded to {max_seq_length} tokens, got {got}")
    values = (np.array(column, np.int32) for column in zip(*examples, strict=True))
    return dict(zip(_IN_RECORDS, values, strict=True))


def batch_arrays(encodings: Sequence[Encoding], width: int) -> dict[str, npt.NDArray[np.int32]]:
    """Return encodings padded to `width` as int32[n, width]: `columns` for what comes in no file.

    Raises:
      ValueError: an encoding is longer.
    """
    lengths = [len(encoding.input_ids) for encoding in encodings]
    if (longest := max(lengths, default=0)) > width:
        raise ValueError(f"encodings must have at most {width} tokens, got {longest}; cut them")
    is_token = np.arange(width) < np.array(lengths, np.int32)[:, np.newaxis]

    def filled(rows: Iterable[Iterable[int]]) -> npt.NDArray[np.int32]:
        array = np.zeros(is_token.shape, np.int32)
        array[is_token] = np.fromiter(itertools.chain.from_iterable(rows), np.int32)
        return array

    return {
        "input_ids": filled(encoding.input_ids for encoding in encodings),
        "input_mask": is_token.astype(np.int32),
        "segment_ids": filled(encoding.segment_ids for encoding in encodings),
    }


def serialize(features: InputFeatures) -> bytes:
    """Return the `tf.train.Example` of a padded example, in the release's names and int64 lists."""

    def int64_list(values: Iterable[int]) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    fields = (
        features.input_ids,
        features.input_mask,
        features.segment_ids,
        [features.label_id],
        [int(features.is_real_example)],
    )
    feature = dict(zip(_IN_RECORDS, map(int64_list, fields), strict=True))
    return bytes(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


def file_based_convert_examples_to_features(
    examples: Iterable[datasets.InputExample | datasets.PaddingInputExample],
    label_list: Sequence[str],
    max_seq_length: int,
    tokenizer: tokenization.FullTokenizer,
    output_file: str | os.PathLike[str],
    truncation: config_lib.Truncation = "head",
) -> int:
    """Write examples to a TFRecord file and return their number; the file appears only when it is whole.

    Source: google-research/bert, run_classifier.file_based_convert_examples_to_features.
    """
    count = 0
    with files.draft(output_file) as path, tf.io.TFRecordWriter(str(path)) as writer:
        for index, example in enumerate(examples):
            padded = convert_single_example(
                index, example, label_list, max_seq_length, tokenizer, truncation
            )
            writer.write(serialize(padded))
            count += 1
    return count


def count_records(record_file: str | os.PathLike[str]) -> int:
    """Return the number of examples in a TFRecord file."""
    return sum(1 for _ in tf.compat.v1.io.tf_record_iterator(str(record_file)))

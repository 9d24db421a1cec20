"""What the input functions add to a file of records: batches, their last one, padding for a TPU."""

import numpy as np
import pytest
import tensorflow as tf

from bert import datasets
from bert import features
from bert import input_fn
from bert import tokenization

LENGTH = 6


@pytest.fixture
def tokenizer(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\nc\nd\ne\n")
    return tokenization.FullTokenizer(path)


@pytest.fixture
def examples():
    """Five texts, each of the one word that tells it from the others."""
    return [datasets.InputExample(f"x-{word}", word, None, "0") for word in "abcde"]


def words(batches):
    """Return the id behind [CLS] of every example, batch by batch."""
    return [batch["input_ids"][:, 1].tolist() for batch in batches.as_numpy_iterator()]


@pytest.fixture
def made(tokenizer, examples, tmp_path):
    def make(**options):
        file = tmp_path / "five.tf_record"
        return input_fn.from_examples(examples, ["0"], LENGTH, tokenizer, file, **options)

    return make


def test_examples_come_in_order_and_the_last_batch_is_short(made):
    assert words(made(batch_size=3)({"batch_size": 2})) == [[4, 5, 6], [7, 8]]


def test_a_tpu_gets_full_batches_of_its_own_size_filled_up_with_padding(made):
    build = made(batch_size=4, for_tpu=True)  # 5 examples and 3 of padding
    assert words(build({"batch_size": 2})) == [[4, 5], [6, 7], [8, 0], [0, 0]]  # two cores
    real = [batch["is_real_example"] for batch in build({"batch_size": 4}).as_numpy_iterator()]
    np.testing.assert_array_equal(real, [[1, 1, 1, 1], [1, 0, 0, 0]])
    (whole,) = build({"batch_size": 8})
    assert whole["input_ids"].shape == (8, LENGTH)
    # XLA compiles for known shapes
    assert build({"batch_size": 4}).element_spec["input_ids"].shape == (4, LENGTH)


def test_a_long_text_is_cut_where_it_is_told(tokenizer, tmp_path):
    long = [datasets.InputExample("x", "a a a b c d e", None, "0")]
    for truncation, second in {"head": 4, "tail": 5}.items():
        build = input_fn.from_examples(
            long, ["0"], LENGTH, tokenizer, tmp_path / "x", batch_size=1, truncation=truncation
        )
        assert words(build({})) == [[second]]


@pytest.fixture
def builders(tokenizer, examples, tmp_path):
    """Training from a file and from memory, with or without the last short batch."""
    file = tmp_path / "five.tf_record"
    features.file_based_convert_examples_to_features(examples, ["0"], LENGTH, tokenizer, file)
    rows = features.convert_examples_to_features(examples, ["0"], LENGTH, tokenizer)

    def make(source, is_training, drop_remainder, **options):
        if source == "file":
            return input_fn.file_based_input_fn_builder(
                file, LENGTH, is_training, drop_remainder, **options
            )
        return input_fn.input_fn_builder(rows, LENGTH, is_training, drop_remainder, **options)

    return make


@pytest.mark.parametrize("source", ["file", "memory"])
def test_the_last_short_batch_is_dropped_where_it_is_told(builders, source):
    assert words(builders(source, False, True)({"batch_size": 2})) == [[4, 5], [6, 7]]
    assert words(builders(source, False, False)({"batch_size": 2})) == [[4, 5], [6, 7], [8]]


@pytest.mark.parametrize("source", ["file", "memory"])
def test_training_shuffles_by_its_seed_and_never_ends(builders, source):
    def epochs(seed):
        drawn = builders(source, True, True, seed=seed)({"batch_size": 5}).take(4)
        return words(drawn)

    first = epochs(3)
    assert [sorted(epoch) for epoch in first] == [[4, 5, 6, 7, 8]] * 4
    assert len(set(map(tuple, first))) > 1
    assert epochs(3) == first
    assert epochs(4) != first


def lengths_in_fours():
    """Forty lengths of which each occurs four times: batches of four may have nothing to pad."""
    return np.repeat(np.arange(10), 4)


@pytest.mark.parametrize(("count", "batch_size"), [(40, 4), (41, 4), (3, 4), (10, 3)])
def test_every_epoch_takes_each_example_once_whatever_its_length(count, batch_size):
    lengths = np.random.default_rng(2).integers(3, 9, count)
    for epoch in range(5):
        order = input_fn.epoch_order(lengths, batch_size, 7, epoch)
        assert sorted(order) == list(range(count))


def test_a_pools_batches_are_cut_from_its_examples_in_the_order_of_their_lengths():
    lengths = lengths_in_fours()
    batches = lengths[input_fn.epoch_order(lengths, 4, 7, 0)].reshape(-1, 4)
    assert (batches == batches[:, :1]).all()
    assert (np.diff(batches[:, 0]) < 0).any()  # but the batches come in any order
    assert (np.diff(batches[:, 0]) > 0).any()


def test_an_example_meets_others_of_its_length_in_the_next_epoch():
    lengths = np.tile([5, 8], 40)
    first, second = (
        {frozenset(batch) for batch in input_fn.epoch_order(lengths, 4, 7, epoch).reshape(-1, 4)}
        for epoch in (0, 1)
    )
    assert len(first & second) < 5


def test_lengths_are_sorted_in_pools_only_so_that_an_epoch_does_not_have_the_same_batches_always():
    lengths = np.arange(4 * 64 * 2)  # two pools of 64 batches
    batches = lengths[input_fn.epoch_order(lengths, 4, 7, 0)].reshape(-1, 4)
    spread = batches.max(axis=1) - batches.min(axis=1)
    assert (spread > 3).mean() > 0.5  # one sorted whole: 3 in every batch
    assert spread.mean() < 12  # a sorted half: about 6; four of 512 by chance: 307


def test_batches_stay_whole_in_epochs_that_begin_in_the_middle_of_one():
    lengths = np.r_[lengths_in_fours(), 4, 4]  # 42: epoch 1 begins with the last two of a batch
    order = input_fn.epoch_order(lengths, 4, 7, 1)
    assert len(order) == 42
    batches = lengths[order[2:]].reshape(-1, 4)  # ten whole batches, in the stream's own places
    assert np.ptp(batches, axis=1).mean() < 1.5  # of a shuffle cut in fours: about 6


@pytest.fixture
def uneven(tokenizer, tmp_path):
    """Records of 3 to 20 real tokens, seven of each: what tells an example is its label."""
    file = tmp_path / "uneven.tf_record"
    words = list(range(1, 19)) * 7
    examples = [
        datasets.InputExample(f"x-{index}", " ".join("a" * count), None, str(index))
        for index, count in enumerate(words)
    ]
    labels = [str(index) for index in range(len(words))]
    features.file_based_convert_examples_to_features(examples, labels, 20, tokenizer, file)

    def make(is_training=True, **options):
        build = input_fn.file_based_input_fn_builder(
            file,
            20,
            is_training,
            False,
            batch_size=8,
            pads_to_longest=True,
            bucket_by_length=True,
            **options,
        )
        return build({}).as_numpy_iterator()

    return make


def test_a_batch_is_as_wide_as_its_longest_example_to_the_next_multiple_of_eight(uneven):
    batches = [next(batches) for batches in [uneven()] for _ in range(40)]
    widths = [batch["input_ids"].shape[1] for batch in batches]
    longest = [batch["input_mask"].sum(axis=1).max() for batch in batches]
    assert widths == [min(20, -(-int(length) // 8) * 8) for length in longest]
    assert set(widths) == {8, 16, 20}
    for name in ("input_ids", "input_mask", "segment_ids"):
        assert [batch[name].shape for batch in batches] == [(8, width) for width in widths]
    assert {batch["label_ids"].shape for batch in batches} == {(8,)}


def test_evaluation_keeps_its_order_and_only_trims(uneven):
    batches = list(uneven(is_training=False))
    assert [len(batch["label_ids"]) for batch in batches] == [8] * 15 + [6]
    labels = np.concatenate([batch["label_ids"] for batch in batches])
    np.testing.assert_array_equal(labels, np.arange(126))
    assert batches[0]["input_ids"].shape == (8, 16)  # 3 to 10 tokens
    assert batches[1]["input_ids"].shape == (8, 20)  # 11 to 18


def test_the_next_run_takes_up_the_stream_where_the_last_one_stood(uneven):
    """126 examples in batches of 8: the second epoch begins inside a batch."""
    stream = uneven(seed=5)
    whole = [next(stream)["label_ids"].tolist() for _ in range(40)]
    for steps in (0, 1, 15, 16, 33):
        resumed = uneven(seed=5, skip_examples=8 * steps)
        assert [next(resumed)["label_ids"].tolist() for _ in range(5)] == whole[steps : steps + 5]
    seen = np.array(whole).ravel()
    assert sorted(seen[:126]) == sorted(seen[126:252]) == list(range(126))
    other = uneven(seed=6)
    assert next(other)["label_ids"].tolist() != whole[0]


def test_a_batch_of_padding_alone_has_a_width(tmp_path):
    file = tmp_path / "padding.tf_record"
    nothing = features.InputFeatures([0] * 20, [0] * 20, [0] * 20, 0, is_real_example=False)
    with tf.io.TFRecordWriter(str(file)) as writer:
        writer.write(features.serialize(nothing))
    build = input_fn.file_based_input_fn_builder(
        file, 20, False, False, batch_size=2, pads_to_longest=True
    )
    (batch,) = build({}).as_numpy_iterator()
    assert batch["input_ids"].shape == (1, 8)

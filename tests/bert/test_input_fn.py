"""What the input functions add to a file of records: batches, their last one, padding for a TPU."""

import numpy as np
import pytest

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

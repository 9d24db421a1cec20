import pickle

import numpy as np
import pytest
import tensorflow as tf

from bert import datasets
from bert import features
from bert import input_fn as input_fn_lib
from bert import tokenization

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "good", "##ness", ","]


@pytest.fixture
def tokenizer(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(WORDS) + "\n")
    return tokenization.FullTokenizer(path)


def test_a_single_text_stands_between_cls_and_sep(tokenizer):
    encoding = features.encode(tokenizer, "Goodness, a!", None, 10)
    texts = [token.text for token in encoding.tokens]
    assert texts == ["[CLS]", "good", "##ness", ",", "a", "[UNK]", "[SEP]"]
    assert encoding.input_ids == (2, 8, 9, 10, 5, 1, 3)
    assert encoding.segment_ids == (0,) * 7
    assert encoding.truncated == (0, 0)


def test_tokens_keep_the_spans_of_the_raw_text(tokenizer):
    text = " Goodness,  A"
    encoding = features.encode(tokenizer, text, None, 10)
    spans = [text[token.start : token.end] for token in encoding.tokens if not token.is_special]
    assert spans == ["Good", "ness", ",", "A"]


def test_a_pair_gets_segments_zero_and_one_and_its_own_spans(tokenizer):
    encoding = features.encode(tokenizer, "a b", "c", 10)
    assert [token.text for token in encoding.tokens] == ["[CLS]", "a", "b", "[SEP]", "c", "[SEP]"]
    assert encoding.segment_ids == (0, 0, 0, 0, 1, 1)
    assert encoding.tokens[4][1:4] == (0, 1, 1)


def test_a_typed_sep_is_text_and_not_the_special_token(tokenizer):
    encoding = features.encode(tokenizer, "a [SEP] b", None, 20)
    assert encoding.input_ids.count(3) == 1
    assert [token.is_special for token in encoding.tokens].count(True) == 2


def test_the_longer_text_of_a_pair_is_cut_first(tokenizer):
    encoding = features.encode(tokenizer, "a a a a a", "b b", 8)
    assert [t.text for t in encoding.tokens] == ["[CLS]", "a", "a", "a", "[SEP]", "b", "b", "[SEP]"]
    assert encoding.truncated == (2, 0)


def test_a_long_text_is_cut_to_the_limit_and_says_how_much(tokenizer):
    encoding = features.encode(tokenizer, "a " * 50, None, 8)
    assert len(encoding.tokens) == 8
    assert encoding.tokens[-1].text == "[SEP]"
    assert encoding.truncated == (44, 0)


@pytest.mark.parametrize(
    ("truncation", "kept"),
    [("head", "abcdefgh"), ("tail", "efghijkl"), ("head_tail", "abghijkl")],
)
def test_truncation_says_which_part_of_a_long_text_is_read(tokenizer, truncation, kept):
    # 8 of 12 letters fit beside [CLS] and [SEP]; a quarter of 8 is 2
    text = " ".join("abcdefghijkl")
    encoding = features.encode(tokenizer, text, None, 10, truncation)
    assert "".join(text[token.start : token.end] for token in encoding.tokens) == kept
    assert encoding.truncated == (4, 0)
    assert features.encode(tokenizer, "a b", None, 10, truncation).truncated == (0, 0)


def test_a_batch_of_texts_and_pairs_is_encoded_as_each_alone(tokenizer):
    # more than are read at once; an empty text, accents that spans take in, one that is cut
    pairs = [("Goodness, a!", None), ("", "a b"), ("b\u0301 c", "\u0301 a"), ("a " * 50, "c")] * 20
    found = features.encode_batch(tokenizer, pairs, 9, "head_tail")
    assert found == [features.encode(tokenizer, *pair, 9, "head_tail") for pair in pairs]
    assert found[2].tokens[1] == tokenization.Token("b", 0, 2)
    assert [(t.text, t.start, t.end, t.sentence) for t in found[77].tokens] == [
        *[("[CLS]", 0, 0, 0), ("[SEP]", 0, 0, 0)],
        *[("a", 0, 1, 1), ("b", 2, 3, 1), ("[SEP]", 3, 3, 1)],
    ]
    assert features.encode_batch(tokenizer, [], 9) == []


def test_the_number_of_tokens_is_that_of_the_ids(tokenizer):
    encoding = features.encode(tokenizer, "a goodness b", "c", 7)
    assert len(encoding.tokens) == len(tuple(encoding.tokens)) == len(encoding.input_ids) == 7


def test_tokens_are_a_tuple_to_whoever_looks(tokenizer):
    tokens = features.encode(tokenizer, "a b", None, 9).tokens
    made = tuple(tokens)
    assert tokens == made == tokens
    assert tokens != made[1:]
    assert (tokens[1], tokens[1:3], tokens[-1]) == (made[1], made[1:3], made[-1])
    assert pickle.loads(pickle.dumps(tokens)) == made
    assert (hash(tokens), repr(tokens)) == (hash(made), repr(made))


def test_batch_arrays_hold_what_padded_columns_hold(tokenizer):
    pairs = [("a goodness b", "c"), ("a", None), ("", None)]
    encodings = features.encode_batch(tokenizer, pairs, 9)
    arrays = features.batch_arrays(encodings, 11)
    columns = features.columns([features.pad_encoding(e, 11) for e in encodings], 11)
    assert list(arrays) == ["input_ids", "input_mask", "segment_ids"]
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, columns[name])
        assert (array.shape, array.dtype) == ((3, 11), np.int32)


def test_batch_arrays_refuse_what_is_too_long(tokenizer):
    encodings = features.encode_batch(tokenizer, [("a", None), ("a b c", None)], 9)
    with pytest.raises(ValueError, match=r"at most 4 tokens, got 5; cut them"):
        features.batch_arrays(encodings, 4)


def test_both_texts_of_a_pair_are_cut_by_the_same_rule(tokenizer):
    texts = ("a b c d e", "f g h i j k")
    encoding = features.encode(tokenizer, *texts, 9, "tail")  # room for 3 of each
    read = [texts[t.sentence][t.start : t.end] for t in encoding.tokens if not t.is_special]
    assert read == ["c", "d", "e", "i", "j", "k"]


def test_examples_in_memory_are_converted_as_those_of_a_file(tokenizer):
    examples = [datasets.InputExample("x-1", "a b", None, "yes"), datasets.PaddingInputExample()]
    first, padding = features.convert_examples_to_features(examples, ["no", "yes"], 6, tokenizer)
    assert (first.input_mask, first.label_id) == ([1, 1, 1, 1, 0, 0], 1)
    assert (padding.input_mask, padding.is_real_example) == ([0] * 6, False)


def test_records_hold_the_release_names_as_int64_lists(tokenizer, tmp_path):
    examples = [datasets.InputExample("x-1", "a b", None, "yes"), datasets.PaddingInputExample()]
    path = tmp_path / "x.tf_record"
    count = features.file_based_convert_examples_to_features(
        examples, ["no", "yes"], 6, tokenizer, path
    )
    assert count == features.count_records(path) == 2
    records = [tf.train.Example.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(path))]
    columns = [
        {name: list(feature.int64_list.value) for name, feature in r.features.feature.items()}
        for r in records
    ]
    assert columns[0] == {
        "input_ids": [2, 5, 6, 3, 0, 0],
        "input_mask": [1, 1, 1, 1, 0, 0],
        "segment_ids": [0] * 6,
        "label_ids": [1],
        "is_real_example": [1],
    }
    assert columns[1]["is_real_example"] == [0]
    assert columns[1]["input_mask"] == [0] * 6


def test_an_unknown_label_names_the_example_and_leaves_no_file(tokenizer, tmp_path):
    path = tmp_path / "x.tf_record"
    example = datasets.InputExample("train-7", "a", None, "maybe")
    with pytest.raises(
        ValueError, match=r"label of example 'train-7' must be one of 'no', 'yes'; got 'maybe'"
    ):
        features.file_based_convert_examples_to_features(
            [example], ["no", "yes"], 6, tokenizer, path
        )
    assert list(tmp_path.glob("*tf_record*")) == []
    assert list(tmp_path.glob(".*")) == []


@pytest.fixture
def sorted_records(tokenizer, tmp_path):
    """1000 examples, the first half of one class, the second of the other; the length tells them apart."""
    path = tmp_path / "sorted.tf_record"
    examples = [
        datasets.InputExample(f"x-{i}", " ".join(["a"] * (i % 40)), None, str(int(i >= 500)))
        for i in range(1000)
    ]
    features.file_based_convert_examples_to_features(examples, ["0", "1"], 48, tokenizer, path)
    return path


def training_batches(path, seed, count, skip_examples=0):
    with tf.Graph().as_default():
        tf.compat.v1.set_random_seed(seed)  # as the Estimator does
        build = input_fn_lib.file_based_input_fn_builder(
            path, 48, is_training=True, drop_remainder=True, seed=seed, skip_examples=skip_examples
        )
        batch = tf.compat.v1.data.make_one_shot_iterator(build({"batch_size": 32})).get_next()
        with tf.compat.v1.Session() as session:
            return [session.run(batch) for _ in range(count)]


def test_a_label_sorted_file_is_shuffled_whole(sorted_records):
    for batch in training_batches(sorted_records, seed=1, count=5):
        assert set(batch["label_ids"]) == {0, 1}
        assert (
            4 <= batch["label_ids"].sum() <= 28
        )  # 32 fair draws: beyond four standard deviations otherwise


def test_the_seed_alone_decides_the_order(sorted_records):
    def order(seed):
        batches = training_batches(sorted_records, seed, 3)
        return np.concatenate([batch["input_mask"].sum(axis=1) for batch in batches])

    np.testing.assert_array_equal(order(1), order(1))
    assert (order(1) != order(2)).any()


def test_an_epoch_sees_every_example_once_and_the_next_in_another_order(sorted_records):
    batches = training_batches(sorted_records, seed=3, count=63)  # 31.25 batches an epoch
    labels = np.concatenate([batch["label_ids"] for batch in batches])
    assert labels[:1000].sum() == 500
    assert labels[1000:2000].sum() == 500
    assert (labels[:1000] != labels[1000:2000]).any()


def test_a_resumed_run_goes_on_where_it_stopped(sorted_records):
    whole = training_batches(sorted_records, seed=4, count=40)
    resumed = training_batches(sorted_records, seed=4, count=5, skip_examples=35 * 32)
    for expected, got in zip(whole[35:], resumed, strict=True):
        np.testing.assert_array_equal(expected["input_ids"], got["input_ids"])


def test_prediction_keeps_the_order_and_the_last_short_batch(sorted_records):
    build = input_fn_lib.file_based_input_fn_builder(
        sorted_records, 48, is_training=False, drop_remainder=False, batch_size=300
    )
    batches = list(build({}))
    assert [len(batch["label_ids"]) for batch in batches] == [300, 300, 300, 100]
    labels = np.concatenate([batch["label_ids"] for batch in batches])
    np.testing.assert_array_equal(labels, [0] * 500 + [1] * 500)


def test_examples_in_memory_give_the_same_batches_as_a_file(tokenizer, tmp_path):
    examples = [datasets.InputExample(str(i), "a " * i, None, "0") for i in range(5)]
    path = tmp_path / "x.tf_record"
    features.file_based_convert_examples_to_features(examples, ["0"], 8, tokenizer, path)
    padded = [features.convert_single_example(0, e, ["0"], 8, tokenizer) for e in examples]
    from_file = input_fn_lib.file_based_input_fn_builder(path, 8, False, False)({"batch_size": 3})
    in_memory = input_fn_lib.input_fn_builder(padded, 8, False, False)({"batch_size": 3})
    for one, other in zip(from_file, in_memory, strict=True):
        for name, values in one.items():
            np.testing.assert_array_equal(values, other[name])

"""A record joins text, tokens and scores of one prediction, and costs no TensorFlow."""

import dataclasses
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from bert import datasets
from bert import features
from bert import tokenization
from explain import explanation
from explain import words

VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "not", "bad", "straw", "##berries", "!", "film"]
LABELS = ["negative", "positive"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> tokenization.FullTokenizer:
    path: pathlib.Path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    return tokenization.FullTokenizer(path)


@pytest.fixture
def record(tokenizer: tokenization.FullTokenizer) -> explanation.Explanation:
    example = datasets.InputExample("test-1", "Not bad, Strawberries!", None, "negative")
    encoding = features.encode_example(tokenizer, example, 16)
    scores = np.zeros(16, np.float32)
    scores[:8] = [0.25, 0.0625, 0.0625, 0.125, 0.125, 0.0625, 0.0625, 0.25]  # [CLS] ... [SEP]
    scores[8:] = 7.0  # padding, which must not count
    return explanation.from_prediction(
        example, encoding, scores, np.array([0.25, 0.75]), labels=LABELS, method="last"
    )


def test_words_tokens_and_scores_are_aligned(record):
    assert record.tokens == ("[CLS]", "not", "bad", "[UNK]", "straw", "##berries", "!", "[SEP]")
    assert record.words == (
        words.Word("Not", 0, 3),
        words.Word("bad,", 4, 8),
        words.Word("Strawberries!", 9, 22),
    )
    np.testing.assert_array_equal(record.scores, [0.0625, 0.1875, 0.25])


def test_scores_of_padding_are_dropped(record):
    assert record.token_scores.shape == (len(record.tokens),)
    assert float(record.token_scores.sum()) == 1.0


def test_the_answer_is_told_in_names(record):
    assert (record.predicted, record.gold, record.labels) == ("positive", "negative", tuple(LABELS))
    assert record.confidence == 0.75
    assert (record.guid, record.method, record.texts) == (
        "test-1",
        "last",
        ("Not bad, Strawberries!",),
    )


def test_the_special_share_is_what_no_word_shows(record):
    assert record.special_share == 0.5


def test_the_special_share_of_signed_scores_survives_cancelling_pieces(record):
    scores = np.array([1.0, 0, 0, 0, 3.0, -3.0, 0, -1.0], np.float32)
    signed = dataclasses.replace(record, token_scores=scores, scores=np.zeros(3, np.float32))
    assert signed.special_share == 0.25


def test_no_scores_at_all_are_no_special_share(record):
    zeros = dataclasses.replace(record, token_scores=np.zeros(8, np.float32))
    assert zeros.special_share == 0.0


def test_a_pair_and_its_cuts_are_kept(tokenizer):
    example = datasets.InputExample("pair-1", "film", "not bad film!", None)
    encoding = features.encode_example(tokenizer, example, 6)
    record = explanation.from_prediction(
        example, encoding, np.arange(6.0), [1.0, 0.0], labels=LABELS, method="last"
    )
    assert record.texts == ("film", "not bad film!")
    assert [(word.text, word.sentence) for word in record.words] == [
        ("film", 0),
        ("not", 1),
        ("bad", 1),
    ]
    np.testing.assert_array_equal(record.scores, [1.0, 3.0, 4.0])
    assert record.truncated == (0, 2)
    assert record.gold is None
    assert record.predicted == "negative"


def test_what_was_explained_and_how_well_is_kept(tokenizer):
    example = datasets.InputExample("test-1", "strawberries")
    record = explanation.from_prediction(
        example,
        features.encode_example(tokenizer, example, 8),
        np.array([9.0, 1.0, -3.0, 9.0]),
        [0.5, 0.5],
        labels=LABELS,
        method="mine",
        signed=True,
        target="positive-negative",
        attention=np.ones((2, 4, 4)),
        layer_scores=np.arange(18.0).reshape(3, 6),  # padding beyond the 4 tokens
        completeness_gap=np.float32(0.5),
        checks={"steps": 50},
        settings={"model": {"layers": 2}},
        word_scores="max",
    )
    np.testing.assert_array_equal(record.scores, [-3.0])
    assert (record.signed, record.target) == (True, "positive-negative")
    assert (record.attention.shape, record.attention.dtype) == ((2, 4, 4), np.float32)
    np.testing.assert_array_equal(
        record.layer_scores, [[0, 1, 2, 3], [6, 7, 8, 9], [12, 13, 14, 15]]
    )
    assert record.layer_scores.dtype == np.float32
    assert repr(record.completeness_gap) == "0.5"
    assert (record.checks, record.settings) == ({"steps": 50}, {"model": {"layers": 2}})


def test_too_few_layer_scores_are_an_error(build_record):
    with pytest.raises(
        ValueError, match=r"'test-0': layer_scores must .* 3 tokens, got shape \(5, 2\)"
    ):
        build_record("film", layer_scores=np.ones((5, 2)))


def test_scores_that_are_no_row_are_an_error(tokenizer):
    example = datasets.InputExample("test-1", "film")
    encoding = features.encode_example(tokenizer, example, 8)
    with pytest.raises(
        ValueError, match=r"one score a token .* got shape \(3, 3\); use a processor"
    ):
        explanation.from_prediction(
            example, encoding, np.ones((3, 3)), [0.5, 0.5], labels=LABELS, method="matrix"
        )


def test_labels_that_do_not_match_the_probabilities_are_an_error(tokenizer):
    example = datasets.InputExample("test-1", "film")
    encoding = features.encode_example(tokenizer, example, 8)
    with pytest.raises(ValueError, match="got 2 names for 3 probabilities"):
        explanation.from_prediction(
            example, encoding, np.ones(3), [0.2, 0.2, 0.6], labels=LABELS, method="last"
        )


def test_the_stand_in_of_these_tests_frames_a_text_as_features_do(tokenizer, build_record):
    example = datasets.InputExample("test-1", "not bad", "film !")
    encoding = features.encode_example(tokenizer, example, 16)
    assert build_record("not bad", "film !").tokens == tuple(t.text for t in encoding.tokens)


def test_records_and_pictures_do_not_import_tensorflow():
    rooms = "words, explanation, palette, highlight, plots"
    code = f"import sys; from explain import {rooms}; sys.exit('tensorflow' in sys.modules)"
    root = pathlib.Path(__file__).parents[2]
    finished = subprocess.run([sys.executable, "-c", code], cwd=root, check=False, timeout=120)
    assert finished.returncode == 0

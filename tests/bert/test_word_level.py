import random

import numpy as np
import pytest

from bert import tokenization
from bert import word_level

WORDS = ["so", "fine", "dull", "a", "film"]


def test_identifiers_0_to_3_are_the_specials_and_the_words_follow_in_unicode_order():
    tokenizer = word_level.WordTokenizer(WORDS)
    assert list(tokenizer.vocab.items()) == [
        ("[PAD]", 0),
        ("[CLS]", 1),
        ("[SEP]", 2),
        ("[UNK]", 3),
        ("a", 4),
        ("dull", 5),
        ("film", 6),
        ("fine", 7),
        ("so", 8),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("So fine", [1, 8, 7, 2, 0, 0, 0]),
        (["So", "fine"], [1, 8, 7, 2, 0, 0, 0]),
        ("a grim film", [1, 4, 3, 6, 2, 0, 0]),
        (
            "films [SEP]",
            [1, 3, 3, 3, 3, 2, 0],
        ),  # no piece of a word; a special token in a text is text
        ("", [1, 2, 0, 0, 0, 0, 0]),
        ("a a a a a so so", [1, 4, 4, 4, 4, 4, 2]),  # five words fit
    ],
)
def test_a_text_or_a_list_of_words_is_framed_cut_and_padded_to_one_length(text, expected):
    tokenizer = word_level.WordTokenizer(WORDS, max_seq_len=7)
    ids = tokenizer.encode(text)
    assert (ids.tolist(), ids.dtype) == (expected, np.int32)
    np.testing.assert_array_equal(tokenizer(text), ids)


def test_decoding_gives_the_words_back_and_unknown_ones_as_such():
    tokenizer = word_level.WordTokenizer(WORDS, max_seq_len=7)
    assert tokenizer.decode(tokenizer("So fine, a film")) == "so fine [UNK] a film"
    assert tokenizer.decode(tokenizer("so dull"), ignore_special=False) == (
        "[CLS] so dull [SEP] [PAD] [PAD] [PAD]"
    )
    with pytest.raises(ValueError, match=r"ids must be from 0 to 8, got 9; use the vocabulary"):
        tokenizer.decode([1, 9])
    with pytest.raises(ValueError, match="got -1"):
        tokenizer.decode([-1])


def test_another_separator_separates_and_joins():
    tokenizer = word_level.WordTokenizer(WORDS, sep="_", max_seq_len=6)
    assert tokenizer("so_fine a").tolist() == [1, 8, 7, 4, 2, 0]
    assert tokenizer.decode([1, 8, 7, 2]) == "so_fine"


def test_special_tokens_of_ones_own_stand_where_they_are_put():
    tokenizer = word_level.WordTokenizer(
        WORDS, special_tokens=("[PAD]", "[MASK]", "[UNK]", "[SEP]", "[CLS]"), max_seq_len=5
    )
    assert tokenizer.special_tokens[1] == "[MASK]"
    assert tokenizer("so grim").tolist() == [4, 9, 2, 3, 0]
    assert tokenizer.decode([4, 1, 9]) == "so"


@pytest.mark.parametrize(
    ("special_tokens", "message"),
    [
        (("[PAD]", "[CLS]", "[UNK]"), r"must begin with \[PAD\] and hold .*; add \[SEP\]"),
        (("[CLS]", "[PAD]", "[SEP]", "[UNK]"), r"must begin with \[PAD\] .* add the others after"),
    ],
)
def test_padding_is_0_and_no_special_token_may_lack(special_tokens, message):
    with pytest.raises(ValueError, match=message):
        word_level.WordTokenizer(WORDS, special_tokens=special_tokens)


def test_there_must_be_room_for_a_word():
    with pytest.raises(ValueError, match=r"max_seq_len must be at least 3, .* got 2"):
        word_level.WordTokenizer(WORDS, max_seq_len=2)


def test_rare_words_and_those_beyond_the_number_are_left_out_the_first_of_equals_kept():
    texts = ["Film film FILM so so", "fine, fine, dull", "dull"]
    assert word_level.find_words(texts) == [",", "dull", "film", "fine", "so"]
    assert word_level.find_words(texts, min_count=3) == ["film"]
    assert word_level.find_words(texts, max_words=3) == [",", "dull", "film"]
    assert word_level.find_words([f"x{'y' * 200} fine {'z' * 200}"]) == ["fine", "z" * 200]


@pytest.mark.parametrize(
    ("texts", "bounds", "message"),
    [
        (["so"], {"min_count": 2}, "must hold a word that stands there 2 times, got 1 rarer words"),
        ([" "], {}, "must hold a word that stands there 1 times, got 0"),
        (["so"], {"min_count": 0}, "min_count must be at least 1, got 0"),
        (["so"], {"max_words": 0}, "max_words must be at least 1, got 0"),
    ],
)
def test_bounds_that_leave_no_word_are_refused(texts, bounds, message):
    with pytest.raises(ValueError, match=message):
        word_level.find_words(texts, **bounds)


def test_the_file_makes_the_full_tokenizer_read_any_text_alike(tmp_path):
    rng = random.Random(3)
    letters = "ab Éß#[]'-.,\t\n中😀İ\u0301\u00ad"
    texts = ["".join(rng.choices(letters, k=rng.randrange(40))) for _ in range(300)]
    tokenizer = word_level.WordTokenizer(texts[:60], max_seq_len=64)
    tokenizer.save(tmp_path / "vocab.txt")
    full = tokenization.FullTokenizer(tmp_path / "vocab.txt")
    assert dict(full.vocab) == tokenizer.vocab
    unknown = 0
    for text in texts:
        ids = full.convert_tokens_to_ids(full.tokenize(text))
        assert tokenizer(text).tolist() == ([1, *ids, 2] + [0] * 64)[:64]
        unknown += ids.count(3)
    assert unknown > 100


def test_a_tokenizer_says_how_large_it_is():
    assert repr(word_level.WordTokenizer(WORDS)) == "WordTokenizer(9 tokens, max_seq_len=16)"


def test_one_text_for_many_is_refused_and_not_read_letter_by_letter():
    with pytest.raises(TypeError, match=r"texts must be a list of texts, got one: 'so fine'"):
        word_level.find_words("so fine")

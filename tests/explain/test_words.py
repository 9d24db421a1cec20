"""Words are the user's own characters, and no token's score is lost on the way to them."""

import pathlib
import re

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from bert import tokenization
from explain import words

CLS, SEP = (tokenization.Token(name, 0, 0, is_special=True) for name in ("[CLS]", "[SEP]"))
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
PIECES = ["straw", "##berries", "!", ",", "amelie", "'", "s", "film", "電", "影", "the"]
JAMO = ["ᄒ", "##ᅡ", "##ᆫ"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> tokenization.FullTokenizer:
    path: pathlib.Path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("\n".join([*SPECIAL, *PIECES, *JAMO]) + "\n", encoding="utf-8")
    return tokenization.FullTokenizer(path)


def frame(*sentences: tuple[tokenization.Token, ...]) -> tuple[tokenization.Token, ...]:
    tokens = [CLS]
    for sentence, pieces in enumerate(sentences):
        tokens += [*pieces, SEP._replace(sentence=sentence)]
    return tuple(tokens)


def typed(tokenizer: tokenization.FullTokenizer, text: str) -> list[str]:
    tokens = frame(tokenizer.tokenize_with_spans(text))
    found, _ = words.to_words([text], tokens, np.ones(len(tokens), np.float32))
    assert all(text[word.start : word.end] == word.text for word in found)
    return [word.text for word in found]


def test_pieces_and_punctuation_sum_to_the_word_they_stand_in(tokenizer):
    text = "The  STRAWBERRIES, film!"
    tokens = frame(tokenizer.tokenize_with_spans(text))
    assert [token.text for token in tokens[1:-1]] == ["the", "straw", "##berries", ",", "film", "!"]
    scores = np.array([32.0, 1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 128.0], np.float32)
    found, summed = words.to_words([text], tokens, scores)
    assert found == (
        words.Word("The", 0, 3),
        words.Word("STRAWBERRIES,", 5, 18),
        words.Word("film!", 19, 24),
    )
    np.testing.assert_array_equal(summed, [1.0, 14.0, 80.0])
    assert summed.dtype == np.float32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Amélie's Film!", ["Amélie's", "Film!"]),
        ("Ame\u0301lie film", ["Ame\u0301lie", "film"]),
        ("film\u00a0film\u3000film", ["film", "film", "film"]),
        ("film\n\tfilm", ["film", "film"]),
        ("Zxqj film", ["Zxqj", "film"]),
        ("😀 👩‍🚀film", ["😀", "👩‍🚀film"]),
        ("the電影film", ["the", "電", "影", "film"]),
        ("電影!", ["電", "影", "!"]),
        ("電\u0301film", ["電\u0301", "film"]),
        ("한 한film", ["한", "한film"]),
        ("[SEP] [CLS]", ["[SEP]", "[CLS]"]),
        ("<b>film</b>", ["<b>film</b>"]),
        ("שלום עולם", ["שלום", "עולם"]),
    ],
)
def test_words_are_as_typed(tokenizer, text, expected):
    assert typed(tokenizer, text) == expected


def test_parts_of_one_syllable_share_its_word(tokenizer):
    tokens = frame(tokenizer.tokenize_with_spans("한"))
    assert [token.text for token in tokens[1:-1]] == JAMO
    found, scores = words.to_words(["한"], tokens, np.array([9.0, 1.0, 2.0, 3.0, 9.0]))
    assert found == (words.Word("한", 0, 1),)
    np.testing.assert_array_equal(scores, [6.0])


def test_each_text_of_a_pair_has_its_own_words(tokenizer):
    texts = ["film", "film the"]
    tokens = frame(*(tokenizer.tokenize_with_spans(text, i) for i, text in enumerate(texts)))
    found, scores = words.to_words(texts, tokens, np.arange(len(tokens), dtype=np.float32))
    assert found == (
        words.Word("film", 0, 4, 0),
        words.Word("film", 0, 4, 1),
        words.Word("the", 5, 8, 1),
    )
    np.testing.assert_array_equal(scores, [1.0, 3.0, 4.0])


def test_neighbours_of_two_texts_never_join_even_without_a_mark_between():
    tokens = [tokenization.Token("film", 0, 4, 0), tokenization.Token("film", 4, 8, 1)]
    found, _ = words.to_words(["film", "filmfilm"], tokens, [1.0, 1.0])
    assert [word.sentence for word in found] == [0, 1]


def test_an_empty_text_has_no_words():
    found, scores = words.to_words([""], (CLS, SEP), np.ones(2, np.float32))
    assert found == ()
    assert scores.shape == (0,)
    assert scores.dtype == np.float32


def test_what_was_cut_off_is_no_word(tokenizer):
    text = "the strawberries film"
    tokens = frame(tokenizer.tokenize_with_spans(text)[:2])
    found, _ = words.to_words([text], tokens, np.ones(len(tokens), np.float32))
    assert [word.text for word in found] == ["the", "straw"]


def test_scores_of_padding_are_left_out_and_lists_will_do(tokenizer):
    tokens = frame(tokenizer.tokenize_with_spans("film"))
    _, scores = words.to_words(["film"], tokens, [9.0, 1.0, 9.0, 7.0, 7.0])
    np.testing.assert_array_equal(scores, [1.0])


def test_too_few_scores_are_an_error(tokenizer):
    tokens = frame(tokenizer.tokenize_with_spans("film"))
    with pytest.raises(ValueError, match="one score a token, got 2 for 3 tokens"):
        words.to_words(["film"], tokens, np.ones(2, np.float32))


@strategies.composite
def grouped(draw: strategies.DrawFn) -> tuple[str, list[tokenization.Token], list[float]]:
    """Draw a text of CJK and other words, random pieces of it with special ones, and scores."""
    parts = draw(strategies.lists(strategies.text("ab!電", min_size=1, max_size=6)))
    text = " ".join(parts)
    tokens = [CLS]
    for index, character in enumerate(text):
        joins = tokens[-1].end == index and not tokens[-1].is_special and character in "ab"
        if character == " ":
            continue
        if joins and text[index - 1] in "ab" and draw(strategies.booleans()):
            tokens[-1] = tokens[-1]._replace(end=index + 1)
        else:
            tokens.append(tokenization.Token("piece", index, index + 1))
    tokens.append(SEP)
    score = strategies.floats(-1, 1, width=32)
    return text, tokens, draw(strategies.lists(score, min_size=len(tokens), max_size=len(tokens)))


@hypothesis.given(grouped())
def test_words_split_the_text_as_a_reader_does_and_keep_the_total(sample):
    text, tokens, scores = sample
    found, summed = words.to_words([text], tokens, np.array(scores, np.float32))
    spaced = text.replace("電", " 電 ")
    assert [word.text for word in found] == spaced.split()
    expected = sum(s for token, s in zip(tokens, scores, strict=True) if not token.is_special)
    # float32 sums of at most some hundred scores of size 1
    assert float(np.sum(summed, dtype=np.float64)) == pytest.approx(expected, abs=1e-4)


def test_what_was_not_read_parts_a_word_and_what_tokenizers_drop_does_not():
    def tokens(*spans):
        return [tokenization.Token("x", start, end) for start, end in spans]

    ones = np.ones(2, np.float32)
    unread, _ = words.to_words(("あいうえお",), tokens((0, 1), (3, 5)), ones)
    assert [word.text for word in unread] == ["あ", "えお"]
    dropped, _ = words.to_words(("a\u200bb",), tokens((0, 1), (2, 3)), ones)
    assert [word.text for word in dropped] == ["a\u200bb"]
    newline, _ = words.to_words(("a\nb",), tokens((0, 1), (2, 3)), ones)
    assert [word.text for word in newline] == ["a", "b"]


def test_pieces_may_be_averaged_or_stand_for_by_the_strongest_of_them(tokenizer):
    tokens = frame(tokenizer.tokenize_with_spans("strawberries, film!"))
    assert [token.text for token in tokens[1:-1]] == ["straw", "##berries", ",", "film", "!"]
    scores = np.array([9.0, 1.0, -5.0, 1.0, 2.0, -2.0, 9.0], np.float32)
    _, mean = words.to_words(["strawberries, film!"], tokens, scores, "mean")
    _, largest = words.to_words(["strawberries, film!"], tokens, scores, combine="max")
    np.testing.assert_array_equal(mean, [-1.0, 0.0])
    np.testing.assert_array_equal(largest, [-5.0, 2.0])  # of equals, the first
    assert (mean.dtype, largest.dtype) == (np.float32, np.float32)


@pytest.mark.parametrize("combine", ["sum", "mean", "max", "first"])
@hypothesis.given(sample=grouped())
def test_each_word_combines_its_own_pieces_and_no_others(sample, combine):
    text, tokens, scores = sample
    found, combined = words.to_words([text], tokens, np.array(scores, np.float32), combine)
    expected = []
    for word in found:
        own = [
            score
            for token, score in zip(tokens, scores, strict=True)
            if not token.is_special and word.start <= token.start and token.end <= word.end
        ]
        ways = {"sum": sum(own), "mean": sum(own) / len(own), "max": max(own, key=abs)}
        expected.append({**ways, "first": own[0]}[combine])
    # sums of a few float32 in float64, in another order
    np.testing.assert_allclose(combined, np.array(expected, np.float32), rtol=1e-6, atol=1e-12)
    assert combined.dtype == np.float32


def test_a_piece_that_is_no_number_makes_its_word_none_in_every_way(tokenizer):
    tokens = frame(tokenizer.tokenize_with_spans("strawberries film"))
    scores = np.array([0.0, 7.0, np.nan, 3.0, 0.0], np.float32)
    for combine in ("sum", "mean", "max"):
        _, found = words.to_words(["strawberries film"], tokens, scores, combine)
        np.testing.assert_array_equal(found, [np.nan, 3.0])


def test_an_unknown_way_to_combine_is_an_error_that_lists_the_known():
    with pytest.raises(ValueError, match=r"by one of sum, mean, max, first; got 'average'"):
        words.to_words([""], (CLS, SEP), np.ones(2, np.float32), "average")


def read(text: str, sentence: int = 0) -> list[words.Word]:
    """Return the words of a text: what stands between white space, and each CJK character."""
    found = re.finditer(r"[\u4e00-\u9fff]|[^\s\u4e00-\u9fff]+", text)
    return [words.Word(match[0], match.start(), match.end(), sentence) for match in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One two. Three!  Four?\nfive", ["One two.", "Three!", "Four?", "five"]),
        ('"Why?" he (Tom.) asked... No', ['"Why?"', "he (Tom.)", "asked...", "No"]),
        ("A “film.” A «film!» A [film?] end", ["A “film.”", "A «film!»", "A [film?]", "end"]),
        ("3.5 stars, www.film.org ?!", ["3.5 stars, www.film.org ?!"]),
        ("电影。「很好。」好。", ["电影。「很好。」", "好。"]),  # `。「` is one word
        ("Good.电影", ["Good.", "电影"]),
        ("です。ます", ["です。ます"]),  # one word is never cut
        ("no end", ["no end"]),
        ("...", ["..."]),
        (" \n ", []),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text, expected):
    found, _ = words.sentence_sums([text], read(text), np.ones(len(read(text)), np.float32))
    assert [sentence.text for sentence in found] == expected
    assert all(text[s.start : s.end] == s.text for s in found)


def test_scores_of_sentences_are_the_sums_of_their_words_and_texts_do_not_mix():
    texts = ["Not bad. At all", "bad. film"]
    both = [*read(texts[0]), *read(texts[1], sentence=1)]
    scores = np.array([1.0, 2.0, 4.0, -8.0, 16.0, 32.0], np.float32)
    found, sums = words.sentence_sums(texts, both, scores)
    assert found == (
        words.Word("Not bad.", 0, 8, 0),
        words.Word("At all", 9, 15, 0),
        words.Word("bad.", 0, 4, 1),
        words.Word("film", 5, 9, 1),
    )
    np.testing.assert_array_equal(sums, [3.0, -4.0, 16.0, 32.0])
    assert sums.dtype == np.float32


def test_a_sentence_reaches_as_far_as_the_model_read():
    text = "One two three. Four."
    found, sums = words.sentence_sums([text], read(text)[:2], np.array([1.0, 2.0], np.float32))
    assert found == (words.Word("One two", 0, 7),)
    np.testing.assert_array_equal(sums, [3.0])


@hypothesis.given(strategies.text('ab.!?。」)" \n電', max_size=40), strategies.randoms())
def test_sentences_keep_the_total_and_every_word_in_order(text, random):
    found = read(text)
    scores = np.array([random.uniform(-1, 1) for _ in found], np.float32)
    sentences, sums = words.sentence_sums([text], found, scores)
    # float32 sums of at most 40 scores of size 1
    assert np.sum(sums, dtype=np.float64) == pytest.approx(
        np.sum(scores, dtype=np.float64), abs=1e-5
    )
    assert [
        w for s in sentences for w in read(text) if s.start <= w.start and w.end <= s.end
    ] == found


def test_sentences_need_one_score_a_word():
    with pytest.raises(ValueError, match="one score a word, got 1 for 2 words"):
        words.sentence_sums(["not bad"], read("not bad"), np.ones(1, np.float32))

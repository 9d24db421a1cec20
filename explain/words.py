"""Token scores to word and sentence scores, by the character spans that tokens carry; the text stays the user's own.

A word is what stands between white space, and every CJK character by itself. Special tokens belong to no word.
"""

import bisect
import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from bert import tokenization

Combine: TypeAlias = Literal["sum", "mean", "max", "first"]

_FULL_STOPS, _CLOSING = (
    ".!?\u2026\u3002\uff01\uff1f\uff61",
    "\"')\\]}\u00bb\u2019\u201d\u300b\u300d\u300f\u3011\uff09",
)
_SENTENCE_END = re.compile(f"[{_FULL_STOPS}][{_FULL_STOPS}{_CLOSING}]*")


class Word(NamedTuple):
    """A word as typed: `text` is the user's characters from `start` to `end` (exclusive) of its sentence.

    Attributes:
      sentence: 0 for the first text, 1 for the second of a pair.
    """

    text: str
    start: int
    end: int
    sentence: int = 0


def to_words(
    texts: Sequence[str],
    tokens: Sequence[tokenization.Token],
    token_scores: npt.NDArray[np.float32],
    combine: Combine = "sum",
) -> tuple[tuple[Word, ...], npt.NDArray[np.float32]]:
    """Combine token scores into word scores.

    Sums keep completeness: no score is lost but that of special tokens. Means and maxima do not, so that word scores
    then no longer add up to what was explained.

    Args:
      texts: the raw text, or both of a pair.
      token_scores: float32[t], one a token; what follows (padding) is left out.
      combine: "max" takes the piece of largest absolute score with its sign, the first of equals.

    Returns:
      The words and their scores, float32[w].

    Raises:
      ValueError: there are fewer scores than tokens, or `combine` is no way to combine them.
    """
    if combine not in _COMBINE:
        raise ValueError(
            f"word scores must combine the pieces' scores by one of {', '.join(get_args(Combine))}; got {combine!r}"
        )
    if len(token_scores) < len(tokens):
        raise ValueError(
            f"token_scores must hold one score a token, got {len(token_scores)} for {len(tokens)} tokens"
        )
    read = _ordinary(tokens)
    pieces = [tokens[index] for index in read]
    starts = _word_starts(texts, pieces)
    words = [
        _span(texts, pieces[start], pieces[last])
        for start, last in zip(starts, _lasts(starts, len(pieces)), strict=True)
    ]
    scores = _COMBINE[combine](np.asarray(token_scores)[read], np.array(starts, np.int64))
    return tuple(words), scores.astype(np.float32)


def word_of_each_token(
    texts: Sequence[str], tokens: Sequence[tokenization.Token]
) -> npt.NDArray[np.int64]:
    """Return the place of each token's word among those of `to_words`, int64[t]; -1 for special tokens."""
    read = _ordinary(tokens)
    found = np.full(len(tokens), -1, np.int64)
    begins = np.zeros(len(read), np.int64)
    begins[_word_starts(texts, [tokens[index] for index in read])] = 1
    found[read] = np.cumsum(begins) - 1
    return found


def sentence_sums(
    texts: Sequence[str], words: Sequence[Word], scores: npt.NDArray[np.float32]
) -> tuple[tuple[Word, ...], npt.NDArray[np.float32]]:
    """Sum word scores over the sentences of each text, so that the total stays what it was.

    A sentence ends after `.`, `!`, `?`, an ellipsis or a CJK full stop, with the quotes and brackets that close there,
    where white space, a CJK character or the text's end follows. Abbreviations are not known: "Mr. Fox" is two
    sentences. A word is never cut: kana around a full stop, being one word, stay one sentence.

    Args:
      words: in the order of the texts, as `to_words` returns them.
      scores: float32[w].

    Returns:
      The sentences, each from its first word to its last, and their scores, float32[s]. What the model read no word
      of is no sentence.

    Raises:
      ValueError: there is not one score a word.
    """
    if len(scores) != len(words):
        raise ValueError(
            f"scores must hold one score a word, got {len(scores)} for {len(words)} words"
        )
    ends = [_sentence_ends(text) for text in texts]
    places = [(word.sentence, bisect.bisect(ends[word.sentence], word.start)) for word in words]
    starts = [i for i, place in enumerate(places) if not i or place != places[i - 1]]
    bounds = zip(starts, _lasts(starts, len(words)), strict=True)
    sentences = [_span(texts, words[start], words[last]) for start, last in bounds]
    return tuple(sentences), _sums(np.asarray(scores), np.array(starts, np.int64)).astype(
        np.float32
    )


def _ordinary(tokens: Sequence[tokenization.Token]) -> list[int]:
    return [index for index, token in enumerate(tokens) if not token.is_special]


def _word_starts(texts: Sequence[str], pieces: Sequence[tokenization.Token]) -> list[int]:
    return [
        index
        for index, piece in enumerate(pieces)
        if not index or not _same_word(texts, pieces[index - 1], piece)
    ]


def _sentence_ends(text: str) -> list[int]:
    ends = (match.end() for match in _SENTENCE_END.finditer(text))
    return [
        end
        for end in ends
        if end == len(text) or text[end].isspace() or tokenization.is_cjk(text[end])
    ]


def _lasts(starts: Sequence[int], count: int) -> list[int]:
    """Return the last member of each group of `count` in all; groups are known by their first."""
    return [start - 1 for start in [*starts[1:], count]] if starts else []


def _sums(
    scores: npt.NDArray[np.float32], starts: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    sums: npt.NDArray[np.float64] = np.add.reduceat(scores, starts, dtype=np.float64)
    return sums


def _means(
    scores: npt.NDArray[np.float32], starts: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    means: npt.NDArray[np.float64] = _sums(scores, starts) / np.diff(starts, append=len(scores))
    return means


def _largest(
    scores: npt.NDArray[np.float32], starts: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    sizes = np.abs(scores)
    largest = np.repeat(np.maximum.reduceat(sizes, starts), np.diff(starts, append=len(scores)))
    is_largest = (sizes == largest) | np.isnan(sizes)
    places = np.where(is_largest, np.arange(len(scores)), len(scores))
    return _firsts(scores, np.minimum.reduceat(places, starts))


def _firsts(
    scores: npt.NDArray[np.float32], starts: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    return scores[starts].astype(np.float64)


_COMBINE: dict[
    str, Callable[[npt.NDArray[np.float32], npt.NDArray[np.int64]], npt.NDArray[np.float64]]
] = {
    "sum": _sums,
    "mean": _means,
    "max": _largest,
    "first": _firsts,
}


def _same_word(texts: Sequence[str], before: tokenization.Token, after: tokenization.Token) -> bool:
    if before.sentence != after.sentence:
        return False
    text = texts[after.sentence]
    between = text[before.end : after.start]
    if not all(map(tokenization.is_dropped, between)):
        return False  # white space, or text that the model did not read
    # A CJK token is one character and the marks after it: the first character tells.
    return not (tokenization.is_cjk(text[before.start]) or tokenization.is_cjk(text[after.start]))


def _span(
    texts: Sequence[str], first: tokenization.Token | Word, last: tokenization.Token | Word
) -> Word:
    text = texts[first.sentence][first.start : last.end]
    return Word(text, first.start, last.end, first.sentence)

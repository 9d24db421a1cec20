"""Token scores to word and sentence scores, by the character spans that tokens carry; the text stays the user's own.

A word is what stands between white space, and every CJK character by itself. Special tokens belong to no word.
"""

import bisect
import itertools
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
    token_scores = np.asarray(token_scores)
    groups: list[list[int]] = []
    for index, token in enumerate(tokens):
        if token.is_special:
            continue
        if groups and _same_word(texts, tokens[groups[-1][-1]], token):
            groups[-1].append(index)
        else:
            groups.append([index])
    words = tuple(_word(texts, [tokens[index] for index in group]) for group in groups)
    scores = np.array([_COMBINE[combine](token_scores[group]) for group in groups], np.float32)
    return words, scores


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
    sentences, sums = [], []
    for (sentence, _), indices in itertools.groupby(
        range(len(words)),
        lambda i: (words[i].sentence, bisect.bisect(ends[words[i].sentence], words[i].start)),
    ):
        members = list(indices)
        start, end = words[members[0]].start, words[members[-1]].end
        sentences.append(Word(texts[sentence][start:end], start, end, sentence))
        sums.append(_sum(np.asarray(scores)[members]))
    return tuple(sentences), np.array(sums, np.float32)


def _sentence_ends(text: str) -> list[int]:
    ends = (match.end() for match in _SENTENCE_END.finditer(text))
    return [
        end
        for end in ends
        if end == len(text) or text[end].isspace() or tokenization.is_cjk(text[end])
    ]


def _sum(scores: npt.NDArray[np.float32]) -> float:
    return float(np.sum(scores, dtype=np.float64))


def _mean(scores: npt.NDArray[np.float32]) -> float:
    return _sum(scores) / len(scores)


def _largest(scores: npt.NDArray[np.float32]) -> float:
    return float(scores[np.argmax(np.abs(scores))])


def _first(scores: npt.NDArray[np.float32]) -> float:
    return float(scores[0])


_COMBINE: dict[str, Callable[[npt.NDArray[np.float32]], float]] = {
    "sum": _sum,
    "mean": _mean,
    "max": _largest,
    "first": _first,
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


def _word(texts: Sequence[str], tokens: Sequence[tokenization.Token]) -> Word:
    start, end, sentence = tokens[0].start, tokens[-1].end, tokens[0].sentence
    return Word(texts[sentence][start:end], start, end, sentence)

"""Token scores to word scores, by the character spans that tokens carry; the text stays the user's own.

A word is what stands between white space, and every CJK character by itself. Special tokens belong to no word.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bert import tokenization


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
) -> tuple[tuple[Word, ...], npt.NDArray[np.float32]]:
    """Sum token scores onto words, so that no score is lost but that of special tokens.

    Args:
      texts: the raw text, or both of a pair.
      token_scores: float32[t], one a token; what follows (padding) is left out.

    Returns:
      The words and their scores, float32[w].

    Raises:
      ValueError: there are fewer scores than tokens.
    """
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
    scores = np.array([np.sum(token_scores[group]) for group in groups], np.float32)
    return words, scores


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

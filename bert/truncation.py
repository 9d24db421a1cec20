"""Which pieces of a text, or of a pair, are read where not all fit.

Leaves to others: special tokens (`features`), reading all in windows (`windows`).
"""

import numpy as np

from bert import config as config_lib
from bert import tokenization


def kept_lengths(length_a: int, length_b: int, room: int) -> tuple[int, int]:
    """Return how many tokens of a pair fit: the longer text gives way first, token by token.

    >>> kept_lengths(5, 9, 8)
    (4, 4)
    >>> kept_lengths(2, 9, 8)
    (2, 6)
    """
    if length_a + length_b <= room:
        return length_a, length_b
    kept_a = min(length_a, max(room - length_b, (room + 1) // 2))
    return kept_a, room - kept_a


def kept_pieces(
    pieces: tokenization.Pieces, length: int, truncation: config_lib.Truncation
) -> tokenization.Pieces:
    """Return the `length` pieces of a text that are read.

    "head" keeps its start, "tail" its end, "head_tail" a quarter of `length` from its start and the rest from its end.

    Source: Sun et al. 2019, How to Fine-Tune BERT for Text Classification?, section 5.3.1 (128 + 382 of 510 tokens).
    """
    cut = len(pieces.ids) - length
    from_start = {"head": length, "tail": 0, "head_tail": length // 4}[truncation]
    unread = slice(from_start, from_start + cut)
    return tokenization.Pieces(*(np.delete(column, unread) for column in pieces)) if cut else pieces

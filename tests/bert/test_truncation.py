"""What is read of texts that do not fit."""

import itertools

import numpy as np
import pytest

from bert import tokenization
from bert import truncation


def token_by_token(length_a: int, length_b: int, room: int) -> tuple[int, int]:
    """Cut a pair as the release does: the longer text, or else the second, loses its last token."""
    while length_a + length_b > room:
        if length_a > length_b:
            length_a -= 1
        else:
            length_b -= 1
    return length_a, length_b


def test_a_pair_keeps_what_cutting_token_by_token_keeps() -> None:
    cases = list(itertools.product(range(31), range(31), range(64)))
    wrong = [case for case in cases if truncation.kept_lengths(*case) != token_by_token(*case)]
    assert wrong == []
    assert {type(kept) for kept in truncation.kept_lengths(9, 7, 11)} == {int}


@pytest.mark.parametrize(
    ("how", "length", "kept"),
    [
        ("head", 5, [0, 1, 2, 3, 4]),
        ("tail", 5, [4, 5, 6, 7, 8]),
        ("head_tail", 5, [0, 5, 6, 7, 8]),
        ("head_tail", 8, [0, 1, 3, 4, 5, 6, 7, 8]),
        ("tail", 0, []),
        ("tail", 9, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
    ],
)
def test_kept_pieces_keep_their_ids_and_spans(how, length, kept) -> None:
    ids = np.arange(9, dtype=np.int32)
    read = truncation.kept_pieces(tokenization.Pieces(ids, ids + 20, ids + 40), length, how)
    for column, first in zip(read, (0, 20, 40), strict=True):
        assert (column - first).tolist() == kept

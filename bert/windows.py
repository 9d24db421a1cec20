"""Texts beyond the model's length, in overlapping windows that together hold every token.

Leaves to others: joining what is explained of each (`explain.explainer`).
"""

import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bert import features
from bert import tokenization


class Window(NamedTuple):
    """A part of a long text, framed as a text of its own.

    Attributes:
      positions: where each of its tokens stands in the whole text's encoding.
    """

    encoding: features.Encoding
    positions: tuple[int, ...]


def split(
    tokenizer: tokenization.FullTokenizer, text_a: str, text_b: str | None, max_seq_length: int
) -> tuple[features.Encoding, list[Window]]:
    """Return a text of any length encoded whole, and overlapping windows of it that fit the model.

    Windows of the longer text overlap by a quarter, the last ends with it; the other text of a pair stands whole in
    each. Every token is in at least one.

    Raises:
      ValueError: the shorter text of a pair leaves less than half of the room to the longer.
    """
    whole = features.encode(tokenizer, text_a, text_b, sys.maxsize)
    spans = [
        [i for i, token in enumerate(whole.tokens) if not token.is_special and token.sentence == n]
        for n in range(1 if text_b is None else 2)
    ]
    if len(whole.tokens) <= max_seq_length:
        return whole, [Window(whole, tuple(range(len(whole.tokens))))]
    long = max(spans, key=len)
    frame = sorted(set(range(len(whole.tokens))) - set(long))
    room = max_seq_length - len(frame)
    if 2 * room < max_seq_length - 3:
        raise ValueError(
            f"the shorter text of a pair must fit half of max_seq_length={max_seq_length} to be read in windows, got "
            f"{len(frame) - 3} tokens; shorten it or cut the pair"
        )
    step = max(1, room - room // 4)
    starts = [*range(0, len(long) - room, step), len(long) - room]

    def window(start: int) -> Window:
        positions = tuple(sorted(frame + long[start : start + room]))
        return Window(
            features.Encoding(
                tuple(whole.tokens[i] for i in positions),
                tuple(whole.input_ids[i] for i in positions),
                tuple(whole.segment_ids[i] for i in positions),
            ),
            positions,
        )

    return whole, [window(start) for start in starts]


def join_probabilities(
    of_windows: Sequence[npt.NDArray[np.float32]],
) -> npt.NDArray[np.float32]:
    """Return the softmax of the windows' mean logits, so that what decides is what is explained."""
    if len(of_windows) == 1:
        return of_windows[0]
    logits = np.mean(np.log(np.maximum(of_windows, np.finfo(np.float32).tiny)), axis=0)
    odds = np.exp(logits - np.max(logits))
    joined: npt.NDArray[np.float32] = (odds / np.sum(odds)).astype(np.float32)
    return joined

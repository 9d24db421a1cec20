"""Records as the pictures get them, made without a model."""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from bert import datasets
from bert import tokenization
from explain import explanation

BuildRecord = Callable[..., explanation.Explanation]
_FIRST, _LATER = 6, 4  # characters of the pieces that long words are cut into


class Encoding(NamedTuple):
    """What `explanation` reads of `features.Encoding`, which imports TensorFlow."""

    tokens: tuple[tokenization.Token, ...]
    truncated: tuple[int, int] = (0, 0)


def pieces(text: str, sentence: int = 0) -> list[tokenization.Token]:
    """Cut a text at white space and punctuation, long words again."""
    tokens = []
    for match in re.finditer(r"\w+|[^\w\s]", text):
        start = match.start()
        while start < match.end():
            width = _FIRST if start == match.start() else _LATER
            end = min(start + width, match.end())
            prefix = "" if start == match.start() else "##"
            tokens.append(
                tokenization.Token(prefix + text[start:end].lower(), start, end, sentence)
            )
            start = end
    return tokens


def encode(text_a: str, text_b: str | None = None, cut: int = 0) -> Encoding:
    """Frame the pieces of a text or pair; `cut` of the last text are left out."""
    texts = [text_a] if text_b is None else [text_a, text_b]
    tokens = [tokenization.Token("[CLS]", 0, 0, is_special=True)]
    for sentence, text in enumerate(texts):
        kept = pieces(text, sentence)
        if cut and sentence == len(texts) - 1:
            kept = kept[:-cut]
        end = kept[-1].end if kept else 0
        tokens += [*kept, tokenization.Token("[SEP]", end, end, sentence, is_special=True)]
    return Encoding(tuple(tokens), (cut, 0) if text_b is None else (0, cut))


@pytest.fixture
def build_record() -> BuildRecord:
    """Return a function that explains a text, or a pair, with seeded attention; `fields` as `from_prediction`."""

    def build(
        text_a: str,
        text_b: str | None = None,
        *,
        guid: str = "test-0",
        labels: tuple[str, ...] = ("negative", "positive"),
        predicted: int = 1,
        gold: str | None = "positive",
        cut: int = 0,
        scores: list[float] | None = None,
        method: str = "average_last_layer_by_head",
        **fields: object,
    ) -> explanation.Explanation:
        encoding = encode(text_a, text_b, cut)
        rng = np.random.default_rng(len(text_a))
        drawn = rng.dirichlet(np.full(len(encoding.tokens), 0.3))
        probabilities = np.full(len(labels), 0.1 / max(1, len(labels) - 1))
        probabilities[predicted] = 0.9
        return explanation.from_prediction(
            datasets.InputExample(guid, text_a, text_b, gold),
            encoding,
            np.array(drawn if scores is None else scores, np.float32),
            probabilities,
            labels=labels,
            method=method,
            **fields,
        )

    return build

"""Texts with their words shaded by score, as HTML: one offline page, everything escaped.

Takes records, returns `str`; entry points write files. Layout lives in `templates/`, colours in `palette`.
"""

import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jinja2
import numpy as np

from bert import tokenization
from explain import explanation as explanation_lib
from explain import palette

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TOP_WORDS = 5
DARKEST = 50  # steps of the colour scale: finer than an eye tells apart, and a class a word keeps the page small


class Segment(NamedTuple):
    """A run of the user's characters; between words `score` is None.

    Attributes:
      shade: step of the colour scale, 0 to `DARKEST`.
      is_cut: the model did not read this tail.
    """

    text: str
    score: float | None = None
    shade: int = 0
    is_cut: bool = False


def token_fragment(
    tokens: Sequence[str],
    token_weights: Sequence[float],
    target_label: str | int,
    pred_label: str | int,
    pred_probs: Sequence[float],
    review_id: str | int,
    viz_relative: bool = False,
    *,
    ignore_special: bool = False,
) -> str:
    """Return one review as an HTML fragment, one span a token, blue with the weight as opacity.

    Args:
      token_weights: at least one a token, 0 to 1; what follows (padding) is left out.
      pred_probs: one a class, any number of classes.
      viz_relative: divide by the largest weight, so that the strongest token is opaque.
      ignore_special: leave [CLS], [SEP] and [PAD] white and out of that largest weight.

    Raises:
      ValueError: there are fewer weights than tokens, or a weight is NaN.

    Source: hsm207/bert_attn_viz, explain/attention.py, viz_attention.
    """
    if len(token_weights) < len(tokens):
        raise ValueError(
            f"token_weights must hold one weight a token, got {len(token_weights)} for {len(tokens)} tokens"
        )
    weights = [
        0.0 if ignore_special and tokenization.is_special(token) else float(weight)
        for token, weight in zip(tokens, token_weights, strict=False)
    ]
    largest = max(weights, default=0.0) if viz_relative else 1.0
    alphas = [weight / largest if largest > 0 else 0.0 for weight in weights]
    return _TEMPLATES.get_template("token_fragment.html").render(
        page=palette.WHITE,
        ink=palette.BLACK,
        shaded=[
            (token, palette.translucent_blue(alpha), palette.text_on_translucent_blue(alpha))
            for token, alpha in zip(tokens, alphas, strict=True)
        ],
        review_id=review_id,
        target_label=target_label,
        pred_label=pred_label,
        probabilities=[f"{probability:.4f}" for probability in pred_probs],
    )


def segments(record: explanation_lib.Explanation, sentence: int = 0) -> Iterator[Segment]:
    """Yield one text in order, words shaded against the record's largest score; joined, they are the text itself.

    Raises:
      ValueError: a score is NaN.
    """
    text = record.texts[sentence]
    largest = float(np.max(np.abs(record.scores), initial=0.0))
    if np.isnan(largest):
        raise ValueError(
            f"scores must be numbers to shade words by, got nan in {record.guid!r}; the weights may have diverged"
        )
    position, was_cut = 0, record.truncated[sentence] > 0
    for word, score in zip(record.words, record.scores, strict=True):
        if word.sentence != sentence:
            continue
        if between := text[position : word.start]:
            yield Segment(between, is_cut=was_cut and not between.isspace())
        share = abs(float(score)) / largest if largest else 0.0
        yield Segment(word.text, float(score), round(share * DARKEST))
        position = word.end
    if rest := text[position:]:
        yield Segment(rest, is_cut=was_cut and not rest.isspace())


def report(records: Sequence[explanation_lib.Explanation], title: str) -> str:
    """Return a self-contained page with every record's text, words shaded by score.

    Args:
      records: explanations of one method.

    Raises:
      ValueError: there are no records.
    """
    if not records:
        raise ValueError("a report must show at least one explanation, got none")
    labelled = [record for record in records if record.gold is not None]
    return _TEMPLATES.get_template("report.html").render(
        title=title,
        method=records[0].method,
        cards=[_card(record) for record in records],
        count=len(records),
        labelled=len(labelled),
        right=sum(record.predicted == record.gold for record in labelled),
        scale=[
            (*palette.sequential(step / DARKEST), *palette.sequential_on_dark(step / DARKEST))
            for step in range(DARKEST + 1)
        ],
    )


def _card(record: explanation_lib.Explanation) -> dict[str, object]:
    ranked = sorted(zip(record.scores, record.words, strict=True), key=lambda pair: -abs(pair[0]))
    return {
        "record": record,
        "texts": [list(segments(record, sentence)) for sentence in range(len(record.texts))],
        "probabilities": list(zip(record.labels, record.probabilities, strict=True)),
        "top": [(word.text, float(score)) for score, word in ranked[:_TOP_WORDS]],
        "cut": sum(record.truncated),
        "is_wrong": record.gold is not None and record.gold != record.predicted,
    }

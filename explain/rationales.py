"""How well an explanation finds the words that people marked: token F1, AUPRC, average precision, IOU-F1.

Every measure has one value a document, so that intervals and paired differences (`statistics`) can be made of them.
Documents in which nobody marked a token are left out and counted. Files are read and written by `rationale_files`.

Sources: DeYoung et al. 2020 (ERASER, section 4); Mathew et al. 2021 (HateXplain, section 5).
"""

import bisect
import dataclasses
import itertools
import math
from collections.abc import Collection, Iterable, Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn import metrics

from explain import words as words_lib

Mask: TypeAlias = npt.NDArray[np.bool_]
Scores: TypeAlias = npt.NDArray[np.float64]
Span: TypeAlias = tuple[int, int]
"""First token and the one after the last."""

IOU_THRESHOLD = 0.5  # ERASER, section 4.1


class Rationale(NamedTuple):
    """A document and what people marked in it as the reason for its label.

    Attributes:
      guid: identifier of the document in its file.
      tokens: as the data set cuts them, at white space; not WordPieces.
      mask: whether each token was marked.
    """

    guid: str
    tokens: tuple[str, ...]
    mask: tuple[bool, ...]
    label: str

    @property
    def text(self) -> str:
        """What a model is given to read."""
        return " ".join(self.tokens)


class Lengths(NamedTuple):
    """How much people marked.

    Attributes:
      marked: documents with a marked token; the means are over these.
      mean_tokens: marked tokens a document.
      mean_share: marked share of a document's tokens.
    """

    documents: int
    marked: int
    mean_tokens: float
    mean_share: float

    def __str__(self) -> str:
        return (
            f"{self.documents} documents, {self.marked} with marked tokens: {self.mean_tokens:.1f} or "
            f"{self.mean_share:.1%} of their tokens on average"
        )


@dataclasses.dataclass(frozen=True)
class TopK:
    """How many tokens a hard rationale holds; stated beside every figure made with it.

    HateXplain takes `TopK(5)`, ERASER the mean length of the data set's rationales: `TopK(lengths.mean_tokens)`, or
    `TopK(lengths.mean_share, "share")`.

    Attributes:
      k: tokens, or a share of each document's.
    """

    k: float
    unit: Literal["tokens", "share"] = "tokens"

    def __post_init__(self) -> None:
        if not 0 < self.k <= (1 if self.unit == "share" else math.inf):
            raise ValueError(
                f"k must be above 0, and at most 1 if it is a share, got {self.k} ({self.unit}); take the mean length "
                "of the rationales, or 5"
            )

    def count(self, length: int) -> int:
        """Return the tokens to select of a document: rounded, halves up, and at least one.

        >>> TopK(0.25, "share").count(10)
        3
        """
        wanted = self.k if self.unit == "tokens" else self.k * length
        return max(1, math.floor(wanted + 0.5)) if wanted < length else length

    def __str__(self) -> str:
        return f"{self.k:g} tokens" if self.unit == "tokens" else f"{self.k:.1%} of the tokens"


class Agreement(NamedTuple):
    """Precision, recall and their harmonic mean, of one document."""

    precision: float
    recall: float
    f1: float


class DocumentValues(NamedTuple):
    """The measures, float64[n] each: one value a judged document.

    Attributes:
      iou_f1: adjacent tokens merged into spans on both sides, so that recall is at most 1.
      eraser_iou_precision: each selected token a span of its own, as HateXplain's figures were made.
      eraser_iou_recall: of the same; above 1 where several of them match one span.
    """

    token_precision: Scores
    token_recall: Scores
    token_f1: Scores
    auprc: Scores
    average_precision: Scores
    iou_precision: Scores
    iou_recall: Scores
    iou_f1: Scores
    eraser_iou_precision: Scores
    eraser_iou_recall: Scores


class Plausibility(NamedTuple):
    """How well scores agree with what people marked.

    Attributes:
      guids: the judged documents, in the order of `values`.
      skipped: documents without a marked token, which are not judged.
    """

    guids: tuple[str, ...]
    values: DocumentValues
    skipped: int
    top_k: TopK

    def figures(self) -> dict[str, float]:
        """Return the mean of each measure, and `eraser_iou_f1`, the F1 of its two means."""
        means = {name: float(np.mean(values)) for name, values in self.values._asdict().items()}
        raw = f1(means["eraser_iou_precision"], means["eraser_iou_recall"])
        return means | {"eraser_iou_f1": raw}


def lengths(rationales: Collection[Rationale]) -> Lengths:
    """Count what people marked; the means are NaN where they marked nothing."""
    counts = np.array([(sum(item.mask), len(item.mask)) for item in rationales if any(item.mask)])
    if not len(counts):
        return Lengths(len(rationales), 0, math.nan, math.nan)
    shares = counts[:, 0] / counts[:, 1]
    return Lengths(
        len(rationales), len(counts), float(np.mean(counts[:, 0])), float(np.mean(shares))
    )


def align(tokens: Sequence[str], words: Iterable[words_lib.Word]) -> tuple[int, ...]:
    """Return the index of the token that each word of `" ".join(tokens)` stands in.

    >>> align(("a", "film!"), [words_lib.Word("film!", 2, 7)])
    (1,)

    Raises:
      ValueError: a word is not of that text.
    """
    text = " ".join(tokens)
    ends = list(itertools.accumulate(len(token) + 1 for token in tokens))  # with the space behind
    places = []
    for number, word in enumerate(words):
        place = bisect.bisect_right(ends, word.start)
        is_inside = place < len(ends) and word.end < ends[place] and not word.sentence
        if not is_inside or text[word.start : word.end] != word.text:
            # Without the word itself: texts may be such that no log should show them.
            raise ValueError(
                f"words must be those of the tokens joined by single spaces, got word {number} at characters "
                f"{word.start} to {word.end} of sentence {word.sentence}; explain that text"
            )
        places.append(place)
    return tuple(places)


def token_scores(
    tokens: Sequence[str], words: Sequence[words_lib.Word], scores: npt.ArrayLike
) -> Scores:
    """Sum the scores of words over the tokens they stand in.

    Args:
      scores: float[w].

    Returns:
      float64[t]; -inf where no word stands, because the model did not read the token.

    Raises:
      ValueError: there is not one score a word, or a word is not of these tokens.
    """
    values = np.asarray(scores, np.float64)
    if values.shape != (len(words),):
        raise ValueError(
            f"scores must hold one score a word, got shape {values.shape} for {len(words)} words"
        )
    places = np.array(align(tokens, words), np.int64)
    sums = np.bincount(places, values, len(tokens))
    return np.where(np.bincount(places, minlength=len(tokens)), sums, -np.inf)


def hard_rationale(scores: Scores, top_k: TopK) -> Mask:
    """Select the tokens of highest score, the first of equals; never one that the model did not read (-inf)."""
    chosen = np.argsort(-scores, kind="stable")[: top_k.count(len(scores))]
    selected = np.zeros(len(scores), np.bool_)
    selected[chosen] = True
    return selected & (scores > -np.inf)


def spans(mask: Sequence[bool] | Mask) -> tuple[Span, ...]:
    """Merge marked tokens that stand side by side.

    >>> spans([True, True, False, True])
    ((0, 2), (3, 4))
    """
    edges = np.flatnonzero(np.diff(np.asarray(mask, np.int8), prepend=0, append=0))
    return tuple((int(start), int(end)) for start, end in edges.reshape(-1, 2))


def one_token_spans(mask: Sequence[bool] | Mask) -> tuple[Span, ...]:
    """Return each marked token as a span of its own, as HateXplain hands its predictions to ERASER's scorer."""
    return tuple((int(place), int(place) + 1) for place in np.flatnonzero(mask))


def f1(precision: float, recall: float) -> float:
    """Return the harmonic mean; 0 where both are 0."""
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def token_agreement(gold: Mask, selected: Mask) -> Agreement:
    """Compare two sets of tokens.

    Source: DeYoung et al. 2020, section 4.1.
    """
    return _agreement(int(np.sum(gold & selected)), int(np.sum(selected)), int(np.sum(gold)))


def span_agreement(gold: Sequence[Span], selected: Sequence[Span]) -> Agreement:
    """Count a selected span as right where its intersection with a human span is at least half of their union.

    Of spans that do not touch, as `spans` makes them, one can match but one, so that no human span counts twice. Of
    spans that do touch, such as single tokens, several may match one, and recall may exceed 1: ERASER's scorer counts
    so.

    Source: DeYoung et al. 2020, section 4.1, and its code's `partial_match_score`.
    """
    matches = sum(any(_iou(span, other) >= IOU_THRESHOLD for other in gold) for span in selected)
    return _agreement(matches, len(selected), len(gold))


def auprc(gold: Mask, scores: Scores) -> float:
    """Return the area under the precision-recall curve by the trapezoidal rule, as ERASER's scorer does.

    It interpolates between scores, which average precision does not, and so is another number.
    """
    precision, recall, _ = metrics.precision_recall_curve(gold, _ranks(scores))
    return float(metrics.auc(recall, precision))


def average_precision(gold: Mask, scores: Scores) -> float:
    """Return the mean of the precisions at each rise in recall."""
    return float(metrics.average_precision_score(gold, _ranks(scores)))


def measure(
    rationales: Sequence[Rationale], scores: Sequence[npt.ArrayLike], top_k: TopK
) -> Plausibility:
    """Judge explanations by what people marked.

    Args:
      scores: float[t] of each document, as `token_scores` returns them; -inf: the model did not read the token.

    Raises:
      ValueError: there is not one score a token of each document, a score is NaN, or no document has a marked token.
    """
    if len(scores) != len(rationales):
        raise ValueError(
            f"scores must hold one array a document, got {len(scores)} for {len(rationales)} documents"
        )
    judged = [
        (item, given) for item, given in zip(rationales, scores, strict=True) if any(item.mask)
    ]
    if not judged:
        raise ValueError(
            f"rationales must hold a document with a marked token, got none in {len(rationales)}; choose others"
        )
    rows = [_document_values(item, np.asarray(given, np.float64), top_k) for item, given in judged]
    return Plausibility(
        tuple(item.guid for item, _ in judged),
        DocumentValues(*np.array(rows).T),
        len(rationales) - len(judged),
        top_k,
    )


def _document_values(rationale: Rationale, scores: Scores, top_k: TopK) -> tuple[float, ...]:
    if scores.shape != (len(rationale.tokens),) or np.isnan(scores).any():
        raise ValueError(
            f"{rationale.guid}: scores must hold one number a token, got shape {scores.shape} with "
            f"{np.isnan(scores).sum()} NaN for {len(rationale.tokens)} tokens; see token_scores"
        )
    gold, selected = np.array(rationale.mask, np.bool_), hard_rationale(scores, top_k)
    return (
        *token_agreement(gold, selected),
        auprc(gold, scores),
        average_precision(gold, scores),
        *span_agreement(spans(gold), spans(selected)),
        *span_agreement(spans(gold), one_token_spans(selected))[:2],
    )


def _agreement(matches: int, selected: int, gold: int) -> Agreement:
    precision = matches / selected if selected else 0.0
    recall = matches / gold if gold else 0.0
    return Agreement(precision, recall, f1(precision, recall))


def _iou(span: Span, other: Span) -> float:
    shared = max(0, min(span[1], other[1]) - max(span[0], other[0]))
    return shared / (span[1] - span[0] + other[1] - other[0] - shared)


def _ranks(scores: Scores) -> npt.NDArray[np.int64]:
    """Return the place of each score among the different ones: what both areas depend on, and finite for -inf."""
    return np.unique(scores, return_inverse=True)[1]

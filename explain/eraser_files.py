"""What ERASER's official scorer reads: a data set with human rationales, and explanations of its documents.

The scorer is `rationale_benchmark/metrics.py` of the benchmark's code; with the two files below it runs as
`--data_dir FOLDER --split SPLIT --results FILE`.

Source: DeYoung et al. 2020 and its code for the formats.
"""

import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from bert import files
from explain import rationales as rationales_lib

Row: TypeAlias = dict[str, object]
Probabilities: TypeAlias = Mapping[str, float]
"""Label -> probability; together 1."""


class Threshold(NamedTuple):
    """What a model answers when a share of the tokens, those of highest score, is gone, or all that is left.

    Attributes:
      share: of the document's tokens; ERASER's are 0.01, 0.05, 0.1, 0.2 and 0.5.
      without: probabilities when they are gone, for comprehensiveness.
      only: probabilities when they are all that is left, for sufficiency.
    """

    share: float
    without: Probabilities
    only: Probabilities


class Answers(NamedTuple):
    """What a model answers to a document, to it without its hard rationale, and to the hard rationale alone."""

    predicted: str
    full: Probabilities
    without: Probabilities
    only: Probabilities
    thresholds: tuple[Threshold, ...] = ()


class Prediction(NamedTuple):
    """An explanation as ERASER's scorer wants it.

    Attributes:
      scores: float64[t], one a token; -inf: the model did not read it.
      spans: the hard rationale, as `rationales.spans` or `rationales.one_token_spans` makes it.
      answers: None leaves the scorer's classification part out; all predictions of a file have them, or none.
    """

    guid: str
    scores: rationales_lib.Scores
    spans: tuple[rationales_lib.Span, ...]
    answers: Answers | None = None


def write_data(
    folder: files.Path, split: str, rationales: Sequence[rationales_lib.Rationale]
) -> None:
    """Write documents and human rationales as an ERASER data set, adjacent marked tokens as one span.

    Raises:
      ValueError: as `require_documents`.
    """
    require_documents(rationales)
    for item in rationales:
        files.write_text(pathlib.Path(folder) / "docs" / item.guid, item.text + "\n")
    _write_lines(pathlib.Path(folder) / f"{split}.jsonl", map(_annotation, rationales))


def require_documents(rationales: Iterable[rationales_lib.Rationale]) -> None:
    """Refuse what `write_data` cannot write.

    Raises:
      ValueError: a guid is no file name, or a token holds white space, so that the scorer would count other tokens.
    """
    for item in rationales:
        if not item.guid or item.guid in {".", ".."} or {"/", "\\", "\0"} & set(item.guid):
            raise ValueError(
                f"guid must be a file name to be a docid, got {item.guid!r}; rename it"
            )
        if item.text.split() != list(item.tokens):
            raise ValueError(
                f"{item.guid}: tokens must be free of white space and not empty; join or split them"
            )


def write_predictions(path: files.Path, predictions: Iterable[Prediction]) -> None:
    """Write the results file of ERASER's scorer.

    Tokens that the model did not read get a score just below the lowest of the others, for the scorer takes finite
    numbers only.

    Raises:
      ValueError: a score is NaN or inf.
    """
    _write_lines(path, map(_instance, predictions))


def _annotation(item: rationales_lib.Rationale) -> Row:
    evidence = [
        {
            "docid": item.guid,
            "start_token": start,
            "end_token": end,
            "start_sentence": -1,  # unknown, as the scorer spells it
            "end_sentence": -1,
            "text": " ".join(item.tokens[start:end]),
        }
        for start, end in rationales_lib.spans(item.mask)
    ]
    return {
        "annotation_id": item.guid,
        "classification": item.label,
        "evidences": [[piece] for piece in evidence],
        "query": "",
        "query_type": None,
    }


def _instance(prediction: Prediction) -> Row:
    guid, scores, hard, answers = prediction
    if np.isnan(scores).any() or np.isposinf(scores).any():
        raise ValueError(
            f"{guid}: scores must be finite, or -inf for an unread token; got NaN or inf"
        )
    is_read = np.isfinite(scores)
    lowest = np.nextafter(scores[is_read].min(initial=0.0), -np.inf)
    rationale: Row = {
        "docid": guid,
        "hard_rationale_predictions": [{"start_token": a, "end_token": b} for a, b in hard],
        "soft_rationale_predictions": np.where(is_read, scores, lowest).tolist(),
    }
    instance: Row = {"annotation_id": guid, "rationales": [rationale]}
    if answers is None:
        return instance
    instance |= {"classification": answers.predicted, "classification_scores": dict(answers.full)}
    instance |= _removed(answers.without, answers.only)
    if answers.thresholds:
        instance["thresholded_scores"] = [
            {"threshold": share, **_removed(without, only)}
            for share, without, only in answers.thresholds
        ]
    return instance


def _removed(without: Probabilities, only: Probabilities) -> Row:
    return {
        "comprehensiveness_classification_scores": dict(without),
        "sufficiency_classification_scores": dict(only),
    }


def _write_lines(path: files.Path, rows: Iterable[Row]) -> None:
    files.write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))

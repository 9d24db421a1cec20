"""Every method on a few texts, measured by every protocol: a line of figures a text.

Leaves to others: the measures (`faithfulness`, `rationales`, `robustness`), files of lines (`evaluation_files`), what
lines amount to (`results`).
"""

import collections
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import special

from bert import datasets
from bert import features
from explain import explainer as explainer_lib
from explain import explanation
from explain import faithfulness
from explain import predictor as predictor_lib
from explain import rationales as rationales_lib
from explain import robustness
from explain import statistics

Line: TypeAlias = dict[str, Any]
"""What was measured of one text, as JSON holds it."""
_ByMethod: TypeAlias = dict[str, dict[str, faithfulness.Metrics]]


class Sides(NamedTuple):
    """What answers the questions of an evaluation.

    Attributes:
      explainer: explains by every method that is measured.
      predictor: answers for texts with words taken out.
      randomised: explainers by the same methods with weights drawn anew, by what of them was.
      nearby: explainers by the same methods with word embeddings moved a little.
      others: explanations of the same texts that were made elsewhere, by method and guid.
    """

    explainer: explainer_lib.Explainer
    predictor: predictor_lib.Predictor
    randomised: Mapping[str, explainer_lib.Explainer] = {}
    nearby: Sequence[explainer_lib.Explainer] = ()
    others: Mapping[str, Mapping[str, explanation.Explanation]] = {}


class Plan(NamedTuple):
    """What is measured.

    Attributes:
      draws: random rankings that the floor is a mean of.
      seed: of these.
      sanity_texts: so many of the first texts are also explained for another class and by the altered explainers.
      top_k: how much of a document a hard rationale holds.
    """

    protocols: Sequence[faithfulness.Protocol]
    draws: int = 20
    seed: int = 0
    sanity_texts: int = 0
    top_k: rationales_lib.TopK = rationales_lib.TopK(5)


def with_hard_rationale(
    protocols: Sequence[faithfulness.Protocol], top_k: rationales_lib.TopK
) -> list[faithfulness.Protocol]:
    """Add `hard_rationale` where both of ERASER's protocols stand, most of whose questions are its own.

    Its `comprehensiveness` and `sufficiency` are the falls of the target's probability without the hard rationale and
    with it alone; `probabilities` are all that `eraser_files.Answers` holds, f[13 * c]: of the full text, without the
    rationale, with it alone, then without and with the top of each bin alone. Words are the units: a token of several
    CJK characters is several.

    Source: DeYoung et al. 2020, section 4.2.
    """
    known = {protocol.name: protocol for protocol in protocols}
    halves = [known.get(name) for name in ("eraser_comprehensiveness", "eraser_sufficiency")]
    bins = [half for half in halves if half]
    if len(bins) < len(halves):
        return list(protocols)

    def sets(
        case: faithfulness.Case, scores: faithfulness.Scores, key: Sequence[int]
    ) -> list[faithfulness.Words]:
        chosen = rationales_lib.hard_rationale(np.asarray(scores, np.float64), top_k)
        top, rest = (frozenset(np.flatnonzero(part).tolist()) for part in (chosen, ~chosen))
        return [top, rest, *(words for half in bins for words in half.sets(case, scores, key))]

    def score(answers: faithfulness.Answers) -> faithfulness.Metrics:
        logits = np.concatenate([answers.case.logits[np.newaxis], answers.logits])
        return {
            "comprehensiveness": float(answers.drops[0]),
            "sufficiency": float(answers.drops[1]),
            "probabilities": special.softmax(logits.astype(np.float64), axis=1).ravel().tolist(),
        }

    added = faithfulness.Protocol("hard_rationale", bins[0].removal, sets, score)
    return [*protocols, added]


def sample(
    examples: Iterable[datasets.InputExample], seed: int, count: int | None = None
) -> list[datasets.InputExample]:
    """Return examples in an order drawn by a seed, the first `count` of it: files are often sorted by class.

    Raises:
      ValueError: two have one guid.
    """
    known = list(examples)
    for guid, times in collections.Counter(example.guid for example in known).items():
        if times > 1:
            raise ValueError(f"every text must have an id of its own, got {guid!r} twice")
    order = np.random.default_rng(seed).permutation(len(known))
    return [known[place] for place in order[:count]]


def measure(
    sides: Sides,
    plan: Plan,
    examples: Sequence[datasets.InputExample],
    rationales: Mapping[str, rationales_lib.Rationale],
    *,
    first: int = 0,
) -> Iterator[Line]:
    """Yield what is measured of a few texts, which are asked about together; `first` others went before."""
    labels = sides.predictor.labels
    texts: list[explainer_lib.Text] = [
        example.text_a if example.text_b is None else (example.text_a, example.text_b)
        for example in examples
    ]
    ours = _by_text(sides.explainer(texts), len(texts))
    explained = [
        [*of_text, *_comparable(example.guid, of_text, sides.others)]
        for of_text, example in zip(ours, examples, strict=True)
    ]
    units = sides.predictor.units(texts)
    cases = [
        faithfulness.Case(
            unit,
            {record.method: record.scores for record in of_text},
            labels.index(of_text[0].predicted),
            None if example.label is None else features.label_index(example, labels),
            logits,
        )
        for unit, of_text, example, logits in zip(
            units,
            explained,
            examples,
            sides.predictor.logits([unit.ids for unit in units]),
            strict=True,
        )
    ]
    for example, of_text in zip(examples, explained, strict=True):
        _require_numbers(example.guid, of_text)
    measured = faithfulness.measure(
        cases, plan.protocols, sides.predictor.logits, draws=plan.draws, seed=plan.seed
    )
    sane = _sanity(sides, texts[: max(0, plan.sanity_texts - first)], ours)
    for index, (example, of_text, found) in enumerate(
        zip(examples, explained, measured, strict=True)
    ):
        of_methods, floor = found
        for record in of_text:
            of_method = of_methods[record.method]
            of_method["complexity"] = _complexity(record.scores)
            if index < len(sane):
                of_method |= sane[index].get(record.method, {})
        if (rationale := rationales.get(example.guid)) and any(rationale.mask):
            for record in of_text:
                of_methods[record.method]["rationales"] = _agreement(
                    rationale, record, record.scores, plan
                )
            floor["rationales"] = _agreement_of_random(rationale, of_text[0], plan, first + index)
        yield {
            "guid": example.guid,
            "gold": cases[index].gold,
            "predicted": cases[index].target,
            "probabilities": of_text[0].probabilities.tolist(),
            "words": [list(word) for word in of_text[0].words],
            "scores": {record.method: record.scores.tolist() for record in of_text},
            "signed": {record.method: record.signed for record in of_text},
            "measures": of_methods,
            "floor": floor,
        }


def _by_text(
    found: Sequence[explanation.Explanation], count: int
) -> list[Sequence[explanation.Explanation]]:
    each = len(found) // max(1, count)
    return [found[start : start + each] for start in range(0, len(found), each or 1)]


def _require_numbers(guid: str, records: Sequence[explanation.Explanation]) -> None:
    for record in records:
        if not np.all(np.isfinite(record.scores)):
            raise ValueError(
                f"{guid}: scores must be finite numbers, got others by {record.method}; leave that method out"
            )


def _comparable(
    guid: str,
    ours: Sequence[explanation.Explanation],
    others: Mapping[str, Mapping[str, explanation.Explanation]],
) -> Iterator[explanation.Explanation]:
    """Yield the explanations of a text that were made elsewhere.

    Raises:
      ValueError: a method has none of this text, or one of other words or of another class than the model's answer; or
        its name is that of one of ours.
    """
    count, methods = len(ours[0].words), {record.method for record in ours}
    for method, records in others.items():
        if (other := records.get(guid)) is None:
            raise ValueError(
                f"--records must hold an explanation of every text, got none of {guid!r} by {method}; give its guid"
            )
        told = f"the explanation of {guid!r} by {method}"
        if [word.text for word in other.words] != [word.text for word in ours[0].words]:
            raise ValueError(
                f"{told} must be of the {count} words that the model reads of this text, got {len(other.words)} "
                "words; cut it as the model does"
            )
        if other.target not in ("", ours[0].predicted):
            raise ValueError(
                f"{told} must be of the model's answer {ours[0].predicted!r}, got {other.target!r}"
            )
        if method in methods:
            raise ValueError(f"{told} must be the only one by that name; rename the method")
        yield other


def _complexity(scores: npt.NDArray[np.float32]) -> faithfulness.Metrics:
    return {
        "entropy": robustness.complexity(scores),
        "sparseness": robustness.sparseness(scores),
        "effective": robustness.effective_complexity(scores),
    }


def _sanity(
    sides: Sides,
    texts: Sequence[explainer_lib.Text],
    explained: Sequence[Sequence[explanation.Explanation]],
) -> list[_ByMethod]:
    """Compare explanations with those for the next likely class, and with those of the same by altered weights."""
    if not texts:
        return []
    predicted = [of_text[0].predicted for of_text in explained[: len(texts)]]
    second = [  # of equal ones the first is predicted, as by argmax
        int(np.argsort(-of_text[0].probabilities, kind="stable")[1])
        for of_text in explained[: len(texts)]
    ]
    count = len(texts)

    def again(
        explainer: explainer_lib.Explainer, labels: Sequence[str | int]
    ) -> list[dict[str, npt.NDArray[np.float32]]]:
        of_texts = _by_text(explainer(texts, "gold", labels=labels), count)
        return [{record.method: record.scores for record in of_text} for of_text in of_texts]

    other = again(sides.explainer, second)
    randomised = {name: again(side, predicted) for name, side in sides.randomised.items()}
    nearby = [again(side, predicted) for side in sides.nearby]

    def of_record(index: int, record: explanation.Explanation) -> dict[str, faithfulness.Metrics]:
        scores, method = record.scores, record.method
        found: dict[str, faithfulness.Metrics] = {
            "random_logit": {"spearman": statistics.spearman(scores, other[index][method])},
            "randomisation": {
                name: statistics.spearman(scores, of_texts[index][method])
                for name, of_texts in randomised.items()
            },
        }
        if nearby and len(scores):
            moved = np.stack([of_texts[index][method] for of_texts in nearby])
            found["sensitivity"] = {"max": robustness.max_sensitivity(scores, moved)}
        return found

    return [
        {record.method: of_record(index, record) for record in of_text}
        for index, of_text in enumerate(explained[:count])
    ]


def _agreement(
    rationale: rationales_lib.Rationale,
    record: explanation.Explanation,
    scores: npt.NDArray[Any],
    plan: Plan,
) -> faithfulness.Metrics:
    of_tokens = rationales_lib.token_scores(rationale.tokens, record.words, scores)
    values = rationales_lib.measure([rationale], [of_tokens], plan.top_k).values
    return {name: float(value[0]) for name, value in values._asdict().items()}


def _agreement_of_random(
    rationale: rationales_lib.Rationale, record: explanation.Explanation, plan: Plan, text: int
) -> faithfulness.Metrics:
    drawn = np.random.default_rng([plan.seed, text]).random((plan.draws, len(record.words)))
    found = [_agreement(rationale, record, scores, plan) for scores in drawn]
    return {
        name: float(np.mean([one[name] for one in found])) for name in (found[0] if found else ())
    }

"""Every method on every text of a file, measured: a line of figures a text, so that a run can be gone on with.

Leaves to others: the measures (`faithfulness`, `rationales`, `robustness`), what the lines amount to (`results`).
"""

import itertools
import json
import math
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from bert import datasets
from bert import files
from explain import explainer as explainer_lib
from explain import explanation
from explain import faithfulness
from explain import predictor as predictor_lib
from explain import rationales as rationales_lib
from explain import robustness
from explain import statistics
from explain import words as words_lib

Line: TypeAlias = dict[str, Any]
"""What was measured of one text; the first line of a file holds the settings that all others were measured by."""
_ByMethod: TypeAlias = dict[str, dict[str, faithfulness.Metrics]]
_TEXTS_AT_ONCE = 16


class Sides(NamedTuple):
    """What answers the questions of an evaluation.

    Attributes:
      explainer: explains by every method that is measured.
      predictor: answers for texts with words taken out.
      randomised: explainers by the same methods with weights drawn anew, by what of them was.
      nearby: explainers by the same methods with word embeddings moved a little.
      others: explanations of the same texts that were made elsewhere, by guid.
    """

    explainer: explainer_lib.Explainer
    predictor: predictor_lib.Predictor
    randomised: Mapping[str, explainer_lib.Explainer] = {}
    nearby: Sequence[explainer_lib.Explainer] = ()
    others: Mapping[str, Sequence[explanation.Explanation]] = {}


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


def run(
    sides: Sides,
    plan: Plan,
    examples: Iterable[datasets.InputExample],
    rationales: Mapping[str, rationales_lib.Rationale],
    path: pathlib.Path,
    settings: Mapping[str, Any],
) -> Iterator[Line]:
    """Measure texts and append a line for each to a file, a few texts at a time; yield the lines, old and new.

    A file that is there is gone on with: its texts must be the first of `examples`.

    Args:
      rationales: what people marked, by guid.
      settings: whatever the figures depend on; the file's own must be the same.

    Raises:
      ValueError: the file was begun with other settings, or with other texts; or an explanation made elsewhere is of
        other words.
    """
    header = json.loads(json.dumps({"settings": settings}))
    done = _go_on(path, header)
    source, count = iter(examples), 0
    for line in lines_of(path):
        example = next(source, None)
        if example is None:
            return
        if example.guid != line["guid"]:
            raise ValueError(
                f"{path}: text {count + 1} must be {example.guid!r}, as in the data, got {line['guid']!r}; take the "
                "same data, or another --output"
            )
        count += 1
        yield line
    assert count == done
    with open(path, "a", encoding="utf-8") as file:
        while chunk := list(itertools.islice(source, _TEXTS_AT_ONCE)):
            for line in measure(sides, plan, chunk, rationales, first=count):
                file.write(json.dumps(line) + "\n")
                yield line
            file.flush()
            os.fsync(file.fileno())
            count += len(chunk)


def lines_of(path: pathlib.Path) -> Iterator[Line]:
    """Yield what a file of `run` holds of each text."""
    with open(path, encoding="utf-8") as file:
        next(file)
        yield from map(json.loads, file)


def save(results: Mapping[str, Any], path: files.Path) -> None:
    """Write results as JSON; what is no finite number is null, so that any reader can read it."""
    text = json.dumps(_finite(results), indent=1, allow_nan=False)
    files.write_text(path, text + "\n")


def records(lines: Iterable[Line], labels: Sequence[str]) -> Iterator[explanation.Explanation]:
    """Yield the explanations that lines hold: words and their scores, without the tokens."""
    nothing = np.zeros(0, np.float32)
    for line in lines:
        words = tuple(words_lib.Word(*word) for word in line["words"])
        for method, scores in line["scores"].items():
            predicted = labels[line["predicted"]]
            yield explanation.Explanation(
                guid=line["guid"],
                texts=("",),
                words=words,
                scores=np.array(scores, np.float32),
                tokens=(),
                token_scores=nothing,
                labels=tuple(labels),
                probabilities=np.array(line["probabilities"], np.float32),
                predicted=predicted,
                gold=None if line["gold"] is None else labels[line["gold"]],
                method=method,
                target=predicted,
            )


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
        [*of_text, *_same_words(of_text[0], sides.others.get(example.guid, ()))]
        for of_text, example in zip(ours, examples, strict=True)
    ]
    units = sides.predictor.units(texts)
    cases = [
        faithfulness.Case(
            unit,
            {record.method: record.scores for record in of_text},
            labels.index(of_text[0].predicted),
            None if example.label is None else labels.index(example.label),
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
            "measures": of_methods,
            "floor": floor,
        }


def _go_on(path: pathlib.Path, header: Line) -> int:
    """Begin a file, or cut a half-written line off an old one; return how many texts it holds.

    Raises:
      ValueError: the file was begun with other settings.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(header) + "\n", encoding="utf-8")
        return 0
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    lines = whole.splitlines()
    before = json.loads(lines[0])["settings"] if lines else {}
    now = header["settings"]
    if changed := [name for name in {**before, **now} if before.get(name) != now.get(name)]:
        raise ValueError(
            f"{path} must be gone on with as it was begun, but {', '.join(sorted(changed))} differ; take the same "
            "options, or another --output, or delete the file"
        )
    return len(lines) - 1


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(of_name) for name, of_name in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _by_text(
    found: Sequence[explanation.Explanation], count: int
) -> list[Sequence[explanation.Explanation]]:
    each = len(found) // max(1, count)
    return [found[start : start + each] for start in range(0, len(found), each or 1)]


def _same_words(
    ours: explanation.Explanation, others: Sequence[explanation.Explanation]
) -> Sequence[explanation.Explanation]:
    """Return explanations made elsewhere.

    Raises:
      ValueError: one is of other words than the model reads.
    """
    for other in others:
        if [word.text for word in other.words] != [word.text for word in ours.words]:
            raise ValueError(
                f"the explanation of {other.guid!r} by {other.method} must be of the {len(ours.words)} words that the "
                f"model reads of this text, got {len(other.words)} words; cut it as the model does"
            )
    return others


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
    second = [int(np.argsort(of_text[0].probabilities)[-2]) for of_text in explained[: len(texts)]]
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

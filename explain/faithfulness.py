"""Faithfulness: does the model's answer change as an explanation says it would, when words are taken away?

A protocol is data: which sets of words go, and what is made of the answers that come back. So the sets of all texts,
methods, protocols and random rankings are asked in one go, each set once.

Words are the units and special tokens stay. A ranking goes by signed score, highest first; ties by position. A share of
the words is rounded up, as ALTI's code does; ERASER's code leaves it to the user, DecompX's paper does not say. So a
share is never no word at all, and several bins of a short text can be the same set.

Leaves to others: the model (a `Predict` callable), means and intervals over texts (`statistics`).

Sources: DeYoung et al. 2020 (ERASER); Samek et al. 2017 (AOPC); Modarressi et al. 2023 (DecompX); Petsiuk et al. 2018
(deletion, insertion); Wu and Ong 2021 (BERT-LRP); Yeh et al. 2019 (infidelity); Bhatt et al. 2020 (correlation).
"""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import integrate
from scipy import special

from explain import removal as removal_lib
from explain import statistics

Scores: TypeAlias = npt.NDArray[np.float32]
Logits: TypeAlias = npt.NDArray[np.float32]
Numbers: TypeAlias = npt.NDArray[np.float64]
Words: TypeAlias = frozenset[int]
Metrics: TypeAlias = dict[str, float | list[float]]
Predict: TypeAlias = Callable[[Sequence[removal_lib.Ids]], Logits]
"""Texts to their logits, f[n, c], in the same order; softmax is taken here."""

ERASER_BINS = (1, 5, 10, 20, 50)  # per cent
DECOMPX_RATIOS = tuple(range(10, 100, 10))
CURVE_SHARES = tuple(range(0, 101, 10))
MOST_DELETED_WORDS = 10  # BERT-LRP's; a text must have as many
RANDOM_SUBSETS, SUBSET_SHARE = 50, 20  # Quantus: 100 subsets of 224 of an image's pixels
_FLOOR, _SUBSETS = range(2)  # streams of random numbers


class Case(NamedTuple):
    """One text and its explanations.

    Attributes:
      scores: f[w] by the name of the method; higher speaks more for the target.
      target: the explained class, whose probability is followed. ERASER and DecompX take the predicted one.
      gold: the true class; None where it is not known.
      logits: f[c] of the full text.
    """

    units: removal_lib.Units
    scores: Mapping[str, Scores]
    target: int
    gold: int | None
    logits: Logits


class Answers(NamedTuple):
    """What a model said about one ranking of a text's words.

    Attributes:
      scores: f[w], which the ranking goes by.
      removed: the sets of words that were removed.
      logits: f[k, c], one row a set.
    """

    case: Case
    scores: Scores
    removed: Sequence[Words]
    logits: Logits

    @property
    def probabilities(self) -> Numbers:
        """f[k] of the target."""
        return _probability(self.logits, self.case.target)

    @property
    def drops(self) -> Numbers:
        """f[k], the fall of the target's probability from that of the full text."""
        return _probability(self.case.logits, self.case.target) - self.probabilities

    @property
    def is_gold(self) -> Numbers:
        """f[k], 1.0 where the model still answers with the true class."""
        answers = np.argmax(self.logits, axis=1).tolist()
        return np.array([answer == self.case.gold for answer in answers], np.float64)


Sets: TypeAlias = Callable[[Case, Scores, Sequence[int]], list[Words]]


class Protocol(NamedTuple):
    """A way to measure; `_replace(name=..., removal=...)` gives the same with another removal.

    Attributes:
      sets: from a text, the scores of a method and a seed of the text to the sets of words to remove; none where the
        protocol has nothing to say about the text. The seed is the same for all methods.
      score: the metrics by name. Those that cannot be had (no gold label) are absent.
    """

    name: str
    removal: removal_lib.Removal
    sets: Sets
    score: Callable[[Answers], Metrics]


class Measured(NamedTuple):
    """What was measured on one text.

    Attributes:
      methods: metrics by method and protocol.
      floor: metrics by protocol, their mean over random scores: what a ranking without knowledge reaches.
    """

    methods: dict[str, dict[str, Metrics]]
    floor: dict[str, Metrics]


def measure(
    cases: Sequence[Case],
    protocols: Sequence[Protocol],
    predict: Predict,
    *,
    draws: int = 20,
    seed: int = 0,
) -> list[Measured]:
    """Measure all methods on each text, by all protocols.

    `predict` is called once, or not at all; a set that several methods, protocols or draws remove from a text in the
    same way is asked once, and the full text never. A protocol that says nothing about a text (it has no words, say)
    gives no metrics.

    Args:
      draws: how many random scores the floor is a mean of, uniform in [0, 1); 0 leaves it out. They are a function of
        the seed and the text, whatever other texts stand beside it.

    Raises:
      ValueError: two protocols share a name, a method's scores are not finite numbers, one a word, or `predict` gives
        not one row a text.
    """
    names = [protocol.name for protocol in protocols]
    if len(set(names)) < len(names):
        raise ValueError(f"protocols must have names of their own, got {', '.join(names)}")
    trials = list(_trials(cases, protocols, draws, seed))
    answers = _ask(cases, [question for trial in trials for question in trial.questions], predict)
    measured = [Measured({method: {} for method in case.scores}, {}) for case in cases]
    drawn: dict[tuple[int, str], list[Metrics]] = {}
    for trial in trials:
        protocol, metrics = trial.protocol, {}
        if trial.removed:
            logits = np.stack([answers[question] for question in trial.questions])
            answered = Answers(cases[trial.text], trial.scores, trial.removed, logits)
            metrics = protocol.score(answered)
        if trial.method is None:
            drawn.setdefault((trial.text, protocol.name), []).append(metrics)
        else:
            measured[trial.text].methods[trial.method][protocol.name] = metrics
    for (text, name), metrics_of_draws in drawn.items():
        measured[text].floor[name] = _mean(metrics_of_draws)
    return measured


class _Question(NamedTuple):
    text: int
    removal: removal_lib.Removal
    removed: Words


class _Trial(NamedTuple):
    """One ranking of one text's words, put to one protocol; `method` is None for random scores."""

    text: int
    method: str | None
    scores: Scores
    protocol: Protocol
    removed: list[Words]

    @property
    def questions(self) -> list[_Question]:
        return [_Question(self.text, self.protocol.removal, words) for words in self.removed]


def _trials(
    cases: Sequence[Case], protocols: Sequence[Protocol], draws: int, seed: int
) -> Iterator[_Trial]:
    for text, case in enumerate(cases):
        key = (seed, zlib.crc32(repr(case.units.ids.input_ids).encode()))
        for method, scores in _rankings(case, draws, key):
            for protocol in protocols:
                sets = protocol.sets(case, scores, key) if len(scores) else []
                yield _Trial(text, method, scores, protocol, sets)


def _rankings(case: Case, draws: int, key: Sequence[int]) -> Iterator[tuple[str | None, Scores]]:
    """Yield the scores of each method by its name, then random ones by None."""
    count = case.units.word_count
    for method, scores in case.scores.items():
        if np.shape(scores) != (count,) or not np.all(np.isfinite(scores)):
            raise ValueError(
                f"scores of {method!r} must be finite numbers, one a word ({count}), got {scores!r:.80}"
            )
        yield method, scores
    drawn = np.random.default_rng([*key, _FLOOR]).random((draws, count), np.float32)
    yield from ((None, row) for row in drawn)


def _ask(
    cases: Sequence[Case], questions: Sequence[_Question], predict: Predict
) -> dict[_Question, Logits]:
    """Return the logits f[c] of each question; where nothing is removed they are known."""
    distinct = dict.fromkeys(questions)
    asked = [question for question in distinct if question.removed]
    rows = [removal_lib.without(cases[text].units, words, how) for text, how, words in asked]
    logits = predict(rows) if rows else ()
    if len(logits) != len(rows):
        raise ValueError(f"predict must give one row a text, got {len(logits)} for {len(rows)}")
    known = {question: cases[question.text].logits for question in distinct}
    return known | dict(zip(asked, logits, strict=True))


def _mean(drawn: Sequence[Metrics]) -> Metrics:
    """Return the mean of each metric over draws; of a list of numbers, place by place."""
    return {name: np.mean([each[name] for each in drawn], axis=0).tolist() for name in drawn[0]}


def _probability(logits: Logits, target: int) -> Numbers:
    probabilities: Numbers = special.softmax(np.asarray(logits, np.float64), axis=-1)
    return probabilities[..., target]


def _ranking(scores: Scores) -> list[int]:
    order: list[int] = np.argsort(-np.asarray(scores), kind="stable").tolist()
    return order


def _count(percent: int, words: int) -> int:
    return -(-percent * words // 100)  # rounded up, in integers: 0.07 * 100 is 7.000000000000001


def _without_top(percents: Sequence[int]) -> Sets:
    def sets(_: Case, scores: Scores, __: Sequence[int]) -> list[Words]:
        ranking = _ranking(scores)
        return [frozenset(ranking[: _count(percent, len(ranking))]) for percent in percents]

    return sets


def _with_only_top(percents: Sequence[int]) -> Sets:
    def sets(_: Case, scores: Scores, __: Sequence[int]) -> list[Words]:
        ranking = _ranking(scores)
        return [frozenset(ranking[_count(percent, len(ranking)) :]) for percent in percents]

    return sets


def _top_words_where_right(case: Case, scores: Scores, _: Sequence[int]) -> list[Words]:
    ranking, answer = _ranking(scores), np.argmax(case.logits)
    is_right = len(ranking) >= MOST_DELETED_WORDS and case.target == answer == case.gold
    return [frozenset(ranking[:k]) for k in range(MOST_DELETED_WORDS + 1)] if is_right else []


def _each_word(_: Case, scores: Scores, __: Sequence[int]) -> list[Words]:
    return [frozenset([word]) for word in range(len(scores))]


def _random_subsets(_: Case, scores: Scores, key: Sequence[int]) -> list[Words]:
    draw, size = np.random.default_rng([*key, _SUBSETS]), _count(SUBSET_SHARE, len(scores))
    choices = (draw.choice(len(scores), size, replace=False) for _ in range(RANDOM_SUBSETS))
    return [frozenset(choice.tolist()) for choice in choices]


def _aopc_of_bins(answers: Answers) -> Metrics:
    """Return the fall in each bin, and both means of them that go by the name of AOPC.

    `aopc` is the mean over the bins, as ERASER's code has it. `aopc_paper` divides their sum by one more, as its
    paper has it: the empty set, which changes nothing, counts as a bin.
    """
    drops = answers.drops.tolist()
    metrics: Metrics = {f"at_{bin}": drop for bin, drop in zip(ERASER_BINS, drops, strict=True)}
    metrics |= {"aopc": sum(drops) / len(drops), "aopc_paper": sum(drops) / (len(drops) + 1)}
    return metrics


def _aopc_and_accuracy(answers: Answers) -> Metrics:
    metrics: Metrics = {"aopc": float(np.mean(answers.drops))}
    if answers.case.gold is not None:
        metrics["accuracy"] = float(np.mean(answers.is_gold))
    return metrics


def _curve(answers: Answers) -> Metrics:
    """Return the target's probability along the shares, and the area under it by trapezoids."""
    area = integrate.trapezoid(answers.probabilities, np.array(CURVE_SHARES) / 100)
    return {"auc": float(area), "curve": answers.probabilities.tolist()}


def _kept(answers: Answers) -> Metrics:
    """Return whether the answer is still right (1.0) without the top k words, from k = 0; mean from k = 1 on."""
    return {"kept": answers.is_gold.tolist(), "mean": float(np.mean(answers.is_gold[1:]))}


def _tau_b(answers: Answers) -> Metrics:
    return {"tau_b": statistics.kendall_tau_b(answers.scores, answers.drops)}


def _sums_and_logit_drops(answers: Answers) -> tuple[Numbers, Numbers]:
    """Return f[k] twice: what the scores of each set add up to, and how far the target's logit fell without it."""
    scores = np.asarray(answers.scores, np.float64)
    sums = np.array([np.sum(scores[list(words)]) for words in answers.removed])
    target = answers.case.target
    return sums, float(answers.case.logits[target]) - answers.logits[:, target].astype(np.float64)


def _infidelity(answers: Answers) -> Metrics:
    """Return the mean squared error of score sums as forecasts of the fall of the target's logit.

    `infidelity_scaled` is the least that a multiple of the scores reaches, be it a negative one (Captum: normalize):
    for methods that are not in units of the logit. Random scores then do about as well as one number for every word.
    """
    sums, drops = _sums_and_logit_drops(answers)
    squares = float(np.mean(sums**2))
    scale = float(np.mean(sums * drops)) / (squares or 1.0)
    return {
        "infidelity": float(np.mean((sums - drops) ** 2)),
        "infidelity_scaled": float(np.mean((scale * sums - drops) ** 2)),
    }


def _subset_correlation(answers: Answers) -> Metrics:
    return {"pearson": statistics.pearson(*_sums_and_logit_drops(answers))}


_ALL = (
    Protocol("eraser_comprehensiveness", "delete", _without_top(ERASER_BINS), _aopc_of_bins),
    Protocol("eraser_sufficiency", "delete", _with_only_top(ERASER_BINS), _aopc_of_bins),
    Protocol("decompx", "mask", _without_top(DECOMPX_RATIOS), _aopc_and_accuracy),
    Protocol("deletion", "delete", _without_top(CURVE_SHARES), _curve),
    Protocol("insertion", "delete", _with_only_top(CURVE_SHARES), _curve),
    Protocol("word_deletion", "pad_attended", _top_words_where_right, _kept),
    Protocol("leave_one_out", "mask", _each_word, _tau_b),
    # one draw of subsets for both, so that they cost one set of predictions
    Protocol("infidelity", "mask", _random_subsets, _infidelity),
    Protocol("faithfulness_correlation", "mask", _random_subsets, _subset_correlation),
)
PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in _ALL}
"""By name. Better explanations have a lower sufficiency, DecompX accuracy, deletion, word deletion and infidelity; the
rest is better when higher."""

"""Why a classifier answers as it does, as records: classes by name, texts of any length, checks and settings.

Leaves to others: the graphs (`warm`), the methods (`methods`), words (`words`), the record (`explanation`).
"""

import functools
import importlib.metadata
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from bert import alterations
from bert import datasets
from bert import features as features_lib
from bert import frozen
from bert import model_folder
from bert import windows
from explain import attention
from explain import attribution
from explain import explanation
from explain import methods as methods_lib
from explain import targets
from explain import warm
from explain import words as words_lib

LongText = Literal["cut", "window"]
Text: TypeAlias = str | tuple[str, str]
_LARGEST = ("ledger_error", "row_sum_error", "steps")  # checks that windows do not average
_Read: TypeAlias = tuple[features_lib.Encoding, list[windows.Window]]


class Settings(NamedTuple):
    """How an explainer explains; see `model.load_explainer`."""

    methods: tuple[methods_lib.Bound, ...]
    attn_processor_fn: attention.AttentionProcessor | None = None
    precision: frozen.Precision = "float32"
    engine: frozen.Engine = "tensorflow"
    word_scores: words_lib.Combine = "sum"
    long_text: LongText = "cut"
    strict: bool = False
    alter: alterations.Alter | None = None


class _Job(NamedTuple):
    """A window of a text, asked about one class."""

    text: int
    window: windows.Window
    target: int = -1
    contrast: int = -1

    @property
    def row(self) -> frozen.Row:
        return frozen.Row(self.window.encoding, self.target, self.contrast)


_Answered: TypeAlias = tuple[_Job, warm.Answer]


class Explainer:
    """Answers why a classifier answers as it does; see `model.load_explainer`."""

    def __init__(
        self,
        parts: model_folder.Parts,
        settings: Settings,
        model_name: str,
        weights: frozen.FrozenModel | None = None,
    ) -> None:
        """Read the weights, unless they are given; graphs are built at the first question of each kind.

        Raises:
          ValueError: a setting is none of the legal ones, or the checkpoint is another model's.
        """
        for name, legal in (("word_scores", words_lib.Combine), ("long_text", LongText)):
            if (given := getattr(settings, name)) not in get_args(legal):
                raise ValueError(
                    f"{name} must be one of {', '.join(get_args(legal))}; got {given!r}"
                )
        self._parts, self._settings, self._model_name = parts, settings, model_name
        self._tokenizer, self._targets = parts.tokenizer(), targets.Targets(parts.labels)
        self._warm = warm.WarmModel(
            parts,
            settings.methods,
            settings.attn_processor_fn,
            settings.precision,
            settings.engine,
            settings.alter,
            weights,
        )

    @property
    def labels(self) -> list[str]:
        """Names of the classes, in class order."""
        return self._parts.labels

    def probabilities(self, texts: Sequence[Text]) -> npt.NDArray[np.float32]:
        """Return the probability of every class, float32[n, c]: a plain callable, as LIME and SHAP take one.

        Source: Ribeiro et al. 2016 (LIME); Lundberg and Lee 2017 (SHAP).

        Raises:
          TypeError: `texts` is a single string, or holds something else than texts and pairs.
        """
        examples = _examples(texts, [None] * len(texts))
        return self._joined_probabilities(dict(enumerate(self._read(examples))))

    def __call__(
        self,
        texts: Sequence[Text],
        target: targets.Target = "predicted",
        score: attribution.ScoreKind = "logit",
        labels: Sequence[str | int | None] | None = None,
    ) -> list[explanation.Explanation]:
        """Explain texts or pairs: one record a text and method, in that order; for all classes, one a class too.

        Args:
          target: "predicted", "gold", "all", a label, an index, or a contrast `a-b` or (a, b), for a and against b.
          score: what is explained of the target.
          labels: true labels, or class indices, of the texts; "gold" needs them.

        Raises:
          TypeError: `texts` is a single string, or holds something else than texts and pairs.
          ValueError: an unknown target or score; `labels` are not one a text; with `strict`, a check that failed.
        """
        return self._explain(texts, 0, target, score, labels)

    def _explain(
        self,
        texts: Sequence[Text],
        first: int,
        target: targets.Target,
        score: attribution.ScoreKind,
        labels: Sequence[str | int | None] | None,
    ) -> list[explanation.Explanation]:
        """Explain texts of which `first` went before."""
        warm.check_score(self._settings.methods, score)
        gold = self._targets.gold(labels, len(texts))
        examples = _examples(texts, [None if i is None else self.labels[i] for i in gold], first)
        read = dict(enumerate(self._read(examples)))
        # a graph knows its row's prediction, but not that of several windows, nor one to take off
        of_all = self._targets.needs_prediction(target)
        unknown = {i: r for i, r in read.items() if of_all or len(r[1]) > 1}
        joined = self._joined_probabilities(unknown)
        predicted = {i: int(np.argmax(row)) for i, row in zip(unknown, joined, strict=True)}
        jobs = [
            _Job(index, window, *classes)
            for index, (_, parts) in read.items()
            for classes in self._targets.pairs(target, gold[index], predicted.get(index, -1))
            for window in parts
        ]
        answers = self._warm.explain((job.row for job in jobs), score)
        records = [
            self._record(bound, examples[text], read[text][0], group, score)
            for text, groups in _by_text(zip(jobs, answers, strict=True))
            for bound in self._settings.methods
            for group in (groups if bound.method.knows_target else groups[:1])
        ]
        if self._settings.strict:
            _refuse_failed(records)
        return records

    def stream(
        self,
        texts: Iterable[Text],
        target: targets.Target = "predicted",
        score: attribution.ScoreKind = "logit",
        *,
        texts_at_once: int = 256,
    ) -> Iterator[explanation.Explanation]:
        """Yield what a call returns, for texts without end: memory is that of `texts_at_once` texts and their records.

        Raises:
          TypeError, ValueError: as a call, when the turn comes to the text that is wrong.
        """
        _refuse_str(texts)
        if texts_at_once < 1:
            raise ValueError(f"texts_at_once must be at least 1, got {texts_at_once}")
        source, first = iter(texts), 0
        while chunk := list(itertools.islice(source, texts_at_once)):
            yield from self._explain(chunk, first, target, score, None)
            first += len(chunk)

    def _read(self, examples: Sequence[datasets.InputExample]) -> list[_Read]:
        """Return texts' tokens, and the parts that the model reads."""
        tokenizer, record = self._tokenizer, self._parts.record
        pairs = [(example.text_a, example.text_b) for example in examples]
        if self._settings.long_text == "window":
            return [windows.split(tokenizer, *pair, record.max_seq_length) for pair in pairs]
        encodings = features_lib.encode_batch(
            tokenizer, pairs, record.max_seq_length, record.truncation
        )
        return [
            (encoding, [windows.Window(encoding, tuple(range(len(encoding.input_ids))))])
            for encoding in encodings
        ]

    def _joined_probabilities(self, read: dict[int, _Read]) -> npt.NDArray[np.float32]:
        """Return what each text's windows say together, one row a text."""
        jobs = [_Job(index, window) for index, (_, parts) in read.items() for window in parts]
        answers = self._warm.predict(job.row for job in jobs)
        return np.array(
            [
                windows.join_probabilities([answer.probabilities for _, answer in groups[0]])
                for _, groups in _by_text(zip(jobs, answers, strict=True))
            ],
            np.float32,
        ).reshape(len(read), len(self.labels))

    def _record(
        self,
        bound: methods_lib.Bound,
        example: datasets.InputExample,
        encoding: features_lib.Encoding,
        group: Sequence[_Answered],
        kind: attribution.ScoreKind,
    ) -> explanation.Explanation:
        """Join what the windows of a text say into one record.

        The explained score of several windows is the mean of theirs, so that their scores add up, divided by their
        number: what was complete stays so.
        """
        count, length = len(group), len(encoding.tokens)
        found = [answer.attributions[bound.name] for _, answer in group]
        scores = np.zeros(length)
        layers = np.zeros(
            (0 if found[0].layer_scores is None else len(found[0].layer_scores), length)
        )
        for (job, _), part in zip(group, found, strict=True):
            places = list(job.window.positions)
            if part.token_scores.shape != (len(places),):
                raise ValueError(
                    f"{bound.name} must give one score a token, f[b, t], got shape {part.token_scores.shape} for a "
                    f"text of {len(places)}; reduce layers and heads"
                )
            scores[places] += part.token_scores / count
            if part.layer_scores is not None:
                layers[:, places] += part.layer_scores / count
        scored = [float(answer.score) for _, answer in group] if bound.method.knows_target else []
        checks = _joined_checks(found, scored)
        gap = checks.get("completeness_gap")
        return explanation.from_prediction(
            example,
            encoding,
            scores.astype(np.float32),
            windows.join_probabilities([answer.probabilities for _, answer in group]),
            labels=self.labels,
            method=bound.name,
            signed=bound.method.signed,
            target=self._name(bound, *group[0]),
            attention=group[0][1].attention if count == 1 else None,
            layer_scores=layers.astype(np.float32) if len(layers) else None,
            completeness_gap=None if gap is None else float(gap),
            checks=checks,
            settings=self._facts(bound, kind),
            word_scores=bound.method.word_scores or self._settings.word_scores,
        )

    def _name(self, bound: methods_lib.Bound, job: _Job, answer: warm.Answer) -> str:
        """Return the name of what was explained."""
        if not bound.method.knows_target:
            return ""
        target = self.labels[int(answer.target)]
        return target if job.contrast < 0 else f"{target}-{self.labels[job.contrast]}"

    def _facts(
        self, bound: methods_lib.Bound, kind: attribution.ScoreKind
    ) -> dict[str, explanation.Setting]:
        record, settings = self._parts.record, self._settings
        return {
            "model": self._model_name,
            "weights_sha256": self._warm.weights_sha256,
            "options": dict(bound.options),
            "score": kind,
            "precision": settings.precision,
            "engine": settings.engine,
            "word_scores": bound.method.word_scores or settings.word_scores,
            "long_text": settings.long_text,
            "max_seq_length": record.max_seq_length,
            "truncation": record.truncation,
            "pooling": record.pooling,
            "versions": {name: _version(name) for name in ("numpy", "tensorflow")},
        }


@functools.cache
def _version(package: str) -> str:
    return importlib.metadata.version(package)


def _refuse_str(texts: Iterable[Text]) -> None:
    if isinstance(texts, str):
        raise TypeError("texts must be a list of texts or pairs, got one str; write [text]")


def _examples(
    texts: Sequence[Text], labels: Sequence[str | None], first: int = 0
) -> list[datasets.InputExample]:
    _refuse_str(texts)
    found = []
    for index, (text, label) in enumerate(zip(texts, labels, strict=True), first):
        if isinstance(text, str):
            found.append(datasets.InputExample(f"text-{index}", text, None, label))
        elif isinstance(text, tuple) and [type(part) for part in text] == [str, str]:
            found.append(datasets.InputExample(f"text-{index}", text[0], text[1], label))
        else:
            raise TypeError(
                f"a text must be a str or a pair of str, got {text!r}; leave missing ones out"
            )
    return found


def _by_text(answered: Iterator[_Answered]) -> Iterator[tuple[int, list[list[_Answered]]]]:
    """Yield each text with its targets, and each target with its windows."""
    for text, of_text in itertools.groupby(answered, key=lambda pair: pair[0].text):
        by_target = itertools.groupby(of_text, key=lambda pair: pair[0][2:])
        yield text, [list(group) for _, group in by_target]


def _joined_checks(
    found: Sequence[methods_lib.Attribution], scores: Sequence[float]
) -> dict[str, explanation.Check]:
    checks: dict[str, explanation.Check] = {"score": float(np.mean(scores))} if scores else {}
    for name in found[0].checks:
        values = [part.checks[name].item() for part in found]
        checks[name] = (
            max(values) if name in _LARGEST or len(found) == 1 else float(np.mean(values))
        )
    if found[0].passed is not None:
        checks["passed"] = all(bool(part.passed) for part in found)
    if len(found) > 1:
        checks["windows"] = len(found)
    return checks


def _refuse_failed(records: Sequence[explanation.Explanation]) -> None:
    failed = [record for record in records if record.checks.get("passed") is False]
    if failed:
        first = failed[0]
        told = ", ".join(f"{name} {value}" for name, value in first.checks.items())
        raise ValueError(
            f"strict=True: every check must hold, but {len(failed)} of {len(records)} explanations missed theirs; the "
            f"first is {first.method} of {first.guid} ({told}); raise the method's steps or tolerance, or use "
            "precision='float64'"
        )

"""A classifier and its methods in graphs that are built once and asked many times.

Leaves to others: weights and batches (`bert.frozen`), texts, classes by name, long texts, records (`explainer`).
"""

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, get_args

import tensorflow as tf

from bert import alterations
from bert import classifier
from bert import features as features_lib
from bert import frozen
from bert import model_folder
from explain import attention
from explain import attribution
from explain import methods as methods_lib


class Answer(NamedTuple):
    """What a graph says of one row.

    Attributes:
      probabilities: f[c].
      target: the class that was explained.
      score: what was explained of it.
      attributions: by method; float arrays of the row's own length.
      attention: what the processor made; every last axis of the tokens' number is cut to the row's length.
    """

    probabilities: Any
    target: Any
    score: Any
    attributions: dict[str, methods_lib.Attribution]
    attention: Any = None


class WarmModel:
    """A frozen classifier, with the graphs of its methods."""

    def __init__(
        self,
        parts: model_folder.Parts,
        methods: Sequence[methods_lib.Bound],
        attn_processor_fn: attention.AttentionProcessor | None = None,
        precision: frozen.Precision = "float32",
        engine: frozen.Engine = "tensorflow",
        alter: alterations.Alter | None = None,
        weights: frozen.FrozenModel | None = None,
    ) -> None:
        """Read the weights, without the optimiser's; or share `weights`, which have a precision and engine already.

        Raises:
          ValueError: the checkpoint lacks a variable, or is another model's; or a method needs more precision.
        """
        self._with_taps = any(bound.method.needs_taps for bound in methods)
        if self._with_taps and precision == "bfloat16":
            names = ", ".join(bound.name for bound in methods if bound.method.needs_taps)
            raise ValueError(
                f"precision must be float32 or float64 for {names}, whose shares would not add up in bfloat16"
            )
        if engine == "xla" and (
            loops := [bound.name for bound in methods if bound.method.has_loop]
        ):
            raise ValueError(
                f"engine must be 'tensorflow' for {', '.join(loops)}, whose loops XLA cannot compile; got 'xla'"
            )
        self._model = weights or frozen.FrozenModel(parts, precision, engine, alter)
        self._methods, self._processor = methods, attn_processor_fn
        self._graphs: dict[attribution.ScoreKind, frozen.Graph] = {}
        self._special = features_lib.SpecialIds.of(parts.tokenizer().vocab)

    @property
    def weights_sha256(self) -> str:
        """Digest of every weight that the model uses."""
        return self._model.weights_sha256

    def predict(self, rows: Iterable[frozen.Row]) -> Iterator[Answer]:
        """Yield the probabilities of rows; nothing is explained."""
        return self.prediction_graph(rows)

    def explain(self, rows: Iterable[frozen.Row], kind: attribution.ScoreKind) -> Iterator[Answer]:
        """Yield the answers of all methods for rows."""
        if kind not in self._graphs:
            self._graphs[kind] = self._model.graph(
                functools.partial(_explain, self._methods, self._processor, self._special, kind),
                with_taps=self._with_taps,
            )
        return self._graphs[kind](rows)

    @functools.cached_property
    def prediction_graph(self) -> frozen.Graph:
        """The graph that gives probabilities and nothing else."""
        return self._model.graph(
            lambda outputs, _: Answer(tf.nn.softmax(outputs.logits), None, None, {})
        )


def _explain(
    methods: Sequence[methods_lib.Bound],
    processor: attention.AttentionProcessor | None,
    special: features_lib.SpecialIds,
    kind: attribution.ScoreKind,
    outputs: classifier.BertOutputs,
    features: features_lib.Features,
) -> Answer:
    batch = attribution.with_targets(features, outputs.logits)
    question = methods_lib.Question(outputs, batch, kind, special)
    return Answer(
        tf.nn.softmax(outputs.logits),
        batch.target,
        question.score,
        {bound.name: bound.answer(question) for bound in methods},
        None if processor is None else _attention(processor, outputs),
    )


def _attention(
    processor: attention.AttentionProcessor, outputs: classifier.BertOutputs
) -> tf.Tensor | frozen.Stacked:
    made = attention.processed_alone(processor, outputs)
    return frozen.Stacked(made) if isinstance(made, tuple) else made


def check_score(methods: Sequence[methods_lib.Bound], kind: attribution.ScoreKind) -> None:
    """Refuse a score that one of the methods cannot explain.

    Raises:
      ValueError: it is no legal score, or relevance is to share out something that is no logit.
    """
    legal = get_args(attribution.ScoreKind)
    if kind not in legal:
        raise ValueError(f"score must be one of {', '.join(legal)}; got {kind!r}")
    linear = [bound.name for bound in methods if bound.method.needs_logit]
    if linear and kind != "logit":
        raise ValueError(
            f"score must be 'logit' for {', '.join(linear)}, which share out a sum over the last layer; got {kind!r}"
        )

"""A classifier and its methods in graphs that are built once and asked many times.

Rows of tokens go in, arrays without padding come out, in the order of the rows. Leaves to others: texts, classes by
name, long texts, records (`explainer`).
"""

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from bert import checkpoints
from bert import classifier
from bert import features as features_lib
from bert import model_folder
from explain import attention
from explain import attribution
from explain import methods as methods_lib

Precision = Literal["float32", "float64"]
Array: TypeAlias = npt.NDArray[Any]
_TOKENS_AT_ONCE = 4096  # in one batch, padding included
_SIGNATURE = [tf.TensorSpec([None, None], tf.int32)] * 3 + [tf.TensorSpec([None], tf.int32)] * 2


class Row(NamedTuple):
    """What is asked: tokens, and the classes to explain; -1 is the predicted one, or no contrast."""

    encoding: features_lib.Encoding
    target: int = -1
    contrast: int = -1
    with_attention: bool = True


class Answer(NamedTuple):
    """What a graph says of one row, or of a batch while it is inside.

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
    attention: Array | None = None


class WarmModel:
    """A classifier's weights in memory, with the graphs over them."""

    def __init__(
        self,
        parts: model_folder.Parts,
        methods: Sequence[methods_lib.Bound],
        attn_processor_fn: attention.AttentionProcessor | None,
        precision: Precision,
    ) -> None:
        """Read the weights, without the optimiser's.

        Raises:
          ValueError: the checkpoint lacks a variable, or is another model's.
        """
        self._config, self._pooling = parts.config, parts.record.pooling
        self._methods, self._processor = methods, attn_processor_fn
        self._graphs: dict[attribution.ScoreKind, Callable[..., Answer]] = {}
        self._special = features_lib.SpecialIds.of(parts.tokenizer().vocab)
        wanted = classifier.variable_shapes(parts.config, len(parts.labels), self._pooling)
        checkpoint = str(parts.init_checkpoint)
        if missing := checkpoints.compare(checkpoint, wanted, wanted).missing:
            raise ValueError(
                f"{checkpoint} must hold a fine-tuned classifier, but lacks {', '.join(missing)}; train first"
            )
        values = checkpoints.load_variables(checkpoint, list(wanted))
        self.weights_sha256 = _digest(values)
        self._variables = {name: tf.constant(value, precision) for name, value in values.items()}

    def predict(self, rows: Sequence[Row]) -> list[Answer]:
        """Return the probabilities of rows; nothing is explained."""
        return self._run(rows, self._predict)

    def explain(self, rows: Sequence[Row], kind: attribution.ScoreKind) -> list[Answer]:
        """Return the answers of all methods for rows."""
        return self._run(rows, self._explain(kind))

    def _run(self, rows: Sequence[Row], function: Callable[..., Answer]) -> list[Answer]:
        found: dict[int, Answer] = {}
        for batch in _batches([len(row.encoding.tokens) for row in rows]):
            arrays = self._arrays([rows[index] for index in batch])
            values = tf.nest.map_structure(_to_numpy, function(*arrays))
            for place, index in enumerate(batch):
                found[index] = _cut(values, place, int(arrays[0].shape[1]), rows[index])
        return [found[index] for index in range(len(rows))]

    def _arrays(self, rows: Sequence[Row]) -> list[tf.Tensor]:
        width = max(len(row.encoding.tokens) for row in rows)
        while width in (self._config.num_attention_heads, self._config.num_hidden_layers):
            width += 1  # an axis of tokens is told from one of heads or layers by its size
        padded = [features_lib.pad_encoding(row.encoding, width) for row in rows]
        columns = features_lib.columns(padded, width)
        of_tokens = [columns[name] for name in ("input_ids", "input_mask", "segment_ids")]
        of_rows = [[row.target for row in rows], [row.contrast for row in rows]]
        return [tf.constant(values, tf.int32) for values in (*of_tokens, *of_rows)]

    def _forward(
        self, arrays: Sequence[tf.Tensor], *, with_taps: bool
    ) -> tuple[classifier.BertOutputs, features_lib.Features]:
        ids, mask, segments, target, contrast = arrays
        batch = features_lib.Features(ids, mask, segments, target=target, contrast=contrast)
        outputs = classifier.forward(
            self._variables, self._config, batch, pooling=self._pooling, with_taps=with_taps
        )
        return outputs, attribution.with_targets(batch, outputs.logits)

    @functools.cached_property
    def _predict(self) -> Callable[..., Answer]:
        def predict(*arrays: tf.Tensor) -> Answer:
            outputs, _ = self._forward(arrays, with_taps=False)
            return Answer(tf.nn.softmax(outputs.logits), None, None, {})

        return _graph(predict)

    def _explain(self, kind: attribution.ScoreKind) -> Callable[..., Answer]:
        if kind not in self._graphs:
            self._graphs[kind] = self._build(kind)
        return self._graphs[kind]

    def _build(self, kind: attribution.ScoreKind) -> Callable[..., Answer]:
        processor = self._processor
        with_taps = any(bound.method.needs_taps for bound in self._methods)

        def explain(*arrays: tf.Tensor) -> Answer:
            outputs, batch = self._forward(arrays, with_taps=with_taps)
            question = methods_lib.Question(outputs, batch, kind, self._special)
            return Answer(
                tf.nn.softmax(outputs.logits),
                batch.target,
                question.score,
                {bound.name: bound.answer(question) for bound in self._methods},
                None if processor is None else attention.processed_alone(processor, outputs),
            )

        return _graph(explain)


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


def _graph(function: Callable[..., Answer]) -> Callable[..., Answer]:
    built: Callable[..., Answer] = tf.function(
        function, input_signature=_SIGNATURE, autograph=False
    )
    return built


def _to_numpy(value: tf.Tensor | None) -> Array | None:
    return None if value is None else value.numpy()


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the places of rows of like length, so many that their tokens stay within bounds."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if batch and (len(batch) + 1) * lengths[index] > _TOKENS_AT_ONCE:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _cut(values: Answer, place: int, width: int, row: Row) -> Answer:
    """Return one row of a batch without its padding, as arrays of their own, so that the batch can go."""
    length = len(row.encoding.tokens)

    def of_tokens(array: Array | None) -> Array | None:
        return None if array is None else array[place, ..., :length].copy()

    def of_row(found: methods_lib.Attribution) -> methods_lib.Attribution:
        return methods_lib.Attribution(
            of_tokens(found.token_scores),
            {name: value[place] for name, value in found.checks.items()},
            None if found.passed is None else found.passed[place],
            of_tokens(found.layer_scores),
        )

    attended = None
    if values.attention is not None and row.with_attention:
        attended = np.asarray(values.attention[place])
        for axis in reversed(range(attended.ndim)):
            if attended.shape[axis] != width:
                break
            attended = attended[(slice(None),) * axis + (slice(length),)]
        attended = attended.copy()
    return Answer(
        values.probabilities[place],
        None if values.target is None else values.target[place],
        None if values.score is None else values.score[place],
        {name: of_row(found) for name, found in values.attributions.items()},
        attended,
    )


def _digest(values: Mapping[str, Array]) -> str:
    digest = hashlib.sha256()
    for name in sorted(values):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(values[name]).tobytes())
    return digest.hexdigest()

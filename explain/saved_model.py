"""A classifier and its methods as a TensorFlow SavedModel: it answers and explains wherever TensorFlow runs.

Signatures: `ids` reads rows of ids; `serving_default` reads texts or pairs; `explain` reads texts and which class is
asked about, or rows of ids in a model without texts. Names and forms of what they return are those of `rest`. Leaves
to others: texts to ids (`bert.graph_tokenization`), the methods (`methods`).
"""

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import tensorflow as tf

from bert import classifier
from bert import export
from bert import features
from bert import frozen
from bert import graph_tokenization
from bert import layers
from bert import model_folder
from explain import attention
from explain import attribution
from explain import methods as methods_lib

Answer: TypeAlias = dict[str, tf.Tensor]
METHODS = ("gradient_x_input",)  # every call pays for all of them: by default one backward pass
_ROWS = [
    tf.TensorSpec([None, None], tf.int32, name)
    for name in ("input_ids", "input_mask", "segment_ids")
]
_TEXTS = [tf.TensorSpec([None], tf.string, name) for name in ("text", "text_b")]
_TARGET = tf.TensorSpec([None], tf.int32, "target")
_NO_TEXT, _PREDICTED = tf.constant([""]), tf.constant([-1])  # of all rows, where left out


def write(
    model_dir: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    methods: Sequence[methods_lib.MethodLike] = METHODS,
    attn_processor_fn: attention.AttentionProcessor | None = None,
    method_options: methods_lib.Options | None = None,
    *,
    with_text: bool = True,
) -> None:
    """Write a trained classifier and its methods as a SavedModel, which needs nothing of this project.

    Args:
      model_dir: an output_dir, or a fine-tuned Hugging Face classifier by its folder or id.
      output_dir: new, or empty.
      methods: what attributions the model returns, each at every call; of the predicted class's logit, or the asked
        one's.
      attn_processor_fn: its tensors come out as `attention` or `attention_<key>`.
      method_options: by method, its options by their names.
      with_text: read texts too; to load such a model needs tensorflow-text, whichever signature is called.

    Raises:
      FileExistsError: `output_dir` holds something.
      FileNotFoundError: the folder holds no trained classifier.
      ValueError: an unknown method or option; or tensorflow-text is not installed.
    """
    parts = model_folder.load(model_dir)
    tokenizer = parts.tokenizer()
    bound = methods_lib.bind(methods, method_options)
    with export.new_folder(output_dir) as folder:
        encode = graph_tokenization.GraphEncoder(tokenizer, parts.record) if with_text else None
        served = _Served(parts, features.SpecialIds.of(tokenizer.vocab), bound, attn_processor_fn)
        served.encoder = encode  # so that its table is saved with it
        tf.saved_model.save(
            served,
            str(folder),
            served.signatures(encode),
            # gradients are in the graph already, and rules of relevance could not be saved otherwise
            tf.saved_model.SaveOptions(experimental_custom_gradients=False),
        )


class _Served(tf.Module):  # type: ignore[misc]  # tf.Module has no types
    def __init__(
        self,
        parts: model_folder.Parts,
        special: features.SpecialIds,
        methods: Sequence[methods_lib.Bound],
        processor: attention.AttentionProcessor | None,
    ) -> None:
        super().__init__(name="classifier")
        # not constants, of which a graph holds at most 2 GB
        self._weights = {
            name: tf.Variable(value, trainable=False, name=name)
            for name, value in frozen.FrozenModel(parts).variables.items()
        }
        self._parts, self._special = parts, special
        self._methods, self._processor = methods, processor
        # one graph, whichever signature asks
        self._answer: Callable[..., Answer] = tf.function(
            self._answered, input_signature=[*_ROWS, _TARGET], autograph=False
        )

    def signatures(self, encode: graph_tokenization.GraphEncoder | None) -> dict[str, Any]:
        """Return the functions by the signatures' names; the last arguments of some may be left out."""

        def ids(input_ids: tf.Tensor, input_mask: tf.Tensor, segment_ids: tf.Tensor) -> Answer:
            predicted = tf.fill(tf.shape(input_ids)[:1], -1)
            return self._answer(input_ids, input_mask, segment_ids, predicted)

        def explain_ids(
            input_ids: tf.Tensor,
            input_mask: tf.Tensor,
            segment_ids: tf.Tensor,
            target: tf.Tensor = _PREDICTED,
        ) -> Answer:
            targets = tf.broadcast_to(target, tf.shape(input_ids)[:1])
            return self._answer(input_ids, input_mask, segment_ids, targets)

        def explain(
            text: tf.Tensor, text_b: tf.Tensor = _NO_TEXT, target: tf.Tensor = _PREDICTED
        ) -> Answer:
            assert encode is not None
            encoded = encode(text, tf.broadcast_to(text_b, tf.shape(text)))
            rows = encoded.features
            targets = tf.broadcast_to(target, tf.shape(text))
            found = self._answer(rows.input_ids, rows.input_mask, rows.segment_ids, targets)
            return {**found, "tokens": encoded.tokens, "spans": encoded.spans}

        def serving_default(text: tf.Tensor, text_b: tf.Tensor = _NO_TEXT) -> Answer:
            return explain(text, text_b)

        if encode is None:
            return {"ids": _graph(ids, _ROWS), "explain": _graph(explain_ids, [*_ROWS, _TARGET])}
        return {
            "ids": _graph(ids, _ROWS),
            "serving_default": _graph(serving_default, _TEXTS),
            "explain": _graph(explain, [*_TEXTS, _TARGET]),
        }

    @layers.for_threads()
    def _answered(
        self, ids: tf.Tensor, mask: tf.Tensor, segments: tf.Tensor, target: tf.Tensor
    ) -> Answer:
        parts = self._parts
        batch = features.Features(ids, mask, segments, target=target)
        outputs = classifier.forward(
            self._weights,
            parts.config,
            batch,
            pooling=parts.record.pooling,
            with_taps=any(bound.method.needs_taps for bound in self._methods),
        )
        targeted = attribution.with_targets(batch, outputs.logits)
        question = methods_lib.Question(outputs, targeted, "logit", self._special)
        scores = {
            f"attribution_{bound.name}": bound.answer(question).token_scores
            for bound in self._methods
        }
        attended = attention.processed(self._processor, outputs) if self._processor else {}
        return {
            "probabilities": tf.nn.softmax(outputs.logits),
            "label": tf.gather(tf.constant(parts.labels), tf.argmax(outputs.logits, axis=-1)),
            **{name: tf.where(mask > 0, value, 0.0) for name, value in scores.items()},
            **attended,
        }


def _graph(function: Callable[..., Answer], signature: Sequence[tf.TensorSpec]) -> Any:
    return tf.function(function, input_signature=signature, autograph=False)

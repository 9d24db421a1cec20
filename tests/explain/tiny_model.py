"""A tiny classifier in float64 and a batch of one text and one pair, for the identities that explanations must keep."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from bert import classifier
from bert import config as config_lib
from bert import features
from explain import attribution
from explain import methods

IDS = np.array([[2, 5, 6, 7, 3, 0, 0], [2, 9, 8, 3, 4, 11, 3]], np.int32)
MASK = (IDS > 0).astype(np.int32)
SEGMENTS = np.array([[0] * 7, [0, 0, 0, 0, 1, 1, 1]], np.int32)
TARGET = np.array([1, 3], np.int32)
BIASES = ("bias", "beta")
SPECIAL = features.SpecialIds(pad=0, cls=2, sep=3, mask=4)


def config(**changes) -> config_lib.BertConfig:
    values = {
        "hidden_size": 12,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 20,
        "max_position_embeddings": 16,
        "type_vocab_size": 2,
    }
    return config_lib.BertConfig(30, **(values | changes))


def variables(
    of: config_lib.BertConfig, pooling="default", *, biases=True, seed=0
) -> dict[str, tf.Tensor]:
    """Random weights; without biases, every additive constant after the embeddings' LayerNorm is 0."""
    rng = np.random.default_rng(seed)
    values = {}
    for name, shape in classifier.variable_shapes(of, 5, pooling).items():
        value = rng.normal(0, 0.5, shape)
        if name.endswith("gamma"):
            value = 1 + 0.3 * value
        if not biases and name.endswith(BIASES) and "embeddings" not in name:
            value = np.zeros(shape)
        values[name] = tf.constant(value)
    return values


def batch(ids=IDS, mask=MASK, segments=SEGMENTS) -> features.Features:
    return features.Features(tf.constant(ids), tf.constant(mask), tf.constant(segments))


def explain(
    method: Callable[[classifier.BertOutputs, tf.Tensor], Any],
    weights: dict[str, tf.Tensor],
    of: config_lib.BertConfig,
    *,
    inputs: features.Features | None = None,
    target=TARGET,
    pooling="default",
    kind: attribution.ScoreKind = "logit",
    with_taps=True,
):
    """Return what a method makes of the batch, as arrays; in a graph, for only there gradients can be stopped."""

    @tf.function(autograph=False)
    def run(weights, asked):
        outputs = classifier.forward(weights, of, asked, pooling=pooling, with_taps=with_taps)
        asked = attribution.with_targets(asked, outputs.logits)
        return method(outputs, attribution.score(kind, outputs.logits, asked))

    key = (method, of.to_json_string(), pooling, kind, with_taps)
    asked = (inputs or batch())._replace(target=tf.constant(target, tf.int32))
    return _arrays(_GRAPHS.setdefault(key, run)(weights, asked))


def ask(
    method: methods.MethodLike,
    weights: dict[str, tf.Tensor],
    of: config_lib.BertConfig,
    *,
    inputs: features.Features | None = None,
    target=TARGET,
    contrast=(-1, -1),
    pooling="default",
    kind: attribution.ScoreKind = "logit",
    **options,
) -> methods.Attribution:
    """Return what a method, by its name, answers about the batch, as arrays."""
    name = method if isinstance(method, str) else method.__name__
    (bound,) = methods.bind([method], {name: options} if options else None)

    @tf.function(autograph=False)
    def run(weights, asked):
        outputs = classifier.forward(
            weights, of, asked, pooling=pooling, with_taps=bound.method.needs_taps
        )
        asked = attribution.with_targets(asked, outputs.logits)
        return bound.answer(methods.Question(outputs, asked, kind, SPECIAL))

    key = (method, of.to_json_string(), pooling, kind, repr(options))
    asked = (inputs or batch())._replace(
        target=tf.constant(target, tf.int32), contrast=tf.constant(contrast, tf.int32)
    )
    return _arrays(_GRAPHS.setdefault(key, run)(weights, asked))


_GRAPHS: dict[tuple[object, ...], Any] = {}
"""By what is asked of whom: building a graph takes far longer than running it."""


def _arrays(found: Any) -> Any:
    return tf.nest.map_structure(lambda value: None if value is None else value.numpy(), found)

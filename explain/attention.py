"""Attention processors: which of a model's attention weights a prediction carries, reduced inside the graph.

A processor takes the ordered list of one-key dicts `[{"layer_0": f[b, h, q, k]}, ...]` and returns a tensor, a dict
of tensors, or the list itself. The weights are the softmax before dropout: rows sum to 1 over k. Returning every
layer of BERT-Base at 512 tokens costs 151 MB an example (12 x 12 x 512 x 512 x 4 bytes): reduce where you can.

Attention shows what was mixed, not why the model answered. Names and behaviour follow hsm207/bert_attn_viz;
departures are stated where they are made.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal, TypeAlias

import tensorflow as tf

from bert import classifier
from bert import config
from bert import shapes
from bert import tokenization

LayerDicts = Sequence[Mapping[str, shapes.AttentionProbs]]
Processed: TypeAlias = tf.Tensor | Mapping[str, tf.Tensor] | LayerDicts
AttentionProcessor = Callable[[LayerDicts], Processed]
WeightedTokens = Sequence[tuple[str, float]]


def average_last_layer_by_head(attentions: LayerDicts) -> shapes.TokenScores:
    """Return what [CLS] attends to in the last layer, mean over heads; sums to 1, 0 on padding."""
    return _average(-1, 0, attentions)


def average_first_layer_by_head(attentions: LayerDicts) -> shapes.TokenScores:
    """Return what [CLS] attends to in the first layer, mean over heads; sums to 1, 0 on padding."""
    return _average(0, 0, attentions)


def average_layer_i_on_token_j_by_head(
    layer_index: int, token_index: int, attentions: LayerDicts | None = None
) -> shapes.TokenScores | AttentionProcessor:
    """Return what one token attends to in one layer, mean over heads; sums to 1, 0 on padding.

    Without `attentions` it returns a processor, ready for `load_bert_model`; the ancestor's function, which needs
    all three, could not be passed there.

    Args:
      layer_index: 0 is the first layer, -1 the last.
      token_index: the query token; 0 is [CLS].

    Raises:
      ValueError: the model has no such layer.
    """
    if attentions is None:
        return lambda layers: _average(layer_index, token_index, layers)
    return _average(layer_index, token_index, attentions)


def all_layers(attentions: LayerDicts) -> LayerDicts:
    """Return every layer as it is; predictions then carry `attention` f[l, h, q, k] an example."""
    return attentions


def average_last_layer_matrix(attentions: LayerDicts) -> tf.Tensor:
    """Return the whole last layer, mean over heads, f[b, q, k]: the picture behind a heat map."""
    return tf.reduce_mean(_layer(attentions, -1), axis=1)


def rollout(attentions: LayerDicts) -> shapes.TokenScores:
    """Return how much of each token reaches [CLS] through all layers, half of it past the attention each time.

    Heads are averaged and the residual counts as much as the attention; sums to 1, 0 on padding, the same whatever
    class is explained. Source: Abnar and Zuidema 2020, section 3, equation 1.
    """
    last = _average(-1, 0, attentions)
    row = (
        0.5 * tf.one_hot(tf.zeros_like(last[:, 0], tf.int32), tf.shape(last)[1], dtype=last.dtype)
        + 0.5 * last
    )
    for index in reversed(range(len(attentions) - 1)):
        mixed = tf.reduce_mean(_layer(attentions, index), axis=1)
        row = 0.5 * row + 0.5 * tf.einsum("bq,bqk->bk", row, mixed)
    return row


def lat(attentions: LayerDicts) -> shapes.TokenScores:
    """Return layerwise attention tracing: each head followed from [CLS] down by its index, summed over heads.

    Sums to the number of heads, 0 on padding. Heads of one index in two layers have nothing to do with each other, so
    that the chain means little: kept for comparison. Source: Wu and Ong 2021; frankaging/BERT-LRP 85b30a7.
    """
    rows = _layer(attentions, -1)[:, :, 0]
    for index in reversed(range(len(attentions) - 1)):
        rows = tf.einsum("bhq,bhqk->bhk", rows, _layer(attentions, index))
    return tf.reduce_sum(rows, axis=1)


_OF_READ = (average_last_layer_by_head, rollout, lat)
"""Processors that need of the last layer the [CLS] row alone: far cheaper where the head reads no more either."""


def require_processor(attn_processor_fn: object) -> None:
    """Refuse what is no processor.

    Raises:
      TypeError: it is not callable.
    """
    if not callable(attn_processor_fn):
        raise TypeError(
            "attn_processor_fn must be a function of the layers' attention, such as "
            f"explain.attention.average_last_layer_by_head; got {attn_processor_fn!r}"
        )


def processed(
    processor: AttentionProcessor, outputs: classifier.BertOutputs
) -> dict[str, tf.Tensor]:
    """Return what a processor makes of a forward pass, by the names that predictions carry it under.

    A tensor is `attention`; a dict is `attention_<key>`, one each; a list of one-key dicts is stacked to `attention`
    f[b, l, h, q, k].
    """
    made = _made(processor, outputs)
    if isinstance(made, Mapping):
        return {f"attention_{name}": value for name, value in made.items()}
    return {"attention": tf.stack(made, axis=1) if isinstance(made, tuple) else made}


def processed_alone(
    processor: AttentionProcessor, outputs: classifier.BertOutputs
) -> tf.Tensor | tuple[tf.Tensor, ...]:
    """Return the one tensor that a processor makes, for a record to hold; of a list of layers, their tensors.

    Raises:
      ValueError: it makes several.
    """
    made = _made(processor, outputs)
    if isinstance(made, Mapping):
        raise ValueError(
            f"attn_processor_fn must return one tensor, or the list of layers, for a record to hold; got "
            f"{', '.join(f'attention_{name}' for name in made)}; ask load_bert_model for several"
        )
    return made


def _made(
    processor: AttentionProcessor, outputs: classifier.BertOutputs
) -> tf.Tensor | Mapping[str, tf.Tensor] | tuple[tf.Tensor, ...]:
    """Return what a processor makes; a list of layers as a tuple of their tensors."""
    made = processor(outputs.layer_dicts(of_read=processor in _OF_READ))
    if isinstance(made, list | tuple):
        return tuple(probs for layer in made for probs in layer.values())
    return made


_PROCESSORS: dict[str, AttentionProcessor] = {
    "average_last_layer_by_head": average_last_layer_by_head,
    "average_first_layer_by_head": average_first_layer_by_head,
    "rollout": rollout,
    "lat": lat,
}
"""Processors that give one score a token, by name."""


def _average(layer_index: int, token_index: int, attentions: LayerDicts) -> shapes.TokenScores:
    return tf.reduce_mean(_layer(attentions, layer_index)[:, :, token_index, :], axis=1)


def _layer(attentions: LayerDicts, layer_index: int) -> shapes.AttentionProbs:
    count = len(attentions)
    if not -count <= layer_index < count:
        raise ValueError(
            f"layer_index must be from {-count} to {count - 1} in a model of {count} layers, got {layer_index}"
        )
    (probs,) = attentions[layer_index].values()
    return probs


def find_processor(name: str | None) -> AttentionProcessor | None:
    """Return the processor of this room with that name, or the function that package.module:function names.

    Raises:
      ValueError: there is none; the message lists this room's.
    """
    if name is None or name in _PROCESSORS:
        return _PROCESSORS.get(name or "")
    if ":" not in name:
        legal = ", ".join(_PROCESSORS)
        raise ValueError(
            f"attn_processor_fn must be one of {legal}, or a function of your own as package.module:function; got "
            f"{name!r}"
        )
    found: AttentionProcessor = config.import_object(name, "attn_processor_fn")
    return found


def merge_wordpiece_tokens(
    paired_tokens: WeightedTokens, combine: Literal["mean", "sum"] = "mean"
) -> list[tuple[str, float]]:
    """Join (piece, weight) pairs into words.

    A list that begins with a continuation piece, as a slice may, begins with that piece as a word; the ancestor
    raised IndexError there and at a list that ends with one.

    Args:
      combine: "mean" of the pieces, as the ancestor does, or "sum", which keeps the total.

    Raises:
      ValueError: `combine` is neither.

    >>> merge_wordpiece_tokens([("straw", 0.1), ("##berries", 0.3), (".", 0.5)], combine="sum")
    [('strawberries', 0.4), ('.', 0.5)]
    """
    if combine not in ("mean", "sum"):
        raise ValueError(f"combine must be 'mean' or 'sum', got {combine!r}")
    words: list[str] = []
    weights: list[list[float]] = []
    for piece, weight in paired_tokens:
        if not (tokenization.is_continuation(piece) and words):
            words.append("")
            weights.append([])
        words[-1] += tokenization.strip_continuation(piece)
        weights[-1].append(weight)
    average = combine == "mean"
    # fsum: a plain sum of NumPy float32 stays float32 and loses digits.
    return [
        (word, math.fsum(pieces) / (len(pieces) if average else 1))
        for word, pieces in zip(words, weights, strict=True)
    ]


def ignore_token_weights(
    paired_tokens: WeightedTokens, stopwords: Collection[str], *, renormalize: bool = False
) -> list[tuple[str, float]]:
    """Set the weight of every token in `stopwords` to 0.

    Args:
      renormalize: scale the rest so that the weights sum to 1 again (all zeros stay zeros).
    """
    kept = [
        (token, 0.0 if token in stopwords else float(weight)) for token, weight in paired_tokens
    ]
    total = math.fsum(weight for _, weight in kept)
    if not renormalize or total == 0:
        return kept
    return [(token, weight / total) for token, weight in kept]


def viz_attention(
    tokens: Sequence[str],
    token_weights: Sequence[float],
    target_label: str | int,
    pred_label: str | int,
    pred_probs: Sequence[float],
    review_id: str | int,
    viz_relative: bool = False,
    *,
    ignore_special: bool = False,
) -> str:
    """Return one review as an HTML fragment, each token shaded by its weight.

    The ancestor's name for `explain.highlight.token_fragment`; see there.
    """
    from explain import (
        highlight,  # the picture rooms lie above this one; only this old name reaches up
    )

    return highlight.token_fragment(
        tokens,
        token_weights,
        target_label,
        pred_label,
        pred_probs,
        review_id,
        viz_relative,
        ignore_special=ignore_special,
    )

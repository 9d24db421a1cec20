"""BERT as pure functions over a mapping from the release's variable names to tensors.

Who made the tensors (a variable of the Estimator's graph, a constant of a frozen one, an eager tensor of a notebook)
does not concern this room, so that reading a checkpoint is a lookup. `embed` is cut where the word embeddings come
in: everything after them is a function of them. Leaves to others: google-research/bert's names for all this
(`modeling`), pooling and logits (`classifier`), reading weights (`checkpoints`).

Sources: Devlin et al. 2019; google-research/bert's modeling.py for names, post-LayerNorm order and the -10000 mask.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from bert import config as config_lib
from bert import shapes
from bert import taps as taps_lib

MASKED_SCORE = -10000.0  # the release's additive mask: exp(-10000) is exactly 0 in float32


class EncoderOutputs(NamedTuple):
    """Every intermediate tensor of the encoder that an explanation may want.

    Attributes:
      word_embeddings: rows of the word table, before positions, segments and LayerNorm.
      embedding_output: what enters layer 0, after LayerNorm.
      hidden_states: output of each layer, first to last.
      attention_probs: softmax of each layer before dropout; rows sum to 1 over k, columns of padding are 0.
    """

    word_embeddings: shapes.Embeddings
    embedding_output: shapes.Hidden
    hidden_states: tuple[shapes.Hidden, ...]
    attention_probs: tuple[shapes.AttentionProbs, ...]


def gelu(x: tf.Tensor) -> tf.Tensor:
    """Gaussian error linear unit with the exact erf, as the published weights were trained with.

    Source: Hendrycks and Gimpel 2016; google-research/bert until 2019-02-07.
    """
    return tf.nn.gelu(x, approximate=False)


def gelu_tanh(x: tf.Tensor) -> tf.Tensor:
    """Tanh approximation of the GELU, at most 5e-4 from the exact one; google-research/bert's newest code."""
    return tf.nn.gelu(x, approximate=True)


_ACTIVATIONS: dict[str, Callable[[tf.Tensor], tf.Tensor] | None] = {
    "gelu": gelu,
    "gelu_python": gelu,  # Hugging Face's name
    "gelu_tanh": gelu_tanh,
    "gelu_new": gelu_tanh,  # Hugging Face's name
    "gelu_pytorch_tanh": gelu_tanh,  # Hugging Face's newer name
    "relu": tf.nn.relu,
    "tanh": tf.tanh,
    "linear": None,
}


_GATES: dict[Callable[[tf.Tensor], tf.Tensor], Callable[[tf.Tensor], tf.Tensor]] = {
    gelu: taps_lib.gelu_gate,
    gelu_tanh: taps_lib.gelu_tanh_gate,
    tf.nn.relu: taps_lib.relu_gate,
    tf.tanh: taps_lib.tanh_gate,
}


def activate(
    activation: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor, taps: taps_lib.Taps | None = None
) -> tf.Tensor:
    """Apply an activation; with taps, as x times a gate."""
    return taps.gated(x, _GATES[activation]) if taps else activation(x)


def get_activation(activation_string: str) -> Callable[[tf.Tensor], tf.Tensor] | None:
    """Return the activation that `hidden_act` names; None for "linear".

    Raises:
      ValueError: the name is unknown.
    """
    if activation_string.lower() not in _ACTIVATIONS:
        legal = ", ".join(_ACTIVATIONS)
        raise ValueError(f"hidden_act must be one of {legal}; got {activation_string!r}")
    return _ACTIVATIONS[activation_string.lower()]


def keep_all(values: tf.Tensor, rate: float, name: str) -> tf.Tensor:
    """Dropout of inference: nothing is dropped."""
    del rate, name
    return values


def stateless_dropout(seed: int, step: shapes.Step) -> shapes.Dropout:
    """Return a dropout whose mask is a function of (seed, training step, place): a resumed run repeats itself."""

    def drop(values: tf.Tensor, rate: float, name: str) -> tf.Tensor:
        if rate == 0.0:
            return values
        place = sum(ord(letter) * 31**index for index, letter in enumerate(name)) % (2**31 - 1)
        key = tf.stack([tf.constant(seed ^ place, tf.int64), tf.cast(step, tf.int64)])
        return tf.nn.experimental.stateless_dropout(values, rate, seed=key)

    return drop


def dense(
    variables: shapes.Variables, name: str, x: tf.Tensor, taps: taps_lib.Taps | None = None
) -> tf.Tensor:
    """Apply kernel and bias to the last dimension; one flat matmul, which oneDNN fuses with the bias."""
    kernel, bias = variables[f"{name}/kernel"], variables[f"{name}/bias"]
    flat = tf.reshape(x, [-1, kernel.shape[0]])
    y = tf.nn.bias_add(tf.matmul(flat, kernel), bias)
    y = tf.reshape(y, tf.concat([tf.shape(x)[:-1], [kernel.shape[1]]], axis=0))
    if taps:
        taps.dense.append(taps_lib.Dense(x, kernel, bias, y))
    return y


def layer_norm(
    variables: shapes.Variables,
    name: str,
    x: tf.Tensor,
    epsilon: float,
    taps: taps_lib.Taps | None = None,
) -> tf.Tensor:
    """Normalise the last dimension with the gamma and beta of one place in the network."""
    place = f"{name}/LayerNorm"
    return normalise(x, variables[f"{place}/gamma"], variables[f"{place}/beta"], epsilon, taps)


def normalise(
    x: tf.Tensor,
    gamma: tf.Tensor,
    beta: tf.Tensor,
    epsilon: float,
    taps: taps_lib.Taps | None = None,
) -> tf.Tensor:
    """Bring the last dimension to mean 0 and variance 1, then scale by gamma and shift by beta.

    Source: Ba et al. 2016. A constant row gives beta.
    """
    mean = tf.reduce_mean(x, axis=-1, keepdims=True)
    inv_std = tf.math.rsqrt(
        tf.reduce_mean(tf.math.squared_difference(x, mean), axis=-1, keepdims=True) + epsilon
    )
    # not ((x - mean) * inv_std) * gamma: TensorFlow 2.15.1's oneDNN remapper aborts the process on that chain when
    # the shape is unknown to a TF1 session
    y = (x - mean) * (inv_std * gamma) + beta
    if taps:
        taps.inv_std.append(inv_std)
        taps.biased.append((y, beta))
    return y


def look_up(table: tf.Tensor, ids: tf.Tensor, *, one_hot: bool = False) -> tf.Tensor:
    """Return the table's row of each id, i[...] to f[..., d]; `one_hot` multiplies instead of gathering."""
    if not one_hot:
        return tf.gather(table, ids)
    rows = tf.one_hot(ids, table.shape[0], dtype=table.dtype)
    return tf.einsum("...v,vd->...d", rows, table)


def look_up_words(
    variables: shapes.Variables,
    input_ids: shapes.TokenIds,
    *,
    one_hot: bool = False,
    scope: str = "bert",
) -> shapes.Embeddings:
    """Return the word-table row of each token; `one_hot` multiplies instead of gathering, which TPUs prefer."""
    return look_up(word_table(variables, scope=scope), input_ids, one_hot=one_hot)


def word_table(variables: shapes.Variables, *, scope: str = "bert") -> tf.Tensor:
    """Return the embeddings of the vocabulary, f[v, d]."""
    return variables[f"{scope}/embeddings/word_embeddings"]


def embed(
    variables: shapes.Variables,
    config: config_lib.BertConfig,
    word_embeddings: shapes.Embeddings,
    segment_ids: shapes.TokenIds,
    *,
    dropout: shapes.Dropout = keep_all,
    scope: str = "bert",
) -> shapes.Hidden:
    """Add position and segment to the word embeddings and normalise."""
    segments = variables[f"{scope}/embeddings/token_type_embeddings"]
    positions = variables[f"{scope}/embeddings/position_embeddings"][: tf.shape(word_embeddings)[1]]
    # one-hot: the quicker way for so small a table
    summed = word_embeddings + look_up(segments, segment_ids, one_hot=True) + positions[tf.newaxis]
    normed = layer_norm(variables, f"{scope}/embeddings", summed, config.layer_norm_eps)
    return dropout(normed, config.hidden_dropout_prob, "embeddings")


def attend(
    query: tf.Tensor,
    key: tf.Tensor,
    mask_scores: tf.Tensor | float,
    taps: taps_lib.Taps | None = None,
) -> shapes.AttentionProbs:
    """Return how much each query attends to each key: scaled dot products f[b, q, h, e] with f[b, k, h, e], softmax.

    Source: Vaswani et al. 2017, section 3.2.
    """
    scores = tf.einsum("bqhe,bkhe->bhqk", query, key) / math.sqrt(query.shape[-1])
    if taps:
        scores = taps.halve(scores)
        taps.scores.append(scores)
    return tf.nn.softmax(scores + mask_scores, axis=-1)


def mix(probs: shapes.AttentionProbs, value: tf.Tensor) -> tf.Tensor:
    """Average the values f[b, k, h, e] that each query attends to: f[b, q, h, e]."""
    return tf.einsum("bhqk,bkhe->bqhe", probs, value)


def self_attention(
    variables: shapes.Variables,
    config: config_lib.BertConfig,
    layer: str,
    hidden: shapes.Hidden,
    mask_scores: tf.Tensor,
    *,
    dropout: shapes.Dropout = keep_all,
    taps: taps_lib.Taps | None = None,
) -> tuple[shapes.Hidden, shapes.AttentionProbs]:
    """Mix the tokens by scaled dot-product attention.

    Args:
      mask_scores: f[b, 1, 1, k], 0 for a real token and -10000 for padding, added to the scores.

    Returns:
      The context f[b, t, d], heads side by side, and the softmax before dropout f[b, h, q, k].
    """
    query, key, value = (
        _split_heads(dense(variables, f"{layer}/attention/self/{name}", hidden, taps), config)
        for name in ("query", "key", "value")
    )
    probs = attend(query, key, mask_scores, taps)
    dropped = dropout(probs, config.attention_probs_dropout_prob, f"{layer}/attention/self")
    context = mix(dropped, value)
    context = taps.halve(context) if taps else context
    return tf.reshape(context, tf.shape(hidden)), probs


def _split_heads(x: shapes.Hidden, config: config_lib.BertConfig) -> tf.Tensor:
    shape = tf.shape(x)
    return tf.reshape(x, [shape[0], shape[1], config.num_attention_heads, config.size_per_head])


def feed_forward(
    variables: shapes.Variables,
    config: config_lib.BertConfig,
    layer: str,
    hidden: shapes.Hidden,
    *,
    dropout: shapes.Dropout = keep_all,
    taps: taps_lib.Taps | None = None,
) -> shapes.Hidden:
    """Apply the two dense layers of a block to every token, with residual and LayerNorm."""
    wide = dense(variables, f"{layer}/intermediate/dense", hidden, taps)
    if activation := get_activation(config.hidden_act):
        wide = activate(activation, wide, taps)
    narrow = dense(variables, f"{layer}/output/dense", wide, taps)
    narrow = dropout(narrow, config.hidden_dropout_prob, f"{layer}/output")
    return layer_norm(variables, f"{layer}/output", narrow + hidden, config.layer_norm_eps, taps)


def encode(
    variables: shapes.Variables,
    config: config_lib.BertConfig,
    word_embeddings: shapes.Embeddings,
    input_mask: shapes.TokenMask,
    segment_ids: shapes.TokenIds,
    *,
    dropout: shapes.Dropout = keep_all,
    scope: str = "bert",
) -> EncoderOutputs:
    """Run the encoder from word embeddings to the last layer's hidden states.

    Args:
      input_mask: 1 = real token, 0 = padding. A row of zeros gives an ordinary, finite softmax.
    """
    embedding_output = embed(
        variables, config, word_embeddings, segment_ids, dropout=dropout, scope=scope
    )
    hidden_states, attention_probs = encode_layers(
        variables, config, embedding_output, input_mask, dropout=dropout, scope=scope
    )
    return EncoderOutputs(word_embeddings, embedding_output, hidden_states, attention_probs)


def encode_layers(
    variables: shapes.Variables,
    config: config_lib.BertConfig,
    hidden: shapes.Hidden,
    input_mask: shapes.TokenMask,
    *,
    dropout: shapes.Dropout = keep_all,
    scope: str = "bert",
    taps: taps_lib.Taps | None = None,
) -> tuple[tuple[shapes.Hidden, ...], tuple[shapes.AttentionProbs, ...]]:
    """Run the layers from what enters the first; return every layer's output and attention.

    Args:
      taps: collects the places where gradients may be read or stopped.
    """
    is_padding = 1.0 - tf.cast(input_mask, hidden.dtype)
    mask_scores = is_padding[:, tf.newaxis, tf.newaxis, :] * MASKED_SCORE
    hidden_states, attention_probs = [], []
    for index in range(config.num_hidden_layers):
        layer = f"{scope}/encoder/layer_{index}"
        context, probs = self_attention(
            variables, config, layer, hidden, mask_scores, dropout=dropout, taps=taps
        )
        place = f"{layer}/attention/output"
        mixed = dense(variables, f"{place}/dense", context, taps)
        mixed = dropout(mixed, config.hidden_dropout_prob, place)
        hidden = layer_norm(variables, place, mixed + hidden, config.layer_norm_eps, taps)
        hidden = feed_forward(variables, config, layer, hidden, dropout=dropout, taps=taps)
        hidden_states.append(hidden)
        attention_probs.append(probs)
    return tuple(hidden_states), tuple(attention_probs)


def pool_first_token(
    variables: shapes.Variables,
    hidden: shapes.Hidden,
    *,
    scope: str = "bert",
    taps: taps_lib.Taps | None = None,
) -> shapes.Pooled:
    """Return the release's pooled output: tanh of a dense layer on the first token, [CLS]."""
    return activate(tf.tanh, dense(variables, f"{scope}/pooler/dense", hidden[:, 0], taps), taps)

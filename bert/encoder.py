"""BERT as pure functions over a mapping from the release's variable names to tensors.

Who made the tensors (a variable of the Estimator's graph, a constant of a frozen one, an eager tensor of a notebook)
does not concern this room, so that reading a checkpoint is a lookup. `embed` is cut where the word embeddings come
in: everything after them is a function of them. Leaves to others: google-research/bert's names for all this
(`modeling`), pooling and logits (`classifier`), reading weights (`checkpoints`).

Sources: Devlin et al. 2019; google-research/bert's modeling.py for names, post-LayerNorm order and the -10000 mask.
"""

import functools
import math
from typing import NamedTuple

import tensorflow as tf

from bert import config as config_lib
from bert import layers
from bert import shapes
from bert import taps as taps_lib

MASKED_SCORE = -10000.0  # the release's additive mask: exp(-10000) is exactly 0 in float32


class Layers(NamedTuple):
    """What the layers of an encoder made.

    Attributes:
      hidden_states: output of each layer, first to last.
      attention_probs: softmax of each layer before dropout; rows sum to 1 over k, columns of padding are 0.
      read: the last hidden states that a head reads: all, f[b, t, d], or the first token's, f[b, 1, d].
      read_probs: the last layer's attention of the same tokens, f[b, h, t, k] or f[b, h, 1, k].
    """

    hidden_states: tuple[shapes.Hidden, ...]
    attention_probs: tuple[shapes.AttentionProbs, ...]
    read: shapes.Hidden
    read_probs: shapes.AttentionProbs


class EncoderOutputs(NamedTuple):
    """Every intermediate tensor of the encoder that an explanation may want.

    Attributes:
      word_embeddings: rows of the word table, before positions, segments and LayerNorm.
      embedding_output: what enters layer 0, after LayerNorm.
      hidden_states: output of each layer, first to last.
      attention_probs: softmax of each layer before dropout.
    """

    word_embeddings: shapes.Embeddings
    embedding_output: shapes.Hidden
    hidden_states: tuple[shapes.Hidden, ...]
    attention_probs: tuple[shapes.AttentionProbs, ...]


def look_up_words(
    variables: shapes.Variables,
    input_ids: shapes.TokenIds,
    *,
    one_hot: bool = False,
    scope: str = "bert",
) -> shapes.Embeddings:
    """Return the word-table row of each token; `one_hot` multiplies instead of gathering, which TPUs prefer."""
    return layers.look_up(word_table(variables, scope=scope), input_ids, one_hot=one_hot)


def word_table(variables: shapes.Variables, *, scope: str = "bert") -> tf.Tensor:
    """Return the embeddings of the vocabulary, f[v, d]."""
    return variables[f"{scope}/embeddings/word_embeddings"]


def embed(
    variables: shapes.Variables,
    config: config_lib.BertConfig,
    word_embeddings: shapes.Embeddings,
    segment_ids: shapes.TokenIds,
    *,
    dropout: shapes.Dropout = layers.keep_all,
    scope: str = "bert",
) -> shapes.Hidden:
    """Add position and, where the model tells them apart, segment to the word embeddings and normalise."""
    summed = word_embeddings
    if config.type_vocab_size:
        segments = variables[f"{scope}/embeddings/token_type_embeddings"]
        # one-hot: the quicker way for so small a table
        summed = summed + layers.look_up(segments, segment_ids, one_hot=True)
    positions = variables[f"{scope}/embeddings/position_embeddings"][: tf.shape(word_embeddings)[1]]
    summed = summed + positions[tf.newaxis]
    normed = layers.layer_norm(variables, f"{scope}/embeddings", summed, config.layer_norm_eps)
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
    scaled = query / math.sqrt(query.shape[-1])  # smaller than the scores
    scores = tf.matmul(_heads_first(scaled), _heads_first(key), transpose_b=True)
    if taps:
        scores = taps.halve(scores)
        taps.scores.append(scores)
    return tf.nn.softmax(scores + mask_scores, axis=-1)


def mix(probs: shapes.AttentionProbs, value: tf.Tensor) -> tf.Tensor:
    """Average the values f[b, k, h, e] that each query attends to: f[b, q, h, e]."""
    return _heads_first(tf.matmul(probs, _heads_first(value)))


def _heads_first(x: tf.Tensor) -> tf.Tensor:
    """Swap the axes of tokens and heads."""
    return tf.transpose(x, [0, 2, 1, 3])


def project(
    variables: shapes.Variables,
    config: config_lib.BertConfig,
    name: str,
    hidden: shapes.Hidden,
    taps: taps_lib.Taps | None = None,
) -> tf.Tensor:
    """Return the queries, keys or values of tokens, f[b, t, h, e]."""
    shape = tf.shape(hidden)
    heads = [shape[0], shape[1], config.num_attention_heads, config.size_per_head]
    return tf.reshape(layers.dense(variables, name, _rows(hidden, taps), taps), heads)


def _rows(hidden: shapes.Hidden, taps: taps_lib.Taps | None) -> tf.Tensor:
    """Return tokens as rows f[n, d], which fuse best; where taps want examples apart, f[b, t, d] as it is."""
    return hidden if taps else tf.reshape(hidden, [-1, hidden.shape[-1]])


def finish_layer(
    variables: shapes.Variables,
    config: config_lib.BertConfig,
    layer: str,
    hidden: shapes.Hidden,
    probs: shapes.AttentionProbs,
    value: tf.Tensor,
    *,
    dropout: shapes.Dropout = layers.keep_all,
    taps: taps_lib.Taps | None = None,
) -> shapes.Hidden:
    """Go from a layer's attention to its output, for the tokens q that `hidden` f[b, q, d] brings in."""
    rate = config.hidden_dropout_prob
    probs = dropout(probs, config.attention_probs_dropout_prob, f"{layer}/attention/self")
    context, entered = mix(probs, value), _rows(hidden, taps)
    # the shape of what it is added to: else oneDNN does not fuse the residual
    context = tf.reshape(taps.halve(context) if taps else context, tf.shape(entered))
    place = f"{layer}/attention/output"
    mixed = layers.dense(variables, f"{place}/dense", context, taps)
    mixed = dropout(mixed, rate, place) + entered
    mixed = layers.layer_norm(variables, place, mixed, config.layer_norm_eps, taps)
    wide = layers.dense(variables, f"{layer}/intermediate/dense", mixed, taps)
    if activation := layers.get_activation(config.hidden_act):
        wide = layers.activate(activation, wide, taps)
    place = f"{layer}/output"
    narrow = layers.dense(variables, f"{place}/dense", wide, taps)
    narrow = dropout(narrow, rate, place) + mixed
    narrow = layers.layer_norm(variables, place, narrow, config.layer_norm_eps, taps)
    return tf.reshape(narrow, tf.shape(hidden))


def encode(
    variables: shapes.Variables,
    config: config_lib.BertConfig,
    word_embeddings: shapes.Embeddings,
    input_mask: shapes.TokenMask,
    segment_ids: shapes.TokenIds,
    *,
    dropout: shapes.Dropout = layers.keep_all,
    scope: str = "bert",
) -> EncoderOutputs:
    """Run the encoder from word embeddings to the last layer's hidden states.

    Args:
      input_mask: 1 = real token, 0 = padding. A row of zeros gives an ordinary, finite softmax.
    """
    embedding_output = embed(
        variables, config, word_embeddings, segment_ids, dropout=dropout, scope=scope
    )
    encoded = encode_layers(
        variables, config, embedding_output, input_mask, dropout=dropout, scope=scope
    )
    return EncoderOutputs(
        word_embeddings, embedding_output, encoded.hidden_states, encoded.attention_probs
    )


def encode_layers(
    variables: shapes.Variables,
    config: config_lib.BertConfig,
    hidden: shapes.Hidden,
    input_mask: shapes.TokenMask,
    *,
    dropout: shapes.Dropout = layers.keep_all,
    scope: str = "bert",
    reads_first_token: bool = False,
    taps: taps_lib.Taps | None = None,
) -> Layers:
    """Run the layers from what enters the first, in the precision of their kernels.

    Args:
      reads_first_token: a head will read the first token alone. Then, but for a graph with taps, the last layer is
        computed for it alone; for the others too where somebody fetches them, but no gradient comes through those.
      taps: collects the places where gradients may be read or stopped.
    """
    first_kernel = f"{scope}/encoder/layer_0/attention/self/query/kernel"
    hidden = tf.cast(hidden, variables[first_kernel].dtype)
    is_padding = 1.0 - tf.cast(input_mask, hidden.dtype)
    mask_scores = is_padding[:, tf.newaxis, tf.newaxis, :] * MASKED_SCORE
    hidden_states, attention_probs = [], []
    for index in range(config.num_hidden_layers):
        layer = f"{scope}/encoder/layer_{index}"
        query, key, value = (
            project(variables, config, f"{layer}/attention/self/{name}", hidden, taps)
            for name in ("query", "key", "value")
        )
        finish = functools.partial(
            finish_layer, variables, config, layer, value=value, dropout=dropout, taps=taps
        )
        entered, probs = hidden, attend(query, key, mask_scores, taps)
        hidden = finish(entered, probs)
        hidden_states.append(hidden)
        attention_probs.append(probs)
    if reads_first_token and not taps:
        first = entered[:, :1]
        query = project(variables, config, f"{layer}/attention/self/query", first)
        probs = attend(query, key, mask_scores)
        hidden = finish(first, probs)
    return Layers(tuple(hidden_states), tuple(attention_probs), hidden, probs)


def pool_first_token(
    variables: shapes.Variables,
    hidden: shapes.Hidden,
    *,
    scope: str = "bert",
    taps: taps_lib.Taps | None = None,
) -> shapes.Pooled:
    """Return the release's pooled output: tanh of a dense layer on the first token, [CLS]."""
    return layers.activate(
        tf.tanh, layers.dense(variables, f"{scope}/pooler/dense", hidden[:, 0], taps), taps
    )

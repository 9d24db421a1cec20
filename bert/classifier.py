"""The classifier on top of the encoder, and the door through which explanations come in.

`forward` is the only path from features to logits. `PredictExtra` is the type of everything that looks at a
prediction: a pure function of the model's tensors, run inside the PREDICT graph.
"""

from collections.abc import Callable
from typing import NamedTuple, get_args

import tensorflow as tf

from bert import config as config_lib
from bert import encoder
from bert import features as features_lib
from bert import shapes
from bert import weights


class BertOutputs(NamedTuple):
    """Everything a forward pass made.

    Attributes:
      word_embeddings: rows of the word table, the model's input for gradient methods.
      embedding_output: what enters layer 0, after LayerNorm.
      hidden_states: output of each layer, first to last.
      attention_probs: softmax of each layer before dropout; rows sum to 1 over k.
      pooled: what the classifier reads.
      logits: one score a class, before the softmax.
    """

    word_embeddings: shapes.Embeddings
    embedding_output: shapes.Hidden
    hidden_states: tuple[shapes.Hidden, ...]
    attention_probs: tuple[shapes.AttentionProbs, ...]
    pooled: shapes.Pooled
    logits: shapes.Logits


PredictExtra = Callable[[BertOutputs, features_lib.Features], dict[str, tf.Tensor]]

_WEIGHTS, _BIAS = "output_weights", "output_bias"
_CLASSIFIER_DROPOUT = 0.1  # the release keeps 0.9 of the pooled output whatever the config says


def variable_shapes(
    config: config_lib.BertConfig, num_labels: int, pooling: config_lib.Pooling = "default"
) -> dict[str, tuple[int, ...]]:
    """Return every variable of the classifier, name to shape; the pooler only where it is used."""
    pooler = weights.pooler_shapes(config) if pooling == "default" else {}
    head = {_WEIGHTS: (num_labels, config.hidden_size), _BIAS: (num_labels,)}
    return weights.encoder_shapes(config) | pooler | head


def masked_mean(hidden: shapes.Hidden, input_mask: shapes.TokenMask) -> shapes.Pooled:
    """Average the real tokens; a fully padded example gives 0.

    Source: hsm207/bert_attn_viz, global_average_pool.
    """
    mask = tf.cast(input_mask, hidden.dtype)
    counts = tf.maximum(tf.reduce_sum(mask, axis=1, keepdims=True), 1.0)
    return tf.einsum("btd,bt->bd", hidden, mask) / counts


def masked_max(hidden: shapes.Hidden, input_mask: shapes.TokenMask) -> shapes.Pooled:
    """Take the largest value of each dimension over the real tokens; a fully padded example gives 0.

    Source: hsm207/bert_attn_viz, global_max_pool (there padding counts as -1000).
    """
    is_real = tf.cast(input_mask, tf.bool)[:, :, tf.newaxis]
    largest = tf.reduce_max(tf.where(is_real, hidden, hidden.dtype.min), axis=1)
    return tf.where(tf.reduce_any(is_real, axis=1), largest, tf.zeros_like(largest))


def pool(
    variables: shapes.Variables,
    hidden: shapes.Hidden,
    input_mask: shapes.TokenMask,
    pooling: config_lib.Pooling,
) -> shapes.Pooled:
    """Reduce the last hidden states to one vector an example.

    Raises:
      ValueError: `pooling` is unknown.
    """
    if pooling == "default":
        return encoder.pool_first_token(variables, hidden)
    if pooling == "global_average_pool":
        return masked_mean(hidden, input_mask)
    if pooling == "global_max_pool":
        return masked_max(hidden, input_mask)
    legal = ", ".join(get_args(config_lib.Pooling))
    raise ValueError(f"pooling must be one of {legal}; got {pooling!r}")


def forward(
    variables: shapes.Variables,
    config: config_lib.BertConfig,
    features: features_lib.Features,
    *,
    pooling: config_lib.Pooling = "default",
    dropout: shapes.Dropout = encoder.keep_all,
    one_hot: bool = False,
) -> BertOutputs:
    """Run the classifier and keep every intermediate tensor.

    Args:
      one_hot: look words up by a one-hot product, which TPUs prefer.
    """
    words = encoder.look_up_words(variables, features.input_ids, one_hot=one_hot)
    encoded = encoder.encode(
        variables, config, words, features.input_mask, features.segment_ids, dropout=dropout
    )
    pooled = pool(variables, encoded.hidden_states[-1], features.input_mask, pooling)
    kept = dropout(pooled, _CLASSIFIER_DROPOUT, "classifier")
    scores = tf.matmul(kept, variables[_WEIGHTS], transpose_b=True)
    logits = tf.nn.bias_add(scores, variables[_BIAS])
    return BertOutputs(*encoded, pooled, logits)

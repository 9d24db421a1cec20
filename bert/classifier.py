"""The classifier on top of the encoder, and the door through which explanations come in.

`forward` is the only path from features to logits. `PredictExtra` is the type of everything that looks at a
prediction: a pure function of the model's tensors, run inside the PREDICT graph.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import tensorflow as tf

from bert import config as config_lib
from bert import encoder
from bert import features as features_lib
from bert import layers
from bert import shapes
from bert import taps as taps_lib
from bert import weights


class BertOutputs(NamedTuple):
    """Everything a forward pass made.

    Attributes:
      word_embeddings: rows of the word table, the model's input for gradient methods.
      embedding_output: what enters layer 0, after LayerNorm.
      hidden_states: output of each layer, first to last.
      attention_probs: softmax of each layer before dropout; rows sum to 1 over k.
      read: the last hidden states that the head reads: all, f[b, t, d], or the first token's alone, f[b, 1, d]. There
        gradients come through it and `read_probs` alone, not through the last of `hidden_states` and `attention_probs`.
      read_probs: the last layer's attention of the same tokens, f[b, h, t, k] or f[b, h, 1, k].
      pooled: what the classifier reads.
      logits: one score a class, before the softmax.
      word_table: rows of the vocabulary, for embeddings of one's own making.
      rerun: the same network from other embeddings on.
      taps: where gradients may be read or stopped; only when asked for.
    """

    word_embeddings: shapes.Embeddings
    embedding_output: shapes.Hidden
    hidden_states: tuple[shapes.Hidden, ...]
    attention_probs: tuple[shapes.AttentionProbs, ...]
    read: shapes.Hidden
    read_probs: shapes.AttentionProbs
    pooled: shapes.Pooled
    logits: shapes.Logits
    word_table: tf.Tensor
    rerun: "Rerun"
    taps: taps_lib.Taps | None = None

    def layer_dicts(self, *, of_read: bool = False) -> list[dict[str, shapes.AttentionProbs]]:
        """Return the layers' attention as `[{"layer_0": f[b, h, q, k]}, {"layer_1": ...}, ...]`, first layer first.

        At least float32, whatever the model computes in.

        Args:
          of_read: the last layer's is that of the tokens that the head reads: f[b, h, 1, k] of the first alone, or all.

        Source: hsm207/bert_attn_viz, the form that its attention processors take.
        """
        last = self.read_probs if of_read else self.attention_probs[-1]
        return [
            {f"layer_{index}": at_least_float32(probs)}
            for index, probs in enumerate([*self.attention_probs[:-1], last])
        ]


Point = Literal["word", "post_layernorm"]
"""Where the network is entered anew: the word embeddings, or what enters layer 0."""

Rerun = Callable[[shapes.Hidden, features_lib.Features, Point], BertOutputs]
"""(embeddings, features of the same rows, point) -> outputs, by the same variables; the ids are not read."""

PredictExtra = Callable[[BertOutputs, features_lib.Features], dict[str, tf.Tensor]]

_WEIGHTS, _BIAS = OUTPUT_LAYER = ("output_weights", "output_bias")
_CLASSIFIER_DROPOUT = 0.1  # the release keeps 0.9 of the pooled output whatever the config says


def at_least_float32(values: tf.Tensor) -> tf.Tensor:
    """Widen half precisions, in which sums over many tokens or classes lose too much."""
    return tf.cast(values, tf.float32) if values.dtype.size < tf.float32.size else values


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


class Head(NamedTuple):
    """How the last hidden states become the one vector that the classifier reads.

    Attributes:
      variable_shapes: the variables that it needs of a BERT, name to shape.
      pool: (variables, hidden f[b, t, d], input_mask, taps) -> f[b, d]; taps may be None.
      reads_first_token: `pool` reads no other token and, but for a graph with taps, is given no other: f[b, 1, d].
    """

    variable_shapes: Callable[[config_lib.BertConfig], dict[str, tuple[int, ...]]]
    pool: Callable[
        [shapes.Variables, shapes.Hidden, shapes.TokenMask, taps_lib.Taps | None], shapes.Pooled
    ]
    reads_first_token: bool = False


HEADS = {
    "default": Head(
        weights.pooler_shapes,
        lambda variables, hidden, _, taps: encoder.pool_first_token(variables, hidden, taps=taps),
        reads_first_token=True,
    ),
    "global_max_pool": Head(lambda _: {}, lambda _, hidden, mask, taps: masked_max(hidden, mask)),
    "global_average_pool": Head(
        lambda _: {}, lambda _, hidden, mask, taps: masked_mean(hidden, mask)
    ),
}


def find_head(pooling: str) -> Head:
    """Return a head by its name, or the user's own that `package.module:NAME` names.

    Raises:
      ValueError: there is no such head.
    """
    head: object = HEADS.get(pooling)
    if head is None and ":" in pooling:
        head = config_lib.import_object(pooling, "classifier_head_config")
    if not isinstance(head, Head):
        raise ValueError(
            f"classifier_head_config must be one of {', '.join(HEADS)}, or a bert.classifier.Head of your own as "
            f"package.module:NAME; got {pooling!r}"
        )
    return head


def variable_shapes(
    config: config_lib.BertConfig, num_labels: int, pooling: str = "default"
) -> dict[str, tuple[int, ...]]:
    """Return every variable of the classifier, name to shape; a head's only where it is used."""
    return (
        weights.encoder_shapes(config)
        | find_head(pooling).variable_shapes(config)
        | {_WEIGHTS: (num_labels, config.hidden_size), _BIAS: (num_labels,)}
    )


def forward(
    variables: shapes.Variables,
    config: config_lib.BertConfig,
    features: features_lib.Features,
    *,
    pooling: str = "default",
    dropout: shapes.Dropout = layers.keep_all,
    one_hot: bool = False,
    with_taps: bool = False,
) -> BertOutputs:
    """Run the classifier and keep every intermediate tensor.

    Args:
      pooling: name of the head, as `find_head` takes it.
      one_hot: look words up by a one-hot product, which TPUs prefer.
      with_taps: build the graph in the form that relevance methods need; the numbers are the same.
    """

    def run(
        embeddings: shapes.Hidden, batch: features_lib.Features, at: Point = "word"
    ) -> BertOutputs:
        taps = taps_lib.Taps() if with_taps else None
        entered = embeddings
        if at == "word":
            entered = encoder.embed(
                variables, config, embeddings, batch.segment_ids, dropout=dropout
            )
        head = find_head(pooling)
        encoded = encoder.encode_layers(
            variables,
            config,
            entered,
            batch.input_mask,
            dropout=dropout,
            reads_first_token=head.reads_first_token,
            taps=taps,
        )
        pooled = head.pool(variables, at_least_float32(encoded.read), batch.input_mask, taps)
        kept = dropout(pooled, _CLASSIFIER_DROPOUT, "classifier")
        scores = tf.matmul(kept, variables[_WEIGHTS], transpose_b=True)
        logits = tf.nn.bias_add(scores, variables[_BIAS])
        if taps:
            kernel = tf.transpose(variables[_WEIGHTS])
            taps.dense.append(taps_lib.Dense(kept, kernel, variables[_BIAS], logits))
        return BertOutputs(
            embeddings,
            entered,
            *encoded,
            pooled,
            logits,
            encoder.word_table(variables),
            run,
            taps,
        )

    return run(encoder.look_up_words(variables, features.input_ids, one_hot=one_hot), features)


def predictions(
    outputs: BertOutputs,
    batch: features_lib.Features,
    extras: Sequence[PredictExtra],
) -> dict[str, tf.Tensor]:
    """Return what a prediction carries: `probabilities`, `pred_class`, and what the extras make.

    Raises:
      ValueError: two of them have one name.
    """
    made = {
        "probabilities": tf.nn.softmax(outputs.logits),
        "pred_class": tf.argmax(outputs.logits, axis=-1),
    }
    for extra in extras:
        for name, value in extra(outputs, batch).items():
            if name in made:
                raise ValueError(
                    f"every prediction needs a name of its own, got {name!r} twice; rename it"
                )
            made[name] = value
    return made

"""google-research/bert's modeling API, as thin faces on `encoder` for code written against it.

The functions keep the release's names, arguments and defaults, and make (or find under reuse) its variables in the
current `tf.compat.v1.variable_scope` of a TF1 graph. Departures: `gelu` is the exact erf, as before 2019-02-07; the
dropout of `BertModel` is a function of the global step, while `dropout` draws anew in every `session.run`.

Source: google-research/bert, modeling.py at eedf571.
"""

import collections
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import tensorflow as tf

from bert import config as config_lib
from bert import encoder
from bert import layers
from bert import shapes
from bert import weights

Activation = Callable[[tf.Tensor], tf.Tensor]
Dimension: TypeAlias = int | tf.Tensor  # a Python int where it is static

BertConfig = config_lib.BertConfig
gelu = layers.gelu

_EPSILON = 1e-12  # of tf.contrib.layers.layer_norm, in float32


class BertModel:
    """google-research/bert's model class: builds the encoder in the current TF1 graph.

    Source: google-research/bert, modeling.BertModel. The getters keep their names; `get_attention_probs` is new.
    """

    def __init__(
        self,
        config: config_lib.BertConfig,
        is_training: bool,
        input_ids: tf.Tensor,
        input_mask: tf.Tensor | None = None,
        token_type_ids: tf.Tensor | None = None,
        use_one_hot_embeddings: bool = False,
        scope: str | None = None,
    ) -> None:
        """Build the model; a missing mask means all tokens are real, missing types mean one segment."""
        input_ids = tf.convert_to_tensor(input_ids)
        mask = tf.ones_like(input_ids) if input_mask is None else tf.convert_to_tensor(input_mask)
        segments = tf.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        name = scope or "bert"
        self._scope = name
        with tf.compat.v1.variable_scope(
            tf.compat.v1.get_variable_scope(), reuse=tf.compat.v1.AUTO_REUSE
        ):
            self._variables = weights.create(
                weights.encoder_shapes(config, name) | weights.pooler_shapes(config, name),
                config.initializer_range,
            )
        words = encoder.look_up_words(
            self._variables, input_ids, one_hot=use_one_hot_embeddings, scope=name
        )
        step = tf.compat.v1.train.get_or_create_global_step()
        dropout = layers.stateless_dropout(0, step) if is_training else layers.keep_all
        self._outputs = encoder.encode(
            self._variables, config, words, mask, segments, dropout=dropout, scope=name
        )

    def get_pooled_output(self) -> shapes.Pooled:
        """Return tanh of the pooler on [CLS]."""
        return encoder.pool_first_token(
            self._variables, self.get_sequence_output(), scope=self._scope
        )

    def get_sequence_output(self) -> shapes.Hidden:
        """Return the last layer's hidden states."""
        return self._outputs.hidden_states[-1]

    def get_all_encoder_layers(self) -> list[shapes.Hidden]:
        """Return the hidden states of every layer, first to last."""
        return list(self._outputs.hidden_states)

    def get_embedding_output(self) -> shapes.Hidden:
        """Return what enters the first layer: summed embeddings after LayerNorm and dropout."""
        return self._outputs.embedding_output

    def get_embedding_table(self) -> tf.Tensor:
        """Return the word table f[v, d]."""
        return self._variables[f"{self._scope}/embeddings/word_embeddings"]

    def get_attention_probs(self) -> list[shapes.AttentionProbs]:
        """Return the softmax of every layer, before dropout, first layer to last."""
        return list(self._outputs.attention_probs)


def get_activation(activation_string: str | Activation | None) -> Activation | None:
    """Return the activation of a name, None for "linear" and "", else what came; ValueError for an unknown name."""
    if not isinstance(activation_string, str):
        return activation_string
    return layers.get_activation(activation_string) if activation_string else None


def get_assignment_map_from_checkpoint(
    tvars: Iterable[tf.Variable], init_checkpoint: str
) -> tuple[collections.OrderedDict[str, str], dict[str, int]]:
    """Return the names that both know, each mapped to itself, and a dict of ones by name, with and without ":0"."""
    wanted = {variable.name.partition(":")[0] for variable in tvars}
    names = [name for name, _ in tf.train.list_variables(init_checkpoint) if name in wanted]
    assignment_map = collections.OrderedDict((name, name) for name in names)
    return assignment_map, {f"{name}{end}": 1 for name in names for end in ("", ":0")}


def dropout(input_tensor: tf.Tensor, dropout_prob: float | None) -> tf.Tensor:
    """Drop a share of the values and scale up the others; None and 0 drop nothing."""
    return tf.nn.dropout(input_tensor, rate=dropout_prob) if dropout_prob else input_tensor


def layer_norm(input_tensor: tf.Tensor, name: str | None = None) -> tf.Tensor:
    """Normalise the last dimension; `name` is the scope of beta and gamma, "LayerNorm" made unique by default."""
    width = input_tensor.shape[-1]
    with tf.compat.v1.variable_scope(name, default_name="LayerNorm"):
        variables = weights.create({"beta": (width,), "gamma": (width,)}, initializer_range=0.0)
        return layers.normalise(input_tensor, variables["gamma"], variables["beta"], _EPSILON)


def layer_norm_and_dropout(
    input_tensor: tf.Tensor, dropout_prob: float | None, name: str | None = None
) -> tf.Tensor:
    """Apply `layer_norm`, then `dropout`."""
    return dropout(layer_norm(input_tensor, name), dropout_prob)


def create_initializer(
    initializer_range: float = 0.02,
) -> tf.compat.v1.truncated_normal_initializer:
    """Return a truncated normal initialiser with this standard deviation."""
    return tf.compat.v1.truncated_normal_initializer(stddev=initializer_range)


def embedding_lookup(
    input_ids: tf.Tensor,
    vocab_size: int,
    embedding_size: int = 128,
    initializer_range: float = 0.02,
    word_embedding_name: str = "word_embeddings",
    use_one_hot_embeddings: bool = False,
) -> tuple[shapes.Embeddings, tf.Variable]:
    """Return the embeddings of token ids, and their table f[v, d].

    Args:
      input_ids: i[b, t]; of i[b, t, n], the n embeddings of a place lie side by side.
    """
    table = _table(word_embedding_name, vocab_size, embedding_size, initializer_range)
    ids = input_ids[:, :, tf.newaxis] if input_ids.shape.rank == 2 else input_ids
    *places, inputs = get_shape_list(ids)
    rows = layers.look_up(table, ids, one_hot=use_one_hot_embeddings)
    return tf.reshape(rows, [*places, inputs * embedding_size]), table


def embedding_postprocessor(
    input_tensor: shapes.Embeddings,
    use_token_type: bool = False,
    token_type_ids: shapes.TokenIds | None = None,
    token_type_vocab_size: int = 16,
    token_type_embedding_name: str = "token_type_embeddings",
    use_position_embeddings: bool = True,
    position_embedding_name: str = "position_embeddings",
    initializer_range: float = 0.02,
    max_position_embeddings: int = 512,
    dropout_prob: float | None = 0.1,
) -> shapes.Hidden:
    """Add segments and positions to word embeddings, normalise, drop.

    Raises:
      ValueError: `input_tensor` is not of rank 3, or segments are wanted and not given.
      InvalidArgumentError: the text is longer than `max_position_embeddings`; at run time where that is unknown before.
    """
    _, length, width = get_shape_list(input_tensor, expected_rank=3)
    output = input_tensor
    if use_token_type:
        if token_type_ids is None:
            raise ValueError("token_type_ids must be given with use_token_type=True, got None")
        table = _table(token_type_embedding_name, token_type_vocab_size, width, initializer_range)
        output += layers.look_up(table, token_type_ids, one_hot=True)
    if use_position_embeddings:
        table = _table(position_embedding_name, max_position_embeddings, width, initializer_range)
        fits = tf.compat.v1.assert_less_equal(length, max_position_embeddings)
        with tf.control_dependencies([fits]):
            output += table[:length]
    return layer_norm_and_dropout(output, dropout_prob)


def create_attention_mask_from_input_mask(from_tensor: tf.Tensor, to_mask: tf.Tensor) -> tf.Tensor:
    """Repeat a mask i[b, k] for every place of `from_tensor`, [b, q] or [b, q, ...]: f[b, q, k] of 0 and 1."""
    batch_size, from_seq_length, *_ = get_shape_list(from_tensor, expected_rank=[2, 3])
    to_seq_length = get_shape_list(to_mask, expected_rank=2)[1]
    mask = tf.reshape(tf.cast(to_mask, tf.float32), [batch_size, 1, to_seq_length])
    return tf.tile(mask, [1, from_seq_length, 1])


def attention_layer(
    from_tensor: tf.Tensor,
    to_tensor: tf.Tensor,
    attention_mask: tf.Tensor | None = None,
    num_attention_heads: int = 1,
    size_per_head: int = 512,
    query_act: Activation | None = None,
    key_act: Activation | None = None,
    value_act: Activation | None = None,
    attention_probs_dropout_prob: float | None = 0.0,
    initializer_range: float = 0.02,
    do_return_2d_tensor: bool = False,
    batch_size: Dimension | None = None,
    from_seq_length: Dimension | None = None,
    to_seq_length: Dimension | None = None,
) -> tf.Tensor:
    """Let each place of one text attend to the places of another, or of the same.

    Args:
      from_tensor: f[b, q, width] or f[b*q, width]; `to_tensor` is f[b, k, width] or f[b*k, width], of the same rank.
      attention_mask: [b, q, k], 1 where q may attend to k, else 0.
      batch_size: b; needed, with q and k in the next two, where the tensors are of rank 2.

    Returns:
      f[b, q, heads * size_per_head], heads side by side; with `do_return_2d_tensor` f[b*q, heads * size_per_head].

    Raises:
      ValueError: the ranks differ, are neither 2 nor 3, or the dimensions that rank 2 hides are not given.
    """
    from_shape = get_shape_list(from_tensor, expected_rank=[2, 3])
    to_shape = get_shape_list(to_tensor, expected_rank=len(from_shape))
    if len(from_shape) == 3:
        batch_size, from_seq_length, to_seq_length = *from_shape[:2], to_shape[1]
    elif batch_size is None or from_seq_length is None or to_seq_length is None:
        raise ValueError(
            "batch_size, from_seq_length and to_seq_length must be given with tensors of rank 2, got "
            f"{batch_size}, {from_seq_length} and {to_seq_length}"
        )
    width = num_attention_heads * size_per_head

    def project(name: str, x: tf.Tensor, length: Dimension, act: Activation | None) -> tf.Tensor:
        y = _dense(name, x, width, initializer_range, act)
        return tf.reshape(y, [batch_size, length, num_attention_heads, size_per_head])

    query = project("query", from_tensor, from_seq_length, query_act)
    key = project("key", to_tensor, to_seq_length, key_act)
    value = project("value", to_tensor, to_seq_length, value_act)
    mask = 1.0 if attention_mask is None else tf.cast(attention_mask, tf.float32)[:, tf.newaxis]
    probs = encoder.attend(query, key, (1.0 - mask) * encoder.MASKED_SCORE)
    mixed = encoder.mix(dropout(probs, attention_probs_dropout_prob), value)
    context = tf.reshape(mixed, [batch_size, from_seq_length, width])
    return reshape_to_matrix(context) if do_return_2d_tensor else context


def transformer_model(
    input_tensor: shapes.Hidden,
    attention_mask: tf.Tensor | None = None,
    hidden_size: int = 768,
    num_hidden_layers: int = 12,
    num_attention_heads: int = 12,
    intermediate_size: int = 3072,
    intermediate_act_fn: Activation | None = gelu,
    hidden_dropout_prob: float | None = 0.1,
    attention_probs_dropout_prob: float | None = 0.1,
    initializer_range: float = 0.02,
    do_return_all_layers: bool = False,
) -> shapes.Hidden | list[shapes.Hidden]:
    """Run the layers of a BERT; return the last hidden states, or those of every layer, first to last.

    Raises:
      ValueError: `input_tensor` is not f[b, t, hidden_size], or the heads do not divide the width.
    """
    width = get_shape_list(input_tensor, expected_rank=3)[2]
    if hidden_size != width or hidden_size % num_attention_heads:
        raise ValueError(
            "hidden_size must be the width of input_tensor and a multiple of num_attention_heads, "
            f"got {hidden_size}, {width} and {num_attention_heads}"
        )
    dense = functools.partial(_dense, initializer_range=initializer_range)
    drop = functools.partial(dropout, dropout_prob=hidden_dropout_prob)
    hidden, hidden_states = input_tensor, []
    for index in range(num_hidden_layers):
        with tf.compat.v1.variable_scope(f"layer_{index}"):
            with tf.compat.v1.variable_scope("attention/self"):
                context = attention_layer(
                    hidden,
                    hidden,
                    attention_mask,
                    num_attention_heads,
                    hidden_size // num_attention_heads,
                    attention_probs_dropout_prob=attention_probs_dropout_prob,
                    initializer_range=initializer_range,
                )
            mixed = drop(dense("attention/output/dense", context, hidden_size))
            hidden = layer_norm(mixed + hidden, "attention/output/LayerNorm")
            wide = dense("intermediate/dense", hidden, intermediate_size, act=intermediate_act_fn)
            narrow = drop(dense("output/dense", wide, hidden_size))
            hidden = layer_norm(narrow + hidden, "output/LayerNorm")
        hidden_states.append(hidden)
    return hidden_states if do_return_all_layers else hidden


def get_shape_list(
    tensor: tf.Tensor, expected_rank: int | Sequence[int] | None = None, name: str | None = None
) -> list[Dimension]:
    """Return the dimensions, static ones as int, others as scalar tensors, after `assert_rank`."""
    if expected_rank is not None:
        assert_rank(tensor, expected_rank, name)
    sizes = enumerate(tensor.shape.as_list())
    return [tf.shape(tensor)[axis] if size is None else size for axis, size in sizes]


def reshape_to_matrix(input_tensor: tf.Tensor) -> tf.Tensor:
    """Flatten all dimensions but the last; ValueError where there are fewer than two."""
    if input_tensor.shape.rank < 2:
        raise ValueError(f"input_tensor must have at least rank 2, got {input_tensor.shape}")
    return tf.reshape(input_tensor, [-1, input_tensor.shape[-1]])


def reshape_from_matrix(output_tensor: tf.Tensor, orig_shape_list: list[Dimension]) -> tf.Tensor:
    """Give a matrix the dimensions that `reshape_to_matrix` flattened; its own width stays."""
    return tf.reshape(output_tensor, [*orig_shape_list[:-1], get_shape_list(output_tensor)[-1]])


def assert_rank(
    tensor: tf.Tensor, expected_rank: int | Sequence[int], name: str | None = None
) -> None:
    """Raise ValueError, naming the tensor and the scope, unless its rank is the expected one, or one of them."""
    ranks = [expected_rank] if isinstance(expected_rank, int) else expected_rank
    if tensor.shape.rank not in ranks:
        raise ValueError(
            f"{name or tensor.name} must have rank {' or '.join(map(str, ranks))}, got shape {tensor.shape}, in scope "
            f"{tf.compat.v1.get_variable_scope().name!r}"
        )


def _table(name: str, rows: int, width: int, initializer_range: float) -> tf.Variable:
    initializer = create_initializer(initializer_range)
    return tf.compat.v1.get_variable(name, [rows, width], initializer=initializer)


def _dense(
    name: str, x: tf.Tensor, width: int, initializer_range: float, act: Activation | None = None
) -> tf.Tensor:
    layer = {f"{name}/kernel": (x.shape[-1], width), f"{name}/bias": (width,)}
    y = layers.dense(weights.create(layer, initializer_range), name, x)
    return act(y) if act else y

"""google-research/bert's modeling API, as thin faces on `encoder` for code written against it.

Sources: google-research/bert, modeling.py; the getters and functions keep their names and arguments.
"""

import tensorflow as tf

from bert import config as config_lib
from bert import encoder
from bert import shapes
from bert import weights

BertConfig = config_lib.BertConfig
gelu = encoder.gelu
get_activation = encoder.get_activation


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
        dropout = encoder.stateless_dropout(0, step) if is_training else encoder.keep_all
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

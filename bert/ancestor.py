"""google-research/bert's run_classifier functions that build graphs, as thin faces for code written against them.

Leaves to others: its modeling functions (`modeling`), and the names that are the same there and here.
"""

import tensorflow as tf

from bert import classifier
from bert import config as config_lib
from bert import estimator
from bert import features
from bert import layers
from bert import metrics
from bert import weights


def model_fn_builder(
    bert_config: config_lib.BertConfig,
    num_labels: int,
    init_checkpoint: str | None,
    learning_rate: float,
    num_train_steps: int,
    num_warmup_steps: int,
    use_tpu: bool,
    use_one_hot_embeddings: bool,
) -> estimator.ModelFn:
    """Return the `model_fn` under google-research/bert's signature."""
    model = estimator.Model(
        bert_config,
        num_labels,
        init_checkpoint=init_checkpoint,
        use_one_hot_embeddings=use_one_hot_embeddings,
    )
    training = estimator.Training(learning_rate, num_train_steps or 1, num_warmup_steps or 0)
    return estimator.build_model_fn(model, training, tpu=estimator.Tpu() if use_tpu else None)


def create_model(
    bert_config: config_lib.BertConfig,
    is_training: bool,
    input_ids: tf.Tensor,
    input_mask: tf.Tensor,
    segment_ids: tf.Tensor,
    labels: tf.Tensor,
    num_labels: int,
    use_one_hot_embeddings: bool,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, list[dict[str, tf.Tensor]]]:
    """Build the classifier in the current TF1 graph, under the ancestor's signature.

    Returns:
      Mean loss, losses, logits, probabilities, and each layer's attention, `[{"layer_0": f[b, h, q, k]}, ...]`.
    """
    variables = weights.create(
        classifier.variable_shapes(bert_config, num_labels), bert_config.initializer_range
    )
    step = tf.compat.v1.train.get_or_create_global_step()
    outputs = classifier.forward(
        variables,
        bert_config,
        features.Features(input_ids, input_mask, segment_ids),
        dropout=layers.stateless_dropout(0, step) if is_training else layers.keep_all,
        one_hot=use_one_hot_embeddings,
    )
    probabilities = tf.nn.softmax(outputs.logits)
    losses = metrics.example_losses(outputs.logits, labels)
    return tf.reduce_mean(losses), losses, outputs.logits, probabilities, outputs.layer_dicts()

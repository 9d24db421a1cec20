"""Loss and evaluation metrics, for any number of classes, padding examples left out."""

import tensorflow as tf

from bert import shapes

CONFUSION = "confusion_matrix"  # collection of the variable that an evaluation counts in

MetricOps = dict[str, tuple[tf.Tensor, tf.Operation]]


def example_losses(logits: shapes.Logits, label_ids: shapes.Labels) -> shapes.PerExample:
    """Return the cross-entropy of each example, in nats."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=label_ids, logits=logits)


def mean_loss(
    logits: shapes.Logits,
    label_ids: shapes.Labels,
    is_real_example: shapes.Labels | None = None,
    class_weights: tuple[float, ...] | None = None,
) -> shapes.Scalar:
    """Return the mean loss of the real examples; 0 where there are none.

    Args:
      class_weights: factor of an example's loss by its class; the mean still divides by the number of examples (as
        Keras does, not by the sum of weights as PyTorch does), so that the parts of a batch add up to the whole.
    """
    losses = example_losses(logits, label_ids)
    if class_weights is not None:
        losses *= tf.gather(tf.constant(class_weights, losses.dtype), label_ids)
    if is_real_example is None:
        return tf.reduce_mean(losses)
    real = tf.cast(is_real_example, losses.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(losses * real), tf.reduce_sum(real))


def real_examples(label_ids: shapes.Labels, is_real_example: shapes.Labels | None) -> shapes.Labels:
    """Return 1 for each example that is no padding; without being told, all are real."""
    return tf.ones_like(label_ids) if is_real_example is None else is_real_example


def evaluation_metrics(
    logits: shapes.Logits, label_ids: shapes.Labels, is_real_example: shapes.Labels | None
) -> MetricOps:
    """Return the Estimator's streaming metrics, from one confusion matrix and the summed loss.

    Two classes: precision, recall and F1 of class 1, and the four counts. More: macro averages over the classes, a
    class never predicted or never present counting as 0 (scikit-learn's zero_division=0).
    """
    weights = tf.cast(real_examples(label_ids, is_real_example), tf.float32)
    loss = tf.compat.v1.metrics.mean(example_losses(logits, label_ids), weights=weights)
    num_labels = logits.shape[-1]
    batch = tf.math.confusion_matrix(
        label_ids, tf.argmax(logits, axis=-1), num_labels, weights=weights, dtype=weights.dtype
    )
    total = tf.compat.v1.get_variable(
        "confusion_matrix",
        initializer=tf.zeros([num_labels, num_labels]),
        trainable=False,
        collections=[
            tf.compat.v1.GraphKeys.LOCAL_VARIABLES,
            tf.compat.v1.GraphKeys.METRIC_VARIABLES,
            CONFUSION,
        ],
    )
    update = tf.compat.v1.assign_add(total, batch)
    metrics: MetricOps = {"eval_loss": loss}
    for name, value in confusion_metrics(total).items():
        metrics[f"eval_{name}"] = (value, update)
    return metrics


def confusion_metrics(confusion: tf.Tensor) -> dict[str, tf.Tensor]:
    """Return accuracy, precision, recall, F1 (and for two classes the counts) of a confusion matrix.

    Args:
      confusion: f[c, c], rows the true class, columns the predicted one.
    """
    hits = tf.linalg.diag_part(confusion)
    predicted, present = tf.reduce_sum(confusion, axis=0), tf.reduce_sum(confusion, axis=1)
    precision = tf.math.divide_no_nan(hits, predicted)
    recall = tf.math.divide_no_nan(hits, present)
    f1 = tf.math.divide_no_nan(2.0 * hits, predicted + present)
    accuracy = tf.math.divide_no_nan(tf.reduce_sum(hits), tf.reduce_sum(confusion))
    if confusion.shape[0] != 2:
        macro = {"precision": precision, "recall": recall, "f1": f1}
        averaged = {name: tf.reduce_mean(values) for name, values in macro.items()}
        return {"accuracy": accuracy} | averaged
    counts = {
        "tn": confusion[0, 0],
        "fp": confusion[0, 1],
        "fn": confusion[1, 0],
        "tp": confusion[1, 1],
    }
    scores = {"precision": precision[1], "recall": recall[1], "f1": f1[1]}
    return {"accuracy": accuracy} | scores | counts

import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf

from bert import metrics


def streamed(logits, labels, real, batch_size):
    """Run the Estimator's metric ops over batches, as `evaluate` does."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        rows = tf.compat.v1.placeholder(tf.int32, [None])
        ops = metrics.evaluation_metrics(
            tf.gather(tf.constant(logits), rows),
            tf.gather(tf.constant(labels), rows),
            None if real is None else tf.gather(tf.constant(real), rows),
        )
        session.run(tf.compat.v1.local_variables_initializer())
        for start in range(0, len(labels), batch_size):
            batch = np.arange(len(labels))[start : start + batch_size]
            session.run([update for _, update in ops.values()], {rows: batch})
        return session.run({name: value for name, (value, _) in ops.items()})


def random_task(classes, count=40):
    rng = np.random.default_rng(classes)
    logits = rng.normal(size=[count, classes]).astype(np.float32)
    return logits, rng.integers(0, classes, count).astype(np.int32)


def test_two_class_metrics_equal_scikit_learn():
    logits, labels = random_task(2)
    predicted = logits.argmax(axis=1)
    got = streamed(logits, labels, None, batch_size=7)
    tn, fp, fn, tp = sklearn.metrics.confusion_matrix(labels, predicted).ravel()
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = {
        "eval_accuracy": sklearn.metrics.accuracy_score(labels, predicted),
        "eval_precision": sklearn.metrics.precision_score(labels, predicted),
        "eval_recall": sklearn.metrics.recall_score(labels, predicted),
        "eval_f1": sklearn.metrics.f1_score(labels, predicted),
        "eval_tn": tn,
        "eval_fp": fp,
        "eval_fn": fn,
        "eval_tp": tp,
        "eval_loss": sklearn.metrics.log_loss(labels, probabilities),
    }
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("classes", [3, 5])
def test_more_classes_get_macro_averages_as_scikit_learn_computes_them(classes):
    logits, labels = random_task(classes, count=12)
    labels[labels == 1] = 0  # one class is never present
    predicted = logits.argmax(axis=1)
    got = streamed(logits, labels, None, batch_size=5)
    options = {"average": "macro", "zero_division": 0, "labels": range(classes)}
    expected = {
        "eval_accuracy": sklearn.metrics.accuracy_score(labels, predicted),
        "eval_precision": sklearn.metrics.precision_score(labels, predicted, **options),
        "eval_recall": sklearn.metrics.recall_score(labels, predicted, **options),
        "eval_f1": sklearn.metrics.f1_score(labels, predicted, **options),
    }
    assert got.keys() == expected.keys() | {"eval_loss"}
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-5, err_msg=name)


def test_padding_examples_change_no_metric():
    logits, labels = random_task(2, count=5)
    alone = streamed(logits, labels, None, batch_size=4)
    padded = streamed(
        np.concatenate([logits, np.full([3, 2], 9, np.float32)]),
        np.concatenate([labels, np.zeros(3, np.int32)]),
        np.int32([1, 1, 1, 1, 1, 0, 0, 0]),
        batch_size=4,
    )
    for name, value in alone.items():
        np.testing.assert_allclose(padded[name], value, rtol=1e-6, err_msg=name)


def test_a_class_weight_is_a_factor_of_its_examples_loss():
    def loss(class_weights):
        logits, labels = tf.constant([[1.0, 0.0, 2.0], [0.5, 1.0, 0.0], [3.0, 0.0, 0.0]]), [0, 1, 2]
        return metrics.mean_loss(logits, tf.constant(labels), None, class_weights).numpy()

    with_one = [loss(tuple(np.eye(3, dtype=float)[index])) for index in range(3)]
    np.testing.assert_allclose(sum(with_one), loss(None), rtol=1e-5)
    np.testing.assert_allclose(loss((2.0, 1.0, 1.0)), loss(None) + with_one[0], rtol=1e-5)

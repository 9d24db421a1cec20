import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from bert import classifier
from bert import config as config_lib
from bert import estimator
from bert import features
from bert import weights
from explain import attention
from explain import model as model_lib


@pytest.fixture(scope="module")
def model(tiny_release):
    config = config_lib.BertConfig.from_json_file(tiny_release / "bert_config.json")
    return estimator.Model(config, 3)


@pytest.fixture(scope="module")
def pretrained(model, tiny_release):
    return dataclasses.replace(model, init_checkpoint=str(tiny_release / "bert_model.ckpt"))


def batch(real=(1, 1, 1)):
    ids = tf.constant([[2, 5, 6, 3], [2, 7, 8, 3], [2, 9, 3, 0]])
    values = features.Features(
        ids,
        tf.cast(ids > 0, tf.int32),
        tf.zeros_like(ids),
        tf.constant([0, 1, 2]),
        tf.constant(real),
    )
    return values._asdict()


def run(model, mode, feature_dict, pick, **options):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.set_random_seed(1)
        spec = estimator.model_fn_builder(model, **options)(feature_dict(), None, mode, {})
        session.run(tf.compat.v1.global_variables_initializer())
        return session.run(pick(spec))


def test_padding_examples_do_not_enter_the_loss(model):
    def loss(real):
        return run(model, "eval", lambda: batch(real), lambda spec: spec.loss)

    single = [loss(np.eye(3, dtype=int)[index].tolist()) for index in range(3)]
    np.testing.assert_allclose(loss([1, 1, 1]), np.mean(single), rtol=1e-6)
    np.testing.assert_allclose(loss([1, 0, 1]), np.mean([single[0], single[2]]), rtol=1e-6)
    assert loss([0, 0, 0]) == 0.0
    assert len(set(single)) == 3


def test_extras_run_in_predict_and_may_not_take_a_name_twice(model):
    def count_tokens(outputs, batch):
        return {"length": tf.reduce_sum(batch.input_mask, axis=1)}

    found = run(model, "infer", batch, lambda spec: spec.predictions, extras=(count_tokens,))
    np.testing.assert_array_equal(found["length"], [4, 4, 3])
    with pytest.raises(
        ValueError, match="every prediction needs a name of its own, got 'length' twice"
    ):
        run(
            model,
            "infer",
            batch,
            lambda spec: spec.predictions,
            extras=(count_tokens, count_tokens),
        )


@pytest.mark.parametrize("mode", ["eval", "infer"])
def test_a_pretrained_encoder_alone_is_no_classifier(pretrained, mode):
    with pytest.raises(
        ValueError, match=r"must hold a fine-tuned classifier .* lacks output_weights, output_bias"
    ):
        run(pretrained, mode, batch, lambda spec: spec.predictions)


def test_training_without_a_schedule_is_refused(model):
    with pytest.raises(ValueError, match="training must have a schedule"):
        run(model, "train", batch, lambda spec: spec.loss)


def test_predict_needs_no_labels(model):
    unlabelled = {
        name: value
        for name, value in batch().items()
        if name in ("input_ids", "input_mask", "segment_ids")
    }

    def feature_dict():
        return {name: tf.constant(value.numpy()) for name, value in unlabelled.items()}

    found = run(model, "infer", feature_dict, lambda spec: spec.predictions)
    assert found["probabilities"].shape == (3, 3)


def test_a_model_without_checkpoint_starts_from_the_seed(model):
    shapes = classifier.variable_shapes(model.config, 3)

    def values(spec):
        return [v for v in tf.compat.v1.trainable_variables() if v.op.name == "output_weights"]

    first, again = (run(model, "eval", batch, values)[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == shapes["output_weights"]
    assert 0 < np.abs(first).max() < 0.04001  # truncated normal: two standard deviations of 0.02


def test_every_variable_of_the_encoder_is_trained(pretrained):
    schedule = estimator.Schedule(1e-2, 10, 0, seed=3)
    names = list(weights.encoder_shapes(pretrained.config))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        spec = estimator.model_fn_builder(pretrained, schedule)(batch(), None, "train", {})
        session.run(tf.compat.v1.global_variables_initializer())
        variables = {v.op.name: v for v in tf.compat.v1.trainable_variables()}
        before = session.run(variables)
        session.run(spec.train_op)
        after = session.run(variables)
    assert set(names) < set(before)
    frozen = [name for name in before if (before[name] == after[name]).all()]
    # the bias of the keys shifts all scores of a row alike, so softmax takes it out: a gradient of 0 but for rounding
    assert not [name for name in frozen if not name.endswith("key/bias")]


def test_the_predict_graph_with_attention_compiles_under_xla_with_static_shapes(model):
    extra = model_lib.attention_extra(attention.average_last_layer_by_head)
    build = estimator.model_fn_builder(model, extras=(extra,))

    def predictions(compiled):
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            tf.compat.v1.set_random_seed(1)

            def graph():
                found = build(batch(), None, "infer", {}).predictions
                return [found[name] for name in ("probabilities", "pred_class", "attention")]

            outputs = tf.xla.experimental.compile(graph) if compiled else graph()
            session.run(tf.compat.v1.global_variables_initializer())
            return session.run(outputs)

    for plain, compiled in zip(predictions(False), predictions(True), strict=True):
        np.testing.assert_allclose(plain, compiled, atol=1e-6)

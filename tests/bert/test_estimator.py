import numpy as np
import pytest
import tensorflow as tf

from bert import checkpoints
from bert import classifier
from bert import estimator
from explain import attention
from explain import model as model_lib
from tests.bert import tiny_estimator

model = tiny_estimator.model
pretrained = tiny_estimator.pretrained


def run(model, mode, feature_dict, pick, **options):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.set_random_seed(1)
        spec = estimator.build_model_fn(model, **options)(feature_dict(), None, mode, {})
        session.run(tf.compat.v1.global_variables_initializer())
        return session.run(pick(spec))


def test_padding_examples_do_not_enter_the_loss(model):
    def loss(real):
        return run(model, "eval", lambda: tiny_estimator.batch(real), lambda spec: spec.loss)

    single = [loss(np.eye(3, dtype=int)[index].tolist()) for index in range(3)]
    np.testing.assert_allclose(loss([1, 1, 1]), np.mean(single), rtol=1e-6)
    np.testing.assert_allclose(loss([1, 0, 1]), np.mean([single[0], single[2]]), rtol=1e-6)
    assert loss([0, 0, 0]) == 0.0
    assert len(set(single)) == 3


def test_extras_run_in_predict_and_may_not_take_a_name_twice(model):
    def count_tokens(outputs, batch):
        return {"length": tf.reduce_sum(batch.input_mask, axis=1)}

    found = run(
        model, "infer", tiny_estimator.batch, lambda spec: spec.predictions, extras=(count_tokens,)
    )
    np.testing.assert_array_equal(found["length"], [4, 4, 3])
    with pytest.raises(
        ValueError, match="every prediction needs a name of its own, got 'length' twice"
    ):
        run(
            model,
            "infer",
            tiny_estimator.batch,
            lambda spec: spec.predictions,
            extras=(count_tokens, count_tokens),
        )


@pytest.mark.parametrize("mode", ["eval", "infer"])
def test_a_pretrained_encoder_alone_is_no_classifier(pretrained, mode):
    with pytest.raises(
        ValueError, match=r"must hold a fine-tuned classifier .* lacks output_weights, output_bias"
    ):
        run(pretrained, mode, tiny_estimator.batch, lambda spec: spec.predictions)


def test_training_without_its_settings_is_refused(model):
    with pytest.raises(ValueError, match="training must have its settings"):
        run(model, "train", tiny_estimator.batch, lambda spec: spec.loss)


def test_predict_needs_no_labels(model):
    unlabelled = {
        name: value
        for name, value in tiny_estimator.batch().items()
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

    first, again = (run(model, "eval", tiny_estimator.batch, values)[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == shapes["output_weights"]
    assert 0 < np.abs(first).max() < 0.04001  # truncated normal: two standard deviations of 0.02


def test_the_predict_graph_with_attention_compiles_under_xla_with_static_shapes(model):
    extra = model_lib.attention_extra(attention.average_last_layer_by_head)
    build = estimator.build_model_fn(model, extras=(extra,))

    def predictions(compiled):
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            tf.compat.v1.set_random_seed(1)

            def graph():
                found = build(tiny_estimator.batch(), None, "infer", {}).predictions
                return [found[name] for name in ("probabilities", "pred_class", "attention")]

            outputs = tf.xla.experimental.compile(graph) if compiled else graph()
            session.run(tf.compat.v1.global_variables_initializer())
            return session.run(outputs)

    for plain, compiled in zip(predictions(False), predictions(True), strict=True):
        np.testing.assert_allclose(plain, compiled, atol=1e-6)


class CountSteps(tf.compat.v1.train.SessionRunHook):
    def __init__(self):
        self.steps = 0

    def after_run(self, run_context, run_values):
        self.steps += 1


def test_a_hook_and_an_input_pipeline_of_ones_own_plug_into_the_estimator(pretrained, tmp_path):
    hook = CountSteps()

    def endless(params):
        return (
            tf.data.Dataset.from_tensor_slices(tiny_estimator.batch())
            .repeat()
            .batch(params["batch_size"])
        )

    built = estimator.build_estimator(
        tmp_path, pretrained, estimator.Training(1e-2, 3, 0), predict_batch_size=2
    )
    built.train(endless, max_steps=3, hooks=[hook])
    assert hook.steps == 3
    assert checkpoints.latest_step(tmp_path) == 3

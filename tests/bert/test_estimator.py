import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from bert import checkpoints
from bert import classifier
from bert import config as config_lib
from bert import estimator
from bert import features
from bert import input_fn
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
        spec = estimator.build_model_fn(model, **options)(feature_dict(), None, mode, {})
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


def test_training_without_its_settings_is_refused(model):
    with pytest.raises(ValueError, match="training must have its settings"):
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
    training = estimator.Training(1e-2, 10, 0, seed=3)
    names = list(weights.encoder_shapes(pretrained.config))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        spec = estimator.build_model_fn(pretrained, training)(batch(), None, "train", {})
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
    build = estimator.build_model_fn(model, extras=(extra,))

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


def train_one_step(model, training, feature_dict=batch):
    """Return every trainable variable before and after one step, and the step's loss."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.set_random_seed(1)
        spec = estimator.build_model_fn(model, training)(feature_dict(), None, "train", {})
        session.run(tf.compat.v1.global_variables_initializer())
        names = classifier.variable_shapes(model.config, model.num_labels, model.pooling)
        variables = {v.op.name: v for v in tf.compat.v1.global_variables() if v.op.name in names}
        before = session.run(variables)
        loss, _ = session.run([spec.loss, spec.train_op])
        return before, session.run(variables), loss


def without_dropout(model):
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return dataclasses.replace(model, config=model.config.model_copy(update=still))


def eight():
    """Eight examples: more parts to cut a batch into."""
    rng = np.random.default_rng(4)
    ids = tf.constant(rng.integers(5, 20, (8, 6)), tf.int32)
    mask = tf.constant((np.arange(6) < rng.integers(3, 7, (8, 1))).astype(np.int32))
    labels = tf.constant(rng.integers(0, 3, 8), tf.int32)
    return features.Features(ids, mask, tf.zeros_like(ids), labels, tf.ones_like(labels))._asdict()


@pytest.mark.parametrize("class_weights", [None, (1.0, 2.0, 0.5)])
def test_accumulating_four_parts_of_two_equals_a_batch_of_eight(
    pretrained, monkeypatch, class_weights
):
    monkeypatch.setattr(classifier, "_CLASSIFIER_DROPOUT", 0.0)
    model = without_dropout(pretrained)
    whole = estimator.Training(1e-3, 10, 0, class_weights=class_weights)
    parts = dataclasses.replace(whole, gradient_accumulation_steps=4)
    _, expected, loss = train_one_step(model, whole, eight)
    before, after, loss_of_parts = train_one_step(model, parts, eight)
    np.testing.assert_allclose(loss_of_parts, loss, rtol=1e-6)
    for name, value in expected.items():
        np.testing.assert_allclose(after[name], value, atol=1e-6, err_msg=name)
    assert np.abs(after["output_weights"] - before["output_weights"]).max() > 1e-4


def test_a_batch_that_does_not_divide_into_its_parts_is_refused(pretrained):
    settings = estimator.Training(1e-2, 10, 0, gradient_accumulation_steps=3)
    message = "must have a multiple of gradient_accumulation_steps=3 examples"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        train_one_step(pretrained, settings, eight)


def test_parts_of_a_batch_have_dropout_masks_of_their_own(pretrained):
    # two equal halves: with one mask for both, two parts would have the loss of the first
    first = {name: value[:4] for name, value in eight().items()}

    def doubled():
        return {name: tf.concat([value.numpy()] * 2, axis=0) for name, value in first.items()}

    def halved():
        return {name: tf.constant(value.numpy()) for name, value in first.items()}

    model = dataclasses.replace(
        pretrained, config=pretrained.config.model_copy(update={"hidden_dropout_prob": 0.5})
    )
    parts = estimator.Training(1e-2, 10, 0, gradient_accumulation_steps=2)
    _, _, loss = train_one_step(model, parts, doubled)
    _, _, loss_of_one = train_one_step(model, estimator.Training(1e-2, 10, 0), halved)
    assert abs(loss - loss_of_one) > 1e-3


def test_a_frozen_encoder_stays_as_it_is_to_the_bit_and_the_head_learns(pretrained):
    frozen = estimator.Training(1e-2, 10, 0, freeze_encoder=True)
    before, after, _ = train_one_step(pretrained, frozen)
    of_encoder = weights.encoder_shapes(pretrained.config)
    for name, value in before.items():
        assert (value == after[name]).all() == (name in of_encoder), name
    assert set(of_encoder) < set(before)


def test_a_classifier_for_other_labels_starts_anew(model, tmp_path):
    shapes = classifier.variable_shapes(model.config, 3)
    rng = np.random.default_rng(8)
    checkpoints.write(
        tmp_path / "x.ckpt",
        {name: rng.normal(5, 0.1, shape).astype(np.float32) for name, shape in shapes.items()},
    )
    started = dataclasses.replace(model, init_checkpoint=str(tmp_path / "x.ckpt"))
    kept, _, _ = train_one_step(started, estimator.Training(1e-2, 10, 0))
    fresh, _, _ = train_one_step(
        dataclasses.replace(started, keeps_classifier=False), estimator.Training(1e-2, 10, 0)
    )
    assert kept["output_weights"].mean() > 4
    assert np.abs(fresh["output_weights"]).max() < 0.1
    assert (fresh["bert/pooler/dense/kernel"] == kept["bert/pooler/dense/kernel"]).all()


FIRST_AND_LAST = classifier.Head(
    lambda config: {"ends/kernel": (2 * config.hidden_size, config.hidden_size)},
    lambda variables, hidden, mask, taps: tf.matmul(
        tf.concat([hidden[:, 0], hidden[:, -1]], axis=-1), variables["ends/kernel"]
    ),
)


def test_a_head_of_ones_own_is_trained_and_predicts(pretrained):
    model = dataclasses.replace(pretrained, pooling=f"{__name__}:FIRST_AND_LAST")
    before, after, _ = train_one_step(model, estimator.Training(1e-2, 10, 0))
    assert before["ends/kernel"].shape == (24, 12)
    assert (before["ends/kernel"] != after["ends/kernel"]).any()
    assert "bert/pooler/dense/kernel" not in before


def test_what_is_no_head_is_refused():
    with pytest.raises(
        ValueError, match=r"must be one of default, .* or a bert.classifier.Head of your own"
    ):
        classifier.find_head(f"{__name__}:batch")


def files_of(tmp_path, count):
    rng = np.random.default_rng(9)
    path = tmp_path / f"{count}.tf_record"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for index in range(count):
            ids = [2, *rng.integers(5, 20, 4).tolist(), 3]
            real = index < count - 1  # the last is padding
            writer.write(
                features.serialize(features.InputFeatures(ids, [1] * 6, [0] * 6, index % 3, real))
            )
    return path


def test_a_tpu_estimator_trains_evaluates_and_predicts_attention_on_the_cpu(pretrained, tmp_path):
    path = files_of(tmp_path, 8)

    def inputs(is_training):
        return input_fn.file_based_input_fn_builder(path, 6, is_training, True)

    extra = model_lib.attention_extra(attention.average_last_layer_by_head)
    tpu = estimator.Tpu(train_batch_size=4, eval_batch_size=4, use_tpu=False)
    training = estimator.Training(1e-2, 5, 0)
    built = estimator.build_estimator(
        tmp_path / "tpu", pretrained, training, (extra,), tpu=tpu, predict_batch_size=4
    )
    assert isinstance(built, tf.compat.v1.estimator.tpu.TPUEstimator)
    built.train(inputs(True), max_steps=5)
    found = built.evaluate(inputs(False), steps=2)
    predictions = list(built.predict(inputs(False)))
    assert len(predictions) == 8
    assert predictions[0]["attention"].shape == (6,)
    np.testing.assert_allclose(predictions[0]["attention"].sum(), 1.0, rtol=1e-5)
    trained = dataclasses.replace(pretrained, init_checkpoint=None)
    plain = estimator.build_estimator(
        tmp_path / "tpu", trained, None, (extra,), predict_batch_size=4
    )
    for expected, got in zip(plain.predict(inputs(False)), predictions, strict=True):
        np.testing.assert_allclose(got["probabilities"], expected["probabilities"], atol=1e-6)
        np.testing.assert_allclose(got["attention"], expected["attention"], atol=1e-6)
    right = sum(
        int(p["pred_class"]) == index % 3 for index, p in enumerate(predictions[:7])
    )  # the eighth is padding
    np.testing.assert_allclose(found["eval_accuracy"], right / 7, rtol=1e-6)


def test_a_tpus_spec_leaves_the_start_from_a_checkpoint_to_its_host(model, tmp_path):
    shapes = classifier.variable_shapes(model.config, 3)
    checkpoints.write(
        tmp_path / "x.ckpt",
        {name: np.full(shape, 0.5, np.float32) for name, shape in shapes.items()},
    )
    started = dataclasses.replace(model, init_checkpoint=str(tmp_path / "x.ckpt"))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        spec = estimator.build_model_fn(started, tpu=estimator.Tpu())(batch(), None, "infer", {})
        assert set(spec.predictions) == {"probabilities", "pred_class"}
        assert isinstance(spec.scaffold_fn(), tf.compat.v1.train.Scaffold)
        session.run(tf.compat.v1.global_variables_initializer())
        (bias,) = [v for v in tf.compat.v1.global_variables() if v.op.name == "output_bias"]
        np.testing.assert_array_equal(session.run(bias), [0.5, 0.5, 0.5])


def test_a_tpus_training_graph_shares_gradients_and_writes_no_summaries(model):
    with tf.Graph().as_default() as graph:
        build = estimator.build_model_fn(
            model, estimator.Training(1e-2, 10, 0), tpu=estimator.Tpu()
        )
        build(batch(), None, "train", {})
        kinds = {operation.type for operation in graph.get_operations()}
        assert "CrossReplicaSum" in kinds
        assert not [kind for kind in kinds if "Summary" in kind]


class CountSteps(tf.compat.v1.train.SessionRunHook):
    def __init__(self):
        self.steps = 0

    def after_run(self, run_context, run_values):
        self.steps += 1


def test_a_hook_and_an_input_pipeline_of_ones_own_plug_into_the_estimator(pretrained, tmp_path):
    hook = CountSteps()

    def endless(params):
        return tf.data.Dataset.from_tensor_slices(batch()).repeat().batch(params["batch_size"])

    built = estimator.build_estimator(
        tmp_path, pretrained, estimator.Training(1e-2, 3, 0), predict_batch_size=2
    )
    built.train(endless, max_steps=3, hooks=[hook])
    assert hook.steps == 3
    assert checkpoints.latest_step(tmp_path) == 3

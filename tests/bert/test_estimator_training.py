import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from bert import checkpoints
from bert import classifier
from bert import estimator
from bert import weights
from tests.bert import tiny_estimator

model = tiny_estimator.model
pretrained = tiny_estimator.pretrained


def test_every_variable_of_the_encoder_is_trained(pretrained):
    training = estimator.Training(1e-2, 10, 0, seed=3)
    names = list(weights.encoder_shapes(pretrained.config))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        spec = estimator.build_model_fn(pretrained, training)(
            tiny_estimator.batch(), None, "train", {}
        )
        session.run(tf.compat.v1.global_variables_initializer())
        variables = {v.op.name: v for v in tf.compat.v1.trainable_variables()}
        before = session.run(variables)
        session.run(spec.train_op)
        after = session.run(variables)
    assert set(names) < set(before)
    frozen = [name for name in before if (before[name] == after[name]).all()]
    # the bias of the keys shifts all scores of a row alike, so softmax takes it out: a gradient of 0 but for rounding
    assert not [name for name in frozen if not name.endswith("key/bias")]


def train_one_step(model, training, feature_dict=tiny_estimator.batch):
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
    names = ("input_ids", "input_mask", "segment_ids", "label_ids", "is_real_example")
    return dict(
        zip(names, (ids, mask, tf.zeros_like(ids), labels, tf.ones_like(labels)), strict=True)
    )


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


def test_bfloat16_trains_float32_variables_to_about_the_same_step(pretrained, monkeypatch):
    monkeypatch.setattr(classifier, "_CLASSIFIER_DROPOUT", 0.0)
    model = without_dropout(pretrained)
    full = estimator.Training(1e-3, 10, 0)
    half = dataclasses.replace(full, precision="bfloat16")
    before, expected, loss = train_one_step(model, full, eight)
    _, after, loss_in_half = train_one_step(model, half, eight)
    assert loss_in_half != loss
    np.testing.assert_allclose(loss_in_half, loss, rtol=0.02)  # bfloat16 has 8 bits, 0.4 %
    for name, value in after.items():
        assert value.dtype == np.float32
        if not name.endswith("key/bias"):  # without a gradient but for rounding
            moved, wanted = (value - before[name]).ravel(), (expected[name] - before[name]).ravel()
            cosine = moved @ wanted / np.linalg.norm(moved) / np.linalg.norm(wanted)
            assert cosine > 0.8, name  # Adam's first step is a sign: small gradients may turn


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
        classifier.find_head(f"{__name__}:train_one_step")

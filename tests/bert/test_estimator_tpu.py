import dataclasses

import numpy as np
import tensorflow as tf

from bert import checkpoints
from bert import classifier
from bert import estimator
from bert import features
from bert import input_fn
from explain import attention
from explain import model as model_lib
from tests.bert import tiny_estimator

model = tiny_estimator.model
pretrained = tiny_estimator.pretrained


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
        spec = estimator.build_model_fn(started, tpu=estimator.Tpu())(
            tiny_estimator.batch(), None, "infer", {}
        )
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
        build(tiny_estimator.batch(), None, "train", {})
        kinds = {operation.type for operation in graph.get_operations()}
        assert "CrossReplicaSum" in kinds
        assert not [kind for kind in kinds if "Summary" in kind]

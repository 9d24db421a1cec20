import logging

import numpy as np
import pytest
import tensorflow as tf

from bert import checkpoints
from bert import classifier
from bert import config as config_lib
from bert import weights
from tests import conftest

TINY_BASE = {  # BERT-Base's names with narrow tensors
    "hidden_size": 8,
    "num_hidden_layers": 12,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 16,
    "type_vocab_size": 2,
}


@pytest.fixture(scope="module")
def config():
    return config_lib.BertConfig(30, **TINY_BASE)


@pytest.fixture(scope="module")
def release(config, tmp_path_factory):
    """A synthesised release: 199 encoder variables and the 7 of the pre-training heads."""
    rng = np.random.default_rng(0)
    shapes = conftest.release_shapes(config)
    del shapes["output_weights"], shapes["output_bias"]
    shapes |= {
        "cls/predictions/transform/dense/kernel": (8, 8),
        "cls/predictions/transform/dense/bias": (8,),
        "cls/predictions/transform/LayerNorm/beta": (8,),
        "cls/predictions/transform/LayerNorm/gamma": (8,),
        "cls/predictions/output_bias": (30,),
        "cls/seq_relationship/output_weights": (2, 8),
        "cls/seq_relationship/output_bias": (2,),
    }
    variables = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    prefix = tmp_path_factory.mktemp("release") / checkpoints.GOOGLE_CHECKPOINT
    checkpoints.write(prefix, variables)
    return prefix, variables


def test_a_release_checkpoint_gives_199_variables_and_its_pretraining_heads_are_ignored(
    config, release
):
    prefix, variables = release
    assert len(variables) == 206
    wanted = classifier.variable_shapes(config, num_labels=3)
    report = checkpoints.compare(prefix, wanted, weights.encoder_shapes(config))
    assert len(report.initialised) == 199
    assert report.missing == ("output_weights", "output_bias")
    assert len(report.ignored) == 7
    assert all(name.startswith("cls/") for name in report.ignored)
    text = "\n".join(report.lines())
    assert "199 variables initialised" in text
    assert "cls/predictions/output_bias" in text


def test_written_variables_are_read_back_bit_for_bit(release):
    prefix, variables = release
    read = checkpoints.load_variables(prefix, variables)
    for name, value in variables.items():
        np.testing.assert_array_equal(read[name], value)
    assert sorted(path.name for path in prefix.parent.iterdir()) == [
        "bert_model.ckpt.data-00000-of-00001",
        "bert_model.ckpt.index",
    ]


def test_the_graph_starts_from_the_checkpoint(config, release):
    prefix, variables = release
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        shapes = weights.encoder_shapes(config)
        made = weights.create(shapes, 0.02)
        tf.compat.v1.train.init_from_checkpoint(str(prefix), {name: name for name in shapes})
        session.run(tf.compat.v1.global_variables_initializer())
        values = session.run(dict(made))
    for name, value in values.items():
        np.testing.assert_array_equal(value, variables[name])


def test_a_wrong_path_is_an_error_that_says_what_to_give(tmp_path, config):
    with pytest.raises(
        FileNotFoundError, match=r"nothing must be a checkpoint, but there is no .*nothing.index"
    ):
        checkpoints.compare(tmp_path / "nothing", {}, ())


def test_a_missing_encoder_variable_and_a_wrong_shape_are_named(config, release, tmp_path):
    _, variables = release
    name = "bert/encoder/layer_3/output/dense/bias"
    checkpoints.write(tmp_path / "part", {k: v for k, v in variables.items() if k != name})
    wanted = classifier.variable_shapes(config, num_labels=2)
    with pytest.raises(
        ValueError, match=rf"part must hold this model's variables: {name} is missing"
    ):
        checkpoints.compare(tmp_path / "part", wanted, weights.encoder_shapes(config))
    wider = config.model_copy(update={"vocab_size": 31})
    wanted = classifier.variable_shapes(wider, num_labels=2)
    with pytest.raises(
        ValueError, match=r"word_embeddings must have shape \[31, 8\], got \[30, 8\]"
    ):
        checkpoints.compare(release[0], wanted, weights.encoder_shapes(wider))


def test_the_newest_step_of_a_folder_without_checkpoints_is_none(tmp_path, caplog):
    caplog.set_level(logging.ERROR)
    assert checkpoints.latest_step(tmp_path) is None


@pytest.mark.parametrize("suffix", ["index", "data-00000-of-00001"])
def test_a_damaged_checkpoint_is_named(tmp_path, suffix):
    prefix = tmp_path / "x.ckpt"
    checkpoints.write(prefix, {"a": np.ones((50, 7), np.float32)})
    part = tmp_path / f"x.ckpt.{suffix}"
    part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])
    with pytest.raises(
        ValueError, match=r"x\.ckpt must be a whole checkpoint, got .*; copy or train"
    ):
        checkpoints.load_variables(prefix, checkpoints.checkpoint_shapes(prefix))

"""TensorFlow Hub's three kinds of BERT, asked for their own outputs."""

import logging

import numpy as np
import pytest
import tensorflow as tf

from bert import checkpoints
from bert import encoder
from bert import estimator
from bert import features
from bert import tf_hub
from bert import weights
from tests.bert import saved_models

vocab_file = saved_models.vocab_file
exported = saved_models.exported


@pytest.mark.parametrize("hidden_act", saved_models.GELUS)
@pytest.mark.parametrize("kind", saved_models.EXPORTS)
def test_the_encoder_computes_what_the_saved_model_computed(exported, kind, hidden_act):
    saved = exported(kind, hidden_act)
    config, record, vocabulary, variables = tf_hub.read(saved.folder)
    assert config == saved_models.CONFIG.model_copy(update={"hidden_act": hidden_act})
    word_ids, mask, type_ids = map(tf.constant, saved_models.inputs())
    outputs = encoder.encode(
        variables, config, encoder.look_up_words(variables, word_ids), mask, type_ids
    )
    sequence = outputs.hidden_states[-1]
    # float32, two layers: the two GELUs are 1e-3 apart here
    np.testing.assert_allclose(sequence, saved.sequence_output, atol=1e-5)
    pooled = encoder.pool_first_token(variables, sequence)
    np.testing.assert_allclose(pooled, saved.pooled_output, atol=1e-5)
    assert vocabulary.split() == saved_models.WORDS
    assert record.labels == ()
    assert record.do_lower_case is (kind != "later")  # as each of them says itself
    assert record.max_seq_length == saved_models.POSITIONS


def test_the_two_gelus_give_outputs_that_the_comparison_tells_apart(exported):
    exact, approximate = (exported("first", name).sequence_output for name in saved_models.GELUS)
    assert np.abs(exact - approximate).max() > 1e-4


@pytest.mark.parametrize("kind", saved_models.EXPORTS)
def test_every_variable_of_the_encoder_comes_out_in_its_place(exported, kind):
    shapes = {
        "first": saved_models.FIRST,
        "later": saved_models.LATER,
        "tf1": saved_models.TF1 | {"cls/predictions/output_bias": (saved_models.V,)},
    }
    stored = saved_models.random_values(shapes[kind], seed={"first": 7, "later": 8, "tf1": 9}[kind])
    released = {name: row[2] for row in saved_models.NAMES for name in (*row[:2], row[2])}
    variables = tf_hub.read(exported(kind).folder).variables
    assert {name: value.shape for name, value in variables.items()} == saved_models.TF1
    for name, value in stored.items():
        if name in released:
            read = variables[released[name]]
            assert read.dtype == np.float32
            np.testing.assert_array_equal(read, value.reshape(read.shape))


@pytest.mark.parametrize("kind", saved_models.EXPORTS)
def test_every_variable_of_the_encoder_is_trained_when_it_starts_from_the_hub(
    exported, kind, tmp_path
):
    config, _, _, variables = tf_hub.read(exported(kind).folder)
    checkpoints.write(tmp_path / "bert_model.ckpt", variables)
    model = estimator.Model(config, 3, init_checkpoint=str(tmp_path / "bert_model.ckpt"))
    build = estimator.build_model_fn(model, estimator.Training(1e-2, 10, 0))
    word_ids, mask, type_ids = saved_models.inputs()
    word_ids[0], word_ids[1:4], type_ids[:, : saved_models.TYPES] = (
        np.arange(saved_models.T),
        11,
        np.arange(saved_models.TYPES),
    )
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        batch = features.Features(
            *map(tf.constant, (word_ids, mask, type_ids)), tf.constant([0, 1, 2, 0, 1, 2])
        )
        spec = build(batch._asdict(), None, "train", {})
        session.run(tf.compat.v1.global_variables_initializer())
        graph = {v.op.name: v for v in tf.compat.v1.trainable_variables()}
        before = session.run(graph)
        session.run(spec.train_op)
        after = session.run(graph)
    for name in weights.encoder_shapes(config):
        np.testing.assert_array_equal(before[name], variables[name])
    still = [name for name in variables if (before[name] == after[name]).all()]
    # the bias of the keys shifts all scores of a row alike, so softmax takes it out: a gradient of 0 but for rounding
    assert not [name for name in still if not name.endswith("key/bias")]


@pytest.mark.parametrize("prefix", ["", "keras_layer/", "module/"])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_names_of_every_generation_become_the_release_s(column, prefix):
    assert [tf_hub.release_name(prefix + row[column]) for row in saved_models.NAMES] == [
        release for _, _, release, _ in saved_models.NAMES
    ]


def test_version_2_s_attention_output_and_pre_training_heads_are_told_apart():
    name = tf_hub.release_name("transformer/layer_11/self_attention_output/kernel")
    assert name == "bert/encoder/layer_11/attention/output/dense/kernel"
    for head in ("cls/predictions/transform/dense/kernel", "bert/cls/predictions/output_bias/bias"):
        assert tf_hub.release_name(head) is None


def test_what_is_left_out_is_logged_in_one_line(exported, caplog):
    caplog.set_level(logging.INFO, "bert.tf_hub")
    tf_hub.read(exported("first").folder)
    assert not caplog.messages  # nothing is: the letter case is read
    for kind, names in {
        "later": "cls/predictions/transform/dense/bias, cls/predictions/transform/dense/kernel",
        "tf1": "cls/predictions/output_bias",
    }.items():
        caplog.clear()
        folder = exported(kind).folder
        tf_hub.read(folder)
        (line,) = caplog.messages
        count, listed = line.removeprefix(f"{folder}: ").split(" variables left out: ")
        assert sorted(listed.split(", ")) == names.split(", ")
        assert int(count) == len(names.split(", "))


@pytest.mark.parametrize(
    ("part", "extra", "message"),
    [
        ("bert_model/pooler_transform/bias", None, "has nothing for bert/pooler/dense/bias; give"),
        (
            "bert_model/encoder/layer_0/output/bias",
            None,
            "has nothing for bert/encoder/layer_0/output/dense/bias; give",
        ),
        (
            "bert_model/word_embeddings/embeddings",
            None,
            "has nothing for bert/embeddings/word_embeddings; give",
        ),
        (
            None,
            ("encoder/layer_1/self_attention/pre_softmax", (saved_models.H, saved_models.H)),
            "has no .*pre_softmax;",
        ),
        (
            None,
            ("embedding_projection/kernel", (saved_models.D, saved_models.D)),
            "has no bert_model/embedding_projection",
        ),
        (
            None,
            ("encoder/layer_0/other/output/kernel", (saved_models.F, saved_models.D)),
            "has no .*other/output/kernel",
        ),
        (
            None,
            ("encoder/layer_0/self_attention/query/scale", (saved_models.H, saved_models.E)),
            "has no .*query/scale",
        ),
        (
            None,
            ("copy/encoder/layer_1/output/kernel", (saved_models.F, saved_models.D)),
            "must hold one BERT, got bert/encoder/layer_1/output/dense/kernel from",
        ),
        (
            "bert_model/encoder/layer_1/output/kernel",
            ("encoder/layer_1/output/kernel", (saved_models.F + 1, saved_models.D)),
            r"layer_1/output/dense/kernel with shape \[20, 12\], got \[21, 12\]",
        ),
    ],
)
def test_a_saved_model_of_another_architecture_is_refused(
    tmp_path, vocab_file, part, extra, message
):
    shapes = {name: shape for name, shape in saved_models.FIRST.items() if name != part}
    if extra:
        shapes[f"bert_model/{extra[0]}"] = extra[1]
    saved_models.save_variables(tmp_path, shapes)
    with pytest.raises(ValueError, match=message):
        tf_hub.read(tmp_path)


def test_a_saved_model_of_no_bert_is_one_line_that_names_what_it_lacks(tmp_path):
    saved_models.save_variables(tmp_path, {"dense/kernel": (3, 2)})
    with pytest.raises(ValueError, match="has nothing for bert/embeddings/word_embeddings, ") as no:
        tf_hub.read(tmp_path)
    assert "bert/encoder/layer_0/intermediate/dense/kernel; give" in str(no.value)
    assert "\n" not in str(no.value)


def test_another_activation_than_the_two_gelus_is_refused(tmp_path):
    saved_models.save_variables(tmp_path, saved_models.FIRST, hidden_act="relu")
    with pytest.raises(ValueError, match=r"neither an Erf nor the tanh approximation's 0\.044715"):
        tf_hub.read(tmp_path)


def test_a_folder_without_a_vocabulary_or_without_a_model_says_which_file_it_lacks(
    tmp_path, exported
):
    with pytest.raises(FileNotFoundError, match=r"there is no .*saved_model\.pb; give the folder"):
        tf_hub.read(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(FileNotFoundError, match=r"there is no .*variables\.index; give the folder"):
        tf_hub.read(tmp_path)
    saved_models.save_variables(tmp_path / "model", saved_models.FIRST)
    with pytest.raises(FileNotFoundError, match=r"must hold its vocabulary, .*assets/vocab\.txt"):
        tf_hub.read(tmp_path / "model")
    (tmp_path / "model" / "assets" / "vocab.txt").write_bytes(b"[PAD]\n\xff\n")
    with pytest.raises(ValueError, match=r"assets/vocab\.txt: vocab_file must be UTF-8"):
        tf_hub.read(tmp_path / "model")


@pytest.mark.parametrize("file", ["saved_model.pb", "variables/variables.index", "data"])
def test_a_damaged_saved_model_is_one_line(tmp_path, file):
    saved_models.save_variables(tmp_path, saved_models.FIRST)
    path = tmp_path / file.replace("data", "variables/variables.data-00000-of-00001")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="must be a whole SavedModel, got"):
        tf_hub.read(tmp_path)

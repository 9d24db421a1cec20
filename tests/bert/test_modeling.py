import numpy as np
import tensorflow as tf

from bert import modeling

FLOAT32 = 2e-5  # a dozen float32 roundings through three layers of values around 1


def test_bert_model_keeps_its_getters_under_any_scope_and_twice_in_a_graph():
    config = modeling.BertConfig(
        100,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        type_vocab_size=2,
    )
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        ids = tf.constant([[1, 2, 3, 4, 5]] * 2)
        models = [modeling.BertModel(config, False, ids, scope=scope) for scope in (None, "other")]
        session.run(tf.compat.v1.global_variables_initializer())
        for model in models:
            assert session.run(model.get_pooled_output()).shape == (2, 32)
            assert session.run(model.get_sequence_output()).shape == (2, 5, 32)
            assert len(model.get_all_encoder_layers()) == 3
            assert session.run(model.get_embedding_output()).shape == (2, 5, 32)
            assert model.get_embedding_table().shape == (100, 32)
            assert session.run(model.get_attention_probs()[2]).shape == (2, 4, 5, 5)
        names = {variable.op.name for variable in tf.compat.v1.trainable_variables()}
    assert "other/encoder/layer_2/output/dense/kernel" in names
    assert len(names) == 2 * (5 + 16 * 3 + 2)


def test_bert_model_equals_transformers_when_its_variables_hold_the_golden_weights(golden):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        model = modeling.BertModel(
            golden.config, False, golden.input_ids, golden.input_mask, golden.segment_ids
        )
        for variable in tf.compat.v1.trainable_variables():
            variable.load(golden.variables[variable.op.name], session)
        pooled = session.run(model.get_pooled_output())
    np.testing.assert_allclose(pooled, golden.outputs["gelu/pooled"], atol=FLOAT32)


def test_a_missing_mask_means_all_real_and_missing_types_mean_one_segment(golden):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        bare = modeling.BertModel(golden.config, False, golden.input_ids)
        full = modeling.BertModel(
            golden.config,
            False,
            golden.input_ids,
            np.ones_like(golden.input_mask),
            np.zeros_like(golden.segment_ids),
        )
        session.run(tf.compat.v1.global_variables_initializer())
        first, second = session.run([bare.get_sequence_output(), full.get_sequence_output()])
    np.testing.assert_array_equal(first, second)

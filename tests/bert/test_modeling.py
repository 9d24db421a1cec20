import collections
import inspect
import json

import numpy as np
import pytest
import tensorflow as tf

from bert import checkpoints
from bert import modeling
from bert import weights
from tests.bert import sessions

session = sessions.session
variable_scope = tf.compat.v1.variable_scope


def assemble(config, input_ids, input_mask, segment_ids):
    """Build a BERT from the functions, in the order in which google-research/bert's class calls them."""
    with variable_scope("bert"):
        with variable_scope("embeddings"):
            words, table = modeling.embedding_lookup(
                input_ids, config.vocab_size, config.hidden_size, initializer_range=0.5
            )
            embedded = modeling.embedding_postprocessor(
                words,
                use_token_type=True,
                token_type_ids=segment_ids,
                token_type_vocab_size=config.type_vocab_size,
                initializer_range=0.5,
                max_position_embeddings=config.max_position_embeddings,
                dropout_prob=0.0,
            )
        with variable_scope("encoder"):
            layers = modeling.transformer_model(
                embedded,
                modeling.create_attention_mask_from_input_mask(input_ids, input_mask),
                config.hidden_size,
                config.num_hidden_layers,
                config.num_attention_heads,
                config.intermediate_size,
                modeling.get_activation(config.hidden_act),
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
                initializer_range=0.5,
                do_return_all_layers=True,
            )
        with variable_scope("pooler/dense"):
            kernel = tf.compat.v1.get_variable("kernel", [config.hidden_size] * 2)
            bias = tf.compat.v1.get_variable("bias", [config.hidden_size])
            pooled = tf.tanh(tf.matmul(layers[-1][:, 0], kernel) + bias)
    return [embedded, *layers], pooled, table


@pytest.mark.parametrize("batch_size", [2, None], ids=["static", "dynamic"])
@pytest.mark.parametrize("act", ["gelu", "gelu_new"])
def test_a_bert_assembled_from_the_functions_equals_transformers(golden, session, act, batch_size):
    shape = [batch_size, batch_size and 7]
    inputs = [tf.compat.v1.placeholder(tf.int32, shape) for _ in range(3)]
    values = (golden.input_ids, golden.input_mask, golden.segment_ids)
    config = golden.config.model_copy(update={"hidden_act": act})
    hidden_states, pooled, table = assemble(config, *inputs)
    assert set(sessions.trainable_names()) == golden.variables.keys() - {
        "output_weights",
        "output_bias",
    }
    assert table is tf.compat.v1.trainable_variables()[0]
    sessions.load(session, golden.variables)
    feed = dict(zip(inputs, values, strict=True))
    hidden, cls = session.run([hidden_states, pooled], feed)
    np.testing.assert_allclose(
        hidden, golden.outputs[f"{act}/hidden_states"], atol=sessions.FLOAT32
    )
    np.testing.assert_allclose(cls, golden.outputs[f"{act}/pooled"], atol=sessions.FLOAT32)


def test_the_functions_create_the_releases_variables_with_its_first_values(golden, session):
    assemble(golden.config, *map(tf.constant, (golden.input_ids,) * 3))
    shapes = weights.encoder_shapes(golden.config) | weights.pooler_shapes(golden.config)
    created = tf.compat.v1.trainable_variables()
    assert {variable.op.name: tuple(variable.shape) for variable in created} == shapes
    theirs = {v.op.name: v for v in created if "pooler" not in v.op.name}
    for name, value in sessions.run(session, theirs).items():
        if name.endswith(("bias", "beta", "gamma")):
            np.testing.assert_array_equal(value, np.full_like(value, name.endswith("gamma")))
        else:
            assert 0.3 < np.abs(value).max() <= 1.0  # a normal of deviation 0.5, cut at twice that


def test_the_functions_keep_the_signatures_of_the_release():
    signatures = {
        "get_activation": "activation_string",
        "get_assignment_map_from_checkpoint": "tvars, init_checkpoint",
        "dropout": "input_tensor, dropout_prob",
        "layer_norm": "input_tensor, name=None",
        "layer_norm_and_dropout": "input_tensor, dropout_prob, name=None",
        "create_initializer": "initializer_range=0.02",
        "embedding_lookup": "input_ids, vocab_size, embedding_size=128, initializer_range=0.02, "
        "word_embedding_name='word_embeddings', use_one_hot_embeddings=False",
        "embedding_postprocessor": "input_tensor, use_token_type=False, token_type_ids=None, "
        "token_type_vocab_size=16, token_type_embedding_name='token_type_embeddings', "
        "use_position_embeddings=True, position_embedding_name='position_embeddings', "
        "initializer_range=0.02, max_position_embeddings=512, dropout_prob=0.1",
        "create_attention_mask_from_input_mask": "from_tensor, to_mask",
        "attention_layer": "from_tensor, to_tensor, attention_mask=None, num_attention_heads=1, "
        "size_per_head=512, query_act=None, key_act=None, value_act=None, "
        "attention_probs_dropout_prob=0.0, initializer_range=0.02, do_return_2d_tensor=False, "
        "batch_size=None, from_seq_length=None, to_seq_length=None",
        "transformer_model": "input_tensor, attention_mask=None, hidden_size=768, "
        "num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072, "
        "intermediate_act_fn=gelu, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1, "
        "initializer_range=0.02, do_return_all_layers=False",
        "get_shape_list": "tensor, expected_rank=None, name=None",
        "reshape_to_matrix": "input_tensor",
        "reshape_from_matrix": "output_tensor, orig_shape_list",
        "assert_rank": "tensor, expected_rank, name=None",
    }

    def written(parameter):
        value = parameter.default
        if value is inspect.Parameter.empty:
            return parameter.name
        return f"{parameter.name}={'gelu' if value is modeling.gelu else repr(value)}"

    for name, expected in signatures.items():
        parameters = inspect.signature(getattr(modeling, name)).parameters.values()
        assert ", ".join(map(written, parameters)) == expected


def test_ops_lie_in_the_scopes_in_which_the_ancestors_looked_for_them(golden, session):
    assemble(golden.config, *map(tf.constant, (golden.input_ids,) * 3))
    probs = session.graph.get_tensor_by_name("bert/encoder/layer_2/attention/self/Softmax:0")
    assert probs.shape == (2, 3, 7, 7)


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


def test_bert_model_passes_the_releases_own_test(session):
    rng = np.random.default_rng(0)
    ids, mask, segments = (tf.constant(rng.integers(0, n, [13, 7]), tf.int32) for n in (99, 2, 16))
    config = modeling.BertConfig(
        vocab_size=99,
        hidden_size=32,
        num_hidden_layers=5,
        num_attention_heads=4,
        intermediate_size=37,
        hidden_act="gelu",
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
        max_position_embeddings=512,
        type_vocab_size=16,
        initializer_range=0.02,
    )
    model = modeling.BertModel(
        config=config,
        is_training=True,
        input_ids=ids,
        input_mask=mask,
        token_type_ids=segments,
        scope=None,
    )
    outputs = [
        model.get_embedding_output(),
        model.get_sequence_output(),
        model.get_pooled_output(),
        *model.get_all_encoder_layers(),
    ]
    shapes = [value.shape for value in sessions.run(session, outputs)]
    assert shapes == [(13, 7, 32), (13, 7, 32), (13, 32), *[(13, 7, 32)] * 5]


@pytest.mark.parametrize("one_hot", [False, True])
def test_bert_model_equals_transformers_when_its_variables_hold_the_golden_weights(
    golden, session, one_hot
):
    inputs = (golden.input_ids, golden.input_mask, golden.segment_ids)
    model = modeling.BertModel(golden.config, False, *inputs, use_one_hot_embeddings=one_hot)
    sessions.load(session, golden.variables)
    pooled = session.run(model.get_pooled_output())
    assert sessions.gathers(session) is not one_hot
    np.testing.assert_allclose(pooled, golden.outputs["gelu/pooled"], atol=sessions.FLOAT32)


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


def test_get_activation_takes_names_and_gives_back_what_is_no_string():
    assert modeling.get_activation("GELU") is modeling.gelu
    assert modeling.get_activation("relu") is tf.nn.relu
    assert modeling.get_activation("tanh") is tf.tanh
    assert [modeling.get_activation(name) for name in ("linear", "", None)] == [None] * 3
    assert modeling.get_activation(tf.sin) is tf.sin
    with pytest.raises(ValueError, match=r"must be one of .* got 'swish'"):
        modeling.get_activation("swish")


def test_the_assignment_map_holds_what_variables_and_checkpoint_share(tmp_path):
    path = str(tmp_path / "model.ckpt")
    names = ("z", "scope/a", "scope/a/adam_m")
    checkpoints.write(path, {name: np.full([2], 7.0, np.float32) for name in names})
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        shared = [tf.compat.v1.get_variable(name, [2]) for name in ("z", "scope/a")]
        new = tf.compat.v1.get_variable("new", [3])
        assignment_map, initialized = modeling.get_assignment_map_from_checkpoint(
            [new, *shared], path
        )
        assert isinstance(assignment_map, collections.OrderedDict)
        assert list(assignment_map.items()) == [("scope/a", "scope/a"), ("z", "z")]
        assert initialized == {"scope/a": 1, "scope/a:0": 1, "z": 1, "z:0": 1}
        tf.compat.v1.train.init_from_checkpoint(path, assignment_map)
        np.testing.assert_array_equal(sessions.run(session, shared), [[7, 7], [7, 7]])


def test_config_to_json_string_as_in_the_release_test():
    config = modeling.BertConfig(vocab_size=99, hidden_size=37)
    values = json.loads(config.to_json_string())
    assert (values["vocab_size"], values["hidden_size"]) == (99, 37)

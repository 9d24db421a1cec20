import collections
import inspect
import json
import re

import numpy as np
import pytest
import tensorflow as tf

from bert import checkpoints
from bert import modeling
from bert import weights
from tests import reference_bert

FLOAT32 = 2e-5  # a dozen float32 roundings through three layers of values around 1
variable_scope = tf.compat.v1.variable_scope


@pytest.fixture
def session():
    with tf.Graph().as_default(), tf.compat.v1.Session() as opened:
        yield opened


def run(session, tensors, feed_dict=None):
    session.run(tf.compat.v1.global_variables_initializer())
    return session.run(tensors, feed_dict)


def load(session, variables):
    for variable in tf.compat.v1.trainable_variables():
        variable.load(variables[variable.op.name], session)


def trainable_names():
    return [variable.op.name for variable in tf.compat.v1.trainable_variables()]


def gathers(session):
    """Tell whether a word is looked up by its number, not by a one-hot product."""
    return any("Gather" in op.type for op in session.graph.get_operations())


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
    assert set(trainable_names()) == golden.variables.keys() - {"output_weights", "output_bias"}
    assert table is tf.compat.v1.trainable_variables()[0]
    load(session, golden.variables)
    feed = dict(zip(inputs, values, strict=True))
    hidden, cls = session.run([hidden_states, pooled], feed)
    np.testing.assert_allclose(hidden, golden.outputs[f"{act}/hidden_states"], atol=FLOAT32)
    np.testing.assert_allclose(cls, golden.outputs[f"{act}/pooled"], atol=FLOAT32)


def test_the_functions_create_the_releases_variables_with_its_first_values(golden, session):
    assemble(golden.config, *map(tf.constant, (golden.input_ids,) * 3))
    shapes = weights.encoder_shapes(golden.config) | weights.pooler_shapes(golden.config)
    created = tf.compat.v1.trainable_variables()
    assert {variable.op.name: tuple(variable.shape) for variable in created} == shapes
    theirs = {v.op.name: v for v in created if "pooler" not in v.op.name}
    for name, value in run(session, theirs).items():
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
    shapes = [value.shape for value in run(session, outputs)]
    assert shapes == [(13, 7, 32), (13, 7, 32), (13, 32), *[(13, 7, 32)] * 5]


@pytest.mark.parametrize("one_hot", [False, True])
def test_bert_model_equals_transformers_when_its_variables_hold_the_golden_weights(
    golden, session, one_hot
):
    inputs = (golden.input_ids, golden.input_mask, golden.segment_ids)
    model = modeling.BertModel(golden.config, False, *inputs, use_one_hot_embeddings=one_hot)
    load(session, golden.variables)
    pooled = session.run(model.get_pooled_output())
    assert gathers(session) is not one_hot
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
        np.testing.assert_array_equal(run(session, shared), [[7, 7], [7, 7]])


def test_dropout_drops_its_share_anew_in_every_run_and_scales_up_the_rest(session):
    ones = tf.ones([50, 40])
    assert modeling.dropout(ones, None) is ones
    assert modeling.dropout(ones, 0.0) is ones
    dropped = modeling.dropout(ones, 0.25)
    first, second = session.run(dropped), session.run(dropped)
    assert 0.21 < (first == 0).mean() < 0.29  # 2000 draws at rate 0.25: four standard deviations
    np.testing.assert_allclose(first[first > 0], 1 / 0.75, rtol=1e-6)
    assert (first != second).any()


def test_layer_norm_equals_the_formula_and_its_scope_is_made_unique(session):
    x = np.random.default_rng(0).normal(3, 5, [2, 4, 6]).astype(np.float32)
    with variable_scope("here"):
        first = modeling.layer_norm(tf.constant(x))
        modeling.layer_norm(tf.constant(x))
        modeling.layer_norm_and_dropout(tf.constant(x), 0.1, name="mine")
    assert trainable_names() == [
        f"here/{place}/{part}"
        for place in ("LayerNorm", "LayerNorm_1", "mine")
        for part in ("beta", "gamma")
    ]
    with variable_scope("here", reuse=True):
        again = modeling.layer_norm(tf.constant(x))
    beta, gamma = np.arange(6, dtype=np.float32), np.arange(2, 8, dtype=np.float32)
    for variable, value in zip(tf.compat.v1.trainable_variables(), (beta, gamma), strict=False):
        variable.load(value, session)
    expected = reference_bert.normalise(x.astype(np.float64), gamma, beta)
    for normed in session.run([first, again]):
        np.testing.assert_allclose(normed, expected, atol=FLOAT32)


def test_layer_norm_and_dropout_drops_after_normalising(session):
    x = tf.constant(np.random.default_rng(0).normal(size=[30, 20]), tf.float32)
    dropped = run(session, modeling.layer_norm_and_dropout(x, 0.5))
    assert 0.4 < (dropped == 0).mean() < 0.6


@pytest.mark.parametrize("one_hot", [False, True])
def test_embedding_lookup_lays_the_inputs_of_a_place_side_by_side(session, one_hot):
    ids = [[[1, 0], [2, 2], [3, 1]]]
    pairs, table = modeling.embedding_lookup(
        tf.constant(ids), 5, 4, word_embedding_name="pieces", use_one_hot_embeddings=one_hot
    )
    assert trainable_names() == ["pieces"]
    rows, values = run(session, [pairs, table])
    np.testing.assert_array_equal(rows, values[ids].reshape(1, 3, 8))
    assert pairs.shape == (1, 3, 8)
    assert gathers(session) is not one_hot


def test_embedding_postprocessor_adds_only_what_it_is_asked_for(session):
    words = np.random.default_rng(0).normal(size=[2, 5, 6])
    words = words.astype(np.float32)
    outputs = []
    for index, (segments, positions) in enumerate([(False, False), (True, False), (False, True)]):
        with variable_scope(f"{index}"):
            outputs.append(
                modeling.embedding_postprocessor(
                    tf.constant(words),
                    use_token_type=segments,
                    token_type_ids=tf.constant([[0, 0, 1, 1, 1], [0, 1, 2, 2, 2]]),
                    token_type_vocab_size=3,
                    token_type_embedding_name="kinds",
                    use_position_embeddings=positions,
                    position_embedding_name="places",
                    max_position_embeddings=9,
                    dropout_prob=None,
                )
            )
    tables = [
        variable for variable in tf.compat.v1.trainable_variables() if "Norm" not in variable.name
    ]
    assert [table.op.name for table in tables] == ["1/kinds", "2/places"]
    bare, with_segments, with_positions, kinds, places = run(session, [*outputs, *tables])

    def norm(x):
        return reference_bert.normalise(x.astype(np.float64), 1.0, 0.0)

    np.testing.assert_allclose(bare, norm(words), atol=FLOAT32)
    segment_rows = kinds[[[0, 0, 1, 1, 1], [0, 1, 2, 2, 2]]]
    np.testing.assert_allclose(with_segments, norm(words + segment_rows), atol=FLOAT32)
    np.testing.assert_allclose(with_positions, norm(words + places[:5]), atol=FLOAT32)


def test_embedding_postprocessor_refuses_missing_segments_and_too_long_texts(session):
    words = tf.compat.v1.placeholder(tf.float32, [2, None, 6])
    with pytest.raises(ValueError, match="token_type_ids must be given with use_token_type=True"):
        modeling.embedding_postprocessor(words, use_token_type=True)
    with pytest.raises(ValueError, match="must have rank 3, got shape"):
        modeling.embedding_postprocessor(words[0])
    output = modeling.embedding_postprocessor(words, max_position_embeddings=4)
    with pytest.raises(tf.errors.InvalidArgumentError, match="<="):
        run(session, output, {words: np.zeros([2, 5, 6])})
    with variable_scope("static"), pytest.raises(tf.errors.InvalidArgumentError, match="<="):
        modeling.embedding_postprocessor(tf.zeros([2, 5, 6]), max_position_embeddings=4)


def test_the_attention_mask_repeats_the_text_mask_for_every_query(session):
    mask = tf.constant([[1, 1, 0, 0], [1, 1, 1, 0]])
    row = [[1, 1, 0, 0]] * 3, [[1, 1, 1, 0]] * 3
    for from_tensor in (tf.zeros([2, 3]), tf.zeros([2, 3, 5])):
        made = modeling.create_attention_mask_from_input_mask(from_tensor, mask)
        assert made.dtype == tf.float32
        np.testing.assert_array_equal(session.run(made), row)
    with pytest.raises(ValueError, match="rank 2 or 3"):
        modeling.create_attention_mask_from_input_mask(tf.zeros([2, 3, 5, 4]), mask)


# from 4 places of width 5 to 6 places of width 7, in 2 examples: 3 heads of width 8
RNG = np.random.default_rng(0)
FROM = RNG.normal(size=[2, 4, 5]).astype(np.float32)
TO = RNG.normal(size=[2, 6, 7]).astype(np.float32)
MASK = (RNG.random([2, 4, 6]) < 0.6).astype(np.int32)
PROJECTIONS = {
    f"{name}/{part}": RNG.normal(size=shape).astype(np.float32)
    for name, width in (("query", 5), ("key", 7), ("value", 7))
    for part, shape in (("kernel", [width, 24]), ("bias", [24]))
}


def attention_in_float64(mask, acts):
    """Compute the context with loops over examples, heads and queries."""

    def project(name, x):
        weighed = x.astype(np.float64) @ PROJECTIONS[f"{name}/kernel"]
        return acts[name](weighed + PROJECTIONS[f"{name}/bias"])

    query, key, value = project("query", FROM), project("key", TO), project("value", TO)
    context = np.zeros([2, 4, 24])
    for b, h, q in np.ndindex(2, 3, 4):
        own = slice(8 * h, 8 * h + 8)
        scores = key[b, :, own] @ query[b, q, own] / np.sqrt(8)
        probs = reference_bert.softmax(np.where(mask[b, q], scores, scores - 10000))
        context[b, q, own] = probs @ value[b, :, own]
    return context


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("returns_2d", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_between_two_texts_equals_the_formula(session, rank, returns_2d, masked):
    dimensions = {}
    from_values, to_values = FROM, TO
    if rank == 2:
        from_values, to_values = FROM.reshape(8, 5), TO.reshape(12, 7)
        dimensions = {"batch_size": 2, "from_seq_length": 4, "to_seq_length": 6}
    context = modeling.attention_layer(
        tf.constant(from_values),
        tf.constant(to_values),
        tf.constant(MASK) if masked else None,
        num_attention_heads=3,
        size_per_head=8,
        query_act=tf.tanh,
        key_act=tf.sin,
        value_act=tf.nn.relu,
        do_return_2d_tensor=returns_2d,
        **dimensions,
    )
    assert set(trainable_names()) == PROJECTIONS.keys()
    load(session, PROJECTIONS)
    acts = {"query": np.tanh, "key": np.sin, "value": lambda x: np.maximum(x, 0)}
    expected = attention_in_float64(MASK if masked else np.ones([2, 4, 6]), acts)
    shape = (8, 24) if returns_2d else (2, 4, 24)
    assert context.shape == shape
    np.testing.assert_allclose(session.run(context), expected.reshape(shape), atol=FLOAT32)


def test_attention_drops_probabilities(session):
    x = tf.constant(TO)
    context = modeling.attention_layer(x, x, size_per_head=8, attention_probs_dropout_prob=0.5)
    first, second = run(session, context), session.run(context)
    assert (first != second).any()


def test_attention_refuses_shapes_that_do_not_fit(session):
    flat = tf.zeros([8, 5])
    with pytest.raises(ValueError, match=r"must have rank 2, got shape \(2, 4, 5\)"):
        modeling.attention_layer(flat, tf.zeros([2, 4, 5]))
    with pytest.raises(
        ValueError,
        match=r"batch_size, from_seq_length and to_seq_length must be given .* got 2, None and 4",
    ):
        modeling.attention_layer(flat, flat, batch_size=2, to_seq_length=4)


def test_transformer_returns_the_last_of_its_layers_and_needs_no_mask(golden, session):
    embedded = tf.constant(golden.outputs["gelu/hidden_states"][0])
    mask = modeling.create_attention_mask_from_input_mask(embedded, tf.ones_like(golden.input_mask))
    settings = {
        "hidden_size": 12,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "intermediate_size": 20,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    with variable_scope("bert/encoder", reuse=tf.compat.v1.AUTO_REUSE):
        last = modeling.transformer_model(embedded, **settings)
        every = modeling.transformer_model(embedded, mask, do_return_all_layers=True, **settings)
    load(session, golden.variables)
    last, every = session.run([last, every])
    assert len(every) == 3
    np.testing.assert_allclose(last, every[-1], atol=FLOAT32)
    assert np.abs(every[1] - every[2]).max() > 0.1


def test_each_layer_drops_attention_once_and_hidden_values_twice(session):
    x = tf.constant(np.random.default_rng(0).normal(size=[2, 4, 6]), tf.float32)
    draws = []
    for hidden, probs in [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5)]:
        with variable_scope(f"{hidden}_{probs}"):
            modeling.transformer_model(
                x,
                hidden_size=6,
                num_hidden_layers=3,
                num_attention_heads=2,
                intermediate_size=8,
                hidden_dropout_prob=hidden,
                attention_probs_dropout_prob=probs,
            )
        operations = session.graph.get_operations()
        draws.append(sum(op.type == "RandomUniform" for op in operations) - sum(draws))
    assert draws == [0, 6, 3]


@pytest.mark.parametrize(("width", "heads"), [(12, 5), (10, 3)])
def test_transformer_refuses_a_width_that_does_not_fit(session, width, heads):
    with pytest.raises(
        ValueError,
        match="hidden_size must be the width of input_tensor and a multiple of num_attention_heads, "
        f"got 12, {width} and {heads}",
    ):
        modeling.transformer_model(
            tf.zeros([2, 4, width]), hidden_size=12, num_attention_heads=heads
        )


def test_shapes_are_ints_where_they_are_known(session):
    tensor = tf.compat.v1.placeholder(tf.float32, [None, 3, None], name="here")
    batch, width, length = modeling.get_shape_list(tensor, expected_rank=3)
    assert width == 3
    assert session.run([batch, length], {tensor: np.zeros([2, 3, 5])}) == [2, 5]
    assert modeling.get_shape_list(tf.zeros([4, 6]), [1, 2]) == [4, 6]


def test_a_wrong_rank_is_an_error_that_names_the_tensor_and_the_scope(session):
    tensor = tf.zeros([4, 6], name="here")
    modeling.assert_rank(tensor, 2)
    modeling.assert_rank(tensor, [2, 3])
    message = "here:0 must have rank 3 or 4, got shape (4, 6), in scope 'bert/encoder'"
    with variable_scope("bert/encoder"), pytest.raises(ValueError, match=re.escape(message)):
        modeling.assert_rank(tensor, [3, 4])
    with pytest.raises(ValueError, match=r"^mine must have rank 1, got"):
        modeling.get_shape_list(tensor, expected_rank=1, name="mine")


def test_reshaping_to_a_matrix_and_back_keeps_the_values(session):
    values = np.arange(24.0).reshape(2, 3, 4)
    tensor = tf.compat.v1.placeholder(tf.float64, [None, 3, 4])
    matrix = modeling.reshape_to_matrix(tensor)
    wider = tf.concat([matrix, matrix], axis=1)
    back = modeling.reshape_from_matrix(wider, modeling.get_shape_list(tensor))
    flat, doubled = session.run([matrix, back], {tensor: values})
    np.testing.assert_array_equal(flat, values.reshape(6, 4))
    np.testing.assert_array_equal(doubled, np.concatenate([values, values], axis=2))
    with pytest.raises(ValueError, match=r"at least rank 2, got \(5,\)"):
        modeling.reshape_to_matrix(tf.zeros([5]))


def test_config_to_json_string_as_in_the_release_test():
    config = modeling.BertConfig(vocab_size=99, hidden_size=37)
    values = json.loads(config.to_json_string())
    assert (values["vocab_size"], values["hidden_size"]) == (99, 37)

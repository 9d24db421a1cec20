"""The functions of google-research/bert's modeling.py, one by one."""

import re

import numpy as np
import pytest
import tensorflow as tf

from bert import modeling
from tests import reference_bert
from tests.bert import sessions

session = sessions.session
variable_scope = tf.compat.v1.variable_scope


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
    assert sessions.trainable_names() == [
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
        np.testing.assert_allclose(normed, expected, atol=sessions.FLOAT32)


def test_layer_norm_and_dropout_drops_after_normalising(session):
    x = tf.constant(np.random.default_rng(0).normal(size=[30, 20]), tf.float32)
    dropped = sessions.run(session, modeling.layer_norm_and_dropout(x, 0.5))
    assert 0.4 < (dropped == 0).mean() < 0.6


@pytest.mark.parametrize("one_hot", [False, True])
def test_embedding_lookup_lays_the_inputs_of_a_place_side_by_side(session, one_hot):
    ids = [[[1, 0], [2, 2], [3, 1]]]
    pairs, table = modeling.embedding_lookup(
        tf.constant(ids), 5, 4, word_embedding_name="pieces", use_one_hot_embeddings=one_hot
    )
    assert sessions.trainable_names() == ["pieces"]
    rows, values = sessions.run(session, [pairs, table])
    np.testing.assert_array_equal(rows, values[ids].reshape(1, 3, 8))
    assert pairs.shape == (1, 3, 8)
    assert sessions.gathers(session) is not one_hot


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
    bare, with_segments, with_positions, kinds, places = sessions.run(session, [*outputs, *tables])

    def norm(x):
        return reference_bert.normalise(x.astype(np.float64), 1.0, 0.0)

    np.testing.assert_allclose(bare, norm(words), atol=sessions.FLOAT32)
    segment_rows = kinds[[[0, 0, 1, 1, 1], [0, 1, 2, 2, 2]]]
    np.testing.assert_allclose(with_segments, norm(words + segment_rows), atol=sessions.FLOAT32)
    np.testing.assert_allclose(with_positions, norm(words + places[:5]), atol=sessions.FLOAT32)


def test_embedding_postprocessor_refuses_missing_segments_and_too_long_texts(session):
    words = tf.compat.v1.placeholder(tf.float32, [2, None, 6])
    with pytest.raises(ValueError, match="token_type_ids must be given with use_token_type=True"):
        modeling.embedding_postprocessor(words, use_token_type=True)
    with pytest.raises(ValueError, match="must have rank 3, got shape"):
        modeling.embedding_postprocessor(words[0])
    output = modeling.embedding_postprocessor(words, max_position_embeddings=4)
    with pytest.raises(tf.errors.InvalidArgumentError, match="<="):
        sessions.run(session, output, {words: np.zeros([2, 5, 6])})
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
    assert set(sessions.trainable_names()) == PROJECTIONS.keys()
    sessions.load(session, PROJECTIONS)
    acts = {"query": np.tanh, "key": np.sin, "value": lambda x: np.maximum(x, 0)}
    expected = attention_in_float64(MASK if masked else np.ones([2, 4, 6]), acts)
    shape = (8, 24) if returns_2d else (2, 4, 24)
    assert context.shape == shape
    np.testing.assert_allclose(session.run(context), expected.reshape(shape), atol=sessions.FLOAT32)


def test_attention_drops_probabilities(session):
    x = tf.constant(TO)
    context = modeling.attention_layer(x, x, size_per_head=8, attention_probs_dropout_prob=0.5)
    first, second = sessions.run(session, context), session.run(context)
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
    sessions.load(session, golden.variables)
    last, every = session.run([last, every])
    assert len(every) == 3
    np.testing.assert_allclose(last, every[-1], atol=sessions.FLOAT32)
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

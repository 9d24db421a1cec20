import json

import beartype
import jaxtyping
import numpy as np
import pytest
import tensorflow as tf

from bert import checkpoints
from bert import classifier
from bert import config as config_lib
from bert import conversion
from bert import encoder
from bert import features
from bert import weights
from tests import reference_bert

FLOAT32 = 2e-5  # a dozen float32 roundings through three layers of values around 1


def run(golden, **changes):
    config = golden.config.model_copy(update=changes)
    batch = features.Features(
        *(tf.constant(x) for x in (golden.input_ids, golden.input_mask, golden.segment_ids))
    )
    return classifier.forward(golden.variables, config, batch)


@pytest.mark.parametrize("act", ["gelu", "gelu_new"])
def test_every_tensor_equals_hugging_face_transformers(golden, act):
    outputs = run(golden, hidden_act=act)
    hidden = [outputs.embedding_output, *outputs.hidden_states]
    np.testing.assert_allclose(hidden, golden.outputs[f"{act}/hidden_states"], atol=FLOAT32)
    attentions = golden.outputs[f"{act}/attentions"]
    np.testing.assert_allclose(outputs.attention_probs, attentions, atol=FLOAT32)
    np.testing.assert_allclose(outputs.pooled, golden.outputs[f"{act}/pooled"], atol=FLOAT32)
    np.testing.assert_allclose(outputs.logits, golden.outputs[f"{act}/logits"], atol=FLOAT32)


@pytest.mark.parametrize(
    ("act", "gelu"),
    [("gelu", reference_bert.gelu_erf), ("gelu_tanh", reference_bert.gelu_tanh)],
)
def test_every_tensor_equals_the_numpy_reference(golden, act, gelu):
    outputs = run(golden, hidden_act=act)
    expected = reference_bert.forward(
        golden.variables, 3, golden.input_ids, golden.input_mask, golden.segment_ids, gelu
    )
    np.testing.assert_allclose(outputs.embedding_output, expected.embedding_output, atol=FLOAT32)
    np.testing.assert_allclose(outputs.hidden_states, expected.hidden_states, atol=FLOAT32)
    np.testing.assert_allclose(outputs.attention_probs, expected.attention_probs, atol=FLOAT32)
    np.testing.assert_allclose(outputs.logits, expected.logits, atol=FLOAT32)


def test_erf_and_tanh_gelu_differ_by_no_more_than_known(golden):
    x = np.linspace(-6, 6, 2001, dtype=np.float32)
    difference = np.abs(encoder.gelu(x) - encoder.gelu_tanh(x)).max()
    assert 4.5e-4 < difference < 5e-4  # the largest gap of the approximation, near |x| = 2.3
    erf, tanh = (run(golden, hidden_act=act).logits for act in ("gelu", "gelu_tanh"))
    assert 0 < np.abs(erf - tanh).max() < 1e-2


@pytest.mark.parametrize(("layers", "length"), [(1, 8), (3, 64), (12, 8)])
def test_attention_has_one_matrix_a_layer_and_head(layers, length):
    config = tiny(num_hidden_layers=layers)
    outputs = run_random(config, batch=2, length=length)
    assert [probs.shape for probs in outputs.attention_probs] == [(2, 4, length, length)] * layers


def test_attention_is_the_softmax_that_mixes_the_values(golden):
    variables = golden.variables
    embedded = run(golden).embedding_output
    mask_scores = tf.constant(np.where(golden.input_mask, 0.0, -1e4)[:, None, None], tf.float32)
    context, probs = encoder.self_attention(
        variables, golden.config, "bert/encoder/layer_0", embedded, mask_scores
    )
    kernel = variables["bert/encoder/layer_0/attention/self/value/kernel"]
    bias = variables["bert/encoder/layer_0/attention/self/value/bias"]
    values = (embedded.numpy() @ kernel + bias).reshape(2, 7, 3, 4)
    mixed = np.einsum("bhqk,bkhe->bqhe", probs, values).reshape(2, 7, 12)
    np.testing.assert_allclose(context, mixed, atol=1e-5)


def test_attention_is_taken_before_dropout(golden):
    def drop_everything(values, rate, name):
        return tf.zeros_like(values) if "self" in name else values

    batch = features.Features(golden.input_ids, golden.input_mask, golden.segment_ids)
    outputs = classifier.forward(golden.variables, golden.config, batch, dropout=drop_everything)
    np.testing.assert_allclose(
        tf.reduce_sum(outputs.attention_probs[0], axis=-1), np.ones([2, 3, 7]), atol=1e-6
    )


def test_padding_gets_exactly_no_attention_and_rows_sum_to_one(golden):
    for probs in run(golden).attention_probs:
        assert (probs.numpy()[1, :, :, 4:] == 0.0).all()
        np.testing.assert_allclose(tf.reduce_sum(probs, axis=-1), np.ones([2, 3, 7]), atol=1e-6)


def test_a_fully_padded_example_stays_finite(golden):
    batch = features.Features(golden.input_ids, golden.input_mask * 0, golden.segment_ids)
    for pooling in ("default", "global_average_pool", "global_max_pool"):
        outputs = classifier.forward(golden.variables, golden.config, batch, pooling=pooling)
        assert np.isfinite(outputs.logits).all()
        assert np.isfinite(outputs.attention_probs).all()


@pytest.mark.parametrize("pooling", ["default", "global_average_pool", "global_max_pool"])
def test_padding_changes_nothing(golden, pooling):
    def padded(length):
        arrays = (golden.input_ids, golden.input_mask, golden.segment_ids)
        batch = features.Features(*(np.pad(x[:, :4], [(0, 0), (0, length - 4)]) for x in arrays))
        return classifier.forward(golden.variables, golden.config, batch, pooling=pooling)

    short, long = padded(4), padded(16)
    np.testing.assert_allclose(short.logits, long.logits, atol=1e-5)
    for near, far in zip(short.attention_probs, long.attention_probs, strict=True):
        np.testing.assert_allclose(near, far[:, :, :4, :4], atol=1e-5)


def test_layer_norm_of_a_constant_row_is_beta():
    variables = {"x/LayerNorm/gamma": np.float32([3, 4]), "x/LayerNorm/beta": np.float32([5, 6])}
    normed = encoder.layer_norm(variables, "x", tf.constant([[7.0, 7.0]]), 1e-12)
    np.testing.assert_array_equal(normed, [[5, 6]])


def test_one_hot_lookup_equals_gathering(golden):
    batch = features.Features(golden.input_ids, golden.input_mask, golden.segment_ids)
    gathered = classifier.forward(golden.variables, golden.config, batch)
    multiplied = classifier.forward(golden.variables, golden.config, batch, one_hot=True)
    np.testing.assert_allclose(gathered.logits, multiplied.logits, atol=1e-6)


def test_masked_poolings_equal_hand_computed_values():
    hidden = tf.constant([[[7.0, 4.0, -1.0], [1.0, -2.0, -3.0], [99.0, 99.0, 99.0]]])
    mask = tf.constant([[1, 1, 0]])
    np.testing.assert_array_equal(classifier.masked_max(hidden, mask), [[7, 4, -1]])
    np.testing.assert_array_equal(classifier.masked_mean(hidden, mask), [[4, 1, -2]])


def test_dropout_repeats_itself_for_the_same_seed_step_and_place():
    x = tf.ones([50, 40])
    first, again, later, elsewhere, reseeded = (
        encoder.stateless_dropout(seed, tf.constant(step))(x, 0.1, place).numpy()
        for seed, step, place in [(1, 5, "a"), (1, 5, "a"), (1, 6, "a"), (1, 5, "b"), (2, 5, "a")]
    )
    np.testing.assert_array_equal(first, again)
    for other in (later, elsewhere, reseeded):
        assert (first != other).any()
    assert 0.07 < (first == 0).mean() < 0.13  # 2000 draws at rate 0.1: four standard deviations
    np.testing.assert_allclose(first[first > 0], 1 / 0.9, rtol=1e-6)


def test_unknown_activation_lists_the_legal_ones():
    with pytest.raises(ValueError, match=r"hidden_act must be one of gelu, .*; got 'swish'"):
        encoder.get_activation("swish")
    assert encoder.get_activation("linear") is None


def test_bert_base_has_the_199_variables_of_the_release():
    config = config_lib.BertConfig(30522, type_vocab_size=2)
    shapes = weights.encoder_shapes(config) | weights.pooler_shapes(config)
    assert len(shapes) == 199
    assert shapes["bert/encoder/layer_11/intermediate/dense/kernel"] == (768, 3072)
    assert shapes["bert/embeddings/LayerNorm/gamma"] == (768,)
    assert sum(np.prod(shape) for shape in shapes.values()) == 109_482_240  # BERT-Base, uncased


def test_the_tensor_rooms_obey_their_shape_annotations(golden, monkeypatch):
    checked = jaxtyping.jaxtyped(typechecker=beartype.beartype)
    for room, names in {
        encoder: ("look_up_words", "embed", "self_attention", "feed_forward", "pool_first_token"),
        classifier: ("masked_mean", "masked_max", "forward"),
    }.items():
        for name in names:
            monkeypatch.setattr(room, name, checked(getattr(room, name)))
    variables = {name: tf.constant(value) for name, value in golden.variables.items()}
    batch = features.Features(
        *(tf.constant(x) for x in (golden.input_ids, golden.input_mask, golden.segment_ids))
    )
    for pooling in ("default", "global_max_pool", "global_average_pool"):
        assert classifier.forward(variables, golden.config, batch, pooling=pooling) is not None
    with pytest.raises(jaxtyping.TypeCheckError):
        classifier.masked_mean(tf.zeros([2, 7, 12]), tf.zeros([2, 6], tf.int32))


def test_gradients_reach_the_word_embeddings(golden):
    batch = features.Features(golden.input_ids, golden.input_mask, golden.segment_ids)
    variables = {name: tf.constant(value) for name, value in golden.variables.items()}

    @tf.function
    def gradient():
        outputs = classifier.forward(variables, golden.config, batch)
        return tf.gradients(outputs.logits[:, 0], outputs.word_embeddings)[0]

    assert gradient().shape == (2, 7, 12)
    assert np.abs(gradient()).max() > 0


def tiny(**changes):
    values = {
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "type_vocab_size": 2,
    }
    return config_lib.BertConfig(100, **(values | changes))


def run_random(config, batch, length):
    rng = np.random.default_rng(0)
    shapes = classifier.variable_shapes(config, num_labels=2)
    variables = {
        name: rng.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()
    }
    ids = rng.integers(1, config.vocab_size, [batch, length]).astype(np.int32)
    return classifier.forward(
        variables, config, features.Features(ids, np.ones_like(ids), np.zeros_like(ids))
    )


def test_minilm_equals_hugging_face_transformers(minilm_folder):
    config = config_lib.BertConfig.from_json_file(minilm_folder / "config.json")
    release = conversion.release_folder(minilm_folder, minilm_folder.parent)
    checkpoint = release / checkpoints.GOOGLE_CHECKPOINT
    variables = checkpoints.load_variables(checkpoint, weights.encoder_shapes(config))
    expected = json.loads((reference_bert.GOLDENS / "transformers_minilm.json").read_text())
    ids = np.array([expected["input_ids"]], np.int32)
    words = encoder.look_up_words(variables, ids)
    encoded = encoder.encode(variables, config, words, np.ones_like(ids), np.zeros_like(ids))
    last = encoded.hidden_states[-1][0]
    np.testing.assert_allclose(last[:, :8], expected["hidden_states"], atol=FLOAT32)
    cls = encoded.attention_probs[-1][0, :, 0]
    np.testing.assert_allclose(cls, expected["attention_of_cls"], atol=FLOAT32)


def test_an_unknown_pooling_lists_the_legal_ones(golden):
    batch = features.Features(golden.input_ids, golden.input_mask, golden.segment_ids)
    with pytest.raises(
        ValueError,
        match=r"must be one of default, global_max_pool, global_average_pool, or .* got 'mean'",
    ):
        classifier.forward(golden.variables, golden.config, batch, pooling="mean")

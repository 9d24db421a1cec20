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
from bert import layers
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
    difference = np.abs(layers.gelu(x) - layers.gelu_tanh(x)).max()
    assert 4.5e-4 < difference < 5e-4  # the largest gap of the approximation, near |x| = 2.3
    erf, tanh = (run(golden, hidden_act=act).logits for act in ("gelu", "gelu_tanh"))
    assert 0 < np.abs(erf - tanh).max() < 1e-2


@pytest.mark.parametrize(("layers", "length"), [(1, 8), (3, 64), (12, 8)])
def test_attention_has_one_matrix_a_layer_and_head(layers, length):
    config = tiny(num_hidden_layers=layers)
    outputs = run_random(config, batch=2, length=length)
    assert [probs.shape for probs in outputs.attention_probs] == [(2, 4, length, length)] * layers


def test_attention_averages_the_values_head_by_head(golden):
    outputs, place = run(golden), "bert/encoder/layer_0/attention/self/value"
    probs, embedded = outputs.attention_probs[0], outputs.embedding_output
    kernel, bias = golden.variables[f"{place}/kernel"], golden.variables[f"{place}/bias"]
    values = (embedded.numpy() @ kernel + bias).reshape(2, 7, 3, 4)
    value = encoder.project(golden.variables, golden.config, place, embedded)
    np.testing.assert_allclose(value, values, atol=1e-5)
    mixed = np.einsum("bhqk,bkhe->bqhe", probs, values)
    np.testing.assert_allclose(encoder.mix(probs, value), mixed, atol=1e-5)


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
    normed = layers.layer_norm(variables, "x", tf.constant([[7.0, 7.0]]), 1e-12)
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
        layers.stateless_dropout(seed, tf.constant(step))(x, 0.1, place).numpy()
        for seed, step, place in [(1, 5, "a"), (1, 5, "a"), (1, 6, "a"), (1, 5, "b"), (2, 5, "a")]
    )
    np.testing.assert_array_equal(first, again)
    for other in (later, elsewhere, reseeded):
        assert (first != other).any()
    assert 0.07 < (first == 0).mean() < 0.13  # 2000 draws at rate 0.1: four standard deviations
    # 6554 of 65536 draws are dropped
    np.testing.assert_allclose(first[first > 0], 65536 / (65536 - 6554), rtol=1e-6)


@pytest.mark.parametrize(
    ("rate", "shape"), [(0.1, [701, 999]), (0.5, [1, 3, 233333]), (1 / 3, [699999])]
)
def test_dropout_drops_its_share_anywhere_in_a_tensor_and_keeps_the_mean(rate, shape):
    kept = layers.stateless_dropout(3, tf.constant(7))(tf.ones(shape), rate, "a").numpy().ravel()
    assert kept.size % 2 == 1  # two values share a random word
    # about 700,000 draws: four standard deviations are at most 0.0024, of a half at most 0.0034
    np.testing.assert_allclose((kept == 0).mean(), rate, atol=0.0024)
    for half in np.array_split(kept, 2):
        np.testing.assert_allclose((half == 0).mean(), rate, atol=0.0034)
    np.testing.assert_allclose(kept.mean(), 1.0, atol=0.005)
    neighbours = np.corrcoef(kept[:-1] == 0, kept[1:] == 0)[0, 1]
    np.testing.assert_allclose(neighbours, 0.0, atol=0.005)  # of one word, and of the next


def test_unknown_activation_lists_the_legal_ones():
    with pytest.raises(ValueError, match=r"hidden_act must be one of gelu, .*; got 'swish'"):
        layers.get_activation("swish")
    assert layers.get_activation("linear") is None


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
        encoder: "look_up_words embed attend mix project finish_layer encode_layers pool_first_token",
        classifier: "masked_mean masked_max forward",
    }.items():
        for name in names.split():
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


def test_what_the_head_reads_is_the_first_token_of_the_last_layer(golden):
    outputs = run(golden)
    assert outputs.read.shape == (2, 1, 12)
    assert outputs.read_probs.shape == (2, 3, 1, 7)
    np.testing.assert_allclose(outputs.read, outputs.hidden_states[-1][:, :1], atol=1e-6)
    np.testing.assert_allclose(outputs.read_probs, outputs.attention_probs[-1][:, :, :1], atol=1e-6)
    batch = features.Features(golden.input_ids, golden.input_mask, golden.segment_ids)
    for settings in ({"pooling": "global_average_pool"}, {"with_taps": True}):
        outputs = classifier.forward(golden.variables, golden.config, batch, **settings)
        assert outputs.read is outputs.hidden_states[-1]
        assert outputs.read_probs is outputs.attention_probs[-1]


@pytest.mark.parametrize(
    ("pooling", "act", "atol"),
    [
        ("default", "relu", 1e-12),
        ("global_average_pool", "relu", 1e-12),
        ("default", "gelu", 1e-7),  # TensorFlow's own, without taps, rounds sqrt(2) to float32
    ],
)
def test_gradients_are_those_of_the_graph_with_taps(golden, pooling, act, atol):
    config = golden.config.model_copy(update={"hidden_act": act})
    batch = features.Features(golden.input_ids, golden.input_mask, golden.segment_ids)
    variables = {name: tf.constant(x, tf.float64) for name, x in golden.variables.items()}

    @tf.function(autograph=False)
    def gradients(with_taps):
        outputs = classifier.forward(variables, config, batch, pooling=pooling, with_taps=with_taps)
        sources = [outputs.word_embeddings, *outputs.attention_probs[:-1], outputs.read_probs]
        return tf.gradients(outputs.logits[:, 2], sources)

    *plain, of_read = gradients(with_taps=False)
    *tapped, of_all = gradients(with_taps=True)
    for found, expected in zip([*plain, of_read], [*tapped, of_all], strict=True):
        # of the other tokens' attention nothing reaches the score
        np.testing.assert_allclose(found, expected[:, :, : found.shape[2]], rtol=0, atol=atol)
        assert np.abs(found).max() > 1e-6
        assert not np.any(expected[:, :, found.shape[2] :])


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

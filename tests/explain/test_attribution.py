import numpy as np
import pytest
import tensorflow as tf

from bert import classifier
from bert import features
from explain import attribution
from tests.explain import tiny_model

METHODS = [
    "gradient_sensitivity",
    "gradient_sensitivity_squared",
    "gradient_x_input",
    "gradient_x_input_squared",
    "chefer",
]


@pytest.fixture(scope="module")
def config():
    return tiny_model.config()


@pytest.fixture(scope="module")
def weights(config):
    return tiny_model.variables(config)


def logits_at(embeddings, weights, config, at="word"):
    outputs = classifier.forward(weights, config, tiny_model.batch())
    return outputs.rerun(tf.constant(embeddings), tiny_model.batch(), at).logits.numpy()


def asked(target, contrast):
    ids = tf.zeros([2, 1], tf.int32)
    return features.Features(ids, ids, ids, target=target, contrast=contrast)


def test_scores_are_logits_log_probabilities_or_probabilities():
    logits = np.array([[1.0, 2.0, 4.0], [0.5, 0.0, -1.0]])
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    target = tf.constant([2, 0])
    for kind, values in {
        "logit": logits,
        "log_probability": np.log(probabilities),
        "probability": probabilities,
    }.items():
        found = attribution.score(kind, tf.constant(logits), asked(target, tf.constant([-1, -1])))
        np.testing.assert_allclose(found, [values[0, 2], values[1, 0]])
        lead = attribution.score(kind, tf.constant(logits), asked(target, tf.constant([1, -1])))
        np.testing.assert_allclose(lead, [values[0, 2] - values[0, 1], values[1, 0]])


@pytest.mark.parametrize("target", [None, tf.constant([-1, -1])])
def test_where_no_class_is_asked_for_the_predicted_one_is_explained(target):
    logits = tf.constant([[1.0, 2.0, 4.0], [0.5, 0.0, -1.0]])
    found = attribution.with_targets(asked(target, None), logits)
    assert found.target.numpy().tolist() == [2, 0]
    assert found.contrast.numpy().tolist() == [-1, -1]


def test_a_class_that_is_asked_for_stays():
    logits = tf.constant([[1.0, 2.0, 4.0], [0.5, 0.0, -1.0]])
    as_numpy_makes_it = tf.constant([1, -1], tf.int64)
    found = attribution.with_targets(asked(as_numpy_makes_it, tf.constant([0, -1])), logits)
    assert found.target.numpy().tolist() == [1, 0]
    assert found.contrast.numpy().tolist() == [0, -1]


def test_running_again_from_either_point_gives_the_same_answer(config, weights):
    outputs = classifier.forward(weights, config, tiny_model.batch())
    for embeddings, at in (
        (outputs.word_embeddings, "word"),
        (outputs.embedding_output, "post_layernorm"),
    ):
        again = logits_at(embeddings, weights, config, at)
        np.testing.assert_allclose(again, outputs.logits, rtol=1e-12)


def test_sensitivity_and_gradient_x_input_equal_central_differences(config, weights):
    outputs = classifier.forward(weights, config, tiny_model.batch())
    start, h = outputs.word_embeddings.numpy(), 1e-5
    gradient = np.zeros_like(start)
    for t, d in np.ndindex(*start.shape[1:]):
        moved = [start.copy() for _ in range(2)]
        moved[0][:, t, d] += h
        moved[1][:, t, d] -= h
        up, down = (logits_at(x, weights, config) for x in moved)
        picked = (up - down)[np.arange(2), tiny_model.TARGET]
        gradient[:, t, d] = picked / (2 * h)
    sensitivity, signed = (
        tiny_model.ask(name, weights, config).token_scores
        for name in ("gradient_sensitivity", "gradient_x_input")
    )
    np.testing.assert_allclose(sensitivity, np.linalg.norm(gradient, axis=-1), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(signed, (gradient * start).sum(axis=-1), rtol=1e-5, atol=1e-9)


def test_bert_lrps_variants_are_squared_norms_behind_the_embeddings_layer_norm(config, weights):
    def both(outputs, score):
        (gradient,) = tf.gradients(score, outputs.embedding_output)
        return gradient, outputs.embedding_output

    gradient, entered = tiny_model.explain(both, weights, config, with_taps=False)
    sensitivity = tiny_model.ask("gradient_sensitivity_squared", weights, config)
    times_input = tiny_model.ask("gradient_x_input_squared", weights, config)
    np.testing.assert_allclose(sensitivity.token_scores, (gradient**2).sum(axis=-1))
    np.testing.assert_allclose(times_input.token_scores, ((gradient * entered) ** 2).sum(axis=-1))


def test_chefer_equals_its_rules_in_numpy(config, weights):
    def parts(outputs, score):
        return tf.gradients(score, list(outputs.attention_probs)), list(outputs.attention_probs)

    # with taps the last layer's whole attention is on the way to the score
    gradients, probs = tiny_model.explain(parts, weights, config, with_taps=True)
    found = tiny_model.ask("chefer", weights, config).token_scores
    for b in range(2):
        carried = np.eye(7)
        for gradient, attention in zip(gradients, probs, strict=True):
            raising = np.maximum(gradient[b] * attention[b], 0.0).mean(axis=0)
            carried = carried + raising @ carried
        # TensorFlow's gelu, in the graph without taps, rounds sqrt(2) to float32
        np.testing.assert_allclose(found[b], (carried - np.eye(7))[0], rtol=1e-7)


def test_chefer_starts_from_every_token_where_the_head_reads_their_mean(config):
    weights = tiny_model.variables(config, "global_average_pool")

    def parts(outputs, score):
        return tf.gradients(score, list(outputs.attention_probs)), list(outputs.attention_probs)

    pooling = {"pooling": "global_average_pool"}
    gradients, probs = tiny_model.explain(parts, weights, config, with_taps=False, **pooling)
    found = tiny_model.ask("chefer", weights, config, **pooling).token_scores
    for b in range(2):
        start = tiny_model.MASK[b] / tiny_model.MASK[b].sum()
        carried = np.eye(7)
        for gradient, attention in zip(gradients, probs, strict=True):
            raising = np.maximum(gradient[b] * attention[b], 0.0).mean(axis=0)
            carried = carried + raising @ carried
        np.testing.assert_allclose(found[b], start @ carried - start, rtol=1e-9, atol=1e-15)


def test_chefer_of_one_head_and_layer_by_hand():
    """Two tokens, [CLS] read: its row of gradient times attention, without what lowers the score."""
    probs = tf.constant([[[[0.25, 0.75], [0.5, 0.5]]]])
    gradient = tf.constant([[[[2.0, 4.0], [7.0, 7.0]]]])
    read = tf.constant([[[3.0], [0.0]]])
    outputs = classifier.BertOutputs(
        read, read, (read,), (probs,), read, probs, read, read, read, None
    )
    found = attribution.chefer(outputs, attribution.Gradients(read, read, (gradient,), read))
    np.testing.assert_allclose(found, [[0.5, 3.0]])
    lowering = attribution.Gradients(read, read, (-gradient,), read)
    np.testing.assert_array_equal(attribution.chefer(outputs, lowering), [[0.0, 0.0]])


@pytest.mark.parametrize("method", ["gradient_x_input", "integrated_gradients"])
@pytest.mark.parametrize("pooling", ["default", "global_average_pool"])
def test_attributions_of_all_classes_probabilities_cancel(config, method, pooling):
    weights = tiny_model.variables(config, pooling)
    options = {"steps": 16, "max_steps": 16} if method == "integrated_gradients" else {}
    found = [
        tiny_model.ask(
            method,
            weights,
            config,
            target=[label, label],
            pooling=pooling,
            kind="probability",
            **options,
        ).token_scores
        for label in range(5)
    ]
    assert np.abs(found).max() > 1e-4
    np.testing.assert_allclose(sum(found), 0.0, atol=1e-12)


@pytest.mark.parametrize(
    "method", ["gradient_x_input", "integrated_gradients", "cp_lrp", "attn_lrp"]
)
def test_a_contrast_is_the_difference_of_two_classes(config, weights, method):
    options = {"steps": 16, "max_steps": 16} if method == "integrated_gradients" else {}
    first, second, lead = (
        tiny_model.ask(
            method, weights, config, target=target, contrast=contrast, **options
        ).token_scores
        for target, contrast in (([1, 3], [-1, -1]), ([4, 2], [-1, -1]), ([1, 3], [4, 2]))
    )
    np.testing.assert_allclose(lead, first - second, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_padding_gets_nothing_and_changes_nothing(config, weights, method):
    found = tiny_model.ask(method, weights, config).token_scores
    np.testing.assert_array_equal(found[0, 5:], 0.0)
    wider = [np.pad(x, ((0, 0), (0, 6))) for x in tiny_model.batch()[:3]]
    again = tiny_model.ask(method, weights, config, inputs=tiny_model.batch(*wider)).token_scores
    np.testing.assert_allclose(again[:, :7], found, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_batch_mates_and_their_order_change_nothing(config, weights, method):
    found = tiny_model.ask(method, weights, config).token_scores
    arrays = (tiny_model.IDS, tiny_model.MASK, tiny_model.SEGMENTS)
    turned = tiny_model.batch(*(x[::-1] for x in arrays))
    again = tiny_model.ask(method, weights, config, inputs=turned, target=[3, 1]).token_scores
    np.testing.assert_allclose(again[::-1], found, rtol=1e-9, atol=1e-12)

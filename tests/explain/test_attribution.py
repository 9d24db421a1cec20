import numpy as np
import pytest
import tensorflow as tf

from bert import classifier
from explain import attribution
from tests.explain import tiny_model

METHODS = [
    attribution.gradient_sensitivity,
    attribution.gradient_sensitivity_squared,
    attribution.gradient_x_input,
    attribution.gradient_x_input_squared,
    attribution.chefer,
]
WORDS = "bert/embeddings/word_embeddings"


@pytest.fixture(scope="module")
def config():
    return tiny_model.config()


@pytest.fixture(scope="module")
def weights(config):
    return tiny_model.variables(config)


def logits_at(embeddings, weights, config, at="word"):
    outputs = classifier.forward(weights, config, tiny_model.batch())
    return outputs.rerun(tf.constant(embeddings), tiny_model.batch(), at).logits.numpy()


def test_scores_are_logits_log_probabilities_or_probabilities():
    logits = np.array([[1.0, 2.0, 4.0], [0.5, 0.0, -1.0]])
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    target, contrast = tf.constant([2, 0]), tf.constant([1, 2])
    for kind, values in {
        "logit": logits,
        "log_probability": np.log(probabilities),
        "probability": probabilities,
    }.items():
        found = attribution.score_of(kind, target)(tf.constant(logits))
        np.testing.assert_allclose(found, [values[0, 2], values[1, 0]])
        lead = attribution.score_of(kind, target, contrast)(tf.constant(logits))
        expected = [values[0, 2] - values[0, 1], values[1, 0] - values[1, 2]]
        np.testing.assert_allclose(lead, expected)


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
    sensitivity = tiny_model.explain(attribution.gradient_sensitivity, weights, config)
    signed = tiny_model.explain(attribution.gradient_x_input, weights, config)
    np.testing.assert_allclose(sensitivity, np.linalg.norm(gradient, axis=-1), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(signed, (gradient * start).sum(axis=-1), rtol=1e-5, atol=1e-9)


def test_bert_lrps_variants_are_squared_norms_behind_the_embeddings_layer_norm(config, weights):
    def both(outputs, score):
        (gradient,) = tf.gradients(score, outputs.embedding_output)
        squared = [
            attribution.gradient_sensitivity_squared(outputs, score),
            attribution.gradient_x_input_squared(outputs, score),
        ]
        return gradient, outputs.embedding_output, squared

    gradient, entered, (sensitivity, times_input) = tiny_model.explain(both, weights, config)
    np.testing.assert_allclose(sensitivity, (gradient**2).sum(axis=-1))
    np.testing.assert_allclose(times_input, ((gradient * entered) ** 2).sum(axis=-1))


def test_chefer_equals_its_rules_in_numpy(config, weights):
    def parts(outputs, score):
        gradients = tf.gradients(score, list(outputs.attention_probs))
        return gradients, list(outputs.attention_probs), attribution.chefer(outputs, score)

    gradients, probs, found = tiny_model.explain(parts, weights, config)
    for b in range(2):
        carried = np.eye(7)
        for gradient, attention in zip(gradients, probs, strict=True):
            raising = np.maximum(gradient[b] * attention[b], 0.0).mean(axis=0)
            carried = carried + raising @ carried
        np.testing.assert_allclose(found[b], (carried - np.eye(7))[0], rtol=1e-9)


@pytest.mark.parametrize("kind", ["probability"])
@pytest.mark.parametrize("pooling", ["default", "global_average_pool"])
def test_gradients_of_all_classes_probabilities_cancel(config, kind, pooling):
    weights = tiny_model.variables(config, pooling)
    total = sum(
        tiny_model.explain(
            attribution.gradient_x_input,
            weights,
            config,
            target=np.full(2, label, np.int32),
            pooling=pooling,
            kind=kind,
        )
        for label in range(5)
    )
    np.testing.assert_allclose(total, 0.0, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_padding_gets_nothing_and_changes_nothing(config, weights, method):
    found = tiny_model.explain(method, weights, config)
    np.testing.assert_array_equal(found[0, 5:], 0.0)
    wider = [np.pad(x, ((0, 0), (0, 6))) for x in tiny_model.batch()[:3]]
    again = tiny_model.explain(method, weights, config, inputs=tiny_model.batch(*wider))
    np.testing.assert_allclose(again[:, :7], found, rtol=1e-9, atol=1e-12)


def integrate(weights, config, steps, *, at_once=4, swap=False, kind="logit", score=None):
    """Return integrated gradients from the [PAD] embedding, framed by the text's own special tokens."""

    def method(outputs, _):
        pad = tf.broadcast_to(weights[WORDS][0], tf.shape(outputs.word_embeddings))
        special = tf.constant(np.isin(tiny_model.IDS, (0, 2, 3)))[:, :, tf.newaxis]
        baseline = tf.where(special, outputs.word_embeddings, pad)
        chosen = score or attribution.score_of(kind, tf.constant(tiny_model.TARGET))
        start, end = (
            (outputs.word_embeddings, baseline) if swap else (baseline, outputs.word_embeddings)
        )
        again = outputs.rerun(end, tiny_model.batch(), "word")
        return attribution.integrated_gradients(
            again, tiny_model.batch(), chosen, start, steps=steps, steps_at_once=at_once
        )

    return tiny_model.explain(method, weights, config)


@pytest.mark.parametrize("kind", ["logit", "log_probability", "probability"])
def test_integrated_gradients_are_complete(config, weights, kind):
    found = integrate(weights, config, 64, kind=kind)
    assert np.abs(found.rise).min() > 1e-3
    np.testing.assert_allclose(found.token_scores.sum(axis=1), found.rise, rtol=1e-4)
    np.testing.assert_allclose(found.token_scores.sum(axis=1) - found.rise, found.gap, atol=1e-12)


def test_the_gap_closes_with_more_steps(config, weights):
    gaps = [np.abs(integrate(weights, config, steps).gap).max() for steps in (2, 8, 32)]
    assert gaps[0] > 10 * gaps[1] > 100 * gaps[2]


def test_groups_of_steps_change_nothing(config, weights):
    one, many = (integrate(weights, config, 7, at_once=size) for size in (1, 4))
    np.testing.assert_allclose(one.token_scores, many.token_scores, rtol=1e-9, atol=1e-12)


def test_the_way_back_gives_the_negative_and_what_does_not_move_gets_nothing(config, weights):
    there, back = (integrate(weights, config, 16, swap=swap).token_scores for swap in (False, True))
    np.testing.assert_allclose(there, -back, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(there[np.isin(tiny_model.IDS, (0, 2, 3))], 0.0)


@pytest.mark.parametrize(("power", "steps"), [(2, 1), (4, 2), (6, 3)])
def test_gauss_legendre_is_exact_for_polynomials_of_its_degree(power, steps):
    """A network that is a sum of powers of its input: n nodes integrate its gradient of degree 2n - 1 exactly."""

    @tf.function(autograph=False)
    def run():
        x = tf.constant([[[0.7, -1.2], [0.4, 2.0], [0.3, 0.3]]], tf.float64)

        def rerun(embeddings, batch, at="word"):
            del batch, at
            logits = tf.reduce_sum(embeddings**power, axis=[1, 2])[:, tf.newaxis]
            return classifier.BertOutputs(
                embeddings, embeddings, (), (), embeddings[:, 0], logits, rerun
            )

        batch = tiny_model.batch(*(np.ones((1, 3), np.int32),) * 3)
        score = attribution.score_of("logit", tf.constant([0]))
        return attribution.integrated_gradients(
            rerun(x, batch), batch, score, tf.zeros_like(x), steps=steps, steps_at_once=2
        )

    found = run()
    x = np.array([[0.7, -1.2], [0.4, 2.0], [0.3, 0.3]])
    np.testing.assert_allclose(found.token_scores[0], (x**power).sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found.gap, 0.0, atol=1e-12)

import re

import numpy as np
import pytest
import tensorflow as tf

from bert import classifier
from bert import layers
from explain import relevance
from tests.explain import tiny_model


def strongly_damped(outputs, score):
    return relevance.epsilon_lrp(outputs, score, epsilon=0.1)


RULES = [relevance.cp_lrp, relevance.attn_lrp, strongly_damped, relevance.alpha_beta_lrp]
POOLINGS = ["default", "global_average_pool", "global_max_pool"]


@pytest.fixture(scope="module")
def config():
    return tiny_model.config()


def own_pool(variables, hidden, mask, taps):
    """The first and the second token, through two dense layers and a LayerNorm."""
    del mask
    first = layers.dense(variables, "own/first", hidden[:, 0], taps)
    second = layers.dense(variables, "own/second", hidden[:, 1], taps)
    mixed = layers.activate(layers.gelu, first, taps) + 0.3 * second
    return layers.layer_norm(variables, "own", mixed, 1e-12, taps)


OWN_HEAD = classifier.Head(
    lambda config: {
        f"own/{name}": (config.hidden_size,) * (2 if name.endswith("kernel") else 1)
        for name in [
            "first/kernel",
            "first/bias",
            "second/kernel",
            "second/bias",
            "LayerNorm/gamma",
            "LayerNorm/beta",
        ]
    },
    own_pool,
)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("pooling", "act"),
    [
        ("default", "gelu"),
        ("default", "gelu_tanh"),
        ("global_average_pool", "relu"),
        ("global_max_pool", "gelu"),
        (f"{__name__}:OWN_HEAD", "gelu"),
    ],
)
def test_tokens_biases_softmax_and_stabiliser_sum_to_the_score(rule, pooling, act):
    config = tiny_model.config(hidden_act=act)
    weights = tiny_model.variables(config, pooling)
    found = tiny_model.explain(rule, weights, config, pooling=pooling)
    total = found.token_scores.sum(axis=1) + found.biases + found.softmax + found.damped
    np.testing.assert_allclose(total, found.score, rtol=1e-9)
    assert np.abs(found.biases).min() > 1e-3  # the ledger would not close without them
    if rule is relevance.attn_lrp:
        assert np.abs(found.softmax).min() > 1e-6
    if rule is strongly_damped:
        assert np.abs(found.damped).min() > 1e-3


@pytest.mark.parametrize(
    ("rule", "tolerance"),
    [
        (relevance.cp_lrp, 1e-9),
        (relevance.alpha_beta_lrp, 1e-9),
        (lambda *args: relevance.epsilon_lrp(*args, epsilon=1e-9), 1e-6),
    ],
)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_without_biases_the_tokens_sum_to_the_score(config, pooling, rule, tolerance):
    weights = tiny_model.variables(config, pooling, biases=False)
    found = tiny_model.explain(rule, weights, config, pooling=pooling)
    np.testing.assert_allclose(found.token_scores.sum(axis=1), found.score, rtol=tolerance)
    np.testing.assert_array_equal(found.biases, 0.0)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_epsilon_zero_is_cp_lrp(config, pooling):
    def both(*args):
        return relevance.epsilon_lrp(*args, epsilon=0.0), relevance.cp_lrp(*args)

    weights = tiny_model.variables(config, pooling)
    found, expected = tiny_model.explain(both, weights, config, pooling=pooling)
    np.testing.assert_allclose(found.layer_scores, expected.layer_scores, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found.biases, expected.biases, rtol=1e-12)
    np.testing.assert_array_equal(found.damped, 0.0)


@pytest.mark.parametrize("rule", [*RULES, relevance.bert_lrp_2021])
@pytest.mark.parametrize("below", [1, 2])
def test_relevance_after_a_layer_is_that_of_the_model_above_it(rule, below):
    whole = tiny_model.config(num_hidden_layers=3)
    weights = tiny_model.variables(whole)
    upper = tiny_model.config(num_hidden_layers=3 - below)

    above = {
        re.sub(r"layer_(\d+)", lambda match: f"layer_{int(match[1]) - below}", name): value
        for name, value in weights.items()
    }

    def both(outputs, score):
        above_outputs = classifier.forward(above, upper, tiny_model.batch(), with_taps=True).rerun(
            outputs.hidden_states[below - 1], tiny_model.batch(), "post_layernorm"
        )
        above_score = tf.gather(above_outputs.logits, tiny_model.TARGET, axis=1, batch_dims=1)
        return rule(outputs, score), rule(above_outputs, above_score)

    of_whole, of_upper = tiny_model.explain(both, weights, whole)
    np.testing.assert_array_equal(of_whole.layer_scores[:, 0], of_whole.token_scores)
    assert of_whole.layer_scores.shape == (2, 4, 7)
    np.testing.assert_allclose(
        of_whole.layer_scores[:, below], of_upper.token_scores, rtol=1e-9, atol=1e-12
    )
    assert np.abs(of_upper.token_scores).max() > 1e-2
    if rule is not relevance.bert_lrp_2021:
        np.testing.assert_allclose(of_upper.ledger_error, 0.0, atol=1e-9)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (relevance.epsilon_lrp, {"epsilon": -1e-6}, r"epsilon must be at least 0, got -1e-06"),
        (
            relevance.alpha_beta_lrp,
            {"alpha": 2.0, "beta": 0.5},
            r"alpha - beta must be 1 .* got alpha=2.0, beta=0.5; with this alpha, beta is 1$",
        ),
    ],
)
def test_parameters_that_lose_relevance_are_refused(config, method, options, message):
    weights = tiny_model.variables(config)
    with pytest.raises(ValueError, match=message):
        tiny_model.explain(lambda *args: method(*args, **options), weights, config)


def decomposed(weights, config, target):
    """DecompX without its bias term: carry one vector a source token forward through the frozen network.

    An independent computation in NumPy: forward, token by token, where relevance goes backward. Source: Modarressi et
    al. 2023, section 3.
    """
    outputs = classifier.forward(weights, config, tiny_model.batch())
    weights = {name: value.numpy() for name, value in weights.items()}
    b, t, d = outputs.embedding_output.shape
    h, e = config.num_attention_heads, config.size_per_head
    # x[b, t, s, d]: share of source token s in token t
    x = np.einsum("btd,ts->btsd", outputs.embedding_output.numpy(), np.eye(t))
    whole = outputs.embedding_output.numpy()

    def normed(shares, place, before):
        variance = before.var(axis=-1, keepdims=True) + config.layer_norm_eps
        centred = shares - shares.mean(axis=-1, keepdims=True)
        gamma, beta = (weights[f"{place}/LayerNorm/{n}"] for n in ("gamma", "beta"))
        after = (before - before.mean(axis=-1, keepdims=True)) / np.sqrt(variance) * gamma + beta
        return centred / np.sqrt(variance)[:, :, None] * gamma, after

    for index in range(config.num_hidden_layers):
        layer = f"bert/encoder/layer_{index}"
        probs = outputs.attention_probs[index].numpy()
        place = f"{layer}/attention/self/value"
        value = (x @ weights[f"{place}/kernel"]).reshape(b, t, t, h, e)
        mixed = np.einsum("bhqk,bkshe->bqshe", probs, value).reshape(b, t, t, d)
        out = f"{layer}/attention/output"
        shares = mixed @ weights[f"{out}/dense/kernel"] + x
        full = (whole @ weights[f"{place}/kernel"] + weights[f"{place}/bias"]).reshape(b, t, h, e)
        context = np.einsum("bhqk,bkhe->bqhe", probs, full).reshape(b, t, d)
        before = context @ weights[f"{out}/dense/kernel"] + weights[f"{out}/dense/bias"] + whole
        x, whole = normed(shares, out, before)
        wide = whole @ weights[f"{layer}/intermediate/dense/kernel"]
        wide += weights[f"{layer}/intermediate/dense/bias"]
        gate = tf.nn.gelu(wide).numpy() / wide
        inner = (x @ weights[f"{layer}/intermediate/dense/kernel"]) * gate[:, :, None]
        shares = inner @ weights[f"{layer}/output/dense/kernel"] + x
        before = (wide * gate) @ weights[f"{layer}/output/dense/kernel"]
        before += weights[f"{layer}/output/dense/bias"] + whole
        x, whole = normed(shares, f"{layer}/output", before)
    pooled = whole[:, 0] @ weights["bert/pooler/dense/kernel"] + weights["bert/pooler/dense/bias"]
    ratio = np.tanh(pooled) / pooled
    shares = (x[:, 0] @ weights["bert/pooler/dense/kernel"]) * ratio[:, None]
    return np.einsum("bsd,bd->bs", shares, weights["output_weights"][target])


def test_cp_lrp_is_decompx_without_its_bias_term_token_by_token(config):
    weights = tiny_model.variables(config)
    found = tiny_model.explain(relevance.cp_lrp, weights, config)
    expected = decomposed(weights, config, tiny_model.TARGET)
    np.testing.assert_allclose(found.token_scores, expected, rtol=1e-6, atol=1e-9)
    assert np.abs(expected).max() > 0.1


@pytest.mark.parametrize("rule", RULES)
def test_relevance_is_linear_in_what_is_explained(config, rule):
    weights = tiny_model.variables(config)

    def lead(outputs, score):
        del score
        first, second = (outputs.logits[:, c] for c in (1, 3))
        parts = [rule(outputs, s).token_scores for s in (first, second, first - second)]
        return parts[0] - parts[1] - parts[2], parts[2]

    difference, scores = tiny_model.explain(lead, weights, config)
    np.testing.assert_allclose(difference, 0.0, atol=1e-12)
    assert np.abs(scores).max() > 1e-2


@pytest.mark.parametrize("rule", [*RULES, relevance.bert_lrp_2021])
def test_padding_gets_nothing_and_changes_nothing(config, rule):
    weights = tiny_model.variables(config)
    found = tiny_model.explain(rule, weights, config).token_scores
    np.testing.assert_array_equal(found[0, 5:], 0.0)
    wider = [np.pad(x, ((0, 0), (0, 6))) for x in tiny_model.batch()[:3]]
    again = tiny_model.explain(rule, weights, config, inputs=tiny_model.batch(*wider)).token_scores
    np.testing.assert_allclose(again[:, :7], found, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rule", [*RULES, relevance.bert_lrp_2021])
def test_batch_mates_do_not_matter(config, rule):
    weights = tiny_model.variables(config)
    found = tiny_model.explain(rule, weights, config).token_scores
    turned = tiny_model.batch(*(x.numpy()[::-1].copy() for x in tiny_model.batch()[:3]))
    target = tiny_model.TARGET[::-1].copy()
    again = tiny_model.explain(rule, weights, config, inputs=turned, target=target).token_scores
    np.testing.assert_allclose(again[::-1], found, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("act", ["gelu", "gelu_tanh", "relu", "tanh", "linear"])
def test_the_form_with_taps_gives_the_same_logits(act):
    config = tiny_model.config(hidden_act=act)
    weights = tiny_model.variables(config)
    plain, tapped = (
        tiny_model.explain(lambda outputs, _: outputs.logits, weights, config, with_taps=taps)
        for taps in (False, True)
    )
    np.testing.assert_allclose(tapped, plain, atol=1e-6)  # TensorFlow's own gelu rounds sqrt(2)


def test_a_pass_without_taps_is_told_what_to_do(config):
    weights = tiny_model.variables(config)
    with pytest.raises(ValueError, match="needs a forward pass with taps"):
        tiny_model.explain(relevance.cp_lrp, weights, config, with_taps=False)

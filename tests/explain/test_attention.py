"""What attention processors return, and the ancestor's tools for (token, weight) pairs and their HTML."""

import functools
import html
import re
from xml.etree import ElementTree

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies

from explain import attention

B, L, H, T = 2, 4, 3, 7
HOSTILE = ["<b>", "a&b", "&amp;", '"', "'", "]]>", "<!--", "😀", "👩‍🚀", "naïve", "שלום", "{{x}}"]
OPAQUE = r"background-color: rgba\((.+), (.+), (.+), (.+)\); color: #[0-9a-f]{6}"
weights_0_to_1 = strategies.floats(0, 1, allow_nan=False)


@pytest.fixture(scope="module")
def probs() -> np.ndarray:
    """Softmaxed attention, float32[l, b, h, q, k]."""
    scores = np.random.default_rng(3).normal(scale=2.0, size=(L, B, H, T, T))
    exponents = np.exp(scores)
    return (exponents / exponents.sum(-1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def layers(probs: np.ndarray) -> attention.LayerDicts:
    return [{f"layer_{index}": tf.constant(layer)} for index, layer in enumerate(probs)]


def spans(fragment: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(fragment).iter("span"))


def alphas(fragment: str) -> list[float]:
    found = [re.fullmatch(OPAQUE, span.attrib["style"]) for span in spans(fragment)]
    return [float(match[4]) for match in found if match]


def viz(tokens, weights, *, probabilities=(0.1, 0.9), guid="test-1", **options) -> str:
    return attention.viz_attention(
        tokens, weights, "positive", "negative", probabilities, guid, **options
    )


@pytest.mark.parametrize(
    ("processor", "layer"),
    [
        (attention.average_first_layer_by_head, 0),
        (attention.average_last_layer_by_head, -1),
    ],
)
def test_a_layer_average_is_the_mean_over_heads_of_the_first_row(layers, probs, processor, layer):
    scores = processor(layers).numpy()
    np.testing.assert_allclose(scores, probs[layer, :, :, 0, :].mean(1), atol=1e-6)  # float32
    np.testing.assert_allclose(scores.sum(-1), np.ones(B), atol=1e-6)


def test_layer_i_and_token_j_name_any_row(layers, probs):
    by_head = attention.average_layer_i_on_token_j_by_head
    first, last = by_head(0, 0, layers), by_head(-1, 0, layers)
    np.testing.assert_array_equal(first, attention.average_first_layer_by_head(layers))
    np.testing.assert_array_equal(last, attention.average_last_layer_by_head(layers))
    expected = probs[1, :, :, 3, :].mean(1)
    np.testing.assert_allclose(by_head(1, 3, layers), expected, atol=1e-6)
    np.testing.assert_allclose(by_head(layer_index=1, token_index=3)(layers), expected, atol=1e-6)


def test_layer_i_and_token_j_alone_make_a_processor_for_a_graph(layers, probs):
    processor = attention.average_layer_i_on_token_j_by_head(1, 3)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        placeholder = tf.compat.v1.placeholder(tf.float32, [None, H, None, None])
        scores = processor([{"layer_0": placeholder}, {"layer_1": placeholder}])
        computed = session.run(scores, {placeholder: probs[1]})
    np.testing.assert_allclose(computed, probs[1, :, :, 3, :].mean(1), atol=1e-6)


@pytest.mark.parametrize("layer_index", [L, -L - 1])
def test_a_layer_that_the_model_lacks_is_an_error(layers, layer_index):
    message = f"layer_index must be from -4 to 3 in a model of 4 layers, got {layer_index}"
    with pytest.raises(ValueError, match=message):
        attention.average_layer_i_on_token_j_by_head(layer_index, 0, layers)
    with pytest.raises(ValueError, match=message):
        attention.average_layer_i_on_token_j_by_head(layer_index, 0)(layers)


def test_the_first_and_last_layer_in_range_are_found(layers, probs):
    lowest = attention.average_layer_i_on_token_j_by_head(-L, 0, layers)
    highest = attention.average_layer_i_on_token_j_by_head(L - 1, 0, layers)
    np.testing.assert_allclose(lowest, probs[0, :, :, 0, :].mean(1), atol=1e-6)
    np.testing.assert_allclose(highest, probs[-1, :, :, 0, :].mean(1), atol=1e-6)


def test_all_layers_changes_nothing(layers):
    assert attention.all_layers(layers) is layers


def test_rollout_is_the_first_row_of_the_product_of_halved_layers(layers, probs):
    product = np.tile(np.eye(T), (B, 1, 1))
    for layer in probs:
        product = (0.5 * np.eye(T) + 0.5 * layer.mean(axis=1)) @ product
    found = attention.rollout(layers).numpy()
    np.testing.assert_allclose(found, product[:, 0], atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-6)


def test_rollout_of_no_and_of_even_attention_is_known():
    itself = [{f"layer_{i}": tf.eye(T, batch_shape=[B, H])} for i in range(L)]
    np.testing.assert_array_equal(attention.rollout(itself), [[1, 0, 0, 0, 0, 0, 0]] * B)
    even = [{f"layer_{i}": tf.fill([B, H, T, T], 1 / T)} for i in range(L)]
    expected = 2.0**-L * np.eye(T)[0] + (1 - 2.0**-L) / T
    np.testing.assert_allclose(attention.rollout(even), [expected] * B, rtol=1e-5)


def test_lat_follows_each_head_alone_and_sums_them(layers, probs):
    total = np.zeros((B, T))
    for head in range(H):
        row = np.tile(np.eye(T)[0], (B, 1))
        for layer in probs[::-1]:
            row = np.einsum("bq,bqk->bk", row, layer[:, head])
        total += row
    found = attention.lat(layers).numpy()
    np.testing.assert_allclose(found, total, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), H, atol=1e-5)


@pytest.mark.parametrize("processor", [attention.rollout, attention.lat])
def test_tracing_through_layers_leaves_padding_out(probs, processor):
    padded = probs.copy()
    padded[..., 5:] = 0.0
    padded /= padded.sum(axis=-1, keepdims=True)
    scores = processor([{f"layer_{i}": tf.constant(layer)} for i, layer in enumerate(padded)])
    np.testing.assert_array_equal(scores[:, 5:], 0.0)


def test_the_last_layer_matrix_is_the_mean_over_heads(layers, probs):
    matrix = attention.average_last_layer_matrix(layers)
    np.testing.assert_allclose(matrix, probs[-1].mean(1), atol=1e-6)


PAIRS = [
    ("bit", 0.03),
    ("##co", 0.06),
    ("##in", 0.09),
    ("and", 0.2),
    ("straw", 0.1),
    ("##berries", 0.3),
]


def test_pieces_become_words_with_their_mean():
    words = attention.merge_wordpiece_tokens(PAIRS)
    assert [word for word, _ in words] == ["bitcoin", "and", "strawberries"]
    assert [weight for _, weight in words] == pytest.approx([0.06, 0.2, 0.2], abs=1e-12)


def test_pieces_become_words_with_their_sum():
    words = attention.merge_wordpiece_tokens(PAIRS, combine="sum")
    assert [weight for _, weight in words] == pytest.approx([0.18, 0.2, 0.4], abs=1e-12)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], []),
        ([("##ed", 0.25)], [("ed", 0.25)]),
        ([("##ed", 0.25), ("##ly", 0.75), ("so", 0.5)], [("edly", 0.5), ("so", 0.5)]),
        ([("want", 0.25), ("##ed", 0.75)], [("wanted", 0.5)]),
        ([("[CLS]", 0.5), ("[SEP]", 0.5)], [("[CLS]", 0.5), ("[SEP]", 0.5)]),
        ([("a", 0.25), ("##", 0.5)], [("a", 0.25), ("##", 0.5)]),
        ([("a", 0.25), ("####", 0.75)], [("a##", 0.5)]),
        ([("a", 0.25), ("##b##c", 0.75)], [("ab##c", 0.5)]),
    ],
)
def test_odd_pieces_lose_only_their_leading_marks(pairs, expected):
    assert attention.merge_wordpiece_tokens(pairs) == expected


@hypothesis.given(
    strategies.lists(strategies.tuples(strategies.sampled_from(["a", "##b", "##"]), weights_0_to_1))
)
def test_sums_keep_the_total(pairs):
    merged = attention.merge_wordpiece_tokens(pairs, combine="sum")
    assert sum(w for _, w in merged) == pytest.approx(sum(w for _, w in pairs), abs=1e-9)


def test_sums_of_numpy_float32_keep_the_total_in_float64():
    # 1e-9 is beyond float32: adding 0.1 ten thousand times there is off by more than 0.1.
    pairs = [("a", np.float32(0.1)), *[("##a", np.float32(0.1))] * 9999]
    ((_, total),) = attention.merge_wordpiece_tokens(pairs, combine="sum")
    assert type(total) is float
    assert total == pytest.approx(float(np.float32(0.1)) * 10_000, abs=1e-9)


def test_an_unknown_way_to_combine_is_an_error():
    with pytest.raises(ValueError, match="combine must be 'mean' or 'sum', got 'max'"):
        attention.merge_wordpiece_tokens(PAIRS, combine="max")


def test_ignored_tokens_weigh_nothing_and_the_rest_stay():
    pairs = [("[CLS]", 0.5), ("good", 0.3), ("the", 0.1), ("the", 0.1)]
    ignored = attention.ignore_token_weights(pairs, ["[CLS]", "the"])
    assert ignored == [("[CLS]", 0.0), ("good", 0.3), ("the", 0.0), ("the", 0.0)]
    assert pairs[0] == ("[CLS]", 0.5)


def test_renormalized_weights_sum_to_1_in_their_old_proportions():
    pairs = [("[CLS]", 0.5), ("good", 0.3), ("film", 0.1)]
    weights = [
        weight for _, weight in attention.ignore_token_weights(pairs, {"[CLS]"}, renormalize=True)
    ]
    assert weights == pytest.approx([0.0, 0.75, 0.25], abs=1e-12)


def test_renormalizing_zeros_gives_zeros():
    pairs = [("[CLS]", 0.5), ("film", 0.0)]
    ignored = attention.ignore_token_weights(pairs, {"[CLS]"}, renormalize=True)
    assert ignored == [("[CLS]", 0.0), ("film", 0.0)]


def test_viz_gives_a_string_that_says_what_was_predicted():
    fragment = viz(["good", "film"], [0.25, 0.75])
    assert isinstance(fragment, str)
    text = " ".join("".join(ElementTree.fromstring(fragment).itertext()).split())
    assert text == (
        "test-1Target label: positivePredicted label: negativeProbabilities: [0.1000, 0.9000]"
        "good film"
    )


def test_viz_has_one_span_a_token_and_gives_every_token_back():
    weights = [0.5] * len(HOSTILE)
    assert [span.text for span in spans(viz(HOSTILE, weights))] == HOSTILE


def test_viz_escapes_labels_and_ids():
    fragment = attention.viz_attention(["a"], [1.0], "<i>", "<u>", [1.0], "<script>")
    root = ElementTree.fromstring(fragment)
    assert root.find("h3").text == "<script>"
    assert "<script" not in fragment
    assert "Target label: <i>" in html.unescape(fragment)
    assert {element.tag for element in root.iter()} == {"div", "h3", "p", "br", "span"}


def test_alpha_is_the_weight():
    weights = [0.0, 1e-07, 0.1, 1 / 3, 1.0]
    assert alphas(viz(list("abcde"), weights)) == weights


def test_relative_alphas_keep_proportions_and_reach_exactly_1():
    assert alphas(viz(list("abc"), [0.1, 0.3, 0.15], viz_relative=True)) == pytest.approx(
        [1 / 3, 1.0, 0.5], abs=1e-12
    )
    assert max(alphas(viz(list("abc"), [0.1, 0.3, 0.15], viz_relative=True))) == 1.0


@pytest.mark.parametrize("viz_relative", [False, True])
def test_zero_weights_stay_zero(viz_relative):
    fragment = viz(["a", "b"], [0.0, 0.0], viz_relative=viz_relative)
    assert alphas(fragment) == [0.0, 0.0]
    assert "nan" not in fragment


@hypothesis.given(
    strategies.lists(
        strategies.floats(-3, 3, allow_subnormal=True) | strategies.just(5e-324), min_size=1
    ),
    strategies.booleans(),
)
def test_colours_are_valid_whatever_the_weights(weights, viz_relative):
    fragment = viz(["x"] * len(weights), weights, viz_relative=viz_relative)
    for span in spans(fragment):
        *channels, alpha = re.fullmatch(OPAQUE, span.attrib["style"]).groups()
        assert all(0 <= int(channel) <= 255 for channel in channels)
        assert 0.0 <= float(alpha) <= 1.0


def test_negative_weights_stay_uncoloured_when_relative():
    assert alphas(viz(["a", "b"], [-1.0, -2.0], viz_relative=True)) == [0.0, 0.0]


@pytest.mark.parametrize("classes", [1, 2, 3, 5])
def test_viz_shows_any_number_of_classes(classes):
    fragment = viz(["a"], [1.0], probabilities=np.full(classes, 1 / classes, np.float32))
    shown = re.search(r"Probabilities: \[(.*)\]", fragment)[1].split(", ")
    assert shown == [f"{1 / classes:.4f}"] * classes


def test_viz_takes_a_number_as_id_and_labels():
    fragment = attention.viz_attention(["a"], [1.0], 1, 0, [0.6, 0.4], 17)
    assert ElementTree.fromstring(fragment).find("h3").text == "17"
    assert "Target label: 1<br/>Predicted label: 0<br/>" in fragment


def test_special_tokens_can_be_left_out_of_the_scale():
    tokens, weights = ["[CLS]", "good", "film", "[SEP]", "[PAD]"], [0.5, 0.1, 0.05, 0.3, 0.9]
    scaled = functools.partial(viz, tokens, weights, viz_relative=True)
    assert alphas(scaled(ignore_special=True)) == [0.0, 1.0, 0.5, 0.0, 0.0]
    assert alphas(scaled())[4] == 1.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_viz_takes_numpy_weights_and_leaves_padding_out(dtype):
    weights = np.array([0.25, 0.5, 0.125, 0.125], dtype)
    assert alphas(viz(["a", "b"], weights)) == [0.25, 0.5]


def test_too_few_weights_are_an_error():
    with pytest.raises(ValueError, match="one weight a token, got 1 for 2 tokens"):
        viz(["a", "b"], [0.5])


@pytest.mark.parametrize("viz_relative", [False, True])
def test_a_nan_weight_is_an_error(viz_relative):
    with pytest.raises(ValueError, match="got nan"):
        viz(["a", "b"], [0.5, float("nan")], viz_relative=viz_relative)


def test_viz_of_no_tokens_has_no_spans():
    assert spans(viz([], [], viz_relative=True)) == []

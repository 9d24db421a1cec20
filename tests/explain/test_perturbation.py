import numpy as np
import pytest
import tensorflow as tf

from bert import classifier
from bert import features
from tests.explain import tiny_model

# what each text's ids become without the token at a place, and its mask
WITHOUT = {
    ("mask", 0, 1): ([2, 4, 6, 7, 3], [1, 1, 1, 1, 1]),
    ("pad", 0, 3): ([2, 5, 6, 0, 3], [1, 1, 1, 0, 1]),
    ("delete", 0, 2): ([2, 5, 7, 3], [1, 1, 1, 1]),
    ("delete", 1, 5): ([2, 9, 8, 3, 4, 3], [1, 1, 1, 1, 1, 1]),
    ("mask", 1, 2): ([2, 9, 4, 3, 4, 11, 3], [1, 1, 1, 1, 1, 1, 1]),
}


@pytest.fixture(scope="module")
def config():
    return tiny_model.config()


@pytest.fixture(scope="module")
def weights(config):
    return tiny_model.variables(config)


def logit(weights, config, ids, mask, segments, target):
    arrays = (np.array([values], np.int32) for values in (ids, mask, segments))
    batch = features.Features(*map(tf.constant, arrays))
    return classifier.forward(weights, config, batch).logits.numpy()[0, target]


@pytest.mark.parametrize("at_once", [1, 50])
@pytest.mark.parametrize(("replacement", "row", "place"), list(WITHOUT))
def test_the_score_falls_by_what_a_text_without_the_token_lacks(
    config, weights, replacement, row, place, at_once
):
    length = int(tiny_model.MASK[row].sum())
    segments = list(tiny_model.SEGMENTS[row][:length])
    target = tiny_model.TARGET[row]
    whole = logit(weights, config, tiny_model.IDS[row][:length], [1] * length, segments, target)
    if replacement == "delete":
        del segments[place]
    without = logit(weights, config, *WITHOUT[replacement, row, place], segments, target)
    found = tiny_model.ask(
        "occlusion", weights, config, replacement=replacement, tokens_at_once=at_once
    ).token_scores
    np.testing.assert_allclose(found[row, place], whole - without, rtol=1e-9)


@pytest.mark.parametrize("replacement", ["mask", "pad", "delete"])
def test_special_tokens_and_padding_get_nothing_and_padding_changes_nothing(
    config, weights, replacement
):
    found = tiny_model.ask("occlusion", weights, config, replacement=replacement).token_scores
    np.testing.assert_array_equal(found[np.isin(tiny_model.IDS, (0, 2, 3))], 0.0)
    wider = [np.pad(x, ((0, 0), (0, 4))) for x in tiny_model.batch()[:3]]
    again = tiny_model.ask(
        "occlusion", weights, config, inputs=tiny_model.batch(*wider), replacement=replacement
    ).token_scores
    np.testing.assert_allclose(again[:, :7], found, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(again[:, 7:], 0.0)


def test_random_scores_are_a_function_of_seed_and_text_alone(config, weights):
    found, same, other = (
        tiny_model.ask("random", weights, config, seed=seed).token_scores for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(found, same)
    assert np.abs(found - other)[tiny_model.MASK > 0].min() > 0
    assert np.abs(found[0] - found[1])[:5].min() > 0  # two texts, two rankings
    np.testing.assert_array_equal(found[0, 5:], 0.0)
    wider = [np.pad(x, ((0, 0), (0, 4)))[::-1] for x in tiny_model.batch()[:3]]
    again = tiny_model.ask("random", weights, config, inputs=tiny_model.batch(*wider), seed=3)
    np.testing.assert_array_equal(again.token_scores[::-1, :7], found)


def test_the_same_words_in_another_order_are_another_text(config, weights):
    ids = np.array([[2, 5, 6, 7, 3], [2, 7, 5, 6, 3]], np.int32)
    inputs = tiny_model.batch(ids, np.ones_like(ids), np.zeros_like(ids))
    first, second = tiny_model.ask("random", weights, config, inputs=inputs).token_scores
    assert np.abs(first - second).min() > 0


def test_random_scores_are_spread_evenly(config, weights):
    rng = np.random.default_rng(0)
    ids = rng.integers(5, 30, (200, 16)).astype(np.int32)
    inputs = tiny_model.batch(ids, np.ones_like(ids), np.zeros_like(ids))
    zeros = np.zeros(200, np.int32)
    found = tiny_model.ask(
        "random", weights, config, inputs=inputs, target=zeros, contrast=zeros - 1
    ).token_scores
    counts, _ = np.histogram(found, bins=10, range=(0, 1))
    assert counts.sum() == 3200
    assert abs(counts - 320).max() < 5 * np.sqrt(320)  # five standard deviations
    assert abs(np.corrcoef(found[:, 0], found[:, 1])[0, 1]) < 0.3

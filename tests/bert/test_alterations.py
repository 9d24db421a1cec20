"""Weights changed on purpose."""

import numpy as np
import pytest

from bert import alterations
from bert import classifier
from bert import config as config_lib

CONFIG = config_lib.BertConfig(
    30,
    hidden_size=12,
    num_hidden_layers=3,
    num_attention_heads=3,
    intermediate_size=20,
    max_position_embeddings=16,
    type_vocab_size=2,
)


@pytest.fixture
def values():
    rng = np.random.default_rng(0)
    shapes = classifier.variable_shapes(CONFIG, 5)
    return {name: rng.normal(3, 1, shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("layers", "embeddings", "kept"),
    [
        (0, False, ["bert/embeddings", *(f"bert/encoder/layer_{index}/" for index in (0, 1, 2))]),
        (2, False, ["bert/embeddings", "bert/encoder/layer_0/"]),
        (3, False, ["bert/embeddings"]),
        (3, True, ["nothing"]),
    ],
)
def test_layers_are_drawn_anew_from_the_top(values, layers, embeddings, kept):
    found = alterations.randomised(layers, seed=7, embeddings=embeddings)(values, CONFIG)
    assert found.keys() == values.keys()
    for name, value in found.items():
        is_kept = name.startswith(tuple(kept))
        assert np.array_equal(value, values[name]) == is_kept, name
        assert value.dtype == np.float32
        assert value.shape == values[name].shape


def test_what_is_drawn_has_the_spread_of_a_fresh_model_and_follows_the_seed(values):
    name = "bert/encoder/layer_2/intermediate/dense/kernel"
    drawn = alterations.randomised(1, seed=7)(values, CONFIG)
    assert np.abs(drawn[name]).max() <= 2 * CONFIG.initializer_range
    assert 0.6 < drawn[name].std() / CONFIG.initializer_range < 1.0  # cut at two deviations
    assert (drawn["bert/encoder/layer_2/output/LayerNorm/gamma"] == 1).all()
    assert (drawn["output_bias"] == 0).all()
    again, other = (alterations.randomised(1, seed=seed)(values, CONFIG) for seed in (7, 8))
    np.testing.assert_array_equal(again[name], drawn[name])
    assert (other[name] != drawn[name]).any()
    twin = "bert/encoder/layer_2/attention/self/query/kernel"
    assert (drawn[twin] != drawn[twin.replace("query", "key")]).any()


def test_a_head_cut_out_loses_its_rows_of_the_output_and_nothing_else(values):
    found = alterations.without_heads([(1, 0), (1, 2)])(values, CONFIG)
    name = "bert/encoder/layer_1/attention/output/dense/kernel"
    expected = values[name].copy()
    expected[:4] = expected[8:] = 0
    np.testing.assert_array_equal(found[name], expected)
    assert (values[name] != 0).all()
    assert all(found[other] is values[other] for other in values if other != name)


@pytest.mark.parametrize("head", [(3, 0), (0, 3), (0, -1), (-1, 0)])
def test_a_head_that_the_model_lacks_is_refused(values, head):
    with pytest.raises(ValueError, match=r"must be \(layer, head\) below \(3, 3\), got"):
        alterations.without_heads([head])(values, CONFIG)


@pytest.mark.parametrize("layers", [-1, 4])
def test_more_layers_than_there_are_are_refused(values, layers):
    with pytest.raises(ValueError, match=rf"from 0 to 3, the model's; got {layers}"):
        alterations.randomised(layers, seed=0)(values, CONFIG)

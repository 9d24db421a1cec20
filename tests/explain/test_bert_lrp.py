"""Our numbers beside those of BERT-LRP's own code.

`goldens/bert_lrp_85b30a7.npz` holds what frankaging/BERT-LRP computes at commit 85b30a7 (PyTorch 2.13, float32) for a
random BERT of 12 layers and 12 heads and three texts without padding; the explained class is the last of three.
"""

import numpy as np
import pytest
import tensorflow as tf

from bert import classifier
from bert import config as config_lib
from bert import features
from bert import hugging_face
from explain import attention
from explain import attribution
from explain import relevance
from tests import reference_bert

GOLDEN = np.load(reference_bert.GOLDENS / "bert_lrp_85b30a7.npz")
CONFIG = config_lib.BertConfig(
    60,
    hidden_size=48,
    num_hidden_layers=12,
    num_attention_heads=12,
    intermediate_size=96,
    max_position_embeddings=32,
    type_vocab_size=2,
)
WEIGHTS = hugging_face.from_tensors(
    {name[2:]: GOLDEN[name] for name in GOLDEN.files if name.startswith("w/")}
)


@tf.function(autograph=False, input_signature=[tf.TensorSpec([None, None], tf.int32)])
def explained(ids: tf.Tensor) -> dict[str, tf.Tensor]:
    weights = {name: tf.constant(value) for name, value in WEIGHTS.items()}
    batch = features.Features(ids, tf.ones_like(ids), tf.zeros_like(ids))
    outputs = classifier.forward(weights, CONFIG, batch, with_taps=True)
    score = outputs.logits[:, 2]
    gradients = attribution.gradients_of(outputs, score)
    lrp = relevance.bert_lrp_2021(outputs, score)
    return {
        "logits": outputs.logits,
        "attention": tf.stack(outputs.attention_probs),
        "gs": attribution.gradient_sensitivity_squared(outputs, gradients),
        "gi": attribution.gradient_x_input_squared(outputs, gradients),
        "lat": attention.lat(outputs.layer_dicts()),
        "lrp": lrp.token_scores,
        "lrp_per_dim": lrp.entered,
    }


@pytest.fixture(scope="module", params=["x0", "x1", "x2"])
def both(request) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Our values and theirs, by their names."""
    theirs = {
        name: GOLDEN[f"{request.param}/{name}"]
        for name in ("logits", "attention", "gs", "gi", "lat", "lrp", "lrp_per_dim")
    }
    ours = explained(tf.constant(GOLDEN[f"{request.param}/input_ids"], tf.int32))
    return {name: value.numpy() for name, value in ours.items()}, theirs


@pytest.mark.parametrize("name", ["logits", "attention"])
def test_the_forward_pass_is_bert_lrps(both, name):
    ours, theirs = both
    np.testing.assert_allclose(ours[name], theirs[name], atol=1e-5)


@pytest.mark.parametrize("name", ["gs", "gi", "lat"])
def test_sensitivity_gradient_x_input_and_lat_are_bert_lrps(both, name):
    ours, theirs = both
    np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4)


def test_layer_wise_relevance_is_bert_lrps_token_by_token_and_dimension_by_dimension(both):
    ours, theirs = both
    np.testing.assert_allclose(ours["lrp"], theirs["lrp"], rtol=2e-4)  # measured: 2e-5
    largest = np.abs(theirs["lrp_per_dim"]).max()
    np.testing.assert_allclose(ours["lrp_per_dim"], theirs["lrp_per_dim"], atol=2e-4 * largest)

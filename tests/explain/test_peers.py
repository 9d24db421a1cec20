"""Our numbers beside those of Captum and of LXT's explicit rules, token by token, in float64.

`goldens/make_attribution_goldens.py` says how theirs were made: a random BERT of three layers with every bias, and a
batch of a text, a padded text and a pair.
"""

import functools

import numpy as np
import pytest
import tensorflow as tf

from bert import classifier
from bert import config as config_lib
from bert import features
from bert import hugging_face
from explain import attribution
from explain import methods
from tests import reference_bert

GOLDEN = np.load(reference_bert.GOLDENS / "attribution_tiny_bert.npz")
CONFIG = config_lib.BertConfig(
    40,
    hidden_size=16,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=24,
    max_position_embeddings=12,
    type_vocab_size=2,
)
WEIGHTS = hugging_face.from_tensors(
    {
        name.removeprefix("weights/"): GOLDEN[name]
        for name in GOLDEN.files
        if name.startswith("weights/")
    }
)
INPUTS = [
    GOLDEN[f"inputs/{name}"].astype(np.int32)
    for name in ("input_ids", "attention_mask", "token_type_ids")
]
SPECIAL = features.SpecialIds(pad=0, cls=2, sep=3, mask=4)
# 200 nodes, as Captum took; then nothing is left to refine
OPTIONS = {"integrated_gradients": {"baseline": "pad", "steps": 200, "max_steps": 200}}
# of a token's score and of the batch's largest. Found: relevance 3e-13, for LXT's epsilon is 0 here; the others 4e-8 of
# the largest: TensorFlow's own GELU rounds sqrt(2) to float32, and Captum the weights of its nodes
TOLERANCE = {
    "gradient_x_input": 1e-6,
    "gradient_sensitivity": 1e-6,
    "integrated_gradients": 1e-6,
    "occlusion": 1e-6,
    "cp_lrp": 1e-9,
    "attn_lrp": 1e-9,
}
THEIR_NAME = {"gradient_sensitivity": "sensitivity"}


@functools.cache
def answer(name: str) -> dict[str, np.ndarray]:
    """What our method makes of the batch."""
    method = methods.METHODS[name]

    @tf.function(autograph=False)
    def run():
        batch = features.Features(*INPUTS, target=GOLDEN["target"].astype(np.int32)).map(
            tf.constant
        )
        weights = {name: tf.constant(value, tf.float64) for name, value in WEIGHTS.items()}
        outputs = classifier.forward(weights, CONFIG, batch, with_taps=method.needs_taps)
        targeted = attribution.with_targets(batch, outputs.logits)
        question = methods.Question(outputs, targeted, "logit", SPECIAL)
        (bound,) = methods.bind([name], {name: OPTIONS[name]} if name in OPTIONS else None)
        found = bound.answer(question)
        return {"scores": found.token_scores, "logits": outputs.logits, **found.checks}

    return {key: value.numpy() for key, value in run().items()}


@pytest.mark.parametrize("name", TOLERANCE)
def test_every_token_scores_as_with_captum_or_lxt(name):
    theirs = GOLDEN[THEIR_NAME.get(name, name)]
    ours = answer(name)
    np.testing.assert_allclose(ours["logits"], GOLDEN["logits"], rtol=1e-7)
    largest, near = np.abs(theirs).max(), TOLERANCE[name]
    np.testing.assert_allclose(ours["scores"], theirs, rtol=near, atol=near * largest)
    np.testing.assert_array_equal(ours["scores"][INPUTS[1] == 0], 0.0)
    assert largest > 0.1


def test_integrated_gradients_start_where_captums_do_and_are_as_complete():
    ours, gap = answer("integrated_gradients"), GOLDEN["integrated_gradients/gap"]
    scores = np.take_along_axis(GOLDEN["logits"], GOLDEN["target"][:, np.newaxis], axis=1)[:, 0]
    start = scores - (GOLDEN["integrated_gradients"].sum(axis=1) - gap)
    np.testing.assert_allclose(ours["baseline_score"], start, rtol=1e-6)
    np.testing.assert_allclose(ours["completeness_gap"], gap, atol=1e-8)


@pytest.mark.parametrize(("name", "measured"), [("cp_lrp", 5.0e-4), ("attn_lrp", 3.0e-3)])
def test_the_epsilon_that_lxt_adds_is_all_that_tells_its_scores_from_ours(name, measured):
    # it is added whatever the sign, 1e-6 or 1e-8, to denominators that may be small; of the largest score of a text
    ours, theirs = answer(name)["scores"], GOLDEN[f"{name}/lxt_epsilon"]
    moved = np.abs(theirs - ours).max(axis=1) / np.abs(ours).max(axis=1)
    assert moved.max() == pytest.approx(measured, rel=0.02)

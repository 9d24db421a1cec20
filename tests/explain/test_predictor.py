"""A classifier of rows of ids: the same answers as of the texts they came from, and what its heads count for."""

import numpy as np
import pytest
import tensorflow as tf

from bert import alterations
from bert import classifier
from explain import attribution
from explain import model
from tests.explain import explained
from tests.explain import tiny_model

TEXTS = explained.TEXTS
folder, explainer, records = explained.folder, explained.explainer, explained.records


@pytest.fixture(scope="module")
def predictor(folder):
    return model.load_predictor(folder)


def softmax(logits):
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def test_whole_texts_get_the_probabilities_that_the_explainer_gives_them(predictor, explainer):
    logits = predictor.logits([units.ids for units in predictor.units(TEXTS)])
    assert logits.dtype == np.float32
    np.testing.assert_allclose(softmax(logits), explainer.probabilities(TEXTS), atol=1e-6)


def test_units_name_the_word_of_each_token_in_the_order_of_the_records_words(predictor, records):
    of_texts = {record.guid: record for record in records}
    for units, record in zip(predictor.units(TEXTS), of_texts.values(), strict=True):
        assert len(units.word_of_token) == len(record.tokens)
        is_special = [token in ("[CLS]", "[SEP]") for token in record.tokens]
        assert [word == -1 for word in units.word_of_token] == is_special
        sums = np.zeros(len(record.words))
        for word, score in zip(units.word_of_token, record.token_scores, strict=True):
            if word >= 0:
                sums[word] += score
        np.testing.assert_allclose(sums, record.scores, rtol=1e-5, atol=1e-7)


def test_a_token_without_attention_is_as_good_as_not_there_but_for_the_places_after_it(predictor):
    (units,) = predictor.units(["dull"])
    ids = units.ids
    hidden = ids._replace(input_mask=(1, 0, 1))
    other = hidden._replace(input_ids=(ids.input_ids[0], 9, ids.input_ids[2]))
    whole, without, same = predictor.logits([ids, hidden, other])
    np.testing.assert_allclose(without, same, rtol=1e-5)
    assert not np.allclose(whole, without, rtol=1e-3)


def test_no_rows_have_no_logits(predictor):
    assert predictor.logits([]).shape == (0, 3)


def test_a_heads_importance_is_the_scores_derivative_by_a_factor_on_what_it_puts_out():
    config = tiny_model.config()
    weights = tiny_model.variables(config)
    batch = tiny_model.batch()._replace(
        target=tf.constant(tiny_model.TARGET), contrast=tf.constant([-1, -1])
    )

    @tf.function(autograph=False)
    def importance():
        outputs = classifier.forward(weights, config, batch)
        score = attribution.score("logit", outputs.logits, batch)
        return attribution.head_importance(outputs, attribution.gradients_of(outputs, score))

    def score_with(layer, head, factor):
        name = f"bert/encoder/layer_{layer}/attention/output/dense/kernel"
        rows = np.ones((12, 1))
        rows[head * 4 : (head + 1) * 4] = factor
        changed = weights | {name: weights[name] * rows}
        logits = classifier.forward(changed, config, batch).logits
        return attribution.score("logit", logits, batch).numpy()

    found, step = importance().numpy(), 1e-5
    assert found.shape == (2, 2, 3)
    for layer in range(2):
        for head in range(3):
            ends = [score_with(layer, head, 1 + sign * step) for sign in (1, -1)]
            np.testing.assert_allclose(
                found[:, layer, head], (ends[0] - ends[1]) / (2 * step), rtol=1e-6, atol=1e-9
            )


def test_the_importance_of_heads_comes_row_by_row_for_the_class_asked(predictor):
    rows = [units.ids for units in predictor.units(TEXTS)]
    found = predictor.head_importance(rows, [0, 1, 2, 0])
    assert found.shape == (4, 2, 3)
    (alone,) = predictor.head_importance(rows[2:3], [2])
    np.testing.assert_allclose(found[2], alone, rtol=1e-4, atol=1e-6)
    (other,) = predictor.head_importance(rows[2:3], [1])
    assert not np.allclose(alone, other)


def test_cutting_all_heads_of_a_layer_out_changes_the_answer_and_randomising_too(folder, predictor):
    rows = [units.ids for units in predictor.units(TEXTS)]
    plain = predictor.logits(rows)
    for alter in (
        alterations.without_heads([(0, head) for head in range(3)]),
        alterations.randomised(0, seed=1),
    ):
        altered = model.load_predictor(folder, alter=alter)
        assert altered.weights_sha256 != predictor.weights_sha256
        assert not np.allclose(altered.logits(rows), plain, rtol=1e-2)


def test_explanations_of_altered_weights_are_of_those_weights(folder):
    alter = alterations.randomised(2, seed=3)
    (record,) = model.load_explainer(folder, ["gradient_x_input"], alter=alter)(["dull"])
    expected = model.load_predictor(folder, alter=alter)
    assert record.settings["weights_sha256"] == expected.weights_sha256
    units = expected.units(["dull"])
    np.testing.assert_allclose(
        softmax(expected.logits([units[0].ids]))[0], record.probabilities, atol=1e-6
    )


def test_what_a_head_is_worth_by_its_absence_is_the_fall_of_the_logit_without_it(folder, predictor):
    rows = [units.ids for units in predictor.units(TEXTS)]
    targets = [0, 1, 2, 0]
    found = model.head_ablation(folder, rows, targets)
    assert found.shape == (4, 2, 3)
    without = model.load_predictor(folder, alter=alterations.without_heads([(1, 2)]))
    falls = predictor.logits(rows) - without.logits(rows)
    np.testing.assert_allclose(
        found[:, 1, 2], [row[target] for row, target in zip(falls, targets, strict=True)], atol=1e-6
    )

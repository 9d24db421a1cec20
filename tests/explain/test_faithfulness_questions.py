"""Each distinct question is asked once, each text gets its own answers, and what cannot be measured is refused."""

import numpy as np
import pytest
from scipy import special

from explain import faithfulness
from explain import removal
from tests.explain import planted_words

P = planted_words.P
Model = planted_words.Model
units_of = planted_words.units_of
case_of = planted_words.case_of
planted = planted_words.planted
sigmoid = planted_words.sigmoid


def test_each_distinct_text_removal_and_set_is_asked_once_in_one_call():
    model = Model(np.random.default_rng(2).normal(size=(40, 3)))
    texts = [units_of(range(4, 16)), units_of(range(16, 37)), units_of([38])]
    cases = [
        case_of(
            model,
            units,
            {
                name: np.random.default_rng(seed).random(units.word_count)
                for seed, name in enumerate("abc")
            },
            gold=None,
        )
        for units in texts
    ]
    cases[0] = cases[0]._replace(gold=int(np.argmax(cases[0].logits)))
    seen = set()

    def watched(protocol):
        def sets(case, scores, key):
            removed = protocol.sets(case, scores, key)
            seen.update((case.units.ids, protocol.removal, words) for words in removed if words)
            return removed

        return protocol._replace(sets=sets)

    protocols = [watched(protocol) for protocol in P.values()]
    faithfulness.measure(cases, protocols, model, draws=3)
    (rows,) = model.asked
    assert len(rows) == len(seen)
    expected = {
        removal.without(next(u for u in texts if u.ids == ids), words, kind)
        for ids, kind, words in seen
    }
    assert set(rows) == expected
    assert not any(units.ids in rows for units in texts)


def test_methods_that_agree_cost_nothing_more():
    model, units = planted(np.linspace(1, 2, 12))
    one = case_of(model, units, {"a": np.arange(12)})
    two = case_of(model, units, {"a": np.arange(12), "b": np.arange(12) * 2})
    for case in (one, two):
        faithfulness.measure([case], list(P.values()), model, draws=0)
    assert model.asked[0] == model.asked[1]


def test_each_text_gets_its_own_answers():
    rng = np.random.default_rng(4)
    model = Model(rng.normal(size=(30, 2)))
    texts = [units_of(range(4, 15)), units_of(range(9, 29)), units_of([])]
    cases = [case_of(model, text, {"a": rng.random(text.word_count)}) for text in texts]
    together = faithfulness.measure(cases, list(P.values()), model, draws=2)
    apart = [faithfulness.measure([case], list(P.values()), model, draws=2)[0] for case in cases]
    assert str(together) == str(apart)


def test_the_probability_is_that_of_the_target():
    weights = np.zeros((9, 3))
    weights[4:9] = np.random.default_rng(1).normal(size=(5, 3))
    model = Model(weights)
    case = case_of(model, units_of(range(4, 9)), {"a": [5, 4, 3, 2, 1]}, target=2)
    (found,) = faithfulness.measure([case], [P["deletion"]], model, draws=0)
    left = [
        special.softmax(weights[4 + gone :].sum(0))[2] for gone in (0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5)
    ]
    np.testing.assert_allclose(found.methods["a"]["deletion"]["curve"], left, rtol=1e-12)


# What may come.


def test_a_text_without_words_has_no_metrics_and_asks_nothing():
    model = Model(np.zeros((4, 2)))
    case = case_of(model, units_of([]), {"a": np.zeros(0)})
    (found,) = faithfulness.measure([case], list(P.values()), model)
    assert found.methods == {"a": {name: {} for name in P}}
    assert found.floor == {name: {} for name in P}
    assert model.asked == []
    assert faithfulness.measure([], list(P.values()), model) == []


def test_a_text_of_one_word_is_measured():
    model, units = planted([2.0])
    (found,) = faithfulness.measure([case_of(model, units, {"a": [1.0]})], list(P.values()), model)
    assert found.methods["a"]["deletion"]["auc"] == pytest.approx(
        (sigmoid(2) / 2 + 9 * 0.5 + 0.25) / 10
    )
    assert np.isnan(found.methods["a"]["leave_one_out"]["tau_b"])
    assert np.isnan(found.floor["faithfulness_correlation"]["pearson"])
    assert found.methods["a"]["word_deletion"] == {}


@pytest.mark.parametrize(
    "scores", [[1.0, np.nan, 0.0], [1.0, np.inf, 0.0], [1.0, 2.0], [[1.0] * 3]]
)
def test_scores_must_be_finite_numbers_one_a_word(scores):
    model, units = planted([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"scores of 'a' must be finite numbers, one a word \(3\)"):
        faithfulness.measure([case_of(model, units, {"a": scores})], [P["decompx"]], model)


def test_protocols_need_names_of_their_own():
    model, units = planted([1.0, 2.0, 3.0])
    pair = [P["deletion"], P["deletion"]._replace(removal="mask")]
    case = case_of(model, units, {"a": [3, 2, 1]})
    with pytest.raises(ValueError, match=r"names of their own, got deletion, deletion"):
        faithfulness.measure([case], pair, model)
    pair[1] = pair[1]._replace(name="deletion_by_mask")
    (found,) = faithfulness.measure([case], pair, model)
    assert found.floor.keys() == found.methods["a"].keys() == {"deletion", "deletion_by_mask"}


def test_a_model_must_answer_for_every_text():
    model, units = planted([1.0, 2.0, 3.0])
    case = case_of(model, units, {"a": [3, 2, 1]})
    with pytest.raises(ValueError, match=r"predict must give one row a text, got 0 for 3"):
        faithfulness.measure([case], [P["deletion"]], lambda _: np.zeros((0, 2)), draws=0)

"""Faithfulness on models whose truth is known: sums of word weights, and answers written down by hand."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from scipy import stats
from sklearn import metrics

from explain import faithfulness
from tests.explain import planted_words

CLS = planted_words.CLS
SEP = planted_words.SEP
PAD = planted_words.PAD
MASK = planted_words.MASK
FIRST_WORD = planted_words.FIRST_WORD
P = planted_words.P
Model = planted_words.Model
units_of = planted_words.units_of
case_of = planted_words.case_of
planted = planted_words.planted
measure_one = planted_words.measure_one
sigmoid = planted_words.sigmoid


WEIGHTS = [0.5, -1.0, 2.0, 0.25, 1.0]  # sum 2.75; by rank: words 2, 4, 0, 3, 1


def test_comprehensiveness_and_both_forms_of_its_aopc_by_hand():
    model, units = planted(WEIGHTS)
    found = measure_one(model, units, WEIGHTS, "eraser_comprehensiveness")
    # 1, 5, 10 and 20 % of 5 words, rounded up, are 1 word; 50 % are 3
    one, three = sigmoid(2.75) - sigmoid(0.75), sigmoid(2.75) - sigmoid(-0.75)
    bins = {"at_1": one, "at_5": one, "at_10": one, "at_20": one, "at_50": three}
    total = 4 * one + three
    assert found == pytest.approx(bins | {"aopc": total / 5, "aopc_paper": total / 6})


def test_sufficiency_by_hand():
    model, units = planted(WEIGHTS)
    found = measure_one(model, units, WEIGHTS, "eraser_sufficiency")
    one, three = sigmoid(2.75) - sigmoid(2.0), sigmoid(2.75) - sigmoid(3.5)
    assert found["at_20"] == pytest.approx(one)
    assert found["at_50"] == pytest.approx(three)  # better than the full text: below 0
    assert found["aopc"] == pytest.approx((4 * one + three) / 5)
    assert found["aopc_paper"] == pytest.approx(found["aopc"] * 5 / 6)


def test_decompx_aopc_and_accuracy_by_hand():
    model, units = planted(WEIGHTS)
    found = measure_one(model, units, WEIGHTS, "decompx")
    # 10 20 | 30 40 | 50 60 | 70 80 | 90 % of 5 words, rounded up: 1 1 2 2 3 3 4 4 5
    left = np.array([0.75, 0.75, -0.25, -0.25, -0.75, -0.75, -1.0, -1.0, 0.0])
    assert found["aopc"] == pytest.approx(np.mean(sigmoid(2.75) - sigmoid(left)))
    # ties of logits (nothing left) go to the first class
    assert found["accuracy"] == pytest.approx(3 / 9)
    assert measure_one(model, units, WEIGHTS, "decompx", gold=1)["accuracy"] == pytest.approx(6 / 9)


def test_metrics_that_need_the_true_class_are_absent_without_it():
    model, units = planted([0.5] * 12)
    assert measure_one(model, units, [0.5] * 12, "decompx", gold=None).keys() == {"aopc"}
    assert measure_one(model, units, [0.5] * 12, "word_deletion", gold=None) == {}


def test_deletion_and_insertion_curves_and_their_areas():
    weights = np.linspace(1.0, -0.8, 10)
    model, units = planted(weights)
    deletion = measure_one(model, units, weights, "deletion")
    left = sigmoid(np.sum(weights) - np.concatenate([[0], np.cumsum(weights)]))
    np.testing.assert_allclose(deletion["curve"], left, rtol=1e-6)
    assert deletion["auc"] == pytest.approx(metrics.auc(np.linspace(0, 1, 11), left))
    insertion = measure_one(model, units, weights, "insertion")
    kept = sigmoid(np.concatenate([[0], np.cumsum(weights)]))
    np.testing.assert_allclose(insertion["curve"], kept, rtol=1e-6)
    assert insertion["auc"] == pytest.approx(metrics.auc(np.linspace(0, 1, 11), kept))


def test_word_deletion_keeps_the_answer_until_enough_words_are_gone():
    weights = [1.0] * 6 + [-0.5] * 5
    model, units = planted(weights)
    found = measure_one(model, units, weights, "word_deletion")
    # 3.5, 2.5, 1.5, 0.5, and below 0 from 4 words on
    assert found == {"kept": [1.0] * 4 + [0.0] * 7, "mean": pytest.approx(0.3)}
    least_first = measure_one(model, units, np.negative(weights), "word_deletion")
    assert least_first == {"kept": [1.0] * 11, "mean": 1.0}


@hypothesis.given(
    strategies.lists(strategies.integers(-8, 8), min_size=1, max_size=14),
    strategies.sampled_from([0, 1]),
    strategies.sampled_from([0, 1]),
)
@hypothesis.settings(max_examples=60, deadline=None)
def test_word_deletion_at_k_0_is_1_on_the_initially_correct_texts_of_10_words_which_alone_count(
    weights, gold, explained
):
    model, units = planted(weights)
    found = measure_one(model, units, weights, "word_deletion", gold=gold, target=explained)
    counts = len(weights) >= 10 and int(sum(weights) < 0) == gold == explained
    assert bool(found) == counts
    if counts:
        assert found["kept"][0] == 1.0
        assert len(found["kept"]) == 11
        assert found["mean"] == pytest.approx(np.mean(found["kept"][1:]))
    else:
        assert model.asked == []


def test_word_deletion_puts_a_pad_that_the_model_still_reads_and_drops_no_special_token():
    model, units = planted([float(weight) for weight in range(1, 13)])
    measure_one(model, units, np.arange(12), "word_deletion")
    (rows,) = model.asked
    top_three = next(row for row in rows if row.input_ids.count(PAD) == 3)
    assert top_three.input_ids == (CLS, *range(FIRST_WORD, FIRST_WORD + 9), PAD, PAD, PAD, SEP)
    assert top_three.input_mask == (1,) * 14
    assert len(rows) == 10


@pytest.mark.parametrize(
    ("name", "removed"),
    [
        ("eraser_comprehensiveness", "delete"),
        ("eraser_sufficiency", "delete"),
        ("decompx", "mask"),
        ("deletion", "delete"),
        ("insertion", "delete"),
        ("word_deletion", "pad_attended"),
        ("leave_one_out", "mask"),
        ("infidelity", "mask"),
        ("faithfulness_correlation", "mask"),
    ],
)
def test_every_protocol_states_its_removal_and_no_other_happens(name, removed):
    assert P[name].removal == removed
    assert len(P) == 9
    model, units = planted(np.linspace(1, 2, 12))
    for kind in ("delete", "mask", "pad", "pad_attended"):
        protocol = P[name]._replace(removal=kind)
        case = case_of(model, units, {"a": np.arange(12)})
        faithfulness.measure([case], [protocol], model, draws=1)
        rows = model.asked.pop()
        lengths = {len(row.input_ids) for row in rows}
        stand_ins = {token for row in rows for token in row.input_ids} & {PAD, MASK}
        unread = any(0 in row.input_mask for row in rows)
        assert (lengths == {14}) == (kind != "delete")
        assert stand_ins == {"delete": set(), "mask": {MASK}}.get(kind, {PAD})
        assert unread == (kind == "pad")


@hypothesis.given(
    strategies.lists(strategies.integers(0, 3), min_size=1, max_size=13), strategies.integers(0, 99)
)
@hypothesis.settings(max_examples=40, deadline=None)
def test_no_protocol_ever_removes_a_special_token(word_sizes, seed):
    words = [word for word, size in enumerate(word_sizes) for _ in range(size + 1)]
    units = units_of(range(FIRST_WORD, FIRST_WORD + len(words)), words)
    model = Model(np.random.default_rng(seed).normal(size=(FIRST_WORD + len(words), 2)))
    scores = np.random.default_rng(seed + 1).normal(size=len(word_sizes))
    gold = int(np.argmax(model.weights[list(units.ids.input_ids)].sum(0)))
    faithfulness.measure(
        [case_of(model, units, {"a": scores}, gold)], list(P.values()), model, draws=2
    )
    (rows,) = model.asked
    for row in rows:
        assert row.input_ids[0] == CLS
        assert row.input_ids[-1] == SEP
        assert row.input_mask[0] == row.input_mask[-1] == 1


def test_a_word_goes_with_all_its_pieces():
    model = Model(np.zeros((9, 2)))
    units = units_of([4, 5, 6, 7, 8], [0, 1, 1, 2, 2])
    faithfulness.measure([case_of(model, units, {"a": [0, 2, 1]})], [P["decompx"]], model, draws=0)
    (rows,) = model.asked
    assert {row.input_ids[1:-1] for row in rows} == {
        (4, MASK, MASK, 7, 8),
        (4, MASK, MASK, MASK, MASK),
        (MASK,) * 5,
    }


def test_leave_one_out_agrees_with_scipy_and_knows_constant_scores():
    weights = np.random.default_rng(5).normal(size=9)
    model, units = planted(weights)
    scores = np.round(np.random.default_rng(6).normal(size=9), 1)
    drops = [sigmoid(weights.sum()) - sigmoid(weights.sum() - weight) for weight in weights]
    found = measure_one(model, units, scores, "leave_one_out")
    assert found["tau_b"] == pytest.approx(stats.kendalltau(scores, drops).statistic)
    assert measure_one(model, units, weights, "leave_one_out")["tau_b"] == pytest.approx(1)
    assert np.isnan(measure_one(model, units, np.ones(9), "leave_one_out")["tau_b"])
    flat, units = planted([0.0] * 9)
    assert np.isnan(measure_one(flat, units, scores, "leave_one_out")["tau_b"])


def test_infidelity_is_0_and_the_correlation_1_for_a_complete_method_of_a_linear_model():
    weights = np.random.default_rng(7).normal(size=11)
    model, units = planted(weights)
    found = measure_one(model, units, weights, "infidelity")
    assert found["infidelity"] == pytest.approx(0, abs=1e-12)
    assert found["infidelity_scaled"] == pytest.approx(0, abs=1e-12)
    correlation = measure_one(model, units, weights, "faithfulness_correlation")
    assert correlation["pearson"] == pytest.approx(1)


def test_infidelity_and_its_scaled_form_by_hand():
    model, units = planted([1.0, 3.0, 0.0])  # logit of the full text: 4
    case = case_of(model, units, {})
    removed = [frozenset([0]), frozenset([1]), frozenset([0, 1])]
    logits = np.array([[3.0, 9.0], [1.0, 9.0], [1.0, 9.0]])  # falls of 1, 3 and 3
    score = P["infidelity"].score
    exact = score(faithfulness.Answers(case, np.array([1.0, 3.0, 7.0]), removed, logits))
    assert exact["infidelity"] == pytest.approx(1 / 3)  # errors 0, 0 and 1
    # best factor (1 + 9 + 12) / (1 + 9 + 16) = 11 / 13
    errors = np.array([1, 3, 4]) * 11 / 13 - [1, 3, 3]
    assert exact["infidelity_scaled"] == pytest.approx(np.mean(errors**2))
    tenfold = score(faithfulness.Answers(case, np.array([10.0, 30.0, 0.0]), removed, logits))
    assert tenfold["infidelity"] == pytest.approx((81 + 27**2 + 37**2) / 3)
    assert tenfold["infidelity_scaled"] == pytest.approx(exact["infidelity_scaled"])
    nothing = score(faithfulness.Answers(case, np.zeros(3), removed, logits))
    assert nothing == pytest.approx({"infidelity": 19 / 3, "infidelity_scaled": 19 / 3})


def test_the_correlation_is_scipys_of_score_sums_and_falls_of_the_targets_logit():
    rng = np.random.default_rng(9)
    model, units = Model(rng.normal(size=(17, 3))), units_of(range(4, 17))
    case = case_of(model, units, {}, target=2)
    scores, logits = rng.normal(size=13), rng.normal(size=(7, 3))
    removed = [frozenset(rng.choice(13, 3, replace=False).tolist()) for _ in logits]
    found = P["faithfulness_correlation"].score(faithfulness.Answers(case, scores, removed, logits))
    sums = [sum(scores[word] for word in words) for words in removed]
    expected = stats.pearsonr(sums, case.logits[2] - logits[:, 2]).statistic
    assert found == {"pearson": pytest.approx(expected)}


def test_subsets_are_50_of_a_fifth_of_the_words_drawn_by_the_key():
    model, units = planted(np.zeros(13))
    case = case_of(model, units, {})
    sets = P["infidelity"].sets
    drawn = sets(case, np.zeros(13), (0, 1))
    assert len(drawn) == 50
    assert {len(words) for words in drawn} == {3}
    assert len(set(drawn)) > 25
    assert drawn == sets(case, np.ones(13), (0, 1)) != sets(case, np.zeros(13), (1, 1))


@pytest.mark.parametrize("name", ["infidelity", "faithfulness_correlation"])
def test_subsets_are_the_same_for_all_methods_and_both_protocols(name):
    model, units = planted(np.arange(12.0))
    case = case_of(model, units, {"a": np.arange(12), "b": -np.arange(12)})
    both = [P["infidelity"], P["faithfulness_correlation"]]
    faithfulness.measure([case], both, model, draws=5)
    faithfulness.measure([case], [P[name]], model, draws=0)
    assert model.asked[0] == model.asked[1]
    assert len(model.asked[0]) <= 50

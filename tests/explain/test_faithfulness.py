"""Faithfulness on models whose truth is known: sums of word weights, and answers written down by hand."""

import itertools

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from scipy import special
from scipy import stats
from sklearn import metrics

from explain import faithfulness
from explain import removal

CLS, SEP, PAD, MASK = 0, 1, 2, 3
FIRST_WORD = 4
P = faithfulness.PROTOCOLS
RANKING = ["eraser_comprehensiveness", "eraser_sufficiency", "decompx", "deletion", "insertion"]


class Model:
    """Logits are the sums of the weights f[v, c] of the tokens; records what it was asked."""

    def __init__(self, weights):
        self.weights = np.asarray(weights, np.float64)
        self.asked = []

    def __call__(self, rows):
        self.asked.append(rows)
        return np.stack([self.weights[list(row.input_ids)].sum(0) for row in rows])


def units_of(ids, word_of_token=None):
    """A text of one-token words, unless told otherwise, between [CLS] and [SEP]."""
    words = tuple(range(len(ids))) if word_of_token is None else tuple(word_of_token)
    tokens = (CLS, *ids, SEP)
    row = removal.Ids(tokens, (0,) * len(tokens), (1,) * len(tokens))
    return removal.Units(row, (-1, *words, -1), PAD, MASK)


def case_of(model, units, scores, gold=0, target=0):
    logits = model.weights[list(units.ids.input_ids)].sum(0)
    named = {name: np.asarray(values, np.float32) for name, values in scores.items()}
    return faithfulness.Case(units, named, target, gold, logits)


def planted(word_weights):
    """A model of two classes, logit 0 a sum of one weight a word, and the text of these words."""
    weights = np.zeros((FIRST_WORD + len(word_weights), 2))
    weights[FIRST_WORD:, 0] = word_weights
    return Model(weights), units_of(range(FIRST_WORD, len(weights)))


def measure_one(model, units, scores, name, gold=0, **options):
    options = {"draws": 0, **options}
    (found,) = faithfulness.measure(
        [case_of(model, units, {"method": scores}, gold)], [P[name]], model, **options
    )
    return found.methods["method"][name]


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


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
)
@hypothesis.settings(max_examples=60, deadline=None)
def test_word_deletion_at_k_0_is_1_on_the_initially_correct_texts_of_10_words_which_alone_count(
    weights, gold
):
    model, units = planted(weights)
    found = measure_one(model, units, weights, "word_deletion", gold=gold)
    counts = len(weights) >= 10 and int(sum(weights) < 0) == gold
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


# Identities F1 to F7 of the specification.

WORDS = strategies.lists(strategies.integers(-40, 40), min_size=1, max_size=20).map(
    lambda weights: [weight / 8 for weight in weights]
)
SEEDS = strategies.integers(0, 1000)
quick = hypothesis.settings(max_examples=40, deadline=None)


@hypothesis.given(WORDS, SEEDS)
@quick
def test_f1_nothing_removed_changes_nothing_and_all_removed_knows_no_method(weights, seed):
    model, units = planted(weights)
    scores = np.random.default_rng(seed).normal(size=(2, len(weights)))
    case = case_of(model, units, {"a": scores[0], "b": scores[1]})
    (found,) = faithfulness.measure([case], [P["deletion"], P["insertion"]], model, draws=0)
    for values in found.methods.values():
        full, empty = sigmoid(sum(weights)), 0.5
        deletion, insertion = values["deletion"]["curve"], values["insertion"]["curve"]
        assert [deletion[0], deletion[-1]] == pytest.approx([full, empty])
        assert [insertion[0], insertion[-1]] == pytest.approx([empty, full])


@hypothesis.given(strategies.permutations(range(20)), strategies.sampled_from([10, 20]))
@quick
def test_f2_keeping_the_top_is_deleting_the_rest_by_the_reversed_ranking(order, count):
    scores = np.array([place for place in order if place < count])
    model, units = planted(np.sin(np.arange(count)))
    insertion = measure_one(model, units, scores, "insertion")
    deletion = measure_one(model, units, -scores, "deletion")
    np.testing.assert_allclose(insertion["curve"], deletion["curve"][::-1], rtol=1e-12)
    assert insertion["auc"] == pytest.approx(deletion["auc"])
    # the same, of sets and for any count: without the rest is with the top only
    case = case_of(model, units, {"a": scores})
    everything = frozenset(range(count))
    top = P["eraser_comprehensiveness"].sets(case, scores, ())
    rest = P["eraser_sufficiency"].sets(case, scores, ())
    assert [everything - words for words in top] == rest


@hypothesis.given(WORDS, SEEDS)
@quick
def test_f3_monotone_transforms_change_nothing(weights, seed):
    model, units = planted(weights)
    scores = np.random.default_rng(seed).integers(-3, 4, size=len(weights)).astype(np.float32)
    case = case_of(
        model, units, {"a": scores, "b": np.exp(scores) - 9, "c": scores**3 / 100}, gold=0
    )
    names = [*RANKING, "word_deletion", "leave_one_out"]
    (found,) = faithfulness.measure([case], [P[name] for name in names], model, draws=0)
    for name in names:
        a, b, c = (str(found.methods[method][name]) for method in "abc")  # NaN equals NaN
        assert a == b == c


def test_f4_ties_go_by_position():
    model, units = planted(np.zeros(6))
    sets = P["eraser_comprehensiveness"].sets(
        case_of(model, units, {}), np.array([0.0, 2.0, -0.0, 2.0, 0.0, -1.0], np.float32), ()
    )
    assert sets[-1] == {1, 3, 0}
    assert sets[0] == {1}
    many = np.tile(np.array([0.0, 1.0], np.float32), 50)  # sorting few is stable whatever the sort
    sets = P["eraser_comprehensiveness"].sets(case_of(model, units, {}), many, ())
    assert [sorted(words) for words in sets] == [
        list(range(1, 2 * count, 2)) for count in (1, 5, 10, 20, 50)
    ]


def test_a_share_of_the_words_is_rounded_up_in_whole_numbers():
    model, units = planted(np.zeros(100))
    case = case_of(model, units, {})
    sizes = [len(words) for words in P["eraser_comprehensiveness"].sets(case, np.zeros(100), ())]
    assert sizes == [1, 5, 10, 20, 50]  # 0.07 * 100 in floats would be above 7
    assert [faithfulness._count(percent, 100) for percent in range(101)] == list(range(101))
    assert [faithfulness._count(1, words) for words in (1, 99, 100, 101)] == [1, 1, 1, 2]


def drawn_scores(case, model, draws, seed):
    """The random scores that `measure` puts to a protocol."""
    seen = []

    def sets(_, scores, key):
        seen.append(scores)
        return P["deletion"].sets(case, scores, key)

    faithfulness.measure([case], [P["deletion"]._replace(sets=sets)], model, draws=draws, seed=seed)
    return seen


def test_f5_random_rankings_are_20_drawn_by_seed_and_text():
    model = Model(np.random.default_rng(0).normal(size=(FIRST_WORD + 18, 2)))
    texts = [units_of(range(start, start + 9)) for start in (FIRST_WORD, FIRST_WORD + 9)]
    cases = [case_of(model, text, {}) for text in texts]
    protocols = list(P.values())
    both = faithfulness.measure(cases, protocols, model, seed=3)
    (alone,) = faithfulness.measure(cases[1:], protocols, model, seed=3)
    assert alone.floor == both[1].floor
    assert [alone] == faithfulness.measure(cases[1:], protocols, model, draws=20, seed=3)
    (again,) = faithfulness.measure(cases[1:], protocols, model, seed=4)
    assert again.floor["deletion"] != alone.floor["deletion"]
    assert again.floor.keys() == P.keys()
    assert again.methods == {}
    by_seed_and_text = [
        {tuple(scores) for scores in drawn_scores(case, model, 20, seed)}
        for case, seed in ((cases[0], 3), (cases[1], 3), (cases[0], 4))
    ]
    assert [len(drawn) for drawn in by_seed_and_text] == [20] * 3
    assert len(set.union(*by_seed_and_text)) == 60


def test_f5_the_floor_is_the_mean_over_draws_place_by_place():
    model, units = planted(np.linspace(-1, 2, 9))
    case = case_of(model, units, {})
    drawn = drawn_scores(case, model, 4, 0)
    named = case._replace(scores={f"draw {index}": scores for index, scores in enumerate(drawn)})
    protocols = [P["deletion"], P["eraser_sufficiency"]]
    (found,) = faithfulness.measure([case], protocols, model, draws=4)
    (apart,) = faithfulness.measure([named], protocols, model, draws=0)
    for protocol in protocols:
        for metric, value in found.floor[protocol.name].items():
            values = [apart.methods[name][protocol.name][metric] for name in named.scores]
            np.testing.assert_allclose(value, np.mean(values, axis=0), rtol=1e-12)
    assert apart.floor == {}


def test_f6_and_f7_what_is_asked_are_the_texts_own_ids_in_their_order():
    model, units = planted(np.linspace(1, 2, 15))
    faithfulness.measure([case_of(model, units, {})], [P["deletion"], P["insertion"]], model)
    (rows,) = model.asked
    for row in rows:
        inner = row.input_ids[1:-1]
        assert (row.input_ids[0], row.input_ids[-1]) == (CLS, SEP)
        assert list(inner) == sorted(inner)
        assert set(inner) <= set(units.ids.input_ids)


# The planted truth: a softmax of a sum of token weights.


def best_of_all_subsets(weights, size):
    """Highest fall of the probability that any set of so many words can bring."""
    return max(
        sigmoid(sum(weights)) - sigmoid(sum(weights) - sum(chosen))
        for chosen in itertools.combinations(weights, size)
    )


@hypothesis.given(WORDS.filter(lambda weights: len(weights) <= 9))
@quick
def test_the_true_weights_reach_the_maximum_comprehensiveness_over_all_rankings(weights):
    model, units = planted(weights)
    found = measure_one(model, units, weights, "eraser_comprehensiveness")
    for percent in faithfulness.ERASER_BINS:
        size = int(np.ceil(percent * len(weights) / 100))
        best = best_of_all_subsets(weights, size)
        assert found[f"at_{percent}"] == pytest.approx(best, abs=1e-12)


def test_a_random_method_sits_at_its_floor_and_the_truth_far_above():
    rng = np.random.default_rng(11)
    gaps, truths = [], []
    for _ in range(60):
        weights = rng.normal(0.1, 1.0, 14)
        model, units = planted(weights)
        case = case_of(model, units, {"truth": weights, "random": rng.random(14)})
        (found,) = faithfulness.measure([case], [P["eraser_comprehensiveness"]], model)
        floor = found.floor["eraser_comprehensiveness"]["aopc"]
        values = {
            name: result["eraser_comprehensiveness"]["aopc"]
            for name, result in found.methods.items()
        }
        gaps.append(values["random"] - floor)
        truths.append(values["truth"] - floor)
    assert abs(np.mean(gaps)) < 3 * np.std(gaps) / np.sqrt(60)
    assert np.mean(truths) > 10 * np.std(gaps) / np.sqrt(60)


# Sharing.


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

"""What holds of every faithfulness measure, F1 to F7 of the specification, and where the planted truth lies."""

import itertools

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from explain import faithfulness
from tests.explain import planted_words

CLS = planted_words.CLS
SEP = planted_words.SEP
FIRST_WORD = planted_words.FIRST_WORD
P = planted_words.P
Model = planted_words.Model
units_of = planted_words.units_of
case_of = planted_words.case_of
planted = planted_words.planted
measure_one = planted_words.measure_one
sigmoid = planted_words.sigmoid
RANKING = ["eraser_comprehensiveness", "eraser_sufficiency", "decompx", "deletion", "insertion"]
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

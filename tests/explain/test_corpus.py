"""What a data set's explanations say together: worked out by hand, and as NumPy, SciPy and scikit-learn say."""

import dataclasses
import weakref

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from explain import corpus
from explain import statistics


def test_a_word_is_counted_small_and_without_the_punctuation_at_its_ends():
    written = {"Great!": "great", '"GREAT,"': "great", "isn't": "isn't", "well-made.": "well-made"}
    written |= {
        "«Été»": "été",
        "「好」": "好",
        "हिन्दी।": "हिन्दी",
        "...": "...",
        "?!": "?!",
        "$5": "5",
    }
    assert {word: corpus.normalise(word) for word in written} == written


def test_word_means_are_worked_out_by_hand_over_all_texts(build_record):
    records = [
        build_record("Great, dull", scores=[9, 2.0, 0.5, -1.0, 9], target="pos"),  # "," counts
        build_record("great great", scores=[9, 1.0, 6.0, 9], target="pos"),
    ]
    ((key, scores),) = corpus.word_scores(records).items()
    assert key == ("average_last_layer_by_head", "pos")
    assert {word: values.tolist() for word, values in scores.items()} == {
        "great": [2.5, 1.0, 6.0],
        "dull": [-1.0],
    }
    assert corpus.word_means(scores) == {"great": 9.5 / 3, "dull": -1.0}
    assert corpus.word_means(scores, min_count=2) == {"great": 9.5 / 3}


def test_special_tokens_are_in_no_table(build_record):
    records = [build_record("fine", scores=[5.0, 1.0, 7.0]) for _ in range(9)]
    (scores,) = corpus.word_scores(records).values()
    assert list(scores) == ["fine"]
    (row,) = corpus.word_table(scores).top
    assert row.score.mean == 1.0


def test_methods_and_classes_are_kept_apart(build_record):
    records = [
        build_record("fine", scores=[0, 1, 0], method="cp_lrp", target="positive"),
        build_record("fine", scores=[0, -2, 0], method="cp_lrp", target="negative"),
        build_record("fine", scores=[0, 3, 0], method="rollout", predicted=0),  # knows no class
    ]
    means = {key: corpus.word_means(words) for key, words in corpus.word_scores(records).items()}
    assert means == {
        ("cp_lrp", "positive"): {"fine": 1.0},
        ("cp_lrp", "negative"): {"fine": -2.0},
        ("rollout", "negative"): {"fine": 3.0},
    }


def test_a_score_that_is_no_number_is_refused_with_its_record(build_record):
    record = build_record("fine", guid="test-7", scores=[0, np.nan, 0], method="cp_lrp")
    with pytest.raises(ValueError, match=r"finite numbers .* in 'test-7' by cp_lrp"):
        corpus.word_scores([record])


@pytest.fixture
def seven_words():
    """Words whose means are 3, 2, ... -3; "rare" would lead but stands once."""
    scores = {f"w{mean}": np.array([mean - 1, mean, mean + 1], np.float32) for mean in range(-3, 4)}
    return scores | {"rare": np.array([99], np.float32)}


def test_a_table_has_the_highest_first_and_the_lowest_first_and_no_rare_words(seven_words):
    table = corpus.word_table(seven_words, number=2, min_count=3)
    assert [(row.word, row.score.mean) for row in table.top] == [("w3", 3.0), ("w2", 2.0)]
    assert [(row.word, row.score.mean) for row in table.bottom] == [("w-3", -3.0), ("w-2", -2.0)]
    assert table.top[0].score.n == 3
    assert corpus.word_table(seven_words, number=1, min_count=1).top[0].word == "rare"


def test_the_intervals_of_a_table_are_those_of_the_bootstrap(seven_words):
    drawn = np.random.default_rng(1).normal(9, 1, 20).astype(np.float32)
    row = corpus.word_table(seven_words | {"often": drawn}, seed=5).top[0]
    assert row.score == statistics.bootstrap_mean(drawn, 5) != statistics.bootstrap_mean(drawn, 0)
    assert row.score.low < drawn.mean() < row.score.high


def test_no_word_is_on_both_sides_of_a_table(seven_words):
    table = corpus.word_table(seven_words, number=5, min_count=3)
    assert [len(table.top), len(table.bottom)] == [5, 2]
    assert not {row.word for row in table.top} & {row.word for row in table.bottom}
    assert corpus.word_table(seven_words, number=9, min_count=3).bottom == ()


def test_equal_means_are_in_the_order_of_unicode():
    scores = {word: np.ones(5, np.float32) for word in ("b", "a", "c")}
    assert [row.word for row in corpus.word_table(scores).top] == ["a", "b", "c"]
    below = {word: np.zeros(5, np.float32) for word in ("d", "f", "e")}
    table = corpus.word_table(scores | below, number=2)
    assert [row.word for row in table.bottom] == ["d", "e"]


def records_of(build_record, scores_by_method, guid="test-0"):
    """Records of one text of four words, with the scores of each method."""
    return [
        build_record("a b c d", guid=guid, scores=[9, *scores, 9], method=method)
        for method, scores in scores_by_method.items()
    ]


def test_methods_agree_by_the_mean_rank_correlation_of_the_texts(build_record):
    first = {"x": [1, 2, 3, 4], "y": [10, 20, 30, 99], "z": [4, 3, 2, 1]}
    second = {"x": [1, 2, 3, 4], "y": [2, 1, 4, 3], "z": [1, 2, 3, 4]}
    records = [
        *records_of(build_record, first),
        *records_of(build_record, second, guid="test-1"),
    ]
    grid = corpus.agreement(records)
    assert grid.names == ("x", "y", "z")
    # rho of the second text's x and y: 1 - 6 * 4 / (4 * 15) = 0.6
    expected = [[1.0, 0.8, 0.0], [0.8, 1.0, -0.2], [0.0, -0.2, 1.0]]
    np.testing.assert_allclose(grid.values, expected, atol=1e-12)
    np.testing.assert_array_equal(grid.counts, np.full((3, 3), 2))


def test_agreement_of_one_text_is_spearman_of_scipy_ties_and_all(build_record):
    rng = np.random.default_rng(3)
    scores = {name: rng.integers(0, 6, 40).astype(float) for name in ("x", "y", "z")}
    text = " ".join(f"w{i}" for i in range(40))
    records = [build_record(text, scores=[0, *s, 0], method=m) for m, s in scores.items()]
    expected = scipy.stats.spearmanr(np.stack(list(scores.values())), axis=1).statistic
    np.testing.assert_allclose(corpus.agreement(records).values, expected, atol=1e-12)


def test_a_text_counts_only_for_methods_that_explain_it_and_tell_its_words_apart(build_record):
    first = {"x": [1, 2, 3, 4], "flat": [5, 5, 5, 5]}
    second = {"x": [1, 2, 3, 4], "y": [4, 3, 2, 1], "flat": [1, 2, 3, 4]}
    records = [
        *records_of(build_record, first),
        *records_of(build_record, second, guid="test-1"),
        build_record("one", guid="test-2", scores=[0, 1, 0], method="x"),
        build_record("one", guid="test-2", scores=[0, 1, 0], method="flat"),
    ]
    grid = corpus.agreement(records)
    assert grid.names == ("x", "flat", "y")
    np.testing.assert_array_equal(grid.counts, [[2, 1, 1], [1, 1, 1], [1, 1, 1]])
    np.testing.assert_allclose(grid.values, [[1, 1, -1], [1, 1, -1], [-1, -1, 1]])


def test_methods_without_a_common_text_have_no_correlation(build_record):
    records = records_of(build_record, {"x": [1, 2, 3, 4]})
    records += records_of(build_record, {"y": [1, 2, 3, 4]}, guid="test-1")
    grid = corpus.agreement(records)
    np.testing.assert_array_equal(np.isnan(grid.values), [[False, True], [True, False]])
    np.testing.assert_array_equal(grid.counts, [[1, 0], [0, 1]])


def test_a_text_without_words_counts_for_no_correlation(build_record):
    records = records_of(build_record, {"x": [1, 2, 3, 4], "y": [1, 2, 3, 4]})
    records += [build_record("", guid="test-1", scores=[1, 1], method=name) for name in ("x", "y")]
    grid = corpus.agreement(records)
    np.testing.assert_allclose(grid.values, np.ones((2, 2)))
    np.testing.assert_array_equal(grid.counts, np.ones((2, 2)))


def test_no_more_than_a_text_is_held_while_agreement_is_worked_out(build_record):
    alive, most = 0, 0

    def gone():
        nonlocal alive
        alive -= 1

    def records():
        nonlocal alive, most
        for text in range(20):
            scores = {"x": [1, 2, 3, 4], "y": [2, 1, 4, 3]}
            for record in records_of(build_record, scores, f"test-{text}"):
                weakref.finalize(record.scores, gone)
                alive += 1
                most = max(most, alive)
                yield record

    corpus.agreement(records())
    assert most <= 6


def test_a_text_explained_twice_or_read_in_two_ways_is_refused(build_record):
    (record,) = records_of(build_record, {"x": [1, 2, 3, 4]})
    (other,) = records_of(build_record, {"y": [1, 2, 3, 4]})
    cut = dataclasses.replace(other, words=other.words[:3], scores=other.scores[:3])
    (between,) = records_of(build_record, {"x": [1, 2, 3, 4]}, guid="test-1")
    for records in ([record, record], [record, cut], [record, between, other]):
        with pytest.raises(ValueError, match=r"explain a text once, .* got 'test-0' twice by [xy]"):
            corpus.agreement(records)


def test_data_sets_correlate_over_their_shared_words_as_numpy_says():
    rng = np.random.default_rng(7)
    names = ["SST-5", "IMDb", "SemEval"]
    means = {
        name: {f"w{i}": float(rng.normal()) for i in range(10 * start, 10 * start + 35)}
        for start, name in enumerate(names)
    }
    grid = corpus.dataset_correlation(means)
    assert grid.names == tuple(names)
    np.testing.assert_array_equal(grid.counts, [[35, 25, 15], [25, 35, 25], [15, 25, 35]])
    for row, one in enumerate(names):
        for column, other in enumerate(names):
            shared = means[one].keys() & means[other].keys()
            pair = [[means[name][word] for word in shared] for name in (one, other)]
            expected = np.corrcoef(pair)[0, 1]
            np.testing.assert_allclose(grid.values[row, column], expected, atol=1e-12)


def test_data_sets_with_fewer_than_two_shared_words_have_no_correlation():
    grid = corpus.dataset_correlation({"x": {"a": 1.0, "b": 2.0}, "y": {"b": 1.0}, "z": {}})
    np.testing.assert_array_equal(grid.counts, [[2, 1, 0], [1, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(np.isfinite(grid.values).ravel(), [True] + [False] * 8)


def test_a_layers_share_is_of_the_absolute_relevance_and_special_tokens_are_told(build_record):
    first = build_record("so fine", layer_scores=np.array([[0, 1, -2, 1], [2, 0, 0, -2]]))  # 4, 4
    second = build_record("so", layer_scores=np.array([[1, -4, 1], [-1, 1, 0]]))  # 6, 2
    profile = corpus.layer_profile([first, second], seed=2)
    assert [row.layer for row in profile] == [0, 1]
    assert [row.share.mean for row in profile] == [(1 / 2 + 3 / 4) / 2, (1 / 2 + 1 / 4) / 2]
    # [CLS] and [SEP]: 1 of 4 and 2 of 6; 4 of 4 and 1 of 2
    expected = [(1 / 4 + 1 / 3) / 2, 0.75]
    np.testing.assert_allclose([row.special.mean for row in profile], expected, rtol=1e-12)
    assert profile[0].share == statistics.bootstrap_mean([1 / 2, 3 / 4], 2)
    assert profile[0].special.n == 2


def test_a_layer_without_relevance_has_none_on_special_tokens(build_record):
    (row,) = corpus.layer_profile([build_record("so", layer_scores=np.zeros((1, 3)))])
    assert (row.share.mean, row.special.mean) == (0.0, 0.0)


def test_layers_that_are_missing_or_of_another_model_are_refused(build_record):
    bare = build_record("so fine", guid="test-3", method="rollout")
    two = build_record("so", layer_scores=np.ones((2, 3)))
    three = build_record("so", guid="test-3", method="rollout", layer_scores=np.ones((3, 3)))
    for records in ([bare], [two, bare], [two, three]):
        with pytest.raises(ValueError, match=r"layer_scores of one model, .* 'test-3' by rollout"):
            corpus.layer_profile(records)
    with pytest.raises(ValueError, match="must be records to make a profile of, got none"):
        corpus.layer_profile([])


def test_heads_are_listed_from_the_most_important_with_their_interval():
    importance = np.random.default_rng(4).normal(size=(9, 2, 3))
    rows = corpus.head_table(importance, seed=6)
    means = importance.mean(axis=0)
    assert {(row.layer, row.head) for row in rows} == set(np.ndindex(2, 3))
    for row in rows:
        expected = statistics.bootstrap_mean(importance[:, row.layer, row.head], 6)
        assert row.importance == expected
        np.testing.assert_allclose(row.importance.mean, means[row.layer, row.head], rtol=1e-12)
    listed = [row.importance.mean for row in rows]
    assert listed == sorted(listed, reverse=True)


def test_the_polarity_of_words_is_checked_by_sign_and_by_rank_as_scikit_learn_says():
    means = {"good": 2.0, "fine": -0.5, "nil": 0.0, "bad": -1.0, "poor": 0.25, "the": 9.0}
    known = {"good": 1, "fine": 0.5, "nil": 1, "bad": -1, "poor": -2, "the": 0, "absent": 1}
    check = corpus.polarity_check(means, known, seed=3)
    # words in order: bad, fine, good, nil (a mean of 0 is wrong), poor
    assert check.right == statistics.bootstrap_mean([1, 0, 1, 0, 0], 3)
    assert check.right.mean == 2 / 5
    expected = sklearn.metrics.roc_auc_score([1, 1, 1, 0, 0], [2.0, -0.5, 0.0, -1.0, 0.25])
    assert check.auc == expected == 4 / 6
    assert (check.positive, check.negative, check.majority) == (3, 2, 3 / 5)


def test_words_of_one_kind_have_no_rank_to_check():
    check = corpus.polarity_check({"good": 1.0}, {"good": 1.0})
    assert check.right.mean == 1.0
    assert np.isnan(check.auc)


def test_a_lexicon_that_knows_no_word_is_refused():
    with pytest.raises(ValueError, match="known polarity among the 1 with a score, got none"):
        corpus.polarity_check({"good": 1.0}, {"Good": 1.0, "good": 0.0})


def test_lexicons_are_read_in_utf8_or_latin1_without_comments_and_doubtful_words(tmp_path):
    (tmp_path / "positive").write_bytes(
        b"\xef\xbb\xbf; a comment\r\n\r\nGood\n caf\xc3\xa9 \nenvious\n"
    )
    (tmp_path / "negative").write_bytes(b"bad\nna\xefve\n;\nenvious")
    polarity = corpus.read_lexicon(tmp_path / "positive", tmp_path / "negative")
    assert polarity == {"good": 1.0, "café": 1.0, "bad": -1.0, "naïve": -1.0}

"""What people marked against what a method found: by hand, by scikit-learn, by ERASER's own scorer."""

import itertools
import json
import math
import pathlib
import warnings

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from sklearn import metrics

from explain import rationales
from explain import words

GOLDEN = pathlib.Path(__file__).parent.parent / "goldens" / "eraser_scorer.json"


def mask(marks):
    """Return a mask from a picture such as ".##."."""
    return np.array([mark == "#" for mark in marks])


def rationale(marks, guid="mill"):
    tokens = tuple(f"w{number}" for number in range(len(marks)))
    return rationales.Rationale(guid, tokens, tuple(mask(marks).tolist()), "still")


masks = strategies.lists(strategies.booleans(), min_size=1, max_size=12)


@strategies.composite
def gold_and_scores(draw):
    """Draw marks, at least one of them set, and scores of few different values, so that some are equal."""
    gold = draw(masks.filter(any))
    some = strategies.sampled_from([-2.0, -0.5, 0.0, 0.25, 3.0])
    return np.array(gold), np.array(
        draw(strategies.lists(some, min_size=len(gold), max_size=len(gold)))
    )


def test_token_precision_recall_and_f1_by_hand():
    found = rationales.token_agreement(mask("##.#....."), mask(".#.##.#.."))
    assert found == pytest.approx((2 / 4, 2 / 3, 4 / 7))
    assert rationales.token_agreement(mask("#.."), mask(".#.")) == (0, 0, 0)
    assert rationales.token_agreement(mask("..."), mask(".#.")) == (0, 0, 0)
    assert rationales.token_agreement(mask("#.."), mask("...")) == (0, 0, 0)


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(masks, masks)
def test_token_agreement_is_scikit_learns(gold, chosen):
    gold, chosen = (marks[: min(len(gold), len(chosen))] for marks in (gold, chosen))
    expected = metrics.precision_recall_fscore_support(
        gold, chosen, average="binary", pos_label=True, zero_division=0
    )
    found = rationales.token_agreement(np.array(gold), np.array(chosen))
    np.testing.assert_allclose(found, expected[:3], rtol=1e-12)


def test_adjacent_marks_are_one_span_or_each_its_own():
    assert rationales.spans(mask("##..#.###")) == ((0, 2), (4, 5), (6, 9))
    assert rationales.one_token_spans(mask(".##.#")) == ((1, 2), (2, 3), (4, 5))
    assert rationales.spans(mask("...")) == rationales.one_token_spans(mask("...")) == ()


@hypothesis.given(masks)
def test_spans_cover_the_marks_and_do_not_touch(marks):
    found = rationales.spans(marks)
    assert [t for start, end in found for t in range(start, end)] == list(np.flatnonzero(marks))
    assert all(before[1] < after[0] for before, after in itertools.pairwise(found))


def test_a_span_counts_from_half_of_the_union_on():
    gold = ((0, 4), (6, 8))
    # 2 of 4 tokens shared: exactly half; 2 of 5: less than half.
    assert rationales.span_agreement(gold, [(0, 2)]) == pytest.approx((1, 1 / 2, 2 / 3))
    assert rationales.span_agreement(gold, [(2, 5)]) == (0, 0, 0)
    assert rationales.span_agreement(gold, [(1, 5), (9, 10)]) == pytest.approx(
        (1 / 2, 1 / 2, 1 / 2)
    )
    assert rationales.span_agreement(gold, []) == (0, 0, 0)


def test_single_tokens_can_lift_erasers_recall_above_one_and_merged_spans_cannot():
    gold, selected = mask("##..."), mask("##..#")
    single = rationales.span_agreement(rationales.spans(gold), rationales.one_token_spans(selected))
    assert single[:2] == pytest.approx((2 / 3, 2))
    merged = rationales.span_agreement(rationales.spans(gold), rationales.spans(selected))
    assert merged == pytest.approx((1 / 2, 1, 2 / 3))


@hypothesis.given(masks, masks)
def test_each_merged_span_matches_at_most_one_of_the_other_side(gold, selected):
    golds, found = rationales.spans(gold), rationales.spans(selected)
    agreement = rationales.span_agreement(golds, found)
    assert max(agreement) <= 1
    swapped = rationales.span_agreement(found, golds)
    assert swapped.precision == pytest.approx(agreement.recall)


def test_auprc_and_average_precision_by_hand():
    # In falling order: marked, not, marked, not. The curve goes (0, 1), (.5, 1), (.5, 1/2), (1, 2/3), (1, 1/2).
    gold, scores = mask("#.#."), np.array([4.0, 3.0, 2.0, 1.0])
    assert rationales.auprc(gold, scores) == pytest.approx(0.5 + 0.5 * (1 / 2 + 2 / 3) / 2)
    assert rationales.average_precision(gold, scores) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_equal_scores_everywhere_say_no_more_than_the_share_of_marked_tokens():
    gold, scores = mask("#..#....#."), np.full(10, 0.5)
    assert rationales.average_precision(gold, scores) == pytest.approx(0.3)
    assert rationales.auprc(gold, scores) == pytest.approx((1 + 0.3) / 2)  # from (0, 1) to (1, .3)


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(gold_and_scores())
def test_both_areas_are_scikit_learns_and_rest_on_the_order_alone(drawn):
    gold, scores = drawn
    precision, recall, _ = metrics.precision_recall_curve(gold, scores)
    auprc, average = metrics.auc(recall, precision), metrics.average_precision_score(gold, scores)
    for kept in (scores, np.exp(scores)):
        assert rationales.auprc(gold, kept) == pytest.approx(auprc, rel=1e-12)
        assert rationales.average_precision(gold, kept) == pytest.approx(average, rel=1e-12)


def test_unread_tokens_rank_below_all_others():
    gold, scores = mask("#.#"), np.array([-5.0, -9.0, -np.inf])
    ranked = np.array([3.0, 2.0, 1.0])
    assert rationales.auprc(gold, scores) == rationales.auprc(gold, ranked)
    assert rationales.average_precision(gold, scores) == pytest.approx((1 + 2 / 3) / 2)


def test_the_highest_scores_are_selected_and_the_first_of_equals():
    scores = np.array([0.0, 2.0, -3.0, 2.0, 1.0, 2.0])
    for k, expected in ((1, ".#...."), (2, ".#.#.."), (3, ".#.#.#"), (4, ".#.###"), (6, "######")):
        selected = rationales.hard_rationale(scores, rationales.TopK(k))
        np.testing.assert_array_equal(selected, mask(expected))


def test_unread_tokens_are_never_selected():
    scores = np.array([-1.0, -np.inf, -2.0, -np.inf])
    selected = rationales.hard_rationale(scores, rationales.TopK(3))
    np.testing.assert_array_equal(selected, mask("#.#."))


@pytest.mark.parametrize(
    ("k", "unit", "length", "expected"),
    [
        (5, "tokens", 20, 5),
        (5, "tokens", 4, 4),
        (2.5, "tokens", 20, 3),  # halves up
        (2.4, "tokens", 20, 2),
        (0.094, "share", 700, 66),
        (0.25, "share", 10, 3),
        (0.01, "share", 7, 1),  # at least one
        (1, "share", 7, 7),
        (0.2, "tokens", 0, 0),
    ],
)
def test_k_is_a_number_of_tokens_or_a_share(k, unit, length, expected):
    assert rationales.TopK(k, unit).count(length) == expected


@pytest.mark.parametrize(
    ("k", "unit"), [(0, "tokens"), (-1, "tokens"), (1.5, "share"), (math.nan, "share")]
)
def test_a_k_that_selects_nothing_or_too_much_is_refused(k, unit):
    with pytest.raises(ValueError, match=rf"k must be above 0, and at most 1 .*got {k} \({unit}\)"):
        rationales.TopK(k, unit)


def test_k_says_what_it_is():
    assert str(rationales.TopK(5)) == "5 tokens"
    assert str(rationales.TopK(0.0935, "share")) == "9.3% of the tokens"


def test_lengths_are_means_over_documents_with_a_mark():
    found = rationales.lengths([rationale("##.."), rationale("....."), rationale("#.......")])
    assert found == (3, 2, 1.5, pytest.approx((2 / 4 + 1 / 8) / 2))
    assert (
        str(found) == "3 documents, 2 with marked tokens: 1.5 or 31.2% of their tokens on average"
    )
    nobody = rationales.lengths([rationale("..")])
    assert nobody[:2] == (1, 0)
    assert np.isnan(nobody[2:]).all()


def test_words_find_their_tokens_and_several_words_of_one_are_summed():
    # The model's words: CJK characters stand alone, and a no-break space parts words within a token.
    tokens = ("a", "電影", "", "b\u00a0c", "end")
    spans = [(0, 1), (2, 3), (3, 4), (6, 7), (8, 9)]  # "end" was cut off
    text = " ".join(tokens)
    found = [words.Word(text[start:end], start, end) for start, end in spans]
    assert rationales.align(tokens, found) == (0, 1, 1, 3, 3)
    scores = rationales.token_scores(tokens, found, np.array([1, 2, 4, -8, 16], np.float32))
    np.testing.assert_array_equal(scores, [1, 6, -np.inf, 8, -np.inf])
    assert scores.dtype == np.float64


@hypothesis.given(strategies.lists(strategies.text("ab電 ", max_size=4), min_size=1, max_size=8))
def test_no_score_is_lost_on_the_way_to_the_tokens(tokens):
    text = " ".join(tokens)
    spans = [(start, start + 1) for start, character in enumerate(text) if character != " "]
    found = [words.Word(text[start:end], start, end) for start, end in spans]
    values = 2.0 ** np.arange(len(found))
    scores = rationales.token_scores(tokens, found, values)
    assert scores.shape == (len(tokens),)
    assert scores[np.isfinite(scores)].sum() == values.sum()
    np.testing.assert_array_equal(np.isfinite(scores), [bool(token.strip()) for token in tokens])


@pytest.mark.parametrize(
    "word",
    [
        words.Word("mill gate", 0, 9),  # over two tokens
        words.Word("mill ", 0, 5),  # with the space behind it
        words.Word("mill", 0, 3),  # other characters
        words.Word("gates", 5, 10),  # past the end
        words.Word("x", 40, 41),
        words.Word("mill", 0, 4, sentence=1),
    ],
)
def test_a_word_of_another_text_is_refused_without_showing_it(word):
    with pytest.raises(
        ValueError, match=r"^words must be those of the tokens .* got word 1 at"
    ) as caught:
        rationales.align(("mill", "gate"), [words.Word("gate", 5, 9), word])
    assert word.text.strip() not in str(caught.value).split()


def test_there_must_be_one_score_a_word():
    with pytest.raises(ValueError, match=r"one score a word, got shape \(2,\) for 1 words"):
        rationales.token_scores(("mill",), [words.Word("mill", 0, 4)], [1.0, 2.0])


def test_documents_without_a_mark_are_skipped_and_counted():
    documents = [rationale("#..", "a"), rationale("....", "b"), rationale(".##.", "c")]
    scores = [[1.0, 2.0, 0.0], [1.0, 2.0, 3.0, 4.0], [0.0, 3.0, 2.0, 1.0]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # scikit-learn would warn of a document without a mark
        found = rationales.measure(documents, scores, rationales.TopK(2))
    assert found.guids == ("a", "c")
    assert found.skipped == 1
    assert found.top_k == rationales.TopK(2)
    np.testing.assert_allclose(found.values.token_precision, [1 / 2, 1])
    np.testing.assert_allclose(found.values.token_recall, [1, 1])
    np.testing.assert_allclose(found.values.token_f1, [2 / 3, 1])
    np.testing.assert_allclose(found.values.average_precision, [1 / 2, 1])
    np.testing.assert_allclose(found.values.auprc, [0.25, 1])
    np.testing.assert_allclose(found.values.iou_f1, [1, 1])  # "##." and "#..": half of their union
    np.testing.assert_allclose(found.values.eraser_iou_precision, [1 / 2, 1])
    np.testing.assert_allclose(found.values.eraser_iou_recall, [1, 2])
    figures = found.figures()
    assert figures["token_f1"] == pytest.approx(5 / 6)
    assert figures["eraser_iou_f1"] == pytest.approx(2 * 0.75 * 1.5 / (0.75 + 1.5))


def test_the_figures_are_those_of_erasers_own_scorer():
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    documents = [
        rationales.Rationale(
            row["id"], tuple(row["tokens"]), tuple(map(bool, row["mask"])), "still"
        )
        for row in golden["documents"]
    ]
    scores = [
        [-np.inf if score is None else score for score in row["scores"]]
        for row in golden["documents"]
    ]
    found = rationales.measure(documents, scores, rationales.TopK(golden["k"])).figures()
    tokens, spans = golden["figures"]["tokens"], golden["figures"]["spans"]
    iou, merged = tokens["iou_scores"][0]["macro"], spans["iou_scores"][0]["macro"]
    expected = {
        "token_precision": tokens["token_prf"]["instance_macro"]["p"],
        "token_recall": tokens["token_prf"]["instance_macro"]["r"],
        "token_f1": tokens["token_prf"]["instance_macro"]["f1"],
        "auprc": tokens["token_soft_metrics"]["auprc"],
        "average_precision": tokens["token_soft_metrics"]["average_precision"],
        "eraser_iou_precision": iou["p"],
        "eraser_iou_recall": iou["r"],
        "eraser_iou_f1": iou["f1"],
        "iou_precision": merged["p"],
        "iou_recall": merged["r"],
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-12)
    assert set(found) - set(expected) == {"iou_f1"}  # ours is a mean over documents


@pytest.mark.parametrize(
    ("marks", "scores", "message"),
    [
        (["#.", ".#"], [[1.0, 2.0]], r"one array a document, got 1 for 2 documents"),
        (["..", "..."], [[1.0, 2.0]] * 2, r"a document with a marked token, got none in 2"),
        (["#."], [[1.0, 2.0, 3.0]], r"^mill: .*shape \(3,\) with 0 NaN for 2 tokens"),
        (["#."], [[1.0, math.nan]], r"^mill: .*shape \(2,\) with 1 NaN for 2 tokens"),
    ],
)
def test_scores_that_do_not_fit_are_refused(marks, scores, message):
    with pytest.raises(ValueError, match=message):
        rationales.measure([rationale(picture) for picture in marks], scores, rationales.TopK(1))

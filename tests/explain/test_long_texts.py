import numpy as np
import pytest

from bert import features
from bert import tokenization
from bert import windows
from explain import attention
from explain import model
from tests.explain import classifier_folder

RNG = np.random.default_rng(3)
LONG = " ".join(RNG.choice(classifier_folder.WORDS, 60))


@pytest.fixture(scope="module")
def tokenizer(tiny_release):
    return tokenization.FullTokenizer(tiny_release / "vocab.txt")


@pytest.fixture(scope="module")
def folder(tiny_release, tmp_path_factory):
    return classifier_folder.make(tmp_path_factory.mktemp("classifier"), tiny_release)


def test_a_text_that_fits_is_its_own_only_window(tokenizer):
    whole, found = windows.split(tokenizer, "the film was fine", None, 12)
    assert found == [windows.Window(whole, (0, 1, 2, 3, 4, 5))]
    assert whole == features.encode(tokenizer, "the film was fine", None, 12)


def test_windows_overlap_by_a_quarter_and_end_with_the_text(tokenizer):
    whole, found = windows.split(tokenizer, LONG, None, 10)
    starts = [window.positions[1] for window in found]
    assert starts == [*range(1, 54, 6), 53]  # 8 tokens of text each, 6 further on; 60 in all
    assert all(len(window.positions) == 10 for window in found)
    assert {place for window in found for place in window.positions} == set(range(62))
    for window in found:
        assert [token.text for token in window.encoding.tokens][::9] == ["[CLS]", "[SEP]"]
        assert window.encoding.tokens == tuple(whole.tokens[i] for i in window.positions)


def test_the_shorter_text_of_a_pair_stands_whole_in_each_window(tokenizer):
    whole, found = windows.split(tokenizer, "was it fine", LONG, 12)
    for window in found:
        kept = window.encoding
        assert [t.text for t in kept.tokens][:5] == ["[CLS]", "was", "it", "fine", "[SEP]"]
        assert kept.segment_ids == (0,) * 5 + (1,) * 7
    assert {place for window in found for place in window.positions} == set(
        range(len(whole.tokens))
    )


def test_two_long_texts_are_refused(tokenizer):
    with pytest.raises(ValueError, match=r"must fit half of max_seq_length=12 .*got 60 tokens"):
        windows.split(tokenizer, LONG, LONG, 12)


def test_a_text_of_1200_tokens_is_read_in_three_windows(tokenizer):
    text = " ".join(RNG.choice(classifier_folder.WORDS, 1200))
    _, found = windows.split(tokenizer, text, None, 512)
    assert [len(window.positions) for window in found] == [512] * 3
    assert {place for window in found for place in window.positions} == set(range(1202))


def test_window_scores_sum_to_the_mean_score_and_cover_every_word(folder):
    explain = model.load_explainer(
        folder,
        ["integrated_gradients", "cp_lrp", "rollout"],
        method_options={"cp_lrp": {"layers": True}},
        long_text="window",
        precision="float64",
    )
    integrated, relevance, rollout = explain([LONG])
    assert [w.text for w in integrated.words] == LONG.split()
    assert integrated.truncated == (0, 0)
    assert integrated.checks["windows"] == 8
    rise = integrated.checks["score"] - integrated.checks["baseline_score"]
    total = integrated.token_scores.astype(np.float64).sum()
    assert total - rise == pytest.approx(integrated.completeness_gap, abs=1e-6)
    assert isinstance(integrated.checks["steps"], int)  # the most that a window took, no mean
    checks = relevance.checks
    total = relevance.token_scores.astype(np.float64).sum()
    assert total + checks["biases"] == pytest.approx(checks["score"], abs=1e-5)
    assert relevance.layer_scores.shape == (3, 62)
    np.testing.assert_allclose(relevance.layer_scores[0], relevance.token_scores, atol=1e-6)
    assert rollout.token_scores.sum() == pytest.approx(1.0, abs=1e-5)
    assert np.abs(integrated.scores).min() > 0


def test_windows_answer_with_their_mean_logits_and_explain_that_class(folder):
    explain = model.load_explainer(
        folder, ["gradient_x_input"], attn_processor_fn=attention.rollout, long_text="window"
    )
    (record,) = explain([LONG])
    assert record.attention is None  # there is none of the whole text
    assert explain(["the film"])[0].attention.shape == (4,)
    parts = windows.split(
        tokenization.FullTokenizer(folder / "vocab.txt"), LONG, None, classifier_folder.LENGTH
    )[1]
    texts = [LONG[w.encoding.tokens[1].start : w.encoding.tokens[-2].end] for w in parts]
    odds = np.exp(np.log(explain.probabilities(texts).astype(np.float64)).mean(axis=0))
    expected = odds / odds.sum()
    np.testing.assert_allclose(record.probabilities, expected, atol=1e-6)
    np.testing.assert_allclose(explain.probabilities([LONG])[0], expected, atol=1e-6)
    assert record.target == record.predicted == explain.labels[int(np.argmax(expected))]
    every = [r.checks["score"] for r in explain([LONG], target="all")]
    np.testing.assert_allclose(np.exp(every) / np.exp(every).sum(), expected, atol=1e-6)


def test_short_texts_get_the_same_answer_cut_or_in_windows(folder):
    cut, window = (
        model.load_explainer(folder, ["gradient_x_input"], long_text=how)(["the film was fine"])[0]
        for how in ("cut", "window")
    )
    np.testing.assert_allclose(cut.scores, window.scores, atol=1e-6)
    assert "windows" not in window.checks


def test_a_cut_text_says_how_much_was_cut(folder):
    record = model.load_explainer(folder, ["gradient_x_input"])([LONG])[0]
    assert record.truncated == (50, 0)
    assert len(record.words) == 10

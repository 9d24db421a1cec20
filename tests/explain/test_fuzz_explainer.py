"""Any texts are explained in the user's own characters, alone as in a batch, or refused in a line."""

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from explain import explanation
from explain import highlight
from explain import methods as methods_lib
from explain import model
from tests.bert import test_fuzz_texts as texts_made
from tests.explain import explained
from tests.explain import hostile_corpus

folder = explained.folder
METHODS = ("gradient_x_input", "chefer", "cp_lrp", "rollout")
TEXTS = strategies.one_of(
    strategies.text(texts_made.CHARACTERS, max_size=60),
    strategies.tuples(
        strategies.text(texts_made.CHARACTERS, max_size=30),
        strategies.text(texts_made.CHARACTERS, max_size=30),
    ),
)


@pytest.fixture(scope="module")
def explainer(folder):
    return model.load_explainer(folder, METHODS)


def check(explainer, texts):
    """Check what is said of texts together, and that the first hears the same alone."""
    together = explainer(texts)
    assert [record.text for record in together[:: len(METHODS)]] == texts
    for record in together:
        places = [(word.sentence, word.start, word.end) for word in record.words]
        assert places == sorted(places)
        for word in record.words:
            assert 0 <= word.start < word.end <= len(record.texts[word.sentence])
            assert word.text == record.texts[word.sentence][word.start : word.end]
        assert len(record.scores) == len(record.words)
        assert len(record.token_scores) == len(record.tokens) <= 12
        assert all(np.isfinite(record.token_scores))
        assert math.isclose(record.probabilities.sum(), 1, abs_tol=1e-5)
    for one, other in zip(explainer(texts[:1]), together, strict=False):
        np.testing.assert_allclose(one.token_scores, other.token_scores, atol=1e-5)
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-6)
        assert one.words == other.words
    return together


@pytest.mark.timeout(300)
@hypothesis.settings(
    deadline=None, max_examples=25, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
@hypothesis.given(texts=strategies.lists(TEXTS, min_size=1, max_size=4))
def test_any_texts_are_explained_in_their_own_characters(explainer, texts):
    check(explainer, texts)


@pytest.mark.timeout(300)
def test_hostile_texts_are_explained_and_their_records_and_pages_keep_them(explainer, tmp_path):
    hostile = list(texts_made.HOSTILE.values())
    texts = [*hostile, *hostile_corpus.CORPUS, (hostile[0], hostile[-1]), (hostile[4], hostile[0])]
    records = check(explainer, texts)
    explanation.save_jsonl(records, tmp_path / "a.jsonl")
    kept = explanation.load_jsonl(tmp_path / "a.jsonl")
    assert [record.texts for record in kept] == [record.texts for record in records]
    assert [record.words for record in kept] == [record.words for record in records]
    highlight.report(records, "title").encode()


@pytest.mark.parametrize("text", [None, 7, b"fine", ["fine"], ("a", "b", "c"), ("a", None)])
def test_what_is_no_text_is_refused_in_a_line(explainer, text):
    with pytest.raises(TypeError, match=r"^a text must be a str or a pair of str, got .*$"):
        explainer([text])


@pytest.mark.timeout(300)
def test_ten_megabytes_are_explained_as_far_as_they_are_read(explainer):
    text = "the film was fine! " * 530_000
    (one, *_), (other, *_) = explainer([text]), explainer(["the film was fine! " * 3])
    assert one.truncated == (5 * 530_000 - 10, 0)
    assert one.words == other.words
    np.testing.assert_allclose(one.token_scores, other.token_scores, atol=1e-6)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_method_says_the_same_of_four_texts_together_and_alone_whatever_the_padding(folder):
    every = model.load_explainer(folder, list(methods_lib.METHODS))
    together = every(explained.TEXTS)
    alone = [record for text in explained.TEXTS for record in every([text])]
    padded = every([*explained.TEXTS, "the film was so very fine and dull " * 3])
    assert len(together) == 4 * len(methods_lib.METHODS) == len(alone)
    lengths = {len(record.tokens) for record in padded}
    assert (len(lengths), max(lengths)) == (5, 12)
    for one, other, third in zip(alone, together, padded, strict=False):
        size = max(1.0, float(np.abs(one.token_scores).max()))
        for found in (other, third):
            assert (found.method, found.texts) == (one.method, one.texts)
            np.testing.assert_allclose(
                found.token_scores, one.token_scores, atol=1e-5 * size, err_msg=one.method
            )
            np.testing.assert_allclose(found.probabilities, one.probabilities, atol=1e-5)

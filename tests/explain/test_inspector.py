"""What is inside of a classifier leads to its answer: embeddings to logits, relevance to what its methods say."""

import numpy as np
import pytest

from bert import checkpoints
from explain import model
from tests.explain import explained

TEXTS = explained.TEXTS
folder, explainer, records = explained.folder, explained.explainer, explained.records


@pytest.fixture(scope="module")
def inspector(folder):
    return model.load_inspector(folder)


@pytest.fixture(scope="module")
def predictor(folder):
    return model.load_predictor(folder)


@pytest.fixture(scope="module")
def heads(inspector):
    return inspector.heads(TEXTS)


def by_method(records, method):
    return [record for record in records if record.method == method]


def test_the_pooled_vectors_are_what_the_classifier_reads(inspector, predictor, folder):
    names = ["output_weights", "output_bias"]
    weights, bias = checkpoints.load_variables(str(folder / "model.ckpt-7"), names).values()
    logits = predictor.logits([units.ids for units in predictor.units(TEXTS)])
    pooled = inspector.pooled(TEXTS)
    np.testing.assert_allclose(pooled @ weights.T + bias, logits, rtol=1e-5, atol=1e-6)


def test_the_pooler_reads_the_last_layers_first_token(inspector, folder):
    names = ["bert/pooler/dense/kernel", "bert/pooler/dense/bias"]
    kernel, bias = checkpoints.load_variables(str(folder / "model.ckpt-7"), names).values()
    firsts = np.array([found.vectors[0] for found in inspector.embeddings(TEXTS)])
    np.testing.assert_allclose(
        np.tanh(firsts @ kernel + bias), inspector.pooled(TEXTS), rtol=1e-5, atol=1e-6
    )


def test_word_embeddings_are_rows_of_the_table(inspector, predictor, folder):
    name = "bert/embeddings/word_embeddings"
    table = checkpoints.load_variables(str(folder / "model.ckpt-7"), [name])[name]
    for units, found in zip(
        predictor.units(TEXTS), inspector.embeddings(TEXTS, "word"), strict=True
    ):
        np.testing.assert_array_equal(found.vectors, table[list(units.ids.input_ids)])


def test_layers_are_counted_from_0_or_from_the_last(inspector):
    for layer, same in ((0, -2), (1, -1)):
        for one, other in zip(
            inspector.embeddings(TEXTS, layer), inspector.embeddings(TEXTS, same), strict=True
        ):
            np.testing.assert_array_equal(one.vectors, other.vectors)
    first, last = (inspector.embeddings(TEXTS[:1], layer)[0].vectors for layer in (0, 1))
    assert not np.allclose(first, last)


def test_tokens_stand_beside_their_vectors_without_padding(inspector, records):
    for found, record in zip(
        inspector.embeddings(TEXTS, "embedding_output"), by_method(records, "rollout"), strict=True
    ):
        assert found.tokens == record.tokens
        assert found.vectors.shape[0] == len(record.tokens)


def test_attention_is_that_of_the_explainers_records(heads, records):
    for found, record in zip(heads, by_method(records, "rollout"), strict=True):
        np.testing.assert_allclose(found.attention, record.attention, rtol=1e-5, atol=1e-7)


def test_a_heads_relevance_sums_to_its_importance(heads, predictor):
    rows = [units.ids for units in predictor.units(TEXTS)]
    wanted = predictor.head_importance(rows, [found.target for found in heads])
    for found, importance in zip(heads, wanted, strict=True):
        np.testing.assert_allclose(found.relevance.sum((-2, -1)), importance, rtol=1e-3, atol=1e-6)


def test_the_positive_part_of_relevance_carries_chefers_scores(heads, records):
    for found, record in zip(heads, by_method(records, "chefer"), strict=True):
        row = np.eye(len(found.tokens))[0]  # what [CLS] reads
        raising = np.maximum(found.relevance, 0).mean(1)
        carried = row
        for layer in reversed(raising):
            carried = carried + carried @ layer
        np.testing.assert_allclose(carried - row, record.token_scores, rtol=1e-4, atol=1e-6)


def test_tokens_that_the_head_does_not_read_have_no_relevance_in_the_last_layer(heads):
    for found in heads:
        assert not found.relevance[-1, :, 1:].any()
        assert found.relevance[-1, :, 0].any()


def test_relevance_speaks_of_the_class_asked_for(inspector, heads, predictor):
    target = (heads[0].target + 1) % 3
    (found,) = inspector.heads(TEXTS[:1], [target])
    assert found.target == target
    rows = [units.ids for units in predictor.units(TEXTS[:1])]
    (importance,) = predictor.head_importance(rows, [target])
    np.testing.assert_allclose(found.relevance.sum((-2, -1)), importance, rtol=1e-3, atol=1e-6)
    assert not np.allclose(found.relevance, heads[0].relevance)


def test_the_target_is_the_predicted_class_unless_told(heads, records):
    for found, record in zip(heads, by_method(records, "rollout"), strict=True):
        assert record.labels[found.target] == record.predicted


def test_no_texts_have_no_vectors(inspector):
    assert inspector.embeddings([]) == []
    assert inspector.pooled([]).shape == (0, inspector.pooled(TEXTS[:1]).shape[1])
    assert inspector.heads([]) == []


@pytest.mark.parametrize("layer", [2, -3, "words", 0.5])
def test_a_layer_that_is_not_there_is_refused(inspector, layer):
    with pytest.raises(
        ValueError, match=r"layer must be 'word', 'embedding_output', or from -2 to 1"
    ):
        inspector.embeddings(TEXTS, layer)


@pytest.mark.parametrize("ask", ["embeddings", "pooled", "heads"])
def test_a_single_string_is_refused(inspector, ask):
    with pytest.raises(TypeError, match=r"texts must be a list .* write \[text\]"):
        getattr(inspector, ask)("dull")

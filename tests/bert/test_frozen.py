"""A frozen classifier: rows in, answers out, each its own."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from bert import classifier
from bert import features as features_lib
from bert import frozen
from tests.bert import frozen_rows
from tests.bert import tuned_folders

tuned = tuned_folders.tuned
row = frozen_rows.row
everything = frozen_rows.everything
probabilities = frozen_rows.probabilities
model = frozen_rows.model
FOUR, SIX = 4, 6


@pytest.fixture
def small_pools(monkeypatch):
    """Pools of four rows, then of six; batches of two or three rows."""
    monkeypatch.setattr(frozen, "_FIRST_POOL", FOUR)
    monkeypatch.setattr(frozen, "_LARGEST_POOL", SIX)
    monkeypatch.setattr(frozen, "_TOKENS_AT_ONCE", 34)


def alone(golden, asked):
    """Return what the classifier says of one row that shares its batch with none, float64."""
    ids, segments = (np.array([values], np.int32) for values in asked.encoding[1:3])
    variables = {name: tf.constant(x, tf.float64) for name, x in golden.variables.items()}
    batch = features_lib.Features(ids, np.ones_like(ids), segments)
    found = everything(classifier.forward(variables, golden.config, batch), batch)
    return {name: None if value is None else np.array(value)[0] for name, value in found.items()}


@pytest.mark.usefixtures("small_pools")
def test_answers_are_those_of_each_row_alone_in_the_order_of_the_rows(golden, tuned):
    lengths = [5, 16, 2, 9, 3, 3, 16, 8, 1, 4, 12, 7, 2, 15, 6, 5, 10, 11, 13, 2, 14, 8, 3]
    rows = [row(length, seed) for seed, length in enumerate(lengths)]
    found = list(model(tuned(), "float64").graph(everything)(rows))
    assert len(found) == len(rows)
    for asked, answer in zip(rows, found, strict=True):
        expected, length = alone(golden, asked), len(asked.encoding.input_ids)
        assert answer["attention"].shape == (3, 3, length, length)
        assert answer["probabilities"].dtype == np.float64
        assert answer["nothing"] is expected["nothing"] is None
        assert answer["mask"].tolist() == [1] * length
        for name in ("probabilities", "attention", "matrix"):
            np.testing.assert_allclose(answer[name], expected[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("length", [3, 4, 5], ids=["heads", "layers", "labels"])
def test_an_axis_of_another_thing_is_never_cut_whatever_its_size(tuned, length, monkeypatch):
    monkeypatch.setattr(frozen, "_MULTIPLE", 1)  # batches would be as wide as their longest row

    def of_embeddings_too(outputs, features):
        per_layer = tf.stack([h[..., 0] for h in outputs.hidden_states], axis=1)
        entered = outputs.embedding_output[:, tf.newaxis, :, 0]
        return everything(outputs, features) | {
            "hidden": tf.concat([entered, per_layer], axis=1),
            "heads": tf.stack([p[:, :, 0, 0] for p in outputs.attention_probs], axis=1),
        }

    longer, shorter = model(tuned()).graph(of_embeddings_too)([row(length), row(2)])
    for answer, tokens in ((longer, length), (shorter, 2)):
        assert answer["probabilities"].shape == (5,)
        np.testing.assert_allclose(answer["probabilities"].sum(), 1.0, rtol=1e-6)
        assert answer["attention"].shape == (3, 3, tokens, tokens)
        assert answer["heads"].shape == (3, 3)
        assert answer["hidden"].shape == (4, tokens)


def test_an_answer_owns_its_memory_so_that_the_batch_can_go(tuned):
    answer = next(iter(model(tuned()).graph(everything)([row(2), row(9)])))
    assert all(value.base is None for value in answer.values() if value is not None)


@pytest.mark.usefixtures("small_pools")
def test_rows_are_read_no_further_than_the_pool_and_the_next(tuned):
    read = []

    def source():
        for seed in range(40):
            read.append(seed)
            yield row(2 + seed % 7, seed)

    answers = model(tuned()).graph(probabilities)(source())
    assert read == []
    next(answers)
    assert FOUR <= len(read) <= FOUR + SIX
    assert len(list(itertools.islice(answers, 4))) == 4  # into the second pool
    assert len(read) <= FOUR + 2 * SIX
    answers.close()
    assert len(read) <= FOUR + 2 * SIX


@pytest.mark.usefixtures("small_pools")
def test_an_error_in_the_rows_reaches_the_caller_after_the_answers_before_it(tuned):
    def source():
        for seed in range(9):
            yield row(3, seed)
        raise ValueError("line 10 is no text")

    found = []
    with pytest.raises(ValueError, match=r"^line 10 is no text$"):
        found.extend(model(tuned()).graph(probabilities)(source()))
    assert len(found) == FOUR  # the pool that the error cut short is lost


@pytest.mark.parametrize(
    ("bound", "parts"),
    # attention of 3 layers and 3 heads: 36 bytes times length squared, 144, 576, 2304, 9216
    [(10**9, [5]), (12_000, [3, 1, 1]), (3_100, [3, 1, 1]), (2_400, [2, 1, 1, 1]), (1, [1] * 5)],
)
def test_rows_are_answered_in_parts_whose_answers_stay_within_bounds_whatever_came_before(
    tuned, monkeypatch, bound, parts
):
    monkeypatch.setattr(frozen, "_POOL_BYTES", bound)
    asked, answers = [], frozen.Graph._answers

    def watched(self, rows):
        asked.append(len(rows))
        return answers(self, rows)

    monkeypatch.setattr(frozen.Graph, "_answers", watched)
    graph = model(tuned()).graph(lambda outputs, _: tf.stack(outputs.attention_probs, axis=1))
    found = list(graph(row(length, length) for length in (2, 4, 8, 16, 16)))
    assert [answer.shape[-1] for answer in found] == [2, 4, 8, 16, 16]
    assert asked == parts


def test_a_batch_holds_rows_of_like_length_within_its_bound(monkeypatch):
    monkeypatch.setattr(frozen, "_TOKENS_AT_ONCE", 20)
    monkeypatch.setattr(frozen, "_MULTIPLE", 1)
    batches = list(frozen._batches([9, 2, 30, 10, 3, 2, 10]))
    # 4 * 3 tokens, but 4 * 9 are too many; 3 * 10 too; one row is asked however long
    assert batches == [[1, 5, 4], [0, 3], [6], [2]]
    monkeypatch.setattr(frozen, "_MULTIPLE", 8)  # with the padding that makes widths alike
    assert list(frozen._batches([3, 2, 9, 4])) == [[1, 0], [3], [2]]


def test_a_batch_ends_where_padding_its_rows_costs_more_than_another_batch(monkeypatch):
    monkeypatch.setattr(frozen, "_COST_OF_A_BATCH", 6)
    monkeypatch.setattr(frozen, "_MULTIPLE", 1)
    # 2 rows padded by 3 tokens may stay; 4 rows padded by 2 go, and the first of the next may be padded by 6
    assert list(frozen._batches([8, 5, 9, 5, 17, 11])) == [[1, 3, 0, 2], [5, 4]]


def test_a_prediction_carries_probabilities_the_class_and_what_extras_make(golden, tuned):
    def extra(outputs, features):
        return {"first": outputs.attention_probs[0][:, :, 0], "mask": features.input_mask}

    rows = [row(length, length) for length in (5, 2, 16, 8)]
    frozen_model = model(tuned(), "float64")
    found = list(frozen_model.predict((r.encoding for r in rows), [extra]))
    for asked, prediction in zip(rows, found, strict=True):
        expected, length = alone(golden, asked), len(asked.encoding.input_ids)
        assert prediction.keys() == {"probabilities", "pred_class", "first", "mask"}
        assert prediction["pred_class"] == np.argmax(expected["probabilities"])
        assert prediction["mask"].tolist() == [1] * length
        for name, value in (
            ("probabilities", expected["probabilities"]),
            ("first", expected["attention"][0, :, 0]),
        ):
            np.testing.assert_allclose(prediction[name], value, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match=r"name of its own, got 'first' twice"):
        list(frozen_model.predict([rows[0].encoding], [extra, extra]))


def test_classes_asked_for_reach_the_graph_with_their_row(tuned):
    def asked(_, features):
        return features.target, features.contrast

    rows = [row(9, target=2), row(3, target=4, contrast=1), row(5), row(2, target=0)]
    found = list(model(tuned()).graph(asked)(rows))
    assert [tuple(map(int, pair)) for pair in found] == [(2, -1), (4, 1), (-1, -1), (0, -1)]


def test_a_graph_is_built_at_its_first_row_and_once(tuned, monkeypatch):
    forwards, forward = [], classifier.forward

    def watched(*args, **kwargs):
        forwards.append(kwargs["with_taps"])
        return forward(*args, **kwargs)

    monkeypatch.setattr(classifier, "forward", watched)
    graph = model(tuned()).graph(probabilities)
    assert list(graph([])) == []
    assert forwards == []
    for lengths in ([2], [16, 9, 3], [1, 1], [8]):
        assert len(list(graph([row(length) for length in lengths]))) == len(lengths)
    assert forwards == [False]


def test_every_variable_counts_in_the_weights_hash():
    values = {"a": np.ones(3, np.float32), "b": np.zeros(2, np.float32)}
    assert frozen._digest(values) == frozen._digest(dict(reversed(values.items())))
    for other in (
        values | {"b": np.float32([0, 1])},
        values | {"a": np.float32([1, 1, 2])},
        {"a": values["a"], "c": values["b"]},
    ):
        assert frozen._digest(other) != frozen._digest(values)


def test_a_place_that_is_not_attended_to_is_padding_but_keeps_the_places_after_it(golden, tuned):
    whole = row(9, unattended=(3, 8))
    graph = model(tuned(), "float64").graph(everything)
    (found,) = graph([whole])
    np.testing.assert_array_equal(found["mask"], [1, 1, 1, 0, 1, 1, 1, 1, 0])
    np.testing.assert_array_equal(found["attention"][..., [3, 8]], 0)
    ids = list(whole.encoding.input_ids)
    ids[3], ids[8] = (ids[3] + 1) % 40, 0  # what is not read does not matter
    other = whole._replace(encoding=whole.encoding._replace(input_ids=tuple(ids)))
    (same,) = graph([other])
    np.testing.assert_allclose(same["probabilities"], found["probabilities"], rtol=1e-12)
    assert not np.allclose(found["probabilities"], alone(golden, whole)["probabilities"])


def test_weights_can_be_altered_before_they_are_used(golden, tuned):
    def zeroed(values, config):
        assert config.num_hidden_layers == 3
        return values | {"output_weights": values["output_weights"] * 0}

    folder = tuned()
    altered = model(folder, alter=zeroed)
    (answer,) = altered.graph(lambda outputs, _: outputs.logits)([row(5)])
    np.testing.assert_allclose(answer, golden.variables["output_bias"], rtol=1e-6)
    assert altered.weights_sha256 != model(folder).weights_sha256


@pytest.mark.usefixtures("small_pools")
def test_tensors_to_be_stacked_come_out_as_one_array_of_each_row(tuned):
    def ask(outputs, features):
        return {
            "parts": (frozen.Stacked(outputs.attention_probs), features.target),
            "whole": tf.stack(outputs.attention_probs, axis=1),
        }

    rows = [row(length, length) for length in (5, 16, 2, 9)]
    for asked, answer in zip(rows, model(tuned()).graph(ask)(rows), strict=True):
        stacked, target = answer["parts"]
        assert stacked.shape == (3, 3, *[len(asked.encoding.input_ids)] * 2)
        np.testing.assert_array_equal(stacked, answer["whole"])
        assert (stacked.base, int(target)) == (None, -1)


def test_an_axis_of_known_size_is_kept_though_a_batch_be_as_wide(tuned):
    def ask(outputs, features):
        return {"pooled": outputs.pooled, "hidden": outputs.hidden_states[-1]}

    rows = [row(12), row(5)]  # the golden model is 12 wide
    long, short = model(tuned()).graph(ask)(rows)
    assert [answer["pooled"].shape for answer in (long, short)] == [(12,), (12,)]
    assert [answer["hidden"].shape for answer in (long, short)] == [(12, 12), (5, 12)]

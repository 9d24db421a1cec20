"""The tensors of a BERT by name, and its heads one by one, against NumPy's own forward pass."""

import math

import numpy as np
import pytest

from bert import anatomy
from bert import config as config_lib
from bert import nano
from tests import reference_bert
from tests.explain import classifier_folder

IDS = np.array([[1, 5, 6, 2, 0, 0, 0], [1, 7, 8, 9, 5, 6, 2]])


@pytest.fixture(scope="module", params=["default", "global_average_pool"])
def bert(request):
    config = nano.config(11, n_layer=2, n_head=3, n_embed=12, max_seq_len=9, layer_norm_eps=1e-12)
    return anatomy.fresh(config, num_labels=5, pooling=request.param, seed=4)


@pytest.fixture(scope="module")
def expected(bert):
    name, missing = "bert/embeddings/token_type_embeddings", np.zeros([1, 12])
    pooler = {
        "bert/pooler/dense/kernel": np.eye(12),
        "bert/pooler/dense/bias": np.zeros(12),
    }  # where the model has none, its pooled output is not looked at
    variables = pooler | dict(bert.variables) | {name: missing}
    return reference_bert.forward(variables, 3, IDS, IDS != 0, np.zeros_like(IDS))


def test_every_named_tensor_is_that_of_the_forward_pass(bert, expected):
    found = bert.tensors(IDS)
    outputs = bert(IDS)
    close = {"rtol": 0, "atol": 3e-6}  # float32 against float64 through two layers
    np.testing.assert_allclose(found["embedding_output"], expected.embedding_output, **close)
    for layer in range(2):
        np.testing.assert_allclose(
            found[f"layer_{layer}/output"], expected.hidden_states[layer], **close
        )
        np.testing.assert_allclose(
            found[f"layer_{layer}/attention_probs"], expected.attention_probs[layer], **close
        )
        context = np.concatenate(list(found[f"layer_{layer}/context"].swapaxes(0, 1)), axis=-1)
        np.testing.assert_allclose(context, expected.contexts[layer], **close)
    if bert.pooling == "default":
        np.testing.assert_allclose(found["logits"], expected.logits, **close)
    np.testing.assert_allclose(found["logits"], outputs.logits, **close)
    np.testing.assert_allclose(found["pooled"], outputs.pooled, **close)
    np.testing.assert_allclose(
        found["probabilities"], reference_bert.softmax(found["logits"]), **close
    )


def test_each_tensor_follows_from_the_ones_before_it(bert):
    found, close = bert.tensors(IDS), {"rtol": 0, "atol": 3e-6}

    def weights(name):
        place = f"bert/encoder/layer_1/{name}"
        return bert.variables[f"{place}/kernel"], bert.variables[f"{place}/bias"]

    def step(name):
        return found[f"layer_1/{name}"]

    def normalised(x, name):
        place = f"bert/encoder/layer_1/{name}/LayerNorm"
        gamma, beta = (bert.variables[f"{place}/{part}"] for part in ("gamma", "beta"))
        return reference_bert.normalise(x, gamma, beta)

    entered = found["layer_0/output"]
    summed = found["word_embeddings"] + found["position_embeddings"]
    np.testing.assert_allclose(
        found["embedding_output"], reference_bert.normalise(summed, 1.0, 0.0), **close
    )
    for name in ("query", "key", "value"):
        kernel, bias = weights(f"attention/self/{name}")
        joined = np.concatenate(list(step(name).swapaxes(0, 1)), axis=-1)
        np.testing.assert_allclose(joined, entered @ kernel + bias, **close)
    products = step("query") @ step("key").swapaxes(-1, -2)
    np.testing.assert_allclose(step("scores"), products / math.sqrt(4), **close)
    kernel, bias = weights("attention/output/dense")
    context = np.concatenate(list(step("context").swapaxes(0, 1)), axis=-1)
    np.testing.assert_allclose(step("projection"), context @ kernel + bias, **close)
    residual = normalised(step("projection") + entered, "attention/output")
    np.testing.assert_allclose(step("attention_output"), residual, **close)
    kernel, bias = weights("intermediate/dense")
    np.testing.assert_allclose(step("intermediate"), residual @ kernel + bias, **close)
    np.testing.assert_allclose(
        step("activation"), reference_bert.gelu_erf(step("intermediate")), **close
    )
    kernel, bias = weights("output/dense")
    np.testing.assert_allclose(step("narrowed"), step("activation") @ kernel + bias, **close)
    np.testing.assert_allclose(
        step("output"), normalised(step("narrowed") + residual, "output"), **close
    )


def test_a_head_is_made_of_its_own_weights_and_the_heads_sum_to_the_projection(bert):
    tensors, total = bert.tensors(IDS), 0.0
    entered = tensors["layer_0/output"]
    is_padding = np.where(IDS, 0.0, -10000.0)[:, np.newaxis]
    for number in range(3):
        weights, head = bert.head_weights(1, number), bert.head_tensors(IDS, 1, number)
        queries, keys, values = (
            entered @ kernel + bias
            for kernel, bias in zip(weights[0:6:2], weights[1:6:2], strict=True)
        )
        scores = queries @ keys.swapaxes(-1, -2) / math.sqrt(4)
        probs = reference_bert.softmax(scores + is_padding)
        expected = (queries, keys, values, scores, probs, probs @ values)
        for found, wanted in zip(head, expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=3e-6)
        total += head.context @ weights.output_kernel
    bias = bert.variables["bert/encoder/layer_1/attention/output/dense/bias"]
    np.testing.assert_allclose(total + bias, tensors["layer_1/projection"], rtol=0, atol=3e-6)


@pytest.mark.parametrize(("layer", "head"), [(2, 0), (0, 3), (-1, 0), (0, -1)])
def test_a_head_that_is_not_there_is_refused(bert, layer, head):
    message = rf"must be below 2 and 3, the model's, and from 0; got {layer} and {head}"
    with pytest.raises(ValueError, match=message):
        bert.head_weights(layer, head)
    with pytest.raises(ValueError, match=message):
        bert.head_tensors(IDS, layer, head)


def test_the_embedding_of_ids_is_what_enters_the_first_layer(bert):
    found = bert.embedding(IDS)
    assert found.shape == (2, 7, 12)
    np.testing.assert_array_equal(found, bert(IDS).embedding_output)
    np.testing.assert_array_equal(bert.embedding(IDS.tolist()), found)


def test_probabilities_do_not_depend_on_how_many_rows_are_run_at_once(bert):
    rows = np.concatenate([IDS, IDS[::-1], IDS[:1]])
    found = bert.probabilities(rows, rows_at_once=2)
    assert found.shape == (5, 5)
    np.testing.assert_allclose(found, bert.tensors(rows)["probabilities"], rtol=0, atol=1e-6)


def test_padding_changes_nothing(bert):
    longer = np.pad(IDS, [(0, 0), (0, 2)])
    found, shorter = bert.tensors(longer), bert.tensors(IDS)
    np.testing.assert_allclose(found["logits"], shorter["logits"], rtol=0, atol=1e-6)
    assert not found["layer_1/attention_probs"][:, :, :, 7:].any()


def test_the_seed_alone_decides_the_weights():
    config = nano.config(11, n_embed=6)
    one, again, other = (anatomy.fresh(config, seed=seed).variables for seed in (1, 1, 2))
    name = "bert/encoder/layer_0/output/dense/kernel"
    np.testing.assert_array_equal(one[name], again[name])
    assert not np.isclose(one[name], other[name]).any()
    assert one["bert/embeddings/LayerNorm/gamma"].tolist() == [1.0] * 6


def test_without_segments_the_model_is_one_with_a_table_of_zeros():
    config = nano.config(11, n_embed=6)
    bert = anatomy.fresh(config)
    name = "bert/embeddings/token_type_embeddings"
    assert name not in bert.variables
    two = config_lib.BertConfig(**{**config.to_dict(), "type_vocab_size": 2})
    zeros = {**bert.variables, name: np.zeros([2, 6], np.float32)}
    np.testing.assert_allclose(
        bert.probabilities(IDS), anatomy.Bert(two, zeros).probabilities(IDS), rtol=0, atol=1e-7
    )


def test_a_trained_folder_of_any_bert_opens_and_answers_as_its_predictions(tmp_path, tiny_release):
    from bert import features
    from bert import frozen
    from bert import model_folder

    folder = classifier_folder.make(tmp_path / "model", tiny_release)
    parts = model_folder.load(folder)
    encodings = [features.encode(parts.tokenizer(), text, None, 12) for text in ("so fine", "dull")]
    expected = list(frozen.FrozenModel(parts).predict(encodings))
    rows = features.batch_arrays(encodings, 12)["input_ids"]
    np.testing.assert_allclose(
        anatomy.load(folder).probabilities(rows),
        [prediction["probabilities"] for prediction in expected],
        rtol=0,
        atol=1e-6,
    )

import numpy as np
import pytest
import tensorflow as tf

from bert import classifier
from bert import datasets
from bert import export
from bert import features
from bert import input_fn
from bert import model_folder
from explain import attention
from explain import methods
from explain import model
from tests import conftest
from tests.explain import classifier_folder
from tests.explain import explained

TEXTS, FIVE = explained.TEXTS, explained.FIVE
folder, explainer, records = explained.folder, explained.explainer, explained.records


def test_there_is_one_record_a_text_and_method_in_that_order(explainer, records):
    names = [*FIVE, "integrated_gradients", "rollout"]
    assert [(r.guid, r.method) for r in records] == [
        (f"text-{i}", name) for i in range(4) for name in names
    ]
    assert [r.text for r in records[:: len(names)]] == TEXTS
    assert [r.gold for r in records[:: len(names)]] == ["good", None, "bad", "so-so"]


def test_words_are_the_users_own_and_hold_the_sum_of_their_pieces(records):
    for record in records:
        assert all(record.texts[w.sentence][w.start : w.end] == w.text for w in record.words)
        special = [token in ("[CLS]", "[SEP]") for token in record.tokens]
        rest = record.token_scores[np.logical_not(special)].sum()
        np.testing.assert_allclose(record.scores.sum(), rest, rtol=1e-5, atol=1e-6)
    assert [w.text for w in records[-1].words] == ["a", "a", "the", "Ünknown", "it"]
    assert records[-1].tokens[4] == "[UNK]"


def test_probabilities_are_the_models_own(folder, explainer, records):
    parts = model_folder.load(folder)
    reader = tf.train.load_checkpoint(parts.init_checkpoint)
    wanted = classifier.variable_shapes(parts.config, 3)
    variables = {name: reader.get_tensor(name) for name in wanted}
    for index, text in enumerate(TEXTS):
        pair = (text, None) if isinstance(text, str) else text
        encoding = features.encode(parts.tokenizer(), *pair, classifier_folder.LENGTH)
        arrays = [np.array([x], np.int32) for x in encoding[1:3]]
        batch = features.Features(arrays[0], np.ones_like(arrays[0]), arrays[1])
        logits = classifier.forward(variables, parts.config, batch).logits
        expected = tf.nn.softmax(logits).numpy()[0]
        of_text = [r for r in records if r.guid == f"text-{index}"]
        for record in of_text:
            np.testing.assert_allclose(record.probabilities, expected, atol=1e-6)
            assert record.predicted == explainer.labels[int(np.argmax(expected))]
        score = logits.numpy()[0, np.argmax(expected)]
        assert of_text[0].checks["score"] == pytest.approx(score, abs=1e-6)  # a graph with taps
    np.testing.assert_allclose(
        explainer.probabilities(TEXTS), [r.probabilities for r in records[::7]], atol=1e-6
    )


def test_texts_alone_and_together_get_the_same_scores(explainer, records):
    alone = [record for text in TEXTS for record in explainer([text])]
    for record, single in zip(records, alone, strict=True):
        np.testing.assert_allclose(record.token_scores, single.token_scores, atol=1e-5)


def test_an_explanation_leaves_the_answer_alone(explainer):
    plain = explainer.probabilities(TEXTS)
    found = np.stack([r.probabilities for r in explainer(TEXTS)[::7]])
    np.testing.assert_allclose(found, plain, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"precision": "float16"}, r"one of float32, bfloat16, float64; got 'float16'"),
        ({"engine": "onnx"}, r"engine must be one of tensorflow, xla, openvino; got 'onnx'"),
        (
            {"word_scores": "median"},
            r"word_scores must be one of sum, mean, max, first; got 'median'",
        ),
        ({"long_text": "drop"}, r"long_text must be one of cut, window; got 'drop'"),
    ],
)
def test_a_wrong_setting_is_refused(folder, settings, told):
    with pytest.raises(ValueError, match=told):
        model.load_explainer(folder, **settings)


def test_a_processor_that_is_no_function_or_makes_several_tensors_is_refused(folder):
    with pytest.raises(TypeError, match=r"must be a function of .*; got 'rollout'"):
        model.load_explainer(folder, attn_processor_fn="rollout")

    def two(layers):
        return {"a": attention.rollout(layers), "b": attention.lat(layers)}

    warm = model.load_explainer(folder, ["random"], attn_processor_fn=two)
    with pytest.raises(ValueError, match=r"must return one tensor, .*got attention_a, attention_b"):
        warm(["dull"])


def test_a_method_must_give_one_score_a_token(folder):
    warm = model.load_explainer(folder, [lambda question: question.outputs.logits])
    with pytest.raises(ValueError, match=r"<lambda> must give one score a token, .*shape \(3,\)"):
        warm(["so dull"])


def test_shap_explains_the_plain_callable(explainer):
    shap = pytest.importorskip("shap", reason='wants the optional extra: pip install ".[shap]"')
    text = "the film was so fine"
    masker = shap.maskers.Text(r"\W+")
    values = shap.Explainer(lambda t: explainer.probabilities(list(t)), masker)(
        [text], max_evals=100, silent=True
    )
    reached = values.base_values[0] + values.values[0].sum(axis=0)
    np.testing.assert_allclose(reached, explainer.probabilities([text])[0], atol=1e-4)


def test_nothing_asked_is_nothing_answered(explainer):
    assert explainer([]) == []
    assert explainer.probabilities([]).shape == (0, 3)


def test_attention_comes_back_for_the_tokens_of_each_text(records):
    for record in records:
        size = len(record.tokens)
        assert record.attention.shape == (2, 3, size, size)  # layers, heads
        np.testing.assert_allclose(record.attention.sum(axis=-1), 1.0, rtol=1e-5)


def test_an_axis_of_heads_is_never_taken_for_one_of_tokens(folder):
    def from_first(layers):
        return layers[0]["layer_0"][:, :, 0]

    warm = model.load_explainer(folder, ["random"], attn_processor_fn=from_first)
    longer, shorter = warm(["dull", ""])  # as many tokens as heads, and one less
    assert longer.attention.shape == (3, 3)
    assert shorter.attention.shape == (3, 2)


def test_checks_are_named_passed_and_settled(records):
    by_method = {r.method: r for r in records[:7]}
    assert by_method["cp_lrp"].checks["ledger_error"] < 1e-4
    assert by_method["rollout"].checks["row_sum_error"] < 1e-5
    integrated = by_method["integrated_gradients"]
    assert integrated.completeness_gap == integrated.checks["completeness_gap"]
    rise = integrated.checks["score"] - integrated.checks["baseline_score"]
    total = integrated.token_scores.sum()
    assert total - rise == pytest.approx(integrated.completeness_gap, abs=1e-5)
    assert abs(integrated.completeness_gap) <= max(0.01 * abs(rise), 1e-3)
    assert integrated.checks["steps"] >= 16
    assert all(r.checks.get("passed", True) for r in records)


def test_settings_name_the_weights_the_options_and_the_versions(folder, tiny_release, tmp_path):
    other = classifier_folder.make(tmp_path / "other", tiny_release, seed=12)
    same = classifier_folder.make(tmp_path / "same", tiny_release)
    first, second, third = (
        model.load_explainer(
            f, ["occlusion"], method_options={"occlusion": {"replacement": "pad"}}
        )(["dull"])[0].settings
        for f in (folder, other, same)
    )
    assert first["weights_sha256"] == third["weights_sha256"] != second["weights_sha256"]
    assert first["options"] == {"replacement": "pad", "tokens_at_once": 4096}
    assert first["versions"]["tensorflow"] == tf.__version__
    assert first["max_seq_length"] == classifier_folder.LENGTH


@pytest.mark.parametrize("write", [export.write_hugging_face, export.strip_optimizer])
def test_an_exported_model_is_explained_alike(folder, tmp_path, monkeypatch, write):
    monkeypatch.setenv("BERT_CACHE_DIR", str(tmp_path / "cache"))
    write(folder, tmp_path / "exported")
    first, second = (
        model.load_explainer(where, ["gradient_x_input"])(["it was a fine film"])[0]
        for where in (folder, tmp_path / "exported")
    )
    np.testing.assert_allclose(first.scores, second.scores, atol=1e-6)
    assert first.labels == second.labels == classifier_folder.LABELS
    assert first.settings["weights_sha256"] == second.settings["weights_sha256"]


def test_strict_refuses_what_misses_its_tolerance(folder):
    options = {"integrated_gradients": {"steps": 1, "max_steps": 1, "tolerance": 1e-6}}
    lenient = model.load_explainer(folder, method_options=options)
    assert [r.checks["passed"] for r in lenient(TEXTS)] == [False] * 4
    strict = model.load_explainer(folder, method_options=options, strict=True)
    with pytest.raises(ValueError, match=r"4 of 4 explanations missed .* text-0 \(score .*steps 1"):
        strict(TEXTS)


def test_in_double_precision_the_ledger_closes_further(folder):
    asked = ["cp_lrp", "attn_lrp", "epsilon_lrp", "alpha_beta_lrp"]
    found = model.load_explainer(folder, asked, precision="float64", strict=True)(TEXTS)
    assert max(r.checks["ledger_error"] for r in found) < 1e-9


def test_a_random_word_is_one_draw_whatever_its_pieces(folder):
    record = model.load_explainer(folder, ["random"])(["dullness! finely!! it"])[0]
    assert len(record.tokens) == 10
    assert record.scores.tolist() == record.token_scores[[1, 4, 8]].tolist()
    assert record.settings["word_scores"] == "first"


def test_a_method_of_ones_own_joins_the_others(folder):
    def word_length(question: methods.Question) -> tf.Tensor:
        return tf.cast(question.features.input_mask, tf.float32) * 2.0

    record = model.load_explainer(folder, [word_length])(["the film"])[0]
    assert (record.method, record.scores.tolist()) == ("word_length", [2.0, 2.0])


@conftest.needs_estimator
def test_the_estimator_yields_the_same_attributions(folder, explainer):
    texts = ["the film was so fine !", "it was dull"]
    parts = model_folder.load(folder)
    examples = [datasets.InputExample(str(i), text, None) for i, text in enumerate(texts)]
    encodings = [parts.encode(parts.tokenizer(), example) for example in examples]
    padded = [features.pad_encoding(e, classifier_folder.LENGTH) for e in encodings]
    inputs = input_fn.input_fn_builder(
        padded, classifier_folder.LENGTH, is_training=False, drop_remainder=False
    )
    estimator = model.load_bert_model(
        folder,
        attn_processor_fn=attention.rollout,
        methods=(*FIVE, "integrated_gradients", "occlusion", "smoothgrad", "random"),
        method_options={"cp_lrp": {"layers": True}},
    )
    found = list(estimator.predict(inputs))
    warm = model.load_explainer(folder, ["occlusion", "smoothgrad", "random"])
    expected = {(r.guid, r.method): r for r in explainer(texts) + warm(texts)}
    for index, prediction in enumerate(found):
        size = len(encodings[index].tokens)
        for name in (*FIVE, "integrated_gradients", "occlusion", "smoothgrad", "random"):
            scores = prediction[f"attribution_{name}"]
            assert scores.shape == (classifier_folder.LENGTH,)
            record = expected[f"text-{index}", name]
            np.testing.assert_allclose(scores[:size], record.token_scores, atol=1e-5)
            np.testing.assert_array_equal(scores[size:], 0.0)
        assert prediction["layer_attribution_cp_lrp"].shape == (3, classifier_folder.LENGTH)
        assert prediction["ledger_error_cp_lrp"] < 1e-4
        assert prediction["attention"].shape == (classifier_folder.LENGTH,)


@conftest.needs_estimator
def test_the_features_may_name_the_class_to_explain(folder, explainer):
    encoding = model_folder.load(folder).encode(
        model_folder.load(folder).tokenizer(), datasets.InputExample("0", "it was dull", None)
    )
    columns = features.columns([features.pad_encoding(encoding, 12)], 12)

    def inputs():
        named = columns | {"target": np.array([0], np.int32)}
        return tf.data.Dataset.from_tensor_slices(named).batch(1)

    estimator = model.load_bert_model(folder, methods=["gradient_x_input"])
    found = next(iter(estimator.predict(inputs)))["attribution_gradient_x_input"]
    expected = {r.method: r for r in explainer(["it was dull"], target="bad")}["gradient_x_input"]
    np.testing.assert_allclose(found[: len(expected.tokens)], expected.token_scores, atol=1e-6)


def test_a_stream_yields_what_a_call_returns_and_reads_no_further_than_it_is_told(explainer):
    texts = [*TEXTS, "so fine", "very dull", "the film"]
    read = []

    def source():
        for text in texts:
            read.append(text)
            yield text

    stream = explainer.stream(source(), "good", texts_at_once=3)
    assert read == []
    found = []
    for record in stream:
        found.append(record)
        at_hand = -(-len(found) // 21) * 3  # three texts of seven methods
        assert read == texts[:at_hand]
    expected = explainer(texts, "good")
    assert [(r.guid, r.method, r.target) for r in found] == [
        (r.guid, r.method, r.target) for r in expected
    ]
    for record, of_call in zip(found, expected, strict=True):
        assert record.texts == of_call.texts
        np.testing.assert_allclose(record.token_scores, of_call.token_scores, atol=1e-5)


def test_a_stream_refuses_a_wrong_text_when_its_turn_comes(explainer):
    with pytest.raises(TypeError, match=r"got one str; write \[text\]"):
        next(explainer.stream("dull"))
    found = []
    with pytest.raises(TypeError, match=r"a text must be a str or a pair of str, got None"):
        found.extend(explainer.stream(["a", "i", None], texts_at_once=2))
    assert len({record.guid for record in found}) == 2

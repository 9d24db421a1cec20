import gc
import json
import pathlib
import resource
import shutil
import weakref

import numpy as np
import pytest
import tensorflow as tf

from bert import classifier
from bert import config as config_lib
from bert import datasets
from bert import export
from bert import features
from bert import input_fn
from bert import model_folder
from explain import attention
from explain import explainer as explainer_lib
from explain import methods
from explain import model
from tests.explain import classifier_folder

TEXTS = [
    "The film was so fine!",
    "dull",
    ("it was very dull and", "I fine me"),
    "a a the Ünknown it",
]
FIVE = ("gradient_sensitivity", "gradient_x_input", "cp_lrp", "attn_lrp", "chefer")


@pytest.fixture(scope="module")
def folder(tiny_release, tmp_path_factory):
    return classifier_folder.make(tmp_path_factory.mktemp("classifier"), tiny_release)


@pytest.fixture(scope="module")
def explainer(folder) -> explainer_lib.Explainer:
    asked = (*FIVE, "integrated_gradients", "rollout")
    return model.load_explainer(folder, asked, attn_processor_fn=attention.all_layers)


@pytest.fixture(scope="module")
def records(explainer):
    return explainer(TEXTS, labels=["good", None, 0, "so-so"])


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


def test_an_explanation_leaves_the_answer_alone(folder, explainer):
    plain = explainer.probabilities(TEXTS)
    explained = np.stack([r.probabilities for r in explainer(TEXTS)[::7]])
    np.testing.assert_allclose(explained, plain, atol=1e-6)


def test_without_the_remapper_the_answer_is_the_same_to_the_bit(folder):
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"remapper": False})
    try:
        fresh = model.load_explainer(folder, ["gradient_x_input", "chefer"])
        plain = fresh.probabilities(TEXTS)
        explained = np.stack([r.probabilities for r in fresh(TEXTS)[::2]])
    finally:
        tf.config.optimizer.set_experimental_options({"remapper": before.get("remapper", True)})
    np.testing.assert_array_equal(explained, plain)


def test_the_predicted_class_is_explained_unless_another_is_asked_for(explainer, records):
    assert all(r.target == r.predicted for r in records if r.method != "rollout")
    assert {r.target for r in records if r.method == "rollout"} == {""}
    by_label, by_index, by_text = (explainer(TEXTS[:1], target=name) for name in ("bad", 0, "0"))
    assert [r.target for r in by_text] == [r.target for r in by_index]
    for first, second in zip(by_label, by_index, strict=True):
        assert first.target == second.target == ("" if first.method == "rollout" else "bad")
        np.testing.assert_array_equal(first.scores, second.scores)
    gold = explainer(TEXTS[:2], target="gold", labels=["so-so", 1])
    assert [gold[0].target, gold[7].target] == ["so-so", "good"]


def test_all_classes_are_explained_in_one_call(explainer):
    found = explainer(TEXTS[:1], target="all")
    per_class = [(r.method, r.target) for r in found if r.method != "rollout"]
    assert per_class == [
        (name, label)
        for name in (*FIVE, "integrated_gradients")
        for label in classifier_folder.LABELS
    ]
    assert [r.target for r in found if r.method == "rollout"] == [""]
    for label in classifier_folder.LABELS:
        alone = {r.method: r for r in explainer(TEXTS[:1], target=label)}
        for record in found:
            if record.target == label:
                np.testing.assert_allclose(record.scores, alone[record.method].scores, atol=1e-5)


def test_a_contrast_is_one_class_less_another_whatever_hyphens_labels_have(explainer):
    first, second, lead = (
        {r.method: r for r in explainer(TEXTS[:1], target=target)}
        for target in ("so-so", "good", "so-so-good")
    )
    assert lead["cp_lrp"].target == "so-so-good"
    for name in ("gradient_x_input", "cp_lrp", "attn_lrp"):
        expected = first[name].token_scores - second[name].token_scores
        np.testing.assert_allclose(lead[name].token_scores, expected, atol=1e-5)
    other = "good" if first["cp_lrp"].predicted == "bad" else "bad"
    predicted = explainer(TEXTS[:1], target=f"predicted-{other}")[0]
    assert predicted.target == f"{predicted.predicted}-{other}"


def test_a_label_that_is_a_word_of_the_targets_is_asked_for_by_its_index(tiny_release, tmp_path):
    named = classifier_folder.make(tmp_path, tiny_release, labels=("all", "gold", "predicted"))
    explain = model.load_explainer(named, ["gradient_x_input"])
    for target, index in (("all", 0), ("gold", 1)):
        with pytest.raises(ValueError, match=rf"name the class by its index, {index}"):
            explain(["dull"], target=target)
        assert explain(["dull"], target=index)[0].target == target
    assert explain(["dull"])[0].target == explain(["dull"])[0].predicted


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"texts": "one"}, TypeError, r"got one str; write \[text\]"),
        ({"texts": ["fine", None]}, TypeError, r"str or a pair of str, got None"),
        ({"target": "neutral"}, ValueError, r"one of 'bad', 'good', 'so-so'.*got 'neutral'"),
        ({"target": 3}, ValueError, r"index from 0 to 2; got 3"),
        ({"target": "good-worse"}, ValueError, r"got 'good-worse'"),
        ({"target": "predicted-predicted"}, ValueError, r"of two classes, but 'predicted-pred"),
        ({"target": "good-good"}, ValueError, r"of two classes, but 'good-good' is one"),
        ({"target": "gold"}, ValueError, r"needs the true label of every text; give labels"),
        ({"labels": ["good"]}, ValueError, r"one a text, got \['good'\] for 2 texts"),
        ({"labels": ["good", "fine"]}, ValueError, r"got 'fine'"),
        ({"score": "odds"}, ValueError, r"logit, log_probability, probability; got 'odds'"),
        ({"score": "probability"}, ValueError, r"must be 'logit' for cp_lrp, attn_lrp"),
    ],
)
def test_a_wrong_question_is_refused_with_what_is_legal(explainer, arguments, error, told):
    with pytest.raises(error, match=told):
        explainer(**({"texts": ["fine", "dull"]} | arguments))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"precision": "float16"}, r"precision must be one of float32, float64; got 'float16'"),
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


def test_five_methods_take_one_forward_and_three_backward_passes(folder, monkeypatch):
    passes, gradients = [], tf.gradients

    def counted(*args, **kwargs):
        passes.append(args)
        return gradients(*args, **kwargs)

    forwards, forward = [], classifier.forward

    def counted_forward(*args, **kwargs):
        forwards.append(args)
        return forward(*args, **kwargs)

    monkeypatch.setattr(tf, "gradients", counted)
    monkeypatch.setattr(classifier, "forward", counted_forward)
    assert len(model.load_explainer(folder, FIVE)(["dull"])) == 5
    assert len(passes) == 3
    assert len(forwards) == 1


@pytest.mark.parametrize(("method", "expected"), [("chefer", False), ("attn_lrp", True)])
def test_taps_are_built_only_for_methods_that_need_them(folder, method, expected, monkeypatch):
    asked, forward = [], classifier.forward

    def watched(*args, with_taps, **kwargs):
        asked.append(with_taps)
        return forward(*args, with_taps=with_taps, **kwargs)

    monkeypatch.setattr(classifier, "forward", watched)
    warm = model.load_explainer(folder, [method])
    warm.probabilities(["dull"])
    warm(["dull"])
    assert asked == [False, expected]


def test_a_graph_is_built_once_whatever_the_texts(folder, monkeypatch):
    built = []

    def method(question):
        built.append(question)
        return question.gradients.words[..., 0]

    fresh = model.load_explainer(folder, [method])
    for text in ("dull", "the film was fine", "i me"):
        fresh([text, text])
        fresh([text], target="good")
    assert len(built) == 1


def test_two_explainers_in_turn_do_not_disturb_each_other(folder, tiny_release, tmp_path):
    other_folder = classifier_folder.make(tmp_path, tiny_release, seed=12, labels=("0", "1"))
    one, other = (model.load_explainer(f, ["gradient_x_input"]) for f in (folder, other_folder))
    first = [one(["it was fine"])[0].scores, other(["it was fine"])[0].scores]
    again = [one(["it was fine"])[0].scores, other(["it was fine"])[0].scores]
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert np.abs(first[0] - first[1]).max() > 1e-3


STATM = pathlib.Path("/proc/self/statm")


@pytest.mark.skipif(not STATM.exists(), reason="wants Linux's /proc to read the memory in use")
def test_memory_stays_flat_over_many_calls(folder):
    def megabytes():
        return int(STATM.read_text().split()[1]) * resource.getpagesize() / 1e6

    warm = model.load_explainer(folder, ["gradient_x_input"])
    for _ in range(50):
        warm(TEXTS)
    before = megabytes()
    for _ in range(200):
        warm(TEXTS)
    assert megabytes() - before < 10


def test_an_explainer_that_is_let_go_leaves_the_memory(folder):
    explain = model.load_explainer(folder, ["gradient_x_input"])
    explain(["dull"])
    watched = weakref.ref(explain)
    weights = weakref.ref(explain._warm)
    del explain
    gc.collect()
    assert watched() is None
    assert weights() is None


def test_layer_scores_keep_their_layers_whatever_the_length_of_the_longest_text(
    tiny_release, tmp_path
):
    release = tmp_path / "release"
    shutil.copytree(tiny_release, release)
    config_file = release / "bert_config.json"
    deeper = config_lib.BertConfig.from_json_file(config_file).to_dict()
    config_file.write_text(json.dumps(deeper | {"num_hidden_layers": 5}))
    explain = model.load_explainer(
        classifier_folder.make(tmp_path / "model", release),
        ["cp_lrp"],
        method_options={"cp_lrp": {"layers": True}},
    )
    longer, shorter = explain(["the film was fine", "dull"])
    assert longer.layer_scores.shape == (6, 6)  # as many tokens as layers and the embeddings
    assert shorter.layer_scores.shape == (6, 3)
    alone = explain(["dull"])[0].layer_scores
    np.testing.assert_allclose(shorter.layer_scores, alone, atol=1e-5)


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

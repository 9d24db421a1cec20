import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import run_classifier
from bert import checkpoints
from bert import classifier
from bert import datasets
from bert import features
from bert import model_folder
from explain import attention
from explain import highlight
from explain import model

LENGTH = 16


@pytest.fixture(scope="module")
def trained(tiny_release, tiny_data, tmp_path_factory) -> pathlib.Path:
    output = tmp_path_factory.mktemp("trained") / "out"
    options = run_classifier.parse_options(
        [
            "--task_name=imdb",
            f"--data_dir={tiny_data}",
            f"--output_dir={output}",
            f"--model={tiny_release}",
            f"--max_seq_length={LENGTH}",
            "--learning_rate=3e-3",
            "--num_train_epochs=10",
            "--train_batch_size=8",
            "--do_train",
        ]
    )
    run_classifier.main(options)
    return output


def predictions(folder, tiny_data, count=9, processor=None, split="test", **options):
    """Predict the first rows of the test set as code written against the ancestor does."""
    examples = datasets.ImdbProcessor().get_test_examples(tiny_data)[:count]
    tokenizer = model_folder.load(folder).tokenizer()
    record_file = folder / "some.tf_record"
    run_classifier.file_based_convert_examples_to_features(
        examples, ["0", "1"], LENGTH, tokenizer, record_file
    )
    input_fn = run_classifier.file_based_input_fn_builder(
        input_file=record_file, seq_length=LENGTH, is_training=False, drop_remainder=False
    )
    estimator = model.load_bert_model(folder, attn_processor_fn=processor, **options)
    return list(estimator.predict(input_fn))


def numpy_attention(folder, tiny_data, count=9):
    """Every layer's attention from the same weights, outside the Estimator: float32[n, l, h, q, k]."""
    parts = model_folder.load(folder)
    examples = datasets.ImdbProcessor().get_test_examples(tiny_data)[:count]
    padded = [
        features.convert_single_example(0, e, ["0", "1"], LENGTH, parts.tokenizer())
        for e in examples
    ]
    columns = features.columns(padded, LENGTH)
    wanted = classifier.variable_shapes(parts.config, 2)
    variables = checkpoints.load_variables(parts.init_checkpoint, wanted)
    outputs = classifier.forward(variables, parts.config, features.Features.from_dict(columns))
    return np.stack([probs.numpy() for probs in outputs.attention_probs], axis=1)


@pytest.mark.parametrize("count", [1, 7, 8, 9])
def test_predict_yields_one_answer_a_row_in_order(trained, tiny_data, count):
    found = predictions(trained, tiny_data, count)
    assert len(found) == count
    everything = predictions(trained, tiny_data, 9)
    for prediction, expected in zip(found, everything, strict=False):
        assert set(prediction) == {"probabilities", "pred_class"}
        assert prediction["probabilities"].shape == (2,)
        np.testing.assert_allclose(prediction["probabilities"].sum(), 1.0, atol=1e-6)
        assert prediction["pred_class"] == prediction["probabilities"].argmax()
        np.testing.assert_allclose(
            prediction["probabilities"], expected["probabilities"], atol=1e-6
        )


def test_a_processor_puts_its_result_under_attention(trained, tiny_data):
    found = predictions(trained, tiny_data, processor=attention.average_last_layer_by_head)
    expected = numpy_attention(trained, tiny_data)[:, -1, :, 0].mean(axis=1)
    np.testing.assert_allclose([p["attention"] for p in found], expected, atol=1e-6)
    np.testing.assert_allclose([p["attention"].sum() for p in found], np.ones(9), atol=1e-6)


def test_any_function_of_the_layer_dicts_is_a_processor(trained, tiny_data):
    found = predictions(trained, tiny_data, processor=lambda a: a[1]["layer_1"][:, :, 0, :])
    expected = numpy_attention(trained, tiny_data)[:, 1, :, 0]
    assert found[0]["attention"].shape == (3, LENGTH)
    np.testing.assert_allclose([p["attention"] for p in found], expected, atol=1e-6)


def test_all_layers_come_back_stacked(trained, tiny_data):
    found = predictions(trained, tiny_data, 3, processor=attention.all_layers)
    assert found[0]["attention"].shape == (2, 3, LENGTH, LENGTH)
    expected = numpy_attention(trained, tiny_data, 3)
    np.testing.assert_allclose([p["attention"] for p in found], expected, atol=1e-6)


def test_a_dict_comes_back_as_one_prediction_a_key(trained, tiny_data):
    def first_and_last(layers):
        return {
            "first": attention.average_first_layer_by_head(layers),
            "last": attention.average_last_layer_by_head(layers),
        }

    found = predictions(trained, tiny_data, 2, processor=first_and_last)
    assert set(found[0]) == {"probabilities", "pred_class", "attention_first", "attention_last"}
    expected = numpy_attention(trained, tiny_data, 2)[:, 0, :, 0].mean(axis=1)
    np.testing.assert_allclose([p["attention_first"] for p in found], expected, atol=1e-6)


def test_a_processor_that_is_no_function_is_refused_at_once(trained):
    with pytest.raises(TypeError, match=r"attn_processor_fn must be a function .*; got 'last'"):
        model.load_bert_model(trained, attn_processor_fn="last")


def test_the_ancestors_call_loads_a_checkpoint_into_another_folder(trained, tiny_data, tmp_path):
    config_file = trained / "bert_config.json"
    checkpoint = tf.train.latest_checkpoint(str(trained))
    estimator = model.load_bert_model(
        str(tmp_path), str(config_file), checkpoint, 2, attention.average_last_layer_by_head
    )
    record_file = trained / "some.tf_record"
    expected = predictions(trained, tiny_data, 3, processor=attention.average_last_layer_by_head)
    input_fn = run_classifier.file_based_input_fn_builder(record_file, LENGTH, False, False)
    found = list(estimator.predict(input_fn))
    assert isinstance(estimator, tf.estimator.Estimator)
    for got, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(got["probabilities"], wanted["probabilities"], atol=1e-6)
        np.testing.assert_allclose(got["attention"], wanted["attention"], atol=1e-6)


def test_a_folder_without_a_checkpoint_says_what_to_give(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"must be the output_dir of a finished training or"
    ):
        model.load_bert_model(tmp_path)


def test_two_different_checkpoints_are_refused(trained, tiny_release):
    with pytest.raises(
        ValueError, match="output_dir must hold no other checkpoint than init_checkpoint"
    ):
        model.load_bert_model(trained, init_checkpoint=tiny_release / "bert_model.ckpt")


def test_a_missing_config_and_a_wrong_label_count_are_named(trained, tmp_path):
    for path in trained.glob("model.ckpt-80*"):
        shutil.copy(path, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"bert_config.json must be a JSON file"):
        model.load_bert_model(tmp_path / "x", init_checkpoint=tmp_path / "model.ckpt-80")
    with pytest.raises(
        ValueError, match=r"output_weights must have shape \[5, 12\], got \[2, 12\]"
    ):
        next(
            model.load_bert_model(trained, num_labels=5).predict(
                run_classifier.file_based_input_fn_builder(
                    trained / "train.tf_record", LENGTH, False, False
                )
            )
        )


def test_one_text_becomes_a_page_in_one_expression(trained):
    page = highlight.report(
        model.explain_texts(trained, ["It was a very FINE film!"]), "one review"
    )
    assert "FINE" in page
    assert "predicted" in page


def test_explained_texts_carry_words_scores_and_the_answer(trained):
    records = model.explain_texts(trained, ["so dull", ("a fine film", "and very dull")])
    assert next(record.predicted for record in records) == "0"
    assert [word.text for word in records[0].words] == ["so", "dull"]
    assert [word.sentence for word in records[1].words] == [0, 0, 0, 1, 1, 1]
    for record in records:
        np.testing.assert_allclose(record.token_scores.sum(), 1.0, atol=1e-6)
        assert record.method == "average_last_layer_by_head"
        assert record.gold is None


def test_importing_explain_model_does_not_import_the_estimator_room():
    code = "import sys, explain.model; assert 'bert.estimator' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_two_models_in_one_process_do_not_disturb_each_other(trained, tiny_data):
    first = predictions(trained, tiny_data, 2)
    predictions(trained, tiny_data, 2, processor=attention.average_first_layer_by_head)
    again = predictions(trained, tiny_data, 2)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one["probabilities"], other["probabilities"])


def test_one_string_is_not_taken_for_a_list_of_texts(trained):
    with pytest.raises(
        TypeError, match=r"texts must be a list of texts or pairs, got one str; write \[text\]"
    ):
        model.explain_texts(trained, "Not dull")
    assert model.explain_texts(trained, []) == []
    for wrong in (float("nan"), None, ("a", "b", "c"), ("a", None)):
        with pytest.raises(TypeError, match="a text must be a str or a pair of str, got"):
            model.explain_texts(trained, ["fine", wrong])


def test_a_pretrained_checkpoint_without_a_classifier_does_not_predict(tiny_release, tmp_path):
    estimator = model.load_bert_model(tmp_path, init_checkpoint=tiny_release / "bert_model.ckpt")
    input_fn = run_classifier.input_fn_builder(
        [features.InputFeatures([2, 5, 3], [1, 1, 1], [0, 0, 0], 0)], 3, False, False
    )
    with pytest.raises(
        ValueError, match=r"must hold a fine-tuned classifier .* lacks output_weights, output_bias"
    ):
        next(estimator.predict(input_fn))

import os
import pathlib
import subprocess
import sys

import numpy as np
import tensorflow as tf

import run_classifier
from bert import config as config_lib
from bert import datasets
from bert import modeling
from bert import optimization
from tests import conftest


class ThreeWayProcessor(datasets.DataProcessor):
    """What a user writes for files of their own."""

    def get_train_examples(self, data_dir):
        return [
            run_classifier.InputExample(f"x-{i}", text, "and it", label)
            for i, (text, label) in enumerate(
                [("fine", "up"), ("dull", "down"), ("film", "level")] * 4
            )
        ]

    get_dev_examples = get_test_examples = get_train_examples

    def get_labels(self):
        return ["down", "level", "up"]


def test_a_users_own_processor_trains_evaluates_and_predicts_pairs_of_three_classes(
    tiny_release, tmp_path
):
    output = tmp_path / "out"
    command = conftest.arguments(
        tiny_release,
        tmp_path,
        output,
        f"--processor={__name__}:ThreeWayProcessor",
        "--do_train",
        "--do_eval",
        "--do_predict",
        "--attn_processor_fn=explain.attention:average_first_layer_by_head",
    )
    command.remove("--task_name=imdb")
    assert run_classifier.cli_main(command) == 0
    assert np.loadtxt(output / "test_results.tsv").shape == (12, 4)
    results = (output / "eval_results.txt").read_text()
    assert "eval_f1" in results
    assert "eval_tp" not in results
    assert config_lib.ClassifierConfig.load(output).labels == ("down", "level", "up")


def test_a_data_processor_of_the_ancestor_is_the_one_of_the_library():
    assert run_classifier.DataProcessor is datasets.DataProcessor
    assert run_classifier.ImdbProcessor is datasets.ImdbProcessor


def test_the_ancestors_create_model_returns_loss_and_one_key_attention_dicts(tiny_release):
    config = config_lib.BertConfig.from_json_file(tiny_release / "bert_config.json")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        ids = tf.constant([[2, 5, 6, 3, 0]])
        mask = tf.constant([[1, 1, 1, 1, 0]])
        loss, losses, logits, probabilities, layers = run_classifier.create_model(
            config, False, ids, mask, tf.zeros_like(ids), tf.constant([1]), 2, False
        )
        session.run(tf.compat.v1.global_variables_initializer())
        values = session.run([loss, losses, logits, probabilities])
        assert [list(layer) for layer in layers] == [["layer_0"], ["layer_1"]]
        assert session.run(layers[1]["layer_1"]).shape == (1, 3, 5, 5)
    np.testing.assert_allclose(values[0], -np.log(values[3][0, 1]), rtol=1e-5)
    np.testing.assert_allclose(values[3].sum(), 1.0, rtol=1e-6)
    assert values[1].shape == (1,)
    assert values[2].shape == (1, 2)


def test_the_ancestors_models_run_on_placeholders_of_unknown_shape(tiny_release):
    # TensorFlow 2.15.1's oneDNN remapper aborted the process on another way to write LayerNorm
    config = config_lib.BertConfig.from_json_file(tiny_release / "bert_config.json")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        ids, mask, segments = (tf.compat.v1.placeholder(tf.int32, [None, None]) for _ in range(3))
        labels = tf.compat.v1.placeholder(tf.int32, [None])
        loss, *_ = run_classifier.create_model(config, True, ids, mask, segments, labels, 2, False)
        train = optimization.create_optimizer(loss, 1e-3, 10, 0)
        model = modeling.BertModel(config, False, ids, mask, segments, scope="other")
        session.run(tf.compat.v1.global_variables_initializer())
        feed = {ids: [[2, 5, 3]], mask: [[1, 1, 1]], segments: [[0, 0, 0]], labels: [1]}
        value, _, pooled = session.run([loss, train, model.get_pooled_output()], feed)
    assert np.isfinite(value)
    assert pooled.shape == (1, 12)


class Unlabelled(datasets.DataProcessor):
    """A processor with nothing but texts to predict."""

    def get_test_examples(self, data_dir):
        return [
            run_classifier.InputExample("a", "so fine"),
            run_classifier.InputExample("b", "dull"),
        ]

    def get_labels(self):
        return ["0", "1"]


def test_unlabelled_texts_are_predicted_and_shown_without_a_true_label(finished, caplog):
    output, _ = finished
    command = [
        f"--processor={__name__}:Unlabelled",
        "--data_dir=none",
        f"--output_dir={output}",
        "--do_predict",
    ]
    assert (
        run_classifier.cli_main([*command, "--attn_processor_fn=average_first_layer_by_head"]) == 0
    )
    np.testing.assert_array_equal(np.loadtxt(output / "test_results.tsv")[:, 2], [1, 0])
    page = (output / "report.html").read_text()
    assert "2 texts." in page
    assert "true label" not in page
    assert run_classifier.cli_main([*command, "--do_eval"]) == 1
    assert "Unlabelled must define get_dev_examples to evaluate" in caplog.text


def test_a_processor_module_in_the_current_folder_is_found(finished, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from run_classifier import DataProcessor, InputExample\n"
        "class Mine(DataProcessor):\n"
        "    get_labels = lambda self: ['0', '1']\n"
        "    get_test_examples = lambda self, data_dir: [InputExample('x', 'so fine')]\n"
    )
    script = pathlib.Path(run_classifier.__file__)
    command = [
        "--processor=mine:Mine",
        "--data_dir=none",
        f"--output_dir={finished[0]}",
        "--do_predict",
    ]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, script, *command],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr

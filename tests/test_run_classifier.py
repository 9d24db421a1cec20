import logging
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from absl import flags

import run_classifier
from bert import checkpoints
from bert import classifier
from bert import config as config_lib
from bert import datasets
from bert import features
from bert import model_folder
from bert import modeling
from bert import optimization
from tests import conftest

GOOGLE_DEFAULTS = {
    "data_dir": None,
    "bert_config_file": None,
    "task_name": None,
    "vocab_file": None,
    "output_dir": None,
    "init_checkpoint": None,
    "do_lower_case": True,
    "max_seq_length": 128,
    "do_train": False,
    "do_eval": False,
    "do_predict": False,
    "train_batch_size": 32,
    "eval_batch_size": 8,
    "predict_batch_size": 8,
    "learning_rate": 5e-5,
    "num_train_epochs": 3.0,
    "warmup_proportion": 0.1,
    "save_checkpoints_steps": 1000,
    "iterations_per_loop": 1000,
    "use_tpu": False,
    "tpu_name": None,
    "tpu_zone": None,
    "gcp_project": None,
    "master": None,
    "num_tpu_cores": 8,
}


def arguments(release, data, output, *more):
    return [
        "--task_name=imdb",
        f"--data_dir={data}",
        f"--output_dir={output}",
        f"--bert_config_file={release}/bert_config.json",
        f"--vocab_file={release}/vocab.txt",
        f"--init_checkpoint={release}/bert_model.ckpt",
        "--max_seq_length=16",
        "--learning_rate=3e-3",
        "--num_train_epochs=20",
        "--train_batch_size=8",
        *more,
    ]


@pytest.fixture(scope="module")
def finished(tiny_release, tiny_data, tmp_path_factory):
    """A whole run in a process of its own, as a user starts it."""
    output = tmp_path_factory.mktemp("finished") / "out"
    command = arguments(
        tiny_release,
        tiny_data,
        output,
        "--do_train",
        "--do_eval",
        "--do_predict",
        "--attn_processor_fn=average_last_layer_by_head",
    )
    done = subprocess.run(
        [sys.executable, "run_classifier.py", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return output, done


def test_the_25_flags_of_the_release_keep_their_names_and_defaults():
    values = flags.FlagValues()
    run_classifier.define_flags(values)
    assert {name: values[name].default for name in GOOGLE_DEFAULTS} == GOOGLE_DEFAULTS
    assert len(GOOGLE_DEFAULTS) == 25


def test_flags_are_read_in_every_spelling_of_absl():
    options = run_classifier.parse_options(
        [
            "--task_name=imdb",
            "--data_dir",
            "d",
            "--output_dir=o",
            "--do_train",
            "--do_lower_case=false",
            "--seed=3",
        ]
    )
    assert (options.do_train, options.do_lower_case, options.data_dir, options.seed) == (
        True,
        False,
        "d",
        3,
    )
    assert not run_classifier.parse_options(
        ["--task_name=imdb", "--data_dir=d", "--output_dir=o", "--do_eval", "--nodo_lower_case"]
    ).do_lower_case


def test_importing_defines_no_global_flag_and_may_be_repeated():
    code = (
        "import importlib, run_classifier; from absl import flags; importlib.reload(run_classifier);"
        "assert not hasattr(flags.FLAGS, 'data_dir'); assert 'data_dir' not in list(flags.FLAGS)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_whole_run_writes_every_result(finished, tiny_release):
    output, _ = finished
    names = {path.name for path in output.iterdir()}
    assert names >= {
        "eval_results.txt",
        "test_results.tsv",
        "report.html",
        "attention.png",
        "bert_config.json",
        "vocab.txt",
        "classifier_config.json",
        "model.ckpt-160.index",
    }
    assert not [name for name in names if name.startswith(".")]
    assert (output / "vocab.txt").read_bytes() == (tiny_release / "vocab.txt").read_bytes()
    record = config_lib.ClassifierConfig.load(output)
    assert record == config_lib.ClassifierConfig(labels=("0", "1"), max_seq_length=16)


def test_each_phase_is_logged_once_to_stderr_and_nothing_to_stdout(finished):
    _, done = finished
    for phase in ("Running training", "Running evaluation", "Running prediction"):
        assert done.stderr.count(phase) == 1
    assert done.stdout == ""
    assert "\r" not in done.stderr  # no progress bars where nobody looks at a terminal
    steps = re.findall(r"step (\d+) of 160, (\d+) examples, loss (\S+)", done.stderr)
    assert [int(step) for step, _, _ in steps] == list(range(8, 161, 8))
    assert [int(examples) for _, examples, _ in steps] == list(range(64, 1281, 64))
    assert float(steps[-1][2]) < 0.1 < float(steps[0][2])


def test_the_model_learned_the_task(finished):
    lines = (finished[0] / "eval_results.txt").read_text().splitlines()
    results = dict(line.split(" = ") for line in lines)
    assert float(results["eval_accuracy"]) == 1.0  # one word decides every text
    assert float(results["eval_loss"]) < 0.1
    assert results["global_step"] == "160"
    assert [line.split(" = ")[0] for line in lines] == sorted(results)
    assert {
        "eval_precision",
        "eval_recall",
        "eval_f1",
        "eval_tp",
        "eval_tn",
        "eval_fp",
        "eval_fn",
        "loss",
    } <= set(results)


def test_test_results_hold_probabilities_in_label_order_and_the_class_last(finished):
    rows = np.loadtxt(finished[0] / "test_results.tsv")
    assert rows.shape == (9, 3)
    np.testing.assert_allclose(rows[:, :2].sum(axis=1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(rows[:, 2], rows[:, :2].argmax(axis=1))
    np.testing.assert_array_equal(rows[:, 2], [0, 0, 0, 0, 1, 1, 1, 1, 1])


def test_the_report_shows_every_test_text_in_order(finished):
    page = (finished[0] / "report.html").read_text()
    guids = re.findall(r"test-\d+", page)
    assert list(dict.fromkeys(guids)) == [f"test-{index}" for index in range(9)]
    assert (finished[0] / "attention.png").read_bytes().startswith(b"\x89PNG")


def test_tensorboard_gets_loss_learning_rate_and_dev_metrics(finished):
    def tags(folder):
        events = [
            value
            for path in folder.glob("events*")
            for event in tf.compat.v1.train.summary_iterator(str(path))
            for value in event.summary.value
        ]
        return {value.tag: value for value in events}, events

    training, events = tags(finished[0])
    assert {"loss", "learning_rate"} <= set(training)
    rates = [value.simple_value for value in events if value.tag == "learning_rate"]
    assert rates[0] == 0.0
    assert max(rates) > 2e-3
    assert {"eval_accuracy", "eval_loss"} <= set(tags(finished[0] / "eval")[0])


def test_a_finished_folder_predicts_again_with_nothing_but_itself(finished, tiny_data):
    output, _ = finished
    before = np.loadtxt(output / "test_results.tsv")
    status = run_classifier.cli_main(
        [
            "--task_name=imdb",
            f"--data_dir={tiny_data}",
            f"--output_dir={output}",
            "--do_predict",
            "--results_header",
        ]
    )
    assert status == 0
    rows = [line.split("\t") for line in (output / "test_results.tsv").read_text().splitlines()]
    assert rows[0] == ["guid", "0", "1", "pred_label", "pred_class"]
    assert [row[0] for row in rows[1:]] == [f"test-{index}" for index in range(9)]
    np.testing.assert_allclose(
        np.array([row[1:3] for row in rows[1:]], float), before[:, :2], atol=1e-6
    )
    assert [row[3] for row in rows[1:]] == ["0"] * 4 + ["1"] * 5


def losses_and_predictions(release, data, output, seed):
    status = run_classifier.cli_main(
        arguments(
            release,
            data,
            output,
            "--do_train",
            "--do_predict",
            f"--seed={seed}",
            "--num_train_epochs=3",
        )
    )
    assert status == 0
    losses = [
        value.simple_value
        for path in sorted(output.glob("events*"))
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
        if value.tag == "loss"
    ]
    return losses, (output / "test_results.tsv").read_text()


def test_the_same_seed_repeats_the_run_and_another_does_not(tiny_release, tiny_data, tmp_path):
    first, again, other = (
        losses_and_predictions(tiny_release, tiny_data, tmp_path / name, seed)
        for name, seed in [("a", 1), ("b", 1), ("c", 2)]
    )
    assert len(first[0]) > 10
    assert first == again
    assert first[0] != other[0]
    assert first[1] != other[1]


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(tiny_release, tiny_data, tmp_path):
    def train(output, *more):
        assert (
            run_classifier.cli_main(arguments(tiny_release, tiny_data, output, "--do_train", *more))
            == 0
        )
        newest = tf.train.latest_checkpoint(str(output))
        return checkpoints.load_variables(
            newest, [name for name, _ in tf.train.list_variables(newest)]
        )

    whole = train(tmp_path / "whole", "--num_train_epochs=2", "--save_checkpoints_steps=6")
    stopped = tmp_path / "stopped"
    stopped.mkdir()
    for pattern in ("model.ckpt-12.*", "*.json", "vocab.txt", "train.tf_record"):
        for path in (tmp_path / "whole").glob(pattern):
            (stopped / path.name).write_bytes(path.read_bytes())
    (stopped / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-12"\n')
    resumed = train(stopped, "--num_train_epochs=2", "--save_checkpoints_steps=6")
    assert whole["global_step"] == resumed["global_step"] == 16
    assert any(name.endswith("adam_v") for name in whole)
    for name, value in whole.items():
        np.testing.assert_allclose(value, resumed[name], atol=1e-6, err_msg=name)


def test_evaluation_changes_no_weight(finished, tiny_data):
    output, _ = finished
    newest = tf.train.latest_checkpoint(str(output))
    names = list(checkpoints.checkpoint_shapes(newest))
    before = checkpoints.load_variables(newest, names)
    command = ["--task_name=imdb", f"--data_dir={tiny_data}", f"--output_dir={output}", "--do_eval"]
    assert run_classifier.cli_main(command) == 0
    assert tf.train.latest_checkpoint(str(output)) == newest
    after = checkpoints.load_variables(newest, names)
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name])


def test_one_step_of_a_12_layer_model_writes_the_604_variables_of_the_release(tiny_data, tmp_path):
    config = config_lib.BertConfig(
        22,
        hidden_size=12,
        num_attention_heads=3,
        intermediate_size=24,
        max_position_embeddings=32,
        type_vocab_size=2,
    )
    (tmp_path / "bert_config.json").write_text(config.to_json_string())
    (tmp_path / "vocab.txt").write_text("\n".join(conftest.TINY_WORDS) + "\n")
    output = tmp_path / "out"
    command = [
        "--task_name=imdb",
        f"--data_dir={tiny_data}",
        f"--output_dir={output}",
        f"--bert_config_file={tmp_path}/bert_config.json",
        f"--vocab_file={tmp_path}/vocab.txt",
        "--do_train",
        "--train_batch_size=64",
        "--num_train_epochs=1",
        "--max_seq_length=16",
    ]
    assert run_classifier.cli_main(command) == 0
    written = dict(tf.train.list_variables(str(output / "model.ckpt-1")))
    expected = {name: list(shape) for name, shape in conftest.release_shapes(config).items()}
    slots = {
        f"{name}/{slot}": shape for name, shape in expected.items() for slot in ("adam_m", "adam_v")
    }
    assert written == expected | slots | {"global_step": []}
    assert len(written) == 604


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
    command = arguments(
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


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ("--do_train=maybe", 2, "do_train"),
        (
            "--learning_rat=1",
            2,
            "Unknown command line flag 'learning_rat'. Did you mean: learning_rate ?",
        ),
        ("--use_tpu", 2, "--use_tpu is not supported"),
        ("stray", 2, "options must begin with --, got 'stray'"),
        ("--task_name=imbd", 1, "did you mean 'imdb'?"),
        ("--max_seq_length=33", 1, "max_seq_length must be at most 32 (max_position_embeddings in"),
        ("--data_dir=/nowhere", 1, "/nowhere/train.tsv must be a tab-separated file"),
        ("--init_checkpoint=/nowhere/x.ckpt", 1, "/nowhere/x.ckpt must be a checkpoint"),
        (
            "--init_checkpoint=/x/uncased_L-12_H-768_A-12/bert_model.ckpt --do_lower_case=false",
            1,
            "lower",
        ),
        ("--bert_config_file=/nowhere.json", 1, "/nowhere.json must be a JSON file"),
        ("--vocab_file=/nowhere.txt", 1, "/nowhere.txt"),
        ("--seed=9223372036854775808", 2, "--seed: Input should be less than 2147483648"),
        ("--seed=-1", 2, "--seed: Input should be greater than or equal to 0"),
        (
            "--attn_processor_fn=average_every_layer --do_predict",
            1,
            "attn_processor_fn must be one of average_last_layer_by_head",
        ),
    ],
)
def test_bad_input_gets_one_clear_line_and_an_exit_code(
    tiny_release, tiny_data, tmp_path, caplog, change, status, message
):
    caplog.set_level(logging.ERROR)
    command = arguments(tiny_release, tiny_data, tmp_path / "out", "--do_train", *change.split())
    assert run_classifier.cli_main(command) == status
    (record,) = [record for record in caplog.records if record.name == "run_classifier"]
    assert message in record.getMessage()
    assert not list(tmp_path.rglob("*.tsv"))
    assert not list(tmp_path.rglob("model.ckpt*"))


def test_no_work_is_refused(tiny_release, tiny_data, tmp_path, caplog):
    assert run_classifier.cli_main(arguments(tiny_release, tiny_data, tmp_path)) == 2
    assert "at least one of --do_train, --do_eval or --do_predict" in caplog.text


def test_a_folder_trained_for_other_labels_is_refused(finished, tiny_release, tiny_data, caplog):
    output, _ = finished
    command = arguments(
        tiny_release, tiny_data, output, f"--processor={__name__}:ThreeWayProcessor", "--do_eval"
    )
    assert run_classifier.cli_main(command) == 1
    assert (
        f"{output} must be used as it was trained, but the options differ in labels" in caplog.text
    )
    assert "['0', '1'] there, ['down', 'level', 'up'] now" in caplog.text


def test_a_failing_row_leaves_earlier_results_untouched(finished, tiny_data, tmp_path):
    output, _ = finished
    before = (output / "test_results.tsv").read_bytes()
    (tmp_path / "test.tsv").write_text("id\tlabel\ttext\n1\t1\tfine\n2\tx\tdull\n")
    command = [
        "--task_name=imdb",
        f"--data_dir={tmp_path}",
        f"--output_dir={output}",
        "--do_predict",
    ]
    assert run_classifier.cli_main(command) == 1
    assert (output / "test_results.tsv").read_bytes() == before


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


@pytest.mark.parametrize("spelling", ["--help", "-h", "-help"])
def test_help_tells_every_option_with_its_meaning(capsys, spelling):
    assert run_classifier.cli_main([spelling]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for name, field in config_lib.RunConfig.model_fields.items():
        assert f"--{name}" in text or f"--[no]{name}" in text
        assert " ".join(field.description.split())[:40] in text


def small(release, data, output, *more):
    return arguments(release, data, output, "--num_train_epochs=1", *more)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            "--classifier_head_config=global_max_pool",
            "pooling ('default' there, 'global_max_pool' now)",
        ),
        ("--do_lower_case=false", "do_lower_case (True there, False now)"),
        ("--bert_config_file={wider}/bert_config.json", "bert_config.json"),
        ("--vocab_file={wider}/vocab.txt", "vocab.txt"),
    ],
)
def test_a_trained_folder_is_not_trained_on_as_something_else(
    finished, tiny_release, tiny_data, tmp_path, caplog, change, told
):
    output, _ = finished
    config = config_lib.BertConfig.from_json_file(tiny_release / "bert_config.json")
    (tmp_path / "bert_config.json").write_text(
        config.model_copy(update={"hidden_size": 24}).to_json_string()
    )
    (tmp_path / "vocab.txt").write_text("\n".join(reversed(conftest.TINY_WORDS)))
    before = {path.name: path.read_bytes() for path in output.glob("*.[jt][sx][ot]*")}
    command = small(tiny_release, tiny_data, output, "--do_train", change.format(wider=tmp_path))
    assert run_classifier.cli_main(command) == 1
    assert f"must be used as it was trained, but the options differ in {told}" in caplog.text
    assert {path.name: path.read_bytes() for path in output.glob("*.[jt][sx][ot]*")} == before
    assert "bert_config.json" in before


def test_nothing_is_predicted_with_a_classifier_that_was_never_trained(
    tiny_release, tiny_data, tmp_path, caplog
):
    from_scratch = [
        argument
        for argument in small(tiny_release, tiny_data, tmp_path / "a")
        if "init_checkpoint" not in argument
    ]
    assert run_classifier.cli_main([*from_scratch, "--do_predict"]) == 1
    assert (
        "a must hold a trained model, got none; add --do_train or give --init_checkpoint"
        in caplog.text
    )
    assert run_classifier.cli_main(small(tiny_release, tiny_data, tmp_path / "b", "--do_eval")) == 1
    assert (
        "must hold a fine-tuned classifier to evaluate or predict with, but lacks output_weights"
        in caplog.text
    )
    assert not list(tmp_path.rglob("*results*"))


@pytest.mark.parametrize("pooling", ["global_average_pool", "global_max_pool"])
def test_a_pooling_is_trained_recorded_and_loaded_again(tiny_release, tiny_data, tmp_path, pooling):
    output = tmp_path / "out"
    command = arguments(
        tiny_release,
        tiny_data,
        output,
        "--do_train",
        "--do_predict",
        f"--classifier_head_config={pooling}",
    )
    assert run_classifier.cli_main(command) == 0
    assert config_lib.ClassifierConfig.load(output).pooling == pooling
    newest = tf.train.latest_checkpoint(str(output))
    assert not [name for name in checkpoints.checkpoint_shapes(newest) if "pooler" in name]
    parts = model_folder.load(output)
    examples = datasets.ImdbProcessor().get_test_examples(tiny_data)
    tokenizer = parts.tokenizer()
    padded = [features.convert_single_example(0, e, ["0", "1"], 16, tokenizer) for e in examples]
    variables = checkpoints.load_variables(
        newest, classifier.variable_shapes(parts.config, 2, pooling)
    )
    batch = features.Features.from_dict(features.columns(padded, 16))
    logits = classifier.forward(variables, parts.config, batch, pooling=pooling).logits
    rows = np.loadtxt(output / "test_results.tsv")
    np.testing.assert_allclose(rows[:, :2], tf.nn.softmax(logits), atol=1e-5)
    np.testing.assert_array_equal(rows[:, 2], [0, 0, 0, 0, 1, 1, 1, 1, 1])


def test_a_vocabulary_longer_than_the_word_table_is_refused(
    tiny_release, tiny_data, tmp_path, caplog
):
    (tmp_path / "vocab.txt").write_text("\n".join([*conftest.TINY_WORDS, "one", "more"]))
    command = small(
        tiny_release,
        tiny_data,
        tmp_path / "out",
        "--do_train",
        f"--vocab_file={tmp_path}/vocab.txt",
    )
    assert run_classifier.cli_main(command) == 1
    assert "vocab.txt must have at most 22 lines (vocab_size of the config), got 24" in caplog.text


def test_a_diverging_training_says_so_in_one_line(tiny_release, tiny_data, tmp_path, caplog):
    command = small(
        tiny_release,
        tiny_data,
        tmp_path,
        "--do_train",
        "--learning_rate=1e30",
        "--warmup_proportion=0",
    )
    assert run_classifier.cli_main(command) == 1
    assert "training must keep a finite loss, got NaN; lower --learning_rate" in caplog.text


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


def first_and_last(layers):
    return {"first": layers[0]["layer_0"][:, 0, 0], "last": layers[1]["layer_1"][:, 0, 0]}


def test_a_processor_whose_result_makes_no_page_is_told_so(finished, tiny_data, caplog):
    command = [
        "--task_name=imdb",
        f"--data_dir={tiny_data}",
        f"--output_dir={finished[0]}",
        "--do_predict",
    ]
    assert (
        run_classifier.cli_main([*command, f"--attn_processor_fn={__name__}:first_and_last"]) == 1
    )
    assert "a page needs one score a token under 'attention'" in caplog.text
    assert "attention_first, attention_last" in caplog.text


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

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
from bert import options as options_lib
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
    # nothing half-written; the lock stays, for who removes one lets two in
    assert [name for name in names if name.startswith(".")] == [".claimed"]
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
    assert "answers from all tokens" not in page  # it reads [CLS]
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
    np.testing.assert_allclose(rates[-1], 3e-3 / 160, rtol=1e-3)  # the last of 160 steps
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
        conftest.arguments(
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
            run_classifier.cli_main(
                conftest.arguments(tiny_release, tiny_data, output, "--do_train", *more)
            )
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


@pytest.mark.parametrize("spelling", ["--help", "-h", "-help"])
def test_help_tells_every_option_with_its_meaning(capsys, spelling):
    assert run_classifier.cli_main([spelling]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for name, field in options_lib.RunConfig.model_fields.items():
        assert f"--{name}" in text or f"--[no]{name}" in text
        assert " ".join(field.description.split())[:40] in text


@pytest.mark.parametrize("pooling", ["global_average_pool", "global_max_pool"])
def test_a_pooling_is_trained_recorded_and_loaded_again(tiny_release, tiny_data, tmp_path, pooling):
    output = tmp_path / "out"
    command = conftest.arguments(
        tiny_release,
        tiny_data,
        output,
        "--do_train",
        "--do_predict",
        f"--classifier_head_config={pooling}",
        "--attn_processor_fn=average_last_layer_by_head",
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
    assert "This model answers from all tokens" in (output / "report.html").read_text()

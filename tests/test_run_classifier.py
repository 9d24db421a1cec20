import logging
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from absl import flags

import run_classifier
from bert import checkpoints
from bert import config as config_lib
from bert import datasets

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
    assert rows[0] == ["guid", "0", "1", "label", "pred_class"]
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
        return checkpoints.load_variables(newest, ["output_weights", "global_step"])

    whole = train(tmp_path / "whole", "--num_train_epochs=2", "--save_checkpoints_steps=6")
    stopped = tmp_path / "stopped"
    stopped.mkdir()
    for path in (tmp_path / "whole").glob("model.ckpt-12.*"):
        (stopped / path.name).write_bytes(path.read_bytes())
    (stopped / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-12"\n')
    resumed = train(stopped, "--num_train_epochs=2", "--save_checkpoints_steps=6")
    assert whole["global_step"] == resumed["global_step"] == 16
    np.testing.assert_allclose(whole["output_weights"], resumed["output_weights"], atol=1e-6)


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
    from tests import conftest

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
    expected = {name: list(shape) for name, shape in release_shapes(config).items()}
    slots = {
        f"{name}/{slot}": shape for name, shape in expected.items() for slot in ("adam_m", "adam_v")
    }
    assert written == expected | slots | {"global_step": []}
    assert len(written) == 604


def release_shapes(config):
    """The names of google-research/bert's fine-tuned classifier, written out by hand from its checkpoints."""
    d, f = config.hidden_size, config.intermediate_size
    per_layer = {
        **{f"attention/self/{x}/kernel": (d, d) for x in ("query", "key", "value")},
        **{f"attention/self/{x}/bias": (d,) for x in ("query", "key", "value")},
        "attention/output/dense/kernel": (d, d),
        "attention/output/dense/bias": (d,),
        "attention/output/LayerNorm/beta": (d,),
        "attention/output/LayerNorm/gamma": (d,),
        "intermediate/dense/kernel": (d, f),
        "intermediate/dense/bias": (f,),
        "output/dense/kernel": (f, d),
        "output/dense/bias": (d,),
        "output/LayerNorm/beta": (d,),
        "output/LayerNorm/gamma": (d,),
    }
    return {
        "bert/embeddings/word_embeddings": (config.vocab_size, d),
        "bert/embeddings/token_type_embeddings": (config.type_vocab_size, d),
        "bert/embeddings/position_embeddings": (config.max_position_embeddings, d),
        "bert/embeddings/LayerNorm/beta": (d,),
        "bert/embeddings/LayerNorm/gamma": (d,),
        **{
            f"bert/encoder/layer_{i}/{name}": shape
            for i in range(config.num_hidden_layers)
            for name, shape in per_layer.items()
        },
        "bert/pooler/dense/kernel": (d, d),
        "bert/pooler/dense/bias": (d,),
        "output_weights": (2, d),
        "output_bias": (2,),
    }


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
        (
            "--attn_processor_fn=average_every_layer --do_predict --nodo_train",
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


def test_no_work_is_refused(tiny_release, tiny_data, tmp_path, caplog):
    assert run_classifier.cli_main(arguments(tiny_release, tiny_data, tmp_path)) == 2
    assert "at least one of --do_train, --do_eval or --do_predict" in caplog.text


def test_a_folder_trained_for_other_labels_is_refused(finished, tiny_release, tiny_data, caplog):
    output, _ = finished
    command = arguments(
        tiny_release, tiny_data, output, f"--processor={__name__}:ThreeWayProcessor", "--do_eval"
    )
    assert run_classifier.cli_main(command) == 1
    assert f"{output} must have been trained for the labels down, level, up" in caplog.text


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

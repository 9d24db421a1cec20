"""The command's options beyond google-research/bert's: own files, the course of a training, the test set, TPUs."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

import run_classifier
from bert import checkpoints
from bert import config as config_lib
from bert import datasets
from bert import estimator
from bert import model_folder
from bert import training
from tests import conftest


def own_files(folder):
    """Reviews of three file kinds: stars for labels, and a test file without any."""
    rows = [("fine film", 5), ("so dull", 1), ("very fine", 5), ("dull, dull", 2)] * 4
    lines = [f'"{text}",{stars}\n' for text, stars in rows]
    (folder / "train.csv").write_text("review,stars\n" + "".join(lines))
    (folder / "dev.tsv").write_text("review\tstars\nfine film\t5\nso dull\t1\n")
    tests = [{"review": "very fine", "id": "a"}, {"review": "dull, dull", "id": "b"}]
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tests))
    return [
        f"--train_file={folder}/train.csv",
        f"--dev_file={folder}/dev.tsv",
        f"--test_file={folder}/test.jsonl",
        "--text_column=review",
        "--label_column=stars",
        "--label_map=1=bad,2=bad,5=good",
    ]


def without_task(command):
    return [a for a in command if not a.startswith(("--task_name", "--data_dir"))]


def test_own_files_train_evaluate_and_predict_with_no_class_written(tiny_release, tmp_path):
    output = tmp_path / "out"
    command = without_task(conftest.arguments(tiny_release, "", output, *own_files(tmp_path)))
    phases = ["--do_train", "--do_eval", "--do_predict", "--results_header"]
    assert run_classifier.cli_main([*command, *phases]) == 0
    assert config_lib.ClassifierConfig.load(output).labels == ("bad", "good")
    assert "eval_accuracy = 1.0" in (output / "eval_results.txt").read_text()
    rows = [line.split("\t") for line in (output / "test_results.tsv").read_text().splitlines()]
    assert rows[0] == ["guid", "bad", "good", "pred_label", "pred_class"]
    assert [(row[0], row[3]) for row in rows[1:]] == [("a", "good"), ("b", "bad")]
    # later, only the folder and a file
    again = [f"--output_dir={output}", f"--test_file={tmp_path}/test.jsonl", "--text_column=review"]
    assert run_classifier.cli_main([*again, "--do_predict"]) == 0
    probabilities = np.loadtxt(output / "test_results.tsv")[:, :2]
    np.testing.assert_allclose(
        probabilities, np.array([r[1:3] for r in rows[1:]], float), atol=1e-6
    )


def test_evaluating_a_file_without_labels_is_refused(tiny_release, tmp_path, caplog):
    command = without_task(conftest.arguments(tiny_release, "", tmp_path, *own_files(tmp_path)))
    assert run_classifier.cli_main([*command, "--do_train", "--eval_test"]) == 1
    assert "examples to evaluate on must have labels, got none for a" in caplog.text


def test_the_best_model_on_the_dev_set_is_what_evaluates_and_predicts(
    tiny_release, tiny_data, tmp_path, caplog
):
    caplog.set_level("INFO")
    turned = (tiny_data / "dev.tsv").read_text().replace("\t1\t", "\tx\t").replace("\t0\t", "\t1\t")
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    (data / "dev.tsv").write_text(turned.replace("\tx\t", "\t0\t"))  # what is learned is wrong here
    output = tmp_path / "out"
    command = conftest.arguments(tiny_release, data, output, "--eval_every_steps=40")
    command += ["--best_metric=loss", "--num_train_epochs=10"]
    assert run_classifier.cli_main([*command, "--do_train", "--do_eval", "--do_predict"]) == 0
    assert f"the best on the dev set is step 40, kept in {output}/best" in caplog.text
    assert "global_step = 40\n" in (output / "eval_results.txt").read_text()
    assert checkpoints.latest_step(output) == 80
    assert model_folder.load(output).init_checkpoint == f"{output}/best/model.ckpt-40"
    best = np.loadtxt(output / "test_results.tsv")[:, :2]
    for name, step in {"by_best": "best/model.ckpt-40", "by_last": "model.ckpt-80"}.items():
        again = conftest.arguments(tiny_release, data, tmp_path / name, "--do_predict")
        again = [a for a in again if "init_checkpoint" not in a]
        assert run_classifier.cli_main([*again, f"--init_checkpoint={output}/{step}"]) == 0
    found = {
        name: np.loadtxt(tmp_path / name / "test_results.tsv")[:, :2]
        for name in ("by_best", "by_last")
    }
    np.testing.assert_allclose(found["by_best"], best, atol=1e-6)
    assert np.abs(found["by_last"] - best).max() > 1e-3


def test_the_test_set_is_not_read_before_the_end(tiny_release, tiny_data, tmp_path, monkeypatch):
    read, original = [], datasets.TaskProcessor.read

    def remember(self, data_dir, split):
        read.append((split, checkpoints.latest_step(tmp_path / "out")))
        return original(self, data_dir, split)

    monkeypatch.setattr(datasets.TaskProcessor, "read", remember)
    command = conftest.arguments(
        tiny_release, tiny_data, tmp_path / "out", "--num_train_epochs=1", "--eval_every_steps=4"
    )
    phases = ["--do_train", "--do_eval", "--eval_test"]
    assert run_classifier.cli_main([*command, *phases]) == 0
    assert read == [("dev", None), ("train", None), ("test", 8)]
    assert "eval_accuracy" in (tmp_path / "out" / "test_eval_results.txt").read_text()


def test_a_range_test_draws_its_plot(tiny_release, tiny_data, tmp_path):
    command = conftest.arguments(
        tiny_release,
        tiny_data,
        tmp_path,
        "--do_train",
        "--num_train_epochs=3",
        "--learning_rate_schedule=lr_range_test",
        "--max_learning_rate=0.1",
    )
    assert run_classifier.cli_main(command) == 0
    assert (tmp_path / "lr_range_test.png").read_bytes().startswith(b"\x89PNG")


def test_bert_lrps_command_line_runs_with_every_option_used(tiny_release, tmp_path, monkeypatch):
    data = tmp_path / "SST5"
    data.mkdir()
    for split, count in {"train": 10, "dev": 5, "test": 6}.items():
        lines = [
            f"{index % 5} the film was {'so ' * (index % 5)}fine .\n" for index in range(count)
        ]
        (data / f"stsa.fine.{split}").write_text("".join(lines))
    seen = []
    original = training.training_of

    def remember(*arguments):
        seen.append(original(*arguments))
        return seen[-1]

    monkeypatch.setattr(training, "training_of", remember)
    # the command of its README, its paths and sizes made small
    command = (
        f"--task_name SST5 --data_dir {data} --vocab_file {tiny_release}/vocab.txt"
        f" --bert_config_file {tiny_release}/bert_config.json"
        f" --init_checkpoint {tiny_release}/bert_model.ckpt --do_lower_case --max_seq_length 32"
        " --train_batch_size 8 --eval_batch_size 3 --learning_rate 2e-5 --num_train_epochs 3"
        f" --output_dir {tmp_path}/out --model_type BERT --seed 123 --eval_test"
        " --gradient_accumulation_steps 2 --warmup_proportion 0.34"
    )
    assert run_classifier.cli_main(command.split()) == 0
    assert seen == [
        estimator.Training(2e-5, 3, 1, seed=123, gradient_accumulation_steps=2)
    ]  # int(10 / 8 * 3) steps
    record = config_lib.ClassifierConfig.load(tmp_path / "out")
    assert record == config_lib.ClassifierConfig(labels=tuple("01234"), max_seq_length=32)
    for name in ("eval_results.txt", "test_eval_results.txt", "log.txt"):
        assert (tmp_path / "out" / name).is_file()


@pytest.mark.parametrize(
    ("flag", "remedy"),
    [
        ("--base_learning_rate=5e-5", "use --learning_rate"),
        ("--accumulate_gradients=2", "use --gradient_accumulation_steps"),
        ("--no_cuda", "set CUDA_VISIBLE_DEVICES=-1"),
        ("--local_rank=-1", "leave it out"),
        ("--embed_file=x", "--model brings the embeddings"),
    ],
)
def test_a_flag_of_bert_lrp_that_is_not_taken_names_what_replaces_it(flag, remedy, caplog):
    assert run_classifier.cli_main([flag, "--do_train"]) == 2
    assert f"{flag.split('=')[0]} of BERT-LRP is not taken: " in caplog.text
    assert remedy in caplog.text


def test_every_training_option_reaches_the_step():
    options = run_classifier.parse_options(
        [
            *("--task_name=imdb", "--data_dir=d", "--output_dir=o", "--do_train", "--seed=4"),
            *("--learning_rate=0.5", "--learning_rate_schedule=one_cycle", "--freeze_encoder"),
            *("--gradient_accumulation_steps=4", "--warmup_proportion=0.3"),
            "--precision=bfloat16",
        ]
    )
    assert training.training_of(options, 100, (1.0, 2.0)) == estimator.Training(
        0.5, 100, 30, "one_cycle", 4, (1.0, 2.0), 4, freeze_encoder=True, precision="bfloat16"
    )


def test_which_weights_are_used_is_said(finished, tiny_release, tiny_data, tmp_path, caplog):
    caplog.set_level("INFO")
    output, _ = finished
    command = conftest.arguments(tiny_release, tiny_data, output, "--do_train", "--do_eval")
    assert run_classifier.cli_main(command) == 0
    assert (
        f"not needed, of 160 steps: {output} holds step 160; give another --output_dir"
        in caplog.text
    )
    assert f"  weights: {output}/model.ckpt-160" in caplog.text
    small = conftest.arguments(tiny_release, tiny_data, tmp_path, "--do_train")
    for epochs in (1, 2):
        assert run_classifier.cli_main([*small, f"--num_train_epochs={epochs}"]) == 0
    told = f"going on from step 8 in {tmp_path}; --init_checkpoint and --model are not read again"
    assert told in caplog.text


def test_a_relative_output_dir_keeps_its_best_model(tiny_release, tiny_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = conftest.arguments(tiny_release, tiny_data, "out", "--num_train_epochs=1")
    assert run_classifier.cli_main([*command, "--do_train", "--eval_every_steps=5"]) == 0
    assert model_folder.best_folder("out").name == "best"
    assert checkpoints.latest_step("out/best") in (5, 8)


def test_the_truncation_is_that_of_training_evaluation_and_prediction(tiny_release, tmp_path):
    """Only the last word tells the class, and only a model that reads the tail can know it."""
    filler = "the film was so very and it i me a " * 3
    lines = [f"{filler}{word}\t{label}\n" for word, label in [("fine", 1), ("dull", 0)] * 32]
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.tsv").write_text("text\tlabel\n" + "".join(lines))
    names = [f"--{split}_file={tmp_path}/{split}.tsv" for split in ("train", "dev", "test")]
    accuracies = {}
    for truncation in ("head", "tail"):
        output = tmp_path / truncation
        command = without_task(conftest.arguments(tiny_release, "", output, *names))
        command += [f"--truncation={truncation}", "--do_train", "--do_eval", "--do_predict"]
        # at the usual 3e-3 some seeds never leave 0.5
        command += ["--learning_rate=1e-3", "--num_train_epochs=30"]
        assert run_classifier.cli_main(command) == 0
        found = np.loadtxt(output / "test_results.tsv")[:, 2]
        accuracies[truncation] = np.mean(found == [1, 0] * 32)
        told = (output / "eval_results.txt").read_text()
        assert f"eval_accuracy = {accuracies[truncation]}" in told
    assert accuracies == {"head": 0.5, "tail": 1.0}


def test_a_range_test_that_diverges_still_draws_its_plot(tiny_release, tiny_data, tmp_path, caplog):
    rate = ["--learning_rate_schedule=lr_range_test", "--max_learning_rate=1e30"]
    command = conftest.arguments(tiny_release, tiny_data, tmp_path, "--do_train", *rate)
    assert run_classifier.cli_main(command) == 1
    assert "--max_learning_rate in a range test" in caplog.text
    assert (tmp_path / "lr_range_test.png").is_file()


def test_ctrl_c_says_how_to_go_on(tiny_release, tiny_data, tmp_path, monkeypatch, caplog):
    def stop(*arguments, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", stop)
    command = conftest.arguments(tiny_release, tiny_data, tmp_path, "--do_train")
    assert run_classifier.cli_main(command) == 130
    assert "stopped; the same command goes on from step 0" in caplog.text


def test_debug_shows_the_traceback(tiny_release, tiny_data, tmp_path):
    command = conftest.arguments(tiny_release, tiny_data, tmp_path, "--do_eval", "--debug")
    with pytest.raises(ValueError, match="must hold a fine-tuned classifier"):
        run_classifier.cli_main(command)


def head_99(layers):
    return tf.gather(layers[-1]["layer_1"], 99, axis=1)


def test_a_failure_inside_the_graph_is_told_by_its_reason(finished, tiny_data, caplog):
    command = [f"--output_dir={finished[0]}", f"--data_dir={tiny_data}", "--task_name=imdb"]
    command += ["--do_predict", f"--attn_processor_fn={__name__}:head_99"]
    assert run_classifier.cli_main(command) == 1
    assert "indices = 99 is not in [0, 3)" in caplog.text
    assert "Graph execution error" not in caplog.text


def test_tpu_flags_say_where_the_tpu_is():
    options = run_classifier.parse_options(
        [
            *("--task_name=imdb", "--data_dir=d", "--output_dir=o", "--do_train", "--use_tpu"),
            *("--tpu_name=t", "--tpu_zone=z", "--gcp_project=p", "--master=m"),
            *("--num_tpu_cores=32", "--iterations_per_loop=7"),
        ]
    )
    assert training.tpu_of(options) == estimator.Tpu("t", "z", "p", "m", 32, 7, 32, 8)
    assert training.tpu_of(options.model_copy(update={"use_tpu": False})) is None


def test_the_whole_command_runs_on_a_tpu_estimator(tiny_release, tiny_data, tmp_path, monkeypatch):
    """On the CPU, which is what a TPUEstimator without a TPU uses: no TPU can be had here."""
    tpu = estimator.Tpu(train_batch_size=8, use_tpu=False)
    monkeypatch.setattr(training, "tpu_of", lambda options: tpu if options.use_tpu else None)
    output = tmp_path / "out"
    command = conftest.arguments(tiny_release, tiny_data, output, "--use_tpu", "--do_train")
    phases = ["--do_eval", "--do_predict", "--attn_processor_fn=average_last_layer_by_head"]
    assert run_classifier.cli_main([*command, *phases]) == 0
    for name in ("report.html", "attention.png"):
        assert (output / name).is_file()
    found = np.loadtxt(output / "test_results.tsv")
    assert "eval_accuracy" in (output / "eval_results.txt").read_text()
    predict = [f"--data_dir={tiny_data}", f"--output_dir={output}", "--task_name=imdb"]
    assert run_classifier.cli_main([*predict, "--do_predict"]) == 0
    frozen = np.loadtxt(output / "test_results.tsv")
    np.testing.assert_allclose(found, frozen, atol=1e-5)  # 9 examples in batches of 8

import logging

import pytest

import run_classifier
from bert import config as config_lib
from tests import conftest


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ("--do_train=maybe", 2, "do_train"),
        (
            "--learning_rat=1",
            2,
            "Unknown command line flag 'learning_rat'. Did you mean: learning_rate",
        ),
        ("--use_tpu", 1, "Cannot find any TPU cores in the system"),
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
    command = conftest.arguments(
        tiny_release, tiny_data, tmp_path / "out", "--do_train", *change.split()
    )
    assert run_classifier.cli_main(command) == status
    (record,) = [record for record in caplog.records if record.name == "run_classifier"]
    assert message in record.getMessage()
    assert not list(tmp_path.rglob("*.tsv"))
    assert not list(tmp_path.rglob("model.ckpt*"))


def test_no_work_is_refused(tiny_release, tiny_data, tmp_path, caplog):
    assert run_classifier.cli_main(conftest.arguments(tiny_release, tiny_data, tmp_path)) == 2
    assert "at least one of --do_train, --do_eval or --do_predict" in caplog.text


def test_a_folder_trained_for_other_labels_is_refused(finished, tiny_release, tiny_data, caplog):
    output, _ = finished
    command = conftest.arguments(
        tiny_release,
        tiny_data,
        output,
        "--processor=tests.test_run_classifier_own_code:ThreeWayProcessor",
        "--do_eval",
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


def small(release, data, output, *more):
    return conftest.arguments(release, data, output, "--num_train_epochs=1", *more)


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

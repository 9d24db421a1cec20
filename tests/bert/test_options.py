import pytest

from bert import options as options_lib

NEEDED = {"data_dir": "d", "output_dir": "o", "task_name": "imdb", "do_train": True}


def test_a_run_without_work_or_inputs_gets_all_its_problems_in_one_error():
    with pytest.raises(ValueError, match="data_dir is required") as caught:
        options_lib.RunConfig.parse({})
    for part in (
        "--output_dir",
        "--task_name",
        "at least one of --do_train, --do_eval or --do_predict",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"train_batch_size": 0}, r"--train_batch_size: .*greater than or equal to 1, got 0"),
        (
            {"classifier_head_config": "ssan"},
            r"--classifier_head_config: must be one of default, .* got 'ssan'",
        ),
        ({"learning_rat": 1.0}, r"--learning_rat: Extra inputs"),
        (
            {"gradient_accumulation_steps": 3},
            r"--train_batch_size must be a multiple of --gradient_accumulation_steps, got 32 and 3",
        ),
        ({"output_dir": "gs://b/o"}, r"--output_dir must be a local folder, got 'gs://b/o'"),
        ({"output_dir": "out [2]"}, r"--output_dir must be without \* \? \[ \]"),
        (
            {"use_tpu": True, "eval_every_steps": 5},
            r"--eval_every_steps does not go with --use_tpu",
        ),
        ({"early_stopping_patience": 2}, r"--early_stopping_patience needs --eval_every_steps"),
        ({"learning_rate_schedule": "cosine"}, r"--learning_rate_schedule: .*'one_cycle'"),
        ({"precision": "float16"}, r"--precision: .*'bfloat16'"),
        ({"truncation": "middle"}, r"--truncation: .*'head_tail'"),
        ({"model_type": "LSTM"}, r"--model_type: .*'BERT'"),
        ({"warmup_proportion": 2.0}, r"--warmup_proportion: .*less than or equal to 1"),
    ],
)
def test_a_bad_option_is_named_with_what_came(option, message):
    with pytest.raises(ValueError, match=message):
        options_lib.RunConfig.parse(NEEDED | option)


def test_files_of_ones_own_need_neither_data_dir_nor_task(tmp_path):
    (tmp_path / "a.csv").touch()
    options = options_lib.RunConfig.parse(
        {"output_dir": "o", "train_file": f"{tmp_path}/a.csv", "do_train": True}
    )
    assert (options.text_column, options.label_column) == ("text", "label")


def test_bert_lrps_model_type_alone_trains_and_evaluates_as_its_command_does():
    options = options_lib.RunConfig.parse(
        {
            "data_dir": "d",
            "output_dir": "o",
            "task_name": "SST5",
            "model_type": "BERT",
            "eval_test": True,
        }
    )
    assert (options.do_train, options.do_eval, options.do_predict) == (True, True, False)
    only_predicts = options_lib.RunConfig.parse(
        NEEDED | {"model_type": "BERT", "do_train": False, "do_predict": True}
    )
    assert not only_predicts.do_train


def test_a_home_folder_after_an_equals_sign_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert options_lib.RunConfig.parse(NEEDED | {"output_dir": "~/o"}).output_dir == "/home/ada/o"


def test_a_file_that_will_be_needed_is_missed_before_the_training(tmp_path):
    (tmp_path / "a.csv").touch()
    own = {"output_dir": "o", "train_file": f"{tmp_path}/a.csv", "do_train": True}
    with pytest.raises(ValueError, match="--dev_file is required for what is asked") as caught:
        options_lib.RunConfig.parse(own | {"do_eval": True, "test_file": "/nowhere.csv"})
    assert "--test_file must be a file, got '/nowhere.csv', which is not there" in str(caught.value)

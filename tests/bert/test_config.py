import json
import re

import pytest

from bert import config as config_lib
from bert import options as options_lib

GOOGLE_BASE = {
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "type_vocab_size": 2,
    "vocab_size": 30522,
}


def test_the_release_config_goes_in_and_out_unchanged(tmp_path):
    path = tmp_path / "bert_config.json"
    path.write_text(json.dumps(GOOGLE_BASE))
    config = config_lib.BertConfig.from_json_file(path)
    assert config.to_dict() == GOOGLE_BASE
    assert config.to_json_string() == json.dumps(GOOGLE_BASE, indent=2, sort_keys=True) + "\n"


def test_unknown_keys_are_kept():
    config = config_lib.BertConfig.from_dict(
        {"vocab_size": 9, "model_type": "bert", "hidden_size": 12}
    )
    assert config.to_dict()["model_type"] == "bert"


def test_defaults_are_those_of_the_release():
    assert config_lib.BertConfig(30522).to_dict() == GOOGLE_BASE | {"type_vocab_size": 16}


def test_every_problem_of_a_config_is_reported_at_once():
    with pytest.raises(ValueError, match="2 problem") as caught:
        config_lib.BertConfig(0, hidden_dropout_prob=1.5)
    assert "vocab_size" in str(caught.value)
    assert "hidden_dropout_prob" in str(caught.value)


def test_heads_must_divide_the_width():
    with pytest.raises(
        ValueError, match="hidden_size must be a multiple of num_attention_heads, got 10 and 4"
    ):
        config_lib.BertConfig(9, hidden_size=10, num_attention_heads=4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"vocab_size": }', r"x.json:1: must be JSON, got .* at column"),
        ("[1]", "must hold a JSON object, got a list"),
    ],
)
def test_a_file_that_is_no_config_is_named(tmp_path, content, message):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        config_lib.BertConfig.from_json_file(tmp_path / "x.json")
    with pytest.raises(FileNotFoundError, match="must be a JSON file, but there is none"):
        config_lib.BertConfig.from_json_file(tmp_path / "y.json")


def test_a_classifier_record_survives_its_folder(tmp_path):
    assert config_lib.ClassifierConfig.load(tmp_path) is None
    record = config_lib.ClassifierConfig(
        labels=("schön", "0"), do_lower_case=False, max_seq_length=64, pooling="global_max_pool"
    )
    record.save(tmp_path)
    assert config_lib.ClassifierConfig.load(tmp_path) == record


def test_a_damaged_classifier_record_names_file_and_key(tmp_path):
    (tmp_path / "classifier_config.json").write_text('{"labels": ["a", "b"], "pooling": "sum"}')
    with pytest.raises(
        ValueError, match=re.escape("classifier_config.json: 1 problem(s)\n  pooling:")
    ):
        config_lib.ClassifierConfig.load(tmp_path)


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
            r"--classifier_head_config: .*'global_average_pool', got 'ssan'",
        ),
        ({"learning_rat": 1.0}, r"--learning_rat: Extra inputs"),
        ({"use_tpu": True}, r"--use_tpu is not supported in this version"),
        ({"warmup_proportion": 2.0}, r"--warmup_proportion: .*less than or equal to 1"),
    ],
)
def test_a_bad_option_is_named_with_what_came(option, message):
    with pytest.raises(ValueError, match=message):
        options_lib.RunConfig.parse(NEEDED | option)

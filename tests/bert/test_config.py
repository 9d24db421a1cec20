import json
import re

import pytest

from bert import config as config_lib
from bert import weights

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
    config = config_lib.BertConfig(9, hidden_size=10, num_attention_heads=4)
    with pytest.raises(
        ValueError, match="hidden_size must be a multiple of num_attention_heads, got 10 and 4"
    ):
        weights.encoder_shapes(config)


def test_values_by_position_stand_in_the_release_order():
    assert config_lib.BertConfig(99, 37).to_dict() == GOOGLE_BASE | {
        "vocab_size": 99,
        "hidden_size": 37,
        "type_vocab_size": 16,
    }
    config = config_lib.BertConfig(9, 8, 7, 2, 5, "relu", 0.4, 0.3, 2, 1, 0.01)
    assert (config.num_hidden_layers, config.hidden_act, config.initializer_range) == (
        7,
        "relu",
        0.01,
    )
    with pytest.raises(TypeError, match="vocab_size"):
        config_lib.BertConfig(99, vocab_size=99)


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


def test_a_record_without_labels_belongs_to_an_encoder(tmp_path):
    config_lib.ClassifierConfig(strip_accents=False).save(tmp_path)
    assert config_lib.ClassifierConfig.load(tmp_path).labels == ()


def test_a_damaged_classifier_record_names_file_and_key(tmp_path):
    (tmp_path / "classifier_config.json").write_text('{"labels": ["a", "b"], "pooling": "sum"}')
    with pytest.raises(
        ValueError, match=re.escape("classifier_config.json: 1 problem(s)\n  pooling:")
    ):
        config_lib.ClassifierConfig.load(tmp_path)

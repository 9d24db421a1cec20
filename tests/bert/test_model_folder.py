import dataclasses

import pytest

from bert import config as config_lib
from bert import model_folder
from bert import options as options_lib
from bert import pretrained

LABELS = ["0", "1"]


def options(output, **values):
    return options_lib.RunConfig.parse(
        {"data_dir": "d", "task_name": "imdb", "output_dir": str(output), "do_predict": True}
        | values
    )


@pytest.fixture
def named(tiny_release, monkeypatch):
    """A registry name whose weights are the tiny release and that recommends mean pooling."""
    weights = dataclasses.replace(pretrained.MINILM_L6, name="tiny", pooling="global_average_pool")
    monkeypatch.setitem(pretrained.REGISTRY, "tiny", weights)
    monkeypatch.setattr(pretrained, "fetch", lambda name: tiny_release)
    return "tiny"


@pytest.fixture
def trained(tiny_release, tmp_path):
    """A folder whose record says max pooling, cased, 20 tokens."""
    record = config_lib.ClassifierConfig(
        labels=tuple(LABELS), do_lower_case=False, max_seq_length=20, pooling="global_max_pool"
    )
    config = config_lib.BertConfig.from_json_file(tiny_release / "bert_config.json")
    parts = model_folder.Parts(config, record, str(tiny_release / "vocab.txt"), None)
    parts.save(tmp_path / "trained")
    return tmp_path / "trained"


def test_without_anything_else_the_defaults_hold(tiny_release, tmp_path):
    parts = model_folder.resolve(
        options(tmp_path, model=str(tiny_release), max_seq_length=32), LABELS
    )
    assert parts.record == config_lib.ClassifierConfig(labels=("0", "1"), max_seq_length=32)
    assert parts.init_checkpoint == str(tiny_release / "bert_model.ckpt")
    assert parts.vocab_file == str(tiny_release / "vocab.txt")


def test_named_weights_recommend_their_pooling(named, tmp_path):
    parts = model_folder.resolve(options(tmp_path, model=named, max_seq_length=8), LABELS)
    assert parts.record.pooling == "global_average_pool"


def test_a_trained_folder_comes_before_named_weights_and_flags_before_both(named, trained):
    parts = model_folder.resolve(options(trained, model=named), LABELS)
    assert parts.record.pooling == "global_max_pool"
    assert parts.record.max_seq_length == 20
    assert not parts.record.do_lower_case
    assert parts.vocab_file == str(trained / "vocab.txt")
    flags = {"classifier_head_config": "default", "max_seq_length": 10, "do_lower_case": True}
    parts = model_folder.resolve(options(trained, model=named, **flags), LABELS)
    assert parts.record == config_lib.ClassifierConfig(labels=("0", "1"), max_seq_length=10)


def test_missing_files_are_named_as_the_flags_that_give_them(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"--bert_config_file \(or --model\) is required; --vocab_file \(or --model\) is required",
    ):
        model_folder.resolve(options(tmp_path), LABELS)


def test_a_folder_that_was_never_trained_is_no_model_folder(trained, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"trained must be the output_dir .* holds no checkpoint"
    ):
        model_folder.load(trained)
    with pytest.raises(FileNotFoundError, match=r"holds no classifier_config.json"):
        model_folder.load(tmp_path)

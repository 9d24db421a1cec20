import dataclasses
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from bert import checkpoints
from bert import config as config_lib
from bert import model_folder
from bert import options as options_lib
from bert import pretrained

LABELS = ["0", "1"]


def resolve(chosen, labels=LABELS):
    return model_folder.resolve(chosen, model_folder.gather(chosen), labels)


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
    monkeypatch.setattr(pretrained, "fetch", lambda name, resolve_hub: tiny_release)
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
    checkpoints.write(tmp_path / "trained" / "model.ckpt-3", {"global_step": np.int64(3)})
    tf.compat.v1.train.update_checkpoint_state(str(tmp_path / "trained"), "model.ckpt-3")
    return tmp_path / "trained"


def test_without_anything_else_the_defaults_hold(tiny_release, tmp_path):
    parts = resolve(options(tmp_path, model=str(tiny_release), max_seq_length=32))
    assert parts.record == config_lib.ClassifierConfig(labels=("0", "1"), max_seq_length=32)
    assert parts.init_checkpoint == str(tiny_release / "bert_model.ckpt")
    assert parts.vocab_file == str(tiny_release / "vocab.txt")


def test_named_weights_recommend_their_pooling(named, tmp_path):
    parts = resolve(options(tmp_path, model=named, max_seq_length=8))
    assert parts.record.pooling == "global_average_pool"


def test_a_trained_folder_comes_before_the_defaults(trained):
    parts = resolve(options(trained))
    assert parts.record.pooling == "global_max_pool"
    assert parts.record.max_seq_length == 20
    assert not parts.record.do_lower_case
    assert parts.vocab_file == str(trained / "vocab.txt")


def test_flags_come_before_a_fetched_model(named, tmp_path):
    flags = {"classifier_head_config": "default", "max_seq_length": 10, "do_lower_case": True}
    parts = resolve(options(tmp_path, model=named, **flags))
    assert parts.record == config_lib.ClassifierConfig(labels=("0", "1"), max_seq_length=10)


def test_a_training_that_never_got_to_a_checkpoint_leaves_no_settings_behind(named, trained):
    for path in trained.glob("*ckpt*"):
        path.unlink()
    parts = resolve(options(trained, model=named, max_seq_length=8))
    assert parts.record == config_lib.ClassifierConfig(
        labels=("0", "1"), max_seq_length=8, pooling="global_average_pool"
    )


def test_a_trained_folder_refuses_another_model_than_its_own(trained, tmp_path, tiny_release):
    wider = tmp_path / "wider"
    shutil.copytree(tiny_release, wider)
    config = config_lib.BertConfig.from_json_file(tiny_release / "bert_config.json")
    text = config.model_copy(update={"hidden_size": 24}).to_json_string()
    (wider / "bert_config.json").write_text(text)
    with pytest.raises(ValueError, match=r"options differ in bert_config.json"):
        resolve(options(trained, model=str(wider)))
    assert resolve(options(trained, model=str(tiny_release))).record.pooling == "global_max_pool"


def test_a_trained_folder_is_a_model_for_another_one(trained, tmp_path):
    parts = resolve(options(tmp_path / "new", model=str(trained)))
    assert parts.init_checkpoint == str(trained / "model.ckpt-3")
    assert parts.record.pooling == "global_max_pool"
    assert parts.keeps_classifier


def test_a_checkpoint_of_a_trained_folder_brings_its_settings(trained, tmp_path):
    chosen = options(tmp_path / "new", init_checkpoint=str(trained / "model.ckpt-3"))
    parts = resolve(chosen, ["1", "0"])
    assert parts.labels == ["0", "1"]  # as it was trained
    assert parts.record.pooling == "global_max_pool"


def test_missing_files_are_named_as_the_flags_that_give_them(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"--bert_config_file \(or --model\) is required; --vocab_file \(or --model\) is required",
    ):
        resolve(options(tmp_path, do_train=True))
    with pytest.raises(
        ValueError, match=r"must hold a trained model to evaluate or predict with, got"
    ):
        resolve(options(tmp_path))


def test_a_folder_that_was_never_trained_is_no_model_folder(trained, tmp_path):
    for path in trained.glob("*ckpt*"):
        path.unlink()
    (tmp_path / "empty").mkdir()
    for folder in (trained, tmp_path / "empty"):
        with pytest.raises(
            FileNotFoundError, match=r"must be the output_dir of a finished training"
        ):
            model_folder.load(folder)


@pytest.fixture
def tuned(tiny_release, tmp_path, monkeypatch):
    """A fetched model that brings a classifier for neg, neutral and pos, cased, 20 tokens."""
    folder = tmp_path / "tuned"
    shutil.copytree(tiny_release, folder)
    config_lib.ClassifierConfig(
        labels=("neg", "neutral", "pos"), do_lower_case=False, max_seq_length=20
    ).save(folder)
    monkeypatch.setattr(pretrained, "fetch", lambda name, resolve_hub: folder)
    monkeypatch.setattr(pretrained, "lookup", lambda name: None)
    return str(folder)


def test_a_tuned_models_classifier_is_used_in_its_own_order_of_labels(tuned, tmp_path):
    parts = resolve(options(tmp_path, model=tuned), ["pos", "neg", "neutral"])
    assert parts.labels == ["neg", "neutral", "pos"]
    assert parts.keeps_classifier
    assert (parts.record.do_lower_case, parts.record.max_seq_length) == (False, 20)
    assert model_folder.gather(options(tmp_path, model=tuned)).labels == ("neg", "neutral", "pos")


def test_class_numbers_stand_for_a_tuned_models_classes(tuned, tmp_path, caplog):
    with caplog.at_level("INFO"):
        parts = resolve(options(tmp_path, model=tuned), ["0", "1", "2"])
    assert parts.labels == ["0", "1", "2"]
    assert "has a classifier for neg, neutral, pos" in caplog.text
    assert "taken as class numbers" in caplog.text


def test_other_labels_get_a_new_classifier_in_training_and_an_error_without(
    tuned, tmp_path, caplog
):
    with caplog.at_level("INFO"):
        parts = resolve(options(tmp_path, model=tuned, do_train=True), ["bad", "good"])
    assert parts.labels == ["bad", "good"]
    assert not parts.keeps_classifier
    assert "a new classifier is trained on its encoder" in caplog.text
    with pytest.raises(ValueError, match=r"labels bad, good; say which is which with --label_map"):
        resolve(options(tmp_path, model=tuned), ["bad", "good"])


def test_a_tuned_model_loads_without_training_and_an_encoder_does_not(
    tuned, tiny_release, monkeypatch
):
    parts = model_folder.load("some/tuned-model")
    assert parts.labels == ["neg", "neutral", "pos"]
    assert parts.init_checkpoint == f"{tuned}/bert_model.ckpt"
    monkeypatch.setattr(pretrained, "fetch", lambda name, resolve_hub: tiny_release)
    with pytest.raises(
        FileNotFoundError, match="must hold a trained classifier, but it holds an enc"
    ):
        model_folder.load("some/encoder")


def test_the_tokenizer_has_the_settings_of_the_record(tuned, tmp_path):
    record = config_lib.ClassifierConfig(
        labels=("a", "b"), do_lower_case=True, strip_accents=False, max_input_chars_per_word=4
    )
    config = config_lib.BertConfig.from_json_file(f"{tuned}/bert_config.json")
    tokenizer = model_folder.Parts(config, record, f"{tuned}/vocab.txt", None).tokenizer()
    assert tokenizer.tokenize("Fine so") == ["fine", "so"]
    assert tokenizer.tokenize("fi\u0301ne dull dullness") == ["[UNK]", "dull", "[UNK]"]


def test_a_trained_folder_refuses_another_truncation(trained):
    with pytest.raises(ValueError, match=r"truncation \('head' there, 'tail' now\)"):
        resolve(options(trained, truncation="tail"))


def test_a_folder_for_inference_works_by_a_relative_name_and_replaces_an_older_one(
    trained, tiny_release, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    parts = resolve(options(trained))
    for step in (3, 5):
        checkpoints.write("x.ckpt", {"global_step": np.int64(step), "a/adam_m": np.ones(2, "f")})
        model_folder.save_for_inference(parts, "x.ckpt", "run/best")
        assert checkpoints.latest_step("run/best") == step
    assert model_folder.best_folder("run") == pathlib.Path("run/best")
    assert sorted(path.name for path in (tmp_path / "run" / "best").glob("model*.index")) == [
        "model.ckpt-5.index"
    ]
    assert dict(tf.train.list_variables("run/best")) == {"global_step": []}
    (tmp_path / "run").rename(tmp_path / "moved")
    assert checkpoints.latest_step("moved/best") == 5


def test_a_best_folder_without_a_checkpoint_holds_no_best_model(trained, monkeypatch):
    (trained / "best").mkdir()
    assert model_folder.best_folder(trained) == trained
    assert model_folder.load(trained).init_checkpoint == str(trained / "model.ckpt-3")
    monkeypatch.setenv("HOME", str(trained.parent))
    assert model_folder.best_folder("~/trained") == trained


@pytest.mark.parametrize(
    ("labels", "flags", "message"),
    [
        (["a", "b"], {}, r"labels \(\['0', '1'\] there, \['a', 'b'\] now\); leave"),
        (LABELS, {"do_lower_case": True}, r"do_lower_case \(False there, True now\); leave"),
        (
            LABELS,
            {"classifier_head_config": "default"},
            r"pooling \('global_max_pool' there, 'default' now\); leave",
        ),
        (LABELS, {"vocab_file": "words.txt"}, r"options differ in vocab\.txt; leave"),
    ],
)
def test_a_trained_folder_refuses_what_its_classifier_does_not_know(
    trained, monkeypatch, labels, flags, message
):
    monkeypatch.chdir(trained.parent)
    (trained.parent / "words.txt").write_bytes((trained / "vocab.txt").read_bytes()[:-2] + b"?\n")
    with pytest.raises(ValueError, match=message):
        resolve(options(trained, **flags), labels)


def test_a_trained_folder_goes_on_with_its_own_labels_whatever_the_model_brings(trained, tuned):
    parts = resolve(options(trained, model=tuned))
    assert parts.labels == LABELS
    assert parts.keeps_classifier


def test_another_checkpoint_does_not_have_the_labels_of_the_model(tuned, tiny_release, tmp_path):
    checkpoint = str(tiny_release / "bert_model.ckpt")
    chosen = options(tmp_path / "new", model=tuned, init_checkpoint=checkpoint)
    assert model_folder.gather(chosen).labels == ()
    parts = resolve(chosen, ["bad", "good"])
    assert parts.labels == ["bad", "good"]
    assert parts.init_checkpoint == checkpoint


def test_a_vocabulary_may_fill_the_word_table_and_no_more(tiny_release):
    config = config_lib.BertConfig.from_json_file(tiny_release / "bert_config.json")
    record = config_lib.ClassifierConfig(labels=("0", "1"))
    vocab_file = str(tiny_release / "vocab.txt")
    assert len(model_folder.Parts(config, record, vocab_file, None).tokenizer().vocab) == 22
    smaller = config.model_copy(update={"vocab_size": 21})
    with pytest.raises(ValueError, match=r"at most 21 lines \(vocab_size of the config\), got 22"):
        model_folder.Parts(smaller, record, vocab_file, None).tokenizer()


def test_a_text_longer_than_the_positions_is_refused(tiny_release, tmp_path):
    with pytest.raises(ValueError, match=r"must be at most 32 \(.*bert_config\.json\), got 33"):
        resolve(options(tmp_path, model=str(tiny_release), max_seq_length=33))


def test_the_letter_case_must_be_that_of_the_checkpoints_name(tiny_release, tmp_path):
    release = tmp_path / "cased_L-12_H-768_A-12"
    shutil.copytree(tiny_release, release)
    chosen = {"model": str(release), "max_seq_length": 8}
    with pytest.raises(ValueError, match="do_lower_case"):
        resolve(options(tmp_path / "new", **chosen, do_lower_case=True))
    parts = resolve(options(tmp_path / "new", **chosen, do_lower_case=False))
    assert not parts.record.do_lower_case

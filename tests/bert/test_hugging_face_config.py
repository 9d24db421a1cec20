import numpy as np
import pytest

from bert import config as config_lib
from bert import hugging_face
from tests.bert import hugging_face_folders as folders

folder = folders.folder
expected = folders.expected


def test_the_config_is_the_releases(folder):
    assert hugging_face.read(folder).config == config_lib.BertConfig(
        19,
        hidden_size=20,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=28,
        hidden_act="gelu_new",
        max_position_embeddings=16,
        type_vocab_size=2,
        layer_norm_eps=1e-3,
    )


def test_an_old_config_without_type_and_task_is_a_classifiers(tmp_path, expected):
    left = ("model_type", "architectures", "position_embedding_type", "type_vocab_size")
    model = hugging_face.read(folders.write(tmp_path, without=left))
    folders.assert_equal(model.variables, expected)
    assert model.record.labels == folders.LABELS
    assert model.config.type_vocab_size == 2


@pytest.mark.parametrize(
    "name",
    ["roberta", "distilbert", "albert", "electra", "deberta-v2", "xlm-roberta", "modernbert"],
)
def test_other_architectures_are_named_and_refused(name, tmp_path):
    with pytest.raises(
        ValueError, match=rf"config.json: model_type must be 'bert', got '{name}'; only BERTs"
    ):
        hugging_face.read(folders.write(tmp_path, model_type=name))


@pytest.mark.parametrize(
    ("key", "value", "legal"),
    [
        ("position_embedding_type", "relative_key", "'absolute'"),
        ("is_decoder", True, "False"),
        ("add_cross_attention", True, "False"),
    ],
)
def test_berts_that_encode_otherwise_are_refused(key, value, legal, tmp_path):
    with pytest.raises(ValueError, match=rf"{key} must be {legal}, got {value!r}; only BERTs"):
        hugging_face.read(folders.write(tmp_path, **{key: value}))


def test_a_trained_classifier_keeps_its_labels_and_its_length(folder):
    assert hugging_face.read(folder).record == config_lib.ClassifierConfig(
        labels=folders.LABELS,
        do_lower_case=False,
        strip_accents=True,
        tokenize_chinese_chars=False,
        max_input_chars_per_word=100,
        max_seq_length=13,
        pooling="default",
    )


def test_labels_stand_in_the_order_of_their_ids(tmp_path):
    names = {str(row): f"class {row}" for row in reversed(range(11))}  # "10" sorts before "2"
    wide = folders.TENSORS | {
        "classifier.weight": np.ones([11, 20], np.float32),
        "classifier.bias": np.ones(11, np.float32),
    }
    model = hugging_face.read(folders.write(tmp_path, wide, id2label=names))
    assert model.record.labels == tuple(f"class {row}" for row in range(11))


def test_two_unnamed_labels_get_transformers_names(tmp_path):
    two = {
        name: value[:2] if "classifier" in name else value
        for name, value in folders.TENSORS.items()
    }
    model = hugging_face.read(folders.write(tmp_path, two, without=["id2label"]))
    assert model.record.labels == ("LABEL_0", "LABEL_1")


@pytest.mark.parametrize(
    "names",
    [
        {"0": "a", "1": "b"},
        {"0": "a", "1": "b", "2": "c", "3": "d"},
        {"1": "a", "2": "b", "3": "c"},
        {"0": "a", "1": "b", "2": "a"},
        {"0": "a", "1": "b", "02": "c"},
    ],
)
def test_labels_must_fit_the_classifier(names, tmp_path):
    with pytest.raises(
        ValueError, match=r"config.json: id2label must name the classes 0 to 2, one "
    ):
        hugging_face.read(folders.write(tmp_path, id2label=names))


@pytest.mark.parametrize("problem", ["regression", "multi_label_classification"])
def test_classifiers_of_another_kind_are_refused(problem, tmp_path):
    with pytest.raises(ValueError, match=rf"got problem_type '{problem}' with 3 label\(s\)"):
        hugging_face.read(folders.write(tmp_path, problem_type=problem))


def test_a_classifier_of_one_label_is_refused(tmp_path):
    one = {
        name: value[:1] if "classifier" in name else value
        for name, value in folders.TENSORS.items()
    }
    with pytest.raises(ValueError, match=r"picks one of two or more labels, got .* with 1 label"):
        hugging_face.read(folders.write(tmp_path, one, id2label={"0": "stars"}))

import logging

import numpy as np
import pytest

from bert import config as config_lib
from bert import hugging_face
from tests import conftest
from tests.bert import hugging_face_folders as folders

folder = folders.folder
expected = folders.expected
ENCODER = {
    name: value for name, value in folders.TENSORS.items() if not name.startswith("classifier")
}


def renamed(rename, tensors=folders.TENSORS):
    return {rename(name): value for name, value in tensors.items()}


def without(part, tensors=folders.TENSORS):
    return {name: value for name, value in tensors.items() if part not in name}


def old(name):
    name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
    return name.replace("LayerNorm.bias", "LayerNorm.beta")


def bare(name):
    return name.removeprefix("bert.")


def test_every_name_of_a_12_layer_classifier_goes_over_and_back():
    config = config_lib.BertConfig(30, num_hidden_layers=12)
    names = list(conftest.release_shapes(config, num_labels=3))
    assert len(names) == 201
    theirs = [hugging_face.hugging_face_name(name) for name in names]
    assert [hugging_face.release_name(name) for name in theirs] == names
    assert "bert.encoder.layer.11.attention.output.LayerNorm.weight" in theirs
    assert "bert.encoder.layer.10.intermediate.dense.weight" in theirs


def test_the_names_are_those_that_transformers_saves():
    config = config_lib.BertConfig(30, num_hidden_layers=2)
    names = conftest.release_shapes(config)
    assert {hugging_face.hugging_face_name(name) for name in names} == folders.TENSORS.keys()
    assert {hugging_face.release_name(name) for name in folders.TENSORS} == names.keys()


@pytest.mark.parametrize(
    "name",
    [
        "bert.embeddings.position_ids",
        "bert.encoder.layer.0.attention.self.distance_embedding.weight",
        "bert.encoder.layer.x.output.dense.bias",
        "cls.predictions.transform.LayerNorm.gamma",
        "distilbert.embeddings.word_embeddings.weight",
        "roberta.encoder.layer.0.output.dense.bias",
    ],
)
def test_what_is_no_part_of_the_classifier_has_no_name(name):
    assert hugging_face.release_name(name) is None
    with pytest.raises(ValueError, match=f"must be those of a BERT classifier, got '{name}'"):
        hugging_face.from_tensors({name: np.zeros(2, np.float32)})


def test_a_variable_that_transformers_has_not_is_refused():
    with pytest.raises(ValueError, match="got 'global_step'; transformers has no name for it"):
        hugging_face.to_tensors({"global_step": np.zeros([], np.float32)})


def test_kernels_are_turned_and_nothing_else_is():
    table = np.arange(6, dtype=np.float16).reshape(2, 3)
    variables = hugging_face.from_tensors(
        {
            "encoder.layer.10.output.dense.weight": table,
            "embeddings.token_type_embeddings.weight": table,
            "classifier.weight": table,
        }
    )
    kernel = variables.pop("bert/encoder/layer_10/output/dense/kernel")
    np.testing.assert_array_equal(kernel, [[0, 3], [1, 4], [2, 5]])
    assert kernel.flags.c_contiguous
    assert kernel.dtype == np.float32
    np.testing.assert_array_equal(variables.pop("bert/embeddings/token_type_embeddings"), table)
    np.testing.assert_array_equal(variables.pop("output_weights"), table)
    assert not variables


def test_tensors_survive_the_way_over_and_back_bit_for_bit(expected):
    folders.assert_equal(hugging_face.to_tensors(expected), folders.TENSORS)


def test_two_tensors_for_one_variable_are_refused():
    tensors = folders.TENSORS | {"embeddings.LayerNorm.gamma": np.zeros(20, np.float32)}
    with pytest.raises(
        ValueError, match=r"must hold bert/embeddings/LayerNorm/gamma once, got 'embeddings\.Lay"
    ):
        hugging_face.from_tensors(tensors)


@pytest.mark.parametrize(
    "rename",
    [
        old,
        bare,
        lambda name: f"module.{name}",
        lambda name: f"module.{old(bare(name))}",
    ],
    ids=["gamma and beta", "no prefix", "DataParallel", "all of it"],
)
def test_names_of_every_age_give_the_same_variables(rename, tmp_path, expected):
    model = hugging_face.read(folders.write(tmp_path, renamed(rename)))
    folders.assert_equal(model.variables, expected)
    assert model.record.labels == folders.LABELS


def test_shards_give_the_same_variables(folder, expected):
    folders.shard(folder)
    folders.assert_equal(hugging_face.read(folder).variables, expected)


def test_quantized_weights_are_refused(tmp_path):
    name = "bert.encoder.layer.1.output.dense.weight"
    quantized = folders.TENSORS | {name: folders.TENSORS[name].astype(np.int8)}
    with pytest.raises(ValueError, match=rf"{name} must hold floats, got int8; give the model as"):
        hugging_face.read(folders.write(tmp_path, quantized))


def test_a_missing_tensor_is_named_as_it_would_stand_there(tmp_path):
    name = "bert.encoder.layer.1.attention.self.key.bias"
    with pytest.raises(ValueError, match=rf"but these are missing: {name}; save the model again"):
        hugging_face.read(folders.write(tmp_path, without(name)))
    with pytest.raises(ValueError, match=r"missing: bert.encoder.layer.2.* and 11 more; save"):
        hugging_face.read(folders.write(tmp_path, num_hidden_layers=3))


def test_heads_of_other_tasks_and_index_buffers_are_left_out(tmp_path, caplog, expected):
    caplog.set_level(logging.INFO)
    more = {
        "cls.predictions.bias": np.zeros(18, np.float32),
        "qa_outputs.weight": np.zeros([2, 20], np.float32),
        "lm_head.bias": np.zeros(18, np.float32),
        "bert.embeddings.position_ids": np.arange(16)[np.newaxis],
    }
    model = hugging_face.read(folders.write(tmp_path, folders.TENSORS | more))
    folders.assert_equal(model.variables, expected)
    (record,) = caplog.records
    assert record.levelname == "INFO"
    assert record.message == (
        f"{tmp_path}: left out the heads of other tasks: cls.predictions.bias, lm_head.bias, qa_outputs.weight"
    )


def test_unknown_tensors_are_reported(tmp_path, caplog, expected):
    more = {
        "bert.encoder.layer.1.adapter.down.weight": np.zeros([3, 20], np.float32),
        "bert.encoder.layer.2.output.dense.bias": np.zeros(20, np.float32),  # there are two layers
    }
    model = hugging_face.read(folders.write(tmp_path, folders.TENSORS | more))
    folders.assert_equal(model.variables, expected)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.message.endswith(f"that this BERT has not: {', '.join(more)}")


@pytest.mark.parametrize(
    ("part", "missing"),
    [
        ("classifier.bias", "classifier.bias"),
        ("pooler.dense.weight", "bert.pooler.dense.weight"),
        ("pooler", "bert.pooler.dense.bias, bert.pooler.dense.weight"),
    ],
)
def test_half_a_classifier_is_refused(part, missing, tmp_path):
    with pytest.raises(ValueError, match=rf"these are missing: {missing}; save the model again"):
        hugging_face.read(folders.write(tmp_path, without(part)))


def test_an_encoder_has_no_labels_and_keeps_our_length(tmp_path, expected):
    model = hugging_face.read(
        folders.write(tmp_path, renamed(bare, ENCODER), architectures=["BertModel"])
    )
    folders.assert_equal(model.variables, without("output_", expected))
    assert model.record.labels == ()
    assert model.record.pooling == "default"
    assert model.record.max_seq_length == 16  # 128, but there are 16 positions


def test_an_encoder_without_pooler_takes_the_mean(tmp_path, expected):
    model = hugging_face.read(folders.write(tmp_path, without("pooler", ENCODER)))
    folders.assert_equal(model.variables, without("pooler", without("output_", expected)))
    assert model.record.pooling == "global_average_pool"


def test_a_classifier_of_tokens_is_another_head(tmp_path, caplog, expected):
    caplog.set_level(logging.INFO)
    tasks = ["BertForTokenClassification"]
    model = hugging_face.read(folders.write(tmp_path, architectures=tasks))
    folders.assert_equal(model.variables, without("output_", expected))
    assert model.record.labels == ()
    assert "heads of other tasks: classifier.bias, classifier.weight" in caplog.text


def test_our_own_folders_bring_their_pooling_length_and_truncation(tmp_path, expected):
    own = {"pooling": "global_max_pool", "max_seq_length": 11, "truncation": "head_tail"}
    model = hugging_face.read(
        folders.write(tmp_path, without("pooler"), **{hugging_face.OWN_FIELDS: own})
    )
    folders.assert_equal(model.variables, without("pooler", expected))
    assert model.record.labels == folders.LABELS
    assert model.record.pooling == "global_max_pool"
    assert model.record.max_seq_length == 11
    assert model.record.truncation == "head_tail"


def test_a_field_of_our_own_that_is_none_is_refused(tmp_path):
    own = {hugging_face.OWN_FIELDS: {"truncation": "middle"}}
    with pytest.raises(ValueError, match=r"1 problem\(s\)\n  truncation: .*, got 'middle'"):
        hugging_face.read(folders.write(tmp_path, **own))


def test_source_files_are_those_that_are_read(folder):
    names = ["config.json", "tokenizer_config.json", "tokenizer.json", "vocab.txt"]
    (folder / "README.md").touch()
    (folder / "pytorch_model.bin").touch()
    found = [path.name for path in hugging_face.source_files(folder)]
    assert found == [*names, "model.safetensors"]
    shards = sorted(set(folders.shard(folder).values()))
    found = [path.name for path in hugging_face.source_files(folder)]
    assert found == [*names, "model.safetensors.index.json", *shards]

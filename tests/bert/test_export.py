"""Folders for others."""

import ast
import fnmatch
import json
import logging

import numpy as np
import pytest
import safetensors
import tensorflow as tf
import tokenizers

from bert import checkpoints
from bert import config as config_lib
from bert import export
from bert import hugging_face
from bert import model_folder
from tests import reference_bert
from tests.bert import tuned_folders

tuned = tuned_folders.tuned


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_tensors_are_those_that_transformers_had(tuned):
    arrays = dict(np.load(reference_bert.GOLDENS / "transformers_tiny_bert.npz"))
    with safetensors.safe_open(
        tuned_folders.exported(tuned()) / "model.safetensors", "numpy"
    ) as file:
        assert file.metadata() == {"format": "pt"}
        tensors = {name: file.get_tensor(name) for name in [*file.keys()]}
    assert {f"weights/{name}" for name in tensors} == set(fnmatch.filter(arrays, "weights/*"))
    for name, value in tensors.items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, arrays[f"weights/{name}"], err_msg=name)


def test_the_weights_are_as_readable_as_the_other_files(tuned):
    modes = {
        path.stat().st_mode for path in tuned_folders.exported(tuned("global_max_pool")).iterdir()
    }
    assert len(modes) == 1


def test_the_config_says_what_transformers_reads(tuned, golden):
    config = golden.config.model_copy(update={"hidden_act": "gelu_tanh", "layer_norm_eps": 1e-7})
    assert read_json(tuned_folders.exported(tuned(config=config)) / "config.json") == {
        "model_type": "bert",
        "architectures": ["BertForSequenceClassification"],
        "vocab_size": 40,
        "hidden_size": 12,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "intermediate_size": 20,
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "max_position_embeddings": 16,
        "type_vocab_size": 2,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-7,
        "classifier_dropout": 0.1,
        "dtype": "float32",
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
        "problem_type": "single_label_classification",
        "id2label": {"0": "bad", "1": "so so", "2": "good", "3": "très bon", "4": "best"},
        "label2id": {"bad": 0, "so so": 1, "good": 2, "très bon": 3, "best": 4},
        "bert_attention_explain": {
            "pooling": "default",
            "max_seq_length": 9,
            "truncation": "head",
        },
    }


def test_the_tokenizers_config_says_how_the_model_reads(tuned):
    folder = tuned(do_lower_case=False, strip_accents=True, truncation="tail")
    assert read_json(tuned_folders.exported(folder) / "tokenizer_config.json") == {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": False,
        "strip_accents": True,
        "tokenize_chinese_chars": True,
        "model_max_length": 9,
        "truncation_side": "left",
        "split_special_tokens": True,
        "clean_up_tokenization_spaces": True,
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    }


def test_a_vocabulary_without_a_mask_gets_none(tuned, monkeypatch):
    without = [piece.replace("[MASK]", "mask") for piece in tuned_folders.VOCABULARY]
    monkeypatch.setattr(tuned_folders, "VOCABULARY", without)
    folder = tuned_folders.exported(tuned())
    assert read_json(folder / "tokenizer_config.json")["mask_token"] is None
    assert tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size() == 40


@pytest.mark.parametrize(
    ("fields", "pieces"),
    [
        ({}, ["the", "film", "was", "[UNK]", "naive", "##a"]),
        ({"do_lower_case": False}, ["[UNK]", "Film", "was", "[UNK]", "[UNK]"]),
        (
            {"do_lower_case": False, "strip_accents": True},
            ["[UNK]", "Film", "was", "[UNK]", "naive", "##a"],
        ),
        ({"max_input_chars_per_word": 5}, ["the", "film", "was", "[UNK]", "[UNK]"]),
        ({"tokenize_chinese_chars": False}, ["the", "film", "[UNK]", "naive", "##a"]),
    ],
)
def test_the_fast_tokenizer_splits_as_the_record_says(tuned, fields, pieces):
    folder = tuned_folders.exported(tuned(**fields))
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    encoding = tokenizer.encode("The Film was電 naïvea", "dull.")
    assert encoding.tokens == ["[CLS]", *pieces, "[SEP]", "dull", ".", "[SEP]"]
    assert encoding.type_ids == [0] * (len(pieces) + 2) + [1, 1, 1]
    assert encoding.ids == [tuned_folders.VOCABULARY.index(piece) for piece in encoding.tokens]
    words = " ".join(piece for piece in pieces if piece != "[UNK]").replace(" ##", "")
    assert tokenizer.decode(encoding.ids) == f"{words} dull."


@pytest.mark.parametrize("pooling", config_lib.POOLINGS)
def test_out_and_in_again_is_the_same_model(tuned, golden, pooling):
    folder = tuned(
        pooling,
        config=golden.config.model_copy(update={"hidden_act": "gelu_new", "layer_norm_eps": 1e-7}),
        do_lower_case=False,
        strip_accents=True,
        tokenize_chinese_chars=False,
        max_input_chars_per_word=50,
        truncation="tail",
    )
    model = hugging_face.read(tuned_folders.exported(folder))
    parts = model_folder.load(folder)
    assert model.config == parts.config
    assert model.record == parts.record
    assert model.vocabulary.encode() == parts.vocabulary_bytes()
    expected = tuned_folders.of_pooling(golden, pooling)
    assert model.variables.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(model.variables[name], value, err_msg=name)


def test_a_folder_that_went_out_is_a_model_with_the_same_logits(
    tuned, golden, tmp_path, monkeypatch
):
    monkeypatch.setenv("BERT_CACHE_DIR", str(tmp_path / "cache"))
    config = golden.config.model_copy(update={"hidden_act": "gelu_tanh"})
    parts = model_folder.load(tuned_folders.exported(tuned(config=config)))
    names = checkpoints.checkpoint_shapes(parts.init_checkpoint)
    variables = checkpoints.load_variables(parts.init_checkpoint, names)
    found = tuned_folders.logits(golden, variables, parts.config, parts.record.pooling)
    # 1e-5: float32 against float32 of transformers, logits of size 3
    np.testing.assert_allclose(found, golden.outputs["gelu_new/logits"], atol=1e-5)


def test_a_pooling_that_transformers_lacks_brings_its_class_along(tuned):
    folder = tuned_folders.exported(tuned("global_average_pool"))
    values = read_json(folder / "config.json")
    tree = ast.parse((folder / "modeling_pooled_bert.py").read_text())
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    assert {f"modeling_pooled_bert.{name}" for name in classes} == {*values["auto_map"].values()}
    assert set(values["architectures"]) < classes
    # a model_type that transformers knows would let it take its own class, with a fresh pooler
    assert "model_type" not in values


def test_default_pooling_needs_no_code(tuned):
    folder = tuned_folders.exported(tuned())
    assert not list(folder.glob("*.py"))
    assert "auto_map" not in read_json(folder / "config.json")


def test_a_head_of_the_users_own_is_refused(tuned, golden, tmp_path):
    folder = tuned_folders.tune(
        tmp_path / "own", golden.config, golden.variables, max_seq_length=9, pooling="heads:MEDIAN"
    )
    with pytest.raises(ValueError, match=r"pooling must be one of default, .* got 'heads:MEDIAN'"):
        tuned_folders.exported(folder)
    assert not (tmp_path / "exported").exists()


def test_reading_both_ends_of_a_text_is_told_to_be_lost(tuned, caplog):
    folder = tuned_folders.exported(tuned(truncation="head_tail"))
    (line,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert line.endswith("reads 'head_tail' of a long text; transformers will read its head")
    assert read_json(folder / "tokenizer_config.json")["truncation_side"] == "right"


@pytest.mark.parametrize("write", [export.write_hugging_face, export.strip_optimizer])
def test_a_folder_that_holds_something_is_left_alone(tuned, tmp_path, write):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("mine")
    with pytest.raises(FileExistsError, match=r"mine must be a new or an empty folder"):
        write(tuned(), tmp_path / "mine")
    assert [path.read_text() for path in (tmp_path / "mine").iterdir()] == ["mine"]


def test_an_empty_folder_is_filled(tuned, tmp_path):
    (tmp_path / "exported").mkdir()
    assert (tuned_folders.exported(tuned()) / "config.json").is_file()


def test_a_failure_leaves_nothing_behind(tuned, tmp_path, monkeypatch):
    def fail(path, values):
        raise OSError("No space left on device")

    folder = tuned()
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(export, "_write_json", fail)  # after the weights are there
    with pytest.raises(OSError, match="No space"):
        tuned_folders.exported(folder)
    assert sorted(tmp_path.iterdir()) == before


def test_without_the_optimiser_the_model_is_the_same_and_a_third_of_the_size(
    tuned, golden, tmp_path
):
    folder = tuned("global_max_pool", truncation="tail")
    export.strip_optimizer(folder, tmp_path / "slim")
    before, after = (model_folder.load(name) for name in (folder, tmp_path / "slim"))
    assert after.config == before.config
    assert after.record == before.record
    assert after.vocabulary_bytes() == before.vocabulary_bytes()
    expected = tuned_folders.of_pooling(golden, "global_max_pool")
    names = {name for name, _ in tf.train.list_variables(after.init_checkpoint)}
    assert names == {*expected, "global_step"}
    for name, value in checkpoints.load_variables(after.init_checkpoint, expected).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    assert checkpoints.latest_step(tmp_path / "slim") == tuned_folders.STEP
    data = f"model.ckpt-{tuned_folders.STEP}.data-00000-of-00001"
    sizes = [(path / data).stat().st_size for path in (folder, tmp_path / "slim")]
    assert sizes[1] < 0.34 * sizes[0]


def test_a_folder_without_the_optimiser_may_move(tuned, tmp_path):
    export.strip_optimizer(tuned(), tmp_path / "slim")
    (tmp_path / "slim").rename(tmp_path / "moved")
    assert model_folder.load(tmp_path / "moved").init_checkpoint == str(
        tmp_path / "moved" / f"model.ckpt-{tuned_folders.STEP}"
    )


def test_a_model_from_elsewhere_has_no_optimiser_to_strip(tuned, tmp_path, monkeypatch):
    monkeypatch.setenv("BERT_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(FileNotFoundError, match=r"exported must be the output_dir of a finished"):
        export.strip_optimizer(tuned_folders.exported(tuned()), tmp_path / "slim")

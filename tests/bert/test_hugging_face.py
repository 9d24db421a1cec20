import json
import logging

import numpy as np
import pytest

from bert import config as config_lib
from bert import hugging_face
from tests import conftest
from tests.bert import hugging_face_folders as folders

TENSORS = folders.TENSORS
ENCODER = {name: value for name, value in TENSORS.items() if not name.startswith("classifier")}
LABELS = ("negativ", "neutral", "positiv ✓")


def renamed(rename, tensors=TENSORS):
    return {rename(name): value for name, value in tensors.items()}


def without(part, tensors=TENSORS):
    return {name: value for name, value in tensors.items() if part not in name}


def old(name):
    name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
    return name.replace("LayerNorm.bias", "LayerNorm.beta")


def bare(name):
    return name.removeprefix("bert.")


def assert_equal(variables, expected):
    assert variables.keys() == expected.keys()
    for name, value in expected.items():
        assert variables[name].dtype == np.float32
        np.testing.assert_array_equal(variables[name], value, err_msg=name)


@pytest.fixture
def folder(tmp_path):
    return folders.write(tmp_path / "model")


@pytest.fixture(scope="module")
def expected():
    return hugging_face.from_tensors(TENSORS)


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
    assert {hugging_face.hugging_face_name(name) for name in names} == TENSORS.keys()
    assert {hugging_face.release_name(name) for name in TENSORS} == names.keys()


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
    assert_equal(hugging_face.to_tensors(expected), TENSORS)


def test_two_tensors_for_one_variable_are_refused():
    tensors = TENSORS | {"embeddings.LayerNorm.gamma": np.zeros(20, np.float32)}
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
    assert_equal(model.variables, expected)
    assert model.record.labels == LABELS


def test_shards_give_the_same_variables(folder, expected):
    folders.shard(folder)
    assert_equal(hugging_face.read(folder).variables, expected)


def test_quantized_weights_are_refused(tmp_path):
    name = "bert.encoder.layer.1.output.dense.weight"
    quantized = TENSORS | {name: TENSORS[name].astype(np.int8)}
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
    model = hugging_face.read(folders.write(tmp_path, TENSORS | more))
    assert_equal(model.variables, expected)
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
    model = hugging_face.read(folders.write(tmp_path, TENSORS | more))
    assert_equal(model.variables, expected)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.message.endswith(f"that this BERT has not: {', '.join(more)}")


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
    assert_equal(model.variables, expected)
    assert model.record.labels == LABELS
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
        labels=LABELS,
        do_lower_case=False,
        strip_accents=True,
        tokenize_chinese_chars=False,
        max_input_chars_per_word=100,
        max_seq_length=13,
        pooling="default",
    )


def test_labels_stand_in_the_order_of_their_ids(tmp_path):
    names = {str(row): f"class {row}" for row in reversed(range(11))}  # "10" sorts before "2"
    wide = TENSORS | {
        "classifier.weight": np.ones([11, 20], np.float32),
        "classifier.bias": np.ones(11, np.float32),
    }
    model = hugging_face.read(folders.write(tmp_path, wide, id2label=names))
    assert model.record.labels == tuple(f"class {row}" for row in range(11))


def test_two_unnamed_labels_get_transformers_names(tmp_path):
    two = {name: value[:2] if "classifier" in name else value for name, value in TENSORS.items()}
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
    one = {name: value[:1] if "classifier" in name else value for name, value in TENSORS.items()}
    with pytest.raises(ValueError, match=r"picks one of two or more labels, got .* with 1 label"):
        hugging_face.read(folders.write(tmp_path, one, id2label={"0": "stars"}))


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
    assert_equal(model.variables, without("output_", expected))
    assert model.record.labels == ()
    assert model.record.pooling == "default"
    assert model.record.max_seq_length == 16  # 128, but there are 16 positions


def test_an_encoder_without_pooler_takes_the_mean(tmp_path, expected):
    model = hugging_face.read(folders.write(tmp_path, without("pooler", ENCODER)))
    assert_equal(model.variables, without("pooler", without("output_", expected)))
    assert model.record.pooling == "global_average_pool"


def test_a_classifier_of_tokens_is_another_head(tmp_path, caplog, expected):
    caplog.set_level(logging.INFO)
    tasks = ["BertForTokenClassification"]
    model = hugging_face.read(folders.write(tmp_path, architectures=tasks))
    assert_equal(model.variables, without("output_", expected))
    assert model.record.labels == ()
    assert "heads of other tasks: classifier.bias, classifier.weight" in caplog.text


def test_our_own_folders_bring_their_pooling_length_and_truncation(tmp_path, expected):
    own = {"pooling": "global_max_pool", "max_seq_length": 11, "truncation": "head_tail"}
    model = hugging_face.read(
        folders.write(tmp_path, without("pooler"), **{hugging_face.OWN_FIELDS: own})
    )
    assert_equal(model.variables, without("pooler", expected))
    assert model.record.labels == LABELS
    assert model.record.pooling == "global_max_pool"
    assert model.record.max_seq_length == 11
    assert model.record.truncation == "head_tail"


def test_a_field_of_our_own_that_is_none_is_refused(tmp_path):
    own = {hugging_face.OWN_FIELDS: {"truncation": "middle"}}
    with pytest.raises(ValueError, match=r"1 problem\(s\)\n  truncation: .*, got 'middle'"):
        hugging_face.read(folders.write(tmp_path, **own))


def settings(record):
    return record.do_lower_case, record.strip_accents, record.tokenize_chinese_chars


def edit_tokenizer(folder, **parts):
    whole = json.loads(folders.FILES["tokenizer.json"]) | parts
    (folder / "tokenizer.json").write_text(json.dumps(whole), encoding="utf-8")


NORMALIZER = {  # the opposite of the golden's tokenizer_config.json
    "type": "BertNormalizer",
    "clean_text": True,
    "lowercase": True,
    "strip_accents": False,
    "handle_chinese_chars": True,
}
JAPANESE = {"tokenizer_class": "BertJapaneseTokenizer"}
SILENT = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")


def test_tokenizer_config_comes_before_the_tokenizer(folder):
    edit_tokenizer(folder, normalizer=NORMALIZER)
    assert settings(hugging_face.read(folder).record) == (False, True, False)


def test_the_tokenizer_speaks_where_its_config_is_silent(tmp_path):
    folder = folders.write(tmp_path, without=SILENT)
    edit_tokenizer(folder, normalizer=NORMALIZER)
    assert settings(hugging_face.read(folder).record) == (True, False, True)


def test_transformers_defaults_hold_where_all_are_silent(tmp_path):
    folder = folders.write(tmp_path, without=["tokenizer_config.json", "tokenizer.json"])
    record = hugging_face.read(folder).record
    assert settings(record) == (True, None, True)
    assert record.max_input_chars_per_word == 100


def test_null_accents_do_as_the_letter_case_does(tmp_path):
    folder = folders.write(tmp_path, tokenizer={"strip_accents": None})
    edit_tokenizer(folder, normalizer=NORMALIZER)
    assert hugging_face.read(folder).record.strip_accents is None


def test_a_model_length_that_stands_for_none_is_not_taken(tmp_path):
    folder = folders.write(tmp_path, tokenizer={"model_max_length": int(1e30)})
    assert hugging_face.read(folder).record.max_seq_length == 16


def test_the_longest_word_is_the_tokenizers(folder):
    model = json.loads(folders.FILES["tokenizer.json"])["model"]
    edit_tokenizer(folder, model=model | {"max_input_chars_per_word": 37})
    assert hugging_face.read(folder).record.max_input_chars_per_word == 37


def test_the_vocabulary_is_the_file_to_the_byte(folder):
    assert hugging_face.read(folder).vocabulary == folders.FILES["vocab.txt"]
    (folder / "vocab.txt").write_bytes("\ufeff[PAD]\r\n\r\nä\u2028b\r\n".encode())
    assert hugging_face.read(folder).vocabulary == "\ufeff[PAD]\r\n\r\nä\u2028b\r\n"


def test_without_vocab_txt_the_tokenizer_gives_the_vocabulary(tmp_path):
    model = hugging_face.read(folders.write(tmp_path, without=["vocab.txt"]))
    assert model.vocabulary == folders.FILES["vocab.txt"]


@pytest.mark.parametrize(
    ("vocabulary", "problem"),
    [
        ({"[PAD]": 0, "a": 2}, r"tokenizer.json: ids of the vocabulary must be 0 to 1, each once"),
        ({"[PAD]": 0, "a": 0}, r"tokenizer.json: ids of the vocabulary must be 0 to 1, each once"),
        ({"[PAD]": 0, "a\nb": 1}, r"a token must fit on a line of a vocab.txt, got 'a\\nb'"),
    ],
)
def test_a_vocabulary_that_no_file_of_lines_can_hold_is_refused(vocabulary, problem, tmp_path):
    folder = folders.write(tmp_path, without=["vocab.txt"])
    edit_tokenizer(folder, model={"type": "WordPiece", "vocab": vocabulary})
    with pytest.raises(ValueError, match=problem):
        hugging_face.read(folder)


def test_a_folder_without_any_vocabulary_is_refused(tmp_path):
    folder = folders.write(tmp_path, without=["vocab.txt", "tokenizer.json"])
    with pytest.raises(FileNotFoundError, match=r"must hold vocab.txt, or a vocabulary in token"):
        hugging_face.read(folder)


@pytest.mark.parametrize(
    ("part", "kind", "legal"),
    [
        ("model", "BPE", "WordPiece"),
        ("normalizer", "Precompiled", "BertNormalizer"),
        ("pre_tokenizer", "ByteLevel", "BertPreTokenizer"),
    ],
)
def test_other_tokenizers_are_named_and_refused(part, kind, legal, folder):
    edit_tokenizer(folder, **{part: {"type": kind}})
    with pytest.raises(
        ValueError, match=rf"tokenizer.json: {part} must be a {legal}, got '{kind}'"
    ):
        hugging_face.read(folder)


@pytest.mark.parametrize(
    ("left", "changes"),
    [
        (["tokenizer.json"], {"tokenizer": JAPANESE}),
        (["tokenizer.json", "tokenizer_config.json"], JAPANESE),
    ],
    ids=["tokenizer_config.json", "config.json"],
)
def test_a_tokenizer_that_is_another_program_is_refused(left, changes, tmp_path):
    folder = folders.write(tmp_path, without=left, **changes)
    with pytest.raises(ValueError, match=r"must be 'BertTokenizer', got 'BertJapaneseTokenizer'"):
        hugging_face.read(folder)


def test_the_tokenizer_itself_tells_more_than_its_class(tmp_path):
    folder = folders.write(tmp_path, tokenizer={"tokenizer_class": "DistilBertTokenizer"})
    assert settings(hugging_face.read(folder).record) == (False, True, False)


def test_tokens_added_to_the_vocabulary_are_reported(tmp_path, caplog):
    decoder = {"2": {"content": "[CLS]"}, "20": {"content": "[DRUG]"}}
    folder = folders.write(tmp_path, tokenizer={"added_tokens_decoder": decoder})
    edit_tokenizer(
        folder, added_tokens=[{"id": 3, "content": "[SEP]"}, {"id": 21, "content": "x1"}]
    )
    (folder / "added_tokens.json").write_text('{"y2": 22}')
    hugging_face.read(folder)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.message.endswith("added to the vocabulary are read as text: [DRUG], x1, y2")


def test_source_files_are_those_that_are_read(folder):
    names = ["config.json", "tokenizer_config.json", "tokenizer.json", "vocab.txt"]
    (folder / "README.md").touch()
    (folder / "pytorch_model.bin").touch()
    found = [path.name for path in hugging_face.source_files(folder)]
    assert found == [*names, "model.safetensors"]
    shards = sorted(set(folders.shard(folder).values()))
    found = [path.name for path in hugging_face.source_files(folder)]
    assert found == [*names, "model.safetensors.index.json", *shards]

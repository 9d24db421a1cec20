"""Folders for others. $BERT_PEERS_PYTHON, a Python with torch and transformers, opens them too where it is given."""

import ast
import fnmatch
import json
import logging
import os
import subprocess

import numpy as np
import pytest
import safetensors
import tensorflow as tf
import tokenizers

from bert import checkpoints
from bert import classifier
from bert import config as config_lib
from bert import export
from bert import features as features_lib
from bert import hugging_face
from bert import model_folder
from tests import reference_bert

PIECES = ["the", "film", "was", "fine", "dull", "##ness", "Film", "naive", ",", ".", "[", "]", "a"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *PIECES, "##a"]
VOCABULARY += [f"w{index}" for index in range(40 - len(VOCABULARY))]
LABELS = ("bad", "so so", "good", "très bon", "best")
STEP = 7
PEERS = os.environ.get("BERT_PEERS_PYTHON")


def tune(folder, config, variables, **fields):
    """Make a folder as training leaves it: parts, variables, the optimiser's slots, the global step."""
    folder.mkdir()
    vocab_file = folder.parent / "words.txt"
    vocab_file.write_text("\n".join(VOCABULARY) + "\n")
    record = config_lib.ClassifierConfig(labels=LABELS, **fields)
    model_folder.Parts(config, record, str(vocab_file), None).save(folder)
    slots = {f"{name}/adam_{s}": np.ones_like(v) for name, v in variables.items() for s in "mv"}
    prefix = folder / f"model.ckpt-{STEP}"
    checkpoints.write(prefix, variables | slots | {"global_step": np.int64(STEP)})
    tf.compat.v1.train.update_checkpoint_state(str(folder), prefix.name)
    return folder


def of_pooling(golden, pooling):
    """Return the golden model's variables that a classifier of this pooling has."""
    names = classifier.variable_shapes(golden.config, len(LABELS), pooling)
    return {name: golden.variables[name] for name in names}


@pytest.fixture
def tuned(golden, tmp_path):
    def make(pooling="default", config=golden.config, **fields):
        fields = {"max_seq_length": 9, "pooling": pooling} | fields
        return tune(tmp_path / "tuned", config, of_pooling(golden, pooling), **fields)

    return make


def exported(folder):
    export.write_hugging_face(folder, folder.parent / "exported")
    return folder.parent / "exported"


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def logits(golden, variables, config, pooling):
    batch = features_lib.Features(golden.input_ids, golden.input_mask, golden.segment_ids)
    tensors = {name: tf.constant(value) for name, value in variables.items()}
    return classifier.forward(tensors, config, batch, pooling=pooling).logits.numpy()


def test_the_tensors_are_those_that_transformers_had(tuned):
    arrays = dict(np.load(reference_bert.GOLDENS / "transformers_tiny_bert.npz"))
    with safetensors.safe_open(exported(tuned()) / "model.safetensors", "numpy") as file:
        assert file.metadata() == {"format": "pt"}
        tensors = {name: file.get_tensor(name) for name in [*file.keys()]}
    assert {f"weights/{name}" for name in tensors} == set(fnmatch.filter(arrays, "weights/*"))
    for name, value in tensors.items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, arrays[f"weights/{name}"], err_msg=name)


def test_the_weights_are_as_readable_as_the_other_files(tuned):
    modes = {path.stat().st_mode for path in exported(tuned("global_max_pool")).iterdir()}
    assert len(modes) == 1


def test_the_config_says_what_transformers_reads(tuned, golden):
    config = golden.config.model_copy(update={"hidden_act": "gelu_tanh", "layer_norm_eps": 1e-7})
    assert read_json(exported(tuned(config=config)) / "config.json") == {
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
    assert read_json(exported(folder) / "tokenizer_config.json") == {
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
    monkeypatch.setitem(globals(), "VOCABULARY", [w.replace("[MASK]", "mask") for w in VOCABULARY])
    folder = exported(tuned())
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
    folder = exported(tuned(**fields))
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    encoding = tokenizer.encode("The Film was電 naïvea", "dull.")
    assert encoding.tokens == ["[CLS]", *pieces, "[SEP]", "dull", ".", "[SEP]"]
    assert encoding.type_ids == [0] * (len(pieces) + 2) + [1, 1, 1]
    assert encoding.ids == [VOCABULARY.index(piece) for piece in encoding.tokens]
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
    model = hugging_face.read(exported(folder))
    parts = model_folder.load(folder)
    assert model.config == parts.config
    assert model.record == parts.record
    assert model.vocabulary.encode() == parts.vocabulary_bytes()
    expected = of_pooling(golden, pooling)
    assert model.variables.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(model.variables[name], value, err_msg=name)


def test_a_folder_that_went_out_is_a_model_with_the_same_logits(
    tuned, golden, tmp_path, monkeypatch
):
    monkeypatch.setenv("BERT_CACHE_DIR", str(tmp_path / "cache"))
    config = golden.config.model_copy(update={"hidden_act": "gelu_tanh"})
    parts = model_folder.load(exported(tuned(config=config)))
    names = checkpoints.checkpoint_shapes(parts.init_checkpoint)
    variables = checkpoints.load_variables(parts.init_checkpoint, names)
    found = logits(golden, variables, parts.config, parts.record.pooling)
    # 1e-5: float32 against float32 of transformers, logits of size 3
    np.testing.assert_allclose(found, golden.outputs["gelu_new/logits"], atol=1e-5)


def test_a_pooling_that_transformers_lacks_brings_its_class_along(tuned):
    folder = exported(tuned("global_average_pool"))
    values = read_json(folder / "config.json")
    tree = ast.parse((folder / "modeling_pooled_bert.py").read_text())
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    assert {f"modeling_pooled_bert.{name}" for name in classes} == {*values["auto_map"].values()}
    assert set(values["architectures"]) < classes
    # a model_type that transformers knows would let it take its own class, with a fresh pooler
    assert "model_type" not in values


def test_default_pooling_needs_no_code(tuned):
    folder = exported(tuned())
    assert not list(folder.glob("*.py"))
    assert "auto_map" not in read_json(folder / "config.json")


def test_a_head_of_the_users_own_is_refused(tuned, golden, tmp_path):
    folder = tune(
        tmp_path / "own", golden.config, golden.variables, max_seq_length=9, pooling="heads:MEDIAN"
    )
    with pytest.raises(ValueError, match=r"pooling must be one of default, .* got 'heads:MEDIAN'"):
        exported(folder)
    assert not (tmp_path / "exported").exists()


def test_reading_both_ends_of_a_text_is_told_to_be_lost(tuned, caplog):
    folder = exported(tuned(truncation="head_tail"))
    (line,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert line.endswith("reads 'head_tail' of a long text; transformers will read its head")
    assert read_json(folder / "tokenizer_config.json")["truncation_side"] == "right"


@pytest.mark.parametrize("write", [export.write_hugging_face, export.strip_optimizer])
def test_a_folder_that_holds_something_is_left_alone(tuned, tmp_path, write):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("mine")
    with pytest.raises(FileExistsError, match=r"must be new or an empty folder, got '.*mine'"):
        write(tuned(), tmp_path / "mine")
    assert [path.read_text() for path in (tmp_path / "mine").iterdir()] == ["mine"]


def test_an_empty_folder_is_filled(tuned, tmp_path):
    (tmp_path / "exported").mkdir()
    assert (exported(tuned()) / "config.json").is_file()


def test_a_failure_leaves_nothing_behind(tuned, tmp_path, monkeypatch):
    def fail(path, values):
        raise OSError("No space left on device")

    folder = tuned()
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(export, "_write_json", fail)  # after the weights are there
    with pytest.raises(OSError, match="No space"):
        exported(folder)
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
    expected = of_pooling(golden, "global_max_pool")
    names = {name for name, _ in tf.train.list_variables(after.init_checkpoint)}
    assert names == {*expected, "global_step"}
    for name, value in checkpoints.load_variables(after.init_checkpoint, expected).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    assert checkpoints.latest_step(tmp_path / "slim") == STEP
    data = f"model.ckpt-{STEP}.data-00000-of-00001"
    sizes = [(path / data).stat().st_size for path in (folder, tmp_path / "slim")]
    assert sizes[1] < 0.34 * sizes[0]


def test_a_folder_without_the_optimiser_may_move(tuned, tmp_path):
    export.strip_optimizer(tuned(), tmp_path / "slim")
    (tmp_path / "slim").rename(tmp_path / "moved")
    assert model_folder.load(tmp_path / "moved").init_checkpoint == str(
        tmp_path / "moved" / f"model.ckpt-{STEP}"
    )


def test_a_model_from_elsewhere_has_no_optimiser_to_strip(tuned, tmp_path, monkeypatch):
    monkeypatch.setenv("BERT_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(FileNotFoundError, match=r"exported must be the output_dir of a finished"):
        export.strip_optimizer(exported(tuned()), tmp_path / "slim")


OPEN = """
import json, sys
import numpy as np, torch, transformers

folder, arrays, trust = sys.argv[1:]
texts = json.load(sys.stdin)
model, loading = transformers.AutoModelForSequenceClassification.from_pretrained(
    folder, trust_remote_code=trust == "trust", output_loading_info=True
)
inputs = {name: torch.tensor(value) for name, value in np.load(arrays).items()}
ids = inputs.pop("input_ids")
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
with torch.no_grad():
    from_words = model(ids, **inputs)
    word_embeddings = model.get_input_embeddings()(ids)
from_embeddings = model(
    inputs_embeds=word_embeddings.requires_grad_(), labels=torch.tensor([1, 4]),
    output_hidden_states=True, output_attentions=True, **inputs
)
from_embeddings.loss.backward()
nothing = torch.zeros_like(inputs["attention_mask"])
print(json.dumps({
    "class": type(model).__name__,
    "loading": loading,
    "labels": model.config.id2label,
    "logits": from_words.logits.tolist(),
    "logits_of_embeddings": from_embeddings.logits.tolist(),
    "tuple": [part.tolist() for part in model(ids, return_dict=False, **inputs)],
    "logits_without_a_mask": model(ids).logits.tolist(),
    "logits_of_padding": model(ids, attention_mask=nothing).logits.tolist(),
    "loss": from_embeddings.loss.item(),
    "gradient": word_embeddings.grad.abs().sum(-1).tolist(),
    "layers": [len(from_embeddings.hidden_states), len(from_embeddings.attentions)],
    "input_ids": tokenizer(texts, truncation=True)["input_ids"],
}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not PEERS, reason="$BERT_PEERS_PYTHON names no Python with transformers")
@pytest.mark.parametrize(
    ("pooling", "truncation"),
    [("default", "head"), ("global_average_pool", "tail"), ("global_max_pool", "head")],
)
def test_transformers_opens_the_folder_with_the_same_answers(
    tuned, golden, tmp_path, pooling, truncation
):
    folder = tuned(pooling, truncation=truncation)
    np.savez(
        tmp_path / "inputs.npz",
        input_ids=np.int64(golden.input_ids),
        attention_mask=np.int64(golden.input_mask),
        token_type_ids=np.int64(golden.segment_ids),
    )
    texts = ["The film was naïve.", "a [SEP] dullness, a 電影", "", "the film was fine , " * 3]
    trust = "" if pooling == "default" else "trust"
    found = open_in_transformers(exported(folder), tmp_path / "inputs.npz", trust, texts)

    assert found["class"].endswith("BertForSequenceClassification")
    assert found["loading"] == {
        "missing_keys": [],
        "unexpected_keys": [],
        "mismatched_keys": [],
        "error_msgs": [],
    }
    assert tuple(found["labels"].values()) == LABELS
    expected = logits(golden, of_pooling(golden, pooling), golden.config, pooling)
    for name in ("logits", "logits_of_embeddings"):
        np.testing.assert_allclose(found[name], expected, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(found["tuple"], [expected], atol=1e-5)
    unmasked = golden._replace(
        input_mask=np.ones_like(golden.input_mask), segment_ids=np.zeros_like(golden.segment_ids)
    )
    whole = logits(unmasked, of_pooling(golden, pooling), golden.config, pooling)
    np.testing.assert_allclose(found["logits_without_a_mask"], whole, atol=1e-5)
    if trust:  # our pooling; [CLS] under a mask of zeros is transformers' own affair
        bias = np.tile(golden.variables["output_bias"], (2, 1))
        np.testing.assert_array_equal(found["logits_of_padding"], bias)
    likelihoods = np.exp(expected)[[0, 1], [1, 4]] / np.exp(expected).sum(axis=1)
    assert found["loss"] == pytest.approx(-np.log(likelihoods).mean(), abs=1e-5)
    assert np.array_equal(np.array(found["gradient"]) > 0, golden.input_mask == 1)
    assert found["layers"] == [4, 3]
    parts = model_folder.load(folder)
    tokenizer = parts.tokenizer()
    own = [features_lib.encode(tokenizer, text, None, 9, truncation) for text in texts]
    assert found["input_ids"] == [[*encoding.input_ids] for encoding in own]


@pytest.mark.slow
@pytest.mark.skipif(not PEERS, reason="$BERT_PEERS_PYTHON names no Python with transformers")
def test_transformers_refuses_a_class_of_ours_that_it_was_not_told_to_trust(tuned, tmp_path):
    folder = exported(tuned("global_average_pool"))
    with pytest.raises(subprocess.CalledProcessError) as caught:
        open_in_transformers(folder, tmp_path / "inputs.npz", "", [])
    assert "Please pass the argument `trust_remote_code=True`" in caught.value.stderr


def open_in_transformers(folder, arrays, trust, texts):
    own = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(arrays.parent / "hugging_face"), "PYTHONPATH": ""}
    done = subprocess.run(
        [PEERS, "-c", OPEN, str(folder), str(arrays), trust],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | own,
    )
    assert "newly initialized" not in done.stderr
    return json.loads(done.stdout)

"""A fine-tuned Hugging Face classifier through the whole product: predicted, explained, trained on, out and in again.

What transformers computes for it is in `goldens/transformers_classifier.npz`.
"""

import json

import numpy as np
import pytest

import run_classifier
from bert import config as config_lib
from bert import conversion
from bert import export
from bert import hugging_face
from bert import model_folder
from explain import attention
from explain import model
from tests.bert import hugging_face_folders as folders

LABELS = ["negativ", "neutral", "positiv ✓"]
LOGITS = folders.ARRAYS["logits"].astype(np.float64)
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BERT_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def pairs(tmp_path):
    lines = [json.dumps({"left": a, "right": b}, ensure_ascii=False) for a, b in folders.PAIRS]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return [
        f"--test_file={tmp_path}/pairs.jsonl",
        "--text_column=left",
        "--text_b_column=right",
        f"--output_dir={tmp_path}/out",
    ]


def whole(folder):
    return folders.write(folder)


def bare(folder):
    """Encoder names without `bert.`, as BertModel saves them, beside a classifier."""
    return folders.write(
        folder, {name.removeprefix("bert."): value for name, value in folders.TENSORS.items()}
    )


def gamma_and_beta(folder):
    ages = (("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta"))
    tensors = {}
    for name, value in folders.TENSORS.items():
        for today, then in ages:
            name = name.replace(today, then)
        tensors[f"module.{name}"] = value
    return folders.write(folder, tensors)


def sharded(folder):
    folders.shard(folders.write(folder))
    return folder


@pytest.mark.parametrize("variant", [whole, bare, gamma_and_beta, sharded])
def test_it_predicts_what_transformers_does_under_its_own_labels(variant, tmp_path, pairs):
    folder = variant(tmp_path / "theirs")
    command = [f"--model={folder}", *pairs, "--do_predict", "--results_header"]
    assert run_classifier.cli_main(command) == 0
    lines = (tmp_path / "out" / "test_results.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines]
    assert rows[0] == ["guid", *LABELS, "pred_label", "pred_class"]
    found = np.array([row[1:4] for row in rows[1:]], float)
    np.testing.assert_allclose(found, PROBABILITIES, atol=1e-5)
    assert [row[4] for row in rows[1:]] == [LABELS[i] for i in LOGITS.argmax(axis=1)]


def test_half_precision_predicts_what_its_rounded_weights_do(tmp_path, pairs):
    halves = {name: value.astype(np.float16) for name, value in folders.TENSORS.items()}
    folder = folders.write(tmp_path / "theirs", halves)
    assert run_classifier.cli_main([f"--model={folder}", *pairs, "--do_predict"]) == 0
    found = np.loadtxt(tmp_path / "out" / "test_results.tsv")[:, :3]
    np.testing.assert_allclose(found, PROBABILITIES, atol=5e-3)  # float16 keeps 11 bits
    assert np.abs(found - PROBABILITIES).max() > 1e-7


def test_it_is_explained_with_no_training(tmp_path):
    folder = folders.write(tmp_path / "theirs")
    records = model.explain_texts(folder, [(a, b) for a, b in folders.PAIRS])
    for record, expected in zip(records, PROBABILITIES, strict=True):
        assert record.labels == tuple(LABELS)
        np.testing.assert_allclose(record.probabilities, expected, atol=1e-5)
        np.testing.assert_allclose(record.token_scores.sum(), 1.0, rtol=1e-5)
    estimator = model.load_bert_model(
        folder, attn_processor_fn=attention.average_last_layer_by_head
    )
    assert "converted" in estimator.model_dir


def train_command(folder, pairs, tmp_path, labels):
    rows = [
        {"left": a, "right": b, "label": labels[i % len(labels)]}
        for i, (a, b) in enumerate(folders.PAIRS)
    ]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "train.jsonl").write_text(text, encoding="utf-8")
    return [
        f"--model={folder}",
        *pairs,
        f"--train_file={tmp_path}/train.jsonl",
        "--do_train",
        "--train_batch_size=5",
        "--num_train_epochs=1",
    ]


def test_training_goes_on_with_its_classifier_where_the_labels_are_the_same(
    tmp_path, pairs, caplog
):
    caplog.set_level("INFO")
    folder = folders.write(tmp_path / "theirs")
    command = train_command(folder, pairs, tmp_path, LABELS[::-1])
    assert run_classifier.cli_main([*command, "--learning_rate=1e-12"]) == 0
    assert "not in the checkpoint, so they start fresh: 0" in caplog.text
    assert model_folder.load(tmp_path / "out").labels == LABELS


def test_other_labels_get_a_classifier_of_their_own(tmp_path, pairs, caplog):
    caplog.set_level("INFO")
    folder = folders.write(tmp_path / "theirs")
    assert run_classifier.cli_main(train_command(folder, pairs, tmp_path, ["ham", "spam"])) == 0
    assert "a new classifier is trained on its encoder" in caplog.text
    assert model_folder.load(tmp_path / "out").labels == ["ham", "spam"]


def test_out_and_in_again_changes_nothing(tmp_path):
    first = hugging_face.read(folders.write(tmp_path / "theirs"))
    release = conversion.release_folder(tmp_path / "theirs", tmp_path / "cache")
    export.write_hugging_face(str(tmp_path / "theirs"), tmp_path / "ours")
    again = hugging_face.read(tmp_path / "ours")
    assert again.config == first.config
    assert again.vocabulary == first.vocabulary
    assert again.record == first.record == config_lib.ClassifierConfig.load(release)
    assert again.variables.keys() == first.variables.keys()
    for name, value in first.variables.items():
        np.testing.assert_array_equal(again.variables[name], value, err_msg=name)

"""What transformers makes of a folder: $BERT_PEERS_PYTHON is a Python that has it, and torch."""

import json
import os
import subprocess

import numpy as np
import pytest

from bert import features as features_lib
from bert import model_folder
from tests.bert import tuned_folders

tuned = tuned_folders.tuned
PEERS = os.environ.get("BERT_PEERS_PYTHON")
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
    found = open_in_transformers(
        tuned_folders.exported(folder), tmp_path / "inputs.npz", trust, texts
    )

    assert found["class"].endswith("BertForSequenceClassification")
    assert found["loading"] == {
        "missing_keys": [],
        "unexpected_keys": [],
        "mismatched_keys": [],
        "error_msgs": [],
    }
    assert tuple(found["labels"].values()) == tuned_folders.LABELS
    expected = tuned_folders.logits(
        golden, tuned_folders.of_pooling(golden, pooling), golden.config, pooling
    )
    for name in ("logits", "logits_of_embeddings"):
        np.testing.assert_allclose(found[name], expected, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(found["tuple"], [expected], atol=1e-5)
    unmasked = golden._replace(
        input_mask=np.ones_like(golden.input_mask), segment_ids=np.zeros_like(golden.segment_ids)
    )
    whole = tuned_folders.logits(
        unmasked, tuned_folders.of_pooling(golden, pooling), golden.config, pooling
    )
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


@pytest.mark.skipif(not PEERS, reason="$BERT_PEERS_PYTHON names no Python with transformers")
def test_transformers_refuses_a_class_of_ours_that_it_was_not_told_to_trust(tuned, tmp_path):
    folder = tuned_folders.exported(tuned("global_average_pool"))
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

"""Make the golden of a trained Hugging Face classifier: what `save_pretrained` writes, and what transformers computes.

transformers_classifier.npz: weights of a tiny BERT with three labels, a padded batch of pairs, its logits.
transformers_classifier.json: the texts of that batch, and the folder's other files by name.

    HF_HUB_OFFLINE=1 .venv-peers/bin/python tests/goldens/make_hugging_face_goldens.py

The files are made once. Make them anew only if their inputs must change; never to make a failing test pass.
"""

import json
import pathlib
import tempfile

import numpy as np
import torch
import transformers

LABELS = ("negativ", "neutral", "positiv ✓")
VOCABULARY = "[PAD] [UNK] [CLS] [SEP] [MASK] der die Film war gut ##er nicht schon A a b , . !"
PAIRS = (
    ("der Film war gut .", "nicht schön !"),
    ("gut", "der , die , ä"),
    ("Ä", "schöner"),
    ("die a b a b", "gut ."),
    ("A , b", "der Film , der Film !"),
)


def make_classifier(folder: pathlib.Path) -> None:
    (folder / "vocab.txt").write_text(VOCABULARY.replace(" ", "\n") + "\n", encoding="utf-8")
    tokenizer = transformers.BertTokenizerFast(
        vocab_file=str(folder / "vocab.txt"),
        do_lower_case=False,
        strip_accents=True,
        tokenize_chinese_chars=False,
        model_max_length=13,
    )
    torch.manual_seed(12)
    config = transformers.BertConfig(
        vocab_size=len(VOCABULARY.split()),
        hidden_size=20,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=28,
        max_position_embeddings=16,
        type_vocab_size=2,
        hidden_act="gelu_new",
        layer_norm_eps=1e-3,
        id2label=dict(enumerate(LABELS)),
        label2id={label: row for row, label in enumerate(LABELS)},
    )
    model = transformers.BertForSequenceClassification(config).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            # far from the initial values, so that every bias, beta and gamma matters
            value.normal_(1.0 if name.endswith("LayerNorm.weight") else 0.0, 0.4)
        inputs = tokenizer(*map(list, zip(*PAIRS, strict=True)), padding=True, return_tensors="pt")
        logits = model(**inputs).logits
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)

    arrays = {f"weights/{name}": value.numpy() for name, value in model.state_dict().items()}
    arrays |= {f"inputs/{name}": value.numpy() for name, value in inputs.items()}
    path = pathlib.Path(__file__).with_name("transformers_classifier.npz")
    np.savez_compressed(path, **arrays, logits=logits.numpy())
    names = ("config.json", "tokenizer_config.json", "tokenizer.json", "vocab.txt")
    files = {name: (folder / name).read_text(encoding="utf-8") for name in names}
    golden = {"pairs": PAIRS, "files": files}
    path = path.with_suffix(".json")
    path.write_text(json.dumps(golden, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as draft:
        make_classifier(pathlib.Path(draft))

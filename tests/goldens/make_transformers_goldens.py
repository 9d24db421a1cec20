"""Make the goldens that Hugging Face transformers computes.

transformers_tiny_bert.npz: a tiny random BERT classifier, weights, inputs and every output, for both GELUs.
transformers_minilm.json: one sentence through all-MiniLM-L6-v2, whose folder is the argument.
transformers_tokens.json: 200 texts through the slow (pure Python) BertTokenizer with that folder's vocabulary.

    python -m venv .venv-peers && .venv-peers/bin/pip install torch==2.13.0 transformers==4.57.6 'numpy<2.3'
    .venv-peers/bin/python tests/goldens/make_transformers_goldens.py ~/.cache/bert-attention-explain/minilm-l6

The files are made once. Make them anew only if their inputs must change; never to make a failing test pass.
"""

import json
import pathlib
import random
import sys

import numpy as np
import torch
import transformers

BATCH, LENGTH, CLASSES = 2, 7, 5


def make_tiny() -> None:
    torch.manual_seed(20)
    config = transformers.BertConfig(
        vocab_size=40,
        hidden_size=12,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=20,
        max_position_embeddings=16,
        type_vocab_size=2,
        num_labels=CLASSES,
        attn_implementation="eager",
    )
    model = transformers.BertForSequenceClassification(config).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            # far from the initial values, so that every bias, beta and gamma matters
            value.normal_(1.0 if name.endswith("LayerNorm.weight") else 0.0, 0.5)
    inputs = {
        "input_ids": torch.randint(1, 40, (BATCH, LENGTH)),
        "attention_mask": torch.tensor([[1] * 7, [1] * 4 + [0] * 3]),
        "token_type_ids": torch.tensor([[0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 0, 0, 0]]),
    }
    arrays = {f"weights/{name}": value.numpy() for name, value in model.state_dict().items()}
    arrays |= {f"inputs/{name}": value.numpy() for name, value in inputs.items()}
    for act in ("gelu", "gelu_new"):
        for layer in model.bert.encoder.layer:
            layer.intermediate.intermediate_act_fn = transformers.activations.ACT2FN[act]
        with torch.no_grad():
            outputs = model(**inputs, output_hidden_states=True, output_attentions=True)
            pooled = model.bert(**inputs).pooler_output
        arrays[f"{act}/hidden_states"] = torch.stack(outputs.hidden_states).numpy()
        arrays[f"{act}/attentions"] = torch.stack(outputs.attentions).numpy()
        arrays[f"{act}/pooled"] = pooled.numpy()
        arrays[f"{act}/logits"] = outputs.logits.numpy()
    path = pathlib.Path(__file__).with_name("transformers_tiny_bert.npz")
    np.savez_compressed(path, **arrays)


def make_minilm(folder: str) -> None:
    # "not a bad film at all , i loved it ."
    ids = [101, 2025, 1037, 2919, 2143, 2012, 2035, 1010, 1045, 3866, 2009, 1012, 102]
    model = transformers.BertModel.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        outputs = model(input_ids=torch.tensor([ids]), output_attentions=True)
    golden = {
        "input_ids": ids,
        "hidden_states": outputs.last_hidden_state[0, :, :8].tolist(),
        "attention_of_cls": outputs.attentions[-1][0, :, 0].tolist(),
    }
    path = pathlib.Path(__file__).with_name("transformers_minilm.json")
    path.write_text(json.dumps(golden) + "\n")


FRAGMENTS = (
    """
unaffable|UNWANTED|running|don't|state-of-the-art|e.g.|U.S.A.|naïve|CAFÉ|façade|Ångström|İstanbul|ΟΔΥΣΣΕΑ|Привет|мир|שלום|مرحبا|नमस्ते|สวัสดี
電影很好看|映画を見た|한국어|漢字kanji|№5|½|ﬁne|ß|Straße|10,000|3.14|$9.99|50%|#1|@home|http://a.b/c?d=e&f|<br />|</p>|&amp;|[SEP]|[MASK]|[CLS]
😀|👍🏽|é|äo|’tis|“quoted”|—|…| |　|\t|\n|supercalifragilisticexpialidocious|x|##ing|a##b|__init__|C++|C#|½cup
the|film|was|not|a|bad|at|all|I|loved|it|!|?|,|.|;|:|(|)|*|~|`|^|=|+|antidisestablishmentarianism|strawberries|bitcoin|Schwarzenegger
""".strip()
    .replace("\n", "|")
    .split("|")
)


def make_tokens(folder: str) -> None:
    rng = random.Random(8)
    tokenizer = transformers.BertTokenizer(f"{folder}/vocab.txt", do_lower_case=True)
    # the parts, not the whole: there "[SEP]" in a text would be the special token, in google-research/bert it is text
    words_of = transformers.models.bert.tokenization_bert.BasicTokenizer(
        do_lower_case=True
    ).tokenize
    pieces_of = tokenizer.wordpiece_tokenizer.tokenize
    golden = {}
    while len(golden) < 200:
        text = rng.choice(["", " "]).join(rng.choices(FRAGMENTS, k=rng.randint(1, 12)))
        golden[text] = [piece for word in words_of(text) for piece in pieces_of(word)]
    path = pathlib.Path(__file__).with_name("transformers_tokens.json")
    path.write_text(json.dumps(golden, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    make_tiny()
    make_minilm(sys.argv[1])
    make_tokens(sys.argv[1])

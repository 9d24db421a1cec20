"""Good files, and the ways in which they go bad: the same name and number always make the same bytes."""

import json
import random
import re

from tests import conftest

_ROWS = [
    ("1", "pos", 'He said "wow", twice'),
    ("2", "neg", "two\nlines\tand a tab"),
    ("3", "pos", "naïve 電影 😀 e\u0301"),
    ("4", "neg", ""),
    ("5", "pos", "the film was fine"),
]
_CONFIG = {
    "vocab_size": len(conftest.TINY_WORDS),
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 24,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "max_position_embeddings": 32,
    "type_vocab_size": 2,
    "initializer_range": 0.02,
}
_RECORD = {
    "labels": ["bad", "good", "so-so"],
    "do_lower_case": True,
    "strip_accents": None,
    "max_input_chars_per_word": 200,
    "max_seq_length": 16,
    "truncation": "head",
    "pooling": "default",
}
_PROJECT = """\
model: minilm-l6
data_path: data/train.csv
output_dir: out
batch_size: 8
num_epochs: 2.5
attention_layers: [0, -1]
label_map: pos=1,neg=0
seed: 7
method: [rollout, integrated_gradients]
method_options:
  integrated_gradients: {steps: 32, baseline: mask}
target: predicted
"""


def _separated(separator: str) -> str:
    quoted = (
        separator.join('"{}"'.format(cell.replace('"', '""')) for cell in row) for row in _ROWS
    )
    return "\n".join([separator.join(("id", "label", "text")), *quoted, ""])


GOOD = {
    "rows.tsv": _separated("\t"),
    "rows.csv": _separated(","),
    "rows.jsonl": "".join(
        json.dumps(dict(zip(("id", "label", "text"), row, strict=True))) + "\n" for row in _ROWS
    ),
    "vocab.txt": "\n".join(conftest.TINY_WORDS) + "\n",
    "bert_config.json": json.dumps(_CONFIG, indent=2),
    "classifier_config.json": json.dumps(_RECORD, indent=2),
    "project.yaml": _PROJECT,
}
_HOSTILE = [
    *(
        b"\0",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"\r",
        b"\n",
        b"\n\n",
        b"\t",
        b'"',
        b"'",
    ),
    *(
        b"\xe2\x80\xa8",
        b"\x1b[2J",
        b",",
        b":",
        b"{",
        b"}",
        b"]",
        b"[",
        b"#",
        b"|",
        b"\\",
        b"\\ud800",
    ),
    *(
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"-1",
        b"0",
        b"null",
        b"true",
        b"[]",
        b"{}",
        b'""',
        b"9" * 5000,
    ),
    *(
        b"0x" + b"f" * 6000,
        b"[" * 3000,
        b'{"a":' * 3000,
        b"1:" * 400 + b"59",
        b"0b_",
        b"._",
        b"1" * 400,
    ),
    *(
        b"&a [*a]",
        b"*a",
        b"<<: *a",
        b"!!int x",
        b'!!int ""',
        b"!!bool maybe",
        b"!!timestamp x",
        b"---",
    ),
    *(
        b"!!binary x",
        b"!!python/object:os.system x",
        b"2020-99-99",
        b"2020-01-01 25:61:61",
        b"%TAG ! x",
    ),
    *(
        b'"self": 1,',
        b'"model_config": {},',
        b'"__class__": [],',
        b"? [a, b] : c",
        b"? {a: b}",
        b"!!set",
    ),
]
WRONG = [
    *(None, True, -1, 0, 2.5, 10**30, 1e308, float("nan"), float("inf"), "", "2", "x" * 9000),
    *("half\ud800", "nul\0", [], {}, [[["a"]]], {"a": {"b": None}}, [1, "a", None], ["a", "a"]),
]
_VALUE = re.compile(rb"[\w.+-]+")


def _flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _cut_short(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def _drop_a_part(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    del data[start : start + rng.randint(1, 40)]


def _repeat_a_part(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    part = data[start : start + rng.randint(1, 60)]
    data[start:start] = part * rng.choice([1, 2, 300])


def _put_in(data: bytearray, rng: random.Random) -> None:
    where = rng.randrange(len(data) + 1)
    data[where:where] = rng.choice(_HOSTILE)


def _replace_a_value(data: bytearray, rng: random.Random) -> None:
    value = rng.choice(list(_VALUE.finditer(bytes(data))))
    data[value.start() : value.end()] = rng.choice(_HOSTILE)


_WAYS = [_flip, _cut_short, _drop_a_part, _repeat_a_part, _put_in, _replace_a_value]


def _of_another_type(name: str, rng: random.Random) -> bytes:
    """Return JSON that can be read, with a value or two that should be others."""
    texts = GOOD[name].splitlines() if name.endswith(".jsonl") else [GOOD[name]]
    rows = [json.loads(text) for text in texts]
    for _ in range(rng.randint(1, 2)):
        row = rng.choice(rows)
        row[rng.choice([*row, "another"])] = rng.choice(WRONG)
    return "\n".join(map(json.dumps, rows)).encode()


def malformed(name: str, number: int) -> bytes:
    """Return the good file with one to three things wrong with it; now and then it is still good."""
    rng = random.Random(f"{name} {number}")
    if ".json" in name and number % 2:
        return _of_another_type(name, rng)
    data = bytearray(GOOD[name].encode())
    for _ in range(rng.randint(1, 3)):
        if _VALUE.search(data):
            rng.choice([*_WAYS, _replace_a_value])(data, rng)
    return bytes(data)

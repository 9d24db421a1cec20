"""The notebooks of the small models run on a few rows, and the page of one model's tensors prints what it says."""

import contextlib
import gzip
import io
import json
import pathlib
import re

import nbclient
import nbformat
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
SIZES = {"n_layer": 2, "n_head": 2, "n_embed": 6, "max_seq_len": 16}
FLAGS = ["--learning_rate=3e-2", "--train_batch_size=16"]


def run(name, parameters):
    """Execute a notebook with some values of its settings cell replaced, and return its outputs as text."""
    notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    (settings,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", ())]
    assert set(parameters) <= {line.split(" = ")[0] for line in settings.source.splitlines()}
    settings.source += "".join(f"\n{key} = {value!r}" for key, value in parameters.items())
    folder = {"metadata": {"path": str(ROOT / "notebooks")}}
    client = nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=folder)
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    for output in outputs:
        if "image/png" in output.get("data", ()):
            output.data["image/png"] = ""  # base64 spells any word sooner or later
    return "".join(str(output.get("text", "")) + str(output.get("data", "")) for output in outputs)


def test_the_review_notebook_trains_measures_and_opens_the_model_up(
    tiny_data, tmp_path, monkeypatch
):
    monkeypatch.delenv("BERT_DATA_DIR", raising=False)
    parameters = {
        "DATA_DIR": str(tiny_data),
        "OUTPUT_DIR": str(tmp_path),
        "SIZES": SIZES,
        "EPOCHS": 12,
        "TRAINING_FLAGS": FLAGS,
        "MEASUREMENTS": 4,
        "TEXT": "so fine a film",
        "QUERY": 2,
    }
    outputs = run("nano_bert_imdb.ipynb", parameters)
    assert "train: 64, validation: 12, test: 9" in outputs
    assert "48 steps" in outputs
    assert "bag of words" in outputs
    assert outputs.count("'image/png'") == 3  # curves, lines, points
    assert sorted(path.stem for path in tmp_path.glob("*.png")) == ["accuracy", "loss", "macro F1"]
    assert "fine" in (tmp_path / "heads.html").read_text()


def test_the_hate_speech_notebook_shows_numbers_and_never_a_word(tmp_path, monkeypatch):
    rng = np.random.default_rng(8)
    source = tmp_path / "source" / "hatexplain"
    source.mkdir(parents=True)
    for split, count in (("train", 80), ("val", 12)):
        rows = []
        for index in range(count):
            label = ("normal", "offensive", "hatespeech")[index % 3]
            tokens = [f"zq{letter}" for letter in rng.choice([*"abcdefgh"], 6)]
            tokens[2] = "zqmild" if label == "normal" else "zqrude"
            rows.append(
                {"id": f"{index}", "label": label, "tokens": tokens, "rationale_union": [0] * 6}
            )
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (source / f"{split}.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    monkeypatch.setenv("BERT_DATA_DIR", str(source.parent))
    parameters = {
        "OUTPUT_DIR": str(tmp_path / "out"),
        "SIZES": SIZES,
        "EPOCHS": 12,
        "TRAINING_FLAGS": FLAGS,
        "MEASUREMENTS": 4,
        "QUERY": 3,
    }
    outputs = run("nano_bert_hatexplain.ipynb", parameters)
    assert "train: 72, validation: 8, test: 12" in outputs
    assert outputs.count("'image/png'") == 3
    assert "zq" not in outputs
    record = json.loads((tmp_path / "out" / "model" / "classifier_config.json").read_text())
    assert record["labels"] == ["normal", "toxic"]
    vocabulary = (tmp_path / "out" / "untrained" / "vocab.txt").read_text().splitlines()
    assert {"zqmild", "zqrude"} <= set(vocabulary)


def blocks():
    page = (ROOT / "explain" / "README.md").read_text(encoding="utf-8")
    section = page.split("## See a BERT whole\n")[1].split("\n## ")[0]
    return re.findall(r"```(\w+)\n(.*?)```", section, flags=re.DOTALL)


def test_the_page_of_a_whole_bert_prints_what_it_says():
    found = blocks()
    code = [text for language, text in found if language == "python"]
    (expected,) = [text for language, text in found if language == "text"]
    printed, names = io.StringIO(), {}
    with contextlib.redirect_stdout(printed):
        for block in code:
            exec(block, names)
    number = r"-?\d+\.\d\d"
    assert re.sub(number, "#", printed.getvalue()) == re.sub(number, "#", expected)
    numbers = [
        [float(value) for value in re.findall(number, text)]
        for text in (printed.getvalue(), expected)
    ]
    np.testing.assert_allclose(*numbers, rtol=0, atol=0.011)  # the last digit may be rounded over
    queries = names["bert"].head_tensors(names["ids"], 0, 0).queries
    head, entering = names["head"], names["entering"]
    np.testing.assert_allclose(
        entering @ head.query_kernel + head.query_bias, queries, rtol=0, atol=1e-5
    )
    assert names["bert"].embedding(names["ids"]).shape == (1, 4, 3)
    assert names["tokenizer"].decode(names["ids"][0]) == "so fine"

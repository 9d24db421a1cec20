"""Make the golden of ERASER's official scorer: explanations of made-up sentences, and the figures it prints for them.

eraser_scorer.json: documents, scores and answers, and what `rationale_benchmark/metrics.py` of jayded/eraserbenchmark
(3ae7641) makes of them when the selected tokens are handed over one by one ("tokens") and merged ("spans"). It was run
with scikit-learn 1.9.1, from a copy without its help texts, log lines and tokens_to_flip, and with a module that holds
an empty `Tensor` in place of torch, which it imports and does not use.

    git clone https://github.com/jayded/eraserbenchmark
    PYTHONPATH=.:eraserbenchmark .venv/bin/python tests/goldens/make_eraser_goldens.py

The file is made once. Make it anew only if its inputs must change; never to make a failing test pass.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from explain import eraser_files
from explain import rationales

# Marked tokens are in capitals. Of the second, two selected tokens match one span of two: recall above 1.
SENTENCES = {
    "mill": "the RIVER RUNS past A QUIET MILL and on to the sea",
    "gate": "OLD GATE by the garden wall",
    "path": "a narrow path LEADS UP the hill and then DOWN AGAIN",
    "boat": "SEVEN boats lay at anchor in the bay all through the long WARM AFTERNOON",
    "lamp": "the LAMP was lit",
    "road": "no road LEADS here and none leads back THEY said TO US that day",
}
LABELS = ("still", "moving")
K = 3
UNREAD = ("boat", 11)  # this document from here on
THRESHOLDS = (0.01, 0.05, 0.1, 0.2, 0.5)


def probabilities(random: np.random.Generator) -> dict[str, float]:
    first = round(float(random.uniform(0.05, 0.95)), 3)
    return dict(zip(LABELS, (first, round(1 - first, 3)), strict=True))


def answers(random: np.random.Generator) -> dict:
    full = probabilities(random)
    return {
        "predicted": max(full, key=full.get),
        "full": full,
        "without": probabilities(random),
        "only": probabilities(random),
        "thresholds": [
            [share, probabilities(random), probabilities(random)] for share in THRESHOLDS
        ],
    }


def make_documents() -> list[dict]:
    random = np.random.default_rng(12)
    documents = []
    for number, (guid, sentence) in enumerate(SENTENCES.items()):
        tokens = sentence.split()
        mask = [int(token.isupper()) for token in tokens]
        scores = np.round(
            random.normal(0.4 * np.array(mask), 0.5), 1
        )  # one decimal: some are equal
        given = [float(score) for score in scores]
        if guid == UNREAD[0]:
            given[UNREAD[1] :] = [None] * len(given[UNREAD[1] :])
        if guid == "gate":
            given[:2] = [2.0, 1.5]
        documents.append(
            {
                "id": guid,
                "label": LABELS[number % 2],
                "tokens": [token.lower() for token in tokens],
                "mask": mask,
                "scores": given,
                "answers": answers(random),
            }
        )
    return documents


def score(documents: list[dict], kind: str) -> dict:
    items, predictions = [], []
    for row in documents:
        mask = tuple(map(bool, row["mask"]))
        items.append(rationales.Rationale(row["id"], tuple(row["tokens"]), mask, row["label"]))
        scores = np.array([-np.inf if s is None else s for s in row["scores"]])
        selected = rationales.hard_rationale(scores, rationales.TopK(K))
        cut = {"tokens": rationales.one_token_spans, "spans": rationales.spans}[kind]
        given = row["answers"]
        thresholds = tuple(eraser_files.Threshold(*step) for step in given["thresholds"])
        answer = eraser_files.Answers(**{**given, "thresholds": thresholds})
        predictions.append(eraser_files.Prediction(row["id"], scores, cut(selected), answer))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        eraser_files.write_data(folder, "val", items)
        eraser_files.write_predictions(folder / "results.jsonl", predictions)
        command = [sys.executable, "-m", "rationale_benchmark.metrics", "--split=val"]
        command += [f"--data_dir={folder}", f"--results={folder / 'results.jsonl'}"]
        subprocess.run([*command, f"--score_file={folder / 'scores.json'}"], check=True)
        return json.loads((folder / "scores.json").read_text(encoding="utf-8"))


def main() -> None:
    documents = make_documents()
    figures = {kind: score(documents, kind) for kind in ("tokens", "spans")}
    target = pathlib.Path(__file__).with_name("eraser_scorer.json")
    content = {"k": K, "documents": documents, "figures": figures}
    target.write_text(json.dumps(content) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

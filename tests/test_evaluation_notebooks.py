"""The notebooks that read results run from their first cell to their last on small files, without a model."""

import json
import pathlib

import nbclient
import nbformat
import numpy as np

from explain import explanation
from explain import faithfulness
from explain import words

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEXTS = ["a fine film", "dull and slow", "fine but slow", "a dull film"]


def run(name, parameters):
    """Execute a notebook with the values of its settings cell replaced, and return its outputs as text."""
    notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    (settings,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", ())]
    assert {line.split(" = ")[0] for line in settings.source.splitlines()} == set(parameters)
    settings.source = "\n".join(f"{key} = {value!r}" for key, value in parameters.items())
    folder = {"metadata": {"path": str(ROOT / "notebooks")}}
    client = nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=folder)
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "".join(str(output.get("text", "")) + str(output.get("data", "")) for output in outputs)


def test_the_metrics_notebook_reports_all_classes_two_sides_and_calibration(tmp_path):
    labels = ["1", "2", "3", "4", "5"]
    gold = [0, 1, 2, 2, 3, 4]
    probabilities = np.full((6, 5), 0.05) + 0.75 * np.eye(5)[[0, 3, 2, 4, 2, 4]]
    probabilities[4, 3] += 0.01  # held neutral, leans to the right side
    rows = "".join(f"x\t{labels[index]}\n" for index in gold)
    (tmp_path / "test.tsv").write_text(f"text\tstars\n{rows}")
    np.savetxt(tmp_path / "results.tsv", probabilities, delimiter="\t")
    outputs = run(
        "evaluation_metrics.ipynb",
        {
            "PREDICTIONS": str(tmp_path / "results.tsv"),
            "DATA_FILE": str(tmp_path / "test.tsv"),
            "LABEL_COLUMN": "stars",
            "LABELS": labels,
            "SIDES": {"negative": [0, 1], "positive": [3, 4]},
        },
    )
    assert "accuracy 0.5000, 95 % interval" in outputs
    assert "two-way accuracy 0.7500 of 4 examples" in outputs
    assert "macro avg" in outputs
    assert outputs.count("'image/png'") == 1


def records(method, rng, texts=TEXTS):
    """Explanations of the texts by a method, with drawn scores."""
    for index, text in enumerate(texts):
        places = [text.index(word) for word in text.split()]
        spans = zip(text.split(), places, strict=True)
        found = tuple(words.Word(word, start, start + len(word)) for word, start in spans)
        yield explanation.Explanation(
            guid=f"test-{index}",
            texts=(text,),
            words=found,
            scores=rng.normal(size=len(found)).astype(np.float32),
            tokens=tuple(word.text for word in found),
            token_scores=np.zeros(len(found), np.float32),
            labels=("bad", "good"),
            probabilities=np.array([0.25, 0.75], np.float32),
            predicted="good",
            gold=None,
            method=method,
            target=("good", "bad")[index % 2],
        )


def measures(rng):
    """Lines as `evaluation` writes them: the settings, then a text a line."""
    yield {"settings": {}}
    for _ in range(5):
        drawn = rng.uniform(size=(3, len(faithfulness.CURVE_SHARES))).tolist()
        by_method = {
            name: {"deletion": {"auc": 0.5, "curve": curve}}
            for name, curve in zip(("occlusion", "rollout"), drawn, strict=False)
        }
        yield {"measures": by_method, "floor": {"deletion": {"curve": drawn[2]}}}


def test_the_plots_notebook_draws_words_data_sets_methods_and_curves(tmp_path):
    rng = np.random.default_rng(6)
    every = [*records("occlusion", rng), *records("rollout", rng)]
    explanation.save_jsonl(every, tmp_path / "one.jsonl")
    explanation.save_jsonl(records("occlusion", rng, TEXTS[:3]), tmp_path / "other.jsonl")
    lines = "".join(json.dumps(line) + "\n" for line in measures(rng))
    (tmp_path / "results.lines.jsonl").write_text(lines)
    outputs = run(
        "plots_scripts.ipynb",
        {
            "EXPLANATIONS": {
                "one": str(tmp_path / "one.jsonl"),
                "other": str(tmp_path / "other.jsonl"),
            },
            "METHOD": "occlusion",
            "MIN_COUNT": 1,
            "MEASURES": str(tmp_path / "results.lines.jsonl"),
        },
    )
    # words for good and for bad, pairs and grid of the data sets, grid of the methods, curves
    assert outputs.count("'image/png'") == 2 + 2 + 1 + 1

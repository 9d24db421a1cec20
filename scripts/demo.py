"""Fine-tune the default BERT on the sample reviews, evaluate, predict, and show what it attended to.

`scripts/demo` sets up the environment and runs this. It only fills in `run_classifier.py`'s flags and sums up.
"""

import csv
import math
import pathlib
import sys

from sklearn import feature_extraction
from sklearn import linear_model
from sklearn import pipeline

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import run_classifier

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT / "data" / "sample_reviews"
OUTPUT = ROOT / "out" / "demo"
OPTIONS = (
    "--task_name=imdb",
    "--model=minilm-l6",
    "--attn_processor_fn=average_last_layer_by_head",
    "--do_train",
    "--do_eval",
    "--do_predict",
    "--max_seq_length=128",
    "--train_batch_size=16",
    "--learning_rate=5e-5",
    "--num_train_epochs=4",
)


def wilson_interval(right: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % interval of a share.

    Source: Wilson 1927.

    >>> [round(end, 3) for end in wilson_interval(90, 100)]
    [0.826, 0.945]
    """
    share = right / count
    centre = share + z**2 / (2 * count)
    spread = z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return (centre - spread) / (1 + z**2 / count), (centre + spread) / (1 + z**2 / count)


def read(split: str) -> tuple[list[str], list[str]]:
    """Return the texts and labels of a split of the sample data."""
    with open(DATA / f"{split}.tsv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [row["text"] for row in rows], [row["label"] for row in rows]


def bag_of_words_accuracy() -> tuple[int, int]:
    """Return (right, count) on the test reviews of a logistic regression over word counts: the floor to beat."""
    model = pipeline.make_pipeline(
        feature_extraction.text.TfidfVectorizer(sublinear_tf=True),
        linear_model.LogisticRegression(C=10.0, max_iter=1000),
    )
    model.fit(*read("train"))
    texts, labels = read("test")
    predicted = model.predict(texts)
    return sum(a == b for a, b in zip(predicted, labels, strict=True)), len(labels)


def bert_test_accuracy() -> tuple[int, int]:
    """Return (right, count) of the fine-tuned model on the test reviews, from test_results.tsv."""
    with open(OUTPUT / "test_results.tsv", encoding="utf-8") as file:
        predicted = [line.split("\t")[-1].strip() for line in file]
    _, labels = read("test")
    return sum(a == b for a, b in zip(predicted, labels, strict=True)), len(labels)


def bert_dev_accuracy() -> tuple[int, int]:
    """Return (right, count) of the fine-tuned model on the dev reviews, from eval_results.txt."""
    lines = (OUTPUT / "eval_results.txt").read_text(encoding="utf-8").splitlines()
    results = dict(line.split(" = ") for line in lines)
    count = len(read("dev")[1])
    return round(float(results["eval_accuracy"]) * count), count


def summary() -> str:
    """Return the accuracies with their intervals, and where everything is."""
    rows = [
        ("fine-tuned BERT, dev", *bert_dev_accuracy()),
        ("fine-tuned BERT, test", *bert_test_accuracy()),
        ("bag of words, test (same 300 reviews)", *bag_of_words_accuracy()),
    ]
    lines = ["", "accuracy (95 % Wilson interval)"]
    for name, right, count in rows:
        low, high = wilson_interval(right, count)
        lines.append(f"  {name:<38} {right / count:.2f}  [{low:.2f}, {high:.2f}]  {right}/{count}")
    lines += ["", "open report.html in a browser:"]
    names = ("report.html", "attention.png", "test_results.tsv", "eval_results.txt")
    return "\n".join([*lines, *(f"  {OUTPUT / name}" for name in names), f"  {OUTPUT} (the model)"])


def main() -> int:
    """Run the demo and print what came out."""
    if sys.argv[1:]:
        sys.stderr.write(
            "demo.py: takes no arguments; other settings are flags of run_classifier.py\n"
        )
        return 2
    status = run_classifier.cli_main([f"--data_dir={DATA}", f"--output_dir={OUTPUT}", *OPTIONS])
    if status == 0:
        sys.stdout.write(summary() + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())

"""The sample data and the demo's sums; the demo itself is run by `scripts/demo`."""

import csv

import numpy as np
import pytest
from sklearn import feature_extraction
from sklearn import linear_model
from sklearn import pipeline

from bert import datasets
from scripts import demo


def rows(split):
    return datasets.ImdbProcessor().read(demo.DATA, split)


def test_the_sample_reviews_are_500_balanced_and_short():
    counts = {split: [row.label for row in rows(split)] for split in ("train", "dev", "test")}
    assert {split: len(labels) for split, labels in counts.items()} == {
        "train": 300,
        "dev": 100,
        "test": 100,
    }
    for labels in counts.values():
        assert labels.count("1") * 2 == len(labels)
    lengths = [len(row.text_a.split()) for split in counts for row in rows(split)]
    assert min(lengths) >= 30
    assert max(lengths) <= 90


def test_no_review_begins_or_reads_like_another():
    texts = [row.text_a for split in ("train", "dev", "test") for row in rows(split)]
    assert len(set(texts)) == 500
    grams = [
        {tuple(words[i : i + 8]) for i in range(len(words) - 7)} for words in map(str.split, texts)
    ]
    for index, mine in enumerate(
        grams
    ):  # no run of 8 words stands in two reviews: nothing was filled into a frame
        assert not any(mine & other for other in grams[:index]), texts[index]


@pytest.mark.parametrize(
    "vectorizer",
    [
        feature_extraction.text.CountVectorizer(),
        feature_extraction.text.TfidfVectorizer(),
        feature_extraction.text.TfidfVectorizer(sublinear_tf=True),
    ],
)
def test_counting_words_does_not_solve_the_sample_task(vectorizer):
    model = pipeline.make_pipeline(vectorizer, linear_model.LogisticRegression(max_iter=1000))
    train, test = rows("train"), rows("test")
    model.fit([row.text_a for row in train], [row.label for row in train])
    predicted = model.predict([row.text_a for row in test])
    assert np.mean(predicted == [row.label for row in test]) < 0.80


def test_the_floor_that_the_demo_prints_is_below_it_too():
    right, count = demo.bag_of_words_accuracy()
    assert count == 100
    assert right / count < 0.80


def test_arguments_are_refused_instead_of_swallowed(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["demo.py", "--seed=7"])
    assert demo.main() == 2
    assert "takes no arguments" in capsys.readouterr().err


def test_the_interval_is_wilsons():
    # Wilson's formula by hand for 1 of 1: centre (1 + 1.96^2 / 2) / (1 + 1.96^2), spread the same distance to 1
    low, high = demo.wilson_interval(1, 1)
    np.testing.assert_allclose([low, high], [1 / (1 + 1.96**2), 1.0], rtol=1e-12)


def test_the_summary_counts_right_answers_from_the_files(tmp_path, monkeypatch):
    texts, labels = demo.read("test")
    assert len(texts) == 100
    predicted = [*labels[:90], *("1" if label == "0" else "0" for label in labels[90:])]
    with open(tmp_path / "test_results.tsv", "w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([["0.5", "0.5", label] for label in predicted])
    (tmp_path / "eval_results.txt").write_text("eval_accuracy = 0.87\nglobal_step = 1\n")
    monkeypatch.setattr(demo, "OUTPUT", tmp_path)
    summary = demo.summary()
    assert "0.90  [0.83, 0.94]  90/100" in summary
    assert "0.87  [0.79, 0.92]  87/100" in summary
    assert f"{tmp_path}/report.html" in summary

"""A page of embeddings holds every point, label and text, says what was lost, and runs no script but its own."""

import base64
import builtins
import hashlib
import html
import re

import numpy as np
import pytest

from explain import embeddings
from explain import views
from tests.explain import test_embeddings as made
from tests.explain import test_views as pages

POINTS, LABELS, TEXTS = made.POINTS, made.LABELS, made.TEXTS


def test_the_page_holds_the_reduced_points_with_labels_and_texts():
    data = pages.data_of(views.embedding_view(POINTS, LABELS, TEXTS))
    there = np.frombuffer(base64.b64decode(data["points"]), "<f4").reshape(-1, 3)
    np.testing.assert_array_equal(there, embeddings.reduce(POINTS).points)
    assert [data["labels"][label] for label in data["label_of"]] == LABELS
    assert data["texts"] == TEXTS


def test_the_page_says_what_the_points_are_and_what_was_lost():
    page = views.embedding_view(POINTS, LABELS, TEXTS, meaning="Output of layer 1", dimensions=2)
    meaning, lost = pages.notes_of(page)
    assert meaning == "Output of layer 1"
    assert lost == embeddings.reduce(POINTS, 2).note
    assert len(pages.data_of(page)["axes"]) == 2


def test_umap_and_its_seed_reach_the_reduction(monkeypatch):
    asked = made.in_umap(monkeypatch)
    page = views.embedding_view(POINTS, LABELS, TEXTS, reduce="umap", seed=5)
    assert asked[0]["random_state"] == 5
    assert "UMAP (seed 5)" in pages.notes_of(page)[-1]


def test_only_the_pages_two_scripts_run_and_nothing_is_loaded():
    page = views.embedding_view(POINTS, LABELS, TEXTS)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    ]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"].split() == hashes
    assert len(hashes) == 2


def test_the_page_carries_about_5_mb_and_a_thousand_points_few_more():
    points, many = POINTS[:, :3], np.tile(POINTS[:, :3], (25, 1))
    small = len(views.embedding_view(points, LABELS, TEXTS).encode())
    large = len(views.embedding_view(many, LABELS * 25, TEXTS * 25).encode())
    assert 4_000_000 < small < 6_000_000
    assert large - small < 50_000


def test_hostile_labels_and_texts_stay_data():
    count = len(pages.HOSTILE)
    page = views.embedding_view(
        POINTS[:count], pages.HOSTILE, pages.HOSTILE, title=pages.HOSTILE[0]
    )
    harmless = views.embedding_view(POINTS[:count], ["a"] * count, ["a"] * count, title="a")
    data = pages.data_of(page)
    assert data["texts"] == data["labels"] == pages.HOSTILE
    assert page.count("<") == harmless.count("<")
    shown, *_ = re.findall("<title>(.*?)</title>", page)
    assert html.unescape(shown) == pages.HOSTILE[0]
    page.encode("utf-8")


def test_without_plotly_one_line_says_so(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments):
        if name.startswith("plotly"):
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"^embedding_view needs plotly, .* pip install plotly"):
        views.embedding_view(POINTS, LABELS, TEXTS)


def test_labels_that_are_too_few_are_refused():
    with pytest.raises(ValueError, match=r"one a point, got 1 and 40 for 40 points"):
        views.embedding_view(POINTS, ["a"], TEXTS)

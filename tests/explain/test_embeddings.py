"""Points come down to three numbers as scikit-learn's do, and TensorBoard's projector finds every one with its text."""

import sys
import types

import numpy as np
import pytest
import werkzeug.test
from sklearn import decomposition

from explain import embeddings

COUNT, WIDTH = 40, 7
POINTS = np.random.default_rng(0).normal(size=(COUNT, WIDTH)).astype(np.float32)
POINTS *= np.array([4, 2, 1, 0.5, 0.4, 0.3, 0.2], np.float32)
LABELS = [("negative", "positive")[i % 2] for i in range(COUNT)]
TEXTS = [f"text {i}" for i in range(COUNT)]


def in_umap(monkeypatch) -> list[dict[str, object]]:
    """Put a stand-in for umap-learn in place and return what it will be asked."""
    asked: list[dict[str, object]] = []

    class Umap:
        def __init__(self, **options):
            asked.append(options)

        def fit_transform(self, points):
            return points[:, : asked[-1]["n_components"]]

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=Umap))
    return asked


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("points", [POINTS, POINTS[:5]], ids=["many", "fewer than numbers"])
def test_pca_is_that_of_scikit_learn(points, dimensions):
    reference = decomposition.PCA(dimensions, svd_solver="full")
    wanted = reference.fit_transform(points.astype(np.float64))
    found = embeddings.reduce(points, dimensions)
    assert found.points.dtype == np.float32
    np.testing.assert_allclose(found.points, wanted, rtol=1e-5, atol=1e-5)
    share = np.sum(reference.explained_variance_ratio_)
    assert f"Reduced from 7 to {dimensions} dimensions by PCA" in found.note
    assert f"keeps {share:.1%} of the variance" in found.note
    shares = [f"({part:.1%})" for part in reference.explained_variance_ratio_]
    assert [axis.split()[-1] for axis in found.axes] == shares


def test_points_on_a_line_keep_all_their_variance_and_their_distances():
    steps = np.array([0.0, 1.0, 3.0, 7.0])
    line = (steps[:, None] * np.array([[0.6, 0.0, 0.8, 0.0, 0.0]])).astype(np.float32)
    found = embeddings.reduce(line)
    np.testing.assert_allclose(found.points[:, 0], steps - steps.mean(), atol=1e-6)
    np.testing.assert_allclose(found.points[:, 1:], 0, atol=1e-6)
    assert "keeps 100.0% of the variance" in found.note


def test_one_point_lies_in_the_middle():
    assert not embeddings.reduce(POINTS[:1]).points.any()


@pytest.mark.parametrize("width", [2, 3])
def test_points_that_can_be_drawn_stay_as_they_are(width):
    found = embeddings.reduce(POINTS[:, :width])
    np.testing.assert_array_equal(found.points, POINTS[:, :width])
    assert found.note == "The coordinates are the points' own."
    assert len(found.axes) == width


def test_umap_gets_the_seed_and_one_thread_and_the_page_says_what_it_keeps(monkeypatch):
    asked = in_umap(monkeypatch)
    found = embeddings.reduce(POINTS, 2, "umap", seed=7)
    assert asked == [{"n_components": 2, "n_neighbors": 15, "random_state": 7, "n_jobs": 1}]
    assert found.points.shape == (COUNT, 2)
    assert "by UMAP (seed 7), which keeps neighbours" in found.note
    embeddings.reduce(POINTS[:6], 3, "umap")
    assert asked[-1]["n_neighbors"] == 5


def test_without_umap_learn_one_line_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ValueError, match=r"^reduce='umap' needs umap-learn, .* pip install umap-"):
        embeddings.reduce(POINTS, method="umap")


def test_umap_of_too_few_points_is_refused(monkeypatch):
    in_umap(monkeypatch)
    with pytest.raises(ValueError, match=r"needs more than 4 points, got 4; use reduce='pca'"):
        embeddings.reduce(POINTS[:4], method="umap")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dimensions": 4}, r"dimensions must be 2 or 3, got 4"),
        ({"method": "tsne"}, r"reduce must be one of pca, umap; got 'tsne'"),
    ],
)
def test_unknown_reductions_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        embeddings.reduce(POINTS, **change)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((POINTS[0], LABELS, TEXTS), r"points must be float32\[n, d\] .* got shape \(7,\)"),
        ((POINTS[:, :1], LABELS, TEXTS), r"two numbers or more a point, got shape \(40, 1\)"),
        ((POINTS[:0], [], []), r"got shape \(0, 7\)"),
        ((POINTS * np.nan, LABELS, TEXTS), r"points must be finite numbers, got nan"),
        ((POINTS, LABELS[1:], TEXTS), r"one a point, got 39 and 40 for 40 points"),
    ],
)
def test_points_without_their_labels_or_texts_are_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        embeddings.write_projector(tmp_path, *arguments)
    assert list(tmp_path.iterdir()) == []


def served(folder, route: str) -> bytes:
    """Return what TensorBoard's projector sends its page about the folder."""
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.projector import projector_plugin

    plugin = projector_plugin.ProjectorPlugin(base_plugin.TBContext(logdir=str(folder)))
    app = plugin.get_plugin_apps()[route]
    response = werkzeug.test.Client(app).get(route, query_string={"run": ".", "name": "embeddings"})
    assert response.status_code == 200, response.data
    return response.data


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # in its module
def test_tensorboards_projector_serves_the_points_to_the_bit_with_texts_and_labels(tmp_path):
    embeddings.write_projector(tmp_path / "run", POINTS, LABELS, TEXTS)
    folder = tmp_path / "run"
    there = np.frombuffer(served(folder, "/tensor"), np.float32).reshape(COUNT, WIDTH)
    np.testing.assert_array_equal(there, POINTS)
    rows = [line.split("\t") for line in served(folder, "/metadata").decode().splitlines()]
    assert rows[0] == ["text", "label"]
    assert rows[1:] == [list(pair) for pair in zip(TEXTS, LABELS, strict=True)]
    assert b'"tensorShape": [\n        40,\n        7\n      ]' in served(folder, "/info")


def test_a_text_is_one_cell_of_one_line_whatever_it_holds(tmp_path):
    texts = ["a\tb", "c\nd\r\n", r"back\slash", " ", "half\ud83d 電影"]
    embeddings.write_projector(tmp_path, POINTS[:5], ["", *"wxyz"], texts)
    lines = (tmp_path / "metadata.tsv").read_bytes().decode("utf-8").split("\n")
    assert lines == [
        "text\tlabel",
        r"a\tb" + "\t(empty)",
        r"c\nd\r\n" + "\tw",
        r"back\\slash" + "\tx",
        "(empty)\ty",
        r"half\ud83d 電影" + "\tz",
        "",
    ]


def test_a_write_that_fails_leaves_no_part_behind(tmp_path, monkeypatch):
    def fail(draft, *_, **__):
        draft.write_text("0.1")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savetxt", fail)
    with pytest.raises(OSError, match=r"disk full"):
        embeddings.write_projector(tmp_path, POINTS, LABELS, TEXTS)
    assert list(tmp_path.iterdir()) == []

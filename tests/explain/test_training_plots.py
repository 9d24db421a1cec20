"""Curves of a training hold every measurement; a confusion matrix holds every count, under labels of any script."""

import io

import matplotlib
import numpy as np
import pytest
from matplotlib import colors
from matplotlib import pyplot

from explain import palette
from explain import training_plots

CURVES = {
    "loss": {
        "train": [(1, 0.7), (2, 0.6), (4, 0.25)],
        "validation": [(2, 0.65), (4, 0.5)],
        "test": [(4, 0.55)],
    },
    "accuracy": {"train": [], "validation": [(2, 0.75), (4, 0.875)], "test": [(4, 0.8)]},
    "f1": {"train": [], "validation": [(2, 0.7), (4, 0.8)], "test": [(4, 0.75)]},
}
COUNTS = np.array([[6, 2, 0], [1, 0, 3], [0, 0, 0]])
LABELS = ("電影 😀", "سيئ $\\bad$", "<b>\ue000")


def png(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=50)
    return file.getvalue()


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def drawn(axes):
    return {line.get_label(): line.get_xydata().tolist() for line in axes.lines}


def test_each_measure_has_a_panel_with_axes_a_legend_and_a_line_for_each_data_set():
    figure = training_plots.training_curves(CURVES, "my title")
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy", "f1"]
    for axes, of_sets in zip(figure.axes, CURVES.values(), strict=True):
        expected = {name: [list(p) for p in points] for name, points in of_sets.items() if points}
        assert drawn(axes) == expected
        assert axes.get_xlabel() == "training step"
        assert [text.get_text() for text in axes.get_legend().get_texts()] == list(expected)
    assert figure.get_suptitle() == "my title"


def test_a_data_set_looks_the_same_in_every_panel_and_unlike_the_others_without_colour_too():
    looks = {}
    for axes in training_plots.training_curves(CURVES, "title").axes:
        for line in axes.lines:
            look = (colors.to_hex(line.get_color()), line.get_linestyle(), line.get_marker())
            looks.setdefault(line.get_label(), set()).add(look)
    assert [len(of_name) for of_name in looks.values()] == [1, 1, 1]
    shades, lines, markers = zip(*(of_name.pop() for of_name in looks.values()), strict=True)
    assert len(set(shades)) == len(set(lines)) == len(set(markers)) == 3
    assert set(shades) <= set(palette.HEADS)


def test_one_measure_alone_is_a_figure_of_its_own():
    for measure in CURVES:
        figure = training_plots.training_curves({measure: CURVES[measure]}, "title")
        (axes,) = figure.axes
        assert axes.get_ylabel() == measure
        assert axes.get_legend() is not None
        assert png(figure).startswith(b"\x89PNG")


def test_a_measure_that_was_never_taken_has_no_panel():
    curves = {"loss": {"train": [(1, 0.7)], "test": []}, "accuracy": {"test": []}}
    (axes,) = training_plots.training_curves(curves, "title").axes
    assert drawn(axes) == {"train": [[1.0, 0.7]]}


@pytest.mark.parametrize("curves", [{}, {"loss": {}}, {"loss": {"train": []}}])
def test_curves_of_nothing_are_refused(curves):
    with pytest.raises(ValueError, match=r"must be a measurement to draw, got none; train first"):
        training_plots.training_curves(curves, "title")


def test_a_loss_that_is_no_number_breaks_the_line_and_nothing_else():
    points = [(1, 0.7), (2, np.nan), (3, np.inf), (4, 0.5)]
    figure = training_plots.training_curves({"loss": {"train": points}}, "title")
    (line,) = figure.axes[0].lines
    np.testing.assert_array_equal(line.get_ydata(), [0.7, np.nan, np.inf, 0.5])
    low, high = figure.axes[0].get_ylim()
    assert 0.4 < low < 0.5 < 0.7 < high < 0.8
    assert png(figure)


def test_marks_are_left_out_where_they_would_run_into_each_other():
    points = {"few": [(i, 0.5) for i in range(60)], "many": [(i, 0.5) for i in range(61)]}
    (axes,) = training_plots.training_curves({"loss": points}, "title").axes
    assert [line.get_marker() for line in axes.lines] == ["o", "None"]


def test_more_data_sets_than_looks_begin_again():
    points = {str(i): [(0, i), (1, i)] for i in range(5)}
    (axes,) = training_plots.training_curves({"loss": points}, "title").axes
    shades = [line.get_color() for line in axes.lines]
    assert len(set(shades)) == 4
    assert shades[4] == shades[0]


def test_cells_are_shares_of_their_row_and_hold_count_and_share():
    figure = training_plots.confusion_matrix(COUNTS, LABELS, "my title")
    axes, scale = figure.axes
    (mesh,) = axes.collections
    shares = np.ma.filled(mesh.get_array(), np.nan).reshape(3, 3)
    np.testing.assert_allclose(shares, [[0.75, 0.25, 0], [0.25, 0, 0.75], [np.nan] * 3])
    assert axes.yaxis_inverted()  # so that right answers go from the top left to the bottom right
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    assert texts == {
        (0.5, 0.5): "6\n75%",
        (1.5, 0.5): "2\n25%",
        (2.5, 0.5): "0\n0%",
        (0.5, 1.5): "1\n25%",
        (1.5, 1.5): "0\n0%",
        (2.5, 1.5): "3\n75%",
        (0.5, 2.5): "0",  # of a class that no example has, there is no share
        (1.5, 2.5): "0",
        (2.5, 2.5): "0",
    }
    assert (mesh.norm.vmin, mesh.norm.vmax) == scale.get_ylim() == (0.0, 1.0)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    assert axes.get_title() == "my title"
    assert colors.to_hex(axes.get_facecolor()) == palette.NO_NUMBER


def test_numbers_can_be_read_on_every_shade():
    counts = np.zeros((51, 51), int)
    counts[:, 0], counts[:, 1] = np.arange(0, 102, 2), np.arange(100, -2, -2)  # every other percent
    figure = training_plots.confusion_matrix(counts, [*map(str, range(51))], "title")
    axes = figure.axes[0]
    (mesh,) = axes.collections
    for text in axes.texts:
        column, row = (int(place) for place in text.get_position())
        value = mesh.get_array().reshape(51, 51)[row, column]
        background = colors.to_hex(mesh.to_rgba(value))
        assert palette.contrast(background, text.get_color()) > 4.5, value


def test_labels_of_any_script_are_drawn_or_fall_back_to_code_points():
    style, figures = dict(matplotlib.rcParams), pyplot.get_fignums()
    figure = training_plots.confusion_matrix(COUNTS, LABELS, " ".join(LABELS))
    axes = figure.axes[0]
    assert png(figure).startswith(b"\x89PNG")
    assert labels(axes.xaxis) == labels(axes.yaxis)
    assert labels(axes.xaxis)[1:] == ["سيئ $\\bad$", "<b><U+E000>"]
    assert labels(axes.xaxis)[0].endswith(("😀", "<U+1F600>"))
    names = {name: [(1, 0.5)] for name in LABELS}
    assert png(training_plots.training_curves({LABELS[0]: names}, LABELS[1]))
    assert (dict(matplotlib.rcParams), pyplot.get_fignums()) == (style, figures)


@pytest.mark.parametrize(("classes", "has_numbers"), [(1, True), (100, True), (101, False)])
def test_a_matrix_of_any_number_of_classes_has_a_bounded_size(classes, has_numbers):
    counts = np.eye(classes, dtype=int)
    figure = training_plots.confusion_matrix(counts, ["a label"] * classes, "title")
    axes = figure.axes[0]
    assert max(figure.get_size_inches()) < 25
    assert len(axes.texts) == (classes**2 if has_numbers else 0)
    told = "predicted" if has_numbers else "predicted; numbers are left out: too small to read"
    assert axes.get_xlabel() == told


@pytest.mark.parametrize(
    ("counts", "names"),
    [([], []), ([[1, 2]], "ab"), ([1, 2], "ab"), ([[1, 2], [3, -1]], "ab"), ([[1]], "ab")],
)
def test_counts_that_are_no_row_and_column_a_label_are_refused(counts, names):
    with pytest.raises(ValueError, match=r"a row and a column .* for each of \d labels, got shape"):
        training_plots.confusion_matrix(np.array(counts, int), list(names), "title")

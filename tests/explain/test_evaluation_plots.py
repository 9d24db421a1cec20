"""Figures of an evaluation draw the numbers they were given, read back from the axes, and say what they are."""

import io
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from matplotlib import colors
from matplotlib.container import ErrorbarContainer

from explain import accuracy
from explain import corpus
from explain import evaluation_plots
from explain import palette
from explain import statistics

PLACES = np.array([0.0, 0.1, 0.5])
BLUE, ORANGE = palette.LINE, palette.diverging(-1.0)[0]


def png(figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=50)
    return file.getvalue()


def labels(axis) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def lines_of(axes, colour) -> list:
    return [line for line in axes.lines if line.get_color() == colour]


def bars_of(container):
    """Return the interval bars of an errorbar as [(low, high)], read across."""
    (segments,) = container.lines[2]
    return [(path[0][0], path[1][0]) for path in segments.get_segments()]


@pytest.fixture
def curves():
    """Probabilities after each removal, of four texts by five methods."""
    rng = np.random.default_rng(8)
    return {f"method_{i}": rng.uniform(size=(4, 3)) for i in range(5)}


def test_a_curve_is_the_mean_over_texts_and_its_band_the_bootstrap_interval(curves):
    figure = evaluation_plots.deletion_curves(curves, PLACES, title="a title", seed=3)
    for axes, (name, rows) in zip(figure.axes, curves.items(), strict=False):
        assert axes.get_title() == name
        (line,) = lines_of(axes, BLUE)
        np.testing.assert_array_equal(line.get_xdata(), PLACES)
        np.testing.assert_allclose(line.get_ydata(), rows.mean(axis=0), rtol=1e-12)
        (band,) = axes.collections
        expected = [statistics.bootstrap_mean(rows[:, k], 3) for k in range(3)]
        drawn = {tuple(point) for point in band.get_paths()[0].vertices}
        for place, interval in zip(PLACES, expected, strict=True):
            assert {(place, interval.low), (place, interval.high)} <= drawn


def test_the_other_methods_are_pale_behind_each_curve(curves):
    figure = evaluation_plots.deletion_curves(curves, PLACES, title="a title")
    pale = lines_of(figure.axes[1], palette.FRAME)
    expected = [curves[f"method_{i}"].mean(axis=0) for i in (0, 2, 3, 4)]
    np.testing.assert_allclose([line.get_ydata() for line in pale], expected, rtol=1e-12)
    assert max(line.get_zorder() for line in pale) < lines_of(figure.axes[1], BLUE)[0].get_zorder()


def test_the_floor_is_dashed_orange_in_every_panel_and_named(curves):
    floor = np.random.default_rng(9).uniform(size=(4, 3))
    figure = evaluation_plots.deletion_curves(curves, PLACES, floor, title="a title", seed=1)
    for axes in figure.axes[:5]:
        (line,) = lines_of(axes, ORANGE)
        np.testing.assert_allclose(line.get_ydata(), floor.mean(axis=0), rtol=1e-12)
        assert line.get_linestyle() == "--"
        assert lines_of(axes, BLUE)[0].get_linestyle() == "-"
        assert len(axes.collections) == 2
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert told == ["random ranking", "this method", "the other methods"]


def test_curves_say_what_is_removed_and_what_is_measured(curves):
    figure = evaluation_plots.deletion_curves(
        curves, [0, 1, 2], title="SST-5, 835 texts", x_label="words removed", y_label="accuracy"
    )
    assert figure.get_suptitle() == "SST-5, 835 texts"
    assert [axes.get_xlabel() for axes in figure.axes[:5]] == ["words removed"] * 5
    assert figure.get_supylabel() == "accuracy"
    assert [axes.axison for axes in figure.axes] == [True] * 5 + [False] * 3  # 2 rows of 4
    png(figure)


def test_one_curve_has_one_panel_and_no_others(curves):
    figure = evaluation_plots.deletion_curves({"x": curves["method_0"]}, PLACES, title="t")
    assert len(figure.axes) == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["this method"]
    png(figure)


def test_a_text_that_says_nothing_is_left_out_of_the_mean():
    rows = np.array([[1.0, 0.5, np.nan], [0.5, 0.25, np.nan]])
    figure = evaluation_plots.deletion_curves({"x": rows}, PLACES, title="t")
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [0.75, 0.375, np.nan])
    png(figure)


@pytest.mark.parametrize("wrong", [{}, {"x": np.ones((4, 2))}, {"x": np.ones(3)}])
def test_curves_that_do_not_fit_the_places_are_refused(wrong):
    with pytest.raises(ValueError, match="a number for each of 3 places, got shapes"):
        evaluation_plots.deletion_curves(wrong, PLACES, title="t")
    with pytest.raises(
        ValueError, match=r"for each of 3 places, got shapes \[\(4, 3\), \(4, 2\)\]"
    ):
        evaluation_plots.deletion_curves({"x": np.ones((4, 3))}, PLACES, np.ones((4, 2)), title="t")


def interval(mean, low, high, n=9):
    return statistics.Interval(mean, low, high, n)


def test_methods_are_dots_with_intervals_from_the_top_and_the_floor_is_a_line():
    scores = {"cp_lrp": interval(0.5, 0.375, 0.75), "lat": interval(0.25, 0.125, 0.5)}
    figure = evaluation_plots.method_comparison(
        scores, interval(0.25, 0.125, 0.375), title="SST-2", x_label="AOPC (probability)"
    )
    (axes,) = figure.axes
    (container,) = axes.containers
    np.testing.assert_array_equal(container.lines[0].get_xydata(), [[0.5, 0], [0.25, 1]])
    assert bars_of(container) == [(0.375, 0.75), (0.125, 0.5)]
    assert labels(axes.yaxis) == ["cp_lrp", "lat"]
    assert axes.yaxis_inverted()
    (line,) = lines_of(axes, ORANGE)
    assert (line.get_xdata()[0], line.get_linestyle()) == (0.25, "--")
    (band,) = axes.patches
    assert (band.get_x(), band.get_width()) == (0.125, 0.25)
    assert (axes.get_title(), axes.get_xlabel()) == ("SST-2", "AOPC (probability)")
    assert figure.legends[0].get_texts()[0].get_text() == "random ranking"
    png(figure)


def test_an_interval_that_lies_a_rounding_beside_its_mean_is_drawn():
    scores = {"x": interval(0.1, 0.1 + 1e-17 + 2e-17, 0.1 - 2e-17), "y": interval(1.0, 1.5, 0.5)}
    png(evaluation_plots.method_comparison(scores, title="t", x_label="x"))


@pytest.fixture
def table():
    return corpus.WordTable(
        top=(
            corpus.WordRow("wonderful", interval(2.0, 1.5, 3.0, 12)),
            corpus.WordRow("$x$", interval(0.5, -0.25, 1.0, 5)),
            corpus.WordRow("好", interval(0.0, -0.125, 0.125, 6)),
        ),
        bottom=(corpus.WordRow("dull", interval(-4.0, -5.0, -3.0, 7)),),
    )


def test_words_are_bars_of_their_means_with_their_counts(table):
    figure = evaluation_plots.word_table(table, title="positive", x_label="mean logit")
    highest, lowest = figure.axes
    assert [bar.get_width() for bar in highest.patches] == [2.0, 0.5, 0.0]
    assert [bar.get_width() for bar in lowest.patches] == [-4.0]
    assert labels(highest.yaxis)[:2] == ["wonderful (12)", "$x$ (5)"]
    assert labels(lowest.yaxis) == ["dull (7)"]
    (errors,) = [found for found in highest.containers if isinstance(found, ErrorbarContainer)]
    assert bars_of(errors) == [(1.5, 3.0), (-0.25, 1.0), (-0.125, 0.125)]
    shades = [colors.to_hex(bar.get_facecolor()) for bar in highest.patches]
    assert shades == [palette.diverging(share)[0] for share in (0.5, 0.125, 0.0)]
    assert figure.get_suptitle() == "positive"
    assert [axes.get_xlabel() for axes in figure.axes] == ["mean logit"] * 2
    png(figure)


def test_both_sides_of_a_word_table_have_one_scale_and_show_0_and_every_interval(table):
    sides = evaluation_plots.word_table(table, title="positive").axes
    ends = [axes.get_xlim() for axes in sides]
    assert ends[0][1] - ends[0][0] == pytest.approx(ends[1][1] - ends[1][0])
    assert ends[0][0] <= -0.25 < 3.0 < ends[0][1]
    assert ends[1][0] < -5.0 < 0.0 <= ends[1][1]
    assert sides[0].get_ylim() == sides[1].get_ylim()


def test_a_table_of_one_side_or_of_zeros_is_drawn(table):
    assert len(evaluation_plots.word_table(table._replace(bottom=()), title="t").axes) == 1
    zero = corpus.WordTable((corpus.WordRow("a", interval(0.0, 0.0, 0.0)),), ())
    png(evaluation_plots.word_table(zero, title="t"))


@pytest.fixture
def grid():
    values = np.array([[1.0, -0.5, np.nan], [-0.5, 1.0, 0.25], [np.nan, 0.25, 1.0]])
    return corpus.Grid(("x", "y", "z"), values, np.array([[9, 6, 0], [8, 9, 7], [0, 7, 9]]))


def test_a_grid_draws_its_correlations_and_prints_what_they_rest_on(grid):
    figure = evaluation_plots.correlation_grid(grid, title="t", meaning="rho", counted="texts")
    axes, scale = figure.axes
    mesh = axes.collections[0]
    np.testing.assert_array_equal(np.ma.filled(mesh.get_array(), np.nan), grid.values)
    assert (mesh.norm.vmin, mesh.norm.vmax) == (-1.0, 1.0)
    assert axes.yaxis_inverted()
    assert labels(axes.xaxis) == labels(axes.yaxis) == ["x", "y", "z"]
    told = {text.get_position(): text.get_text() for text in axes.texts}
    assert told[1.5, 0.5] == "-0.50\n6"  # column, row
    assert told[0.5, 2.5] == "none\n0"
    assert told[1.5, 2.5] == "0.25\n7"
    assert scale.get_ylabel() == "rho"
    assert axes.get_xlabel() == "below each number: texts that it rests on"
    png(figure)


def test_the_numbers_of_a_grid_can_be_read_on_their_cells(grid):
    axes = evaluation_plots.correlation_grid(grid, title="t", meaning="r", counted="words").axes[0]
    for value, share in ((1.0, 1.0), (-0.5, -0.5)):
        background, ink = palette.diverging(share)
        assert colors.to_hex(axes.collections[0].to_rgba(value)) == background
        (row, column) = np.argwhere(grid.values == value)[0]
        (text,) = [t for t in axes.texts if t.get_position() == (column + 0.5, row + 0.5)]
        assert text.get_color() == ink
    assert palette.contrast(palette.NO_NUMBER, palette.BLACK) > 4.5


def test_pairs_of_data_sets_are_dots_of_their_shared_words_with_r_and_count():
    rng = np.random.default_rng(2)
    means = {
        name: {f"w{i}": float(rng.normal()) for i in range(start, start + 9)}
        for name, start in (("SST-5", 0), ("IMDb", 4), ("Yelp", 20))
    }
    figure = evaluation_plots.word_pairs(means, title="word scores")
    panels = np.reshape(figure.axes, (3, 3))
    (dots,) = panels[1, 0].lines  # IMDb up, SST-5 across
    shared = [f"w{i}" for i in range(4, 9)]
    expected = {(means["SST-5"][word], means["IMDb"][word]) for word in shared}
    assert {tuple(point) for point in dots.get_xydata()} == expected
    r = np.corrcoef(*np.array(sorted(expected)).T)[0, 1]
    assert panels[0, 1].texts[0].get_text() == f"r = {r:.2f}\n5 words"
    assert panels[0, 2].texts[0].get_text() == "r = none\n0 words"
    assert len(panels[2, 0].lines[0].get_xdata()) == 0
    assert sum(bar.get_height() for bar in panels[0, 0].patches) == 9
    assert [axes.get_xlabel() for axes in panels[2]] == list(means)
    assert [axes.get_ylabel() for axes in panels[:, 0]] == list(means)
    png(figure)


def test_heads_are_drawn_from_the_first_layer_at_the_bottom():
    importance = np.arange(6.0).reshape(2, 3)
    figure = evaluation_plots.head_importance(importance, title="heads", meaning="gradient")
    axes, scale = figure.axes
    mesh = axes.collections[0]
    np.testing.assert_array_equal(mesh.get_array(), importance)
    assert not axes.yaxis_inverted()
    assert (labels(axes.xaxis), labels(axes.yaxis)) == (["0", "1", "2"], ["0", "1"])
    assert (axes.get_xlabel(), axes.get_ylabel(), scale.get_ylabel()) == (
        "head",
        "layer",
        "gradient",
    )
    assert (mesh.norm.vmin, mesh.norm.vmax) == (0.0, 5.0)
    assert colors.to_hex(mesh.to_rgba(5.0)) == palette.sequential(1.0)[0]
    png(figure)


def test_heads_that_lower_the_score_are_on_a_scale_with_0_in_its_middle():
    figure = evaluation_plots.head_importance(np.array([[1.0, -4.0]]), title="heads")
    mesh = figure.axes[0].collections[0]
    assert (mesh.norm.vmin, mesh.norm.vmax) == (-4.0, 4.0)
    assert colors.to_hex(mesh.to_rgba(-4.0)) == palette.diverging(-1.0)[0]
    png(evaluation_plots.head_importance(np.zeros((1, 2)), title="no head counts"))


def test_layers_are_drawn_upwards_with_both_shares():
    profile = [
        corpus.LayerShare(0, interval(0.75, 0.5, 1.0), interval(0.125, 0.0, 0.25)),
        corpus.LayerShare(1, interval(0.25, 0.125, 0.5), interval(1.0, 1.0, 1.0)),
    ]
    figure = evaluation_plots.layer_profile(profile, title="cp_lrp")
    share, special = (axes.containers[0] for axes in figure.axes)
    np.testing.assert_array_equal(share.lines[0].get_xydata(), [[0.75, 0], [0.25, 1]])
    np.testing.assert_array_equal(special.lines[0].get_xydata(), [[0.125, 0], [1.0, 1]])
    assert bars_of(share) == [(0.5, 1.0), (0.125, 0.5)]
    assert labels(figure.axes[0].yaxis) == ["embeddings", "after layer 0"]
    assert not figure.axes[0].yaxis_inverted()
    assert figure.axes[0].get_xlabel() == "share of all relevance"
    assert figure.axes[1].get_xlabel() == "on special tokens (share of the layer)"
    png(figure)


def test_reliability_draws_accuracy_over_confidence_and_the_counts_below():
    bins = [
        accuracy.ReliabilityBin(0.625, 0.5, 0.25, 0.75, 4),
        accuracy.ReliabilityBin(0.875, 1.0, 0.5, 1.0, 9),
    ]
    figure = evaluation_plots.reliability_diagram(bins, title="ECE 0.12")
    upper, lower = figure.axes
    (container,) = upper.containers
    np.testing.assert_array_equal(container.lines[0].get_xydata(), [[0.625, 0.5], [0.875, 1.0]])
    (segments,) = container.lines[2]
    assert [path[:, 1].tolist() for path in segments.get_segments()] == [[0.25, 0.75], [0.5, 1.0]]
    (diagonal,) = lines_of(upper, ORANGE)
    assert (diagonal.get_xydata().tolist(), diagonal.get_linestyle()) == ([[0, 0], [1, 1]], "--")
    (stems,) = lower.collections
    drawn = [path.tolist() for path in stems.get_segments()]
    assert drawn == [[[0.625, 0], [0.625, 4]], [[0.875, 0], [0.875, 9]]]
    assert upper.get_title() == "ECE 0.12"
    assert (upper.get_ylabel(), lower.get_ylabel()) == ("accuracy", "examples")
    png(figure)


@pytest.mark.parametrize(
    ("draw", "what"),
    [
        (lambda: evaluation_plots.method_comparison({}, title="t", x_label="x"), "a method"),
        (lambda: evaluation_plots.word_table(corpus.WordTable((), ()), title="t"), "a word"),
        (lambda: evaluation_plots.word_pairs({}, title="t"), "a data set"),
        (lambda: evaluation_plots.layer_profile([], title="t"), "a layer"),
        (lambda: evaluation_plots.reliability_diagram([], title="t"), "a bin"),
    ],
)
def test_nothing_to_draw_is_refused(draw, what):
    with pytest.raises(ValueError, match=f"there must be {what}.*, got none"):
        draw()


def test_drawing_needs_neither_a_screen_nor_tensorflow(tmp_path):
    code = (
        "import sys; from explain import evaluation_plots\n"
        "evaluation_plots.word_pairs({'x': {'a': 1.0}}, title='t').savefig('figure.png')\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    root = pathlib.Path(__file__).resolve().parents[2]
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    environment |= {"PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=environment)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")

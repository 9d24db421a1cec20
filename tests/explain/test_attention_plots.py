"""Every head, one head, and one token's lines: figures that hold the weights they were given."""

import io

import matplotlib
import numpy as np
import pytest
from matplotlib import colors
from matplotlib import pyplot

from explain import attention_plots
from explain import palette
from explain import plots

TOKENS = ["[CLS]", "not", "bad", "$x$", "[SEP]"]
SCRIPTS = ["電", "##影", "😀", "👩‍🚀", "فيلم", "한", "क", "$\\frac$", "<b>", "\ue000"]
LAYERS, HEADS, PADDED = 2, 3, 7


def weights(*shape):
    return np.random.default_rng(5).dirichlet(np.ones(shape[-1]), shape[:-1]).astype(np.float32)


@pytest.fixture
def attention():
    """Weights of 2 layers and 3 heads for the five tokens and two places of padding."""
    return weights(LAYERS, HEADS, PADDED, PADDED)


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def png(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=50)
    return file.getvalue()


def tile(picture, layer, head, size):
    """Return what stands where a layer's row crosses a head's column, rows from the top."""
    values = np.asarray(picture.get_array())
    return values[layer * size : (layer + 1) * size, head * size : (head + 1) * size]


def lines_of(figure):
    """Return where the lines go, (from, to) in places of tokens, and their widths in points."""
    (lines,) = figure.axes[0].collections
    ends = np.array(lines.get_segments())
    np.testing.assert_array_equal(ends[:, :, 0], [[0.0, 1.0]] * len(ends))  # from left to right
    return ends[:, :, 1].tolist(), lines.get_linewidths()


def test_every_head_has_its_map_in_its_layers_row_and_its_own_column(attention):
    figure = attention_plots.all_heads(attention, TOKENS, "my title")
    axes, scale = figure.axes
    (picture,) = axes.images
    assert np.shape(picture.get_array()) == (LAYERS * 5, HEADS * 5)
    for layer, head in np.ndindex(LAYERS, HEADS):
        np.testing.assert_array_equal(
            tile(picture, layer, head, 5), attention[layer, head, :5, :5], f"{layer} {head}"
        )
    # a map lies around its own number: layer 0 at the top, head 0 at the left
    assert picture.get_extent() == [-0.5, HEADS - 0.5, LAYERS - 0.5, -0.5]
    assert (labels(axes.yaxis), labels(axes.xaxis)) == (["0", "1"], ["0", "1", "2"])
    assert (axes.get_yticks().tolist(), axes.get_xticks().tolist()) == ([0, 1], [0, 1, 2])
    assert axes.yaxis_inverted()
    assert axes.get_xlabel() == "head; in each map: attended to (key)"
    assert axes.get_ylabel() == "layer; in each map: attending (query)"
    assert axes.get_title() == "my title"
    assert figure.get_supxlabel() == "5 tokens"
    assert scale.get_ylim() == (0.0, attention[:, :, :5, :5].max())  # one scale, and it is printed


def test_grids_to_be_compared_can_share_a_scale(attention):
    _, scale = attention_plots.all_heads(attention, TOKENS, "title", vmax=0.875).axes
    assert scale.get_ylim() == (0.0, 0.875)


@pytest.mark.parametrize(("size", "step"), [(128, 1), (129, 2), (300, 3)])
def test_of_many_tokens_a_cell_shows_the_largest_of_its_weights(size, step):
    maps = np.zeros((1, 2, size, size), np.float32)
    maps[0, 1, 7, size - 1], maps[0, 1, 8, size - 1] = 0.25, 0.5
    figure = attention_plots.all_heads(maps, ["a"] * size, "title")
    (picture,) = figure.axes[0].images
    cells = -(-size // step)
    assert np.shape(picture.get_array()) == (cells, 2 * cells)
    found = {
        (int(r), int(c)): float(picture.get_array()[r, c])
        for r, c in zip(*np.nonzero(picture.get_array()), strict=True)
    }
    expected = {(7 // step, 2 * cells - 1): 0.25}
    expected[8 // step, 2 * cells - 1] = 0.5
    assert found == expected
    told = f"{size} tokens" + (
        f"; a cell is the largest of {step} x {step} weights" if step > 1 else ""
    )
    assert figure.get_supxlabel() == told


def test_weights_that_are_no_numbers_are_grey(attention):
    attention[1, 2, 0, 0] = np.nan
    axes, scale = attention_plots.all_heads(attention, TOKENS, "title").axes
    (picture,) = axes.images
    values = np.ma.masked_invalid(picture.get_array())
    assert np.argwhere(values.mask).tolist() == [[5, 10]]
    assert colors.to_hex(axes.get_facecolor()) == palette.NO_NUMBER
    assert np.isfinite(scale.get_ylim()).all()


@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (1, 12), (24, 16)])
def test_grids_of_any_model_have_maps_of_an_inch_at_least_and_a_bounded_size(layers, heads):
    figure = attention_plots.all_heads(weights(layers, heads, 4, 4), ["a"] * 4, "title")
    figure.draw_without_rendering()
    box = figure.axes[0].get_window_extent()
    assert min(box.width / heads, box.height / layers) > 0.9 * figure.dpi
    assert max(figure.get_size_inches()) < 51


def test_one_head_is_the_heat_map_of_that_layer_and_head(attention):
    figure = attention_plots.one_head(attention, TOKENS, 1, 2, "title", vmax=0.75)
    axes, scale = figure.axes
    (mesh,) = axes.collections
    np.testing.assert_array_equal(np.reshape(mesh.get_array(), (5, 5)), attention[1, 2, :5, :5])
    assert labels(axes.xaxis) == labels(axes.yaxis) == TOKENS
    assert axes.get_title() == "title: layer 1, head 2"
    assert scale.get_ylim() == (0.0, 0.75)


@pytest.mark.parametrize(
    ("layer", "head", "told"),
    [
        (2, 0, "layer must be from 0 to 1, got 2"),
        (-1, 0, "layer must be from 0 to 1, got -1"),
        (0, 3, "head must be from 0 to 2, got 3"),
    ],
)
def test_a_head_that_is_not_there_is_refused(attention, layer, head, told):
    with pytest.raises(ValueError, match=told):
        attention_plots.one_head(attention, TOKENS, layer, head, "title")


@pytest.mark.parametrize("query", range(5))
def test_lines_go_from_the_chosen_token_to_all_as_wide_as_their_weights(attention, query):
    matrix = attention[1, 2]
    figure = attention_plots.attention_lines(matrix, TOKENS, "title", query=query)
    ends, widths = lines_of(figure)
    assert ends == [[query, key] for key in range(5)]
    row = matrix[query, :5]
    np.testing.assert_allclose(widths, 8.0 * row / row.max(), rtol=1e-6)
    left, right = figure.axes
    for axes, meaning in ((left, "attending (query)"), (right, "attended to (key)")):
        assert labels(axes.yaxis) == TOKENS
        assert axes.get_yticks().tolist() == [0, 1, 2, 3, 4]
        assert axes.get_ylim() == (4.5, -0.5)  # in reading order, and level with the other side
        assert axes.get_ylabel() == meaning
    assert right.yaxis.get_label_position() == "right"
    (dot,) = left.lines
    assert dot.get_xydata().tolist() == [[0.0, query]]
    assert figure.get_supxlabel() == f"8 points wide: attention {row.max():.2g}"


def test_lines_to_be_compared_can_share_a_scale():
    matrix = np.array([[0.5, 0.5], [0.125, 0.875]], np.float32)
    for query, expected in ((0, [4.0, 4.0]), (1, [1.0, 7.0])):
        figure = attention_plots.attention_lines(matrix, ["a", "b"], "t", query=query, vmax=1.0)
        assert lines_of(figure)[1] == expected
        assert figure.get_supxlabel() == "8 points wide: attention 1"


def test_weights_that_are_no_numbers_have_no_line_and_are_told_of():
    matrix = np.array([[np.nan, 0.25, 0.5], [np.inf] * 3, [0.0] * 3], np.float32)
    widths, told = [], []
    for query in range(3):
        figure = attention_plots.attention_lines(matrix, ["a", "b", "c"], "t", query=query)
        widths.append(lines_of(figure)[1])
        told.append(figure.get_supxlabel())
    assert widths == [[0.0, 4.0, 8.0], [0.0] * 3, [0.0] * 3]
    assert told == [
        "8 points wide: attention 0.5; 1 weights are not finite",
        "8 points wide: attention 1; 3 weights are not finite",
        "8 points wide: attention 1",
    ]


@pytest.mark.parametrize("query", [-1, 5])
def test_a_token_that_is_not_there_is_refused(attention, query):
    with pytest.raises(ValueError, match=rf"query must be from 0 to 4, got {query}"):
        attention_plots.attention_lines(attention[0, 0], TOKENS, "title", query=query)


@pytest.mark.parametrize("shape", [(7, 7), (3, 7, 7), (2, 3, 7, 8), (2, 3, 4, 4), (0, 3, 7, 7)])
def test_arrays_that_are_no_maps_of_heads_are_refused(shape):
    maps = np.ones(shape, np.float32)
    for draw in (
        lambda: attention_plots.all_heads(maps, TOKENS, "title"),
        lambda: attention_plots.one_head(maps, TOKENS, 0, 0, "title"),
    ):
        with pytest.raises(ValueError, match=r"layers x heads of square matrices .* all_layers"):
            draw()


def test_no_tokens_and_a_matrix_of_another_shape_are_refused(attention):
    with pytest.raises(ValueError, match="for 0 tokens"):
        attention_plots.all_heads(attention, [], "title")
    for matrix, tokens in ((attention, TOKENS), (attention[0, 0], []), (attention[0, 0], "a" * 8)):
        with pytest.raises(ValueError, match="square matrix of at least one row a token"):
            attention_plots.attention_lines(matrix, tokens, "title")


@pytest.mark.parametrize("text", ["word", "a" * 200, "\ue000" * 8])
def test_names_of_any_length_stand_beside_their_lines(text):
    figure = attention_plots.attention_lines(weights(3, 3), [text] * 3, "title " * 30)
    figure.draw_without_rendering()
    left, right = figure.axes
    assert left.get_window_extent().width > figure.dpi  # room for the lines: an inch
    for axes in (left, right):
        for label in axes.get_yticklabels():
            assert label.get_window_extent().x0 >= 0
            assert label.get_window_extent().x1 <= figure.bbox.x1


def test_512_tokens_fit_figures_of_bounded_size():
    row, tokens = np.full((512, 512), 1 / 512, np.float32), ["token"] * 512
    figure = attention_plots.attention_lines(row, tokens, "title", query=511)
    assert max(figure.get_size_inches()) < 51
    assert len(lines_of(figure)[1]) == 512
    grid = attention_plots.all_heads(np.tile(row, (12, 12, 1, 1)), tokens, "title")
    assert np.shape(grid.axes[0].images[0].get_array()) == (12 * 128, 12 * 128)


def test_scripts_of_the_world_and_formulas_are_drawn_without_a_warning():
    size = len(SCRIPTS)
    maps, title = weights(2, 3, size, size), " ".join(SCRIPTS)
    style, figures = dict(matplotlib.rcParams), pyplot.get_fignums()
    for figure in (
        attention_plots.all_heads(maps, SCRIPTS, title),
        attention_plots.one_head(maps, SCRIPTS, 1, 2, title),
        attention_plots.attention_lines(maps[0, 0], SCRIPTS, title, query=3),
    ):
        assert png(figure).startswith(b"\x89PNG")
        assert isinstance(figure, plots.Figure)
        assert "<U+E000>" in figure.axes[0].get_title()
    assert "<U+E000>" in labels(figure.axes[1].yaxis)
    assert (dict(matplotlib.rcParams), pyplot.get_fignums()) == (style, figures)

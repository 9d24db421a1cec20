"""Figures of records draw the numbers they were given, with their sign, at any length, and say what they are."""

import dataclasses
import io

import matplotlib
import numpy as np
import pytest
from matplotlib import colors
from matplotlib import pyplot
from matplotlib.backends import backend_agg

from explain import palette
from explain import plots


@pytest.fixture
def signed(build_record):
    """A record of tokens [CLS] not bad straw... [SEP] whose scores differ in sign and size."""
    return build_record(
        "not bad film",
        scores=[2.0, 0.5, -1.0, 0.25, 0.25],
        method="cp_lrp",
        signed=True,
        target="positive",
        layer_scores=np.arange(-7.0, 8.0).reshape(3, 5),
        completeness_gap=-0.0125,
    )


def labels(axis) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def footer(figure) -> str:
    return figure.get_supxlabel().replace("\n", " ")


def title(figure) -> str:
    return figure.axes[0].get_title().replace("\n", " ")


def bars_of(figure):
    """Return the places, heights and colours of the bars, which all stand on 0."""
    bars = figure.axes[0].collections[0]
    corners = np.array([path.vertices[:4] for path in bars.get_paths()])  # from the left foot on
    np.testing.assert_array_equal(corners[:, [0, 3], 1], 0.0)
    np.testing.assert_array_equal(corners[:, 1, 1], corners[:, 2, 1])
    np.testing.assert_allclose(corners[:, 2, 0] - corners[:, 1, 0], 0.8)
    shades = [colors.to_hex(colour) for colour in bars.get_facecolors()]
    return corners[:, 1:3, 0].mean(axis=1), corners[:, 1, 1], shades


def mesh_of(figure):
    """Return the mesh of a figure and its values, rows as drawn from the top."""
    axes = figure.axes[0]
    (mesh,) = axes.collections
    values = np.ma.filled(mesh.get_array(), np.nan)
    return mesh, values if axes.yaxis_inverted() else values[::-1]


def test_bars_are_the_scores_in_reading_order(signed):
    figure = plots.token_importance(signed)
    axes, (places, heights, _) = figure.axes[0], bars_of(figure)
    assert labels(axes.xaxis) == ["not", "bad", "film"]
    assert heights.tolist() == [0.5, -1.0, 0.25]
    np.testing.assert_array_equal(places, [0, 1, 2])
    np.testing.assert_array_equal(axes.get_xticks(), [0, 1, 2])
    low, high = axes.get_ylim()
    assert low == -high  # so that 0 is in the middle
    assert high >= 1.0
    assert [0.0, 0.0] in [list(line.get_ydata()) for line in axes.lines]


def test_bars_towards_are_blue_and_away_orange_by_their_share(signed):
    expected = [palette.diverging(share)[0] for share in (0.5, -1.0, 0.25)]
    assert bars_of(plots.token_importance(signed))[2] == expected


def test_unsigned_bars_have_one_hue_and_begin_at_zero(build_record):
    record = build_record("a film", scores=[0.5, 0.25, 0.125, 0.125])
    figure = plots.token_importance(record)
    assert bars_of(figure)[2] == [palette.sequential(share)[0] for share in (1.0, 0.5)]
    assert figure.axes[0].get_ylim()[0] == 0.0


def test_special_tokens_are_drawn_when_asked_for_or_told_of(signed):
    every = plots.token_importance(signed, special_tokens=True)
    assert labels(every.axes[0].xaxis) == ["[CLS]", "not", "bad", "film", "[SEP]"]
    assert "special tokens" not in footer(every)
    # 2.25 of 4
    assert "56% of all absolute scores lie on special tokens" in footer(
        plots.token_importance(signed)
    )


def test_an_empty_text_is_drawn_by_its_special_tokens(build_record):
    axes = plots.token_importance(build_record("", scores=[0.5, 0.5])).axes[0]
    assert labels(axes.xaxis) == ["[CLS]", "[SEP]"]


def test_no_tokens_are_an_error(signed):
    empty = dataclasses.replace(signed, tokens=(), token_scores=np.zeros(0, np.float32))
    with pytest.raises(ValueError, match="must be a token to draw, got none in 'test-0'"):
        plots.token_importance(empty)


def test_scores_that_are_no_numbers_are_crosses_beside_the_bars(signed):
    scores = np.array([0.0, np.nan, -1.0, np.inf, 0.0], np.float32)
    figure = plots.token_importance(dataclasses.replace(signed, token_scores=scores))
    axes, (places, heights, _) = figure.axes[0], bars_of(figure)
    assert (places.tolist(), heights.tolist()) == ([1.0], [-1.0])
    (crosses,) = [line for line in axes.lines if line.get_marker() == "x"]
    np.testing.assert_array_equal(crosses.get_xydata(), [[0, 0], [2, 0]])
    assert axes.get_legend().get_texts()[0].get_text() == "not finite"
    assert plots.token_importance(signed).axes[0].get_legend() is None


def test_pictures_say_the_answer_target_method_gap_and_cut(signed, build_record):
    for draw in (plots.token_importance, plots.layer_profile):
        figure = draw(dataclasses.replace(signed, truncated=(3, 4)))
        assert title(figure) == "test-0: predicted positive (0.90); cp_lrp for positive"
        start = "blue: towards the target, orange: away from it; completeness gap -0.013; 7 tokens not read"
        assert footer(figure).startswith(start)
    unsigned = plots.token_importance(build_record("film", scores=[0.0, 1.0, 0.0]))
    assert title(unsigned) == "test-0: predicted positive (0.90); average_last_layer_by_head"
    assert footer(unsigned) == "0% of all absolute scores lie on special tokens, not shown"


def test_layers_are_drawn_from_the_input_at_the_bottom_to_the_last_at_the_top(signed):
    figure = plots.layer_profile(signed)
    axes = figure.axes[0]
    mesh, from_top = mesh_of(figure)
    np.testing.assert_array_equal(from_top, signed.layer_scores[::-1])
    assert not axes.yaxis_inverted()
    assert labels(axes.yaxis) == ["embeddings", "after layer 0", "after layer 1"]
    np.testing.assert_array_equal(axes.get_yticks(), [0.5, 1.5, 2.5])
    assert labels(axes.xaxis) == list(signed.tokens)
    assert (mesh.norm.vmin, mesh.norm.vmax) == (-7.0, 7.0)
    for value, share in ((-7.0, -1.0), (0.0, 0.0), (7.0, 1.0)):
        assert colors.to_hex(mesh.to_rgba(value)) == palette.diverging(share)[0]


def test_a_record_without_layers_is_refused_with_what_to_do(signed):
    bare = dataclasses.replace(signed, layer_scores=None)
    with pytest.raises(ValueError, match=r"got none from cp_lrp; .* method_options="):
        plots.layer_profile(bare)


def test_cells_without_a_number_are_grey_and_leave_the_scale_alone(signed):
    layers = signed.layer_scores.copy()  # from -7, which sets the scale, to 7
    layers[0, 1], layers[2, 4] = np.nan, np.inf
    figure = plots.layer_profile(dataclasses.replace(signed, layer_scores=layers))
    mesh, from_top = mesh_of(figure)
    assert mesh.norm.vmax == 7.0
    np.testing.assert_array_equal(np.argwhere(np.isnan(from_top)), [[0, 4], [2, 1]])
    assert colors.to_hex(figure.axes[0].get_facecolor()) == palette.NO_NUMBER
    assert figure.axes[0].get_xlabel() == "grey: the score is not finite"
    assert plots.layer_profile(signed).axes[0].get_xlabel() == ""


def test_each_method_is_a_row_over_its_own_largest_score(signed, build_record):
    rollout = build_record("not bad film", scores=[0.5, 0.25, 0.1, 0.125, 0.025], method="rollout")
    figure = plots.compare_methods([signed, rollout])
    axes = figure.axes[0]
    mesh, from_top = mesh_of(figure)
    np.testing.assert_allclose(from_top, [[0.5, -1.0, 0.25], [1.0, 0.4, 0.5]], rtol=1e-6)
    assert (mesh.norm.vmin, mesh.norm.vmax) == (-1.0, 1.0)
    assert labels(axes.yaxis) == ["cp_lrp, positive (largest 1)", "rollout (largest 0.25)"]
    assert labels(axes.xaxis) == ["not", "bad", "film"]
    assert axes.yaxis_inverted()  # the first record is the top row
    assert figure.axes[1].get_ylabel() == "score / row's largest"


def test_methods_without_signs_are_compared_on_one_hue(build_record):
    record = build_record("not bad film", scores=[0.5, 0.25, 0.125, 0.1, 0.025])
    mesh, _ = mesh_of(plots.compare_methods([record, record]))
    assert mesh.norm.vmin == 0.0
    assert colors.to_hex(mesh.to_rgba(1.0)) == palette.sequential(1.0)[0]


def test_a_row_of_zeros_stays_zeros(signed):
    zeros = dataclasses.replace(signed, scores=np.zeros(3, np.float32))
    _, from_top = mesh_of(plots.compare_methods([zeros]))
    np.testing.assert_array_equal(from_top, [[0.0, 0.0, 0.0]])


def test_only_records_of_one_text_are_compared(signed, build_record):
    with pytest.raises(ValueError, match=r"must be of one text, .* got 'test-0' and 'test-7'"):
        plots.compare_methods([signed, build_record("not bad", guid="test-7")])
    for records in ([], [build_record("")]):
        with pytest.raises(ValueError, match="must be records of a text with words"):
            plots.compare_methods(records)


@pytest.mark.parametrize("length", [3, 510])
def test_pictures_of_any_length_have_a_bounded_size_and_labels_that_do_not_overlap(
    build_record, length
):
    text = " ".join(["word"] * length)
    layers = np.ones((13, length + 2))
    record = build_record(text, signed=True, target="positive", layer_scores=layers)
    for figure, columns in (
        (plots.token_importance(record, special_tokens=True), length + 2),
        (plots.layer_profile(record), length + 2),
        (plots.compare_methods([record] * 3), length),
    ):
        width, height = figure.get_size_inches()
        assert max(width, height) < 51
        ticks = figure.axes[0].get_xticklabels()
        assert len(ticks) == columns
        inches = min(48.0, max(4.0, 0.22 * columns))
        assert ticks[0].get_fontsize() / 72 < inches / columns  # 72 points an inch


@pytest.mark.parametrize(("tokens", "are_named"), [(1728, True), (1729, False)])
def test_labels_below_one_point_are_left_out_and_the_picture_says_so(
    build_record, tokens, are_named
):
    # 48 inches of 72 points, half of them for letters: 1728 points
    text = " ".join(["word"] * (tokens - 2))
    layers = np.ones((2, tokens))
    layers[0, 0] = np.nan
    record = build_record(text, signed=True, target="positive", layer_scores=layers)
    told = "" if are_named else f"{tokens} labels are left out: too small to read"
    bars = plots.token_importance(record, special_tokens=True).axes[0]
    cells = plots.layer_profile(record).axes[0]
    for axes in (bars, cells):
        assert len(axes.get_xticks()) == (tokens if are_named else 0)
    assert bars.get_xlabel() == told
    grey = "grey: the score is not finite"
    assert cells.get_xlabel() == (f"{grey}; {told}" if told else grey)
    assert labels(cells.yaxis) == ["embeddings", "after layer 0"]


def test_all_bars_are_one_drawing_however_many_there_are(build_record):
    # a patch a bar took minutes for the windows of a long text
    scores = np.random.default_rng(3).normal(size=20_002)
    record = build_record(
        " ".join(["word"] * 20_000), scores=scores, signed=True, target="positive"
    )
    figure = plots.token_importance(record)
    axes = figure.axes[0]
    assert len(axes.patches) == 0
    assert len(axes.collections) == 1
    np.testing.assert_array_equal(bars_of(figure)[1], scores[1:-1].astype(np.float32))


def test_a_bar_narrower_than_a_pixel_is_seen_in_its_own_colour(build_record):
    scores = np.zeros(20_002)
    scores[7_000], scores[14_000] = 1.0, -1.0
    record = build_record(
        " ".join(["word"] * 20_000), scores=scores, signed=True, target="positive"
    )
    figure = plots.token_importance(record)
    canvas = backend_agg.FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba()).astype(int)
    spread = pixels[..., 2] - pixels[..., 0]  # of blue over red
    middle = len(pixels) // 2
    assert np.any(spread[:middle] > 40)
    assert np.any(spread[middle:] < -40)


def test_scripts_of_the_world_and_formulas_are_drawn_without_a_warning(build_record):
    text = "電影 😀 👩\u200d🚀 שלום 한 क $\\frac$ _^{ \ue000"
    record = build_record(
        text,
        labels=("$a$", "電影 $\\bad$"),
        gold=None,
        signed=True,
        target="電影 $\\bad$",
        method="$\\mine$",
        guid="😀",
    )
    record = dataclasses.replace(record, layer_scores=np.ones((2, len(record.tokens)), np.float32))
    style, figures = dict(matplotlib.rcParams), pyplot.get_fignums()
    for figure in (
        plots.token_importance(record),
        plots.layer_profile(record),
        plots.compare_methods([record, record]),
    ):
        figure.savefig(io.BytesIO(), format="png", dpi=50)
    assert "<U+E000>" in labels(figure.axes[0].xaxis)
    assert (dict(matplotlib.rcParams), pyplot.get_fignums()) == (style, figures)

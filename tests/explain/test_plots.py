"""The heat map draws the numbers it was given, for any token, without a screen."""

import io
import os
import pathlib
import struct
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot

from explain import plots

TOKENS = ["[CLS]", "not", "bad", "$x$", "##ly", "[SEP]"]


@pytest.fixture
def matrix() -> np.ndarray:
    return np.random.default_rng(5).dirichlet(np.ones(9), size=9).astype(np.float32)


def labels(axis) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def png(figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def test_the_mesh_is_the_matrix_and_the_ticks_are_the_tokens(matrix):
    matrix = matrix[:6, :6]
    axes = plots.attention_heatmap(matrix, TOKENS, "title").axes[0]
    (mesh,) = axes.collections
    np.testing.assert_array_equal(np.reshape(mesh.get_array(), (6, 6)), matrix)
    assert labels(axes.xaxis) == labels(axes.yaxis) == TOKENS
    np.testing.assert_array_equal(axes.get_xticks(), np.arange(6) + 0.5)
    np.testing.assert_array_equal(axes.get_yticks(), np.arange(6) + 0.5)
    assert mesh.norm.vmin == 0.0
    assert mesh.norm.vmax == matrix.max()


def test_layers_to_be_compared_can_share_a_scale(matrix):
    matrix = matrix[:6, :6]
    axes, scale = plots.attention_heatmap(matrix, TOKENS, "title", vmax=0.875).axes
    (mesh,) = axes.collections
    assert (mesh.norm.vmin, mesh.norm.vmax) == (0.0, 0.875)
    np.testing.assert_array_equal(np.reshape(mesh.get_array(), (6, 6)), matrix)
    assert scale.get_ylim() == (0.0, 0.875)  # the scale is printed


def test_the_first_token_is_at_the_top_left_and_axes_say_which_is_which(matrix):
    axes = plots.attention_heatmap(matrix, TOKENS, "my title").axes[0]
    assert axes.yaxis_inverted()
    assert not axes.xaxis_inverted()
    assert axes.get_ylabel() == "attending (query)"
    assert axes.get_xlabel() == "attended to (key)"
    assert axes.get_title() == "my title"


def test_padding_is_left_out(matrix):
    (mesh,) = plots.attention_heatmap(matrix, TOKENS, "title").axes[0].collections
    np.testing.assert_array_equal(np.reshape(mesh.get_array(), (6, 6)), matrix[:6, :6])


def test_lists_and_one_token_will_do():
    (mesh,) = plots.attention_heatmap([[1.0]], ["[CLS]"], "title").axes[0].collections
    assert mesh.get_array().item() == 1.0


@pytest.mark.parametrize("shape", [(5, 5), (6, 9), (9, 6), (7, 9), (2, 6, 6), (6,)])
def test_a_matrix_that_is_not_square_or_too_small_is_an_error(shape):
    with pytest.raises(ValueError, match="square matrix of at least one row a token, got shape"):
        plots.attention_heatmap(np.ones(shape, np.float32), TOKENS, "title")


def test_no_tokens_are_an_error(matrix):
    with pytest.raises(ValueError, match="for 0 tokens"):
        plots.attention_heatmap(matrix, [], "title")


@pytest.mark.parametrize(
    ("character", "code"), [("\ue000", "<U+E000>"), ("\U0010fffd", "<U+10FFFD>")]
)
def test_a_character_that_no_font_has_is_shown_as_its_code_point(matrix, character, code):
    tokens = ["[CLS]", f"a{character}", character, "##b", "c", "[SEP]"]
    figure = plots.attention_heatmap(matrix, tokens, f"title {character}")
    assert labels(figure.axes[0].xaxis) == ["[CLS]", f"a{code}", code, "##b", "c", "[SEP]"]
    assert figure.axes[0].get_title() == f"title {code}"
    assert png(figure)


def test_scripts_of_the_world_and_formulas_are_drawn_without_a_warning(matrix):
    tokens = ["電", "##影", "😀", "👩‍🚀", "שלום", "한", "क", "$\\frac$", "_^{"]
    assert png(plots.attention_heatmap(matrix, tokens, "電影 $\\bad$ 😀"))


def test_a_long_title_is_broken_into_lines_inside_the_figure(matrix):
    figure = plots.attention_heatmap(matrix[:3, :3], TOKENS[:3], "many words " * 12)
    figure.draw_without_rendering()
    box = figure.axes[0].title.get_window_extent()
    assert figure.axes[0].get_title().count("\n") >= 2
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


def test_512_tokens_fit_a_picture_of_bounded_size():
    matrix = np.full((512, 512), 1 / 512, np.float32)
    figure = plots.attention_heatmap(matrix, ["token"] * 512, "title")
    assert max(figure.get_size_inches()) < 50
    label = figure.axes[0].get_xticklabels()[0]
    inches_a_token = 48 / 512
    assert label.get_fontsize() / 72 < inches_a_token  # 72 points an inch: labels do not overlap


def test_the_picture_is_written_without_a_screen(matrix):
    written = png(plots.attention_heatmap(matrix, TOKENS, "title"))
    assert written.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", written[16:24])
    assert width >= 400
    assert height >= 400


def test_importing_the_room_needs_no_screen_and_opens_no_figure():
    code = (
        "from matplotlib import pyplot; from explain import plots; import sys; "
        "f = plots.attention_heatmap([[1.0]], ['a'], 't'); f.savefig(sys.stdout.buffer); "
        "sys.exit(bool(pyplot.get_fignums()))"
    )
    environment = {**os.environ, "MPLBACKEND": "TkAgg"}  # a screen's, were it asked
    environment.pop("DISPLAY", None)
    finished = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=False,
        timeout=120,
        env=environment,
        cwd=pathlib.Path(__file__).parents[2],
    )
    assert finished.returncode == 0, finished.stderr.decode()
    assert finished.stdout.startswith(b"\x89PNG")


def test_drawing_leaves_pyplot_and_the_global_style_alone(matrix):
    figures, style = pyplot.get_fignums(), dict(matplotlib.rcParams)
    png(plots.attention_heatmap(matrix, TOKENS, "title"))
    assert pyplot.get_fignums() == figures
    assert dict(matplotlib.rcParams) == style


def test_a_range_test_shows_every_loss_and_their_bias_corrected_average():
    figure = plots.learning_rate_range(
        [(0.0, 0.8), (0.1, 0.4), (0.2, 90.0), (0.3, np.nan), (0.4, 1)]
    )
    (axes,) = figure.axes
    dots, line = axes.lines
    np.testing.assert_allclose(dots.get_xydata(), [[0.0, 0.8], [0.1, 0.4], [0.2, 90.0]])
    # by hand: (0.9 * 0.08 + 0.04) / 0.19 and (0.9 * 0.112 + 9) / 0.271
    np.testing.assert_allclose(line.get_ydata(), [0.8, 0.112 / 0.19, 9.1008 / 0.271])
    np.testing.assert_allclose(axes.get_ylim(), [0.0, 1.05 * 2.4])
    with pytest.raises(ValueError, match="must have at least one finite loss"):
        plots.learning_rate_range([])

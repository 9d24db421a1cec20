"""Static figures: matplotlib values that the caller shows or saves; nothing global is touched."""

import itertools
import textwrap
from collections.abc import Sequence

import matplotlib.axes
import matplotlib.figure
import numpy as np
import numpy.typing as npt
import seaborn
from matplotlib import font_manager

from explain import palette

Figure = matplotlib.figure.Figure

_INCHES_A_TOKEN = 0.22
_LARGEST_INCHES = (
    48.0  # beyond it labels shrink: 512 tokens at full size are half a gigabyte of pixels
)
# DejaVu Sans comes with matplotlib; the others serve scripts it lacks, where they are installed.
_FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "Arial Unicode MS",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Noto Emoji",
)


def attention_heatmap(
    attention: npt.NDArray[np.float32], tokens: Sequence[str], title: str
) -> Figure:
    """Draw an attention matrix, query tokens down and key tokens across.

    A character that no font here can draw is written as its code point, such as `<U+1F600>`.

    Args:
      attention: float32[q, k], square; rows and columns beyond `tokens` (padding) are left out.

    Raises:
      ValueError: there are no tokens, or the matrix is not square or smaller than the tokens.
    """
    size, shape = len(tokens), np.shape(attention)
    if size == 0 or len(shape) != 2 or shape[0] != shape[1] or shape[0] < size:
        raise ValueError(
            f"attention must be a square matrix of at least one row a token, got shape {shape} for {size} tokens; "
            "use a processor such as average_last_layer_matrix"
        )
    side = min(max(4.0, _INCHES_A_TOKEN * size), _LARGEST_INCHES)
    figure = Figure(figsize=(side + 1.5, side + 1.0), layout="constrained")
    axes = figure.subplots()
    seaborn.heatmap(
        np.asarray(attention)[:size, :size],
        ax=axes,
        cmap=palette.HEATMAP,
        vmin=0.0,
        square=True,
        xticklabels=False,  # seaborn would draw them at once, before they have their fonts
        yticklabels=False,
        cbar=False,
    )
    bar = figure.colorbar(axes.collections[0], ax=axes, shrink=0.6)
    bar.set_label("attention (each row sums to 1)", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    axes.spines[:].set_visible(True)  # the matrix ends in pale cells: show where
    axes.spines[:].set_color(palette.FRAME)
    axes.set_xlabel("attended to (key)", fontsize=9)
    axes.set_ylabel("attending (query)", fontsize=9)
    families = _installed_fonts()
    # Half of a token's share of the side leaves room between labels: 72 points an inch.
    _label(axes, [_drawable(token, families) for token in tokens], families, 0.5 * 72 * side / size)
    # 12: characters of the title's size that fit an inch
    lines = [_drawable(line, families) for line in textwrap.wrap(title, int(12 * side))]
    axes.set_title("\n".join(lines), fontsize=10, family=families, parse_math=False)
    return figure


def learning_rate_range(
    points: Sequence[tuple[float, float]], title: str = "Learning-rate range test"
) -> Figure:
    """Draw the loss against the learning rate: the best rate lies a little before the steepest fall ends.

    Args:
      points: (learning rate, loss) of each step in order, drawn up to the first loss that is no finite number; the
        line is their exponential moving average, 0.9 of the old and bias-corrected.

    Raises:
      ValueError: there are no points.
    """
    finite = list(itertools.takewhile(lambda point: np.isfinite(point[1]), points))
    if not finite:
        raise ValueError("a range test must have at least one finite loss to draw, got none")
    rates, losses = np.array(finite, np.float64).T
    average, smooth = 0.0, []
    for count, loss in enumerate(losses, start=1):
        average = 0.9 * average + 0.1 * loss
        smooth.append(average / (1.0 - 0.9**count))
    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses, ".", markersize=3, color=palette.FRAME, label="loss of a step")
    axes.plot(rates, smooth, color=palette.LINE, label="moving average")
    # a loss that has exploded would flatten everything before it
    axes.set_ylim(0.0, 1.05 * min(np.max(losses), 3.0 * losses[0]))
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss")
    axes.set_title(title, fontsize=10)
    axes.legend(frameon=False, fontsize=9)
    seaborn.despine(figure)
    return figure


def _label(
    axes: matplotlib.axes.Axes, labels: Sequence[str], families: list[str], room: float
) -> None:
    places, points = np.arange(len(labels)) + 0.5, min(8.0, room)
    axes.set_xticks(places, labels, rotation=90, fontsize=points, family=families, parse_math=False)
    axes.set_yticks(places, labels, fontsize=points, family=families, parse_math=False)
    axes.tick_params(length=0)


def _installed_fonts() -> list[str]:
    installed = set(font_manager.fontManager.get_font_names())
    return [name for name in _FONTS if name in installed]


def _drawable(text: str, families: Sequence[str]) -> str:
    fonts = [font_manager.get_font(font_manager.findfont(name)) for name in families]
    return "".join(
        character
        if any(font.get_char_index(ord(character)) for font in fonts)
        else f"<U+{ord(character):04X}>"
        for character in text
    )

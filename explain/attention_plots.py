"""Static figures of the attention of every head: matplotlib values that the caller shows or saves, never shown here.

Takes float32[l, h, q, k], layers and heads counted from 0. Leaves to others: one matrix (`plots.attention_heatmap`),
pages that answer to the mouse (`views`). After: Vig 2019 (BertViz), its model view and head view.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib import collections

from explain import lettering
from explain import palette
from explain import plots

Figure = plots.Figure
Weights = npt.NDArray[np.float32]

_INCHES_OF_ALL = 10.0  # of the longer side of all maps together, as long as none is below an inch
_LARGEST_INCHES = 48.0
_MOST_CELLS = 128  # across a small map: 3 pixels each at 300 dpi and an inch
_WIDEST_POINTS = 8.0  # of a line; labels are 16 points apart


def all_heads(
    attention: Weights, tokens: Sequence[str], title: str, *, vmax: float | None = None
) -> Figure:
    """Draw a small heat map of every head, layers down and heads across, on one scale.

    Of more than 128 tokens, several weights share a cell, which shows the largest of them; the figure tells how many.

    Args:
      attention: float32[l, h, q, k]; rows and columns beyond `tokens` (padding) are left out.
      vmax: the weight at the deep end of the scale, one for pictures to be compared; without it, the largest drawn.

    Raises:
      ValueError: there are no tokens, or the array has another shape or is smaller than the tokens.
    """
    maps = _maps(attention, tokens)
    layers, heads, size, _ = maps.shape
    step = -(-size // _MOST_CELLS)
    cells = _largest_of_squares(maps, step)
    inches = max(1.0, _INCHES_OF_ALL / max(layers, heads, 3))
    width, height = (min(inches * count, _LARGEST_INCHES) for count in (heads, layers))
    figure = Figure(figsize=(max(width, 2.5) + 2.0, height + 1.6), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(
        cells.transpose(0, 2, 1, 3).reshape(layers * cells.shape[2], heads * cells.shape[3]),
        cmap=palette.HEATMAP,
        vmin=0.0,
        vmax=vmax,
        extent=(-0.5, heads - 0.5, layers - 0.5, -0.5),
    )
    axes.set_facecolor(palette.NO_NUMBER)  # seen through the cells that are not finite
    axes.vlines(np.arange(1, heads) - 0.5, -0.5, layers - 0.5, palette.FRAME, linewidth=1.0)
    axes.hlines(np.arange(1, layers) - 0.5, -0.5, heads - 0.5, palette.FRAME, linewidth=1.0)
    axes.spines[:].set_color(palette.FRAME)
    bar = figure.colorbar(picture, ax=axes, shrink=0.6, aspect=15, pad=0.02)
    bar.set_label("attention (each row of a map sums to 1)", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    axes.set_xlabel("head; in each map: attended to (key)", fontsize=9)
    axes.set_ylabel("layer; in each map: attending (query)", fontsize=9)
    lettering.label_ticks(axes.xaxis, np.arange(heads), [*map(str, range(heads))], width)
    lettering.label_ticks(axes.yaxis, np.arange(layers), [*map(str, range(layers))], height)
    shared = f"; a cell is the largest of {step} x {step} weights" if step > 1 else ""
    figure.supxlabel(f"{size} tokens{shared}", fontsize=8)
    lettering.set_title(axes, title, max(width, 2.5))
    return figure


def one_head(
    attention: Weights,
    tokens: Sequence[str],
    layer: int,
    head: int,
    title: str,
    *,
    vmax: float | None = None,
) -> Figure:
    """Draw the attention of one head as `plots.attention_heatmap` does.

    Raises:
      ValueError: the array has another shape or is smaller than the tokens, or there is no such layer or head.
    """
    maps = _maps(attention, tokens)
    for name, chosen, count in (("layer", layer, len(maps)), ("head", head, maps.shape[1])):
        _require_place(name, chosen, count)
    named = f"{title}: layer {layer}, head {head}"
    return plots.attention_heatmap(maps[layer, head], tokens, named, vmax=vmax)


def attention_lines(
    attention: Weights,
    tokens: Sequence[str],
    title: str,
    *,
    query: int = 0,
    vmax: float | None = None,
) -> Figure:
    """Draw what one token attends to: a line to every token, as wide as its weight is large.

    Args:
      attention: float32[q, k], of one head or a mean of several; rows and columns beyond `tokens` are left out.
      query: place of the token that attends, 0 being [CLS].
      vmax: the weight of a line of 8 points, one for pictures to be compared; without it, the largest drawn.

    Raises:
      ValueError: there are no tokens or no such token, or the matrix is not square or smaller than the tokens.
    """
    matrix, size = plots.without_padding(attention, tokens), len(tokens)
    _require_place("query", query, size)
    is_finite = np.isfinite(matrix[query])
    weights = np.where(is_finite, matrix[query], 0.0)
    widest = (float(weights.max()) if vmax is None else vmax) or 1.0
    places = np.arange(size)
    height = min(max(1.0, 0.22 * size), _LARGEST_INCHES)
    longest = max(map(len, lettering.written(tokens)))
    # two columns of names of 8 points at most, a letter being hardly wider than 0.1 inches
    width = min(4.0 + 0.2 * longest, _LARGEST_INCHES)
    figure = Figure(figsize=(width, height + 1.5), layout="constrained")
    left = figure.subplots()
    right = left.twinx()
    from_to = [np.array([[0.0, query], [1.0, place]]) for place in places]
    widths = _WIDEST_POINTS * weights / widest
    lines = collections.LineCollection(from_to, linewidths=widths, colors=palette.LINE, alpha=0.6)
    left.add_collection(lines, autolim=False)
    left.plot(0.0, query, "o", color=palette.LINE, clip_on=False)
    for axes, meaning in ((left, "attending (query)"), (right, "attended to (key)")):
        axes.set_ylabel(meaning, fontsize=9)
        lettering.label_ticks(axes.yaxis, places, tokens, height)
        axes.set_ylim(size - 0.5, -0.5)
        axes.spines[:].set_visible(False)
    left.set_xlim(0.0, 1.0)
    left.set_xticks([])
    lettering.set_title(left, title, 4.0)
    told = "" if is_finite.all() else f"; {np.sum(~is_finite)} weights are not finite"
    figure.supxlabel(f"{_WIDEST_POINTS:g} points wide: attention {widest:.2g}{told}", fontsize=8)
    return figure


def _maps(attention: Weights, tokens: Sequence[str]) -> Weights:
    """Return the maps without their padding.

    Raises:
      ValueError: they are no maps of heads, or smaller than the tokens.
    """
    size, shape = len(tokens), np.shape(attention)
    is_square = len(shape) == 4 and shape[2] == shape[3] and 0 not in shape
    if not is_square or not 0 < size <= shape[3]:
        raise ValueError(
            "attention must be layers x heads of square matrices of at least one row a token, got shape "
            f"{shape} for {size} tokens; use the processor all_layers"
        )
    return np.asarray(attention)[:, :, :size, :size]


def _require_place(name: str, place: int, count: int) -> None:
    if not 0 <= place < count:
        raise ValueError(f"{name} must be from 0 to {count - 1}, got {place}; choose one of these")


def _largest_of_squares(maps: Weights, step: int) -> Weights:
    layers, heads, size, _ = maps.shape
    cells = -(-size // step)
    missing = (0, cells * step - size)
    whole = np.pad(maps, ((0, 0), (0, 0), missing, missing))
    largest: Weights = whole.reshape(layers, heads, cells, step, cells, step).max(axis=(3, 5))
    return largest

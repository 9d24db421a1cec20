"""Static figures of an evaluation: matplotlib values that the caller shows or saves; nothing global is touched.

Takes numbers that are already made (`corpus`, `accuracy`, `faithfulness`); pictures of one text are in `plots`.
Bands and bars are intervals of 95 %. Blue is what the figure is about, dashed orange what it is to be compared with.
"""

import math
from collections.abc import Mapping, Sequence

import matplotlib.axes
import matplotlib.colors
import matplotlib.figure
import numpy as np
import numpy.typing as npt
import seaborn

from explain import accuracy
from explain import corpus
from explain import lettering
from explain import palette
from explain import statistics

Axes = matplotlib.axes.Axes
Figure = matplotlib.figure.Figure
Interval = statistics.Interval
Numbers = npt.NDArray[np.float64]

_LARGEST_INCHES = 48.0
_FLOOR = palette.diverging(-1.0)[0]
_BAND = 0.2  # opacity: bands that overlap must both be seen


def deletion_curves(
    curves: Mapping[str, Numbers],
    places: Sequence[float] | Numbers,
    floor: Numbers | None = None,
    *,
    title: str,
    x_label: str = "share of words removed",
    y_label: str = "probability of the predicted class",
    seed: int = 0,
) -> Figure:
    """Draw the mean curve of each method in a panel of its own, the others pale behind it for comparison.

    A panel each, for more than a handful of curves in one cannot be told apart, least of all without colours.

    Args:
      curves: method: float[n, k], one row a text; NaN where a text says nothing.
      places: float[k], how much is removed.
      floor: float[n, k], the mean over random rankings of each text.

    Raises:
      ValueError: there are no curves, or one does not have a number for each place.
    """
    every = [*curves.values(), *([] if floor is None else [floor])]
    if not curves or any(np.ndim(rows) != 2 or np.shape(rows)[1] != len(places) for rows in every):
        raise ValueError(
            f"curves must hold a row a text and a number for each of {len(places)} places, got shapes "
            f"{[np.shape(rows) for rows in every]}"
        )
    means = {name: _bands(rows, seed) for name, rows in curves.items()}
    base = None if floor is None else _bands(floor, seed)
    columns = min(len(curves), 4)
    rows = math.ceil(len(curves) / columns)
    figure = Figure(figsize=(max(4.5, 2.6 * columns), 2.3 * rows + 1.2), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, (name, band) in zip(panels, means.items(), strict=False):
        for other in (other for other in means if other != name):
            axes.plot(places, means[other][0], color=palette.FRAME, linewidth=0.7, zorder=1)
        if base is not None:
            _draw_band(axes, places, base, _FLOOR, "--", "random ranking")
        _draw_band(axes, places, band, palette.LINE, "-", "this method")
        axes.tick_params(labelsize=8, labelbottom=True)
        axes.set_xlabel(x_label, fontsize=8)
        lettering.set_title(axes, name, 2.2)
    for axes in panels[len(means) :]:
        axes.set_axis_off()
    if len(means) > 1:
        panels[0].plot([], [], color=palette.FRAME, linewidth=0.7, label="the other methods")
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    seaborn.despine(figure)
    figure.supylabel(y_label, fontsize=9)
    lettering.set_figure_title(figure, title)
    return figure


def method_comparison(
    scores: Mapping[str, Interval], floor: Interval | None = None, *, title: str, x_label: str
) -> Figure:
    """Draw a dot and an interval for each method, in the order given, and the floor of random rankings as a line.

    Raises:
      ValueError: there are no methods.
    """
    _require(scores, "a method to compare")
    height = 0.28 * len(scores)
    figure = Figure(figsize=(6.5, min(height + 1.3, _LARGEST_INCHES)), layout="constrained")
    axes = figure.subplots()
    if floor is not None:
        axes.axvspan(floor.low, floor.high, color=_FLOOR, alpha=_BAND, linewidth=0)
        axes.axvline(floor.mean, color=_FLOOR, linestyle="--", label="random ranking")
        figure.legend(loc="outside lower right", frameon=False, fontsize=8)
    _draw_dots(axes, list(scores.values()))
    lettering.label_ticks(axes.yaxis, np.arange(len(scores)), list(scores), height)
    axes.set_ylim(len(scores) - 0.4, -0.6)
    axes.grid(axis="x", color=palette.FRAME, linewidth=0.4)
    axes.set_xlabel(x_label, fontsize=9)
    axes.tick_params(axis="x", labelsize=8)
    lettering.set_title(axes, title, 4.5)
    seaborn.despine(figure, left=True)
    return figure


def word_table(table: corpus.WordTable, *, title: str, x_label: str = "mean score") -> Figure:
    """Draw the words with the highest means on the left and with the lowest on the right, with their counts.

    Raises:
      ValueError: the table is empty.
    """
    _require(table.top, "a word to draw")
    parts = [part for part in (table.top, table.bottom) if part]
    longest = max(len(part) for part in parts)
    height = min(0.2 * longest, _LARGEST_INCHES)
    figure = Figure(figsize=(4.6 * len(parts), height + 1.5), layout="constrained")
    panels = figure.subplots(1, len(parts), squeeze=False).ravel()
    largest = max(abs(row.score.mean) for part in parts for row in part) or 1.0
    ends = [_hull([row.score for row in part]) for part in parts]
    # one scale: what drives a class hard and what hardly speaks against it must not look alike
    span = 1.05 * max(high - low for low, high in ends) or 1.0
    for axes, part, (low, high), kind in zip(
        panels, parts, ends, ("highest", "lowest"), strict=False
    ):
        places = np.arange(len(part))
        axes.barh(
            places,
            [row.score.mean for row in part],
            color=[palette.diverging(row.score.mean / largest)[0] for row in part],
            edgecolor=palette.LINE,
            linewidth=0.4,
        )
        _draw_dots(axes, [row.score for row in part], "none", palette.BLACK)
        axes.axvline(0.0, color=palette.BLACK, linewidth=0.8)
        labels = [f"{row.word} ({row.score.n})" for row in part]
        lettering.label_ticks(axes.yaxis, places, labels, height * len(part) / longest)
        axes.set_ylim(longest - 0.4, -0.6)
        axes.set_xlim((low, low + span) if high > -low else (high - span, high))
        axes.set_xlabel(x_label, fontsize=9)
        axes.tick_params(axis="x", labelsize=8)
        lettering.set_title(axes, f"{kind} (in brackets: occurrences)", 3.5)
    seaborn.despine(figure, left=True)
    lettering.set_figure_title(figure, title)
    return figure


def correlation_grid(grid: corpus.Grid, *, title: str, meaning: str, counted: str) -> Figure:
    """Draw correlations from -1 to 1 as a heat map with the numbers in it, and in small what each rests on.

    Args:
      meaning: what the numbers are, such as "Spearman correlation, mean over texts".
      counted: what they rest on, such as "texts".
    """
    size = len(grid.names)
    _require(grid.names, "something to correlate")
    side = max(2.5, 0.62 * size)
    figure = Figure(figsize=(side + 3.0, side + 2.0), layout="constrained")
    axes = figure.subplots()
    _draw_mesh(axes, grid.values, meaning, -1.0, 1.0)
    for row, column in np.ndindex(size, size):
        value, told = grid.values[row, column], _written(grid, row, column)
        ink = palette.diverging(value)[1] if np.isfinite(value) else palette.BLACK
        place = column + 0.5, row + 0.5
        axes.text(*place, told, ha="center", va="center", fontsize=6.5, color=ink)
    axes.invert_yaxis()
    places = np.arange(size) + 0.5
    lettering.label_ticks(axes.xaxis, places, grid.names, side, rotation=90)
    lettering.label_ticks(axes.yaxis, places, grid.names, side)
    axes.set_xlabel(f"below each number: {counted} that it rests on", fontsize=8)
    lettering.set_title(axes, title, side)
    return figure


def word_pairs(means: Mapping[str, Mapping[str, float]], *, title: str) -> Figure:
    """Draw the mean scores of the words that two data sets share against each other, for every two.

    On the diagonal are the scores of all words of a data set, above it Pearson's r and the number of shared words.

    Raises:
      ValueError: there are no data sets.
    """
    _require(means, "a data set to draw")
    size, grid = len(means), corpus.dataset_correlation(means)
    figure = Figure(figsize=(1.9 * size + 0.8, 1.9 * size + 0.8), layout="constrained")
    panels = figure.subplots(size, size, squeeze=False)
    for row, (name, ours) in enumerate(means.items()):
        for column, (other, theirs) in enumerate(means.items()):
            axes = panels[row, column]
            if row == column:
                axes.hist(list(ours.values()), bins=30, color=palette.LINE)
                axes.set_yticks([])
            elif row > column:
                shared = sorted(ours.keys() & theirs.keys())
                across, up = ([words[word] for word in shared] for words in (theirs, ours))
                # thousands of dots: as pixels, also in a PDF
                axes.plot(across, up, ".", color=palette.LINE, alpha=0.4, ms=3, rasterized=True)
            else:
                told = f"r = {_written(grid, row, column)} words"
                axes.text(0.5, 0.5, told, ha="center", va="center", transform=axes.transAxes)
                axes.set_axis_off()
            axes.tick_params(labelsize=7)
            if row == size - 1:
                axes.set_xlabel(other, fontsize=9, parse_math=False)
            if column == 0:
                axes.set_ylabel(name, fontsize=9, parse_math=False)
    seaborn.despine(figure)
    figure.supxlabel("mean score of a word", fontsize=9)
    lettering.set_figure_title(figure, title)
    return figure


def head_importance(importance: Numbers, *, title: str, meaning: str = "importance") -> Figure:
    """Draw float[l, h], the mean importance of every head, the first layer at the bottom."""
    layers, heads = np.shape(importance)
    width, height = max(3.0, 0.4 * heads), max(1.5, 0.4 * layers)
    figure = Figure(figsize=(width + 2.0, height + 1.2), layout="constrained")
    axes = figure.subplots()
    largest = float(np.nanmax(np.abs(importance)))
    lowest = -largest if np.nanmin(importance) < 0 else 0.0
    _draw_mesh(axes, importance, meaning, lowest, largest)
    lettering.label_ticks(axes.xaxis, np.arange(heads) + 0.5, [*map(str, range(heads))], width)
    lettering.label_ticks(axes.yaxis, np.arange(layers) + 0.5, [*map(str, range(layers))], height)
    axes.set_xlabel("head", fontsize=9)
    axes.set_ylabel("layer", fontsize=9)
    lettering.set_title(axes, title, width)
    return figure


def layer_profile(profile: Sequence[corpus.LayerShare], *, title: str) -> Figure:
    """Draw how much relevance lies in each layer, and how much of that on special tokens, the input at the bottom.

    Raises:
      ValueError: there are no layers.
    """
    _require(profile, "a layer to draw")
    height = max(1.5, 0.28 * len(profile))
    figure = Figure(figsize=(7.5, height + 1.5), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    meanings = ("share of all relevance", "on special tokens (share of the layer)")
    for axes, meaning, shares in zip(
        panels,
        meanings,
        zip(*((row.share, row.special) for row in profile), strict=True),
        strict=True,
    ):
        _draw_dots(axes, shares, "-o")
        axes.set_xlim(left=0.0)
        axes.set_xlabel(meaning, fontsize=9)
        axes.tick_params(axis="x", labelsize=8)
        axes.grid(axis="x", color=palette.FRAME, linewidth=0.4)
    names = ["embeddings", *(f"after layer {row.layer - 1}" for row in profile[1:])]
    lettering.label_ticks(panels[0].yaxis, np.arange(len(profile)), names, height)
    seaborn.despine(figure, left=True)
    lettering.set_figure_title(figure, title)
    return figure


def reliability_diagram(bins: Sequence[accuracy.ReliabilityBin], *, title: str) -> Figure:
    """Draw accuracy against confidence, and below it how many predictions have that confidence.

    Raises:
      ValueError: there are no bins.
    """
    _require(bins, "a bin to draw")
    figure = Figure(figsize=(4.8, 5.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    confidence = np.array([row.confidence for row in bins])
    right = np.array([row.accuracy for row in bins])
    ends = np.abs(np.array([[row.low, row.high] for row in bins]).T - right)
    upper.plot([0, 1], [0, 1], "--", color=_FLOOR, label="confidence = accuracy")
    upper.errorbar(
        confidence, right, ends, fmt="o", color=palette.LINE, ms=4, lw=1, label="this model"
    )
    upper.set_ylim(-0.02, 1.02)
    upper.set_ylabel("accuracy", fontsize=9)
    upper.legend(frameon=False, fontsize=8)
    lower.vlines(confidence, 0, [row.examples for row in bins], color=palette.LINE, linewidth=4)
    lower.set_ylim(bottom=0)
    lower.set_ylabel("examples", fontsize=9)
    lower.set_xlabel("confidence (probability of the predicted class)", fontsize=9)
    lower.set_xlim(0.0, 1.02)
    for axes in (upper, lower):
        axes.tick_params(labelsize=8)
    lettering.set_title(upper, title, 3.8)
    seaborn.despine(figure)
    return figure


def _require(content: object, what: str) -> None:
    if not content:
        raise ValueError(f"there must be {what}, got none; evaluate at least one")


def _written(grid: corpus.Grid, row: int, column: int) -> str:
    value = grid.values[row, column]
    text = f"{value:.2f}" if np.isfinite(value) else "none"
    return f"{text}\n{grid.counts[row, column]}"


def _bands(rows: Numbers, seed: int) -> Numbers:
    """Return the mean and the ends of its interval, float[3, k]."""
    return np.transpose(
        [statistics.bootstrap_mean(values, seed)[:3] for values in np.transpose(rows)]
    )


def _draw_band(
    axes: Axes, places: Sequence[float] | Numbers, band: Numbers, colour: str, line: str, name: str
) -> None:
    mean, low, high = band
    axes.fill_between(places, low, high, color=colour, alpha=_BAND, linewidth=0)
    axes.plot(places, mean, line, color=colour, linewidth=1.4, label=name)


def _hull(scores: Sequence[Interval]) -> tuple[float, float]:
    """Return the ends of what the intervals and 0 cover."""
    return min(0.0, *(score.low for score in scores)), max(0.0, *(score.high for score in scores))


def _draw_dots(
    axes: Axes, scores: Sequence[Interval], form: str = "o", colour: str = palette.LINE
) -> None:
    """Draw means across and intervals as bars, one below the other."""
    mean, low, high = np.array([score[:3] for score in scores]).T
    # of numbers that are all one, the ends may lie a rounding inside
    ends = np.maximum(0.0, (mean - low, high - mean))
    places = np.arange(len(scores))
    axes.errorbar(mean, places, xerr=ends, fmt=form, color=colour, ms=4, lw=1, capsize=2)


def _draw_mesh(axes: Axes, values: Numbers, meaning: str, lowest: float, largest: float) -> None:
    colour = palette.diverging if lowest < 0 else palette.sequential
    shades = [colour(share)[0] for share in np.linspace(-1.0 if lowest < 0 else 0.0, 1.0, 201)]
    scale = matplotlib.colors.ListedColormap(shades)
    mesh = axes.pcolormesh(values, cmap=scale, vmin=lowest, vmax=largest)
    axes.set_facecolor(palette.NO_NUMBER)  # seen through the cells that have no number
    bar = axes.figure.colorbar(mesh, ax=axes, aspect=15, pad=0.02)
    bar.set_label(meaning, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    axes.spines[:].set_color(palette.FRAME)

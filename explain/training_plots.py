"""Static figures of a training and of its answers: matplotlib values that the caller shows or saves.

Takes numbers that are already read (`bert.training_log`); figures of explanations are in the other rooms of plots.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import matplotlib.axes
import matplotlib.colors
import matplotlib.figure
import numpy as np
import numpy.typing as npt
import seaborn

from explain import lettering
from explain import palette

Figure = matplotlib.figure.Figure
Curves: TypeAlias = Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]
"""Measure: data set: (step, value) of each measurement."""

_LINES = tuple(zip(palette.HEADS, "os^D", ("-", "--", "-.", ":"), strict=True))
_MOST_MARKERS = 60  # on a line: more run into each other
_LEAST_INCHES = 0.2  # of a cell with numbers in it
_INCHES_A_CLASS, _LARGEST_INCHES = 0.75, 20.0


def training_curves(curves: Curves, title: str) -> Figure:
    """Draw what was measured in the course of a training: a panel a measure, a line a data set.

    What was measured once is a mark without a line. A line is broken where the value is no finite number.

    Args:
      curves: as `training_log.curves` returns them; measures and data sets without a measurement are left out.

    Raises:
      ValueError: nothing was measured.
    """
    shown = {
        measure: {name: points for name, points in of_sets.items() if len(points)}
        for measure, of_sets in curves.items()
        if any(len(points) for points in of_sets.values())
    }
    if not shown:
        raise ValueError("there must be a measurement to draw, got none; train first")
    sets = dict.fromkeys(name for of_sets in shown.values() for name in of_sets)
    lines = dict(zip(sets, itertools.cycle(_LINES), strict=False))
    figure = Figure(figsize=(4.2 * len(shown), 3.8), layout="constrained")
    panels = figure.subplots(1, len(shown), sharex=True, squeeze=False).ravel()
    for axes, (measure, of_sets) in zip(panels, shown.items(), strict=True):
        for name, points in of_sets.items():
            colour, marker, line = lines[name]
            axes.plot(
                *np.array(points, np.float64).T,
                color=colour,
                linestyle=line,
                linewidth=1.4,
                marker=marker if len(points) <= _MOST_MARKERS else None,
                markersize=3 if len(points) > 1 else 6,
                label=name,
            )
        axes.set_xlabel("training step", fontsize=9)
        lettering.set_label(axes.yaxis, measure)
        axes.tick_params(labelsize=8)
        axes.grid(axis="y", color=palette.FRAME, linewidth=0.4)
        lettering.set_legend(axes)
    seaborn.despine(figure)
    lettering.set_figure_title(figure, title)
    return figure


def confusion_matrix(counts: npt.NDArray[np.int64], labels: Sequence[str], title: str) -> Figure:
    """Draw how many examples of each true class got which answer, and which share of that class they are.

    A class without examples has no shares and is grey. Where the cells of many classes are too small for numbers, they
    are left out, and the figure says so.

    Args:
      counts: integer[c, c], rows the true class, columns the predicted one, as scikit-learn has it.
      labels: names of the classes in class order.

    Raises:
      ValueError: there are no labels, or the counts are not a row and a column a label, or below 0.
    """
    counts, size = np.asarray(counts), len(labels)
    if not size or counts.shape != (size, size) or np.any(counts < 0):
        raise ValueError(
            f"counts must be a row and a column of numbers from 0 for each of {size} labels, got shape {counts.shape}; "
            "count with sklearn.metrics.confusion_matrix(gold, predicted, labels=range(len(labels)))"
        )
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    side = min(max(2.2, _INCHES_A_CLASS * size), _LARGEST_INCHES)
    figure = Figure(figsize=(side + 2.6, side + 1.8), layout="constrained")
    axes = figure.subplots()
    shades = [palette.sequential(share)[0] for share in np.linspace(0.0, 1.0, 201)]
    scale = matplotlib.colors.ListedColormap(shades)
    mesh = axes.pcolormesh(shares, cmap=scale, vmin=0.0, vmax=1.0)
    axes.set_facecolor(palette.NO_NUMBER)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.spines[:].set_color(palette.FRAME)
    bar = figure.colorbar(mesh, ax=axes, shrink=0.8, aspect=15, pad=0.02)
    bar.set_label("share of the true class", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    axes.set_xlabel("predicted", fontsize=9)
    axes.set_ylabel("true", fontsize=9)
    if side / size < _LEAST_INCHES:
        axes.set_xlabel("predicted; numbers are left out: too small to read", fontsize=9)
    else:
        _write_counts(axes, counts, shares, min(8.0, 72 * side / size / 6))
    places = np.arange(size) + 0.5
    lettering.label_ticks(axes.xaxis, places, labels, side, rotation=90)
    lettering.label_ticks(axes.yaxis, places, labels, side)
    lettering.set_title(axes, title, side)
    return figure


def _write_counts(
    axes: matplotlib.axes.Axes,
    counts: npt.NDArray[np.int64],
    shares: npt.NDArray[np.float64],
    points: float,
) -> None:
    for (row, column), count in np.ndenumerate(counts):
        share = shares[row, column]
        is_known = np.isfinite(share)
        axes.text(
            column + 0.5,
            row + 0.5,
            f"{count}\n{share:.0%}" if is_known else f"{count}",
            ha="center",
            va="center",
            fontsize=points,
            color=palette.sequential(share)[1] if is_known else palette.BLACK,
        )

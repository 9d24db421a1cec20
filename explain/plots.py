"""Static figures: matplotlib values that the caller shows or saves; nothing global is touched.

Signed scores are blue towards the target and orange away from it, 0 in the middle of the scale; scores that are no
finite numbers are grey crosses or grey cells.
"""

import itertools
import textwrap
from collections.abc import Sequence

import matplotlib.axes
import matplotlib.colors
import matplotlib.figure
import numpy as np
import numpy.typing as npt
import seaborn
from matplotlib import collections

from bert import tokenization
from explain import explanation as explanation_lib
from explain import lettering
from explain import palette

Figure = matplotlib.figure.Figure

_INCHES_A_TOKEN = 0.22
_LARGEST_INCHES = 48.0  # labels shrink beyond: 512 tokens at full size are half a gigabyte


def attention_heatmap(
    attention: npt.NDArray[np.float32],
    tokens: Sequence[str],
    title: str,
    *,
    vmax: float | None = None,
) -> Figure:
    """Draw an attention matrix, query tokens down and key tokens across.

    A character that no font here can draw is written as its code point, such as `<U+1F600>`.

    Args:
      attention: float32[q, k], square; rows and columns beyond `tokens` (padding) are left out.
      vmax: the weight at the deep end of the scale, one for pictures to be compared; without it, the largest drawn.

    Raises:
      ValueError: there are no tokens, or the matrix is not square or smaller than the tokens.
    """
    weights, size = without_padding(attention, tokens), len(tokens)
    side = min(max(4.0, _INCHES_A_TOKEN * size), _LARGEST_INCHES)
    figure = Figure(figsize=(side + 1.5, side + 1.0), layout="constrained")
    axes = figure.subplots()
    seaborn.heatmap(
        weights,
        ax=axes,
        cmap=palette.HEATMAP,
        vmin=0.0,
        vmax=vmax,
        square=True,
        xticklabels=False,  # seaborn would draw them at once, before they have their fonts
        yticklabels=False,
        cbar=False,
    )
    _finish_mesh(axes, "attention (each row sums to 1)", shrink=0.6)
    axes.set_xlabel("attended to (key)", fontsize=9)
    axes.set_ylabel("attending (query)", fontsize=9)
    lettering.label_ticks(axes.xaxis, np.arange(size) + 0.5, tokens, side, rotation=90)
    lettering.label_ticks(axes.yaxis, np.arange(size) + 0.5, tokens, side)
    lettering.set_title(axes, title, side)
    return figure


def without_padding(
    attention: npt.NDArray[np.float32], tokens: Sequence[str]
) -> npt.NDArray[np.float32]:
    """Return the rows and columns of the tokens, which come first.

    Raises:
      ValueError: there are no tokens, or the matrix is not square or smaller than the tokens.
    """
    size, shape = len(tokens), np.shape(attention)
    if size == 0 or len(shape) != 2 or shape[0] != shape[1] or shape[0] < size:
        raise ValueError(
            f"attention must be a square matrix of at least one row a token, got shape {shape} for {size} tokens; "
            "use a processor such as average_last_layer_matrix"
        )
    return np.asarray(attention)[:size, :size]


def token_importance(
    record: explanation_lib.Explanation, *, special_tokens: bool = False
) -> Figure:
    """Draw a bar for the score of every token as the model read it.

    Args:
      special_tokens: draw [CLS] and [SEP] too; an empty text has no others, and is drawn with them.

    Raises:
      ValueError: there are no tokens.
    """
    kinds = [special_tokens or not tokenization.is_special(token) for token in record.tokens]
    shown = np.flatnonzero(kinds) if any(kinds) else np.arange(len(kinds))
    if not len(shown):
        raise ValueError(f"there must be a token to draw, got none in {record.guid!r}")
    scores, places = record.token_scores[shown], np.arange(len(shown), dtype=np.float64)
    largest, shares = _shares(scores)
    is_finite = np.isfinite(scores)
    figure, axes, (width, _) = _wide_figure(len(shown), rows=12)
    left, heights = places[is_finite] - 0.4, scores[is_finite]
    across = np.stack([left, left, left + 0.8, left + 0.8], axis=1)
    up = heights[:, None] * np.array([0.0, 1.0, 1.0, 0.0])
    # one collection: 20,000 bars by themselves take longer than all the rest
    bars = collections.PolyCollection(
        np.stack([across, up], axis=2),
        facecolors=[_colour(share, record.signed) for share in shares[is_finite]],
        # the palest bars are as pale as the page; of bars that have no width left, nothing but the edge is seen
        edgecolors=palette.LINE if 72 * width / len(shown) > 2 else "face",
        linewidths=0.4,
    )
    axes.add_collection(bars, autolim=False)
    if not np.all(is_finite):
        crosses = np.zeros(np.sum(~is_finite))
        axes.plot(places[~is_finite], crosses, "x", color=palette.NO_NUMBER, label="not finite")
        axes.legend(frameon=False, fontsize=8)
    axes.axhline(0.0, color=palette.BLACK, linewidth=0.8)
    lettering.label_ticks(
        axes.xaxis, places, [record.tokens[index] for index in shown], width, rotation=90
    )
    axes.set_xlim(-0.6, len(shown) - 0.4)
    # a scale of its own sign only would hide where 0 lies
    lowest = -1.08 * largest if record.signed else 0.0
    axes.set_ylim(lowest, 1.08 * (largest or 1.0))
    axes.set_ylabel("score of a token", fontsize=9)
    axes.tick_params(axis="y", labelsize=8)
    seaborn.despine(figure, bottom=True)
    has_share = len(shown) < len(kinds) and np.isfinite(record.special_share)
    special = f"{record.special_share:.0%} of all absolute scores lie on special tokens, not shown"
    _tell(axes, record, width, special if has_share else "")
    return figure


def layer_profile(record: explanation_lib.Explanation) -> Figure:
    """Draw the relevance of every token where it enters layer 0 and after every layer, the input at the bottom.

    Raises:
      ValueError: the record has no layer scores.
    """
    if record.layer_scores is None:
        raise ValueError(
            f"the record must hold layer_scores, got none from {record.method}; explain with a method that follows "
            'layers, as method_options={"cp_lrp": {"layers": True}} asks'
        )
    layers, tokens = record.layer_scores.shape
    figure, axes, (width, height) = _wide_figure(tokens, rows=layers)
    largest, _ = _shares(record.layer_scores)
    _draw_mesh(axes, record.layer_scores, record.signed, "relevance", largest)
    lettering.label_ticks(axes.xaxis, np.arange(tokens) + 0.5, record.tokens, width, rotation=90)
    names = ["embeddings", *(f"after layer {layer}" for layer in range(layers - 1))]
    lettering.label_ticks(axes.yaxis, np.arange(layers) + 0.5, names, height)
    _tell(axes, record, width)
    return figure


def compare_methods(records: Sequence[explanation_lib.Explanation]) -> Figure:
    """Draw the word scores of several methods or targets for one text, a row each.

    Every row is divided by its own largest absolute score, which its name tells: only patterns can be compared.

    Raises:
      ValueError: there are no records, they are not of one text, or the text has no words.
    """
    if not records or not records[0].words:
        raise ValueError("there must be records of a text with words to compare, got none")
    first = records[0]
    for record in records:
        if (record.texts, record.words) != (first.texts, first.words):
            raise ValueError(
                f"records must be of one text, read alike, to be compared; got {first.guid!r} and {record.guid!r}; "
                "compare those of each text by themselves"
            )
    sizes, rows = zip(*(_shares(record.scores) for record in records), strict=True)
    figure, axes, (width, height) = _wide_figure(len(first.words), rows=len(records))
    is_signed = any(record.signed for record in records)
    _draw_mesh(axes, np.stack(rows), is_signed, "score / row's largest")
    axes.invert_yaxis()
    texts = [word.text for word in first.words]
    lettering.label_ticks(axes.xaxis, np.arange(len(texts)) + 0.5, texts, width, rotation=90)
    names = [
        f"{record.method}{', ' if record.target else ''}{record.target} (largest {size:.3g})"
        for record, size in zip(records, sizes, strict=True)
    ]
    lettering.label_ticks(axes.yaxis, np.arange(len(names)) + 0.5, names, height)
    lettering.set_title(axes, _answer(first), width)
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


def _wide_figure(
    columns: int, rows: int
) -> tuple[Figure, matplotlib.axes.Axes, tuple[float, float]]:
    """Return a figure, its axes, and the inches that all columns and all rows have."""
    width = min(max(4.0, _INCHES_A_TOKEN * columns), _LARGEST_INCHES)
    height = min(max(1.0, _INCHES_A_TOKEN * rows), _LARGEST_INCHES)
    figure = Figure(figsize=(width + 2.5, height + 2.0), layout="constrained")
    return figure, figure.subplots(), (width, height)


def _draw_mesh(
    axes: matplotlib.axes.Axes,
    values: npt.NDArray[np.float32],
    is_signed: bool,
    meaning: str,
    largest: float = 1.0,
) -> None:
    lowest = -1.0 if is_signed else 0.0
    shades = [_colour(share, is_signed) for share in np.linspace(lowest, 1.0, 201)]
    scale = matplotlib.colors.ListedColormap(shades)
    limit = largest or 1.0
    axes.pcolormesh(values, cmap=scale, vmin=lowest * limit, vmax=limit)
    axes.set_facecolor(palette.NO_NUMBER)  # seen through the cells that are not finite
    if not np.all(np.isfinite(values)):
        axes.set_xlabel("grey: the score is not finite", fontsize=8)
    _finish_mesh(axes, meaning)


def _finish_mesh(axes: matplotlib.axes.Axes, meaning: str, shrink: float = 1.0) -> None:
    bar = axes.figure.colorbar(axes.collections[0], ax=axes, shrink=shrink, aspect=15, pad=0.02)
    bar.set_label(meaning, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    axes.spines[:].set_visible(True)  # the matrix ends in pale cells: show where
    axes.spines[:].set_color(palette.FRAME)


def _shares(scores: npt.NDArray[np.float32]) -> tuple[float, npt.NDArray[np.float32]]:
    """Return the largest finite absolute score, and every score divided by it: NaN where it is not finite."""
    finite = np.where(np.isfinite(scores), scores, np.nan)
    largest = float(np.nanmax(np.abs(finite), initial=0.0))
    return largest, finite / (largest or 1.0)


def _colour(share: float, is_signed: bool) -> str:
    return (palette.diverging if is_signed else palette.sequential)(share)[0]


def _answer(record: explanation_lib.Explanation) -> str:
    return f"{record.guid}: predicted {record.predicted} ({record.confidence:.2f})"


def _tell(
    axes: matplotlib.axes.Axes, record: explanation_lib.Explanation, inches: float, more: str = ""
) -> None:
    """Write the answer, method and target above, and below what must be known to read the scores."""
    target = f" for {record.target}" if record.target else ""
    lettering.set_title(axes, f"{_answer(record)}; {record.method}{target}", inches)
    gap, cut = record.completeness_gap, sum(record.truncated)
    notes = [
        "blue: towards the target, orange: away from it" if record.signed else "",
        f"completeness gap {gap:.2g}" if gap is not None else "",
        f"{cut} tokens not read" if cut else "",
        more,
    ]
    lines = textwrap.wrap("; ".join(filter(None, notes)), int(14 * inches))
    axes.figure.supxlabel("\n".join(lines), fontsize=8)

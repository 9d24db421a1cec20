"""Titles and labels of figures: text of any script, as large as its room allows, never read as mathematics."""

import textwrap
from collections.abc import Sequence

import matplotlib.axes
import matplotlib.axis
import matplotlib.figure
import numpy as np
import numpy.typing as npt
from matplotlib import font_manager

_SMALLEST_POINTS = 1.0  # of a label: thousands that nobody can read would take minutes
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


def set_title(axes: matplotlib.axes.Axes, title: str, inches: float) -> None:
    """Write a title above the axes, in lines that fit so many inches."""
    families = _installed_fonts()
    text = _lines(title, inches, families)
    axes.set_title(text, fontsize=10, family=families, parse_math=False)


def set_figure_title(figure: matplotlib.figure.Figure, title: str) -> None:
    """Write a title above all axes of the figure."""
    families = _installed_fonts()
    text = _lines(title, figure.get_figwidth(), families)
    figure.suptitle(text, fontsize=11, family=families, parse_math=False)


def set_legend(axes: matplotlib.axes.Axes) -> None:
    """Name the lines of the axes, where there is room."""
    families = _installed_fonts()
    legend = axes.legend(frameon=False, prop={"family": families, "size": 8})
    for text in legend.get_texts():
        text.set_parse_math(False)
        text.set_text(_drawable(text.get_text(), families))


def set_label(axis: matplotlib.axis.Axis, label: str) -> None:
    """Write what an axis measures."""
    families = _installed_fonts()
    text = _drawable(label, families)
    axis.set_label_text(text, fontsize=9, family=families, parse_math=False)


def written(labels: Sequence[str]) -> list[str]:
    """Return labels with each character that no font here can draw as its code point, such as `<U+1F600>`."""
    families = _installed_fonts()
    return [_drawable(label, families) for label in labels]


def label_ticks(
    axis: matplotlib.axis.Axis,
    places: Sequence[float] | npt.NDArray[np.float64] | npt.NDArray[np.int64],
    labels: Sequence[str],
    inches: float,
    rotation: int = 0,
) -> None:
    """Label the places, which have so many inches together, as `written`; where none could be read, say so instead."""
    # half of a label's share leaves room between labels: 72 points an inch
    size = min(8.0, 0.5 * 72 * inches / len(labels))
    if size < _SMALLEST_POINTS:
        told = f"{len(labels)} labels are left out: too small to read"
        axis.set_ticks([])
        axis.set_label_text("; ".join(filter(None, [axis.get_label_text(), told])), fontsize=8)
        return
    axis.set_ticks(
        places,
        written(labels),
        rotation=rotation,
        fontsize=size,
        family=_installed_fonts(),
        parse_math=False,
    )
    axis.set_tick_params(length=0)


def _lines(title: str, inches: float, families: Sequence[str]) -> str:
    # 12: characters of a title's size that fit an inch
    return "\n".join(_drawable(line, families) for line in textwrap.wrap(title, int(12 * inches)))


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

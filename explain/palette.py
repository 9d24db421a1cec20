"""Colours, in one place: safe for colour-blind readers, with text that stays readable on every one of them."""

import math
from collections.abc import Iterable

WHITE, BLACK = "#ffffff", "#000000"  # a softer black leaves mid-scale shades where no text has 4.5
_PALE, _DEEP = (239, 246, 255), (8, 58, 128)  # one hue, blue; the deep end carries white text
_DIM, _BRIGHT = (35, 44, 56), (116, 182, 255)  # the same hue on a dark page, where more is brighter
HEATMAP = "Blues"  # matplotlib's name of the same one-hue scale
FRAME = "#b4bec8"
LINE = "#083a80"


def sequential(share: float) -> tuple[str, str]:
    """Return (background, text) for a value from 0 (pale) to 1 (deep); values outside are clipped.

    Raises:
      ValueError: the value is NaN.

    >>> sequential(1.0)
    ('#083a80', '#ffffff')
    """
    return _between(_PALE, _DEEP, share)


def sequential_on_dark(share: float) -> tuple[str, str]:
    """Return what `sequential` does for a dark page: from near the page's own dark (0) to bright (1).

    >>> sequential_on_dark(1.0)
    ('#74b6ff', '#000000')
    """
    return _between(_DIM, _BRIGHT, share)


def translucent_blue(alpha: float) -> str:
    """Return the CSS colour of an attention weight: blue whose opacity is the weight, clipped to 0..1.

    Raises:
      ValueError: the weight is NaN.
    """
    return f"rgba(0, 0, 255, {_clip(alpha)!r})"


def text_on_translucent_blue(alpha: float) -> str:
    """Return the text colour that reads best on that blue over a white page."""
    white = 255 * (1 - _clip(alpha))
    return _text_on(_hex((white, white, 255)))


def contrast(background: str, text: str) -> float:
    """Return the contrast ratio of two #rrggbb colours, 1 to 21.

    Source: WCAG 2.1, relative luminance and contrast ratio; 4.5 is the least for body text.
    """
    lighter, darker = sorted((_luminance(background), _luminance(text)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _between(
    low: tuple[int, int, int], high: tuple[int, int, int], share: float
) -> tuple[str, str]:
    clipped = _clip(share)
    background = _hex(start + (end - start) * clipped for start, end in zip(low, high, strict=True))
    return background, _text_on(background)


def _clip(share: float) -> float:
    if math.isnan(share):
        raise ValueError(
            "a shade must stand for a number from 0 to 1, got nan; a score was not finite, as of a model whose "
            "training diverged"
        )
    return min(max(0.0, float(share)), 1.0)


def _hex(channels: Iterable[float]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*(round(channel) for channel in channels))


def _text_on(background: str) -> str:
    return max((BLACK, WHITE), key=lambda text: contrast(background, text))


def _luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue

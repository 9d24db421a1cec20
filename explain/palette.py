"""Colours, in one place: safe for colour-blind readers, with text that stays readable on every one of them."""

import math
from collections.abc import Iterable

WHITE, BLACK = "#ffffff", "#000000"  # a softer black leaves mid-scale shades where no text has 4.5
_PALE, _DEEP = (239, 246, 255), (8, 58, 128)  # one hue, blue; the deep end carries white text
_DIM, _BRIGHT = (35, 44, 56), (116, 182, 255)  # the same hue on a dark page, where more is brighter
# Signed scores: a grey for 0, blue towards the target, orange away from it. Colour-blind readers tell blue from orange
# in each of the three kinds of colour blindness; the ends of one page are about as far from its grey.
_GREY, _BLUE, _ORANGE = (247, 248, 249), (21, 82, 160), (176, 74, 0)
_DARK_GREY, _DARK_BLUE, _DARK_ORANGE = (40, 46, 53), (110, 178, 255), (255, 158, 74)
# Numbers of a terminal's 256 colours. Its page may be dark or light: its shades differ in how colourful they are, not
# in how bright; they are chosen, for the nearest of the 256 to each step of a scale would change its hue on the way.
_TERMINAL_BLUES, _TERMINAL_ORANGES = (102, 67, 68, 27), (102, 137, 130, 166)
_TERMINAL_CHANNELS = (0, 95, 135, 175, 215, 255)
HEATMAP = "Blues"  # matplotlib's name of the same one-hue scale
FRAME = "#b4bec8"
LINE = "#083a80"
PAGE = {
    "ink": "#16202b",
    "soft": "#51606f",
    "page": "#f6f7f9",
    "card": "#ffffff",
    "line": "#d8dee5",
    "wrong": "#a33a00",
}
DARK_PAGE = {
    "ink": "#e8edf2",
    "soft": "#a7b3bf",
    "page": "#12171d",
    "card": "#1b222a",
    "line": "#34404c",
    "wrong": "#ffab70",
}
# Attention heads by number, over again after the last. Source: Okabe and Ito 2008, those of their colours that have a
# contrast of 3 to a white and to a dark page.
HEADS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
NO_NUMBER = "#8b96a1"  # what stands for a score that is not finite: on neither scale


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


def diverging(share: float) -> tuple[str, str]:
    """Return (background, text) for a value from -1 (orange, away) over 0 (grey) to 1 (blue, towards); clipped.

    Raises:
      ValueError: the value is NaN.

    >>> diverging(-1.0)
    ('#b04a00', '#ffffff')
    """
    return _between(_GREY, _BLUE if share > 0 else _ORANGE, abs(share))


def diverging_on_dark(share: float) -> tuple[str, str]:
    """Return what `diverging` does for a dark page: 0 is near the page's own dark, the ends are bright.

    >>> diverging_on_dark(-1.0)
    ('#ff9e4a', '#000000')
    """
    return _between(_DARK_GREY, _DARK_BLUE if share > 0 else _DARK_ORANGE, abs(share))


def diverging_in_terminal(share: float) -> tuple[int, int]:
    """Return what `diverging` does in a terminal's 256 colours: numbers of the background and the text.

    Raises:
      ValueError: the value is NaN.

    >>> diverging_in_terminal(-1.0)
    (166, 16)
    """
    shades = _TERMINAL_BLUES if share > 0 else _TERMINAL_ORANGES
    shade = shades[min(int(len(shades) * _clip(abs(share))), len(shades) - 1)]
    steps = (shade - 16) // 36, (shade - 16) // 6 % 6, (shade - 16) % 6
    text = _text_on(_hex(_TERMINAL_CHANNELS[step] for step in steps))
    return shade, 16 if text == BLACK else 231


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


def _channels(colour: str) -> list[int]:
    return [int(colour[start : start + 2], 16) for start in (1, 3, 5)]


def _text_on(background: str) -> str:
    return max((BLACK, WHITE), key=lambda text: contrast(background, text))


def _luminance(colour: str) -> float:
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in _channels(colour))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue

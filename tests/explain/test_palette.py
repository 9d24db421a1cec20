"""Colours stay readable on every shade."""

import itertools
import re

import numpy as np
import pytest

from explain import palette

SCALES = [palette.sequential, palette.sequential_on_dark]
SIGNED = [palette.diverging, palette.diverging_on_dark]
scales = pytest.mark.parametrize("scale", SCALES)
signed_scales = pytest.mark.parametrize("scale", SIGNED)
# Full colour blindness in linear RGB. Source: Machado, Oliveira and Fernandes 2009, table 1, severity 1.0.
BLINDNESS = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = [  # linear sRGB, divided by the white point D65
    [0.4339499, 0.3762098, 0.1898403],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0177566, 0.1094680, 0.8727755],
]


def seen(colour: str, blindness: str) -> np.ndarray:
    """Return the CIE L*a*b* of a colour as a colour-blind reader sees it."""
    channels = np.array([int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    xyz = np.array(TO_XYZ) @ np.clip(np.array(BLINDNESS[blindness]) @ linear, 0.0, 1.0)
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("#000000", "#ffffff", 21.0),
        ("#336699", "#336699", 1.0),
        ("#777777", "#ffffff", 4.48),  # the grey that just fails, known from the WCAG's examples
        ("#767676", "#ffffff", 4.54),  # and the one that just passes
        ("#222222", "#ffffff", 15.91),
        (
            "#0a0a0a",
            "#ffffff",
            19.80,
        ),  # on the straight part of the curve: 1.05 / (10/255/12.92 + 0.05)
        ("#ff0000", "#ffffff", 4.00),
        ("#0000ff", "#ffffff", 8.59),
    ],
)
def test_contrast_is_the_published_ratio(one, other, ratio):
    assert palette.contrast(one, other) == pytest.approx(ratio, abs=0.005)  # published to 2 digits
    assert palette.contrast(other, one) == palette.contrast(one, other)


@scales
def test_text_is_readable_on_every_shade(scale):
    for step in range(1001):
        background, text = scale(step / 1000)
        assert re.fullmatch("#[0-9a-f]{6}", background)
        assert palette.contrast(background, text) >= 4.5


@signed_scales
def test_text_is_readable_on_every_signed_shade(scale):
    for step in range(-1000, 1001):
        background, text = scale(step / 1000)
        assert re.fullmatch("#[0-9a-f]{6}", background)
        assert palette.contrast(background, text) >= 4.5


@signed_scales
@pytest.mark.parametrize("blindness", BLINDNESS)
def test_the_colour_blind_tell_towards_from_away(scale, blindness):
    for share in (0.25, 0.5, 0.75, 1.0):
        towards, away = (seen(scale(sign * share)[0], blindness) for sign in (1, -1))
        # 2.3 is a just noticeable difference of neighbours; words stand apart, so ask for several times that
        assert np.linalg.norm(towards - away) > 40 * share


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_the_colour_blind_tell_heads_apart(blindness):
    apart = [
        np.linalg.norm(seen(one, blindness) - seen(other, blindness))
        for one, other in itertools.combinations(palette.HEADS, 2)
    ]
    assert min(apart) > 15  # six times what an eye just sees


@pytest.mark.parametrize("card", [palette.PAGE["card"], palette.DARK_PAGE["card"]])
def test_lines_of_heads_stand_out_from_both_pages(card):
    # WCAG 2.1, 1.4.11: 3 for what is no text
    assert all(palette.contrast(card, colour) >= 3 for colour in palette.HEADS)


@pytest.mark.parametrize("page", [palette.PAGE, palette.DARK_PAGE])
def test_text_is_readable_on_both_pages(page):
    for text in ("ink", "soft", "wrong"):
        assert palette.contrast(page["card"], page[text]) >= 4.5
        assert palette.contrast(page["page"], page[text]) >= 4.5


@signed_scales
def test_equal_scores_of_both_signs_stand_out_about_as_much(scale):
    middle = scale(0.0)[0]
    for share in (0.5, 1.0):
        towards, away = (palette.contrast(scale(sign * share)[0], middle) for sign in (1, -1))
        assert 0.6 < towards / away < 1.6


@signed_scales
def test_a_stronger_signed_score_is_further_from_zero(scale):
    for sign in (1, -1):
        contrasts = [palette.contrast(scale(0.0)[0], scale(sign * i / 10)[0]) for i in range(11)]
        assert contrasts == sorted(set(contrasts))


def test_blue_is_towards_the_target_and_orange_away():
    for scale in SIGNED:
        for background, is_blue in ((scale(1.0)[0], True), (scale(-1.0)[0], False)):
            assert (int(background[5:], 16) > int(background[1:3], 16)) is is_blue
        assert scale(0.0) == scale(-0.0)
        assert scale(2.0) == scale(1.0)
        assert scale(-2.0) == scale(float("-inf")) == scale(-1.0)


def xterm(number: int) -> str:
    """Return the colour of a number from 16 to 231, as terminals define it."""
    levels = (0, 95, 135, 175, 215, 255)
    cube = list(itertools.product(levels, repeat=3))
    return "#{:02x}{:02x}{:02x}".format(*cube[number - 16])


def test_text_is_readable_on_every_shade_of_a_terminal():
    for step in range(-100, 101):
        background, text = palette.diverging_in_terminal(step / 100)
        assert palette.contrast(xterm(background), xterm(text)) >= 4.5
    found = [xterm(palette.diverging_in_terminal(step / 100)[0]) for step in range(-100, 101)]
    assert (found[0], found[100], found[-1]) == ("#d75f00", "#878787", "#005fff")
    assert len(set(found)) >= 7


@pytest.mark.parametrize("page", ["#000000", "#ffffff"])
def test_shades_of_a_terminal_stand_out_from_a_dark_and_a_light_page(page):
    for step in range(-100, 101):
        background, _ = palette.diverging_in_terminal(step / 100)
        assert palette.contrast(xterm(background), page) >= 3  # WCAG's least for graphics


def test_text_is_readable_on_every_translucent_blue_over_white():
    for step in range(1001):
        alpha = step / 1000
        white = round(255 * (1 - alpha))
        text = palette.text_on_translucent_blue(alpha)
        assert palette.contrast(f"#{white:02x}{white:02x}ff", text) >= 4.5


def test_a_stronger_score_is_further_from_the_page():
    light = [palette.contrast("#ffffff", palette.sequential(step / 10)[0]) for step in range(11)]
    dark = [
        palette.contrast("#000000", palette.sequential_on_dark(step / 10)[0]) for step in range(11)
    ]
    assert light == sorted(set(light))
    assert dark == sorted(set(dark))


def test_the_ends_of_the_scale_are_known():
    assert palette.sequential(0.0) == ("#eff6ff", "#000000")
    assert palette.sequential(1.0) == ("#083a80", "#ffffff")


@scales
def test_values_outside_are_clipped(scale):
    assert scale(-0.5) == scale(0.0)
    assert scale(1.5) == scale(float("inf")) == scale(1.0)


@pytest.mark.parametrize(
    ("alpha", "css"), [(0.25, "0.25"), (-1.0, "0.0"), (-0.0, "0.0"), (2, "1.0"), (1e-7, "1e-07")]
)
def test_translucent_blue_has_the_weight_as_its_opacity(alpha, css):
    assert palette.translucent_blue(alpha) == f"rgba(0, 0, 255, {css})"


@pytest.mark.parametrize(
    "colour",
    [
        *SCALES,
        *SIGNED,
        palette.diverging_in_terminal,
        palette.translucent_blue,
        palette.text_on_translucent_blue,
    ],
)
def test_nan_has_no_colour(colour):
    with pytest.raises(ValueError, match="must stand for a number from 0 to 1, got nan"):
        colour(float("nan"))

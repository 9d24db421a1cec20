"""Colours stay readable on every shade."""

import re

import pytest

from explain import palette

SCALES = [palette.sequential, palette.sequential_on_dark]
scales = pytest.mark.parametrize("scale", SCALES)


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
    "colour", [*SCALES, palette.translucent_blue, palette.text_on_translucent_blue]
)
def test_nan_has_no_colour(colour):
    with pytest.raises(ValueError, match="must stand for a number from 0 to 1, got nan"):
        colour(float("nan"))

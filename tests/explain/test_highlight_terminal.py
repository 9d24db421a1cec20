"""A terminal shows a record's answer, words and numbers, and no text can drive it."""

import dataclasses
import re

import pytest

from explain import highlight
from tests.explain import test_highlight

SHADE = re.compile(r"\x1b\[48;5;(\d+);38;5;(\d+)(;4)?m(.*?)\x1b\[0m")


@pytest.fixture
def signed(build_record):
    return build_record(
        "Not bad at  all",
        scores=[0.0, 0.5, -1.0, 0.0, -0.01, 0.0],
        method="integrated_gradients",
        signed=True,
        target="positive",
        gold="negative",
        completeness_gap=-0.0125,
        checks={"score": 3.25, "steps": 16},
        settings={"score": "logit"},
    )


def test_the_lines_are_known(signed):
    assert highlight.ansi(signed, colour=False).splitlines() == [
        "test-0: \u2717 wrong: predicted positive (0.900), true label negative",
        "integrated_gradients: target positive, scale -1.0000 to +1.0000, "
        "logit explained 3.25, completeness gap -0.013, steps 16",
        "",
        "Not bad at  all",
        "",
        "-1.0000  bad",
        "+0.5000  Not",
        "-0.0100  all",
        "+0.0000  at",
    ]


def test_colour_changes_no_character_and_marks_the_sign_twice(signed):
    coloured = highlight.ansi(signed)
    shades = SHADE.findall(coloured)
    assert [(underline, word) for _, _, underline, word in shades] == [("", "Not"), (";4", "bad")]
    towards, away = (background for background, _, _, _ in shades)
    assert towards != away
    plain = SHADE.sub(r"\4", coloured)
    assert "\x1b" not in plain
    legend = "blue: towards the target; orange, underlined: away from it\n"
    assert plain.replace(legend, "") == highlight.ansi(signed, colour=False)


def test_unsigned_words_are_never_underlined(build_record):
    coloured = highlight.ansi(build_record("a film", scores=[0.0, 0.25, 0.5, 0.0]))
    assert [found[2:] for found in SHADE.findall(coloured)] == [("", "a"), ("", "film")]
    assert "orange" not in coloured


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize(
    ("character", "shown"),
    [
        ("\x1b", r"\x1b"),
        ("\x9b", r"\x9b"),  # what ESC [ is in one character
        ("\x07", r"\x07"),
        ("\x08", r"\x08"),
        ("\r", r"\r"),
        ("\0", r"\x00"),
        ("\x7f", r"\x7f"),
        ("\u202e", r"\u202e"),
        ("\u2066", r"\u2066"),
        ("\u2028", r"\u2028"),
        ("\ud800", r"\ud800"),
    ],
)
def test_no_text_drives_the_terminal(build_record, character, shown, colour):
    hostile = f"x{character}]0;title"
    record = dataclasses.replace(
        build_record(f"good {hostile} film", scores=[1.0] * 10, labels=(hostile, "b"), predicted=0),
        **{"guid": hostile, "method": hostile, "target": hostile, "checks": {hostile: hostile}},
    )
    told = SHADE.sub(r"\4", highlight.ansi(record, colour=colour))
    assert character not in told
    assert told.count(f"x{shown}]0;title") >= 6
    assert told.encode("utf-8")


@pytest.mark.parametrize("text", test_highlight.HOSTILE.values(), ids=test_highlight.HOSTILE.keys())
def test_what_a_terminal_can_show_is_shown_as_typed(build_record, text):
    told = highlight.ansi(build_record(text), colour=False)
    shown = re.sub(
        "[^\\n\\t\u200d]", lambda m: m[0] if m[0].isprintable() else ascii(m[0])[1:-1], text
    )
    assert shown in told
    assert all(character.isprintable() or character in "\n\t\u200d" for character in told)


def test_line_breaks_of_a_text_stay_but_a_label_is_one_line(build_record):
    record = build_record("one\n\ttwo", labels=("a", "b\nc"), gold="b\nc")
    assert "\none\n\ttwo\n" in highlight.ansi(record, colour=False)
    assert highlight.ansi(record).startswith(r"test-0: predicted b\nc (0.900), true label b\nc")


def test_a_score_that_is_no_number_is_told_at_its_word(build_record):
    record = build_record("a b c", scores=[0.0, float("nan"), 0.5, float("-inf"), 0.0])
    for colour in (True, False):
        told = SHADE.sub(r"\4", highlight.ansi(record, colour=colour))
        assert "a(nan) b c(-inf)" in told
        assert re.findall(r"^ *(.*)  (\w)$", told, re.MULTILINE) == [
            *(("0.5000", "b"), ("not a number", "a"), ("-inf", "c")),
        ]


def test_both_texts_of_a_pair_and_what_was_not_read_are_shown(build_record):
    record = build_record("first text", "second text here", cut=1)
    told = highlight.ansi(record, colour=False)
    assert "\n\nfirst text\n\nsecond text here\n(1 tokens not read)\n\n" in told


def test_the_list_of_words_is_short(build_record):
    record = build_record("word " * 50)
    assert len(re.findall(r"^0\.\d{4}  word$", highlight.ansi(record), re.MULTILINE)) == 10

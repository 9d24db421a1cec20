"""One page serves signed and unsigned scores, several methods and targets of a text, and says how good they are."""

import dataclasses
import re

import pytest

from explain import highlight
from explain import palette
from tests.explain import test_highlight

CHECKS = {"score": 3.25, "completeness_gap": -0.0125, "steps": 16, "ledger_error": 3e-7}


@pytest.fixture
def signed(build_record):
    """A record whose words score +0.5, -1.0, 0.25 and -0.001, the model's true answer explained."""
    return build_record(
        "Not bad at all",
        scores=[2.0, 0.5, -1.0, 0.25, -0.001, 0.0],
        method="integrated_gradients",
        signed=True,
        target="positive",
        completeness_gap=-0.0125,
        checks=CHECKS | {"passed": True},
        settings={"score": "logit"},
    )


def test_signed_words_carry_their_sign_in_colour_class_and_number(signed):
    source = highlight.report([signed], "title")
    assert re.findall(r'<mark class="([^"]*)" title="([^"]*)">(\w+)', source) == [
        ("shade t25", "+0.5000", "Not"),
        ("shade a50", "-1.0000", "bad"),
        ("shade t12", "+0.2500", "at"),
        ("shade a0", "-0.0010", "all"),
    ]


def test_words_against_the_target_are_underlined_for_readers_without_colour(signed):
    source = highlight.report([signed], "title")
    assert re.search(r'mark\[class\*="shade a"\] \{ text-decoration: underline', source)
    # the legend shows both, as the words are shown
    assert '<mark class="shade a40">away from the target</mark>' in source
    assert '<mark class="shade t40">towards the target</mark>' in source


def test_every_signed_shade_has_its_colours_for_light_and_dark_pages(signed):
    source = highlight.report([signed], "title")
    for name, sign in (("t", 1), ("a", -1)):
        found = re.findall(rf"^\.{name}(\d+) \{{(.*)\}}$", source, flags=re.MULTILINE)
        assert [int(number) for number, _ in found] == list(range(highlight.DARKEST + 1))
        for number, rule in found:
            share = sign * int(number) / highlight.DARKEST
            colours = [*palette.diverging(share), *palette.diverging_on_dark(share)]
            assert re.findall(r"#[0-9a-f]{6}", rule) == colours


def test_a_page_carries_the_scales_it_shows_and_no_other(signed, build_record):
    def scales(*records):
        return set(re.findall(r"^\.([sta])0 ", highlight.report(records, "t"), re.MULTILINE))

    unsigned = build_record("good")
    assert scales(signed) == {"t", "a"}
    assert scales(unsigned) == {"s"}
    assert scales(signed, unsigned) == {"s", "t", "a"}


def test_what_was_explained_and_how_well_is_told(signed):
    (card,) = test_highlight.page(signed).cards
    assert card.facts == [
        "integrated_gradients · target positive · scale -1.0000 to +1.0000 · "
        "53 % of the absolute scores on special tokens · logit explained 3.25 · "
        "completeness gap -0.013 · steps 16 · ledger error 3e-07"
    ]
    assert card.failures == 0


@pytest.mark.parametrize(("passed", "warnings"), [(False, 1), (True, 0), (None, 0)])
def test_only_a_check_that_failed_warns(signed, passed, warnings):
    checks = CHECKS if passed is None else CHECKS | {"passed": passed}
    record = dataclasses.replace(signed, checks=checks)
    assert test_highlight.page(record).cards[0].failures == warnings
    assert ("WARNING: a check" in highlight.ansi(record)) is bool(warnings)


def test_records_of_one_text_that_follow_each_other_share_an_article(signed, build_record):
    away = dataclasses.replace(signed, target="negative", scores=-signed.scores)
    rollout = build_record("Not bad at all", method="rollout")
    other = build_record("Not bad at all", guid="test-1", method="rollout")
    parsed = test_highlight.page(signed, away, rollout, other, signed)
    assert [len(card.facts) for card in parsed.cards] == [3, 1, 1]
    assert [card.texts for card in parsed.cards] == [["Not bad at all"] * n for n in (3, 1, 1)]
    first = parsed.cards[0].details
    captions = re.findall(r"Strongest words: (.*)", first)
    assert captions == [
        "integrated_gradients, positive",
        "integrated_gradients, negative",
        "rollout",
    ]
    assert first.count("Probabilities") == 1
    assert "3 texts, 3 of 3 answered right" in parsed.intro
    assert "Methods: integrated_gradients, rollout." in parsed.intro


def test_texts_that_share_only_their_name_do_not_share_an_article(build_record):
    records = [build_record("one"), build_record("two"), build_record("two", predicted=0)]
    assert len(test_highlight.page(*records).cards) == 3


@pytest.mark.parametrize(
    ("method", "target", "warns"),
    [
        ("rollout", "", True),
        ("average_last_layer_by_head", "", True),
        ("random", "", False),
        ("chefer", "positive", False),
        ("cp_lrp", "positive", False),
    ],
)
def test_what_attention_is_worth_is_told_where_attention_is_shown(
    build_record, method, target, warns
):
    intro = test_highlight.page(build_record("good", method=method, target=target)).intro
    assert ("Attention tells what the model mixed into its answer" in intro) is warns


@pytest.mark.parametrize(
    ("pooling", "warns"),
    [("global_average_pool", True), ("global_max_pool", True), ("default", False), ("m:H", False)],
)
def test_attention_of_a_model_that_reads_all_tokens_comes_with_a_warning(
    build_record, signed, pooling, warns
):
    def told(record):
        return "This model answers from all tokens: what [CLS] attends to" in highlight.report(
            [dataclasses.replace(record, settings={"pooling": pooling})], "title"
        )

    assert told(build_record("Not bad at all")) is warns
    assert not told(signed)


def test_a_pair_of_five_classes_with_a_contrast_is_one_article(build_record):
    labels = tuple(f"class {index}" for index in range(5))
    record = build_record(
        *("good film", "bad film"),
        scores=[0.0, 1.0, -2.0, 0.0, 4.0, -0.5, 0.0],
        **{"labels": labels, "predicted": 3, "gold": "class 1", "signed": True},
        target="class 3-class 1",
    )
    (card,) = test_highlight.page(record).cards
    assert card.texts == ["good film", "bad film"]
    assert "target class 3-class 1 · scale -4.0000 to +4.0000" in card.facts[0]
    assert "wrong: predicted class 3 (0.900), true label class 1" in card.heading


def test_tiny_and_huge_scores_keep_their_digits(build_record):
    for scale, spelled in ((1e-6, "+1.000e-06"), (1e7, "+1.000e+07"), (0.5, "+0.5000")):
        record = build_record("good film", scores=[0.0, scale, -scale / 2, 0.0], signed=True)
        assert f'title="{spelled}"' in highlight.report([record], "title")


def test_a_carriage_return_reaches_the_browser_as_one(build_record):
    # read as it stands, a browser would take it for a line feed
    source = highlight.report([build_record("one\r\ntwo\rthree")], "title")
    assert "\r" not in source
    assert source.count("&#13;") == 2


def test_half_a_surrogate_pair_does_not_keep_the_page_from_being_written(build_record):
    source = highlight.report([build_record("half \ud800 pair")], "title")
    assert b"half" in source.encode("utf-8")


@pytest.mark.parametrize("text", test_highlight.HOSTILE.values(), ids=test_highlight.HOSTILE.keys())
def test_hostile_texts_of_a_signed_method_are_text(build_record, text):
    record = build_record(text, method="m", target="<b>", signed=True, checks={"<i>": "</p>"})
    (card,) = test_highlight.page(record).cards
    assert card.texts == [text]
    assert "target <b>" in card.facts[0]
    assert card.facts[0].endswith("<i> </p>")

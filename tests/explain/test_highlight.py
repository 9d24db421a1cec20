"""The report shows the user's own text, shaded, and lets nothing in it do harm."""

import dataclasses
import html.parser
import re

import pytest

from explain import highlight
from explain import palette

VOID = {"meta", "input", "br"}
HOSTILE = {
    "script": "<script>alert('x')</script> & <img src=x onerror=alert(1)> {{ 7*7 }} {% if %}",
    "quotes": "\"double\" 'single' `back` &amp; &lt;already escaped&gt; </p></mark></article>",
    "emoji": "😀 👩‍🚀 naïve\u0301 🇨🇦",
    "right to left": "שלום עולם, mixed مرحبا text \u202ereversed\u202c",
    "lines": "  first line\n\n\tsecond line\n third  ",
    "cjk": "電影very好",
    "long": "word " * 1999 + "ended",
    "one word": "x" * 10_000,
    "controls": "nul \0 bell \a escape \x1b[2J next\x85line \u2028 carriage\r\nreturn",
    "style": "</style><style>*{display:none}</style> <!-- comment --> <![CDATA[ x ]]>",
    "combining": "Z\u0351\u036b\u0343a\u0301 e\u0301\u0301\u0301 \u0301start",
    "spaces": "   ",
    "empty": "",
}


@dataclasses.dataclass
class Card:
    """What a reader finds in one article."""

    classes: str
    texts: list[str] = dataclasses.field(default_factory=list)
    marks: list[str] = dataclasses.field(default_factory=list)
    cuts: list[str] = dataclasses.field(default_factory=list)
    facts: list[str] = dataclasses.field(default_factory=list)
    failures: int = 0
    heading: str = ""
    details: str = ""


class Page(html.parser.HTMLParser):
    """The report, parsed; it fails on a tag that is not closed where it should be."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, str]] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.cards: list[Card] = []
        self.intro = self.title = ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.add(tag)
        self.attributes |= set(values)
        if tag in VOID:
            return
        self.open.append((tag, values.get("class") or ""))
        if tag == "article":
            self.cards.append(Card(values.get("class") or ""))
        elif self.open[-1] == ("p", "text"):
            self.cards[-1].texts.append("")
        elif self.open[-1] == ("p", "facts"):
            self.cards[-1].facts.append("")
        elif self.open[-1] == ("p", "failed"):
            self.cards[-1].failures += 1
        elif tag == "mark" and self.cards:
            self.cards[-1].marks.append("")
        elif self.open[-1] == ("span", "cut"):
            self.cards[-1].cuts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if ("title", "") in self.open:
            self.title += data
        if ("p", "note") in self.open:
            self.intro += data
        if not self.cards:
            return
        card = self.cards[-1]
        if ("p", "text") in self.open:
            card.texts[-1] += data
        if self.open and self.open[-1][0] == "mark":
            card.marks[-1] += data
        if self.open[-1:] == [("span", "cut")]:
            card.cuts[-1] += data
        if ("p", "facts") in self.open:
            card.facts[-1] += data
        if ("h2", "") in self.open:
            card.heading += data
        if ("details", "") in self.open:
            card.details += data


def page(*records, title="What BERT attended to") -> Page:
    return Page(highlight.report(records, title))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_card_holds_exactly_the_users_text(build_record, text):
    (card,) = page(build_record(text)).cards
    assert card.texts == [text]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_segments_joined_are_the_text(build_record, text):
    assert "".join(segment.text for segment in highlight.segments(build_record(text))) == text


def test_words_are_marked_with_their_number(build_record):
    record = build_record("Not bad at all!", scores=[0.5, 0.1, 0.2, 0.05, 0.05, 0.05, 0.05])
    source = highlight.report([record], "title")
    assert Page(source).cards[0].marks == ["Not", "bad", "at", "all!"]
    assert re.findall(r'title="([^"]*)"', source) == ["0.1000", "0.2000", "0.0500", "0.1000"]


def test_the_largest_score_of_both_texts_sets_the_scale(build_record):
    # [CLS] good [SEP] bad film [SEP]
    record = build_record("good", "bad film", scores=[0.5, 0.125, 0.0, 0.25, 0.0, 0.0])
    shades = [
        segment.shade
        for sentence in (0, 1)
        for segment in highlight.segments(record, sentence)
        if segment.score is not None
    ]
    assert shades == [25, 50, 0]
    source = highlight.report([record], "title")
    assert re.findall(r'<mark class="shade s(\d+)"', source) == ["25", "50", "0"]


def test_every_shade_has_its_colours_for_light_and_dark_pages(build_record):
    source = highlight.report([build_record("good")], "title")
    found = re.findall(r"^\.s(\d+) \{(.*)\}$", source, flags=re.MULTILINE)
    assert [int(number) for number, _ in found] == list(range(highlight.DARKEST + 1))
    for number, rule in found:
        share = int(number) / highlight.DARKEST
        colours = [*palette.sequential(share), *palette.sequential_on_dark(share)]
        assert re.findall(r"#[0-9a-f]{6}", rule) == colours


def test_a_word_costs_the_page_few_characters(build_record):
    short, long = (highlight.report([build_record("word " * n)], "t") for n in (10, 1010))
    assert (len(long) - len(short)) / 1000 < 60


def test_zero_scores_are_pale_not_an_error(build_record):
    record = build_record("good film", scores=[0.0] * 4)
    assert {segment.shade for segment in highlight.segments(record)} == {0}
    (facts,) = page(record).cards[0].facts
    assert (
        facts
        == "average_last_layer_by_head · scale 0 to 0.0000 · 0 % of the attention on special tokens"
    )


def test_scores_that_are_no_numbers_are_framed_and_the_others_keep_their_scale(build_record):
    scores = [0.5, 0.1, float("nan"), float("inf"), 0.2, 0.1]
    source = highlight.report([build_record("good film is here", scores=scores)], "title")
    assert re.findall(r'<mark class="([^"]*)" title="([^"]*)">(\w+)', source) == [
        ("shade s25", "0.1000", "good"),
        ("nan", "not a number", "film"),
        ("nan", "inf", "is"),
        ("shade s50", "0.2000", "here"),
    ]
    (card,) = Page(source).cards
    table = card.details.split("Strongest words")[-1].split("Probabilities")[0]
    rows = [line for line in table.split("\n") if line]
    assert rows == ["here0.2000", "good0.1000", "filmnot a number", "isinf"]
    assert card.facts == ["average_last_layer_by_head · scale 0 to 0.2000"]
    legend = "the score is no finite number"
    assert legend in source
    assert legend not in highlight.report([build_record("good film")], "title")


def test_nothing_in_a_text_becomes_markup(build_record):
    records = [
        build_record(text, guid=text[:40], labels=("<i>no</i>", "'yes'\""), gold="<u>")
        for text in HOSTILE.values()
    ]
    records = [dataclasses.replace(record, method="<script>") for record in records]
    source = highlight.report(records, "<script>alert(0)</script>")
    parsed, harmless = Page(source), page(build_record("harmless", gold="negative"))
    assert parsed.title == "<script>alert(0)</script>"
    assert parsed.cards[0].heading.startswith(HOSTILE["script"][:40])
    assert parsed.tags <= harmless.tags | {"mark"}
    assert parsed.attributes <= harmless.attributes
    assert "<script" not in source


def test_the_page_needs_nothing_from_elsewhere(build_record):
    source = highlight.report([build_record("Not bad at all!")], "title")
    assert not re.search(r"https?:|//|src=|href=|@import|url\(|<link|<script|<iframe", source)
    assert "default-src 'none'" in source


def test_right_and_wrong_answers_are_counted(build_record):
    records = [build_record("a"), build_record("b"), build_record("c", gold="negative")]
    parsed = page(*records, build_record("d", gold=None))
    assert "4 texts, 2 of 3 answered right (66.7 %)" in parsed.intro
    assert "Method: average_last_layer_by_head" in parsed.intro


def test_one_unlabelled_text_is_neither_right_nor_wrong(build_record):
    source = highlight.report([build_record("a", gold=None)], "title")
    parsed = Page(source)
    assert parsed.intro.startswith("1 text. ")
    assert "true label" not in parsed.cards[0].heading
    assert parsed.cards[0].classes == ""
    assert "only-wrong" not in re.sub(r"<style>.*</style>", "", source, flags=re.DOTALL)


def test_a_wrong_answer_is_told_in_words(build_record):
    parsed = page(build_record("a"), build_record("b", gold="negative"))
    right, wrong = parsed.cards
    assert "wrong: predicted positive (0.900), true label negative" in wrong.heading
    assert "wrong" in wrong.classes
    assert "wrong" not in right.heading
    assert right.classes == ""


def test_only_a_page_with_wrong_answers_offers_to_filter_them(build_record):
    right, wrong = build_record("a"), build_record("b", gold="negative")
    assert "show only wrong answers (1)" in highlight.report([right, wrong], "title")
    assert "show only wrong answers" not in highlight.report([right], "title")


def test_what_the_model_did_not_read_is_marked(build_record):
    (card,) = page(build_record("Two hours I will never get back.", cut=3)).cards
    assert card.cuts == [" get back."]
    assert card.texts == ["Two hours I will never get back."]
    assert "3 tokens not read" in card.details


def test_a_cut_inside_a_text_is_marked_where_it_is(build_record):
    record = build_record("Slow start, a dull middle, then a lovely end.", cut=3)
    words = tuple(word for word in record.words if word.text not in {"dull", "middle,"})
    kept = [index for index, word in enumerate(record.words) if word in words]
    record = dataclasses.replace(record, words=words, scores=record.scores[kept])
    (card,) = page(record).cards
    assert card.cuts[0] == " dull middle, "


def test_a_text_that_was_read_has_no_cut_even_if_it_ends_in_spaces(build_record):
    (card,) = page(build_record("read to the end  ")).cards
    assert card.cuts == []
    assert "not read" not in card.details


def test_the_cut_of_a_pair_is_marked_in_the_text_it_was_made_in(build_record):
    (card,) = page(build_record("first text ", "second text here", cut=1)).cards
    assert card.texts == ["first text ", "second text here"]
    assert card.cuts == [" here"]


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_every_class_has_its_probability(build_record, classes):
    labels = tuple(f"class {index}" for index in range(classes))
    record = build_record("a film", labels=labels, predicted=classes - 1, gold=labels[0])
    (card,) = page(record).cards
    assert [label for label in labels if label in card.details] == list(labels)
    assert "0.9000" in card.details
    assert f"predicted class {classes - 1} (0.900), true label class 0" in card.heading


def test_the_strongest_words_come_first(build_record):
    record = build_record("a b c d e f", scores=[0.0, 0.1, 0.3, 0.05, 0.25, 0.2, 0.02, 0.08])
    table = page(record).cards[0].details.split("Strongest words")[-1].split("Probabilities")[0]
    assert table.split() == ["b0.3000", "d0.2500", "e0.2000", "a0.1000", "c0.0500", "f0.0200"]


def test_the_table_of_a_long_text_is_short_and_says_so(build_record):
    scores = [0.0, *(0.001 * i for i in range(1, 31)), 0.0]
    record = build_record(" ".join(f"w{i}" for i in range(1, 31)), scores=scores)
    table = page(record).cards[0].details.split("Strongest words")[-1].split("Probabilities")[0]
    assert table.split() == [
        "(20",
        "of",
        "30)",
        *(f"w{i}{i / 1000:.4f}" for i in range(30, 10, -1)),
    ]


def test_cards_stand_in_the_order_of_the_records(build_record):
    records = [build_record("a", guid=f"test-{index}") for index in (3, 1, 2, 5, 4)]
    headings = [card.heading.split("predicted")[0] for card in page(*records).cards]
    assert headings == ["test-3", "test-1", "test-2", "test-5", "test-4"]


def test_no_records_are_an_error():
    with pytest.raises(ValueError, match="at least one explanation, got none"):
        highlight.report([], "title")

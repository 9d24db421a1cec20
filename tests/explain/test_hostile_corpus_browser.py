"""Every page shows a hostile corpus of texts, labels and names as text: no dialogue, no request, no new element."""

import dataclasses
import json

import pytest

from explain import attention
from explain import highlight
from explain import views
from tests.explain import hostile_corpus
from tests.explain import served as answers_made
from tests.explain import test_server_browser as app
from tests.explain import test_views as views_made
from tests.explain import test_views_browser as reading

CORPUS = hostile_corpus.CORPUS
HARMLESS = [f"harmless words, number {number}" for number in range(len(CORPUS))]
tab, show = reading.tab, reading.show
PARTS = (
    "[...new Set([...document.querySelectorAll('*')].flatMap((one) => "
    "[one.tagName, ...[...one.attributes].map((each) => `${one.tagName} ${each.name}`)]))]"
)
ASKS = "Page.javascriptDialogOpening"


def parts_of(page):
    """Return the names of the elements, and of their attributes."""
    return set(page.evaluate(PARTS))


def texts_of(page, selector):
    found = f"[...document.querySelectorAll({json.dumps(selector)})]"
    return page.evaluate(f"{found}.map((one) => one.textContent)")


@pytest.fixture(autouse=True)
def no_dialogue(tab):
    """Afterwards no page has asked the reader anything."""
    tab._events.discard(ASKS)
    yield
    assert ASKS not in tab._events


@pytest.fixture
def records(build_record):
    """Return a function that makes records of texts which stand in every name as well."""

    def record(text):
        made = build_record(
            text,
            guid=text,
            labels=(text, f"not {text}"),
            gold=f"not {text}",
            method=text,
            target=text,
            checks={text: text},
        )
        size = len(made.tokens)
        return dataclasses.replace(
            made,
            layer_scores=views_made.layer_scores(size),
            attention=views_made.attention(size=size),
        )

    return lambda texts: [record(text) for text in texts]


def test_a_dialogue_a_request_and_an_element_would_be_seen(tab, tmp_path):
    path = tmp_path / "asks.html"
    path.write_text(f"<p>{CORPUS[2]}</p><script>document.title = 'ran'; setTimeout(alert)</script>")
    tab.send("Page.navigate", url=path.as_uri())
    while ASKS not in tab._events:
        tab._note(tab._read())
    tab.send("Page.handleJavaScriptDialog", accept=True)
    tab._events.discard(ASKS)
    assert any("taken.invalid" in url for url in tab.requests)
    assert {"IMG", "IMG src", "IMG srcset"} <= parts_of(tab)
    tab.complaints.clear()


def test_a_report_shows_the_corpus(show, records):
    allowed = parts_of(show(highlight.report(records(HARMLESS), HARMLESS[0])))
    for title in (CORPUS[0], CORPUS[15]):
        page = show(highlight.report(records(CORPUS), title))
        assert parts_of(page) <= allowed
        assert page.evaluate("document.title") == title
        assert texts_of(page, "p.text") == CORPUS
        assert texts_of(page, "h2 > bdi") == CORPUS
        assert texts_of(page, ".facts b") == CORPUS


def test_a_report_with_views_inside_shows_the_corpus(show, records):
    opened = "document.querySelectorAll('details').forEach((one) => { one.open = true; })"
    harmless = show(views.report(records(HARMLESS), HARMLESS[0]))
    harmless.evaluate(opened)
    harmless.settle()
    allowed = parts_of(harmless)
    page = show(views.report(records(CORPUS), CORPUS[15]))
    page.evaluate(opened)
    page.settle()
    assert parts_of(page) <= allowed
    assert texts_of(page, "p.text") == CORPUS
    assert page.evaluate("document.scripts.length") == harmless.evaluate("document.scripts.length")


@pytest.mark.parametrize("view", views_made.VIEWS)
def test_a_view_shows_the_corpus(show, view):
    pages = []
    for texts in (HARMLESS, CORPUS):
        page = show(view(texts, title=texts[14]))
        page.focus(".stage canvas, .grid button")
        page.press("Enter", "ArrowDown", "ArrowDown")
        assert page.evaluate("document.title") == texts[14]
        pages.append(parts_of(page))
    assert pages[1] <= pages[0]
    if view is not views_made.model:  # whose table is of heads
        rows = page.table("dialog .table, .table")[1:]
        assert [row[0].split(" ", 1)[-1] for row in rows] == CORPUS


def test_the_ancestors_page_shows_the_corpus(show):
    weights = [0.5] * len(CORPUS)
    pages = [
        attention.viz_attention(texts, weights, texts[0], texts[1], [0.5, 0.5], texts[2])
        for texts in (HARMLESS, CORPUS)
    ]
    allowed = parts_of(show(f"<!DOCTYPE html><meta charset=utf-8>{pages[0]}"))
    page = show(f"<!DOCTYPE html><meta charset=utf-8>{pages[1]}")
    assert parts_of(page) <= allowed
    shown = page.evaluate("document.body.textContent")
    assert not [text for text in CORPUS if text not in shown]


def test_the_app_shows_the_corpus_typed_as_labels_and_as_names(tab, records):
    def ask(page, url, texts):
        """Type four texts, send them, and return the parts of the page and of the report in it."""
        page.open(app.Address(url))
        for name, text in zip(("text", "text_b", "other", "other_b"), texts, strict=True):
            page.evaluate(f"document.querySelector('[name={name}]').value = {json.dumps(text)}")
        page.evaluate("document.querySelector('button').click()")
        app.wait_for(page, "document.querySelector('iframe')")
        typed = "[...document.querySelectorAll('textarea')].map((one) => one.value)"
        assert page.evaluate(typed) == texts
        with app.inside_the_report(page) as report:
            report.settle()
            inside = parts_of(report), texts_of(report, "p.text")
        return parts_of(page), *inside

    def fake(names):
        return answers_made.fake(
            lambda question: records([text for pair in question.texts for text in pair]),
            labels=names,
            methods=names,
            warm_up=lambda: None,
        )

    tab.complaints.clear()
    with app.serve(fake(HARMLESS), HARMLESS[0]) as served:
        allowed, allowed_inside, _ = ask(tab, served.url, HARMLESS[:4])
    with app.serve(fake(CORPUS), CORPUS[0]) as served:
        for start in range(0, len(CORPUS), 4):
            texts = (CORPUS + CORPUS)[start : start + 4]
            found, inside, shown = ask(tab, served.url, texts)
            assert (found <= allowed, inside <= allowed_inside, shown) == (True, True, texts)
        assert tab.text("header bdi") == CORPUS[0]
        options = "[...document.querySelectorAll('[name=against] option')].map((one) => one.value)"
        assert tab.evaluate(options) == ["", *CORPUS]
        assert set(served.asked) == {"/"}
        assert {url.partition("#")[0] for url in tab.requests} <= {served.url, "data:,"}
    assert tab.complaints == []

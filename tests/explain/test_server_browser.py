"""A reader opens the app in a browser, with the keys alone: it asks for nothing else, and runs nothing of a text's."""

import contextlib
import socket
import threading
import time
from typing import NamedTuple

import pytest
import uvicorn

from explain import answers as answers_lib
from explain import server
from tests.explain import classifier_folder
from tests.explain import explained
from tests.explain import test_views_browser

folder, tab = explained.folder, test_views_browser.tab
WAIT_S = 300  # of a busy machine


class Address(NamedTuple):
    """What `browser.Page.open` takes in place of a path."""

    url: str

    def as_uri(self):
        return self.url


class Served(NamedTuple):
    """An app that listens, and the paths that it was asked for."""

    url: str
    asked: list[str]


@contextlib.contextmanager
def serve(answers, name="tiny"):
    asked = []
    answers.warm_up()
    app = server.create_app(answers, name)

    async def watched(scope, receive, send):
        asked.append(scope["path"])
        await app(scope, receive, send)

    with socket.create_server(("127.0.0.1", 0)) as address:
        running = uvicorn.Server(
            uvicorn.Config(watched, lifespan="off", log_level="error", ws="none")
        )
        thread = threading.Thread(target=running.run, kwargs={"sockets": [address]})
        thread.start()
        try:
            yield Served(f"http://127.0.0.1:{address.getsockname()[1]}/", asked)
        finally:
            running.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def served(folder):
    with serve(answers_lib.Answers(folder, ["gradient_x_input", "rollout"])) as found:
        yield found


@pytest.fixture
def page(tab, served):
    """The app's page, just opened; afterwards only the app was asked, for its page alone, and nothing went wrong."""
    tab.complaints.clear()
    served.asked.clear()
    tab.open(Address(served.url))
    yield tab
    assert set(served.asked) == {"/"}
    assert {url.partition("#")[0] for url in tab.requests} <= {served.url, "data:,"}
    assert tab.complaints == []


def type_in(page, text):
    page.send("Input.insertText", text=text)


def wait_for(page, condition):
    """Wait until what was sent has come and the condition holds."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(AssertionError):  # between two pages there is nothing to ask
            if page.evaluate(f"document.readyState === 'complete' && !!({condition})"):
                return
        time.sleep(0.1)
    raise TimeoutError(f"{condition}; the page says {page.text('main')!r}")


def focused(page):
    return page.evaluate("document.activeElement.name || document.activeElement.tagName")


@contextlib.contextmanager
def inside_the_report(page):
    """Ask the frame of the report, which has a process of its own."""
    frames = [t for t in page.send("Target.getTargets")["targetInfos"] if t["type"] == "iframe"]
    outside = page._session
    page._session = page.send(
        "Target.attachToTarget", targetId=frames[-1]["targetId"], flatten=True
    )["sessionId"]
    try:
        yield page
    finally:
        page._session = outside


def test_a_text_is_typed_and_explained_by_keys_alone(page):
    page.focus("textarea")
    type_in(page, "The film was so fine!")
    page.press("Tab", "Tab", "Tab")
    assert focused(page) == "methods"
    page.press("Tab", " ")  # the second method too
    page.press("Tab", "Tab", "Tab", "Tab")
    assert focused(page) == "answer"
    for kind in ("keyDown", "keyUp"):  # and not press, which waits on a page that goes away
        enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
        page.send("Input.dispatchKeyEvent", type=kind, **enter)
    wait_for(page, "document.querySelector('iframe')")
    assert page.evaluate("document.querySelector('textarea').value") == "The film was so fine!"
    assert page.evaluate("location.hash") == "#answer"
    checked = "[...document.querySelectorAll('[name=methods]:checked')].map((box) => box.value)"
    assert page.evaluate(checked) == ["gradient_x_input", "rollout"]
    with inside_the_report(page) as report:
        facts = "[...document.querySelectorAll('.facts b')].map((name) => name.textContent)"
        assert report.evaluate(facts) == ["gradient_x_input", "rollout", "attention_layer_1"]
        report.evaluate("document.querySelector('details.inside').open = true")
        report.settle()
        assert report.evaluate("document.querySelectorAll('details.inside canvas').length") >= 1


def test_the_report_cannot_reach_the_page_around_it(page):
    page.focus("textarea")
    type_in(page, "dull")
    page.evaluate("document.querySelector('button').click()")
    wait_for(page, "document.querySelector('iframe')")
    assert page.evaluate("document.querySelector('iframe').contentDocument") is None
    with inside_the_report(page) as report:
        assert report.evaluate("origin") == "null"
        reach = "(() => { try { return parent.document.title; } catch (error) { return error.name; } })()"
        assert report.evaluate(reach) == "SecurityError"


def hostile(url):
    taken = f"{url}taken"
    return [
        f"</textarea><script>fetch('{taken}')</script><img src={taken} onerror=fetch('{taken}')>",
        f'"><svg onload="fetch(\'{taken}\')"><iframe src="{taken}"></iframe><link rel=stylesheet href={taken}>',
        f"</iframe></title><style>@import '{taken}';</style><base href={taken}><form action={taken}>",
        f"&lt;img src={taken}&gt; &quot; onfocus=fetch('{taken}') autofocus x=&quot; {{{{ 7*7 }}}}",
        f"</script><script>new Image().src='{taken}'</script><!-- ]]> <meta http-equiv=refresh content='0;{taken}'>",
    ]


@pytest.mark.parametrize("number", range(5))
def test_a_hostile_text_runs_nothing_and_asks_for_nothing(page, served, number):
    text = hostile(served.url)[number]
    page.focus("textarea")
    type_in(page, text)
    page.evaluate(
        "document.querySelectorAll('details').forEach((drawer) => { drawer.open = true; })"
    )
    page.focus("[name=other]")
    type_in(page, text[::-1] + text)
    page.evaluate("document.querySelector('button').click()")
    wait_for(page, "document.querySelector('iframe')")
    assert page.evaluate("document.querySelector('textarea').value") == text
    assert page.evaluate("document.querySelectorAll('script, img, svg, base, style').length") == 1
    with inside_the_report(page) as report:
        report.evaluate(
            "document.querySelectorAll('details').forEach((drawer) => { drawer.open = true; })"
        )
        report.settle()
        assert report.evaluate("document.querySelector('.text').textContent") == text
        assert report.evaluate("document.querySelectorAll('img, iframe, base, form').length") == 0


def test_hostile_labels_run_nothing(tab, tiny_release, tmp_path):
    labels = (
        "</option></select><script>fetch('/taken')</script>",
        '"><img src=/taken>',
        "'{{ 7*7 }}'",
    )
    trained = classifier_folder.make(tmp_path / "hostile", tiny_release, labels=labels)
    tab.complaints.clear()
    with serve(answers_lib.Answers(trained, ["rollout"])) as served:
        tab.open(Address(served.url))
        tab.focus("textarea")
        type_in(tab, "so fine")
        tab.evaluate("document.querySelector('button').click()")
        wait_for(tab, "document.querySelector('iframe')")
        options = "[...document.querySelectorAll('[name=against] option')].map((one) => one.value)"
        assert tab.evaluate(options) == ["", *labels]
        assert set(served.asked) == {"/"}
    assert tab.complaints == []


def test_another_sites_page_is_turned_away(tab, served, tmp_path):
    served.asked.clear()
    path = tmp_path / "evil.html"
    path.write_text(
        f"<form method=post action={served.url}><input name=text value=a><input name=methods value=rollout></form>"
        f"<iframe src={served.url}></iframe>"
    )
    tab.open(path)
    tab.evaluate("document.forms[0].submit()")
    wait_for(tab, "document.querySelector('[role=alert]')")
    assert tab.text("[role=alert]") == "Origin must be this page: no other site may ask"
    assert any("frame" in complaint for complaint in tab.complaints)  # it may not be framed


def test_an_error_is_told_where_the_answer_would_be(tab, served):
    tab.open(Address(served.url))
    tab.evaluate("document.querySelector('button').click()")
    wait_for(tab, "document.querySelector('[role=alert]')")
    assert tab.text("[role=alert]") == "there must be a text to explain, got none; type one"
    assert tab.evaluate("document.title") == "Not answered: Why this answer?"

"""What the app must not let through: sizes, other sites, hostile texts, faults, too many at once."""

import asyncio
import html
import re
import threading
import urllib.parse

import pytest
from fastapi import testclient

from explain import answers as answers_lib
from explain import server
from tests.explain import classifier_folder
from tests.explain import served
from tests.explain import test_highlight_browser

folder = served.folder
answers, client, direct = served.answers, served.client, served.direct


@pytest.mark.parametrize(
    ("body", "kind", "status", "told"),
    [
        (b"text=%ff", "application/x-www-form-urlencoded", 400, "URL-encoded UTF-8"),
        (b"text=%ed%a0%80", "application/x-www-form-urlencoded", 400, "URL-encoded UTF-8"),
        ("text=é".encode(), "application/x-www-form-urlencoded", 400, "URL-encoded UTF-8"),
        (b'{"text": "a"}', "application/json", 415, "Content-Type must be"),
        (b"", "multipart/form-data; boundary=x", 415, "Content-Type must be"),
    ],
)
def test_a_body_that_is_no_form_is_refused(client, body, kind, status, told):
    response = client.post("/", content=body, headers={"Content-Type": kind})
    assert (response.status_code, told in served.alert_in(response.text)) == (status, True)


@pytest.mark.parametrize("path", ["/", served.PREDICT])
def test_a_body_too_large_is_refused_before_it_is_read_and_while_it_is(client, path):
    most = served.LIMITS.body_bytes
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    declared = client.post(path, content=b"x" * (most + 1), headers=kind)
    assert declared.status_code == 413
    sent = []

    def endless():
        while True:
            sent.append(1)
            yield b"x" * 4096
            assert len(sent) * 4096 < most + 2**20, "the whole body was read"

    app = server.create_app(served.fake(), "tiny", served.LIMITS)
    assert asyncio.run(status_of_stream(app, path, endless())) == 413
    assert (len(sent) - 1) * 4096 <= most


async def status_of_stream(app, path, parts, headers=()):
    """Post a body of no declared length and return the status."""
    statuses = []
    given = [(b"host", b"127.0.0.1"), (b"content-type", b"application/x-www-form-urlencoded")]

    async def receive():
        part = next(parts, None)
        if part is None:
            await asyncio.sleep(3600)
        return {"type": "http.request", "body": part, "more_body": True}

    async def send(message):
        statuses.append(message.get("status"))

    scope = {
        **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http"},
        **{"method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""},
        **{"root_path": "", "headers": [*given, *headers], "server": ("127.0.0.1", 8000)},
        "client": ("127.0.0.1", 5),
    }
    await app(scope, receive, send)
    return statuses[0]


def test_a_body_that_does_not_arrive_is_given_up():
    app = server.create_app(served.fake(), "tiny", served.LIMITS._replace(body_timeout_s=0.05))
    assert asyncio.run(status_of_stream(app, "/", iter([b"text="]))) == 408


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("192.168.1.5:80", 200),
        ("localhost:8000", 200),
        ("LOCALHOST", 200),
        ("evil.example", 400),
        ("evil.example:8000", 400),
        ("127.0.0.1.evil.example", 400),
        ("localhost.evil.example", 400),
        ("evil.example@evil.example", 400),
        ("[::1", 400),
        ("", 400),
    ],
)
def test_a_name_that_is_not_this_machines_is_refused(client, host, status):
    assert client.get("/", headers={"Host": host}).status_code == status


def test_a_machines_own_name_counts_in_any_case():
    app = server.create_app(served.fake(), "tiny", served.LIMITS, {"MyBox.local"})
    client = testclient.TestClient(app)
    for host, status in (("MyBox.local:80", 200), ("mybox.local", 200), ("yourbox.local", 400)):
        assert client.get("/", headers={"Host": host}).status_code == status


@pytest.mark.parametrize("path", ["/", served.PREDICT])
@pytest.mark.parametrize(
    ("headers", "is_let_in"),
    [
        ({}, True),
        ({"Origin": served.HERE}, True),
        ({"Origin": served.HERE, "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "http://127.0.0.1:8001"}, False),
        ({"Origin": "http://127.0.0.1"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
    ],
)
def test_no_other_sites_page_may_ask(client, path, headers, is_let_in):
    response = client.post(path, content=b"", headers=headers)
    assert (response.status_code != 403) == is_let_in


def test_every_answer_is_guarded_and_none_is_for_other_sites(client):
    evil = {"Origin": "http://evil.example"}
    found = [
        client.get("/", headers=evil),
        client.post("/", data={"text": served.TEXT, "methods": ["rollout"]}),
        client.post("/", data={"text": served.TEXT, "methods": ["rollout"], "answer": "html"}),
        client.post("/", data={}, headers=evil),
        client.get("/nothing"),
        client.get("/v1/models/tiny"),
        client.get("/", headers={"Host": "evil.example"}),
        client.options("/", headers=evil | {"Access-Control-Request-Method": "POST"}),
    ]
    assert [response.status_code for response in found] == [200, 200, 200, 403, 404, 200, 400, 403]
    for response in found:
        headers = response.headers
        assert not [name for name in headers if name.startswith("access-control")]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        policy = headers["content-security-policy"].split("; ")
        assert {"default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"} <= set(policy)


def test_the_policy_allows_the_reports_script_and_no_other(client):
    page = client.post("/", data={"text": served.TEXT, "methods": ["rollout"], "layer": "0"})
    allowed = re.findall(r"script-src ([^;]*)", page.headers["content-security-policy"])
    inside = re.findall(r"script-src ([^;]*)", served.report_in(page.text))
    assert allowed == inside
    assert re.fullmatch(r"'sha256-[A-Za-z0-9+/=]{44}'", allowed[0])
    assert "script-src" not in client.get("/").headers["content-security-policy"]
    assert '<iframe title="Report" sandbox="allow-scripts allow-downloads" srcdoc=' in page.text
    assert "<script" not in re.sub(r'srcdoc="[^"]*"', "", page.text)


def test_hostile_texts_and_labels_are_shown_to_the_letter_and_make_no_element(
    tiny_release, tmp_path
):
    corpus = {
        name: text
        for name, text in test_highlight_browser.HOSTILE.items()
        if 0 < len(text.strip()) < 500
    }
    labels = ("</select><script>alert(1)</script>", '" onfocus="alert(1)" autofocus="', "{{ 7*7 }}")
    hostile = classifier_folder.make(tmp_path / "hostile", tiny_release, labels=labels)
    client = served.client_of(
        answers_lib.Answers(hostile, ["rollout"]), served.LIMITS._replace(characters=500)
    )
    harmless = tags_and_attributes(client.get("/").text)
    for text in (*corpus.values(), *labels):
        form = {"text": text, "other": text, "methods": ["rollout"], "target": labels[1]}
        page = client.post("/", data=form).text
        tags, attributes = tags_and_attributes(page)
        assert tags <= harmless[0] | {
            "iframe",
            "div",
            "table",
            "caption",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
        }
        assert attributes <= harmless[1] | {"srcdoc", "sandbox", "title", "scope", "open"}
        shown = [html.unescape(t) for t in re.findall(r"<textarea [^>]*>\n([^<]*)<", page)]
        assert shown[0] == shown[2] == text.replace("\r\n", "\n")
        for field in ("methods", "target", "against", "layer", "answer", text[:50] or "x"):
            refused = client.post("/", data=form | {field: f"{text}x"})
            assert refused.status_code == 400
            assert tags_and_attributes(refused.text)[0] <= tags | {"p"}
            assert tags_and_attributes(refused.text)[1] <= attributes | {"role"}


def tags_and_attributes(page):
    # the report, whose tests are its own, is text to the parser
    found = re.findall(r"<(\w+)((?:\s+[\w-]+(?:=\"[^\"]*\")?)*)\s*>", page)
    assert page.count("<") == len(
        re.findall(r"</?\w+(?:\s+[\w-]+(?:=\"[^\"]*\")?)*\s*>|<!DOCTYPE html>", page)
    )
    attributes = {
        name for _, told in found for name in re.findall(r"([\w-]+)(?:=\"[^\"]*\")?", told)
    }
    return {tag for tag, _ in found}, attributes


@pytest.mark.parametrize(
    ("method", "path", "status", "told"),
    [
        ("GET", "/nothing", 404, "Not Found"),
        ("GET", "/../../etc/passwd", 404, "Not Found"),
        ("GET", "/docs", 404, "Not Found"),
        ("GET", "/openapi.json", 404, "Not Found"),
        ("DELETE", "/", 405, "Method Not Allowed"),
    ],
)
def test_what_is_not_there_is_a_page_that_says_so(client, method, path, status, told):
    response = client.request(method, path)
    assert (response.status_code, served.alert_in(response.text)) == (status, told)


def test_a_fault_of_ours_is_told_without_its_inside(caplog):
    def broken(question):
        raise RuntimeError("secret of /home/somebody")

    client = served.client_of(served.fake(broken, encode=None), raise_server_exceptions=False)
    page = client.post("/", data={"text": "a", "methods": ["one"]})
    answer = client.post(served.PREDICT, json={"instances": ["a"]})
    for response in (page, answer):
        assert response.status_code == 500
        assert "secret" not in response.text
        assert response.headers["x-content-type-options"] == "nosniff"
    assert answer.json() == {"error": "the server failed to answer; its log says why"}
    with pytest.raises(RuntimeError, match="secret"):  # which the server writes into its log
        served.client_of(served.fake(broken)).post("/", data={"text": "a", "methods": ["one"]})


def test_what_a_method_refuses_is_logged_by_its_place_and_without_its_words(caplog):
    def picky(question):
        raise ValueError(f"secret of {question.texts[0]}")

    response = served.client_of(served.fake(picky)).post("/", data={"text": "a", "methods": "one"})
    assert (response.status_code, served.alert_in(response.text)) == (400, "secret of a")
    (line,) = [r.getMessage() for r in caplog.records if r.name == server.__name__]
    assert line == f"answered 400: ValueError at {__file__}:{picky.__code__.co_firstlineno + 1}"


def test_a_full_queue_and_a_long_wait_are_told(build_record):
    entered, go_on = threading.Event(), threading.Event()

    def slow(question):
        entered.set()
        assert go_on.wait(30)
        return [build_record("a", method="one")]

    form = {"text": "a", "methods": ["one"]}
    client = served.client_of(served.fake(slow), served.LIMITS._replace(waiting=1))
    found = []
    first = threading.Thread(target=lambda: found.append(client.post("/", data=form)))
    with client:  # one event loop for both requests
        first.start()
        assert entered.wait(30)
        second = client.post("/", data=form)
        go_on.set()
        first.join()
    assert (second.status_code, found[0].status_code) == (503, 200)
    assert "too many requests are waiting" in served.alert_in(second.text)
    go_on.clear()
    impatient = served.client_of(served.fake(slow), served.LIMITS._replace(timeout_s=0.05))
    response = impatient.post("/", data=form)
    go_on.set()
    assert response.status_code == 503
    assert "no answer within 0.05 seconds" in served.alert_in(response.text)


def test_questions_are_asked_one_at_a_time(build_record):
    inside, most = [], []

    def counted(question):
        inside.append(1)
        most.append(len(inside))
        threading.Event().wait(0.01)
        inside.pop()
        return [build_record("a", method="one")]

    with served.client_of(served.fake(counted)) as client:
        asked = [
            threading.Thread(
                target=client.post, args=("/",), kwargs={"data": {"text": "a", "methods": "one"}}
            )
            for _ in range(8)
        ]
        for thread in asked:
            thread.start()
        for thread in asked:
            thread.join()
    assert most == [1] * 8


def test_quoted_fields_survive_the_browsers_encoding(client):
    text = "a + b & c = 100% ; é 😀"
    body = urllib.parse.urlencode({"text": text, "methods": "rollout"})
    kind = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
    page = client.post("/", content=body, headers=kind).text
    assert re.search(r"<textarea [^>]*>\n([^<]*)<", page)[1] == html.escape(text)

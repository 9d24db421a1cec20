"""The app over HTTP, by its framework's own client: each route, each limit, and what it must not let through."""

import asyncio
import html
import re
import threading
import types
import urllib.parse

import numpy as np
import pytest
from fastapi import testclient

from explain import answers as answers_lib
from explain import attention
from explain import explanation
from explain import methods as methods_lib
from explain import model
from explain import server
from tests.explain import classifier_folder
from tests.explain import explained
from tests.explain import test_highlight
from tests.explain import test_highlight_browser

folder = explained.folder
METHODS = ("gradient_x_input", "chefer", "rollout")
LIMITS = server.Limits(characters=200, texts=3)
HERE = "http://127.0.0.1:8000"
PREDICT = "/v1/models/tiny:predict"
TEXT, PAIR = "The film was so fine!", ("it was very dull and", "I fine me")


@pytest.fixture(scope="module")
def answers(folder):
    return answers_lib.Answers(folder, METHODS)


@pytest.fixture(scope="module")
def client(answers):
    return client_of(answers)


@pytest.fixture(scope="module")
def direct(folder):
    return model.load_explainer(folder, METHODS)


def client_of(answers, limits=LIMITS, **options):
    app = server.create_app(answers, "tiny", limits)
    return testclient.TestClient(app, base_url=HERE, **options)


def fake(records=None, **fields):
    """Answers that need no model."""
    values = {"labels": ["bad", "good"], "methods": ["one"], "layers": 2, "records": records}
    return types.SimpleNamespace(check_target=lambda target: None, **(values | fields))


def saved(response, tmp_path):
    (tmp_path / "answer.jsonl").write_bytes(response.content)
    return explanation.load_jsonl(tmp_path / "answer.jsonl")


def report_in(page):
    (source,) = re.findall(r'srcdoc="([^"]*)"', page)
    return html.unescape(source)


def alert_in(page):
    (line,) = re.findall(r'<p class="error" role="alert">(.*)</p>', page)
    return html.unescape(line)


def test_the_page_offers_the_models_methods_classes_and_layers(client):
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert re.findall(r'name="methods" value="(\w+)"( checked)?', page.text) == [
        ("gradient_x_input", " checked"),
        ("chefer", ""),
        ("rollout", ""),
    ]
    values = re.findall(r'<option value="([^"]*)"( selected)?>', page.text)
    assert [value for value, _ in values] == [
        *("predicted", "all", *classifier_folder.LABELS),  # the target
        *("", *classifier_folder.LABELS),  # against
        *("", "0", "1"),  # the layer
    ]
    assert [value for value, chosen in values if chosen] == ["predicted", "", "1"]
    leads = re.findall(r"(?:src|href|action|url)[=(]\"?([^\" >]*)", page.text)
    assert set(leads) == {"data:,", "/#answer"}


def test_scores_are_those_of_the_explainer(client, direct, tmp_path):
    form = {
        "text": TEXT,
        "other": PAIR[0],
        "other_b": PAIR[1],
        "methods": METHODS,
        "target": "good",
        "layer": "",
        "answer": "jsonl",
    }
    response = client.post("/", data=form)
    assert response.headers["content-disposition"] == 'attachment; filename="explanations.jsonl"'
    found, wanted = saved(response, tmp_path), direct([TEXT, PAIR], "good")
    assert [record.guid for record in found] == ["text-0"] * 3 + ["text-1"] * 3
    for record, expected in zip(found, wanted, strict=True):
        assert (record.guid, record.texts, record.method) == (
            expected.guid,
            expected.texts,
            expected.method,
        )
        assert (record.words, record.tokens, record.target) == (
            expected.words,
            expected.tokens,
            expected.target,
        )
        # one graph a method here, one of all methods there
        np.testing.assert_allclose(record.scores, expected.scores, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(record.probabilities, expected.probabilities, rtol=1e-5)


def test_a_layers_attention_is_that_of_its_processor(client, folder, tmp_path):
    def of_first(question):
        processor = attention.average_layer_i_on_token_j_by_head(0, 0)
        return attention.processed_alone(processor, question.outputs)

    method = methods_lib.Method(of_first, signed=False, knows_target=False)
    wanted = model.load_explainer(folder, [method])([TEXT, PAIR])
    form = {"text": TEXT, "other": PAIR[0], "other_b": PAIR[1], "layer": "0", "answer": "jsonl"}
    found = saved(client.post("/", data=form), tmp_path)
    assert [record.method for record in found] == ["attention_layer_0"] * 2
    for record, expected in zip(found, wanted, strict=True):
        assert record.words == expected.words
        np.testing.assert_allclose(record.scores, expected.scores, rtol=1e-5, atol=1e-7)
        assert record.attention is None  # megabytes a text, as numbers


def test_the_page_shows_the_report_that_it_saves(client):
    form = {"text": TEXT, "methods": ["chefer"], "layer": "1"}
    page = client.post("/", data=form)
    assert page.status_code == 200
    report = report_in(page.text)
    download = client.post("/", data=form | {"answer": "html"})
    assert download.headers["content-disposition"] == 'attachment; filename="report.html"'
    assert report == download.text
    shown = test_highlight.Page(report)
    assert [card.texts for card in shown.cards] == [
        [TEXT, TEXT]
    ]  # chefer, and attention of layer 1
    assert 'data-view="head"' in report
    assert 'data-view="head"' not in report_in(client.post("/", data=form | {"layer": ""}).text)


def test_the_form_comes_back_as_it_was_sent(client):
    form = {"text": "\n so fine\r\n\r\nit", "methods": ["rollout"], "target": "good", "layer": ""}
    page = client.post("/", data=form | {"against": "bad"}).text
    # a parser drops the first line feed, and a form's line ends are no part of the text
    assert re.findall(r'name="text" [^>]*>\n([^<]*)<', page) == ["\n so fine\n\nit"]
    assert re.findall(r'value="(\w+)" checked', page) == ["rollout"]
    assert re.findall(r'<option value="([^"]*)" selected', page) == ["good", "bad", ""]


def test_two_texts_are_compared_class_by_class(client, direct):
    form = {"text": TEXT, "other": "dull", "methods": ["rollout"]}
    number = r'<td class="number">([^<]+)</td>'
    page = client.post("/", data=form).text
    rows = re.findall(f"<bdi>([^<]*)</bdi></th>{number * 3}", page)
    first, second = direct.probabilities([TEXT, "dull"])
    assert [row[0] for row in rows] == list(classifier_folder.LABELS)
    np.testing.assert_allclose([float(row[1]) for row in rows], first, atol=6e-5)
    np.testing.assert_allclose([float(row[2]) for row in rows], second, atol=6e-5)
    np.testing.assert_allclose([float(row[3]) for row in rows], second - first, atol=6e-5)
    assert "Both texts" not in client.post("/", data=form | {"other": " "}).text


@pytest.mark.parametrize(
    ("target", "against", "expected"),
    [
        ("good", "bad", ["good-bad"]),
        ("so-so", "good", ["so-so-good"]),
        ("all", "", ["bad", "good", "so-so"]),
    ],
)
def test_targets_are_the_explainers(client, target, against, expected, tmp_path):
    form = {"text": TEXT, "methods": ["gradient_x_input"], "target": target, "against": against}
    found = saved(client.post("/", data=form | {"answer": "jsonl"}), tmp_path)
    assert [record.target for record in found] == expected


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ({"text": " \n"}, 400, "there must be a text to explain"),
        ({"text": "x" * 201}, 413, "at most 200 characters, got 201"),
        ({"other_b": "x" * 201}, 413, "at most 200 characters, got 201"),
        (
            {"methods": ["chefer", "random"]},
            400,
            "a method must be one of gradient_x_input, chefer",
        ),
        ({"methods": ["os:system"]}, 400, "a method must be one of"),
        ({"methods": []}, 400, "there must be a method or a layer"),
        ({"layer": "2"}, 400, "a layer must be a number from 0 to 1, got '2'"),
        ({"layer": "-1"}, 400, "a layer must be a number from 0 to 1"),
        ({"target": "worst"}, 400, "a class must be one of 'bad', 'good', 'so-so'"),
        ({"target": "gold"}, 400, "needs the true label"),
        ({"target": "good", "against": "good"}, 400, "a contrast must be of two classes"),
        ({"answer": "pdf"}, 400, "answer must be one of page, jsonl, html; got 'pdf'"),
        ({"path": "/etc/passwd"}, 400, "each of its fields once, got 'path'"),
        ({"text": ["a", "b"]}, 400, "each of its fields once, got 'text'"),
        ({"methods": ["rollout"] * 65}, 400, "of at most 64 fields"),
    ],
)
def test_what_a_form_may_not_ask_is_told_in_one_line(client, change, status, told):
    form = {"text": TEXT, "methods": ["rollout"]} | change
    response = client.post("/", data=form)
    assert response.status_code == status
    line = alert_in(response.text)
    assert told in line
    assert "Traceback" not in response.text
    if (
        "text" not in change
        and "path" not in change
        and status == 400
        and len(form["methods"]) < 65
    ):
        assert TEXT in response.text or "answer" in change  # nothing typed is lost


def test_a_contrast_with_the_predicted_class_is_refused_when_the_model_has_spoken(client, direct):
    (record, *_) = direct([TEXT])
    form = {"text": TEXT, "methods": ["chefer"], "target": "predicted", "against": record.predicted}
    response = client.post("/", data=form)
    assert response.status_code == 400
    assert "a contrast must be of two classes" in alert_in(response.text)


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
    assert (response.status_code, told in alert_in(response.text)) == (status, True)


@pytest.mark.parametrize("path", ["/", PREDICT])
def test_a_body_too_large_is_refused_before_it_is_read_and_while_it_is(client, path):
    most = LIMITS.body_bytes
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    declared = client.post(path, content=b"x" * (most + 1), headers=kind)
    assert declared.status_code == 413
    sent = []

    def endless():
        while True:
            sent.append(1)
            yield b"x" * 4096
            assert len(sent) * 4096 < most + 2**20, "the whole body was read"

    app = server.create_app(fake(), "tiny", LIMITS)
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
    app = server.create_app(fake(), "tiny", LIMITS._replace(body_timeout_s=0.05))
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
    app = server.create_app(fake(), "tiny", LIMITS, {"MyBox.local"})
    client = testclient.TestClient(app)
    for host, status in (("MyBox.local:80", 200), ("mybox.local", 200), ("yourbox.local", 400)):
        assert client.get("/", headers={"Host": host}).status_code == status


@pytest.mark.parametrize("path", ["/", PREDICT])
@pytest.mark.parametrize(
    ("headers", "is_let_in"),
    [
        ({}, True),
        ({"Origin": HERE}, True),
        ({"Origin": HERE, "Sec-Fetch-Site": "same-origin"}, True),
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
        client.post("/", data={"text": TEXT, "methods": ["rollout"]}),
        client.post("/", data={"text": TEXT, "methods": ["rollout"], "answer": "html"}),
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
    page = client.post("/", data={"text": TEXT, "methods": ["rollout"], "layer": "0"})
    allowed = re.findall(r"script-src ([^;]*)", page.headers["content-security-policy"])
    inside = re.findall(r"script-src ([^;]*)", report_in(page.text))
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
    client = client_of(answers_lib.Answers(hostile, ["rollout"]), LIMITS._replace(characters=500))
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
    assert (response.status_code, alert_in(response.text)) == (status, told)


def test_a_fault_of_ours_is_told_without_its_inside(caplog):
    def broken(question):
        raise RuntimeError("secret of /home/somebody")

    client = client_of(fake(broken, encode=None), raise_server_exceptions=False)
    page = client.post("/", data={"text": "a", "methods": ["one"]})
    answer = client.post(PREDICT, json={"instances": ["a"]})
    for response in (page, answer):
        assert response.status_code == 500
        assert "secret" not in response.text
        assert response.headers["x-content-type-options"] == "nosniff"
    assert answer.json() == {"error": "the server failed to answer; its log says why"}
    with pytest.raises(RuntimeError, match="secret"):  # which the server writes into its log
        client_of(fake(broken)).post("/", data={"text": "a", "methods": ["one"]})


def test_a_full_queue_and_a_long_wait_are_told(build_record):
    entered, go_on = threading.Event(), threading.Event()

    def slow(question):
        entered.set()
        assert go_on.wait(30)
        return [build_record("a", method="one")]

    form = {"text": "a", "methods": ["one"]}
    client = client_of(fake(slow), LIMITS._replace(waiting=1))
    found = []
    first = threading.Thread(target=lambda: found.append(client.post("/", data=form)))
    with client:  # one event loop for both requests
        first.start()
        assert entered.wait(30)
        second = client.post("/", data=form)
        go_on.set()
        first.join()
    assert (second.status_code, found[0].status_code) == (503, 200)
    assert "too many requests are waiting" in alert_in(second.text)
    go_on.clear()
    impatient = client_of(fake(slow), LIMITS._replace(timeout_s=0.05))
    response = impatient.post("/", data=form)
    go_on.set()
    assert response.status_code == 503
    assert "no answer within 0.05 seconds" in alert_in(response.text)


def test_questions_are_asked_one_at_a_time(build_record):
    inside, most = [], []

    def counted(question):
        inside.append(1)
        most.append(len(inside))
        threading.Event().wait(0.01)
        inside.pop()
        return [build_record("a", method="one")]

    with client_of(fake(counted)) as client:
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

"""A tiny model behind the app, and what a test reads in its answers."""

import html
import re
import types

import pytest
from fastapi import testclient

from explain import answers as answers_lib
from explain import explanation
from explain import model
from explain import server
from tests.explain import explained

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

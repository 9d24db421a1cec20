"""The app over HTTP, by its framework's own client: the page, what it says, and what a form may ask."""

import re

import numpy as np
import pytest

from explain import answers as answers_lib
from explain import attention
from explain import methods as methods_lib
from explain import model
from tests.explain import classifier_folder
from tests.explain import served
from tests.explain import test_highlight

folder = served.folder
answers, client, direct = served.answers, served.client, served.direct


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
        "text": served.TEXT,
        "other": served.PAIR[0],
        "other_b": served.PAIR[1],
        "methods": served.METHODS,
        "target": "good",
        "layer": "",
        "answer": "jsonl",
    }
    response = client.post("/", data=form)
    assert response.headers["content-disposition"] == 'attachment; filename="explanations.jsonl"'
    found, wanted = served.saved(response, tmp_path), direct([served.TEXT, served.PAIR], "good")
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
    wanted = model.load_explainer(folder, [method])([served.TEXT, served.PAIR])
    form = {
        "text": served.TEXT,
        "other": served.PAIR[0],
        "other_b": served.PAIR[1],
        "layer": "0",
        "answer": "jsonl",
    }
    found = served.saved(client.post("/", data=form), tmp_path)
    assert [record.method for record in found] == ["attention_layer_0"] * 2
    for record, expected in zip(found, wanted, strict=True):
        assert record.words == expected.words
        np.testing.assert_allclose(record.scores, expected.scores, rtol=1e-5, atol=1e-7)
        assert record.attention is None  # megabytes a text, as numbers


def test_the_page_shows_the_report_that_it_saves(client):
    form = {"text": served.TEXT, "methods": ["chefer"], "layer": "1"}
    page = client.post("/", data=form)
    assert page.status_code == 200
    report = served.report_in(page.text)
    download = client.post("/", data=form | {"answer": "html"})
    assert download.headers["content-disposition"] == 'attachment; filename="report.html"'
    assert report == download.text
    shown = test_highlight.Page(report)
    assert [card.texts for card in shown.cards] == [
        [served.TEXT, served.TEXT]
    ]  # chefer, and attention of layer 1
    assert 'data-view="head"' in report
    assert 'data-view="head"' not in served.report_in(
        client.post("/", data=form | {"layer": ""}).text
    )


def test_the_form_comes_back_as_it_was_sent(client):
    form = {"text": "\n so fine\r\n\r\nit", "methods": ["rollout"], "target": "good", "layer": ""}
    page = client.post("/", data=form | {"against": "bad"}).text
    # a parser drops the first line feed, and a form's line ends are no part of the text
    assert re.findall(r'name="text" [^>]*>\n([^<]*)<', page) == ["\n so fine\n\nit"]
    assert re.findall(r'value="(\w+)" checked', page) == ["rollout"]
    assert re.findall(r'<option value="([^"]*)" selected', page) == ["good", "bad", ""]


def test_two_texts_are_compared_class_by_class(client, direct):
    form = {"text": served.TEXT, "other": "dull", "methods": ["rollout"]}
    number = r'<td class="number">([^<]+)</td>'
    page = client.post("/", data=form).text
    rows = re.findall(f"<bdi>([^<]*)</bdi></th>{number * 3}", page)
    first, second = direct.probabilities([served.TEXT, "dull"])
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
    form = {
        "text": served.TEXT,
        "methods": ["gradient_x_input"],
        "target": target,
        "against": against,
    }
    found = served.saved(client.post("/", data=form | {"answer": "jsonl"}), tmp_path)
    assert [record.target for record in found] == expected


def test_two_classes_are_held_against_each_other_where_their_joined_name_is_a_class(
    tiny_release, tmp_path
):
    named = classifier_folder.make(tmp_path / "named", tiny_release, labels=("a", "b", "a-b"))
    client = served.client_of(answers_lib.Answers(named, ["gradient_x_input"]))
    form = {"text": served.TEXT, "methods": ["gradient_x_input"], "answer": "jsonl"}
    explainer = model.load_explainer(named, ["gradient_x_input"])
    for chosen, target in (({"target": "a-b"}, 2), ({"target": "a", "against": "b"}, ("a", "b"))):
        (record,) = served.saved(client.post("/", data=form | chosen), tmp_path)
        (expected,) = explainer([served.TEXT], target)
        np.testing.assert_allclose(record.scores, expected.scores, atol=1e-6)
    (first,), (second,) = (explainer([served.TEXT], target) for target in (0, 1))
    np.testing.assert_allclose(record.scores, first.scores - second.scores, atol=1e-5)


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
    form = {"text": served.TEXT, "methods": ["rollout"]} | change
    response = client.post("/", data=form)
    assert response.status_code == status
    line = served.alert_in(response.text)
    assert told in line
    assert "Traceback" not in response.text
    if (
        "text" not in change
        and "path" not in change
        and status == 400
        and len(form["methods"]) < 65
    ):
        assert served.TEXT in response.text or "answer" in change  # nothing typed is lost


def test_a_contrast_with_the_predicted_class_is_refused_when_the_model_has_spoken(client, direct):
    (record, *_) = direct([served.TEXT])
    form = {
        "text": served.TEXT,
        "methods": ["chefer"],
        "target": "predicted",
        "against": record.predicted,
    }
    response = client.post("/", data=form)
    assert response.status_code == 400
    assert "a contrast must be of two classes" in served.alert_in(response.text)

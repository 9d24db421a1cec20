"""TensorFlow Serving's REST form: the same questions and answers as of the exported model, and its errors."""

import dataclasses
import json
import types

import numpy as np
import pytest

from bert import tokenization
from explain import rest
from tests.explain import served

folder, answers, client, direct = (
    served.folder,
    served.answers,
    served.client,
    served.direct,
)
PREDICT, METHODS = served.PREDICT, served.METHODS
TEXT, PAIR = served.TEXT, served.PAIR


def of_text(direct, text, target="predicted"):
    """Return what a row must hold, by the explainer asked directly."""
    records = direct([text], target)
    scores = {f"attribution_{record.method}": record.token_scores for record in records}
    return records[0], scores


def check(row, direct, text, target="predicted"):
    record, scores = of_text(direct, text, target)
    assert row["label"] == record.predicted
    assert row.keys() == {"label", "probabilities", "tokens", "spans", *scores}
    np.testing.assert_allclose(row["probabilities"], record.probabilities, rtol=1e-5)
    length = len(record.tokens)
    assert row["tokens"][:length] == list(record.tokens)
    for name, values in scores.items():
        np.testing.assert_allclose(row[name][:length], values, rtol=1e-4, atol=1e-6)
    return length


def test_a_status_is_tf_servings(client):
    response = client.get("/v1/models/tiny")
    assert response.json() == {
        "model_version_status": [
            {
                "version": "1",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }


def test_a_text_is_answered_as_by_the_explainer(client, direct):
    response = client.post(PREDICT, json={"instances": [{"text": TEXT}]})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    (row,) = response.json()["predictions"]
    assert check(row, direct, TEXT) == len(row["tokens"])
    words = [
        TEXT[start:end].lower()
        for token, (start, end) in zip(row["tokens"], row["spans"], strict=True)
        if token.isalpha()
    ]
    assert words == [token for token in row["tokens"] if token.isalpha()]


def test_texts_of_a_request_are_padded_to_the_longest(client, direct):
    rows = [{"text": "dull"}, {"text": PAIR[0], "text_b": PAIR[1]}, TEXT]
    found = client.post(PREDICT, json={"instances": rows}).json()["predictions"]
    lengths = [
        check(row, direct, text) for row, text in zip(found, ["dull", PAIR, TEXT], strict=True)
    ]
    assert min(lengths) < max(lengths)
    for row, length in zip(found, lengths, strict=True):
        missing = max(lengths) - length
        assert row["tokens"][length:] == [""] * missing
        assert row["spans"][length:] == [[0, 0]] * missing
        assert row["attribution_rollout"][length:] == [0.0] * missing


def test_columns_are_answered_in_columns(client):
    rows = [{"text": PAIR[0], "text_b": PAIR[1]}, {"text": "dull"}]
    by_row = client.post(PREDICT, json={"instances": rows}).json()["predictions"]
    inputs = {"text": [PAIR[0], "dull"], "text_b": [PAIR[1], ""]}
    by_column = client.post(PREDICT, json={"inputs": inputs}).json()["outputs"]
    assert by_column == {name: [row[name] for row in by_row] for name in by_row[0]}
    alone = client.post(PREDICT, json={"inputs": ["dull"]}).json()["outputs"]
    assert alone["label"] == [by_row[1]["label"]]


def test_explain_takes_a_target_for_each_text(client, direct):
    asked = [
        {"text": TEXT, "target": "good"},
        {"text": "dull"},
        {"text": TEXT, "target": 0},
        {"text": "dull", "target": "so-so-good"},
        {"text": TEXT, "target": -1},  # the exported model's predicted class
    ]
    limit = served.LIMITS.texts
    for some in (asked[i : i + limit] for i in range(0, len(asked), limit)):
        body = {"signature_name": "explain", "instances": some}
        found = client.post(PREDICT, json=body).json()["predictions"]
        for row, given in zip(found, some, strict=True):
            target = given.get("target", "predicted")
            check(row, direct, given["text"], "predicted" if target == -1 else target)


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"{", 400, "Invalid JSON"),
        (b"", 400, "Invalid JSON"),
        (b"[" * 100_000, 413, "a request must be at most"),
        (b"[" * 50_000, 400, "Invalid JSON"),
        (b"\xff", 400, "Invalid JSON"),
        (b'{"instances": [{"text": "\\ud800"}]}', 400, "Invalid JSON"),
        (b"[]", 400, "Input should be an object"),
        ({}, 400, "Missing 'inputs' or 'instances' key"),
        ({"instances": []}, 400, "No values in 'instances' array"),
        ({"instances": "a"}, 400, "instances: Input should be a valid array"),
        ({"instances": ["a"], "inputs": ["a"]}, 400, "only one of 'inputs' or 'instances'"),
        ({"instances": [{"txt": "a"}]}, 400, "instances.0.text: Field required"),
        ({"instances": [{"text": "a", "path": "/x"}]}, 400, "Extra inputs are not permitted"),
        ({"instances": [{"text": 3}]}, 400, "Input should be a valid string"),
        ({"instances": [None]}, 400, "instances.0"),
        (
            {"inputs": {"text": ["a", "b"], "text_b": ["a"]}},
            400,
            "text_b must be one a text, got 1",
        ),
        ({"inputs": {"text": "a"}}, 400, "inputs.text: Input should be a valid array"),
        (
            {"instances": ["a"], "signature_name": "ids"},
            400,
            'name: "ids" not found in signature def',
        ),
        (
            {"instances": [{"text": "a", "target": "good"}]},
            400,
            "target is an input of signature_name",
        ),
        ({"instances": ["a"] * 4}, 413, "instances must be at most 3, got 4"),
        ({"instances": ["x" * 201]}, 413, "at most 200 characters, got 201"),
        ({"instances": [{"text": "a", "text_b": "x" * 201}]}, 413, "at most 200 characters"),
    ],
)
def test_errors_are_one_line_of_json(client, body, status, told):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = client.post(PREDICT, content=content)
    assert response.status_code == status
    assert response.json().keys() == {"error"}
    line = response.json()["error"]
    assert told in line
    assert len(line) <= 300
    assert "\n" not in line


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("worst", "a class must be one of"),
        (3, "an index from 0 to 2; got 3"),
        ("all", "target must be one class"),
        ("gold", "needs the true label"),
        (True, "Input should be a valid"),
        ("<script>" * 100, "a class must be one of"),
    ],
)
def test_a_wrong_target_is_told(client, target, told):
    body = {"signature_name": "explain", "instances": [{"text": "a", "target": target}]}
    response = client.post(PREDICT, json=body)
    assert (response.status_code, told in response.json()["error"]) == (400, True)


@pytest.mark.parametrize("name", ["other", "..", "%2e%2e%2fetc%2fpasswd", "tiny%00", "TINY"])
def test_an_unknown_model_is_not_looked_for(client, name):
    status = client.get(f"/v1/models/{name}")
    predict = client.post(f"/v1/models/{name}:predict", json={"instances": ["a"]})
    assert (status.status_code, predict.status_code) == (404, 404)
    assert status.json().keys() == predict.json().keys() == {"error"}


def test_numbers_that_are_not_finite_are_written_as_tf_serving_writes_them(build_record):
    record = build_record("so fine", method="one")
    scores = np.array([0.5, np.nan, -np.inf, np.inf], np.float32)
    spans = [tokenization.Token("x", 0, 0)] * 4
    record = dataclasses.replace(record, token_scores=scores, tokens=tuple("abcd"))
    answers = served.fake(
        lambda question: [record], encode=lambda text: types.SimpleNamespace(tokens=spans)
    )
    body = rest.answer(rest.parse(b'{"instances": ["so fine"]}'), answers)
    assert b'"attribution_one":[0.5,NaN,-Infinity,Infinity]' in body

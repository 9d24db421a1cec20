"""A reader opens a report, and a view inside a notebook."""

import numpy as np

from explain import views
from tests.explain import test_views as made
from tests.explain import test_views_browser as reading

tab, show = reading.tab, reading.show
status, weights_of = reading.status, reading.weights_of
TOKENS, SIZE, CANVAS = reading.TOKENS, reading.SIZE, reading.CANVAS


def test_a_report_shows_where_in_depth_the_decision_forms(show, build_record):
    scores = made.layer_scores(7)
    record = build_record("Not bad at all!", layer_scores=scores, signed=True, method="cp_lrp")
    page = show(views.report([record]))
    page.click(".inside summary")
    page.focus(CANVAS)
    page.press("ArrowDown", "ArrowDown", "Enter")
    assert status(page) == "Layer 0: towards the target 0.5000, away from it -0.1250"
    rows = page.table()
    assert [row[0] for row in rows] == ["layer", "Before layer 0", "Layer 0", "Layer 1"]
    shown = [[float(cell) for cell in row[1:]] for row in rows[1:]]
    assert shown == [[1.25, -0.25], [0.5, -0.125], [0.0, 0.0]]


def test_a_report_shows_methods_side_by_side_and_the_attention_when_asked(show, build_record):
    attention = made.attention(size=7)
    fields = {"guid": "first", "attention": attention}
    records = [
        build_record("Not bad at all!", **fields),
        build_record("Not bad at all!", method="rollout", **fields),
        build_record("Dull.", guid="second"),
    ]
    page = show(views.report(records))
    lefts = page.evaluate(
        "[...document.querySelectorAll('article:first-of-type > section')].map((one) => one.getBoundingClientRect().x)"
    )
    assert lefts[0] < lefts[1]
    assert "predicted positive (0.900)" in page.text("article h2")
    assert page.evaluate("document.querySelectorAll('canvas').length") == 0
    page.click(".inside summary")
    page.focus(CANVAS)
    page.press("ArrowDown", "Enter")
    limit = np.max(attention[-1, 0, 0]) / 255
    np.testing.assert_allclose(
        weights_of(page.table(".view .table")), attention[-1, 0, 0], rtol=0, atol=limit
    )


def test_a_frame_shows_the_view_inside_a_notebook(show):
    page = show(
        "<!DOCTYPE html><title>n</title>" + views.frame(views.head_view(made.attention(), TOKENS))
    )
    inside = "document.querySelector('iframe').contentDocument"
    assert page.evaluate(f"{inside}.querySelectorAll('.stage canvas').length") == 2

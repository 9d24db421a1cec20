"""A view is one small file that says what it left out, and no token in it is markup."""

import base64
import hashlib
import html
import json
import re

import numpy as np
import pytest

from explain import views

TOKENS = ["[CLS]", "the", "film", "was", "dull", "[SEP]", "nobody", "laughed", "[SEP]"]
LAYERS, HEADS, SIZE = 2, 3, len(TOKENS)
HOSTILE = [
    "</script><script>document.title='taken'</script>",
    "<img src=x onerror=\"document.title='taken'\">",
    "<!-- <script> ]]> --> &amp; &lt;b&gt;",
    "\u2028\u2029 \" ' ` \\ \\u003c {{ 7*7 }} ${document.title='taken'}",
    "nul\0 bell\a half\ud83d 電影 שלום 😀",
]
_DATA = re.compile(r'<script type="application/json">(.*?)</script>', re.DOTALL)


def attention(layers: int = LAYERS, heads: int = HEADS, size: int = SIZE) -> np.ndarray:
    rng = np.random.default_rng(layers)
    raw = rng.exponential(size=(layers, heads, size, size)).astype(np.float32) ** 3
    return raw / raw.sum(-1, keepdims=True)


def data_of(page: str) -> dict:
    (data,) = _DATA.findall(page)
    return json.loads(data)


def notes_of(page: str) -> list[str]:
    return [html.unescape(note) for note in re.findall(r'<p class="note">(.*?)</p>', page)]


def head(tokens: list[str], **options: str) -> str:
    return views.head_view(attention(size=len(tokens)), tokens, **options)


def model(tokens: list[str], **options: str) -> str:
    return views.model_view(attention(size=len(tokens)), tokens, **options)


def neuron(tokens: list[str], **options: str) -> str:
    return views.neuron_view(*np.ones((2, len(tokens), 4), np.float32), tokens, **options)


VIEWS = [head, model, neuron]
every_view = pytest.mark.parametrize("view", VIEWS)


@every_view
def test_a_page_names_no_address_and_lets_no_script_but_its_own_run(view):
    page = view(TOKENS)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert dict(rule.split(" ", 1) for rule in policy.split("; ")) == {
        "default-src": "'none'",
        "script-src": f"'sha256-{digest}'",
        "style-src": "'unsafe-inline'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert (
        re.findall(r"(?:https?:)?//[\w.-]+\.\w+", page.replace("http://www.w3.org/2000/svg", ""))
        == []
    )
    assert not re.search(r"<(link|img|iframe|script)[^>]*\s(src|href)=", page)


@every_view
def test_hostile_tokens_stay_data(view):
    page, harmless = view(HOSTILE), view(["a"] * len(HOSTILE))
    assert data_of(page)["tokens"] == HOSTILE
    assert page.count("<") == harmless.count("<")
    assert not set("\u2028\u2029\0\ud83d") & set(page)
    page.encode("utf-8")


@every_view
def test_a_title_is_text(view):
    title = HOSTILE[0] + "half\ud83d"
    page = view(TOKENS, title=title)
    assert "<script>document" not in page
    (shown,) = re.findall("<title>(.*?)</title>", page)
    assert html.unescape(shown).startswith(HOSTILE[0])
    page.encode("utf-8")


@pytest.mark.parametrize("with_relevance", [False, True])
def test_pages_of_the_largest_bert_base_stay_below_2_mb(with_relevance):
    size = 512
    weights = attention(12, 12, size)
    relevance = weights - weights.mean() if with_relevance else None
    tokens = ["unbelievably"] * size
    page = views.head_view(weights, tokens, relevance=relevance)
    assert 1_800_000 < len(page.encode()) <= 2_000_000


def test_the_note_states_what_packing_cost():
    page = views.head_view(attention(), TOKENS, relevance=attention() - 0.1)
    weights, relevance = notes_of(page)
    assert re.fullmatch(
        r"Attention: numbers are stored in steps of 1/255 of their row's largest; the largest error is [\de.-]+\.",
        weights,
    )
    assert relevance.startswith("Relevance: numbers are stored in steps of 1/127")
    assert "left out" not in weights


def test_the_note_states_what_was_left_out():
    page = views.model_view(attention(12, 12, 150), ["a"] * 150)
    (note,) = notes_of(page)
    cut = data_of(page)["arrays"]["attention"]["cut"]
    assert "Of 3,240,000 numbers this page keeps the" in note
    assert f"the greatest left out is {cut:.3g}" in note


def test_exact_keeps_every_number():
    weights = attention()
    page = views.head_view(weights, TOKENS, exact=True)
    packed = data_of(page)["arrays"]["attention"]
    there = [np.frombuffer(base64.b64decode(text), "<f4") for text in packed["heads"]]
    np.testing.assert_array_equal(np.reshape(there, weights.shape), weights)
    assert notes_of(page) == ["Attention: every number is the array's own."]


def test_arrays_of_other_precisions_are_taken():
    weights = attention()
    same = views.head_view(weights, TOKENS)
    assert views.head_view(weights.astype(np.float64), TOKENS) == same
    assert (
        views.head_view(weights[..., ::-1][..., ::-1], TOKENS) == same
    )  # nor need they lie in order


def test_queries_and_keys_are_kept_to_the_bit():
    queries, keys = np.random.default_rng(0).normal(size=(2, SIZE, 5)).astype(np.float32)
    data = data_of(views.neuron_view(queries, keys, TOKENS))
    for name, wanted in (("queries", queries), ("keys", keys)):
        there = np.frombuffer(base64.b64decode(data[name]), "<f4").reshape(SIZE, 5)
        np.testing.assert_array_equal(there, wanted)


def test_special_tokens_are_marked():
    assert data_of(views.head_view(attention(), TOKENS))["special"] == [0, 5, 8]


def test_the_profile_counts_the_tokens_that_are_attended_to():
    weights = np.zeros((2, 1, 4, 4), np.float32)
    weights[0, :, :, 0] = 1.0  # one token
    weights[1, :, :, :2] = 0.5  # two
    profile = data_of(views.head_view(weights, list("abcd")))["profile"]
    assert profile["ticks"] == ["0", "1"]
    np.testing.assert_allclose(profile["layers"], [[1.0], [2.0]], rtol=1e-5)


def test_the_profile_of_relevance_sums_what_speaks_for_and_against():
    relevance = np.zeros((2, 3, SIZE, SIZE), np.float32)
    relevance[0, 0, 0, :2] = [0.5, -0.25]
    relevance[1, 1:, 3, 4] = 2.0
    profile = data_of(views.head_view(attention(), TOKENS, relevance=relevance))["profile"]
    assert profile["layers"] == [[0.5, -0.25], [4.0, 0.0]]


def test_a_report_shows_the_attention_of_records_that_carry_all_of_it(build_record):
    weights = attention(size=7)
    records = [
        build_record("Not bad at all!", guid="a", attention=weights),
        build_record("Not bad at all!", guid="a", method="rollout"),
        build_record("Not bad at all!", guid="b", attention=weights[0, 0]),
        build_record("Not bad at all!", guid="c"),
    ]
    page = views.report(records)
    assert page.count("<article") == 3
    data = data_of(page)
    assert (data["tokens"], data["segments"]) == (list(records[0].tokens), None)


def layer_scores(tokens: int) -> np.ndarray:
    """Return what enters layer 0 and leaves layers 0 and 1: from the words to [CLS]."""
    scores = np.zeros((3, tokens), np.float32)
    scores[0, 1:4] = [0.75, 0.5, -0.25]
    scores[1, :3] = [0.5, 0.5, -0.125]
    scores[2, 0] = 1.0
    return scores


@pytest.mark.parametrize(
    ("signed", "wanted", "names"),
    [
        (True, [[1.25, -0.25], [0.5, -0.125], [0.0, 0.0]], ["towards the target", "away from it"]),
        (False, [[1.25], [0.5], [0.0]], ["relevance"]),
    ],
)
def test_a_report_shows_where_in_depth_the_decision_forms(build_record, signed, wanted, names):
    fields = {"layer_scores": layer_scores(7), "signed": signed, "target": "positive"}
    page = views.report(
        [
            build_record("Not bad at all!", method="cp_lrp", **fields),
            build_record("Not bad at all!", method="rollout"),
        ]
    )
    profile = data_of(page)
    assert profile["title"] == "cp_lrp for positive: where in depth the decision forms"
    assert (profile["ticks"], profile["names"]) == (["in", "0", "1"], names)
    assert profile["layers"] == wanted


def test_layer_scores_that_are_no_numbers_are_refused(build_record):
    scores = layer_scores(7)
    scores[1, 2] = np.inf
    with pytest.raises(ValueError, match=r"layer_scores must be finite numbers, got inf"):
        views.report([build_record("Not bad at all!", layer_scores=scores)])


def test_a_report_of_a_pair_knows_its_sentences(build_record):
    record = build_record("Not bad", "at all!")
    length = len(record.tokens)
    record = build_record("Not bad", "at all!", attention=attention(size=length))
    assert record.tokens[3] == "[SEP]"
    assert data_of(views.report([record]))["segments"] == [0, 0, 0, 0, 1, 1, 1, 1]


def test_hostile_records_stay_data(build_record):
    text = HOSTILE[0] + HOSTILE[1]
    record = build_record(text, guid=text)
    record = build_record(text, guid=text, attention=attention(size=len(record.tokens)))
    page = views.report([record])
    assert "<script>document" not in page
    assert "<img" not in page


def test_a_frame_holds_the_page_as_an_attribute():
    page = views.model_view(attention(), TOKENS)
    (source,) = re.findall(r'srcdoc="([^"]*)"', views.frame(page))
    assert html.unescape(source) == page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attention": attention()[0]}, r"attention must be float32\[layers, heads, 9, 9\]"),
        ({"attention": attention(size=8)}, r"for 9 tokens, got shape \(2, 3, 8, 8\)"),
        ({"attention": attention() * np.nan}, r"attention must be finite numbers, got nan"),
        ({"attention": attention() - 1}, r"attention must be weights of 0 or more, got -"),
        ({"relevance": attention(layers=1)}, r"the attention's shape \(2, 3, 9, 9\), got \(1, "),
        ({"relevance": attention() + np.inf}, r"relevance must be finite numbers, got inf"),
        ({"segments": [0, 1]}, r"segments must name the text of each of 9 tokens, got 2"),
    ],
)
def test_what_cannot_be_shown_is_refused(change, message):
    arguments = {"attention": attention(), "tokens": TOKENS} | change
    with pytest.raises(ValueError, match=message):
        views.head_view(arguments.pop("attention"), arguments.pop("tokens"), **arguments)


def test_queries_of_many_heads_are_refused():
    many = np.ones((HEADS, SIZE, 4), np.float32)
    with pytest.raises(ValueError, match=r"queries must be float32\[t, e\] of one head"):
        views.neuron_view(many, many, TOKENS)
    with pytest.raises(ValueError, match=r"keys must be float32\[t, e\]"):
        views.neuron_view(many[0], many[0][:, :2], TOKENS)

"""In a graph, texts get the ids, pieces and spans that the tokenizer gives them."""

import itertools
import sys
import unicodedata

import hypothesis
import numpy as np
import pytest
import tensorflow as tf

from bert import config as config_lib
from bert import features
from bert import graph_tokenization
from bert import tokenization
from tests.bert import test_tokenization_unicode
from tests.bert import vocabularies

pytest.importorskip("tensorflow_text")
WORDS = [
    *["the", "run", "##ning", "cafe", "!", "a", "##a", "b", "i", "\u535a", "\u2018", "\u2019", "E", "##\u0301"],
    *["\u1112", "##\u1161", "##\u11ab", "\u03bf", "##\u03bf", "##\u03c2", "##\u03c3", "[", "]"],
    *["sep", "\u00fc", "##\u00fc"],
]  # fmt: skip
TEXTS = [
    "The running",
    "\x00The\x07 run",
    "Caf\u00e9!",
    "Cafe\u0301\u0323!",
    "!\u0301 the",
    "\u0301the",
    "a\u535a\u3099b",
    "\u535athe",
    "t\u00adhe\u200b",
    "\u2018the\u2019",
    "the \U0001f600\ufe0f the",
    "the \U0001f468\u200d\U0001f469",
    "x X\u00c9\u00dfX the",
    "\ud55c",
    "\u0130 the",
    "E\u0301",
    "a " + "\u00e1" * 201,
    "\u00fc" * 200,
    "\u00fc" * 201,
    "[SEP] the [UNK]",
    "\u039f\u03a3 \u039f\u03a3\u039f \u039f\u03a3\u00ad' \u039f\u03a3\u00ad\u039f \u03a3 \u039f\u03a3",
    "x\u00a0y\u2028z\u3000w\u037e",
    "\ue000x \ufffd \ufffe",
    "",
    "  ",
    "the\n" * 40,
]


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Return a function that gives a tokenizer and the graph's encoder of its settings."""

    def build(words=WORDS, length=16, truncation="head", **settings):
        folder = tmp_path_factory.mktemp("vocabulary")
        path = vocabularies.write(
            folder / "vocab.txt", ["[PAD]", *words, *vocabularies.REQUIRED[:3]]
        )
        record = config_lib.ClassifierConfig(
            labels=("no", "yes"), max_seq_length=length, truncation=truncation
        )
        tokenizer = tokenization.FullTokenizer(path, **settings)
        return tokenizer, graph_tokenization.GraphEncoder(tokenizer, record)

    return build


def pieces_of(encoder, texts):
    """Return id, start and end of each text's pieces, by the graph."""
    found = tf.function(encoder.find_pieces, autograph=False)(tf.constant(texts))
    rows = np.split(found.flat_values.numpy(), found.row_splits.numpy()[1:-1])
    return [row.tolist() for row in rows]


def expected_of(tokenizer, texts):
    """Return the same, by the tokenizer."""
    return [np.stack(pieces, axis=1).tolist() for pieces in tokenizer.find_pieces(texts)]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"do_lower_case": False},
        {"strip_accents": False},
        {"max_input_chars_per_word": 3},
    ],
)
def test_every_text_has_the_tokenizers_pieces_and_spans(make, settings):
    tokenizer, encoder = make(**settings)
    expected = expected_of(tokenizer, TEXTS)
    found = pieces_of(encoder, TEXTS)
    for text, one, other in zip(TEXTS, found, expected, strict=True):
        assert one == other, ascii(text)


def test_known_pieces_come_with_the_characters_as_typed(make):
    tokenizer, encoder = make()
    ((first, *_, last),) = pieces_of(encoder, ["Cafe\u0301 running"])
    assert first == [tokenizer.vocab["cafe"], 0, 5]
    assert last == [tokenizer.vocab["##ning"], 9, 13]


def test_characters_are_read_as_the_tokenizer_reads_them(make):
    """A sample of all; the whole of them agrees but for U+FDDE, which TensorFlow writes as U+FFFD."""
    characters = [chr(code) for code in range(0, sys.maxunicode + 1, 7)]
    known = [c for c in characters if unicodedata.category(c) not in ("Cn", "Co", "Cs", "Cc", "Zs")]
    words = [word for word in known if word.strip() and word not in "[]"]
    tokenizer, encoder = make(
        list(dict.fromkeys([*"ab\u03c3", *words, "##b", *(f"##{w}" for w in words)]))
    )
    texts = [f"a\u03a3{char}\u03a3b {char}" for char in known]
    assert len(texts) > 15_000
    assert pieces_of(encoder, texts) == expected_of(tokenizer, texts)


@pytest.fixture(scope="module")
def random_texts(make):
    """A tokenizer and the graph's function of one text."""
    tokenizer, encoder = make(test_tokenization_unicode.PIECES)
    return tokenizer, tf.function(
        encoder.find_pieces, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False
    )


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(
    text=hypothesis.strategies.text(test_tokenization_unicode.CHARACTERS).filter(
        lambda text: not any("\ud800" <= char <= "\udfff" for char in text)
    )
)
def test_random_text_has_the_tokenizers_pieces_and_spans(random_texts, text):
    tokenizer, graph = random_texts
    assert [graph([text])[0].numpy().tolist()] == expected_of(tokenizer, [text])


def test_bytes_that_are_no_utf8_are_left_out(make):
    tokenizer, encoder = make()
    assert pieces_of(encoder, [b"caf\xc3\xa9\xff!"]) == expected_of(tokenizer, ["caf\u00e9!"])


@pytest.mark.parametrize(
    ("truncation", "length"),
    [*itertools.product(["head", "tail", "head_tail"], [5, 8]), ("head_tail", 40)],
)
def test_texts_and_pairs_are_cut_and_framed_as_the_model_was_trained(make, truncation, length):
    tokenizer, encoder = make(length=length, truncation=truncation)
    pairs = [
        ("the running cafe! a b", ""),
        ("the running cafe! a b i", "b a the running"),
        ("", "the running running running b"),
        ("  ", " "),
        ("", ""),
        ("b", "the running running running a"),
        ("the running running running a", "b"),
        ("Caf\u00e9 the \U0001f600", "\u535athe running"),
    ]
    encodings = features.encode_batch(
        tokenizer, [(a, b or None) for a, b in pairs], length, truncation
    )
    width = max(len(encoding.input_ids) for encoding in encodings)
    expected = features.batch_arrays(encodings, width)
    found = tf.function(encoder, autograph=False)(*map(tf.constant, zip(*pairs, strict=True)))
    for name, values in expected.items():
        np.testing.assert_array_equal(getattr(found.features, name), values, err_msg=name)
    for row, encoding in enumerate(encodings):
        padding = width - len(encoding.tokens)
        texts = [token.text.encode() for token in encoding.tokens]
        assert found.tokens[row].numpy().tolist() == texts + [b""] * padding
        spans = [[token.start, token.end] for token in encoding.tokens]
        assert found.spans[row].numpy().tolist() == spans + [[0, 0]] * padding


def test_no_texts_give_no_rows(make):
    _, encoder = make()
    none = tf.constant([], tf.string)
    assert tf.function(encoder, autograph=False)(none, none).features.input_ids.shape[0] == 0


def test_without_its_library_one_line_says_what_to_install(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_text", None)
    with pytest.raises(ValueError, match=r"given texts needs tensorflow_text; pip install -r req"):
        make()

"""Every character, and any text, is read as the release's algorithm reads it."""

import itertools
import string
import sys
import unicodedata
from collections.abc import Iterable

import hypothesis
import pytest
from hypothesis import strategies

from bert import tokenization
from tests.bert import reference_tokenizer as reference
from tests.bert import vocabularies

LETTERS = list(string.ascii_lowercase + string.digits + string.punctuation)
PIECES = [*LETTERS, *(f"##{letter}" for letter in LETTERS), "the", "##ing", "un", "want", "##ed"]


def assigned_characters() -> list[str]:
    """Return every character that has a category of its own, and a sample of the others."""
    every = map(chr, range(sys.maxunicode + 1))
    return [
        c for c in every if unicodedata.category(c) not in ("Cn", "Co", "Cs") or ord(c) % 97 == 0
    ]


@pytest.fixture(scope="module", params=[True, False], ids=["lower-cased", "cased"])
def wide(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tokenization.FullTokenizer:
    """Return a tokenizer that knows every second visible character, first in a word and inside."""
    known = [
        char
        for char in assigned_characters()
        if ord(char) % 2 and not char.isspace() and unicodedata.category(char) not in ("Cc", "Cs")
    ]
    tokens = [
        *vocabularies.REQUIRED,
        *dict.fromkeys([*PIECES, *known, *(f"##{char}" for char in known)]),
    ]
    path = vocabularies.write(tmp_path_factory.mktemp("wide") / "vocab.txt", tokens)
    return tokenization.FullTokenizer(path, do_lower_case=request.param)


def pieces_of(tokens: Iterable[tokenization.Token]) -> list[str]:
    """Return the tokens without their spans."""
    return [token.text for token in tokens]


def test_every_character_is_read_as_in_the_release(wide: tokenization.FullTokenizer) -> None:
    lower = wide.do_lower_case
    texts = [f"a\u03a3{char}\u03a3b {char}" for char in assigned_characters()]
    different = []
    for text, tokens in zip(texts, wide.tokenize_batch(texts), strict=True):
        words = reference.basic_tokenize(text, lower)
        pieces = [piece for word in words for piece in reference.split_word(word, wide.vocab)]
        if pieces_of(tokens) != pieces or wide.basic_tokenizer.tokenize(text) != words:
            different.append(ascii(text))
    assert len(texts) > 140_000
    assert different == []  # no residue: both sides use Python's own Unicode tables


CHARACTERS = strategies.one_of(
    strategies.characters(),
    strategies.sampled_from(
        "\u03a3\u03c3\u0130\u00c9\u0301\u0323\u0345\u00ad\u200d\ufe0f'.#\u535a\ud55c"
    ),
    strategies.sampled_from(string.ascii_letters + string.punctuation + " \t\n\r\x00\x0b\x1c\x85"),
)


@hypothesis.settings(deadline=None)
@hypothesis.given(text=strategies.text(CHARACTERS))
def test_random_text_is_read_as_in_the_release(wide: tokenization.FullTokenizer, text: str) -> None:
    expected = reference.full_tokenize(text, wide.vocab, wide.do_lower_case)
    assert wide.tokenize(text) == expected
    assert pieces_of(wide.tokenize_with_spans(text)) == expected
    assert wide.basic_tokenizer.tokenize(text) == reference.basic_tokenize(text, wide.do_lower_case)


@hypothesis.settings(deadline=None)
@hypothesis.given(texts=strategies.lists(strategies.text(CHARACTERS), max_size=35))
def test_a_batch_gives_what_its_texts_give_alone(
    wide: tokenization.FullTokenizer, texts: list[str]
) -> None:
    assert wide.tokenize_batch(texts) == [wide.tokenize_with_spans(text) for text in texts]


@hypothesis.settings(deadline=None)
@hypothesis.given(text=strategies.text(CHARACTERS))
def test_spans_advance_and_hold_the_characters_of_their_piece(
    wide: tokenization.FullTokenizer, text: str
) -> None:
    tokens = wide.tokenize_with_spans(text)
    for token in tokens:
        assert 0 <= token.start < token.end <= len(text)
        # A sigma is final or not by its neighbours, which the slice does not have.
        made = "".join(reference.basic_tokenize(text[token.start : token.end], wide.do_lower_case))
        piece = tokenization.strip_continuation(token.text).replace("\u03c2", "\u03c3")
        assert token.text == "[UNK]" or piece in made.replace("\u03c2", "\u03c3")
    for before, after in itertools.pairwise(tokens):
        assert before.start <= after.start
        assert before.end <= after.end

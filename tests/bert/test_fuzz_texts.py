"""Any text is cut into pieces that say where they stand; time and memory follow its length."""

import random
import string
import sys
import tracemalloc
import unicodedata

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from bert import features
from bert import tokenization
from tests import conftest
from tests.bert import vocabularies

LENGTH = 16
HOSTILE = {
    "empty": "",
    "blank": " \t\r\n\u2003\u2028\x85",
    "controls": "".join(map(chr, [*range(32), *range(127, 160)])),
    "nul": "fine\0film\0",
    "surrogates": "\ud800 fine \udc00\ud83d film\udfff",
    "joined": "👩\u200d👩\u200d👧\u200d👦 fine 🏳\ufe0f\u200d🌈",
    "right to left": "\u202e\u05e9\u05dc\u05d5\u05dd\u202c fine \u2067\u0645\u0631\u062d\u0628\u0627\u2069",
    "marks": "e" + "\u0301\u0316\u0345" * 200 + " fine",
    "widths": "\u200b\u200c\u200d\ufeff\u00ad" * 50,
    "long word": "fine" * 300,
    "ligatures": "ﬁlm ŉ ǰ ẞ İ ﷺ",
    "unassigned": "\u0378\ue000\U0010ffff fine",
    "signs": string.punctuation * 9,
    "specials": "[CLS] fine [SEP] [PAD] [MASK] ##ness",
}
CHARACTERS = strategies.one_of(
    strategies.characters(),
    strategies.sampled_from("".join(HOSTILE.values())),
    strategies.sampled_from(" the film was fine dullness!"),
)
# U+0F73 has no class of its own but becomes two marks; U+034F keeps marks on either side apart
MARKS = "\u0301\u0316\u0323\u0327\u0344\u0345\u0591\u05b0\u0f73\u0f81\u034f\u1b44\u302e\U0001d165"


@pytest.fixture(scope="module", params=[True, False], ids=["lower-cased", "cased"])
def tokenizer(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("words") / "vocab.txt"
    return tokenization.FullTokenizer(
        vocabularies.write(path, conftest.TINY_WORDS), do_lower_case=request.param
    )


def is_nothing(char):
    """Tell whether the tokenizer makes nothing of the character."""
    is_mark = unicodedata.category(char) == "Mn"
    return char.isspace() or is_mark or tokenization.is_dropped(char)


def check(tokenizer, texts):
    """Check the pieces of texts, and of the first two as a pair."""
    together = tokenizer.find_pieces(texts)
    for text, pieces in zip(texts, together, strict=True):
        (alone,) = tokenizer.find_pieces([text])
        for one, other in zip(alone, pieces, strict=True):
            np.testing.assert_array_equal(one, other)
        assert len(pieces.ids) == len(pieces.starts) == len(pieces.ends)
        assert all(np.diff(pieces.starts) >= 0)
        assert all(np.diff(pieces.ends) >= 0)
        assert all((pieces.starts >= 0) & (pieces.starts < pieces.ends))
        assert all(pieces.ends <= len(text))
        after = [text[end] for end in pieces.ends.tolist() if end < len(text)]
        drops_accents = tokenizer.basic_tokenizer.strip_accents
        # an accent that is dropped belongs to the piece before it
        assert not (drops_accents and any(unicodedata.category(char) == "Mn" for char in after))
        assert len(pieces.ids) or all(map(is_nothing, text))
    pair = texts[0], texts[-1]
    encoding = features.encode(tokenizer, *pair, LENGTH)
    assert 3 <= len(encoding.input_ids) <= LENGTH
    for token, identifier in zip(encoding.tokens, encoding.input_ids, strict=True):
        assert tokenizer.vocab[token.text] == identifier
        assert 0 <= token.start <= token.end <= len(pair[token.sentence])


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_is_cut_into_pieces_that_say_where_they_stand(tokenizer, name):
    check(tokenizer, [HOSTILE[name], "the film was fine", HOSTILE[name] * 3])


@pytest.mark.timeout(300)
@hypothesis.settings(deadline=None)
@hypothesis.given(texts=strategies.lists(strategies.text(CHARACTERS), min_size=1, max_size=5))
def test_any_texts_are_cut_into_pieces_that_say_where_they_stand(tokenizer, texts):
    check(tokenizer, texts)


@pytest.mark.parametrize("text", [None, 7, ["fine"], 2.5])
def test_what_is_no_text_is_refused_in_a_line(tokenizer, text):
    with pytest.raises(ValueError, match=r"^text must be str or UTF-8 bytes, got \w+: .*$"):
        tokenizer.tokenize(text)


@hypothesis.settings(deadline=None, max_examples=40)
@hypothesis.given(strategies.lists(strategies.sampled_from("aéế" + MARKS), min_size=9, max_size=99))
def test_marks_are_sorted_as_unicode_sorts_them(tokenizer, letters):
    storm = "".join(letters) * (5000 // len(letters))  # long enough to be sorted by us
    found = tokenizer.basic_tokenizer.normalize(storm)
    if tokenizer.basic_tokenizer.strip_accents:
        decomposed = unicodedata.normalize("NFD", storm)
        kept = [char for char in decomposed if unicodedata.category(char) != "Mn"]
        assert found == "".join(kept)
    else:
        assert found == storm


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "marks", ["\u0301\u0316", "\u0f73", "\u1b44\U0001d165", "\u0345\u0344\u0327"]
)
def test_a_million_marks_on_a_letter_take_no_time_of_their_square(tokenizer, marks):
    count = 1_000_000 // len(marks)
    (pieces,) = tokenizer.find_pieces(["fine" + marks * count + " film"])
    assert pieces.ends[-1] == 4 + count * len(marks) + 5


def test_every_mark_that_python_sorts_is_one_that_we_sort(tokenizer):
    rng = random.Random(7)
    marks = [
        char
        for char in map(chr, range(sys.maxunicode + 1))
        if unicodedata.category(char).startswith("M")
    ]
    assert len(marks) > 2000
    for _ in range(20):
        some = [*rng.sample(marks, 50), *MARKS]
        runs = ("".join(rng.choices(some, k=rng.choice([3, 70, 600]))) for _ in range(30))
        storm = "".join(f"ế{run}" for run in runs)
        decomposed = unicodedata.normalize("NFD", storm)
        kept = "".join(char for char in decomposed if unicodedata.category(char) != "Mn")
        if tokenizer.basic_tokenizer.strip_accents:
            assert tokenizer.basic_tokenizer.normalize(storm) == kept


BIG = {
    "words": "the film was fine! ",
    "signs": "!",
    "word": "fine",
    "kanji": "映",
    "marks": "e\u0301",
}


def pieces_and_peak(tokenizer, text):
    tracemalloc.start()
    try:
        (pieces,) = tokenizer.find_pieces([text])
        return pieces, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", BIG)
@pytest.mark.parametrize(
    "size", [200_000, pytest.param(2_000_000, marks=pytest.mark.slow)], ids=["0.2 M", "2 M"]
)
def test_a_long_text_takes_memory_in_proportion_to_its_length(tokenizer, name, size):
    text = BIG[name] * (size // len(BIG[name]))
    pieces, peak = pieces_and_peak(tokenizer, text)
    assert pieces.ends[-1] == len(text.rstrip())
    assert peak < 250 * len(text)  # bytes; the dearest character is a sign, which becomes a piece


@pytest.mark.timeout(300)
@pytest.mark.parametrize("tokenizer", [True], indirect=True, ids=["lower-cased"])
def test_ten_megabytes_are_cut_to_what_the_model_reads(tokenizer):
    text = "the film was fine! " * 530_000
    assert len(text) > 10_000_000
    encoding = features.encode(tokenizer, text, "dull", LENGTH, "tail")
    assert len(encoding.tokens) == LENGTH
    assert encoding.truncated == (5 * 530_000 - (LENGTH - 4), 0)
    last = encoding.tokens[-4]
    assert (last.text, last.start, last.end) == ("!", len(text) - 2, len(text) - 1)

"""The settings of Hugging Face tokenizers: letter case, accents, Chinese characters, length of words."""

import itertools
import json
import pathlib
import sys
import unicodedata
from typing import NamedTuple

import hypothesis
import pytest
from hypothesis import strategies

from bert import tokenization
from tests import reference_bert
from tests.bert import reference_tokenizer as reference

GOLDEN = json.loads(
    (reference_bert.GOLDENS / "transformers_tokenizer_settings.json").read_text(encoding="utf-8")
)
FINAL_SIGMA = "ΟΔΥΣΣΕΥΣ Οδυσσεύς"


class Settings(NamedTuple):
    do_lower_case: bool
    strip_accents: bool | None
    tokenize_chinese_chars: bool

    @property
    def keeps_accents(self) -> bool:
        return not (self.do_lower_case if self.strip_accents is None else self.strip_accents)

    def words(self, text: str) -> list[str]:
        """Return the words that the reference finds."""
        return reference.basic_tokenize(text, *self)

    def basic_tokenizer(self) -> tokenization.BasicTokenizer:
        return tokenization.BasicTokenizer(**self._asdict())


ALL_SETTINGS = [
    Settings(*values)
    for values in itertools.product((True, False), (None, True, False), (True, False))
]


@pytest.fixture(scope="module")
def vocab_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path]:
    """Return the vocabulary files of the goldens by name."""
    folder = tmp_path_factory.mktemp("vocabularies")
    for name, tokens in GOLDEN["vocabularies"].items():
        text = "".join(f"{token}\n" for token in tokens)
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return {name: folder / name for name in GOLDEN["vocabularies"]}


@pytest.mark.parametrize(
    "case", GOLDEN["cases"], ids=lambda case: f"{case['vocabulary']}-{[*case['settings'].values()]}"
)
def test_every_setting_gives_the_pieces_of_transformers(
    vocab_files: dict[str, pathlib.Path], case: dict
) -> None:
    settings = Settings(**case["settings"])
    tokenizer = tokenization.FullTokenizer(
        vocab_files[case["vocabulary"]], **settings._asdict(), max_input_chars_per_word=100
    )
    texts = GOLDEN["texts"][case["vocabulary"]]
    ours = {text: " ".join(tokenizer.tokenize(text)) for text in texts}
    slow = dict(zip(texts, case["slow"], strict=True))
    fast = slow | case["fast_differs"]
    # Both of transformers' tokenizers lower-case letter by letter; here, as in the release, a capital sigma that
    # ends a word becomes the final one. Only the slow one composes the text (NFC), which accents that stay show.
    sigma = {FINAL_SIGMA} & set(texts) if settings.do_lower_case else set()
    composed = {text for text in texts if settings.keeps_accents and is_decomposed(text)}
    assert {text for text in texts if ours[text] != fast[text]} == sigma
    assert {text for text in texts if ours[text] != slow[text]} == sigma | composed


def is_decomposed(text: str) -> bool:
    return not unicodedata.is_normalized("NFC", text)


@pytest.mark.parametrize(
    ("reason", "theirs", "ours"),
    [
        ("a special token is text", "x [SEP] x", "x [ sep ] x"),
        ("private use is kept", "x ##x", "[UNK]"),
        ("unassigned is kept", "x ##x", "[UNK]"),
        ("a word may have 200 characters", "[UNK]", "co" + 74 * " ##co"),
    ],
)
def test_what_differs_from_transformers_does_so_as_in_the_release(
    vocab_files: dict[str, pathlib.Path], reason: str, theirs: str, ours: str
) -> None:
    golden = GOLDEN["on_purpose"][reason]
    tokenizer = tokenization.FullTokenizer(vocab_files["cased"])
    assert golden["slow"] == [theirs]
    assert " ".join(tokenizer.tokenize(golden["text"])) == ours


@pytest.mark.parametrize(
    ("text", "settings", "words"),
    [
        ("CAF\u00c9 \u4e2d\u56fd", (True, False, True), ["caf\u00e9", "\u4e2d", "\u56fd"]),
        ("CAF\u00c9 \u4e2d\u56fd", (True, None, False), ["cafe", "\u4e2d\u56fd"]),
        ("CAF\u00c9 \u4e2d\u56fd", (False, True, False), ["CAFE", "\u4e2d\u56fd"]),
        ("CAF\u00c9 \u4e2d\u56fd", (False, None, False), ["CAF\u00c9", "\u4e2d\u56fd"]),
        ("E\u0301\u0130", (True, False, True), ["e\u0301i\u0307"]),
        ("E\u0301\u0130", (False, True, True), ["EI"]),
        ("\u4e2d\u3002\u56fd", (True, None, False), ["\u4e2d", "\u3002", "\u56fd"]),
        ("\ud55c", (True, False, True), ["\ud55c"]),
        ("\ud55c", (False, True, True), ["\u1112\u1161\u11ab"]),
    ],
)
def test_case_accents_and_chinese_characters_are_settings_of_their_own(
    text: str, settings: tuple[bool, bool | None, bool], words: list[str]
) -> None:
    assert Settings(*settings).basic_tokenizer().tokenize(text) == words


def test_accents_go_with_upper_case_unless_told_otherwise() -> None:
    for lower in (True, False):
        assert tokenization.BasicTokenizer(lower).strip_accents is lower
        assert (
            tokenization.BasicTokenizer(lower, strip_accents=not lower).strip_accents is not lower
        )


def test_a_tokenizer_may_give_up_on_shorter_words(vocab_files: dict[str, pathlib.Path]) -> None:
    path = vocab_files["cased"]
    shorter = tokenization.FullTokenizer(path, max_input_chars_per_word=4)
    assert shorter.tokenize("coco cococo") == ["co", "##co", "[UNK]"]
    assert shorter.tokenize_with_spans("co cococo")[1] == tokenization.Token("[UNK]", 3, 9)
    tokens = tokenization.FullTokenizer(path).tokenize("co" * 100 + " " + "co" * 101)
    assert tokens == ["co", *["##co"] * 99, "[UNK]"]


@pytest.mark.parametrize("settings", ALL_SETTINGS, ids=str)
def test_every_character_that_a_setting_touches_is_read_as_by_the_reference(
    settings: Settings,
) -> None:
    tokenizer = settings.basic_tokenizer()
    touched = [
        char
        for char in map(chr, range(sys.maxunicode + 1))
        if char.lower() != char
        or unicodedata.normalize("NFD", char) != char
        or unicodedata.category(char) == "Mn"
        or (tokenization.is_cjk(char) and ord(char) % 17 == 0)
    ]
    assert len(touched) > 20_000
    texts = [f"a\u03a3{char}\u03a3b {char}." for char in touched]
    different = [ascii(text) for text in texts if tokenizer.tokenize(text) != settings.words(text)]
    assert different == []


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> dict[Settings, tokenization.FullTokenizer]:
    """Return a tokenizer a setting whose vocabulary has most characters of the texts below, and no words."""
    made = set(CHARACTERS + CHARACTERS.lower() + unicodedata.normalize("NFD", CHARACTERS))
    known = sorted(char for char in made if not char.isspace() and ord(char) % 7)
    tokens = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", *known, *(f"##{char}" for char in known)]
    path = tmp_path_factory.mktemp("letters") / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8", newline="\n")
    return {
        settings: tokenization.FullTokenizer(path, **settings._asdict())
        for settings in ALL_SETTINGS
    }


CHARACTERS = (
    "abcXYZ \u00c9\u00e9\u0130\u0131\u00df\u1e9e\u03a3\u03c3\u03a9\u2126\u0301\u0323\u0307\u0345\u00ad\u200d.'#\u3002"
    "\u535a\u63a8\uf900\U00020000\u30ac\u30ab\u3099\ud55c\u1112\u1161\u0e01\u0e34\u0928\u093f\u094d\u0623\u064e\u05e9\u05b8"
    "\u0401\u0451\u0419\U0001f44d\U0001f3fd\ufe0f"
)
TEXTS = strategies.text(
    strategies.one_of(strategies.sampled_from(CHARACTERS), strategies.characters())
)


@hypothesis.settings(deadline=None)
@hypothesis.given(text=TEXTS, settings=strategies.sampled_from(ALL_SETTINGS))
def test_under_every_setting_spans_advance_and_hold_the_characters_of_their_piece(
    letters: dict[Settings, tokenization.FullTokenizer], text: str, settings: Settings
) -> None:
    tokenizer = letters[settings]
    tokens = tokenizer.tokenize_with_spans(text)
    pieces = [
        piece
        for word in settings.words(text)
        for piece in reference.split_word(word, tokenizer.vocab)
    ]
    assert [token.text for token in tokens] == pieces == tokenizer.tokenize(text)
    for token in tokens:
        assert 0 <= token.start < token.end <= len(text)
        # A sigma is final or not by its neighbours, which the slice does not have.
        made = "".join(settings.words(text[token.start : token.end])).replace("\u03c2", "\u03c3")
        piece = tokenization.strip_continuation(token.text).replace("\u03c2", "\u03c3")
        assert token.text == "[UNK]" or piece in made
    for before, after in itertools.pairwise(tokens):
        assert before.start <= after.start
        assert before.end <= after.end


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            (True, None, True),
            [("cafe", "Cafe\u0301"), ("\u4e2d", "\u4e2d"), ("\u56fd", "\u56fd"), ("i", "\u0130")],
        ),
        (
            (True, False, False),
            [
                *[("cafe", "Cafe"), ("##\u0301", "\u0301"), ("\u4e2d", "\u4e2d")],
                *[("##\u56fd", "\u56fd"), ("i", "\u0130"), ("##\u0307", "\u0130")],
            ],
        ),
        (
            (False, True, False),
            [
                *[("Cafe", "Cafe\u0301"), ("\u4e2d", "\u4e2d"), ("##\u56fd", "\u56fd")],
                ("I", "\u0130"),
            ],
        ),
        (
            (False, False, True),
            [
                *[("Cafe", "Cafe"), ("##\u0301", "\u0301"), ("\u4e2d", "\u4e2d")],
                *[("\u56fd", "\u56fd"), ("[UNK]", "\u0130")],
            ],
        ),
    ],
)
def test_spans_are_the_characters_as_typed_under_every_setting(
    tmp_path: pathlib.Path,
    settings: tuple[bool, bool | None, bool],
    expected: list[tuple[str, str]],
) -> None:
    pieces = ["cafe", "Cafe", "##\u0301", "\u4e2d", "\u56fd", "##\u56fd", "i", "I", "##\u0307"]
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(["[UNK]", "[CLS]", "[SEP]", "[PAD]", *pieces]), encoding="utf-8")
    tokenizer = tokenization.FullTokenizer(path, **Settings(*settings)._asdict())
    text = "Cafe\u0301 \u4e2d\u56fd \u0130"
    tokens = tokenizer.tokenize_with_spans(text)
    assert [(token.text, text[token.start : token.end]) for token in tokens] == expected

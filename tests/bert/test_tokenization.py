"""Tokens equal those of the release's algorithm; every piece knows where it came from."""

import collections
import json
import pathlib
import pickle
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from bert import tokenization
from tests import reference_bert
from tests.bert import vocabularies

BuildTokenizer = Callable[..., tokenization.FullTokenizer]


@pytest.fixture
def build(tmp_path: pathlib.Path) -> BuildTokenizer:
    """Return a function that builds a tokenizer for a few pieces."""

    def build_for(*pieces: str, do_lower_case: bool = True) -> tokenization.FullTokenizer:
        path = vocabularies.write(tmp_path / "vocab.txt", [*vocabularies.REQUIRED, *pieces])
        return tokenization.FullTokenizer(path, do_lower_case=do_lower_case)

    return build_for


def slices(tokenizer: tokenization.FullTokenizer, text: str) -> list[tuple[str, str]]:
    """Return each piece beside the characters of the text that it spans."""
    tokens = tokenizer.tokenize_with_spans(text)
    return [(token.text, text[token.start : token.end]) for token in tokens]


def test_full_tokenizer_finds_the_pieces_of_the_release(build: BuildTokenizer) -> None:
    tokenizer = build("want", "##want", "##ed", "wa", "un", "runn", "##ing", ",")
    tokens = tokenizer.tokenize("UNwant\u00e9d,running")
    assert tokens == ["un", "##want", "##ed", ",", "runn", "##ing"]
    assert tokenizer.convert_tokens_to_ids(tokens) == [8, 5, 6, 11, 9, 10]
    assert tokenizer.convert_ids_to_tokens([8, 5, 6, 11, 9, 10]) == tokens


@pytest.mark.parametrize(
    ("text", "do_lower_case", "words"),
    [
        ("ah\u535a\u63a8zz", True, ["ah", "\u535a", "\u63a8", "zz"]),
        (" \tHeLLo!how  \n Are yoU?  ", True, ["hello", "!", "how", "are", "you", "?"]),
        (" \tHeLLo!how  \n Are yoU?  ", False, ["HeLLo", "!", "how", "Are", "yoU", "?"]),
        ("H\u00e9llo", True, ["hello"]),
        ("H\u00e9llo", False, ["H\u00e9llo"]),
        ("\u039f\u03a3 \u039f\u03a3\u0391", True, ["\u03bf\u03c2", "\u03bf\u03c3\u03b1"]),
        ("\ue000x", True, ["\ue000x"]),
        ("\U0002b820\u3042\u3044", True, ["\U0002b820", "\u3042\u3044"]),
        ("a\u00adb\u200dc\u0000\ufffdd", True, ["abcd"]),
        ("x\u00a0y\u2028z\u3000w", True, ["x", "y", "z", "w"]),
        ("\u037ea\u1fefb", True, [";", "a", "`", "b"]),
        ("a\ud800b", True, ["a\ud800b"]),
        (b"caf\xc3\xa9\xff", True, ["cafe"]),
        ("", True, []),
    ],
)
def test_basic_tokenizer_splits_words(
    text: str | bytes, do_lower_case: bool, words: list[str]
) -> None:
    assert tokenization.BasicTokenizer(do_lower_case=do_lower_case).tokenize(text) == words


def test_wordpiece_takes_the_longest_piece_and_gives_up_whole_words() -> None:
    vocab = ["[UNK]", "[CLS]", "[SEP]", "want", "##want", "##ed", "wa", "un", "runn", "##ing"]
    tokenizer = tokenization.WordpieceTokenizer(vocab=vocab)
    assert tokenizer.tokenize("") == []
    assert tokenizer.tokenize("unwanted \u3000running") == [
        *["un", "##want", "##ed"],
        *["runn", "##ing"],
    ]
    assert tokenizer.tokenize("unwantedX running") == ["[UNK]", "runn", "##ing"]
    assert tokenizer.tokenize("##ing un\ud800") == ["##ing", "[UNK]"]


def test_wordpiece_counts_characters_up_to_its_limit() -> None:
    vocab = {"[UNK]": 0, "\u00fc": 1, "##\u00fc": 2}
    tokenizer = tokenization.WordpieceTokenizer(vocab)
    assert len(tokenizer.tokenize("\u00fc" * 200)) == 200
    assert tokenizer.tokenize("\u00fc" * 201) == ["[UNK]"]
    shorter = tokenization.WordpieceTokenizer(vocab, max_input_chars_per_word=100)
    assert shorter.tokenize("\u00fc" * 101) == ["[UNK]"]


def test_wordpiece_needs_its_unknown_token() -> None:
    with pytest.raises(ValueError, match=r"unk_token must be in the vocabulary, got '\[UNK\]'"):
        tokenization.WordpieceTokenizer(["a"])


def test_a_special_token_typed_by_a_user_is_text(build: BuildTokenizer) -> None:
    tokenizer = build("[", "]", "sep", "mask", "[MASK]")
    assert tokenizer.tokenize("[SEP][MASK]") == ["[", "sep", "]", "[", "mask", "]"]
    assert not any(token.is_special for token in tokenizer.tokenize_with_spans("[SEP]"))


def test_special_tokens_frame_the_input_and_unk_does_not() -> None:
    assert all(map(tokenization.is_special, ["[PAD]", "[CLS]", "[SEP]", "[MASK]"]))
    assert not any(map(tokenization.is_special, ["[UNK]", "[cls]", "sep", ""]))


@pytest.mark.parametrize(
    ("piece", "continues", "stripped"),
    [("##ing", True, "ing"), ("ing", False, "ing"), ("##", False, "##"), ("####a", True, "##a")],
)
def test_a_continuation_has_characters_after_its_mark(
    piece: str, continues: bool, stripped: str
) -> None:
    assert tokenization.is_continuation(piece) is continues
    assert tokenization.strip_continuation(piece) == stripped


def test_text_comes_as_str_or_utf8_bytes() -> None:
    assert tokenization.convert_to_unicode(b"caf\xc3\xa9 \xff") == "caf\u00e9 "
    assert tokenization.printable_text("caf\u00e9") == "caf\u00e9"
    assert tokenization.whitespace_tokenize(" a\u3000b\n") == ["a", "b"]
    with pytest.raises(ValueError, match=r"text must be str or UTF-8 bytes, got int: 3"):
        tokenization.convert_to_unicode(3)  # type: ignore[arg-type]


def test_vocabulary_lines_are_ids_whatever_the_byte_order_mark_and_line_ends(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes("\ufeff[PAD]\r\n\r\n\u535a\r\na\u2028b\nlast".encode())
    vocab = tokenization.load_vocab(path)
    assert isinstance(vocab, collections.OrderedDict)
    assert list(vocab.items()) == [("[PAD]", 0), ("\u535a", 2), ("a\u2028b", 3), ("last", 4)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\nb\n\na\n", r"vocab.txt:4: .* got 'a', also on line 1"),
        (b"", r"vocab.txt: .* got no token at all"),
        (b"\n \n", r"vocab.txt: .* got no token at all"),
        (b"a\n\xff\xfe", r"vocab.txt: vocab_file must be UTF-8"),
    ],
)
def test_a_broken_vocabulary_is_refused(
    tmp_path: pathlib.Path, content: bytes, message: str
) -> None:
    (tmp_path / "vocab.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        tokenization.load_vocab(tmp_path / "vocab.txt")


def test_a_missing_vocabulary_is_refused_with_a_remedy(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone.txt.*use the checkpoint's own vocab.txt"):
        tokenization.load_vocab(tmp_path / "gone.txt")


def test_all_missing_special_tokens_are_named_at_once(tmp_path: pathlib.Path) -> None:
    path = vocabularies.write(tmp_path / "vocab.txt", ["a", "[CLS]"])
    with pytest.raises(ValueError, match=r"vocab.txt.*has no \[UNK\], \[SEP\], \[PAD\];"):
        tokenization.FullTokenizer(path)


def test_an_unknown_item_is_named(build: BuildTokenizer) -> None:
    with pytest.raises(KeyError, match="got 'zebra'"):
        build().convert_tokens_to_ids(["[CLS]", "zebra"])
    with pytest.raises(KeyError, match="got 77"):
        build().convert_ids_to_tokens([0, 77])
    assert tokenization.convert_by_vocab({"a": 3}, ["a", "a"]) == [3, 3]


@pytest.mark.parametrize(
    ("do_lower_case", "folder"),
    [
        (False, "uncased_L-12_H-768_A-12"),
        (False, "uncased_L-24_H-1024_A-16"),
        (False, "multilingual_L-12_H-768_A-12"),
        (False, "chinese_L-12_H-768_A-12"),
        (False, "wwm_uncased_L-24_H-1024_A-16"),
        (False, "uncased_L-2_H-128_A-2"),
        (True, "cased_L-12_H-768_A-12"),
        (True, "cased_L-24_H-1024_A-16"),
        (True, "multi_cased_L-12_H-768_A-12"),
        (True, "wwm_cased_L-24_H-1024_A-16"),
    ],
)
def test_the_case_must_be_that_of_a_published_model(do_lower_case: bool, folder: str) -> None:
    checkpoint = f"gs://models/{folder}/bert_model.ckpt"
    with pytest.raises(
        ValueError, match=f"do_lower_case must be {not do_lower_case} for .*{folder}"
    ):
        tokenization.validate_case_matches_checkpoint(do_lower_case, checkpoint)
    tokenization.validate_case_matches_checkpoint(not do_lower_case, checkpoint)


@pytest.mark.parametrize("do_lower_case", [True, False])
@pytest.mark.parametrize(
    "checkpoint",
    [
        None,
        "",
        "out/model.ckpt-100",
        "my_uncased_L-12_H-768_A-12/bert_model.ckpt",
        "bert_model.ckpt",
    ],
)
def test_the_case_of_an_unknown_model_is_the_users(
    do_lower_case: bool, checkpoint: str | None
) -> None:
    tokenization.validate_case_matches_checkpoint(do_lower_case, checkpoint)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The running", [("the", "The"), ("run", "run"), ("##ning", "ning")]),
        ("\x00The\x07 run", [("the", "The"), ("run", "run")]),
        ("Caf\u00e9!", [("cafe", "Caf\u00e9"), ("!", "!")]),
        ("Cafe\u0301\u0323!", [("cafe", "Cafe\u0301\u0323"), ("!", "!")]),
        ("!\u0301 the", [("!", "!\u0301"), ("the", "the")]),
        ("a\u535a\u3099b", [("a", "a"), ("\u535a", "\u535a\u3099"), ("b", "b")]),
        ("\u535athe", [("\u535a", "\u535a"), ("the", "the")]),
        ("t\u00adhe\u200b", [("the", "t\u00adhe")]),
        ("\u2018the\u2019", [("\u2018", "\u2018"), ("the", "the"), ("\u2019", "\u2019")]),
        (
            "the \U0001f600\ufe0f the",
            [("the", "the"), ("[UNK]", "\U0001f600\ufe0f"), ("the", "the")],
        ),
        (
            "the \U0001f468\u200d\U0001f469",
            [("the", "the"), ("[UNK]", "\U0001f468\u200d\U0001f469")],
        ),
        ("x X\u00c9\u00dfX the", [("[UNK]", "x"), ("[UNK]", "X\u00c9\u00dfX"), ("the", "the")]),
        ("\ud55c", [("\u1112", "\ud55c"), ("##\u1161", "\ud55c"), ("##\u11ab", "\ud55c")]),
        ("\u0130 the", [("i", "\u0130"), ("the", "the")]),
        ("\ud800 the", [("[UNK]", "\ud800"), ("the", "the")]),
        ("  ", []),
    ],
)
def test_spans_are_the_characters_as_typed(
    build: BuildTokenizer, text: str, expected: list[tuple[str, str]]
) -> None:
    tokenizer = build(
        *["the", "run", "##ning", "cafe", "!", "a", "b", "i", "\u535a", "\u2018", "\u2019"],
        *["\u1112", "##\u1161", "##\u11ab"],
    )
    assert slices(tokenizer, text) == expected


def test_a_kept_accent_belongs_to_its_own_piece_only(build: BuildTokenizer) -> None:
    tokenizer = build("E", "##\u0301", do_lower_case=False)
    assert slices(tokenizer, "E\u0301") == [("E", "E"), ("##\u0301", "\u0301")]


def test_a_long_word_is_one_unknown_span(build: BuildTokenizer) -> None:
    tokenizer = build("a", "##a")
    expected = (tokenization.Token("a", 0, 1), tokenization.Token("[UNK]", 2, 203))
    assert tokenizer.tokenize_with_spans("a " + "\u00e1" * 201) == expected


def test_a_full_memory_of_words_forgets_and_goes_on(
    build: BuildTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenization, "_WORDS_REMEMBERED", 2)
    monkeypatch.setattr(tokenization, "_LONGEST_REMEMBERED", 3)
    tokenizer = build("a", "b", "c", "dddd")
    pieces = ["a", "b", "c", "dddd", "a", "b", "[UNK]", "c"]
    assert tokenizer.tokenize("a b c dddd a b z c") == pieces
    assert set(tokenizer._words) == {"c"}


def test_pieces_are_arrays_of_ids_and_spans(build: BuildTokenizer) -> None:
    (pieces, none) = build("a", "##b").find_pieces(["\u00c1b zz", ""])
    assert [column.tolist() for column in pieces] == [[4, 5, 0], [0, 1, 3], [1, 2, 5]]
    assert [column.tolist() for column in none] == [[], [], []]
    assert {column.dtype for column in (*pieces, *none)} == {np.dtype(np.int32)}


def test_tokens_carry_their_sentence(build: BuildTokenizer) -> None:
    tokens = build("a", "b").tokenize_with_spans("a b", sentence=1)
    assert tokens == (tokenization.Token("a", 0, 1, 1), tokenization.Token("b", 2, 3, 1))
    assert build("a").tokenize_with_spans("a")[0].sentence == 0


def test_a_pickled_tokenizer_still_works(build: BuildTokenizer) -> None:
    tokenizer = build("cafe", "##s")
    tokenizer.tokenize_with_spans("Caf\u00e9s")
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert slices(copy, "Caf\u00e9s") == [("cafe", "Caf\u00e9"), ("##s", "s")]


def test_the_room_does_not_import_tensorflow() -> None:
    code = "import sys, bert.tokenization; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_200_texts_get_the_pieces_of_transformers_slow_tokenizer(minilm_folder):
    golden = json.loads((reference_bert.GOLDENS / "transformers_tokens.json").read_text())
    assert len(golden) == 200
    tokenizer = tokenization.FullTokenizer(minilm_folder / "vocab.txt", do_lower_case=True)
    assert {text: tokenizer.tokenize(text) for text in golden} == golden

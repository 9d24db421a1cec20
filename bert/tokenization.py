"""Text to WordPiece tokens, each with the characters of the user's own text that it stands for.

The tokens are those of the release's `FullTokenizer`, for every code point: Python's Unicode tables
normalise the text, as they did there, and the Rust `tokenizers` library finds the pieces. Its own
`BertNormalizer` is not used: it drops private-use and unassigned characters, misses the CJK range
U+2B820-2B91F and does not know the final sigma. "[SEP]" in a text is text, never the special token.
The settings beyond the release's mean what they mean in transformers, whose slow tokenizer also
composes the text (NFC): that shows only where accents are kept, and is not done here.
Leaves to others: special tokens, pairs, truncation and padding (`features`), words (`words`).
Sources: Devlin et al. 2019; google-research/bert `tokenization.py` at eedf571; transformers 4.57.6.
"""

import collections
import functools
import os
import pathlib
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple, TypeVar

import tokenizers

_Item = TypeVar("_Item")
_Entry = TypeVar("_Entry")
PAD, UNK, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
_CONTINUATION = "##"
# Rust cannot hold a lone surrogate: a character that is in no vocabulary either stands in for it.
_encodable = functools.partial(re.compile("[\ud800-\udfff]").sub, "\0")
# A word of normalised text: an ASCII punctuation sign or a run of others. Python and Rust agree.
_WORD = r"[!-/:-@\[-`{-~]|[^ !-/:-@\[-`{-~]+"
# The blocks that the release calls Chinese: no kana, no Hangul, nothing newer than extension E.
_CHINESE = re.compile(
    "[\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b73f\U0002b740-\U0002b81f"
    "\U0002b820-\U0002ceaf\uf900-\ufaff\U0002f800-\U0002fa1f]"
)
# Every published model's folder, the small and the whole-word-masking ones included.
_MODEL_FOLDER = re.compile(
    r"(?:.*[^A-Za-z0-9_-])?((?P<cased>(?:wwm_|multi_)?cased)|(?:wwm_)?uncased|multilingual|chinese)"
    r"_L-\d+_H-\d+_A-\d+/bert_model\.ckpt"
)


class Token(NamedTuple):
    """One piece and its span `[start, end)`, in characters, of its sentence's raw text.

    A span takes in the accents after its last character; pieces of one character (the jamo of a
    Hangul syllable) share its span. Neither starts nor ends decrease along a text.
    """

    text: str
    start: int
    end: int
    sentence: int = 0
    is_special: bool = False


def is_special(token: str) -> bool:
    """Tell whether the token frames the input; [UNK] does not, it stands for text."""
    return token in (PAD, CLS, SEP, MASK)


def is_continuation(piece: str) -> bool:
    """Tell whether the piece carries on the word of the piece before it."""
    return piece.startswith(_CONTINUATION) and len(piece) > len(_CONTINUATION)


def strip_continuation(piece: str) -> str:
    """Return the piece without the one leading '##' that makes it a continuation."""
    return piece[len(_CONTINUATION) :] if is_continuation(piece) else piece


def is_cjk(char: str) -> bool:
    """Tell whether the character is a word of its own: the blocks that the release calls Chinese."""
    return _CHINESE.match(char) is not None


def is_dropped(char: str) -> bool:
    """Tell whether the tokenizer takes the character out of a text, leaving what stands around it together."""
    return not _clean(char, splits_chinese=False)


def validate_case_matches_checkpoint(do_lower_case: bool, init_checkpoint: str | None) -> None:
    """Raise ValueError for a published model in the wrong letter case.

    It is known by the name of the folder that holds `bert_model.ckpt`; other names pass unchecked.
    """
    match = _MODEL_FOLDER.match(init_checkpoint or "")
    if match and bool(do_lower_case) is not (needed := match["cased"] is None):
        raise ValueError(
            f"do_lower_case must be {needed} for the {match[1]!r} models, got {do_lower_case} with "
            f"init_checkpoint={init_checkpoint!r}; change one, or rename a folder of your own"
        )


def convert_to_unicode(text: str | bytes) -> str:
    """Return the text; bytes are read as UTF-8, their broken parts left out as in the release."""
    if isinstance(text, str):
        return text
    if isinstance(text, bytes):
        return text.decode("utf-8", "ignore")
    raise ValueError(f"text must be str or UTF-8 bytes, got {type(text).__name__}: {text!r}")


printable_text = convert_to_unicode  # two functions of the release; Python 3 prints what it reads


def load_vocab(vocab_file: str | os.PathLike[str]) -> collections.OrderedDict[str, int]:
    """Read a vocabulary of one token per line: token -> line number, counted from 0.

    A blank line names no token and keeps its number. Only a line feed ends a line, for U+2028 or
    U+0085 may stand in a token; a byte-order mark and carriage returns are no part of one.
    A missing file is a FileNotFoundError; one not UTF-8, empty or repeating a token a ValueError.
    """
    path = pathlib.Path(vocab_file)
    if not path.is_file():
        raise FileNotFoundError(
            f"vocab_file must name a file, got {str(path)!r}; use the checkpoint's own vocab.txt"
        )
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: vocab_file must be UTF-8, {error}; convert it") from error
    vocab = collections.OrderedDict[str, int]()
    for index, token in enumerate(line.strip() for line in lines):
        if token in vocab:
            raise ValueError(
                f"{path}:{index + 1}: a token must stand on one line, got {token!r}, also on line "
                f"{vocab[token] + 1}; use the checkpoint's own vocab.txt"
            )
        if token:
            vocab[token] = index
    if not vocab:
        raise ValueError(f"{path}: vocab_file must hold one token per line, got no token at all")
    return vocab


def convert_by_vocab(vocab: Mapping[_Item, _Entry], items: Iterable[_Item]) -> list[_Entry]:
    """Look up every item; KeyError names one that the vocabulary lacks."""
    try:
        return [vocab[item] for item in items]
    except KeyError as error:
        raise KeyError(f"must be in the vocabulary, got {error.args[0]!r}") from None


def convert_tokens_to_ids(vocab: Mapping[str, int], tokens: Iterable[str]) -> list[int]:
    """Look up the id of every token, as `convert_by_vocab`."""
    return convert_by_vocab(vocab, tokens)


def convert_ids_to_tokens(inv_vocab: Mapping[int, str], ids: Iterable[int]) -> list[str]:
    """Look up the token of every id, as `convert_by_vocab`."""
    return convert_by_vocab(inv_vocab, ids)


def whitespace_tokenize(text: str) -> list[str]:
    """Split at runs of whitespace, Unicode's included; no empty words."""
    return text.split()


class _CharacterTable(dict[int, str]):
    """What a rule makes of each character, asked once per character: keeps `translate` fast."""

    def __init__(self, rule: Callable[[str], str]) -> None:
        self._rule = rule

    def __missing__(self, code_point: int) -> str:
        return self.setdefault(code_point, self._rule(chr(code_point)))


def _clean(char: str, splits_chinese: bool) -> str:
    """Drop control characters, make every whitespace a space, set Chinese characters apart."""
    if char == "\ufffd" or (char not in "\t\n\r" and unicodedata.category(char) in ("Cc", "Cf")):
        return ""
    if char.isspace():
        return " "
    return f" {char} " if splits_chinese and _CHINESE.match(char) else char


def _set_apart(char: str, drops_accents: bool) -> str:
    """Put spaces around punctuation, but for ASCII: `_WORD` splits there, and spans stay put."""
    category = unicodedata.category(char)
    if drops_accents and category == "Mn":
        return ""
    return f" {char} " if category.startswith("P") and not char.isascii() else char


class BasicTokenizer:
    """Text to words; each Chinese character and each punctuation sign is a word of its own.

    Punctuation is Unicode category P and every ASCII sign that is no letter or digit. Accents are
    what has category Mn after NFD: with them go the vowel signs of many scripts.
    """

    def __init__(
        self,
        do_lower_case: bool = True,
        *,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
    ) -> None:
        """Build the tables; strip_accents=None strips where letters are lower-cased, as the release."""
        self.do_lower_case = do_lower_case
        self.strip_accents = do_lower_case if strip_accents is None else strip_accents
        self.tokenize_chinese_chars = tokenize_chinese_chars
        clean = functools.partial(_clean, splits_chinese=tokenize_chinese_chars)
        set_apart = functools.partial(_set_apart, drops_accents=self.strip_accents)
        self._cleaned = _CharacterTable(clean)
        self._separated = _CharacterTable(set_apart)
        self._widths: dict[str, int] = {}

    def tokenize(self, text: str | bytes) -> list[str]:
        """Return the words and punctuation signs in order."""
        return re.findall(_WORD, self.normalize(convert_to_unicode(text)))

    def normalize(self, text: str) -> str:
        """Return the text ready to split: only spaces and ASCII punctuation still bound words."""
        text = text.translate(self._cleaned)
        if self.do_lower_case:
            text = text.lower()
        if self.strip_accents:
            text = unicodedata.normalize("NFD", text)
        return text.translate(self._separated)

    def to_raw_spans(self, text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Turn spans of `normalize(text)` into spans of the text, dropped accents included."""
        # Characters normalised one by one give the lengths: only a final sigma and the order of
        # combining marks depend on neighbours, and neither changes a length.
        widths = self._widths
        for char in set(text).difference(widths):
            widths[char] = len(self.normalize(char))
        origins = [index for index, char in enumerate(text) for _ in range(widths[char])]
        raw_spans = []
        for start, end in spans:
            raw_end = origins[end - 1] + 1
            while raw_end < len(text) and not self._separated[ord(text[raw_end])]:
                raw_end += 1  # a dropped accent belongs to the character before it
            raw_spans.append((origins[start], raw_end))
        return raw_spans


class WordpieceTokenizer:
    """Words to pieces: from the left, always the longest piece that the vocabulary has.

    A word with no such split, or of more than `max_input_chars_per_word` characters (200 at the
    release's last version, 100 in 2018 and in transformers), becomes `unk_token` as a whole.
    """

    def __init__(
        self, vocab: Collection[str], unk_token: str = UNK, max_input_chars_per_word: int = 200
    ) -> None:
        """Build the Rust model; unlike the release's, it needs `unk_token` in the vocabulary."""
        if unk_token not in vocab:
            raise ValueError(f"unk_token must be in the vocabulary, got {unk_token!r}; add it")
        self.vocab = vocab
        self.unk_token = unk_token
        self.max_input_chars_per_word = max_input_chars_per_word
        self.model = tokenizers.models.WordPiece(
            {token: index for index, token in enumerate(vocab)},
            unk_token=unk_token,
            max_input_chars_per_word=max_input_chars_per_word,
        )

    def tokenize(self, text: str | bytes) -> list[str]:
        """Return the pieces of the words, which whitespace separates."""
        words = whitespace_tokenize(_encodable(convert_to_unicode(text)))
        return [piece.value for word in words for piece in self.model.tokenize(word)]


class FullTokenizer:
    """Text to the pieces of a vocabulary file, as in the release, and to `Token`s with spans."""

    def __init__(
        self,
        vocab_file: str | os.PathLike[str],
        do_lower_case: bool = True,
        *,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
        max_input_chars_per_word: int = 200,
    ) -> None:
        """Read the vocabulary; for the settings see the two tokenizers that this one is made of."""
        self.vocab_file = vocab_file
        self.do_lower_case = do_lower_case
        self.vocab = load_vocab(vocab_file)
        if missing := [token for token in (UNK, CLS, SEP, PAD) if token not in self.vocab]:
            raise ValueError(
                f"{vocab_file}: vocab_file must hold {UNK}, {CLS}, {SEP} and {PAD}, but has no "
                f"{', '.join(missing)}; use the checkpoint's own vocab.txt"
            )
        self.inv_vocab = {index: token for token, index in self.vocab.items()}
        self.basic_tokenizer = BasicTokenizer(
            do_lower_case,
            strip_accents=strip_accents,
            tokenize_chinese_chars=tokenize_chinese_chars,
        )
        self.wordpiece_tokenizer = WordpieceTokenizer(
            self.vocab, max_input_chars_per_word=max_input_chars_per_word
        )
        self._tokenizer = tokenizers.Tokenizer(self.wordpiece_tokenizer.model)
        self._tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split(
            tokenizers.Regex(_WORD), behavior="removed", invert=True
        )

    def tokenize(self, text: str | bytes) -> list[str]:
        """Return the pieces of the text."""
        normalized = self.basic_tokenizer.normalize(convert_to_unicode(text))
        return self._tokenizer.encode(_encodable(normalized)).tokens

    def tokenize_with_spans(self, text: str | bytes, sentence: int = 0) -> tuple[Token, ...]:
        """Return the pieces with their spans of the text; of the decoded text, if it is bytes."""
        text = convert_to_unicode(text)
        normalized = self.basic_tokenizer.normalize(text)
        encoding = self._tokenizer.encode(_encodable(normalized))
        return self._locate(text, normalized, encoding, sentence)

    def tokenize_batch(self, texts: Iterable[str | bytes]) -> list[tuple[Token, ...]]:
        """Do for each text, on all cores, what `tokenize_with_spans` does for one."""
        sources = [convert_to_unicode(text) for text in texts]
        normalized = list(map(self.basic_tokenizer.normalize, sources))
        encodings = self._tokenizer.encode_batch(list(map(_encodable, normalized)))
        return list(map(self._locate, sources, normalized, encodings))

    def convert_tokens_to_ids(self, tokens: Iterable[str]) -> list[int]:
        """Look up the id of every token."""
        return convert_tokens_to_ids(self.vocab, tokens)

    def convert_ids_to_tokens(self, ids: Iterable[int]) -> list[str]:
        """Look up the token of every id."""
        return convert_ids_to_tokens(self.inv_vocab, ids)

    def _locate(
        self, text: str, normalized: str, encoding: tokenizers.Encoding, sentence: int = 0
    ) -> tuple[Token, ...]:
        spans = encoding.offsets
        if len(normalized) != len(text) or not text.isascii():  # else they hold: ASCII never grows
            spans = self.basic_tokenizer.to_raw_spans(text, spans)
        pairs = zip(encoding.tokens, spans, strict=True)
        return tuple(Token(piece, start, end, sentence) for piece, (start, end) in pairs)

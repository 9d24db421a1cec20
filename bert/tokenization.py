"""Text to WordPiece tokens, each with the characters of the user's own text that it stands for.

The tokens are those of the release's `FullTokenizer`, for every code point: Python's Unicode tables
normalise the text, as they did there, and the Rust `tokenizers` library finds the pieces of a word,
once: most words of a text are known from earlier ones. Its own `BertNormalizer` is not used: it drops
private-use and unassigned characters, misses the CJK range U+2B820-2B91F and does not know the final
sigma. "[SEP]" in a text is text, never the special token.
The settings beyond the release's mean what they mean in transformers, whose slow tokenizer also
composes the text (NFC): that shows only where accents are kept, and is not done here.
Leaves to others: special tokens, pairs, truncation and padding (`features`), words (`words`).
Sources: Devlin et al. 2019; google-research/bert `tokenization.py` at eedf571; transformers 4.57.6.
"""

import collections
import functools
import itertools
import os
import pathlib
import re
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar, overload

import numpy as np
import numpy.typing as npt
import tokenizers

from bert import normalization

_Item = TypeVar("_Item")
_Entry = TypeVar("_Entry")
PAD, UNK, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
_CONTINUATION = "##"
# Rust cannot hold a lone surrogate: a character that is in no vocabulary either stands in for it.
_encodable = functools.partial(re.compile("[\ud800-\udfff]").sub, "\0")
_TEXTS_AT_ONCE = 32  # many, for NumPy's calls to cost little; few, for its arrays to stay in cache
_WORDS_REMEMBERED, _LONGEST_REMEMBERED = 100_000, 64  # some 15 MB
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


_pair = struct.Struct("=ii").pack
# what `Token._make` does, without its two calls of Python
_to_token: Callable[[Iterable[object]], Token] = functools.partial(tuple.__new__, Token)


class Tokens(Sequence[Token]):
    """Tokens that become objects when first looked at, and a tuple in a pickle; their number is known before."""

    def __init__(self, count: int, make: Callable[[], Iterable[Token]]) -> None:
        """Remember how to make them."""
        self._count, self._make = count, make

    @functools.cached_property
    def _made(self) -> tuple[Token, ...]:
        return tuple(self._make())

    @overload
    def __getitem__(self, index: int) -> Token: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Token, ...]: ...
    def __getitem__(self, index: int | slice) -> Token | tuple[Token, ...]:
        """Return a token, or a tuple of those in a slice."""
        return self._made[index]

    def __len__(self) -> int:
        """Return their number, without making them."""
        return self._count

    def __iter__(self) -> Iterator[Token]:
        """Iterate over the tokens."""
        return iter(self._made)

    def __eq__(self, other: object) -> bool:
        """Compare as the tuple of the tokens."""
        return self._made == (other._made if isinstance(other, Tokens) else other)

    def __hash__(self) -> int:
        """Hash as the tuple of the tokens."""
        return hash(self._made)

    def __repr__(self) -> str:
        """Show the tuple of the tokens."""
        return repr(self._made)

    def __reduce__(self) -> tuple[type, tuple[tuple[Token, ...]]]:
        """Pickle the tokens, not the tokenizer."""
        return tuple, (self._made,)


class Pieces(NamedTuple):
    """The pieces of one text as arrays, int32[t] each: identifiers, and spans as `Token`s have them."""

    ids: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int32]


def is_special(token: str) -> bool:
    """Tell whether the token frames the input; [UNK] does not, it stands for text."""
    return token in (PAD, CLS, SEP, MASK)


def is_continuation(piece: str) -> bool:
    """Tell whether the piece carries on the word of the piece before it."""
    return piece.startswith(_CONTINUATION) and len(piece) > len(_CONTINUATION)


def strip_continuation(piece: str) -> str:
    """Return the piece without the one leading '##' that makes it a continuation."""
    return piece[len(_CONTINUATION) :] if is_continuation(piece) else piece


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


BasicTokenizer = normalization.BasicTokenizer
convert_to_unicode = normalization.convert_to_unicode
is_cjk = normalization.is_cjk
is_dropped = normalization.is_dropped
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


class _WordTable(dict[str, bytes]):
    """For each piece of a word its identifier and number of characters, as bytes of int32: fast to join."""

    def __init__(self, wordpiece: WordpieceTokenizer, vocab: Mapping[str, int]) -> None:
        self._wordpiece = wordpiece
        self._unknown = vocab[UNK]
        self._known = {
            piece: _pair(index, len(strip_continuation(piece))) for piece, index in vocab.items()
        }

    def __missing__(self, word: str) -> bytes:
        pieces = self._wordpiece.tokenize(word)
        found = b"".join(map(self._known.__getitem__, pieces))
        if pieces == [UNK]:
            found = _pair(self._unknown, len(word))
        if len(word) <= _LONGEST_REMEMBERED:
            if len(self) >= _WORDS_REMEMBERED:
                self.clear()
            self[word] = found
        return found


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
        self._words = _WordTable(self.wordpiece_tokenizer, self.vocab)

    def tokenize(self, text: str | bytes) -> list[str]:
        """Return the pieces of the text."""
        (pieces,) = self.find_pieces([text])
        return self.convert_ids_to_tokens(pieces.ids.tolist())

    def tokenize_with_spans(self, text: str | bytes, sentence: int = 0) -> tuple[Token, ...]:
        """Return the pieces with their spans of the text; of the decoded text, if it is bytes."""
        (pieces,) = self.find_pieces([text])
        return self.to_tokens(pieces, sentence)

    def tokenize_batch(self, texts: Iterable[str | bytes]) -> list[tuple[Token, ...]]:
        """Do for each text what `tokenize_with_spans` does for one."""
        return list(map(self.to_tokens, self.find_pieces(texts)))

    def find_pieces(self, texts: Iterable[str | bytes]) -> list[Pieces]:
        """Return the pieces of each text, without making objects of them: the fastest way."""
        sources = list(map(convert_to_unicode, texts))
        starts = range(0, len(sources), _TEXTS_AT_ONCE)
        groups = (sources[start : start + _TEXTS_AT_ONCE] for start in starts)
        return list(itertools.chain.from_iterable(map(self._find_pieces, groups)))

    def to_tokens(self, pieces: Pieces, sentence: int = 0) -> tuple[Token, ...]:
        """Return the pieces as objects."""
        spans = pieces.starts.tolist(), pieces.ends.tolist()
        texts = self.convert_ids_to_tokens(pieces.ids.tolist())
        others = [sentence] * len(texts), [False] * len(texts)
        return tuple(map(_to_token, zip(texts, *spans, *others, strict=True)))

    def convert_tokens_to_ids(self, tokens: Iterable[str]) -> list[int]:
        """Look up the id of every token."""
        return convert_tokens_to_ids(self.vocab, tokens)

    def convert_ids_to_tokens(self, ids: Iterable[int]) -> list[str]:
        """Look up the token of every id."""
        return convert_ids_to_tokens(self.inv_vocab, ids)

    def _find_pieces(self, texts: list[str]) -> list[Pieces]:
        """Read texts as one, a space between them: no rule looks past a space."""
        normalized = " ".join(map(self.basic_tokenizer.normalize, texts))
        found = b"".join(map(self._words.__getitem__, normalized.split()))
        ids, lengths = np.frombuffer(found, np.int32).reshape(-1, 2).T
        starts, ends = self.basic_tokenizer.to_raw_spans(" ".join(texts), normalized, lengths)
        firsts = np.cumsum([0, *(len(text) + 1 for text in texts)])
        bounds = np.searchsorted(starts, firsts)
        shifts = np.repeat(firsts[:-1], np.diff(bounds))
        columns = ids, (starts - shifts).astype(np.int32), (ends - shifts).astype(np.int32)
        of_texts = itertools.pairwise(bounds.tolist())
        return [Pieces(*(column[start:end] for column in columns)) for start, end in of_texts]

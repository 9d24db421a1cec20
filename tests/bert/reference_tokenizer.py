"""The release's tokenization algorithm in plain Python, step by step, to compare ours with.

Written from the description of google-research/bert at eedf571, not from `bert.tokenization`, with
which it shares no code: it knows no spans, no Rust and no speed.
"""

import unicodedata
from collections.abc import Container

CJK_BLOCKS = [
    range(0x4E00, 0x9FFF + 1),
    range(0x3400, 0x4DBF + 1),
    range(0x20000, 0x2A6DF + 1),
    range(0x2A700, 0x2B73F + 1),
    range(0x2B740, 0x2B81F + 1),
    range(0x2B820, 0x2CEAF + 1),
    range(0xF900, 0xFAFF + 1),
    range(0x2F800, 0x2FA1F + 1),
]
ASCII_SIGNS = [range(33, 48), range(58, 65), range(91, 97), range(123, 127)]


def is_in(char: str, blocks: list[range]) -> bool:
    """Tell whether the character lies in one of the blocks."""
    return any(ord(char) in block for block in blocks)


def is_space(char: str) -> bool:
    """Tell whether cleaning makes the character a space."""
    return char in (" ", "\t", "\n", "\r") or unicodedata.category(char) == "Zs"


def is_dropped(char: str) -> bool:
    """Tell whether cleaning drops the character."""
    if char in ("\t", "\n", "\r"):
        return False
    return ord(char) in (0, 0xFFFD) or unicodedata.category(char) in ("Cc", "Cf")


def is_punctuation(char: str) -> bool:
    """Tell whether the character is a word of its own."""
    return is_in(char, ASCII_SIGNS) or unicodedata.category(char)[0] == "P"


def clean(text: str) -> str:
    """Drop control characters and make whitespace plain."""
    return "".join(" " if is_space(char) else char for char in text if not is_dropped(char))


def space_chinese(text: str) -> str:
    """Put spaces around Chinese characters."""
    return "".join(f" {char} " if is_in(char, CJK_BLOCKS) else char for char in text)


def strip_accents(word: str) -> str:
    """Decompose the word and drop its nonspacing marks."""
    decomposed = unicodedata.normalize("NFD", word)
    return "".join(char for char in decomposed if unicodedata.category(char) != "Mn")


def split_punctuation(word: str) -> list[str]:
    """Cut the word before and after every punctuation sign."""
    parts = [""]
    for char in word:
        if is_punctuation(char):
            parts += [char, ""]
        else:
            parts[-1] += char
    return [part for part in parts if part]


def basic_tokenize(
    text: str,
    do_lower_case: bool,
    strips_accents: bool | None = None,
    splits_chinese: bool = True,
) -> list[str]:
    """Return the words of the text; the last two settings are those of transformers."""
    words = []
    text = clean(text)
    for word in (space_chinese(text) if splits_chinese else text).split():
        if do_lower_case:
            word = word.lower()
        if strips_accents or (strips_accents is None and do_lower_case):
            word = strip_accents(word)
        words += split_punctuation(word)
    return " ".join(words).split()


def split_word(word: str, vocab: Container[str], max_chars: int = 200) -> list[str]:
    """Return the pieces of one word, the longest first from the left, or [UNK]."""
    if len(word) > max_chars:
        return ["[UNK]"]
    pieces: list[str] = []
    start = 0
    while start < len(word):
        prefix = "##" if start else ""
        ends = [end for end in range(len(word), start, -1) if prefix + word[start:end] in vocab]
        if not ends:
            return ["[UNK]"]
        pieces.append(prefix + word[start : ends[0]])
        start = ends[0]
    return pieces


def full_tokenize(text: str, vocab: Container[str], do_lower_case: bool) -> list[str]:
    """Return the pieces of the text."""
    words = basic_tokenize(text, do_lower_case)
    return [piece for word in words for piece in split_word(word, vocab)]

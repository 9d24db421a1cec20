"""Text to words of plain characters, each known by the characters of the user's own text.

Python's Unicode tables decide, as in the release. Leaves to others: pieces, vocabularies (`tokenization`).
Source: google-research/bert `tokenization.py` at eedf571.
"""

import functools
import re
import string
import sys
import unicodedata
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

_SIGNS = [(sign, f" {sign} ") for sign in string.punctuation]
# The blocks that the release calls Chinese: no kana, no Hangul, nothing newer than extension E.
_CHINESE = re.compile(
    "[\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b73f\U0002b740-\U0002b81f"
    "\U0002b820-\U0002ceaf\uf900-\ufaff\U0002f800-\U0002fa1f]"
)

_LONG = 4096  # characters; in a shorter text marks out of order cost milliseconds


def is_cjk(char: str) -> bool:
    """Tell whether the character is a word of its own: the blocks that the release calls Chinese."""
    return _CHINESE.match(char) is not None


def is_dropped(char: str) -> bool:
    """Tell whether the tokenizer takes the character out of a text, leaving what stands around it together."""
    return not _clean(char, splits_chinese=False)


def convert_to_unicode(text: str | bytes) -> str:
    """Return the text; bytes are read as UTF-8, their broken parts left out as in the release."""
    if isinstance(text, str):
        return text
    if isinstance(text, bytes):
        return text.decode("utf-8", "ignore")
    raise ValueError(f"text must be str or UTF-8 bytes, got {type(text).__name__}: {text!r}")


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
    """Drop accents, put spaces around punctuation; `normalize` is faster to do so for ASCII."""
    category = unicodedata.category(char)
    if drops_accents and category == "Mn":
        return ""
    return f" {char} " if category.startswith("P") and not char.isascii() else char


@functools.cache
def _many_marks() -> re.Pattern[str]:
    """Match marks that all combine with the character before them, more in a row than any script has."""
    marks = (chr(code) for code in range(sys.maxunicode + 1) if _combines(chr(code)))
    return re.compile(f"[{''.join(marks)}]{{64,}}")


def _combines(char: str) -> bool:
    is_mark = unicodedata.category(char).startswith("M")
    return is_mark and unicodedata.combining(unicodedata.normalize("NFD", char)[0]) > 0


def _decompose(text: str) -> str:
    """Return the text in NFD; Python's own takes the square of the time for marks in a row out of order."""
    if len(text) > _LONG and not text.isascii():
        text = _many_marks().sub(lambda found: _sorted_marks(found[0]), text)
    return unicodedata.normalize("NFD", text)


def _sorted_marks(marks: str) -> str:
    decomposed = "".join(unicodedata.normalize("NFD", mark) for mark in marks)
    return "".join(sorted(decomposed, key=unicodedata.combining))


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


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
        # by code point
        self._widths = np.full(sys.maxunicode + 1, -1, np.int8)  # -1: not known yet
        self._is_accent = np.zeros(sys.maxunicode + 1, np.bool_)

    def tokenize(self, text: str | bytes) -> list[str]:
        """Return the words and punctuation signs in order."""
        return self.normalize(convert_to_unicode(text)).split()

    def normalize(self, text: str) -> str:
        """Return the words of the text with spaces between them."""
        text = text.translate(self._cleaned)
        if self.do_lower_case:
            text = text.lower()
        if self.strip_accents:
            text = _decompose(text)
        text = text.translate(self._separated)
        for sign, apart in _SIGNS:  # `translate` is fast only while characters stay one
            text = text.replace(sign, apart)
        return text

    def to_raw_spans(
        self, text: str, normalized: str, lengths: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return where the pieces of `normalize(text)` start and end in the text, dropped accents included.

        Args:
          lengths: int32[t], characters of each piece; together they are all but the spaces.
        """
        # Characters normalised one by one give the widths: only a final sigma and the order of
        # combining marks depend on neighbours, and neither changes a width.
        codes = _code_points(text)
        for code in set(codes[self._widths[codes] < 0].tolist()):
            self._is_accent[code] = not self._separated[code]
            self._widths[code] = len(self.normalize(chr(code)))
        origins = np.repeat(np.arange(len(codes)), self._widths[codes])
        origins = origins[_code_points(normalized) != ord(" ")]
        after = np.cumsum(lengths)
        ends = origins[after - 1] + 1
        if np.any(is_accent := self._is_accent[codes]):
            # a dropped accent belongs to the character before it
            stops = np.append(np.flatnonzero(~is_accent), len(text))
            ends = stops[np.searchsorted(stops, ends)]
        return origins[after - lengths], ends

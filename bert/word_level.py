"""Words as tokens: a vocabulary of whole words, and nano-BERT's tokenizer interface over it.

`tokenization.FullTokenizer` over such a vocabulary finds whole words or [UNK], because no piece carries a word on. So
the file that `save` writes is all that the commands need; `WordTokenizer` is for a few texts in memory, and reads them
alike. Leaves to others: pairs, spans, which end of a long text is read (`features`).
Source: StepanTita/nano-BERT, WordTokenizer; there words are split at spaces only, so that "dull." is no "dull".
"""

import collections
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from bert import files
from bert import normalization
from bert import tokenization

SPECIAL_TOKENS = (tokenization.PAD, tokenization.CLS, tokenization.SEP, tokenization.UNK)
"""nano-BERT's, whose identifiers are 0 to 3."""

_LONGEST = 200  # characters; FullTokenizer makes [UNK] of longer words


def find_words(
    texts: Iterable[str], *, min_count: int = 1, max_words: int | None = None
) -> list[str]:
    """Return the different words of texts in Unicode order, lower-cased; punctuation signs are words of their own.

    Args:
      min_count: words that are rarer are left out, so that a training sees [UNK].
      max_words: the most frequent are kept, of equally frequent ones the first in Unicode order; None keeps all.

    Raises:
      TypeError: one text, which would be read letter by letter.
      ValueError: a bound is below 1, or no word is left.

    >>> find_words(["So fine!", "so-so"])
    ['!', '-', 'fine', 'so']
    """
    for name, bound in (("min_count", min_count), ("max_words", max_words)):
        if bound is not None and bound < 1:
            raise ValueError(f"{name} must be at least 1, got {bound}; raise it or leave it out")
    if isinstance(texts, str):
        raise TypeError(f"texts must be a list of texts, got one: {texts[:40]!r}; put it in a list")
    counts = collections.Counter[str]()
    split = normalization.BasicTokenizer().tokenize
    for text in texts:
        counts.update(split(text))
    kept = {word for word in counts if counts[word] >= min_count and len(word) <= _LONGEST}
    if not kept:
        raise ValueError(
            f"the texts must hold a word that stands there {min_count} times, got {len(counts)} rarer words; lower "
            "min_count or give more texts"
        )
    return sorted(sorted(kept, key=lambda word: (-counts[word], word))[:max_words])


class WordTokenizer:
    """Texts to identifiers of whole words, always as many: [CLS] words [SEP], cut or padded with 0.

    Attributes:
      vocab: token -> identifier: the special tokens, then the words in Unicode order.
    """

    def __init__(
        self,
        words: Iterable[str],
        *,
        sep: str = " ",
        max_seq_len: int = 16,
        special_tokens: Sequence[str] = SPECIAL_TOKENS,
    ) -> None:
        """Build the vocabulary.

        Args:
          words: of the vocabulary, in any order and case; whole texts give theirs.
          sep: what separates the words of a text, beside whitespace and punctuation, and of a decoded one.
          max_seq_len: tokens of an encoded text, [CLS] and [SEP] counted.
          special_tokens: the four, and perhaps more, such as [MASK]; [PAD] first, for padding is 0 everywhere.

        Raises:
          ValueError: no words, no room for one, or a special token that is missing or out of place.
        """
        missing = [token for token in SPECIAL_TOKENS if token not in special_tokens]
        if missing or special_tokens[0] != tokenization.PAD:
            raise ValueError(
                f"special_tokens must begin with {tokenization.PAD} and hold {', '.join(SPECIAL_TOKENS)}, got "
                f"{list(special_tokens)}; add {', '.join(missing) or 'the others after it'}"
            )
        if max_seq_len < 3:
            raise ValueError(
                f"max_seq_len must be at least 3, for {tokenization.CLS}, a word and {tokenization.SEP}; got "
                f"{max_seq_len}"
            )
        self.sep, self.max_seq_len = sep, max_seq_len
        self.special_tokens = tuple(special_tokens)
        tokens = [*special_tokens, *find_words(words)]
        self.vocab = {token: index for index, token in enumerate(tokens)}
        self._tokens = tokens
        self._split = normalization.BasicTokenizer().tokenize

    def encode(self, text: str | Sequence[str]) -> npt.NDArray[np.int32]:
        """Return the identifiers of a text, or of words in a list, int32[max_seq_len]; unknown words are [UNK]."""
        items = text.split(self.sep) if isinstance(text, str) else text
        words = [word for item in items for word in self._split(item)][: self.max_seq_len - 2]
        unknown = self.vocab[tokenization.UNK]
        ids = [self.vocab.get(word, unknown) for word in words]
        framed = [self.vocab[tokenization.CLS], *ids, self.vocab[tokenization.SEP]]
        return np.array(framed + [0] * (self.max_seq_len - len(framed)), np.int32)

    __call__ = encode

    def decode(self, ids: Iterable[int], ignore_special: bool = True) -> str:
        """Return the words of identifiers, `sep` between them; an unknown word comes back as [UNK].

        Args:
          ignore_special: leave out the tokens that frame and fill the input.

        Raises:
          ValueError: an identifier that the vocabulary has not.
        """
        numbers = [int(number) for number in ids]
        if wrong := [number for number in numbers if not 0 <= number < len(self._tokens)]:
            raise ValueError(
                f"ids must be from 0 to {len(self._tokens) - 1}, got {wrong[0]}; use the vocabulary that encoded them"
            )
        tokens = [self._tokens[number] for number in numbers]
        kept = [t for t in tokens if not (ignore_special and tokenization.is_special(t))]
        return self.sep.join(kept)

    def save(self, vocab_file: files.Path) -> None:
        """Write the vocabulary as the `vocab.txt` that `tokenization.FullTokenizer` and the commands read."""
        files.write_text(vocab_file, "".join(f"{token}\n" for token in self._tokens))

    def __repr__(self) -> str:
        """Show how large it is."""
        return f"WordTokenizer({len(self.vocab)} tokens, max_seq_len={self.max_seq_len})"

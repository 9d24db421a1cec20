"""Texts to the integers that BERT reads, inside a TensorFlow graph: for models that are given texts and served.

What a character becomes is looked up in a table made by `normalization`, so that the pieces and spans are those of
`tokenization`. Known differences: signs of category Mc keep their order where NFD would swap two in a row, and
noncharacters are looked up as U+FFFD. Needs tensorflow-text, for the pieces of words. Leaves to others: the model
(`classifier`).
"""

import functools
import sys
import unicodedata
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from bert import config as config_lib
from bert import features
from bert import normalization
from bert import shapes
from bert import tokenization

Ints: TypeAlias = npt.NDArray[np.int32]
_SPACE, _SIGMA, _FINAL_SIGMA = map(ord, " \u03a3\u03c2")
_ITSELF = 0  # U+0000 is dropped from every text: no character becomes it
_OTHER, _CASED, _PASSED_OVER = range(3)  # what a character is to the sigma before or after it


class _Characters(NamedTuple):
    """What becomes of characters; the last row is that of all that are not listed.

    Attributes:
      codes: int32[n], sorted.
      made, splits: what character i becomes is made[splits[i] : splits[i + 1]].
      roles: how a sigma sees it.
      is_accent: whether it is dropped as an accent of the character before it.
    """

    codes: Ints
    made: Ints
    splits: Ints
    roles: Ints
    is_accent: npt.NDArray[np.bool_]


class Encoded(NamedTuple):
    """A batch of texts as the model reads them, padded with 0 and "".

    Attributes:
      tokens: string[b, t].
      spans: int32[b, t, 2], characters of the token's own text.
    """

    features: features.Features
    tokens: tf.Tensor
    spans: tf.Tensor


class GraphEncoder(tf.Module):  # type: ignore[misc]  # tf.Module has no types
    """Does in a graph what `features.encode` does with a tokenizer."""

    def __init__(
        self, tokenizer: tokenization.FullTokenizer, record: config_lib.ClassifierConfig
    ) -> None:
        """Make the tables.

        Raises:
          ValueError: tensorflow-text is not installed.
        """
        super().__init__(name="tokenizer")
        try:
            import tensorflow_text
        except ModuleNotFoundError as error:
            raise ValueError(
                f"a model that is given texts needs {error.name}; pip install -r requirements-serve.txt"
            ) from None
        self._longest_word = tokenizer.wordpiece_tokenizer.max_input_chars_per_word
        self._length, self._truncation = record.max_seq_length, record.truncation
        self._special = features.SpecialIds.of(tokenizer.vocab)
        self._unknown = tokenizer.vocab[tokenization.UNK]
        basic = tokenizer.basic_tokenizer
        self._lowers = basic.do_lower_case
        characters = _characters(
            basic.do_lower_case, basic.strip_accents, basic.tokenize_chinese_chars
        )
        self._characters = _Characters(*map(tf.constant, characters))
        pieces = [
            tokenizer.inv_vocab.get(index, "") for index in range(max(tokenizer.inv_vocab) + 1)
        ]
        self._pieces = tf.constant(pieces)
        self._sizes = tf.constant([len(tokenization.strip_continuation(piece)) for piece in pieces])
        known = tf.lookup.KeyValueTensorInitializer(
            list(tokenizer.vocab), list(tokenizer.vocab.values()), tf.string, tf.int64
        )
        self._table = tf.lookup.StaticHashTable(known, -1)
        self._wordpiece = tensorflow_text.WordpieceTokenizer(
            self._table,
            max_bytes_per_word=4 * self._longest_word,  # of UTF-8; characters are counted here
            max_chars_per_token=max(map(len, pieces)),
            unknown_token=tokenization.UNK,
        )

    def __call__(self, text_a: tf.Tensor, text_b: tf.Tensor) -> Encoded:
        """Encode texts, or pairs where `text_b` is not "", string[b] each of UTF-8."""
        count = tf.size(text_a)
        pieces = self.find_pieces(tf.concat([text_a, text_b], axis=0))
        has_b = tf.not_equal(text_b, "")
        lengths = pieces.row_lengths()
        kept_a, kept_b = _kept_lengths(
            lengths[:count], lengths[count:], self._length - 2 - tf.cast(has_b, tf.int32)
        )
        first, first_end = self._sentence(pieces[:count], kept_a, 0)
        second, second_end = self._sentence(pieces[count:], kept_b, 1)
        start = tf.tile([[[self._special.cls, 0, 0, 0]]], [count, 1, 1])
        if_pair = tf.RaggedTensor.from_row_lengths(
            tf.boolean_mask(second_end, has_b), tf.cast(has_b, tf.int32)
        )
        columns = tf.concat([start, first, first_end[:, tf.newaxis], second, if_pair], axis=1)
        is_token = tf.sequence_mask(columns.row_lengths())
        ids, starts, ends, segments = tf.unstack(columns.to_tensor(), num=4, axis=2)
        return Encoded(
            features.Features(ids, tf.cast(is_token, tf.int32), segments),
            tf.where(is_token, tf.gather(self._pieces, ids), ""),
            tf.stack([starts, ends], axis=2),
        )

    def find_pieces(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Return identifier, start and end of each piece of each text, int32[b, (p), 3]."""
        decoded = tf.strings.unicode_decode(texts, "UTF-8", errors="ignore")
        decoded = decoded.with_row_splits_dtype(tf.int32)
        # as one text, a space after each: no rule looks past a space
        ends_here = tf.fill([tf.size(texts), 1], _SPACE)
        raw = tf.concat([decoded, ends_here], axis=1).with_row_splits_dtype(tf.int32)
        made, origins, is_accent = self._normalized(raw.flat_values)
        words, origins = _words(made, origins)
        sizes = words.row_lengths()
        strings = tf.strings.unicode_encode(words, "UTF-8")
        strings = tf.where(sizes > self._longest_word, tokenization.UNK, strings)
        found = self._wordpiece.tokenize(strings).with_row_splits_dtype(tf.int32)
        ids = tf.cast(found.flat_values, tf.int32)
        of_word = tf.gather(sizes, found.value_rowids())
        lengths = tf.where(tf.equal(ids, self._unknown), of_word, tf.gather(self._sizes, ids))
        after = tf.cumsum(lengths)
        starts, ends = tf.gather(origins, after - lengths), tf.gather(origins, after - 1) + 1
        # a dropped accent belongs to the character before it
        stops = tf.cast(tf.where(~is_accent)[:, 0], tf.int32)
        ends = tf.gather(stops, tf.searchsorted(stops, ends))
        splits = tf.searchsorted(starts, raw.row_splits)
        shifts = tf.repeat(raw.row_splits[:-1], splits[1:] - splits[:-1])
        columns = tf.stack([ids, starts - shifts, ends - shifts], axis=1)
        return tf.RaggedTensor.from_row_splits(columns, splits, validate=False)

    def _normalized(self, codes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return the characters made of others, where each comes from, and which of those are dropped accents."""
        table = self._characters
        last = tf.size(table.codes) - 1
        places = tf.searchsorted(table.codes, codes)
        rows = tf.where(tf.equal(tf.gather(table.codes, places), codes), places, last)
        every = tf.RaggedTensor.from_row_splits(table.made, table.splits, validate=False)
        found = tf.gather(every, rows)
        origins, made = found.value_rowids(), found.flat_values
        made = tf.where(tf.equal(made, _ITSELF), tf.gather(codes, origins), made)
        if self._lowers:
            is_final = _is_final_sigma(codes, tf.gather(table.roles, rows))
            made = tf.where(tf.gather(is_final, origins), _FINAL_SIGMA, made)
        return made, origins, tf.gather(table.is_accent, rows)

    def _sentence(
        self, pieces: tf.RaggedTensor, kept: tf.Tensor, segment: int
    ) -> tuple[tf.RaggedTensor, tf.Tensor]:
        """Return what is read of a batch's first or second texts, int32[b, (p), 4], and the [SEP]s after it."""
        lengths = pieces.row_lengths()
        from_start = {"head": kept, "tail": tf.zeros_like(kept), "head_tail": kept // 4}
        before = from_start[self._truncation]
        place, row = tf.ragged.range(lengths).flat_values, pieces.value_rowids()
        after = tf.gather(lengths - kept + before, row)
        is_read = (place < tf.gather(before, row)) | (place >= after)
        values = tf.boolean_mask(pieces.flat_values, is_read)
        values = tf.pad(values, [[0, 0], [0, 1]], constant_values=segment)
        read = tf.RaggedTensor.from_row_lengths(values, kept, validate=False)
        # the last piece ends last; there may be none
        end = tf.maximum(tf.reduce_max(read[:, :, 2], axis=1), 0)
        mark = [
            tf.fill(tf.shape(end), self._special.sep),
            end,
            end,
            tf.fill(tf.shape(end), segment),
        ]
        return read, tf.stack(mark, axis=1)


def _words(made: tf.Tensor, origins: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """Return characters as words, and where those that are no spaces come from."""
    is_space = tf.equal(made, _SPACE)
    begins = ~is_space & tf.concat([[True], is_space[:-1]], axis=0)
    word = tf.cumsum(tf.cast(begins, tf.int32)) - 1
    rows = tf.boolean_mask(word, ~is_space)
    letters = tf.boolean_mask(made, ~is_space)
    words = tf.RaggedTensor.from_value_rowids(letters, rows, validate=False)
    return words, tf.boolean_mask(origins, ~is_space)


def _kept_lengths(
    length_a: shapes.Labels, length_b: shapes.Labels, room: shapes.Labels
) -> tuple[tf.Tensor, tf.Tensor]:
    """Do for a batch what `truncation.kept_lengths` does for one pair."""
    fits = length_a + length_b <= room
    cut_a = tf.minimum(length_a, tf.maximum(room - length_b, (room + 1) // 2))
    return tf.where(fits, length_a, cut_a), tf.where(fits, length_b, room - cut_a)


def _is_final_sigma(codes: tf.Tensor, roles: tf.Tensor) -> tf.Tensor:
    """Tell which sigmas end a word: after a letter with case and not before one.

    Source: The Unicode Standard, section 3.13, Final_Sigma, as `str.lower` has it.
    """
    is_seen = tf.not_equal(roles, _PASSED_OVER)
    seen = tf.pad(tf.boolean_mask(roles, is_seen), [[1, 2]], constant_values=_OTHER)
    before = tf.cumsum(tf.cast(is_seen, tf.int32), exclusive=True)
    follows, precedes = (tf.equal(tf.gather(seen, before + i), _CASED) for i in (0, 2))
    return tf.equal(codes, _SIGMA) & follows & ~precedes


@functools.cache
def _characters(
    do_lower_case: bool, strip_accents: bool, tokenize_chinese_chars: bool
) -> _Characters:
    basic = normalization.BasicTokenizer(
        do_lower_case, strip_accents=strip_accents, tokenize_chinese_chars=tokenize_chinese_chars
    )
    rows: list[tuple[int, str, int, bool]] = []
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        category = unicodedata.category(char)
        if category in ("Cn", "Co", "Cs") and not normalization.is_cjk(char):
            continue
        row = (
            code,
            basic.normalize(char),
            _role(char),
            strip_accents and category == "Mn",
        )
        if row[1:] != (char, _OTHER, False):
            rows.append(row)
    codes, made, roles, is_accent = zip(*rows, strict=True)
    return _Characters(
        np.array([*codes, sys.maxunicode + 1], np.int32),
        np.array([*map(ord, "".join(made)), _ITSELF], np.int32),
        np.cumsum([0, *map(len, made), 1], dtype=np.int32),
        np.array([*roles, _OTHER], np.int32),
        np.array([*is_accent, False]),
    )


def _role(char: str) -> int:
    """Return how a sigma sees a character, by what it becomes between a letter and it, and whatever comes next."""
    kept = "" if normalization.is_dropped(char) else char
    if f"A\u03a3{kept} ".lower()[1] != chr(_FINAL_SIGMA):
        return _CASED
    return _OTHER if f"A\u03a3{kept}A".lower()[1] == chr(_FINAL_SIGMA) else _PASSED_OVER

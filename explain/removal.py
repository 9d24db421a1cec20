"""A text without some of its words, on token ids: nothing is decoded or tokenised again.

Special tokens belong to no word, so they are never removed. Every piece of a removed word goes.
"""

from collections.abc import Collection
from typing import Literal, NamedTuple, TypeAlias, get_args

Removal: TypeAlias = Literal["delete", "mask", "pad", "pad_attended"]
"""What stands where a word stood. None of them is what the model was trained on, and their figures do not compare.

delete: nothing; the gap closes, so later tokens move forward (ERASER, DeYoung et al. 2020).
mask: [MASK], a piece each; positions stay (DecompX, Modarressi et al. 2023).
pad: [PAD], a piece each, which no token attends to (input_mask 0); positions stay.
pad_attended: [PAD], a piece each, which the model still reads (input_mask 1), as Wu and Ong 2021 have it.
"""


class Ids(NamedTuple):
    """What a model reads of one text: three numbers a token, special tokens included, padding left out."""

    input_ids: tuple[int, ...]
    segment_ids: tuple[int, ...]
    input_mask: tuple[int, ...]


class Units(NamedTuple):
    """A text as a model reads it, and the words it is taken apart by.

    Attributes:
      word_of_token: index of each token's word; -1 for special tokens.
      mask_id: None where the vocabulary has no [MASK].
    """

    ids: Ids
    word_of_token: tuple[int, ...]
    pad_id: int
    mask_id: int | None = None

    @property
    def word_count(self) -> int:
        """How many words the model read."""
        return max(self.word_of_token, default=-1) + 1


def without(units: Units, words: Collection[int], removal: Removal) -> Ids:
    """Return a text with these words removed.

    Raises:
      ValueError: the text has no such word, there is no such removal, or "mask" is asked of a model without [MASK].
    """
    if outside := sorted(set(words) - set(range(units.word_count))):
        raise ValueError(
            f"words to remove must be indices from 0 to {units.word_count - 1}, got {outside}"
        )
    gone = {place for place, word in enumerate(units.word_of_token) if word in words}
    if removal == "delete":
        kept = [place for place in range(len(units.word_of_token)) if place not in gone]
        return Ids(*(tuple(row[place] for place in kept) for row in units.ids))
    ids = _replaced(units.ids.input_ids, gone, _stand_in(units, removal))
    mask = units.ids.input_mask
    return units.ids._replace(
        input_ids=ids, input_mask=_replaced(mask, gone, 0) if removal == "pad" else mask
    )


def _stand_in(units: Units, removal: Removal) -> int:
    if removal not in get_args(Removal):
        raise ValueError(f"removal must be one of {', '.join(get_args(Removal))}; got {removal!r}")
    if removal != "mask":
        return units.pad_id
    if units.mask_id is None:
        raise ValueError(
            "removal 'mask' needs [MASK] in the model's vocabulary, which has none; take 'delete', 'pad' or "
            "'pad_attended'"
        )
    return units.mask_id


def _replaced(row: tuple[int, ...], places: Collection[int], value: int) -> tuple[int, ...]:
    return tuple(value if place in places else here for place, here in enumerate(row))

"""Words leave a text on its ids alone, and special tokens stay."""

import hypothesis
import pytest
from hypothesis import strategies

from explain import removal

CLS, SEP, PAD, MASK = 101, 102, 0, 103
PAIR = removal.Units(  # [CLS] a bb bb [SEP] c d [SEP]: word 1 has two pieces
    removal.Ids((CLS, 11, 12, 13, SEP, 14, 15, SEP), (0, 0, 0, 0, 0, 1, 1, 1), (1,) * 8),
    (-1, 0, 1, 1, -1, 2, 3, -1),
    PAD,
    MASK,
)
KINDS = ["delete", "mask", "pad", "pad_attended"]


def test_deleting_words_closes_the_gap_in_ids_segments_and_mask():
    assert removal.without(PAIR, {1, 3}, "delete") == removal.Ids(
        (CLS, 11, SEP, 14, SEP), (0, 0, 0, 1, 1), (1,) * 5
    )


@pytest.mark.parametrize(
    ("kind", "stand_in", "input_mask"),
    [
        ("mask", MASK, (1, 1, 1, 1, 1, 1, 1, 1)),
        ("pad", PAD, (1, 1, 0, 0, 1, 1, 0, 1)),
        ("pad_attended", PAD, (1, 1, 1, 1, 1, 1, 1, 1)),
    ],
)
def test_the_removals_that_keep_positions_differ_in_stand_in_and_in_whether_it_is_read(
    kind, stand_in, input_mask
):
    ids = (CLS, 11, stand_in, stand_in, SEP, 14, stand_in, SEP)
    assert removal.without(PAIR, [1, 3], kind) == removal.Ids(ids, PAIR.ids.segment_ids, input_mask)


@pytest.mark.parametrize("kind", KINDS)
def test_removing_nothing_changes_nothing(kind):
    assert removal.without(PAIR, set(), kind) == PAIR.ids


@hypothesis.given(strategies.sets(strategies.integers(0, 3)), strategies.sampled_from(KINDS))
def test_special_tokens_are_never_removed(words, kind):
    left = removal.without(PAIR, words, kind)
    specials = [token for token in zip(*left, strict=True) if token[0] in (CLS, SEP)]
    assert specials == [(CLS, 0, 1), (SEP, 0, 1), (SEP, 1, 1)]


def test_a_text_counts_its_words_and_may_have_none():
    assert PAIR.word_count == 4
    empty = removal.Units(removal.Ids((CLS, SEP), (0, 0), (1, 1)), (-1, -1), PAD, MASK)
    assert empty.word_count == 0


def test_what_cannot_be_removed_is_named():
    with pytest.raises(ValueError, match=r"indices from 0 to 3, got \[-1, 4\]"):
        removal.without(PAIR, {4, 2, -1}, "pad")
    with pytest.raises(ValueError, match=r"one of delete, mask, pad, pad_attended; got 'unk'"):
        removal.without(PAIR, {1}, "unk")
    with pytest.raises(ValueError, match=r"'mask' needs \[MASK\].*take 'delete'"):
        removal.without(PAIR._replace(mask_id=None), {1}, "mask")

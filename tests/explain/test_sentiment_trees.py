"""Trees of the Stanford Sentiment Treebank, by hand and on its development set."""

import collections
import gzip
import os
import pathlib

import pytest

from explain import sentiment_trees

DATA = os.environ.get("BERT_DATA_DIR")
NOT_BAD = "(3 (2 It) (3 (2 's) (3 (1 not) (1 bad))))"


def test_every_node_becomes_a_phrase_with_the_sentence_first_and_its_words_in_order():
    phrases = sentiment_trees.parse_tree(NOT_BAD)
    assert [(phrase.text, phrase.label) for phrase in phrases] == [
        ("It 's not bad", 3),
        ("It", 2),
        ("'s not bad", 3),
        ("'s", 2),
        ("not bad", 3),
        ("not", 1),
        ("bad", 1),
    ]
    assert phrases[2].words == ("'s", "not", "bad")


def test_a_sentence_of_one_word_is_one_phrase_and_spelling_is_kept():
    assert sentiment_trees.parse_tree(r"(4 9\/11)") == [((r"9\/11",), 4)]
    brackets = sentiment_trees.parse_tree("(2 (2 -LRB-) (0 -RRB-))")
    assert brackets[0].text == "-LRB- -RRB-"


@pytest.mark.parametrize(
    "tree",
    [
        "",
        "good",
        "(3 good",
        "(3 (2 so) (4 good)",
        "(3 good))",
        "(5 good)",
        "(good)",
        "(3 ())",
        "(3)",
        "(3 (2) good)",
        "(2 so) (3 good)",
        "(2 so) good",
        "so (3 good)",
        "(",
    ],
)
def test_what_is_no_tree_is_refused(tree):
    with pytest.raises(ValueError, match=r"a tree must be nodes .* got '.*; correct the line"):
        sentiment_trees.parse_tree(tree)


def test_a_tree_without_end_is_refused_before_it_takes_the_square_of_its_length():
    deep = "(2 so " * 2_500 + ")" * 2_500
    assert len(sentiment_trees.parse_tree(deep)) == 2_500
    with pytest.raises(ValueError, match=r"at most 20,000 characters, got 20,300; give"):
        sentiment_trees.parse_tree("(2 so " * 2_900 + ")" * 2_900)


def test_files_are_read_packed_or_not_and_a_bad_line_is_named(tmp_path):
    plain, packed = tmp_path / "dev.txt", tmp_path / "dev.txt.gz"
    plain.write_text(f"{NOT_BAD}\n\n(0 (1 Too) (0 dull))\n", encoding="utf-8")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    trees = list(sentiment_trees.read_trees(plain))
    assert [tree[0].text for tree in trees] == ["It 's not bad", "Too dull"]
    assert list(sentiment_trees.read_trees(packed)) == trees
    plain.write_text(f"{NOT_BAD}\n(0 (1 Too)\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"dev\.txt:2: a tree must be nodes"):
        list(sentiment_trees.read_trees(plain))


@pytest.mark.skipif(DATA is None, reason="needs the treebank's trees: set $BERT_DATA_DIR")
def test_the_development_set_of_the_treebank():
    trees = list(sentiment_trees.read_trees(pathlib.Path(DATA) / "sst" / "sst_trees_dev.txt.gz"))
    assert len(trees) == 1101
    # as published: Socher et al.'s split, 139 289 229 279 165 sentences of the classes 0 to 4
    assert collections.Counter(tree[0].label for tree in trees) == {
        0: 139,
        1: 289,
        2: 229,
        3: 279,
        4: 165,
    }
    # every tree is binary: as many phrases of several words as words, less one
    assert all(len(tree) == 2 * len(tree[0].words) - 1 for tree in trees)
    assert sum(len(tree) for tree in trees) == 41447

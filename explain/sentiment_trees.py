"""Sentiment trees: the labels that people gave to every word and phrase of a sentence.

The files are those of the Stanford Sentiment Treebank (Socher et al. 2013), one tree a line. Leaves to others: what
scores are compared with the labels (`corpus`).
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from bert import files
from bert import tables

_PIECE = re.compile(r"[()]|[^\s()]+")
_LABELS = ("0", "1", "2", "3", "4")
# Every phrase holds its words, so a tree takes the square of its length; the treebank's longest line has 1,657.
_LONGEST_TREE = 20_000


class Phrase(NamedTuple):
    r"""A node of a tree.

    Attributes:
      words: as the treebank spells them: `-LRB-` is an opening bracket and `\/` a slash.
      label: 0 (most negative) to 4 (most positive); 2 is neutral.
    """

    words: tuple[str, ...]
    label: int

    @property
    def text(self) -> str:
        """The words with one space between them."""
        return " ".join(self.words)


def parse_tree(tree: str) -> list[Phrase]:
    """Return the phrases of a tree, each before its parts: the sentence comes first, and its words lie in order.

    >>> [(phrase.text, phrase.label) for phrase in parse_tree("(4 (2 So) (3 good))")]
    [('So good', 4), ('So', 2), ('good', 3)]

    Raises:
      ValueError: brackets that do not match, a node that is not a label and then words or nodes, or more than 20,000
        characters.
    """
    if len(tree) > _LONGEST_TREE:
        raise ValueError(
            f"a tree must have at most {_LONGEST_TREE:,} characters, got {len(tree):,}; give every tree a line"
        )
    labels: list[int] = []
    words: list[list[str]] = []
    opened: list[int] = []
    pieces = iter(_PIECE.findall(tree))
    for piece in pieces:
        if piece == "(" and (opened or not labels) and (label := next(pieces, "")) in _LABELS:
            opened.append(len(labels))
            labels.append(int(label))
            words.append([])
        elif piece == ")" and opened and words[opened[-1]]:
            opened.pop()
        elif piece not in ("(", ")") and opened:
            for node in opened:
                words[node].append(piece)
        else:
            raise _refusal(tree)
    if opened or not labels:
        raise _refusal(tree)
    return [Phrase(tuple(part), label) for part, label in zip(words, labels, strict=True)]


def read_trees(path: files.Path) -> Iterator[list[Phrase]]:
    """Yield the phrases of each tree of a file, plain or gzipped, as `parse_tree` returns them.

    Raises:
      FileNotFoundError: the file is not there.
      ValueError: as `parse_tree`, or a file that is not UTF-8; the message names file and line.
    """
    for line, tree in tables.read_lines(path):
        try:
            yield parse_tree(tree)
        except ValueError as error:
            raise ValueError(f"{path}:{line}: {error}") from None


def _refusal(tree: str) -> ValueError:
    return ValueError(
        f"a tree must be nodes (LABEL WORD) and (LABEL NODE NODE) with labels 0 to 4, got {tree!r:.60}; correct "
        "the line"
    )

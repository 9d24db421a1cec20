"""Vocabulary files."""

import pathlib
from collections.abc import Iterable

REQUIRED = ["[UNK]", "[CLS]", "[SEP]", "[PAD]"]


def write(path: pathlib.Path, tokens: Iterable[str]) -> pathlib.Path:
    """Write one token per line and return the path."""
    path.write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8", newline="\n")
    return path

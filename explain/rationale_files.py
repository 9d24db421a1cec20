"""Data sets with human rationales: ERASER's, HateXplain, and our own JSON lines.

What ERASER's official scorer reads is written by `eraser_files`. No message shows a document's text, which may be hate
speech.

Sources: DeYoung et al. 2020 (ERASER); Mathew et al. 2021 (HateXplain); their code for the formats.
"""

import csv
import io
import json
import lzma
import os
import pathlib
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from bert import files
from bert import tables
from explain import rationales as rationales_lib

Row: TypeAlias = dict[str, object]
SPLITS = ("train", "val", "test")
HATEXPLAIN_FILES = ("dataset.json", "post_id_divisions.json")


def read_eraser(source: files.Path) -> dict[str, tuple[rationales_lib.Rationale, ...]]:
    """Read the splits of an ERASER data set whose annotations name one document each, such as movies.

    Tokens are what stands between white space; all evidence groups count together.

    Args:
      source: a folder with `<split>.jsonl` and `docs/`, or a tar archive that holds such a folder.

    Returns:
      Those of train, val and test that are there.

    Raises:
      FileNotFoundError: none is there.
      ValueError: a broken archive, line or offset; the message names file and line.
    """
    path = pathlib.Path(source)
    contents = _unpacked(path) if path.is_file() else _folder(path)
    found = {
        split: tuple(
            _annotated(_row(where, line), where, contents)
            for where, line in _numbered(contents[f"{split}.jsonl"], f"{source}/{split}.jsonl")
        )
        for split in SPLITS
        if f"{split}.jsonl" in contents
    }
    if not found:
        raise FileNotFoundError(
            f"{source} must hold docs/ and train.jsonl, val.jsonl or test.jsonl, as an ERASER data set does; found none"
        )
    return found


def read_hatexplain(
    folder: files.Path, min_annotators: int = 1
) -> dict[str, tuple[rationales_lib.Rationale, ...]]:
    """Read the splits of HateXplain.

    The label is the majority's. A post without a majority is in no split of the owners'.

    Args:
      folder: holds the owners' dataset.json and post_id_divisions.json, or `<split>.jsonl`, plain or .gz.
      min_annotators: how many of the two or three annotators must have marked a token; 1, their union, is what the
        owners score against. Above 1, JSON lines must hold every annotator's own mask as `rationales`.

    Returns:
      Those of train, val and test that are there.

    Raises:
      FileNotFoundError: none is there.
      ValueError: a broken line or post; the message names it.
    """
    if min_annotators < 1:
        raise ValueError(f"min_annotators must be at least 1, got {min_annotators}")
    root = pathlib.Path(folder)
    if all((root / name).is_file() for name in HATEXPLAIN_FILES):
        return _posts(root, min_annotators)
    paths = {
        split: path
        for split in SPLITS
        for path in (root / f"{split}.jsonl", root / f"{split}.jsonl.gz")
        if path.is_file()
    }
    if not paths:
        raise FileNotFoundError(
            f"{folder} must hold {' and '.join(HATEXPLAIN_FILES)}, or train.jsonl, val.jsonl or test.jsonl, plain or "
            ".gz; found none"
        )
    return {split: tuple(_hatexplain_lines(path, min_annotators)) for split, path in paths.items()}


def read_rationales(
    path: files.Path, labels: Sequence[str] | None = None
) -> tuple[rationales_lib.Rationale, ...]:
    """Read the rationales that `write_split` wrote.

    Args:
      labels: those that a text may have; None: any.

    Raises:
      FileNotFoundError, ValueError: the file is not there or holds no text, a line is broken or has another label; the
        message names it.
    """
    found = []
    for where, row in _json_lines(path):
        item = _marked(row, where, _marks(row, "mask", where))
        if labels is not None and item.label not in labels:
            known = ", ".join(map(repr, labels))
            raise ValueError(
                f"{where}: label must be one of {known}; got {item.label!r}; correct the row"
            )
        found.append(item)
    if not found:
        raise ValueError(f"{path}: must hold a line a text, got none; check the file")
    return tuple(found)


def write_split(
    folder: files.Path, split: str, rationales: Sequence[rationales_lib.Rationale]
) -> tuple[pathlib.Path, pathlib.Path]:
    """Write a split twice, in the same order: to train a classifier on, and with what people marked.

    Returns:
      `<split>.tsv` with the header `id text label`, and `<split>_rationales.jsonl`, lines of id, label, tokens and
      mask (1 = marked); val is called dev.
    """
    name = "dev" if split == "val" else split
    table, lines = (
        pathlib.Path(folder) / f"{name}{ending}" for ending in (".tsv", "_rationales.jsonl")
    )
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(("id", "text", "label"))
    writer.writerows((item.guid, item.text, item.label) for item in rationales)
    files.write_text(table, text.getvalue())
    rows = (
        {"id": guid, "label": label, "tokens": tokens, "mask": [int(mark) for mark in mask]}
        for guid, tokens, mask, label in rationales
    )
    files.write_text(lines, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return table, lines


def _folder(root: pathlib.Path) -> dict[str, bytes]:
    paths = [path for path in (*root.glob("*.jsonl"), *root.glob("docs/*")) if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def _unpacked(archive: pathlib.Path) -> dict[str, bytes]:
    """Return the files of an archive by their path below its top folder; nothing is unpacked to disk."""
    found = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                parts = pathlib.PurePosixPath(member.name).parts
                name = "/".join(parts[-2:] if "docs" in parts[-2:-1] else parts[-1:])
                content = tar.extractfile(member) if member.isfile() else None
                if content is not None:
                    found[name] = content.read()
    except (tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error) as error:
        raise ValueError(
            f"{archive} must be a whole tar archive, got {error}; fetch it again"
        ) from None
    return found


def _annotated(row: Row, where: str, contents: Mapping[str, bytes]) -> rationales_lib.Rationale:
    guid = _string(row, "annotation_id", where)
    evidence = [
        _object(item, "evidences", where)
        for group in _list(row, "evidences", where)
        for item in _items(group, "evidences", where)
    ]
    docids = {_string(item, "docid", where) for item in evidence} or {guid}
    if len(docids) != 1 or (name := f"docs/{min(docids)}") not in contents:
        raise ValueError(
            f"{where}: an annotation must name one document that is in docs/, got {', '.join(sorted(docids))}; data "
            "sets with several documents an annotation are not read"
        )
    tokens = tuple(_text(contents[name], f"{where}: {name}").split())
    mask = np.zeros(len(tokens), np.bool_)
    for item in evidence:
        start, end = _integer(item, "start_token", where), _integer(item, "end_token", where)
        if not 0 <= start < end <= len(tokens):
            raise ValueError(
                f"{where}: evidence must lie within the {len(tokens)} tokens of {name}, got {start} to {end}; is it "
                "another version of the document?"
            )
        mask[start:end] = True
    return rationales_lib.Rationale(
        guid, tokens, tuple(mask.tolist()), _string(row, "classification", where)
    )


def _hatexplain_lines(
    path: pathlib.Path, min_annotators: int
) -> Iterator[rationales_lib.Rationale]:
    for where, row in _json_lines(path):
        if min_annotators == 1 and "rationale_union" in row:
            mask = _marks(row, "rationale_union", where)
        else:
            mask = _agreed(row, where, len(_list(row, "tokens", where)), min_annotators)
        yield _marked(row, where, mask)


def _posts(
    root: pathlib.Path, min_annotators: int
) -> dict[str, tuple[rationales_lib.Rationale, ...]]:
    posts, divisions = (
        _row(f"{root / name}", _text((root / name).read_bytes(), f"{root / name}"))
        for name in HATEXPLAIN_FILES
    )
    return {
        split: tuple(
            _post(posts, str(guid), f"{root / HATEXPLAIN_FILES[0]}: post {guid}", min_annotators)
            for guid in _list(divisions, split, f"{root / HATEXPLAIN_FILES[1]}")
        )
        for split in SPLITS
    }


def _post(posts: Row, guid: str, where: str, min_annotators: int) -> rationales_lib.Rationale:
    post = _object(posts.get(guid), "it", where)
    labels = Counter(
        _string(_object(item, "annotators", where), "label", where)
        for item in _list(post, "annotators", where)
    )
    label, count = labels.most_common(1)[0] if labels else ("", 0)
    if 2 * count <= labels.total():
        raise ValueError(
            f"{where}: most annotators must agree on a label, got {dict(labels)}; is it in a split by mistake?"
        )
    row: Row = {"id": guid, "label": label, "tokens": post.get("post_tokens")}
    mask = _agreed(post, where, len(_list(row, "tokens", where)), min_annotators)
    return _marked(row, where, mask)


def _agreed(row: Row, where: str, length: int, min_annotators: int) -> tuple[bool, ...]:
    """Return which tokens enough annotators marked; of a normal post nobody was asked to mark any."""
    masks = [
        _marks({"rationales": mask}, "rationales", where)
        for mask in _list(row, "rationales", where)
    ]
    if any(len(mask) != length for mask in masks):
        raise ValueError(
            f"{where}: rationales must hold one mark a token, got {[len(mask) for mask in masks]} for {length}"
        )
    return (
        tuple(sum(marks) >= min_annotators for marks in zip(*masks, strict=True))
        or (False,) * length
    )


def _marked(row: Row, where: str, mask: tuple[bool, ...]) -> rationales_lib.Rationale:
    tokens = _list(row, "tokens", where)
    if not all(isinstance(token, str) for token in tokens) or len(tokens) != len(mask):
        raise ValueError(
            f"{where}: tokens must be strings with one mark each, got {len(tokens)} tokens and {len(mask)} marks"
        )
    return rationales_lib.Rationale(
        _string(row, "id", where), tuple(map(str, tokens)), mask, _string(row, "label", where)
    )


def _json_lines(path: files.Path) -> Iterator[tuple[str, Row]]:
    for number, line in tables.read_lines(path):
        where = f"{os.fspath(path)}:{number}"
        yield where, _row(where, line)


def _numbered(content: bytes, where: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(_text(content, where).split("\n"), start=1):
        if line.strip():
            yield f"{where}:{number}", line


def _row(where: str, text: str) -> Row:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:  # thousands of digits, or of brackets, too
        raise ValueError(f"{where}: must be a JSON object, got {error}; correct the line") from None
    return _object(value, "it", where)


def _text(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: must be UTF-8 text, got {error.reason}; convert it") from None


def _object(value: object, name: str, where: str) -> Row:
    if not isinstance(value, dict):
        raise _wrong(value, name, "a JSON object", where)
    return value


def _items(value: object, name: str, where: str) -> list[object]:
    if not isinstance(value, list):
        raise _wrong(value, name, "a list", where)
    return value


def _list(row: Row, key: str, where: str) -> list[object]:
    return _items(row.get(key), key, where)


def _string(row: Row, key: str, where: str) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        raise _wrong(value, key, "a string", where)
    return value


def _integer(row: Row, key: str, where: str) -> int:
    value = row.get(key)
    if not isinstance(value, int):
        raise _wrong(value, key, "an integer", where)
    return value


def _marks(row: Row, key: str, where: str) -> tuple[bool, ...]:
    marks = _list(row, key, where)
    if not all(mark in (0, 1) for mark in marks):
        raise ValueError(f"{where}: {key} must hold 0 and 1 only; correct the line")
    return tuple(map(bool, marks))


def _wrong(value: object, name: str, wanted: str, where: str) -> ValueError:
    # By its type: the value may be text that no log should show.
    got = "nothing" if value is None else type(value).__name__
    return ValueError(f"{where}: {name} must be {wanted}, got {got}; correct the line")

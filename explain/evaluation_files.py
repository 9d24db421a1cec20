"""Files of an evaluation's lines, which a run that was stopped goes on with: settings first, then a line a text.

Leaves to others: what is measured of a text (`evaluation`), what lines amount to (`results`).
"""

import itertools
import json
import math
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bert import datasets
from bert import files
from explain import evaluation
from explain import explanation
from explain import rationales as rationales_lib
from explain import words as words_lib

_TEXTS_AT_ONCE = 4  # a text of all protocols is some 1,600 rows: more share no more batches


def run(
    sides: evaluation.Sides,
    plan: evaluation.Plan,
    examples: Iterable[datasets.InputExample],
    rationales: Mapping[str, rationales_lib.Rationale],
    path: pathlib.Path,
    settings: Mapping[str, Any],
) -> Iterator[evaluation.Line]:
    """Measure texts and append a line for each to a file, a few texts at a time; yield the lines, old and new.

    A file that is there is gone on with: its texts must be the first of `examples`. One without a text is begun anew.

    Args:
      rationales: what people marked, by guid.
      settings: whatever the figures depend on; the file's own must be the same.

    Raises:
      ValueError: the file was begun with other settings, or with other texts, or another process writes it; or an
        explanation made elsewhere is of other words.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.alone(path.with_name(f".{path.name}.claimed"), path):
        header = json.loads(json.dumps({"settings": settings}))
        done = _go_on(path, header)
        source, count = iter(examples), 0
        for line in lines_of(path):
            example = next(source, None)
            if example is None:
                return
            if example.guid != line["guid"]:
                raise ValueError(
                    f"{path}: text {count + 1} must be {example.guid!r}, as in the data, got {line['guid']!r}; take "
                    "the same data, or another --output"
                )
            count += 1
            yield line
        assert count == done
        with open(path, "a", encoding="utf-8") as file:
            while chunk := list(itertools.islice(source, _TEXTS_AT_ONCE)):
                for line in evaluation.measure(sides, plan, chunk, rationales, first=count):
                    file.write(json.dumps(line) + "\n")
                    yield line
                file.flush()
                os.fsync(file.fileno())
                count += len(chunk)


def lines_of(path: pathlib.Path, count: int | None = None) -> Iterator[evaluation.Line]:
    """Yield what a file of `run` holds of each text, or of the first `count`."""
    with open(path, encoding="utf-8") as file:
        next(file)
        yield from map(json.loads, itertools.islice(file, count))


def read_records(
    paths: Iterable[files.Path],
) -> dict[str, dict[str, explanation.Explanation]]:
    """Return explanations that were made elsewhere, by method and guid.

    Raises:
      ValueError: a file holds none, or a text is explained twice by a method.
    """
    found: dict[str, dict[str, explanation.Explanation]] = {}
    for path in paths:
        record = None
        for record in explanation.read_jsonl(path):
            known = found.setdefault(record.method, {})
            if known.setdefault(record.guid, record) is not record:
                raise ValueError(
                    f"{path}: the explanation of {record.guid!r} by {record.method} must be the only one by that name; "
                    "rename the method"
                )
        if record is None:
            raise ValueError(f"{path} must hold explanations, got none; check the file")
    return found


def save(results: Mapping[str, Any], path: files.Path) -> None:
    """Write results as JSON; what is no finite number is null, so that any reader can read it."""
    text = json.dumps(_finite(results), indent=1, allow_nan=False)
    files.write_text(path, text + "\n")


def heads(path: files.Path, settings: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Return what results that `save` left say of heads weighed on `count` texts; {} if of other settings."""
    try:
        found = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict) or found.get("settings") != json.loads(json.dumps(settings)):
        return {}
    if {of_way["n"] for of_way in found.get("heads", {}).values()} != {count}:
        return {}
    return {name: found[name] for name in ("heads", "heads_spearman")}


def records(
    lines: Iterable[evaluation.Line], labels: Sequence[str]
) -> Iterator[explanation.Explanation]:
    """Yield the explanations that lines hold: words and their scores, without the tokens."""
    nothing = np.zeros(0, np.float32)
    for line in lines:
        words = tuple(words_lib.Word(*word) for word in line["words"])
        for method, scores in line["scores"].items():
            predicted = labels[line["predicted"]]
            yield explanation.Explanation(
                guid=line["guid"],
                texts=("",),
                words=words,
                scores=np.array(scores, np.float32),
                tokens=(),
                token_scores=nothing,
                labels=tuple(labels),
                probabilities=np.array(line["probabilities"], np.float32),
                predicted=predicted,
                gold=None if line["gold"] is None else labels[line["gold"]],
                method=method,
                signed=line["signed"][method],
                target=predicted,
            )


def _go_on(path: pathlib.Path, header: evaluation.Line) -> int:
    """Begin a file, or cut a half-written line off an old one; return how many texts it holds.

    Raises:
      ValueError: the file was begun with other settings, or is none of an evaluation.
    """
    if not path.exists():
        path.write_text(json.dumps(header) + "\n", encoding="utf-8")
        return 0
    size, count, begun = 0, -1, b""
    with open(path, "rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            begun = begun or line
            size, count = size + len(line), count + 1
    if count < 1:  # nothing is lost, and what stopped it may be mended in the data
        path.unlink()
        return _go_on(path, header)
    try:
        before, now = json.loads(begun)["settings"], header["settings"]
    except (ValueError, TypeError, KeyError):
        raise ValueError(
            f"{path}:1 must hold an evaluation's settings, got {begun[:40]!r}; take another --output"
        ) from None
    if changed := [name for name in {**before, **now} if before.get(name) != now.get(name)]:
        raise ValueError(
            f"{path} must be gone on with as it was begun, but {', '.join(sorted(changed))} differ; take the same "
            "options, or another --output, or delete the file"
        )
    os.truncate(path, size)
    return count


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(of_name) for name, of_name in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""The record that pictures are made from: one text, the model's answer, and what each word counted for.

Records go to JSON lines and NPZ and come back with every field as it was, float32 bit for bit.
"""

from __future__ import annotations

import dataclasses
import json
import math
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from bert import datasets
from bert import files
from bert import tables
from bert import tokenization
from explain import words as words_lib

# A record must not cost the seconds that TensorFlow and pandas take to import.
if TYPE_CHECKING:
    import pandas as pd

    from bert import features

Check: TypeAlias = bool | int | float | str
Setting: TypeAlias = "bool | int | float | str | Sequence[Setting] | Mapping[str, Setting] | None"


@dataclasses.dataclass(frozen=True, eq=False)  # arrays have no one truth to compare records by
class Explanation:
    """One explained prediction.

    Attributes:
      guid: identifier of the example in its file.
      texts: the raw text, or both of a pair.
      words: words as typed, with their character spans.
      scores: float32[w], aligned to `words`.
      tokens: pieces as the model read them, special tokens included.
      token_scores: float32[t], aligned to `tokens`; of a layer's attention they sum to 1.
      labels: names of the classes in class order.
      probabilities: float32[c].
      predicted: name of the class with the highest probability.
      gold: name of the true class; None where the example has no label.
      method: what the scores are, such as `integrated_gradients`.
      signed: whether negative scores speak against the target; False for attention.
      truncated: tokens of each text that the model did not read.
      target: name of the explained class, or `a-b` for its lead over another; "" where the method knows no class.
      attention: what an attention processor made of this text, padding left out.
      layer_scores: float32[l + 1, t], relevance of each token where it enters layer 0 and after every layer.
      completeness_gap: sum of the token scores less the score's rise from the baseline; None where the method has none.
      checks: what was measured about this explanation, such as `score`, `steps`, `ledger_error`.
      settings: how it was made: model, checkpoint, options of the method, versions of the libraries.
    """

    guid: str
    texts: tuple[str, ...]
    words: tuple[words_lib.Word, ...]
    scores: npt.NDArray[np.float32]
    tokens: tuple[str, ...]
    token_scores: npt.NDArray[np.float32]
    labels: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    predicted: str
    gold: str | None
    method: str
    signed: bool = False
    truncated: tuple[int, int] = (0, 0)
    target: str = ""
    attention: npt.NDArray[np.float32] | None = None
    layer_scores: npt.NDArray[np.float32] | None = None
    completeness_gap: float | None = None
    checks: Mapping[str, Check] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, Setting] = dataclasses.field(default_factory=dict)

    @property
    def text(self) -> str | tuple[str, ...]:
        """The text as it was given: one, or a pair."""
        return self.texts[0] if len(self.texts) == 1 else self.texts

    @property
    def confidence(self) -> float:
        """Probability of the predicted class."""
        return float(np.max(self.probabilities))

    @property
    def special_share(self) -> float:
        """Share of the absolute token scores that lies on special tokens, which no word shows."""
        sizes = np.abs(self.token_scores)
        total = float(np.sum(sizes))
        is_special = [tokenization.is_special(token) for token in self.tokens]
        return float(np.sum(sizes[is_special])) / total if total else 0.0


def from_prediction(
    example: datasets.InputExample,
    encoding: features.Encoding,
    token_scores: npt.NDArray[np.float32],
    probabilities: npt.NDArray[np.float32],
    *,
    labels: Sequence[str],
    method: str,
    signed: bool = False,
    target: str = "",
    attention: npt.NDArray[np.float32] | None = None,
    layer_scores: npt.NDArray[np.float32] | None = None,
    completeness_gap: float | None = None,
    checks: Mapping[str, Check] | None = None,
    settings: Mapping[str, Setting] | None = None,
    word_scores: words_lib.Combine = "sum",
) -> Explanation:
    """Join an example, its tokens and what the model predicted for it.

    Args:
      token_scores: float32[t] or longer; the scores of padding are left out.
      probabilities: float32[c].
      labels: names of the classes in class order.
      layer_scores: float32[l + 1, t] or longer, cut as `token_scores`.
      word_scores: how the scores of a word's pieces become its own; see `words.to_words`.

    Raises:
      ValueError: `token_scores` or a row of `layer_scores` is not one score a token, or `labels` not one name a
        probability.
    """
    if np.ndim(token_scores) != 1:
        raise ValueError(
            f"token_scores must be one score a token to colour words with, got shape {np.shape(token_scores)}; use a "
            "processor that reduces layers and heads, such as average_last_layer_by_head"
        )
    if len(labels) != len(probabilities):
        raise ValueError(
            f"labels must name each class, got {len(labels)} names for {len(probabilities)} probabilities; give the "
            "labels that the model was trained with"
        )
    texts = (example.text_a,) if example.text_b is None else (example.text_a, example.text_b)
    words, scores = words_lib.to_words(texts, encoding.tokens, token_scores, word_scores)
    length = len(encoding.tokens)
    record = Explanation(
        guid=example.guid,
        texts=texts,
        words=words,
        scores=scores,
        tokens=tuple(token.text for token in encoding.tokens),
        token_scores=np.asarray(token_scores[:length], np.float32),
        labels=tuple(labels),
        probabilities=np.asarray(probabilities, np.float32),
        predicted=labels[int(np.argmax(probabilities))],
        gold=example.label,
        method=method,
        signed=signed,
        truncated=encoding.truncated,
        target=target,
        attention=None if attention is None else _float32(attention),
        layer_scores=None if layer_scores is None else _float32(layer_scores)[..., :length],
        completeness_gap=None if completeness_gap is None else float(completeness_gap),
        checks=dict(checks or {}),
        settings=dict(settings or {}),
    )
    _require_lengths(record, f"the explanation of {example.guid!r}")
    return record


def save_jsonl(records: Iterable[Explanation], path: files.Path) -> None:
    """Write one JSON object a line, as the records come: memory does not grow with their number.

    Arrays of one dimension are lists, others `{"shape": ..., "values": ...}`. What is no finite number is written NaN,
    Infinity or -Infinity, as Python's json spells them; strict readers of JSON refuse such a line.
    """
    with files.draft(path) as draft, open(draft, "wb") as file:
        file.writelines(json_lines(records))


def json_lines(records: Iterable[Explanation]) -> Iterator[bytes]:
    """Return the lines that `save_jsonl` writes, as they are asked for."""
    return (_line(record, _listed) for record in records)


def read_jsonl(path: files.Path) -> Iterator[Explanation]:
    """Yield the records of a file that `save_jsonl` wrote, one at a time; it may be packed as .gz.

    Raises:
      FileNotFoundError: the file is not there.
      ValueError: a line is no record; the message names file and line.
    """
    for number, line in tables.read_lines(path, of_any_length=True):
        yield _record(line, f"{path}:{number}")


def load_jsonl(path: files.Path) -> list[Explanation]:
    """Return all records of a file at once; otherwise as `read_jsonl`."""
    return list(read_jsonl(path))


def save_npz(records: Iterable[Explanation], path: files.Path) -> None:
    """Write a compressed NPZ file: far smaller than JSON where records carry attention, and read without pickle.

    Each array holds the numbers of all records in a row; `records` is UTF-8, one JSON object a line, which has every
    other field and, in place of an array, its shape.
    """
    kept = list(records)
    lines = b"".join(_line(record, np.shape) for record in kept)
    arrays = {}
    for name in _ARRAYS:
        parts = [values.ravel() for record in kept if (values := getattr(record, name)) is not None]
        arrays[name] = np.concatenate([np.zeros(0, np.float32), *parts])
    with files.draft(path) as draft, open(draft, "wb") as file:
        np.savez_compressed(file, records=np.frombuffer(lines, np.uint8), **arrays)


def load_npz(path: files.Path) -> list[Explanation]:
    """Return the records of a file that `save_npz` wrote.

    Raises:
      FileNotFoundError: the file is not there.
      ValueError: the file is another's or damaged, or its arrays do not fit its records.
    """
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                members = {name: archive[name] for name in _ARRAYS}
                lines = archive["records"].tobytes().decode("utf-8").split("\n")[:-1]
        except (*_NO_NPZ, OSError, zipfile.BadZipFile, zlib.error):  # by which byte is wrong
            raise ValueError(
                f"{path} must be a file that save_npz wrote, got another or a damaged one; save it again"
            ) from None
    records = [_record(line, f"{path}: record {i}", members) for i, line in enumerate(lines, 1)]
    if left := [name for name, values in members.items() if values.size]:
        raise ValueError(
            f"{path}: {left[0]} must hold the numbers of its {len(records)} records, got more"
        )
    return records


def to_frame(records: Iterable[Explanation]) -> pd.DataFrame:
    """Return a table of one row a word; `position` counts the words of a record from 0."""
    import pandas as pd

    rows = [
        (
            *(record.guid, word.sentence, position, word.text, word.start, word.end, score),
            *(record.method, record.target, record.predicted, record.confidence, record.gold),
        )
        for record in records
        for position, (word, score) in enumerate(zip(record.words, record.scores, strict=True))
    ]
    columns = "guid sentence position word start end score method target predicted confidence gold"
    return pd.DataFrame(rows, columns=columns.split())


_ARRAYS = ("scores", "token_scores", "probabilities", "attention", "layer_scores")
_NO_NPZ = (AttributeError, EOFError, KeyError, MemoryError, RuntimeError, TypeError, ValueError)
_ALIGNED = {"scores": "words", "token_scores": "tokens", "probabilities": "labels"}
_KEYS = [field.name for field in dataclasses.fields(Explanation)]


def _line(record: Explanation, encode: Callable[[npt.NDArray[np.float32]], object]) -> bytes:
    fields = {name: getattr(record, name) for name in _KEYS}
    fields |= {name: encode(fields[name]) for name in _ARRAYS if fields[name] is not None}
    text = json.dumps(fields, ensure_ascii=False, default=_plain)
    # Half a surrogate pair has no UTF-8, but Python's escape of it is also JSON's.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(
        f"checks and settings must hold text, numbers, lists and dicts to be saved, got {value!r:.60}"
    )


def _listed(array: npt.NDArray[np.float32]) -> object:
    values = array.ravel().tolist()
    return values if array.ndim == 1 else {"shape": array.shape, "values": values}


def _record(
    line: str, where: str, members: dict[str, npt.NDArray[np.float32]] | None = None
) -> Explanation:
    """Return the record of a line; `members` hold the arrays of NPZ files, from which the record's part is taken."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{where}: must be one JSON object, got a line the JSON reader refuses ({error}); save the records again"
        ) from None
    found = fields if isinstance(fields, dict) else {}
    if missing := [name for name in _KEYS if name not in found]:
        raise ValueError(f"{where}: must have every field of an explanation, got no {missing[0]!r}")
    if unknown := [name for name in found if name not in _KEYS]:
        raise ValueError(f"{where}: must have only fields of an explanation, got {unknown[0]!r}")
    try:
        fields["words"] = tuple(words_lib.Word(*word) for word in fields["words"])
        for name in ("texts", "tokens", "labels", "truncated"):
            fields[name] = tuple(fields[name])
        for name in (name for name in _ARRAYS if fields[name] is not None):
            value = fields[name]
            fields[name] = _taken(members, name, value) if members else _array(value)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise ValueError(
            f"{where}: must be a saved explanation, got a field that is none ({error})"
        ) from None
    record = Explanation(**fields)
    _require_lengths(record, where)
    return record


def _array(value: list[float] | Mapping[str, list[float]]) -> npt.NDArray[np.float32]:
    if isinstance(value, Mapping):
        return _float32(value["values"]).reshape(cast("list[int]", value["shape"]))
    return _float32(value)


def _taken(
    members: dict[str, npt.NDArray[np.float32]], name: str, shape: list[int]
) -> npt.NDArray[np.float32]:
    values, members[name] = np.split(members[name], [math.prod(shape)])
    return values.reshape(shape)


def _float32(values: npt.ArrayLike) -> npt.NDArray[np.float32]:
    return np.asarray(values, np.float32)


def _require_lengths(record: Explanation, where: str) -> None:
    for name, aligned in _ALIGNED.items():
        shape, length = np.shape(getattr(record, name)), len(getattr(record, aligned))
        if shape != (length,):
            raise ValueError(
                f"{where}: {name} must hold one number for each of {length} {aligned}, got shape {shape}"
            )
    if record.layer_scores is not None:
        layers = record.layer_scores.shape
        if len(layers) != 2 or layers[1] != len(record.tokens):
            raise ValueError(
                f"{where}: layer_scores must hold a row a layer and one number for each of {len(record.tokens)} "
                f"tokens, got shape {layers}"
            )
    if len(record.texts) not in (1, 2) or len(record.truncated) != 2:
        raise ValueError(
            f"{where}: must have one text or two and two counts of tokens not read, got {len(record.texts)} and "
            f"{len(record.truncated)}"
        )

"""A long run in parts, each written whole or not at all, that become shards together; begun again, it goes on.

Until every part is done all of them lie in a hidden folder beside the output, named after what is asked of which files
and model: whoever asks the same again finds the parts that are done, and parts of anything else are never mixed in. A
part that is written twice, as runners may demand, is the same part. Leaves to others: rows (`bulk_rows`), records
(`bulk_answers`), who writes which part (`bulk`).
"""

import contextlib
import dataclasses
import glob
import hashlib
import json
import os
import pathlib
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import pyarrow as pa
from pyarrow import parquet

from bert import files
from bert import model_folder
from explain import bulk_answers
from explain import bulk_rows
from explain import explanation

OutputFormat = Literal["jsonl", "parquet"]
_Write = Callable[[Sequence[bulk_answers.Record]], object]


@dataclasses.dataclass(frozen=True)
class Job:
    """What is asked of which files, and where the answers go.

    Attributes:
      inputs: files, in the order of their shards.
      output: prefix of the shards, as out/run of out/run-00000-of-00007.jsonl.
      dead_letters: file of the rows without an answer, JSON lines of file, line and reason.
      rows_per_shard: of a file that can be cut; one that is packed, or of TFRecords, is one shard.
    """

    question: bulk_answers.Question
    inputs: tuple[str, ...]
    output: str
    dead_letters: str
    columns: bulk_rows.Columns = dataclasses.field(default_factory=bulk_rows.Columns)
    output_format: OutputFormat = "jsonl"
    rows_per_shard: int = 1000


class Counts(NamedTuple):
    """Rows that were read, those with an answer, and those without; records that were written."""

    read: int = 0
    explained: int = 0
    dead: int = 0
    records: int = 0


class Published(NamedTuple):
    """The shards, and what is in them."""

    shards: tuple[pathlib.Path, ...]
    counts: Counts


@contextlib.contextmanager
def claimed(job: Job) -> Iterator[pathlib.Path]:
    """Give the folder of a job's parts, to one process at a time; what an earlier one finished is there.

    Raises:
      FileNotFoundError: an input or the model is not there.
      ValueError: nothing could come of the job, its output is there already, or another process is at it.
    """
    parts = bulk_answers.check(job.question, has_labels=job.columns.label is not None)
    for path in job.inputs:
        bulk_rows.check(path, job.columns)
    prefix = pathlib.Path(job.output)
    folder = prefix.with_name(f".{prefix.name}.{_fingerprint(job, parts)}")
    if not folder.exists() and (there := _output_of(job)):
        raise ValueError(
            f"--output and --dead_letters must name files that are not there yet, but {there[0]} is, of a run that is "
            "complete; remove them or give other names"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with files.alone(folder / ".claimed", job.output):
        try:
            yield folder
        except BaseException:
            if not any(folder.glob("*.done")):
                shutil.rmtree(folder, ignore_errors=True)
            raise


def write(
    job: Job, folder: pathlib.Path, part: bulk_rows.Part, answers: bulk_answers.Answers
) -> Counts:
    """Write a part's records and dead letters into the folder, unless they are there; return what is in them.

    Raises:
      FileNotFoundError: the folder is gone, for the job was finished by another process.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} must be there while its parts are written; run again")
    stem = f"{job.inputs.index(part.path):05d}-{part.line:012d}"
    done = folder / f"{stem}.done"
    if done.is_file():
        return Counts(**json.loads(done.read_text(encoding="utf-8")))
    read = explained = written = 0
    with (
        files.draft(folder / f"{stem}.{job.output_format}") as records_path,
        files.draft(folder / f"{stem}.dead") as dead_path,
        _writer(records_path, job) as write_records,
        open(dead_path, "w", encoding="utf-8") as dead,
    ):
        for batch in answers.of(bulk_rows.read(part, job.columns)):
            found = [answer for answer in batch if not isinstance(answer, bulk_rows.Fault)]
            records = [record for answer in found for record in answer]
            write_records(records)
            for fault in (answer for answer in batch if isinstance(answer, bulk_rows.Fault)):
                letter = {"file": part.path, "line": fault.line, "reason": fault.reason}
                dead.write(json.dumps(letter, ensure_ascii=False) + "\n")
            read, explained = read + len(batch), explained + len(found)
            written += len(records)
    counts = Counts(read, explained, read - explained, written)
    files.write_text(done, json.dumps(counts._asdict()))
    return counts


def publish(job: Job, folder: pathlib.Path) -> Published:
    """Turn the parts of a folder into shards and one file of dead letters; a publication cut short is gone on with.

    Raises:
      ValueError: there are none.
    """
    done = sorted(folder.glob("*.done"))
    if not done:
        raise ValueError(
            f"the input must hold at least one row, got none in {', '.join(job.inputs):.200}; check the files"
        )
    with files.draft(job.dead_letters) as path, open(path, "wb") as letters:
        for marker in done:
            with open(marker.with_suffix(".dead"), "rb") as file:
                shutil.copyfileobj(file, letters)
    shards = []
    for number, marker in enumerate(done):
        name = f"{job.output}-{number:05d}-of-{len(done):05d}.{job.output_format}"
        shards.append(pathlib.Path(name))
        part = marker.with_suffix(f".{job.output_format}")
        if part.is_file():
            os.replace(part, name)
    of_parts = [json.loads(marker.read_text(encoding="utf-8")) for marker in done]
    counts = Counts(*(sum(found[name] for found in of_parts) for name in Counts._fields))
    # removed under another name: half a folder would look like a job to go on with
    shutil.rmtree(folder.rename(folder.with_name(f"{folder.name}.published")))
    return Published(tuple(shards), counts)


def _output_of(job: Job) -> list[pathlib.Path]:
    prefix = pathlib.Path(job.output)
    shard = re.compile(re.escape(prefix.name) + r"-\d{5,}-of-\d{5,}\.(jsonl|parquet)")
    there = sorted(path for path in prefix.parent.glob("*") if shard.fullmatch(path.name))
    letters = pathlib.Path(job.dead_letters)
    return [*there, *([letters] if letters.exists() else [])]


def _fingerprint(job: Job, parts: model_folder.Parts) -> str:
    """Return what tells a job from any other: the question, the files and the model, as they are now."""
    weights = sorted(glob.glob(glob.escape(str(parts.init_checkpoint)) + "*"))
    seen = []
    for path in (*job.inputs, *weights, parts.vocab_file):
        stat = os.stat(path)
        seen.append([path, stat.st_size, stat.st_mtime_ns])
    facts = [dataclasses.asdict(job), seen, parts.record.model_dump()]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


@contextlib.contextmanager
def _writer(path: pathlib.Path, job: Job) -> Iterator[_Write]:
    if job.output_format == "jsonl":
        with open(path, "wb") as file:
            yield lambda records: file.writelines(map(_line, records))
        return
    schema = _EXPLANATIONS if job.question.methods else _PREDICTIONS
    with parquet.ParquetWriter(path, schema) as writer:
        yield lambda records: writer.write_table(
            pa.Table.from_pylist(list(map(_columns, records)), schema)
        )


def _line(record: bulk_answers.Record) -> bytes:
    if isinstance(record, explanation.Explanation):
        return next(explanation.json_lines([record]))
    fields = record._asdict() | {"probabilities": record.probabilities.tolist()}
    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"


def _columns(record: bulk_answers.Record) -> dict[str, object]:
    """Return a record as Parquet has it: what differs in its fields from record to record stays JSON."""
    fields: dict[str, object] = json.loads(_line(record))
    for name in ("checks", "settings"):
        if name in fields:
            fields[name] = json.dumps(fields[name], ensure_ascii=False)
    if isinstance(record, explanation.Explanation):
        fields["words"] = [word._asdict() for word in record.words]
    return fields


_TEXTS, _NUMBERS = pa.list_(pa.string()), pa.list_(pa.float32())
_ARRAY = pa.struct({"shape": pa.list_(pa.int32()), "values": _NUMBERS})
_WORD = pa.struct(
    {"text": pa.string(), "start": pa.int32(), "end": pa.int32(), "sentence": pa.int32()}
)
_PREDICTIONS = pa.schema(
    {
        "guid": pa.string(),
        "texts": _TEXTS,
        "labels": _TEXTS,
        "probabilities": _NUMBERS,
        "predicted": pa.string(),
        "gold": pa.string(),
    }
)
_EXPLANATIONS = pa.schema(
    [
        *_PREDICTIONS,
        pa.field("words", pa.list_(_WORD)),
        pa.field("scores", _NUMBERS),
        pa.field("tokens", _TEXTS),
        pa.field("token_scores", _NUMBERS),
        pa.field("method", pa.string()),
        pa.field("signed", pa.bool_()),
        pa.field("truncated", pa.list_(pa.int32())),
        pa.field("target", pa.string()),
        pa.field("layer_scores", _ARRAY),
        pa.field("completeness_gap", pa.float64()),
        pa.field("checks", pa.string()),
        pa.field("settings", pa.string()),
    ]
)

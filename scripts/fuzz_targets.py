"""The readers that `fuzz.py` gives bytes to, and what must hold whatever the bytes are; none needs TensorFlow.

A file is read, or refused by the exception that its reader documents, in a line that names it. What was read stays the
same when it is written and read again; the pieces of a text are its words', each where it stands.
"""

import csv
import functools
import io
import json
import pathlib
from collections.abc import Callable
from typing import Any

from bert import config
from bert import files
from bert import project_config
from bert import tables
from bert import tensor_files
from bert import tokenization
from bert import training_log
from explain import explanation
from explain import rationale_files

Path = pathlib.Path
VOCABULARY = Path(__file__).resolve().parent.parent / "tests" / "fuzz" / "vocabulary" / "words"


def require(is_so: bool, must_hold: str) -> None:
    """Raise what makes an input a finding, unless it is so."""
    if not is_so:
        raise AssertionError(must_hold)


def attempt(
    path: Path, data: bytes, read: Callable[[Path], Any], refusal: type[Exception] = ValueError
) -> Any:
    """Return what is read from a file of these bytes, None where it is refused."""
    path.write_bytes(data)
    try:
        return read(path)
    except refusal as error:
        first = str(error).split("\n")[0]
        require(str(path) in first, f"a refusal must name its file, got {first!r}")
        return None


@functools.cache
def tokenizers() -> tuple[tokenization.FullTokenizer, ...]:
    """Return one that lower-cases and one that does not."""
    return tuple(tokenization.FullTokenizer(VOCABULARY, is_lower) for is_lower in (True, False))


def check_pieces(tokenizer: tokenization.FullTokenizer, text: str) -> None:
    """Require the pieces of the words, in order and inside the text."""
    words = tokenizer.basic_tokenizer.tokenize(text)
    pieces = [piece for word in words for piece in tokenizer.wordpiece_tokenizer.tokenize(word)]
    tokens = tokenizer.tokenize_with_spans(text)
    require([token.text for token in tokens] == pieces, "a text must become its words' pieces")
    starts, ends = [token.start for token in tokens], [token.end for token in tokens]
    require(starts == sorted(starts) and ends == sorted(ends), "spans must be in order")
    is_inside = (0 <= token.start < token.end <= len(text) for token in tokens)
    require(all(is_inside), "spans must be inside the text")


def check_text(folder: Path, data: bytes) -> None:
    """Cut any text; bytes that are no UTF-8 become halves of characters."""
    for tokenizer in tokenizers():
        check_pieces(tokenizer, data.decode("utf-8", "surrogateescape"))


def check_vocabulary(folder: Path, data: bytes) -> None:
    """Read a vocabulary, and cut its own text by it."""
    attempt(folder / "vocab.txt", data, tokenization.load_vocab)
    if tokenizer := attempt(folder / "vocab.txt", data, tokenization.FullTokenizer):
        check_pieces(tokenizer, data.decode())


def rows_of(path: Path) -> list[tables.Row]:
    """Return the rows of a table."""
    return [row for _, row in tables.read_table(path, {})]


def check_table(folder: Path, data: bytes) -> None:
    """Read tab- and comma-separated rows, packed ones, and raw lines."""
    for name, separator in (("rows.tsv", "\t"), ("rows.csv", ",")):
        if rows := attempt(folder / name, data, rows_of):
            text = io.StringIO(newline="")
            writer = csv.writer(
                text, delimiter=separator, quoting=csv.QUOTE_ALL, lineterminator="\n"
            )
            writer.writerows([rows[0], *(row.values() for row in rows)])
            again = attempt(folder / name, text.getvalue().encode(), rows_of)
            require(again == rows, "rows must be the same with every cell quoted")
    attempt(folder / "rows.csv.gz", data, rows_of)
    raw = functools.partial(tables.read_positions, required=(1, -1), has_header=True)
    attempt(folder / "lines.txt", data, lambda path: list(raw(path)))


def check_json(folder: Path, data: bytes) -> None:
    """Read JSON lines: rows of a table, explanations, rationales."""
    path, document = folder / "train.jsonl", folder / "docs" / "a"
    if not document.is_file():
        files.write_text(document, "so dull a film")
    if rows := attempt(path, data, rows_of):
        lines = "\n".join(map(json.dumps, rows)).encode()
        require(attempt(path, lines, rows_of) == rows, "rows must be the same when written again")
    if records := attempt(path, data, explanation.load_jsonl):
        lines = b"".join(explanation.json_lines(records))
        again = attempt(path, lines, explanation.load_jsonl)
        require(b"".join(explanation.json_lines(again)) == lines, "and so must records")
    attempt(path, data, rationale_files.read_rationales)
    attempt(path, data, lambda path: rationale_files.read_hatexplain(path.parent))
    attempt(path, data, lambda path: rationale_files.read_eraser(path.parent))


def check_folder(folder: Path, data: bytes) -> None:
    """Read what lies in the folder of a model: two configs, tensors, the log of its training, its last results."""
    path, read = folder / config.CONFIG_FILE, config.BertConfig.from_json_file
    if found := attempt(path, data, read):
        text = found.to_json_string()
        again = attempt(path, text.encode(), read)
        require(again and again.to_json_string() == text, "a config must be the same when saved")
    path = folder / config.CLASSIFIER_FILE
    if record := attempt(path, data, lambda path: config.ClassifierConfig.load(path.parent)):
        record.save(folder)
        require(config.ClassifierConfig.load(folder) == record, "and so must a record")
    attempt(folder / "model.safetensors", data, tensor_files.read_file)
    for name in (training_log.FILE, "eval_results.txt"):
        attempt(folder / name, data, lambda path: training_log.curves(path.parent))
        (folder / name).unlink()


def check_project(folder: Path, data: bytes) -> None:
    """Read a project's YAML, whose data files are never there."""
    path, refusal = folder / "config.yaml", project_config.ConfigError
    read_more = functools.partial(
        project_config.read, count_layers=lambda _: 6, methods=["random"], reads_data=True
    )
    attempt(path, data, read_more, refusal)
    if found := attempt(path, data, project_config.read, refusal):
        kept = found.changed(method_options={})  # their values may be of any type
        kept.save(path)
        require(project_config.read(path) == kept, "a project must be the same when saved")


TARGETS: dict[str, Callable[[Path, bytes], None]] = {
    "folder": check_folder,
    "json": check_json,
    "project": check_project,
    "table": check_table,
    "tokenizer": check_text,
    "vocabulary": check_vocabulary,
}
"""Name -> what is done with the bytes, in a folder for files."""
